"""Documents under embargo in a real livefeed: nothing is visible early, through restarts, kills and upgrades."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from livefeed.document.snapshot import version_of
from tests.helpers.waiting import wait_until
from tests.integration.desks import command
from tests.integration.harness import TCP, TEXT, WAIT_S, Livefeed
from tests.integration.upgrading import end, upgrade, wait_until_ready

if TYPE_CHECKING:
    from livefeed.tls.development import DevelopmentCertificate
    from tests.integration.conftest import Start

pytestmark = pytest.mark.processes

LIVEFEED = str(Path(sys.executable).with_name("livefeed"))
SECRET = b'{"winner": "nobody may know this yet"}'


def run(*arguments: str, livefeed: Livefeed, document: bytes = b"") -> tuple[int, str]:
    """Runs a command, and gives its exit code and its output."""
    environment = {**os.environ, "LIVEFEED_RUNTIME_DIR": str(livefeed.runtime_dir), "TZ": "UTC"}
    done = subprocess.run(
        [LIVEFEED, *arguments], input=document, capture_output=True, check=False, timeout=WAIT_S, env=environment
    )
    return done.returncode, (done.stdout + done.stderr).decode()


def options(tmp_path: Path) -> tuple[str, ...]:
    return ("--source", "store:", "--state-dir", str(tmp_path / "state"), "--interval", "0.2")


def put(livefeed: Livefeed, document: bytes, in_s: float | None = None) -> Any:
    """Stores a document, or sets it aside for some seconds, and gives the answer."""
    at = None if in_s is None else datetime.fromtimestamp(time.time() + in_s, UTC).isoformat()
    fields = {} if at is None else {"Livefeed-Publish-At": at}
    with livefeed.operator() as client:
        answer = client.put("/feeds/feed", content=document, headers=fields)
    assert answer.status_code == (200 if at is None else 202), answer.text
    return answer.json()


def listed(livefeed: Livefeed) -> list[Any]:
    with livefeed.operator() as client:
        found: list[Any] = client.get("/-/embargoes").json()
        return found


def stored(livefeed: Livefeed) -> list[str]:
    """Gives the versions that were stored, the oldest first."""
    with livefeed.operator() as client:
        return [each["version"] for each in reversed(client.get("/feeds/feed/versions").json())]


def wait_until_shown(livefeed: Livefeed, document: bytes) -> None:
    wait_until(lambda: livefeed.http.get("/feed").content == document, livefeed.log)


def wait_for_time(at: float) -> None:
    """Returns once a time has passed."""
    wait_until(lambda: time.time() > at, lambda: "the time did not pass")


def said(livefeed: Livefeed) -> str:
    """Gives all that watchers and monitoring are told."""
    with livefeed.operator() as client:
        told = [client.get(path) for path in ("/feeds", "/feeds/feed", "/feeds/feed/versions", "/metrics", "/status")]
    told += [livefeed.http.get("/feed"), livefeed.http.get("/")]
    return "".join(f"{each.headers}{each.text}" for each in told) + livefeed.log()


def test_nothing_is_visible_before(start: Start, tmp_path: Path) -> None:
    """Not in answers, versions, metrics, status or log; then every watcher is shown it."""
    livefeed = start(*options(tmp_path), live=False)
    code, text = run("publish", "-", livefeed=livefeed, document=b"[1]")
    assert code == 0, text
    with livefeed.subscriber_wire() as wire:
        assert wire.frame_of(TEXT) == b"[1]"
        code, text = run("publish", "-", "--at", "+4s", livefeed=livefeed, document=SECRET)
        assert (code, "Nothing of it is visible before" in text) == (0, True), text
        [entry] = listed(livefeed)
        assert (entry["version"], entry["kind"]) == (version_of(SECRET), "publish")
        before = said(livefeed)
        assert livefeed.http.get("/feed").content == b"[1]"
        for word in (version_of(SECRET)[:8], "nobody may know", f" {len(SECRET)}\n", f'"write": {2}'):
            assert word not in before
        while (frame := wire.frame_of(TEXT)) == b"[1]":
            pass
        assert frame == SECRET
    assert stored(livefeed) == [version_of(b"[1]"), version_of(SECRET)]
    assert listed(livefeed) == []
    livefeed.wait_for_log("is stored, and watchers are shown it")
    code, text = run("ctl", "audit", livefeed=livefeed)
    assert (code, "embargo set aside" in text, "embargo end" in text) == (0, True, True), text


def test_time_that_passes_while_livefeed_is_down(start: Start, tmp_path: Path) -> None:
    """The documents are stored at the start, in the order of their times; those of later stay."""
    livefeed = start(*options(tmp_path), live=False)
    put(livefeed, b"[2]", 1.2)
    put(livefeed, b"[1]", 1.0)
    later = put(livefeed, b"[3]", 3600)
    cancelled = put(livefeed, b"[4]", 1.1)
    code, text = run("ctl", "embargo", "cancel", cancelled["id"], livefeed=livefeed)
    assert (code, "It will not happen" in text) == (0, True), text
    livefeed.process.signal(signal.SIGKILL)
    livefeed._kill_all()
    wait_for_time(time.time() + 1.2)
    again = start(*options(tmp_path))
    wait_until_shown(again, b"[2]")
    assert stored(again) == [version_of(b"[1]"), version_of(b"[2]")]
    assert [each["id"] for each in listed(again)] == [later["id"]]
    code, text = run("ctl", "embargo", "publish", later["id"], livefeed=again)
    assert code == 0, text
    wait_until_shown(again, b"[3]")


def test_release(start: Start, tmp_path: Path) -> None:
    """A hold ends by itself. Watchers keep what they see until then."""
    livefeed = start(*options(tmp_path), live=False)
    put_first = run("publish", "-", livefeed=livefeed, document=b"[1]")
    assert put_first[0] == 0, put_first[1]
    code, text = run("ctl", "hold", "--reason", "until nine", livefeed=livefeed)
    assert (code, "Undo: livefeed ctl release feed" in text) == (0, True), text
    code, text = run("ctl", "release", "--at", "+2s", livefeed=livefeed)
    assert (code, "the hold goes on until" in text) == (0, True), text
    code, text = run("publish", "-", livefeed=livefeed, document=b"[2]")
    assert code == 4, text
    assert livefeed.answer_in_state("held").content == b"[1]"
    assert livefeed.answer_in_state("live").content == b"[2]"
    assert listed(livefeed) == []


def test_condition_that_fails(start: Start, tmp_path: Path) -> None:
    """The document is kept, and told."""
    livefeed = start(*options(tmp_path), live=False)
    code, text = run("publish", "-", "--at", "+1s", "--if-match", "00", livefeed=livefeed, document=b"[9]")
    assert code == 0, text
    livefeed.wait_for_log("is NOT carried out")
    code, text = run("ctl", "embargo", livefeed=livefeed)
    assert (code, "FAILED" in text, "no document is stored" in text) == (0, True, True), text
    code, text = run("ctl", "embargo", "publish", listed(livefeed)[0]["id"], "--any-version", livefeed=livefeed)
    assert code == 0, text
    wait_until_shown(livefeed, b"[9]")


def test_kills(start: Start, tmp_path: Path) -> None:
    """Whenever livefeed is killed, each document is stored once, and never over a later one."""
    chance = random.Random(int.from_bytes(os.urandom(2)))
    expected: list[str] = []
    for number in range(4):
        livefeed = start(*options(tmp_path), live=False)
        document = b"[%d]" % number
        put(livefeed, document, 0.3)
        expected.append(version_of(document))
        wait_for_time(time.time() + 0.25 + chance.random() * 0.15)
        livefeed.process.signal(signal.SIGKILL)
        livefeed._kill_all()
    livefeed = start(*options(tmp_path))
    wait_until(lambda: not listed(livefeed), livefeed.log)
    assert stored(livefeed) == expected
    put(livefeed, b'"later"')
    livefeed.process.signal(signal.SIGKILL)
    livefeed._kill_all()
    livefeed = start(*options(tmp_path))
    assert stored(livefeed) == [*expected, version_of(b'"later"')]


def test_upgrade(certificate: DevelopmentCertificate, tmp_path: Path) -> None:
    """The next program has the embargoes, and a document that is due meanwhile is stored once."""
    arguments = (*options(tmp_path), "--workers", "1", "--drain", "0")
    with Livefeed(*arguments, directory=tmp_path, certificate=certificate, listen=(TCP,), live=False) as livefeed:
        try:
            wait_until_ready(livefeed)
            put(livefeed, b"[1]", 1.5)
            put(livefeed, b"[2]", 3600)
            code, output = upgrade(livefeed, "--unsupervised")
            assert code == 0, output
            wait_until_ready(livefeed)
            wait_until_shown(livefeed, b"[1]")
            assert stored(livefeed) == [version_of(b"[1]")]
            [entry] = listed(livefeed)
            command(livefeed, "embargo", action="publish", id=entry["id"])
            wait_until_shown(livefeed, b"[2]")
            assert json.loads((tmp_path / "state" / "audit.log").read_text().splitlines()[-1])["outcome"] == "done"
        finally:
            end(livefeed)
