"""The orderly end of connections, in three phases."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.process.drain import (
    DRAIN_S,
    FEW_POLLERS,
    LAST_POLLS_S,
    LEAST_SHARE,
    MAX_SLICE,
    RETURNS_SHARE,
    SLICE_S,
    SUCCESSOR_RETURN_S,
    Drain,
    DrainedServices,
    DrainReport,
    DrainTimes,
    Phase,
)
from livefeed.web.reconnect_slots import RECONNECTS_PER_S, SLOT_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.web.reconnect_slots import ReconnectSlots


class FakeConnection:
    """A connection of any kind.

    :ivar events: the calls, in order.
    """

    def __init__(self, events: list[str], name: str) -> None:
        self.events = events
        self.name = name
        self.transport = SimpleNamespace(abortConnection=lambda: events.append(f"abort {name}"))

    def drain(self) -> None:
        self.events.append(f"drain {self.name}")

    def retire(self) -> None:
        self.events.append(f"retire {self.name}")

    def send_away(self, delay_ms: int) -> None:
        self.events.append(f"send {self.name} away for {delay_ms} ms")


class FakeFeed:
    """A feed with event streams.

    :ivar returns: the slots that its clients were given.
    """

    def __init__(self, open_streams: list[Any]) -> None:
        self.open_streams = open_streams
        self.waiting_requests = 0
        self.returns: list[ReconnectSlots] = []

    def streams(self) -> list[Any]:
        return self.open_streams

    def waiting(self) -> int:
        return self.waiting_requests

    def let_go(self, returns: ReconnectSlots) -> None:
        self.returns.append(returns)


class DrainTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.events: list[str] = []
        self.channel, self.socket, self.stream = (
            FakeConnection(self.events, name) for name in ("channel", "socket", "stream")
        )
        self.takes: list[Callable[[], int]] = []
        self.site = SimpleNamespace(channels={self.channel}, announce_returns=self.takes.append)
        self.slots: list[ReconnectSlots] = []

        def let_go(slots: ReconnectSlots) -> None:
            self.events.append("let go")
            self.slots.append(slots)

        self.subscribers: Any = SimpleNamespace(protocols_open=[self.socket], let_go=let_go)
        self.feeds = [FakeFeed([self.stream]), FakeFeed([])]

    def drain(self, pool: Any = None, **times: float) -> Drain:
        return Drain(
            self.site,
            self.subscribers,
            self.feeds,
            pool,
            self.clock,
            DrainTimes(**times),
            lambda: self.events.append("stop listening"),
        )

    def pool(self, accept_rate: float, *pollers: Any) -> Any:
        connections = dict.fromkeys(range(len(pollers)))
        return SimpleNamespace(
            connections=connections,
            accept_rate=accept_rate,
            pollers=lambda: pollers if connections else (),
            end_idle=connections.clear,
            renew_answers=lambda: self.events.append("renew answers"),
            count_active=lambda seconds: len(pollers) // 2,
        )

    def empty(self) -> None:
        self.site.channels.clear()
        self.subscribers.protocols_open.clear()
        self.feeds[0].open_streams.clear()

    def begin(self, drain: Drain, *, successor: bool = True) -> Deferred[DrainReport]:
        return Deferred.fromCoroutine(drain.begin(successor=successor))


class StopTests(DrainTestCase):
    """Phase 3, and the stop as a whole."""

    def test_count(self) -> None:
        """All kinds of connections count; with the fast transport the pool counts them."""
        self.assertEqual(self.drain().count(), 3)
        self.assertEqual(self.drain(SimpleNamespace(connections={1: None, 2: None})).count(), 2)
        drain = self.drain()
        self.feeds.append(FakeFeed([self.stream]))
        self.assertEqual(drain.count(), 4)

    def test_ends_when_all_connections_have_ended(self) -> None:
        """Nothing is cut off then, and all feeds and WebSockets share the slots of the clients."""
        ended = self.drain().stopService()
        self.assertEqual(self.events, ["let go", "drain channel"])
        self.clock.advance(DRAIN_S / 2)
        self.assertNoResult(ended)
        self.empty()
        self.clock.advance(DRAIN_S / 10)
        self.successResultOf(ended)
        self.assertEqual(self.events, ["let go", "drain channel"])
        (first,), (second,) = (feed.returns for feed in self.feeds)
        self.assertIs(first, second)
        self.assertIs(first, self.slots[0])

    def test_cuts_off_what_is_left(self) -> None:
        """After DRAIN_S, and not before."""
        ended = self.drain().stopService()
        self.clock.pump([0.1] * round(DRAIN_S * 10 - 1))
        self.assertNoResult(ended)
        self.clock.pump([0.1] * 3)
        self.successResultOf(ended)
        self.assertEqual(self.events[2:], ["abort socket", "abort stream", "abort channel"])

    def test_idle_connections_of_the_pool(self) -> None:
        """They are closed at once."""
        self.successResultOf(self.drain(self.pool(1000, object())).stopService())

    def test_slots_of_a_stop(self) -> None:
        """They begin after a restart, and use a part of the accept rate, or what is usual if that is not known."""
        for pool, expected in (
            (None, RECONNECTS_PER_S * (2 / 3)),  # two watchers have slots, and the channel has none
            (self.pool(float("inf")), RECONNECTS_PER_S),
            (self.pool(1000), 1000 * RETURNS_SHARE),
            (self.pool(1), 50),
        ):
            self.drain(pool, return_s=17.0).stopService()
            slots = self.slots[-1]
            self.assertEqual((slots.first_s, slots.returns_per_s), (17.0, expected))

    def test_slots_of_a_stop_leave_room_for_pollers(self) -> None:
        """All connections count, and all are back at the same time; requests that wait are given slots as well."""
        for pollers, waiting, share in ((2, 0, 2 / 4), (2, 1, 3 / 4), (2, 2, 1.0), (1, 5, 1.0), (998, 0, LEAST_SHARE)):
            self.feeds[0].waiting_requests = waiting
            self.drain(self.pool(1000, *[self.channel] * pollers)).stopService()
            self.clock.pump([LAST_POLLS_S / 2] * 2)
            self.assertAlmostEqual(self.slots[-1].returns_per_s, 1000 * RETURNS_SHARE * share)

    def test_hurried_stop_cuts_off_at_once(self) -> None:
        """Clients are told their slots all the same."""
        drain = self.drain()
        ended = drain.stopService()
        drain.hurry()
        self.clock.advance(0.05)
        self.successResultOf(ended)
        self.assertEqual(self.events[0], "let go")
        self.assertIn("abort socket", self.events)


class LastPollTests(DrainTestCase):
    """A stop without a successor, with more pollers than come back within a second."""

    def test_pollers_have_slots(self) -> None:
        """They are served for a while, with slots beside those of others. Connections without a request end then."""
        pool = self.pool(1000, *[self.channel] * 998)
        ended = self.drain(pool, return_s=17.0).stopService()
        self.assertEqual(self.events, ["renew answers"])
        (take,) = self.takes
        budget = 1000 * RETURNS_SHARE
        # Half of them have asked lately. The others come back at times of their own, for which there is room as well.
        # Watchers of other kinds are told later to come back after 17 s.
        delays = [take() for _ in range(10 * round(budget * (1 - LEAST_SHARE) / 2))]
        self.assertEqual((delays[0], delays[-1]), (math.ceil(17 + LAST_POLLS_S), math.ceil(27 + LAST_POLLS_S)))
        self.clock.pump([0.25] * 5)
        self.assertEqual((self.events, len(pool.connections)), (["renew answers"], 998))
        self.clock.pump([0.25])
        self.assertEqual(self.events[1:4], ["send socket away for 17000 ms", "let go", "drain channel"])
        self.assertEqual(pool.connections, {})
        self.assertAlmostEqual(self.slots[0].returns_per_s, budget * LEAST_SHARE)
        self.successResultOf(ended)

    def test_requests_in_progress(self) -> None:
        """They have their turn between slices of WebSockets."""
        pool = self.pool(1000, *[self.channel] * 51)
        self.subscribers.protocols_open *= MAX_SLICE + 1
        turns: list[int] = []
        self.clock.callLater(LAST_POLLS_S, lambda: self.clock.callLater(0.0, lambda: turns.append(len(self.events))))
        self.drain(pool).stopService()
        self.clock.pump([0.25] * 6)
        self.assertEqual(turns, [1 + MAX_SLICE])

    def test_closing_handshakes_have_their_time(self) -> None:
        """It begins when the last watchers have been sent away."""
        pool = self.pool(1000, *[self.channel] * 51)
        pool.end_idle = lambda: None
        ended = self.drain(pool).stopService()
        self.clock.pump([0.25] * round(LAST_POLLS_S / 0.25))
        self.clock.pump([0.1] * round(DRAIN_S * 10 - 1))
        self.assertNoResult(ended)
        self.clock.pump([0.1] * 3)
        self.successResultOf(ended)

    def test_end_when_all_have_asked(self) -> None:
        """A stop takes no longer than needed."""
        pool = self.pool(1000, *[self.channel] * 51)
        drain = self.drain(pool)
        begun = self.begin(drain, successor=False)
        self.clock.pump([0.25] * 2)
        self.assertNoResult(begun)
        pool.connections.clear()
        self.clock.pump([0.25, 0.0])
        self.assertEqual(self.successResultOf(begun).phase, "released")
        self.assertEqual(
            self.events,
            ["stop listening", "renew answers", "send socket away for 6000 ms", "let go", "drain channel"],
        )

    def test_second_signal(self) -> None:
        """It ends the wait for more requests."""
        pool = self.pool(1000, *[self.channel] * 51)
        drain = self.drain(pool)
        ended = drain.stopService()
        drain.hurry()
        self.assertEqual(pool.connections, {})
        self.clock.advance(0.05)
        self.successResultOf(ended)

    def test_few_pollers(self) -> None:
        """They need no slots, and nothing waits for their requests."""
        pool = self.pool(1000, *[self.channel] * FEW_POLLERS)
        self.successResultOf(self.drain(pool).stopService())
        self.assertEqual(self.takes, [])

    def test_twisted_transport(self) -> None:
        """All of its pollers count as those that ask again."""
        self.site.channels = {FakeConnection(self.events, "channel") for _ in range(100)}
        self.drain(None).stopService()
        (take,) = self.takes
        self.assertEqual([take() for _ in range(3 * RECONNECTS_PER_S)][-1], math.ceil(9.0 + LAST_POLLS_S))


class Recording(Service):
    """A service that records its end."""

    def __init__(self, events: list[str]) -> None:
        self.events = events

    def stopService(self) -> None:
        self.events.append("other service stops")


class OrderTests(DrainTestCase):
    """The phases before the other services stop."""

    def services(self, drain: Drain) -> DrainedServices:
        services = DrainedServices(drain)
        drain.setServiceParent(services)
        Recording(self.events).setServiceParent(services)
        services.startService()
        return services

    def test_plain_stop_does_not_wait(self) -> None:
        """Without a delay, services stop as soon as livefeed is told to."""
        self.services(self.drain()).stopService()
        self.assertEqual(self.events, ["other service stops", "let go", "drain channel"])

    def test_services_of_a_successor(self) -> None:
        """Nothing is stopped, drained or closed that another process has taken over."""
        services = self.services(self.drain(delay_s=5.0))
        services.are_handed_over = True
        self.successResultOf(services.stopService())
        self.assertEqual(self.events, [])

    def test_not_ready_before_the_stop(self) -> None:
        """Everything serves on for the delay, and nothing can undo it."""
        drain = self.drain(delay_s=5.0)
        stopped = self.services(drain).stopService()
        self.clock.advance(4.9)
        self.assertEqual((self.events, drain.is_draining, drain.cancel()), ([], True, False))
        self.clock.advance(0.2)
        self.assertEqual(self.events, ["other service stops", "let go", "drain channel"])
        self.assertNoResult(stopped)
        self.empty()
        self.clock.advance(0.1)
        self.successResultOf(stopped)
        self.assertIs(drain.phase, Phase.STOPPED)

    def test_second_signal_skips_the_delay(self) -> None:
        """The process ends within a turn or two."""
        drain = self.drain(delay_s=3600.0)
        stopped = self.services(drain).stopService()
        drain.hurry()
        self.clock.advance(0.05)
        self.successResultOf(stopped)
        self.assertIn("abort socket", self.events)

    def test_watchers_go_to_a_successor_before_the_stop(self) -> None:
        """Other services go on until the last has been sent away."""
        drain = self.drain(gradual_s=3.0)
        drain.successor = True
        stopped = self.services(drain).stopService()
        self.assertEqual(self.events, ["stop listening", "send socket away for 100 ms"])
        self.clock.pump([0.5] * 5)
        self.assertEqual(self.events[2:], ["send stream away for 100 ms", "retire channel"])
        self.clock.advance(0.5)
        self.assertEqual(self.events[4:], ["let go", "drain channel", "other service stops"])
        self.empty()
        self.clock.advance(0.1)
        self.successResultOf(stopped)

    def test_second_signal_ends_a_gradual_release(self) -> None:
        """Whoever is left is sent away together, and cut off."""
        drain = self.drain(gradual_s=300.0)
        drain.successor = True
        stopped = self.services(drain).stopService()
        drain.hurry()
        self.clock.advance(0.1)
        self.successResultOf(stopped)
        self.assertEqual(
            self.events[2:],
            ["let go", "drain channel", "other service stops", "abort socket", "abort stream", "abort channel"],
        )

    def test_stop_waits_for_a_drain_that_has_begun(self) -> None:
        """Watchers are sent away once."""
        drain = self.drain(gradual_s=3.0)
        begun = self.begin(drain)
        stopped = self.services(drain).stopService()
        self.clock.pump([0.5] * 7)
        self.empty()
        self.clock.advance(0.1)
        self.successResultOf(stopped)
        self.assertEqual(self.successResultOf(begun).sockets, 1)
        self.assertEqual(self.events.count("let go"), 1)

    def test_drain_that_fails_does_not_keep_livefeed_from_stopping(self) -> None:
        """The failure is logged."""
        drain = self.drain()
        drain.successor = True
        drain.stop_listening = lambda: 1 // 0
        self.services(drain).stopService()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIn("other service stops", self.events)


class BeginTests(DrainTestCase):
    """Phases 1 and 2 on demand."""

    def test_it_runs_on_without_watchers(self) -> None:
        """Until it is stopped; then nothing is sent away again."""
        drain = self.drain(self.pool(1000, self.channel), gradual_s=1.0)
        self.assertEqual((drain.is_draining, drain.report()), (False, DrainReport("serving", left=1)))
        self.assertIsNone(drain.obstacle())
        begun = self.begin(drain)
        self.clock.pump([0.1] * 11)
        self.assertEqual(self.successResultOf(begun), DrainReport("released", 1, 1, 1, 0))
        self.assertTrue(drain.is_draining)
        self.assertEqual(drain.obstacle(), "livefeed is being drained: released")
        self.assertEqual(
            self.events[:4],
            ["stop listening", "send socket away for 100 ms", "send stream away for 100 ms", "retire channel"],
        )
        self.successResultOf(drain.stopService())
        self.assertEqual(self.events.count("let go"), 1)
        self.assertEqual(self.successResultOf(self.begin(drain)).phase, "stopped")

    def test_delay_can_be_undone(self) -> None:
        """Then the process is ready, nothing has been sent away, and another drain may begin."""
        drain = self.drain(delay_s=5.0)
        begun, second = self.begin(drain), self.begin(drain)
        self.assertEqual((drain.is_draining, drain.phase), (True, Phase.NOT_READY))
        self.assertTrue(drain.cancel())
        for each in (begun, second):
            self.assertEqual(self.successResultOf(each).phase, "serving")
        self.assertEqual((self.events, drain.is_draining, self.clock.getDelayedCalls()), ([], False, []))
        self.begin(drain)
        self.clock.advance(5.0)
        self.assertEqual(self.events[0], "stop listening")
        self.assertFalse(drain.cancel())

    def test_nothing_to_cancel(self) -> None:
        """A process that serves is told so."""
        self.assertFalse(self.drain().cancel())

    def test_without_a_successor_all_go_together(self) -> None:
        """They come back after a restart."""
        begun = self.begin(self.drain(return_s=20.0), successor=False)
        self.assertEqual(self.successResultOf(begun), DrainReport("released", 1, 1, 1, 3))
        self.assertEqual(self.events, ["stop listening", "let go", "drain channel"])
        self.assertEqual(self.slots[0].first_s, 20.0)

    def test_sum_of_reports(self) -> None:
        """Workers are added up, and the phase is that of the last of them."""
        total = DrainReport("released", 1, 2, 3, 4).plus(DrainReport("releasing", 10, 20, 30, 40))
        self.assertEqual(total, DrainReport("releasing", 11, 22, 33, 44))


@dataclass
class Told:
    """A watcher that records when it was sent away, and for how long, in seconds."""

    clock: Clock
    at: list[tuple[float, float]] = field(default_factory=list)

    def send_away(self, delay_ms: int) -> None:
        self.at.append((self.clock.seconds(), delay_ms / 1000))

    def retire(self) -> None:
        self.at.append((self.clock.seconds(), 0.0))


class GradualTests(DrainTestCase):
    """Any number of watchers of each transport."""

    @settings(deadline=None, max_examples=30)
    @given(st.integers(0, 700), st.integers(0, 700), st.integers(0, 700), st.sampled_from((0.0, 1.0, 30.0)))
    def test_watchers_go_evenly(self, sockets: int, streams: int, pollers: int, gradual_s: float) -> None:
        """In slices of one size, within the time, and no more come back per second than the budget allows."""
        self.setUp()
        rate = 600.0
        made = [[Told(self.clock) for _ in range(count)] for count in (sockets, streams, pollers)]
        self.subscribers.protocols_open = made[0]
        self.feeds[0].open_streams = made[1]
        drain = self.drain(self.pool(rate, *made[2]), gradual_s=gradual_s)
        begun = self.begin(drain)
        steps = 0
        while self.clock.getDelayedCalls():
            self.clock.advance(SLICE_S / 2)
            steps += 1
            self.assertLess(steps, 1000)
        report = self.successResultOf(begun)
        self.assertEqual((report.sockets, report.streams, report.pollers), (sockets, streams, pollers))
        told = [each.at for kind in made for each in kind]
        self.assertEqual({len(each) for each in told}, {1} if told else set())
        if not told:
            return
        left = [at for ((at, _),) in told]
        self.assertLessEqual(max(left), gradual_s + SLICE_S * (len(told) / MAX_SLICE + 1))
        per_slice = [left.count(at) for at in sorted(set(left))]
        if gradual_s:
            self.assertLessEqual(max(per_slice), 2 * (len(told) / (gradual_s / SLICE_S) + 1))
        budget = RETURNS_SHARE * rate
        kinds = made[:2]
        if gradual_s and len(told) / gradual_s <= budget:
            # There is time for all within the budget, also for the pollers, who come back at once.
            kinds = made
        returns = sorted(at + delay_s for kind in kinds for ((at, delay_s),) in (each.at for each in kind))
        most = max((sum(at <= other < at + 1 for other in returns) for at in returns[::50]), default=0)
        # The watchers of a slice leave together.
        self.assertLessEqual(most, budget * (1 + 2 * SLOT_S) + 2 * max(per_slice, default=0) + 2)
        returns = [at + delay_s for kind in made[:2] for ((at, delay_s),) in (each.at for each in kind)]
        self.assertTrue(all(at >= SUCCESSOR_RETURN_S - 0.001 for at in returns))
