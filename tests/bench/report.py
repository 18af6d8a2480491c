"""The output of the bench beside its tables: the conditions of the runs, and a plot without a plotting library."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from tests.bench.results import (
    CROWD,
    OURS,
    REST,
    WIRE,
    Kept,
    Run,
    reference_of,
)
from tests.bench.servers import ONE_WORKER, TWO_WORKERS

if TYPE_CHECKING:
    from tests.bench.load import Measured

Medians = dict[str, dict[str, "Measured"]]

BAR, GAP, LEFT, WIDTH = 16, 6, 220, 760


def sentences_of_workers(medians: Medians, spread: list[list[int]]) -> list[str]:
    """Gives the sentences about the parent of workers, and about the connections of each."""
    names = (OURS, ONE_WORKER, TWO_WORKERS)
    rows = [(name, by_name[name]) for by_name in medians.values() if TWO_WORKERS in by_name for name in names]
    lines = [
        f"{name}: the first process takes {row.first_ms:.1f} ms in each second." for name, row in rows if row.first_ms
    ]
    lines += [f"Connections of the workers: {', '.join(map(str, each))}." for each in spread]
    return ["", *lines] if lines else []


def conditions(kept: Kept) -> list[str]:
    """Gives a line for each machine and day: the rows, the versions of the servers, and the number of rounds."""
    groups: dict[str, dict[str, Run]] = {}
    more = {CROWD: kept.crowd, WIRE: kept.wire, REST: kept.rest}
    for title in [*kept.rows, *(title for title, found in more.items() if found)]:
        run = kept.runs[title]
        groups.setdefault(_place(run), {})[title] = run
    return [_condition(place, runs, name_them=len(groups) > 1) for place, runs in groups.items()]


def _place(run: Run) -> str:
    of = run.machine
    return f"Measured on {run.date[:10]}: {of['cpu']}, {of['cores']} cores, Linux {of['kernel']}, Python {of['python']}"


def _condition(place: str, runs: dict[str, Run], *, name_them: bool) -> str:
    # As sets that keep their order.
    versions = dict.fromkeys(
        part for run in runs.values() for each in run.versions.values() for part in each.split(", ")
    )
    lengths = dict.fromkeys(
        f"{run.seconds:g} s ({run.rounds} round{'s' * (run.rounds > 1)})" for run in runs.values() if run.rounds
    )
    line = ", ".join([place, *versions]) + (f"; runs of {', '.join(lengths)}" if lengths else "")
    return f"{line}: {'; '.join(runs)}." if name_them else f"{line}."


def plot(medians: Medians, ours: str) -> str:
    """Gives an SVG of the processor time that each request or delivery costs."""
    parts: list[str] = []
    y = 10
    for title, by_name in medians.items():
        if not any(measured.cpu_us for measured in by_name.values()):
            continue
        parts.append(f'<text x="10" y="{y + 14}" class="title">{escape(title)}: CPU, µs each</text>')
        y += 24
        scale = (WIDTH - LEFT - 70) / max(1, *(measured.cpu_us for measured in by_name.values()))
        for name, measured in by_name.items():
            kind = "ours" if name in (ours, reference_of(by_name)) else "other"
            width = max(measured.cpu_us * scale, 1)
            parts.append(f'<text x="{LEFT - 8}" y="{y + 12}" class="name">{escape(name)}</text>')
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" class="{kind}"/>')
            parts.append(f'<text x="{LEFT + width + 6:.1f}" y="{y + 12}">{measured.cpu_us:.1f}</text>')
            y += BAR + GAP
        y += 14
    style = (
        "text{font:12px sans-serif;fill:#333}.title{font-weight:bold}.name{text-anchor:end}"
        ".ours{fill:#1a7f37}.other{fill:#9aa4ae}rect.ground{fill:#fff}"
    )
    ground = f'<rect class="ground" width="{WIDTH}" height="{y}"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}">'
        f"<style>{style}</style>{ground}{''.join(parts)}</svg>\n"
    )
