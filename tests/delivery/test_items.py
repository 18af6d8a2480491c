"""Several items on one connection, in memory: by WebSocket and by events, against a client that verifies everything."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from websockets.frames import Opcode
from websockets.typing import Subprotocol

from livefeed.delivery.items import MAX_ITEMS, MAX_PATH_LENGTH, wishes_of
from livefeed.delivery.root import Root
from livefeed.delivery.websocket.handshake import DELTA, DELTA_2
from livefeed.delivery.websocket.protocol import PING_INTERVAL_S
from livefeed.document.snapshot import version_of
from livefeed.feed.feed import Feed
from livefeed.feed.parts import MAX_PARTS
from livefeed.feed.state import State
from livefeed.testing import make_site, publish, request
from livefeed.web.cors import Origins
from livefeed.web.reconnect_slots import ReconnectSlots
from tests.helpers import event_client
from tests.helpers.garbage import garbage
from tests.helpers.guarded import SHORT_AUTHORIZATION, SHORT_S, protect
from tests.helpers.item_client import ItemClient
from tests.helpers.transports import Grouped, Transport
from tests.helpers.websocket_client import Client


class Follower(ItemClient):
    """A client of livefeed.delta.v2 on a WebSocket.

    :ivar socket: the connection.
    """

    def __init__(self, site: Any, path: str = "/a.ws", transport: Transport | None = None, **had: bytes) -> None:
        super().__init__(had={f"/{name}": data for name, data in had.items()})
        subprotocols = [Subprotocol(name) for name in ("other", DELTA_2, DELTA)]
        self.socket = Client(site, path=path, subprotocols=subprotocols, transport=transport)
        self.closed: bytes = b""
        self.read()

    def say(self, message: object) -> list[dict[str, Any]]:
        self.socket.protocol.send_text(json.dumps(message).encode())
        self.socket.send()
        return self.read()

    def read(self) -> list[dict[str, Any]]:
        messages = []
        for opcode, payload in self.socket.receive():
            if opcode is Opcode.TEXT:
                messages.append(self.take(payload))
            elif opcode is Opcode.CLOSE:
                self.closed = payload
        return messages

    def shown(self) -> dict[str, bytes | None]:
        self.read()
        return {path: item.document for path, item in self.items.items()}


def events_of(stream: event_client.Client) -> list[tuple[str, str]]:
    """Gives the data and the last id of each event since the last time."""
    stream.received()
    events, stream.source.events = stream.source.events, []
    return [(data, last) for _, data, last in events]


def row(number: int) -> bytes:
    """Gives a part of which little changes."""
    return json.dumps({"n": number, "rest": "x" * 200}).encode()


def rows(*numbers: int) -> bytes:
    """Gives a document of rows."""
    return b'{"rows":[%s],"a/b":1}' % b",".join(map(row, numbers))


class ItemsTestCase(SynchronousTestCase):
    """A site with two feeds."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1e9)
        self.one, self.other = (Feed(name, clock=self.clock) for name in "ab")
        self.made = make_site(self.one, self.other)
        self.site = self.made.site
        publish(self.one, rows(0, 0, 0))
        publish(self.other, rows(9, 9, 9))

    def watchers(self) -> list[int]:
        return [published.followers() for published in self.made.published]


