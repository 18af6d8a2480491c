"""The load of requests: wrk. See ``clients.py`` for subscribers, and for clients that ask now and then."""

from __future__ import annotations

import contextlib
import random
import re
import socket
import ssl
import subprocess
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.peers.server import HOST, LOAD_CORE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bench.peers.server import Server

WARM_UP_S = 1
SETTLE_S = 0.5

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
    :ivar wire_bytes: the bytes of each delivery or connection, with those of TLS, where they were counted.
    :ivar core_percent: the server's processor time as a part of a core, where there is nothing to divide it by.
    :ivar mbit_s: the megabits per second that all clients were sent, with those of TLS, where they were counted.
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
    core_percent: float = 0
    mbit_s: float = 0


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


def _find(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise RuntimeError(f"wrk said:\n{text}")
    return found[1]


def _milliseconds(text: str) -> float:
    found = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)
    # wrk has no number where nothing was answered.
    return float(found[1]) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60_000}[found[2]] if found else 0.0
