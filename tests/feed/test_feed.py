"""The feed: the newest version, its state, conflation and fan-out."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, eventAsText
from twisted.trial.unittest import SynchronousTestCase

from livefeed.clocks import Moment
from livefeed.document import codings
from livefeed.document import snapshot as snapshot_module
from livefeed.document.history import History
from livefeed.document.patch import apply_patch
from livefeed.document.snapshot import Sequence, Snapshot, version_of
from livefeed.feed.feed import BATCH, OVERDUE_S, SLICE, SLICE_S, Feed, Push, State, Subscription
from livefeed.storage.journal import Kept

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_700_000_000.25


@dataclass(eq=False)
class RecordingSubscriber:
    """Keeps what it is sent, and then does what the test wants."""

    sent: list[Snapshot] = field(default_factory=list)
    then: Callable[[], object] = lambda: None
    dropped: int = 0

    def send(self, snapshot: Snapshot) -> None:
        self.sent.append(snapshot)
        self.then()

    def drop(self) -> None:
        self.dropped += 1

    @property
    def documents(self) -> list[bytes]:
        return [snapshot.data for snapshot in self.sent]


@dataclass(eq=False)
class RecordingCrowd:
    """Makes groups, and keeps them."""

    groups: list[RecordingGroup] = field(default_factory=list)

    def make_multicast(self) -> RecordingGroup:
        self.groups.append(RecordingGroup())
        return self.groups[-1]

    @property
    def sizes(self) -> list[int]:
        """How many were sent to as one, each time."""
        return [size for group in self.groups for size in group.sizes]


@dataclass(eq=False)
class RecordingGroup:
    """Sends to each of its subscribers, and keeps how many they were."""

    subscribers: list[RecordingSubscriber] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    first: Callable[[], object] = lambda: None
    added: Callable[[], object] = lambda: None

    def add(self, subscriber: RecordingSubscriber) -> None:
        assert subscriber not in self.subscribers
        self.added()
        self.subscribers.append(subscriber)

    def discard(self, subscriber: RecordingSubscriber) -> None:
        self.subscribers.remove(subscriber)

    def send(self, snapshot: Snapshot) -> None:
        self.first()
        self.sizes.append(len(self.subscribers))
        for subscriber in tuple(self.subscribers):
            subscriber.send(snapshot)


class BrokenSubscriberError(Exception):
    """What a broken subscriber raises."""


def break_down() -> None:
    raise BrokenSubscriberError


def iter_of(*calls: Callable[[], object]) -> Callable[[], object]:
    """Gives what does the first of these when it is called first, and so on."""
    left = iter(calls)

    def call() -> None:
        next(left)()

    return call


def tell_state(feed: Feed, told: list[State]) -> None:
    told.append(feed.state)


class FeedTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)

    def feed(self, push: Push = "tick", interval_s: float = 1.0) -> Feed:
        return Feed("feed", clock=self.clock, interval_s=interval_s, push=push)

    def follow(self, feed: Feed, crowd: RecordingCrowd | None = None) -> tuple[RecordingSubscriber, Subscription]:
        subscriber = RecordingSubscriber()
        return subscriber, feed.subscribe(subscriber, crowd=crowd)


class PublishTests(FeedTestCase):
    """What publish does to the feed itself."""

    def test_before_the_first_document(self) -> None:
        """A feed that has pulled nothing has no snapshot, and does not pretend to be live."""
        feed = self.feed()
        self.assertIsNone(feed.snapshot)
        self.assertIs(feed.state, State.STALE)

    def test_publish_makes_a_snapshot(self) -> None:
        """A good pull makes the feed live, with the pulled bytes as they were."""
        feed = self.feed()
        feed.publish(b'{"a": 1.50}')
        assert feed.snapshot is not None
        self.assertEqual(feed.snapshot.data, b'{"a": 1.50}')
        self.assertIs(feed.state, State.LIVE)
        self.assertEqual(feed.confirmed_at, NOW)

    def test_sequence_begins_at_one_in_an_epoch_of_now(self) -> None:
        """The epoch is when the counter was begun, in milliseconds, so that a restart is a later one."""
        feed = self.feed()
        feed.publish(b"1")
        assert feed.snapshot is not None
        self.assertEqual(feed.snapshot.sequence, Sequence(1_700_000_000_250, 1))
        self.clock.advance(1)
        later = self.feed()
        later.publish(b"1")
        assert later.snapshot is not None
        self.assertGreater(later.snapshot.sequence, feed.snapshot.sequence)

    def test_sequence_counts_changes_only(self) -> None:
        """An unchanged document is the same snapshot; each change has the next number, a change back too."""
        feed = self.feed()
        numbers = []
        for document in (b"1", b"1", b"2", b"1", b"1"):
            self.clock.advance(1)
            feed.publish(document)
            assert feed.snapshot is not None
            numbers.append(feed.snapshot.sequence.number)
        self.assertEqual(numbers, [1, 1, 2, 3, 3])

    def test_unchanged_document_keeps_the_snapshot(self) -> None:
        """Compressing, hashing and framing are not done again for the same bytes."""
        feed = self.feed()
        feed.publish(b"[1]")
        first = feed.snapshot
        feed.publish(bytes(bytearray(b"[1]")))
        self.assertIs(feed.snapshot, first)

    def test_unchanged_document_is_confirmed_anew(self) -> None:
        """A pull that gave the same bytes says that they are still true."""
        feed = self.feed()
        feed.publish(b"1")
        self.clock.advance(5)
        feed.publish(b"1")
        self.assertEqual(feed.confirmed_at, NOW + 5)

    def test_versions_and_codings_are_counted(self) -> None:
        """From nothing: a version that is published again is none, and one that was restored was counted before."""
        feed = self.feed()
        self.assertEqual((feed.versions, feed.codings_made, feed.rounds, feed.dropped), (0, 0, 0, 0))
        feed.restore([Kept(b"[0]", Sequence(1, 1), NOW)])
        for document in (b"[1]", b"[1]", b"[2]"):
            feed.publish(document)
        self.assertEqual(feed.versions, 2)
        feed.publish(b'{"text":"%s"}' % (b"x" * 500))
        assert feed.snapshot is not None
        self.assertEqual((feed.versions, feed.codings_made), (3, len(feed.snapshot.representations) - 1))
        self.assertGreater(feed.codings_made, 0)
        self.assertEqual(feed.rounds, 4)
        feed.add_codings(feed.snapshot, {"x": b"x", "y": b"y"})
        self.assertEqual(
            (feed.codings_made, feed.snapshot.representations["x"].data), (len(feed.snapshot.representations) - 1, b"x")
        )

    def test_snapshot_that_was_made_already(self) -> None:
        """It is taken as it is, in its place after the version before."""
        feed = self.feed()
        feed.publish(b"[1]")
        made = Snapshot.of(b"[2]", Sequence(1, 1))
        feed.publish(b"[2]", made=made)
        assert feed.snapshot is not None
        self.assertEqual((feed.snapshot.data, feed.snapshot.sequence.number), (b"[2]", 2))
        self.assertIs(feed.snapshot.representations, made.representations)

    def test_place_that_is_given(self) -> None:
        """Of a part, which has its whole's; the next without one is after it."""
        feed = self.feed()
        numbers = []
        for document, number in ((b"1", 7), (b"1", 8), (b"2", None), (b"3", 12)):
            feed.publish(document, None if number is None else Sequence(5, number))
            assert feed.snapshot is not None
            numbers.append(feed.snapshot.sequence)
        self.assertEqual(numbers, [Sequence(5, 7), Sequence(5, 7), Sequence(5, 8), Sequence(5, 12)])

    def test_pull_that_was_a_while_ago(self) -> None:
        """The document is as old as that, and the source has been heard of now."""
        feed = self.feed()
        feed.publish(b"1", confirmed=Moment(NOW - 3, NOW - 3))
        self.assertEqual((feed.age_s(), feed.confirmed_at), (3, NOW - 3))

    def test_stale_takes_nothing_away(self) -> None:
        """A failed pull changes the state, and nothing else."""
        feed = self.feed()
        feed.publish(b"1")
        snapshot, confirmed_at = feed.snapshot, feed.confirmed_at
        subscriber, _ = self.follow(feed)
        self.clock.advance(1)
        feed.mark_stale()
        self.assertIs(feed.state, State.STALE)
        self.assertIs(feed.snapshot, snapshot)
        self.assertEqual(feed.confirmed_at, confirmed_at)
        self.assertEqual(subscriber.documents, [b"1"])

    def test_recovers_from_stale(self) -> None:
        """The next good pull makes the feed live again, with the same document too."""
        feed = self.feed()
        feed.publish(b"1")
        feed.mark_stale()
        feed.publish(b"1")
        self.assertIs(feed.state, State.LIVE)


