"""The reading of pip-audit's report."""

from __future__ import annotations

import contextlib
import io
import subprocess
from pathlib import Path
from typing import Any
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from tests import audit

GOOD: dict[str, Any] = {"name": "good", "version": "1", "vulns": []}
UNKNOWN = {"name": "unknown", "skip_reason": "not found"}
BAD = {
    "name": "bad",
    "version": "2",
    "vulns": [
        {"id": "PYSEC-1", "fix_versions": ["2.1", "3"], "aliases": ["CVE-1"], "description": "reads too much"},
        {"id": "PYSEC-2", "fix_versions": [], "aliases": [], "description": "writes too much"},
    ],
}


def report(*packages: dict[str, Any]) -> dict[str, Any]:
    return {"dependencies": [*packages], "fixes": []}


class VerdictTests(SynchronousTestCase):
    """The text and the exit code."""

    def test_vulnerabilities(self) -> None:
        """Each is told with the version that mends it, and the command fails."""
        text, code = audit.verdict(report(GOOD, BAD, UNKNOWN), "")
        self.assertEqual(code, 1)
        self.assertEqual(
            text.splitlines(),
            [
                "2 known vulnerabilities in requirements.txt:",
                "bad 2: PYSEC-1, mended in 2.1, 3: reads too much",
                "bad 2: PYSEC-2, not mended yet: writes too much",
            ],
        )

    def test_accepted(self) -> None:
        """A vulnerability that does not concern livefeed is accepted by any of its ids."""
        with patch.dict(audit.ACCEPTED, {"CVE-1": "livefeed does not read", "PYSEC-2": "nor write"}):
            self.assertEqual(audit.verdict(report(BAD), ""), ("no known vulnerability in 1 of 1 packages", 0))

    def test_nothing_found(self) -> None:
        """Packages that the database does not know are named."""
        self.assertEqual(audit.verdict(report(GOOD), "")[1], 0)
        text, code = audit.verdict(report(GOOD, UNKNOWN), "")
        self.assertEqual(text, "no known vulnerability in 1 of 2 packages; it says nothing about unknown")
        self.assertEqual(code, 0)

    def test_no_answer(self) -> None:
        """It is never taken for a good one, and is no failure."""
        for given, errors, why in (
            (None, "INFO: x\nERROR: could not connect\n", "did not answer: ERROR: could not connect"),
            (None, "", "did not answer: pip-audit said nothing"),
            (report(UNKNOWN), "", "knows none of the 1 packages"),
        ):
            text, code = audit.verdict(given, errors)
            self.assertTrue(text.startswith("NOT AUDITED: "), text)
            self.assertTrue(text.endswith(why), text)
            self.assertEqual(code, 0)


class CommandTests(SynchronousTestCase):
    """The run of pip-audit."""

    def run_with(self, content: str | None, error: Exception | None = None) -> tuple[str, int]:
        def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
            self.assertIn(str(audit.ROOT / "requirements.txt"), command)
            if error is not None:
                raise error
            if content is not None:
                Path(command[-1]).write_text(content)
            return subprocess.CompletedProcess(command, 1, "", "ERROR: no network")

        output = io.StringIO()
        with patch.object(subprocess, "run", run), contextlib.redirect_stdout(output):
            code = audit.main()
        return output.getvalue(), code

    def test_report(self) -> None:
        """Its content decides, and not the exit code, which is also 1 without a network."""
        finding = '{"dependencies": [{"name": "a", "version": "1", "vulns": [%s]}]}'
        self.assertEqual(self.run_with(finding % "")[1], 0)
        bad = '{"id": "X", "fix_versions": [], "aliases": [], "description": ""}'
        self.assertEqual(self.run_with(finding % bad)[1], 1)
        self.assertEqual(
            self.run_with(None), ("NOT AUDITED: the database of vulnerabilities did not answer: ERROR: no network\n", 0)
        )

    def test_time(self) -> None:
        """A service that does not answer at all is waited for only so long."""
        text, code = self.run_with(None, subprocess.TimeoutExpired("pip-audit", 1))
        self.assertIn(f"it took longer than {audit.LIMIT_S} s", text)
        self.assertEqual(code, 0)
