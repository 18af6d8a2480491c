"""Subscribers whose messages have different lengths: the heads of their WebSocket frames are read, and nothing else."""

from __future__ import annotations

import time

from OpenSSL import SSL

from livefeed.tls import openssl
from tests.bench.load import MASKED, PONG, Watchers

FINAL, OPCODE, CONTROL, PING = 0x80, 0x0F, 0x08, 0x09
LENGTH_2, LENGTH_8 = 126, 127
"""The lengths in the second byte of a frame in whose place the next two or eight bytes have the length."""


class Frames:
    """Counts the messages in the bytes that a server sends on one WebSocket (RFC 6455, 5.2), and keeps none of them.

    :param least_bytes: shorter messages do not count: Centrifugo's pings are messages of two bytes.
    :ivar pings: the payloads of the pings that were not answered yet.
    """

    __slots__ = ("_is_final", "_least_bytes", "_left", "_rest", "pings")

    def __init__(self, least_bytes: int = 0) -> None:
        self._least_bytes = least_bytes
        self._left = 0  # bytes of a payload that has begun
        self._is_final = False  # whether its frame ends a message that counts
        self._rest = b""  # the beginning of a head, or of a control frame
        self.pings: list[bytes] = []

    def take(self, data: bytes) -> int:
        """Takes the next bytes, in pieces of any length. Gives the number of messages that end in them."""
        if self._left > len(data):
            self._left -= len(data)
            return 0
        at = messages = 0
        if self._left:
            at, self._left, messages = self._left, 0, int(self._is_final)
        elif self._rest:
            data, self._rest = self._rest + data, b""
        size = len(data)
        while at < size:
            payload, length = at + 2, data[at + 1] if at + 1 < size else LENGTH_8
            if length >= LENGTH_2:
                width = 2 if length == LENGTH_2 else 8
                payload += width
                length = int.from_bytes(data[payload - width : payload], "big")
            end, opcode = payload + length, data[at] & OPCODE
            if payload > size or (opcode & CONTROL and end > size):
                self._rest = data[at:]
                break
            if opcode & CONTROL:
                if opcode == PING:
                    self.pings.append(data[payload:end])
            elif end > size:
                self._left, self._is_final = end - size, bool(data[at] & FINAL) and length >= self._least_bytes
                break
            elif length >= self._least_bytes:
                messages += data[at] >> 7
            at = end
        return messages


class FrameWatchers(Watchers):
    """Many subscribers, whose messages are counted by their frames.

    :param port: of the server.
    :param path: of the WebSocket.
    :param least_bytes: shorter messages do not count.
    """

    def __init__(self, port: int, path: str, least_bytes: int = 0) -> None:
        super().__init__(port, path)
        self._least_bytes = least_bytes
        self._frames: dict[int, Frames] = {}

    def _begin(self, fd: int, data: bytes) -> None:
        # The messages that come with the handshake are not counted, but one of them may go on in the next record.
        if fd not in self._frames:
            self._frames[fd] = Frames(self._least_bytes)
        self._frames[fd].take(data)

    def run(self, seconds: float) -> list[float]:
        """Receives for a while, and gives when messages were complete."""
        done: list[float] = []
        end = time.monotonic() + seconds
        frames, connections = self._frames, self._connections
        road = openssl.choose_calls()
        handle, read, take, buffer = road.handle, road.read, road.take, road.buffer
        while (now := time.monotonic()) < end:
            for fd, _ in self._epoll.poll(min(end - now, 0.5), 1024):
                connection, of_it = connections[fd][1], frames[fd]
                try:
                    count = read(handle(connection), buffer, openssl.RECORD_BYTES)
                    if count <= 0:
                        road.fail(connection, count)
                    messages = of_it.take(take(buffer, count))
                    while of_it.pings:
                        ping = of_it.pings.pop(0)
                        connection.send(PONG % (MASKED | len(ping)) + ping)
                except (SSL.WantReadError, SSL.WantWriteError):
                    continue
                except SSL.Error:
                    self._epoll.unregister(fd)
                    self._lost += 1
                    continue
                if messages:
                    done += [time.monotonic()] * messages
        return done
