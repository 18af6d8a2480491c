"""JSON with exact numbers: every text is read once, compared by its text, and written back to the last digit."""

from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document import exact_json
from livefeed.document.exact_json import DeltaError, Document, decode, encode, parse, parse_in_pieces, same_value
from tests.helpers.exact_patches import read, same
from tests.helpers.nesting import DEEP

NUMBERS = ("0", "-0", "0.0", "1", "1.0", "1.50", "15e-1", "1e400", "1E400", "12345678901234567890", "9" * 5000)
"""Numbers that a float, an int or another writer would not reproduce."""

NOT_JSON = (
    b"",
    b" ",
    b"{",
    b"[1,]",
    b"[NaN]",
    b"Infinity",
    b"-Infinity",
    b'"\xff"',
    b"\xef\xbb\xbf{}",
    b"1 2",
    b"[01]",
)

LEAVES = st.sampled_from(["null", "true", "false", r'"\ud83d\ude00"', r'"\ud800"', '"é"', '""', *NUMBERS])
TEXTS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=8).map(lambda elements: f"[{' ,'.join(elements)}]")
        | st.dictionaries(st.sampled_from(["", "a", "~/", '"\\', "é", "\ud800"]), inner, max_size=5).map(
            lambda members: "{" + ",\n".join(f"{json.dumps(name)} :{text}" for name, text in members.items()) + "}"
        )
    ),
    max_leaves=30,
).map(str.encode)


class ParseTests(SynchronousTestCase):
    """parse and decode."""

    def test_numbers_are_kept_as_texts(self) -> None:
        """At any size, and in any place."""
        for number in NUMBERS:
            value = decode(f'[{number}, {{"a": {number}}}]'.encode())
            self.assertEqual(value, [Raw(number.encode()), {"a": Raw(number.encode())}], number)

    def test_other_values(self) -> None:
        """They are Python's own."""
        self.assertEqual(
            decode(rb' {"a": [null, true, false, "\u00e9\ud83d\ude00"]} '), {"a": [None, True, False, "é😀"]}
        )

    def test_equality_is_exact(self) -> None:
        """Numbers are equal if their texts are, and equal no value of another type."""
        for one, other in (("1.50", "1.5"), ("0", "-0"), ("1", "true"), ("0", "false"), ("1", '"1"'), ("1e2", "1E2")):
            self.assertNotEqual(decode(one.encode()), decode(other.encode()), (one, other))
        self.assertEqual(decode(b"[1.50]"), decode(b" [ 1.50 ]"))

    def test_last_member_of_a_name_counts(self) -> None:
        """As for most readers of JSON."""
        self.assertEqual(decode(b'{"a": 1, "a": 2}'), {"a": Raw(b"2")})

    def test_document_keeps_its_bytes(self) -> None:
        """White space too, which no value shows."""
        self.assertEqual(parse(b" [1 ]\n"), Document(b" [1 ]\n", [Raw(b"1")]))

    def test_not_json(self) -> None:
        """The message says that the text is not JSON, or which constant is not."""
        for data in NOT_JSON:
            for function in (parse, decode, parse_in_pieces):
                self.assertIn("not JSON", str(self.assertRaises(DeltaError, function, data)), data)
        self.assertEqual(str(self.assertRaises(DeltaError, parse, b"[-Infinity]")), "-Infinity is not JSON")

    def test_document_that_is_nested_too_deeply(self) -> None:
        """It becomes a single value, without the white space around it, and is equal to itself only."""
        text = DEEP
        self.assertRaises(RecursionError, decode, text)
        for function in (parse, parse_in_pieces):
            self.assertEqual(function(b"\r\n\t " + text + b" \n"), Document(b"\r\n\t " + text + b" \n", Raw(text)))
        self.assertNotEqual(parse(text).value, parse(b"[" + text + b"]").value)


