"""Recordings of real feeds: nothing is missing, and nothing that was written is lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from livefeed.sources.demo.election import Election
from livefeed.storage.record_file import Ending
from livefeed.storage.recorder import Recorder
from livefeed.storage.recording import Recording
from tests.helpers.waiting import wait_until
from tests.integration.harness import WAIT_S, WORKERS, Process, free_port

if TYPE_CHECKING:
    from tests.integration.conftest import Start
    from tests.integration.harness import Livefeed

BEGAN_AT = 1_800_000_000

DEMO_S = int(os.environ.get("LIVEFEED_TEST_RECORDED_S", "60" if WORKERS else "180"))
"""Seconds of the demonstration that are played; `make recorded-hour` plays an hour."""

SPEED = 5 if WORKERS else 60
"""The speed. A worker that is busy is given the newest version alone, so with workers nothing is promised at 60."""

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


def record_demo(path: Path, seconds: int) -> None:
    """Makes a recording of the demonstration, as if it had been recorded for that time."""
    night, recorder, last = Election(1), Recorder(path), b""
    recorder.begin(BEGAN_AT, feed="feed", source="demo:")
    after_s = 0.0
    for second in range(seconds):
        document = night.document(BEGAN_AT + second)
        if document != last:
            recorder.append(document, after_s)
            last, after_s = document, 0.0
        after_s += 1.0
    recorder.end(after_s)


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
            for number in range(20):
                expected.append(put(livefeed, 1 + 20 * round_ + number))
                # A version that another one follows at once may be skipped.
                wait_until(
                    lambda: versions(path) == expected, lambda: f"{len(versions(path))} of {len(expected)} versions"
                )
            recorder.signal(signal.SIGINT if round_ == 2 else signal.SIGKILL)
            code = recorder.wait()
            assert (code, verify(path)) == ((0, 0) if round_ == 2 else (-signal.SIGKILL, 4)), recorder.text()
    # An incomplete record at the end, as after a kill in the middle of a write.
    size = path.stat().st_size
    os.truncate(path, size - 7)
    assert verify(path) == 4
    with Recording(path) as recording:
        assert recording.scan().ending is Ending.TORN


@pytest.mark.processes
def test_refused_documents(start: Start, tmp_path: Path) -> None:
    """What was refused, when and why, can be looked up afterwards."""
    settings = tmp_path / "livefeed.toml"
    settings.write_text('[feeds.feed]\nsource = "store:"\n[feeds.feed.rules.votes]\nnever_falls = ["/votes"]\n')
    state = tmp_path / "state"
    livefeed = start("--config", str(settings), "--state-dir", str(state), live=False)
    put(livefeed, 5)
    refused = put(livefeed, 0)
    path = state / "feed.refused"
    wait_until(lambda: path.exists() and versions(path) == [refused], "the document is not there")
    done = subprocess.run([LIVEFEED, "recording", "list", "--json", str(path)], capture_output=True, check=True)
    (row,) = map(json.loads, done.stdout.splitlines())
    assert (row["rule"], row["pointer"], row["why"]) == ("votes", "/votes", "/votes falls from 5 to 0")


@pytest.mark.processes
def test_recorded_night_is_the_same_again(start: Start, tmp_path: Path) -> None:
    """Watchers are sent the same versions in the same order; copies that were changed are noticed."""
    original, copy = tmp_path / "original.recording", tmp_path / "copy.recording"
    record_demo(original, DEMO_S)
    assert verify(original) == 0
    listen = f"tcp:{free_port()}:interface=127.0.0.1"
    livefeed = start("--source", f"recording:{original}?speed=0.01", listen=(listen,))
    with contextlib.closing(record(livefeed, copy)) as recorder, livefeed.operator() as client:
        recorder.wait_for("is live, connected")
        for change in ({"seek": "start"}, {"speed": SPEED}):
            assert client.post("/-/playback", json=change).is_success
        # At most 50 versions are played in a second.
        assert recorder.wait(WAIT_S + DEMO_S / min(SPEED, 25)) == 0, recorder.text()
        assert "the feed has ended" in recorder.text()
        assert client.post("/-/playback", json={}).json()["playing"] == "ended"
    assert versions(copy) == versions(original)
    assert len(versions(copy)) > DEMO_S / 5
    assert verify(copy) == 0
    whole = copy.read_bytes()
    for changed, code in (
        (whole[:-1], 4),
        (whole[: len(whole) // 2], 4),
        (whole.replace(b'"whole"', b'"whale"', 1), 1),
    ):
        copy.write_bytes(changed)
        assert verify(copy) == code
