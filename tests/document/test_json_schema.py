"""Documents are checked by a JSON Schema, which refers only to itself."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document import json_schema
from livefeed.document.json_schema import MAX_DEPTH, MAX_SCHEMA_BYTES, Schema, SchemaError
from livefeed.document.pointer import PartReader
from livefeed.document.rule_checks import Documents
from livefeed.document.rules import Rules, RuleSpec
from livefeed.exceptions import MissingExtraError
from tests.helpers.missing import missing
from tests.helpers.nesting import DEEP

if TYPE_CHECKING:
    from livefeed.document.rule_checks import Refusal

NIGHT = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["districts"],
    "properties": {"districts": {"type": "array", "items": {"$ref": "#/$defs/district"}}},
    "$defs": {
        "district": {
            "type": "object",
            "required": ["votes"],
            "properties": {
                "votes": {"type": "integer", "minimum": 0},
                "share": {"type": "number", "multipleOf": 0.01},
                "at": {"type": "string", "format": "date-time"},
                "name": {"type": "string", "pattern": "^[A-Z]"},
            },
        }
    },
}


def compiled(schema: Any) -> Schema:
    return Schema.compile("night.json", schema if isinstance(schema, bytes) else json.dumps(schema).encode())


def refused(schema: Any, candidate: Any) -> list[Refusal]:
    """Gives what a schema refuses of a document."""
    data = candidate if isinstance(candidate, bytes) else json.dumps(candidate).encode()
    return list(compiled(schema).refusals(Documents(None, data), has_passed=False))


class CompileTests(SynchronousTestCase):
    """Schema.compile."""

    def refusal(self, schema: Any) -> str:
        return str(self.assertRaises(SchemaError, compiled, schema))

    def test_drafts(self) -> None:
        """Each draft is accepted by its URI, and no other metaschema."""
        for uri in (
            "http://json-schema.org/draft-04/schema#",
            "http://json-schema.org/draft-06/schema#",
            "http://json-schema.org/draft-07/schema",
            "https://json-schema.org/draft/2019-09/schema",
            "https://json-schema.org/draft/2020-12/schema",
        ):
            self.assertEqual(refused({"$schema": uri, "type": "object"}, {}), [])
        for other in ("http://json-schema.org/draft-03/schema#", "http://127.0.0.1:9/meta", "", 7):
            self.assertIn("$schema is none of the drafts", self.refusal({"$schema": other}))

    def test_no_schema(self) -> None:
        """The message says what is wrong, and where."""
        self.assertIn("it is not JSON: ", self.refusal(b'{"type":\n}'))
        self.assertIn("line 2", self.refusal(b'{"type":\n}'))
        self.assertIn("it has the name 'type' twice", self.refusal(b'{"type":"object","type":"array"}'))
        self.assertIn("it is not an object", self.refusal(True))
        self.assertIn("it is empty", self.refusal(b""))
        self.assertIn("at /properties/a/type, ", self.refusal({"properties": {"a": {"type": "text"}}}))
        self.assertIn("does not exist", self.refusal({"$ref": "#/$defs/nothing"}))

    def test_limits(self) -> None:
        """The size, the depth and the numbers of a schema are bounded."""
        self.assertIn("is larger than", self.refusal(b" " * (MAX_SCHEMA_BYTES + 1)))
        compiled(b" " * (MAX_SCHEMA_BYTES - 2) + b"{}")
        deep = b'{"not":' * MAX_DEPTH + b"true" + b"}" * MAX_DEPTH
        self.assertIn(f"more than {MAX_DEPTH} levels", self.refusal(b'{"not":' + deep + b"}"))
        self.assertIn("cannot be read: ", self.refusal(b'{"maximum": 1e9999}'))
        self.assertIn("cannot be read: ", self.refusal(b'{"maximum": %b}' % (b"9" * 5000)))

    def test_patterns_are_linear(self) -> None:
        """A pattern that could take exponential time is not known, and one that is huge is refused."""
        for pattern in ("(?=a)b", r"(a)\1", "(a{1000}){1000}"):
            self.assertIn("no look-around", self.refusal({"pattern": pattern}))
        self.assertEqual(len(refused({"pattern": "^(a+)+$"}, "a" * 50_000 + "!")), 1)

    def test_references_outside(self) -> None:
        """Each reference to anything but the schema itself is refused, and its place is named."""
        for keyword in ("$ref", "$dynamicRef", "$recursiveRef"):
            for target in ("http://127.0.0.1:9/x", "other.json", "/etc/passwd", "file:///etc/passwd", "", " #", "?#"):
                refusal = self.refusal({"allOf": [{"properties": {"a": {keyword: target}}}]})
                self.assertIn(f"at /allOf/0/properties/a/{keyword}, it refers to {target!r}", refusal)

    def test_references_that_a_base_changes(self) -> None:
        """With $id, a reference is relative to another base: it is refused, or leads to the schema itself."""
        self.assertIn("refers to 'x'", self.refusal({"$id": "http://127.0.0.1:9/", "$ref": "x"}))
        self.assertIn("refers to 'x'", self.refusal({"properties": {"a": {"$id": "http://127.0.0.1:9/", "$ref": "x"}}}))
        inner = {"$id": "http://127.0.0.1:9/inner", "$ref": "#/$defs/b", "$defs": {"b": {"type": "null"}}}
        self.assertEqual(len(refused({"properties": {"a": inner}, "$defs": {"b": {"type": "string"}}}, {"a": 1})), 1)

    def test_nothing_is_fetched(self) -> None:
        """Also the library itself has no way to the network: a server that is referred to sees no connection."""
        self.patch(json_schema, "_check_references", lambda _: None)
        self.patch(json_schema, "_is_draft", lambda _: True)
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setblocking(False)
            url = f"http://127.0.0.1:{server.getsockname()[1]}/schema"
            for schema in (
                {"$ref": url},
                {"$schema": url},
                {"$id": url, "$ref": "other"},
                {"$dynamicRef": f"{url}#x"},
                {"$ref": "http://schema.invalid/"},
                {"$ref": "file:///etc/hostname"},
            ):
                self.assertRaises(SchemaError, compiled, schema)
            compiled({"$id": url, "properties": {"a": {"$id": "other"}}})
            self.assertRaises(BlockingIOError, server.accept)

    def test_references_to_itself(self) -> None:
        """A property may have the name of a keyword, and recursion ends."""
        self.assertEqual(refused({"properties": {"$ref": {"type": "string"}}}, {"$ref": "http://x"}), [])
        for endless in ({"$ref": "#"}, {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}, {"not": {"$ref": "#"}}):
            self.assertLessEqual(len(refused(endless, b'{"a":[{}]}')), 1)

    def test_missing_package(self) -> None:
        """The message says how to install it."""
        with missing("jsonschema_rs"):
            why = str(self.assertRaises(MissingExtraError, compiled, {}))
        self.assertRegex(why, r"^a JSON Schema needs .*livefeed\[schema\]")

    def test_equality(self) -> None:
        """The same text is no change of the settings."""
        self.assertEqual(compiled(NIGHT), compiled(NIGHT))
        self.assertNotEqual(compiled(NIGHT), compiled({}))
        self.assertRegex(str(compiled({})), r"schema night\.json \(version [0-9a-f]{8}\)")
        self.assertNotEqual(str(compiled({})), str(compiled(NIGHT)))
        self.assertEqual((compiled({}).kind, compiled({}).cost, compiled({}).selectors), ("schema", 2, ()))


class CheckTests(SynchronousTestCase):
    """Schema.refusals."""

    def test_good_documents(self) -> None:
        """Nothing is refused of a document that fits."""
        district = {"votes": 5, "share": 0.07, "at": "2026-11-30T20:00:00Z", "name": "North"}
        self.assertEqual(refused(NIGHT, {"districts": [district, {"votes": 0}]}), [])

    def test_sentence(self) -> None:
        """The refusal has the pointer, the bytes of the value and the keyword."""
        for candidate, pointer, why in (
            (b"{}", "", 'the document is {}, and "districts" is a required property (keyword required)'),
            (b"null", "", 'the document is null, and it is not of type "object" (keyword type)'),
            (
                b'{"districts":[{"votes":1},{"votes":-5}]}',
                "/districts/1/votes",
                "/districts/1/votes is -5, and it is less than the minimum of 0 (keyword minimum)",
            ),
            (
                b'{"districts":[{"votes":1,"at":"soon"}]}',
                "/districts/0/at",
                '/districts/0/at is "soon", and it is not a "date-time" (keyword format)',
            ),
        ):
            (refusal,) = refused(NIGHT, candidate)
            self.assertEqual((refusal.pointer, refusal.why), (pointer, why))
            self.assertIn(refusal.value, candidate)

    def test_exact_numbers(self) -> None:
        """Numbers are checked as they stand in the document."""
        self.assertEqual(refused({"multipleOf": 0.01}, b"0.07"), [])
        self.assertEqual(len(refused({"maximum": 9007199254740992}, b"9007199254740993")), 1)
        self.assertEqual(len(refused({"maximum": 0}, b"1e-6000")), 1)
        self.assertEqual(refused({"type": "integer"}, b"5.0"), [])

    def test_unreadable_documents(self) -> None:
        """A document that cannot be checked does not pass."""
        for candidate, why in (
            (DEEP, f"more than {MAX_DEPTH} levels"),
            (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), f"more than {MAX_DEPTH} levels"),
            (b"1e7000", "it has a number that is too large"),
            (b"[1", "cannot be read"),
        ):
            (refusal,) = refused({}, candidate)
            self.assertIn(why, refusal.why)
        self.assertEqual(refused({}, b"[" * MAX_DEPTH + b"]" * MAX_DEPTH), [])

    def test_long_messages(self) -> None:
        """A message has a bounded length, also about a large value, and a deep one has its pointer's beginning."""
        (refusal,) = refused({"enum": ["x" * 9000]}, "y" * 9000)
        self.assertLess(len(refusal.why), 400)
        value: Any = 1
        for _ in range(40):
            value = {"a*": value}
        schema = {"anyOf": [{"type": "object", "additionalProperties": {"$ref": "#"}}]}
        (refusal,) = refused({"additionalProperties": {"$ref": "#"}, "type": "object"}, value)
        self.assertTrue(refusal.pointer.startswith("/a*/a*/"))
        self.assertIn("does not fit the schema: it is not of type", refusal.why)
        self.assertEqual(len(refused(schema, value)), 1)

    def test_odd_names(self) -> None:
        """The pointer is a selector of the value."""
        (refusal,) = refused({"additionalProperties": {"type": "null"}}, b'{"{x=*}": 5}')
        self.assertEqual((refusal.pointer, refusal.value), ("/~3x=*}", b"5"))
        (refusal,) = refused({"additionalProperties": {"type": "null"}}, {"x" * 2000: 5})
        self.assertIn("does not fit the schema: it is not", refusal.why)

    def test_same(self) -> None:
        """Only the same value."""
        self.assertTrue(compiled({}).is_same(b"1", b"1"))
        self.assertFalse(compiled({}).is_same(b"1", b"2"))

    def test_in_rules(self) -> None:
        """It is checked after all others."""
        rules = Rules.compile([RuleSpec("shape", compiled(NIGHT))])
        held = rules.check(None, b"{}").held
        assert held is not None
        self.assertEqual((held.rule, held.pointer, held.value), ("shape", "", b"{}"))

    @settings(deadline=None)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["districts", "votes", "at"]), inner)
            ),
            max_leaves=12,
        )
    )
    def test_no_document_raises(self, value: object) -> None:
        """Any document fits, or is refused with the value at the pointer."""
        data = json.dumps(value).encode()
        for refusal in refused(NIGHT, data):
            tokens = tuple(refusal.pointer.split("/")[1:])
            part = PartReader(data).part(tokens)
            assert part is not None
            self.assertTrue(part.startswith(refusal.value))
