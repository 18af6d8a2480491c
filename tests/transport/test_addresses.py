"""Addresses as numbers: under which of them clients count together, and the networks that contain them."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import ConfigurationError
from livefeed.transport.addresses import (
    Networks,
    client_key,
    client_text,
    host_of,
    network_key,
    network_text,
    number_of,
    peer_of,
)


def parse(*texts: str) -> Networks:
    return Networks.parse(texts, "trusted_proxy")


class KeyTests(SynchronousTestCase):
    """The address and the network of a client."""

    def test_addresses(self) -> None:
        """IPv4 counts by address and /24, and IPv6 by /64 and /48; the scope of an address does not count."""
        for host, client, network in (
            ("192.0.2.1", "192.0.2.1", "192.0.2.0/24"),
            ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.0/24"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "2001:db8:1::/48"),
            ("fe80::1%eth0", "fe80::/64", "fe80::/48"),
            ("::", "::/64", "::/48"),
        ):
            number = number_of(host)
            self.assertEqual((client_text(number), network_text(number)), (client, network))

    @given(st.ip_addresses(), st.ip_addresses())
    def test_keys_are_equal_where_the_texts_are(self, one: object, other: object) -> None:
        """Two addresses have one key exactly if they count together."""
        a, b = number_of(str(one)), number_of(str(other))
        self.assertEqual(client_key(a) == client_key(b), client_text(a) == client_text(b))
        self.assertEqual(network_key(a) == network_key(b), network_text(a) == network_text(b))

    def test_families_are_apart(self) -> None:
        """An IPv6 network whose first bits are those of an IPv4 address is another client."""
        self.assertNotEqual(client_key(number_of("192.0.2.1")), client_key(number_of("0:ffff:c000:201::")))


class PeerTests(SynchronousTestCase):
    def test_addresses_of_ipv4_count_each(self) -> None:
        """The port does not count."""
        for port in (1, 2):
            self.assertEqual(peer_of(IPv4Address("TCP", "192.0.2.1", port)), "192.0.2.1")

    def test_networks_of_ipv6_count_together(self) -> None:
        """The first 64 bits are those of one client; an address that stands for one of IPv4 counts as that."""
        for host, peer in (
            ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
            ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
            ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ):
            self.assertEqual(peer_of(IPv6Address("TCP", host, 1)), peer)

    def test_other_clients_count_as_one(self) -> None:
        """Clients of a Unix socket and clients that have already gone have the address ""."""
        for address in (UNIXAddress(b"/run/livefeed"), None):
            self.assertEqual(peer_of(address), "")


class HostTests(SynchronousTestCase):
    """host_of."""

    def test_host_of_each_family(self) -> None:
        """The port does not count, and an address that stands for one of IPv4 is that one."""
        for address, host in (
            (IPv4Address("TCP", "192.0.2.1", 1), "192.0.2.1"),
            (IPv6Address("TCP", "::ffff:192.0.2.1", 1), "192.0.2.1"),
            (IPv6Address("TCP", "2001:db8::1", 1), "2001:db8::1"),
            (IPv6Address("TCP", "::ffff:0:1", 1), "::ffff:0:1"),
        ):
            self.assertEqual(host_of(address), host)

    def test_peer_without_a_host(self) -> None:
        """A client of a Unix socket, and one that has already gone, have none."""
        for address in (UNIXAddress(b"/run/livefeed"), None):
            self.assertEqual(host_of(address), "")


class NetworkTests(SynchronousTestCase):
    """Networks that an operator lists."""

    def test_members(self) -> None:
        """A network of IPv4 also has the addresses that a socket of IPv6 gives for it."""
        networks = parse("192.0.2.0/24", "10.0.0.1", "2001:db8::/32", "::1")
        for host in ("192.0.2.255", "::ffff:192.0.2.7", "10.0.0.1", "2001:db8:ffff::1", "::1"):
            self.assertTrue(networks.has_name((host, 1)), host)
            self.assertTrue(networks.has_address(IPv6Address("TCP", host, 1)), host)
        for host in ("192.0.3.0", "10.0.0.2", "2001:db9::", "::2", "::ffff:10.0.0.2"):
            self.assertFalse(networks.has_name((host, 1)), host)

    def test_unix(self) -> None:
        """The peers of Unix sockets are in it by a word, and not otherwise."""
        self.assertTrue(parse("unix").has_name(""))
        self.assertTrue(parse("unix").has_address(UNIXAddress("")))
        self.assertFalse(parse("0.0.0.0/0", "::/0").has_name(""))
        self.assertFalse(parse("unix").has_name(("127.0.0.1", 1)))

    def test_whole_families(self) -> None:
        """All of IPv6 is not all of IPv4."""
        self.assertFalse(parse("::/0").has_name(("192.0.2.1", 1)))
        self.assertFalse(parse("0.0.0.0/0").has_name(("2001:db8::1", 1)))
        self.assertTrue(parse("0.0.0.0/0").has_name(("192.0.2.1", 1)))
        self.assertTrue(parse("::ffff:192.0.2.0/120").has_name(("192.0.2.1", 1)))

    def test_empty(self) -> None:
        """Nothing is in an empty list."""
        self.assertFalse(parse())
        self.assertTrue(parse("unix"))
        self.assertTrue(parse("10.0.0.0/8"))
        self.assertFalse(parse().has_name(("127.0.0.1", 1)))

    @given(
        st.ip_addresses(), st.ip_addresses().flatmap(lambda a: st.tuples(st.just(a), st.integers(0, a.max_prefixlen)))
    )
    def test_as_the_standard_library(self, address: object, network: tuple[object, int]) -> None:
        """An address is in a network exactly if Python's own module says so, apart from IPv4 in IPv6."""
        found = ip_network(f"{network[0]}/{network[1]}", strict=False)
        number = ip_address(str(address))
        if number.version == 6 and number.ipv4_mapped:
            return
        if isinstance(found, IPv6Network) and found.overlaps(IPv6Network("::ffff:0:0/96")):
            return
        assert isinstance(found, IPv4Network | IPv6Network)
        self.assertEqual(parse(str(found)).has_name((str(address), 1)), number in found)

    def test_refusals(self) -> None:
        """An error names the text, and how it is put right."""
        for text, why in (
            ("192.0.2.1/24", "192.0.2.1/24 has bits set behind its prefix; did you mean 192.0.2.0/24, or 192.0.2.1?"),
            ("proxy.example", "'proxy.example' is no network, such as 192.0.2.0/24 or 2001:db8::/32, no address"),
            ("10.0.0.0/33", "'10.0.0.0/33' is no network"),
            ("", "'' is no network"),
        ):
            message = str(self.assertRaises(ConfigurationError, parse, text))
            self.assertTrue(message.startswith(f"--trusted-proxy: {why}"), message)
