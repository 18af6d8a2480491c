"""The figures of the scenarios follow from the records as the definitions say."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.chaos.arithmetic import Figures, Watcher, Window, figures, percentile, published_at
from tests.chaos.records import Event

WINDOW = Window(begin=100.0, event=105.0, end=120.0)


class History:
    """Records as the watchers write them."""

    def __init__(self) -> None:
        self.records: list[tuple[int, int, int, int, int]] = []

    def add(self, at: float, watcher: int, event: Event, detail: int = 0, status: int = 0) -> History:
        self.records.append((round(at * 1e6), watcher, detail, int(event), status))
        return self

    def receive(self, watcher: int, first: int, last: int, *, late_s: float = 0.0) -> History:
        """Has the versions from *first* to *last* come; version N is published at the second 100 + N."""
        for number in range(first, last + 1):
            self.add(100.0 + number + late_s, watcher, Event.RECEIVED, number)
        return self

    def figures(self, *every_s: float) -> Figures:
        ordered = sorted(self.records, key=lambda record: record[0])
        return figures(lambda: ordered, every_s, WINDOW)


class PercentileTests(SynchronousTestCase):
    def test_nearest_rank(self) -> None:
        """The result is one of the values."""
        values = [float(each) for each in range(100, 0, -1)]
        self.assertEqual([percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)], [1.0, 50.0, 99.0, 100.0])
        self.assertEqual(percentile([3.0], 0.99), 3.0)

    def test_no_values(self) -> None:
        """There is no number that could be mistaken for a good one."""
        self.assertTrue(math.isnan(percentile([], 0.5)))

    @given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
    def test_share(self, values: list[float], share: float) -> None:
        """At least the share of all values is no larger, and the result is the smallest of that kind."""
        found = percentile(values, share)
        self.assertIn(found, values)
        self.assertGreaterEqual(sum(each <= found for each in values), share * len(values) - 1e-9)


class PublishedAtTests(SynchronousTestCase):
    def test_the_first_of_all_watchers_counts(self) -> None:
        """Files of several processes follow each other, so the first record is not always the earliest."""
        history = History().receive(0, 1, 3, late_s=0.5).receive(1, 1, 3)
        self.assertEqual(published_at(history.records), [(1, 101.0), (2, 102.0), (3, 103.0)])

    def test_a_version_that_was_overtaken(self) -> None:
        """A version is never published later than its successor."""
        history = History().add(105.0, 0, Event.RECEIVED, 4).add(103.0, 0, Event.RECEIVED, 5)
        self.assertEqual(published_at(history.records), [(4, 105.0), (5, 105.0)])


class MissedTests(SynchronousTestCase):
    def test_in_time(self) -> None:
        """A subscriber may take a tick."""
        found = History().receive(0, 0, 20).receive(1, 0, 20, late_s=0.9).figures(0.0, 0.0)
        self.assertEqual((found.missed, found.dropped, found.late_s), (0, 0, 0.0))
        self.assertEqual(found.versions, 21)

    def test_late(self) -> None:
        """Each version that comes later than a tick is missed once."""
        late = History().receive(0, 0, 20).receive(1, 0, 9)
        late.add(112.4, 1, Event.RECEIVED, 10).receive(1, 13, 20)
        found = late.figures(0.0, 0.0)
        self.assertEqual((found.missed, found.missed_by), (2, 1))  # 10 and 11; 13 comes in time for 12
        self.assertAlmostEqual(found.late_s, 1.4)  # 10 was due at 111.0; 11 only came with 13

    def test_a_newer_version_counts(self) -> None:
        """A watcher that skips a version has missed nothing (conflation)."""
        found = History().receive(0, 0, 20).receive(1, 0, 9).receive(1, 11, 20).figures(0.0, 0.0)
        self.assertEqual(found.missed, 0)

    def test_poller(self) -> None:
        """The slot of a poller is its next poll."""
        found = History().receive(0, 0, 20).receive(1, 0, 20, late_s=1.9).figures(0.0, 1.0)
        self.assertEqual(found.missed, 0)
        found = History().receive(0, 0, 20).receive(1, 0, 9).receive(1, 13, 20, late_s=0.5).figures(0.0, 1.0)
        self.assertEqual(found.missed, 2)  # 10 was due at 112, 11 at 113

    def test_silence(self) -> None:
        """A subscriber without any further version misses all whose deadline is in the window."""
        found = History().receive(0, 0, 25).receive(1, 0, 4).figures(0.0, 0.0)
        self.assertEqual(found.missed, 15)  # 5 to 19
        self.assertAlmostEqual(found.late_s, 14.0)

    def test_older_after_newer(self) -> None:
        """A document that goes back counts, also if the watcher has every version in time."""
        history = History().receive(0, 0, 20).receive(1, 0, 20).add(110.5, 1, Event.RECEIVED, 7)
        found = history.figures(0.0, 0.0)
        self.assertEqual((found.missed, found.missed_by), (1, 1))

    def test_reverted_sequence(self) -> None:
        """It is counted by itself."""
        found = History().receive(0, 0, 20).add(110.0, 0, Event.REVERTED).figures(0.0)
        self.assertEqual((found.reverted, found.missed), (1, 0))

    def test_before_the_window(self) -> None:
        """Watchers that are still connecting have missed nothing."""
        history = History().receive(0, 0, 20)
        history.add(99.0, 1, Event.RECEIVED, 0).receive(1, 1, 20)
        self.assertEqual(history.figures(0.0, 0.0).missed, 0)


class AbsenceTests(SynchronousTestCase):
    def test_the_slot_that_the_server_gave(self) -> None:
        """Nothing is missed until a tick after it."""
        history = History().receive(0, 0, 20).receive(1, 0, 5)
        history.add(105.5, 1, Event.CLOSED, 6, 3250).add(105.5, 1, Event.SLOT, 5000, 1)
        history.add(110.5, 1, Event.CONNECTING).add(110.8, 1, Event.CONNECTED, 300_000, 7)
        history.add(111.0, 1, Event.RECEIVED, 10).receive(1, 11, 20, late_s=0.1)
        found = history.figures(0.0, 0.0)
        self.assertEqual((found.missed, found.dropped, found.drops), (0, 1, {"3250": 1}))
        self.assertAlmostEqual(found.back_s, 6.0)
        self.assertEqual((found.absent, found.handshakes, found.connect_p99_ms), (0, 1, 300.0))

    def test_late_after_the_slot(self) -> None:
        """The versions since the end of the connection are due at the slot, too."""
        history = History().receive(0, 0, 20).receive(1, 0, 5)
        history.add(105.5, 1, Event.CLOSED, 2).add(105.5, 1, Event.SLOT, 1500)
        history.receive(1, 11, 20, late_s=0.0)
        self.assertEqual(history.figures(0.0, 0.0).missed, 4)  # 6, 7 and 8 were due at 108, 9 at 110; 10 at 111

    def test_a_server_that_is_away(self) -> None:
        """Failed attempts move no slot."""
        history = History().receive(0, 0, 20).receive(1, 0, 5)
        history.add(105.5, 1, Event.CLOSED, 2).add(105.5, 1, Event.SLOT, 1500)
        for at in (107.0, 108.5, 110.0):
            history.add(at, 1, Event.CONNECT_FAILED, 1).add(at, 1, Event.SLOT, 1500)
        history.receive(1, 12, 20)
        found = history.figures(0.0, 0.0)
        self.assertEqual((found.missed, found.refused), (5, {"refused": 3}))  # 6 to 10

    def test_the_watchers_of_other_processes(self) -> None:
        """Versions that are missed on a connection that stays are counted apart."""
        history = History().receive(0, 0, 20).receive(1, 0, 5).receive(2, 0, 5)
        history.add(105.5, 1, Event.CLOSED, 2).add(105.5, 1, Event.SLOT, 1500)
        history.receive(1, 11, 20, late_s=0.0).receive(2, 8, 20)
        found = history.figures(0.0, 0.0, 0.0)
        self.assertEqual((found.missed, found.missed_by, found.missed_connected), (5, 2, 1))

    def test_a_refusal_with_a_slot(self) -> None:
        """A server that is there may move the slot."""
        history = History().receive(0, 0, 20).receive(1, 0, 5)
        history.add(105.5, 1, Event.CLOSED, 2).add(105.5, 1, Event.SLOT, 1500)
        history.add(107.0, 1, Event.REFUSED, 0, 503).add(107.0, 1, Event.SLOT, 5000, 1)
        history.receive(1, 13, 20)
        found = history.figures(0.0, 0.0)
        self.assertEqual((found.missed, found.refused), (0, {"503": 1}))

    def test_absent_at_the_end(self) -> None:
        """A watcher that is not back makes the time until all are back no shorter."""
        history = History().receive(0, 0, 20).receive(1, 0, 5).receive(2, 0, 5)
        for watcher in (1, 2):
            history.add(106.0, watcher, Event.CLOSED, 2).add(106.0, watcher, Event.SLOT, 1000)
        history.receive(1, 7, 20)
        found = history.figures(0.0, 0.0, 0.0)
        self.assertEqual((found.dropped, found.absent, found.back_s), (2, 1, 2.0))

    def test_dropped_twice(self) -> None:
        """The watcher is back after the second time only, and counts once."""
        history = History().receive(0, 0, 20).receive(1, 0, 6)
        history.add(106.5, 1, Event.CLOSED, 2).add(107.0, 1, Event.RECEIVED, 7)
        history.add(107.5, 1, Event.CLOSED, 3).add(109.0, 1, Event.RECEIVED, 9)
        found = history.figures(0.0, 0.0)
        self.assertEqual((found.dropped, found.drops), (1, {"reset": 1, "end": 1}))
        self.assertAlmostEqual(found.back_s, 4.0)

    def test_many_absences(self) -> None:
        """Slots that follow each other move a deadline as far as they reach without a gap."""
        watcher = Watcher(0.0)
        for now, slot in ((105.0, 106.0), (106.5, 110.0), (113.0, 115.0)):
            watcher.come_back_at(now, slot, told=True)
        self.assertEqual(watcher.deadline(104.5, 1.0), 111.0)
        self.assertEqual(watcher.deadline(111.5, 1.0), 112.5)
        self.assertEqual(watcher.deadline(112.5, 1.0), 116.0)


class CountTests(SynchronousTestCase):
    def test_polls(self) -> None:
        """Their times are those of the requests; an idle poller is back with a 304."""
        history = History().receive(0, 0, 20)
        for at in range(101, 111):
            history.add(at, 1, Event.ANSWERED, at * 1000, 304)
        history.add(106.2, 1, Event.CLOSED, 3).add(98.0, 1, Event.ANSWERED, 1, 304).add(
            125.0, 1, Event.ANSWERED, 1, 304
        )
        found = history.figures(0.0, 60.0)
        self.assertEqual((found.polls, found.poll_p50_ms, found.poll_p99_ms), (10, 105.0, 110.0))
        self.assertEqual((found.dropped, found.back_s), (1, 2.0))

    def test_failures(self) -> None:
        """Answers are counted by their status, everything else by its cause."""
        history = History().receive(0, 0, 20)
        history.add(110.0, 1, Event.REQUEST_FAILED, 2).add(110.0, 1, Event.REQUEST_FAILED, 7, 503)
        history.add(110.0, 1, Event.CONNECT_FAILED, 4).add(110.0, 1, Event.RETRIED, 3)
        found = history.figures(0.0, 60.0)
        self.assertEqual((found.failed, found.refused, found.retried), ({"reset": 1, "503": 1}, {"timeout": 1}, 1))

    def test_handshakes(self) -> None:
        """The most in one second of the clock."""
        history = History().receive(0, 0, 20)
        for at in (104.9, 105.1, 105.5, 105.9, 106.0, 99.0):
            history.add(at, 1, Event.CONNECTED, 1000, 1)
        found = history.figures(0.0, 60.0)
        self.assertEqual((found.handshakes, found.handshakes_peak, found.certificates), (5, 3, 1))

    def test_gap(self) -> None:
        """The longest time without a new version, also at the end of the window."""
        self.assertAlmostEqual(History().receive(0, 0, 5).receive(0, 9, 20).figures(0.0).gap_s, 4.0)
        self.assertAlmostEqual(History().receive(0, 0, 5).figures(0.0).gap_s, 15.0)

    def test_spread(self) -> None:
        """From the first subscriber to the last."""
        found = History().receive(0, 0, 20).receive(1, 0, 20, late_s=0.25).figures(0.0, 0.0)
        self.assertAlmostEqual(found.spread_p99_ms, 250.0)
        self.assertEqual(found.deliveries, 41)  # the last one comes after the window
