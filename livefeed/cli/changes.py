"""The values in which two versions of a document differ, and the lines of a document, for people."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from livefeed.cli.tables import printable
from livefeed.cli.until import ABSENT
from livefeed.document.pointer import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_CHANGES = 1000
"""The largest number of changes that are listed between two versions."""

MAX_LINES = 20_000
"""The largest number of lines of a document."""

MAX_TEXT = 2000
"""The largest number of characters of one value that are shown."""

_INDENT = 2
_MAX_DEPTH = 60


@dataclass(frozen=True, slots=True)
class Change:
    """A value that has changed.

    :ivar pointer: the place, as a JSON Pointer.
    :ivar old: the value before; ``ABSENT`` if there was none.
    :ivar new: the value now; ``ABSENT`` if there is none.
    """

    pointer: str
    old: Any
    new: Any

    def as_json(self) -> dict[str, Any]:
        """Gives the change as an object: ``path``, ``old`` if there was a value, and ``new`` if there is one."""
        values = {"old": self.old, "new": self.new}
        return {"path": self.pointer} | {name: value for name, value in values.items() if value is not ABSENT}


def changes(old: Any, new: Any) -> list[Change]:
    """Gives the values in which two versions differ, up to :data:`MAX_CHANGES`. Elements are paired by their index."""
    found: list[Change] = []
    _compare("", old, new, found, 0)
    return found


def _compare(pointer: str, old: Any, new: Any, found: list[Change], depth: int) -> None:
    if len(found) >= MAX_CHANGES or _is_same(old, new):
        return
    if depth < _MAX_DEPTH and isinstance(old, dict) and isinstance(new, dict):
        for name in [*new, *(each for each in old if each not in new)]:
            _compare(f"{pointer}/{escape(name)}", old.get(name, ABSENT), new.get(name, ABSENT), found, depth + 1)
    elif depth < _MAX_DEPTH and isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            one = old[index] if index < len(old) else ABSENT
            _compare(f"{pointer}/{index}", one, new[index] if index < len(new) else ABSENT, found, depth + 1)
    else:
        found.append(Change(pointer, old, new))


def _is_same(old: Any, new: Any) -> bool:
    return type(old) is type(new) and bool(old == new)


def text_of(value: Any) -> str:
    """Gives a value on one line, for a terminal: control characters are escaped, and long values cut."""
    if value is ABSENT:
        return "-"
    if isinstance(value, msgspec.Raw):
        text = bytes(value).decode()
    elif isinstance(value, dict | list) and value:
        text = _joined(value)
    else:
        text = json.dumps(value, ensure_ascii=False)
    text = printable(text[: MAX_TEXT + 1])
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


def _joined(value: Any) -> str:
    """Gives the beginning of an object or an array."""
    pieces: list[str] = []
    size = 0
    for piece in _pieces(value, 0):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_TEXT:
            break
    return "".join(pieces)


def _pieces(value: Any, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        yield "…"
    elif isinstance(value, dict):
        yield "{"
        for number, (name, member) in enumerate(value.items()):
            yield f"{', ' if number else ''}{json.dumps(name, ensure_ascii=False)}: "
            yield from _pieces(member, depth + 1)
        yield "}"
    elif isinstance(value, list):
        yield "["
        for number, element in enumerate(value):
            yield ", " if number else ""
            yield from _pieces(element, depth + 1)
        yield "]"
    elif isinstance(value, msgspec.Raw):
        yield bytes(value).decode()
    else:
        yield json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a line.

    :ivar text: the text, without control characters.
    :ivar pointer: the place of the value that it shows; ``None`` for names and punctuation.
    :ivar is_name: whether it is the name of a member.
    """

    text: str
    pointer: str | None = None
    is_name: bool = False


def lines_of(document: Any, width: int) -> list[list[Piece]]:
    """Gives the lines of a document, up to :data:`MAX_LINES`.

    An object or an array of plain values that fits into the width is on one line.

    :param width: the number of columns.
    """
    lines: list[list[Piece]] = []
    _write(document, "", [], "", 0, max(width, 20), lines)
    return lines


def _write(  # noqa: PLR0913, PLR0917 - the state of a recursion
    value: Any, pointer: str, head: list[Piece], tail: str, depth: int, width: int, lines: list[list[Piece]]
) -> None:
    if len(lines) >= MAX_LINES:
        return
    if not isinstance(value, dict | list) or not value or depth > _MAX_DEPTH:
        lines.append([*head, Piece(text_of(value), pointer), Piece(tail)])
        return
    members = [*value.items()] if isinstance(value, dict) else [*enumerate(value)]
    first, last = ("{", "}") if isinstance(value, dict) else ("[", "]")
    if not any(isinstance(member, dict | list) and member for _, member in members[:width]):
        inline = [*head, Piece(first)]
        size = sum(len(piece.text) for piece in inline)
        for number, (name, member) in enumerate(members):
            pieces = [*_name_of(name), Piece(text_of(member), _below(pointer, name))]
            size += sum(len(piece.text) for piece in pieces) + 2
            if size > width:
                break
            inline += [Piece(", ")] * bool(number) + pieces
        else:
            lines.append([*inline, Piece(last + tail)])
            return
    lines.append([*head, Piece(first)])
    indent = Piece(" " * _INDENT * (depth + 1))
    for number, (name, member) in enumerate(members):
        comma = "," if number + 1 < len(members) else ""
        _write(member, _below(pointer, name), [indent, *_name_of(name)], comma, depth + 1, width, lines)
    lines.append([Piece(" " * _INDENT * depth + last + tail)])


def _below(pointer: str, name: str | int) -> str:
    return f"{pointer}/{name if isinstance(name, int) else escape(name)}"


def _name_of(name: str | int) -> list[Piece]:
    if isinstance(name, int):
        return []
    return [Piece(text_of(name), is_name=True), Piece(": ")]
