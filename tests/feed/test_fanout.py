"""The distribution: pushes, batches and slices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from unittest import mock

from livefeed.document.history import History
from livefeed.document.snapshot import Sequence, Snapshot
from livefeed.feed.fanout import BATCH, SLICE, SLICE_S, Fanout
from livefeed.feed.feed import Feed
from livefeed.feed.state import State
from livefeed.testing import publish
from tests.helpers.feeds import (
    BrokenSubscriberError,
    FeedTestCase,
    RecordingAudience,
    RecordingMulticast,
    RecordingSubscriber,
    break_down,
    iter_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable


class PushTests(FeedTestCase):
    """The pushes of the document."""

    def test_tick_sends_at_each_good_pull(self) -> None:
        """An unchanged document is sent again with push=tick, as a heartbeat."""
        feed = self.feed(push="tick")
        subscriber, _ = self.follow(feed)
        for document in (b"1", b"1", b"2"):
            publish(feed, document)
        self.assertEqual(subscriber.documents, [b"1", b"1", b"2"])

    def test_pull_between_ticks_is_no_sign_of_life(self) -> None:
        """The unchanged document is sent at ticks alone."""
        feed = self.feed()
        subscriber, _ = self.follow(feed)
        publish(feed, b"1")
        publish(feed, b"1", is_tick=False)
        self.assertEqual(subscriber.documents, [b"1"])
        publish(feed, b"1")
        self.assertEqual(subscriber.documents, [b"1", b"1"])

    def test_change_sends_changes_only(self) -> None:
        """An unchanged document is not sent again with push=change, but a change back is."""
        feed = self.feed(push="change")
        subscriber, _ = self.follow(feed)
        for document in (b"1", b"1", b"2", b"1", b"1"):
            publish(feed, document)
        self.assertEqual(subscriber.documents, [b"1", b"2", b"1"])

    def test_nothing_is_pushed_without_a_snapshot(self) -> None:
        """The feed may be that of a part of which no version could be made."""
        fanout, subscriber = Fanout("feed", self.clock), RecordingSubscriber()
        fanout.add(subscriber, repeats=True, with_state=True, audience=None, expire=None)
        for to_all in (False, True):
            fanout.push_state(to_all=to_all)
        self.assertEqual((subscriber.sent, self.clock.getDelayedCalls()), ([], []))
        fanout.take(Snapshot.of(b"1", Sequence(1, 1)))
        self.assertTrue(fanout.is_unpushed)
        fanout.push()
        self.assertEqual((subscriber.documents, fanout.is_unpushed, fanout.pushes), ([b"1"], False, 1))

    def test_deliveries_are_counted(self) -> None:
        """Each push counts its subscribers, those that leave with it too, and no one twice that it did not reach."""
        feed = self.feed()
        followers = [feed.subscribe(RecordingSubscriber()) for _ in range(SLICE + 10)]
        publish(feed, b"1")
        publish(feed, b"2")
        self.assertEqual(feed.tally.delivered, 2 * SLICE + 10)
        self.clock.advance(1.0)
        for each in followers[2:]:
            each.cancel()
        before = feed.tally.delivered
        publish(feed, b"2")
        self.assertEqual(feed.tally.delivered - before, 2)
        leaving = RecordingSubscriber()
        subscription = feed.subscribe(leaving)
        leaving.then = subscription.cancel
        publish(feed, b"3")
        self.assertEqual(feed.tally.delivered - before, 5)


class TimesTests(FeedTestCase):
    """How long pushes take."""

    def test_spread(self) -> None:
        """From the first to the last subscriber of a push; one that a newer version has overtaken does not count."""
        feed = self.feed()
        for _ in range(2 * SLICE + 1):
            feed.subscribe(RecordingSubscriber())
        times = feed.fanout.times
        publish(feed, b"1")
        self.assertEqual(times.ended, 0)
        self.clock.advance(0.25)
        self.assertEqual((times.ended, times.spread_s, times.longest_s, times.work_s), (1, 0.25, 0.25, 0.0))
        publish(feed, b"2")
        publish(feed, b"3")
        self.clock.advance(0.125)
        self.assertEqual((times.ended, times.spread_s, times.longest_s), (2, 0.375, 0.25))

    def test_work(self) -> None:
        """The time of the slices."""
        feed = self.feed()
        subscriber = RecordingSubscriber()
        subscriber.then = lambda: self.clock.advance(0.125)
        feed.subscribe(subscriber)
        publish(feed, b"1")
        self.assertEqual((feed.fanout.times.work_s, feed.fanout.times.spread_s), (0.125, 0.125))


class BatchTests(FeedTestCase):
    """Subscribers that receive the same bytes are sent to together."""

    def test_audience_is_sent_to_together(self) -> None:
        """Subscribers that can take the same bytes are sent to together, and the others one by one."""
        feed = self.feed()
        audiences = RecordingAudience(), RecordingAudience()
        followers = [self.follow(feed, audience) for audience in (*audiences, None) for _ in range(3)]
        publish(feed, b"0")
        self.assertEqual([audience.sizes for audience in audiences], [[], []])
        followers[0][1].pause()
        followers[3][1].cancel()
        publish(feed, b"1")
        self.assertEqual([audience.sizes for audience in audiences], [[2], [2]])
        self.assertEqual([len(subscriber.sent) for subscriber, _ in followers], [1, 2, 2, 1, 2, 2, 2, 2, 2])
        followers[0][1].resume()
        self.assertEqual(followers[0][0].documents, [b"0", b"1"])
        publish(feed, b"2")
        publish(feed, b"3")
        self.assertEqual([audience.sizes for audience in audiences], [[2, 2, 3], [2, 2, 2]])
        self.assertEqual(followers[0][0].documents, [b"0", b"1", b"2", b"3"])

    def test_audiences_that_are_equal_are_one(self) -> None:
        """They may be any number of objects."""
        feed, audience = self.feed(), RecordingAudience()

        @dataclass(frozen=True)
        class EqualAudience:
            name: str

            def make_multicast(self) -> RecordingMulticast:
                return audience.make_multicast()

        for name in "aabab":
            feed.subscribe(RecordingSubscriber(), audience=EqualAudience(name))
        for document in (b"1", b"2"):
            publish(feed, document)
        self.assertEqual(sorted(audience.sizes), [2, 3])

    def test_what_one_of_a_multicast_was_sent_is_known_when_it_leaves(self) -> None:
        """After a pause, it is sent nothing if the document is the same, and a newer version once."""
        feed = self.feed()
        subscriber, subscription = self.follow(feed, RecordingAudience())
        for document in (b"1", b"2"):
            publish(feed, document)
        subscription.pause()
        publish(feed, b"2")
        subscription.resume()
        self.assertEqual(subscriber.documents, [b"1", b"2"])
        subscription.pause()
        publish(feed, b"3")
        subscription.resume()
        self.assertEqual(subscriber.documents, [b"1", b"2", b"3"])

    def test_one_of_a_multicast_that_is_sent_something_of_its_own(self) -> None:
        """It is sent that separately, and each later version once."""
        feed = self.feed()
        audience = RecordingAudience()
        (subscriber, subscription), (other, _) = self.follow(feed, audience), self.follow(feed, audience)
        publish(feed, b"1")
        assert feed.snapshot is not None
        subscription.deliver(feed.snapshot)
        publish(feed, b"2")
        publish(feed, b"3")
        self.assertEqual(subscriber.documents, [b"1", b"1", b"2", b"3"])
        self.assertEqual(other.documents, [b"1", b"2", b"3"])
        self.assertEqual(audience.sizes, [1, 2])

    def test_one_of_a_multicast_that_is_sent_nothing_twice(self) -> None:
        """Nor are all members, if they only want changes."""
        feed = self.feed()
        audience, subscriber = RecordingAudience(), RecordingSubscriber()
        feed.subscribe(subscriber, repeats=False, audience=audience)
        for document in (b"1", b"1", b"2", b"2", b"2"):
            publish(feed, document)
        self.assertEqual((subscriber.documents, audience.sizes), ([b"1", b"2"], [1]))

    def test_batches_that_have_become_small_are_merged(self) -> None:
        """Subscribers come and go; the remaining ones are in few batches, and are sent everything."""
        feed, audience = self.feed(), RecordingAudience()
        followers = [self.follow(feed, audience) for _ in range(20 * BATCH)]
        publish(feed, b"0")
        for _ in range(3):
            self.clock.advance(0)
        left = followers[:: BATCH // 2]
        for follower in followers:
            if follower not in left:
                follower[1].cancel()
        for number in range(1, 9):
            publish(feed, b"%d" % number)
            for _ in range(3):
                self.clock.advance(0)
        sizes = [multicast.sizes[-1] for multicast in audience.multicasts if multicast.subscribers]
        self.assertEqual(sum(sizes), len(left))
        self.assertLessEqual(len(sizes), 2 * -(-len(left) // BATCH))
        for subscriber, _ in left:
            self.assertEqual(subscriber.documents[1:], [b"%d" % number for number in range(1, 9)])

    def test_which_batches_are_merged(self) -> None:
        """Batches that are at most half full are merged, until they are more than half full."""
        half, quarter = BATCH // 2, BATCH // 4
        for sizes, merged in (
            ((half, half), [2 * half]),
            ((half + 1, half), [half + 1, half]),
            ((quarter,) * 2, [half]),
            ((quarter,) * 3, [3 * quarter]),
            ((quarter,) * 4, [3 * quarter, quarter]),
            ((quarter, half, quarter, 1, BATCH), [3 * quarter, quarter + 1, BATCH]),
        ):
            feed, audience = self.feed(), RecordingAudience()
            followers = [[self.follow(feed, audience) for _ in range(BATCH)] for _ in sizes]
            publish(feed, b"0")
            for several, size in zip(followers, sizes, strict=True):
                for _, subscription in several[size:]:
                    subscription.cancel()
            publish(feed, b"1")
            self.assertEqual([unit.size for unit in feed.fanout._units()], merged)
            for several, size in zip(followers, sizes, strict=True):
                self.assertEqual([len(subscriber.sent) for subscriber, _ in several[:size]], [2] * size)

    def test_one_of_an_audience_that_was_cancelled_in_the_same_turn(self) -> None:
        """A subscription that another's send has ended gets nothing more."""
        feed = self.feed()
        audience = RecordingAudience()
        member, subscription = self.follow(feed, audience)
        other, _ = self.follow(feed)
        other.then = subscription.cancel
        publish(feed, b"1")
        self.assertEqual((member.sent, audience.sizes), ([], []))

    def test_one_of_a_multicast_that_was_cancelled_by_another(self) -> None:
        """It is not sent to any more."""
        feed = self.feed()
        followers = [self.follow(feed, RecordingAudience()) for _ in range(2)]
        publish(feed, b"1")
        for (subscriber, _), (_, subscription) in (followers, followers[::-1]):
            subscriber.then = subscription.cancel
        publish(feed, b"2")
        self.assertEqual(sorted(subscriber.documents for subscriber, _ in followers), [[b"1"], [b"1", b"2"]])

    def test_one_of_a_batch_that_was_cancelled_by_another(self) -> None:
        """It is not sent to any more, even if it is next in the same batch."""
        feed, audience = self.feed(), RecordingAudience()
        (first, _), (second, subscription) = self.follow(feed, audience), self.follow(feed, audience)
        first.then = subscription.cancel
        publish(feed, b"1")
        self.assertEqual((first.documents, second.documents), ([b"1"], []))

    def test_batch_is_told_that_the_document_has_expired(self) -> None:
        """Each member is called, and sent the document when it may be shown again."""
        feed, audience, calls = self.feed(), RecordingAudience(), list[int]()
        feed.gone_after_s = 10
        followers = [RecordingSubscriber() for _ in range(3)]
        for number, follower in enumerate(followers):
            feed.subscribe(follower, audience=audience, expire=partial(calls.append, number))
        publish(feed, b"1")
        self.clock.advance(10)
        self.assertEqual(calls, [0, 1, 2])
        publish(feed, b"1")
        self.assertEqual([follower.documents for follower in followers], [[b"1", b"1"]] * 3)


