"""The end of a hold at a time: nothing is shown that a rule holds back and no operator has seen."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.embargo import Embargo
from livefeed.document.snapshot import version_of
from livefeed.exceptions import CommandError
from livefeed.feed.feed import Feed
from livefeed.feed.state import State
from livefeed.intake.desk import Desk
from livefeed.intake.timed_release import Foresight, end_hold, foresee_document, foresee_release
from livefeed.storage.desk_file import DeskFile
from livefeed.testing import publish
from tests.helpers.desks import RecordingAudit, desk_of

if TYPE_CHECKING:
    from collections.abc import Coroutine

VOTES: Any = SimpleNamespace(rule="votes", action="hold", pointer="/votes", why="/votes falls from 9 to 0", value=b"0")


class TimedReleaseTests(SynchronousTestCase):
    """A desk with one version that is shown."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.feed = Feed("results", clock=self.clock)
        publish(self.feed, b"[9]")
        self.audit = RecordingAudit()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        file = DeskFile(Path(directory.name) / "results.desk")
        self.desk = desk_of(self.feed, file=file, audit=self.audit)

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(work))

    def end(self, *versions: str) -> Deferred[Any]:
        """Ends the hold, for an operator who has seen that versions wait."""
        embargo = Embargo("0a1b", 10.0, 0.0, "anna", "agreed", None, versions or None)
        return Deferred.fromCoroutine(end_hold(self.desk, embargo))

    @property
    def shown(self) -> bytes | None:
        return None if self.feed.snapshot is None else self.feed.snapshot.data

    def test_hold_ends(self) -> None:
        """Watchers are shown the document that waits, and the audit has the operator."""
        self.do(self.desk.hold(by="bert"))
        self.desk.hold_back(b"[10]", None, is_tick=True)
        self.successResultOf(self.end())
        self.assertEqual((self.shown, self.feed.state), (b"[10]", State.LIVE))
        self.assertEqual(self.audit.entries[-1]["by"], "anna")

    def test_nothing_is_held(self) -> None:
        """An operator has released it before: that is fine."""
        self.successResultOf(self.end())
        self.assertEqual(self.audit.entries, [])

    def refuse(self, *refused: bytes) -> None:
        """Has a rule hold some documents back."""

        async def refusal(data: bytes, **_: object) -> Any:
            return VOTES if data in refused else None

        self.patch(Desk, "refusal", lambda _, data, **more: refusal(data, **more))

    def test_rule(self) -> None:
        """The document that the operator has seen is shown, and no other one that a rule holds back."""
        self.refuse(b"[0]")
        self.desk.hold_back(b"[0]", VOTES, is_tick=True)
        self.do(self.desk.hold(by="bert"))  # the decision is now the reason, and the rule still counts
        for seen in ((), (version_of(b"[1]"),)):
            error = self.failureResultOf(self.end(*seen), CommandError).value
            self.assertIn("the rule votes holds the document back that waits: /votes falls from 9 to 0", str(error))
            self.assertIn("`livefeed ctl release results`", str(error))
        self.assertEqual(self.shown, b"[9]")
        self.successResultOf(self.end(version_of(b"[0]")))
        self.assertEqual(self.shown, b"[0]")

    def test_foreseen(self) -> None:
        """The version that a rule holds back, and why the end of a hold would have no effect."""
        self.refuse(b"[0]")
        for command, version, doubt in (
            (None, None, "nothing is held back now; `livefeed ctl hold` has watchers keep"),
            (self.desk.hold, None, ""),
            (self.desk.end, None, "the feed has ended, which only `livefeed ctl resume` ends"),
            (self.desk.withdraw, None, "the feed is withdrawn, which only `livefeed ctl resume` ends"),
        ):
            if command is not None:
                self.do(command(by="bert"))
            found = self.do(foresee_release(self.desk))
            self.assertEqual((found.ruled, found.doubt[: len(doubt)]), (version, doubt))
        self.do(self.desk.resume(by="bert"))
        self.desk.hold_back(b"[0]", VOTES, is_tick=True)
        found = self.do(foresee_release(self.desk))
        self.assertEqual(found.ruled, version_of(b"[0]"))
        self.assertIn("the rule votes holds back what waits now: /votes falls from 9 to 0; if it still", found.doubt)
        self.desk.hold_back(b"[10]", None, is_tick=True)
        self.assertEqual(self.do(foresee_release(self.desk)), Foresight())

    def test_foreseen_document(self) -> None:
        """A rule or a decision would have it wait."""
        self.refuse(b"[0]")
        self.assertEqual(self.do(foresee_document(self.desk, b"[10]")), Foresight())
        found = self.do(foresee_document(self.desk, b"[0]"))
        self.assertEqual(found.doubt, "the rule votes would hold it back now: /votes falls from 9 to 0")
        self.do(self.desk.hold(by="bert"))
        self.assertEqual(self.do(foresee_document(self.desk, b"[10]")).doubt, "newer documents wait now (hold by bert)")

    def test_other_state(self) -> None:
        """A withdrawn document stays so."""
        self.do(self.desk.withdraw(by="bert"))
        self.failureResultOf(self.end(), CommandError)
        self.assertEqual(self.feed.state, State.WITHDRAWN)
