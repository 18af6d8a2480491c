"""Threads for what may hang: the process does not wait for them when it ends, as it would for the reactor's own."""

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
    """Calls *work* in a thread of its own.

    :param name: the name of the thread, for debugging.
    :raises OSError: if there can be no more threads.
    """
    try:
        threading.Thread(target=work, name=name, daemon=True).start()
    except RuntimeError as error:
        raise OSError(errno.EAGAIN, str(error)) from None


def defer_to_new_thread(reactor: IReactorFromThreads, work: Callable[..., _T], *arguments: Any) -> Deferred[_T]:
    """Calls *work* in a thread of its own, and gives what comes of it in the reactor's.

    To start one takes 0.1 ms, or some more while another thread runs Python. The reactor's own threads are ten, for
    host names as well: what hangs would keep them from everybody, and the process from its end.

    Once the Deferred is cancelled, whatever still comes is thrown away; the thread itself cannot be stopped.

    :raises OSError: if there can be no more threads.
    """
    outcome: Deferred[_T] = Deferred()

    def run() -> None:
        result: _T | Failure
        try:
            result = work(*arguments)
        except BaseException:
            result = Failure()
        reactor.callFromThread(outcome.callback, result)

    # A partial has no name of its own.
    called = work.func if isinstance(work, partial) else work
    start_thread(run, name=f"livefeed {getattr(called, '__name__', type(called).__name__)}")
    return outcome
