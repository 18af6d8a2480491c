"""The state of a connection, on a real socket and with a pool that records what it is told."""

from __future__ import annotations

import socket
import weakref
from select import EPOLLIN, EPOLLOUT
from typing import TYPE_CHECKING, cast
from unittest.mock import Mock

from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from livefeed.transport.connection_state import (
    CLOSED,
    DRAINING,
    HALF_CLOSED,
    HALF_CLOSING,
    LINGERING,
    LOST,
    OPEN,
    ConnectionState,
)
from livefeed.web.replay import Replay

if TYPE_CHECKING:
    from livefeed.transport.interfaces import ConnectionPool


class RecordingPool:
    """Records the events that connections wait for."""

    def __init__(self) -> None:
        self.watched: list[tuple[int, int]] = []

    def watch(self, fd: int, mask: int) -> None:
        """ConnectionPool API."""
        self.watched.append((fd, mask))


class ConnectionStateTests(SynchronousTestCase):
    """ConnectionState."""

    def setUp(self) -> None:
        self.pool = RecordingPool()
        self.sock, other = socket.socketpair()
        for sock in (self.sock, other):
            self.addCleanup(sock.close)
        self.connection = ConnectionState(cast("ConnectionPool", self.pool), self.sock, ("192.0.2.1", 4711), Factory())

    def test_beginning(self) -> None:
        """It is open, waits for data, and sends nothing straight to the socket; the pool was told nothing yet."""
        self.assertEqual(self.connection.fd, self.sock.fileno())
        self.assertEqual((self.connection.connected, self.connection.disconnecting), (True, False))
        self.assertEqual((self.connection._mask, self.connection._can_send), (EPOLLIN, False))
        self.assertFalse(self.connection.over_capacity)
        self.assertEqual(self.pool.watched, [])

    def test_states(self) -> None:
        """Half a close leaves the connection to its protocol; it is connected until its socket is closed."""
        found = {}
        for state in (OPEN, HALF_CLOSING, HALF_CLOSED, DRAINING, LINGERING, LOST, CLOSED):
            self.connection._state = state
            found[state] = (self.connection.connected, self.connection.disconnecting)
        self.assertEqual([state for state, (connected, _) in found.items() if not connected], [CLOSED])
        ends = [state for state, (_, disconnecting) in found.items() if disconnecting]
        self.assertEqual(ends, [DRAINING, LINGERING, LOST, CLOSED])

    def test_peer_after_the_end(self) -> None:
        """Its address does not need the socket."""
        self.sock.close()
        self.assertEqual(self.connection.getPeer(), IPv4Address("TCP", "192.0.2.1", 4711))

    def test_peer_that_a_proxy_names(self) -> None:
        """It stands in for the socket's own from then on, also after the end."""
        named = IPv4Address("TCP", "198.51.100.7", 56)
        self.connection.set_peer(named)
        self.assertEqual(self.connection.getPeer(), named)
        self.sock.close()
        self.assertEqual(self.connection.getPeer(), named)

    def test_reading(self) -> None:
        """It reads for as long as it waits for data, whatever else it waits for."""
        found = []
        for mask in (EPOLLIN, EPOLLIN | EPOLLOUT, EPOLLOUT, 0):
            self.connection._watch(mask)
            found.append(self.connection.reads)
        self.assertEqual(found, [True, True, False, False])

    def test_polling(self) -> None:
        """Its client polls if there is a store that may answer it."""
        self.assertFalse(self.connection.polls)
        self.connection._answers = Replay()
        self.assertTrue(self.connection.polls)

    def test_watch(self) -> None:
        """The pool is told of changes alone, since each is a system call."""
        for mask in (EPOLLIN, EPOLLIN | EPOLLOUT, EPOLLIN | EPOLLOUT, EPOLLIN):
            self.connection._watch(mask)
        self.assertEqual(self.pool.watched, [(self.sock.fileno(), mask) for mask in (EPOLLIN | EPOLLOUT, EPOLLIN)])

    def test_watch_after_the_end(self) -> None:
        """The number of the socket may be that of another connection by then."""
        for state in (LOST, CLOSED):
            self.connection._state = state
            self.connection._watch(EPOLLOUT)
        self.assertEqual((self.pool.watched, self.connection._mask), ([], EPOLLIN))

    def test_no_write_goes_straight_to_the_socket(self) -> None:
        """Once that is cleared."""
        self.connection._can_send = True
        self.connection._clear_can_send()
        self.assertFalse(self.connection._can_send)

    def test_group_that_writes_to_the_handle(self) -> None:
        """It is told, so that it does not do so any more."""
        group = Mock()
        self.connection._writing_group = group
        self.connection._clear_can_send()
        group.take_aside.assert_called_once_with(self.connection)

    def test_memory(self) -> None:
        """There is no dict for each connection, and weak references are possible."""
        self.assertFalse(hasattr(self.connection, "__dict__"))
        self.assertIs(weakref.ref(self.connection)(), self.connection)
