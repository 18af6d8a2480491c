"""Connections with data that the kernel does not report: OpenSSL has read it together with the data before it.

Rules: a connection is handled once for each look at the kernel's events, and after these. So a client that sends
without end takes no turn of another one. Nothing is kept of a connection but that it is to be handled.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from select import EPOLLIN
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from twisted.internet.interfaces import IDelayedCall

    from livefeed.transport.interfaces import PooledConnection, TimedReactor


@dataclass(slots=True, eq=False)
class Unreported:
    """The connections that are to be handled although the kernel reports nothing of them.

    :param reactor: calls later.
    :param wake: handles events.
    :ivar waiting: the connections, by descriptor.
    """

    # required parameters
    reactor: TimedReactor
    wake: Callable[[], object]

    # internal state
    waiting: dict[int, PooledConnection] = field(default_factory=dict)
    _call: IDelayedCall | None = None

    def add_to(self, events: list[tuple[int, int]], connections: Mapping[int, PooledConnection]) -> None:
        """Adds the events of the connections that wait, as the kernel would report them, and forgets these.

        :param events: those that the kernel reports. A connection that has data to be read among them gets no
            event more: while it is handled, it may cease to read.
        :param connections: the open connections, by descriptor. One that has ended, or that reads nothing now, has no
            event; it waits again when it goes on reading.
        """
        waiting, self.waiting = self.waiting, {}
        for fd, mask in events:
            if mask & EPOLLIN:
                waiting.pop(fd, None)
        events += [(fd, EPOLLIN) for fd, each in waiting.items() if connections.get(fd) is each and each.reads]

    def wake_later(self) -> None:
        """Has events handled in the next turn of the reactor, which nothing else may wake."""
        if self._call is None:
            self._call = self.reactor.callLater(0, self._wake)

    def stop(self) -> None:
        """Forgets the connections, and handles no more events."""
        self.waiting.clear()
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _wake(self) -> None:
        self._call = None
        self.wake()
