"""Fan-out: pushes to subscribers, and answers to clients that wait for the next version."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from livefeed.delivery.framing import websocket_text_frame
from tests.bench.peers.livefeed import LivefeedWorkers
from tests.bench.peers.server import WAITING, WEBSOCKET
from tests.bench.servers import KINDS
from tests.bench.turns import RESUMED, Apart, Holder, alternating, progress, publishing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.bench import load
    from tests.bench.parts.part import Bench
    from tests.bench.peers.server import Setting

ON_TWISTED = "livefeed, Twisted's transport"
MOST_ON_TWISTED = 5000
"""The number of subscribers that it can serve in a second; with more, the bench would measure the queue."""

LEAST_BYTES = 16
"""Shorter messages are no documents: Centrifugo's pings have two bytes."""

POLLED_S = 8
"""The seconds for which other clients poll while versions are pushed."""


def measure(bench: Bench) -> None:
    """Measures pushes to each number of subscribers of the plan."""
    for count in bench.plan.subscribers:
        measure_count(bench, holders_of(bench.names, count), count)


def measure_waiting(bench: Bench) -> None:
    """Measures long polls."""
    for count in bench.plan.waiting:
        measure_count(bench, holders_of(bench.names, count, WAITING), count, waiting=True)


def holders_of(names: Iterable[str], count: int, way: str = WEBSOCKET) -> list[str]:
    """Gives the servers that can have `count` subscribers who follow by a way, and prints those that have too many."""
    holders = [name for name in names if way in KINDS[name].kind.ways]
    if count > MOST_ON_TWISTED and ON_TWISTED in holders:
        holders.remove(ON_TWISTED)
        print(f"left out: {ON_TWISTED}: {count:,} subscribers take it more than a second", flush=True)
    return holders


def measure_count(bench: Bench, names: Iterable[str], count: int, *, waiting: bool = False, more: str = "") -> None:
    """Measures fan-out: a new version each second, to `count` subscribers; then the latency of other clients' polls.

    Subscribers have WebSockets, or, if they are ``waiting``, ask each time for the next version.

    All servers have their subscribers all the time, and are paused but for the one whose turn it is. Turns are short,
    so that the compared servers run in the same conditions. Memory and polls are measured once.

    :param more: the end of the row's title.
    """
    plan, found = bench.plan, bench.found
    seconds = plan.fan_out_seconds
    title = (f"HTTPS, {count:,} long polls" if waiting else f"WebSocket, {count:,} subscribers with TLS") + more
    with ExitStack() as stack:
        holders = [hold(bench.setting, name, count, stack, waiting=waiting) for name in names]
        for _ in range(plan.fan_out_rounds):
            for holder in holders:
                holder.take_turn(alternating(holder.server), seconds=seconds)
        found.spread += [
            holder.server.connections() for holder in holders if isinstance(holder.server, LivefeedWorkers)
        ]
        for holder in holders:
            # The polls are measured afterwards, so that their cost does not count as deliveries.
            p99_ms, failed = measure_polls(holder, POLLED_S / 4 if plan.is_quick else POLLED_S)
            errors = holder.subscribers.close() + failed
            for got in holder.rounds:
                whole = replace(got, p99_ms=p99_ms, memory_bytes=holder.memory_bytes, errors=errors)
                found.note(title, holder.server.name, whole, seconds=seconds)
                progress("fan-out", title, holder.server.name, whole)


def hold(setting: Setting, name: str, count: int, stack: ExitStack, *, waiting: bool) -> Holder:
    """Starts a server, gives it subscribers, and pauses it."""
    document = setting.document.read_bytes()
    server = stack.enter_context(KINDS[name].kind(name, setting))
    if server.publish is not None:
        server.publish(document)
    time.sleep(1)
    idle = server.memory_bytes()
    apart = Apart.begin(stack)
    if waiting:
        subscribers: load.Watchers = apart.waiters(server.port, server.wait_path, server.wait_line)
    elif server.wraps:
        subscribers = apart.frame_watchers(server.port, server.subscribe_path, LEAST_BYTES)
    else:
        subscribers = apart.watchers(server.port, server.subscribe_path, len(websocket_text_frame(document)))
    holder = Holder(server, subscribers, count)
    holder.settle(count, alternating(server), idle=idle)
    return holder


def measure_polls(holder: Holder, seconds: float) -> tuple[float, int]:
    """Gives the milliseconds that 99 of 100 polls take at most while versions are pushed, and how many fail."""
    server = holder.server
    if not server.polls:
        return 0, 0
    server.resume()
    with publishing(alternating(server)):
        holder.subscribers.run(RESUMED)
        poller = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.pollers", str(server.port), f"{seconds}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        holder.subscribers.run(seconds + 1)
        polled = json.loads(poller.communicate()[0])
    server.pause()
    return polled["p99_ms"], polled["errors"]
