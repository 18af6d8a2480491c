"""The guard of a protected feed, on all ways to follow it."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any, get_args

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from livefeed.auth.grants import DenialReason
from livefeed.delivery.guard import Denial
from livefeed.testing import MemorySite, Response, make_site, publish, request
from livefeed.web.failures import MAX_FAILURES
from tests.helpers.guarded import SHORT, SHORT_S, TOKEN, FakeVerifier, protect

AUTHORIZATION = b"\nAuthorization: Bearer " + TOKEN
COOKIE = b"\nCookie: __Secure-livefeed=" + TOKEN
HANDSHAKE = (
    b"\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
)
PATHS = (b"/secret", b"/secret.json", b"/secret.sse", b"/secret/a", b"/secret/nope", b"/secret.sse/a", b"/secret.ws/a")
ORIGIN = b"https://app.example"
LOST: Any = Failure(ConnectionDone())


def subprotocol(token: bytes) -> bytes:
    return b"livefeed.bearer." + urlsafe_b64encode(token).rstrip(b"=")


class GuardTestCase(SynchronousTestCase):
    """A site with a protected feed, ``secret``, and a public one, ``open``."""

    cookie: bytes | None = None
    origins: tuple[str, ...] = ("*",)

    def setUp(self) -> None:
        self.clock = Clock()
        self.made: MemorySite = make_site("secret", "open", clock=self.clock, origins=self.origins)
        self.published = self.made.published[0]
        self.guard = protect(self.published, self.made.site, *self.origins, cookie=self.cookie)
        assert isinstance(self.guard.verifier, FakeVerifier)
        self.verifier = self.guard.verifier
        for each in self.made.published:
            publish(each.feed, b'{"a": 1}')

    def ask(self, path: bytes, fields: bytes = b"", method: bytes = b"GET") -> Response:
        return request(self.made.site, method + b" " + path + b" HTTP/1.1" + fields)

    def connect(self, path: bytes, fields: bytes = b"") -> tuple[Any, StringTransport]:
        """Sends a request; gives the channel and its transport."""
        transport = StringTransport()
        channel: Any = self.made.site.buildProtocol(None)
        channel.makeConnection(transport)
        lines = (b"GET " + path + b" HTTP/1.1\nHost: localhost" + fields).replace(b"\n", b"\r\n")
        channel.dataReceived(lines + b"\r\n\r\n")
        return channel, transport

    def denials(self) -> dict[str, int]:
        return {str(why): count for why, count in self.published.feed.tally.denied.items()}


class BearerTests(GuardTestCase):
    """Requests with tokens, and without."""

    def test_each_way_requires_a_token(self) -> None:
        """All answers are 401 with a challenge, for parts that exist and for others alike, before anything else."""
        asked = [self.ask(path, more) for path in PATHS for more in (b"", b"\nPrefer: wait=5\nIf-None-Match: *")]
        asked += [self.ask(path, HANDSHAKE) for path in (*PATHS, b"/secret.ws")]
        asked += [self.ask(b"/secret", method=b"HEAD"), self.ask(b"/secret", method=b"DELETE")]
        for answer in asked:
            self.assertEqual(answer.status, 401)
            self.assertEqual(answer.headers["www-authenticate"], 'Bearer realm="livefeed"')
            self.assertEqual(answer.headers["cache-control"], "private, no-store")
            self.assertEqual(answer.headers["vary"], "Authorization")
            self.assertEqual(answer.headers["access-control-allow-origin"], "*")
            told = {name for name in answer.headers if name.startswith("livefeed-") or name == "etag"}
            self.assertEqual(told, set())
        self.assertEqual(len({answer.body for answer in asked if answer.body}), 1)
        self.assertEqual(self.denials(), {"missing": len(asked)})
        self.assertEqual(self.ask(b"/open").status, 200)

    def test_right_token(self) -> None:
        """The answers are those of a public feed, except that nobody may store them."""
        answer = self.ask(b"/secret", AUTHORIZATION)
        self.assertEqual((answer.status, answer.body), (200, b'{"a": 1}'))
        self.assertEqual(answer.headers["cache-control"], "private, no-store")
        self.assertIn("Authorization", answer.headers["vary"])
        tag = b'\nIf-None-Match: "%s"' % answer.headers["livefeed-version"].encode()
        self.assertEqual(self.ask(b"/secret", AUTHORIZATION + tag).headers["cache-control"], "private, no-store")
        self.assertEqual(self.ask(b"/secret/a", AUTHORIZATION).body, b"1")
        self.assertEqual(self.ask(b"/secret/nope", AUTHORIZATION).status, 404)
        publish(self.published.feed, b'{"a": 1, "b": "%s"}' % (b"x" * 500))
        publish(self.published.feed, b'{"a": 2, "b": "%s"}' % (b"x" * 500))
        before = self.ask(b"/secret", AUTHORIZATION).headers["etag"].encode()
        publish(self.published.feed, b'{"a": 3, "b": "%s"}' % (b"x" * 500))
        delta = self.ask(b"/secret", AUTHORIZATION + b"\nA-IM: json-patch\nIf-None-Match: " + before)
        self.assertEqual((delta.status, delta.headers["cache-control"]), (226, "private, no-store, im"))
        self.assertEqual(self.made.site.replays[False]._answers, {})

    def test_wrong_tokens(self) -> None:
        """They are counted by their address, and a right one is served all the same. Reasons are told apart."""
        wrong = b"\nAuthorization: Bearer wrong"
        answer = self.ask(b"/secret", wrong)
        self.assertIn('error="invalid_token"', answer.headers["www-authenticate"])
        for _ in range(MAX_FAILURES):
            answer = self.ask(b"/secret", wrong)
        self.assertEqual((answer.status, answer.headers["retry-after"]), (429, "1"))
        self.assertEqual(self.ask(b"/secret", AUTHORIZATION).status, 200)
        self.assertEqual(self.ask(b"/secret.ws", HANDSHAKE + wrong).status, 429)
        reasons: list[tuple[DenialReason, int]] = [("expired", 401), ("scope", 403), ("keys", 503)]
        for reason, status in reasons:
            self.verifier.error = reason
            self.assertEqual(self.ask(b"/secret", wrong).status, status)
        self.assertEqual(self.denials(), {"unknown": MAX_FAILURES, "rate": 2, "expired": 1, "scope": 1, "keys": 1})
        self.clock.advance(1)
        self.assertEqual(self.ask(b"/secret", wrong + AUTHORIZATION).status, 401)

    def test_tokens_in_urls(self) -> None:
        """They are refused with an explanation, also next to a right one, and never work."""
        for path in (b"/secret?token=" + TOKEN, b"/secret.sse?access_token=" + TOKEN, b"/secret/a?jwt=" + TOKEN):
            answer = self.ask(path, AUTHORIZATION)
            self.assertEqual(answer.status, 400)
            self.assertIn(b"must not stand in a URL", answer.body)
            self.assertNotIn(TOKEN, answer.body)
        self.assertEqual(self.ask(b"/secret.ws?token=" + TOKEN, HANDSHAKE).status, 400)

    def test_preflights(self) -> None:
        """A browser asks without the token, and is told that pages may send it."""
        fields = b"\nOrigin: https://a.example\nAccess-Control-Request-Method: GET"
        for path in (b"/secret", b"/secret/a", b"/secret/nope"):
            answer = self.ask(path, fields, b"OPTIONS")
            self.assertEqual(answer.status, 204)
            self.assertIn("Authorization", answer.headers["access-control-allow-headers"])
        self.assertNotIn(
            "Authorization", self.ask(b"/open", fields, b"OPTIONS").headers["access-control-allow-headers"]
        )
        self.assertEqual(self.ask(b"/secret/nope", method=b"OPTIONS").status, 401)

    def test_fields_of_no_answer_break_it(self) -> None:
        """A reason that is told in a field is ASCII without quotes."""
        for reason in get_args(DenialReason):
            for _, value in Denial(reason, "It is wrong.").fields():
                self.assertTrue(value.isascii())
                self.assertNotIn(b"\n", value)


class HandshakeTestCase(GuardTestCase):
    """Handshakes with a token."""

    def follow(self, token: bytes, *names: bytes, path: bytes = b"/secret.ws") -> tuple[Any, StringTransport]:
        offered = b", ".join((*names, subprotocol(token)))
        return self.connect(path, HANDSHAKE + b"\nSec-WebSocket-Protocol: " + offered)


class WebSocketTests(HandshakeTestCase):
    """The answer to a handshake, and the end of its subscription."""

    def test_subprotocol(self) -> None:
        """The token's name is never answered, with another one and without."""
        for names in ((b"livefeed.delta.v1",), (b"livefeed.delta.v2",), ()):
            _, transport = self.follow(TOKEN, *names)
            head = transport.value().partition(b"\r\n\r\n")[0]
            self.assertTrue(head.startswith(b"HTTP/1.1 101 "), head)
            self.assertNotIn(b"bearer", head.lower())
            self.assertEqual(b"Sec-WebSocket-Protocol" in head, bool(names))
        self.assertTrue(self.follow(b"wrong", b"livefeed.delta.v1")[1].value().startswith(b"HTTP/1.1 401 "))

    def test_the_end_of_the_token(self) -> None:
        """A subscription ends with its token, and tells when to come back."""
        _, plain = self.follow(SHORT)
        _, delta = self.follow(SHORT, b"livefeed.delta.v1")
        _, endless = self.follow(TOKEN, b"livefeed.delta.v1")
        self.assertEqual(len(self.guard.admissions), 3)
        for transport in (plain, delta, endless):
            transport.clear()
        self.clock.pump([1] * int(SHORT_S))
        self.assertEqual(plain.value()[:4], b"\x88\x4a\x03\xe9")
        self.assertIn(b"the token has ended; see /-/problems/token-expired; come back in 1000 ms", delta.value())
        self.assertEqual(int.from_bytes(delta.value()[2:4], "big"), 3050)
        self.assertNotIn(b"token", endless.value())
        self.assertEqual(len(self.guard.admissions), 1)

    def test_leaving(self) -> None:
        """Nothing is kept of a client that has left."""
        channel, _ = self.follow(SHORT, b"livefeed.delta.v1")
        subscriber = next(iter(self.made.subscribers.protocols_open))
        subscriber.connectionLost(LOST)
        self.assertEqual(len(self.guard.admissions), 0)
        del channel

    def test_revoked(self) -> None:
        """So it is with a token that is revoked, at once."""
        _, transport = self.follow(TOKEN, b"livefeed.delta.v1")
        self.verifier.revoked.add(TOKEN)
        self.guard.check()
        transport.clear()
        self.clock.advance(0)
        self.assertIn(b"the token has ended", transport.value())


