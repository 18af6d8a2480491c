"""The text of ``livefeed bench``: a line while it runs, and a summary that fits a screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from livefeed.cli.tables import Cell, Painter, printable
from livefeed.load.histogram import together
from livefeed.load.kinds import POLLERS
from livefeed.load.summary import PERCENTILES, is_limit
from livefeed.load.thresholds import errors_of, rate_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TextIO

    from livefeed.cli.tables import Colour
    from livefeed.load.figures import Figures
    from livefeed.load.fleet import Result
    from livefeed.load.histogram import Histogram
    from livefeed.load.summary import Setup

T = TypeVar("T")

_DISPENSABLE = ("bytes each", "p99.9", "p90", "watchers")
"""The columns that a narrow terminal does without, in this order. ``--json`` has all figures."""

BAR = 24
"""The characters of the bar."""

MAX_ERRORS = 8
"""The number of kinds of errors in a summary, the most frequent first."""

_NAME = 13
"""The characters of the name of a fact, in front of its text."""

_MS_NS, _S_NS = 1_000_000, 1_000_000_000


def time_text(value_ns: int | None) -> str:
    """Gives a duration with three digits: ``850 µs``, ``4.71 ms``, ``1.25 s``; a dash for none."""
    if value_ns is None:
        return "-"
    if value_ns < _MS_NS:
        return f"{value_ns / 1e3:.0f} µs"
    value, unit = (value_ns / 1e6, "ms") if value_ns < _S_NS else (value_ns / 1e9, "s")
    digits = 2 if value < 10 else 1 if value < 100 else 0  # noqa: PLR2004 - three digits
    return f"{value:.{digits}f} {unit}"


def bytes_text(count: float) -> str:
    """Gives a number of bytes: ``512 B``, ``4.1 kB``, ``1.7 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:  # noqa: PLR2004 - decimal units
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


@dataclass(slots=True, eq=False)
class Progress:
    """The line while a run goes on: one that is written anew on a terminal, and one per second elsewhere.

    :param stream: where it is written.
    :param is_terminal: whether the line can be written anew.
    :param columns: the largest number of characters of the line; ``None`` for any. A longer one could not be written
        anew, since a terminal folds it.
    """

    # required parameters
    stream: TextIO
    is_terminal: bool
    setup: Setup
    columns: int | None = None

    # internal state
    _last: int = 0
    _last_s: float = 0.0

    def show(self, result: Result) -> None:
        """Shows the figures so far."""
        self.stream.write(f"\r\x1b[K{self.line(result)}" if self.is_terminal else f"{self.line(result)}\n")
        self.stream.flush()

    def close(self) -> None:
        """Leaves the terminal as it was."""
        if self.is_terminal:
            self.stream.write("\r\x1b[K")
            self.stream.flush()

    def line(self, result: Result) -> str:
        """Gives the line."""
        setup = self.setup
        if not result.measured_s:
            done = result.arrived / max(setup.connections, 1)
            return self._fitting(
                done, f"{result.arrived:,} of {setup.connections:,} watchers have arrived{_errors(result)}"
            )
        done = min(result.measured_s / setup.duration_s, 1.0) if setup.duration_s else 0.0
        count = sum(each.answers or each.deliveries for each in result.figures.values())
        if setup.requests:
            done = max(done, min(count / setup.requests, 1.0))
        seconds = result.measured_s - self._last_s
        # A report of a process may be late: then the line repeats the rate of the whole.
        rate = (count - self._last) / seconds if seconds > 0.5 else rate_of(result)  # noqa: PLR2004 - half a second
        self._last, self._last_s = count, result.measured_s
        latency = together([each.latency for each in result.figures.values()]).percentile(99)
        delay = together([each.delay for each in result.figures.values()]).percentile(99)
        parts = [f"{result.measured_s:.0f} s", f"{rate:,.0f}/s"]
        parts += [f"p99 {time_text(latency)}"] if latency is not None else []
        parts += [f"delay p99 {time_text(delay)}"] if delay is not None else []
        return self._fitting(done, f"{'   '.join(parts)}   {result.open:,} open{_errors(result)}")

    def _fitting(self, done: float, text: str) -> str:
        whole = f"{self._bar(done)}{text}"
        if self.columns is None or len(whole) < self.columns:
            return whole
        # The last column stays empty: some terminals begin the next line with it.
        return text[: self.columns - 1]

    def _bar(self, done: float) -> str:
        if not self.is_terminal:
            return ""
        full = int(done * BAR)
        return f"[{'#' * full}{'.' * (BAR - full)}]  "


def _errors(result: Result) -> str:
    count = errors_of(result)
    return f"   {count:,} errors" if count else ""


def summary_lines(painter: Painter, setup: Setup, result: Result, missed: list[str]) -> list[str]:
    """Gives the lines of the summary."""
    server = f"({setup.server})" * bool(setup.server)
    lines = painter.fold(printable(" ".join(filter(None, [setup.url, server]))), "strong")
    lines += painter.fold(_conditions(setup, result))
    if any(each.answers for each in result.figures.values()):
        lines += ["", *_table(painter, "answers", setup, result, is_delay=False)]
    if any(each.deliveries for each in result.figures.values()):
        lines += ["", *_table(painter, "deliveries", setup, result, is_delay=True)]
    lines += ["", *_facts(painter, setup, result)]
    for sentence in missed:
        lines += painter.fold(f"missed: {sentence}", "bad", len("missed: "))
    return lines


