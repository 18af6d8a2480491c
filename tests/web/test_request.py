"""The limits of a target, and the answer to a request whose resource fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import http
from twisted.web.resource import Resource

from livefeed.document.pointer import MAX_TOKENS
from livefeed.testing import Response, make_site, publish, request
from livefeed.transport.answer import LARGE_BYTES
from livefeed.web import request as web_request
from livefeed.web.answers import answer
from livefeed.web.request import MAX_PARAMETERS, MAX_QUERY_BYTES, MAX_SEGMENTS, Request
from livefeed.web.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from livefeed.delivery.delivery import Delivery


class LimitsTests(SynchronousTestCase):
    """The parts of a target that are parsed."""

    def setUp(self) -> None:
        made = make_site(upgrade=self.upgrade)
        publish(made.feed, b'{"a": {"b": 1}}')
        self.args: list[dict[bytes, list[bytes]]] = []
        self.site = made.site
        self.unquoted = 0
        for module in (http, web_request):
            self.patch(module, "unquote", self.unquote)

    def upgrade(self, upgrading: Request, delivery: Delivery) -> int:
        self.args.append(upgrading.args)
        return answer(upgrading, 204, [], None)

    def unquote(self, text: bytes) -> bytes:
        self.unquoted += 1
        return unquote_to_bytes(text)

    def status(self, target: bytes) -> int:
        """Asks for a target, and gives the status of the answer."""
        self.unquoted = 0
        return request(self.site, b"GET " + target + b" HTTP/1.1").status

    def query(self, query: bytes) -> dict[bytes, list[bytes]]:
        """Gives the parameters that the resource sees in a query."""
        head = b"GET /feed.ws?" + query + b" HTTP/1.1\nUpgrade: websocket"
        self.assertEqual(request(self.site, head).status, 204)
        return self.args[-1]

    def test_segments(self) -> None:
        """A path that is longer than any leads nowhere, as it does in full, but is not unquoted in full."""
        self.assertEqual(self.status(b"/%66eed/a/%62"), 200)
        self.assertEqual(self.unquoted, 3)
        for target in (
            b"/" * 15_000,
            b"/a" * 7_000,
            b"/feed" + b"/%61" * 3_000,
            b"http://localhost/feed" + b"/a" * 7_000,
        ):
            self.assertEqual((target[:40], self.status(target)), (target[:40], 404))
            self.assertLessEqual(self.unquoted, MAX_SEGMENTS)
        self.assertEqual(self.status(b"http://localhost/feed/" + b"/".join([b"a"] * MAX_TOKENS)), 404)

    def test_long_paths(self) -> None:
        """Only the beginning of a segment of 15 KB is examined, which is longer than that of any part."""
        longest = b"/feed/" + b"%61" * 1024
        self.assertEqual(self.status(longest), 404)
        for target in (b"/feed/" + b"%2F" * 5_000, b"/" + b"%61" * 5_000, b"/feed?" + b"/" * 15_000):
            self.assertEqual((target[:40], self.status(target)), (target[:40], 200 if b"?" in target else 404))

    def test_hosts_in_the_target_are_whole(self) -> None:
        """The path of an absolute-form target is found, however long the authority is."""
        self.assertEqual(self.status(b"http://" + b"a" * 9_000 + b"/feed/a"), 200)

    def test_parameters(self) -> None:
        """The first of them count, and the others are as if they were not there."""
        for separator in (b"&", b";"):
            others = (b"x=" + separator) * (MAX_PARAMETERS - 1)
            seen = self.query(others + b"have=1")
            self.assertEqual((len(seen[b"x"]), seen[b"have"]), (MAX_PARAMETERS - 1, [b"1"]))
            self.assertEqual(len(self.query(others + b"x=" + separator + b"have=1")[b"x"]), MAX_PARAMETERS)
            self.assertNotIn(b"have", self.query(others + b"x=" + separator + b"have=1"))
        self.assertEqual(self.query(b"&" * 15_000), {})

    def test_long_parameters(self) -> None:
        """A parameter that crosses the limit of bytes is skipped as a whole; no parameter is truncated."""
        filling = b"x=" + b"%61" * 600
        self.assertEqual(set(self.query(b"have=1&" + filling)), {b"have", b"x"})
        self.assertEqual(set(self.query(b"have=1&" + filling * 2)), {b"have"})
        longest = b"x=" + b"a" * (MAX_QUERY_BYTES - 9)
        self.assertEqual(self.query(longest + b"&have=1")[b"have"], [b"1"])
        self.assertEqual(set(self.query(longest + b"&have=11")), {b"x"})
        self.assertEqual(self.query(b"have=" + b"1" * 3_000), {})

    def test_cookies_are_not_read(self) -> None:
        """No resource looks at them."""
        cookies: list[Mapping[bytes, bytes]] = []
        process = Request.process

        def record(each: Request) -> None:
            cookies.append(each.received_cookies)
            process(each)

        self.patch(Request, "process", record)
        request(self.site, b"GET /feed HTTP/1.1\nCookie: a=b; c=d")
        self.assertEqual(cookies, [{}])


class FormsTests(SynchronousTestCase):
    """The forms of a target (RFC 9112, 3.2)."""

    def ask(self, line: bytes) -> Response:
        made = make_site()
        publish(made.feed, b"1")
        return request(made.site, line + b" HTTP/1.1")

    def test_absolute_form(self) -> None:
        """Its path counts, which may be missing."""
        self.assertEqual(self.ask(b"GET http://a.example/feed?x").body, b"1")
        self.assertIn(b"<html", self.ask(b"GET HTTPS://a.example").body)

    def test_asterisk_form(self) -> None:
        """It is for OPTIONS alone."""
        response = self.ask(b"OPTIONS *")
        self.assertEqual((response.status, response.headers["allow"]), (204, "GET, HEAD, OPTIONS"))
        self.assertEqual(self.ask(b"GET *").status, 400)


class FailureTests(SynchronousTestCase):
    def test_failure_in_the_middle_of_an_answer_resets_the_connection(self) -> None:
        """The client must not take the part for the whole."""

        class Broken(Resource):
            isLeaf = True

            def render(self, request: Request) -> int:
                request.setHeader(b"X-First", b"1")
                request.write(b"a")
                raise RuntimeError("secret")

        site, transport = Site(Broken(), reactor=Clock()), StringTransport()
        channel: Any = site.buildProtocol(None)
        channel.makeConnection(transport)
        channel.dataReceived(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        self.assertTrue(transport.disconnected)
        # The fields of a stream begin as those of all other answers.
        begin = rb"HTTP/1\.1 200 OK\r\nConnection: close\r\nServer: livefeed\r\nDate: [^\r]+\r\nX-First: 1\r\n"
        self.assertRegex(transport.value(), begin)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_failure_to_answer_is_500_and_tells_nothing(self) -> None:
        """The traceback is for the log."""

        class Broken(Resource):
            isLeaf = True

            def render(self, request: Request) -> int:
                raise RuntimeError("secret")

        root = Resource()
        root.putChild(b"broken", Broken())
        response = request(Site(root, reactor=Clock()), b"GET /broken HTTP/1.1")
        self.assertEqual(response.status, 500)
        self.assertEqual(response.headers["content-type"], "application/problem+json")
        self.assertNotIn(b"secret", response.body)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class RecordingTransport(StringTransport):
    """A transport that remembers how often it was written to."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[tuple[bytes, ...]] = []

    def write(self, data: bytes) -> None:
        self.writes.append((data,))

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        self.writes.append((*iovec,))


