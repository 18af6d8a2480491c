"""A site on real sockets, and its clients, which go on only when a test says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.helpers.driven import Client, settle

if TYPE_CHECKING:
    from tests.helpers.driven import DrivenReactor


class DrivenSite:
    """What all such sites can do; each listens where it wants to, and makes its own clients.

    :ivar reactor: its reactor.
    :ivar clients: all that were connected.
    """

    reactor: DrivenReactor
    clients: list[Client]
    _port: Any

    def settle(self) -> None:
        """Lets everybody do what there is to do."""
        settle(self.reactor, *(client for client in self.clients if client.sock.fileno() >= 0))

    def close(self) -> None:
        """Ends everything."""
        for client in self.clients:
            client.close()
        self._port.stopListening()
        self.reactor.advance(5)
        self.reactor.close()
