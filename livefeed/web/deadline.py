"""The deadline of one connection, by a timer that is not made anew each time that the deadline moves.

twisted.web makes a timer with each request, and cancels it with the next one, which took 5 µs. Here a later deadline is
only written down: the timer looks at it when it fires, and begins again if there is time left.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Deadline:
    """A deadline that may move.

    :param clock: schedules and measures.
    :param expire: called once when the deadline is over; it may set another.
    """

    __slots__ = ("_at", "_call", "_clock", "_due_at", "_expire")

    def __init__(self, clock: IReactorTime, expire: Callable[[], object]) -> None:
        self._clock = clock
        self._expire: Callable[[], object] | None = expire
        self._at = inf
        self._call: IDelayedCall | None = None
        self._due_at = inf  # when the timer fires

    def set(self, seconds: float | None) -> None:
        """Moves the deadline. After :meth:`cancel` this has no effect.

        :param seconds: the time from now; ``None`` for no deadline.
        """
        if seconds is None:
            self._stop()
            return
        now = self._clock.seconds()
        self._at = now + seconds
        if self._at < self._due_at:
            self._schedule(seconds)

    def cancel(self) -> None:
        """Ends the deadline for good. The clock does not refer to it any more."""
        self._expire = None
        self._stop()

    def _stop(self) -> None:
        self._at = self._due_at = inf
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _schedule(self, seconds: float) -> None:
        if self._expire is None:
            return
        self._due_at = self._at
        if self._call is None:
            self._call = self._clock.callLater(seconds, self._check)
        else:
            self._call.reset(seconds)

    def _check(self) -> None:
        self._call, self._due_at = None, inf
        left_s = self._at - self._clock.seconds()
        if left_s > 0:
            self._schedule(left_s)
            return
        self._at = inf
        assert self._expire is not None, "cancelled, and yet there was a timer"
        self._expire()
