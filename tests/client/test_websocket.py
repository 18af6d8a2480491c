"""A WebSocket on the client's side, with the server's side of the same library."""

from __future__ import annotations

import tracemalloc
from importlib import import_module

from twisted.trial.unittest import SynchronousTestCase
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from livefeed.client.actions import Failed
from livefeed.client.messages import SUBPROTOCOL
from livefeed.client.websocket import Closed, Event, Opened, Text, WebSocket
from livefeed.exceptions import MissingExtraError
from tests.helpers.missing import missing


class MissingPackageTests(SynchronousTestCase):
    """The library is not installed."""

    def test_import(self) -> None:
        """A program that imports the client is told what to install."""
        with missing("websockets", "livefeed.client.websocket"):
            why = self.assertRaises(MissingExtraError, import_module, "livefeed.client.websocket")
        self.assertIsInstance(why, ImportError)
        self.assertRegex(str(why), r"^livefeed\.client needs .*livefeed\[client\]")


class WebSocketTests(SynchronousTestCase):
    """Bytes in, events and bytes out."""

    def setUp(self) -> None:
        self.socket = WebSocket("ws://example.org/feed?have=x", 1000)
        self.server = ServerProtocol(
            extensions=[ServerPerMessageDeflateFactory()], subprotocols=[Subprotocol(SUBPROTOCOL)]
        )

    def request(self) -> Request:
        """Has the server read the handshake."""
        self.server.receive_data(self.socket.handshake())
        (request,) = self.server.events_received()
        assert isinstance(request, Request)
        return request

    def open(self) -> None:
        self.server.send_response(self.server.accept(self.request()))
        self.assertEqual(self.deliver(), [Opened(SUBPROTOCOL)])

    def deliver(self) -> list[Event]:
        """Gives the client the bytes of the server."""
        return self.socket.receive(b"".join(self.server.data_to_send()))

    def test_handshake(self) -> None:
        """The handshake names the subprotocol and the client."""
        self.assertFalse(self.socket.is_begun)
        request = self.request()
        self.assertTrue(self.socket.is_begun)
        self.assertEqual(request.path, "/feed?have=x")
        self.assertEqual(request.headers["Sec-WebSocket-Protocol"], SUBPROTOCOL)
        self.assertIn("permessage-deflate", request.headers["Sec-WebSocket-Extensions"])
        self.assertIn("livefeed/", request.headers["User-Agent"])

    def test_fields(self) -> None:
        """Further fields are sent, such as that with a token."""
        self.socket = WebSocket("ws://localhost/feed", 1000, fields={"Authorization": "Bearer abc"})
        self.assertEqual(self.request().headers["Authorization"], "Bearer abc")

    def test_messages(self) -> None:
        """Messages come whole, also those in several frames, and those of the client arrive."""
        self.open()
        self.server.send_text(b"[1, ", fin=False)
        self.server.send_continuation(b"2]", fin=True)
        self.server.send_text(b"[3]")
        self.assertEqual(self.deliver(), [Text(b"[1, 2]"), Text(b"[3]")])
        self.server.receive_data(self.socket.send("{}"))
        (frame,) = self.server.events_received()
        assert isinstance(frame, Frame)
        self.assertEqual(frame.data, b"{}")

    def test_pings_are_answered(self) -> None:
        """The server sees that the client is there."""
        self.open()
        self.server.send_ping(b"x")
        self.assertEqual(self.deliver(), [])
        self.server.receive_data(self.socket.to_send())
        (frame,) = self.server.events_received()
        assert isinstance(frame, Frame)
        self.assertEqual((frame.opcode, frame.data), (0xA, b"x"))

    def test_close_of_the_server(self) -> None:
        """Code and reason are given once, and the close is answered."""
        self.open()
        self.server.send_close(3017, "come back in 340 ms")
        self.assertEqual(self.deliver(), [Closed(3017, "come back in 340 ms")])
        self.assertNotEqual(self.socket.to_send(), b"")
        self.assertEqual(self.socket.receive(b""), [])

    def test_end_without_a_close(self) -> None:
        """A connection that breaks has no code."""
        self.open()
        self.assertEqual(self.socket.receive(b""), [Closed(None, "")])

    def test_close_of_the_client(self) -> None:
        """The server is told."""
        self.open()
        self.server.receive_data(self.socket.close())
        self.assertEqual(self.server.close_rcvd and self.server.close_rcvd.code, 1000)
        self.assertEqual(self.socket.close(), b"")
        self.assertEqual(self.socket.send("x"), b"")

    def test_too_large_message(self) -> None:
        """A message above the limit ends the WebSocket."""
        self.open()
        self.server.send_text(bytes(70_000))
        (event,) = self.deliver()
        self.assertIsInstance(event, Closed)

    def refusal(self, answer: bytes) -> Failed:
        self.socket.handshake()
        events = self.socket.receive(answer) or self.socket.receive(b"")
        (event,) = events
        assert isinstance(event, Failed)
        self.assertTrue(event.was_reached)
        return event

    def test_small_frames(self) -> None:
        """Frames that bring little or nothing take no memory beyond that of their content."""
        self.open()
        self.socket.receive(b"\x01\x01[")
        tracemalloc.start()
        try:
            for _ in range(100):
                self.socket.receive(b"\x00\x00" * 100 + b"\x00\x02  ")
            taken, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertLess(taken, 20_000)
        self.assertEqual(self.socket.receive(b"\x80\x01]"), [Text(b"[" + b" " * 200 + b"]")])

    def test_refused_handshake(self) -> None:
        """The status, the reason and the time are those of the answer."""
        content = b'{"type": "/-/problems/too-many-subscribers", "detail": "The feed is full."}'
        found = self.refusal(
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 7\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(content), content)
        )
        self.assertEqual((found.status, found.why, found.retry_after_s), (503, "The feed is full.", 7))
        self.assertEqual(found.page, "/-/problems/too-many-subscribers")

    def test_wrong_answers(self) -> None:
        """Whatever answers a handshake, there is a reason."""
        for answer, why in (
            (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "the answer to a handshake is wrong"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "answered with status 200"),
            (b"SSH-2.0\r\n", "during the handshake: "),
            (b"", "during the handshake"),
        ):
            self.socket = WebSocket("ws://example.org/feed", 1000)
            self.assertIn(why, self.refusal(answer).why)
