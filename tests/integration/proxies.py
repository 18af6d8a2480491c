"""Proxies in front of livefeed: nginx, Varnish, HAProxy and Caddy, as configured in ``docs/howto/proxies/``."""

from __future__ import annotations

import re
import signal
import socket
import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self

import httpx

from tests.bench.peers.caddy import CADDY
from tests.helpers.documentation import code_block
from tests.helpers.peers import missing_peer, peer
from tests.helpers.threaded_server import ThreadedServer, pass_on
from tests.integration.harness import HOST, WAIT_S, Polling, Process, free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from pathlib import Path

PAGE = "howto/proxies/index.md"
CADDY_PAGE = "howto/proxies/caddy.md"
LIVEFEED_PORT = "8080"
"""The port that livefeed has in the examples of the page."""


def replaced(text: str, changes: dict[str, str]) -> str:
    """Replaces texts, each of which occurs exactly once."""
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


class Cache:
    """A cache that runs, or another proxy.

    :param kind: its name, such as ``nginx``.
    :param process: the process.
    :param port: where it listens.
    :param again: starts it with other changes of its configuration; ``None`` if that is not possible.
    """

    def __init__(
        self, kind: str, process: Process, port: int, again: Callable[[dict[str, str]], Process] | None = None
    ) -> None:
        self.kind = kind
        self.process = process
        self.port = port
        self._again = again
        self.http = self.new_client()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.http.close()
        self._end()

    def _end(self) -> None:
        self.process.signal(signal.SIGTERM)
        try:
            self.process.wait()
        finally:
            self.process.close()

    def restart(self, changes: dict[str, str]) -> None:
        """Ends it, and starts it again at the same port, with other changes of its configuration."""
        assert self._again is not None
        self._end()
        self.process = self._again(changes)

    def new_client(self) -> httpx.Client:
        """Gives a client, for the caller to close."""
        return httpx.Client(base_url=f"http://{HOST}:{self.port}", trust_env=False, timeout=WAIT_S)

    def coded(self, coding: str) -> tuple[httpx.Headers, bytes]:
        """Gives the document as it comes, with its fields."""
        with self.http.stream("GET", "/feed", headers={"Accept-Encoding": coding}) as response:
            assert response.status_code == 200
            return response.headers, b"".join(response.iter_raw())


