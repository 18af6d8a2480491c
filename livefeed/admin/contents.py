"""The documents that arrive as content of requests: bounded in size each, and in memory all together.

Rule: the memory for a document is set aside before its first byte is read, from its ``Content-Length``. So slow clients
can only occupy what all of them may occupy together, and only for the time that :attr:`Contents.LEAST_RATE` gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from livefeed.web import operator_problems
from livefeed.web.problems import CONTENT_TOO_LARGE, NOT_FOUND

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.web.problem_type import ProblemType

MAX_CONTENTS_BYTES = 64 * 1024 * 1024
"""The size in bytes of all documents that may arrive at a time. A larger one may arrive if it is the only one."""


@dataclass(slots=True)
class Contents:
    """Decides which contents are read.

    :ivar limit_of: gives the size in bytes of the largest content at a path; ``None`` if there is nothing at it.
    :ivar METHODS: the methods with such content.
    :ivar LEAST_RATE: the bytes per second that a client sends at least, after the time of a head.
    """

    METHODS: ClassVar[frozenset[bytes]] = frozenset({b"PUT", b"PATCH"})
    LEAST_RATE: ClassVar[int] = 64 * 1024

    # required parameters
    limit_of: Callable[[bytes], int | None]

    # internal state
    _reserved: int = 0

    def refusal(self, path: bytes, length: int | None) -> tuple[ProblemType, str] | None:
        """Gives the type of the problem and the reason with which a content is refused; ``None`` if it is read.

        :param path: the path of the request, with its query.
        :param length: its ``Content-Length``; ``None`` for content in chunks.
        """
        limit = self.limit_of(path.partition(b"?")[0])
        if limit is None:
            return NOT_FOUND, "There is no feed at this path."
        if length is None:
            return operator_problems.LENGTH_REQUIRED, "A document is sent with its Content-Length, and not in chunks."
        if length > limit:
            return CONTENT_TOO_LARGE, f"The document has {length} bytes, and {limit} at most (--max-bytes)."
        if self._reserved and self._reserved + length > MAX_CONTENTS_BYTES:
            return operator_problems.TOO_MANY_UPLOADS, "Too many documents arrive at this moment. Come back later."
        return None

    def reserve(self, length: int) -> None:
        """Sets memory aside for a content."""
        self._reserved += length

    def release(self, length: int) -> None:
        """Gives memory back."""
        self._reserved -= length
