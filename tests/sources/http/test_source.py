"""The HTTP source, against an origin in memory that the test controls."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, fail, maybeDeferred
from twisted.internet.error import ConnectionLost
from twisted.internet.testing import MemoryReactorClock, StringTransportWithDisconnection
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import RequestTransmissionFailed

from livefeed import __version__
from livefeed.exceptions import ConfigurationError, NotDueError, SourceError
from livefeed.sources.http.source import IDLE_S, HttpSource
from livefeed.sources.names import MAX_AGE_S, Names
from livefeed.tls.development import development_certificate

MAX_BYTES = 5000


class Transport(StringTransportWithDisconnection):
    """A transport that can be told all that HTTP tells one."""

    def pauseProducing(self) -> None:
        pass

    def resumeProducing(self) -> None:
        pass

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass


class Peer:
    """The origin's end of one connection."""

    def __init__(self, factory: Any) -> None:
        self.transport = Transport()
        self.protocol = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 80))
        self.transport.protocol = self.protocol
        self.protocol.makeConnection(self.transport)

    def asked(self) -> str:
        """Gives the bytes that were sent since the last call."""
        data: bytes = self.transport.value()
        self.transport.clear()
        return data.decode()

    def is_lost(self) -> None:
        self.transport.connected = False
        self.protocol.connectionLost(Failure(ConnectionLost()))

    def says(self, body: bytes, *fields: str, status: str = "200 OK") -> None:
        lines = "".join(f"{line}\r\n" for line in fields)
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
        self.protocol.dataReceived(head.encode() + body)


class HttpTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.reactor.advance(1_000_000)
        url = urlsplit("http://127.0.0.1/results?key=hush")
        self.source = HttpSource.from_url(url, reactor=self.reactor, max_bytes=MAX_BYTES)

    def tearDown(self) -> None:
        self.source.close()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def fetch(self) -> Deferred[bytes | None]:
        return Deferred.fromCoroutine(self.source.fetch())

    def accept(self) -> Peer:
        """Lets the newest connection attempt succeed."""
        self.reactor.advance(0)
        _, _, factory, _, _ = self.reactor.tcpClients.pop()
        return Peer(factory)

    def connected(self, *fields: str) -> Peer:
        """Gives a peer whose first answer has been read."""
        fetching = self.fetch()
        peer = self.accept()
        peer.asked()
        peer.says(b"[1]", *fields)
        self.assertEqual(self.successResultOf(fetching), b"[1]")
        return peer


