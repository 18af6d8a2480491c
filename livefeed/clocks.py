"""Two clocks: one measures schedules, timeouts and ages; the other is displayed.

Rules: nothing is measured by the wall clock, which people and NTP set forwards and backwards. Importing this module
does not change the reactor: other programs share the module, and twistd imports the plug-ins of other projects.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

BEAT_S = 0.5
"""Seconds from one beat to the next, at which the regular calls of a process come."""

STEP_S = 1.0
"""Seconds. If the wall clock differs from the measured time by more, it was set; less passes between two readings."""

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Where Linux keeps the id of the current boot."""

MAX_BOOT_ID_LENGTH = 36
"""The largest number of characters in that id: Linux writes a UUID."""


def _boottime() -> Callable[[], float] | None:
    number = getattr(time, "CLOCK_BOOTTIME", None)
    if number is None:
        return None
    # A partial takes 0.15 µs, a Python function 0.27 µs, and time.time 0.12 µs.
    clock = partial(time.clock_gettime, number)
    try:
        clock()
    except OSError:
        return None
    return clock


boottime = _boottime()
"""Gives the seconds since the machine was started, including those in which it was suspended.

It is ``None`` if the system has no such clock.
"""

monotonic: Callable[[], float] = boottime or time.monotonic
"""Gives the seconds since some moment in the past. It cannot be set."""

wall: Callable[[], float] = time.time
"""Gives the seconds since 1970, as the machine's clock is set now. It is for display."""


def measure_by_monotonic_clock(reactor: Any) -> None:
    """Has a reactor measure by the monotonic clock. Its own clock is the wall clock.

    All calls that the reactor schedules follow it: ticks, timeouts, and the calls of libraries. Only a program that
    owns the reactor may call this, before anything is scheduled. If a call is scheduled already, the clock is left as
    it is: with another clock, that call would wait for decades.
    """
    if reactor.getDelayedCalls():
        # Imported here: clients without Twisted use the clocks, too.
        from twisted.logger import Logger  # noqa: PLC0415

        why = "something was scheduled before livefeed: it goes by the wall clock, and stops if that is set back"
        Logger().warn(why)
        return
    reactor.seconds = monotonic


@dataclass(frozen=True, slots=True)
class Beat:
    """A clock whose calls come at beats: moments that are multiples of :data:`BEAT_S`.

    Each time that a process without work wakes takes it 0.1 ms, since nothing is in the caches of the processor. Calls
    that have nothing to do with each other come in one turn of the reactor by this clock.

    :ivar clock: the clock itself.
    """

    clock: IReactorTime

    def seconds(self) -> float:
        """IReactorTime API."""
        return self.clock.seconds()

    def callLater(self, delay_s: float, call: Callable[..., object], *arguments: Any, **named: Any) -> IDelayedCall:
        """IReactorTime API. The call comes at the first beat after the delay; it never comes at once."""
        now_s = self.clock.seconds()
        due_s = ceil((now_s + delay_s) / BEAT_S) * BEAT_S
        later_s = due_s - now_s
        return self.clock.callLater(later_s if later_s > 0 else BEAT_S, call, *arguments, **named)


@dataclass(frozen=True, slots=True)
class Boot:
    """One boot of the machine.

    :ivar id: its id.
    :ivar seconds: gives the seconds since the machine was started, including those in which it was suspended.
    """

    id: str
    seconds: Callable[[], float]

    @classmethod
    def current(cls) -> Boot | None:
        """Gives the current boot; ``None`` if the system has no id or no clock for it."""
        try:
            name = BOOT_ID.read_text("ascii").strip()
        except (OSError, ValueError):
            return None
        if boottime is None or not 0 < len(name) <= MAX_BOOT_ID_LENGTH:
            return None
        return cls(name, boottime)


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time, by both clocks.

    :ivar measured_s: seconds by the clock that measures.
    :ivar wall_s: seconds since 1970 by the wall clock, as it was set then.
    :ivar by_wall: whether the point in time was not measured. *measured_s* is then the latest possible time, and
        *wall_s* counts as soon as it gives a larger age.
    """

    measured_s: float
    wall_s: float
    by_wall: bool = False

    def age_s(self, now: Moment) -> float:
        """Gives the seconds from this point in time until *now*; never negative."""
        age_s = max(0.0, now.measured_s - self.measured_s)
        return max(age_s, now.wall_s - self.wall_s) if self.by_wall else age_s

    def displayed(self, now: Moment) -> float:
        """Gives this point in time in seconds since 1970, by the wall clock as it is set now; never later than *now*.

        If the wall clock was set meanwhile, the result differs from its reading then, so that the age is right.
        """
        at = now.wall_s - self.age_s(now)
        # The reading of then is repeated: the two clocks are read one after the other, and the milliseconds would vary.
        return self.wall_s if abs(at - self.wall_s) <= STEP_S and self.wall_s <= now.wall_s else at
