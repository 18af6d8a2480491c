"""The bench: rounds in turn (A B C A B C), medians, a table on stdout, JSON and a plot in ``docs/``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from dataclasses import replace
from pathlib import Path

from tests.bench import report
from tests.bench.page import KEPT, write
from tests.bench.page import PARTS as PAGE_PARTS
from tests.bench.parts.part import Bench, Plan
from tests.bench.parts.registry import PARTS, chosen
from tests.bench.preparing import installed, make_setting, prepare_process
from tests.bench.results import OURS, Found, Kept
from tests.bench.servers import COMPARED, KINDS, OTHER, missing_tools
from tests.bench.tables import rest_table, table


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three rows and 1,000 subscribers: three minutes")
    parser.add_argument("--rounds", type=int, default=7, help="of each part but subscribers")
    parser.add_argument("--seconds", type=float, default=1, help="how long each measurement of requests takes")
    parser.add_argument("--fan-out-rounds", type=int, default=7, help="of subscribers")
    parser.add_argument("--fan-out-seconds", type=int, default=2, help="how many versions count in each")
    parser.add_argument("--subscribers", type=int, nargs="*", default=[100, 1000, 10000])
    parser.add_argument("--waiting", type=int, nargs="*", default=[10000], help="long polls at a time")
    parser.add_argument("--servers", nargs="*", default=list(COMPARED), choices=list(KINDS), metavar="NAME")
    parser.add_argument(
        "--other",
        type=Path,
        metavar="DIRECTORY",
        help="compare with the livefeed of another checkout",
    )
    parser.add_argument(
        "--python", type=Path, metavar="FILE", help="another Python with livefeed's packages, for the claims about it"
    )
    parser.add_argument(
        "--rows", nargs="*", default=[""], metavar="WORDS", help="of the requests: with this in the title"
    )
    parser.add_argument("--only", choices=[part.name for part in PARTS], help="one part of it")
    parser.add_argument("--tables", action="store_true", help="only print what docs/benchmarks.json holds, as Markdown")
    parser.add_argument(
        "--write",
        action="store_true",
        help="keep the rows: in docs/benchmarks.json and .svg, README and docs",
    )
    options = parser.parse_args()
    if options.tables:
        kept = Kept.read(KEPT)
        print("\n".join(make(kept) for make in PAGE_PARTS.values()))
        return 0
    if options.other:
        if options.write or options.only not in ("requests", "subscribers"):
            parser.error("--other needs --only requests or --only subscribers, and is not kept")
        options.servers = [OURS, OTHER]
    plan = plan_of(options)
    if absent := missing_tools():
        print(
            f"the bench needs {', '.join(absent)}, which is not installed (make bench-peers says how)", file=sys.stderr
        )
        return 1
    prepare_process()
    # A whole run replaces all rows, also those that no part measures any more.
    kept = Kept() if options.only is None and options.rows == [""] else Kept.read(KEPT)
    measured, failed = Kept(), list[str]()
    with tempfile.TemporaryDirectory() as directory:
        setting = replace(
            make_setting(Path(directory)),
            other=options.other and options.other.resolve(),
            python=options.python and options.python.absolute(),  # not resolved: an environment is found by its link
        )
        names = tuple(installed(options.servers))
        for part in chosen(options.only, is_quick=options.quick):
            began, found = time.monotonic(), Found()
            try:
                part.measure(Bench(setting, names, plan, found))
            except Exception:
                # The other parts are an hour's work.
                traceback.print_exc()
                failed.append(part.name)
            else:
                measured.merge(found)
                kept.merge(found)
                if options.write:
                    kept.write(KEPT)
            print(f"{part.name}: {(time.monotonic() - began) / 60:.1f} minutes", file=sys.stderr, flush=True)
    if not (measured.runs or failed):
        parser.error(f"--rows: no title of the measured parts has {' or '.join(options.rows)} in it")
    print(table(measured.rows))
    print("\n".join([*rest_table(measured.rest), *report.sentences_of_workers(measured.rows, measured.spread)]))
    if options.write:
        KEPT.with_suffix(".svg").write_text(report.plot(kept.rows, OURS))
        write(kept)
    if failed:
        print(f"these parts have failed, and their rows are missing: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def plan_of(options: argparse.Namespace) -> Plan:
    """Gives the plan of a command's options."""
    plan = Plan(
        rounds=options.rounds,
        seconds=options.seconds,
        fan_out_rounds=options.fan_out_rounds,
        fan_out_seconds=options.fan_out_seconds,
        subscribers=tuple(options.subscribers),
        waiting=tuple(options.waiting),
        words=tuple(options.rows),
        is_quick=options.quick,
    )
    return replace(plan, rounds=1, seconds=1, fan_out_rounds=2, subscribers=(1000,)) if options.quick else plan


if __name__ == "__main__":
    sys.exit(main())
