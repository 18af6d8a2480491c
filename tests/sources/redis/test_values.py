"""The commands for each kind of value, and the document that is made of the reply.

There is no RedisJSON here: its replies are taken from its documentation.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import SourceError
from livefeed.sources.redis.values import HashValue, JsonValue, OddReplyError, Value
from tests.sources.redis.peer import OK, RedisTestCase, bulk, strings

if TYPE_CHECKING:
    from livefeed.sources.redis.replies import Reply

TEXT = HashValue(1000)
JSON = HashValue(1000, is_json=True)


class ValueTestCase(SynchronousTestCase):
    def refusal(self, value: Value, reply: Reply) -> str:
        return str(self.assertRaises(SourceError, value.document, reply))


class HashTests(ValueTestCase):
    """Hashes as objects."""

    def test_text(self) -> None:
        """Each value becomes a string, members are sorted by name."""
        reply: Reply = [b"b", b"1.50", b"a", b'say "hi"\n', b"\xc3\xa9", b"", b"", b"\\"]
        self.assertEqual(TEXT.document(reply), '{"":"\\\\","a":"say \\"hi\\"\\n","b":"1.50","é":""}'.encode())

    def test_json(self) -> None:
        """Each value is kept to the byte."""
        reply: Reply = [b"b", b" 1.50 ", b"a", b'{"x" : [12345678901234567890]}', b"c", b'"\xc3\xa9\\u00e9"']
        self.assertEqual(
            JSON.document(reply), '{"a":{"x" : [12345678901234567890]},"b": 1.50 ,"c":"é\\u00e9"}'.encode()
        )

    @settings(deadline=None)
    @given(st.dictionaries(st.text(max_size=5), st.text(max_size=5), min_size=1), st.randoms())
    def test_order_of_the_answer_is_nothing(self, fields: dict[str, str], chance: st.DataObject) -> None:
        """Equal fields make equal bytes in any order of the reply, and keep their values."""
        items = list(fields.items())
        first = TEXT.document([part.encode() for item in items for part in item])
        chance.shuffle(items)  # type: ignore[attr-defined]
        self.assertEqual(TEXT.document([part.encode() for item in items for part in item]), first)
        self.assertEqual(json.loads(first), fields)
        encoded: Reply = [part for name, text in items for part in (name.encode(), json.dumps(text).encode())]
        self.assertEqual(json.loads(JSON.document(encoded)), fields)

    def test_values_that_are_not_json(self) -> None:
        """A value must be JSON by itself: one that only fits into the object around it is refused, by name."""
        for value in (b"", b"x", b"1,2", b'1,"b":2', b'1}{"c":3', b"[", b'"', b"1 2", b"01", b"NaN"):
            self.assertIn("the field 'name' is not JSON", self.refusal(JSON, [b"name", value]), value)

    def test_what_is_not_utf8(self) -> None:
        """The field is named."""
        self.assertIn(r"the field 'na\\xffme' is not UTF-8", self.refusal(TEXT, [b"na\xffme", b""]))
        for value in (TEXT, JSON):
            self.assertIn("the field 'name' is not UTF-8", self.refusal(value, [b"name", b'"\xff"']))

    def test_no_hash(self) -> None:
        """A key that is missing is told from an answer that is none."""
        self.assertEqual(self.refusal(TEXT, []), "the key is missing")
        for reply in (b"a", None, "OK", 5, [b"a"], [b"a", None], [b"a", [b"b"]]):
            self.assertRaises(OddReplyError, TEXT.document, reply)

    def test_allowance_is_enough(self) -> None:
        """Any reply that makes a document of the largest size fits the allowance, however small its members are."""
        value = HashValue(60_000)
        names = [b"%x" % number for number in range(60_000 // 10)]
        fields = [part for name in names for part in (name, b"")]
        document = value.document([*fields])
        self.assertLessEqual(len(document), 60_000)
        self.assertGreater(len(document), 50_000)
        self.assertLess(len(strings(*fields)), value.allowance)


class JsonTests(ValueTestCase):
    """RedisJSON, as its documentation describes it."""

    def test_path_with_dollar(self) -> None:
        """One match is given by itself and to the byte, several are an array, none is a failure."""
        value = JsonValue(1000, b"$.a")
        for reply, document in (
            (b'[{"a": 1.50}]', b'{"a": 1.50}'),
            (b"[[1, 2]]", b"[1, 2]"),
            (b"[1,2]", b"[1,2]"),
            (b'["],["]', b'"],["'),
        ):
            self.assertEqual(value.document(reply).strip(), document)
        self.assertEqual(self.refusal(value, b"[]"), "nothing is found by the path")
        self.assertIn("not an array", self.refusal(value, b"{}"))

    def test_legacy_path(self) -> None:
        """A path in the legacy syntax finds one value, which may be an array."""
        self.assertEqual(JsonValue(1000, b".a").document(b"[1]"), b"[1]")

    def test_no_key(self) -> None:
        """A key that is missing is told from an answer that is none."""
        self.assertEqual(self.refusal(JsonValue(1000), None), "the key is missing")
        self.assertRaises(OddReplyError, JsonValue(1000).document, 5)


class HashSourceTests(RedisTestCase):
    """The source that reads a hash."""

    url = "redis://host/5/key?type=hash"

    def test_fetch(self) -> None:
        """HGETALL is asked, and the object is the document."""
        fetching = self.fetch()
        peer = self.accept()
        peer.says(OK)
        self.assertEqual(peer.commands()[-1], [b"HGETALL", b"key"])
        peer.says(strings(b"b", b"2", b"a", b"1"))
        self.assertEqual(self.successResultOf(fetching), b'{"a":"1","b":"2"}')

    def test_too_large(self) -> None:
        """A hash that cannot be served is cut off, and said to be too large."""
        fetching = self.fetch()
        peer = self.accept()
        peer.says(OK, b"*2\r\n" + bulk(b"a"), b"$999999\r\n", b"x" * 20_000)
        self.assertIn("larger than it may be", self.failed(fetching))
        self.assertTrue(peer.closed)


class JsonSourceTests(RedisTestCase):
    """The source that reads RedisJSON."""

    url = "redis://host/5/key?type=json&path=$.results"

    def test_fetch(self) -> None:
        """JSON.GET is asked with the path; a server without it says so."""
        fetching = self.fetch()
        peer = self.accept()
        peer.says(OK)
        self.assertEqual(peer.commands()[-1], [b"JSON.GET", b"key", b"$.results"])
        peer.says(bulk(b'[{"a":1}]'))
        self.assertEqual(self.successResultOf(fetching), b'{"a":1}')
        fetching = self.fetch()
        peer.says(b"-ERR unknown command 'JSON.GET', with args beginning with: 'key' '$.results' \r\n")
        self.assertIn("unknown command 'JSON.GET'", self.failed(fetching))
