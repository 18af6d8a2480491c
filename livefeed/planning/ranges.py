"""A figure between two bounds, and one that depends on the size of a message."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Range:
    """A figure that is not known exactly.

    :ivar low: its lower bound.
    :ivar high: its upper bound.
    """

    low: float
    high: float

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.high + other.high)

    def times(self, factor: float) -> Range:
        """Gives the range of a multiple."""
        return Range(self.low * factor, self.high * factor)

    @classmethod
    def of(cls, values: Iterable[float]) -> Range:
        """Gives the range of at least one value."""
        found = list(values)
        return cls(min(found), max(found))


NOTHING = Range(0, 0)


@dataclass(frozen=True, slots=True)
class Point:
    """A measured point of a curve.

    :ivar size: bytes of a message.
    :ivar cost: the figure at this size.
    """

    size: float
    cost: Range


@dataclass(frozen=True, slots=True)
class Curve:
    """A figure that grows with the size of a message: straight between two points, and flat before the first.

    :ivar points: at least one, in the order of their sizes.
    :ivar slope: the growth for each byte behind the last point, where there is only one; otherwise that between the
        last two goes on.
    """

    points: tuple[Point, ...]
    slope: Range

    def at(self, size: float) -> Range:
        """Gives the figure at a size."""
        first, last = self.points[0], self.points[-1]
        if size <= first.size:
            return first.cost
        for before, after in pairwise(self.points):
            if size <= after.size or after is last:
                return _between(before, after, size)
        return last.cost + self.slope.times(size - last.size)


def _between(before: Point, after: Point, size: float) -> Range:
    part = (size - before.size) / (after.size - before.size)
    low = before.cost.low + (after.cost.low - before.cost.low) * part
    high = before.cost.high + (after.cost.high - before.cost.high) * part
    # Behind the last point, the two lines may have crossed.
    return Range(max(min(low, high), 0), max(low, high, 0))
