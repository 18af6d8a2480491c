"""The wall clock of a real process is set, forwards and backwards: only displayed times change.

libfaketime changes the time of day that the process sees, and leaves the clocks alone that cannot be set.
"""

from __future__ import annotations

import json
import time
from collections import deque
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest

from livefeed.document.stored_version import StoredVersion
from livefeed.storage.ring import Ring
from tests.helpers.earlier_records import earlier_record
from tests.integration.harness import TLS, TWIST, TWISTD, WAIT_S, Livefeed, replace_file
from tests.integration.wall_clock import WallClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import httpx

    from tests.integration.conftest import Start

pytestmark = pytest.mark.processes

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400
STEPS_S = (-MINUTE_S, -HOUR_S, -DAY_S, HOUR_S)
"""The offsets from the machine's clock in seconds, one after the other."""

POLLERS = 30
TOLERANCE_S = 2.5
"""Date has the grain of a second, and an answer may be given again for a while: far less than any step."""


@pytest.fixture
def wall(tmp_path: Path) -> WallClock:
    """A clock that is right."""
    clock = WallClock(tmp_path / "time")
    clock.set_by(0)
    return clock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The document's file."""
    path = tmp_path / "document.json"
    replace_file(path, b"[0]")
    return path


def serve(start: Start, wall: WallClock, path: Path, *options: str, live: bool = True) -> Livefeed:
    """Starts a livefeed with this clock."""
    options = ("--source", f"file:{path}", "--interval", "0.2", *options)
    return start(*options, command=wall.command(*TWISTD), live=live)


def at(answer: httpx.Response) -> float:
    """Gives the time of an answer's ``Livefeed-At``."""
    return datetime.fromisoformat(answer.headers["Livefeed-At"]).timestamp()


def date(answer: httpx.Response) -> float:
    """Gives the time of an answer's ``Date``."""
    return parsedate_to_datetime(answer.headers["Date"]).timestamp()


def answers(livefeed: Livefeed, wanted: Callable[[httpx.Response], bool]) -> httpx.Response:
    """Polls, on one connection, until an answer is as it is wanted, and gives it."""
    end = time.monotonic() + WAIT_S
    seen: deque[Any] = deque(maxlen=3)
    while time.monotonic() < end:
        answer = livefeed.http.get("/feed")
        if wanted(answer):
            return answer
        seen.append((answer.status_code, dict(answer.headers)))
    raise AssertionError(f"no such answer: {list(seen)}")


def shows(step_s: float) -> Callable[[httpx.Response], bool]:
    """Gives a function that tells whether the Date of an answer follows a clock that was set."""
    return lambda answer: abs(date(answer) - time.time() - step_s) < TOLERANCE_S


def test_clock_is_set_while_the_source_is_there(start: Start, wall: WallClock, path: Path) -> None:
    """Pulls, pushes and polls go on, all clients stay connected, and displayed times are right at once."""
    livefeed = serve(start, wall, path)
    pollers = [livefeed.wire() for _ in range(POLLERS)]
    poll = b"GET /feed HTTP/1.1\r\nHost: localhost\r\n\r\n"
    number = 0
    with livefeed.websocket() as subscriber:
        for step_s in STEPS_S:
            for poller in pollers:
                poller.send(poll)
                assert poller.response().status == 200
            wall.set_by(step_s)
            # More ticks than can have been under way.
            for _ in range(4):
                number += 1
                replace_file(path, b"[%d]" % number)
                while subscriber.recv(timeout=WAIT_S) != f"[{number}]":
                    pass
            answer = answers(livefeed, shows(step_s))
            assert answer.headers["Livefeed-State"] == "live"
            assert int(answer.headers["Livefeed-Age"]) < TOLERANCE_S
            assert abs(date(answer) - at(answer)) < TOLERANCE_S
        for poller in pollers:
            poller.send(poll)
            assert poller.response().status == 200
            poller.close()
    assert livefeed.terminate() == 0


def test_clock_is_set_while_the_source_is_away(start: Start, wall: WallClock, path: Path) -> None:
    """The age goes on as it was, and the time of the data is as long ago; the source is found again when it is back."""
    began = time.monotonic()
    livefeed = serve(start, wall, path)
    with livefeed.websocket(subprotocols=["livefeed.delta.v1"]) as subscriber:
        path.unlink()
        livefeed.wait_for_log("is stale")
        before = answers(livefeed, lambda answer: answer.headers["Livefeed-State"] == "stale")
        for step_s in STEPS_S:
            age_s = int(before.headers["Livefeed-Age"])
            wall.set_by(step_s)
            after = answers(livefeed, shows(step_s))
            assert after.headers["Livefeed-State"] == "stale"
            assert age_s <= int(after.headers["Livefeed-Age"]) <= time.monotonic() - began
            assert abs(at(after) - at(before) - step_s) < 0.5, "it is not by the clock as it is set now"
            while abs(timestamp_of(json.loads(subscriber.recv(timeout=WAIT_S))) - at(after)) > 0.5:
                pass
        mark = livefeed.mark()
        replace_file(path, b"[1]")
        livefeed.wait_for_log("is live", start=mark)
        while json.loads(subscriber.recv(timeout=WAIT_S))["state"] != "live":
            pass
    assert livefeed.terminate() == 0


