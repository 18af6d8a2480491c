"""The lag of the reactor's loop."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.process.loop_lag import PERIOD_S, LoopLag


class LoopLagTests(SynchronousTestCase):
    """Measurements of a timer."""

    def test_measured(self) -> None:
        """Each measurement counts from the one before, so that one delay is counted once."""
        clock = Clock()
        lag = LoopLag(clock)
        lag.startService()
        found = []
        # The next measurement is due at the first beat that is a period later.
        for seconds in (PERIOD_S, PERIOD_S + 0.25, 0.75 + 2, 0.5):
            clock.advance(seconds)
            found.append((lag.measured, lag.late_s, lag.latest_s))
        self.assertEqual(found, [(1, 0.0, 0.0), (2, 0.25, 0.25), (3, 2.25, 2.0), (4, 2.25, 2.0)])
        lag.stopService()
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_stopped_before_it_is_started(self) -> None:
        """Nothing happens."""
        lag = LoopLag(Clock())
        lag.stopService()
        self.assertEqual(lag.measured, 0)
