"""The unit for systemd in ``docs/``, and the environment of a service that it runs."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from livefeed.config.settings import OPTIONS, Settings
from livefeed.feed.persistence import STOP_S
from livefeed.process.drain import LONGEST_STOP_S
from livefeed.workers.__main__ import IS_LOCKED
from livefeed.workers.locks import WorkerLock, lock_path
from tests.helpers.peers import peer
from tests.integration.harness import HOST, TCP, TLS, TWISTD, WAIT_S, Livefeed, Process, free_port, run
from tests.integration.proxies import replaced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from livefeed.tls.development import DevelopmentCertificate
    from tests.integration.conftest import Start

pytestmark = pytest.mark.processes

CHECKOUT = Path(__file__).parents[2]
UNITS = CHECKOUT / "docs" / "systemd"
UNIT = UNITS / "livefeed.service"
PAGE = CHECKOUT / "docs" / "howto" / "deploy" / "systemd.md"

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


def words_of_worker(folder: Path, *program: str) -> tuple[int, list[str]]:
    """Gives the exit code of a worker without a parent, and the lines that it prints to the journal."""
    arguments = (*(program or ("-m", "livefeed.workers")), "--link", str(folder / "link.sock"), "--index", "0")
    command = (sys.executable, "-c", TO_THE_JOURNAL, sys.executable, *arguments)
    process = Process(command, directory=CHECKOUT)
    code = process.wait()
    process.close()
    return code, process.text().splitlines()


def values(text: str, key: str) -> list[str]:
    """Gives the values of a key in a unit, with their lines joined."""
    return re.findall(rf"^{key}=(.*)$", text.replace("\\\n", ""), re.MULTILINE)


@pytest.mark.startup
class TestUnit:
    def verify(self, folder: Path, *drop_ins: str) -> list[str]:
        """Gives the complaints of systemd about the service and its socket."""
        program = peer("systemd-analyze", "systemd")
        # There is no livefeed where the units have it.
        for name, source in {
            "livefeed.service": "livefeed.service",
            "livefeed.socket": "livefeed.socket",
            **{f"livefeed.service.d/{each}": each for each in drop_ins},
        }.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(
                re.sub(r"/srv/livefeed/\.venv/bin/\w+", "/bin/true", (UNITS / source).read_text())
            )
        command = [program, "verify", "--man=no", str(folder / "livefeed.service"), str(folder / "livefeed.socket")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return [line for line in (done.stdout + done.stderr).splitlines() if "livefeed" in line]

    def test_is_understood(self, tmp_path: Path) -> None:
        """Systemd finds nothing wrong with it, alone and with a socket; the check does find a mistake."""
        for drop_ins in ((), ("socket.conf",)):
            folder = tmp_path / "-".join(drop_ins)
            folder.mkdir(exist_ok=True)
            assert self.verify(folder, *drop_ins) == []
        (tmp_path / "wrong").mkdir()
        (tmp_path / "wrong" / "livefeed.service.d").mkdir()
        (tmp_path / "wrong" / "livefeed.service.d" / "wrong.conf").write_text("[Service]\nKillMode=nobody\n")
        assert "kill mode" in "".join(self.verify(tmp_path / "wrong"))

    def test_is_hardened(self) -> None:
        """The exposure to an intruder, as systemd-analyze measures it, is below 1.7 of 10."""
        program = peer("systemd-analyze", "systemd")
        command = [program, "security", "--offline=yes", "--no-pager", str(UNIT)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        exposure = re.search(r"Overall exposure level for livefeed.service: ([0-9.]+)", done.stdout)
        assert exposure, done.stdout + done.stderr
        assert float(exposure[1]) < 1.7

    def test_options_exist(self) -> None:
        """Each option of livefeed in the units is one that it has."""
        for name in ("livefeed.service", "socket.conf"):
            (command,) = filter(None, values((UNITS / name).read_text(), "ExecStart"))
            _, options = command.split(" livefeed ")
            unknown = {
                option for option in re.findall(r"--([a-z-]+)", options) if option.replace("-", "_") not in OPTIONS
            }
            assert unknown == set(), name

    def test_there_is_time_to_stop(self) -> None:
        """The limit of a stop is longer than the phases of a drain, with the defaults."""
        (limit,) = values(UNIT.read_text(), "TimeoutStopSec")
        defaults = Settings()
        assert float(limit) > defaults.drain_delay + defaults.drain + LONGEST_STOP_S + STOP_S

    def test_user_and_groups(self, tmp_path: Path) -> None:
        """The users and groups that the unit names are made by systemd-sysusers."""
        program = peer("systemd-sysusers", "systemd")
        (tmp_path / "etc").mkdir()
        command = [program, f"--root={tmp_path}", str(UNITS / "sysusers.conf")]
        subprocess.run(command, capture_output=True, timeout=60, check=True)
        text = UNIT.read_text()
        users = [line.split(":")[0] for line in (tmp_path / "etc" / "passwd").read_text().splitlines()]
        members = {
            name: members
            for name, _, _, members in (
                line.split(":") for line in (tmp_path / "etc" / "group").read_text().splitlines()
            )
        }
        assert users == values(text, "User")
        (group,) = values(text, "SupplementaryGroups")
        assert members[group] == users[0]
        assert f"--admin-group {group}" in text

    @pytest.mark.parametrize(
        ("result", "status", "is_killed"),
        [
            ("success", "0", True),
            ("timeout", "KILL", True),
            ("timeout", "0", False),  # a start that took too long; it is tried again
            ("signal", "KILL", False),
            ("watchdog", "ABRT", False),
            ("exit-code", "1", False),
        ],
    )
    def test_workers_that_are_left(self, tmp_path: Path, result: str, status: str, is_killed: bool) -> None:
        """They are killed after a stop, and serve on after a crash."""
        (line,) = values(UNIT.read_text(), "ExecStopPost")
        found = re.fullmatch(r"-/bin/sh -c '(.*)'", line)
        assert found
        # Never with the real control group, which has all processes of this machine.
        script = found[1].replace("$$$$", "$$").replace("%n", "livefeed.service")
        script = replaced(script, {"/proc/self/cgroup": f"{tmp_path}/cgroup", "/sys/fs/cgroup": str(tmp_path)})
        folder = tmp_path / "system.slice" / "livefeed.service"
        folder.mkdir(parents=True)
        (tmp_path / "cgroup").write_text("1:name=systemd:/\n0::/system.slice/livefeed.service\n")
        with ExitStack() as stack:
            left = [stack.enter_context(subprocess.Popen(["sleep", "60"])) for _ in range(2)]
            for each in left:
                stack.callback(each.kill)
            # It stands in the list itself, and processes of other namespaces do so as 0.
            (folder / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in (0, *(each.pid for each in left))))
            launcher = 'echo $$ >>"$2" && exec sh -c "$1"'
            done = subprocess.run(
                ["/bin/sh", "-c", launcher, "sh", script, str(folder / "cgroup.procs")],
                env={"PATH": "/usr/bin:/bin", "SERVICE_RESULT": result, "EXIT_STATUS": status},
                timeout=60,
                start_new_session=True,
                check=False,
            )
            assert done.returncode >= 0, "it has killed itself"
            if is_killed:
                assert [each.wait(WAIT_S) for each in left] == [-signal.SIGKILL] * 2
            assert [each.poll() is None for each in left] == [not is_killed] * 2

    def test_wrong_setting_is_not_tried_again(self, tmp_path: Path) -> None:
        """The exit code of a start that would fail again is one after which systemd leaves it."""
        code, _ = run(tmp_path, "--interval", "0")
        prevented = re.search(r"^RestartPreventExitStatus=(.*)$", UNIT.read_text(), re.MULTILINE)
        assert prevented
        assert str(code) in prevented[1].split()

    def test_stands_in_the_docs(self) -> None:
        """The units in the docs are the tested ones."""
        for name in ("livefeed.service", "livefeed.socket", "socket.conf", "sysusers.conf"):
            assert f"```{{literalinclude}} ../../systemd/{name}\n" in PAGE.read_text()


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

    @pytest.mark.startup
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

    @pytest.mark.startup
    def test_a_refusal_has_its_priority(self, tmp_path: Path) -> None:
        """Before there is a log, and in it."""
        code, output = run(tmp_path, "--push", "never", command=by(TO_THE_JOURNAL))
        assert (code, output) == (1, "<3>livefeed: --push: 'never' is not tick or change\n")
        code, output = run(tmp_path, "--listen", f"unix:{tmp_path}/no/socket", command=by(TO_THE_JOURNAL))
        (line,) = [line for line in output.splitlines() if "livefeed: --listen: " in line]
        assert re.match("<[23]>", line), output

    @pytest.mark.startup
    def test_the_last_words_of_a_worker_have_their_priority(self, tmp_path: Path) -> None:
        """Those that it prints before it has a log: a refusal, and each line of a traceback."""
        lock = WorkerLock.take(lock_path(tmp_path, 0, 0))
        assert lock is not None
        assert words_of_worker(tmp_path) == (IS_LOCKED, ["<3>worker 0 of generation 0 runs already"])
        code, lines = words_of_worker(tmp_path / "missing")
        assert code == 1
        assert len(lines) > 1, lines
        assert all(line.startswith("<3>") for line in lines), lines

    @pytest.mark.startup
    def test_the_traceback_of_a_thread_of_a_worker_has_its_priority(self, tmp_path: Path) -> None:
        """Python prints it by itself, and it becomes lines of the log."""
        broken = "t = threading.Thread(target=int, args=('x',)); t.start(); t.join(); self.reactor.stop()"
        program = f"""
import sys, threading
from livefeed.workers import __main__ as program, worker
def begin(self):
    {broken}
worker.Worker.startService = begin
sys.exit(program.main())
"""
        code, lines = words_of_worker(tmp_path, "-c", program)
        assert code == 0
        (end,) = [number for number, line in enumerate(lines) if "worker 0: ValueError: " in line]
        assert end > 1, lines
        assert all(line.startswith("<3>") for line in lines[: end + 1]), lines

    @pytest.mark.startup
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


class TestInheritedSocket:
    """The socket of a ``.socket`` unit."""

    @pytest.mark.parametrize("wanted", ["index=0", "name=web"])
    def test_it_is_served(self, start: Start, wanted: str) -> None:
        """It is passed on as systemd does it, and chosen by its number or its name."""
        port = free_port()
        launcher = f"""
import os, socket, sys
os.dup2(socket.create_server(({HOST!r}, {port})).detach(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="web")
os.execv(sys.argv[1], sys.argv[1:])
"""
        start(listen=(f"systemd:domain=INET:{wanted}",), command=by(launcher))
        answer = httpx.get(f"http://{HOST}:{port}/feed", trust_env=False)
        assert answer.status_code == 200


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
