"""Every kind of answer is checked against the rules of RFC 9110 and RFC 9112 that hold for all answers."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import datetimeToString
from twisted.web.resource import Resource

from livefeed.feed.feed import Feed
from livefeed.feed.parts import MAX_PARTS
from livefeed.feed.state import State
from livefeed.testing import RecordingSubscriber, Response, make_site, publish, request
from livefeed.web import problems
from livefeed.web.answers import fields_by_name, head_of, http_date, line_of
from livefeed.web.reconnect_slots import ReconnectSlots
from livefeed.web.time_limits import HEAD_TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from livefeed.web.request import Request

DOCUMENT = b'{"list": [' + b", ".join(b"%d.50" % number for number in range(MAX_PARTS + 1)) + b"]}"
NEWER = DOCUMENT.replace(b"[0.50", b"[9.50")
HOST = b"Host: localhost\r\n"
HANDSHAKE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)

_STATUS_LINE = re.compile(rb"HTTP/1\.1 [1-5][0-9]{2} [ -~]*")
_FIELD_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+: (?:[!-~]+(?:[ \t][!-~]+)*)?")
_IMF_FIXDATE = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [0-9]{4} "
    r"[0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
)


@dataclass(frozen=True)
class Exchange:
    """A request, and the bytes that answered it."""

    request: bytes
    answer: bytes

    @property
    def method(self) -> bytes:
        return self.request.partition(b" ")[0]

    @property
    def head(self) -> list[bytes]:
        return self.answer.partition(b"\r\n\r\n")[0].split(b"\r\n")

    @property
    def response(self) -> Response:
        return Response.parse(self.answer)


class Transport(StringTransport):
    """A transport that, like the real ones, does not mind a producer that leaves twice."""

    protocol: Any

    def unregisterProducer(self) -> None:
        self.producer = None


class BrokenError(Exception):
    pass


class Broken(Resource):
    isLeaf = True

    def render(self, request: Request) -> int:
        raise BrokenError


class GoneTests(SynchronousTestCase):
    """Documents that must not be shown."""

    def test_too_old(self) -> None:
        """The client comes back at the next tick."""
        feed = Feed("feed", clock=Clock(), gone_after_s=1.0)
        publish(feed, b"1")
        feed.gone_after_s = 0.0
        feed.mark_stale()
        answer = request(make_site(feed).site, b"GET /feed HTTP/1.1")
        self.assertEqual((answer.status, "retry-after" in answer.headers), (410, True))
        self.assertIn(b"too old to be shown", answer.body)

    def test_withdrawn(self) -> None:
        """Nothing tells when another document comes."""
        feed = Feed("feed", clock=Clock())
        publish(feed, b"1")
        feed.decide(State.WITHDRAWN)
        answer = request(make_site(feed).site, b"GET /feed HTTP/1.1")
        self.assertEqual((answer.status, "retry-after" in answer.headers), (410, False))
        self.assertIn(b"is withdrawn", answer.body)

    def test_one_more_than_may_follow(self) -> None:
        """It comes back later."""
        made = make_site()
        publish(made.feed, b"1")
        made.published[0].max_subscribers = 1
        made.feed.subscribe(RecordingSubscriber())
        tag = made.feed.snapshot.version.encode() if made.feed.snapshot else b""
        answer = request(made.site, b'GET /feed HTTP/1.1\nPrefer: wait=9\nIf-None-Match: "%b"' % tag)
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "10"))


class EveryAnswerTests(SynchronousTestCase):
    def serve(self, *, empty: bool = False) -> None:
        """Makes a site, of a document with a history unless it is to be empty."""
        self.clock = Clock()
        made = make_site(clock=self.clock, origins=["https://a.example"])
        self.feed, self.site, (self.served,) = made.feed, made.site, made.published
        self.site.resource.putChild(b"broken", Broken())
        if not empty:
            publish(self.feed, DOCUMENT)
            publish(self.feed, NEWER)

    def ask(self, request: bytes, *, wait_s: int = 0) -> Exchange:
        """Sends bytes on a connection of their own."""
        transport = Transport()
        channel = self.site.buildProtocol(None)
        assert channel is not None
        transport.protocol = channel
        channel.makeConnection(transport)
        channel.dataReceived(request)
        self.clock.advance(wait_s)
        return Exchange(request, transport.value())

    def answers(self, *methods: bytes) -> Iterator[Exchange]:
        """Gives an answer of each kind that there is, to requests with these methods where the kind allows it."""
        self.serve(empty=True)
        for method in methods:
            yield self.ask(b"%s /feed HTTP/1.1\r\n%s\r\n" % (method, HOST))
        self.serve()
        old, newest = (f'"{version}"'.encode() for version in (self.version_of(DOCUMENT), self.version_of(NEWER)))
        for method in methods:
            for target, lines in (
                (b"/feed", b""),
                (b"/feed.json", b"Accept-Encoding: gzip\r\n"),
                (b"/feed/list/1", b"Connection: close\r\n"),
                (b"/feed", b"Origin: https://a.example\r\nPrefer: wait=0\r\n"),
                (b"/feed.sse", b""),
                (b"/", b""),
                (b"/-/page/main.js", b""),
                (b"/feed", b"A-IM: json-patch\r\nIf-None-Match: " + old + b"\r\n"),
                (b"/feed", b"If-None-Match: " + newest + b"\r\n"),
                (b"/", b"If-None-Match: *\r\n"),
                (b"/nope", b""),
                (b"/feed/nope", b""),
                (b"/feed", b'If-Match: "x"\r\n'),
                (b"/", b'If-Match: "x"\r\n'),
                (b"/feed", b"Content-Length: 3\r\n"),
                (b"/", b"Content-Length: 3\r\n"),
                (b"/feed.ws", b""),
                (b"/feed.ws", b"Connection: close\r\n"),
                (b"/feed.ws", HANDSHAKE.replace(b"13", b"12")),
                (b"/feed.ws", HANDSHAKE + b"Sec-WebSocket-Extensions: ;\r\n"),
                (b"/feed.ws", HANDSHAKE + b"Origin: https://b.example\r\n"),
                (b"/feed.ws", HANDSHAKE),
                (b"*", b""),
                (b"feed", b""),
                (b"http:///feed", b""),
                (b"/broken", b""),
                (b"/feed", b"X : y\r\n"),
                (b"/feed", b"X: \x01\r\n"),
                (b"/feed", b"Host: again\r\n"),
                (b"/feed", b"Content-Length: x\r\n"),
                (b"/feed", b"Content-Length: %s\r\n" % (b"9" * 99)),
                (b"/feed", b"Transfer-Encoding: gzip\r\n"),
                (b"/feed", b"X: " + b"x" * 20_000),
                (b"/feed", b"x" * 129 + b": y\r\n"),
                (b"/" + b"x" * 20_000, b""),
            ):
                yield self.ask(b"%s %s HTTP/1.1\r\n%s%s\r\n" % (method, target, HOST, lines))
            yield self.ask(b"%s /feed HTTP/1.1\r\nHost: " % method, wait_s=HEAD_TIMEOUT_S)
            yield from self.answers_when_full(method)
        for target in (b"/feed", b"/feed.sse", b"*"):
            yield self.ask(b"OPTIONS %s HTTP/1.1\r\n%s\r\n" % (target, HOST))
        for target in (b"/feed", b"/feed.sse", b"/feed/list", b"/feed.ws", b"/", b"/-/page/page.css"):
            yield self.ask(b"DELETE %s HTTP/1.1\r\n%s\r\n" % (target, HOST))
        self.flushLoggedErrors(BrokenError)

    def answers_when_full(self, method: bytes) -> Iterator[Exchange]:
        """Gives the answers of a server that looks after all parts that it can, and of one that stops."""
        for number in range(MAX_PARTS + 1):
            exchange = self.ask(b"%s /feed/list/%d HTTP/1.1\r\n%s\r\n" % (method, number, HOST))
        yield exchange
        self.served.let_go(ReconnectSlots())
        yield self.ask(b"%s /feed.sse HTTP/1.1\r\n%s\r\n" % (method, HOST))
        self.serve()

    @staticmethod
    def version_of(data: bytes) -> str:
        feed = Feed("feed", clock=Clock())
        publish(feed, data)
        assert feed.snapshot is not None
        return feed.snapshot.version

    def test_all_kinds_are_here(self) -> None:
        """Every status of docs/reference/protocol.md, and no other; without them this module would prove little."""
        statuses = {exchange.response.status for exchange in self.answers(b"GET")}
        self.assertEqual(
            statuses,
            {101, 200, 204, 226, 304, 400, 403, 404, 405, 408, 412, 413, 414, 426, 431, 500, 503},
        )

    def test_heads_are_well_formed(self) -> None:
        """A status line, fields without white space around them or folds, and CRLF alone (RFC 9112, 2.1, 4 and 5)."""
        for exchange in self.answers(b"GET", b"HEAD"):
            status_line, *field_lines = exchange.head
            self.assertTrue(_STATUS_LINE.fullmatch(status_line), status_line)
            for line in field_lines:
                self.assertTrue(_FIELD_LINE.fullmatch(line), line)

    def test_no_field_is_there_twice(self) -> None:
        """Several values, if allowed, stand in one line (RFC 9110, 5.3)."""
        for exchange in self.answers(b"GET", b"HEAD"):
            names = [line.partition(b":")[0].lower() for line in exchange.head[1:]]
            self.assertEqual(sorted(names), sorted(set(names)), exchange)

    def test_lists_have_no_empty_members(self) -> None:
        """RFC 9110, 5.6.1.1."""
        for exchange in self.answers(b"GET", b"HEAD"):
            for name in ("allow", "connection", "vary", "cache-control", "access-control-expose-headers"):
                value = exchange.response.headers.get(name, "x")
                self.assertTrue(all(member.strip() for member in value.split(",")), (exchange.request, name, value))

    def test_date_is_told(self) -> None:
        """In every 2xx, 3xx and 4xx, and in the one format that may be sent (RFC 9110, 6.6.1 and 5.6.7)."""
        for exchange in self.answers(b"GET", b"HEAD"):
            if 200 <= exchange.response.status < 500:
                date = exchange.response.headers.get("date", "")
                self.assertTrue(_IMF_FIXDATE.fullmatch(date), (exchange.request[:99], exchange.head))
                self.assertLess(abs(datetime.now(UTC) - parsedate_to_datetime(date)), timedelta(minutes=1))

    def test_head_is_answered_without_content(self) -> None:
        """An answer to HEAD never has content, for any status (RFC 9110, 9.3.2)."""
        for exchange in self.answers(b"HEAD"):
            if exchange.method == b"HEAD":
                self.assertEqual((exchange.request[:99], exchange.response.body), (exchange.request[:99], b""))

    def test_head_has_the_fields_of_get(self) -> None:
        """RFC 9110, 9.3.2: also where either is refused."""
        get, head = ([*self.answers(method)] for method in (b"GET", b"HEAD"))
        for one, other in zip(get, head, strict=True):
            if one.response.status == 101 or b"Upgrade: websocket" in one.request:
                continue  # a handshake is a GET
            if one.request.startswith(b"GET /feed.ws"):
                continue  # where there is nothing but the WebSocket
            expected = {**one.response.headers, "date": other.response.headers.get("date", "")}
            expected.pop("transfer-encoding", None)
            self.assertEqual((one.request[:99], one.response.status), (one.request[:99], other.response.status))
            self.assertEqual(
                (one.request[:99], {**other.response.headers, "date": expected["date"]}), (one.request[:99], expected)
            )

    def test_length_is_that_of_the_content(self) -> None:
        """The content has a length or chunks, not both, and none where it is forbidden (RFC 9110, 8.6; RFC 9112, 6)."""
        for exchange in self.answers(b"GET"):
            status, headers, body = exchange.response.status, exchange.response.headers, exchange.response.body
            framing = {"content-length", "transfer-encoding"} & {*headers}
            if status in (101, 204, 304):
                self.assertEqual((exchange.request, framing), (exchange.request, set()))
            elif exchange.method != b"HEAD":
                self.assertEqual(len(framing), 1, exchange)
                self.assertIn(headers.get("transfer-encoding"), (None, "chunked"))
                self.assertEqual(int(headers.get("content-length", len(body))), len(body))

    def test_no_content_where_there_can_be_none(self) -> None:
        """RFC 9110, 15.3.5 and 15.4.5."""
        for exchange in self.answers(b"GET"):
            if exchange.response.status in (204, 304):
                self.assertEqual((exchange.request, exchange.response.body), (exchange.request, b""))

    def test_methods_that_are_allowed_are_named(self) -> None:
        """Every 405 has an Allow field (RFC 9110, 15.5.6)."""
        for exchange in self.answers(b"GET"):
            if exchange.response.status == 405:
                self.assertIn("GET", exchange.response.headers["allow"].split(", "))

    def test_upgrade_is_named(self) -> None:
        """In every 101 and 426, and that it is for this connection alone (RFC 9110, 7.8 and 15.5.22)."""
        for exchange in self.answers(b"GET"):
            if exchange.response.status in (101, 426):
                self.assertEqual(exchange.response.headers["upgrade"].lower(), "websocket")
            if "upgrade" in exchange.response.headers:
                options = exchange.response.headers["connection"].lower().split(", ")
                self.assertIn("upgrade", options)
                self.assertEqual("close" in options, b"Connection: close" in exchange.request)

    def test_coding_is_named(self) -> None:
        """Content-Encoding names the coding, and never 'identity' (RFC 9110, 8.4)."""
        for exchange in self.answers(b"GET"):
            coded = exchange.response.status == 200 and b"Accept-Encoding" in exchange.request
            expected = "gzip" if coded else None
            self.assertEqual(exchange.response.headers.get("content-encoding"), expected, exchange.request)

    def test_errors_are_problems(self) -> None:
        """With the status that the answer has, a type, and the title of this type (RFC 9457, 3.1)."""
        types = {each.path: each for each in problems.TYPES}
        for exchange in self.answers(b"GET"):
            response = exchange.response
            if response.status >= 400:
                self.assertEqual(response.headers["content-type"], "application/problem+json")
                self.assertTrue(response.body.endswith(b"}\n"))
                problem = json.loads(response.body)
                self.assertEqual({*problem}, {"type", "title", "status", "detail"})
                self.assertEqual(problem["status"], response.status)
                kind = types[problem["type"]]
                self.assertEqual((kind.status, kind.title), (response.status, problem["title"]))
                self.assertIsInstance(problem["detail"], str)
                self.assertTrue(problem["detail"])

    def test_errors_are_not_kept(self) -> None:
        """No cache may keep an error (RFC 9111, 5.2.2.5)."""
        for exchange in self.answers(b"GET", b"HEAD"):
            if exchange.response.status >= 400:
                self.assertEqual(exchange.response.headers["cache-control"], "no-store")

    def test_cache_control_is_well_formed(self) -> None:
        """Names, and whole seconds without quotes (RFC 9111, 5.2.2; RFC 5861)."""
        directive = re.compile(
            r"public|no-store|no-cache|no-transform|im|(?:max-age|stale-while-revalidate|stale-if-error)=[0-9]+"
        )
        for exchange in self.answers(b"GET"):
            value = exchange.response.headers.get("cache-control", "public")
            for each in value.split(", "):
                self.assertTrue(directive.fullmatch(each), value)


class HeadTests(SynchronousTestCase):
    """The head of an answer, as bytes."""

    def test_names_are_written_as_twisted_writes_them(self) -> None:
        """All answers write the name of a field alike."""
        fields = [(b"etag", b"1"), (b"IM", b"2"), (b"www-authenticate", b"3"), (b"ETag", b"4")]
        named = fields_by_name([(b"Connection", b"close")], [*fields, (b"connection", b"x")], b"body")
        expected = {b"Connection": b"close, x", b"Server": b"livefeed", b"X-Content-Type-Options": b"nosniff"}
        expected |= {b"ETag": b"4", b"Im": b"2", b"WWW-Authenticate": b"3", b"Content-Length": b"4"}
        self.assertEqual(named, expected)
        self.assertEqual([*named], [*expected])
        self.assertNotIn(b"Content-Length", fields_by_name([], [], None))

    def test_no_value_begins_another_line(self) -> None:
        """A line end in a value is a blank, as in twisted.web."""
        for end in (b"\r\n", b"\n", b"\r"):
            head = head_of(200, {b"A": b"1" + end + b"B: 2", b"C": b"3"})
            self.assertEqual(head, b"200 OK\r\nA: 1 B: 2\r\nC: 3\r\n\r\n")
        self.assertEqual(head_of(304, {}), b"304 Not Modified\r\n\r\n")
        self.assertEqual(line_of((b"A", b"1")), b"A: 1\r\n")

    def test_date(self) -> None:
        """It is the present second."""
        self.assertEqual(http_date(), datetimeToString(int(parsedate_to_datetime(http_date().decode()).timestamp())))
