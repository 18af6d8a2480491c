"""MongoDB's documents as JSON."""

from __future__ import annotations

import base64
import contextlib
import json
import math
import re
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import bson
from bson import json_util
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.gate import check_document
from livefeed.exceptions import SourceError
from livefeed.sources.mongo.documents import split_batch, to_json

OID = bson.ObjectId("5f0000000000000000000001")
TEXT = st.text(alphabet=st.characters(codec="utf-8"))
NAMES = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0$"), max_size=8)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner), max_leaves=20)


def plain(value: object) -> str:
    """Gives the JSON of a value."""
    text = to_json(bson.encode({"v": value}), relaxed=False).decode()
    assert text.startswith('{"v":')
    assert text.endswith("}")
    return text[5:-1]


def relaxed(value: object) -> Any:
    return json.loads(to_json(bson.encode({"v": value}), relaxed=True))["v"]


class PlainTests(SynchronousTestCase):
    """Plain JSON."""

    def test_types(self) -> None:
        """Each type that JSON has something for."""
        for value, expected in (
            (OID, '"5f0000000000000000000001"'),
            (datetime(2026, 1, 2, 3, 4, 5, 678_900, tzinfo=UTC), '"2026-01-02T03:04:05.678Z"'),
            (DatetimeMS(-1), '"1969-12-31T23:59:59.999Z"'),
            (DatetimeMS(-62135596800000), '"0001-01-01T00:00:00.000Z"'),
            (DatetimeMS(253402300799999), '"9999-12-31T23:59:59.999Z"'),
            (Decimal128("1.50"), "1.50"),
            (Decimal128("1E+3"), "1E+3"),
            (Decimal128("-0"), "-0"),
            (Decimal128("12345678901234567890.123456789012"), "12345678901234567890.123456789012"),
            (Decimal128("NaN"), "null"),
            (Decimal128("-Infinity"), "null"),
            (5, "5"),
            (Int64(5), "5"),
            (Int64(-(2**63)), "-9223372036854775808"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (math.nan, "null"),
            (-math.inf, "null"),
            (True, "true"),
            (None, "null"),
            (b"abc", '"YWJj"'),
            (bson.Binary(b"abc", 5), '"YWJj"'),
            (bson.Binary(b"abc", 4), '"YWJj"'),
            (bson.Binary.from_uuid(uuid.UUID(int=7)), '"00000000-0000-0000-0000-000000000007"'),
            ('ü\u2028\U0001f600"\\\n', '"ü\u2028\U0001f600\\"\\\\\\n"'),
            ([1, [2, {"b": 1, "a": OID}]], '[1,[2,{"b":1,"a":"5f0000000000000000000001"}]]'),
        ):
            self.assertEqual(plain(value), expected, value)

    def test_other_types_are_refused_by_name(self) -> None:
        """A type that JSON has nothing for is named, and so is the way out."""
        for value, name in (
            (re.compile("x"), "Regex"),
            (bson.Timestamp(1, 2), "Timestamp"),
            (bson.MinKey(), "MinKey"),
            (bson.MaxKey(), "MaxKey"),
            (bson.Code("x"), "Code"),
            (bson.DBRef("c", 1), "DBRef"),
        ):
            said = str(self.assertRaises(SourceError, plain, [{"deep": value}]))
            self.assertIn(f"type {name},", said)
            self.assertIn("json=relaxed", said)

    def test_dates_out_of_range_are_refused(self) -> None:
        """RFC 3339 has four digits for a year."""
        for milliseconds in (253402300800000, -62135596800001, 2**63 - 1, -(2**63)):
            self.assertIn("1 to 9999", str(self.assertRaises(SourceError, plain, DatetimeMS(milliseconds))))

    def test_what_is_no_bson_is_refused(self) -> None:
        """Bytes that are no BSON raise a SourceError."""
        for data in (b"", b"\5\0\0\0", b"\6\0\0\0\0", b"\x10\0\0\0\2a\0\4\0\0\0\xff\xffa\0\0", b"\xff" * 20):
            for is_relaxed in (False, True):
                self.assertRaises(SourceError, to_json, data, relaxed=is_relaxed)

    def test_nested_too_deep(self) -> None:
        """Nesting without end is an error, not the end of the thread."""
        depth = 100_000
        beginnings = ((5 + 8 * left).to_bytes(4, "little") + b"\3a\0" for left in range(depth, 0, -1))
        data = b"".join((*beginnings, b"\5\0\0\0\0", bytes(depth)))
        for is_relaxed in (False, True):
            self.assertRaises(SourceError, to_json, data, relaxed=is_relaxed)

    @given(st.dictionaries(NAMES, VALUES))
    def test_json_is_what_was_stored(self, fields: dict[str, Any]) -> None:
        """Values that JSON can represent come back unchanged and in order, as the same bytes, and pass the gate."""
        data = bson.encode(fields)
        for is_relaxed in (False, True):
            text = to_json(data, relaxed=is_relaxed)
            self.assertEqual(text, to_json(data, relaxed=is_relaxed))
            check_document(text, max_bytes=len(text))
            back = json.loads(text)
            self.assertEqual(back, fields)
            # _id is stored before all others.
            self.assertEqual([*back], sorted(fields, key=lambda name: name != "_id"))

    @given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**20), max_value=10**20))
    def test_decimals_are_exact(self, number: Decimal) -> None:
        """A Decimal128 keeps each of its digits, the last zeros as well."""
        text = plain(Decimal128(number))
        self.assertEqual(Decimal(text).as_tuple(), number.as_tuple())
        check_document(text.encode(), max_bytes=100)

    @given(st.binary(max_size=40))
    def test_binary_is_base64(self, data: bytes) -> None:
        """Bytes come back from their text."""
        self.assertEqual(base64.b64decode(json.loads(plain(data))), data)

    @given(st.binary(max_size=60))
    def test_any_bytes_are_json_or_refused(self, data: bytes) -> None:
        """Nothing raises anything but SourceError."""
        document = (len(data) + 5).to_bytes(4, "little") + data + b"\0"
        for is_relaxed in (False, True):
            with contextlib.suppress(SourceError):
                check_document(to_json(document, relaxed=is_relaxed), max_bytes=10_000)


