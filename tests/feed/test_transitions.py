"""The changes of the state of a feed: by ticks, failed pulls, decisions and time."""

from __future__ import annotations

import hashlib
from functools import partial
from math import inf
from typing import TYPE_CHECKING

from twisted.logger import capturedLogs, eventAsText

from livefeed.clocks import Moment
from livefeed.document.signature import Signed, Verified, verified
from livefeed.feed.fanout import SLICE
from livefeed.feed.feed import Feed
from livefeed.feed.notice import Notice
from livefeed.feed.signer import Stated
from livefeed.feed.state import DECISIONS, State
from livefeed.feed.subscription import Subscription
from livefeed.feed.transitions import LastError
from livefeed.testing import publish
from tests.helpers.feeds import (
    NOW,
    BrokenSubscriberError,
    FeedTestCase,
    RecordingAudience,
    RecordingSubscriber,
    break_down,
    tell_state,
)
from tests.helpers.signers import TRUSTED, BrokenSigner, make_signer

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.config.settings import Push
    from livefeed.feed.subscription import Subscription


class ObserverTests(FeedTestCase):
    """Functions that are called when the answers of the feed change."""

    def test_told_at_each_tick(self) -> None:
        """Observers are called for good pulls, with or without a change, and failed ones; they see the new state."""
        feed = self.feed()
        told: list[tuple[bytes, State]] = []
        feed.observe(lambda: told.append((feed.snapshot.data if feed.snapshot else b"", feed.state)))
        publish(feed, b"1")
        publish(feed, b"1")
        feed.mark_stale()
        publish(feed, b"2")
        self.assertEqual(told, [(b"1", State.LIVE), (b"1", State.LIVE), (b"1", State.STALE), (b"2", State.LIVE)])

    def test_observers_come_and_go(self) -> None:
        """An observer may remove itself while all are called; to remove an observer twice is an error."""
        feed, told = self.feed(), list[str]()

        def leave() -> None:
            told.append("leaving")
            feed.unobserve(leave)

        def stay() -> None:
            told.append("staying")

        feed.observe(leave)
        feed.observe(stay)
        for document in (b"1", b"2"):
            publish(feed, document)
        self.assertEqual(told, ["leaving", "staying", "staying"])
        self.assertRaises(ValueError, feed.unobserve, leave)

    def test_observer_that_raises(self) -> None:
        """It is logged, and the others are called."""
        feed, told = self.feed(), list[State]()
        feed.observe(break_down)
        feed.observe(partial(tell_state, feed, told))
        publish(feed, b"1")
        self.assertEqual(len(self.flushLoggedErrors(BrokenSubscriberError)), 1)
        self.assertEqual(told, [State.LIVE])

    def test_word_of_a_source_that_was_not_asked(self) -> None:
        """Observers are called if it makes the feed live again; otherwise only subscribers of each tick are told."""
        cases: tuple[tuple[Push, int], ...] = (("change", 0), ("tick", 1))
        for push, hears in cases:
            feed, told = self.feed(push=push), list[State]()
            feed.start_watching(4)
            feed.observe(partial(tell_state, feed, told))
            hearing = RecordingSubscriber()
            feed.subscribe(hearing, with_state=True)
            publish(feed, b"1")
            self.clock.advance(4)
            feed.skip_tick()
            self.assertEqual((told, len(hearing.sent)), ([State.LIVE, State.STALE, State.LIVE], 3))
            self.clock.advance(4)
            publish(feed, b"1")
            self.assertEqual((told[3:], len(hearing.sent)), ([State.STALE, State.LIVE], 5))
            for times in (1, 2):
                feed.skip_tick()
                self.assertEqual((told[5:], len(hearing.sent)), ([], 5 + times * hears))
            self.clock.advance(4)
            feed.skip_tick()
            told.clear()
            feed.skip_tick()
            self.assertEqual(told, [])


