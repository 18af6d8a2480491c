"""Answers as bytes that are written again: to requests that are answered by replay, and to those that wait together.

Rule: this module has no opinion about HTTP. A key and a label mean nothing here; they are only compared and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

MAX_ANSWER_BYTES = 8 * 1024 * 1024
"""Upper limit in bytes of all stored answers together. An answer that would exceed it is rendered each time."""

LARGE_BYTES = 16_384
"""A body of more bytes than this stays the object that its resource gave, beside the head: the size of a TLS record.

Joined with the head it would be a copy for each variant and each quarter of a second. Each client that does not read
would keep its copy: 0.65 MB per client for a document of 1 MB.
"""

Select = Callable[["list[bytes | None]"], Hashable]
"""Tells which variant of an answer a request gets.

Its argument holds the values of :data:`livefeed.web.replay.KEYED` in this order, ``None`` for a field that was not
sent. Two requests with the same method, path and variant have the same answer until answers are forgotten. The variant
``None`` stands for a request that replay must not answer.
"""


class Repeatable(NamedTuple):
    """The facts about an answer that may be repeated.

    :ivar label: the name under which the answer is counted.
    :ivar select: tells the variant of a request; ``None`` if the answer depends on each keyed field to the letter.
    """

    label: Hashable
    select: Select | None = None


@dataclass(slots=True, eq=False)
class Answer:
    """Bytes that answer every request with one key.

    :ivar data: the head and the body, as twisted.web wrote them.
    :ivar label: the name under which the answer is counted.
    :ivar last: whether the connection ends after it.
    :ivar body: the body, if it is large and therefore not in the data; see :func:`in_pieces`.
    :ivar at_once: whether writing the data is all there is to do. The hot path looks at this alone.
    :ivar times: how often the answer was repeated.
    """

    # required parameters
    data: bytes
    label: Hashable
    last: bool
    body: bytes = b""

    # internal state
    at_once: bool = field(init=False)
    times: int = 0

    def __post_init__(self) -> None:
        self.at_once = not (self.last or self.body)


def in_pieces(parts: Iterable[bytes]) -> tuple[bytes, bytes]:
    """Gives the data and the body of an answer, as :class:`Answer` keeps them.

    :param parts: at least one piece of bytes, in the order in which they were written. The last one stays the object
        that it is if it has more than :data:`LARGE_BYTES` bytes, and is not the only one: then the head is in it.
    """
    *head, body = parts
    return (b"".join(head), body) if head and len(body) > LARGE_BYTES else (b"".join((*head, body)), b"")