class RestoreTests(FeedTestCase):
    def test_only_the_newest_is_compressed(self) -> None:
        """Of the others nothing is needed but their bytes, for patches."""
        compressed: list[bytes] = []

        def compress_and_count(data: bytes) -> codings.Compressed:
            compressed.append(data)
            return codings.compress(data)

        self.patch(snapshot_module, "compress", compress_and_count)
        documents = [b'{"number":%d,"rest":"%s"}' % (number, b"x" * 200) for number in (1, 2, 3, 1, 4)]
        kept = [Kept(data, Sequence(7, number), NOW - 9 + number) for number, data in enumerate(documents)]
        feed = self.feed()
        feed.restore(kept)
        self.assertEqual(compressed, documents[-1:])
        assert feed.snapshot is not None
        self.assertEqual((feed.snapshot.data, feed.confirmed_at), (documents[-1], NOW - 5))
        for data in documents[:-1]:
            patch = feed.history.patch(version_of(data))
            assert patch is not None
            self.assertEqual(apply_patch(data, patch), documents[-1])
        self.assertEqual(feed.history.latest([version_of(data) for data in documents[:3]]), version_of(documents[0]))

    def test_epoch_is_later_than_all(self) -> None:
        """Whatever the clock says."""
        later = Sequence(int(NOW * 1000) + 5, 1)
        feed = self.feed()
        feed.restore([Kept(b"1", later, NOW), Kept(b"2", Sequence(3, 1), NOW)])
        feed.publish(b"3")
        assert feed.snapshot is not None
        self.assertEqual(feed.snapshot.sequence, Sequence(later.epoch + 1, 1))

    def test_age_of_a_restored_document(self) -> None:
        """By the wall clock, where nothing else tells it; never less than nothing."""
        for at, age_s, expected in ((NOW - 7, None, 7), (NOW, None, 0), (NOW + 100, None, 0), (NOW - 7, 3.0, 3)):
            feed = self.feed()
            feed.restore([Kept(b"1", Sequence(1, 1), at)], age_s=age_s)
            self.assertEqual(feed.age_s(), expected)

    def test_restored_document_that_is_pulled_again(self) -> None:
        """Who has it is sent it as a sign of life alone, where there are any."""
        pushes: tuple[tuple[Push, list[bytes]], ...] = (("change", [b"1"]), ("tick", [b"1", b"1"]))
        for push, documents in pushes:
            feed = self.feed(push=push)
            feed.restore([Kept(b"1", Sequence(1, 1), NOW)])
            subscriber, _ = self.follow(feed)
            feed.publish(b"1")
            self.assertEqual(subscriber.documents, documents)


class ObserverTests(FeedTestCase):
    """Those who are told that the feed's answers change."""

    def test_told_at_each_tick(self) -> None:
        """A good pull, with or without a change, and a failed one are told, with the new state in place."""
        feed = self.feed()
        told: list[tuple[bytes, State]] = []
        feed.changed.append(lambda: told.append((feed.snapshot.data if feed.snapshot else b"", feed.state)))
        feed.publish(b"1")
        feed.publish(b"1")
        feed.mark_stale()
        feed.publish(b"2")
        self.assertEqual(told, [(b"1", State.LIVE), (b"1", State.LIVE), (b"1", State.STALE), (b"2", State.LIVE)])

    def test_told_of_codings(self) -> None:
        """Those of the newest version, which answers are made of; those of another change no answer."""
        feed, told = self.feed(), list[State]()
        feed.publish(b"[1]")
        older = feed.snapshot
        feed.publish(b"[2]")
        assert older is not None
        assert feed.snapshot is not None
        feed.changed.append(partial(tell_state, feed, told))
        feed.add_codings(older, {"x": b"x"})
        self.assertEqual(told, [])
        feed.add_codings(feed.snapshot, {"x": b"x"})
        self.assertEqual(told, [State.LIVE])
        made = Snapshot.of(b"[2]", Sequence(1, 2))
        made.add({"x": b"x", "y": b"y"})
        count = feed.codings_made
        feed.complete(made)
        self.assertEqual((told, feed.codings_made, feed.snapshot), ([State.LIVE] * 2, count + 1, made))
        feed.complete(older)
        self.assertEqual((told, feed.codings_made, feed.snapshot), ([State.LIVE] * 2, count + 1, made))

    def test_told_before_anything_is_pushed(self) -> None:
        """Who polls after it was pushed a version must not be given the one before it."""
        feed = self.feed()
        order: list[str] = []
        feed.changed.append(lambda: order.append("told"))
        feed.subscribe(RecordingSubscriber(then=lambda: order.append("pushed")))
        feed.publish(b"1")
        self.assertEqual(order, ["told", "pushed"])

    def test_word_of_a_source_that_was_not_asked(self) -> None:
        """It is told where the feed is live again by it, and else only to those who hear of each tick."""
        cases: tuple[tuple[Push, int], ...] = (("change", 0), ("tick", 1))
        for push, hears in cases:
            feed, told = self.feed(push=push), list[State]()
            feed.patience_s = 4
            feed.changed.append(partial(tell_state, feed, told))
            informed = RecordingSubscriber()
            feed.subscribe(informed, informed=True)
            feed.publish(b"1")
            self.clock.advance(4)
            feed.skip_tick()
            self.assertEqual((told, len(informed.sent)), ([State.LIVE, State.STALE, State.LIVE], 3))
            self.clock.advance(4)
            feed.publish(b"1")
            self.assertEqual((told[3:], len(informed.sent)), ([State.STALE, State.LIVE], 5))
            for times in (1, 2):
                feed.skip_tick()
                self.assertEqual((told[5:], len(informed.sent)), ([], 5 + times * hears))
            self.clock.advance(4)
            feed.skip_tick()
            told.clear()
            feed.skip_tick()
            self.assertEqual(told, [])


