"""Python's garbage collector, kept from stopping the world.

A full collection looks at every object that there is: with 15,000 connections that is a pause of a quarter of a
second. But nearly all that a connection leaves behind is freed by its reference counts. So only what is new is looked
at, and what has outlived that once a crowd has gone. What was there at the start, 60,000 objects, is never looked at.
Nearly all is not all: so that a cycle that nobody knows of cannot fill the memory, everything since the start is also
looked at from time to time, and earlier where there are more objects than connections account for.
That is how the generations of CPython 3.11 to 3.13 work; with 3.14 the pauses would have to be measured anew.
"""

from __future__ import annotations

import gc
import re
import resource
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
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

MANY = 2000
"""From so many connections on the kernel may make huge pages of the heap."""

CROWD = 100
"""Fewer connections than that leave too little memory behind to ask for it."""

GONE = 4
"""Once there were GONE times as many connections as there are, a crowd has gone, and everything is looked at."""

SHORT_S, OFTEN_S = 0.02, 60.0
"""Everything is looked at so often as long as it takes no longer, as it does with up to a thousand connections.

Where it takes N times as long, it is looked at N * N times as seldom, so that one pause that was longer than the others
on a busy machine does not put it off for an hour.
"""

SELDOM_S = 3600.0
"""And so often at least, though it takes a quarter of a second with 15,000."""

CONNECTION_S = 20e-6
"""So much each connection more than last time is taken to add to it."""

GROWTH, CONNECTION_BYTES = 1.5, 64 * 1024
"""Everything is looked at earlier when the process is so many times as large as after the last time, and so much for
each connection more. From a bare start that is reached with 30 MB of garbage."""

APART = 500
"""But not before so many times as long has passed as it took: 0.2 % of the time at most goes into it."""

CALM = 4
"""For so many periods there must have been few, so that those who are leaving are gone."""

HUGE_PAGES, NO_HUGE_PAGES = 14, 15
"""What madvise(2) is told; Python has no such call for memory that is not its own."""

MAPS = Path("/proc/self/maps")
SIZES = Path("/proc/self/statm")

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
    :param timer: what pauses are measured with, in seconds.
    :param resident: gives how large the process is, in bytes. Python's own count of what it has given out knows nothing
        of large pieces, nor of any where ``PYTHONMALLOC`` is ``malloc``.
    :ivar full: how often everything since the start was looked at.
    :ivar paused_s: how long that took, all together.
    :ivar longest_s: how long it took at most.
    """

    # required parameters
    connections: Callable[[], int]
    clock: IReactorTime
    timer: Callable[[], float] = perf_counter
    resident: Callable[[], int] = lambda: _resident_bytes()  # noqa: PLW0108 - it is defined below

    # internal state
    full: int = 0
    paused_s: float = 0.0
    longest_s: float = 0.0
    _loop: LoopingCall = field(init=False)
    _were_many: bool = False
    _most: int = 0  # connections since everything was last looked at
    _few_for: int = 0
    _full_at: float = 0.0  # when it was, by the clock,
    _last_s: float = 0.0  # how long it took,
    _full_count: int = 0  # how many connections there were,
    _full_bytes: int = 0  # and how large the process was afterwards
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
        self._note_full(self.connections(), 0.0)
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
        self._most = max(self._most, count)
        self._few_for = self._few_for + 1 if self._most >= max(CROWD, GONE * count) else 0
        if self._few_for >= CALM:
            self._collect_all(count)
            _trim()
            if self._were_many:
                self._were_many = False
                # Or it would be back soon: the kernel fills up pages of which little is in use (khugepaged), 1 MB a
                # second.
                _advise(NO_HUGE_PAGES)
        elif self._is_due(count):
            self._collect_all(count)
        else:
            gc.collect(1)

    def _is_due(self, count: int) -> bool:
        """Tells whether everything is to be looked at, though no crowd has gone."""
        passed_s = self.clock.seconds() - self._full_at
        if passed_s < max(OFTEN_S, APART * self._last_s):
            return False
        more = max(0, count - self._full_count)
        expected_s = self._last_s + CONNECTION_S * more
        if passed_s >= min(OFTEN_S * max(1.0, expected_s / SHORT_S) ** 2, SELDOM_S):
            return True
        return self.resident() > GROWTH * self._full_bytes + CONNECTION_BYTES * more

    def _collect_all(self, count: int) -> None:
        begun = self.timer()
        gc.collect()
        pause_s = self.timer() - begun
        self.full += 1
        self.paused_s += pause_s
        self.longest_s = max(self.longest_s, pause_s)
        self._note_full(count, pause_s)

    def _note_full(self, count: int, pause_s: float) -> None:
        self._full_at, self._last_s = self.clock.seconds(), pause_s
        self._full_count, self._full_bytes = count, self.resident()
        self._most, self._few_for = count, 0


def _resident_bytes() -> int:
    """Gives how large the process is; 0 where the system does not say so in Linux's way."""
    try:
        return int(SIZES.read_bytes().split()[1]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return 0


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
