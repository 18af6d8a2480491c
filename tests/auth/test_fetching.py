"""Keys at a URL."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from livefeed.auth import fetching
from livefeed.auth.fetching import MAX_KEYS_BYTES, REFRESH_S, RETRY_S, FetchError, KeyFetching, fetch
from livefeed.auth.material import Content, Material
from tests.helpers.signed_tokens import jwk, jwks

URL = "https://id.example/jwks.json"
ONE, OTHER = jwks(jwk("EdDSA", 1, kid="1")), jwks(jwk("EdDSA", 2, kid="2"))


class FetchingTestCase(SynchronousTestCase):
    """A service whose fetches the test answers."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.material = Material()
        self.material.take(Content(urls=frozenset({URL})))
        self.fetches: list[Deferred[bytes]] = []
        self.changes = 0
        self.service = KeyFetching(self.material, self.in_thread, self.clock, self.change)
        self.service.startService()
        self.addCleanup(self.service.stopService)

    def in_thread(self, function: Any, url: str) -> Deferred[bytes]:
        self.assertEqual((function, url), (fetch, URL))
        self.fetches.append(Deferred())
        return self.fetches[-1]

    def change(self) -> None:
        self.changes += 1

    def names(self) -> list[str | None]:
        keys = self.material.content.keys.get(URL)
        return [] if keys is None else [key.kid for key in keys.keys]


class FetchingTests(FetchingTestCase):
    """When keys are fetched."""

    def test_at_the_start_and_from_time_to_time(self) -> None:
        """They are in use at once. The same keys are no change."""
        self.fetches[0].callback(ONE)
        self.assertEqual((self.names(), self.changes), (["1"], 1))
        self.clock.pump([1] * int(REFRESH_S))
        self.fetches[1].callback(ONE)
        self.assertEqual(self.changes, 1)
        self.clock.pump([1] * int(REFRESH_S))
        self.fetches[2].callback(OTHER)
        self.assertEqual((self.names(), self.changes, len(self.fetches)), (["2"], 2, 3))

    def test_failures(self) -> None:
        """Keys in use stay. The log tells the beginning of the failure and its end, and nothing in between."""
        self.fetches[0].callback(ONE)
        answers: list[Any] = [Failure(FetchError("status 500")), b"{}", Failure(OSError("threads")), ONE]
        self.clock.pump([1] * int(REFRESH_S))
        for number, answer in enumerate(answers, 1):
            self.fetches[number].callback(answer)
            self.clock.pump([1] * int(RETRY_S))
        self.assertEqual((self.names(), self.changes, len(self.fetches)), (["1"], 1, 5))

    def test_defects(self) -> None:
        """An unexpected error is logged, and the next attempt comes all the same."""
        self.fetches[0].errback(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.clock.pump([1] * int(RETRY_S))
        self.fetches[1].callback(ONE)
        self.assertEqual(self.names(), ["1"])

    def test_one_at_a_time(self) -> None:
        """A URL that hangs has one thread. While it is asked, keys may come."""
        self.clock.pump([1] * 100)
        self.assertEqual(len(self.fetches), 1)
        self.assertTrue(self.material.want_keys(URL))

    def test_unknown_key(self) -> None:
        """It has the keys fetched, but not often, and only those that settings name."""
        self.fetches[0].callback(ONE)
        self.assertFalse(self.service.want(URL))
        self.clock.pump([1] * int(RETRY_S))
        self.assertTrue(self.service.want(URL))
        self.assertFalse(self.service.want("https://evil.example/"))
        self.fetches[1].callback(OTHER)
        self.assertEqual((self.names(), self.service.want(URL), len(self.fetches)), (["2"], False, 2))

    def test_another_url(self) -> None:
        """Nothing is kept of a URL that settings do not name any more."""
        self.fetches[0].callback(ONE)
        self.material.take(Content())
        self.clock.advance(1)
        self.assertEqual((self.names(), self.service._due, self.service._asked), ([], {}, {}))


class FetchTests(SynchronousTestCase):
    """One fetch, from a real socket."""

    def answer(self, *pieces: bytes) -> str:
        """Serves an answer once; gives its URL."""
        listening = socket.create_server(("127.0.0.1", 0))

        def serve() -> None:
            with listening, listening.accept()[0] as connection:
                self.asked = connection.recv(65_536)
                with contextlib.suppress(OSError):  # the other side has heard enough
                    for piece in pieces:
                        connection.sendall(piece)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        self.addCleanup(thread.join, 10)
        return f"http://127.0.0.1:{listening.getsockname()[1]}/keys?a=1"

    def refusal(self, url: str) -> str:
        return str(self.assertRaises(FetchError, fetch, url))

    def test_answer(self) -> None:
        """The whole content, without cookies and tokens in the request."""
        url = self.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", b"ab", b"cd")
        self.assertEqual(fetch(url), b"abcd")
        self.assertTrue(self.asked.startswith(b"GET /keys?a=1 HTTP/1.1\r\n"))

    def test_bad_answers(self) -> None:
        """Redirections, errors, and endless content."""
        self.assertIn("status 302", self.refusal(self.answer(b"HTTP/1.1 302 F\r\nLocation: http://a/\r\n\r\n")))
        self.assertIn("BadStatusLine", self.refusal(self.answer(b"SSH-2.0\r\n")))
        large = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (MAX_KEYS_BYTES + 1)
        self.assertIn(f"more than {MAX_KEYS_BYTES} bytes", self.refusal(self.answer(large)))

    def test_endless_heads(self) -> None:
        """Answers before the answer count, too."""
        many = b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000
        url = self.answer(many, b"HTTP/1.1 200 OK\r\n\r\nx")
        # Python 3.14 counts the interim answers itself.
        by_python = "100 interim responses" if sys.version_info >= (3, 14) else f"more than {MAX_KEYS_BYTES} bytes"
        self.assertIn(by_python, self.refusal(url))

    def test_answers_that_are_cut_off(self) -> None:
        """Of a file of keys in PEM, some might be missing, and be revoked."""
        self.assertIn("cut off", self.refusal(self.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc")))
        chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabc"
        self.assertIn("IncompleteRead", self.refusal(self.answer(chunk)))

    def test_reasons_for_the_log(self) -> None:
        """The other side cannot write lines of the log, nor long ones."""
        why = self.refusal(self.answer(b"HTTP/1.1 \x1b[2J\r" + b"x" * 5000 + b"\r\n\r\n"))
        self.assertTrue(why.isprintable())
        self.assertLess(len(why), 300)

    def test_slow_answers(self) -> None:
        """They have an end, too, before the head and after it."""
        self.patch(fetching, "FETCH_S", -1)
        self.assertIn("takes more than", self.refusal(self.answer(b"HTTP/1.1 200 OK\r\n\r\nx")))
        self.assertIn("takes more than", self.refusal(self.answer(b"HTTP/1.1 100 Continue\r\n")))

    def test_nobody_there(self) -> None:
        """The reason is told, with TLS and without."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        for scheme in ("http", "https"):
            self.assertIn("ConnectionRefusedError", self.refusal(f"{scheme}://127.0.0.1:{port}/"))
