"""livefeed check: its output and its exit codes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli.main import main


class CheckTests(SynchronousTestCase):
    """The subcommand."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = Path(directory.name)
        self.path = self.folder / "livefeed.toml"
        self.patch(os, "environ", {"PATH": os.environ["PATH"], "RUNTIME_DIRECTORY": str(self.folder)})

    def check(self, text: str, *options: str) -> tuple[int, str]:
        """Gives the exit code and the output, without the folder of the test."""
        self.path.write_text(text)
        output = io.StringIO()
        self.patch(sys, "stdout", output)
        code = main(["check", str(self.path), *options])
        return code, output.getvalue().replace(str(self.folder), "DIR")

    def test_good_file(self) -> None:
        """A summary of what would be served, and 0."""
        code, output = self.check("listen = ['tcp:1']\n[feeds.a]\nsource = 'demo:'\ninterval = 5\n")
        self.assertEqual((code, output), (0, "feed a: demo: every 5 s\nlistens on tcp:1\n"))

    def test_rules(self) -> None:
        """Each rule of a feed is described."""
        text = (
            "listen = ['tcp:1']\n[feeds.a]\nsource = 'demo:'\n[feeds.a.rules.r]\nrequired = ['/x']\nrelease_pulls = 5\n"
        )
        self.assertIn("  rule r: hold by required /x, released after 5 pulls\n", self.check(text)[1])
        (feed,) = json.loads(self.check(text, "--json")[1])["serves"]["feeds"]
        self.assertEqual(feed["rules"], {"r": "hold by required /x, released after 5 pulls"})

    def test_problems(self) -> None:
        """One line for each, in the order of the lines, and 1."""
        code, output = self.check("log_level = 'x'\nlisten = ['tcp:x']\n[feeds.a]\nsource = 'bogus:'\npush = 'x'\n")
        self.assertEqual(code, 1)
        places = [line.partition(" ")[0] for line in output.splitlines()]
        self.assertEqual(places, [f"DIR/livefeed.toml:{line}:" for line in (1, 2, 4, 5)])

    def test_document_in_place_of_settings(self) -> None:
        """The option that takes a document is named."""
        errors = io.StringIO()
        self.patch(sys, "stderr", errors)
        self.assertEqual(self.check('{"a": 1}'), (1, ""))
        self.assertIn(
            "this is JSON: livefeed check takes settings; its option --document takes a document", errors.getvalue()
        )

    def test_warnings(self) -> None:
        """They fail only if that is asked for."""
        text = "listen = ['tcp:1']\nsource = 'file:a.json'\n"
        code, output = self.check(text)
        self.assertEqual(code, 0)
        self.assertIn("warning: DIR/livefeed.toml:2: source: DIR/a.json: there is no such file", output)
        self.assertEqual(self.check(text, "--strict")[0], 1)

    def test_json(self) -> None:
        """One object with all of it; without settings there is no summary."""
        code, output = self.check("listen = ['tcp:1']", "--json")
        report = json.loads(output)
        self.assertEqual((code, report["ok"], report["problems"]), (0, True, []))
        self.assertEqual(report["serves"]["listen"], ["tcp:1"])
        code, output = self.check("= 1", "--json")
        report = json.loads(output)
        self.assertEqual((code, report["ok"], report["serves"]), (1, False, None))
        (problem,) = report["problems"]
        self.assertEqual((problem["place"], problem["is_warning"]), ("DIR/livefeed.toml:1", False))

    def refusal(self, text: str, *options: str) -> str:
        """Gives the error about a wrong command line."""
        self.path.write_text(text)
        output = io.StringIO()
        self.patch(sys, "stderr", output)
        self.assertEqual(self.assertRaises(SystemExit, main, ["check", str(self.path), *options]).code, 2)
        return output.getvalue()

    def test_document(self) -> None:
        """It is tried on the rules of the only feed, and nothing else is checked."""
        text = "listen = ['tcp:x']\n[feeds.a]\nsource = 'bogus:'\n[feeds.a.rules.r]\nrequired = ['/x']\n"
        (self.folder / "good.json").write_text('{"x": 1}')
        (self.folder / "bad.json").write_text("{}")
        code, output = self.check(text, "--document", str(self.folder / "good.json"))
        self.assertEqual((code, output.splitlines()[-1]), (0, "This document would be shown."))
        code, output = self.check(text, "--document", str(self.folder / "bad.json"), "--feed", "a")
        self.assertEqual((code, output.splitlines()[-3]), (4, "HOLD  r: /x is missing"))
        code, output = self.check(text, "--document", str(self.folder / "bad.json"), "--json")
        self.assertEqual((code, json.loads(output)["rules"][0]["why"]), (4, "/x is missing"))
        self.patch(sys, "stderr", io.StringIO())
        self.assertEqual(self.check(text, "--document", "none.json")[0], 1)

    def test_document_with_warnings(self) -> None:
        """They fail only if that is asked for."""
        text = "[feeds.a]\nsource = 'demo:'\n[feeds.a.rules.r]\nrequired = ['/x']\naction = 'alarm'\n"
        (self.folder / "bad.json").write_text("{}")
        self.assertEqual(self.check(text, "--document", str(self.folder / "bad.json"))[0], 0)
        self.assertEqual(self.check(text, "--document", str(self.folder / "bad.json"), "--strict")[0], 1)

    def test_document_and_wrong_settings(self) -> None:
        """All errors are told, and the document is not tried."""
        text = "interval = 'x'\n[feeds.a]\nsource = 'demo:'\n[feeds.a.rules.r]\nrequire = ['/x']\n"
        code, output = self.check(text, "--document", "none.json")
        self.assertEqual(code, 1)
        self.assertIn("DIR/livefeed.toml:1: interval", output)
        self.assertIn("DIR/livefeed.toml:5: feeds.a.rules.r.require: there is no such setting of a rule", output)
        code, output = self.check(text, "--document", "none.json", "--json")
        self.assertEqual((code, len(json.loads(output)["problems"])), (1, 2))

    def test_choice_of_a_feed(self) -> None:
        """It must be one that is there."""
        text = "[feeds.a]\nsource = 'demo:'\n[feeds.night]\nsource = 'demo:'\n"
        self.assertIn("several feeds, choose one with --feed: a, night", self.refusal(text, "--document", "x"))
        self.assertIn("did you mean night?", self.refusal(text, "--document", "x", "--feed", "nigth"))
        self.assertIn("belong to --document", self.refusal(text, "--feed", "a"))

    def test_variables(self) -> None:
        """They count as at a start, and may name the file."""
        self.path.write_text("listen = ['tcp:1']\ninterval = 'x'\n")
        os.environ |= {"LIVEFEED_CONFIG": str(self.path), "LIVEFEED_INTERVAL": "2"}
        output = io.StringIO()
        self.patch(sys, "stdout", output)
        self.assertEqual(main(["check"]), 0)
        self.assertIn("every 2 s", output.getvalue())

    def test_pull(self) -> None:
        """Each source is pulled once, in a process of its own, as the reactor runs once."""
        (self.folder / "a.json").write_text("[1]")
        (self.folder / "b.json").write_text("[1")
        self.path.write_text(
            "listen = ['tcp:1']\n[feeds.a]\nsource = 'file:a.json'\n[feeds.b]\nsource = 'file:b.json'\n"
        )
        command = [sys.executable, "-c", "import sys; from livefeed.cli.main import main; sys.exit(main())"]
        done = subprocess.run(
            [*command, "check", self.path, "--pull"], capture_output=True, text=True, timeout=60, check=False
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"(?m)^feed a: 3 bytes, version [0-9a-f]{32}: the gate accepts it$")
        self.assertRegex(done.stdout, r"(?m)^feed b: 2 bytes, .*: the gate refuses it: the document is not JSON: ")
