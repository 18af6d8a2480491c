"""livefeed doctor as a process, with limits that are true ones, and the examples of docs/howto/prepare-a-machine.md."""

from __future__ import annotations

import json
import re
import resource
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from livefeed.cli.doctor_text import COLUMNS
from tests.integration.harness import WAIT_S, environment, free_port

if TYPE_CHECKING:
    from tests.integration.conftest import Start

pytestmark = pytest.mark.startup

LIVEFEED = str(Path(sys.executable).with_name("livefeed"))
FEW_FILES = 256


def doctor(
    tmp_path: Path, *arguments: str, prefix: tuple[str, ...] = (), **more: Any
) -> tuple[int, dict[str, list[dict[str, str]]]]:
    """Runs livefeed doctor --json, and gives its exit code, and its findings by their subjects."""
    done = subprocess.run(
        [*prefix, LIVEFEED, "doctor", "--json", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
        # Another livefeed may run on this machine.
        env={"LIVEFEED_RUNTIME_DIR": str(tmp_path / "run"), **environment(tmp_path)},
        **more,
    )
    assert not done.stderr, done.stderr
    found: dict[str, list[dict[str, str]]] = {}
    for finding in json.loads(done.stdout)["findings"]:
        found.setdefault(finding["subject"], []).append(finding)
    return done.returncode, found


def can_unshare(kind: str) -> bool:
    """Tells whether this user may make a namespace.

    :param kind: the option of ``unshare``.
    """
    try:
        done = subprocess.run(["unshare", kind, "true"], capture_output=True, check=False, timeout=WAIT_S)
    except FileNotFoundError:
        return False
    return done.returncode == 0


def test_few_open_files(tmp_path: Path) -> None:
    """The limit of the shell is found, and the exit code is 1."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (FEW_FILES, FEW_FILES))

    code, found = doctor(tmp_path, "--listen", f"tcp:{free_port()}", preexec_fn=limit)
    (files,) = found["open files"]
    assert (code, files["level"]) == (1, "problem")
    assert files["text"] == "256 in this shell, and 10,256 are needed: room for 0 watchers"
    assert files["mend"].startswith("ulimit -n 16384 (root)")


def test_port_of_another_process(tmp_path: Path) -> None:
    """A port that is taken is a problem; one that is free is not."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, found = doctor(tmp_path, "--listen", f"tcp:{port}:interface=127.0.0.1", "--watchers", "10")
    assert code == 1
    assert [each["text"] for each in found["port"]] == [f"{port}: another process listens on it, at 127.0.0.1"]


def test_livefeed_that_runs(start: Start, tmp_path: Path) -> None:
    """Its own port is no problem, and its limits are those that count."""
    livefeed = start("--source", "demo:?kind=small")
    run = ("--runtime-dir", str(livefeed.runtime_dir))
    _, found = doctor(tmp_path, "--listen", f"tls:{livefeed.port}", *run, "--watchers", "10")
    assert found["port"][0]["text"] == f"{livefeed.port}: the livefeed that runs listens on it"
    assert f" in process {livefeed.process.pid};" in found["open files"][0]["text"]


@pytest.mark.skipif(not can_unshare("--net"), reason="this user may make no namespace of a network")
def test_network_of_its_own(tmp_path: Path) -> None:
    """The kernel's limits are read where livefeed would run, and a port below 1024 needs a capability."""
    change = (
        "echo 100 > /proc/sys/net/core/somaxconn; "
        "echo 40000 40999 > /proc/sys/net/ipv4/ip_local_port_range; "
        "echo 1024 > /proc/sys/net/ipv4/ip_unprivileged_port_start; "
        'exec "$@"'
    )
    without = ("setpriv", "--bounding-set", "-net_bind_service", "--inh-caps", "-net_bind_service")
    prefix = ("unshare", "--net", "sh", "-c", change, "sh", *without)
    code, found = doctor(tmp_path, "--listen", "tcp:80", "--watchers", "5000", prefix=prefix)
    assert found["listen queue"][0]["mend"] == "sysctl -w net.core.somaxconn=4096"
    assert found["ephemeral ports"][0]["text"].startswith("1,000: a proxy has room for 1,000 of 5,000 watchers")
    (port,) = found["port"]
    assert (code, port["level"]) == (1, "problem"), port
    assert port["text"] == "80: only privileged processes may listen below 1024"


def test_source_that_does_not_answer(tmp_path: Path) -> None:
    """The command ends in time, and says so; a password is not shown."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = f"redis://user:secret@127.0.0.1:{silent.getsockname()[1]}/0/key"
        code, found = doctor(tmp_path, "--listen", f"tcp:{free_port()}", "--source", source, "--watchers", "10")
    (failed,) = found["source"]
    assert (code, failed["level"]) == (1, "problem")
    assert "secret" not in json.dumps(found)


def test_terminal(tmp_path: Path) -> None:
    """The text has no colours in a pipe, and 80 columns at most."""
    done = subprocess.run(
        [LIVEFEED, "doctor", "--listen", f"tcp:{free_port()}", "--watchers", "10"],
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
        env=environment(tmp_path),
    )
    assert done.returncode == 0, done.stdout
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= COLUMNS


def test_state_folder_is_left_as_it_is(tmp_path: Path) -> None:
    """Its disk is tried, and nothing is left there."""
    folder = tmp_path / "state"
    folder.mkdir()
    code, found = doctor(tmp_path, "--listen", f"tcp:{free_port()}", "--state-dir", str(folder), "--watchers", "10")
    assert (code, found["state folder"][0]["level"]) in ((0, "ok"), (0, "warning"))
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(not can_unshare("--mount"), reason="this user may make no namespace of mounts")
@pytest.mark.parametrize(("mode", "level"), [("ro", "problem"), ("rw", "warning")])
def test_state_folder_on_another_disk(tmp_path: Path, mode: str, level: str) -> None:
    """One that may not be written to is a problem, and one in memory a warning."""
    folder = tmp_path / "state"
    folder.mkdir()
    mount = f'mount -t tmpfs -o {mode},size=1g none {folder} && exec "$@"'
    prefix = ("unshare", "--mount", "sh", "-c", mount, "sh")
    options = ("--listen", f"tcp:{free_port()}", "--state-dir", str(folder), "--watchers", "10")
    code, found = doctor(tmp_path, *options, prefix=prefix)
    (state,) = found["state folder"]
    assert (code, state["level"]) == (int(level == "problem"), level), state


def test_examples_of_the_page(tmp_path: Path) -> None:
    """Each command of the page is accepted, and the plan has what the page says."""
    text = (Path(__file__).parents[2] / "docs/howto/prepare-a-machine.md").read_text()
    (plan,) = re.findall(r"^\$ livefeed (plan .+)$", text, re.MULTILINE)
    done = subprocess.run([LIVEFEED, *plan.split()], capture_output=True, text=True, check=True, timeout=WAIT_S)
    assert done.stdout.startswith("50,000 watchers of a document of 20,000 bytes")
    assert "Assumptions" in done.stdout
    for option in ("--watchers", "--no-pull", "--json", "--config"):
        assert f"`{option}" in text
    (check,) = set(re.findall(r"livefeed (doctor /etc/\S+ --watchers \d+)$", text, re.MULTILINE))
    _, path, *rest = check.split()
    settings = tmp_path / Path(path).name
    settings.write_text(f"listen = ['tcp:{free_port()}']\n")
    assert doctor(tmp_path, str(settings), *rest)[0] in (0, 1)
