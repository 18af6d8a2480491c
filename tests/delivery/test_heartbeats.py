"""Heartbeats: one timer calls every member in time, even if members join, leave or raise."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.delivery.heartbeats import AT_ONCE, GRAIN_S, Heartbeats

if TYPE_CHECKING:
    from collections.abc import Callable

INTERVAL_S = 10.0


class BrokenMemberError(Exception):
    """A defect in a member."""


@dataclass(eq=False)
class Caller:
    """A member that records the times of its calls, and then calls the function that the test has set."""

    clock: Clock
    then: Callable[[], object] = lambda: None
    called: list[float] = field(default_factory=list)
    dropped: int = 0

    def beat(self) -> None:
        self.called.append(self.clock.seconds())
        self.then()

    def drop(self) -> None:
        self.dropped += 1


class HeartbeatsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.heartbeats: Heartbeats[Caller] = Heartbeats(self.clock, INTERVAL_S)

    def join(self, then: Callable[[], object] = lambda: None) -> Caller:
        member = Caller(self.clock, then)
        self.heartbeats.add(member)
        return member

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([GRAIN_S] * round(seconds / GRAIN_S))

    def assert_called(self, member: Caller, *expected: float) -> None:
        """The member was called at these times, or up to two grains later, and at no other."""
        self.assertEqual(len(member.called), len(expected), member.called)
        for called, due in zip(member.called, expected, strict=True):
            self.assertTrue(due <= called <= due + 2 * GRAIN_S, (called, due))

    def test_member_is_called_every_interval_from_joining_on(self) -> None:
        """No call comes before an interval has passed; then the calls repeat."""
        member = self.join()
        self.pass_time(INTERVAL_S - GRAIN_S)
        self.assertEqual(member.called, [])
        self.pass_time(2 * INTERVAL_S + 2)
        self.assert_called(member, 10, 20, 30)

    def test_each_member_keeps_its_own_time(self) -> None:
        """A member that joins later is called later: no member waits for the others."""
        first = self.join()
        self.pass_time(3)
        second = self.join()
        self.pass_time(4)
        third = self.join()
        self.pass_time(INTERVAL_S + 1)
        self.assert_called(first, 10)
        self.assert_called(second, 13)
        self.assert_called(third, 17)

    def test_timer_runs_only_while_there_are_members(self) -> None:
        """One timer serves any number of members, and there is no timer without members."""
        self.assertEqual(self.clock.getDelayedCalls(), [])
        members = [self.join() for _ in range(3)]
        for left in (2, 1, 0):
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
            self.heartbeats.discard(members[left])
            self.assertEqual(len(self.heartbeats), left)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        again = self.join()
        self.pass_time(INTERVAL_S + 1)
        self.assert_called(again, 10)
        self.assertEqual([len(member.called) for member in members], [0, 0, 0])

    def test_process_does_not_wake_between_calls(self) -> None:
        """The timer is set to the call that is due first."""
        self.join()
        self.pass_time(3)
        last = self.join()
        self.assertEqual([call.getTime() for call in self.clock.getDelayedCalls()], [10])
        self.pass_time(8)
        self.assertEqual([call.getTime() for call in self.clock.getDelayedCalls()], [13])
        self.heartbeats.discard(last)
        self.pass_time(2)
        self.assertEqual([call.getTime() for call in self.clock.getDelayedCalls()], [20])

    def test_members_are_counted_and_listed(self) -> None:
        """Members are listed in the order in which they are due."""
        members = [self.join() for _ in range(3)]
        self.assertEqual((len(self.heartbeats), list(self.heartbeats)), (3, members))
        self.heartbeats.discard(members[1])
        self.assertEqual(list(self.heartbeats), [members[0], members[2]])

    def test_letting_go_of_a_stranger_is_no_error(self) -> None:
        """A member that goes twice, or never came."""
        stranger = Caller(self.clock)
        self.heartbeats.discard(stranger)
        member = self.join()
        self.heartbeats.discard(stranger)
        self.assertEqual(len(self.heartbeats), 1)
        for _ in range(2):
            self.heartbeats.discard(member)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_many_at_once_are_spread_over_turns(self) -> None:
        """Each turn calls at most AT_ONCE members, and no member is called a second late, interval after interval."""
        members = [self.join() for _ in range(3 * AT_ONCE + 1)]
        for due in (10, 20, 30):
            counts = []
            self.pass_time(due - GRAIN_S - self.clock.seconds())
            while self.clock.seconds() < due + 1:
                before = sum(len(member.called) for member in members)
                self.clock.advance(GRAIN_S)
                counts.append(sum(len(member.called) for member in members) - before)
            self.assertLessEqual(max(counts), AT_ONCE)
            self.assertEqual(sum(counts), len(members))
            self.assertEqual({len(member.called) for member in members}, {due // 10})

    def test_members_that_are_late_are_caught_up_with_in_order(self) -> None:
        """A reactor that was held up calls each member once, not once for each interval that it missed."""
        members = [self.join() for _ in range(2 * AT_ONCE)]
        self.clock.advance(5 * INTERVAL_S)
        self.pass_time(1)
        self.assertEqual({len(member.called) for member in members}, {1})
        self.assertLessEqual(members[0].called[0], members[-1].called[0])

    def test_member_may_go_in_its_own_turn(self) -> None:
        """It is not called again, the others are; and nothing is left when it was the last."""
        leaving = self.join(lambda: self.heartbeats.discard(leaving))
        staying = self.join()
        self.pass_time(2 * INTERVAL_S + 1)
        self.assert_called(leaving, 10)
        self.assertEqual(len(staying.called), 2)
        staying.then = lambda: self.heartbeats.discard(staying)
        self.pass_time(INTERVAL_S + 1)
        self.assertEqual(len(staying.called), 3)
        self.assertEqual((len(self.heartbeats), self.clock.getDelayedCalls()), (0, []))

    def test_member_may_let_others_go(self) -> None:
        """Members that were due in the same turn are not called any more, and do not reappear afterwards."""

        def let_go() -> None:
            for member in (before, after):
                self.heartbeats.discard(member)

        before = self.join()
        deciding = self.join(let_go)
        after = self.join()
        last = self.join()
        self.pass_time(2 * INTERVAL_S + 1)
        self.assertEqual([len(member.called) for member in (before, deciding, after, last)], [1, 2, 0, 2])
        self.assertEqual(list(self.heartbeats), [deciding, last])

    def test_member_may_let_everybody_go(self) -> None:
        """The timer stops, though it is the timer's own turn."""
        members: list[Caller] = []

        def let_go() -> None:
            for member in members:
                self.heartbeats.discard(member)

        members += [self.join(let_go) for _ in range(3)]
        self.pass_time(INTERVAL_S + 1)
        self.assertEqual([len(member.called) for member in members], [1, 0, 0])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_member_may_bring_another(self) -> None:
        """A newcomer has an interval of its own, from its joining on."""

        def bring() -> None:
            if not newcomer.called and newcomer not in set(self.heartbeats):
                self.heartbeats.add(newcomer)

        newcomer = Caller(self.clock)
        host = self.join(bring)
        self.pass_time(2 * INTERVAL_S + 1)
        self.assertEqual(len(host.called), 2)
        self.assertEqual(len(newcomer.called), 1)
        self.assertGreaterEqual(newcomer.called[0], host.called[0] + INTERVAL_S)

    def test_last_member_may_go_and_another_come_in_one_turn(self) -> None:
        """There is one timer as before, and it ends with the newcomer."""
        newcomer = Caller(self.clock)

        def hand_over() -> None:
            self.heartbeats.discard(leaving)
            self.heartbeats.add(newcomer)

        leaving = self.join(hand_over)
        self.pass_time(INTERVAL_S + 1)
        self.assertEqual(len(leaving.called), 1)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.pass_time(INTERVAL_S + 1)
        self.assertEqual(len(newcomer.called), 1)
        self.heartbeats.discard(newcomer)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_member_that_breaks_is_left_out(self) -> None:
        """It is written down once; the others, before and behind it, go on."""

        def broken() -> None:
            raise BrokenMemberError

        members = [self.join(), self.join(broken), self.join()]
        self.pass_time(3 * INTERVAL_S + 1)
        self.assertEqual([len(member.called) for member in members], [3, 1, 3])
        self.assertEqual([member.dropped for member in members], [0, 1, 0])
        self.assertEqual(list(self.heartbeats), [members[0], members[2]])
        self.assertEqual(len(self.flushLoggedErrors(BrokenMemberError)), 1)

    def test_member_that_breaks_and_cannot_be_ended(self) -> None:
        """Both are written down, and the others go on."""

        def broken() -> None:
            raise BrokenMemberError

        self.patch(self.join(broken), "drop", broken)
        member = self.join()
        self.pass_time(2 * INTERVAL_S + 1)
        self.assertEqual((len(member.called), list(self.heartbeats)), (2, [member]))
        self.assertEqual(len(self.flushLoggedErrors(BrokenMemberError)), 2)

    def test_nothing_is_left_when_the_last_member_breaks(self) -> None:
        """The timer stops when the last member has been dropped."""

        def broken() -> None:
            raise BrokenMemberError

        self.join(broken)
        self.pass_time(INTERVAL_S + 1)
        self.assertEqual((len(self.heartbeats), self.clock.getDelayedCalls()), (0, []))
        self.assertEqual(len(self.flushLoggedErrors(BrokenMemberError)), 1)

    def test_member_that_breaks_after_it_has_gone_is_no_error(self) -> None:
        """It let itself go, and then raised."""

        def leave_and_break() -> None:
            self.heartbeats.discard(leaving)
            raise BrokenMemberError

        leaving = self.join(leave_and_break)
        staying = self.join()
        self.pass_time(2 * INTERVAL_S + 1)
        self.assertEqual([len(member.called) for member in (leaving, staying)], [1, 2])
        self.assertEqual(len(self.flushLoggedErrors(BrokenMemberError)), 1)
