"""Listening with the fast transport: the part of a reactor that Twisted's server endpoints use.

An endpoint that is given a :class:`PoolReactor` instead of the reactor listens in its pool: ``tcp:``, ``tcp6:``,
``unix:``, ``ssl:`` and ``systemd:`` work unchanged.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.abstract import isIPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolNegotiationFactory,
    IReactorSocket,
    IReactorSSL,
    IReactorTCP,
    IReactorUNIX,
)
from twisted.python.lockfile import FilesystemLock
from zope.interface import implementer

from livefeed.tls.handshake_cost import UNKNOWN_COST_S, measure_handshake
from livefeed.tls.options import FirstContext, alpn_selector
from livefeed.transport.connection import Connection
from livefeed.transport.listeners import ACCEPT_COST_S
from livefeed.transport.sockets import address_of, limit_unsent
from livefeed.transport.tls_connection import TLSConnection

if TYPE_CHECKING:
    from collections.abc import Callable

    from OpenSSL import SSL
    from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
    from twisted.internet.interfaces import IOpenSSLContextFactory, IProtocolFactory

    from livefeed.transport.interfaces import ConnectionPool, MakeConnection
    from livefeed.transport.pool import Pool


_UNMEASURED_S = ACCEPT_COST_S + UNKNOWN_COST_S

KINDS = (Connection, TLSConnection)
"""The classes of connections, without TLS and with it, where nothing else is asked for."""


@dataclass(frozen=True, slots=True)
class ConnectionFactory:
    """Makes the connections of one listener.

    :param factory: makes their protocols.
    :param context: the context of TLS; ``None`` for connections without TLS.
    :param kinds: the classes of connections, without TLS and with it.
    """

    factory: IProtocolFactory
    context: SSL.Context | None
    kinds: tuple[type[Connection], type[TLSConnection]] = KINDS

    def __call__(self, pool: ConnectionPool, sock: socket.socket, peer: object, /) -> Connection:
        """Makes the connection of a socket that was accepted and does not block, and of its peer's name."""
        plain, tls = self.kinds
        if self.context is None:
            return plain(pool, sock, peer, self.factory)
        context = self.context
        if isinstance(context, FirstContext) and context.only is not None:
            context = context.only
        return tls(pool, sock, peer, self.factory, context)


@implementer(IListeningPort)
@dataclass(eq=False)
class PoolPort:
    """A socket that a pool listens on.

    :param factory: makes the protocols of its connections.
    :param context: the context of TLS; ``None`` for connections without TLS.
    :param on_stop: called after the socket is closed.
    :param admits: tells whether a peer may connect; see :meth:`livefeed.transport.pool.Pool.listen`.
    :param before: gives the factory of the connections that come before those of the port; see :class:`PoolReactor`.
    :param cost_s: the processor seconds of a new connection, with its handshake.
    :param kinds: the classes of connections, without TLS and with it.
    :param measure: gives better ones, as after a reload that lets the accept rate depend on them; ``None`` for none.
    """

    # required parameters
    pool: Pool
    sock: socket.socket
    factory: IProtocolFactory
    context: SSL.Context | None
    on_stop: Callable[[], None] | None = None
    admits: Callable[[object], bool] | None = None
    before: Callable[[MakeConnection], MakeConnection] | None = None
    cost_s: float = ACCEPT_COST_S
    kinds: tuple[type[Connection], type[TLSConnection]] = KINDS
    measure: Callable[[], float] | None = None

    # internal state
    _listening: bool = False

    def startListening(self) -> None:
        """IListeningPort API."""
        prepare_for_pool(self.sock)
        self.factory.doStart()
        self.pool.listen(
            self.sock, self._make_connection(self.factory), self.admits, cost_s=self.cost_s, measure=self.measure
        )
        self._listening = True

    def stopListening(self) -> Deferred[None]:
        """IListeningPort API."""
        if self._listening:
            self._listening = False
            self.pool.unlisten(self.sock)
            self.factory.doStop()
            if self.on_stop is not None:
                self.on_stop()
        return succeed(None)

    def admit(self, sock: socket.socket, factory: IProtocolFactory) -> None:
        """Takes a connected socket as a connection of this port, as if it had been accepted here, and counts it not.

        :param sock: connected; the pool closes it.
        :param factory: makes its protocol, in place of that of the port.
        """
        self.pool.admit(sock, self._make_connection(factory))

    def _make_connection(self, factory: IProtocolFactory) -> MakeConnection:
        make: MakeConnection = ConnectionFactory(factory, self.context, self.kinds)
        return make if self.before is None else self.before(make)

    def getHost(self) -> IPv4Address | IPv6Address | UNIXAddress:
        """IListeningPort API."""
        return address_of(self.sock.family, self.sock.getsockname())


