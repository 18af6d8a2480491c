"""Feeds that come, change and go while others are polled and followed."""

from __future__ import annotations

import contextlib
import gc
import json
import tempfile
import weakref
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs
from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from livefeed import feed_service
from livefeed.auth.material import Content, Material
from livefeed.auth.tokens import Tokens
from livefeed.config.settings import FeedSettings, Settings
from livefeed.delivery.root import Root
from livefeed.delivery.websocket.protocol import SubscriberFactory
from livefeed.exceptions import ConfigurationError, StartError
from livefeed.feed.state import State
from livefeed.feed_service import MAX_SPREAD_S, FeedService, FeedsService, PulledFeedService, ReloadedFeeds, Shared
from livefeed.process.reload import Change
from livefeed.sources import make_source
from livefeed.storage.shared_writes import ClosedStoreError, SharedWrites
from livefeed.storage.store import Store
from livefeed.testing import MemorySource, RecordingSubscriber, Response, request
from livefeed.web.reconnect_slots import ReconnectSlots
from livefeed.web.site import Site
from tests.helpers.garbage import garbage

if TYPE_CHECKING:
    from collections.abc import Callable

HANDSHAKE = (
    b"Upgrade: websocket",
    b"Connection: Upgrade",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


class FeedsTestCase(SynchronousTestCase):
    """Feeds of sources in memory: that of ``memory:NAME`` is ``self.sources["memory:NAME"]``."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000.0)
        self.prepared: dict[str, tuple[bytes, ...]] = {}
        self.sources: dict[str, MemorySource] = {}
        self.patch(feed_service, "make_source", self.make_source)
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.state_dir = Path(directory.name) / "state"
        self.subscribers = SubscriberFactory(reactor=self.clock)
        self.root = Root()
        self.site = Site(self.root, reactor=self.clock)
        self.feeds = self.make_feeds()

    def make_source(self, url: str, *, reactor: object, max_bytes: int, store: object = None) -> MemorySource:
        if not url.startswith("memory:"):
            raise ConfigurationError("unknown scheme", "source")
        self.sources[url] = MemorySource(deque(self.prepared.pop(url, ())))
        return self.sources[url]

    def make_feeds(self, state_dir: Path | None = None) -> FeedsService[PulledFeedService]:
        shared = Shared(self.clock, maybeDeferred, self.subscribers, state_dir, "--state-dir")
        return FeedsService(self.root, self.site, lambda settings: PulledFeedService(settings, shared))

    def start(self) -> None:
        self.feeds.privilegedStartService()
        self.feeds.startService()
        self.addCleanup(self.stop)

    def stop(self) -> None:
        if self.feeds.running:
            self.successResultOf(maybeDeferred(self.feeds.stopService))

    def add(self, name: str, *documents: bytes, **more: Any) -> None:
        """Adds a feed with prepared documents."""
        self.prepared[f"memory:{name}"] = documents
        self.feeds.add_feed(FeedSettings(feed=name, source=f"memory:{name}", **more))

    def change(self, settings: FeedSettings) -> None:
        """Changes the settings of a feed, as a reload does."""
        self.commit({name: each.settings for name, each in self.feeds.feeds.items()} | {settings.feed: settings})

    def remove(self, name: str) -> None:
        """Removes a feed, as a reload does, and waits until its last versions are written."""
        self.commit({other: each.settings for other, each in self.feeds.feeds.items() if other != name})

    def commit(self, wanted: dict[str, FeedSettings]) -> None:
        self.successResultOf(self.feeds.prepare([*wanted.values()]).commit())

    def get(self, path: str) -> Response:
        return request(self.site, f"GET {path} HTTP/1.1".encode())

    def follow(self, path: bytes, *fields: bytes) -> StringTransport:
        """Opens a connection that stays."""
        transport = StringTransport()
        channel: Any = self.site.buildProtocol(None)
        channel.makeConnection(transport)
        channel.dataReceived(b"\r\n".join([b"GET " + path + b" HTTP/1.1", b"Host: localhost", *fields, b"", b""]))
        return transport

    def tick(self) -> None:
        self.clock.advance(1)


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


class ChangeTests(FeedsTestCase):
    """A feed whose settings change."""

    def change_to(self, name: str, source: str, *documents: bytes, **more: Any) -> None:
        self.prepared[source] = documents
        self.change(FeedSettings(feed=name, source=source, **more))

    def test_connections_stay(self) -> None:
        """Connections of the changed feed get the new source's document; those of other feeds are unaffected."""
        self.add("a", b"[1]", b"[2]")
        self.add("b", b"[3]")
        self.start()
        ours, theirs = self.follow(b"/b.ws", *HANDSHAKE), self.follow(b"/a.ws", *HANDSHAKE)
        part = self.follow(b"/b.sse/0")
        before = self.sources["memory:b"]
        self.change_to("b", "memory:c", b"[4]", b"[5]", interval=2.0)
        self.assertTrue(before.closed)
        self.assertEqual(self.get("/b").body, b"[4]")
        self.assertIn(b"[4]", ours.value())
        self.assertIn(b"data: 4\n", part.value())
        self.tick()
        self.assertEqual((self.get("/a").body, self.get("/b").body), (b"[2]", b"[4]"))
        self.tick()
        self.assertEqual(self.get("/b").body, b"[5]")
        self.assertIn(b"[2]", theirs.value())
        for transport in (ours, theirs, part):
            self.assertFalse(transport.disconnecting)

    def test_counters_go_on(self) -> None:
        """The counters of pulls, which metrics show, continue."""
        self.add("b", b"[3]")
        self.start()
        self.tick()
        self.change_to("b", "memory:c", b"[4]")
        puller = self.feeds.feeds["b"].puller
        self.assertEqual((puller.good, puller.failed), (2, 1))

    def test_each_setting(self) -> None:
        """Each setting takes effect at once: origins of requests and handshakes, limits, ages, kind of pushes."""
        self.add("b", b"[3]", b"[3]", push="change")
        self.start()
        self.change_to(
            "b",
            "memory:b",
            *(b"[3]",) * 2,
            allow_origin=("https://a.example",),
            max_subscribers=1,
            stale_after=5.0,
            gone_after=9.0,
            max_delta_bytes=7,
            max_bytes=10,
        )
        origin = b"Origin: https://b.example"
        response = request(self.site, b"GET /b HTTP/1.1\r\n" + origin)
        self.assertNotIn("access-control-allow-origin", response.headers)
        self.assertIn(b" 403 ", self.follow(b"/b.ws", *HANDSHAKE, origin).value())
        self.assertIn(b" 101 ", self.follow(b"/b.ws", *HANDSHAKE).value())
        self.assertIn(b" 503 ", self.follow(b"/b.ws", *HANDSHAKE).value())
        feed = self.feeds.feeds["b"].feed
        self.assertEqual((feed.push, feed.stale_after_s, feed.gone_after_s), ("tick", 5.0, 9.0))
        self.assertEqual(feed.history.max_document_bytes, 7)
        self.assertEqual(self.feeds.feeds["b"].puller.max_bytes, 10)

    def test_refused_settings(self) -> None:
        """Settings that can never work leave the feed unchanged."""
        self.add("b", b"[3]", b"[4]")
        self.start()
        self.assertRaises(ConfigurationError, self.change_to, "b", "bogus:")
        self.assertRaises(ConfigurationError, self.change_to, "b", "memory:c", allow_origin=("x",))
        self.assertFalse(self.sources["memory:b"].closed)
        self.tick()
        self.assertEqual(self.get("/b").body, b"[4]")

    def test_before_the_start(self) -> None:
        """Nothing is pulled, then or twice."""
        self.add("b", b"[3]")
        self.change_to("b", "memory:c", b"[4]")
        self.start()
        self.assertEqual(self.get("/b").body, b"[4]")
        self.assertEqual(self.feeds.feeds["b"].puller.good, 1)


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


class DrainedFeedTests(FeedsTestCase):
    """The steps at the end of the process for one feed."""

    def test_streams_end(self) -> None:
        """Streams end, and requests that wait are answered; WebSockets are closed for all feeds together."""
        self.add("a", b"[1]")
        self.start()
        socket, events = self.follow(b"/a.ws", *HANDSHAKE), self.follow(b"/a.sse")
        feed = self.feeds.feeds["a"]
        self.assertEqual(len(feed.streams()), 1)
        feed.let_go(ReconnectSlots())
        self.assertEqual((events.disconnecting, socket.disconnecting), (True, False))


class FollowedFeedTests(FeedsTestCase):
    """A feed that this process does not pull."""

    def test_settings_change(self) -> None:
        """They are taken as those of a pulled feed are, and there is no source to name."""
        shared = Shared(self.clock, maybeDeferred, self.subscribers)
        service = FeedService(FeedSettings(feed="a"), shared)
        self.assertEqual((service.source_name, service.streams(), service.waiting()), ("", [], 0))
        change = service.prepare(FeedSettings(feed="a", interval=7.0, source="memory:b"))
        change.abandon()
        service.take(change)
        self.assertEqual((service.feed.interval_s, service.settings, self.sources), (7.0, change.settings, {}))

    def test_reload(self) -> None:
        """Feeds can change in all of their settings."""
        reloaded = ReloadedFeeds(self.feeds)
        settings = Settings(feeds=(FeedSettings(feed="a", source="memory:a"),))
        transaction = reloaded.prepare(Settings(), settings)
        self.assertEqual(transaction.order, ["a"])
        transaction.abandon()


class PauseTests(FeedsTestCase):
    """A feed that another process pulls meanwhile."""

    def test_pause(self) -> None:
        """Nothing is pulled and nothing written until the feed goes on, with kept versions or without them."""
        for state_dir in (None, self.state_dir):
            self.feeds = self.make_feeds(state_dir)
            self.root = Root()
            self.feeds.root = self.root
            self.start()
            self.add("a", b"[1]", b"[2]", b"[3]")
            service = self.feeds.feeds["a"]
            self.assertTrue(service.was_tried)
            paused = service.pause()
            if paused is not None:
                self.successResultOf(paused)
            for _ in range(3):
                self.tick()
            assert service.feed.snapshot is not None
            self.assertEqual(service.feed.snapshot.data, b"[1]")
            service.resume()
            self.tick()
            assert service.feed.snapshot is not None
            self.assertNotEqual(service.feed.snapshot.data, b"[1]")
            self.stop()


class StoreTests(FeedsTestCase):
    """Feeds with the source ``store:``."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(feed_service, "make_source", make_source)
        self.feeds = self.make_feeds(self.state_dir)

    def store(self, name: str = "a") -> SharedWrites:
        """Gives the store of a feed."""
        store = self.feeds.feeds[name].store
        assert store is not None
        return store

    def put(self, data: bytes, name: str = "a") -> None:
        """Stores a document, and pulls it."""
        self.successResultOf(self.store(name).edit(lambda _: data))
        self.clock.advance(1)

    def shown(self) -> bytes | None:
        snapshot = self.feeds.feeds["a"].feed.snapshot
        return None if snapshot is None else snapshot.data

    def test_written_document_is_published_at_once(self) -> None:
        """A write is reported to the puller, and does not wait for a tick."""
        self.feeds.add_feed(FeedSettings(feed="a", source="store:", interval=60))
        self.start()
        self.put(b"[1]")
        self.assertEqual(self.shown(), b"[1]")
        self.stop()
        self.assertFalse(self.store().store.is_open)

    def test_restart(self) -> None:
        """The next process has the document before anything is pulled."""
        self.feeds.add_feed(FeedSettings(feed="a", source="store:"))
        self.start()
        self.put(b"[1]")
        self.stop()
        self.root = Root()
        self.feeds = self.make_feeds(self.state_dir)
        self.feeds.add_feed(FeedSettings(feed="a", source="store:"))
        self.start()
        self.assertEqual((self.store().document, self.shown()), (b"[1]", b"[1]"))

    def test_start_without_a_place(self) -> None:
        """The error names the setting, and what is wrong."""
        self.root = Root()
        self.feeds = self.make_feeds(None)
        with self.assertRaisesRegex(ConfigurationError, "--source: store: needs --state-dir"):
            self.feeds.add_feed(FeedSettings(feed="a", source="store:"))
        self.feeds = self.make_feeds(self.state_dir)
        self.state_dir.mkdir()
        self.state_dir.joinpath("a.store").mkdir()
        self.feeds.add_feed(FeedSettings(feed="a", source="store:"))
        with self.assertRaisesRegex(StartError, "--state-dir: .*a.store: Is a directory"):
            self.feeds.startService()

    def test_change_of_the_source(self) -> None:
        """A reload opens and closes the store. A change of other settings keeps it open, with its document."""
        self.feeds.add_feed(FeedSettings(feed="a", source="demo:"))
        self.start()
        self.assertIsNone(self.feeds.feeds["a"].store)
        self.change(FeedSettings(feed="a", source="store:", interval=60))
        self.put(b"[1]")
        store = self.store()
        self.change(FeedSettings(feed="a", source="store:", interval=30))
        self.assertIs(self.store(), store)
        self.put(b"[2]")
        self.assertEqual(self.shown(), b"[2]")
        self.change(FeedSettings(feed="a", source="demo:"))
        self.assertEqual((self.feeds.feeds["a"].store, store.is_open, store.store.is_open), (None, False, False))
        self.change(FeedSettings(feed="a", source="store:"))
        self.assertEqual(self.store().document, b"[2]")

    def test_reload_that_fails(self) -> None:
        """A store that was opened for it is closed again; one that cannot be opened is an error of the settings."""
        self.feeds.add_feed(FeedSettings(feed="a", source="demo:"))
        self.start()
        wanted = FeedSettings(feed="a", source="store:")
        self.feeds.prepare([wanted]).abandon()
        other = Store(self.state_dir / "a.store", float)
        other.open()
        with self.assertRaisesRegex(ConfigurationError, "another process uses this store"):
            self.feeds.prepare([wanted])
        other.close()
        self.feeds.prepare([wanted]).abandon()

    def test_hand_over(self) -> None:
        """Another process can open the store meanwhile, and this one can go on if that fails."""
        self.feeds.add_feed(FeedSettings(feed="a", source="store:"))
        self.start()
        self.put(b"[1]")
        self.successResultOf(self.feeds.feeds["a"].pause())
        self.failureResultOf(self.store().edit(lambda _: b"[2]"), ClosedStoreError)
        other = Store(self.state_dir / "a.store", float)
        other.open()
        self.assertEqual(other.newest and other.newest.data, b"[1]")
        self.feeds.feeds["a"].resume()
        self.failureResultOf(self.store().edit(lambda _: b"[2]"), ClosedStoreError)
        other.close()
        self.feeds.feeds["a"].pause()
        self.feeds.feeds["a"].resume()
        self.put(b"[3]")
        self.assertEqual(self.shown(), b"[3]")


class ProtectionTests(FeedsTestCase):
    """Feeds that become protected, and public again."""

    TOKEN, OTHER = b"q0Ywz3nOScE8uWq3Yc0dT1p4", b"q0Ywz3nOScE8uWq3Yc0dT1p5"

    def setUp(self) -> None:
        self.material = Material()
        super().setUp()
        self.set_tokens(self.TOKEN, self.OTHER)

    def make_feeds(self, state_dir: Path | None = None) -> FeedsService[PulledFeedService]:
        shared = Shared(self.clock, maybeDeferred, self.subscribers, material=self.material)
        return FeedsService(self.root, self.site, lambda settings: PulledFeedService(settings, shared))

    def set_tokens(self, *tokens: bytes) -> None:
        lines = b"".join(b"a %s\n" % token for token in tokens)
        self.material.take(Content({"/t": Tokens.parse(lines, "f")}))

    def settings(self, **more: Any) -> FeedSettings:
        return FeedSettings(feed="feed", source="memory:a", **more)

    def status(self, token: bytes | None = None) -> int:
        field = b"" if token is None else b"\nAuthorization: Bearer " + token
        return request(self.site, b"GET /feed HTTP/1.1" + field).status

    def connect(self, token: bytes | None = None) -> StringTransport:
        transport = StringTransport()
        channel: Any = self.site.buildProtocol(None)
        channel.makeConnection(transport)
        field = b"" if token is None else b"Authorization: Bearer " + token + b"\r\n"
        channel.dataReceived(b"GET /feed.sse HTTP/1.1\r\nHost: a\r\n" + field + b"\r\n")
        return transport

    def take(self, **more: Any) -> None:
        self.feeds.prepare([self.settings(**more)]).commit()
        self.clock.advance(0)

    def test_becomes_protected(self) -> None:
        """Its followers have to come back with a token, and no stored answer is repeated."""
        self.prepared["memory:a"] = (b'{"a": 1}',)
        self.start()
        service = self.feeds.add_feed(self.settings())
        service.check_access()
        stream = self.connect()
        self.assertEqual((self.status(), stream.disconnecting), (200, False))
        self.take(auth_tokens=Path("/t"))
        self.assertEqual((self.status(), self.status(self.TOKEN)), (401, 200))
        self.assertTrue(stream.disconnecting)
        listed = json.loads(request(self.site, b"GET /-/feeds.json HTTP/1.1").body)["feeds"][0]
        self.assertEqual((listed["protected"], listed["version"], listed["state"]), (True, None, None))

    def test_tokens_change(self) -> None:
        """A revoked token ends its subscriptions; other settings end none, nor does the first reload."""
        self.prepared["memory:a"] = (b'{"a": 1}',)
        self.start()
        service = self.feeds.add_feed(self.settings(auth_tokens=Path("/t")))
        one, other = self.connect(self.TOKEN), self.connect(self.OTHER)
        service.check_access()
        self.take(auth_tokens=Path("/t"), max_subscribers=9)
        self.assertEqual((one.disconnecting, other.disconnecting), (False, False))
        self.set_tokens(self.OTHER)
        service.check_access()
        self.clock.advance(0)
        self.assertEqual((one.disconnecting, other.disconnecting), (True, False))
        self.assertEqual((self.status(self.TOKEN), self.status(self.OTHER)), (401, 200))

    def test_becomes_public(self) -> None:
        """Its followers stay, and need no token any more."""
        self.prepared["memory:a"] = (b'{"a": 1}',)
        self.start()
        service = self.feeds.add_feed(self.settings(auth_tokens=Path("/t"), allow_origin=("https://a.example",)))
        stream = self.connect(self.TOKEN)
        self.take(auth_tokens=Path("/t"), auth_cookie="__Secure-a", allow_origin=("https://a.example",))
        cookie = b"\nCookie: __Secure-a=" + self.TOKEN
        self.assertEqual(request(self.site, b"GET /feed HTTP/1.1" + cookie).status, 200)
        self.take()
        self.set_tokens()
        service.check_access()
        self.clock.advance(0)
        self.assertEqual((self.status(), stream.disconnecting), (200, False))
