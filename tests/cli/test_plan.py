"""livefeed plan: its options and its output."""

from __future__ import annotations

import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli.main import main
from livefeed.cli.plan import DEFAULT_MIX, mix_of
from livefeed.exceptions import ConfigurationError
from livefeed.planning.figures import Figures
from livefeed.planning.model import Model


class PlanTests(SynchronousTestCase):
    def run_command(self, *arguments: str) -> tuple[int, str]:
        """Gives the exit code and the output."""
        output = io.StringIO()
        self.patch(sys, "stdout", output)
        return main(["plan", *arguments]), output.getvalue()

    def report(self, *arguments: str) -> Any:
        code, output = self.run_command(*arguments, "--json")
        self.assertEqual(code, 0)
        return json.loads(output)

    def error(self, *arguments: str) -> tuple[int, str]:
        """Gives the exit code and the errors."""
        errors = io.StringIO()
        self.patch(sys, "stderr", errors)
        try:
            return main(["plan", *arguments]), errors.getvalue()
        except SystemExit as end:
            return int(end.code or 0), errors.getvalue()

    def test_text(self) -> None:
        """The size is enough."""
        code, output = self.run_command("--bytes", "20KB")
        self.assertEqual(code, 0)
        self.assertTrue(output.startswith("10,000 watchers of a document of 20,000 bytes, a new version every 1 s\n"))

    def test_json(self) -> None:
        """The demand, and ranges of figures."""
        report = self.report("--bytes", "5000", "--watchers", "20", "--change", "10", "--hours", "2", "--interval", "5")
        demand = report["demand"]
        self.assertEqual(
            (demand["watchers"], demand["document_bytes"], demand["change"], demand["hours"], demand["interval_s"]),
            (20, 5000, 0.1, 2, 5),
        )
        self.assertLess(report["estimate"]["mbit_s"]["low"], report["estimate"]["mbit_s"]["high"])

    def test_file(self) -> None:
        """Its size counts, unless another is given."""
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "a.json"
            file.write_text("[1, 2]")
            self.assertEqual(self.report(str(file))["demand"]["document_bytes"], 6)
            self.assertEqual(self.report(str(file), "--bytes", "70")["demand"]["document_bytes"], 70)
            code, text = self.error(str(file.with_name("none")))
            self.assertEqual((code, text.endswith("No such file or directory\n")), (1, True))
            for content, why in (
                ('source = "demo:"\n', "a.json: is a file of settings (TOML), and no document (JSON); plan takes"),
                ("votes: 1\n", "a.json: the document is not JSON: "),
                ("", "a.json: the document is empty"),
            ):
                file.write_text(content)
                code, text = self.error(str(file))
                self.assertEqual((code, why in text), (1, True), text)

    def test_nothing_is_named(self) -> None:
        """The command says what it needs."""
        code, text = self.error()
        self.assertEqual((code, "name a document, or its size with --bytes" in text), (2, True))

    def test_ways(self) -> None:
        """The list has all, with the ones of the default."""
        listed = {line.split()[0] for line in self.run_command("--ways")[1].splitlines()}
        self.assertLessEqual({part.partition("=")[0] for part in DEFAULT_MIX.split(",")}, listed)

    def test_mix(self) -> None:
        """Percentages, which are together 100; one way needs none."""
        model = Model.of(Figures.read())
        self.assertEqual(mix_of("ws=90%, poll=10", model), {"ws": 0.9, "poll": 0.1})
        self.assertEqual(mix_of("ws", model), {"ws": 1.0})
        self.assertAlmostEqual(mix_of("ws=33.3,poll=33.3,sse=33.4", model)["sse"], 0.334)
        for text, why in (
            ("wss", "'wss': there is no such way; did you mean ws"),
            ("ws=x", "'ws=x': is not WAY=PERCENT"),
            ("ws=50,ws=50", "ws: is there twice"),
            ("ws=50", "are together 50, and must be 100"),
            ("ws=150,poll=-50", "'ws=150': is not WAY=PERCENT"),
            ("ws=nan", "is not WAY=PERCENT"),
        ):
            error = self.assertRaises(ConfigurationError, mix_of, text, model)
            self.assertIn(why, str(error))

    def test_wrong_mix(self) -> None:
        """It is a mistake of the command line, and is told before a document is asked for."""
        for arguments in (["--mix", "x"], ["--bytes", "5", "--mix", "x"]):
            code, text = self.error(*arguments)
            self.assertEqual((code, "error: --mix: 'x': there is no such way" in text), (2, True))

    def test_wrong_numbers(self) -> None:
        """They are refused with the reason."""
        for option, text in (("--interval", "0"), ("--change", "101"), ("--hours", "x"), ("--bytes", "0")):
            code, said = self.error("--bytes", "5", option, text)
            self.assertEqual(code, 2)
            self.assertIn(f"argument {option}: ", said)
