"""Reconnect slots, at a stop and after refusals: clients come back evenly, and not before livefeed runs again."""

from __future__ import annotations

import heapq
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.process.drain import DRAIN_S
from livefeed.web.reconnect_slots import (
    MAX_RECONNECT_DELAY_S,
    RECONNECT_DELAYS_S,
    RECONNECTS_PER_S,
    SLOT_COUNT,
    ReconnectSlots,
    RefusalSlots,
)

CLIENTS = 20_000
START_S = 2
"""Seconds that a new process takes until it listens, as docs/operations.md says."""


def slots(count: int) -> list[int]:
    """Gives the times of these clients, in the order in which they are let go."""
    returns, told = ReconnectSlots(), []
    for _ in range(count):
        told.append(returns.retry_ms())
        returns.add()
    return told


class ReconnectSlotsTests(SynchronousTestCase):
    def test_first_comes_after_a_restart(self) -> None:
        """It takes the drain, and the start of the next process."""
        self.assertGreater(min(slots(1)), 1000 * (DRAIN_S + START_S))

    def test_crowd_is_spread_evenly(self) -> None:
        """20,000 come back within 50 seconds, in each slot as many as in another."""
        told = Counter(slots(20_000))
        self.assertEqual((min(told), max(told), set(told.values())), (6000, 55_980, {8}))
        self.assertEqual(set(Counter(each // 1000 for each in told.elements()).values()), {RECONNECTS_PER_S})

    def test_more_than_there_are_slots_for_begin_again(self) -> None:
        """No client is told to wait for longer than a minute, and all slots are used equally often."""
        told = Counter(slots(3 * 8 * SLOT_COUNT))
        self.assertEqual((len(told), set(told.values())), (SLOT_COUNT, {24}))
        self.assertEqual(max(told), 1000 * MAX_RECONNECT_DELAY_S - 20)

    @given(st.lists(st.integers(0, 100_000)))
    def test_whole_seconds_are_never_earlier(self, counts: list[int]) -> None:
        """Retry-After in whole seconds is at most one second later than the delay in ms, for any number of clients."""
        returns = ReconnectSlots()
        for count in counts:
            returns.add(count)
            self.assertTrue(0 <= 1000 * returns.retry_after_s() - returns.retry_ms() < 1000)


class RefusalSlotsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.slots = RefusalSlots(self.clock)

    def test_shortest_is_longer_than_a_restart(self) -> None:
        """After a shorter delay clients would find no server, and some proxies' errors end all retries."""
        self.assertGreater(RECONNECT_DELAYS_S[0], DRAIN_S + START_S)
        for _ in range(100):
            self.assertGreaterEqual(self.slots.next_retry_ms(), 1000 * RECONNECT_DELAYS_S[0])

    def test_a_few_come_back_soon_and_not_together(self) -> None:
        """A few clients return after the delay of any stream that ends."""
        told = [self.slots.next_retry_ms() for _ in range(50)]
        self.assertLess(max(told), 1100 * RECONNECT_DELAYS_S[1])
        self.assertGreater(len(set(told)), 25)
        # Also those that the schedule has come back at the same moment.
        told = [RefusalSlots(self.clock).next_retry_ms() for _ in range(200)]
        self.assertGreater(len(set(told)), 100)
        self.assertTrue(1000 * RECONNECT_DELAYS_S[0] <= min(told) <= max(told) < 1010 * RECONNECT_DELAYS_S[1])
        self.assertGreater(max(told) - min(told), 500 * (RECONNECT_DELAYS_S[1] - RECONNECT_DELAYS_S[0]))

    def test_it_grows_with_their_number_and_has_an_end(self) -> None:
        """The delay is short again when the clients have returned."""
        told = [self.slots.next_retry_ms() for _ in range(CLIENTS)]
        means = [sum(told[start : start + 1000]) / 1000 for start in range(0, 12_000, 1000)]
        self.assertEqual(means, sorted(means))
        self.assertGreater(means[-1], 4 * means[0])
        self.assertLessEqual(max(told), 1000 * MAX_RECONNECT_DELAY_S)
        self.assertGreater(len(set(told[-1000:])), 500)
        self.clock.advance(MAX_RECONNECT_DELAY_S)
        self.assertLess(self.slots.next_retry_ms(), 1100 * RECONNECT_DELAYS_S[1])

    def test_a_crowd_is_no_storm(self) -> None:
        """All come at once, are refused, and come back again and again: not many of them in any second."""
        due = [1000.0] * CLIENTS
        returns: dict[int, int] = {}
        while due[0] < 1300:
            at = heapq.heappop(due)
            self.clock.advance(max(0.0, at - self.clock.seconds()))
            returns[int(at)] = returns.get(int(at), 0) + 1
            heapq.heappush(due, at + self.slots.next_retry_ms() / 1000)
        self.assertEqual(returns.pop(1000), CLIENTS)
        self.assertLess(max(returns.values()), 3 * RECONNECTS_PER_S)
        # No client is lost: each returns at least once a minute.
        self.assertGreaterEqual(sum(returns.values()), CLIENTS * 4)
