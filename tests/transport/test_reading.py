"""Data that a connection without TLS receives, and the end of the client's side."""

from __future__ import annotations

import socket

from twisted.internet.error import ConnectionDone

from tests.helpers.connection_contracts import ReadingContract
from tests.helpers.connections import (
    LARGE,
    Pusher,
)


class ReadingTests(ReadingContract):
    """Reading without TLS."""

    __test__ = True

    def test_end_by_the_client(self) -> None:
        """The connection ends if its protocol does not support half-closed connections."""
        self.client.sock.shutdown(socket.SHUT_WR)
        self.assert_lost(ConnectionDone)

    def test_client_that_only_listens_is_sent_the_rest(self) -> None:
        """All data written before the client's end of stream is sent."""
        self.fill()
        self.client.sock.shutdown(socket.SHUT_WR)
        self.turn_until(lambda: self.client.ended, self.client)
        self.assertEqual(self.client.received, LARGE)
        self.assert_lost(ConnectionDone)

    def test_client_that_only_listens_is_sent_nothing_more(self) -> None:
        """A producer that continues to write is stopped, and the connection ends once all earlier data is sent."""
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
