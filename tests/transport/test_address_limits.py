"""Rates of new connections for each address and network, and what the log says of refusals."""

from __future__ import annotations

import socket
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from livefeed.transport import address_limits
from livefeed.transport.address_limits import (
    ADDRESS_RATE,
    BURST_S,
    MALFORMED_HEADER,
    NETWORK_RATE,
    QUIET_S,
    REASONS,
    AddressLimits,
    Refusals,
    _Rate,
)
from livefeed.transport.addresses import Networks
from livefeed.transport.endpoint import PoolReactor
from tests.helpers.connections import Recorder
from tests.helpers.driven import Client, DrivenReactor, make_pool, settle, turn_until


class RateTests(SynchronousTestCase):
    """One bucket for each key."""

    def test_burst_and_rate(self) -> None:
        """A client has the burst at once, and then the rate."""
        rate = _Rate(5)
        self.assertEqual(sum(rate.take(1, 100.0) for _ in range(200)), 5 * BURST_S)
        self.assertTrue(rate.take(2, 100.0))
        self.assertEqual(sum(rate.take(1, 101.0) for _ in range(50)), 5)
        self.assertEqual(sum(rate.take(1, 101.0 + 2 * BURST_S) for _ in range(200)), 5 * BURST_S)

    @given(st.lists(st.floats(0, 3), min_size=1, max_size=60), st.sampled_from([0.25, 1, 3, 50]))
    def test_never_more_than_the_rate(self, pauses: list[float], per_second: float) -> None:
        """In no stretch of time are there more than the burst and the rate, apart from half a connection."""
        rate, now, taken = _Rate(per_second), 0.0, []
        for pause in pauses:
            now += pause
            taken += [now for _ in range(5) if rate.take(0, now)]
        for index, start in enumerate(taken):
            for count, end in enumerate(taken[index:], 1):
                self.assertLess(count, per_second * BURST_S + per_second * (end - start) + 1)

    def test_bounded(self) -> None:
        """The clients that were seen least recently are forgotten; one that comes again and again is not."""
        self.patch(address_limits, "MAX_CLIENTS", 100)
        rate = _Rate(1)
        while rate.take(0, 0.0):
            pass
        for key in range(1, 10_000):
            self.assertTrue(rate.take(key, 0.0))
            self.assertFalse(rate.take(0, 0.0))
            self.assertLessEqual(len(rate), 100)


class LimitsTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.refusals = Refusals(self.clock)

    def limits(self, address: float = 1, network: float = 2, *trusted: str) -> AddressLimits:
        networks = Networks.parse(trusted, "trusted_proxy")
        return AddressLimits(address, network, networks, self.refusals, self.clock)

    def admitted(self, limits: AddressLimits, host: str, count: int) -> int:
        return sum(limits.admits((host, port)) for port in range(count))


