"""The ends of a connection.

``loseConnection`` begins to drain; when all data is sent, the server's side is shut down, which sends a FIN, and the
connection lingers until the client's FIN. ``loseWriteConnection`` shuts down the server's side alone. Each failure, and
each end at last, goes through ``_connection_lost``, which keeps the reason and hands the connection to the pool; from
there ``close`` closes the socket and tells the protocol. Nothing here calls back into a protocol that is being called.
"""

from __future__ import annotations

import socket
from select import EPOLLIN
from typing import cast

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.python.failure import Failure

from livefeed.transport.connection_state import (
    CLOSED,
    DRAINING,
    DRAINING_HALF,
    HALF_CLOSED,
    HALF_CLOSING,
    LINGERING,
    LOST,
    OPEN,
    ConnectionState,
)
from livefeed.transport.interfaces import IDeadlineListener
from livefeed.transport.sockets import reset_when_closed

LINGER_S = 2.0
"""Seconds that a client has to end its side after the server has ended its own. To close with unread data would send a
reset, which can reach the client before the answer does (RFC 9112, 9.6)."""

SEND_TIMEOUT_S = 300.0
"""Seconds that a client has to read the data that is still to be sent before the end."""


_DONE = Failure(ConnectionDone())


class Closing(ConnectionState):
    """The ends of a connection, and its deadline."""

    __slots__ = ()

    # ITransport and ITCPTransport

    def loseConnection(self) -> None:
        """ITransport API. All data written before is sent first."""
        if self._state < DRAINING:
            fin_is_sent = self._state == HALF_CLOSED
            self._state = DRAINING_HALF if self._state == HALF_CLOSING else DRAINING
            if self._room is not None:
                self._room.leave(self)
            self._clear_can_send()
            self._answers = None
            self.set_deadline(SEND_TIMEOUT_S)
            if fin_is_sent:
                self._shutdown_and_linger()
            else:
                self._shutdown_if_drained()

    def loseWriteConnection(self) -> None:
        """ITCPTransport API."""
        if self._state == OPEN:
            self._state = HALF_CLOSING
            self._clear_can_send()
            self._answers = None
            self._shutdown_if_drained()

    def abortConnection(self) -> None:
        """ITCPTransport API. The client is sent a reset, and none of the data that was not sent yet."""
        if self._state < LOST:
            self._unsent = ()
            reset_when_closed(self.sock)
            self._connection_lost(Failure(ConnectionAborted()))

    # For the pool

    def set_deadline(self, seconds: float | None) -> None:
        """Sets the time at which the protocol is told, if it is an ``IDeadlineListener``, or the connection aborted.

        :param seconds: from the pool's last sweep, and as exact as the sweeps; ``None`` for no deadline.
        """
        if seconds is None:
            self.pool.deadlines.pop(self, None)
        elif self._state != CLOSED:
            self.pool.deadlines[self] = self.pool.now + seconds

    def close_if_idle(self) -> None:
        """Ends a connection on which nothing is under way that a protocol would know of."""
        if self._protocol is None and self._room is None:
            self.loseConnection()

    def expire(self) -> None:
        """Handles that the deadline has passed."""
        idle_until = self._active_at + self.pool.limits.idle_s
        if self._at_boundary and idle_until > self.pool.now and self._state < DRAINING:
            self.pool.deadlines[self] = idle_until
            return
        if self._room is not None:
            # Waiting is no idleness. To set the deadline when it begins and ends would cost each more than this.
            self.set_deadline(self.pool.limits.idle_s)
            return
        self.set_deadline(None)
        if self._state == LINGERING:
            # Orderly: the kernel goes on sending what it has, which a reset would discard.
            self._connection_done()
        elif self._protocol is None and self._at_boundary and self._state < DRAINING:
            self.loseConnection()
        elif self._state < DRAINING and IDeadlineListener.providedBy(self._protocol):
            try:
                cast("IDeadlineListener", self._protocol).timeoutConnection()
            except Exception:
                self._protocol_failed("timeoutConnection")
        else:
            self.abortConnection()

    def close(self) -> None:
        """Closes the socket of a connection that is lost, and tells the protocol the reason."""
        reason, self._reason = self._reason, None
        if self._state != LOST or reason is None:
            return
        self._state = CLOSED
        self._answers = None
        self._unsent = ()
        self.sock.close()
        self._stop_producer()
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            try:
                protocol.connectionLost(reason)
            except Exception:
                self.pool.log_failure("connectionLost", protocol)

    # Inside

    def _shutdown_if_drained(self) -> None:
        """Shuts down the sides that are to be shut down, if all data is sent.

        After the end the descriptor may be another connection's.
        """
        if self._corked or self._unsent or self._producer is not None:
            return
        if DRAINING <= self._state < LINGERING:
            self._shutdown_and_linger()
        elif self._state == HALF_CLOSING:
            self._state = HALF_CLOSED
            self._shutdown_write()
            if IHalfCloseableProtocol.providedBy(self._protocol):
                cast("IHalfCloseableProtocol", self._protocol).writeConnectionLost()

    def _shutdown_and_linger(self) -> None:
        """Shuts down the server's side, after all data is sent, and waits a while for the client's FIN."""
        if self._read_ended:
            # The socket is closed after this turn, which sends the FIN. A client that has closed its own has often
            # answered close_notify with a reset by now, so that to shut down first was an error: 15 of 285 µs.
            self._end_write()
            self._connection_done()
            return
        self._shutdown_write()
        if self._state < LINGERING:
            self._state = LINGERING
            self.set_deadline(LINGER_S)
            self._watch(self._mask | EPOLLIN)

    def _shutdown_write(self) -> None:
        """Shuts down the server's side, after all data is sent: the kernel sends a FIN."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._socket_failed(error)

    def _end_write(self) -> None:
        """Does what comes before the FIN, where closing the socket sends it. Without TLS there is nothing."""

    def _stop_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                producer.stopProducing()
            except Exception:
                self.pool.log_failure("stopProducing", producer)

    def _socket_failed(self, error: OSError) -> None:
        """Handles an error of the socket: the connection is lost."""
        self._connection_lost(Failure(ConnectionLost(error.strerror) if error.strerror else ConnectionLost()))

    def _protocol_failed(self, where: str) -> None:
        """Handles the current exception of the protocol: it is logged, and the connection is lost."""
        failure = Failure()
        self.pool.log_failure(where, self._protocol)
        self._connection_lost(failure)

    def _connection_done(self) -> None:
        """Has the pool close the connection after an end in order."""
        # To make a reason takes 3 µs, and without a protocol nobody is told.
        self._connection_lost(_DONE if self._protocol is None else Failure(ConnectionDone()))

    def _connection_lost(self, reason: Failure) -> None:
        """Has the pool close the connection after this turn."""
        if self._state < LOST:
            self._state = LOST
            self._reason = reason
            if self._room is not None:
                self._room.leave(self)
            self._clear_can_send()
            self.pool.close_later(self)
