"""Streams of events that are refused, in memory: their clients come back, and not all at once."""

from __future__ import annotations

import heapq
import re

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from livefeed.delivery.published_feed import PublishedFeed
from livefeed.delivery.root import Root
from livefeed.delivery.websocket.handshake import Handshakes
from livefeed.delivery.websocket.protocol import SubscriberFactory
from livefeed.feed.feed import Feed
from livefeed.process.drain import DRAIN_S
from livefeed.testing import RecordingSubscriber, Response, publish
from livefeed.web.cors import Origins
from livefeed.web.refusals import MAX_RETRY_S, RETRY_S, RETURNS_PER_S, Refusals
from livefeed.web.site import Site

START_S = 2
"""How long livefeed takes to start, as it is written in docs/operations.md."""

REFUSED = re.compile(rb"\Aretry: ([0-9]{4,5})\n\Z")
CHUNKED = re.compile(rb"\A[0-9a-f]+\r\n(retry: [0-9]{4,5}\n)\r\n0\r\n\r\n\Z")
CLIENTS = 20_000


class FullTransport(StringTransport):
    """A transport that keeps the time, on a connection beyond the limit."""

    over_capacity = True

    def set_deadline(self, seconds: float | None) -> None:
        """Nothing times out here."""


class ScheduleTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.refusals = Refusals(self.clock)

    def test_shortest_is_longer_than_a_restart(self) -> None:
        """Or clients would find nobody there, and some proxies' errors are the end."""
        self.assertGreater(RETRY_S[0], DRAIN_S + START_S)
        for _ in range(100):
            self.assertGreaterEqual(self.refusals.next_retry_ms(), 1000 * RETRY_S[0])

    def test_a_few_come_back_soon_and_not_together(self) -> None:
        """As the clients of any stream that ends."""
        told = [self.refusals.next_retry_ms() for _ in range(50)]
        self.assertLess(max(told), 1100 * RETRY_S[1])
        self.assertGreater(len(set(told)), 25)
        # Also those that the schedule has come back at the same moment.
        told = [Refusals(self.clock).next_retry_ms() for _ in range(200)]
        self.assertGreater(len(set(told)), 100)
        self.assertTrue(1000 * RETRY_S[0] <= min(told) <= max(told) < 1010 * RETRY_S[1])
        self.assertGreater(max(told) - min(told), 500 * (RETRY_S[1] - RETRY_S[0]))

    def test_it_grows_with_their_number_and_has_an_end(self) -> None:
        """And is short again when they have come back."""
        told = [self.refusals.next_retry_ms() for _ in range(CLIENTS)]
        means = [sum(told[start : start + 1000]) / 1000 for start in range(0, 12_000, 1000)]
        self.assertEqual(means, sorted(means))
        self.assertGreater(means[-1], 4 * means[0])
        self.assertLessEqual(max(told), 1000 * MAX_RETRY_S)
        self.assertGreater(len(set(told[-1000:])), 500)
        self.clock.advance(MAX_RETRY_S)
        self.assertLess(self.refusals.next_retry_ms(), 1100 * RETRY_S[1])

    def test_a_crowd_is_no_storm(self) -> None:
        """All come at once, are refused, and come back again and again: not many of them in any second."""
        due = [1000.0] * CLIENTS
        returns: dict[int, int] = {}
        while due[0] < 1300:
            at = heapq.heappop(due)
            self.clock.advance(max(0.0, at - self.clock.seconds()))
            returns[int(at)] = returns.get(int(at), 0) + 1
            heapq.heappush(due, at + self.refusals.next_retry_ms() / 1000)
        self.assertEqual(returns.pop(1000), CLIENTS)
        self.assertLess(max(returns.values()), 3 * RETURNS_PER_S)
        # Everybody is still there: each comes once a minute at least.
        self.assertGreaterEqual(sum(returns.values()), CLIENTS * 4)


class AnswerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        handshakes = Handshakes(SubscriberFactory(reactor=self.clock), Origins.parse(["*"]))
        self.served = PublishedFeed(Feed("feed", clock=self.clock), handshakes.origins, handshakes.upgrade, 1)
        self.site = Site(Root([self.served]), reactor=self.clock)
        publish(self.served.feed, b'{"a": 1}')
        self.connect()

    def connect(self, *, over_capacity: bool = False) -> None:
        self.transport = FullTransport() if over_capacity else StringTransport()
        self.channel = self.site.buildProtocol(None)
        assert self.channel is not None
        self.channel.makeConnection(self.transport)

    def send(self, path: bytes, *fields: bytes, method: bytes = b"GET", version: bytes = b"HTTP/1.1") -> Response:
        self.transport.clear()
        assert self.channel is not None
        self.channel.dataReceived(b"\r\n".join([b"%s %s %s" % (method, path, version), b"Host: a", *fields, b"", b""]))
        return Response.parse(self.transport.value())

    def fill(self) -> None:
        self.served.feed.subscribe(RecordingSubscriber())

    def test_connection_stays_open(self) -> None:
        """The answer ends with its last chunk, and the next request is answered on the same connection."""
        self.fill()
        for path, accept in ((b"/feed.sse", b"*/*"), (b"/feed", b"text/event-stream"), (b"/feed.sse/a", b"*/*")):
            response = self.send(path, b"Accept: " + accept, b"Origin: https://a.example")
            self.assertEqual(response.status, 200)
            expected = {
                "content-type": "text/event-stream",
                "cache-control": "no-store, no-transform",
                "transfer-encoding": "chunked",
                "access-control-allow-origin": "*",
                "x-accel-buffering": "no",
            }
            self.assertEqual({name: response.headers.get(name) for name in expected}, expected)
            self.assertNotIn("connection", response.headers)
            self.assertRegex(response.body, CHUNKED)
            self.assertFalse(self.transport.disconnecting)
        self.assertEqual(self.send(b"/feed").body, b'{"a": 1}')
        self.assertEqual(self.served.streams(), [])

    def test_http_1_0_is_told_the_length(self) -> None:
        """It knows no chunks."""
        self.fill()
        response = self.send(b"/feed.sse", version=b"HTTP/1.0")
        self.assertEqual(int(response.headers["content-length"]), len(response.body))
        self.assertRegex(response.body, REFUSED)
        self.assertNotIn("transfer-encoding", response.headers)

    def test_head_is_the_head_alone(self) -> None:
        """And the connection stays open as well."""
        self.fill()
        response = self.send(b"/feed.sse", method=b"HEAD")
        self.assertEqual(
            (response.status, response.headers["content-type"], response.body), (200, "text/event-stream", b"")
        )
        self.assertEqual(self.send(b"/feed").body, b'{"a": 1}')

    def test_refusals_count_as_such(self) -> None:
        """As 503, though 200 is sent: an alarm must not miss them."""
        self.fill()
        for _ in range(3):
            self.send(b"/feed.sse")
        self.send(b"/feed")
        self.assertEqual(self.site.counts(), {(503, "http", "identity"): 3, (200, "http", "identity"): 1})

    def test_part_that_is_not_there_is_404(self) -> None:
        """Nobody should come back for it, whether there is room or not."""
        for _ in range(2):
            self.assertEqual(self.send(b"/feed.sse/nothing").status, 404)
            self.fill()

    def test_too_many_connections(self) -> None:
        """Events are refused so that pages come back, also those of another origin; the place is free at once."""
        for path, *fields in (
            (b"/feed.sse",),
            (b"/feed.sse/a",),
            (b"/feed.sse?x",),
            (b"http://a/feed.sse",),
            (b"/feed", b"Accept: text/event-stream"),
        ):
            self.connect(over_capacity=True)
            response = self.send(path, *fields)
            self.assertEqual((response.status, response.headers["content-type"]), (200, "text/event-stream"), path)
            self.assertEqual(
                (response.headers["connection"], response.headers["access-control-allow-origin"]), ("close", "*")
            )
            self.assertRegex(response.body, CHUNKED)
            self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.served.streams(), [])
        self.assertEqual(self.site.counts(), {(503, "http", "identity"): 5})

    def test_too_many_connections_for_all_others(self) -> None:
        """What can take nobody's place for long is all that is let through."""
        upgrade = (b"Upgrade: websocket", b"Connection: Upgrade", b"Accept: text/event-stream")
        for path, *fields in (
            (b"/feed",),
            (b"/feed", *upgrade),
            (b"/feed.ws", *upgrade),
            (b"/feed.json", b"Accept: text/event-stream", b"Prefer: wait=9", b"If-None-Match: *"),
            (b"/feed/x.sse",),
            (b"/feed?/a.sse",),
            (b"/feed", b"Accept: text/event-stream;q=0"),
        ):
            self.connect(over_capacity=True)
            response = self.send(path, *fields)
            self.assertEqual((response.status, response.headers.get("retry-after")), (503, "5"), (path, fields))
            self.assertEqual(response.headers["connection"], "close")
