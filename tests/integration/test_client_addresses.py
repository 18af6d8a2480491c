"""The addresses of clients behind a real HAProxy that passes TLS through, as the access log shows them."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import ssl
import time
from typing import TYPE_CHECKING

import pytest
import websockets.sync.client

from tests.integration.harness import HOST, WAIT_S, WORKERS, free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.conftest import Start
    from tests.integration.harness import Livefeed
    from tests.integration.proxies import Place

pytestmark = pytest.mark.processes

CLIENT = "127.0.0.77"
GET = b"GET /feed HTTP/1.1\r\nHost: localhost\r\n\r\n"

VERSIONS = {"2": {}, "1": {"send-proxy-v2": "send-proxy"}}
"""The changes of the configuration for each version of the header."""


@pytest.fixture
def behind(start: Start, tmp_path: Path) -> tuple[Livefeed, int]:
    """A livefeed with an endpoint for proxies, and the port of that."""
    port = free_port()
    options = ("--trusted-proxy", HOST, "--access-log", str(tmp_path / "access.log"), "--interval", "0.2")
    return start(*options, listen=(f"haproxy:tls:{port}:interface={HOST}",)), port


def lines_of(path: Path, wanted: Callable[[list[str]], bool]) -> list[str]:
    """Gives the lines of an access log about the client as soon as they are as wanted."""
    end = time.monotonic() + WAIT_S
    while True:
        lines = [line for line in path.read_text().splitlines() if line.startswith(f"{CLIENT} - - [")]
        if wanted(lines) or time.monotonic() > end:
            return lines
        time.sleep(0.02)


def connect(port: int) -> socket.socket:
    """Connects from the address of the client."""
    return socket.create_connection((HOST, port), WAIT_S, (CLIENT, 0))


@pytest.mark.parametrize("version", VERSIONS)
def test_through_haproxy(behind: tuple[Livefeed, int], place: Place, tmp_path: Path, version: str) -> None:
    """Polls and a WebSocket come through, and livefeed knows the client's address."""
    livefeed, port = behind
    proxy = place.passing_haproxy(port, VERSIONS[version])
    context = livefeed.tls_context()
    with context.wrap_socket(connect(proxy.port), server_hostname="localhost") as polled:
        for _ in range(3):
            polled.sendall(GET)
            received = b""
            while b"\r\n\r\n" not in received:
                received += polled.recv(65536)
            assert received.startswith(b"HTTP/1.1 200 ")
            length = re.search(rb"Content-Length: ([0-9]+)", received)
            assert length is not None
            while len(received.partition(b"\r\n\r\n")[2]) < int(length[1]):
                received += polled.recv(65536)
    # See Livefeed.websocket().
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    url = f"wss://localhost:{proxy.port}/feed.ws"
    with websockets.sync.client.connect(url, sock=connect(proxy.port), ssl=context) as subscriber:
        subscriber.recv(WAIT_S)
    lines = lines_of(tmp_path / "access.log", lambda lines: len(lines) == 4)
    # Lines of different heads may change places.
    polls = [line.split('"')[1:3] for line in lines if "/feed.ws" not in line]
    assert polls == [["GET /feed HTTP/1.1", polls[0][1]]] * 3
    assert sum('"GET /feed.ws HTTP/1.1" 101 - ' in line for line in lines) == 1


def test_without_header(behind: tuple[Livefeed, int], tmp_path: Path) -> None:
    """A client that begins with TLS is reset; so is one that no network has. Each process logs either once."""
    livefeed, port = behind
    for _ in range(2):
        with pytest.raises(ConnectionError):
            livefeed.tls_context().wrap_socket(socket.create_connection((HOST, port)), server_hostname="localhost")
    livefeed.process.wait_for("connections are refused: they do not begin with a PROXY header")
    for _ in range(2):
        # Even connecting fails, if the reset comes soon enough.
        with contextlib.suppress(ConnectionResetError), connect(port) as sock:
            assert sock.recv(1) == b""
    livefeed.process.wait_for(f"connections are refused: no network in trusted_proxy .* from {CLIENT}")
    assert 2 <= livefeed.log().count("connections are refused: ") <= 2 * max(WORKERS, 1)


def test_forwarded(start: Start, place: Place, tmp_path: Path) -> None:
    """A proxy that ends HTTP names its clients, and others cannot."""
    port = free_port()
    path = tmp_path / "access.log"
    proxies = ("--trusted-proxy", HOST, "--forwarded-header", "x-forwarded-for")
    start(*proxies, "--access-log", str(path), listen=(f"tcp:{port}:interface={HOST}",))
    proxy = place.haproxy(port, {"    mode http\n": "    mode http\n    option forwardfor\n"})
    asked = GET.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: 203.0.113.1\r\nConnection: close\r\n\r\n")
    for to in (proxy.port, proxy.port, port):
        with connect(to) as sock:
            sock.sendall(asked)
            assert sock.recv(12) == b"HTTP/1.1 200"
    lines = lines_of(path, lambda lines: len(lines) == 3)
    assert all('"GET /feed HTTP/1.1" 200 ' in line for line in lines)
    assert len(lines) == 3


def test_reopened(start: Start, tmp_path: Path) -> None:
    """logrotate renames the file, and SIGHUP begins a new one; the end of the process writes the last lines."""
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    livefeed = start("--access-log", str(path), "--access-log-format", "json")
    for _ in range(8):
        with livefeed.new_client() as client:
            assert client.get("/feed").status_code == 200
    path.rename(old)
    livefeed.process.signal(signal.SIGHUP)
    asked = 0
    end = time.monotonic() + WAIT_S
    # With workers, each opens the file by itself.
    while not path.exists() or path.read_text().count('"target":"/nothing"') < 4:
        assert time.monotonic() < end
        asked += 1
        with livefeed.new_client() as client:
            assert client.get("/nothing").status_code == 404
    livefeed.process.signal(signal.SIGTERM)
    livefeed.process.wait()
    # The canaries of workers have lines of their own, without an address.
    feed = re.findall('^{"client":"127.*"target":"/feed"', old.read_text(), re.MULTILINE)
    assert len(feed) == 8
    assert (old.read_text() + path.read_text()).count('"target":"/nothing"') == asked
