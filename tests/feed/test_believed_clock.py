"""The wall clock as embargoes believe it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, eventAsText
from twisted.trial.unittest import SynchronousTestCase

from livefeed.feed.believed_clock import SETTLE_S, BelievedClock

NOON = 1_800_000_000.0


class BelievedClockTests(SynchronousTestCase):
    """Steps of the wall clock, by two clocks that the test sets."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.offset_s = NOON
        self.believed = BelievedClock("a", self.clock, lambda: self.offset_s + self.clock.seconds())
        self.due: list[str] = []

    def read(self, after_s: float = 0.0) -> float:
        """Reads it after some seconds, and gives the seconds since noon."""
        self.clock.advance(after_s)
        return self.believed.read(lambda _: self.due) - NOON

    def test_runs(self) -> None:
        """Without steps it is the wall clock. Less than a second is no step."""
        self.assertEqual([self.read(), self.read(1.0)], [0.0, 1.0])
        self.offset_s += 0.5
        self.assertEqual(self.read(1.0), 2.5)

    def test_forwards(self) -> None:
        """A step is believed after a minute, and told if it makes something due."""
        self.read()
        self.offset_s += 3600
        with capturedLogs() as events:
            self.assertEqual(self.read(1.0), 1.0)
            self.offset_s += 60
            self.due = ["0a1b"]
            self.assertEqual(self.read(1.0), 2.0)
            self.assertEqual(self.read(SETTLE_S - 1), SETTLE_S + 1)
            self.assertEqual(self.read(1.0), 3660 + SETTLE_S + 2)
        [line] = map(eventAsText, events)
        self.assertIn("was set forwards by 60 s; embargoes that are due by that end in 60 s, unless it is set", line)
        self.assertIn(": 0a1b", line)

    def test_back(self) -> None:
        """It counts at once: nothing happens earlier by that."""
        self.read()
        self.offset_s -= 3600
        with capturedLogs() as events:
            self.assertEqual(self.read(1.0), -3599.0)
        self.assertIn("was set back by 3600 s", eventAsText(events[0]))

    def test_set_right(self) -> None:
        """The time is what it was before a glitch."""
        self.read()
        self.offset_s += 3600
        self.read(1.0)
        self.offset_s -= 3600
        self.assertEqual(self.read(1.0), 2.0)
        self.assertEqual(self.read(SETTLE_S), SETTLE_S + 2)

    def test_forgotten(self) -> None:
        """Nothing is known about the time in which it was not read."""
        self.read()
        self.believed.forget()
        self.offset_s += 3600
        self.assertEqual(self.read(1.0), 3601.0)

    @given(st.lists(st.floats(-1e6, 1e6), max_size=8))
    def test_never_ahead(self, steps: list[float]) -> None:
        """Whatever the clock does within a minute, it is never believed to be later than both readings say."""
        self.setUp()
        self.read()
        for step in steps:
            self.offset_s += step
            now = self.read(1.0)
            wall = self.offset_s + self.clock.seconds() - NOON
            self.assertLessEqual(now, wall + 1e-6)
            self.assertLessEqual(now, self.clock.seconds() + len(steps) * 1.0 + 1e-6)
