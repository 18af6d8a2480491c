"""Workers: real processes that are killed, stopped and left alone, and clients that must not notice."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from livefeed.process.processors import usable_processors
from livefeed.workers.locks import Activity, running_workers
from tests.helpers.waiting import wait_until
from tests.integration.harness import (
    HOST,
    TCP,
    TLS,
    WAIT_S,
    Livefeed,
    Polling,
    Wire,
    free_port,
    run,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from livefeed.tls.development import DevelopmentCertificate
    from tests.integration.conftest import Start

pytestmark = pytest.mark.chosen

REQUEST = b"GET /feed HTTP/1.1\r\nHost: localhost\r\n\r\n"
TWO = ("--workers", "2", "--interval", "0.2")


def workers(livefeed: Livefeed) -> list[dict[str, Any]]:
    """Gives the report of the operator's port about the workers."""
    with livefeed.operator() as client:
        report: list[dict[str, Any]] = client.get("/-/workers").json()
        return report


def wait_until_ready(livefeed: Livefeed) -> list[dict[str, Any]]:
    """Gives the report once all workers are ready."""
    wait_until(lambda: {each["state"] for each in workers(livefeed)} == {"ready"}, livefeed.log)
    return workers(livefeed)


def answer(livefeed: Livefeed) -> str:
    """Gives the sequence of the document on a new connection."""
    with livefeed.wire() as wire:
        wire.send(REQUEST)
        response = wire.response()
    assert response.status == 200, response
    return response.headers["Livefeed-Sequence"]


def order(sequence: str) -> tuple[int, ...]:
    """Gives a sequence in a form that can be compared."""
    return tuple(map(int, sequence.split(".")))


@contextlib.contextmanager
def subscribers(livefeed: Livefeed, count: int) -> Iterator[list[Wire]]:
    """Gives WebSockets that have received a document."""
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(livefeed.subscriber_wire()) for _ in range(count)]
        for wire in wires:
            wire.frame()
        yield wires


def is_open(wire: Wire) -> bool:
    """Tells whether a connection without TLS has not ended. What it has received is forgotten."""
    wire.sock.setblocking(False)
    try:
        while wire.sock.recv(65536):
            pass
    except BlockingIOError:
        return True
    except ConnectionResetError:
        return False
    finally:
        wire.sock.settimeout(WAIT_S)
    return False


def is_fed(wire: Wire) -> bool:
    """Tells whether something more arrives on a connection without TLS before it ends."""
    try:
        return bool(wire.sock.recv(1))
    except ConnectionResetError:
        return False


