"""The operator's site: content, commands, limits."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from livefeed.admin.access import Access
from livefeed.admin.commands import METHODS, Arguments, Commands
from livefeed.admin.contents import Contents
from livefeed.admin.reports import NO_ORIGIN
from livefeed.admin.site import (
    CONTENT_TIMEOUT_S,
    MAX_CONNECTIONS,
    MAX_CONTENT_BYTES,
    UNKNOWN_IDLE_S,
    CommandResource,
    OperatorRoot,
    OperatorSite,
)
from livefeed.exceptions import CommandError
from livefeed.testing import Response
from livefeed.web.answers import answer, refuse
from livefeed.web.problems import UNEXPECTED_CONTENT
from livefeed.web.resources import Node
from livefeed.web.site import IDLE_TIMEOUT_S

JSON = b"Content-Type: application/json"


class SiteTestCase(SynchronousTestCase):
    """A site with a command of each kind."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.commands = Commands()
        self.answer: Deferred[Any] = Deferred()
        self.arguments: list[dict[str, Any]] = []
        for name in ("reload", "trace"):
            self.commands.register(name, self.run_command)
        resources = {f"-/{name}": CommandResource(name, self.commands) for name in METHODS}
        self.site = OperatorSite(OperatorRoot(Access(self.clock), resources), reactor=self.clock)

    async def run_command(self, arguments: Arguments) -> Any:
        self.arguments.append(dict(arguments))
        return await self.answer

    def open(self) -> tuple[Any, StringTransport]:
        """Opens a connection."""
        channel = self.site.buildProtocol(None)
        transport = StringTransport()
        channel.makeConnection(transport)
        return channel, transport

    def send(self, line: bytes, *fields: bytes, content: bytes | None = None) -> tuple[Any, StringTransport]:
        """Sends a request on a connection of its own."""
        channel, transport = self.open()
        length = [] if content is None else [b"Content-Length: %d" % len(content)]
        head = [line + b" HTTP/1.1", b"Host: localhost", *fields, *length, b"", b""]
        channel.dataReceived(b"\r\n".join(head) + (content or b""))
        return channel, transport

    def ask(self, line: bytes, *fields: bytes, content: bytes | None = None) -> Response:
        """Sends a request, and gives the answer."""
        _, transport = self.send(line, *fields, content=content)
        return Response.parse(transport.value())


class CommandTests(SiteTestCase):
    """Requests that run commands."""

    def test_report(self) -> None:
        """The arguments are in the content, and the report is in the answer, also if it comes later."""
        _, transport = self.send(b"POST /-/reload", JSON + b"; charset=utf-8", content=b'{"a": [1]}')
        self.assertEqual((self.arguments, transport.value()), ([{"a": [1]}], b""))
        self.answer.callback({"changed": ["feeds"]})
        answer = Response.parse(transport.value())
        self.assertEqual((answer.status, json.loads(answer.body)), (200, {"changed": ["feeds"]}))
        self.assertEqual(answer.headers["cache-control"], "no-store")

    def test_without_arguments(self) -> None:
        """The content may be empty or an empty object, and arrive in pieces; the connection serves the next request."""
        self.answer.callback(None)
        for content in (b"", b"{}"):
            self.assertEqual(self.ask(b"POST /-/reload", JSON, content=content).status, 200)
        channel, transport = self.open()
        for _ in range(2):
            transport.clear()
            channel.dataReceived(
                b"POST /-/reload HTTP/1.1\r\nHost: localhost\r\n" + JSON + b"\r\nContent-Length: 2\r\n"
            )
            for piece in (b"\r\n", b"{", b"}"):
                self.assertEqual(transport.value(), b"")
                channel.dataReceived(piece)
            self.assertEqual(Response.parse(transport.value()).status, 200)
        self.assertEqual(self.arguments, [{}] * 4)

    def test_in_the_path(self) -> None:
        """A command that is read has its argument there."""
        self.answer.callback([])
        self.assertEqual(self.ask(b"GET /-/trace/feed%2F/1.2").status, 200)
        self.assertEqual(self.ask(b"GET /-/trace").status, 200)
        self.assertEqual(self.ask(b"GET /-/trace/" + b"a" * 257).status, 400)
        self.assertEqual(self.arguments, [{"version": "feed//1.2"}, {}])

    def test_failures(self) -> None:
        """The reason of a failure is told; that of a defect is in the log."""
        self.answer.errback(CommandError("the certificate has expired"))
        failed = self.ask(b"POST /-/reload", JSON, content=b"{}")
        self.assertEqual((failed.status, json.loads(failed.body)["detail"]), (409, "the certificate has expired"))
        self.answer = Deferred()
        self.answer.errback(ZeroDivisionError("secret"))
        broken = self.ask(b"POST /-/reload", JSON, content=b"{}")
        self.assertEqual((broken.status, b"secret" in broken.body), (500, False))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.ask(b"POST /-/drain", JSON).status, 501)

    def test_wrong_requests(self) -> None:
        """Nothing but JSON in a POST runs a command: a form of a web page cannot send it."""
        for line, fields, content, status in (
            (b"GET /-/reload", [], None, 405),
            (b"PUT /-/reload", [JSON], b"{}", 405),
            (b"POST /-/trace/1", [JSON], b"{}", 405),
            (b"POST /-/reload", [], b"{}", 415),
            (b"POST /-/reload", [b"Content-Type: text/plain"], b"{}", 415),
            (b"POST /-/reload", [JSON], b"[]", 400),
            (b"POST /-/reload", [JSON], b"{", 400),
            (b"POST /-/reload", [JSON], b"[" * 60000, 400),
            (b"POST /-/reload", [JSON], b'{"a":"\xff"}', 400),
            (b"POST /-/reload", [JSON], b"x" * (MAX_CONTENT_BYTES + 1), 413),
            (b"POST /-/reload", [JSON, b"Transfer-Encoding: chunked"], None, 413),
            (b"GET /-/trace", [b"Content-Length: 1"], None, 413),
            (b"POST /-/bogus", [JSON], b"{}", 404),
            (b"POST /bogus", [JSON], b"{}", 404),
        ):
            self.assertEqual(self.ask(line, *fields, content=content).status, status, (line, fields))
        self.assertEqual(self.arguments, [])

    def test_methods(self) -> None:
        """OPTIONS tells the method of a command."""
        self.assertEqual(self.ask(b"OPTIONS /-/reload").headers["allow"], "POST, OPTIONS")
        self.assertEqual(self.ask(b"OPTIONS /-/trace").headers["allow"], "GET, HEAD, OPTIONS")
        self.assertEqual(self.ask(b"DELETE /-/reload").headers["allow"], "POST, OPTIONS")

    def test_client_that_leaves(self) -> None:
        """The command goes on, and its report is written to nobody, as is its failure."""
        for outcome in ({"a": 1}, CommandError("no")):
            self.answer = Deferred()
            channel, transport = self.send(b"POST /-/reload", JSON, content=b"{}")
            channel.connectionLost(Failure(ConnectionLost()))
            transport.clear()
            self.answer.callback(outcome) if isinstance(outcome, dict) else self.answer.errback(outcome)
            self.assertEqual(transport.value(), b"")

    def test_denied(self) -> None:
        """A page runs no command."""
        answer = self.ask(b"POST /-/reload", JSON, b"Origin: https://evil.example", content=b"{}")
        self.assertEqual((answer.status, self.arguments), (403, []))
        self.assertNotIn("access-control-allow-origin", answer.headers)


