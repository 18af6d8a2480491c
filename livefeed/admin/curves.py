"""Curves of watchers, deliveries and delays over the last minutes, sampled once a second, for the page.

Rule: one sampling serves all readers, of all processes. It never ends because of an error.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from livefeed.document.timestamps import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

SAMPLES = 180
"""The number of samples in each curve: three minutes, in 3 KB."""

PERIOD_S = 1.0
"""Seconds between two samples."""

RATE_SAMPLES = 5
"""The number of seconds over which deliveries are averaged. Workers report twice a second, so the deliveries of a tick
would otherwise be missing in one sample, and be there twice in the next."""

SETTLED_S = 2.0
"""Seconds after its publication at which the delay of a version is read: the reports of the workers are there then."""

_log = Logger()


class Counts(NamedTuple):
    """The figures of all processes together.

    :ivar watchers: the number of subscribers of all feeds.
    :ivar deliveries: the number of deliveries since the start.
    """

    watchers: int
    deliveries: float


class _Point(NamedTuple):
    """One sample; ``None`` for a value that is not known."""

    watchers: int | None = None
    deliveries: float | None = None  # a second
    delay_ms: float | None = None


@dataclass(eq=False)
class Curves(Service):
    """Samples the figures while it runs and is on.

    :param clock: schedules and measures.
    :param wall: gives the time for display, in seconds since 1970.
    :param counts: gives the figures.
    :param delay_s: gives the longest delay in seconds of the versions that were published in a span of time, which is
        given by the clock; ``None`` if there are none.
    :param show: takes the JSON document with all curves after each sample.
    :param is_on: whether the figures are wanted; :meth:`turn` changes it.
    """

    # required parameters
    clock: IReactorTime
    wall: Callable[[], float]
    counts: Callable[[], Counts]
    delay_s: Callable[[float, float], float | None]
    show: Callable[[bytes], object]
    is_on: bool

    # internal state
    _loop: LoopingCall | None = None
    _points: deque[_Point] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    _counted: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=RATE_SAMPLES + 1))
    _settled_s: float | None = None  # the end of the span whose delays were read last, by the clock
    _has_failed: bool = False

    def startService(self) -> None:
        """IService API."""
        super().startService()
        if self.is_on:
            self._begin()

    def stopService(self) -> None:
        """IService API."""
        super().stopService()
        self._end()

    def turn(self, *, is_on: bool) -> None:
        """Begins to sample, or ends that and forgets the samples."""
        self.is_on = is_on
        if not is_on:
            self._end()
            self._points.clear()
        elif self.running and self._loop is None:
            self._begin()

    def _begin(self) -> None:
        self._counted.clear()
        self._settled_s = None
        self._loop = LoopingCall.withCount(self._sample)
        self._loop.clock = self.clock
        self._loop.start(PERIOD_S, now=True)

    def _end(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.stop()

    def _sample(self, count: int) -> None:
        """Takes one sample.

        :param count: the number of seconds since the last one: more than one if the process was suspended.
        """
        try:
            self._points.extend([_Point()] * min(count - 1, SAMPLES))
            self._points.append(self._point())
            self.show(self._document())
            self._has_failed = False
        except Exception:
            if not self._has_failed:
                self._has_failed = True
                _log.failure("sampling the figures of the page broke")

    def _point(self) -> _Point:
        now, counts = self.clock.seconds(), self.counts()
        if self._counted and counts.deliveries < self._counted[-1][1]:
            # A feed was removed.
            self._counted.clear()
        self._counted.append((now, counts.deliveries))
        since_s, before = self._counted[0]
        rate = (counts.deliveries - before) / (now - since_s) if now > since_s else None
        until_s = now - SETTLED_S
        after_s, self._settled_s = self._settled_s, until_s
        delay_s = self.delay_s(until_s - PERIOD_S if after_s is None else after_s, until_s)
        return _Point(
            counts.watchers,
            None if rate is None else round(rate, 1),
            None if delay_s is None else round(1000 * delay_s, 1),
        )

    def _document(self) -> bytes:
        watchers, deliveries, delays = zip(*self._points, strict=True)
        return msgspec.json.encode(
            {
                "interval_s": PERIOD_S,
                "at": timestamp(self.wall()),
                "watchers": watchers,
                "deliveries": deliveries,
                "delay_ms": delays,
            }
        )