def timestamp_of(message: dict[str, Any]) -> float:
    """Gives the time of a message's data."""
    return datetime.fromisoformat(message["at"]).timestamp()


def test_clock_is_set_a_day_back_and_the_document_is_gone_in_time(start: Start, wall: WallClock, path: Path) -> None:
    """It is not shown for a day longer."""
    livefeed = serve(start, wall, path, "--gone-after", "1.5")
    wall.set_by(-DAY_S)
    path.unlink()
    livefeed.wait_for_log("is stale")
    answers(livefeed, lambda answer: answer.status_code != 200)
    assert livefeed.terminate() == 0


@pytest.mark.parametrize("step_s", [-DAY_S, DAY_S])
def test_clock_is_wrong_at_the_next_start(start: Start, wall: WallClock, path: Path, step_s: int) -> None:
    """The age of a restored version counts from the start of the machine. Versions continue in a later epoch."""
    state = ("--state-dir", "state", "--gone-after", "600")
    livefeed = serve(start, wall, path, *state)
    first = livefeed.http.get("/feed")
    began = time.monotonic()
    assert livefeed.terminate() == 0
    path.unlink()
    wall.set_by(step_s)
    livefeed = serve(start, wall, path, *state, live=False)
    answer = livefeed.http.get("/feed")
    assert (answer.status_code, answer.headers["Livefeed-State"]) == (200, "stale")
    # It was pulled when the first process began, which took no longer than any step of its start.
    assert 0 <= int(answer.headers["Livefeed-Age"]) <= time.monotonic() - began + WAIT_S
    assert abs(date(answer) - at(answer) - int(answer.headers["Livefeed-Age"])) < TOLERANCE_S
    replace_file(path, b"[1]")
    answer = answers(livefeed, lambda answer: answer.content == b"[1]")
    assert sequence(answer) > sequence(first)
    assert livefeed.terminate() == 0


@pytest.mark.startup
def test_document_of_unknown_age(start: Start, wall: WallClock, path: Path, tmp_path: Path) -> None:
    """One from the future, of which an earlier livefeed has kept no more: it is gone when it is old by this process."""
    livefeed = serve(start, wall, path, "--state-dir", "state")
    # The next start must be over before the document is gone.
    gone_after_s = max(4.0, 4 * livefeed.start_s)
    assert livefeed.terminate() == 0
    path.unlink()
    (file,) = (tmp_path / "state").glob("*.versions")
    (kept,) = Ring(file, 1, 0).read(1_000_000)[0]
    file.write_bytes(earlier_record(StoredVersion(kept.data, kept.facts.sequence, kept.facts.at)))
    for confirmed in (tmp_path / "state").glob("*.confirmed"):
        confirmed.unlink()
    wall.set_by(-DAY_S)
    livefeed = serve(start, wall, path, "--state-dir", "state", "--gone-after", f"{gone_after_s:.1f}", live=False)
    answer = answers(livefeed, lambda answer: answer.status_code == 200)
    assert at(answer) <= date(answer) + 1
    answers(livefeed, lambda answer: answer.status_code != 200)
    assert livefeed.terminate() == 0


def sequence(answer: httpx.Response) -> tuple[int, int]:
    """Gives the sequence of an answer."""
    epoch, number = answer.headers["Livefeed-Sequence"].split(".")
    return int(epoch), int(number)


@pytest.mark.parametrize(
    "command",
    [(*TWISTD, f"--reactor={reactor}") for reactor in ("poll", "asyncio")] + [TWIST],
    ids=lambda command: command[-1],
)
def test_every_reactor(start: Start, wall: WallClock, command: tuple[str, ...]) -> None:
    """Twisted's others are told the time in the same way, by both programs that run it; the demo shows the time."""
    livefeed = start(command=wall.command(*command), listen=(TLS,))
    with livefeed.websocket() as subscriber:
        subscriber.recv(timeout=WAIT_S)
        wall.set_by(-HOUR_S)
        while True:
            shown = datetime.fromisoformat(json.loads(subscriber.recv(timeout=WAIT_S))["updated"]).timestamp()
            if abs(shown - time.time() + HOUR_S) < TOLERANCE_S:
                break
        assert subscriber.recv(timeout=WAIT_S)
    assert "scheduled before" not in livefeed.log()
    assert livefeed.terminate() == 0
