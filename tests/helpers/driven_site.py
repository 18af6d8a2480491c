"""A site on real sockets and its clients, which proceed only when a test says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.helpers.driven import Client, settle

if TYPE_CHECKING:
    from tests.helpers.driven import DrivenReactor


class DrivenSite:
    """The base of such sites. Each subclass listens on a socket of its choice, and makes its own clients.

    :ivar reactor: its reactor.
    :ivar clients: all clients that have connected.
    """

    reactor: DrivenReactor
    clients: list[Client]
    _port: Any

    def settle(self) -> None:
        """Lets the reactor and the clients run until nothing is left to do."""
        settle(self.reactor, *(client for client in self.clients if client.sock.fileno() >= 0))

    def close(self) -> None:
        """Closes the clients, the port and the reactor."""
        for client in self.clients:
            client.close()
        self._port.stopListening()
        self.reactor.advance(5)
        self.reactor.close()
