"""Client connections of Twisted that leave no reference cycles behind.

Twisted leaves a cycle of 12 objects for each connection: its connector keeps the transport and the factory, and both
keep the connector. A source that hangs makes a new connection at each tick, and the cycles are old objects by the time
the connections end, so that only a full collection frees them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress, IConnector, IProtocol
    from twisted.python.failure import Failure


class ConnectingReactor(Protocol):
    """The part of a reactor that client endpoints use."""

    def connectTCP(self, *args: Any, **kwargs: Any) -> Any:
        """Connects to a TCP port."""

    def connectUNIX(self, *args: Any, **kwargs: Any) -> Any:
        """Connects to a Unix socket."""


@dataclass(frozen=True, slots=True)
class FreeingReactor:
    """Connects like a reactor, but cuts the cycle when a connection has ended."""

    reactor: ConnectingReactor

    def connectTCP(self, host: str, port: int, factory: Any, *arguments: Any, **named: Any) -> IConnector:
        """IReactorTCP API."""
        connector: IConnector = self.reactor.connectTCP(host, port, _Factory(factory), *arguments, **named)
        return connector

    def connectUNIX(self, address: str, factory: Any, *arguments: Any, **named: Any) -> IConnector:
        """IReactorUNIX API."""
        connector: IConnector = self.reactor.connectUNIX(address, _Factory(factory), *arguments, **named)
        return connector


def _do_nothing() -> None:
    """IReadDescriptor and IWriteDescriptor API of a transport without a socket."""


class _Factory:
    """Passes Twisted's calls on to a client's factory, and cuts the cycle after the last call."""

    noisy = False

    def __init__(self, factory: Any) -> None:
        self._factory = factory
        self._connector: Any = None
        self._transport: Any = None

    def doStart(self) -> None:
        """IProtocolFactory API."""
        self._factory.doStart()

    def doStop(self) -> None:
        """IProtocolFactory API. It is the last call, with or without a connection."""
        factory, self._factory = self._factory, None
        connector, self._connector = self._connector, None
        self._transport = None
        factory.doStop()
        if connector is not None:
            connector.transport = None

    def startedConnecting(self, connector: Any) -> None:
        """ClientFactory API."""
        self._connector = connector
        self._transport = getattr(connector, "transport", None)
        self._factory.startedConnecting(connector)

    def buildProtocol(self, address: IAddress) -> IProtocol | None:
        """IProtocolFactory API."""
        protocol: IProtocol | None = self._factory.buildProtocol(address)
        return protocol

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        """ClientFactory API."""
        if self._transport is not None:
            # While it connects, the transport has bound methods in these attributes, which are a cycle. The reactor may
            # call one of them once more.
            self._transport.doRead = self._transport.doWrite = _do_nothing
        self._factory.clientConnectionFailed(connector, reason)

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        """ClientFactory API."""
        self._factory.clientConnectionLost(connector, reason)
