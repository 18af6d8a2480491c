"""Requests by wrk, to all servers in turn."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.bench import load
from tests.bench.servers import KINDS
from tests.bench.turns import progress

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.bench.parts.part import Bench
    from tests.bench.peers.server import Server

CLOSING_S = 0.001
"""The seconds that a server has for each connection that has ended, before it is paused."""


@dataclass(frozen=True)
class Row:
    """A row of the table: the requests to each server that supports them.

    :ivar script: the kind of requests; see ``load.SCRIPTS``.
    :ivar status: of the answers.
    :ivar coding: of the answers.
    """

    title: str
    script: str
    connections: int
    plain: bool = False
    status: int = 200
    coding: str = ""


ROWS = (
    Row("HTTPS, identical heads, 200 connections", "identical", 200),
    Row("HTTPS, all heads different, 200 connections", "different", 200),
    Row("HTTPS, 304, all heads different", "304", 200, status=304),
    Row("HTTPS, distinct cookies, 200 connections", "cookies", 200),
    Row("HTTPS, compressed, all heads different", "compressed", 200, coding="gzip"),
    Row("HTTPS, all heads different, 2,000 connections", "different", 2000),
    Row("HTTPS, a new connection for each request", "new connection", 50),
    Row("HTTP, identical heads, 200 connections", "identical", 200, plain=True),
)
QUICK_ROWS = ROWS[:3]


def measure(bench: Bench) -> None:
    """Measures the rows of the plan."""
    rows = QUICK_ROWS if bench.plan.is_quick else ROWS
    measure_rows(bench, bench.names, [row for row in rows if bench.plan.has(row.title)])


def measure_rows(bench: Bench, names: Iterable[str], rows: list[Row]) -> None:
    """Measures rows on some servers, in turn. Those whose turn it is not are paused, since all share a core."""
    plan, found = bench.plan, bench.found
    servers: list[Server] = []
    try:
        for name in names:
            if KINDS[name].polled:
                servers.append(KINDS[name].kind(name, bench.setting).__enter__())  # noqa: PERF401 - to end them if one fails
        able = [(row, server) for row in rows for server in servers if does(server, row)]
        for server in servers:
            server.pause()
        held = {} if plan.is_quick else memory_of(bench, able)
        for turn in range(plan.rounds):
            for row, server in able:
                server.resume()
                got = load.requests(
                    server, row.script, connections=row.connections, seconds=plan.seconds, plain=row.plain
                )
                # The server closes these connections now, so that the cost does not count for the next row.
                time.sleep(row.connections * CLOSING_S)
                server.pause()
                got = replace(got, memory_bytes=held.get((row.title, server.name), 0))
                found.note(row.title, server.name, got, seconds=plan.seconds)
                progress(f"round {turn + 1}", row.title, server.name, got)
    finally:
        for server in servers:
            server.stop()


def memory_of(bench: Bench, able: list[tuple[Row, Server]]) -> dict[tuple[str, str], float]:
    """Gives the memory of a connection for each row with lasting connections and each server, a new one each time."""
    held = {}
    for row, server in able:
        if row.script == "new connection":
            continue
        with KINDS[server.name].kind(f"{server.name}, new", bench.setting) as new:
            held[row.title, server.name] = load.memory_held(
                new, row.script, connections=row.connections, plain=row.plain
            )
    return held


def does(server: Server, row: Row) -> bool:
    """Gives whether a server answers a row's request as the row requires, and prints a line if it does not."""
    status, fields = load.ask(server, load.fields_of(server, row.script), plain=row.plain)
    coding = fields.get("content-encoding", "")
    if (status, coding) == (row.status, row.coding):
        return True
    answer, wanted = (f"{each[0]} {each[1]}".strip() for each in ((status, coding), (row.status, row.coding)))
    print(f"left out: {server.name}: {row.title}: it answers {answer}, not {wanted}", flush=True)
    return False
