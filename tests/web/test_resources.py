"""The base of the resources: paths, methods, and small contents."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.snapshot import version_of
from livefeed.testing import Response, request
from livefeed.web.cors import Origins
from livefeed.web.resources import Content, Node, NotFound
from livefeed.web.site import Site


class Page(Content):
    """Something that is only read."""

    text = b'{"a": 1}'

    def content(self) -> bytes:
        return self.text

    def fields(self, request: Any) -> list[tuple[bytes, bytes]]:
        return [(b"Cache-Control", b"no-cache")]


class SharedPage(Page):
    """The same, for pages of other origins, too."""

    content_type = b"text/plain"

    def shared(self, request: Any) -> list[tuple[bytes, bytes]]:
        return self.permission(request)


class ResourceTestCase(SynchronousTestCase):
    ORIGINS: tuple[str, ...] = ("https://a.example",)

    def setUp(self) -> None:
        origins = Origins.parse(self.ORIGINS)
        root = Node(origins)
        self.page = Page(origins)
        root.putChild(b"page", self.page)
        root.putChild(b"shared", SharedPage(origins))
        below = Node(origins)
        below.putChild(b"page", self.page)
        root.putChild(b"below", below)
        root.putChild(b"leaf", NotFound(origins))
        self.site = Site(root, reactor=Clock())

    def ask(self, path: bytes, *fields: bytes, method: bytes = b"GET") -> Response:
        return request(self.site, b"\r\n".join([method + b" " + path + b" HTTP/1.1", *fields]))


class NodeTests(ResourceTestCase):
    def test_paths(self) -> None:
        """Only the resources that were added are found, not the paths above or below them."""
        for path in (b"/page", b"/below/page"):
            self.assertEqual(self.ask(path).status, 200, path)
        for path in (b"/", b"/below", b"/below/", b"/nothing", b"/below/nothing/page", b"/leaf", b"/leaf/page/a"):
            response = self.ask(path)
            self.assertEqual((response.status, response.headers["content-type"]), (404, "application/problem+json"))

    def test_404_is_readable_from_other_origins(self) -> None:
        """From those that are allowed; a cache is told that this depends on the origin."""
        response = self.ask(b"/nothing", b"Origin: https://a.example")
        self.assertEqual(response.headers["access-control-allow-origin"], "https://a.example")
        self.assertEqual(response.headers["vary"], "Origin")
        for fields in ((b"Origin: https://b.example",), ()):
            response = self.ask(b"/nothing", *fields)
            self.assertNotIn("access-control-allow-origin", response.headers)
            self.assertEqual(response.headers["vary"], "Origin")


class AnyOriginTests(ResourceTestCase):
    ORIGINS = ("*",)

    def test_404_is_the_same_for_all_origins(self) -> None:
        """All origins get the same 404, so that a cache keeps one answer."""
        for fields in ((b"Origin: https://b.example",), ()):
            response = self.ask(b"/nothing", *fields)
            self.assertEqual(response.headers["access-control-allow-origin"], "*")
            self.assertNotIn("vary", response.headers)


class ContentTests(ResourceTestCase):
    ETAG = b'"%s"' % version_of(Page.text).encode()

    def test_content(self) -> None:
        """With its type, its tag and its own fields; HEAD is sent the same fields and no body."""
        for method, body in ((b"GET", Page.text), (b"HEAD", b"")):
            response = self.ask(b"/page", method=method)
            self.assertEqual((response.status, response.body), (200, body))
            self.assertEqual(response.headers["content-type"], "application/json")
            self.assertEqual(response.headers["content-length"], str(len(Page.text)))
            self.assertEqual(response.headers["etag"], self.ETAG.decode())
            self.assertEqual(response.headers["cache-control"], "no-cache")
        self.assertEqual(self.ask(b"/shared").headers["content-type"], "text/plain")

    def test_content_as_it_is_now(self) -> None:
        """A tag of the previous content does not match."""
        self.page.text = b"2"
        response = self.ask(b"/page", b"If-None-Match: " + self.ETAG)
        self.assertEqual((response.status, response.body), (200, b"2"))

    def test_client_that_has_it(self) -> None:
        """A tag that matches is answered 304, without a body."""
        response = self.ask(b"/page", b"If-None-Match: " + self.ETAG)
        self.assertEqual((response.status, response.body), (304, b""))
        self.assertEqual(response.headers["etag"], self.ETAG.decode())
        self.assertNotIn("content-type", response.headers)

    def test_client_that_wants_another(self) -> None:
        """If-Match with another tag is answered 412 (RFC 9110, 13.1.1)."""
        self.assertEqual(self.ask(b"/page", b'If-Match: "x"').status, 412)
        self.assertEqual(self.ask(b"/page", b"If-Match: " + self.ETAG).status, 200)

    def test_methods(self) -> None:
        """OPTIONS tells them, and others are refused with them."""
        for method, status in ((b"OPTIONS", 204), (b"PUT", 405), (b"DELETE", 405)):
            response = self.ask(b"/page", method=method)
            self.assertEqual((response.status, response.headers["allow"]), (status, "GET, HEAD, OPTIONS"))

    def test_request_with_content(self) -> None:
        """It is refused with 413."""
        self.assertEqual(self.ask(b"/page", b"Content-Length: 1").status, 413)

    def test_shared_fields_are_in_every_answer(self) -> None:
        """A page of an allowed origin can read the reason of a refusal."""
        origin = b"Origin: https://a.example"
        for fields, method in (
            ((), b"GET"),
            ((), b"OPTIONS"),
            ((), b"PUT"),
            ((b'If-Match: "x"',), b"GET"),
            ((b"If-None-Match: *",), b"GET"),
            ((b"Content-Length: 1",), b"GET"),
        ):
            shared = self.ask(b"/shared", origin, *fields, method=method)
            self.assertEqual(shared.headers["access-control-allow-origin"], "https://a.example", (fields, method))
            self.assertNotIn("access-control-allow-origin", self.ask(b"/page", origin, *fields, method=method).headers)

    def test_base_is_abstract(self) -> None:
        """Subclasses define the content and its fields."""
        content = Content(Origins.parse(["*"]))
        self.assertRaises(NotImplementedError, content.content)
        self.assertRaises(NotImplementedError, content.fields, None)
