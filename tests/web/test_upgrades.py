"""The heads of handshakes that are accepted without twisted.web, and the paths that are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.snapshot import MAX_NAMED_LENGTH
from livefeed.web.replay import MAX_FIELDS, MAX_NAME_BYTES
from livefeed.web.upgrades import MAX_PATHS, Handshake, Upgrades
from tests.helpers.handshake_heads import KEY, head

if TYPE_CHECKING:
    from livefeed.web.upgrades import Begun


class HandshakeTests(SynchronousTestCase):
    def test_plain_head(self) -> None:
        """The least that a client may send."""
        self.assertEqual(
            Handshake.read(head()), Handshake(b"/feed.ws", None, KEY, b"example.org:8443", None, None, None)
        )

    def test_head_of_a_browser(self) -> None:
        """Other fields change nothing; names and words have any case, and values white space around them."""
        data = head(
            b"Pragma: no-cache",
            b"Cookie: a=b; c=d",
            b"User-Agent: Mozilla/5.0 (X11; Linux) \xe9",
            b"ORIGIN:\thttps://example.org ",
            b"Accept-Encoding: gzip, deflate, br",
            b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
            b"Sec-WebSocket-Protocol: livefeed.delta.v1",
            connection=b"keep-alive, Upgrade",
            upgrade=b"WebSocket",
            line=b"GET /feed.ws?have=ab_C-9 HTTP/1.1",
        )
        found = Handshake.read(data)
        assert found is not None
        self.assertEqual((found.have, found.origin), ("ab_C-9", b"https://example.org"))
        self.assertEqual(found.extensions, b"permessage-deflate; client_max_window_bits")
        self.assertEqual(found.subprotocols, b"livefeed.delta.v1")

    def test_key_of_each_length(self) -> None:
        """16 bytes have four last characters; others are no key, or another spelling of one."""
        for last, known in ((b"A", True), (b"Q", True), (b"g", True), (b"w", True), (b"B", False), (b"=", False)):
            self.assertEqual(Handshake.read(head(key=KEY[:21] + last + b"==")) is not None, known, last)
        for key in (KEY[4:], KEY + KEY, b" ", KEY[:-1] + b"A", b"!" + KEY[1:]):
            self.assertIsNone(Handshake.read(head(key=key)), key)

    def test_what_is_left_to_twisted_web(self) -> None:
        """Anything unusual in a field that matters, and any field that might change the answer."""
        for data in (
            head(host=b""),
            head(host=b"a b"),
            head(host=b"a/b"),
            head(upgrade=b""),
            head(upgrade=b"h2c"),
            head(upgrade=b"websocket, h2c"),
            head(connection=b""),
            head(connection=b"close, Upgrade"),
            head(connection=b"keep-alive"),
            head(version=b""),
            head(version=b"8"),
            head(version=b"13, 8"),
            head(key=b""),
            head(b"Host: example.org:8443"),
            head(b"host: other"),
            head(b"Upgrade: websocket"),
            head(b"Connection: Upgrade"),
            head(b"Sec-WebSocket-Key: " + KEY),
            head(b"sec-websocket-version: 13"),
            head(b"Origin: a", b"Origin: b"),
            head(b"Sec-WebSocket-Protocol: a", b"Sec-WebSocket-Protocol: b"),
            head(b"Sec-WebSocket-Extensions: a", b"sec-websocket-extensions: b"),
            *(
                head(name + b": 0")
                for name in (b"Content-Length", b"transfer-encoding", b"Expect", b"Trailer", b"Forwarded")
            ),
            head(b"X-Forwarded-For: 192.0.2.1"),
        ):
            self.assertIsNone(Handshake.read(data), data)

    def test_what_is_no_plain_head(self) -> None:
        """The grammar of RFC 9112 without any of its freedoms, one whole request, and limits."""
        whole = head()
        for data in (
            whole[:-2],
            whole + b"x",
            whole + whole,
            b"\r\n" + whole,
            whole.replace(b"\r\n", b"\n"),
            head(b"Folded: a", b" b"),
            head(b"Space : a"),
            head(b": a"),
            head(b"No colon"),
            head(b"Control: \x01"),
            head(b"A: \r b"),
            head(b"X" * (MAX_NAME_BYTES + 1) + b": a"),
            head(*([b"X: y"] * MAX_FIELDS)),
            head(line=b"HEAD /feed.ws HTTP/1.1"),
            head(line=b"POST /feed.ws HTTP/1.1"),
            head(line=b"GET /feed.ws HTTP/1.0"),
            head(line=b"GET  /feed.ws HTTP/1.1"),
            head(line=b"GET https://example.org/feed.ws HTTP/1.1"),
            head(line=b"GET /feed.ws? HTTP/1.1"),
            head(line=b"GET /feed.ws?have= HTTP/1.1"),
            head(line=b"GET /feed.ws?have=a%62 HTTP/1.1"),
            head(line=b"GET /feed.ws?have=a&have=b HTTP/1.1"),
            head(line=b"GET /feed.ws?token=secret HTTP/1.1"),
            head(line=b"GET /feed.ws?have=%s HTTP/1.1" % (b"a" * (MAX_NAMED_LENGTH + 1))),
        ):
            self.assertIsNone(Handshake.read(data), data)
        self.assertIsNotNone(Handshake.read(head(*([b"X: y"] * (MAX_FIELDS - 5)))))


class UpgradesTests(SynchronousTestCase):
    """The paths that are known."""

    def setUp(self) -> None:
        self.upgrades = Upgrades()
        self.accepted: list[Handshake] = []
        self.begun: Any = (object(), object())

    def accept(self, handshake: Handshake) -> Begun | None:
        """KnownPath API."""
        self.accepted.append(handshake)
        begun: Begun | None = self.begun
        return begun

    def test_a_path_is_known_until_all_are_forgotten(self) -> None:
        """Another path is not known, and a head that is not plain is not asked about."""
        self.assertIsNone(self.upgrades.accept(head()))
        self.upgrades.learn(b"/feed.ws", self)
        self.assertIs(self.upgrades.accept(head()), self.begun)
        self.assertIsNone(self.upgrades.accept(head(line=b"GET /other.ws HTTP/1.1")))
        self.assertIsNone(self.upgrades.accept(head(upgrade=b"h2c")))
        self.upgrades.clear()
        self.assertIsNone(self.upgrades.accept(head()))
        self.assertEqual(len(self.accepted), 1)

    def test_number_of_paths_is_limited(self) -> None:
        """One more is not known."""
        for number in range(MAX_PATHS + 1):
            self.upgrades.learn(b"/%d" % number, self)
        lines = [b"GET /%d HTTP/1.1" % number for number in (MAX_PATHS - 1, MAX_PATHS)]
        self.assertEqual([self.upgrades.accept(head(line=line)) for line in lines], [self.begun, None])
