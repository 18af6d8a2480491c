"""One feed and all that belongs to it, while it is polled and followed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.testing import StringTransport

from livefeed import feed_service
from livefeed.auth.material import Content, Material
from livefeed.auth.tokens import Tokens
from livefeed.config.settings import FeedSettings, Settings
from livefeed.delivery.root import Root
from livefeed.document.requirements import Required
from livefeed.document.rules import RuleSpec
from livefeed.document.selectors import parse_selector
from livefeed.exceptions import ConfigurationError, StartError
from livefeed.feed_service import FeedService, PulledFeedService, Shared
from livefeed.feed_set import FeedsService, ReloadedFeeds
from livefeed.intake.puller import PullOutcome
from livefeed.sources import make_source
from livefeed.storage.shared_writes import ClosedStoreError, SharedWrites
from livefeed.storage.store import Store
from livefeed.testing import request
from livefeed.web.reconnect_slots import ReconnectSlots
from tests.helpers.feed_sets import HANDSHAKE, FeedsTestCase


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

    def test_rules(self) -> None:
        """The waiting document is judged anew, unless the source changes, too."""
        rules = (RuleSpec("votes", Required((parse_selector("/votes"),))),)
        self.add("b", b'{"votes": 1}', b"[2]", b"[2]", rules=rules)
        self.start()
        self.tick()
        self.assertEqual((self.get("/b").body, self.get("/b").headers["livefeed-state"]), (b'{"votes": 1}', "held"))
        self.change(FeedSettings(feed="b", source="memory:b"))
        self.assertEqual((self.get("/b").body, self.get("/b").headers["livefeed-state"]), (b"[2]", "live"))
        self.change_to("b", "memory:c", b"[3]", rules=rules)
        self.assertEqual((self.get("/b").body, self.get("/b").headers["livefeed-state"]), (b"[2]", "held"))

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


class SourceTests(FeedsTestCase):
    """The source of a feed, as the operator's port sees it."""

    def test_pull_at_once(self) -> None:
        """It does not wait for the next tick, and tells its outcome."""
        self.add("b", b"[3]", b"[4]", interval=60.0)
        self.start()
        outcome = self.feeds.feeds["b"].pull_soon()
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(outcome), PullOutcome(is_shown=True))
        self.assertEqual(self.get("/b").body, b"[4]")

    def test_later_start(self) -> None:
        """The first pull waits for the delay."""
        self.add("b", b"[3]")
        self.feeds.feeds["b"].start_later(5.0)
        self.start()
        self.clock.advance(4)
        self.assertFalse(self.feeds.feeds["b"].was_tried)
        self.clock.advance(1)
        self.assertEqual(self.get("/b").body, b"[3]")

    def test_facts(self) -> None:
        """The name of the source, and the size of a document, now and after a change that was only prepared."""
        self.add("b", b"[3]", max_bytes=70)
        service = self.feeds.feeds["b"]
        name = str(self.sources["memory:b"])
        self.assertEqual((service.source_name, service.max_bytes, service.playback), (name, 70, None))
        same = service.prepare(FeedSettings(feed="b", source="memory:b", max_bytes=70, stale_after=9.0))
        other = service.prepare(FeedSettings(feed="b", source="memory:c"))
        self.assertEqual((same.source_name, other.source_name), (name, str(self.sources["memory:c"])))
        self.assertIs(other.source, self.sources["memory:c"])

    def test_recording(self) -> None:
        """The playback of a feed is its source, if that is a recording."""
        self.patch(feed_service, "make_source", make_source)
        self.feeds.add_feed(FeedSettings(feed="b", source="recording:/nowhere/night?speed=2"))
        service = self.feeds.feeds["b"]
        playback = service.playback
        assert playback is not None
        self.assertIs(playback, service.puller.source)


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
