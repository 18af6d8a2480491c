"""The watchers are divided among the processes without a rest."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.chaos.load import IDLE_EVERY_S, Demand

COUNTS = st.integers(0, 50)


class DemandTests(SynchronousTestCase):
    @given(COUNTS, COUNTS, COUNTS, COUNTS, st.integers(5, 60))
    def test_split(self, websockets: int, deltas: int, pollers: int, idle: int, most: int) -> None:
        """All parts together are the whole, and none is much larger than it may be."""
        demand = Demand(websockets, deltas, pollers, idle, rate=30.0, ignore_slots=True)
        parts = demand.split(most)
        for name in ("websockets", "deltas", "pollers", "idle", "total"):
            self.assertEqual(sum(getattr(part, name) for part in parts), getattr(demand, name))
        self.assertAlmostEqual(sum(part.rate for part in parts), 30.0)
        self.assertTrue(all(part.ignore_slots for part in parts))
        self.assertFalse([part for part in parts if part.websockets + part.deltas and part.pollers + part.idle])
        self.assertLessEqual(max(part.total for part in parts), most + 3)  # each kind may have one more

    def test_intervals(self) -> None:
        """They are in the order in which the program numbers its watchers."""
        self.assertEqual(Demand(2, 1, 2, 1).every_s(), [0.0, 0.0, 0.0, 1.0, 1.0, IDLE_EVERY_S])
        self.assertEqual(Demand(2, 1, 2, 1).options()[:4], ["-websockets=2", "-deltas=1", "-pollers=2", "-idle=1"])
