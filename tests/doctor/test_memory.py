"""Memory for the watchers, swap, the allocator and huge pages."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.doctor.memory import Swap, check_allocator, check_huge_pages, check_memory, check_swap
from livefeed.process.capacity import BYTES_PER_CONNECTION, Memory

GB = 1 << 30
MACHINE = Memory("the memory of the machine", 8 * GB, 4 * GB)


class MemoryTests(SynchronousTestCase):
    def test_enough(self) -> None:
        """The number is that of livefeed's own limit."""
        room = MACHINE.connections()
        found = check_memory([MACHINE], room)
        self.assertEqual(found.level, "ok")
        self.assertEqual(found.text, f"3.8 GB left in the memory of the machine: room for {room:,} watchers")
        self.assertEqual(check_memory([MACHINE], room + 1).level, "problem")

    def test_machine_is_too_small(self) -> None:
        """No command gives it more."""
        found = check_memory([MACHINE], 200_000)
        self.assertEqual(found.mend, f"5.4 GB more memory, or --max-connections {MACHINE.connections()}")

    def test_cgroup_is_too_small(self) -> None:
        """The smallest limit counts, and its new value has room for all of them."""
        group = Memory("the memory of the cgroup /system.slice", GB, GB // 2)
        found = check_memory([MACHINE, group], 50_000)
        self.assertEqual((found.level, found.mend), ("problem", "systemctl set-property livefeed.service MemoryMax=4G"))
        self.assertGreaterEqual(Memory("", 4 * GB, GB // 2).left, 50_000 * BYTES_PER_CONNECTION)

    def test_nothing_is_left(self) -> None:
        """The text has no negative number."""
        found = check_memory([Memory("the memory of the machine", GB, GB)], 1)
        self.assertIn("0 bytes left in the memory of the machine: room for 0 of 1 watchers", found.text)
        self.assertIn("--max-connections 1", found.mend)

    def test_other_systems(self) -> None:
        """Nothing is known there."""
        found = check_memory([], 5)
        self.assertEqual((found.level, found.mend), ("note", "--max-connections 5, if there is memory for as many"))


class SwapTests(SynchronousTestCase):
    def test_swap(self) -> None:
        """A little that is used does no harm."""
        self.assertEqual(check_swap(Swap(0, 0)).text, "none")
        self.assertEqual(check_swap(Swap(GB, 1 << 20)).level, "ok")
        found = check_swap(Swap(GB, 100 << 20))
        self.assertEqual((found.level, found.mend[-15:]), ("warning", "MemorySwapMax=0"))


class AllocatorTests(SynchronousTestCase):
    def test_allocator(self) -> None:
        """That of the C library gives memory back."""
        self.assertEqual(check_allocator({"PYTHONMALLOC": "malloc"}, 10_000).level, "ok")
        found = check_allocator({}, 10_000)
        self.assertEqual((found.level, found.mend), ("note", "Environment=PYTHONMALLOC=malloc in the unit"))

    def test_few_watchers(self) -> None:
        """Their memory is not worth it."""
        self.assertEqual(check_allocator({}, 1999).level, "ok")

    def test_variables_that_are_not_shown(self) -> None:
        """Nothing is claimed about them."""
        self.assertEqual(check_allocator(None, 10_000).level, "ok")


class HugePageTests(SynchronousTestCase):
    def test_choices(self) -> None:
        """Only the one that stops a process is worth a warning."""
        self.assertEqual(check_huge_pages("", "", {}).level, "ok")
        self.assertEqual(check_huge_pages("never", "always", {}).level, "ok")
        self.assertEqual(check_huge_pages("always", "madvise", None).text, "always")
        self.assertEqual(
            check_huge_pages("madvise", "madvise", {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}).text,
            "madvise, and livefeed's heap asks for them",
        )
        found = check_huge_pages("always", "always", {})
        self.assertEqual(found.level, "warning")
        self.assertIn("echo madvise > ", found.mend)