def nginx(directory: Path, port: int, changes: dict[str, str]) -> Cache:
    """Starts nginx in front of a port."""
    program, own, file = peer("nginx", "nginx"), free_port(), directory / "nginx.conf"
    temporary = "".join(
        f"{kind}_temp_path {directory}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )

    def run(changes: dict[str, str]) -> Process:
        http = replaced(
            code_block(PAGE, "nginx"),
            {
                f"127.0.0.1:{LIVEFEED_PORT}": f"{HOST}:{port}",
                "listen 80;": f"listen {HOST}:{own};",
                "/var/cache/nginx/livefeed": f"{directory}/cache",
                **changes,
            },
        )
        file.write_text(
            "daemon off;\nmaster_process off;\nerror_log stderr notice;\n"
            f"pid {directory}/nginx.pid;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{http}}}\n"
        )
        process = Process([program, "-e", "stderr", "-p", str(directory), "-c", str(file)], directory=directory)
        try:
            # It listens before it says how it will wait for events.
            process.wait_for("using the .* event method")
        except BaseException:
            process.close()
            raise
        return process

    return Cache("nginx", run(changes), own, run)


def varnish(directory: Path, port: int, changes: dict[str, str]) -> Cache:
    """Starts Varnish in front of a port."""
    program, own = peer("varnishd", "varnish"), free_port()
    vcl = replaced(code_block(PAGE, "vcl"), {f'"{LIVEFEED_PORT}"': f'"{port}"', **changes})
    file = directory / "livefeed.vcl"
    file.write_text(vcl)
    # Without a jail: it stays the user that runs the tests, whose directories others may not read.
    options = ("-F", "-j", "none", "-n", str(directory / "varnish"), "-s", "malloc,32m", "-a", f"{HOST}:{own}")
    process = Process([program, *options, "-f", str(file)], directory=directory)
    try:
        process.wait_for("Child launched OK|Child starts")
    except BaseException:
        process.close()
        raise
    return Cache("varnish", process, own)


def haproxy(directory: Path, port: int, changes: dict[str, str]) -> Cache:
    """Starts HAProxy in front of a port. It keeps nothing."""
    own = free_port()
    text = code_block(PAGE, "haproxy").replace(f"{HOST}:{LIVEFEED_PORT}", f"{HOST}:{port}")
    return _run_haproxy(directory, own, replaced(text, {"bind :80\n": f"bind {HOST}:{own}\n", **changes}))


def passing_haproxy(directory: Path, port: int, changes: dict[str, str]) -> Cache:
    """Starts HAProxy in front of a port of TLS, which passes through, as ``docs/howto/client-addresses.md`` has it."""
    own = free_port()
    text = code_block("howto/client-addresses.md", "haproxy")
    addresses = {"bind :443\n": f"bind {HOST}:{own}\n", "10.0.0.2:8443": f"{HOST}:{port}"}
    return _run_haproxy(directory, own, replaced(text, {**addresses, **changes}))


def _run_haproxy(directory: Path, own: int, text: str) -> Cache:
    program = peer("haproxy", "haproxy")
    file = directory / "haproxy.cfg"
    file.write_text(text)
    process = Process([program, "-W", "-f", str(file)], directory=directory)
    try:
        process.wait_for("Loading success")
    except BaseException:
        process.close()
        raise
    return Cache("haproxy", process, own)


def caddy(directory: Path, port: int, changes: dict[str, str]) -> Cache:
    """Starts Caddy in front of a port, with plain HTTP. It keeps nothing."""
    if not CADDY.exists():
        missing_peer("no build/bin/caddy: `make build/bin/caddy` builds it, with Go")
    own = free_port()
    addresses = {"www.example.org {": f"http://{HOST}:{own} {{", f"{HOST}:{LIVEFEED_PORT}": f"{HOST}:{port}"}
    file = directory / "Caddyfile"
    # Neither the port of its commands, nor files in the home directory.
    own_settings = "{\n\tadmin off\n\tauto_https off\n\tpersist_config off\n}\n"
    file.write_text(own_settings + replaced(code_block(CADDY_PAGE, "caddyfile"), {**addresses, **changes}))
    command = [str(CADDY), "run", "--adapter", "caddyfile", "--config", str(file)]
    process = Process(
        command, directory=directory, environment={"HOME": str(directory), "XDG_DATA_HOME": str(directory)}
    )
    try:
        process.wait_for("serving initial configuration")
    except BaseException:
        process.close()
        raise
    return Cache("caddy", process, own)


class Tap:
    """A relay between a cache and livefeed, which records all requests and answers.

    :param port: where livefeed listens.
    """

    def __init__(self, port: int) -> None:
        self._upstream = port
        self._server = ThreadedServer(self._serve)
        self.port = self._server.port
        self._said: list[tuple[bytearray, bytearray]] = []
        self._changed = threading.Condition()

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._server.close()

    def exchanges(self) -> list[tuple[str, int]]:
        """Gives the head of each GET that was answered, and the status of the answer."""
        with self._changed:
            said = [(asked.decode("latin-1"), answered.decode("latin-1")) for asked, answered in self._said]
        pairs = [
            (head, int(status))
            for asked, answered in said
            # No request has content. The probes of Varnish are HEAD requests.
            for head, status in zip(asked.split("\r\n\r\n"), re.findall(r"HTTP/1\.1 (\d{3}) ", answered), strict=False)
        ]
        return [(head, status) for head, status in pairs if head.startswith("GET ")]

    def wait_for(self, wanted: Callable[[list[tuple[str, int]]], object]) -> list[tuple[str, int]]:
        """Gives the exchanges as soon as they are as wanted."""
        with self._changed:
            assert self._changed.wait_for(lambda: wanted(self.exchanges()), WAIT_S), self.exchanges()
            return self.exchanges()

    def _serve(self, near: socket.socket) -> None:
        with socket.create_connection((HOST, self._upstream)) as far:
            self._server.track(far)
            asked, answered = bytearray(), bytearray()
            with self._changed:
                self._said.append((asked, answered))
            answers = threading.Thread(target=pass_on, args=(far, near, partial(self._note, answered)), daemon=True)
            answers.start()
            pass_on(near, far, partial(self._note, asked))
            answers.join()
            self._server.forget(far)

    def _note(self, said: bytearray, data: bytes) -> None:
        with self._changed:
            said += data
            self._changed.notify_all()


@dataclass
class Place:
    """Puts caches and proxies in front of livefeed; they end with the test."""

    # required parameters
    directory: Path
    stack: ExitStack

    def nginx(self, port: int, changes: dict[str, str] | None = None) -> Cache:
        return self.stack.enter_context(nginx(self._new_directory("nginx"), port, changes or {}))

    def varnish(self, port: int, changes: dict[str, str] | None = None) -> Cache:
        return self.stack.enter_context(varnish(self._new_directory("varnish"), port, changes or {}))

    def each(self, port: int) -> tuple[Cache, ...]:
        """Starts a cache of each kind, so that a test waits only once for both."""
        return self.nginx(port), self.varnish(port)

    def haproxy(self, port: int, changes: dict[str, str] | None = None) -> Cache:
        return self.stack.enter_context(haproxy(self._new_directory("haproxy"), port, changes or {}))

    def passing_haproxy(self, port: int, changes: dict[str, str] | None = None) -> Cache:
        directory = self._new_directory(f"haproxy{len(changes or {})}")
        return self.stack.enter_context(passing_haproxy(directory, port, changes or {}))

    def caddy(self, port: int, changes: dict[str, str] | None = None) -> Cache:
        return self.stack.enter_context(caddy(self._new_directory("caddy"), port, changes or {}))

    def polling(self, cache: Cache) -> Polling:
        """Polls through a cache until the test ends."""
        return self.stack.enter_context(Polling(cache, pause_s=0.02))

    def tap(self, port: int) -> Tap:
        """Records the requests of the cache, and the answers."""
        return self.stack.enter_context(Tap(port))

    def _new_directory(self, name: str) -> Path:
        directory = self.directory / name
        directory.mkdir()
        return directory
