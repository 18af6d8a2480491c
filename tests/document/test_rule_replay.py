"""Rules decide about the documents of a past night as they decide in a feed that runs."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.comparisons import MaxStep, NeverFalls
from livefeed.document.exact_numbers import Step
from livefeed.document.requirements import MustBe
from livefeed.document.rule_replay import Decision, RuleReplay
from livefeed.document.rules import Rules, RuleSpec
from livefeed.document.selectors import parse_selector
from livefeed.feed.feed import Feed
from livefeed.intake.puller import Puller
from livefeed.testing import MemorySource
from tests.helpers.desks import desk_of

SELECTORS = (parse_selector("/votes"),)


def falls(pulls: int = 0, after_s: float = 0.0) -> RuleSpec:
    return RuleSpec("falls", NeverFalls(SELECTORS), "hold", pulls, after_s)


def collapse(pulls: int = 0, after_s: float = 0.0) -> RuleSpec:
    return RuleSpec("collapse", MaxStep(SELECTORS, Step(Decimal(3), None, "down")), "hold", pulls, after_s)


def votes(number: int) -> bytes:
    return b'{"votes": %d}' % number


def replay(*specs: RuleSpec) -> RuleReplay:
    return RuleReplay(Rules.compile(specs), 1.0)


class RuleReplayTests(SynchronousTestCase):
    """RuleReplay.take."""

    def test_good_documents(self) -> None:
        """They are shown at once."""
        night = replay(falls())
        for number in range(3):
            self.assertEqual(night.take(votes(number), number, number + 1), Decision(None, (), 0.0, (), None))
            self.assertEqual(night.shown, votes(number))

    def test_held(self) -> None:
        """Without a release, never."""
        night = replay(falls())
        night.take(votes(5), 0, 1)
        decision = night.take(votes(4), 1, 1000)
        assert decision.held is not None
        self.assertEqual((decision.held.rule, decision.shown_after_s, decision.last), ("falls", None, decision.held))
        self.assertEqual(night.shown, votes(5))
        self.assertIsNone(night.take(votes(5), 1000, 1001).held)

    def test_release_by_pulls(self) -> None:
        """The pulls of several documents count together while the value is the same."""
        night = replay(falls(pulls=5))
        night.take(votes(9), 0, 1)
        self.assertIsNone(night.take(votes(5), 1, 3).shown_after_s)  # two pulls
        self.assertIsNone(night.take(votes(6), 3, 5).shown_after_s)  # two more
        decision = night.take(votes(7), 5, 6)
        self.assertEqual((decision.shown_after_s, decision.released, night.shown), (0.0, ("falls",), votes(7)))
        self.assertEqual(night.take(votes(6), 6, 100).shown_after_s, 4.0)

    def test_release_by_seconds(self) -> None:
        """The first pull after them."""
        night = replay(falls(after_s=2.5))
        night.take(votes(9), 0, 1)
        self.assertEqual(night.take(votes(5), 1, 100).shown_after_s, 3.0)

    def test_two_rules(self) -> None:
        """One that releases its value does not release that of another one."""
        night = replay(falls(pulls=2), collapse())
        night.take(votes(9), 0, 1)
        decision = night.take(votes(0), 1, 100)
        assert decision.held is not None
        assert decision.last is not None
        self.assertEqual((decision.held.rule, decision.last.rule, decision.released), ("falls", "collapse", ("falls",)))
        night = replay(falls(pulls=2), collapse(pulls=3))
        night.take(votes(9), 0, 1)
        # The second rule is checked, and counts, only from the pull on at which the first one releases its value.
        self.assertEqual(night.take(votes(0), 1, 100).shown_after_s, 3.0)

    def test_alarms(self) -> None:
        """They are told, and hold nothing."""
        night = replay(RuleSpec("mode", MustBe((parse_selector("/mode"),), (b'"live"',)), "alarm"))
        decision = night.take(votes(1), 0, 1)
        self.assertEqual(([alarm.rule for alarm in decision.alarms], decision.shown_after_s), (["mode"], 0.0))

    @settings(deadline=None)
    @given(
        st.lists(st.tuples(st.integers(0, 9), st.integers(1, 6)), min_size=1, max_size=8),
        *[st.tuples(st.integers(0, 4), st.sampled_from([0.0, 1.0, 2.5, 4.0]))] * 2,
    )
    @example([(5, 1), (1, 2), (0, 2)], (0, 1.0), (0, 1.0))
    def test_like_a_feed(self, night: list[tuple[int, int]], one: tuple[int, float], other: tuple[int, float]) -> None:
        """A feed that pulls each second shows each document at the same pull."""
        specs = (falls(*one), collapse(*other))
        clock = Clock()
        feed = Feed("feed", clock=clock)
        desk = desk_of(feed, rules=Rules.compile(specs))
        source = MemorySource()
        puller = Puller(feed, source, clock=clock, max_bytes=1000, desk=desk)
        past = replay(*specs)
        at_s = 0
        for number, pulls in night:
            before = past.shown
            decision = past.take(votes(number), at_s, at_s + pulls)
            for pull in range(pulls):
                source.answers.append(votes(number))
                self.successResultOf(Deferred.fromCoroutine(puller.tick()))
                is_shown = decision.shown_after_s is not None and pull >= decision.shown_after_s
                assert feed.snapshot is not None
                self.assertEqual(feed.snapshot.data, past.shown if is_shown else before)
                clock.advance(1)
            at_s += pulls
