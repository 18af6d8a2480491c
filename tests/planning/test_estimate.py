"""From a demand to ranges of figures."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.planning.estimate import Demand, estimate
from livefeed.planning.figures import Figures
from livefeed.planning.model import Model
from tests.helpers.made_figures import figures

MODEL = Model.of(figures())
DEMAND = Demand(watchers=10_000, document_bytes=4000, interval_s=1, mix={"ws": 1.0})


class EstimateTests(SynchronousTestCase):
    def test_bytes(self) -> None:
        """A message has a record of TLS, and a head for each packet."""
        (part,) = estimate(MODEL, DEMAND).parts
        self.assertAlmostEqual(part.message_bytes.low, 4004)
        self.assertAlmostEqual(part.mbit_s.low, (4004 + 22 + 3 * 40) * 10_000 * 8 / 1e6)
        self.assertAlmostEqual(part.mbit_s.high, (4004 + 22 + 3 * 66) * 10_000 * 8 / 1e6)

    def test_night(self) -> None:
        """Gigabytes are those of the whole night."""
        found = estimate(MODEL, replace(DEMAND, hours=10))
        self.assertAlmostEqual(found.gigabytes.low, found.mbit_s.low * 36_000 / 8000)

    def test_processors(self) -> None:
        """The measured time is the lower bound; the work for a version is in it once."""
        found = estimate(MODEL, DEMAND)
        (part,) = found.parts
        self.assertAlmostEqual(part.cores.low, 0.16)
        self.assertAlmostEqual(part.cores.high, 0.44)
        self.assertAlmostEqual(found.cores.low, 0.16 + 0.00042)
        self.assertEqual(found.processes, 1)
        self.assertEqual(estimate(MODEL, replace(DEMAND, watchers=100_000)).processes, 8)

    def test_interval(self) -> None:
        """Half as many versions cost half as much."""
        once, seldom = (estimate(MODEL, replace(DEMAND, interval_s=each)) for each in (1, 2))
        self.assertAlmostEqual(once.cores.high, seldom.cores.high * 2)
        self.assertAlmostEqual(once.mbit_s.high, seldom.mbit_s.high * 2)
        self.assertEqual(once.memory_bytes, seldom.memory_bytes)

    def test_mix(self) -> None:
        """Each way has its part; ways without watchers have none."""
        found = estimate(MODEL, replace(DEMAND, mix={"ws": 0.5, "poll": 0.5, "sse": 0.0}))
        self.assertEqual([(each.way, each.watchers) for each in found.parts], [("ws", 5000), ("poll", 5000)])
        self.assertAlmostEqual(found.mbit_s.low, sum(each.mbit_s.low for each in found.parts))
        self.assertRaises(KeyError, estimate, MODEL, replace(DEMAND, mix={"none": 1.0}))

    def test_changes(self) -> None:
        """Only the ways of changes depend on their size."""
        for name, is_less in (("ws", False), ("ws-v2", True)):
            more, less = (estimate(MODEL, replace(DEMAND, mix={name: 1.0}, change=each)) for each in (0.5, 0.01))
            self.assertEqual(less.mbit_s.low < more.mbit_s.low, is_less)

    def test_memory(self) -> None:
        """The kernel's part is in it, and the upper bound is the one of livefeed's own limit."""
        found = estimate(MODEL, DEMAND).memory_bytes
        self.assertAlmostEqual(found.low, 45e6 + 3 * 4000 + 10_000 * (25_000 + 6144))
        self.assertAlmostEqual(found.high, 70e6 + 20 * 4000 + 10_000 * 49_152)

    def test_workers_have_a_parent(self) -> None:
        """Its memory counts."""
        found = estimate(MODEL, replace(DEMAND, watchers=100_000))
        self.assertAlmostEqual(found.memory_bytes.high, 9 * (70e6 + 20 * 4000) + 100_000 * 49_152)

    def test_crowd(self) -> None:
        """All processes take connections, each with a part of a core."""
        self.assertAlmostEqual(estimate(MODEL, DEMAND).crowd_s.low, 10_000 * 350e-6 / 0.6)
        self.assertAlmostEqual(estimate(MODEL, replace(DEMAND, watchers=100_000)).crowd_s.high, 100_000 * 700e-6 / 4.8)

    @given(
        st.integers(1, 1_000_000),
        st.integers(1, 100_000_000),
        st.floats(0.05, 3600),
        st.floats(0, 1),
        st.sampled_from(sorted(Model.of(Figures.read()).ways)),
    )
    def test_bounds(self, watchers: int, size: int, interval_s: float, change: float, way: str) -> None:
        """The lower one is never above the other, with the real figures."""
        found = estimate(Model.of(Figures.read()), Demand(watchers, size, interval_s, {way: 1.0}, change))
        for name in ("mbit_s", "gigabytes", "cores", "memory_bytes", "crowd_s"):
            bounds = getattr(found, name)
            self.assertTrue(0 < bounds.low <= bounds.high, (name, bounds))
