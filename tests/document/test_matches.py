"""Selectors find values, keep their bytes, and know the elements of arrays by a member."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document import matches
from livefeed.document.matches import MAX_KEY_BYTES, MatchError, SelectorReader
from livefeed.document.pointer import PartReader
from livefeed.document.selectors import parse_selector, text_of
from tests.helpers.nesting import DEEP

if TYPE_CHECKING:
    import random

NAMES = st.text(alphabet="ab/~01*{}=é😀", max_size=4)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)
SEGMENTS = st.sampled_from(["*", "a", "b", "0", "1", "{a=*}", "{a=b}", "{b=1}", "~2", "~3"])

ODD: tuple[list[Any], ...] = ([], [7], [[]], [{"x": 1}])
"""Elements beside one that is looked for."""

DISTRICTS = b"""{"districts": [
  {"name": "North", "votes": 1200, "parties": [{"id": 1, "votes": 10}, {"id": 2, "votes": 20}]},
  {"name": "South", "votes": 1.50},
  {"name": "East/West", "votes": null}
], "counted": {"a": 1, "*": 2, "{x": 3}}"""


def found_in(data: bytes, text: str) -> dict[str, bytes]:
    """Gives the values that a selector finds, by the selectors of each alone."""
    return {
        text_of(match.path): bytes(match.value) for match in SelectorReader(data).find(parse_selector(text)).matches
    }


def missing_in(data: bytes, text: str) -> list[str]:
    """Gives what a selector misses."""
    return [text_of(path) for path in SelectorReader(data).find(parse_selector(text)).missing]


class FindingTests(SynchronousTestCase):
    """SelectorReader.find."""

    def test_names_and_stars(self) -> None:
        """Members and elements, by name, index or all of them."""
        self.assertEqual(found_in(DISTRICTS, "/districts/1/votes"), {"/districts/1/votes": b"1.50"})
        self.assertEqual(
            found_in(DISTRICTS, "/counted/*"), {"/counted/a": b"1", "/counted/~2": b"2", "/counted/~3x": b"3"}
        )
        self.assertEqual(found_in(DISTRICTS, "/counted/~2"), {"/counted/~2": b"2"})
        votes = {"/districts/0/votes": b"1200", "/districts/1/votes": b"1.50", "/districts/2/votes": b"null"}
        self.assertEqual(found_in(DISTRICTS, "/districts/*/votes"), votes)
        self.assertEqual(found_in(b" [1] ", ""), {"": b"[1]"})

    def test_elements_by_a_member(self) -> None:
        """An element is found by its member, and keeps this name in the path."""
        self.assertEqual(
            found_in(DISTRICTS, "/districts/{name=*}/votes"),
            {
                "/districts/{name=North}/votes": b"1200",
                "/districts/{name=South}/votes": b"1.50",
                "/districts/{name=East~1West}/votes": b"null",
            },
        )
        (match,) = SelectorReader(DISTRICTS).find(parse_selector("/districts/{name=East~1West}/votes")).matches
        self.assertEqual(match.tokens, ("districts", "2", "votes"))
        self.assertEqual(bytes(match.value), b"null")

    def test_names_inside_of_named_elements(self) -> None:
        """Levels can be named at several depths, by numbers as well."""
        self.assertEqual(
            found_in(DISTRICTS, "/districts/{name=*}/parties/{id=2}/votes"),
            {"/districts/{name=North}/parties/{id=2}/votes": b"20"},
        )

    def test_names_of_other_types(self) -> None:
        """Scalars are names as they stand there; objects, arrays and long texts are none."""
        values = ["7", '"8"', "true", "null", "1.50", '"\\u0041"', "[]", "{}", '"' + "x" * (MAX_KEY_BYTES - 1) + '"']
        data = b"[%s]" % ",".join(f'{{"k":{value}}}' for value in values).encode()
        self.assertEqual(
            list(found_in(data, "/{k=*}")), [f"/{{k={key}}}" for key in ("7", "8", "true", "null", "1.50", "A")]
        )
        self.assertEqual(missing_in(data, "/{k=*}"), ["/{k=*}"])

    def test_missing(self) -> None:
        """A path that leads no further is told, with the segments that it would have had."""
        self.assertEqual(missing_in(DISTRICTS, "/nothing/votes"), ["/nothing/votes"])
        self.assertEqual(
            missing_in(DISTRICTS, "/districts/{name=*}/parties/{id=1}/votes")[:1],
            ["/districts/{name=South}/parties/{id=1}/votes"],
        )
        self.assertEqual(missing_in(DISTRICTS, "/districts/{name=West}/votes"), ["/districts/{name=West}/votes"])
        for text in (
            "/districts/3",
            "/districts/01",
            "/counted/a/b",
            "/counted/a/*",
            "/counted/{name=x}",
            "/counted/{name=*}",
        ):
            self.assertEqual(missing_in(DISTRICTS, text), [text])
            self.assertEqual(found_in(DISTRICTS, text), {})

    def test_member_with_an_odd_name(self) -> None:
        """Whatever characters the name has, and whatever the other elements are."""
        for name in ("é", 'a"b', "a\\b", "a b", "\n", "value"):
            for others in ODD:
                data = json.dumps([{name: "w", "v": 1}, *others]).encode()
                self.assertEqual([*found_in(data, f"/{{{name}=w}}/v").values()], [b"1"], (name, others))

    def test_element_without_its_member(self) -> None:
        """It is missing, and the others are found."""
        data = b'[{"name": "a"}, 5, {"other": 1}]'
        self.assertEqual(list(found_in(data, "/{name=*}")), ["/{name=a}"])
        self.assertEqual(missing_in(data, "/{name=*}"), ["/{name=*}"])

    def test_nothing_in_an_empty_array(self) -> None:
        """All of no elements are there."""
        for text in ("/*", "/{name=*}"):
            self.assertEqual((found_in(b"[]", text), missing_in(b"[]", text)), ({}, []))

    def test_elements_with_the_same_name(self) -> None:
        """All of them are found, with the same path and different tokens."""
        found = SelectorReader(b'[{"n":"a","v":1},{"n":"a","v":2}]').find(parse_selector("/{n=a}/v"))
        self.assertEqual([text_of(match.path) for match in found.matches], ["/{n=a}/v"] * 2)
        self.assertEqual([match.tokens for match in found.matches], [("0", "v"), ("1", "v")])

    def test_too_many(self) -> None:
        """The number of values is bounded, and so is that of missing ones."""
        self.patch(matches, "MAX_MATCHES", 3)
        self.assertEqual(len(found_in(b"[1,2,3]", "/*")), 3)
        for data, text in ((b"[1,2,3,4]", "/*"), (b'[{"a":1},{"a":2},{"a":3},{"a":4}]', "/{a=*}")):
            self.assertIn("more than 3 values", str(self.assertRaises(MatchError, found_in, data, text)))
        self.assertEqual(len(missing_in(b"[1,2,3]", "/*/b")), 3)

    def test_deep_document(self) -> None:
        """One that exhausts the stack raises nothing else."""
        data = DEEP
        self.assertIn("too deeply", str(self.assertRaises(MatchError, found_in, data, "/0")))

    def test_no_json(self) -> None:
        """Bytes that are no JSON raise nothing else: no gate has seen them."""
        self.assertIn("cannot be read", str(self.assertRaises(MatchError, found_in, b"[1,", "/0")))
        self.assertEqual(missing_in(b" ", "/0"), ["/0"])

    @settings(deadline=None)
    @given(JSON_VALUES, st.lists(SEGMENTS, max_size=4))
    def test_matches_are_parts(self, value: object, segments: list[str]) -> None:
        """Each value that is found is the one at its tokens, and its path finds it again."""
        data = json.dumps(value, indent=1).encode()
        reader = SelectorReader(data)
        for match in reader.find(parse_selector(text_of(tuple(segments)))).matches:
            self.assertEqual(PartReader(data).part(match.tokens), bytes(match.value))
            again = reader.find(parse_selector(text_of(match.path)))
            self.assertIn(match, again.matches)
            self.assertEqual(again.missing, [])

    @settings(deadline=None)
    @given(st.lists(st.dictionaries(st.sampled_from("ab"), JSON_VALUES, max_size=2), max_size=5), st.randoms())
    def test_names_do_not_depend_on_the_order(self, elements: list[Any], rng: random.Random) -> None:
        """Elements that are sorted anew are found by the same paths."""
        selector = parse_selector("/{a=*}/b")
        shuffled = rng.sample(elements, len(elements))

        def paths(value: object) -> list[tuple[tuple[str, ...], bytes]]:
            found = SelectorReader(json.dumps(value).encode()).find(selector)
            return sorted((match.path, bytes(match.value)) for match in found.matches)

        self.assertEqual(paths(elements), paths(shuffled))
