"""An overlay on a document from Redis: on its element, through restarts, to all workers, and away without a trace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.waiting import wait_until
from tests.integration.harness import TEXT, WAIT_S, Redis

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.conftest import Start
    from tests.integration.harness import Livefeed

pytestmark = pytest.mark.processes

LIVEFEED = str(Path(sys.executable).with_name("livefeed"))
POINTER = "/{name=North}/votes"
SETTINGS = """
[feeds.feed]
source = "redis://127.0.0.1:%d/0/results"

[feeds.feed.rules.votes]
never_falls = ["/{name=*}/votes"]
"""


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    """A Redis with the document of a night."""
    with Redis(tmp_path) as redis:
        put(redis, night(12, 7))
        yield redis


def night(north: int, south: int, *, turned: bool = False) -> bytes:
    """Gives a document of two districts, in one of two orders."""
    districts = [{"name": "North", "votes": north}, {"name": "South", "votes": south}]
    return json.dumps(districts[::-1] if turned else districts).encode()


def put(redis: Redis, document: bytes) -> None:
    """Stores a document."""
    redis.command("SET", "results", document)


def overlay(livefeed: Livefeed, *arguments: str) -> str:
    """Runs ``livefeed ctl overlay``, and gives its output."""
    environment = {**os.environ, "LIVEFEED_RUNTIME_DIR": str(livefeed.runtime_dir)}
    command = [LIVEFEED, "ctl", "overlay", "feed", *arguments]
    done = subprocess.run(command, capture_output=True, check=False, timeout=WAIT_S, env=environment, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def hidden_values(livefeed: Livefeed) -> list[str]:
    """Gives the values of the source that the overlay hides."""
    with livefeed.operator() as client:
        entries = client.get("/-/desk/feed").json()["overlay"]
    return [place["hidden"] for entry in entries for place in entry["places"]]


def shows(livefeed: Livefeed, document: bytes, pointers: str | None, path: str = "/feed") -> None:
    """Waits until every answer has a document or part, with the field of its overlaid pointers."""

    def is_shown() -> bool:
        # Of each worker, mostly: each connection goes to one by chance.
        for _ in range(4):
            with livefeed.new_client() as client:
                answer = client.get(path)
            if (answer.content, answer.headers.get("livefeed-overlay") or None) != (document, pointers):
                return False
        return True

    wait_until(is_shown, f"not everybody is shown {document!r} with {pointers}")


def start_night(start: Start, redis: Redis, folder: Path) -> Livefeed:
    """Starts a livefeed whose decisions survive it."""
    source = f"redis://127.0.0.1:{redis.port}/0/results"
    return start("--source", source, "--state-dir", str(folder / "state"), "--interval", "0.2")


def test_it_stays_on_its_element_through_a_restart(start: Start, redis: Redis, tmp_path: Path) -> None:
    """The list is sorted anew, livefeed is started again, and the value stays where it belongs; then all is gone."""
    livefeed = start_night(start, redis, tmp_path)
    text = overlay(livefeed, "set", POINTER, "99", "--reason", "as phoned in")
    assert "at /0/votes, the source has 12" in text
    assert "Undo: livefeed ctl overlay feed drop '/{name=North}/votes'" in text
    shows(livefeed, night(99, 7), '"/0/votes"')
    shows(livefeed, b'{"name": "North", "votes": 99}', '"/votes"', "/feed/0")
    shows(livefeed, b"99", '""', "/feed/0/votes")
    shows(livefeed, b'{"name": "South", "votes": 7}', None, "/feed/1")
    put(redis, night(13, 8, turned=True))
    shows(livefeed, night(99, 8, turned=True), '"/1/votes"')
    assert livefeed.terminate() == 0
    again = start_night(start, redis, tmp_path)
    # From the first answer on: also the version of before the restart has its list.
    answer = again.http.get("/feed")
    assert (answer.content, answer.headers["livefeed-overlay"]) == (night(99, 8, turned=True), '"/1/votes"')
    assert "as phoned in" in overlay(again, "list")
    overlay(again, "drop", POINTER)
    shows(again, night(13, 8, turned=True), None)
    assert "no overlay" in overlay(again, "list")
    assert redis.command("GET", "results") == night(13, 8, turned=True)


def test_subscribers_are_told(start: Start, redis: Redis, tmp_path: Path) -> None:
    """A subscriber of the whole and one of a part receive value and pointers in one message, and the end of both."""
    livefeed = start_night(start, redis, tmp_path)

    def receive(wire: Any, condition: str, value: object) -> dict[str, Any]:
        while True:
            message: dict[str, Any] = json.loads(wire.frame_of(TEXT))
            if message["path"].startswith("/feed") and message.get(condition) == value:
                return message

    with livefeed.subscriber_wire(subprotocol="livefeed.delta.v2") as wire:
        receive(wire, "type", "document")
        overlay(livefeed, "set", POINTER, "99")
        told = receive(wire, "overlay", ["/0/votes"])
        assert told["type"] in ("splices", "document")
        # The source has the value itself: the document stays, and its list goes.
        put(redis, night(99, 7))
        wait_until(lambda: hidden_values(livefeed) == ["99"], "the source's own value was not pulled")
        overlay(livefeed, "clear")
        assert receive(wire, "overlay", None)["version"] == told["version"]


def test_a_rule_judges_it(start: Start, redis: Redis, tmp_path: Path) -> None:
    """A correction that a rule refuses waits, as the answer says, until it is released; zeros are repaired by one."""
    config = tmp_path / "livefeed.toml"
    config.write_text(SETTINGS % redis.port)
    livefeed = start("--config", str(config), "--state-dir", str(tmp_path / "state"), "--interval", "0.2")
    text = overlay(livefeed, "set", POINTER, "5")
    assert "falls from 12 to 5 (rule votes)" in text
    assert "livefeed ctl release feed" in text
    shows(livefeed, night(12, 7), None)
    with livefeed.operator() as client:
        assert client.post("/-/release", json={}).json()["state"] == "live"
    shows(livefeed, night(5, 7), '"/0/votes"')
    put(redis, night(13, 0))
    livefeed.answer_in_state("held")
    overlay(livefeed, "set", "/{name=South}/votes", "8")
    shows(livefeed, night(5, 8), '"/0/votes", "/1/votes"')
    status = livefeed.metrics_with(r'^livefeed_overlay_entries\{feed="feed"\} 2')
    assert 'livefeed_overlay_entries_unfit{feed="feed"} 0' in status
