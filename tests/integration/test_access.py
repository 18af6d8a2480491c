"""Protected feeds of a real livefeed, on all ways to follow them, while tokens come and go."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import websockets.exceptions

from tests.helpers.signed_tokens import AUDIENCE, ISSUER, jwk, jwks, sign
from tests.helpers.waiting import wait_until
from tests.integration.harness import Livefeed, replace_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from livefeed.tls.development import DevelopmentCertificate

ONE, OTHER = "q0Ywz3nOScE8uWq3Yc0dT1p4", "q0Ywz3nOScE8uWq3Yc0dT1p5"
LIVEFEED = str(Path(sys.executable).with_name("livefeed"))
HIDDEN = "not-to-be-seen-in-any-log"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def subprotocol(token: str) -> str:
    return "livefeed.bearer." + base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")


class Folder:
    """The files of a livefeed with a protected feed and a public one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tokens = path / "tokens.txt"
        self.tokens.touch(0o600)
        self.write_tokens(ONE, OTHER)
        (path / "doc.json").write_text('{"a": {"b": 1}}')
        self.config = path / "livefeed.toml"
        self.write_config('auth_tokens = "tokens.txt"')

    def write_tokens(self, *tokens: str) -> None:
        self.tokens.write_text("".join(f"name {token}\n" for token in tokens))

    def write_config(self, *lines: str) -> None:
        feeds = ['[feeds.open]\nsource = "file:doc.json"\n[feeds.secret]\nsource = "file:doc.json"', *lines]
        replace_file(self.config, "\n".join(feeds).encode())

    def start(self, certificate: DevelopmentCertificate, *arguments: str) -> Livefeed:
        return Livefeed("--config", str(self.config), *arguments, directory=self.path, certificate=certificate)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def reload(livefeed: Livefeed) -> None:
    mark = livefeed.mark()
    livefeed.process.signal(signal.SIGHUP)
    livefeed.wait_for_log("reloaded|has changed nothing", start=mark)
    assert "has changed nothing" not in livefeed.log(mark)


def end_of(socket: Any) -> Any:
    """Reads a WebSocket to its end; gives the close frame."""
    try:
        while True:
            socket.recv(timeout=10)
    except websockets.exceptions.ConnectionClosed as closed:
        return closed.rcvd


def test_every_way(folder: Folder, certificate: DevelopmentCertificate) -> None:
    """Without a token nothing is told; with one, each way works. No log has a token, also one that stood in a URL."""
    log = folder.path / "access.log"
    with folder.start(certificate, "--access-log", str(log)) as livefeed:
        http = livefeed.http
        wait_until(lambda: http.get("/secret", headers=bearer(ONE)).status_code == 200, "a document")
        for path in ("/secret", "/secret/a", "/secret/nope", "/secret.json", "/secret.sse", "/secret.ws"):
            answer = http.get(path)
            assert (answer.status_code, answer.headers["cache-control"]) == (401, "private, no-store"), path
        first = http.get("/secret/a", headers=bearer(ONE))
        assert (first.json(), first.headers["cache-control"]) == ({"b": 1}, "private, no-store")
        # What one client was answered is repeated to nobody, on the same connection or another.
        for _ in range(3):
            assert http.get("/secret", headers=bearer(ONE)).status_code == 200
            assert http.get("/secret").status_code == 401
            assert http.get("/secret", headers=bearer(HIDDEN)).status_code in (401, 429)
        assert http.get(f"/secret?token={HIDDEN}", headers=bearer(ONE)).status_code == 400
        with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
            livefeed.websocket("/secret.ws")
        assert refused.value.response.status_code == 401
        names: Any = ["livefeed.delta.v2", subprotocol(ONE)]
        with livefeed.websocket("/open.ws?follow=/secret", subprotocols=names) as socket:
            assert socket.subprotocol == "livefeed.delta.v2"
            paths: set[str] = set()
            while paths != {"/open", "/secret"}:
                message = json.loads(socket.recv(timeout=10))
                assert message["type"] != "refused"
                paths.add(message["path"])
        with livefeed.new_client() as client, client.stream("GET", "/secret.sse", headers=bearer(ONE)) as stream:
            assert any(line.startswith("data: {") for line in stream.iter_lines())
        listed = {each["name"]: each for each in http.get("/-/feeds.json").json()["feeds"]}
        assert (listed["secret"]["protected"], listed["secret"]["version"]) == (True, None)
        assert "protected" not in listed["open"]
        livefeed.metrics_with(r'denied_total\{feed="secret",why="missing"\} [1-9]')
        livefeed.terminate()
        assert ONE not in livefeed.log()
        assert HIDDEN not in livefeed.log()
    assert ONE not in log.read_text()
    assert HIDDEN not in log.read_text()
    assert "(hidden)" in log.read_text()


