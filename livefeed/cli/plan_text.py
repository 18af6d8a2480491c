"""The text of ``livefeed plan``, for terminals of 80 columns."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from livefeed.cli.tables import Cell, Painter
from livefeed.planning.estimate import BUSY, SLOWNESS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from livefeed.planning.estimate import Demand, Estimate
    from livefeed.planning.model import Model
    from livefeed.planning.ranges import Range

COLUMNS = 80
_DIGITS = 2
"""Digits of a figure that are shown: more would claim more than is known."""

_LEAST = 0.001
_FILES_ASIDE = 256


def estimate_lines(model: Model, demand: Demand, found: Estimate) -> Iterator[str]:
    """Gives the lines of an estimate."""
    yield (
        f"{demand.watchers:,} watchers of a document of {demand.document_bytes:,} bytes, "
        f"a new version every {demand.interval_s:g} s"
    )
    yield ""
    painter = Painter(in_colour=False)
    rows = [
        ("sent", found.mbit_s, "Mbit/s"),
        (f"sent in {demand.hours:g} hours", found.gigabytes, "GB"),
        ("processors, busy", found.cores, "cores"),
        ("memory", found.memory_bytes.times(1e-6), "MB"),
        ("until all have connected", found.crowd_s, "s"),
    ]
    heads = [Cell(""), Cell("from", is_right=True), Cell("to", is_right=True), Cell("")]
    cells = [
        [Cell(name), Cell(rounded(figure.low), is_right=True), Cell(rounded(figure.high), is_right=True), Cell(unit)]
        for name, figure, unit in rows
    ]
    yield from painter.table(heads, cells)
    yield ""
    yield from _ways(model, found, painter)
    yield ""
    yield "To plan with"
    yield from _bullets(_advice(demand, found))
    yield ""
    yield "Assumptions"
    yield from _bullets(_assumptions(model, demand))


def _ways(model: Model, found: Estimate, painter: Painter) -> Iterator[str]:
    heads = [
        Cell("followed by"),
        Cell("watchers", is_right=True),
        Cell("bytes each", is_right=True),
        Cell("Mbit/s", is_right=True),
        Cell("cores", is_right=True),
    ]
    cells = [
        [
            Cell(model.ways[part.way].text),
            Cell(f"{part.watchers:,.0f}", is_right=True),
            Cell(span(part.message_bytes), is_right=True),
            Cell(span(part.mbit_s), is_right=True),
            Cell(span(part.cores), is_right=True),
        ]
        for part in found.parts
    ]
    yield from painter.table(heads, cells)


def _advice(demand: Demand, found: Estimate) -> Iterator[str]:
    count = found.processes
    if count == 1:
        yield "one process (--workers 0)"
    else:
        yield f"{count} processors, and --workers {count}"
    yield f"{rounded(found.memory_bytes.high * 1e-6)} MB of memory"
    yield f"a line of {rounded(found.mbit_s.high * 2)} Mbit/s, so that half of it stays free"
    yield f"{-(-demand.watchers // count) + _FILES_ASIDE:,} open files for each process"


def _assumptions(model: Model, demand: Demand) -> Iterator[str]:
    yield "each version differs from the one before, and each watcher receives it; polls come once in that time"
    yield f"a change has {demand.change * 100:g} % of the document's bytes, as splices (livefeed.delta.v2)"
    yield "bytes are counted with TLS and TCP; answers of clients, and retransmissions, are not in it"
    yield (
        f"the lower figure of processors is that of the benchmarks, and the upper one that of a machine with "
        f"{1 / SLOWNESS.high:.0%} of that speed; a core is planned to be busy for {BUSY:.0%}"
    )
    yield "memory is from watchers who read at once, to such as all have a document that they have not read"
    yield from model.estimated
    yield "the benchmarks were made on a shared virtual machine: try it with `livefeed bench` before the night"


def _bullets(texts: Iterator[str]) -> Iterator[str]:
    for text in texts:
        yield from textwrap.wrap(
            text,
            COLUMNS,
            initial_indent="- ",
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )


def span(figure: Range) -> str:
    """Gives a range as text; one number if both bounds are shown as the same."""
    low, high = rounded(figure.low), rounded(figure.high)
    return low if low == high else f"{low}-{high}"


def rounded(value: float) -> str:
    """Gives a number with two digits that count, such as ``0.16``, ``7.4``, ``340`` or ``12,000``."""
    if value < _LEAST:
        return "0" if value <= 0 else f"<{_LEAST}"
    exponent = int(f"{value:.{_DIGITS - 1}e}".partition("e")[2])
    decimals = max(_DIGITS - 1 - exponent, 0)
    if exponent < _DIGITS:
        return f"{value:.{min(decimals, 3)}f}"
    return f"{round(value, _DIGITS - 1 - exponent):,.0f}"
