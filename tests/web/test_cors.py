"""Which origins may read the feed."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import ConfigurationError, shown
from livefeed.web.cors import Origins

ALLOW = b"Access-Control-Allow-Origin"


class ParseTests(SynchronousTestCase):
    """Origins.parse."""

    def parse(self, value: str) -> bytes:
        (origin,) = Origins.parse([value]).allowed
        return origin

    def test_origins_become_as_browsers_send_them(self) -> None:
        """Lower case, no default port, no slash at the end, other alphabets in their ASCII form."""
        for value, origin in (
            ("https://example.org", b"https://example.org"),
            ("HTTPS://Example.ORG/", b"https://example.org"),
            ("https://example.org:443", b"https://example.org"),
            ("http://example.org:80", b"http://example.org"),
            ("http://example.org:443", b"http://example.org:443"),
            ("https://example.org:8443", b"https://example.org:8443"),
            ("https://127.0.0.1:8443", b"https://127.0.0.1:8443"),
            ("https://[::1]:8443", b"https://[::1]:8443"),
            ("https://bücher.example", b"https://xn--bcher-kva.example"),
            ("*", b"*"),
            ("null", b"null"),
        ):
            self.assertEqual(self.parse(value), origin)

    def test_several(self) -> None:
        """All values are allowed; the same origin in two spellings is one."""
        origins = Origins.parse(["https://a.example", "https://A.example:443", "http://b.example"])
        self.assertEqual(origins.allowed, {b"https://a.example", b"http://b.example"})

    def test_what_is_no_origin_is_refused(self) -> None:
        """A value that could never be the origin of a page is refused, repeated, and an example given."""
        for value in (
            *("", "example.org", "//example.org", "ftp://example.org", "https://", "https:example.org"),
            *("https://example.org/page", "https://example.org?x", "https://example.org#x", "https://me@example.org"),
            *("https://example.org:99999", "https://example.org:port", "https://[::1", "NULL", "**", "*.example.org"),
            *("https://exa mple.org", "https://a..example", "https://" + "a" * 64 + ".example", "https://.example"),
            *("https://a.example,https://b.example", "https://a.example,b.example", "https://a.example;x"),
        ):
            error = self.assertRaises(ConfigurationError, Origins.parse, [value])
            self.assertTrue(str(error).startswith(f"--allow-origin: {shown(value)} is not an origin"), value)

    def test_wildcard_beside_an_origin_is_refused(self) -> None:
        """One of the two is a mistake; twice the same is none."""
        for values in (["*", "https://a.example"], ["null", "*"]):
            error = self.assertRaises(ConfigurationError, Origins.parse, values)
            self.assertEqual(str(error), "--allow-origin: * allows every origin: give it alone, or leave it out")
        self.assertTrue(Origins.parse(["*", "*"]).any_origin)

    def test_wildcard_within_a_host_is_refused(self) -> None:
        """There are no such wildcards: it would never match, and the operator would not know why."""
        for value in ("https://*.example.org", "https://example.*", "https://*"):
            self.assertRaises(ConfigurationError, Origins.parse, [value])

    @settings(deadline=None)
    @given(st.text(alphabet="htps:/.a*[]@?#0é\u2100 \\", max_size=20))
    def test_any_text_is_an_origin_or_refused(self, text: str) -> None:
        """No value raises anything but ConfigurationError."""
        for value in (text, f"https://{text}"):
            try:
                Origins.parse([value])
            except ConfigurationError:
                continue


class ResponseHeadersTests(SynchronousTestCase):
    """The fields of an answer."""

    def test_any_origin(self) -> None:
        """Without a limit the answer is the same for all, so that caches can share it."""
        origins = Origins.parse(["*"])
        self.assertTrue(origins.any_origin)
        for origin in (None, b"https://a.example", b"null", b"garbage"):
            self.assertEqual(origins.response_headers(origin), [(ALLOW, b"*")])

    def test_listed_origin(self) -> None:
        """A listed origin gets itself back."""
        origins = Origins.parse(["https://a.example", "https://b.example:8443"])
        self.assertFalse(origins.any_origin)
        for origin in (b"https://a.example", b"https://b.example:8443"):
            self.assertEqual(origins.response_headers(origin), [(ALLOW, origin)])

    def test_other_origins(self) -> None:
        """Another scheme, host or port is another origin, and a part of one is none."""
        origins = Origins.parse(["https://a.example"])
        for origin in (
            *(None, b"", b"null", b"*", b"http://a.example", b"https://a.example:8443", b"https://b.example"),
            *(b"https://a.example.evil.example", b"https://evila.example", b"https://x.a.example", b"a.example"),
        ):
            self.assertEqual(origins.response_headers(origin), [])

    def test_null_must_be_listed(self) -> None:
        """Pages without an origin may read only where that is said."""
        self.assertEqual(Origins.parse(["null"]).response_headers(b"null"), [(ALLOW, b"null")])


class HandshakeTests(SynchronousTestCase):
    """allows_handshake."""

    def setUp(self) -> None:
        self.origins = Origins.parse(["https://a.example"])

    def test_no_browser(self) -> None:
        """A client that sends no origin is no browser that could be misused."""
        self.assertTrue(self.origins.allows_handshake(None, b"feed.example"))

    def test_listed_origin(self) -> None:
        """The origins of the policy may subscribe, in upper or lower case."""
        self.assertTrue(self.origins.allows_handshake(b"https://a.example", b"feed.example"))
        self.assertTrue(self.origins.allows_handshake(b"HTTPS://A.example", b"feed.example"))

    def test_any_origin(self) -> None:
        """Without a limit every origin may subscribe."""
        self.assertTrue(Origins.parse(["*"]).allows_handshake(b"https://b.example", b"feed.example"))

    def test_pages_of_this_server(self) -> None:
        """The same host and port is this server itself, behind a proxy that ends TLS too."""
        for origin in (b"https://feed.example:8443", b"http://feed.example:8443", b"https://FEED.example:8443"):
            self.assertTrue(self.origins.allows_handshake(origin, b"feed.example:8443"))
            self.assertTrue(self.origins.allows_handshake(origin, b"Feed.Example:8443"))

    def test_other_pages(self) -> None:
        """Other origins may not: another port, a longer name, a part of it."""
        for origin in (
            *(
                b"https://b.example",
                b"https://feed.example",
                b"https://feed.example:9",
                b"https://feed.example:84433",
            ),
            *(b"https://x.feed.example:8443", b"feed.example:8443", b"null", b""),
        ):
            self.assertFalse(self.origins.allows_handshake(origin, b"feed.example:8443"), origin)

    def test_page_without_an_origin_is_not_of_this_server(self) -> None:
        """An opaque origin has no host, which is not the same as an empty Host."""
        self.assertFalse(self.origins.allows_handshake(b"null", b""))