@implementer(IReactorTCP, IReactorSSL, IReactorUNIX, IReactorSocket)
@dataclass(frozen=True, eq=False)
class PoolReactor:
    """A reactor that listens in a pool. All other attributes are those of the real reactor.

    :param pool: holds the connections.
    :param admits: tells whether a peer may connect, by the name that ``accept`` gives; ``None`` to admit all.
    :param before: gives the factory of connections that read what comes before TLS and HTTP, and then become those of
        the factory that it is given; ``None`` if nothing comes before.
    :param measure: gives the processor seconds of a handshake with a context. It is called at the start, if the accept
        rate depends on it.
    :param kinds: the classes of connections, without TLS and with it.
    """

    pool: Pool
    admits: Callable[[object], bool] | None = None
    before: Callable[[MakeConnection], MakeConnection] | None = None
    measure: Callable[[SSL.Context], float] = measure_handshake
    kinds: tuple[type[Connection], type[TLSConnection]] = KINDS

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pool.reactor, name)

    def listenTCP(self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = "") -> PoolPort:
        """IReactorTCP API."""
        return self._listen(_listening(port, interface, backlog), factory)

    def listenSSL(
        self,
        port: int,
        factory: IProtocolFactory,
        contextFactory: IOpenSSLContextFactory,
        backlog: int = 50,
        interface: str = "",
    ) -> PoolPort:
        """IReactorSSL API."""
        context = negotiating_context(contextFactory, factory)
        return self._listen(_listening(port, interface, backlog, both_families=interface == "::"), factory, context)

    def listenUNIX(
        self, address: str, factory: IProtocolFactory, backlog: int = 50, mode: int = 0o666, wantPID: bool = False
    ) -> PoolPort:
        """IReactorUNIX API."""
        sock, clean_up = bind_unix(address, mode, wants_lock=wantPID)
        try:
            sock.listen(backlog)
        except OSError as error:
            sock.close()
            clean_up()
            raise CannotListenError(None, address, error) from None
        return self._listen(sock, factory, on_stop=clean_up)

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory) -> PoolPort:
        """IReactorSocket API."""
        return self._listen(socket.fromfd(fileDescriptor, addressFamily, socket.SOCK_STREAM), factory)

    def _listen(
        self,
        sock: socket.socket,
        factory: IProtocolFactory,
        context: SSL.Context | None = None,
        on_stop: Callable[[], None] | None = None,
    ) -> PoolPort:
        port = self.port(sock, factory, context, self.cost_of(context), on_stop)
        port.startListening()
        return port

    def cost_of(self, context: SSL.Context | None) -> float:
        """Gives the processor seconds of a new connection with a context; measures them if the accept rate needs it."""
        if context is None:
            return ACCEPT_COST_S
        is_automatic = self.pool.limits.accept_rate == 0
        return self._measured_cost(context) if is_automatic else _UNMEASURED_S

    def _measured_cost(self, context: SSL.Context) -> float:
        return ACCEPT_COST_S + self.measure(context)

    def port(
        self,
        sock: socket.socket,
        factory: IProtocolFactory,
        context: SSL.Context | None,
        cost_s: float,
        on_stop: Callable[[], None] | None = None,
    ) -> PoolPort:
        """Makes a port that does not listen yet."""
        measure = None
        if context is not None and cost_s == _UNMEASURED_S:
            measure = partial(self._measured_cost, context)
        return PoolPort(
            self.pool, sock, factory, context, on_stop, self.admits, self.before, cost_s, self.kinds, measure
        )


def _is_socket(address: str) -> bool:
    """Tells whether a file is a socket, which may be removed; any other file is somebody's data."""
    try:
        return stat.S_ISSOCK(os.lstat(address).st_mode)
    except OSError:
        return False


def _listening(port: int, interface: str, backlog: int, *, both_families: bool = False) -> socket.socket:
    sock = bind_tcp(port, interface, both_families=both_families)
    try:
        sock.listen(backlog)
    except OSError as error:
        sock.close()
        raise CannotListenError(interface, port, error) from None
    return sock


def prepare_for_pool(sock: socket.socket) -> None:
    """Sets the options of a socket that a pool listens on.

    Each connection inherits them, which saves two system calls per connection.
    """
    sock.setblocking(False)
    limit_unsent(sock)
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def negotiating_context(contexts: IOpenSSLContextFactory, factory: IProtocolFactory) -> SSL.Context:
    """Gives the context of TLS, which agrees on a protocol by ALPN if the factory of the protocols has a choice."""
    context: SSL.Context = contexts.getContext()
    negotiation = IProtocolNegotiationFactory(factory, None)
    if negotiation is not None:
        context.set_alpn_select_callback(alpn_selector(negotiation.acceptableProtocols()))
    return context


def bind_tcp(port: int, interface: str, *, both_families: bool = False, reuse_port: bool = False) -> socket.socket:
    """Gives a socket that is bound to a port, and does not listen yet.

    :param interface: the address; ``""`` for all of IPv4.
    :param both_families: whether a socket of IPv6 serves IPv4 as well.
    :param reuse_port: whether other sockets of the same user may be bound to the port as well (``SO_REUSEPORT``).
    :raises CannotListenError: if the port cannot be bound.
    """
    family = socket.AF_INET6 if isIPv6Address(interface) else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if both_families:
            # Not left to net.ipv6.bindv6only: tls:PORT listens on "::" for clients of both families.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((interface, port))
    except OSError as error:
        sock.close()
        raise CannotListenError(interface, port, error) from None
    return sock


def bind_unix(address: str, mode: int, *, wants_lock: bool) -> tuple[socket.socket, Callable[[], None]]:
    """Gives a Unix socket that is bound and does not listen yet, and a function that removes its files.

    :param mode: the permissions of its file.
    :param wants_lock: whether a lock of Twisted's guards the file, which is then taken over from an ended process.
    :raises CannotListenError: if the address cannot be bound.
    """
    lock = FilesystemLock(f"{address}.lock") if wants_lock else None
    if lock is not None:
        if not lock.lock():
            raise CannotListenError(None, address, OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE)))
        if not lock.clean and _is_socket(address):
            os.unlink(address)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(address)
        if not address.startswith("\0"):  # an abstract name, which is no file
            os.chmod(address, mode)
    except OSError as error:
        sock.close()
        if lock is not None:
            lock.unlock()
        raise CannotListenError(None, address, error) from None

    def clean_up() -> None:
        if not address.startswith("\0"):
            os.unlink(address)
        if lock is not None:
            lock.unlock()

    return sock, clean_up
