"""How many may follow one feed, in memory."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from livefeed.feed.parts import MAX_PARTS
from livefeed.testing import RecordingSubscriber, Response, make_site, publish
from livefeed.web.reconnect_slots import ReconnectSlots
from tests.helpers.guarded import AUTHORIZATION, protect

HANDSHAKE = (
    b"Upgrade: websocket",
    b"Connection: Upgrade",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


class LimitTestCase(SynchronousTestCase):
    """A feed with a limit of two subscribers."""

    def setUp(self) -> None:
        self.clock = Clock()
        made = make_site("feed", "other", clock=self.clock, origins=["https://a.example"])
        self.site = made.site
        self.served, self.other = made.published
        for one in made.published:
            one.max_subscribers = 2
            publish(one.feed, b'{"a": 1}')

    def ask(self, path: bytes, *fields: bytes) -> Response:
        """Sends a request, and gives the immediate answer; status 0 if there is none."""
        self.transport = StringTransport()
        channel = self.site.buildProtocol(None)
        assert channel is not None
        channel.makeConnection(self.transport)
        channel.dataReceived(b"\r\n".join([b"GET " + path + b" HTTP/1.1", b"Host: localhost", *fields, b"", b""]))
        return Response.parse(self.transport.value()) if self.transport.value() else Response(0, {}, b"")

    def follows(self) -> bool:
        """Asks for events, and tells whether a stream of them has begun."""
        before = len(self.served.streams())
        self.assertEqual(self.ask(b"/feed.sse").status, 200)
        return len(self.served.streams()) > before

    def delivery(self, name: bytes) -> list[tuple[int, dict[str, str]]]:
        """Gives the status and fields that each way of following a feed is answered with."""
        etag = self.ask(b"/" + name).headers["etag"].encode()
        path = b"/" + name
        return [
            (answer.status, answer.headers)
            for answer in (
                self.ask(path + b".ws", *HANDSHAKE),
                self.ask(path, *HANDSHAKE),
                self.ask(path + b"/a", *HANDSHAKE),
                self.ask(path + b".sse"),
                self.ask(path + b".sse/a"),
                self.ask(path, b"Prefer: wait=9", b"If-None-Match: " + etag),
            )
        ]


class LimitTests(LimitTestCase):
    """The limit."""

    def test_one_too_many_is_told_to_come_back(self) -> None:
        """Whichever way, and the whole and its parts count together; another feed has its own limit."""
        self.assertEqual(self.ask(b"/feed.ws", *HANDSHAKE).status, 101)
        self.assertEqual(self.ask(b"/feed.sse/a").status, 200)
        for status, headers in self.delivery(b"feed"):
            if headers["content-type"] == "text/event-stream":
                # An EventSource would not come back after a 503.
                self.assertEqual(status, 200)
                continue
            self.assertEqual((status, headers["retry-after"]), (503, "10"))
            self.assertEqual(headers["content-type"], "application/problem+json")
        self.assertEqual(len(self.served.streams()), 1)
        self.assertEqual(self.ask(b"/feed").status, 200)
        self.assertEqual([status for status, _ in self.delivery(b"other")], [101, 101, 503, 200, 200, 503])
        self.assertEqual(self.other.streams(), [])

    def test_page_of_another_origin_may_read_why(self) -> None:
        """A page that may read the events may read the refusal, too."""
        self.served.max_subscribers = 1
        self.served.feed.subscribe(RecordingSubscriber())
        response = self.ask(b"/feed.sse", b"Origin: https://a.example")
        self.assertEqual((response.status, response.headers["access-control-allow-origin"]), (200, "https://a.example"))
        self.assertEqual(response.headers["vary"], "Origin")

    def test_whoever_leaves_makes_room(self) -> None:
        """One that waits does so when it is answered."""
        subscription = self.served.feed.subscribe(RecordingSubscriber())
        etag = self.ask(b"/feed").headers["etag"].encode()
        self.assertEqual(self.ask(b"/feed", b"Prefer: wait=9", b"If-None-Match: " + etag).status, 0)
        waiting = self.transport
        self.assertFalse(self.follows())
        publish(self.served.feed, b'{"a": 2}')
        self.assertTrue(waiting.value().startswith(b"HTTP/1.1 200 "))
        self.assertTrue(self.follows())
        self.assertFalse(self.follows())
        subscription.cancel()
        self.assertTrue(self.follows())

    def test_without_a_limit(self) -> None:
        """Zero is none."""
        self.served.max_subscribers = 0
        for _ in range(5):
            self.assertTrue(self.follows())


class CountTests(LimitTestCase):
    """The subscribers of a feed and its parts, by the way in which they follow."""

    def setUp(self) -> None:
        super().setUp()
        self.served.max_subscribers = 9
        etag = self.ask(b"/feed/a").headers["etag"].encode()
        self.ask(b"/feed.ws", *HANDSHAKE)
        self.assertTrue(self.follows())
        self.ask(b"/feed.sse/a")
        self.ask(b"/feed/a", b"Prefer: wait=9", b"If-None-Match: " + etag)

    def test_ways(self) -> None:
        """Whole and part count alike; those of another feed do not."""
        self.assertEqual(self.served.watchers(), {"websocket": 1, "events": 2, "waiting": 1})
        self.assertEqual(self.other.watchers(), {"websocket": 0, "events": 0, "waiting": 0})

    def test_places_of_a_worker(self) -> None:
        """They take the place of the limit."""
        for places, is_full in ((4, True), (5, False), (None, False)):
            self.served.places = places
            self.assertEqual(self.served.full(), is_full)

    def test_all_but_websockets_are_let_go(self) -> None:
        """Streams end and waiting requests are answered, of the part, too; no more are accepted."""
        waiting = self.transport
        self.served.let_go(ReconnectSlots())
        self.assertEqual(self.served.watchers(), {"websocket": 1, "events": 0, "waiting": 0})
        self.assertTrue(waiting.value().startswith(b"HTTP/1.1 304 "))
        self.assertFalse(self.follows())

    def test_feed_that_goes(self) -> None:
        """Nothing follows it any more."""
        self.served.close(ReconnectSlots())
        self.assertEqual((self.served.followers(), len(list(self.served))), (0, 1))


class ProtectedTests(LimitTestCase):
    """A feed that becomes protected."""

    def test_all_are_sent_away(self) -> None:
        """Its subscribers and those of its parts have to come back, and are judged then."""
        self.ask(b"/feed.sse/a")
        part = self.transport
        self.assertTrue(self.follows())
        protect(self.served, self.site)
        self.served.send_all_away(ReconnectSlots())
        self.assertEqual((part.disconnecting, self.transport.disconnecting), (True, True))
        self.assertEqual((self.ask(b"/feed").status, self.ask(b"/feed", AUTHORIZATION).status), (401, 200))
        self.assertEqual(self.served.followers(), 0)


class RoomTests(SynchronousTestCase):
    def test_websocket_makes_room(self) -> None:
        """The client that has all parts loses one of them; polls and the clients that follow are served."""
        clock = Clock()
        made = make_site(clock=clock)
        site, (served,) = made.site, made.published
        publish(served.feed, json.dumps(list(range(MAX_PARTS + 2))).encode())

        def connect(number: int, host: str, *fields: bytes) -> StringTransport:
            transport: Any = StringTransport(peerAddress=IPv4Address("TCP", host, 1))
            channel = site.buildProtocol(None)
            assert channel is not None
            transport.protocol = channel
            channel.makeConnection(transport)
            head = [b"GET /feed/%d HTTP/1.1" % number, b"Host: localhost", *fields, b"", b""]
            channel.dataReceived(b"\r\n".join(head))
            made: StringTransport = transport
            return made

        greedy = [connect(number, "192.0.2.1", *HANDSHAKE) for number in range(MAX_PARTS)]
        self.assertEqual(Response.parse(connect(MAX_PARTS, "192.0.2.2").value()).status, 200)
        before = [transport.value() for transport in greedy]
        newcomer = connect(MAX_PARTS, "192.0.2.2", *HANDSHAKE).value()
        self.assertTrue(newcomer.endswith(b"\x81\x03%d" % MAX_PARTS), newcomer)
        told = [transport.value()[len(start) :] for transport, start in zip(greedy, before, strict=True)]
        self.assertEqual(sum(map(bool, told)), 1)
        self.assertTrue(any(each.startswith(b"\x88") for each in told))
        self.assertEqual(Response.parse(connect(MAX_PARTS + 1, "192.0.2.1", *HANDSHAKE).value()).status, 503)
