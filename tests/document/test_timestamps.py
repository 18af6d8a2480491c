"""Points in time and durations as text."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.timestamps import length_of, parse_timestamp, timestamp


class TimesTests(SynchronousTestCase):
    def test_timestamp(self) -> None:
        """A timestamp is in UTC, with milliseconds."""
        self.assertEqual(timestamp(1_700_000_000.25), "2023-11-14T22:13:20.250Z")

    def test_parsed(self) -> None:
        """RFC 3339 with an offset is read, and nothing else: times without one differ from machine to machine."""
        for text in ("2023-11-14T22:13:20.25Z", "2023-11-14 23:13:20.250000+01:00", "2023-11-14t22:13:20.25z"):
            self.assertEqual(parse_timestamp(text), 1_700_000_000.25)
        for text in (
            "",
            "21:30",
            "2023-11-14",
            "2023-11-14T22:13:20",
            "2023-11-14T22:13Z",
            "2023-13-14T22:13:20Z",
            "2023-11-14T22:13:20+0100",
            "2023-W01-1T22:13:20Z",
            "1700000000",
            "2023-11-14T22:13:20Z\n",
            "0001-01-01T00:00:00+12:00",
            "9999-12-31T23:59:59-12:00",
        ):
            with self.assertRaises(ValueError, msg=text):
                parse_timestamp(text)

    def test_length(self) -> None:
        """There is no exponent, and at most one decimal place."""
        for seconds, text in ((8.0, "8"), (7.96, "8"), (0.24, "0.2"), (3600.0, "3600"), (12_345_678.5, "12345678.5")):
            self.assertEqual(length_of(seconds), text)
