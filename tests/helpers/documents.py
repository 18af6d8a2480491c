"""A feed whose document is polled in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.feed.feed import Feed
from livefeed.testing import Response, make_site, request

if TYPE_CHECKING:
    from livefeed.delivery.delivery import Delivery
    from livefeed.web.request import Request

DOCUMENT = b'{"votes": [' + b", ".join(b"%d.50" % number for number in range(200)) + b"]}\n"
NOW = 1_795_000_000.25


class DocumentTestCase(SynchronousTestCase):
    """The base of the tests of a document's answers, as twisted.web renders them."""

    def setUp(self) -> None:
        self.serve("*")

    def serve(self, *origins: str, interval_s: float = 1.0) -> None:
        """Makes a site of a feed that has no snapshot yet."""
        self.clock = Clock()
        self.clock.advance(NOW)
        self.upgraded: list[Request] = []
        self.feed = Feed("feed", clock=self.clock, interval_s=interval_s)
        made = make_site(self.feed, origins=origins, upgrade=self.upgrade)
        self.site, self.published = made.site, made.published[0]

    def upgrade(self, upgrading: Request, delivery: Delivery) -> int:
        """Takes the place of the WebSocket's handshake."""
        self.upgraded.append(upgrading)
        upgrading.setResponseCode(101)
        upgrading.finish()
        return 1

    def get(self, *fields: bytes, method: bytes = b"GET", path: bytes = b"/feed") -> Response:
        """Asks for the document, with these lines behind the request line."""
        return request(self.site, b"\n".join([method + b" " + path + b" HTTP/1.1", *fields]))
