"""All checks of a start, without a start."""

from __future__ import annotations

import os
import tempfile
from collections import deque
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from livefeed import checks
from livefeed.checks import Problem, Pulled, StartChecks
from livefeed.config.settings import FeedSettings, Settings
from livefeed.document.requirements import Required
from livefeed.document.rules import RuleSpec
from livefeed.document.selectors import parse_selector
from livefeed.document.snapshot import version_of
from livefeed.exceptions import SourceError
from livefeed.process import runtime_dir
from livefeed.process.signing_keys import make_keys
from livefeed.testing import MemorySource
from tests.authority import Holder

TCP = ("tcp:8080",)


class ChecksTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = Path(directory.name)
        self.reactor: Any = MemoryReactorClock()

    def checks(self, **settings: Any) -> StartChecks:
        given = {"listen": TCP, "runtime_dir": self.folder / "run", **settings}
        made = StartChecks(Settings(**given), self.reactor, {})
        made.run()
        self.addCleanup(made.close)
        return made

    def problems(self, **settings: Any) -> list[str]:
        """Gives the problems, without the folder of the test."""
        return [str(each).replace(str(self.folder), "DIR") for each in self.checks(**settings).problems]

    def pair(self, days: int) -> dict[str, tuple[Path, ...]]:
        """Gives settings with a certificate of the operator."""
        ca, holder = Holder("CA"), Holder("a.test")
        cert, key = self.folder / "a.pem", self.folder / "a.key"
        cert.write_bytes(ca.issue(holder, ["a.test"], days=days, begins=-9))
        key.write_bytes(holder.pem())
        return {"cert": (cert,), "key": (key,)}


class StartChecksTests(ChecksTestCase):
    """StartChecks.run."""

    def test_nothing_is_wrong(self) -> None:
        """There is a summary of what would be served, and nothing has been bound or made."""
        made = self.checks(**self.pair(90), listen=("tls:1", *TCP), state_dir=self.folder / "state")
        self.assertEqual(made.problems, [])
        summary = made.summary()
        self.assertEqual(summary["feeds"], [{"feed": "feed", "source": "demo:", "interval_s": 1.0, "rules": {}}])
        (certificate,) = summary["certificates"]
        self.assertEqual((certificate["file"], certificate["names"]), (str(self.folder / "a.pem"), ["a.test"]))
        self.assertEqual((summary["listen"], summary["state_dir"]), (["tls:1", *TCP], str(self.folder / "state")))
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["a.key", "a.pem"])
        self.assertEqual(
            (self.reactor.tcpServers, self.reactor.sslServers, self.reactor.getDelayedCalls()), ([], [], [])
        )

    def test_several_problems(self) -> None:
        """Each has the place where it was set, and one does not hide another."""
        feeds = (
            FeedSettings(feed="a", source="bogus:", allow_origin=("x",), places={"source": "f:3: feeds.a.source"}),
            FeedSettings(feed="b", source=f"file:{self.folder}/b.json", places={"source": "f:7: feeds.b.source"}),
        )
        (self.folder / "state").touch()
        found = self.problems(
            feeds=feeds,
            listen=("tcp:x", "tls:1:cert=/no/such:key=/no/such"),
            trusted_proxy=("y",),
            state_dir=self.folder / "state",
            admin_token=self.folder / "token",
            admin_group="no-such-group",
            places={"listen": "f:1: listen"},
        )
        for begin in (
            "--allow-origin: 'x' is not an origin",
            "f:3: feeds.a.source: unknown scheme",
            "warning: f:7: feeds.b.source: DIR/b.json: there is no such file",
            "--trusted-proxy: ",
            "f:1: listen: tcp:x: tcp: is followed by a port",
            "f:1: listen: /no/such: No such file or directory",
            "--state-dir: DIR/state: there is a file where a folder should be",
            "--admin-token: DIR/token: No such file or directory",
            "--admin-group: there is no group 'no-such-group'",
        ):
            self.assertEqual(len([each for each in found if each.startswith(begin)]), 1, (begin, found))
        self.assertEqual(len(found), 9, found)

    def test_certificates(self) -> None:
        """A pair that does not match and an expired one are problems; one that soon expires, or has no use, are not."""
        for days, is_warning, why in ((-1, False, "has expired"), (5, True, "expires on")):
            (problem,) = self.checks(**self.pair(days), listen=("tls:1", "tls:2")).problems
            self.assertEqual(problem.is_warning, is_warning)
            self.assertIn(why, problem.why)
        pair = self.pair(90)
        (problem,) = self.checks(**pair).problems
        self.assertEqual((problem.place, problem.is_warning), ("--cert", True))
        pair["key"][0].write_bytes(Holder("other").pem())
        (line,) = self.problems(**pair, listen=("tls:1", "tls:2"))
        self.assertEqual(line, "--key: DIR/a.key: it is not the private key of DIR/a.pem")

    def test_development_certificate(self) -> None:
        """It is a warning, and none is made."""
        made = self.checks(listen=("tls:1",))
        (problem,) = made.problems
        self.assertTrue(problem.is_warning)
        self.assertIn("clients get a development certificate", problem.why)
        self.assertEqual(made.summary()["certificates"], [])
        self.assertEqual([*self.folder.iterdir()], [])

    def test_folders_that_cannot_be_written(self) -> None:
        """The state directory, and the runtime directory: livefeed serves without the default one."""
        self.patch(os, "access", lambda *_: False)
        self.assertEqual(
            self.problems(state_dir=self.folder / "a" / "b"),
            [
                "--state-dir: DIR: this user may not write there",
                "--runtime-dir: DIR/run: Permission denied",
            ],
        )
        self.patch(runtime_dir, "MAX_SOCKET_PATH_BYTES", 1)
        made = StartChecks(Settings(listen=TCP), self.reactor, {"RUNTIME_DIRECTORY": str(self.folder)})
        made.run()
        self.assertEqual([each.is_warning for each in made.problems], [True])

    def test_signing_keys(self) -> None:
        """A file that cannot be used is a problem, and one that can be is none."""
        path = self.folder / "signing.pem"
        (line,) = self.problems(signing_key=path)
        self.assertTrue(line.startswith("--signing-key: DIR/signing.pem: there is no such file"), line)
        make_keys().write(path, is_new=True)
        self.assertEqual(self.problems(signing_key=path), [])

    def test_tokens_and_keys(self) -> None:
        """The files of protected feeds are read, and each problem names its setting."""
        path = self.folder / "tokens"
        path.touch(0o600)
        path.write_bytes(b"alone")
        feeds = (
            FeedSettings(feed="a", auth_tokens=path, places={"auth_tokens": "livefeed.toml:3: feeds.a.auth_tokens"}),
            FeedSettings(feed="b", auth_keys=str(self.folder / "keys")),
        )
        found = self.problems(feeds=feeds)
        expected = ["livefeed.toml:3: feeds.a.auth_tokens: DIR/tokens:1: has 1 columns", "DIR/keys: No such file"]
        for problem, part in zip(found, expected, strict=True):
            self.assertIn(part, problem)

    def test_versions_of_a_newer_livefeed(self) -> None:
        """They are a problem for each feed that has such a file, and stay as they are."""
        head = b'{"version":"","format":3}\n'
        path = self.folder / "b.versions"
        path.write_bytes(head)
        feeds = (FeedSettings(feed="a", source="demo:"), FeedSettings(feed="b", source="demo:"))
        (line,) = self.problems(feeds=feeds, state_dir=self.folder)
        self.assertTrue(line.startswith("--state-dir: DIR/b.versions: has format 3, of a newer livefeed"), line)
        self.assertEqual([*self.folder.iterdir(), path.read_bytes()], [path, head])

    def test_store(self) -> None:
        """It needs a state directory, and a file that this livefeed can use; nothing is locked or changed."""
        feeds = (FeedSettings(feed="a", source="store:"),)
        self.assertEqual(
            self.problems(feeds=feeds),
            ["--source: store: needs --state-dir, the folder in which its documents are stored"],
        )
        self.assertEqual(self.problems(feeds=feeds, state_dir=self.folder), [])
        (self.folder / "a.store").mkdir()
        self.assertEqual(
            self.problems(feeds=feeds, state_dir=self.folder), ["--state-dir: DIR/a.store: Is a directory"]
        )

    def test_as_text(self) -> None:
        """One line with the place, if there is one."""
        self.assertEqual(str(Problem("a.toml:1: b", "no", is_warning=True)), "warning: a.toml:1: b: no")
        self.assertEqual(str(Problem("", "no")), "no")


