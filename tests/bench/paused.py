"""Runs twistd, and writes down how long Python's garbage collector stopped it at most.

``python -m tests.bench.paused FILE ARGUMENTS-OF-TWISTD``: FILE holds the longest pause since it was last removed, in
milliseconds. Content codings count as asked for during five seconds instead of a minute, so that no measurement has to
wait until a server has learned which of them its clients ask for.
"""

from __future__ import annotations

import gc
import sys
import time
from contextlib import suppress
from pathlib import Path

from twisted.scripts.twistd import run

path = Path(sys.argv.pop(1))
longest = began = 0.0


def note(phase: str, info: dict[str, int]) -> None:
    """The collector's callback."""
    global began, longest  # noqa: PLW0603
    if phase == "start":
        began = time.perf_counter()
        if not path.exists():
            longest = 0.0
        return
    pause = (time.perf_counter() - began) * 1000
    if pause > longest or not path.exists():
        longest = max(longest, pause)
        path.write_text(f"{longest:.3f}")


with suppress(ImportError):  # an older livefeed makes all codings of each version
    from livefeed.feed import demand

    demand.ASKED_S = 5.0
gc.callbacks.append(note)
run()
