"""When clients come back after a stop: evenly, and never before livefeed is there again."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.process.drain import DRAIN_S
from livefeed.web.refusals import MAX_RETRY_S, RETURNS_PER_S
from livefeed.web.returns import SLOTS, Returns

START_S = 2
"""The time that a new process takes until it listens."""


def slots(count: int) -> list[int]:
    """Gives the times of these clients, in the order in which they are let go."""
    returns, told = Returns(), []
    for _ in range(count):
        told.append(returns.retry_ms())
        returns.add()
    return told


class ReturnsTests(SynchronousTestCase):
    def test_first_comes_after_a_restart(self) -> None:
        """It takes the drain, and the start of the next process."""
        self.assertGreater(min(slots(1)), 1000 * (DRAIN_S + START_S))

    def test_crowd_is_spread_evenly(self) -> None:
        """20,000 come back within 50 seconds, in each slot as many as in another."""
        told = Counter(slots(20_000))
        self.assertEqual((min(told), max(told), set(told.values())), (6000, 55_980, {8}))
        self.assertEqual(set(Counter(each // 1000 for each in told.elements()).values()), {RETURNS_PER_S})

    def test_more_than_there_are_slots_for_begin_again(self) -> None:
        """Nobody is told to wait for longer than a minute, and no slot has two times as many as another."""
        told = Counter(slots(3 * 8 * SLOTS))
        self.assertEqual((len(told), set(told.values())), (SLOTS, {24}))
        self.assertEqual(max(told), 1000 * MAX_RETRY_S - 20)

    @given(st.lists(st.integers(0, 100_000)))
    def test_whole_seconds_are_never_earlier(self, counts: list[int]) -> None:
        """Whatever the number of clients that were counted at once."""
        returns = Returns()
        for count in counts:
            returns.add(count)
            self.assertTrue(0 <= 1000 * returns.retry_after_s() - returns.retry_ms() < 1000)
