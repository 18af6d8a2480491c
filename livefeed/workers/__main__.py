"""``python -m livefeed.workers --link PATH --index I``: the process of one worker, which the parent starts."""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from livefeed import clocks
from livefeed.workers.processes import content_of_lock, lock_path

if TYPE_CHECKING:
    from collections.abc import Sequence

CANNOT_SERVE = 1
"""The exit code of a worker that cannot serve with its settings."""

IS_LOCKED = 3
"""The exit code of a worker whose index belongs to another process."""


def take_lock(path: Path) -> int | None:
    """Takes the lock of a worker, which the process holds for as long as it lives, and writes its id into it.

    :returns: the descriptor of the lock; ``None`` if another process has it.
    :raises OSError: if the file cannot be made.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    os.ftruncate(lock, 0)
    os.pwrite(lock, content_of_lock(), 0)
    return lock


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a worker until it is told to end, and gives the exit code."""
    parser = argparse.ArgumentParser("livefeed.workers", description="The process of a worker; livefeed starts it.")
    parser.add_argument("--link", type=Path, required=True, help="the socket of the parent")
    parser.add_argument("--index", type=int, required=True, help="the index of the worker")
    options = parser.parse_args(arguments)
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        # The terminal sends the first to all processes of a group, also to one that still imports; the parent decides.
        signal.signal(ignored, signal.SIG_IGN)
    lock = take_lock(lock_path(options.link.parent, options.index))
    if lock is None:
        print(f"worker {options.index} runs already", file=sys.stderr)
        return IS_LOCKED

    # Importing the reactor installs it.
    from twisted.internet import reactor as global_reactor
    from twisted.logger import globalLogBeginner

    from livefeed.workers.worker import Worker
    from livefeed.workers.worker_log import WorkerLog

    reactor: Any = global_reactor
    clocks.measure_by_monotonic_clock(reactor)
    log = WorkerLog(options.index)
    globalLogBeginner.beginLoggingTo([log], redirectStandardIO=False)
    worker = Worker(options.link, options.index, reactor, log)
    reactor.callWhenRunning(worker.startService)
    reactor.addSystemEventTrigger("before", "shutdown", worker.stopService)
    # The worker has handlers of its own.
    reactor.run(installSignalHandlers=False)
    os.close(lock)
    return CANNOT_SERVE if worker.failed else 0


if __name__ == "__main__":
    sys.exit(main())
