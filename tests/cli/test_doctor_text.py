"""The text of livefeed doctor."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli.doctor_text import COLUMNS, report_lines
from livefeed.doctor.examination import Section
from livefeed.doctor.finding import Finding, ok

LONG = "10,000 connections wait for each socket instead of 1,024, and all others are lost after a restart of it"


def lines(*findings: Finding, in_colour: bool = False) -> list[str]:
    """Gives the lines of a report with one section."""
    return list(report_lines(["livefeed 1"], [Section("Network", findings)], in_colour=in_colour))


class ReportTests(SynchronousTestCase):
    def test_ok(self) -> None:
        """One line for each finding, and the result at the end."""
        self.assertEqual(
            lines(ok("swap", "none")),
            ["livefeed 1", "", "Network", "  ok       swap             none", "", "Nothing limits livefeed here."],
        )

    def test_mending(self) -> None:
        """The command stands alone below the figure."""
        _, _, _, first, second, _, summary, *_ = lines(Finding("port", "problem", "443", "sysctl -w a.b=1"))
        self.assertEqual(first, "  problem  port             443")
        self.assertEqual(second, "           mend: sysctl -w a.b=1")
        self.assertEqual(summary, "1 problem.")

    def test_eighty_columns(self) -> None:
        """No line is longer, unless a word is."""
        found = lines(Finding("ephemeral ports", "warning", LONG, LONG), ok("certificate", LONG))
        self.assertLessEqual(max(map(len, found)), COLUMNS)
        self.assertEqual(" ".join(" ".join(found).split()).count(LONG), 3)
        self.assertIn("x" * 100, " ".join(lines(Finding("a", "note", "x" * 100, "y" * 100))))

    def test_summary(self) -> None:
        """The worst first, and the plural where it belongs."""
        found = lines(*(Finding("a", level, "b", "c") for level in ("note", "problem", "warning", "problem")))
        self.assertEqual(found[-1], "2 problems, 1 warning, 1 note.")

    def test_values_that_a_boot_loses(self) -> None:
        """The file that keeps them is named once."""
        found = lines(*[Finding("a", "warning", "b", "sysctl -w a.b=1")] * 2)
        self.assertEqual(sum("60-livefeed.conf" in line for line in found), 1)
        self.assertFalse(any("60-livefeed.conf" in line for line in lines(Finding("a", "note", "b", "c"))))

    def test_control_characters(self) -> None:
        """A terminal does not obey what a source says."""
        found = lines(Finding("source", "problem", "a\x1b[2J", "b\x07"))
        self.assertFalse([line for line in found if not line.isprintable()])

    def test_colours(self) -> None:
        """They do not change the columns."""
        painted = lines(Finding("a", "problem", "b", "c"), ok("swap", "none"), in_colour=True)
        self.assertIn("  \x1b[31mproblem\x1b[0m  a", painted[3])
        self.assertIn("\x1b[32mok\x1b[0m       swap", painted[5])

    def test_no_text(self) -> None:
        """A line is there all the same."""
        self.assertEqual(lines(ok("swap", ""))[3].rstrip(), "  ok       swap")
