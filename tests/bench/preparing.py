"""The preparations of each command of the bench: its own process, and the setting of the servers."""

from __future__ import annotations

import itertools
import os
import resource
import signal
import sys
from typing import TYPE_CHECKING

import msgspec

from livefeed.sources.demo import DemoSource
from livefeed.tls.development import development_certificate
from tests.bench.servers import KINDS, LOAD_CORE, Setting, missing, missing_tools

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from pathlib import Path

DOCUMENT_BYTES = 4195


def prepare_process() -> None:
    """Gives this process and its children as many open files as they may have, and puts it on the load's core."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.sched_setaffinity(0, {LOAD_CORE % (os.cpu_count() or 1)})
    # Its finally clauses end the servers, of which some are paused.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def make_setting(directory: Path) -> Setting:
    """Gives the setting of all servers, with a document of the size that all comparisons have used."""
    directory.chmod(0o755)
    document = directory / "document.json"
    demo = DemoSource(kind="small")
    fitting = (demo.document(second) for second in range(0, 10_000, 100))
    document.write_bytes(next(data for data in fitting if 4000 < len(data) < DOCUMENT_BYTES).ljust(DOCUMENT_BYTES))
    return Setting(directory, document, development_certificate(directory / "certs"))


def document_of(size: int) -> bytes:
    """Gives a document of a size in bytes: a table of results, as large as fits, and spaces."""
    rows: list[dict[str, object]] = []
    length = len(msgspec.json.encode({"rows": rows}))
    for number in itertools.count():
        row = {
            "id": number,
            "name": f"District {number}",
            "counted": number * 7919 % 100_000,
            "share": number % 97 / 97,
        }
        length += len(msgspec.json.encode(row)) + (number > 0)
        if length > size:
            return msgspec.json.encode({"rows": rows}).ljust(size)
        rows.append(row)
    raise AssertionError


def check_options(parser: ArgumentParser, options: Namespace, servers: list[str]) -> None:
    """Ends the command of a part with an error if it could not run to its end, or could not keep its rows.

    :param servers: those of :data:`tests.bench.servers.KINDS` that are compared with livefeed.
    """
    for name, value in vars(options).items():
        if isinstance(value, (int, float)) and value <= 0:
            parser.error(f"--{name}: {value} is not more than 0")
    if options.json and not (options.json.parent.is_dir() and os.access(options.json.parent, os.W_OK)):
        parser.error(f"--json: no file can be made in the folder {options.json.parent}")
    if absent := missing_tools([name for name in servers if not missing(name)], wrk=False):
        parser.error(f"the bench needs {', '.join(absent)}, which is not installed (make bench-peers says how)")


def installed(names: list[str]) -> list[str]:
    """Gives the servers that are installed, and prints a line for each of the others.

    Names that are no server of :data:`tests.bench.servers.KINDS` are ways to follow livefeed, which is always there.
    """
    found = []
    for name in names:
        if name in KINDS and (absent := missing(name)):
            print(f"left out: {name}: not installed: {', '.join(absent)} (make bench-peers says how)")
        else:
            found.append(name)
    return found
