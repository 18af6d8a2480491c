"""A connection without TLS, on a real socket: its protocol, its addresses and the answers that are repeated."""

from __future__ import annotations

import socket
import tempfile
from typing import Any

from twisted.internet.error import ConnectionDone

from tests.helpers.connection_contracts import ReplayContract
from tests.helpers.connections import (
    GET,
    ConnectionTestCase,
)
from tests.helpers.driven import Client


class ConnectionTests(ReplayContract):
    """Connections without TLS."""

    __test__ = True

    def test_addresses(self) -> None:
        """A connection has the addresses of both ends."""
        host, peer = self.connection.getHost(), self.connection.getPeer()
        self.assertEqual((host.host, host.port), self.client.sock.getpeername())
        self.assertEqual((peer.host, peer.port), self.client.sock.getsockname())
        self.assertIs(self.connection.getHandle(), self.connection.sock)

    def test_options(self) -> None:
        """Nagle's algorithm is off from the start."""
        self.assertTrue(self.connection.getTcpNoDelay())
        self.connection.setTcpNoDelay(False)
        self.assertFalse(self.connection.getTcpNoDelay())
        self.assertFalse(self.connection.getTcpKeepAlive())
        self.connection.setTcpKeepAlive(True)
        self.assertTrue(self.connection.getTcpKeepAlive())

    def test_end_by_a_client_that_waits_with_others(self) -> None:
        """Its protocol is told of its request, and may end the connection at that, and then of its end."""
        for breaks in ("", "dataReceived"):
            room = self.wait().room
            assert room is not None
            self.protocol.broken = breaks
            self.client.sock.shutdown(socket.SHUT_WR)
            self.assert_lost(RuntimeError if breaks else ConnectionDone)
            self.assertEqual((self.protocol.received, room.members), (GET, {}))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class UnixTests(ConnectionTestCase):
    """A socket file: no TCP, so nothing to set."""

    def listen(self) -> Any:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = f"{directory.name}/s"
        return self.listening.listenUNIX(self.path, self.factory)

    def open(self, receive_buffer: int = 65_536) -> Client:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(self.path)
        self.clients.append(Client(sock))
        return self.clients[-1]

    def test_options_of_tcp_do_no_harm(self) -> None:
        """Protocols set them without asking."""
        self.connection.setTcpNoDelay(True)
        self.connection.setTcpKeepAlive(True)
        self.send(b"x")
        self.connection.write(b"y")
        self.receive(1)

    def test_addresses(self) -> None:
        """The server's is the file's name."""
        self.assertEqual(self.connection.getHost().name, self.path.encode())
        self.assertIn(self.connection.getPeer().name, (b"", None))
