"""Clients that come: TCP, a full TLS handshake, one request and what it brings first, and the end of the connection."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.bench import load
from tests.bench.clients import Clients, Demand, following, whole_of
from tests.bench.results import EVENTS_CONNECTING, FULL_HANDSHAKE, WEBSOCKET_CONNECTING
from tests.bench.servers import KINDS
from tests.bench.turns import progress, rows_in_turn

if TYPE_CHECKING:
    from tests.bench.parts.part import Bench
    from tests.bench.peers.server import Kind, Server

AT_A_TIME = 50
"""The clients that connect at a time, as in the row of resumed handshakes."""

WARM_UP_S = 0.2
CLOSED_S = 0.1
"""The seconds that a server has for the ends of the last connections, which count."""


@dataclass(frozen=True)
class Row:
    """What clients ask for first."""

    title: str
    kind: Kind


ROWS = (
    Row(FULL_HANDSHAKE, "request"),
    Row(WEBSOCKET_CONNECTING, "websocket"),
    Row(EVENTS_CONNECTING, "events"),
)


def measure(bench: Bench) -> None:
    """Measures the rows of the plan on all servers, in turn. Those whose turn it is not are paused."""
    plan, found = bench.plan, bench.found
    with ExitStack() as stack:
        servers = [stack.enter_context(KINDS[name].kind(name, bench.setting)) for name in bench.names]
        for server in servers:
            if server.publish is not None:
                server.publish(bench.setting.document.read_bytes())
        time.sleep(1)
        able = [
            (row, server, stack.enter_context(Clients(server, demand_of(row, server))))
            for row in ROWS
            for server in servers
            if plan.has(row.title) and is_able(row, server)
        ]
        for server in servers:
            server.pause()
        for turn in range(plan.rounds):
            for row, server, clients in rows_in_turn(able, turn):
                server.resume()
                clients.run(WARM_UP_S)
                got = visits(server, clients, plan.seconds)
                server.pause()
                found.note(row.title, server.name, got, seconds=plan.seconds)
                progress(f"round {turn + 1}", row.title, server.name, got)


def is_able(row: Row, server: Server) -> bool:
    """Gives whether a server has what the clients of a row ask for."""
    if row.kind == "request":
        return KINDS[server.name].polled and not KINDS[server.name].some_rows
    return row.kind in server.followed_by


def demand_of(row: Row, server: Server) -> Demand:
    """Gives the clients of a row."""
    whole = whole_of(server.setting)
    if row.kind == "request":
        return Demand("connect", "request", "/feed", AT_A_TIME, whole=whole)
    return replace(following(server, row.kind, AT_A_TIME, whole=whole), way="connect")


def visits(server: Server, clients: Clients, seconds: float) -> load.Measured:
    """Gives the cost of a connection from its beginning to its end."""
    before = server.cpu_seconds()
    ran = clients.run(seconds)
    time.sleep(CLOSED_S)
    cpu = server.cpu_seconds() - before
    return load.Measured(
        rate=ran.count / ran.seconds,
        cpu_us=cpu / max(ran.count, 1) * 1e6,
        p50_ms=ran.p50_ms,
        p99_ms=ran.p99_ms,
        errors=ran.errors,
        wire_bytes=ran.bytes / max(ran.count, 1),
    )
