"""The processors that a process may use."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from livefeed.process.processors import Processors, usable_processors


class ProcessorsTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name)
        self.own = self.root / "own"
        self.patch(os, "sched_getaffinity", lambda pid: set(range(8)))

    def write(self, file: str, text: str) -> None:
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def read(self) -> Processors:
        return Processors.read(self.root, self.own)


class VersionTwoTests(ProcessorsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.own.write_text("0::/a/b\n")

    def test_affinity(self) -> None:
        """Without a quota, all processors count that the process may run on."""
        self.assertEqual(self.read(), Processors(8, None))
        self.write("a/b/cpu.max", "max 100000\n")
        self.assertEqual(self.read(), Processors(8, None))
        self.own.write_text("1:cpu:/x\n")
        self.assertEqual(self.read().usable, 8)

    def test_quota(self) -> None:
        """The smallest quota above the process counts, rounded, and it is never less than one worker."""
        for own, above, expected in (("250000", "400000", 2), ("max", "300000", 3), ("10000", "max", 1)):
            self.write("a/b/cpu.max", f"{own} 100000\n")
            self.write("a/cpu.max", f"{above} 100000\n")
            self.assertEqual(self.read().usable, expected)

    def test_files_with_other_texts(self) -> None:
        """They are no quota."""
        for text in ("", "1", "1 0", "x 100000", "100000 x"):
            self.write("a/cpu.max", text)
            self.assertEqual(self.read().quota, None)


class VersionOneTests(ProcessorsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.own.write_text("4:memory:/m\n1:cpu,cpuacct:/a\n0::/\n")

    def test_quota(self) -> None:
        """It is in two files."""
        self.write("cpu/a/cpu.cfs_quota_us", "150000\n")
        self.write("cpu/a/cpu.cfs_period_us", "100000\n")
        self.assertEqual(self.read(), Processors(8, 1.5))

    def test_no_quota(self) -> None:
        """It is -1."""
        self.write("cpu/cpu.cfs_quota_us", "-1\n")
        self.write("cpu/cpu.cfs_period_us", "100000\n")
        self.assertEqual(self.read().quota, None)


class ThisMachineTests(SynchronousTestCase):
    def test_this_machine(self) -> None:
        """There is at least one."""
        self.assertGreaterEqual(usable_processors(), 1)
