"""The text of livefeed plan."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli.plan_text import COLUMNS, estimate_lines, rounded, span
from livefeed.planning.estimate import Demand, estimate
from livefeed.planning.model import Model
from livefeed.planning.ranges import Range
from tests.helpers.made_figures import figures

MODEL = Model.of(figures())


def lines(watchers: int) -> list[str]:
    """Gives the text for a number of watchers."""
    demand = Demand(watchers, 4000, 1, {"ws": 0.75, "poll": 0.25})
    return list(estimate_lines(MODEL, demand, estimate(MODEL, demand)))


class NumberTests(SynchronousTestCase):
    def test_rounded(self) -> None:
        """Two digits count."""
        for value, shown in (
            (0, "0"),
            (0.0004, "<0.001"),
            (0.0042, "0.004"),
            (0.163, "0.16"),
            (0.996, "1.0"),
            (7.44, "7.4"),
            (9.96, "10"),
            (36.4, "36"),
            (99.6, "100"),
            (344, "340"),
            (12_345, "12,000"),
        ):
            self.assertEqual(rounded(value), shown)

    def test_span(self) -> None:
        """Bounds that are shown as the same are one number."""
        self.assertEqual(span(Range(1, 2)), "1.0-2.0")
        self.assertEqual(span(Range(4004, 4040)), "4,000")


class TextTests(SynchronousTestCase):
    def test_figures(self) -> None:
        """Each has two bounds and a unit."""
        found = lines(10_000)
        self.assertEqual(found[0], "10,000 watchers of a document of 4,000 bytes, a new version every 1 s")
        self.assertEqual(found[2].split(), ["from", "to"])
        self.assertTrue(found[3].startswith("sent "))
        self.assertTrue(found[3].endswith("  Mbit/s"))
        self.assertIn("one process (--workers 0)", "\n".join(found))
        self.assertIn("10,256 open files for each process", "\n".join(found))

    def test_ways(self) -> None:
        """Each has a row."""
        rows = [line.split("  ")[0] for line in lines(10_000)]
        self.assertIn("WebSockets", rows)
        self.assertIn("polls of the document", rows)

    def test_workers(self) -> None:
        """They share the watchers."""
        text = "\n".join(lines(100_000))
        self.assertRegex(text, r"- \d+ processors, and --workers \d+\n")

    def test_assumptions(self) -> None:
        """Those of the figures are named, too."""
        text = " ".join(lines(10_000))
        self.assertIn("a change has 2.5 % of the document's bytes", text)
        self.assertIn("event streams with TLS were not measured", text)

    def test_eighty_columns(self) -> None:
        """No line is longer, whatever the numbers are."""
        for watchers in (1, 10_000, 10_000_000):
            self.assertLessEqual(max(map(len, lines(watchers))), COLUMNS)
