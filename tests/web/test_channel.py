"""Requests that livefeed refuses although twisted.web would accept them, timeouts, and how connections are closed."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from livefeed.document.codings import MAX_MEMBERS
from livefeed.testing import Response, make_site, publish
from livefeed.web.answers import answer
from livefeed.web.channel import MAX_AT_FIRST, MAX_AT_ONCE, Channel

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from livefeed.delivery.delivery import Delivery
    from livefeed.web.request import Request

DOCUMENT = b'{"a": 1.50}'
GET = b"GET /feed HTTP/1.1\r\nHost: localhost\r\n\r\n"


class HalfClosingTransport(StringTransport):
    """A TCP connection, as far as closing it goes.

    :ivar ended: whether the server has said its last word.
    """

    ended = False
    protocol: Protocol

    def loseWriteConnection(self) -> None:
        self.ended = True

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        for data in iovec:
            self.write(data)


class Recorder(Protocol):
    """A protocol that writes down what it receives."""

    def __init__(self) -> None:
        self.received = b""

    def dataReceived(self, data: bytes) -> None:
        self.received += data


class ChannelTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        made = make_site(clock=self.clock, upgrade=self.upgrade)
        publish(made.feed, DOCUMENT)
        self.recorder = Recorder()
        self.site = made.site
        self.site.resource.putChild(b"later", LaterResource())
        self.connect()

    def upgrade(self, upgrading: Request, delivery: Delivery) -> int:
        upgrading.channel.hand_over(self.recorder)
        return NOT_DONE_YET

    def connect(self) -> None:
        self.transport = HalfClosingTransport()
        channel = self.site.buildProtocol(None)
        assert isinstance(channel, Channel)
        self.channel = channel
        self.channel.makeConnection(self.transport)

    def receive(self, data: bytes) -> Response:
        """Sends bytes, and gives the answer to them."""
        self.transport.clear()
        self.channel.dataReceived(data)
        return Response.parse(self.transport.value())

    def assert_refused(self, status: int, data: bytes) -> None:
        """Sends bytes on a new connection; they are answered once, in JSON, and the connection ends."""
        self.connect()
        response = self.receive(data)
        self.assertEqual((data[:200], response.status), (data[:200], status))
        self.assertEqual(response.headers["content-type"], "application/problem+json")
        self.assertEqual(response.headers["connection"], "close")
        self.assertEqual(response.headers["cache-control"], "no-store")
        self.assertEqual(int(response.headers["content-length"]), len(response.body))
        self.assertEqual(json.loads(response.body)["status"], status)
        self.assert_closing()

    def assert_closing(self) -> None:
        """The server has said its last word, listens no more, and hangs up if the client does not."""
        self.assertTrue(self.transport.ended)
        sent = self.transport.value()
        self.channel.dataReceived(GET)
        self.assertEqual(self.transport.value(), sent)
        self.assertFalse(self.transport.disconnecting)
        self.clock.advance(2)
        self.assertTrue(self.transport.disconnecting)
        self.assertFalse(self.transport.disconnected)
        self.clock.advance(300)
        self.assertTrue(self.transport.disconnected)


class LaterResource(Resource):
    """Answers when it is told to."""

    isLeaf = True
    waiting: Request | None = None

    def render(self, request: Request) -> int:
        type(self).waiting = request
        return NOT_DONE_YET

    @classmethod
    def answer(cls) -> None:
        assert cls.waiting is not None
        cls.waiting.write(b"at last")
        cls.waiting.finish()
        cls.waiting = None


class StrictnessTests(ChannelTestCase):
    def test_ordinary_request_is_answered_and_the_connection_kept(self) -> None:
        """Strictness is for the others."""
        for _ in range(3):
            response = self.receive(GET)
            self.assertEqual((response.status, response.body), (200, DOCUMENT))
        self.assertFalse(self.transport.ended)

    def test_host_is_required_once(self) -> None:
        """RFC 9112, 3.2."""
        self.assert_refused(400, b"GET /feed HTTP/1.1\r\n\r\n")
        self.assert_refused(400, b"GET /feed HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n")
        self.assert_refused(400, b"GET /feed HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n")

    def test_malformed_host_is_refused(self) -> None:
        """RFC 9112, 3.2: a Host that cannot be one is no better than none."""
        for host in (
            b"",
            b"a b",
            b"a/b",
            b"user@a",
            b"a:80:81",
            b"a:x",
            b"[::1",
            b"a,b c",
            b"\xc3\xa4",
            b"a?b",
            b"a#b",
        ):
            self.assert_refused(400, b"GET /feed HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")

    def test_all_kinds_of_host_are_accepted(self) -> None:
        """Names, addresses, with and without a port (RFC 3986, 3.2.2)."""
        for host in (
            b"a",
            b"a.example:8443",
            b"127.0.0.1",
            b"[::1]",
            b"[::1]:8443",
            b"xn--4ca.example",
            b"a_b",
            b"a:",
        ):
            self.connect()
            response = self.receive(b"GET /feed HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
            self.assertEqual((host, response.status), (host, 200))

    def test_http_1_0_needs_no_host_and_is_not_kept_by_itself(self) -> None:
        """Old clients and health checks of balancers."""
        response = self.receive(b"GET /feed HTTP/1.0\r\n\r\n")
        self.assertEqual((response.status, response.body), (200, DOCUMENT))
        self.assert_closing()

    def test_http_1_0_is_kept_where_the_client_asks_for_it(self) -> None:
        """Load testers and old balancers do (RFC 9112, 9.3), and are told that it is."""
        kept = b"GET %s HTTP/1.0\r\nConnection: %s\r\n%s\r\n"
        for target in (b"/feed", b"/", b"/nope"):
            for value in (b"keep-alive", b"Keep-Alive", b"x, keep-alive"):
                response = self.receive(kept % (target, value, b""))
                self.assertEqual(response.headers["connection"], "keep-alive")
                self.assertEqual(int(response.headers["content-length"]), len(response.body))
                self.assertFalse(self.transport.ended)
        tag = self.receive(GET).headers["etag"].encode()
        self.assertEqual(self.receive(kept % (b"/feed", b"keep-alive", b"If-None-Match: %s\r\n" % tag)).status, 304)
        self.assertFalse(self.transport.ended)
        for value, more in ((b"keep-alive, close", b""), (b"keep-alive", b"Content-Length: 3\r\n"), (b"x", b"")):
            self.connect()
            response = self.receive(kept % (b"/feed", value, more))
            self.assertEqual((value, response.headers.get("connection", "close")), (value, "close"))
            self.assert_closing()

    def test_stream_in_http_1_0_ends_with_the_connection(self) -> None:
        """It has no length, and is no chunks."""
        answer = self.receive(b"GET /feed.sse HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        self.assertEqual(answer.headers["connection"], "close")
        self.assertNotIn("transfer-encoding", answer.headers)
        self.assertIn(b"data: " + DOCUMENT, answer.body)

    def test_versions_are_two(self) -> None:
        """An answer has the version of its request, HTTP/1.1 or 1.0; other versions are refused (RFC 9110, 6.2)."""
        for version in (b"HTTP/1.0", b"HTTP/1.1"):
            self.connect()
            self.channel.dataReceived(b"GET /feed " + version + b"\r\nHost: a\r\n\r\n")
            self.assertTrue(self.transport.value().startswith(version + b" 200 OK\r\n"))
        for version in (b"HTTP/0.9", b"HTTP/1.2", b"HTTP/2.0", b"http/1.1", b"HTTP/1.10", b"HTTPS/1.1"):
            self.assert_refused(400, b"GET /feed " + version + b"\r\nHost: a\r\n\r\n")
            self.assertTrue(self.transport.value().startswith(b"HTTP/1.1 400 "))

    def test_control_characters_are_refused(self) -> None:
        """Control characters are refused in the request line, names, values and folded lines (RFC 9110, 5.5)."""
        for code in (*range(0x09), 0x0A, 0x0B, 0x0C, 0x0D, *range(0x0E, 0x20), 0x7F):
            character = bytes([code])
            for template in (
                b"GET /fe%sed HTTP/1.1\r\nHost: localhost\r\n\r\n",
                b"GET /feed HTTP/1.1\r\nHost: localhost\r\nX-A%s: b\r\n\r\n",
                b"GET /feed HTTP/1.1\r\nX-A: b%sc\r\nHost: localhost\r\n\r\n",
            ):
                self.assert_refused(400, template % character)

    def test_tab_and_text_beyond_ascii_are_let_through_in_values(self) -> None:
        """They are allowed there, if not recommended."""
        self.assertEqual(self.receive(GET[:-2] + b"X-A: b\tc\xe4\xff\r\n\r\n").status, 200)

    def test_target_that_is_none_is_refused(self) -> None:
        """RFC 9112, 3.2: it begins with a slash, is a URL, or is an asterisk."""
        for target in (b"feed", b"xfeed", b"?", b"*feed", b"ftp://a/feed", b"a:443"):
            self.assert_refused(400, b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")

    def test_absolute_target_has_a_host(self) -> None:
        """One that is empty or malformed is refused, and so is a name of a user (RFC 9110, 4.2)."""
        for authority in (b"", b":80", b"user@a", b"user:password@a", b"a b", b"[::1", b"a:b", b"a:123456", b"a,b@"):
            for path in (b"/feed", b"", b"?x"):
                self.assert_refused(400, b"GET http://" + authority + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for target in (b"http://a", b"HTTPS://a?x=/y", b"http://[::1]:8443/feed", b"http://a:/feed"):
            self.connect()
            response = self.receive(b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertEqual((target, response.status), (target, 200))

    def test_absolute_target_goes_before_host(self) -> None:
        """An absolute target overrides the Host field, which must still be present (RFC 9112, 3.2.2)."""
        hosts: list[bytes] = []

        class Asking(Resource):
            isLeaf = True

            def render(self, request: Request) -> bytes:
                hosts.extend(request.requestHeaders.getRawHeaders(b"Host", []))
                return b"x"

        self.site.resource.putChild(b"host", Asking())
        for target in (b"/host", b"http://b.example:8080/host", b"https://c.example/host?x=http://d/"):
            self.receive(b"GET " + target + b" HTTP/1.1\r\nHost: a.example\r\n\r\n")
        self.assertEqual(hosts, [b"a.example", b"b.example:8080", b"c.example"])
        self.assert_refused(400, b"GET http://b.example/host HTTP/1.1\r\n\r\n")

    def test_asterisk_is_for_options_alone(self) -> None:
        """RFC 9112, 3.2.4."""
        response = self.receive(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual((response.status, response.headers["server"]), (204, "livefeed"))
        response = self.receive(b"GET * HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual((response.status, response.headers["server"]), (400, "livefeed"))

    def test_folded_lines_are_refused(self) -> None:
        """RFC 9112, 5.2."""
        self.assert_refused(400, GET[:-2] + b"X-A: b\r\n c\r\n\r\n")
        self.assert_refused(400, GET[:-2] + b"X-A: b\r\n\tc\r\n\r\n")

    def test_long_names_are_refused(self) -> None:
        """The limit is needed because Twisted remembers ten thousand field names forever, however long they are."""
        self.assert_refused(431, GET[:-2] + b"X" * 129 + b": b\r\n\r\n")
        self.connect()
        self.assertEqual(self.receive(GET[:-2] + b"X" * 128 + b": b\r\n\r\n").status, 200)

    def test_target_beyond_ascii_is_refused(self) -> None:
        """RFC 3986 has nothing but ASCII."""
        for character in (b"\x80", b"\xa0", b"\xb0", b"\xc3\xa4"):
            self.assert_refused(400, b"GET /fe" + character + b"ed HTTP/1.1\r\nHost: localhost\r\n\r\n")

    def test_malformed_requests_are_refused_in_json(self) -> None:
        """Requests that twisted.web itself refuses are answered with 400 in the same JSON format as the others."""
        for head in (
            b"nonsense\r\n",
            b"GET /feed\r\n",
            b"GET  /feed HTTP/1.1\r\n",
            b"GET /feed HTTP/2.0\r\n",
            b"G@T /feed HTTP/1.1\r\n",
            b"GET /feed HTTP/1.1\r\nno colon\r\nHost: localhost\r\n\r\n",
            b"GET /feed HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
            b"GET /feed HTTP/1.1\r\nHost : localhost\r\n\r\n",
            b"GET /feed HTTP/1.1\r\n folded: first\r\nHost: localhost\r\n\r\n",
            b"GET /feed HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
            b"GET /feed HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            b"GET /feed HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"GET /feed HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n",
            b"GET /feed HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: identity\r\n\r\n",
        ):
            self.assert_refused(400, head)

    def test_large_heads_are_refused(self) -> None:
        """16 KiB in all, one long line or many short ones; 100 fields, Host among them (RFC 6585, 5)."""
        self.assert_refused(431, GET[:-2] + b"X-A: " + b"a" * 16_384 + b"\r\n\r\n")
        self.assert_refused(431, GET[:-2] + (b"X-A: " + b"a" * 1000 + b"\r\n") * 17 + b"\r\n")
        self.assert_refused(431, GET[:-2] + b"A: b\r\n" * 100 + b"\r\n")
        self.connect()
        self.assertEqual(self.receive(GET[:-2] + b"X-A: " + b"a" * 15_000 + b"\r\n\r\n").status, 200)
        self.assertEqual(self.receive(GET[:-2] + b"A: b\r\n" * 99 + b"\r\n").status, 200)

    def test_larger_heads_can_be_allowed(self) -> None:
        """A head may be as large as the setting, and no larger."""
        self.site.max_head_bytes = 20_000
        self.connect()
        self.assertEqual(self.receive(GET[:-2] + b"X-A: " + b"a" * 19_000 + b"\r\n\r\n").status, 200)
        self.assert_refused(431, GET[:-2] + b"X-A: " + b"a" * 20_000 + b"\r\n\r\n")

    def test_long_targets_are_refused(self) -> None:
        """A long target gets 414 (RFC 9112, 3), a long head without a target 431; a target of 8,000 bytes is served."""
        for data in (b"GET /" + b"a" * 20_000, GET + b"HEAD /" + b"a" * 16_384 + b" HTTP/1.1\r\nHost: a\r\n\r\n"):
            self.connect()
            self.channel.dataReceived(data)
            self.assertIn(b"HTTP/1.1 414 ", self.transport.value())
            self.assert_closing()
        self.assert_refused(431, b"G" * 20_000 + b" / HTTP/1.1\r\n")
        self.connect()
        self.assertEqual(self.receive(GET.replace(b"/feed", b"/feed?" + b"a" * 8000)).status, 200)

    def test_head_is_refused_without_content(self) -> None:
        """HEAD is refused without content (RFC 9110, 9.3.2), even if the request line is malformed."""
        for rest in (
            b"/feed HTTP/1.1\r\n\r\n",
            b"/feed HTTP/1.1\r\nHost: a\r\nX\x01: b\r\n",
            b"/feed HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n",
            b"/feed HTTP/1.1\r\nX: " + b"a" * 20_000,
            b"/feed HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
            b"http:///feed HTTP/1.1\r\nHost: a\r\n\r\n",
            b"/fe\x01ed HTTP/1.1\r\n",
            b" /feed HTTP/1.1\r\n",
            b"/" + b"x" * 20_000,
        ):
            self.connect()
            head = self.receive(GET.replace(b"GET", b"HEAD"))
            self.assertEqual((head.status, head.body), (200, b""))
            refused = self.receive(b"HEAD " + rest)
            self.assertIn(refused.status, (400, 414, 431))
            self.assertEqual((rest[:60], refused.body), (rest[:60], b""))
            self.connect()
            expected = self.receive(b"GET " + rest)
            self.assertEqual(without_date(refused), without_date(expected))
            self.assertEqual(refused.headers["content-length"], str(len(expected.body)))
        self.connect()
        self.receive(GET.replace(b"GET", b"HEAD"))
        self.assertNotEqual(self.receive(b"nonsense\r\n").body, b"")

    def test_close_is_found_in_any_list(self) -> None:
        """The request with the option is the last to be answered, wherever the option stands (RFC 9112, 9.6)."""
        for lines in (
            b"Connection: close",
            b"connection: CLOSE",
            b"Connection: close, TE",
            b"Connection: TE,close",
            b"Connection: keep-alive ,\tclose\t, x",
            b"Connection: ,,close,",
            b"Connection: TE\r\nConnection: close",
        ):
            self.connect()
            self.channel.dataReceived(GET[:-2] + lines + b"\r\n\r\n" + GET)
            response = Response.parse(self.transport.value())
            self.assertEqual((lines, response.status, response.body), (lines, 200, DOCUMENT))
            self.assertEqual(response.headers["connection"], "close")
            self.assert_closing()
        for lines in (
            b"Connection: " + b"," * MAX_MEMBERS + b"close",
            b"Connection: closed",
            b"Connection: x-close",
            b'Connection: "close"',
            b"Close: x",
        ):
            self.connect()
            self.receive(GET[:-2] + lines + b"\r\n\r\n")
            self.assertFalse(self.transport.ended, lines)

    def test_expectations_are_ignored(self) -> None:
        """Unknown expectations are ignored, and so is every expectation of HTTP/1.0 (RFC 9110, 10.1.1 and 15.2)."""
        for line in (b"GET /feed HTTP/1.0", b"GET /feed HTTP/1.1"):
            for expectation in (b"100-continue", b"100-Continue, x", b"tea"):
                self.connect()
                response = self.receive(line + b"\r\nHost: a\r\nExpect: " + expectation + b"\r\n\r\n")
                self.assertEqual((line, expectation, response.status), (line, expectation, 200))
        self.connect()
        head = b"POST /feed HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        self.assertEqual(self.receive(head).status, 405)

    def test_transfer_encoding_ends_with_chunked(self) -> None:
        """Any other coding leaves the end of the content unknown: 400, and the connection is closed (RFC 9112, 6.3)."""
        for method in (b"GET", b"POST"):
            for coding in (
                b"identity",
                b"gzip",
                b"chunked, gzip",
                b"chunked, identity",
                b"xchunked",
                b"",
                b"chunked;q=1",
            ):
                head = b" /feed HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: " + coding + b"\r\n\r\n"
                self.assert_refused(400, method + head)
            head = b" /feed HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n"
            self.assert_refused(400, method + head)

    def test_transfer_encoding_in_http_1_0_ends_the_connection(self) -> None:
        """The connection ends after one answer, whatever the other fields are (RFC 9112, 6.1)."""
        for rest in (b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"):
            self.connect()
            self.channel.dataReceived(
                b"POST /feed HTTP/1.0\r\nConnection: keep-alive\r\n" + rest + b"\r\n0\r\n\r\n" + GET
            )
            self.assertEqual(self.transport.value().count(b"HTTP/1."), 1)
            self.assert_closing()

    def test_length_that_is_none_is_malformed(self) -> None:
        """A length that is no number is 400, however long it is (RFC 9112, 6.3): only a number can be too large."""
        for length in (
            b"x" * 30,
            b"-" + b"1" * 30,
            b"1" * 30 + b" 1",
            b"1" * 30 + b", " + b"1" * 30,
            b"1, 1",
            b"",
            b"\xb2",
        ):
            self.assert_refused(400, GET[:-2] + b"Content-Length: " + length + b"\r\n\r\n")

    def test_content_is_not_waited_for(self) -> None:
        """A request with content is answered at once, and the rest of it is thrown away."""
        for method, status in ((b"GET", 413), (b"HEAD", 413), (b"OPTIONS", 204), (b"POST", 405), (b"PUT", 405)):
            for field in (
                b"Content-Length: 99999999999",
                b"Transfer-Encoding: chunked",
                b"transfer-encoding: Chunked",
            ):
                self.connect()
                response = self.receive(method + b" /feed HTTP/1.1\r\nHost: a\r\n" + field + b"\r\n\r\n")
                self.assertEqual((method, field, response.status), (method, field, status))
                self.assertEqual(response.headers["connection"], "close")
                self.assert_closing()

    def test_length_that_no_number_holds_is_refused(self) -> None:
        """Python refuses to convert more than 4,300 digits; real lengths have at most 19."""
        self.assert_refused(413, GET[:-2] + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n")

    def test_empty_content_is_none(self) -> None:
        """A length of zero says that there is no content, and the connection is kept."""
        response = self.receive(GET[:-2] + b"Content-Length: 0\r\n\r\n")
        self.assertEqual(response.status, 200)
        self.assertFalse(self.transport.ended)

    def test_nobody_is_told_to_go_on(self) -> None:
        """A client that sends Expect: 100-continue gets the final answer immediately (RFC 9110, 10.1.1)."""
        head = b"POST /feed HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n"
        self.assertEqual(self.receive(head).status, 405)
        self.connect()
        self.assertEqual(self.receive(GET[:-2] + b"Expect: 100-continue\r\n\r\n").status, 200)

    def test_nothing_is_answered_after_a_refusal(self) -> None:
        """The bytes behind a malformed request are discarded, because they may have been smuggled."""
        self.assert_refused(400, b"GET /feed HTTP/1.1\r\nHost: a\r\nX\x01: b\r\n\r\n" + GET)
        self.assert_refused(400, b"GET /feed HTTP/1.1\r\nHost: a\r\nbad\r\nContent-Length: 5\r\n\r\n" + GET)
        self.connect()
        self.channel.dataReceived(b"POST /feed HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n" + GET)
        self.assertEqual(self.transport.value().count(b"HTTP/1.1 "), 1)

    def test_pipelined_requests_are_answered_in_order(self) -> None:
        """RFC 9112, 9.3.2."""
        self.channel.dataReceived(GET + b"GET /nope HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
        statuses = [part[:3] for part in self.transport.value().split(b"HTTP/1.1 ")[1:]]
        self.assertEqual(statuses, [b"200", b"404", b"200"])

    @given(st.binary(max_size=60), st.lists(st.integers(0, 200), max_size=5))
    @settings(deadline=None, max_examples=200)
    def test_any_bytes_are_answered_the_same_however_they_are_cut(self, noise: bytes, cuts: list[int]) -> None:
        """No byte breaks the channel, and no boundary between segments changes an answer."""
        data = GET[:20] + noise + GET[20:] + GET
        self.connect()
        self.channel.dataReceived(data)
        whole = without_dates(self.transport.value())
        self.connect()
        places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
        for start, end in pairwise(places):
            self.channel.dataReceived(data[start:end])
        self.assertEqual(without_dates(self.transport.value()), whole)
        self.assertEqual(self.flushLoggedErrors(), [])


def without_date(response: Response) -> tuple[int, dict[str, str]]:
    """Gives status and fields of an answer, without the time at which it was made."""
    return response.status, {**response.headers, "date": "-"}


def without_dates(answers: bytes) -> bytes:
    """Gives answers without the time at which they were made."""
    return re.sub(rb"\r\nDate: [^\r]+", b"", answers)


class BackPressureTests(ChannelTestCase):
    """A client that does not read its answers gets no further answers."""

    def test_pipelined_requests_wait_for_their_reader(self) -> None:
        """A client that does not read gets no further answers: 30 KB of requests could ask for gigabytes."""
        answers = 0

        def write(data: bytes) -> None:
            nonlocal answers
            if data == DOCUMENT:
                answers += 1
                if answers == 3:
                    self.channel.pauseProducing()

        self.transport.write = write  # type: ignore[method-assign]
        self.channel.dataReceived(GET * 10)
        self.assertEqual(answers, 3)
        self.channel.dataReceived(GET * 10)
        self.assertEqual(answers, 3)
        self.channel.resumeProducing()
        self.clock.advance(0)
        self.assertEqual(answers, 20)

    def test_nothing_is_read_while_answers_are_not(self) -> None:
        """Input would pile up in memory, also where the transport is full in the middle of an answer."""
        write = self.transport.write

        def write_and_pause(data: bytes) -> None:
            write(data)
            if data == DOCUMENT:
                self.channel.pauseProducing()

        self.transport.write = write_and_pause  # type: ignore[method-assign]
        self.channel.dataReceived(GET)
        self.assertEqual(self.transport.producerState, "paused")
        self.channel.resumeProducing()
        self.assertEqual(self.transport.producerState, "producing")

    def test_much_that_waits_is_read_on_after_the_answer(self) -> None:
        """Reading is paused while more requests wait behind the first one than are kept, and goes on afterwards."""
        self.channel.dataReceived(b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n")
        self.channel.dataReceived(GET[:-2] + b"X: " + b"x" * 16_000 + b"\r\n")
        self.channel.dataReceived(b"Y: " + b"y" * 200)
        self.channel.dataReceived(b"y" * 200)
        self.assertEqual(self.transport.producerState, "paused")
        assert LaterResource.waiting is not None
        answer(LaterResource.waiting, 200, [], b"")
        self.assertEqual(self.transport.producerState, "producing")

    def test_data_that_comes_while_an_answer_is_written(self) -> None:
        """It waits for the end of the answer."""
        write, more = self.transport.write, [GET, GET + GET]

        def write_and_receive(data: bytes) -> None:
            if more:
                self.channel.dataReceived(more.pop())
            write(data)

        self.transport.write = write_and_receive  # type: ignore[method-assign]
        self.channel.dataReceived(GET)
        heads = self.transport.value().split(DOCUMENT)
        self.assertEqual([head[:15] for head in heads], [b"HTTP/1.1 200 OK"] * 4 + [b""])

    def test_departure_is_noticed_while_an_answer_is_awaited(self) -> None:
        """The channel reads again once the client has read earlier answers, although its last request still waits."""
        self.channel.dataReceived(b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n")
        self.channel.pauseProducing()
        self.assertEqual(self.transport.producerState, "paused")
        self.channel.resumeProducing()
        self.assertEqual(self.transport.producerState, "producing")
        self.channel.dataReceived(GET * 1000)
        self.assertEqual(self.transport.producerState, "paused")
        self.channel.pauseProducing()
        self.channel.resumeProducing()
        self.assertEqual(self.transport.producerState, "paused")
        LaterResource.answer()
        self.assertEqual(self.transport.producerState, "paused")  # some are answered, and others have their turn
        self.clock.pump([0] * 100)
        self.assertEqual(self.transport.producerState, "producing")
        self.assertEqual(self.transport.value().count(b"HTTP/1.1 200"), 1001)

    def test_many_requests_at_once_are_answered_in_portions(self) -> None:
        """Others get their turn in between, and all are answered in the end."""
        self.receive(GET * 100)
        self.assertEqual(self.transport.value().count(b"HTTP/1.1 200"), MAX_AT_FIRST)
        self.channel.resumeProducing()  # as a transport does that was full
        self.assertEqual(self.transport.value().count(b"HTTP/1.1 200"), 2 * MAX_AT_FIRST)
        self.channel.go_on()
        self.assertEqual(self.transport.value().count(b"HTTP/1.1 200"), 2 * MAX_AT_FIRST + MAX_AT_ONCE)
        self.clock.advance(0)
        self.assertEqual(self.transport.value().count(b"HTTP/1.1 200"), 100)

    def test_client_with_many_requests_leaves(self) -> None:
        """The remaining requests of a client that has left are not answered."""
        self.receive(GET * 100)
        self.channel.connectionLost(Failure(ConnectionDone()))
        before = self.transport.value()
        self.clock.advance(0)
        self.assertEqual(self.transport.value(), before)

    def test_answer_may_take_five_minutes_to_be_read(self) -> None:
        """A phone on a bad line is not idle while it reads."""
        self.receive(GET)
        self.channel.pauseProducing()
        self.clock.advance(299)
        self.assertFalse(self.transport.ended)
        self.channel.resumeProducing()
        self.assertEqual(self.receive(GET).status, 200)
        self.channel.pauseProducing()
        self.clock.advance(300)
        self.assertTrue(self.transport.disconnected)

    def test_client_that_sends_no_more_is_answered(self) -> None:
        """Half-closing behind a request is allowed (RFC 9112, 9.6)."""
        self.channel.dataReceived(b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n")
        self.channel.readConnectionLost()
        self.assertFalse(self.transport.ended)
        LaterResource.answer()
        self.assertIn(b"at last", self.transport.value())
        self.assert_closing()

    def test_idle_client_that_sends_no_more_is_closed(self) -> None:
        """There is nothing to wait for."""
        self.receive(GET)
        self.channel.readConnectionLost()
        self.assert_closing()


class TimeTests(ChannelTestCase):
    def test_slow_head_is_cut_off(self) -> None:
        """Each byte is in time for the idle timeout, the whole is not."""
        for data in (b"G", b"ET /feed HTTP/1.1\r\n", b"Host: a\r\n", b"X-A: b\r\n"):
            self.channel.dataReceived(data)
            self.clock.advance(2.4)
        self.assertEqual(self.transport.value(), b"")
        self.clock.advance(0.4)
        self.assertEqual(Response.parse(self.transport.value()).status, 408)
        self.assert_closing()

    def test_second_head_has_its_own_time(self) -> None:
        """The deadline counts from where a head begins, and ends with it."""
        self.channel.dataReceived(GET[:10])
        self.clock.advance(9)
        self.channel.dataReceived(GET[10:] + GET[:10])
        self.transport.clear()
        self.clock.advance(9)
        response = self.receive(GET[10:])
        self.assertEqual(response.status, 200)
        self.clock.advance(60)
        self.assertFalse(self.transport.ended)

    def test_idle_connection_is_closed(self) -> None:
        """After 75 s without a request; nothing is written then."""
        self.receive(GET)
        self.transport.clear()
        self.clock.advance(74)
        self.assertFalse(self.transport.ended)
        self.clock.advance(1)
        self.assertEqual(self.transport.value(), b"")
        self.assert_closing()

    def test_time_without_a_request_counts_from_the_last_answer(self) -> None:
        """However its head was read."""
        for head in ((GET,), (GET[:9], GET[9:])):
            self.connect()
            self.clock.advance(74)
            for piece in head:
                self.channel.dataReceived(piece)
            self.clock.advance(74)
            self.assertFalse(self.transport.ended)
            self.clock.advance(2)
            self.assertTrue(self.transport.ended)

    def test_request_that_waits_is_not_idle(self) -> None:
        """An answer may take its time."""
        self.channel.dataReceived(b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n")
        self.clock.advance(500)
        self.assertFalse(self.transport.ended)
        LaterResource.answer()
        self.assertIn(b"at last", self.transport.value())

    def test_nothing_is_left_ticking(self) -> None:
        """A closed connection leaves no timer behind."""
        self.channel.dataReceived(GET[:10])
        self.channel.connectionLost(None)  # type: ignore[arg-type]
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.site.channels, set())


class DrainTests(ChannelTestCase):
    def test_idle_connection_is_closed_at_once(self) -> None:
        """No request is waiting on an idle connection."""
        self.receive(GET)
        self.channel.drain()
        self.assert_closing()

    def test_request_whose_head_has_begun_is_still_answered(self) -> None:
        """The answer announces that the connection closes."""
        self.channel.dataReceived(GET[:10])
        self.channel.drain()
        self.assertFalse(self.transport.ended)
        response = self.receive(GET[10:])
        self.assertEqual((response.status, response.body), (200, DOCUMENT))
        self.assertEqual(response.headers["connection"], "close")
        self.assert_closing()

    def test_request_that_waits_is_still_answered(self) -> None:
        """The connection is closed after the answer."""
        self.channel.dataReceived(b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n")
        self.channel.drain()
        self.assertFalse(self.transport.ended)
        LaterResource.answer()
        self.assertIn(b"at last", self.transport.value())
        self.assert_closing()

    def test_retired_connection_ends_with_its_next_answer(self) -> None:
        """It stays open until then, and the answer announces the end."""
        self.receive(GET)
        self.channel.retire()
        self.assertFalse(self.transport.ended)
        response = self.receive(GET)
        self.assertEqual((response.status, response.headers["connection"]), (200, "close"))
        self.assert_closing()

    def test_retired_connection_whose_request_is_answered_later(self) -> None:
        """Its answer comes when it comes, and is the last."""
        self.channel.dataReceived(b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n")
        self.channel.retire()
        self.assertFalse(self.transport.ended)
        LaterResource.answer()
        self.assertIn(b"Connection: close", self.transport.value())
        self.assert_closing()


class ReplayTests(ChannelTestCase):
    """Calls to a transport that can replay answers."""

    LABEL = (200, "http", "identity")

    def label(self) -> Hashable:
        repeatable = self.channel.replayable()
        return None if repeatable is None else repeatable.label

    def test_label_of_an_answer(self) -> None:
        """An answer that may be replayed has a label; the label is set for each answer anew."""
        self.assertIsNone(self.label())
        self.receive(GET)
        self.assertEqual(self.label(), self.LABEL)
        self.receive(GET.replace(b"/feed", b"/nope"))
        self.assertIsNone(self.label())
        self.receive(GET)
        self.assertEqual(self.label(), self.LABEL)

    def test_last_answer_may_be_given_again(self) -> None:
        """Where the client has asked for the end, the answer is as good as any; nothing is asked behind it."""
        self.assertEqual(self.receive(GET[:-2] + b"Connection: close\r\n\r\n").headers["connection"], "close")
        self.assertEqual(self.label(), self.LABEL)
        self.assertFalse(self.channel.at_boundary())
        self.assert_closing()
        self.assertEqual(self.label(), self.LABEL)

    def test_nothing_is_given_again_in_the_middle_of_something(self) -> None:
        """While a request has begun, the last answer is not the last thing that went on."""
        self.receive(GET + GET[:10])
        self.assertIsNone(self.label())
        self.receive(GET[10:])
        self.assertEqual(self.label(), self.LABEL)

    def test_refusal_is_not_given_again(self) -> None:
        """Neither the refusal nor the answer before it is replayed, wherever in the head the fault is."""
        for bad in (
            b"GET /\x01 HTTP/1.1\r\n",
            b"G" * 20_000,
            b"nonsense\r\n",
            b"GET /feed HTTP/1.1\r\n\r\n",
            b"GET /feed HTTP/1.1\r\nHost: a b\r\n\r\n",
            b"GET /feed HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
            b"GET /feed HTTP/1.1\r\nHost: a\r\nX\x01: b\r\n\r\n",
            b"GET feed HTTP/1.1\r\nHost: a\r\n\r\n",
            b"POST /feed HTTP/1.1\r\nHost: a\r\n\r\n",
        ):
            for before in (b"", GET):
                self.connect()
                self.channel.dataReceived(before)
                self.assertGreaterEqual(self.receive(bad).status, 400)
                self.assertEqual((bad[:50], before, self.label()), (bad[:50], before, None))


class UpgradeTests(ChannelTestCase):
    def test_protocol_takes_the_connection_over(self) -> None:
        """The new protocol gets the transport and the bytes behind the request; the channel's timeouts are gone."""
        self.channel.dataReceived(GET[:-2] + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\nfirst frame")
        self.assertEqual(self.recorder.received, b"first frame")
        self.assertIs(self.recorder.transport, self.transport)
        self.assertIs(self.transport.protocol, self.recorder)
        self.assertEqual(self.site.channels, set())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nothing_is_answered_afterwards(self) -> None:
        """What the client sends after the request is the new protocol's, also where it looks like a request."""
        self.channel.dataReceived(GET.replace(b"/feed", b"/feed.sse"))
        self.channel.dataReceived(GET)
        self.assertEqual(self.transport.value().count(b"HTTP/1.1 "), 1)


class TimedTransport(HalfClosingTransport):
    """A transport that keeps the time, as the fast transport does.

    :ivar deadlines: those that were set, in seconds.
    """

    over_capacity = False

    def __init__(self) -> None:
        super().__init__()
        self.deadlines: list[float | None] = []

    def set_deadline(self, seconds: float | None) -> None:
        self.deadlines.append(seconds)


class TransportTests(ChannelTestCase):
    """The capabilities of transports."""

    def test_transport_that_keeps_the_time(self) -> None:
        """It has the deadlines, and closes orderly by itself; the channel has no timer."""
        transport = TimedTransport()
        channel = self.site.buildProtocol(None)
        assert isinstance(channel, Channel)
        self.clock.calls.clear()
        channel.makeConnection(transport)
        channel.dataReceived(GET[:10])
        self.assertEqual((transport.deadlines[-2:], self.clock.getDelayedCalls()), ([75, 10], []))
        channel.dataReceived(b"\r\n\r\n")
        self.assertEqual((transport.ended, transport.disconnecting), (False, True))

    def test_wrapped_transport(self) -> None:
        """A wrapper such as Twisted's TLS hands the deadlines on."""
        transport = TimedTransport()
        channel = self.site.buildProtocol(None)
        assert isinstance(channel, Channel)
        wrapper = ProtocolWrapper(WrappingFactory(self.site), channel)
        wrapper.makeConnection(transport)
        channel.dataReceived(GET[:10])
        self.assertEqual(transport.deadlines[-2:], [75, 10])