class StaleTests(FeedTestCase):
    """The time from which on a document counts as old."""

    def test_stale_after(self) -> None:
        """A short failure changes nothing; the first failing tick after the time makes the feed stale."""
        feed = self.feed()
        feed.stale_after_s = 5
        subscriber = RecordingSubscriber()
        feed.subscribe(subscriber, repeats=False, with_state=True)
        publish(feed, b"1")
        states = []
        for _ in range(7):
            self.clock.advance(1)
            feed.mark_stale()
            states.append(feed.state)
        self.assertEqual(states, [State.LIVE] * 4 + [State.STALE] * 3)
        publish(feed, b"1")
        self.assertIs(feed.state, State.LIVE)

    def test_recovery_is_told(self) -> None:
        """Only subscribers with the state are told, although the document is the same."""
        feed = self.feed(push="change")
        told: list[State] = []
        feed.subscribe(RecordingSubscriber(then=lambda: told.append(feed.state)), with_state=True)
        plain, _ = self.follow(feed)
        publish(feed, b"1")
        feed.mark_stale()
        publish(feed, b"1")
        publish(feed, b"1")
        self.assertEqual(told, [State.LIVE, State.STALE, State.LIVE])
        self.assertEqual(plain.documents, [b"1"])

    def test_failing_pulls_are_told(self) -> None:
        """Each is told if the feed sends signs of life, otherwise only the first. One call waits for the expiry."""
        cases: tuple[tuple[Push, int], ...] = (("change", 1), ("tick", 3))
        for push, times in cases:
            feed, hearing = self.feed(push=push), RecordingSubscriber()
            feed.patience_s, feed.gone_after_s = 4, 30
            feed.subscribe(hearing, with_state=True)
            publish(feed, b"1")
            for _ in range(3):
                feed.mark_stale()
                self.assertEqual(len(self.clock.getDelayedCalls()), 1)
            self.assertEqual(len(hearing.sent), 1 + times)
            feed.stop_watching()

    def test_stale_from_the_start(self) -> None:
        """A feed without a document is not live."""
        feed = self.feed()
        feed.stale_after_s = 5
        feed.mark_stale()
        self.assertIs(feed.state, State.STALE)

    def test_stale_by_itself(self) -> None:
        """This needs no tick. Observers and subscribers with the state are told once."""
        feed = self.feed()
        feed.start_watching(4)
        told: list[State] = []
        feed.observe(lambda: told.append(feed.state))
        hearing = RecordingSubscriber()
        feed.subscribe(hearing, with_state=True)
        publish(feed, b"1")
        self.clock.pump([1] * 3)
        publish(feed, b"1")
        self.clock.pump([1] * 3)
        self.assertEqual((feed.state, len(hearing.sent)), (State.LIVE, 2))
        with capturedLogs() as events:
            self.clock.pump([1] * 5)
        self.assertEqual(
            [eventAsText(event).partition("#warn] ")[2] for event in events],
            ['feed "feed" is stale: no pull has ended for 4 s'],
        )
        self.assertEqual((feed.state, len(hearing.sent)), (State.STALE, 3))
        self.assertEqual(told, [State.LIVE, State.LIVE, State.STALE])
        publish(feed, b"1")
        self.assertIs(feed.state, State.LIVE)
        self.clock.advance(4)
        self.assertIs(feed.state, State.STALE)

    def test_stale_by_itself_not_before_it_may_be(self) -> None:
        """The operator may allow more time than that."""
        feed = self.feed()
        feed.patience_s, feed.stale_after_s = 4, 20
        publish(feed, b"1")
        self.clock.pump([1] * 19)
        self.assertIs(feed.state, State.LIVE)
        self.clock.advance(1)
        self.assertIs(feed.state, State.STALE)

    def test_failing_feed_is_stale_by_itself(self) -> None:
        """It becomes stale when that is due, not at the next tick. A source's word that a document holds is no pull."""
        feed = self.feed()
        feed.patience_s, feed.stale_after_s = 40, 20
        publish(feed, b"1")
        self.clock.advance(10)
        self.assertEqual(feed.stale_in_s(), 10)
        feed.mark_stale("is away")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(9)
        feed.skip_tick()
        self.assertIs(feed.state, State.LIVE)
        with capturedLogs() as events:
            self.clock.advance(1)
        self.assertEqual((feed.state, feed.stale_in_s()), (State.STALE, 0))
        self.assertEqual(
            [eventAsText(event).partition("#warn] ")[2] for event in events], ['feed "feed" is stale: is away']
        )
        feed.skip_tick()
        self.assertIs(feed.state, State.STALE)
        # A good pull ends this, even before the feed was stale. Then it counts when the source was last heard of.
        publish(feed, b"1")
        feed.mark_stale("is away")
        publish(feed, b"1")
        self.clock.advance(39)
        self.assertIs(feed.state, State.LIVE)
        self.clock.advance(1)
        self.assertIs(feed.state, State.STALE)

    def test_source_that_was_not_asked_is_heard_of(self) -> None:
        """Its last answer still holds: the feed stays live, and is live again if only the tick was late."""
        feed = self.feed()
        feed.patience_s, feed.gone_after_s = 4, 30
        publish(feed, b"1")
        for _ in range(50):
            self.clock.advance(1)
            feed.skip_tick()
        self.assertEqual((feed.state, feed.age_s()), (State.LIVE, 50))
        self.clock.advance(5)
        self.assertIs(feed.state, State.STALE)
        feed.skip_tick()
        self.assertIs(feed.state, State.LIVE)
        feed.mark_stale()
        feed.skip_tick()
        self.assertIs(feed.state, State.EXPIRED)

    def test_source_that_has_given_nothing_is_not_live(self) -> None:
        """Its word that nothing has changed refers to no document."""
        feed = self.feed()
        feed.skip_tick()
        self.assertIs(feed.state, State.STALE)

    def test_source_that_has_failed_is_to_give_a_document(self) -> None:
        """Its word that nothing has changed is not enough then, even if no pull had failed when it became stale."""
        feed = self.feed()
        feed.start_watching(4)
        publish(feed, b"1")
        self.clock.advance(4)
        self.assertIs(feed.state, State.STALE)
        feed.mark_stale()
        feed.skip_tick()
        self.assertIs(feed.state, State.STALE)

    def test_part_is_as_its_whole(self) -> None:
        """A part can be stale while the whole is live. It expires with the whole, and schedules no change of state."""
        whole = self.feed(push="change")
        whole.gone_after_s = 10
        part = Feed("feed/a", clock=self.clock, push="change", gone_after_s=1, patience_s=1, whole=whole)
        hearing = RecordingSubscriber()
        part.subscribe(hearing, with_state=True)
        publish(whole, b'{"a":1}')
        publish(part, b"1")
        self.clock.advance(5)
        self.assertEqual((part.state, part.expires_in_s()), (State.LIVE, 5))
        part.mark_stale()
        self.assertIs(part.state, State.STALE)
        publish(part, b"1")
        whole.mark_stale()
        part.mark_stale()
        self.assertIs(part.state, State.STALE)
        with capturedLogs() as events:
            self.clock.advance(5)
            self.assertIs(part.state, State.STALE)
            part.mark_stale()
        self.assertEqual((whole.state, part.state, part.is_gone()), (State.EXPIRED, State.EXPIRED, True))
        self.assertEqual(len(events), 1)
        self.assertEqual(len(hearing.sent), 5)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_part_that_is_missing(self) -> None:
        """Its subscribers are told its state, new ones are sent nothing, and all are sent it when it is back."""
        whole = self.feed(push="change")
        part = Feed("feed/a", clock=self.clock, push="change", whole=whole)
        publish(whole, b'{"a":1}')
        publish(part, b"1")
        hearing, late = RecordingSubscriber(), RecordingSubscriber()
        part.subscribe(hearing, with_state=True)
        for _ in range(2):
            part.mark_missing()
            self.assertEqual((part.is_missing, part.state, len(hearing.sent)), (True, State.LIVE, 2))
        whole.mark_stale()
        for _ in range(2):
            part.mark_missing()
            self.assertEqual((part.state, len(hearing.sent)), (State.STALE, 3))
        part.subscribe(late)
        self.assertEqual(late.sent, [])
        self.clock.advance(1)
        publish(whole, b'{"a": 1}')
        publish(part, b"1")
        self.assertEqual((part.is_missing, late.documents, len(hearing.sent)), (False, [b"1"], 4))
        whole.confirm(self.clock.seconds() - 0.5)
        part.confirm_as_whole()
        self.assertEqual(part.age_s(), 0.5)

    def test_one_call_watches(self) -> None:
        """There is one call for any number of ticks, and none once the pulls have ended."""
        feed = self.feed()
        feed.patience_s, feed.gone_after_s = 4, 30
        for _ in range(20):
            publish(feed, b"1")
            self.clock.advance(1)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        for _ in range(2):
            feed.stop_watching()
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_live_feed_is_watched_again(self) -> None:
        """A live feed becomes stale without any other event, even if no pull has ended since the pulls began again."""
        feed = self.feed()
        feed.start_watching(4)
        publish(feed, b"1")
        feed.stop_watching()
        feed.start_watching(6)
        self.clock.advance(5)
        self.assertIs(feed.state, State.LIVE)
        self.clock.advance(1)
        self.assertIs(feed.state, State.STALE)

    def test_nothing_is_watched_any_more(self) -> None:
        """A version that is published after the pulls have ended schedules no call."""
        feed = self.feed()
        feed.start_watching(4)
        publish(feed, b"1")
        feed.stop_watching()
        feed.mark_stale()
        publish(feed, b"1")
        self.assertIs(feed.state, State.LIVE)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_state_is_told_to_those_who_were_pushed_to_already(self) -> None:
        """A push may be under way: no subscriber is left out or told twice."""
        feed = self.feed(push="change")
        followers = [RecordingSubscriber() for _ in range(SLICE + 10)]
        for follower in followers:
            feed.subscribe(follower, with_state=True)
        publish(feed, b"1")
        feed.mark_stale()
        self.clock.pump([0] * 4)
        self.assertEqual([len(follower.sent) for follower in followers], [2] * SLICE + [1] * 10)


