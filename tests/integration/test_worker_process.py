"""A worker as a real process, with a parent in the test: everything that clients receive comes over the link."""

from __future__ import annotations

import json
import os
import random
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import websockets.exceptions
import websockets.sync.client
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from livefeed.config.settings import FeedSettings, Settings
from livefeed.document.snapshot import version_of
from livefeed.exceptions import SourceError
from livefeed.workers.locks import Activity, RunningWorker, running_workers
from livefeed.workers.messages import Message, message_of
from tests.helpers.item_client import ItemClient
from tests.helpers.worker_process import RealParent, until

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

pytestmark = pytest.mark.chosen


def document(number: int) -> bytes:
    return json.dumps({"n": number, "rest": random.Random(1).randbytes(1000).hex()}).encode()


class WorkerTestCase(TestCase):
    timeout = 120

    def begin(self, settings: Settings | None = None) -> RealParent:
        parent = RealParent() if settings is None else RealParent(settings)
        self.addCleanup(parent.close)
        return parent

    async def get(self, parent: RealParent, path: str = "/feed", **headers: str) -> httpx.Response:
        with httpx.Client(trust_env=False, timeout=60) as client:
            response: httpx.Response = await deferToThread(client.get, parent.url + path, headers=headers)
        return response

    async def subscribe(self, parent: RealParent, path: str = "/feed.ws", *protocols: Any) -> ClientConnection:
        def connect() -> ClientConnection:
            manager = websockets.sync.client.connect(
                f"ws://127.0.0.1:{parent.port}{path}", subprotocols=protocols or None, proxy=None
            )
            return manager.__enter__()

        connection: ClientConnection = await deferToThread(connect)
        self.addCleanup(deferToThread, connection.close)
        return connection

    def watchers(self, parent: RealParent) -> dict[str, int]:
        """Gives the subscribers by transport, as the worker reports them."""
        beats = parent.of_type("heartbeat")
        found: dict[str, int] = beats[-1].facts["watchers"]["feed"] if beats else {}
        return found

    async def received(self, connection: ClientConnection) -> Any:
        return json.loads(await deferToThread(connection.recv, 60))


class ServingTests(WorkerTestCase):
    async def test_all_ways_to_follow(self) -> None:
        """Polls, long polls, events and WebSockets receive the versions of the parent, and no work is done twice."""
        parent = self.begin()
        await parent.feed.pull(document(0))
        await parent.start_worker()
        answer = await self.get(parent)
        self.assertEqual((answer.status_code, answer.content), (200, document(0)))
        self.assertEqual(answer.headers["Livefeed-Version"], version_of(document(0)))
        newest = parent.feed.feed.snapshot
        assert newest is not None
        self.assertEqual(answer.headers["Livefeed-Sequence"], str(newest.sequence))
        whole = newest.representations["identity"]
        self.assertIn(answer.headers["Repr-Digest"].encode(), {each.digest for each in newest.representations.values()})
        plain = await self.subscribe(parent)
        delta = await self.subscribe(parent, "/feed.ws", "livefeed.delta.v1")
        items, followed = await self.subscribe(parent, "/feed.ws", "livefeed.delta.v2"), ItemClient()
        followed.take(json.dumps(await self.received(items)))
        self.assertEqual(await self.received(plain), json.loads(document(0)))
        self.assertEqual((await self.received(delta))["type"], "snapshot")
        waiting = self.get(
            parent,
            "/feed",
            **{"Prefer": "wait=30", "If-None-Match": whole.etag.decode(), "Accept-Encoding": "identity"},
        )
        polled = Deferred.fromCoroutine(waiting)
        await until(lambda: self.watchers(parent).get("waiting"))
        await parent.feed.pull(document(1))
        self.assertEqual((await polled).content, document(1))
        self.assertEqual(await self.received(plain), json.loads(document(1)))
        message = await self.received(delta)
        # The first patch is asked for; from then on they come with the versions.
        self.assertEqual(message["version"], version_of(document(1)))
        kinds = []
        for number in (2, 3, 4):
            await until(lambda: parent.broadcast._demanded)
            await parent.feed.pull(document(number))
            self.assertEqual(await self.received(plain), json.loads(document(number)))
            kinds.append((await self.received(delta))["type"])
        self.assertEqual(kinds, ["patch", "patch", "patch"])
        while followed.items["/feed"].document != document(4):
            followed.take(json.dumps(await self.received(items)))
        self.assertEqual(followed.items["/feed"].kinds[-3:], ["splices", "splices", "splices"])
        patched = await self.get(
            parent, "/feed", **{"A-IM": "json-patch", "If-None-Match": f'"{version_of(document(3))}"'}
        )
        self.assertEqual(patched.status_code, 226)
        beats = len(parent.of_type("heartbeat"))
        await until(lambda: len(parent.of_type("heartbeat")) > beats + 1)
        samples = parent.samples()
        for name in ("codings_made_total", "hashes_made_total", "patches_made_total"):
            self.assertEqual((name, samples[name]), (name, 0.0))
        self.assertEqual(self.watchers(parent)["websocket"], 3)
        self.assertEqual(parent.feed.feed.versions, 5)
        self.assertGreater(parent.feed.feed.codings_made, 0)
        self.assertGreater(parent.feed.feed.history.made, 0)

    async def test_events(self) -> None:
        """An event stream has the state, too, and the failure of a pull reaches it."""
        parent = self.begin()
        await parent.feed.pull(document(0))
        await parent.start_worker()

        def read() -> list[Any]:
            found: list[Any] = []
            with (
                httpx.Client(trust_env=False, timeout=60) as client,
                client.stream("GET", f"{parent.url}/feed.sse") as stream,
            ):
                for line in stream.iter_lines():
                    if line.startswith("data:"):
                        found.append(json.loads(line.removeprefix("data:")))
                        if found[-1].get("state") == "stale":
                            return found
            return found

        reading = deferToThread(read)
        await until(lambda: self.watchers(parent).get("events"))
        await parent.feed.pull(document(1))
        await parent.feed.pull(SourceError("away"))
        documents = [each for each in await reading if "n" in each]
        self.assertEqual(documents, [json.loads(document(number)) for number in (0, 1)])