class WebSocketTests(ItemsTestCase):
    def test_one_item(self) -> None:
        """The item of the URL is followed from the start; changes are splices."""
        client = Follower(self.site)
        self.assertEqual(client.socket.protocol.subprotocol, DELTA_2)
        publish(self.one, rows(1, 0, 0))
        publish(self.one, rows(1, 0, 0))
        self.assertEqual(client.shown(), {"/a": rows(1, 0, 0)})
        self.assertEqual(client.items["/a"].kinds, ["document", "splices", "heartbeat"])
        late = Follower(self.site, f"/a.ws?have={version_of(rows(0, 0, 0))}", a=rows(0, 0, 0))
        self.assertEqual((late.shown(), late.items["/a"].kinds), ({"/a": rows(1, 0, 0)}, ["splices"]))

    def test_items_come_and_go(self) -> None:
        """Parts and other feeds are followed with one message each, from the version that the client has."""
        client = Follower(self.site)
        client.say({"follow": "/b"})
        client.say({"follow": "/a/rows/1"})
        client.say({"follow": "/a/a~1b", "have": None})
        self.assertEqual(
            client.shown(), {"/a": rows(0, 0, 0), "/b": rows(9, 9, 9), "/a/rows/1": row(0), "/a/a~1b": b"1"}
        )
        self.assertEqual(self.watchers(), [3, 1])
        publish(self.one, rows(0, 5, 0))
        publish(self.other, rows(9, 9, 8))
        self.assertEqual(client.shown()["/a/rows/1"], row(5))
        self.assertEqual(client.shown()["/b"], rows(9, 9, 8))
        self.assertEqual(client.items["/a/rows/1"].kinds, ["document", "splices"])
        # A part that did not change sends nothing.
        self.assertEqual(client.items["/a/a~1b"].kinds, ["document"])
        client.say({"unfollow": "/b"})
        client.say({"unfollow": "/b"})
        client.say({"unfollow": "/nothing"})
        publish(self.other, rows(7, 7, 7))
        self.assertEqual(client.shown()["/b"], rows(9, 9, 8))
        self.assertEqual(self.watchers(), [3, 0])
        client.socket.transport.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.watchers(), [0, 0])
        for published in self.made.published:
            self.assertEqual((published.delivery.sockets, published.delivery.pulses), ({}, 0))
            self.assertEqual(len(published.feed.subscriptions), 0)

    def test_items_in_the_url(self) -> None:
        """The query names further items, with the versions that the client has."""
        query = f"follow={version_of(rows(9, 9, 9))}/b&follow=/a/rows/2&follow=x&follow=%FF/a&follow=/c"
        client = Follower(self.site, f"/a/rows/0?{query}", b=rows(9, 9, 9))
        self.assertEqual(client.shown(), {"/a/rows/0": row(0), "/b": rows(9, 9, 9), "/a/rows/2": row(0)})
        self.assertEqual(client.items["/b"].kinds, ["heartbeat"])
        self.assertEqual(client.refused, [("/c", 404, None)])

    def test_a_part_before_its_feed(self) -> None:
        """No heartbeat for parts comes of a feed that is followed itself: it would name a version nobody has yet."""
        for path in ("/a.ws?follow=/b/rows/0&follow=/b&follow=/b/rows/1", "/b.ws/rows/0?follow=/b"):
            client = Follower(self.site, path)
            self.assertEqual((client.pulses, client.items["/b"].kinds), ({}, ["document"]))
        client = Follower(self.site, "/b.ws/rows/0?follow=/b/rows/1")
        self.assertEqual(client.pulses, {"/b": ["live"]})

    def test_a_client_asks_again(self) -> None:
        """It is brought from the version that it names to the newest one, also if it is followed already."""
        client = Follower(self.site, transport=Grouped())
        publish(self.one, rows(1, 0, 0))
        publish(self.one, rows(1, 0, 0))
        client.shown()
        (message,) = client.say({"follow": "/a", "have": version_of(rows(1, 0, 0))})
        self.assertEqual(message["type"], "heartbeat")
        (message,) = client.say({"follow": "/a", "have": "unknown"})
        self.assertEqual(message["type"], "document")
        (message,) = client.say({"follow": "/a"})
        self.assertEqual(message["type"], "document")
        publish(self.one, rows(2, 0, 0))
        self.assertEqual(client.shown(), {"/a": rows(2, 0, 0)})
        self.assertEqual(self.watchers(), [1, 0])

    def test_other_messages_are_ignored(self) -> None:
        """Nothing but the two kinds counts, and no path or version of any length."""
        client = Follower(self.site)
        before = self.watchers()
        messages: list[object] = [
            1,
            [],
            {},
            {"have": None},
            {"follow": 1},
            {"follow": "/b", "have": 1},
            {"unfollow": None},
        ]
        messages += [{"follow": "/b" * MAX_PATH_LENGTH}, {"follow": "/b", "have": "x" * 99}]
        for message in messages:
            self.assertEqual(client.say(message), [])
        for payload in (b"{", b"[" * 4000, b'{"follow":"\\ud800"'):
            client.socket.protocol.send_text(payload)
            client.socket.send()
        # Autobahn checks the UTF-8 of text frames alone.
        for payload in (b'{"follow":"/b\xff"}', b'{"unfollow":"\xff"}', b'{"follow":"/b","have":"\xff"}'):
            client.socket.protocol.send_binary(payload)
            client.socket.send()
        self.assertEqual((client.read(), self.watchers(), client.closed), ([], before, b""))

    def test_refusals_concern_one_item(self) -> None:
        """Each has the status that a connection of its own would be refused with, and the others go on."""
        client = Follower(self.site)
        self.made.published[1].max_subscribers = 1
        Follower(self.site, "/b.ws")
        for path in ("/b", "/c", "a", "", "/", "/a/rows/9", "/a/rows/~2", "/b/rows/0"):
            client.say({"follow": path})
        self.made.published[0].origins = Origins.parse(["https://example.org"])
        self.assertEqual(
            client.refused,
            [
                ("/b", 503, 10_000),
                ("/c", 404, None),
                ("a", 404, None),
                ("", 404, None),
                ("/", 404, None),
                ("/a/rows/9", 404, 60_000),
                ("/a/rows/~2", 404, 60_000),
                ("/b/rows/0", 503, 10_000),
            ],
        )
        self.assertEqual(self.other.tally.refused["limit"], 2)
        publish(self.one, rows(1, 0, 0))
        self.assertEqual(client.shown(), {"/a": rows(1, 0, 0)})

    def test_hidden_documents_are_followed(self) -> None:
        """A document that must not be shown is not refused: the client learns its state, and then its value.

        Nor is a part of one that is expired. Of one that is withdrawn, nobody is told whether it has such a part.
        """
        self.other.gone_after_s = 10
        self.clock.advance(10)
        self.other.mark_stale()
        for name, hide, show in (
            ("expired", lambda: None, lambda: publish(self.other, rows(9, 9, 9))),
            ("withdrawn", lambda: self.other.decide(State.WITHDRAWN), lambda: self.other.decide(None)),
        ):
            hide()
            client = Follower(self.site)
            client.say({"follow": "/b"})
            client.say({"follow": "/b/rows/0"})
            client.read()
            refused = [("/b/rows/0", 404, 10_000)] if name == "withdrawn" else []
            pulses = {"/b": [name]} if refused else {"/b": [name], "/b/rows/0": [name]}
            self.assertEqual((client.refused, client.pulses), (refused, pulses))
            show()
            self.assertEqual((client.shown()["/b"], client.items["/b"].state), (rows(9, 9, 9), "live"))

    def test_before_the_first_pull(self) -> None:
        """A whole document is awaited; whether it has a part is not known."""
        made = make_site("a", "b", clock=self.clock)
        client = Follower(made.site)
        client.say({"follow": "/b"})
        client.say({"follow": "/b/rows/0"})
        self.assertEqual((client.shown(), client.refused), ({}, [("/b/rows/0", 503, 1000)]))
        publish(made.published[1].feed, b"1")
        self.assertEqual(client.shown(), {"/b": b"1"})

    def test_origins_of_each_feed(self) -> None:
        """A page may follow the feeds that allow its origin, wherever it is connected."""
        self.made.published[1].origins = Origins.parse(["https://example.org"])
        for origin, allowed in (
            (b"https://example.org", True),
            (b"https://example.com", False),
            (b"https://localhost", True),
        ):
            fields = [b"Origin: " + origin]
            stream = event_client.Client(self.site, *fields, path=b"/a.sse?delta=2&follow=/b")
            paths = {json.loads(data)["path"]: json.loads(data)["type"] for data, _ in events_of(stream)}
            self.assertEqual(paths["/b"], "document" if allowed else "refused")
        self.assertEqual(self.other.tally.refused["origin"], 1)

    def test_number_of_items(self) -> None:
        """There is a limit for each connection, and the item that goes makes room."""
        publish(self.one, b"[%s]" % b",".join(b"%d" % number for number in range(MAX_ITEMS + 9)))
        client = Follower(self.site)
        for number in range(MAX_ITEMS):
            client.say({"follow": f"/a/{number}"})
        self.assertEqual(client.refused, [(f"/a/{MAX_ITEMS - 1}", 429, None)])
        self.assertEqual(len(client.shown()), MAX_ITEMS)
        client.say({"unfollow": "/a/3"})
        client.say({"follow": f"/a/{MAX_ITEMS}"})
        self.assertEqual((len(client.shown()), len(client.refused)), (MAX_ITEMS + 1, 1))

    def test_only_parts(self) -> None:
        """The heartbeats of the feed come at each tick, with its state, until the feed itself is followed."""
        client = Follower(self.site, "/a.ws/rows/0")
        self.assertEqual((client.pulses, self.watchers()), ({"/a": ["live"]}, [1, 0]))
        client.say({"follow": "/a/rows/1"})
        publish(self.one, rows(0, 0, 0))
        publish(self.one, rows(0, 0, 1))
        self.one.mark_stale()
        client.read()
        self.assertEqual(client.pulses, {"/a": ["live", "live", "live", "stale"]})
        client.say({"follow": "/a"})
        publish(self.one, rows(0, 0, 2))
        self.assertEqual((client.shown()["/a"], len(client.pulses["/a"])), (rows(0, 0, 2), 4))
        client.say({"unfollow": "/a"})
        client.items.pop("/a")
        self.assertEqual(self.made.published[0].delivery.pulses, 1)
        for number in range(2):
            client.say({"unfollow": f"/a/rows/{number}"})
        count = len(client.pulses["/a"])
        publish(self.one, rows(0, 0, 3))
        client.read()
        self.assertEqual((len(client.pulses["/a"]), self.made.published[0].delivery.pulses), (count, 0))
        self.assertEqual(self.watchers(), [0, 0])

    def test_silence(self) -> None:
        """Pings are spared while items are pushed, and not because of a feed that is followed no more."""
        busy, silent = Follower(self.site), Follower(self.site)
        silent.say({"unfollow": "/a"})
        for _ in range(PING_INTERVAL_S + 1):
            self.clock.advance(1)
            publish(self.one, rows(1, 0, 0))
        opcodes = [[opcode for opcode, _ in each.socket.receive()] for each in (busy, silent)]
        self.assertNotIn(Opcode.PING, opcodes[0])
        self.assertEqual(opcodes[1], [Opcode.PING])

    def test_a_part_vanishes(self) -> None:
        """It is missing, is asked for in vain, and is whole when it comes back."""
        client = Follower(self.site, "/a.ws/rows/2")
        publish(self.one, rows(0, 0))
        self.assertEqual(client.shown(), {"/a/rows/2": None})
        (message,) = client.say({"follow": "/a/rows/2", "have": version_of(row(0))})
        self.assertEqual(message["type"], "missing")
        publish(self.one, rows(0, 0, 0))
        self.assertEqual(client.shown(), {"/a/rows/2": row(0)})
        self.assertEqual(client.items["/a/rows/2"].kinds, ["document", "missing", "missing", "document"])

    def test_one_frame_for_all(self) -> None:
        """Connections of any URL are sent the same bytes of an item, which are made once."""
        clients = [Follower(self.site, path, transport=Grouped()) for path in ("/a.ws", "/b.ws?follow=/a") * 5]
        publish(self.one, rows(1, 0, 0))
        made = self.made.published[0].delivery.item_messages.made
        for each in clients:
            each.read()
        publish(self.one, rows(2, 0, 0))
        publish(self.other, rows(2, 0, 0))
        self.assertLessEqual(self.made.published[0].delivery.item_messages.made - made, 2)
        self.assertEqual({each.shown()["/a"] for each in clients}, {rows(2, 0, 0)})
        self.assertEqual(len(self.one.fanout._batches), 1)


