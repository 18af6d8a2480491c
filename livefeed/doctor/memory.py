"""Memory for the watchers, swap, the allocator and huge pages.

Rule: nothing is read here.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from livefeed.doctor.finding import BYTES_PER_GB, BYTES_PER_MB, Finding, ok, size
from livefeed.process.capacity import BYTES_PER_CONNECTION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from livefeed.process.capacity import Memory

SWAPPED_BYTES = 64 * BYTES_PER_MB
"""Swapped memory that is worth a warning. The kernel swaps out a little of what no process has used since its start."""

ALLOCATOR_FROM = 2000
"""Watchers from which the memory of a crowd is worth a line: below, it is less than 100 MB."""


def check_memory(memories: Sequence[Memory], watchers: int) -> Finding:
    """Checks that there is memory for the watchers, as livefeed does at its start.

    :param memories: the limits that apply to the process.
    """
    subject, needed = "memory", watchers * BYTES_PER_CONNECTION
    if not memories:
        mend = f"--max-connections {watchers}, if there is memory for as many"
        return Finding(subject, "note", "this system does not tell what is left, so nothing limits livefeed", mend)
    least = min(memories, key=lambda each: each.left)
    room, left = least.connections(), size(max(least.left, 0))
    if room >= watchers:
        return ok(subject, f"{left} left in {least.what}: room for {room:,} watchers")
    text = f"{left} left in {least.what}: room for {room:,} of {watchers:,} watchers, at {size(BYTES_PER_CONNECTION)}"
    missing = needed - least.left
    if "cgroup" in least.what:
        gigabytes = ceil((least.limit + missing * 1.2) / BYTES_PER_GB)
        return Finding(subject, "problem", text, f"systemctl set-property livefeed.service MemoryMax={gigabytes}G")
    return Finding(subject, "problem", text, f"{size(missing)} more memory, or --max-connections {max(room, 1)}")


@dataclass(frozen=True, slots=True)
class Swap:
    """The swap of the machine.

    :ivar total: bytes.
    :ivar used: bytes of it that are used.
    """

    total: int
    used: int


def check_swap(swap: Swap) -> Finding:
    """Checks that memory of the server is not likely to be on a disk."""
    subject = "swap"
    if not swap.total:
        return ok(subject, "none")
    text = f"{size(swap.used)} of {size(swap.total)} used"
    if swap.used < SWAPPED_BYTES:
        return ok(subject, text)
    why = f"{text}: a push waits for each page that is on a disk"
    return Finding(subject, "warning", why, "systemctl set-property livefeed.service MemorySwapMax=0")


def check_allocator(environment: Mapping[str, str] | None, watchers: int) -> Finding:
    """Checks that the memory of a crowd returns to the system.

    :param environment: the variables of the livefeed that runs, or of this command; ``None`` if they are not shown.
    """
    subject = "allocator"
    if environment is None:
        return ok(subject, "the livefeed that runs does not show its variables to this user")
    value = environment.get("PYTHONMALLOC")
    if value == "malloc" or watchers < ALLOCATOR_FROM:
        return ok(subject, "that of the C library" if value == "malloc" else "Python's")
    text = "Python's: the memory of a crowd stays in the process after the crowd has left"
    return Finding(subject, "note", text, "Environment=PYTHONMALLOC=malloc in the unit")


def check_huge_pages(enabled: str, defragmented: str, environment: Mapping[str, str] | None) -> Finding:
    """Checks the kernel's use of huge pages.

    :param enabled: the choice in the file ``enabled``; ``""`` if there is none.
    :param defragmented: the choice in the file ``defrag``.
    :param environment: the variables of the livefeed that runs, or of this command; ``None`` if they are not shown.
    """
    subject = "huge pages"
    if enabled in ("", "never"):
        return ok(subject, "off, which costs nothing that could be measured")
    if enabled == "always" and defragmented == "always":
        text = "always, and the kernel stops a process until it has made room for one"
        mend = "echo madvise > /sys/kernel/mm/transparent_hugepage/defrag"
        return Finding(subject, "warning", text, mend)
    is_asked_for = "hugetlb=1" in (environment or {}).get("GLIBC_TUNABLES", "")
    heap = ", and livefeed's heap asks for them" if is_asked_for else ""
    return ok(subject, f"{enabled}{heap}")
