"""Requests by wrk, to all servers in turn."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from tests.bench import load
from tests.bench.preparing import DOCUMENT_BYTES, with_document
from tests.bench.servers import KINDS
from tests.bench.turns import progress, rows_in_turn

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
    :ivar size: of the document in bytes.
    :ivar for_all: whether the row has servers of which not every row is measured.
    :ivar has_memory: whether the memory of a connection is measured.
    """

    title: str
    script: str
    connections: int
    plain: bool = False
    status: int = 200
    coding: str = ""
    size: int = DOCUMENT_BYTES
    for_all: bool = False
    has_memory: bool = False


DIFFERENT = "HTTPS, all heads different, 200 connections"

ROWS = (
    Row("HTTPS, identical heads, 200 connections", "identical", 200, for_all=True),
    Row(DIFFERENT, "different", 200, for_all=True, has_memory=True),
    Row("HTTPS, 304, all heads different", "304", 200, status=304),
    Row("HTTPS, distinct cookies, 200 connections", "cookies", 200),
    Row("HTTPS, a query that was never seen", "unknown query", 200),
    Row("HTTPS, a tag that was never seen", "unknown tag", 200),
    Row("HTTPS, compressed, all heads different", "compressed", 200, coding="gzip"),
    Row("HTTPS, all heads different, 2,000 connections", "different", 2000, has_memory=True),
    Row("HTTPS, resumed handshake and one request", "new connection", 50),
    Row("HTTP, identical heads, 200 connections", "identical", 200, plain=True, for_all=True),
    Row("HTTPS, 20 KB, 200 connections", "different", 200, size=20_000),
    Row("HTTPS, 100 KB, 200 connections", "different", 200, size=100_000, has_memory=True),
    Row("HTTPS, 1 MB, 50 connections", "different", 50, size=1_000_000, has_memory=True),
)
QUICK_ROWS = ROWS[:3]


def measure(bench: Bench) -> None:
    """Measures the rows of the plan."""
    rows = QUICK_ROWS if bench.plan.is_quick else ROWS
    measure_rows(bench, bench.names, [row for row in rows if bench.plan.has(row.title)])


def measure_rows(bench: Bench, names: Iterable[str], rows: Iterable[Row]) -> None:
    """Measures rows on some servers: those with documents of one size after the other."""
    names = list(names)
    for size, group in groupby(rows, key=lambda row: row.size):
        setting = with_document(bench.setting, size)
        measure_group(replace(bench, setting=setting), names, list(group))


def measure_group(bench: Bench, names: list[str], rows: list[Row]) -> None:
    """Measures rows with one document, in turn. Those whose turn it is not are paused, since all share a core."""
    plan, found = bench.plan, bench.found
    servers: list[Server] = []
    try:
        for name in names:
            if KINDS[name].polled and any(takes_part(name, row) for row in rows):
                servers.append(KINDS[name].kind(name, bench.setting).__enter__())  # noqa: PERF401 - to end them if one fails
        able = [
            (row, server) for row in rows for server in servers if takes_part(server.name, row) and does(server, row)
        ]
        for server in servers:
            server.pause()
        held = {} if plan.is_quick else memory_of(bench, able)
        for turn in range(plan.rounds):
            for row, server in rows_in_turn(able, turn):
                server.resume()
                got = load.requests(
                    server, row.script, connections=row.connections, seconds=plan.seconds, plain=row.plain,
                    warm_up=not turn,
                )  # fmt: skip
                # The server closes these connections now, so that the cost does not count for the next row.
                time.sleep(row.connections * CLOSING_S)
                server.pause()
                got = replace(got, memory_bytes=held.get((row.title, server.name), 0))
                found.note(row.title, server.name, got, seconds=plan.seconds)
                progress(f"round {turn + 1}", row.title, server.name, got)
    finally:
        for server in servers:
            server.stop()


def takes_part(name: str, row: Row) -> bool:
    """Gives whether a server is in a row."""
    return row.for_all or not KINDS[name].some_rows


def memory_of(bench: Bench, able: list[tuple[Row, Server]]) -> dict[tuple[str, str], float]:
    """Gives the memory of a connection for some of the rows and each server, a new one each time."""
    held = {}
    for row, server in able:
        if not row.has_memory:
            continue
        with KINDS[server.name].kind(f"{server.name}, new", bench.setting) as new:
            held[row.title, server.name] = load.memory_held(
                new, row.script, connections=row.connections, plain=row.plain
            )
    return held


def does(server: Server, row: Row) -> bool:
    """Gives whether a server answers a row's request as the row requires, and prints a line if it does not."""
    status, fields = load.ask(
        server, load.fields_of(server, row.script), plain=row.plain, path=load.PATHS.get(row.script, "/feed")
    )
    coding = fields.get("content-encoding", "")
    if (status, coding) == (row.status, row.coding):
        return True
    answer, wanted = (f"{each[0]} {each[1]}".strip() for each in ((status, coding), (row.status, row.coding)))
    print(f"left out: {server.name}: {row.title}: it answers {answer}, not {wanted}", flush=True)
    return False
