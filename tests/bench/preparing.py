"""The preparations of each command of the bench: its own process, and the setting of the servers."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

from livefeed.sources.demo import DemoSource
from livefeed.tls.development import development_certificate
from tests.bench.peers.server import LOAD_CORE, Setting
from tests.bench.servers import KINDS, missing, missing_tools

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from pathlib import Path

DOCUMENT_BYTES = 4195
PADDING = b',"_":"%s"}'
MOST_BYTES = DOCUMENT_BYTES - len(PADDING)


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
    versions = (demo.document(second) for second in range(0, 10_000, 100))
    document.write_bytes(padded(next(data for data in versions if 4000 < len(data) < MOST_BYTES), DOCUMENT_BYTES))
    return Setting(directory, document, development_certificate(directory / "certs"))


def with_document(setting: Setting, size: int) -> Setting:
    """Gives the setting with a document of a size: that of all comparisons, or of more rows like those it has."""
    if size == DOCUMENT_BYTES:
        return setting
    path = setting.directory / f"document-{size}.json"
    if not path.exists():
        path.write_bytes(document_of(size))
    return replace(setting, document=path)


def document_of(size: int) -> bytes:
    """Gives a document of many rows, of a size in bytes. It compresses to 28 %."""
    numbers = random.Random(size)
    rows = (
        {"id": number, "name": f"District {number}", "votes": [numbers.randrange(10_000) for _ in range(5)]}
        for number in count()
    )
    parts, left = [], size - len(b'{"rows":[]}') - len(PADDING)
    for row in rows:
        part = json.dumps(row, separators=(",", ":")).encode()
        left -= len(part) + 1
        if left < 0:
            break
        parts.append(part)
    return padded(b'{"rows":[%s]}' % b",".join(parts), size)


def padded(document: bytes, size: int) -> bytes:
    """Gives an object with a member more, whose spaces make it as large as it shall be.

    Spaces around the object would not do: Centrifugo parses documents, and does not send them.
    """
    return document[:-1] + PADDING % (b" " * (size - len(document) - len(PADDING) + 3))


def check_options(parser: ArgumentParser, options: Namespace) -> None:
    """Ends the command of a part with an error if it could not run to its end, or could not keep its rows."""
    for name, value in vars(options).items():
        if isinstance(value, (int, float)) and value <= 0:
            parser.error(f"--{name}: {value} is not more than 0")
    if options.json and not (options.json.parent.is_dir() and os.access(options.json.parent, os.W_OK)):
        parser.error(f"--json: no file can be made in the folder {options.json.parent}")
    if absent := missing_tools(wrk=False):
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
