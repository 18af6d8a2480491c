"""What is below the paths of a feed, in memory: the same parts, whatever form they are asked for in.

How events of a part are refused is in ``test_refusals``.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.delivery.published_feed import PublishedFeed
from livefeed.delivery.root import Root
from livefeed.delivery.websocket.handshake import Handshakes
from livefeed.delivery.websocket.protocol import SubscriberFactory
from livefeed.feed.feed import Feed
from livefeed.feed.parts import Parts, TooManyPartsError
from livefeed.testing import Response, request
from livefeed.web.cors import Origins
from livefeed.web.site import Site

HANDSHAKE = (
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
FOLLOW = (b"/feed.ws", b"/feed.json", b"/feed")
"""The paths at which a WebSocket can be opened."""


class BranchTests(SynchronousTestCase):
    def setUp(self) -> None:
        clock, origins = Clock(), Origins.parse(["*"])
        factory = SubscriberFactory(reactor=clock)
        self.served = PublishedFeed(Feed("feed", clock=clock), origins, Handshakes(factory, origins).upgrade)
        self.site = Site(Root([self.served]), reactor=clock)

    def ask(self, path: bytes, *fields: bytes) -> Response:
        return request(self.site, b"\n".join([b"GET " + path + b" HTTP/1.1", *fields]))

    def test_part_is_there_in_every_form(self) -> None:
        """Its pointer may have several steps; what is below a part is a part of the whole."""
        self.served.feed.publish(b'{"a": {"b": 1.50}}')
        for path in (b"/feed/a/b", b"/feed.json/a/b"):
            self.assertEqual(self.ask(path).body, b"1.50")
        for path in FOLLOW:
            self.assertEqual(self.ask(path + b"/a/b", *HANDSHAKE).status, 101, path)
            self.assertEqual(self.ask(path + b"/a/c", *HANDSHAKE).status, 404, path)
        self.assertEqual(self.ask(b"/feed.ws/a/b").status, 426)

    def test_options(self) -> None:
        """Every form says which methods it has; a WebSocket is opened with GET alone."""
        self.served.feed.publish(b'{"a": {"b": 1.50}}')
        for path, methods in ((b"/feed", "GET, HEAD, OPTIONS"), (b"/feed.ws", "GET, OPTIONS")):
            for target in (path, path + b"/a/b"):
                response = request(self.site, b"OPTIONS " + target + b" HTTP/1.1")
                self.assertEqual((target, response.status, response.body), (target, 204, b""))
                self.assertEqual(response.headers["allow"], methods)
        response = request(self.site, b"HEAD /feed.ws HTTP/1.1")
        self.assertEqual((response.status, response.headers["allow"]), (405, "GET, OPTIONS"))

    def test_preflight_of_a_part_that_is_not_there(self) -> None:
        """It is granted, so that a page of another origin is given the 404, and not an error of the network."""
        self.served.feed.publish(b'{"a": 1}')
        asked = (b"Origin: https://example.org", b"Access-Control-Request-Method: GET")

        def find(*_: object, **__: object) -> None:
            raise TooManyPartsError

        for is_full in (False, True):
            if is_full:
                self.patch(Parts, "find", find)
            for form in (b"/feed", b"/feed.json", b"/feed.sse"):
                for part in (b"/a", b"/nope", b"/a/b/c", b"/", b"/%FF", b"/~2"):
                    response = request(self.site, b"\n".join([b"OPTIONS " + form + part + b" HTTP/1.1", *asked]))
                    self.assertEqual((form, part, response.status, response.body), (form, part, 204, b""))
                    self.assertEqual(response.headers["access-control-allow-origin"], "*")
                    self.assertEqual(response.headers["access-control-allow-methods"], "GET, HEAD, OPTIONS")
                    self.assertIn("If-None-Match", response.headers["access-control-allow-headers"])
        self.assertEqual(list(self.served.parts), [])

    def test_options_of_a_part_that_is_not_there(self) -> None:
        """What is no preflight asks for the part itself."""
        self.served.feed.publish(b'{"a": 1}')
        response = request(self.site, b"OPTIONS /feed/nope HTTP/1.1")
        self.assertEqual(response.status, 404)

    def test_no_room_is_told_alike(self) -> None:
        """With 503, the same words and the same time."""
        self.served.feed.publish(b'{"a": 1}')

        def find(*_: object, **__: object) -> None:
            raise TooManyPartsError

        self.patch(Parts, "find", find)
        answers = [self.ask(path + b"/a", *HANDSHAKE) for path in FOLLOW]
        self.assertEqual({(each.status, each.headers["retry-after"]) for each in answers}, {(503, "60")})
        self.assertEqual(len({each.body for each in answers}), 1)
        # A page of another origin comes back in time, too.
        for path in (b"/feed", b"/feed.json"):
            self.assertIn("Retry-After", self.ask(path + b"/a").headers["access-control-expose-headers"].split(", "))

    def test_before_the_first_pull_nobody_knows(self) -> None:
        """It is 503 wherever a WebSocket can be opened, and not 404."""
        for path in FOLLOW:
            response = self.ask(path + b"/a", *HANDSHAKE)
            self.assertEqual((response.status, response.headers["retry-after"]), (503, "1"), path)

    def test_coding_is_made_for_content_alone(self) -> None:
        """A WebSocket takes none, whatever its handshake accepts."""
        self.served.feed.publish(b'{"a": 1}')
        asked = []
        find = Parts.find

        def note(parts: Parts, segments: list[bytes], peer: str | None, *, coded: bool, has_waited: bool) -> object:
            asked.append((peer is not None, coded))
            return find(parts, segments, peer, coded=coded, has_waited=has_waited)

        self.patch(Parts, "find", note)
        self.ask(b"/feed.ws/a", *HANDSHAKE, b"Accept-Encoding: gzip")
        self.ask(b"/feed/a", b"Accept-Encoding: gzip")
        self.ask(b"/feed/a", b"Accept: text/event-stream")
        self.assertEqual(asked, [(True, False), (False, True), (True, False)])
