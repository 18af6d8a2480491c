"""The figures that follow from the records of the watchers. All times are in seconds of CLOCK_MONOTONIC.

A version is *published* when the first of all watchers has it.
A watcher *misses* a version if it has neither that one nor a newer one a tick after its slot, or if it receives an
older version after a newer one. The slot of a subscriber is the time of the publication, that of a poller its next
poll, and that of a watcher whose connection has ended the time at which it comes back: as the server told it, or, if
the server did not, the time that the watcher itself has chosen. A watcher that finds no server at its slot keeps it.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.chaos.records import CAUSES, Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Records = Callable[[], Iterable[tuple[int, int, int, int, int]]]


_RECEIVED, _ANSWERED = int(Event.RECEIVED), int(Event.ANSWERED)
"""Two events of which there are millions: a look at the enumeration takes longer than everything else about them."""

_GOOD = (int(HTTPStatus.OK), int(HTTPStatus.NOT_MODIFIED))


def percentile(values: Sequence[float], share: float) -> float:
    """Gives the smallest value that this share of all values does not exceed (nearest rank).

    :param share: from 0 to 1.
    :returns: NaN if there are no values.
    """
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


@dataclass(frozen=True, slots=True)
class Window:
    """The time that is judged.

    :ivar begin: its begin.
    :ivar event: the time at which something was done to livefeed.
    :ivar end: its end. A version whose deadline is later is not judged.
    :ivar tick_s: seconds from one version to the next.
    """

    begin: float
    event: float
    end: float
    tick_s: float = 1.0


@dataclass(slots=True)
class Watcher:
    """The history of one watcher.

    :ivar every_s: seconds from one poll to the next; 0 for a subscriber.
    :ivar times: when documents came,
    :ivar numbers: and their numbers.
    :ivar absences: pairs: when a connection ended or was refused, and the slot of the next.
    :ivar drops: how many connections the server has ended in the window.
    :ivar back_at: when the watcher had a document again after the last drop; ``None`` until then.
    """

    every_s: float
    times: array[float] = field(default_factory=lambda: array("d"))
    numbers: array[int] = field(default_factory=lambda: array("I"))
    absences: list[tuple[float, float]] = field(default_factory=list)
    drops: int = 0
    back_at: float | None = None
    _is_own_choice: bool = False

    def follow(self, now: float, detail: int, event: int, status: int, *, in_window: bool) -> None:
        """Takes a record that is no document."""
        if event == _ANSWERED:
            if status in _GOOD:
                self.live(now)
        elif event == Event.CLOSED:
            self.end(in_window=in_window)
        elif event == Event.SLOT:
            self.come_back_at(now, now + detail / 1e3, told=bool(status))

    def end(self, *, in_window: bool) -> None:
        """Has the connection end."""
        self._is_own_choice = True
        if in_window:
            self.drops += 1
            self.back_at = None

    def come_back_at(self, now: float, slot: float, *, told: bool) -> None:
        """Has the watcher wait for a slot; one of its own choice counts only directly after an end."""
        if told or self._is_own_choice:
            self.absences.append((now, slot))
        self._is_own_choice = False

    def receive(self, now: float, number: int) -> None:
        """Has a document come."""
        self.times.append(now)
        self.numbers.append(number)

    def live(self, now: float) -> None:
        """Has something come that shows that the watcher is served."""
        if self.drops and self.back_at is None:
            self.back_at = now

    def deadline(self, published_at: float, tick_s: float) -> float:
        """Gives the time at which the watcher must have a version."""
        deadline = published_at + self.every_s + tick_s
        for left_at, slot in self.absences:
            if left_at > deadline:
                break
            if slot >= published_at:
                deadline = max(deadline, slot + tick_s)
        return deadline

    def late(self, published: Sequence[tuple[int, float]], window: Window) -> tuple[int, float]:
        """Gives the number of versions that did not come in time, and the longest time after a deadline, in seconds.

        :param published: numbers and times of the versions, in the order of both.
        """
        count, worst, place, newest, length = 0, 0.0, 0, -1, len(self.times)
        most_s = self.every_s + window.tick_s
        for number, published_at in published:
            deadline = self.deadline(published_at, window.tick_s) if self.absences else published_at + most_s
            if deadline > window.end:
                break
            while place < length and self.times[place] <= deadline:
                if self.numbers[place] > newest:  # noqa: PLR1730 - a call for each of millions takes longer
                    newest = self.numbers[place]
                place += 1
            if newest >= number:
                continue
            count += 1
            arrived = next(
                (self.times[at] for at in range(place, len(self.times)) if self.numbers[at] >= number), window.end
            )
            worst = max(worst, arrived - deadline)
        return count, worst

    def older(self, window: Window) -> int:
        """Gives how often an older version came after a newer one."""
        first = bisect_left(self.times, window.begin)
        count, newest = 0, max(self.numbers[:first], default=-1)
        for number in self.numbers[first:]:
            count += number < newest
            newest = max(newest, number)
        return count


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one scenario; times in seconds or milliseconds as their names say.

    :ivar dropped: watchers with a connection that the server has ended.
    :ivar drops: these connections, by cause or code.
    :ivar missed: pairs of a watcher and a version that it has missed.
    :ivar missed_by: the watchers with such a version.
    :ivar missed_connected: those of these pairs whose watcher had the same connection all the time.
    :ivar late_s: the longest time from a deadline to the version.
    :ivar reverted: messages with a lower sequence than the one before.
    :ivar failed: requests on open connections without a good answer, by status or cause.
    :ivar retried: requests that met the end of a connection that was kept, and were sent again.
    :ivar refused: connections that were not opened, and handshakes of WebSocket that were refused, by cause or status.
    :ivar back_s: from the event until each watcher that was dropped had a document again; NaN if none was dropped.
    :ivar absent: dropped watchers that were not back at the end.
    :ivar handshakes: TLS handshakes in the window.
    :ivar handshakes_peak: the most of them in one second.
    :ivar gap_s: the longest time without a new version for all watchers.
    :ivar certificates: different certificates that were seen, in the order of their first connections.
    """

    watchers: int
    dropped: int
    drops: Mapping[str, int]
    missed: int
    missed_by: int
    missed_connected: int
    late_s: float
    reverted: int
    failed: Mapping[str, int]
    retried: int
    refused: Mapping[str, int]
    back_s: float
    back_p50_s: float
    absent: int
    connect_p50_ms: float
    connect_p99_ms: float
    poll_p50_ms: float
    poll_p99_ms: float
    spread_p99_ms: float
    polls: int
    deliveries: int
    handshakes: int
    handshakes_peak: int
    versions: int
    gap_s: float
    certificates: int


