"""A replacement for threads: their work runs when a test says so."""

from __future__ import annotations

import errno
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

if TYPE_CHECKING:
    from collections.abc import Callable


class Threads:
    """Keeps the work that would run in threads.

    :ivar work: the work that has not run yet, each with the Deferred of its result.
    """

    def __init__(self) -> None:
        self.work: list[tuple[Callable[[], object], Deferred[Any]]] = []

    def call(self, work: Callable[..., object], *arguments: Any) -> Deferred[Any]:
        """Keeps a call for later; takes the place of ``in_thread``."""
        self.work.append((partial(work, *arguments), Deferred()))
        return self.work[-1][1]

    def finish(self) -> None:
        """Runs the only work that there is."""
        ((work, outcome),) = self.work
        self.work.clear()
        outcome.callback(work())


def no_thread(work: Callable[..., object], *arguments: Any) -> Deferred[Any]:
    """Fails as if no more threads could start; takes the place of ``in_thread``."""
    raise OSError(errno.EAGAIN, "can't start new thread")
