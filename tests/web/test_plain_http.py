"""The answer to clients that speak HTTP without TLS on a port with TLS."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.web.plain_http import answer_to_plain_http

EXPLANATION = b"This port speaks HTTPS"


class PlainHttpTests(SynchronousTestCase):
    """answer_to_plain_http."""

    def location(self, rest: bytes) -> bytes | None:
        """Gives the address that the answer leads to; ``None`` if it is an explanation alone."""
        head, _, body = answer_to_plain_http(rest).partition(b"\r\n\r\n")
        status, *fields = head.split(b"\r\n")
        named = dict(field.split(b": ", 1) for field in fields)
        self.assertEqual(int(named[b"Content-Length"]), len(body))
        self.assertEqual((named[b"Cache-Control"], named[b"Connection"]), (b"no-store", b"close"))
        self.assertIn(EXPLANATION, body)
        if b"Location" not in named:
            self.assertEqual(status, b"HTTP/1.1 400 Bad Request")
            self.assertEqual(named[b"Content-Type"], b"application/problem+json")
            self.assertEqual(json.loads(body)["type"], "/-/problems/https-required")
            return None
        self.assertEqual(status, b"HTTP/1.1 308 Permanent Redirect")
        return named[b"Location"]

    def test_leads_to_the_same_address(self) -> None:
        """Path, query, host and port stay, whether the method has three letters or four."""
        for rest, location in (
            (b" HTTP/1.1\r\nHost: a.example\r\n\r\n", b"https://a.example/"),
            (
                b"feed?a=%20b HTTP/1.1\r\nAccept: */*\r\nhost:localhost:8443 \r\n\r\n",
                b"https://localhost:8443/feed?a=%20b",
            ),
            (b"/feed.html HTTP/1.0\r\nHost: [::1]:8443\r\n\r\n", b"https://[::1]:8443/feed.html"),
            (b"//evil.example HTTP/1.1\r\nHost: a.example\r\n\r\n", b"https://a.example//evil.example"),
        ):
            self.assertEqual(self.location(rest), location)

    def test_explains_where_it_cannot_lead(self) -> None:
        """The explanation comes where the host or the target is missing or malformed, or has not come yet."""
        for rest in (
            *(b"", b" HTTP/1.1\r\n\r\n", b" HTTP/1.1\r\nHost: \r\n\r\n", b" HTTP/1.1\r\nHost: a.exam"),
            *(b" HTTP/1.1\r\nHost: a/b\r\n\r\n", b" HTTP/1.1\r\nHost: u@h\r\n\r\n", b" HTTP/1.1\r\nHost: a b\r\n\r\n"),
            *(b"a b HTTP/1.1\r\nHost: a\r\n\r\n", b"a\rb HTTP/1.1\r\nHost: a\r\n\r\n", b" HTTP/2.0\r\nHost: a\r\n\r\n"),
            b"x" * 3000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
            # A proxy's client names the whole address: GET http://a/feed, or HEAD.
            *(b"ttp://a/feed HTTP/1.1\r\nHost: a\r\n\r\n", b"http://a/feed HTTP/1.1\r\nHost: a\r\n\r\n"),
            b"TTP://a/feed HTTP/1.1\r\nHost: a\r\n\r\n",
            # Two hosts, or one in the content.
            *(b" HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", b" HTTP/1.1\r\nA: b\r\n\r\nx\r\nHost: a\r\n\r\n"),
            b" HTTP/1.1\r\nHost: a\r\nHost: u@h\r\n\r\n",
        ):
            self.assertIsNone(self.location(rest), rest)

    @given(st.binary(max_size=60), st.binary(max_size=60))
    def test_nothing_can_be_injected(self, target: bytes, host: bytes) -> None:
        """Any request has an answer with one head, and a location in printable ASCII."""
        location = self.location(target + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
        if location is not None:
            self.assertRegex(location, rb"\Ahttps://[!-~]+\Z")
