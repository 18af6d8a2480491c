"""Parts of the document, each followed as a feed of its own, in memory."""

from __future__ import annotations

import gc
import gzip
import json
import re
import weakref
from typing import TYPE_CHECKING, Any
from unittest import mock

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from websockets.frames import Opcode

from livefeed.delivery.websocket.handshake import DELTA
from livefeed.document import pointer, snapshot
from livefeed.document.codings import SMALL_BYTES
from livefeed.document.history import History
from livefeed.document.snapshot import Snapshot, version_of
from livefeed.document.timestamps import timestamp
from livefeed.feed.feed import Feed
from livefeed.feed.parts import MAX_PARTS, SLICE_S, UNUSED_S, TooManyPartsError
from livefeed.feed.state import State
from livefeed.testing import RecordingSubscriber, Response, make_site, publish, request
from livefeed.web.reconnect_slots import ReconnectSlots
from tests.helpers.threads import Threads, no_thread

if TYPE_CHECKING:
    from livefeed.delivery.delivery import Delivery
    from livefeed.web.request import Request

NOW = 1_795_000_000.25
DOCUMENT = b'{"total": 1.50, "districts": [ {"votes": 10}, {"votes": 20.0} ], "a/b": {"": "c~d"}, "\xc3\xa4": true}'


class Transport(StringTransport):
    """A transport that, like the real ones, accepts a producer that is unregistered twice."""

    def unregisterProducer(self) -> None:
        self.producer = None


class PartsTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.feed = Feed("feed", clock=self.clock)
        self.upgraded: list[Delivery] = []
        self.threads = Threads()
        made = make_site(self.feed, in_thread=self.threads.call, upgrade=self.upgrade)
        self.site, (self.served,) = made.site, made.published

    def upgrade(self, upgrading: Request, delivery: Delivery) -> int:
        """Takes the place of the WebSocket's handshake."""
        self.upgraded.append(delivery)
        upgrading.setResponseCode(101)
        upgrading.finish()
        return 1

    def finish(self) -> None:
        """Has the only thread end its work."""
        self.threads.finish()
        self.clock.advance(0)

    def get(self, path: str, *fields: bytes) -> Response:
        return request(self.site, b"\n".join([b"GET %s HTTP/1.1" % path.encode(), *fields]))

    def publish(self, document: bytes) -> None:
        publish(self.feed, document)

    def follow(self, *tokens: str, peer: str = "") -> RecordingSubscriber:
        """Subscribes to a part."""
        delivery = self.served.parts.find([token.encode() for token in tokens], peer)
        assert delivery is not None
        subscriber = RecordingSubscriber()
        delivery.feed.subscribe(subscriber)
        return subscriber


