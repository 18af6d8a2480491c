"""The values that a selector finds in two documents, as far as they differ.

Rule: equal bytes are not looked into. From tick to tick, few elements of a long list change: for 1 MB with 7,000 rows
of which 2 % change, this takes 6 ms, and to look at every row 60 ms.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

import msgspec

from livefeed.document.matches import MAX_MATCHES, MatchError, key_of
from livefeed.document.pointer import index_of
from livefeed.document.selectors import Each, Element, Name, element_segment, name_segment

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from livefeed.document.selectors import EachNamed, Path, Selector, Token

_WHITE_SPACE = b" \t\r\n"

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_elements = msgspec.json.Decoder(list[msgspec.Raw])

Values = list[bytes]
"""The values of one path in one document: one; or several, if elements have the same name."""

_Level = dict[str, bytes] | list[bytes] | None


@dataclass(frozen=True, slots=True)
class Pair:
    """The values of one path that differ.

    :ivar path: the segments of a selector of these values.
    :ivar old: the values in the old document; empty if it has none.
    :ivar new: the values in the new document; empty if it has none.
    :ivar depth: the number of the selector's segments that lead to something in the new document.
    """

    path: Path
    old: Values
    new: Values
    depth: int


@dataclass(slots=True)
class Pairs:
    """All differences that a selector leads to.

    :ivar pairs: the values that differ.
    :ivar missing: the paths on which the new document has nothing further; as in :class:`.matches.Found`, but not below
        values that are the same in both documents.
    """

    pairs: list[Pair] = field(default_factory=list)
    missing: list[Path] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Below:
    """The values below those of one path.

    :ivar children: the values that may differ, by their segments.
    :ivar is_complete: whether the new document has everything that the token names.
    """

    children: Sequence[tuple[str, Values, Values]]
    is_complete: bool


@dataclass(slots=True, eq=False)
class PairReader:
    """Finds differences between two documents. Each level is read once.

    :param old: the old document; ``None`` for none. What cannot be read of it counts as missing.
    :param new: the new document, which has passed the gate.
    """

    # required parameters
    old: bytes | None
    new: bytes

    # internal state
    _roots: tuple[Values, Values] | None = None
    # By the ids of values, which are kept: to hash a large value takes longer than to read it.
    _levels: dict[int, tuple[bytes, _Level]] = field(default_factory=dict)
    _known: dict[tuple[int, int, Token], tuple[Values, Values, _Below]] = field(default_factory=dict)
    _found: dict[str, Pairs] = field(default_factory=dict)

    def find(self, selector: Selector) -> Pairs:
        """Finds all differences that a selector leads to.

        :raises MatchError: if there are more than :data:`.matches.MAX_MATCHES`, or the new document cannot be read.
        """
        found = self._found.get(selector.text)
        if found is None:
            if self._roots is None:
                old = [] if self.old is None else [self.old.strip(_WHITE_SPACE)]
                self._roots = old, [self.new.strip(_WHITE_SPACE)]
            found = Pairs()
            self._walk(selector, _Place((), 0), *self._roots, found)
            self._found[selector.text] = found
        return found

    def _walk(self, selector: Selector, place: _Place, old: Values, new: Values, found: Pairs) -> None:
        """Goes on from the values of a path."""
        if old == new:
            return
        path = place.path
        depth = len(path) if new else place.depth
        if len(path) == len(selector.tokens):
            found.pairs.append(Pair(path, old, new, depth))
        else:
            below = self._below(old, new, selector.tokens[len(path)])
            if new and not below.is_complete:
                found.missing.append((*path, *selector.text.split("/")[len(path) + 1 :]))
            for segment, olds, news in below.children:
                self._walk(selector, _Place((*path, segment), depth), olds, news, found)
        if max(len(found.pairs), len(found.missing)) > MAX_MATCHES:
            raise MatchError(f"it names more than {MAX_MATCHES} values")

    def _below(self, old: Values, new: Values, token: Token) -> _Below:
        """Gives the values below. Selectors that begin alike have the first of these in common."""
        is_single = len(old) == len(new) == 1
        key = (id(old[0]), id(new[0]), token) if is_single else None
        if key is not None and key in self._known:
            return self._known[key][2]
        olds = [self._level(value, is_old=True) for value in old]
        news = [self._level(value) for value in new]
        if isinstance(token, Name):
            below = _member(olds, news, token.name)
        elif isinstance(token, Each):
            below = _each(olds, news)
        else:
            below = _named(olds, news, token)
        if key is not None:
            self._known[key] = old, new, below
        return below

    def _level(self, value: bytes, *, is_old: bool = False) -> _Level:
        """Gives the members or elements of a value.

        :param is_old: whether a value that cannot be read has none, instead of an error.
        """
        kept = self._levels.get(id(value))
        if kept is not None:
            return kept[1]
        level: _Level = None
        try:
            if value.startswith(b"{"):
                level = {name: bytes(member) for name, member in _members.decode(value).items()}
            elif value.startswith(b"["):
                level = [*map(bytes, _elements.decode(value))]
        except RecursionError:
            if not is_old:
                raise MatchError("the document is nested too deeply for its values to be found") from None
        except msgspec.DecodeError as error:
            if not is_old:
                raise MatchError(f"the values of the document cannot be read: {error}") from None
        self._levels[id(value)] = value, level
        return level


@dataclass(frozen=True, slots=True)
class _Place:
    """A place in both documents.

    :ivar path: the segments that lead to it.
    :ivar depth: the number of these that lead to something in the new document.
    """

    path: Path
    depth: int


def _member(olds: list[_Level], news: list[_Level], name: str) -> _Below:
    """Gives a member, or the element of an index."""
    index = index_of(name)
    sides: tuple[Values, Values] = [], []
    for side, levels in zip(sides, (olds, news), strict=True):
        for level in levels:
            if isinstance(level, dict):
                if name in level:
                    side.append(level[name])
            elif level is not None and index is not None and index < len(level):
                side.append(level[index])
    return _Below([(name_segment(name), *sides)], len(sides[1]) == len(news))


def _each(olds: list[_Level], news: list[_Level]) -> _Below:
    """Gives all members and elements that differ."""
    groups: dict[str, tuple[Values, Values]] = {}
    for side, levels in enumerate((olds, news)):
        for level in levels:
            if isinstance(level, dict):
                for name, value in level.items():
                    groups.setdefault(name_segment(name), ([], []))[side].append(value)
            elif level is not None:
                for index, value in enumerate(level):
                    groups.setdefault(str(index), ([], []))[side].append(value)
    children = [(segment, old, new) for segment, (old, new) in groups.items() if old != new]
    return _Below(children, None not in news)


def _named(olds: list[_Level], news: list[_Level], token: Element | EachNamed) -> _Below:
    """Gives elements by a member of theirs, as far as they differ.

    Equal elements are taken off first. They matter only if they may have the name of one that is not on both sides.
    """
    old, new, equal = _different(*(_all_elements(levels) for levels in (olds, news)))
    groups: dict[str, tuple[Values, Values]] = {}
    has_unnamed = not all(isinstance(level, list) for level in news)
    for side, values in enumerate((old, new)):
        for value in values:
            key = _key(value, token.member)
            if key is not None:
                groups.setdefault(key, ([], []))[side].append(value)
            elif side:
                has_unnamed = True
    wanted = [token.value] if isinstance(token, Element) else [*groups]
    uneven = {key for key in wanted if key not in groups or len(groups[key][0]) != len(groups[key][1])}
    for value in equal if uneven else ():
        key = _key(value, token.member)
        if key is not None and key in uneven:
            for values in groups.setdefault(key, ([], [])):
                values.append(value)
    children = [(element_segment(token.member, key), *groups[key]) for key in wanted if key in groups]
    if isinstance(token, Element):
        return _Below(children, bool(children) and bool(children[0][2]))
    return _Below(children, not has_unnamed)


def _all_elements(levels: Iterable[_Level]) -> Values:
    return [*chain.from_iterable(level for level in levels if isinstance(level, list))]


def _different(old: Values, new: Values) -> tuple[Values, Values, Values]:
    """Gives the values that only one list has, those that only the other one has, and those that both have.

    If a list has a value twice, all count as different.
    """
    one, other = set(old), set(new)
    if len(one) != len(old) or len(other) != len(new):
        return old, new, []
    both = one & other
    return (
        [value for value in old if value not in both],
        [value for value in new if value not in both],
        [value for value in new if value in both],
    )


def _key(value: bytes, member: str) -> str | None:
    """Gives the name of an element. Its level is not kept: most names are read once."""
    if not value.startswith(b"{"):
        return None
    found = _members.decode(value).get(member)
    return None if found is None else key_of(found)
