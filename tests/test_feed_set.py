"""Feeds that come, change and go while others are polled and followed."""

from __future__ import annotations

import contextlib
import gc
import json
import weakref
from typing import TYPE_CHECKING, Any

from msgspec import structs

from livefeed.config.settings import FeedSettings
from livefeed.exceptions import ConfigurationError, StartError
from livefeed.feed.state import State
from livefeed.feed_set import MAX_SPREAD_S
from livefeed.process.reload import Change
from livefeed.testing import MemorySource, RecordingSubscriber
from tests.helpers.feed_sets import HANDSHAKE, FeedsTestCase
from tests.helpers.garbage import garbage

if TYPE_CHECKING:
    from collections.abc import Callable


class AddTests(FeedsTestCase):
    """FeedsService.add_feed."""

    def test_at_the_start(self) -> None:
        """Nothing is pulled before, and each feed has its paths."""
        self.add("a", b"[1]")
        self.add("b", b"[2]")
        self.assertEqual(self.get("/a").status, 503)
        self.start()
        self.assertEqual((self.get("/a").body, self.get("/b").body), (b"[1]", b"[2]"))
        self.assertIn(b'"name":"b"', self.get("/-/feeds.json").body)

    def test_beside_a_feed_that_is_polled_and_followed(self) -> None:
        """The new feed is pulled at once, and the other one misses nothing."""
        self.add("a", b"[1]", b"[2]")
        self.start()
        socket, events = self.follow(b"/a.ws", *HANDSHAKE), self.follow(b"/a.sse")
        self.assertEqual(self.get("/b").status, 404)
        self.add("b", b"[3]")
        self.assertEqual(self.get("/b").body, b"[3]")
        self.tick()
        self.assertEqual(self.get("/a").body, b"[2]")
        for transport in (socket, events):
            self.assertIn(b"[2]", transport.value())
            self.assertFalse(transport.disconnecting)

    def test_refused_settings(self) -> None:
        """A name that is taken, or settings that can never work, change nothing."""
        self.add("a", b"[1]")
        self.start()
        self.assertRaises(ValueError, self.add, "a")
        for wrong in (
            FeedSettings(feed="b", source="bogus:"),
            FeedSettings(feed="b", source="memory:b", allow_origin=("x",)),
        ):
            self.assertRaises(ConfigurationError, self.feeds.add_feed, wrong)
        self.assertEqual([*self.feeds.feeds], ["a"])
        self.assertEqual(len(self.feeds.services), 1)
        self.assertEqual(self.get("/b").status, 404)

    def test_versions_that_cannot_be_kept(self) -> None:
        """The feed is not added, and its source is let go of; it can be added later."""
        self.feeds = self.make_feeds(self.state_dir)
        self.start()
        self.state_dir.parent.joinpath("state").write_bytes(b"")
        self.assertRaises(StartError, self.add, "a", b"[1]")
        self.assertTrue(self.sources["memory:a"].closed)
        self.assertEqual((self.feeds.feeds, self.feeds.services), ({}, []))
        self.state_dir.unlink()
        self.add("a", b"[1]")
        self.assertEqual(self.get("/a").status, 200)

    def test_start_that_fails_has_pulled_nothing(self) -> None:
        """All feeds have their versions back before the first one is pulled."""
        self.feeds = self.make_feeds(self.state_dir)
        self.add("a", b"[1]")
        self.add("b", b"[2]")
        self.state_dir.joinpath("b.versions").mkdir(parents=True)
        self.assertRaises(StartError, self.feeds.startService)
        self.addCleanup(self.feeds.feeds["a"].stopService)
        self.assertEqual(len(self.sources["memory:a"].answers), 1)

    def test_failed_addition_is_freed(self) -> None:
        """By reference counting."""
        self.feeds = self.make_feeds(self.state_dir)
        self.start()
        self.state_dir.write_bytes(b"")
        # assertRaises would keep the error, and everything that its frames refer to.
        with garbage() as found, contextlib.suppress(StartError):
            self.add("a", b"[1]")
        self.assertEqual(self.feeds.feeds, {})
        self.assertEqual({type(each).__name__ for each in found}, set())


