"""The results of the bench, and ``docs/benchmarks.json``, which keeps them: each row with the conditions of its run."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import msgspec
from OpenSSL import SSL

import livefeed
import twisted
from tests.bench.load import Measured
from tests.bench.peers.server import BUILT

if TYPE_CHECKING:
    from collections.abc import Iterable

OURS = "livefeed"
CROWD = "livefeed, 15,000 come and go"
WIRE = "livefeed, bytes on the wire"
REST = "a process at rest"
MANY_FEEDS = "livefeed, 64 feeds that change each second"
BY_SPLICES = "livefeed, by v2"
FIVE_ITEMS, ONE_ITEM = "five items each", "one item each"
REFERENCES = (OURS, BY_SPLICES, FIVE_ITEMS)
"""The names whose processor time is divided by that of the others of the same row: the first that the row has."""
FULL_HANDSHAKE = "HTTPS, full handshake and one request"
WEBSOCKET_CONNECTING, EVENTS_CONNECTING = "WebSocket, connecting", "Event stream, connecting"
CONNECTING = (FULL_HANDSHAKE, WEBSOCKET_CONNECTING, EVENTS_CONNECTING)
"""The titles of the rows whose clients come, and go."""

NAMES_OF_KINDS = {"election": "the election night", "small": "the small demonstration"}

BENCH = Path(__file__).parent

COMMANDS: dict[str, dict[str, tuple[str, ...]]] = {
    "Go net/http": {"Go": ("go", "version")},
    "h2o": {"h2o": ("h2o", "--version")},
    "axum": {"axum": ("grep", "^axum =", f"{BENCH}/peers/rust/Cargo.toml")},
    "Caddy": {"Caddy": ("cat", f"{BUILT}/caddy.version")},
    "Centrifugo": {"Centrifugo": ("cat", f"{BUILT}/centrifugo.version")},
    "nginx": {"nginx": ("nginx", "-v")},
    "nginx + nchan": {"nginx": ("nginx", "-v"), "nchan": ("dpkg-query", "-W", "libnginx-mod-nchan")},
    "livefeed, OpenSSL 3": {
        "OpenSSL": (
            f"{BUILT.parent}/openssl3/bin/python",
            "-c",
            "from OpenSSL import SSL; print(SSL.OpenSSL_version(0))",
        )
    },
    "varnish behind hitch": {"Varnish": ("varnishd", "-V"), "hitch": ("hitch", "--version")},
}
"""The commands that print the versions of servers outside Python."""


@dataclass(frozen=True)
class Audience:
    """The figures of 15,000 connections that come and go: the collector's longest pauses, and livefeed's memory."""

    arriving_ms: float
    staying_ms: float
    leaving_ms: float
    before_bytes: int
    full_bytes: int
    left_bytes: int


@dataclass(frozen=True)
class Rest:
    """The figures of a process without clients.

    :ivar start_s: the shortest time in seconds from its start to its first answer over TLS; 0 if not measured.
    :ivar busy: its share of a core.
    :ivar pss_bytes: its memory, with its part of what processes share.
    :ivar private_bytes: the memory that it shares with no other process.
    """

    start_s: float
    busy: float
    pss_bytes: int
    private_bytes: int
    rss_bytes: int


@dataclass(frozen=True)
class Run:
    """How a row was measured.

    :ivar date: of its end, in UTC.
    :ivar seconds: of each figure.
    :ivar machine: the processor, its cores, the kernel, and Python.
    :ivar versions: of each server in the row.
    """

    date: str
    machine: dict[str, str]
    versions: dict[str, str]
    seconds: float = 0
    rounds: int = 0


@dataclass
class Kept:
    """The content of ``docs/benchmarks.json``: rows of medians, and their runs under the same titles."""

    rows: dict[str, dict[str, Measured]] = field(default_factory=dict)
    crowd: list[Audience] = field(default_factory=list)
    wire: dict[str, tuple[float, float]] = field(default_factory=dict)
    rest: dict[str, Rest] = field(default_factory=dict)
    spread: list[list[int]] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Kept:
        """Gives the results in a file; none if it does not exist."""
        return msgspec.json.decode(path.read_bytes(), type=cls) if path.exists() else cls()

    def write(self, path: Path) -> None:
        """Replaces the content of a file."""
        text = msgspec.json.format(msgspec.json.encode(self), indent=1)
        path.write_bytes(text + b"\n")

    @classmethod
    def put(cls, found: Found, path: Path) -> None:
        """Puts the rows of a run into a file, besides those that it has."""
        kept = cls.read(path)
        kept.merge(found)
        kept.write(path)

    def merge(self, found: Found) -> None:
        """Adds the results of a run; other rows stay unchanged, with their own runs."""
        self.rows |= found.medians()
        self.runs |= found.runs()
        self.crowd = found.crowd or self.crowd
        self.wire = found.wire or self.wire
        self.rest |= found.rest
        self.spread = found.spread or self.spread


@dataclass
class Found:
    """The measurements of the bench so far.

    :ivar seconds: of each measurement, by title.
    :ivar spread: the connections of each worker, for each livefeed with workers.
    :ivar versions: those that only the measuring part knows, by the name of the server.
    """

    rounds: dict[str, dict[str, list[Measured]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    crowd: list[Audience] = field(default_factory=list)
    wire: dict[str, tuple[float, float]] = field(default_factory=dict)
    rest: dict[str, Rest] = field(default_factory=dict)
    spread: list[list[int]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    def note(self, title: str, name: str, got: Measured, *, seconds: float) -> None:
        """Adds the figures of one round of a row for one server."""
        self.rounds.setdefault(title, {}).setdefault(name, []).append(got)
        self.seconds[title] = seconds

    def medians(self) -> dict[str, dict[str, Measured]]:
        """Gives each row's figures."""
        return {
            title: {name: middle(got, by.get(reference_of(by) or "", [])) for name, got in by.items()}
            for title, by in self.rounds.items()
        }

    def runs(self) -> dict[str, Run]:
        """Gives the run of each row, and of the results without rows."""
        date = datetime.now(UTC).isoformat(timespec="minutes")
        runs = {
            title: Run(
                date=date,
                seconds=self.seconds[title],
                rounds=max(len(got) for got in by.values()),
                machine=machine(),
                versions={name: self.versions.get(name) or version(name) for name in by},
            )
            for title, by in self.rounds.items()
        }
        for title, got in ((CROWD, self.crowd), (WIRE, self.wire)):
            if got:
                runs[title] = Run(date=date, machine=machine(), versions={OURS: version(OURS)})
        if self.rest:
            runs[REST] = Run(date=date, machine=machine(), versions={name: version(name) for name in self.rest})
        return runs


