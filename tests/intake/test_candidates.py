"""Candidates and rules: what is held back, how rules let something through, alarms, and reloads."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, eventAsText
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.codings import SMALL_BYTES
from livefeed.document.comparisons import NeverFalls
from livefeed.document.json_schema import Schema
from livefeed.document.requirements import Required
from livefeed.document.rules import Rules, RuleSpec
from livefeed.document.selectors import parse_selector
from livefeed.exceptions import CommandError
from livefeed.feed.feed import Feed
from livefeed.feed.state import State
from livefeed.intake.candidates import MAX_CHECKS
from livefeed.intake.making import MAX_S
from livefeed.intake.puller import Puller
from livefeed.testing import MemorySource
from tests.helpers.desks import desk_of

NOW = 1000.0


def never_falls(name: str = "votes", pointer: str = "/votes", **more: Any) -> RuleSpec:
    return RuleSpec(name, NeverFalls((parse_selector(pointer),)), **more)


def required(name: str = "complete", pointer: str = "/votes", **more: Any) -> RuleSpec:
    return RuleSpec(name, Required((parse_selector(pointer),)), **more)


def votes(number: int, rest: str = "") -> bytes:
    return json.dumps({"votes": number, "rest": rest}).encode()


class Night:
    """A feed with rules, from pulls and commands to what watchers see."""

    def __init__(self, *specs: RuleSpec, in_thread: Any = maybeDeferred) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.feed = Feed("results", clock=self.clock)
        self.desk = desk_of(self.feed, rules=Rules.compile(specs), in_thread=in_thread)
        self.source = MemorySource()
        self.puller = Puller(self.feed, self.source, clock=self.clock, max_bytes=1 << 20, desk=self.desk)

    def begin_pull(self, data: bytes) -> Deferred[None]:
        self.clock.advance(1)
        self.source.answers.append(data)
        return Deferred.fromCoroutine(self.puller.tick())

    @property
    def shown(self) -> bytes | None:
        """The document that watchers are shown; ``None`` for none."""
        return None if self.feed.snapshot is None or self.feed.is_gone() else self.feed.snapshot.data


class RulesTestCase(SynchronousTestCase):
    def night(self, *specs: RuleSpec, **more: Any) -> Night:
        self.now = Night(*specs, **more)
        return self.now

    def pull(self, *documents: bytes) -> None:
        for each in documents:
            self.successResultOf(self.now.begin_pull(each))

    def run_command(self, command: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(command))


class HeldTests(RulesTestCase):
    """Documents that a rule refuses."""

    def test_zeros_are_not_shown(self) -> None:
        """Watchers keep the last good document, are told that it is held and why, and the feed goes on by itself."""
        night = self.night(never_falls())
        night.feed.tell_reasons(are_public=True)
        self.pull(votes(1200), votes(0))
        self.assertEqual((night.shown, night.feed.state), (votes(1200), State.HELD))
        self.assertEqual(night.feed.told.reason, "/votes falls from 1200 to 0")
        waiting = night.desk.report()["waiting"]
        self.assertEqual((waiting["rule"], waiting["pointer"], waiting["pulls"]), ("votes", "/votes", 1))
        self.assertEqual((night.puller.good, night.puller.failed), (2, 0))
        self.pull(votes(0), votes(1201))
        self.assertEqual((night.shown, night.feed.state, night.desk.waiting), (votes(1201), State.LIVE, None))

    def test_source_returns_to_the_shown_document(self) -> None:
        """The hold of a rule ends by itself."""
        night = self.night(never_falls())
        self.pull(votes(2), votes(1), votes(2))
        self.assertEqual((night.feed.state, night.desk.waiting, night.feed.age_s()), (State.LIVE, None, 0.0))

    def test_first_document(self) -> None:
        """A rule may refuse it; there is nothing to show then."""
        night = self.night(required())
        self.pull(b"{}")
        self.assertEqual((night.shown, night.feed.state), (None, State.HELD))
        self.pull(votes(1))
        self.assertEqual((night.shown, night.feed.state), (votes(1), State.LIVE))

    def test_outcome_of_a_pull(self) -> None:
        """A publisher learns the rule."""
        night = self.night(never_falls())
        night.puller.startService()
        self.addCleanup(night.puller.stopService)
        self.pull(votes(2))
        night.source.answers.append(votes(1))
        outcome = night.puller.pull_soon()
        night.clock.advance(0.1)
        found = self.successResultOf(outcome)
        assert found.violation is not None
        self.assertEqual((found.is_shown, found.violation.rule), (False, "votes"))

    def test_release(self) -> None:
        """The document is shown in spite of the rule, which holds the next one that violates it."""
        night = self.night(never_falls())
        self.pull(votes(9), votes(5))
        self.run_command(night.desk.release(by="ana"))
        self.assertEqual((night.shown, night.feed.state), (votes(5), State.LIVE))
        self.pull(votes(6), votes(4))
        self.assertEqual(night.shown, votes(6))

    def test_release_for_a_time(self) -> None:
        """The rule holds nothing meanwhile, and the waiting document is shown at once."""
        night = self.night(required())
        self.pull(votes(1), b"[1]")
        answer = self.run_command(night.desk.release(by="ana", rule="complete", for_s=10.0))
        self.assertEqual((night.shown, answer["state"]), (b"[1]", "live"))
        (rule,) = night.desk.report()["rules"]
        self.assertEqual((rule["name"], rule["kind"], rule["action"]), ("complete", "required", "hold"))
        self.assertEqual(rule["released_until"], "1970-01-01T00:16:52.000Z")
        self.pull(b"[2]")
        self.assertEqual(night.shown, b"[2]")
        night.clock.advance(10)
        self.pull(b"[3]")
        self.assertEqual(night.shown, b"[2]")
        self.assertIsNone(night.desk.report()["rules"][0]["released_until"])

    def test_release_of_an_unknown_rule(self) -> None:
        """The answer names those that there are."""
        night = self.night(never_falls())
        for arguments, why in (
            ({"rule": "other", "for_s": 9.0}, "its rules: votes"),
            ({"rule": "votes", "for_s": 0.0}, "more than 0 s"),
            ({"rule": "votes", "for_s": 1e9}, "86400 s at most"),
        ):
            refused = Deferred.fromCoroutine(night.desk.release(by="ana", **arguments))  # type: ignore[arg-type]
            self.assertIn(why, str(self.failureResultOf(refused, CommandError).value))

    def test_other_rule(self) -> None:
        """A released rule does not release what another one refuses."""
        night = self.night(never_falls(), required("both", "/other"))
        night.desk.rules = Rules.compile((never_falls(),))
        self.pull(votes(9))
        night.desk.rules = Rules.compile((never_falls(), required("both", "/other")))
        self.pull(votes(1))
        self.run_command(night.desk.release(by="ana", rule="votes", for_s=10.0))
        self.assertEqual(night.shown, votes(9))
        self.assertEqual(night.desk.report()["waiting"]["rule"], "both")

    def test_decisions_are_above_rules(self) -> None:
        """The rule is named all the same, so that an operator sees what a release would show."""
        night = self.night(never_falls())
        self.pull(votes(9))
        self.run_command(night.desk.hold(by="ana"))
        self.pull(votes(1))
        self.assertEqual(night.desk.report()["waiting"]["rule"], "votes")
        self.pull(votes(10))
        self.assertIsNone(night.desk.report()["waiting"]["rule"])

    def test_unpin_while_a_rule_refuses(self) -> None:
        """The newest document goes on to wait, by the rule, and the pinned one stays."""
        night = self.night(never_falls())
        self.pull(votes(1), votes(5))
        self.run_command(night.desk.rollback(by="ana"))
        self.pull(votes(0))
        answer = self.run_command(night.desk.unpin(by="ana"))
        self.assertEqual((night.shown, answer["state"], answer["waiting"]["rule"]), (votes(1), "held", "votes"))

    def test_checker(self) -> None:
        """It foresees the decision on a document, and changes nothing."""
        night = self.night(never_falls())
        self.assertIsNone(night.desk.checker()(votes(0)))
        self.pull(votes(9))
        check = night.desk.checker()
        found = check(votes(0))
        self.assertEqual(None if found is None else found.rule, "votes")
        self.assertEqual((check(votes(9)), check(votes(10)), night.desk.waiting), (None, None, None))

    def test_refused_documents_are_kept(self) -> None:
        """Those that a rule refuses, with the reason; not those that only a decision holds."""
        night = self.night(never_falls())
        self.pull(votes(9))
        noted: list[Any] = []
        refused: Any = SimpleNamespace(note=lambda *facts: noted.append(facts))
        night.desk.refused = refused
        self.pull(votes(0))
        self.assertEqual(noted, [(votes(0), "votes", "/votes", "/votes falls from 9 to 0")])
        self.run_command(night.desk.hold(by="ana"))
        self.pull(votes(10))
        self.assertEqual(len(noted), 1)


class ReleaseByItselfTests(RulesTestCase):
    """Rules that let a value through after some pulls or seconds."""

    def test_pulls(self) -> None:
        """A recount settles on a lower level, and goes on rising: the third pull in a row is shown."""
        night = self.night(never_falls(release_pulls=3))
        self.pull(votes(9), votes(5), votes(6))
        waiting = night.desk.report()["waiting"]
        self.assertEqual((waiting["pulls"], waiting["releases_after_pulls"], waiting["releases_in_s"]), (2, 1, None))
        with capturedLogs() as events:
            self.pull(votes(6))
        self.assertEqual((night.shown, night.feed.state), (votes(6), State.LIVE))
        self.assertIn("the rule votes lets the same value through after 3 pulls", "".join(map(eventAsText, events)))

    def test_told_once(self) -> None:
        """While another rule or a decision goes on to hold the document, the log is told nothing, and then once."""
        night = self.night(never_falls(release_pulls=2), never_falls("total", "/rest"))
        with capturedLogs() as events:
            self.pull(b'{"votes": 9, "rest": 9}', *[b'{"votes": 5, "rest": 5}'] * 4)
            self.assertNotIn("lets the same value through", "".join(map(eventAsText, events)))
            self.run_command(night.desk.hold(by="ana"))
            self.pull(*[b'{"votes": 5, "rest": 9}'] * 4)
            self.assertNotIn("lets the same value through", "".join(map(eventAsText, events)))
            self.run_command(night.desk.pin(version=str(night.feed.snapshot and night.feed.snapshot.version), by="ana"))
            self.run_command(night.desk.unpin(by="ana"))
            self.pull(*[b'{"votes": 5, "rest": 9}'] * 2)
        told = [text for text in map(eventAsText, events) if "lets the same value through" in text]
        self.assertEqual((len(told), night.feed.state), (1, State.LIVE))

    def test_while_a_decision_holds(self) -> None:
        """The operator goes on to see the rule; afterwards the first pull is shown, since the pulls have counted."""
        night = self.night(never_falls(release_pulls=3))
        self.pull(votes(9))
        self.run_command(night.desk.hold(by="ana"))
        with capturedLogs() as events:
            self.pull(*[votes(5)] * 4)
        waiting = night.desk.report()["waiting"]
        self.assertEqual((waiting["rule"], waiting["pulls"], waiting["releases_after_pulls"]), ("votes", 4, None))
        self.assertNotIn("lets the same value through", "".join(map(eventAsText, events)))
        self.run_command(night.desk.withdraw(by="ana"))
        answer = self.run_command(night.desk.resume(by="ana"))
        self.assertEqual((night.shown, night.feed.state), (votes(9), State.HELD))
        self.assertEqual(answer["waiting"]["releases_after_pulls"], 0)
        self.pull(votes(5))
        self.assertEqual((night.shown, night.feed.state), (votes(5), State.LIVE))

    def test_pulls_in_a_row(self) -> None:
        """Another refused value begins anew."""
        night = self.night(never_falls(release_pulls=3))
        self.pull(votes(9), votes(5), votes(6), votes(1), votes(1))
        self.assertEqual(night.shown, votes(9))
        self.pull(votes(1))
        self.assertEqual(night.shown, votes(1))

    def test_seconds(self) -> None:
        """The first pull after them is shown."""
        night = self.night(never_falls(release_after_s=2.5))
        self.pull(votes(9), votes(5), votes(5))
        self.assertEqual(night.desk.report()["waiting"]["releases_in_s"], 1.5)
        self.pull(votes(5))
        self.assertEqual(night.shown, votes(9))
        self.pull(votes(5))
        self.assertEqual(night.shown, votes(5))

    def test_other_rule(self) -> None:
        """It goes on to hold the document."""
        night = self.night(never_falls(release_pulls=2), required("both", "/other"))
        night.desk.rules = Rules.compile((required(),))
        self.pull(votes(9))
        night.desk.rules = Rules.compile((never_falls(release_pulls=2), required("both", "/other")))
        self.pull(votes(5), votes(5), votes(5))
        self.assertEqual((night.shown, night.desk.report()["waiting"]["rule"]), (votes(9), "both"))

    def test_what_is_told_of_another_rule(self) -> None:
        """Nobody is told that a document will be shown by itself, if another rule goes on to hold it."""
        night = self.night(never_falls(release_pulls=2), never_falls("total", "/rest"))
        self.pull(b'{"votes": 9, "rest": 9}', b'{"votes": 5, "rest": 5}')
        waiting = night.desk.report()["waiting"]
        self.assertEqual(
            (waiting["rule"], waiting["held_also"], waiting["releases_after_pulls"]), ("votes", "total", None)
        )
        self.assertEqual(night.desk.violations, {("votes", "hold"): 1})
        self.pull(b'{"votes": 5, "rest": 5}')
        waiting = night.desk.report()["waiting"]
        self.assertEqual((waiting["rule"], waiting["held_also"]), ("total", None))
        self.pull(b'{"votes": 9, "rest": 9}')
        self.assertIsNone(night.desk.held_also)

    def test_logged_once_before_the_first_document(self) -> None:
        """The log does not say that a feed is live while it has no document, and has no line for each pull."""
        self.night(required())
        with capturedLogs() as events:
            self.pull(b"{}", b"{}", b"{}")
            texts = [eventAsText(event) for event in events if "pulled from" in eventAsText(event)]
            sources = [eventAsText(event) for event in events if "the source works" in eventAsText(event)]
            self.assertEqual((texts, len(sources)), ([], 1))
            self.assertIn("is held: the source works, and newer documents may wait:", sources[0])
            self.pull(votes(1))
        self.assertEqual(sum("is live: pulled from" in eventAsText(event) for event in events), 1)

    def test_logged_once_after_the_document_has_expired(self) -> None:
        """Good pulls that are held back do not make it younger."""
        night = self.night(never_falls())
        night.feed.gone_after_s = 3.0
        with capturedLogs() as events:
            self.pull(votes(9), *[votes(5)] * 8)
        self.assertIs(night.feed.state, State.EXPIRED)
        self.assertLessEqual(sum("the source works" in eventAsText(event) for event in events), 1)


class AlarmTests(RulesTestCase):
    """Rules that hold nothing."""

    def test_alarm(self) -> None:
        """The document is shown; the alarm lasts until a document does not violate the rule; each is logged once."""
        night = self.night(required(action="alarm"))
        with capturedLogs() as events:
            self.pull(b"[1]", b"[1]", b"[2]")
        self.assertEqual(night.shown, b"[2]")
        (alarm,) = night.desk.report()["alarms"]
        self.assertEqual(
            (alarm["rule"], alarm["pointer"], alarm["since"]), ("complete", "/votes", "1970-01-01T00:16:41.000Z")
        )
        self.assertEqual(sum("alarm of the rule" in eventAsText(each) for each in events), 1)
        with capturedLogs() as events:
            self.pull(votes(1))
        self.assertEqual(night.desk.alarms, {})
        self.assertTrue(any("is over" in eventAsText(each) for each in events))

    def test_counted_once_for_each_document(self) -> None:
        """Not at each pull of it."""
        night = self.night(required(action="alarm"), never_falls())
        self.pull(b"[1]", b"[1]", b"[2]", votes(3), votes(1), votes(1), votes(2))
        self.assertEqual(night.desk.violations, {("complete", "alarm"): 2, ("votes", "hold"): 2})


class LargeTests(RulesTestCase):
    """Documents that take long to check."""

    def test_in_a_thread(self) -> None:
        """No command and no other pull comes between the check and the publication."""
        waiting: list[tuple[Deferred[Any], Any]] = []

        def in_thread(work: Any, *arguments: Any) -> Deferred[Any]:
            started: Deferred[Any] = Deferred()
            waiting.append((started, work))
            return started.addCallback(lambda _: work(*arguments))

        night = self.night(never_falls(), in_thread=in_thread)
        large = votes(1, "x" * SMALL_BYTES)
        pulling = night.begin_pull(large)
        held = Deferred.fromCoroutine(night.desk.hold(by="ana"))
        self.assertIn("check", waiting[0][1].__name__)
        while waiting:
            self.assertNoResult(pulling)
            waiting.pop(0)[0].callback(None)
        self.successResultOf(pulling)
        self.successResultOf(held)
        self.assertEqual((night.shown, night.feed.state), (large, State.HELD))

    def test_without_threads(self) -> None:
        """The reactor's thread checks it."""

        def no_thread(*_: object) -> Deferred[Any]:
            raise OSError

        night = self.night(required(), in_thread=no_thread)
        self.pull(votes(1, "x" * SMALL_BYTES))
        self.assertIs(night.feed.state, State.LIVE)

    def test_check_that_takes_too_long(self) -> None:
        """The document is not shown: the pull has failed."""
        night = self.night(required(), in_thread=lambda *_: Deferred())
        pulling = night.begin_pull(votes(1, "x" * SMALL_BYTES))
        night.clock.advance(MAX_S)
        self.successResultOf(pulling)
        assert night.feed.last_error is not None
        self.assertIn("to check the document by the rules", night.feed.last_error.why)
        self.assertIsNone(night.shown)

    def test_checks_that_never_end(self) -> None:
        """A schema can take for ever, also with a short document. Few threads are lost, and other rules are no loss."""
        threads: list[Deferred[Any]] = []

        def in_thread(*_: object) -> Deferred[Any]:
            threads.append(Deferred())
            return threads[-1]

        schema = RuleSpec("shape", Schema.compile("s.json", b'{"type":"object"}'))
        night = self.night(schema, in_thread=in_thread)
        for number in range(MAX_CHECKS + 2):
            pulling = night.begin_pull(votes(number))
            night.clock.advance(MAX_S)
            self.successResultOf(pulling)
        self.assertEqual(len(threads), MAX_CHECKS)
        assert night.feed.last_error is not None
        self.assertIn("3 checks by the rules", night.feed.last_error.why)
        night.desk.take_rules(Rules.compile([required()]))
        self.pull(votes(1))
        self.assertEqual(night.shown, votes(1))

    def test_checks_that_end(self) -> None:
        """Nothing is counted of them."""
        schema = RuleSpec("shape", Schema.compile("s.json", b'{"type":"object"}'))
        self.night(schema)
        for number in range(2 * MAX_CHECKS):
            self.pull(votes(number))
        self.assertEqual((self.now.shown, len(self.now.desk._checks)), (votes(5), 0))


