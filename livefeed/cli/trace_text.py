"""The text of ``livefeed ctl trace``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from livefeed.cli.tables import Cell, count, printable

if TYPE_CHECKING:
    from livefeed.cli.tables import Painter

_STEPS = (
    ("asked_ms", "the source is asked"),
    ("pulled_ms", "the document is there"),
    ("checked_ms", "the gate has accepted it"),
    ("published_ms", "it is the newest version"),
)


def trace_lines(report: list[dict[str, Any]], painter: Painter) -> list[str]:
    """Gives the lines of a report about versions: one table for each, with the milliseconds from the pull on."""
    lines: list[str] = []
    for times in report:
        if lines:
            lines.append("")
        feed, version = printable(str(times.get("feed"))), printable(str(times.get("version")))
        lines.append(f"{painter.paint(feed, 'strong')}  version {version}")
        lines.append(f"sequence {printable(str(times.get('sequence')))}, published at {times.get('published_at')}")
        lines.append("")
        rows = [(times.get(name), text) for name, text in _STEPS]
        for delivery in times.get("deliveries") or []:
            who, subscribers = str(delivery.get("process")), delivery.get("subscribers")
            rows.append((delivery.get("first_ms"), f"{who} begins to send it"))
            rows.append((delivery.get("last_ms"), f"{who} has sent it to {count(subscribers)} subscribers"))
        known = sorted(((at, text) for at, text in rows if at is not None), key=lambda row: row[0])
        lines += painter.table(
            [Cell("MS", "faint", is_right=True), Cell("STEP", "faint")],
            [[Cell(f"{at:,.1f}", is_right=True), Cell(text)] for at, text in known],
        )
    return lines
