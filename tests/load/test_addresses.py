"""The target, and the addresses of this machine."""

from __future__ import annotations

import socket

from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import FollowError
from livefeed.load.addresses import MAX_ADDRESSES, PORTS_PER_ADDRESS, address_of, resolved, sources_for
from tests.helpers.load_targets import target_of


class AddressTests(SynchronousTestCase):
    def test_paths_stay(self) -> None:
        """The path is that of the URL, whatever its end; a fragment is a pointer to a part."""
        for url, target in (
            ("http://h/feed.json?a=b", "/feed.json?a=b"),
            ("ws://h/feed.ws", "/feed.ws"),
            ("http://h", "/"),
            ("http://h/feed#/a", "/feed/a"),
        ):
            self.assertEqual(address_of(url).target, target)
        self.assertRaises(FollowError, address_of, "ftp://h/")

    def test_names(self) -> None:
        """A name is looked up once, and the older family comes first."""
        both = [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 8080, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 8080)),
        ]
        self.patch(socket, "getaddrinfo", lambda *_, **__: both)
        target = resolved(address_of("https://localhost:8080/feed"))
        self.assertEqual((target.ip, target.name, target.authority), ("127.0.0.1", "localhost", "localhost:8080"))
        self.assertEqual((target.url, target.is_loopback), ("https://localhost:8080/feed", True))
        self.patch(socket, "getaddrinfo", lambda *_, **__: both[:1])
        target = resolved(address_of("http://localhost:8080/feed"))
        self.assertEqual((target.family, target.url, target.is_loopback), (10, "http://localhost:8080/feed", True))

    def test_other_endpoint(self) -> None:
        """The machine there is loaded, and is told the name of the URL."""
        target = resolved(address_of("https://example.org/feed.json", "127.0.0.1:8443"))
        self.assertEqual((target.ip, target.port, target.is_loopback), ("127.0.0.1", 8443, True))
        self.assertEqual((target.name, target.authority, target.path), ("example.org", "example.org", "/feed.json"))

    def test_no_host(self) -> None:
        """The message names the host."""

        def fail(*arguments: object, **named: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "not known")

        self.patch(socket, "getaddrinfo", fail)
        error = self.assertRaises(FollowError, resolved, address_of("http://nowhere.test/"))
        self.assertEqual(str(error), "there is no host nowhere.test")

    def test_sources(self) -> None:
        """More connections than an address has ports come from several, on this machine alone."""
        self.assertEqual(sources_for(target_of(80), PORTS_PER_ADDRESS), [])
        self.assertEqual(sources_for(target_of(80), PORTS_PER_ADDRESS + 1), ["127.0.0.1", "127.0.0.2"])
        self.assertRaises(FollowError, sources_for, target_of(80), PORTS_PER_ADDRESS * MAX_ADDRESSES + 1)
        other = resolved(address_of("http://192.0.2.1/"))
        self.assertFalse(other.is_loopback)
        self.assertIn("another machine", str(self.assertRaises(FollowError, sources_for, other, 20_001)))
