"""``livefeed ctl audit``."""

from __future__ import annotations

import io
import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from livefeed.cli.audit_commands import audit_lines
from livefeed.cli.main import main
from livefeed.cli.tables import Painter
from tests.helpers.operators_socket import operators_socket
from tests.helpers.zones import ZoneTestCase

HOLD = {
    "at": "2026-11-30T20:04:19.000Z",
    "by": "anna",
    "command": "hold",
    "feed": "results",
    "arguments": {"reason": "zeros\x1b[2J", "once": False, "rule": None},
    "outcome": "done",
}
PIN = {**HOLD, "by": "token@192.0.2.7", "command": "pin", "feed": "turnout", "arguments": [], "outcome": "failed: no"}


class AuditTests(ZoneTestCase):
    """A livefeed that gives prepared answers."""

    def audit(self, *arguments: str, report: Any) -> int:
        """Runs the command, and gives its exit code."""
        self.out, self.err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(sys, "stderr", self.err)
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        with operators_socket(Path(directory.name) / "admin.sock", (200, report)) as self.requests:
            return main(["ctl", "audit", *arguments, "--runtime-dir", directory.name])

    def test_text(self) -> None:
        """The newest one last, as in a log; what has failed is told apart."""
        now = datetime(2026, 11, 30, 21, 0, tzinfo=UTC)
        self.assertEqual(
            audit_lines([PIN, HOLD], Painter(in_colour=False), now),
            [
                "AT            BY               FEED     COMMAND                   OUTCOME",
                "21:04:19 CET  anna             results  hold reason=zeros\\x1b[2J  done",
                "21:04:19 CET  token@192.0.2.7  turnout  pin                       failed: no",
            ],
        )

    def test_embargo(self) -> None:
        """What was to happen, and when."""
        arguments = {"action": "cancel", "id": "0a1b", "kind": "publish", "at": "2026-11-30T20:30:00Z"}
        entry = {**HOLD, "command": "embargo", "arguments": arguments}
        now = datetime(2026, 11, 30, 21, 0, tzinfo=UTC)
        self.assertIn("embargo cancel 0a1b (publish at 21:30:00 CET)", audit_lines([entry], Painter(False), now)[1])

    def test_request(self) -> None:
        """As many as are wanted, of one feed or of all."""
        self.assertEqual(self.audit(report=[PIN, HOLD, 5]), 0)
        self.assertEqual(self.requests[0][:2], ("GET", "/-/audit/20"))
        self.assertEqual(len(self.out.getvalue().splitlines()), 3)
        self.assertEqual(self.audit("turnout", "--last", "7", "--json", report=[PIN, HOLD]), 0)
        self.assertEqual(self.requests[0][:2], ("GET", "/-/audit/7"))
        self.assertEqual(json.loads(self.out.getvalue()), [PIN])
        self.assertEqual(self.audit(report={}), 0)
        self.assertEqual(self.out.getvalue(), "no commands\n")

    def test_wrong(self) -> None:
        """The number has limits."""
        for text in ("0", "1001", "x"):
            self.assertRaises(SystemExit, self.audit, f"--last={text}", report=[])
            self.assertIn("--last", self.err.getvalue())
