"""The text of ``livefeed doctor``, for terminals of 80 columns."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from livefeed.cli.tables import Colour, Painter, printable
from livefeed.doctor.finding import LEVELS, Level

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from livefeed.doctor.examination import Section
    from livefeed.doctor.finding import Finding

COLUMNS = 80
_LEVEL, _SUBJECT = 9, 17
_INDENT = _LEVEL + _SUBJECT + 2
_COLOURS: dict[Level, Colour] = {"ok": "good", "note": "strong", "warning": "warning", "problem": "bad"}
_SYSCTL = "sysctl -w "


def report_lines(heads: Sequence[str], sections: Sequence[Section], *, in_colour: bool) -> Iterator[str]:
    """Gives the lines of the report.

    :param heads: the lines above the sections, of which the first is the title.
    :param in_colour: whether colours are wanted.
    """
    painter = Painter(in_colour)
    yield painter.paint(heads[0], "strong")
    yield from heads[1:]
    findings = [finding for section in sections for finding in section.findings]
    for section in sections:
        yield ""
        yield painter.paint(section.title, "strong")
        for finding in section.findings:
            yield from _finding(finding, painter)
    yield ""
    yield _summary([finding.level for finding in findings])
    if any(finding.mend.startswith(_SYSCTL) for finding in findings):
        yield "A value of sysctl -w lasts until the next boot; a line in"
        yield "/etc/sysctl.d/60-livefeed.conf keeps it."


def _finding(finding: Finding, painter: Painter) -> Iterator[str]:
    first, *others = _wrapped(printable(finding.text), COLUMNS - _INDENT)
    level = painter.paint(finding.level, _COLOURS[finding.level]) + " " * (_LEVEL - len(finding.level))
    yield f"  {level}{finding.subject:<{_SUBJECT}}{first}"
    for line in others:
        yield " " * _INDENT + line
    if finding.mend:
        # A command is not broken: it is to be copied.
        mend = printable(finding.mend)
        room = COLUMNS - 2 - _LEVEL - len("mend: ")
        lines = _wrapped(mend, room) if len(mend) > room else [mend]
        for number, line in enumerate(lines):
            head = painter.paint("mend:", "faint") + " " if number == 0 else " " * len("mend: ")
            yield " " * (2 + _LEVEL) + head + line


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]


def _summary(levels: Sequence[Level]) -> str:
    counts = [(level, levels.count(level)) for level in reversed(LEVELS) if level != "ok"]
    shown = [f"{count} {level}{'' if count == 1 else 's'}" for level, count in counts if count]
    return f"{', '.join(shown)}." if shown else "Nothing limits livefeed here."
