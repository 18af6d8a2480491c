"""Commands on their way: before they are durable, in one step with the document, and with other rules."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred

from livefeed.document.codings import SMALL_BYTES
from livefeed.document.requirements import Required
from livefeed.document.rules import Rules, RuleSpec
from livefeed.document.selectors import parse_selector
from livefeed.exceptions import CommandError
from livefeed.feed.state import State
from livefeed.intake.enacting import MAX_REASON_CHARACTERS
from livefeed.intake.making import MAX_S
from livefeed.storage.desk_file import DeskFile
from tests.helpers.desks import DeskTestCase


class DurableTests(DeskTestCase):
    """A command has no effect before it is durable."""

    def setUp(self) -> None:
        super().setUp()
        self.pull(b"1")
        self.writing: list[Deferred[Any]] = []

    def block(self) -> None:
        """Has the threads wait."""

        def in_thread(work: Any, *arguments: Any) -> Deferred[Any]:
            started: Deferred[Any] = Deferred()
            self.writing.append(started)
            return started.addCallback(lambda _: work(*arguments))

        self.in_thread = in_thread

    def test_effect_after_the_write(self) -> None:
        """Meanwhile nothing has changed, and no pull shows a document."""
        self.block()
        outcome = Deferred.fromCoroutine(self.desk.hold(by="ana"))
        self.source.answers.append(b"2")
        pulling = Deferred.fromCoroutine(self.puller.tick())
        self.assertNoResult(outcome)
        self.assertEqual((self.shown(), self.feed.state), (b"1", State.LIVE))
        self.assertEqual(self.audit.entries, [])
        self.writing.pop().callback(None)
        self.successResultOf(outcome)
        self.successResultOf(pulling)
        self.assertEqual((self.shown(), self.feed.state), (b"1", State.HELD))

    def test_killed_between_write_and_effect(self) -> None:
        """The next process has the decision, which nobody was told of; killed before the write, it has none."""

        def write(work: Any, *arguments: Any) -> Deferred[Any]:
            work(*arguments)
            return Deferred()

        for in_thread, state in ((lambda *_: Deferred(), State.LIVE), (write, State.WITHDRAWN)):
            self.in_thread = in_thread
            self.assertNoResult(Deferred.fromCoroutine(self.desk.withdraw(by="ana")))
            self.assertEqual(self.shown(), b"1")
            self.in_thread = maybeDeferred
            self.start()
            self.pull(b"1")
            self.assertIs(self.feed.state, state)

    def test_disk_that_refuses(self) -> None:
        """The command fails, and nothing has changed, there neither."""

        def full(*_: object) -> Deferred[Any]:
            raise OSError(28, "No space left on device")

        self.run_command(self.desk.hold(by="ana"))
        before = (self.folder / "results.desk").read_bytes()
        self.in_thread = lambda *_: maybeDeferred(full)
        self.assertIn("No space left", self.refused(self.desk.withdraw(by="ana")))
        self.in_thread = full
        self.assertIn("No space left", self.refused(self.desk.withdraw(by="ana")))
        self.assertEqual(((self.folder / "results.desk").read_bytes(), self.feed.state), (before, State.HELD))

    def test_audit_that_refuses(self) -> None:
        """A command without its line has no effect, also after a restart."""
        self.audit.fails = True
        self.assertIn("cannot be kept", self.refused(self.desk.withdraw(by="ana")))
        self.assertIs(self.feed.state, State.LIVE)
        self.start()
        self.assertIsNone(self.desk.decision)

    def test_disk_that_hangs(self) -> None:
        """The command fails after a time; if it is written all the same, that is taken back."""
        self.block()
        outcome = Deferred.fromCoroutine(self.desk.withdraw(by="ana"))
        self.clock.advance(3)
        self.assertIn("has not answered", str(self.failureResultOf(outcome, CommandError).value))
        self.assertIn("still not answered", self.refused(self.desk.withdraw(by="ana")))
        while self.writing:
            self.writing.pop(0).callback(None)
        self.assertIsNone(DeskFile(self.folder / "results.desk").read().decision)
        self.in_thread = maybeDeferred
        self.run_command(self.desk.withdraw(by="ana"))
        self.assertIs(self.feed.state, State.WITHDRAWN)

    def test_end_of_a_process(self) -> None:
        """It waits for a command that is under way."""
        self.block()
        outcome = Deferred.fromCoroutine(self.desk.hold(by="ana"))
        idle = self.desk.idle()
        self.assertNoResult(idle)
        self.writing.pop().callback(None)
        self.successResultOf(idle)
        self.successResultOf(outcome)

    def test_audit(self) -> None:
        """Each command has a line, also one that has failed."""
        self.run_command(self.desk.hold(by="ana", reason="a recount"))
        self.refused(self.desk.unpin(by="ben"))
        done, failed = self.audit.entries
        self.assertEqual(
            done,
            {
                "at": "1970-01-01T00:16:41.000Z",
                "by": "ana",
                "command": "hold",
                "feed": "results",
                "arguments": {"reason": "a recount"},
                "outcome": "done",
            },
        )
        self.assertEqual((failed["by"], failed["outcome"]), ("ben", "failed: no version is pinned"))


class DocumentTests(DeskTestCase):
    """Documents that a command shows, or other rules."""

    def test_large_documents(self) -> None:
        """The slow codings are made after the answer; a document that takes too long is not shown."""
        large = b'"%b"' % (b"x" * SMALL_BYTES)
        self.puller.max_bytes = 1 << 20
        self.pull(large, b"2")
        self.run_command(self.desk.rollback(by="ana"))
        assert self.feed.snapshot is not None
        self.assertIn("br", self.feed.snapshot.representations)
        self.run_command(self.desk.unpin(by="ana"))
        self.in_thread = lambda *_: Deferred()
        pinning = Deferred.fromCoroutine(self.desk.rollback(by="ana"))
        self.clock.advance(MAX_S)
        self.assertIn("compress", str(self.failureResultOf(pinning, CommandError).value))
        self.assertEqual(self.shown(), b"2")

    def test_rules_that_take_too_long(self) -> None:
        """The command fails."""
        large = b'"%b"' % (b"x" * SMALL_BYTES)
        self.puller.max_bytes = 1 << 20
        self.pull(b"1")
        self.run_command(self.desk.withdraw(by="ana"))
        self.pull(large)
        self.desk.rules = Rules.compile((RuleSpec("votes", Required((parse_selector("/votes"),))),))
        self.in_thread = lambda *_: Deferred()
        resuming = Deferred.fromCoroutine(self.desk.resume(by="ana"))
        self.clock.advance(MAX_S)
        self.assertIn("the rules takes longer", str(self.failureResultOf(resuming, CommandError).value))
        self.assertIs(self.feed.state, State.WITHDRAWN)

    def test_rules(self) -> None:
        """Other rules judge the waiting document anew, and those that are gone are released no more."""
        rule = RuleSpec("votes", Required((parse_selector("/votes"),)))
        self.start(rules=Rules.compile((rule,)))
        self.pull(b"{}")
        self.run_command(self.desk.release(by="ana", rule="votes", for_s=60.0))
        self.assertEqual(self.shown(), b"{}")
        self.start(rules=Rules.compile((rule,)))
        self.assertEqual([*self.desk.released], ["votes"])
        self.successResultOf(self.desk.take_rules(Rules(), judges=False))
        self.assertEqual(self.desk.released, {})
        self.desk.rules = Rules.compile((rule,))
        self.pull(b"[]")
        self.assertIsNone(self.shown())
        self.successResultOf(self.desk.take_rules(Rules()))
        self.assertEqual((self.shown(), self.feed.state), (b"[]", State.LIVE))
        self.successResultOf(self.desk.take_rules(Rules()))

    def test_reasons(self) -> None:
        """A reason is one line of limited length, since logs and watchers are told it."""
        self.pull(b"1")
        for reason, why in (("x" * (MAX_REASON_CHARACTERS + 1), "characters, and"), ("a\nb", "a control character")):
            withdrawing = Deferred.fromCoroutine(self.desk.withdraw(by="ana", reason=reason))
            self.assertIn(why, str(self.failureResultOf(withdrawing, CommandError).value))
        self.assertEqual(self.shown(), b"1")
        self.run_command(self.desk.withdraw(by="ana", reason="x" * MAX_REASON_CHARACTERS))
        self.assertIs(self.feed.state, State.WITHDRAWN)
