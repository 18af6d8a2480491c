"""A part of a document is found by its pointer, and keeps its bytes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.pointer import (
    MAX_PATH_BYTES,
    MAX_TOKENS,
    PartReader,
    PointerError,
    escape,
    index_of,
    pointer_of,
    tokens_of,
    unescape,
)
from tests.helpers.nesting import DEEP

if TYPE_CHECKING:
    from collections.abc import Iterable


def part_of(data: bytes, tokens: Iterable[str]) -> bytes | None:
    """Gives one part of a document."""
    return PartReader(data).part(tuple(tokens))


NAMES = st.text(alphabet="ab/~01-é😀", max_size=4)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)

# Names like those in section 5 of RFC 6901: characters with a meaning in a pointer, JSON or a URL.
ODD_NAMES = rb"""{
   "list": ["x", "y"],
   "": 0,
   "p/q": 1,
   "r%s": 2,
   "t^u": 3,
   "v|w": 4,
   "b\\c": 5,
   "d\"e": 6,
   " ": 7,
   "f~g": 8
}"""


def every_part(value: object, tokens: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], object]]:
    """Gives each part of a value with the path to it."""
    parts = [(tokens, value)]
    if isinstance(value, dict):
        for name, member in value.items():
            parts += every_part(member, (*tokens, name))
    elif isinstance(value, list):
        for index, element in enumerate(value):
            parts += every_part(element, (*tokens, str(index)))
    return parts


class TokensTests(SynchronousTestCase):
    """tokens_of, escape, unescape and index_of."""

    @settings(deadline=None)
    @given(st.lists(NAMES, min_size=1, max_size=MAX_TOKENS))
    def test_round_trip(self, names: list[str]) -> None:
        """Any names, escaped and joined with slashes, are read back."""
        self.assertEqual(tokens_of("/".join(map(escape, names))), tuple(names))

    @settings(deadline=None)
    @given(st.text(max_size=30) | st.text(alphabet="~01/a", max_size=9))
    def test_anything_is_read_or_refused(self, path: str) -> None:
        """No path raises anything but a PointerError, and each segment gives one token."""
        try:
            tokens = tokens_of(path)
        except PointerError:
            self.assertRegex(path, "~(?![01])")
        else:
            self.assertEqual(len(tokens), path.count("/") + 1)

    def test_plain_path(self) -> None:
        """Ordinary paths of URLs."""
        self.assertEqual(tokens_of("a/b/3"), ("a", "b", "3"))

    def test_empty_names(self) -> None:
        """An empty segment is the empty name, at any place."""
        self.assertEqual(tokens_of(""), ("",))
        self.assertEqual(tokens_of("a//"), ("a", "", ""))

    def test_pointer_of_tokens(self) -> None:
        """It leads to the same tokens, and the whole has the empty one."""
        for tokens in ((), ("",), ("a/b", "~1", "~", "0"), ("é", "", "x")):
            pointer = pointer_of(tokens)
            self.assertEqual(tokens_of(pointer[1:]) if pointer else (), tokens)
        self.assertEqual(pointer_of(("a/b", "~1")), "/a~1b/~01")

    def test_order_of_unescaping(self) -> None:
        """~01 is ~1 and not a slash (RFC 6901, 4)."""
        self.assertEqual(tokens_of("~01/~10"), ("~1", "/0"))
        self.assertEqual(escape("~1"), "~01")

    def test_malformed_escapes(self) -> None:
        """A tilde before anything else is refused, and the message says how one is written."""
        for path in ("~", "a~", "~2", "~~0", "a/~/b", "~a"):
            error = self.assertRaises(PointerError, tokens_of, path)
            self.assertIn("~0", str(error))
        self.assertRaises(PointerError, unescape, "~2")

    def test_most_tokens(self) -> None:
        """A path of just the limit is read, one more is refused."""
        self.assertEqual(len(tokens_of("/" * (MAX_TOKENS - 1))), MAX_TOKENS)
        self.assertIn(f"{MAX_TOKENS} segments", str(self.assertRaises(PointerError, tokens_of, "/" * MAX_TOKENS)))

    def test_longest_path(self) -> None:
        """The length is in bytes, for all characters, including halves of surrogate pairs."""
        self.assertEqual(tokens_of("é" * (MAX_PATH_BYTES // 2)), ("é" * (MAX_PATH_BYTES // 2),))
        error = self.assertRaises(PointerError, tokens_of, "é" * (MAX_PATH_BYTES // 2) + "e")
        self.assertIn(f"{MAX_PATH_BYTES} bytes", str(error))
        self.assertEqual(tokens_of("\udc80"), ("\udc80",))

    def test_indices(self) -> None:
        """Only digits of ASCII without a leading zero are an index."""
        for token, index in (("0", 0), ("7", 7), ("10", 10), ("9" * 18, 10**18 - 1)):
            self.assertEqual(index_of(token), index)
        for token in (
            "",
            "-",
            "-1",
            "+1",
            "00",
            "01",
            "1.0",
            "1e0",
            " 1",
            "1\n",
            "\u0661",
            "²",
            "0x1",
            "1_0",
            "9" * 5000,
        ):
            self.assertIsNone(index_of(token), token[:9])


class PartTests(SynchronousTestCase):
    """PartReader.part."""

    @settings(deadline=None)
    @given(JSON_VALUES, st.sampled_from([None, 0, 3]), st.booleans())
    def test_every_part_is_found(self, value: object, indent: int | None, ascii_only: bool) -> None:
        """Each part of any document is found and stands for the same value; it is a piece of the document."""
        data = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
        for tokens, part in every_part(value):
            found = part_of(data, tokens)
            assert found is not None
            self.assertEqual(json.loads(found), part)
            self.assertIn(found, data)
            self.assertEqual(found, found.strip())

    @settings(deadline=None)
    @given(JSON_VALUES, st.lists(NAMES | st.sampled_from(["0", "1", "-", "00"]), max_size=4))
    @example([[1]], ["0", "0", "0"])
    def test_only_what_is_there_is_found(self, value: object, tokens: list[str]) -> None:
        """A path that leads nowhere gives None, and no other path does."""
        there = tuple(tokens) in {way for way, _ in every_part(value)}
        self.assertEqual(part_of(json.dumps(value).encode(), tokens) is not None, there)

    def test_odd_names(self) -> None:
        """Each name is reached by its escaped form (RFC 6901, 5), the empty one by the empty path."""
        for path, part in (
            ("list", b'["x", "y"]'),
            ("list/0", b'"x"'),
            ("", b"0"),
            ("p~1q", b"1"),
            ("r%s", b"2"),
            ("t^u", b"3"),
            ("v|w", b"4"),
            ("b\\c", b"5"),
            ('d"e', b"6"),
            (" ", b"7"),
            ("f~0g", b"8"),
        ):
            self.assertEqual(part_of(ODD_NAMES, tokens_of(path)), part, path)

    def test_whole_document(self) -> None:
        """No token at all is the document, without the white space around it."""
        self.assertEqual(part_of(b" \r\n{ }\t\n", ()), b"{ }")

    def test_numbers_stay_as_they_are(self) -> None:
        """No digit, sign or exponent is touched."""
        numbers = (b"1.50", b"-0", b"1e400", b"1E+2", b"12345678901234567890", b"9" * 6000, b"0.1000")
        data = b"[ %b ]" % b" ,\n".join(numbers)
        for index, number in enumerate(numbers):
            self.assertEqual(part_of(data, [str(index)]), number)

    def test_inner_white_space_stays(self) -> None:
        """A part is given with its own white space, and without the text around it."""
        data = b'{ "a" : [ 1 ,\n\t{ "b" :  1.50 } ]\r\n }'
        self.assertEqual(part_of(data, ["a"]), b'[ 1 ,\n\t{ "b" :  1.50 } ]')
        self.assertEqual(part_of(data, ["a", "1"]), b'{ "b" :  1.50 }')
        self.assertEqual(part_of(data, ["a", "1", "b"]), b"1.50")

    def test_strings_stay_escaped(self) -> None:
        """An escape in a value is not undone; one in a name is, since names are compared as they are read."""
        data = rb'{"\u0061\ud83d\ude00": "\u0061\/"}'
        self.assertEqual(part_of(data, ["a😀"]), rb'"\u0061\/"')

    def test_null_is_a_part(self) -> None:
        """A member that is null is there."""
        self.assertEqual(part_of(b'{"a": null}', ["a"]), b"null")

    def test_no_such_part(self) -> None:
        """A missing part is None: in objects, in arrays, and in values without parts."""
        for tokens in (["b"], ["a", "2"], ["a", "-"], ["a", "00"], ["a", ""], ["a", "0", "0"], ["s", "0"], ["n", ""]):
            self.assertIsNone(part_of(b'{"a": [1, 2], "s": "x", "n": null}', tokens), tokens)

    def test_index_as_a_name(self) -> None:
        """Digits are a name like any other in an object."""
        self.assertEqual(part_of(b'{"01": 1, "-": 2}', ["01"]), b"1")
        self.assertEqual(part_of(b'{"01": 1, "-": 2}', ["-"]), b"2")

    def test_deep_document(self) -> None:
        """The parts of a deep document are found, and one that exhausts the stack raises nothing else."""
        data = b'{"a":' * 600 + b"1" + b"}" * 600
        self.assertEqual(part_of(data, ["a"] * 32), b'{"a":' * 568 + b"1" + b"}" * 568)
        data = DEEP
        self.assertIn("too deeply", str(self.assertRaises(PointerError, part_of, data, ["0"])))