class FreshnessTests(FeedTestCase):
    """From when on a document counts as old."""

    def test_stale_after(self) -> None:
        """A short trouble is nobody's business; the first failing tick after the time is."""
        feed = self.feed()
        feed.stale_after_s = 5
        subscriber = RecordingSubscriber()
        feed.subscribe(subscriber, repeats=False, informed=True)
        feed.publish(b"1")
        states = []
        for _ in range(7):
            self.clock.advance(1)
            feed.mark_stale()
            states.append(feed.state)
        self.assertEqual(states, [State.LIVE] * 4 + [State.STALE] * 3)
        feed.publish(b"1")
        self.assertIs(feed.state, State.LIVE)

    def test_recovery_is_told(self) -> None:
        """To those who are told of the state, though the document is the same, and to nobody else."""
        feed = self.feed(push="change")
        told: list[State] = []
        feed.subscribe(RecordingSubscriber(then=lambda: told.append(feed.state)), informed=True)
        plain, _ = self.follow(feed)
        feed.publish(b"1")
        feed.mark_stale()
        feed.publish(b"1")
        feed.publish(b"1")
        self.assertEqual(told, [State.LIVE, State.STALE, State.LIVE])
        self.assertEqual(plain.documents, [b"1"])

    def test_failing_pulls_are_told(self) -> None:
        """Each, where there are signs of life; else the first alone. However often, one call waits for the expiry."""
        cases: tuple[tuple[Push, int], ...] = (("change", 1), ("tick", 3))
        for push, times in cases:
            feed, informed = self.feed(push=push), RecordingSubscriber()
            feed.patience_s, feed.gone_after_s = 4, 30
            feed.subscribe(informed, informed=True)
            feed.publish(b"1")
            for _ in range(3):
                feed.mark_stale()
                self.assertEqual(len(self.clock.getDelayedCalls()), 1)
            self.assertEqual(len(informed.sent), 1 + times)
            feed.stop_watching()

    def test_stale_from_the_start(self) -> None:
        """Without a document nothing is live."""
        feed = self.feed()
        feed.stale_after_s = 5
        feed.mark_stale()
        self.assertIs(feed.state, State.STALE)

    def test_stale_by_itself(self) -> None:
        """No tick has to say so; observers and those who are told of the state hear of it, once."""
        feed = self.feed()
        feed.patience_s = 4
        told: list[State] = []
        feed.changed.append(lambda: told.append(feed.state))
        informed = RecordingSubscriber()
        feed.subscribe(informed, informed=True)
        feed.publish(b"1")
        self.clock.pump([1] * 3)
        feed.publish(b"1")
        self.clock.pump([1] * 3)
        self.assertEqual((feed.state, len(informed.sent)), (State.LIVE, 2))
        with capturedLogs() as events:
            self.clock.pump([1] * 5)
        self.assertEqual(
            [eventAsText(event).partition("feed#warn] ")[2] for event in events],
            ['feed "feed" is stale: no pull has ended for 4 s'],
        )
        self.assertEqual((feed.state, len(informed.sent)), (State.STALE, 3))
        self.assertEqual(told, [State.LIVE, State.LIVE, State.STALE])
        feed.publish(b"1")
        self.assertIs(feed.state, State.LIVE)
        self.clock.advance(4)
        self.assertIs(feed.state, State.STALE)

    def test_stale_by_itself_not_before_it_may_be(self) -> None:
        """Where the operator has more patience than that."""
        feed = self.feed()
        feed.patience_s, feed.stale_after_s = 4, 20
        feed.publish(b"1")
        self.clock.pump([1] * 19)
        self.assertIs(feed.state, State.LIVE)
        self.clock.advance(1)
        self.assertIs(feed.state, State.STALE)

    def test_failing_feed_is_stale_by_itself(self) -> None:
        """As soon as it may be, and not at the tick after; a word of the source that it holds is no good pull."""
        feed = self.feed()
        feed.patience_s, feed.stale_after_s = 40, 20
        feed.publish(b"1")
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
            [eventAsText(event).partition("feed#warn] ")[2] for event in events], ['feed "feed" is stale: is away']
        )
        feed.skip_tick()
        self.assertIs(feed.state, State.STALE)
        # A good pull ends it, also before it was stale: what counts is then that nothing is heard.
        feed.publish(b"1")
        feed.mark_stale("is away")
        feed.publish(b"1")
        self.clock.advance(39)
        self.assertIs(feed.state, State.LIVE)
        self.clock.advance(1)
        self.assertIs(feed.state, State.STALE)

    def test_source_that_was_not_asked_is_heard_of(self) -> None:
        """What it has said holds: the feed stays live, and is again where only the tick was late."""
        feed = self.feed()
        feed.patience_s, feed.gone_after_s = 4, 30
        feed.publish(b"1")
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
        """Its word that nothing has changed is about no document."""
        feed = self.feed()
        feed.skip_tick()
        self.assertIs(feed.state, State.STALE)

    def test_feed_that_has_expired_by_itself_is_live_at_a_word(self) -> None:
        """Where no pull has failed, and the source has only been late."""
        feed = self.feed()
        feed.gone_after_s = 10
        subscriber, _ = self.follow(feed)
        feed.publish(b"1")
        self.clock.advance(10)
        self.assertIs(feed.state, State.EXPIRED)
        feed.skip_tick()
        self.assertEqual((feed.state, feed.expires_in_s(), subscriber.documents), (State.LIVE, 10, [b"1", b"1"]))
        feed.mark_stale()
        self.assertIs(feed.state, State.EXPIRED)
        feed.skip_tick()
        self.assertIs(feed.state, State.EXPIRED)

    def test_source_that_has_failed_is_to_give_a_document(self) -> None:
        """Its word that nothing has changed is not enough then, though the feed was stale by itself before."""
        feed = self.feed()
        feed.patience_s = 4
        feed.publish(b"1")
        self.clock.advance(4)
        self.assertIs(feed.state, State.STALE)
        feed.mark_stale()
        feed.skip_tick()
        self.assertIs(feed.state, State.STALE)

    def test_part_is_as_its_whole(self) -> None:
        """It is stale by itself alone where the whole is live, and never expires, nor is watched, by itself."""
        whole = self.feed(push="change")
        whole.gone_after_s = 10
        part = Feed("feed/a", clock=self.clock, push="change", gone_after_s=1, patience_s=1, whole=whole)
        informed = RecordingSubscriber()
        part.subscribe(informed, informed=True)
        whole.publish(b'{"a":1}')
        part.publish(b"1")
        self.clock.advance(5)
        self.assertEqual((part.state, part.expires_in_s()), (State.LIVE, 5))
        part.mark_stale()
        self.assertIs(part.state, State.STALE)
        part.publish(b"1")
        whole.mark_stale()
        part.mark_stale()
        self.assertIs(part.state, State.STALE)
        with capturedLogs() as events:
            self.clock.advance(5)
            self.assertIs(part.state, State.STALE)
            part.mark_stale()
        self.assertEqual((whole.state, part.state, part.is_gone()), (State.EXPIRED, State.EXPIRED, True))
        self.assertEqual(len(events), 1)
        self.assertEqual(len(informed.sent), 5)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_call_watches(self) -> None:
        """However many ticks there are, and none when nothing is pulled any more."""
        feed = self.feed()
        feed.patience_s, feed.gone_after_s = 4, 30
        for _ in range(20):
            feed.publish(b"1")
            self.clock.advance(1)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        for _ in range(2):
            feed.stop_watching()
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nothing_is_watched_any_more(self) -> None:
        """Whatever is published after the pulls have ended."""
        feed = self.feed()
        feed.patience_s = 4
        feed.publish(b"1")
        feed.stop_watching()
        feed.mark_stale()
        feed.publish(b"1")
        self.assertIs(feed.state, State.LIVE)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_gone_after(self) -> None:
        """It expires by itself, whether pulls fail or none ends, until one is good."""
        for fails in (True, False):
            feed = self.feed()
            feed.gone_after_s = 10
            feed.publish(b"1")
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
            feed.publish(b"1")
            self.assertEqual((feed.state, feed.expires_in_s()), (State.LIVE, 10))
            feed.stop_watching()

    def test_long_interval_outlives_gone_after(self) -> None:
        """As long as all is well: it would expire before each tick, else."""
        feed = self.feed(interval_s=60)
        feed.gone_after_s = 10
        feed.publish(b"1")
        self.clock.advance(60)
        self.assertEqual((feed.state, feed.expires_in_s()), (State.LIVE, 60))
        feed.mark_stale()
        self.assertIs(feed.state, State.EXPIRED)
        feed.publish(b"1")
        self.clock.advance(4)
        feed.mark_stale()
        self.assertIs(feed.state, State.STALE)
        self.clock.advance(6)
        self.assertIs(feed.state, State.EXPIRED)

    def test_restored_document_is_too_old(self) -> None:
        """Or will be: nothing else has to happen."""
        for at, state in ((NOW - 10, State.EXPIRED), (NOW - 4, State.STALE)):
            feed = self.feed()
            feed.gone_after_s = 10
            feed.restore([Kept(b"1", Sequence(1, 1), at)])
            self.assertIs(feed.state, state)
            self.clock.advance(6)
            self.assertIs(feed.state, State.EXPIRED)
            self.clock.rightNow = NOW

    def test_expiry_is_told_to_everybody(self) -> None:
        """Who is told of the state, by the snapshot; who is not, by a call; and nobody else is sent anything."""
        feed = self.feed(push="change")
        feed.gone_after_s = 10
        crowd, calls = RecordingCrowd(), list[int]()
        informed, plain, other = RecordingSubscriber(), RecordingSubscriber(), RecordingSubscriber()
        feed.subscribe(informed, informed=True)
        feed.subscribe(other)
        crowded = feed.subscribe(plain, crowd=crowd, expire=lambda: calls.append(1))
        paused = feed.subscribe(RecordingSubscriber(), expire=lambda: calls.append(2))
        feed.subscribe(RecordingSubscriber(), expire=break_down)
        paused.pause()
        feed.publish(b"1")
        self.clock.advance(10)
        self.assertEqual(len(self.flushLoggedErrors(BrokenSubscriberError)), 1)
        self.assertEqual(sorted(calls), [1, 2])
        self.assertEqual([len(each.sent) for each in (informed, plain, other)], [2, 1, 1])
        self.assertEqual(len(feed.subscriptions), 4)
        feed.mark_stale()
        paused.resume()
        crowded.cancel()
        late = RecordingSubscriber()
        feed.subscribe(late)
        self.assertEqual((len(calls), late.sent), (2, []))
        feed.publish(b"1")
        # Who has come meanwhile as well, though it has not changed.
        self.assertEqual([each.documents[-1:] for each in (informed, other, late)], [[b"1"]] * 3)
        self.assertEqual(feed.state, State.LIVE)

    def test_expiry_while_documents_are_pushed(self) -> None:
        """Those that the push has not come to yet are not sent what has expired."""
        feed = self.feed()
        feed.gone_after_s = 10
        followers = [RecordingSubscriber() for _ in range(2 * SLICE)]
        calls: list[RecordingSubscriber] = []
        for follower in followers:
            feed.subscribe(follower, expire=partial(calls.append, follower))
        feed.publish(b"1")
        self.clock.rightNow += 10
        feed.mark_stale()
        self.clock.pump([0] * 4)
        self.assertEqual([len(follower.sent) for follower in followers], [1] * SLICE + [0] * SLICE)
        self.assertCountEqual(calls, followers)

    def test_expiry_is_told_once(self) -> None:
        """Also to one who stays though it was told, and sees the document come back and expire again."""
        feed, calls = self.feed(), list[int]()
        feed.gone_after_s = 10
        subscriber = RecordingSubscriber()
        feed.subscribe(subscriber, expire=lambda: calls.append(1))
        for document in (b"1", b"2"):
            feed.publish(document)
            self.clock.advance(10)
            self.assertIs(feed.state, State.EXPIRED)
        self.assertEqual((calls, subscriber.documents, subscriber.dropped), ([1], [b"1", b"2"], 0))

    def test_expiry_is_not_told_to_one_who_has_just_left(self) -> None:
        """One who is told ends the subscriptions of the others, whose turn would have come."""
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
        feed.publish(b"1")
        self.clock.advance(10)
        self.assertIs(feed.state, State.EXPIRED)
        self.assertEqual((len(calls), [each.dropped for each in followers]), (1, [0] * 3))

    def test_never_gone(self) -> None:
        """As it is by default."""
        feed = self.feed()
        feed.publish(b"1")
        self.clock.advance(1e9)
        feed.mark_stale()
        self.assertFalse(feed.is_gone())

    def test_state_is_told_to_those_who_were_pushed_to_already(self) -> None:
        """Though others are still being pushed to: nobody is left out, and nobody is told twice."""
        feed = self.feed(push="change")
        followers = [RecordingSubscriber() for _ in range(SLICE + 10)]
        for follower in followers:
            feed.subscribe(follower, informed=True)
        feed.publish(b"1")
        feed.mark_stale()
        self.clock.pump([0] * 4)
        self.assertEqual([len(follower.sent) for follower in followers], [2] * SLICE + [1] * 10)


