"""The events of a feed as messages."""

from __future__ import annotations

from math import inf
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.clocks import Moment
from livefeed.document.history import DeltaForm
from livefeed.document.snapshot import IDENTITY, Sequence, Snapshot
from livefeed.exceptions import LinkError
from livefeed.feed.feed import Feed
from livefeed.feed.notice import Notice
from livefeed.feed.signer import Stated
from livefeed.feed.state import State
from livefeed.testing import publish
from livefeed.workers.feed_events import (
    EVENT,
    STATING,
    FeedEvent,
    Happening,
    SnapshotFacts,
    apply_plain,
    deltas_of,
    moment_facts,
    moment_of,
    picture_facts,
    picture_of,
    snapshot_facts,
    snapshot_of,
    statement_facts,
    take_statement,
)
from livefeed.workers.messages import Decoder, Message, encode, message_of
from tests.helpers.signers import statement_about

DATA = b'{"count": 1}' * 100
FIRST = Sequence(7, 1)


def arrived(event: FeedEvent, payloads: list[bytes]) -> tuple[FeedEvent, Message]:
    """Gives an event as the other side of a link reads it, and its message."""
    (message,) = Decoder().feed(encode(message_of(EVENT, event, payloads)))
    return message.read(FeedEvent), message


def arrived_snapshot(snapshot: Snapshot, has: tuple[str, ...] = ()) -> tuple[SnapshotFacts, Message]:
    """Gives the facts of a snapshot as the other side reads them, and their message."""
    payloads: list[bytes] = []
    event = FeedEvent("feed", "publish", 1.0, snapshot=snapshot_facts(snapshot, has, payloads))
    read, message = arrived(event, payloads)
    assert read.snapshot is not None
    return read.snapshot, message


class PictureTests(SynchronousTestCase):
    """The state of a feed."""

    def test_round_trip(self) -> None:
        """A picture is the same on the other side, also one with times that JSON cannot write."""
        clock = Clock()
        waiting = Feed("feed", clock)
        live = Feed("feed", clock)
        publish(live, DATA)
        held = Feed("feed", clock)
        moment = Moment(1.5, 1e9)
        held.heed(Notice(State.HELD, "a recount", moment, "pin", moment, ("/a", "")))
        for feed in (waiting, live, held):
            picture = feed.picture()
            event, _ = arrived(FeedEvent("feed", "picture", 1.0, picture=picture_facts(picture, ["a", "b"])), [])
            assert event.picture is not None
            self.assertEqual(picture_of(event.picture), picture)
            self.assertEqual(event.picture.versions, ["a", "b"])
        self.assertIn(inf, [abs(each) for each in (waiting.picture().heard_at_s, waiting.picture().gone_after_s)])

    def test_moments(self) -> None:
        """A point in time keeps both clocks, and none stays none."""
        for moment in (Moment(1.5, 1e9, by_wall=True), Moment(2.0, 3.0), None):
            self.assertEqual(moment_of(moment_facts(moment)), moment)


class SnapshotTests(SynchronousTestCase):
    """A snapshot, with the bytes that the other side lacks."""

    def test_whole(self) -> None:
        """The other side has all representations, and hashes and compresses nothing."""
        snapshot = Snapshot.of(DATA, FIRST)
        facts, message = arrived_snapshot(snapshot)
        received = snapshot_of(message, facts, None)
        self.assertEqual(
            (received.data, received.version, received.sequence, received.deflated),
            (DATA, snapshot.version, FIRST, snapshot.deflated),
        )
        self.assertEqual(received.representations, snapshot.representations)
        self.assertEqual(received.work.hashes, 0)

    def test_codings_that_came_later(self) -> None:
        """Only the codings that are missing are sent, and the same snapshot gets them."""
        snapshot = Snapshot.of(DATA, FIRST)
        newest = Snapshot.bare(DATA, FIRST)
        facts, message = arrived_snapshot(snapshot, (IDENTITY,))
        self.assertNotIn(IDENTITY, [each.coding for each in facts.codings])
        self.assertIs(snapshot_of(message, facts, newest), newest)
        self.assertEqual(set(newest.representations), set(snapshot.representations))

    def test_other_sequence(self) -> None:
        """The same version with another sequence is another snapshot of the same bytes."""
        newest = Snapshot.of(DATA, FIRST)
        facts, message = arrived_snapshot(Snapshot.of(DATA, Sequence(8, 1)), tuple(newest.representations))
        self.assertEqual(message.payloads, ())
        received = snapshot_of(message, facts, newest)
        self.assertEqual((received.data, received.sequence), (DATA, Sequence(8, 1)))
        self.assertEqual(newest.sequence, FIRST)

    def test_missing_bytes(self) -> None:
        """A version without its document, which the worker does not have either, is an error that names it."""
        snapshot = Snapshot.of(DATA, FIRST)
        facts, message = arrived_snapshot(snapshot, (IDENTITY,))
        for newest in (None, Snapshot.of(b"[]", FIRST)):
            error = self.assertRaises(LinkError, snapshot_of, message, facts, newest)
            self.assertIn(snapshot.version, str(error))
        whole, _ = arrived_snapshot(snapshot)
        self.assertRaises(LinkError, snapshot_of, Message(EVENT), whole, None)


