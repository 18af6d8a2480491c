"""The commands of the desk: what watchers are shown after each, and before it is durable."""

from __future__ import annotations

from twisted.logger import capturedLogs, eventAsText

from livefeed.document.requirements import Required
from livefeed.document.rules import Rules, RuleSpec
from livefeed.document.selectors import parse_selector
from livefeed.document.snapshot import version_of
from livefeed.feed.state import State
from livefeed.testing import RecordingSubscriber
from tests.helpers.desks import DeskTestCase


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

    def test_another_decision_is_no_pull(self) -> None:
        """The waiting document stays as old as it is."""
        self.pull(b"1")
        self.run_command(self.desk.hold(by="ana", reason="a"))
        self.pull(b"2")
        self.clock.advance(5)
        self.run_command(self.desk.hold(by="ana", reason="b"))
        waiting = self.desk.report()["waiting"]
        self.assertEqual((waiting["why"], waiting["pulls"], waiting["for_s"]), ("b", 1, 5.0))
        self.run_command(self.desk.release(by="ana"))
        self.assertEqual(self.feed.age_s(), 5.0)

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


class RuleTests(DeskTestCase):
    """``release`` of a rule."""

    def setUp(self) -> None:
        super().setUp()
        self.desk.rules = Rules.compile((RuleSpec("votes", Required((parse_selector("/votes"),))),))

    def test_release_of_a_rule(self) -> None:
        """It holds nothing for some time: what waits is shown, unless a decision holds it, too."""
        self.run_command(self.desk.release(by="ana", rule="votes", for_s=5.0))
        self.pull(b"{}")
        self.assertEqual(self.shown(), b"{}")
        self.clock.advance(5)
        self.pull(b"[]")
        self.run_command(self.desk.hold(by="ana"))
        self.run_command(self.desk.release(by="ana", rule="votes", for_s=5.0))
        self.assertEqual((self.shown(), self.feed.state), (b"{}", State.HELD))
        self.run_command(self.desk.release(by="ana"))
        self.assertEqual((self.shown(), self.feed.state), (b"[]", State.LIVE))

    def test_still_refused(self) -> None:
        """``unpin`` and ``resume`` do not show what a rule refuses."""
        self.pull(b'{"votes": 1}', b'{"votes": 2}')
        self.run_command(self.desk.withdraw(by="ana"))
        self.pull(b"{}")
        answer = self.run_command(self.desk.resume(by="ana"))
        self.assertEqual((answer["state"], answer["waiting"]["rule"], self.shown()), ("held", "votes", b'{"votes": 2}'))

    def test_refusals(self) -> None:
        """The answer has the rules that there are, and the times that are possible."""
        for rule, for_s, why in (("other", 5.0, "its rules: votes"), ("votes", 0.0, "more than 0 s")):
            self.assertIn(why, self.refused(self.desk.release(by="ana", rule=rule, for_s=for_s)))
        self.assertIn("more than 0 s", self.refused(self.desk.release(by="ana", rule="votes")))


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

    def test_pin_of_the_waiting_version(self) -> None:
        """The way to show it is told."""
        self.pull(b"1", b"2")
        self.run_command(self.desk.hold(by="ana"))
        self.pull(b"3")
        name = version_of(b"3")[:8]
        self.assertIn("it waits, and `livefeed ctl release` shows", self.refused(self.desk.pin(version=name, by="ana")))
        self.run_command(self.desk.rollback(by="ana"))
        self.assertIn("it waits, and `livefeed ctl unpin` shows", self.refused(self.desk.pin(version=name, by="ana")))
        self.assertIn("there is no version", self.refused(self.desk.pin(version="f" * 8, by="ana")))

    def test_log(self) -> None:
        """A line for each command: by whom, with which arguments, and what watchers see from then on."""
        self.pull(b"1", b"2")
        with capturedLogs() as events:
            self.run_command(self.desk.rollback(by="ana", reason='"zeros"'))
            self.run_command(self.desk.withdraw(by="ana"))
        texts = [text for text in map(eventAsText, events) if " by ana" in text]
        self.assertIn(
            f'rollback by ana {{"reason": "\\"zeros\\""}}: it is held, with version {version_of(b"1")}', texts[0]
        )
        self.assertIn("withdraw by ana: it is withdrawn, without a document", texts[-1])

    def test_rollback_never_leads_back_to_the_zeros(self) -> None:
        """Also after the source was repaired, and in the next process."""
        self.pull(b"1", b"2", b"0")
        self.run_command(self.desk.rollback(by="ana"))
        self.pull(b"3")
        self.run_command(self.desk.unpin(by="ana"))
        self.pull(b"3", b"4")
        for expected, passed, following in ((b"3", None, b"2"), (b"2", 1, b"1"), (b"1", None, None)):
            answer = self.run_command(self.desk.rollback(by="ana"))
            self.assertEqual((self.shown(), answer.get("passed_over")), (expected, passed))
            self.assertEqual(self.desk.report()["rollback_to"], following and version_of(following))

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

    def test_reason_with_control_characters(self) -> None:
        """No command takes one: it would break lines of the log."""
        self.pull(b"1", b"2")
        for command in (self.desk.rollback, self.desk.withdraw, self.desk.resume):
            self.assertIn("control character", self.refused(command(by="ana", reason="a\n\x1b[2J")))
        self.assertEqual((self.shown(), self.feed.state), (b"2", State.LIVE))

    def test_reason_that_is_too_long(self) -> None:
        """Watchers are told it in every message."""
        self.assertIn("201 characters", self.refused(self.desk.withdraw(by="ana", reason="x" * 201)))
