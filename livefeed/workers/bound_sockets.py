"""The listening sockets in the parent, which binds and keeps all of them, and accepts on none.

A TCP endpoint has one socket for each worker (``SO_REUSEPORT``), so that the kernel spreads the connections evenly.
Unix sockets and inherited ones are shared by all workers. The same descriptions are parsed by the same code in both
processes: the parent gives the endpoints a :class:`BindingReactor`, and a worker the reactor of ``inherited_sockets``.

Rules: the number of sockets is fixed at the start, and the parent closes none before the end. When a socket of the
group is closed, the kernel resets the connections in its queue (``net.ipv4.tcp_migrate_req`` is 0).
"""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, execute, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IListeningPort,
    IReactorSocket,
    IReactorSSL,
    IReactorTCP,
    IReactorUNIX,
    IStreamServerEndpoint,
)
from zope.interface import implementer

from livefeed.transport.endpoint import bind_tcp, bind_unix, prepare_for_pool
from livefeed.transport.sockets import address_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
    from twisted.internet.interfaces import IOpenSSLContextFactory, IProtocolFactory


@implementer(IListeningPort)
@dataclass(eq=False)
class SocketGroup:
    """The sockets of one endpoint in the parent, which accepts nothing on them.

    :param description: the endpoint's description, as it was set.
    :param count: number of sockets that a TCP endpoint has: one for each worker.
    :ivar sockets: the sockets, by the index of the worker that they are meant for. A shared one has the index 0.
    :ivar is_shared: whether all workers accept on the same socket.
    :ivar is_deferred: whether :meth:`settle` begins to listen, and not the endpoint: sockets of an earlier parent may
        be on their way.
    :ivar is_inherited: whether the sockets are those of the parent before an upgrade, and listen already.
    """

    # required parameters
    description: str
    count: int

    # internal state
    sockets: dict[int, socket.socket] = field(default_factory=dict)
    is_shared: bool = False
    is_deferred: bool = False
    is_inherited: bool = False
    _backlog: int = 0
    _bind_one: Callable[[int], socket.socket] | None = None
    _clean_up: Callable[[], None] | None = None

    def sockets_of(self, index: int) -> list[tuple[int, socket.socket]]:
        """Gives the sockets that a worker accepts on, each with the index by which the worker knows it.

        After an upgrade to fewer workers, one of them accepts on several sockets: a socket that is closed would take
        the connections in its queue along. After one to more workers, some of them share a socket.
        """
        if self.is_shared:
            index = 0
        if not self.is_inherited or self.is_shared:
            return [(index, self.sockets[index])] if index in self.sockets else []
        numbers = [number for number in sorted(self.sockets) if number % self.count == index]
        if not numbers and self.sockets:
            numbers = [sorted(self.sockets)[index % len(self.sockets)]]
        return [(number, self.sockets[number]) for number in numbers]

    def inherit(self, sockets: Mapping[int, socket.socket], *, is_shared: bool) -> None:
        """Takes the sockets of the parent before an upgrade, before anything is bound.

        :param sockets: the sockets, which listen, by their number.
        :param is_shared: whether all workers accept on the same one.
        """
        self.sockets.update(sockets)
        self.is_shared, self.is_inherited = is_shared, True

    def take_over(self) -> None:
        """Takes note that the parent before has left the sockets to this one: the file of a Unix socket, too."""
        for sock in self.sockets.values():
            if self.is_inherited and sock.family == socket.AF_UNIX:
                self._clean_up = partial(_remove_socket_file, sock.getsockname())

    def hand_over(self) -> None:
        """Takes note that the sockets are those of another parent, which removes the file of a Unix socket."""
        self._clean_up = None

    def bind(self, bind_one: Callable[[int], socket.socket], port: int, backlog: int) -> SocketGroup:
        """Binds one socket for each worker. Sockets that are there already stay.

        :param bind_one: binds a socket to a port.
        :param port: the port; 0 for one that the kernel chooses.
        :param backlog: number of connections that may wait to be accepted.
        :raises CannotListenError: if a socket cannot be bound. None is left open then.
        """
        self._bind_one, self._backlog = bind_one, backlog
        try:
            self._bind_missing(port)
            if not self.is_deferred:
                self._listen(self.sockets.values())
        except BaseException:
            self._close()
            raise
        return self

    def share(
        self, sock: socket.socket, backlog: int | None, clean_up: Callable[[], None] | None = None
    ) -> SocketGroup:
        """Takes a socket that all workers accept on.

        :param backlog: number of connections that may wait to be accepted; ``None`` if it listens already.
        :param clean_up: called after it is closed.
        """
        self.is_shared, self.sockets[0], self._clean_up = True, sock, clean_up
        if backlog is not None:
            self._backlog = backlog
            self._listen([sock])
        return self

    def settle(self, adopted: Mapping[int, socket.socket]) -> None:
        """Begins to listen after :attr:`is_deferred`: takes the sockets of an earlier parent, and replaces its own.

        The sockets of that group stay, with the connections in their queues. A socket of this parent that has not
        listened has no queue.

        :param adopted: the sockets that earlier workers accept on, by their index.
        :raises CannotListenError: if a socket that is missing cannot be bound.
        """
        self.is_deferred = False
        for index, sock in adopted.items():
            if index >= self.count or (self.is_shared and index):
                sock.close()
                continue
            before = self.sockets.get(index)
            if before is not None:
                before.close()
            self.sockets[index] = sock
        if self._bind_one is None:
            return
        ports = {self.sockets[index].getsockname()[1] for index in adopted if index < self.count}
        if ports:
            # With port 0 the kernel has chosen another one for this process.
            for index, sock in tuple(self.sockets.items()):
                if sock.getsockname()[1] not in ports:
                    del self.sockets[index]
                    sock.close()
            self._bind_missing(ports.pop())
        self._listen(sock for index, sock in self.sockets.items() if index not in adopted)

    # IListeningPort

    def startListening(self) -> None:
        """IListeningPort API. The sockets listen already."""

    def stopListening(self) -> Deferred[None]:
        """IListeningPort API."""
        self._close()
        return succeed(None)

    def getHost(self) -> IPv4Address | IPv6Address | UNIXAddress:
        """IListeningPort API."""
        sock = next(iter(self.sockets.values()))
        return address_of(sock.family, sock.getsockname())

    # Inside

    def _bind_missing(self, port: int) -> None:
        assert self._bind_one is not None
        for index in range(self.count):
            if index not in self.sockets:
                self.sockets[index] = self._bind_one(port)
                # The first one chooses the port of all.
                port = self.sockets[index].getsockname()[1]

    def _listen(self, sockets: Iterable[socket.socket]) -> None:
        for sock in sockets:
            prepare_for_pool(sock)
            try:
                sock.listen(self._backlog)
            except OSError as error:
                raise CannotListenError(*_name_of(sock), error) from None

    def _close(self) -> None:
        for sock in self.sockets.values():
            sock.close()
        self.sockets.clear()
        clean_up, self._clean_up = self._clean_up, None
        if clean_up is not None:
            with suppress(FileNotFoundError):
                clean_up()