class AddressLimitsTests(LimitsTestCase):
    """Which connections are admitted."""

    def test_addresses_and_networks(self) -> None:
        """Neighbours share the rate of their network, and nothing else."""
        for hosts, far in (
            (("192.0.2.1", "::ffff:192.0.2.2", "192.0.2.3"), "192.0.3.1"),
            (("2001:db8:1:1::1", "2001:db8:1:2::1", "2001:db8:1:3::1"), "2001:db8:2::1"),
        ):
            limits = self.limits()
            self.assertEqual(
                [self.admitted(limits, host, 30) for host in (*hosts, far)], [BURST_S, BURST_S, 0, BURST_S]
            )
        self.assertEqual(self.refusals.counts[ADDRESS_RATE], 2 * 4 * 10)
        self.assertEqual(self.refusals.counts[NETWORK_RATE], 2 * 20)

    def test_ipv6_counts_by_64_bits(self) -> None:
        """A client cannot get around the rate by the addresses of its own network."""
        limits = self.limits()
        self.assertEqual(sum(self.admitted(limits, f"2001:db8::{n:x}", 1) for n in range(100)), BURST_S)

    def test_exempt(self) -> None:
        """Unix sockets, the machine itself and trusted proxies have no limit."""
        limits = self.limits(1, 1, "10.0.0.0/8")
        for host in ("127.0.0.1", "127.9.9.9", "::1", "10.1.2.3", "::ffff:10.1.2.3"):
            self.assertEqual(self.admitted(limits, host, 100), 100)
        self.assertTrue(all(limits.admits("") for _ in range(100)))

    def test_no_limits(self) -> None:
        """0 switches either off."""
        self.assertEqual(self.admitted(self.limits(0, 0), "192.0.2.1", 500), 500)
        self.assertEqual(self.admitted(self.limits(0, 1), "192.0.2.1", 500), BURST_S)
        self.assertEqual(self.admitted(self.limits(1, 0), "192.0.2.1", 500), BURST_S)

    def test_other_rates(self) -> None:
        """A rate that changes begins anew; one that stays remembers its clients."""
        limits = self.limits(1, 0)
        self.assertEqual(self.admitted(limits, "192.0.2.1", 50), BURST_S)
        limits.configure(1, 5)
        self.assertEqual(self.admitted(limits, "192.0.2.1", 50), 0)
        limits.configure(2, 5)
        self.assertEqual(self.admitted(limits, "192.0.2.1", 50), 2 * BURST_S)
        limits.configure(0, 0)
        self.assertEqual(self.admitted(limits, "192.0.2.1", 50), 50)


class RefusalsTests(LimitsTestCase):
    """The counts, and the log."""

    def lines(self, logs: Any) -> list[str]:
        lines = [str(formatEvent(event)) for event in logs]
        logs.clear()
        return lines

    def test_reasons_from_the_start(self) -> None:
        """Each reason has its count before it happens."""
        self.assertEqual(dict(self.refusals.counts), dict.fromkeys(REASONS, 0))

    def test_log(self) -> None:
        """There is one line when refusals begin, and one when there were none for a while."""
        with capturedLogs() as logs:
            limits = self.limits()
            self.admitted(limits, "192.0.2.1", 100)
            (line,) = self.lines(logs)
            self.assertTrue(line.endswith("(the first is from 192.0.2.1)"), line)
            self.refusals.note(MALFORMED_HEADER, ("192.0.2.9", 5))
            self.assertTrue(self.lines(logs)[0].endswith("(the first is from 192.0.2.9)"))
            self.clock.advance(QUIET_S / 2)
            self.admitted(limits, "192.0.2.1", 100)
            self.clock.advance(QUIET_S / 2)
            (line,) = self.lines(logs)
            self.assertTrue(line.startswith("no more connections are refused for this reason, after 1: they do not"))
            self.clock.advance(QUIET_S / 2)
            (line,) = self.lines(logs)
            self.assertTrue(line.startswith("no more connections are refused for this reason, after 160: "), line)
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.refusals.note(MALFORMED_HEADER, "")
            self.assertTrue(self.lines(logs)[0].endswith("(the first is from a Unix socket)"))


class AcceptTests(SynchronousTestCase):
    """The pool refuses before anything is made of a connection."""

    def test_refused(self) -> None:
        """A refused client is reset; it uses up neither a place nor a turn of the rate of all."""
        reactor = DrivenReactor()
        self.addCleanup(reactor.close)
        pool = make_pool(reactor, accept_rate=2).pool
        admitted = iter((False, False, False, True))
        factory: Any = Factory()
        factory.noisy = False
        factory.buildProtocol = lambda address: Recorder()
        port: Any = PoolReactor(pool, lambda name: next(admitted)).listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        clients = []
        for _ in range(4):
            sock = socket.create_connection(("127.0.0.1", port.getHost().port))
            self.addCleanup(sock.close)
            clients.append(Client(sock))
        turn_until(reactor, lambda: pool.accepted == 1)
        for client in clients[:3]:
            settle(reactor, client)
            self.assertIsInstance(client.error, ConnectionResetError)
