"""The test doubles that other packages use."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import livefeed.testing
from livefeed.document.snapshot import Sequence, Snapshot
from livefeed.exceptions import ConfigurationError, SourceError
from livefeed.feed.feed import Feed
from livefeed.feed.state import State
from livefeed.testing import MAX_BYTES, MemorySource, RecordingSubscriber, Response, make_site, request
from tests.docs.blocks import docstring_blocks
from tests.helpers.threads import Threads

if TYPE_CHECKING:
    from livefeed.delivery.delivery import Delivery
    from livefeed.web.request import Request

HANDSHAKE = b"""GET /feed.ws HTTP/1.1
Connection: Upgrade
Upgrade: websocket
Sec-WebSocket-Version: 13
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="""


class DocumentationTests(SynchronousTestCase):
    def test_example(self) -> None:
        """The example of livefeed/testing.py works as it stands, with a source of the reader's."""
        (block,) = docstring_blocks(Path(livefeed.testing.__file__).read_text())
        names = {"make_site": make_site, "request": request, "Clock": Clock}
        exec(block.text, {**names, "MySource": lambda: MemorySource(deque([b'{"home": 1}', b'{"home": 2}']))})


class MemorySourceTests(SynchronousTestCase):
    def test_answers_in_order(self) -> None:
        """Documents, errors, and documents that arrive later; when all were given, pulls fail."""
        later: Deferred[bytes] = Deferred()
        source = MemorySource(deque([b"1", SourceError("away"), later]))
        source.watch(lambda: None)
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(source.fetch())), b"1")
        self.failureResultOf(Deferred.fromCoroutine(source.fetch()), SourceError)
        fetched = Deferred.fromCoroutine(source.fetch())
        self.assertNoResult(fetched)
        later.callback(b"2")
        self.assertEqual(self.successResultOf(fetched), b"2")
        self.failureResultOf(Deferred.fromCoroutine(source.fetch()), SourceError)

    def test_close(self) -> None:
        """It is written down; and log lines have a name for the source."""
        source = MemorySource()
        self.assertFalse(source.closed)
        source.close()
        self.assertTrue(source.closed)
        self.assertEqual(str(source), "memory:")


class RecordingSubscriberTests(SynchronousTestCase):
    def test_records(self) -> None:
        """The snapshots in order, and that the connection was ended."""
        subscriber, snapshot = RecordingSubscriber(), Snapshot.of(b"1", Sequence(1, 1))
        subscriber.send(snapshot)
        self.assertEqual((subscriber.snapshots, subscriber.dropped), ([snapshot], False))
        subscriber.drop()
        self.assertTrue(subscriber.dropped)


class ResponseTests(SynchronousTestCase):
    def test_parse(self) -> None:
        """Names in lower case, lines of the same name joined, the body to the byte."""
        response = Response.parse(b'HTTP/1.1 200 OK\r\nVary: a\r\nETag:  "x" \r\nVARY: b\r\n\r\n{}\r\n\r\n')
        self.assertEqual(response, Response(200, {"vary": "a, b", "etag": '"x"'}, b"{}\r\n\r\n"))


