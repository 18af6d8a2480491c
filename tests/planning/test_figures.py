"""The measured figures."""

from __future__ import annotations

import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from livefeed.planning.figures import FILES, Figures, MissingFiguresError
from livefeed.planning.ranges import Range
from tests.helpers.made_figures import figures


class FigureTests(SynchronousTestCase):
    def test_pushes(self) -> None:
        """Rows of a crowd make the first point, and larger documents the others, in their order."""
        first, *others = figures().pushes().points
        self.assertEqual((first.size, first.cost), (4195, Range(16, 22)))
        self.assertEqual([(each.size, each.cost.low) for each in others], [(20_000, 30), (100_000, 90)])

    def test_polls(self) -> None:
        """All rows of browsers' heads count."""
        first, last = figures().polls().points
        self.assertEqual((first.cost, last.size, last.cost), (Range(22, 40), 1_000_000, Range(400, 400)))

    def test_rows_that_may_be_missing(self) -> None:
        """Nothing takes their place here."""
        self.assertEqual((figures().streams(), figures().splices()), (None, None))
        title = "WebSocket, 10,000 subscribers of the election night"
        more = {
            "Event streams, 5,000 with TLS": {"livefeed": {"cpu_us": 25}},
            "Event streams, 5,000 without TLS": {"livefeed": {"cpu_us": 9}},
            title: {"livefeed": {"cpu_us": 35}, "livefeed, by v2": {"cpu_us": 27}},
        }
        self.assertEqual(figures(**more).streams(), Range(25, 25))
        self.assertEqual(figures(**more).splices(), Range(27, 27))

    def test_connections(self) -> None:
        """Resumed ones are the lower bound, and full handshakes the upper one."""
        more = {"HTTPS, full handshake and one request": {"livefeed": {"cpu_us": 700}}}
        self.assertEqual(figures(**more).connections(), Range(350, 700))

    def test_memory(self) -> None:
        """The most that was measured counts."""
        self.assertEqual(figures().memory(), {"push": 25_000, "poll": 23_500, "wait": 22_000})
        self.assertEqual(figures().long_polls(), Range(57, 57))

    def test_missing_rows(self) -> None:
        """The error says which."""
        error = self.assertRaises(MissingFiguresError, figures(**{"HTTPS, 5,000 long polls": None}).long_polls)
        self.assertEqual(str(error), "benchmarks.json: long polls were not measured")
        zero = figures(**{"HTTPS, resumed handshake and one request": {"livefeed": {"cpu_us": 0}}})
        self.assertRaises(MissingFiguresError, zero.connections)

    def test_files(self) -> None:
        """A file that is missing, or is something else, is named."""
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "a.json"
            error = self.assertRaises(MissingFiguresError, Figures.read, (file,))
            self.assertIn(f"{file}: there is no such file", str(error))
            file.write_text('{"rows": 5}')
            self.assertIn(f"{file}: Expected", str(self.assertRaises(MissingFiguresError, Figures.read, (file,))))

    def test_real_figures(self) -> None:
        """The file of this repository has everything that is needed."""
        found = Figures.read()
        self.assertTrue(any(file.exists() for file in FILES))
        for figure in (found.pushes().points[0].cost, found.polls().points[0].cost, found.long_polls()):
            self.assertTrue(1 < figure.low <= figure.high < 1000, figure)
        self.assertTrue(all(10_000 < each < 60_000 for each in found.memory().values()))