class TimeTests(FeedTestCase):
    """age_s and next_tick_s."""

    def test_age_counts_from_the_last_confirmation(self) -> None:
        """The age grows with the clock until a pull confirms the snapshot."""
        feed = self.feed()
        feed.publish(b"1")
        self.clock.advance(2.5)
        self.assertEqual(feed.age_s(), 2.5)
        feed.mark_stale()
        self.assertEqual(feed.age_s(), 2.5)
        feed.publish(b"1")
        self.assertEqual(feed.age_s(), 0.0)

    def test_age_is_never_negative(self) -> None:
        """A clock that is set back gives an age of 0."""
        feed = self.feed()
        feed.publish(b"1")
        self.clock.rightNow -= 3600
        self.assertEqual(feed.age_s(), 0.0)

    def test_wall_clock_is_displayed_and_nothing_else(self) -> None:
        """It begins the epoch, and is the time of each confirmation. Ages and ticks are measured by the other clock."""
        self.clock.rightNow = 50.0
        wall = Clock()
        wall.advance(NOW)
        feed = Feed("feed", clock=self.clock, wall=wall.seconds)
        feed.publish(b"1")
        assert feed.snapshot is not None
        self.assertEqual((feed.snapshot.sequence, feed.confirmed_at), (Sequence(int(NOW * 1000), 1), NOW))
        self.assertEqual(feed.pushed_at, 50.0)
        for clock in (self.clock, wall):
            clock.advance(5)
        self.assertEqual((feed.age_s(), feed.confirmed_at), (5.0, NOW))

    def test_wall_clock_is_set(self) -> None:
        """By a second or a day, forwards or backwards: the age stays, and the displayed time is as long ago."""
        for step_s in (-86400, -3600, -60, -2, 2, 60, 3600, 86400):
            wall = Clock()
            wall.advance(NOW)
            feed = Feed("feed", clock=self.clock, wall=wall.seconds)
            feed.publish(b"1")
            self.clock.advance(5)
            wall.rightNow += 5 + step_s
            self.assertEqual((feed.age_s(), feed.confirmed_at), (5.0, NOW + step_s))
            feed.publish(b"1")
            self.assertEqual((feed.age_s(), feed.confirmed_at), (0.0, NOW + step_s + 5))

    def test_confirmed_a_moment_ago(self) -> None:
        """A pull that began before it is taken note of confirms the document for its beginning, by both clocks."""
        wall = Clock()
        wall.advance(7000)
        feed = Feed("feed", clock=self.clock, wall=wall.seconds)
        feed.publish(b"1")
        feed.confirm(self.clock.seconds() - 0.5)
        self.assertEqual((feed.age_s(), feed.confirmed_at), (0.5, 6999.5))

    def test_machine_that_was_just_started(self) -> None:
        """The clock begins at 0 then. What has not happened yet was not a moment ago, and is not due in an hour."""
        feed = Feed("feed", clock=Clock(), interval_s=3600.0, gone_after_s=0.5)
        self.assertEqual(
            (feed.age_s(), feed.next_tick_s(), feed.is_gone(), feed.confirmed_at), (0.0, OVERDUE_S, False, 0.0)
        )
        self.assertLess(feed.pushed_at, -3600)

    def test_next_tick(self) -> None:
        """It is due an interval after the last one began."""
        feed = self.feed(interval_s=10.0)
        feed.tick_at = self.clock.seconds()
        self.clock.advance(4)
        self.assertEqual(feed.next_tick_s(), 6.0)

    def test_overdue_tick(self) -> None:
        """Nothing near 0 is told while a source hangs; nor an hour, since the tick is due."""
        for interval_s, expected_s in ((0.05, 0.05), (1.0, 1.0), (3600.0, OVERDUE_S)):
            feed = self.feed(interval_s=interval_s)
            feed.tick_at = self.clock.seconds()
            self.clock.advance(interval_s)
            for _ in range(20):
                self.assertEqual(feed.next_tick_s(), expected_s)
                self.clock.advance(interval_s / 10)

    def test_part_has_the_ticks_of_the_whole(self) -> None:
        """Also of the tick that is going on, which has not brought the part up to date yet."""
        whole = self.feed(interval_s=10.0)
        part = Feed("feed/a", clock=self.clock, interval_s=10.0, whole=whole)
        whole.tick_at = self.clock.seconds()
        self.clock.advance(4)
        self.assertEqual(part.next_tick_s(), 6.0)

    def test_next_tick_is_never_further_than_the_interval(self) -> None:
        """A clock that is set back must not tell caches to keep a document for an hour."""
        feed = self.feed(interval_s=10.0)
        feed.tick_at = self.clock.seconds()
        self.clock.rightNow -= 3600
        self.assertLessEqual(feed.next_tick_s(), 10.0)


