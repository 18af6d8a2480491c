"""``livefeed publish``: its requests, its exit codes, and a watched file."""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli import publish
from livefeed.cli.main import main
from livefeed.cli.operator_client import parse_base, read_token
from livefeed.cli.operator_options import DONE, FAILED, NOT_RUNNING, WRONG_USE
from livefeed.exceptions import CommandError
from tests.helpers.embargo_reports import embargo
from tests.helpers.operators_socket import operators_socket

LIVE = {"feed": "a", "version": "0123456789abcdef", "changed": True, "live": True, "sequence": "1.2", "why": None}
HELD = {**LIVE, "live": False, "why": "a rule"}


class PublishTestCase(SynchronousTestCase):
    """A stand-in for a livefeed, and a file."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = Path(directory.name)
        self.socket = self.folder / "run" / "admin.sock"
        self.file = self.folder / "a.json"
        self.file.write_bytes(b"[1]")
        self.out, self.err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(sys, "stderr", self.err)

    def publish(self, *arguments: str) -> int:
        """Runs the command."""
        return main(["publish", *arguments, "--runtime-dir", str(self.socket.parent)])


class PublishTests(PublishTestCase):
    """A document that is stored once."""

    def test_stored(self) -> None:
        """The file is sent as it is, to the feed that is named, and the answer is told in one line."""
        with operators_socket(self.socket, (201, LIVE)) as requests:
            self.assertEqual(self.publish(str(self.file), "--feed", "a"), DONE)
        self.assertEqual(requests, [("PUT", "/feeds/a", b"[1]")])
        self.assertEqual(self.out.getvalue(), "a: 0123456789ab stored, and is shown as 1.2\n")

    def test_only_feed(self) -> None:
        """Without a name it is the only feed with a store. None, or several, are an error that names them."""
        for feeds, code, why in (
            ([{"feed": "a"}], DONE, ""),
            ([], FAILED, "no feed"),
            ([{"feed": "a"}, {"feed": "b"}], WRONG_USE, "--feed: a, b"),
        ):
            with operators_socket(self.socket, (200, feeds), (200, LIVE)) as requests:
                self.assertEqual(self.publish(str(self.file)), code)
            self.assertEqual(requests[0][:2], ("GET", "/feeds"))
            self.assertIn(why, self.err.getvalue())

    def test_not_shown(self) -> None:
        """A document that is held has an exit code of its own, with the reason."""
        with operators_socket(self.socket, (202, HELD)):
            self.assertEqual(self.publish(str(self.file), "--feed", "a"), publish.NOT_SHOWN)
            self.assertEqual(self.publish(str(self.file), "--feed", "a", "--json"), publish.NOT_SHOWN)
        text, line = self.out.getvalue().splitlines()
        self.assertEqual((text, json.loads(line)), ("a: 0123456789ab stored, and is not shown: a rule", HELD))

    def test_set_aside(self) -> None:
        """It is done, although nobody is shown the document yet."""
        made = {**embargo(), "live": False}
        with operators_socket(self.socket, (200, []), (202, made)) as requests:
            self.assertEqual(self.publish(str(self.file), "--feed", "a", "--at", "+10m"), DONE)
        self.assertEqual([each[:2] for each in requests], [("GET", "/-/embargoes"), ("PUT", "/feeds/a")])
        self.assertIn("Nothing of it is visible before.", self.out.getvalue())
        self.assertEqual(self.publish(str(self.file), "--at", "+10m", "--watch"), WRONG_USE)

    def test_standard_input(self) -> None:
        """The name - stands for it."""

        class Input:
            buffer = io.BytesIO(b"[2]")

        self.patch(sys, "stdin", Input)
        with operators_socket(self.socket, (200, LIVE)) as requests:
            self.assertEqual(self.publish("-", "--feed", "a"), DONE)
        self.assertEqual(requests[0][2], b"[2]")

    def test_settings(self) -> None:
        """They are refused before there is a request."""
        self.file.write_text('source = "store:"\n')
        self.assertEqual(self.publish(str(self.file), "--feed", "a"), FAILED)
        self.assertIn(
            f"is a file of settings (TOML), and no document (JSON); `livefeed check {self.file}`", self.err.getvalue()
        )

    def test_failures(self) -> None:
        """Each has its exit code and one line."""
        refused = {"status": 422, "detail": "The document is empty."}
        with operators_socket(self.socket, (422, refused)):
            self.assertEqual(self.publish(str(self.file), "--feed", "a"), FAILED)
        self.assertEqual(self.err.getvalue(), "livefeed: The document is empty.\n")
        for arguments, code, why in (
            (["a.json"], FAILED, "a.json: cannot be read: No such file"),
            ([str(self.folder)], FAILED, "Is a directory"),
            ([str(self.file), "--feed", "a"], NOT_RUNNING, "no livefeed runs"),
            (["-", "--watch"], WRONG_USE, "--watch needs a file"),
            ([str(self.file), "--watch", "--if-new"], WRONG_USE, "takes no condition"),
            ([str(self.file), "--token-file", "a"], WRONG_USE, "go together"),
        ):
            self.err.truncate(0)
            self.assertEqual(self.publish(*arguments), code, arguments)
            self.assertIn(why, self.err.getvalue())

    def test_other_port(self) -> None:
        """A server that has no feeds to publish is not the operator's port, and a wrong name is told by that port."""
        nothing = (404, {"status": 404, "detail": "There is nothing at this path."})
        for arguments, answers in (([], [nothing]), (["--feed", "a"], [nothing, nothing])):
            self.err.truncate(self.err.seek(0))
            with operators_socket(self.socket, *answers):
                self.assertEqual(self.publish(str(self.file), *arguments), FAILED)
            self.assertIn("this is not the operator's port; --url takes an endpoint of", self.err.getvalue())
        self.err.truncate(self.err.seek(0))
        unknown = (404, {"status": 404, "detail": "There is no feed by this name; those with the source store: are b."})
        with operators_socket(self.socket, unknown, (200, [{"feed": "b"}])):
            self.assertEqual(self.publish(str(self.file), "--feed", "a"), FAILED)
        self.assertIn("those with the source store: are b.", self.err.getvalue())

    def test_url(self) -> None:
        """The token is sent with TLS, or within the machine; it is not in the URL."""
        for url in ("https://host:1", "http://127.0.0.1:1", "http://localhost:1/", "http://[::1]:1"):
            self.assertEqual(parse_base(url).port, 1)
        for url in (
            "http://host:1",
            "https://host",
            "https://u:p@host:1",
            "https://host:1/a",
            "ftp://host:1",
            "[",
            "x",
        ):
            with self.assertRaises(CommandError, msg=url):
                parse_base(url)

    def test_token_file(self) -> None:
        """It must be private, and have a token. No message contains it."""
        path = self.folder / "token"
        path.write_bytes(b"0123456789abcdef\n")
        path.chmod(0o600)
        self.assertEqual(read_token(path), "0123456789abcdef")
        path.chmod(0o604)
        with self.assertRaisesRegex(CommandError, "every user may read it"):
            read_token(path)
        path.chmod(0o600)
        for content in (b"", b"two words", b"x" * 5000, b"\xff"):
            path.write_bytes(content)
            with self.assertRaisesRegex(CommandError, "has no token"):
                read_token(path)
        with self.assertRaisesRegex(CommandError, "No such file"):
            read_token(self.folder / "missing")


