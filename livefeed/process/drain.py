"""The orderly end of all connections, in three phases: not ready, watchers are sent away, the rest is cut off.

1. Not ready: everything is served as before, and :attr:`Drain.is_draining` tells balancers to send no more clients.
2. Watchers are sent away, each with the time at which it comes back. If a successor listens on the address, they go
   gradually, and are taken by it at once; otherwise all go together, when the process stops, and come back after it has
   started again.
3. The connections that are left are cut off.

Phase 1 can be undone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import Enum
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger

from livefeed.web.reconnect_slots import RECONNECT_DELAYS_S, RECONNECTS_PER_S, ReconnectSlots

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence, Sized

    from twisted.internet.interfaces import IReactorTime

DRAIN_S = 3.0
"""Seconds that requests in progress and closing handshakes may take after the last watchers were sent away."""

GRADUAL_S = 30.0
"""Seconds over which watchers go to a successor by default: 20,000 of them are 670 per second, which a core takes."""

SUCCESSOR_RETURN_S = 0.1
"""Seconds after which a watcher comes to a successor. Its connection has ended by then."""

RETURNS_SHARE = 0.8
"""The part of the accept rate for all clients that come back, with and without slots. The rest is for new clients."""

LEAST_SHARE = 0.1
"""The least part of these returns that slots use, however few clients there are to be given one: clients that are
refused meanwhile are given the next slots."""

MIN_RETURNS_PER_S = 50.0
"""The least number of clients that are told to come back per second, however low the accept rate is: 20,000 clients are
back within 400 s then."""

SLICE_S = 0.1
"""Seconds between two slices of a gradual release."""

MAX_SLICE = 256
"""Watchers that are sent away in one turn of the reactor: some 10 ms of work. A short drain has more slices then."""

LAST_POLLS_S = 1.5
"""Seconds for which pollers are still answered at a stop without a successor, and told when to come back: most of them
ask once a second. Connections without a request are closed then."""

LONGEST_STOP_S = LAST_POLLS_S + DRAIN_S
"""The longest time in seconds of a stop without a successor, besides the work itself and the delay before it."""

FEW_POLLERS = 50
"""Pollers that need no slots, and for which a stop does not wait: a successor takes them within a second."""

_LOOK_S = 0.25
"""Seconds between two checks whether all pollers have had their last answers."""

_POLL_S = 0.05
"""Seconds between two checks whether all connections have ended."""

_log = Logger()


class Phase(Enum):
    """The phases of a drain; the values are those of reports."""

    SERVING = "serving"
    NOT_READY = "not ready"
    RELEASING = "releasing"
    RELEASED = "released"
    STOPPED = "stopped"


class Subscriber(Protocol):
    """A WebSocket or an event stream."""

    def send_away(self, delay_ms: int) -> None:
        """Ends the connection in order. It does nothing if the connection is being ended already.

        :param delay_ms: the time in milliseconds after which the client comes back.
        """


class Poller(Protocol):
    """A connection of HTTP."""

    def retire(self) -> None:
        """Ends the connection with its next answer, which says so. A request that waits is answered now."""


class Draining(Poller, Protocol):
    """A connection of HTTP with a protocol."""

    def drain(self) -> Any:
        """Ends the connection after the request in progress, at once if there is none."""


class Channels(Protocol):
    """The connections of HTTP; livefeed's ``Site``."""

    @property
    def channels(self) -> Collection[Draining]:
        """The open connections."""

    def announce_returns(self, take_s: Callable[[], int], /) -> None:
        """Ends each connection with its next answer, which says when the client comes back."""


class OpenSockets(Protocol):
    """The WebSockets that are open."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


class Subscribers(Protocol):
    """The WebSockets of all feeds; livefeed's ``SubscriberFactory``."""

    @property
    def protocols_open(self) -> OpenSockets:
        """The open WebSockets."""

    def let_go(self, slots: ReconnectSlots) -> None:
        """Sends all WebSockets away, each to a time slot of its own, and accepts no more."""


