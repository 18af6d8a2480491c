"""The values that a user of the client receives."""

from __future__ import annotations

from decimal import Decimal

from twisted.trial.unittest import SynchronousTestCase

from livefeed.client.update import (
    STATES,
    DocumentReader,
    Line,
    Shown,
    State,
    Update,
    name_of,
    read_exactly,
    read_floats,
    state_of,
)


class UpdateTests(SynchronousTestCase):
    """States and updates."""

    def test_states(self) -> None:
        """The states of servers are known by their names; those of the client itself are not taken from a server."""
        for state in State:
            self.assertIs(state_of(state.value), state if state in STATES else State.UNKNOWN)
        others: tuple[object, ...] = ("", "Live", None, 1, [], {})
        for said in others:
            self.assertIs(state_of(said), State.UNKNOWN)

    def test_unknown_states(self) -> None:
        """They are shown under their own names, and are not live."""
        for said, name in (
            ("paused", "paused"),
            ("x" * 100, "x" * 64),
            ("", "unknown"),
            (None, "unknown"),
            (7, "unknown"),
        ):
            shown = Shown(b"1", state=state_of(said), unknown_state=name_of(said))
            update = Update.of(shown, 1, None)
            self.assertEqual((update.state, update.state_name, update.is_live), (State.UNKNOWN, name, False))
        for state in STATES:
            update = Update.of(Shown(b"1", state=state, unknown_state=name_of(state.value)), 1, None)
            self.assertEqual((update.state_name, update.is_live), (state.value, state is State.LIVE))

    def test_document_is_parsed_once(self) -> None:
        """Another state of the same document is no reason to parse it again, and nothing is parsed without one."""
        parsed: list[bytes] = []

        def parse(content: bytes) -> int:
            parsed.append(content)
            return len(parsed)

        reader = DocumentReader(parse)
        contents = (b"[1]", b"[1]", None, b"[1]", b"[2]")
        self.assertEqual([reader.read(content) for content in contents], [1, 1, None, 1, 2])
        self.assertEqual(parsed, [b"[1]", b"[2]"])

    def test_age_belongs_to_a_document(self) -> None:
        """An update without a document has no age."""
        shown = Shown(b"[1]", "ab" * 16, "7.1", State.LIVE, Line.OPEN, "T", True, "why")
        update = Update.of(shown, [1], 0.5)
        self.assertEqual((update.data, update.content, update.age_s), ([1], b"[1]", 0.5))
        self.assertEqual((update.version, update.sequence, update.at), ("ab" * 16, "7.1", "T"))
        self.assertEqual((update.state, update.line, update.verified, update.problem), ("live", "open", True, "why"))
        self.assertIsNone(Update.of(Shown(), None, 0.5).age_s)

    def test_numbers(self) -> None:
        """Numbers are floats, or exact."""
        self.assertEqual(read_floats(b"1.50"), 1.5)
        self.assertEqual(str(read_exactly(b"[1.50, 12345678901234567890]")), "[Decimal('1.50'), 12345678901234567890]")
        self.assertEqual(read_exactly(b"1.50"), Decimal("1.5"))
