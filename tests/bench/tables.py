"""The tables of the bench as Markdown: one for each row, with the columns of its kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.results import BY_SPLICES, CONNECTING, FIVE_ITEMS, REST, reference_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.load import Measured
    from tests.bench.results import Rest


@dataclass(frozen=True)
class Column:
    """A column of a table.

    :ivar form: how a figure is written.
    :ivar scale: what the figure is divided by.
    :ivar has_zeros: whether 0 is a figure, and not the lack of one.
    """

    head: str
    figure: str
    form: str
    scale: float = 1
    has_zeros: bool = False

    def text(self, measured: Measured) -> str:
        """Gives the figure; nothing where it was not measured."""
        value: float = getattr(measured, self.figure)
        return format(value / self.scale, self.form) if value or self.has_zeros else ""


RATIO = Column("ours / its CPU", "ratio", ".2f")
CPU, MEMORY = Column("CPU, µs each", "cpu_us", ",.1f"), Column("KB each", "memory_bytes", ".1f", 1024)
P50, P99 = Column("p50, ms", "p50_ms", ".1f"), Column("p99, ms", "p99_ms", ".1f")
BYTES, LAST = Column("bytes each", "wire_bytes", ",.0f"), Column("publish to last, ms", "p50_ms", ".1f")

REQUESTS = (Column("requests/s", "rate", ",.0f"), CPU, RATIO, P50, P99, MEMORY)
CONNECTIONS = (Column("connections/s", "rate", ",.0f"), CPU, RATIO, BYTES, P50, P99)
DELIVERIES = (
    Column("deliveries/s", "rate", ",.0f"), CPU, RATIO, BYTES, LAST, Column("poll p99, ms", "p99_ms", ".1f"), MEMORY
)  # fmt: skip
IDLE = (
    Column("% of a core", "core_percent", ".2f", has_zeros=True), Column("Mbit/s", "mbit_s", ",.1f", has_zeros=True),
    Column("messages/s", "rate", ",.0f", has_zeros=True), MEMORY,
)  # fmt: skip


def table(medians: dict[str, dict[str, Measured]]) -> str:
    """Gives the figures as Markdown, one table a row of the bench."""
    lines: list[str] = []
    for title, by_name in medians.items():
        columns = [each for each in columns_of(title, by_name) if any(map(each.text, by_name.values()))]
        lines += ["", f"**{title}**", "", f"| {' | '.join(['server', *(each.head for each in columns)])} |"]
        lines.append("|---" * (len(columns) + 1) + "|")
        for name, measured in by_name.items():
            errors = f" ({measured.errors} errors)" if measured.errors else ""
            lines.append(f"| {' | '.join([f'{name}{errors}', *(each.text(measured) for each in columns)])} |")
    return "\n".join(lines)


def rest_table(found: dict[str, Rest]) -> list[str]:
    """Gives the lines about processes without clients."""
    if not found:
        return []
    lines = ["", f"**{REST}**", "", "| server | first answer after, s | of a core | MB | private, MB | resident, MB |"]
    lines.append("|---|---|---|---|---|---|")
    for name, each in found.items():
        sizes = (f"{size / 2**20:.1f}" for size in (each.pss_bytes, each.private_bytes, each.rss_bytes))
        start = f"{each.start_s:.2f}" if each.start_s else ""
        lines.append(f"| {' | '.join([name, start, f'{each.busy:.2%}', *sizes])} |")
    return lines


def columns_of(title: str, by_name: dict[str, Measured]) -> tuple[Column, ...]:
    """Gives the columns of a row's kind; some of them may not have been measured."""
    if _has(by_name, lambda measured: measured.core_percent):
        return IDLE
    if not _has(by_name, lambda measured: measured.cpu_us):
        return (MEMORY,)
    reference = reference_of(by_name)
    if reference in (BY_SPLICES, FIVE_ITEMS):
        share = Column(f"{reference.removeprefix('livefeed, by ')} / its CPU", "ratio", ".2f")
        return (DELIVERIES[0], CPU, share, BYTES, LAST, MEMORY)
    if title in CONNECTING:
        return CONNECTIONS
    # Requests that wait follow the document, too.
    return REQUESTS if title.startswith("HTTP") and "long polls" not in title else DELIVERIES


def _has(by_name: dict[str, Measured], figure: Callable[[Measured], float]) -> bool:
    return any(map(figure, by_name.values()))