class FlowTests(ItemsTestCase):
    """A connection that does not read."""

    def test_each_item_is_owed_its_newest_version(self) -> None:
        """Nothing is written while the transport is full; then each item skips to its newest version."""
        client = Follower(self.site, "/a.ws?follow=/b&follow=/a/rows/0")
        client.socket.pause()
        for number in range(1, 4):
            publish(self.one, rows(number, 0, 0))
            publish(self.other, rows(number, 9, 9))
        self.assertEqual(client.socket.transport.value(), b"")
        told = client.say({"follow": "/b/rows/0"}) + client.say({"follow": "/c"})
        for number in range(MAX_ITEMS):
            told += client.say({"follow": "/d", "have": str(number)})
        self.assertEqual(told + client.say({"follow": "/b", "have": None}), [])
        client.socket.resume()
        client.read()
        self.assertEqual(client.refused, [("/c", 404, None), ("/d", 404, None)])
        shown = {"/a": rows(3, 0, 0), "/b": rows(3, 9, 9), "/a/rows/0": row(3), "/b/rows/0": row(3)}
        self.assertEqual(client.shown(), shown)
        self.assertEqual(client.items["/a"].kinds, ["document", "splices"])
        self.assertEqual(client.items["/b"].kinds, ["document", "document"])

    def test_refusals_are_bounded(self) -> None:
        """A client that asks and does not read makes the server keep as many as it may follow items."""
        client = Follower(self.site)
        client.socket.pause()
        for number in range(MAX_ITEMS + 9):
            client.say({"follow": f"/none{number}"})
        client.socket.resume()
        client.read()
        self.assertEqual(len(client.refused), MAX_ITEMS)

    def test_refusals_of_long_paths_are_bounded(self) -> None:
        """A path of letters that need escapes makes a refusal of 12 KB: few of them are kept."""
        client = Follower(self.site)

        def ask(*names: str) -> list[str]:
            client.socket.pause()
            for name in names:
                message = json.dumps({"follow": f"/{name}"}, ensure_ascii=False)
                client.socket.protocol.send_text(message.encode())
                client.socket.send()
            client.refused.clear()
            client.socket.resume()
            client.read()
            return [path[1:3] for path, _, _ in client.refused]

        long = "\N{GRINNING FACE}" * 1000
        # A refusal that takes the place of another one counts once.
        names = [f"10{long}", *(f"{number}{long}" for number in range(10, MAX_ITEMS)), "none"]
        self.assertEqual(ask(*names), ["10", "11", "no"])
        # Refusals that were sent make room again.
        self.assertEqual(ask(f"12{long}", f"13{long}", f"14{long}"), ["12", "13"])

    def test_every_item_has_its_turn(self) -> None:
        """An item that fills the transport each time does not keep the others from being sent."""
        client = Follower(self.site, "/a.ws?follow=/b&follow=/a/rows/0")
        transport = client.socket.transport
        write = transport.write

        def fill(data: bytes) -> None:
            write(data)
            client.socket.pause()

        self.patch(transport, "write", fill)
        seen: set[str] = set()
        for number in range(1, 4):
            publish(self.one, rows(number, 0, 0))
            publish(self.other, rows(number, 9, 9))
            client.socket.resume()
            seen.update(message["path"] for message in client.read() if message["type"] != "heartbeat")
        self.assertEqual(seen, {"/a", "/b", "/a/rows/0"})

    def test_a_connection_that_breaks(self) -> None:
        """It is aborted, and leaves all of its feeds."""
        client = Follower(self.site, "/a.ws?follow=/b")
        self.patch(client.socket.transport, "write", lambda data: 1 / 0)
        publish(self.other, rows(1, 1, 1))
        self.assertTrue(client.socket.transport.disconnecting)
        client.socket.transport.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.watchers(), [0, 0])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class EndTests(ItemsTestCase):
    def test_a_feed_is_removed(self) -> None:
        """Its items are refused with a time, the others go on; the last item ends the connection."""
        client = Follower(self.site, "/a.ws?follow=/b&follow=/b/rows/0")
        single = Follower(self.site, "/b.ws")
        self.made.published[1].close(ReconnectSlots(9.0, 50))
        client.read()
        single.read()
        self.assertEqual([(path, status) for path, status, _ in client.refused], [("/b", 503), ("/b/rows/0", 503)])
        self.assertEqual({retry for _, _, retry in client.refused} - {9000, 9020, 9040}, set())
        self.assertEqual(client.closed, b"")
        self.assertIn(b"come back in 90", single.closed)
        publish(self.one, rows(1, 0, 0))
        self.assertEqual(client.shown()["/a"], rows(1, 0, 0))
        client.say({"follow": "/b"})
        self.assertEqual(client.refused[-1][:2], ("/b", 503))

    def test_the_item_of_the_url_ends(self) -> None:
        """The others go on, and further ones can be followed."""
        client = Follower(self.site, "/a.ws?follow=/b")
        root = self.site.resource
        assert isinstance(root, Root)
        root.remove(self.made.published[0])
        client.read()
        self.assertEqual([(path, status) for path, status, _ in client.refused], [("/a", 503)])
        client.say({"follow": "/b/rows/0"})
        client.say({"follow": "/a"})
        self.assertEqual(client.refused[1:], [("/a", 404, None)])
        publish(self.other, rows(8, 9, 9))
        self.assertEqual(
            {path: client.shown()[path] for path in ("/b", "/b/rows/0")}, {"/b": rows(8, 9, 9), "/b/rows/0": row(8)}
        )
        self.assertEqual(self.watchers(), [0, 2])

    def test_the_server_stops(self) -> None:
        """A connection has one slot, however many items it follows."""
        client = Follower(self.site, "/a.ws?follow=/b&follow=/a/rows/0")
        slots = ReconnectSlots(9.0, 50)
        self.made.subscribers.let_go(slots)
        client.read()
        self.assertEqual((slots._count, client.closed[2:]), (1, b"see /-/problems/come-back; come back in 9000 ms"))
        self.assertEqual(client.closed[:2], (3000 + 450).to_bytes(2, "big"))
        self.assertEqual(self.watchers(), [0, 0])

    def test_a_part_makes_room(self) -> None:
        """The client with the most parts loses one of them, and is told when it may ask again."""
        publish(self.one, json.dumps([*range(MAX_PARTS + 9)]).encode())
        greedy = []
        for start in range(0, MAX_PARTS, MAX_ITEMS - 1):
            client = Follower(self.site, "/b.ws")
            greedy.append(client)
            for number in range(start, min(start + MAX_ITEMS - 1, MAX_PARTS)):
                client.say({"follow": f"/a/{number}"})
        modest_transport = Transport()
        self.patch(modest_transport, "getPeer", lambda: None)
        found = self.made.published[0].parts.find([b"%d" % (MAX_PARTS + 1)], "192.0.2.1")
        self.assertIsNotNone(found)
        refused = []
        for each in greedy:
            each.read()
            refused += each.refused
            self.assertEqual(each.closed, b"")
        ((_, status, retry),) = refused
        self.assertEqual((status, retry), (503, 9980))


