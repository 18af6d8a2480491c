"""unix: where there is a file already."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.selectreactor import SelectReactor
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.process.endpoints import make_endpoint
from livefeed.tls.reloading import PairSource
from tests.helpers.ports import close_port


class SocketFileTests(SynchronousTestCase):
    """unix: where there is a file already."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "s"
        self.lock = Path(directory.name) / "s.lock"
        self.reactor = MemoryReactorClock()

    def listen(self, options: str = "") -> Any:
        description = f"unix:{self.path}{options}"
        endpoint = make_endpoint(self.reactor, description, lambda: PairSource(((Path(), Path()),)))
        return endpoint.listen(Factory.forProtocol(Protocol))

    def leave(self) -> None:
        """Leaves the files of a killed process that had the id of this one."""
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(self.path))
            left.listen()
        self.lock.symlink_to(str(os.getpid()))

    def test_a_socket_that_nobody_accepts_on_is_taken_over(self) -> None:
        """Such a socket is taken over with its lock, or without one; the path may be named."""
        for options in ("", ":lockfile=0"):
            self.leave()
            self.successResultOf(self.listen(options))
            self.assertFalse(self.path.exists())
            self.assertFalse(self.lock.is_symlink())
        self.leave()
        endpoint = make_endpoint(self.reactor, f"unix:address={self.path}", lambda: PairSource(((Path(), Path()),)))
        self.successResultOf(endpoint.listen(Factory.forProtocol(Protocol)))
        self.assertFalse(self.path.exists())

    def test_a_socket_in_use_is_left_alone(self) -> None:
        """A socket is in use even if its queue is full; the lock stays, too."""
        with socket.socket(socket.AF_UNIX) as held:
            held.bind(str(self.path))
            held.listen(0)
            self.lock.symlink_to("1")
            for _ in range(2):
                waiting = socket.socket(socket.AF_UNIX)
                self.addCleanup(waiting.close)
                waiting.setblocking(False)
                waiting.connect_ex(str(self.path))
                error = self.failureResultOf(self.listen(), CannotListenError).value
                self.assertIn("another process accepts connections on this socket", str(error))
        self.assertEqual(self.reactor.unixServers, [])
        self.assertTrue(self.path.exists())
        self.assertTrue(self.lock.is_symlink())

    def test_other_files_are_left_alone(self) -> None:
        """A file and a link to a socket are said to be none; a socket of another kind fails by itself."""
        self.path.write_bytes(b"precious")
        error = self.failureResultOf(self.listen(), CannotListenError).value
        self.assertIn("there is something else by this name, which is no socket", str(error))
        self.assertEqual(self.path.read_bytes(), b"precious")
        self.path.unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(self.path.with_name("other")))
        self.path.symlink_to("other")
        self.failureResultOf(self.listen(), CannotListenError)
        self.assertTrue(self.path.is_symlink())
        self.path.unlink()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.bind(str(self.path))
            self.successResultOf(self.listen())
        self.assertTrue(self.path.exists())

    def test_a_lock_without_a_socket(self) -> None:
        """Goes if it names this process; that of another one is Twisted's to judge; no lock is no trouble."""
        self.lock.symlink_to(str(os.getpid()))
        self.successResultOf(self.listen())
        self.assertFalse(self.lock.is_symlink())
        self.successResultOf(self.listen())
        self.lock.symlink_to("1")
        self.successResultOf(self.listen())
        self.assertTrue(self.lock.is_symlink())

    def test_twisteds_transport_listens_after_a_kill(self) -> None:
        """A real socket takes over the path."""
        self.leave()
        reactor = SelectReactor()
        endpoint = make_endpoint(reactor, f"unix:{self.path}", lambda: PairSource(((Path(), Path()),)))
        port = self.successResultOf(endpoint.listen(Factory.forProtocol(Protocol)))
        self.addCleanup(close_port, reactor, port)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.path))
