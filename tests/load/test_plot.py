"""The picture of a run."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.load.figures import Figures
from livefeed.load.fleet import Result
from livefeed.load.kinds import Kind
from livefeed.load.plot import MAX_MARKS, Axis, linear, logarithmic, plot
from tests.helpers.load_results import result_of, setup_of

SVG = "{http://www.w3.org/2000/svg}"
POSITIVE = st.floats(1e-6, 1e9)


class PlotTests(SynchronousTestCase):
    def test_plot(self) -> None:
        """It is an SVG with a curve of each figure of each kind, and the names of the kinds."""
        root = ET.fromstring(plot(setup_of(url="http://h/?a&b"), result_of()))
        texts = [each.text for each in root.iter(f"{SVG}text")]
        for text in ("http://h/?a&b", "poll", "ws", "100 watchers, closed loop, measured for 2.0 s"):
            self.assertIn(text, texts)
        paths = [each.get("class") for each in root.iter(f"{SVG}path")]
        # Two kinds: rates, two percentiles over time, percentiles, and a line of the legend.
        self.assertEqual(sorted(map(str, paths)), ["c0"] * 4 + ["c0 dashed"] + ["c1"] * 4 + ["c1 dashed"])
        self.assertEqual(len([each for each in root.iter(f"{SVG}rect") if each.get("class") == "arriving"]), 2)

    def test_places(self) -> None:
        """Everything is inside the picture."""
        text = plot(setup_of(rate=5000.0), result_of())
        self.assertIn("open loop of 5,000 requests/s", text)
        root = ET.fromstring(text)
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        for path in root.iter(f"{SVG}path"):
            for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path.attrib["d"]):
                self.assertTrue(0 <= float(x) <= width and 0 <= float(y) <= height, path.attrib["d"])

    def test_both_themes(self) -> None:
        """Each colour of a curve has one on dark ground, too."""
        light, dark = plot(setup_of(), result_of()).split("@media (prefers-color-scheme:dark)")
        for index, _ in enumerate(Kind):
            self.assertIn(f".c{index}{{stroke:", light)
            self.assertIn(f".c{index}{{stroke:", dark)

    def test_nothing_measured(self) -> None:
        """A run without a figure has axes."""
        root = ET.fromstring(plot(setup_of(), Result({Kind.POLL: Figures()})))
        self.assertEqual(len(list(root.iter(f"{SVG}path"))), 1)


class AxisTests(SynchronousTestCase):
    @given(st.lists(POSITIVE, min_size=1))
    def test_axes(self, values: list[float]) -> None:
        """All values are on the axis, in their order, and it has a few marks."""
        for axis in (linear(values), logarithmic(values)):
            parts = [axis.part(value) for value in sorted(values)]
            self.assertEqual(parts, sorted(parts))
            self.assertTrue(all(0 <= part <= 1 for part in parts))
            marks = [axis.part(mark) for mark in axis.marks()]
            self.assertEqual(marks, sorted(set(marks)))
        self.assertTrue(2 <= len(linear(values).marks()) <= MAX_MARKS + 1)

    def test_marks(self) -> None:
        """They are round numbers."""
        self.assertEqual(Axis(0, 42_000).marks(), [0, 10_000, 20_000, 30_000, 40_000])
        self.assertEqual(Axis(0, 4).marks(), [0, 1, 2, 3, 4])
        self.assertEqual(Axis(0.1, 100, is_logarithmic=True).marks(), [0.1, 1, 10, 100])
        self.assertEqual(logarithmic([]).marks(), [1, 10])
        self.assertEqual(linear([]).marks()[0], 0)
