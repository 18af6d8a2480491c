"""Prepared answers: the heads of a document's answers, made once and sent to all requests that get the same.

twisted.web finds the resource of each request, the guard judges it, and the resource decides what it gets. Only then is
the head looked up here, which took half of the time of an answer to make. Unlike an answer that replay repeats, it is
never found by a request that has not come to its resource: so the answers of a protected feed are prepared as well.

Rule: nothing here decides which answer a request gets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import is_
from typing import TYPE_CHECKING

from livefeed.web.answers import coding_of, fields_by_name, head_of, opening_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from livefeed.transport.answer import Select

MAX_PREPARED = 1024
"""Upper limit of the keys of prepared answers. An answer takes 1 KB besides its body, which belongs to the snapshot; a
key has the fields of a request, so clients can make them 16 MB for a quarter of a second."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """An answer to requests by HTTP/1.1.

    :ivar status: the status code.
    :ivar head: the whole head.
    :ivar body: the content; empty for none.
    :ivar coding: its content coding.
    :ivar select: tells for which requests replay may repeat the answer; see :attr:`.Request.select`.
    :ivar basis: the objects from which the answer was made.
    """

    status: int
    head: bytes
    body: bytes
    coding: str
    select: Select | None
    basis: tuple[object, ...]

    @classmethod
    def of(
        cls,
        status: int,
        fields: Iterable[tuple[bytes, bytes]],
        body: bytes | None,
        *,
        select: Select | None,
        basis: tuple[object, ...],
    ) -> Prepared:
        """Makes an answer.

        :param fields: the fields and the content, as :func:`.answer` takes them.
        """
        lines = fields_by_name(opening_fields(), fields, body)
        return cls(status, b"HTTP/1.1 " + head_of(status, lines), body or b"", coding_of(lines), select, basis)

    def head_with(self, first: bytes) -> bytes:
        """Gives the head with other fields in front.

        :param first: their lines.
        """
        line, end, rest = self.head.partition(b"\r\n")
        return line + end + first + rest

    def is_of(self, basis: tuple[object, ...]) -> bool:
        """Tells whether the answer was made from the very same objects."""
        return all(map(is_, self.basis, basis))


@dataclass(slots=True, eq=False)
class PreparedAnswers:
    """The prepared answers of a site.

    It is emptied when answers are forgotten (:meth:`.Site.forget_answers`): with each version, each change of state,
    and each quarter of a second, since answers tell the time.

    :ivar used: called when it was empty, and is so no more; ``None`` to call nothing.
    """

    used: Callable[[], object] | None = None
    _answers: dict[Hashable, Prepared] = field(default_factory=dict)

    def find(self, key: Hashable, basis: tuple[object, ...]) -> Prepared | None:
        """Gives the answer with a key, if it was made from the same objects.

        :param key: what the answer depends on, besides the basis and the time.
        """
        answer = self._answers.get(key)
        return answer if answer is not None and answer.is_of(basis) else None

    def keep(self, key: Hashable, answer: Prepared) -> None:
        """Keeps an answer, unless that would exceed the limit."""
        if len(self._answers) < MAX_PREPARED or key in self._answers:
            self._answers[key] = answer
            if self.used is not None and len(self._answers) == 1:
                self.used()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing that tells the time."""
        return not self._answers

    def clear(self) -> None:
        """Forgets all answers."""
        self._answers.clear()


class NothingPrepared(PreparedAnswers):
    """A store that keeps nothing: of a site whose timer does not run, so that nothing would be forgotten in time."""

    __slots__ = ()

    def keep(self, key: Hashable, answer: Prepared) -> None:
        """PreparedAnswers API."""
