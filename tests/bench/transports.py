"""All ways to watch one livefeed, by ``livefeed bench``: ``python -m tests.bench.transports [--watchers 5000]``.

The server has one core and the load the other one. Each way has a server of its own, so that memory can be compared.
Pollers ask once per second each, in an open loop; the document is that of the small demonstration, which changes each
second.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from livefeed.load.kinds import POLLERS, Kind
from tests.bench.load_pages import write_region
from tests.bench.load_testers import LIVEFEED
from tests.bench.peers.livefeed import LivefeedDemo
from tests.bench.peers.server import HOST, LOAD_CORE
from tests.bench.preparing import make_setting, prepare_process

if TYPE_CHECKING:
    from tests.bench.peers.server import Setting

COLUMNS = (
    "kind",
    "answers/s",
    "latency p50, p99, ms",
    "deliveries/s",
    "delay p50, p99, ms",
    "bytes each",
    "server's core",
    "KB each",
    "errors",
    "load's core",
)

_MEASURING = re.compile(r"^[\d,]+ s +")


class Unlimited(LivefeedDemo):
    """livefeed that lets any number of connections of one address in."""

    def more_arguments(self) -> list[str]:
        return [*super().more_arguments(), "--address-rate", "0", "--network-rate", "0"]


@dataclass(frozen=True)
class Row:
    """The figures of one way.

    :ivar figures: those of its kind in the output of the command.
    :ivar whole: the whole output.
    :ivar cpu: the server's share of its core while the figures were taken.
    :ivar memory_bytes: the server's memory for each watcher.
    """

    figures: dict[str, Any]
    whole: dict[str, Any]
    cpu: float
    memory_bytes: float


def main() -> int:
    """Measures all ways, and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.transports", description=__doc__)
    parser.add_argument("--watchers", type=int, default=5000)
    parser.add_argument("--seconds", type=int, default=15, help="of each measurement")
    parser.add_argument("--ramp", type=int, default=10, help="seconds in which the watchers arrive")
    parser.add_argument("--kinds", nargs="*", type=Kind, default=list(Kind), metavar="KIND")
    parser.add_argument("--plain", action="store_true", help="without TLS")
    parser.add_argument("--write", action="store_true", help="keep the table in docs/explanation/benchmarks.md")
    options = parser.parse_args()
    prepare_process()
    rows: dict[Kind, Row] = {}
    with tempfile.TemporaryDirectory() as directory:
        setting = make_setting(Path(directory))
        for kind in options.kinds:
            rows[kind] = measured(setting, kind, options)
            print(table({kind: rows[kind]}).splitlines()[-1], file=sys.stderr, flush=True)
    text = table(rows)
    print(text)
    if options.write:
        write_region("transports", text)
    return 0


def measured(setting: Setting, kind: Kind, options: argparse.Namespace) -> Row:
    """Measures one way."""
    with Unlimited(f"transports {kind}", setting) as server:
        time.sleep(2)  # its first documents
        idle = server.memory_bytes()
        port = server.plain_port if options.plain else server.port
        command = [str(LIVEFEED), "bench", f"http{'' if options.plain else 's'}://{HOST}:{port}/feed", "--json", "-k"]
        command += ["--insecure", f"--mix={kind}", f"-c{options.watchers}", f"--duration={options.seconds}s"]
        command += [f"--ramp={options.ramp}s", "--verify", *([f"--rate={options.watchers}"] if kind in POLLERS else [])]
        run = subprocess.Popen(
            ["taskset", "-c", str(LOAD_CORE), *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        output: list[str] = []
        assert run.stdout is not None
        assert run.stderr is not None
        stdout = run.stdout
        reader = threading.Thread(target=lambda: output.append(stdout.read()), daemon=True)
        reader.start()
        before = began = memory = 0.0
        for line in run.stderr:
            if began or not _MEASURING.match(line):
                if not re.match(r"[\d,]+ (?:of|s) ", line):
                    print(line, end="", file=sys.stderr)
                continue
            began, before, memory = time.monotonic(), server.cpu_seconds(), server.memory_bytes() - idle
        cpu = (server.cpu_seconds() - before) / (time.monotonic() - began) if began else 0.0
        reader.join()
        run.wait()
    whole = json.loads(output[0])
    return Row(whole["kinds"][kind], whole, cpu, memory / options.watchers)


def table(rows: dict[Kind, Row]) -> str:
    """Gives the table as Markdown."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for kind, row in rows.items():
        figures = row.figures
        errors = sum(figures["errors"].values()) + sum(
            number for status, number in figures["statuses"].items() if int(status) >= 400
        )
        size = figures["received_bytes"] / max(figures["answers"] or figures["deliveries"], 1)
        lines.append(
            f"| {kind} | {figures['answers_per_s']:,.0f} | {_times(figures['latency_ms'])} "
            f"| {figures['deliveries_per_s']:,.0f} | {_times(figures['delay_ms'])} | {size:,.0f} | {row.cpu:.0%} "
            f"| {row.memory_bytes / 1024:.1f} | {errors} | {row.whole['load']['busy']:.0%} |"
        )
    return "\n".join(lines)


def _times(found: dict[str, float] | None) -> str:
    return "" if found is None else f"{found['p50']:.1f}, {found['p99']:.1f}"


if __name__ == "__main__":
    sys.exit(main())