class TickTests(FeedTestCase):
    """Ticks and confirmations, of this process and of others."""

    def test_part_takes_over_the_interval(self) -> None:
        """The interval of the whole may have changed since the last tick."""
        whole = self.feed(interval_s=30)
        part = Feed("feed/a", clock=self.clock, whole=whole)
        for feed in (whole, part):
            feed.begin_tick()
        self.assertEqual((whole.interval_s, part.interval_s), (30, 30))

    def test_confirmation_by_another_process(self) -> None:
        """It counts from the time at which the other process noted it."""
        feed = self.feed()
        feed.patience_s = 4
        publish(feed, b"1")
        self.clock.advance(3)
        feed.note_confirmed(Moment(NOW + 1, NOW + 1), NOW + 2)
        self.assertEqual((feed.age_s(), feed.state), (2, State.LIVE))
        self.clock.advance(2.5)
        self.assertIs(feed.state, State.LIVE)
        self.clock.advance(0.5)
        self.assertIs(feed.state, State.STALE)


class ErrorTests(FeedTestCase):
    """The last error of the source."""

    def test_last_error(self) -> None:
        """It stays when the feed is live again; a part that could not be made is no error of the source."""
        feed = self.feed()
        self.assertIsNone(feed.last_error)
        feed.mark_stale("redis: away")
        error = feed.last_error
        self.clock.advance(1)
        publish(feed, b"1")
        feed.mark_stale()
        self.assertEqual(error, LastError("redis: away", self.clock.seconds() - 1))
        self.assertEqual(feed.last_error, LastError("redis: away", self.clock.seconds() - 1, self.clock.seconds()))


