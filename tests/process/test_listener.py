"""Listening on one endpoint, its announcement, and the limit on unsent data of Twisted's own transport."""

from __future__ import annotations

import errno
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from OpenSSL import SSL
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import capturedLogs, formatEvent
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import StartError
from livefeed.process.listener import Announcement, Listener, describe_feeds, limit_unsent_by_twisted
from livefeed.tls.development import development_certificate
from livefeed.tls.options import server_options
from tests.helpers.driven import Client, DrivenReactor, turn_until
from tests.helpers.tls import TLSClient

if TYPE_CHECKING:
    from collections.abc import Callable


class FakePort:
    """A port that listens on 8080.

    :ivar stopped: the number of calls that stop it.
    """

    def __init__(self) -> None:
        self.stopped = 0

    def getHost(self) -> Any:
        class Host:
            port = 8080

        return Host()

    def stopListening(self) -> Deferred[None]:
        self.stopped += 1
        return succeed(None)


class FakeEndpoint:
    """An endpoint with a prepared result.

    :ivar result: the port, or the error that listening fails with.
    :ivar calls: the number of calls.
    """

    def __init__(self, result: Any) -> None:
        self.result = result
        self.calls = 0

    def listen(self, factory: object) -> Deferred[Any]:
        self.calls += 1
        return fail(self.result) if isinstance(self.result, Exception) else succeed(self.result)


class ListenerTests(SynchronousTestCase):
    """Listener and Announcement."""

    def listener(self, result: Any, description: str = "tcp:8080") -> Listener:
        self.endpoint = FakeEndpoint(result)
        return Listener(description, cast("Any", self.endpoint), Factory(), "--listen", lambda base: f"see {base}")

    def refusal(self, error: Exception, description: str = "tcp:80") -> str:
        listener = self.listener(error, description)
        return str(self.assertRaises(StartError, listener.privilegedStartService).code)

    def test_bound_once(self) -> None:
        """With the privileges of the start, or at the start if that was not called; and let go at the end."""
        port = FakePort()
        listener = self.listener(port)
        self.assertIsNone(listener.stopService())
        listener.privilegedStartService()
        listener.startService()
        self.assertEqual(self.endpoint.calls, 1)
        listener.stopService()
        listener.startService()
        self.assertEqual((self.endpoint.calls, port.stopped), (2, 1))

    def test_failures_name_the_place_and_a_remedy(self) -> None:
        """The remedies are for ports; other reasons stand alone."""
        for number, remedy in (
            (errno.EACCES, "; ports below 1024 take CAP_NET_BIND_SERVICE"),
            (errno.EADDRINUSE, "; another process listens there: `ss -ltnp` names it"),
            (errno.EADDRNOTAVAIL, "; no interface of this machine has this address"),
            (errno.EINVAL, ""),
        ):
            error = OSError(number, "why")
            for wrapped in (error, CannotListenError("", 80, error)):
                refusal = self.refusal(wrapped)
                self.assertTrue(refusal.startswith(f"livefeed: --listen: tcp:80: why{remedy}"), refusal)
            self.assertEqual(self.refusal(error, "unix:/x"), "livefeed: --listen: unix:/x: why")
        self.assertEqual(self.refusal(ValueError("broken")), "livefeed: --listen: tcp:80: broken")
        self.assertEqual(self.refusal(OSError("odd")), "livefeed: --listen: tcp:80: odd")

    def test_announcement(self) -> None:
        """Has the port that the system has chosen, and the URLs; without a port, the description stands alone."""
        listeners = [self.listener(FakePort(), description) for description in ("tcp:0", "tls:0", "unix:/x")]
        listeners.append(self.listener(FakePort(), "tls:8443"))
        listeners[-1].host = "results.example.org"
        for listener in listeners:
            listener.privilegedStartService()
        with capturedLogs() as events:
            Announcement(listeners).startService()
        self.assertEqual(
            [str(formatEvent(event)) for event in events],
            [
                "listening on tcp:0: see http://localhost:8080",
                "listening on tls:0: see https://localhost:8080",
                "listening on unix:/x",
                "listening on tls:8443: see https://results.example.org:8080",
            ],
        )

    def test_announcement_of_what_is_bound_later(self) -> None:
        """It waits for that."""
        listener = self.listener(FakePort(), "unix:/x")
        waiting: list[Callable[[], None]] = []
        with capturedLogs() as events:
            Announcement([listener], waiting.append).startService()
            self.assertEqual(events, [])
            listener.privilegedStartService()
            waiting[0]()
        self.assertEqual([str(formatEvent(event)) for event in events], ["listening on unix:/x"])

    def test_description_of_feeds(self) -> None:
        """One feed has its URLs named, several have a list."""
        one = describe_feeds(["a"], "https://localhost:1")
        self.assertIn("the document https://localhost:1/a, the WebSocket wss://localhost:1/a.ws", one)
        several = describe_feeds(["a", "b"], "http://localhost:1")
        self.assertIn("the list of the 2 feeds http://localhost:1/-/feeds.json", several)


LARGE = bytes(8 << 20)


class Hearing(Protocol):
    """Writes down that it was sent something."""

    received = b""

    def dataReceived(self, data: bytes) -> None:
        self.received += data


class UnsentTests(SynchronousTestCase):
    """The number of written bytes that the client has not taken yet, on Twisted's transport."""

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
        limit_unsent_by_twisted(port)
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        sock.connect(("127.0.0.1", port.getHost().port))
        return sock

    def assert_progress_is_seen(self, client: Client) -> None:
        """The unsent bytes of a full transport decrease to 0 as its client reads."""
        self.addCleanup(client.close)
        # Twisted makes the protocol at the start, and keeps its writes until TLS has begun.
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
        """The unsent bytes are those of the socket itself."""
        self.assert_progress_is_seen(Client(self.connect(self.factory)))

    def test_with_tls(self) -> None:
        """The unsent bytes are those of the socket below TLS."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        made = development_certificate(Path(folder.name))
        sock = self.connect(TLSMemoryBIOFactory(server_options(made.cert, made.key), False, self.factory, self.reactor))
        self.assert_progress_is_seen(TLSClient(sock, SSL.Context(SSL.TLS_CLIENT_METHOD)))