class FetchTests(HttpTestCase):
    """The requests of the source, and the documents from the answers."""

    def test_request(self) -> None:
        """The request is one GET that names livefeed in User-Agent and gzip in Accept-Encoding."""
        self.fetch().addErrback(lambda _: None)
        asked = self.accept().asked()
        self.assertTrue(asked.startswith("GET /results?key=hush HTTP/1.1\r\n"), asked)
        for line in ("Host: 127.0.0.1", f"User-Agent: livefeed/{__version__}", "Accept-Encoding: gzip"):
            self.assertIn(f"{line}\r\n".lower(), asked.lower())
        self.assertNotIn("If-", asked)
        self.assertEqual(str(self.source), "http://127.0.0.1/results")

    def test_connection_is_kept_and_304_is_unchanged(self) -> None:
        """Later pulls are conditional, on the same connection."""
        peer = self.connected('ETag: "1"')
        for _ in range(2):
            fetching = self.fetch()
            self.assertIn('If-None-Match: "1"\r\n', peer.asked())
            peer.says(b"", status="304 Not Modified")
            self.assertIsNone(self.successResultOf(fetching))
        self.assertEqual(self.reactor.tcpClients, [])

    def test_too_large(self) -> None:
        """One byte too many comes through for the gate to refuse; the next request has no condition."""
        fetching = self.fetch()
        self.accept().says(b"x" * (MAX_BYTES * 2), 'ETag: "1"')
        self.assertEqual(self.successResultOf(fetching), b"x" * (MAX_BYTES + 1))
        self.fetch().addErrback(lambda _: None)
        self.assertNotIn("If-", self.accept().asked())

    def test_conditions_are_for_the_address_that_gave_the_version(self) -> None:
        """A redirect to another address leads to another document, even if the tag is the same."""
        fetching = self.fetch()
        peer = self.accept()
        peer.says(b"", "Location: /a", status="302 Found")
        peer.asked()
        peer.says(b"[1]", 'ETag: "1"')
        self.assertEqual(self.successResultOf(fetching), b"[1]")
        fetching = self.fetch()
        self.assertNotIn("If-", peer.asked())
        peer.says(b"", "Location: /b", status="302 Found")
        self.assertNotIn("If-", peer.asked())
        peer.says(b"", status="304 Not Modified")
        self.assertIn("without a condition", str(self.failureResultOf(fetching, SourceError).value))

    def test_redirects_stay_on_the_host(self) -> None:
        """Another host is not asked, nor connected to; the error names it and the option, and shows no query."""
        for host in ("10.0.0.1:80", "127.0.0.1:6379"):
            fetching = self.fetch()
            peer = self.accept()
            peer.says(b"", f"Location: http://{host}/x?hush", status="302 Found")
            why = str(self.failureResultOf(fetching, SourceError).value)
            self.assertIn(f"redirects to another host, http://{host}:", why)
            self.assertIn("#redirects=anywhere", why)
            self.assertNotIn("hush", why)
            self.reactor.advance(0)
            self.assertEqual(self.reactor.tcpClients, [])

    def test_redirects_may_lead_anywhere(self) -> None:
        """The option allows redirects to another host."""
        url = urlsplit("http://127.0.0.1/results#redirects=anywhere")
        self.source = HttpSource.from_url(url, reactor=self.reactor, max_bytes=MAX_BYTES)
        fetching = self.fetch()
        self.accept().says(b"", "Location: http://10.0.0.1/x", status="302 Found")
        other = self.accept()
        self.assertIn("GET /x ", other.asked())
        other.says(b"[1]")
        self.assertEqual(self.successResultOf(fetching), b"[1]")

    def test_name_that_moves(self) -> None:
        """A connection that is old is made anew to where its name leads by then, after a look-up beside the pulls."""
        addresses = ["10.0.0.1"]
        url = urlsplit("http://name.test/results")
        self.source = HttpSource.from_url(url, reactor=self.reactor, max_bytes=MAX_BYTES)
        self.source.names = Names(maybeDeferred, lambda _: tuple(addresses))
        self.source.__post_init__()
        peer = self.connected()
        addresses[:] = ["10.0.0.2"]
        self.reactor.advance(MAX_AGE_S)
        fetching = self.fetch()
        peer.says(b"[2]")
        self.assertEqual(self.successResultOf(fetching), b"[2]")
        fetching = self.fetch()
        self.reactor.advance(0)
        self.assertEqual(self.reactor.tcpClients[-1][0], "10.0.0.2")
        self.accept().says(b"[3]")
        self.assertEqual(self.successResultOf(fetching), b"[3]")

    def test_cancelled_pull_leaves_nothing_behind(self) -> None:
        """Its connection is cut at any point of the answer, and the next pull opens another."""
        for head in ("", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n["):
            fetching = self.fetch()
            peer = self.accept()
            peer.protocol.dataReceived(head.encode())
            fetching.cancel()
            self.failureResultOf(fetching, CancelledError, SourceError)
            self.assertFalse(peer.transport.connected)
        self.connected()

    def test_connection_that_is_lost(self) -> None:
        """Before the answer, while it is written, and in its middle: one word for it, and the next pull connects."""
        for said in (b"", b"HTTP/1.1 200 OK\r\n"):
            fetching = self.fetch()
            peer = self.accept()
            peer.protocol.dataReceived(said)
            peer.is_lost()
            self.assertEqual(str(self.failureResultOf(fetching, SourceError).value), "the connection was lost")
        error = RequestTransmissionFailed([Failure(ConnectionLost())])
        self.patch(self.source._agent, "request", lambda *_: fail(error))
        failure = self.failureResultOf(self.fetch(), SourceError)
        self.assertEqual(str(failure.value), "the connection was lost")

    def test_tls_on_the_port_of_http(self) -> None:
        """A TLS alert has an error of its own, which does not affect the next pull."""
        for said, why in (
            (b"\x15\x03\x01\x00\x02\x02\x0a", "what answers speaks TLS: is the URL one of https:?"),
            (b"", "the connection was lost"),
        ):
            fetching = self.fetch()
            peer = self.accept()
            peer.protocol.dataReceived(said)
            if peer.transport.connected:
                peer.is_lost()
            self.assertEqual(str(self.failureResultOf(fetching, SourceError).value), why)

    def test_error_ends_the_connection(self) -> None:
        """The rest of an answer with an error is not read."""
        peer = self.connected()
        fetching = self.fetch()
        peer.says(b"x" * 100, status="500 Oh")
        self.assertEqual(str(self.failureResultOf(fetching, SourceError).value), "the origin answers 500")
        self.assertFalse(peer.transport.connected)
        self.connected()

    def test_idle_connection_is_closed(self) -> None:
        """A connection that is used no more is not kept for ever."""
        peer = self.connected()
        self.reactor.advance(IDLE_S + 1)
        self.assertFalse(peer.transport.connected)


class FreshTests(HttpTestCase):
    """The lifetime that an origin gives its answers."""

    def test_nobody_is_asked_while_an_answer_is_fresh(self) -> None:
        """The lifetime begins at the request; a 304 renews it."""
        peer = self.connected('ETag: "1"', "Cache-Control: max-age=3")
        for _ in range(2):
            for _ in range(2):
                self.reactor.advance(1)
                self.failureResultOf(self.fetch(), NotDueError)
            self.reactor.advance(1)
            fetching = self.fetch()
            self.assertIn("If-None-Match", peer.asked())
            peer.says(b"", "Cache-Control: max-age=3", status="304 Not Modified")
            self.assertIsNone(self.successResultOf(fetching))

    def test_failure_ends_it(self) -> None:
        """After a failure the origin is asked at each tick."""
        peer = self.connected("Cache-Control: max-age=3")
        self.reactor.advance(3)
        fetching = self.fetch()
        peer.says(b"", status="500 Oh")
        self.failureResultOf(fetching, SourceError)
        self.connected()

    def test_clock_that_is_set_back(self) -> None:
        """It does not keep livefeed from asking."""
        peer = self.connected("Cache-Control: max-age=60")
        self.reactor.rightNow -= 3600
        fetching = self.fetch()
        peer.says(b"[2]")
        self.assertEqual(self.successResultOf(fetching), b"[2]")

    def test_clock_that_is_set_back_and_forth(self) -> None:
        """A failed pull ends the lifetime: a clock that jumps back and forth does not make the answer fresh again."""
        peer = self.connected("Cache-Control: max-age=60")
        self.reactor.rightNow -= 3600
        fetching = self.fetch()
        peer.says(b"", status="500 Oh")
        self.failureResultOf(fetching, SourceError)
        self.reactor.rightNow += 3600
        self.connected()

    def test_refused_document_is_not_fresh(self) -> None:
        """A refused document is not fresh when it comes or is confirmed: its repair is seen at the next tick."""
        fetching = self.fetch()
        peer = self.accept()
        peer.says(b"[", 'ETag: "1"', "Cache-Control: max-age=60")
        self.assertEqual(self.successResultOf(fetching), b"[")
        for _ in range(2):
            fetching = self.fetch()
            peer.says(b"", "Cache-Control: max-age=60", status="304 Not Modified")
            self.assertIsNone(self.successResultOf(fetching))


class AuthorityTests(SynchronousTestCase):
    """#ca=."""

    def test_file(self) -> None:
        """It has certificates in PEM form in it, or is refused by name."""
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "ca.pem"
            url = urlsplit(f"https://127.0.0.1/#ca={path}")
            for content in (b"", b"hush", b"-----BEGIN CERTIFICATE-----\nhush\n-----END CERTIFICATE-----\n"):
                path.write_bytes(content)
                refusal = str(
                    self.assertRaises(
                        ConfigurationError, HttpSource.from_url, url, reactor=MemoryReactorClock(), max_bytes=9
                    )
                )
                self.assertIn("no certificate in PEM form", refusal)
                self.assertNotIn("hush", refusal)
            ca = development_certificate(Path(directory) / "certs").ca.read_bytes()
            path.write_bytes(b"a comment\n" + ca + b"\n" + ca)
            HttpSource.from_url(url, reactor=MemoryReactorClock(), max_bytes=9)
