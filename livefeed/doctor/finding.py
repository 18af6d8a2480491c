"""The result of a check of the machine: one line with the figure, and one with the command that mends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "warning", "problem"]

LEVELS: tuple[Level, ...] = ("ok", "note", "warning", "problem")
"""All levels, the worst one last.

- ``ok``: nothing to do.
- ``note``: livefeed works, and something would make it better.
- ``warning``: livefeed works now, and something may go wrong while many watch.
- ``problem``: livefeed would not start, would have no document, or could not hold the watchers.
"""

BYTES_PER_MB, BYTES_PER_GB = 1 << 20, 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check.

    :ivar subject: what was looked at, such as ``open files``. The page about this command has a part of this name.
    :ivar level: how bad it is.
    :ivar text: the figure, and what follows from it.
    :ivar mend: the command or the setting that mends it; ``""`` if there is nothing to mend.
    """

    subject: str
    level: Level
    text: str
    mend: str = ""


def ok(subject: str, text: str) -> Finding:
    """Gives a finding about which nothing is to be done."""
    return Finding(subject, "ok", text)


def size(count: float) -> str:
    """Gives a number of bytes with a unit, such as ``4.2 KB``, ``512 MB`` or ``23.5 GB``."""
    if count >= BYTES_PER_GB:
        return f"{count / BYTES_PER_GB:.1f} GB"
    if count >= BYTES_PER_MB:
        return f"{count / BYTES_PER_MB:.0f} MB"
    return f"{count / 1024:.1f} KB" if count >= 1024 else f"{count:.0f} bytes"  # noqa: PLR2004 - a KB