class PollingTests(PartsTestCase):
    def test_part_is_served_byte_for_byte(self) -> None:
        """It has the bytes of the document, and a version of its own."""
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
        """There are several reasons."""
        self.publish(DOCUMENT)
        for path in (
            "/feed/nothing", "/feed/total/more", "/feed/districts/2", "/feed/districts/01", "/feed/districts/-",
            "/feed/", "/feed/%FF", "/feed/a~2b", "/feed/" + "a/" * 40, "/feed/" + "a" * 2000,
        ):  # fmt: skip
            self.assertEqual(self.get(path).status, 404, path)

    def test_before_the_first_document(self) -> None:
        """It is unknown which parts there will be; above all, the whole is not followed in their place."""
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
            self.assertRegex(
                response.body, rb"\A[0-9a-f]+\r\nretry: [0-9]+\n: see /-/problems/no-version-yet\n\r\n0\r\n\r\n\Z"
            )
        self.assertEqual((self.upgraded, self.served.streams()), ([], []))

    def test_websocket_follows_a_part_below_either_path(self) -> None:
        """/feed.ws/total is the part, as /feed/total is; one that is not there is 404."""
        self.publish(DOCUMENT)
        handshake = (b"Upgrade: websocket", b"Connection: Upgrade")
        for path in ("/feed/districts/0", "/feed.ws/districts/0"):
            self.assertEqual(self.get(path, *handshake).status, 101)
        self.assertEqual([delivery.feed.name for delivery in self.upgraded], ["feed/districts/0"] * 2)
        self.assertIs(*self.upgraded)
        for path in ("/feed.ws/nothing", "/feed.ws/districts/2", "/feed.ws/"):
            self.assertEqual(self.get(path, *handshake).status, 404, path)
        self.assertEqual(self.get("/feed.ws/total").status, 426)

    def test_other_forms(self) -> None:
        """The aliases have the same parts."""
        self.publish(DOCUMENT)
        self.assertEqual(self.get("/feed.json/total").body, b"1.50")
        response = self.get("/feed/total", b"Accept: text/event-stream")
        self.assertEqual(response.headers["content-type"], "text/event-stream")
        self.assertIn(b"data: 1.50\n", response.body)
        self.assertEqual(self.get("/feed.sse/total").headers["content-type"], "text/event-stream")

    def test_part_that_did_not_change_is_304(self) -> None:
        """Although the document around it has changed."""
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
        """The handshake receives the part."""
        self.publish(DOCUMENT)
        self.get("/feed/total", b"Upgrade: websocket", b"Connection: Upgrade")
        (delivery,) = self.upgraded
        assert delivery.feed.snapshot is not None
        self.assertEqual(delivery.feed.snapshot.data, b"1.50")
        self.assertIs(delivery.messages.feed, delivery.feed)

    def test_state_and_age_are_those_of_the_whole(self) -> None:
        """A part is as old as its whole."""
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
    def test_wall_clock_is_set(self) -> None:
        """A part goes by the same clocks as the whole: it is as old, and displays the same time."""
        wall = Clock()
        wall.advance(7000)
        self.feed.wall = wall.seconds
        self.publish(DOCUMENT)
        self.get("/feed/total")
        for clock in (self.clock, wall):
            clock.advance(5)
        wall.rightNow -= 3600
        for path in ("/feed", "/feed/total"):
            headers = self.get(path).headers
            self.assertEqual((headers["livefeed-age"], headers["livefeed-at"]), ("5", timestamp(7000 - 3600)), path)

    def test_watcher_of_a_part_is_told_of_its_changes_alone(self) -> None:
        """It is told neither of changes elsewhere nor of ticks."""
        self.publish(DOCUMENT)
        watcher = self.follow("districts", "0")
        self.publish(DOCUMENT)
        self.publish(DOCUMENT.replace(b"20.0", b"21.0"))
        self.assertEqual([snapshot.data for snapshot in watcher.snapshots], [b'{"votes": 10}'])
        self.publish(DOCUMENT.replace(b"10", b"11"))
        self.assertEqual([snapshot.data for snapshot in watcher.snapshots], [b'{"votes": 10}', b'{"votes": 11}'])

    def wait_for_total(self) -> StringTransport:
        """Begins a long poll of the part ``total``, and gives the transport on which it is answered."""
        etag = self.get("/feed/total").headers["etag"]
        transport = StringTransport()
        channel = self.site.buildProtocol(None)
        assert channel is not None
        channel.makeConnection(transport)
        head = f"GET /feed/total HTTP/1.1\r\nHost: a\r\nPrefer: wait=30\r\nIf-None-Match: {etag}\r\n\r\n"
        channel.dataReceived(head.encode())
        return transport

    def test_long_poll_of_a_part(self) -> None:
        """It is answered when the part changes."""
        self.publish(DOCUMENT)
        transport = self.wait_for_total()
        self.publish(DOCUMENT.replace(b"10", b"11"))
        self.assertEqual(transport.value(), b"")
        self.publish(DOCUMENT.replace(b"1.50", b"2.50"))
        self.assertTrue(transport.value().endswith(b"\r\n\r\n2.50"))

    def test_long_poll_of_a_part_that_goes(self) -> None:
        """It may come back in time; after that it is missing."""
        self.publish(DOCUMENT)
        transport = self.wait_for_total()
        self.publish(b'{"other": 1}')
        self.assertEqual(transport.value(), b"")
        self.clock.advance(30)
        self.assertEqual(Response.parse(transport.value()).status, 404)

    def test_part_that_goes_and_comes_back(self) -> None:
        """It is 404 meanwhile; its watchers are sent it when it is back."""
        self.publish(DOCUMENT)
        watcher = self.follow("total")
        self.publish(b'{"other": 1}')
        self.assertEqual(self.get("/feed/total").status, 404)
        self.publish(b'{"total": 1.50}')
        self.assertEqual(self.get("/feed/total").status, 200)
        self.assertEqual([snapshot.data for snapshot in watcher.snapshots], [b"1.50", b"1.50"])

    def follow_in_all_ways(self, path: str) -> dict[str, Transport]:
        """Follows a part by events and by WebSocket, plain and by delta."""
        handshake = (
            "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        )  # fmt: skip
        delivery = {
            "events": ("/feed.sse" + path, ()),
            "messages on events": ("/feed.sse" + path + "?delta=1", ()),
            "WebSocket": ("/feed.ws" + path, handshake),
            "messages": ("/feed.ws" + path, (*handshake, "Sec-WebSocket-Protocol: " + DELTA)),
        }
        transports = {}
        for way, (target, fields) in delivery.items():
            transport = transports[way] = Transport()
            channel = self.site.buildProtocol(None)
            assert channel is not None
            channel.makeConnection(transport)
            channel.dataReceived("\r\n".join([f"GET {target} HTTP/1.1", "Host: a", *fields, "", ""]).encode())
        return transports

    def test_state_of_a_part_that_is_gone(self) -> None:
        """Its followers are told on all four transports, although they are sent no document."""
        made = make_site(self.feed)
        self.site, (self.served,) = made.site, made.published
        self.feed.gone_after_s = 4
        self.publish(b'{"rows": ["a", "b"]}')
        clients = self.follow_in_all_ways("/rows/1")

        def received() -> dict[str, bytes]:
            told = {way: transport.value() for way, transport in clients.items()}
            for transport in clients.values():
                transport.clear()
            return told

        self.assertEqual([way for way, data in received().items() if b'"b"' not in data], [])
        nothing = dict.fromkeys(clients, b"")
        self.clock.advance(1)
        self.publish(b'{"rows": ["a"]}')
        # Only clients of messages are called when it vanishes, and are told that nothing is new.
        told = received()
        for way in ("messages", "messages on events"):
            self.assertIn(b'"type":"heartbeat"', told.pop(way))
        self.assertEqual({*told.values()}, {b""})
        at = timestamp(NOW).encode()
        for state, tell in ((b"stale", self.feed.mark_stale), (b"live", lambda: self.publish(b'{"rows": ["c"]}'))):
            tell()
            told = received()
            self.assertEqual(told.pop("WebSocket"), b"")
            for way, data in told.items():
                # Its time is that of its last confirmation.
                self.assertEqual(data.count(state), 1, way)
                self.assertIn(at, data, way)
                self.assertNotIn(b'"b"', data, way)
        self.clock.advance(2)
        self.publish(b'{"rows": []}')
        self.assertEqual(received(), nothing)
        self.feed.mark_stale()
        self.clock.advance(4)
        self.assertEqual(self.get("/feed").status, 410)
        self.assertEqual(self.get("/feed/rows/1").status, 404)
        told = received()
        self.assertEqual(told.pop("WebSocket")[:1], bytes([0x80 | Opcode.CLOSE]))
        for way, data in told.items():
            self.assertEqual(re.findall(rb'"state": ?"(\w+)"', data), [b"stale", b"expired"], way)
        # The part must not be shown until it returns, for any state of the whole document.
        self.publish(b'{"rows": ["a"]}')
        self.feed.mark_stale()
        self.assertEqual(received(), nothing)
        self.publish(b'{"rows": ["a", "b"]}')
        told = received()
        self.assertEqual(told.pop("WebSocket"), b"")
        for way, data in told.items():
            self.assertIn(b'"b"', data, way)
            self.assertEqual(re.findall(rb'"state": ?"(\w+)"', data), [b"live"], way)

    def test_decision_about_a_part(self) -> None:
        """The followers of a part are told a decision about the whole on all transports, and none of them twice."""
        made = make_site(self.feed)
        self.site, (self.served,) = made.site, made.published
        self.publish(b'{"rows": ["a"]}')
        clients = self.follow_in_all_ways("/rows/0")
        told: dict[str, list[bytes]] = {way: [] for way in clients}
        for decision in (State.HELD, State.ENDED, State.WITHDRAWN):
            for transport in clients.values():
                transport.clear()
            self.feed.decide(decision)
            self.publish(b'{"rows": ["a"]}')
            for way, transport in clients.items():
                told[way] += re.findall(rb'"state": ?"(\w+)"', transport.value())
        closed = clients.pop("WebSocket")
        self.assertEqual((closed.value()[:1], told.pop("WebSocket")), (bytes([0x80 | Opcode.CLOSE]), []))
        self.assertEqual(told, {way: [b"held", b"ended", b"withdrawn"] for way in clients})
        for transport in clients.values():
            transport.clear()
        self.feed.decide(None)
        for way, transport in clients.items():
            self.assertIn(b'"a"', transport.value(), way)
            self.assertEqual(re.findall(rb'"state": ?"(\w+)"', transport.value()), [b"live"], way)

    def test_part_that_breaks_is_stale_until_the_next_tick(self) -> None:
        """Its followers are told, and are sent the missed version afterwards."""
        self.publish(DOCUMENT)
        delivery = self.served.parts.find([b"total"])
        assert delivery is not None
        watcher = RecordingSubscriber()
        delivery.feed.subscribe(watcher, with_state=True)
        add = History.add

        def break_down(history: History, snapshot: Snapshot) -> None:
            if history is delivery.feed.history:
                raise MemoryError
            add(history, snapshot)

        with mock.patch.object(History, "add", break_down):
            self.publish(b'{"total": 3}')
        self.assertEqual(len(self.flushLoggedErrors(MemoryError)), 1)
        self.assertEqual(delivery.feed.state, State.STALE)
        told = len(watcher.snapshots)
        self.publish(b'{"total": 3}')
        self.assertEqual(delivery.feed.state, State.LIVE)
        self.assertEqual([snapshot.data for snapshot in watcher.snapshots[told:]], [b"3"])
        self.assertEqual(told, 2)

    def test_parts_that_nobody_uses_are_forgotten(self) -> None:
        """It is forgotten some time after its last request; followed parts stay."""
        self.publish(DOCUMENT)
        self.follow("total")
        self.get("/feed/districts")
        self.clock.advance(UNUSED_S + 1)
        self.publish(DOCUMENT)
        self.assertEqual([delivery.feed.name for delivery in self.served.parts], ["feed/total"])

    def test_parts_are_limited(self) -> None:
        """Beyond the limit, an unfollowed part makes room; if all are followed, clients are told when to come back."""
        self.publish(json.dumps(list(range(MAX_PARTS + 1))).encode())
        for number in range(MAX_PARTS):
            self.follow(str(number), peer="192.168.1.1")  # where those of get() come from
        path, upgrade = f"/feed/{MAX_PARTS}", (b"Upgrade: websocket", b"Connection: Upgrade")
        for each, fields in ((path, (b"Prefer: wait=9",)), (path, upgrade), (f"/feed.ws/{MAX_PARTS}", upgrade)):
            response = self.get(each, *fields)
            self.assertEqual((response.status, response.headers["retry-after"]), (503, "60"))
        for each, accept in ((f"/feed.sse/{MAX_PARTS}", b"*/*"), (path, b"text/event-stream")):
            response = self.get(each, b"Accept: " + accept)
            self.assertEqual((response.status, response.headers["content-type"]), (200, "text/event-stream"))
            self.assertIn(b"retry: ", response.body)
        self.assertEqual(self.get("/feed/0").status, 200)
        next(iter(next(iter(self.served.parts)).feed.subscriptions)).cancel()
        self.assertEqual(self.get(path, *upgrade).status, 101)

    def test_poll_needs_no_room(self) -> None:
        """If all parts are followed, a request for another one is answered in each coding. That part is not kept."""
        self.publish(json.dumps([*range(MAX_PARTS), "x" * 1000]).encode())
        for number in range(MAX_PARTS):
            self.follow(str(number))
        response = self.get(f"/feed/{MAX_PARTS}", b"Accept-Encoding: gzip")
        self.assertEqual((response.status, gzip.decompress(response.body)), (200, b'"%s"' % (b"x" * 1000)))
        etag = response.headers["etag"].encode()
        self.assertEqual(self.get(f"/feed/{MAX_PARTS}", b"If-None-Match: " + etag).status, 304)
        self.assertEqual(sum(1 for _ in self.served.parts), MAX_PARTS)
        self.assertNotIn(f"feed/{MAX_PARTS}", [delivery.feed.name for delivery in self.served.parts])

    def test_part_that_is_only_answered_leaves_nothing(self) -> None:
        """There is no cycle of references, which only the collector would free."""
        self.publish(json.dumps([*range(MAX_PARTS), "x" * 1000]).encode())
        for number in range(MAX_PARTS):
            self.follow(str(number))
        delivery = self.served.parts.find([b"%d" % MAX_PARTS])
        assert delivery is not None
        gc.disable()
        self.addCleanup(gc.enable)
        kept = weakref.ref(delivery.messages)
        del delivery
        self.assertIsNone(kept())

    def stream(self, number: int, host: str) -> StringTransport:
        """Follows a part by events, from an address."""
        transport = StringTransport(peerAddress=IPv4Address("TCP", host, 1))
        if ":" in host:
            transport = StringTransport(peerAddress=IPv6Address("TCP", host, 1))
        channel = self.site.buildProtocol(None)
        assert channel is not None
        channel.makeConnection(transport)
        channel.dataReceived(b"GET /feed.sse/%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
        return transport

    def test_client_that_holds_many_parts_makes_room(self) -> None:
        """A stream of a part that no other client follows ends, even if the client has many IPv6 addresses."""
        self.publish(json.dumps(list(range(MAX_PARTS + 3))).encode())
        greedy = [self.stream(number, f"2001:db8::{number:x}") for number in range(MAX_PARTS)]
        also = self.stream(0, "192.0.2.1")
        newcomer = self.stream(MAX_PARTS, "192.0.2.2")
        self.assertIn(b"data: %d\n" % MAX_PARTS, newcomer.value())
        ended = [number for number, transport in enumerate(greedy) if transport.disconnecting]
        self.assertEqual((len(ended), also.disconnecting, newcomer.disconnecting), (1, False, False))
        self.assertNotIn(0, ended)
        self.publish(json.dumps([-1] * (MAX_PARTS + 3)).encode())
        for transport in (greedy[0], also, newcomer):
            self.assertIn(b"data: -1\n", transport.value())

    def test_room_is_shared_evenly(self) -> None:
        """A client that would have as many parts as any other one causes no eviction."""
        self.publish(json.dumps(list(range(MAX_PARTS + 300))).encode())
        half = MAX_PARTS // 2
        first = [self.stream(number, "192.0.2.1") for number in range(half + 1)]
        second = [self.stream(half + 1 + number, "192.0.2.2") for number in range(half - 1)]
        self.assertIn(b"retry: ", self.stream(MAX_PARTS, "192.0.2.1").value())
        self.assertTrue(self.stream(MAX_PARTS, "192.0.2.1").value().endswith(b"\r\n0\r\n\r\n"))
        self.assertIn(b"data: ", self.stream(MAX_PARTS, "192.0.2.3").value())
        self.assertTrue(self.stream(MAX_PARTS + 1, "192.0.2.2").value().endswith(b"\r\n0\r\n\r\n"))
        self.assertEqual([sum(each.disconnecting for each in streams) for streams in (first, second)], [1, 0])

    def test_whoever_asks_for_many_parts_keeps_nobody_out(self) -> None:
        """The parts that were requested last are kept."""
        self.publish(json.dumps(list(range(2 * MAX_PARTS))).encode())
        follower = self.follow("1")
        for number in range(2 * MAX_PARTS):
            self.clock.advance(0.01)
            self.assertEqual(self.get(f"/feed/{number}").status, 200)
        self.assertEqual(sum(1 for _ in self.served.parts), MAX_PARTS)
        names = {delivery.feed.name for delivery in self.served.parts}
        self.assertIn("feed/1", names)
        self.assertIn(f"feed/{2 * MAX_PARTS - 1}", names)
        self.publish(json.dumps([-1, -1]).encode())
        self.assertEqual(follower.snapshots[-1].data, b"-1")

    def test_level_is_read_once_for_each_version(self) -> None:
        """The level is read once for any number of parts below it."""
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
        self.assertEqual(len(read), 1)
        for number in range(50):
            self.get(f"/feed/{number}")
        self.assertEqual(len(read), 2)

    def test_everything_is_let_go_of(self) -> None:
        """The streams of parts end when livefeed stops."""
        self.publish(DOCUMENT)
        transport = StringTransport()
        channel = self.site.buildProtocol(None)
        assert channel is not None
        channel.makeConnection(transport)
        channel.dataReceived(b"GET /feed.sse/total HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(len(self.served.streams()), 1)
        self.served.let_go(ReconnectSlots())
        self.assertTrue(transport.value().endswith(b"\r\n0\r\n\r\n"))
        self.assertTrue(transport.disconnecting)

    def test_closed(self) -> None:
        """No part is left, none begins, and none is updated any more, not even those whose turn was to come."""
        self.publish(b"[1, 2]")
        watchers = [self.follow(str(number)) for number in range(2)]

        def take_long(data: bytes) -> str:
            self.clock.rightNow += 2 * SLICE_S
            return version_of(data)

        with mock.patch.object(snapshot, "version_of", take_long):
            self.publish(b"[3, 4]")
        self.assertEqual([len(watcher.snapshots) for watcher in watchers], [2, 1])
        self.served.parts.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.publish(b"[5, 6]")
        self.assertEqual([len(watcher.snapshots) for watcher in watchers], [2, 1])
        self.assertEqual(list(self.served.parts), [])
        self.assertRaises(TooManyPartsError, self.served.parts.find, [b"0"])
        self.assertIsNone(self.served.parts.find([b"2"]))


class WorkTests(PartsTestCase):
    """The work for parts at a tick, and its time."""

    LARGE = SMALL_BYTES + 1

    def setUp(self) -> None:
        super().setUp()
        self.hashed = 0
        self.patch(snapshot, "version_of", self.count)

    def count(self, data: bytes) -> str:
        """Counts the hashes, of which each snapshot has one."""
        self.hashed += 1
        return version_of(data)

    def document(self, number: int) -> bytes:
        return json.dumps({"large": f"{number} {'x' * self.LARGE}", "small": f"{number} {'x' * 200}"}).encode()

    def publish(self, document: bytes) -> None:
        """Publishes a finished snapshot, and resets the count."""
        self.feed.publish(Snapshot.of(document, self.feed.next_sequence()))
        self.hashed = 0

    def delivery(self, name: str, peer: str | None = None) -> Delivery:
        delivery = self.served.parts.find([name.encode()], peer)
        assert delivery is not None
        return delivery

    def test_part_that_nobody_follows_costs_nothing(self) -> None:
        """It is updated when it is requested, and compressed when a client asks for that."""
        self.publish(self.document(1))
        for path in ("/feed/large", "/feed/small"):
            self.get(path)
        self.assertEqual(self.hashed, 2)
        for number in range(2, 5):
            document = self.document(number)
            made = Snapshot.of(document, self.feed.next_sequence())
            self.hashed = 0
            self.feed.publish(made)
            self.assertEqual((self.hashed, self.threads.work), (0, []))
        self.assertTrue(self.get("/feed/large").body.startswith(b'"4 x'))
        self.assertEqual((self.hashed, self.threads.work), (1, []))
        self.assertTrue(self.get("/feed/small").body.startswith(b'"4 x'))
        small = self.served.parts.find([b"small"])
        assert small is not None
        assert small.feed.snapshot is not None
        self.assertEqual(list(small.feed.snapshot.representations), ["identity"])
        self.assertEqual(self.get("/feed/small", b"Accept-Encoding: br").headers["content-encoding"], "br")

    def test_large_part_is_compressed_in_a_thread(self) -> None:
        """This begins when a client accepts a coding. It is served uncompressed meanwhile. One thread serves all."""
        self.publish(self.document(1))
        for _ in range(3):
            self.assertNotIn("content-encoding", self.get("/feed/large", b"Accept-Encoding: gzip, br").headers)
            self.assertEqual(len(self.threads.work), 1)
        self.finish()
        self.assertEqual(self.threads.work, [])
        for coding in (b"gzip", b"br"):
            response = self.get("/feed/large", b"Accept-Encoding: " + coding)
            self.assertEqual(response.headers["content-encoding"], coding.decode())
        self.assertEqual(self.threads.work, [])

    def test_large_part_that_is_followed_is_made_in_a_thread(self) -> None:
        """It is pushed when it was made, and its time is not later than that of its pull."""
        self.publish(self.document(1))
        watcher = self.follow("large")
        self.finish()
        feed = self.delivery("large").feed
        self.clock.advance(1)
        self.publish(self.document(2))
        self.assertEqual((self.hashed, len(watcher.snapshots)), (0, 1))
        self.assertTrue(self.get("/feed/large").body.startswith(b'"1 x'))
        self.assertEqual(feed.confirmed_at, NOW)
        self.clock.advance(0.5)
        times: list[float] = []
        feed.observe(lambda: times.append(feed.confirmed_at))
        self.finish()
        self.assertEqual([each.data[:3] for each in watcher.snapshots], [b'"1 ', b'"2 '])
        self.assertEqual(set(times), {NOW + 1})
        deflated = watcher.snapshots[1].deflated
        assert deflated is not None
        self.assertLess(len(deflated), self.LARGE / 10)
        # No client has requested a patch.
        self.assertEqual(feed.history.made, 0)

    def test_only_the_newest_is_made(self) -> None:
        """The thread makes only the newest of the versions that came while it was busy, and none of a missing part."""
        self.publish(self.document(1))
        watcher = self.follow("large")
        self.finish()
        for number in (2, 3, 4):
            self.publish(self.document(number))
        self.finish()
        self.finish()
        self.assertEqual([each.data[:3] for each in watcher.snapshots], [b'"1 ', b'"2 ', b'"4 '])
        self.publish(self.document(5))
        self.publish(b"{}")
        self.finish()
        self.assertEqual((len(watcher.snapshots), self.threads.work), (3, []))
        self.publish(self.document(6))
        self.finish()
        self.assertEqual(watcher.snapshots[-1].data[:3], b'"6 ')

    def test_state_is_told_after_the_last_version(self) -> None:
        """If pulls fail while a part is being made, feed and part are stale, and have the last pulled version."""
        self.publish(self.document(1))
        watcher = self.follow("large")
        self.finish()
        self.publish(self.document(2))
        self.feed.mark_stale()
        self.finish()
        feed = self.delivery("large").feed
        self.assertEqual((watcher.snapshots[-1].data[:3], feed.state), (b'"2 ', State.STALE))

    def test_large_part_that_is_back(self) -> None:
        """It is pushed when it was made, also to new subscribers, which are not sent the version before."""
        self.publish(self.document(1))
        watcher, newcomer = self.follow("large"), RecordingSubscriber()
        self.finish()
        self.publish(b"{}")
        self.assertEqual(self.get("/feed/large").status, 404)
        self.publish(self.document(1))
        self.delivery("large").feed.subscribe(newcomer)
        self.assertEqual((len(watcher.snapshots), len(newcomer.snapshots)), (1, 0))
        self.finish()
        self.assertEqual((len(watcher.snapshots), len(newcomer.snapshots)), (2, 1))
        self.assertEqual(self.get("/feed/large").status, 200)

    def test_no_thread(self) -> None:
        """The reactor's thread does it then."""
        self.served.parts.in_thread = no_thread
        self.publish(self.document(1))
        watcher = self.follow("large")
        self.publish(self.document(2))
        self.assertEqual([each.data[:3] for each in watcher.snapshots], [b'"1 ', b'"2 '])

    def test_turns_are_short(self) -> None:
        """If updates take long, the other parts come in the next turns of the reactor; remaining ones come first."""
        publish(self.feed, json.dumps(list(range(4))).encode())
        watchers = [self.follow(str(number)) for number in range(4)]

        def take_long(data: bytes) -> str:
            self.clock.rightNow += SLICE_S
            return version_of(data)

        self.patch(snapshot, "version_of", take_long)
        publish(self.feed, json.dumps(list(range(10, 14))).encode())
        self.assertEqual([len(watcher.snapshots) for watcher in watchers], [2, 2, 1, 1])
        publish(self.feed, json.dumps(list(range(20, 24))).encode())
        self.assertEqual([len(watcher.snapshots) for watcher in watchers], [2, 2, 1, 1])
        made: list[bytes] = []

        def take_note(data: bytes) -> str:
            made.append(data)
            return version_of(data)

        self.patch(snapshot, "version_of", take_note)
        self.clock.advance(0)
        self.assertEqual([watcher.snapshots[-1].data for watcher in watchers], [b"20", b"21", b"22", b"23"])
        self.assertEqual(made, [b"22", b"23", b"20", b"21"])
        self.assertEqual(self.clock.getDelayedCalls(), [])
