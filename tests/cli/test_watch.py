"""The subcommand that shows a document as it changes, without a server."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sys
import tempfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli import watch
from livefeed.cli.main import main
from livefeed.client import asyncio as client_asyncio
from livefeed.client.actions import Failed
from livefeed.client.answers import Answer
from livefeed.client.http import Requests
from livefeed.client.update import Line, Shown, State, Update
from livefeed.exceptions import FollowError
from tests.helpers.missing import missing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LIVE = Shown(b"", "ab" * 16, "7.1", State.LIVE, Line.OPEN, "2026-11-23T20:15:07.004Z", True)


def shown(text: str | None, **more: Any) -> Shown:
    return replace(LIVE, content=None if text is None else text.encode(), **more)


class FakeFeed:
    """A feed whose updates a test has prepared; then it is silent."""

    def __init__(self, updates: list[Shown | BaseException], parse: Any) -> None:
        self.updates, self.parse = updates, parse
        self.age_s, self.received_bytes, self.waiting_s = 0.5, 1234, None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None:
        pass

    async def __aiter__(self) -> AsyncIterator[Update[Any]]:
        for each in self.updates:
            if isinstance(each, BaseException):
                raise each
            yield Update.of(each, None if each.content is None else self.parse(each.content), 0.25, 65.0)
        await asyncio.sleep(3600)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class WatchTestCase(SynchronousTestCase):
    """The command with a feed of the test."""

    url = "http://h/feed"

    def setUp(self) -> None:
        self.output: io.StringIO = io.StringIO()
        self.errors = io.StringIO()
        self.asked: dict[str, Any] = {}
        self.patch(sys, "stderr", self.errors)

    def watch(self, updates: list[Shown | BaseException], *options: str) -> int:
        """Runs the command, and gives its exit code."""

        def follow(url: str, **more: Any) -> FakeFeed:
            self.asked = {"url": url, **more}
            return FakeFeed(updates, more["parse"])

        self.patch(client_asyncio, "follow", follow)
        self.patch(sys, "stdout", self.output)
        try:
            return main(["watch", self.url, *options])
        except SystemExit as error:
            return int(str(error.code))

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.getvalue().splitlines()]


class LinesTests(WatchTestCase):
    """An output that is no terminal."""

    def test_once(self) -> None:
        """One line has all facts and the document, whose numbers stay as they are written."""
        self.assertEqual(self.watch([shown('{"a":\n1.50}')], "--once"), 0)
        self.assertIn('"data":{"a":1.50}}', self.output.getvalue())
        (line,) = self.lines()
        self.assertEqual(
            (line["state"], line["line"], line["age_s"], line["received_bytes"]), ("live", "open", 0.25, 1234)
        )
        self.assertNotIn("problem", line)

    def test_unknown_state(self) -> None:
        """It has its own name."""
        self.assertEqual(self.watch([shown("1", state=State.UNKNOWN, unknown_state="paused")], "--once"), 0)
        self.assertEqual(self.lines()[0]["state"], "paused")

    def test_nothing_commands_the_terminal(self) -> None:
        """JSON need not escape all control characters, but a terminal that shows the lines would obey them."""
        self.assertEqual(self.watch([shown('"\x9b31m\u202e\u00e9"')], "--once"), 0)
        self.assertIn(r'"data":"\u009b31m\u202e' + "\u00e9", self.output.getvalue())
        self.assertEqual(self.lines()[0]["data"], "\x9b31m\u202e\u00e9")

    def test_differences(self) -> None:
        """The first line has the document, and each other one its changes."""
        self.assertEqual(self.watch([shown('{"a": 1}'), shown('{"a": 2}', state=State.ENDED)], "--diff"), 0)
        first, second = self.lines()
        self.assertEqual(first["data"], {"a": 1})
        self.assertEqual((second["changes"], "data" in second), ([{"path": "/a", "old": 1, "new": 2}], False))

    def test_condition(self) -> None:
        """The command ends with 0 when the condition holds, and with 3 if it cannot any more."""
        updates: list[Shown | BaseException] = [shown('{"a": 1}'), shown('{"a": 2}'), shown('{"a": 3}')]
        self.assertEqual(self.watch(updates, "--until", "/a >= 2"), 0)
        self.assertEqual(len(self.lines()), 2)
        self.assertEqual(self.watch([shown('{"a": 1}', state=State.ENDED)], "--until", "/a >= 2"), 3)
        self.assertEqual(self.watch([shown('{"a": 1}')], "--until", "/a >= 2", "--once"), 3)
        self.assertEqual(self.errors.getvalue(), "")
        self.assertEqual(self.watch([shown('{"a": 1}')], "--until", "/a >= 2", "--timeout", "0.01"), 3)
        self.assertIn("http://h/feed: the condition did not come true within 0.01 s", self.errors.getvalue())

    def test_nothing_to_show(self) -> None:
        """--once without a document that may be shown exits with 3."""
        for state in (State.EXPIRED, State.WITHDRAWN, State.MISSING):
            self.assertEqual(self.watch([shown(None, state=state)], "--once"), 3)

    def test_server_that_cannot_be_reached(self) -> None:
        """At first it is an error; with --wait, or later, it is a state."""
        offline = shown(None, state=State.WAITING, line=Line.OFFLINE, problem="nothing listens at h")
        self.assertEqual(self.watch([offline]), 1)
        self.assertEqual(self.errors.getvalue(), "livefeed: nothing listens at h\n")
        self.assertEqual(self.watch([offline, shown("[1]")], "--wait", "--once"), 0)
        self.assertEqual(self.lines()[0]["problem"], "nothing listens at h")
        self.assertEqual(self.watch([shown("[1]"), replace(offline, content=b"[1]"), FollowError("gone")]), 1)

    def test_document_that_cannot_be_read(self) -> None:
        """A document that is nested too deeply, or is no JSON, is an error."""
        for text in ("[" * 100_000, "<html>"):
            self.assertEqual(self.watch([shown(text)]), 1)
            self.assertIn("the document cannot be shown", self.errors.getvalue())

    def test_reader_that_goes(self) -> None:
        """A pipe whose reader has ended is no error."""
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "w") as stream:
            self.output = stream  # type: ignore[assignment]
            self.assertEqual(self.watch([shown("[1]"), shown("[2]")]), 0)

    def test_signals(self) -> None:
        """Ctrl-C and SIGTERM end it, with the exit codes that shells expect."""
        for number in (signal.SIGINT, signal.SIGTERM):

            def interrupt(*_: Any, number: int = number) -> None:
                os.kill(os.getpid(), number)

            self.patch(watch.Lines, "show", interrupt)
            self.assertEqual(self.watch([shown("[1]")]), 128 + number)

    def test_options(self) -> None:
        """The options of the connection are passed on, and wrong ones are refused."""
        self.watch([shown("[1]")], "--once", "--poll", "--insecure", "--cacert", "x")
        self.assertEqual(
            (self.asked["websocket"], self.asked["verify"], str(self.asked["cacert"])), (False, False, "x")
        )
        for wrong in (["--until", "x == 1"], ["--timeout", "0"], ["--timeout", "x"], ["--nope"]):
            self.assertEqual(self.watch([], *wrong), 2)
        self.assertEqual(main(["watch", "nope"]), 2)
        self.assertIn("is no URL of a feed", self.errors.getvalue())

    def test_missing_packages(self) -> None:
        """The message has the command that installs them. Lines of JSON need one of them."""
        with missing("rich", "livefeed.cli.screen"):
            self.assertEqual(self.watch([shown("[1]")], "--once"), 0)
            self.output = Terminal()
            self.assertEqual(self.watch([]), 1)
        begin = r"^livefeed: livefeed watch without --json needs .*livefeed\[cli\]"
        self.assertRegex(self.errors.getvalue(), begin)
        self.errors.truncate(self.errors.seek(0))
        with missing("websockets", *(f"livefeed.client.{name}" for name in ("asyncio", "driver", "websocket"))):
            self.patch(sys, "stdout", io.StringIO())
            self.assertEqual(main(["watch", self.url, "--json"]), 1)
        self.assertRegex(self.errors.getvalue(), r"^livefeed: livefeed watch needs .*livefeed\[cli\]")

    def test_missing_package_before_the_server(self) -> None:
        """A package that is missing is told before a server is asked which feeds it has."""

        def get(*_: object) -> Answer:
            raise AssertionError("the server is asked")

        self.patch(Requests, "get", get)
        with missing("websockets", *(f"livefeed.client.{name}" for name in ("asyncio", "driver", "websocket"))):
            self.assertEqual(main(["watch", "http://h/", "--json"]), 1)
        self.assertIn("livefeed watch needs ", self.errors.getvalue())
        self.url, self.output = "http://h/", Terminal()
        with missing("rich", "livefeed.cli.screen"):
            self.assertEqual(self.watch([]), 1)
        self.assertIn("livefeed watch without --json needs ", self.errors.getvalue())

    def test_token(self) -> None:
        """The file is read anew for each connection. A wrong one is told first, and its content never."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(b" a.b \n")
            file.flush()
            self.assertEqual(self.watch([], "--token-file", file.name), 1)
            self.assertIn("use https://", self.errors.getvalue())
            self.url = "https://h/feed"
            self.assertEqual(self.watch([shown("[1]")], "--once", "--token-file", file.name), 0)
            self.assertEqual(self.asked["token"](), "a.b")
            file.truncate(0)
            file.seek(0)
            file.write(b"new")
            file.flush()
            self.assertEqual(self.asked["token"](), "new")
            file.write(b" secret words")
            file.flush()
            self.assertEqual(self.watch([], "--token-file", file.name), 1)
            self.assertNotIn("secret", self.errors.getvalue())
        self.assertEqual(self.watch([], "--token-file", file.name), 1)
        self.assertIn("No such file", self.errors.getvalue())


