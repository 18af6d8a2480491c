"""Many clients that ask once a second each, on connections that they keep: a server that is busy, but not full."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.bench import load
from tests.bench.clients import Clients, ClientsError, Demand
from tests.bench.servers import KINDS
from tests.bench.turns import progress, rotated

if TYPE_CHECKING:
    from tests.bench.parts.part import Bench
    from tests.bench.peers.server import Server

COUNT = 15_000
"""Not more, since a process may have 20,000 files open on the machine of the published figures."""

TITLE = f"HTTPS, {COUNT:,} pollers, each once a second"
SETTLED_S = 2.0
RESUMED_S = 1.2
"""The seconds until each client has asked once since its server was paused."""

COUNTED_S = 2.0


def measure(bench: Bench) -> None:
    """Measures the cost of an answer. All servers have their pollers all the time, and take turns."""
    with ExitStack() as stack:
        able = [
            (server, clients, memory_bytes)
            for name in bench.names
            if KINDS[name].polled and not KINDS[name].some_rows
            for server, clients, memory_bytes in begin(bench, name, stack)
        ]
        for turn in range(bench.plan.rounds):
            for server, clients, memory_bytes in rotated(able, turn):
                server.resume()
                clients.run(RESUMED_S)
                before = server.cpu_seconds()
                ran = clients.run(COUNTED_S)
                cpu = server.cpu_seconds() - before
                server.pause()
                got = load.Measured(
                    rate=ran.count / ran.seconds,
                    cpu_us=cpu / max(ran.count, 1) * 1e6,
                    p50_ms=ran.p50_ms,
                    p99_ms=ran.p99_ms,
                    errors=ran.errors,
                    memory_bytes=memory_bytes,
                )
                bench.found.note(TITLE, server.name, got, seconds=COUNTED_S)
                progress(f"round {turn + 1}", TITLE, server.name, got)


def begin(bench: Bench, name: str, stack: ExitStack) -> list[tuple[Server, Clients, float]]:
    """Gives a server with its pollers and the memory of each, paused; nothing if it does not serve all of them."""
    server = stack.enter_context(KINDS[name].kind(name, bench.setting))
    time.sleep(1)
    idle = server.memory_bytes()
    fields = "".join(f"{field}: {value}\r\n" for field, value in load.BROWSER.items() if field != "Host")
    demand = Demand("poll", "request", "/feed", COUNT, fields=fields)
    try:
        clients = stack.enter_context(Clients(server, demand))
    except ClientsError as error:
        print(f"left out: {TITLE}: {error}", flush=True)
        server.stop()
        return []
    clients.run(SETTLED_S)
    memory_bytes = (server.memory_bytes() - idle) / COUNT
    server.pause()
    return [(server, clients, memory_bytes)]
