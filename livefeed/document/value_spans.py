"""Where values stand in the bytes of a document: the spans of members and elements, level by level.

Rule: this file finds places and never rewrites them. It reads documents that have not passed the gate: a level that two
parsers could read in different ways has no spans.

msgspec reads one level, and gives the bytes of each value below it without its place. The places follow from their
order, since only names, separators and white space stand in between.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from livefeed.document.exact_json import WHITE_SPACE

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_elements = msgspec.json.Decoder(list[msgspec.Raw])

_SPACE = re.compile(rb"[ \t\r\n]*+")
# What stands between two elements, and what stands from the end of a value to the next: a name, with its separators.
_COMMA = re.compile(rb"[ \t\r\n]*+,[ \t\r\n]*+")
_NAME = re.compile(rb'"(?:[^"\\]++|\\.)*+"[ \t\r\n]*+:[ \t\r\n]*+', re.DOTALL)


class Span(NamedTuple):
    """A place in the bytes of a document.

    :ivar start: the offset of its first byte.
    :ivar end: the offset behind its last byte.
    """

    start: int
    end: int


class Item(NamedTuple):
    """A member of an object, or an element of an array.

    :ivar start: the offset of its first byte: of a member's name, with the quotation mark.
    :ivar value: the offset of the first byte of its value.
    :ivar end: the offset behind its value.
    """

    start: int
    value: int
    end: int


@dataclass(frozen=True, slots=True)
class Level:
    """An object or array, and the places of everything directly in it.

    :ivar span: its own place.
    :ivar items: its members or elements, in their order.
    :ivar names: the index of each member by its name; ``None`` for an array.
    """

    span: Span
    items: tuple[Item, ...]
    names: dict[str, int] | None


@dataclass(slots=True, eq=False)
class SpanReader:
    """Finds the places of values in one document. Each level is read once, when it is first asked for.

    :param data: the bytes, which may be anything.
    """

    # required parameters
    data: bytes

    # internal state
    _read: dict[int, Level | None] = field(default_factory=dict)

    def root(self) -> Span:
        """Gives the place of the whole value, without the white space around it."""
        end = len(self.data.rstrip(WHITE_SPACE))
        return Span(min(_end_of_space(self.data, 0), end), end)

    def level(self, span: Span) -> Level | None:
        """Gives the object or array at a place.

        :param span: the place of a value.
        :returns: ``None`` if the value is neither, or cannot be read: it is malformed or nested too deeply, has a name
            twice, or a name with half of a surrogate pair.
        """
        if span.start not in self._read:
            self._read[span.start] = self._level(span)
        return self._read[span.start]

    def _level(self, span: Span) -> Level | None:
        text = self.data[span.start : span.end]
        names: dict[str, int] | None = None
        try:
            if text.startswith(b"{"):
                members = _members.decode(text)
                names = {name: index for index, name in enumerate(members)}
                values = list(members.values())
            elif text.startswith(b"["):
                values = _elements.decode(text)
            else:
                return None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        items = self._items(span, values, has_names=names is not None)
        return None if items is None else Level(span, tuple(items), names)

    def _items(self, span: Span, values: list[msgspec.Raw], *, has_names: bool) -> list[Item] | None:
        """Gives the places of the values of a level.

        :returns: ``None`` if they are not everything that stands there: a name is there twice, and only the last of its
            values was read.
        """
        data = self.data
        at = _end_of_space(data, span.start + 1)
        items: list[Item] = []
        for raw in values:
            if items:
                comma = _COMMA.match(data, at)
                if comma is None:
                    return None
                at = comma.end()
            start = at
            if has_names:
                name = _NAME.match(data, at)
                if name is None:
                    return None
                at = name.end()
            value = bytes(raw)
            end = at + len(value)
            # Without this, the values of a name that is there twice could be mistaken for each other.
            if data[at:end] != value:
                return None
            items.append(Item(start, at, end))
            at = end
        return items if _end_of_space(data, at) == span.end - 1 else None


def _end_of_space(data: bytes, at: int) -> int:
    space = _SPACE.match(data, at)
    assert space is not None
    return space.end()
