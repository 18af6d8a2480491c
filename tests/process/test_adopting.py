"""Endpoints that listen on a socket which another process has bound."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase

from livefeed.process.adopting import AdoptingReactor
from livefeed.process.endpoints import make_endpoint
from livefeed.tls.development import development_certificate
from livefeed.tls.reloading import PairSource


class Reactor(MemoryReactorClock):
    """A reactor that notes the sockets that it adopts."""

    def __init__(self) -> None:
        super().__init__()
        self.ports: list[tuple[Any, int, Any]] = []

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: Any) -> Any:
        sock = socket.socket(fileno=os.dup(fileDescriptor))
        self.ports.append((sock.getsockname(), addressFamily, factory))
        sock.close()
        return self.ports[-1]


class AdoptingTests(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.reactor = Reactor()

    def listen(self, sock: socket.socket, description: str) -> Any:
        files = development_certificate(self.directory)
        reactor: Any = AdoptingReactor(self.reactor, sock)
        endpoint = make_endpoint(reactor, description, lambda: PairSource(((files.cert, files.key),)), "admin")
        return self.successResultOf(endpoint.listen(Factory()))

    def test_tcp(self) -> None:
        """The socket is adopted, whatever port the description has, and this process keeps one descriptor of it."""
        sock = socket.create_server(("127.0.0.1", 0))
        name = sock.getsockname()
        self.listen(sock, "tcp:1:interface=127.0.0.9")
        ((adopted, family, _),) = self.reactor.ports
        self.assertEqual((adopted, family, sock.fileno()), (name, socket.AF_INET, -1))

    def test_tls(self) -> None:
        """The description's certificate is served."""
        self.listen(socket.create_server(("127.0.0.1", 0)), "tls:1")
        self.assertIsInstance(self.reactor.ports[0][2], TLSMemoryBIOFactory)

    def test_unix(self) -> None:
        """The mode of the file stays."""
        path = self.directory / "admin.sock"
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(path))
            sock.listen()
            path.chmod(0o640)
            reactor: Any = AdoptingReactor(self.reactor, sock.dup())
            port: Any = reactor.listenUNIX(str(path), Factory())
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o640)
            self.assertEqual(port.getHost().name, str(path).encode())
            port.socket.close()

    def test_of_systemd(self) -> None:
        """An inherited socket is the one that is adopted."""
        sock = socket.create_server(("127.0.0.1", 0))
        name = sock.getsockname()
        reactor: Any = AdoptingReactor(self.reactor, sock)
        reactor.adoptStreamPort(99, socket.AF_INET, Factory())
        self.assertEqual(self.reactor.ports[0][0], name)
        self.assertEqual(reactor.seconds(), self.reactor.seconds())
