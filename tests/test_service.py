"""What livefeed sets on the sockets of Twisted's own transport."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase

from livefeed.certificates import development_certificate
from livefeed.service import _limit_unsent
from livefeed.tls import server_options
from tests.transport.driven import Client, DrivenReactor, turn_until
from tests.transport.test_tls import TLSClient

LARGE = bytes(8 << 20)


class Hearing(Protocol):
    """Writes down that it was sent something."""

    received = b""

    def dataReceived(self, data: bytes) -> None:
        self.received += data


class UnsentTests(SynchronousTestCase):
    """How much of what was written has not been taken, on Twisted's transport."""

    def setUp(self) -> None:
        self.reactor = DrivenReactor()
        self.addCleanup(self.reactor.close)
        self.protocols: list[Any] = []
        self.factory: Any = Factory()
        self.factory.noisy = False

        def build(address: object) -> Protocol:
            protocol = Hearing()
            self.protocols.append(protocol)
            return protocol

        self.patch(self.factory, "buildProtocol", build)

    def connect(self, factory: Any) -> socket.socket:
        port: Any = self.reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        _limit_unsent(port)
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        sock.connect(("127.0.0.1", port.getHost().port))
        return sock

    def assert_progress_is_seen(self, client: Client) -> None:
        """What a full transport says of itself goes down to nothing as its client reads."""
        self.addCleanup(client.close)
        # Twisted has a protocol from the start, and keeps what it writes until TLS has begun.
        turn_until(self.reactor, lambda: self.protocols != [], client)
        while not self.protocols[0].received:
            turn_until(self.reactor, lambda: True, client)
            client.send(b"?")
        transport = self.protocols[0].transport
        self.assertEqual(transport.unsent_bytes, 0)
        transport.write(LARGE)
        self.reactor.settle()
        seen = [transport.unsent_bytes]
        self.assertGreater(seen[0], len(LARGE) // 2)
        self.reactor.settle()
        self.assertEqual(transport.unsent_bytes, seen[0])
        while seen[-1]:
            turn_until(self.reactor, lambda: transport.unsent_bytes < seen[-1], client)
            seen.append(transport.unsent_bytes)
        turn_until(self.reactor, lambda: len(client.received) == len(LARGE), client)

    def test_without_tls(self) -> None:
        """Of the socket itself."""
        self.assert_progress_is_seen(Client(self.connect(self.factory)))

    def test_with_tls(self) -> None:
        """Of the socket below."""
        made = development_certificate(Path(self.mktemp()))
        sock = self.connect(TLSMemoryBIOFactory(server_options(made.cert, made.key), False, self.factory, self.reactor))
        self.assert_progress_is_seen(TLSClient(sock, SSL.Context(SSL.TLS_CLIENT_METHOD)))
