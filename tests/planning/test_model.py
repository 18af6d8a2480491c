"""The cost of each way to follow a feed."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.planning.figures import Figures
from livefeed.planning.model import CHANGE, CODED_SPREAD, Model
from livefeed.planning.ranges import Range
from tests.helpers.made_figures import figures


class ModelTests(SynchronousTestCase):
    def test_ways(self) -> None:
        """Those whose bytes were measured are there."""
        names = "poll poll-gzip long-poll sse sse-v2 ws ws-v2 ws-v2-deflated"
        self.assertEqual(" ".join(Model.of(figures()).ways), names)

    def test_whole_documents(self) -> None:
        """The head is all that is not the document."""
        ways = Model.of(figures()).ways
        self.assertEqual((ways["poll"].head_bytes, ways["poll"].part), (1000, Range(1, 1)))
        self.assertAlmostEqual(ways["ws"].head_bytes, 4)
        self.assertEqual(
            (ways["ws"].memory_bytes, ways["poll"].memory_bytes, ways["long-poll"].memory_bytes),
            (25_000, 23_500, 22_000),
        )

    def test_compressed_documents(self) -> None:
        """Other documents compress better or worse than the measured one."""
        way = Model.of(figures()).ways["poll-gzip"]
        self.assertEqual(way.head_bytes, 1000)
        self.assertEqual(way.part, Range(0.25 * CODED_SPREAD.low, 0.25 * CODED_SPREAD.high))

    def test_changes(self) -> None:
        """The measured message is met with the measured change, plain and deflated."""
        ways = Model.of(figures()).ways
        for name, sent in (("ws-v2", 340), ("ws-v2-deflated", 230), ("sse-v2", 400)):
            way = ways[name]
            self.assertAlmostEqual(way.head_bytes + way.part.low * CHANGE * 4000, sent, msg=name)

    def test_costs(self) -> None:
        """Those that were not measured are those of pushes, and that is said."""
        model = Model.of(figures())
        self.assertEqual(model.ways["sse"].cost_us, model.ways["ws"].cost_us)
        self.assertEqual(model.ways["ws-v2"].cost_us, model.ways["ws"].cost_us)
        self.assertEqual(model.ways["long-poll"].cost_us.at(0), Range(57, 57))
        # Larger answers cost as much more as larger pushes.
        self.assertEqual(model.ways["long-poll"].cost_us.at(20_000), Range(57 + 8, 57 + 14))
        self.assertEqual(len(model.estimated), 2)

    def test_costs_that_were_measured(self) -> None:
        """They count, and nothing is to be said."""
        more = {
            "Event streams, 5,000 with TLS": {"livefeed": {"cpu_us": 25}},
            "WebSocket, 10,000 subscribers of the election night": {"livefeed, by v2": {"cpu_us": 27}},
        }
        model = Model.of(figures(**more))
        self.assertEqual(model.ways["sse-v2"].cost_us.at(0), Range(25, 25))
        self.assertEqual(model.ways["ws-v2"].cost_us.at(0), Range(27, 27))
        self.assertEqual(model.estimated, ())

    def test_no_larger_documents(self) -> None:
        """The growth is an estimate then."""
        more = dict.fromkeys(("WebSocket, 100 KB pushed to 500", "WebSocket, 20 KB pushed to 1,000"))
        self.assertIn("larger documents than 4 KB were not measured", Model.of(figures(**more)).estimated[0])

    def test_real_figures(self) -> None:
        """The bounds of all ways are in order, for small and large documents."""
        for way in Model.of(Figures.read()).ways.values():
            for size in (500, 20_000, 1_000_000):
                found = way.cost_us.at(size)
                self.assertTrue(0 < found.low <= found.high, (way.name, found))
            self.assertTrue(0 <= way.head_bytes < 1500, way.name)
