"""The program of a worker: its arguments, signals, lock and exit code, with a reactor in memory."""

from __future__ import annotations

import contextlib
import io
import signal
import tempfile
from pathlib import Path
from typing import Any

import twisted.internet.reactor  # as an attribute, which is replaced
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import globalLogBeginner
from twisted.trial.unittest import SynchronousTestCase

from livefeed import clocks
from livefeed.workers import worker as worker_module
from livefeed.workers.__main__ import CANNOT_SERVE, IS_LOCKED, main
from livefeed.workers.link_client import link_paths
from livefeed.workers.locks import WorkerLock, lock_path
from livefeed.workers.worker_log import WorkerLog


class Reactor(MemoryReactorClock):
    """A reactor that notes how it is run."""

    arguments: dict[str, Any] | None = None

    def run(self, **arguments: Any) -> None:
        self.arguments = arguments
        super().run()


class FakeWorker:
    """The services of a worker, which cannot serve if the test says so."""

    failed = False
    made: list[FakeWorker]

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.started = self.stopped = 0
        self.made.append(self)

    def startService(self) -> None:
        self.started += 1

    def stopService(self) -> None:
        self.stopped += 1


class MainTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "link.sock"
        self.reactor = Reactor()
        self.made: list[FakeWorker] = []
        self.worker = type("Worker", (FakeWorker,), {"made": self.made})
        self.signals: dict[int, Any] = {}
        self.logs: list[Any] = []
        self.clocks: list[object] = []
        self.patch(twisted.internet, "reactor", self.reactor)
        self.patch(worker_module, "Worker", self.worker)
        self.patch(signal, "signal", self.signals.__setitem__)
        self.patch(clocks, "measure_by_monotonic_clock", self.clocks.append)
        self.patch(globalLogBeginner, "beginLoggingTo", lambda observers, **_: self.logs.extend(observers))

    def run_main(self, *more: str) -> int:
        return main(["--link", str(self.path), "--index", "3", *more])

    def test_run(self) -> None:
        """The worker starts with the reactor and stops with it, finds its parent, and sends its log there."""
        self.assertEqual(self.run_main("--generation", "2"), 0)
        (worker,) = self.made
        paths, index, reactor, log, lock, generation = worker.arguments
        self.assertEqual((paths, index, generation), (link_paths(self.path, 2), 3, 2))
        self.assertIs(reactor, self.reactor)
        self.assertIsInstance(log, WorkerLog)
        self.assertEqual((self.logs, log.index), ([log], 3))
        self.assertIsInstance(lock, WorkerLock)
        self.assertEqual(self.clocks, [self.reactor])
        self.assertEqual((worker.started, worker.stopped), (1, 0))
        ((stop, _, _),) = self.reactor.triggers["before"]["shutdown"]
        stop()
        self.assertEqual(worker.stopped, 1)

    def test_signals(self) -> None:
        """Those that a terminal or a service manager sends to the whole group are ignored: the parent decides."""
        self.run_main()
        ignored = {signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}
        self.assertEqual(self.signals, dict.fromkeys(ignored, signal.SIG_IGN))
        self.assertEqual(self.reactor.arguments, {"installSignalHandlers": False})

    def test_cannot_serve(self) -> None:
        """The exit code tells the parent."""
        self.worker.failed = True  # type: ignore[attr-defined]
        self.assertEqual(self.run_main(), CANNOT_SERVE)

    def test_second_process(self) -> None:
        """The index belongs to the process that holds the lock; another one ends before it does anything."""
        lock = WorkerLock.take(lock_path(self.path.parent, 0, 3))
        assert lock is not None
        with contextlib.redirect_stderr(io.StringIO()) as said:
            self.assertEqual(self.run_main(), IS_LOCKED)
        self.assertEqual(said.getvalue(), "worker 3 of generation 0 runs already\n")
        self.assertEqual((self.made, self.reactor.arguments), ([], None))

    def test_arguments(self) -> None:
        """Without the link or the index nothing can run."""
        for arguments in ([], ["--link", "x"], ["--index", "1"], ["--link", "x", "--index", "one"]):
            with self.subTest(arguments), contextlib.redirect_stderr(io.StringIO()) as said:
                error = self.assertRaises(SystemExit, main, arguments)
                self.assertEqual(error.code, 2)
                self.assertIn("usage: livefeed.workers", said.getvalue())
