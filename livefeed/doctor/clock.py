"""The clock of the machine, and the time that a look at it takes.

Rule: nothing is read here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from livefeed.clocks import STEP_S
from livefeed.doctor.finding import Finding, ok

if TYPE_CHECKING:
    from collections.abc import Collection

RELEASED_AT = 1_764_547_200.0
"""Seconds since 1970: no clock that is right shows an earlier time than that of this release, 2025-12-01."""

SLOW_SOURCES = frozenset({"hpet", "acpi_pm", "jiffies", "refined-jiffies", "pit"})
"""Sources for which a look at the clock is a call of the kernel of a microsecond or more. The others take 30 ns."""

FAST_SOURCES = ("tsc", "kvm-clock", "arch_sys_counter")
SOURCE_FILE = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
_MEND = "timedatectl set-ntp true"


def check_clock(wall: float, jump_s: float, *, is_synchronised: bool | None) -> Finding:
    """Checks that the times which watchers see are right.

    :param wall: seconds since 1970.
    :param jump_s: the seconds by which the wall clock has run ahead of the measured time meanwhile.
    :param is_synchronised: whether the kernel's clock is synchronised; ``None`` if that is not known.
    """
    subject = "clock"
    if wall < RELEASED_AT:
        return Finding(subject, "problem", "it shows a time before this release: certificates seem invalid", _MEND)
    if abs(jump_s) > STEP_S:
        text = f"it was set by {jump_s:+.1f} s while this command ran; ages are measured by another clock"
        return Finding(subject, "warning", text, f"{_MEND}; several programs may set it")
    if is_synchronised is None:
        return Finding(subject, "note", "this system does not tell whether it is synchronised", "timedatectl")
    if not is_synchronised:
        text = "it is not synchronised: the times of versions, and of embargoes, are off by an unknown amount"
        return Finding(subject, "warning", text, _MEND)
    return ok(subject, "synchronised")


def check_clock_source(current: str, available: Collection[str]) -> Finding:
    """Checks that looks at the clock are cheap: there are several for each request.

    :param current: the name of the kernel's source; ``""`` if it is not known.
    :param available: the names of all.
    """
    subject = "clock source"
    if current not in SLOW_SOURCES:
        return ok(subject, current or "this system does not name it")
    faster = next((each for each in FAST_SOURCES if each in available), None)
    text = f"{current}: each look at the clock takes a microsecond or more"
    if faster is None:
        return Finding(subject, "note", text, "another kind of virtual machine: there is no faster source here")
    return Finding(subject, "warning", text, f"echo {faster} > {SOURCE_FILE}")
