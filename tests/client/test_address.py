"""The URLs of a feed that are made of the one that a user gives."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.client.address import MAX_URL_LENGTH, Address
from livefeed.exceptions import FollowError


class AddressTests(SynchronousTestCase):
    """Addresses that are read from URLs."""

    def test_forms_of_a_feed(self) -> None:
        """A user may copy the URL of any form of a feed."""
        for url in (
            "https://example.org/feed",
            "https://example.org/feed.json",
            "https://example.org:443/feed.ws",
            "wss://EXAMPLE.org/feed.sse",
            "https://example.org/feed.html",
        ):
            self.assertEqual(Address.of(url).url, "https://example.org/feed", url)
        self.assertEqual(
            [Address.of(f"https://h/feed{form}").form for form in ("", ".json", ".ws")], ["", ".json", ".ws"]
        )
        for url in ("https://h/feed", "http://h:8080/feed.json", "https://h/feed.ws?a=1"):
            self.assertEqual(Address.of(url).named_url, url)

    def test_websocket_has_the_version(self) -> None:
        """The URL of the WebSocket names the version that the client has, after the query that it has already."""
        self.assertEqual(Address.of("http://h:8080/feed").websocket_url(None), "ws://h:8080/feed")
        self.assertEqual(Address.of("https://h/feed?a=1").websocket_url("ab"), "wss://h/feed?a=1&have=ab")

    def test_other_endpoint(self) -> None:
        """Connections go to another place; everything that a server is told stays."""
        for connect, endpoint in (("192.0.2.7:8443", ("192.0.2.7", 8443)), ("[::1]:80", ("::1", 80))):
            address = Address.of("https://example.org/feed", connect=connect)
            self.assertEqual((address.endpoint, address.authority), (endpoint, "example.org"))
            self.assertEqual(address.place, f"example.org ({connect})")
        address = Address.of("https://example.org/feed")
        self.assertEqual((address.endpoint, address.place), (("example.org", 443), "example.org"))
        for text in ("", "h", ":1", "h:", "h:0", "h:65536", "h:x", "a@h:1", "h:1/x", "h:1?x", "[::1", "::1", "h h:1"):
            with self.assertRaisesRegex(FollowError, "is no HOST:PORT", msg=text):
                Address.of("https://h/feed", connect=text)

    def test_pointers(self) -> None:
        """The fragment is a JSON Pointer. Its segments are percent-encoded in the path, its escapes stay."""
        for url, target, path in (
            ("http://h/feed#/results/0", "/feed/results/0", "/feed/results/0"),
            ("http://h/feed#/a~1b/%C3%A9 x".replace(" ", "%20"), "/feed/a~1b/%C3%A9%20x", "/feed/a~1b/é x"),
            ("http://h/feed#", "/feed", "/feed"),
            ("http://h/live/feed/?q#/a", "/live/feed/a?q", "/live/feed/a"),
            ("http://h/feed#/a%3Fb", "/feed/a%3Fb", "/feed/a?b"),
        ):
            address = Address.of(url)
            self.assertEqual((address.target, address.path), (target, path), url)
        self.assertEqual(Address.of("http://h/feed", "/x").target, "/feed/x")

    def test_authority_of_ipv6(self) -> None:
        """The address of IPv6 has brackets in a URL, and none in a connection."""
        address = Address.of("http://[::1]:8080/feed")
        self.assertEqual((address.host, address.authority), ("::1", "[::1]:8080"))

    def test_wrong_urls(self) -> None:
        """The message names the URL and the reason, and never a password."""
        for url, why in (
            ("feed", "is no URL of a feed"),
            ("ftp://h/feed", "is no URL of a feed"),
            ("http:///feed", "is no URL of a feed"),
            ("http://h:x/feed", "Port could not be cast"),
            ("http://h/fe ed", "no spaces"),
            ("http://h/feed\n", "control characters"),
            ("http://h/feed#results", "begins with a slash"),
            ("http://h/feed#/a~2", "neither 0 nor 1"),
            ("http://user:secret@h/feed", "no user and no password"),
            (f"http://h/{'x' * MAX_URL_LENGTH}", "more than 4096 characters"),
        ):
            error = self.assertRaises(FollowError, Address.of, url)
            self.assertIn(why, str(error), url)
            self.assertNotIn("secret", str(error))
        self.assertIn("a pointer already", str(self.assertRaises(FollowError, Address.of, "http://h/f#/a", "/b")))
