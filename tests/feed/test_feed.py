"""The feed: the versions of its document, its replicas, and its subscriptions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from livefeed.clocks import Moment
from livefeed.document import codings
from livefeed.document import snapshot as snapshot_module
from livefeed.document.history import DeltaForm
from livefeed.document.patch import apply_patch
from livefeed.document.signature import verified
from livefeed.document.snapshot import Representation, Sequence, Snapshot, version_of
from livefeed.document.stored_version import StoredVersion
from livefeed.feed.feed import Feed
from livefeed.feed.notice import NO_NOTICE, Notice
from livefeed.feed.state import State
from livefeed.testing import publish
from tests.helpers.feeds import (
    NOW,
    FeedTestCase,
    RecordingSubscriber,
    tell_state,
)
from tests.helpers.signers import TRUSTED, make_signer

if TYPE_CHECKING:
    from livefeed.config.settings import Push


class PublishTests(FeedTestCase):
    """The effect of publish on the feed."""

    def test_before_the_first_document(self) -> None:
        """A feed that has pulled nothing has no snapshot, and does not pretend to be live."""
        feed = self.feed()
        self.assertIsNone(feed.snapshot)
        self.assertIs(feed.state, State.STALE)

    def test_publish_makes_a_snapshot(self) -> None:
        """A good pull makes the feed live, with the pulled bytes as they were."""
        feed = self.feed()
        publish(feed, b'{"a": 1.50}')
        assert feed.snapshot is not None
        self.assertEqual(feed.snapshot.data, b'{"a": 1.50}')
        self.assertIs(feed.state, State.LIVE)
        self.assertEqual(feed.confirmed_at, NOW)

    def test_sequence_begins_at_one_in_an_epoch_of_now(self) -> None:
        """The epoch is the time at which the count began, in milliseconds, so that a restart begins a later one."""
        feed = self.feed()
        publish(feed, b"1")
        assert feed.snapshot is not None
        self.assertEqual(feed.snapshot.sequence, Sequence(1_700_000_000_250, 1))
        self.clock.advance(1)
        later = self.feed()
        publish(later, b"1")
        assert later.snapshot is not None
        self.assertGreater(later.snapshot.sequence, feed.snapshot.sequence)

    def test_sequence_counts_changes_only(self) -> None:
        """An unchanged document keeps its snapshot; each change has the next number, including a change back."""
        feed = self.feed()
        numbers = []
        for document in (b"1", b"1", b"2", b"1", b"1"):
            self.clock.advance(1)
            publish(feed, document)
            assert feed.snapshot is not None
            numbers.append(feed.snapshot.sequence.number)
        self.assertEqual(numbers, [1, 1, 2, 3, 3])

    def test_unchanged_document_keeps_the_snapshot(self) -> None:
        """The same bytes are not compressed, hashed or framed again."""
        feed = self.feed()
        publish(feed, b"[1]")
        first = feed.snapshot
        publish(feed, bytes(bytearray(b"[1]")))
        self.assertIs(feed.snapshot, first)

    def test_unchanged_document_is_confirmed_anew(self) -> None:
        """A pull that gives the same bytes confirms them."""
        feed = self.feed()
        publish(feed, b"1")
        self.clock.advance(5)
        publish(feed, b"1")
        self.assertEqual(feed.confirmed_at, NOW + 5)

    def test_versions_and_codings_are_counted(self) -> None:
        """A version that is published again does not count, nor does one of an earlier process that was restored."""
        feed = self.feed()
        self.assertEqual((feed.versions, feed.codings_made, feed.fanout.pushes, feed.dropped), (0, 0, 0, 0))
        feed.restore([StoredVersion(b"[0]", Sequence(1, 1), NOW)])
        for document in (b"[1]", b"[1]", b"[2]"):
            publish(feed, document)
        self.assertEqual(feed.versions, 2)
        publish(feed, b'{"text":"%s"}' % (b"x" * 500))
        assert feed.snapshot is not None
        self.assertEqual((feed.versions, feed.codings_made), (3, len(feed.snapshot.representations) - 1))
        self.assertGreater(feed.codings_made, 0)
        self.assertEqual(feed.fanout.pushes, 4)
        feed.add_codings(feed.snapshot, {"x": b"x", "y": b"y"})
        self.assertEqual(
            (feed.codings_made, feed.snapshot.representations["x"].data), (len(feed.snapshot.representations) - 1, b"x")
        )

    def test_snapshot_is_taken_as_it_is(self) -> None:
        """A snapshot is neither copied nor made again, unless the newest one is of the same version."""
        feed = self.feed()
        first, again = (Snapshot.of(b"[1]", feed.next_sequence()) for _ in range(2))
        for snapshot in (first, again):
            feed.publish(snapshot)
            self.assertIs(feed.snapshot, first)
        second = Snapshot.of(b"[2]", feed.next_sequence())
        feed.publish(second)
        self.assertIs(feed.snapshot, second)
        self.assertEqual(second.sequence, first.sequence.next())

    def test_next_sequence_follows_that_of_the_newest_version(self) -> None:
        """It also follows a sequence of another epoch, which a part may have."""
        feed = self.feed()
        self.assertEqual(feed.next_sequence().number, 1)
        feed.publish(Snapshot.of(b"1", Sequence(5, 7)))
        self.assertEqual(feed.next_sequence(), Sequence(5, 8))
        self.assertEqual(feed.next_sequence(), Sequence(5, 8))

    def test_patch_that_was_made_already(self) -> None:
        """Clients that have the version before are sent it, and it is not made again."""
        feed = self.feed()
        publish(feed, b"[1]")
        feed.publish(Snapshot.of(b"[2]", feed.next_sequence()), deltas={DeltaForm.PATCH: b"[]"})
        self.assertEqual((feed.history.delta(DeltaForm.PATCH, version_of(b"[1]")), feed.history.made), (b"[]", 1))

    def test_pull_that_was_a_while_ago(self) -> None:
        """The document has that age, and the source was heard of now."""
        feed = self.feed()
        feed.publish(Snapshot.of(b"1", feed.next_sequence()), confirmed=Moment(NOW - 3, NOW - 3))
        self.assertEqual((feed.age_s(), feed.confirmed_at), (3, NOW - 3))

    def test_stale_takes_nothing_away(self) -> None:
        """A failed pull changes the state, and nothing else."""
        feed = self.feed()
        publish(feed, b"1")
        snapshot, confirmed_at = feed.snapshot, feed.confirmed_at
        subscriber, _ = self.follow(feed)
        self.clock.advance(1)
        feed.mark_stale()
        self.assertIs(feed.state, State.STALE)
        self.assertIs(feed.snapshot, snapshot)
        self.assertEqual(feed.confirmed_at, confirmed_at)
        self.assertEqual(subscriber.documents, [b"1"])

    def test_recovers_from_stale(self) -> None:
        """The next good pull makes the feed live again, even with the same document."""
        feed = self.feed()
        publish(feed, b"1")
        feed.mark_stale()
        publish(feed, b"1")
        self.assertIs(feed.state, State.LIVE)

    def test_told_before_anything_is_pushed(self) -> None:
        """A client that polls after a version was pushed to it must not get the version before."""
        feed = self.feed()
        order: list[str] = []
        feed.observe(lambda: order.append("told"))
        feed.subscribe(RecordingSubscriber(then=lambda: order.append("pushed")))
        publish(feed, b"1")
        self.assertEqual(order, ["told", "pushed"])


class CodingTests(FeedTestCase):
    """Content codings of the newest version that are made later."""

    def test_representations_of_another_process(self) -> None:
        """They are added to the newest version, and observers are called, since answers change."""
        feed, told = self.feed(), list[State]()
        publish(feed, b"[1]")
        assert feed.snapshot is not None
        feed.observe(partial(tell_state, feed, told))
        feed.include([Representation.of("x", b"x", feed.snapshot.version)])
        self.assertEqual((feed.snapshot.representations["x"].data, told, feed.codings_made), (b"x", [State.LIVE], 0))

    def test_told_of_codings(self) -> None:
        """Codings of the newest version change answers; those of another version do not."""
        feed, told = self.feed(), list[State]()
        publish(feed, b"[1]")
        older = feed.snapshot
        publish(feed, b"[2]")
        assert older is not None
        assert feed.snapshot is not None
        feed.observe(partial(tell_state, feed, told))
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


class RestoreTests(FeedTestCase):
    """The versions of an earlier process."""

    def test_only_the_newest_is_compressed(self) -> None:
        """Only the bytes of the others are needed, for patches."""
        compressed: list[bytes] = []

        def compress_and_count(data: bytes) -> codings.Compressed:
            compressed.append(data)
            return codings.compress(data)

        self.patch(snapshot_module, "compress", compress_and_count)
        documents = [b'{"number":%d,"rest":"%s"}' % (number, b"x" * 200) for number in (1, 2, 3, 1, 4)]
        kept = [StoredVersion(data, Sequence(7, number), NOW - 9 + number) for number, data in enumerate(documents)]
        feed = self.feed()
        feed.restore(kept)
        self.assertEqual(compressed, documents[-1:])
        assert feed.snapshot is not None
        self.assertEqual((feed.snapshot.data, feed.confirmed_at), (documents[-1], NOW - 5))
        for data in documents[:-1]:
            patch = feed.history.delta(DeltaForm.PATCH, version_of(data))
            assert patch is not None
            self.assertEqual(apply_patch(data, patch), documents[-1])
        self.assertEqual(feed.history.latest([version_of(data) for data in documents[:3]]), version_of(documents[0]))

    def test_epoch_is_later_than_all(self) -> None:
        """A new epoch is later than all restored ones, even if the clock is behind them."""
        later = Sequence(int(NOW * 1000) + 5, 1)
        feed = self.feed()
        feed.restore([StoredVersion(b"1", later, NOW), StoredVersion(b"2", Sequence(3, 1), NOW)])
        publish(feed, b"3")
        assert feed.snapshot is not None
        self.assertEqual(feed.snapshot.sequence, Sequence(later.epoch + 1, 1))

    def test_age_of_a_restored_document(self) -> None:
        """The wall clock tells it if nothing else does; it is never negative."""
        for at, age_s, expected in ((NOW - 7, None, 7), (NOW, None, 0), (NOW + 100, None, 0), (NOW - 7, 3.0, 3)):
            feed = self.feed()
            feed.restore([StoredVersion(b"1", Sequence(1, 1), at)], age_s=age_s)
            self.assertEqual(feed.age_s(), expected)

    def test_versions_before_the_newest(self) -> None:
        """Deltas are made from the versions of an earlier process, too."""
        feed = self.feed()
        publish(feed, b"[2]")
        feed.recall([StoredVersion(document, Sequence(1, 1), NOW) for document in (b"[1]", b"[2]")])
        patch = feed.history.delta(DeltaForm.PATCH, version_of(b"[1]"))
        assert patch is not None
        self.assertEqual(apply_patch(b"[1]", patch), b"[2]")

    def test_restored_document_that_is_pulled_again(self) -> None:
        """A subscriber that has it is only sent it as a sign of life, if the feed sends these."""
        pushes: tuple[tuple[Push, list[bytes]], ...] = (("change", [b"1"]), ("tick", [b"1", b"1"]))
        for push, documents in pushes:
            feed = self.feed(push=push)
            feed.restore([StoredVersion(b"1", Sequence(1, 1), NOW)])
            subscriber, _ = self.follow(feed)
            publish(feed, b"1")
            self.assertEqual(subscriber.documents, documents)

    def test_restored_document_is_too_old(self) -> None:
        """The restored document is too old, or becomes so later, without any other event."""
        for at, state in ((NOW - 10, State.EXPIRED), (NOW - 4, State.STALE)):
            feed = self.feed()
            feed.gone_after_s = 10
            feed.restore([StoredVersion(b"1", Sequence(1, 1), at)])
            self.assertIs(feed.state, state)
            self.clock.advance(6)
            self.assertIs(feed.state, State.EXPIRED)
            self.clock.rightNow = NOW

    def test_restored(self) -> None:
        """A version of an earlier process is signed as what it is: stale."""
        feed = self.feed()
        feed.signer = make_signer(self.clock.seconds)
        feed.restore([StoredVersion(b"1", Sequence(5, 6), NOW - 2)])
        signed = feed.signed()
        assert signed is not None
        found = verified(signed, TRUSTED).statement
        self.assertEqual((found.state, found.sequence), ("stale", (5, 6)))


class PartTests(FeedTestCase):
    """A feed that is a part of another one."""

    def test_path(self) -> None:
        """A part has the path of its whole, and its pointer behind that."""
        whole = self.feed()
        part = Feed("feed/a/b", clock=self.clock, whole=whole, pointer="/a/b")
        self.assertEqual((whole.path, part.path), ("/feed", "/feed/a/b"))

    def test_counts_and_times(self) -> None:
        """A part counts its watchers with those of the whole, and keeps no times of its versions."""
        whole = self.feed()
        part = Feed("feed/a", clock=self.clock, whole=whole)
        for feed in (whole, part):
            publish(feed, b"1")
        self.assertIs(part.tally, whole.tally)
        self.assertEqual([feed.fanout.traced is None for feed in (whole, part)], [False, True])


class SubscriptionTests(FeedTestCase):
    """The beginning of a subscription."""

    def test_subscriber_that_has_the_newest_version(self) -> None:
        """It is sent the next one."""
        feed, subscriber = self.feed(push="change"), RecordingSubscriber()
        publish(feed, b"1")
        feed.subscribe(subscriber, have=version_of(b"1"))
        self.assertEqual(subscriber.documents, [])
        for _ in range(2):
            publish(feed, b"2")
        self.assertEqual(subscriber.documents, [b"2"])

    def test_subscriber_that_can_take_nothing_yet(self) -> None:
        """It is sent the newest version once it can take it."""
        feed, subscriber = self.feed(), RecordingSubscriber()
        publish(feed, b"1")
        subscription = feed.subscribe(subscriber, is_paused=True)
        self.assertEqual(subscriber.documents, [])
        subscription.resume()
        self.assertEqual(subscriber.documents, [b"1"])


class SettingsTests(FeedTestCase):
    """Settings that change while clients follow the feed."""

    def test_settings_change(self) -> None:
        """The new times count from now on, and a change of state that is due then happens."""
        feed = self.feed(push="change")
        part = Feed("feed/a", clock=self.clock, whole=feed)
        feed.start_watching(100)
        feed.begin_tick()
        publish(feed, b"1")
        self.clock.advance(10)
        feed.configure(interval_s=30, push="tick", stale_after_s=0, gone_after_s=80, max_delta_bytes=7)
        self.assertEqual((feed.push, feed.next_tick_s(), part.next_tick_s()), ("tick", 20, 20))
        self.assertEqual((feed.history.max_document_bytes, feed.expires_in_s(), feed.state), (7, 70, State.LIVE))
        part.begin_tick()
        self.assertEqual(part.interval_s, 30)
        feed.configure(interval_s=1, push="tick", stale_after_s=0, gone_after_s=10, max_delta_bytes=7)
        self.assertIs(feed.state, State.EXPIRED)


class ReplicaTests(FeedTestCase):
    """Feeds that follow the same feed of another process."""

    def test_feed_that_goes_on_in_another_process(self) -> None:
        """The decision is part of the picture, by which replicas and successors have it, too."""
        feed = self.feed()
        publish(feed, b"1")
        assert feed.snapshot is not None
        for decision in (State.WITHDRAWN, State.HELD, None):
            feed.decide(decision)
            successor = self.feed()
            successor.resume(feed.picture(), feed.snapshot)
            self.assertEqual((successor.state, successor.decision), (feed.state, decision))
            self.assertEqual(successor.picture().notice.state, decision)

    def test_newer_version_of_another_process(self) -> None:
        """It is taken, with its place among the versions. A version of the same epoch or a later one begins another."""
        feed = self.feed()
        feed.publish(Snapshot.of(b"2", Sequence(int(NOW * 1000) + 5, 3)))
        assert feed.snapshot is not None
        successor = self.feed()
        successor.restore([StoredVersion(b"1", Sequence(1, 1), NOW)])
        successor.resume(feed.picture(), feed.snapshot)
        self.assertIs(successor.snapshot, feed.snapshot)
        self.assertEqual(successor.next_sequence(), Sequence(int(NOW * 1000) + 6, 1))

    def test_restored_version_of_another_process(self) -> None:
        """The version stays, and the epoch that has begun is later than it already."""
        feed, successor = self.feed(), self.feed()
        feed.publish(Snapshot.of(b"1", Sequence(1, 1)))
        successor.restore([StoredVersion(b"1", Sequence(1, 1), NOW)])
        snapshot, following = successor.snapshot, successor.next_sequence()
        assert snapshot is not None
        successor.resume(feed.picture(), snapshot)
        self.assertEqual((successor.snapshot, successor.next_sequence()), (snapshot, following))
        self.assertIs(successor.state, State.LIVE)

    def test_document_that_has_changed_and_changed_back(self) -> None:
        """Subscribers are sent it again, like those that were too slow for the version between."""
        feed, replica = self.feed(push="change"), Feed("feed", clock=self.clock, push="change", is_replica=True)
        publish(feed, b"1")
        replica.follow(feed.picture(), feed.snapshot)
        subscriber, _ = self.follow(replica)
        for document in (b"2", b"1"):
            publish(feed, document)
        replica.follow(feed.picture(), feed.snapshot)
        self.assertIs(replica.snapshot, feed.snapshot)
        self.assertEqual(subscriber.documents, [b"1"] * 2)

    def test_signs_of_life_of_a_replica(self) -> None:
        """A picture that is later than the last is a tick, of which every third is a sign of life."""
        feed, replica = self.feed(push="change"), Feed("feed", clock=self.clock, push="change", is_replica=True)
        publish(feed, b"1")
        replica.follow(feed.picture(), feed.snapshot)
        subscriber, plain = RecordingSubscriber(), RecordingSubscriber()
        replica.subscribe(subscriber, with_state=True)
        replica.subscribe(plain)
        for count in (1, 1, 2, 2, 2, 3):
            self.clock.advance(1)
            publish(feed, b"1")
            for _ in range(2):
                replica.follow(feed.picture(), feed.snapshot)
            self.assertEqual(len(subscriber.sent), count)
        self.assertEqual(len(plain.sent), 1)

    def test_replica_never_shows_what_was_withdrawn(self) -> None:
        """One picture may bring both the end of a withdrawal and the version that replaces the withdrawn one."""
        feed, replica = self.feed(), Feed("feed", clock=self.clock, is_replica=True)
        publish(feed, b"wrong")
        replica.follow(feed.picture(), feed.snapshot)
        feed.decide(State.WITHDRAWN)
        replica.follow(feed.picture(), feed.snapshot)
        plain, _ = self.follow(replica)
        publish(feed, b"right")
        feed.decide(None)
        replica.follow(feed.picture(), feed.snapshot)
        self.assertEqual((replica.state, plain.documents), (State.LIVE, [b"right"]))

    def test_replica_with_a_newer_document_follows_decisions(self) -> None:
        """A new parent that has no document yet, or an older one, may decide about it all the same."""
        replica = Feed("feed", clock=self.clock, is_replica=True)
        hearing = RecordingSubscriber()
        replica.subscribe(hearing, with_state=True)
        publish(replica, b"1")
        parent = self.feed()
        for decision, count in ((State.WITHDRAWN, 2), (None, 3)):
            parent.decide(decision)
            replica.follow(parent.picture(), None)
            self.assertEqual((replica.decision, len(hearing.sent)), (decision, count))

    def test_parent_that_knows_of_no_decision(self) -> None:
        """A replica keeps the decision of the parent before; the later decision counts, also that there is none."""
        replica = Feed("feed", clock=self.clock, is_replica=True)
        old, parent = self.feed(), self.feed()
        publish(old, b"1")
        old.decide(State.WITHDRAWN)
        replica.follow(old.picture(), old.snapshot)
        plain, _ = self.follow(replica)
        for snapshot in (None, old.snapshot):
            replica.follow(parent.picture(), snapshot)
            self.assertEqual((replica.state, plain.documents), (State.WITHDRAWN, []))
        assert old.snapshot is not None
        parent.resume(replica.picture(), old.snapshot)
        self.assertIs(parent.state, State.WITHDRAWN)
        self.clock.advance(1)
        parent.decide(None)
        replica.follow(parent.picture(), old.snapshot)
        self.assertEqual((replica.decision, plain.documents), (None, [b"1"]))

    def test_end_of_a_decision_that_only_replicas_know(self) -> None:
        """It is a decision like any other, though the parent has none to take back."""
        replica, parent = Feed("feed", clock=self.clock, is_replica=True), self.feed()
        replica.decide(State.HELD)
        self.clock.advance(1)
        parent.decide(None)
        replica.follow(parent.picture(), None)
        self.assertIsNone(replica.decision)


class ShownTests(FeedTestCase):
    """Versions that come together with a notice of the desk."""

    def setUp(self) -> None:
        super().setUp()
        self.made = self.feed()
        publish(self.made, b"1")
        self.subscriber = RecordingSubscriber()
        self.made.subscribe(self.subscriber, with_state=True)
        self.subscriber.sent.clear()

    def snapshot(self, data: bytes) -> Snapshot:
        return Snapshot.of(data, self.made.next_sequence())

    def test_published(self) -> None:
        """A withdrawn document is not shown for a moment before the one that follows it."""
        feed = self.made
        feed.decide(State.WITHDRAWN)
        self.subscriber.sent.clear()
        feed.publish(self.snapshot(b"2"), notice=NO_NOTICE)
        self.assertEqual((feed.state, self.subscriber.documents), (State.LIVE, [b"2"]))
        feed.publish(self.snapshot(b"3"), notice=Notice(State.ENDED))
        self.assertEqual((feed.state, self.subscriber.documents), (State.ENDED, [b"2", b"3"]))

    def test_shown(self) -> None:
        """An earlier version has its age, and the state of the notice; the state of pulls stays below."""
        feed, earlier = self.made, Moment(NOW - 60, NOW - 60)
        feed.mark_stale("away")
        self.subscriber.sent.clear()
        feed.show(self.snapshot(b"0"), Notice(State.HELD, "", None, "pin", Moment(NOW, NOW)), confirmed=earlier)
        self.assertEqual((feed.state, feed.freshness, feed.age_s()), (State.HELD, State.STALE, 60.0))
        self.assertEqual(self.subscriber.documents, [b"0"])
        publish(feed, b"0")
        feed.show(self.snapshot(b"5"), NO_NOTICE, confirmed=earlier)
        self.assertEqual((feed.state, feed.versions), (State.LIVE, 3))

    def test_shown_again(self) -> None:
        """The same version tells its state; one that was withdrawn is sent again."""
        feed = self.made
        assert feed.snapshot is not None
        now = Moment(NOW, NOW)
        feed.show(self.snapshot(b"1"), Notice(State.HELD, "", None, "pin", now), confirmed=now)
        self.assertEqual((feed.versions, feed.state, len(self.subscriber.sent)), (1, State.HELD, 1))
        feed.show(self.snapshot(b"1"), Notice(State.WITHDRAWN), confirmed=now)
        self.assertTrue(feed.is_gone())
        feed.show(self.snapshot(b"1"), NO_NOTICE, confirmed=now)
        self.assertEqual((feed.state, self.subscriber.documents), (State.LIVE, [b"1"] * 3))