class SliceTests(FeedTestCase):
    """A push is spread over several turns of the reactor."""

    def test_everybody_is_pushed_to_in_slices(self) -> None:
        """Each subscriber is sent each version once, alone or in an audience; other clients get turns in between."""
        feed = self.feed()
        audience = RecordingAudience()
        followers = [self.follow(feed, audience if number % 3 else None)[0] for number in range(2 * SLICE + 5)]
        publish(feed, b"1")
        alone = -(-len(followers) // 3)
        self.assertEqual(sum(len(follower.sent) for follower in followers), alone + (SLICE - alone) // BATCH * BATCH)
        self.clock.advance(0)
        self.clock.advance(0)
        self.assertEqual([follower.documents for follower in followers], [[b"1"]] * len(followers))

    def test_slices_of_one_kind_are_full(self) -> None:
        """This holds for subscribers that are sent to one by one, and together."""
        for audience in (None, RecordingAudience()):
            feed = self.feed()
            followers = [self.follow(feed, audience)[0] for _ in range(2 * SLICE + 5)]
            publish(feed, b"1")
            self.assertEqual(sum(len(follower.sent) for follower in followers), SLICE)

    def test_a_slice_is_shorter_where_it_takes_long(self) -> None:
        """A slice that has taken exactly its time goes on, and one that has taken more does not."""
        feed = self.feed()
        followers = [self.follow(feed)[0] for _ in range(4)]
        took_s = iter((SLICE_S, SLICE_S / 2))

        def take() -> None:
            self.clock.rightNow += next(took_s, 0.0)

        for follower in followers:
            follower.then = take
        publish(feed, b"1")
        self.assertEqual([len(follower.sent) for follower in followers], [1, 1, 0, 0])
        self.clock.advance(0)
        self.assertEqual([len(follower.sent) for follower in followers], [1, 1, 1, 1])

    def test_one_call_goes_on_with_what_is_pushed(self) -> None:
        """One delayed call serves every push; other clients get their turns in between."""
        feed = self.feed(push="change")
        for _ in range(3 * SLICE):
            feed.subscribe(RecordingSubscriber(), with_state=True)
        for begin in (lambda: publish(feed, b"1"), lambda: publish(feed, b"2"), feed.mark_stale):
            begin()
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nobody_is_always_last(self) -> None:
        """Each push begins with another subscriber, for any number of them, even if every push reaches all."""
        for count in (2, 3, 7, BATCH, SLICE, SLICE + 1, 3 * SLICE):
            feed, order = self.feed(), list[int]()
            for number in range(count):
                feed.subscribe(RecordingSubscriber(then=partial(order.append, number)))
            last = set()
            for version in range(4):
                order.clear()
                publish(feed, b"%d" % version)
                for _ in range(4):
                    self.clock.advance(0)
                self.assertEqual(sorted(order), [*range(count)])
                last.add(order[-1])
            self.assertGreater(len(last), 1, count)

    def test_those_who_were_not_reached_come_first(self) -> None:
        """Another version may be published before the last one has reached them."""
        feed = self.feed()
        followers = [self.follow(feed)[0] for _ in range(3 * SLICE)]
        for document in (b"1", b"2", b"3"):
            publish(feed, document)
        for number, document in enumerate((b"1", b"2", b"3")):
            reached = followers[number * SLICE : (number + 1) * SLICE]
            self.assertEqual([follower.documents for follower in reached], [[document]] * SLICE)

    def test_state_that_changes_in_the_middle_is_told_to_all(self) -> None:
        """Subscribers that were sent the version already are told, too, and the others are told once."""
        feed = self.feed(push="change")
        told: list[list[State]] = []
        for _ in range(2 * SLICE):
            subscriber, states = RecordingSubscriber(), list[State]()
            subscriber.then = lambda states=states: states.append(feed.state)  # type: ignore[misc]
            feed.subscribe(subscriber, with_state=True)
            told.append(states)
        publish(feed, b"1")
        feed.mark_stale()
        self.clock.advance(1)
        self.assertEqual(told, [[State.LIVE, State.STALE]] * SLICE + [[State.STALE]] * SLICE)

    def test_newcomers_while_a_version_is_pushed(self) -> None:
        """They are sent it once, when they subscribe."""
        feed, audience = self.feed(), RecordingAudience()
        followers = [self.follow(feed, audience)[0] for _ in range(3 * SLICE + 3)]
        for document in (b"1", b"2"):
            publish(feed, document)
            newcomers = [self.follow(feed, audience)[0]]
            self.clock.advance(0)
            newcomers.append(self.follow(feed, audience)[0])
            for _ in range(4):
                self.clock.advance(0)
            newcomers.append(self.follow(feed, audience)[0])
            self.assertEqual([newcomer.documents for newcomer in newcomers], [[document]] * 3)
        self.assertEqual([follower.documents for follower in followers], [[b"1", b"2"]] * len(followers))

    def test_newcomers_while_others_are_told_of_the_state(self) -> None:
        """They are sent the version with its state once, also while a version is pushed."""
        begins: tuple[Callable[[Feed], object], ...] = (Feed.mark_stale, lambda feed: publish(feed, b"2"))
        for begin in begins:
            feed, audience, other = self.feed(push="change"), RecordingAudience(), RecordingAudience()
            publish(feed, b"1")
            feed.subscribe(RecordingSubscriber(), with_state=True, audience=audience)
            for _ in range(3 * SLICE):
                feed.subscribe(RecordingSubscriber(), with_state=True, audience=other)
            begin(feed)
            newcomer = RecordingSubscriber()
            feed.subscribe(newcomer, with_state=True, audience=audience)
            for _ in range(4):
                self.clock.advance(0)
            assert feed.snapshot is not None
            self.assertEqual(newcomer.documents, [feed.snapshot.data])

    def test_newcomers_while_the_source_is_away(self) -> None:
        """Subscribers that join one by one at different ticks are in few batches, too."""
        feed, audience = self.feed(), RecordingAudience()
        publish(feed, b"1")
        for _ in range(4 * BATCH):
            feed.subscribe(RecordingSubscriber(), with_state=True, audience=audience)
            feed.mark_stale()
        self.assertLessEqual(len([multicast for multicast in audience.multicasts if multicast.subscribers]), 8)

    def test_resuming_while_a_version_is_pushed(self) -> None:
        """A subscriber that is sent the owed version is not sent it again in its turn, but the next sign of life."""
        for in_audience in (False, True):
            feed, audience = self.feed(), RecordingAudience()
            followers = [self.follow(feed, audience if in_audience else None) for _ in range(3 * SLICE)]
            for _, subscription in followers:
                subscription.pause()
            publish(feed, b"1")
            for _ in range(3):
                self.clock.advance(0)
            publish(feed, b"2")
            for _, subscription in followers:
                subscription.resume()
            for _ in range(3):
                self.clock.advance(0)
            self.assertEqual([subscriber.documents for subscriber, _ in followers], [[b"2"]] * len(followers))
            publish(feed, b"2")
            for _ in range(3):
                self.clock.advance(0)
            self.assertEqual([subscriber.documents for subscriber, _ in followers], [[b"2", b"2"]] * len(followers))

    def test_leaving_while_being_sent_to(self) -> None:
        """A subscriber may end its own subscription from within send."""
        feed = self.feed()
        leaving, subscription = self.follow(feed)
        leaving.then = subscription.cancel
        staying, _ = self.follow(feed)
        publish(feed, b"1")
        publish(feed, b"2")
        self.assertEqual(leaving.documents, [b"1"])
        self.assertEqual(staying.documents, [b"1", b"2"])

    def test_one_that_was_cancelled_in_the_same_turn(self) -> None:
        """When one subscriber's send ends another's subscription, that one is not sent to any more."""
        feed = self.feed()
        first, _ = self.follow(feed)
        second, subscription = self.follow(feed)
        third, _ = self.follow(feed)
        first.then = subscription.cancel
        publish(feed, b"1")
        self.assertEqual(second.sent, [])
        self.assertEqual(third.documents, [b"1"])

    def test_joining_during_a_turn(self) -> None:
        """A subscriber that joins from within another's send gets the snapshot once."""
        feed = self.feed()
        newcomer = RecordingSubscriber()
        first, _ = self.follow(feed)

        def join() -> None:
            first.then = lambda: None
            feed.subscribe(newcomer)

        first.then = join
        publish(feed, b"1")
        self.assertEqual(newcomer.documents, [b"1"])
        publish(feed, b"2")
        self.assertEqual(newcomer.documents, [b"1", b"2"])

    def test_version_that_broke_before_it_was_pushed(self) -> None:
        """No subscriber was sent it, so the next tick pushes it, although it is not new any more."""
        feed = self.feed(push="change")
        subscriber, _ = self.follow(feed)
        publish(feed, b"1")
        with (
            mock.patch.object(History, "add", side_effect=BrokenSubscriberError),
            self.assertRaises(BrokenSubscriberError),
        ):
            publish(feed, b"2")
        self.assertEqual(subscriber.documents, [b"1"])
        publish(feed, b"2")
        publish(feed, b"2")
        self.assertEqual(subscriber.documents, [b"1", b"2"])


class BrokenSubscriberTests(FeedTestCase):
    """The effect on the others when a subscriber or a multicast raises."""

    def test_broken_subscriber_is_dropped(self) -> None:
        """One that raises is logged and dropped; those before and after it are sent everything."""
        feed = self.feed()
        first, _ = self.follow(feed)
        broken = RecordingSubscriber(then=break_down)
        feed.subscribe(broken)
        last, _ = self.follow(feed)
        publish(feed, b"1")
        self.assertEqual(len(self.flushLoggedErrors(BrokenSubscriberError)), 1)
        publish(feed, b"2")
        self.assertEqual(first.documents, [b"1", b"2"])
        self.assertEqual(last.documents, [b"1", b"2"])
        self.assertEqual(broken.documents, [b"1"])
        self.assertEqual([each.dropped for each in (first, broken, last)], [0, 1, 0])
        self.assertEqual(feed.dropped, 1)
        self.assertIs(feed.state, State.LIVE)

    def test_broken_audience_is_dropped(self) -> None:
        """A subscriber of an audience that raises is dropped alone."""
        feed = self.feed()
        audience = RecordingAudience()
        member, _ = self.follow(feed, audience)
        member.then = break_down
        other, _ = self.follow(feed)
        publish(feed, b"1")
        self.assertEqual(len(self.flushLoggedErrors(BrokenSubscriberError)), 1)
        publish(feed, b"2")
        self.assertEqual((member.documents, other.documents), ([b"1"], [b"1", b"2"]))
        self.assertEqual((member.dropped, other.dropped), (1, 0))

    def joined(self, feed: Feed, count: int = 3) -> tuple[RecordingMulticast, list[RecordingSubscriber]]:
        """Gives a multicast and its subscribers, which have been sent the versions 1 and 2."""
        audience = RecordingAudience()
        members = [self.follow(feed, audience)[0] for _ in range(count)]
        for document in (b"1", b"2"):
            publish(feed, document)
        [multicast] = audience.multicasts
        self.assertEqual(multicast.subscribers, members)
        return multicast, members

    def test_message_to_a_multicast_that_breaks_once(self) -> None:
        """It is tried with each subscriber: none is disconnected, and the multicast has all of them again."""
        feed = self.feed(push="change")
        multicast, members = self.joined(feed)
        multicast.first = break_down
        publish(feed, b"3")
        self.assertEqual(len(self.flushLoggedErrors(BrokenSubscriberError)), 1)
        multicast.first = lambda: None
        publish(feed, b"4")
        self.assertEqual([member.documents for member in members], [[b"1", b"2", b"3", b"4"]] * 3)
        self.assertEqual(([member.dropped for member in members], feed.dropped), ([0] * 3, 0))
        self.assertEqual((multicast.subscribers, multicast.sizes), (members, [3, 3]))

    def test_message_to_a_multicast_that_breaks_for_one(self) -> None:
        """Only that one is disconnected."""
        feed = self.feed()
        multicast, members = self.joined(feed)
        multicast.first = members[1].then = break_down
        publish(feed, b"3")
        self.assertTrue(self.flushLoggedErrors(BrokenSubscriberError))
        self.assertEqual([member.dropped for member in members], [0, 1, 0])
        multicast.first = lambda: None
        publish(feed, b"4")
        self.assertEqual([len(member.sent) for member in members], [4, 3, 4])
        self.assertEqual(multicast.subscribers, [members[0], members[2]])

    def test_multicast_that_breaks_again_and_again(self) -> None:
        """All are disconnected: no subscriber stays connected without being sent anything. It is logged once."""
        feed = self.feed()
        multicast, members = self.joined(feed)
        multicast.first = break_down
        for member in members:
            member.then = break_down
        publish(feed, b"3")
        self.assertEqual(len(self.flushLoggedErrors(BrokenSubscriberError)), 1)
        self.assertEqual(([member.dropped for member in members], feed.dropped), ([1] * 3, 3))
        self.assertEqual(feed.subscriptions, {})
        publish(feed, b"4")
        self.assertEqual([len(member.sent) for member in members], [3] * 3)

    def test_paused_one_of_a_multicast_that_breaks(self) -> None:
        """It is owed the version as usual."""
        feed = self.feed()
        audience = RecordingAudience()
        (slow, subscription), (quick, _) = self.follow(feed, audience), self.follow(feed, audience)
        for document in (b"1", b"2"):
            publish(feed, document)
        subscription.pause()
        audience.multicasts[0].first = break_down
        publish(feed, b"3")
        self.assertEqual(len(self.flushLoggedErrors(BrokenSubscriberError)), 1)
        self.assertEqual((slow.documents, quick.documents), ([b"1", b"2"], [b"1", b"2", b"3"]))
        subscription.resume()
        self.assertEqual(slow.documents, [b"1", b"2", b"3"])

    def test_multicast_that_cannot_be_joined(self) -> None:
        """A subscriber that may or may not be in the multicast is disconnected, and the others are sent to."""
        feed, audience = self.feed(), RecordingAudience()
        members = [self.follow(feed, audience)[0] for _ in range(3)]
        [multicast] = audience.multicasts
        multicast.added = iter_of(lambda: None, break_down, lambda: None)
        publish(feed, b"1")
        self.assertEqual(len(self.flushLoggedErrors(BrokenSubscriberError)), 1)
        self.assertEqual([member.dropped for member in members], [0, 1, 0])
        publish(feed, b"2")
        self.assertEqual([member.documents for member in members], [[b"1", b"2"], [b"1"], [b"1", b"2"]])

    def test_broken_subscriber_that_cannot_be_disconnected(self) -> None:
        """Both errors are logged, and the others are sent to."""
        feed = self.feed()
        broken, _ = self.follow(feed)
        broken.then = break_down
        self.patch(broken, "drop", break_down)
        other, subscription = self.follow(feed)
        publish(feed, b"1")
        self.assertEqual(len(self.flushLoggedErrors(BrokenSubscriberError)), 2)
        self.assertEqual((other.documents, list(feed.subscriptions)), ([b"1"], [subscription]))

    def test_what_many_raise_is_logged_once(self) -> None:
        """Each type of exception is logged once in each tick and each push."""
        feed = self.feed(push="change")
        publish(feed, b"1")

        def break_otherwise() -> None:
            raise ValueError

        def join() -> int:
            for then in (break_down, break_down, break_otherwise, break_otherwise):
                feed.subscribe(RecordingSubscriber(then=then))
            return len(self.flushLoggedErrors(BrokenSubscriberError, ValueError))

        self.assertEqual((join(), join()), (2, 2))
        feed.subscribe(RecordingSubscriber(then=break_otherwise))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 0)
        feed.begin_tick()
        feed.subscribe(RecordingSubscriber(then=break_otherwise))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual((feed.dropped, feed.subscriptions), (10, {}))

    def test_broken_newcomer_is_not_kept(self) -> None:
        """One that raises while it is sent its first snapshot is disconnected."""
        feed = self.feed()
        publish(feed, b"1")
        broken = RecordingSubscriber(then=break_down)
        feed.subscribe(broken)
        self.assertEqual(len(self.flushLoggedErrors(BrokenSubscriberError)), 1)
        self.assertEqual((broken.dropped, feed.subscriptions), (1, {}))