class RemoveTests(FeedsTestCase):
    """A feed that is removed."""

    def test_beside_a_feed_that_is_polled_and_followed(self) -> None:
        """Its connections are ended and its paths are gone; the other one misses nothing."""
        self.add("a", b"[1]", b"[2]", b"[3]")
        self.add("b", b"[4]")
        self.start()
        theirs = self.follow(b"/a.ws", *HANDSHAKE)
        tag = self.get("/b").headers["etag"].encode()
        ours, part = self.follow(b"/b.ws", *HANDSHAKE), self.follow(b"/b.ws/0", *HANDSHAKE)
        events = self.follow(b"/b.sse")
        waiting = self.follow(b"/b", b"Prefer: wait=20", b"If-None-Match: " + tag)
        sizes = [len(transport.value()) for transport in (ours, part, events)]
        feed = self.feeds.feeds["b"].feed
        self.remove("b")
        for path in ("/b", "/b.html", "/b.sse", "/b/0"):
            self.assertEqual(self.get(path).status, 404, path)
        self.assertNotIn(b'"name":"b"', self.get("/-/feeds.json").body)
        closing = [transport.value()[size:] for transport, size in zip((ours, part), sizes, strict=False)]
        for frame in closing:
            self.assertEqual(frame[:1], b"\x88")
        self.assertTrue(events.disconnecting)
        self.assertIn(b" 304 ", waiting.value())
        self.assertTrue(self.sources["memory:b"].closed)
        self.assertEqual((feed.subscriptions, feed._observers.count(self.site.forget_answers)), ({}, 0))
        self.tick()
        self.assertEqual(self.get("/a").body, b"[2]")
        self.assertIn(b"[2]", theirs.value())
        self.assertFalse(theirs.disconnecting)

    def test_name_can_be_used_again(self) -> None:
        """A new feed of the same name has the versions that were kept, once they are written."""
        self.feeds = self.make_feeds(self.state_dir)
        self.add("b", b"[3]")
        self.start()
        sequence = self.get("/b").headers["livefeed-sequence"]
        self.remove("b")
        self.add("b")
        response = self.get("/b")
        self.assertEqual((response.body, response.headers["livefeed-sequence"]), (b"[3]", sequence))
        self.assertIs(self.feeds.feeds["b"].feed.state, State.STALE)

    def test_is_freed(self) -> None:
        """By reference counting, with its versions and parts; a source that is kept for longer keeps nothing else."""
        self.feeds = self.make_feeds(self.state_dir)
        self.start()
        watching: list[Callable[[], None]] = []
        self.patch(MemorySource, "watch", lambda source, changed: watching.append(changed))
        with garbage() as found:
            self.add("b", b'{"a": [1]}', b'{"a": [2]}')
            part = self.feeds.feeds["b"].published.parts.find([b"a"])
            assert part is not None
            subscription = part.feed.subscribe(RecordingSubscriber())
            self.tick()
            self.assertEqual(part.feed.versions, 2)
            subscription.cancel()
            del part, subscription
            self.change(FeedSettings(feed="b", source="memory:c"))
            gc.collect()  # with this they are old
            service = self.feeds.feeds["b"]
            left = [weakref.ref(each) for each in (service, service.puller, service.published, service.published.parts)]
            del service
            self.remove("b")
            self.assertEqual({each() for each in left}, {None})
            self.assertEqual(len(watching), 2)
            for changed in watching:
                changed()
        self.assertEqual({type(each).__name__ for each in found}, set())

    def test_last_feed(self) -> None:
        """An empty list is served then, nothing is scheduled, and a feed can be added."""
        self.add("b", b"[3]")
        self.start()
        self.tick()
        self.remove("b")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual((self.get("/").status, self.get("/b").status), (200, 404))
        self.add("b", b"[4]")
        self.assertEqual(self.get("/b").body, b"[4]")


