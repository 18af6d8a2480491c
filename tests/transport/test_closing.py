"""The ends and the deadlines of a connection without TLS."""

from __future__ import annotations

import socket

from twisted.internet.error import ConnectionDone

from livefeed.transport.pool import SWEEP_S
from tests.helpers.connection_contracts import ClosingContract
from tests.helpers.connections import (
    LARGE,
    ConnectionTestCase,
    HalfCloseableRecorder,
    Puller,
    ReluctantRecorder,
)


class ClosingTests(ClosingContract):
    """Closing without TLS."""

    __test__ = True


class ExpiryTests(ConnectionTestCase):
    protocol_class = ReluctantRecorder

    def test_protocol_is_asked(self) -> None:
        """The protocol may extend its deadline."""
        self.connection.set_deadline(5)
        self.reactor.advance(5 + SWEEP_S)
        self.assertEqual((self.protocol.timeouts, self.protocol.lost), (1, None))
        self.reactor.advance(100)
        self.assertEqual(self.protocol.timeouts, 1)

    def test_protocol_that_breaks_when_it_is_asked(self) -> None:
        """The connection of such a protocol ends, and the sweep continues with the others."""
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
        """The server's side ends after all written data; the protocol is notified once, and can still read."""
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
        """The server ends its side once the producer has unregistered."""
        self.connection.registerProducer(Puller(self.connection, [b"a", b"b"]), False)
        self.connection.loseWriteConnection()
        self.settle()
        self.assertEqual(self.protocol.events, ["write"])
        self.assertTrue(self.client.ended)

    def test_producer_of_a_side_that_was_ended(self) -> None:
        """Is sent nothing of, also after the end of the connection: the data before it was not sent either."""
        self.fill()
        puller = Puller(self.connection, [b"a", b"b", b"c"])
        self.connection.registerProducer(puller, False)
        self.connection.loseWriteConnection()
        self.connection.loseConnection()
        self.turn_until(lambda: self.client.ended, self.client)
        self.assertEqual((self.client.received, puller.pieces), (LARGE, []))
        self.client.close()
        self.assert_lost(ConnectionDone)

    def test_both_end_their_sides(self) -> None:
        """Each is told once; the connection is the protocol's to end."""
        self.connection.loseWriteConnection()
        self.client.sock.shutdown(socket.SHUT_WR)
        self.turn_until(lambda: {*self.protocol.events} == {"read", "write"})
        self.assertEqual(sorted(self.protocol.events), ["read", "write"])

    def test_protocol_that_breaks_when_told(self) -> None:
        """The error is logged, and the connection ends."""
        self.protocol.broken = "readConnectionLost"
        self.client.sock.shutdown(socket.SHUT_WR)
        self.assert_lost(RuntimeError)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
