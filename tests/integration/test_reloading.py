"""SIGHUP to a real livefeed, while clients of all kinds are connected."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import ssl
import threading
import time
from typing import TYPE_CHECKING

import pytest

from livefeed.tls.development import DevelopmentCertificate, development_certificate
from tests.authority import Holder
from tests.integration.harness import HOST, TLS, WAIT_S, Livefeed, Wire, assert_soon, replace_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REQUEST = b"GET /stays HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Counting:
    """A file with a number that grows, and clients that must see each of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = 0

    def step(self) -> int:
        self.number += 1
        replace_file(self.path, json.dumps({"n": self.number}).encode())
        return self.number


@pytest.fixture
def counting(tmp_path: Path) -> Counting:
    counting = Counting(tmp_path / "stays.json")
    counting.step()
    return counting


def hang_up(livefeed: Livefeed, pattern: str) -> str:
    """Sends SIGHUP, and gives the log up to a line that matches."""
    mark = livefeed.mark()
    livefeed.process.signal(signal.SIGHUP)
    livefeed.wait_for_log(pattern, start=mark)
    return livefeed.log(mark)


@contextlib.contextmanager
def polling(livefeed: Livefeed) -> Iterator[list[int]]:
    """Polls on one connection, and notes the numbers."""
    numbers: list[int] = []
    failures: list[Exception] = []
    stopped = threading.Event()

    def poll(wire: Wire) -> None:
        try:
            while not stopped.wait(0.01):
                wire.send(REQUEST)
                numbers.append(json.loads(wire.response().body)["n"])
        except Exception as error:
            failures.append(error)

    with livefeed.wire() as wire:
        thread = threading.Thread(target=poll, args=(wire,), daemon=True)
        thread.start()
        yield numbers
        stopped.set()
        thread.join(WAIT_S)
    assert failures == []


def test_feeds_come_change_and_go(counting: Counting, tmp_path: Path, certificate: DevelopmentCertificate) -> None:
    """A WebSocket, an event stream and a poller of another feed lose nothing; a broken file changes nothing."""
    config = tmp_path / "livefeed.toml"
    stays = "[feeds.stays]\nsource = 'file:stays.json'\ninterval = 0.1\npush = 'change'\n"
    config.write_text(stays + "[feeds.goes]\nsource = 'demo:'\n")
    with (
        Livefeed("--config", str(config), directory=tmp_path, certificate=certificate) as livefeed,
        livefeed.websocket("/stays.ws") as socket,
        livefeed.websocket("/goes.ws") as goes,
        livefeed.new_client() as client,
        client.stream("GET", "/stays.sse") as stream,
        polling(livefeed) as polled,
    ):
        events = (json.loads(line[6:]) for line in stream.iter_lines() if line.startswith('data: {"n"'))

        def see() -> None:
            """Checks that the next version comes to all three."""
            number = counting.step()
            assert json.loads(socket.recv(timeout=WAIT_S)) == {"n": number}
            assert next(events) == {"n": number}
            end = time.monotonic() + WAIT_S
            while polled[-1:] != [number]:
                assert time.monotonic() < end
                time.sleep(0.01)

        assert json.loads(socket.recv(timeout=WAIT_S)) == next(events) == {"n": 1}
        see()
        pulls = len([line for line in livefeed.log().splitlines() if 'feed "stays"' in line])
        config.write_text(stays + "[feeds.comes]\nsource = 'demo:?seed=7'\nallow_origin = ['https://a.example']\n")
        log = hang_up(livefeed, "reloaded ")
        assert "reload: feeds.comes is added: 'demo:'" in log
        assert "reload: feeds.goes is removed: it was 'demo:'" in log
        assert "reloaded (changes: 2, waiting for a restart: 0, feeds: 2)" in log
        see()
        assert_soon(lambda: livefeed.http.get("/comes").status_code != 404, livefeed.log)
        assert livefeed.http.get("/comes").headers.get("Access-Control-Allow-Origin") is None
        assert_soon(lambda: livefeed.http.get("/goes").status_code == 404, livefeed.log)
        with contextlib.suppress(Exception):
            while True:
                goes.recv(timeout=WAIT_S)
        assert goes.close_code is not None
        config.write_text(stays + "[feeds.comes]\nsource = 'demo:?seed=8'\n\ninterval = 'x'\n")
        log = hang_up(livefeed, "the reload has changed nothing: ")
        assert f"{config}:8: feeds.comes.interval: 'x' is not a number of seconds" in log
        see()
        config.write_text(stays + "max_subscribers = 9\n[feeds.comes]\nsource = 'demo:?seed=8'\n")
        log = hang_up(livefeed, "reloaded ")
        assert "reload: feeds.comes.source: 'demo:' -> 'demo: (with other credentials or options)'" in log
        assert "reload: feeds.stays.max_subscribers: 0 -> 9" in log
        see()
        assert_soon(lambda: livefeed.http.get("/comes").headers.get("Access-Control-Allow-Origin") == "*", livefeed.log)
        assert polled == sorted(polled)
        assert len([line for line in livefeed.log().splitlines() if 'feed "stays"' in line]) == pulls


