"""URLs of HTTP origins, livefeed's options in them, and files of fields."""

from __future__ import annotations

import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import ConfigurationError
from livefeed.sources.http.address import MAX_FIELDS, Address, Origin

SECRET = "correct-horse"


def origin_of(url: str) -> Origin:
    return Origin.from_url(urlsplit(url))


class AddressTests(SynchronousTestCase):
    """The addresses that requests go to."""

    def test_forms(self) -> None:
        """The name shows a port unless it is the scheme's own, and no query; characters outside ASCII are encoded."""
        for url, asked, shown in (
            ("http://host", "http://host/", "http://host/"),
            ("https://HOST:443/a", "https://host/a", "https://host/a"),
            ("https://host:8443/a?b=c&d", "https://host:8443/a?b=c&d", "https://host:8443/a"),
            ("http://[::1]:81/a b", "http://[::1]:81/a%20b", "http://[::1]:81/a%20b"),
            ("http://bücher.example/ü?ö", "http://xn--bcher-kva.example/%C3%BC?%C3%B6", None),
            ("http://host/a%2Fb%20c", "http://host/a%2Fb%20c", "http://host/a%2Fb%20c"),
        ):
            address = origin_of(url).address
            self.assertEqual(address.url, asked)
            self.assertEqual(str(address), shown or asked.partition("?")[0])

    def test_impossible(self) -> None:
        """No host, or a port that is none."""
        for url in (
            "http:",
            "http:///x",
            "http://:80/x",
            "http://h:0/x",
            "http://h:99999/",
            "http://h:x/",
            "http://a b/",
        ):
            self.assertRaises(ConfigurationError, origin_of, url)

    def test_redirects(self) -> None:
        """References are relative to where they come from, and lead to HTTP alone, never out of TLS."""
        address = origin_of("https://host/a/b?c").address
        for location, url in (
            ("d", "https://host/a/d"),
            ("/d?e", "https://host/d?e"),
            ("//other/d", "https://other/d"),
            ("https://host:444/", "https://host:444/"),
            ("?x#y", "https://host/a/b?x"),
        ):
            self.assertEqual(address.redirected(location).url, url)
        for location in ("http://host/", "file:///etc/passwd", "mailto:x", "https://:80/", "https://h:99999/", "//[x/"):
            self.assertRaises(ValueError, address.redirected, location)
        with self.assertRaises(ValueError) as raised:
            address.redirected(f"https://{SECRET}\u2100/")
        self.assertNotIn(SECRET, str(raised.exception))
        self.assertEqual(origin_of("http://h/").address.redirected("https://h/").scheme, "https")

    def test_hosts(self) -> None:
        """Another name or another port is another host; https of a host of http is not."""
        for url, target, expected in (
            ("http://h/a", "http://H:80/b", True),
            ("http://h:81/", "http://h:81/b", True),
            ("http://h/", "https://h/", True),
            ("http://h:8080/", "https://h:8443/", True),
            ("http://h/", "http://h:81/", False),
            ("https://h/", "https://h:444/", False),
            ("http://h/", "https://i/", False),
            ("http://h/", "http://sub.h/", False),
            ("http://127.0.0.1/", "http://127.0.0.2/", False),
        ):
            self.assertEqual(origin_of(url).address.is_host_of(origin_of(target).address), expected, (url, target))

    def test_origins(self) -> None:
        """Scheme, host and port make the origin."""
        same = origin_of("https://host/a").address.origin
        self.assertEqual(origin_of("https://HOST:443/b?c").address.origin, same)
        for url in ("http://host/a", "https://host:444/a", "https://other/a"):
            self.assertNotEqual(origin_of(url).address.origin, same)

    @given(st.text(max_size=40))
    def test_any_location_is_an_address_or_refused(self, location: str) -> None:
        """Any redirection leads to a URL of visible ASCII, or is refused."""
        address = origin_of("https://host/a/b?c").address
        try:
            url = address.redirected(location).url
        except ValueError:
            return
        self.assertRegex(url, r"\Ahttps://[\x21-\x7e]+\Z")