class FreedTests(ItemsTestCase):
    def test_connections_are_freed(self) -> None:
        """Reference counts free a connection with its items, on both transports."""
        query = "follow=/b&follow=/b/rows/0"

        def follow(path: str, protocol: str) -> None:
            transport = Grouped()
            channel = self.site.buildProtocol(None)
            assert channel is not None
            transport.protocol = channel
            channel.makeConnection(transport)
            head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{protocol}\r\n"
            transport.protocol.dataReceived(head.encode())
            assert b'"path":"/b/rows/0"' in transport.value(), transport.value()
            transport.protocol.connectionLost(Failure(ConnectionDone()))
            transport.protocol = None

        handshake = (
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {'A' * 22}==\r\nSec-WebSocket-Protocol: {DELTA_2}\r\n"
        )
        follow(f"/a.ws?{query}", handshake)
        follow(f"/a.sse?delta=2&{query}", "")
        with garbage() as found:
            follow(f"/a.ws?{query}", handshake)
            follow(f"/a.sse?delta=2&{query}", "")
        self.assertEqual([type(each) for each in found], [])


class EventTests(ItemsTestCase):
    """The same on event streams."""

    def follow(self, query: str, *fields: bytes, **had: bytes) -> tuple[event_client.Client, ItemClient]:
        stream = event_client.Client(self.site, *fields, path=f"/a.sse?delta=2{query}".encode())
        return stream, ItemClient(had={f"/{name}": data for name, data in had.items()})

    def read(self, stream: event_client.Client, client: ItemClient) -> list[tuple[str, str]]:
        """Gives the path and the last id of each event."""
        return [(client.take(data)["path"], last) for data, last in events_of(stream)]

    def test_items(self) -> None:
        """The ids are the versions of the URL's own item, and only its own events have one."""
        stream, client = self.follow("&follow=/b&follow=/a/rows/0")
        one = version_of(rows(0, 0, 0))
        self.assertEqual(self.read(stream, client), [("/a", one), ("/b", one), ("/a/rows/0", one)])
        publish(self.other, rows(1, 9, 9))
        publish(self.one, rows(1, 0, 0))
        other = version_of(rows(1, 0, 0))
        self.assertEqual({*self.read(stream, client)}, {("/b", one), ("/a", other), ("/a/rows/0", one)})
        self.assertEqual([item.document for item in client.items.values()], [rows(1, 0, 0), rows(1, 9, 9), row(1)])
        self.assertEqual(self.made.published[0].watchers(), {"websocket": 0, "events": 2, "waiting": 0})
        self.assertEqual(self.made.published[1].watchers(), {"websocket": 0, "events": 1, "waiting": 0})
        self.assertEqual(len(self.made.published[0].streams()), 1)

    def test_have(self) -> None:
        """The last event id counts before the version in the URL, which is that of the first connection."""
        old, newer = rows(0, 0, 0), rows(1, 0, 0)
        publish(self.one, newer)
        for query, fields, had, kind in (
            (f"&have={version_of(old)}", (), old, "splices"),
            (f"&have={version_of(old)}", (b"Last-Event-ID: " + version_of(newer).encode(),), newer, "heartbeat"),
            ("", (), old, "document"),
        ):
            stream, client = self.follow(query, *fields, a=had)
            self.read(stream, client)
            self.assertEqual((client.items["/a"].kinds, client.items["/a"].document), ([kind], newer))

    def test_no_id_without_a_version(self) -> None:
        """An expiry takes the id back, and a part that is missing leaves it."""
        stream = event_client.Client(self.site, path=b"/a.sse/rows/2?delta=2")
        client = ItemClient()
        part = version_of(row(0))
        self.assertEqual(self.read(stream, client)[0], ("/a/rows/2", part))
        publish(self.one, rows(0, 0))
        self.assertIn(("/a/rows/2", part), self.read(stream, client))
        self.assertIsNone(client.items["/a/rows/2"].document)
        publish(self.one, rows(0, 0, 0))
        self.read(stream, client)
        self.one.gone_after_s = 3
        self.one.mark_stale()
        self.clock.advance(4)
        self.one.mark_stale()
        self.assertIn(("/a/rows/2", ""), self.read(stream, client))

    def test_the_stream_ends(self) -> None:
        """A stream has one slot, and leaves all of its feeds."""
        self.follow("&follow=/b&follow=/a/rows/0")
        slots = ReconnectSlots(9.0, 50)
        for published in self.made.published:
            published.let_go(slots)
        self.assertEqual((slots._count, self.watchers()), (1, [0, 0]))

    def test_head(self) -> None:
        """It has no body, and follows nothing."""
        response = request(self.site, b"HEAD /a.sse?delta=2&follow=/b HTTP/1.1")
        self.assertEqual((response.status, response.body, self.watchers()), (200, b"", [0, 0]))


