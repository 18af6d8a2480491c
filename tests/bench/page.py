"""The parts of README and of ``docs/explanation/benchmarks.md`` that are made of ``docs/benchmarks.json`` alone.

They are between the lines ``<!-- bench: NAME -->`` and ``<!-- bench: end -->``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import following
from tests.bench.parts import claims, workers
from tests.bench.report import conditions, sentences_of_workers
from tests.bench.results import OURS
from tests.bench.standing import FAN_OUT, standing
from tests.bench.tables import rest_table, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.load import Measured
    from tests.bench.results import Kept

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "docs" / "benchmarks.json"
PAGES = (ROOT / "README.md", ROOT / "docs" / "explanation" / "benchmarks.md")

REGION = re.compile(r"<!-- bench: (\w+) -->\n.*?<!-- bench: end -->", re.DOTALL)

README_ROW = "HTTPS, all heads different, 200 connections"
README_NAMES = {
    OURS: OURS, "nginx": "nginx, a static file", "h2o": "h2o, a static file", "axum": "axum (Rust)",
    "Go net/http": "Go's net/http", "twisted.web": "twisted.web", "varnish behind hitch": "Varnish behind hitch",
}  # fmt: skip


def fill(text: str, kept: Kept) -> str:
    """Gives a page with its parts made anew.

    :raises KeyError: if a mark names no part.
    """

    def made(found: re.Match[str]) -> str:
        made = PARTS[found[1]](kept).strip()
        return f"<!-- bench: {found[1]} -->\n{made}\n<!-- bench: end -->"

    return REGION.sub(made, text)


def rows_of(kept: Kept, mark: str | None) -> dict[str, dict[str, Measured]]:
    """Gives the rows whose titles end with a mark, without it; for ``None`` those that end with none of the marks."""
    if mark is None:
        marks = (claims.MARK, workers.MARK)
        return {title: by_name for title, by_name in kept.rows.items() if not title.endswith(marks)}
    return {title.removesuffix(mark): by_name for title, by_name in kept.rows.items() if title.endswith(mark)}


def _tables(kept: Kept) -> str:
    return "\n".join([*conditions(kept), table(rows_of(kept, None)), *rest_table(kept.rest)])


def _workers(kept: Kept) -> str:
    return "\n".join([table(rows_of(kept, workers.MARK)), *sentences_of_workers(kept.rows, kept.spread)])


def _readme(kept: Kept) -> str:
    by_name = kept.rows.get(README_ROW, {})
    lines = ["| server | requests/s | CPU per request |", "|---|---|---|"]
    lines += [
        f"| {words} | {by_name[name].rate:,.0f} | {by_name[name].cpu_us:.0f} µs |"
        for name, words in README_NAMES.items()
        if name in by_name
    ]
    pushed = kept.rows.get(FAN_OUT, {}).get(OURS)
    if pushed is not None:
        busy, size = pushed.rate * pushed.cpu_us / 1e6, pushed.memory_bytes / 1024
        lines += [
            "",
            f"A push to 10,000 subscribers every second takes {busy * 100:.0f} % of the core.",
            f"Each subscriber has {size:.0f} KB of the server's memory.",
            f"99 of 100 polls in the meantime wait {pushed.p99_ms:.0f} ms at most.",
        ]
    return "\n".join(lines)


PARTS: dict[str, Callable[[Kept], str]] = {
    "standing": standing,
    "wire": lambda kept: following.wire_table(kept.wire),
    "claims": lambda kept: table(rows_of(kept, claims.MARK)),
    "workers": _workers,
    "tables": _tables,
    "readme": _readme,
}
"""The parts that a mark may name."""


def write(kept: Kept) -> None:
    """Makes the parts of all pages anew."""
    for page in PAGES:
        page.write_text(fill(page.read_text(), kept))
