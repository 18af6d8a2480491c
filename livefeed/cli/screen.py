"""The screen of ``livefeed watch``: the document with its changes, redrawn in place."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import msgspec
from rich.cells import cell_len
from rich.console import Console, Group
from rich.text import Text

from livefeed.cli.changes import Change, Piece, changes, lines_of
from livefeed.cli.tables import duration, held_back, printable
from livefeed.client.update import Line, State

if TYPE_CHECKING:
    from livefeed.client.update import Update

HIGHLIGHT_S = 3.0
"""The time in seconds for which a change is marked."""

_CONTEXT = 3
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
    _top: int = 0
    _first_change: int | None = None

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
        facts = [
            (printable(update.state_name), _STYLES.get(update.state, "bold red")),
            (f"age {duration(age_s)}", ""),
            (f"delay {'-' if self._delay_s is None else f'{self._delay_s * 1000:.0f} ms'}", ""),
            (_TRANSPORTS[update.line], "bold red" if update.line is Line.OFFLINE else ""),
            (f"{received_bytes:,} bytes", ""),
            (f"version {(update.version or '-')[:8]}", "dim"),
        ]
        text = Text()
        # The state comes first: on a narrow terminal the end is cut.
        text.append(*facts[0])
        for fact, style in facts[1:]:
            text.append("  ")
            text.append(fact, style)
        text.append(f"  {printable(self.url)}", "dim")
        return _row(text, width)

    def _window(self, rows: int, now: float, width: int) -> list[Text]:
        lines = self._lines
        if len(lines) <= rows:
            return [self._line(line, now, width) for line in lines]
        rows = max(1, rows - 1)
        changed = [number for number, line in enumerate(lines) if any(self._mark(piece, now) for piece in line)]
        if changed and not any(self._top <= number < self._top + rows for number in changed):
            self._top = max(0, changed[0] - _CONTEXT)
        self._top = max(0, min(self._top, len(lines) - rows))
        end = self._top + rows
        shown = [self._line(line, now, width) for line in lines[self._top : end]]
        return [*shown, _row(Text(f"lines {self._top + 1} to {end} of {len(lines):,}", "dim"), width)]

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
