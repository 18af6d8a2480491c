"""The feeds of a new parent: they become those of the old one, and its workers get every version on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import structs
from twisted.trial.unittest import SynchronousTestCase

from livefeed.config.settings import FeedSettings
from livefeed.exceptions import LinkError
from livefeed.feed.state import State
from livefeed.testing import publish
from livefeed.workers.feed_events import FeedEvent
from livefeed.workers.following import Following
from livefeed.workers.messages import Message, message_of
from tests.helpers.links import MemoryLink, ParentTwin
from tests.helpers.signers import make_signer

if TYPE_CHECKING:
    from livefeed.feed.feed import Feed


@dataclass
class Service:
    """The service of a feed."""

    feed: Feed
    settings: FeedSettings


class FollowingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.old = ParentTwin()
        self.new = ParentTwin(self.old.clock)
        self.addCleanup(self.old.close)
        self.addCleanup(self.new.close)
        self.service = Service(self.new.feed, FeedSettings(interval=3.0, max_delta_bytes=7))
        self.following = Following({"feed": self.service}, self.new.broadcast)
        self.following.begin()
        self.to_new, self.to_old = MemoryLink(), MemoryLink()

    def follow(self) -> None:
        self.old.broadcast.add(self.to_new, {})
        self.settle()

    def settle(self) -> None:
        """Delivers everything in both directions."""

        def receive(message: Message) -> None:
            self.assertTrue(self.following.receive(self.to_old, message))

        while self.to_new.deliver(receive) or self.to_old.deliver(
            lambda message: self.old.broadcast.receive(self.to_new, message)
        ):
            pass

    def assert_same(self) -> None:
        one, other = self.old.feed, self.new.feed
        assert one.snapshot is not None
        assert other.snapshot is not None
        self.assertEqual((other.snapshot.data, other.snapshot.sequence), (one.snapshot.data, one.snapshot.sequence))
        self.assertEqual((other.state, other.confirmed), (one.state, one.confirmed))
        self.assertEqual(other.next_sequence(), one.next_sequence())

    def test_statements(self) -> None:
        """The new parent passes the statements of the old one on, and signs once it follows no more."""
        self.old.feed.signer = make_signer(self.old.clock.seconds)
        signer = self.new.feed.signer = make_signer(self.old.clock.seconds)
        publish(self.old.feed, b"[1]")
        self.follow()
        publish(self.old.feed, b"[1,2]")
        self.settle()
        self.assertIsNotNone(self.old.feed.signed())
        self.assertEqual((self.new.feed.signed(), signer.signed), (self.old.feed.signed(), 0))
        self.following.end()
        publish(self.new.feed, b"[1,2]")
        self.assertEqual(signer.signed, 1)

    def test_versions(self) -> None:
        """Each event makes the same change, and what follows continues the sequence."""
        publish(self.old.feed, b"[1]")
        self.follow()
        self.assert_same()
        self.assertEqual(self.following.pictured, {"feed"})
        publish(self.old.feed, b"[1,2]")
        self.settle()
        self.assert_same()
        self.old.feed.begin_tick()
        self.old.feed.confirm(self.old.clock.seconds())
        self.old.feed.skip_tick()
        self.old.feed.mark_stale("the source is down")
        self.settle()
        self.assert_same()
        self.assertIs(self.new.feed.state, State.STALE)
        publish(self.old.feed, b"[1]")
        self.settle()
        self.assert_same()
        assert self.new.feed.snapshot is not None
        sequence = self.new.feed.snapshot.sequence
        self.assertEqual(self.following.sequences(), {"feed": (sequence.epoch, sequence.number)})

    def test_codings(self) -> None:
        """Those that come later are taken, too, and sent on."""
        worker = self.new.worker()
        self.addCleanup(worker.close)
        publish(self.old.feed, b'["%s"]' % (b"x" * 300))
        self.follow()
        assert self.old.feed.snapshot is not None
        self.old.feed.add_codings(self.old.feed.snapshot, {"br": b"small"})
        self.settle()
        worker.settle()
        for feed in (self.new.feed, worker.feed):
            assert feed.snapshot is not None
            self.assertIn("br", feed.snapshot.representations)
        self.assertEqual(self.new.feed.codings_made, 0)

    def test_workers_of_the_new_parent(self) -> None:
        """They have the newest version before anybody hands over, and see no other one afterwards."""
        worker = self.new.worker()
        self.addCleanup(worker.close)
        publish(self.old.feed, b"[1]")
        self.follow()
        publish(self.old.feed, b"[2]")
        self.settle()
        worker.settle()
        assert worker.feed.snapshot is not None
        self.assertEqual((worker.feed.snapshot.data, worker.feed.state), (b"[2]", State.LIVE))

    def test_final_picture(self) -> None:
        """It is sent whatever is not confirmed yet."""
        self.follow()
        for number in range(20):
            publish(self.old.feed, b"[%d]" % number)
        self.old.broadcast.show_all(self.to_new)
        while self.to_new.deliver(lambda message: self.following.receive(self.to_old, message)):
            pass
        self.assert_same()

    def test_settings(self) -> None:
        """They are those of the new configuration."""
        publish(self.old.feed, b"[1]")
        self.follow()
        self.assertEqual((self.new.feed.interval_s, self.new.feed.history.max_document_bytes), (3.0, 7))

    def test_feed_that_the_configuration_lacks(self) -> None:
        """Its events are confirmed, and nothing else happens."""
        self.following.feeds = {}
        publish(self.old.feed, b"[1]")
        self.follow()
        self.assertEqual([each.type for each in self.to_old.sent], ["seen"])
        self.assertEqual((self.following.pictured, self.following.sequences()), (set(), {}))

    def test_end(self) -> None:
        """The versions until then were counted by the old parent; changes of state are logged from then on."""
        publish(self.old.feed, b"[1]")
        self.follow()
        self.assertTrue(self.new.feed.is_replica)
        self.following.end()
        self.assertEqual((self.new.feed.is_replica, self.new.feed.versions), (False, 0))

    def test_other_messages(self) -> None:
        """They are for others, and impossible events end the channel."""
        self.assertFalse(self.following.receive(self.to_old, Message("commit")))
        for event in ("publish", "picture"):
            facts = FeedEvent("feed", event, at_s=0.0)
            self.assertRaises(LinkError, self.following.receive, self.to_old, message_of("feed", facts))
        self.assertEqual(structs.asdict(self.service.settings)["interval"], 3.0)