class ReadinessTests(WorkerTestCase):
    async def test_public(self) -> None:
        """The parent decides while there is one, and otherwise the worker's own feeds."""
        parent = self.begin(Settings(feeds=(FeedSettings(interval=3600.0),), ready_public=True))
        await parent.start_worker()

        async def becomes(code: int) -> None:
            while (await self.get(parent, "/-/ready")).status_code != code:
                pass

        self.assertEqual((await self.get(parent, "/-/live")).json(), {"live": True})
        await becomes(503)
        parent.link.send(Message("readiness", {"ready": True}))
        await becomes(200)
        self.assertEqual((await self.get(parent, "/-/ready")).json(), {"ready": True})
        await parent.feed.pull(document(0))
        parent.link.send(Message("readiness", {"ready": False}))
        await becomes(503)
        await parent.die()
        await becomes(200)


class SlowTests(WorkerTestCase):
    async def test_a_suspended_worker(self) -> None:
        """It receives the version on its way and the newest one, and the parent keeps none for it."""
        parent = self.begin()
        await parent.feed.pull(document(0))
        process = await parent.start_worker()
        plain = await self.subscribe(parent)
        await self.received(plain)
        process.signal(signal.SIGSTOP)
        sent = parent.broadcast.payload_bytes
        for number in range(1, 301):
            await parent.feed.pull(document(number))
        self.assertLess(parent.broadcast.payload_bytes - sent, 10_000)
        self.assertFalse(parent.link.is_paused)
        process.signal(signal.SIGCONT)
        numbers: list[int] = []
        while not numbers or numbers[-1] < 300:
            numbers.append((await self.received(plain))["n"])
        self.assertEqual(numbers, [1, 300])
        self.assertEqual((await self.get(parent)).content, document(300))


