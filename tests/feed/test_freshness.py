"""How current the document of a feed is, and how long it stays so."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from twisted.internet.task import Clock

from livefeed.clocks import Moment
from livefeed.document.snapshot import Sequence
from livefeed.document.stored_version import StoredVersion
from livefeed.feed.feed import Feed
from livefeed.feed.freshness import OVERDUE_S
from livefeed.feed.notice import Notice
from livefeed.feed.state import State
from livefeed.testing import publish
from tests.helpers.feeds import NOW, FeedTestCase

if TYPE_CHECKING:
    from livefeed.config.settings import Push


class ReasonTests(FeedTestCase):
    """The reason of the state, as an operator is told it."""

    def test_reasons(self) -> None:
        """Nothing pulled, a good pull, a pull that failed while the feed is live, and the silence of the source."""
        feed = self.feed()
        reasons = [feed.reason]
        publish(feed, b"1")
        reasons.append(feed.reason)
        feed.stale_after_s = 5
        feed.mark_stale("redis: away")
        reasons.append(feed.reason)
        publish(feed, b"1")
        reasons.append(feed.reason)
        feed.start_watching(3)
        self.clock.advance(6)
        reasons.append(feed.reason)
        feed.stop_watching()
        self.assertEqual(reasons, ["nothing was pulled yet", "", "redis: away", "", "no pull has ended for 6 s"])

    def test_restored(self) -> None:
        """A version of an earlier process has its age for a reason."""
        feed = self.feed()
        feed.restore([StoredVersion(b"1", Sequence(7, 1), NOW - 9)], age_s=9)
        self.assertEqual(feed.reason, "its document was last confirmed 9 s ago")


class PublicReasonTests(FeedTestCase):
    """The reason that watchers are told, if the operator allows it."""

    def test_public_reasons(self) -> None:
        """Decisions, failed pulls, silence; it has no times, which would change all the time."""
        feed = self.feed()
        part = Feed("results/a", clock=self.clock, whole=feed)
        publish(feed, b"1")
        feed.mark_stale("redis: away")
        self.assertEqual((feed.public_reason(), part.public_reason()), ("", ""))
        feed.tell_reasons(are_public=True)
        self.assertEqual((feed.public_reason(), part.public_reason()), ("redis: away", "redis: away"))
        feed.heed(Notice(State.HELD, "a recount"))
        self.assertEqual(feed.public_reason(), "a recount")
        for decision in (State.HELD, State.ENDED, State.WITHDRAWN):
            feed.decide(decision)
            # The state says its own meaning.
            self.assertEqual((feed.state, feed.public_reason()), (decision, ""))
        feed.decide(None)
        publish(feed, b"1")
        self.assertEqual(feed.public_reason(), "")
        feed.start_watching(3)
        self.clock.advance(6)
        self.assertEqual(feed.public_reason(), "nothing was heard of the source")
        feed.stop_watching()

    def test_long_reason(self) -> None:
        """It is cut."""
        feed = self.feed()
        feed.tell_reasons(are_public=True)
        feed.mark_stale("x" * 201)
        self.assertEqual(feed.public_reason(), "x" * 197 + "...")

    def test_waiting(self) -> None:
        """A part waits with its whole."""
        feed = self.feed()
        part = Feed("results/a", clock=self.clock, whole=feed)
        self.assertIsNone(part.waiting_s())
        feed.heed(Notice(State.HELD, "", Moment(NOW - 5, NOW - 5)))
        self.assertEqual((feed.waiting_s(), part.waiting_s()), (5.0, 5.0))


class HeldTests(FeedTestCase):
    """The expiry of a document while a newer one waits, or that an operator has chosen."""

    def test_waiting(self) -> None:
        """Pulls confirm nothing then, so the age counts."""
        feed = self.feed()
        feed.gone_after_s = 10.0
        publish(feed, b"1")
        self.clock.advance(4)
        feed.note_held()
        self.assertEqual(feed.expires_in_s(), 10.0)
        feed.heed(Notice(State.HELD, "", Moment(NOW, NOW)))
        self.assertEqual(feed.expires_in_s(), 6.0)

    def test_chosen(self) -> None:
        """The time since the choice counts."""
        feed = self.feed()
        feed.gone_after_s = 10.0
        publish(feed, b"1")
        self.clock.advance(30)
        now_s = self.clock.seconds()
        feed.heed(Notice(State.HELD, "", None, "pin", Moment(now_s - 1, now_s - 1)))
        self.assertEqual((feed.expires_in_s(), feed.age_s()), (9.0, 30.0))


class TimeTests(FeedTestCase):
    """Ages, and the time until the next tick."""

    def test_age_counts_from_the_last_confirmation(self) -> None:
        """The age grows with the clock until a pull confirms the snapshot."""
        feed = self.feed()
        publish(feed, b"1")
        self.clock.advance(2.5)
        self.assertEqual(feed.age_s(), 2.5)
        feed.mark_stale()
        self.assertEqual(feed.age_s(), 2.5)
        publish(feed, b"1")
        self.assertEqual(feed.age_s(), 0.0)

    def test_age_is_never_negative(self) -> None:
        """A clock that is set back gives an age of 0."""
        feed = self.feed()
        publish(feed, b"1")
        self.clock.rightNow -= 3600
        self.assertEqual(feed.age_s(), 0.0)

    def test_wall_clock_is_displayed_and_nothing_else(self) -> None:
        """It begins the epoch, and is the time of each confirmation. Ages and ticks are measured by the other clock."""
        self.clock.rightNow = 50.0
        wall = Clock()
        wall.advance(NOW)
        feed = Feed("feed", clock=self.clock, wall=wall.seconds)
        publish(feed, b"1")
        assert feed.snapshot is not None
        self.assertEqual((feed.snapshot.sequence, feed.confirmed_at), (Sequence(int(NOW * 1000), 1), NOW))
        self.assertEqual(feed.pushed_at, 50.0)
        for clock in (self.clock, wall):
            clock.advance(5)
        self.assertEqual((feed.age_s(), feed.confirmed_at), (5.0, NOW))

    def test_wall_clock_is_set(self) -> None:
        """The age ignores a step of a second or a day in any direction, and the displayed time is that long ago."""
        for step_s in (-86400, -3600, -60, -2, 2, 60, 3600, 86400):
            wall = Clock()
            wall.advance(NOW)
            feed = Feed("feed", clock=self.clock, wall=wall.seconds)
            publish(feed, b"1")
            self.clock.advance(5)
            wall.rightNow += 5 + step_s
            self.assertEqual((feed.age_s(), feed.confirmed_at), (5.0, NOW + step_s))
            publish(feed, b"1")
            self.assertEqual((feed.age_s(), feed.confirmed_at), (0.0, NOW + step_s + 5))

    def test_confirmed_a_moment_ago(self) -> None:
        """A pull confirms the document at the time at which the pull began, by both clocks."""
        wall = Clock()
        wall.advance(7000)
        feed = Feed("feed", clock=self.clock, wall=wall.seconds)
        publish(feed, b"1")
        feed.confirm(self.clock.seconds() - 0.5)
        self.assertEqual((feed.age_s(), feed.confirmed_at), (0.5, 6999.5))

    def test_machine_that_was_just_started(self) -> None:
        """The clock begins at 0 then. Events that have not happened yet must not seem recent, nor due in an hour."""
        feed = Feed("feed", clock=Clock(), interval_s=3600.0, gone_after_s=0.5)
        self.assertEqual(
            (feed.age_s(), feed.next_tick_s(), feed.is_gone(), feed.confirmed_at), (0.0, OVERDUE_S, False, 0.0)
        )
        self.assertLess(feed.pushed_at, -3600)

    def test_next_tick(self) -> None:
        """It is due an interval after the last one began."""
        feed = self.feed(interval_s=10.0)
        feed.begin_tick()
        self.clock.advance(4)
        self.assertEqual(feed.next_tick_s(), 6.0)

    def test_overdue_tick(self) -> None:
        """While a source hangs, clients are told neither a time near 0 nor an hour: the tick is due."""
        for interval_s, expected_s in ((0.05, 0.05), (1.0, 1.0), (3600.0, OVERDUE_S)):
            feed = self.feed(interval_s=interval_s)
            feed.begin_tick()
            self.clock.advance(interval_s)
            for _ in range(20):
                self.assertEqual(feed.next_tick_s(), expected_s)
                self.clock.advance(interval_s / 10)

    def test_part_has_the_ticks_of_the_whole(self) -> None:
        """This includes the tick that is under way and has not updated the part yet."""
        whole = self.feed(interval_s=10.0)
        part = Feed("feed/a", clock=self.clock, interval_s=10.0, whole=whole)
        whole.begin_tick()
        self.clock.advance(4)
        self.assertEqual(part.next_tick_s(), 6.0)

    def test_heartbeat(self) -> None:
        """It comes at ticks alone, several times in the life of a document, and not rarer than its limit allows."""
        times = ((0.5, inf, 3), (0.7, inf, 2.8), (1, inf, 3), (2, inf, 2), (60, inf, 60), (1, 6, 2), (1, 2, 1))
        cases: list[tuple[Push, float, float, float]] = [("change", *each) for each in times]
        for push, interval_s, gone_after_s, heartbeat_s in (("tick", 0.5, inf, 0.5), *cases):
            feed = Feed("feed", clock=self.clock, interval_s=interval_s, gone_after_s=gone_after_s, push=push)
            part = Feed("feed/a", clock=self.clock, push="change", whole=feed)
            self.assertAlmostEqual(feed.heartbeat_s(), heartbeat_s)
            self.assertAlmostEqual(part.heartbeat_s(), heartbeat_s)

    def test_next_tick_is_never_further_than_the_interval(self) -> None:
        """A clock that is set back must not tell caches to keep a document for an hour."""
        feed = self.feed(interval_s=10.0)
        feed.begin_tick()
        self.clock.rightNow -= 3600
        self.assertLessEqual(feed.next_tick_s(), 10.0)

    def test_time_left(self) -> None:
        """A part has the time of its whole. Without a document nothing expires, and neither does an ended one."""
        whole = self.feed()
        whole.stale_after_s, whole.gone_after_s = 4, 10
        part = Feed("feed/a", clock=self.clock, gone_after_s=1, whole=whole)
        self.assertEqual((whole.expires_in_s(), whole.has_heard), (inf, False))
        publish(whole, b"1")
        self.clock.advance(3)
        self.assertEqual((whole.stale_in_s(), whole.expires_in_s(), part.expires_in_s()), (1, 7, 7))
        self.assertTrue(whole.has_heard)
        whole.decide(State.ENDED)
        self.assertEqual((whole.expires_in_s(), part.expires_in_s()), (inf, inf))
