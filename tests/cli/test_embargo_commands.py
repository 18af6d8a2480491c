"""``livefeed ctl embargo``, ``livefeed ctl release --at`` and the time of ``livefeed publish --at``."""

from __future__ import annotations

import io
import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from livefeed.cli import embargo_commands, operator_options
from livefeed.cli.main import main
from tests.helpers.desk_reports import desk_report
from tests.helpers.embargo_reports import embargo, release
from tests.helpers.operators_socket import operators_socket
from tests.helpers.zones import ZoneTestCase

NOW = datetime(2026, 11, 30, 20, 4, 19, tzinfo=UTC)


class EmbargoCommandTestCase(ZoneTestCase):
    """A livefeed that gives prepared answers, at nine in the evening."""

    def setUp(self) -> None:
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = Path(directory.name)
        self.file = self.folder / "a.json"
        self.file.write_bytes(b"[1]")
        self.err = io.StringIO()
        self.patch(sys, "stderr", self.err)
        self.patch(embargo_commands, "here", NOW.astimezone)

    def run_it(self, *arguments: str, answers: tuple[tuple[int, Any], ...]) -> int:
        """Runs a command, and gives its exit code."""
        self.out = io.StringIO()
        self.patch(sys, "stdout", self.out)
        with operators_socket(self.folder / "admin.sock", *answers) as self.requests:
            return main([*arguments, "--runtime-dir", str(self.folder)])


class ListTests(EmbargoCommandTestCase):
    """What waits for its time."""

    def test_list(self) -> None:
        """Without an action it is listed."""
        for arguments in ([], ["list"]):
            self.assertEqual(self.run_it("ctl", "embargo", *arguments, answers=((200, [embargo(), 5]),)), 0)
            self.assertEqual(self.requests, [("GET", "/-/embargoes", b"")])
            self.assertIn("0a1b2c3d  results  document 9a8b77665544  4,210", self.out.getvalue())
        self.run_it("ctl", "embargo", answers=((200, {}),))
        self.assertEqual(self.out.getvalue(), "nothing waits for its time\n")

    def test_desk(self) -> None:
        """The report of a feed has those of the feed."""
        answers = ((200, desk_report()), (200, [embargo(), embargo(feed="other", id="ffffffff")]))
        self.run_it("ctl", "desk", "results", answers=answers)
        self.assertIn("embargo   0a1b2c3d: document", self.out.getvalue())
        self.assertNotIn("ffffffff", self.out.getvalue())
        others: tuple[tuple[int, Any], ...] = ((404, {}), (200, {}))
        for other in others:
            self.assertEqual(self.run_it("ctl", "desk", "results", answers=((200, desk_report()), other)), 0)
            self.assertNotIn("embargo  ", self.out.getvalue())


class ActionTests(EmbargoCommandTestCase):
    """Cancelling, and publishing by hand."""

    def test_actions(self) -> None:
        """The id is sent, and the outcome shown."""
        for arguments, sent in (
            (["cancel", "0a1b2c3d"], {"action": "cancel", "id": "0a1b2c3d"}),
            (["publish", "0a1b2c3d"], {"action": "publish", "id": "0a1b2c3d"}),
            (["publish", "0a1b", "--any-version"], {"action": "publish", "id": "0a1b", "any_version": True}),
        ):
            answers = ((200, embargo(action=arguments[0], done=True)),)
            self.assertEqual(self.run_it("ctl", "embargo", *arguments, answers=answers), 0)
            method, path, content = self.requests[0]
            self.assertEqual((method, path, json.loads(content)), ("POST", "/-/embargo", sent))
            self.assertIn("results: the embargo 0a1b2c3d", self.out.getvalue())

    def test_wrong(self) -> None:
        """A wrong command line sends nothing."""
        for arguments, why in (
            (["cancel"], "embargo cancel needs the ID of an embargo; `livefeed ctl embargo` shows them"),
            (["list", "0a1b"], "embargo list takes no ID"),
            (["cancel", "0a1b", "--any-version"], "--any-version belongs to publish"),
        ):
            self.assertEqual(self.run_it("ctl", "embargo", *arguments, answers=((200, []),)), 2)
            self.assertEqual(self.requests, [])
            self.assertIn(why, self.err.getvalue())


class ReleaseTests(EmbargoCommandTestCase):
    """livefeed ctl release --at."""

    def test_release(self) -> None:
        """The time is sent with its offset, and repeated with its zone."""
        self.assertEqual(
            self.run_it("ctl", "release", "results", "--at", "21:30", "--reason", "x", answers=((200, release()),)), 0
        )
        method, path, content = self.requests[0]
        self.assertEqual((method, path), ("POST", "/-/embargo"))
        self.assertEqual(
            json.loads(content),
            {"action": "release", "feed": "results", "at": "2026-11-30T20:30:00.000Z", "reason": "x"},
        )
        self.assertIn("the hold goes on until 2026-11-30 21:30:00 CET (UTC+01:00)", self.out.getvalue())
        self.assertEqual(self.err.getvalue(), "")

    def test_tomorrow(self) -> None:
        """It is said."""
        self.run_it("ctl", "release", "results", "--at", "21:00", answers=((200, release()),))
        self.assertIn("TOMORROW", self.err.getvalue())

    def test_wrong(self) -> None:
        """Times that have passed, and options that exclude each other."""
        answers = ((200, release()),)
        with self.assertRaises(SystemExit) as caught:
            self.run_it("ctl", "release", "results", "--at", "2020-01-01T00:00:00Z", answers=answers)
        self.assertEqual(caught.exception.code, 2)
        self.assertIn(" ago: it is ", self.err.getvalue())
        for option in ("--once", "--version=ab"):
            self.assertEqual(self.run_it("ctl", "release", "results", "--at", "21:30", option, answers=answers), 2)
            self.assertEqual(self.requests, [])


class PublishTests(EmbargoCommandTestCase):
    """livefeed publish --at."""

    def publish(self, *arguments: str, answers: tuple[tuple[int, Any], ...]) -> int:
        return self.run_it("publish", str(self.file), "--feed", "results", *arguments, answers=answers)

    def test_set_aside(self) -> None:
        """Done is the exit code: nobody is to be shown it yet."""
        answers: tuple[tuple[int, Any], ...] = (
            (200, []),
            (202, {**embargo(), "live": False, "why": "it is set aside"}),
        )
        self.assertEqual(self.publish("--at", "21:30", answers=answers), operator_options.DONE)
        self.assertEqual([each[:2] for each in self.requests], [("GET", "/-/embargoes"), ("PUT", "/feeds/results")])
        self.assertIn("is set aside until 2026-11-30 21:30:00 CET (UTC+01:00)", self.out.getvalue())
        self.assertEqual(self.publish("--at", "21:30", "--json", answers=answers), operator_options.DONE)
        self.assertEqual(json.loads(self.out.getvalue())["id"], "0a1b2c3d")

    def test_older_livefeed(self) -> None:
        """It is not sent the document: it would publish it at once."""
        for status in (404, 501):
            self.assertEqual(self.publish("--at", "21:30", answers=((status, {"detail": "no"}),)), 1)
            self.assertEqual(len(self.requests), 1)
            self.assertIn("the document was not sent", self.err.getvalue())
        self.assertEqual(self.publish("--at", "21:30", answers=((403, {"detail": "no access"}),)), 1)
        self.assertIn("no access", self.err.getvalue())

    def test_watch(self) -> None:
        """A file that is watched has no time."""
        self.assertEqual(self.publish("--at", "21:30", "--watch", answers=((200, []),)), 2)
        self.assertIn("--watch and --at exclude each other", self.err.getvalue())
