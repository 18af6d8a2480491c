"""Parts of the document, followed like feeds of their own, in memory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from livefeed import pointer
from livefeed.feed import Feed
from livefeed.snapshot import version_of
from livefeed.testing import RecordingSubscriber, Response, request
from livefeed.web.origins import Origins
from livefeed.web.page import Root
from livefeed.web.parts import MAX_PARTS, UNUSED_S
from livefeed.web.served import Served
from livefeed.web.site import Request, Site

if TYPE_CHECKING:
    from livefeed.web.ways import Ways

NOW = 1_795_000_000.25
DOCUMENT = b'{"total": 1.50, "districts": [ {"votes": 10}, {"votes": 20.0} ], "a/b": {"": "c~d"}, "\xc3\xa4": true}'


class PartsTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.feed = Feed("feed", clock=self.clock)
        self.upgraded: list[Ways] = []
        self.served = Served(self.feed, Origins.parse("*"), self.upgrade)
        self.site = Site(Root([self.served]), reactor=self.clock)

    def upgrade(self, upgrading: Request, ways: Ways) -> int:
        """Takes the place of the WebSocket's handshake."""
        self.upgraded.append(ways)
        upgrading.setResponseCode(101)
        upgrading.finish()
        return 1

    def get(self, path: str, *fields: bytes) -> Response:
        return request(self.site, b"\n".join([b"GET %s HTTP/1.1" % path.encode(), *fields]))

    def publish(self, document: bytes) -> None:
        self.feed.publish(document)

    def follow(self, *tokens: str) -> RecordingSubscriber:
        """Subscribes to a part."""
        ways = self.served.parts.find([token.encode() for token in tokens])
        assert ways is not None
        subscriber = RecordingSubscriber()
        ways.feed.subscribe(subscriber)
        return subscriber


