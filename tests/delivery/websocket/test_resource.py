"""The resource at ``/feed.ws``: handshakes are passed on, and every other request is told how to open a WebSocket."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from livefeed.feed import parts as parts_module
from livefeed.feed.parts import UNUSED_S
from livefeed.feed.state import State
from livefeed.testing import RecordingSubscriber, Response, make_site, publish, request
from livefeed.web.answers import answer

if TYPE_CHECKING:
    from livefeed.delivery.delivery import Delivery
    from livefeed.web.request import Request

HANDSHAKE = (
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


class WebSocketResourceTestCase(SynchronousTestCase):
    """A site with one feed, whose handshakes are recorded and answered with 204.

    :ivar followed: the names of the feeds and parts whose handshakes were passed on.
    """

    def setUp(self) -> None:
        self.followed: list[str] = []
        made = make_site(upgrade=self.answer_handshake)
        self.site, (self.published,) = made.site, made.published

    def answer_handshake(self, upgrading: Request, delivery: Delivery) -> int:
        self.followed.append(delivery.feed.name)
        return answer(upgrading, 204, [(b"X-Handshake", b"1")], None)

    def ask(self, path: bytes = b"/feed.ws", *fields: bytes, method: bytes = b"GET") -> Response:
        return request(self.site, b"\n".join([method + b" " + path + b" HTTP/1.1", *fields]))

    def detail(self, response: Response) -> str:
        """Gives the sentence of a refusal."""
        self.assertEqual(response.headers["content-type"], "application/problem+json")
        detail: str = json.loads(response.body)["detail"]
        return detail


class WholeTests(WebSocketResourceTestCase):
    """The WebSocket of the whole document."""

    def test_handshake_is_passed_on(self) -> None:
        """With the delivery of the feed, also before the first version and with any fields: they are checked later."""
        for fields in (HANDSHAKE, (b"Upgrade: h2c, WebSocket",)):
            response = self.ask(b"/feed.ws", *fields)
            self.assertEqual((response.status, response.headers["x-handshake"]), (204, "1"))
        self.assertEqual(self.followed, ["feed", "feed"])

    def test_handshake_opens_a_websocket(self) -> None:
        """With the handshake of the service, the connection changes its protocol."""
        made = make_site()
        publish(made.feed, b"[1]")
        response = request(made.site, b"\n".join([b"GET /feed.ws HTTP/1.1", *HANDSHAKE]))
        self.assertEqual((response.status, response.headers["upgrade"].lower()), (101, "websocket"))
        self.assertIn(b"[1]", response.body)

    def test_options(self) -> None:
        """The methods are listed, for handshakes too."""
        for fields in ((), HANDSHAKE):
            response = self.ask(b"/feed.ws", *fields, method=b"OPTIONS")
            self.assertEqual((response.status, response.headers["allow"], response.body), (204, "GET, OPTIONS", b""))
        self.assertEqual(self.followed, [])

    def test_other_methods(self) -> None:
        """They are refused with the methods that are possible, for handshakes too."""
        for method in (b"HEAD", b"POST", b"PUT", b"DELETE", b"get"):
            for fields in ((), HANDSHAKE):
                response = self.ask(b"/feed.ws", *fields, method=method)
                self.assertEqual((method, response.status), (method, 405))
                self.assertEqual(response.headers["allow"], "GET, OPTIONS")
        self.assertEqual(self.detail(self.ask(method=b"POST")), "A WebSocket is opened with GET.")
        self.assertEqual(self.followed, [])

    def test_content(self) -> None:
        """It would be read as frames, so a handshake with content is refused."""
        for fields in ((), HANDSHAKE):
            response = self.ask(b"/feed.ws", *fields, b"Content-Length: 1")
            self.assertEqual(response.status, 413)
            self.assertEqual(self.detail(response), "A WebSocket handshake has no content.")
        self.assertEqual(self.followed, [])

    def test_plain_request(self) -> None:
        """The answer names the protocol to change to (RFC 9110, 15.5.22)."""
        for fields in ((), (b"Upgrade: h2c",), (b"Connection: Upgrade",)):
            response = self.ask(b"/feed.ws", *fields)
            self.assertEqual((response.status, response.headers["upgrade"]), (426, "websocket"))
            self.assertIn("Upgrade", response.headers["connection"].split(", "))
            self.assertEqual(self.detail(response), "This path speaks WebSocket only.")
        self.assertEqual(self.followed, [])

    def test_handshake_of_http_1_0(self) -> None:
        """The protocol of such a connection cannot be changed."""
        response = request(self.site, b"\n".join([b"GET /feed.ws HTTP/1.0", *HANDSHAKE]))
        self.assertEqual((response.status, self.followed), (426, []))


class PartTests(WebSocketResourceTestCase):
    """The WebSockets of the parts."""

    def test_part(self) -> None:
        """The handshake is passed on with the delivery of the part, and the same part is kept for the next one."""
        publish(self.published.feed, b'{"a": {"b": [1]}}')
        for path in (b"/feed.ws/a/b", b"/feed.ws/a", b"/feed.ws/a/b"):
            self.assertEqual(self.ask(path, *HANDSHAKE).status, 204)
        names = [delivery.feed.name for delivery in self.published]
        self.assertEqual(self.followed, [names[1], names[2], names[1]])
        self.assertEqual(len(names), 3)

    def test_same_refusals_as_of_the_whole(self) -> None:
        """By method, content and protocol."""
        publish(self.published.feed, b'{"a": 1}')
        self.assertEqual(self.ask(b"/feed.ws/a").status, 426)
        self.assertEqual(self.ask(b"/feed.ws/a", *HANDSHAKE, method=b"POST").status, 405)
        self.assertEqual(self.ask(b"/feed.ws/a", *HANDSHAKE, b"Content-Length: 1").status, 413)
        self.assertEqual(self.ask(b"/feed.ws/a", method=b"OPTIONS").status, 204)
        self.assertEqual(self.followed, [])

    def test_part_that_is_not_there(self) -> None:
        """It is refused once the document is known."""
        publish(self.published.feed, b'{"a": 1}')
        for path in (b"/feed.ws/b", b"/feed.ws/a/b", b"/feed.ws/~2"):
            self.assertEqual(self.ask(path, *HANDSHAKE).status, 404, path)
        self.assertEqual((self.followed, list(self.published.parts)), ([], []))

    def test_before_the_first_version(self) -> None:
        """A handshake comes back at the next tick; all other requests are refused as ever."""
        response = self.ask(b"/feed.ws/a", *HANDSHAKE)
        self.assertEqual((response.status, response.headers["retry-after"]), (503, "1"))
        self.assertEqual(self.detail(response), "There is no document yet.")
        self.assertEqual(self.ask(b"/feed.ws/a").status, 426)
        self.assertEqual(self.ask(b"/feed.ws/a", *HANDSHAKE, method=b"POST").status, 405)
        self.assertEqual(self.followed, [])

    def test_withdrawn(self) -> None:
        """A part that the document has, and one that it has not, are refused alike."""
        publish(self.published.feed, b'{"a": 1}')
        self.published.feed.decide(State.WITHDRAWN)
        response = self.ask(b"/feed.ws/b", *HANDSHAKE)
        self.assertEqual((response.status, response.headers.get("retry-after")), (410, None))
        self.assertIn("is withdrawn", self.detail(response))
        self.assertEqual((self.followed, self.ask(b"/feed.ws/b").status), ([], 426))

    def test_too_many_parts(self) -> None:
        """A handshake comes back when there may be room; a part that is followed already is no further one."""
        publish(self.published.feed, b'{"a": 1, "b": 2}')
        self.patch(parts_module, "MAX_PARTS", 1)
        self.assertEqual(self.ask(b"/feed.ws/a", *HANDSHAKE).status, 204)
        (part,) = self.published.parts
        part.feed.subscribe(RecordingSubscriber())
        response = self.ask(b"/feed.ws/b", *HANDSHAKE)
        self.assertEqual((response.status, response.headers["retry-after"]), (503, str(UNUSED_S)))
        self.assertEqual(self.detail(response), "Too many parts of the document are followed already.")
        self.assertEqual(self.ask(b"/feed.ws/b").status, 426)
        self.assertEqual(self.ask(b"/feed.ws/a", *HANDSHAKE).status, 204)
