"""Memory: of pollers between two requests, and of a crowd that comes and goes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.bench import load
from tests.bench.clients import Clients, Demand, following
from tests.bench.peers.livefeed import Livefeed
from tests.bench.results import OURS, Audience
from tests.bench.servers import KINDS
from tests.bench.turns import progress

if TYPE_CHECKING:
    from tests.bench.parts.part import Bench
    from tests.bench.peers.server import Server

IDLERS = (OURS, "nginx", "axum", "Go net/http")
IDLE_ROUNDS = 3
"""Memory differs less from round to round than time does."""

IDLE_S = 2

CROWD_LEAVES_S = 60.0
"""The longest time in seconds after which memory counts as kept. Ten seconds were not enough with a busy neighbour: the
second of two crowds seemed to leave seven times the memory behind."""

MOSTLY_FREED = 1.25
"""The memory counts as freed at this multiple of the memory before the crowd; it is measured then."""


def measure(bench: Bench) -> None:
    """Measures the memory of idle pollers on some servers, and the crowd."""
    for _ in range(min(bench.plan.rounds, IDLE_ROUNDS)):
        measure_idle(bench)
    measure_crowd(bench)


def measure_idle(bench: Bench) -> None:
    """Measures the memory of pollers between two requests."""
    count = 5000  # of which a huge page, which may be there in part, is 2 %
    for name in bench.names:
        if name not in IDLERS:
            continue
        with KINDS[name].kind(name, bench.setting) as server:
            idle = server.memory_bytes()
            with Clients(server, Demand("poll", "request", "/feed", count)):
                time.sleep(IDLE_S)
                got = load.Measured(memory_bytes=(server.memory_bytes() - idle) / count)
        bench.found.note(f"HTTPS, {count:,} idle pollers", name, got, seconds=IDLE_S)
        progress("idle pollers", name, got)


def measure_crowd(bench: Bench) -> None:
    """Has 15,000 come and go: the collector's longest pause, and whether the memory is given back."""
    with Livefeed(OURS, bench.setting) as server:
        for turn in (1, 2):
            time.sleep(2)  # excludes the collections of the start
            idle = server.memory_bytes()
            server.longest_pause_ms()
            with (
                Clients(server, following(server, "websocket", 10_000, whole=1)) as subscribers,
                Clients(server, Demand("poll", "request", "/feed", 5000)),
            ):
                arriving_ms = server.longest_pause_ms()
                subscribers.run(10)
                staying_ms, full = server.longest_pause_ms(), server.memory_bytes()
            left = memory_after_crowd(server, idle)
            leaving_ms = server.longest_pause_ms()
            bench.found.crowd.append(Audience(arriving_ms, staying_ms, leaving_ms, idle, full, left))
            print(
                f"15,000 connections, time {turn}: the collector's longest pause {arriving_ms:.1f} ms while they come, "
                f"{staying_ms:.1f} ms while they stay, {leaving_ms:.1f} ms when they go; memory "
                f"{idle / 2**20:.1f} MiB before, {full / 2**20:.1f} MiB with them, {left / 2**20:.1f} MiB after",
                flush=True,
            )


def memory_after_crowd(server: Server, idle: int) -> int:
    """Gives the memory of a server when its connections have ended, which takes longer on a busy machine."""
    deadline = time.monotonic() + CROWD_LEAVES_S
    while (left := server.memory_bytes()) > MOSTLY_FREED * idle and time.monotonic() < deadline:
        time.sleep(1)
    return left
