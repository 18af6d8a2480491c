"""The cost of access control for a poll and for a push: ``python -m tests.bench.access [--rounds 15]``.

One process is server and client, on real sockets without TLS. The processor time of the server's part alone counts.
Each round measures all variants, in a random order, so a busy neighbour falls on all of them; the ratio is the median
of the rounds'. ``public, rendered`` is a public feed whose answers are not repeated, as if replay were off: the rest is
the cost of the token itself.
"""

from __future__ import annotations

import argparse
import gc
import random
import socket
import time
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from livefeed.auth.material import Content, Material, keys_of
from livefeed.auth.tokens import Tokens
from livefeed.auth.verifiers import verifier_of
from livefeed.config.settings import FeedSettings
from livefeed.delivery.guard import Guard
from livefeed.feed.feed import Feed
from livefeed.testing import make_site, publish
from livefeed.web.cors import Origins
from livefeed.web.failures import Failures
from livefeed.web.replay import Replay
from tests.helpers.driven import Client, DrivenReactor, make_pool, settle
from tests.helpers.signed_tokens import AUDIENCE, ISSUER, NOW_S, jwk, jwks, sign

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECTIONS = 200
ROUNDS = 15
TURNS = 5
"""Requests of each connection, and pushes, in a round."""

TOKEN = "q0Ywz3nOScE8uWq3Yc0dT1p4"
KEYS_URL = "https://id.example/jwks.json"

POLL = (
    b"GET /feed HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) "
    b"Gecko/20100101 Firefox/140.0\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n%s\r\n"
)
HANDSHAKE = (
    b"GET /feed.ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: livefeed.delta.v1\r\n%s\r\n"
)


def bearer(token: bytes) -> bytes:
    """Gives the field with a token."""
    return b"Authorization: Bearer %s\r\n" % token


def one_token(_: int) -> bytes:
    """Gives the field of a client that has a token of the file."""
    return bearer(TOKEN.encode())


def signed(algorithm: str) -> Callable[[int], bytes]:
    """Gives a function that gives each client the field with a signed token of its own."""
    return lambda number: bearer(sign(algorithm, headers={"kid": algorithm}, sub=str(number)))


def no_token(_: int) -> bytes:
    """Gives no field."""
    return b""


class Forgetting(Replay):
    """A store of answers that keeps none."""

    def store(self, *_: object, **__: object) -> None:
        """AnswerStore API."""


@dataclass(eq=False)
class Variant:
    """A server, and its clients.

    :ivar field_of: gives the field of a client, by its number.
    :ivar is_protected: whether the feed has a guard.
    :ivar forgets: whether no answer is repeated.
    :ivar remembers: whether the signature of a token is checked once.
    """

    # required parameters
    field_of: Callable[[int], bytes]
    is_protected: bool = True
    forgets: bool = False
    remembers: bool = True

    # internal state
    polls: list[float] = field(default_factory=list)
    pushes: list[float] = field(default_factory=list)
    _number: int = 0

    def __post_init__(self) -> None:
        self.reactor = DrivenReactor()
        self.feed = Feed("feed", clock=self.reactor)
        self.made = make_site(self.feed, clock=self.reactor)
        self.verifier: Any = None
        if self.forgets:
            self.made.site.replays = {secure: Forgetting() for secure in (False, True)}
        if self.is_protected:
            self._protect()
        self._publish()
        pooled = make_pool(self.reactor)
        self.pool = pooled.pool
        port: Any = pooled.listenTCP(0, self.made.site, interface="127.0.0.1", backlog=1024)
        address = ("127.0.0.1", port.getHost().port)
        fields = [self.field_of(number) for number in range(CONNECTIONS)]
        self.pollers = [Client(socket.create_connection(address)) for _ in fields]
        self.heads = [POLL % each for each in fields]
        self.followers = [Client(socket.create_connection(address)) for _ in fields]
        for client, each in zip(self.followers, fields, strict=True):
            client.send(HANDSHAKE % each)
        settle(self.reactor, *self.followers)
        assert all(b" 101 " in client.received for client in self.followers)
        self._poll()

    def _protect(self) -> None:
        settings = FeedSettings(
            auth_tokens="/t",  # type: ignore[arg-type]
            auth_keys=KEYS_URL,
            auth_algorithm=("EdDSA", "ES256", "RS256"),
            auth_issuer=ISSUER,
            auth_audience=AUDIENCE,
        )
        keys = keys_of(jwks(*(jwk(each, kid=each) for each in settings.auth_algorithm)), "keys")
        assert keys is not None
        material = Material()
        material.take(Content({"/t": Tokens.parse(f"a {TOKEN}".encode(), "t")}, {KEYS_URL: keys}))
        wall = lambda: float(NOW_S)  # noqa: E731
        self.verifier = verifier_of(settings, material, wall)
        published = self.made.published[0]
        origins = Origins.parse(("*",))
        failures = Failures(self.reactor)
        published.guard = Guard(self.verifier, origins, None, failures, self.feed.tally, self.reactor, wall)
        root: Any = self.made.site.resource
        root.update()

    def _publish(self) -> None:
        self._number += 1
        publish(self.feed, b'{"n": %d, "votes": [%s]}' % (self._number, b", ".join(b"%d" % n for n in range(500))))

    def _work(self, clients: list[Client]) -> float:
        """Lets the server work until all clients have received something; gives its processor time."""
        taken = 0.0
        answered = 0
        while answered < CONNECTIONS:
            began = time.thread_time()
            self.pool.doRead()
            taken += time.thread_time() - began
            answered = sum(client.read() or bool(client.received) for client in clients)
        for client in clients:
            client.received = b""
        return taken

    def _poll(self) -> float:
        if not self.remembers:
            self.verifier.signed._known.clear()
        for client, head in zip(self.pollers, self.heads, strict=True):
            client.send(head)
        return self._work(self.pollers)

    def _push(self) -> float:
        for client in self.followers:
            client.received = b""
        began = time.thread_time()
        self._publish()
        self.reactor.settle()
        taken = time.thread_time() - began
        while sum(client.read() or bool(client.received) for client in self.followers) < CONNECTIONS:
            self.reactor.settle()
        return taken

    def round(self) -> None:
        """Measures one round."""
        self._poll()
        self.polls.append(sum(self._poll() for _ in range(TURNS)) / TURNS / CONNECTIONS * 1e6)
        self.pushes.append(sum(self._push() for _ in range(TURNS)) / TURNS / CONNECTIONS * 1e6)


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    gc.disable()
    variants = {
        "public": Variant(no_token, is_protected=False),
        "public, rendered": Variant(no_token, is_protected=False, forgets=True),
        "token of a file": Variant(one_token),
        "EdDSA": Variant(signed("EdDSA")),
        "ES256": Variant(signed("ES256")),
        "RS256": Variant(signed("RS256")),
        "EdDSA, first request": Variant(signed("EdDSA"), remembers=False),
        "ES256, first request": Variant(signed("ES256"), remembers=False),
        "RS256, first request": Variant(signed("RS256"), remembers=False),
    }
    for _ in range(rounds):
        for variant in random.sample([*variants.values()], len(variants)):
            variant.round()
    base = variants["public"]
    print("| feed | poll, µs | ratio | push, µs | ratio |\n|---|---|---|---|---|")
    for name, variant in variants.items():
        cells = [name]
        for times, others in ((variant.polls, base.polls), (variant.pushes, base.pushes)):
            ratio = median(one / other for one, other in zip(times, others, strict=True))
            cells += [f"{median(times):.1f}", f"{ratio:.2f}"]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
