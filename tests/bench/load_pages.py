"""The tables of load tests in the docs, between ``<!-- load: NAME -->`` and ``<!-- load: end -->``."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "benchmarks.md"


def replaced(text: str, name: str, table: str) -> str:
    """Gives a page with one of its tables made anew.

    :raises KeyError: if the page has no such table.
    """
    region = re.compile(rf"<!-- load: {re.escape(name)} -->\n.*?<!-- load: end -->", re.DOTALL)
    made, count = region.subn(lambda _: f"<!-- load: {name} -->\n{table}\n<!-- load: end -->", text)
    if count != 1:
        raise KeyError(name)
    return made


def write_region(name: str, table: str) -> None:
    """Makes one of the tables of the page anew."""
    PAGE.write_text(replaced(PAGE.read_text("utf-8"), name, table), "utf-8")