class ExpiryTests(FeedTestCase):
    """The time from which on a document is not shown any more."""

    def test_feed_that_has_expired_by_itself_is_live_at_a_word(self) -> None:
        """No pull has failed, and the source was only late."""
        feed = self.feed()
        feed.gone_after_s = 10
        subscriber, _ = self.follow(feed)
        publish(feed, b"1")
        self.clock.advance(10)
        self.assertIs(feed.state, State.EXPIRED)
        feed.skip_tick()
        self.assertEqual((feed.state, feed.expires_in_s(), subscriber.documents), (State.LIVE, 10, [b"1", b"1"]))
        feed.mark_stale()
        self.assertIs(feed.state, State.EXPIRED)
        feed.skip_tick()
        self.assertIs(feed.state, State.EXPIRED)

    def test_gone_after(self) -> None:
        """It expires without any other event, whether pulls fail or none ends, until a pull is good."""
        for fails in (True, False):
            feed = self.feed()
            feed.gone_after_s = 10
            publish(feed, b"1")
            self.assertEqual(feed.expires_in_s(), 10)
            self.clock.advance(4)
            if fails:
                feed.mark_stale()
            self.assertEqual(feed.expires_in_s(), 6)
            self.clock.advance(5.9)
            self.assertFalse(feed.is_gone())
            with capturedLogs() as events:
                self.clock.advance(0.1)
            self.assertTrue(feed.is_gone())
            self.assertEqual((feed.state, feed.expires_in_s()), (State.EXPIRED, 0))
            (event,) = events
            self.assertIn('feed "feed" is expired: its document was last confirmed 10 s ago', eventAsText(event))
            feed.mark_stale()
            self.assertTrue(feed.is_gone())
            publish(feed, b"1")
            self.assertEqual((feed.state, feed.expires_in_s()), (State.LIVE, 10))
            feed.stop_watching()

    def test_long_interval_outlives_gone_after(self) -> None:
        """The document does not expire before the next tick while pulls are good."""
        feed = self.feed(interval_s=60)
        feed.gone_after_s = 10
        publish(feed, b"1")
        self.clock.advance(60)
        self.assertEqual((feed.state, feed.expires_in_s()), (State.LIVE, 60))
        feed.mark_stale()
        self.assertIs(feed.state, State.EXPIRED)
        publish(feed, b"1")
        self.clock.advance(4)
        feed.mark_stale()
        self.assertIs(feed.state, State.STALE)
        self.clock.advance(6)
        self.assertIs(feed.state, State.EXPIRED)

    def test_expiry_is_told_to_everybody(self) -> None:
        """Subscribers with the state are told by the snapshot, the others by a call; no others are sent anything."""
        feed = self.feed(push="change")
        feed.gone_after_s = 10
        audience, calls = RecordingAudience(), list[int]()
        hearing, plain, other = RecordingSubscriber(), RecordingSubscriber(), RecordingSubscriber()
        feed.subscribe(hearing, with_state=True)
        feed.subscribe(other)
        together = feed.subscribe(plain, audience=audience, expire=lambda: calls.append(1))
        paused = feed.subscribe(RecordingSubscriber(), expire=lambda: calls.append(2))
        feed.subscribe(RecordingSubscriber(), expire=break_down)
        paused.pause()
        publish(feed, b"1")
        self.clock.advance(10)
        self.assertEqual(len(self.flushLoggedErrors(BrokenSubscriberError)), 1)
        self.assertEqual(sorted(calls), [1, 2])
        self.assertEqual([len(each.sent) for each in (hearing, plain, other)], [2, 1, 1])
        self.assertEqual(len(feed.subscriptions), 4)
        feed.mark_stale()
        paused.resume()
        together.cancel()
        late = RecordingSubscriber()
        feed.subscribe(late)
        self.assertEqual((len(calls), late.sent), (2, []))
        publish(feed, b"1")
        # Subscribers that came meanwhile are sent it, too, although it has not changed.
        self.assertEqual([each.documents[-1:] for each in (hearing, other, late)], [[b"1"]] * 3)
        self.assertEqual(feed.state, State.LIVE)

    def test_expiry_while_documents_are_pushed(self) -> None:
        """Subscribers that the push has not reached yet are not sent the expired document."""
        feed = self.feed()
        feed.gone_after_s = 10
        followers = [RecordingSubscriber() for _ in range(2 * SLICE)]
        calls: list[RecordingSubscriber] = []
        for follower in followers:
            feed.subscribe(follower, expire=partial(calls.append, follower))
        publish(feed, b"1")
        self.clock.rightNow += 10
        feed.mark_stale()
        self.clock.pump([0] * 4)
        self.assertEqual([len(follower.sent) for follower in followers], [1] * SLICE + [0] * SLICE)
        self.assertCountEqual(calls, followers)

    def test_expiry_is_told_once(self) -> None:
        """This includes a subscriber that stays, and for which the document returns and expires again."""
        feed, calls = self.feed(), list[int]()
        feed.gone_after_s = 10
        subscriber = RecordingSubscriber()
        feed.subscribe(subscriber, expire=lambda: calls.append(1))
        for document in (b"1", b"2"):
            publish(feed, document)
            self.clock.advance(10)
            self.assertIs(feed.state, State.EXPIRED)
        self.assertEqual((calls, subscriber.documents, subscriber.dropped), ([1], [b"1", b"2"], 0))

    def test_expiry_is_not_told_to_one_who_has_just_left(self) -> None:
        """A subscriber that is told ends the subscriptions of others before their turn."""
        feed, calls = self.feed(push="change"), list[int]()
        feed.gone_after_s = 10
        subscriptions: list[Subscription] = []

        def leave(number: int) -> None:
            calls.append(number)
            for subscription in subscriptions:
                subscription.cancel()

        followers = [RecordingSubscriber() for _ in range(3)]
        for number, follower in enumerate(followers):
            subscriptions.append(feed.subscribe(follower, expire=partial(leave, number)))
        publish(feed, b"1")
        self.clock.advance(10)
        self.assertIs(feed.state, State.EXPIRED)
        self.assertEqual((len(calls), [each.dropped for each in followers]), (1, [0] * 3))

    def test_never_gone(self) -> None:
        """This is the default."""
        feed = self.feed()
        publish(feed, b"1")
        self.clock.advance(1e9)
        feed.mark_stale()
        self.assertFalse(feed.is_gone())


