"""Ranges, and figures that depend on a size."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.planning.ranges import Curve, Point, Range

CURVE = Curve((Point(100, Range(10, 20)), Point(200, Range(30, 40)), Point(400, Range(30, 60))), Range(1, 2))


class RangeTests(SynchronousTestCase):
    def test_arithmetic(self) -> None:
        """Bounds are added and multiplied each for itself."""
        self.assertEqual(Range(1, 2) + Range(3, 5), Range(4, 7))
        self.assertEqual(Range(1, 2).times(3), Range(3, 6))
        self.assertEqual(Range.of([3, 1, 2]), Range(1, 3))


class CurveTests(SynchronousTestCase):
    def test_measured_points(self) -> None:
        """They are met exactly, and smaller messages cost as much as the smallest."""
        for size, expected in ((0, (10, 20)), (100, (10, 20)), (200, (30, 40)), (400, (30, 60))):
            self.assertEqual(CURVE.at(size), Range(*expected))

    def test_between_points(self) -> None:
        """The line between them is straight."""
        self.assertEqual(CURVE.at(150), Range(20, 30))
        self.assertEqual(CURVE.at(300), Range(30, 50))

    def test_behind_the_last(self) -> None:
        """The last line goes on; with one point, the slope is given."""
        self.assertEqual(CURVE.at(600), Range(30, 80))
        self.assertEqual(Curve((Point(100, Range(10, 20)),), Range(1, 2)).at(110), Range(20, 40))

    def test_falling_line(self) -> None:
        """It does not fall below nothing."""
        curve = Curve((Point(0, Range(10, 10)), Point(10, Range(5, 5))), Range(1, 1))
        self.assertEqual(curve.at(1000), Range(0, 0))

    def test_lines_that_cross(self) -> None:
        """The bounds change places."""
        curve = Curve((Point(0, Range(10, 20)), Point(10, Range(30, 30))), Range(1, 1))
        self.assertEqual(curve.at(20), Range(40, 50))

    @given(st.floats(0, 1e9))
    def test_bounds(self, size: float) -> None:
        """The lower one is never above the other."""
        found = CURVE.at(size)
        self.assertLessEqual(found.low, found.high)
