"""All connections of a process in one epoll, which is one reader of Twisted's reactor.

Rules: a turn handles a bounded number of events, so that timers and other descriptors of the reactor get their turn. A
connection has no timer of its own: sweeps look at all deadlines.
"""

from __future__ import annotations

import select
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from livefeed.clocks import Beat
from livefeed.transport.limits import ConnectionLimit, Limits, max_files, warn_of_few_files
from livefeed.transport.listeners import ACCEPT_COST_S, ACCEPTS, Listeners
from livefeed.transport.rooms import Turns
from livefeed.transport.traffic import Traffic
from livefeed.transport.unreported import Unreported

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from livefeed.transport.interfaces import MakeConnection, PooledConnection, ReadingReactor

EVENTS = 256
"""Upper limit of the events that one turn handles: a few milliseconds of work."""

TURN_S = 0.01
"""Seconds after which a turn ends even with fewer events, since an answer may have to be rendered."""

EVENTS_AT_ONCE = 32
"""Events that one call takes from the kernel, which puts their descriptors behind all others. There is no look at the
clock between them as long as replay answers all of them."""

SWEEP_S = 0.5
"""Seconds between two looks at all deadlines, and so the grain of each."""

OVERFLOW = 128
"""Connections over the limit that are still accepted, and told to come back. Others are closed at once."""

_log = Logger()


