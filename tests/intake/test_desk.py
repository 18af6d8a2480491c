"""The commands of the desk: what watchers are shown after each, and before it is durable."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.snapshot import version_of
from livefeed.exceptions import CommandError
from livefeed.feed.feed import Feed
from livefeed.feed.state import State
from livefeed.intake.puller import Puller
from livefeed.storage.desk_file import DeskFile
from livefeed.testing import MemorySource, RecordingSubscriber
from tests.helpers.desks import RecordingAudit, desk_of

if TYPE_CHECKING:
    from collections.abc import Coroutine


NOW = 1000.0


class DeskTestCase(SynchronousTestCase):
    """A feed that a puller pulls from a list of documents, and its desk."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        directory = TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = Path(directory.name)
        self.audit = RecordingAudit()
        self.in_thread: Any = maybeDeferred
        self.start()

    def start(self, **more: Any) -> None:
        """Starts a feed with nothing but the files of the one before."""
        self.feed = Feed("results", clock=self.clock)
        self.source = MemorySource()
        file = DeskFile(self.folder / "results.desk")
        self.desk = desk_of(self.feed, file=file, audit=self.audit, in_thread=self.call_in_thread, **more)
        self.puller = Puller(self.feed, self.source, clock=self.clock, max_bytes=1000, desk=self.desk)
        self.desk.open()
        self.desk.begin()

    def call_in_thread(self, *work: Any) -> Deferred[Any]:
        result: Deferred[Any] = self.in_thread(*work)
        return result

    def pull(self, *documents: bytes) -> None:
        """Pulls documents, one in each second."""
        for each in documents:
            self.clock.advance(1)
            self.source.answers.append(each)
            self.successResultOf(Deferred.fromCoroutine(self.puller.tick()))

    def run_command(self, command: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
        return self.successResultOf(Deferred.fromCoroutine(command))

    def refused(self, command: Coroutine[Any, Any, dict[str, Any]]) -> str:
        return str(self.failureResultOf(Deferred.fromCoroutine(command), CommandError).value)

    def shown(self) -> bytes | None:
        """Gives the document that watchers are shown; ``None`` for none."""
        return None if self.feed.snapshot is None or self.feed.is_gone() else self.feed.snapshot.data


class HoldTests(DeskTestCase):
    """``hold`` and ``release``."""

    def test_what_is_shown_stays(self) -> None:
        """Newer documents wait, and only the newest of them; the feed says that it is held, and since when."""
        self.pull(b"1")
        answer = self.run_command(self.desk.hold(by="ana", reason="a recount"))
        self.assertEqual(
            (answer["state"], answer["decision"]["reason"], answer["waiting"]), ("held", "a recount", None)
        )
        self.pull(b"2", b"3")
        self.assertEqual((self.shown(), self.feed.state, self.feed.age_s()), (b"1", State.HELD, 2.0))
        waiting = self.desk.report()["waiting"]
        self.assertEqual((waiting["version"], waiting["for_s"], waiting["rule"]), (version_of(b"3"), 1.0, None))
        self.assertEqual(self.feed.waiting_s(), 1.0)

    def test_release_shows_the_waiting_document(self) -> None:
        """At once, without a pull, with the time at which it was pulled; and the hold is over."""
        self.pull(b"1")
        self.run_command(self.desk.hold(by="ana"))
        self.pull(b"2")
        self.clock.advance(0.5)
        answer = self.run_command(self.desk.release(by="ana"))
        self.assertEqual((self.shown(), self.feed.state, self.feed.age_s()), (b"2", State.LIVE, 0.5))
        self.assertEqual((answer["decision"], answer["waiting"], answer["version"]), (None, None, version_of(b"2")))
        self.pull(b"3")
        self.assertEqual(self.shown(), b"3")

    def test_release_of_a_hold_while_nothing_waits(self) -> None:
        """The next document is shown."""
        self.pull(b"1")
        self.run_command(self.desk.hold(by="ana"))
        self.run_command(self.desk.release(by="ana"))
        self.assertIs(self.feed.state, State.LIVE)
        self.assertIn("nothing waits", self.refused(self.desk.release(by="ana")))

    def test_release_once(self) -> None:
        """The waiting document is shown, and the hold stays."""
        self.pull(b"1")
        self.run_command(self.desk.hold(by="ana"))
        self.assertIn("nothing waits", self.refused(self.desk.release(by="ana", once=True)))
        self.pull(b"2")
        self.run_command(self.desk.release(by="ana", once=True))
        self.pull(b"3")
        self.assertEqual((self.shown(), self.feed.state), (b"2", State.HELD))

    def test_release_of_another_version(self) -> None:
        """An operator who has looked at a version does not show another one that came meanwhile."""
        self.pull(b"1")
        self.run_command(self.desk.hold(by="ana"))
        self.pull(b"2", b"3")
        self.assertIn(version_of(b"3"), self.refused(self.desk.release(by="ana", version=version_of(b"2"))))
        self.run_command(self.desk.release(by="ana", version=version_of(b"3")[:8]))
        self.assertEqual(self.shown(), b"3")

    def test_source_returns_to_the_shown_document(self) -> None:
        """Nothing waits any more, and the document is confirmed; the hold stays."""
        self.pull(b"1")
        self.run_command(self.desk.hold(by="ana"))
        self.pull(b"2", b"1")
        self.assertEqual((self.desk.waiting, self.feed.waiting_s(), self.feed.age_s()), (None, None, 0.0))
        self.assertIs(self.feed.state, State.HELD)

    def test_before_the_first_document(self) -> None:
        """Nothing is shown until it is released."""
        self.run_command(self.desk.hold(by="ana"))
        self.pull(b"1")
        self.assertIsNone(self.shown())
        self.run_command(self.desk.release(by="ana"))
        self.assertEqual(self.shown(), b"1")

    def test_expires(self) -> None:
        """Pulls that are held back confirm nothing: the document that is shown expires by its age."""
        self.feed.gone_after_s = 3.0
        self.pull(b"1")
        self.run_command(self.desk.hold(by="ana"))
        self.pull(b"2", b"2")
        self.assertEqual(self.shown(), b"1")
        self.pull(b"2")
        self.assertEqual((self.shown(), self.feed.state), (None, State.EXPIRED))
        self.run_command(self.desk.release(by="ana"))
        self.assertEqual((self.shown(), self.feed.state), (b"2", State.LIVE))


class PinTests(DeskTestCase):
    """``pin``, ``rollback`` and ``unpin``."""

    def test_pin(self) -> None:
        """The version is shown with its age and a later sequence; the one that it replaces waits."""
        self.pull(b"1", b"2")
        before = self.feed.snapshot
        assert before is not None
        answer = self.run_command(self.desk.pin(version=version_of(b"1")[:6], by="ana"))
        assert self.feed.snapshot is not None
        self.assertEqual((self.shown(), self.feed.state, self.feed.age_s()), (b"1", State.HELD, 1.0))
        self.assertGreater(self.feed.snapshot.sequence, before.sequence)
        self.assertEqual(answer["decision"]["version"], version_of(b"1"))
        self.assertEqual(answer["waiting"]["version"], version_of(b"2"))
        self.pull(b"2", b"3")
        self.assertEqual((self.shown(), self.desk.waiting and self.desk.waiting.data), (b"1", b"3"))
        self.run_command(self.desk.unpin(by="ana"))
        self.assertEqual((self.shown(), self.feed.state), (b"3", State.LIVE))

    def test_pin_of_the_shown_version(self) -> None:
        """It stays, and nothing waits."""
        self.pull(b"1", b"2")
        answer = self.run_command(self.desk.pin(version=version_of(b"2"), by="ana"))
        self.assertEqual((self.shown(), answer["waiting"], answer["state"]), (b"2", None, "held"))

    def test_pin_of_a_sequence(self) -> None:
        """Every report names versions by their sequence, too."""
        self.pull(b"1")
        sequence = str(self.feed.snapshot.sequence) if self.feed.snapshot else ""
        self.pull(b"2")
        self.run_command(self.desk.pin(version=sequence, by="ana"))
        self.assertEqual(self.shown(), b"1")

    def test_rollback_goes_back_one_by_one(self) -> None:
        """Twice is two versions, and not back and forth."""
        self.pull(b"1", b"2", b"3")
        self.run_command(self.desk.rollback(by="ana"))
        self.assertEqual(self.shown(), b"2")
        self.run_command(self.desk.rollback(by="ana"))
        self.assertEqual(self.shown(), b"1")
        self.assertIn("no earlier version", self.refused(self.desk.rollback(by="ana")))
        self.run_command(self.desk.unpin(by="ana"))
        self.assertEqual(self.shown(), b"3")

    def test_pinned_version_is_not_too_old(self) -> None:
        """The operator answers for it: it expires only some time after the pin."""
        self.feed.gone_after_s = 5.0
        self.pull(b"1", *[b"2"] * 8)
        self.run_command(self.desk.rollback(by="ana"))
        self.assertEqual((self.shown(), self.feed.age_s()), (b"1", 8.0))
        self.pull(*[b"2"] * 4)
        self.assertEqual(self.shown(), b"1")
        self.pull(b"2")
        self.assertIsNone(self.shown())

    def test_refusals(self) -> None:
        """Each says how to get what was asked for."""
        self.assertIn("nothing was shown yet", self.refused(self.desk.rollback(by="ana")))
        self.assertIn("no version is pinned", self.refused(self.desk.unpin(by="ana")))
        self.pull(b"1", b"2")
        self.assertIn("give 6", self.refused(self.desk.pin(version="12345", by="ana")))
        self.assertIn("there is no version 1234567", self.refused(self.desk.pin(version="1234567", by="ana")))
        self.run_command(self.desk.rollback(by="ana"))
        for command in (self.desk.hold(by="ana"), self.desk.release(by="ana")):
            self.assertIn("unpin", self.refused(command))


class WithdrawTests(DeskTestCase):
    """``withdraw``, ``end`` and ``resume``."""

    def test_withdraw(self) -> None:
        """Nothing is shown, and the newest document only after ``resume``, without the withdrawn one in between."""
        self.pull(b"1")
        subscriber = RecordingSubscriber()
        self.feed.subscribe(subscriber)
        subscriber.snapshots.clear()
        self.run_command(self.desk.withdraw(by="ana", reason="wrong"))
        self.pull(b"2")
        self.assertEqual((self.shown(), self.feed.state, subscriber.snapshots), (None, State.WITHDRAWN, []))
        # Nothing is told of the documents behind it.
        self.assertIsNone(self.feed.waiting_s())
        self.run_command(self.desk.resume(by="ana"))
        self.assertEqual((self.shown(), [each.data for each in subscriber.snapshots]), (b"2", [b"2"]))

    def test_resume_while_nothing_is_newer(self) -> None:
        """The same document is shown again."""
        self.pull(b"1")
        self.run_command(self.desk.withdraw(by="ana"))
        self.pull(b"1")
        self.run_command(self.desk.resume(by="ana"))
        self.assertEqual((self.shown(), self.feed.state), (b"1", State.LIVE))

    def test_good_version_in_the_place_of_a_withdrawn_one(self) -> None:
        """A pin takes the withdrawal back in one step."""
        self.pull(b"1", b"2")
        self.run_command(self.desk.withdraw(by="ana"))
        subscriber = RecordingSubscriber()
        self.feed.subscribe(subscriber)
        subscriber.snapshots.clear()
        self.run_command(self.desk.rollback(by="ana"))
        self.assertEqual((self.shown(), [each.data for each in subscriber.snapshots]), (b"1", [b"1"]))

    def test_end(self) -> None:
        """The last version is final, whatever is pulled, until ``resume``."""
        self.assertIn("nothing was shown yet", self.refused(self.desk.end(by="ana")))
        self.pull(b"1")
        self.run_command(self.desk.end(by="ana"))
        self.pull(b"2")
        self.assertEqual((self.shown(), self.feed.state), (b"1", State.ENDED))
        self.run_command(self.desk.resume(by="ana"))
        self.assertEqual((self.shown(), self.feed.state), (b"2", State.LIVE))

    def test_refusals(self) -> None:
        """Nothing but ``resume`` takes a withdrawal or an end back by accident."""
        self.pull(b"1")
        self.assertIn("neither", self.refused(self.desk.resume(by="ana")))
        self.run_command(self.desk.end(by="ana"))
        for command in (
            self.desk.hold(by="ana"),
            self.desk.release(by="ana"),
            self.desk.rollback(by="ana"),
            self.desk.pin(version="123456", by="ana"),
        ):
            self.assertIn("`resume` takes that back", self.refused(command))
        self.run_command(self.desk.withdraw(by="ana"))
        for command in (self.desk.hold(by="ana"), self.desk.release(by="ana"), self.desk.end(by="ana")):
            self.assertIn("the feed is withdrawn", self.refused(command))

    def test_reason_that_is_too_long(self) -> None:
        """Watchers are told it in every message."""
        self.assertIn("201 characters", self.refused(self.desk.withdraw(by="ana", reason="x" * 201)))


class RestartTests(DeskTestCase):
    """The decisions of an earlier process."""

    def test_each_decision(self) -> None:
        """It is in force before anything is served, with the version that it is about."""
        for command, state, shown in (
            ("hold", State.HELD, b"1"),
            ("withdraw", State.WITHDRAWN, None),
            ("end", State.ENDED, b"1"),
        ):
            self.start()
            self.pull(b"1")
            self.run_command(getattr(self.desk, command)(by="ana", reason="why"))
            before = self.desk.decision
            self.start()
            self.assertEqual((self.feed.state, self.desk.decision, self.shown()), (state, before, shown))
            self.pull(b"2")
            self.assertEqual((self.feed.state, self.shown()), (state, None if state is State.WITHDRAWN else b"1"))
            (self.folder / "results.desk").unlink()

    def test_pin(self) -> None:
        """The pinned version is shown, even if nothing else has it any more."""
        self.pull(b"1", b"2")
        self.run_command(self.desk.rollback(by="ana"))
        self.start()
        self.assertEqual((self.feed.state, self.shown()), (State.HELD, b"1"))
        self.pull(b"2")
        self.run_command(self.desk.unpin(by="ana"))
        self.assertEqual(self.shown(), b"2")

    def test_taken_back(self) -> None:
        """A decision that was taken back does not return."""
        self.pull(b"1")
        self.run_command(self.desk.withdraw(by="ana"))
        self.run_command(self.desk.resume(by="ana"))
        self.start()
        self.assertIsNone(self.desk.decision)

    def test_damaged_file(self) -> None:
        """It may have withdrawn the document, so nothing is shown until an operator says so."""
        self.pull(b"1")
        self.run_command(self.desk.hold(by="ana"))
        path = self.folder / "results.desk"
        path.write_bytes(path.read_bytes()[:-9])
        self.start()
        self.pull(b"2")
        self.assertEqual((self.feed.state, self.shown()), (State.WITHDRAWN, None))
        self.assertIn("damaged", self.desk.report()["warning"])
        self.run_command(self.desk.resume(by="ana"))
        self.assertEqual(self.shown(), b"2")
        self.assertNotIn("warning", self.desk.report())

    def test_newer_format(self) -> None:
        """The start fails, and the file is left as it is."""
        path = self.folder / "results.desk"
        path.parent.mkdir()
        data = b'%032d {"livefeed":"desk","format":2}\n' % 0
        path.write_bytes(data)
        with self.assertRaises(SystemExit) as caught:
            self.start(place="--state-dir")
        self.assertIn("--state-dir", str(caught.exception))
        self.assertEqual(path.read_bytes(), data)

    def test_without_a_file(self) -> None:
        """A command works, and each answer warns of the restart; the next process learns the decision from workers."""
        self.pull(b"1")
        desk = self.desk = desk_of(self.feed)
        self.assertIn("restart forgets", self.run_command(desk.withdraw(by="ana", reason="wrong"))["warning"])
        successor = desk_of(self.feed)
        successor.begin()
        assert successor.decision is not None
        self.assertEqual((successor.decision.kind, successor.decision.reason), ("withdraw", "wrong"))

    def test_workers_with_an_old_decision(self) -> None:
        """The file counts, and not the picture of a worker."""
        self.feed.decide(State.WITHDRAWN)
        other = Feed("results", clock=self.clock)
        self.pull(b"1")
        self.run_command(self.desk.withdraw(by="ana"))
        snapshot, picture = self.feed.snapshot, self.feed.picture()
        assert snapshot is not None
        (self.folder / "results.desk").unlink()
        desk = desk_of(other, file=DeskFile(self.folder / "results.desk"))
        desk.open()
        other.resume(picture, snapshot)
        self.assertIs(other.state, State.WITHDRAWN)
        desk.begin()
        self.assertIs(other.decision, None)


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
