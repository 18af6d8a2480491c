"""Server-sent events, driven in memory, and read as the HTML standard has them read."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET

from livefeed.clocks import Moment
from livefeed.delivery import events, framing
from livefeed.delivery.events import HEARTBEAT_S, MAX_RECEIVED_BYTES, MISSED_HEARTBEATS, PUSHED_S
from livefeed.delivery.framing import http_chunk, server_sent_event
from livefeed.document.snapshot import version_of
from livefeed.feed.fanout import SLICE
from livefeed.feed.notice import Notice
from livefeed.feed.state import State
from livefeed.testing import Response, make_site, publish, request
from livefeed.transport.groups import ConnectionGroup
from livefeed.web.reconnect_slots import RECONNECT_DELAYS_S, ReconnectSlots
from livefeed.web.request import Request
from tests.helpers.event_client import LAST_CHUNK, Client, EventSource, dechunk
from tests.helpers.guarded import AUTHORIZATION, SHORT_AUTHORIZATION, SHORT_S, protect
from tests.helpers.transports import Grouped, Transport

if TYPE_CHECKING:
    from livefeed.delivery.delivery import Delivery
    from livefeed.web.request import Request

FIRST, SECOND, THIRD = DOCUMENTS = b'{"n": 1.50}', b'{"n": 2}', b'{"n": 3}'


class StreamTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.serve()

    def serve(self, *origins: str) -> None:
        """Makes a site of a feed that has no snapshot yet."""
        self.clock = Clock()
        made = make_site(clock=self.clock, origins=origins or ("*",), upgrade=self.upgrade)
        self.feed, self.site, (self.served,) = made.feed, made.site, made.published
        self.streams = self.served.delivery.streams

    def upgrade(self, upgrading: Request, delivery: Delivery) -> int:
        """Takes the place of the WebSocket's handshake."""
        upgrading.setResponseCode(101)
        upgrading.finish()
        return NOT_DONE_YET

    def ask(self, *fields: bytes, method: bytes = b"GET", path: bytes = b"/feed.sse") -> Response:
        return request(self.site, b"\n".join([method + b" " + path + b" HTTP/1.1", *fields]))

    def assert_nothing_left(self) -> None:
        """No subscription, open stream, connection or timer is left."""
        self.assertEqual((len(self.feed.subscriptions), len(self.streams.open)), (0, 0))
        self.assertEqual(self.site.channels, set())
        self.assertEqual(self.clock.getDelayedCalls(), [])


