"""Server-sent events (the HTML standard, 9.2), as bytes."""

from __future__ import annotations

from dataclasses import dataclass, field

from livefeed.load.answers import AnswerError

MAX_ID_BYTES = 1024
"""The largest ``id`` of an event in bytes. A longer one is cut."""


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """An event with data.

    :ivar kind: its type; empty for ``message``.
    :ivar id: the last ``id`` of the stream.
    :ivar data: the lines of its data, joined by line feeds.
    """

    kind: bytes
    id: bytes
    data: bytes


@dataclass(slots=True, eq=False)
class EventReader:
    """Reads a stream of events.

    :param max_bytes: the largest event in bytes.
    """

    # required parameters
    max_bytes: int

    # internal state
    _buffer: bytearray = field(default_factory=bytearray)
    _searched: int = 0  # the bytes of the buffer without a line end
    _lines: list[bytes] = field(default_factory=list)
    _size: int = 0
    _kind: bytes = b""
    _id: bytes = b""

    def take(self, data: bytes) -> list[StreamEvent]:
        """Takes received bytes, and gives the events that are complete. Lines end with a line feed, or with both.

        :raises AnswerError: if an event is too large.
        """
        buffer = self._buffer
        buffer += data
        events: list[StreamEvent] = []
        start = 0
        while (end := buffer.find(b"\n", max(start, self._searched))) >= 0:
            line = bytes(buffer[start:end])
            start = end + 1
            if (event := self._take_line(line.removesuffix(b"\r"))) is not None:
                events.append(event)
        del buffer[:start]
        self._searched = len(buffer)
        if self._size + len(buffer) > self.max_bytes:
            raise AnswerError("an event that is too large")
        return events

    def _take_line(self, line: bytes) -> StreamEvent | None:
        if not line:
            lines, kind = self._lines, self._kind
            self._lines, self._kind, self._size = [], b"", 0
            return StreamEvent(kind, self._id, b"\n".join(lines)) if lines else None
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._lines.append(value)
            self._size += len(line)
            if self._size > self.max_bytes:
                raise AnswerError("an event that is too large")
        elif name == b"event":
            self._kind = value[:MAX_ID_BYTES]
        elif name == b"id":
            self._id = value[:MAX_ID_BYTES]
        return None
