"""Connections for an access log: on sockets, with each way in which a request is answered."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

from OpenSSL import SSL

from livefeed.feed.feed import Feed
from livefeed.testing import make_site, publish
from livefeed.tls.options import server_options
from livefeed.transport.answer import LARGE_BYTES
from livefeed.transport.endpoint import PoolReactor
from livefeed.transport.logged import LOGGED, LoggedConnection, LoggedTLSConnection
from livefeed.web.access_log import AccessLog, Format, LoggedSite
from tests.helpers.driven import Client, DrivenReactor, connections_of, make_pool, settle, turn_until
from tests.helpers.tls import CertificateTestCase, TLSClient

GET = b"GET /feed HTTP/1.1\r\nHost: a\r\n\r\n"


class LoggedTests(CertificateTestCase):
    def setUp(self) -> None:
        self.reactor = DrivenReactor()
        self.addCleanup(self.reactor.close)
        clock: Any = self.reactor
        self.feed = Feed("feed", clock=clock)
        self.lines: list[str] = []
        self.log = AccessLog(Format("common"), lambda data, count: self.lines.extend(data.decode().splitlines()), float)
        self.site = LoggedSite(self.log, None, make_site(self.feed, clock=clock).site.resource, reactor=clock)
        self.feed.observe(self.site.forget_answers)
        publish(self.feed, b"[1]")
        self.pool = make_pool(self.reactor).pool

    def connect(self, *, tls: bool = False) -> Client:
        listening = PoolReactor(self.pool, kinds=LOGGED)
        if tls:
            options: Any = server_options(self.made.cert, self.made.key)
            port: Any = listening.listenSSL(0, self.site, options, interface="127.0.0.1")
        else:
            port = listening.listenTCP(0, self.site, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        sock = socket.create_connection(("127.0.0.1", port.getHost().port))
        self.addCleanup(sock.close)
        if not tls:
            return Client(sock)
        client = TLSClient(sock, SSL.Context(SSL.TLS_METHOD))
        turn_until(self.reactor, lambda: self._shakes_hands(client))
        return client

    def _shakes_hands(self, client: TLSClient) -> bool:
        with contextlib.suppress(SSL.WantReadError):
            client.tls.do_handshake()
            return True
        return False

    def ask(self, client: Client, head: bytes = GET) -> None:
        client.send(head)
        settle(self.reactor, client)

    def shown(self) -> list[str]:
        """Gives the addresses and requests of the lines."""
        self.log.flush()
        return [line.replace("[01/Jan/1970:00:00:00 +0000] ", "") for line in self.lines]

    def test_rendered_and_replayed(self) -> None:
        """Both have the same line, with TLS and without."""
        line = '127.0.0.1 - - "GET /feed HTTP/1.1" 200 3'
        for tls, kind in ((False, LoggedConnection), (True, LoggedTLSConnection)):
            client = self.connect(tls=tls)
            for _ in range(3):
                self.ask(client)
            self.assertIsInstance(connections_of(self.pool)[-1], kind)
            self.assertEqual(self.site.replays[tls].counts().total(), 2)
            self.assertEqual(self.shown(), [line] * 3)
            self.lines.clear()

    def test_waiting_together(self) -> None:
        """Requests that waited for the next version have a line each, when they are answered."""
        clients = [self.connect() for _ in range(3)]
        version = self.feed.snapshot.version if self.feed.snapshot else ""
        for client in clients:
            self.ask(client, GET[:-2] + b'If-None-Match: "%s"\r\nPrefer: wait=20\r\n\r\n' % version.encode())
        self.assertEqual(self.shown(), [])
        publish(self.feed, b"[12]")
        settle(self.reactor, *clients)
        self.assertEqual(self.shown(), ['127.0.0.1 - - "GET /feed HTTP/1.1" 200 4'] * 3)

    def test_head_and_body_in_one_piece(self) -> None:
        """The head of an answer is found also where it makes a large piece of a body that is not large."""
        for size in (LARGE_BYTES - 100, LARGE_BYTES, LARGE_BYTES + 1):
            publish(self.feed, b'"%s"' % (b"a" * (size - 2)))
            for client in (self.connect(), self.connect(tls=True)):
                for times in (1, 2, 3):
                    self.ask(client)
                    self.assertEqual(client.received.count(b"HTTP/1.1 200 OK"), times)
                    self.assertGreater(len(client.received), times * size)
            self.assertEqual(self.shown(), [f'127.0.0.1 - - "GET /feed HTTP/1.1" 200 {size}'] * 6)
            self.lines.clear()
