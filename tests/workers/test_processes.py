"""Processes of workers with real processes: their start, signals and end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from livefeed.workers.processes import WorkerProcesses, environment_of_workers

reactor: Any = global_reactor


def open_files() -> int:
    """Gives the number of open files of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


class ProcessesTestCase(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.ends: list[tuple[int, str]] = []
        self.next_end: Deferred[None] = Deferred()

    def processes(self, program: str, environment: dict[str, str] | None = None) -> WorkerProcesses:
        """Gives processes that run a program of Python."""
        made = WorkerProcesses(reactor, lambda _, index: ["-S", "-c", program, str(index)], environment or {})
        made.ended = self.note
        return made

    def note(self, pid: int, why: str) -> None:
        self.ends.append((pid, why))
        end, self.next_end = self.next_end, Deferred()
        end.callback(None)


class ChildTests(ProcessesTestCase):
    async def test_exit_code(self) -> None:
        """A child is told its index, sees no settings of its parent, and its end is told with its exit code."""
        program = "import os, sys; sys.exit(int(sys.argv[1]) if 'LIVEFEED_CERT' not in os.environ else 1)"
        processes = self.processes(program, {"LIVEFEED_CERT": "/c"})
        pid = processes.spawn(0, 7)
        await self.next_end
        self.assertEqual(self.ends, [(pid, "ended with exit code 7")])

    async def test_signal(self) -> None:
        """A signal ends it. Afterwards its id is sent no signal any more, since it may be another process's."""
        processes = self.processes("import time; time.sleep(60)")
        pid = processes.spawn(0, 0)
        processes.kill(pid, signal.SIGKILL)
        await self.next_end
        self.assertEqual(self.ends, [(pid, "was ended by signal 9")])
        sent: list[object] = []
        self.patch(os, "kill", lambda *arguments: sent.append(arguments))
        processes.kill(pid, signal.SIGKILL)
        self.assertEqual(sent, [])

    async def test_inherits_nothing_but_its_outputs(self) -> None:
        """Descriptors of the parent, such as those of clients and files, are closed."""
        reader, writer = os.pipe()
        os.set_inheritable(writer, True)
        self.addCleanup(os.close, reader)
        processes = self.processes(f"import os, sys; sys.exit(os.path.exists('/proc/self/fd/{writer}'))")
        processes.spawn(0, 0)
        await self.next_end
        os.close(writer)
        self.assertEqual([why for _, why in self.ends], ["ended with exit code 0"])


class HeldTests(ProcessesTestCase):
    def start(self) -> subprocess.Popen[bytes]:
        """Starts a process that is not one of the reactor's."""
        process = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    async def test_end(self) -> None:
        """A process of an earlier parent is signalled, and its end is noticed. No descriptor is left over."""
        await deferLater(reactor, 0)  # the reactor has opened what it needs
        processes = self.processes("")
        process = self.start()
        before = open_files()
        self.assertTrue(processes.hold(process.pid))
        self.assertTrue(processes.hold(process.pid))
        processes.kill(process.pid, signal.SIGKILL)
        await self.next_end
        self.assertEqual((self.ends, open_files()), ([(process.pid, "has ended")], before))

    async def test_process_that_is_gone(self) -> None:
        """A process that has ended is not held."""
        process = self.start()
        process.kill()
        process.wait()
        self.assertFalse(self.processes("").hold(process.pid))

    async def test_let_go(self) -> None:
        """A parent that ends watches it no more, and leaves it running."""
        processes = self.processes("")
        process, before = self.start(), open_files()
        processes.hold(process.pid)
        processes.let_go()
        self.assertEqual((open_files(), process.poll()), (before, None))
        processes.hold(process.pid)
        processes.let_go(process.pid)
        self.assertEqual(open_files(), before)


class EnvironmentTests(SynchronousTestCase):
    def test_private_variables(self) -> None:
        """A worker neither reads settings of its own, nor speaks to the service manager, nor takes its sockets."""
        environment = {
            "PATH": "/bin",
            "LIVEFEED_CERT": "c",
            "NOTIFY_SOCKET": "n",
            "WATCHDOG_USEC": "1",
            "LISTEN_FDS": "1",
        }
        self.assertEqual(environment_of_workers(environment), {"PATH": "/bin"})
