"""Data that comes in, and the end of the client's side."""

from __future__ import annotations

from select import EPOLLIN
from typing import cast

from twisted.internet.interfaces import IHalfCloseableProtocol

from livefeed.transport.closing import SEND_TIMEOUT_S
from livefeed.transport.connection_state import DRAINING, LOST, OPEN, READ_BYTES
from livefeed.transport.writing import Writing


class Reading(Writing):
    """The part of a connection that receives."""

    __slots__ = ()

    # IPushProducer

    def pauseProducing(self) -> None:
        """IPushProducer API."""
        self._watch(self._mask & ~EPOLLIN)

    def resumeProducing(self) -> None:
        """IPushProducer API."""
        if not self._read_ended:
            self._watch(self._mask | EPOLLIN)

    def stopProducing(self) -> None:
        """IPushProducer API."""
        self.loseConnection()

    # The call to the socket, which TLS replaces

    def _receive(self) -> bytes | None:
        """Gives the data that can be read; ``None`` if there is none. The reason for that is handled then."""
        try:
            data = self.sock.recv(READ_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            self._socket_failed(error)
            return None
        if not data:
            self._eof_received()
            return None
        return data

    # Inside

    def _eof_received(self) -> None:
        """Handles the client's FIN: it sends no more data."""
        if self._room is not None:
            # Whether a client that sends no more is still answered is the protocol's decision.
            self._leave_room()
        if self._state >= LOST:
            # Lost just now, or before in this turn: an event can arrive before the pool closes the connection.
            return
        self._read_ended = True
        protocol = self._protocol
        if protocol is None and not self._unsent and self._state == OPEN:
            # A client that has polled, or has said nothing. Its answers are sent.
            self._answers = None
            self._end_write()
            self._connection_done()
            return
        self._watch(self._mask & ~EPOLLIN)
        if protocol is not None and IHalfCloseableProtocol.providedBy(protocol) and self._state < DRAINING:
            try:
                cast("IHalfCloseableProtocol", protocol).readConnectionLost()
            except Exception:
                self._protocol_failed("readConnectionLost")
        elif self._unsent:
            # A client that only listens is still sent the data written before, and nothing more.
            self._state = max(self._state, DRAINING)
            self._clear_can_send()
            self.set_deadline(SEND_TIMEOUT_S)
            self._stop_producer()
        elif protocol is None:
            self.loseConnection()
        else:
            self._connection_done()
