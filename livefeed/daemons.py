"""Threads for what may hang: the process does not wait for them when it ends, as it would for the reactor's own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorFromThreads

_T = TypeVar("_T")


def start_daemon(work: Callable[[], object], *, name: str) -> None:
    """Calls *work* in a thread of its own.

    :param name: what the thread is called, for whoever debugs.
    """
    threading.Thread(target=work, name=name, daemon=True).start()


def defer_to_daemon(reactor: IReactorFromThreads, work: Callable[..., _T], *arguments: Any) -> Deferred[_T]:
    """Calls *work* in a thread of its own, and gives what comes of it in the reactor's.

    To start one takes 0.1 ms. The reactor's own threads are ten, for host names as well: what hangs would keep them
    from everybody, and the process from its end.

    Once the Deferred is cancelled, whatever still comes is thrown away; the thread itself cannot be stopped.
    """
    outcome: Deferred[_T] = Deferred()

    def run() -> None:
        result: _T | Failure
        try:
            result = work(*arguments)
        except BaseException:
            result = Failure()
        reactor.callFromThread(outcome.callback, result)

    start_daemon(run, name=f"livefeed {work.__name__}")
    return outcome