def deltas_title(kind: str, count: int) -> str:
    """Gives the title of the row with deltas of a demonstration."""
    return f"WebSocket, {count:,} subscribers of {NAMES_OF_KINDS[kind]}"


def items_title(count: int) -> str:
    """Gives the title of the row with several items on a connection."""
    return f"WebSocket, {count:,} connections, five items each and one"


def idle_title(count: int) -> str:
    """Gives the title of the row of subscribers who are sent no new document."""
    return f"WebSocket, {count:,} subscribers of a document that does not change"


def reference_of(names: Iterable[str]) -> str | None:
    """Gives the name in a row whose processor time is divided by that of the others; ``None`` if the row has none."""
    there = set(names)
    return next((name for name in REFERENCES if name in there), None)


def middle(rounds: list[Measured], own: list[Measured]) -> Measured:
    """Gives the median of each figure, and of the ratios of each round.

    The load by a machine's neighbours changes from minute to minute, and is alike for successive measurements.

    :param own: the rounds of livefeed, or of the row's reference; none if the row has neither.
    """
    fields = {name: median(asdict(each)[name] for each in rounds) for name in asdict(rounds[0])}
    pairs = zip(own, rounds, strict=True) if own else ()
    ratios = [mine.cpu_us / theirs.cpu_us for mine, theirs in pairs if theirs.cpu_us]
    return Measured(
        **{**fields, "errors": max(each.errors for each in rounds), "ratio": median(ratios) if ratios else 0}
    )


@cache
def version(name: str) -> str:
    """Gives the versions that a server's figures depend on."""
    if name == "twisted.web":
        return f"Twisted {twisted.__version__}"
    if name not in COMMANDS:
        openssl = SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode()
        return f"livefeed {livefeed.__version__}, Twisted {twisted.__version__}, {' '.join(openssl.split()[:2])}"
    return ", ".join(f"{what} {_number(command)}" for what, command in COMMANDS[name].items())


def _number(command: tuple[str, ...]) -> str:
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return "?"
    found = re.search(r"\d[\w:]*\.[\w.:+~-]+", run.stdout + run.stderr)
    return found[0] if found else "?"


@cache
def machine() -> dict[str, str]:
    """Gives the machine that the figures are measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = (line.partition(":")[2].strip() for line in lines if "model name" in line)
    return {
        "cpu": next(models, platform.machine()),
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
