"""The clients of subscribers, pollers and handshakes: ``go/load``, a program in Go on the load's core."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, Self

import msgspec

from tests.bench.peers.server import HOST, Kind
from tests.helpers import go_programs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.bench.peers.server import Server, Setting

Way = Literal["connect", "poll", "subscribe"]

SOURCES = Path(__file__).parent / "go" / "load"

MOMENT_S = 1e-4
"""The unit of the moments that the program gives."""

END_S = 30
"""The seconds that the program has for its end."""


class Target(Protocol):
    """A server that clients connect to."""

    @property
    def name(self) -> str:
        """The name in errors."""

    @property
    def port(self) -> int:
        """The port of HTTPS."""

    @property
    def plain_port(self) -> int:
        """The port of HTTP; 0 if it has none."""


class ClientsError(Exception):
    """The program does not run, or a server does not serve all of its clients."""


@cache
def program() -> Path:
    """Gives the program, built if it is older than its sources.

    :raises GoError: if Go is missing, or the build fails.
    """
    return go_programs.build(SOURCES, Path(__file__).parents[2] / "build" / "bin" / "bench-load")


@dataclass(frozen=True)
class Demand:
    """The clients that are wanted. See ``go/load/main.go``.

    :ivar count: the number of clients; of those that ``connect``, at a time.
    :ivar fields: lines of each request after the first one, with their ends; ``{n}`` is another number in each.
    :ivar whole: the bytes from which on an answer, a message or an event counts as a document.
    :ivar every_s: seconds from one poll of a client to the next.
    :ivar condition: whether the validators of the answer before are sent.
    """

    way: Way
    kind: Kind
    path: str
    count: int
    fields: str = ""
    whole: int = 1
    every_s: float = 1
    condition: bool = False
    plain: bool = False

    def options(self, port: int) -> list[str]:
        """Gives the options of the program."""
        return [
            f"-address={HOST}:{port}", f"-way={self.way}", f"-kind={self.kind}", f"-path={self.path}",
            f"-count={self.count}", f"-fields={self.fields}", f"-whole={self.whole}", f"-every={self.every_s}s",
            f"-condition={str(self.condition).lower()}", f"-plain={str(self.plain).lower()}",
        ]  # fmt: skip


def following(server: Server, kind: Kind, count: int, *, whole: int, fields: str = "", plain: bool = False) -> Demand:
    """Gives the demand for subscribers of a server; those of the kind ``request`` wait for each version."""
    paths: dict[Kind, str] = {
        "websocket": server.subscribe_path, "events": server.events_path, "request": server.wait_path
    }  # fmt: skip
    is_waiting = kind == "request"
    return Demand(
        "subscribe", kind, paths[kind], count,
        fields=fields + (server.wait_line if is_waiting else ""), whole=whole, condition=is_waiting, plain=plain,
    )  # fmt: skip


def whole_of(setting: Setting) -> int:
    """Gives the bytes from which on a message counts as the setting's document.

    Centrifugo parses documents, and sends them without their spaces; pings of its own are messages, too.
    """
    return setting.document.stat().st_size // 2


@dataclass(frozen=True)
class Ran:
    """The figures of a run. Times of requests and connections are in milliseconds.

    :ivar seconds: that it took.
    :ivar began: when, by :func:`time.monotonic`.
    :ivar count: requests, connections or documents.
    :ivar error: the text of the first error since the start of the program.
    :ivar bytes: received, with those of TLS, and without those of TCP and IP; also those since the run before.
    :ivar late_p99_ms: the delay of 99 of 100 requests by the load itself, at most.
    :ivar moments: pairs of a time since the beginning, in :data:`MOMENT_S`, and the documents that were complete then.
    """

    seconds: float
    began: float
    count: int
    errors: int
    error: str
    bytes: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    late_p99_ms: float
    moments: list[tuple[int, int]] = field(default_factory=list)

    def done(self) -> list[float]:
        """Gives when documents were complete, by :func:`time.monotonic`."""
        return [self.began + at * MOMENT_S for at, count in self.moments for _ in range(count)]


@dataclass(frozen=True)
class _Started:
    connected: int
    errors: int
    error: str


class Clients:
    """Clients of one server, in a process of their own. Leaving the context ends them.

    They take the processor's core that this process has.

    :param server: the server, which must run until all clients that keep their connections have them.
    :raises ClientsError: if it does not serve all of them.
    """

    def __init__(self, server: Target, demand: Demand) -> None:
        port = server.plain_port if demand.plain else server.port
        self._name = server.name
        self.bytes_received = self.errors = 0
        self._process = subprocess.Popen(
            [str(program()), *demand.options(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            self._wait(0 if demand.way == "connect" else demand.count)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def begin(self, seconds: float) -> None:
        """Has the clients work for a while."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"run {seconds}\n".encode())
        self._process.stdin.flush()

    def end(self) -> Ran:
        """Waits until they have done that, and gives the figures."""
        ran = msgspec.json.decode(self._line(), type=Ran)
        self.bytes_received += ran.bytes
        self.errors += ran.errors
        return ran

    def run(self, seconds: float) -> Ran:
        """Has the clients work for a while, and gives the figures."""
        self.begin(seconds)
        return self.end()

    def close(self) -> None:
        """Ends the clients, and all of their connections."""
        if self._process.poll() is None:
            try:
                self._process.communicate(timeout=END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.communicate()

    def _wait(self, count: int) -> None:
        """Returns when all clients have their connections."""
        started = msgspec.json.decode(self._line(), type=_Started)
        if started.connected < count:
            raise ClientsError(f"{self._name} serves {started.connected} of {count} clients: {started.error}")

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ClientsError(f"the clients of {self._name} have ended with code {self._process.wait()}")
        return line


def run_together(groups: Iterable[Clients], seconds: float) -> list[Ran]:
    """Has several groups of clients work at the same time."""
    for group in groups:
        group.begin(seconds)
    return [group.end() for group in groups]
