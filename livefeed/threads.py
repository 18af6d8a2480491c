"""Threads for calls that may hang. The process does not wait for them when it ends, as it does for the reactor's."""

from __future__ import annotations

import errno
import os
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorFromThreads

_T = TypeVar("_T")

MAX_RESTING = 2
"""The number of threads that rest between two calls. Each keeps some 50 KB; more than these are rarely at work at once,
since the pulls of feeds are spread."""


def start_thread(work: Callable[[], object], *, name: str) -> None:
    """Calls *work* in a new thread.

    :param name: the name of the thread, for debugging.
    :raises OSError: if no more threads can be started.
    """
    try:
        threading.Thread(target=work, name=name, daemon=True).start()
    except RuntimeError as error:
        raise OSError(errno.EAGAIN, str(error)) from None


class _Worker:
    """A thread that rests after a call, and can be given the next one.

    A call to a thread that rests takes a quarter of the time of one to a new thread.
    """

    def __init__(self, work: Callable[[], object], name: str) -> None:
        self._work: Callable[[], object] | None = work
        self._name = name
        # Held while there is no work: a lock takes a fifth of the time of a semaphore, which is written in Python.
        self._no_work = threading.Lock()
        self._no_work.acquire()

    def run(self) -> None:
        """Runs in the thread."""
        thread = threading.current_thread()
        while self._work is not None:
            thread.name = self._name
            self._work()
            # A result that nobody needs any more does not stay for as long as the thread rests.
            self._work = None
            with _lock:
                if len(_resting) >= MAX_RESTING:
                    return
                _resting.append(self)
            self._no_work.acquire()

    def give(self, work: Callable[[], object], name: str) -> None:
        """Gives a thread that rests its next work. It rests no more."""
        self._work, self._name = work, name
        self._no_work.release()


_resting: list[_Worker] = []
_lock = threading.Lock()
# Threads do not survive a fork.
os.register_at_fork(after_in_child=_resting.clear)


def _call_in_thread(work: Callable[[], object], name: str) -> None:
    """Calls *work* in a thread that rests, or in a new one if none does.

    :raises OSError: if no more threads can be started.
    """
    with _lock:
        worker = _resting.pop() if _resting else None
    if worker is None:
        start_thread(_Worker(work, name).run, name=name)
    else:
        worker.give(work, name)


def defer_to_new_thread(reactor: IReactorFromThreads, work: Callable[..., _T], *arguments: Any) -> Deferred[_T]:
    """Calls *work* in a thread of its own, and fires the Deferred with its result or error in the reactor's thread.

    To start a thread takes 0.1 ms, or somewhat more while another thread runs Python, so a few threads that have done
    their work rest, and are used again. The reactor has ten threads, which also resolve host names: calls that hang
    would block all their other users, and the end of the process. Here a call that hangs has its thread for itself.

    Once the Deferred is cancelled, the result is discarded. The thread itself cannot be stopped.

    :raises OSError: if no more threads can be started.
    """
    outcome: Deferred[_T] = Deferred()

    def run() -> None:
        result: _T | Failure
        try:
            result = work(*arguments)
        except BaseException:
            result = Failure()
        reactor.callFromThread(outcome.callback, result)

    # A partial has no name.
    called = work.func if isinstance(work, partial) else work
    _call_in_thread(run, f"livefeed {getattr(called, '__name__', type(called).__name__)}")
    return outcome