class MakeSiteTests(SynchronousTestCase):
    def get(self, path: bytes, *fields: bytes) -> Response:
        return request(self.made.site, b"\r\n".join([b"GET " + path + b" HTTP/1.1", *fields]))

    def test_one_feed(self) -> None:
        """The default is one feed with the name feed, which has no document yet."""
        self.made = make_site()
        self.assertEqual(self.get(b"/feed").status, 503)
        self.assertEqual(self.made.feed.name, "feed")
        self.assertEqual(self.made.published[0].feed, self.made.feed)
        self.assertIsInstance(self.made.feed.clock, Clock)
        self.assertEqual(self.made.pullers, {})

    def test_several_feeds(self) -> None:
        """Each has its paths; the list names them in their order."""
        self.made = make_site("one", "two")
        self.assertEqual([self.get(path).status for path in (b"/one", b"/two", b"/feed")], [503, 503, 404])
        listed = json.loads(self.get(b"/-/feeds.json").body)["feeds"]
        self.assertEqual([feed["name"] for feed in listed], ["one", "two"])

    def test_source(self) -> None:
        """It is pulled once the site has been started, then at each tick, until the site is stopped."""
        clock, source = Clock(), MemorySource(deque([b"1", SourceError("away"), b"2", b"3"]))
        self.made = make_site("one", "two", sources={"two": source}, clock=clock)
        self.assertEqual(self.get(b"/two").status, 503)
        self.made.start()
        self.assertEqual([self.get(path).status for path in (b"/one", b"/two")], [503, 200])
        self.assertEqual(self.get(b"/two").body, b"1")
        clock.advance(1)
        self.assertEqual(self.get(b"/two").headers["livefeed-state"], "stale")
        clock.advance(1)
        self.assertEqual(self.get(b"/two").body, b"2")
        self.made.stop()
        clock.advance(1)
        self.assertEqual((self.get(b"/two").body, source.closed, len(source.answers)), (b"2", True, 1))

    def test_largest_document(self) -> None:
        """Pullers refuse larger ones."""
        clock = Clock()
        source = MemorySource(deque([b'"%s"' % (b"x" * (MAX_BYTES - 2)), b'"%s"' % (b"x" * (MAX_BYTES - 1))]))
        self.made = make_site(sources={"feed": source}, clock=clock)
        self.made.start()
        self.addCleanup(self.made.stop)
        self.assertEqual(self.made.feed.state, State.LIVE)
        clock.advance(1)
        self.assertEqual(self.made.feed.state, State.STALE)

    def test_source_of_no_feed(self) -> None:
        """It is an error, which names the feed."""
        with self.assertRaisesRegex(ValueError, "does not have: other"):
            make_site("feed", sources={"other": MemorySource()})

    def test_feeds_that_were_made_before(self) -> None:
        """They keep their settings, and everything else takes their clock."""
        clock = Clock()
        clock.advance(1000)
        feed = Feed("scores", clock=clock, interval_s=5)
        self.made = make_site(feed, "other")
        self.assertIs(self.made.feed, feed)
        self.assertIs(self.made.published[1].feed.clock, clock)
        self.assertIs(self.made.site.reactor, clock)
        self.assertEqual(json.loads(self.get(b"/-/feeds.json").body)["feeds"][0]["interval_s"], 5)

    def test_answers_are_forgotten(self) -> None:
        """Old answers are not replayed after a change of a feed, as in the service."""
        self.made = make_site("one", "two")
        replay = self.made.site.replays[False]
        cleared: list[bool] = []
        self.patch(type(replay), "clear", lambda each: cleared.append(each is replay))
        for number, one in enumerate(self.made.published, 1):
            one.feed.mark_stale()
            self.assertEqual(cleared.count(True), number)

    def test_origins(self) -> None:
        """Only pages of these may read the feeds; without a word, all may."""
        for self.made, allowed in (
            (make_site(), "*"),
            (make_site(origins=["https://a.example"]), "https://a.example"),
        ):
            headers = self.get(b"/-/feeds.json", b"Origin: https://a.example").headers
            self.assertEqual(headers["access-control-allow-origin"], allowed)
        self.assertRaises(ConfigurationError, make_site, origins=["example"])

    def test_websocket(self) -> None:
        """A handshake is accepted, up to the limit, and the protocol is counted."""
        self.made = make_site(sources={"feed": MemorySource(deque([b"1"]))})
        self.made.published[0].max_subscribers = 1
        self.made.start()
        self.addCleanup(self.made.stop)
        self.assertEqual([request(self.made.site, HANDSHAKE).status for _ in range(2)], [101, 503])
        self.assertEqual(len(list(self.made.subscribers.protocols_open)), 1)

    def test_handshake_is_replaced(self) -> None:
        """The replacement gets the request and the delivery that the client wants to follow."""
        upgraded: list[Delivery] = []

        def upgrade(request: Request, delivery: Delivery) -> int:
            upgraded.append(delivery)
            request.setResponseCode(101)
            request.finish()
            return 1

        self.made = make_site(upgrade=upgrade)
        self.assertEqual(request(self.made.site, HANDSHAKE).status, 101)
        self.assertEqual(upgraded, [self.made.published[0].delivery])

    def test_threads(self) -> None:
        """Expensive work runs in the caller's thread function: there a large document becomes a snapshot."""
        threads = Threads()
        large = json.dumps(["x" * 100] * 5000).encode()
        self.made = make_site(sources={"feed": MemorySource(deque([large]))}, in_thread=threads.call)
        self.made.start()
        self.addCleanup(self.made.stop)
        self.assertEqual((self.get(b"/feed").status, len(threads.work)), (503, 1))
        threads.finish()
        self.assertEqual(self.get(b"/feed").body, large)


class RequestTests(SynchronousTestCase):
    def test_ends_of_lines(self) -> None:
        """LF or CRLF, with indentation or without."""
        made = make_site()
        for head in (b"GET /-/feeds.json HTTP/1.1", b"GET /-/feeds.json HTTP/1.1\r\nA: b\r\n", HANDSHAKE):
            self.assertNotEqual(request(made.site, head).status, 400)
        self.assertEqual(request(made.site, b"\n  GET /nothing HTTP/1.1\n  A: b\n").status, 404)
