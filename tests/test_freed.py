"""Connections of every kind, old when they end: reference counting alone frees all their objects.

The collector looks at old objects as rarely as possible (:mod:`livefeed.process.memory`), so each cycle would stay.
"""

from __future__ import annotations

import base64
import contextlib
import gc
import socket
import weakref
from itertools import product
from typing import TYPE_CHECKING, Any

from OpenSSL import SSL
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory

from livefeed.delivery.websocket.handshake import DELTA
from livefeed.process.memory import MAX_PUT_OFF, PERIOD_S, Collector
from livefeed.testing import make_site, publish
from livefeed.tls.options import server_options
from livefeed.web.reconnect_slots import ReconnectSlots
from tests.helpers.driven import Client, DrivenReactor, make_pool
from tests.helpers.driven_site import DrivenSite
from tests.helpers.garbage import garbage
from tests.helpers.tls import CertificateTestCase, TLSClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.tls.development import DevelopmentCertificate

FIRST, SECOND = (b'{"votes": [%d, {"a": "%s"}]}' % (count, b"x" * 300) for count in (1, 2))


def get(path: str, *fields: str) -> bytes:
    return "".join(f"{line}\r\n" for line in (f"GET {path} HTTP/1.1", "Host: a", *fields, "")).encode()


def handshake(path: str, *fields: str, version: int = 13) -> bytes:
    return get(
        path,
        "Connection: Upgrade",
        "Upgrade: websocket",
        f"Sec-WebSocket-Version: {version}",
        f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}",
        *fields,
    )


DELTAS = f"Sec-WebSocket-Protocol: {DELTA}"
DEFLATED = "Sec-WebSocket-Extensions: permessage-deflate"
POLLS = {
    "poll": get("/feed"),
    "poll of a part": get("/feed/votes/0"),
    "unknown path": get("/nothing"),
    "refused handshake": handshake("/feed.ws", version=8),
    "half a head": get("/feed")[:-2],
}
WEBSOCKETS = {
    "websocket": handshake("/feed.ws"),
    "websocket with deltas": handshake("/feed.ws", DELTAS),
    "deflated websocket": handshake("/feed.ws", DEFLATED),
    "deflated websocket with deltas": handshake("/feed.ws", DEFLATED, DELTAS),
    "websocket of a part": handshake("/feed/votes/0"),
}
STREAMS = {
    "events": get("/feed.sse"),
    "events with deltas": get("/feed.sse?delta=1"),
    "events of a part": get("/feed.sse/votes/0"),
}
CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"  # a close frame, masked with nothing


class Server(DrivenSite):
    """A site on a real socket, whose reactor a test drives.

    :param transport: ``fast`` or ``twisted``.
    :ivar leaves_new: whether something new is left of a connection that breaks off: the error of Twisted's TLS, and the
        frames that it came through, one of which holds it. The collector finds that when it next looks at new objects.
    :param made: the certificate, if it is to speak TLS.
    """

    def __init__(self, transport: str, made: DevelopmentCertificate | None) -> None:
        self.reactor = DrivenReactor()
        made_site = make_site(clock=self.reactor)
        self.feed, (self.served,) = made_site.feed, made_site.published
        self.site, self.factory = made_site.site, made_site.subscribers
        publish(self.feed, FIRST)
        self.context: SSL.Context | None = None
        self.leaves_new = transport == "twisted" and made is not None
        listening: Any = make_pool(self.reactor) if transport == "fast" else self.reactor
        if made is None:
            self._port = listening.listenTCP(0, self.site, interface="127.0.0.1")
        else:
            self.context = SSL.Context(SSL.TLS_CLIENT_METHOD)
            self.context.load_verify_locations(str(made.ca))
            options = server_options(made.cert, made.key)
            if transport == "fast":
                self._port = listening.listenSSL(0, self.site, options, interface="127.0.0.1")
            else:
                # As listenSSL does, but for the clock, which would be the global reactor.
                factory = TLSMemoryBIOFactory(options, False, self.site, self.reactor)
                self._port = listening.listenTCP(0, factory, interface="127.0.0.1")
        self.clients: list[Client] = []

    def connect_without_tls(self) -> Client:
        """Gives a new client, which does not take part in anything yet."""
        sock = socket.create_connection(("127.0.0.1", self._port.getHost().port))
        # Or the second half of a request waits for the kernel to confirm the first.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Client(sock)

    def connect(self) -> Client:
        """Gives a new client, which has done the handshake of TLS if there is one."""
        client = self.connect_without_tls()
        sock = client.sock
        if self.context is not None:
            client = TLSClient(sock, self.context)
            for _ in range(100):
                self.reactor.settle()
                with contextlib.suppress(SSL.WantReadError):
                    client.tls.do_handshake()
                    break
        self.clients.append(client)
        return client


