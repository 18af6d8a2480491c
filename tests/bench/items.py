"""Several items on each connection, and the same number of deliveries of one item each, with TLS.

``python -m tests.bench.items [--connections N] [--rounds N] [--versions N] [--interval SECONDS] [--json FILE]``

Two livefeeds with five feeds each take turns. The connections of one follow all five by ``livefeed.delta.v2``, and
all five change at a time. The connections of the other follow one feed, which changes five times as often. So both have
the same number of deliveries, of versions and of connections in the same time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from livefeed.sources.demo import DemoSource
from tests.bench.clients import Demand
from tests.bench.following import DELTA_2
from tests.bench.peers.livefeed import FEEDS, LivefeedFeeds
from tests.bench.preparing import check_options, make_setting, prepare_process
from tests.bench.results import FIVE_ITEMS, ONE_ITEM, Found, Kept, items_title
from tests.bench.tables import table
from tests.bench.turns import Holder, progress, put, rotated

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.peers.server import Setting

ITEMS = {FIVE_ITEMS: FEEDS, ONE_ITEM: FEEDS[:1]}
"""The feeds that each connection of a livefeed follows."""

INTERVAL_S = 4.0
"""The seconds between two versions of all five feeds. Their 50,000 deliveries take a core 0.8 s, and on a machine with
busy neighbours three times as long. With more than the 4 s after a push for which livefeed sends no pings, only the
connections with five items would be sent pings."""

FIRST_SECOND = 1_790_000_000


@dataclass
class Publisher:
    """Gives each of some feeds its next version at a time. They never return to an earlier version."""

    server: LivefeedFeeds
    names: tuple[str, ...]
    second: int = FIRST_SECOND

    def __post_init__(self) -> None:
        self._files = self.server.files()
        self._demos = [DemoSource(kind="small", seed=number) for number, _ in enumerate(self.names)]

    def __call__(self, _: int) -> None:
        for name, demo in zip(self.names, self._demos, strict=True):
            put(self.server, self._files[name], demo.document(self.second))
        self.second += 1


def path_of(names: tuple[str, ...]) -> str:
    """Gives the path of a WebSocket that follows feeds."""
    first, *more = names
    return f"/{first}.ws" + ("?" + "&".join(f"follow=/{name}" for name in more) if more else "")


def measure(
    setting: Setting,
    *,
    count: int,
    rounds: int,
    found: Found,
    versions: int = 1,
    interval_s: float = INTERVAL_S,
) -> None:
    """Measures the cost of a delivery to `count` connections.

    :param versions: the versions of all five feeds that count in each round.
    :param interval_s: seconds between them.
    """
    title, seconds = items_title(count), versions * interval_s
    with ExitStack() as stack:
        holders = [hold(setting, name, count, interval_s, stack) for name in ITEMS]
        for turn in range(rounds):
            for holder, publish, period_s in rotated(holders, turn):
                got = holder.take_turn(publish, seconds=seconds, period_s=period_s)
                progress(f"round {turn + 1}", title, holder.server.name, got)
        for holder, _, _ in holders:
            for got in holder.rounds:
                whole = replace(got, memory_bytes=holder.memory_bytes, errors=holder.clients.errors)
                found.note(title, holder.server.name, whole, seconds=seconds)


def hold(
    setting: Setting, name: str, count: int, interval_s: float, stack: ExitStack
) -> tuple[Holder, Callable[[int], None], float]:
    """Starts a livefeed, gives it its connections, and pauses it. Gives its publisher, and that one's period."""
    names = ITEMS[name]
    server = stack.enter_context(LivefeedFeeds(name, setting))
    time.sleep(1)
    idle = server.memory_bytes()
    period_s = interval_s * len(names) / len(FEEDS)
    publish = Publisher(server, names)
    demand = Demand("subscribe", "websocket", path_of(names), count, fields=DELTA_2)
    holder = Holder(server, demand, count * len(names))
    holder.settle(stack, publish, idle=idle, period_s=period_s)
    return holder, publish, period_s


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.items", description=__doc__.partition("\n")[0])
    parser.add_argument("--connections", type=int, default=10_000, help="to each livefeed")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--versions", type=int, default=1, help="how many of all five feeds count in each round")
    parser.add_argument("--interval", type=float, default=INTERVAL_S, help="seconds between them")
    parser.add_argument("--json", type=Path, metavar="FILE", help="put the row into this file, as docs/benchmarks.json")
    options = parser.parse_args()
    check_options(parser, options)
    prepare_process()
    found = Found()
    with tempfile.TemporaryDirectory() as directory:
        measure(
            make_setting(Path(directory)),
            count=options.connections,
            rounds=options.rounds,
            found=found,
            versions=options.versions,
            interval_s=options.interval,
        )
    print(table(found.medians()))
    if options.json:
        Kept.put(found, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