@implementer(IReadDescriptor)
@dataclass(eq=False)
class Pool:
    """Listens on sockets, and holds their connections.

    :param reactor: any reactor of Twisted's that takes a reader.
    :param limits: the limits that apply to all connections together.
    :ivar connections: the open connections, by descriptor.
    :ivar deadlines: the time, by the pool's clock, at which the sweep tells a connection that its deadline has passed.
        Subscribers have none. The times are here since a look at each connection would touch memory that is in no
        cache.
    :ivar did_more: set by a connection that did more than repeat an answer; the pool then looks at the clock.
    :ivar traffic: counts the bytes that are sent and received.
    :ivar turns: answers the requests that wait together.
    :ivar unreported: the connections with data that the kernel does not report.
    :ivar now: the reactor's time as of the last sweep, in seconds.
    :ivar accepted: number of connections accepted since the start.
    :ivar refused: number of connections closed or told to come back since there were too many.
    :ivar handshakes: number of TLS handshakes that succeeded since the start.
    :ivar failed_handshakes: number of connections that ended before their TLS handshake succeeded.
    :ivar capacity: upper limit of open connections; 0 before the pool listens.
    :ivar guests: the descriptors of open connections that :meth:`admit` has taken, which count nowhere.
    """

    # required parameters
    reactor: ReadingReactor
    limits: Limits = field(default_factory=Limits)

    # internal state
    connections: dict[int, PooledConnection] = field(default_factory=dict)
    deadlines: dict[PooledConnection, float] = field(default_factory=dict)
    turns: Turns = field(init=False)
    unreported: Unreported = field(init=False)
    traffic: Traffic = field(default_factory=Traffic)
    did_more: bool = False
    now: float = 0.0
    accepted: int = 0
    refused: int = 0
    handshakes: int = 0
    failed_handshakes: int = 0
    capacity: int = 0
    guests: set[int] = field(default_factory=set)
    _limit: ConnectionLimit = field(default_factory=ConnectionLimit)
    _over: int = 0  # connections over the limit, which do not count as open ones
    _is_full: bool = False
    _listeners: Listeners = field(init=False)
    _left_over: list[tuple[int, PooledConnection | None, int]] = field(default_factory=list)
    _lost: list[PooledConnection] = field(default_factory=list)
    _closing_call: IDelayedCall | None = None
    _in_turn: bool = False
    _running: bool = False

    def __post_init__(self) -> None:
        self._epoll = select.epoll()
        self._listeners = Listeners(self.reactor, self._epoll, self._admit)
        self.turns = Turns(self.reactor)
        self.unreported = Unreported(self.reactor, self.doRead)
        self._sweeping = LoopingCall(self.sweep)
        self._sweeping.clock = cast("IReactorTime", Beat(cast("IReactorTime", self.reactor)))

    def listen(
        self,
        sock: socket.socket,
        make_connection: MakeConnection,
        admits: Callable[[object], bool] | None = None,
        *,
        cost_s: float = ACCEPT_COST_S,
        measure: Callable[[], float] | None = None,
    ) -> None:
        """Accepts connections of a socket.

        :param sock: bound, listening and not blocking. Its connections inherit its options.
        :param make_connection: makes a connection of each socket that is accepted.
        :param admits: tells whether a peer may connect, by the name that ``accept`` gives; others are reset. ``None``
            to admit all.
        :param cost_s: the processor seconds of a new connection, with its handshake.
        :param measure: gives better ones; called once the accept rate depends on them. ``None`` if there are none.
        """
        if not self._running:
            self._begin()
        self._listeners.add(sock, make_connection, admits, cost_s, measure)

    def configure(self, limits: Limits) -> None:
        """Takes other limits. All connections stay, also if there are more of them than the new limits allow."""
        self.limits = limits
        if not self._running:
            return
        self._apply_limits()

    @property
    def accept_rate(self) -> float:
        """New connections that are accepted per second, with the most expensive handshake; infinite without a limit."""
        return self._listeners.rate

    @property
    def rested(self) -> int:
        """Number of times that a listener has rested since the accept rate was reached."""
        return self._listeners.rested

    @property
    def max_files(self) -> int:
        """The number of connections that the limit of open files allows beside the files that are set aside."""
        return max_files()

    @property
    def count(self) -> int:
        """The number of open connections, without :attr:`guests`."""
        return len(self.connections) - len(self.guests)

    def limit_by_memory(self, connections: int) -> None:
        """Limits the number of connections where no setting does.

        :param connections: more than 0.
        """
        self._limit.by_memory = connections
        self.capacity = self._limit.most(self.limits.connections)

    def hold(self, *, held: bool) -> int:
        """Takes no more connections than there are, or takes them again. Returns their number."""
        count = self.count - self._over
        self._limit.held_at = count if held else None
        self.capacity = self._limit.most(self.limits.connections)
        return count

    def unlisten(self, sock: socket.socket) -> None:
        """Accepts no more connections of a socket, and closes it. Its open connections stay."""
        if self._listeners.remove(sock):
            self._cease_if_idle()

    def admit(self, sock: socket.socket, make_connection: MakeConnection) -> None:
        """Takes a connected socket as if a listener had accepted it, whatever the limits say, and does not count it.

        :param sock: connected; the pool closes it.
        """
        if not self._running:
            self._begin()
        self.guests.add(sock.fileno())
        self._take(sock, None, make_connection, too_many=False)

    def pollers(self) -> list[PooledConnection]:
        """Gives the connections whose handshake is done, and that nothing is followed on."""
        return [each for each in self.connections.values() if each.polls]

    def renew_answers(self) -> None:
        """Has all connections look their stores of answers up again, which their factories have replaced."""
        for connection in self.connections.values():
            connection.renew_answers()

    def count_active(self, seconds: float) -> int:
        """Gives the number of connections to which an answer was repeated within this time, and a sweep more."""
        since = self.now - seconds
        return sum(each.is_active(since) for each in self.connections.values() if each.polls)

    def end_idle(self) -> None:
        """Ends the connections on which nothing is under way that a protocol would know of, including handshakes."""
        for connection in tuple(self.connections.values()):
            connection.close_if_idle()

    # IReadDescriptor

    def fileno(self) -> int:
        """IReadDescriptor API."""
        return self._epoll.fileno()

    def logPrefix(self) -> str:
        """ILoggingContext API."""
        return "livefeed"

    def connectionLost(self, reason: Failure) -> None:
        """IReadDescriptor API. The reactor stops: all connections are aborted."""
        for connection in tuple(self.connections.values()):
            connection.abortConnection()
        self._close_lost()
        self._listeners.close()
        if self._running:
            self._running = False
            self._listeners.cease_pacing()
            self._sweeping.stop()
        self.unreported.stop()
        self._epoll.close()

    def doRead(self) -> None:
        """IReadDescriptor API. Handles a batch of events."""
        connections = self.connections
        self._in_turn = True
        left, end = EVENTS, self.reactor.seconds() + TURN_S
        # Until there is no event left: another turn of the reactor costs 15 µs, and a look costs 0.6.
        while left > 0 and (found := self._take_left_over() or self._take_events()):
            left -= len(found)
            each = iter(found)
            for fd, events in each:
                connection = connections.get(fd)
                if connection is None:
                    self._listeners.accept(fd)
                    left -= ACCEPTS
                    continue
                try:
                    connection.handle(events)
                except Exception:
                    self.log_failure("the transport", connection)
                    connection.abortConnection()
                if self.did_more:
                    # Rendering an answer takes up to 2 ms: 32 in a row took 0.5 s where each took 20 ms.
                    self.did_more = False
                    if self.reactor.seconds() > end:
                        break
            # The rest comes first in the next turn: the kernel has put these descriptors behind all others.
            self._left_over = [(fd, connections.get(fd), events) for fd, events in each]
            if self._lost:
                # Otherwise the kernel would report them again and again.
                self._close_lost()
            if self.reactor.seconds() > end:
                break
        self._in_turn = False
        self._wake_if_more()

    # What connections call

    def watch(self, fd: int, mask: int) -> None:
        """Changes the events that a connection waits for."""
        self._epoll.modify(fd, mask)

    def handle_again(self, connection: PooledConnection) -> None:
        """Handles a connection once more, which has data that the kernel does not report."""
        self.unreported.waiting[connection.fd] = connection
        if not self._in_turn:
            self.unreported.wake_later()

    def close_later(self, connection: PooledConnection) -> None:
        """Closes a connection that is lost after this turn."""
        self._lost.append(connection)
        if not self._in_turn and self._closing_call is None:
            self._closing_call = self.reactor.callLater(0, self._close_lost)

    def replace(self, connection: PooledConnection, successor: PooledConnection) -> None:
        """Puts a connection into the place of one that has read all that comes before it, on the same socket."""
        self.deadlines.pop(connection, None)
        successor.over_capacity = connection.over_capacity
        self.connections[successor.fd] = successor
        successor.set_deadline(self.limits.handshake_s)
        successor.start()

    def log_failure(self, where: str, culprit: object) -> None:
        """Logs the exception that is being handled. It ends one connection and no more."""
        _log.failure(
            "{where} raised an exception, which ends one connection: {culprit}",
            where=where,
            culprit=type(culprit).__name__,
        )

    # Inside

    def sweep(self) -> None:
        """Tells connections whose deadline has passed, and lets listeners accept again that have reached a limit."""
        self.now = now = self.reactor.seconds()
        # A comparison takes 50 ns per connection; a timer would take ten times as long, and 500 bytes.
        for connection in [each for each, deadline in self.deadlines.items() if deadline <= now]:
            connection.expire()
        if self._is_full and self.count - self._over < self.capacity * 0.9:
            self._is_full = False
            _log.info("the number of connections is below the limit again")
        self.traffic.sample(self.connections, SWEEP_S)
        self._listeners.end_rest()

    def _take_left_over(self) -> list[tuple[int, int]]:
        """Gives the events that the last turn had no time for, except those of connections that have ended since."""
        left_over, self._left_over = self._left_over, []
        return [(fd, events) for fd, connection, events in left_over if self.connections.get(fd) is connection]

    def _take_events(self) -> list[tuple[int, int]]:
        """Gives the events that the kernel reports, and those that it does not."""
        found: list[tuple[int, int]] = self._epoll.poll(0, EVENTS_AT_ONCE)
        if self.unreported.waiting:
            self.unreported.add_to(found, self.connections)
        return found

    def _wake_if_more(self) -> None:
        """Has another turn if there are events that the kernel does not report, or not again."""
        if self._left_over or self.unreported.waiting:
            self.unreported.wake_later()

    def _admit(self, sock: socket.socket, peer: object, make_connection: MakeConnection) -> None:
        """Takes a socket that a listener has accepted, or closes it if there are far too many connections."""
        # Connections over the limit do not count: clients that were told to come back must find free places.
        too_many = self.count - self._over >= self.capacity
        if too_many:
            self.refused += 1
            if not self._is_full:
                self._is_full = True
                _log.warn(
                    "the limit of {count} connections is reached: more clients are told to come back",
                    count=self.capacity,
                )
        if too_many and self._over >= OVERFLOW:
            sock.close()
            return
        self.accepted += self._take(sock, peer, make_connection, too_many=too_many)

    def _take(self, sock: socket.socket, peer: object, make_connection: MakeConnection, *, too_many: bool) -> bool:
        try:
            sock.setblocking(False)
            connection = make_connection(self, sock, peer)
            self._epoll.register(connection.fd, select.EPOLLIN)
        except Exception:
            # No memory, in the process or in the kernel: this client alone is sent away.
            self.log_failure("accepting", make_connection)
            self.guests.discard(sock.fileno())
            sock.close()
            return False
        connection.over_capacity = too_many
        self._over += too_many
        self.connections[connection.fd] = connection
        connection.set_deadline(self.limits.handshake_s)
        connection.start()
        return True

    def _close_lost(self) -> None:
        if self._closing_call is not None and self._closing_call.active():
            self._closing_call.cancel()
        self._closing_call = None
        # A protocol that is told of its end may end other connections.
        while self._lost:
            ending, self._lost = self._lost, []
            for connection in ending:
                if self.connections.pop(connection.fd, None) is not None:
                    self._epoll.unregister(connection.fd)
                    self._over -= connection.over_capacity
                    self.guests.discard(connection.fd)
                    self.deadlines.pop(connection, None)
                    self.traffic.end(connection)
                    connection.close()
        self._cease_if_idle()

    def _begin(self) -> None:
        self._running = True
        self._apply_limits()
        self.now = self.reactor.seconds()
        self.reactor.addReader(self)
        self._sweeping.start(SWEEP_S, now=False)

    def _apply_limits(self) -> None:
        self.capacity = self._limit.most(self.limits.connections)
        warn_of_few_files(self.limits.connections)
        self._listeners.set_rate(self.limits.accept_rate)

    def _cease_if_idle(self) -> None:
        if self._running and not self._listeners and not self.connections:
            self._running = False
            self._listeners.cease_pacing()
            self.unreported.stop()
            self.reactor.removeReader(self)
            self._sweeping.stop()
