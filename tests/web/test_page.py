"""The page, driven in memory."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from livefeed.feed import Feed
from livefeed.testing import request
from livefeed.web.origins import Origins
from livefeed.web.page import Root
from livefeed.web.site import Site


class PageTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        root = Root(Feed("results", clock=self.clock), Origins.parse("*"), Resource(), lambda request: 1)
        self.site = Site(root, reactor=self.clock)

    def test_page_names_its_feed(self) -> None:
        """The page is made for the feed that the operator has named."""
        response = request(self.site, b"GET / HTTP/1.1")
        self.assertEqual((response.status, response.headers["content-type"]), (200, "text/html; charset=utf-8"))
        self.assertIn(b'data-feed="results"', response.body)
        self.assertNotIn(b"{{", response.body)

    def test_policy_allows_nothing_from_elsewhere(self) -> None:
        """A strict policy, and nothing in the page that it would forbid."""
        for path in (b"/", b"/-/page.js", b"/-/page.css"):
            response = request(self.site, b"GET " + path + b" HTTP/1.1")
            self.assertEqual(response.status, 200)
            policy = response.headers["content-security-policy"]
            self.assertTrue(policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'"))
            self.assertNotIn("unsafe", policy)
            for forbidden in (b"http:", b"https://", b"<style", b" style=", b" onclick=", b"eval("):
                self.assertNotIn(forbidden, response.body)

    def test_page_is_sent_once(self) -> None:
        """It may be kept, but is asked for again: what has not changed is 304 (RFC 9110, 13.1.2 and 15.4.5)."""
        for path in (b"/", b"/-/page.js", b"/-/page.css"):
            full = request(self.site, b"GET " + path + b" HTTP/1.1")
            for tags in (full.headers["etag"], f"W/{full.headers['etag']}", '"other", ' + full.headers["etag"], "*"):
                response = request(self.site, b"GET " + path + b" HTTP/1.1\nIf-None-Match: " + tags.encode())
                self.assertEqual((response.status, response.body), (304, b""))
                for name in ("etag", "cache-control", "content-security-policy"):
                    self.assertEqual(response.headers[name], full.headers[name])
                self.assertNotIn("content-length", response.headers)
            response = request(self.site, b"GET " + path + b' HTTP/1.1\nIf-None-Match: "other"')
            self.assertEqual((response.status, response.body), (200, full.body))

    def test_other_page_is_not_sent(self) -> None:
        """To who asks for one that there is not, and whatever else it has (RFC 9110, 13.1.1 and 13.2.2)."""
        etag = request(self.site, b"GET / HTTP/1.1").headers["etag"].encode()
        for fields, status in (
            (b'If-Match: "other"', 412),
            (b"If-Match: W/" + etag, 412),
            (b'If-Match: "other"\nIf-None-Match: ' + etag, 412),
            (b"If-Match: " + etag, 200),
            (b"If-Match: *", 200),
            (b"If-Match: " + etag + b"\nIf-None-Match: " + etag, 304),
        ):
            self.assertEqual((fields, request(self.site, b"GET / HTTP/1.1\n" + fields).status), (fields, status))

    def test_page_is_only_read(self) -> None:
        """Other methods are 405, content is 413."""
        response = request(self.site, b"POST / HTTP/1.1")
        self.assertEqual((response.status, response.headers["allow"]), (405, "GET, HEAD"))
        self.assertEqual(request(self.site, b"GET / HTTP/1.1\nContent-Length: 3").status, 413)
        head = request(self.site, b"HEAD / HTTP/1.1")
        self.assertEqual((head.status, head.body), (200, b""))
