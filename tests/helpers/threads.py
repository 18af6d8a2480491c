"""What takes the place of threads in tests: their work is done when a test says so."""

from __future__ import annotations

import errno
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

if TYPE_CHECKING:
    from collections.abc import Callable


class Threads:
    """Keeps what is to be done in a thread.

    :ivar work: what has not been done yet, and what fires with its result.
    """

    def __init__(self) -> None:
        self.work: list[tuple[Callable[[], object], Deferred[Any]]] = []

    def call(self, work: Callable[..., object], *arguments: Any) -> Deferred[Any]:
        """Has something be done, later; takes the place of ``in_thread``."""
        self.work.append((partial(work, *arguments), Deferred()))
        return self.work[-1][1]

    def finish(self) -> None:
        """Does the one thing that there is to do."""
        ((work, outcome),) = self.work
        self.work.clear()
        outcome.callback(work())


def no_thread(work: Callable[..., object], *arguments: Any) -> Deferred[Any]:
    """Fails as where there can be no more threads; takes the place of ``in_thread``."""
    raise OSError(errno.EAGAIN, "can't start new thread")
