"""The interface of the checks of a document, the refusals that they give, and the text of these.

Rules:

- A check never fails: a document that it cannot read is refused.
- Values are compared exactly, as they stand in the documents.
- The order of elements that selectors know by a member makes no difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from livefeed.document.pairs import PairReader
from livefeed.document.selectors import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from livefeed.document.matches import MatchError
    from livefeed.document.selectors import Path, Selector

MAX_VALUE_BYTES = 256
"""The largest number of bytes of a refused value that is kept. A longer one is cut off."""

MAX_SHOWN_CHARACTERS = 60
"""The largest number of characters of a value in a sentence."""

MAX_POINTER_CHARACTERS = 200
"""The largest number of characters of a pointer in a sentence."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A value that a check refuses.

    :ivar pointer: a selector of this value.
    :ivar why: a sentence for operators, without a period.
    :ivar value: the bytes of the value, the first :data:`MAX_VALUE_BYTES` of them; for a length, its number; empty for
        a value that is missing.
    """

    pointer: str
    why: str
    value: bytes = b""


@dataclass(slots=True, eq=False)
class Documents:
    """The two documents of a check.

    :param shown: the document that is shown; ``None`` if there is none.
    :param candidate: the document that is checked.
    """

    # required parameters
    shown: bytes | None
    candidate: bytes

    # internal state
    _changes: PairReader | None = None
    _all: PairReader | None = None

    def changes(self) -> PairReader:
        """Gives the reader of the differences between the two."""
        if self._changes is None:
            self._changes = PairReader(self.shown, self.candidate)
        return self._changes

    def all(self) -> PairReader:
        """Gives the reader of the candidate alone: everything in it is new."""
        if self.shown is None:
            return self.changes()
        if self._all is None:
            self._all = PairReader(None, self.candidate)
        return self._all


class Check(Protocol):
    """A check of candidates."""

    @property
    def kind(self) -> str:
        """Its name in the settings."""

    @property
    def cost(self) -> int:
        """Its place in the order of checks: cheap ones come first, from 0 on."""

    @property
    def selectors(self) -> tuple[Selector, ...]:
        """The selectors of the values that it looks at; empty if it looks at the document as a whole."""

    def __str__(self) -> str:
        """Describes it on one line."""

    def refusals(self, documents: Documents, *, has_passed: bool) -> Iterator[Refusal]:
        """Gives everything that it refuses: by the order of its selectors, and for each of these by the pointers.

        :param has_passed: whether the document that is shown has passed this check. Then only the difference needs a
            look.
        """

    def is_same(self, earlier: bytes, later: bytes) -> bool:
        """Tells whether a refused value is still the same one.

        A value that goes on moving in a way that the check allows counts as the same.

        :param earlier: the value when it was refused before, as in :attr:`Refusal.value`.
        :param later: the value that is refused now.
        """


def place_of(refusal: Refusal) -> tuple[str, bytes, str]:
    """Gives the place of a refusal in the order of those of one selector."""
    return refusal.pointer, refusal.value, refusal.why


def missing(path: Path) -> Refusal:
    """Gives the refusal of a value that is not there."""
    pointer = text_of(path)
    return Refusal(pointer, f"{short(pointer)} is missing")


def unreadable(selector: Selector, error: MatchError) -> Refusal:
    """Gives the refusal of a document in which a selector cannot be followed."""
    return Refusal(selector.text, f"{short(selector.text)} cannot be followed: {error}")


def listed(check: Check) -> str:
    """Gives the kind of a check and its pointers, on one line."""
    return f"{check.kind} {', '.join(selector.text or 'the document' for selector in check.selectors)}"


def short(pointer: str) -> str:
    """Gives a pointer for a sentence, with its control characters escaped: logs and terminals obey them."""
    if not pointer:
        return "the document"
    if not pointer.isprintable():
        pointer = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in pointer)
    return pointer if len(pointer) <= MAX_POINTER_CHARACTERS else f"{pointer[:MAX_POINTER_CHARACTERS]}..."


def shown_value(value: bytes) -> str:
    """Gives a value for a sentence."""
    text = value[: 4 * MAX_SHOWN_CHARACTERS].decode(errors="ignore")
    text = "".join(each if each.isprintable() else " " for each in text)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}..."


def cut(value: bytes) -> bytes:
    """Gives the first :data:`MAX_VALUE_BYTES` of a value, without half of a character."""
    return value if len(value) <= MAX_VALUE_BYTES else value[:MAX_VALUE_BYTES].decode(errors="ignore").encode()
