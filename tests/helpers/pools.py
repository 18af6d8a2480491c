"""A pool that listens on real sockets, and clients that wait to be accepted."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from livefeed.transport.endpoint import ConnectionFactory
from tests.helpers.connections import Recorder
from tests.helpers.driven import Client, DrivenReactor, make_pool, turn_until


class Listener:
    """A listening socket that fails when it is told to.

    :param sock: the real one.
    :ivar failures: the errors to raise before the next connection is accepted.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.failures: list[OSError] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def accept(self) -> Any:
        if self.failures:
            raise self.failures.pop(0)
        return self._sock.accept()


class PoolTestCase(SynchronousTestCase):
    """The base of the tests of a pool and its listeners."""

    listener: Any

    def setUp(self) -> None:
        self.reactor = DrivenReactor()
        self.addCleanup(self.reactor.close)
        self.protocols: list[Recorder] = []
        factory: Any = Factory()
        factory.buildProtocol = self.build
        self.factory = factory

    def build(self, address: object) -> Recorder:
        """IProtocolFactory API."""
        self.protocols.append(Recorder())
        return self.protocols[-1]

    def listen(self, factory: Any = None, **limits: float) -> None:
        """Makes a pool that listens."""
        self.pool = make_pool(self.reactor, **limits).pool
        self.add_listener(factory)

    def add_listener(self, factory: Any = None, **options: Any) -> None:
        """Has the pool listen on one more socket."""
        sock = socket.create_server(("127.0.0.1", 0), backlog=1024)
        sock.setblocking(False)
        self.address = sock.getsockname()
        self.listener = Listener(sock)
        self.pool.listen(self.listener, ConnectionFactory(factory or self.factory, None), **options)
        self.addCleanup(self.unlisten, self.listener)

    def unlisten(self, listener: Any = None) -> None:
        """Has the pool listen no more on a socket, or on the last one."""
        listener = listener or self.listener
        if listener.fileno() >= 0:
            self.pool.unlisten(listener)

    def connect(self) -> Client:
        """Gives a client that waits to be accepted."""
        sock = socket.socket()
        self.addCleanup(sock.close)
        sock.connect(self.address)
        return Client(sock)

    def connected(self, count: int) -> None:
        """Runs turns until the pool has `count` connections."""
        turn_until(self.reactor, lambda: len(self.pool.connections) == count)