class WatchTests(PublishTestCase):
    """A file that is stored after each change."""

    def watch(self, *steps: Any) -> int:
        """Watches the file. Each look at it is followed by the next step; the last one is followed by Ctrl-C."""
        waiting = list(steps)

        def sleep(_: float) -> None:
            if not waiting:
                raise KeyboardInterrupt
            waiting.pop(0)()

        self.patch(time, "sleep", sleep)
        self.patch(publish, "RETRY_S", 0.0)
        return self.publish(str(self.file), "--feed", "a", "--watch")

    def rewrite(self, data: bytes) -> None:
        """Puts another file in the place of the file."""
        new = self.folder / "new"
        new.write_bytes(data)
        new.replace(self.file)

    def test_each_change(self) -> None:
        """Each content is sent once, whatever happens to the file's times."""
        with operators_socket(self.socket, (201, LIVE)) as requests:
            code = self.watch(
                lambda: None, lambda: self.rewrite(b"[2]"), lambda: os.utime(self.file, (1, 1)), lambda: None
            )
        self.assertEqual((code, [content for *_, content in requests]), (DONE, [b"[1]", b"[2]"]))

    def test_failures(self) -> None:
        """A refused document is not sent again; one that could not be stored is, and the reason is told once."""
        full = {"status": 507, "detail": "The disk is full."}
        wrong = {"status": 422, "detail": "The document is empty."}
        with operators_socket(self.socket, (507, full), (507, full), (200, LIVE), (422, wrong)) as requests:
            code = self.watch(*[lambda: None] * 4, lambda: self.rewrite(b""), *[lambda: None] * 3)
        self.assertEqual((code, [content for *_, content in requests]), (DONE, [b"[1]"] * 3 + [b""]))
        self.assertEqual(self.err.getvalue(), "livefeed: The disk is full.\nlivefeed: The document is empty.\n")

    def test_livefeed_that_is_away(self) -> None:
        """The file is sent when it is back, and so is one that was missing."""
        self.file.unlink()
        with operators_socket(self.folder / "other" / "admin.sock", (200, LIVE)) as requests:
            code = self.watch(
                lambda: self.rewrite(b"[1]"), lambda: None, lambda: self.socket.parent.symlink_to("other"), lambda: None
            )
        self.assertEqual((code, len(requests)), (DONE, 1))
        self.assertEqual(len(self.err.getvalue().splitlines()), 2)
