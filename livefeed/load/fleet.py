"""The processes of a run, as the command sees them: it starts them, has them begin together, and adds up their reports.

Processes rather than threads: one interpreter runs on one core.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Self

import msgspec

from livefeed.exceptions import FollowError
from livefeed.load.figures import Figures, Report
from livefeed.load.kinds import Kind
from livefeed.load.run import MEASURING
from livefeed.load.worker import BEGIN, STOP

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from livefeed.load.plan import Plan

SILENCE_S = 30.0
"""The time in seconds after which a process that says nothing is given up: it reports once a second."""

END_S = 5.0
"""The time in seconds that processes have for their last report, and then for their end."""

MAX_POINTS = 3600
"""The largest number of points of the course: an hour. In a longer run, every second one is left out then."""

MAX_LINE_BYTES = 8 * 1024 * 1024
"""The largest report in bytes: nine kinds with three full histograms each take 2 MB."""


@dataclass(frozen=True, slots=True)
class Point:
    """A moment of the course.

    :ivar at_s: the time since the start, in seconds.
    :ivar seconds: the time in seconds that it is about.
    :ivar is_measured: whether all watchers had arrived.
    :ivar rates: answers and deliveries per second, by kinds.
    :ivar p50_ms: the median of latency, or of the delay where there is no latency, by kinds that have any.
    :ivar p99_ms: the same of 99 of 100.
    :ivar errors: errors per second.
    """

    at_s: float
    seconds: float
    is_measured: bool
    open: int
    rates: dict[str, float]
    p50_ms: dict[str, float]
    p99_ms: dict[str, float]
    errors: float


@dataclass(slots=True, eq=False)
class Result:
    """The figures of a run so far.

    :ivar figures: by kinds, since all watchers had arrived. Errors and connections of their arrival are in it.
    :ivar measured_s: the time in seconds since then.
    :ivar arrival_s: the time that the arrival took.
    :ivar arrived: the watchers that were served once, or have failed.
    :ivar open: the connections that are open.
    :ivar busy: the largest share of a core that one process has taken since then.
    :ivar late_ns: the longest time by which a process has sent a request too late.
    :ivar lost_processes: the processes that have ended too early.
    """

    figures: dict[Kind, Figures]
    measured_s: float = 0.0
    arrival_s: float = 0.0
    arrived: int = 0
    open: int = 0
    busy: float = 0.0
    late_ns: int = 0
    lost_processes: int = 0
    points: list[Point] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Member:
    """A process.

    :ivar last: its last report.
    :ivar measured_s: the time that it has measured.
    :ivar cpu_s: its processor time in that time.
    """

    process: subprocess.Popen[bytes]
    stdin: IO[bytes]
    stdout: IO[bytes]
    heard_s: float
    buffer: bytearray = field(default_factory=bytearray)
    last: Report | None = None
    measured_s: float = 0.0
    cpu_s: float = 0.0
    is_done: bool = False


@dataclass(slots=True, eq=False)
class Fleet:
    """The processes of a run. Leaving the context ends them.

    :param plans: the task of each.
    """

    # required parameters
    plans: Sequence[Plan]

    # internal state
    result: Result = field(init=False)
    _members: list[_Member] = field(default_factory=list)
    _selector: selectors.DefaultSelector = field(default_factory=selectors.DefaultSelector)
    _started_s: float = 0.0
    _began_s: float | None = None
    _pointed_s: float = 0.0
    _reported_s: float = 0.0  # of which the reports since the last point tell
    _second: dict[Kind, Figures] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kinds = sorted({kind for plan in self.plans for kind in plan.watchers}, key=list(Kind).index)
        self.result = Result({kind: Figures() for kind in kinds})
        self._second = {kind: Figures() for kind in kinds}

    def __enter__(self) -> Self:
        self._started_s = self._pointed_s = time.monotonic()
        try:
            for plan in self.plans:
                self._start(plan)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *details: object) -> None:
        for member in self._members:
            with suppress(OSError):
                member.stdin.close()
        end_s = time.monotonic() + END_S
        for member in self._members:
            try:
                member.process.wait(max(end_s - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                member.process.kill()
                member.process.wait()
            member.stdout.close()
        self._selector.close()

    def run(self, on_second: Callable[[Result], None]) -> Result:
        """Runs until all processes have ended.

        :param on_second: is given the figures so far, about once a second.
        :raises FollowError: if a process cannot do its task.
        """
        while not all(member.is_done for member in self._members):
            self._turn()
            if time.monotonic() - self._pointed_s >= 1:
                self._point()
                on_second(self.result)
        if any(figures.answers or figures.deliveries for figures in self._second.values()):
            self._point()
        return self.result

    def stop(self) -> Result:
        """Ends the run early, and gives the figures so far."""
        for member in self._members:
            _tell(member, STOP)
        end_s = time.monotonic() + END_S
        while not all(member.is_done for member in self._members) and time.monotonic() < end_s:
            self._turn()
        self._point()
        return self.result

    def _start(self, plan: Plan) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "livefeed.load.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdin is not None
        assert process.stdout is not None
        member = _Member(process, process.stdin, process.stdout, time.monotonic())
        self._members.append(member)
        os.set_blocking(member.stdout.fileno(), False)
        self._selector.register(member.stdout, selectors.EVENT_READ, member)
        _tell(member, msgspec.json.encode(plan) + b"\n")

    def _turn(self) -> None:
        for key, _ in self._selector.select(0.2):
            self._read(key.data)
        now = time.monotonic()
        for member in self._members:
            if not member.is_done and now - member.heard_s > SILENCE_S:
                member.process.kill()
                self._lose(member)
        result = self.result
        reports = [member.last for member in self._members if member.last is not None]
        result.arrived = sum(report.arrived for report in reports)
        result.open = sum(report.open for report in reports)
        if self._began_s is None:
            result.arrival_s = now - self._started_s
            # Those of a process that has died will not come any more.
            if all(
                member.is_done or (member.last is not None and member.last.arrived >= plan.connections)
                for member, plan in zip(self._members, self.plans, strict=True)
            ):
                self._began_s = now
                for member in self._members:
                    _tell(member, BEGIN)

    def _read(self, member: _Member) -> None:
        try:
            data = os.read(member.stdout.fileno(), 1 << 20)
        except BlockingIOError:
            return
        if not data:
            self._lose(member)
            return
        member.heard_s = time.monotonic()
        member.buffer += data
        while (end := member.buffer.find(b"\n")) >= 0:
            line = bytes(member.buffer[:end])
            del member.buffer[: end + 1]
            self._take(member, msgspec.json.decode(line, type=Report))
        if len(member.buffer) > MAX_LINE_BYTES:
            member.process.kill()

    def _take(self, member: _Member, report: Report) -> None:
        member.last = report
        self._reported_s += report.seconds / len(self._members)
        is_measured = report.phase == MEASURING
        for kind, taken in report.figures.items():
            self._second[kind].add(taken)
            total = self.result.figures[kind]
            if is_measured:
                total.add(taken)
            else:
                # The answers of the arrival would change the percentiles; its failures are failures.
                total.connects += taken.connects
                total.resumed += taken.resumed
                total.connect.merge(taken.connect.filled, taken.connect.longest_ns)
                for error, number in taken.errors.items():
                    total.failed(error, number)
        if is_measured:
            member.measured_s += report.seconds
            member.cpu_s += report.cpu_s
            result = self.result
            result.measured_s = max(each.measured_s for each in self._members)
            result.late_ns = max(result.late_ns, report.late_ns)
            result.busy = max(each.cpu_s / each.measured_s for each in self._members if each.measured_s)
        if report.is_last:
            member.is_done = True

    def _lose(self, member: _Member) -> None:
        """Is told that a process has ended. Without its last report, that was too early."""
        self._selector.unregister(member.stdout)
        if member.is_done:
            return
        member.is_done = True
        if member.last is None:
            code = member.process.wait()
            raise FollowError(f"a process of the load has ended with code {code}, before it began")
        self.result.lost_processes += 1

    def _point(self) -> None:
        """Adds a point to the course, of what was reported since the last one.

        The rates are those of the time that the reports tell about: one or two of a process may come in a second here.
        """
        now, seconds = time.monotonic(), self._reported_s
        self._pointed_s, self._reported_s = now, 0.0
        if not seconds:
            return
        rates, p50_ms, p99_ms = {}, {}, {}
        errors = 0
        for kind, figures in self._second.items():
            rates[str(kind)] = (figures.answers if figures.latency.count else figures.deliveries) / seconds
            durations = figures.latency if figures.latency.count else figures.delay
            found = list(durations.percentiles([50, 99]))
            if found:
                p50_ms[str(kind)], p99_ms[str(kind)] = (each / 1e6 for each in found)
            errors += figures.error_count
            self._second[kind] = Figures()
        points = self.result.points
        points.append(
            Point(
                now - self._started_s,
                seconds,
                self._began_s is not None,
                self.result.open,
                rates,
                p50_ms,
                p99_ms,
                errors / seconds,
            )
        )
        if len(points) > MAX_POINTS:
            del points[1::2]


def _tell(member: _Member, line: bytes) -> None:
    """Sends a line to a process. One that has ended is noticed by its output."""
    with suppress(BrokenPipeError):
        member.stdin.write(line)
        member.stdin.flush()
