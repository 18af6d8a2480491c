"""Pushes of deltas to subscribers with TLS, and nchan's pushes of the same documents.

``python -m tests.bench.deltas [--subscribers N] [--rounds N] [--seconds N] [--kinds KIND ...] [--json FILE]``

Each way of being pushed to has a server with all subscribers. The servers take turns, and receive the same documents of
the demonstration: livefeed as a file, nchan by its publisher's location. So the time that it takes to compute them is
not in the figures.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from livefeed.sources.demo import DemoSource
from tests.bench.clients import following
from tests.bench.following import DEFLATED, DELTA, DELTA_2
from tests.bench.peers.livefeed import LivefeedAnnounced
from tests.bench.peers.nginx import Nchan
from tests.bench.preparing import check_options, installed, make_setting, prepare_process
from tests.bench.results import BY_SPLICES, Found, Kept, deltas_title
from tests.bench.tables import table
from tests.bench.turns import Holder, progress, put, rotated

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.peers.server import Server, Setting

KINDS = ("election", "small")
NCHAN = "nginx + nchan"

WAYS: dict[str, tuple[type[Server], str]] = {
    "livefeed, plain": (LivefeedAnnounced, ""),
    "livefeed, by v1": (LivefeedAnnounced, DELTA),
    BY_SPLICES: (LivefeedAnnounced, DELTA_2),
    "livefeed, by v2, deflated": (LivefeedAnnounced, DEFLATED + DELTA_2),
    NCHAN: (Nchan, ""),
}
"""The server of each way of being pushed to, and the fields of the subscribers' handshakes."""

NIGHT_S = 720
"""The rounds are spread over this time of the demonstration, in seconds: a whole election night."""

FIRST_SECOND = 1_790_000_000 - 1_790_000_000 % NIGHT_S
MORE = 3
"""The versions of a turn that do not count, at most."""


def documents_of(kind: str, rounds: int, seconds: int) -> list[list[bytes]]:
    """Gives the documents of each round: successive ones of the demonstration, for all servers the same."""
    demo = DemoSource(kind=kind)
    return [
        [demo.document(FIRST_SECOND + turn * NIGHT_S // rounds + number) for number in range(seconds + MORE)]
        for turn in range(rounds)
    ]


def publisher(server: Server, documents: list[bytes]) -> Callable[[int], None]:
    """Gives the function that publishes the document with a number. After the last one, it begins again."""
    return lambda number: put(server, server.setting.document, documents[number % len(documents)])


def measure(setting: Setting, kind: str, *, count: int, rounds: int, seconds: int, found: Found) -> None:
    """Measures the cost of a delivery of the demonstration to `count` subscribers, in each way."""
    title = deltas_title(kind, count)
    documents = documents_of(kind, rounds, seconds)
    with ExitStack() as stack:
        holders = [hold(setting, name, documents[0], count, stack) for name in installed(list(WAYS))]
        for turn in range(rounds):
            for holder in rotated(holders, turn):
                got = holder.take_turn(publisher(holder.server, documents[turn]), seconds=seconds)
                progress(f"round {turn + 1}", title, holder.server.name, got)
        for holder in holders:
            for got in holder.rounds:
                whole = replace(got, memory_bytes=holder.memory_bytes, errors=holder.clients.errors)
                found.note(title, holder.server.name, whole, seconds=seconds)


def hold(setting: Setting, name: str, documents: list[bytes], count: int, stack: ExitStack) -> Holder:
    """Starts the server of a way, gives it subscribers, and pauses it."""
    kind, fields = WAYS[name]
    path = setting.directory / f"{name.replace(', ', '-').replace(' ', '-')}.json"
    path.write_bytes(documents[0])
    server = stack.enter_context(kind(name, replace(setting, document=path)))
    publish = publisher(server, documents)
    publish(0)
    time.sleep(1)
    idle = server.memory_bytes()
    holder = Holder(server, following(server, "websocket", count, whole=1, fields=fields), count)
    holder.settle(stack, publish, idle=idle)
    return holder


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.deltas", description=__doc__.partition("\n")[0])
    parser.add_argument("--subscribers", type=int, default=10_000, help="of each way")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=2, help="how many versions count in each round")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS, help="of the demonstration")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="put the rows into this file, as docs/benchmarks.json"
    )
    options = parser.parse_args()
    check_options(parser, options)
    prepare_process()
    with tempfile.TemporaryDirectory() as directory:
        setting = make_setting(Path(directory))
        for kind in options.kinds:
            found = Found()
            measure(
                setting, kind, count=options.subscribers, rounds=options.rounds, seconds=options.seconds, found=found
            )
            print(table(found.medians()), flush=True)
            if options.json:
                Kept.put(found, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
