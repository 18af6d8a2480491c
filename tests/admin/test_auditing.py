"""The command ``audit``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from livefeed.admin.auditing import ENTRIES, Auditing
from livefeed.exceptions import CommandError
from livefeed.storage.audit import AuditLog


class AuditingTests(SynchronousTestCase):
    """An audit with more entries than are given."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "audit.log"
        for number in range(ENTRIES + 5):
            AuditLog(self.path).append({"number": number})

    def run_it(self, path: Path | None, **arguments: Any) -> Deferred[Any]:
        return Deferred.fromCoroutine(Auditing(path, maybeDeferred).run(arguments))

    def test_entries(self) -> None:
        """The last ones, the newest first; as many as the path says."""
        self.assertEqual(len(self.successResultOf(self.run_it(self.path))), ENTRIES)
        [newest] = self.successResultOf(self.run_it(self.path, version="1"))
        self.assertEqual(newest, {"number": ENTRIES + 4})

    def test_refused(self) -> None:
        """The reason says what is right."""
        for text in ("0", "1001", "-1", "x", "\u0661", "9" * 5000, ""):
            error = self.failureResultOf(self.run_it(self.path, version=text), CommandError).value
            self.assertIn("is not a number of entries from 1 to 1000", str(error))
        error = self.failureResultOf(self.run_it(None), CommandError).value
        self.assertIn("without --state-dir", str(error))
        error = self.failureResultOf(self.run_it(self.path.parent), CommandError).value
        self.assertIn("Is a directory", str(error))
