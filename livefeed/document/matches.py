"""The values that selectors find in a document.

Rule: a value is found and never converted. Its bytes are those of the document.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import msgspec

from livefeed.document.pointer import index_of
from livefeed.document.selectors import (
    Each,
    EachNamed,
    Name,
    Path,
    Selector,
    SelectorError,
    Token,
    element_segment,
    name_segment,
)

MAX_MATCHES = 65_536
"""The largest number of values that a selector finds in one document. It bounds memory, at some 300 bytes for each."""

MAX_KEY_BYTES = 512
"""The largest number of bytes in a member, as it stands in the document, that an element is known by. A longer one is
no name: it would be repeated in the pointer to each value below."""

_WHITE_SPACE = b" \t\r\n"

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_elements = msgspec.json.Decoder(list[msgspec.Raw])
_text = msgspec.json.Decoder(str)


@lru_cache(maxsize=64)  # the names of members that selectors use; each takes some KB
def _members_of(member: str) -> msgspec.json.Decoder[Any]:
    """Gives a decoder of arrays of objects, which reads nothing of these but one member, as ``value``."""
    fields: list[Any] = [("value", msgspec.Raw | msgspec.UnsetType, msgspec.UNSET)]
    return msgspec.json.Decoder(list[msgspec.defstruct("Element", fields, rename={"value": member})])  # type: ignore[misc]


Level = dict[str, msgspec.Raw] | list[msgspec.Raw] | None
"""The members or elements of a value; ``None`` for a value without any."""


class MatchError(SelectorError):
    """A selector cannot be followed in a document. The message is for operators."""


@dataclass(frozen=True, slots=True)
class Match:
    """A value that a selector has found.

    :ivar path: the segments of a selector of this value alone. Elements of arrays have the names by which the selector
        found them.
    :ivar tokens: the reference tokens of RFC 6901 that lead to it, with an index for each element.
    :ivar value: its bytes in the document.
    """

    path: Path
    tokens: tuple[str, ...]
    value: msgspec.Raw

    def below(self, segment: str, token: str, value: msgspec.Raw) -> Match:
        """Gives a value in this one."""
        return Match((*self.path, segment), (*self.tokens, token), value)


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that a selector has found in a document, in the document's order.

    :ivar matches: the values.
    :ivar missing: the paths on which it found nothing further: a member or an element that the selector names, and that
        is not there. A :class:`.selectors.EachNamed` stays as it is in the path of an element without the member.
    """

    matches: list[Match]
    missing: list[Path]


def key_of(value: msgspec.Raw | bytes) -> str | None:
    """Gives the text by which an element is known, if this is the value of its member.

    :returns: a string as it reads, without quotes and escapes; a number, ``true``, ``false`` and ``null`` as they stand
        in the document, so that ``7`` and ``"7"`` are the same name; ``None`` for an object, an array, and a value of
        more than :data:`MAX_KEY_BYTES`.
    """
    text = bytes(value)
    if len(text) > MAX_KEY_BYTES or text.startswith((b"{", b"[")):
        return None
    return _text.decode(text) if text.startswith(b'"') else text.decode()


@dataclass(slots=True, eq=False)
class SelectorReader:
    """Finds values in one document. Each level is read once, when a selector first leads through it.

    :param data: a document that has passed the gate.
    """

    # required parameters
    data: bytes

    # internal state
    _levels: dict[tuple[str, ...], Level] = field(default_factory=dict)
    _names: dict[tuple[tuple[str, ...], str], list[str | None]] = field(default_factory=dict)

    def find(self, selector: Selector) -> Found:
        """Finds all values that a selector names.

        :raises MatchError: if there are more than :data:`MAX_MATCHES`, or the document cannot be read, for example
            because it is nested too deeply.
        """
        missing: list[Path] = []
        matches = [Match((), (), msgspec.Raw(self.data.strip(_WHITE_SPACE)))]
        try:
            for depth, token in enumerate(selector.tokens):
                # The segments as they were written, for a path that leads no further.
                rest = tuple(selector.text.split("/")[depth + 1 :])
                matches = self._step(matches, token, rest, missing)
        except RecursionError:
            raise MatchError("the document is nested too deeply for its values to be found") from None
        except msgspec.DecodeError as error:
            raise MatchError(f"the values of the document cannot be read: {error}") from None
        return Found(matches, missing)

    def _step(self, matches: list[Match], token: Token, rest: Path, missing: list[Path]) -> list[Match]:
        """Goes from values to those that the next token names in them."""
        below: list[Match] = []
        for match in matches:
            if not self._descend(match, token, below):
                missing.append(match.path + rest)
            if max(len(below), len(missing)) > MAX_MATCHES:
                raise MatchError(f"it names more than {MAX_MATCHES} values")
        return below

    def _descend(self, above: Match, token: Token, below: list[Match]) -> bool:
        """Adds the values that a token names in one value, and tells whether there is everything that it names."""
        level = self._level(above.tokens, above.value)
        if isinstance(token, Name):
            return _named(above, level, token.name, below)
        if isinstance(token, Each):
            if isinstance(level, dict):
                for name, value in level.items():
                    below.append(above.below(name_segment(name), name, value))
            for index, value in enumerate(level if isinstance(level, list) else ()):
                below.append(above.below(str(index), str(index), value))
            return level is not None
        if not isinstance(level, list):
            return False
        names = self._names_of(above, level, token.member)
        count = len(below)
        for index, key in enumerate(names):
            if key is not None and (isinstance(token, EachNamed) or key == token.value):
                below.append(above.below(element_segment(token.member, key), str(index), level[index]))
        return None not in names if isinstance(token, EachNamed) else len(below) > count

    def _names_of(self, match: Match, level: list[msgspec.Raw], member: str) -> list[str | None]:
        """Gives the name of each element of an array; ``None`` for one without a name."""
        kept = self._names.get((match.tokens, member))
        if kept is None:
            try:
                # 9,000 elements of 140 bytes take 4 ms like this, and 26 ms one by one.
                found = _members_of(member).decode(match.value)
                kept = [None if isinstance(each.value, msgspec.UnsetType) else key_of(each.value) for each in found]
            except ValueError:
                # An element is no object, or the decoder cannot look for a name with a quotation mark in it.
                kept = []
                for index, value in enumerate(level):
                    inner = self._level((*match.tokens, str(index)), value)
                    kept.append(key_of(inner[member]) if isinstance(inner, dict) and member in inner else None)
            self._names[match.tokens, member] = kept
        return kept

    def _level(self, tokens: tuple[str, ...], value: msgspec.Raw) -> Level:
        """Gives the members or elements of a value."""
        if tokens in self._levels:
            return self._levels[tokens]
        first = bytes(memoryview(value)[:1])
        level: Level = None
        if first == b"{":
            level = _members.decode(value)
        elif first == b"[":
            level = _elements.decode(value)
        self._levels[tokens] = level
        return level


def _named(above: Match, level: Level, name: str, below: list[Match]) -> bool:
    """Adds the member or element of this name, and tells whether there is one."""
    if isinstance(level, dict):
        if name in level:
            below.append(above.below(name_segment(name), name, level[name]))
            return True
    elif level is not None:
        index = index_of(name)
        if index is not None and index < len(level):
            below.append(above.below(name, name, level[index]))
            return True
    return False
