"""Decisions: at the start of a process, in force before they are durable or not, and in one step."""

from __future__ import annotations

from twisted.logger import capturedLogs, eventAsText

from livefeed.clocks import Boot
from livefeed.document.overlay import Edit
from livefeed.document.requirements import Required
from livefeed.document.rules import Rules, RuleSpec
from livefeed.document.selectors import parse_selector
from livefeed.feed.feed import Feed
from livefeed.feed.notice import Notice
from livefeed.feed.state import State
from livefeed.intake.deciding import IDLE_S
from livefeed.intake.overlaying import OverlayChange
from livefeed.storage.desk_file import DeskFile, DeskRecord
from livefeed.testing import publish
from tests.helpers.desks import DeskTestCase, desk_of


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
        self.assertIn("it is not known what may be shown", self.desk.report()["decision"]["reason"])
        self.run_command(self.desk.resume(by="ana"))
        self.assertEqual(self.shown(), b"2")
        self.assertNotIn("warning", self.desk.report())

    def test_newer_format(self) -> None:
        """The start fails, and the file is left as it is."""
        path = self.folder / "results.desk"
        path.parent.mkdir(exist_ok=True)
        data = b'%032d {"livefeed":"desk","format":2}\n' % 0
        path.write_bytes(data)
        with self.assertRaises(SystemExit) as caught:
            self.start(place="--state-dir")
        self.assertIn("--state-dir", str(caught.exception))
        self.assertEqual(path.read_bytes(), data)

    def test_overlay(self) -> None:
        """A restored version has the values of the entries, before the first pull."""
        self.run_command(self.desk.edit_overlay(OverlayChange("set", "/a", "2"), by="ana"))
        self.feed = Feed("results", clock=self.clock)
        publish(self.feed, b'{"a":2}')
        desk = desk_of(self.feed, file=DeskFile(self.folder / "results.desk"))
        desk.open()
        self.assertEqual(self.feed.told.overlay, ())
        desk.begin()
        self.assertEqual(self.feed.told.overlay, ("/a",))

    def test_overlay_of_workers(self) -> None:
        """The version that they were shown keeps its pointers, also if the entries have gone."""
        publish(self.feed, b'{"a":2}')
        self.feed.heed(Notice(overlay=("/a",)))
        self.desk.begin()
        assert self.feed.snapshot is not None
        self.assertEqual(self.desk.overlay.marks_of(self.feed.snapshot), ("/a",))

    def test_overlay_that_cannot_be_used(self) -> None:
        """The start fails: without the entry, the value that it hides would be shown."""
        DeskFile(self.folder / "results.desk").write(DeskRecord(overlay=(Edit("a", "set", "1", None, "ana", 0.0),)))
        with self.assertRaises(SystemExit) as caught:
            self.start(place="--state-dir")
        self.assertRegex(str(caught.exception), r"--state-dir: .*results\.desk: the overlay: ")

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


class PullTests(DeskTestCase):
    """Candidates, and their lines in the log."""

    RULES = Rules.compile((RuleSpec("votes", Required((parse_selector("/votes"),))),))

    def logged(self, *documents: bytes) -> str:
        """Pulls documents, and gives the log."""
        with capturedLogs() as events:
            self.pull(*documents)
        return "\n".join(map(eventAsText, events))

    def test_one_line_for_each_change(self) -> None:
        """A document is held back by a rule, by another reason of it, and is shown at last."""
        self.desk.rules = self.RULES
        self.pull(b'{"votes":1}')
        self.assertIn("is held back by the rule votes: /votes is missing", self.logged(b"{}"))
        self.assertNotIn("votes", self.logged(b"{}", b"[]"))
        self.assertIn("no document is held back any more", self.logged(b'{"votes":2}'))

    def test_notice_is_a_sign_of_life(self) -> None:
        """The first pull whose document waits tells watchers of it; the next one is a heartbeat, and nothing else."""
        self.desk.rules = self.RULES
        self.pull(b'{"votes":1}')
        told = self.feed.told
        self.pull(b"{}")
        self.assertEqual((self.feed.told is told, self.feed.told.is_waiting), (False, True))
        told = self.feed.told
        self.pull(b"{}")
        self.assertIs(self.feed.told, told)

    def test_end_of_a_process(self) -> None:
        """It waits for a command, and not for ever."""
        self.successResultOf(self.desk.idle())
        turn = self.desk.turn.acquire()
        for after in (lambda: self.clock.advance(IDLE_S), self.desk.turn.release):
            idle = self.desk.idle()
            self.assertNoResult(idle)
            after()
            self.successResultOf(idle)
        self.successResultOf(turn)


class OneStepTests(DeskTestCase):
    """What workers and watchers are told, and when."""

    def test_later_version_of_workers(self) -> None:
        """The decided version is shown again, with a sequence after theirs."""
        self.pull(b"1")
        self.run_command(self.desk.hold(by="ana"))
        other = Feed("results", clock=self.clock)
        publish(other, b"1")
        publish(other, b"2")
        assert other.snapshot is not None
        desk = desk_of(self.feed, file=DeskFile(self.folder / "results.desk"))
        desk.open()
        self.feed.resume(other.picture(), other.snapshot)
        desk.begin()
        assert self.feed.snapshot is not None
        self.assertEqual((self.shown(), self.feed.state), (b"1", State.HELD))
        self.assertGreater(self.feed.snapshot.sequence, other.snapshot.sequence)

    def test_age_of_a_kept_version(self) -> None:
        """It is measured if the machine was not started anew, whatever the wall clock says."""
        boot = Boot("one", lambda: self.clock.seconds() - 900)
        self.start(boot=boot)
        self.pull(b"1")
        self.clock.advance(7)
        self.run_command(self.desk.hold(by="ana"))
        for later, age_s in ((Boot("one", lambda: 200.0), 99.0), (Boot("two", lambda: 200.0), 7.0), (None, 7.0)):
            self.start(boot=later)
            self.assertEqual((self.shown(), self.feed.age_s()), (b"1", age_s))