class PollingTests(PartsTestCase):
    def test_part_is_served_byte_for_byte(self) -> None:
        """As it stands in the document, with a version of its own."""
        self.publish(DOCUMENT)
        for path, expected in (
            ("/feed/total", b"1.50"),
            ("/feed/districts/1", b'{"votes": 20.0}'),
            ("/feed/districts/1/votes", b"20.0"),
            ("/feed/districts", b'[ {"votes": 10}, {"votes": 20.0} ]'),
            ("/feed/a%2Fb/", b'"c~d"'),
            ("/feed/a~1b/", b'"c~d"'),
            ("/feed/%C3%A4", b"true"),
        ):
            response = self.get(path)
            self.assertEqual((response.status, response.body), (200, expected), path)
            self.assertEqual(response.headers["etag"], f'"{version_of(expected)}"')
            self.assertEqual(response.headers["livefeed-sequence"], self.get("/feed").headers["livefeed-sequence"])

    def test_what_is_not_there_is_404(self) -> None:
        """Whatever the reason is."""
        self.publish(DOCUMENT)
        for path in (
            "/feed/nothing", "/feed/total/more", "/feed/districts/2", "/feed/districts/01", "/feed/districts/-",
            "/feed/", "/feed/%FF", "/feed/a~2b", "/feed/" + "a/" * 40, "/feed/" + "a" * 2000,
        ):  # fmt: skip
            self.assertEqual(self.get(path).status, 404, path)

    def test_before_the_first_document(self) -> None:
        """Nobody knows what there will be: above all, the whole is not followed in its place."""
        for path, *fields in (
            ("/feed/total",),
            ("/feed/total", b"Upgrade: websocket", b"Connection: Upgrade"),
            ("/feed.ws/total", b"Upgrade: websocket", b"Connection: Upgrade"),
        ):
            response = self.get(path, *fields)
            self.assertEqual((response.status, response.headers["retry-after"]), (503, "1"), path)
        for path, *fields in (("/feed.sse/total",), ("/feed/total", b"Accept: text/event-stream")):
            response = self.get(path, *fields)
            self.assertEqual((response.status, response.headers["livefeed-state"]), (200, "stale"), path)
            self.assertRegex(response.body, rb"\A[0-9a-f]+\r\nretry: [0-9]+\n\r\n0\r\n\r\n\Z")
        self.assertEqual((self.upgraded, self.served.streams()), ([], []))

    def test_websocket_follows_a_part_below_either_path(self) -> None:
        """/feed.ws/total is the part, as /feed/total is; one that is not there is 404."""
        self.publish(DOCUMENT)
        handshake = (b"Upgrade: websocket", b"Connection: Upgrade")
        for path in ("/feed/districts/0", "/feed.ws/districts/0"):
            self.assertEqual(self.get(path, *handshake).status, 101)
        self.assertEqual([ways.feed.name for ways in self.upgraded], ["feed/districts/0"] * 2)
        self.assertIs(*self.upgraded)
        for path in ("/feed.ws/nothing", "/feed.ws/districts/2", "/feed.ws/"):
            self.assertEqual(self.get(path, *handshake).status, 404, path)
        self.assertEqual(self.get("/feed.ws/total").status, 426)

    def test_other_forms(self) -> None:
        """Below the aliases there is the same."""
        self.publish(DOCUMENT)
        self.assertEqual(self.get("/feed.json/total").body, b"1.50")
        response = self.get("/feed/total", b"Accept: text/event-stream")
        self.assertEqual(response.headers["content-type"], "text/event-stream")
        self.assertIn(b"data: 1.50\n", response.body)
        self.assertEqual(self.get("/feed.sse/total").headers["content-type"], "text/event-stream")

    def test_part_that_did_not_change_is_304(self) -> None:
        """Though the document around it did."""
        self.publish(DOCUMENT)
        etag = self.get("/feed/total").headers["etag"].encode()
        self.publish(DOCUMENT.replace(b"10", b"11"))
        self.assertEqual(self.get("/feed/total", b"If-None-Match: " + etag).status, 304)
        self.publish(DOCUMENT.replace(b"1.50", b"1.5"))
        response = self.get("/feed/total", b"If-None-Match: " + etag)
        self.assertEqual((response.status, response.body), (200, b"1.5"))

    def test_patch_of_a_part(self) -> None:
        """It is a document like any other."""
        long = json.dumps(list(range(100))).encode()
        self.publish(b'{"a": %s}' % long)
        etag = self.get("/feed/a").headers["etag"].encode()
        self.publish(b'{"a": %s}' % long.replace(b"99", b"100"))
        response = self.get("/feed/a", b"A-IM: json-patch", b"If-None-Match: " + etag)
        self.assertEqual((response.status, json.loads(response.body)[0]["path"]), (226, "/99"))

    def test_websocket_of_a_part(self) -> None:
        """The handshake is told what is to be followed."""
        self.publish(DOCUMENT)
        self.get("/feed/total", b"Upgrade: websocket", b"Connection: Upgrade")
        (ways,) = self.upgraded
        assert ways.feed.snapshot is not None
        self.assertEqual(ways.feed.snapshot.data, b"1.50")
        self.assertIs(ways.envelopes.feed, ways.feed)

    def test_state_and_age_are_those_of_the_whole(self) -> None:
        """A part is no fresher than what it is part of."""
        self.publish(DOCUMENT)
        self.get("/feed/total")
        self.clock.advance(5)
        self.feed.mark_stale()
        for path in ("/feed/total", "/feed/districts"):
            response = self.get(path)
            self.assertEqual(response.headers["livefeed-state"], "stale", path)
            self.assertEqual(response.headers["livefeed-age"], "5", path)
        self.publish(DOCUMENT)
        self.assertEqual(self.get("/feed/total").headers["livefeed-age"], "0")


