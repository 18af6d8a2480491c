"""Reconnect slots, at a stop and after refusals: clients come back evenly, and not before livefeed runs again."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.process.drain import DRAIN_S
from livefeed.web.reconnect_slots import (
    MAX_RECONNECT_DELAY_S,
    RECONNECT_DELAYS_S,
    RECONNECTS_PER_S,
    SLOT_S,
    ReconnectSlots,
    RefusalSlots,
)

CLIENTS = 20_000
START_S = 2
"""Seconds that a new process takes until it listens, as docs/howto/stopping.md says."""


def slots(count: int, first_s: float = RECONNECT_DELAYS_S[0], returns_per_s: float = RECONNECTS_PER_S) -> list[int]:
    """Gives the times of these clients, in the order in which they are let go together."""
    returns = ReconnectSlots(first_s, returns_per_s)
    return [returns.take_ms() for _ in range(count)]


def most_in_a_second(returns_ms: list[float]) -> int:
    """Gives the largest number of returns in any second."""
    ordered = sorted(returns_ms)
    return max(bisect_left(ordered, at + 1000) - number for number, at in enumerate(ordered))


class ReconnectSlotsTests(SynchronousTestCase):
    def test_first_comes_after_a_restart(self) -> None:
        """It takes the drain, and the start of the next process."""
        self.assertGreater(min(slots(1)), 1000 * (DRAIN_S + START_S))

    def test_crowd_is_spread_evenly(self) -> None:
        """20,000 come back within 50 seconds, in each slot as many as in another."""
        told = Counter(slots(20_000))
        self.assertEqual((min(told), max(told), set(told.values())), (6000, 55_980, {8}))
        self.assertEqual(set(Counter(each // 1000 for each in told.elements()).values()), {RECONNECTS_PER_S})

    @given(st.integers(1, 3000), st.floats(0, 3600), st.floats(1, 5000))
    def test_returns_per_second_are_limited(self, count: int, first_s: float, returns_per_s: float) -> None:
        """For any number of clients; all have a slot from the first to the last that their number needs."""
        told = slots(count, first_s, returns_per_s)
        self.assertEqual(told, sorted(told))
        self.assertLessEqual(most_in_a_second([float(each) for each in told]), returns_per_s * (1 + SLOT_S) + 1)
        self.assertEqual(told[0], round(1000 * first_s))
        self.assertLessEqual(told[-1], 1000 * (first_s + count / returns_per_s) + 1)

    @settings(deadline=None)
    @given(
        st.lists(st.tuples(st.integers(1, 200), st.floats(0, 2)), min_size=1, max_size=20),
        st.floats(10, 1000),
        st.sampled_from((0.0, 0.1, 6.0)),
    )
    def test_clients_that_are_released_over_time(
        self, groups: list[tuple[int, float]], returns_per_s: float, first_s: float
    ) -> None:
        """They come back soon after their own release, or in turn if too many are on their way."""
        clock = Clock()
        returns, at = ReconnectSlots(first_s, returns_per_s, clock.seconds), list[float]()
        for count, pause_s in groups:
            for _ in range(count):
                told = returns.take_ms()
                self.assertGreaterEqual(told, 1000 * first_s - 1)
                at.append(1000 * clock.seconds() + told)
            clock.advance(pause_s)
        self.assertLessEqual(most_in_a_second(at), returns_per_s * (1 + 2 * SLOT_S) + 2)
        if len(groups) == 1 or all(pause_s * returns_per_s > count for count, pause_s in groups):
            self.assertLessEqual(
                max(at) / 1000, clock.seconds() + first_s + max(each[0] for each in groups) / returns_per_s
            )

    def test_all_are_back_at_once_where_there_is_time(self) -> None:
        """Slots that nobody has taken are not made up for: the next client comes back after the shortest delay."""
        clock = Clock()
        returns = ReconnectSlots(0.1, 50, clock.seconds)
        self.assertEqual([returns.take_ms() for _ in range(3)], [100, 120, 140])
        clock.advance(10)
        self.assertEqual([returns.take_ms() for _ in range(3)], [100, 120, 140])

    @given(st.lists(st.integers(0, 100_000)))
    def test_whole_seconds_are_never_earlier(self, counts: list[int]) -> None:
        """Retry-After in whole seconds is at most one second later than the delay in ms, for any number of clients."""
        returns = ReconnectSlots()
        for count in counts:
            returns.add(count)
            self.assertTrue(0 <= 1000 * returns.retry_after_s() - returns.retry_ms() < 1000)

    def test_whole_seconds_take_places(self) -> None:
        """Each client has a slot of its own, also where others are told milliseconds."""
        returns = ReconnectSlots(6.5, 5)
        told = [take() for _ in range(3) for take in (returns.take_s, returns.take_ms)]
        self.assertEqual(told, [7, 6700, 7, 7100, 8, 7500])


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
