"""The checks that look at values of a candidate alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from livefeed.document.exact_json import DeltaError, decode, same_value
from livefeed.document.matches import Match, MatchError
from livefeed.document.rule_checks import Refusal, cut, listed, missing, place_of, short, shown_value, unreadable
from livefeed.document.selectors import Selector, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from livefeed.document.matches import SelectorReader

MAX_LISTED = 8
"""The largest number of possible values that a sentence lists."""


@dataclass(frozen=True, slots=True)
class Required:
    """Values that must be there, and must not be null. A selector with a star must name one at least.

    :ivar selectors: the values.
    """

    kind: ClassVar[str] = "required"
    cost: ClassVar[int] = 0

    selectors: tuple[Selector, ...]

    def __str__(self) -> str:
        """API of :class:`.rule_checks.Check`."""
        return listed(self)

    def refusals(self, shown: SelectorReader | None, candidate: SelectorReader) -> Iterator[Refusal]:
        """API of :class:`.rule_checks.Check`."""
        for selector in self.selectors:
            try:
                found = candidate.find(selector)
            except MatchError as error:
                yield unreadable(selector, error)
                continue
            refusals = [missing(path) for path in found.missing]
            refusals += [_null(match) for match in found.matches if bytes(match.value) == b"null"]
            if not found.matches and not refusals:
                yield Refusal(selector.text, f"{short(selector.text)} names nothing: the list is empty")
            yield from sorted(refusals, key=place_of)

    def is_same(self, earlier: bytes, later: bytes) -> bool:
        """API of :class:`.rule_checks.Check`."""
        return earlier == later


def _null(match: Match) -> Refusal:
    pointer = text_of(match.path)
    return Refusal(pointer, f"{short(pointer)} is null", b"null")


@dataclass(frozen=True, slots=True)
class MustBe:
    """A value that must be one of some.

    :ivar selectors: the value; with a star, all that it names.
    :ivar values: the possible values, as JSON. Numbers are compared by value.
    """

    kind: ClassVar[str] = "must_be"
    cost: ClassVar[int] = 0

    selectors: tuple[Selector, ...]
    values: tuple[bytes, ...]

    def __str__(self) -> str:
        """API of :class:`.rule_checks.Check`."""
        return f"{listed(self)}: {self._wanted()}"

    def refusals(self, shown: SelectorReader | None, candidate: SelectorReader) -> Iterator[Refusal]:
        """API of :class:`.rule_checks.Check`."""
        for selector in self.selectors:
            try:
                found = candidate.find(selector)
            except MatchError as error:
                yield unreadable(selector, error)
                continue
            refusals = [missing(path) for path in found.missing]
            refusals += [self._other(match) for match in found.matches if not self._has(bytes(match.value))]
            yield from sorted(refusals, key=place_of)

    def is_same(self, earlier: bytes, later: bytes) -> bool:
        """API of :class:`.rule_checks.Check`."""
        return earlier == later

    def _has(self, value: bytes) -> bool:
        return value in self.values or any(_is_equal(value, wanted) for wanted in self.values)

    def _other(self, match: Match) -> Refusal:
        pointer, value = text_of(match.path), bytes(match.value)
        return Refusal(pointer, f"{short(pointer)} is {shown_value(value)}, and must be {self._wanted()}", cut(value))

    def _wanted(self) -> str:
        values = [shown_value(each) for each in self.values[:MAX_LISTED]]
        if len(self.values) > MAX_LISTED:
            values.append(f"one of {len(self.values) - MAX_LISTED} more values")
        return " or ".join(values)


def _is_equal(value: bytes, wanted: bytes) -> bool:
    try:
        return same_value(decode(value), decode(wanted))
    except (DeltaError, RecursionError):
        return False
