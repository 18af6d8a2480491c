"""The text about embargoes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from livefeed.cli.embargo_text import done_lines, embargo_lines, embargo_text, set_aside_lines
from livefeed.cli.tables import Painter
from tests.helpers.embargo_reports import embargo, release
from tests.helpers.zones import ZoneTestCase

NOW = datetime(2026, 11, 30, 20, 4, 19, tzinfo=UTC)
PLAIN = Painter(in_colour=False)
UNTIL = "2026-11-30 21:30:00 CET (UTC+01:00), in 25 min 41 s (embargo 0a1b2c3d)"
CHOICE = "livefeed ctl embargo cancel ID --instance x, or livefeed ctl embargo publish ID --instance x (now)"


class SetAsideTests(ZoneTestCase):
    """The lines after something was set aside."""

    def test_document(self) -> None:
        """When it is published, that nothing is visible before, and how it is cancelled."""
        self.assertEqual(
            set_aside_lines(embargo(), PLAIN, NOW, " --instance x"),
            [
                f"results: version 9a8b77665544 is set aside until {UNTIL}. Nothing of it is visible before.",
                "Cancel: livefeed ctl embargo cancel 0a1b2c3d --instance x",
            ],
        )
        self.assertIn("Cancel, on the machine of livefeed:", set_aside_lines(embargo(), PLAIN, NOW, is_far=True)[1])

    def test_eighty_columns(self) -> None:
        """On a narrow terminal, sentences end at words, and the command to copy stays whole."""
        painter = Painter(in_colour=True, columns=80)
        first, *others, command = set_aside_lines(embargo(if_match=["9a8b"]), painter, NOW, " --runtime-dir /a" * 5)
        self.assertTrue(first.startswith("\x1b[1mresults\x1b[0m: version 9a8b77665544 is set aside until"))
        self.assertLessEqual(max(map(len, others)), 80)
        self.assertIn("--runtime-dir /a", command)
        self.assertGreater(len(command), 80)

    def test_release(self) -> None:
        """It says what watchers are shown then."""
        first, *_ = set_aside_lines(release(), PLAIN, NOW)
        self.assertIn("the hold goes on until 2026-11-30 21:30:00 CET", first)
        self.assertTrue(first.endswith("Then watchers are shown what waits."))

    def test_conditions(self) -> None:
        """They are evaluated at that time."""
        for report, text in (
            (embargo(if_match=["9a8b77665544332211"]), "only if version 9a8b77665544 is stored then"),
            (embargo(if_match=["*"]), "only if any document is stored then"),
            (embargo(if_match=[]), "only if version (none) is stored then"),
            (embargo(if_none_match=["*"]), "only if no document is stored then"),
            (embargo(if_match=["aa", "bb"], if_none_match=["cc"]), "aa or bb is stored and version cc is not stored"),
            (release(if_match=["aa"]), "only if no rule holds back another version than version aa then"),
        ):
            self.assertIn(text, set_aside_lines(report, PLAIN, NOW)[1])

    def test_clocks(self) -> None:
        """A warning if the clock that counts differs from the one that the operator sees."""
        for in_s, text in (
            (1541.0 - 60, "Warning: the clock of livefeed is 1 min 0 s ahead of the one here, and it counts"),
            (1541.0 + 60, "Warning: the clock of livefeed is 1 min 0 s behind the one here, and it counts"),
        ):
            self.assertEqual(set_aside_lines(embargo(in_s=in_s), PLAIN, NOW)[1], text)
        for report in (embargo(at="x"), embargo(at="2026-11-30T20:30:00"), embargo(in_s=None)):
            self.assertEqual(len(set_aside_lines(report, PLAIN, NOW)), 2)

    def test_warning(self) -> None:
        """That of livefeed."""
        self.assertIn("Warning: careful", set_aside_lines(release(warning="careful"), PLAIN, NOW))


class ListTests(ZoneTestCase):
    """The list."""

    def test_list(self) -> None:
        """The next one first, and those that have failed with the reason."""
        entries = [
            embargo(reason="agreed"),
            release(id="11111111", if_match=["9a8b77665544332211"]),
            embargo(id="2c3d4e5f", failed="another one is stored", in_s=0.0),
            embargo(id="3c3d4e5f", kind="odd"),
        ]
        self.assertEqual(
            embargo_lines(entries, PLAIN, NOW, " --instance x"),
            [
                "ID        FEED     WHAT                   BYTES  AT                     IN  BY",
                "0a1b2c3d  results  document 9a8b77665544  4,210  21:30:00 CET  25 min 41 s  anna",
                "  agreed",
                "11111111  results  end of the hold               21:30:00 CET  25 min 41 s  anna",
                "  only if no rule holds back another version than version 9a8b77665544",
                "2c3d4e5f  results  document 9a8b77665544  4,210  21:30:00 CET       FAILED  anna",
                "  NOT carried out: another one is stored",
                "3c3d4e5f  results  odd                           21:30:00 CET  25 min 41 s  anna",
                "",
                f"POSSIBLE NOW  {CHOICE}",
            ],
        )
        self.assertEqual(embargo_lines([], PLAIN, NOW), ["nothing waits for its time"])

    def test_eighty_columns(self) -> None:
        """With a date, a narrow terminal has the columns that matter, and sentences end at words."""
        entries = [embargo(at="2026-12-01T20:30:00Z", in_s=88_000.0, reason="agreed with the desk " * 8)]
        lines = embargo_lines(entries, Painter(in_colour=False, columns=80), NOW, " --instance x")
        for line in lines:
            self.assertLessEqual(len(line), 80)
        self.assertEqual(
            lines[:2],
            [
                "ID        FEED     WHAT                   AT                              IN",
                "0a1b2c3d  results  document 9a8b77665544  2026-12-01 21:30:00 CET  1 day 0 h",
            ],
        )

    def test_one_line(self) -> None:
        """In the report of a feed."""
        self.assertEqual(
            embargo_text(release(), NOW), "0a1b2c3d: end of the hold, at 21:30:00 CET (in 25 min 41 s), by anna"
        )
        self.assertIn("has FAILED: no", embargo_text(embargo(failed="no"), NOW))


class DoneTests(ZoneTestCase):
    """The line after a command."""

    def text(self, **more: Any) -> str:
        [line] = done_lines(embargo(**more), PLAIN)
        return line

    def test_done(self) -> None:
        """It says what has happened, or will not."""
        self.assertIn("is cancelled. It will not happen.", self.text(action="cancel"))
        self.assertIn("has ended: its document is stored.", self.text(action="publish"))
        self.assertIn("has ended: the hold has ended.", self.text(action="publish", kind="release"))