class DecisionTests(FeedTestCase):
    """An operator's decision about the document, above the freshness."""

    def test_precedence(self) -> None:
        """Withdrawn, ended, expired, held, stale, live: of two, the first is the state. Pulls go on below it."""
        feed = self.feed(push="change")
        feed.gone_after_s = 10
        expected = {
            None: [State.LIVE, State.STALE, State.EXPIRED, State.LIVE],
            State.HELD: [State.HELD, State.HELD, State.EXPIRED, State.HELD],
            State.ENDED: [State.ENDED] * 4,
            State.WITHDRAWN: [State.WITHDRAWN] * 4,
        }
        for decision, states in expected.items():
            publish(feed, b"1")
            feed.decide(decision)
            seen, withheld = [feed.state], [feed.fanout.is_withheld]
            for event in (feed.mark_stale, partial(self.clock.advance, 10), partial(publish, feed, b"1")):
                event()
                seen.append(feed.state)
                withheld.append(feed.fanout.is_withheld)
            self.assertEqual((decision, seen), (decision, states))
            self.assertEqual(withheld, [state in (State.EXPIRED, State.WITHDRAWN) for state in states])
            self.assertIs(feed.freshness, State.LIVE)

    def test_other_states_are_no_decisions(self) -> None:
        """Live, stale and expired follow from pulls."""
        for state in (State.LIVE, State.STALE, State.EXPIRED):
            self.assertRaises(ValueError, self.feed().decide, state)

    def test_decision_that_another_process_has_taken_back(self) -> None:
        """There is nothing to take back then, and nothing to log."""
        feed = self.feed()
        with capturedLogs() as events:
            feed.decide(None)
        self.assertEqual((events, feed.state), ([], State.STALE))

    def test_ended_document_that_was_too_old(self) -> None:
        """It is shown again to all when the feed ends, and hidden again when that decision is taken back."""
        feed = self.feed(push="change")
        feed.gone_after_s = 10
        calls = list[int]()
        plain, hearing = RecordingSubscriber(), RecordingSubscriber()
        publish(feed, b"1")
        self.clock.advance(10)
        feed.subscribe(plain, expire=lambda: calls.append(1))
        feed.subscribe(hearing, with_state=True)
        self.assertEqual((plain.documents, hearing.documents), ([], [b"1"]))
        feed.decide(State.ENDED)
        self.assertEqual((plain.documents, hearing.documents, feed.expires_in_s()), ([b"1"], [b"1"] * 2, inf))
        self.clock.advance(100)
        self.assertEqual((feed.state, calls), (State.ENDED, []))
        feed.decide(None)
        self.assertEqual((feed.state, len(plain.sent), len(hearing.sent), calls), (State.EXPIRED, 1, 3, [1]))

    def test_ended_document_grows_old_unseen(self) -> None:
        """It does not expire while the feed has ended, and at once when that is taken back."""
        feed = self.feed()
        feed.gone_after_s = 10
        publish(feed, b"1")
        feed.decide(State.ENDED)
        self.clock.advance(100)
        feed.mark_stale()
        self.assertEqual((feed.freshness, feed.state), (State.STALE, State.ENDED))
        feed.decide(None)
        self.assertEqual((feed.freshness, feed.state), (State.EXPIRED, State.EXPIRED))

    def test_withdrawal_is_told_to_everybody(self) -> None:
        """Subscribers with the state are told by the snapshot, the others by a call, and none is sent a version."""
        feed = self.feed(push="change")
        calls = list[int]()
        hearing, plain = RecordingSubscriber(), RecordingSubscriber()
        feed.subscribe(hearing, with_state=True)
        feed.subscribe(plain, expire=lambda: calls.append(1))
        publish(feed, b"1")
        told: list[State] = []
        feed.observe(partial(tell_state, feed, told))
        for _ in range(2):
            feed.decide(State.WITHDRAWN)
            self.assertEqual((len(hearing.sent), plain.documents, calls), (2, [b"1"], [1]))
        self.assertEqual(told, [State.WITHDRAWN])
        publish(feed, b"2")
        self.assertEqual(plain.documents, [b"1"])
        feed.decide(None)
        self.assertEqual((plain.documents, hearing.documents[-1]), ([b"1", b"2"], b"2"))

    def test_decision_before_the_first_document(self) -> None:
        """It holds for the first document, which is not shown if it was withdrawn before it came."""
        feed = self.feed()
        feed.decide(State.WITHDRAWN)
        plain, _ = self.follow(feed)
        publish(feed, b"1")
        self.assertEqual((feed.state, plain.sent), (State.WITHDRAWN, []))

    def test_each_change_is_logged_once(self) -> None:
        """The log has the decision and its end, and below it that the source fails, unless the feed has ended."""
        feed = self.feed()
        publish(feed, b"1")
        feed.start_watching(4)
        with capturedLogs() as events:
            for decision in (State.HELD, State.HELD, None):
                feed.decide(decision)
            feed.decide(State.WITHDRAWN)
            self.clock.advance(4)
            feed.decide(State.ENDED)
        self.assertEqual(
            [eventAsText(event, includeTimestamp=False, includeSystem=False) for event in events],
            [
                'feed "feed" is held: newer versions are held back',
                'feed "feed" is live again, and not held any more',
                'feed "feed" is withdrawn: the document is withdrawn',
                'feed "feed" is withdrawn, and would be stale: no pull has ended for 4 s',
                'feed "feed" is ended: no more versions will come',
            ],
        )

    def test_reasons(self) -> None:
        """The reason of a decided state is that of the decision, and the trouble of the source stands by itself."""
        feed = self.feed()
        publish(feed, b"1")
        feed.decide(State.HELD)
        reasons = [(feed.reason, feed.why_failing(), feed.failing_s())]
        for _ in range(2):
            self.clock.advance(2)
            feed.mark_stale("redis: away")
            reasons.append((feed.reason, feed.why_failing(), feed.failing_s()))
        feed.note_held()
        reasons.append((feed.reason, feed.why_failing(), feed.failing_s()))
        held = DECISIONS[State.HELD]
        self.assertEqual(reasons, [(held, "", 0), (held, "redis: away", 0), (held, "redis: away", 2), (held, "", 0)])

    def test_silent_source_below_a_decision(self) -> None:
        """It is told for how long; of an ended feed, the source does not matter any more."""
        feed = self.feed()
        publish(feed, b"1")
        feed.start_watching(3)
        feed.decide(State.HELD)
        self.clock.advance(5)
        self.assertEqual((feed.why_failing(), feed.failing_s()), ("nothing was heard of the source", 5.0))
        feed.mark_stale("redis: away")
        self.assertEqual((feed.why_failing(), feed.failing_s()), ("redis: away", 5.0))
        feed.decide(State.ENDED)
        self.assertEqual(feed.failing_s(), 0.0)
        feed.stop_watching()

    def test_part_follows_its_whole(self) -> None:
        """A part has the decision of its whole. Once it was hidden and is missing, it stays hidden until it is back."""
        whole = self.feed(push="change")
        part = Feed("feed/a", clock=self.clock, push="change", whole=whole)
        publish(whole, b'{"a":1}')
        publish(part, b"1")
        for decision in (State.HELD, State.ENDED, State.WITHDRAWN, None):
            whole.decide(decision)
            publish(part, b"1")
            self.assertEqual((part.state, part.decision), (decision or State.LIVE, decision))
        whole.decide(State.HELD)
        publish(part, b"1")
        hearing = RecordingSubscriber()
        part.subscribe(hearing, with_state=True)
        whole.mark_stale()
        part.mark_missing()
        self.assertEqual((part.freshness, len(hearing.sent)), (State.STALE, 2))
        whole.decide(State.WITHDRAWN)
        part.mark_missing()
        self.assertIs(part.state, State.WITHDRAWN)
        for decision, state in ((State.ENDED, State.EXPIRED), (State.HELD, State.EXPIRED), (None, State.EXPIRED)):
            whole.decide(decision)
            part.mark_missing()
            self.assertIs(part.state, state)
        whole.decide(State.ENDED)
        publish(part, b"1")
        self.assertIs(part.state, State.ENDED)