def _conditions(setup: Setup, result: Result) -> str:
    processes = f"{setup.processes} process{'es' * (setup.processes > 1)}"
    parts = [f"{setup.connections:,} watchers in {processes}"]
    if any(kind in POLLERS for kind in setup.watchers):
        parts.append("closed loop" if setup.rate is None else f"open loop of {setup.rate:,.0f} requests/s")
        parts.append("connections kept" if setup.is_kept else "a new connection for each request (-k keeps them)")
    parts.append(f"all there after {result.arrival_s:.1f} s" if result.measured_s else "not all have arrived")
    return f"{', '.join(parts)}; measured for {result.measured_s:.1f} s"


def _table(painter: Painter, title: str, setup: Setup, result: Result, *, is_delay: bool) -> list[str]:
    heads = ["", "watchers", title, "per s", *(f"p{percent:g}" for percent in PERCENTILES), "max", "bytes each"]
    rows = []
    for kind, figures in result.figures.items():
        count = figures.deliveries if is_delay else figures.answers
        if not count:
            continue
        histogram = figures.delay if is_delay else figures.latency
        size = figures.received / (figures.answers or count)
        cells = [f"{setup.watchers.get(kind, 0):,}", f"{count:,}", f"{count / (result.measured_s or 1):,.0f}"]
        cells += [*_percentiles(histogram), bytes_text(size)]
        rows.append([Cell(str(kind)), *(Cell(text, is_right=True) for text in cells)])
    dispensable = [heads.index(text) for text in _DISPENSABLE]
    return painter.table([Cell(text, "faint", is_right=bool(text)) for text in heads], rows, dispensable)


def _percentiles(histogram: Histogram) -> list[str]:
    found = list(histogram.percentiles(PERCENTILES))
    if not found:
        return ["-"] * (len(PERCENTILES) + 1)
    return [time_text(each) for each in (*found, histogram.longest_ns)]


def _facts(painter: Painter, setup: Setup, result: Result) -> list[str]:
    lines = []
    for name, text, colour in _named_facts(setup, result):
        lines += painter.fold(f"{name:{_NAME}}{text}", colour, _NAME)
    return lines


def _named_facts(setup: Setup, result: Result) -> Iterator[tuple[str, str, Colour]]:
    """Gives the facts that are in no table: the name, the text and the colour of each."""
    figures = list(result.figures.values())
    yield "connections", _connections(figures), "plain"
    statuses = _added(each.statuses for each in figures)
    if statuses:
        yield "statuses", ", ".join(f"{status}: {number:,}" for status, number in sorted(statuses.items())), "plain"
    unanswered = sum(each.unanswered for each in figures)
    if unanswered:
        yield (
            "unanswered",
            f"{unanswered:,} of the due requests, at the end; the time that they have waited counts",
            "plain",
        )
    yield _errors_fact(result)
    verified, unverified = sum(each.verified for each in figures), sum(each.unverified for each in figures)
    if verified or unverified:
        more = f"; {unverified:,} could not be compared with a version" * bool(unverified)
        yield "verified", f"{verified:,} documents have the hash of their version{more}", "plain"
    if any(each.delay.count for each in figures):
        yield "clock", _clock(setup), "plain"
    yield _load(setup, result)
    for note in setup.notes:
        yield "note", note, "warning"


def _errors_fact(result: Result) -> tuple[str, str, Colour]:
    figures = list(result.figures.values())
    named = sorted(_added(each.errors for each in figures).items(), key=lambda item: -item[1])
    said = ", ".join(f"{printable(kind)}: {number:,}" for kind, number in named[:MAX_ERRORS])
    refused = sum(each.refusals for each in figures)
    parts = [each for each in (said, f"status from 400 on: {refused:,}" * bool(refused)) if each]
    parts += [f"{result.lost_processes} processes have ended too early"] if result.lost_processes else []
    return ("errors", "; ".join(parts), "bad") if errors_of(result) else ("errors", "none", "plain")


def _connections(figures: list[Figures]) -> str:
    made = sum(each.connects for each in figures)
    found = together([each.connect for each in figures])
    resumed = sum(each.resumed for each in figures)
    times = f", p50 {time_text(found.percentile(50))}, p99 {time_text(found.percentile(99))}" if made else ""
    more = f"; {resumed:,} resumed a TLS session" * bool(resumed)
    return f"{made:,} made{times}, max {time_text(found.longest_ns)}{more}" if made else "none"


def _clock(setup: Setup) -> str:
    if setup.is_local:
        return "server and watchers have the same clock"
    if setup.offset is None:
        return "the server's clock is not known: delays have the difference of two clocks in them"
    way = "ahead of" if setup.offset.estimate_ns >= 0 else "behind"
    return (
        f"the server's is {time_text(abs(setup.offset.estimate_ns))} {way} this machine's, give or take "
        f"{time_text(setup.offset.error_ns)}; delays have this error"
    )


def _load(setup: Setup, result: Result) -> tuple[str, str, Colour]:
    late = f", requests up to {time_text(result.late_ns)} late" if setup.rate is not None else ""
    text = f"the busiest process took {result.busy:.0%} of a core{late}"
    if not is_limit(setup, result):
        return "load", text, "plain"
    return "load", f"{text}: the load tester was the limit; use more processes (-t), or another machine", "warning"


def _added(counts: Iterable[dict[T, int]]) -> dict[T, int]:
    whole: dict[T, int] = {}
    for each in counts:
        for name, number in each.items():
            whole[name] = whole.get(name, 0) + number
    return whole
