"""livefeed ctl and a real livefeed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.harness import TEXT, WAIT_S

if TYPE_CHECKING:
    from tests.integration.conftest import Start

pytestmark = pytest.mark.processes

LIVEFEED = str(Path(sys.executable).with_name("livefeed"))


def ctl(*arguments: str, runtime_dir: Path) -> tuple[int, str, str]:
    """Runs livefeed ctl, and gives its exit code, its output and its errors."""
    environment = {**os.environ, "LIVEFEED_RUNTIME_DIR": str(runtime_dir)}
    done = subprocess.run(
        [LIVEFEED, "ctl", *arguments], capture_output=True, text=True, check=False, timeout=WAIT_S, env=environment
    )
    return done.returncode, done.stdout, done.stderr


def test_ctl(start: Start, tmp_path: Path) -> None:
    """The state with its reason, commands, and a livefeed that has ended."""
    source = tmp_path / "a.json"
    source.write_text("[1]")
    livefeed = start("--source", f"file:{source}")
    with livefeed.subscriber_wire() as wire:
        wire.frame_of(TEXT)
        code, text, _ = ctl("status", runtime_dir=livefeed.runtime_dir)
        assert (code, "ready  instance default" in text) == (0, True), text
        source.unlink()
        livefeed.wait_for_log("is stale")
        code, text, _ = ctl("status", "--json", runtime_dir=livefeed.runtime_dir)
    report = json.loads(text)
    assert (code, report["pid"], report["ready"]) == (4, livefeed.pid, False)
    (feed,) = report["feeds"]
    assert feed["watchers"] == {"websocket": 1, "events": 0, "waiting": 0}
    assert "No such file" in feed["reason"]
    code, text, _ = ctl("trace", "newest", runtime_dir=livefeed.runtime_dir)
    assert (code, "the gate has accepted it" in text, "has sent it to" in text) == (0, True, True), text
    code, text, errors = ctl("reload", runtime_dir=livefeed.runtime_dir)
    assert (code, errors) == (0, "")
    assert "unchanged: 1" in text
    assert ctl("workers", runtime_dir=livefeed.runtime_dir)[0] == 0
    assert livefeed.terminate() == 0
    code, text, errors = ctl("status", runtime_dir=livefeed.runtime_dir)
    assert (code, text, "no livefeed runs at" in errors) == (3, "", True)
    assert not (livefeed.runtime_dir / "admin.sock").exists()
