"""The handlers of the signals. The orderly end after SIGTERM is tested with a real process."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger, formatEvent, globalLogPublisher, textFileLogObserver
from twisted.python.logfile import LogFile
from twisted.trial.unittest import SynchronousTestCase

from livefeed.process.log_level import LogLevels
from livefeed.process.signals import SignalHandlers, reopen_logs, share_logs

if TYPE_CHECKING:
    from collections.abc import Callable


class SignalTests(SynchronousTestCase):
    """SIGHUP and SIGUSR1."""

    def setUp(self) -> None:
        self.handlers: dict[int, Callable[..., object]] = {}
        self.before: Any = signal.SIG_DFL
        self.patch(signal, "signal", self.handlers.__setitem__)
        self.patch(signal, "getsignal", lambda number: self.before)
        self.hung_up: list[int] = []
        self.events: list[str] = []

        def record(event: Any) -> None:
            self.events.append(formatEvent(event))

        observer: Any = record
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "livefeed.log"

    def start(self) -> None:
        def call(function: Callable[..., object], *arguments: object) -> None:
            function(*arguments)

        def when_running(*_: object) -> None:
            pass

        reactor = SimpleNamespace(callFromThread=call, callWhenRunning=when_running)
        SignalHandlers(reactor, lambda: self.hung_up.append(1)).startService()

    def test_handlers_do_not_describe_what_they_call(self) -> None:
        """Python makes the text of each handler whenever a process is started: it must not be that of all services."""

        class Large:
            def __repr__(self) -> str:
                raise AssertionError

            def __call__(self) -> None:
                """Does nothing."""

        reactor: Any = SimpleNamespace(callFromThread=Large(), callWhenRunning=lambda call: call(), stop=Large())
        self.before = lambda number, frame: None
        SignalHandlers(reactor, Large(), Large(), Large()).startService()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
            self.assertLess(len(repr(self.handlers[number])), 200)

    def stop_calls(self) -> list[str]:
        """Starts the handlers in a reactor that runs. Returns the calls to its `stop` and to `hurry`, in order."""

        def call(function: Callable[..., object], *arguments: object) -> None:
            function(*arguments)

        calls: list[str] = []
        reactor: Any = SimpleNamespace(
            callFromThread=call, callWhenRunning=call, running=True, stop=lambda: calls.append("stop")
        )
        self.before = lambda number, frame: calls.append("interrupt")
        SignalHandlers(reactor, lambda: None, lambda: calls.append("hurry")).startService()
        return calls

    def test_second_signal_ends_the_orderly_end(self) -> None:
        """Whatever the stop waits for is skipped, once, and the log says so."""
        calls = self.stop_calls()
        for _ in range(3):
            self.handlers[signal.SIGTERM](signal.SIGTERM, None)
        self.assertEqual(calls, ["stop", "hurry"])
        self.assertIn("Received SIGTERM again", self.events[-1])

    def test_interrupts(self) -> None:
        """The first SIGINT is Twisted's, and another signal after it hurries."""
        calls = self.stop_calls()
        for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
            self.handlers[number](number, None)
        self.assertEqual(calls, ["interrupt", "hurry"])

    def test_ignored_interrupts_stay_ignored(self) -> None:
        """As for a process in the background of a shell."""
        calls: list[str] = []
        reactor: Any = SimpleNamespace(callWhenRunning=lambda function, *arguments: function(*arguments))
        self.before = signal.SIG_IGN
        SignalHandlers(reactor, lambda: None, lambda: calls.append("hurry")).startService()
        self.assertNotIn(signal.SIGINT, self.handlers)

    def log_to_file(self) -> None:
        file: Any = LogFile.fromFullPath(str(self.path))
        self.addCleanup(file.close)
        observer = textFileLogObserver(file)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def test_usr1_without_a_log_file(self) -> None:
        """Does not end the process, and says why nothing is rotated."""
        self.start()
        self.handlers[signal.SIGUSR1](signal.SIGUSR1, None)
        self.assertIn("there is no log file", self.events[-1])

    def test_usr2(self) -> None:
        """Does not end the process, and says why."""
        self.start()
        self.handlers[signal.SIGUSR2](signal.SIGUSR2, None)
        self.assertIn("an upgrade needs workers", self.events[-1])

    def test_usr2_of_a_parent(self) -> None:
        """It upgrades."""
        calls: list[str] = []

        def call(function: Callable[..., object], *arguments: object) -> None:
            function(*arguments)

        reactor: Any = SimpleNamespace(callFromThread=call, callWhenRunning=lambda *_: None)
        SignalHandlers(reactor, lambda: None, upgrade=lambda: calls.append("upgrade")).startService()
        self.handlers[signal.SIGUSR2](signal.SIGUSR2, None)
        self.assertEqual(calls, ["upgrade"])

    def test_two_processes_with_one_log(self) -> None:
        """Neither writes over the lines of the other one."""
        self.log_to_file()
        self.log_to_file()
        share_logs()
        for text in ("one", "two"):
            Logger("test").info(text)
        lines = self.path.read_text().splitlines()
        self.assertEqual([line.rpartition(" ")[2] for line in lines if "test" in line], ["one", "one", "two", "two"])

    def test_usr1_of_twistd_is_left_alone(self) -> None:
        """It rotates the log file."""
        self.before = lambda number, frame: None
        self.start()
        self.assertNotIn(signal.SIGUSR1, self.handlers)

    def test_hangup(self) -> None:
        """Is left to the reload."""
        self.start()
        self.handlers[signal.SIGHUP](signal.SIGHUP, None)
        self.assertEqual(self.hung_up, [1])

    def test_without_a_log_file(self) -> None:
        """Nothing is opened again."""
        reopen_logs()
        self.assertEqual(self.events, [])

    def test_log_file_is_opened_again(self) -> None:
        """After a rename, new lines go to a new file by the old name; also below the level of the log."""
        self.log_to_file()
        LogLevels("info").privilegedStartService()
        self.addCleanup(self.unwrap)
        renamed = self.path.rename(self.path.with_name("livefeed.log.1"))
        reopen_logs()
        self.assertIn(f"{self.path} is opened again", self.path.read_text())
        self.assertNotIn("opened again", renamed.read_text())

    def unwrap(self) -> None:
        """Gives the log its observers back."""
        observers = globalLogPublisher._observers
        observers[:] = [getattr(each, "observer", each) for each in observers]

    def test_log_file_that_cannot_be_made(self) -> None:
        """The old one is kept, and says why."""
        self.log_to_file()
        renamed = self.path.rename(self.path.with_name("livefeed.log.1"))
        self.path.mkdir()
        reopen_logs()
        self.assertIn("cannot be opened again: Is a directory", renamed.read_text())
