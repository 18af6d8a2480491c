"""The rate at which listeners accept, and what they do where nothing can be accepted."""

from __future__ import annotations

import errno
from functools import partial
from math import inf
from typing import Any

from twisted.internet.protocol import Factory

from livefeed.transport.limits import CPU_SHARE
from livefeed.transport.listeners import BURST_S, REFILL_S
from livefeed.transport.pool import EVENTS, SWEEP_S
from tests.helpers.connections import Recorder
from tests.helpers.driven import make_pool, turn_until
from tests.helpers.pools import PoolTestCase


def _recorded(protocols: list[Recorder], address: object) -> Recorder:
    protocols.append(Recorder())
    return protocols[-1]


class RateTests(PoolTestCase):
    def pass_time(self, seconds: float) -> None:
        """Lets time pass in the steps in which allowances are refilled."""
        for _ in range(round(seconds / REFILL_S)):
            self.reactor.now += REFILL_S
            self.reactor.settle()

    def near(self, count: int, expected: int) -> None:
        """Fails if a number is not what was expected, or one less: a fraction of a connection is left over."""
        self.assertIn(count, (expected - 1, expected))

    def test_rate(self) -> None:
        """The pool accepts `accept_rate` connections a second, evenly; the others wait in the kernel."""
        self.listen(accept_rate=100)
        for _ in range(60):
            self.connect()
        self.reactor.settle()
        self.near(len(self.pool.connections), 1 + round(100 * BURST_S))
        for expected in (21, 31, 41):
            self.pass_time(0.1)
            self.near(len(self.pool.connections), expected)
        self.assertEqual(self.pool.accept_rate, 100)
        self.assertGreater(self.pool.rested, 0)

    def test_rate_is_not_saved_up(self) -> None:
        """A quiet minute is not followed by a storm."""
        self.listen(accept_rate=100)
        self.reactor.advance(60)
        for _ in range(25):
            self.connect()
        self.reactor.settle()
        self.near(len(self.pool.connections), 1 + round(100 * BURST_S))

    def test_a_slow_turn_does_not_lower_the_rate(self) -> None:
        """The connections of a tenth of a second are made up for."""
        self.listen(accept_rate=100)
        for _ in range(60):
            self.connect()
        self.reactor.settle()
        self.reactor.now += BURST_S
        self.reactor.settle()
        self.near(len(self.pool.connections), 21)

    def test_low_rates(self) -> None:
        """One that is no whole number for each refill comes true over time."""
        for rate in (1, 3, 5):
            self.listen(accept_rate=rate)
            for _ in range(20):
                self.connect()
            self.reactor.settle()
            self.pass_time(3)
            self.assertIn(self.pool.accepted, (3 * rate, 3 * rate + 1), rate)

    def test_automatic_rate(self) -> None:
        """It is the part of a core that new connections may take, divided by the seconds that each takes."""
        self.pool = make_pool(self.reactor, accept_rate=0).pool
        self.add_listener(cost_s=0.006)
        self.assertEqual(self.pool.accept_rate, CPU_SHARE / 0.006)
        for _ in range(60):
            self.connect()
        self.reactor.settle()
        self.near(len(self.pool.connections), 11)
        self.pass_time(0.2)
        self.near(len(self.pool.connections), 31)

    def test_cheap_connections_leave_an_allowance_to_the_others(self) -> None:
        """A crowd without TLS does not keep clients with TLS from being accepted."""
        self.pool = make_pool(self.reactor, accept_rate=0).pool
        self.add_listener(cost_s=0.006)
        for _ in range(40):
            self.connect()
        others: Any = Factory()
        others.buildProtocol = lambda address: Recorder()
        self.add_listener(others, cost_s=0.0001)
        for _ in range(200):
            self.connect()
        self.reactor.settle()
        before = len(self.protocols)
        self.pass_time(0.5)
        self.assertGreater(len(self.protocols), before)

    def test_listeners_take_turns(self) -> None:
        """A crowd on one listener does not keep the clients of the others from being accepted."""
        self.listen(accept_rate=100)
        accepted = []
        addresses = [self.address]
        for _ in range(2):
            protocols: list[Recorder] = []
            factory: Any = Factory()
            factory.buildProtocol = partial(_recorded, protocols)
            accepted.append(protocols)
            self.add_listener(factory)
            addresses.append(self.address)
        for self.address in addresses:
            for _ in range(80):
                self.connect()
        self.reactor.settle()
        self.pass_time(0.9)
        counts = [len(each) for each in (self.protocols, *accepted)]
        self.assertTrue(all(20 < count < 50 for count in counts), counts)

    def test_no_limit(self) -> None:
        """All that wait are accepted, and nothing is counted."""
        self.listen()
        for _ in range(300):
            self.connect()
        self.reactor.settle()
        self.assertEqual((len(self.pool.connections), self.pool.accept_rate), (300, inf))

    def test_no_timer_where_nothing_rests(self) -> None:
        """An idle process is not woken to refill an allowance, and a timer ends with the wait."""
        self.listen(accept_rate=100)
        calls = len(self.reactor.getDelayedCalls())
        for _ in range(13):
            self.connect()
        self.reactor.settle()
        self.assertEqual(len(self.reactor.getDelayedCalls()), calls + 1)
        self.pass_time(0.2)
        self.assertEqual((len(self.pool.connections), len(self.reactor.getDelayedCalls())), (13, calls))


class AcceptingTests(PoolTestCase):
    def test_accepted_in_batches(self) -> None:
        """A turn accepts a limited number, so that others get their turn while a crowd returns."""
        self.listen()
        for _ in range(EVENTS + 10):
            self.connect()
        self.pool.doRead()
        self.assertEqual(len(self.pool.connections), EVENTS)
        self.pool.doRead()
        self.assertEqual((len(self.pool.connections), self.pool.accepted), (EVENTS + 10, EVENTS + 10))

    def test_no_more_files(self) -> None:
        """Accepting rests until the next sweep, rather than being tried again and again; connections go on."""
        for number in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
            self.listen()
            first = self.connect()
            self.connected(1)
            self.listener.failures = [OSError(number, "")]
            self.connect()
            self.reactor.settle()
            self.assertEqual((self.listener.failures, len(self.pool.connections)), ([], 1))
            first.send(b"x")
            turn_until(self.reactor, lambda: self.protocols[-1].received == b"x")
            self.assertEqual(len(self.pool.connections), 1)
            self.reactor.advance(SWEEP_S)
            self.connected(2)
            self.assertEqual(self.pool._listeners._resting, [])

    def test_client_that_left_while_it_waited(self) -> None:
        """Such a connection is skipped."""
        self.listen()
        self.listener.failures = [OSError(errno.ECONNABORTED, "")]
        self.connect()
        self.pool.doRead()
        self.assertEqual(len(self.pool.connections), 1)

    def test_peer_that_may_not_connect(self) -> None:
        """It is reset, and takes nothing of the rate of all."""
        self.pool = make_pool(self.reactor, accept_rate=1).pool
        self.add_listener(admits=lambda _: False)
        clients = [self.connect() for _ in range(5)]
        turn_until(self.reactor, lambda: all(client.ended for client in clients), *clients)
        self.assertEqual((self.pool.accepted, self.pool.rested), (0, 0))

    def test_end_of_the_reactor(self) -> None:
        """All sockets are closed, and nothing listens any more."""
        self.listen()
        self.pool._listeners.close()
        self.assertEqual((self.listener.fileno(), len(self.pool._listeners)), (-1, 0))
