"""When the answers that may be given again are forgotten: what they tell of the time holds for as long."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import http, server
from twisted.web.resource import Resource

from livefeed.delivery.published_feed import PublishedFeed
from livefeed.delivery.root import Root
from livefeed.document.pointer import MAX_TOKENS
from livefeed.feed.feed import Feed
from livefeed.testing import request
from livefeed.web.answers import answer
from livefeed.web.cors import Origins
from livefeed.web.replay import Repeatable
from livefeed.web.site import FORGET_S, MAX_PARAMETERS, MAX_QUERY_BYTES, MAX_SEGMENTS, Request, Site

if TYPE_CHECKING:
    from livefeed.delivery.delivery import Delivery

NOW = 1_700_000_000.875


class ForgettingTests(SynchronousTestCase):
    """startFactory and stopFactory."""

    def setUp(self) -> None:
        self.clock, self.wall = Clock(), Clock()
        self.clock.advance(77.7)
        self.wall.advance(NOW)
        self.site = Site(Resource(), reactor=self.clock)
        self.site.wall = self.wall.seconds
        self.site.startFactory()

    def advance(self, seconds: float) -> bool:
        """Remembers an answer, lets time pass, and tells whether it was forgotten."""
        replay = self.site.replays[True]
        replay.store(b"GET /\r", b"data", Repeatable("label"))
        self.wall.advance(seconds)
        self.clock.advance(seconds)
        return not replay._answers

    def test_with_each_full_second(self) -> None:
        """Of the wall clock, since the Date of an answer changes then; and in between for Livefeed-Next."""
        self.assertFalse(self.advance(0.120))
        self.assertTrue(self.advance(0.010))
        for _ in range(9):
            self.assertTrue(self.advance(FORGET_S))

    def test_wall_clock_is_set(self) -> None:
        """By any part of a second, forwards or backwards: from the next time on it is with the full second again."""
        for step_s in (-3600.1, -0.1, 0.1, 86400.1):
            self.wall.rightNow += step_s
            self.assertTrue(self.advance(FORGET_S))
            self.assertTrue(self.advance(FORGET_S - self.wall.seconds() % FORGET_S + 0.01))
            left_s = FORGET_S - self.wall.seconds() % FORGET_S
            self.assertFalse(self.advance(left_s - 0.01))
            self.assertTrue(self.advance(0.02))

    def test_it_ends(self) -> None:
        """Nothing is scheduled once the site has stopped; to stop twice is no error."""
        self.site.stopFactory()
        self.site.stopFactory()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class LimitsTests(SynchronousTestCase):
    """What of a target is looked at."""

    def setUp(self) -> None:
        clock, origins = Clock(), Origins.parse(["*"])
        feed = Feed("feed", clock=clock)
        feed.publish(b'{"a": {"b": 1}}')
        self.args: list[dict[bytes, list[bytes]]] = []
        self.site = Site(Root([PublishedFeed(feed, origins, self.upgrade)]), reactor=clock)
        self.unquoted = 0
        for module in (http, server):
            self.patch(module, "unquote", self.unquote)

    def upgrade(self, upgrading: Request, delivery: Delivery) -> int:
        self.args.append(upgrading.args)
        return answer(upgrading, 204, [], None)

    def unquote(self, text: bytes) -> bytes:
        self.unquoted += 1
        return unquote_to_bytes(text)

    def status(self, target: bytes) -> int:
        """Asks for a target, and gives the status of the answer."""
        self.unquoted = 0
        return request(self.site, b"GET " + target + b" HTTP/1.1").status

    def query(self, query: bytes) -> dict[bytes, list[bytes]]:
        """Gives what is seen of a query."""
        head = b"GET /feed.ws?" + query + b" HTTP/1.1\nUpgrade: websocket"
        self.assertEqual(request(self.site, head).status, 204)
        return self.args[-1]

    def test_segments(self) -> None:
        """A path that is longer than any leads nowhere, as it does in full, but is not unquoted in full."""
        self.assertEqual(self.status(b"/%66eed/a/%62"), 200)
        self.assertEqual(self.unquoted, 3)
        for target in (
            b"/" * 15_000,
            b"/a" * 7_000,
            b"/feed" + b"/%61" * 3_000,
            b"http://localhost/feed" + b"/a" * 7_000,
        ):
            self.assertEqual((target[:40], self.status(target)), (target[:40], 404))
            self.assertLessEqual(self.unquoted, MAX_SEGMENTS)
        self.assertEqual(self.status(b"http://localhost/feed/" + b"/".join([b"a"] * MAX_TOKENS)), 404)

    def test_long_paths(self) -> None:
        """Of 15 KB in one segment a part is looked at, which is longer than that of any part."""
        longest = b"/feed/" + b"%61" * 1024
        self.assertEqual(self.status(longest), 404)
        for target in (b"/feed/" + b"%2F" * 5_000, b"/" + b"%61" * 5_000, b"/feed?" + b"/" * 15_000):
            self.assertEqual((target[:40], self.status(target)), (target[:40], 200 if b"?" in target else 404))

    def test_hosts_in_the_target_are_whole(self) -> None:
        """In absolute-form the path is found, however long the authority is."""
        self.assertEqual(self.status(b"http://" + b"a" * 9_000 + b"/feed/a"), 200)

    def test_parameters(self) -> None:
        """The first of them count, and the others are as if they were not there."""
        for separator in (b"&", b";"):
            others = (b"x=" + separator) * (MAX_PARAMETERS - 1)
            seen = self.query(others + b"have=1")
            self.assertEqual((len(seen[b"x"]), seen[b"have"]), (MAX_PARAMETERS - 1, [b"1"]))
            self.assertEqual(len(self.query(others + b"x=" + separator + b"have=1")[b"x"]), MAX_PARAMETERS)
            self.assertNotIn(b"have", self.query(others + b"x=" + separator + b"have=1"))
        self.assertEqual(self.query(b"&" * 15_000), {})

    def test_long_parameters(self) -> None:
        """Those that begin within the first bytes and end behind them are passed over: none is cut short."""
        filling = b"x=" + b"%61" * 600
        self.assertEqual(set(self.query(b"have=1&" + filling)), {b"have", b"x"})
        self.assertEqual(set(self.query(b"have=1&" + filling * 2)), {b"have"})
        longest = b"x=" + b"a" * (MAX_QUERY_BYTES - 9)
        self.assertEqual(self.query(longest + b"&have=1")[b"have"], [b"1"])
        self.assertEqual(set(self.query(longest + b"&have=11")), {b"x"})
        self.assertEqual(self.query(b"have=" + b"1" * 3_000), {})

    def test_cookies_are_not_read(self) -> None:
        """No resource looks at them."""
        cookies: list[dict[bytes, bytes]] = []
        process = Request.process

        def record(each: Request) -> None:
            cookies.append(each.received_cookies)
            process(each)

        self.patch(Request, "process", record)
        request(self.site, b"GET /feed HTTP/1.1\nCookie: a=b; c=d")
        self.assertEqual(cookies, [{}])
