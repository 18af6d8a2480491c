"""The publishers of ``examples/``: side by side, without an answer, held back and refused."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.helpers.documentation import EXAMPLES
from tests.integration.example_sites import LIVEFEED
from tests.integration.harness import TCP, WAIT_S, Process, free_port, replace_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from livefeed.tls.development import DevelopmentCertificate
    from tests.integration.conftest import Start
    from tests.integration.harness import Livefeed

pytestmark = pytest.mark.peers

PUBLISHERS = EXAMPLES / "publishers"
SCOREKEEPER = (sys.executable, str(PUBLISHERS / "scorekeeper.py"))
PUT, EVERY = str(PUBLISHERS / "put.sh"), str(PUBLISHERS / "every.sh")


@pytest.fixture
def match(start: Start, tmp_path: Path) -> Livefeed:
    """A livefeed that stores the document of a match."""
    options = ("--source", "store:", "--feed", "match", "--state-dir", str(tmp_path / "state"))
    return start(*options, listen=(TCP,), live=False)


def socket_of(livefeed: Livefeed) -> str:
    """Gives the path of the operator's socket."""
    return str(livefeed.runtime_dir / "admin.sock")


def run(*command: str, variables: dict[str, str] | None = None) -> tuple[int, str]:
    """Runs a publisher, and gives its exit code and its output."""
    done = subprocess.run(
        command, env={**os.environ, **(variables or {})}, capture_output=True, text=True, timeout=WAIT_S, check=False
    )
    return done.returncode, done.stdout + done.stderr


def ctl(livefeed: Livefeed, *arguments: str) -> None:
    """Runs a command of ``livefeed ctl``."""
    code, text = run(LIVEFEED, "ctl", *arguments, variables={"LIVEFEED_RUNTIME_DIR": str(livefeed.runtime_dir)})
    assert code == 0, text