class FollowingTests(PartsTestCase):
    def test_watcher_of_a_part_is_told_of_its_changes_alone(self) -> None:
        """Neither of what changes elsewhere nor of ticks."""
        self.publish(DOCUMENT)
        watcher = self.follow("districts", "0")
        self.publish(DOCUMENT)
        self.publish(DOCUMENT.replace(b"20.0", b"21.0"))
        self.assertEqual([snapshot.data for snapshot in watcher.snapshots], [b'{"votes": 10}'])
        self.publish(DOCUMENT.replace(b"10", b"11"))
        self.assertEqual([snapshot.data for snapshot in watcher.snapshots], [b'{"votes": 10}', b'{"votes": 11}'])

    def test_long_poll_of_a_part(self) -> None:
        """It is answered when the part changes."""
        self.publish(DOCUMENT)
        etag = self.get("/feed/total").headers["etag"]
        transport = StringTransport()
        channel = self.site.buildProtocol(None)
        assert channel is not None
        channel.makeConnection(transport)
        head = f"GET /feed/total HTTP/1.1\r\nHost: a\r\nPrefer: wait=30\r\nIf-None-Match: {etag}\r\n\r\n"
        channel.dataReceived(head.encode())
        self.publish(DOCUMENT.replace(b"10", b"11"))
        self.assertEqual(transport.value(), b"")
        self.publish(DOCUMENT.replace(b"1.50", b"2.50"))
        self.assertTrue(transport.value().endswith(b"\r\n\r\n2.50"))

    def test_long_poll_of_a_part_that_goes(self) -> None:
        """It may come back while there is time; then it is not there."""
        self.publish(DOCUMENT)
        etag = self.get("/feed/total").headers["etag"]
        transport = StringTransport()
        channel = self.site.buildProtocol(None)
        assert channel is not None
        channel.makeConnection(transport)
        head = f"GET /feed/total HTTP/1.1\r\nHost: a\r\nPrefer: wait=30\r\nIf-None-Match: {etag}\r\n\r\n"
        channel.dataReceived(head.encode())
        self.publish(b'{"other": 1}')
        self.assertEqual(transport.value(), b"")
        self.clock.advance(30)
        self.assertEqual(Response.parse(transport.value()).status, 404)

    def test_part_that_goes_and_comes_back(self) -> None:
        """It is 404 meanwhile; its watchers hear of it when it is there again."""
        self.publish(DOCUMENT)
        watcher = self.follow("total")
        self.publish(b'{"other": 1}')
        self.assertEqual(self.get("/feed/total").status, 404)
        self.publish(b'{"total": 1.50}')
        self.assertEqual(self.get("/feed/total").status, 200)
        self.assertEqual([snapshot.data for snapshot in watcher.snapshots], [b"1.50", b"1.50"])

    def test_parts_that_nobody_uses_are_forgotten(self) -> None:
        """A while after the last question; those that are followed stay."""
        self.publish(DOCUMENT)
        self.follow("total")
        self.get("/feed/districts")
        self.clock.advance(UNUSED_S + 1)
        self.publish(DOCUMENT)
        self.assertEqual([ways.feed.name for ways in self.served.parts], ["feed/total"])

    def test_parts_are_limited(self) -> None:
        """Beyond, it is said when to come back, if all are followed; one that is not makes room."""
        self.publish(json.dumps(list(range(MAX_PARTS + 1))).encode())
        for number in range(MAX_PARTS):
            self.follow(str(number))
        response = self.get(f"/feed/{MAX_PARTS}")
        self.assertEqual((response.status, response.headers["retry-after"]), (503, "60"))
        response = self.get(f"/feed.ws/{MAX_PARTS}", b"Upgrade: websocket", b"Connection: Upgrade")
        self.assertEqual((response.status, response.headers["retry-after"]), (503, "60"))
        for path, accept in ((f"/feed.sse/{MAX_PARTS}", b"*/*"), (f"/feed/{MAX_PARTS}", b"text/event-stream")):
            response = self.get(path, b"Accept: " + accept)
            self.assertEqual((response.status, response.headers["content-type"]), (200, "text/event-stream"))
            self.assertIn(b"retry: ", response.body)
        self.assertEqual(self.get("/feed/0").status, 200)
        next(iter(next(iter(self.served.parts)).feed.subscriptions)).cancel()
        self.assertEqual(self.get(f"/feed/{MAX_PARTS}").status, 200)

    def test_whoever_asks_for_many_parts_keeps_nobody_out(self) -> None:
        """Those that were asked for last are looked after."""
        self.publish(json.dumps(list(range(2 * MAX_PARTS))).encode())
        follower = self.follow("1")
        for number in range(2 * MAX_PARTS):
            self.clock.advance(0.01)
            self.assertEqual(self.get(f"/feed/{number}").status, 200)
        self.assertEqual(sum(1 for _ in self.served.parts), MAX_PARTS)
        names = {ways.feed.name for ways in self.served.parts}
        self.assertIn("feed/1", names)
        self.assertIn(f"feed/{2 * MAX_PARTS - 1}", names)
        self.publish(json.dumps([-1, -1]).encode())
        self.assertEqual(follower.snapshots[-1].data, b"-1")

    def test_level_is_read_once_for_each_version(self) -> None:
        """However many parts are below it."""
        read: list[bytes] = []

        class Counting:
            def __init__(self, original: Any) -> None:
                self.original = original

            def decode(self, data: bytes) -> Any:
                read.append(data)
                return self.original.decode(data)

        self.patch(pointer, "_elements", Counting(pointer._elements))
        self.publish(json.dumps(list(range(50))).encode())
        for number in range(50):
            self.get(f"/feed/{number}")
        self.assertEqual(len(read), 1)
        self.publish(json.dumps(list(range(1, 51))).encode())
        self.assertEqual(len(read), 2)

    def test_everything_is_let_go_of(self) -> None:
        """The streams of parts, too, when livefeed stops."""
        self.publish(DOCUMENT)
        transport = StringTransport()
        channel = self.site.buildProtocol(None)
        assert channel is not None
        channel.makeConnection(transport)
        channel.dataReceived(b"GET /feed.sse/total HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(len(self.served.streams()), 1)
        self.served.let_go()
        self.assertTrue(transport.value().endswith(b"\r\n0\r\n\r\n"))
        self.assertTrue(transport.disconnecting)
