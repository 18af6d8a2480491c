"""Open files, processors, and the version of Python.

Rule: nothing is read here.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from livefeed.doctor.finding import Finding, ok
from livefeed.transport.limits import RESERVED_FILES

if TYPE_CHECKING:
    from livefeed.process.processors import Processors

MANY_WATCHERS = 20_000
"""Watchers from which one process is not enough: a push to 10,000 takes a sixth of a core, and a restart all of it."""

MEASURED_PYTHONS = ((3, 11), (3, 13))
"""The oldest and the newest version of Python whose garbage collector was measured."""

FILES_OF_A_SERVICE = 1_048_576
"""The limit of open files in livefeed's unit for systemd."""


@dataclass(frozen=True, slots=True)
class FileLimits:
    """The limits of open files.

    :ivar soft: of the process, at which it starts.
    :ivar hard: of the process, to which livefeed raises the other.
    :ivar per_process: the most that the kernel allows a process; ``None`` if it is not known.
    :ivar machine: of all processes together; ``None`` if it is not known.
    :ivar open: open files of all processes.
    :ivar whose: whose limits these are: of the livefeed that runs, of a unit of systemd, or of this shell.
    """

    soft: int
    hard: int
    per_process: int | None = None
    machine: int | None = None
    open: int = 0
    whose: str = "this shell"


def check_open_files(limits: FileLimits, watchers: int, processes: int) -> Finding:
    """Checks that each watcher may have an open file.

    :param processes: the number of processes that hold the connections.
    """
    subject = "open files"
    needed = ceil(watchers / processes) + RESERVED_FILES
    whose = limits.whose
    if limits.machine is not None and limits.machine - limits.open < watchers:
        text = f"{limits.machine:,} for all processes, and {limits.open:,} are open: too few for {watchers:,} watchers"
        return Finding(subject, "problem", text, f"sysctl -w fs.file-max={_above(limits.open + 2 * watchers)}")
    if limits.hard >= needed:
        raised = "" if limits.soft == limits.hard else f", raised from {limits.soft:,} at the start"
        return ok(subject, f"{limits.hard:,} in {whose}{raised}; {needed:,} are needed")
    room = max(limits.hard - RESERVED_FILES, 0) * processes
    text = f"{limits.hard:,} in {whose}, and {needed:,} are needed: room for {room:,} watchers"
    if limits.per_process is not None and limits.per_process < needed:
        return Finding(subject, "problem", text, f"sysctl -w fs.nr_open={_above(needed)}")
    in_unit = max(FILES_OF_A_SERVICE, _above(needed))
    mend = f"ulimit -n {_above(needed)} (root), or LimitNOFILE={in_unit} in the unit"
    return Finding(subject, "problem", text, mend)


def _above(count: int) -> int:
    """Gives the power of two that is not less than a number."""
    return 1 << max(count - 1, 1).bit_length()


def check_processors(processors: Processors, workers: int | str, watchers: int) -> Finding:
    """Checks that the workers have processors.

    :param workers: the setting: a number, or ``auto``.
    """
    subject, usable = "processors", processors.usable
    quota = processors.quota
    there = f"{processors.affinity}" if quota is None else f"{processors.affinity}, of which a quota leaves {quota:.2g}"
    if quota is not None and quota < 1:
        mend = "systemctl set-property livefeed.service CPUQuota=100%"
        return Finding(subject, "warning", f"{there}: all watchers wait for the rest of each period", mend)
    if isinstance(workers, int) and workers > usable:
        text = f"{there}: {workers} workers wait for each other"
        return Finding(subject, "warning", text, f"--workers auto, which starts {usable}")
    if workers == 0 and usable > 1 and watchers >= MANY_WATCHERS:
        text = f"{there}: without workers, {watchers:,} watchers share one of them"
        return Finding(subject, "note", text, "--workers auto")
    started = usable if workers == "auto" else workers
    return ok(subject, f"{there}; {f'{started} workers' if started else 'one process'}")


def check_python(version: tuple[int, int, int], implementation: str) -> Finding:
    """Checks the version of Python.

    :param version: its first three numbers.
    :param implementation: such as ``CPython``.
    """
    subject, text = "python", f"{implementation} {'.'.join(map(str, version))}"
    oldest, newest = MEASURED_PYTHONS
    if implementation != "CPython" or not oldest <= version[:2] <= newest:
        wanted = ".".join(map(str, newest))
        why = "the pauses of its garbage collector were not measured"
        return Finding(subject, "note", f"{text}: {why}", f"python{wanted} -m venv .venv, and install livefeed there")
    return ok(subject, text)