class FreedTests(CertificateTestCase):
    def assert_freed(self, kinds: dict[str, bytes], end: Callable[[Server], object]) -> None:
        """Fails if any object is left of connections that `end` has ended: on both transports, with TLS and without."""
        for transport, made in product(("fast", "twisted"), (None, self.made)):
            self.assert_freed_on(Server(transport, made), kinds, end)

    def assert_freed_on(self, server: Server, kinds: dict[str, bytes], end: Callable[[Server], object]) -> None:
        try:
            with garbage(but_new=server.leaves_new) as found:
                for request in kinds.values():
                    server.connect().send(request)
                server.settle()
                publish(server.feed, SECOND)
                server.settle()
                for (kind, request), client in zip(kinds.items(), server.clients, strict=True):
                    self.assertEqual(client.received.startswith(b"HTTP/1.1 "), request.endswith(b"\r\n\r\n"), kind)
                    self.assertEqual(client.received.startswith(b"HTTP/1.1 101"), kinds is WEBSOCKETS, kind)
                    self.assertFalse(client.ended, kind)
                # With this they are old.
                gc.collect()
                end(server)
                server.settle()
                server.reactor.advance(5)
            self.assertEqual(sorted(f"{type(each).__module__}.{type(each).__name__}" for each in found), [])
            self.assertEqual((server.site.channels, server.served.streams()), (set(), []))
            self.assertEqual(list(server.factory.protocols_open), [])
        finally:
            server.close()

    @staticmethod
    def leave(server: Server) -> None:
        """All clients close."""
        for client in server.clients:
            client.close()

    @staticmethod
    def reset(server: Server) -> None:
        """All clients send a reset."""
        for client in server.clients:
            client.reset()

    def test_polls(self) -> None:
        """Ended by the client, in order and by a reset, by the server, which finds them idle, and aborted by it."""

        def abort(server: Server) -> None:
            for channel in tuple(server.site.channels):
                channel.forceAbortClient()

        def ask(server: Server) -> None:
            for client in server.clients:
                client.send(get("/feed", "Connection: close"))

        for end in (self.leave, self.reset, lambda server: server.reactor.advance(90), abort, ask):
            self.assert_freed(POLLS, end)

    def test_streams(self) -> None:
        """Ended by the client, both ways, by the server as it stops, and aborted."""

        def abort(server: Server) -> None:
            for stream in server.served.streams():
                stream.transport.abortConnection()

        def let_go(server: Server) -> None:
            server.served.let_go(ReconnectSlots())
            server.settle()
            # Twisted's TLS waits for that.
            self.leave(server)

        for end in (self.leave, self.reset, let_go, abort):
            self.assert_freed(STREAMS, end)

    def test_websockets(self) -> None:
        """Ended by the client: with a close frame, without one, and by a reset; by the server; and aborted."""

        def say_goodbye(server: Server) -> None:
            for client in server.clients:
                client.send(CLOSE)

        def break_rules(server: Server) -> None:
            for client in server.clients:
                client.send(b"\x81\x01a")  # without a mask

        def abort(server: Server) -> None:
            for subscriber in tuple(server.factory.protocols_open):
                subscriber.transport.abortConnection()

        for end in (
            say_goodbye,
            self.leave,
            self.reset,
            break_rules,
            lambda server: server.factory.let_go(ReconnectSlots()),
            abort,
        ):
            self.assert_freed(WEBSOCKETS, end)

    def test_handshakes_of_tls(self) -> None:
        """Which are not begun, not finished, or no TLS at all."""
        for transport in ("fast", "twisted"):
            for end in (self.leave, self.reset, lambda server: server.reactor.advance(90)):
                server = Server(transport, self.made)
                try:
                    with garbage(but_new=server.leaves_new) as found:
                        for said in (b"", b"\x16\x03\x01\x02\x00\x01", POLLS["poll"]):
                            server.clients.append(server.connect_without_tls())
                            server.clients[-1].send(said)
                        server.settle()
                        gc.collect()
                        end(server)
                        server.settle()
                        server.reactor.advance(5)
                    self.assertEqual([type(each).__name__ for each in found], [])
                    self.assertEqual(server.site.channels, set())
                finally:
                    server.close()

    def test_what_twisted_leaves(self) -> None:
        """Twisted leaves new garbage that keeps old objects; the next collection of new objects frees both."""
        server, clock = Server("twisted", self.made), Clock()
        collector = Collector(lambda: len(server.site.channels), clock, timer=lambda: 0.0, resident=lambda: 0)
        collector.startService()
        clock.advance(PERIOD_S)
        try:
            for kind in POLLS.values():
                server.connect().send(kind)
            server.settle()
            left = [weakref.ref(channel.transport) for channel in server.site.channels]
            self.assertEqual(len(left), len(POLLS))
            clock.pump([PERIOD_S] * 2)
            self.leave(server)
            server.settle()
            clock.pump([PERIOD_S] * (MAX_PUT_OFF + 1))
            self.assertEqual(collector.full, 0)
            self.assertEqual({each() for each in left}, {None})
        finally:
            collector.stopService()
            server.close()
