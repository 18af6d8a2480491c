"""The processors that a process may use: by its affinity, and by the quota of its cgroup (cgroups(7))."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from livefeed.process.kernel_files import cgroup_and_above, read_number, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator

CGROUPS = Path("/sys/fs/cgroup")
"""The folder at which cgroups are mounted."""

OWN_CGROUPS = Path("/proc/self/cgroup")
"""The file that names the cgroups of this process."""


@dataclass(frozen=True, slots=True)
class Processors:
    """The processors of a process.

    :ivar affinity: the number that it may run on.
    :ivar quota: the smallest quota of its cgroup and those above it, in processors; ``None`` without one.
    """

    affinity: int
    quota: float | None

    @classmethod
    def read(cls, cgroups: Path = CGROUPS, own: Path = OWN_CGROUPS) -> Processors:
        """Reads those of this process.

        :param cgroups: the folder at which cgroups are mounted.
        :param own: the file that names the cgroups of this process.
        """
        return cls(len(os.sched_getaffinity(0)), min(_quotas(cgroups, own), default=None))

    @property
    def usable(self) -> int:
        """The number of workers that ``--workers auto`` starts; at least 1."""
        return max(1, round(self.affinity if self.quota is None else min(self.affinity, self.quota)))


def usable_processors(cgroups: Path = CGROUPS, own: Path = OWN_CGROUPS) -> int:
    """Gives the number of processors that this process may use, at least 1.

    :param cgroups: the folder at which cgroups are mounted.
    :param own: the file that names the cgroups of this process.
    """
    return Processors.read(cgroups, own).usable


def _quotas(cgroups: Path, own: Path) -> Iterator[float]:
    for line in read_text(own).splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            for folder in cgroup_and_above(cgroups, path):
                quota, _, period = read_text(folder / "cpu.max").strip().partition(" ")
                if quota.isdecimal() and period.isdecimal() and int(period):
                    yield int(quota) / int(period)
        elif "cpu" in controllers.split(","):
            # Version 1. The link cpu, and the folder cpu,cpuacct, are the same.
            for folder in cgroup_and_above(cgroups / "cpu", path):
                quota_us, period_us = (read_number(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
                # Without a quota it is -1, which is no such number.
                if quota_us and period_us:
                    yield quota_us / period_us