def is_alive(pid: int) -> bool:
    """Tells whether a process runs. One that has ended may wait for its first ancestor to take note of it."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("listen", [TLS, TCP], ids=["tls", "tcp"])
def test_connections_are_spread(start: Start, listen: str, tmp_path: Path) -> None:
    """The kernel spreads them over the workers; the parent adds up the figures, and ends with all of them.

    The requests of the parent's canaries, which are mostly answered with 304, count nowhere.
    """
    log = tmp_path / "access.log"
    livefeed = start(*TWO, "--access-log", str(log), listen=(listen,))
    pids = [each["pid"] for each in wait_until_ready(livefeed)]
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            wire = stack.enter_context(livefeed.wire())
            wire.send(REQUEST)
            assert wire.response().status == 200
        wait_until(lambda: sum(each["connections"] for each in workers(livefeed)) >= 40, livefeed.log)
        # Less than 6 of 40 has a probability of 2 in a million.
        assert all(each["connections"] >= 6 for each in workers(livefeed))
    metrics = livefeed.metrics()
    assert re.search(r'livefeed_answers_total\{[^}]*status="200"\} [4-9]\d', metrics)
    assert 'status="304"' not in metrics
    assert livefeed.terminate() == 0
    lines = log.read_text().splitlines()
    assert len(lines) >= 40
    assert all(line.startswith("127.0.0.1 ") for line in lines), lines
    assert not any(map(is_alive, pids))
    assert running_workers(livefeed.runtime_dir) == []


def test_every_worker_shows_the_same_facts(start: Start, tmp_path: Path) -> None:
    """The figures of all workers together, and the reason why the feed is stale, which the parent knows."""
    document = tmp_path / "document.json"
    document.write_text("[1]")
    options = ("--source", "file:document.json", "--page-figures", "true", "--public-reasons", "true")
    livefeed = start(*TWO, *options, listen=(TCP,))
    wait_until_ready(livefeed)
    with contextlib.ExitStack() as stack, subscribers(livefeed, 10):
        clients = [stack.enter_context(livefeed.new_client()) for _ in range(10)]

        def latest(name: str) -> list[Any]:
            return [(client.get("/-/figures.json").json()[name] or [None])[-1] for client in clients]

        wait_until(lambda: latest("watchers") == [10] * 10, livefeed.log)
        # The probability that all ten of these connections, or all ten watchers, are with one worker is 1 in 500.
        wait_until(lambda: all(value is not None and value > 0 for value in latest("deliveries")), livefeed.log)
        document.write_text("[2]")

        def has_delay() -> bool:
            figures = [client.get("/-/figures.json").json() for client in clients]
            return all(any(each["delay_ms"]) for each in figures)

        wait_until(has_delay, livefeed.log)
        document.unlink()

        def reasons() -> set[str | None]:
            return {client.get("/-/feeds.json").json()["feeds"][0]["reason"] for client in clients}

        wait_until(lambda: all(each is not None and "document.json" in each for each in reasons()), livefeed.log)
        assert len(reasons()) == 1


def test_auto(start: Start) -> None:
    """There is one worker for each processor."""
    livefeed = start("--workers", "auto", listen=(TCP,))
    assert len(wait_until_ready(livefeed)) == usable_processors()
    assert order(answer(livefeed))


def test_killed_worker(start: Start) -> None:
    """Its own subscribers are disconnected, all others notice nothing, and every new connection is answered."""
    livefeed = start(*TWO, listen=(TCP,))
    before = wait_until_ready(livefeed)
    with subscribers(livefeed, 12) as wires, Polling(livefeed, pause_s=0.02) as polling:
        wait_until(
            lambda: sum(sum(each["watchers"].get("feed", {}).values()) for each in workers(livefeed)) >= 12,
            livefeed.log,
        )
        lost = workers(livefeed)[0]["watchers"]["feed"]["websocket"]
        os.kill(before[0]["pid"], signal.SIGKILL)
        livefeed.wait_for_log(r"worker 0 \(process \d+\) was ended by signal 9; another one starts now")
        for _ in range(20):
            answer(livefeed)
        after = wait_until_ready(livefeed)
        left = [wire for wire in wires if is_open(wire)]
        assert len(wires) - len(left) == lost
        for wire in left:
            assert wire.sock.recv(1)
        # One keep-alive connection, which may have been the worker's.
        assert len(polling.failures) <= 1
    assert (after[0]["restarts"], after[1]["restarts"], after[1]["pid"]) == (1, 0, before[1]["pid"])
    assert after[0]["pid"] != before[0]["pid"]


def test_stopped_worker(start: Start) -> None:
    """A worker that hangs is killed and replaced, and no client waits longer than that."""
    livefeed = start(*TWO, listen=(TCP,))
    pid = wait_until_ready(livefeed)[0]["pid"]
    os.kill(pid, signal.SIGSTOP)
    # Half of these are in the queue of the worker until another one accepts on its socket.
    for _ in range(8):
        answer(livefeed)
    livefeed.wait_for_log(r"worker 1 also accepts on the sockets of worker 0")
    livefeed.wait_for_log(rf"worker 0 \(process {pid}\) is killed: its heartbeat is \S+ s late")
    assert wait_until_ready(livefeed)[0]["restarts"] == 1
    assert not is_alive(pid)


def test_crash_loop(start: Start, tmp_path: Path) -> None:
    """A worker that ends at once is started ever more rarely, and another one serves its socket."""
    directory = tmp_path / "run"
    directory.mkdir(0o700)
    lock = os.open(directory / "worker-0-0.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        # It finds its place taken.
        fcntl.flock(lock, fcntl.LOCK_EX)
        livefeed = start(*TWO, "--runtime-dir", str(directory), listen=(TCP,))
        livefeed.runtime_dir = directory
        livefeed.wait_for_log(r"worker 0 .* ended with exit code 3; another one starts in 1 s")
        livefeed.wait_for_log("worker 1 also accepts on the sockets of worker 0")
        for _ in range(8):
            answer(livefeed)
        starts = re.findall(r"worker 0 .* another one starts (now|in \S+ s)", livefeed.log())
        assert starts[:3] == ["now", "in 0.5 s", "in 1 s"]
    finally:
        os.close(lock)
    wait_until_ready(livefeed)
    for _ in range(4):
        answer(livefeed)


def test_killed_parent(start: Start, certificate: DevelopmentCertificate, tmp_path: Path) -> None:
    """Watchers stay connected, the feed becomes stale, and the next parent goes on with the same workers."""
    listen = f"tls:{free_port()}:interface={HOST}"
    livefeed = start(*TWO, listen=(listen,))
    pids = [each["pid"] for each in wait_until_ready(livefeed)]
    with subscribers(livefeed, 6) as wires:
        before = order(answer(livefeed))
        livefeed.process.signal(signal.SIGKILL)
        with livefeed.new_client() as client:
            wait_until(lambda: client.get("/feed").headers["Livefeed-State"] == "stale", livefeed.log)
            ended = order(client.get("/feed").headers["Livefeed-Sequence"])
            assert ended >= before
            options = (*TWO, "--runtime-dir", str(livefeed.runtime_dir))
            with Livefeed(*options, directory=tmp_path, certificate=certificate, listen=(listen,)) as following:
                following.runtime_dir = livefeed.runtime_dir
                assert [each["pid"] for each in wait_until_ready(following)] == pids
                wait_until(lambda: client.get("/feed").headers["Livefeed-State"] == "live", following.log)
                assert order(client.get("/feed").headers["Livefeed-Sequence"]) > ended
                # Those in the buffers are older than the end of the parent, and one more is not.
                for wire in wires:
                    wire.frame()
                for _ in range(8):
                    assert order(answer(following)) > ended
                assert following.terminate() == 0
                assert not any(map(is_alive, pids))
                # Each end of a link is a warning; with TLS, workers report figures that they do not have without it.
                assert "cannot be read" not in livefeed.log() + following.log()


def test_crash_during_a_drain(start: Start, tmp_path: Path) -> None:
    """Workers that send their watchers away are fed by the next parent, whose own workers accept, and end with it."""
    listen = f"tcp:{free_port()}:interface={HOST}"
    livefeed = start(*TWO, "--drain", "3600", listen=(listen,))
    pids = [each["pid"] for each in wait_until_ready(livefeed)]
    # A worker without watchers ends. Of 24, the kernel gives one worker fewer than two in one of 340,000 runs.
    with subscribers(livefeed, 24) as wires:
        with livefeed.operator() as client:
            assert client.post("/-/drain", json={"successor": True}).json()["phase"] == "releasing"
        wait_until(
            lambda: {each.activity for each in running_workers(livefeed.runtime_dir)} == {Activity.DRAINING},
            livefeed.log,
        )
        livefeed.process.signal(signal.SIGKILL)
        options = (*TWO, "--runtime-dir", str(livefeed.runtime_dir))
        with Livefeed(*options, directory=tmp_path, certificate=None, listen=(listen,)) as following:
            following.runtime_dir = livefeed.runtime_dir
            # Each of the earlier ones looks for a parent by itself.
            wait_until(lambda: len(workers(following)) == 4, following.log)
            own = [each for each in workers(following) if each["state"] != "draining"]
            earlier = [each for each in workers(following) if each["state"] == "draining"]
            assert [(each["generation"], each["index"]) for each in own + earlier] == [(1, 0), (1, 1), (0, 0), (0, 1)]
            assert [each["pid"] for each in earlier] == pids
            wait_until(lambda: [each["state"] for each in workers(following)][:2] == ["ready"] * 2, following.log)
            assert order(answer(following))
            stayed = [wire for wire in wires if is_open(wire)]
            # Each worker has sent away the first of its watchers, and the others follow within the hour.
            assert len(stayed) >= len(wires) - 2
            assert sum(map(is_fed, stayed)) >= len(wires) - 2
            assert following.terminate() == 0
            assert not any(map(is_open, stayed))
            assert not any(map(is_alive, pids))


def test_parent_without_a_source(start: Start, certificate: DevelopmentCertificate, tmp_path: Path) -> None:
    """A new parent whose source is away has the document from its workers, which go on serving it, as stale."""
    listen = f"tls:{free_port()}:interface={HOST}"
    source = tmp_path / "document.json"
    source.write_text('{"number": 1}')
    options: tuple[str, ...] = (*TWO, "--source", f"file:{source}")
    livefeed = start(*options, listen=(listen,))
    pids = [each["pid"] for each in wait_until_ready(livefeed)]
    with livefeed.new_client() as client, subscribers(livefeed, 4) as wires:
        before = client.get("/feed")
        livefeed.process.signal(signal.SIGKILL)
        source.unlink()
        options = (*options, "--runtime-dir", str(livefeed.runtime_dir))
        with Livefeed(*options, directory=tmp_path, certificate=certificate, listen=(listen,), live=False) as following:
            following.runtime_dir = livefeed.runtime_dir
            assert [each["pid"] for each in wait_until_ready(following)] == pids
            wait_until(lambda: client.get("/feed").headers["Livefeed-State"] == "stale", following.log)
            after = client.get("/feed")
            for name in ("Livefeed-Version", "Livefeed-Sequence"):
                assert after.headers[name] == before.headers[name]
            assert after.json() == {"number": 1}
            with following.operator() as operator:
                (feed,) = operator.get("/status").json()["feeds"]
            assert (feed["state"], feed["sequence"]) == ("stale", before.headers["Livefeed-Sequence"])
            # The same bytes are no new version, and others are a later one.
            source.write_text('{"number": 1}')
            wait_until(lambda: client.get("/feed").headers["Livefeed-State"] == "live", following.log)
            assert client.get("/feed").headers["Livefeed-Sequence"] == before.headers["Livefeed-Sequence"]
            source.write_text('{"number": 2}')
            wait_until(lambda: client.get("/feed").json() == {"number": 2}, following.log)
            assert order(client.get("/feed").headers["Livefeed-Sequence"]) > order(before.headers["Livefeed-Sequence"])
            for wire in wires:
                while b'"number": 2' not in wire.frame_of(0x1):
                    pass
            assert following.terminate() == 0


def test_two_parents(start: Start, tmp_path: Path) -> None:
    """The second one does not start, and the first one goes on."""
    livefeed = start(*TWO, listen=(TCP,))
    code, output = run(tmp_path, *TWO, "--runtime-dir", str(livefeed.runtime_dir), "--listen", TCP)
    assert code == 1
    assert "another livefeed uses" in output
    answer(livefeed)


def test_drain(start: Start) -> None:
    """Both workers send their watchers away and run on, without sockets, until the parent is told to end."""
    livefeed = start(*TWO, "--drain", "0.5", listen=(TCP,))
    pids = [each["pid"] for each in wait_until_ready(livefeed)]
    with subscribers(livefeed, 12) as wires, livefeed.operator() as client:
        assert client.post("/-/drain", json={"successor": True}).json()["phase"] == "releasing"
        wait_until(lambda: client.post("/-/drain", json={}).json()["phase"] == "released", livefeed.log)
        for wire in wires:
            wire.frame_of(0x8)
        assert client.post("/-/drain", json={}).json()["sockets"] == 12
        with pytest.raises(ConnectionRefusedError), livefeed.wire():
            pass
        assert client.get("/-/ready").status_code == 503
    after = workers(livefeed)
    assert [(each["pid"], each["state"], each["restarts"]) for each in after] == [(pid, "draining", 0) for pid in pids]
    assert livefeed.terminate() == 0
    assert not any(map(is_alive, pids))
