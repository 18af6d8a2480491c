"""``python -m tests.chaos``: tens of thousands of watchers, while livefeed is reloaded, restarted and killed.

Without ``--scenario`` all scenarios run, and those that this livefeed does not know are passed over with the reason.
Each has a livefeed and watchers of its own, and gives one row of the table; the details are in ``build/chaos/``.
Exit codes: 0; 1 if a scenario failed to run; 2 if a scenario that was named is not supported.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos import report
from tests.chaos.arithmetic import Figures, Window, figures
from tests.chaos.experience import COLUMNS, experience, row
from tests.chaos.independent import KINDS, Independent
from tests.chaos.load import Demand, LoadError, build
from tests.chaos.scenarios import SCENARIOS, Run, running
from tests.chaos.server import NotSupportedError, ServerError, socket_bytes, supported_options
from tests.helpers.go_programs import GoError

if TYPE_CHECKING:
    from collections.abc import Sequence

RESULTS = Path("build/chaos")
PROGRAM = Path("build/bin/watchers")

_WORKER_CONNECTIONS = 18_000
_CONNECT_S = 120.0
_CLIENTS_S = 20.0  # after the load is back; some libraries wait for ten seconds between two attempts

_ONE_ADDRESS = "\naddress_rate = 0\nnetwork_rate = 0\n"
"""Independent clients have the same address all."""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Gives the options of the command."""
    scenarios = "\n".join(f"  {name:16}{scenario.purpose}" for name, scenario in SCENARIOS.items())
    parser = argparse.ArgumentParser(
        "python -m tests.chaos",
        description=__doc__,
        epilog=f"scenarios:\n{scenarios}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--scenario", action="append", choices=[*SCENARIOS], help="repeatable; all but hold if missing")
    parser.add_argument("--subscribers", type=int, default=1000, help="WebSockets [1000]")
    parser.add_argument("--deltas", type=float, default=0.25, help="share of them with livefeed.delta.v1 [0.25]")
    parser.add_argument(
        "--pollers", type=int, default=200, help="clients that poll on connections that they keep [200]"
    )
    parser.add_argument("--poll-every", type=float, default=1.0, help="seconds from one poll to the next [1]")
    parser.add_argument("--tick", type=float, default=1.0, help="seconds from one version to the next [1]")
    parser.add_argument("--idle", type=int, default=0, help="clients that poll once a minute [0]")
    parser.add_argument("--workers", type=int, default=2, help="worker processes; 0: one process [2]")
    parser.add_argument("--connections", type=int, default=60_000, help="of hold: a third of each kind [60000]")
    parser.add_argument("--clients", type=int, default=0, help="independent clients of each kind, besides the load [0]")
    parser.add_argument("--kind", action="append", choices=[*KINDS], help="of independent clients; repeatable")
    parser.add_argument("--seconds", type=float, default=300.0, help="length of hold [300]")
    parser.add_argument("--connect-rate", type=float, default=100.0, help="first connections per second [100]")
    parser.add_argument("--document-bytes", type=int, default=4096, help="size of the document [4096]")
    parser.add_argument("--resume", action="store_true", help="watchers resume TLS sessions")
    parser.add_argument("--settings", default="", help="more lines for livefeed.toml, such as 'accept_rate = 500'")
    options = parser.parse_args(arguments)
    if min(options.subscribers, options.pollers, options.idle, options.workers) < 0:
        parser.error("numbers must not be negative")
    if not 0 <= options.deltas <= 1:
        parser.error("--deltas is a share from 0 to 1")
    return options


def demand_of(name: str, options: argparse.Namespace) -> Demand:
    """Gives the watchers of a scenario."""
    subscribers, pollers, idle = options.subscribers, options.pollers, options.idle
    if name == "hold":
        subscribers = pollers = options.connections // 3
        idle = options.connections - subscribers - pollers
    deltas = round(subscribers * options.deltas)
    return Demand(
        subscribers - deltas,
        deltas,
        pollers,
        idle,
        rate=options.connect_rate,
        poll_s=options.poll_every,
        resume=options.resume,
    )


