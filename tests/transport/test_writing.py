"""Data that a connection without TLS sends, and its producers."""

from __future__ import annotations

import socket

from tests.helpers.connection_contracts import WritingContract
from tests.helpers.connections import (
    LARGE,
)


class WritingTests(WritingContract):
    """Writing without TLS."""

    __test__ = True

    def test_tiny_buffers(self) -> None:
        """The socket takes a few KB at a time."""
        self.connect(receive_buffer=2048)
        self.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
        data = LARGE[:300_000]
        for start in range(0, len(data), 7_000):
            self.connection.write(data[start : start + 7_000])
        self.receive(len(data))
        self.assertEqual(self.client.received, data)
