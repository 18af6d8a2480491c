"""``python -m livefeed.workers --link PATH --generation G --index I``: the process of one worker."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from livefeed import clocks
from livefeed.workers.locks import WorkerLock, lock_path

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

CANNOT_SERVE = 1
"""The exit code of a worker that cannot serve with its settings."""

IS_LOCKED = 3
"""The exit code of a worker whose index belongs to another process."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a worker until it is told to end, and gives the exit code."""
    parser = argparse.ArgumentParser("livefeed.workers", description="The process of a worker; livefeed starts it.")
    parser.add_argument("--link", type=Path, required=True, help="the socket of the parent")
    parser.add_argument("--generation", type=int, default=0, help="the number of upgrades before it")
    parser.add_argument("--index", type=int, required=True, help="the index of the worker")
    options = parser.parse_args(arguments)
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        # The terminal sends the first to all processes of a group, also to one that still imports; the parent decides.
        signal.signal(ignored, signal.SIG_IGN)
    lock = WorkerLock.take(lock_path(options.link.parent, options.generation, options.index))
    # After the lock, which a parent may look for: this import takes longer than all before it.
    from livefeed.process.journald import ending, is_journal

    if lock is None:
        print(ending(f"worker {options.index} of generation {options.generation} runs already"), file=sys.stderr)
        return IS_LOCKED

    # Importing the reactor installs it.
    from twisted.internet import reactor as global_reactor
    from twisted.logger import globalLogBeginner

    from livefeed.workers.link_client import link_paths
    from livefeed.workers.worker import Worker
    from livefeed.workers.worker_log import WorkerLog

    reactor: Any = global_reactor
    clocks.measure_by_monotonic_clock(reactor)
    log = WorkerLog(options.index, sys.stderr, is_journal(os.environ, sys.stderr))
    # From now on, the tracebacks of threads, and everything else that Python itself prints, are lines of the log.
    globalLogBeginner.beginLoggingTo([log])
    paths = link_paths(options.link, options.generation)
    worker = Worker(paths, options.index, reactor, log, lock, options.generation)
    reactor.callWhenRunning(worker.startService)
    reactor.addSystemEventTrigger("before", "shutdown", worker.stopService)
    # The worker has handlers of its own.
    try:
        reactor.run(installSignalHandlers=False)
    finally:
        # Nothing is sent any more.
        log.disconnect()
    return CANNOT_SERVE if worker.failed else 0


def _print_traceback(kind: type[BaseException], error: BaseException, frames: TracebackType | None) -> None:
    from livefeed.process.journald import print_traceback

    print_traceback(kind, error, frames)


if __name__ == "__main__":
    sys.excepthook = _print_traceback
    sys.exit(main())
