"""The resources of a feed: the same parts below each, and the answers that may be repeated.

The refusal of events of a part is in ``test_refusals``.
"""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.delivery.document import DocumentResource
from livefeed.delivery.feed_resource import Access
from livefeed.delivery.published_feed import PublishedFeed
from livefeed.delivery.root import Root
from livefeed.feed.feed import Feed
from livefeed.feed.parts import Parts, TooManyPartsError
from livefeed.feed.state import State
from livefeed.testing import Response, make_site, publish, request
from livefeed.web.cors import Origins
from livefeed.web.site import Site
from tests.helpers.driven import Client, DrivenReactor, make_pool
from tests.helpers.driven_site import DrivenSite
from tests.helpers.guarded import AUTHORIZATION, protect

if TYPE_CHECKING:
    from twisted.web.resource import IResource

    from livefeed.delivery.delivery import Delivery
    from livefeed.web.request import Request

HANDSHAKE = (
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
FOLLOW = (b"/feed.ws", b"/feed.json", b"/feed")
"""The paths at which a WebSocket can be opened."""


class BranchTestCase(SynchronousTestCase):
    """A feed without a document."""

    def setUp(self) -> None:
        made = make_site()
        self.site, (self.served,) = made.site, made.published

    def ask(self, path: bytes, *fields: bytes) -> Response:
        return request(self.site, b"\n".join([b"GET " + path + b" HTTP/1.1", *fields]))


class BranchTests(BranchTestCase):
    """The parts of a document."""

    def test_part_is_there_in_every_form(self) -> None:
        """A pointer may have several steps; a part of a part is a part of the whole document."""
        publish(self.served.feed, b'{"a": {"b": 1.50}}')
        for path in (b"/feed/a/b", b"/feed.json/a/b"):
            self.assertEqual(self.ask(path).body, b"1.50")
        for path in FOLLOW:
            self.assertEqual(self.ask(path + b"/a/b", *HANDSHAKE).status, 101, path)
            self.assertEqual(self.ask(path + b"/a/c", *HANDSHAKE).status, 404, path)
        self.assertEqual(self.ask(b"/feed.ws/a/b").status, 426)

    def test_options(self) -> None:
        """Every form says which methods it has; a WebSocket is opened with GET alone."""
        publish(self.served.feed, b'{"a": {"b": 1.50}}')
        for path, methods in ((b"/feed", "GET, HEAD, OPTIONS"), (b"/feed.ws", "GET, OPTIONS")):
            for target in (path, path + b"/a/b"):
                response = request(self.site, b"OPTIONS " + target + b" HTTP/1.1")
                self.assertEqual((target, response.status, response.body), (target, 204, b""))
                self.assertEqual(response.headers["allow"], methods)
        response = request(self.site, b"HEAD /feed.ws HTTP/1.1")
        self.assertEqual((response.status, response.headers["allow"]), (405, "GET, OPTIONS"))

    def test_preflight_of_a_part_that_is_not_there(self) -> None:
        """It is granted, so that a page of another origin is given the 404, and not an error of the network."""
        publish(self.served.feed, b'{"a": 1}')
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

    def test_missing_part_is_no_unknown_path(self) -> None:
        """The reason of a 404 tells a typing error in the pointer from one in the name of the feed."""
        publish(self.served.feed, b'{"a": 1}')
        for path in (b"/feed/nope", b"/feed.json/nope", b"/feed.sse/nope", b"/feed.ws/nope"):
            self.assertIn(b"The document has no such part.", self.ask(path).body, path)
        self.assertIn(b"There is nothing at this path.", self.ask(b"/nope/a").body)

    def test_options_of_a_part_that_is_not_there(self) -> None:
        """An OPTIONS request that is no preflight asks for the part itself."""
        publish(self.served.feed, b'{"a": 1}')
        response = request(self.site, b"OPTIONS /feed/nope HTTP/1.1")
        self.assertEqual(response.status, 404)

    def test_no_room_is_told_alike(self) -> None:
        """All refusals for lack of room are 503, with the same words and the same time."""
        publish(self.served.feed, b'{"a": 1}')

        def find(*_: object, **__: object) -> None:
            raise TooManyPartsError

        self.patch(Parts, "find", find)
        answers = [self.ask(path + b"/a", *HANDSHAKE) for path in FOLLOW]
        self.assertEqual({(each.status, each.headers["retry-after"]) for each in answers}, {(503, "60")})
        self.assertEqual(len({each.body for each in answers}), 1)
        # A page of another origin comes back in time, too.
        for path in (b"/feed", b"/feed.json"):
            self.assertIn("Retry-After", self.ask(path + b"/a").headers["access-control-expose-headers"].split(", "))

    def test_parts_of_a_withdrawn_document(self) -> None:
        """Nobody learns which parts it has: one that exists and one that does not are answered alike."""
        publish(self.served.feed, b'{"a": 1}')
        paths = [form + end for form in (b"/feed", b"/feed.json", b"/feed.sse", b"/feed.ws") for end in (b"/a", b"/b")]
        for fields in ((), HANDSHAKE):
            self.served.feed.decide(State.WITHDRAWN)
            answers = [self.ask(path, *fields) for path in paths]
            statuses = [each.status for each in answers]
            self.assertEqual(statuses[::2], statuses[1::2])
            # The stream alone has a random time in it.
            for one, other in zip(answers[::2], answers[1::2], strict=True):
                self.assertEqual(one.body if one.status != 200 else b"", other.body if other.status != 200 else b"")
            self.assertEqual(statuses[::2], [410, 410, 200, 410 if fields else 426])
            self.served.feed.decide(None)
            self.assertEqual(self.ask(b"/feed/a").body, b"1")
            self.assertEqual(self.ask(b"/feed/b").status, 404)

    def test_before_the_first_pull_nobody_knows(self) -> None:
        """Before the first pull a part is 503 and not 404 on all paths for WebSockets."""
        for path in FOLLOW:
            response = self.ask(path + b"/a", *HANDSHAKE)
            self.assertEqual((response.status, response.headers["retry-after"]), (503, "1"), path)

    def test_coding_is_made_for_content_alone(self) -> None:
        """A WebSocket needs no content coding, whatever codings its handshake accepts."""
        publish(self.served.feed, b'{"a": 1}')
        asked = []
        find = Parts.find

        def note(
            parts: Parts[Delivery], segments: list[bytes], peer: str | None, *, coded: bool, has_waited: bool
        ) -> object:
            asked.append((peer is not None, coded))
            return find(parts, segments, peer, coded=coded, has_waited=has_waited)

        self.patch(Parts, "find", note)
        self.ask(b"/feed.ws/a", *HANDSHAKE, b"Accept-Encoding: gzip")
        self.ask(b"/feed/a", b"Accept-Encoding: gzip")
        self.ask(b"/feed/a", b"Accept: text/event-stream")
        self.assertEqual(asked, [(True, False), (False, True), (True, False)])


class TokenResource(DocumentResource):
    """A document whose answers depend on the token of the request, as those of a protected feed do.

    :cvar rendered: the number of requests that reached any of them.
    """

    rendered = 0

    def respond(self, request: Request) -> int:
        TokenResource.rendered += 1
        request.first_fields = (*request.first_fields, (b"X-Token", request.getHeader(b"Authorization") or b"none"))
        return super().respond(request)

    def part(self, delivery: Delivery) -> IResource:
        return TokenResource(delivery, self._access, self._form)


class SiteOfTokens(DrivenSite):
    """A site on a Unix socket and the fast transport, with a :class:`TokenResource`.

    :param access_fields: the fields that decide on access.
    """

    def __init__(self, *access_fields: bytes) -> None:
        self._directory = tempfile.TemporaryDirectory()
        self._path = str(Path(self._directory.name) / "site")
        self.reactor = DrivenReactor()
        self.feed = Feed("feed", clock=self.reactor)
        origins = Origins.parse(("*",))
        self.published = PublishedFeed(self.feed, origins, not_upgraded)
        root, access = Root([self.published]), Access(origins, access_fields)
        root.putChild(b"feed", TokenResource(self.published.delivery, access, "either", self.published.parts))
        self.site = Site(root, reactor=self.reactor)
        self.feed.observe(self.site.forget_answers)
        self._port: Any = make_pool(self.reactor).listenUNIX(self._path, self.site)
        self.clients: list[Client] = []

    def send(self, *fields: bytes, path: bytes = b"/feed", method: bytes = b"GET") -> Client:
        """Sends a request on a connection of its own."""
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(self._path)
        self.clients.append(Client(sock))
        self.clients[-1].send(b"\r\n".join((method + b" " + path + b" HTTP/1.1", b"Host: a", *fields, b"", b"")))
        self.settle()
        return self.clients[-1]

    def ask(self, *fields: bytes, path: bytes = b"/feed", method: bytes = b"GET") -> Response:
        """Gives the answer to a request on a connection of its own."""
        client = self.send(*fields, path=path, method=method)
        response = Response.parse(client.received)
        self.clients.remove(client)
        client.close()
        self.settle()
        return response

    def close(self) -> None:
        """Ends everything."""
        super().close()
        self._directory.cleanup()


def not_upgraded(upgrading: Request, delivery: Delivery) -> int:
    raise AssertionError("no request asks for a WebSocket here")


REQUESTS = st.lists(
    st.tuples(
        st.sampled_from([b"GET", b"HEAD"]),
        st.sampled_from([b"/feed", b"/feed?x=1", b"/feed/a"]),
        st.sampled_from([(), (b"Authorization: a",), (b"Authorization: b",)]),
        st.sampled_from([(), (b"Cookie: session=1",), (b"Cookie: session=2",)]),
        st.sampled_from([(), (b"Accept-Encoding: gzip",), (b"If-None-Match: *",)]),
    ),
    min_size=2,
    max_size=12,
)


class AccessTests(SynchronousTestCase):
    """Which answers may be repeated, for feeds that are public and feeds that are not."""

    def serve(self, *access_fields: bytes) -> SiteOfTokens:
        """Makes a site with a document."""
        site = self.serve_nothing(*access_fields)
        publish(site.feed, b'{"a": 1}')
        return site

    def serve_nothing(self, *access_fields: bytes) -> SiteOfTokens:
        """Makes a site."""
        site = SiteOfTokens(*access_fields)
        self.addCleanup(site.close)
        return site

    def test_answers_of_a_protected_feed_come_from_the_resource(self) -> None:
        """Each request is answered for its own token, regardless of earlier requests, and no answer is stored."""
        site = self.serve(b"Authorization")

        @given(REQUESTS)
        @settings(deadline=None, max_examples=20)
        def check(requests: list[Any]) -> None:
            for method, path, token, cookie, more in requests:
                rendered = TokenResource.rendered
                response = site.ask(*token, *cookie, *more, path=path, method=method)
                expected = token[0].partition(b": ")[2].decode() if token else "none"
                self.assertEqual((response.headers["x-token"], TokenResource.rendered), (expected, rendered + 1))
            self.assertEqual(site.site.replays[False].counts(), {})
            self.assertEqual(site.site.replays[False]._answers, {})

        check()

    def test_answers_of_a_public_feed_are_repeated(self) -> None:
        """Each kind of request is rendered once, for any cookies and tokens."""
        site = self.serve()

        @given(REQUESTS)
        @settings(deadline=None, max_examples=20)
        def check(requests: list[Any]) -> None:
            site.site.forget_answers()
            rendered = TokenResource.rendered
            for method, path, token, cookie, more in requests:
                self.assertIn(site.ask(*token, *cookie, *more, path=path, method=method).status, (200, 304))
            kinds = {(method, path.partition(b"?")[0], more) for method, path, _, _, more in requests}
            self.assertLessEqual(TokenResource.rendered - rendered, len(kinds))

        check()

    def test_requests_for_a_protected_feed_wait_alone(self) -> None:
        """Each is answered by the resource in the end, where equal requests for a public feed share an answer."""
        for access_fields, alone in (((b"Authorization",), True), ((), False)):
            site = self.serve(*access_fields)
            waits = (b"Prefer: wait=9", b"If-None-Match: *")
            clients = [site.send(*waits, b"Authorization: " + token) for token in (b"a", b"b")]
            self.assertEqual(site.published.delivery.polls.sharing, 0 if alone else 1)
            publish(site.feed, b'{"a": 2}')
            site.settle()
            tokens = [Response.parse(client.received).headers["x-token"] for client in clients]
            self.assertEqual(tokens == ["a", "b"], alone)

    def test_answers_before_the_first_version(self) -> None:
        """They are not repeated either."""
        site = self.serve_nothing(b"Authorization")
        for token in (b"a", b"b"):
            response = site.ask(b"Authorization: " + token)
            self.assertEqual((response.status, response.headers["x-token"]), (503, token.decode()))

    def test_caches_are_told(self) -> None:
        """A shared cache must not keep the answer of a protected feed; others may, for the same token."""
        response = self.serve(b"Authorization").ask()
        self.assertIn("Authorization", response.headers["vary"].split(", "))
        self.assertTrue(response.headers["cache-control"].startswith("private, "))
        response = self.serve().ask()
        self.assertNotIn("Authorization", response.headers["vary"])
        self.assertTrue(response.headers["cache-control"].startswith("public, "))


class ProtectedTests(BranchTestCase):
    """Parts of a protected feed."""

    def test_nothing_is_told_without_a_token(self) -> None:
        """Parts that are there and parts that are not are refused alike, in every form and with every method."""
        publish(self.served.feed, b'{"a": 1}')
        protect(self.served, self.site, "https://a.example")
        for path in (*FOLLOW, b"/feed.sse"):
            for part in (b"", b"/a", b"/nope"):
                response = self.ask(path + part, *HANDSHAKE)
                self.assertEqual((response.status, response.headers["vary"]), (401, "Authorization, Origin"))
                self.assertNotIn("access-control-allow-origin", response.headers)
        self.assertEqual(self.ask(b"/feed/a", AUTHORIZATION, b"Origin: https://a.example").body, b"1")
        self.assertEqual(request(self.site, b"OPTIONS /feed/nope HTTP/1.1").status, 401)
        preflight = b"OPTIONS /feed/nope HTTP/1.1\nAccess-Control-Request-Method: GET"
        self.assertEqual(request(self.site, preflight).status, 204)
