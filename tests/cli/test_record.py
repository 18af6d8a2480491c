"""The subcommand that records a feed, without a server."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import signal
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli import record
from livefeed.cli.main import main
from livefeed.cli.operator_client import Answer, NotRunningError, OperatorClient
from livefeed.client import asyncio as client_asyncio
from livefeed.client.answers import Answer as Response
from livefeed.client.http import Requests
from livefeed.client.update import Line, Shown, State, Update
from livefeed.exceptions import FollowError
from livefeed.storage.record_file import Ending
from livefeed.storage.recorder import Recorder
from livefeed.storage.recording import Recording
from tests.helpers.missing import missing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

LIVE = Shown(b"[1]", "ab" * 16, "7.1", State.LIVE, Line.OPEN, "2026-11-23T20:15:07.004Z", True)


def shown(text: str, **more: Any) -> Shown:
    return replace(LIVE, content=text.encode(), **more)


class FakeFeed:
    """A feed whose changes a test has prepared; then it is silent."""

    def __init__(self, updates: list[Shown | BaseException | Callable[[], object]], parse: Any) -> None:
        self.updates, self.parse = updates, parse
        self.age_s = 0.5
        self.observer: Callable[[Shown], object] = lambda _: None

    def observe(self, observer: Callable[[Shown], object]) -> None:
        self.observer = observer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None:
        pass

    async def __aiter__(self) -> AsyncIterator[Update[Any]]:
        for each in self.updates:
            if isinstance(each, BaseException):
                raise each
            if isinstance(each, Shown):
                self.observer(each)
                yield Update.of(each, None if each.content is None else self.parse(each.content), 0.25, None)
            else:
                each()
                await asyncio.sleep(0.01)
        await asyncio.sleep(3600)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class RecordTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        self.path = folder / "night.recording"
        self.asked: dict[str, Any] = {}
        self.output, self.errors = io.StringIO(), io.StringIO()

    def record(self, updates: list[Any], *options: str, feed: str = "http://h/results") -> int:
        """Runs the command, and gives its exit code."""

        def follow(url: str, **more: Any) -> FakeFeed:
            self.asked = {"url": url, **more}
            return FakeFeed(updates, more["parse"])

        self.patch(client_asyncio, "follow", follow)
        with redirect_stdout(self.output), redirect_stderr(self.errors):
            try:
                return main(["record", feed, str(self.path), *options])
            except SystemExit as error:
                return int(str(error.code))

    def found(self) -> tuple[list[bytes], Ending | None]:
        with Recording(self.path) as recording:
            return [entry.data for entry in recording.entries() if entry.data is not None], recording.ending


class RecordTests(RecordTestCase):
    """A feed by its URL."""

    def test_until_the_feed_ends(self) -> None:
        """All versions are there, with an end, and the last line says what was recorded."""
        self.assertEqual(self.record([shown("[1]"), shown("[2]"), shown("[2]", state=State.ENDED)]), 0)
        self.assertEqual(self.found(), ([b"[1]", b"[2]"], Ending.COMPLETE))
        self.assertIn("2 versions were recorded in", self.output.getvalue())
        self.assertIn("ended since the feed has ended", self.output.getvalue())
        self.assertIn("results is live, connected\n", self.errors.getvalue())
        self.assertTrue(self.asked["verify"] and self.asked["websocket"])
        with Recording(self.path) as recording:
            beginning = recording.scan().beginning
        self.assertEqual((beginning.feed, beginning.source), ("results", "http://h/results"))

    def test_for_a_time(self) -> None:
        """A recording ends by itself, also if nothing comes."""
        self.assertEqual(self.record([shown("[1]")], "--for", "0.05s", "--json"), 0)
        report = json.loads(self.output.getvalue())
        self.assertEqual((report["written"], report["versions"], report["why"]), (1, 1, "the time is over"))
        self.assertEqual(self.found()[1], Ending.COMPLETE)

    def test_signals(self) -> None:
        """Ctrl-C and SIGTERM end it in order."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self.assertEqual(self.record([shown("[1]"), lambda number=number: signal.raise_signal(number)]), 0)
            self.assertEqual(self.found(), ([b"[1]"], Ending.COMPLETE))
            self.path.unlink()
        self.assertIn("a signal asked for it", self.output.getvalue())

    def test_appending(self) -> None:
        """A recording goes on, and begins if there is none; without the option, no file is written over."""
        self.assertEqual(self.record([shown("[1]")], "--for", "0.05s", "--append"), 0)
        self.assertEqual(self.record([shown("[1]"), shown("[2]")], "--for", "0.05s", "--append"), 0)
        self.assertEqual(self.found(), ([b"[1]", b"[2]"], Ending.COMPLETE))
        self.assertEqual(self.record([shown("[1]")]), 1)
        self.assertIn("there is a file already; give another name, or --append", self.errors.getvalue())

    def test_appending_to_another_feed(self) -> None:
        """A recording has one feed."""
        self.assertEqual(self.record([shown("[1]")], "--for", "0.05s"), 0)
        before = self.found()
        self.assertEqual(self.record([shown("[2]")], "--append", feed="http://h/other"), 1)
        self.assertIn("is a recording of 'results', and not of 'other'", self.errors.getvalue())
        self.assertEqual(self.found(), before)

    def test_token(self) -> None:
        """It is read from a file, and sent by TLS alone."""
        token = self.path.with_name("token")
        options = ("--for", "0.05s", "--token-file", str(token))
        for feed, why in (("https://h/results", "token: No such file"), ("http://h/results", "use https://")):
            self.assertEqual(self.record([], *options, feed=feed), 2)
            self.assertIn(why, self.errors.getvalue())
            token.write_text("abc\n")
        self.assertFalse(self.path.exists())
        self.assertEqual(self.record([shown("[1]")], *options, feed="https://h/results"), 0)
        self.assertEqual(self.asked["token"](), "abc")

    def test_server_that_cannot_be_reached(self) -> None:
        """The command fails at first contact, unless the user wants to wait; later it goes on trying. No file stays."""
        offline = Shown(line=Line.OFFLINE, problem="nothing listens at h")
        self.assertEqual(self.record([Shown(), offline, shown("[1]", state=State.ENDED)]), 1)
        self.assertIn("night.recording: nothing listens at h\n", self.errors.getvalue())
        self.assertFalse(self.path.exists())
        self.assertEqual(self.record([offline, shown("[1]", state=State.ENDED)], "--wait"), 0)
        self.assertEqual(self.found()[0], [b"[1]"])
        self.path.unlink()
        lost = shown("[1]", line=Line.OFFLINE, problem="closed")
        self.assertEqual(self.record([shown("[1]"), lost, shown("[2]", state=State.ENDED)]), 0)
        self.assertEqual(self.found()[0], [b"[1]", b"[2]"])

    def test_no_version(self) -> None:
        """A recording without a version is a failure, with the reason, and no file stays."""
        offline = Shown(line=Line.OFFLINE, problem="nothing listens at h")
        self.assertEqual(self.record([offline], "--wait", "--for", "0.05s"), 1)
        self.assertIn(
            "nothing was recorded: the time is over, and no version has come: nothing listens at h",
            self.errors.getvalue(),
        )
        gone = replace(LIVE, content=None, state=State.EXPIRED)
        self.assertEqual(self.record([gone, replace(gone, state=State.ENDED)]), 1)
        self.assertIn("the feed has ended, and no version has come\n", self.errors.getvalue())
        self.assertEqual((self.output.getvalue(), self.path.exists()), ("", False))

    def test_file_that_appears(self) -> None:
        """A file of another command is not written over."""
        self.assertEqual(self.record([lambda: self.path.write_text("x"), shown("[1]")]), 1)
        self.assertIn("there is a file already", self.errors.getvalue())
        self.assertEqual(self.path.read_text(), "x")

    def test_only_feed(self) -> None:
        """The URL of a server stands for its only feed, whose name the recording has."""
        listed = Response(200, {}, b'{"feeds": [{"path": "/live/results"}]}')
        self.patch(Requests, "get", lambda *_: listed)
        self.assertEqual(self.record([shown("[1]", state=State.ENDED)], feed="http://h:8080/"), 0)
        self.assertEqual(self.asked["url"], "http://h:8080/live/results")
        with Recording(self.path) as recording:
            beginning = recording.scan().beginning
        self.assertEqual((beginning.feed, beginning.source), ("results", "http://h:8080/live/results"))
        self.path.unlink()
        self.patch(Requests, "get", self.interrupt)
        self.assertEqual(self.record([], feed="http://h:8080/"), 1)
        self.assertIn("nothing was recorded", self.errors.getvalue())

    def test_other_endpoint(self) -> None:
        """The list of feeds and the feed are asked for there."""
        endpoints = []

        def get(requests: Requests, fields: dict[str, str]) -> Response:
            endpoints.append(requests.address.endpoint)
            return Response(200, {}, b'{"feeds": [{"path": "/live/results"}]}')

        self.patch(Requests, "get", get)
        updates = [shown("[1]", state=State.ENDED)]
        self.assertEqual(self.record(updates, "--connect", "127.0.0.1:8443", feed="https://h/"), 0)
        self.assertEqual(endpoints, [("127.0.0.1", 8443)])
        self.assertEqual((self.asked["url"], self.asked["connect"]), ("https://h/live/results", "127.0.0.1:8443"))

    def test_other_endpoint_for_a_name(self) -> None:
        """The certificate of a feed on this machine is not checked, so it is asked nowhere else."""
        self.assertEqual(self.record([], "--connect", "192.0.2.7:8443", feed="results"), 2)
        self.assertIn("--connect takes the URL of a feed", self.errors.getvalue())

    @staticmethod
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def test_large_file(self) -> None:
        """It ends at the size that is allowed."""
        self.assertEqual(self.record([shown("[1]"), shown("[2]"), shown("[3]")], "--max-bytes", "350"), 0)
        self.assertIn("ended since the file has 350 bytes", self.output.getvalue())
        self.assertLess(len(self.found()[0]), 3)

    def test_feed_that_cannot_be_followed(self) -> None:
        """The reason is told, and what was recorded stays."""
        self.assertEqual(self.record([shown("[1]"), FollowError("answers 404")]), 1)
        self.assertIn("night.recording: answers 404", self.errors.getvalue())
        self.assertEqual(self.found(), ([b"[1]"], Ending.COMPLETE))

    def test_unwritten_versions(self) -> None:
        """The exit code and the last line tell of them."""
        self.patch(Recorder, "append", self._refuse)
        self.assertEqual(self.record([shown("[1]", state=State.ENDED)]), 1)
        self.assertIn("0 versions were recorded; 1 could not be written", self.output.getvalue())

    @staticmethod
    def _refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def test_wrong_command_lines(self) -> None:
        """Each is refused before a file is made."""
        self.assertEqual(self.record([], feed="ftp://h/x"), 2)
        for options in (("--for", "soon"), ("--max-bytes", "x"), ("--max-bytes", "9" * 30)):
            self.assertEqual(self.record([], *options), 2)
        self.assertFalse(self.path.exists())

    def test_missing_package(self) -> None:
        """The message says how to install it, and no file is made."""
        with (
            missing("websockets", *(f"livefeed.client.{name}" for name in ("asyncio", "driver", "websocket"))),
            redirect_stdout(self.output),
            redirect_stderr(self.errors),
        ):
            self.assertEqual(main(["record", "http://127.0.0.1:1/results", str(self.path), "--for", "1s"]), 1)
        self.assertRegex(self.errors.getvalue(), r"^livefeed: livefeed record needs .* To install: .*livefeed\[cli\]")
        self.assertFalse(self.path.exists())

    def test_progress(self) -> None:
        """A terminal shows it in place, and a log in lines; changes of the state are lines of their own."""
        updates = [
            Shown(),
            Shown(line=Line.OFFLINE, problem="refused"),
            shown("[1]"),
            shown("[1]", state=State.STALE, line=Line.OFFLINE, problem="no answer"),
        ]
        self.patch(record, "PROGRESS_S", 0.01)
        self.patch(record, "TERMINAL_PROGRESS_S", 0.01)
        self.patch(record, "SYNC_S", 0.01)
        self.assertEqual(self.record(updates, "--wait", "--for", "0.1s"), 0)
        text = self.errors.getvalue()
        self.assertRegex(text, r"results is waiting, offline: refused\n(?s:.*)results is stale, offline: no answer\n")
        self.assertRegex(text, r"\n\d\d:\d\d:\d\d  1 version, [\d,]+ bytes, stale, age 0.5 s\n")
        self.path.unlink()
        self.errors = Terminal()
        self.assertEqual(self.record(updates, "--wait", "--for", "0.1s"), 0)
        self.assertRegex(self.errors.getvalue(), r"\r\x1b\[K\d\d:\d\d:\d\d  1 version, .*\r\x1b\[K$")