class StatementTests(FeedTestCase):
    """The signed statement about the newest version."""

    def test_each_tick(self) -> None:
        """Each tick and each change of state has a statement of its own, before anything is pushed."""
        feed = self.feed()
        signer = feed.signer = make_signer(self.clock.seconds)
        seen: list[str] = []
        feed.subscribe(
            RecordingSubscriber(then=lambda: seen.append(self.stated(feed).statement.state)), with_state=True
        )
        feed.mark_stale("away")
        self.assertEqual((feed.signed(), signer.signed), (None, 0))
        publish(feed, b"1")
        first = self.stated(feed)
        self.assertEqual((first.statement.feed, first.statement.digest), ("feed", hashlib.sha256(b"1").digest()))
        self.clock.advance(1)
        publish(feed, b"1")
        second = self.stated(feed)
        self.assertEqual((second.created, second.statement.sequence), (first.created + 1, first.statement.sequence))
        feed.mark_stale("away")
        publish(feed, b"2")
        self.assertGreater(self.stated(feed).statement.sequence, first.statement.sequence)
        feed.decide(State.HELD)
        self.assertEqual(seen, ["live", "live", "stale", "live", "held"])
        self.assertEqual(signer.signed, 5)

    def stated(self, feed: Feed) -> Verified:
        signed = feed.signed()
        assert signed is not None
        return verified(signed, TRUSTED)

    def test_a_document_that_is_not_shown(self) -> None:
        """There is no statement about a document that is withdrawn or expired."""
        feed = self.feed()
        feed.gone_after_s = 10.0
        feed.signer = make_signer(self.clock.seconds)
        publish(feed, b"1")
        feed.decide(State.WITHDRAWN)
        self.assertEqual((feed.signed(), feed.stated), (None, None))
        feed.decide(None)
        self.assertEqual(self.stated(feed).statement.state, "live")
        feed.start_watching(5.0)
        self.clock.advance(20)
        self.assertEqual((feed.state, feed.signed()), (State.EXPIRED, None))

    def test_a_replica(self) -> None:
        """A feed that follows another one signs nothing, and shows the statement that it is sent, if it fits."""
        feed = self.feed()
        feed.is_replica = True
        feed.signer = make_signer(self.clock.seconds)
        publish(feed, b"1")
        self.assertIsNone(feed.signed())
        assert feed.snapshot is not None
        signed = Signed("", "", b"")
        feed.stated = Stated(feed.snapshot.version, feed.snapshot.sequence, signed)
        self.assertIs(feed.signed(), signed)
        publish(feed, b"2")
        self.assertIsNone(feed.signed())

    def test_a_signer_that_fails(self) -> None:
        """The document is served without a statement, and the log has the reason once."""
        feed, signer = self.feed(), BrokenSigner()
        feed.signer = signer
        publish(feed, b"1")
        publish(feed, b"2")
        self.assertEqual((feed.state, feed.signed(), signer.tries), (State.LIVE, None, ["feed", "feed"]))
        (failure,) = self.flushLoggedErrors(ValueError)
        self.assertEqual(failure.getErrorMessage(), "no key")


