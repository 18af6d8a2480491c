"""The content of answers that are read as they come: by its length, in chunks, or until the connection ends."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from livefeed.load.answers import AnswerError

if TYPE_CHECKING:
    from livefeed.load.answers import Head

MAX_CHUNK_LINE_BYTES = 1024
"""The largest line with the size of a chunk, or of a trailer, in bytes."""

MAX_TRAILERS = 64
"""The largest number of lines behind the last chunk."""

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?")


@dataclass(slots=True, eq=False)
class Body:
    """The content of one answer.

    :param head: the head of the answer.
    :param max_bytes: the most bytes of content; ``None`` for a stream, whose reader bounds its own pieces.
    :ivar is_done: whether all of it has come.
    :ivar rest: the bytes behind its end.
    """

    # required parameters
    head: Head
    max_bytes: int | None

    # internal state
    is_done: bool = False
    rest: bytes = b""
    _size: int = 0
    _left: int = 0  # of the current chunk, with the line end behind it
    _line: bytearray = field(default_factory=bytearray)
    _trailers: int = -1  # the lines behind the last chunk; -1 before it

    def __post_init__(self) -> None:
        length = self.head.length
        if length is not None and self.max_bytes is not None and length > self.max_bytes:
            raise AnswerError("a content that is too large")
        self.is_done = length == 0

    def take(self, data: bytes) -> bytes:
        """Takes received bytes, and gives those of the content.

        :raises AnswerError: if the content is too large, or its chunks are malformed.
        """
        if self.head.is_chunked:
            content = self._chunks(data)
        elif self.head.length is None:
            content = data
        else:
            content = data[: self.head.length - self._size]
            self.rest = data[len(content) :]
        self._size += len(content)
        if self.max_bytes is not None and self._size > self.max_bytes:
            raise AnswerError("a content that is too large")
        self.is_done = self.is_done or self._size == self.head.length
        return content

    def end(self) -> None:
        """Is told that the connection has ended.

        :raises AnswerError: if the content has not.
        """
        if self.head.is_chunked or self.head.length is not None:
            raise AnswerError("an answer that ends in the middle")
        self.is_done = True

    def _chunks(self, data: bytes) -> bytes:
        pieces: list[bytes] = []
        at = 0
        while at < len(data) and not self.is_done:
            if self._left:
                piece = data[at : at + self._left]
                at += len(piece)
                # The line end behind a chunk is not content.
                kept = len(piece) - max(0, 2 - (self._left - len(piece)))
                if kept > 0:
                    pieces.append(piece[:kept])
                self._left -= len(piece)
                continue
            end = data.find(b"\n", at)
            self._line += data[at : len(data) if end < 0 else end]
            if len(self._line) > MAX_CHUNK_LINE_BYTES:
                raise AnswerError("a line of chunks without end")
            if end < 0:
                at = len(data)
                continue
            at = end + 1
            line, self._line = bytes(self._line).rstrip(b"\r"), bytearray()
            self._take_line(line)
        self.rest = data[at:]
        return b"".join(pieces)

    def _take_line(self, line: bytes) -> None:
        if self._trailers >= 0:
            self._trailers += 1
            if self._trailers > MAX_TRAILERS:
                raise AnswerError("trailers without end")
            self.is_done = not line
            return
        found = _SIZE.fullmatch(line)
        if found is None:
            raise AnswerError("a malformed chunk")
        size = int(found[1], 16)
        if size:
            self._left = size + 2
        else:
            self._trailers = 0
