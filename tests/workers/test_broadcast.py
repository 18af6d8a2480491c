"""The parent's side of the feeds: which links are sent what, and the messages of workers."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.snapshot import Sequence, Snapshot
from livefeed.document.stored_version import StoredVersion
from livefeed.exceptions import LinkError
from livefeed.feed.feed import Feed
from livefeed.feed.state import State
from livefeed.testing import publish
from livefeed.workers.broadcast import MAX_QUESTIONS
from livefeed.workers.feed_events import PatchFacts, SeenFacts, WantedFacts
from livefeed.workers.messages import Message, message_of
from tests.helpers.links import MemoryLink, ParentTwin, Served


class BroadcastTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.parent = ParentTwin()
        self.addCleanup(self.parent.close)
        self.broadcast, self.feed = self.parent.broadcast, self.parent.feed
        self.link = MemoryLink()

    def events(self) -> list[str]:
        return [f"{each.facts['feed']} {each.facts['event']}" for each in self.link.sent if each.type == "feed"]

    def test_a_picture_comes_first(self) -> None:
        """A new worker knows the state before the first tick, and is sent each event from then on."""
        self.broadcast.add(self.link, {})
        publish(self.feed, b"1")
        self.assertEqual(self.events(), ["feed picture", "feed publish"])
        self.broadcast.remove(self.link)
        publish(self.feed, b"2")
        self.assertEqual(len(self.link.sent), 2)

    def test_feeds_that_are_added_and_removed(self) -> None:
        """Their events begin behind the configuration that names them."""
        self.broadcast.add(self.link, {})
        added = self.broadcast.make_feed("more", clock=self.parent.clock)
        publish(added, b"1")
        self.parent.services["more"] = Served(added)
        publish(added, b"2")
        self.broadcast.send_all(Message("configuration"))
        self.broadcast.receive(self.link, message_of("seen", SeenFacts("more")))
        publish(added, b"3")
        self.assertEqual(self.events(), ["feed picture", "more picture", "more publish"])
        self.assertEqual(self.link.sent[1].type, "configuration")
        del self.parent.services["more"]
        self.broadcast.send_all(Message("configuration"))
        publish(added, b"4")
        self.parent.services["more"] = Served(added)
        self.broadcast.send_all(Message("configuration"))
        self.assertEqual(self.events()[3:], ["more picture"])
        self.assertEqual(self.link.sent[-1].payloads[0], b"4")

    def test_a_parent_that_follows(self) -> None:
        """The next parent is sent the feeds, and no message that is for workers, at which it would end."""
        follower = MemoryLink()
        self.broadcast.add(self.link, {})
        self.broadcast.add_follower(follower)
        self.broadcast.send_all(Message("figures"))
        publish(self.feed, b"1")
        self.assertEqual([each.type for each in follower.sent], ["feed", "feed"])
        self.assertEqual([each.type for each in self.link.sent], ["feed", "figures", "feed"])
        self.broadcast.remove(follower)
        publish(self.feed, b"2")
        self.assertEqual(len(follower.sent), 2)

    def test_a_feed_that_is_replaced(self) -> None:
        """A feed that is not served, although it has the name of one that is, says nothing."""
        self.broadcast.add(self.link, {})
        publish(self.broadcast.make_feed("feed", clock=self.parent.clock), b"1")
        self.assertEqual(self.events(), ["feed picture"])

    def test_restored_versions(self) -> None:
        """Workers that are there already are sent them at once."""
        self.broadcast.add(self.link, {})
        self.feed.restore([StoredVersion(b"1", Sequence(5, 1), 0.0)])
        self.assertEqual(self.events(), ["feed picture", "feed picture"])
        self.assertEqual(self.link.sent[-1].facts["snapshot"]["sequence"], (5, 1))
        self.assertEqual(self.link.sent[-1].payloads[0], b"1")

    def test_codings_of_an_older_version(self) -> None:
        """They come too late, and no worker needs them."""
        publish(self.feed, b"1")
        older = self.feed.snapshot
        assert older is not None
        publish(self.feed, b"2")
        self.broadcast.add(self.link, {})
        self.feed.add_codings(older, {"slow": b""})
        self.assertEqual(self.events(), ["feed picture"])

    def test_other_messages(self) -> None:
        """They are the caller's; those about feeds that do not exist, or of links that are gone, change nothing."""
        self.assertFalse(self.broadcast.receive(self.link, Message("heartbeat")))
        for link in (MemoryLink(), self.link):
            for message in (
                message_of("seen", SeenFacts("other")),
                message_of("seen", SeenFacts("feed")),
                message_of("wanted", WantedFacts("other", "aa")),
                message_of("wanted", WantedFacts("feed", "aa")),
                message_of("patch", PatchFacts("feed", "aa", "bb")),
            ):
                self.assertTrue(self.broadcast.receive(link, message))
            self.broadcast.add(self.link, {})
        with self.assertRaises(LinkError):
            self.broadcast.receive(self.link, Message("seen"))

    def test_questions_are_bounded(self) -> None:
        """While a thread makes a patch, only some others are waited for; the rest are answered at once."""
        never: list[object] = []
        parent = ParentTwin(in_thread=lambda *_: never)
        self.addCleanup(parent.close)
        for number in range(3):
            publish(parent.feed, b'[%d, "%s"]' % (number, b"x" * 70_000))
        history, newest = parent.feed.history, parent.feed.snapshot
        assert newest is not None
        history._is_making = True
        parent.broadcast.add(self.link, {})
        for _ in range(MAX_QUESTIONS + 5):
            for base in history.versions():
                question = message_of("patch", PatchFacts("feed", base, newest.version))
                parent.broadcast.receive(self.link, question)
        self.assertEqual(len(parent.broadcast._questions["feed"]), 2)
        self.assertEqual([each.type for each in self.link.sent], ["feed"])
        parent.broadcast.remove(self.link)
        history._is_making = False
        parent.broadcast._answer_first(parent.feed)
        self.assertEqual([each.type for each in self.link.sent], ["feed"])

    def test_a_worker_that_asks_and_does_not_read(self) -> None:
        """Its questions stay without an answer, so that nothing queues for it."""
        self.broadcast.add(self.link, {})
        for number in range(2):
            publish(self.feed, b"[%d]" % number)
        assert self.feed.snapshot is not None
        question = message_of("patch", PatchFacts("feed", self.feed.history.versions()[0], self.feed.snapshot.version))
        sent, self.link.is_full = len(self.link.sent), True
        self.broadcast.receive(self.link, question)
        self.assertEqual(len(self.link.sent), sent)
        self.link.is_full = False
        self.broadcast.receive(self.link, question)
        self.assertEqual(self.link.sent[-1].type, "patch")

    def test_feeds_of_another_class(self) -> None:
        """A feed that is not the parent's is shown as it is, and not changed."""
        feed = Feed("plain", clock=self.parent.clock)
        feed.publish(Snapshot.of(b"1", feed.next_sequence()))
        self.parent.services["plain"] = Served(feed)
        self.broadcast.add(self.link, {})
        self.assertEqual(self.events(), ["feed picture", "plain picture"])
        self.assertIs(feed.state, State.LIVE)
