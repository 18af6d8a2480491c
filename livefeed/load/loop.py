"""The descriptors and the timers of a process: epoll without anything around it.

Rules: one thread; a callback never blocks; what it raises ends the process, since a load tester that goes on with a
mistake of its own measures nothing.
"""

from __future__ import annotations

import heapq
import select
import time
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

READABLE = select.EPOLLIN | select.EPOLLRDHUP
WRITABLE = select.EPOLLOUT

LONGEST_WAIT_S = 1.0
"""The longest wait in seconds for a descriptor: the clock is looked at that often."""


@dataclass(slots=True, eq=False)
class Loop:
    """Calls functions when descriptors are ready, and at times.

    :ivar handlers: the function of each descriptor, which is given the events of epoll. A watcher that goes from one
        phase to the next replaces its own.
    """

    handlers: dict[int, Callable[[int], None]] = field(default_factory=dict)

    # internal state
    _epoll: select.epoll = field(default_factory=select.epoll)
    _timers: list[tuple[int, int, Callable[[], None]]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)
    _is_over: bool = False

    def add(self, descriptor: int, events: int, handler: Callable[[int], None]) -> None:
        """Begins to watch a descriptor."""
        self.handlers[descriptor] = handler
        self._epoll.register(descriptor, events)

    def change(self, descriptor: int, events: int) -> None:
        """Watches a descriptor for other events."""
        self._epoll.modify(descriptor, events)

    def remove(self, descriptor: int) -> None:
        """Watches a descriptor no more. It may have been closed, by which epoll has forgotten it already."""
        del self.handlers[descriptor]
        with suppress(OSError):
            self._epoll.unregister(descriptor)

    def at(self, when_ns: int, function: Callable[[], None]) -> None:
        """Calls a function once, at a time of :func:`time.monotonic_ns` or later."""
        heapq.heappush(self._timers, (when_ns, next(self._numbers), function))

    def run(self) -> None:
        """Runs until :meth:`stop`."""
        poll, handlers, timers = self._epoll.poll, self.handlers, self._timers
        while not self._is_over:
            wait_s = LONGEST_WAIT_S
            if timers:
                wait_s = min(max((timers[0][0] - time.monotonic_ns()) / 1e9, 0), LONGEST_WAIT_S)
            for descriptor, events in poll(wait_s):
                # A handler of the same turn may have closed the connection.
                if (handler := handlers.get(descriptor)) is not None:
                    handler(events)
            # Timers that are set meanwhile wait for the next turn, so that they cannot keep descriptors waiting.
            now = time.monotonic_ns()
            due = []
            while timers and timers[0][0] <= now:
                due.append(heapq.heappop(timers)[2])
            for function in due:
                function()

    def stop(self) -> None:
        """Ends :meth:`run` after the current turn."""
        self._is_over = True

    def close(self) -> None:
        """Frees epoll; the descriptors stay open."""
        self._epoll.close()
