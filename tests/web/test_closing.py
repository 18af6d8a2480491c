"""Which connections are kept, and how the others end."""

from __future__ import annotations

from livefeed.document.codings import MAX_MEMBERS
from livefeed.testing import Response
from livefeed.web.problems import TOO_MANY_CONNECTIONS
from tests.helpers.channels import DOCUMENT, GET, ChannelTestCase, LaterResource


class PersistenceTests(ChannelTestCase):
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


class RefusalTests(ChannelTestCase):
    """Bytes of which no request is made."""

    def test_refusal_is_counted_and_the_last(self) -> None:
        """It has the fields that are given, and no content if the method is HEAD."""
        for head, body in ((b"", True), (b"HEAD /x HTTP/1.1\r\n", False)):
            self.connect()
            self.channel.dataReceived(head)
            self.channel.refuse(TOO_MANY_CONNECTIONS, "Come back.", [(b"Retry-After", b"7")])
            response = Response.parse(self.transport.value())
            self.assertEqual((response.status, response.headers["retry-after"]), (503, "7"))
            self.assertEqual(b"/-/problems/too-many-connections" in response.body, body)
            self.assert_closing()
        self.assertEqual(self.site.counts(), {(503, "http", "identity"): 2})

    def test_head_that_takes_too_long(self) -> None:
        """It is refused, and an idle connection is closed without a word."""
        for data, sent in ((GET[:10], b"HTTP/1.1 408 "), (b"", b"")):
            self.connect()
            self.channel.dataReceived(data)
            self.channel.timeoutConnection()
            self.assertEqual(self.transport.value()[:13], sent)
            self.assert_closing()


class ReturnTests(ChannelTestCase):
    """A stop that has clients come back."""

    def test_next_answer_says_when(self) -> None:
        """Each has a time of its own, and its connection ends."""
        for seconds in (7, 8):
            self.connect()
            self.channel.announce_return(lambda s=seconds: s)  # type: ignore[misc]
            response = self.receive(GET)
            fields = (response.headers["connection"], response.headers["retry-after"])
            self.assertEqual((response.status, fields), (200, ("close", str(seconds))))
            self.assert_closing()

    def test_request_in_progress_is_the_last(self) -> None:
        """Its answer has begun without the time."""
        self.channel.dataReceived(b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n")
        self.channel.announce_return(lambda: 7)
        LaterResource.answer()
        self.assertNotIn(b"Retry-After", self.transport.value())
        self.assert_closing()


class HalfClosedTests(ChannelTestCase):
    """The client ends its side."""

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
