"""Upgrades with real processes: the program on disk takes over while watchers follow, or fails and changes nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from livefeed.workers.locks import running_workers
from tests.helpers.waiting import wait_until
from tests.integration.harness import TCP, WAIT_S, Livefeed, Polling, replace_file
from tests.integration.killing import Publishing
from tests.integration.upgrading import CTL, UPGRADE_S, end, is_zombie, parent, pids, report, upgrade, wait_until_ready

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from livefeed.tls.development import DevelopmentCertificate

pytestmark = pytest.mark.chosen


def order(sequence: str) -> tuple[int, ...]:
    """Gives a sequence in a form that can be compared."""
    return tuple(map(int, sequence.split(".")))


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket of a service manager, which the livefeed that is started next is told of."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        sock.settimeout(WAIT_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        yield sock


def told(manager: socket.socket, beginning: str) -> str:
    """Reads the messages to the service manager up to one that begins so, and gives its rest."""
    while not (text := manager.recv(4096).decode()).startswith(beginning):
        pass
    return text.removeprefix(beginning)


@pytest.fixture
def livefeed(certificate: DevelopmentCertificate, tmp_path: Path) -> Iterator[Livefeed]:
    """A livefeed with two workers, a configuration file, and a file as its source."""
    source = tmp_path / "document.json"
    replace_file(source, b'{"n": 0}')
    config = tmp_path / "livefeed.toml"
    settings = f'workers = 2\ninterval = 0.2\ndrain = 0.5\nsource = "file:{source}"\nstate_dir = "state"\n'
    # The figures are sent to workers each second, also while the next parent prepares itself.
    config.write_text(f"{settings}page_figures = true\n")
    with Livefeed("--config", str(config), directory=tmp_path, certificate=certificate, listen=(TCP,)) as running:
        wait_until_ready(running)
        try:
            yield running
        finally:
            end(running)


def publish(tmp_path: Path, number: int) -> None:
    """Changes the document."""
    replace_file(tmp_path / "document.json", b'{"n": %d}' % number)


def test_upgrade(manager: socket.socket, livefeed: Livefeed, tmp_path: Path) -> None:
    """Subscribers are sent away in order, polls are answered throughout, and sequences go on; twice in a row."""
    assert told(manager, "READY=") == "1"
    for number in (1, 2):
        upgrade_and_watch(livefeed, tmp_path, number)
        # The service manager follows each time.
        assert told(manager, "MAINPID=") == str(parent(livefeed))
    assert 'livefeed_upgrades_total{result="done"} 2.0' in livefeed.metrics()


def upgrade_and_watch(livefeed: Livefeed, tmp_path: Path, number: int) -> None:
    """Upgrades to a generation while a subscriber and a poller follow: by the command first, and then by the signal."""
    before, workers = parent(livefeed), pids(livefeed)
    first, second = b"%d" % (100 + number), b"%d" % (200 + number)
    with (
        Polling(livefeed, pause_s=0.02) as polling,
        livefeed.subscriber_wire() as wire,
        ThreadPoolExecutor(1) as reading,
    ):
        wire.frame()
        # All the time: a client that reads nothing for three seconds after the close frame is cut off.
        closed = reading.submit(wire.frame_of, 0x8)
        publish(tmp_path, 100 + number)
        polling.wait_for(lambda answer: first in answer.body)
        epoch = order(polling.answers[-1].headers["Livefeed-Sequence"])[0]
        if number == 1:
            code, output = upgrade(livefeed)
            assert code == 0, output
        else:
            os.kill(before, signal.SIGUSR2)
        livefeed.process.wait_for("this process \\(\\d+\\) has taken over", UPGRADE_S, count=number)
        assert parent(livefeed) != before
        assert closed.result(UPGRADE_S)[:2] == b"\x03\xe9"
        publish(tmp_path, 200 + number)
        last = order(polling.wait_for(lambda answer: second in answer.body).headers["Livefeed-Sequence"])
    # Old and new workers answer side by side while the old ones drain.
    assert (last[0], last) == (epoch, max(order(each.headers["Livefeed-Sequence"]) for each in polling.answers))
    assert {answer.status for answer in polling.answers} == {200}
    # A keep-alive connection may end while a request is on its way.
    assert len(polling.failures) <= 1, polling.failures
    wait_until_ready(livefeed)
    assert not workers & pids(livefeed)
    assert {each["generation"] for each in report(livefeed, "/-/workers")} == {number}
    wait_until(lambda: is_zombie(before), livefeed.log)


def test_refusals(livefeed: Livefeed) -> None:
    """Without --unsupervised it is refused, by the command and by the signal, since nothing can follow the process."""
    code, output = upgrade(livefeed)
    assert code == 1
    assert "the upgrade is refused: the process that has started livefeed may wait for this one" in output
    livefeed.process.signal(signal.SIGUSR2)
    livefeed.process.wait_for("the upgrade is refused", count=2)
    assert parent(livefeed) == livefeed.pid


def test_failures(livefeed: Livefeed, tmp_path: Path) -> None:
    """A configuration that cannot work, and a program that is killed: the old parent goes on, with all watchers."""
    config = tmp_path / "livefeed.toml"
    good = config.read_text()
    workers = pids(livefeed)
    with livefeed.subscriber_wire() as wire:
        config.write_text(good + "intervall = 3\n")
        code, output = upgrade(livefeed, "--unsupervised")
        assert (code, "intervall" in output) == (1, True), output
        config.write_text(good.replace("workers = 2", "workers = 0"))
        code, output = upgrade(livefeed, "--unsupervised")
        assert (code, "an upgrade needs workers" in output) == (1, True), output
        config.write_text(good)
        with subprocess.Popen(
            [CTL, "ctl", "upgrade", "--unsupervised", "--runtime-dir", str(livefeed.runtime_dir)],
            stderr=subprocess.PIPE,
            text=True,
        ) as command:
            livefeed.wait_for_log("upgrade: waiting for the workers")
            # It must not be done before it is killed.
            os.kill(new_program(livefeed), signal.SIGSTOP)
            # A command meanwhile is refused, with the reason.
            with livefeed.operator() as client:
                response = client.post("/-/reload", json={})
                assert (response.status_code, "an upgrade runs" in response.text) == (503, True)
            os.kill(new_program(livefeed), signal.SIGKILL)
            _, error = command.communicate(timeout=WAIT_S)
        assert (command.returncode, "was ended by signal 9" in error) == (1, True), error
        assert (parent(livefeed), pids(livefeed)) == (livefeed.pid, workers)
        with livefeed.operator() as client:
            assert client.post("/-/reload", json={}).status_code == 200
        publish(tmp_path, 77)
        while b"77" not in wire.frame()[1]:
            pass
    assert 'livefeed_upgrades_total{result="failed"} 3.0' in livefeed.metrics()


def test_old_parent_that_dies(livefeed: Livefeed) -> None:
    """Before the commit, the new parent ends with its workers, and those of the old one serve on."""
    workers = pids(livefeed)
    command = [CTL, "ctl", "upgrade", "--unsupervised", "--runtime-dir", str(livefeed.runtime_dir)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running, livefeed.subscriber_wire() as wire:
        livefeed.wait_for_log("upgrade: waiting for the workers")
        livefeed.process.signal(signal.SIGKILL)
        livefeed.process.wait_for("the old parent has gone before it has handed over", UPGRADE_S)
        wait_until(lambda: is_zombie(new_program(livefeed)), livefeed.log)
        assert running.wait(WAIT_S) == 1
        assert {each.pid for each in running_workers(livefeed.runtime_dir)} == workers
        wire.frame()


def new_program(livefeed: Livefeed) -> int:
    """Gives the process of the new program, by the log."""
    lines = [line for line in livefeed.log().splitlines() if "the new program runs as process" in line]
    return int(lines[-1].rpartition(" ")[2])


def test_documents_that_are_stored_during_an_upgrade(
    manager: socket.socket, certificate: DevelopmentCertificate, tmp_path: Path
) -> None:
    """The store is handed over with everything that was answered. Publishers are at most told to come back."""
    config = tmp_path / "livefeed.toml"
    config.write_text('workers = 1\ninterval = 0.2\ndrain = 0.5\nsource = "store:"\nstate_dir = "state"\n')
    options = ("--config", str(config))
    with Livefeed(*options, directory=tmp_path, certificate=certificate, listen=(TCP,), live=False) as livefeed:
        try:
            publishing = Publishing(10_000)
            publishing.start(livefeed)
            publishing.wait_for(10)
            code, output = upgrade(livefeed)
            assert code == 0, output
            publishing.wait_for(len(publishing.sent) + 10)
            publishing.stop()
            publishing.check(livefeed)
            assert {200, 201} & publishing.statuses
            assert publishing.statuses <= {200, 201, 202, 503}
            (shown,) = report(livefeed, "/status")["feeds"]
            (stored,) = report(livefeed, "/feeds")
            assert shown["version"] == stored["version"]
        finally:
            end(livefeed)
    assert told(manager, "MAINPID=")
