"""The curves of the page."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.admin.curves import PERIOD_S, RATE_SAMPLES, SAMPLES, SETTLED_S, Counts, Curves

WALL_S = 1_795_000_000.25


class CurvesTests(SynchronousTestCase):
    """The samples of figures that a test gives."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.counts = Counts(0, 0.0)
        self.delay_s: float | None = None
        self.asked: list[tuple[float, float]] = []
        self.shown: list[bytes] = []
        self.curves = self.make(is_on=True)

    def make(self, *, is_on: bool) -> Curves:
        return Curves(self.clock, lambda: WALL_S, lambda: self.counts, self.delay, self.shown.append, is_on)

    def delay(self, after_s: float, until_s: float) -> float | None:
        self.asked.append((after_s, until_s))
        return self.delay_s

    def pass_s(self, seconds: int, each: int = 0) -> None:
        """Lets time pass, with a number of deliveries in each second."""
        for _ in range(seconds):
            self.counts = Counts(self.counts.watchers, self.counts.deliveries + each)
            self.clock.advance(PERIOD_S)

    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.shown[-1])
        return document

    def test_samples(self) -> None:
        """One at the start and one each second, the newest one last."""
        self.curves.startService()
        self.counts, self.delay_s = Counts(5, 10.0), 0.012_34
        self.pass_s(1)
        self.assertEqual(len(self.shown), 2)
        expected = {"interval_s": 1.0, "at": "2026-11-18T11:06:40.250Z"}
        expected |= {"watchers": [0, 5], "deliveries": [None, 10.0], "delay_ms": [None, 12.3]}
        self.assertEqual(self.document(), expected)

    def test_rate(self) -> None:
        """It is that of the last seconds, so a report that is late leaves no gap and no peak."""
        self.curves.startService()
        self.pass_s(10, each=100)
        self.pass_s(1)
        self.pass_s(1, each=200)
        rates = self.document()["deliveries"]
        self.assertEqual(rates[1:], [100.0] * 10 + [80.0, 100.0])
        self.pass_s(RATE_SAMPLES + 1)
        self.assertEqual(self.document()["deliveries"][-1], 0.0)

    def test_counts_that_fall(self) -> None:
        """A feed that is removed takes its deliveries along, and no rate is below 0."""
        self.curves.startService()
        self.pass_s(3, each=100)
        self.counts = Counts(0, 5.0)
        self.pass_s(2)
        self.assertEqual(self.document()["deliveries"][-3:], [100.0, None, 0.0])

    def test_delays(self) -> None:
        """Each version is asked for once, some seconds after it was published."""
        self.clock.advance(100.0)
        self.curves.startService()
        self.pass_s(2)
        settled = 100.0 - SETTLED_S
        self.assertEqual(self.asked, [(settled - 1, settled), (settled, settled + 1), (settled + 1, settled + 2)])

    def test_bounded(self) -> None:
        """The oldest samples are forgotten, and a page is told no more than it can show."""
        self.curves.startService()
        self.pass_s(SAMPLES + 10)
        lengths = {name: len(self.document()[name]) for name in ("watchers", "deliveries", "delay_ms")}
        self.assertEqual(lengths, {"watchers": SAMPLES, "deliveries": SAMPLES, "delay_ms": SAMPLES})
        self.assertLess(len(self.shown[-1]), 4000)

    def test_suspended(self) -> None:
        """Seconds without a sample are there, without values; after hours the memory is the same."""
        self.curves.startService()
        self.counts = Counts(7, 0.0)
        self.clock.advance(3 * PERIOD_S)
        self.assertEqual(self.document()["watchers"], [0, None, None, 7])
        self.clock.advance(100_000 * PERIOD_S)
        self.assertEqual(self.document()["watchers"], [None] * (SAMPLES - 1) + [7])

    def test_off(self) -> None:
        """Nothing is sampled, until a reload turns it on; turned off, the samples are forgotten."""
        curves = self.make(is_on=False)
        curves.startService()
        self.pass_s(2)
        self.assertEqual((self.shown, self.clock.getDelayedCalls()), ([], []))
        curves.turn(is_on=True)
        curves.turn(is_on=True)
        self.pass_s(1)
        self.assertEqual(len(self.shown), 2)
        curves.turn(is_on=False)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        curves.turn(is_on=True)
        self.assertEqual(self.document()["watchers"], [0])
        curves.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        curves.turn(is_on=False)
        curves.turn(is_on=True)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_error(self) -> None:
        """It is logged once, and the next samples are taken."""
        self.curves.startService()
        counts, self.counts = self.counts, None  # type: ignore[assignment]
        self.clock.advance(1)
        self.clock.advance(1)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
        self.counts = counts
        self.clock.advance(1)
        self.assertEqual(self.document()["watchers"][-1], 0)
