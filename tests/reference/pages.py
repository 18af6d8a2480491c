"""The pages with parts that are made of the code, from ``<!-- generated: NAME -->`` to ``<!-- generated: end -->``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.helpers.regions import fill_regions, names_of_regions
from tests.reference import explained, javascript, log_lines, metrics, options, problems, settings, wire

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
KIND = "generated"

PARTS: dict[str, Callable[[], str]] = {
    "close-codes": wire.close_table,
    "commands": options.command_list,
    "javascript": javascript.api_list,
    "log-lines": log_lines.log_table,
    "members": wire.member_table,
    "metrics": metrics.metric_table,
    "problems": problems.problem_list,
    "readme-options": settings.readme_table,
    "settings": settings.setting_table,
    "states": wire.state_table,
    "statuses": problems.statuses,
    "successes": problems.successes,
}
"""The parts that a mark may name."""


def pages() -> list[Path]:
    """Gives the pages that have such a part."""
    candidates = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [path for path in candidates if names_of_regions(path.read_text("utf-8"), KIND)]


def fill(text: str) -> str:
    """Gives a page with its parts made anew.

    :raises KeyError: if a mark names no part.
    """
    return fill_regions(text, KIND, lambda name: PARTS[name]())


def write() -> list[Path]:
    """Makes the parts of all pages and the file of ``livefeed explain`` anew, and gives those that have changed."""
    changed = []
    content = explained.explained()
    if not explained.FILE.exists() or explained.FILE.read_text("utf-8") != content:
        explained.FILE.write_text(content, "utf-8")
        changed.append(explained.FILE)
    for path in pages():
        before = path.read_text("utf-8")
        after = fill(before)
        if after != before:
            path.write_text(after, "utf-8")
            changed.append(path)
    return changed
