"""Connections with data that the kernel does not report."""

from __future__ import annotations

from dataclasses import dataclass
from select import EPOLLIN, EPOLLOUT
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.transport.unreported import Unreported


@dataclass
class Reader:
    """A connection that reads, or does not."""

    fd: int
    reads: bool = True


class UnreportedTests(SynchronousTestCase):
    """The events of such connections, and the turn of the reactor in which they are handled."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.turns: list[float] = []
        self.unreported = Unreported(self.clock, lambda: self.turns.append(self.clock.seconds()))

    def waiting(self, *readers: Reader) -> dict[int, Any]:
        """Has connections wait. Gives them by descriptor."""
        connections: dict[int, Any] = {each.fd: each for each in readers}
        self.unreported.waiting.update(connections)
        return connections

    def test_event_is_added_once(self) -> None:
        """Behind those of the kernel."""
        events = [(7, EPOLLIN)]
        connections = self.waiting(Reader(3), Reader(4))
        self.unreported.add_to(events, connections)
        self.assertEqual(events, [(7, EPOLLIN), (3, EPOLLIN), (4, EPOLLIN)])
        events.clear()
        self.unreported.add_to(events, connections)
        self.assertEqual(events, [])

    def test_connection_that_reads_nothing_has_no_event(self) -> None:
        """It waits again when it goes on."""
        events: list[tuple[int, int]] = []
        self.unreported.add_to(events, self.waiting(Reader(3, reads=False)))
        self.assertEqual(events, [])

    def test_connection_that_has_ended_has_no_event(self) -> None:
        """Nor has another one with its descriptor."""
        events: list[tuple[int, int]] = []
        self.waiting(Reader(3), Reader(4))
        others: dict[int, Any] = {4: Reader(4)}
        self.unreported.add_to(events, others)
        self.assertEqual(events, [])

    def test_connection_is_handled_once_in_a_turn(self) -> None:
        """While the event of the kernel is handled, it may cease to read; an event for writing stands for nothing."""
        events = [(3, EPOLLIN | EPOLLOUT), (4, EPOLLOUT)]
        self.unreported.add_to(events, self.waiting(Reader(3), Reader(4)))
        self.assertEqual(events, [(3, EPOLLIN | EPOLLOUT), (4, EPOLLOUT), (4, EPOLLIN)])

    def test_reactor_is_woken_once(self) -> None:
        """However many connections wait."""
        for _ in range(2):
            self.unreported.wake_later()
            self.unreported.wake_later()
            self.clock.advance(0)
        self.assertEqual(len(self.turns), 2)

    def test_nothing_is_handled_after_the_stop(self) -> None:
        """Nothing waits, either."""
        self.waiting(Reader(3))
        self.unreported.wake_later()
        self.unreported.stop()
        self.unreported.stop()
        self.clock.advance(0)
        self.assertEqual((self.turns, self.unreported.waiting), ([], {}))