class DrainedFeed(Protocol):
    """A feed, as far as its connections must be ended."""

    def streams(self) -> Sequence[Any]:
        """Gives the open event streams."""

    def waiting(self) -> int:
        """Gives the number of requests that wait for a version."""

    def let_go(self, slots: ReconnectSlots) -> None:
        """Ends the event streams and answers the waiting requests."""


class Connections(Protocol):
    """The connections of the fast transport; livefeed's ``Pool``."""

    @property
    def connections(self) -> Sized:
        """The open connections."""

    @property
    def accept_rate(self) -> float:
        """New connections that are accepted per second; infinite without a limit."""

    def pollers(self) -> Sequence[Poller]:
        """Gives the connections of HTTP whose handshake is done."""

    def renew_answers(self) -> None:
        """Has the connections repeat the answers that the site has now."""

    def count_active(self, seconds: float, /) -> int:
        """Gives the number of connections to which answers were repeated within this time."""

    def end_idle(self) -> None:
        """Closes the connections without a request."""


class Others(Protocol):
    """Other processes whose watchers are sent away with those of this one; livefeed's workers."""

    def release(self, *, successor: bool) -> Deferred[None]:
        """Does phase 2 in them. The Deferred fires at its end, and never fails."""

    def hurry(self) -> None:
        """Waits for them no longer."""

    def report(self) -> DrainReport:
        """Gives their counts so far. The phase in it has no meaning."""


@dataclass(frozen=True, slots=True)
class DrainTimes:
    """The times of a drain, in seconds.

    :ivar delay_s: the length of phase 1.
    :ivar gradual_s: the time over which watchers are sent away if a successor listens.
    :ivar return_s: the time after which the first watchers come back otherwise: a restart takes that long.
    """

    delay_s: float = 0.0
    gradual_s: float = GRADUAL_S
    return_s: float = RECONNECT_DELAYS_S[0]


@dataclass(frozen=True, slots=True)
class DrainReport:
    """The result of a drain so far.

    :ivar phase: the phase.
    :ivar sockets: number of WebSockets that were sent away.
    :ivar streams: number of event streams that were ended.
    :ivar pollers: number of connections of HTTP that end with their next answer, with those whose requests waited.
    :ivar left: number of connections that are still open.
    """

    phase: str = Phase.SERVING.value
    sockets: int = 0
    streams: int = 0
    pollers: int = 0
    left: int = 0

    def plus(self, other: DrainReport) -> DrainReport:
        """Gives the sum of two reports of workers, with the earlier phase of the two."""
        order = [phase.value for phase in Phase]
        return DrainReport(
            min(self.phase, other.phase, key=order.index),
            self.sockets + other.sockets,
            self.streams + other.streams,
            self.pollers + other.pollers,
            self.left + other.left,
        )


