"""The accounts: figures by process, and places that are granted once all workers have said theirs."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.workers.accounts import Accounts
from livefeed.workers.messages import Heartbeat
from tests.helpers.parents import BEAT, FakeFigures, ParentTestCase


class AccountsTests(ParentTestCase):
    def test_leases(self) -> None:
        """The places of a limited feed are divided among the workers, and follow their subscribers."""
        self.limits = {"feed": 10}
        one, other = self.bring_up()
        for _ in range(2):
            for link in (one, other):
                link.receive("heartbeat", BEAT | {"watchers": {}})
        leases = [[each.facts for each in link.sent if each.type == "lease"][-1] for link in (one, other)]
        self.assertEqual(leases, [{"feed": "feed", "places": 5}] * 2)
        self.processes.end(self.pid_of(0))
        other.receive("heartbeat", BEAT | {"watchers": {"feed": {"websocket": 3, "events": 2}}})
        self.assertEqual(other.sent[-1].facts, {"feed": "feed", "places": 10})


class PlacesTests(SynchronousTestCase):
    """The accounts without a parent."""

    def setUp(self) -> None:
        self.figures, self.granted = FakeFigures(), {}  # type: ignore[var-annotated]
        self.accounts = Accounts(self.figures, lambda: {"feed": 10}, self.grant)

    def grant(self, index: int, name: str, places: int | None) -> None:
        self.granted[index] = places

    def beat(self, place: int, watchers: int = 0) -> None:
        beat = Heartbeat([["a", [], 1.0]], 0, 0, {"feed": {"websocket": watchers}} if watchers else {}, 0.0)  # type: ignore[list-item]
        self.accounts.take(place, "worker", beat)

    def test_not_before_all_have_told(self) -> None:
        """A worker that connects before is granted its part when the others have said theirs."""
        self.accounts.connect(0, {})
        self.beat(0)
        self.assertEqual(self.granted, {})
        self.accounts.connect_leaving(-1, {"feed": 4})
        self.accounts.grant([(0, {})])
        self.assertEqual(self.granted[0], 6)
        self.assertTrue(self.accounts.are_places_granted)

    def test_processes(self) -> None:
        """Each process has a number of its own, and figures before the first one have the number 0."""
        self.beat(0)
        for _ in range(2):
            self.accounts.begin(0)
            self.beat(0)
            self.accounts.end(0)
        self.assertEqual(
            self.figures.calls,
            [("report", 0, 0), ("report", 0, 1), ("end", 0, 1), ("report", 0, 2), ("end", 0, 2)],
        )

    def test_samples_that_were_told(self) -> None:
        """Those of a worker of another parent count from the start, and its number is not used again."""
        self.accounts.begin(-1)
        self.accounts.connect_leaving(-1, {"feed": 3}, [["a", [], 2.0]])
        self.assertEqual(self.figures.calls, [("report", -1, 1)])
        self.assertEqual(self.accounts.left(-1), ({"feed": 3}, [["a", [], 2.0]]))
        self.accounts.forget(-1)
        self.assertEqual(self.figures.calls[-1], ("end", -1, 1))
        self.accounts.grant([(0, {})])
        self.assertEqual(self.granted[0], 10)

    def test_deliveries(self) -> None:
        """They go to the trace, with the place and the name of the worker."""
        told: list[object] = []
        self.accounts.deliveries = lambda *each: told.append(each)
        self.beat(3)
        self.assertEqual(told, [(3, "worker", [])])
