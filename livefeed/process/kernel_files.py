"""Small files of the kernel, below ``/proc`` and ``/sys``, which may be missing on another system or in a container."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_FILE_BYTES = 65_536
"""Upper limit of the bytes that are read of a file. ``memory.stat`` of a cgroup has 2 KB."""


def read_text(file: Path, max_bytes: int = MAX_FILE_BYTES) -> str:
    """Gives the text of a file of the kernel; empty if it cannot be read.

    :param max_bytes: upper limit of the bytes that are read.
    """
    try:
        with file.open("rb") as opened:
            return opened.read(max_bytes).decode("ascii", "replace")
    except OSError:
        return ""


def read_number(file: Path) -> int | None:
    """Gives the number in a file; ``None`` if there is none, as where it says ``max``."""
    text = read_text(file).strip()
    return int(text) if re.fullmatch("[0-9]{1,20}", text) else None


def cgroup_and_above(root: Path, path: str) -> Iterator[Path]:
    """Gives the folder of a cgroup, and those above it, up to the root.

    In a container the path may be that of the host: then only the root, which is the container's cgroup, is there.

    :param root: the folder at which cgroups are mounted.
    :param path: the cgroup, as ``/proc/self/cgroup`` names it.
    """
    names = [name for name in path.split("/") if name and name != ".."]
    for depth in range(len(names), -1, -1):
        yield root.joinpath(*names[:depth])