@dataclass(eq=False)
class Drain(Service):
    """Ends all connections when livefeed stops, or before.

    :ivar feeds: the feeds; read again at each use.
    :ivar pool: the connections of the fast transport; ``None`` with Twisted's transport.
    :ivar times: the times of the phases.
    :ivar stop_listening: closes the listening sockets of watchers, or leaves them to a successor; it may give a
        Deferred.
    :ivar others: other processes that drain with this one; ``None`` if there are none.
    :ivar successor: whether a successor listens on the address when this process is told to stop.
    :ivar phase: the phase of the drain.
    """

    # required parameters
    site: Channels
    subscribers: Subscribers
    feeds: Iterable[DrainedFeed]
    pool: Connections | None
    clock: IReactorTime
    times: DrainTimes = field(default_factory=DrainTimes)
    stop_listening: Callable[[], Any] = lambda: None

    # internal state
    others: Others | None = None
    successor: bool = False
    phase: Phase = Phase.SERVING
    _report: DrainReport = field(default_factory=DrainReport)
    _woken: Deferred[None] | None = None  # ends the pause under way
    _hurried: bool = False
    _is_stopping: bool = False
    _waiting: list[Deferred[None]] = field(default_factory=list)  # those that wait for the drain under way

    @property
    def is_draining(self) -> bool:
        """Tells whether the process is to be sent no more clients: it is not ready."""
        return self.phase is not Phase.SERVING

    def obstacle(self) -> str | None:
        """Gives the reason why the process is not ready; ``None`` if no drain has begun."""
        return f"livefeed is being drained: {self.phase.value}" if self.is_draining else None

    def count(self) -> int:
        """Gives the number of open connections."""
        if self.pool is not None:
            return len(self.pool.connections)
        return len(self.subscribers.protocols_open) + len(self._streams()) + len(self.site.channels)

    def report(self) -> DrainReport:
        """Gives the counts of the drain so far, with those of the other processes."""
        own = replace(self._report, phase=self.phase.value, left=self.count())
        return own if self.others is None else replace(own.plus(self.others.report()), phase=own.phase)

    # Phases 1 and 2

    async def begin(self, *, successor: bool = True) -> DrainReport:
        """Drains the process, which runs on until it is stopped. A second call waits for the end of the first.

        :param successor: whether the watchers have a server to go to at once: it listens on the same address, or a
            balancer sends them there. Otherwise all are sent away together, and told to come back after a restart.
        :returns: the counts; the phase is ``serving`` if the drain was cancelled.
        """
        if self.phase in (Phase.NOT_READY, Phase.RELEASING):
            waiting: Deferred[None] = Deferred()
            self._waiting.append(waiting)
            await waiting
        elif self.phase is Phase.SERVING:
            try:
                if await self._be_not_ready():
                    await self._release(successor=successor)
            finally:
                self._wake_waiting()
        return self.report()

    def cancel(self) -> bool:
        """Undoes phase 1: the process is ready again.

        :returns: whether it is. Once watchers are sent away, or the process is being stopped, nothing can be undone.
        """
        if self.phase is not Phase.NOT_READY or self._is_stopping:
            return False
        self.phase = Phase.SERVING
        _log.info("the drain is cancelled: ready again")
        self._wake()
        return True

    def hurry(self) -> None:
        """Goes to the end of phase 3 at once: whatever is left is cut off as soon as the process stops."""
        self._hurried = True
        self._wake()
        if self.others is not None:
            self.others.hurry()

    async def prepare_stop(self) -> None:
        """Does what precedes the stop: phase 1, and phase 2 if a successor listens or a drain is under way."""
        self._is_stopping = True
        if self.successor or self.phase is not Phase.SERVING:
            await self.begin(successor=self.successor)
        if self.phase is Phase.SERVING:
            await self._be_not_ready()

    async def _be_not_ready(self) -> bool:
        """Does phase 1. Returns whether it was not cancelled."""
        self.phase = Phase.NOT_READY
        if self.times.delay_s and not self._hurried:
            _log.info("not ready: watchers are sent away in {delay} s", delay=self.times.delay_s)
            await self._pause(self.times.delay_s)
        return self.phase is Phase.NOT_READY

    async def _release(self, *, successor: bool) -> None:
        """Sends the watchers away, gradually if there is a successor."""
        self.phase = Phase.RELEASING
        await maybeDeferred(self.stop_listening)
        if self.others is not None:
            released = self.others.release(successor=successor)
            if self._hurried:
                self.others.hurry()
            await released
        slots = self._slots(successor=successor)
        if successor:
            await self._release_gradually(slots)
        else:
            self._count_all()
            await self._let_go_last(slots)
        if self.phase is Phase.RELEASING:
            if successor:
                # Those that have begun meanwhile, on connections that were open.
                self._let_go(slots)
            self.phase = Phase.RELEASED
        report = self.report()
        _log.info(
            "{sockets} WebSockets, {streams} event streams and {pollers} connections of pollers were sent away",
            sockets=report.sockets,
            streams=report.streams,
            pollers=report.pollers,
        )

    async def _release_gradually(self, slots: ReconnectSlots) -> None:
        over_s = self.times.gradual_s
        sockets, streams, pollers = [*self.subscribers.protocols_open], self._streams(), self._pollers()
        # A parent has none of its own: its workers say so.
        if self.others is None:
            _log.info(
                "{count} watchers are sent away within {seconds} s",
                count=len(sockets) + len(streams) + len(pollers),
                seconds=over_s,
            )
        # Each kind over the whole time: the slots leave room for a constant rate of pollers.
        kinds = {"sockets": sockets, "streams": streams, "pollers": pollers}
        calls = [
            (kind, each)
            for _, kind, each in sorted(
                (
                    ((number + 0.5) / len(several), kind, each)
                    for kind, several in kinds.items()
                    for number, each in enumerate(several)
                ),
                key=itemgetter(0),
            )
        ]
        count = len(calls)
        slices = max(min(count, math.ceil(over_s / SLICE_S)), math.ceil(count / MAX_SLICE))
        begun = self.clock.seconds()
        for number in range(slices):
            for kind, each in calls[number * count // slices : (number + 1) * count // slices]:
                if kind == "pollers":
                    each.retire()
                else:
                    each.send_away(slots.take_ms())
                self._add(**{kind: 1})
            # Also without a time between them: other connections get their turn.
            due = begun + (number + 1) * over_s / slices
            await self._pause(max(due - self.clock.seconds(), 0.0))
            if self._hurried or self.phase is not Phase.RELEASING:
                break

    def _slots(self, *, successor: bool) -> ReconnectSlots:
        """Gives the slots for watchers of all transports and feeds. They leave room for the pollers without slots."""
        returns_per_s = self._returns_per_s()
        pollers = len(self._pollers())
        with_slots = len(self.subscribers.protocols_open) + len(self._streams())
        if successor:
            # Pollers go evenly over the time. All others share the rest, or have their part if the time is short.
            over_s = self.times.gradual_s
            rest_per_s = returns_per_s - pollers / over_s if over_s else 0.0
            rate = max(rest_per_s, returns_per_s * _share(with_slots, pollers))
            return ReconnectSlots(SUCCESSOR_RETURN_S, rate, self.clock.seconds)
        # Requests that wait are given slots, too.
        waiting = min(sum(feed.waiting() for feed in self.feeds), pollers)
        rate = returns_per_s * _share(with_slots + waiting, pollers - waiting)
        # All are released together: what is sent to the clients of a slot is the same, and made once.
        return ReconnectSlots(self.times.return_s, rate)

    def _returns_per_s(self) -> float:
        """Gives the number of clients that may come back per second, with and without slots."""
        rate = math.inf if self.pool is None else self.pool.accept_rate
        return max(RETURNS_SHARE * rate, MIN_RETURNS_PER_S) if rate < math.inf else RECONNECTS_PER_S

    def _slots_of_pollers(self, slots: ReconnectSlots) -> ReconnectSlots | None:
        """Gives the slots for the pollers that ask once more; ``None`` if there are few pollers.

        :param slots: those of the other watchers. Both sequences together leave room for the pollers that do not ask.
        """
        pollers = len(self._pollers()) - sum(feed.waiting() for feed in self.feeds)
        if pollers <= FEW_POLLERS:
            return None
        active = pollers if self.pool is None else self.pool.count_active(LAST_POLLS_S)
        share = min(max(active / pollers, LEAST_SHARE), 1.0)
        left_per_s = max(self._returns_per_s() - slots.returns_per_s, MIN_RETURNS_PER_S * LEAST_SHARE)
        # The others are sent away after them, and both come back from the same time on.
        return ReconnectSlots(self.times.return_s + LAST_POLLS_S, share * left_per_s, self.clock.seconds)

    async def _let_go_last(self, slots: ReconnectSlots) -> None:
        """Sends everything away that has no successor to go to: first the pollers that ask in time, then all others.

        To end 10,000 WebSockets takes a core for more than a second. Polls between them took 1.2 s (p99).
        """
        slots_of_pollers = self._slots_of_pollers(slots)
        if slots_of_pollers is not None:
            self.site.announce_returns(slots_of_pollers.take_s)
            if self.pool is not None:
                self.pool.renew_answers()
            end = self.clock.seconds() + LAST_POLLS_S
            while not self._hurried and self.clock.seconds() < end and self._pollers():
                await self._pause(_LOOK_S)
            # Requests in progress are answered between the slices. WebSockets that open meanwhile follow below.
            sockets = [*self.subscribers.protocols_open]
            for begin in range(0, len(sockets), MAX_SLICE):
                for each in sockets[begin : begin + MAX_SLICE]:
                    each.send_away(slots.take_ms())
                await self._pause(0.0)
        self._let_go(slots)

    def _let_go(self, slots: ReconnectSlots) -> None:
        """Sends everything away at once, and accepts no more watchers."""
        self.subscribers.let_go(slots)
        for feed in self.feeds:
            feed.let_go(slots)
        for channel in tuple(self.site.channels):
            channel.drain()
        if self.pool is not None:
            self.pool.end_idle()

    def _count_all(self) -> None:
        self._add(len(self.subscribers.protocols_open), len(self._streams()), len(self._pollers()))

    def _add(self, sockets: int = 0, streams: int = 0, pollers: int = 0) -> None:
        report = self._report
        self._report = replace(
            report,
            sockets=report.sockets + sockets,
            streams=report.streams + streams,
            pollers=report.pollers + pollers,
        )

    async def _pause(self, seconds: float) -> None:
        """Waits, but not after :meth:`hurry`."""
        if self._hurried:
            return
        woken: Deferred[None] = Deferred()
        self._woken = woken
        call = self.clock.callLater(seconds, self._wake)
        await woken
        if call.active():
            call.cancel()

    def _wake(self) -> None:
        woken, self._woken = self._woken, None
        if woken is not None:
            woken.callback(None)

    def _wake_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    # Phase 3

    def stopService(self) -> Deferred[None]:
        """IService API. The Deferred fires when all connections have ended, after :data:`DRAIN_S` at the latest."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        before, self.phase = self.phase, Phase.STOPPED
        self._wake()
        if before is not Phase.RELEASED:
            slots = self._slots(successor=self.successor)
            if self.successor:
                self._let_go(slots)
            else:
                await self._let_go_last(slots)
        deadline = self.clock.seconds() + DRAIN_S
        while self.count() and self.clock.seconds() < deadline:
            # Also after hurry(): the messages to the watchers must leave before their connections are reset.
            await deferLater(self.clock, _POLL_S)
            if self._hurried:
                break
        left: list[Any] = [*self.subscribers.protocols_open, *self._streams(), *self.site.channels]
        for protocol in left:
            protocol.transport.abortConnection()
        self._wake_waiting()

    def _streams(self) -> list[Any]:
        return [stream for feed in self.feeds for stream in feed.streams()]

    def _pollers(self) -> list[Poller]:
        return [*self.site.channels] if self.pool is None else [*self.pool.pollers()]


def _share(with_slots: int, others: int) -> float:
    """Gives the part of the returns that slots use, so that all are back at the same time."""
    return max(with_slots / (with_slots + others), LEAST_SHARE) if others else 1.0


class DrainedServices(MultiService):
    """Services that are stopped after the first phases of a drain, so that they serve until then.

    :param drain: one of the services.
    :ivar are_handed_over: whether another process has taken everything over. The end of this one then stops nothing:
        what it would close, remove or write belongs to the other one.
    """

    def __init__(self, drain: Drain) -> None:
        super().__init__()
        self.drain = drain
        self.are_handed_over = False

    def stopService(self) -> Deferred[Any]:
        """IService API."""
        return succeed(None) if self.are_handed_over else Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        try:
            await self.drain.prepare_stop()
        except Exception:
            _log.failure("the drain has failed: livefeed stops without it")
        await super().stopService()
