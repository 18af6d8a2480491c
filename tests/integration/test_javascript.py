"""livefeed.js in Node: its own tests, and the files that are built from it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import livefeed
from livefeed.delivery.pages import VENDORED
from livefeed.delivery.scripts import NAMES
from livefeed.document.snapshot import version_of
from tests.helpers.peers import missing_peer, peer
from tests.integration.harness import TCP, replace_file

if TYPE_CHECKING:
    from tests.integration.conftest import Start

pytestmark = pytest.mark.peers

CLIENTS = Path(__file__).resolve().parent.parent / "clients"
PACKAGE = CLIENTS.parent.parent / "clients" / "js"
STATIC = Path(livefeed.__file__).parent / "static"
WAIT_S = 300


FOLLOWS = """import { follow } from "livefeed";
const feed = follow(process.argv[2], {
  onChange(data, { version, state, verified }) {
    console.log(JSON.stringify([data, version, state, verified]));
    feed.close();
  },
});
"""
"""A program that follows a document until it has one."""

TYPED = """import { follow, type ExactNumber, type Feed, type Meta, type State } from "livefeed";
import { useFeed } from "livefeed/react";
import { withCookie, withToken } from "livefeed/token";
import { follow as followSigned } from "livefeed/verify";

interface Results { readonly seats: number; readonly votes: number | ExactNumber }

const told: [Results | undefined, State | null][] = [];
const feed: Feed<Results> = follow<Results>("https://example.org/results", {
  transports: ["websocket", "poll"],
  exact: true,
  onChange: (data: Results | undefined, meta: Meta) => told.push([data, meta.state]),
});
const age: number | null = feed.age();
const end: () => void = feed.select<number>("/seats").subscribe((seats: number | undefined) => void seats);
const { value, feed: shared } = useFeed<number>("/results", "/seats");
export const shown: number = (value ?? 0) + (age ?? 0) + (shared?.bytes ?? 0);
end();
feed.use("events");
// @ts-expect-error The data may be missing.
feed.data.seats;
// @ts-expect-error There is no such transport.
feed.use("pigeon");
feed.close();
const signed = followSigned<Results>("https://example.org/results", {
  verify: { keys: [] },
  onDistrust: (error) => void error.message,
});
export const isSigned: boolean = signed.signed;
followSigned<Results>("https://example.org/results", withToken<Results>(async () => "token", { verify: { keys: [] } }));
followSigned("https://example.org/results", withCookie({ verify: { keys: [] } }));
follow<Results>("https://example.org/results", withToken<Results>("token", { onChange: (data) => void data?.seats }));
// @ts-expect-error There must be keys.
followSigned("https://example.org/results", {});
"""
"""A program in TypeScript that uses the package as a page does."""


def run(*arguments: str, program: str | None = None, cwd: Path = CLIENTS) -> str:
    """Runs Node, or another program, and gives its output."""
    done = subprocess.run(
        [program or peer("node", "nodejs"), *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def needs(package: str) -> None:
    if not (CLIENTS / "node_modules" / package).is_dir():
        missing_peer(f"no {package} in tests/clients/node_modules: run make")


def test_in_node() -> None:
    """Its parts in memory, and its transports over real sockets."""
    needs("ws")
    run("--test", *(str(each) for each in sorted((CLIENTS / "livefeed").glob("*.test.mjs"))))


def test_page_in_node() -> None:
    """The modules of the pages that need no browser."""
    run("--test", *(str(each) for folder in ("page", "desk") for each in sorted((CLIENTS / folder).glob("*.test.mjs"))))


def test_what_is_served_is_what_is_built(tmp_path: Path) -> None:
    """The files in livefeed/static were built from the present source; if not: npm --prefix tests/clients run build."""
    needs("esbuild")
    run("build.mjs", str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(NAMES)
    for name in NAMES:
        assert (STATIC / name).read_bytes() == (tmp_path / name).read_bytes(), name


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the npm package is installed, as it would be from the registry, and nothing else."""
    npm = peer("npm", "npm")
    folder = tmp_path_factory.mktemp("npm")
    quiet = ("--ignore-scripts", "--offline", "--no-audit", "--no-fund", "--loglevel=error", f"--cache={folder}/cache")
    run("pack", *quiet, f"--pack-destination={folder}", str(PACKAGE), program=npm, cwd=folder)
    (folder / "package.json").write_text('{"type": "module", "private": true}')
    run("install", *quiet, str(folder / f"livefeed-{livefeed.__version__}.tgz"), program=npm, cwd=folder)
    return folder


def test_package_has_what_it_needs(installed: Path) -> None:
    """The source, the types, the licence and the page about it; no dependencies."""
    package = installed / "node_modules" / "livefeed"
    names = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    sources = {f"src/{path.name}" for path in (PACKAGE / "src").iterdir()}
    types = {"livefeed.d.ts", "react.d.ts", "token.d.ts", "verify.d.ts"}
    assert names == sources | types | {"package.json", "README.md", "LICENSE"}
    assert "dependencies" not in json.loads((package / "package.json").read_text())


def test_package_in_node(installed: Path, start: Start, tmp_path: Path) -> None:
    """A program that imports the installed package shows a verified document of a server."""
    replace_file(tmp_path / "document.json", b'{"n": 1}')
    server = start("--source", "file:document.json", listen=(TCP,))
    (installed / "follow.js").write_text(FOLLOWS)
    told = json.loads(run("follow.js", f"http://{server.authority}/feed", cwd=installed))
    assert told == [{"n": 1}, version_of(b'{"n": 1}'), "live", True]


def test_package_in_typescript(installed: Path) -> None:
    """The types are those that a strict compiler wants."""
    needs("typescript")
    (installed / "typed.ts").write_text(TYPED)
    options = ("--noEmit", "--strict", "--skipLibCheck", "false", "--module", "nodenext", "--target", "es2022")
    tsc = str(CLIENTS / "node_modules" / "typescript" / "bin" / "tsc")
    run(tsc, *options, "--lib", "es2022,dom", "typed.ts", cwd=installed)


def test_vendored_files_are_those_of_the_package() -> None:
    """uPlot is its package's, byte for byte, in the version that its comment names."""
    needs("uplot")
    package, folder = CLIENTS / "node_modules" / "uplot", STATIC / "page"
    version = json.loads((package / "package.json").read_text("utf-8"))["version"]
    assert f"uPlot (v{version})" in (folder / "vendor" / "uPlot.iife.min.js").read_text("utf-8")
    for name in VENDORED:
        assert (folder / name).read_bytes() == (package / "dist" / Path(name).name).read_bytes()
    assert (folder / "vendor" / "uPlot.LICENSE").read_bytes() == (package / "LICENSE").read_bytes()
