"""The runbook, fault by fault: each alarm is set off for real, and the commands of its section are typed.

A Prometheus with the alert rules of the docs asks livefeed, and its alarms are waited for. The commands are those of
``docs/night/index.md``, word by word; only paths, ports and ids that the page makes up are replaced.
"""

from __future__ import annotations

import ast
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.authority import Holder
from tests.helpers.runbook import sections
from tests.helpers.signed_tokens import AUDIENCE, ISSUER, private_key, public_pem, sign
from tests.helpers.threaded_server import ThreadedServer
from tests.helpers.waiting import wait_until
from tests.integration.alarms import RULES, Alarms
from tests.integration.harness import (
    HOST,
    TCP,
    TLS,
    TWISTD,
    WAIT_S,
    Livefeed,
    Redis,
    dead_port,
    free_port,
    replace_file,
)
from tests.integration.wall_clock import WallClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from livefeed.tls.development import DevelopmentCertificate

pytestmark = pytest.mark.chosen

BIN = Path(sys.executable).parent
GET = b"GET /results HTTP/1.1\r\nHost: localhost\r\n\r\n"
PAGE_RULE = "\n[feeds.results.rules.votes]\nnever_falls = ['/votes']\n"

NOT_SET_OFF = {
    "LivefeedCanaryIsSlow": "a canary that is served within 2 s on a machine with time for nothing else is not slow",
    "LivefeedDropsSubscribers": "only a defect of livefeed makes a message that cannot be sent",
    "LivefeedPausesForTheCollector": "only a leak of memory makes a collection so long",
    "LivefeedPushesAreSlow": "ten thousand subscribers on a slow machine take so long",
    "LivefeedSessionsAreNotShared": "only an OpenSSL without a key for session tickets keeps them apart",
}
"""The alerts that nothing here can set off, and the reason. The tests of the rules give Prometheus their figures."""


