"""Workers of several generations with real processes: crashes around an upgrade, and other numbers of workers.

After an upgrade, the parent is not the process that the test has started, and its log goes to the same place.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from livefeed.workers.locks import Activity, running_workers
from tests.helpers.waiting import wait_until
from tests.integration.harness import HOST, WAIT_S, Livefeed, Wire, free_port, replace_file

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.chosen

CTL = str(Path(sys.executable).with_name("livefeed"))
REQUEST = b"GET /feed HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Site:
    """The files of a livefeed, which several parents read one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.listen = f"tcp:{free_port()}:interface={HOST}"
        self.runtime_dir: Path | None = None
        self.number = 0
        self.publish()

    def configure(self, workers: int, drain_s: float) -> None:
        """Writes the configuration."""
        text = (
            f'workers = {workers}\ndrain = {drain_s}\ninterval = 0.2\nsource = "file:{self.folder / "document.json"}"\n'
        )
        (self.folder / "livefeed.toml").write_text(text)

    def publish(self) -> bytes:
        """Changes the document, and gives it."""
        self.number += 1
        data = b'{"n": %d}' % self.number
        replace_file(self.folder / "document.json", data)
        return data

    @contextlib.contextmanager
    def start(self) -> Iterator[Livefeed]:
        """Runs a parent, as a service manager does; at the end, the one that has the runtime directory then."""
        options = () if self.runtime_dir is None else ("--runtime-dir", str(self.runtime_dir))
        config = str(self.folder / "livefeed.toml")
        with Livefeed(
            "--config", config, *options, directory=self.folder, certificate=None, listen=(self.listen,)
        ) as livefeed:
            if self.runtime_dir is not None:
                livefeed.runtime_dir = self.runtime_dir
            self.runtime_dir = livefeed.runtime_dir
            try:
                yield livefeed
            finally:
                end(livefeed)


def end(livefeed: Livefeed) -> None:
    """Ends the parent that has the runtime directory, and waits for it."""
    pid = parent(livefeed)
    if is_alive(pid):
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not is_alive(pid), livefeed.log)


def parent(livefeed: Livefeed) -> int:
    """Gives the process that has the runtime directory, or had it last."""
    return int((livefeed.runtime_dir / "lock").read_text().split()[0])


def is_alive(pid: int) -> bool:
    """Tells whether a process runs. One that has ended may wait for its first ancestor to take note of it."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def workers(livefeed: Livefeed) -> list[dict[str, Any]]:
    """Gives the report of the operator's port about the workers."""
    with livefeed.operator() as client:
        report: list[dict[str, Any]] = client.get("/-/workers").json()
        return report


def wait_until_ready(livefeed: Livefeed, generation: int, count: int) -> list[int]:
    """Gives the processes of the workers of a generation, once all are ready."""

    def found() -> list[dict[str, Any]]:
        return [each for each in workers(livefeed) if each["generation"] == generation]

    wait_until(lambda: [each["state"] for each in found()] == ["ready"] * count, livefeed.log)
    return [each["pid"] for each in found()]


def upgrade(livefeed: Livefeed) -> subprocess.Popen[str]:
    """Begins an upgrade."""
    command = [CTL, "ctl", "upgrade", "--unsupervised", "--runtime-dir", str(livefeed.runtime_dir)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(command: subprocess.Popen[str]) -> tuple[int, str]:
    """Gives the exit code and the output of a command."""
    with command:
        output, _ = command.communicate(timeout=4 * WAIT_S)
    return command.returncode, output


def follows(wire: Wire, document: bytes) -> bool:
    """Tells whether a WebSocket receives a document, and is not sent away before."""
    try:
        while True:
            kind, payload = wire.frame()
            if kind == 0x8 or payload == document:
                return kind != 0x8
    except ConnectionResetError:
        return False


@contextlib.contextmanager
def subscribers(livefeed: Livefeed, count: int) -> Iterator[list[Wire]]:
    """Gives WebSockets that have received a document."""
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(livefeed.subscriber_wire()) for _ in range(count)]
        for wire in wires:
            wire.frame()
        yield wires


def answer(livefeed: Livefeed, count: int) -> None:
    """Gets the document on some new connections. Each of them may come to another socket."""
    for _ in range(count):
        with livefeed.wire() as wire:
            wire.send(REQUEST)
            assert wire.response().status == 200


def test_crash_after_an_upgrade(tmp_path: Path) -> None:
    """The next parent goes on with the newer workers, and feeds the older ones, which still drain."""
    site = Site(tmp_path)
    site.configure(2, 3600.0)
    with site.start() as first:
        old = wait_until_ready(first, 0, 2)
        with subscribers(first, 12) as wires:
            assert wait_for(upgrade(first))[0] == 0
            new = wait_until_ready(first, 1, 2)
            killed = parent(first)
            os.kill(killed, signal.SIGKILL)
            wait_until(lambda: not is_alive(killed), first.log)
            with site.start() as following:
                assert wait_until_ready(following, 1, 2) == new
                report = workers(following)
                assert [(each["generation"], each["pid"]) for each in report[2:]] == [(0, pid) for pid in old]
                answer(following, 8)
                # Each of the older workers has sent away the first of its watchers, and the others follow in an hour.
                document = site.publish()
                assert sum(follows(wire, document) for wire in wires) >= 10
                end(following)
                assert not any(map(is_alive, (*old, *new)))


def test_crash_before_the_commit(tmp_path: Path) -> None:
    """The new program and its workers end with the old parent. The next parent goes on with the old workers."""
    site = Site(tmp_path)
    site.configure(2, 3600.0)
    with site.start() as first:
        old = wait_until_ready(first, 0, 2)
        with subscribers(first, 4) as wires:
            command = upgrade(first)
            wait_until(lambda: len(running_workers(first.runtime_dir)) > 2, first.log)
            first.process.signal(signal.SIGKILL)
            assert wait_for(command)[0] != 0
            with site.start() as following:
                assert wait_until_ready(following, 0, 2) == old
                document = site.publish()
                assert all(follows(wire, document) for wire in wires)
                wait_until(lambda: len(running_workers(following.runtime_dir)) == 2, following.log)
                running = running_workers(following.runtime_dir)
                assert [(each.generation, each.activity) for each in running] == [(0, Activity.ACCEPTING)] * 2


def test_other_numbers_of_workers(tmp_path: Path) -> None:
    """The sockets are shared out anew: with fewer workers each has several, and with more, several have the same."""
    site = Site(tmp_path)
    site.configure(2, 0.0)
    with site.start() as livefeed:
        wait_until_ready(livefeed, 0, 2)
        for generation, count in ((1, 1), (2, 3)):
            site.configure(count, 0.0)
            code, output = wait_for(upgrade(livefeed))
            assert code == 0, output
            wait_until_ready(livefeed, generation, count)
            wait_until(lambda count=count: len(workers(livefeed)) == count, livefeed.log)  # type: ignore[misc]
            answer(livefeed, 16)
        # A worker that starts later is given the same as those before it.
        dead = workers(livefeed)[2]["pid"]
        os.kill(dead, signal.SIGKILL)
        wait_until(lambda: workers(livefeed)[2]["pid"] not in (None, dead), livefeed.log)
        wait_until_ready(livefeed, 2, 3)
        answer(livefeed, 16)
