"""livefeed doctor: its options, its output and its exit codes."""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import SynchronousTestCase

from livefeed.checks import StartChecks
from livefeed.cli import doctor
from livefeed.cli.main import main
from livefeed.doctor.examination import Examination, Section
from livefeed.doctor.finding import Finding, ok
from livefeed.doctor.machine import Machine

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred


class DoctorTests(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = Path(directory.name)
        self.path = self.folder / "livefeed.toml"
        self.patch(os, "environ", {"PATH": os.environ["PATH"], "RUNTIME_DIRECTORY": str(self.folder)})
        self.examined: list[Examination] = []
        self.network: tuple[Finding, ...] = (ok("port", "8080: free"),)

    def run_command(self, *arguments: str) -> tuple[int, str]:
        """Gives the exit code and the output. The machine has no part in them, and the reactor does not run."""
        test = self

        def run(self: Examination, start: Any) -> list[Section]:
            test.examined.append(self)
            problems = tuple(Finding("settings", "problem", str(each), "x") for each in start.problems)
            return [Section("Network", test.network), Section("Settings", problems)]

        async def pull(self: Examination, start: Any) -> Section:
            return Section("Documents", (ok("source", "a"),))

        self.patch(Examination, "run", run)
        self.patch(Examination, "pull", pull)
        self.patch(doctor, "run_until_done", lambda _, done: self.successResultOf(done))
        output = io.StringIO()
        self.patch(sys, "stdout", output)
        return main(["doctor", *arguments]), output.getvalue()

    def test_report(self) -> None:
        """The sections that have findings, and 0."""
        code, output = self.run_command()
        self.assertEqual(code, 0)
        first, whose, _, *others = output.splitlines()
        self.assertEqual(whose, "Settings: the defaults; livefeed doctor SETTINGS takes those of a file")
        self.assertRegex(first, r"^livefeed \d+\.\d+\.\d+ on \w+ .+, for 10,000 watchers$")
        self.assertEqual(
            others,
            [
                "Network",
                "  ok       port             8080: free",
                "",
                "Documents",
                "  ok       source           a",
                "",
                "Nothing limits livefeed here.",
            ],
        )

    def test_problem(self) -> None:
        """One is enough for 1; a warning is not."""
        self.network = (Finding("port", "warning", "a", "b"),)
        self.assertEqual(self.run_command()[0], 0)
        self.network = (*self.network, Finding("port", "problem", "a", "b"))
        code, output = self.run_command()
        self.assertEqual((code, output.splitlines()[-1]), (1, "1 problem, 1 warning."))

    def test_sources_are_left_alone(self) -> None:
        """On request."""
        self.assertNotIn("Documents", self.run_command("--no-pull")[1])

    def test_json(self) -> None:
        """One object with all of it."""
        self.network = (Finding("port", "problem", "443", "mend it"),)
        code, output = self.run_command("--json", "--watchers", "20,000")
        report = json.loads(output)
        self.assertEqual((code, report["ok"], report["watchers"]), (1, False, 20_000))
        self.assertEqual(report["counts"], {"ok": 1, "note": 0, "warning": 0, "problem": 1})
        self.assertEqual(
            report["findings"][0],
            {"section": "Network", "subject": "port", "level": "problem", "text": "443", "mend": "mend it"},
        )

    def test_settings(self) -> None:
        """The file, the options and the variables count as at a start."""
        self.path.write_text("max_connections = 500\nlisten = ['tcp:1']\n")
        os.environ["LIVEFEED_INTERVAL"] = "5"
        self.run_command(str(self.path), "--listen", "tcp:2")
        (found,) = self.examined
        self.assertEqual((found.watchers, found.file, found.settings.listen), (500, str(self.path), ("tcp:2",)))
        self.assertEqual(found.settings.feeds[0].interval, 5)
        self.run_command("--config", str(self.path), "--watchers", "7")
        self.assertEqual((self.examined[1].watchers, self.examined[1].file), (7, str(self.path)))

    def test_wrong_settings(self) -> None:
        """They are told with the others, and the rest is looked at."""
        self.path.write_text("interval = 'x'\nlisten = ['tcp:1']\n")
        code, output = self.run_command(str(self.path))
        self.assertEqual(code, 1)
        self.assertIn("livefeed.toml:1: interval", " ".join(output.split()))
        self.assertEqual(self.examined[0].settings.listen, ("tcp:1",))

    def error(self, *arguments: str) -> str:
        """Gives the error with which the command ends, before it has looked at anything."""
        errors = io.StringIO()
        self.patch(sys, "stderr", errors)
        self.assertEqual(self.run_command(*arguments), (1, ""))
        self.assertEqual(self.examined, [])
        return errors.getvalue()

    def test_file_that_cannot_be_read(self) -> None:
        """The defaults are not meant, so nothing is looked at."""
        for path in ("none.toml", "."):
            self.assertIn(": cannot be read: ", self.error(str(self.folder / path)))
        self.path.write_text("interval = ")
        self.assertIn("livefeed.toml:1: is not TOML", self.error("--config", str(self.path)))

    def test_document_in_place_of_settings(self) -> None:
        """The command that takes a document is named."""
        path = self.folder / "my.json"
        path.write_text('{"a": 1}\n')
        why = "my.json': this is JSON: livefeed doctor takes settings; livefeed plan takes a document\n"
        for arguments in ([str(path)], ["--config", str(path)]):
            self.assertTrue(self.error(*arguments).endswith(why))
        os.environ["LIVEFEED_CONFIG"] = str(path)
        self.assertTrue(self.error().endswith(why))

    def heads(self, *arguments: str) -> list[str]:
        """Gives the lines below the title and above the sections."""
        return self.run_command(*arguments)[1].partition("\n\n")[0].splitlines()[1:]

    def test_whose_settings(self) -> None:
        """The report says whose settings and whose limits it is about."""
        self.assertEqual(
            self.heads("--interval=2"), ["Settings: the defaults, with the options and variables that are given"]
        )
        self.path.write_text("")
        self.assertEqual(self.heads(str(self.path)), [f"Settings: {self.path}"])
        self.patch(Machine, "holder", lambda *_: 77)
        limits = "Limits: those of process 77, the livefeed that runs"
        self.assertEqual(self.heads(str(self.path)), [f"Settings: {self.path}", limits])
        report = json.loads(self.run_command(str(self.path), "--json")[1])
        self.assertEqual((report["settings"], report["process"]), (str(self.path), 77))

    def test_file_that_the_environment_names(self) -> None:
        """It is the one that the commands name."""
        self.path.write_text("")
        os.environ["LIVEFEED_CONFIG"] = str(self.path)
        self.run_command()
        self.assertEqual(self.examined[0].file, str(self.path))

    def refusal(self, *arguments: str) -> str:
        output = io.StringIO()
        self.patch(sys, "stderr", output)
        self.assertEqual(self.assertRaises(SystemExit, main, ["doctor", *arguments]).code, 2)
        return output.getvalue()

    def test_wrong_command_lines(self) -> None:
        """They are refused with the reason."""
        for text in ("0", "x", "-1", "10000001", "1" * 30):
            self.assertIn("is not a number from 1 to 10,000,000", self.refusal("--watchers", text))
        self.assertIn("are the same", self.refusal("a.toml", "--config", "b.toml"))
        self.assertIn("there is no argument '--no-such'", self.refusal("--no-such"))


class UnstartedTests(SynchronousTestCase):
    def test_deferred_of_the_documents(self) -> None:
        """The command runs the reactor for it, and closes the sources."""
        closed: list[bool] = []
        self.patch(StartChecks, "close", lambda _: closed.append(True))
        self.patch(Examination, "run", lambda *_: [])

        def fail(_: Any, done: Deferred[Any]) -> None:
            done.addErrback(lambda _: None)
            raise ZeroDivisionError

        async def pull(self: Examination, start: Any) -> Section:
            return Section("Documents", ())

        self.patch(Examination, "pull", pull)
        self.patch(doctor, "run_until_done", fail)
        self.assertRaises(ZeroDivisionError, main, ["doctor"])
        self.assertEqual(closed, [True])