class PullTests(ChecksTestCase):
    """StartChecks.pull."""

    def test_rules(self) -> None:
        """A rule that would hold the document, and a pointer that finds nothing in it, are warnings."""
        rules = tuple(
            RuleSpec(name, Required((parse_selector(text),)), place=f"f:3: {name}")
            for name, text in (("ok", "/a"), ("no", "/b/c"))
        )
        _, problems = self.pulled(b'{"a": 1}', rules=rules)
        self.assertEqual([problem.place for problem in problems], ["f:3: no"] * 2)
        self.assertEqual([problem.is_warning for problem in problems], [True] * 2)
        self.assertIn("would hold the document that the source gives: /b/c is missing", problems[0].why)
        self.assertIn("there is no /b/c in the document", problems[1].why)

    def pulled(self, answer: Any, **settings: Any) -> tuple[Pulled, list[Problem]]:
        source = MemorySource(deque([answer]))
        self.patch(checks, "make_source", lambda *_, **__: source)
        made = self.checks(feeds=(FeedSettings(source="memory:", **settings),))
        outcome = Deferred.fromCoroutine(made.pull())
        self.reactor.advance(10)
        (pulled,) = self.successResultOf(outcome)
        made.close()
        self.assertTrue(source.closed)
        return pulled, made.problems

    def test_outcomes(self) -> None:
        """The size and the version, and the word of the gate; a source that fails is a warning."""
        good, bad = b'{"a": 1}', b'{"a": 1, "a": 2}'
        never: Deferred[bytes] = Deferred()
        for answer, size, version, why in (
            (good, 8, version_of(good), None),
            (bad, 16, version_of(bad), "the document has the name 'a' twice in one object"),
            (SourceError("cannot connect"), None, None, "cannot connect"),
            (never, None, None, "no answer within 1 s"),
            (ValueError("x"), None, None, "the source broke: ValueError: x"),
        ):
            pulled, problems = self.pulled(answer)
            self.assertEqual(pulled, Pulled("feed", size, version, why))
            self.assertEqual([(each.why, each.is_warning) for each in problems], [(why, True)] if why else [])