@dataclass
class Night:
    """A livefeed that is watched by Prometheus, and an operator with the runbook.

    :ivar feed: the settings of the feed.
    :ivar settings: all others.
    :ivar more: the end of the file of the settings.
    """

    # required parameters
    directory: Path
    alarms: Alarms
    stack: ExitStack
    certificate: DevelopmentCertificate

    # internal state
    feed: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    more: str = ""
    livefeed: Livefeed = field(init=False)
    _left: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.feed = {"source": f"file:{self.document}", "interval": 0.2}
        # For `livefeed check`: the process is told on its command line.
        self.settings = {"listen": [TCP]}

    @property
    def document(self) -> Path:
        """The file that the page serves in the place of a source; here it is the source, too."""
        return self.directory / "results.json"

    @property
    def file(self) -> Path:
        """The file of the settings."""
        return self.directory / "livefeed.toml"

    def write(self, **document: Any) -> None:
        """Has the source give another document."""
        replace_file(self.document, json.dumps(document).encode())

    def configure(self, **changes: Any) -> None:
        """Writes the settings, with changes; those of the feed have names that begin with ``feed_``."""
        for name, value in changes.items():
            if name.startswith("feed_"):
                self.feed[name.removeprefix("feed_")] = value
            else:
                self.settings[name] = value
        lines = [f"{name} = {json.dumps(value)}" for name, value in self.settings.items()]
        lines += ["[feeds.results]", *(f"{name} = {json.dumps(value)}" for name, value in self.feed.items())]
        replace_file(self.file, "\n".join([*lines, self.more]).encode())

    def start(
        self,
        *options: str,
        listen: tuple[str, ...] = (TCP,),
        command: tuple[str, ...] = TWISTD,
        live: bool = True,
    ) -> Livefeed:
        """Starts livefeed with these settings, and with the certificate of all tests unless they name another."""
        self.livefeed = Livefeed(
            *("--config", str(self.file), *self.alarms.options, *options),
            directory=self.directory,
            certificate=None if "cert" in self.settings else self.certificate,
            listen=listen,
            command=command,
            live=live,
        )
        return self.stack.enter_context(self.livefeed)

    def type(self, heading: str, beginning: str, code: int = 0, replacements: dict[str, str] | None = None) -> str:
        """Types the next command of a section of the runbook, and gives what it answers.

        :param beginning: how the command begins.
        :param code: its exit code.
        :param replacements: values for what the page has made up.
        """
        left = self._left.setdefault(heading, sections()[heading].commands())
        command = left.pop(0)
        assert command.startswith(beginning), command
        for old, new in {
            "/etc/livefeed": str(self.directory),
            "/srv/livefeed": str(self.directory),
            "/var/lib/livefeed": str(self.directory / "state"),
            "/tmp/livefeed-status": str(self.directory / "livefeed-status"),
            **(replacements or {}),
        }.items():
            command = command.replace(old, new)
        return self.run(command, code)

    def run(self, command: str, code: int = 0) -> str:
        """Runs a command as a shell does, and gives its output."""
        done = subprocess.run(
            ["sh", "-c", command],
            env={
                **os.environ,
                "PATH": f"{BIN}:{os.environ.get('PATH', os.defpath)}",
                "LIVEFEED_RUNTIME_DIR": str(self.livefeed.runtime_dir),
                "COLUMNS": "120",
            },
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        assert done.returncode == code, (command, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def finish(self, heading: str) -> None:
        """Fails if a command of the section was left out."""
        assert self._left[heading] == [], heading

    def goes_off(self, heading: str, *alarms: str, is_logged: bool = True) -> None:
        """Waits for alarms, and for a line of the log that the section of the runbook names.

        :param alarms: those of the section, except for the ones that this fault does not set off.
        :param is_logged: whether this fault has a line of the section.
        """
        section = sections()[heading]
        assert {*alarms} <= {*section.alarms}
        if section.log_lines and is_logged:
            self.livefeed.wait_for_log("|".join(section.log_lines))
        self.alarms.wait_for(*alarms)

    def status_has(self, pattern: str) -> None:
        """Fails unless the status, as the page has it typed first, matches."""
        done = self.run("livefeed ctl status")
        assert re.search(pattern, done), done

    def all_see(self, votes: int | None, state: str) -> None:
        """Returns when a watcher sees a document and a state."""
        seen: list[Any] = []

        def is_so() -> bool:
            answer = self.livefeed.http.get("/results")
            shown = answer.json()["votes"] if answer.status_code == 200 else None
            seen[:] = [shown, answer.headers.get("Livefeed-State")]
            return seen == [votes, state]

        wait_until(is_so, lambda: f"{seen} is seen:\n{self.livefeed.log()}")

    def refusals(self, name: str) -> float:
        """Gives the sum of a counter of the metrics."""
        found = re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", self.livefeed.metrics(), re.MULTILINE)
        return sum(map(float, found))


@pytest.fixture
def night(certificate: DevelopmentCertificate, tmp_path: Path) -> Iterator[Night]:
    """A night with a Prometheus, before livefeed is started."""
    with Alarms(tmp_path / "prometheus") as alarms, ExitStack() as stack:
        made = Night(tmp_path, alarms, stack, certificate)
        made.write(votes=1)
        made.configure()
        yield made


class TestDocument:
    """Faults of the document, and of its source."""

    def test_wrong_document(self, night: Night) -> None:
        """It is taken off the screens, and the next good one is shown by a command."""
        heading = "A wrong document is shown"
        livefeed = night.start("--state-dir", str(night.directory / "state"))
        night.all_see(1, "live")
        night.write(votes=0)
        night.all_see(0, "live")
        answer = night.type(heading, "livefeed ctl rollback")
        assert answer.startswith("results: held. Watchers keep version"), answer
        night.all_see(1, "held")
        night.write(votes=2)
        livefeed.wait_for_log('feed "results"')
        wait_until(lambda: (waiting := _feed(livefeed).get("waiting")) and waiting["bytes"] == 12, livefeed.log)
        assert "waiting" in night.type(heading, "livefeed ctl desk").lower()
        night.type(heading, "livefeed ctl unpin")
        night.all_see(2, "live")
        night.finish(heading)

    def test_source_is_away(self, night: Night) -> None:
        """A file takes its place, and livefeed notices by itself when it is back."""
        heading = "The source is away"
        with Redis(night.directory) as redis:
            redis.command("SET", "results", '{"votes": 5}')
            night.configure(feed_source=redis.url("results"))
            livefeed = night.start()
            night.all_see(5, "live")
            redis.kill()
            night.goes_off(heading, "LivefeedFeedIsNotLive", "LivefeedSourceFails")
            night.all_see(5, "stale")
            left = sections()[heading].commands()
            assert "cannot connect" in night.type(heading, "livefeed check", code=1)
            mark = livefeed.mark()
            redis.start()
            redis.command("SET", "results", '{"votes": 6}')
            livefeed.wait_for_log('feed "results" is live: pulled from', start=mark)
            night.all_see(6, "live")
            night.alarms.wait_until_over("LivefeedFeedIsNotLive")
            redis.kill()
            night.all_see(6, "stale")
            night.write(votes=7)
            night.configure(feed_source=f"file:{night.document}")
            assert "the gate accepts it" in night.type(heading, left[1][:14])
            assert "feeds.results.source" in night.type(heading, "livefeed ctl reload")
            night.all_see(7, "live")
        night.finish(heading)

    def test_document_is_old(self, night: Night) -> None:
        """The age goes off by itself: 30 s of the rule are 1 s here."""
        night.alarms.change_rules("livefeed_age_seconds > 30", "livefeed_age_seconds > 1")
        night.start()
        night.document.unlink()
        night.goes_off("The source is away", "LivefeedDocumentIsOld")
        night.write(votes=2)
        night.all_see(2, "live")
        night.alarms.wait_until_over("LivefeedDocumentIsOld")

    def test_source_is_away_while_a_document_is_pinned(self, night: Night) -> None:
        """The decision sets nothing off, however old the document is, and hides a dead source from no operator."""
        heading = "The source is away"
        night.alarms.change_rules("livefeed_age_seconds > 30", "livefeed_age_seconds > 1")
        night.alarms.change_rules("livefeed_source_failing_seconds > 30", "livefeed_source_failing_seconds > 1")
        with Redis(night.directory) as redis:
            redis.command("SET", "results", '{"votes": 5}')
            night.configure(feed_source=redis.url("results"))
            night.start("--state-dir", str(night.directory / "state"))
            night.all_see(5, "live")
            redis.command("SET", "results", '{"votes": 6}')
            night.all_see(6, "live")
            night.run("livefeed ctl rollback results --reason recount")
            night.alarms.wait_for("LivefeedDocumentIsHeld")
            wait_until(lambda: night.refusals("livefeed_age_seconds") > 4, night.livefeed.metrics)
            assert "LivefeedDocumentIsOld" not in night.alarms.firing()
            redis.kill()
            night.goes_off(heading, "LivefeedSourceIsAway")
            assert "LivefeedDocumentIsOld" not in night.alarms.firing()
            status = night.run("livefeed ctl status", code=4)
            assert re.search(r"not ready .*\n(?s:.*)decision: pin.*\n  source: pulls fail for .*cannot connect", status)
            assert re.search(r"\nsource +pulls fail for .*cannot connect", night.run("livefeed ctl desk results"))
            assert "Source: pulls fail for" in night.run("livefeed ctl withdraw results --reason recount")
            redis.start()
            redis.command("SET", "results", '{"votes": 7}')
            night.alarms.wait_until_over("LivefeedSourceIsAway")
            night.run("livefeed ctl resume results")
            night.all_see(7, "live")

    def test_source_is_slow(self, night: Night) -> None:
        """More time for each pull ends it."""
        heading = "The source is slow"
        with _SlowOrigin(1.5) as origin:
            night.configure(feed_source=f"http://{HOST}:{origin.port}/results", feed_interval=1.0)
            livefeed = night.start(live=False)
            night.goes_off(heading, "LivefeedSourceFails", "LivefeedFeedIsNotLive")
            night.configure(feed_interval=5.0, feed_stale_after=30.0)
            night.type(heading, "livefeed check")
            mark = livefeed.mark()
            assert "feeds.results.interval" in night.type(heading, "livefeed ctl reload")
            livefeed.wait_for_log('feed "results" is live', start=mark)
            night.alarms.wait_until_over("LivefeedSourceFails", "LivefeedFeedIsNotLive")
        night.finish(heading)

    def test_no_document_yet(self, night: Night) -> None:
        """The address of the source is wrong."""
        heading = "There has been no document yet"
        night.configure(feed_source=f"file:{night.directory}/result.json")
        livefeed = night.start(live=False)
        with _again(lambda: livefeed.http.get("/results").status_code == 503):
            night.goes_off(heading, "LivefeedFeedHasNoDocument", "LivefeedFeedIsNotLive", "LivefeedRefusesRequests")
        assert "result.json" in night.type(heading, "livefeed check", code=1)
        night.configure(feed_source=f"file:{night.document}")
        night.type(heading, "livefeed ctl reload")
        night.all_see(1, "live")
        night.alarms.wait_until_over("LivefeedFeedHasNoDocument", "LivefeedFeedIsNotLive")
        night.finish(heading)

    def test_document_is_held_back(self, night: Night) -> None:
        """A rule refuses a recount, which is right."""
        heading = "A document is held back"
        night.more = PAGE_RULE
        night.write(votes=20)
        night.configure()
        livefeed = night.start()
        night.all_see(20, "live")
        night.write(votes=19)
        night.goes_off(heading, "LivefeedDocumentIsHeld")
        night.all_see(20, "held")
        desk = night.type(heading, "livefeed ctl desk")
        assert "/votes falls from 20 to 19" in desk, desk
        waiting = _feed(livefeed)["waiting"]["version"]
        night.type(heading, "livefeed ctl release", replacements={"5dca1c": waiting[:6]})
        night.all_see(19, "live")
        night.alarms.wait_until_over("LivefeedDocumentIsHeld")
        night.finish(heading)

    def test_document_has_expired(self, night: Night) -> None:
        """The last version is taken out of the state directory, and served as a file."""
        heading = "The document has expired"
        night.configure(feed_gone_after=1.0)
        night.start("--state-dir", str(night.directory / "state"))
        night.document.unlink()
        night.goes_off(heading, "LivefeedDocumentHasExpired", "LivefeedFeedIsNotLive")
        assert night.livefeed.http.get("/results").status_code == 410
        # The file that the page serves in the place of a source is the source here.
        night.type(heading, "livefeed recording export")
        night.type(heading, "livefeed ctl reload")
        night.all_see(1, "live")
        night.alarms.wait_until_over("LivefeedDocumentHasExpired", "LivefeedFeedIsNotLive")
        night.finish(heading)

    def test_document_is_withdrawn(self, night: Night) -> None:
        """The desk and the audit say by whom, and it is shown again."""
        heading = "The document is withdrawn"
        night.start("--state-dir", str(night.directory / "state"))
        night.run("livefeed ctl withdraw results --reason 'a court has ordered it'")
        night.goes_off(heading, "LivefeedDocumentIsWithdrawn")
        night.all_see(None, "withdrawn")
        assert "a court has ordered it" in night.type(heading, "livefeed ctl desk")
        assert "withdraw" in night.type(heading, "livefeed ctl audit")
        assert night.type(heading, "livefeed ctl resume").startswith("results: live")
        night.all_see(1, "live")
        night.alarms.wait_until_over("LivefeedDocumentIsWithdrawn")
        night.finish(heading)

    def test_overlay_does_not_fit(self, night: Night) -> None:
        """The source has another value in the place of the one that an editor has corrected."""
        heading = "An overlay does not fit"
        night.write(votes=1, winner="Bob")
        livefeed = night.start()
        night.run("livefeed ctl overlay results set /winner '\"Ada\"' --expect '\"Bob\"'")
        wait_until(lambda: livefeed.http.get("/results").json().get("winner") == "Ada", livefeed.log)
        night.write(votes=2, winner="Cyd")
        night.goes_off(heading)
        night.all_see(2, "live")
        night.status_has("the overlay of /winner changes nothing")
        assert "/winner" in night.type(heading, "livefeed ctl overlay results list")
        night.type(heading, "livefeed ctl overlay results drop")
        assert "/winner" not in night.run("livefeed ctl status")
        night.finish(heading)

    def test_settings_are_refused(self, night: Night) -> None:
        """The mistake is named with its line, and the correction is taken."""
        heading = "New settings are refused"
        livefeed = night.start()
        night.configure(feed_interval=0)
        with livefeed.operator() as client:
            assert client.post("/-/reload", json={}).status_code == 409
        night.goes_off(heading)
        night.all_see(1, "live")
        assert "livefeed.toml:4: feeds.results.interval" in night.type(heading, "livefeed check", code=1)
        night.configure(feed_interval=0.5)
        assert "feeds.results.interval" in night.type(heading, "livefeed ctl reload")
        night.finish(heading)

    def test_embargo_is_not_carried_out(self, night: Night) -> None:
        """The source was another one when its time came."""
        heading = "An embargo was not carried out"
        night.configure(feed_source="store:", state_dir=str(night.directory / "state"))
        livefeed = night.start(live=False)
        night.run(f"livefeed publish {night.document}")
        night.all_see(1, "live")
        night.write(votes=2)
        told = night.run(f"livefeed publish --at +4s {night.document}")
        found = re.search(r"\(embargo (\w+)\)", told)
        assert found is not None, told
        other = night.directory / "other.json"
        replace_file(other, b'{"votes": 3}')
        night.configure(feed_source=f"file:{other}")
        night.run("livefeed ctl reload")
        night.all_see(3, "live")
        night.goes_off(heading)
        assert found[1] in night.type(heading, "livefeed ctl embargo")
        night.configure(feed_source="store:")
        night.run("livefeed ctl reload")
        mark = livefeed.mark()
        night.type(heading, "livefeed ctl embargo publish", replacements={"426d5d07": found[1]})
        livefeed.wait_for_log("is stored, and watchers are shown it", start=mark)
        night.all_see(2, "live")
        night.finish(heading)

    def test_keys_of_tokens_cannot_be_fetched(self, night: Night) -> None:
        """Their server is away at the start; the keys are read from a file in its place."""
        heading = "Keys of tokens cannot be fetched"
        token = sign(exp=int(time.time()) + 600).decode()
        with dead_port() as port:
            night.configure(
                feed_auth_keys=f"https://{HOST}:{port}/jwks",
                feed_auth_algorithm=["EdDSA"],
                feed_auth_issuer=ISSUER,
                feed_auth_audience=AUDIENCE,
            )
            livefeed = night.start()
            night.goes_off(heading)

            def status() -> int:
                return livefeed.http.get("/results", headers={"Authorization": f"Bearer {token}"}).status_code

            assert status() != 200
            (night.directory / "keys.pem").write_bytes(public_pem(private_key("EdDSA")))
            night.configure(feed_auth_keys=str(night.directory / "keys.pem"))
            night.type(heading, "livefeed check")
            assert "feeds.results.auth_keys" in night.type(heading, "livefeed ctl reload")
            wait_until(lambda: status() == 200, livefeed.log)
            assert livefeed.http.get("/results").status_code == 401
        night.finish(heading)


class TestCrowd:
    """More clients than there is room for."""

    def test_too_many_connections_by_the_setting(self, night: Night) -> None:
        """A greater limit takes more of them at once."""
        heading = "There are too many connections"
        night.configure(max_connections=3)
        livefeed = night.start()
        with _connections(livefeed, 3):
            with _again(lambda: _status(livefeed) == 503):
                night.goes_off(heading, "LivefeedHasManyConnections", "LivefeedRefusesConnections")
            night.configure(max_connections=20)
            # The page has the limit of open files first, which is high enough here.
            night.type(heading, "prlimit", replacements={"1520": str(livefeed.pid), "1048576": "4096"})
            assert "max_connections" in night.type(heading, "livefeed ctl reload")
            night.all_see(1, "live")
            night.status_has(r"connections +\d+ of 20")
            night.alarms.wait_until_over("LivefeedHasManyConnections", "LivefeedRefusesConnections")

    def test_too_many_connections_by_files(self, night: Night) -> None:
        """The limit of the running process is raised."""
        heading = "There are too many connections"
        livefeed = night.start()
        # Not every root may raise the hard limit of a process, so it stays.
        _, hard = resource.prlimit(livefeed.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(livefeed.pid, resource.RLIMIT_NOFILE, (275, hard))
        night.configure(max_connections=500)
        night.run("livefeed ctl reload")
        livefeed.wait_for_log("the limit of open files allows 19 connections at a time, not 500")
        with _connections(livefeed, 19):
            with _again(lambda: _status(livefeed) == 503):
                night.goes_off(heading, "LivefeedHasManyConnections", "LivefeedRefusesConnections")
            night.type(heading, "prlimit", replacements={"1520": str(livefeed.pid), "1048576": "4096"})
            night.configure(max_connections=1000)
            night.type(heading, "livefeed ctl reload")
            night.all_see(1, "live")
            night.status_has(r"connections +\d+ of 1,000")
            night.alarms.wait_until_over("LivefeedHasManyConnections", "LivefeedRefusesConnections")
        night.finish(heading)

    def test_too_many_subscribers(self, night: Night) -> None:
        """A greater limit lets them follow."""
        heading = "There are too many subscribers"
        night.configure(feed_max_subscribers=2)
        livefeed = night.start()
        with ExitStack() as stack:
            for _ in range(2):
                stack.enter_context(livefeed.websocket("/results.ws"))
            waits = {"Prefer": "wait=30", "If-None-Match": livefeed.http.get("/results").headers["ETag"]}
            with _again(lambda: livefeed.http.get("/results", headers=waits).status_code == 503):
                night.goes_off(
                    heading, "LivefeedHasManySubscribers", "LivefeedRefusesFollowers", "LivefeedRefusesRequests"
                )
            night.configure(feed_max_subscribers=100)
            night.type(heading, "livefeed ctl reload")
            stack.enter_context(livefeed.websocket("/results.ws"))
            night.alarms.wait_until_over("LivefeedHasManySubscribers", "LivefeedRefusesFollowers")
        night.finish(heading)

    def test_network_is_refused(self, night: Night) -> None:
        """A greater rate lets in the people behind one address."""
        heading = "Clients of one network are refused"
        night.configure(address_rate=1, trusted_proxy=["127.0.0.0/8"])
        port = free_port()
        livefeed = night.start(listen=(f"haproxy:tcp:{port}:interface={HOST}",))

        def is_served() -> bool:
            with suppress(ConnectionError), closing(socket.create_connection((HOST, port), WAIT_S)) as sock:
                sock.sendall(b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 443\r\n" + GET)
                return sock.recv(12) == b"HTTP/1.1 200"
            return False

        with _again(is_served, wanted=None):
            night.goes_off(heading, "LivefeedRefusesAddresses")
        night.configure(address_rate=1000)
        night.type(heading, "livefeed ctl reload")
        wait_until(is_served, livefeed.log)
        before = night.refusals("livefeed_address_refusals_total")
        for _ in range(60):
            assert is_served()
        assert night.refusals("livefeed_address_refusals_total") == before
        night.alarms.wait_until_over("LivefeedRefusesAddresses")
        night.finish(heading)

    def test_proxy_is_refused(self, night: Night) -> None:
        """It does not send its header, until it is mended."""
        night.configure(trusted_proxy=["127.0.0.0/8"])
        port = free_port()
        night.start(listen=(f"haproxy:tcp:{port}:interface={HOST}",))

        def is_reset() -> bool:
            with suppress(ConnectionError), closing(socket.create_connection((HOST, port), WAIT_S)) as sock:
                sock.sendall(GET)
                return sock.recv(1) == b""
            return True

        with _again(is_reset):
            night.goes_off("Clients of one network are refused", "LivefeedRefusesProxies")
        with closing(socket.create_connection((HOST, port), WAIT_S)) as sock:
            sock.sendall(b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 443\r\n" + GET)
            assert sock.recv(12) == b"HTTP/1.1 200"
        night.alarms.wait_until_over("LivefeedRefusesProxies")


class TestMachine:
    """Faults of the machine: memory, disk, clock, processor."""

    def test_memory_is_short(self, night: Night) -> None:
        """Connected clients stay, and a greater limit of the control group lets in others."""
        heading = "Memory is short"
        with _control_group("memory") as group:
            limit = group / "memory.limit_in_bytes"
            limit.write_text(str(2 << 30))
            livefeed = night.start(command=("sh", "-c", f'echo $$ >{group}/cgroup.procs && exec "$@"', "sh", *TWISTD))
            with livefeed.wire() as wire:
                wire.send(GET)
                assert wire.response().status == 200
                used = int((group / "memory.usage_in_bytes").read_text())
                limit.write_text(str(used + (used >> 5) & ~4095))
                night.goes_off(heading)
                wire.send(GET)
                assert wire.response().status == 200
                with livefeed.wire() as late:
                    late.send(GET)
                    assert (late.response().status) == 503
                assert "COMMAND" in night.type(heading, "ps -eo")
                mark = livefeed.mark()
                limit.write_text(str(2 << 30))
                livefeed.wait_for_log("there is enough memory again: more clients are taken", start=mark)
                with livefeed.wire() as late:
                    late.send(GET)
                    assert (late.response().status) == 200
        night.finish(heading)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a disk of 1 MB in a namespace of its own")
    def test_disk_is_full(self, night: Night) -> None:
        """Watchers notice nothing, commands are refused, and with some room all is well."""
        heading = "The disk is full"
        state = night.directory / "state"
        state.mkdir()
        night.configure(feed_source="store:", state_dir=str(state))
        in_a_namespace = (
            "unshare",
            "--mount",
            "sh",
            "-c",
            f'mount -t tmpfs -o size=1m none {state} && exec "$@"',
            "sh",
        )
        livefeed = night.start(command=(*in_a_namespace, *TWISTD), live=False)
        # The directory as the process sees it.
        seen = Path(f"/proc/{livefeed.pid}/root{state}")
        with livefeed.operator() as client:
            assert client.put("/feeds/results", json={"votes": 1}).status_code == 201
            night.all_see(1, "live")
            filler = seen / "audit.log.1"
            with suppress(OSError), filler.open("wb") as file:
                file.write(bytes(2 << 20))
            assert client.put("/feeds/results", json={"votes": 2, "pad": "x" * 9000}).status_code == 507
            night.goes_off(heading)
            night.all_see(1, "live")
            assert client.post("/-/hold", json={"feed": "results"}).status_code == 409
            enter = f"nsenter --mount --target {livefeed.pid} "
            assert "100%" in night.type(heading, "df -h", replacements={"df -h": f"{enter}df -h"})
            assert "audit.log.1" in night.type(heading, "du -a", replacements={"du -a": f"{enter}du -a"})
            mark = livefeed.mark()
            filler.unlink()
            assert client.put("/feeds/results", json={"votes": 2, "pad": "x" * 9000}).status_code == 200
            livefeed.wait_for_log("stored again", start=mark)
            night.all_see(2, "live")
            assert client.post("/-/hold", json={"feed": "results"}).status_code == 200
        night.finish(heading)

    def test_file_is_damaged(self, night: Night) -> None:
        """The versions before the damage count, and the decision is that of before."""
        heading = "A file is damaged"
        state = night.directory / "state"
        livefeed = night.start("--state-dir", str(state))
        night.run("livefeed ctl hold results --reason 'until the recount'")
        assert livefeed.terminate() == 0
        with (state / "results.versions").open("ab") as file:
            file.write(b"these bytes are no record\n" * 9)
        night.start("--state-dir", str(state), live=False)
        night.goes_off(heading)
        night.all_see(1, "held")
        assert "results.versions.damaged" in night.type(heading, "ls -l")
        assert "until the recount" in night.type(heading, "livefeed ctl desk")
        night.type(heading, "livefeed ctl embargo")
        night.finish(heading)

    def test_lines_of_the_access_log_are_dropped(self, night: Night) -> None:
        """The disk of the log is full; a new file is opened by a reload."""
        heading = "Lines of the access log are dropped"
        log = night.directory / "access.log"
        log.symlink_to("/dev/full")
        livefeed = night.start("--access-log", str(log))
        with _again(lambda: livefeed.http.get("/results").status_code == 200):
            night.goes_off(heading)
        night.all_see(1, "live")
        night.type(heading, "df -h")
        log.unlink()
        mark = livefeed.mark()
        night.type(heading, "livefeed ctl reload")
        with _again(lambda: livefeed.http.get("/results").status_code == 200):
            livefeed.wait_for_log("lines are written again", start=mark)
        night.finish(heading)

    def test_clock_is_wrong(self, night: Night) -> None:
        """Ages are right, and the document under embargo is not shown at once."""
        heading = "The clock is wrong"
        wall = WallClock(night.directory / "time")
        wall.set_by(0)
        night.configure(feed_source="store:", state_dir=str(night.directory / "state"))
        livefeed = night.start(command=wall.command(*TWISTD), live=False)
        with livefeed.operator() as client:
            assert client.put("/feeds/results", json={"votes": 1}).status_code == 201
        night.all_see(1, "live")
        night.write(votes=2)
        night.run(f"livefeed publish --at +30m {night.document}")
        wall.set_by(-3600)
        night.goes_off(heading)
        assert float(livefeed.http.get("/results").headers["Livefeed-Age"]) < 5
        night.type(heading, "date")
        assert "publish" in night.type(heading, "livefeed ctl embargo").lower()
        night.finish(heading)

    def test_processor_is_busy(self, night: Night) -> None:
        """livefeed is given a sixth of a processor, as beside programs with a higher priority, and pushes less."""
        heading = "The processor is busy"
        livefeed = night.start()
        with _stopped_again_and_again(livefeed, stopped_s=2.5, running_s=0.5):
            night.goes_off(heading, "LivefeedLoopLags", "LivefeedTicksAreLate")
        night.alarms.wait_until_over("LivefeedLoopLags", "LivefeedTicksAreLate")
        assert "COMMAND" in night.type(heading, "top")
        night.configure(feed_interval=2.0, feed_push="change")
        assert "feeds.results.interval" in night.type(heading, "livefeed ctl reload")
        night.settings["workers"] = 1
        night.configure()
        # Without workers an upgrade is refused, as the page says; the tests of upgrades have those with workers.
        assert "livefeed runs without workers" in night.type(heading, "livefeed ctl upgrade", code=1)
        night.finish(heading)


class TestTLS:
    """Certificates and handshakes."""

    def test_certificate_expires(self, night: Night) -> None:
        """Another certificate in its place is served from then on, to new clients."""
        heading = "A certificate expires"
        chain, key = night.directory / "chain.pem", night.directory / "key.pem"
        authority, server = Holder("ca"), Holder("localhost")

        def put(days: int) -> None:
            replace_file(key, server.pem())
            replace_file(chain, authority.issue(server, ["localhost"], days=days))

        put(1)
        night.configure(cert=[str(chain)], key=[str(key)])
        night.start(listen=(TCP, TLS))
        night.goes_off(heading, "LivefeedCertificateExpires", "LivefeedCertificateExpiresNow")
        good = key.read_bytes()
        replace_file(key, Holder("another").pem())
        night.goes_off(heading, "LivefeedCertificateIsNotRenewed")
        night.status_has("it is not the private key of")
        replace_file(key, good)
        put(60)
        night.type(heading, "livefeed ctl reload")
        night.status_has("expires in 59 days")
        night.alarms.wait_until_over("LivefeedCertificateIsNotRenewed")
        night.alarms.wait_until_over("LivefeedCertificateExpires", "LivefeedCertificateExpiresNow")
        night.finish(heading)

    def test_handshakes_fail(self, night: Night) -> None:
        """Something else is spoken on the port; a good client shows that the certificate is right."""
        heading = "TLS handshakes fail"
        livefeed = night.start(listen=(TLS,))

        def fails() -> bool:
            with suppress(ConnectionError), closing(livefeed.tcp_socket("https")) as sock:
                sock.sendall(b"\x16\x03\x01\x00\x05hello")
                while sock.recv(4096):
                    pass
            return True

        with _again(fails):
            night.goes_off(heading, "LivefeedHandshakesFail")
        trusting = f"{HOST}:{livefeed.port} -CAfile {night.certificate.ca}"
        replacements = {"localhost:8443": trusting}
        [command] = sections()[heading].commands()
        another = command.replace("-verify_hostname localhost", "-verify_hostname other.example.org")
        assert "Verification error: hostname mismatch" in night.run(another.replace("localhost:8443", trusting))
        answer = night.type(heading, "openssl s_client", replacements=replacements)
        assert "Verification: OK" in answer, answer
        night.alarms.wait_until_over("LivefeedHandshakesFail")
        night.finish(heading)


class TestProcesses:
    """Workers and their parent."""

    def test_worker_dies(self, night: Night) -> None:
        """Another one takes its place, each time."""
        heading = "A worker dies or hangs"
        livefeed = night.start("--workers", "2")
        livefeed.wait_for_log("worker 0 is ready")
        for number in range(1, 5):
            mark = livefeed.mark()
            os.kill(_workers(livefeed)[0]["pid"], signal.SIGKILL)
            livefeed.wait_for_log("worker 0 .* another one starts", start=mark)
            if number == 1:
                night.goes_off(heading, "LivefeedWorkerIsNotReady")
            livefeed.wait_for_log("worker 0 is ready", start=mark)
        night.goes_off(heading, "LivefeedWorkersDie")
        wait_until(lambda: [each["state"] for each in _workers(livefeed)] == ["ready"] * 2, livefeed.log)
        assert night.type(heading, "livefeed ctl workers").count("ready") == 2
        night.alarms.wait_until_over("LivefeedWorkerIsNotReady")
        night.finish(heading)

    def test_livefeed_is_down(self, night: Night) -> None:
        """The parent is killed, and cannot start by its settings; its workers serve until it can."""
        heading = "Livefeed is down"
        port = f"tcp:{free_port()}:interface={HOST}"
        livefeed = night.start("--workers", "1", listen=(port,))
        livefeed.wait_for_log("worker 0 is ready")
        with livefeed.websocket("/results.ws") as subscriber:
            livefeed.process.signal(signal.SIGKILL)
            night.goes_off(heading, "LivefeedIsDown")
            night.all_see(1, "stale")
            night.configure(feed_interval=0)
            assert "feeds.results.interval" in night.type(heading, "livefeed check", code=1)
            night.configure(feed_interval=0.2)
            options = ("--workers", "1", "--runtime-dir", str(livefeed.runtime_dir))
            following = night.start(*options, listen=(port,))
            night.alarms.wait_until_over("LivefeedIsDown")
            subscriber.recv(timeout=WAIT_S)
            following.runtime_dir = livefeed.runtime_dir
            assert following.terminate() == 0
        night.finish(heading)

    def test_livefeed_is_started_again_and_again(self, night: Night) -> None:
        """Three starts within a few seconds."""
        for _ in range(4):
            livefeed = night.start()
            night.alarms.wait_until_over("LivefeedIsDown")
            livefeed.process.signal(signal.SIGKILL)
            livefeed.process.wait()
        night.goes_off("Livefeed is down", "LivefeedRestartsOften", is_logged=False)


def test_first_look_and_report(night: Night) -> None:
    """The commands of the sections that have no fault to wait for."""
    night.start()
    assert "results  live" in night.type("Look first", "livefeed ctl status")
    heading = "Subscribers are dropped after an error"
    night.type(heading, "livefeed ctl status --json")
    assert json.loads((night.directory / "livefeed-status.json").read_text("utf-8"))["feeds"]
    night.finish(heading)


def test_each_alert_is_set_off() -> None:
    """Every alert of the rules is set off in this module, or has its reason."""
    calls = [node for node in ast.walk(ast.parse(Path(__file__).read_text("utf-8"))) if isinstance(node, ast.Call)]
    waits = [
        call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == Night.goes_off.__name__
    ]
    named = {each.value for call in waits for each in call.args if isinstance(each, ast.Constant)}
    alerts = {*re.findall(r"alert: (\w+)", RULES.read_text("utf-8"))}
    assert alerts - named == {*NOT_SET_OFF}
    assert not named & {*NOT_SET_OFF}


class _SlowOrigin(ThreadedServer):
    """An origin that takes its time for each answer.

    :param pause_s: seconds until it answers.
    """

    def __init__(self, pause_s: float) -> None:
        self._pause_s = pause_s
        self._closed = threading.Event()
        super().__init__(self._answer)

    def close(self) -> None:
        self._closed.set()
        super().close()

    def _answer(self, sock: socket.socket) -> None:
        while sock.recv(65536) and not self._closed.wait(self._pause_s):
            sock.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"votes": 1}')


@contextmanager
def _again(action: Callable[[], bool], *, wanted: bool | None = True) -> Iterator[None]:
    """Does something ten times per second meanwhile, as clients do.

    :param wanted: what it must return each time; ``None`` if that does not matter.
    """
    ended = threading.Event()
    wrong: list[bool] = []

    def repeat() -> None:
        while not ended.wait(0.1):
            returned = action()
            if wanted is not None and returned != wanted:
                wrong.append(returned)

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(WAIT_S)
    assert not wrong, wrong[:3]


@contextmanager
def _stopped_again_and_again(livefeed: Livefeed, *, stopped_s: float, running_s: float) -> Iterator[None]:
    """Has the process stand still meanwhile, and run, in turns."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(running_s):
            livefeed.process.signal(signal.SIGSTOP)
            ended.wait(stopped_s)
            livefeed.process.signal(signal.SIGCONT)

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(WAIT_S)


def _status(livefeed: Livefeed) -> int:
    """Gives the status of an answer on a connection of its own."""
    with livefeed.wire() as wire:
        wire.send(GET)
        return wire.response().status


@contextmanager
def _connections(livefeed: Livefeed, count: int) -> Iterator[None]:
    """Has this number of connections, each of which has been answered."""
    with ExitStack() as stack:
        for _ in range(count):
            wire = stack.enter_context(livefeed.wire())
            wire.send(GET)
            assert wire.response().status == 200
        yield


@contextmanager
def _control_group(kind: str) -> Iterator[Path]:
    """Gives a control group of its own, which is gone with the processes in it."""
    above = Path("/sys/fs/cgroup") / kind
    if not os.access(above, os.W_OK) or not (above / "cgroup.procs").exists():
        pytest.skip(f"no control groups of version 1 for {kind} that this user may make")
    group = above / f"livefeed-test-{os.getpid()}"
    group.mkdir()
    try:
        yield group
    finally:
        for pid in (group / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError, OSError):
                (above / "cgroup.procs").write_text(pid)
        group.rmdir()


def _feed(livefeed: Livefeed) -> Any:
    """Gives the report of the only feed."""
    with livefeed.operator() as client:
        (feed,) = client.get("/status").json()["feeds"]
    return feed


def _workers(livefeed: Livefeed) -> Any:
    """Gives the report about the workers."""
    with livefeed.operator() as client:
        return client.get("/-/workers").json()