class TestScorekeeper:
    """The publisher in Python, which changes a document that others change, too."""

    @pytest.fixture
    def scorekeeper(self) -> ModuleType:
        """The script as a module."""
        spec = importlib.util.spec_from_file_location("scorekeeper", PUBLISHERS / "scorekeeper.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["scorekeeper"] = module
        spec.loader.exec_module(module)
        return module

    def test_many_at_the_same_moment(self, match: Livefeed, tmp_path: Path) -> None:
        """No goal is lost, although each of them has read a document that another one replaces."""
        teams = ["home", "away"] * 4
        command = [*SCOREKEEPER, "--socket", socket_of(match)]
        with contextlib.ExitStack() as stack:
            processes = [Process([*command, team], directory=tmp_path) for team in teams]
            for each in processes:
                stack.callback(each.close)
            assert [(each.wait(), each.text()) for each in processes if each.wait() != 0] == []
        document = match.http.get("/match").json()
        assert (document["home"], document["away"]) == (4, 4)
        assert len({goal["id"] for goal in document["goals"]}) == len(teams)

    def test_an_answer_that_is_lost(self, match: Livefeed, scorekeeper: ModuleType) -> None:
        """The goal is stored, and counted once, although the request for it is repeated."""
        lost: list[str] = []

        class Losing(httpx.HTTPTransport):
            def handle_request(self, request: httpx.Request) -> httpx.Response:
                answer = super().handle_request(request)
                if request.method == "PUT" and len(lost) < 2:
                    answer.read()
                    lost.append(request.method)
                    raise httpx.ReadError("the answer was lost", request=request)
                return answer

        with httpx.Client(transport=Losing(uds=socket_of(match)), base_url="http://localhost") as client:
            for goal in ("first", "second"):
                report = scorekeeper.update(
                    client,
                    lambda document, goal=goal: scorekeeper.with_goal(document, "home", goal),
                    scorekeeper.Retries(time.monotonic() + WAIT_S),
                )
                assert report["live"] is True
        assert len(lost) == 2
        assert match.http.get("/match").json()["home"] == 2

    def test_answers_that_pass(self, scorekeeper: ModuleType) -> None:
        """A busy livefeed is asked again after the time that it names, and one that is away until the patience ends."""
        answers: list[httpx.Response | Exception] = [
            httpx.Response(503, headers={"Retry-After": "0"}, text="the store is handed over"),
            httpx.ConnectError("refused"),
            httpx.Response(429),
            httpx.Response(200, json={}),
        ]

        def answer(request: httpx.Request) -> httpx.Response:
            found = answers.pop(0)
            if isinstance(found, Exception):
                raise found
            return found

        with httpx.Client(transport=httpx.MockTransport(answer), base_url="http://localhost") as client:
            retries = scorekeeper.Retries(time.monotonic() + WAIT_S)
            assert retries.ask(lambda: client.get("/feeds/match")).status_code == 200
            assert answers == []
            answers.append(httpx.Response(503, headers={"Retry-After": "3600"}, text="come back later"))
            with pytest.raises(scorekeeper.UnreachableError, match="come back later"):
                retries.ask(lambda: client.get("/feeds/match"))

    def test_held_and_refused(self, match: Livefeed, tmp_path: Path) -> None:
        """The exit codes are those of livefeed publish, and the reason is told."""
        command = (*SCOREKEEPER, "home", "--socket", socket_of(match))
        code, text = run(*command)
        assert (code, "stored, and shown as " in text) == (0, True), text
        ctl(match, "hold", "--reason", "half-time")
        code, text = run(*command)
        assert (code, "stored, but not shown: " in text) == (4, True), text
        ctl(match, "release")
        ctl(match, "end")
        code, text = run(*command)
        assert (code, "refused: " in text) == (1, True), text
        code, text = run(*SCOREKEEPER, "home", "--socket", str(tmp_path / "none"), "--patience", "0.5")
        assert (code, "does not answer" in text) == (3, True), text

    def test_token(self, start: Start, certificate: DevelopmentCertificate, tmp_path: Path) -> None:
        """From another machine, it sends the token, and by TLS alone."""
        token = tmp_path / "token"
        token.write_text("0123456789abcdefghijklmnop\n")
        token.chmod(0o600)
        port = free_port()
        admin = ("--admin", f"tls:{port}:interface=127.0.0.1", "--admin-token", str(token))
        options = ("--source", "store:", "--feed", "match", "--state-dir", str(tmp_path / "state"))
        livefeed = start(*options, *admin, live=False)
        where = ("--token-file", str(token), "--url")
        code, text = run(
            *SCOREKEEPER, "away", *where, f"https://localhost:{port}", variables={"SSL_CERT_FILE": str(certificate.ca)}
        )
        assert code == 0, text
        assert livefeed.http.get("/match").json()["away"] == 1
        code, text = run(*SCOREKEEPER, "away", *where, f"http://localhost:{port}")
        assert (code, "https://" in text) == (2, True), text


class TestShell:
    """The two publishers in shell."""

    @pytest.fixture
    def document(self, tmp_path: Path) -> Callable[[Any], str]:
        """Writes a document into a file, and gives its path."""
        path = tmp_path / "match.json"

        def write(content: Any) -> str:
            replace_file(path, content if isinstance(content, bytes) else json.dumps(content).encode())
            return str(path)

        return write

    def test_put(self, match: Livefeed, document: Callable[[Any], str], tmp_path: Path) -> None:
        """Each answer has its exit code, and nothing is overwritten that was not meant."""
        socket = socket_of(match)
        assert run(PUT, socket, "match", document({"n": 1})) == (0, "")
        assert match.http.get("/match").json() == {"n": 1}
        version = match.http.get("/match").headers["Livefeed-Version"]
        assert run(PUT, socket, "match", document({"n": 2}), version) == (0, "")
        code, text = run(PUT, socket, "match", document({"n": 3}), version)
        assert (code, text) == (5, "somebody else has stored another version\n")
        code, text = run(PUT, socket, "match", document(b"{"))
        assert (code, "refused (422)" in text, "not JSON" in text) == (1, True, True), text
        ctl(match, "hold")
        code, text = run(PUT, socket, "match", document({"n": 4}))
        assert (code, "the desk decides" in text) == (4, True), text
        assert match.http.get("/match").json() == {"n": 2}
        code, text = run(PUT, str(tmp_path / "none"), "match", document({}), variables={"PATIENCE": "1"})
        assert (code, "does not answer" in text) == (3, True), text
        assert run(PUT)[0] == 2

    def test_every(self, match: Livefeed, document: Callable[[Any], str], tmp_path: Path) -> None:
        """A command that fails publishes nothing, and its next success is published."""
        path = document({"n": 1})
        variables = {
            "LIVEFEED_RUNTIME_DIR": str(match.runtime_dir),
            "PATH": f"{Path(LIVEFEED).parent}{os.pathsep}{os.environ['PATH']}",
        }
        process = Process([EVERY, "0.1", "match", "cat", path], directory=tmp_path, environment=variables)
        try:
            match.wait_for_log('feed "match" is live')
            assert match.http.get("/match").json() == {"n": 1}
            Path(path).unlink()
            process.wait_for("the command fails: nothing is published")
            ctl(match, "hold", "--reason", "a look first")
            document({"n": 2})
            process.wait_for("stored, but not shown: ")
            ctl(match, "release")
            process.wait_for("publishing again")
            assert match.http.get("/match").json() == {"n": 2}
            assert process.text().count("nothing is published") == 1
        finally:
            process.close()
        assert run(EVERY)[0] == 2
