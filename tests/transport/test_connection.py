"""A connection without TLS, from end to end of a real socket: what is written, what is read, and how it ends."""

from __future__ import annotations

import socket
import tempfile
from typing import Any

from twisted.internet.error import ConnectionDone

from livefeed.transport.pool import SWEEP_S
from tests.helpers.connection_contracts import ConnectionContract
from tests.helpers.connections import (
    GET,
    LARGE,
    ConnectionTestCase,
    HalfCloseableRecorder,
    Puller,
    Pusher,
    ReluctantRecorder,
)
from tests.helpers.driven import Client


class ConnectionTests(ConnectionContract):
    """Without TLS."""

    __test__ = True

    def test_addresses(self) -> None:
        """Of both ends."""
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

    def test_end_by_the_client(self) -> None:
        """Is the end, for a protocol that does not know halves."""
        self.client.sock.shutdown(socket.SHUT_WR)
        self.assert_lost(ConnectionDone)

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

    def test_client_that_only_listens_is_sent_the_rest(self) -> None:
        """What was written before its end is sent."""
        self.fill()
        self.client.sock.shutdown(socket.SHUT_WR)
        self.turn_until(lambda: self.client.ended, self.client)
        self.assertEqual(self.client.received, LARGE)
        self.assert_lost(ConnectionDone)

    def test_client_that_only_listens_is_sent_nothing_more(self) -> None:
        """Who goes on writing is told to stop, and the end comes when the rest is sent."""
        pusher = Pusher()
        self.connection.registerProducer(pusher, True)
        self.fill()
        self.client.sock.shutdown(socket.SHUT_WR)
        self.turn_until(lambda: "stop" in pusher.told)
        self.connection.write(b"more")
        self.turn_until(lambda: self.client.ended, self.client)
        self.assertEqual(self.client.received, LARGE)
        self.assert_lost(ConnectionDone)
        self.assertEqual(pusher.told, ["pause", "stop"])

    def test_tiny_buffers(self) -> None:
        """The socket takes a few KB at a time."""
        self.connect(receive_buffer=2048)
        self.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
        data = LARGE[:300_000]
        for start in range(0, len(data), 7_000):
            self.connection.write(data[start : start + 7_000])
        self.receive(len(data))
        self.assertEqual(self.client.received, data)


class ExpiryTests(ConnectionTestCase):
    protocol_class = ReluctantRecorder

    def test_protocol_is_asked(self) -> None:
        """And may decide that there is more time."""
        self.connection.set_deadline(5)
        self.reactor.advance(5 + SWEEP_S)
        self.assertEqual((self.protocol.timeouts, self.protocol.lost), (1, None))
        self.reactor.advance(100)
        self.assertEqual(self.protocol.timeouts, 1)

    def test_protocol_that_breaks_when_it_is_asked(self) -> None:
        """Is ended, and the sweep goes on for the others."""
        other = self.protocol
        self.connect()
        self.protocol.broken = "timeoutConnection"
        for protocol in (self.protocol, other):
            protocol.transport.set_deadline(5)
        self.reactor.advance(5 + SWEEP_S)
        self.assert_lost(RuntimeError)
        self.assertEqual(other.timeouts, 1)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        other.transport.set_deadline(5)
        self.reactor.advance(5 + SWEEP_S)
        self.assertEqual(other.timeouts, 2)


class HalfCloseTests(ConnectionTestCase):
    protocol_class = HalfCloseableRecorder

    def test_client_ends_its_side(self) -> None:
        """The protocol is told, once, and can still write."""
        self.client.sock.shutdown(socket.SHUT_WR)
        self.turn_until(lambda: bool(self.protocol.events))
        self.reactor.advance(10)
        self.assertEqual((self.protocol.events, self.protocol.lost), (["read"], None))
        self.connection.write(b"still writing")
        self.connection.resumeProducing()
        self.receive(13)
        self.connection.loseConnection()
        self.assert_lost(ConnectionDone)
        self.assertEqual(self.protocol.events, ["read"])

    def test_server_ends_its_side(self) -> None:
        """After what was written; the protocol is told, once, and can still read."""
        self.fill()
        self.connection.loseWriteConnection()
        self.connection.write(b"too late")
        self.assertEqual(self.protocol.events, [])
        self.turn_until(lambda: self.client.ended, self.client)
        self.assertEqual(self.client.received, LARGE)
        for _ in range(3):
            self.send(b"still reading")
        self.assertEqual((self.protocol.events, self.protocol.lost), (["write"], None))
        self.connection.loseConnection()
        self.client.close()
        self.assert_lost(ConnectionDone)
        self.assertEqual(self.protocol.events, ["write"])

    def test_server_ends_its_side_within_an_answer(self) -> None:
        """The answer is sent first."""

        def answer(data: bytes) -> None:
            self.connection.write(b"goodbye")
            self.connection.loseWriteConnection()

        self.protocol.dataReceived = answer  # type: ignore[method-assign]
        self.client.send(b"x")
        self.turn_until(lambda: self.client.ended, self.client)
        self.assertEqual((self.client.received, self.protocol.events), (b"goodbye", ["write"]))

    def test_server_ends_its_side_behind_a_producer(self) -> None:
        """Once that has left."""
        self.connection.registerProducer(Puller(self.connection, [b"a", b"b"]), False)
        self.connection.loseWriteConnection()
        self.settle()
        self.assertEqual(self.protocol.events, ["write"])
        self.assertTrue(self.client.ended)

    def test_both_end_their_sides(self) -> None:
        """Each is told once; the connection is the protocol's to end."""
        self.connection.loseWriteConnection()
        self.client.sock.shutdown(socket.SHUT_WR)
        self.turn_until(lambda: {*self.protocol.events} == {"read", "write"})
        self.assertEqual(sorted(self.protocol.events), ["read", "write"])

    def test_protocol_that_breaks_when_told(self) -> None:
        """Is logged, and ended."""
        self.protocol.broken = "readConnectionLost"
        self.client.sock.shutdown(socket.SHUT_WR)
        self.assert_lost(RuntimeError)
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
