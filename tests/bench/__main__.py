"""The bench: rounds in turn (A B C A B C), medians, a table on stdout, JSON and a plot in ``docs/``."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from livefeed.delivery.framing import websocket_text_frame
from tests.bench import deltas, following, items, load, report
from tests.bench.preparing import installed, make_setting, prepare_process
from tests.bench.results import OURS, Audience, Found, Kept
from tests.bench.servers import (
    COMPARED,
    KINDS,
    ONE_WORKER,
    OTHER,
    TWO_WORKERS,
    Livefeed,
    LivefeedWorkers,
    Server,
    Setting,
    missing_tools,
)
from tests.bench.turns import RESUMED, Apart, Holder, alternating, progress, publishing

ON_TWISTED = "livefeed, Twisted's transport"
MOST_ON_TWISTED = 5000
"""The number of subscribers that it can serve in a second; with more, the bench would measure the queue."""

CROWD_LEAVES_S = 60.0
"""The longest time in seconds after which memory counts as kept. Ten seconds were not enough with a busy neighbour: the
second of two crowds seemed to leave seven times the memory behind."""

MOSTLY_FREED = 1.25
"""The memory counts as freed at this multiple of the memory before the crowd; it is measured then."""

POLLED_S = 8
"""The seconds for which other clients poll while versions are pushed."""

CLOSING_S = 0.001
"""The seconds that a server has for each connection that has ended, before it is paused."""

IDLE_S = 2
KEPT = Path(__file__).parents[2] / "docs" / "benchmarks.json"


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


REQUEST_ROWS = (
    Row("HTTPS, identical heads, 200 connections", "identical", 200),
    Row("HTTPS, all heads different, 200 connections", "different", 200),
    Row("HTTPS, 304, all heads different", "304", 200, status=304),
    Row("HTTPS, distinct cookies, 200 connections", "cookies", 200),
    Row("HTTPS, compressed, all heads different", "compressed", 200, coding="gzip"),
    Row("HTTPS, all heads different, 2,000 connections", "different", 2000),
    Row("HTTPS, a new connection for each request", "new connection", 50),
    Row("HTTP, identical heads, 200 connections", "identical", 200, plain=True),
)
QUICK_ROWS = REQUEST_ROWS[:3]
WORKER_ROWS = tuple(
    replace(row, title=f"{row.title}; with workers")
    for row in REQUEST_ROWS
    if row.script == "304" or (row.script, row.connections) == ("different", 200)
)
"""The same requests to livefeed in one process, with one worker, and with two, which have one core together."""


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three rows and 1,000 subscribers: under two minutes")
    parser.add_argument("--rounds", type=int, default=9, help="of each part but subscribers")
    parser.add_argument("--seconds", type=float, default=1, help="how long each measurement of requests takes")
    parser.add_argument("--fan-out-rounds", type=int, default=30, help="of subscribers")
    parser.add_argument("--fan-out-seconds", type=int, default=2, help="how many versions count in each")
    parser.add_argument("--subscribers", type=int, nargs="*", default=[1000, 10000])
    parser.add_argument("--waiting", type=int, nargs="*", default=[5000], help="long polls at a time")
    parser.add_argument("--servers", nargs="*", default=list(COMPARED), choices=list(KINDS), metavar="NAME")
    parser.add_argument(
        "--other",
        type=Path,
        metavar="DIRECTORY",
        help="compare with the livefeed of another checkout",
    )
    parser.add_argument(
        "--rows", nargs="*", default=[""], metavar="WORDS", help="of the requests: with this in the title"
    )
    parser.add_argument(
        "--only",
        choices=["requests", "subscribers", "waiting", "deltas", "items", "memory", "following", "workers"],
        help="one part of it",
    )
    parser.add_argument("--tables", action="store_true", help="only print what docs/benchmarks.json holds, as Markdown")
    parser.add_argument("--write", action="store_true", help="write the rows into docs/benchmarks.json and .svg")
    options = parser.parse_args()
    if options.tables:
        print(report.document(Kept.read(KEPT)))
        return 0
    if options.other:
        if options.write or options.only not in ("requests", "subscribers"):
            parser.error("--other needs --only requests or --only subscribers, and is not kept")
        options.servers = [OURS, OTHER]
    every = QUICK_ROWS if options.quick else REQUEST_ROWS
    rows = [row for row in every if any(words in row.title for words in options.rows)]
    if not rows:
        parser.error(f"--rows: no title has {' or '.join(options.rows)} in it: {'; '.join(row.title for row in every)}")
    if options.quick:
        options.rounds, options.seconds, options.fan_out_rounds, options.subscribers = 1, 1, 2, [1000]
    if absent := missing_tools(options.servers):
        print(
            f"the bench needs {', '.join(absent)}, which is not installed (make bench-peers says how)", file=sys.stderr
        )
        return 1
    prepare_process()
    names = installed(options.servers)
    found = Found()
    with tempfile.TemporaryDirectory() as directory:
        setting = replace(make_setting(Path(directory)), other=options.other and options.other.resolve())
        if options.only in (None, "requests"):
            measure_requests(setting, names, rows, options, found)
        if options.only in (None, "subscribers"):
            for count in options.subscribers:
                measure_subscribers(setting, holders_of(names, count), count, options, found)
        if options.only in (None, "waiting") and not options.quick:
            for count in options.waiting:
                measure_subscribers(setting, holders_of(names, count), count, options, found, waiting=True)
        if options.only in (None, "deltas") and not options.quick:
            for kind in deltas.KINDS:
                deltas.measure(
                    setting, kind, count=max(options.subscribers), rounds=options.rounds,
                    seconds=options.fan_out_seconds, found=found,
                )  # fmt: skip
        if options.only in (None, "items") and not options.quick:
            items.measure(setting, count=max(options.subscribers), rounds=options.rounds, found=found)
        if options.only in (None, "memory") and not options.quick:
            idlers = [name for name in names if name in (OURS, "nginx", "Go net/http")]
            for _ in range(options.rounds):
                measure_idle(setting, idlers, found)
            measure_crowd(setting, found)
        if options.only in (None, "following") and not options.quick:
            measure_following(setting, max(options.subscribers), options.rounds, found)
        if options.only in (None, "workers") and not options.quick:
            measure_requests(setting, [OURS, ONE_WORKER, TWO_WORKERS], list(WORKER_ROWS), options, found)
            measure_subscribers(setting, [OURS, ONE_WORKER, TWO_WORKERS], max(options.subscribers), options, found)
    print(report.table(found.medians()))
    print("\n".join(report.workers(found.medians(), found.spread)))
    if options.write:
        kept = Kept.read(KEPT)
        kept.merge(found)
        kept.write(KEPT)
        KEPT.with_suffix(".svg").write_text(report.plot(kept.rows, OURS))
    return 0


def measure_requests(
    setting: Setting, names: list[str], rows: list[Row], options: argparse.Namespace, found: Found
) -> None:
    """Measures all rows on all servers, in turn. Those whose turn it is not are paused, since all share a core."""
    servers: list[Server] = []
    try:
        for name in names:
            if name != "nginx + nchan":
                servers.append(KINDS[name][0](name, setting).__enter__())  # noqa: PERF401 - to end them if one fails
        able = [(row, server) for row in rows for server in servers if does(server, row)]
        for server in servers:
            server.pause()
        held = {} if options.quick else memory_of(setting, able)
        for turn in range(options.rounds):
            for row, server in able:
                server.resume()
                got = load.requests(
                    server, row.script, connections=row.connections, seconds=options.seconds, plain=row.plain
                )
                # The server closes these connections now, so that the cost does not count for the next row.
                time.sleep(row.connections * CLOSING_S)
                server.pause()
                got = replace(got, memory_bytes=held.get((row.title, server.name), 0))
                found.note(row.title, server.name, got, seconds=options.seconds)
                progress(f"round {turn + 1}", row.title, server.name, got)
    finally:
        for server in servers:
            server.stop()


def memory_of(setting: Setting, able: list[tuple[Row, Server]]) -> dict[tuple[str, str], float]:
    """Gives the memory of a connection for each row with lasting connections and each server, a new one each time."""
    held = {}
    for row, server in able:
        if row.script == "new connection":
            continue
        with KINDS[server.name][0](f"{server.name}, new", setting) as new:
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


def holders_of(names: list[str], count: int) -> list[str]:
    """Gives the servers that can have `count` subscribers, and prints the others."""
    holders = [name for name in names if name in (OURS, OTHER, ON_TWISTED, ONE_WORKER, TWO_WORKERS, "nginx + nchan")]
    if count > MOST_ON_TWISTED and ON_TWISTED in holders:
        holders.remove(ON_TWISTED)
        print(f"left out: {ON_TWISTED}: {count:,} subscribers take it more than a second", flush=True)
    return holders


def measure_subscribers(
    setting: Setting, names: list[str], count: int, options: argparse.Namespace, found: Found, *, waiting: bool = False
) -> None:
    """Measures fan-out: a new version each second, to `count` subscribers; then the latency of other clients' polls.

    Subscribers have WebSockets, or, if they are ``waiting``, ask each time for the next version.

    All servers have their subscribers all the time, and are paused but for the one whose turn it is. Turns are short,
    so that the compared servers run in the same conditions. Memory and polls are measured once.
    """
    seconds = options.fan_out_seconds
    title = f"HTTPS, {count:,} long polls" if waiting else f"WebSocket, {count:,} subscribers with TLS"
    if TWO_WORKERS in names:
        title += "; with workers"
    with ExitStack() as stack:
        holders = [hold(setting, name, count, stack, waiting=waiting) for name in names]
        for _ in range(options.fan_out_rounds):
            for holder in holders:
                holder.take_turn(alternating(holder.server), seconds=seconds)
        found.spread += [
            holder.server.connections() for holder in holders if isinstance(holder.server, LivefeedWorkers)
        ]
        for holder in holders:
            # The polls are measured afterwards, so that their cost does not count as deliveries.
            p99_ms, failed = measure_polls(holder, POLLED_S / 4 if options.quick else POLLED_S)
            errors = holder.subscribers.close() + failed
            for got in holder.rounds:
                whole = replace(got, p99_ms=p99_ms, memory_bytes=holder.memory_bytes, errors=errors)
                found.note(title, holder.server.name, whole, seconds=seconds)
                progress("fan-out", title, holder.server.name, whole)


def hold(setting: Setting, name: str, count: int, stack: ExitStack, *, waiting: bool) -> Holder:
    """Starts a server, gives it subscribers, and pauses it."""
    document = setting.document.read_bytes()
    server = stack.enter_context(KINDS[name][0](name, setting))
    if server.publish is not None:
        server.publish(document)
    time.sleep(1)
    idle = server.memory_bytes()
    apart = Apart.begin(stack)
    if waiting:
        subscribers: load.Watchers = apart.waiters(server.port, server.wait_path, server.wait_line)
    else:
        subscribers = apart.watchers(server.port, server.subscribe_path, len(websocket_text_frame(document)))
    holder = Holder(server, subscribers, count)
    holder.settle(count, alternating(server), idle=idle)
    return holder


def measure_polls(holder: Holder, seconds: float) -> tuple[float, int]:
    """Gives the milliseconds that 99 of 100 polls take at most while versions are pushed, and how many fail."""
    server = holder.server
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


def measure_idle(setting: Setting, names: list[str], found: Found) -> None:
    """Measures the memory of pollers between two requests."""
    count = 5000  # of which a huge page, which may be there in part, is 2 %
    for name in names:
        with KINDS[name][0](name, setting) as server:
            idle = server.memory_bytes()
            pollers = load.Watchers(server.port, None)
            pollers.connect(count)
            time.sleep(IDLE_S)
            got = load.Measured(memory_bytes=(server.memory_bytes() - idle) / count)
            pollers.close()
        found.note(f"HTTPS, {count:,} idle pollers", name, got, seconds=IDLE_S)
        progress("idle pollers", name, got)


def measure_following(setting: Setting, count: int, rounds: int, found: Found) -> None:
    """Measures the transports: the bytes of an update on each, and their costs side by side."""
    found.wire = following.bytes_on_the_wire(setting)
    print(following.wire_table(found.wire), flush=True)
    for _ in range(rounds):
        for kinds, got in following.mixed(setting, count).items():
            found.note(f"livefeed, the demo, {count:,} subscribers", kinds, got, seconds=following.MIXED_S)
            progress("ways", kinds, got)


def memory_after_crowd(server: Server, idle: int) -> int:
    """Gives the memory of a server when its connections have ended, which takes longer on a busy machine."""
    deadline = time.monotonic() + CROWD_LEAVES_S
    while (left := server.memory_bytes()) > MOSTLY_FREED * idle and time.monotonic() < deadline:
        time.sleep(1)
    return left


def measure_crowd(setting: Setting, found: Found) -> None:
    """Has 15,000 come and go: the collector's longest pause, and whether the memory is given back."""
    document = setting.document.read_bytes()
    with Livefeed(OURS, setting) as server:
        for turn in (1, 2):
            time.sleep(2)  # excludes the collections of the start
            idle = server.memory_bytes()
            server.longest_pause_ms()
            subscribers = load.Watchers(server.port, server.subscribe_path, len(websocket_text_frame(document)))
            subscribers.connect(10_000)
            pollers = load.Watchers(server.port, None)
            pollers.connect(5000)
            arriving_ms = server.longest_pause_ms()
            subscribers.run(10)
            staying_ms, full = server.longest_pause_ms(), server.memory_bytes()
            subscribers.close()
            pollers.close()
            left = memory_after_crowd(server, idle)
            leaving_ms = server.longest_pause_ms()
            found.crowd.append(Audience(arriving_ms, staying_ms, leaving_ms, idle, full, left))
            print(
                f"15,000 connections, time {turn}: the collector's longest pause {arriving_ms:.1f} ms while they come, "
                f"{staying_ms:.1f} ms while they stay, {leaving_ms:.1f} ms when they go; memory "
                f"{idle / 2**20:.1f} MiB before, {full / 2**20:.1f} MiB with them, {left / 2**20:.1f} MiB after",
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main())
