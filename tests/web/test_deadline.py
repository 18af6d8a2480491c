"""Deadlines that move."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.web.deadline import Deadline


class DeadlineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.expired: list[float] = []
        self.deadline = Deadline(self.clock, lambda: self.expired.append(self.clock.seconds()))

    def assert_expires(self, *at: float) -> None:
        """It has expired at these times, after much time has passed."""
        self.clock.pump([0.5] * 100)
        self.assertEqual(self.expired, [*at])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_expires_once(self) -> None:
        """It fires exactly then, and only once."""
        self.deadline.set(3)
        self.clock.advance(2.5)
        self.assertEqual(self.expired, [])
        self.assert_expires(3)

    def test_later(self) -> None:
        """A later deadline takes no other timer."""
        self.deadline.set(3)
        (call,) = self.clock.getDelayedCalls()
        self.clock.advance(2)
        self.deadline.set(3)
        self.assertEqual(self.clock.getDelayedCalls(), [call])
        self.assert_expires(5)

    def test_earlier(self) -> None:
        """An earlier deadline counts at once."""
        self.deadline.set(9)
        self.clock.advance(1)
        self.deadline.set(2)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.assert_expires(3)

    def test_none(self) -> None:
        """Without a deadline there is no timer, and a later one counts."""
        self.deadline.set(3)
        self.deadline.set(None)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.deadline.set(None)
        self.clock.advance(5)
        self.deadline.set(1)
        self.assert_expires(6)

    def test_another_after_the_end(self) -> None:
        """It can be set again while it expires."""

        def expire() -> None:
            self.expired.append(self.clock.seconds())
            again.set(2 if len(self.expired) < 3 else None)

        again = Deadline(self.clock, expire)
        again.set(1)
        self.assert_expires(1, 3, 5)

    def test_cancel(self) -> None:
        """The clock does not refer to it any more, and nothing sets it again."""
        self.deadline.set(3)
        self.deadline.cancel()
        self.deadline.set(1)
        self.assert_expires()
        self.deadline.cancel()
