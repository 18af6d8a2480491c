"""Server-sent events."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.load.answers import AnswerError
from livefeed.load.event_stream import EventReader, StreamEvent


class EventTests(SynchronousTestCase):
    def test_events(self) -> None:
        """Types, ids and data of several lines are read; comments and times are ignored; an id stays."""
        reader = EventReader(1000)
        text = (
            b": hello\nretry: 6000\nevent: state\ndata: {}\n\n"
            b"id: v1\r\ndata: {\r\ndata:  1}\r\n\r\n"
            b"unknown\n\n"
            b"data: next\n\n"
        )
        self.assertEqual(
            reader.take(text),
            [
                StreamEvent(b"state", b"", b"{}"),
                StreamEvent(b"", b"v1", b"{\n 1}"),
                StreamEvent(b"", b"v1", b"next"),
            ],
        )

    def test_too_large(self) -> None:
        """An event is refused when its lines are too large together, and a line without end as well."""
        self.assertRaises(AnswerError, EventReader(20).take, b"data: 1234567\n" * 2)
        self.assertRaises(AnswerError, EventReader(20).take, b"data: " + b"x" * 20)
        reader = EventReader(20)
        for _ in range(10):
            self.assertEqual(len(reader.take(b"data: 1234567\n\n")), 1)

    @given(st.lists(st.lists(st.sampled_from([b"", b"a", b"a: b"]), min_size=1)), st.integers(1, 7))
    def test_pieces(self, documents: list[list[bytes]], size: int) -> None:
        """Events are the same wherever they are cut."""
        text = b"".join(b"".join(b"data: %s\n" % line for line in lines) + b"\n" for lines in documents)
        reader = EventReader(1000)
        events = [event for at in range(0, len(text), size) for event in reader.take(text[at : at + size])]
        self.assertEqual([event.data for event in events], [b"\n".join(lines) for lines in documents])
