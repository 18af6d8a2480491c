"""Output, and what a page shows of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.docs.comparing import difference

LINES = st.lists(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp"))), max_size=5)


class DifferenceTests(SynchronousTestCase):
    @given(LINES)
    def test_same_text(self, lines: list[str]) -> None:
        """A text is what it shows, whatever characters it has."""
        text = "\n".join(lines)
        self.assertEqual(difference(text, f"{text}\n\n"), "")

    def test_values_that_vary(self) -> None:
        """Times, durations, sequences, processes and embargoes match others of their form, and nothing else."""
        pairs = {
            "held of 21:04:07 CET (12.0 s old)": "held of 08:00:00 CET (3 s old)",
            "until 2026-11-30 21:30:00 CET (UTC+01:00), in 25 min 41 s (embargo 426d5d07)": "until 2027-01-01 00:30:00 "
            "CET (UTC-05:00), in 2 h (embargo 00000000)",
            '"at":"2025-11-29T15:36:19.250Z"': '"at":"2026-01-01T00:00:00Z"',
            "shown as 1764464400000.7": "shown as 1790000000000.12",
            "process 1520, up 3 h 12 min": "process 7, up 3 s",
            "in 54 days 3 h": "in 1 day",
            "on 2026-11-30": "on 2027-12-31",
            "a    b": "a  b",
        }
        for shown, actual in pairs.items():
            self.assertEqual(difference(shown, actual), "")
        for shown, actual in {"12.0 s old": "new", "3 seconds": "4 seconds", "port 80": "port 81", "ab": "a b"}.items():
            self.assertNotEqual(difference(shown, actual), "")

    def test_numbers(self) -> None:
        """Where numbers may vary, each matches every other, but no word."""
        shown = "results  live  10,234  9,800  0.5"
        self.assertEqual(difference(shown, "results live 1 0 12", numbers=True), "")
        self.assertNotEqual(difference(shown, "results live 1 0 12"), "")
        self.assertNotEqual(difference(shown, "results held 1 0 12", numbers=True), "")
        self.assertNotEqual(difference(shown, "results live 1 - 12", numbers=True), "")

    def test_dots(self) -> None:
        """Three dots stand for any text in a line; a line of them stands for any lines, also for none."""
        self.assertEqual(difference('{"a": ...}', '{"a": [1, 2]}'), "")
        self.assertNotEqual(difference('{"a": ...}', '{"b": [1, 2]}'), "")
        for actual in ("a\nb", "a\nx\ny\nb"):
            self.assertEqual(difference("a\n...\nb", actual), "")
        self.assertNotEqual(difference("a\n...\nb", "a\nx\n"), "")

    def test_report(self) -> None:
        """The difference has the lines that differ, with those that match as they are in the output."""
        report = difference("at 10:00:00\ngood\nend", "at 11:11:11\nbad\nend")
        self.assertEqual(
            report.splitlines(),
            ["--- the page shows", "+++ the output is", "@@ -1,3 +1,3 @@", " at 11:11:11", "-good", "+bad", " end"],
        )
        self.assertIn("+b", difference("a\nb", "b\na"))
