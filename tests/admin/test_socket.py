"""The operator's socket: its modes, and the files of other processes in its place."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from livefeed.admin.socket import OperatorSocket
from livefeed.exceptions import StartError
from livefeed.process.instance import Instance


class OperatorSocketTests(SynchronousTestCase):
    """Sockets in a folder of the test's own."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = Path(directory.name) / "i"
        self.path = self.folder / "admin.sock"
        self.reactor: Any = MemoryReactorClock()

    def make(self, *, place: str = "", group: int | None = None, start: bool = True) -> OperatorSocket:
        """Makes the service, with its instance started, and starts it."""
        instance = Instance(self.folder, place, group)
        instance.privilegedStartService()
        self.addCleanup(instance.stopService)
        service = OperatorSocket(instance, self.reactor, Factory.forProtocol(Protocol))
        if start:
            service.privilegedStartService()
            service.startService()
        return service

    def stop(self, service: OperatorSocket) -> None:
        stopping = service.stopService()
        self.reactor.advance(1)
        if stopping is not None:
            self.successResultOf(stopping)

    def mode(self) -> int:
        return stat.S_IMODE(self.path.stat().st_mode)

    def test_for_the_owner(self) -> None:
        """Nobody else may connect. The file is gone after the stop."""
        service = self.make()
        self.assertEqual(self.mode(), 0o600)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.path))
        self.stop(service)
        self.assertFalse(self.path.exists())
        self.stop(service)

    def test_for_a_group(self) -> None:
        """The members of the group may."""
        service = self.make(group=os.getegid())
        self.assertEqual((self.mode(), self.path.stat().st_gid), (0o660, os.getegid()))
        self.stop(service)

    def test_left_behind(self) -> None:
        """The socket of a killed process is replaced."""
        self.folder.mkdir(0o700)
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(self.path))
        service = self.make()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.path))
        self.stop(service)

    def test_of_a_successor(self) -> None:
        """The socket that another process has put in the place stays."""
        service = self.make()
        self.path.unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(self.path))
        self.stop(service)
        self.assertTrue(self.path.exists())

    def test_folder_of_another(self) -> None:
        """Without the folder there is no socket, and nothing to announce."""
        first = self.make()
        with capturedLogs() as events:
            second = self.make()
            second.announce()
        self.assertEqual([event["log_namespace"] for event in events], ["livefeed.process.instance"])
        self.assertIsNone(second.stopService())
        self.assertTrue(self.path.exists())
        self.stop(first)

    def test_something_else_in_the_place(self) -> None:
        """livefeed serves without the socket, unless the folder was chosen."""
        self.folder.mkdir(0o700)
        self.path.touch()
        with capturedLogs() as events:
            self.make()
        line = str(formatEvent(events[0]))
        self.assertIn(f"there is no operator's socket: {self.path}: there is something else by this name", line)
        self.flushLoggedErrors()

    def test_something_else_in_a_chosen_place(self) -> None:
        """The start ends."""
        self.folder.mkdir(0o700)
        self.path.touch()
        service = self.make(place="--runtime-dir", start=False)
        error = self.assertRaises(StartError, service.privilegedStartService)
        self.assertTrue(str(error).startswith(f"livefeed: --runtime-dir: {self.path}: "), error)

    def test_announced(self) -> None:
        """The log has the path."""
        service = self.make()
        with capturedLogs() as events:
            service.announce()
        self.assertEqual(formatEvent(events[0]), f"the operator's socket is {self.path}")
        self.stop(service)