class ParseInPiecesTests(SynchronousTestCase):
    """parse_in_pieces."""

    def setUp(self) -> None:
        self.decoded: list[int] = []
        self.patch(exact_json, "PIECE_BYTES", 20)
        self.patch(exact_json, "decode", self.note)

    def note(self, data: bytes) -> object:
        self.decoded.append(len(data))
        return decode(data)

    def assert_same(self, data: bytes) -> None:
        """Reads a document in both ways, and forgets the sizes of the pieces of the second one."""
        found = parse_in_pieces(data)
        pieces = self.decoded[:]
        self.assertEqual(found, parse(data))
        self.decoded = pieces

    def test_same_value(self) -> None:
        """As if the document were read at once: objects, arrays of large and of small elements, white space."""
        rows = [{"id": number, "texts": ["x" * number, None, 1.50]} for number in range(40)]
        for document in (
            json.dumps(rows).encode(),
            json.dumps({"a": {"rows": rows, "~": []}, "b": list(range(99))}, indent=1).encode() + b"\n",
            b'{"a": 1.50, "b": [-0, 1e400, 12345678901234567890], "a": "the last counts"}',
            b'"a text that is longer than a piece, and that cannot be divided"',
            b"[" * 200 + b"]" * 200,
        ):
            self.assert_same(document)

    def test_pieces_are_small(self) -> None:
        """A piece is about as large as the limit: many small elements together, and larger ones one by one."""
        self.assert_same(b"[%b]" % b",".join([b"1"] * 105))
        self.assertEqual(self.decoded, [21] * 10 + [11])
        self.decoded.clear()
        self.assert_same(json.dumps({"a": ["x" * 15] * 5, "b": {"c": ["y" * 15] * 5}}).encode())
        self.assertEqual(self.decoded, [17] * 10)

    def test_small_document_is_one_piece(self) -> None:
        """Up to the limit, without the white space around it."""
        self.assert_same(b"  [1,22,333,4444,55]  \n")
        self.assertEqual(self.decoded, [18])
        self.decoded.clear()
        self.assert_same(b"[1,22,333,4444,5555]")
        self.assertEqual(self.decoded, [20])

    def test_document_that_the_decoder_of_pieces_refuses(self) -> None:
        """It is read at once: half of a surrogate pair is JSON."""
        document = rb'["\ud83d half of a pair", "\ud83d\ude00", "and the rest of it all"]'
        self.assert_same(document)
        self.assertEqual(self.decoded, [len(document)])

    def test_not_json(self) -> None:
        """An error in any piece is the error that reading at once gives."""
        for data in (
            b"[1, 2, 3, 4, 5, 6, 7, nothing]",
            b'{"a": "xxxxxxxxxxxxxxxxxxxx", "b": [NaN]}',
            b"[" + b"1," * 40,
        ):
            self.assertRaises(DeltaError, parse_in_pieces, data)

    @given(TEXTS)
    @example(b'{"a":[1,1,1,1,1,1,1,1,1,1,1,1.0,1,-0]}')
    def test_any_document(self, data: bytes) -> None:
        """The two ways of reading give equal values."""
        self.assert_same(data)


class EncodeTests(SynchronousTestCase):
    """encode."""

    def test_compact(self) -> None:
        """Without white space, with the members in their order, and in UTF-8."""
        self.assertEqual(
            encode(decode(rb'{"b": [1, null], "a": {"\u00e9": true}}')), '{"b":[1,null],"a":{"é":true}}'.encode()
        )

    def test_numbers_are_unchanged(self) -> None:
        """To the last digit."""
        for number in NUMBERS:
            self.assertEqual(encode(decode(number.encode())), number.encode())

    def test_half_of_a_surrogate_pair(self) -> None:
        """It is written as an escape, in names and in values, beside values of all kinds."""
        for text in (
            rb'"\ud800"',
            rb'{"\ud800":1.50}',
            rb'["\udfff",{},[],null,true,false,-0,"x",{"a":1,"b":[2,3]}]',
        ):
            self.assertEqual(encode(decode(text)), text)

    @given(TEXTS)
    def test_any_document_is_written_and_read_again(self, data: bytes) -> None:
        """What is written is equal to what was read, for another reader too."""
        written = encode(decode(data))
        self.assertEqual(decode(written), decode(data))
        self.assertTrue(same(read(written), read(data)))
        self.assertEqual(encode(decode(written)), written)


class SameValueTests(SynchronousTestCase):
    """same_value."""

    def test_numbers_are_compared_by_value(self) -> None:
        """Whatever their text is, and everything else by its kind."""
        for one, other in (("1", "1.0"), ("15e-1", "1.50"), ('{"a":[1]}', '{"a":[1e0]}'), ("1e999999", "10e999998")):
            self.assertTrue(same_value(decode(one.encode()), decode(other.encode())))
        for one, other in (
            ("1", "true"),
            ("1", "2"),
            ("[1]", "[1,1]"),
            ('{"a":1}', '{"b":1}'),
            ("1e9999999999999999999", "1"),
            ("null", "false"),
        ):
            self.assertFalse(same_value(decode(one.encode()), decode(other.encode())))