class LocalFeedTests(RecordTestCase):
    """A feed of a livefeed on this machine."""

    def setUp(self) -> None:
        super().setUp()
        self.listen: list[str] = ["tls:8443", "tcp:8080:interface=127.0.0.1"]
        self.patch(record, "chosen_socket", lambda *_, **__: Path("/run/x"))
        self.patch(OperatorClient, "get", self.status)

    def status(self, _: str) -> Answer:
        return Answer(200, json.dumps({"feeds": [{"name": "results"}], "listen": self.listen}).encode())

    def test_address(self) -> None:
        """Plain HTTP is preferred; the certificate of this machine is for another name."""
        for listen, url in (
            (["tls:8443", "tcp:8080:interface=127.0.0.1"], "http://127.0.0.1:8080/results"),
            (["tcp6:8080:interface=\\:\\:1"], "http://[::1]:8080/results"),
            (["tcp:8080:interface=0.0.0.0"], "http://localhost:8080/results"),
            (["unix:/run/x", "tls:8443"], "https://localhost:8443/results"),
        ):
            self.listen = listen
            self.assertEqual(self.record([shown("[1]", state=State.ENDED)], feed="results"), 0)
            self.assertEqual((self.asked["url"], self.asked["verify"]), (url, False))
            self.path.unlink()

    def test_no_such_feed(self) -> None:
        """The message names those that there are, or says that the URL is needed."""
        self.assertEqual(self.record([], feed="result"), 1)
        self.assertIn("there is no feed 'result' there; there are results", self.errors.getvalue())
        self.listen = ["systemd:domain=INET6:index=0"]
        self.assertEqual(self.record([], feed="results"), 1)
        self.assertIn("give the URL of the feed", self.errors.getvalue())

    def test_no_livefeed(self) -> None:
        """It has its own exit code."""

        def find(*_: object, **__: object) -> Path:
            raise NotRunningError("no livefeed runs")

        self.patch(record, "chosen_socket", find)
        self.assertEqual(self.record([], feed="results"), 3)
        self.assertFalse(os.path.lexists(self.path))
