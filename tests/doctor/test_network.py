"""The queue of new connections, the ports, and the kernel's tables of connections."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from livefeed.doctor.network import (
    ListeningSocket,
    PortFacts,
    WantedPort,
    check_ephemeral_ports,
    check_ports,
    check_queue,
    check_tcp_memory,
    check_tracking,
)

if TYPE_CHECKING:
    from livefeed.doctor.finding import Finding

FACTS = PortFacts()
HTTPS = WantedPort("tls:443", 443)
PLAIN = WantedPort("tcp:8080:interface=127.0.0.1", 8080, "127.0.0.1", is_plain=True)


class QueueTests(SynchronousTestCase):
    def test_queue(self) -> None:
        """A queue that is as long as livefeed's is in order."""
        self.assertEqual(check_queue(1024).level, "ok")
        self.assertEqual(check_queue(None).level, "ok")
        found = check_queue(128)
        self.assertEqual((found.level, found.mend), ("warning", "sysctl -w net.core.somaxconn=4096"))
        self.assertIn("128 connections wait for each socket instead of 1,024", found.text)


class PortTests(SynchronousTestCase):
    def check(self, wanted: WantedPort, facts: PortFacts) -> Finding:
        (found,) = check_ports([wanted], facts)
        return found

    def test_free(self) -> None:
        """Nothing keeps livefeed from it."""
        found = self.check(PLAIN, FACTS)
        self.assertEqual((found.level, found.text), ("ok", "8080: free"))

    def test_privileged(self) -> None:
        """The limit and the capability decide."""
        found = self.check(HTTPS, FACTS)
        self.assertEqual((found.level, found.text), ("problem", "443: only privileged processes may listen below 1024"))
        self.assertTrue(found.mend.startswith("sysctl -w net.ipv4.ip_unprivileged_port_start=443, or Ambient"))
        self.assertEqual(self.check(HTTPS, replace(FACTS, may_bind=True)).level, "ok")
        self.assertEqual(self.check(HTTPS, replace(FACTS, unprivileged_from=443)).level, "ok")

    def test_taken(self) -> None:
        """A socket of another process on the same address, or on all, is a problem."""
        for wanted, address, level in (
            (PLAIN, "127.0.0.1", "problem"),
            (PLAIN, "0.0.0.0", "problem"),
            (PLAIN, "::", "problem"),
            (PLAIN, "127.0.0.2", "ok"),
            (replace(PLAIN, address=""), "127.0.0.2", "problem"),
            (replace(PLAIN, address="0.0.0.0"), "127.0.0.2", "problem"),
        ):
            found = self.check(wanted, replace(FACTS, listening=[ListeningSocket(address, 8080, 5)]))
            self.assertEqual(found.level, level, (wanted, address))
        found = self.check(PLAIN, replace(FACTS, listening=[ListeningSocket("0.0.0.0", 8080, 5)]))
        self.assertIn("ss -ltnp 'sport = :8080'", found.mend)
        self.assertEqual(self.check(PLAIN, replace(FACTS, listening=[ListeningSocket("::", 8081, 5)])).level, "ok")

    def test_taken_by_livefeed(self) -> None:
        """The livefeed that runs is no other process."""
        facts = replace(FACTS, listening=[ListeningSocket("::", 443, 5)], ours={5})
        self.assertEqual(self.check(HTTPS, facts).text, "443: the livefeed that runs listens on it")

    def test_ephemeral(self) -> None:
        """The kernel may give it to another program, unless it is told not to."""
        wanted = WantedPort("tls:40000", 40_000)
        found = self.check(wanted, replace(FACTS, reserved={50_000}))
        self.assertEqual(
            (found.level, found.mend), ("warning", "sysctl -w net.ipv4.ip_local_reserved_ports=40000,50000")
        )
        self.assertEqual(self.check(wanted, replace(FACTS, reserved={40_000})).level, "ok")


class EphemeralPortTests(SynchronousTestCase):
    def test_without_a_proxy(self) -> None:
        """Watchers do not need them."""
        found = check_ephemeral_ports([HTTPS], FACTS, 100_000)
        self.assertEqual((found.level, found.text), ("ok", "28,232 for outgoing connections"))

    def test_with_a_proxy(self) -> None:
        """It takes one for each watcher and port."""
        self.assertEqual(check_ephemeral_ports([PLAIN], FACTS, 28_232).level, "ok")
        found = check_ephemeral_ports([PLAIN], FACTS, 28_233)
        self.assertEqual((found.level, found.mend[-12:]), ("warning", "'1024 65535'"))
        self.assertIn("room for 28,232 of 28,233 watchers at tcp:8080", found.text)
        self.assertEqual(check_ephemeral_ports([PLAIN, PLAIN], FACTS, 50_000).level, "ok")

    def test_more_than_there_are(self) -> None:
        """Only another kind of socket helps."""
        self.assertIn("--listen unix:", check_ephemeral_ports([PLAIN], FACTS, 70_000).mend)


class TrackingTests(SynchronousTestCase):
    def test_tracking(self) -> None:
        """The table needs room for all watchers, and some for others."""
        self.assertEqual(check_tracking(None, None, 5).text, "connections are not tracked")
        self.assertEqual(check_tracking(5, None, 5).level, "ok")
        self.assertEqual(check_tracking(0, 10_000, 8000).level, "ok")
        self.assertEqual(check_tracking(0, 10_000, 8001).level, "warning")
        found = check_tracking(5000, 10_000, 5001)
        self.assertEqual((found.level, found.mend), ("problem", "sysctl -w net.netfilter.nf_conntrack_max=16384"))


class TCPMemoryTests(SynchronousTestCase):
    def test_memory(self) -> None:
        """All watchers may have a document that they have not read."""
        self.assertEqual(check_tcp_memory([], 4096, 5).level, "ok")
        self.assertEqual(check_tcp_memory([1, 2, 40_000], 4096, 10_000).level, "ok")
        found = check_tcp_memory([1, 2, 39_999], 4096, 10_000)
        self.assertEqual((found.level, found.mend), ("warning", "sysctl -w net.ipv4.tcp_mem='25000 37500 50000'"))
