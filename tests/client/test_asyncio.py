"""The front end for asyncio, with a server on this machine that a test moves by hand."""

from __future__ import annotations

import asyncio
import threading
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import SynchronousTestCase

from livefeed.client import asyncio as client_asyncio
from livefeed.client.actions import Failed
from livefeed.client.address import Address
from livefeed.client.asyncio import Feed, FollowError, follow, read_exactly
from livefeed.client.failures import tls_context
from livefeed.client.update import Line, State
from livefeed.client.verification import Trust
from tests.helpers.client_loop import FakeLoop, FakeWire, RecordingReceiver
from tests.helpers.delta_messages import document, splices
from tests.helpers.signers import TRUSTED

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

    def test_observer(self) -> None:
        """It is called with each change, also with those that the iterator passes over."""
        seen: list[bytes] = []

        async def work() -> None:
            async with follow("http://h/feed") as feed:
                feed.observe(lambda shown: seen.append(shown.content or b""))
                self.wire.accept()
                self.wire.send(document(A))
                self.wire.send(splices(A, B))
                self.assertEqual((await anext(feed)).content, B.encode())

        self.run_async(work())
        self.assertEqual([each for each in seen if each], [A.encode(), B.encode()])

    def test_held_and_ended(self) -> None:
        """A document that is held says why; one that has ended is asked for again on request."""

        async def work() -> None:
            feed: Feed[Any] = follow("http://h/feed")
            feed.refresh()
            self.assertIsNone(feed.waiting_s)
            async with feed:
                self.wire.accept()
                self.wire.send(document(A, state="held", reason="a check", waiting=5000))
                update = await anext(feed)
                self.assertEqual((update.state, update.reason), (State.HELD, "a check"))
                assert update.waiting_s is not None
                assert feed.waiting_s is not None
                self.assertGreaterEqual(feed.waiting_s, update.waiting_s)
                self.assertGreaterEqual(update.waiting_s, 5)
                self.wire.send(document(A, state="ended"))
                update = await anext(feed)
                self.assertEqual((update.state, update.line, update.waiting_s), (State.ENDED, Line.CLOSED, None))
                feed.refresh()
                self.assertEqual(len(self.loop.requests), 1)

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

    def test_keys(self) -> None:
        """Keys that cannot be used are wrong arguments, and so is a part."""
        with self.assertRaises(FollowError) as caught:
            follow("http://h/feed", keys="/nowhere/keys.json")
        self.assertIn("/nowhere/keys.json: ", str(caught.exception))
        for url, pointer in (("http://h/feed", "/a"), ("http://h/feed#/a", "")):
            with self.assertRaises(FollowError):
                follow(url, keys=Trust(TRUSTED, "feed"), pointer=pointer)
        self.assertIsInstance(follow("http://h/feed", keys=Trust(TRUSTED, "feed")), Feed)

    def test_wrong_arguments(self) -> None:
        """A URL that can never work is an error at once."""
        for url, pointer in (("feed", ""), ("http://h/feed", "a")):
            with self.assertRaises(FollowError):
                follow(url, pointer=pointer)


class FakeTransport(asyncio.Transport):
    """The transport of a connection."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True


class LoopTests(SynchronousTestCase):
    """The event loop, as the driver uses it, without sockets."""

    def setUp(self) -> None:
        self.receiver = RecordingReceiver()
        self.asked: list[tuple[Any, ...]] = []
        self.error: Exception | None = None
        self.protocol: asyncio.Protocol | None = None

    async def connection(self, url: str = "http://h:8080/feed", connect: str | None = None) -> Any:
        """Gives a connection, after its attempt."""
        loop = asyncio.get_running_loop()
        address = Address.of(url, connect=connect)

        async def create_connection(factory: Any, host: str, port: int, **more: Any) -> None:
            self.asked.append((host, port, more.get("server_hostname")))
            if self.error is not None:
                raise self.error
            self.protocol = factory()

        self.patch(loop, "create_connection", create_connection)
        wire = client_asyncio._Loop(loop, address, tls_context(address)).connect(self.receiver)
        await asyncio.sleep(0)
        return wire

    def test_other_endpoint(self) -> None:
        """The certificate must still have the name in the URL."""

        async def work() -> None:
            await self.connection("https://h/feed", "192.0.2.7:8443")
            self.assertEqual(self.asked, [("192.0.2.7", 8443, "h")])

        asyncio.run(work())

    def test_bytes(self) -> None:
        """Bytes come and go, and the end is told once."""

        async def work() -> None:
            wire = await self.connection("https://h/feed")
            self.assertEqual(self.asked, [("h", 443, "h")])
            wire.write(b"too early")
            transport = FakeTransport()
            wire.connection_made(transport)
            wire.write(b"ping")
            wire.data_received(b"pong")
            wire.connection_lost(None)
            wire.connection_lost(None)
            self.assertEqual(transport.written, b"ping")
            self.assertEqual(self.receiver.events, ["connected", b"pong", type(None)])

        asyncio.run(work())

    def test_failure(self) -> None:
        """The error of an attempt is told."""

        async def work() -> None:
            self.error = ConnectionRefusedError(111, "x")
            await self.connection()
            self.assertEqual(self.receiver.events, [ConnectionRefusedError])

        asyncio.run(work())

    def test_dropped(self) -> None:
        """Nothing is told about a connection that was dropped, whenever that is."""

        async def work() -> None:
            wire = await self.connection()
            wire.drop()
            transport = FakeTransport()
            wire.connection_made(transport)
            self.assertTrue(transport.is_closed)
            wire = await self.connection()
            transport = FakeTransport()
            wire.connection_made(transport)
            wire.drop()
            wire.data_received(b"late")
            wire.connection_lost(None)
            self.assertTrue(transport.is_closed)
            self.assertEqual(self.receiver.events, ["connected"])

        asyncio.run(work())

    def test_threads(self) -> None:
        """Requests are made in threads of their own; a machine that has none left is a failure."""

        async def work() -> None:
            loop = client_asyncio._Loop(asyncio.get_running_loop(), Address.of("http://h/feed"), None)
            done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            loop.in_thread(lambda: Failed(threading.current_thread().name), done.set_result)
            self.assertEqual((await done).why, "livefeed request")

            def fail(thread: threading.Thread) -> None:
                raise RuntimeError("can't start new thread")

            self.patch(threading.Thread, "start", fail)
            done = asyncio.get_running_loop().create_future()
            loop.in_thread(lambda: Failed("never"), done.set_result)
            self.assertIn("no thread can be started", (await done).why)
            called = asyncio.Event()
            loop.call_later(0, called.set)
            await called.wait()

        asyncio.run(asyncio.wait_for(work(), 30))