class OrphanTests(WorkerTestCase):
    async def test_without_a_parent(self) -> None:
        """It serves, becomes stale by itself, finds the next parent, and its connections stay."""
        parent = self.begin(Settings(feeds=(FeedSettings(interval=3600.0, gone_after=3600.0),)))
        await parent.feed.pull(document(0))
        process = await parent.start_worker()
        parent.feed.feed.start_watching(1.5)
        plain = await self.subscribe(parent)
        await self.received(plain)
        await parent.die()
        state = ""
        while state != "stale":
            answer = await self.get(parent)
            self.assertEqual(answer.content, document(0))
            state = answer.headers["Livefeed-State"]
        await until(lambda: any("worker 0: the link to the parent is lost" in line for line in process.lines))
        hellos = len(parent.hellos)
        parent.begin()
        await until(lambda: len(parent.hellos) > hellos)
        hello = parent.hellos[-1]
        self.assertEqual(hello.feeds["feed"].version, version_of(document(0)))
        self.assertEqual((hello.index, hello.pid, hello.sockets), (0, process.pid, [1]))
        sent = parent.broadcast.payload_bytes
        await parent.feed.pull(document(1))
        # A picture of the feed repeats its version, as a sign of life.
        numbers = [0]
        while numbers[-1] == 0:
            numbers.append((await self.received(plain))["n"])
        self.assertEqual(numbers[-1], 1)
        self.assertGreater(parent.broadcast.payload_bytes, sent)
        self.assertEqual((await self.get(parent)).headers["Livefeed-State"], "live")
        # Its log had no parent for a while, and the next one has the lines.
        await until(
            lambda: any("the link to the parent is lost" in each.facts["text"] for each in parent.of_type("log"))
        )

    async def test_the_end_of_an_orphan(self) -> None:
        """After some time without a parent it drains and ends."""
        parent = self.begin()
        parent.welcome_facts["orphan_after_s"] = 0.5
        await parent.feed.pull(document(0))
        process = await parent.start_worker()
        plain = await self.subscribe(parent)
        await self.received(plain)
        await parent.die()
        self.assertEqual(await process.end(), 0)
        with self.assertRaises(websockets.exceptions.ConnectionClosed):
            await self.received(plain)
        self.assertTrue(any("there was no parent for 0.5 s" in line for line in process.lines))


class EndTests(WorkerTestCase):
    async def test_signals(self) -> None:
        """SIGTERM ends it in order; signals that the terminal sends to all are the parent's."""
        parent = self.begin()
        await parent.feed.pull(document(0))
        process = await parent.start_worker()
        plain = await self.subscribe(parent)
        await self.received(plain)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            process.signal(number)
        self.assertEqual((await self.get(parent)).status_code, 200)
        process.signal(signal.SIGTERM)
        self.assertEqual(await process.end(), 0)
        with self.assertRaises(websockets.exceptions.ConnectionClosed):
            await self.received(plain)
        # The link lasts until the end, and the parent has the last counts.
        self.assertTrue(any("it received SIGTERM" in each.facts["text"] for each in parent.of_type("log")))
        self.assertEqual(parent.of_type("heartbeat")[-1].facts["connections"], 0)

    async def test_the_parent_says_so(self) -> None:
        """The parent can end it by a message."""
        parent = self.begin()
        process = await parent.start_worker()
        parent.link.send(Message("drain"))
        self.assertEqual(await process.end(), 0)

    async def test_drain(self) -> None:
        """The parent can have it send its watchers away; it runs on, and ends when the parent has ended."""
        parent = self.begin(Settings(drain=0.0))
        await parent.feed.pull(document(0))
        process = await parent.start_worker()
        plain = await self.subscribe(parent)
        await self.received(plain)
        parent.link.send(Message("let_go", {"successor": True}))
        with self.assertRaises(websockets.exceptions.ConnectionClosed):
            await self.received(plain)
        await until(lambda: parent.of_type("heartbeat")[-1].facts["drain"]["phase"] == "released")
        report = parent.of_type("heartbeat")[-1].facts["drain"]
        self.assertEqual(report["sockets"], 1)
        parent.link.close()
        self.assertEqual(await process.end(), 0)

    async def test_drain_with_another_parent(self) -> None:
        """A worker that sends its watchers away finds the next parent, is fed by it until its end, and then ends."""
        parent = self.begin(Settings(feeds=(FeedSettings(interval=3600.0),), drain=2.0))
        await parent.feed.pull(document(0))
        process = await parent.start_worker()
        watchers = [await self.subscribe(parent) for _ in range(2)]
        for watcher in watchers:
            await self.received(watcher)
        parent.link.send(Message("drain", {"successor": True}))
        await until(lambda: parent.of_type("heartbeat")[-1].facts["drain"]["phase"] == "releasing")
        await parent.die()
        parent.begin()
        await until(lambda: len(parent.hellos) == 2)
        hello = parent.hellos[1]
        self.assertEqual((hello.is_draining, hello.numbers, hello.generation), (True, [[]], 0))
        # A second order does not cut anybody off.
        parent.link.send(Message("drain", {"successor": True}))
        self.assertEqual(await process.end(), 0)
        for watcher in watchers:
            with self.assertRaises(websockets.exceptions.ConnectionClosed):
                await self.received(watcher)

    async def test_without_sockets(self) -> None:
        """A worker that was never given sockets has no clients, and ends when its parent does."""
        parent = self.begin()
        parent.listens = []
        process = await parent.start_worker()
        self.assertEqual(running_workers(parent.path.parent), [RunningWorker(0, 0, process.pid, Activity.WAITING)])
        await parent.die()
        self.assertEqual(await process.end(), 0)

    async def test_settings_that_cannot_work(self) -> None:
        """The reason is in the parent's log, and the exit code tells the supervisor."""
        parent = self.begin(Settings(cert=(Path("/nowhere.pem"),), key=(Path("/nowhere.key"),)))
        parent.listen = "tls:1"
        process = parent.spawn()
        self.assertEqual(await process.end(), 1)
        await until(lambda: any("nowhere.pem" in each.facts["text"] for each in parent.of_type("log")))

    async def test_an_index_belongs_to_one_process(self) -> None:
        """A second process with the same index ends at once, and the first one is not disturbed."""
        parent = self.begin()
        first = await parent.start_worker()
        held = [RunningWorker(0, 0, first.pid, Activity.ACCEPTING)]
        self.assertEqual(running_workers(parent.path.parent), held)
        second = parent.spawn()
        self.assertEqual(await second.end(), 3)
        self.assertEqual(second.lines, ["worker 0 of generation 0 runs already\n"])
        self.assertEqual(running_workers(parent.path.parent), held)


