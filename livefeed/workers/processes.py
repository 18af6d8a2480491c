"""The processes of the workers, as the operating system has them: started, signalled, and noticed when they end.

A worker that this process has started is its child. A worker of an earlier parent is not, and is held by a descriptor
(pidfd_open(2)): an id could belong to another process by the time that it is used.

Each worker holds the lock of its index for as long as it lives, so that the next parent finds it.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
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


MAX_INDEX = 1023
"""The largest index of a worker: more than one for each processor of the largest machines."""

_MAX_LOCK_BYTES = 64
_LOOKS = 10
"""The number of looks at a lock whose holder does not say which process it is."""

_LOOK_S = 0.01
"""Seconds between two of them: a worker writes its name some microseconds after it has taken its lock."""

_PRIVATE = ("LIVEFEED_", "NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_")
"""The beginnings of the names of variables that a worker must not see: its parent's settings and messages."""


def usable_processors(cgroups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """Gives the number of processors that this process may use: by its affinity, and by the quota of its cgroup.

    :param cgroups: where the cgroups are mounted (version 2).
    :param own: the file that names the cgroup of this process.
    """
    count = float(len(os.sched_getaffinity(0)))
    with suppress(OSError, ValueError, StopIteration):
        # 0::/path for version 2; in a container, the path is that of the host, and the mount is the container's own.
        line = next(each for each in own.read_text().splitlines() if each.startswith("0::"))
        folder = cgroups / line.removeprefix("0::").strip("/")
        for each in (folder, *folder.parents):
            with suppress(OSError, ValueError):
                quota, period = (each / "cpu.max").read_text().split()
                if quota != "max":
                    count = min(count, int(quota) / int(period))
            if each == cgroups:
                break
    return max(1, round(count))


def lock_path(directory: Path, index: int) -> Path:
    """Gives the lock of a worker.

    :param directory: the runtime directory of the instance.
    :param index: the index of the worker.
    """
    return directory / f"worker-{index}.lock"


def running_workers(directory: Path) -> dict[int, int]:
    """Gives the process ids of all workers that hold their lock, by index: those of an earlier parent.

    :param directory: the runtime directory of the instance.
    """
    found = {}
    for path in directory.glob("worker-*.lock"):
        index = path.name.removeprefix("worker-").removesuffix(".lock")
        if index.isdecimal() and len(index) <= len(str(MAX_INDEX)) and int(index) <= MAX_INDEX:
            pid = _holder(path)
            if pid is not None:
                found[int(index)] = pid
    return found


def content_of_lock() -> bytes:
    """Gives the bytes by which the lock of this process names it: its id, and when it was started."""
    return b"%d %d\n" % (os.getpid(), _start_of(os.getpid()) or 0)


def _holder(path: Path) -> int | None:
    """Gives the id of the process that holds a lock; ``None`` if none does, or if it does not say which one it is."""
    try:
        lock = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        for _ in range(_LOOKS):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid, _, start = os.pread(lock, _MAX_LOCK_BYTES, 0).strip().partition(b" ")
                # A worker that starts holds its lock for a moment before it has replaced the name of the one before.
                # By now another process may have the id of that one.
                if pid.isdigit() and start.isdigit() and _start_of(int(pid)) == int(start):
                    return int(pid)
                time.sleep(_LOOK_S)
            else:
                return None
    finally:
        os.close(lock)
    return None


def _start_of(pid: int) -> int | None:
    """Gives when a process was started, in clock ticks since the start of the machine; ``None`` without the process."""
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name of the program is in parentheses, and may have others in it; the start is the 22nd field (proc(5)).
    return int(status.rpartition(b")")[2].split()[19])


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
    :param arguments: gives the arguments of the Python program of a worker, by its index.
    :param environment: the variables of this process.
    :ivar ended: is told of each process that has ended, and how; set by the owner.
    """

    # required parameters
    reactor: ProcessReactor
    arguments: Callable[[int], list[str]]
    environment: Mapping[str, str]

    # internal state
    ended: Callable[[int, str], None] = field(init=False)
    _children: set[int] = field(default_factory=set)
    _held: dict[int, _Held] = field(default_factory=dict)

    def spawn(self, index: int) -> int:
        """Processes API."""
        command = [sys.executable, *self.arguments(index)]
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
