"""The messages of ``livefeed.delta.v2``, and the close codes."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.client.messages import (
    MAX_MS,
    MAX_PATH_LENGTH,
    MAX_POINTERS,
    MessageError,
    come_back_ms,
    milliseconds_of,
    read_message,
    says_stay_away,
)
from livefeed.client.update import State
from tests.helpers.delta_messages import document, heartbeat, message, splices

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


class MessageTests(SynchronousTestCase):
    """Messages that are read."""

    def test_members(self) -> None:
        """All members of a message are read."""
        found = read_message(splices("[1]", "[2]", "/feed/a", state="held", extra=1))
        assert found is not None
        self.assertEqual((found.kind, found.path, found.state, found.age_ms), ("splices", "/feed/a", State.HELD, 40))
        self.assertEqual((found.sequence, found.next_ms, found.at), ("7.1", 1000, "2026-11-23T20:15:07.004Z"))
        self.assertIsNone(found.heartbeat_ms)
        rare = read_message(heartbeat("[1]", heartbeat=3000))
        assert rare is not None
        self.assertEqual(rare.heartbeat_ms, 3000)
        refused = read_message(message("refused", status=429, detail="too many", retry=500))
        assert refused is not None
        self.assertEqual((refused.status, refused.detail, refused.retry_ms), (429, "too many", 500))

    def test_reason_and_waiting(self) -> None:
        """A reason is a text of limited length, and each may be missing."""
        for reason, waiting, expected in (
            ("a check", 5000, ("a check", 5000)),
            ("x" * 300, 0, ("x" * 200, 0)),
            (5, -1, ("", None)),
            (None, "5", ("", None)),
        ):
            found = read_message(heartbeat("[1]", reason=reason, waiting=waiting))
            assert found is not None
            self.assertEqual((found.reason, found.waiting_ms), expected)

    def test_overlaid_values(self) -> None:
        """A list that is wrong or too long stands for the whole document, and never for no values."""
        for overlay, expected in (
            (["/a", "/é"], ("/a", "/é")),
            ([], ()),
            (None, ()),
            ("/a", ("",)),
            (["/a", 1], ("",)),
            (["/a"] * (MAX_POINTERS + 1), ("",)),
            (["/" + "a" * MAX_PATH_LENGTH], ("",)),
        ):
            found = read_message(heartbeat("[1]", overlay=overlay))
            assert found is not None
            self.assertEqual(found.overlay, expected)

    def test_unknown_type_is_ignored(self) -> None:
        """A later server may send messages of other types."""
        self.assertIsNone(read_message('{"type": "weather"}'))

    def test_unknown_state_is_not_live(self) -> None:
        """A state that is not known, or of another type, is unknown."""
        for state in ("frozen", "LIVE", "missing", None, 1, ["live"]):
            found = read_message(heartbeat("[1]", state=state))
            assert found is not None
            self.assertIs(found.state, State.UNKNOWN, state)

    def test_malformed_messages(self) -> None:
        """Messages without the members that their type needs are refused."""
        for text in (
            *("", "1", "[]", "{", "[" * 100_000, '{"type": 1}', '{"type": "document"}'),
            document("[1]", "feed"),
            document("[1]", "/" + "a" * MAX_PATH_LENGTH),
            document("[1]", version="AB"),
            document("[1]", text=1),
            splices("[1]", "[2]", splices="x"),
            splices("[1]", "[2]", **{"from": None}),
        ):
            with self.assertRaises(MessageError, msg=text[:50]):
                read_message(text)

    def test_times_have_limits(self) -> None:
        """Times that are no numbers are not known, and no time is longer than a year."""
        for value, found in ((5, 5), (5.7, 5), (1e300, MAX_MS), (-1, None), (True, None), ("5", None), (None, None)):
            self.assertEqual(milliseconds_of(value), found, value)
        self.assertIsNone(milliseconds_of(float("nan")))
        # No float is as large.
        self.assertEqual((milliseconds_of(10**400), milliseconds_of(-(10**400))), (MAX_MS, None))
        self.assertEqual(milliseconds_of(float("inf")), MAX_MS)

    @settings(deadline=None)
    @given(st.dictionaries(st.sampled_from(["path", "version", "state", "age", "next", "retry", "status"]), JSON))
    def test_any_members(self, members: dict[str, object]) -> None:
        """No value of any member breaks the reader."""
        for kind in ("document", "splices", "heartbeat", "missing", "refused"):
            try:
                found = read_message(json.dumps({"type": kind, **members}))
            except MessageError:
                continue
            assert found is not None
            assert found.state in State


class CloseCodeTests(SynchronousTestCase):
    """The time at which a closed client comes back."""

    def test_slots(self) -> None:
        """The reason comes first, the code second."""
        for code, reason, delay_ms in (
            (1001, "come back in 7301 ms", 7301),
            (1001, "", None),
            (3000, "", 0),
            (3017, "", 340),
            (3300, "come back in 12040 ms", 12040),
            (3499, "nonsense", 9980),
            (3500, "come back in 5 ms", None),
            (1006, "come back in 5 ms", None),
            (None, "", None),
        ):
            self.assertEqual(come_back_ms(code, reason), delay_ms, (code, reason))

    def test_clients_that_stay_away(self) -> None:
        """The codes 3500 to 3999 say so, and those of a client that breaks the protocol."""
        codes = (None, 1001, 1006, 1008, 1011, 3499, 3500, 3999, 4000)
        self.assertEqual([code for code in codes if says_stay_away(code)], [1008, 3500, 3999])
