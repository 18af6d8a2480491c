"""The figures as one value."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from livefeed.load.clock import Offset
from livefeed.load.histogram import Histogram
from livefeed.load.kinds import Kind
from livefeed.load.summary import LATE_NS, durations_of, is_limit, summary_of
from tests.helpers.load_results import result_of, setup_of


class SummaryTests(SynchronousTestCase):
    def test_summary(self) -> None:
        """All figures are there, and JSON."""
        summary = summary_of(setup_of(), result_of(), ["too slow"], is_interrupted=True)
        self.assertEqual(json.loads(json.dumps(summary)), summary)
        self.assertEqual((summary["rate"], summary["errors"], summary["loop"]), (600.0, 0, "closed"))
        self.assertEqual((summary["missed"], summary["interrupted"], summary["clock"]), (["too slow"], True, None))
        polls, sockets = summary["kinds"]["poll"], summary["kinds"]["ws"]
        self.assertEqual((polls["answers"], polls["answers_per_s"], polls["statuses"]), (1000, 500.0, {"200": 1000}))
        self.assertEqual((polls["latency_ms"]["count"], polls["latency_ms"]["max"]), (1000, 10.0))
        self.assertAlmostEqual(polls["latency_ms"]["p50"], 5, places=1)
        self.assertEqual((sockets["latency_ms"], sockets["delay_ms"]["max"]), (None, 20.0))
        self.assertEqual(len(summary["course"]), 3)

    def test_clock(self) -> None:
        """The difference of the clocks is told with its error."""
        summary = summary_of(
            setup_of(offset=Offset(1_000_000, 3_000_000), rate=5.0), result_of(), [], is_interrupted=False
        )
        self.assertEqual(summary["clock"], {"offset_ms": 2.0, "error_ms": 1.0})
        self.assertEqual((summary["loop"], summary["wanted_rate"]), ("open", 5.0))

    def test_nothing_measured(self) -> None:
        """A run that was ended while watchers arrived has no rate."""
        result = result_of()
        result.measured_s = 0.0
        self.assertEqual(summary_of(setup_of(), result, [], is_interrupted=True)["rate"], 0)
        self.assertIsNone(durations_of(Histogram()))

    def test_limits_of_the_load(self) -> None:
        """A busy process is one, and a late request of an open loop."""
        result = result_of()
        self.assertFalse(is_limit(setup_of(), result))
        result.late_ns = LATE_NS + 1
        self.assertFalse(is_limit(setup_of(), result))
        self.assertTrue(is_limit(setup_of(rate=5.0), result))
        result.busy = 0.95
        self.assertTrue(is_limit(setup_of(), result))
        self.assertEqual({*result.figures}, {Kind.POLL, Kind.WS})
