"""The frames of WebSockets (RFC 6455, 5), as a client receives and sends them, and compressed messages (RFC 7692)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from enum import IntEnum

from livefeed.load.answers import AnswerError

PONG_MASK = bytes(4)
"""The mask of a client's frames. All zeros are allowed to one whose bytes no web page chooses (RFC 6455, 10.3)."""


class Opcode(IntEnum):
    """The kind of a frame."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message, or a control frame.

    :ivar is_compressed: whether its content is still compressed.
    """

    opcode: int
    content: bytes
    is_compressed: bool = False


_FIN, _COMPRESSED, _RESERVED, _OPCODE = 0x80, 0x40, 0x30, 0x0F
_MASKED, _LENGTH = 0x80, 0x7F
_MEDIUM, _LONG = 126, 127
_MAX_CONTROL_BYTES = 125
_FIRST_CONTROL = 8
_TAIL = b"\x00\x00\xff\xff"


@dataclass(slots=True, eq=False)
class FrameReader:
    """Reads frames of a server.

    :param max_bytes: the largest message in bytes.
    :param is_deflated: whether messages may be compressed.
    """

    # required parameters
    max_bytes: int
    is_deflated: bool = False

    # internal state
    _buffer: bytearray = field(default_factory=bytearray)
    _pieces: bytearray = field(default_factory=bytearray)
    _opcode: int = 0  # of the message in pieces; 0 for none
    _is_compressed: bool = False

    def take(self, data: bytes | bytearray | memoryview) -> list[Message]:
        """Takes received bytes, and gives the messages that are complete.

        :raises AnswerError: if they break the protocol, or a message is too large.
        """
        buffer = self._buffer
        buffer += data
        messages: list[Message] = []
        at = 0
        while len(buffer) - at >= 2:  # noqa: PLR2004 - the shortest frame
            first, second = buffer[at], buffer[at + 1]
            start, size = at + 2, second & _LENGTH
            if size >= _MEDIUM:
                start += 2 if size == _MEDIUM else 8
                if len(buffer) < start:
                    break
                size = int.from_bytes(buffer[at + 2 : start])
            self._check(first, second, size)
            if len(buffer) < start + size:
                break
            at = start + size
            if (message := self._message(first, bytes(buffer[start:at]))) is not None:
                messages.append(message)
        del buffer[:at]
        return messages

    def _check(self, first: int, second: int, size: int) -> None:
        if second & _MASKED:
            raise AnswerError("a frame with a mask")
        if first & _RESERVED or (first & _COMPRESSED and not self.is_deflated):
            raise AnswerError("a frame with reserved bits")
        if first & _OPCODE >= _FIRST_CONTROL:
            if size > _MAX_CONTROL_BYTES or not first & _FIN:
                raise AnswerError("a malformed control frame")
        elif size + len(self._pieces) > self.max_bytes:
            raise AnswerError("a message that is too large")

    def _message(self, first: int, payload: bytes) -> Message | None:
        opcode = first & _OPCODE
        if opcode >= _FIRST_CONTROL:
            return Message(opcode, payload)
        if (opcode == Opcode.CONTINUATION) == (self._opcode == 0):
            raise AnswerError("frames in a wrong order")
        is_compressed = bool(first & _COMPRESSED)
        if opcode:
            if first & _FIN:
                return Message(opcode, payload, is_compressed)
            self._opcode, self._is_compressed = opcode, is_compressed
        self._pieces += payload
        if not first & _FIN:
            return None
        message = Message(self._opcode, bytes(self._pieces), self._is_compressed)
        self._pieces, self._opcode = bytearray(), 0
        return message


@dataclass(slots=True, eq=False)
class Inflater:
    """Decompresses messages. If each is compressed on its own, all watchers share one of these, and the last result.

    :param max_bytes: the largest message in bytes.
    :param is_stateless: whether each message is compressed on its own.
    """

    # required parameters
    max_bytes: int
    is_stateless: bool

    # internal state
    _stream: zlib._Decompress | None = None
    _last: tuple[bytes, bytes] = (b"", b"")

    def inflate(self, content: bytes) -> bytes:
        """Gives a message without compression.

        :raises AnswerError: if it is not compressed correctly, or too large.
        """
        if self.is_stateless and content == self._last[0]:
            return self._last[1]
        stream = self._stream
        if stream is None or self.is_stateless:
            stream = self._stream = zlib.decompressobj(wbits=-15)
        try:
            found = stream.decompress(content + _TAIL, self.max_bytes + 1)
        except zlib.error:
            raise AnswerError("a message that is not compressed correctly") from None
        if len(found) > self.max_bytes:
            raise AnswerError("a message that is too large")
        self._last = content, found
        return found


def client_frame(opcode: Opcode, payload: bytes = b"") -> bytes:
    """Gives a control frame of a client.

    :param payload: 125 bytes at most.
    """
    return bytes([_FIN | opcode, _MASKED | len(payload)]) + PONG_MASK + payload
