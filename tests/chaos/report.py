"""The tables of the scenarios."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.chaos.arithmetic import Figures

COLUMNS = (
    "scenario",
    "watchers",
    "dropped",
    "missed",
    "failed",
    "refused",
    "all back, s",
    "connect p50/p99, ms",
    "poll p50/p99, ms",
    "handshakes, most/s",
    "longest gap, s",
)


def row(name: str, figures: Figures) -> list[str]:
    """Gives the cells of a scenario."""
    return [
        name,
        str(figures.watchers),
        str(figures.dropped),
        f"{figures.missed} by {figures.missed_by}" if figures.missed else "0",
        str(sum(figures.failed.values())),
        str(sum(figures.refused.values())),
        _number(figures.back_s, 1) + (f", {figures.absent} not" if figures.absent else ""),
        f"{_number(figures.connect_p50_ms)}/{_number(figures.connect_p99_ms)}",
        f"{_number(figures.poll_p50_ms)}/{_number(figures.poll_p99_ms)}",
        str(figures.handshakes_peak),
        _number(figures.gap_s, 1),
    ]


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Gives a table in Markdown, whose columns are aligned in plain text, too."""
    widths = [max(len(line[place]) for line in (columns, *rows)) for place in range(len(columns))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in (columns, *rows)
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def details(figures: Figures) -> list[str]:
    """Gives the lines that say what the numbers of a row consist of."""
    lines = [
        f"{title}: {_counts(counts)}"
        for title, counts in (("ends", figures.drops), ("failed", figures.failed), ("refused", figures.refused))
        if counts
    ]
    if figures.missed:
        lines.append(
            f"the latest version came {figures.late_s:.2f} s after its deadline; {figures.missed_connected} were "
            "missed by watchers that had the same connection all the time"
        )
    if figures.retried or figures.reverted:
        lines.append(f"{figures.retried} requests sent again, {figures.reverted} sequences that fell")
    lines.append(
        f"{figures.versions} versions, {figures.deliveries} deliveries, {figures.polls} polls, "
        f"{figures.handshakes} handshakes; subscribers have a version within {_number(figures.spread_p99_ms)} ms "
        "after the first of them (p99)"
    )
    return lines


def plain(value: Any) -> Any:
    """Gives a value as JSON can have it: NaN becomes ``None``."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def _number(value: float, digits: int = 0) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda item: -item[1])[:12])
