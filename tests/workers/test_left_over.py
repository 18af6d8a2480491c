"""Workers that are left over: how they are found, and the line about them."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from livefeed.process.runtime_dir import RuntimeDir
from livefeed.workers.left_over import MAX_SHOWN, LeftOverWorkers, held_addresses
from livefeed.workers.locks import WorkerLock, lock_path


class LeftOverTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)


class AddressTests(LeftOverTestCase):
    """The addresses on which a process listens."""

    def test_own(self) -> None:
        """Ports of both families, and paths; not those of connections, and none that was closed."""
        before = held_addresses(os.getpid())
        path = str(self.folder / "a.sock")
        open_ports = []
        with (
            socket.create_server(("127.0.0.1", 0)) as four,
            socket.create_server(("::1", 0), family=socket.AF_INET6) as six,
            socket.socket(socket.AF_UNIX) as unix,
            socket.create_connection(four.getsockname()),
        ):
            unix.bind(path)
            unix.listen()
            open_ports = sorted(each.getsockname()[1] for each in (four, six))
            found = [each for each in held_addresses(os.getpid()) if each not in before]
        self.assertEqual(found, [*(f"the port {port}" for port in open_ports), path])
        self.assertEqual(held_addresses(os.getpid()), before)

    def test_nothing_can_be_read(self) -> None:
        """As of a process that has ended, and of another user."""
        self.assertEqual(held_addresses(1, self.folder), [])
        (self.folder / "1" / "fd").mkdir(parents=True)
        self.assertEqual(held_addresses(1, self.folder), [])


class WarningTests(LeftOverTestCase):
    """The line at the start."""

    def lines(self, addresses: dict[int, list[str]], *, is_ours: bool = True) -> list[str]:
        directory = RuntimeDir(self.folder, is_ours=is_ours)
        service = LeftOverWorkers(lambda: directory, lambda pid: addresses.get(pid, []))
        with capturedLogs() as events:
            service.privilegedStartService()
        return [str(formatEvent(event)) for event in events]

    def run_workers(self, count: int) -> None:
        """Holds the locks of workers, all in the name of this process."""
        for index in range(count):
            lock = WorkerLock.take(lock_path(self.folder, 0, index))
            assert lock is not None
            self.addCleanup(os.close, lock.descriptor)

    def test_named(self) -> None:
        """The line has their processes, the addresses that they hold, and the command that ends them."""
        pid = os.getpid()
        self.run_workers(2)
        (line,) = self.lines({pid: ["the port 8443", "/a"]})
        self.assertIn(f": processes {pid}, {pid}; they listen on the port 8443, /a; `kill {pid} {pid}` ends", line)
        (line,) = self.lines({})
        self.assertIn("they listen on no address that livefeed could find", line)

    def test_many(self) -> None:
        """The line names a few, and the command all."""
        self.run_workers(MAX_SHOWN + 1)
        (line,) = self.lines({})
        self.assertIn(", ...; ", line)
        self.assertIn("`kill" + f" {os.getpid()}" * (MAX_SHOWN + 1) + "`", line)

    def test_none(self) -> None:
        """Without them there is no line; neither if another livefeed has the runtime directory, as they are its own."""
        self.assertEqual(self.lines({}), [])
        self.run_workers(1)
        self.assertEqual(self.lines({}, is_ours=False), [])
