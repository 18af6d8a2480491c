"""Subscriptions that tokens have opened."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.auth.grants import Grant
from livefeed.delivery import admissions
from livefeed.delivery.admissions import FIRST_S, MAX_DELAY_S, Admission, Admissions


class AdmissionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.wall_s = 1000.0
        self.admissions = Admissions(self.clock, lambda: self.wall_s)
        self.ended: list[str] = []
        self.delays: list[int] = []

    def admit(self, name: str, expires_at: float | None) -> Admission:
        def end(delay_ms: int) -> None:
            self.ended.append(name)
            self.delays.append(delay_ms)

        return self.admissions.add(Grant(name, expires_at), end)

    def test_each_ends_in_time(self) -> None:
        """One timer waits for the earliest end; those without an end never have one."""
        self.admit("late", 1020.0)
        self.admit("never", None)
        self.admit("early", 1010.0)
        self.admit("over", 999.0)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        for passed_s, ended in ((0, ["over"]), (9, []), (1, ["early"]), (10, ["late"])):
            self.ended.clear()
            self.clock.advance(passed_s)
            self.assertEqual(self.ended, ended)
        self.assertEqual((len(self.admissions), self.clock.getDelayedCalls()), (1, []))

    def test_slots(self) -> None:
        """Clients of one token come back one after the other, soon."""
        for number in range(1000):
            self.admit(str(number), 1001.0)
        self.clock.pump([1, 0, 0, 0])
        self.assertEqual((len(self.ended), self.delays[0]), (1000, 1000 * FIRST_S))
        self.assertEqual(sorted(self.delays), self.delays)
        self.assertGreater(self.delays[-1], 2000)

    def test_slices(self) -> None:
        """Many ends take several turns."""
        self.patch(admissions, "SLICE", 2)
        turns: list[int] = []
        end_due = self.admissions._end_due

        def turn() -> None:
            end_due()
            turns.append(len(self.ended))

        self.admissions._end_due = turn  # type: ignore[method-assign]
        for number in range(5):
            self.admit(str(number), 1001.0)
        self.clock.advance(1)
        self.assertEqual(turns, [2, 4, 5])

    def test_the_wall_clock_may_be_set(self) -> None:
        """After the admission it counts no more."""
        self.admit("a", 1010.0)
        self.wall_s = 5000.0
        self.clock.advance(9)
        self.wall_s = 0.0
        self.assertEqual(self.ended, [])
        self.clock.advance(1)
        self.assertEqual(self.ended, ["a"])

    def test_leaving(self) -> None:
        """A subscription that has left is not ended, and is not kept, however many there were."""
        self.patch(admissions, "SLICE", 2)
        first = self.admit("first", 1001.0)
        self.admit("stays", 1002.0)
        for number in range(20):
            self.admit(str(number), 1001.0).leave()
        self.assertLessEqual(len(self.admissions._due), 6)
        first.leave()
        first.leave()
        self.clock.advance(2)
        self.assertEqual(self.ended, ["stays"])
        self.admit("last", 1001.0).leave()
        self.assertEqual((len(self.admissions), self.clock.getDelayedCalls()), (0, []))

    def test_revoked(self) -> None:
        """A grant that is not renewed ends the subscription; another end counts from then on."""
        for name, expires_at in (("revoked", None), ("shorter", None), ("longer", 1010.0), ("same", 1010.0)):
            self.admit(name, expires_at)
        renewed = {
            "shorter": Grant("shorter", 1005.0),
            "longer": Grant("longer"),
            "same": Grant("same", 1010.0),
        }
        self.admissions.check(lambda grant: renewed.get(str(grant.key)))
        for passed_s, ended in ((0, ["revoked"]), (5, ["shorter"]), (5, ["same"]), (1000, [])):
            self.ended.clear()
            self.clock.advance(passed_s)
            self.assertEqual(self.ended, ended)
        self.assertEqual(len(self.admissions), 1)

    def test_years(self) -> None:
        """A timer is never set for years, which the reactor may not take."""
        self.admit("a", 1000.0 + 3.5 * MAX_DELAY_S)
        self.clock.pump([MAX_DELAY_S] * 3)
        self.assertEqual(self.ended, [])
        self.clock.advance(MAX_DELAY_S / 2)
        self.assertEqual(self.ended, ["a"])

    def test_clear(self) -> None:
        """A feed that becomes public keeps its subscriptions."""
        self.admit("a", 1001.0)
        self.admissions.clear()
        self.clock.advance(10)
        self.assertEqual((self.ended, len(self.admissions)), ([], 0))
