"""Reads the replies of Redis (RESP2) from the bytes of a connection.

Rule: this file is pure. Its memory and its time are proportional to the bytes that were fed in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LINE = 16384
"""Length of the longest line of a reply, in bytes. Errors are lines, and some repeat the command."""

MAX_DEPTH = 8
"""Depth of nested lists. The replies to the commands that are used here have at most three levels."""

_NUMBER = re.compile(rb"-?[0-9]{1,19}")
_LENGTH = re.compile(rb"-1|[0-9]{1,10}")

Reply: TypeAlias = "bytes | str | int | list[Reply] | ErrorReply | None"
"""A string is ``bytes``, a status is ``str``."""


class NotRedisError(Exception):
    """The peer sends something else than replies of Redis."""


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """A reply that is an error.

    :ivar text: the text, without the general prefix ``ERR``.
    """

    text: str


@dataclass(slots=True)
class ReplyReader:
    """Assembles replies from pieces of any size."""

    _buffer: bytearray = field(default_factory=bytearray)
    _length: int | None = None  # of the string that is being read
    _searched: int = 0  # so far there is no line end
    _lists: list[tuple[list[Reply], int]] = field(default_factory=list)  # incomplete lists, with their final lengths

    def feed(self, data: bytes) -> Iterator[Reply]:
        """Gives the replies that are complete now.

        :raises NotRedisError: if the data are not a reply. The reader cannot be used any more then.
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
        """Gives the reply of a line, or ``_PART`` if more data belong to it."""
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


_PART: Reply = ErrorReply("the beginning of a reply")
