"""The gate accepts documents that all JSON parsers read alike."""

from __future__ import annotations

import json
from typing import NoReturn

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.gate import check_document
from livefeed.exceptions import DocumentError

MAX_BYTES = 10_000

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
FRAGMENTS = st.lists(
    st.sampled_from(
        [
            *("{", "}", "[", "]", ":", ",", '"a"', '"b"', '"\\u0061"', '"\n"', "'a'", "\\"),
            *("0", "-1", "01", "1.50", "1e9", "1.", "-", "٣", "true", "nul", "null", "NaN", "-Infinity", "é"),
            *(" ", "\t", "\r\n", "\f", "\u00a0", "\ufeff"),
        ]
    ),
    max_size=9,
).map("".join)
OBJECTS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=4).map(
    lambda members: "{" + ",".join(f'"{name}":{value}' for name, value in members) + "}"
)


class _Refused(Exception):  # noqa: N818
    pass


def _no_constant(name: str) -> NoReturn:
    raise _Refused(name)


def _no_name_twice(members: list[tuple[str, object]]) -> dict[str, object]:
    if len({name for name, _ in members}) < len(members):
        raise _Refused("twice")
    return dict(members)


def oracle_accepts(data: bytes) -> bool:
    """json.loads, made strict by its hooks."""
    try:
        json.loads(data.decode("utf-8"), object_pairs_hook=_no_name_twice, parse_constant=_no_constant)
    except (ValueError, _Refused):
        return False
    return True


def gate_accepts(data: bytes) -> bool:
    try:
        check_document(data, max_bytes=MAX_BYTES)
    except DocumentError:
        return False
    return True


