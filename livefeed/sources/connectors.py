"""Client connections of Twisted's that are freed when they end.

Twisted leaves a cycle of 12 objects for each: its connector keeps the transport and the factory, which keep it. A
source that hangs has a new connection made at each tick, and all of it is old by the time that it ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress, IConnector, IProtocol
    from twisted.python.failure import Failure


@dataclass(frozen=True, slots=True)
class FreeingReactor:
    """What endpoints connect by: a reactor, but for what it leaves behind."""

    reactor: Any

    def connectTCP(self, host: str, port: int, factory: Any, *arguments: Any, **named: Any) -> IConnector:
        """IReactorTCP API."""
        connector: IConnector = self.reactor.connectTCP(host, port, _Factory(factory), *arguments, **named)
        return connector

    def connectUNIX(self, address: str, factory: Any, *arguments: Any, **named: Any) -> IConnector:
        """IReactorUNIX API."""
        connector: IConnector = self.reactor.connectUNIX(address, _Factory(factory), *arguments, **named)
        return connector


def _do_nothing() -> None:
    """IReadDescriptor and IWriteDescriptor API, of a transport that has no socket any more."""


class _Factory:
    """Hands on what Twisted tells a client's factory, and cuts what is left when that was the last."""

    noisy = False

    def __init__(self, factory: Any) -> None:
        self._factory = factory
        self._connector: Any = None
        self._transport: Any = None

    def doStart(self) -> None:
        """IProtocolFactory API."""
        self._factory.doStart()

    def doStop(self) -> None:
        """IProtocolFactory API. This is what comes last, whether there was a connection or not."""
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
            # It has methods of its own there, to go on connecting. The reactor may call one once more.
            self._transport.doRead = self._transport.doWrite = _do_nothing
        self._factory.clientConnectionFailed(connector, reason)

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        """ClientFactory API."""
        self._factory.clientConnectionLost(connector, reason)
