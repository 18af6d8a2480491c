"""The processes of the workers, as the operating system has them: started, signalled, and noticed when they end.

A worker that this process has started is its child. A worker of an earlier parent is not, and is held by a descriptor
(pidfd_open(2)): an id could belong to another process by the time that it is used.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.protocol import ProcessProtocol
from zope.interface import implementer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from twisted.internet.interfaces import IReactorFDSet, IReactorProcess
    from twisted.python.failure import Failure

    class ProcessReactor(IReactorFDSet, IReactorProcess):
        """The parts of a reactor that processes need."""


_PRIVATE = ("LIVEFEED_", "NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_")
"""The beginnings of the names of variables that a worker must not see: its parent's settings and messages."""


def environment_of_workers(environment: Mapping[str, str]) -> dict[str, str]:
    """Gives the variables for a worker, which has its settings from its parent."""
    return {name: value for name, value in environment.items() if not name.startswith(_PRIVATE)}


class _Child(ProcessProtocol):
    """Tells of the end of a worker that this process has started."""

    def __init__(self, ended: Callable[[str], None]) -> None:
        self._ended = ended

    def processEnded(self, reason: Failure) -> None:
        """IProcessProtocol API."""
        status: Any = reason.value
        if status.signal is not None:
            self._ended(f"was ended by signal {status.signal}")
        else:
            self._ended(f"ended with exit code {status.exitCode}")


@implementer(IReadDescriptor)
@dataclass(eq=False)
class _Held:
    """A process that this one has not started. Its descriptor is readable when it has ended."""

    fd: int
    ended: Callable[[], None]

    def fileno(self) -> int:
        """IReadDescriptor API."""
        return self.fd

    def doRead(self) -> None:
        """IReadDescriptor API."""
        self.ended()

    def logPrefix(self) -> str:
        """ILoggingContext API."""
        return "worker"

    def connectionLost(self, reason: Failure) -> None:
        """IReadDescriptor API."""


@dataclass(eq=False)
class WorkerProcesses:
    """Starts workers, and signals them.

    :param reactor: starts and watches.
    :param arguments: gives the arguments of the Python program of a worker, by its generation and index.
    :param environment: the variables of this process.
    :ivar ended: is told of each process that has ended, and how; set by the owner.
    """

    # required parameters
    reactor: ProcessReactor
    arguments: Callable[[int, int], list[str]]
    environment: Mapping[str, str]

    # internal state
    ended: Callable[[int, str], None] = field(init=False)
    _children: set[int] = field(default_factory=set)
    _held: dict[int, _Held] = field(default_factory=dict)

    def spawn(self, generation: int, index: int) -> int:
        """Starts a worker, and gives its process id.

        :raises OSError: if the system refuses.
        """
        command = [sys.executable, *self.arguments(generation, index)]
        pids: list[int] = []
        child = _Child(lambda why: self._note_child_ended(pids[0], why))
        # Standard input and outputs are the same as those of this process, and everything else is closed.
        transport: Any = self.reactor.spawnProcess(
            child, command[0], command, environment_of_workers(self.environment), childFDs={0: 0, 1: 1, 2: 2}
        )
        pids.append(transport.pid)
        self._children.add(transport.pid)
        return pids[0]

    def hold(self, pid: int) -> bool:
        """Watches a process that this one has not started.

        :returns: whether it still runs.
        """
        if pid in self._held:
            return True
        try:
            fd = os.pidfd_open(pid)
        except OSError:
            return False
        held = self._held[pid] = _Held(fd, lambda: self._note_held_ended(pid))
        self.reactor.addReader(held)
        return True

    def kill(self, pid: int, number: signal.Signals) -> None:
        """Processes API."""
        held = self._held.get(pid)
        with suppress(ProcessLookupError):
            if held is not None:
                signal.pidfd_send_signal(held.fd, number)
            elif pid in self._children:
                # It stays a zombie, and its id in use, until its end has been noticed.
                os.kill(pid, number)

    def let_go(self, *pids: int) -> None:
        """Watches processes no more that this one has not started.

        :param pids: their ids; none for all of them.
        """
        for pid in pids or tuple(self._held):
            self._forget(pid)

    def _note_child_ended(self, pid: int, why: str) -> None:
        self._children.discard(pid)
        self.ended(pid, why)

    def _note_held_ended(self, pid: int) -> None:
        self._forget(pid)
        self.ended(pid, "has ended")

    def _forget(self, pid: int) -> None:
        held = self._held.pop(pid)
        self.reactor.removeReader(held)
        os.close(held.fd)
