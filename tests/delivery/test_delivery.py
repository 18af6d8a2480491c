"""All forms of one feed together: the number of clients and the address that each counts under."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from websockets.frames import Opcode
from websockets.typing import Subprotocol

from livefeed.delivery.delivery import no_directory
from livefeed.delivery.websocket.handshake import DELTA, DELTA_2
from livefeed.document.snapshot import version_of
from livefeed.feed.feed import Feed
from livefeed.feed.state import GONE, State
from livefeed.testing import Response, make_site, publish, request
from livefeed.web.reconnect_slots import ReconnectSlots
from tests.helpers import event_client
from tests.helpers.transports import Transport
from tests.helpers.websocket_client import Client


class DeliveryTests(SynchronousTestCase):
    def setUp(self) -> None:
        made = make_site()
        self.feed, self.site = made.feed, made.site
        self.delivery = made.published[0].delivery
        publish(self.feed, b"1")
        self.sockets = [Client(self.site) for _ in range(3)]
        self.streams = [event_client.Client(self.site) for _ in range(2)]
        self.poll = self.wait()
        for client in self.sockets:
            client.receive()

    def wait(self) -> Transport:
        """Gives the transport of a request that waits."""
        assert self.feed.snapshot is not None
        transport: Any = Transport()
        channel = self.site.buildProtocol(None)
        assert channel is not None
        channel.makeConnection(transport)
        etag = self.feed.snapshot.etags()[0]
        channel.dataReceived(b"GET /feed HTTP/1.1\r\nHost: a\r\nPrefer: wait=9\r\nIf-None-Match: %s\r\n\r\n" % etag)
        waiting: Transport = transport
        return waiting

    def test_subscribers_are_counted(self) -> None:
        """Subscribers count on all transports, each with its address."""
        self.assertEqual(self.delivery.followers(), 6)
        self.assertEqual(len(list(self.delivery.peers())), 6)

    def test_streams_are_told_from_sockets(self) -> None:
        """An item of a stream that follows several counts as a stream, at the address of its connection."""
        event_client.Client(self.site, path=b"/feed.sse?delta=2")
        self.assertEqual((self.delivery.event_streams(), self.delivery.followers()), (3, 7))
        self.assertEqual(len(list(self.delivery.peers())), 7)

    def test_without_a_site(self) -> None:
        """There are no other items to follow."""
        self.assertEqual(no_directory().feeds, {})

    def test_close_ends_all(self) -> None:
        """All have slots of the same sequence, WebSockets first."""
        returns = ReconnectSlots(first_s=9.0, returns_per_s=50)
        self.assertFalse(self.delivery.full())
        self.delivery.close(returns)
        self.assertTrue(self.delivery.full())
        for number, client in enumerate(self.sockets):
            reason = b"come back in %d ms" % (9000 + 20 * number)
            self.assertEqual(client.receive(), [(Opcode.CLOSE, b"\x03\xe9" + reason)])
        for stream in self.streams:
            stream.events()
            self.assertEqual((stream.ending, stream.transport.disconnecting), (event_client.LAST_CHUNK, True))
        self.assertIn(b"HTTP/1.1 304 ", self.poll.value())
        self.assertEqual((self.delivery.followers(), returns._count), (0, 6))

    def test_all_are_sent_away(self) -> None:
        """Others may come at once, with a token, since the feed is protected from now on."""
        self.delivery.send_all_away(ReconnectSlots(first_s=9.0, returns_per_s=50))
        for client in self.sockets:
            self.assertEqual(client.receive()[0][0], Opcode.CLOSE)
        self.assertIn(b"HTTP/1.1 304 ", self.poll.value())
        self.assertEqual((self.delivery.followers(), self.delivery.full()), (0, False))
        event_client.Client(self.site)
        self.assertEqual(self.delivery.followers(), 1)

    def test_evicted_clients_come_back_late(self) -> None:
        """As late as a close code can say, and those after them later."""
        self.delivery.evict()
        self.assertEqual(self.sockets[0].receive(), [(Opcode.CLOSE, b"\x03\xe9come back in 9980 ms")])
        self.assertTrue(self.delivery.full())

    def test_nothing_begins_after_they_are_let_go(self) -> None:
        """Neither a stream nor a wait. A late client takes a slot behind the others."""
        self.assertIsNone(self.delivery.slots)
        slots = ReconnectSlots()
        self.delivery.let_go(slots)
        self.assertIs(self.delivery.slots, slots)
        count = slots._count
        late = event_client.Client(self.site)
        self.assertEqual((late.head.status, late.ending), (200, event_client.LAST_CHUNK))
        self.assertIn(b"HTTP/1.1 304 ", self.wait().value())
        self.assertEqual((self.delivery.followers(), slots._count), (3, count + 2))
        self.assertEqual(late.source.retry_ms, 6000)

    def test_web_sockets_stay_where_the_others_are_let_go(self) -> None:
        """At a stop their factory closes the WebSockets, and gives them slots of their own."""
        self.delivery.let_go(ReconnectSlots())
        self.assertEqual([client.receive() for client in self.sockets], [[]] * 3)
        self.assertEqual(self.delivery.followers(), 3)
        self.assertTrue(self.streams[0].transport.disconnecting)


ONE = b'{"n": 1, "rest": "%s"}' % (b"x" * 500)
EARLIER = ONE.replace(b"1", b"0")
FACTS = {"sequence", "state", "at"}
TIMES = {"age", "next"}
MORTAL = (State.LIVE, State.STALE, State.HELD)
"""The states that end by themselves where the operator has limited the age."""


class StateTests(SynchronousTestCase):
    """The table of states in ``docs/reference/protocol.md``: each state, in each way of delivery, with its members.

    A client that follows is told when the state begins and when it ends, and one that comes meanwhile is told at once.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1e9)
        self.feed = Feed("feed", clock=self.clock, gone_after_s=600.0)
        self.site = make_site(self.feed).site
        publish(self.feed, EARLIER)
        publish(self.feed, ONE)

    def begin(self, state: State) -> None:
        """Injects a state."""
        if state in (State.STALE, State.EXPIRED):
            self.feed.gone_after_s = 0.0 if state is State.EXPIRED else 600.0
            self.feed.mark_stale()
        else:
            self.feed.decide(None if state is State.LIVE else state)
        self.assertIs(self.feed.state, state)

    def end(self) -> None:
        """Has the feed be live again, with the same document."""
        self.feed.gone_after_s = 600.0
        self.feed.decide(None)
        publish(self.feed, ONE)
        self.assertIs(self.feed.state, State.LIVE)

    def each(self) -> list[State]:
        return [state for state in State if state is not State.LIVE]

    def has(self, message: dict[str, Any], *members: str) -> bool:
        """Tells whether a message has exactly the usual members and these."""
        return message.keys() == {"type"} | FACTS | {*members}

    # Polling

    def get(self, *fields: bytes) -> Response:
        return request(self.site, b"\r\n".join([b"GET /feed HTTP/1.1", *fields]))

    def assert_answer(self, answer: Response, status: int, state: State) -> None:
        """Compares the fields of an answer with the table."""
        is_gone = state in GONE
        fields = answer.headers
        self.assertEqual((answer.status, fields["livefeed-state"]), (410 if is_gone else status, state.value))
        self.assertLessEqual({"livefeed-at", "livefeed-age", "livefeed-next"}, fields.keys())
        for name in ("livefeed-version", "livefeed-sequence", "etag"):
            self.assertEqual(name in fields, not is_gone, (state, name))
        self.assertEqual(
            ("no-store" in fields["cache-control"], "retry-after" in fields),
            (is_gone or answer.status == 226, state is State.EXPIRED),
            state,
        )
        self.assertEqual(bool(fields.get("livefeed-lifetime")), state in MORTAL, state)

    def test_polls(self) -> None:
        """A 200, a 226 and a 304 have the state; a document that must not be shown is 410."""
        tag = b'If-None-Match: "%s"' % version_of(ONE).encode()
        for state in State:
            self.end()
            self.begin(state)
            self.assert_answer(self.get(), 200, state)
            self.assert_answer(self.get(tag), 304, state)
            older = b'If-None-Match: "%s"' % version_of(EARLIER).encode()
            for manipulation in (b"livefeed-splices", b"json-patch"):
                self.assert_answer(self.get(older, b"A-IM: " + manipulation), 226, state)

    def test_requests_that_wait(self) -> None:
        """They wait in each state in which the document is shown, and their 304 has it; otherwise it is 410 at once."""
        for state in State:
            self.end()
            answers = [self.wait() for _ in range(2)]
            self.begin(state)
            answers.append(self.wait())
            self.assertEqual([bool(each.value()) for each in answers], [state in GONE] * 3, state)
            self.clock.advance(1.5)
            for each in answers:
                self.assert_answer(Response.parse(each.value()), 304, state)

    def wait(self) -> Transport:
        transport: Any = Transport()
        channel = self.site.buildProtocol(None)
        assert channel is not None
        channel.makeConnection(transport)
        tag = version_of(ONE).encode()
        channel.dataReceived(b'GET /feed HTTP/1.1\r\nHost: a\r\nPrefer: wait=1\r\nIf-None-Match: "%s"\r\n\r\n' % tag)
        waiting: Transport = transport
        return waiting

    # Events

    def events(self, client: event_client.Client) -> list[tuple[str, dict[str, Any], str]]:
        client.received()
        events, client.source.events = client.source.events, []
        return [(kind, json.loads(data), last) for kind, data, last in events]

    def test_plain_events(self) -> None:
        """The event ``state`` comes at the beginning and at each change; its id is empty if nothing may be shown."""
        version = version_of(ONE)
        for state in self.each():
            client = event_client.Client(self.site)
            self.assertEqual([kind for kind, _, _ in self.events(client)], ["state", "message"])
            self.begin(state)
            ((kind, told, last),) = self.events(client)
            self.assertEqual((kind, told.keys(), told["state"]), ("state", {"state", "at"}, state.value))
            self.assertEqual(last, "" if state in GONE else version)
            late = self.events(event_client.Client(self.site))
            self.assertEqual(late[0][:2], (kind, told))
            self.assertEqual(
                [(kind, last) for kind, _, last in late[1:]], [] if state in GONE else [("message", version)]
            )
            self.end()
            after = self.events(client)
            self.assertEqual((after[0][0], after[0][1]["state"]), ("state", "live"))
            self.assertEqual([kind for kind, _, _ in after[1:]], ["message"] if state in GONE else [])

    # Messages

    def follow(self, way: str) -> Any:
        """Begins to follow, and gives a function that gives the new messages."""
        form, _, number = way.partition(" ")
        if form == "events":
            stream = event_client.Client(self.site, path=b"/feed.sse?delta=" + number.encode())
            return lambda: [told for _, told, _ in self.events(stream)]
        socket = Client(self.site, subprotocols=[Subprotocol({"1": DELTA, "2": DELTA_2}[number])])
        return socket.messages

    def test_messages(self) -> None:
        """The first message has the state, and so has one at each change; after a hidden document it is whole."""
        for way in ("events 1", "websocket 1", "events 2", "websocket 2"):
            is_first = way.endswith("1")
            whole, content = ("snapshot", "data") if is_first else ("document", "text")
            more = set() if is_first else {"path"} | TIMES
            for state in self.each():
                version = set() if state is State.WITHDRAWN else {"version"}
                hidden = "state" if is_first else "heartbeat"
                members = more | version | ({"lifetime"} if state in MORTAL and not is_first else set())
                read = self.follow(way)
                ((first),) = read()
                self.assertEqual((first["type"], first["state"]), (whole, "live"))
                self.begin(state)
                (told,) = read()
                kind = hidden if state in GONE else "heartbeat"
                self.assertEqual((way, told["type"], told["state"]), (way, kind, state.value))
                self.assertTrue(self.has(told, *members), told)
                (late,) = self.follow(way)()
                self.assertEqual((late["type"], late["state"]), (kind if state in GONE else whole, state.value))
                self.assertTrue(self.has(late, *members, *(() if state in GONE else (content,))), late)
                self.end()
                (after, *_) = read()
                self.assertEqual((after["type"], after["state"]), (whole if state in GONE else "heartbeat", "live"))

    def test_plain_websockets(self) -> None:
        """They have no states: documents, or the end of the connection and of handshakes."""
        for state in self.each():
            client = Client(self.site)
            self.assertEqual(client.receive(), [(Opcode.TEXT, ONE)])
            self.begin(state)
            frames = client.receive()
            late = Client(self.site)
            if state in GONE:
                ((opcode, payload),) = frames
                least = 3300 if state is State.WITHDRAWN else 3000
                self.assertEqual((opcode, least <= int.from_bytes(payload[:2]) < 3500), (Opcode.CLOSE, True))
                answer = Response.parse(late.transport.value())
                self.assertEqual((answer.status, answer.headers["livefeed-state"]), (410, state.value))
                self.assertEqual("retry-after" in answer.headers, state is State.EXPIRED)
            else:
                self.assertEqual((frames, late.receive()), ([], [(Opcode.TEXT, ONE)]))
            self.end()

    def test_list(self) -> None:
        """It has the state of each feed, and the version of no document that is withdrawn."""
        for state in State:
            self.end()
            self.begin(state)
            (told,) = json.loads(request(self.site, b"GET /-/feeds.json HTTP/1.1").body)["feeds"]
            self.assertEqual(
                (told["state"], told["version"]), (state.value, None if state is State.WITHDRAWN else version_of(ONE))
            )

    def test_no_document_yet(self) -> None:
        """Before the first good pull the feed is stale, and there is nothing else to tell."""
        self.site = make_site(Feed("feed", clock=self.clock)).site
        answer = self.get()
        self.assertEqual((answer.status, answer.headers["livefeed-state"]), (503, "stale"))
        self.assertIn("retry-after", answer.headers)
        self.assertEqual({"livefeed-at", "livefeed-age", "livefeed-version"} & answer.headers.keys(), set())
        self.assertEqual(self.events(event_client.Client(self.site)), [("state", {"state": "stale", "at": None}, "")])
        for way in ("events 1", "websocket 1", "events 2", "websocket 2"):
            self.assertEqual(self.follow(way)(), [], way)
        self.assertEqual(Client(self.site).receive(), [])
        (told,) = json.loads(request(self.site, b"GET /-/feeds.json HTTP/1.1").body)["feeds"]
        self.assertEqual((told["state"], told["version"], told["at"]), ("stale", None, None))
