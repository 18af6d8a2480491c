"""livefeed.js in Node: its own tests, and the files that are built from it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import livefeed
from livefeed.delivery.scripts import NAMES
from tests.integration.harness import missing_peer, peer

pytestmark = pytest.mark.peers

CLIENTS = Path(__file__).resolve().parent.parent / "clients"
STATIC = Path(livefeed.__file__).parent / "static"
WAIT_S = 300


def run(*arguments: str) -> None:
    done = subprocess.run(
        [peer("node", "nodejs"), *arguments],
        cwd=CLIENTS,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def needs(package: str) -> None:
    if not (CLIENTS / "node_modules" / package).is_dir():
        missing_peer(f"no {package} in tests/clients/node_modules: run make")


def test_in_node() -> None:
    """Its parts in memory, and its transports over real sockets."""
    needs("ws")
    run("--test", *(str(each) for each in sorted((CLIENTS / "livefeed").glob("*.test.mjs"))))


def test_page_in_node() -> None:
    """The modules of the page that need no browser."""
    run("--test", *(str(each) for each in sorted((CLIENTS / "page").glob("*.test.mjs"))))


def test_what_is_served_is_what_is_built(tmp_path: Path) -> None:
    """The files in livefeed/static were built from the present source; if not: npm --prefix tests/clients run build."""
    needs("esbuild")
    run("build.mjs", str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(NAMES)
    for name in NAMES:
        assert (STATIC / name).read_bytes() == (tmp_path / name).read_bytes(), name
