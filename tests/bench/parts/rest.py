"""A process without clients: its start, its memory, and its time; and livefeed with many feeds that change."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.bench import load
from tests.bench.items import Publisher
from tests.bench.peers.livefeed import LivefeedAsInstalled, LivefeedManyFeeds
from tests.bench.peers.server import START_S, free_ports
from tests.bench.results import MANY_FEEDS, OURS, Rest
from tests.bench.servers import KINDS
from tests.bench.turns import publishing

if TYPE_CHECKING:
    from tests.bench.parts.part import Bench
    from tests.bench.peers.server import Server

RESTING = (OURS, "nginx", "axum", "Go net/http")

STARTS = 5
"""The starts of each server of which the shortest counts. One more comes first: files are in memory then, and Python
has written its byte code."""

ASKED_AGAIN_S = 0.005

SETTLED_S = 5.0
"""The seconds after which the work of a start is done."""

COUNTED_S = 20.0
PRIVATE = ("Private_Clean", "Private_Dirty", "Private_Hugetlb")


def measure(bench: Bench) -> None:
    """Measures the servers at rest, all at a time since none does anything, and then the feeds."""
    measure_rest(bench)
    measure_feeds(bench)


def measure_rest(bench: Bench) -> None:
    """Starts each server several times, in turn, and looks at the processes of the last start."""
    names = [name for name in RESTING if name in bench.names]
    starts: dict[str, list[float]] = {name: [] for name in names}
    servers: list[Server] = []
    with ExitStack() as stack:
        for turn in range(STARTS + 1):
            for name in names:
                server = start(bench, name)
                stack.callback(server.stop)
                starts[name].append(seconds_to_first_answer(server))
                if turn < STARTS:
                    server.stop()
                else:
                    servers.append(server)
        for server, (busy, rest) in zip(servers, watch(servers, COUNTED_S), strict=True):
            found = Rest(min(starts[server.name][1:]), busy, *rest)
            bench.found.rest[server.name] = found
            print(line(server.name, found), flush=True)


def measure_feeds(bench: Bench) -> None:
    """Measures 64 feeds, each of which is a file of 4 KB that is replaced each second by the next document."""
    with LivefeedManyFeeds(MANY_FEEDS, bench.setting) as server, publishing(Publisher(server, server.names)):
        [(busy, rest)] = watch([server], COUNTED_S)
    found = Rest(0, busy, *rest)
    bench.found.rest[MANY_FEEDS] = found
    print(line(MANY_FEEDS, found), flush=True)


def start(bench: Bench, name: str) -> Server:
    """Starts a server, and does not wait for it."""
    server = LivefeedAsInstalled(name, bench.setting) if name == OURS else KINDS[name].kind(name, bench.setting)
    server.port, server.plain_port = free_ports(2)
    server.start()
    return server


def seconds_to_first_answer(server: Server) -> float:
    """Asks over TLS until there is an answer.

    :raises RuntimeError: if there is none for long.
    """
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            status, _ = load.ask(server, load.SCRIPTS["identical"])
        except OSError:
            status = 0
        if status == 200:
            return time.monotonic() - server.started
        time.sleep(ASKED_AGAIN_S)
    raise RuntimeError(f"{server.name} has not answered in {START_S} s")


def watch(servers: list[Server], seconds: float) -> list[tuple[float, tuple[int, int, int]]]:
    """Gives the share of a core of each server, and its memory: proportional, private and resident."""
    time.sleep(SETTLED_S)
    before, began = [server.cpu_seconds() for server in servers], time.monotonic()
    time.sleep(seconds)
    elapsed, after = time.monotonic() - began, [server.cpu_seconds() for server in servers]
    return [
        ((late - early) / elapsed, (server.memory("Pss"), server.memory(*PRIVATE), server.memory("Rss")))
        for server, early, late in zip(servers, before, after, strict=True)
    ]


def line(name: str, found: Rest) -> str:
    """Gives the figures as one line."""
    return (
        f"{name}: first answer after {found.start_s:.3f} s, {found.busy:.2%} of a core, "
        f"{found.pss_bytes / 2**20:.1f} MB (private {found.private_bytes / 2**20:.1f}, "
        f"resident {found.rss_bytes / 2**20:.1f})"
    )
