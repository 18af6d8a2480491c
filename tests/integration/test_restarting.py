"""The state that survives a restart: the last versions and their order, so that returning clients continue."""

from __future__ import annotations

import json
import re
import signal
import time
from typing import TYPE_CHECKING
from uuid import NAMESPACE_OID, uuid5

import pytest
from websockets.exceptions import InvalidStatus

from livefeed.document.snapshot import Sequence
from livefeed.document.stored_version import StoredVersion
from livefeed.storage.journal import Journal
from tests.helpers.waiting import wait_until
from tests.integration.harness import WAIT_S, Livefeed, replace_file

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import Start

pytestmark = pytest.mark.processes

DELTA = "livefeed.delta.v1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The document's file."""
    path = tmp_path / "document.json"
    replace_file(path, document(0))
    return path


def document(number: int) -> bytes:
    """Gives a document of which a little changes, and that cannot be compressed much."""
    return json.dumps({"number": number, "rest": [str(uuid5(NAMESPACE_OID, str(n))) for n in range(40)]}).encode()


def serve(start: Start, path: Path, *, live: bool = True) -> Livefeed:
    """Starts a livefeed that keeps its versions."""
    options = ("--source", f"file:{path}", "--interval", "0.1", "--state-dir", "state")
    return start(*options, live=live)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_versions_survive(start: Start, path: Path, number: signal.Signals) -> None:
    """Versions survive any end of the process and a start without the source; patches continue from there."""
    livefeed = serve(start, path)
    with livefeed.websocket(subprotocols=[DELTA]) as subscriber:
        subscriber.recv(timeout=WAIT_S)
        replace_file(path, document(1))
        while (message := json.loads(subscriber.recv(timeout=WAIT_S)))["type"] == "heartbeat":
            pass
    before = livefeed.http.get("/feed")
    assert before.content == document(1)
    livefeed.process.signal(number)
    livefeed.process.wait()
    path.unlink()
    again = serve(start, path, live=False)
    after = again.http.get("/feed")
    assert (after.status_code, after.content) == (200, document(1))
    names = ("ETag", "Livefeed-Sequence")
    assert [after.headers[name] for name in names] == [before.headers[name] for name in names]
    assert after.headers["Livefeed-State"] == "stale"
    # Before it says that it listens.
    assert re.search(r"has its last 2 versions back(?s:.)*listening on", again.log())
    with again.websocket(f"/feed.ws?have={message['version']}", subprotocols=[DELTA]) as subscriber:
        assert json.loads(subscriber.recv(timeout=WAIT_S))["type"] == "heartbeat"
        replace_file(path, document(2))
        while (message := json.loads(subscriber.recv(timeout=WAIT_S)))["type"] == "heartbeat":
            pass
    assert (message["type"], message["from"]) == ("patch", before.headers["Livefeed-Version"])
    assert message["patch"] == [{"op": "replace", "path": "/number", "value": 2}]
    epochs = [int(re.sub(r"\..*", "", text)) for text in (before.headers["Livefeed-Sequence"], message["sequence"])]
    assert epochs[0] < epochs[1]
    assert again.terminate() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_age_survives(start: Start, path: Path, tmp_path: Path, number: signal.Signals) -> None:
    """A document that has not changed for an hour, and was confirmed a moment ago, is not gone after a restart."""
    state = tmp_path / "state"
    journal = Journal(state / "feed.versions", 1 << 20)
    journal.open()
    journal.append(StoredVersion(document(0), Sequence(1, 1), time.time() - 3600))
    journal.close()
    options = ("--source", f"file:{path}", "--interval", "0.1", "--state-dir", "state", "--gone-after", "600")
    livefeed = start(*options)
    before = livefeed.http.get("/feed")
    assert (before.headers["Livefeed-State"], before.headers["Livefeed-Sequence"]) == ("live", "1.1")
    if number is signal.SIGKILL:
        # A process that is killed has written its first confirmation, and those until a few seconds ago.
        kept = state / "feed.confirmed"
        wait_until(lambda: kept.exists() and kept.read_bytes().endswith(b"\n"), "a confirmation is kept")
    else:
        first = before.headers["Livefeed-At"]
        wait_until(lambda: livefeed.http.get("/feed").headers["Livefeed-At"] > first, "another pull is good")
        before = livefeed.http.get("/feed")
    path.unlink()
    livefeed.process.signal(number)
    livefeed.process.wait()
    again = start(*options, live=False)
    after = again.http.get("/feed")
    assert (after.status_code, after.headers["Livefeed-State"], after.content) == (200, "stale", document(0))
    assert "is expired" not in again.log()
    if number is signal.SIGTERM:
        assert after.headers["Livefeed-At"] >= before.headers["Livefeed-At"]


@pytest.mark.startup
def test_two_processes_do_not_share_a_folder(start: Start, path: Path) -> None:
    """The second ends with a line that says why, and the first goes on."""
    livefeed = serve(start, path)
    with pytest.raises(AssertionError, match="another process keeps its versions there") as refusal:
        serve(start, path)
    assert ": the page is" not in str(refusal.value)
    assert livefeed.http.get("/feed").status_code == 200


@pytest.mark.startup
def test_folder_that_cannot_be_made(start: Start, path: Path, tmp_path: Path) -> None:
    """One line, and exit code 1."""
    (tmp_path / "state").write_bytes(b"")
    with pytest.raises(AssertionError, match=r"livefeed: --state-dir: .*state"):
        serve(start, path)


def test_too_old_to_be_shown(start: Start, path: Path) -> None:
    """A document beyond the operator's limit is not shown until there is a new one."""
    options = ("--source", f"file:{path}", "--interval", "0.1", "--gone-after", "0.5", "--stale-after", "0.2")
    livefeed = start(*options)
    assert livefeed.http.get("/feed").headers["Livefeed-State"] == "live"
    mark = livefeed.mark()
    path.unlink()
    livefeed.wait_for_log("is stale", start=mark)
    # As it is: pulls fail, for that reason, and the feed is not stale before it says so.
    first, second = livefeed.log(mark).splitlines()[:2]
    assert re.search(r'pulls of feed "feed" fail: file:\S+: .*No such file.*; it will be stale in 0\.\d s$', first)
    assert re.search(r'feed "feed" is stale: file:\S+: .*No such file', second)
    waiting = {"If-None-Match": "*", "Prefer": "wait=1"}
    answers = (livefeed.http.get("/feed", headers=waiting) for _ in range(10))
    gone = next(answer for answer in answers if answer.status_code != 304)
    assert (gone.status_code, gone.headers["Livefeed-State"]) == (410, "expired")
    with pytest.raises(InvalidStatus, match="410"):
        livefeed.websocket("/feed.ws")
    mark = livefeed.mark()
    replace_file(path, document(3))
    livefeed.wait_for_log("is live", start=mark)
    answer = livefeed.answer_in_state("live")
    assert (answer.content, answer.headers["Livefeed-State"]) == (document(3), "live")
