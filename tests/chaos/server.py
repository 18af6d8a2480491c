"""livefeed as the scenarios treat it: one configuration, one port, and any number of processes after each other."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
import uuid
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Self

import httpx

from livefeed.tls.development import development_certificate
from tests.integration.harness import HOST, TWISTD, Process, environment, free_port, replace_file, runtime_dir

if TYPE_CHECKING:
    from collections.abc import Mapping

_MARK = "CHAOS_RUN"
"""The variable that marks the processes of one livefeed. Those that begin with LIVEFEED_ are settings."""

_HELP_S = 60.0
_OPTION = re.compile(r"^\s+--([a-z][a-z-]*)", re.MULTILINE)

READY_S = 60.0
"""The longest time in seconds that livefeed may take to listen with a live feed."""

WORKERS_S = 40.0
"""The longest time in seconds from the first feed that is live to the last worker that serves."""

COMMAND_S = 240.0
"""The longest time in seconds that a command may take. An upgrade starts all workers anew."""

STOP_S = 120.0
"""The longest time in seconds that livefeed may take to stop."""


class ServerError(Exception):
    """livefeed does not do what a scenario needs."""


class NotSupportedError(Exception):
    """This livefeed cannot be put to a scenario."""


def pss_bytes(pid: int) -> int:
    """Gives the memory of a process; pages that processes share are divided among them."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB$", rollup, re.MULTILINE)
    assert found is not None, rollup
    return int(found[1]) * 1024


def cpu_seconds(pid: int) -> float:
    """Gives the processor time of a process; 0 if it has ended."""
    try:
        # As clock_getcpuclockid(3) makes it: the process's own clock, in nanoseconds, where /proc has hundredths.
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return 0.0


