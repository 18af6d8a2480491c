"""What is counted: the figures of one kind of watcher, in a process and for all of them.

A process sends what has been added since its last report, so that the sum of all reports is the result, and each report
a point of the course.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from livefeed.load.histogram import Histogram
from livefeed.load.kinds import Kind  # noqa: TC001 - msgspec reads the annotations

MAX_ERROR_KINDS = 64
"""The largest number of different errors that are counted by name. Further ones count as :data:`OTHERS`."""

OTHERS = "others"


@dataclass(frozen=True, slots=True)
class Durations:
    """A histogram in a report.

    :ivar filled: the index of each bucket that is not empty, and its number.
    """

    filled: list[tuple[int, int]]
    longest_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FiguresReport:
    """What has been added to the figures of a kind."""

    answers: int
    deliveries: int
    received: int
    verified: int
    unverified: int
    unanswered: int
    connects: int
    resumed: int
    statuses: dict[int, int]
    errors: dict[str, int]
    latency: Durations
    delay: Durations
    connect: Durations


@dataclass(slots=True, eq=False)
class Figures:
    """The figures of a kind.

    :ivar answers: answers to requests; of long polls, too.
    :ivar deliveries: documents that were new to a watcher that had another one, or none, and its handshake over.
    :ivar received: bytes, without those of TLS.
    :ivar verified: documents whose content is that of their version.
    :ivar unverified: documents whose version could not be told.
    :ivar unanswered: requests of an open loop that were due and had no answer at the end.
    :ivar connects: connections that were made.
    :ivar resumed: of these, those with a resumed TLS session.
    :ivar statuses: answers by their status.
    :ivar errors: errors by their kind.
    :ivar latency: the times from when a request should have been sent to the end of its answer.
    :ivar delay: the times from when the server had a version to when a watcher had it.
    :ivar connect: the times of connections, with those of the handshakes.
    """

    answers: int = 0
    deliveries: int = 0
    received: int = 0
    verified: int = 0
    unverified: int = 0
    unanswered: int = 0
    connects: int = 0
    resumed: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    latency: Histogram = field(default_factory=Histogram)
    delay: Histogram = field(default_factory=Histogram)
    connect: Histogram = field(default_factory=Histogram)

    def failed(self, kind: str, number: int = 1) -> None:
        """Counts an error."""
        if kind not in self.errors and len(self.errors) >= MAX_ERROR_KINDS:
            kind = OTHERS
        self.errors[kind] = self.errors.get(kind, 0) + number

    def answered(self, status: int) -> None:
        """Counts an answer with a status."""
        self.answers += 1
        self.statuses[status] = self.statuses.get(status, 0) + 1

    def take(self) -> FiguresReport:
        """Gives what has been added since the last time, and forgets it."""
        report = FiguresReport(
            answers=self.answers,
            deliveries=self.deliveries,
            received=self.received,
            verified=self.verified,
            unverified=self.unverified,
            unanswered=self.unanswered,
            connects=self.connects,
            resumed=self.resumed,
            statuses=dict(self.statuses),
            errors=dict(self.errors),
            latency=_taken(self.latency),
            delay=_taken(self.delay),
            connect=_taken(self.connect),
        )
        self.answers = self.deliveries = self.received = self.verified = self.unverified = 0
        self.unanswered = self.connects = self.resumed = 0
        # The hot path refers to these objects.
        self.statuses.clear()
        self.errors.clear()
        return report

    def add(self, report: FiguresReport) -> None:
        """Adds a report of a process."""
        self.answers += report.answers
        self.deliveries += report.deliveries
        self.received += report.received
        self.verified += report.verified
        self.unverified += report.unverified
        self.unanswered += report.unanswered
        self.connects += report.connects
        self.resumed += report.resumed
        for status, number in report.statuses.items():
            self.statuses[status] = self.statuses.get(status, 0) + number
        for kind, number in report.errors.items():
            self.failed(kind, number)
        self.latency.merge(report.latency.filled, report.latency.longest_ns)
        self.delay.merge(report.delay.filled, report.delay.longest_ns)
        self.connect.merge(report.connect.filled, report.connect.longest_ns)

    @property
    def error_count(self) -> int:
        """The number of all errors, including answers with a status from 400 on."""
        return sum(self.errors.values()) + self.refusals

    @property
    def refusals(self) -> int:
        """The number of answers with a status from 400 on."""
        return sum(number for status, number in self.statuses.items() if status >= 400)  # noqa: PLR2004 - RFC 9110


def _taken(histogram: Histogram) -> Durations:
    taken = Durations(histogram.filled(), histogram.longest_ns)
    if taken.filled:
        histogram.clear()
    return taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a process says once a second.

    :ivar phase: ``arriving`` until all watchers of all processes are there, then ``measuring``.
    :ivar is_last: whether the process ends with this report.
    :ivar seconds: the time since the last report.
    :ivar arrived: the number of its watchers that were served once, or have failed.
    :ivar open: the number of its connections that are open.
    :ivar cpu_s: the processor time since the last report.
    :ivar late_ns: in an open loop, the longest time by which a request was sent too late although its connection was
        free, since the last report: then the process itself is too slow.
    :ivar figures: by kinds.
    """

    phase: str
    seconds: float
    arrived: int
    open: int
    cpu_s: float
    late_ns: int
    figures: dict[Kind, FiguresReport]
    is_last: bool = False
