"""The text of ``livefeed ctl overlay``: which values are overlaid, what the source has there, and what does not fit.

Rule: an entry that changes nothing is never shown as if it did.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from livefeed.cli.desk_text import short
from livefeed.cli.tables import count, printable
from livefeed.cli.times import clock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from livefeed.cli.tables import Colour, Painter

MAX_VALUE = 60
"""Characters of a value that are shown."""

MAX_PLACES = 3
"""Values of one entry that are shown; of the others, the number is."""

_VERBS = {"set": "set to", "add": "set to", "remove": "removed"}


def entries_of(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Gives the entries of the overlay in the report of a feed."""
    return [each for each in report.get("overlay") or [] if isinstance(each, dict)]


def overlay_lines(report: dict[str, Any], painter: Painter, now: datetime, end: str = "") -> list[str]:
    """Gives the lines about all entries.

    :param report: the report of a feed.
    :param end: the end of the command lines that are proposed, with the options that choose this livefeed.
    """
    entries, feed = entries_of(report), short(report.get("feed"))
    if not entries:
        return [f"{painter.paint(feed, 'strong')}: no overlay. The document is that of the source, byte for byte."]
    wrong = sum(_is_wrong(each) for each in entries)
    head = f"{painter.paint(feed, 'strong')}: {_number(len(entries), 'entry', 'entries')} in the overlay"
    if wrong:
        head += painter.paint(f", {_number(wrong, 'does', 'do')} not fit the source's document", "warning")
    lines = [f"{head}."]
    for entry in entries:
        lines += ["", *entry_lines(entry, painter, now)]
    drop = command_line(feed, "drop", str(entries[0].get("pointer")))
    return [*lines, "", f"Undo one: {painter.paint(drop + end, 'strong')}"]


def entry_lines(entry: dict[str, Any], painter: Painter, now: datetime) -> list[str]:
    """Gives the lines about one entry: its pointer and value, the values that it hides, and why it does not fit."""
    verb = _VERBS.get(str(entry.get("action")), short(entry.get("action")))
    value = f" {_value(entry['value'])}" if entry.get("value") is not None else ""
    lines = [f"{painter.paint(_pointer(entry.get('pointer')), 'strong')}  {verb}{value}"]
    lines += [f"  {painter.paint(text, colour)}" for text, colour in _facts(entry, now)]
    return lines


def changed_lines(report: dict[str, Any], pointer: str, painter: Painter, now: datetime) -> list[str]:
    """Gives the lines about the entry that a command has just made."""
    for entry in entries_of(report):
        if entry.get("pointer") == pointer:
            return entry_lines(entry, painter, now)
    return []


def command_line(feed: str, action: str, pointer: str) -> str:
    """Gives the command line for one entry, as a shell reads it."""
    return printable(shlex.join(["livefeed", "ctl", "overlay", feed, action, pointer]))


def _facts(entry: dict[str, Any], now: datetime) -> Iterator[tuple[str, Colour]]:
    changes, places = entry.get("changes"), entry.get("places") or []
    own = entry.get("pointer")
    for place in places[:MAX_PLACES]:
        hidden = place.get("hidden")
        text = "the source has no such member" if hidden is None else f"the source has {_value(hidden)}"
        yield (text if place.get("pointer") == own else f"at {_pointer(place.get('pointer'))}, {text}"), "plain"
    if isinstance(changes, int) and changes > len(places[:MAX_PLACES]):
        yield f"and {_number(changes - len(places[:MAX_PLACES]), 'other value', 'other values')}", "plain"
    for conflict in (entry.get("conflicts") or [])[:MAX_PLACES]:
        text = f"does not fit: {short(conflict.get('why'))}"
        where = conflict.get("pointer")
        yield (text if where == own else f"at {_pointer(where)}, {text}"), "warning"
    if changes == 0:
        yield "CHANGES NOTHING: watchers are shown what the source has", "warning"
    elif changes is None:
        yield "not tried yet: no document was pulled since", "warning"
    if entry.get("expected") is not None:
        yield f"only while the source has {_value(entry['expected'])}", "plain"
    yield _origin(entry, now), "faint"


def _origin(entry: dict[str, Any], now: datetime) -> str:
    text = f"by {short(entry.get('by') or '-')}"
    if entry.get("at"):
        text += f", since {clock(entry['at'], now)}"
    return f"{text}: {short(entry['reason'])}" if entry.get("reason") else text


def _is_wrong(entry: dict[str, Any]) -> bool:
    return entry.get("changes") == 0 or bool(entry.get("conflicts"))


def _pointer(text: object) -> str:
    return short(text) if text else "the whole document"


def _value(text: object) -> str:
    line = short(text)
    return line if len(line) <= MAX_VALUE else f"{line[:MAX_VALUE]}..."


def _number(number: int, one: str, several: str) -> str:
    return f"{count(number)} {one if number == 1 else several}"
