"""Reads replies of Redis (RESP2) out of the bytes of a connection.

Rule: this file is pure. It keeps no more than what was fed into it, and takes time in proportion to that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LINE = 16384
"""The longest first line of a reply, in bytes. Errors are lines, and some repeat what they were asked."""

MAX_DEPTH = 8
"""Lists in lists; no command that is used here answers with more than three."""

_NUMBER = re.compile(rb"-?[0-9]{1,19}")
_LENGTH = re.compile(rb"-1|[0-9]{1,10}")

Reply: TypeAlias = "bytes | str | int | list[Reply] | ErrorReply | None"
"""A string is ``bytes``, a status is ``str``."""


class NotRedisError(Exception):
    """The peer sends what is no reply of Redis."""


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """An error that the server answers with.

    :ivar said: its text, without the prefix ``ERR``, which says nothing.
    """

    said: str


@dataclass(slots=True)
class ReplyReader:
    """Puts replies together, however they are cut."""

    _buffer: bytearray = field(default_factory=bytearray)
    _length: int | None = None  # of the string that is being read
    _searched: int = 0  # so far there is no line end
    _lists: list[tuple[list[Reply], int]] = field(default_factory=list)  # begun, with the length that each will have

    def feed(self, data: bytes) -> Iterator[Reply]:
        """Gives the replies that are whole now.

        :raises NotRedisError: if this cannot be a reply; the reader is then of no more use.
        """
        self._buffer += data
        position = 0
        try:
            while True:
                if self._length is None:
                    end = self._buffer.find(b"\r\n", max(position, self._searched))
                    if end < 0 or end - position > MAX_LINE:
                        break
                    line, position = bytes(self._buffer[position:end]), end + 2
                    reply = self._read_line(line)
                    if reply is _PART:
                        continue
                else:
                    end = position + self._length
                    if len(self._buffer) < end + 2:
                        break
                    if self._buffer[end : end + 2] != b"\r\n":
                        raise NotRedisError
                    reply, position, self._length = bytes(self._buffer[position:end]), end + 2, None
                yield from self._add(reply)
        finally:
            del self._buffer[:position]
        self._searched = 0
        if self._length is None:
            if len(self._buffer) > MAX_LINE or self._buffer[:1].translate(None, b"$*:+-"):
                raise NotRedisError
            self._searched = max(0, len(self._buffer) - 1)

    def _read_line(self, line: bytes) -> Reply:
        """Gives the reply that a line is, or ``_PART`` if more belongs to it."""
        kind, rest = line[:1], line[1:]
        if kind in (b"$", b"*"):
            return self._begin(kind, rest)
        if kind == b":" and _NUMBER.fullmatch(rest):
            return int(rest)
        if kind == b"+":
            return rest.decode("utf-8", "backslashreplace")
        if kind == b"-":
            return ErrorReply(rest.removeprefix(b"ERR ").decode("utf-8", "backslashreplace"))
        raise NotRedisError

    def _begin(self, kind: bytes, rest: bytes) -> Reply:
        if not _LENGTH.fullmatch(rest):
            raise NotRedisError
        length = int(rest)
        if length < 0:
            return None
        if kind == b"$":
            self._length = length
        elif length == 0:
            return []
        elif len(self._lists) == MAX_DEPTH:
            raise NotRedisError
        else:
            self._lists.append(([], length))
        return _PART

    def _add(self, reply: Reply) -> Iterator[Reply]:
        while self._lists:
            items, length = self._lists[-1]
            items.append(reply)
            if len(items) < length:
                return
            self._lists.pop()
            reply = items
        yield reply


_PART: Reply = ErrorReply("what has been read is the beginning of a reply")
