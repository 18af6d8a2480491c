"""Threads for calls that may hang. The process does not wait for them when it ends, as it does for the reactor's."""

from __future__ import annotations

import errno
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorFromThreads

_T = TypeVar("_T")


def start_thread(work: Callable[[], object], *, name: str) -> None:
    """Calls *work* in a new thread.

    :param name: the name of the thread, for debugging.
    :raises OSError: if no more threads can be started.
    """
    try:
        threading.Thread(target=work, name=name, daemon=True).start()
    except RuntimeError as error:
        raise OSError(errno.EAGAIN, str(error)) from None


def defer_to_new_thread(reactor: IReactorFromThreads, work: Callable[..., _T], *arguments: Any) -> Deferred[_T]:
    """Calls *work* in a new thread, and fires the Deferred with its result or error in the reactor's thread.

    To start a thread takes 0.1 ms, or somewhat more while another thread runs Python. The reactor has ten threads,
    which also resolve host names: calls that hang would block all their other users, and the end of the process.

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
    start_thread(run, name=f"livefeed {getattr(called, '__name__', type(called).__name__)}")
    return outcome
