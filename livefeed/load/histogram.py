"""Durations in a fixed amount of memory, with the same relative precision for short and for long ones.

The buckets are those of HdrHistogram: each power of two is divided into the same number of them, so that a value is
known to within 1/128. A histogram of nanoseconds up to five hours has 4,864 buckets, and an entry costs one addition.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BITS = 7
"""The bits of a value that are kept: 128 buckets for each power of two, so an error of 0.8 % at most."""

MAX_BITS = 44
"""The bits of the largest duration in nanoseconds: five hours. Longer ones count as that."""

SUB_BUCKETS = 1 << BITS
MAX_NS = (1 << MAX_BITS) - 1
BUCKETS = (MAX_BITS - BITS + 1) << BITS


def bucket_of(value_ns: int) -> int:
    """Gives the index of the bucket of a duration from 0 to :data:`MAX_NS`."""
    shift = value_ns.bit_length() - BITS - 1
    return value_ns if shift <= 0 else (shift << BITS) + (value_ns >> shift)


def highest_in(bucket: int) -> int:
    """Gives the longest duration in nanoseconds that a bucket has."""
    shift = (bucket >> BITS) - 1
    if shift <= 0:
        return bucket
    return (((bucket - (shift << BITS)) + 1) << shift) - 1


@dataclass(slots=True, eq=False)
class Histogram:
    """Durations in nanoseconds.

    :ivar buckets: the number of durations in each bucket. The hot path adds to it by itself.
    :ivar longest_ns: the longest duration, exactly.
    """

    buckets: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    longest_ns: int = 0

    def add(self, value_ns: int) -> None:
        """Adds a duration; one that is negative counts as 0, since two clocks may disagree."""
        value_ns = min(max(value_ns, 0), MAX_NS)
        self.longest_ns = max(self.longest_ns, value_ns)
        self.buckets[bucket_of(value_ns)] += 1

    @property
    def count(self) -> int:
        """The number of durations."""
        return sum(self.buckets)

    def percentile(self, percent: float) -> int | None:
        """Gives the duration in nanoseconds that *percent* of all do not exceed; ``None`` if there is none.

        :param percent: from 0 to 100.
        """
        return next(self.percentiles([percent]), None)

    def percentiles(self, percents: Iterable[float]) -> Iterator[int]:
        """Gives the durations of several percentages, in ascending order; nothing if there is no duration."""
        count = self.count
        if not count:
            return
        bucket, passed = -1, 0
        for percent in percents:
            # The smallest rank that covers the percentage; the first duration has the rank 1.
            wanted = max(-(-count * percent // 100), 1)
            while passed < wanted:
                bucket += 1
                passed += self.buckets[bucket]
            yield min(highest_in(bucket), self.longest_ns)

    def filled(self) -> list[tuple[int, int]]:
        """Gives the index of each bucket that is not empty, and its number."""
        return [(bucket, number) for bucket, number in enumerate(self.buckets) if number]

    def merge(self, filled: Iterable[tuple[int, int]], longest_ns: int) -> None:
        """Adds the durations of another histogram."""
        for bucket, number in filled:
            self.buckets[bucket] += number
        self.longest_ns = max(self.longest_ns, longest_ns)

    def clear(self) -> None:
        """Forgets all durations. The list stays the same one, because the hot path refers to it."""
        self.buckets[:] = [0] * BUCKETS
        self.longest_ns = 0


def together(histograms: Iterable[Histogram]) -> Histogram:
    """Gives the durations of several histograms as one."""
    whole = Histogram()
    for each in histograms:
        whole.merge(each.filled(), each.longest_ns)
    return whole