def measure(name: str, options: argparse.Namespace, program: Path, supported: set[str]) -> Figures:
    """Runs a scenario, prints its row and writes its details."""
    scenario, demand = SCENARIOS[name], demand_of(name, options)
    if demand.total > max(1, options.workers) * _WORKER_CONNECTIONS:
        raise NotSupportedError(f"{demand.total} connections need more --workers: each has {_WORKER_CONNECTIONS}")
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="livefeed-chaos-")))
        sockets = socket_bytes()
        run = stack.enter_context(
            running(
                scenario,
                demand,
                directory,
                program,
                workers=options.workers,
                size=options.document_bytes,
                tick_s=options.tick,
                settings=options.settings + (_ONE_ADDRESS if options.clients else ""),
                options=supported,
            )
        )
        stack.callback(_keep_log, name, run)
        unwatched = run.server.memory_bytes()
        run.load.wait_until_current(_CONNECT_S + 2 * demand.total / demand.rate)
        usage = run.load.usage()
        memory, sockets = run.server.memory_bytes() - unwatched, socket_bytes() - sockets
        independent = None
        if options.clients:
            independent = Independent(run.server.port, options.clients, run.server.authority, directory, options.kind)
            stack.enter_context(independent)
            run.wait_for(independent.served, "not all independent clients are served", _CONNECT_S)
        own = run.server.usage()
        run.begin()
        run.happen()
        scenario.act(run)
        run.wait_until_back()
        seconds = options.seconds if name == "hold" else scenario.observe_s
        run.observe(max(seconds, _CLIENTS_S) if options.clients else seconds)
        window = Window(run.began_at, run.event_at, time.monotonic(), options.tick)
        after = run.load.usage()
        run.notes.append(run.server.usage().since(own, window.end - window.begin))
        run.load.stop()
        experiences = (
            {kind: experience(events, window) for kind, events in independent.events().items()} if independent else {}
        )
        found = figures(run.load.records, run.load.every_s(), window)
    run.notes.append(
        f"memory for each connection: livefeed {memory / demand.total / 1e3:.1f} KB, sockets in the kernel "
        f"{sockets / demand.total / 1e3:.1f} KB for both ends, load {after.memory_bytes / demand.total / 1e3:.1f} KB"
    )
    seconds = window.end - window.begin
    run.notes.append(
        f"the load: {usage.cpu_s / demand.total * 1e3:.2f} ms of a core for each connection, with everything "
        f"that came until the last was open, then "
        f"{(after.cpu_s - usage.cpu_s) / seconds:.3f} cores; a timer of it was {run.lag_ms:.0f} ms late at most"
    )
    result = {
        "scenario": name,
        "options": vars(options),
        "cores": len(os.sched_getaffinity(0)),
        "seconds": seconds,
        "figures": asdict(found),
        "notes": run.notes,
        "clients": {kind: asdict(each) for kind, each in experiences.items()},
        "load_lag_ms": run.lag_ms,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(report.plain(result), indent=2) + "\n")
    print(report.table(report.COLUMNS, [report.row(name, found)]))
    for line in (*report.details(found), *run.notes):
        print(f"  {line}")
    if independent:
        print(report.table(COLUMNS, [row(kind, each) for kind, each in experiences.items()]))
        for kind, reason in independent.missing.items():
            print(f"  {kind}: {reason}")
    print(flush=True)
    return found


def _keep_log(name: str, run: Run) -> None:
    """Writes the log of livefeed, also if the scenario has failed."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.log").write_text(run.server.log())


def _terminate(*_: object) -> None:
    """Ends the command as Ctrl-C does, so that it ends its processes."""
    raise KeyboardInterrupt


def main() -> int:
    """Runs the command."""
    options = parse()
    signal.signal(signal.SIGTERM, _terminate)
    named = options.scenario or []
    rows, code = [], 0
    try:
        program = build(PROGRAM.resolve())
        supported = supported_options()
        for name in named or [name for name in SCENARIOS if name != "hold"]:
            try:
                rows.append(report.row(name, measure(name, options, program, supported)))
            except NotSupportedError as error:
                print(f"{name}: not supported: {error}\n", flush=True)
                code = max(code, 2 if named else 0)
            except (LoadError, ServerError, AssertionError) as error:
                print(f"{name}: {error}\n", flush=True)
                code = 1
    except (LoadError, GoError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if len(rows) > 1:
        print(report.table(report.COLUMNS, rows))
    return code


if __name__ == "__main__":
    sys.exit(main())
