"""Open files, processors, and the version of Python."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from livefeed.doctor.processes import FileLimits, check_open_files, check_processors, check_python
from livefeed.process.processors import Processors

LIMITS = FileLimits(soft=1024, hard=20_000, per_process=1 << 20, machine=1 << 22, open=1000)


class OpenFileTests(SynchronousTestCase):
    def test_enough(self) -> None:
        """The hard limit counts: livefeed raises the other one."""
        found = check_open_files(LIMITS, 10_000, 1)
        self.assertEqual(found.level, "ok")
        self.assertEqual(found.text, "20,000 in this shell, raised from 1,024 at the start; 10,256 are needed")
        found = check_open_files(replace(LIMITS, soft=20_000, whose="process 7"), 19_744, 1)
        self.assertEqual((found.level, found.text), ("ok", "20,000 in process 7; 20,000 are needed"))

    def test_too_few(self) -> None:
        """One less is a problem, and the number of watchers is told that there is room for."""
        found = check_open_files(LIMITS, 19_745, 1)
        self.assertEqual(found.level, "problem")
        self.assertEqual(found.text, "20,000 in this shell, and 20,001 are needed: room for 19,744 watchers")
        self.assertEqual(found.mend, "ulimit -n 32768 (root), or LimitNOFILE=1048576 in the unit")

    def test_workers(self) -> None:
        """Each worker has a part of the watchers."""
        self.assertEqual(check_open_files(LIMITS, 39_488, 2).level, "ok")
        found = check_open_files(LIMITS, 39_490, 2)
        self.assertIn("room for 39,488 watchers", found.text)

    def test_far_too_few(self) -> None:
        """There is room for nobody, not for less than that."""
        self.assertIn("room for 0 watchers", check_open_files(replace(LIMITS, hard=100), 1000, 1).text)

    def test_limit_of_the_kernel(self) -> None:
        """No shell can set more than the kernel allows a process."""
        found = check_open_files(replace(LIMITS, per_process=20_000), 100_000, 1)
        self.assertEqual((found.level, found.mend), ("problem", "sysctl -w fs.nr_open=131072"))

    def test_more_than_the_limit_of_the_unit(self) -> None:
        """The recommended limit is enough for the watchers."""
        found = check_open_files(replace(LIMITS, per_process=1 << 22, machine=1 << 23), 2_000_000, 1)
        self.assertEqual(found.mend, "ulimit -n 2097152 (root), or LimitNOFILE=2097152 in the unit")

    def test_limit_of_the_machine(self) -> None:
        """Files that are open already do not count for watchers."""
        found = check_open_files(replace(LIMITS, machine=10_999), 10_000, 1)
        self.assertEqual((found.level, found.mend), ("problem", "sysctl -w fs.file-max=32768"))
        self.assertEqual(check_open_files(replace(LIMITS, machine=11_000), 10_000, 1).level, "ok")

    def test_unknown_limits(self) -> None:
        """They limit nothing."""
        self.assertEqual(check_open_files(FileLimits(20_000, 20_000), 10_000, 1).level, "ok")
        self.assertIn("ulimit", check_open_files(FileLimits(20_000, 20_000), 20_000, 1).mend)


class ProcessorTests(SynchronousTestCase):
    def test_workers(self) -> None:
        """As many as there are processors are in order."""
        found = check_processors(Processors(8, None), "auto", 100_000)
        self.assertEqual((found.level, found.text), ("ok", "8; 8 workers"))
        self.assertEqual(
            check_processors(Processors(8, 2.5), 2, 100_000).text, "8, of which a quota leaves 2.5; 2 workers"
        )

    def test_too_many_workers(self) -> None:
        """They are refused nothing, but wait for each other."""
        found = check_processors(Processors(8, 2.5), 4, 100)
        self.assertEqual((found.level, found.mend), ("warning", "--workers auto, which starts 2"))

    def test_one_process(self) -> None:
        """It is enough for some watchers, and on a machine with one processor."""
        self.assertEqual(check_processors(Processors(8, None), 0, 10_000).text, "8; one process")
        self.assertEqual(check_processors(Processors(1, None), 0, 100_000).level, "ok")
        found = check_processors(Processors(8, None), 0, 20_000)
        self.assertEqual((found.level, found.mend), ("note", "--workers auto"))

    def test_less_than_a_processor(self) -> None:
        """The process stands still for a part of each period."""
        found = check_processors(Processors(8, 0.5), 0, 10)
        self.assertEqual((found.level, found.text[:29]), ("warning", "8, of which a quota leaves 0."))
        self.assertIn("CPUQuota", found.mend)


class PythonTests(SynchronousTestCase):
    def test_versions(self) -> None:
        """Those whose collector was measured are in order."""
        for version, level in (((3, 11, 2), "ok"), ((3, 13, 9), "ok"), ((3, 14, 0), "note"), ((3, 10, 1), "note")):
            self.assertEqual(check_python(version, "CPython").level, level)

    def test_implementations(self) -> None:
        """The others have other collectors."""
        found = check_python((3, 11, 2), "PyPy")
        self.assertEqual((found.level, found.text[:12]), ("note", "PyPy 3.11.2:"))
        self.assertIn("python3.13 -m venv", found.mend)
