"""Durations in a fixed amount of memory."""

from __future__ import annotations

from math import ceil

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.load.histogram import BUCKETS, MAX_NS, SUB_BUCKETS, Histogram, bucket_of, highest_in, together

DURATIONS = st.integers(0, MAX_NS)


class HistogramTests(SynchronousTestCase):
    def test_empty(self) -> None:
        """There are no percentiles."""
        self.assertIsNone(Histogram().percentile(50))
        self.assertEqual((Histogram().count, Histogram().filled()), (0, []))

    def test_limits(self) -> None:
        """Negative durations count as 0, and those beyond the last bucket as the longest."""
        histogram = Histogram()
        for value in (-5, MAX_NS + 1):
            histogram.add(value)
        self.assertEqual(histogram.filled(), [(0, 1), (BUCKETS - 1, 1)])
        self.assertEqual((histogram.percentile(50), histogram.percentile(100)), (0, MAX_NS))

    @given(DURATIONS)
    def test_buckets(self, value: int) -> None:
        """Each duration is in a bucket whose end is at most 1/128 above it, and buckets are in order."""
        bucket = bucket_of(value)
        self.assertTrue(0 <= bucket < BUCKETS)
        self.assertTrue(value <= highest_in(bucket) <= value + value / SUB_BUCKETS)
        self.assertEqual(bucket_of(highest_in(bucket)), bucket)
        if value < MAX_NS:
            self.assertIn(bucket_of(value + 1) - bucket, (0, 1))

    @given(st.lists(DURATIONS, min_size=1), st.sampled_from([0, 50, 90, 99, 99.9, 100]))
    def test_percentiles(self, values: list[int], percent: float) -> None:
        """A percentile is that of the sorted durations, to within the precision, and never above the longest."""
        histogram = Histogram()
        for value in values:
            histogram.add(value)
        exact = sorted(values)[max(ceil(len(values) * percent / 100), 1) - 1]
        found = histogram.percentile(percent)
        assert found is not None
        self.assertTrue(exact <= found <= max(exact + exact / SUB_BUCKETS, exact), (exact, found))
        self.assertLessEqual(found, max(values))

    @given(st.lists(DURATIONS), st.lists(DURATIONS))
    def test_merging(self, first: list[int], second: list[int]) -> None:
        """Two histograms that are merged are that of all durations."""
        parts, whole = [Histogram(), Histogram()], Histogram()
        for part, values in zip(parts, (first, second), strict=True):
            for value in values:
                part.add(value)
                whole.add(value)
        both = together(parts)
        parts[0].merge(parts[1].filled(), parts[1].longest_ns)
        for found in (both, parts[0]):
            self.assertEqual((found.buckets, found.longest_ns), (whole.buckets, whole.longest_ns))

    def test_clearing(self) -> None:
        """The list of buckets stays the same object, to which the hot path refers."""
        histogram = Histogram()
        buckets = histogram.buckets
        histogram.add(7)
        histogram.clear()
        self.assertIs(histogram.buckets, buckets)
        self.assertEqual((histogram.count, histogram.longest_ns), (0, 0))
