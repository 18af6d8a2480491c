"""Recordings of real feeds: nothing is missing, and nothing that was written is lost."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from livefeed.storage.record_file import Ending
from livefeed.storage.recording import Recording
from tests.helpers.waiting import wait_until
from tests.integration.harness import WAIT_S, Process, free_port

if TYPE_CHECKING:
    from tests.integration.conftest import Start
    from tests.integration.harness import Livefeed

LIVEFEED = str(Path(sys.executable).with_name("livefeed"))


def versions(path: Path) -> list[bytes]:
    """Gives the documents that are in a recording now."""
    with Recording(path) as recording:
        return [entry.data for entry in recording.entries() if entry.data is not None]


def record(livefeed: Livefeed, path: Path, *options: str) -> Process:
    """Begins to record a feed by its name."""
    environment = {"LIVEFEED_RUNTIME_DIR": str(livefeed.runtime_dir)}
    return Process([LIVEFEED, "record", "feed", str(path), *options], directory=path.parent, environment=environment)


def put(livefeed: Livefeed, number: int) -> bytes:
    """Publishes a document, and gives it."""
    document = b'{"text": "a document with some text in it, so that splices are shorter", "votes": %d}' % number
    with livefeed.operator() as client:
        assert client.put("/feeds/feed", content=document, headers={"Content-Type": "application/json"}).is_success
    return document


def verify(path: Path) -> int:
    """Gives the exit code of ``livefeed recording verify``."""
    return subprocess.run([LIVEFEED, "recording", "verify", str(path)], check=False, timeout=WAIT_S).returncode


@pytest.mark.processes
def test_recorder_is_interrupted(start: Start, tmp_path: Path) -> None:
    """A kill costs no version that was written; a recording that goes on has no damage; SIGINT ends it in order."""
    listen = f"tcp:{free_port()}:interface=127.0.0.1"
    options = ("--source", "store:", "--state-dir", str(tmp_path / "state"), "--interval", "3600")
    livefeed = start(*options, listen=(listen,), live=False)
    path = tmp_path / "night.recording"
    expected = [put(livefeed, 0)]
    for round_ in range(3):
        with contextlib.closing(record(livefeed, path, "--append")) as recorder:
            recorder.wait_for("is live, connected")
            expected.extend(put(livefeed, 1 + 20 * round_ + number) for number in range(20))
            wait_until(lambda: versions(path) == expected, lambda: f"{len(versions(path))} of {len(expected)} versions")
            recorder.signal(signal.SIGINT if round_ == 2 else signal.SIGKILL)
            code = recorder.wait()
            assert (code, verify(path)) == ((0, 0) if round_ == 2 else (-signal.SIGKILL, 4)), recorder.text()
    # An incomplete record at the end, as after a kill in the middle of a write.
    size = path.stat().st_size
    os.truncate(path, size - 7)
    assert verify(path) == 4
    with Recording(path) as recording:
        assert recording.scan().ending is Ending.TORN
