"""Client connections that were old when they ended, on real sockets."""

from __future__ import annotations

import gc
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from livefeed.sources.connectors import FreeingReactor
from tests.helpers.driven import DrivenReactor
from tests.helpers.garbage import garbage

if TYPE_CHECKING:
    from collections.abc import Callable

TIMEOUT_S = 10


class FreeingReactorTests(SynchronousTestCase):
    """FreeingReactor."""

    def setUp(self) -> None:
        self.reactor = DrivenReactor()
        self.addCleanup(self.reactor.close)
        self.peers: list[socket.socket] = []

    def tearDown(self) -> None:
        for peer in self.peers:
            peer.close()

    def listen(self, family: int) -> tuple[socket.socket, Any]:
        """Gives a socket on which connections wait to be accepted, and an endpoint that connects there."""
        listening = socket.socket(family)
        self.peers.append(listening)
        freeing: Any = FreeingReactor(self.reactor)
        endpoint: Any
        if family == socket.AF_UNIX:
            folder = tempfile.TemporaryDirectory()
            self.addCleanup(folder.cleanup)
            path = Path(folder.name) / "socket"
            listening.bind(str(path))
            endpoint = UNIXClientEndpoint(freeing, str(path), timeout=TIMEOUT_S)
        else:
            listening.bind(("127.0.0.1", 0))
            host, port = listening.getsockname()
            endpoint = TCP4ClientEndpoint(freeing, host, port, timeout=TIMEOUT_S)
        return listening, endpoint

    def assert_freed(self, family: int, end: Callable[[Any, socket.socket], object]) -> None:
        """Fails if any object is left of a connection that `end` has ended."""
        listening, endpoint = self.listen(family)
        listening.listen()
        with garbage() as found:
            made: list[Any] = []
            endpoint.connect(Factory.forProtocol(Protocol)).addCallback(made.append)
            while not made:
                self.reactor.iterate(0.01)
            peer, _ = listening.accept()
            self.peers.append(peer)
            # With this they are old.
            gc.collect()
            end(made.pop(), peer)
            self.reactor.advance(1)
        self.assertEqual([type(each).__name__ for each in found], [])

    def test_connections(self) -> None:
        """Ended by either side."""
        for family in (socket.AF_INET, socket.AF_UNIX):
            for end in (
                lambda protocol, _: protocol.transport.abortConnection(),
                lambda protocol, _: protocol.transport.loseConnection(),
                lambda _, peer: peer.close(),
            ):
                self.assert_freed(family, end)

    def test_attempts(self) -> None:
        """That are refused."""
        for family in (socket.AF_INET, socket.AF_UNIX):
            _, endpoint = self.listen(family)
            with garbage() as found:
                attempt = endpoint.connect(Factory.forProtocol(Protocol))
                gc.collect()
                self.reactor.advance(1)
                self.failureResultOf(attempt)
                attempt = None
            self.assertEqual([type(each).__name__ for each in found], [])

    def test_attempts_without_an_answer(self) -> None:
        """That are given up, and that are late. The queue is full, so that the kernel answers nothing."""
        listening, endpoint = self.listen(socket.AF_INET)
        listening.listen(0)
        for _ in range(2):
            waiting = socket.socket()
            self.peers.append(waiting)
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        for end in (lambda attempt: attempt.cancel(), lambda _: self.reactor.advance(TIMEOUT_S)):
            with garbage() as found:
                attempt = endpoint.connect(Factory.forProtocol(Protocol))
                self.reactor.settle()
                self.assertNoResult(attempt)
                gc.collect()
                end(attempt)
                self.reactor.advance(1)
                self.failureResultOf(attempt)
                attempt = None
            self.assertEqual([type(each).__name__ for each in found], [])
