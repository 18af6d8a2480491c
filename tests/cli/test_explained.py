"""The meanings of alarms, states, metrics, close codes and log lines."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli import explained
from livefeed.cli.explained import Entry, entries, found_in


class ExplainedTests(SynchronousTestCase):
    """entries, and found_in."""

    def names(self, name: str) -> list[str]:
        return [each.name for each in found_in(entries(), name)]

    def test_names(self) -> None:
        """Capitals do not count, nor the labels of a metric; what all of a kind begin with need not be there."""
        for name, found in (
            ("stale", "stale"),
            ("HELD", "held"),
            ("LivefeedIsDown", "LivefeedIsDown"),
            ("isdown", "LivefeedIsDown"),
            ("livefeed_age_seconds", "livefeed_age_seconds"),
            ('livefeed_state{feed="a",state="live"}', "livefeed_state"),
            ("age_seconds", "livefeed_age_seconds"),
            ("1008", "1008"),
        ):
            self.assertEqual(self.names(name), [found], name)
        self.assertEqual(self.names("nothing"), [])
        self.assertEqual(self.names("9" * 5000), [])

    def test_ranges(self) -> None:
        """Close codes of a range have its meaning, and ranges of different clients theirs."""
        self.assertEqual(self.names("3400"), ["3000 to 3499", "3000 to 3499", "3300 to 3499"])
        self.assertEqual(self.names("3999"), ["3500 to 3999"])

    def test_log_lines(self) -> None:
        """A line of the log, with its time and with values in the place of fields; the closest format counts."""
        line = '2026-11-30T16:40:14 [livefeed.intake.puller#warn] feed "a" is expired: its document was last confirmed'
        self.assertEqual(
            self.names(f"{line} 70 s ago, and is not shown any more"),
            ['feed "{feed}" is expired: its document was last confirmed {age:.0f} s ago, and is not shown any more'],
        )

    def test_any_text(self) -> None:
        """It is no line of the log, and a shortened line is not taken for another one."""
        for text in ("the document is empty", "foo bar", 'feed "a" is still stale: the document is empty'):
            self.assertEqual(self.names(text), [], text)

    def test_text(self) -> None:
        """The name with its kind, sentences, and the page."""
        entry = Entry("alarm", "LivefeedA", ("One.", "Two."), "docs/index.md#b")
        self.assertEqual(entry.as_text(), "LivefeedA: alarm\nOne.\nTwo.\nSee docs/index.md#b\n")

    def test_missing_file(self) -> None:
        """Problems and settings are explained without it."""
        self.patch(explained, "FILES", (Path("/nowhere/explained.json"),))
        self.assertEqual(entries(), ())
