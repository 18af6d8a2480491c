"""The locks of the workers: each holds one for as long as it lives, so that parents find the workers of earlier ones.

The name of the file has the generation and the index of the worker: two generations run beside each other during an
upgrade. Its content is the id of the process, when that was started, since another process may have the id of one that
has ended, what the worker does, and the number of this format on a second line. It counts only while the lock is held.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from livefeed.exceptions import RuntimeDirError, newer_format

if TYPE_CHECKING:
    from collections.abc import Iterable


MAX_INDEX = 1023
"""The largest index of a worker: more than one for each processor of the largest machines."""

FORMAT = 1
"""The number of the format of a lock's content."""

_LOOKS = 10
"""The number of looks at a lock whose holder does not say which process it is."""

_LOOK_S = 0.01
"""Seconds between two of them: a worker writes its name some microseconds after it has taken its lock."""

_LINE_BYTES = 64
_MAX_LOCK_BYTES = 96
_FORMAT = re.compile(r"format (\d{1,9})")
_NAME = re.compile(r"worker-(0|[1-9][0-9]{0,8})-(0|[1-9][0-9]{0,3})\.lock")


class Activity(StrEnum):
    """The part of its life that a worker is in, as its lock tells it."""

    WAITING = "waiting"
    """It has no sockets."""
    ACCEPTING = "accepting"
    """It was given sockets, and accepts on them."""
    DRAINING = "draining"
    """It sends its watchers away, accepts no more, and ends afterwards."""


@dataclass(frozen=True, slots=True)
class RunningWorker:
    """A worker that holds its lock.

    :ivar generation: the number of parents by upgrade before the one that has started it.
    :ivar index: its place among the workers of its generation, from 0.
    :ivar pid: its process.
    :ivar activity: what it does.
    """

    generation: int
    index: int
    pid: int
    activity: Activity = Activity.WAITING


@dataclass(frozen=True, slots=True)
class WorkerLock:
    """The lock of this process.

    :ivar descriptor: the open file, which holds the lock until the process ends.
    """

    descriptor: int

    @classmethod
    def take(cls, path: Path) -> WorkerLock | None:
        """Takes a lock.

        :param path: the file, which is made if it does not exist.
        :returns: the lock; ``None`` if another process has it.
        :raises OSError: if the file cannot be made.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        lock = cls(descriptor)
        lock.tell(Activity.WAITING)
        return lock

    def tell(self, activity: Activity) -> None:
        """Writes what the worker does now. A full disk is ignored: the parent has it from the worker itself."""
        # One call with one length: a reader finds the old text or the new one.
        line = f"{os.getpid()} {_start_of(os.getpid())} {activity}".ljust(_LINE_BYTES - 1)
        with suppress(OSError):
            os.pwrite(self.descriptor, f"{line}\nformat {FORMAT}\n".encode(), 0)


def lock_path(directory: Path, generation: int, index: int) -> Path:
    """Gives the lock of a worker.

    :param directory: the runtime directory of the instance.
    """
    return directory / f"worker-{generation}-{index}.lock"


def running_workers(directory: Path) -> list[RunningWorker]:
    """Gives all workers that hold their lock: those of earlier parents, when a parent starts.

    :param directory: the runtime directory of the instance.
    :returns: in the order of generations and indexes.
    :raises RuntimeDirError: if a worker of a newer livefeed runs whose lock this one does not understand.
    """
    found = []
    for path in directory.glob("worker-*.lock"):
        name = _NAME.fullmatch(path.name)
        if name is not None and int(name[2]) <= MAX_INDEX:
            content = _content_of_held(path)
            if content is not None:
                found.append(RunningWorker(int(name[1]), int(name[2]), *content))
    return sorted(found, key=lambda each: (each.generation, each.index))


def generation_after(running: Iterable[RunningWorker]) -> int:
    """Gives the generation of a parent that is no upgrade, and starts while workers of earlier parents run.

    Workers that have never had sockets are those of an upgrade that has failed. If all others drain, the workers of
    this parent must be new ones, with locks of their own.

    :param running: these workers.
    """
    running = [*running]
    accepting = [each.generation for each in running if each.activity is Activity.ACCEPTING]
    return max(accepting) if accepting else max((each.generation for each in running), default=-1) + 1


def remove_left_over(directory: Path, generation: int) -> None:
    """Removes the locks of earlier workers that have ended. No worker of these generations is started any more.

    :param directory: the runtime directory of the instance, which must be that of this process.
    :param generation: the locks of this generation and later ones stay.
    """
    for path in directory.glob("worker-*.lock"):
        name = _NAME.fullmatch(path.name)
        if name is not None and int(name[1]) < generation and not _is_held(path):
            with suppress(OSError):
                path.unlink()


class Holding(Protocol):
    """The processes of the workers."""

    def hold(self, pid: int, /) -> bool:
        """Watches a process that this one has not started, and tells whether it runs."""

    def let_go(self, *pids: int) -> None:
        """Watches some processes no more."""


def hold_worker(processes: Holding, directory: Path, worker: RunningWorker) -> bool:
    """Watches a worker of an earlier parent. From then on, its id cannot pass to another process unnoticed.

    :param directory: the folder of the locks.
    :returns: whether the worker runs.
    """
    if not processes.hold(worker.pid):
        return False
    if holder_of(lock_path(directory, worker.generation, worker.index)) == worker.pid:
        return True
    # It has ended before it was held, and the process that is held may be another one.
    processes.let_go(worker.pid)
    return False


def holder_of(path: Path) -> int | None:
    """Gives the process that holds a lock; ``None`` if none does, or if it does not say which one it is."""
    content = _content_of_held(path)
    return None if content is None else content[0]


def _content_of_held(path: Path) -> tuple[int, Activity] | None:
    """Gives the process that holds a lock, and what it does; ``None`` if none does, or if it does not say so.

    :raises RuntimeDirError: if the content has the format of a newer livefeed.
    """
    for look in range(_LOOKS):
        if look:
            # A worker that starts holds its lock for a moment before it has replaced the name of the one before.
            time.sleep(_LOOK_S)
        text = _text_of_held(path)
        if text is None:
            return None
        line, _, more = text.partition("\n")
        numbered = _FORMAT.match(more)
        if numbered is not None and int(numbered[1]) > FORMAT:
            remedy = "end the process that holds it with the newer livefeed first"
            raise RuntimeDirError(newer_format(path, int(numbered[1]), FORMAT, remedy))
        pid, _, rest = line.strip().partition(" ")
        start, _, activity = rest.partition(" ")
        if pid.isdecimal() and start.isdecimal() and _start_of(int(pid)) == int(start):
            return int(pid), Activity(activity) if activity in [*Activity] else Activity.WAITING
    return None


def _is_held(path: Path) -> bool:
    return _text_of_held(path) is not None


def _text_of_held(path: Path) -> str | None:
    """Gives the content of a lock; ``None`` if no process holds it."""
    try:
        lock = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(lock, _MAX_LOCK_BYTES, 0).decode("ascii", "replace")
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
