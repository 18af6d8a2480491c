"""The desk of a real livefeed: rules and commands, from a real Redis to watchers, through restarts and kills."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from livefeed.document.snapshot import version_of
from tests.helpers.waiting import wait_until
from tests.integration.desks import RULES, command, desk
from tests.integration.harness import HOST, TCP, WAIT_S, Livefeed, Redis, assert_soon, free_port, replace_file
from tests.integration.upgrading import end, upgrade, wait_until_ready

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from livefeed.tls.development import DevelopmentCertificate
    from tests.integration.conftest import Start

pytestmark = pytest.mark.processes


def votes(number: int) -> bytes:
    return b'{"votes": %d}' % number


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    with Redis(tmp_path) as running:
        yield running


def is_pulled(livefeed: Livefeed) -> bool:
    """Tells whether the first pull has ended."""
    return bool(desk(livefeed)["state"] != "stale")


def configured(tmp_path: Path, source: str, more: str = "") -> tuple[str, ...]:
    """Writes a file of settings, and gives the options for it."""
    config = tmp_path / "livefeed.toml"
    config.write_text(more + RULES.format(source=source))
    return ("--config", str(config), "--state-dir", str(tmp_path / "state"))


def test_we_published_zeros_and_nobody_saw_them(start: Start, redis: Redis, tmp_path: Path) -> None:
    """Watchers keep the last good document, are told that it is held and for how long, and see what is released."""
    redis.command("SET", "results", votes(1200))
    livefeed = start(*configured(tmp_path, redis.url("results"), "public_reasons = true\n"))
    with livefeed.websocket(subprotocols=["livefeed.delta.v2"]) as subscriber:

        def message(state: str) -> Any:
            while (found := json.loads(subscriber.recv(timeout=WAIT_S)))["state"] != state:
                pass
            return found

        assert message("live")["text"] == votes(1200).decode()
        redis.command("SET", "results", votes(0))
        held = message("held")
        assert (held["type"], held["reason"]) == ("heartbeat", "/votes falls from 1200 to 0")
        assert message("held")["waiting"] > 0
        answer = livefeed.answer_in_state("held")
        assert (answer.status_code, answer.content) == (200, votes(1200))
        assert answer.headers["Livefeed-Reason"] == '"/votes falls from 1200 to 0"'
        assert "Livefeed-Waiting" in answer.headers
        assert 'livefeed_rule_violations_total{action="hold",feed="feed",rule="votes"} 1.0' in livefeed.metrics()
        waiting = desk(livefeed)["waiting"]
        assert (waiting["rule"], waiting["version"]) == ("votes", version_of(votes(0)))
        with livefeed.operator() as client:
            assert client.get("/-/desk/feed/waiting").content == votes(0)
            assert client.get("/status").json()["feeds"][0]["waiting"]["rule"] == "votes"
        command(livefeed, "release", version=waiting["version"][:8])
        assert message("live")["version"] == version_of(votes(0))
        command(livefeed, "rollback", reason="They were zeros.")
        held = message("held")
        assert (held["version"], held["reason"]) == (version_of(votes(1200)), "They were zeros.")
        command(livefeed, "withdraw")
        assert "text" not in message("withdrawn")
        assert livefeed.answer_in_state("withdrawn").status_code == 410
        redis.command("SET", "results", votes(1300))
        wait_until(lambda: desk(livefeed)["waiting"]["version"] == version_of(votes(1300)), livefeed.log)
        command(livefeed, "resume")
        assert message("live")["text"] == votes(1300).decode()
        command(livefeed, "end")
        assert message("ended")["version"] == version_of(votes(1300))
    answer = livefeed.answer_in_state("ended")
    events = {"Accept": "text/event-stream", "Last-Event-ID": version_of(votes(1300))}
    assert livefeed.http.get("/feed", headers=events).status_code == 204
    lines = (tmp_path / "state" / "audit.log").read_text().splitlines()
    assert [json.loads(line)["command"] for line in lines] == ["release", "rollback", "withdraw", "resume", "end"]


def test_restart(start: Start, tmp_path: Path) -> None:
    """Each decision is in force from the first answer on."""
    source = tmp_path / "document.json"
    replace_file(source, votes(1))
    options = (*configured(tmp_path, f"file:{source}"), "--orphan-after", "1")
    for name, status, state in (("hold", 200, "held"), ("withdraw", 410, "withdrawn")):
        livefeed = start(*options)
        command(livefeed, name)
        livefeed.process.signal(signal.SIGKILL)
        livefeed._kill_all()
        replace_file(source, votes(2))
        livefeed = start(*options, live=False)
        answer = livefeed.answer_in_state(state)
        assert answer.status_code == status
        assert b"2" not in answer.content
        command(livefeed, "release" if name == "hold" else "resume")
        replace_file(source, votes(3))
        livefeed.answer_in_state("live")
        assert livefeed.terminate() == 0


def test_reload(start: Start, tmp_path: Path) -> None:
    """Other rules judge the waiting document anew; the decision stays."""
    source = tmp_path / "document.json"
    replace_file(source, votes(5))
    livefeed = start(*configured(tmp_path, f"file:{source}"))
    replace_file(source, votes(4))
    assert livefeed.answer_in_state("held").content == votes(5)
    configured(tmp_path, f"file:{source}", 'log_level = "info"\n')
    config = tmp_path / "livefeed.toml"
    config.write_text(config.read_text().replace('never_falls = ["/votes"]', 'required = ["/votes"]'))
    command(livefeed, "reload")
    assert livefeed.answer_in_state("live").content == votes(4)
    command(livefeed, "hold")
    command(livefeed, "reload")
    assert desk(livefeed)["decision"]["kind"] == "hold"


@pytest.mark.chosen
def test_killed_parent(certificate: DevelopmentCertificate, tmp_path: Path) -> None:
    """Workers keep a withdrawal while there is no parent, and so does the next one, with a state directory or not."""
    source = tmp_path / "document.json"
    for number, kept in enumerate((("--state-dir", str(tmp_path / "state")), ())):
        replace_file(source, votes(1))
        options = ("--source", f"file:{source}", "--interval", "0.2", "--workers", "1", *kept)
        # Workers are adopted by a parent that has the same endpoints.
        endpoint = f"tcp:{free_port()}:interface={HOST}"
        with Livefeed(*options, directory=tmp_path, certificate=certificate, listen=(endpoint,)) as livefeed:
            wait_until_ready(livefeed)
            command(livefeed, "withdraw", reason="wrong")
            livefeed.answer_in_state("withdrawn")
            os.kill(livefeed.pid, signal.SIGKILL)
            livefeed.process.wait()
            assert livefeed.answer_in_state("withdrawn").status_code == 410
            replace_file(source, votes(2))
            arguments = [*options, "--runtime-dir", str(livefeed.runtime_dir)]
            with Livefeed(
                *arguments, directory=tmp_path, certificate=certificate, listen=(endpoint,), live=False
            ) as successor:
                successor.runtime_dir = livefeed.runtime_dir
                wait_until_ready(successor)
                for _ in range(20):
                    assert successor.http.get("/feed").status_code == 410, number
                decision = desk(successor)["decision"]
                assert (decision["kind"], decision["reason"]) == ("withdraw", "wrong")
                command(successor, "resume")
                assert successor.answer_in_state("live").content == votes(2)


@pytest.mark.chosen
def test_upgrade(certificate: DevelopmentCertificate, tmp_path: Path) -> None:
    """The next program has the decision, and goes on to know since when a document waits."""
    source = tmp_path / "document.json"
    replace_file(source, votes(5))
    options = (*configured(tmp_path, f"file:{source}"), "--workers", "1", "--drain", "0")
    with Livefeed(*options, directory=tmp_path, certificate=certificate, listen=(TCP,)) as livefeed:
        try:
            wait_until_ready(livefeed)
            replace_file(source, votes(4))
            assert livefeed.answer_in_state("held").content == votes(5)
            code, output = upgrade(livefeed, "--unsupervised")
            assert code == 0, output
            wait_until_ready(livefeed)
            since = desk(livefeed)["waiting"]["since"]
            assert livefeed.answer_in_state("held").content == votes(5)
            command(livefeed, "withdraw")
            code, output = upgrade(livefeed, "--unsupervised")
            assert code == 0, output
            wait_until_ready(livefeed)
            assert livefeed.answer_in_state("withdrawn").status_code == 410
            assert desk(livefeed)["decision"]["kind"] == "withdraw"
            wait_until(lambda: desk(livefeed)["waiting"], livefeed.log)
            assert since
        finally:
            end(livefeed)


def test_kills(start: Start, tmp_path: Path) -> None:
    """A command that was answered is in force after a kill -9; one without an answer is, or is not."""
    source = tmp_path / "document.json"
    replace_file(source, votes(1))
    options = configured(tmp_path, f"file:{source}")
    chooser = random.Random(4)
    state, kinds = "live", {"live": "withdraw", "withdrawn": "resume"}
    for _ in range(4):
        livefeed = start(*options, live=False)
        livefeed.answer_in_state(state)
        killer = threading.Timer(chooser.random() * 0.3, livefeed._kill_all)
        killer.start()
        asked = answered = state
        try:
            while True:
                asked = "withdrawn" if answered == "live" else "live"
                command(livefeed, kinds[answered])
                answered = asked
        except httpx.HTTPError:
            killer.join()
        again = start(*options, live=False)
        assert_soon(partial(is_pulled, again), again.log)
        state = desk(again)["state"]
        assert state in (asked, answered)
        again._kill_all()
