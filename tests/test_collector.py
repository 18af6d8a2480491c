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

from livefeed.collector import CALM, FEW, MANY, PERIOD_S, Collector


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
        self.collector = Collector(lambda: self.connections, self.clock)
        self.collector.startService()
        self.addCleanup(self.stop)

    def stop(self) -> None:
        if self.collector.running:
            self.collector.stopService()

    def advance(self, periods: int = 1) -> None:
        self.clock.pump([PERIOD_S] * periods)

    def kept_for_a_while(self) -> weakref.ref[Knot]:
        """Gives a knot that was in use for longer than a period, and is garbage now."""
        knot = Knot()
        self.advance(2)
        return weakref.ref(knot)

    def test_new_garbage_is_freed(self) -> None:
        """At the next period."""
        knot = weakref.ref(Knot())
        self.advance()
        self.assertIsNone(knot())

    def test_old_objects_are_left_alone(self) -> None:
        """As long as there are many connections, or were never many: to look at all of them takes too long."""
        for self.connections in (0, MANY, MANY * 10):
            knot = self.kept_for_a_while()
            self.advance(2 * CALM)
            self.assertIsNotNone(knot())

    def test_old_garbage_is_freed_when_a_crowd_has_gone(self) -> None:
        """Once, when there have been few for a while."""
        self.connections = MANY
        knot = self.kept_for_a_while()
        self.connections = FEW + 1
        self.advance(2 * CALM)
        self.connections = FEW
        self.advance(CALM - 1)
        self.assertIsNotNone(knot())
        self.advance()
        self.assertIsNone(knot())
        later = self.kept_for_a_while()
        self.advance(2 * CALM)
        self.assertIsNotNone(later())

    def test_what_was_there_at_the_start_is_never_looked_at(self) -> None:
        """It is most of all, and stays."""
        self.collector.stopService()
        knot = Knot()
        self.collector.startService()
        seen = weakref.ref(knot)
        del knot
        self.connections = MANY
        self.advance()
        self.connections = 0
        self.advance(CALM)
        self.assertIsNotNone(seen())

    def test_never_by_itself(self) -> None:
        """Each look at what is new counts, and a process may run for years."""
        _, *thresholds = gc.get_threshold()
        self.assertGreater(min(thresholds) * PERIOD_S, 30 * 365 * 86_400)

    def test_stopped(self) -> None:
        """Everything is as it was."""
        self.assertNotEqual(gc.get_threshold(), self.before)
        self.collector.stopService()
        self.assertEqual((gc.get_threshold(), gc.get_freeze_count()), (self.before, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    @skipUnless(Path("/sys/kernel/mm/transparent_hugepage").exists(), "this kernel has no huge pages")
    def test_pages_are_not_filled_up_when_a_crowd_has_gone(self) -> None:
        """The kernel may make huge pages of the heap while there are many, and none of what they have left."""
        for self.connections, flag in ((MANY, "hg"), (FEW, "nh"), (MANY, "hg")):
            self.advance(2 * CALM)
            # The first part of it: what has been added since stands for itself.
            found = re.search(r"\[heap\]\n.*?VmFlags: (.*?)\n", Path("/proc/self/smaps").read_text(), re.DOTALL)
            assert found is not None
            self.assertIn(flag, found[1].split())


class WithoutCtypesTests(SynchronousTestCase):
    """Where writable memory may not be executed (MemoryDenyWriteExecute)."""

    def test_it_goes_on(self) -> None:
        """Also when ctypes runs out of memory as it is loaded, or cannot open the C library."""
        for broken in ("", "raise MemoryError", "class CDLL:\n def __init__(self, name): raise OSError(name)"):
            directory = tempfile.TemporaryDirectory()
            self.addCleanup(directory.cleanup)
            (Path(directory.name) / "ctypes.py").write_text(broken or "raise ImportError")
            # Twisted looks for ctypes, too, and is loaded before.
            code = (
                f"import sys, twisted.application.service; sys.modules.pop('ctypes', None); "
                f"sys.path.insert(0, {directory.name!r}); "
                "import livefeed.collector as c; c._trim(); c._advise(c.HUGE_PAGES); print(c._libc)"
            )
            path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            done = subprocess.run([sys.executable, "-c", code], env=path, capture_output=True, text=True, check=False)
            self.assertEqual((done.stdout, done.stderr), ("None\n", ""))
