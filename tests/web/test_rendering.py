"""One answer for many requests: it is the answer that a connection would get, and is not counted."""

from __future__ import annotations

from twisted.internet.address import UNIXAddress
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from livefeed.testing import Response, make_site, publish, request
from livefeed.transport.answer import LARGE_BYTES
from livefeed.web.rendering import MemoryTransport, render_waited

HEAD = b"GET /feed HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=9\r\n\r\n"


class RenderingTests(SynchronousTestCase):
    def setUp(self) -> None:
        made = make_site()
        self.feed, self.site = made.feed, made.site
        self.site.resource.putChild(b"nothing", Resource())

    def test_answer_is_that_of_a_connection(self) -> None:
        """It is labelled for each of its requests, and nothing is counted yet."""
        publish(self.feed, b'{"a": 1}')
        answer = render_waited(self.site, HEAD, secure=True)
        assert answer is not None
        self.assertEqual((answer.label, answer.last, answer.body), ((200, "https", "identity"), False, b""))
        self.assertEqual(self.site.counts(), {})
        rendered = Response.parse(answer.data)
        expected = request(self.site, b"GET /feed HTTP/1.1\nPrefer: wait=9")
        rendered.headers.pop("date")
        expected.headers.pop("date")
        self.assertEqual(rendered, expected)

    def test_large_body_is_the_document_itself(self) -> None:
        """It is not copied."""
        publish(self.feed, b"[" + b"1, " * LARGE_BYTES + b"1]")
        answer = render_waited(self.site, HEAD, secure=False)
        assert answer is not None
        assert self.feed.snapshot is not None
        self.assertIs(answer.body, self.feed.snapshot.data)

    def test_last_answer(self) -> None:
        """It announces the end of the connection."""
        publish(self.feed, b"1")
        answer = render_waited(self.site, HEAD, secure=False, last=True)
        assert answer is not None
        self.assertTrue(answer.last)
        self.assertEqual(Response.parse(answer.data).headers["connection"], "close")

    def test_no_answer(self) -> None:
        """A head that is not whole has none, and leaves no channel behind."""
        self.assertIsNone(render_waited(self.site, HEAD[:-2], secure=False))
        self.assertEqual(self.site.channels, set())

    def test_failure(self) -> None:
        """It is logged, and there is no answer."""

        def fail(data: bytes) -> None:
            raise RuntimeError

        channel = self.site.buildProtocol(None)
        assert channel is not None
        self.patch(type(channel), "dataReceived", lambda _, data: fail(data))
        self.assertIsNone(render_waited(self.site, HEAD, secure=False))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_transport_has_no_address(self) -> None:
        """The answer belongs to no client."""
        transport = MemoryTransport()
        self.assertEqual((transport.getPeer(), transport.getHost()), (UNIXAddress(""), UNIXAddress("")))
