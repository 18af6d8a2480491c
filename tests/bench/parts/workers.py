"""livefeed in one process, with one worker, and with two, which have one core together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.bench.parts import requests, subscribers
from tests.bench.results import OURS
from tests.bench.servers import ONE_WORKER, TWO_WORKERS

if TYPE_CHECKING:
    from tests.bench.parts.part import Bench

NAMES = (OURS, ONE_WORKER, TWO_WORKERS)
MARK = "; with workers"
"""The end of the titles."""

ROWS = tuple(
    replace(row, title=row.title + MARK)
    for row in requests.ROWS
    if row.script == "304" or row.title == requests.DIFFERENT
)


def measure(bench: Bench) -> None:
    """Measures requests and pushes."""
    requests.measure_rows(bench, NAMES, list(ROWS))
    largest = max(subscribers.websockets(bench.plan), key=lambda row: row.count)
    subscribers.measure_row(bench, NAMES, replace(largest, title=largest.title + MARK))