class ServerTests(WatchTestCase):
    """The URL of a server in place of that of a feed."""

    def named(self, answer: Answer | Failed, fragment: str = "") -> str:
        """Gives the URL that is followed, or the error."""
        self.patch(Requests, "get", lambda requests, fields: answer)
        self.patch(sys, "stdout", self.output)
        self.errors.truncate(0)
        self.asked = {}

        def follow(url: str, **more: Any) -> FakeFeed:
            self.asked = {"url": url}
            return FakeFeed([shown("[1]")], more["parse"])

        self.patch(client_asyncio, "follow", follow)
        main(["watch", f"http://h:8080/{fragment}", "--once"])
        return str(self.asked.get("url")) if self.asked else self.errors.getvalue()

    def test_other_endpoint(self) -> None:
        """The list of feeds and the feed are asked for there."""
        endpoints = []

        def get(requests: Requests, fields: dict[str, str]) -> Answer:
            endpoints.append((requests.address.authority, requests.address.endpoint))
            return Answer(200, {}, b'{"feeds": [{"path": "/results"}]}')

        self.patch(Requests, "get", get)
        self.url = "https://example.org/"
        self.assertEqual(self.watch([shown("[1]")], "--once", "--connect", "127.0.0.1:8443"), 0)
        self.assertEqual(endpoints, [("example.org", ("127.0.0.1", 8443))])
        self.assertEqual((self.asked["url"], self.asked["connect"]), ("https://example.org/results", "127.0.0.1:8443"))

    def test_only_feed(self) -> None:
        """The only feed of a server is followed, or a part of it."""
        listed = Answer(200, {}, b'{"feeds": [{"path": "/results"}]}')
        self.assertEqual(self.named(listed), "http://h:8080/results")
        self.assertEqual(self.named(listed, "#/n"), "http://h:8080/results/n")
        self.assertIn("nothing listens", self.named(Failed("nothing listens at h:8080")))

    def test_interrupted(self) -> None:
        """Ctrl-C ends the search for the feed."""

        def interrupt(*_: object) -> Answer:
            raise KeyboardInterrupt

        self.patch(Requests, "get", interrupt)
        self.assertEqual(main(["watch", "http://h/", "--wait"]), 130)