class ItemTests(HandshakeTestCase):
    """Several items on one connection."""

    def messages(self, transport: StringTransport) -> list[Any]:
        data, found = transport.value(), []
        while data:
            size, start = data[1], 2
            if size == 126:
                size, start = int.from_bytes(data[2:4], "big"), 4
            if data[0] == 0x81:
                found.append(json.loads(data[start : start + size]))
            data = data[start + size :]
        transport.clear()
        return found

    def test_items_are_judged_by_themselves(self) -> None:
        """A connection to a public feed may follow the protected one with the token of its handshake alone."""
        for token, status in ((TOKEN, None), (b"wrong", 401)):
            _, transport = self.follow(token, b"livefeed.delta.v2", path=b"/open.ws?follow=/secret&follow=/secret/nope")
            _, _, frames = transport.value().partition(b"\r\n\r\n")
            transport.clear()
            transport.write(frames)
            by_path: dict[str, list[Any]] = {}
            for message in self.messages(transport):
                by_path.setdefault(message["path"], []).append(message)
            if status is None:
                self.assertEqual(by_path["/secret"][0]["type"], "document")
                self.assertEqual(by_path["/secret/nope"][0]["status"], 404)
            else:
                self.assertEqual(
                    {each["status"] for path in ("/secret", "/secret/nope") for each in by_path[path]}, {401}
                )

    def test_a_connection_ends_with_its_token(self) -> None:
        """Another token comes with another request, so items of public feeds have to come back, too."""
        _, transport = self.follow(SHORT, b"livefeed.delta.v2", path=b"/open.ws?follow=/secret")
        _, alone = self.follow(SHORT, b"livefeed.delta.v2")
        transport.clear()
        alone.clear()
        self.clock.pump([1] * int(SHORT_S))
        self.assertIn(b"come back in 1000 ms", transport.value())
        self.assertIn(b"come back in 1000 ms", alone.value())
        self.assertEqual(len(self.guard.admissions), 0)

    def test_unfollowing(self) -> None:
        """Nothing is kept of an item that is not followed any more."""
        channel, _ = self.follow(SHORT, b"livefeed.delta.v2", path=b"/open.ws?follow=/secret")
        self.assertEqual(len(self.guard.admissions), 1)
        subscriber: Any = next(iter(self.made.subscribers.protocols_open))
        subscriber.receive(b'{"unfollow": "/secret"}')
        self.assertEqual(len(self.guard.admissions), 0)
        del channel


