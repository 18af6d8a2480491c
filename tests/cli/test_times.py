"""Durations and points in time on the command line."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli.times import MAX_DURATION_S, clock, here, moment, parse_duration, parse_time
from livefeed.exceptions import CommandError
from tests.helpers.zones import ZoneTestCase


class DurationTests(SynchronousTestCase):
    """Durations."""

    def test_units(self) -> None:
        """Days, hours, minutes and seconds, alone or together in this order."""
        for text, seconds in (
            ("90s", 90),
            ("10m", 600),
            ("2h", 7200),
            ("1h30m", 5400),
            ("1d", 86_400),
            ("7d", 604_800),
        ):
            self.assertEqual(parse_duration(text), seconds, text)

    def test_wrong(self) -> None:
        """A number without a unit is not guessed at. Nothing is released for no time, or for ever."""
        for text in ("", "10", "m", "10 m", "1m1h", "-1m", "1.5h", "\u0661m", "10M", "x" * 1000):
            with self.assertRaisesRegex(CommandError, "is no duration: write 90s", msg=text):
                parse_duration(text)
        for text in ("0s", "0h0m", "8d", "9999999d"):
            with self.assertRaisesRegex(CommandError, "at least a second, and 7 days"):
                parse_duration(text)

    @given(st.integers(1, int(MAX_DURATION_S)))
    def test_round_trip(self, seconds: int) -> None:
        """Each whole number of seconds can be written."""
        self.assertEqual(parse_duration(f"{seconds}s"), seconds)


class TimeTestCase(ZoneTestCase):
    """An evening in Rome."""

    def setUp(self) -> None:
        super().setUp()
        self.now = datetime(2026, 11, 30, 20, 0, 0, tzinfo=UTC).astimezone()  # 21:00 in Rome

    def refusal(self, text: str, now: datetime | None = None) -> str:
        with self.assertRaises(CommandError) as caught:
            parse_time(text, now or self.now)
        return str(caught.exception)


class TimeTests(TimeTestCase):
    """Points in time."""

    def test_time_of_day(self) -> None:
        """It is the next one in the local time zone. If it is over today, that is said."""
        chosen = parse_time("21:30", self.now)
        self.assertEqual((chosen.rfc3339, chosen.note), ("2026-11-30T20:30:00.000Z", ""))
        self.assertEqual(parse_time("21:00:01", self.now).rfc3339, "2026-11-30T20:00:01.000Z")
        for text in ("21:00", "9:05"):
            chosen = parse_time(text, self.now)
            self.assertEqual(chosen.note, f"Note: {text} is over today, so this is TOMORROW, Tuesday 2026-12-01.", text)
            self.assertEqual(chosen.at.day, 1)

    def test_from_now_on(self) -> None:
        """A duration with a plus."""
        self.assertEqual(parse_time("+90m", self.now).rfc3339, "2026-11-30T21:30:00.000Z")
        self.assertIn("is no duration", self.refusal("+"))

    def test_date(self) -> None:
        """With an offset it is the same moment everywhere. Without one it is local."""
        for text in (
            "2026-11-30T21:30:00+01:00",
            "2026-11-30T20:30:00Z",
            "2026-11-30t20:30:00.000z",
            "2026-11-30 21:30",
            "2026-12-01T01:30:00+05:00",
        ):
            self.assertEqual(parse_time(text, self.now).rfc3339, "2026-11-30T20:30:00.000Z", text)

    def test_wrong(self) -> None:
        """No time, no such time, a time that has passed, and a year that is a typing error."""
        for text in ("", "now", "24:00", "21:60", "21.30", "9 pm", "2026-11-30", "21:30+01:00", "x\x1b[2J"):
            self.assertIn("is no time: a time is 21:30", self.refusal(text))
        self.assertNotIn("\x1b", self.refusal("\x1b[2J"))
        self.assertIn("there is no such time", self.refusal("2026-02-30T10:00:00Z"))
        self.assertIn("there is no such time", self.refusal("0001-01-01T00:00:00+10:00"))
        why = self.refusal("2026-11-30T19:00:00Z")
        self.assertIn("was 1 h 0 min ago: it is 2026-11-30 21:00:00 CET (UTC+01:00) now", why)
        self.assertIn("is the year right?", self.refusal("2036-11-30T20:30:00Z"))

    def test_clocks_are_set(self) -> None:
        """A time that comes twice, or not at all, is not guessed at."""
        now = datetime(2026, 10, 24, 20, 0, tzinfo=UTC).astimezone()
        why = self.refusal("02:30", now)
        self.assertIn("write 2026-10-25T02:30:00+02:00 or 2026-10-25T02:30:00+01:00", why)
        self.assertEqual(parse_time("2026-10-25T02:30:00+01:00", now).rfc3339, "2026-10-25T01:30:00.000Z")
        why = self.refusal("2027-03-28 02:30")
        self.assertIn("there is no such time on 2027-03-28", why)


class TextTests(TimeTestCase):
    """The words."""

    def test_moment(self) -> None:
        """The time zone is said aloud."""
        self.assertEqual(moment(self.now.astimezone(UTC)), "2026-11-30 21:00:00 CET (UTC+01:00)")
        os.environ["TZ"] = "UTC0"
        time.tzset()
        self.assertEqual(moment(self.now), "2026-11-30 20:00:00 UTC")

    def test_clock(self) -> None:
        """Times of reports are shown in the local time zone, with their date if that is another one."""
        self.assertEqual(clock("2026-11-30T19:59:58.123Z", self.now), "20:59:58 CET")
        self.assertEqual(clock("2026-07-01T19:00:00Z", self.now), "2026-07-01 21:00:00 CEST")
        self.assertEqual(clock("\x1b", self.now), "\\x1b")
        self.assertEqual(clock(None, self.now), "None")

    def test_here(self) -> None:
        """The present time has the local offset."""
        self.assertIsNotNone(here().utcoffset())
