"""Subscriptions: each owes its subscriber the newest version, and never more."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from livefeed.document.snapshot import version_of
from livefeed.testing import publish
from tests.helpers.feeds import (
    BrokenSubscriberError,
    FeedTestCase,
    RecordingAudience,
    RecordingSubscriber,
    break_down,
)

if TYPE_CHECKING:
    from livefeed.config.settings import Push


class SubscribeTests(FeedTestCase):
    """Beginning and ending subscriptions."""

    def test_newest_snapshot_comes_at_once(self) -> None:
        """A subscriber need not wait for the next tick."""
        feed = self.feed()
        publish(feed, b"1")
        publish(feed, b"2")
        subscriber, _ = self.follow(feed)
        self.assertEqual(subscriber.documents, [b"2"])

    def test_nothing_comes_before_the_first_document(self) -> None:
        """A feed without a snapshot sends nothing; the first snapshot is sent when it is published."""
        feed = self.feed()
        subscriber, _ = self.follow(feed)
        self.assertEqual(subscriber.sent, [])
        publish(feed, b"1")
        self.assertEqual(subscriber.documents, [b"1"])

    def test_version_that_a_newcomer_has_is_not_sent(self) -> None:
        """Neither after a pause nor when it is published again: only a sign of life or another version is sent."""
        for with_state in (False, True):
            feed = self.feed(push="change")
            publish(feed, b"1")
            subscriber = RecordingSubscriber()
            subscription = feed.subscribe(subscriber, with_state=with_state, have=version_of(b"1"))
            subscription.pause()
            subscription.resume()
            publish(feed, b"1")
            self.assertEqual(subscriber.sent, [])
            publish(feed, b"2")
            self.assertEqual(subscriber.documents, [b"2"])
        feed = self.feed(push="tick")
        publish(feed, b"1")
        feed.subscribe(subscriber, repeats=False, have=version_of(b"1"))
        publish(feed, b"1")
        self.assertEqual(subscriber.documents, [b"2"])

    def test_cancelled_subscription_gets_nothing(self) -> None:
        """After its end nothing is sent; ending it twice is no error."""
        for audience in (None, RecordingAudience()):
            feed = self.feed()
            subscriber, subscription = self.follow(feed, audience)
            subscription.cancel()
            subscription.cancel()
            publish(feed, b"1")
            self.assertEqual(subscriber.sent, [])
            self.assertEqual((feed.subscriptions, feed.fanout._units()), ({}, []))

    def test_the_next_after_all_have_left(self) -> None:
        """It is sent each version, although the batch of its audience was closed before."""
        feed, audience = self.feed(), RecordingAudience()
        self.follow(feed, audience)[1].cancel()
        for document in (b"1", b"2"):
            subscriber, subscription = self.follow(feed, audience)
            publish(feed, document)
            self.assertEqual(subscriber.documents[-1:], [document])
            subscription.cancel()
            self.assertEqual(feed.fanout._units(), [])

    def test_cancelled_subscription_is_owed_nothing(self) -> None:
        """A transport that drains after the subscription has ended is not written to."""
        feed = self.feed()
        subscriber, subscription = self.follow(feed)
        subscription.pause()
        publish(feed, b"1")
        subscription.cancel()
        subscription.resume()
        self.assertEqual(subscriber.sent, [])

    def test_all_are_handed_the_same_snapshot(self) -> None:
        """Work is done once: each subscriber gets the very same object, in the order in which they came."""
        feed = self.feed()
        order: list[int] = []
        subscribers = [RecordingSubscriber() for _ in range(3)]
        for number, subscriber in enumerate(subscribers):
            subscriber.then = lambda number=number: order.append(number)  # type: ignore[misc]
            feed.subscribe(subscriber)
        publish(feed, b"1")
        for subscriber in subscribers:
            self.assertEqual(len(subscriber.sent), 1)
            self.assertIs(subscriber.sent[0], feed.snapshot)
        self.assertEqual(order, [0, 1, 2])


class SkippedTests(FeedTestCase):
    """Versions that a slow subscriber is not sent."""

    def test_counted(self) -> None:
        """Each version that a newer one replaces counts, and a repeated one does not."""
        for with_state in (False, True):
            feed = self.feed()
            subscriber = RecordingSubscriber()
            subscription = feed.subscribe(subscriber, with_state=with_state)
            publish(feed, b"0")
            subscription.pause()
            skipped = []
            for document in (b"0", b"1", b"1", b"2", b"3"):
                publish(feed, document)
                skipped.append(feed.fanout.skipped)
            self.assertEqual(skipped, [0, 0, 0, 1, 2])
            subscription.resume()
            self.assertEqual((subscriber.documents[-1], feed.fanout.skipped), (b"3", 2))


class ConflationTests(FeedTestCase):
    """The versions that a slow subscriber receives."""

    def test_paused_subscriber_skips_to_the_newest(self) -> None:
        """It is sent nothing while paused, and only the newest version afterwards."""
        feed = self.feed()
        subscriber, subscription = self.follow(feed)
        publish(feed, b"1")
        subscription.pause()
        for document in (b"2", b"3", b"4"):
            publish(feed, document)
        self.assertEqual(subscriber.documents, [b"1"])
        subscription.resume()
        self.assertEqual(subscriber.documents, [b"1", b"4"])

    def test_debt_is_paid_once(self) -> None:
        """Resuming again, after the owed version was sent, sends nothing."""
        feed = self.feed()
        subscriber, subscription = self.follow(feed)
        subscription.pause()
        publish(feed, b"1")
        subscription.resume()
        subscription.resume()
        subscription.pause()
        subscription.resume()
        self.assertEqual(subscriber.documents, [b"1"])

    def test_the_version_it_has_is_not_owed(self) -> None:
        """Ticks without a change leave a paused subscriber nothing to catch up with."""
        feed = self.feed(push="tick")
        subscriber, subscription = self.follow(feed)
        publish(feed, b"1")
        subscription.pause()
        publish(feed, b"1")
        publish(feed, b"1")
        subscription.resume()
        self.assertEqual(subscriber.documents, [b"1"])

    def test_what_went_and_came_back_is_not_owed(self) -> None:
        """It has the document already; the next ticks are as usual."""
        for repeats, later in ((False, [b"1"]), (True, [b"1", b"1"])):
            feed = self.feed(push="tick")
            publish(feed, b"1")
            subscriber = RecordingSubscriber()
            subscription = feed.subscribe(subscriber, repeats=repeats)
            subscription.pause()
            publish(feed, b"2")
            publish(feed, b"1")
            subscription.resume()
            self.assertEqual(subscriber.documents, [b"1"])
            publish(feed, b"1")
            self.assertEqual(subscriber.documents, later)

    def test_what_went_and_came_back_is_told_to_the_informed(self) -> None:
        """It is a later version, although the document is the same."""
        feed = self.feed()
        publish(feed, b"1")
        subscriber = RecordingSubscriber()
        subscription = feed.subscribe(subscriber, with_state=True)
        subscription.pause()
        publish(feed, b"2")
        publish(feed, b"1")
        subscription.resume()
        self.assertEqual([snapshot.sequence.number for snapshot in subscriber.sent], [1, 3])

    def test_nothing_is_owed_of_a_part_without_a_version(self) -> None:
        """Nor later: the next version is pushed, and that is all."""
        feed = self.feed(push="change")
        subscriber, subscription = self.follow(feed)
        subscription.pause()
        publish(feed, b"1")
        feed.fanout.newest = None
        subscription.resume()
        publish(feed, b"2")
        subscription.pause()
        subscription.resume()
        self.assertEqual(subscriber.documents, [b"2"])

    def test_nothing_is_owed_without_a_publish(self) -> None:
        """Pausing and resuming by themselves send nothing."""
        feed = self.feed()
        publish(feed, b"1")
        subscriber, subscription = self.follow(feed)
        subscription.pause()
        subscription.resume()
        self.assertEqual(subscriber.documents, [b"1"])

    def test_paused_before_the_first_document(self) -> None:
        """The first version is owed like any other."""
        feed = self.feed()
        subscriber, subscription = self.follow(feed)
        subscription.pause()
        publish(feed, b"1")
        self.assertEqual(subscriber.sent, [])
        subscription.resume()
        self.assertEqual(subscriber.documents, [b"1"])

    def test_full_again_while_it_catches_up(self) -> None:
        """A transport whose buffer fills immediately is paused again, and owed the next version, in an audience too."""
        for audience in (None, RecordingAudience()):
            feed = self.feed()
            subscriber, subscription = self.follow(feed, audience)
            subscriber.then = subscription.pause
            publish(feed, b"1")
            publish(feed, b"2")
            publish(feed, b"3")
            self.assertEqual(subscriber.documents, [b"1"])
            subscription.resume()
            self.assertEqual(subscriber.documents, [b"1", b"3"])
            publish(feed, b"4")
            self.assertEqual(subscriber.documents, [b"1", b"3"])
            subscription.resume()
            self.assertEqual(subscriber.documents, [b"1", b"3", b"4"])

    def test_pausing_one_leaves_the_others_alone(self) -> None:
        """A slow subscriber is slow for itself only."""
        feed = self.feed()
        _, slow = self.follow(feed)
        quick, _ = self.follow(feed)
        slow.pause()
        publish(feed, b"1")
        publish(feed, b"2")
        self.assertEqual(quick.documents, [b"1", b"2"])

    @settings(deadline=None, max_examples=200)
    @given(
        st.lists(st.sampled_from(["1", "2", "3", "pause", "resume"]), max_size=20),
        st.sampled_from(["tick", "change"]),
        st.booleans(),
    )
    def test_conflation_in_any_order(self, steps: list[str], push: Push, in_audience: bool) -> None:
        """Nothing is sent while paused, at most one by resume, never an old version, and the end is the newest."""
        feed = self.feed(push=push)
        subscriber, subscription = self.follow(feed, RecordingAudience() if in_audience else None)
        paused = False
        for step in [*steps, "resume"]:
            before = len(subscriber.sent)
            match step:
                case "pause":
                    subscription.pause()
                    paused = True
                case "resume":
                    subscription.resume()
                    paused = False
                    self.assertLessEqual(len(subscriber.sent) - before, 1)
                    if len(subscriber.sent) > before > 0:
                        self.assertNotEqual(subscriber.sent[-1].version, subscriber.sent[before - 1].version)
                case document:
                    publish(feed, document.encode())
            if paused:
                self.assertEqual(len(subscriber.sent), before)
            elif feed.snapshot is not None:
                self.assertEqual(subscriber.sent[-1].version, feed.snapshot.version)
        numbers = [snapshot.sequence.number for snapshot in subscriber.sent]
        self.assertEqual(numbers, sorted(numbers))

    def test_what_a_full_subscriber_asks_for_is_owed(self) -> None:
        """It has the version already, and is sent it once more when it can take it."""
        for audience in (None, RecordingAudience()):
            feed = self.feed(push="change")
            subscriber = RecordingSubscriber()
            subscription = feed.subscribe(subscriber, with_state=True, audience=audience)
            for document in (b"1", b"2"):
                publish(feed, document)
            subscription.pause()
            assert feed.snapshot is not None
            subscription.deliver(feed.snapshot)
            self.assertEqual(subscriber.documents, [b"1", b"2"])
            subscription.resume()
            subscription.resume()
            self.assertEqual(subscriber.documents, [b"1", b"2", b"2"])

    def test_one_that_breaks_while_it_catches_up(self) -> None:
        """A subscriber that raises while it gets something of its own is disconnected, as in its turn."""
        for own in (False, True):
            feed = self.feed()
            subscriber, subscription = self.follow(feed)
            publish(feed, b"1")
            assert feed.snapshot is not None
            subscriber.then = break_down
            if own:
                subscription.deliver(feed.snapshot)
            else:
                subscription.pause()
                publish(feed, b"2")
                subscription.resume()
            self.assertEqual(len(self.flushLoggedErrors(BrokenSubscriberError)), 1)
            self.assertEqual((subscriber.dropped, feed.subscriptions), (1, {}))


class ExpiredTests(FeedTestCase):
    """Subscriptions while the document must not be shown."""

    def setUp(self) -> None:
        super().setUp()
        self.expiring = self.feed()
        self.expiring.gone_after_s = 10
        publish(self.expiring, b"1")

    def test_subscriber_without_the_state_is_told_once(self) -> None:
        """It is sent nothing until the document may be shown again."""
        subscriber, calls = RecordingSubscriber(), list[int]()
        self.expiring.subscribe(subscriber, expire=partial(calls.append, 1))
        for _ in range(2):
            self.clock.advance(10)
            self.expiring.mark_stale()
            self.assertEqual((calls, subscriber.documents[1:]), ([1], []))
        publish(self.expiring, b"1")
        self.assertEqual(subscriber.documents, [b"1", b"1"])

    def test_subscriber_with_the_state_is_sent_the_snapshot(self) -> None:
        """It is told the state by that, and not by a call."""
        subscriber = RecordingSubscriber()
        self.expiring.subscribe(subscriber, with_state=True)
        self.clock.advance(10)
        self.assertEqual(subscriber.documents, [b"1", b"1"])

    def test_subscriber_that_raises_is_dropped(self) -> None:
        """One that cannot be told has ended, too."""
        subscriber = RecordingSubscriber()
        self.expiring.subscribe(subscriber, expire=break_down)
        self.clock.advance(10)
        self.assertEqual(len(self.flushLoggedErrors(BrokenSubscriberError)), 1)
        self.assertEqual((subscriber.dropped, self.expiring.subscriptions), (1, {}))

    def test_owed_document_is_withheld(self) -> None:
        """A subscriber that can take it again is sent it once it may be shown."""
        subscriber, subscription = self.follow(self.expiring)
        subscription.pause()
        publish(self.expiring, b"2")
        self.clock.advance(10)
        subscription.resume()
        self.assertEqual(subscriber.documents, [b"1"])
        publish(self.expiring, b"2")
        self.assertEqual(subscriber.documents, [b"1", b"2"])
