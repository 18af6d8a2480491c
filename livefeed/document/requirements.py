"""The checks that look at values of a candidate alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from livefeed.document.exact_json import DeltaError, decode, same_value
from livefeed.document.matches import MatchError
from livefeed.document.rule_checks import Refusal, cut, listed, missing, place_of, short, shown_value, unreadable
from livefeed.document.selectors import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from livefeed.document.pairs import Pairs
    from livefeed.document.rule_checks import Documents
    from livefeed.document.selectors import Path, Selector

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

    def refusals(self, documents: Documents, *, has_passed: bool) -> Iterator[Refusal]:
        """API of :class:`.rule_checks.Check`."""
        for selector in self.selectors:
            is_whole = not has_passed
            try:
                found = (documents.all() if is_whole else documents.changes()).find(selector)
                if not is_whole and _may_be_empty(found):
                    is_whole = True
                    found = documents.all().find(selector)
            except MatchError as error:
                yield unreadable(selector, error)
                continue
            refusals = [missing(path) for path in found.missing]
            refusals += [_null(pair.path) for pair in found.pairs if b"null" in pair.new]
            if is_whole and not refusals and not found.pairs:
                yield Refusal(selector.text, f"{short(selector.text)} names nothing: the list is empty")
            yield from sorted(refusals, key=place_of)

    def is_same(self, earlier: bytes, later: bytes) -> bool:
        """API of :class:`.rule_checks.Check`."""
        return earlier == later


def _may_be_empty(found: Pairs) -> bool:
    """Tells whether values have gone and none has changed or come, so that none may be left."""
    return any(pair.old for pair in found.pairs) and not any(pair.new for pair in found.pairs)


def _null(path: Path) -> Refusal:
    pointer = text_of(path)
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

    def refusals(self, documents: Documents, *, has_passed: bool) -> Iterator[Refusal]:
        """API of :class:`.rule_checks.Check`."""
        for selector in self.selectors:
            try:
                found = (documents.changes() if has_passed else documents.all()).find(selector)
            except MatchError as error:
                yield unreadable(selector, error)
                continue
            refusals = [missing(path) for path in found.missing]
            refusals += [
                self._other(pair.path, value) for pair in found.pairs for value in pair.new if not self._has(value)
            ]
            yield from sorted(refusals, key=place_of)

    def is_same(self, earlier: bytes, later: bytes) -> bool:
        """API of :class:`.rule_checks.Check`."""
        return earlier == later

    def _has(self, value: bytes) -> bool:
        return value in self.values or any(_is_equal(value, wanted) for wanted in self.values)

    def _other(self, path: Path, value: bytes) -> Refusal:
        pointer = text_of(path)
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