class TransactionTests(FeedsTestCase):
    """FeedsService.prepare: all at once, or nothing."""

    def settings(self, name: str, *documents: bytes, source: str = "", **more: Any) -> FeedSettings:
        """Gives settings of a feed with prepared documents."""
        url = f"memory:{source or name}"
        self.prepared[url] = documents
        return FeedSettings(feed=name, source=url, **more)

    def names(self) -> list[str]:
        """Gives the names of the feeds, as the list of feeds shows them."""
        return [feed["name"] for feed in json.loads(self.get("/-/feeds.json").body)["feeds"]]

    def test_all_at_once(self) -> None:
        """A feed that stays is not touched: it has its source, and no pull more; the order is the wanted one."""
        self.add("a", b"[1]", b"[2]", b"[3]")
        self.add("b", b"[4]")
        self.add("c", b"[5]")
        self.start()
        stays, changes, goes = (self.follow(path, *HANDSHAKE) for path in (b"/a.ws", b"/b.ws", b"/c.ws"))
        (before, gone), kept = (len(each.value()) for each in (stays, goes)), self.sources["memory:a"]
        unchanged = structs.replace(self.feeds.feeds["a"].settings, places={"interval": "elsewhere"})
        values = self.feeds.feeds.values()
        transaction = self.feeds.prepare(
            [self.settings("d", b"[6]"), self.settings("b", b"[7]", source="e", interval=2.0), unchanged]
        )
        self.assertEqual(self.names(), ["a", "b", "c"])
        self.assertEqual(
            transaction.changes(),
            [
                Change("feeds.d", None, "memory:"),
                Change("feeds.b.source", "memory:", "memory: (with other credentials or options)"),
                Change("feeds.b.interval", 1.0, 2.0),
                Change("feeds.c", "memory:", None),
            ],
        )
        self.successResultOf(transaction.commit())
        self.assertEqual(self.names(), ["d", "b", "a"])
        self.assertEqual([each.feed.name for each in values], ["d", "b", "a"])
        self.assertEqual((self.sources["memory:a"], len(kept.answers)), (kept, 2))
        self.assertEqual(len(stays.value()), before)
        self.assertEqual([self.get(path).status for path in ("/b", "/c")], [200, 404])
        # The second of two new sources waits, since all clients wait while a document is checked.
        self.assertEqual(self.get("/d").status, 503)
        self.clock.advance(MAX_SPREAD_S / 2)
        self.assertEqual(self.get("/d").body, b"[6]")
        self.assertIn(b"[7]", changes.value())
        self.assertEqual(goes.value()[gone : gone + 1], b"\x88")
        self.tick()
        self.assertEqual(self.get("/a").body, b"[2]")
        self.assertEqual([each.disconnecting for each in (stays, changes)], [False, False])

    def test_settings_beside_the_source(self) -> None:
        """They change without a pull: the source stays as it is."""
        self.add("a", b"[1]", b"[2]")
        self.start()
        puller = self.feeds.feeds["a"].puller
        wanted = FeedSettings(feed="a", source="memory:a", max_subscribers=1, stale_after=3.0)
        transaction = self.feeds.prepare([wanted])
        self.assertEqual(len(transaction.changed), 1)
        names = {each.setting for each in transaction.changes()}
        self.assertEqual(names, {"feeds.a.max_subscribers", "feeds.a.stale_after"})
        self.successResultOf(transaction.commit())
        self.assertIs(self.feeds.feeds["a"].puller, puller)
        self.assertEqual((puller.good, self.feeds.feeds["a"].published.max_subscribers), (1, 1))
        self.assertFalse(self.sources["memory:a"].closed)

    def test_nothing_changes_if_one_is_impossible(self) -> None:
        """The sources that were made for the others are closed, the journals too, and nothing was pulled."""
        self.feeds = self.make_feeds(self.state_dir)
        self.add("a", b"[1]")
        self.start()
        before = self.feeds.feeds["a"].settings
        for wrong in (
            FeedSettings(feed="z", source="bogus:"),
            FeedSettings(feed="z", source="memory:z", allow_origin=("x",)),
            FeedSettings(feed="taken", source="memory:z"),
        ):
            self.state_dir.joinpath("taken.versions").mkdir(exist_ok=True)
            wanted = [self.settings("a", source="b"), self.settings("c"), wrong]
            self.assertRaises((ConfigurationError, StartError), self.feeds.prepare, wanted)
            self.assertTrue(self.sources["memory:b"].closed)
            self.assertTrue(self.sources["memory:c"].closed)
            self.assertFalse(self.sources["memory:a"].closed)
            self.assertEqual((self.names(), self.feeds.feeds["a"].settings), (["a"], before))
        self.successResultOf(self.feeds.prepare([before, self.settings("c", b"[2]")]).commit())
        self.assertEqual(self.get("/c").body, b"[2]")

    def test_abandoned(self) -> None:
        """By another part of a reload: the name can be used again, and reference counting frees all that was made."""
        self.feeds = self.make_feeds(self.state_dir)
        self.add("a", b"[1]")
        self.start()
        with garbage() as found:
            self.feeds.prepare([self.settings("b", b"[2]"), self.settings("a", source="c")]).abandon()
        self.assertEqual({type(each).__name__ for each in found}, set())
        self.assertEqual([self.sources[f"memory:{name}"].closed for name in "abc"], [False, True, True])
        self.successResultOf(self.feeds.prepare([self.settings("b", b"[2]")]).commit())
        self.assertEqual((self.names(), self.get("/b").body), (["b"], b"[2]"))

    def test_source_that_breaks_when_it_is_closed(self) -> None:
        """As one of another package may: the transaction is whole all the same, and the log has the error."""
        self.add("a", b"[1]")
        self.add("b", b"[2]")
        self.start()

        def fail(source: MemorySource) -> None:
            raise RuntimeError(source)

        self.patch(MemorySource, "close", fail)
        self.feeds.prepare([self.settings("c")]).abandon()
        self.successResultOf(self.feeds.prepare([self.settings("a", b"[3]", source="d")]).commit())
        self.assertEqual((self.names(), self.get("/a").body), (["a"], b"[3]"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 3)

    def test_before_the_start(self) -> None:
        """Nothing is pulled, and no file is made."""
        self.feeds = self.make_feeds(self.state_dir)
        self.add("a", b"[1]")
        self.successResultOf(self.feeds.prepare([self.settings("b", b"[2]")]).commit())
        self.assertFalse(self.state_dir.exists())
        self.start()
        self.assertEqual((self.names(), self.get("/b").body), (["b"], b"[2]"))
