"""Content codings on demand, for any order of requests, versions and threads, on both transports.

A version has each coding that was asked for in the last minute, none is made twice, and an answer has a coding that its
client accepts.
"""

from __future__ import annotations

import gzip
import json
import random
import socket
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import brotli
import zstandard
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document import codings, snapshot
from livefeed.document.codings import CODINGS, SMALL_BYTES
from livefeed.document.snapshot import IDENTITY, version_of
from livefeed.feed.demand import ASKED_S, Demand
from livefeed.intake.making import Maker
from livefeed.testing import Response, make_site
from livefeed.web.negotiation import choose_coding, coding_weights
from tests.helpers.driven import Client, DrivenReactor, make_pool
from tests.helpers.driven_site import DrivenSite

if TYPE_CHECKING:
    from collections.abc import Callable

SEEDS = range(6)
STEPS = 150
ACCEPTED: tuple[bytes | None, ...] = (
    None,
    b"br",
    b"gzip",
    b"zstd",
    b"identity",
    b"gzip, deflate, br, zstd",
    b"gzip;q=1, br;q=0.5",
    b"br;q=0, *",
    b"gzip;q=0.1, zstd;q=0.2, identity;q=0.15",
    b"unheard-of",
)
DECODERS: dict[str, Callable[[bytes], bytes]] = {
    IDENTITY: bytes,
    "gzip": gzip.decompress,
    "br": brotli.decompress,
    "zstd": lambda body: zstandard.ZstdDecompressor().decompress(body),
}


class Served(DrivenSite):
    """A feed with demand, on a Unix socket. Its threads finish when a test says so."""

    def __init__(self, transport: str) -> None:
        self._directory = tempfile.TemporaryDirectory()
        self._path = str(Path(self._directory.name) / "site")
        self.reactor = DrivenReactor()
        made = make_site(clock=self.reactor, in_thread=self.in_thread)
        self.feed, self.site = made.feed, made.site
        self.demand = self.feed.demand = Demand(self.reactor.seconds())
        self.maker = Maker(self.feed, self.reactor, self.in_thread)
        self.threads: list[Callable[[], object]] = []
        listening: Any = make_pool(self.reactor) if transport == "fast" else self.reactor
        self._port = listening.listenUNIX(self._path, self.site)
        self.clients: list[Client] = []

    def close(self) -> None:
        """DrivenSite API."""
        super().close()
        self._directory.cleanup()

    def in_thread(self, work: Callable[..., Any], *arguments: object) -> Deferred[Any]:
        result: Deferred[Any] = Deferred()
        self.threads.append(lambda: maybeDeferred(work, *arguments).chainDeferred(result))
        return result

    def run_threads(self) -> None:
        """Lets the threads finish that have begun."""
        threads, self.threads = self.threads, []
        for thread in threads:
            thread()

    def publish(self, data: bytes) -> Deferred[None]:
        """Makes and publishes a version. The thread that makes a large one finishes at once."""
        making = Deferred.fromCoroutine(self.maker.make(data))
        self.run_threads()
        made: Any = making.result
        self.feed.publish(made.snapshot)
        return Deferred.fromCoroutine(self.maker.complete(made))

    def connect(self) -> Client:
        """Gives a new client."""
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(self._path)
        self.clients.append(Client(sock))
        return self.clients[-1]

    def ask(self, client: Client, accepted: bytes | None, *fields: bytes) -> None:
        """Sends a request."""
        if accepted is not None:
            fields = (*fields, b"Accept-Encoding: " + accepted)
        client.send(b"\r\n".join([b"GET /feed HTTP/1.1", b"Host: localhost", *fields, b"", b""]))
        self.settle()

    def get(self, client: Client, accepted: bytes | None, *fields: bytes) -> Response:
        """Gives the answer to a request."""
        client.received = b""
        self.ask(client, accepted, *fields)
        return Response.parse(client.received)


class OnDemandTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.made: Counter[tuple[str, str]] = Counter()
        compress, compress_in = codings.compress, codings.compress_in

        def counted(data: bytes, *level: int) -> Any:
            self.made[version_of(data), "gzip"] += 1
            return compress(data, *level)

        def counted_in(coding: str, data: bytes) -> bytes:
            self.made[version_of(data), coding] += 1
            return compress_in(coding, data)

        self.patch(snapshot, "compress", counted)
        self.patch(codings, "compress", counted)
        self.patch(codings, "compress_in", counted_in)

    def serve(self, transport: str) -> Served:
        served = Served(transport)
        self.addCleanup(served.close)
        return served

    def document(self, draw: random.Random, number: int) -> bytes:
        """Gives one that is small, tiny, of noise that no coding makes smaller, or large."""
        match draw.randrange(8):
            case 0:
                return b"%d" % number
            case 1:
                return json.dumps("".join(chr(draw.randrange(0x4E00, 0x9000)) for _ in range(20))).encode()
            case 2:
                return json.dumps([number, *range(SMALL_BYTES // 4)]).encode()
            case _:
                return json.dumps([number, *range(200)]).encode()

    def check(self, response: Response, accepted: bytes | None, data: bytes) -> str:
        """Checks an answer, and gives its coding."""
        coding = response.headers.get("content-encoding", IDENTITY)
        self.assertEqual(DECODERS[coding](response.body), data)
        if coding != IDENTITY:
            self.assertEqual(choose_coding(coding_weights(accepted), [coding]), coding)
        suffix = "" if coding == IDENTITY else f"-{coding}"
        self.assertEqual(response.headers["etag"], f'"{version_of(data)}{suffix}"')
        self.assertEqual(response.headers["vary"], "Accept-Encoding, Accept")
        return coding

    def test_any_order(self) -> None:
        """Requests with heads that were seen and not, versions, threads and pauses come in random order."""
        for seed in SEEDS:
            for transport in ("fast", "twisted"):
                with self.subTest(seed=seed, transport=transport):
                    self.made.clear()
                    self.run_randomly(self.serve(transport), random.Random(seed))

    def run_randomly(self, served: Served, draw: random.Random) -> None:
        clients = [served.connect() for _ in range(3)]
        now = served.reactor.seconds
        asked = dict.fromkeys(CODINGS, now())
        data, number, completing = b"", 0, served.publish(b"[]")
        data = b"[]"
        for _ in range(STEPS):
            match draw.randrange(6):
                case 0:
                    wanted = {coding for coding in CODINGS if now() - asked[coding] <= ASKED_S}
                    number += 1
                    data = self.document(draw, number)
                    completing = served.publish(data)
                    if draw.random() < 0.7:
                        served.run_threads()
                        self.assertTrue(completing.called)
                        begun = {coding for version, coding in self.made if version == version_of(data)}
                        self.assertLessEqual(wanted, begun)
                case 1:
                    served.reactor.advance(draw.choice((0.1, 0.3, 5, ASKED_S / 2, ASKED_S, 5 * ASKED_S)))
                    # Connections may have been idle for too long.
                    served.settle()
                    clients = [served.connect() if client.ended else client for client in clients]
                case 2:
                    served.run_threads()
                case _:
                    accepted = draw.choice(ACCEPTED)
                    extra = [b"User-Agent: %d" % draw.randrange(1000)][: draw.randrange(2)]
                    extra += [b"Connection: %d" % draw.randrange(9)][: draw.randrange(2)]
                    order = served.demand.order
                    response = served.get(draw.choice(clients), accepted, *extra)
                    self.check(response, accepted, data)
                    wish = choose_coding(coding_weights(accepted), order)
                    asked[wish] = now()
                    self.assertIn((version_of(data), wish), [*self.made, *self.begun(served, data, wish)])
                    if len(data) <= SMALL_BYTES:
                        self.assert_best(response, accepted, served)
        served.run_threads()
        self.assertEqual({made: times for made, times in self.made.items() if times > 1}, {})

    def begun(self, served: Served, data: bytes, wish: str) -> list[tuple[str, str]]:
        """Gives what is being made in a thread, or was never to be."""
        assert served.feed.snapshot is not None
        is_begun = wish == IDENTITY or (bool(served.threads) and wish not in served.feed.snapshot.work.left_out)
        return [(version_of(data), wish)] if is_begun else []

    def assert_best(self, response: Response, accepted: bytes | None, served: Served) -> None:
        """Checks that a client is sent the coding that it prefers among those that are there."""
        assert served.feed.snapshot is not None
        there = [coding for coding in served.feed.snapshot.representations if coding != IDENTITY]
        best = choose_coding(coding_weights(accepted), there)
        self.assertEqual(response.headers.get("content-encoding", IDENTITY), best)

    def test_poorer_answers_are_forgotten(self) -> None:
        """A client is sent a large document uncoded until its coding is there, and coded in the next request."""
        data = json.dumps([*range(SMALL_BYTES)]).encode()
        for transport in ("fast", "twisted"):
            self.made.clear()
            served = self.serve(transport)
            served.publish(b"[]")
            served.reactor.advance(2 * ASKED_S)
            client = served.connect()
            served.publish(data)
            self.assertEqual(self.check(served.get(client, None), None, data), IDENTITY)
            for _ in range(2):
                self.assertEqual(self.check(served.get(client, b"gzip"), b"gzip", data), IDENTITY)
            self.assertEqual(len(served.threads), 1)
            served.run_threads()
            self.assertEqual(self.check(served.get(client, b"gzip"), b"gzip", data), "gzip")
            self.assertEqual(self.made[version_of(data), "gzip"], 1)

    def test_answers_by_variant_count(self) -> None:
        """A client whose choice was left out has it made, though replay knows an answer that it accepts."""
        data = json.dumps([*range(99)]).encode()
        served = self.serve("fast")
        served.publish(b"[]")
        served.reactor.advance(2 * ASKED_S)
        client = served.connect()
        served.publish(data)
        self.check(served.get(client, b"gzip"), b"gzip", data)
        accepted = b"gzip;q=0.5, br"
        self.assertEqual(self.check(served.get(client, accepted), accepted, data), "br")
        self.assertEqual({coding for _, coding in self.made if self.made[version_of(data), coding]}, {"gzip", "br"})

    def test_long_polls(self) -> None:
        """Clients that wait together ask for each version, however long it lasts."""
        for transport in ("fast", "twisted"):
            served = self.serve(transport)
            clients = [served.connect() for _ in range(3)]
            served.publish(b"[]")
            data = b"[]"
            for number in range(4):
                for client in clients:
                    client.received = b""
                    tag = b'If-None-Match: "%b"' % version_of(data).encode()
                    served.ask(client, b"zstd, br;q=0.5", tag, b"Prefer: wait=55")
                    self.assertEqual(client.received, b"")
                served.reactor.advance(50)
                data = json.dumps([number, *range(99)]).encode()
                served.publish(data)
                served.settle()
                for client in clients:
                    response = Response.parse(client.received)
                    self.assertEqual(self.check(response, b"zstd, br;q=0.5", data), "zstd")
            # Nobody has asked for the others.
            self.assertEqual([coding for coding in CODINGS if self.made[version_of(data), coding]], ["zstd"])
            self.made.clear()