class OtherRulesTests(RulesTestCase):
    """Rules that a reload changes."""

    def test_waiting_document_is_judged_anew(self) -> None:
        """It is shown if no rule refuses it any more."""
        night = self.night(never_falls())
        self.pull(votes(9), votes(5))
        self.successResultOf(night.desk.take_rules(Rules.compile((required(),))))
        self.assertEqual((night.shown, night.feed.state), (votes(5), State.LIVE))

    def test_still_refused(self) -> None:
        """By another rule, say; and a decision is above all rules."""
        night = self.night(never_falls())
        self.pull(votes(9), votes(5))
        self.successResultOf(night.desk.take_rules(Rules.compile((required("both", "/other"),))))
        self.assertEqual((night.shown, night.desk.report()["waiting"]["rule"]), (votes(9), "both"))
        self.run_command(night.desk.hold(by="ana"))
        self.successResultOf(night.desk.take_rules(Rules()))
        self.assertEqual((night.shown, night.feed.state), (votes(9), State.HELD))

    def test_nothing_waits(self) -> None:
        """The rules count from the next document on."""
        night = self.night()
        self.pull(votes(9))
        self.successResultOf(night.desk.take_rules(Rules.compile((never_falls(),)), judges=False))
        self.successResultOf(night.desk.take_rules(Rules.compile((never_falls(),))))
        self.pull(votes(5))
        self.assertEqual(night.shown, votes(9))

    def test_that_breaks(self) -> None:
        """A check that fails is logged, and the document waits."""
        night = self.night(never_falls())
        self.pull(votes(9), votes(5))

        async def broken(*_: object, **__: object) -> None:
            raise RuntimeError

        self.patch(type(night.desk), "refusal", broken)
        self.successResultOf(night.desk.take_rules(Rules()))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(night.shown, votes(9))