class ConfigurationTests(WorkerTestCase):
    async def test_feeds_come_and_go(self) -> None:
        """A configuration adds and removes feeds, and changes others, while connections stay."""
        parent = self.begin()
        await parent.feed.pull(document(0))
        await parent.start_worker()
        plain = await self.subscribe(parent)
        await self.received(plain)
        first = parent.settings.feeds[0]
        parent.settings = Settings(
            feeds=(first, FeedSettings(feed="more", interval=3600.0, allow_origin=("https://a.example",)))
        )
        more = parent.add(parent.settings.feeds[1])
        await more.pull(document(7))
        parent.broadcast.send_all(message_of("configuration", parent.welcome()))
        answer = await self.get(parent, "/more", Origin="https://a.example")
        while answer.status_code != 200:
            answer = await self.get(parent, "/more", Origin="https://a.example")
        self.assertEqual(answer.content, document(7))
        self.assertEqual(answer.headers["Access-Control-Allow-Origin"], "https://a.example")
        await parent.feed.pull(document(1))
        self.assertEqual(await self.received(plain), json.loads(document(1)))
        parent.settings = Settings(feeds=(first,))
        del parent.services["more"]
        parent.broadcast.send_all(message_of("configuration", parent.welcome()))
        while answer.status_code != 404:
            answer = await self.get(parent, "/more")
        await more.pull(document(8))
        await parent.feed.pull(document(2))
        self.assertEqual(await self.received(plain), json.loads(document(2)))
        self.assertEqual(len(parent.links), 1, [each.facts["text"] for each in parent.of_type("log")])
        more.feed.stop_watching()

    async def test_descriptors(self) -> None:
        """Many configurations with certificates leave no descriptor open."""
        parent = self.begin()
        await parent.feed.pull(document(0))
        process = await parent.start_worker()
        descriptors = f"/proc/{process.pid}/fd"
        parent.welcome_facts = {"certificates": {"/a/chain.pem": 0, "/a/key.pem": 1}}
        first = parent.settings.feeds[0]

        async def configure(name: str, times: int) -> int:
            """Gives the number of descriptors after some configurations, of which the last one adds a feed."""
            parent.settings = Settings(feeds=(first, FeedSettings(feed=name, interval=3600.0)))
            for _ in range(times):
                parent.broadcast.send_all(message_of("configuration", parent.welcome(), (b"one", b"two")))
            while (await self.get(parent, f"/{name}")).status_code == 404:
                pass
            return len(os.listdir(descriptors))  # noqa: PTH208 - Path blocks in the eyes of the linter

        before = await configure("one", 1)
        # Connections of the test may still be open.
        self.assertLess(await configure("many", 50), before + 10)