class HeadTests(StreamTestCase):
    def test_stream_says_what_it_is(self) -> None:
        """It is not kept by caches, not held back by proxies, ends with its connection, and pages may read it."""
        publish(self.feed, FIRST)
        client = Client(self.site, b"Origin: https://example.org")
        self.assertEqual(client.head.status, 200)
        expected = {
            "content-type": "text/event-stream",
            "cache-control": "no-store, no-transform",
            "x-accel-buffering": "no",
            "connection": "close",
            "access-control-allow-origin": "*",
            "x-content-type-options": "nosniff",
            "transfer-encoding": "chunked",
            "server": "livefeed",
            "livefeed-state": "live",
        }
        self.assertEqual({name: client.head.headers.get(name) for name in expected}, expected)
        self.assertNotIn("content-length", client.head.headers)
        self.assertNotIn("content-encoding", client.head.headers)
        self.assertNotIn("etag", client.head.headers)

    def test_events_are_asked_for_by_path_or_by_type(self) -> None:
        """/feed.sse always sends events, and /feed sends them if the Accept field names their type."""
        publish(self.feed, FIRST)
        for accept in (
            b"text/event-stream",
            b"Text/Event-Stream",
            b"text/event-stream;q=0.1",
            b"text/event-stream; charset=utf-8",
            b"application/json, text/event-stream",
            b"application/json;q=0.9 , text/event-stream;q=0.5, */*;q=0.1",
        ):
            client = Client(self.site, b"Accept: " + accept, path=b"/feed")
            self.assertEqual((accept, client.events()), (accept, [FIRST]))
        for fields in ([], [b"Accept: application/json"], [b"Accept: text/event-stream;q=0"], [b"Accept:"]):
            client = Client(self.site, *fields)
            self.assertEqual((fields, client.events()), (fields, [FIRST]))

    def test_whoever_does_not_name_the_type_gets_the_document(self) -> None:
        """A request that names no event type, or gives it q=0, gets the document; /feed.json never sends events."""
        publish(self.feed, FIRST)
        for accept in (
            b"*/*",
            b"text/*",
            b"text/event-stream;q=0",
            b"text/event-stream;q=0.000, application/json",
            b"text/event-stream;q=nonsense",
            b"text/event-streams",
            b"x-text/event-stream",
            b"",
            b",;,",
        ):
            response = self.ask(b"Accept: " + accept, path=b"/feed")
            self.assertEqual((accept, response.status, response.body), (accept, 200, FIRST))
            self.assertEqual(response.headers["content-type"], "application/json")
        response = self.ask(b"Accept: text/event-stream", path=b"/feed.json")
        self.assertEqual((response.status, response.body), (200, FIRST))
        self.assertEqual(len(self.feed.subscriptions), 0)

    def test_several_lines_of_accept_are_one_list(self) -> None:
        """RFC 9110, 5.3."""
        publish(self.feed, FIRST)
        client = Client(self.site, b"Accept: application/json", b"Accept: text/event-stream", path=b"/feed")
        self.assertEqual(client.events(), [FIRST])

    def test_vary_names_what_the_answer_depended_on(self) -> None:
        """/feed depends on Accept, /feed.sse does not; a list of origins makes both depend on Origin."""
        accept = b"Accept: text/event-stream"
        self.assertEqual(Client(self.site, accept, path=b"/feed").head.headers["vary"], "Accept-Encoding, Accept")
        self.assertNotIn("vary", Client(self.site).head.headers)
        self.serve("https://a.example")
        for origin, allowed in ((b"https://a.example", "https://a.example"), (b"https://b.example", None)):
            head = Client(self.site, b"Origin: " + origin).head
            self.assertEqual((head.status, head.headers["vary"]), (200, "Origin"))
            self.assertEqual(head.headers.get("access-control-allow-origin"), allowed)

    def test_events_are_chunked_for_http_1_1_alone(self) -> None:
        """HTTP/1.0 knows no chunks: there the end of the connection is the end of the stream."""
        publish(self.feed, FIRST)
        old = Client(self.site, version=b"HTTP/1.0")
        self.assertNotIn("transfer-encoding", old.head.headers)
        self.assertEqual(old.head.headers["connection"], "close")
        new = Client(self.site)
        for client in (old, new):
            self.assertEqual(client.events(), [FIRST])
        publish(self.feed, SECOND)
        event = server_sent_event(SECOND, version_of(SECOND))
        self.assertEqual(old.received(), event)
        self.assertEqual(new.received(), b"%x\r\n%s\r\n" % (len(event), event))
        for client in (old, new):
            self.assertEqual(client.events(), [SECOND])
        self.clock.advance(HEARTBEAT_S)
        self.assertEqual((old.heartbeats(), new.heartbeats()), (1, 1))
        self.streams.close(ReconnectSlots())
        line = b"retry: 6000\n"
        self.assertEqual((old.received(), new.received()), (line, b"c\r\n" + line + b"\r\n" + LAST_CHUNK))

    def test_head_is_the_head_alone(self) -> None:
        """It has the fields of GET, and begins no stream (RFC 9110, 9.3.2)."""
        publish(self.feed, FIRST)
        for path, fields in ((b"/feed.sse", ()), (b"/feed", (b"Accept: text/event-stream",))):
            get = Client(self.site, *fields, path=path).head.headers
            for subscription in tuple(self.feed.subscriptions):
                subscription.cancel()
            head = self.ask(*fields, method=b"HEAD", path=path)
            self.assertEqual((head.status, head.body), (200, b""))
            del get["transfer-encoding"]
            self.assertEqual(head.headers, get)
            self.assertEqual(len(self.feed.subscriptions), 0)

    def test_connection_ends_after_head_as_it_says(self) -> None:
        """Connection: close is a promise (RFC 9112, 9.6)."""
        transport = Transport()
        channel = self.site.buildProtocol(None)
        assert channel is not None
        channel.makeConnection(transport)
        channel.dataReceived(b"HEAD /feed.sse HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertEqual(Response.parse(transport.value()).headers["connection"], "close")
        transport.clear()
        channel.dataReceived(b"HEAD /feed HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertEqual(transport.value(), b"")

    def test_options_and_preflights_are_answered(self) -> None:
        """A preflight allows pages of other origins to send Last-Event-ID."""
        response = self.ask(method=b"OPTIONS")
        self.assertEqual((response.status, response.headers["allow"], response.body), (204, "GET, HEAD, OPTIONS", b""))
        preflight = self.ask(b"Origin: https://example.org", b"Access-Control-Request-Method: GET", method=b"OPTIONS")
        self.assertEqual(preflight.status, 204)
        self.assertIn("Last-Event-ID", preflight.headers["access-control-allow-headers"].split(", "))
        self.assertEqual(preflight.headers["access-control-allow-origin"], "*")

    def test_other_methods_are_405(self) -> None:
        """Events are read, too."""
        for method in (b"POST", b"PUT", b"DELETE"):
            response = self.ask(method=method)
            self.assertEqual((method, response.status), (method, 405))
            self.assertEqual(response.headers["allow"], "GET, HEAD, OPTIONS")

    def test_content_is_refused(self) -> None:
        """A request for a stream has none, and begins none with it."""
        for path, accept in ((b"/feed.sse", b"*/*"), (b"/feed", b"text/event-stream")):
            response = self.ask(b"Accept: " + accept, b"Content-Length: 5", path=path)
            self.assertEqual(response.status, 413)
        self.assertEqual(len(self.feed.subscriptions), 0)

    def test_websocket_goes_before_events(self) -> None:
        """A request for an upgrade gets the upgrade, even if it also accepts events."""
        response = self.ask(b"Upgrade: websocket", b"Connection: Upgrade", b"Accept: text/event-stream", path=b"/feed")
        self.assertEqual(response.status, 101)


class EventTests(StreamTestCase):
    def test_state_before_the_first_document(self) -> None:
        """It holds for no time."""
        event = b'event: state\ndata: {"state": "stale", "at": null}\n\n'
        self.assertEqual(self.streams.state_event(chunked=False), event)

    def test_newest_version_comes_at_once_and_then_each_new_one(self) -> None:
        """An unchanged document is not sent again at a tick, though --push=tick repeats it to others."""
        publish(self.feed, FIRST)
        client = Client(self.site)
        self.assertEqual(client.events(), [FIRST])
        for document, expected in ((FIRST, []), (SECOND, [SECOND]), (SECOND, []), (SECOND, []), (FIRST, [FIRST])):
            publish(self.feed, document)
            self.assertEqual(client.events(), expected)

    def test_id_is_the_version(self) -> None:
        """A client can reconnect with the id, on this transport or another."""
        publish(self.feed, FIRST)
        client = Client(self.site)
        assert self.feed.snapshot is not None
        self.assertEqual(client.source.events[1:], [("message", FIRST.decode(), self.feed.snapshot.version)])

    def test_stream_of_an_empty_feed_waits(self) -> None:
        """It is opened before there is a document, and says so."""
        client = Client(self.site)
        self.assertEqual((client.head.status, client.head.headers["livefeed-state"]), (200, "stale"))
        self.assertEqual(client.events(), [])
        self.assertIsNotNone(client.source.retry_ms)
        publish(self.feed, FIRST)
        self.assertEqual(client.events(), [FIRST])

    def test_state_is_told_when_it_changes(self) -> None:
        """Once, and not again at each tick, though the document stays the same; its id is still the last."""
        for push in ("tick", "change"):
            self.serve()
            self.feed.push = push
            publish(self.feed, FIRST)
            client = Client(self.site)
            self.assertEqual(([FIRST], ["live"]), (client.events(), [each["state"] for each in client.states]))
            client.states.clear()
            for _ in range(3):
                self.clock.advance(1)
                self.feed.mark_stale()
                self.assertEqual(client.events(), [])
            at = "1970-01-01T00:00:00.000Z"
            self.assertEqual(client.states, [{"state": "stale", "at": at}])
            self.assertEqual(client.source._id, version_of(FIRST))
            for _ in range(3):
                publish(self.feed, FIRST)
                self.assertEqual(client.events(), [])
            self.assertEqual(client.states[1:], [{"state": "live", "at": "1970-01-01T00:00:03.000Z"}])

    def test_state_is_told_from_the_start(self) -> None:
        """Before the document: a client may come back from another process, with the newest version and any state."""
        publish(self.feed, FIRST)
        live = ("state", '{"state": "live", "at": "1970-01-01T00:00:00.000Z"}', "")
        for have, documents in ((FIRST, []), (SECOND, [FIRST]), (None, [FIRST])):
            client = Client(self.site, *([b"Last-Event-ID: " + version_of(have).encode()] if have else []))
            expected = [live, *(("message", each.decode(), version_of(each)) for each in documents)]
            self.assertEqual(client.source.events, expected)
            client = Client(
                self.site, path=b"/feed.sse?delta=1" + (f"&last-event-id={version_of(have)}".encode() if have else b"")
            )
            ((_, message, _),) = client.source.events
            self.assertEqual(json.loads(message)["state"], "live")

    def test_state_is_told_from_the_start_where_it_is_not_live(self) -> None:
        """A client that already has the newest version is sent the state, too."""
        publish(self.feed, FIRST)
        self.feed.mark_stale()
        client = Client(self.site, b"Last-Event-ID: " + version_of(FIRST).encode())
        self.assertEqual((client.events(), [each["state"] for each in client.states]), ([], ["stale"]))
        publish(self.feed, SECOND)
        self.assertEqual((client.events(), [each["state"] for each in client.states]), ([SECOND], ["stale", "live"]))

    def test_clients_are_told_when_to_come_back(self) -> None:
        """Each another time, within bounds, before anything else."""
        clients = [Client(self.site) for _ in range(50)]
        told = [client.source.retry_ms for client in clients]
        for retry_ms in told:
            assert retry_ms is not None
            self.assertTrue(1000 * RECONNECT_DELAYS_S[0] <= retry_ms <= 1000 * RECONNECT_DELAYS_S[1], retry_ms)
        self.assertGreater(len(set(told)), 10)

    def test_documents_of_several_lines_come_byte_for_byte(self) -> None:
        """White space at the beginning and end of a document is kept: the id is the hash of the data that is sent."""
        client = Client(self.site)
        for document in (
            b'{\n  "n": 0\n}',
            b'{"n": 1}\n',
            b'{"n": 2}\n\n',
            b'\n\n {"n":\n\n3}\n \n',
            b'\t{\t"n": 4, "s": "data: x\\nid: y\\r\\u2028\xe2\x80\xa8\xc2\x85"}',
        ):
            publish(self.feed, document)
            self.assertEqual(client.events(), [document])

    def test_carriage_returns_become_line_feeds(self) -> None:
        """An event cannot hold them: the value is kept, and the number of lines."""
        client = Client(self.site)
        for number, document in enumerate((b'{\r\n  "n": %d\r\n}\r\n', b'{\r  "n": %d\r}', b'{\n"n":\r\r\n%d\n\r}\r')):
            data = document % number
            publish(self.feed, data)
            client.received()
            # The states of the beginning, and of the first document, go before.
            kind, text, identifier = client.source.events[-1]
            client.source.events.clear()
            self.assertEqual((kind, json.loads(text), identifier), ("message", json.loads(data), version_of(data)))
            self.assertEqual(text.encode(), data.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        ),
        st.lists(st.sampled_from(["\n", "\r", "\r\n", " ", "\t"]), min_size=1, max_size=4).map("".join),
        st.integers(1, 50),
    )
    def test_every_document_keeps_its_value(self, value: object, gap: str, cut: int) -> None:
        """Values survive any white space between tokens, and any division of the stream into chunks."""
        tokens = json.dumps(value, ensure_ascii=False, indent=1, separators=("," + gap, ":" + gap))
        # The line ends of the indentation stand between tokens as well: JSON escapes them within strings.
        data = (gap + tokens.replace("\n", gap) + gap).encode("utf-8")
        source = EventSource()
        event = server_sent_event(data, version_of(data))
        text = event.decode("utf-8")
        for start in range(0, len(text), cut):
            source.feed(text[start : start + cut].encode())
        ((kind, received, identifier),) = source.events
        self.assertEqual((kind, json.loads(received), identifier), ("message", value, version_of(data)))
        if b"\r" not in data:
            self.assertEqual(received.encode(), data)

    def test_lines_are_those_of_the_standard(self) -> None:
        """UTF-8 without a mark in front, line feeds alone, known fields, and nothing odd in an id (9.2.5 and 9.2.6)."""
        line = re.compile(r"|:|retry: [0-9]+|id: [0-9a-f]{32}|event: state|data: .*")
        for path in (b"/feed.sse", b"/feed.sse?delta=1"):
            self.serve()
            client = Client(self.site, path=path, version=b"HTTP/1.0")
            stream = b"retry: %d\n" % (client.source.retry_ms or 0)
            for document in (FIRST, b'{\r\n"\xc3\xbc": [1,\r2]\n}', SECOND):
                publish(self.feed, document)
                stream += client.received()
            self.clock.advance(HEARTBEAT_S)
            stream += client.received()
            self.assertEqual((stream[-1:], stream.count(b"\r"), stream.count(b"\0")), (b"\n", 0, 0))
            for each in stream.decode("utf-8")[:-1].split("\n"):
                self.assertTrue(line.fullmatch(each), each)
            self.assertEqual(len(client.source.events), 3 if b"delta" in path else 5)

    def test_no_block_is_empty(self) -> None:
        """Some libraries make a message of each empty line: only a block with data ends with one."""
        for path in (b"/feed.sse", b"/feed.sse?delta=1"):
            self.serve()
            client = Client(self.site, path=path, version=b"HTTP/1.0")
            stream = b"retry: %d\n" % (client.source.retry_ms or 0)
            for document in (FIRST, SECOND):
                self.clock.advance(HEARTBEAT_S)
                publish(self.feed, document)
                self.feed.mark_stale()
                stream += client.received()
            *blocks, rest = stream.split(b"\n\n")
            self.assertEqual(rest, b"")
            self.assertEqual([block for block in blocks if b"\ndata: " not in b"\n" + block], [])
            self.assertIn(b":\n", stream)

    def test_stream_begins_with_a_field(self) -> None:
        """The stream has no byte order mark, which a reader would remove (9.2.5)."""
        publish(self.feed, FIRST)
        response = self.ask(path=b"/feed.sse")
        self.assertTrue(dechunk(response.body)[0].startswith(b"retry: "))

    def test_messages_can_be_events(self) -> None:
        """?delta=1: each is the data of an event, whose id is the version that the client has then."""
        publish(self.feed, FIRST)
        client = Client(self.site, path=b"/feed.sse?delta=1")
        publish(self.feed, SECOND)
        client.received()
        for (_, data, identifier), document in zip(client.source.events, (FIRST, SECOND), strict=True):
            message = json.loads(data)
            self.assertEqual((message["version"], identifier), (version_of(document), version_of(document)))

    def test_items_of_a_stream(self) -> None:
        """?delta=2: each has its path, and none changes the id of the document."""
        publish(self.feed, FIRST)
        for version in (b"HTTP/1.0", b"HTTP/1.1"):
            client = Client(self.site, path=b"/feed.sse?delta=2&follow=/feed/n", version=version)
            client.received()
            told = [(json.loads(data)["path"], last) for _, data, last in client.source.events]
            self.assertEqual(sorted(told), [("/feed", version_of(FIRST)), ("/feed/n", version_of(FIRST))])

    def test_event_is_made_once_for_all(self) -> None:
        """The event is built once for all streams, chunked or not, old or new."""
        made: list[str] = []

        def make(data: bytes, version: str) -> bytes:
            made.append(version)
            return server_sent_event(data, version)

        with mock.patch.object(framing, "server_sent_event", make):
            publish(self.feed, FIRST)
            clients = [Client(self.site, version=(b"HTTP/1.0", b"HTTP/1.1")[n % 2]) for n in range(SLICE + 10)]
            publish(self.feed, SECOND)
            self.clock.advance(0)
            clients += [Client(self.site) for _ in range(3)]
        self.assertEqual(made, [version_of(FIRST), version_of(SECOND)])
        self.assertEqual({client.events()[-1] for client in clients}, {SECOND})

    def test_messages_to_streams_that_can_be_grouped(self) -> None:
        """A group of streams by delta costs one write, and each client gets its message."""
        publish(self.feed, FIRST)
        clients = [Client(self.site, path=b"/feed.sse?delta=1", transport=Grouped()) for _ in range(3)]
        publish(self.feed, SECOND)
        with mock.patch.object(ConnectionGroup, "write", autospec=True, side_effect=ConnectionGroup.write) as write:
            publish(self.feed, THIRD)
        self.assertEqual(write.call_count, 1)
        for client in clients:
            client.received()
            self.assertEqual([last for _, _, last in client.source.events], [version_of(each) for each in DOCUMENTS])

    def test_stream_may_follow_another_request_on_the_connection(self) -> None:
        """Pipelined too."""
        publish(self.feed, FIRST)
        transport = Transport()
        channel = self.site.buildProtocol(None)
        assert channel is not None
        transport.protocol = channel
        channel.makeConnection(transport)
        head = b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
        channel.dataReceived(b"GET /feed" + head + b"GET /feed.sse" + head)
        first, second = transport.value().split(b"HTTP/1.1 200 OK\r\n")[1:]
        self.assertTrue(first.endswith(FIRST))
        source = EventSource()
        source.feed(dechunk(second.partition(b"\r\n\r\n")[2])[0])
        self.assertEqual([data for kind, data, _ in source.events if kind == "message"], [FIRST.decode()])
        self.assertEqual(len(self.streams.open), 1)


class ResumptionTests(StreamTestCase):
    def test_client_that_has_the_newest_version_is_sent_the_next(self) -> None:
        """The version is in the field that EventSource sends, or in the query, since a page can set no field."""
        publish(self.feed, FIRST)
        version = version_of(FIRST).encode()
        clients = [
            Client(self.site, b"Last-Event-ID: " + version),
            Client(self.site, path=b"/feed.sse?last-event-id=" + version),
            Client(self.site, b"Accept: text/event-stream", path=b"/feed?x=y&last-event-id=" + version),
        ]
        for document, expected in ((FIRST, []), (SECOND, [SECOND]), (FIRST, [FIRST])):
            publish(self.feed, document)
            self.assertEqual([client.events() for client in clients], [expected] * len(clients))

    def test_client_that_has_another_version_is_sent_the_newest(self) -> None:
        """An older one, or anything else that it may say."""
        publish(self.feed, FIRST)
        old = version_of(FIRST).encode()
        publish(self.feed, SECOND)
        new = version_of(SECOND).encode()
        for said in (old, b"", b"unknown", b"\xff\xe4", new.upper(), new + b"0", b'"' + new + b'"'):
            client = Client(self.site, b"Last-Event-ID: " + said)
            self.assertEqual((said, client.events()), (said, [SECOND]))
        for said in (old, b"", b"%FF%00", b"a&last-event-id=" + new):
            client = Client(self.site, path=b"/feed.sse?last-event-id=" + said)
            self.assertEqual((said, client.events()), (said, [SECOND]))

    def test_field_goes_before_query(self) -> None:
        """EventSource reconnects with the same URL, and sends its newer version in the field."""
        publish(self.feed, FIRST)
        publish(self.feed, SECOND)
        path = b"/feed.sse?last-event-id=" + version_of(FIRST).encode()
        client = Client(self.site, b"Last-Event-ID: " + version_of(SECOND).encode(), path=path)
        self.assertEqual(client.events(), [])
        path = b"/feed.sse?last-event-id=" + version_of(SECOND).encode()
        client = Client(self.site, b"Last-Event-ID: " + version_of(FIRST).encode(), path=path)
        self.assertEqual(client.events(), [SECOND])

    def test_version_that_is_pulled_only_later_is_not_sent_again(self) -> None:
        """The first pull of a new server does not repeat the version that the client has; other versions are sent."""
        client = Client(self.site, b"Last-Event-ID: " + version_of(FIRST).encode())
        for document, expected in ((FIRST, []), (SECOND, [SECOND]), (FIRST, [FIRST])):
            publish(self.feed, document)
            self.assertEqual(client.events(), expected)


class Narrow(Transport):
    """A transport that every write fills."""

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.producer is not None:
            self.producer.pauseProducing()


class SlowReaderTests(StreamTestCase):
    def test_heartbeats_come_when_they_are_due(self) -> None:
        """A heartbeat comes after each interval without a version."""
        publish(self.feed, FIRST)
        client = Client(self.site)
        self.clock.pump([1.0] * (HEARTBEAT_S - 1))
        self.assertEqual(client.heartbeats(), 0)
        self.clock.pump([1.0] * 2)
        self.assertEqual(client.heartbeats(), 1)
        self.clock.pump([1.0] * (3 * HEARTBEAT_S))
        self.assertEqual(client.heartbeats(), 3)
        self.assertEqual(client.events(), [FIRST])

    def test_no_heartbeat_follows_shortly_after_a_version(self) -> None:
        """A version was a sign of life, in each kind of stream; a push that wrote nothing was none."""
        paths = (b"/feed.sse", b"/feed.sse?delta=1", b"/feed.sse?delta=2")
        publish(self.feed, FIRST)
        clients = [Client(self.site, path=path, transport=Grouped()) for path in paths]
        self.clock.advance(HEARTBEAT_S - PUSHED_S / 2)
        publish(self.feed, SECOND)
        self.clock.pump([PUSHED_S / 2, 1.0])
        self.assertEqual([client.heartbeats() for client in clients], [0, 0, 0])
        self.clock.advance(HEARTBEAT_S - 1)
        self.assertEqual([client.heartbeats() for client in clients], [1, 1, 1])
        # An event stream of documents is sent nothing when the document is pushed that it has.
        self.clock.advance(HEARTBEAT_S - 1)
        publish(self.feed, SECOND)
        self.clock.pump([1.0] * 2)
        self.assertEqual([client.heartbeats() for client in clients], [1, 0, 0])

    def test_no_heartbeat_follows_shortly_after_a_message(self) -> None:
        """Where only changes are pushed, messages of each third tick keep a stream alive; documents do not come."""
        self.feed.push = "change"
        publish(self.feed, FIRST)
        paths = (b"/feed.sse", b"/feed.sse?delta=1", b"/feed.sse?delta=2")
        clients = [Client(self.site, path=path, transport=Grouped()) for path in paths]
        for _ in range(HEARTBEAT_S + 1):
            self.clock.advance(1)
            publish(self.feed, FIRST)
        self.assertEqual([client.heartbeats() for client in clients], [1, 0, 0])

    def test_heartbeats_while_the_document_is_withheld(self) -> None:
        """A version that must not be shown is no sign of life."""
        publish(self.feed, FIRST)
        client = Client(self.site)
        self.feed.decide(State.WITHDRAWN)
        self.clock.advance(HEARTBEAT_S - 1)
        publish(self.feed, SECOND)
        self.clock.pump([1.0] * 2)
        self.assertEqual(client.heartbeats(), 1)

    def test_versions_are_skipped_while_the_client_does_not_read(self) -> None:
        """It gets the newest one when it reads again, and no backlog."""
        publish(self.feed, FIRST)
        client = Client(self.site)
        client.events()
        client.pause()
        for number in range(100):
            publish(self.feed, b"[%d]" % number)
        self.assertEqual(client.received(), b"")
        client.resume()
        self.assertEqual(client.events(), [b"[99]"])
        publish(self.feed, THIRD)
        self.assertEqual(client.events(), [THIRD])

    def test_nothing_is_sent_again_to_a_client_that_missed_nothing(self) -> None:
        """It was full for a moment, while nothing changed."""
        publish(self.feed, FIRST)
        client = Client(self.site)
        client.events()
        client.pause()
        publish(self.feed, FIRST)
        client.resume()
        self.assertEqual(client.received(), b"")

    def test_client_whose_buffer_is_filled_by_the_first_document_skips_from_there_on(self) -> None:
        """A transport may be full before the subscription is there."""
        publish(self.feed, FIRST)
        client = Client(self.site, transport=Narrow())
        self.assertEqual(client.events(), [FIRST])
        publish(self.feed, SECOND)
        publish(self.feed, THIRD)
        self.assertEqual(client.events(), [])
        client.resume()
        self.assertEqual(client.events(), [THIRD])

    def test_items_of_a_transport_that_is_full_from_the_start(self) -> None:
        """Nothing is sent before it has room, and then the newest version."""
        publish(self.feed, FIRST)
        client = Client(self.site, path=b"/feed.sse?delta=2", transport=Narrow())
        client.received()
        self.assertEqual(client.source.events, [])
        publish(self.feed, SECOND)
        client.resume()
        client.received()
        self.assertEqual([last for _, _, last in client.source.events], [version_of(SECOND)])

    def test_client_that_takes_nothing_is_dropped(self) -> None:
        """After some heartbeats, none of which it was sent, and not before."""
        publish(self.feed, FIRST)
        client, other = Client(self.site), Client(self.site)
        client.events()
        client.pause()
        self.clock.pump([1.0] * (MISSED_HEARTBEATS * HEARTBEAT_S - 1))
        self.assertFalse(client.transport.disconnected)
        self.clock.pump([1.0] * 3)
        self.assertTrue(client.transport.disconnected)
        self.assertEqual(client.received(), b"")
        self.assertFalse(other.transport.disconnected)
        self.assertEqual(self.feed.tally.dropped, {"silent": 1})

    def test_client_that_takes_a_little_is_kept(self) -> None:
        """Each time that it has drained counts from the beginning."""
        publish(self.feed, FIRST)
        client = Client(self.site)
        for number in range(3 * MISSED_HEARTBEATS):
            client.pause()
            self.clock.pump([1.0] * ((MISSED_HEARTBEATS - 1) * HEARTBEAT_S))
            publish(self.feed, b"[%d]" % number)
            client.resume()
        self.assertFalse(client.transport.disconnected)
        self.assertEqual(client.events()[-1], b"[%d]" % number)

    def test_what_the_client_says_is_ignored_up_to_a_limit(self) -> None:
        """It has nothing to say; one that talks without an end is cut off."""
        publish(self.feed, FIRST)
        client = Client(self.site)
        self.assertEqual(client.events(), [FIRST])
        client.send(b"GET /feed HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for _ in range(MAX_RECEIVED_BYTES // 1024 - 1):
            client.send(b"x" * 1024)
        self.assertFalse(client.transport.disconnected)
        self.assertEqual(client.received(), b"")
        client.send(b"x" * 1024)
        self.assertTrue(client.transport.disconnected)
        self.assertEqual(self.feed.tally.dropped, {"flood": 1})

    def test_what_comes_with_the_request_counts_as_well(self) -> None:
        """Pipelined behind the request for the stream."""
        channel = self.site.buildProtocol(None)
        assert channel is not None
        transport = Transport()
        transport.protocol = channel
        channel.makeConnection(transport)
        channel.dataReceived(b"GET /feed.sse HTTP/1.1\r\nHost: localhost\r\n\r\n" + b"x" * 1000)
        self.assertFalse(transport.disconnected)
        transport.protocol.dataReceived(b"x" * (MAX_RECEIVED_BYTES - 1000))
        self.assertFalse(transport.disconnected)
        transport.protocol.dataReceived(b"x")
        self.assertTrue(transport.disconnected)


class EndTests(StreamTestCase):
    def test_stream_whose_event_breaks_is_cut(self) -> None:
        """Its client comes back by itself: documents and messages, when it comes and when a version does."""
        for path, module in ((b"/feed.sse", framing), (b"/feed.sse?delta=1", events)):
            for newcomer in (False, True):
                self.serve()
                publish(self.feed, FIRST)
                clients = [] if newcomer else [Client(self.site, path=path)]
                with mock.patch.multiple(module, server_sent_event=mock.DEFAULT, http_chunk=mock.DEFAULT) as broken:
                    for function in broken.values():
                        # The first chunk of a stream is the time after which its client comes back.
                        first = [b""] if newcomer and module is events else []
                        function.side_effect = [*first, *[MemoryError()] * 9]
                    if newcomer:
                        clients = [Client(self.site, path=path)]
                    publish(self.feed, SECOND)
                self.assertTrue(self.flushLoggedErrors(MemoryError))
                self.assertTrue(clients[0].transport.disconnected)
                self.assertEqual(len(self.feed.subscriptions), 0)

    def test_stream_whose_state_breaks_is_cut(self) -> None:
        """The stream is cut, as for a document that breaks."""
        publish(self.feed, FIRST)
        client = Client(self.site)
        self.patch(self.streams, "state_event", mock.Mock(side_effect=MemoryError()))
        self.feed.mark_stale()
        self.assertEqual(len(self.flushLoggedErrors(MemoryError)), 1)
        self.assertTrue(client.transport.disconnected)
        self.assertEqual(len(self.feed.subscriptions), 0)

    def test_lost_connection_leaves_nothing(self) -> None:
        """A lost connection leaves no subscription and no timer, even if the client was paused."""
        publish(self.feed, FIRST)
        clients = [Client(self.site), Client(self.site, version=b"HTTP/1.0"), Client(self.site)]
        clients[1].pause()
        self.assertEqual((len(self.feed.subscriptions), len(self.streams.open)), (3, 3))
        for client, reason in zip(clients, (ConnectionDone(), ConnectionLost(), None), strict=True):
            client.leave(reason)
        self.assert_nothing_left()
        publish(self.feed, SECOND)
        self.assertEqual([client.events()[1:] for client in clients], [[], [], []])

    def test_connection_that_was_cut_off_leaves_nothing(self) -> None:
        """The transport may report the loss immediately, in the middle of the heartbeats."""

        class Prompt(Transport):
            def abortConnection(self) -> None:
                super().abortConnection()
                self.protocol.connectionLost(Failure(ConnectionLost()))

        clients = [Client(self.site, transport=Prompt()) for _ in range(3)]
        for client in clients:
            client.pause()
        self.clock.pump([1.0] * (MISSED_HEARTBEATS * HEARTBEAT_S + 5))
        self.assertTrue(all(client.transport.disconnected for client in clients))
        self.assert_nothing_left()

    def test_close_ends_all_streams(self) -> None:
        """Each stream ends with the last chunk, and nothing behind it."""
        publish(self.feed, FIRST)
        clients = [Client(self.site) for _ in range(3)]
        self.assertEqual(self.served.watchers(), {"websocket": 0, "events": 3, "waiting": 0})
        self.streams.close(ReconnectSlots())
        # They follow no more, while their connections have still bytes to send.
        self.assertEqual((len(self.streams.open), self.streams.followers()), (3, 0))
        self.assertEqual(self.served.watchers(), {"websocket": 0, "events": 0, "waiting": 0})
        publish(self.feed, SECOND)
        for client in clients:
            self.assertEqual(client.events(), [FIRST])
            self.assertEqual(client.ending, LAST_CHUNK)
            self.assertTrue(client.transport.disconnecting)
            client.leave()
        self.assert_nothing_left()

    def test_close_gives_each_client_a_time_of_its_own(self) -> None:
        """It is the last that a client is told, in a line that ends, and without an empty line behind it."""
        publish(self.feed, FIRST)
        clients = [Client(self.site, version=version) for version in (b"HTTP/1.1", b"HTTP/1.0") * 30]
        told = [client.source.retry_ms for client in clients]
        for client in clients:
            self.assertEqual(client.events(), [FIRST])
            client.source.retry_ms = None
        made = 0

        def count(data: bytes) -> bytes:
            nonlocal made
            made += 1
            return http_chunk(data)

        self.patch(events, "http_chunk", count)
        self.streams.close(ReconnectSlots())
        self.assertEqual(made, 8)  # once for 8 clients
        for number, client in enumerate(clients):
            self.assertEqual(client.events(), [])
            self.assertEqual(client.source.retry_ms, 6000 + 20 * (number // 8))
        self.assertNotEqual(told, [client.source.retry_ms for client in clients])

    def test_client_that_comes_back_is_told_the_usual_time(self) -> None:
        """An EventSource keeps the last delay that it was sent: one slow return would be followed by others."""
        returns = ReconnectSlots()
        returns.add(16_000)
        client = Client(self.site)
        self.streams.close(returns)
        client.events()
        self.assertEqual(client.source.retry_ms, 46_000)
        self.serve()
        again = Client(self.site)
        again.events()
        assert again.source.retry_ms is not None
        self.assertTrue(1000 * RECONNECT_DELAYS_S[0] <= again.source.retry_ms <= 1000 * RECONNECT_DELAYS_S[1])

    def test_streams_of_all_feeds_and_parts_share_the_slots(self) -> None:
        """The streams share the slots, or the first of each feed and part would return together."""
        publish(self.feed, FIRST)
        clients = [Client(self.site, path=path) for path in (b"/feed.sse", b"/feed.sse/n") for _ in range(8)]
        self.served.let_go(ReconnectSlots())
        for client in clients:
            client.events()
        self.assertEqual([client.source.retry_ms for client in clients], [6000] * 8 + [6020] * 8)

    def test_no_heartbeat_follows_the_last_chunk(self) -> None:
        """The connection may take a while to end, since the client has still to read."""
        client = Client(self.site)
        self.streams.close(ReconnectSlots())
        client.received()
        self.assertEqual(client.ending, LAST_CHUNK)
        self.clock.pump([1.0] * (HEARTBEAT_S + 1))
        self.assertEqual(client.transport.value(), b"")

    def test_close_ends_a_stream_that_is_full(self) -> None:
        """Its producer leaves, so that the transport need not wait for it."""
        client = Client(self.site)
        client.pause()
        self.streams.close(ReconnectSlots())
        self.assertIsNone(client.transport.producer)
        self.assertTrue(client.transport.disconnecting)
        client.leave()
        self.assert_nothing_left()

    def test_no_stream_is_begun_while_the_server_stops(self) -> None:
        """The client is told to come back; the document is served to the last."""
        publish(self.feed, FIRST)
        self.served.delivery.let_go(ReconnectSlots())
        for path, fields in ((b"/feed.sse", ()), (b"/feed", (b"Accept: text/event-stream",))):
            client = Client(self.site, *fields, path=path)
            self.assertEqual((client.head.status, client.head.headers["content-type"]), (200, "text/event-stream"))
            self.assertEqual(client.head.headers["access-control-allow-origin"], "*")
            self.assertEqual((client.ending, client.events()), (LAST_CHUNK, []))
            self.assertIsNotNone(client.source.retry_ms)
        self.assertEqual(self.ask(path=b"/feed").body, FIRST)
        self.assertEqual(len(self.feed.subscriptions), 0)

    def test_parts_that_are_first_asked_for_while_the_server_stops(self) -> None:
        """No stream of them begins either, and their clients have the slots of all others."""
        publish(self.feed, FIRST)
        self.served.let_go(ReconnectSlots(7.0, 50))
        clients = [Client(self.site, path=b"/feed.sse/n") for _ in range(2)]
        for client in clients:
            self.assertEqual((client.ending, client.events()), (LAST_CHUNK, []))
        self.assertEqual([client.source.retry_ms for client in clients], [7000, 7020])

    def test_one_stream_is_sent_away(self) -> None:
        """It ends with its delay, once; the others stay, and take the next slots when they are let go."""
        publish(self.feed, FIRST)
        one, other = (Client(self.site) for _ in range(2))
        first = next(iter(self.streams.open))
        for delay_ms in (120, 9000):
            first.send_away(delay_ms)
        slots = ReconnectSlots(6.0, 50)
        self.streams.close(slots)
        for client in (one, other):
            client.events()
            self.assertEqual(client.ending, LAST_CHUNK)
        self.assertEqual([one.source.retry_ms, other.source.retry_ms, slots.retry_ms()], [120, 6000, 6020])


class ExpiryTests(StreamTestCase):
    """A document that is too old to be shown."""

    def setUp(self) -> None:
        super().setUp()
        self.feed.gone_after_s = 10
        publish(self.feed, FIRST)

    def test_stream_stays_open_and_is_told(self) -> None:
        """It is sent that the feed is live, and then the document, which may be shown again, though it is the same."""
        client, part = Client(self.site), Client(self.site, path=b"/feed.sse/n")
        self.assertEqual((client.events(), part.events()), ([FIRST], [b"1.50"]))
        for each in (client, part):
            self.assertEqual([told["state"] for told in each.states], ["live"])
            each.states.clear()
        self.clock.advance(10)
        came = Client(self.site)
        comes = Client(self.site, b"Last-Event-ID: " + version_of(FIRST).encode())
        for each in (client, part, came, comes):
            self.assertEqual((each.head.status, each.events()), (200, []))
            self.assertEqual([told["state"] for told in each.states], ["expired"])
            # A client that reconnects from here has no version.
            self.assertEqual(each.source._id, "")
            self.feed.mark_stale()
        publish(self.feed, FIRST)
        for each in (client, part, came, comes):
            each.received()
            self.assertEqual([kind for kind, _, _ in each.source.events], ["state", "message"])
            self.assertEqual(each.events(), [b"1.50" if each is part else FIRST])
            self.assertEqual([told["state"] for told in each.states], ["expired", "live"])
            self.assertEqual(each.ending, b"")

    def test_decisions_are_told(self) -> None:
        """Each decision is one event for the whole and for parts; a withdrawal takes the id and the document back."""
        client, part = Client(self.site), Client(self.site, path=b"/feed.sse/n")
        for decision in (State.HELD, State.ENDED, State.WITHDRAWN):
            self.feed.decide(decision)
        publish(self.feed, SECOND)
        late = Client(self.site, b"Last-Event-ID: " + version_of(FIRST).encode())
        told = {client: ["live", "held", "ended", "withdrawn"], late: ["withdrawn"]}
        told[part] = told[client]
        for each, states in told.items():
            self.assertEqual(each.events(), [] if each is late else [b"1.50" if each is part else FIRST])
            self.assertEqual([state["state"] for state in each.states], states)
            self.assertEqual(each.source._id, "")
            each.states.clear()
        self.feed.decide(None)
        for each in told:
            self.assertEqual(len(each.events()), 1)
            self.assertEqual([state["state"] for state in each.states], ["live"])

    def test_full_stream_is_told_later(self) -> None:
        """The stream is told the state once it drains, and is not sent the version that it was owed."""
        client = Client(self.site)
        client.events()
        client.pause()
        publish(self.feed, SECOND)
        self.clock.advance(10)
        client.resume()
        self.assertEqual((client.events(), [told["state"] for told in client.states]), ([], ["live", "expired"]))

    def test_messages_have_no_document(self) -> None:
        """The messages of the state reset the id, so that the next message is whole."""
        client = Client(self.site, path=b"/feed.sse?delta=1")
        self.clock.advance(10)
        late = Client(self.site, path=b"/feed.sse?delta=1&last-event-id=" + version_of(FIRST).encode())
        publish(self.feed, FIRST)
        for each, types in ((client, ["snapshot", "state", "snapshot"]), (late, ["state", "snapshot"])):
            each.received()
            self.assertEqual([json.loads(data)["type"] for _, data, _ in each.source.events], types)
            self.assertEqual([identifier for _, _, identifier in each.source.events][-2:], ["", version_of(FIRST)])
            state = json.loads(each.source.events[-2][1])
            self.assertEqual((state["state"], "data" in state), ("expired", False))


class DeskTests(StreamTestCase):
    """Streams while the desk holds a document back, and after the end."""

    def setUp(self) -> None:
        super().setUp()
        self.clock.advance(1000)
        publish(self.feed, FIRST)
        self.version = self.feed.snapshot.version if self.feed.snapshot else ""

    def notice(self, why: str, *, waits: bool) -> Notice:
        return Notice(State.HELD, why, Moment(900.0, 900.0) if waits else None, "hold")

    def test_changes_are_told(self) -> None:
        """A document that begins to wait, one that waits no more, and another public reason: each is one event."""
        client = Client(self.site)
        client.events()
        self.feed.tell_reasons(are_public=True)
        for notice in (
            self.notice("a", waits=False),
            self.notice("a", waits=True),
            self.notice("a", waits=True),
            self.notice("b", waits=True),
            self.notice("b", waits=False),
        ):
            self.feed.heed(notice)
            publish(self.feed, FIRST)
        client.events()
        told = [(each.get("reason"), each.get("waiting")) for each in client.states[1:]]
        self.assertEqual(told, [("a", None), ("a", 100_000), ("b", 100_000), ("b", None)])

    def test_reason_that_is_not_public(self) -> None:
        """Its change is told nobody."""
        client = Client(self.site)
        self.feed.heed(self.notice("a", waits=False))
        self.feed.heed(self.notice("b", waits=False))
        client.events()
        self.assertEqual([each["state"] for each in client.states], ["live", "held"])
        self.assertNotIn("reason", client.states[-1])

    def test_overlay(self) -> None:
        """Other pointers of an editor's values are one event, before the document that they belong to."""
        client = Client(self.site)
        client.events()
        for overlay in (("/a",), ("/a",), ("/b",), ()):
            self.feed.heed(Notice(overlay=overlay))
        client.events()
        self.assertEqual([each.get("overlay") for each in client.states], [None, ["/a"], ["/b"], None])

    def test_end(self) -> None:
        """A client that comes back with the last version is told to come no more, on all kinds of streams."""
        self.feed.decide(State.ENDED)
        last = b"Last-Event-ID: " + self.version.encode()
        for path in (b"/feed.sse", b"/feed.sse?delta=1", b"/feed.sse?delta=2"):
            answer = self.ask(last, path=path)
            self.assertEqual((answer.status, answer.headers["cache-control"]), (204, "no-store"))
        # All others have something to learn.
        for path, fields in (
            (b"/feed.sse", []),
            (b"/feed.sse", [b"Last-Event-ID: " + b"0" * 32]),
            (b"/feed.sse?last-event-id=" + self.version.encode(), []),
            (b"/feed.sse?delta=2&have=" + self.version.encode(), []),
            (b"/feed.sse?delta=2&follow=/feed", [last]),
        ):
            self.assertEqual(Client(self.site, *fields, path=path).head.status, 200, (path, fields))
        self.feed.decide(None)
        self.assertEqual(Client(self.site, last).head.status, 200)


class ProtectedTests(StreamTestCase):
    """Streams of a protected feed."""

    def test_the_end_of_a_token(self) -> None:
        """The stream ends with a time to come back, and nothing is kept of one that has ended before."""
        guard = protect(self.served, self.site)
        self.assertEqual(self.ask().status, 401)
        publish(self.feed, FIRST)
        transports = []
        for path in (b"/feed.sse", b"/feed.sse?delta=2"):
            client = Client(self.site, SHORT_AUTHORIZATION, path=path)
            transports.append(client.transport)
        self.assertEqual(len(guard.admissions), 2)
        self.clock.advance(SHORT_S)
        for transport in transports:
            self.assertTrue(transport.disconnecting)
            self.assertIn(b"retry: 1000\n", transport.value())
        gone = Client(self.site, AUTHORIZATION)
        self.assertEqual(len(guard.admissions), 1)
        gone.transport.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(len(guard.admissions), 0)
