"""Values that may only move in one way, compared with the document that is shown."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.comparisons import MaxStep, NeverFalls, NeverShrinks
from livefeed.document.exact_numbers import Step
from livefeed.document.rule_checks import Documents
from livefeed.document.selectors import parse_selector
from tests.helpers.nesting import DEEP

if TYPE_CHECKING:
    from livefeed.document.rule_checks import Check
    from livefeed.document.selectors import Selector


def selectors(*texts: str) -> tuple[Selector, ...]:
    return tuple(map(parse_selector, texts))


def as_bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def reasons(check: Check, shown: Any, candidate: Any) -> list[str]:
    """Gives the sentences about what a check refuses."""
    documents = Documents(None if shown is None else as_bytes(shown), as_bytes(candidate))
    return [each.why for each in check.refusals(documents, has_passed=False)]


def values(check: Check, shown: Any, candidate: Any) -> list[tuple[str, bytes]]:
    """Gives the pointers and the values that a check refuses."""
    refusals = check.refusals(Documents(as_bytes(shown), as_bytes(candidate)), has_passed=True)
    return [(each.pointer, each.value) for each in refusals]


class NeverFallsTests(SynchronousTestCase):
    """NeverFalls."""

    votes = NeverFalls(selectors("/votes"))
    districts = NeverFalls(selectors("/{name=*}/votes"))

    def test_rise_and_fall(self) -> None:
        """A number may stay or rise, and its notation may change."""
        for old, new in ((b"5", b"5"), (b"5", b"6"), (b"5", b"5.0"), (b"-0", b"0"), (b"1e2", b"100"), (b"-2", b"-1")):
            self.assertEqual(reasons(self.votes, b'{"votes":%b}' % old, b'{"votes":%b}' % new), [])
        self.assertEqual(reasons(self.votes, {"votes": 1200}, {"votes": 0}), ["/votes falls from 1200 to 0"])
        self.assertEqual(values(self.votes, {"votes": 1200}, {"votes": 0}), [("/votes", b"0")])

    def test_exact(self) -> None:
        """The smallest fall of a large number is one."""
        self.assertEqual(len(reasons(self.votes, {"votes": 9007199254740993}, {"votes": 9007199254740992})), 1)

    def test_no_number_any_more(self) -> None:
        """A number that becomes another value, or too large, is refused."""
        for value, shown in ((None, "null"), ("7", '"7"'), ([], "[]"), (True, "true")):
            why = f"/votes is no number any more: it is {shown}, and was 5"
            self.assertEqual(reasons(self.votes, {"votes": 5}, {"votes": value}), [why])
        (why,) = reasons(self.votes, {"votes": 5}, b'{"votes": 1e99999}')
        self.assertEqual(why, "/votes is a number that is too large to be compared, 1e99999")

    def test_missing(self) -> None:
        """A number that is gone has fallen."""
        absent: tuple[object, ...] = ({}, None, [], {"votes ": 5})
        for candidate in absent:
            self.assertEqual(reasons(self.votes, {"votes": 5}, candidate), ["/votes is missing, and was 5"])
        self.assertEqual(values(self.votes, {"votes": 5}, {}), [("/votes", b"")])

    def test_nothing_to_compare(self) -> None:
        """Without a number that is shown, anything is good."""
        for shown in (None, {}, {"votes": None}, {"votes": "-"}, b'{"votes": 1e99999}'):
            for candidate in ({}, {"votes": 0}, {"votes": None}):
                self.assertEqual(reasons(self.votes, shown, candidate), [])

    def test_lists_that_are_sorted_anew(self) -> None:
        """Elements are compared by their names, and new ones are good."""
        shown = [{"name": "N", "votes": 9}, {"name": "S", "votes": 5}]
        self.assertEqual(reasons(self.districts, shown, [{"name": "X", "votes": 0}, *shown[::-1]]), [])
        candidate = [{"name": "S", "votes": 4}, {"name": "N", "votes": 8}]
        self.assertEqual(
            reasons(self.districts, shown, candidate),
            ["/{name=N}/votes falls from 9 to 8", "/{name=S}/votes falls from 5 to 4"],
        )
        self.assertEqual(reasons(self.districts, shown, shown[:1]), ["/{name=S}/votes is missing, and was 5"])

    def test_elements_with_the_same_name(self) -> None:
        """They are compared by their sizes, and there may not be more of them."""
        shown = [{"name": "N", "votes": 9}, {"name": "N", "votes": 5}]
        self.assertEqual(reasons(self.districts, shown, [{"name": "N", "votes": 5}, {"name": "N", "votes": 10}]), [])
        candidate = [{"name": "N", "votes": 4}, {"name": "N", "votes": 100}]
        self.assertEqual(reasons(self.districts, shown, candidate), ["/{name=N}/votes falls from 5 to 4"])
        candidate = [{"name": "N", "votes": 9}, {"name": "N", "votes": None}]
        self.assertIn("is no number any more", reasons(self.districts, shown, candidate)[0])
        candidate = [*shown, {"name": "N", "votes": 9}]
        self.assertEqual(values(self.districts, shown, candidate), [("/{name=N}/votes", b"[5,9,9]")])
        self.assertEqual(
            reasons(self.districts, shown[:1], shown),
            ["/{name=N}/votes is there 2 times, and was there once: elements have the same name"],
        )
        self.assertEqual(reasons(self.districts, shown, shown[1:]), [])

    def test_documents_that_cannot_be_read(self) -> None:
        """A candidate is refused, and one that is shown all the same is compared with nothing."""
        check = NeverFalls(selectors("/0", "/1"))
        self.assertEqual([pointer for pointer, _ in values(check, [1], DEEP)], ["/0", "/1"])
        self.assertEqual(reasons(check, DEEP, [0]), [])

    def test_same(self) -> None:
        """A recount goes on rising; a second fall is not the same, and neither is another kind of value."""
        for earlier, later, same in ((b"5", b"5", True), (b"5", b"6", True), (b"5", b"4", False), (b"", b"", True)):
            self.assertEqual(self.votes.is_same(earlier, later), same)
        self.assertFalse(self.votes.is_same(b"", b"5"))
        self.assertFalse(self.votes.is_same(b"null", b"5"))
        self.assertTrue(self.votes.is_same(b"null", b"null"))
        self.assertEqual((self.votes.kind, self.votes.cost), ("never_falls", 1))

    def test_text(self) -> None:
        """Each check is described by its kind and its pointers."""
        self.assertEqual(str(self.votes), "never_falls /votes")
        self.assertEqual(str(NeverShrinks(selectors("", "/a"))), "never_shrinks the document, /a")
        self.assertEqual(str(MaxStep(selectors("/a"), Step(Decimal(5)))), "max_step /a, not by more than 5")

    def test_equality(self) -> None:
        """Checks are values: an equal one is no change of the settings, and another kind is one."""
        self.assertEqual(self.votes, NeverFalls(selectors("/votes")))
        self.assertNotEqual(self.votes, self.districts)
        self.assertNotEqual(self.votes, NeverShrinks(selectors("/votes")))


class MaxStepTests(SynchronousTestCase):
    """MaxStep."""

    check = MaxStep(selectors("/votes"), Step(Decimal(10)))
    elements = MaxStep(selectors("/{name=*}/votes"), Step(Decimal(10)))

    def test_steps(self) -> None:
        """Small ones in both directions."""
        for new in (90, 100, 110):
            self.assertEqual(reasons(self.check, {"votes": 100}, {"votes": new}), [])
        self.assertEqual(
            reasons(self.check, {"votes": 100}, {"votes": 111}), ["/votes rises from 100 to 111, by more than 10"]
        )
        self.assertEqual(
            reasons(self.check, {"votes": 100}, {"votes": 0}), ["/votes falls from 100 to 0, by more than 10"]
        )

    def test_no_number(self) -> None:
        """A number that has become something else made no small step."""
        self.assertIn("no number any more", reasons(self.check, {"votes": 5}, {"votes": "5"})[0])
        self.assertEqual(reasons(self.check, {"votes": "5"}, {"votes": 100}), [])

    def test_missing(self) -> None:
        """A value that the settings name must stay; elements behind a star come and go, but not their values."""
        self.assertEqual(reasons(self.check, {"votes": 5}, {}), ["/votes is missing, and was 5"])
        shown = [{"name": "N", "votes": 9}, {"name": "S", "votes": 5}]
        self.assertEqual(reasons(self.elements, shown, shown[:1]), [])
        self.assertEqual(reasons(self.elements, shown, {}), [])
        self.assertEqual(
            reasons(self.elements, shown, [{"name": "N"}, {"name": "S"}]),
            ["/{name=N}/votes is missing, and was 9", "/{name=S}/votes is missing, and was 5"],
        )
        named = MaxStep(selectors("/{name=N}/votes"), Step(Decimal(10)))
        self.assertEqual(reasons(named, shown, shown[1:]), ["/{name=N}/votes is missing, and was 9"])

    def test_same(self) -> None:
        """A value that goes on in small steps from the refused one is the same."""
        self.assertTrue(self.check.is_same(b"500", b"510"))
        self.assertTrue(self.check.is_same(b"500", b"490"))
        self.assertFalse(self.check.is_same(b"500", b"600"))
        self.assertFalse(self.check.is_same(b"", b"600"))
        self.assertTrue(self.check.is_same(b"", b""))
        self.assertEqual((self.check.kind, self.check.cost), ("max_step", 1))


class NeverShrinksTests(SynchronousTestCase):
    """NeverShrinks."""

    check = NeverShrinks(selectors("/a"))

    def test_lengths(self) -> None:
        """Arrays, objects and texts may grow."""
        good: list[tuple[Any, Any]] = [
            ([1], [2]),
            ([1], [1, 2]),
            ({}, {"x": 1}),
            ("ab", "cd"),
            ("", "a"),
            (5, []),
            (None, 1),
        ]
        for old, new in good:
            self.assertEqual(reasons(self.check, {"a": old}, {"a": new}), [])
        for old, new, why in (
            ([1, 2], [1], "/a shrinks from 2 to 1 elements"),
            ({"x": 1}, {}, "/a shrinks from 1 to 0 members"),
            ("é😀", "a", "/a shrinks from 2 to 1 characters"),
        ):
            self.assertEqual(reasons(self.check, {"a": old}, {"a": new}), [why])
        self.assertEqual(values(self.check, {"a": [1, 2]}, {"a": [1]}), [("/a", b"1")])

    def test_other_types(self) -> None:
        """A list that is no list any more is refused."""
        self.assertEqual(reasons(self.check, {"a": [1, 2]}, {"a": None}), ["/a had 2 elements, and is now null"])
        self.assertEqual(reasons(self.check, {"a": [1]}, {"a": {"x": 1}}), ["/a had 1 elements, and is now 1 members"])
        self.assertEqual(reasons(self.check, {"a": [1]}, {}), ["/a is missing, and was [1]"])

    def test_unreadable(self) -> None:
        """Values that cannot be read have no length."""
        whole = NeverShrinks(selectors(""))
        for odd in (DEEP, b'"\\ud800"', b'{"\\ud800":1}'):
            self.assertIn("is now", reasons(whole, "x", odd)[0])

    def test_same(self) -> None:
        """A shorter list goes on growing."""
        self.assertTrue(self.check.is_same(b"5", b"6"))
        self.assertFalse(self.check.is_same(b"5", b"4"))
        self.assertEqual((self.check.kind, self.check.cost), ("never_shrinks", 1))
