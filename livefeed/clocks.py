"""Two clocks: one measures, for schedules, timeouts and ages; the other is displayed.

Rules: nothing is measured by the wall clock, which people and NTP set forwards and backwards. Nothing here changes the
reactor when it is imported: other programs share the module, and twistd reads plug-ins of others.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

if TYPE_CHECKING:
    from collections.abc import Callable

STEP_S = 1.0
"""A wall clock that differs by more from what was measured has been set; less is the time between two readings."""

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
MAX_BOOT_ID_LENGTH = 36
"""That of a UUID, which Linux has there."""

_log = Logger()


def _boottime() -> Callable[[], float] | None:
    number = getattr(time, "CLOCK_BOOTTIME", None)
    if number is None:
        return None
    # A partial, since a function of Python's would take twice as long (0.27 instead of 0.15 µs; time.time 0.12).
    clock = partial(time.clock_gettime, number)
    try:
        clock()
    except OSError:
        return None
    return clock


boottime = _boottime()
"""Seconds since the machine was started, those included in which it was suspended; ``None`` where there is no such
clock."""

monotonic: Callable[[], float] = boottime or time.monotonic
"""Seconds since some moment in the past. Nobody can set it."""

wall: Callable[[], float] = time.time
"""Seconds since 1970, as the machine's clock is set now. It is for display."""


def measure_by_monotonic_clock(reactor: Any) -> None:
    """Has a reactor measure by the monotonic clock: its own is the wall clock.

    All that is scheduled by it follows: ticks, timeouts, and what libraries schedule. Only a program that has the
    reactor to itself calls this, before anything is scheduled; a clock that is exchanged later would have what is
    scheduled wait for decades, so it is then left as it is.
    """
    if reactor.getDelayedCalls():
        _log.warn("something was scheduled before livefeed: it goes by the wall clock, and stops if that is set back")
        return
    reactor.seconds = monotonic


@dataclass(frozen=True, slots=True)
class Boot:
    """The time from a start of the machine to its end.

    :ivar id: names it.
    :ivar seconds: gives the seconds since it began, those included in which the machine was suspended.
    """

    id: str
    seconds: Callable[[], float]

    @classmethod
    def current(cls) -> Boot | None:
        """Gives the one that lasts now; ``None`` where the system does not name it, or does not measure it."""
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

    :ivar measured_s: by the clock that measures.
    :ivar wall_s: by the wall clock, as it was set then.
    :ivar by_wall: whether the first could not be measured. It is the latest that it can have been, and the second
        counts as soon as the wall clock says that it was earlier.
    """

    measured_s: float
    wall_s: float
    by_wall: bool = False

    def age_s(self, now: Moment) -> float:
        """Gives the seconds since then; never negative."""
        age_s = max(0.0, now.measured_s - self.measured_s)
        return max(age_s, now.wall_s - self.wall_s) if self.by_wall else age_s

    def displayed(self, now: Moment) -> float:
        """Gives when it was, in seconds since 1970, by the wall clock as it is set now; never later than that.

        Once the wall clock was set, this differs from what it said then: it is as long ago as it is.
        """
        at = now.wall_s - self.age_s(now)
        # The time read then is repeated: the clocks are not read at once, and the milliseconds would change each time.
        return self.wall_s if abs(at - self.wall_s) <= STEP_S and self.wall_s <= now.wall_s else at
