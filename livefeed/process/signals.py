"""The signals of the process: SIGTERM and SIGINT stop it, SIGHUP reloads, SIGUSR2 upgrades, SIGUSR1 only warns."""

from __future__ import annotations

import fcntl
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from twisted.application.service import Service
from twisted.logger import Logger, globalLogPublisher
from twisted.python.logfile import LogFile

if TYPE_CHECKING:
    from collections.abc import Callable

_ABOUT_SIGUSR1 = "received SIGUSR1, which changes nothing: there is no log file (--logfile of twistd) to rotate"

_ABOUT_SIGUSR2 = "received SIGUSR2, which changes nothing: an upgrade needs workers (--workers 1 is enough)"

_log = Logger()


class SignalReactor(Protocol):
    """The part of a reactor that signal handlers need."""

    @property
    def running(self) -> bool:
        """Tells whether the reactor runs."""

    def callWhenRunning(self, callable: Callable[..., Any], *args: Any) -> Any:  # noqa: A002 - Twisted's name
        """Calls a function once the reactor runs, at once if it does."""

    def callFromThread(self, callable: Callable[..., Any], *args: Any) -> Any:  # noqa: A002 - Twisted's name
        """Calls a function in the next turn of the reactor; safe in a signal handler."""

    def stop(self) -> Any:
        """Stops the reactor, and all services with it."""


@dataclass(eq=False, repr=False)
class SignalHandlers(Service):
    """Installs the handlers of the signals.

    It has no ``repr`` of its own. ``signal.getsignal`` makes that of each handler, and Twisted calls it for each signal
    when it starts a process: with the collaborators, a million characters, and 0.1 s in the reactor's thread.

    SIGTERM is an orderly end with exit code 0. Twisted stops on SIGTERM too, but twistd then ends itself by that
    signal, which supervisors take for a failure. A second SIGTERM or SIGINT ends the orderly end.

    :ivar hang_up: called in the reactor's thread after SIGHUP. Signals that come before the reactor runs wait.
    :ivar hurry: skips whatever the stop waits for.
    :ivar upgrade: called in the reactor's thread after SIGUSR2; ``None`` if this process cannot be upgraded.
    """

    # required parameters
    reactor: SignalReactor
    hang_up: Callable[[], object]
    hurry: Callable[[], None] = lambda: None
    upgrade: Callable[[], object] | None = None

    # internal state
    _stopping: bool = False
    _hurrying: bool = False
    _interrupt_first: Any = None  # Twisted's handler of SIGINT

    def privilegedStartService(self) -> None:
        """IService API."""
        super().privilegedStartService()
        self._handle_others()

    def startService(self) -> None:
        """IService API."""
        super().startService()
        signal.signal(signal.SIGTERM, self._terminate)
        self._handle_others()
        # Again, since the reactor installs its own handlers when it begins to run.
        self.reactor.callWhenRunning(self._handle_stops)

    def _handle_stops(self) -> None:
        signal.signal(signal.SIGTERM, self._terminate)
        handler = signal.getsignal(signal.SIGINT)
        # A process in the background of a shell ignores it, and tests have handlers of their own.
        if callable(handler) and handler is not signal.default_int_handler:
            self._interrupt_first = handler
            signal.signal(signal.SIGINT, self._interrupt)

    def _handle_others(self) -> None:
        # By default, these signals end the process at once. With a log file, twistd itself rotates it on SIGUSR1.
        signal.signal(signal.SIGHUP, lambda *_: self.reactor.callFromThread(self.hang_up))
        if signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL:
            signal.signal(signal.SIGUSR1, lambda *_: self.reactor.callFromThread(_log.warn, _ABOUT_SIGUSR1))
        signal.signal(signal.SIGUSR2, lambda *_: self.reactor.callFromThread(self._upgrade))

    def _upgrade(self) -> None:
        if self.upgrade is None:
            _log.warn(_ABOUT_SIGUSR2)
        else:
            self.upgrade()

    def _terminate(self, number: int, frame: object) -> None:
        if not self._stopping:
            self._stopping = True
            _log.info("Received SIGTERM, shutting down.")
            later = self.reactor.callFromThread if self.reactor.running else self.reactor.callWhenRunning
            later(self.reactor.stop)
        else:
            self._hurry("SIGTERM")

    def _interrupt(self, number: int, frame: object) -> None:
        if not self._stopping:
            self._stopping = True
            self._interrupt_first(number, frame)
        else:
            self._hurry("SIGINT")

    def _hurry(self, name: str) -> None:
        if not self._hurrying:
            self._hurrying = True
            _log.info("Received {name} again, cutting off what is left.", name=name)
            self.reactor.callFromThread(self.hurry)


def reopen_logs() -> None:
    """Continues in a new log file by the same name, after logrotate has renamed the old one."""
    for file in _log_files():
        try:
            # LogFile closes the old file before it opens the new one. The user of --uid may not be allowed to create a
            # file in this folder, so that is tried first.
            with Path(file.path).open("ab"):
                pass
            file.reopen()
            _log.info("the log file {path} is opened again", path=file.path)
        except OSError as error:
            _log.warn("the log file {path} cannot be opened again: {why}", path=file.path, why=error.strerror)


def share_logs() -> None:
    """Has this process write only to the end of its log files, so that two processes can write to them.

    Each would otherwise write over the lines of the other one.
    """
    for file in _log_files():
        number = file._file.fileno()  # noqa: SLF001 - there is no other way to the descriptor
        fcntl.fcntl(number, fcntl.F_SETFL, fcntl.fcntl(number, fcntl.F_GETFL) | os.O_APPEND)


def _log_files() -> list[LogFile]:
    # twistd keeps its log file to itself. Only the observer that writes to the file has a reference to it.
    observers = [getattr(each, "observer", each) for each in globalLogPublisher._observers]  # noqa: SLF001
    outputs = [getattr(observer, "_outFile", None) for observer in observers]
    return [output for output in outputs if isinstance(output, LogFile)]
