"""Points in time and durations as text."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.timestamps import length_of, timestamp


class TimesTests(SynchronousTestCase):
    def test_timestamp(self) -> None:
        """A timestamp is in UTC, with milliseconds."""
        self.assertEqual(timestamp(1_700_000_000.25), "2023-11-14T22:13:20.250Z")

    def test_length(self) -> None:
        """There is no exponent, and at most one decimal place."""
        for seconds, text in ((8.0, "8"), (7.96, "8"), (0.24, "0.2"), (3600.0, "3600"), (12_345_678.5, "12345678.5")):
            self.assertEqual(length_of(seconds), text)
