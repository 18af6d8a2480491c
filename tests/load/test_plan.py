"""The division of a run among processes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.load.kinds import POLLERS, Kind
from livefeed.load.plan import divided
from tests.helpers.load_targets import plan_for

WATCHERS = st.dictionaries(st.sampled_from(list(Kind)), st.integers(1, 100), min_size=1)


class PlanTests(SynchronousTestCase):
    @given(WATCHERS, st.integers(1, 9), st.integers(0, 1000), st.floats(1, 1e6))
    def test_divided(self, watchers: dict[Kind, int], processes: int, requests: int, rate: float) -> None:
        """Nothing is lost, each process has as many watchers as the others, and a rate that fits its pollers."""
        whole = plan_for(1, watchers, requests=requests, rate=rate)
        processes = min(processes, whole.connections)
        plans = divided(whole, processes)
        self.assertEqual(len(plans), processes)
        for kind, number in watchers.items():
            self.assertEqual(sum(plan.watchers.get(kind, 0) for plan in plans), number)
        sizes = {plan.connections for plan in plans}
        self.assertLessEqual(max(sizes) - min(sizes), 1)
        self.assertEqual(sum(plan.requests or 0 for plan in plans), requests)
        if POLLERS & {*watchers}:
            self.assertAlmostEqual(sum(plan.rate or 0 for plan in plans) / rate, 1)

    def test_without_numbers(self) -> None:
        """A run by its time in a closed loop is so in each process; a run of others than pollers has no rate."""
        for plan in divided(plan_for(1, {Kind.WS: 2}, requests=None, duration_s=3.0, rate=5.0), 2):
            self.assertEqual((plan.requests, plan.rate, plan.duration_s), (None, None, 3.0))

    def test_sources(self) -> None:
        """The processes begin with different addresses."""
        plans = divided(plan_for(1, {Kind.WS: 4}, sources=["a", "b", "c", "d"]), 2)
        self.assertEqual([plan.sources for plan in plans], [["a", "b", "c", "d"], ["c", "d", "a", "b"]])

    def test_secrets(self) -> None:
        """The fields, of which one may be a token, are not in the text of a plan."""
        self.assertNotIn("secret", repr(plan_for(1, fields={"Authorization": "Bearer secret"})))
