"""The statistics of the soak: the intervals of its slopes hold what they say."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from tests.soak import slope, student_975

EVERY_S = 5.0
COUNT = 537
ROUNDS = 200


def samples(random: Random, correlation: float, rise: float = 0.0) -> list[float]:
    """Gives values that rise by so much in each second, and whose noise depends on the noise before (AR(1))."""
    noise, values = 0.0, []
    for number in range(COUNT):
        noise = correlation * noise + random.gauss(0.0, 1.0)
        values.append(noise + rise * number * EVERY_S)
    return values


class SlopeTests(SynchronousTestCase):
    def test_intervals_contain_the_slope_nineteen_times_in_twenty(self) -> None:
        """Also for samples that depend on each other, and neither much more often nor much more seldom."""
        times = [number * EVERY_S for number in range(COUNT)]
        for correlation in (0.0, 0.5, 0.9, 0.95):
            random = Random(f"{correlation}")
            found = [slope(times, samples(random, correlation, 0.001)) for _ in range(ROUNDS)]
            share = sum(each.low <= 3.6 <= each.high for each in found) / ROUNDS
            self.assertGreater(share, 0.9, correlation)
            self.assertLess(share, 0.985, correlation)

    def test_values_on_a_line(self) -> None:
        """The interval has no width."""
        found = slope([0.0, 10.0, 20.0, 30.0], [1.0, 2.0, 3.0, 4.0])
        for value in (found.value, found.low, found.high):
            self.assertAlmostEqual(value, 360.0)

    def test_quantiles(self) -> None:
        """They agree with printed tables."""
        for freedom, quantile in ((3, 3.182), (4, 2.776), (10, 2.228), (60, 2.000)):
            self.assertLess(abs(student_975(freedom) / quantile - 1), 0.01, freedom)
