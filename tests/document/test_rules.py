"""Rules decide which documents may be shown."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document import rules as rules_module
from livefeed.document.comparisons import MaxStep, NeverFalls, NeverShrinks
from livefeed.document.exact_numbers import Step
from livefeed.document.json_schema import Schema
from livefeed.document.requirements import MustBe, Required
from livefeed.document.rules import (
    MAX_RULES,
    MAX_SELECTORS,
    RuleError,
    Rules,
    RuleSpec,
    Verdict,
    Violation,
    same_refusal,
)
from livefeed.document.selectors import parse_selector
from tests.helpers.documentation import DOCS
from tests.helpers.nesting import DEEP

if TYPE_CHECKING:
    import random

    from livefeed.document.rule_checks import Check
    from livefeed.document.selectors import Selector


def selectors(*texts: str) -> tuple[Selector, ...]:
    return tuple(map(parse_selector, texts))


def data(value: Any) -> bytes:
    return json.dumps(value).encode()


VOTES = NeverFalls(selectors("/districts/{name=*}/votes", "/counted"))
RULES = Rules.compile(
    [
        RuleSpec("votes", VOTES),
        RuleSpec("steps", MaxStep(selectors("/counted"), Step(Decimal(100))), "alarm"),
        RuleSpec("list", NeverShrinks(selectors("/districts"))),
        RuleSpec("complete", Required(selectors("/districts/{name=*}/votes"))),
        RuleSpec("mode", MustBe(selectors("/mode"), (b'"live"',)), "alarm"),
    ]
)


def night(counted: object = 10, mode: str = "live", /, **votes: object) -> bytes:
    """Gives a document of an election night."""
    districts = [{"name": name, "votes": count} for name, count in votes.items()]
    return data({"districts": districts, "counted": counted, "mode": mode})


class CompileTests(SynchronousTestCase):
    """Rules.compile."""

    def refusal(self, *specs: RuleSpec) -> str:
        return str(self.assertRaises(RuleError, Rules.compile, specs))

    def test_cheap_ones_first(self) -> None:
        """Requirements before comparisons, and otherwise the order of the settings."""
        self.assertEqual(RULES.names, ("complete", "mode", "votes", "steps", "list"))

    def test_rules_that_may_take_long(self) -> None:
        """A schema may look at a value any number of times, so that it is checked in a thread."""
        schema = RuleSpec("shape", Schema.compile("a.json", b"{}"), action="alarm")
        for specs, may_take_long in (
            ([], False),
            ([RuleSpec("a", VOTES)], False),
            ([RuleSpec("a", VOTES), schema], True),
        ):
            self.assertEqual(Rules.compile(specs).may_take_long, may_take_long)

    def test_names(self) -> None:
        """A name stands in commands and metrics."""
        for name in ("a", "a-b_c0", "a" * 32):
            self.assertEqual(Rules.compile([RuleSpec(name, VOTES)]).names, (name,))
        for name in ("", "A", "0a", "a.b", "a" * 33, "é", "a\n"):
            self.assertIn("is not a name", self.refusal(RuleSpec(name, VOTES)))
        self.assertIn("b: there are two", self.refusal(*(RuleSpec(name, VOTES) for name in "abb")))

    def test_text(self) -> None:
        """A rule is described on one line."""
        self.assertEqual(str(RuleSpec("a", VOTES, "alarm")), "alarm by never_falls /districts/{name=*}/votes, /counted")
        spec = RuleSpec("a", Required(selectors("/x")), release_pulls=5, release_after_s=0.5)
        self.assertEqual(str(spec), "hold by required /x, released after 5 pulls or after 0.5 s")

    def test_limits(self) -> None:
        """The numbers of rules and of their pointers are bounded."""
        specs = [RuleSpec(f"r{number}", VOTES) for number in range(MAX_RULES + 1)]
        self.assertEqual(len(Rules.compile(specs[:-1]).names), MAX_RULES)
        self.assertIn(f"{MAX_RULES} at most", self.refusal(*specs))
        check = NeverFalls(selectors("/a") * (MAX_SELECTORS + 1))
        error = self.assertRaises(RuleError, Rules.compile, [RuleSpec("a", check)])
        self.assertEqual((error.rule, error.why), ("a", f"it has {MAX_SELECTORS + 1} pointers, and 32 at most"))


class CheckTests(SynchronousTestCase):
    """Rules.check."""

    def test_good_documents(self) -> None:
        """A document that all rules accept has the empty verdict, and so has any without rules."""
        self.assertEqual(RULES.check(night(N=5), night(11, N=5, S=0)), Verdict())
        self.assertEqual(RULES.check(None, night(N=5)), Verdict())
        self.assertEqual(Rules().check(b"1", b"null"), Verdict())

    def test_zeros(self) -> None:
        """The first value by its pointer is told, with the number of others."""
        held = RULES.check(night(S=1200, N=900), night(0, S=0, N=0)).held
        assert held is not None
        self.assertEqual((held.rule, held.action, held.value), ("votes", "hold", b"0"))
        self.assertEqual(held.pointer, "/districts/{name=N}/votes")
        self.assertEqual(held.why, "/districts/{name=N}/votes falls from 900 to 0 (and 2 more like it)")
        self.assertEqual(dict(held.refused), {held.pointer: b"0", "/districts/{name=S}/votes": b"0", "/counted": b"0"})
        self.assertEqual(held.count, 3)

    def test_first_rule_holds(self) -> None:
        """Of the rules that hold, only the first one is told; all alarms are."""
        verdict = RULES.check(night(N=5), night(500, "test", N=None))
        assert verdict.held is not None
        self.assertEqual((verdict.held.rule, verdict.held.why), ("complete", "/districts/{name=N}/votes is null"))
        self.assertEqual([alarm.rule for alarm in verdict.alarms], ["mode", "steps"])
        self.assertEqual({alarm.action for alarm in verdict.alarms}, {"alarm"})

    def test_without_a_rule(self) -> None:
        """A rule that is released at present is not checked, and the next one holds."""
        shown, candidate = night(N=5), night("test", N=None)
        verdict = RULES.check(shown, candidate, {"complete", "mode"})
        assert verdict.held is not None
        self.assertEqual((verdict.held.rule, verdict.alarms[0].rule), ("votes", "steps"))
        self.assertEqual(RULES.check(shown, candidate, RULES.names), Verdict())

    def test_first_document(self) -> None:
        """Without a document that is shown, only the rules that look at the candidate alone can refuse."""
        verdict = RULES.check(None, b"{}")
        assert verdict.held is not None
        self.assertEqual((verdict.held.rule, len(verdict.alarms)), ("complete", 1))

    def test_idle_selectors(self) -> None:
        """A selector that finds nothing in any document is told."""
        self.assertEqual(list(RULES.idle(night(N=1))), [])
        self.assertEqual(
            list(RULES.idle(b'{"mode":1}', b'{"counted":1}')),
            [
                ("complete", "/districts/{name=*}/votes"),
                ("votes", "/districts/{name=*}/votes"),
                ("list", "/districts"),
            ],
        )
        deep = DEEP
        self.assertEqual(list(RULES.idle(deep)), [])


class SameRefusalTests(SynchronousTestCase):
    """same_refusal."""

    def held(self, shown: bytes, candidate: bytes) -> Violation:
        held = RULES.check(shown, candidate).held
        assert held is not None
        return held

    def test_recount(self) -> None:
        """A count that falls once and then rises again is the same refused value, until it falls once more."""
        shown = night(N=1200)
        pulls = [self.held(shown, night(N=votes)) for votes in (1190, 1190, 1194, 1199)]
        for earlier, later in pairwise(pulls):
            self.assertTrue(same_refusal(earlier, later))
        self.assertFalse(same_refusal(pulls[-1], self.held(shown, night(N=0))))

    def test_documentation(self) -> None:
        """The tables of docs/howto/rules.md, with a release after five pulls."""
        text = (DOCS / "howto" / "rules.md").read_text()
        tables = re.findall(r"^\| pull \|.*\n\|---.*\n((?:\|.*\n)+)", text, re.MULTILINE)
        self.assertEqual(len(tables), 3)
        for table in tables:
            shown, refused, pulls = b"", None, 0
            for row in table.splitlines():
                votes, expected = (int(cell) for cell in row.split("|")[2:4])
                candidate = night(N=votes)
                held = RULES.check(shown, candidate).held if shown else None
                pulls = 0 if held is None else pulls + 1 if refused and same_refusal(refused, held) else 1
                refused = held
                if pulls in {0, 5}:
                    shown, refused = candidate, None
                self.assertEqual(shown, night(N=expected), row)
                words = ("", "once", "twice", "three times", "four times", "five times")
                self.assertIn(words[pulls], row)

    def test_another_value_falls(self) -> None:
        """A release must not show a second faulty value that came later, also if the first one is told."""
        shown = night(N=1200, S=700)
        first = self.held(shown, night(N=1190, S=700))
        both = self.held(shown, night(N=1190, S=0))
        self.assertEqual(first.pointer, both.pointer)
        self.assertFalse(same_refusal(first, both))
        self.assertTrue(same_refusal(both, first))

    def test_another_rule(self) -> None:
        """Other rules and other limits start anew."""
        one = self.held(night(N=5), night(N=4))
        self.assertFalse(same_refusal(one, self.held(night(N=5), night(N=None))))
        other = Violation("votes", "hold", one.pointer, "", b"4", one.refused, 1, NeverFalls(selectors("/x")))
        self.assertFalse(same_refusal(other, one))
        self.assertFalse(same_refusal(one, other))
        self.assertFalse(same_refusal(one, Violation("votes", "hold", one.pointer, "", b"4")))

    def test_too_many_values(self) -> None:
        """If not all refused values are remembered, nothing is the same."""
        self.patch(rules_module, "MAX_REFUSED", 2)
        two = self.held(night(N=5, S=5), night(N=4, S=4))
        self.assertTrue(same_refusal(two, two))
        three = self.held(night(N=5, S=5, W=5), night(N=4, S=4, W=4))
        self.assertEqual((three.count, len(three.refused)), (3, 2))
        self.assertFalse(same_refusal(three, three))


NAMES = st.sampled_from(["a", "b", "name", "*", "{x", ""])
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False) | NAMES
JSON_VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=10
)
TEXTS = st.lists(st.sampled_from(["/a", "/*", "/{name=*}", "/{a=1}", "/0", "/name", "/~2"]), max_size=3).map("".join)
SELECTORS = st.lists(TEXTS, min_size=1, max_size=3).map(lambda texts: selectors(*texts))
STEPS = st.builds(Step, st.none() | st.integers(0, 3).map(Decimal), st.integers(0, 50).map(Decimal))
CHECKS: st.SearchStrategy[Check] = st.one_of(
    st.builds(NeverFalls, SELECTORS),
    st.builds(MaxStep, SELECTORS, STEPS),
    st.builds(NeverShrinks, SELECTORS),
    st.builds(Required, SELECTORS),
    st.builds(MustBe, SELECTORS, st.lists(SCALARS.map(data), min_size=1, max_size=2).map(tuple)),
)
ELEMENTS = st.lists(
    st.fixed_dictionaries(
        {}, optional={"name": st.sampled_from(["x", "y", 1, None]), "a": SCALARS | st.lists(SCALARS)}
    ),
    max_size=5,
)


class PropertyTests(SynchronousTestCase):
    """Rules.check with any documents."""

    @settings(deadline=None)
    @given(JSON_VALUES, JSON_VALUES, st.lists(CHECKS, min_size=1, max_size=3), st.sampled_from(["hold", "alarm"]))
    def test_no_document_raises(self, shown: object, candidate: object, checks: list[Check], action: Any) -> None:
        """Any pair of documents has a verdict, and a refusal has all that operators need."""
        rules = Rules.compile([RuleSpec(f"r{number}", check, action) for number, check in enumerate(checks)])
        verdict = rules.check(data(shown), data(candidate))
        found = list(verdict.alarms) if verdict.held is None else [verdict.held]
        for violation in found:
            self.assertIn(violation.rule, rules.names)
            self.assertTrue(violation.why)
            parse_selector(violation.pointer)
            self.assertEqual(violation.refused[violation.pointer], violation.value)
        # The bytes make no difference, as far as their values are the same.
        spaced = json.dumps(candidate, indent=1).encode()
        again = rules.check(data(shown), spaced)
        self.assertEqual((again.held is None, len(again.alarms)), (verdict.held is None, len(verdict.alarms)))

    @settings(deadline=None)
    @given(
        st.lists(JSON_VALUES | ELEMENTS, min_size=2, max_size=5),
        st.lists(CHECKS, min_size=1, max_size=3),
        st.booleans(),
    )
    def test_memory_makes_no_difference(self, documents: list[object], checks: list[Check], is_shown: bool) -> None:
        """Rules that remember which documents they have accepted say the same as new ones."""
        specs = [RuleSpec(f"r{number}", check, "alarm") for number, check in enumerate(checks)]
        rules = Rules.compile(specs)
        shown = None
        for document in documents:
            candidate = data(document)
            verdict = rules.check(shown, candidate)
            self.assertEqual(verdict, Rules.compile(specs).check(shown, candidate))
            if is_shown or not verdict.alarms:
                shown = candidate

    @settings(deadline=None)
    @given(JSON_VALUES, st.lists(CHECKS, min_size=1, max_size=3))
    def test_the_same_document_never_falls(self, shown: object, checks: list[Check]) -> None:
        """Comparisons accept the document that is shown."""
        specs = [RuleSpec(f"r{number}", check) for number, check in enumerate(checks) if check.cost]
        self.assertEqual(Rules.compile(specs).check(data(shown), data(shown)), Verdict())

    @settings(deadline=None)
    @given(ELEMENTS, ELEMENTS, st.randoms(use_true_random=False))
    def test_order_of_elements(self, shown: list[Any], candidate: list[Any], rng: random.Random) -> None:
        """The verdict is the same in every detail if a list is sorted anew."""
        pointers = selectors("/{name=*}/a")
        specs = [
            RuleSpec("falls", NeverFalls(pointers), "alarm"),
            RuleSpec("steps", MaxStep(pointers, Step(Decimal(1))), "alarm"),
            RuleSpec("shrinks", NeverShrinks((*pointers, *selectors(""))), "alarm"),
            RuleSpec("required", Required(pointers), "alarm"),
            RuleSpec("must", MustBe(pointers, (b"1",)), "alarm"),
        ]
        rules = Rules.compile(specs)
        one = rules.check(data(shown), data(candidate))
        other = rules.check(data(rng.sample(shown, len(shown))), data(rng.sample(candidate, len(candidate))))
        self.assertEqual(one, other)