class SubscribeTests(FeedTestCase):
    """Beginning and ending subscriptions."""

    def test_newest_snapshot_comes_at_once(self) -> None:
        """A subscriber need not wait for the next tick."""
        feed = self.feed()
        feed.publish(b"1")
        feed.publish(b"2")
        subscriber, _ = self.follow(feed)
        self.assertEqual(subscriber.documents, [b"2"])

    def test_nothing_comes_before_the_first_document(self) -> None:
        """Without a snapshot there is nothing to send; the first one is sent when it is there."""
        feed = self.feed()
        subscriber, _ = self.follow(feed)
        self.assertEqual(subscriber.sent, [])
        feed.publish(b"1")
        self.assertEqual(subscriber.documents, [b"1"])

    def test_version_that_a_newcomer_has_is_not_sent(self) -> None:
        """Nor when it has drained, or the version is published again: only a sign of life or another version is."""
        for informed in (False, True):
            feed = self.feed(push="change")
            feed.publish(b"1")
            subscriber = RecordingSubscriber()
            subscription = feed.subscribe(subscriber, informed=informed, have=version_of(b"1"))
            subscription.pause()
            subscription.resume()
            feed.publish(b"1")
            self.assertEqual(subscriber.sent, [])
            feed.publish(b"2")
            self.assertEqual(subscriber.documents, [b"2"])
        feed = self.feed(push="tick")
        feed.publish(b"1")
        feed.subscribe(subscriber, repeats=False, have=version_of(b"1"))
        feed.publish(b"1")
        self.assertEqual(subscriber.documents, [b"2"])

    def test_cancelled_subscription_gets_nothing(self) -> None:
        """After its end nothing is sent; ending it twice is no error."""
        for crowd in (None, RecordingCrowd()):
            feed = self.feed()
            subscriber, subscription = self.follow(feed, crowd)
            subscription.cancel()
            subscription.cancel()
            feed.publish(b"1")
            self.assertEqual(subscriber.sent, [])
            self.assertEqual((feed.subscriptions, feed._units()), ({}, []))

    def test_the_next_after_all_have_left(self) -> None:
        """It is sent what the others were, though they were of one crowd with it, and have left nobody."""
        feed, crowd = self.feed(), RecordingCrowd()
        self.follow(feed, crowd)[1].cancel()
        for document in (b"1", b"2"):
            subscriber, subscription = self.follow(feed, crowd)
            feed.publish(document)
            self.assertEqual(subscriber.documents[-1:], [document])
            subscription.cancel()
            self.assertEqual(feed._units(), [])

    def test_cancelled_subscription_is_owed_nothing(self) -> None:
        """A transport that drains after it was let go is not written to any more."""
        feed = self.feed()
        subscriber, subscription = self.follow(feed)
        subscription.pause()
        feed.publish(b"1")
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
        feed.publish(b"1")
        for subscriber in subscribers:
            self.assertEqual(len(subscriber.sent), 1)
            self.assertIs(subscriber.sent[0], feed.snapshot)
        self.assertEqual(order, [0, 1, 2])


class PushTests(FeedTestCase):
    """When subscribers are sent the document."""

    def test_tick_sends_at_each_good_pull(self) -> None:
        """With push=tick an unchanged document is sent again, as a sign of life."""
        feed = self.feed(push="tick")
        subscriber, _ = self.follow(feed)
        for document in (b"1", b"1", b"2"):
            feed.publish(document)
        self.assertEqual(subscriber.documents, [b"1", b"1", b"2"])

    def test_change_in_between_is_the_sign_of_life(self) -> None:
        """What a source has told of is sent at once, and not again at the next tick; at the one after that it is."""
        feed = self.feed()
        subscriber, _ = self.follow(feed)
        feed.publish(b"1")
        for document in (b"2", b"3"):
            feed.publish(document, is_tick=False)
        feed.publish(b"3")
        self.assertEqual(subscriber.documents, [b"1", b"2", b"3"])
        feed.publish(b"3")
        feed.publish(b"4")
        self.assertEqual(subscriber.documents[3:], [b"3", b"4"])

    def test_change_sends_changes_only(self) -> None:
        """With push=change an unchanged document is not sent again, a change back is."""
        feed = self.feed(push="change")
        subscriber, _ = self.follow(feed)
        for document in (b"1", b"1", b"2", b"1", b"1"):
            feed.publish(document)
        self.assertEqual(subscriber.documents, [b"1", b"2", b"1"])


class ConflationTests(FeedTestCase):
    """What a slow subscriber gets."""

    def test_paused_subscriber_skips_to_the_newest(self) -> None:
        """It gets nothing while paused, and on resuming the newest version alone."""
        feed = self.feed()
        subscriber, subscription = self.follow(feed)
        feed.publish(b"1")
        subscription.pause()
        for document in (b"2", b"3", b"4"):
            feed.publish(document)
        self.assertEqual(subscriber.documents, [b"1"])
        subscription.resume()
        self.assertEqual(subscriber.documents, [b"1", b"4"])

    def test_debt_is_paid_once(self) -> None:
        """Resuming again, after what was owed was sent, sends nothing."""
        feed = self.feed()
        subscriber, subscription = self.follow(feed)
        subscription.pause()
        feed.publish(b"1")
        subscription.resume()
        subscription.resume()
        subscription.pause()
        subscription.resume()
        self.assertEqual(subscriber.documents, [b"1"])

    def test_the_version_it_has_is_not_owed(self) -> None:
        """Ticks without a change leave a paused subscriber nothing to catch up with."""
        feed = self.feed(push="tick")
        subscriber, subscription = self.follow(feed)
        feed.publish(b"1")
        subscription.pause()
        feed.publish(b"1")
        feed.publish(b"1")
        subscription.resume()
        self.assertEqual(subscriber.documents, [b"1"])

    def test_what_went_and_came_back_is_not_owed(self) -> None:
        """It has the document already; the ticks after that are as they always are."""
        for repeats, later in ((False, [b"1"]), (True, [b"1", b"1"])):
            feed = self.feed(push="tick")
            feed.publish(b"1")
            subscriber = RecordingSubscriber()
            subscription = feed.subscribe(subscriber, repeats=repeats)
            subscription.pause()
            feed.publish(b"2")
            feed.publish(b"1")
            subscription.resume()
            self.assertEqual(subscriber.documents, [b"1"])
            feed.publish(b"1")
            self.assertEqual(subscriber.documents, later)

    def test_what_went_and_came_back_is_told_to_the_informed(self) -> None:
        """It is a later version, though the document is the same."""
        feed = self.feed()
        feed.publish(b"1")
        subscriber = RecordingSubscriber()
        subscription = feed.subscribe(subscriber, informed=True)
        subscription.pause()
        feed.publish(b"2")
        feed.publish(b"1")
        subscription.resume()
        self.assertEqual([snapshot.sequence.number for snapshot in subscriber.sent], [1, 3])

    def test_nothing_is_owed_of_a_part_without_a_version(self) -> None:
        """Nor later: it is pushed when it has one again, and that is all."""
        feed = self.feed(push="change")
        subscriber, subscription = self.follow(feed)
        subscription.pause()
        feed.publish(b"1")
        feed.snapshot = None
        subscription.resume()
        feed.publish(b"2")
        subscription.pause()
        subscription.resume()
        self.assertEqual(subscriber.documents, [b"2"])

    def test_nothing_is_owed_without_a_publish(self) -> None:
        """Pausing and resuming by themselves send nothing."""
        feed = self.feed()
        feed.publish(b"1")
        subscriber, subscription = self.follow(feed)
        subscription.pause()
        subscription.resume()
        self.assertEqual(subscriber.documents, [b"1"])

    def test_paused_before_the_first_document(self) -> None:
        """The first version is owed like any other."""
        feed = self.feed()
        subscriber, subscription = self.follow(feed)
        subscription.pause()
        feed.publish(b"1")
        self.assertEqual(subscriber.sent, [])
        subscription.resume()
        self.assertEqual(subscriber.documents, [b"1"])

    def test_full_again_while_it_catches_up(self) -> None:
        """A transport that is full again at once is paused again, and owed what comes then; also one of a crowd."""
        for crowd in (None, RecordingCrowd()):
            feed = self.feed()
            subscriber, subscription = self.follow(feed, crowd)
            subscriber.then = subscription.pause
            feed.publish(b"1")
            feed.publish(b"2")
            feed.publish(b"3")
            self.assertEqual(subscriber.documents, [b"1"])
            subscription.resume()
            self.assertEqual(subscriber.documents, [b"1", b"3"])
            feed.publish(b"4")
            self.assertEqual(subscriber.documents, [b"1", b"3"])
            subscription.resume()
            self.assertEqual(subscriber.documents, [b"1", b"3", b"4"])

    def test_pausing_one_leaves_the_others_alone(self) -> None:
        """A slow subscriber is slow for itself only."""
        feed = self.feed()
        _, slow = self.follow(feed)
        quick, _ = self.follow(feed)
        slow.pause()
        feed.publish(b"1")
        feed.publish(b"2")
        self.assertEqual(quick.documents, [b"1", b"2"])

    @settings(deadline=None, max_examples=200)
    @given(
        st.lists(st.sampled_from(["1", "2", "3", "pause", "resume"]), max_size=20),
        st.sampled_from(["tick", "change"]),
        st.booleans(),
    )
    def test_conflation_in_any_order(self, steps: list[str], push: Push, in_crowd: bool) -> None:
        """Nothing is sent while paused, at most one by resume, never an old version, and the end is the newest."""
        feed = self.feed(push=push)
        subscriber, subscription = self.follow(feed, RecordingCrowd() if in_crowd else None)
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
                    feed.publish(document.encode())
            if paused:
                self.assertEqual(len(subscriber.sent), before)
            elif feed.snapshot is not None:
                self.assertEqual(subscriber.sent[-1].version, feed.snapshot.version)
        numbers = [snapshot.sequence.number for snapshot in subscriber.sent]
        self.assertEqual(numbers, sorted(numbers))


