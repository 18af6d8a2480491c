"""Listening on a socket that another process has bound: the one before an upgrade."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet import unix
from twisted.internet.interfaces import IReactorSocket, IReactorSSL, IReactorTCP, IReactorUNIX
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

if TYPE_CHECKING:
    from twisted.internet.interfaces import IListeningPort, IOpenSSLContextFactory, IProtocolFactory

_BACKLOG = 64
_MODE = 0o666


@implementer(IReactorTCP, IReactorSSL, IReactorUNIX, IReactorSocket)
@dataclass(frozen=True, eq=False)
class AdoptingReactor:
    """A reactor whose one endpoint listens on a socket that listens already, whatever address it names.

    :param reactor: accepts; all other attributes are its own.
    :param sock: the socket, which belongs to the endpoint once it listens.
    """

    reactor: Any
    sock: socket.socket

    def __getattr__(self, name: str) -> Any:
        return getattr(self.reactor, name)

    def listenTCP(self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = "") -> IListeningPort:
        """IReactorTCP API."""
        return self._adopt(factory)

    def listenSSL(
        self,
        port: int,
        factory: IProtocolFactory,
        contextFactory: IOpenSSLContextFactory,
        backlog: int = 50,
        interface: str = "",
    ) -> IListeningPort:
        """IReactorSSL API."""
        return self._adopt(TLSMemoryBIOFactory(contextFactory, False, factory))

    def listenUNIX(
        self, address: str, factory: IProtocolFactory, backlog: int = 50, mode: int = _MODE, wantPID: bool = False
    ) -> IListeningPort:
        """IReactorUNIX API."""
        return self._adopt(factory)

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory) -> IListeningPort:
        """IReactorSocket API."""
        return self._adopt(factory)

    def _adopt(self, factory: Any) -> IListeningPort:
        sock = self.sock
        sock.setblocking(False)
        if sock.family == socket.AF_UNIX:
            # Twisted's own way would give the file another mode.
            path, mode = os.fsencode(sock.getsockname()), _MODE
            with suppress(OSError):
                mode = stat.S_IMODE(Path(os.fsdecode(path)).stat().st_mode)
            port: Any = unix.Port(path, factory, _BACKLOG, mode, self.reactor)
            port._preexistingSocket = sock  # noqa: SLF001
            port.startListening()
            return port  # type: ignore[no-any-return]
        adopted: IListeningPort = self.reactor.adoptStreamPort(sock.fileno(), sock.family, factory)
        sock.close()
        return adopted
