"""Clients in other languages: the vectors, and a feed that the examples in Go and Rust follow."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from livefeed.document.snapshot import version_of
from tests.helpers.peers import peer
from tests.integration.harness import TCP, Process, replace_file
from tests.vectors.layout import FILE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.integration.conftest import Start

pytestmark = pytest.mark.peers

CHECKOUT = Path(__file__).resolve().parent.parent.parent
EXAMPLES = CHECKOUT / "examples" / "clients"
BUILD_S = 300
"""Seconds that a build may take: cargo compiles some 60 packages the first time."""

FILLER = '"rest":"' + "x" * 200 + '"}'


def run(arguments: Sequence[str], directory: Path) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end."""
    return subprocess.run(arguments, cwd=directory, capture_output=True, text=True, timeout=BUILD_S, check=False)


def fetch(arguments: Sequence[str], directory: Path) -> None:
    """Fetches the packages of an example. Where that is impossible the test is skipped, and pytest says so."""
    done = run(arguments, directory)
    if done.returncode:
        pytest.skip(f"the packages of {directory.name} could not be fetched: {done.stderr.strip()[-300:]}")


def succeed(arguments: Sequence[str], directory: Path) -> str:
    """Runs a program that must succeed, and gives its output."""
    done = run(arguments, directory)
    assert done.returncode == 0, done.stderr
    return done.stdout


def follow(start: Start, tmp_path: Path, *command: str) -> None:
    """Has an example follow a document and parts of it: they come, and then their changes, verified."""
    source = tmp_path / "document.json"
    documents = [f'{{"n":{number},{FILLER}'.encode() for number in (10, 11)]
    replace_file(source, documents[0])
    server = start("--source", f"file:{source}", "--interval", "0.05", "--stale-after", "60", listen=(TCP,))
    address = f"ws://{server.authority}/feed.ws"
    process = Process([*command, address, "/feed/n", "/feed/lost"], directory=tmp_path)
    try:
        for number, document in enumerate(documents):
            replace_file(source, document)
            process.wait_for(f"/feed live {version_of(document)} {len(document)} bytes")
            process.wait_for(f"/feed/n live {version_of(b'%d' % (10 + number))} 2 bytes")
        # A refusal concerns one item: the others have gone on.
        process.wait_for("/feed/lost.* refused")
        assert process.wait() == 0, process.text()
        assert "did not fit" not in process.text()
    finally:
        process.close()


def test_javascript_passes_the_vectors() -> None:
    """The client for pages applies, verifies and shows what the contract says, and comes back when it says."""
    program = CHECKOUT / "tests" / "clients" / "vectors.mjs"
    assert succeed([peer("node", "nodejs"), str(program), str(FILE)], CHECKOUT) == "OK\n"


def test_go_passes_the_vectors() -> None:
    """The example in Go applies, verifies and shows what the contract says. It needs no package for that."""
    go = peer("go", "golang-go")
    assert succeed([go, "run", "./vectors", str(FILE)], EXAMPLES / "go") == "OK\n"


def test_go_follows(start: Start, tmp_path: Path) -> None:
    """The example in Go follows a feed and a part, and ends after as many changes as it is told."""
    go, directory, program = peer("go", "golang-go"), EXAMPLES / "go", str(tmp_path / "follow")
    fetch([go, "mod", "download"], directory)
    succeed([go, "build", "-o", program, "."], directory)
    follow(start, tmp_path, program, "-changes", "4")


def test_rust(start: Start, tmp_path: Path) -> None:
    """The example in Rust passes the vectors, and follows a feed and a part."""
    cargo = shutil.which("cargo")
    if cargo is None:
        pytest.skip("no cargo on the PATH; Debian 12 has one that is too old for the packages")
    # Cargo writes a lock file beside the sources, and builds where the next run finds it.
    directory, target = EXAMPLES / "rust", CHECKOUT / "build" / "rust"
    fetch([cargo, "fetch"], directory)
    succeed([cargo, "build", "--target-dir", str(target)], directory)
    program = str(target / "debug" / "livefeed-example")
    assert succeed([program, "--vectors", str(FILE)], directory) == "OK\n"
    follow(start, tmp_path, program, "--changes", "4")
