"""Listening sockets of a parent, bound on real ports, and connections to them."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.process.endpoints import make_endpoint
from livefeed.tls.development import development_certificate
from livefeed.tls.reloading import PairSource
from livefeed.workers.bound_sockets import BindingReactor, GroupEndpoint, SocketGroup
from tests.helpers.connections import Recorder

LOCAL = "tcp:0:interface=127.0.0.1"


class Recorders(Factory):
    """Makes recorders."""

    noisy = False

    def __init__(self) -> None:
        self.made: list[Recorder] = []

    def buildProtocol(self, address: object) -> Recorder:
        self.made.append(Recorder())
        return self.made[-1]


class SocketsTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.factory: Any = Recorders()

    def group(self, description: str, count: int = 2, *, is_deferred: bool = False) -> Any:
        """Gives the group of an endpoint that has begun to listen."""
        self.endpoint = self.endpoint_of(description, count, is_deferred=is_deferred)
        self.successResultOf(self.endpoint.listen(self.factory))
        return self.endpoint.group

    def endpoint_of(self, description: str, count: int = 2, *, is_deferred: bool = False) -> GroupEndpoint:
        """Gives the endpoint of a parent."""
        group = SocketGroup(description, count, is_deferred=is_deferred)
        self.addCleanup(group.stopListening)
        return GroupEndpoint(
            make_endpoint(BindingReactor(MemoryReactorClock(), group), description, self.certificate), group
        )

    def certificate(self) -> PairSource:
        files = development_certificate(self.directory)
        return PairSource(((files.cert, files.key),))

    def connect(self, address: Any) -> socket.socket:
        """Gives a connection to an address, which the kernel accepts by itself."""
        sock = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.addCleanup(sock.close)
        sock.connect(address)
        return sock


def open_files() -> int:
    """Gives the number of open files of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


def duplicate(sock: socket.socket) -> socket.socket:
    """Gives a socket as it comes over a link."""
    return socket.socket(fileno=os.dup(sock.fileno()))
