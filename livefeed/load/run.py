"""The watchers of one process: their arrival, their pace, their limits of time, and the reports about them.

The phases of a run: watchers arrive; when those of all processes are there, the figures begin; they end after a time,
or after a number of answers and deliveries.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from livefeed.load.documents import Documents
from livefeed.load.figures import Figures, Report
from livefeed.load.kinds import POLLERS, WEBSOCKETS, Kind
from livefeed.load.line import Tls
from livefeed.load.loop import Loop
from livefeed.load.messages import MessageReader
from livefeed.load.poller import Poller, Waiter
from livefeed.load.requests import Requests
from livefeed.load.subscriber import EventWatcher, WebSocketWatcher
from livefeed.load.watcher import Shared

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.load.figures import FiguresReport
    from livefeed.load.plan import Plan
    from livefeed.load.watcher import Watcher

REPORT_S = 1.0
"""The time in seconds from one report to the next."""

LOOK_NS = 10_000_000
"""The time in nanoseconds between two looks whether all watchers have arrived."""

STALL_S = 30.0
"""A run by a number of requests ends when nothing was answered for so many seconds, or three times its time limit."""

ARRIVING, MEASURING = "arriving", "measuring"


@dataclass(slots=True, eq=False)
class Run:
    """A process's part of a run.

    :param plan: its task.
    :param report: is given a report once a second, and at the end.
    :raises FollowError: if the file of authorities cannot be read.
    """

    # required parameters
    plan: Plan
    report: Callable[[Report], None]

    # internal state
    loop: Loop = field(default_factory=Loop)
    shared: Shared = field(init=False)
    figures: dict[Kind, Figures] = field(init=False)
    watchers: list[Watcher] = field(default_factory=list)
    _pollers: list[Poller] = field(default_factory=list)
    _reference: Watcher | None = None
    _phase: str = ARRIVING
    _reported_ns: int = 0
    _cpu_s: float = 0.0
    _next_due: int = 0
    _began_ns: int = 0
    _progressed_ns: int = 0
    _is_told_to_stop: bool = False

    def __post_init__(self) -> None:
        plan = self.plan
        documents = Documents(plan.clock_offset_ns, plan.time_pointer)
        self.shared = Shared(
            plan,
            self.loop,
            Tls.of(plan),
            # Each process has numbers of its own, so that no browser is there twice.
            Requests(plan, int.from_bytes(os.urandom(4)) << 16),
            documents,
            MessageReader(documents, plan.verifies, plan.max_bytes),
        )
        self.figures = {kind: Figures() for kind in plan.watchers}
        for number, kind in enumerate(interleaved(plan.watchers)):
            watcher = make_watcher(self.shared, kind, self.figures[kind], number)
            self.watchers.append(watcher)
            if isinstance(watcher, Poller) and kind in POLLERS:
                self._pollers.append(watcher)
        if plan.has_reference:
            self._reference = make_watcher(self.shared, Kind.WS_DELTA2, Figures(), 0, is_reference=True)

    def run(self) -> None:
        """Runs until the end. The last report is marked."""
        now = self._reported_ns = self._progressed_ns = time.monotonic_ns()
        self._cpu_s = time.process_time()
        step_ns = self.plan.ramp_s * 1e9 / max(len(self.watchers), 1)
        if self._reference is not None:
            self._reference.connect()
        for number, watcher in enumerate(self.watchers):
            self.loop.at(now + int(number * step_ns), watcher.come_back)
        self.loop.at(now + int(REPORT_S * 1e9), self._second)
        self.loop.at(now, self._look_for_arrival)
        self.loop.run()
        self._count_unanswered()
        self.shared.documents.close()
        self._send_report(is_last=True)
        self.close()

    def close(self) -> None:
        """Closes all connections."""
        for watcher in self.watchers:
            watcher.close()
        if self._reference is not None:
            self._reference.close()
        self.loop.close()

    def begin(self) -> None:
        """Is told that the watchers of all processes have arrived: the figures begin."""
        if self._phase == MEASURING:
            return
        self._send_report()
        self._phase = MEASURING
        shared, plan = self.shared, self.plan
        shared.is_measuring = True
        shared.late_ns = 0
        if plan.requests is not None:
            shared.left = shared.due = plan.requests
            if plan.requests == 0:
                self.loop.stop()
        self._began_ns = self._progressed_ns = time.monotonic_ns()
        if plan.duration_s is not None:
            self.loop.at(self._began_ns + int(plan.duration_s * 1e9), self.loop.stop)
        if plan.rate is not None and self._pollers:
            self._pace()
        else:
            for poller in self._pollers:
                poller.begin()

    def stop(self) -> None:
        """Is told to end at once."""
        self.loop.stop()

    def _pace(self) -> None:
        """Lets the requests of an open loop fall due, each poller in turn, and comes back for the next one."""
        assert self.plan.rate is not None
        gap_ns = 1e9 / self.plan.rate
        pollers = self._pollers
        period_ns = int(gap_ns * len(pollers))
        now = time.monotonic_ns()
        while True:
            due_ns = self._began_ns + int((self._next_due + self.plan.first) * gap_ns)
            if due_ns > now or self._ends_before(due_ns):
                break
            pollers[self._next_due % len(pollers)].fall_due(due_ns, period_ns)
            self._next_due += 1
        if not self._ends_before(due_ns):
            self.loop.at(due_ns, self._pace)

    def _ends_before(self, due_ns: int) -> bool:
        plan = self.plan
        if plan.requests is not None:
            return self._next_due >= plan.requests
        assert plan.duration_s is not None
        return due_ns >= self._began_ns + plan.duration_s * 1e9

    def _count_unanswered(self) -> None:
        """Adds the requests of an open loop that were due and have no answer, with the time that they waited so far."""
        if self.plan.rate is None:
            return
        now = time.monotonic_ns()
        for poller in self._pollers:
            if poller.is_waiting and poller.period_ns:
                poller.figures.unanswered += 1
                poller.figures.latency.add(now - poller.due_ns)
            for number in range(poller.owed):
                poller.figures.unanswered += 1
                poller.figures.latency.add(now - poller.next_due_ns - number * poller.period_ns)

    def _look_for_arrival(self) -> None:
        """Reports as soon as all watchers have arrived, so that the figures need not wait for the next second."""
        if self._phase == MEASURING:
            return
        if self.shared.arrived == len(self.watchers):
            self._send_report()
        else:
            self.loop.at(time.monotonic_ns() + LOOK_NS, self._look_for_arrival)

    def _second(self) -> None:
        """Looks at the limits of time, and reports."""
        now = time.monotonic_ns()
        for watcher in self.watchers:
            watcher.check(now)
        if self._reference is not None:
            self._reference.check(now)
        if any(figures.answers or figures.deliveries for figures in self.figures.values()):
            self._progressed_ns = now
        stall_ns = max(STALL_S, 3 * self.plan.timeout_s) * 1e9
        if self.plan.requests is not None and self._phase == MEASURING and now - self._progressed_ns > stall_ns:
            self.loop.stop()
        self._send_report()
        self.loop.at(now + int(REPORT_S * 1e9), self._second)

    def _send_report(self, *, is_last: bool = False) -> None:
        now, cpu_s = time.monotonic_ns(), time.process_time()
        taken: dict[Kind, FiguresReport] = {kind: figures.take() for kind, figures in self.figures.items()}
        self.report(
            Report(
                phase=self._phase,
                seconds=(now - self._reported_ns) / 1e9,
                arrived=self.shared.arrived,
                open=self.shared.open,
                cpu_s=cpu_s - self._cpu_s,
                late_ns=self.shared.late_ns,
                figures=taken,
                is_last=is_last,
            )
        )
        self._reported_ns, self._cpu_s, self.shared.late_ns = now, cpu_s, 0


def make_watcher(shared: Shared, kind: Kind, figures: Figures, number: int, *, is_reference: bool = False) -> Watcher:
    """Makes a watcher of a kind."""
    if kind in WEBSOCKETS:
        return WebSocketWatcher(shared, kind, figures, number, is_reference)
    if kind is Kind.EVENTS:
        return EventWatcher(shared, kind, figures, number)
    return (Waiter if kind is Kind.WAIT else Poller)(shared, kind, figures, number)


def interleaved(watchers: dict[Kind, int]) -> list[Kind]:
    """Gives the kinds of watchers in an order of arrival in which all kinds arrive during the whole ramp."""
    places = [((index + 0.5) / number, kind) for kind, number in watchers.items() for index in range(number)]
    return [kind for _, kind in sorted(places)]
