"""The listening sockets in a worker: ports that accept on sockets which the parent has bound.

Rule: a worker binds nothing, and closes only its own descriptors. Connections in the queue of a socket that it leaves
wait for another worker, since the parent has the socket open.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IListeningPort,
    IReactorSocket,
    IReactorSSL,
    IReactorTCP,
    IReactorUNIX,
)
from zope.interface import implementer

from livefeed.transport.endpoint import negotiating_context

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from OpenSSL import SSL
    from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
    from twisted.internet.interfaces import IOpenSSLContextFactory, IProtocolFactory

    from livefeed.transport.endpoint import PoolPort, PoolReactor

_WITHOUT_PORT = re.compile(r"((?:haproxy:)?)(unix|systemd|fd):")


@implementer(IListeningPort)
@dataclass(eq=False)
class InheritedPort:
    """The sockets of one endpoint that a worker accepts on.

    :param make_port: makes the port of a socket, which does not accept yet.
    :ivar ports: the sockets, by the index of the worker that each is meant for.
    """

    # required parameters
    make_port: Callable[[socket.socket], PoolPort]

    # internal state
    ports: dict[int, PoolPort] = field(default_factory=dict)

    def add(self, index: int, sock: socket.socket) -> None:
        """Accepts on another socket. One that is there already is closed, and the new one takes its place."""
        self.remove(index)
        port = self.make_port(sock)
        port.startListening()
        self.ports[index] = port

    def remove(self, index: int) -> None:
        """Accepts on a socket no more. Connections in its queue wait for the worker that it is meant for."""
        port = self.ports.pop(index, None)
        if port is not None:
            port.stopListening()

    def admit(self, sock: socket.socket, factory: IProtocolFactory) -> None:
        """Takes a connected socket as a connection of this endpoint, as if it had been accepted here.

        :param factory: makes its protocol.
        """
        self.make_port(sock).admit(sock, factory)

    def startListening(self) -> None:
        """IListeningPort API. The sockets listen already."""

    def stopListening(self) -> Deferred[None]:
        """IListeningPort API. The sockets stay open in the parent."""
        for index in tuple(self.ports):
            self.remove(index)
        return succeed(None)

    def getHost(self) -> IPv4Address | IPv6Address | UNIXAddress:
        """IListeningPort API."""
        return next(iter(self.ports.values())).getHost()


@implementer(IReactorTCP, IReactorSSL, IReactorUNIX, IReactorSocket)
@dataclass(frozen=True, eq=False)
class InheritedReactor:
    """A reactor whose one endpoint accepts on sockets that the parent has bound, whatever address it names.

    :param reactor: listens in the pool; all other attributes are its own.
    :param sockets: the sockets, by the index of the worker that each is meant for.
    """

    reactor: PoolReactor
    sockets: Mapping[int, socket.socket]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.reactor, name)

    def listenTCP(self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = "") -> InheritedPort:
        """IReactorTCP API."""
        return self._accept(factory, None)

    def listenSSL(
        self,
        port: int,
        factory: IProtocolFactory,
        contextFactory: IOpenSSLContextFactory,
        backlog: int = 50,
        interface: str = "",
    ) -> InheritedPort:
        """IReactorSSL API."""
        return self._accept(factory, negotiating_context(contextFactory, factory))

    def listenUNIX(
        self, address: str, factory: IProtocolFactory, backlog: int = 50, mode: int = 0o666, wantPID: bool = False
    ) -> InheritedPort:
        """IReactorUNIX API."""
        return self._accept(factory, None)

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory) -> InheritedPort:
        """IReactorSocket API."""
        return self._accept(factory, None)

    def _accept(self, factory: IProtocolFactory, context: SSL.Context | None) -> InheritedPort:
        cost_s = self.reactor.cost_of(context)
        port = InheritedPort(lambda sock: self.reactor.port(sock, factory, context, cost_s))
        for index, sock in self.sockets.items():
            port.add(index, sock)
        return port


def inherited_description(description: str) -> str:
    """Gives the description of an endpoint for :func:`make_endpoint` in a worker.

    The endpoints of Unix sockets and of systemd look at the file or at the variables of the environment, which are the
    parent's business. A worker only needs to know how bytes are read.
    """
    found = _WITHOUT_PORT.match(description)
    return description if found is None else f"{found[1]}tcp:0"
