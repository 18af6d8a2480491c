"""Streams of events that are refused, in memory: their clients come back, and not all at once."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from livefeed.testing import RecordingSubscriber, Response, make_site, publish
from livefeed.web.problems import COME_BACK
from livefeed.web.refusals import refuse_events

REFUSED = re.compile(rb"\Aretry: ([0-9]{4,5})\n: see /-/problems/[a-z-]+\n\Z")
CHUNKED = re.compile(rb"\A[0-9a-f]+\r\n(retry: [0-9]{4,5}\n: see /-/problems/[a-z-]+\n)\r\n0\r\n\r\n\Z")


class FullTransport(StringTransport):
    """A transport that keeps the time, on a connection beyond the limit."""

    over_capacity = True

    def set_deadline(self, seconds: float | None) -> None:
        """Nothing times out here."""


class AnswerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        made = make_site(clock=self.clock)
        self.site, (self.served,) = made.site, made.published
        self.served.max_subscribers = 1
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
            self.assertIn(b": see /-/problems/too-many-subscribers\n", response.body)
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

    def test_delay_of_its_own(self) -> None:
        """The next slot of refused clients stays free."""

        class Refusing(Resource):
            isLeaf = True

            def render(self, request: Any) -> int:
                return refuse_events(request, COME_BACK, [(b"X-Field", b"x")], 123_456)

        root: Any = self.site.resource
        root.putChild(b"refusing", Refusing())
        self.patch(self.site, "refusal_slots", None)
        response = self.send(b"/refusing")
        self.assertEqual(response.headers["x-field"], "x")
        body = b"retry: 123456\n: see /-/problems/come-back\n"
        self.assertEqual(response.body, b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))

    def test_head_is_the_head_alone(self) -> None:
        """HEAD gets the same head without content, and the connection stays open as well."""
        self.fill()
        response = self.send(b"/feed.sse", method=b"HEAD")
        self.assertEqual(
            (response.status, response.headers["content-type"], response.body), (200, "text/event-stream", b"")
        )
        self.assertEqual(self.send(b"/feed").body, b'{"a": 1}')

    def test_refusals_count_as_such(self) -> None:
        """A refusal counts as 503, though 200 is sent: an alarm must not miss it."""
        self.fill()
        for _ in range(3):
            self.send(b"/feed.sse")
        self.send(b"/feed")
        self.assertEqual(self.site.counts(), {(503, "http", "identity"): 3, (200, "http", "identity"): 1})

    def test_part_that_is_not_there_is_404(self) -> None:
        """The 404 tells clients not to return, whether there is room or not."""
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
            self.assertIn(b": see /-/problems/too-many-connections\n", response.body)
            self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.served.streams(), [])
        self.assertEqual(self.site.counts(), {(503, "http", "identity"): 5})

    def test_too_many_connections_for_all_others(self) -> None:
        """Above capacity, only requests that cannot hold a connection for long are let through."""
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
