"""The claims of the documentation about livefeed's surroundings: huge pages, the Python, and the OpenSSL.

Each is livefeed with one thing changed. They take turns, as servers do.
"""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.bench.parts import requests, subscribers
from tests.bench.results import OURS
from tests.bench.servers import OPENSSL_3, OTHER_PYTHON, SMALL_PAGES, missing

if TYPE_CHECKING:
    from pathlib import Path

    from tests.bench.parts.part import Bench

MARK = "; surroundings"
"""The end of the titles."""

ROWS = tuple(
    replace(row, title=row.title + MARK, has_memory=False)
    for row in requests.ROWS
    if row.script == "304" or row.title == requests.DIFFERENT
)
COUNT = 5000
MODULES = "import OpenSSL.SSL, autobahn, cryptography, msgspec, twisted"
"""What another Python must be able to import, to run livefeed at all."""


def measure(bench: Bench) -> None:
    """Measures requests and pushes."""
    names = [OURS, SMALL_PAGES]
    if absent := missing(OPENSSL_3):
        print(f"left out: {OPENSSL_3}: not installed: {', '.join(absent)} (make bench-build builds it)", flush=True)
    else:
        names.append(OPENSSL_3)
    python = bench.setting.python
    if python is None or not is_able(python):
        print(f"left out: {OTHER_PYTHON}: --python names no Python that has livefeed's packages", flush=True)
    else:
        names.append(OTHER_PYTHON)
        bench.found.versions[OTHER_PYTHON] = version_of(python)
    requests.measure_rows(bench, names, [row for row in ROWS if bench.plan.has(row.title)])
    row = subscribers.Row(
        f"WebSocket, {COUNT:,} subscribers with TLS{MARK}", "websocket", COUNT, bench.plan.fan_out_rounds
    )
    if bench.plan.has(row.title):
        subscribers.measure_row(bench, names, row)


def is_able(python: Path) -> bool:
    """Gives whether a Python can run livefeed."""
    return python.exists() and not subprocess.run([python, "-c", MODULES], capture_output=True, check=False).returncode


def version_of(python: Path) -> str:
    """Gives the version of a Python, and whether it was compiled with profiles."""
    code = (
        "import platform, sysconfig; "
        "words = sysconfig.get_config_var('CONFIG_ARGS') or ''; "
        "print(f'Python {platform.python_version()}', "
        "'with profiles' if '--enable-optimizations' in words else 'without profiles')"
    )
    return subprocess.run([python, "-c", code], capture_output=True, check=True, text=True).stdout.strip()
