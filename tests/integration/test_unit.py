"""The unit for systemd in ``docs/``, and the environment of a service that it runs."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.harness import TCP, TLS, TWISTD, WAIT_S, Livefeed, peer, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from livefeed.tls.development import DevelopmentCertificate
    from tests.integration.conftest import Start

CHECKOUT = Path(__file__).parents[2]
UNIT = CHECKOUT / "docs" / "livefeed.service"

# By PR_SET_MDWE, which Linux has since 6.3, and systemd uses.
WITHOUT_WRITE_EXECUTE = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(65, 1, 0, 0, 0):
    sys.exit(f"PR_SET_MDWE: {os.strerror(ctypes.get_errno())}")
if len(sys.argv) > 1:
    os.execv(sys.argv[1], sys.argv[1:])
"""
TO_THE_JOURNAL = """
import os, sys
status = os.fstat(1)
os.environ["JOURNAL_STREAM"] = f"{status.st_dev}:{status.st_ino}"
os.execv(sys.argv[1], sys.argv[1:])
"""


def by(launcher: str) -> tuple[str, ...]:
    """Gives the command of a livefeed that is started by a program."""
    return (sys.executable, "-c", launcher, *TWISTD)


class TestUnit:
    def test_is_understood(self, tmp_path: Path) -> None:
        """Systemd finds nothing wrong with it."""
        program = peer("systemd-analyze", "systemd")
        unit = tmp_path / "livefeed.service"
        # There is no livefeed where the unit has it.
        unit.write_text(UNIT.read_text().replace("/srv/livefeed/.venv/bin/twistd", "/bin/true"))
        done = subprocess.run(
            [program, "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60, check=False
        )
        about_it = [line for line in (done.stdout + done.stderr).splitlines() if "livefeed" in line]
        assert about_it == []

    def test_is_hardened(self) -> None:
        """The exposure to an intruder, as systemd-analyze measures it, is below 3 of 10."""
        program = peer("systemd-analyze", "systemd")
        command = [program, "security", "--offline=yes", "--no-pager", str(UNIT)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        exposure = re.search(r"Overall exposure level for livefeed.service: ([0-9.]+)", done.stdout)
        assert exposure, done.stdout + done.stderr
        assert float(exposure[1]) < 3

    def test_wrong_setting_is_not_tried_again(self, tmp_path: Path) -> None:
        """The exit code of a start that would fail again is one after which systemd leaves it."""
        code, _ = run(tmp_path, "--interval", "0")
        prevented = re.search(r"^RestartPreventExitStatus=(.*)$", UNIT.read_text(), re.MULTILINE)
        assert prevented
        assert str(code) in prevented[1].split()

    def test_stands_in_the_docs(self) -> None:
        """The unit in the docs is the tested one."""
        assert "```{literalinclude} livefeed.service" in (CHECKOUT / "docs" / "operations.md").read_text()


class TestWithoutWritableExecutableMemory:
    """MemoryDenyWriteExecute, and SELinux without execmem."""

    @pytest.fixture(autouse=True)
    def kernel(self) -> None:
        """Skips the tests on a kernel that is too old."""
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_WRITE_EXECUTE], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(done.stderr)

    def test_plain_http_is_served(self, start: Start, tmp_path: Path) -> None:
        """Polls, WebSockets, and versions that are kept."""
        options = ("--state-dir", str(tmp_path / "state"))
        livefeed = start(*options, listen=(TCP,), command=by(WITHOUT_WRITE_EXECUTE))
        assert livefeed.http.get("/feed").status_code == 200
        with livefeed.websocket() as subscriber:
            assert subscriber.recv(timeout=WAIT_S)
        assert livefeed.terminate() == 0

    def test_tls_is_refused(self, tmp_path: Path, certificate: DevelopmentCertificate) -> None:
        """The start fails with one line and the remedy: pyOpenSSL makes its callbacks in such memory."""
        files = ("--cert", str(certificate.cert), "--key", str(certificate.key))
        for option, value in (("--listen", TLS), ("--source", "https://h/"), ("--source", "rediss://h/0/k")):
            code, output = run(tmp_path, *files, option, value, command=by(WITHOUT_WRITE_EXECUTE))
            assert code == 1
            assert output.startswith(f"livefeed: {option}: TLS needs memory that is written and then executed"), output
            assert "set MemoryDenyWriteExecute=no" in output
            assert len(output.splitlines()) == 1, output


class TestJournal:
    def test_each_line_has_its_priority(self, tmp_path: Path) -> None:
        """The priorities let `journalctl -p warning` find the important lines."""
        source = f"file:{tmp_path / 'missing.json'}"
        options = ("--source", source)
        command = by(TO_THE_JOURNAL)
        with Livefeed(
            *options, directory=tmp_path, certificate=None, listen=(TLS,), command=command, live=False
        ) as livefeed:
            livefeed.wait_for_log("is stale")
            assert livefeed.terminate() == 0
            lines = livefeed.log().splitlines()
        assert all(re.match(r"<[2-6]>\d{4}-", line) for line in lines), lines
        for priority, text in ((6, "listening on"), (4, "serving a development certificate"), (4, "is stale")):
            (line,) = [line for line in lines if text in line]
            assert line.startswith(f"<{priority}>"), line

    def test_a_refusal_has_its_priority(self, tmp_path: Path) -> None:
        """Before there is a log, and in it."""
        code, output = run(tmp_path, "--push", "never", command=by(TO_THE_JOURNAL))
        assert (code, output) == (1, "<3>livefeed: --push: 'never' is not tick or change\n")
        code, output = run(tmp_path, "--listen", f"unix:{tmp_path}/no/socket", command=by(TO_THE_JOURNAL))
        (line,) = [line for line in output.splitlines() if "livefeed: --listen: " in line]
        assert re.match("<[23]>", line), output

    def test_elsewhere_there_are_no_priorities(self, start: Start, tmp_path: Path) -> None:
        """Such as in a log file, or where the journal reads another stream of an ancestor."""
        log = tmp_path / "livefeed.log"
        code, output = run(tmp_path, "--push", "never", variables={"JOURNAL_STREAM": "1:1"})
        assert (code, output) == (1, "livefeed: --push: 'never' is not tick or change\n")
        code, _ = run(
            tmp_path, "--listen", f"unix:{tmp_path}/no/socket", command=(*by(TO_THE_JOURNAL), f"--logfile={log}")
        )
        assert code == 1
        assert all(re.match(r"\d{4}-", line) for line in log.read_text().splitlines())


class TestNotify:
    """The messages that a service of ``Type=notify`` sends to systemd."""

    @pytest.fixture
    def manager(self, tmp_path: Path) -> Iterator[socket.socket]:
        """Gives the socket that the service is told of."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.bind(str(tmp_path / "notify"))
            sock.settimeout(WAIT_S)
            yield sock

    def command(self, tmp_path: Path) -> tuple[str, ...]:
        launcher = f"""
import os, sys
os.environ.update(NOTIFY_SOCKET={str(tmp_path / "notify")!r}, WATCHDOG_USEC="1000000", WATCHDOG_PID=str(os.getpid()))
os.execv(sys.argv[1], sys.argv[1:])
"""
        return by(launcher)

    def until(self, manager: socket.socket, beginning: str) -> list[str]:
        """Gives all messages up to one that begins so."""
        told = [manager.recv(65536).decode()]
        while not told[-1].startswith(beginning):
            told.append(manager.recv(65536).decode())
        return told

    def test_from_the_start_to_the_end(self, start: Start, tmp_path: Path, manager: socket.socket) -> None:
        """READY comes when the port serves, then signs of life and a line of status, and a message at the stop."""
        livefeed = start(listen=(TCP,), command=self.command(tmp_path))
        self.until(manager, "READY=1")
        assert livefeed.http.get("/feed").status_code == 200
        self.until(manager, "STATUS=feeds: 1 live; 0 subscribers; 1 connections")
        assert "READY=1" not in self.until(manager, "WATCHDOG=1")
        assert livefeed.terminate() == 0
        self.until(manager, "STOPPING=1")

    def test_source_that_is_down(self, start: Start, tmp_path: Path, manager: socket.socket) -> None:
        """Other units do not wait for it: livefeed is ready after the first attempt, and the status names the feed."""
        source = f"file:{tmp_path / 'missing.json'}"
        livefeed = start("--source", source, listen=(TCP,), command=self.command(tmp_path), live=False)
        self.until(manager, "READY=1")
        assert livefeed.http.get("/feed").status_code == 503
        self.until(manager, "STATUS=feeds: 1 stale (feed);")


class TestPluginCache:
    def test_a_cache_that_cannot_be_written_is_no_matter(self, tmp_path: Path) -> None:
        """A service may not write where programs are, and Twisted says so at each start."""
        folder = tmp_path / "path" / "twisted" / "plugins"
        (folder / "dropin.cache" / "full").mkdir(parents=True)
        (folder / "nothing.py").write_text("")
        launcher = f"""
import os, sys
os.environ["PYTHONPATH"] = {str(tmp_path / "path")!r}
os.execv(sys.argv[1], sys.argv[1:])
"""
        with Livefeed(directory=tmp_path, certificate=None, listen=(TCP,), command=by(launcher)) as livefeed:
            assert livefeed.http.get("/feed").status_code == 200
            assert "plugin cache" not in livefeed.log()
            assert "starting up" in livefeed.log()
