"""The published keys, asked for in memory."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.delivery.root import Root
from livefeed.testing import Response, request
from livefeed.web.site import Site

CONTENT = b'{"keys":[]}' * 30


class KeysTests(SynchronousTestCase):
    """``/-/keys``."""

    def setUp(self) -> None:
        self.root = Root()
        self.site = Site(self.root, reactor=Clock())
        self.site.startFactory()
        self.addCleanup(self.site.stopFactory)

    def ask(self, *fields: str) -> Response:
        return request(self.site, "\n".join(("GET /-/keys HTTP/1.1", *fields)).encode())

    def test_not_without_keys(self) -> None:
        """Without keys there is nothing; keys can come and go."""
        self.assertEqual(self.ask().status, 404)
        for content, status in ((CONTENT, 200), (b"", 404)):
            self.root.show_keys(content)
            self.site.forget_answers()
            self.assertEqual(self.ask().status, status)

    def test_answer(self) -> None:
        """Every page and cache may have it, with a tag."""
        self.root.show_keys(CONTENT)
        found = self.ask()
        self.assertEqual((found.body, found.headers["content-type"]), (CONTENT, "application/jwk-set+json"))
        self.assertEqual(found.headers["cache-control"], "public, max-age=300")
        self.assertEqual(found.headers["access-control-allow-origin"], "*")
        self.assertEqual(self.ask(f"If-None-Match: {found.headers['etag']}").status, 304)
        self.assertEqual(self.ask("Accept-Encoding: gzip").headers["content-encoding"], "gzip")