class StatementTests(SynchronousTestCase):
    """A signed statement, which a worker passes on."""

    def test_round_trip(self) -> None:
        """The bytes are the same on the other side, in each event that brings a statement."""
        stated = Stated("ab", FIRST, statement_about(DATA))
        feed = Feed("feed", Clock())
        for event in sorted(STATING):
            feed.stated = None
            sent = FeedEvent("feed", event, 1.0, statement=statement_facts(stated))
            take_statement(feed, arrived(sent, [])[0])
            self.assertEqual(feed.stated, stated)
            take_statement(feed, arrived(FeedEvent("feed", event, 1.0), [])[0])
            self.assertIsNone(feed.stated)

    def test_other_events(self) -> None:
        """An event that brings none changes nothing."""
        feed = Feed("feed", Clock())
        feed.stated = Stated("ab", FIRST, statement_about(DATA))
        others: tuple[Happening, ...] = ("begin_tick", "codings")
        for event in others:
            take_statement(feed, FeedEvent("feed", event, 1.0))
        self.assertIsNotNone(feed.stated)
        self.assertIsNone(statement_facts(None))


class ApplyTests(SynchronousTestCase):
    """The events that every feed makes in the same way."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.feed = Feed("feed", self.clock)
        publish(self.feed, DATA)

    def apply(self, event: Happening, payloads: list[bytes] | None = None, **facts: Any) -> bool:
        """Makes an event, as it arrives 5 s later."""
        self.clock.advance(5)
        read, message = arrived(FeedEvent("feed", event, 4.0, **facts), payloads or [])
        return apply_plain(self.feed, message, read)

    def test_ticks(self) -> None:
        """They happened when the parent says, not when they arrive."""
        for event in ("begin_tick", "skip_tick", "note_held"):
            self.assertTrue(self.apply(event))
        self.assertEqual((self.feed.picture().tick_at_s, self.feed.picture().heard_at_s), (4.0, 4.0))

    def test_failed_pull(self) -> None:
        """Its reason comes along."""
        self.assertTrue(self.apply("mark_stale", why="no answer"))
        self.assertEqual((self.feed.state, self.feed.picture().failing), (State.STALE, "no answer"))

    def test_confirmed(self) -> None:
        """By the moment of the parent; without one, nothing changes."""
        before = self.feed.confirmed
        self.assertTrue(self.apply("confirm"))
        self.assertEqual(self.feed.confirmed, before)
        moment = Moment(3.0, 1e9)
        self.assertTrue(self.apply("confirm", confirmed=moment_facts(moment)))
        self.assertEqual(self.feed.confirmed, moment)

    def test_codings(self) -> None:
        """They belong to one version; those of another one are passed over."""
        newest = Snapshot.bare(DATA, FIRST)
        self.feed.resume(self.feed.picture(), newest)
        whole = Snapshot.of(DATA, FIRST)
        for snapshot, expected in ((Snapshot.of(b"2", FIRST), {IDENTITY}), (whole, set(whole.representations))):
            payloads: list[bytes] = []
            facts = snapshot_facts(snapshot, (IDENTITY,), payloads)
            self.assertTrue(self.apply("codings", payloads, snapshot=facts))
            self.assertEqual(set(newest.representations), expected)

    def test_others_are_left_to_the_caller(self) -> None:
        """Versions and pictures."""
        for event in ("publish", "picture"):
            self.assertFalse(self.apply(event))

    def test_deltas(self) -> None:
        """An event brings those that were made."""
        event, message = arrived(FeedEvent("feed", "publish", 1.0, patch=0, splices=1), [b"[]", b"s"])
        self.assertEqual(deltas_of(message, event), {DeltaForm.PATCH: b"[]", DeltaForm.SPLICES: b"s"})
        event, message = arrived(FeedEvent("feed", "publish", 1.0), [])
        self.assertEqual(deltas_of(message, event), {})