class GateTests(SynchronousTestCase):
    """check_document."""

    def assert_refused(self, data: bytes, why: str, max_bytes: int = MAX_BYTES) -> None:
        error = self.assertRaises(DocumentError, check_document, data, max_bytes=max_bytes)
        self.assertIn(why, str(error))

    @settings(deadline=None)
    @given(JSON_VALUES, st.sampled_from([None, 1]), st.booleans())
    def test_json_is_accepted(self, value: object, indent: int | None, ascii_only: bool) -> None:
        """The output of any JSON writer passes."""
        check_document(json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode(), max_bytes=MAX_BYTES)

    @settings(deadline=None, max_examples=500)
    @given(st.one_of(FRAGMENTS, OBJECTS, st.text(max_size=12)))
    @example('{"a":1,"\\u0061":2}')
    @example('{"a":{"b":1},"b":[{"a":1}]}')
    @example("\ufeff{}")
    @example("\u00a0{}")
    @example('"\x00"')
    @example("[1,]")
    @example("[NaN]")
    @example("-Infinity")
    def test_agrees_with_a_strict_json_loads(self, text: str) -> None:
        """The gate accepts the same texts as json.loads with duplicate names and constants refused."""
        data = text.encode()
        self.assertEqual(gate_accepts(data), oracle_accepts(data))

    @settings(deadline=None)
    @given(st.binary(max_size=20))
    def test_bytes_are_accepted_or_refused(self, data: bytes) -> None:
        """Any bytes at all are either accepted or refused with a DocumentError; nothing else is raised."""
        accepted = gate_accepts(data)
        self.assertEqual(accepted, oracle_accepts(data))

    def test_limit_is_inclusive(self) -> None:
        """A document of just the limit passes; one byte more does not, and the message names the option."""
        check_document(b'"12345678"', max_bytes=10)
        self.assert_refused(b'"123456789"', "more than 10 bytes (--max-bytes)", max_bytes=10)

    def test_empty_document(self) -> None:
        """A file that is just being rewritten is often empty, and the message says so."""
        self.assert_refused(b"", "is empty")
        self.assert_refused(b" \r\n\t", "is empty")

    def test_not_utf8(self) -> None:
        """The message says at which byte the document stops being UTF-8."""
        self.assert_refused(b'{"a": "\xff"}', "not UTF-8: invalid start byte at byte 7")

    def test_utf16_is_refused(self) -> None:
        """Only UTF-8 is JSON between systems (RFC 8259, 8.1), although json.loads guesses other encodings."""
        self.assert_refused('{"a": 1}'.encode("utf-16-le"), "not JSON")

    def test_syntax_error_names_its_place(self) -> None:
        """An operator is told line and column."""
        self.assert_refused(b'{\n  "a": 1,\n  b: 2\n}', "line 3, column 3")

    def test_places(self) -> None:
        """A text that ends too early is wrong at its end, and not on a line that no editor shows."""
        for data, place in (
            (b'{"a":', "Expecting value at the end, line 1, column 6"),
            (b'{"a":\n\n', "Expecting value at the end, line 1, column 6"),
            (b'{\n  "a":\n', "Expecting value at the end, line 2, column 7"),
            (b'{"a": "b', "Unterminated string starting at line 1, column 7"),
            (b'{"a": "b\n"}', "Invalid control character at line 1, column 9"),
            (b'{"a": 1} x', "Extra data, line 1, column 10"),
        ):
            self.assertIn(
                f"the document is not JSON: {place}",
                str(self.assertRaises(DocumentError, check_document, data, max_bytes=99)),
            )

    def test_half_a_document(self) -> None:
        """An incomplete document is refused."""
        self.assert_refused(b'{"a": [1, 2', "not JSON")

    def test_trailing_garbage(self) -> None:
        """Two documents are not one."""
        self.assert_refused(b"{} {}", "Extra data, line 1, column 4")

    def test_name_twice(self) -> None:
        """A name that is twice in one object is named, at any depth; the same name in different objects passes."""
        self.assert_refused(b'[{"x": {"a": 1, "b": 2, "a": 1}}]', "the name 'a' twice")
        check_document(b'[{"a": 1}, {"a": {"a": 2}}]', max_bytes=MAX_BYTES)

    def test_long_name_is_shortened_in_the_message(self) -> None:
        """The document cannot fill the log."""
        name = b'"' + b"n" * 2000 + b'"'
        error = self.assertRaises(DocumentError, check_document, b"{%b:1,%b:2}" % (name, name), max_bytes=MAX_BYTES)
        self.assertLess(len(str(error)), 200)

    def test_constants_that_are_not_json(self) -> None:
        """Python reads these, browsers do not."""
        for constant in (b"NaN", b"Infinity", b"-Infinity"):
            self.assert_refused(b"[%b]" % constant, f"has {constant.decode()}, which is not JSON")

    def test_numbers_of_any_size_and_precision(self) -> None:
        """Numbers are not converted, so neither Python's limit of digits nor a float's range is in the way."""
        for number in (b"9" * 6000, b"-0", b"1e999", b"0." + b"1" * 6000, b"1.50"):
            check_document(number, max_bytes=MAX_BYTES)

    def test_deep_nesting(self) -> None:
        """A document that would exhaust the parser's stack is refused, and the process lives."""
        depth = 100_000
        self.assert_refused(b"[" * depth + b"]" * depth, "nested too deeply", max_bytes=2 * depth)

    def test_lone_surrogate(self) -> None:
        """Half of a surrogate pair is no character: parsers disagree on it, and RFC 7493, 2.1 forbids it."""
        for document in (b'"\\ud800"', b'{"\\uDC00": 1}', b'["\\ude00\\ud83d"]'):
            self.assert_refused(document, "surrogate")

    def test_surrogate_pair(self) -> None:
        """A whole pair is one character, and passes."""
        check_document(b'{"\\ud83d\\ude00": "\\uD83D\\uDE00"}', max_bytes=MAX_BYTES)

    def test_same_name_in_two_spellings(self) -> None:
        """Names are compared as they are read, not as they are spelled."""
        self.assert_refused('{"\\ud83d\\ude00": 1, "😀": 2}'.encode(), "twice")