PATHS = ["/a", "/b", "/a/rows/0", "/a/rows/2", "/b/rows/1", "/a/a~1b", "/b/none"]
NUMBERS = st.lists(st.integers(0, 3), max_size=3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.sampled_from("ab"), NUMBERS),
        st.tuples(st.just("fail"), st.sampled_from("ab"), st.none()),
        st.tuples(st.just("follow"), st.sampled_from(PATHS), st.booleans()),
        st.tuples(st.just("unfollow"), st.sampled_from(PATHS), st.none()),
        st.tuples(st.sampled_from(["pause", "resume", "read"]), st.none(), st.none()),
    ),
    max_size=40,
)


class Play:
    """One schedule: two feeds, and a client that follows some of their items, and stops reading at times."""

    def __init__(self, transport: Transport, path: str) -> None:
        self.clock = Clock()
        self.clock.advance(1e9)
        self.feeds = {name: Feed(name, clock=self.clock) for name in "ab"}
        self.numbers: dict[str, list[int]] = {}
        self.made = make_site(*self.feeds.values())
        for name in "ab":
            self.publish(name, [0, 0])
        self.client = Follower(self.made.site, path, transport=transport)
        self.followed = {path.replace(".ws", "")}
        self.is_paused = False

    def publish(self, name: str, numbers: list[int]) -> None:
        self.clock.advance(0.2)
        self.numbers[name] = numbers
        publish(self.feeds[name], rows(*numbers))

    def fail(self, name: str, _: object) -> None:
        self.feeds[name].mark_stale()

    def newest(self, path: str) -> bytes | None:
        """Gives the newest version of an item; ``None`` if there is none."""
        _, name, *part = path.split("/")
        numbers = self.numbers[name]
        if not part:
            return rows(*numbers)
        if part == ["a~1b"]:
            return b"1"
        index = int(part[-1]) if part[0] == "rows" else len(numbers)
        return row(numbers[index]) if index < len(numbers) else None

    def follow(self, path: str, knows: object) -> None:
        self.client.read()
        item = self.client.items.get(path)
        told = self.client.say({"follow": path, "have": item.version if item is not None and knows else None})
        assert not (told and self.is_paused), told
        if self.newest(path) is not None:
            self.followed.add(path)

    def unfollow(self, path: str, _: object) -> None:
        told = self.client.say({"unfollow": path})
        assert not (told and self.is_paused), told
        self.client.items.pop(path, None)
        self.followed.discard(path)

    def pause(self, _: object, __: object) -> None:
        self.client.read()
        self.client.socket.pause()
        self.is_paused = True

    def resume(self, _: object, __: object) -> None:
        self.is_paused = False
        self.client.socket.resume()

    def read(self, _: object, __: object) -> None:
        self.client.read()


