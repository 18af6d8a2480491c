"""Python's garbage collector, without long pauses.

A full collection looks at every object: with 15,000 connections that is a pause of a quarter of a second. But reference
counts free nearly everything that a connection leaves behind, so each period collects new objects alone. Old objects
are collected when many connections have ended, and from time to time, so that an unexpected cycle cannot fill the
memory; earlier, if the process is larger than its connections explain. The 60,000 objects of the start are never
collected.

This depends on the generations of CPython 3.11 to 3.13. The pauses with 3.14 are not measured yet.
"""

from __future__ import annotations

import gc
import re
import resource
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, cast

from twisted.application.service import Service
from twisted.internet.task import LoopingCall

from livefeed.clocks import Beat

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

PERIOD_S = 0.5
"""Seconds between two collections of new objects."""

NEW_OBJECTS = 20_000
"""Number of new objects after which they are collected within a period as well. It takes some milliseconds."""

FEW_OBJECTS, MAX_PUT_OFF = 200, 20
"""Fewer new objects than these are not worth a collection, which is then put off by this many periods at most.

A process at rest makes fewer."""

NEVER = 2**31 - 1
"""Threshold of the older generations. Each collection of new objects counts as one, twice a second."""

HUGE_PAGES_FROM = 2000
"""Number of connections from which the kernel may use huge pages for the heap."""

MIN_CROWD = 100
"""Number of connections below which the memory that they leave behind is not worth a full collection."""

CROWD_FACTOR = 4
"""A crowd has gone once the number of connections has fallen by this factor. Everything is collected then."""

SHORT_PAUSE_S, MIN_INTERVAL_S = 0.02, 60.0
"""A full collection that takes at most SHORT_PAUSE_S, as with up to 1,000 connections, runs each MIN_INTERVAL_S.

If it takes N times as long, the interval is N * N times as long. So a single pause that was longer than usual on a busy
machine does not delay the next full collection by an hour.
"""

MAX_INTERVAL_S = 3600.0
"""Longest interval in seconds between full collections, although one takes a quarter of a second with 15,000."""

PAUSE_PER_CONNECTION_S = 20e-6
"""Estimated part of a full collection, in seconds, of each connection more than at the last one."""

GROWTH_FACTOR, BYTES_PER_CONNECTION = 1.5, 64 * 1024
"""A full collection runs earlier if the process has grown by the factor since the last one, and by the bytes for each
connection more. After a start without connections, 30 MB of garbage reach that."""

INTERVAL_PER_PAUSE = 500
"""Shortest interval in multiples of the last pause, so that full collections take at most 0.2 % of the time."""

CALM_PERIODS = 4
"""Number of periods for which there must have been few connections, so that those that are closing have closed."""

HUGE_PAGES, NO_HUGE_PAGES = 14, 15
"""Advice for madvise(2). Python has no such call for memory that is not its own."""

MAPS = Path("/proc/self/maps")
SIZES = Path("/proc/self/statm")

# Looked up at the start: objects that are made while there are many connections, and stay, keep the memory around them.
# ctypes cannot be loaded everywhere: it may need memory that is writable and executable, which systemd's
# MemoryDenyWriteExecute forbids. Memory is then given back later, and nothing else changes.
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
    """Runs the garbage collector while the service runs.

    :param connections: gives the number of connections.
    :param timer: measures pauses, in seconds.
    :param resident: gives the size of the process in bytes. Python's own count of allocated memory misses large
        allocations, and all of them if ``PYTHONMALLOC`` is ``malloc``.
    :ivar full: number of full collections.
    :ivar paused_s: total seconds of all full collections.
    :ivar longest_s: seconds of the longest one.
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
    _freezing: IDelayedCall | None = None  # takes the objects of the start out of all further collections
    _most: int = 0  # largest number of connections since the last full collection
    _put_off: int = 0  # number of periods since new objects were last collected
    _few_for: int = 0  # number of periods for which there have been few connections
    _full_at: float = 0.0  # time of the last full collection, by the clock
    _last_s: float = 0.0  # its seconds
    _full_count: int = 0  # number of connections then
    _full_bytes: int = 0  # size of the process afterwards
    _thresholds: tuple[int, int, int] = field(default_factory=gc.get_threshold)

    def __post_init__(self) -> None:
        self._loop = LoopingCall(self.collect)
        self._loop.clock = cast("IReactorTime", Beat(self.clock))

    def startService(self) -> None:
        """IService API."""
        super().startService()
        gc.set_threshold(NEW_OBJECTS, NEVER, NEVER)
        self._note_full(self.connections(), 0.0)
        # Not before the first answer: this look at everything is a tenth of a start. It is not among the figures.
        self._freezing = Beat(self.clock).callLater(0.0, self._freeze)
        self._loop.start(PERIOD_S, now=False)

    def stopService(self) -> None:
        """IService API."""
        super().stopService()
        self._loop.stop()
        if self._freezing is not None:
            self._freezing.cancel()
            self._freezing = None
        gc.unfreeze()
        gc.set_threshold(*self._thresholds)

    def _freeze(self) -> None:
        self._freezing = None
        gc.collect()
        gc.freeze()
        self._note_full(self.connections(), 0.0)

    def collect(self) -> None:
        """Collects new objects, or everything if that is due. New objects that are in use become old ones."""
        count = self.connections()
        if count >= HUGE_PAGES_FROM and not self._were_many:
            self._were_many = True
            _advise(HUGE_PAGES)
        self._most = max(self._most, count)
        self._few_for = self._few_for + 1 if self._most >= max(MIN_CROWD, CROWD_FACTOR * count) else 0
        if self._few_for >= CALM_PERIODS:
            self._collect_all(count)
            _trim()
            if self._were_many:
                self._were_many = False
                # Otherwise the memory would soon be back: the kernel (khugepaged) makes huge pages of pages that are
                # used in part, 1 MB a second.
                _advise(NO_HUGE_PAGES)
        elif self._is_due(count):
            self._collect_all(count)
        elif gc.get_count()[0] >= FEW_OBJECTS or self._put_off >= MAX_PUT_OFF:
            self._put_off = 0
            gc.collect(1)
        else:
            self._put_off += 1

    def _is_due(self, count: int) -> bool:
        """Tells whether a full collection is due although no crowd has gone."""
        passed_s = self.clock.seconds() - self._full_at
        if passed_s < max(MIN_INTERVAL_S, INTERVAL_PER_PAUSE * self._last_s):
            return False
        more = max(0, count - self._full_count)
        expected_s = self._last_s + PAUSE_PER_CONNECTION_S * more
        if passed_s >= min(MIN_INTERVAL_S * max(1.0, expected_s / SHORT_PAUSE_S) ** 2, MAX_INTERVAL_S):
            return True
        return self.resident() > GROWTH_FACTOR * self._full_bytes + BYTES_PER_CONNECTION * more

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
    """Gives the size of the process in bytes; 0 on systems other than Linux."""
    try:
        return int(SIZES.read_bytes().split()[1]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return 0


def _trim() -> None:
    """Gives free memory back to the system, if the C library has the call."""
    if _malloc_trim is not None:
        _malloc_trim(0)


def _advise(advice: int) -> None:
    """Tells the kernel whether it may use huge pages for the heap. A kernel without huge pages ignores it."""
    try:
        parts = _heap.findall(MAPS.read_bytes())
    except OSError:
        return
    for start, end in ((int(address, 16) for address in part) for part in parts):
        if _madvise is not None:
            _madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), ctypes.c_int(advice))
