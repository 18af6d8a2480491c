"""The tree of all paths, in memory: feeds are added and removed while others are served."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from websockets.frames import Opcode

from livefeed.delivery.keys import KeysResource
from livefeed.delivery.pages import PageOptions
from livefeed.delivery.published_feed import PublishedFeed
from livefeed.delivery.root import Root
from livefeed.delivery.websocket.handshake import Handshakes
from livefeed.delivery.websocket.protocol import SubscriberFactory
from livefeed.feed.feed import Feed
from livefeed.feed.notice import Notice
from livefeed.feed.state import State
from livefeed.testing import Response, publish, request
from livefeed.web.cors import Origins
from livefeed.web.reconnect_slots import ReconnectSlots
from livefeed.web.site import Site
from tests.helpers.guarded import protect
from tests.helpers.websocket_client import Client

PATHS = (b"", b".json", b".sse", b".ws", b".html", b"/n")


class RootTestCase(SynchronousTestCase):
    """A site with one feed."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.factory = SubscriberFactory(reactor=self.clock)
        self.first = self.make("first")
        self.root = Root([self.first])
        self.site = Site(self.root, reactor=self.clock)

    def make(self, name: str, *origins: str) -> PublishedFeed:
        allowed = Origins.parse(origins or ("*",))
        published = PublishedFeed(Feed(name, clock=self.clock), allowed, Handshakes(self.factory, allowed).answer)
        publish(published.feed, b'{"n": 1}')
        return published

    def get(self, path: bytes, *fields: bytes) -> Response:
        self.site.forget_answers()
        return request(self.site, b"\n".join([b"GET " + path + b" HTTP/1.1", *fields]))

    def open(self, path: bytes, *fields: bytes) -> StringTransport:
        """Sends a request on a connection that stays open."""
        transport: Any = StringTransport()
        channel = self.site.buildProtocol(None)
        assert channel is not None
        transport.protocol = channel
        channel.makeConnection(transport)
        channel.dataReceived(b"\r\n".join([b"GET " + path + b" HTTP/1.1", b"Host: localhost", *fields, b"", b""]))
        opened: StringTransport = transport
        return opened

    def names(self) -> list[str]:
        return [feed["name"] for feed in json.loads(self.get(b"/-/feeds.json").body)["feeds"]]

    def statuses(self, name: bytes) -> set[int]:
        return {self.get(b"/" + name + path, b"Upgrade: x").status for path in PATHS}