class ReplyTests(SynchronousTestCase):
    """How an answer is written."""

    def setUp(self) -> None:
        made = make_site()
        self.feed, self.site, self.transport = made.feed, made.site, RecordingTransport()
        channel: Any = self.site.buildProtocol(None)
        channel.makeConnection(self.transport)
        self.channel = channel

    def written(self, method: bytes, size: int) -> list[tuple[bytes, ...]]:
        """Gives the writes of an answer without its head."""
        publish(self.feed, b'"%s"' % (b"a" * (size - 2)))
        self.transport.writes.clear()
        self.channel.dataReceived(b"%s /feed HTTP/1.1\r\nHost: a\r\n\r\n" % method)
        (head, *first), *others = self.transport.writes
        self.assertIn(b"\r\nContent-Length: %d\r\n\r\n" % size, head)
        return [tuple(first), *others]

    def test_writes(self) -> None:
        """A small body comes with its head, and a large one, which would be copied, by itself and as it is."""
        small, large = LARGE_BYTES, LARGE_BYTES + 1
        self.assertEqual([[*map(len, each)] for each in self.written(b"GET", small)], [[small]])
        self.assertEqual([[*map(len, each)] for each in self.written(b"GET", large)], [[], [large]])
        self.assertIs(self.transport.writes[1][0], self.feed.snapshot and self.feed.snapshot.data)
        self.assertEqual(self.written(b"HEAD", small), [()])

    def test_client_that_has_left(self) -> None:
        """Answering nobody is an error, as for twisted.web."""
        waiting = b"GET /feed HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\nPrefer: wait=9\r\n\r\n"
        publish(self.feed, b"1")
        self.channel.dataReceived(waiting)
        (left,) = self.channel.requests
        self.channel.connectionLost(Failure(ConnectionDone()))
        self.assertRaises(RuntimeError, answer, left, 200, [])
        self.assertEqual(self.transport.writes, [])

    def test_addresses(self) -> None:
        """They are asked for when they are needed."""
        self.channel.dataReceived(b"GET /feed HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\nPrefer: wait=9\r\n")
        left = Request(self.channel)
        self.assertEqual((left.getClientAddress(), left.getHost()), (left.client, left.host))
        self.assertEqual((left.client, left.host), (self.transport.getPeer(), self.transport.getHost()))
