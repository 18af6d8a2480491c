"""Decisions on their way to the disk: what a command is told, and what a restart finds."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, eventAsText
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import CommandError
from livefeed.intake.keeping import MAX_NOTES, WRITE_S, Keeping
from livefeed.storage.desk_file import Decision, DeskFile, DeskRecord
from tests.helpers.crashing_files import RefusingFiles
from tests.helpers.desks import RecordingAudit
from tests.helpers.folders import new_folder

HELD = DeskRecord(Decision("hold", "", "ana", 1.0))
GONE = DeskRecord(Decision("withdraw", "", "ana", 2.0))
FULL = 28


class KeepingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.files = RefusingFiles()
        self.file = DeskFile(new_folder(self) / "results.desk", self.files)
        self.audit = RecordingAudit()
        self.waiting: list[Deferred[Any]] = []
        self.keeping = Keeping("results", self.clock, maybeDeferred, self.file, self.audit)

    def wait(self, work: Any, *arguments: object) -> Deferred[Any]:
        """Takes the place of a thread that has not begun."""
        self.waiting.append(Deferred())
        return self.waiting[-1].addCallback(lambda _: work(*arguments))

    def go_on(self) -> None:
        """Has all threads end, also those that begin meanwhile."""
        while self.waiting:
            self.waiting.pop(0).callback(None)

    def store(self, record: DeskRecord) -> Deferred[None]:
        return Deferred.fromCoroutine(self.keeping.store(record, {"n": 1}))

    def refused(self, storing: Deferred[None]) -> str:
        return str(self.failureResultOf(storing, CommandError).value)

    def test_stored(self) -> None:
        """The record is on the disk, with its line in the audit."""
        self.successResultOf(self.store(HELD))
        self.assertEqual((self.file.read(), self.keeping.record, self.audit.entries), (HELD, HELD, [{"n": 1}]))

    def test_nothing_to_keep_it(self) -> None:
        """A command works, and is forgotten."""
        keeping = self.keeping = Keeping("results", self.clock, maybeDeferred)
        self.successResultOf(self.store(HELD))
        keeping.note({"n": 2})
        self.assertEqual(keeping.record, HELD)

    def test_refused_at_any_call(self) -> None:
        """The disk has the record of before, even if the new one was in its place already."""
        self.successResultOf(self.store(HELD))
        for call in ("open", "write", "sync", "rename", "sync_folder"):
            self.files.refusals = {call: FULL}
            self.assertIn("No space left", self.refused(self.store(GONE)))
            self.files.refusals = {}
            self.assertEqual((self.file.read(), self.keeping.record), (HELD, HELD), call)

    def test_audit_that_is_full(self) -> None:
        """A decision without its line is no decision."""
        self.successResultOf(self.store(HELD))
        self.audit.fails = True
        self.assertIn("has no effect", self.refused(self.store(GONE)))
        self.assertEqual(self.file.read(), HELD)

    def test_audit_alone(self) -> None:
        """Without a file of decisions, the audit can refuse a command, too."""
        self.keeping = Keeping("results", self.clock, maybeDeferred, None, self.audit)
        self.audit.fails = True
        self.assertIn("the audit: No space left", self.refused(self.store(GONE)))

    def test_no_thread(self) -> None:
        """The command fails."""

        def no_thread(*_: object) -> Deferred[Any]:
            raise OSError(11, "Resource temporarily unavailable")

        self.keeping.in_thread = no_thread
        self.assertIn("Resource temporarily", self.refused(self.store(HELD)))
        self.keeping.note({"n": 2})

    def test_late_write_is_taken_back(self) -> None:
        """The operator was told that the command has failed."""
        self.successResultOf(self.store(HELD))
        self.keeping.in_thread = self.wait
        storing = self.store(GONE)
        self.clock.advance(WRITE_S)
        self.assertIn("has not answered", self.refused(storing))
        self.assertIn("still not answered", self.refused(self.store(GONE)))
        self.go_on()
        self.assertEqual((self.file.read(), self.keeping.record), (HELD, HELD))
        self.keeping.in_thread = maybeDeferred
        self.successResultOf(self.store(GONE))

    def test_late_refusal(self) -> None:
        """There is nothing to take back."""
        self.successResultOf(self.store(HELD))
        self.keeping.in_thread = self.wait
        storing = self.store(GONE)
        self.clock.advance(WRITE_S)
        self.refused(storing)
        self.files.refusals = {"open": FULL}
        self.go_on()
        self.files.refusals = {}
        self.keeping.in_thread = maybeDeferred
        self.successResultOf(self.store(GONE))

    def test_late_write_that_stays(self) -> None:
        """The log says that a restart would obey it."""
        self.keeping.in_thread = self.wait
        storing = self.store(GONE)
        self.clock.advance(WRITE_S)
        self.refused(storing)
        with capturedLogs() as events:
            self.waiting.pop().callback(None)
            self.files.refusals = {"write": FULL}
            self.go_on()
        self.assertIn("a restart would obey it", "".join(map(eventAsText, events)))

        def no_thread(*_: object) -> Deferred[Any]:
            raise OSError(11, "Resource temporarily unavailable")

        self.files.refusals = {}
        self.keeping.in_thread = self.wait
        storing = self.store(GONE)
        self.clock.advance(WRITE_S)
        self.refused(storing)
        self.keeping.in_thread = no_thread
        with capturedLogs() as events:
            self.go_on()
        self.assertIn("a restart would obey it", "".join(map(eventAsText, events)))

    def test_notes(self) -> None:
        """Commands that have failed are in the audit, as long as the disk takes them; the log has the others."""
        self.keeping.note({"n": 2})
        self.assertEqual(self.audit.entries, [{"n": 2}])
        self.audit.fails = True
        with capturedLogs() as events:
            self.keeping.note({"n": 3})
        self.assertIn("the audit lacks a command", eventAsText(events[0]))
        self.audit.fails = False
        self.keeping.in_thread = self.wait
        for _ in range(MAX_NOTES + 5):
            self.keeping.note({"n": 4})
        self.assertEqual(len(self.waiting), MAX_NOTES)
        self.go_on()
        self.keeping.note({"n": 5})
        self.assertEqual(len(self.waiting), 1)
