"""Differences between two documents, found by selectors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document import matches, pairs
from livefeed.document.matches import MatchError, SelectorReader
from livefeed.document.pairs import Pair, PairReader
from livefeed.document.selectors import parse_selector, text_of
from tests.helpers.nesting import DEEP

if TYPE_CHECKING:
    from livefeed.document.pairs import Values
    from livefeed.document.selectors import Path

NAMES = st.sampled_from(["a", "b", "n", "0", "*"])
JSON_VALUES = st.recursive(
    st.none() | st.integers(0, 3) | NAMES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=16,
)
ELEMENTS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "n": st.sampled_from(["x", "y", 1, "1", None, []]),
            "a": JSON_VALUES,
            "b": st.lists(
                st.fixed_dictionaries({"n": st.integers(0, 2)}, optional={"a": st.integers(0, 2)}), max_size=3
            ),
        },
    ),
    max_size=5,
)
DOCUMENTS = JSON_VALUES | ELEMENTS | st.fixed_dictionaries({"a": ELEMENTS, "b": ELEMENTS})
TEXTS = st.lists(st.sampled_from(["/a", "/b", "/n", "/*", "/{n=*}", "/{n=x}", "/{n=1}", "/0", "/~2"]), max_size=4).map(
    "".join
)


def data(value: object) -> bytes:
    return json.dumps(value).encode()


def grouped(document: bytes, text: str) -> dict[Path, list[bytes]]:
    """Gives all values that a selector finds, by their paths, without a look at another document."""
    values: dict[Path, list[bytes]] = {}
    for match in SelectorReader(document).find(parse_selector(text)).matches:
        values.setdefault(match.path, []).append(bytes(match.value))
    return values


def differences(old: bytes | None, new: bytes, text: str) -> dict[str, tuple[Values, Values]]:
    found = PairReader(old, new).find(parse_selector(text))
    return {text_of(pair.path): (pair.old, pair.new) for pair in found.pairs}


class PairReaderTests(SynchronousTestCase):
    """PairReader.find."""

    @settings(deadline=None, max_examples=300)
    @given(DOCUMENTS, DOCUMENTS, TEXTS)
    @example([{"n": "x", "a": 1}], [{"n": "x", "a": 1}, {"n": "x", "a": 2}], "/{n=*}/a")
    @example([{"n": "x", "a": 1}, {"n": "x", "a": 2}], [{"n": "x", "a": 2}], "/{n=x}/a")
    @example([{"n": "x", "a": 1}, {"n": "x", "a": 1}], [{"n": "x", "a": 1}], "/{n=*}/a")
    @example([{"n": "x", "a": 1}], [{"n": "x", "a": 1}, {"n": "x", "a": 1}], "/{n=*}/a")
    @example({"a": [1]}, {"a": {"0": 2}}, "/a/*")
    @example({"a": [1]}, {"a": {"0": 2}}, "/a/0")
    def test_all_differences(self, old: object, new: object, text: str) -> None:
        """The differences are those of all values of both documents, and what is the same in both is left out."""
        before, after = grouped(data(old), text), grouped(data(new), text)
        found = differences(data(old), data(new), text)
        for path in before.keys() | after.keys():
            one, other = before.get(path, []), after.get(path, [])
            olds, news = found.pop(text_of(path), ([], []))
            if len(one) != len(other) and text.count("{") == 1:
                self.assertEqual((sorted(olds), sorted(news)), (sorted(one), sorted(other)))
            # Equal elements of one name may be left out, on both sides alike.
            for value in olds:
                one.remove(value)
            for value in news:
                other.remove(value)
            self.assertEqual(sorted(one), sorted(other))
        self.assertEqual(found, {})

    @settings(deadline=None)
    @given(DOCUMENTS, TEXTS)
    def test_without_an_old_document(self, new: object, text: str) -> None:
        """Everything is new, and everything that is missing is told."""
        found = PairReader(None, data(new)).find(parse_selector(text))
        self.assertEqual({pair.path: pair.new for pair in found.pairs}, grouped(data(new), text))
        self.assertEqual([pair.old for pair in found.pairs], [[]] * len(found.pairs))
        expected = SelectorReader(data(new)).find(parse_selector(text)).missing
        self.assertEqual({*found.missing}, {*expected})

    @settings(deadline=None)
    @given(DOCUMENTS, DOCUMENTS, TEXTS)
    def test_missing(self, old: object, new: object, text: str) -> None:
        """What is missing in the difference is missing in the document; and no more, if the old one misses nothing."""
        found = {*PairReader(data(old), data(new)).find(parse_selector(text)).missing}
        everything = {*SelectorReader(data(new)).find(parse_selector(text)).missing}
        self.assertLessEqual(found, everything)
        if not SelectorReader(data(old)).find(parse_selector(text)).missing:
            self.assertEqual(found, everything)

    def test_sorted_anew(self) -> None:
        """Elements that only have another place make no difference."""
        old = [{"n": "x", "a": 1}, {"n": "y", "a": 2}]
        self.assertEqual(differences(data(old), data(old[::-1]), "/{n=*}/a"), {})
        new = [{"n": "y", "a": 3}, {"n": "x", "a": 1}]
        self.assertEqual(differences(data(old), data(new), "/{n=*}/a"), {"/{n=y}/a": ([b"2"], [b"3"])})

    def test_depth(self) -> None:
        """It tells which part of the path is there in the new document."""
        selector = parse_selector("/a/{n=*}/b")
        old = data({"a": [{"n": 1, "b": 5}, {"n": 2, "b": 5}]})
        for new, depths in (({"a": [{"n": 1}]}, [2, 1]), ({"a": []}, [1, 1]), ({}, [0, 0]), (None, [0, 0])):
            found = PairReader(old, data(new)).find(selector).pairs
            self.assertEqual([pair.depth for pair in found], depths)
            self.assertEqual([pair.new for pair in found], [[], []])
        new = {"a": [{"n": 1, "b": 6}, {"n": 2, "b": 5}]}
        (pair,) = PairReader(old, data(new)).find(selector).pairs
        self.assertEqual(pair, Pair(("a", "{n=1}", "b"), [b"5"], [b"6"], 3))

    def test_again(self) -> None:
        """Several selectors read a level once, and the same one gives the same result."""
        reader = PairReader(data({"a": [{"n": 1, "b": 5, "c": 6}]}), data({"a": [{"n": 1, "b": 7, "c": 8}]}))
        one, other = (reader.find(parse_selector(f"/a/{{n=*}}/{name}")) for name in "bc")
        self.assertEqual(([b"7"], [b"8"]), (one.pairs[0].new, other.pairs[0].new))
        self.assertIs(reader.find(parse_selector("/a/{n=*}/b")), one)
        self.assertEqual(reader.find(parse_selector("/a/0/b")).pairs[0].new, [b"7"])

    def test_too_many(self) -> None:
        """The numbers of differences and of missing values are bounded."""
        self.patch(pairs, "MAX_MATCHES", 3)
        self.assertEqual(len(differences(b"[1,2,3]", b"[4,5,6]", "/*")), 3)
        for text in ("/*", "/*/a"):
            error = self.assertRaises(MatchError, differences, b"[1,2,3,4]", b"[4,5,6,7]", text)
            self.assertIn("more than 3 values", str(error))
        self.assertEqual(matches.MAX_MATCHES, 65_536)

    def test_unreadable_documents(self) -> None:
        """A new one is an error; of an old one, nothing is there."""
        deep = DEEP
        for bad, why in ((deep, "too deeply"), (b"[1,", "cannot be read"), (b'{"\\ud800":1}', "cannot be read")):
            self.assertIn(why, str(self.assertRaises(MatchError, differences, b"[1]", bad, "/0")))
            self.assertEqual(differences(bad, b"[1]", "/0"), {"/0": ([], [b"1"])})
        self.assertEqual(differences(b"", b" ", "/0"), {})
