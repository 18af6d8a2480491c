"""The cost of the access log for a replayed request: ``python -m tests.bench.access_log [--rounds 15]``.

One process is server and client, on real sockets. The processor time of the server's part alone counts: the pool reads,
finds the answer and writes it, and the lines are joined. Each round measures all variants, in a random order, so a busy
neighbour falls on all of them; the ratio is the median of the rounds'. Writing the file is a thread's, and is measured
apart.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import socket
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from OpenSSL import SSL

from livefeed.feed.feed import Feed
from livefeed.testing import make_site, publish
from livefeed.tls.development import development_certificate
from livefeed.tls.options import server_options
from livefeed.transport.endpoint import KINDS, PoolReactor
from livefeed.transport.logged import LOGGED
from livefeed.web.access_log import AccessLog, Format, FormatName, LoggedReplay
from tests.helpers.driven import Client, DrivenReactor, make_pool, settle
from tests.helpers.tls import TLSClient

CONNECTIONS = 200
ROUNDS = 15
NAMES: tuple[FormatName | None, ...] = (None, "common", "combined", "json")
TURNS = 10
"""Requests of each connection in a round."""

HEAD = (
    b"GET /feed HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) "
    b"Gecko/20100101 Firefox/140.0%s\r\nAccept: */*\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, "
    b"deflate, br, zstd\r\nReferer: https://www.example.org/\r\nOrigin: https://www.example.org\r\nConnection: "
    b"keep-alive\r\nSec-Fetch-Dest: empty\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Site: cross-site\r\nDNT: 1\r\n\r\n"
)


class Variant:
    """A server with or without an access log, and its clients.

    :param name: the format; ``None`` without an access log.
    :param tls: the certificate; ``None`` for plain HTTP.
    :param differing: whether the head of each client differs.
    """

    def __init__(self, name: FormatName | None, tls: Any, *, differing: bool) -> None:
        self.reactor = DrivenReactor()
        feed = Feed("feed", clock=self.reactor)
        made = make_site(feed, clock=self.reactor)
        publish(feed, b'{"votes": [%s]}' % b", ".join(b"%d" % n for n in range(500)))
        self.written = 0
        self.log: Any = None
        if name is not None:
            self.log = AccessLog(Format(name), self._count, time.time)
            made.site.replays = {secure: LoggedReplay(self.log) for secure in (False, True)}
        self.pool = make_pool(self.reactor).pool
        listening = PoolReactor(self.pool, kinds=KINDS if name is None else LOGGED)
        if tls is None:
            port: Any = listening.listenTCP(0, made.site, interface="127.0.0.1", backlog=1024)
        else:
            # A context that has made a connection cannot be used for another port.
            options: Any = server_options(tls.cert, tls.key)
            port = listening.listenSSL(0, made.site, options, interface="127.0.0.1", backlog=1024)
        self.clients = [self._connect(port.getHost().port, tls) for _ in range(CONNECTIONS)]
        self.heads = [HEAD % (b"-%d" % n if differing else b"") for n in range(CONNECTIONS)]
        self.turn()
        self.turn()
        self.times: list[float] = []

    def _count(self, data: bytes, lines: int) -> None:
        self.written += lines

    def _connect(self, port: int, tls: Any) -> Client:
        # Each from an address of its own, as watchers.
        sock = socket.create_connection(("127.0.0.1", port))
        if tls is None:
            return Client(sock)
        client = TLSClient(sock, SSL.Context(SSL.TLS_METHOD))
        for _ in range(1000):
            self.reactor.settle()
            try:
                client.tls.do_handshake()
                break
            except SSL.WantReadError:
                continue
        return client

    def turn(self) -> float:
        """Sends a request on each connection; gives the processor time that the server takes for all."""
        for client, head in zip(self.clients, self.heads, strict=True):
            client.send(head)
        taken = 0.0
        answered = 0
        while answered < CONNECTIONS:
            began = time.thread_time()
            self.pool.doRead()
            taken += time.thread_time() - began
            answered = sum(client.read() or bool(client.received) for client in self.clients)
        began = time.thread_time()
        if self.log is not None:
            self.log.flush()
        taken += time.thread_time() - began
        for client in self.clients:
            client.received = b""
        return taken

    def round(self) -> None:
        """Measures one round."""
        self.turn()
        self.times.append(sum(self.turn() for _ in range(TURNS)) / TURNS / CONNECTIONS * 1e6)


def writing_us() -> float:
    """Gives the microseconds that writing a line to a file takes, in pieces of a quarter of a second's lines."""
    line = Format("combined").beginning("192.0.2.1") + b"x" * 150 + b"\n"
    with tempfile.TemporaryDirectory() as folder:
        fd = os.open(Path(folder) / "access.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        began = time.thread_time()
        for _ in range(100):
            os.write(fd, line * 2500)
        taken = time.thread_time() - began
        os.close(fd)
    return taken / 250_000 * 1e6


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    gc.disable()
    with tempfile.TemporaryDirectory() as folder:
        certificate = development_certificate(Path(folder))
        for title, tls, differing in (
            ("TLS, one head", certificate, False),
            ("TLS, all heads differ", certificate, True),
            ("plain, one head", None, False),
            ("plain, all heads differ", None, True),
        ):
            variants = {name: Variant(name, tls, differing=differing) for name in NAMES}
            for _ in range(rounds):
                for variant in random.sample([*variants.values()], len(variants)):
                    variant.round()
            without = variants[None].times
            base = median(without)
            print(f"{title}: {base:.2f} µs for a replayed request without an access log")
            for name, variant in variants.items():
                if name is not None:
                    # All but the first, which is rendered.
                    assert variant.written == CONNECTIONS * (rounds * (TURNS + 1) + 2) - 1, variant.written
                    ratio = median(it / other for it, other in zip(variant.times, without, strict=True))
                    print(f"  {name:9} {median(variant.times):6.2f} µs  ratio {ratio:.3f}")
                settle(variant.reactor)
            for variant in variants.values():
                for client in variant.clients:
                    client.close()
    print(f"writing a line, in the thread: {writing_us():.2f} µs")


if __name__ == "__main__":
    main()