class RootTests(RootTestCase):
    """Feeds that come and go."""

    def test_added_feed_is_served(self) -> None:
        """On all its paths, and in the list."""
        self.assertEqual(self.statuses(b"second"), {404})
        self.root.add(self.make("second"))
        self.assertEqual(self.statuses(b"second"), {200, 426})
        self.assertEqual(self.names(), ["first", "second"])

    def test_page_of_one_feed_becomes_the_list(self) -> None:
        """The page of a single feed becomes the list of feeds, and back."""
        alone = self.get(b"/").body
        self.assertEqual(alone, self.get(b"/first.html").body)
        second = self.make("second")
        self.root.add(second)
        self.assertIn(b'href="second.html"', self.get(b"/").body)
        self.assertIn(b'<a id="all" href=".">', self.get(b"/first.html").body)
        self.root.remove(second)
        self.assertEqual(self.get(b"/").body, alone)

    def test_origins_are_those_of_all_feeds(self) -> None:
        """The list of feeds and the 404 allow the origins that all feeds allow."""
        second = self.make("second", "https://a.example")
        for change, allowed in ((self.root.add, "https://a.example"), (self.root.remove, "*")):
            change(second)
            for path in (b"/-/feeds.json", b"/nothing", b"/-/"):
                headers = self.get(path, b"Origin: https://a.example").headers
                self.assertEqual(headers["access-control-allow-origin"], allowed)

    def test_origins_of_a_feed_may_change(self) -> None:
        """They hold for its resources, and for the list."""
        self.first.origins = Origins.parse(["https://a.example"])
        self.root.update()
        for path in (b"/first", b"/-/feeds.json", b"/nothing"):
            headers = self.get(path, b"Origin: https://a.example").headers
            self.assertEqual(headers["access-control-allow-origin"], "https://a.example")

    def test_feed_that_is_added_twice(self) -> None:
        """Names are paths. The first feed stays."""
        with self.assertRaises(ValueError):
            self.root.add(self.make("first"))
        self.assertEqual(self.statuses(b"first"), {200, 426})

    def test_feed_that_is_not_there_cannot_be_removed(self) -> None:
        """Nor can another feed of the same name."""
        for other in (self.make("second"), self.make("first")):
            with self.assertRaises(KeyError):
                self.root.remove(other)
        self.assertEqual(self.statuses(b"first"), {200, 426})

    def test_removed_feed_is_not_found(self) -> None:
        """Neither the feed nor its parts are found; the last feed leaves an empty list."""
        self.root.add(self.make("second"))
        self.root.remove(self.first)
        self.assertEqual((self.statuses(b"first"), self.names()), ({404}, ["second"]))
        self.root.remove(self.root._published["second"])
        self.assertEqual((self.statuses(b"second"), self.names()), ({404}, []))
        self.assertEqual(self.get(b"/").status, 200)

    def test_removed_feed_ends_its_subscribers(self) -> None:
        """WebSockets, streams and waiting requests, of the whole and of parts; those of other feeds stay."""
        second = self.make("second")
        self.root.add(second)
        etag = b"If-None-Match: " + self.get(b"/first").headers["etag"].encode()
        part = b"If-None-Match: " + self.get(b"/first/n").headers["etag"].encode()
        sockets = [Client(self.site, path=path) for path in ("/first.ws", "/first/n", "/second.ws")]
        for client in sockets:
            client.receive()
        streams = [self.open(path) for path in (b"/first.sse", b"/first.sse/n", b"/second.sse")]
        polls = [
            self.open(path, tag, b"Prefer: wait=9")
            for path, tag in ((b"/first", etag), (b"/first/n", part), (b"/second", etag))
        ]
        self.assertEqual({poll.value() for poll in polls}, {b""})
        self.root.remove(self.first)
        closed = [[opcode for opcode, _ in client.receive()] for client in sockets]
        self.assertEqual(closed, [[Opcode.CLOSE], [Opcode.CLOSE], []])
        self.assertEqual([stream.disconnecting for stream in streams], [True, True, False])
        self.assertEqual([stream.value().endswith(b"0\r\n\r\n") for stream in streams], [True, True, False])
        answers = [Response.parse(poll.value()) for poll in polls[:2]]
        self.assertEqual([answer.status for answer in answers], [304, 304])
        self.assertEqual([answer.headers["retry-after"] for answer in answers], ["6", "6"])
        self.assertEqual(polls[2].value(), b"")
        for delivery in self.first:
            self.assertEqual((delivery.feed.subscriptions, delivery.followers()), ({}, 0))
        self.assertEqual(len(second.feed.subscriptions), 3)
        publish(second.feed, b'{"n": 2}')
        self.assertEqual(sockets[2].receive(), [(Opcode.TEXT, b'{"n": 2}')])

    def test_removed_feeds_share_the_times_of_return(self) -> None:
        """Feeds that are removed together share the slots for reconnecting."""
        second = self.make("second")
        self.root.add(second)
        for name in (b"first", b"second"):
            self.open(b"/" + name + b".sse")
        returns = ReconnectSlots()
        for published in (self.first, second):
            self.root.remove(published, returns)
        self.assertEqual(returns._count, 2)

    def test_keys_come_and_go(self) -> None:
        """The set of keys is published beside the files of pages, whichever feeds there are."""
        self.assertEqual(self.get(b"/-/keys").status, 404)
        for content, status in ((b'{"keys":[]}', 200), (b'{"keys":[]}', 200), (b"", 404)):
            self.root.show_keys(content)
            self.site.forget_answers()
            self.assertEqual(self.get(b"/-/keys").status, status)


class OptionTests(RootTestCase):
    """The facts that are shown to everybody, the order of lists, and further resources."""

    def reasons(self) -> list[str | None]:
        return [feed.get("reason") for feed in json.loads(self.get(b"/-/feeds.json").body)["feeds"]]

    def test_figures_and_reasons(self) -> None:
        """They are there as long as the operator shows them; figures that were taken are forgotten."""
        self.first.feed.heed(Notice(State.HELD, "a recount"))
        self.assertEqual((self.get(b"/-/figures.json").status, self.reasons()), (404, [None]))
        self.root.show(PageOptions(figures=True, reasons=True))
        self.root.board.show(b"{}")
        self.assertEqual((self.get(b"/-/figures.json").status, self.reasons()), (200, ["a recount"]))
        self.assertEqual(self.first.feed.told.reason, "a recount")
        self.root.show(PageOptions())
        self.assertEqual((self.get(b"/-/figures.json").status, self.reasons()), (404, [None]))
        self.assertEqual(self.first.feed.told.reason, "")
        self.root.show(PageOptions(figures=True))
        self.assertNotEqual(self.get(b"/-/figures.json").body, b"{}")

    def test_order(self) -> None:
        """Lists have the feeds in the order of the settings."""
        self.root.add(self.make("second"))
        self.root.arrange(["second", "first"])
        self.assertEqual(self.names(), ["second", "first"])

    def test_more_resources(self) -> None:
        """They stay when feeds come and go."""
        self.root.add_assets({"more": KeysResource(Origins.common(()), b"{}")})
        self.root.add(self.make("second"))
        self.assertEqual(self.get(b"/-/more").body, b"{}")


class ProtectedTests(RootTestCase):
    """Protected feeds in the list."""

    def test_nothing_is_told_of_them(self) -> None:
        """The list has their names alone, also if it has reasons."""
        self.root.add(self.make("second"))
        protect(self.first, self.site)
        protected, public = json.loads(self.get(b"/-/feeds.json").body)["feeds"]
        nothing = dict.fromkeys(("state", "version", "sequence", "at"))
        expected = {"name": "first", "path": "/first", "protected": True, **nothing, "interval_s": 1.0}
        self.assertEqual(protected, expected)
        self.assertEqual(public["state"], "live")
        self.assertIn(b'data-state="protected"', self.get(b"/").body)
