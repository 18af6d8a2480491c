"""Connections that tell the store of answers which client asks it, for an access log.

They are classes of their own, so that connections without an access log have nothing more to do.
"""

from __future__ import annotations

from livefeed.transport.connection import Connection
from livefeed.transport.tls_connection import TLSConnection

# To look them up at their classes would take 20 ns more.
_handle, _handle_tls = Connection.handle, TLSConnection.handle


class LoggedConnection(Connection):
    """A connection without TLS."""

    __slots__ = ()

    def handle(self, events: int) -> None:
        """PooledConnection API."""
        answers = self._answers
        if answers is not None:
            answers.peer = self._peer
        _handle(self, events)


class LoggedTLSConnection(TLSConnection):
    """A connection with TLS."""

    __slots__ = ()

    def handle(self, events: int) -> None:
        """PooledConnection API."""
        answers = self._answers
        if answers is not None:
            answers.peer = self._peer
        _handle_tls(self, events)


LOGGED = (LoggedConnection, LoggedTLSConnection)
"""The classes of connections of :class:`livefeed.transport.endpoint.PoolReactor`."""
