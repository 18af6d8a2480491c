"""The load: wrk for requests, and a client of its own for subscribers, since no other tool holds enough of them."""

from __future__ import annotations

import contextlib
import random
import re
import select
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from OpenSSL import SSL

from livefeed.tls import openssl
from tests.bench.peers.server import HOST, LOAD_CORE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bench.peers.server import Server

AT_A_TIME = 50
"""The connections that are opened before the first of them begins its handshake. Of 200, the last one waited for longer
than the 10 s after which livefeed closes it, on a machine with other work."""

WARM_UP_S = 1
SETTLE_S = 0.5

BYTES_RECEIVED_AT = 128
"""The offset of ``tcpi_bytes_received`` in ``struct tcp_info``: 8 numbers of 1 byte, 24 of 4, and 3 of 8 precede."""

PING, PING_BYTES = b"\x89", 2 + 125
MASKED = 0x80
PONG = b"\x8a%c\0\0\0\0"
"""How a pong begins whose mask is zeros, so that its payload is the ping's as it is (RFC 6455, 5.3)."""

UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)

BROWSER = {
    "Host": HOST,
    "Connection": "keep-alive",
    "sec-ch-ua": '"Chromium";v="156", "Not-A.Brand";v="24"',
    "sec-ch-ua-mobile": "?0",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/156.0.0.0 Safari/537.36 {n}",
    "Accept": "*/*",
    "Origin": "https://www.example.org",
    "Sec-Fetch-Site": "cross-site",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Dest": "empty",
    "Referer": "https://www.example.org/results?{n}",
    "Accept-Language": "en-US,en;q=0.9",
    "Cookie": "session={n}",
}
"""A browser's fields; ``{n}`` is another number in each request."""

LUA = """
local n = %d
function request()
  n = n + 1
  return wrk.format("GET", %s, {%s})
end
"""
NUMBERS = 10**8, 10**9
"""The first number of a run is one of these at random, so that no run repeats the requests of another."""

SCRIPTS = {
    "identical": {"Host": HOST},
    "different": BROWSER,
    "cookies": {name: value.removesuffix(" {n}") for name, value in BROWSER.items()}
    | {"Referer": "https://www.example.org/results", "Cookie": "session={n}"},
    "compressed": BROWSER | {"Accept-Encoding": "gzip"},
    "304": BROWSER | {"If-None-Match": "{etag}"},
    "unknown query": BROWSER,
    "unknown tag": BROWSER | {"If-None-Match": '"{n}"'},
    "new connection": {"Host": HOST, "Connection": "close"},
}
"""The fields of each script's requests; ``{etag}`` is the tag of the server's own answer. In ``cookies``, nothing else
differs; in ``different``, other fields do as well."""

PATHS = {"unknown query": "/feed?t={n}"}
"""The paths of scripts that do not ask for ``/feed``."""


@dataclass(frozen=True)
class Measured:
    """The figures of one round of one row, or the medians of several.

    :ivar rate: requests or deliveries a second.
    :ivar cpu_us: the server's processor time for each, in microseconds.
    :ivar p50_ms: half took no longer.
    :ivar p99_ms: 99 of 100 took no longer.
    :ivar memory_bytes: the server's memory for each connection, where it was measured.
    :ivar first_ms: processor time per second of the process that was started first, in milliseconds, where it was
        measured: of the parent, if there are workers.
    :ivar ratio: livefeed's processor time divided by the server's in the same round; 0 if it is not known.
    :ivar wire_bytes: the bytes of each delivery, with those of TLS, where they were counted.
    """

    rate: float = 0
    cpu_us: float = 0
    p50_ms: float = 0
    p99_ms: float = 0
    memory_bytes: float = 0
    errors: int = 0
    first_ms: float = 0
    ratio: float = 0
    wire_bytes: float = 0