def test_log_level_and_limits(tmp_path: Path, certificate: DevelopmentCertificate) -> None:
    """The level counts from the reload on; a value of the command line stays."""
    config = tmp_path / "livefeed.toml"
    config.write_text("log_level = 'info'\nmax_head_bytes = 16384\ninterval = 1\n")
    with Livefeed(
        "--config", str(config), "--interval", "0.2", directory=tmp_path, certificate=certificate
    ) as livefeed:
        config.write_text("log_level = 'warn'\nmax_head_bytes = 20000\ninterval = 2\nstate_dir = 'state'\n")
        log = hang_up(livefeed, "a restart is needed for state_dir")
        assert "process.reload#info]" not in log, log
        assert livefeed.http.get("/-/feeds.json").json()["feeds"][0]["interval_s"] == 0.2
        config.write_text("log_level = 'info'\n")
        hang_up(livefeed, "reload: max_head_bytes: 20000 -> 16384")


class TestCertificates:
    """Certificates of a livefeed that runs."""

    def peer_certificate(self, livefeed: Livefeed, name: str = HOST) -> bytes:
        """Gives the certificate that a new client gets."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with livefeed.tcp_socket() as sock, context.wrap_socket(sock, server_hostname=name) as secure:
            found = secure.getpeercert(binary_form=True)
        assert found is not None
        return found

    def test_renewed_while_clients_are_connected(
        self, counting: Counting, tmp_path: Path, certificate: DevelopmentCertificate
    ) -> None:
        """Open connections stay, new ones get the new certificate; a pair that does not match changes nothing."""
        files = tmp_path / "a.pem", tmp_path / "a.key"
        for source, target in zip((certificate.cert, certificate.key), files, strict=True):
            shutil.copy(source, target)
        own = DevelopmentCertificate(certificate.ca, *files, certificate.fingerprint, made=False)
        options = ("--source", "file:stays.json", "--feed", "stays", "--interval", "0.1")
        with Livefeed(*options, directory=tmp_path, certificate=own) as livefeed, contextlib.ExitStack() as stack:
            wires = [stack.enter_context(livefeed.wire()) for _ in range(20)]
            before = self.peer_certificate(livefeed)
            new = development_certificate(tmp_path / "new")
            shutil.copy(new.key, files[1])
            log = hang_up(livefeed, "the reload has changed nothing: ")
            assert f"--key: {files[1]}: it is not the private key of {files[0]}" in log
            assert self.peer_certificate(livefeed) == before
            shutil.copy(new.cert, files[0])
            hang_up(livefeed, f"reload: certificate {files[0]}: 'valid until 20.* -> 'valid until 20")
            assert_soon(lambda: self.peer_certificate(livefeed) != before, livefeed.log)
            for wire in wires:
                wire.send(REQUEST)
                assert wire.response().status == 200
            # Without a signal, once both files have settled.
            mark = livefeed.mark()
            shutil.copy(certificate.key, files[1])
            shutil.copy(certificate.cert, files[0])
            livefeed.wait_for_log(f"the certificate is renewed: {files[0]}, valid until", start=mark)
            assert_soon(lambda: self.peer_certificate(livefeed) == before, livefeed.log)
            wires[0].send(REQUEST)
            assert wires[0].response().status == 200

    def test_several_by_name(self, counting: Counting, tmp_path: Path) -> None:
        """Each name has its own certificate, also on WebSockets and for requests that are replayed."""
        root = Holder("root")
        (tmp_path / "root.pem").write_bytes(root.issue(root))
        pairs = []
        for name in ("a.test", "b.test"):
            holder = Holder(name)
            (tmp_path / f"{name}.pem").write_bytes(root.issue(holder, [name]))
            (tmp_path / f"{name}.key").write_bytes(holder.pem())
            pairs += ["--cert", f"{name}.pem", "--key", f"{name}.key"]
        context = ssl.create_default_context(cafile=tmp_path / "root.pem")
        options = ("--source", "file:stays.json", "--feed", "stays", "--interval", "0.1", *pairs)
        with Livefeed(*options, directory=tmp_path, certificate=None, listen=(TLS,)) as livefeed:
            for name in ("a.test", "b.test"):
                with livefeed.tcp_socket() as sock, context.wrap_socket(sock, server_hostname=name) as secure:
                    wire = Wire(secure)
                    for _ in range(3):
                        wire.send(REQUEST)
                        assert wire.response().status == 200
                    upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                    wire.send(f"GET /stays.ws HTTP/1.1\r\nHost: {name}\r\n{upgrade}{key}\r\n".encode())
                    assert wire.response().status == 101
                    assert json.loads(wire.frame()[1]) == {"n": 1}
            assert len({self.peer_certificate(livefeed, name) for name in ("a.test", "b.test")}) == 2
