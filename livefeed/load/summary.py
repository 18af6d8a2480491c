"""The figures as one value, for JSON. Times are in milliseconds, as in the messages of a feed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from livefeed.load.thresholds import errors_of, rate_of

if TYPE_CHECKING:
    from livefeed.load.clock import Offset
    from livefeed.load.fleet import Result
    from livefeed.load.histogram import Histogram
    from livefeed.load.kinds import Kind

PERCENTILES = (50.0, 90.0, 99.0, 99.9)

BUSY = 0.9
"""The share of a core from which on a process is taken for the limit of a run."""

LATE_NS = 100_000_000
"""The time in nanoseconds by which a request may be late by the load tester's own fault before it is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """The conditions of a run, as its result repeats them.

    :ivar server: the name that the server gives itself.
    :ivar document_bytes: the size of its first answer's content.
    :ivar offset: the difference of the clocks; ``None`` on one machine, or if it is not known.
    :ivar is_local: whether the server is on this machine.
    """

    url: str
    server: str
    document_bytes: int
    watchers: dict[Kind, int]
    processes: int
    is_kept: bool
    rate: float | None
    duration_s: float | None
    requests: int | None
    offset: Offset | None
    is_local: bool
    notes: list[str] = field(default_factory=list)

    @property
    def connections(self) -> int:
        """The number of watchers."""
        return sum(self.watchers.values())


def summary_of(setup: Setup, result: Result, missed: list[str], *, is_interrupted: bool) -> dict[str, Any]:
    """Gives all figures of a run.

    :param missed: the sentences about missed limits.
    """
    return {
        "url": setup.url,
        "server": setup.server,
        "document_bytes": setup.document_bytes,
        "watchers": {str(kind): number for kind, number in setup.watchers.items()},
        "processes": setup.processes,
        "keep_alive": setup.is_kept,
        "loop": "closed" if setup.rate is None else "open",
        "wanted_rate": setup.rate,
        "arrival_s": round(result.arrival_s, 3),
        "measured_s": round(result.measured_s, 3),
        "interrupted": is_interrupted,
        "rate": round(rate_of(result), 1),
        "errors": errors_of(result),
        "lost_processes": result.lost_processes,
        "load": {
            "busy": round(result.busy, 3),
            "late_ms": _milliseconds(result.late_ns),
            "is_limit": is_limit(setup, result),
        },
        "clock": None if setup.offset is None else {
            "offset_ms": _milliseconds(setup.offset.estimate_ns), "error_ms": _milliseconds(setup.offset.error_ns)
        },
        "kinds": {str(kind): _kind(setup, result, kind) for kind in result.figures},
        "course": [asdict(point) for point in result.points],
        "missed": missed,
    }  # fmt: skip


def is_limit(setup: Setup, result: Result) -> bool:
    """Tells whether the load tester was at its own limit, so that the figures say little about the server."""
    return result.busy >= BUSY or (setup.rate is not None and result.late_ns > LATE_NS)


def _kind(setup: Setup, result: Result, kind: Kind) -> dict[str, Any]:
    figures = result.figures[kind]
    seconds = result.measured_s or 1.0
    return {
        "watchers": setup.watchers.get(kind, 0),
        "answers": figures.answers,
        "answers_per_s": round(figures.answers / seconds, 1),
        "deliveries": figures.deliveries,
        "deliveries_per_s": round(figures.deliveries / seconds, 1),
        "unanswered": figures.unanswered,
        "received_bytes": figures.received,
        "connects": figures.connects,
        "resumed": figures.resumed,
        "verified": figures.verified,
        "unverified": figures.unverified,
        "statuses": {str(status): number for status, number in sorted(figures.statuses.items())},
        "errors": dict(sorted(figures.errors.items())),
        "latency_ms": durations_of(figures.latency),
        "delay_ms": durations_of(figures.delay),
        "connect_ms": durations_of(figures.connect),
    }


def durations_of(histogram: Histogram) -> dict[str, float] | None:
    """Gives the percentiles of durations in milliseconds; ``None`` if there are none."""
    found = dict(zip(PERCENTILES, histogram.percentiles(PERCENTILES), strict=False))
    if not found:
        return None
    named = {f"p{percent:g}": _milliseconds(value_ns) for percent, value_ns in found.items()}
    return {"count": histogram.count, **named, "max": _milliseconds(histogram.longest_ns)}


def _milliseconds(value_ns: int) -> float:
    return round(value_ns / 1e6, 4)