class TerminalTests(WatchTestCase):
    """A terminal."""

    def setUp(self) -> None:
        super().setUp()
        self.output = Terminal()
        self.patch(os, "environ", {**os.environ, "TERM": "xterm", "COLUMNS": "60", "LINES": "12"})
        os.environ.pop("NO_COLOR", None)

    def test_redrawn(self) -> None:
        """The document is drawn on a screen of its own, and the terminal is as before at the end."""
        self.assertEqual(self.watch([shown('{"a": 1}'), shown('{"a": 2}', state=State.ENDED)]), 0)
        text = self.output.getvalue()
        self.assertTrue(text.startswith("\x1b[?1049h"), text[:40])
        self.assertIn("\x1b[?1049l", text)
        # The last state stays.
        self.assertRegex(text.rpartition("\x1b[?1049l")[2], r'ended(?s:.*)"a"')

    def test_nothing_to_keep(self) -> None:
        """A screen without a document leaves nothing."""
        self.assertEqual(self.watch([Shown(), FollowError("no feed")]), 1)
        self.assertNotIn("connecting", self.output.getvalue().rpartition("\x1b[?1049l")[2])

    def test_once(self) -> None:
        """The document is printed below what is there."""
        self.assertEqual(self.watch([shown('{"a": 1}')], "--once"), 0)
        self.assertNotIn("\x1b[?1049h", self.output.getvalue())
        self.assertIn("live", self.output.getvalue())

    def test_differences(self) -> None:
        """Each change is a line with its time."""
        self.watch([shown('{"a": 1}'), shown('{"a": 2}', state=State.ENDED)], "--diff")
        self.assertIn("/a", self.output.getvalue())
        self.assertIn("20:15:07", self.output.getvalue())

    def test_held_with_a_reason(self) -> None:
        """The reason and the time of waiting are printed when they begin."""
        held = shown('{"a": 1}', state=State.HELD, reason="a check\x1b", is_waiting=True)
        os.environ["COLUMNS"] = "200"
        self.watch([shown('{"a": 1}'), held, shown('{"a": 1}', state=State.ENDED)], "--diff")
        self.assertIn("a newer version has been waiting for 1 min 5 s: a check\\x1b", self.output.getvalue())
        self.output = io.StringIO()
        self.watch([held, shown('{"a": 1}', state=State.ENDED)], "--json")
        line = self.lines()[0]
        self.assertEqual((line["state"], line["reason"], line["waiting_s"]), ("held", "a check\x1b", 65.0))

    def test_lines_on_request(self) -> None:
        """--json, and a terminal that can do nothing, have lines."""
        self.watch([shown("[1]")], "--once", "--json")
        self.assertEqual(len(self.lines()), 1)
        os.environ["TERM"] = "dumb"
        self.watch([shown("[1]")], "--once")
        self.assertEqual(len(self.lines()), 2)
