"""Times as people write them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import RecordingError
from livefeed.storage.recording_time import MAX_LENGTH, clock_of, seconds_into, span_of

BERLIN = ZoneInfo("Europe/Berlin")
BEGAN = datetime(2026, 9, 20, 17, 59, 30, tzinfo=BERLIN).timestamp()
NIGHT_S = 12 * 3600.0


class TimeTests(SynchronousTestCase):
    def into(self, text: str, length_s: float = NIGHT_S) -> float:
        return seconds_into(text, BEGAN, length_s, BERLIN)

    def test_times_of_day(self) -> None:
        """They are the next ones after the beginning, in the zone that was asked for."""
        for text, expected in (
            ("18:00", 30),
            ("17:59:30", 0),
            ("21:00:05", 3 * 3600 + 35),
            ("00:30", 6.5 * 3600 + 30),
            ("5:00", 11 * 3600 + 30),
            ("17:59:29", NIGHT_S),
        ):
            self.assertEqual(self.into(text), expected, text)
        self.assertEqual(seconds_into("16:00", BEGAN, NIGHT_S, UTC), 30)

    def test_change_of_the_clock(self) -> None:
        """The zone of the day counts, not that of the beginning."""
        began = datetime(2026, 10, 24, 22, 0, tzinfo=BERLIN).timestamp()
        self.assertEqual(seconds_into("06:00", began, 86_400, BERLIN), 9 * 3600)

    def test_spans(self) -> None:
        """They count from the beginning."""
        for text, expected in (("90m", 5400), ("+1h30m", 5400), ("45s", 45), ("0.5s", 0.5), ("2h", 7200), ("0s", 0)):
            self.assertEqual(self.into(text), expected, text)

    def test_durations(self) -> None:
        """A duration alone is read in the same way."""
        self.assertEqual([span_of("1h"), span_of("90m"), span_of("1h30m5s")], [3600, 5400, 5405])
        for text in ("", "5", "21:00", "1d", "h", "1m1h"):
            with self.assertRaisesRegex(RecordingError, "is no duration; write it as 1h, 90m"):
                span_of(text)

    def test_dates(self) -> None:
        """They have an offset, or the zone that was asked for."""
        for text in ("2026-09-20T16:00:00Z", "2026-09-20T18:00:00+02:00", "2026-09-20 18:00:00"):
            self.assertEqual(self.into(text), 30, text)

    def test_bounds(self) -> None:
        """Times before the beginning and after the end are those."""
        for text, expected in (
            ("start", 0),
            ("end", NIGHT_S),
            ("99h", NIGHT_S),
            ("2020-01-01T00:00:00Z", 0),
            ("2030-01-01", NIGHT_S),
        ):
            self.assertEqual(self.into(text), expected, text)

    def test_other_texts(self) -> None:
        """The message says how a time is written."""
        for text in ("", "+", "24:00", "9:99", "soon", "-5m", "1h-", "٣m", "1" * MAX_LENGTH + "m", "2026-99-99"):
            with self.assertRaisesRegex(RecordingError, "is no time; write a time as 21:00"):
                self.into(text)

    @given(st.text(max_size=80))
    def test_any_text(self, text: str) -> None:
        """Any text is a time within the recording, or refused."""
        try:
            found = self.into(text)
        except RecordingError:
            return
        self.assertTrue(0 <= found <= NIGHT_S)

    def test_shown(self) -> None:
        """A time is shown with its offset."""
        self.assertEqual(clock_of(BEGAN, BERLIN), "2026-09-20 17:59:30+02:00")
        self.assertRegex(clock_of(BEGAN), r"^2026-09-20 1\d:\d\d:30[+-]\d\d:\d\d$|^2026-09-2")