class FanOutTests(FeedTestCase):
    """What happens to the others when one of them misbehaves while it is sent to."""

    def test_state_that_changes_in_the_middle_is_told_to_all(self) -> None:
        """Those who were sent the version already are told, too, and the others are told once."""
        feed = self.feed(push="change")
        told: list[list[State]] = []
        for _ in range(2 * SLICE):
            subscriber, states = RecordingSubscriber(), list[State]()
            subscriber.then = lambda states=states: states.append(feed.state)  # type: ignore[misc]
            feed.subscribe(subscriber, informed=True)
            told.append(states)
        feed.publish(b"1")
        feed.mark_stale()
        self.clock.advance(1)
        self.assertEqual(told, [[State.LIVE, State.STALE]] * SLICE + [[State.STALE]] * SLICE)

    def test_broken_subscriber_is_dropped(self) -> None:
        """One that raises is logged and dropped; those before and after it are sent everything."""
        feed = self.feed()
        first, _ = self.follow(feed)
        broken = RecordingSubscriber(then=break_down)
        feed.subscribe(broken)
        last, _ = self.follow(feed)
        feed.publish(b"1")
        self.assertEqual(len(self.flushLoggedErrors(BrokenSubscriberError)), 1)
        feed.publish(b"2")
        self.assertEqual(first.documents, [b"1", b"2"])
        self.assertEqual(last.documents, [b"1", b"2"])
        self.assertEqual(broken.documents, [b"1"])
        self.assertEqual([each.dropped for each in (first, broken, last)], [0, 1, 0])
        self.assertEqual(feed.dropped, 1)
        self.assertIs(feed.state, State.LIVE)

    def test_crowd_is_sent_to_together(self) -> None:
        """Those who are sent the same, and can take it; the others are sent theirs one by one."""
        feed = self.feed()
        crowds = RecordingCrowd(), RecordingCrowd()
        followers = [self.follow(feed, crowd) for crowd in (*crowds, None) for _ in range(3)]
        feed.publish(b"0")
        self.assertEqual([crowd.sizes for crowd in crowds], [[], []])
        followers[0][1].pause()
        followers[3][1].cancel()
        feed.publish(b"1")
        self.assertEqual([crowd.sizes for crowd in crowds], [[2], [2]])
        self.assertEqual([len(subscriber.sent) for subscriber, _ in followers], [1, 2, 2, 1, 2, 2, 2, 2, 2])
        followers[0][1].resume()
        self.assertEqual(followers[0][0].documents, [b"0", b"1"])
        feed.publish(b"2")
        feed.publish(b"3")
        self.assertEqual([crowd.sizes for crowd in crowds], [[2, 2, 3], [2, 2, 2]])
        self.assertEqual(followers[0][0].documents, [b"0", b"1", b"2", b"3"])

    def test_crowds_that_are_equal_are_one(self) -> None:
        """However many objects they are."""
        feed, crowd = self.feed(), RecordingCrowd()

        @dataclass(frozen=True)
        class EqualCrowd:
            name: str

            def make_multicast(self) -> RecordingGroup:
                return crowd.make_multicast()

        for name in "aabab":
            feed.subscribe(RecordingSubscriber(), crowd=EqualCrowd(name))
        for document in (b"1", b"2"):
            feed.publish(document)
        self.assertEqual(sorted(crowd.sizes), [2, 3])

    def test_what_one_of_a_group_was_sent_is_known_when_it_leaves(self) -> None:
        """One that is paused, and finds the document as it was, is sent nothing; a newer one once."""
        feed = self.feed()
        subscriber, subscription = self.follow(feed, RecordingCrowd())
        for document in (b"1", b"2"):
            feed.publish(document)
        subscription.pause()
        feed.publish(b"2")
        subscription.resume()
        self.assertEqual(subscriber.documents, [b"1", b"2"])
        subscription.pause()
        feed.publish(b"3")
        subscription.resume()
        self.assertEqual(subscriber.documents, [b"1", b"2", b"3"])

    def test_one_of_a_group_that_is_sent_something_of_its_own(self) -> None:
        """It is sent that by itself, and each later version once."""
        feed = self.feed()
        crowd = RecordingCrowd()
        (subscriber, subscription), (other, _) = self.follow(feed, crowd), self.follow(feed, crowd)
        feed.publish(b"1")
        assert feed.snapshot is not None
        subscription.send(feed.snapshot)
        feed.publish(b"2")
        feed.publish(b"3")
        self.assertEqual(subscriber.documents, [b"1", b"1", b"2", b"3"])
        self.assertEqual(other.documents, [b"1", b"2", b"3"])
        self.assertEqual(crowd.sizes, [1, 2])

    def test_one_of_a_group_that_is_sent_nothing_twice(self) -> None:
        """Nor is all of it, where its members want changes alone."""
        feed = self.feed()
        crowd, subscriber = RecordingCrowd(), RecordingSubscriber()
        feed.subscribe(subscriber, repeats=False, crowd=crowd)
        for document in (b"1", b"1", b"2", b"2", b"2"):
            feed.publish(document)
        self.assertEqual((subscriber.documents, crowd.sizes), ([b"1", b"2"], [1]))

    def test_newcomers_while_a_version_is_pushed(self) -> None:
        """They are sent it once, when they come."""
        feed, crowd = self.feed(), RecordingCrowd()
        followers = [self.follow(feed, crowd)[0] for _ in range(3 * SLICE + 3)]
        for document in (b"1", b"2"):
            feed.publish(document)
            newcomers = [self.follow(feed, crowd)[0]]
            self.clock.advance(0)
            newcomers.append(self.follow(feed, crowd)[0])
            for _ in range(4):
                self.clock.advance(0)
            newcomers.append(self.follow(feed, crowd)[0])
            self.assertEqual([newcomer.documents for newcomer in newcomers], [[document]] * 3)
        self.assertEqual([follower.documents for follower in followers], [[b"1", b"2"]] * len(followers))

    def test_newcomers_while_others_are_told_of_the_state(self) -> None:
        """They are sent the version with its state, once; so are they while a version is pushed."""
        begins: tuple[Callable[[Feed], object], ...] = (Feed.mark_stale, lambda feed: feed.publish(b"2"))
        for begin in begins:
            feed, crowd, other = self.feed(push="change"), RecordingCrowd(), RecordingCrowd()
            feed.publish(b"1")
            feed.subscribe(RecordingSubscriber(), informed=True, crowd=crowd)
            for _ in range(3 * SLICE):
                feed.subscribe(RecordingSubscriber(), informed=True, crowd=other)
            begin(feed)
            newcomer = RecordingSubscriber()
            feed.subscribe(newcomer, informed=True, crowd=crowd)
            for _ in range(4):
                self.clock.advance(0)
            assert feed.snapshot is not None
            self.assertEqual(newcomer.documents, [feed.snapshot.data])

    def test_those_who_were_not_reached_come_first(self) -> None:
        """When there is another version before the last one has come to them."""
        feed = self.feed()
        followers = [self.follow(feed)[0] for _ in range(3 * SLICE)]
        for document in (b"1", b"2", b"3"):
            feed.publish(document)
        for number, document in enumerate((b"1", b"2", b"3")):
            reached = followers[number * SLICE : (number + 1) * SLICE]
            self.assertEqual([follower.documents for follower in reached], [[document]] * SLICE)

    def test_a_slice_is_shorter_where_it_takes_long(self) -> None:
        """One that has taken all of its time goes on, and one that has taken more does not."""
        feed = self.feed()
        followers = [self.follow(feed)[0] for _ in range(4)]
        took_s = iter((SLICE_S, SLICE_S / 2))

        def take() -> None:
            self.clock.rightNow += next(took_s, 0.0)

        for follower in followers:
            follower.then = take
        feed.publish(b"1")
        self.assertEqual([len(follower.sent) for follower in followers], [1, 1, 0, 0])
        self.clock.advance(0)
        self.assertEqual([len(follower.sent) for follower in followers], [1, 1, 1, 1])

    def test_one_call_goes_on_with_what_is_pushed(self) -> None:
        """Whatever begins meanwhile: the others have their turns in between as ever."""
        feed = self.feed(push="change")
        for _ in range(3 * SLICE):
            feed.subscribe(RecordingSubscriber(), informed=True)
        for begin in (lambda: feed.publish(b"1"), lambda: feed.publish(b"2"), feed.mark_stale):
            begin()
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_newcomers_while_the_source_is_away(self) -> None:
        """Those who come from tick to tick are told of the state in few pieces, too."""
        feed, crowd = self.feed(), RecordingCrowd()
        feed.publish(b"1")
        for _ in range(4 * BATCH):
            feed.subscribe(RecordingSubscriber(), informed=True, crowd=crowd)
            feed.mark_stale()
        self.assertLessEqual(len([group for group in crowd.groups if group.subscribers]), 8)

    def test_resuming_while_a_version_is_pushed(self) -> None:
        """Who is sent it then, since it is owed, is not sent it again in its turn; the next sign of life is."""
        for in_crowd in (False, True):
            feed, crowd = self.feed(), RecordingCrowd()
            followers = [self.follow(feed, crowd if in_crowd else None) for _ in range(3 * SLICE)]
            for _, subscription in followers:
                subscription.pause()
            feed.publish(b"1")
            for _ in range(3):
                self.clock.advance(0)
            feed.publish(b"2")
            for _, subscription in followers:
                subscription.resume()
            for _ in range(3):
                self.clock.advance(0)
            self.assertEqual([subscriber.documents for subscriber, _ in followers], [[b"2"]] * len(followers))
            feed.publish(b"2")
            for _ in range(3):
                self.clock.advance(0)
            self.assertEqual([subscriber.documents for subscriber, _ in followers], [[b"2", b"2"]] * len(followers))

    def test_groups_that_have_become_small_are_merged(self) -> None:
        """Subscribers come and go, and those who are left are sent to in few pieces, and are sent everything."""
        feed, crowd = self.feed(), RecordingCrowd()
        followers = [self.follow(feed, crowd) for _ in range(20 * BATCH)]
        feed.publish(b"0")
        for _ in range(3):
            self.clock.advance(0)
        left = followers[:: BATCH // 2]
        for follower in followers:
            if follower not in left:
                follower[1].cancel()
        for number in range(1, 9):
            feed.publish(b"%d" % number)
            for _ in range(3):
                self.clock.advance(0)
        sizes = [group.sizes[-1] for group in crowd.groups if group.subscribers]
        self.assertEqual(sum(sizes), len(left))
        self.assertLessEqual(len(sizes), 2 * -(-len(left) // BATCH))
        for subscriber, _ in left:
            self.assertEqual(subscriber.documents[1:], [b"%d" % number for number in range(1, 9)])

    def test_which_groups_are_merged(self) -> None:
        """Those that are at most half full, with one another, until they are more than that."""
        half, quarter = BATCH // 2, BATCH // 4
        for sizes, merged in (
            ((half, half), [2 * half]),
            ((half + 1, half), [half + 1, half]),
            ((quarter,) * 2, [half]),
            ((quarter,) * 3, [3 * quarter]),
            ((quarter,) * 4, [3 * quarter, quarter]),
            ((quarter, half, quarter, 1, BATCH), [3 * quarter, quarter + 1, BATCH]),
        ):
            feed, crowd = self.feed(), RecordingCrowd()
            followers = [[self.follow(feed, crowd) for _ in range(BATCH)] for _ in sizes]
            feed.publish(b"0")
            for several, size in zip(followers, sizes, strict=True):
                for _, subscription in several[size:]:
                    subscription.cancel()
            feed.publish(b"1")
            self.assertEqual([unit.size for unit in feed._units()], merged)
            for several, size in zip(followers, sizes, strict=True):
                self.assertEqual([len(subscriber.sent) for subscriber, _ in several[:size]], [2] * size)

    def test_one_of_a_crowd_that_was_cancelled_in_the_same_turn(self) -> None:
        """When another's send ends the subscription, it is not sent to any more."""
        feed = self.feed()
        crowd = RecordingCrowd()
        member, subscription = self.follow(feed, crowd)
        other, _ = self.follow(feed)
        other.then = subscription.cancel
        feed.publish(b"1")
        self.assertEqual((member.sent, crowd.sizes), ([], []))

    def test_one_of_a_group_that_was_cancelled_by_another(self) -> None:
        """It is not sent to any more."""
        feed = self.feed()
        followers = [self.follow(feed, RecordingCrowd()) for _ in range(2)]
        feed.publish(b"1")
        for (subscriber, _), (_, subscription) in (followers, followers[::-1]):
            subscriber.then = subscription.cancel
        feed.publish(b"2")
        self.assertEqual(sorted(subscriber.documents for subscriber, _ in followers), [[b"1"], [b"1", b"2"]])

    def test_broken_crowd_is_dropped(self) -> None:
        """What raises for one raises for all of it, and for nobody else."""
        feed = self.feed()
        crowd = RecordingCrowd()
        member, _ = self.follow(feed, crowd)
        member.then = break_down
        other, _ = self.follow(feed)
        feed.publish(b"1")
        self.assertEqual(len(self.flushLoggedErrors(BrokenSubscriberError)), 1)
        feed.publish(b"2")
        self.assertEqual((member.documents, other.documents), ([b"1"], [b"1", b"2"]))
        self.assertEqual((member.dropped, other.dropped), (1, 0))

    def grouped(self, feed: Feed, count: int = 3) -> tuple[RecordingGroup, list[RecordingSubscriber]]:
        """Gives a group, and those in it, who have been sent the versions 1 and 2."""
        crowd = RecordingCrowd()
        members = [self.follow(feed, crowd)[0] for _ in range(count)]
        for document in (b"1", b"2"):
            feed.publish(document)
        [group] = crowd.groups
        self.assertEqual(group.subscribers, members)
        return group, members

    def test_message_to_a_group_that_breaks_once(self) -> None:
        """It is tried with each of them: nobody is left out or cut off, and they are a group again."""
        feed = self.feed(push="change")
        group, members = self.grouped(feed)
        group.first = break_down
        feed.publish(b"3")
        self.assertEqual(len(self.flushLoggedErrors(BrokenSubscriberError)), 1)
        group.first = lambda: None
        feed.publish(b"4")
        self.assertEqual([member.documents for member in members], [[b"1", b"2", b"3", b"4"]] * 3)
        self.assertEqual(([member.dropped for member in members], feed.dropped), ([0] * 3, 0))
        self.assertEqual((group.subscribers, group.sizes), (members, [3, 3]))

    def test_message_to_a_group_that_breaks_for_one(self) -> None:
        """That one is disconnected."""
        feed = self.feed()
        group, members = self.grouped(feed)
        group.first = members[1].then = break_down
        feed.publish(b"3")
        self.assertTrue(self.flushLoggedErrors(BrokenSubscriberError))
        self.assertEqual([member.dropped for member in members], [0, 1, 0])
        group.first = lambda: None
        feed.publish(b"4")
        self.assertEqual([len(member.sent) for member in members], [4, 3, 4])
        self.assertEqual(group.subscribers, [members[0], members[2]])

    def test_group_that_breaks_again_and_again(self) -> None:
        """All are disconnected, and nobody stays who is sent nothing. It is written down once."""
        feed = self.feed()
        group, members = self.grouped(feed)
        group.first = break_down
        for member in members:
            member.then = break_down
        feed.publish(b"3")
        self.assertEqual(len(self.flushLoggedErrors(BrokenSubscriberError)), 1)
        self.assertEqual(([member.dropped for member in members], feed.dropped), ([1] * 3, 3))
        self.assertEqual(feed.subscriptions, {})
        feed.publish(b"4")
        self.assertEqual([len(member.sent) for member in members], [3] * 3)

    def test_paused_one_of_a_group_that_breaks(self) -> None:
        """It is owed the version as ever."""
        feed = self.feed()
        crowd = RecordingCrowd()
        (slow, subscription), (quick, _) = self.follow(feed, crowd), self.follow(feed, crowd)
        for document in (b"1", b"2"):
            feed.publish(document)
        subscription.pause()
        crowd.groups[0].first = break_down
        feed.publish(b"3")
        self.assertEqual(len(self.flushLoggedErrors(BrokenSubscriberError)), 1)
        self.assertEqual((slow.documents, quick.documents), ([b"1", b"2"], [b"1", b"2", b"3"]))
        subscription.resume()
        self.assertEqual(slow.documents, [b"1", b"2", b"3"])

    def test_group_that_cannot_be_joined(self) -> None:
        """Who is neither in it nor surely out of it is disconnected, and the others are sent to."""
        feed, crowd = self.feed(), RecordingCrowd()
        members = [self.follow(feed, crowd)[0] for _ in range(3)]
        [group] = crowd.groups
        group.added = iter_of(lambda: None, break_down, lambda: None)
        feed.publish(b"1")
        self.assertEqual(len(self.flushLoggedErrors(BrokenSubscriberError)), 1)
        self.assertEqual([member.dropped for member in members], [0, 1, 0])
        feed.publish(b"2")
        self.assertEqual([member.documents for member in members], [[b"1", b"2"], [b"1"], [b"1", b"2"]])

    def test_broken_subscriber_that_cannot_be_disconnected(self) -> None:
        """Both are written down, and the others are sent to."""
        feed = self.feed()
        broken, _ = self.follow(feed)
        broken.then = break_down
        self.patch(broken, "drop", break_down)
        other, subscription = self.follow(feed)
        feed.publish(b"1")
        self.assertEqual(len(self.flushLoggedErrors(BrokenSubscriberError)), 2)
        self.assertEqual((other.documents, list(feed.subscriptions)), ([b"1"], [subscription]))

    def test_what_a_full_subscriber_asks_for_is_owed(self) -> None:
        """Though it has the version: it is sent it once, when it can take it."""
        for crowd in (None, RecordingCrowd()):
            feed = self.feed(push="change")
            subscriber = RecordingSubscriber()
            subscription = feed.subscribe(subscriber, informed=True, crowd=crowd)
            for document in (b"1", b"2"):
                feed.publish(document)
            subscription.pause()
            assert feed.snapshot is not None
            subscription.send(feed.snapshot)
            self.assertEqual(subscriber.documents, [b"1", b"2"])
            subscription.resume()
            subscription.resume()
            self.assertEqual(subscriber.documents, [b"1", b"2", b"2"])

    def test_one_that_breaks_while_it_catches_up(self) -> None:
        """Or is sent something of its own: it is disconnected, as it is in its turn."""
        for own in (False, True):
            feed = self.feed()
            subscriber, subscription = self.follow(feed)
            feed.publish(b"1")
            assert feed.snapshot is not None
            subscriber.then = break_down
            if own:
                subscription.send(feed.snapshot)
            else:
                subscription.pause()
                feed.publish(b"2")
                subscription.resume()
            self.assertEqual(len(self.flushLoggedErrors(BrokenSubscriberError)), 1)
            self.assertEqual((subscriber.dropped, feed.subscriptions), (1, {}))

    def test_version_that_broke_before_it_was_pushed(self) -> None:
        """Nobody was sent it, so the next tick does, though it is not new any more."""
        feed = self.feed(push="change")
        subscriber, _ = self.follow(feed)
        feed.publish(b"1")
        with (
            mock.patch.object(History, "add", side_effect=BrokenSubscriberError),
            self.assertRaises(BrokenSubscriberError),
        ):
            feed.publish(b"2")
        self.assertEqual(subscriber.documents, [b"1"])
        feed.publish(b"2")
        feed.publish(b"2")
        self.assertEqual(subscriber.documents, [b"1", b"2"])

    def test_everybody_is_pushed_to_in_slices(self) -> None:
        """However many there are of each kind, each is sent each version once, and others get turns in between."""
        feed = self.feed()
        crowd = RecordingCrowd()
        followers = [self.follow(feed, crowd if number % 3 else None)[0] for number in range(2 * SLICE + 5)]
        feed.publish(b"1")
        alone = -(-len(followers) // 3)
        self.assertEqual(sum(len(follower.sent) for follower in followers), alone + (SLICE - alone) // BATCH * BATCH)
        self.clock.advance(0)
        self.clock.advance(0)
        self.assertEqual([follower.documents for follower in followers], [[b"1"]] * len(followers))

    def test_slices_of_one_kind_are_full(self) -> None:
        """Of those who are sent theirs one by one as of those who are sent it together."""
        for crowd in (None, RecordingCrowd()):
            feed = self.feed()
            followers = [self.follow(feed, crowd)[0] for _ in range(2 * SLICE + 5)]
            feed.publish(b"1")
            self.assertEqual(sum(len(follower.sent) for follower in followers), SLICE)

    def test_nobody_is_always_last(self) -> None:
        """However many there are, and though all are reached each time, pushing begins with another."""
        for count in (2, 3, 7, BATCH, SLICE, SLICE + 1, 3 * SLICE):
            feed, order = self.feed(), list[int]()
            for number in range(count):
                feed.subscribe(RecordingSubscriber(then=partial(order.append, number)))
            last = set()
            for version in range(4):
                order.clear()
                feed.publish(b"%d" % version)
                for _ in range(4):
                    self.clock.advance(0)
                self.assertEqual(sorted(order), [*range(count)])
                last.add(order[-1])
            self.assertGreater(len(last), 1, count)

    def test_broken_newcomer_is_not_kept(self) -> None:
        """One that raises while it is sent its first snapshot is disconnected."""
        feed = self.feed()
        feed.publish(b"1")
        broken = RecordingSubscriber(then=break_down)
        feed.subscribe(broken)
        self.assertEqual(len(self.flushLoggedErrors(BrokenSubscriberError)), 1)
        self.assertEqual((broken.dropped, feed.subscriptions), (1, {}))

    def test_leaving_while_being_sent_to(self) -> None:
        """A subscriber may end its own subscription from within send."""
        feed = self.feed()
        leaving, subscription = self.follow(feed)
        leaving.then = subscription.cancel
        staying, _ = self.follow(feed)
        feed.publish(b"1")
        feed.publish(b"2")
        self.assertEqual(leaving.documents, [b"1"])
        self.assertEqual(staying.documents, [b"1", b"2"])

    def test_one_that_was_cancelled_in_the_same_turn(self) -> None:
        """When one subscriber's send ends another's subscription, that one is not sent to any more."""
        feed = self.feed()
        first, _ = self.follow(feed)
        second, subscription = self.follow(feed)
        third, _ = self.follow(feed)
        first.then = subscription.cancel
        feed.publish(b"1")
        self.assertEqual(second.sent, [])
        self.assertEqual(third.documents, [b"1"])

    def test_joining_during_a_turn(self) -> None:
        """Who subscribes from within another's send gets the snapshot once."""
        feed = self.feed()
        newcomer = RecordingSubscriber()
        first, _ = self.follow(feed)

        def join() -> None:
            first.then = lambda: None
            feed.subscribe(newcomer)

        first.then = join
        feed.publish(b"1")
        self.assertEqual(newcomer.documents, [b"1"])
        feed.publish(b"2")
        self.assertEqual(newcomer.documents, [b"1", b"2"])
