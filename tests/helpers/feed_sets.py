"""A set of feeds with sources in memory, and clients that poll and follow them."""

from __future__ import annotations

import tempfile
from collections import deque
from pathlib import Path
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from livefeed import feed_service
from livefeed.config.settings import FeedSettings
from livefeed.delivery.root import Root
from livefeed.delivery.websocket.protocol import SubscriberFactory
from livefeed.exceptions import ConfigurationError
from livefeed.feed_service import PulledFeedService, Shared
from livefeed.feed_set import FeedsService
from livefeed.testing import MemorySource, Response, request
from livefeed.web.site import Site

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
