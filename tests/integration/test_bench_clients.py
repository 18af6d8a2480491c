"""The clients of the bench, against a livefeed: few of each kind, and what they count."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.bench.clients import SOURCES, Clients, ClientsError, Demand
from tests.helpers.peers import missing_peer
from tests.integration.harness import TCP, TLS, WAIT_S, replace_file

if TYPE_CHECKING:
    from pathlib import Path

    from tests.bench.clients import Way
    from tests.bench.peers.server import Kind
    from tests.integration.conftest import Start

pytestmark = pytest.mark.peers

DOCUMENT = b'{"rows": [' + b"1, " * 2000 + b"1]}"
WAITING: tuple[Kind, str] = ("request", "/feed")
WEBSOCKET: tuple[Kind, str] = ("websocket", "/feed.ws")
EVENTS: tuple[Kind, str] = ("events", "/feed.sse")
COUNT = 7
PIECE_S = 0.1
GO_S = 300


@dataclass(frozen=True)
class Target:
    """A livefeed as the clients know it."""

    port: int
    plain_port: int
    name: str = "livefeed"


@pytest.fixture(autouse=True)
def go() -> None:
    """The clients are built with Go."""
    if shutil.which("go") is None:
        missing_peer("no go on the PATH (Debian: golang-go)")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of the feed."""
    path = tmp_path / "document.json"
    path.write_bytes(DOCUMENT)
    return path


@pytest.fixture
def target(start: Start, path: Path) -> Target:
    """A livefeed that sends nothing but changes."""
    livefeed = start("--source", f"file:{path}", "--interval", "0.05", "--push=change", listen=(TLS, TCP))
    return Target(livefeed.ports["https"], livefeed.ports["http"])


def demand(way: Way, kind: Kind, path: str, *, fields: str = "", plain: bool = False) -> Demand:
    """Gives some clients that count documents of the length of this one, and ask again with its tag."""
    return Demand(
        way, kind, path, COUNT, fields=fields, whole=len(DOCUMENT), every_s=PIECE_S, condition=way == "subscribe",
        plain=plain,
    )  # fmt: skip


def count_until(clients: Clients, wanted: int) -> int:
    """Gives the number of documents when there are enough, or when it has taken too long."""
    count = 0
    for _ in range(round(WAIT_S / PIECE_S)):
        ran = clients.run(PIECE_S)
        assert len(ran.done()) == ran.count
        count += ran.count
        if count >= wanted:
            break
    return count


def test_go_s_own_tests() -> None:
    """Frames, events and answers are read as they are, in pieces of any size."""
    for command in ("vet", "test"):
        ended = subprocess.run(
            ["go", command, "."], cwd=SOURCES, capture_output=True, text=True, check=False, timeout=GO_S
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize(("kind", "path_"), [WAITING, WEBSOCKET, EVENTS])
def test_connecting_ends_with_the_first_document(target: Target, kind: Kind, path_: str, *, plain: bool) -> None:
    """Each connection is a new one, and has the whole document when it counts."""
    with Clients(target, demand("connect", kind, path_, plain=plain)) as clients:
        ran = clients.run(PIECE_S)
        assert (ran.errors, ran.error) == (0, "")
        assert ran.count >= COUNT
        assert ran.bytes >= ran.count * len(DOCUMENT)
        assert 0 < ran.p50_ms <= ran.p99_ms <= ran.max_ms


def test_polls_are_as_many_as_are_due(target: Target) -> None:
    """Each client asks in its turn, on the connection that it has: one poll in each interval."""
    with Clients(target, demand("poll", "request", "/feed", fields="User-Agent: {n}\r\n")) as clients:
        for rounds in (1, 3):
            ran = clients.run(rounds * PIECE_S)
            assert (ran.count, ran.errors, ran.error) == (rounds * COUNT, 0, "")


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize(("kind", "path_"), [WAITING, WEBSOCKET, EVENTS])
def test_each_subscriber_counts_each_version(
    target: Target, path: Path, kind: Kind, path_: str, *, plain: bool
) -> None:
    """The first document counts for those that have asked, and then each change, once for each."""
    fields = "Prefer: wait=50\r\n" if kind == "request" else ""
    with Clients(target, demand("subscribe", kind, path_, fields=fields, plain=plain)) as clients:
        assert count_until(clients, COUNT) == COUNT
        for end in (b"22", b"333"):
            replace_file(path, DOCUMENT.replace(b" 1]", b" %s]" % end))
            assert count_until(clients, COUNT) == COUNT
        assert clients.errors == 0
        assert clients.bytes_received >= 3 * COUNT * len(DOCUMENT)


def test_messages_that_are_no_documents_do_not_count(start: Start, path: Path) -> None:
    """With a document that is too short, connecting goes on until a longer one comes."""
    path.write_bytes(b"[]")
    livefeed = start("--source", f"file:{path}", "--interval", "0.05", "--push=tick", listen=(TCP,))
    with Clients(Target(0, livefeed.ports["http"]), demand("subscribe", *WEBSOCKET, plain=True)) as clients:
        seen = 0
        while seen < 2 * COUNT * len(b"[]"):
            ran = clients.run(PIECE_S)
            assert ran.count == 0
            seen += ran.bytes
        replace_file(path, DOCUMENT)
        assert count_until(clients, COUNT) >= COUNT


def test_a_server_that_refuses_is_named(target: Target) -> None:
    """Clients that keep their connections must all have one; the error says what the server has answered."""
    with pytest.raises(ClientsError, match="livefeed serves 0 of 7 clients: status 404, not 101"):
        Clients(target, demand("subscribe", "websocket", "/nothing.ws"))


def test_connections_that_end_are_errors(start: Start, path: Path) -> None:
    """A subscriber whose server goes away has an error, and polls fail."""
    livefeed = start("--source", f"file:{path}", listen=(TLS,))
    target = Target(livefeed.port, 0)
    with ExitStack() as stack:
        subscribers = stack.enter_context(Clients(target, demand("subscribe", *WEBSOCKET)))
        pollers = stack.enter_context(Clients(target, demand("poll", "request", "/feed")))
        livefeed.terminate()
        errors = 0
        for _ in range(round(WAIT_S / PIECE_S)):
            errors += subscribers.run(PIECE_S).errors
            if errors >= COUNT:
                break
        assert errors == COUNT
        ran = pollers.run(PIECE_S)
        assert (ran.count, ran.errors) == (0, COUNT)
        assert ran.error
