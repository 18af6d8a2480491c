"""The tokens of requests."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from urllib.parse import parse_qs

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyChannel

from livefeed.web.credentials import MAX_COOKIES_BYTES, Credentials, hide_token_in_url
from livefeed.web.negotiation import RequestFields
from livefeed.web.request import Request

NAME = b"__Secure-livefeed"
TOKEN = b"a.b-c_d~e+f/g=="
WEBSOCKET = ((b"Upgrade", b"websocket"),)


def make(*fields: tuple[bytes, bytes], target: bytes = b"/feed") -> Request:
    """Makes a request with these fields."""
    request = Request(DummyChannel(), False)
    for name, value in fields:
        request.requestHeaders.addRawHeader(name, value)
    request.fields = RequestFields.of(request.requestHeaders, b"GET", b"HTTP/1.1")
    request.gotLength(0)
    request.uri = target
    request.args = parse_qs(target.partition(b"?")[2], keep_blank_values=True)
    return request


def subprotocol(token: bytes) -> bytes:
    return b"livefeed.bearer." + urlsafe_b64encode(token).rstrip(b"=")


class CredentialsTests(SynchronousTestCase):
    def test_bearer(self) -> None:
        """The field has the scheme in any case, and one token (RFC 6750, 2.1)."""
        for value in (b"Bearer " + TOKEN, b"bearer  " + TOKEN + b" "):
            self.assertEqual(Credentials.of(make((b"Authorization", value))), Credentials(TOKEN, host=b""))
        for value in (b"Bearer", b"Bearer ", b"Basic " + TOKEN, TOKEN, b"Bearer a b", b"Bearer a, Bearer b", b""):
            self.assertTrue(Credentials.of(make((b"Authorization", value))).is_malformed, value)

    def test_several(self) -> None:
        """A request with several tokens is refused: which one is meant is not known (RFC 6750, 2)."""
        authorization = (b"Authorization", b"Bearer " + TOKEN)
        protocol = (b"Sec-WebSocket-Protocol", subprotocol(TOKEN))
        self.assertTrue(Credentials.of(make(authorization, authorization)).is_malformed)
        self.assertTrue(Credentials.of(make(authorization, protocol, *WEBSOCKET)).is_malformed)
        self.assertFalse(Credentials.of(make(authorization, protocol)).is_malformed)

    def test_subprotocol(self) -> None:
        """The token is in base64url, with or without padding, and counts for WebSockets alone."""
        for name in (subprotocol(TOKEN), b"livefeed.bearer." + urlsafe_b64encode(TOKEN)):
            offered = (b"Sec-WebSocket-Protocol", b"livefeed.delta.v2, " + name)
            self.assertEqual(Credentials.of(make(offered, *WEBSOCKET)).bearer, TOKEN)
            self.assertIsNone(Credentials.of(make(offered)).bearer)
        for name in (b"livefeed.bearer.", b"livefeed.bearer.*", b"livefeed.bearer.a"):
            read = Credentials.of(make((b"Sec-WebSocket-Protocol", name), *WEBSOCKET))
            self.assertTrue(read.is_malformed, name)

    def test_cookies(self) -> None:
        """Only those that are looked for are read, from all lines, and a quoted value without its quotes."""
        cookies = (
            (b"Cookie", b"a=1; " + NAME + b'="x=y"; b=2'),
            (b"Cookie", NAME + b"=z;" + NAME.lower() + b"=0"),
        )
        read = Credentials.of(make(*cookies), [NAME])
        self.assertEqual((read.cookie(NAME), read.cookie(b"a")), ([b"x=y", b"z"], []))
        self.assertEqual(Credentials.of(make(*cookies)).cookies, ())
        long = (b"Cookie", NAME + b"=" + b"x" * MAX_COOKIES_BYTES)
        self.assertEqual(Credentials.of(make(long), [NAME]).cookies, ())

    def test_facts_about_pages(self) -> None:
        """Origin, host, and the relation of the page."""
        fields = ((b"Origin", b"https://a"), (b"Host", b"b"), (b"Sec-Fetch-Site", b"cross-site"))
        read = Credentials.of(make(*fields))
        self.assertEqual((read.origin, read.host, read.site), (b"https://a", b"b", b"cross-site"))

    def test_no_token_is_shown(self) -> None:
        """A token in a URL is taken out of it, so that no log can show it."""
        for query in (b"token=secret", b"a=1&Access_Token=secret", b"jwt=secret?x"):
            request = make(target=b"/feed?" + query)
            self.assertTrue(hide_token_in_url(request))
            self.assertEqual(request.uri, b"/feed?(hidden)")
        for target in (b"/feed", b"/feed?delta=2&have=1", b"/feed?tokens=1"):
            request = make(target=target)
            self.assertFalse(hide_token_in_url(request))
            self.assertEqual(request.uri, target)
