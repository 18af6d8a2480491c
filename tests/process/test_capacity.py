"""The number of connections, by its setting, by open files and by memory, and the parts of workers."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from livefeed.process.capacity import (
    BYTES_PER_CONNECTION,
    CALM_CHECK_S,
    CHECK_S,
    MAX_RESERVE,
    RELIEF_S,
    Capacity,
    Memory,
    MemoryFiles,
    MemoryWatch,
    share,
)
from livefeed.transport.limits import NO_LIMIT, Limits

MB = 1024 * 1024
V1_NO_LIMIT = 9223372036854771712


class FilesTestCase(SynchronousTestCase):
    """Has folders in place of those of the kernel."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.files = MemoryFiles(Path(directory.name) / "proc", Path(directory.name) / "cgroups")

    def write(self, path: str, text: str) -> None:
        """Writes a file below the folder of ``/proc`` or of ``/sys/fs/cgroup``, by the first part of its path."""
        file = self.files.proc.parent / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def machine(self, total: int, available: int) -> None:
        """Gives the machine this memory, in MB."""
        kb = "MemTotal:       {} kB\nMemFree:          1234 kB\nMemAvailable:   {} kB\nBuffers:   1 kB\n"
        self.write("proc/meminfo", kb.format(total * 1024, available * 1024))

    def cgroup(self, path: str, limit: object, used: int, freed: int = 0) -> None:
        """Makes a cgroup of version 2, with figures in MB."""
        most = limit * MB if isinstance(limit, int) else limit
        self.write(f"cgroups{path}/memory.max", f"{most}\n")
        self.write(f"cgroups{path}/memory.current", f"{used * MB}\n")
        self.write(f"cgroups{path}/memory.stat", f"anon 1\ninactive_file {freed * MB}\nactive_file 5\n")

    def read(self) -> list[tuple[str, int, int]]:
        """Gives name, limit and used part of each limit, in MB."""
        return [(each.what, each.limit // MB, each.used // MB) for each in self.files.read()]


class ReadTests(FilesTestCase):
    """The files of the kernel."""

    def test_no_files(self) -> None:
        """On other systems nothing is known."""
        self.assertEqual(self.read(), [])

    def test_machine(self) -> None:
        """Memory counts as used unless the kernel calls it available."""
        self.machine(16_000, 12_000)
        self.assertEqual(self.read(), [("the memory of the machine", 16_000, 4000)])

    def test_cgroup_and_its_ancestors(self) -> None:
        """Those with a limit count, without the pages of files that are not in use."""
        self.write("proc/self/cgroup", "0::/system.slice/livefeed.service\n")
        self.cgroup("/system.slice/livefeed.service", 500, 200, 50)
        self.cgroup("/system.slice", "max", 900)
        self.cgroup("", 2000, 1000)
        self.assertEqual(
            self.read(),
            [
                ("the memory of the cgroup /system.slice/livefeed.service", 500, 150),
                ("the memory of the cgroup /", 2000, 1000),
            ],
        )

    def test_container_with_the_path_of_the_host(self) -> None:
        """Its own cgroup is the root of those that it sees."""
        self.write("proc/self/cgroup", "0::/kubepods/pod1/../abc\n")
        self.cgroup("", 512, 100)
        self.assertEqual(self.read(), [("the memory of the cgroup /", 512, 100)])

    def test_version_1(self) -> None:
        """A number that no machine has is no limit."""
        self.write("proc/self/cgroup", "9:cpu,memory:/a/b\n1:cpuset:/c\n0::/\n")
        for path, limit in (("/a/b", 300 * MB), ("/a", V1_NO_LIMIT), ("", 900 * MB)):
            self.write(f"cgroups/memory{path}/memory.limit_in_bytes", f"{limit}\n")
            self.write(f"cgroups/memory{path}/memory.usage_in_bytes", f"{200 * MB}\n")
            self.write(f"cgroups/memory{path}/memory.stat", f"cache 1\ntotal_inactive_file {MB}\n")
        self.assertEqual(
            self.read(), [("the memory of the cgroup /a/b", 300, 199), ("the memory of the cgroup /", 900, 199)]
        )

    def test_files_that_cannot_be_understood(self) -> None:
        """They limit nothing."""
        self.write("proc/meminfo", "MemTotal: 5 kB\n")
        self.write("proc/self/cgroup", "nonsense\n::\n0::/a\n")
        self.write("cgroups/a/memory.max", "1 2\n")
        self.write("cgroups/a/memory.current", "")
        self.assertEqual(self.read(), [])

    def test_this_machine(self) -> None:
        """The real files can be read."""
        for each in MemoryFiles().read():
            self.assertGreater(each.limit, each.used)


class ArithmeticTests(SynchronousTestCase):
    """Pure functions."""

    def test_connections_of_a_memory(self) -> None:
        """A tenth of the limit is set aside, and no more than 256 MB."""
        small = Memory("", 1000 * MB, 300 * MB)
        self.assertEqual((small.reserve, small.left), (100 * MB, 600 * MB))
        self.assertEqual(small.connections(), 600 * MB // BYTES_PER_CONNECTION)
        large = Memory("", 64_000 * MB, 10_000 * MB)
        self.assertEqual((large.reserve, large.left), (MAX_RESERVE, 54_000 * MB - MAX_RESERVE))
        self.assertEqual(Memory("", 1000 * MB, 950 * MB).connections(), 0)

    def test_smallest_limit(self) -> None:
        """It is named. Memory limits the default, and not a number that was set."""
        memories = [Memory("a", 1000 * MB, 300 * MB), Memory("b", 64_000 * MB, 0)]
        room = memories[0].connections()
        for setting, files, expected in (
            (0, 20_000, Capacity(room, "a")),
            (0, 500, Capacity(500, "the limit of open files")),
            (50, 20_000, Capacity(50, "--max-connections")),
            (19_000, 20_000, Capacity(19_000, "--max-connections")),
            (30_000, 20_000, Capacity(20_000, "the limit of open files")),
        ):
            self.assertEqual(Capacity.of(setting, files, memories), expected)
        self.assertEqual(Capacity.of(0, 20_000, memories, workers=4), Capacity(room // 4, "a"))
        self.assertEqual(Capacity.of(0, 20_000, []), Capacity(20_000, "the limit of open files"))
        self.assertEqual(Capacity.of(0, 20_000, [Memory("full", MB, MB)]), Capacity(1, "full"))

    @given(st.integers(1, 100_000), st.integers(1, 64))
    def test_parts_add_up(self, limit: int, workers: int) -> None:
        """They differ by one at most, and none is 0."""
        parts = [share(limit, workers, index) for index in range(workers)]
        self.assertEqual(sum(parts), max(limit, workers))
        self.assertLessEqual(max(parts) - min(parts), 1)
        self.assertGreater(min(parts), 0)

    def test_limits_that_are_no_numbers(self) -> None:
        """The default and no limit hold for each worker."""
        for limit in (0, NO_LIMIT):
            self.assertEqual(share(limit, 4, 1), limit)


class FakePool:
    """A pool that records what it is told."""

    def __init__(self, connections: int = 0) -> None:
        self.limits = Limits(connections=connections)
        self.max_files = 20_000
        self.accept_rate = 1234.5
        self.by_memory: int | None = None
        self.held = False
        self.is_calm = False
        self._count = 0

    @property
    def count(self) -> int:
        """Another connection has come at each look, unless it is calm."""
        self._count += not self.is_calm
        return self._count

    def limit_by_memory(self, connections: int) -> None:
        self.by_memory = connections

    def hold(self, *, held: bool) -> int:
        self.held = held
        return 777


class WatchTests(FilesTestCase):
    """The watch over memory while the process runs."""

    def start(self, pool: FakePool, **more: Any) -> list[str]:
        """Starts a watch. Returns the lines of the log."""
        self.clock = Clock()
        self.watch = MemoryWatch(pool, self.clock, self.files, **more)
        with capturedLogs() as events:
            self.watch.startService()
        return [formatEvent(event) for event in events]

    def after_a_check(self) -> list[str]:
        """Lets it look again. Returns the lines of the log."""
        with capturedLogs() as events:
            self.clock.advance(CHECK_S)
        return [formatEvent(event) for event in events]

    def test_capacity_is_logged(self) -> None:
        """With its reason and the accept rate, in one line."""
        pool = FakePool()
        self.machine(1000, 700)
        room = 600 * MB // BYTES_PER_CONNECTION
        line = f"the capacity is {room} connections, by the memory of the machine, and 1234 new ones per second"
        self.assertEqual(self.start(pool), [line])
        self.assertEqual((pool.by_memory, self.watch.capacity.connections), (room, room))

    def test_nothing_is_known_of_memory(self) -> None:
        """Open files are the limit."""
        pool = FakePool()
        pool.accept_rate = float("inf")
        line = "the capacity is 20000 connections, by the limit of open files, and any number of new ones per second"
        self.assertEqual(self.start(pool), [line])
        self.assertEqual((pool.by_memory, self.after_a_check()), (None, []))

    def test_setting_beyond_the_memory(self) -> None:
        """It counts, and the log warns."""
        self.machine(1000, 700)
        first, second = self.start(FakePool(19_000))
        self.assertIn("19000 connections, by --max-connections", first)
        self.assertIn("the memory of the machine has room for about 12800 connections", second)

    def test_workers_share_it(self) -> None:
        """Each has a part."""
        pool = FakePool()
        self.machine(1000, 700)
        self.start(pool, workers=4)
        self.assertEqual(pool.by_memory, 600 * MB // BYTES_PER_CONNECTION // 4)

    def test_no_more_clients_while_it_is_short(self) -> None:
        """The log says when it begins and when it ends, which takes a little more memory."""
        pool = FakePool()
        self.machine(1000, 700)
        self.start(pool)
        for available, held, lines in (
            (101, False, 0),
            (99, True, 1),
            (1, True, 0),
            (120, True, 0),
            (149, True, 0),
            (151, False, 1),
            (101, False, 0),
        ):
            self.machine(1000, available)
            logged = self.after_a_check()
            self.assertEqual((pool.held, len(logged)), (held, lines), available)
            if lines and held:
                self.assertEqual(
                    logged[0],
                    "only 99 MB of the memory of the machine are left: more clients than the present 777 are told to "
                    "come back",
                )
        self.watch.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_look_while_no_connection_comes(self) -> None:
        """Nothing has to be held back then. It looks from time to time, in a shortage, and at once when one comes."""
        pool = FakePool()
        self.machine(1000, 700)
        self.start(pool)
        self.after_a_check()
        pool.is_calm = True
        self.machine(1000, 99)
        for _ in range(int(CALM_CHECK_S) - 1):
            self.after_a_check()
            self.assertFalse(pool.held)
        self.after_a_check()
        self.assertTrue(pool.held)
        self.machine(1000, 200)
        self.after_a_check()
        self.assertFalse(pool.held)
        self.machine(1000, 99)
        self.after_a_check()
        self.assertFalse(pool.held)
        pool.is_calm = False
        self.after_a_check()
        self.assertTrue(pool.held)

    def test_others_keep_the_memory(self) -> None:
        """Clients are not held off for ever: after some time the reserve is enough."""
        pool = FakePool()
        self.machine(1000, 700)
        self.start(pool)
        for available in (99, 101, 99, *[120] * int(RELIEF_S)):
            self.machine(1000, available)
            self.after_a_check()
            self.assertTrue(pool.held)
        (line,) = self.after_a_check()
        self.assertEqual((line, pool.held), ("there is enough memory again: more clients are taken", False))
        self.machine(1000, 99)
        self.assertEqual((len(self.after_a_check()), pool.held), (1, True))
        self.machine(1000, 120)
        self.assertEqual((self.after_a_check(), pool.held), ([], True))

    def test_any_limit_counts(self) -> None:
        """A cgroup may be full although the machine has memory, and the other way round."""
        pool = FakePool()
        self.machine(1000, 700)
        self.write("proc/self/cgroup", "0::/a\n")
        self.cgroup("/a", 200, 50)
        self.start(pool)
        self.cgroup("/a", 200, 190)
        (line,) = self.after_a_check()
        self.assertIn("10 MB of the memory of the cgroup /a", line)
        self.machine(1000, 50)
        self.cgroup("/a", 200, 50)
        self.assertEqual((self.after_a_check(), pool.held), ([], True))
        self.machine(1000, 700)
        self.assertEqual((len(self.after_a_check()), pool.held), (1, False))
