"""Requests for a document."""

from __future__ import annotations

import gzip
import http.client
import io
import sys
from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import SynchronousTestCase

from livefeed.client import http as client_http
from livefeed.client.actions import Failed
from livefeed.client.address import Address
from livefeed.client.answers import Answer
from livefeed.client.http import Requests
from tests.helpers.threaded_server import ThreadedServer

if TYPE_CHECKING:
    import socket

DOCUMENT = b'{"seats": 42}'


def answer_of(content: bytes, *fields: str, status: str = "200 OK") -> bytes:
    """Gives the bytes of an answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", *fields]
    return "\r\n".join([*lines, "", ""]).encode() + content


class FakeSocket:
    """A socket that reads what a test has prepared."""

    def __init__(self, answers: bytes | OSError) -> None:
        self.sent = b""
        self.is_closed = False
        self._answers = answers
        self._file = io.BytesIO(answers if isinstance(answers, bytes) else b"")

    def sendall(self, data: bytes) -> None:
        if isinstance(self._answers, OSError):
            raise self._answers
        self.sent += data

    def makefile(self, *_: Any) -> Any:
        file = self._file

        class View(io.RawIOBase):
            def readinto(self, buffer: Any) -> int:
                # One by one, since the answers to all requests are there already.
                return file.readinto(memoryview(buffer)[:1])

            def readable(self) -> bool:
                return True

        return io.BufferedReader(View(), 1)

    def close(self) -> None:
        self.is_closed = True


class FakeRequests(Requests):
    """Requests on sockets of a test."""

    def use(self, *sockets: FakeSocket) -> None:
        self.sockets = list(sockets)

    def _new_connection(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("h")

        def connect() -> None:
            connection.sock = self.sockets.pop(0)

        connection.connect = connect  # type: ignore[method-assign]
        return connection


class RequestsTests(SynchronousTestCase):
    """Requests to one server."""

    def setUp(self) -> None:
        self.requests = FakeRequests(Address.of("http://h/feed?q"), None, 1000)

    def get(self, *answers: bytes | OSError) -> Answer | Failed:
        """Gives the result of a request; each of the answers is on a connection of its own."""
        self.sockets = [FakeSocket(each) for each in answers]
        self.requests.use(*self.sockets)
        return self.requests.get({"A-IM": "x"})

    def assert_fails(self, why: str, *answers: bytes | OSError) -> None:
        self.requests.close()
        failed = self.get(*answers)
        assert isinstance(failed, Failed), failed
        self.assertIn(why, failed.why)

    def test_document(self) -> None:
        """The answer has status, fields and content; the request has the fields of the caller."""
        answer = self.get(answer_of(DOCUMENT, "ETag: 1", "Vary: a", "Vary: b"))
        assert isinstance(answer, Answer)
        self.assertEqual((answer.status, answer.content), (200, DOCUMENT))
        self.assertEqual((answer.fields["etag"], answer.fields["vary"]), ("1", "a, b"))
        sent = self.sockets[0].sent
        self.assertTrue(sent.startswith(b"GET /feed?q HTTP/1.1\r\n"))
        self.assertIn(b"\r\nA-IM: x\r\n", sent)

    def test_gzip(self) -> None:
        """Compressed content is expanded, up to the limit."""
        answer = self.get(answer_of(gzip.compress(DOCUMENT), "Content-Encoding: gzip"))
        assert isinstance(answer, Answer)
        self.assertEqual(answer.content, DOCUMENT)
        self.assert_fails("more than 1000 bytes", answer_of(gzip.compress(bytes(10**7)), "Content-Encoding: gzip"))
        self.assert_fails("no gzip", answer_of(DOCUMENT, "Content-Encoding: gzip"))
        self.assert_fails("in the middle", answer_of(gzip.compress(DOCUMENT)[:-9], "Content-Encoding: gzip"))
        self.assert_fails("content coding 'br'", answer_of(DOCUMENT, "Content-Encoding: br"))

    def test_limits(self) -> None:
        """Content that is too large, too short or too slow is not taken."""
        self.assert_fails("more than 1000 bytes", answer_of(bytes(1001)))
        self.assert_fails("in the middle", answer_of(DOCUMENT)[:-1])
        compressed = answer_of(gzip.compress(DOCUMENT) + b"x" * 70_000, "Content-Encoding: gzip")
        self.assert_fails("behind the end of its gzip", compressed)
        self.patch(client_http, "_MAX_ANSWER_S", -1.0)
        self.assert_fails("to arrive", answer_of(DOCUMENT))

    def test_answers_without_end(self) -> None:
        """Each part of an answer counts: interim answers, the head, and the frame of the content."""
        interim = b"HTTP/1.1 100 Continue\r\n\r\n"
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        # Python 3.14 counts interim answers and trailers itself.
        is_counted = sys.version_info >= (3, 14)
        for endless, why in (
            (interim * 4000, "100 interim responses"),
            (chunked + b"2\r\n{}\r\n0\r\n" + b"A: b\r\n" * 20_000, "100 trailers"),
        ):
            self.assert_fails(why if is_counted else "fields without end", endless)
        large = b"".join(b"X%d: %s\r\n" % (number, b"x" * 50_000) for number in range(3))
        self.assert_fails("fields without end", b"HTTP/1.1 200 OK\r\n" + large)
        answer = self.get(interim + chunked + b"2\r\n{}\r\n0\r\nA: b\r\n\r\n")
        assert isinstance(answer, Answer)
        self.assertEqual(answer.content, b"{}")

    def test_not_modified(self) -> None:
        """An answer without content is one, too."""
        answer = self.get(b"HTTP/1.1 304 Not Modified\r\n\r\n")
        assert isinstance(answer, Answer)
        self.assertEqual((answer.status, answer.content), (304, b""))

    def test_connection_is_kept(self) -> None:
        """The next request uses the same connection, unless the server closes it."""
        self.get(answer_of(DOCUMENT) * 2)
        self.assertIsInstance(self.requests.get({}), Answer)
        self.get(answer_of(DOCUMENT, "Connection: close"))
        self.assertTrue(isinstance(self.get(answer_of(DOCUMENT)), Answer))
        self.assertEqual(self.requests.sockets, [])

    def test_connection_that_the_server_has_closed(self) -> None:
        """A request on a kept connection that has ended is sent once more, on a new one."""
        first = FakeSocket(answer_of(DOCUMENT))
        self.requests.use(first, FakeSocket(answer_of(DOCUMENT)))
        self.requests.get({})
        self.assertIsInstance(self.requests.get({}), Answer)
        self.assertTrue(first.is_closed)

    def test_other_endpoint(self) -> None:
        """The server there is asked for the host of the URL."""
        heads: list[bytes] = []

        def serve(sock: socket.socket) -> None:
            heads.append(sock.recv(10_000))
            sock.sendall(answer_of(DOCUMENT, "Connection: close"))

        with ThreadedServer(serve) as server:
            for url, host in (
                ("http://example.org/feed", b"example.org"),
                ("http://example.org:81/", b"example.org:81"),
            ):
                requests = Requests(Address.of(url, connect=f"127.0.0.1:{server.port}"), None, 1000)
                answer = requests.get({})
                assert isinstance(answer, Answer), answer
                self.assertEqual(answer.content, DOCUMENT)
                self.assertIn(b"\r\nHost: %b\r\n" % host, heads.pop())

    def test_failures(self) -> None:
        """A failure is a value with a reason, and never an exception."""
        self.assert_fails("nothing listens at h", ConnectionRefusedError(111, "x"))
        self.assert_fails("h closed the connection", b"")
        self.assert_fails("could not be asked", b"nonsense\r\n\r\n")
        self.assert_fails("did not answer", TimeoutError())