class Document(Node):
    """Takes documents.

    :ivar taken: their bytes.
    :ivar kept: fires when a document is no longer needed; ``None`` if it is not needed after its request.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__(NO_ORIGIN)
        self.taken: list[bytes] = []
        self.kept: Deferred[None] | None = None

    def render(self, request: Any) -> int:
        """IResource API."""
        if request.has_content:
            kind, why = request.content_refusal or (UNEXPECTED_CONTENT, "It has content.")
            return refuse(request, kind, why)
        request.keeps_content = self.kept
        self.taken.append(request.content.read())
        return answer(request, 204, [], None)


class DocumentTests(SiteTestCase):
    """Requests whose content is a document."""

    def setUp(self) -> None:
        super().setUp()
        self.contents = Contents({b"/document": 10}.get)
        self.document = Document()
        root = OperatorRoot(Access(self.clock), {"document": self.document, "other": self.document})
        self.site = OperatorSite(root, reactor=self.clock, contents=self.contents)

    def test_document(self) -> None:
        """It comes as it is, and its memory is given back after the request."""
        self.assertEqual(self.ask(b"PUT /document", content=b"0123456789").status, 204)
        self.assertEqual((self.document.taken, self.contents._reserved), ([b"0123456789"], 0))

    def test_document_that_is_needed_after_its_request(self) -> None:
        """Its memory is in use for as long."""
        self.document.kept = Deferred()
        for _ in range(2):
            self.assertEqual(self.ask(b"PUT /document", content=b"[1]").status, 204)
        self.assertEqual(self.contents._reserved, 6)
        self.document.kept.callback(None)
        self.assertEqual(self.contents._reserved, 0)
        self.ask(b"PUT /document", content=b"[1]")
        self.assertEqual(self.contents._reserved, 0)

    def test_document_that_is_refused(self) -> None:
        """The reason is that of the contents, and no byte is kept."""
        for line, fields, content, status in (
            (b"PUT /document", [], b"0123456789a", 413),
            (b"PUT /other", [], b"1", 404),
            (b"PUT /document", [b"Transfer-Encoding: chunked"], None, 411),
            (b"DELETE /document", [], b"1", 413),
            (b"PUT /document", [b"Origin: https://evil.example"], b"1", 403),
        ):
            self.assertEqual(self.ask(line, *fields, content=content).status, status, (line, fields))
        self.assertEqual((self.document.taken, self.contents._reserved), ([], 0))

    def test_site_without_documents(self) -> None:
        """It takes none."""
        self.site.contents = None
        self.assertEqual(self.ask(b"PUT /document", content=b"1").status, 413)
        self.assertEqual(self.document.taken, [])

    def test_permission(self) -> None:
        """A client that asks for it gets it before it sends its document, and none for one that is refused."""
        head = b"PUT /document HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
        for length, begin in ((2, b"HTTP/1.1 100 "), (11, b"HTTP/1.1 413 ")):
            channel, transport = self.open()
            channel.dataReceived(head % length)
            self.assertEqual(transport.value()[: len(begin)], begin)
        self.assertEqual(self.document.taken, [])

    def test_time_of_a_large_document(self) -> None:
        """It has the time that its bytes need, besides that of a head."""
        length = 5 * Contents.LEAST_RATE
        self.contents.limit_of = lambda path: length
        channel, transport = self.open()
        channel.dataReceived(b"PUT /document HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % length)
        self.clock.advance(CONTENT_TIMEOUT_S + 4)
        self.assertEqual(transport.value(), b"")
        self.clock.advance(2)
        self.assertEqual(Response.parse(transport.value()).status, 408)
        channel.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.contents._reserved, 0)


class LimitTests(SiteTestCase):
    """The limits of the site."""

    def test_connections(self) -> None:
        """One too many is closed if all are busy; there is room again when one has ended."""
        channels = [self.send(b"GET /-/trace/1.1")[0] for _ in range(MAX_CONNECTIONS)]
        self.assertIsNone(self.site.buildProtocol(None))
        channels[0].connectionLost(Failure(ConnectionLost()))
        self.assertIsNotNone(self.site.buildProtocol(None))

    def test_idle_connections_make_room(self) -> None:
        """One too many takes the place of the oldest idle one, of those first that never had access."""
        known = self.send(b"GET /-/trace/1.1")[1]
        self.answer.callback([])
        self.assertEqual(Response.parse(known.value()).status, 200)
        self.answer = Deferred()
        busy = self.send(b"POST /-/reload", JSON, content=b"{}")[1]
        denied = self.send(b"GET /-/trace/1.1", b"Origin: null")[1]
        channel, in_a_head = self.open()
        channel.dataReceived(b"GET / HTTP/1.1\r\n")
        silent = [self.open()[1] for _ in range(MAX_CONNECTIONS - 4)]
        opened = [self.open()[1] for _ in range(MAX_CONNECTIONS - 2)]
        self.assertTrue(all(each.disconnected for each in (denied, in_a_head, *silent)))
        self.assertFalse(any(each.disconnected for each in (known, busy, *opened)))
        self.assertEqual(len(self.site.channels), MAX_CONNECTIONS)
        channels: set[Any] = self.site.channels
        for each in channels:
            each.is_known = True
        self.open()
        self.assertEqual((known.disconnected, busy.disconnected), (True, False))

    def test_idle_time(self) -> None:
        """A connection is idle for a short time, unless one of its requests had access."""
        self.answer.callback([])
        known = self.send(b"GET /-/trace/1.1")[1]
        silent = self.open()[1]
        denied = self.send(b"GET /-/trace/1.1", b"Origin: null")[1]
        self.clock.advance(UNKNOWN_IDLE_S - 1)
        self.assertFalse(any(each.disconnecting for each in (known, silent, denied)))
        self.clock.advance(1)
        self.assertEqual([each.disconnecting for each in (known, silent, denied)], [False, True, True])
        self.clock.advance(IDLE_TIMEOUT_S)
        self.assertTrue(known.disconnecting)

    def test_slow_content(self) -> None:
        """Content that does not come is waited for as long as a head, and each byte does not prolong that."""
        channel, transport = self.send(b"POST /-/reload", JSON, b"Content-Length: 100")
        for _ in range(CONTENT_TIMEOUT_S - 1):
            self.clock.advance(1)
            channel.dataReceived(b" ")
            self.assertEqual(transport.value(), b"")
        self.clock.advance(2)
        self.assertEqual(Response.parse(transport.value()).status, 408)
        self.assertEqual(self.arguments, [])

    def test_next_head_after_content(self) -> None:
        """The time of the next head counts from its first byte."""
        self.answer.callback(None)
        channel, transport = self.send(b"POST /-/reload", JSON, content=b"{}")
        self.clock.advance(CONTENT_TIMEOUT_S + 1)
        transport.clear()
        channel.dataReceived(b"GET / HTTP/1.1\r\n")
        self.clock.advance(CONTENT_TIMEOUT_S - 1)
        self.assertEqual(transport.value(), b"")
        self.clock.advance(2)
        self.assertEqual(Response.parse(transport.value()).status, 408)

    def test_content_too_large(self) -> None:
        """It is refused before it comes."""
        _, transport = self.send(b"POST /-/reload", JSON, b"Content-Length: %d" % (MAX_CONTENT_BYTES + 1))
        answer = Response.parse(transport.value())
        self.assertEqual((answer.status, answer.headers["connection"]), (413, "close"))
