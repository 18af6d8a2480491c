"""What a tick takes of the reactor's thread: ``python -m tests.bench.tick [BYTES]`` prints it for one document.

The parts are those of the poller: the gate, and publishing, with all that is compressed at once. The
patch is made only if somebody follows by delta.
"""

from __future__ import annotations

import random
import sys
import time
from statistics import median
from typing import TYPE_CHECKING, Any

import msgspec
from twisted.internet.task import Clock

from livefeed.feed import Feed
from livefeed.gate import check_document

if TYPE_CHECKING:
    from collections.abc import Callable

ROW_BYTES = 95
CHANGED = 50
"""One row of so many changes from tick to tick."""

TICKS = 30


def main() -> None:
    """Runs the command."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    draw = random.Random(1)
    rows: list[Any] = [
        {"name": f"District {number}", "counted": round(draw.random() * 100, 2), "votes": _votes(draw)}
        for number in range(size // ROW_BYTES)
    ]
    feed = Feed("feed", clock=Clock())
    taken: dict[str, list[float]] = {"gate": [], "publish": [], "patch": []}
    document = b""
    for _ in range(TICKS):
        for row in draw.sample(rows, max(len(rows) // CHANGED, 1)):
            row["votes"] = _votes(draw)
        document = msgspec.json.encode(rows)
        before = None if feed.snapshot is None else feed.snapshot.version
        taken["gate"].append(_time(lambda data=document: check_document(data, max_bytes=size * 2)))  # type: ignore[misc]
        taken["publish"].append(_time(lambda data=document: feed.publish(data)))  # type: ignore[misc]
        taken["patch"].append(_time(lambda version=before: feed.history.patch(version)))  # type: ignore[misc]
    print(
        f"a document of {len(document):,} bytes, of which 1 in {CHANGED} rows changes; milliseconds, median and best:"
    )
    for name, times in taken.items():
        print(f"  {name:8} {median(times[1:]) * 1000:6.2f} {min(times[1:]) * 1000:6.2f}")


def _votes(draw: random.Random) -> dict[str, int]:
    return {party: draw.randrange(100_000) for party in "ABCDE"}


def _time(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