class RelaxedTests(SynchronousTestCase):
    """MongoDB's relaxed extended JSON."""

    def test_types(self) -> None:
        """Each type keeps its name, but for those that JSON has."""
        for value, expected in (
            (OID, {"$oid": "5f0000000000000000000001"}),
            (DatetimeMS(0), {"$date": "1970-01-01T00:00:00Z"}),
            (DatetimeMS(2**62), {"$date": {"$numberLong": str(2**62)}}),
            (Decimal128("1.50"), {"$numberDecimal": "1.50"}),
            (Int64(5), 5),
            (math.inf, {"$numberDouble": "Infinity"}),
            (b"abc", {"$binary": {"base64": "YWJj", "subType": "00"}}),
            (bson.Timestamp(1, 2), {"$timestamp": {"t": 1, "i": 2}}),
            (bson.MinKey(), {"$minKey": 1}),
            ("ü", "ü"),
        ):
            self.assertEqual(relaxed(value), expected, value)

    def test_it_can_be_read_back(self) -> None:
        """MongoDB's own tools read the JSON back."""
        fields = {"_id": OID, "at": datetime(2026, 1, 2, tzinfo=UTC), "n": Decimal128("1.50")}
        options = json_util.RELAXED_JSON_OPTIONS.with_options(tz_aware=True, tzinfo=UTC)
        self.assertEqual(json_util.loads(to_json(bson.encode(fields), relaxed=True), json_options=options), fields)


class SplitBatchTests(SynchronousTestCase):
    """split_batch."""

    @given(st.lists(st.dictionaries(NAMES, VALUES, max_size=3), max_size=5))
    def test_documents_are_found(self, documents: list[dict[str, Any]]) -> None:
        """Documents that stand behind each other are told apart."""
        encoded = [bson.encode(document) for document in documents]
        self.assertEqual(list(split_batch(b"".join(encoded))), encoded)

    @given(st.binary(min_size=1, max_size=30))
    def test_anything_else_is_refused(self, data: bytes) -> None:
        """Lengths that cannot be are errors; nothing goes on for ever."""
        with contextlib.suppress(SourceError):
            self.assertEqual(b"".join(split_batch(data)), data)
        for wrong in (b"\0\0\0\0", b"\4\0\0\0", b"\5\0\0", b"\xff\xff\xff\xff\0", b"\6\0\0\0\0"):
            self.assertRaises(SourceError, list, split_batch(wrong))
