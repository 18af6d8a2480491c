"""The figures of the page, driven in memory."""

from __future__ import annotations

import gzip
import json

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.delivery.figures import NO_FIGURES
from livefeed.delivery.pages import PageOptions
from livefeed.delivery.published_feed import PublishedFeed
from livefeed.delivery.root import Root
from livefeed.feed.feed import Feed
from livefeed.testing import Response, request
from livefeed.web.cors import Origins
from livefeed.web.site import FORGET_S, Site

CONTENT = b'{"watchers":[1,2,3]}' * 20


class FiguresTests(SynchronousTestCase):
    """``/-/figures.json``."""

    def setUp(self) -> None:
        self.serve("*")

    def serve(self, *origins: str) -> None:
        self.clock = Clock()
        feed = Feed("results", clock=self.clock)
        self.root = Root([PublishedFeed(feed, Origins.parse(origins), lambda request, delivery: 1)])
        self.site = Site(self.root, reactor=self.clock)
        self.site.startFactory()
        self.addCleanup(self.site.stopFactory)
        self.root.show(PageOptions(figures=True))

    def ask(self, *fields: str, method: str = "GET") -> Response:
        return request(self.site, "\n".join((f"{method} /-/figures.json HTTP/1.1", *fields)).encode())

    def test_not_without_the_setting(self) -> None:
        """Nobody is told unless the operator wants it; what was shown before is forgotten."""
        self.root.board.show(CONTENT)
        self.root.show(PageOptions(reasons=True))
        self.site.forget_answers()
        self.assertEqual(self.ask().status, 404)
        self.root.show(PageOptions(figures=True))
        self.site.forget_answers()
        self.assertEqual((self.ask().status, self.ask().body), (200, NO_FIGURES))

    def test_content(self) -> None:
        """Before the first sample there are none; no cache keeps them."""
        empty = self.ask()
        self.assertEqual(
            json.loads(empty.body), {"interval_s": 1.0, "at": None, "watchers": [], "deliveries": [], "delay_ms": []}
        )
        self.root.board.show(CONTENT)
        self.clock.advance(2 * FORGET_S)
        shown = self.ask()
        self.assertEqual((shown.body, shown.headers["content-type"]), (CONTENT, "application/json"))
        self.assertEqual(shown.headers["cache-control"], "no-store")
        self.assertEqual(self.ask(method="HEAD").headers, shown.headers)
        self.assertEqual(self.ask(f"If-None-Match: {shown.headers['etag']}").status, 304)
        self.assertEqual(self.ask(f"If-None-Match: {empty.headers['etag']}").status, 200)

    def test_only_read(self) -> None:
        """Like the other documents of the page."""
        options = self.ask(method="OPTIONS")
        self.assertEqual((options.status, options.headers["allow"]), (204, "GET, HEAD, OPTIONS"))
        self.assertEqual(self.ask(method="POST").status, 405)
        self.assertEqual(self.ask("Content-Length: 1").status, 413)

    def test_compressed(self) -> None:
        """The content is a fifth as large for a client that takes it compressed."""
        self.root.board.show(CONTENT)
        answer = self.ask("Accept-Encoding: gzip")
        self.assertEqual((answer.headers["content-encoding"], answer.headers["vary"]), ("gzip", "Accept-Encoding"))
        self.assertEqual(gzip.decompress(answer.body), CONTENT)

    def test_origins(self) -> None:
        """Pages of the origins that every feed allows may read them."""
        self.serve("https://a.example")
        for origin, allowed in (("https://a.example", "https://a.example"), ("https://b.example", None)):
            answer = self.ask(f"Origin: {origin}")
            self.assertEqual(answer.headers.get("access-control-allow-origin"), allowed)
            self.assertEqual(answer.headers["vary"], "Accept-Encoding, Origin")
