"""The checks that compare values of a candidate with those of the document that is shown.

Rule: values that a selector finds in both documents under the same path are compared. Without a document that is shown,
nothing is refused.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, ClassVar

import msgspec

from livefeed.document.exact_numbers import is_number, number_of
from livefeed.document.matches import MatchError
from livefeed.document.rule_checks import Refusal, cut, listed, place_of, short, shown_value, unreadable
from livefeed.document.selectors import Element, Name, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sized

    from livefeed.document.exact_numbers import Step
    from livefeed.document.pairs import Pair
    from livefeed.document.rule_checks import Documents
    from livefeed.document.selectors import Selector

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_elements = msgspec.json.Decoder(list[msgspec.Raw])
_text = msgspec.json.Decoder(str)


@dataclass(frozen=True, slots=True)
class _Measured:
    """A value and its size.

    :ivar value: its bytes.
    :ivar size: a number, or a length; ``None`` if it has none.
    :ivar unit: the unit of its length.
    """

    value: bytes
    size: Decimal | None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class _Comparison(ABC):
    """Compares values in pairs.

    Several values of one path are elements with the same name. They are paired by their sizes, since nothing else
    tells them apart, and there may not be more of them than before.

    :ivar selectors: the values.
    """

    kind: ClassVar[str]
    cost: ClassVar[int] = 1
    may_leave: ClassVar[bool] = False

    selectors: tuple[Selector, ...]

    @abstractmethod
    def _measure(self, value: bytes) -> _Measured:
        """Measures a value."""

    @abstractmethod
    def _judge(self, pointer: str, old: _Measured, new: _Measured) -> Refusal | None:
        """Compares two values. The old one has a size."""

    def refusals(self, documents: Documents, *, has_passed: bool) -> Iterator[Refusal]:
        """API of :class:`.rule_checks.Check`."""
        if documents.shown is None:
            return
        for selector in self.selectors:
            try:
                pairs = documents.changes().find(selector).pairs
            except MatchError as error:
                yield unreadable(selector, error)
                continue
            stars = _stars(selector) if self.may_leave else 0
            refusals = (refusal for pair in pairs if pair.old and pair.depth >= stars for refusal in self._judged(pair))
            yield from sorted(refusals, key=place_of)

    def __str__(self) -> str:
        """API of :class:`.rule_checks.Check`."""
        return listed(self)

    def is_same(self, earlier: bytes, later: bytes) -> bool:
        """API of :class:`.rule_checks.Check`. A recount goes on rising from its lower level."""
        old, new = number_of(earlier), number_of(later)
        return earlier == later if old is None or new is None else new >= old

    def _judged(self, pair: Pair) -> Iterator[Refusal]:
        """Compares the values of one path."""
        old = [measured for measured in map(self._measure, pair.old) if measured.size is not None]
        if not old:
            return
        old.sort(key=_rank)
        new = sorted(map(self._measure, pair.new), key=_rank)
        pointer = text_of(pair.path)
        if not new:
            yield Refusal(pointer, f"{short(pointer)} is missing, and was {shown_value(old[0].value)}")
        elif len(new) > len(pair.old):
            times = f"is there {len(new)} times, and was there {_times(len(pair.old))}"
            why = f"{short(pointer)} {times}: elements have the same name"
            yield Refusal(pointer, why, cut(b"[%b]" % b",".join(sorted(pair.new))))
        else:
            for before, after in zip(old, new, strict=False):
                refusal = self._judge(pointer, before, after)
                if refusal is not None:
                    yield refusal


class NeverFalls(_Comparison):
    """Numbers that may stay or rise."""

    __slots__ = ()

    kind: ClassVar[str] = "never_falls"

    def _measure(self, value: bytes) -> _Measured:
        return _Measured(value, number_of(value))

    def _judge(self, pointer: str, old: _Measured, new: _Measured) -> Refusal | None:
        if new.size is None or old.size is None:
            return _no_number(pointer, old, new)
        if new.size >= old.size:
            return None
        why = f"{short(pointer)} falls from {shown_value(old.value)} to {shown_value(new.value)}"
        return Refusal(pointer, why, new.value)


@dataclass(frozen=True, slots=True)
class MaxStep(_Comparison):
    """Numbers that may only move a little at once.

    Elements that come and go, and that a selector does not name, have no step.

    :ivar step: how far they may move.
    """

    kind: ClassVar[str] = "max_step"
    may_leave: ClassVar[bool] = True

    step: Step

    def __str__(self) -> str:
        """API of :class:`.rule_checks.Check`."""
        return f"{listed(self)}, not {self.step}"

    def _measure(self, value: bytes) -> _Measured:
        return _Measured(value, number_of(value))

    def _judge(self, pointer: str, old: _Measured, new: _Measured) -> Refusal | None:
        if new.size is None or old.size is None:
            return _no_number(pointer, old, new)
        if self.step.allows(old.size, new.size):
            return None
        verb = "rises" if new.size > old.size else "falls"
        values = f"from {shown_value(old.value)} to {shown_value(new.value)}"
        return Refusal(pointer, f"{short(pointer)} {verb} {values}, by more than {self.step.limit()}", new.value)

    def is_same(self, earlier: bytes, later: bytes) -> bool:
        """API of :class:`.rule_checks.Check`. A value goes on in small steps from the one that was refused."""
        old, new = number_of(earlier), number_of(later)
        return earlier == later if old is None or new is None else self.step.allows(old, new)


class NeverShrinks(_Comparison):
    """Arrays, objects and texts that may stay as long as they are, or grow."""

    __slots__ = ()

    kind: ClassVar[str] = "never_shrinks"

    def _measure(self, value: bytes) -> _Measured:
        try:
            if value.startswith(b"["):
                return _Measured(value, _length(_elements.decode(value)), "elements")
            if value.startswith(b"{"):
                return _Measured(value, _length(_members.decode(value)), "members")
            if value.startswith(b'"'):
                return _Measured(value, _length(_text.decode(value)), "characters")
        except (RecursionError, msgspec.DecodeError):  # nested too deeply, or half of a surrogate pair
            pass
        return _Measured(value, None)

    def _judge(self, pointer: str, old: _Measured, new: _Measured) -> Refusal | None:
        if new.size is None or old.size is None or old.unit != new.unit:
            is_now = shown_value(new.value) if new.size is None else f"{new.size} {new.unit}"
            return Refusal(pointer, f"{short(pointer)} had {old.size} {old.unit}, and is now {is_now}", cut(new.value))
        if new.size >= old.size:
            return None
        why = f"{short(pointer)} shrinks from {old.size} to {new.size} {old.unit}"
        return Refusal(pointer, why, str(new.size).encode())


def _stars(selector: Selector) -> int:
    """Gives the number of segments up to the last one that names several values."""
    stars = (depth for depth, token in enumerate(selector.tokens, 1) if not isinstance(token, Name | Element))
    return max(stars, default=0)


def _length(value: Sized) -> Decimal:
    return Decimal(len(value))


def _rank(measured: _Measured) -> tuple[bool, str, Decimal, bytes]:
    return measured.size is not None, measured.unit, measured.size or Decimal(0), measured.value


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _no_number(pointer: str, old: _Measured, new: _Measured) -> Refusal:
    if is_number(new.value):
        why = f"{short(pointer)} is a number that is too large to be compared, {shown_value(new.value)}"
    else:
        why = (
            f"{short(pointer)} is no number any more: it is {shown_value(new.value)}, and was {shown_value(old.value)}"
        )
    return Refusal(pointer, why, cut(new.value))
