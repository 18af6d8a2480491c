"""livefeed ctl: its command line, its output and its exit codes."""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli import ctl
from livefeed.cli.main import main
from livefeed.cli.operator_client import OperatorClient
from livefeed.cli.operator_options import DONE, FAILED, NOT_RUNNING, WRONG_USE
from tests.helpers.operators_socket import operators_socket
from tests.helpers.status_reports import feed, report


class _Output(io.StringIO):
    """Standard output: a terminal, or a pipe that may be closed."""

    def __init__(self, *, is_terminal: bool = False, is_closed: bool = False) -> None:
        super().__init__()
        self._is_terminal = is_terminal
        self._is_closed = is_closed

    def isatty(self) -> bool:
        return self._is_terminal

    def fileno(self) -> int:
        return os.open(os.devnull, os.O_WRONLY)

    def flush(self) -> None:
        if self._is_closed:
            raise BrokenPipeError


class CtlTestCase(SynchronousTestCase):
    """A livefeed that gives prepared answers."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = Path(directory.name)
        self.stderr = io.StringIO()
        self.patch(sys, "stderr", self.stderr)
        self.patch(os, "environ", {"TERM": "xterm"})
        self.use(_Output())

    def use(self, stdout: _Output) -> None:
        self.stdout = stdout
        self.patch(sys, "stdout", stdout)

    def run_it(self, *arguments: str, answers: tuple[tuple[int, Any], ...] = ()) -> int:
        """Runs a command, and gives its exit code."""
        where = ("--runtime-dir", str(self.folder))
        if not answers:
            return main(["ctl", arguments[0], *where, *arguments[1:]])
        with operators_socket(self.folder / "admin.sock", *answers) as self.requests:
            return main(["ctl", arguments[0], *where, *arguments[1:]])


class StatusTests(CtlTestCase):
    """livefeed ctl status."""

    def test_all_live(self) -> None:
        """Exit code 0, and text without colours in a pipe."""
        self.assertEqual(self.run_it("status", answers=((200, report(feed())),)), DONE)
        text = self.stdout.getvalue()
        self.assertIn("results  live", text)
        self.assertNotIn("\x1b", text)
        self.assertEqual(self.requests, [("GET", "/status", b"")])

    def test_one_is_not(self) -> None:
        """Exit code 4, with the reason on standard output, for scripts that only look at the code."""
        answers = ((200, report(feed(), feed(name="b", state="stale", reason="redis: away"))),)
        self.assertEqual(self.run_it("status", answers=answers), ctl.NOT_LIVE)
        self.assertIn("redis: away", self.stdout.getvalue())
        self.assertEqual(self.stderr.getvalue(), "")

    def test_terminal(self) -> None:
        """It has colours unless its user wants none."""
        self.use(_Output(is_terminal=True))
        self.run_it("status", answers=((200, report(feed())),))
        self.assertIn("\x1b[32mlive\x1b[0m", self.stdout.getvalue())
        self.patch(os, "environ", {"NO_COLOR": "1"})
        self.use(_Output(is_terminal=True))
        self.run_it("status", answers=((200, report(feed())),))
        self.assertNotIn("\x1b", self.stdout.getvalue())

    def test_json(self) -> None:
        """The report as it came, with the same exit code."""
        answers = ((200, report(feed(state="expired"))),)
        self.assertEqual(self.run_it("status", "--json", answers=answers), ctl.NOT_LIVE)
        self.assertEqual(json.loads(self.stdout.getvalue()), answers[0][1])

    def test_pipe_that_is_closed(self) -> None:
        """Such as that of head: no traceback."""
        self.use(_Output(is_closed=True))
        self.assertEqual(self.run_it("status", answers=((200, report(feed())),)), DONE)


class WatchTests(CtlTestCase):
    """livefeed ctl status --watch."""

    def setUp(self) -> None:
        super().setUp()
        self.slept: list[float] = []
        self.rounds = 2

        def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            if len(self.slept) == self.rounds:
                raise KeyboardInterrupt

        self.patch(ctl.time, "sleep", sleep)  # type: ignore[attr-defined]

    def test_until_interrupted(self) -> None:
        """Each second, with the rate of answers from the second report on; Ctrl-C is the way to end it."""
        answers = ((200, report(feed(), answers=10)), (200, report(feed(), answers=20)))
        self.assertEqual(self.run_it("status", "--watch", answers=answers), DONE)
        text = self.stdout.getvalue()
        self.assertEqual((text.count("results  live"), text.count(" per second now")), (2, 1))
        self.assertTrue(0 <= self.slept[0] <= ctl.REFRESH_S)

    def test_terminal(self) -> None:
        """The text is replaced."""
        self.use(_Output(is_terminal=True))
        self.run_it("status", "--watch", answers=((200, report(feed())),))
        self.assertEqual(self.stdout.getvalue().count("\x1b[H"), 2)

    def test_restart(self) -> None:
        """A livefeed that is away for a moment is waited for."""
        self.assertEqual(self.run_it("status", "--watch"), DONE)
        self.assertEqual(self.stdout.getvalue().count("; waiting for it"), 2)

    def test_json(self) -> None:
        """One report on each line."""
        self.run_it("status", "--watch", "--json", answers=((200, report(feed())),))
        lines = self.stdout.getvalue().splitlines()
        self.assertEqual([json.loads(line)["pid"] for line in lines], [7, 7])


class CommandTests(CtlTestCase):
    """The other commands."""

    def test_commands(self) -> None:
        """Each is sent to its path, and its report is shown."""
        for name, request in (
            ("reload", ("POST", "/-/reload", b"{}")),
            ("upgrade", ("POST", "/-/upgrade", b"{}")),
            ("drain", ("POST", "/-/drain", b"{}")),
        ):
            self.use(_Output())
            self.assertEqual(self.run_it(name, answers=((200, {"changed_feeds": ["a"]}),)), DONE)
            self.assertEqual((self.requests, self.stdout.getvalue()), ([request], "changed feeds:\n  a\n"))
        self.use(_Output())
        self.run_it("reload", answers=((200, {}),))
        self.assertEqual(self.stdout.getvalue(), "done\n")

    def test_undo_of_a_drain(self) -> None:
        """It is the same command with an argument."""
        self.assertEqual(self.run_it("drain", "--undo", answers=((200, {"phase": "serving"}),)), DONE)
        self.assertEqual(self.requests, [("POST", "/-/drain", b'{"undo": true}')])

    def test_trace(self) -> None:
        """The version is in the path."""
        self.assertEqual(self.run_it("trace", "1.2/3", answers=((200, [{"feed": "a"}]),)), DONE)
        self.assertIn("a  version", self.stdout.getvalue())
        self.assertEqual(self.requests, [("GET", "/-/trace/1.2%2F3", b"")])

    def test_workers(self) -> None:
        """A table with a column for each member."""
        rows = [
            {"index": 0, "pid": 12345, "state": "ready", "age_s": 61.0, "watchers": {"events": 1200, "waiting": 1}},
            {"index": 1, "pid": None, "state": "starting", "serves_for": [0, 2]},
        ]
        self.run_it("workers", answers=((200, rows),))
        self.assertEqual(
            self.stdout.getvalue().splitlines(),
            [
                "INDEX    PID  STATE           AGE  WATCHERS  SERVES FOR",
                "    0  12345  ready     1 min 1 s     1,201  -",
                "    1      -  starting          -         -  0, 2",
            ],
        )
        self.use(_Output())
        self.run_it("workers", answers=((200, []),))
        self.assertIn("there are no workers", self.stdout.getvalue())

    def test_failures(self) -> None:
        """The exit code tells the kind, and standard error the reason."""
        answer = (409, {"title": "Conflict", "status": 409, "detail": "chain.pem: has expired"})
        self.assertEqual(self.run_it("reload", answers=(answer,)), FAILED)
        self.assertEqual((self.stdout.getvalue(), self.stderr.getvalue()), ("", "livefeed: chain.pem: has expired\n"))
        self.assertEqual(self.run_it("reload"), NOT_RUNNING)
        self.assertIn(f"no livefeed runs at {self.folder}/admin.sock", self.stderr.getvalue())

    def test_several_instances(self) -> None:
        """None is chosen by chance."""
        self.patch(os, "environ", {"RUNTIME_DIRECTORY": str(self.folder)})
        self.patch(os, "geteuid", lambda: 4_000_000)
        with (
            operators_socket(self.folder / "a" / "admin.sock", (200, {})),
            operators_socket(self.folder / "b" / "admin.sock", (200, {})),
        ):
            self.assertEqual(main(["ctl", "status"]), WRONG_USE)
        self.assertIn("such as `livefeed ctl status --instance a`", self.stderr.getvalue())

    def test_interrupted(self) -> None:
        """A command that is interrupted has failed, as far as this tool knows."""

        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        self.patch(OperatorClient, "post", interrupt)
        self.assertEqual(self.run_it("reload"), FAILED)


class CommandLineTests(CtlTestCase):
    """The options."""

    def refusal(self, *arguments: str) -> str:
        self.assertEqual(self.assertRaises(SystemExit, main, ["ctl", *arguments]).code, WRONG_USE)
        return self.stderr.getvalue()

    def test_wrong(self) -> None:
        """Exit code 2."""
        self.refusal()
        self.refusal("bogus")
        self.refusal("trace")
        self.refusal("status", "--instance", "a", "--runtime-dir", "/b")
        self.refusal("--instance", "a", "--runtime-dir", "/b", "status")
        self.assertEqual(main(["ctl", "--instance", "a", "status", "--runtime-dir", "/b"]), WRONG_USE)
        self.assertIn("exclude each other", self.stderr.getvalue())
        for text in ("0", "-1", "nan", "x", "1e9"):
            self.assertIn("--timeout", self.refusal("status", f"--timeout={text}"))
            self.assertIn("--timeout", self.refusal(f"--timeout={text}", "status"))

    def test_options_before_the_command(self) -> None:
        """They have the same effect as after it, where they count if they are in both places."""
        where = ("--runtime-dir", str(self.folder))
        elsewhere = ("--runtime-dir", str(self.folder / "none"))
        timeouts: list[float] = []
        made = OperatorClient.__init__

        def note(client: OperatorClient, path: Path, timeout_s: float) -> None:
            timeouts.append(timeout_s)
            made(client, path, timeout_s)

        self.patch(OperatorClient, "__init__", note)
        for arguments in (
            ("--json", *where, "--timeout", "5", "status"),
            (*where, "status", "--json", "--timeout", "5"),
            ("--timeout", "7", *elsewhere, "status", "--timeout", "5", *where, "--json"),
        ):
            self.use(_Output())
            with operators_socket(self.folder / "admin.sock", (200, report(feed()))):
                self.assertEqual(main(["ctl", *arguments]), DONE, self.stderr.getvalue())
            self.assertEqual(json.loads(self.stdout.getvalue()), report(feed()))
        self.assertEqual(timeouts, [5.0] * 3)

    def test_help(self) -> None:
        """It names the commands and the exit codes, and each command says what it does."""
        self.assertRaises(SystemExit, main, ["ctl", "--help"])
        text = " ".join(self.stdout.getvalue().split())
        for word in (
            "status",
            "reload",
            "upgrade",
            "drain",
            "workers",
            "trace",
            "Exit codes: 0 done;",
            "3 no livefeed",
            "--instance NAME",
            "--runtime-dir PATH",
            "--timeout SECONDS",
        ):
            self.assertIn(word, text)
        self.use(_Output())
        self.assertRaises(SystemExit, main, ["ctl", "status", "--help"])
        for word in ("--json", "--instance NAME", "--runtime-dir PATH", "--timeout SECONDS", "--watch"):
            self.assertIn(word, self.stdout.getvalue())