def test_revoked_token(folder: Folder, certificate: DevelopmentCertificate) -> None:
    """A reload ends the subscriptions of a token that is not in the file any more, and no others."""
    with folder.start(certificate) as livefeed:
        wait_until(lambda: livefeed.http.get("/secret", headers=bearer(ONE)).status_code == 200, "a document")
        names: list[Any] = [["livefeed.delta.v1", subprotocol(each)] for each in (ONE, OTHER)]
        with (
            livefeed.websocket("/secret.ws", subprotocols=names[0]) as one,
            livefeed.websocket("/secret.ws", subprotocols=names[1]) as other,
        ):
            one.recv(timeout=10)
            other.recv(timeout=10)
            folder.write_tokens(OTHER)
            reload(livefeed)
            close = end_of(one)
            reason = "the token has ended; see /-/problems/token-expired; come back in 1000 ms"
            assert (close.code, close.reason) == (3050, reason)
            other.recv(timeout=10)
        assert livefeed.http.get("/secret", headers=bearer(ONE)).status_code == 401
        assert livefeed.http.get("/secret", headers=bearer(OTHER)).status_code == 200


def test_becomes_protected(folder: Folder, certificate: DevelopmentCertificate) -> None:
    """A public feed that a reload protects sends its followers away, and answers nobody without a token."""
    folder.write_config()
    with folder.start(certificate) as livefeed:
        wait_until(lambda: livefeed.http.get("/secret").status_code == 200, "a document")
        with livefeed.websocket("/secret.ws") as socket:
            socket.recv(timeout=10)
            folder.write_config('auth_tokens = "tokens.txt"')
            reload(livefeed)
            end_of(socket)
        assert livefeed.http.get("/secret").status_code == 401
        folder.write_config()
        reload(livefeed)
        wait_until(lambda: livefeed.http.get("/secret").status_code == 200, "a public feed")


class Keys:
    """A server of keys."""

    def __init__(self) -> None:
        keys = self
        self.answer: bytes | None = None

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(503 if keys.answer is None else 200)
                self.end_headers()
                self.wfile.write(keys.answer or b"")

            def log_message(self, *_: object) -> None:
                """Logs nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/jwks.json"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def keys() -> Iterator[Keys]:
    made = Keys()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_signed_tokens(folder: Folder, keys: Keys, certificate: DevelopmentCertificate) -> None:
    """Keys come from a URL, for all workers; a new one is fetched when a token names it."""
    keys.answer = jwks(jwk("EdDSA", 1, kid="1"))
    rules = f'auth_algorithm = ["EdDSA"]\nauth_issuer = "{ISSUER}"\nauth_audience = "{AUDIENCE}"'
    folder.write_config(f'auth_keys = "{keys.url}"', rules)
    token = sign("EdDSA", 1, {"kid": "1"}, exp=4_000_000_000).decode()
    with folder.start(certificate) as livefeed:
        livefeed.wait_for_log("1 keys of tokens are in use")
        # Each on a connection of its own, so that all workers are asked.
        for _ in range(6):
            with livefeed.new_client() as client:
                wait_until(lambda: client.get("/secret", headers=bearer(token)).status_code == 200, "a document")
                assert client.get("/secret", headers=bearer(token + "x")).status_code in (401, 429)
        other = sign("EdDSA", 2, {"kid": "2"}, exp=4_000_000_000).decode()
        limited = sign("EdDSA", 1, {"kid": "1"}, exp=4_000_000_000, feeds=["open"]).decode()
        assert livefeed.http.get("/secret", headers=bearer(limited)).status_code == 403
        wait_until(lambda: livefeed.http.get("/secret", headers=bearer(other)).status_code == 401, "a refusal")
        livefeed.assert_unbroken()


def test_watch(folder: Folder, certificate: DevelopmentCertificate) -> None:
    """``livefeed watch`` follows with a token of a file, and says why it cannot without a good one."""
    token = folder.path / "token"
    token.write_text(f"{ONE}\n")
    with folder.start(certificate) as livefeed:
        wait_until(lambda: livefeed.http.get("/secret", headers=bearer(ONE)).status_code == 200, "a document")
        url = f"https://{livefeed.authority}/secret"
        command = [LIVEFEED, "watch", url, "--once", "--cacert", str(certificate.ca)]
        for more, code, said in (
            ([], 1, "This feed requires a token"),
            (["--token-file", str(token)], 0, '"data":{"a":{"b":1}}'),
            (["--token-file", str(token), "--poll"], 0, '"data":{"a":{"b":1}}'),
        ):
            ended = subprocess.run([*command, *more], capture_output=True, text=True, timeout=60, check=False)
            assert (ended.returncode, said in ended.stdout + ended.stderr) == (code, True), ended