def requests(
    server: Server, script: str, *, connections: int, seconds: float, plain: bool = False, warm_up: bool = True
) -> Measured:
    """Puts wrk on a server for a while, with one thread on the load's core.

    :param warm_up: whether the server is to answer such requests for a second before they count.
    """
    with wrk(server, script, connections=connections, plain=plain) as command:
        if warm_up:
            subprocess.run(command(WARM_UP_S), capture_output=True, check=True)
        seconds += connections / 500  # for the handshakes
        before = server.cpu_seconds()
        run = subprocess.run(command(seconds), capture_output=True, check=True, text=True)
        cpu = server.cpu_seconds() - before
    output = run.stdout
    count = int(_find(r"(\d+) requests in", output))
    errors = sum(
        int(number) for number in re.findall(r"(?:connect|read|write|timeout|Non-2xx or 3xx responses:?) (\d+)", output)
    )
    return Measured(
        rate=float(_find(r"Requests/sec:\s+([\d.]+)", output)),
        cpu_us=cpu / count * 1e6 if count else 0.0,
        p50_ms=_milliseconds(_find(r"50%\s+(\S+)", output)),
        p99_ms=_milliseconds(_find(r"99%\s+(\S+)", output)),
        errors=errors,
    )


def memory_held(server: Server, script: str, *, connections: int, plain: bool = False) -> float:
    """Gives the server's memory in bytes for each connection while wrk holds all of them. The server must be a new one.

    A server that has had connections reuses their memory; 0 stands for less than its free memory.
    """
    fields = fields_of(server, script)
    for _ in range(10):
        ask(server, fields, plain=plain)  # excludes the memory that only the first requests take
    time.sleep(SETTLE_S)
    before = server.memory_bytes()
    seconds = WARM_UP_S + connections / 500
    with wrk(server, script, connections=connections, plain=plain) as command:
        run = subprocess.Popen(command(seconds + 1), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        after = server.memory_bytes()
        run.wait(seconds + 30)
    return max(after - before, 0) / connections


@contextlib.contextmanager
def wrk(server: Server, script: str, *, connections: int, plain: bool) -> Iterator[Callable[[float], list[str]]]:
    """Gives a function that makes the command that runs wrk on a server for a number of seconds."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as lua:
        lua.write(lua_of(fields_of(server, script), PATHS.get(script, "/feed")))
        lua.flush()
        url = f"http://{HOST}:{server.plain_port}/feed" if plain else f"https://{HOST}:{server.port}/feed"
        command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{connections}", "--latency", "-s", lua.name]
        yield lambda seconds: [*command, f"-d{seconds:.0f}s", url]


def fields_of(server: Server, script: str) -> dict[str, str]:
    """Gives the fields of a script's requests to a server."""
    fields = SCRIPTS[script]
    if not any("{etag}" in value for value in fields.values()):
        return fields
    _, known = ask(server, SCRIPTS["identical"])
    return {name: value.replace("{etag}", known.get("etag", '"none"')) for name, value in fields.items()}


def lua_of(fields: dict[str, str], path: str = "/feed") -> str:
    """Gives the script by which wrk makes its requests: once for all, or, if they differ, each anew."""
    pairs = ", ".join(f"['{name}'] = {_lua(value)}" for name, value in fields.items())
    if not any("{n}" in value for value in (path, *fields.values())):
        return f"wrk.headers = {{{pairs}}}"
    return LUA % (random.randrange(*NUMBERS), _lua(path), pairs)


def _lua(value: str) -> str:
    return f"'{value}'".replace("{n}", "' .. n .. '").removesuffix(" .. ''")


def ask(
    server: Server, fields: dict[str, str], *, plain: bool = False, path: str = "/feed"
) -> tuple[int, dict[str, str]]:
    """Asks a server once. Gives the status, and the fields of the answer, whose names are in small letters."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with contextlib.ExitStack() as stack:
        port = server.plain_port if plain else server.port
        sock = stack.enter_context(socket.create_connection((HOST, port), timeout=10))
        if not plain:
            sock = stack.enter_context(context.wrap_socket(sock))
        sock.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\n".replace("{n}", "0").encode())
        head = b""
        while b"\r\n\r\n" not in head:
            data = sock.recv(65536)
            if not data:
                raise ConnectionError(f"{server.name} has hung up")
            head += data
    first, *rest = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in rest)
    return int(first.split()[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}


class Watchers:
    """Many connections with TLS, in one process: an epoll, and no more Python for each message than must be.

    :param port: of the server.
    :param path: of the WebSocket; ``None`` for pollers, which ask for the document once, and then are idle.
    :param frame_bytes: how long one message is on the wire, with its header; ``None`` if they differ: then each record
        of TLS counts as one, as livefeed sends them.
    """

    def __init__(self, port: int, path: str | None, frame_bytes: int | None = None) -> None:
        self._port = port
        self._path = path
        self._frame_bytes = frame_bytes
        self._epoll = select.epoll()
        self._connections: dict[int, tuple[socket.socket, SSL.Connection]] = {}
        self._received: dict[int, int] = {}
        self._context = SSL.Context(SSL.TLS_METHOD)
        self._lost = 0

    def connect(self, count: int, at_a_time: int = AT_A_TIME, *, fields: str = UPGRADE) -> None:
        """Opens `count` more connections; each has finished its handshake when this returns.

        :param fields: the lines of the handshake's request, where there is one.
        """
        request, expected = self._opening(fields)
        while count > 0:
            batch = min(count, at_a_time)
            count -= batch
            opening = []
            for _ in range(batch):
                sock = socket.create_connection((HOST, self._port), timeout=30)
                connection = SSL.Connection(self._context, sock)
                connection.set_connect_state()
                opening.append((sock, connection))
            for _, connection in opening:
                retry(connection.do_handshake)
                connection.sendall(request)
            for sock, connection in opening:
                head = b""
                while expected and b"\r\n\r\n" not in head:
                    head += retry(lambda connection=connection: connection.recv(16384))
                if not head.startswith(expected):
                    raise RuntimeError(f"the handshake was answered {head[:80]!r}")
                sock.setblocking(False)
                fd = sock.fileno()
                self._connections[fd] = (sock, connection)
                self._begin(fd, head.partition(b"\r\n\r\n")[2])
                self._epoll.register(fd, select.EPOLLIN)
                while expected:
                    try:
                        self._begin(fd, connection.recv(16384))
                    except SSL.WantReadError:
                        break

    def _opening(self, fields: str) -> tuple[bytes, bytes]:
        """Gives the first request, and how its answer is to begin, if that is waited for."""
        head = f"GET {self._path or '/feed'} HTTP/1.1\r\nHost: {HOST}\r\n{fields if self._path else ''}\r\n"
        return head.encode(), b"HTTP/1.1 101" if self._path else b"HTTP/1.1 200"

    def _begin(self, fd: int, data: bytes) -> None:
        """Takes bytes that come with the handshake."""
        self._received[fd] = self._received.get(fd, 0) + len(data)

    def bytes_received(self) -> int:
        """Gives the bytes that all connections were sent until now, with those of TLS, and without those of TCP and IP.

        The kernel counts them: so no message costs anything here.
        """
        return sum(tcp_bytes_received(sock) for sock, _ in self._connections.values())

    def run(self, seconds: float) -> list[float]:
        """Receives for a while, and gives when messages were complete."""
        done: list[float] = []
        end = time.monotonic() + seconds
        frame_bytes, received, connections = self._frame_bytes, self._received, self._connections
        road = openssl.choose_calls()
        handle, read, buffer = road.handle, road.read, road.buffer
        while (now := time.monotonic()) < end:
            for fd, _ in self._epoll.poll(min(end - now, 0.5), 1024):
                try:
                    connection = connections[fd][1]
                    count = read(handle(connection), buffer, openssl.RECORD_BYTES)
                    if count <= 0:
                        road.fail(connection, count)
                    if count <= PING_BYTES and (ping := road.take(buffer, count)).startswith(PING):
                        connection.send(PONG % (MASKED | ping[1]) + ping[2:])
                        continue
                except (SSL.WantReadError, SSL.WantWriteError):
                    continue
                except SSL.Error:
                    self._epoll.unregister(fd)
                    self._lost += 1
                    continue
                if frame_bytes is None:
                    done.append(time.monotonic())
                    continue
                total = received[fd] + count
                for _ in range(total // frame_bytes - received[fd] // frame_bytes):
                    done.append(time.monotonic())  # noqa: PERF401 - most often once
                received[fd] = total
        return done

    def close(self) -> int:
        """Ends all connections. Gives how many had ended before."""
        for sock, _ in self._connections.values():
            sock.close()
        self._epoll.close()
        return self._lost


class Waiters(Watchers):
    """Many long polls: each asks for the version after the one that it has, as soon as it has that.

    :param path: where to ask.
    :param extra: a line that each request has after the first, with its end; or nothing.
    """

    def __init__(self, port: int, path: str, extra: str = "") -> None:
        super().__init__(port, path)
        self._extra = extra.encode()
        self._left: dict[int, int] = {}  # of the answer that has begun; 0 if none has
        self._heads: dict[int, bytes] = {}

    def _opening(self, fields: str) -> tuple[bytes, bytes]:
        return f"GET {self._path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(), b""

    def _ask(self, fd: int) -> None:
        """Asks for the next version."""
        tags = b"".join(
            b"%s: %s\r\n" % (name, found[1])
            for name, field in ((b"If-None-Match", b"etag"), (b"If-Modified-Since", b"last-modified"))
            if (found := re.search(rb"(?i)\r\n%s: ([^\r]*)" % field, self._heads[fd]))
        )
        head = b"GET %s HTTP/1.1\r\nHost: %s\r\n%s%s\r\n" % (
            str(self._path).encode(),
            HOST.encode(),
            tags,
            self._extra,
        )
        self._connections[fd][1].send(head)

    def run(self, seconds: float) -> list[float]:
        """Receives for a while, and asks again; gives when answers were complete that brought a version."""
        done: list[float] = []
        end = time.monotonic() + seconds
        road = openssl.choose_calls()
        while (now := time.monotonic()) < end:
            for fd, _ in self._epoll.poll(min(end - now, 0.5), 1024):
                connection = self._connections[fd][1]
                try:
                    count = road.read(road.handle(connection), road.buffer, openssl.RECORD_BYTES)
                    if count <= 0:
                        road.fail(connection, count)
                except (SSL.WantReadError, SSL.WantWriteError):
                    continue
                except SSL.Error:
                    self._epoll.unregister(fd)
                    self._lost += 1
                    continue
                if self._left.get(fd):
                    self._left[fd] -= count
                else:
                    head, _, body = road.take(road.buffer, count).partition(b"\r\n\r\n")
                    self._heads[fd], self._left[fd] = head, _length(head) - len(body)
                if not self._left[fd]:
                    if self._heads[fd].startswith(b"HTTP/1.1 200"):
                        done.append(time.monotonic())
                    self._ask(fd)
        return done


def tcp_bytes_received(sock: socket.socket) -> int:
    """Gives ``tcpi_bytes_received`` of the kernel's ``struct tcp_info`` (linux/tcp.h)."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, BYTES_RECEIVED_AT + 8)
    return int.from_bytes(info[BYTES_RECEIVED_AT:], sys.byteorder)


def _length(head: bytes) -> int:
    """Gives the length of the content that follows a head."""
    found = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    return int(found[1]) if found else 0


def retry(call):  # type: ignore[no-untyped-def]
    """Calls again where pyOpenSSL wants more: a socket with a time limit does not block."""
    for _ in range(10_000):
        try:
            return call()
        except (SSL.WantReadError, SSL.WantWriteError):
            time.sleep(0.001)
    raise TimeoutError


def _find(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise RuntimeError(f"wrk said:\n{text}")
    return found[1]


def _milliseconds(text: str) -> float:
    found = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)
    # wrk has no number where nothing was answered.
    return float(found[1]) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60_000}[found[2]] if found else 0.0
