"""Fan-out: a new version each second, to clients that follow by messages, by events, or by requests that wait."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.bench.clients import ClientsError, following, whole_of
from tests.bench.peers.livefeed import LivefeedWorkers
from tests.bench.preparing import DOCUMENT_BYTES, with_document
from tests.bench.servers import KINDS
from tests.bench.turns import RESUMED, Holder, alternating, progress, publishing, rotated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.bench.parts.part import Bench, Plan
    from tests.bench.peers.server import Kind, Setting

ON_TWISTED = "livefeed, Twisted's transport"
MOST_ON_TWISTED = 5000
"""The number of subscribers that it can serve in a second; with more, the bench would measure the queue."""

POLLED_S = 8
"""The seconds for which other clients poll while versions are pushed."""

FEW = 100
STREAMS = 5000
DOCUMENTS = {"20 KB": (20_000, 1000), "100 KB": (100_000, 500), "1 MB": (1_000_000, 100)}
"""The bytes of large documents, and the number of their subscribers."""


@dataclass(frozen=True)
class Row:
    """Subscribers that servers are given.

    :ivar rounds: the turns of each server.
    :ivar is_polled: whether other clients poll meanwhile, and on Twisted's transport, too.
    """

    title: str
    kind: Kind
    count: int
    rounds: int
    plain: bool = False
    document_bytes: int = DOCUMENT_BYTES
    is_polled: bool = False


def websockets(plan: Plan) -> list[Row]:
    """Gives the rows of subscribers by WebSocket."""
    return [
        Row(
            f"WebSocket, {count:,} subscribers with TLS", "websocket", count,
            plan.rounds if count <= FEW else plan.fan_out_rounds, is_polled=count > FEW,
        )
        for count in plan.subscribers
    ]  # fmt: skip


def waiting(plan: Plan) -> list[Row]:
    """Gives the rows of requests that wait."""
    return [
        Row(f"HTTPS, {count:,} long polls", "request", count, plan.rounds, is_polled=True) for count in plan.waiting
    ]


def streams(plan: Plan) -> list[Row]:
    """Gives the rows of event streams."""
    return [
        Row(f"Event streams, {STREAMS:,} without TLS", "events", STREAMS, plan.rounds, plain=True),
        Row(f"Event streams, {STREAMS:,} with TLS", "events", STREAMS, plan.rounds),
    ]


def documents(plan: Plan) -> list[Row]:
    """Gives the rows of large documents."""
    return [
        Row(f"WebSocket, {size} pushed to {count:,}", "websocket", count, plan.rounds, document_bytes=size_bytes)
        for size, (size_bytes, count) in DOCUMENTS.items()
    ]


def measure(bench: Bench) -> None:
    """Measures pushes by WebSocket."""
    measure_rows(bench, bench.names, websockets(bench.plan))


def measure_waiting(bench: Bench) -> None:
    """Measures long polls."""
    measure_rows(bench, bench.names, waiting(bench.plan))


def measure_streams(bench: Bench) -> None:
    """Measures event streams."""
    measure_rows(bench, bench.names, streams(bench.plan))


def measure_documents(bench: Bench) -> None:
    """Measures pushes of large documents."""
    measure_rows(bench, bench.names, documents(bench.plan))


def measure_rows(bench: Bench, names: Iterable[str], rows: Iterable[Row]) -> None:
    """Measures those rows of which the plan has the title."""
    for row in rows:
        if bench.plan.has(row.title):
            measure_row(bench, holders_of(names, row), row)


def holders_of(names: Iterable[str], row: Row) -> list[str]:
    """Gives the servers that can have a row's subscribers, and prints where one of them has too many."""
    holders = [name for name in names if row.kind in KINDS[name].kind.followed_by]
    if ON_TWISTED in holders and not (row.is_polled and row.count <= MOST_ON_TWISTED):
        holders.remove(ON_TWISTED)
        if row.count > MOST_ON_TWISTED:
            print(f"left out: {ON_TWISTED}: {row.count:,} subscribers take it more than a second", flush=True)
    return holders


def measure_row(bench: Bench, names: Iterable[str], row: Row) -> None:
    """Measures fan-out: a new version each second, then the latency of other clients' polls.

    All servers have their subscribers all the time, and are paused but for the one whose turn it is. Turns are short,
    so that the compared servers run in the same conditions. Memory and polls are measured once.
    """
    plan, found = bench.plan, bench.found
    setting, seconds = with_document(bench.setting, row.document_bytes), plan.fan_out_seconds
    with ExitStack() as stack:
        holders = [holder for name in names if (holder := hold(setting, name, row, stack))]
        for turn in range(row.rounds):
            for holder in rotated(holders, turn):
                got = holder.take_turn(alternating(holder.server), seconds=seconds)
                progress(f"round {turn + 1}", row.title, holder.server.name, got)
        found.spread += [
            holder.server.connections() for holder in holders if isinstance(holder.server, LivefeedWorkers)
        ]
        for holder in holders:
            # The polls are measured afterwards, so that their cost does not count as deliveries.
            p99_ms, failed = (
                measure_polls(holder, POLLED_S / 4 if plan.is_quick else POLLED_S) if row.is_polled else (0, 0)
            )
            errors = holder.clients.errors + failed
            for got in holder.rounds:
                whole = replace(got, p99_ms=p99_ms, memory_bytes=holder.memory_bytes, errors=errors)
                found.note(row.title, holder.server.name, whole, seconds=seconds)
            progress("fan-out", row.title, holder.server.name, whole)


def hold(setting: Setting, name: str, row: Row, stack: ExitStack) -> Holder | None:
    """Starts a server, gives it subscribers, and pauses it; ``None`` if it does not serve all of them."""
    document = setting.document.read_bytes()
    server = stack.enter_context(KINDS[name].kind(name, setting))
    if server.publish is not None:
        server.publish(document)
    time.sleep(1)
    idle = server.memory_bytes()
    demand = following(server, row.kind, row.count, whole=whole_of(setting), plain=row.plain)
    holder = Holder(server, demand, row.count)
    try:
        holder.settle(stack, alternating(server), idle=idle)
    except ClientsError as error:
        print(f"left out: {row.title}: {error}", flush=True)
        server.stop()
        return None
    return holder


def measure_polls(holder: Holder, seconds: float) -> tuple[float, int]:
    """Gives the milliseconds that 99 of 100 polls take at most while versions are pushed, and how many fail."""
    server = holder.server
    if not server.polls:
        return 0, 0
    server.resume()
    with publishing(alternating(server)):
        holder.clients.run(RESUMED)
        poller = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.pollers", str(server.port), f"{seconds}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        holder.clients.run(seconds + 1)
        polled = json.loads(poller.communicate()[0])
    server.pause()
    return polled["p99_ms"], polled["errors"]
