"""Documents that are stored in livefeed itself: to watchers, through restarts, and through kills."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.harness import TEXT, WAIT_S, free_port
from tests.integration.killing import kill_during_writes

if TYPE_CHECKING:
    from livefeed.tls.development import DevelopmentCertificate
    from tests.integration.conftest import Start

pytestmark = pytest.mark.processes

LIVEFEED = str(Path(sys.executable).with_name("livefeed"))


def publish(*arguments: str, runtime_dir: Path, document: bytes = b"") -> tuple[int, str]:
    """Runs livefeed publish, and gives its exit code and its output."""
    environment = {**os.environ, "LIVEFEED_RUNTIME_DIR": str(runtime_dir)}
    command = [LIVEFEED, "publish", *arguments]
    done = subprocess.run(command, input=document, capture_output=True, check=False, timeout=WAIT_S, env=environment)
    return done.returncode, (done.stdout + done.stderr).decode()


def test_from_the_command_line_to_a_subscriber(start: Start, tmp_path: Path) -> None:
    """A document reaches subscribers at once, whatever the interval, and the next process has it."""
    options = ("--source", "store:", "--state-dir", str(tmp_path / "state"), "--interval", "3600")
    livefeed = start(*options, live=False)
    code, text = publish("-", runtime_dir=livefeed.runtime_dir, document=b'{"seats": 1}')
    assert (code, "stored, and is shown" in text) == (0, True), text
    with livefeed.subscriber_wire() as wire:
        assert wire.frame_of(TEXT) == b'{"seats": 1}'
        code, text = publish("-", "--json", runtime_dir=livefeed.runtime_dir, document=b'{"seats": 2}')
        assert (code, json.loads(text)["live"]) == (0, True)
        assert wire.frame_of(TEXT) == b'{"seats": 2}'
    code, text = publish("-", runtime_dir=livefeed.runtime_dir, document=b"{")
    assert (code, "not JSON" in text) == (1, True), text
    with livefeed.operator() as client:
        patched = client.patch(
            "/feeds/feed",
            content=b'{"final": true}',
            headers={
                "Content-Type": "application/merge-patch+json",
                "If-Match": client.get("/feeds/feed").headers["ETag"],
            },
        )
        assert (patched.status_code, livefeed.http.get("/feed").json()) == (200, {"seats": 2, "final": True})
    assert livefeed.terminate() == 0
    again = start(*options)
    assert again.http.get("/feed").json() == {"seats": 2, "final": True}


def test_token(start: Start, certificate: DevelopmentCertificate, tmp_path: Path) -> None:
    """Another machine publishes through an endpoint of --admin, with the token in a file."""
    token, document = tmp_path / "token", tmp_path / "a.json"
    token.write_text("0123456789abcdefghijklmnop")
    token.chmod(0o600)
    document.write_bytes(b"[1]")
    port = free_port()
    admin = ("--admin", f"tls:{port}:interface=127.0.0.1", "--admin-token", str(token))
    livefeed = start("--source", "store:", "--state-dir", str(tmp_path / "state"), *admin, live=False)
    url = (str(document), "--url", f"https://localhost:{port}", "--token-file", str(token))
    cacert = ("--cacert", str(certificate.ca))
    code, text = publish(*url, *cacert, runtime_dir=tmp_path)
    assert code == 0, text
    assert livefeed.http.get("/feed").content == b"[1]"
    code, text = publish(*url, runtime_dir=tmp_path)
    assert (code, "certificate" in text) == (1, True), text
    token.write_text("0123456789abcdefghijklmnoq")
    code, text = publish(*url, *cacert, runtime_dir=tmp_path)
    assert (code, "Authorization" in text, "0123456789" in text) == (1, True, False), text
    assert "0123456789" not in livefeed.log()


def test_kills(tmp_path: Path) -> None:
    """Each answered write is there after a kill -9, and one without an answer is whole or not there."""
    done = kill_during_writes(tmp_path, kills=3, writes=200, seed=int.from_bytes(os.urandom(2)))
    assert done.sent
