"""The sockets that listen, and the rate at which they accept.

Rule: this file decides when a connection is accepted. The pool decides whether it is kept.
"""

from __future__ import annotations

import errno
import select
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from livefeed.transport.limits import CPU_SHARE
from livefeed.transport.sockets import reset_when_closed

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall

    from livefeed.transport.interfaces import MakeConnection, TimedReactor

ACCEPTS = 64
"""Upper limit of the connections that one event of a listener accepts. It counts as this number of events."""

REFILL_S = 0.02
"""Seconds after which listeners that rest because of the accept rate accept again, if one connection is allowed then.
There is a timer only while one rests: an idle process is not woken."""

BURST_S = 0.1
"""Seconds for which connections that were not accepted are allowed later. A turn that renders answers or pushes takes
up to 50 ms, and would lower the rate without it. The connections of a quiet minute are not saved up."""

ACCEPT_COST_S = 0.0001
"""Processor seconds of a new connection without TLS, or in addition to its handshake: accepting, objects, the end."""


@dataclass(slots=True)
class _Listener:
    """A socket that listens.

    :ivar make_connection: the factory of its connections.
    :ivar admits: tells whether a peer may connect; ``None`` to admit all.
    :ivar cost_s: the processor seconds of a new connection.
    :ivar measure: gives these seconds once they are needed; ``None`` if they were measured, or need not be.
    :ivar price: the part of the allowance that a new connection takes.
    """

    sock: socket.socket
    make_connection: MakeConnection
    admits: Callable[[object], bool] | None
    cost_s: float
    measure: Callable[[], float] | None = None
    price: float = 0.0


@dataclass(eq=False, slots=True)
class Listeners:
    """The listening sockets of a pool.

    :param reactor: tells the time, and calls later.
    :param epoll: watches the sockets.
    :param take: is given each socket that is accepted, the name of its peer, and the factory of its connection.
    :ivar rested: number of times that a listener has rested since the accept rate was reached.
    """

    # required parameters
    reactor: TimedReactor
    epoll: select.epoll
    take: Callable[[socket.socket, object, MakeConnection], None]

    # internal state
    rested: int = 0
    _by_fd: dict[int, _Listener] = field(default_factory=dict)
    _resting: list[int] = field(default_factory=list)  # until the next sweep, since there are no more files
    _paced: list[int] = field(default_factory=list)  # until there is an allowance for them
    _pace_call: IDelayedCall | None = None
    _rate: int = 0
    _allowance: float = 0.0
    _refilled_at: float = 0.0
    _refill_per_s: float = 0.0
    _max_price: float = 0.0  # of the dearest listener since the pool listens; 0 without a limit

    def __len__(self) -> int:
        return len(self._by_fd)

    def add(
        self,
        sock: socket.socket,
        make_connection: MakeConnection,
        admits: Callable[[object], bool] | None,
        cost_s: float,
        measure: Callable[[], float] | None,
    ) -> None:
        """Accepts connections of a socket; see :meth:`livefeed.transport.pool.Pool.listen`."""
        self._by_fd[sock.fileno()] = listener = _Listener(sock, make_connection, admits, cost_s, measure)
        self._set_price(listener)
        self.epoll.register(sock.fileno(), select.EPOLLIN)

    def remove(self, sock: socket.socket) -> bool:
        """Accepts no more connections of a socket, and closes it. Tells whether it was one of these."""
        fd = sock.fileno()
        if self._by_fd.pop(fd, None) is None:
            return False
        if fd in self._paced:
            self._paced.remove(fd)
        self.epoll.unregister(fd)
        sock.close()
        return True

    def close(self) -> None:
        """Closes all sockets, since the reactor stops."""
        for listener in self._by_fd.values():
            listener.sock.close()
        self._by_fd.clear()

    def accept(self, fd: int) -> None:
        """Accepts some of the connections that wait at a socket, if a descriptor is that of one."""
        listener = self._by_fd.get(fd)
        if listener is None:
            return
        if self._max_price:
            self._refill()
        for _ in range(ACCEPTS):
            # Not the price of this listener: the others would leave no allowance to the dearest.
            if self._allowance < self._max_price:
                self._pace(fd)
                return
            try:
                sock, peer = listener.sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._rest(fd)
                    return
                continue  # the client left while it waited to be accepted
            if listener.admits is not None and not listener.admits(peer):
                # Not counted in the rate of all: the refused would take the turns of others.
                reset_when_closed(sock)
                sock.close()
                continue
            self._allowance -= listener.price
            self.take(sock, peer, listener.make_connection)

    def _rest(self, fd: int) -> None:
        """Accepts no connection of a listener until the next sweep."""
        self.epoll.modify(fd, 0)
        self._resting.append(fd)

    def end_rest(self) -> None:
        """Accepts again where there were no more files, which the pool does at each sweep."""
        for fd in self._resting:
            if fd in self._by_fd:
                self.epoll.modify(fd, select.EPOLLIN)
        self._resting.clear()

    # The accept rate

    @property
    def rate(self) -> float:
        """New connections that are accepted per second, with the most expensive handshake; infinite without a limit."""
        return self._refill_per_s / self._max_price if self._max_price else inf

    def set_rate(self, rate: int) -> None:
        """Takes another rate, with a full allowance.

        :param rate: new connections per second; 0 for the number that takes :data:`.limits.CPU_SHARE` of a
            core, and :data:`.limits.NO_LIMIT` for no limit.
        """
        self._rate = rate
        self._refill_per_s = CPU_SHARE if rate == 0 else 1.0
        self._max_price = 0.0
        self._refilled_at = self.reactor.seconds()
        self._allowance = inf  # as much as may be saved up
        for listener in self._by_fd.values():
            self._set_price(listener)
        self._resume()

    def _set_price(self, listener: _Listener) -> None:
        """Sets the price of a connection: processor seconds, or the time between two connections at a given rate."""
        rate = self._rate
        if rate == 0 and listener.measure is not None:
            listener.cost_s, listener.measure = listener.measure(), None
        listener.price = listener.cost_s if rate == 0 else max(1 / rate, 0.0)
        self._max_price = max(self._max_price, listener.price)

    def _refill(self) -> None:
        """Adds the allowance of the time that has passed."""
        now = self.reactor.seconds()
        most = BURST_S * self._refill_per_s + self._max_price
        self._allowance = min(self._allowance + (now - self._refilled_at) * self._refill_per_s, most)
        self._refilled_at = now

    def _pace(self, fd: int) -> None:
        """Accepts no connection of a listener until one is allowed."""
        self.epoll.modify(fd, 0)
        self._paced.append(fd)
        self.rested += 1
        if self._pace_call is None:
            missing_s = (self._max_price - self._allowance) / self._refill_per_s
            self._pace_call = self.reactor.callLater(max(missing_s, REFILL_S), self._resume)

    def _resume(self) -> None:
        """Accepts again where the accept rate was reached."""
        # The kernel reports them in this order. The first one may take the whole allowance, so it is the last one now.
        paced = (*self._paced[1:], *self._paced[:1])
        self.cease_pacing()
        for fd in paced:
            self.epoll.modify(fd, select.EPOLLIN)

    def cease_pacing(self) -> None:
        """Ends the timer of listeners that rest, which there are no more of, or which accept again."""
        self._paced.clear()
        call, self._pace_call = self._pace_call, None
        if call is not None and call.active():
            call.cancel()
