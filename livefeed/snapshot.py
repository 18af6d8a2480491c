"""One immutable version of the document, with everything that is computed from it.

Rule: this file is pure. No Twisted, no clock, no I/O; the same bytes give the same version everywhere.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from livefeed.encodings import compress, websocket_text_frame

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION_DIGITS = 32


@dataclass(frozen=True, slots=True, order=True)
class Sequence:
    """The order of versions.

    :ivar epoch: when the counter was begun, in milliseconds since 1970; a later one is larger.
    :ivar number: counts the versions of the epoch, from 1.
    """

    epoch: int
    number: int

    def next(self) -> Sequence:
        """Gives the sequence of the version that follows."""
        return Sequence(self.epoch, self.number + 1)

    def __str__(self) -> str:
        return f"{self.epoch}.{self.number}"


def version_of(data: bytes) -> str:
    """Gives the version of a document: the first 32 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(data).hexdigest()[:VERSION_DIGITS]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A version of the document.

    :ivar data: the document's bytes, as they were pulled.
    :ivar version: names these bytes; see :func:`version_of`.
    :ivar sequence: this version's place among the others.
    :ivar codings: the document in each content coding that makes it smaller, the preferred one first.
    :ivar frame: the document as one WebSocket text frame.
    :ivar compressed_frame: the same, for those who have agreed on permessage-deflate without context takeover.
    """

    data: bytes
    version: str
    sequence: Sequence
    codings: Mapping[str, bytes]
    frame: bytes
    compressed_frame: bytes

    @classmethod
    def of(cls, data: bytes, sequence: Sequence) -> Self:
        """Makes the snapshot of a document that has passed the gate."""
        compressed = compress(data)
        return cls(
            data=data,
            version=version_of(data),
            sequence=sequence,
            codings={"gzip": compressed.gzip} if len(compressed.gzip) < len(data) else {},
            frame=websocket_text_frame(data),
            compressed_frame=websocket_text_frame(compressed.message, compressed=True),
        )
