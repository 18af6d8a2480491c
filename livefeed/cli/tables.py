"""Text for terminals and pipes: tables with aligned columns, colours where they are wanted, and escaped characters."""

from __future__ import annotations

import os
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import TextIO

Colour = Literal["plain", "good", "warning", "bad", "faint", "strong"]

_CODES: dict[Colour, str] = {"good": "32", "warning": "33", "bad": "31", "faint": "2", "strong": "1"}

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400
_MAX_DEPTH = 8
_GAP = 2

_LEAST_COLUMNS = 40
"""Narrower terminals are taken for this wide: text in fewer columns cannot be read."""

_USUAL_COLUMNS = 80
"""The width of a terminal that does not tell it."""


def wants_colour(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Tells whether a stream is a terminal that shows colours, and whose user wants them (no-color.org)."""
    return stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


def columns_of(stream: TextIO) -> int | None:
    """Gives the width of a terminal in characters; ``None`` for files and pipes, whose lines have any length."""
    if not stream.isatty():
        return None
    chosen = os.environ.get("COLUMNS", "")
    try:
        columns = int(chosen) if chosen.isdecimal() else os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):  # a stream without a descriptor, or a number of many digits
        columns = _USUAL_COLUMNS
    return max(columns, _LEAST_COLUMNS)


@dataclass(frozen=True, slots=True)
class Cell:
    """The text of one place in a table.

    :ivar text: the text; characters that cannot be printed are escaped.
    :ivar colour: its colour.
    :ivar is_right: whether it is aligned to the right, as numbers are.
    """

    text: str
    colour: Colour = "plain"
    is_right: bool = False


@dataclass(frozen=True, slots=True)
class Painter:
    """Makes lines of text.

    :ivar in_colour: whether colours are wanted.
    :ivar columns: the largest number of characters of a line; ``None`` for any.
    """

    in_colour: bool
    columns: int | None = None

    @classmethod
    def of(cls, stream: TextIO) -> Painter:
        """Makes one for a stream, by what the stream is, and what its user wants."""
        return cls(wants_colour(stream, os.environ), columns_of(stream))

    def paint(self, text: str, colour: Colour) -> str:
        """Gives a text in a colour."""
        code = _CODES.get(colour)
        return f"\x1b[{code}m{text}\x1b[0m" if self.in_colour and code and text else text

    def fold(self, text: str, colour: Colour = "plain", indent: int = 0) -> list[str]:
        """Gives the lines of a text, folded between its words.

        :param text: one line, without control characters.
        :param indent: the number of blanks in front of each line but the first.
        """
        if self.columns is None:
            return [self.paint(text, colour)]
        first, *others = textwrap.wrap(
            text, self.columns, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
        ) or [""]
        return [
            self.paint(first, colour),
            *(f"{' ' * indent}{self.paint(line[indent:], colour)}" for line in others),
        ]

    def table(
        self, heads: Sequence[Cell], rows: Iterable[Sequence[Cell]], dispensable: Sequence[int] = ()
    ) -> list[str]:
        """Gives the lines of a table, with two blanks between its columns.

        :param dispensable: the places of columns that are left out, one after the other, while a line is too long.
        """
        lines = [list(heads), *map(list, rows)]
        widths = {column: max(len(printable(line[column].text)) for line in lines) for column in range(len(heads))}
        for column in dispensable:
            if self.columns is None or sum(widths.values()) + _GAP * (len(widths) - 1) <= self.columns:
                break
            del widths[column]
        text = []
        for line in lines:
            cells = []
            for column, width in widths.items():
                cell = line[column]
                shown = printable(cell.text)
                padding = " " * (width - len(shown))
                painted = self.paint(shown, cell.colour)
                cells.append(padding + painted if cell.is_right else painted + padding)
            text.append((" " * _GAP).join(cells).rstrip())
        return text


def printable(text: str) -> str:
    """Gives a text with its control characters escaped: terminals obey them."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def count(number: float | None) -> str:
    """Gives a whole number with a comma between the thousands; a dash for none."""
    return "-" if number is None else f"{number:,.0f}"


def counted(number: int, noun: str) -> str:
    """Gives a number of things, such as ``1 version`` and ``1,200 versions``."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float | None) -> str:
    """Gives a duration in its two largest units; a dash for none."""
    if seconds is None:
        return "-"
    if seconds < _MINUTE_S:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S} s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S} min"
    days = whole // _DAY_S
    return f"{days} day{'' if days == 1 else 's'} {whole % _DAY_S // _HOUR_S} h"


def held_back(waiting_s: float | None, reason: str) -> str:
    """Says for how long a newer document has waited, and why a feed is in its state; ``""`` without both."""
    waits = "" if waiting_s is None else f"a newer version has been waiting for {duration(waiting_s)}"
    return ": ".join(filter(None, (waits, printable(reason))))


def outline(report: Any, depth: int = 0) -> list[str]:
    """Gives a report of any shape as indented lines."""
    indent = "  " * depth
    if depth > _MAX_DEPTH or not isinstance(report, dict | list):
        return [f"{indent}{_scalar(report)}"]
    lines: list[str] = []
    for name, value in report.items() if isinstance(report, dict) else ((None, each) for each in report):
        is_deep = isinstance(value, dict | list) and bool(value)
        if name is None:
            if is_deep and lines:
                lines.append("")
            lines += outline(value, depth) if is_deep else [f"{indent}{_scalar(value)}"]
        elif is_deep:
            lines += [f"{indent}{printable(str(name)).replace('_', ' ')}:", *outline(value, depth + 1)]
        else:
            lines.append(f"{indent}{printable(str(name)).replace('_', ' ')}: {_scalar(value)}")
    return lines


def _scalar(value: Any) -> str:
    if value is None or value in ([], {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return printable(str(value))