def published_at(records: Iterable[tuple[int, int, int, int, int]]) -> list[tuple[int, float]]:
    """Gives the numbers and times of all versions; if a number came late, those after it count no earlier than it."""
    first: dict[int, int] = {}
    for time_us, _, number, event, _ in records:
        if event == _RECEIVED and time_us < first.get(number, math.inf):
            first[number] = time_us
    found, latest = [], 0
    for number, time_us in sorted(first.items()):
        latest = max(latest, time_us)
        found.append((number, latest / 1e6))
    return found


@dataclass(slots=True)
class _Counts:
    """What is counted in the window without regard to the watcher."""

    drops: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    retried: int = 0
    reverted: int = 0
    connect_ms: list[float] = field(default_factory=list)
    poll_ms: list[float] = field(default_factory=list)
    spread_ms: list[float] = field(default_factory=list)
    seconds: Counter[int] = field(default_factory=Counter)
    certificates: set[int] = field(default_factory=set)

    def add(self, time_us: int, detail: int, event: int, status: int) -> None:
        """Counts a record."""
        if event == _ANSWERED:
            self.poll_ms.append(detail / 1e3)
        elif event == Event.CONNECTED:
            self.connect_ms.append(detail / 1e3)
            self.seconds[time_us // 1_000_000] += 1
            self.certificates.add(status)
        elif event == Event.CLOSED:
            self.drops[str(status) if status else CAUSES[detail]] += 1
        elif event == Event.REQUEST_FAILED:
            self.failed[str(status) if status else CAUSES[detail]] += 1
        elif event == Event.CONNECT_FAILED:
            self.refused[CAUSES[detail]] += 1
        elif event == Event.REFUSED:
            self.refused[str(status)] += 1
        elif event == Event.RETRIED:
            self.retried += 1
        elif event == Event.REVERTED:
            self.reverted += 1


def figures(records: Records, every_s: Sequence[float], window: Window) -> Figures:
    """Judges the records.

    :param records: gives all records anew, those of one watcher in the order of their times; it is called twice.
    :param every_s: for each watcher, the seconds from one of its polls to the next; 0 for a subscriber.
    """
    published = published_at(records())
    times = dict(published)
    watchers = [Watcher(each) for each in every_s]
    counts = _Counts()
    begin, end = window.begin, window.end
    for time_us, number, detail, event, status in records():
        now, watcher = time_us / 1e6, watchers[number]
        if now > end:
            continue
        in_window = now >= begin
        if event == _RECEIVED:
            watcher.receive(now, detail)
            if watcher.drops:
                watcher.live(now)
            elif in_window and not watcher.every_s:
                counts.spread_ms.append((now - times[detail]) * 1e3)
            continue
        watcher.follow(now, detail, event, status, in_window=in_window)
        if in_window:
            counts.add(time_us, detail, event, status)
    judged = [(number, at) for number, at in published if window.begin <= at <= window.end]
    return _sum_up(watchers, counts, judged, window)


def _sum_up(
    watchers: Sequence[Watcher], counts: _Counts, judged: Sequence[tuple[int, float]], window: Window
) -> Figures:
    late = [watcher.late(judged, window) for watcher in watchers]
    older = [watcher.older(window) for watcher in watchers]
    dropped = [watcher for watcher in watchers if watcher.drops]
    back = [watcher.back_at - window.event for watcher in dropped if watcher.back_at is not None]
    edges = [window.begin, *(at for _, at in judged), window.end]
    return Figures(
        watchers=len(watchers),
        dropped=len(dropped),
        drops=dict(counts.drops),
        missed=sum(count for count, _ in late) + sum(older),
        missed_by=sum(1 for (count, _), turned in zip(late, older, strict=True) if count or turned),
        missed_connected=sum(
            count + turned
            for watcher, (count, _), turned in zip(watchers, late, older, strict=True)
            if not (watcher.drops or watcher.absences)
        ),
        late_s=max((worst for _, worst in late), default=0.0),
        reverted=counts.reverted,
        failed=dict(counts.failed),
        retried=counts.retried,
        refused=dict(counts.refused),
        back_s=max(back, default=math.nan),
        back_p50_s=percentile(back, 0.5),
        absent=len(dropped) - len(back),
        connect_p50_ms=percentile(counts.connect_ms, 0.5),
        connect_p99_ms=percentile(counts.connect_ms, 0.99),
        poll_p50_ms=percentile(counts.poll_ms, 0.5),
        poll_p99_ms=percentile(counts.poll_ms, 0.99),
        spread_p99_ms=percentile(counts.spread_ms, 0.99),
        polls=len(counts.poll_ms),
        deliveries=sum(len(watcher.times) - bisect_left(watcher.times, window.begin) for watcher in watchers),
        handshakes=len(counts.connect_ms),
        handshakes_peak=max(counts.seconds.values(), default=0),
        versions=len(judged),
        gap_s=max((after - before for before, after in pairwise(edges)), default=0.0),
        certificates=len(counts.certificates),
    )