class OptionTests(SynchronousTestCase):
    """User, password, and the options in the fragment."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "headers"

    def test_redirects(self) -> None:
        """Redirects stay on the host unless they may lead anywhere."""
        self.assertFalse(origin_of("http://h/").may_leave)
        self.assertTrue(origin_of("http://h/#redirects=anywhere").may_leave)
        for fragment in ("redirects", "redirects=", "redirects=host", f"redirects={SECRET}"):
            self.assertIn("#redirects= takes anywhere", self.refusal(f"http://h/#{fragment}"))
        self.assertIn("after # stand", self.refusal("http://h/#redirects=anywhere&redirects=anywhere"))

    def refusal(self, url: str) -> str:
        refusal = str(self.assertRaises(ConfigurationError, origin_of, url))
        self.assertNotIn(SECRET, refusal)
        return refusal

    def fields_of(self, content: str) -> tuple[tuple[bytes, bytes], ...]:
        self.path.write_bytes(content.encode("latin-1"))
        return origin_of(f"http://host/#headers={self.path}").fields

    def test_user_and_password(self) -> None:
        """They are percent-decoded, and sent as UTF-8 (RFC 7617)."""
        for userinfo, value in (("u:p", b"dTpw"), ("u%40:%3A", b"dUA6Og=="), ("u", b"dTo="), (":p", b"OnA=")):
            self.assertEqual(origin_of(f"http://{userinfo}@host/").fields, ((b"Authorization", b"Basic " + value),))
        self.assertEqual(origin_of("http://host/").fields, ())
        self.refusal(f"http://a%3Ab:{SECRET}@host/")

    def test_file_of_fields(self) -> None:
        """Names and values are as they stand there, without the white space around them."""
        fields = self.fields_of("# a comment\n\nAuthorization: Bearer x:y \r\n  X-A :b\n".replace(" :", ":"))
        self.assertEqual(fields, ((b"Authorization", b"Bearer x:y"), (b"X-A", b"b")))
        self.assertEqual(self.fields_of("X: \xe9\nX:\n"), ((b"X", b"\xe9"), (b"X", b"")))

    def test_refused_fields(self) -> None:
        """The refusal names the file and the line, and repeats nothing of it."""
        for line in (SECRET, f"a b: {SECRET}", f": {SECRET}", f"X: {SECRET}\x00", f"X: {SECRET}\rY: z"):
            self.path.write_text(f"X-A: {SECRET}\n{line}\n", newline="")
            self.assertIn(f"{self.path}: line 2 is not", self.refusal(f"http://h/#headers={self.path}"))
        for name in ("Host", "connection", "Content-Length", "IF-NONE-MATCH", "Accept-Encoding", "Range"):
            self.path.write_text(f"{name}: {SECRET}\n")
            self.assertIn("line 1 is for livefeed to say", self.refusal(f"http://h/#headers={self.path}"))
        self.path.write_text(f"X: {SECRET}\n" * (MAX_FIELDS + 1))
        self.assertIn("more than", self.refusal(f"http://h/#headers={self.path}"))
        self.path.write_text("X" * 70_000)
        self.assertIn("too large", self.refusal(f"http://h/#headers={self.path}"))

    def test_two_ways_to_say_who_one_is(self) -> None:
        """A user in the URL and Authorization in the file cannot both be meant."""
        self.path.write_text(f"authorization: Bearer {SECRET}\n")
        self.assertIn("give one of them", self.refusal(f"http://u:{SECRET}@h/#headers={self.path}"))

    def test_missing_files(self) -> None:
        """The refusal names the option and the file."""
        for url, option in (("http://h/#headers=", "headers"), ("https://h/#ca=", "ca")):
            self.assertIn(f"#{option}=: {self.path}: No such file", self.refusal(f"{url}{self.path}"))

    def test_refused_options(self) -> None:
        """Others, one twice, a relative path, and ca without TLS; a password with a # in it is not repeated."""
        self.path.write_text("")
        for url in (
            f"http://h/#{SECRET}",
            f"http://h/#x={SECRET}",
            f"http://h/#headers={self.path}&headers={self.path}",
            "http://h/#headers=headers",
            "http://h/#headers=",
            "http://h/#headers=/a%00b",
            f"http://h/#ca={self.path}",
            f"http://u:{SECRET}#{SECRET}@h/",
            f"http://u:1{SECRET}/@h/x",
        ):
            self.refusal(url)

    def test_secrets_are_not_in_the_representation(self) -> None:
        """Nor is the query."""
        self.assertNotIn(SECRET, repr(origin_of(f"http://u:{SECRET}@h/?{SECRET}")))
        self.assertNotIn(SECRET, repr(Address("http", "h", 80, f"/?{SECRET}")))

    @given(st.text(alphabet="abz09:/@?#[]%.&= \u2100\n", max_size=25))
    def test_any_text_is_an_origin_or_refused(self, rest: str) -> None:
        """No URL raises anything but ConfigurationError, and none shows its password."""
        try:
            parts = urlsplit(f"https://u:{SECRET}{rest}@host/")
        except ValueError:
            return
        try:
            origin = Origin.from_url(parts)
        except ConfigurationError as error:
            self.assertNotIn(SECRET, str(error))
        else:
            self.assertRegex(origin.address.url, r"\Ahttps://[\x21-\x7e]+\Z")
