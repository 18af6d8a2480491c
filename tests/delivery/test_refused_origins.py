"""The log of the origins whose pages may not read a feed."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, eventAsText
from twisted.trial.unittest import SynchronousTestCase

from livefeed.delivery.refused_origins import AGAIN_S, MAX_ORIGIN_BYTES, MAX_ORIGINS, RefusedOrigins
from livefeed.testing import make_site, publish, request


class RefusedOriginsTests(SynchronousTestCase):
    """The lines, and their limit."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.refused = RefusedOrigins("feed", self.clock)

    def logged(self, *origins: bytes) -> list[str]:
        with capturedLogs() as events:
            for each in origins:
                self.refused.note(each)
        return [eventAsText(event, includeTimestamp=False, includeSystem=False) for event in events]

    def test_each_origin_once_a_day(self) -> None:
        """The line names the page, the feed and the setting."""
        line = 'a page of http://localhost:8000 asks for feed "feed", and allow_origin does not list it'
        self.assertEqual(self.logged(b"http://localhost:8000", b"http://LOCALHOST:8000"), [line])
        self.clock.advance(AGAIN_S - 1)
        self.assertEqual(self.logged(b"http://localhost:8000"), [])
        self.clock.advance(1)
        self.assertEqual(self.logged(b"http://localhost:8000", b"http://localhost:8000"), [line])

    def test_limit(self) -> None:
        """A client that invents origins fills neither the log nor the memory."""
        many = [b"http://h%d" % number for number in range(1000)]
        self.assertEqual(len(self.logged(*many)), MAX_ORIGINS)
        self.clock.advance(AGAIN_S)
        self.assertEqual(len(self.logged(*many)), MAX_ORIGINS)
        self.assertEqual(len(self.refused._logged_at), MAX_ORIGINS)

    def test_text(self) -> None:
        """Control characters are escaped, and long texts are cut."""
        self.assertIn(r"a page of http://a\x1b[2j\xff\n asks", self.logged(b"http://a\x1b[2J\xff\n")[0])
        self.assertIn("x" * MAX_ORIGIN_BYTES + " asks", self.logged(b"x" * 5000)[0])


class PageTests(SynchronousTestCase):
    """The requests that are noted."""

    def setUp(self) -> None:
        self.limit("https://www.example.org")

    def limit(self, *origins: str) -> None:
        self.made = make_site(origins=origins)
        (served,) = self.made.published
        publish(served.feed, b"[1]")

    def logged(self, *heads: bytes) -> int:
        with capturedLogs() as events:
            for each in heads:
                request(self.made.site, each)
        return sum("allow_origin does not list" in eventAsText(event) for event in events)

    def test_pages(self) -> None:
        """A page of another origin is noted, however it follows the feed."""
        for number, path in enumerate((b"/feed", b"/feed.json", b"/feed.sse", b"/feed.ws", b"/feed/0")):
            head = b"GET %b HTTP/1.1\nOrigin: http://h%d" % (path, number)
            self.assertEqual(self.logged(head, head), 1, path)

    def test_other_clients(self) -> None:
        """Pages of listed origins and of this server are not, and neither are other clients."""
        for field in (
            b"",
            b"Origin: https://www.example.org",
            b"Origin: https://WWW.example.org",
            b"Origin: http://localhost",
        ):
            self.assertEqual(self.logged(b"GET /feed HTTP/1.1\n" + field), 0, field)
        self.limit("*")
        self.assertEqual(self.logged(b"GET /feed HTTP/1.1\nOrigin: http://other"), 0)
