"""Embargoes on their way to the disk."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import capturedLogs, eventAsText
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.embargo import Embargo
from livefeed.exceptions import StoreError
from livefeed.feed.embargo_keeping import EmbargoKeeping
from livefeed.storage.embargo_file import EmbargoFile
from tests.helpers.crashing_files import RefusingFiles
from tests.helpers.desks import RecordingAudit

ONE = Embargo("1", 1_800_000_060.0, 1_800_000_000.0, "anna", "agreed", b"[1]")
TWO = Embargo("2", 1_800_000_060.0, 1_800_000_000.0, "anna")


class EmbargoKeepingTests(SynchronousTestCase):
    """A file and an audit, which can refuse."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "a.embargoes"
        self.files = RefusingFiles()
        self.audit = RecordingAudit()
        self.keeping = self.make(EmbargoFile(self.path, self.files))
        self.keeping.open()
        self.addCleanup(self.keeping.close)

    def make(self, file: EmbargoFile | None, *, has_audit: bool = True) -> EmbargoKeeping:
        return EmbargoKeeping("a", maybeDeferred, lambda: 1_800_000_001.0, file, self.audit if has_audit else None)

    def write(self, before: tuple[Embargo, ...], after: tuple[Embargo, ...]) -> Deferred[None]:
        line = self.keeping.line(ONE, "set aside", "anna")
        return Deferred.fromCoroutine(self.keeping.write(before, after, line))

    def reopened(self) -> tuple[Embargo, ...]:
        self.keeping.close()
        return self.keeping.open()

    def test_kept(self) -> None:
        """The file has the embargoes, and the audit a line that tells neither length nor version."""
        self.successResultOf(self.write((), (ONE, TWO)))
        self.assertEqual(self.reopened(), (ONE, TWO))
        arguments = {
            "action": "set aside",
            "id": "1",
            "kind": "publish",
            "at": "2027-01-15T08:01:00.000Z",
            "reason": "agreed",
        }
        line = {"at": "2027-01-15T08:00:01.000Z", "by": "anna", "command": "embargo", "feed": "a"}
        self.assertEqual(self.audit.entries, [{**line, "arguments": arguments, "outcome": "done"}])
        self.assertNotIn("reason", self.keeping.line(TWO, "end", "anna", "failed: x")["arguments"])

    def test_refused_by_the_file(self) -> None:
        """The audit has no line about it."""
        self.files.refusals["write"] = errno.ENOSPC
        self.failureResultOf(self.write((), (ONE,)), StoreError)
        self.assertEqual(self.audit.entries, [])

    def test_refused_by_the_audit(self) -> None:
        """The file has the former embargoes."""
        self.successResultOf(self.write((), (ONE,)))
        self.audit.fails = True
        error = self.failureResultOf(self.write((ONE,), (ONE, TWO)), StoreError).value
        self.assertEqual(str(error), "the embargoes: No space left on device")
        self.assertEqual(self.reopened(), (ONE,))

    def test_without(self) -> None:
        """Either may be missing."""
        self.keeping.close()
        for keeping in (self.make(None), self.make(None, has_audit=False)):
            self.keeping = keeping
            self.successResultOf(self.write((), (ONE,)))
            self.assertEqual(self.reopened(), ())
        self.keeping = self.make(None)
        self.audit.fails = True
        self.failureResultOf(self.write((), (ONE,)), StoreError)
        self.keeping = self.make(EmbargoFile(self.path, self.files), has_audit=False)
        self.keeping.open()
        self.successResultOf(self.write((), (ONE,)))
        self.assertEqual(self.reopened(), (ONE,))

    def test_no_thread(self) -> None:
        """The error says so."""

        def refuse(*_: object) -> Deferred[Any]:
            raise OSError(errno.EAGAIN, "no threads")

        self.keeping.in_thread = refuse
        error = self.failureResultOf(self.write((), (ONE,)), StoreError).value
        self.assertEqual(str(error), "the embargoes: no threads")

    def test_damaged(self) -> None:
        """The log says what is lost."""
        self.successResultOf(self.write((), (ONE,)))
        self.path.write_bytes(self.path.read_bytes() + b"x")
        with capturedLogs() as events:
            self.assertEqual(self.reopened(), (ONE,))
        self.assertIn("is damaged; 1 embargoes in it are whole and count, the others are LOST", eventAsText(events[0]))
