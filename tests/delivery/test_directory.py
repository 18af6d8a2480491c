"""The items that one connection may follow, in memory."""

from __future__ import annotations

from dataclasses import replace

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.delivery.directory import NO_PART, WITHDRAWN_RETRY_MS, Directory, Refusal, Visitor
from livefeed.delivery.guard import Permit
from livefeed.delivery.published_feed import PublishedFeed
from livefeed.feed.feed import Feed
from livefeed.feed.parts import MAX_PARTS
from livefeed.feed.state import State
from livefeed.testing import RecordingSubscriber, publish
from livefeed.web.cors import Origins
from livefeed.web.credentials import Credentials
from livefeed.web.reconnect_slots import ReconnectSlots
from tests.helpers.guarded import TOKEN, protect

OWN = Visitor(origin=None, host=b"a.example", peer="192.0.2.1")
STRANGER = Visitor(origin=b"https://b.example", host=b"a.example", peer="192.0.2.2")


class DirectoryTestCase(SynchronousTestCase):
    """A site with the feed ``a``, whose pages are those of one origin."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.feed = Feed("a", clock=self.clock, interval_s=4.0)
        self.published = self.serve(self.feed)
        self.directory = Directory({"a": self.published})

    def serve(self, feed: Feed, **settings: int) -> PublishedFeed:
        origins = Origins(frozenset([b"https://a.example"]))
        return PublishedFeed(feed, origins, answer_handshake=lambda *_: None, **settings)  # type: ignore[arg-type]

    def refusal(self, path: str, visitor: Visitor = OWN) -> tuple[int, int | None]:
        """Gives the status of a refusal, and the time in ms after which the client may come back."""
        found = self.directory.find(path, visitor)
        assert isinstance(found, Refusal)
        return found.status, found.retry_ms


class DirectoryTests(DirectoryTestCase):
    """Items of a public feed."""

    def test_items_that_are_there(self) -> None:
        """A path is that of the whole document, or that of a part, which has its delivery from then on."""
        publish(self.feed, b'{"x/y":[1,2]}')
        self.assertIs(self.directory.find("/a", OWN), self.published.delivery)
        part = self.directory.find("/a/x~1y/1", OWN)
        assert not isinstance(part, Refusal)
        assert part.feed.snapshot is not None
        self.assertEqual((part.feed.snapshot.data, part.whole), (b"2", self.published.delivery))
        self.assertIs(self.directory.find("/a/x~1y/1", OWN), part)

    def test_feeds_that_are_not_there(self) -> None:
        """A client need not ask again."""
        publish(self.feed, b"[1]")
        for path in ("", "a", "/", "/b", "/b/0", "//a", "/%61", "x/a"):
            self.assertEqual(self.refusal(path), (404, None), path)

    def test_parts_that_are_not_there(self) -> None:
        """They may come with another version."""
        publish(self.feed, b'{"x":[1]}')
        for path in ("/a/", "/a/y", "/a/x/1", "/a/x/-", "/a/x/00", "/a/~2"):
            found = self.directory.find(path, OWN)
            assert isinstance(found, Refusal)
            self.assertEqual((found.status, found.detail, found.retry_ms), (404, NO_PART, 60_000), path)

    def test_parts_before_the_first_document(self) -> None:
        """The client may ask again at the next tick, but not within a second; the whole can be followed before."""
        self.assertEqual(self.refusal("/a/x"), (503, 4000))
        self.assertIs(self.directory.find("/a", OWN), self.published.delivery)
        self.feed.interval_s = 0.1
        self.assertEqual(self.refusal("/a/x"), (503, 1000))

    def test_parts_of_a_withdrawn_document(self) -> None:
        """Nobody learns which parts it has. By a 404, a client that has one forgets it."""
        publish(self.feed, b'{"x":1}')
        self.assertNotIsInstance(self.directory.find("/a/x", OWN), Refusal)
        self.feed.decide(State.WITHDRAWN)
        found = [self.directory.find(path, OWN) for path in ("/a/x", "/a/y", "/a/~2")]
        withdrawn = Refusal(404, "The document is withdrawn, and must not be shown.", WITHDRAWN_RETRY_MS)
        self.assertEqual(found, [withdrawn] * 3)
        self.assertIs(self.directory.find("/a", OWN), self.published.delivery)
        self.feed.decide(None)
        self.assertNotIsInstance(self.directory.find("/a/x", OWN), Refusal)

    def test_pages_of_other_origins(self) -> None:
        """They are refused for good, before anything else is known of the feed, and counted."""
        for path in ("/a", "/a/x"):
            self.assertEqual(self.refusal(path, STRANGER), (403, None))
        self.assertEqual(self.feed.tally.refused, {"origin": 2})

    def test_limit_of_subscribers(self) -> None:
        """The whole and its parts count together."""
        publish(self.feed, b"[1]")
        self.published.places = 0
        for path in ("/a", "/a/0"):
            self.assertEqual(self.refusal(path), (503, 10_000))
        self.assertEqual(self.feed.tally.refused, {"limit": 2})

    def test_limit_of_parts(self) -> None:
        """The parts that are followed already can be followed still."""
        publish(self.feed, b"[%b]" % b",".join(b"%d" % number for number in range(MAX_PARTS + 1)))
        for number in range(MAX_PARTS):
            part = self.directory.find(f"/a/{number}", Visitor(None, b"a.example", f"peer {number}"))
            assert not isinstance(part, Refusal)
            part.feed.subscribe(RecordingSubscriber())
        self.assertEqual(self.refusal(f"/a/{MAX_PARTS}"), (503, 60_000))
        self.assertNotIsInstance(self.directory.find("/a/0", OWN), Refusal)

    def test_feed_that_is_stopped(self) -> None:
        """Each client is told a time of its own at which to come back."""
        self.published.let_go(ReconnectSlots())
        status, retry_ms = self.refusal("/a")
        self.assertEqual(status, 503)
        assert retry_ms is not None
        self.assertGreaterEqual(retry_ms, 0)
        self.assertEqual(self.feed.tally.refused, {"stopping": 1})


class ProtectedTests(DirectoryTestCase):
    """Items of a protected feed."""

    def test_judgement(self) -> None:
        """Each client is judged by its own token, whether or not there is such an item."""
        self.assertIsNone(self.directory.cookie_names())
        self.assertIsNone(self.directory.permit("/a", OWN))
        guard = protect(self.published)
        self.assertEqual(self.directory.cookie_names(), [])
        guard.cookie = b"__Secure-a"
        self.assertEqual(self.directory.cookie_names(), [b"__Secure-a"])
        for path in ("/a", "/a/nope"):
            refused = self.directory.permit(path, OWN)
            assert isinstance(refused, Refusal)
            self.assertEqual((refused.status, refused.retry_ms), (401, None))
            permit = self.directory.permit(path, replace(OWN, credentials=Credentials(TOKEN)))
            assert isinstance(permit, Permit)
            self.assertEqual(permit.grant.key, TOKEN)
        self.assertIsNone(self.directory.permit("/b", OWN))
