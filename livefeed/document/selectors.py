"""Selectors: JSON Pointers (RFC 6901) that may name several values, and elements of arrays by a member of theirs.

Each segment of a selector is one of these:

    votes           the member ``votes``, or in an array the element with this index
    *               each member, or each element
    {name=North}    in an array, the element whose member ``name`` is ``North``
    {name=*}        in an array, each element that has a member ``name``, known by this member and not by its index

The escapes of RFC 6901 are valid everywhere, ``~0`` for ``~`` and ``~1`` for ``/``. Three more write a character that
would have a meaning: ``~2`` for ``*``, ``~3`` for ``{``, ``~4`` for ``=``. So a JSON Pointer is a selector of one
value, except if a segment is ``*`` or begins with ``{``.

Rule: this file reads selectors, and :mod:`livefeed.document.matches` finds values with them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_TOKENS = 32
"""The largest number of segments of a selector. It bounds the work of finding values: each segment reads a level."""

MAX_SELECTOR_CHARACTERS = 1024
"""The largest number of characters of a selector. The pointers of real documents have less than a hundred."""

_BAD_ESCAPE = re.compile(r"~(?![0-4])")
_ESCAPES = {"~0": "~", "~1": "/", "~2": "*", "~3": "{", "~4": "="}
_ESCAPE = re.compile("~[0-4]")

Path = tuple[str, ...]
"""Segments of a selector that name one value. Two values of two documents with the same path belong together."""


class SelectorError(ValueError):
    """A selector is malformed. The message is for operators, and names the character."""


@dataclass(frozen=True, slots=True)
class Name:
    """The member of this name; in an array, the element of this index."""

    name: str


@dataclass(frozen=True, slots=True)
class Each:
    """Each member, or each element."""


@dataclass(frozen=True, slots=True)
class Element:
    """The element of an array whose member has this value, as :func:`.matches.key_of` gives it."""

    member: str
    value: str


@dataclass(frozen=True, slots=True)
class EachNamed:
    """Each element of an array that has this member, and is known by its value, as :func:`.matches.key_of` gives it."""

    member: str


Token = Name | Each | Element | EachNamed


@dataclass(frozen=True, slots=True)
class Selector:
    """A selector.

    :ivar text: its text.
    :ivar tokens: the meaning of each segment.
    """

    text: str
    tokens: tuple[Token, ...]

    @property
    def is_single(self) -> bool:
        """Whether it names one value at most, provided that no two elements have the same name."""
        return all(isinstance(token, Name | Element) for token in self.tokens)


def parse_selector(text: str) -> Selector:
    """Reads a selector.

    :param text: the empty text for the whole document, or segments that each begin with a slash.
    :raises SelectorError: if *text* is no selector, or exceeds a limit. The message names the character, from 1 on.
    """
    if len(text) > MAX_SELECTOR_CHARACTERS:
        raise SelectorError(f"it has {len(text)} characters, and {MAX_SELECTOR_CHARACTERS} are the most")
    if not text:
        return Selector(text, ())
    if not text.startswith("/"):
        raise SelectorError("it does not begin with a slash, as in /districts/0/votes")
    segments = text.split("/")[1:]
    if len(segments) > MAX_TOKENS:
        raise SelectorError(f"it has {len(segments)} segments, and {MAX_TOKENS} are the most")
    tokens: list[Token] = []
    position = 2
    for segment in segments:
        tokens.append(_token(segment, position))
        position += len(segment) + 1
    return Selector(text, tuple(tokens))


def _token(segment: str, position: int) -> Token:
    """Gives the meaning of a segment.

    :param position: the position of its first character in the selector, from 1 on.
    """
    bad = _BAD_ESCAPE.search(segment)
    if bad is not None:
        why = "no digit from 0 to 4 follows the ~: a ~ is written ~0, a / is ~1, a * is ~2, a { is ~3, and a = is ~4"
        raise SelectorError(f"at character {position + bad.start()}, {why}")
    if segment == "*":
        return Each()
    if not segment.startswith("{"):
        return Name(_unescape(segment))
    member, equals, value = segment[1:-1].partition("=")
    if not segment.endswith("}") or not equals or not member:
        why = "the { begins no {member=value} or {member=*}; in a name it is written ~3"
        raise SelectorError(f"at character {position}, {why}")
    if value == "*":
        return EachNamed(_unescape(member))
    return Element(_unescape(member), _unescape(value))


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda found: _ESCAPES[found[0]], text) if "~" in text else text


def name_segment(name: str) -> str:
    """Gives the segment that stands for a member of this name."""
    if name == "*":
        return "~2"
    segment = name.replace("~", "~0").replace("/", "~1")
    return f"~3{segment[1:]}" if segment.startswith("{") else segment


def element_segment(member: str, value: str) -> str:
    """Gives the segment that stands for the element whose member has this value."""
    member = member.replace("~", "~0").replace("/", "~1").replace("=", "~4")
    value = "~2" if value == "*" else value.replace("~", "~0").replace("/", "~1")
    return f"{{{member}={value}}}"


def text_of(path: Path) -> str:
    """Gives the selector with these segments."""
    return "".join(f"/{segment}" for segment in path)
