"""The screen of ``livefeed watch``: the document with its changes, redrawn in place."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
from rich.cells import cell_len
from rich.console import Console, Group
from rich.text import Text

from livefeed.cli.changes import Change, Piece, changes, lines_of
from livefeed.cli.tables import duration, held_back, printable
from livefeed.client.update import Line, State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from livefeed.client.update import Update

HIGHLIGHT_S = 3.0
"""The time in seconds for which a change is marked."""

_CONTEXT = 3
_SPARE_FACTS = (4, 2, 5)
"""The facts of the first row that are left out on a narrow terminal, in this order: bytes, delay, version."""

_STYLES = {State.LIVE: "bold green", State.STALE: "bold yellow", State.HELD: "bold yellow", State.ENDED: "bold"}
_TRANSPORTS = {
    Line.OPEN: "WebSocket",
    Line.POLLING: "polling",
    Line.CONNECTING: "connecting",
    Line.OFFLINE: "offline",
    Line.CLOSED: "closed",
}


@dataclass(slots=True)
class Screen:
    """The content of the screen.

    :param url: the URL of the document.
    :param console: the terminal.
    """

    # required parameters
    url: str
    console: Console

    # internal state
    _update: Update[Any] | None = None
    _delay_s: float | None = None
    _marks: dict[str, tuple[str, float]] = field(default_factory=dict)
    _lines: list[list[Piece]] = field(default_factory=list)
    _width: int = 0
    _numbers: list[int] = field(default_factory=list)  # the lines that are shown of a document that does not fit

    def take(self, update: Update[Any], now: float) -> list[Change]:
        """Takes an update.

        :param now: seconds, by a monotonic clock.
        :returns: the changes since the version before.
        """
        last, self._update = self._update, update
        if update.content is None:
            self._lines, self._marks = [], {}
            return []
        if last is not None and last.content == update.content:
            return []
        self._delay_s = update.age_s
        self._width = 0
        if last is None or last.content is None:
            return []
        found = changes(last.data, update.data)
        self._marks = {place: mark for place, mark in self._marks.items() if now - mark[1] < HIGHLIGHT_S}
        for change in found:
            self._marks[change.pointer] = _style_of(change), now
        return found

    def render(
        self,
        age_s: float | None,
        received_bytes: int,
        now: float,
        height: int | None = None,
        waiting_s: float | None = None,
    ) -> Group:
        """Gives the content.

        :param age_s: the age of the document now.
        :param received_bytes: the size of everything that has been received.
        :param now: seconds, by a monotonic clock.
        :param height: the number of rows; ``None`` for as many as the document has.
        :param waiting_s: the time for which a newer document has been held back now; ``None`` if none waits.
        """
        width = self.console.width
        head = [self._head(age_s, received_bytes, width)]
        update = self._update
        said = held_back(waiting_s, "" if update is None else update.reason)
        if said:
            head.append(_row(Text(said, "yellow"), width))
        if update is not None and update.problem:
            head.append(_row(Text(printable(update.problem), "yellow"), width))
        head.append(Text("─" * width if _is_utf8(self.console) else "-" * width, "dim"))
        if update is None or update.content is None:
            return Group(*head, Text(_why_empty(update), "dim"))
        if self._width != width:
            self._lines, self._width = lines_of(update.data, width), width
        rows = len(self._lines) if height is None else max(1, height - len(head))
        return Group(*head, *self._window(rows, now, width))

    def _head(self, age_s: float | None, received_bytes: int, width: int) -> Text:
        update = self._update
        if update is None:
            return _row(Text.assemble((printable(self.url), "bold"), "  connecting"), width)
        # The state comes first: on a narrow terminal the end is cut, after the facts that matter least were left out.
        facts = [
            (printable(update.state_name), _STYLES.get(update.state, "bold red")),
            (f"age {duration(age_s)}", ""),
            (f"delay {'-' if self._delay_s is None else f'{self._delay_s * 1000:.0f} ms'}", ""),
            (_TRANSPORTS[update.line], "bold red" if update.line is Line.OFFLINE else ""),
            (f"{received_bytes:,} bytes", ""),
            (f"version {(update.version or '-')[:8]}", "dim"),
            (printable(self.url), "dim"),
        ]
        spare = [facts[number] for number in _SPARE_FACTS]
        while spare and sum(cell_len(fact) + 2 for fact, _ in facts) - 2 > width:
            facts.remove(spare.pop(0))
        return _row(Text("  ").join(Text(*fact) for fact in facts), width)

    def _window(self, rows: int, now: float, width: int) -> list[Text]:
        lines = self._lines
        if len(lines) <= rows:
            return [self._line(line, now, width) for line in lines]
        rows = max(1, rows - 1)
        places = [(number, place) for number, line in enumerate(lines) if (place := self._changed_in(line, now))]
        changed = [number for number, _ in places]
        if changed and changed[-1] - changed[0] < rows:
            if not self._shows(rows) or not set(changed) <= set(self._numbers):
                top = min(changed[0], max(changed[0] - _CONTEXT, changed[-1] + 1 - rows, 0), len(lines) - rows)
                self._numbers = [*range(top, top + rows)]
        elif changed:
            self._numbers = _chosen(places, len(lines), rows)
        elif not self._shows(rows):
            self._numbers = [*range(rows)]
        return [*self._rows(now, width), _row(Text(self._summary(changed), "dim"), width)]

    def _shows(self, rows: int) -> bool:
        """Tells whether the lines that were shown last can be shown again."""
        return bool(self._numbers) and self._numbers[-1] < len(self._lines) and _height_of(self._numbers) <= rows

    def _rows(self, now: float, width: int) -> Iterator[Text]:
        """Gives the lines that are shown, and a row for each place where others are left out."""
        before, last = -1, ""
        is_whole = _is_whole(self._numbers)
        for number in self._numbers:
            if number != before + 1 and not is_whole:
                gap = "…" if _is_utf8(self.console) else "..."
                place = self._place_of(number)
                yield _row(Text(f"{gap} {printable(place)}".rstrip() if place != last else gap, "dim"), width)
                last = place
            yield self._line(self._lines[number], now, width)
            before = number

    def _place_of(self, number: int) -> str:
        """Gives the pointer of the object or array in which the first value from a line on is."""
        for line in self._lines[number:]:
            pointer = next((piece.pointer for piece in line if piece.pointer), "")
            if pointer:
                # An object or an array that is on one line with its members is in another one.
                levels = 2 if any(piece.pointer is None and piece.text in ("[", "{") for piece in line) else 1
                return pointer.rsplit("/", levels)[0]
        return ""

    def _summary(self, changed: list[int]) -> str:
        """Says what of a document that does not fit is shown, and how to see less."""
        first, last = self._numbers[0] + 1, self._numbers[-1] + 1
        total = f"{len(self._lines):,}"
        if _is_whole(self._numbers):
            return f"lines {first} to {last} of {total}; see also --diff, and URL#/pointer"
        shown = len(set(changed) & set(self._numbers)) if changed else len(self._numbers)
        counted = f"{shown} of {len(changed):,} changed lines, of {total}" if changed else f"{shown} of {total} lines"
        return f"{counted}; see also --diff, and URL#/pointer"

    def _changed_in(self, line: list[Piece], now: float) -> str:
        """Gives the pointer of a value in a line that has changed; ``""`` for none."""
        return next((piece.pointer or "/" for piece in line if self._mark(piece, now)), "")

    def _mark(self, piece: Piece, now: float) -> str:
        """Gives the style of a piece whose value, or a value above it, has changed."""
        place = piece.pointer
        while place is not None:
            style, changed_at = self._marks.get(place, ("", 0.0))
            if style and now - changed_at < HIGHLIGHT_S:
                return style
            place = place.rpartition("/")[0] if place else None
        return ""

    def _line(self, line: list[Piece], now: float, width: int) -> Text:
        text = Text()
        for piece in line:
            text.append(piece.text, self._mark(piece, now) or ("cyan" if piece.is_name else ""))
        return _row(text, width)


def _style_of(change: Change) -> str:
    """Gives the style of a change: numbers that rise or fall, and others. Each is visible without colours, too."""
    old, new = _number(change.old), _number(change.new)
    if old is None or new is None or old == new:
        return "bold yellow"
    return "bold green" if new > old else "bold red"


def _number(value: Any) -> Decimal | None:
    if not isinstance(value, msgspec.Raw):
        return None
    try:
        return Decimal(bytes(value).decode())
    except InvalidOperation:
        return None


def _chosen(places: list[tuple[int, str]], count: int, rows: int) -> list[int]:
    """Chooses lines of which some have changed, far from each other.

    Each member of the document has its turn, so that one that changes always does not hide the others; lines that are
    next to a change fill the rows that remain.

    :param places: the numbers of the lines that have changed, each with the pointer of a value in it.
    :param count: the number of lines.
    :param rows: the number of rows.
    """
    turns: dict[str, int] = {}
    order = []
    for number, place in places:
        member = place.split("/")[1]
        turns[member] = turns.get(member, 0) + 1
        order.append((turns[member], number))
    changed = [number for _, number in sorted(order)[:rows]]
    around = (number + step for distance in range(1, rows) for number in changed for step in (-distance, distance))
    chosen: list[int] = []
    for number in (*changed, *around):
        if 0 <= number < count and number not in chosen:
            larger = sorted([*chosen, number])
            if _height_of(larger) > rows and chosen:
                break
            chosen = larger
    # One line takes the row that would say that it is left out.
    between = [number - 1 for before, number in pairwise([-1, *chosen]) if number == before + 2]
    return sorted([*chosen, *between])


def _height_of(numbers: list[int]) -> int:
    """Gives the rows that lines need, with those for the lines that are left out before and between them."""
    if _is_whole(numbers):
        return len(numbers)
    gaps = sum(number != before + 1 for before, number in pairwise([-1, *numbers]))
    return len(numbers) + gaps


def _is_whole(numbers: list[int]) -> bool:
    """Tells whether lines follow each other, without others between them."""
    return numbers[-1] - numbers[0] + 1 == len(numbers)


def _row(text: Text, width: int) -> Text:
    """Gives a text that takes one row."""
    if cell_len(text.plain) > width:
        text.truncate(width, overflow="ellipsis")
    text.no_wrap = True
    return text


def _why_empty(update: Update[Any] | None) -> str:
    if update is None or update.state is State.WAITING:
        return "There is no document yet."
    return {
        State.EXPIRED: "The document is too old to be shown.",
        State.WITHDRAWN: "The document has been withdrawn.",
        State.MISSING: "The document has no such part now.",
    }.get(update.state, "There is no document.")


def _is_utf8(console: Console) -> bool:
    return console.encoding.lower().startswith("utf")