class EventTests(GuardTestCase):
    """Event streams and long polls."""

    def test_the_end_of_the_token(self) -> None:
        """A stream ends with a time to come back; one with several items, too."""
        token, queries = b"\nAuthorization: Bearer " + SHORT, (b"", b"?delta=1", b"?delta=2")
        streams = [self.connect(b"/secret.sse" + query, token)[1] for query in queries]
        for transport in streams:
            self.assertIn(b"200 OK", transport.value())
            transport.clear()
        self.clock.advance(SHORT_S)
        for transport in streams:
            self.assertIn(b"retry: 1000", transport.value())
            self.assertTrue(transport.disconnecting)
        self.assertEqual(len(self.guard.admissions), 0)

    def test_leaving(self) -> None:
        """Nothing is kept of streams and requests that have ended."""
        token = b"\nAuthorization: Bearer " + SHORT
        version = self.ask(b"/secret", AUTHORIZATION).headers["etag"].encode()
        waiting = b"\nPrefer: wait=5\nIf-None-Match: " + version
        self.connect(b"/secret.sse", token)
        channel, _ = self.connect(b"/secret", token + waiting)
        self.assertEqual(len(self.guard.admissions), 2)
        next(iter(self.published.delivery.streams.open)).connectionLost(LOST)
        channel.connectionLost(LOST)
        self.assertEqual(len(self.guard.admissions), 0)

    def test_waiting(self) -> None:
        """A request that waits is judged again before it is answered."""
        version = self.ask(b"/secret", AUTHORIZATION).headers["etag"].encode()
        waiting = b"\nPrefer: wait=50\nIf-None-Match: " + version
        _, good = self.connect(b"/secret", AUTHORIZATION + waiting)
        _, short = self.connect(b"/secret", b"\nAuthorization: Bearer " + SHORT + waiting)
        self.verifier.revoked.add(SHORT)
        self.clock.advance(SHORT_S)
        self.assertTrue(short.value().startswith(b"HTTP/1.1 401 "))
        self.assertEqual(good.value(), b"")
        publish(self.published.feed, b'{"a": 2}')
        self.assertTrue(good.value().startswith(b"HTTP/1.1 200 "))
        self.assertEqual(len(self.guard.admissions), 0)

    def test_a_feed_becomes_protected(self) -> None:
        """All that followed it without a token have to come back."""
        version = self.ask(b"/open").headers["etag"].encode()
        _, stream = self.connect(b"/open.sse")
        _, poll = self.connect(b"/open", b"\nPrefer: wait=50\nIf-None-Match: " + version)
        self.made.published[1].send_all_away(self.guard.admissions.slots)
        self.assertTrue(stream.disconnecting)
        self.assertTrue(poll.value().startswith(b"HTTP/1.1 304 "))
        _, stream = self.connect(b"/open.sse")
        self.assertFalse(stream.disconnecting)


