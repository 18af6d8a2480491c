"""The page, driven in memory."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.feed import Feed
from livefeed.testing import request
from livefeed.web.origins import Origins
from livefeed.web.page import Root
from livefeed.web.served import Served
from livefeed.web.site import Site


class PageTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        root = Root([Served(Feed("results", clock=self.clock), Origins.parse("*"), lambda request, ways: 1)])
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

    def test_page_is_only_read(self) -> None:
        """Other methods are 405, content is 413."""
        response = request(self.site, b"POST / HTTP/1.1")
        self.assertEqual((response.status, response.headers["allow"]), (405, "GET, HEAD"))
        self.assertEqual(request(self.site, b"GET / HTTP/1.1\nContent-Length: 3").status, 413)
        head = request(self.site, b"HEAD / HTTP/1.1")
        self.assertEqual((head.status, head.body), (200, b""))
