"""The garbage collector, as livefeed has it run."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
import tempfile
import weakref
from pathlib import Path
from unittest import skipUnless

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.process import memory
from livefeed.process.memory import (
    BYTES_PER_CONNECTION,
    CALM_PERIODS,
    CROWD_FACTOR,
    FEW_OBJECTS,
    GROWTH_FACTOR,
    HUGE_PAGES_FROM,
    INTERVAL_PER_PAUSE,
    MAX_INTERVAL_S,
    MAX_PUT_OFF,
    MIN_CROWD,
    MIN_INTERVAL_S,
    PAUSE_PER_CONNECTION_S,
    PERIOD_S,
    SHORT_PAUSE_S,
    Collector,
)


class Knot:
    """An object that only the collector can free."""

    def __init__(self) -> None:
        self.own = self


class CollectorTests(SynchronousTestCase):
    """Collector."""

    def setUp(self) -> None:
        self.connections = 0
        self.clock = Clock()
        self.before = gc.get_threshold()
        self.pause_s = 0.0
        self.times = 0
        self.resident = 1000
        self.collector = Collector(lambda: self.connections, self.clock, self.time, lambda: self.resident)
        self.collector.startService()
        self.addCleanup(self.stop)
        self.assertEqual(gc.get_freeze_count(), 0)
        self.advance()
        self.assertGreater(gc.get_freeze_count(), 0)

    def time(self) -> float:
        """A look at everything takes as long as the test wants."""
        self.times += 1
        return self.times * self.pause_s

    def stop(self) -> None:
        if self.collector.running:
            self.collector.stopService()

    def advance(self, periods: int = 1) -> None:
        self.clock.pump([PERIOD_S] * periods)

    def kept_for_a_while(self) -> weakref.ref[Knot]:
        """Gives a knot that was in use for longer than a period, and is garbage now."""
        knot = Knot()
        for _ in range(2):
            others = [[] for _ in range(2 * FEW_OBJECTS)]  # type: list[list[object]]
            self.advance()
            del others
        return weakref.ref(knot)

    def test_new_garbage_is_freed(self) -> None:
        """New garbage is freed at the next period, and a few objects some periods later."""
        knots = [Knot() for _ in range(2 * FEW_OBJECTS)]
        knot = weakref.ref(knots[0])
        del knots
        self.advance()
        self.assertIsNone(knot())
        knot = weakref.ref(Knot())
        self.advance(MAX_PUT_OFF)
        self.assertIsNotNone(knot())
        self.advance()
        self.assertIsNone(knot())

    def test_old_objects_are_left_alone(self) -> None:
        """Old objects are left alone until a crowd has gone: a look at all of them takes too long."""
        for self.connections in (0, MIN_CROWD - 1, HUGE_PAGES_FROM, HUGE_PAGES_FROM * 10):
            knot = self.kept_for_a_while()
            self.advance(2 * CALM_PERIODS)
            self.assertIsNotNone(knot())

    def test_old_garbage_is_freed_when_a_crowd_has_gone(self) -> None:
        """Old garbage is freed once, when there have been few connections for a while."""
        for crowd in (MIN_CROWD, 1200, HUGE_PAGES_FROM, 10 * HUGE_PAGES_FROM):
            before = self.collector.full
            self.connections = crowd
            knot = self.kept_for_a_while()
            self.connections = crowd // CROWD_FACTOR + 1
            self.advance(2 * CALM_PERIODS)
            self.connections = crowd // CROWD_FACTOR
            self.advance(CALM_PERIODS - 1)
            self.assertIsNotNone(knot())
            self.advance()
            self.assertIsNone(knot())
            later = self.kept_for_a_while()
            self.advance(2 * CALM_PERIODS)
            self.assertIsNotNone(later())
            self.assertEqual(self.collector.full, before + 1)
            # The remainder of a large crowd is a crowd, too.
            self.connections = 0
            self.advance(CALM_PERIODS)
            self.assertEqual(later() is None, crowd // CROWD_FACTOR >= MIN_CROWD)

    def test_crowd_that_goes_right_after_everything_was_looked_at(self) -> None:
        """There must have been few for as long as ever."""
        self.connections = HUGE_PAGES_FROM
        self.clock.advance(MAX_INTERVAL_S)
        self.assertEqual(self.collector.full, 1)
        self.connections = 0
        self.advance(CALM_PERIODS - 1)
        self.assertEqual(self.collector.full, 1)
        self.advance()
        self.assertEqual(self.collector.full, 2)

    def test_old_garbage_is_freed_from_time_to_time(self) -> None:
        """A full collection runs each minute if it is short, later if it is longer, and each hour in any case."""
        for self.pause_s, after_s in (
            (SHORT_PAUSE_S / 2, MIN_INTERVAL_S),
            (SHORT_PAUSE_S * 2, MIN_INTERVAL_S * 4),
            (SHORT_PAUSE_S * 3, MIN_INTERVAL_S * 9),
            (0.25, MAX_INTERVAL_S),
            (SHORT_PAUSE_S, MIN_INTERVAL_S),
        ):
            # The pause that counts is the last one.
            self.clock.advance(MAX_INTERVAL_S)
            before = self.collector.full
            knot = self.kept_for_a_while()
            self.clock.advance(after_s - 3 * PERIOD_S)
            self.assertIsNotNone(knot())
            self.advance()
            self.assertIsNone(knot())
            self.assertEqual(self.collector.full, before + 1)

    def test_old_garbage_is_freed_although_there_are_connections_that_were_not(self) -> None:
        """Few connections do not postpone the collection; many do, because it takes longer with them."""
        for count, after_s in (
            (2 * MIN_CROWD + 1, MIN_INTERVAL_S),
            (round(SHORT_PAUSE_S / PAUSE_PER_CONNECTION_S), MIN_INTERVAL_S),
            (round(2 * SHORT_PAUSE_S / PAUSE_PER_CONNECTION_S), MIN_INTERVAL_S * 4),
            (15_000, MAX_INTERVAL_S),
        ):
            self.connections = 0
            self.clock.advance(MAX_INTERVAL_S)
            self.connections = count
            knot = self.kept_for_a_while()
            self.clock.advance(after_s - 3 * PERIOD_S)
            self.assertIsNotNone(knot())
            self.advance()
            self.assertIsNone(knot())

    def test_old_garbage_is_freed_when_there_is_more_than_connections_account_for(self) -> None:
        """The collection waits until its pause is a small part of the time."""
        self.pause_s = 0.25
        self.connections = HUGE_PAGES_FROM
        self.clock.advance(MAX_INTERVAL_S)
        self.assertEqual((self.collector.full, self.collector.longest_s, self.collector.paused_s), (1, 0.25, 0.25))
        knot = self.kept_for_a_while()
        self.connections += 10
        self.resident = round(GROWTH_FACTOR * 1000) + BYTES_PER_CONNECTION * 10
        self.clock.advance(2 * INTERVAL_PER_PAUSE * self.pause_s)
        self.assertIsNotNone(knot())
        self.resident += 1
        self.advance()
        self.assertIsNone(knot())
        knot = self.kept_for_a_while()
        self.resident *= 2
        self.clock.advance(INTERVAL_PER_PAUSE * self.pause_s - 3 * PERIOD_S)
        self.assertIsNotNone(knot())
        self.advance()
        self.assertIsNone(knot())
        self.assertEqual((self.collector.full, self.collector.longest_s, self.collector.paused_s), (3, 0.25, 0.75))

    def test_what_was_there_at_the_start_is_never_looked_at(self) -> None:
        """It is most of all, and stays."""
        self.collector.stopService()
        knot = Knot()
        self.collector.startService()
        self.advance()
        seen = weakref.ref(knot)
        del knot
        self.connections = HUGE_PAGES_FROM
        self.advance()
        self.connections = 0
        self.advance(CALM_PERIODS)
        self.assertIsNotNone(seen())

    def test_never_by_itself(self) -> None:
        """Each collection of the youngest generation counts, and a process may run for years."""
        _, *thresholds = gc.get_threshold()
        self.assertGreater(min(thresholds) * PERIOD_S, 30 * 365 * 86_400)

    def test_stopped_at_once(self) -> None:
        """The objects of the start have not been put aside yet, and are not any more."""
        self.collector.stopService()
        self.collector.startService()
        self.collector.stopService()
        self.advance()
        self.assertEqual((gc.get_threshold(), gc.get_freeze_count()), (self.before, 0))

    def test_stopped(self) -> None:
        """Everything is as it was."""
        self.assertNotEqual(gc.get_threshold(), self.before)
        self.collector.stopService()
        self.assertEqual((gc.get_threshold(), gc.get_freeze_count()), (self.before, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    @skipUnless(Path("/sys/kernel/mm/transparent_hugepage").exists(), "this kernel has no huge pages")
    def test_pages_are_not_filled_up_when_a_crowd_has_gone(self) -> None:
        """The kernel may make huge pages of the heap while there is a crowd, but not of the space that it has left."""
        for self.connections, flag in (
            (HUGE_PAGES_FROM, "hg"),
            (HUGE_PAGES_FROM // CROWD_FACTOR, "nh"),
            (HUGE_PAGES_FROM, "hg"),
        ):
            self.advance(2 * CALM_PERIODS)
            # The first mapping of the heap: parts that were added later have entries of their own.
            found = re.search(r"\[heap\]\n.*?VmFlags: (.*?)\n", Path("/proc/self/smaps").read_text(), re.DOTALL)
            assert found is not None
            self.assertIn(flag, found[1].split())

    def test_size_of_the_process(self) -> None:
        """Linux reports the size; it is 0 on a system that does not."""
        self.assertGreater(memory._resident_bytes(), 10_000_000)
        self.patch(memory, "SIZES", Path("/nowhere"))
        self.assertEqual(memory._resident_bytes(), 0)


class WithoutCtypesTests(SynchronousTestCase):
    """Systems where writable memory may not be executed (MemoryDenyWriteExecute)."""

    def test_it_goes_on(self) -> None:
        """livefeed runs as well if ctypes runs out of memory while it is loaded, or cannot open the C library."""
        for broken in ("", "raise MemoryError", "class CDLL:\n def __init__(self, name): raise OSError(name)"):
            directory = tempfile.TemporaryDirectory()
            self.addCleanup(directory.cleanup)
            (Path(directory.name) / "ctypes.py").write_text(broken or "raise ImportError")
            # Twisted looks for ctypes, too, and is loaded before.
            code = (
                f"import sys, twisted.application.service; sys.modules.pop('ctypes', None); "
                f"sys.path.insert(0, {directory.name!r}); "
                "import livefeed.process.memory as c; c._trim(); c._advise(c.HUGE_PAGES); print(c._libc)"
            )
            path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            done = subprocess.run([sys.executable, "-c", code], env=path, capture_output=True, text=True, check=False)
            self.assertEqual((done.stdout, done.stderr), ("None\n", ""))
