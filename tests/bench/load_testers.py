"""``livefeed bench`` beside wrk, and beside httpress if it is there: ``python -m tests.bench.load_testers``.

The server has one core, and the load the other one. All load testers send the same number of requests in flight over
the same kind of connections, in turn, and the medians of the rounds are compared. Which one of the two cores is the
bottleneck is told by the processor time: a load tester that has time left is not.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from tests.bench import load
from tests.bench.load_pages import write_region
from tests.bench.peers.livefeed import Livefeed
from tests.bench.peers.nginx import Nginx
from tests.bench.peers.server import HOST, LOAD_CORE, wait_for_port
from tests.bench.preparing import make_setting, prepare_process

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.peers.server import Server

OURS, WRK, HTTPRESS = "livefeed bench", "wrk", "httpress"
LIVEFEED = Path(sys.executable).with_name("livefeed")


class Unlimited(Livefeed):
    """livefeed that lets any number of connections of one address in."""

    def more_arguments(self) -> list[str]:
        return [*super().more_arguments(), "--address-rate", "0", "--network-rate", "0"]


@dataclass
class Row:
    """A server and a kind of connection: the requests per second, and the share of the load's core, of each round."""

    rates: dict[str, list[float]] = field(default_factory=dict)
    busy: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, rate: float, busy: float) -> None:
        self.rates.setdefault(name, []).append(rate)
        self.busy.setdefault(name, []).append(busy)


def main() -> int:
    """Runs the comparison, and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.load_testers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of each measurement")
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--httpress", type=Path, help="the program, if it was built")
    parser.add_argument("--write", action="store_true", help="keep the table in docs/explanation/benchmarks.md")
    options = parser.parse_args()
    prepare_process()
    testers: dict[str, Callable[[Server, bool], float]] = {
        WRK: lambda server, plain: (
            load.requests(
                server,
                "identical",
                connections=options.connections,
                seconds=options.seconds,
                plain=plain,
                warm_up=False,
            ).rate
        ),
        OURS: lambda server, plain: ours(server, plain, options.connections, options.seconds),
    }
    if options.httpress is not None:
        testers[HTTPRESS] = lambda server, plain: httpress(
            options.httpress, server, plain, options.connections, options.seconds
        )
    rows: dict[tuple[str, bool], Row] = {}
    with tempfile.TemporaryDirectory() as directory:
        setting = make_setting(Path(directory))
        for kind in (Unlimited, Nginx):
            with kind("livefeed" if kind is Unlimited else "nginx", setting) as server:
                wait_for_port(server.plain_port, server.processes)
                for _ in range(options.rounds):
                    for plain in (True, False):
                        row = rows.setdefault((server.name, plain), Row())
                        for name, measure in testers.items():
                            before = _children_s()
                            rate = measure(server, plain)
                            row.add(name, rate, (_children_s() - before) / options.seconds)
                            scheme = "HTTP" if plain else "HTTPS"
                            print(f"{server.name}, {scheme}, {name}: {rate:,.0f}/s", file=sys.stderr, flush=True)
    text = table(rows, options.connections)
    print(text)
    if options.write:
        write_region("testers", text)
    return 0


def ours(server: Server, plain: bool, connections: int, seconds: int) -> float:
    """Gives the requests per second by ``livefeed bench``."""
    url = f"http://{HOST}:{server.plain_port}/feed" if plain else f"https://{HOST}:{server.port}/feed"
    command = [str(LIVEFEED), "bench", url, "-k", f"-c{connections}", f"--duration={seconds}s", "--json", "--quiet"]
    run = subprocess.run(
        ["taskset", "-c", str(LOAD_CORE), *command, "--insecure"], capture_output=True, check=True, text=True
    )
    return float(json.loads(run.stdout)["rate"])


def httpress(program: Path, server: Server, plain: bool, connections: int, seconds: int) -> float:
    """Gives the requests per second by httpress, which counts requests and knows no time: about as many as are due."""
    url = f"http://{HOST}:{server.plain_port}/feed" if plain else f"https://{HOST}:{server.port}/feed"
    number = seconds * (60_000 if plain else 30_000)
    command = [str(program), "-k", f"-n{number}", f"-c{connections}", "-t1", url]
    run = subprocess.run(["taskset", "-c", str(LOAD_CORE), *command], capture_output=True, check=True, text=True)
    found = re.search(r"([\d.]+)\s*(?:rps|req/sec|requests/sec|rate)", run.stdout + run.stderr)
    if found is None:
        raise RuntimeError(f"httpress said:\n{run.stdout}{run.stderr}")
    return float(found[1])


def table(rows: dict[tuple[str, bool], Row], connections: int) -> str:
    """Gives the table as Markdown."""
    lines = [f"| {connections} connections | load tester | requests/s | of wrk's | busy |", "|---|---|---|---|---|"]
    for (server, plain), row in rows.items():
        reference = median(row.rates[WRK])
        for name, rates in row.rates.items():
            lines.append(
                f"| {server}, {'HTTP' if plain else 'HTTPS'} | {name} | {median(rates):,.0f} "
                f"| {median(rates) / reference:.0%} | {median(row.busy[name]):.0%} |"
            )
    return "\n".join(lines)


def _children_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    sys.exit(main())