STEPS = st.one_of(
    st.tuples(st.just("pull"), st.integers(0, 6)),
    st.tuples(
        st.sampled_from(("hold", "release", "once", "unpin", "rollback", "withdraw", "end", "resume")), st.just(0)
    ),
    st.tuples(st.just("rule"), st.integers(1, 3)),
    st.tuples(st.just("rules"), st.integers(0, 1)),
)


class PropertyTests(SynchronousTestCase):
    """Any order of pulls, commands and reloads."""

    @settings(max_examples=150, deadline=None)
    @given(st.lists(STEPS, max_size=30))
    def test_any_order(self, steps: list[tuple[str, int]]) -> None:
        """No document that a rule refuses is shown unless a command shows it, and none while it is withdrawn.

        What waits is the newest document that was pulled. A held document stays. The picture of the feed has all of it.
        """
        night = Night(never_falls())
        pulled: bytes | None = None
        for step, number in steps:
            before, decision = night.feed.snapshot, night.desk.decision
            kind = None if decision is None else decision.kind
            released = bool(night.desk.released_now()) or not night.desk.rules.specs
            if step == "pull":
                pulled = votes(number)
                self.successResultOf(night.begin_pull(pulled))
                after = night.feed.snapshot
                if after is not before and after is not None:
                    self.assertIsNone(kind)
                    self.assertEqual(after.data, pulled)
                    if before is not None and not released:
                        self.assertGreaterEqual(number, json.loads(before.data)["votes"])
            else:
                self.run_step(night, step, number)
            waiting = night.desk.waiting
            if waiting is not None and night.feed.snapshot is not None:
                self.assertEqual(waiting.data, pulled)
                self.assertNotEqual(waiting.data, night.feed.snapshot.data)
            kind = None if night.desk.decision is None else night.desk.decision.kind
            expected = {
                "hold": State.HELD,
                "pin": State.HELD,
                "withdraw": State.WITHDRAWN,
                "end": State.ENDED,
                None: State.HELD if waiting is not None else None,
            }[kind]
            self.assertIs(night.feed.decision, expected)
            self.assertEqual(night.shown is None, kind == "withdraw" or night.feed.snapshot is None)

    def run_step(self, night: Night, step: str, number: int) -> None:
        desk = night.desk
        if step == "rules":
            self.successResultOf(desk.take_rules(Rules.compile((never_falls(),) if number else ())))
            return
        if step == "once":
            command = desk.release(by="ana", once=True)
        elif step == "rule":
            command = desk.release(by="ana", rule="votes", for_s=float(number))
        else:
            command = getattr(desk, step)(by="ana")
        result: list[Any] = []
        Deferred.fromCoroutine(command).addBoth(result.append)
        self.assertEqual(len(result), 1)
        if not isinstance(result[0], dict):
            result[0].trap(CommandError)