class ScheduleTests(SynchronousTestCase):
    """Random schedules of versions, failures, full transports, and items that come and go."""

    @given(STEPS, st.sampled_from([Grouped, Transport]), st.sampled_from(["/a.ws", "/b.ws/rows/1"]))
    @settings(max_examples=40, deadline=None)
    def test_each_item_ends_at_its_newest_version(self, steps: list[Any], transport: Any, path: str) -> None:
        """The client verifies each message, never goes back, and shows the newest version of each item that it follows.

        While it does not read, nothing is written.
        """
        play = Play(transport(), path)
        for name, *arguments in steps:
            getattr(play, name)(*arguments)
            if play.is_paused:
                self.assertEqual(play.client.socket.transport.value(), b"")
        play.resume(None, None)
        shown = play.client.shown()
        self.assertEqual(
            {each: shown[each] for each in play.followed}, {each: play.newest(each) for each in play.followed}
        )
        deliveries = [delivery for published in play.made.published for delivery in published]
        followers = sum(len(delivery.feed.subscriptions) - delivery.pulses for delivery in deliveries)
        self.assertEqual(followers, len(play.followed))


class WishesTests(SynchronousTestCase):
    def test_wishes(self) -> None:
        """A version stands before the first slash; what is malformed or too long is left out."""
        values = [b"/a", b"v/a/b", b"", b"v", b"\xff/a", b"x" * 65 + b"/a", b"/" + b"a" * MAX_PATH_LENGTH, b"/\xc3\xa9"]
        self.assertEqual(wishes_of(values), [("/a", None), ("/a/b", "v"), ("/a", None), ("/é", None)])


class ProtectedTests(ItemsTestCase):
    """Items that need a token."""

    def test_items_are_judged_by_themselves(self) -> None:
        """A connection without a token follows public feeds; one with a token ends with that."""
        protect(self.made.published[1], self.site)
        client = Follower(self.site, "/a.ws?follow=/b&follow=/b/rows/0")
        self.assertEqual(client.refused, [("/b", 401, None), ("/b/rows/0", 401, None)])
        self.assertEqual([*client.shown()], ["/a"])

    def test_the_end_of_a_token(self) -> None:
        """It ends the connection, and nothing is kept of an item that was not followed any more."""
        guard = protect(self.made.published[1], self.site)
        guard.wall = guard.admissions.wall = lambda: 0.0
        streams = [
            event_client.Client(self.site, SHORT_AUTHORIZATION, path=b"/%s.sse?delta=2&follow=/b" % name)
            for name in (b"a", b"b")
        ]
        self.assertEqual(len(guard.admissions), 2)
        self.clock.advance(SHORT_S)
        for stream in streams:
            self.assertTrue(stream.transport.disconnecting)
        self.assertEqual(len(guard.admissions), 0)
