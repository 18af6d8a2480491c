"""The peer of a connection, in few bytes and back."""

from __future__ import annotations

import sys

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from livefeed.transport.peer import pack_peer, unpack_peer


class PeerTests(SynchronousTestCase):
    def test_tcp(self) -> None:
        """Host and port of both families come back; the scope of an address stays in its host."""
        for name, address in (
            (("127.0.0.1", 54321), IPv4Address("TCP", "127.0.0.1", 54321)),
            (("0.0.0.0", 0), IPv4Address("TCP", "0.0.0.0", 0)),
            (("255.255.255.255", 65535), IPv4Address("TCP", "255.255.255.255", 65535)),
            (("::1", 443, 0, 0), IPv6Address("TCP", "::1", 443)),
            (("::ffff:192.0.2.1", 443, 0, 0), IPv6Address("TCP", "::ffff:192.0.2.1", 443)),
            (("2001:db8::ff", 65535, 0, 0), IPv6Address("TCP", "2001:db8::ff", 65535)),
            (("fe80::1%eth0", 80, 0, 2), IPv6Address("TCP", "fe80::1%eth0", 80)),
        ):
            self.assertEqual(unpack_peer(pack_peer(name)), address)

    def test_unix(self) -> None:
        """A client may have a path, a name that is no path, or, as nearly all, none."""
        for name in ("/run/client", b"\0abstract"):
            self.assertEqual(unpack_peer(pack_peer(name)), UNIXAddress(name))
        for name in ("", b""):
            self.assertEqual(unpack_peer(pack_peer(name)), UNIXAddress(""))
        self.assertIs(pack_peer(""), pack_peer(b""))

    def test_memory(self) -> None:
        """There are tens of thousands of them."""
        self.assertLessEqual(sys.getsizeof(pack_peer(("255.255.255.255", 65535))), 32)

    def test_other_address(self) -> None:
        """An address that has taken its place stays the object that it is."""
        address = IPv4Address("TCP", "192.0.2.1", 5)
        self.assertIs(unpack_peer(address), address)
