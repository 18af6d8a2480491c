"""The limits that make a run fail, so that a load test can be a step of a release."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from livefeed.exceptions import LivefeedError, shown
from livefeed.load.kinds import POLLERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from livefeed.load.fleet import Result
    from livefeed.load.histogram import Histogram
    from livefeed.load.kinds import Kind

_TIME = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(us|µs|ms|s|m|h)?", re.ASCII)
_UNITS_S = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


OWN_PACE = "the delay of a poller is mostly the time until it asks again"
"""An explanation of delays that are not the server's."""


class TimeTextError(LivefeedError):
    """A text is no time. The message says which ones are."""


def seconds_of(text: str) -> float:
    """Reads a time such as ``250ms``, ``1.5s`` or ``2m``, and gives its seconds.

    :raises TimeTextError: if it is none, or has no unit: some users think of seconds, and others of milliseconds.
    """
    found = _TIME.fullmatch(text)
    if found is None or float(found[1]) == 0:
        raise TimeTextError(f"{shown(text)} is no time: write 250ms, 1.5s or 2m")
    if found[2] is None:
        raise TimeTextError(f"{shown(text)} has no unit: write {text}ms, {text}s or {text}m")
    return float(found[1]) * _UNITS_S[found[2]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The limits of a run; ``None`` for no limit.

    :ivar max_p99_s: the latency in seconds that 99 of 100 answers to each kind of watcher do not exceed.
    :ivar max_delay_p99_s: the delay in seconds that 99 of 100 deliveries to each kind of watcher do not exceed.
    :ivar min_rate: the answers and deliveries per second.
    :ivar max_errors: the number of errors, with answers from status 400 on.
    """

    max_p99_s: float | None = None
    max_delay_p99_s: float | None = None
    min_rate: float | None = None
    max_errors: int | None = None

    def missed(self, result: Result) -> list[str]:
        """Gives a sentence about each limit that a run has missed. A figure that is not there misses its limit."""
        found = [
            *_missed_times("latency", self.max_p99_s, {kind: each.latency for kind, each in result.figures.items()}),
            *_missed_times("delay", self.max_delay_p99_s, {kind: each.delay for kind, each in result.figures.items()}),
        ]
        rate = rate_of(result)
        if self.min_rate is not None and rate < self.min_rate:
            found.append(
                f"there were {rate:,.0f} answers and deliveries per second, and {self.min_rate:,.0f} are needed"
            )
        errors = errors_of(result)
        if self.max_errors is not None and errors > self.max_errors:
            found.append(f"there were {errors:,} errors, and there may be {self.max_errors:,} at most")
        return found


def _missed_times(name: str, limit_s: float | None, histograms: dict[Kind, Histogram]) -> Iterator[str]:
    """Gives a sentence about each kind of watcher whose times exceed a limit."""
    if limit_s is None:
        return
    allowed = f"and may be {limit_s * 1e3:g} ms at most"
    measured = {kind: each.percentile(99) for kind, each in histograms.items()}
    if all(each is None for each in measured.values()):
        yield f"the p99 of {name} was not measured, {allowed}"
        return
    for kind, measured_ns in measured.items():
        if measured_ns is None and name == "delay" and kind not in POLLERS:
            yield f"the p99 of {name} of {kind} was not measured, {allowed}"
        if measured_ns is not None and measured_ns > limit_s * 1e9:
            why = f"; {OWN_PACE}" if name == "delay" and kind in POLLERS else ""
            yield f"the p99 of {name} of {kind} is {measured_ns / 1e6:.3g} ms, {allowed}{why}"


def rate_of(result: Result) -> float:
    """Gives the answers and deliveries per second; a delivery that is an answer, as of long polls, counts once."""
    if not result.measured_s:
        return 0.0
    counts = (each.answers or each.deliveries for each in result.figures.values())
    return sum(counts) / result.measured_s


def errors_of(result: Result) -> int:
    """Gives the number of errors, with answers from status 400 on, and processes that have ended too early."""
    return sum(each.error_count for each in result.figures.values()) + result.lost_processes