def socket_bytes() -> int:
    """Gives the memory of all TCP sockets of this machine, both ends of each connection, in the kernel's count."""
    found = re.search(r"^TCP:.* mem (\d+)$", Path("/proc/net/sockstat").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * os.sysconf("SC_PAGE_SIZE")


def supported_options() -> set[str]:
    """Gives the names of livefeed's options, without the dashes."""
    command = [*TWISTD, "livefeed", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_HELP_S).stdout
    return set(_OPTION.findall(text))


@dataclass(frozen=True, slots=True)
class ServerUsage:
    """The resources of livefeed.

    :ivar cpu_s: seconds of processor time of each process, by its id.
    :ivar parent: the id of the process that was started last.
    :ivar late_s: total seconds by which a timer of all processes was late.
    :ivar measured: number of times that it ran.
    """

    cpu_s: Mapping[int, float]
    parent: int
    late_s: float
    measured: int

    def since(self, before: ServerUsage, seconds: float) -> str:
        """Gives the usage of a time, for the report. That of processes that have ended is unknown; a new parent counts
        from its start.

        :param before: the usage at the begin of the time.
        :param seconds: its length.
        """
        cores = {pid: (cpu_s - before.cpu_s.get(pid, 0.0)) / seconds for pid, cpu_s in self.cpu_s.items()}
        late_s, measured = self.late_s, self.measured
        if self.parent == before.parent:
            late_s, measured = late_s - before.late_s, measured - before.measured
        late_ms = late_s / max(1, measured) * 1e3
        return (
            f"livefeed: {sum(cores.values()):.3f} cores, of which {cores.get(self.parent, 0.0):.3f} by the process "
            f"that was started last; its timers were {late_ms:.1f} ms late on average"
        )


class Publisher:
    """Writes another document into a file each second; leaving the context ends that.

    A document is ``{"n": NUMBER, "at": TIME, "filling": …}``; the time is that of CLOCK_MONOTONIC.

    :param path: the file.
    :param size: of a document, in bytes.
    :param interval_s: seconds from one document to the next.
    """

    def __init__(self, path: Path, *, size: int, interval_s: float = 1.0) -> None:
        self.path = path
        self._size = size
        self._interval_s = interval_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._number = 0

    def __enter__(self) -> Self:
        self._write()
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._stopped.set()
        self._thread.join()

    def document(self) -> bytes:
        """Gives the next document."""
        self._number += 1
        begin = f'{{"n": {self._number}, "at": {time.monotonic():.6f}, "filling": "'
        return f'{begin}{"x" * max(0, self._size - len(begin) - 2)}"}}'.encode()

    def _write(self) -> None:
        replace_file(self.path, self.document())

    def _run(self) -> None:
        due = time.monotonic()
        while True:
            due += self._interval_s
            if self._stopped.wait(max(0.0, due - time.monotonic())):
                return
            self._write()


class Server:
    """livefeed with a configuration file, on a port that it keeps for its whole life.

    Leaving the context ends all processes that came from it, also those that it has started itself. They are found by
    a variable of their environment, which no other process has.

    :param directory: for its files.
    :param feeds: the file of each feed, by its name.
    :param workers: number of workers; 0 for one process.
    :param settings: more settings of the configuration file, as TOML.
    """

    def __init__(self, directory: Path, feeds: Mapping[str, Path], *, workers: int, settings: str = "") -> None:
        self._stack = contextlib.ExitStack()
        self._directory = directory
        self._workers = workers
        self._settings = settings
        self._run = uuid.uuid4().hex
        self._runtime_dir = runtime_dir(self._stack)
        self._logs: list[Process] = []
        self.feeds = dict(feeds)
        self.port = free_port()
        self.config = directory / "livefeed.toml"
        certificate = development_certificate(directory / "certs")
        self.authority = certificate.ca
        self.cert, self.key = directory / "cert.pem", directory / "key.pem"
        shutil.copy(certificate.cert, self.cert)
        shutil.copy(certificate.key, self.key)
        self.write_config()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{HOST}:{self.port}"

    @property
    def parent(self) -> Process:
        """The process that was started last."""
        return self._logs[-1]

    def log(self) -> str:
        """Gives the log of all processes that were started."""
        return "".join(process.text() for process in self._logs)

    def write_config(self) -> None:
        """Writes the configuration file with the feeds of now."""
        lines = [
            f'listen = ["tls:{self.port}:interface={HOST}"]',
            f"cert = {json.dumps(str(self.cert))}",
            f"key = {json.dumps(str(self.key))}",
            f"runtime_dir = {json.dumps(str(self._runtime_dir))}",
            *([f"workers = {self._workers}"] if self._workers else []),
            self._settings,
        ]
        for name, path in self.feeds.items():
            lines += [f"[feeds.{name}]", f"source = {json.dumps(f'file:{path}')}"]
        replace_file(self.config, "\n".join([*lines, ""]).encode())

    def start(self) -> None:
        """Starts livefeed, and returns when it listens with a live feed."""
        variables = {**environment(self._directory), _MARK: self._run}
        command = [*TWISTD, "livefeed", "--config", str(self.config)]
        self._logs.append(Process(command, directory=self._directory, environment=variables))
        self.parent.wait_for("listening on ", READY_S)
        self.parent.wait_for('feed "feed" is live', READY_S)

    def processes(self) -> dict[int, str]:
        """Gives the command lines of all live processes of this livefeed, by their ids."""
        return {pid: line for pid in _pids() if self._is_ours(pid) and (line := _command_line(pid))}

    def workers(self) -> list[int]:
        """Gives the ids of the workers."""
        return sorted(pid for pid, line in self.processes().items() if "livefeed.workers" in line)

    def has_workers(self, count: int) -> bool:
        """Whether so many workers run and livefeed is ready, as soon as it is so."""
        late = time.monotonic() + WORKERS_S
        while len(self.workers()) < count or not self._is_ready():
            if time.monotonic() > late:
                return False
            time.sleep(0.2)
        return True

    def catches(self, number: signal.Signals) -> bool:
        """Whether the parent has a handler for a signal; the default of most ends the process."""
        status = Path(f"/proc/{self.parent.pid}/status").read_text()
        found = re.search(r"^SigCgt:\s+([0-9a-f]+)$", status, re.MULTILINE)
        assert found is not None, status
        return bool(int(found[1], 16) >> (number - 1) & 1)

    def reload(self) -> None:
        """Sends SIGHUP, and returns when the log has the result.

        :raises ServerError: if the reload was refused.
        """
        mark = self.parent.mark()
        self.parent.signal(signal.SIGHUP)
        self.parent.wait_for(r"reloaded|the reload has changed nothing", READY_S, start=mark)
        text = self.parent.text(mark)
        if "the reload has changed nothing:" in text:
            raise ServerError(text)

    def command(self, name: str, **arguments: bool) -> None:
        """Gives a command on the operator's socket.

        :raises NotSupportedError: if this livefeed does not have it.
        :raises ServerError: if it fails.
        """
        with self._operator() as client:
            response = client.post(f"/-/{name}", json=arguments, timeout=COMMAND_S)
        if response.status_code == HTTPStatus.NOT_IMPLEMENTED:
            raise NotSupportedError(f"{name} is not a command of this livefeed as it runs")
        if response.status_code != HTTPStatus.OK:
            raise ServerError(f"{name} was answered {response.status_code}: {response.text}")

    def renew_certificate(self) -> None:
        """Puts another certificate and its key in the place of those of now."""
        fresh = development_certificate(self._directory / f"certs-{uuid.uuid4().hex}")
        replace_file(self.key, fresh.key.read_bytes())
        replace_file(self.cert, fresh.cert.read_bytes())

    def kill(self, pid: int) -> None:
        """Kills one process of this livefeed.

        :raises ServerError: if it is another process.
        """
        if not self._is_ours(pid):
            raise ServerError(f"the process {pid} is not one of this livefeed")
        os.kill(pid, signal.SIGKILL)

    def terminate(self) -> int:
        """Sends SIGTERM to the parent, and gives its exit code."""
        self.parent.signal(signal.SIGTERM)
        return self.parent.wait(STOP_S)

    def memory_bytes(self) -> int:
        """Gives the memory of all processes."""
        return sum(pss_bytes(pid) for pid in self.processes())

    def usage(self) -> ServerUsage:
        """Gives the processor time of the live processes, and the lag of their loops."""
        return ServerUsage({pid: cpu_seconds(pid) for pid in self.processes()}, self.parent.pid, *self._lag())

    def _lag(self) -> tuple[float, int]:
        with self._operator() as client:
            text = client.get("/metrics").text
        seconds, count = (
            sum(map(float, re.findall(rf"^livefeed_loop_lag_{name}_total(?:{{.*}})? (\S+)$", text, re.MULTILINE)))
            for name in ("seconds", "measurements")
        )
        return seconds, int(count)

    def close(self) -> None:
        """Ends all processes."""
        for process in self._logs:
            process.signal(signal.SIGKILL)
        # A process that was being started when the others were found is found in the next round.
        while pids := self.processes():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        for process in self._logs:
            process.close()
        self._stack.close()

    def _operator(self) -> httpx.Client:
        transport = httpx.HTTPTransport(uds=str(self._runtime_dir / "admin.sock"))
        return httpx.Client(transport=transport, base_url="http://localhost", trust_env=False, timeout=READY_S)

    def _is_ready(self) -> bool:
        with self._operator() as client:
            return client.get("/-/ready").status_code == HTTPStatus.OK

    def _is_ours(self, pid: int) -> bool:
        try:
            return f"{_MARK}={self._run}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return False


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _command_line(pid: int) -> str:
    """Gives the command line of a process; nothing if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
