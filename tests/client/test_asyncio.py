"""The front end for asyncio, with a server on this machine that a test moves by hand."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import SynchronousTestCase

from livefeed.client import asyncio as client_asyncio
from livefeed.client.asyncio import Feed, FollowError, follow, read_exactly
from livefeed.client.update import Line, State
from tests.helpers.client_loop import FakeLoop, FakeWire
from tests.helpers.delta_messages import document, splices

if TYPE_CHECKING:
    from collections.abc import Coroutine

A, B = '{"share": 1.50}', '{"share": 1.60}'


class FeedTests(SynchronousTestCase):
    """The iterator, on an event loop whose connections are those of the test."""

    def setUp(self) -> None:
        self.loop = FakeLoop()
        self.patch(client_asyncio, "_Loop", lambda *_: self.loop)

    @property
    def wire(self) -> FakeWire:
        return self.loop.wires[-1]

    def run_async(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run(asyncio.wait_for(work, 30))

    def test_newest_version(self) -> None:
        """A caller that is slow receives the newest version, and none in between."""

        async def work() -> None:
            async with follow("http://h/feed") as feed:
                self.wire.accept()
                self.wire.send(document(A))
                self.wire.send(splices(A, B))
                update = await anext(feed)
                self.assertEqual(update.content, B.encode())
                self.assertEqual(update.data, {"share": 1.6})
                self.assertEqual((update.state, update.line, update.verified), (State.LIVE, Line.OPEN, True))
                assert update.age_s is not None
                self.assertGreaterEqual(update.age_s, 0.04)
                waiting = asyncio.ensure_future(anext(feed))
                await asyncio.sleep(0)
                self.assertFalse(waiting.done())
                self.wire.send(document(B, state="stale"))
                self.assertIs((await waiting).state, State.STALE)
                self.assertGreater(feed.received_bytes, 0)
            self.assertTrue(self.wire.is_dropped)

        self.run_async(work())

    def test_end_of_the_context(self) -> None:
        """The iteration ends when the context is left."""

        async def work() -> None:
            feed: Feed[Any] = follow("http://h/feed")
            with self.assertRaises(RuntimeError):
                await anext(feed)
            async with feed:
                waiting = asyncio.ensure_future(anext(feed, None))
                await asyncio.sleep(0)
                await feed.close()
                self.assertIsNone(await waiting)
            self.assertEqual([each async for each in feed], [])

        self.run_async(work())

    def test_error(self) -> None:
        """The last state is given before the error."""

        async def work() -> None:
            async with follow("http://h/feed") as feed:
                self.wire.accept()
                self.wire.close(3500, "too many frames")
                self.assertIs((await anext(feed)).line, Line.OFFLINE)
                with self.assertRaises(FollowError):
                    await anext(feed)

        self.run_async(work())

    def test_exact_numbers(self) -> None:
        """The caller chooses how a document is read, and it is read once."""
        calls = []

        def parse(data: bytes) -> Any:
            calls.append(data)
            return read_exactly(data)

        async def work() -> None:
            async with follow("http://h/feed", parse=parse) as feed:
                self.wire.accept()
                self.wire.send(document(A))
                self.assertEqual((await anext(feed)).data, {"share": Decimal("1.50")})
                self.wire.send(document(A, state="stale"))
                self.assertEqual((await anext(feed)).data, {"share": Decimal("1.50")})
                self.wire.send(document(A, state="expired", version="0" * 32))
                self.assertEqual(len(calls), 1)

        self.run_async(work())

    def test_wrong_arguments(self) -> None:
        """A URL that can never work is an error at once."""
        for url, pointer in (("feed", ""), ("http://h/feed", "a")):
            with self.assertRaises(FollowError):
                follow(url, pointer=pointer)
