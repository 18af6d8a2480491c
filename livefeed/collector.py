"""Python's garbage collector, kept from stopping the world.

A full collection looks at every object that there is: with 15,000 connections that is a pause of a quarter of a
second. But nearly all that a connection leaves behind is freed by its reference counts. So only what is new is looked
at, and what has outlived that once a crowd has gone. What was there at the start, 60,000 objects, is never looked at.
That is how the generations of CPython 3.11 to 3.13 work; with 3.14 the pauses would have to be measured anew.
"""

from __future__ import annotations

import gc
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from twisted.application.service import Service
from twisted.internet.task import LoopingCall

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

PERIOD_S = 0.5

NEW_OBJECTS = 20_000
"""After so many new objects in between, too, what is new is looked at: some milliseconds."""

NEVER = 2**31 - 1
"""Each look at what is new counts as one, twice a second."""

MANY, FEW = 2000, 500
"""Once there were many connections and there are few again, everything since the start is looked at."""

CALM = 4
"""For so many periods there must have been few, so that those who are leaving are gone."""

HUGE_PAGES, NO_HUGE_PAGES = 14, 15
"""What madvise(2) is told; Python has no such call for memory that is not its own."""

MAPS = Path("/proc/self/maps")

# Looked up now: what is made while there are many connections, and stays, keeps the memory around it.
# ctypes itself cannot be loaded everywhere: it may need memory that is writable and executable, which systemd's
# MemoryDenyWriteExecute forbids. Then memory is given back later, and nothing else changes.
try:
    import ctypes

    _libc: ctypes.CDLL | None = ctypes.CDLL(None)
except (ImportError, MemoryError, OSError):
    _libc = None
_malloc_trim = getattr(_libc, "malloc_trim", None)
_madvise = getattr(_libc, "madvise", None)
_heap = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) .*\[heap\]$", re.MULTILINE)


@dataclass(eq=False)
class Collector(Service):
    """Looks after the collector for as long as the service runs.

    :param connections: gives how many connections there are.
    """

    # required parameters
    connections: Callable[[], int]
    clock: IReactorTime

    # internal state
    _loop: LoopingCall = field(init=False)
    _were_many: bool = False
    _few_for: int = 0
    _thresholds: tuple[int, int, int] = field(default_factory=gc.get_threshold)

    def __post_init__(self) -> None:
        self._loop = LoopingCall(self.collect)
        self._loop.clock = self.clock

    def startService(self) -> None:
        """IService API."""
        super().startService()
        gc.collect()
        gc.freeze()
        gc.set_threshold(NEW_OBJECTS, NEVER, NEVER)
        self._loop.start(PERIOD_S, now=False)

    def stopService(self) -> None:
        """IService API."""
        super().stopService()
        self._loop.stop()
        gc.unfreeze()
        gc.set_threshold(*self._thresholds)

    def collect(self) -> None:
        """Frees the new objects that are garbage; those that are not join the old ones."""
        count = self.connections()
        if count >= MANY and not self._were_many:
            self._were_many = True
            _advise(HUGE_PAGES)
        self._few_for = self._few_for + 1 if count <= FEW else 0
        if self._were_many and self._few_for >= CALM:
            self._were_many = False
            gc.collect()
            _trim()
            # Or it would be back soon: the kernel fills up pages of which little is in use (khugepaged), 1 MB a second.
            _advise(NO_HUGE_PAGES)
        else:
            gc.collect(1)


def _trim() -> None:
    """Gives memory that is free back to the system, where the C library knows how."""
    if _malloc_trim is not None:
        _malloc_trim(0)


def _advise(advice: int) -> None:
    """Tells the kernel whether it may make huge pages of the heap; one that cannot does not mind."""
    try:
        parts = _heap.findall(MAPS.read_bytes())
    except OSError:
        return
    for start, end in ((int(address, 16) for address in part) for part in parts):
        if _madvise is not None:
            _madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), ctypes.c_int(advice))
