"""Answers that came in one read, by which the next ones of the same size are recognised without being parsed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from livefeed.load.answers import HEAD_END

if TYPE_CHECKING:
    from livefeed.load.answers import Head
    from livefeed.load.documents import Version

MAX_LAYOUTS = 32
"""The number of answers of different sizes that are remembered."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A whole answer.

    :ivar head: its head, with the empty line.
    :ivar fixed: the offset and the text of those lines that must be the same; the others are times and ages.
    :ivar content: the content, if it is compared with that of each answer; otherwise empty.
    :ivar version: the version that it names; ``None`` for none.
    :ivar tag: the entity tag.
    :ivar is_verified: whether the content was found to be that of its version.
    """

    head: bytes
    fixed: tuple[tuple[int, bytes], ...]
    content: bytes
    status: int
    version: Version | None
    tag: bytes | None
    is_verified: bool

    @classmethod
    def of(cls, head: Head, content: bytes, version: Version | None, *, is_verified: bool | None) -> Layout:
        """Makes the layout of an answer.

        :param is_verified: whether the content is right; ``None`` if it is not compared.
        """
        fixed = [(0, head.data[: head.data.index(b"\r\n")])]
        for name in (b"\r\ncontent-length:", b"\r\netag:"):
            at = head.data.lower().find(name)
            if at >= 0:
                fixed.append((at, head.data[at : head.data.index(b"\r\n", at + 2) + 2]))
        compared = b"" if is_verified is None else content
        return cls(
            head.data, tuple(fixed), compared, head.status, version, head.field(b"etag"), is_verified=bool(is_verified)
        )

    def fits(self, buffer: bytearray, size: int) -> bool:
        """Tells whether an answer of this size differs from this one in times and ages alone."""
        if buffer.find(HEAD_END, 0, size) != len(self.head) - len(HEAD_END):
            return False
        return all(buffer.startswith(text, at) for at, text in self.fixed)
