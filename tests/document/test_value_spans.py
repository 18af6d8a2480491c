"""Values are found in the bytes of a document, wherever white space stands and whatever names contain."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.value_spans import Span, SpanReader
from tests.helpers.written_json import VALUES, written

if TYPE_CHECKING:
    from collections.abc import Iterator


def every_value(reader: SpanReader, span: Span, value: Any) -> Iterator[tuple[bytes, Any]]:
    """Gives the bytes of each value that the reader finds, with the value that must stand there."""
    yield reader.data[span.start : span.end], value
    level = reader.level(span)
    if isinstance(value, dict):
        assert level is not None
        assert level.names is not None
        assert list(level.names) == list(value)
        for name, index in level.names.items():
            item = level.items[index]
            assert json.loads(reader.data[item.start : item.value].rstrip(b" \t\r\n:")) == name
            yield from every_value(reader, Span(item.value, item.end), value[name])
    elif isinstance(value, list):
        assert level is not None
        assert level.names is None
        assert len(level.items) == len(value)
        for item, element in zip(level.items, value, strict=True):
            assert item.start == item.value
            yield from every_value(reader, Span(item.value, item.end), element)
    else:
        assert level is None


class FindTests(SynchronousTestCase):
    """Each value has the place at which it stands."""

    @given(VALUES, st.data())
    def test_every_value_is_where_it_is_written(self, value: Any, data: st.DataObject) -> None:
        document = data.draw(written(value))
        reader = SpanReader(document)
        for found, expected in every_value(reader, reader.root(), value):
            self.assertEqual(json.loads(found), expected)

    def test_a_name_may_look_like_its_value(self) -> None:
        document = rb' {"1":1 , "\"a\":[2]" : [2],"b,c":{ } } '
        reader = SpanReader(document)
        found = list(every_value(reader, reader.root(), json.loads(document)))
        self.assertEqual([text for text, _ in found], [document.strip(), b"1", b"[2]", b"2", b"{ }"])

    def test_a_level_is_read_once(self) -> None:
        reader = SpanReader(b"[1]")
        self.assertIs(reader.level(reader.root()), reader.level(reader.root()))


class RefuseTests(SynchronousTestCase):
    """A level that parsers could read in different ways has no places."""

    def test_a_name_that_is_there_twice(self) -> None:
        for document in (
            b'{"a":1,"a":1}',
            b'{"a":1,"b":1,"a":1}',
            b'{"a":[1,2,3],"b":5,"a":[1]}',
            b'{"a":{"x":12,"b":2},"b":5,"a":[1,2,3]}',
            b'{"a":1,"\\u0061":1}',
            b'{"a":1,"b":2,"a":[1,"x"]}',
        ):
            reader = SpanReader(document)
            self.assertIsNone(reader.level(reader.root()), document)

    def test_a_name_that_is_there_twice_further_down_does_not_matter_here(self) -> None:
        reader = SpanReader(b'{"a":{"b":1,"b":2}}')
        level = reader.level(reader.root())
        assert level is not None
        self.assertIsNone(reader.level(Span(*level.items[0][1:])))

    def test_text_that_is_not_json(self) -> None:
        for document in (b"", b" ", b"{", b'{"a":1,}', b"[1,,2]", b"[1] 2", b'{"\\ud800":1}', b"[" * 100_000, b"nul"):
            reader = SpanReader(document)
            self.assertIsNone(reader.level(reader.root()), document)

    @given(st.binary(max_size=12) | st.text(alphabet='{}[]",:\\a1 \n', max_size=24).map(str.encode))
    @example(b'{"a":"\xff"}')
    def test_any_bytes_are_read_without_an_error(self, document: bytes) -> None:
        reader = SpanReader(document)
        level = reader.level(reader.root())
        if level is not None:
            self.assertEqual(document[level.span.start : level.span.start + 1], b"[" if level.names is None else b"{")
