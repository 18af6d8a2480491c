"""A server that takes part: its processes, their time and memory, and what all servers are started with."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.tls.development import DevelopmentCertificate

HOST = "127.0.0.1"
SERVER_CORE, LOAD_CORE = 0, 1
START_S = 30
PUBLISH_S = 30
BUILT = Path(__file__).parents[3] / "build" / "bin"
"""The programs that make targets build for the bench."""

Kind = Literal["request", "websocket", "events"]
KINDS_OF_FOLLOWING: tuple[Kind, ...] = ("request", "websocket", "events")
"""Requests that wait for the next version, WebSockets, and event streams."""

CIPHERSUITE = "TLS_AES_128_GCM_SHA256"
"""The cipher suite of all servers in TLS 1.3. livefeed and Go prefer it by default; OpenSSL prefers a slower one."""


@dataclass
class Setting:
    """The setting that all servers are started with.

    :ivar directory: the directory that they may write to.
    :ivar document: the file that they serve.
    :ivar other: the directory of another checkout of livefeed, to be compared with this one; ``None`` if there is none.
    :ivar python: another Python, on which livefeed is measured, too; ``None`` if there is none.
    """

    directory: Path
    document: Path
    certificate: DevelopmentCertificate
    other: Path | None = None
    python: Path | None = None


@dataclass
class Server:
    """A server that runs.

    :ivar name: its name in the tables.
    :ivar port: of HTTPS.
    :ivar plain_port: of HTTP; 0 if it has none.
    :ivar started: when its first process was started, by :func:`time.monotonic`.
    :ivar publish: makes a new version of the document; ``None`` if it is read from the file.
    :cvar polls: whether it answers polls.
    :cvar followed_by: the ways in which clients can be sent each new version.
    """

    polls: ClassVar[bool] = True
    followed_by: ClassVar[tuple[Kind, ...]] = ()

    name: str
    setting: Setting
    port: int = 0
    plain_port: int = 0
    subscribe_path: str = "/feed.ws"
    events_path: str = "/feed.sse"
    wait_path: str = "/feed"
    wait_line: str = "Prefer: wait=50\r\n"
    publish: Callable[[bytes], None] | None = None
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    started: float = 0

    def start(self) -> None:
        """Starts the processes."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.port, self.plain_port = free_ports(2)
        self.start()
        try:
            wait_for_port(self.port, self.processes)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *details: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the processes."""
        self.resume()  # a paused process does not handle SIGTERM
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()

    def pause(self) -> None:
        """Stops the processes where they are, so that they take nothing of the core that all servers share."""
        self._signal(signal.SIGSTOP, self.pids())

    def resume(self) -> None:
        """Lets the processes go on: first those that others look after, which would take them for hung."""
        self._signal(signal.SIGCONT, self.pids()[::-1])

    def _signal(self, number: signal.Signals, pids: list[int]) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    @property
    def slug(self) -> str:
        """The name, as part of a path."""
        return re.sub(r"\W+", "-", self.name)

    def run(self, *arguments: str | Path, directory: Path | None = None) -> None:
        """Starts a process on the servers' core."""
        self.started = self.started or time.monotonic()
        log = (self.setting.directory / f"{self.slug}.log").open("ab")
        with log:
            process = subprocess.Popen(
                ["taskset", "-c", str(SERVER_CORE), *map(str, arguments)],
                cwd=directory or self.setting.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "GOMAXPROCS": "1"},
            )
        self.processes.append(process)

    def pids(self) -> list[int]:
        """Gives the processes, and theirs."""
        # One that has ended and was waited for has a number that may be another's by now.
        found, queue = [], [process.pid for process in self.processes if process.returncode is None]
        while queue:
            pid = queue.pop()
            found.append(pid)
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                with suppress(FileNotFoundError):  # a thread that has ended meanwhile
                    queue += [int(child) for child in task.read_text().split()]
        return found

    def cpu_seconds(self) -> float:
        """Gives the processor time that they have taken."""
        return sum(map(_cpu_seconds, self.pids()))

    def first_cpu_seconds(self) -> float:
        """Gives the processor time of the process that was started first: the parent, if there are workers."""
        return _cpu_seconds(self.processes[0].pid)

    def memory_bytes(self) -> int:
        """Gives the memory in bytes that they have in use, with shared memory counted once."""
        return self.memory("Pss")

    def memory(self, *fields: str) -> int:
        """Gives the sum of some fields of ``smaps_rollup`` (proc_pid_smaps(5)) in bytes, of all processes."""
        lines = (
            line.split() for pid in self.pids() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        )
        return sum(int(words[1]) * 1024 for words in lines if words[0].rstrip(":") in fields)


def _cpu_seconds(pid: int) -> float:
    # As clock_getcpuclockid(3) makes it: the process's own clock, in nanoseconds, where /proc has hundredths.
    return time.clock_gettime(~pid << 3 | 2)


def post(port: int, path: str, body: bytes, kind: str = "application/octet-stream") -> None:
    """Posts a document to a server's location of publishers, by HTTP without TLS.

    :raises RuntimeError: if it is not taken.
    """
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    answer = b""
    with socket.create_connection((HOST, port), timeout=PUBLISH_S) as sock:
        sock.sendall(head.encode() + body)
        while data := sock.recv(65536):
            answer += data
    if not answer.startswith(b"HTTP/1.1 2"):
        raise RuntimeError(f"the publisher's location {path} answered {answer[:80]!r}")


def free_ports(count: int) -> list[int]:
    """Gives ports that no socket listens on now.

    They are below the ports that the kernel gives to connections by itself, which could otherwise take them first.
    """
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(10_000, 32_768)
        with suppress(OSError), closing(socket.create_server((HOST, port))):
            ports += [port] * (port not in ports)
    return ports


def wait_for_port(port: int, processes: list[subprocess.Popen[bytes]]) -> None:
    """Returns when a port takes connections."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        for process in processes:
            if process.poll() is not None:
                raise RuntimeError(f"{process.args!r} has ended with exit code {process.returncode}")
        with closing(socket.socket()) as sock:
            sock.settimeout(1)
            if sock.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port}")