class NoticeTests(FeedTestCase):
    """The notice of the desk, and pulls whose documents are held back."""

    def test_log(self) -> None:
        """Decisions are logged with their reason; the desk logs what rules do."""
        feed = self.feed()
        publish(feed, b"1")
        with capturedLogs() as events:
            for notice in (
                Notice(State.HELD, "a recount", None, "hold"),
                Notice(State.HELD, "a recount", Moment(NOW, NOW), "hold"),
                Notice(State.HELD, "/votes falls", Moment(NOW, NOW), "rule"),
                Notice(),
                Notice(State.WITHDRAWN, "", None, "withdraw"),
                Notice(),
            ):
                feed.heed(notice)
        self.assertEqual(
            [eventAsText(each, includeTimestamp=False, includeSystem=False) for each in events],
            [
                'feed "feed" is held: a recount',
                f'feed "feed" is withdrawn: {DECISIONS[State.WITHDRAWN]}',
                'feed "feed" is live again, and not withdrawn any more',
            ],
        )

    def test_held_pull(self) -> None:
        """A source that works makes the feed live below the notice, and confirms nothing."""
        feed = self.feed()
        feed.note_held()
        self.assertIs(feed.freshness, State.STALE)
        publish(feed, b"1")
        feed.mark_stale("away")
        self.clock.advance(3)
        feed.note_held()
        self.assertEqual((feed.freshness, feed.age_s(), feed.reason), (State.LIVE, 3.0, ""))
        feed.note_held(NOW + 1)
        self.assertTrue(feed.has_heard)

    def test_held_document_expires(self) -> None:
        """By a pull, or by time alone."""
        for pulls in (True, False):
            feed = self.feed()
            feed.gone_after_s = 5.0
            publish(feed, b"1")
            feed.heed(Notice(State.HELD, "", Moment(NOW, NOW), "rule"))
            self.clock.advance(4)
            feed.note_held()
            self.assertIs(feed.state, State.HELD)
            self.clock.advance(1)
            if pulls:
                feed.note_held()
            self.assertIs(feed.state, State.EXPIRED)

    @staticmethod
    def note_state(feed: Feed, states: list[State]) -> None:
        states.append(feed.state)

    def test_expired_while_the_source_is_not_asked(self) -> None:
        """A held document that has expired stays so: that the last answer still holds confirms nothing of it."""
        for patience_s in (inf, 8.0):
            feed = self.feed()
            feed.gone_after_s = 5.0
            publish(feed, b"1")
            feed.start_watching(patience_s)
            feed.heed(Notice(State.HELD, "", Moment(NOW, NOW), "rule"))
            self.clock.advance(4)
            feed.note_held()
            self.clock.advance(1)
            states: list[State] = []
            feed.observe(partial(self.note_state, feed, states))
            for wait_s in (1, 9, 1):
                self.assertIs(feed.state, State.EXPIRED)
                feed.skip_tick()
                self.clock.advance(wait_s)
            self.assertEqual({*states} - {State.EXPIRED}, set())
            feed.stop_watching()

    def test_expired_although_nothing_was_heard_either(self) -> None:
        """The first answer of the source's word does not show the document again."""
        feed = self.feed()
        feed.gone_after_s = 10.0
        publish(feed, b"1")
        feed.start_watching(8.0)
        feed.heed(Notice(State.HELD, "", Moment(NOW, NOW), "rule"))
        self.clock.advance(9)
        self.assertIs(feed.freshness, State.STALE)
        self.clock.advance(2)
        states: list[State] = []
        feed.observe(partial(self.note_state, feed, states))
        feed.skip_tick()
        self.clock.advance(1)
        self.assertEqual((feed.state, {*states} - {State.EXPIRED}), (State.EXPIRED, set()))

    def test_signs_of_life(self) -> None:
        """Subscribers are told of each change, and otherwise once in a tick."""
        feed = self.feed()
        publish(feed, b"1")
        subscriber = RecordingSubscriber()
        feed.subscribe(subscriber, with_state=True)
        subscriber.sent.clear()
        feed.note_held(is_tick=False)
        self.assertEqual(len(subscriber.sent), 0)
        feed.note_held()
        self.assertEqual(len(subscriber.sent), 1)
        feed.tell_reasons(are_public=True)
        feed.tell_reasons(are_public=True)
        self.assertEqual(len(subscriber.sent), 1)
        feed.push = "change"
        for count, notice in enumerate((Notice(State.HELD, "a"), Notice(State.HELD, "b"), Notice(State.HELD, "b")), 1):
            feed.heed(notice)
            self.assertEqual(len(subscriber.sent), min(1 + count, 3))
        feed.tell_reasons(are_public=False)
        self.assertEqual(len(subscriber.sent), 4)

    def test_signs_of_life_where_changes_are_pushed(self) -> None:
        """Every third tick is one, whatever it brought, and counts from the last word. Others hear of no tick."""
        feed = self.feed(push="change")
        part = Feed("feed/a", clock=self.clock, push="change", whole=feed)
        publish(feed, b"1")
        publish(part, b"1")
        subscriber, plain, follower = RecordingSubscriber(), RecordingSubscriber(), RecordingSubscriber()
        feed.subscribe(subscriber, with_state=True)
        feed.subscribe(plain)
        part.subscribe(follower, with_state=True)
        pull = partial(publish, feed, b"1")
        ticks: tuple[Callable[[], object], ...] = (pull, feed.mark_stale, feed.skip_tick, feed.note_held)
        for number, tick in enumerate(ticks, 2):
            tick()
            changes = len(subscriber.sent) - number + 1
            for seconds in (1.0, 1.0, 0.6):
                self.assertEqual(len(subscriber.sent), number - 1 + changes)
                self.clock.advance(seconds)
                tick()
                part.mark_stale()
            self.assertEqual(len(subscriber.sent), number + changes)
        self.clock.advance(3)
        publish(feed, b"1", is_tick=False)
        feed.note_held(is_tick=False)
        self.assertEqual((len(plain.sent), len(follower.sent)), (1, 2))