class CookieTests(GuardTestCase):
    """Cookies, which browsers send by themselves."""

    cookie = b"__Secure-livefeed"
    origins = (ORIGIN.decode(),)

    def test_pages_that_may(self) -> None:
        """Pages of the listed origins and of this server, and programs."""
        for fields in (
            b"\nOrigin: " + ORIGIN,
            b"\nOrigin: https://LOCALHOST",
            b"\nSec-Fetch-Site: same-origin",
            b"\nSec-Fetch-Site: none",
            b"",
        ):
            answer = self.ask(b"/secret", COOKIE + fields)
            self.assertEqual(answer.status, 200, fields)
        answer = self.ask(b"/secret", COOKIE + b"\nOrigin: " + ORIGIN)
        self.assertEqual(answer.headers["access-control-allow-origin"], ORIGIN.decode())
        self.assertEqual(answer.headers["access-control-allow-credentials"], "true")
        self.assertEqual(answer.headers["vary"], "Accept-Encoding, Accept, Authorization, Cookie, Origin")

    def test_pages_that_may_not(self) -> None:
        """A cookie of another site's page opens nothing, on any way; a token in a field does."""
        for fields in (
            b"\nOrigin: https://evil.example",
            b"\nOrigin: null",
            b"\nOrigin: http://localhost",
            b"\nSec-Fetch-Site: cross-site",
            b"\nSec-Fetch-Site: same-site",
        ):
            for path, more in ((b"/secret", b""), (b"/secret.sse", b""), (b"/secret.ws", HANDSHAKE)):
                answer = self.ask(path, COOKIE + fields + more)
                self.assertEqual(answer.status, 403, fields)
                self.assertNotIn("access-control-allow-origin", answer.headers)
                self.assertEqual(answer.headers["vary"], "Authorization, Cookie, Origin")
            self.assertEqual(self.ask(b"/secret", AUTHORIZATION + COOKIE + fields).status, 200)

    def test_websocket(self) -> None:
        """A handshake sends the cookie, too."""
        _, transport = self.connect(b"/secret.ws", HANDSHAKE + COOKIE + b"\nOrigin: " + ORIGIN)
        self.assertTrue(transport.value().startswith(b"HTTP/1.1 101 "))

    def test_wrong_cookies(self) -> None:
        """A wrong one, several, and one by another name."""
        for cookie, status in (
            (b"\nCookie: __Secure-livefeed=wrong", 401),
            (COOKIE + b"; __Secure-livefeed=x", 401),
            (b"\nCookie: livefeed=" + TOKEN, 401),
        ):
            self.assertEqual(self.ask(b"/secret", cookie).status, status)

    def test_items(self) -> None:
        """An item is judged by the cookie of the handshake."""
        for path in (b"/open.sse?delta=2&follow=/secret",):
            _, transport = self.connect(path, COOKIE)
            self.assertNotIn(b'"refused"', transport.value())
            _, transport = self.connect(path)
            self.assertIn(b'"status":401', transport.value())