@implementer(IReactorTCP, IReactorSSL, IReactorUNIX, IReactorSocket)
@dataclass(frozen=True, eq=False)
class BindingReactor:
    """A reactor whose endpoints bind the sockets of a group, and accept nothing.

    :param reactor: the real reactor; all other attributes are its own.
    :param group: takes the sockets.
    """

    reactor: Any
    group: SocketGroup

    def __getattr__(self, name: str) -> Any:
        return getattr(self.reactor, name)

    def listenTCP(self, port: int, factory: object, backlog: int = 50, interface: str = "") -> SocketGroup:
        """IReactorTCP API."""
        return self._bind(port, interface, backlog)

    def listenSSL(
        self,
        port: int,
        factory: IProtocolFactory,
        contextFactory: IOpenSSLContextFactory,
        backlog: int = 50,
        interface: str = "",
    ) -> SocketGroup:
        """IReactorSSL API."""
        return self._bind(port, interface, backlog, both_families=interface == "::")

    def listenUNIX(
        self, address: str, factory: object, backlog: int = 50, mode: int = 0o666, wantPID: bool = False
    ) -> SocketGroup:
        """IReactorUNIX API."""
        sock, clean_up = bind_unix(address, mode, wants_lock=wantPID)
        return self.group.share(sock, backlog, clean_up)

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: object) -> SocketGroup:
        """IReactorSocket API."""
        sock = socket.fromfd(fileDescriptor, addressFamily, socket.SOCK_STREAM)
        prepare_for_pool(sock)
        return self.group.share(sock, None)

    def _bind(self, port: int, interface: str, backlog: int, *, both_families: bool = False) -> SocketGroup:
        if port and not self.group.is_deferred:
            # Another process of the same user could otherwise take part of the connections, unnoticed by both.
            bind_tcp(port, interface, both_families=both_families).close()

        def bind_one(number: int) -> socket.socket:
            return bind_tcp(number, interface, both_families=both_families, reuse_port=True)

        return self.group.bind(bind_one, port, backlog)


@implementer(IStreamServerEndpoint)
@dataclass(frozen=True, slots=True)
class GroupEndpoint:
    """An endpoint of the parent, which can wait for the sockets of an earlier one.

    :param endpoint: the endpoint of a :class:`BindingReactor` with the same group.
    :param group: the sockets.
    """

    endpoint: IStreamServerEndpoint
    group: SocketGroup

    def listen(self, protocolFactory: Any) -> Deferred[IListeningPort]:
        """IStreamServerEndpoint API. A Unix socket is not bound yet if the group is deferred: it would be replaced."""
        if self.group.is_inherited or (self.group.is_deferred and is_unix(self.group.description)):
            return succeed(self.group)
        return self.endpoint.listen(protocolFactory)

    def settle(self, adopted: Mapping[int, socket.socket], factory: Any) -> Deferred[Any]:
        """Begins to listen on deferred sockets; see :meth:`SocketGroup.settle`.

        :param factory: the factory that :meth:`listen` was given.
        :returns: fires when all sockets listen, and fails with a CannotListenError.
        """
        group = self.group
        if not is_unix(group.description):
            return execute(group.settle, adopted)
        group.is_deferred = False
        sock = adopted.get(0)
        if sock is None:
            return self.endpoint.listen(factory)
        path = sock.getsockname()
        group.share(sock, None, lambda: _remove_socket_file(path))
        return succeed(None)


def is_unix(description: str) -> bool:
    """Tells whether a description is that of a Unix socket."""
    return bool(re.match(r"(?:haproxy:)?unix:", description))


def is_listening(sock: socket.socket) -> bool:
    """Tells whether connections can be accepted on a socket."""
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _name_of(sock: socket.socket) -> tuple[Any, Any]:
    name = sock.getsockname()
    return name[:2] if isinstance(name, tuple) else (None, name)


def _remove_socket_file(path: str) -> None:
    """Removes the files of a Unix socket that an earlier parent has bound."""
    with suppress(OSError):
        Path(path).unlink()
    with suppress(OSError):
        Path(f"{path}.lock").unlink()
