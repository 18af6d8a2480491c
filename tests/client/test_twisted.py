"""The front end for Twisted."""

from __future__ import annotations

import ssl
from typing import Any

import trustme
from twisted.internet import error as errors
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from livefeed.client import twisted as client_twisted
from livefeed.client.address import Address
from livefeed.client.twisted import Follower
from livefeed.client.update import Line, State
from livefeed.exceptions import FollowError
from tests.helpers.client_loop import FakeLoop, FakeWire, RecordingReceiver
from tests.helpers.delta_messages import document, splices
from tests.helpers.tls_peer import TlsPeer

A, B, C = '{"seats": 42}', '{"seats": 43}', '{"seats": 44}'


class FollowerTests(SynchronousTestCase):
    """The service, on connections of the test."""

    def setUp(self) -> None:
        self.loop = FakeLoop()
        self.patch(client_twisted, "_Loop", lambda *_: self.loop)
        self.updates: list[Any] = []

    def follower(self, on_update: Any = None, **more: Any) -> Follower:
        follower = Follower(None, "http://h/feed", on_update or self.updates.append, **more)
        follower.startService()
        self.wire.accept()
        return follower

    @property
    def wire(self) -> FakeWire:
        return self.loop.wires[-1]

    def idle(self) -> None:
        """Does the calls that are due at once."""
        for timer in [each for each in self.loop.waiting if each.delay_s == 0]:
            timer.cancel()
            timer.call()

    def test_updates(self) -> None:
        """Each change is given, with the document as it is parsed."""
        follower = self.follower()
        self.wire.send(document(A))
        self.wire.send(splices(A, B))
        self.assertEqual([each.data for each in self.updates], [{"seats": 42}, {"seats": 43}])
        self.assertEqual((self.updates[-1].state, self.updates[-1].line), (State.LIVE, Line.OPEN))
        self.assertIsNotNone(follower.age_s)
        follower.stopService()
        self.assertTrue(self.wire.is_dropped)
        self.assertIsNone(follower.age_s)

    def test_held_and_ended(self) -> None:
        """A document that is held says why; one that has ended is asked for again on request."""
        follower = self.follower()
        self.wire.send(document(A, state="held", reason="a check", waiting=5000))
        self.assertEqual((self.updates[-1].state, self.updates[-1].reason), (State.HELD, "a check"))
        self.assertGreaterEqual(self.updates[-1].waiting_s, 5)
        assert follower.waiting_s is not None
        self.assertGreaterEqual(follower.waiting_s, self.updates[-1].waiting_s)
        self.wire.send(document(A, state="ended"))
        self.assertEqual((self.updates[-1].state, self.updates[-1].line), (State.ENDED, Line.CLOSED))
        follower.refresh()
        self.assertEqual(len(self.loop.requests), 1)
        follower.stopService()
        follower.refresh()
        self.assertIsNone(follower.waiting_s)

    def test_service_starts_again(self) -> None:
        """A service that was stopped begins from nothing."""
        follower = self.follower()
        self.wire.send(document(A))
        follower.stopService()
        follower.startService()
        self.wire.accept()
        self.wire.send(document(A))
        self.assertEqual([each.data for each in self.updates], [{"seats": 42}] * 2)

    def test_slow_user(self) -> None:
        """While a call is not done there is no other, and the next one gives the newest version."""
        calls: list[tuple[Any, Deferred[None]]] = []

        def on_update(update: Any) -> Deferred[None]:
            calls.append((update.data, Deferred()))
            return calls[-1][1]

        self.follower(on_update)
        for text in (document(A), document(B), document(C)):
            self.wire.send(text)
        self.assertEqual([data for data, _ in calls], [{"seats": 42}])
        calls[0][1].callback(None)
        self.idle()
        self.assertEqual([data for data, _ in calls], [{"seats": 42}, {"seats": 44}])

    def test_coroutine_function(self) -> None:
        """The user's function may be a coroutine function."""

        async def on_update(update: Any) -> None:
            self.updates.append(update)

        self.follower(on_update)
        self.wire.send(document(A))
        self.idle()
        self.wire.send(document(B))
        self.idle()
        self.assertEqual([each.data for each in self.updates], [{"seats": 42}, {"seats": 43}])

    def test_errors_of_the_user(self) -> None:
        """An error of the user's function is logged, and the next version is given all the same."""

        def fail(update: Any) -> None:
            self.updates.append(update)
            raise ValueError("no")

        async def fail_later(update: Any) -> None:
            fail(update)

        for function in (fail, fail_later):
            self.updates.clear()
            self.follower(function)
            self.wire.send(document(A))
            self.idle()
            self.wire.send(document(B))
            self.idle()
            self.assertEqual(len(self.updates), 2)
            self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_stop_cancels_the_call(self) -> None:
        """A call that is not done is cancelled, which is no error."""
        waiting: Deferred[None] = Deferred()
        follower = self.follower(lambda _: waiting)
        self.wire.send(document(A))
        follower.stopService()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_errors(self) -> None:
        """An error that ends the following is given to the user, or logged."""
        found: list[FollowError] = []
        self.follower(on_error=found.append)
        self.wire.close(3500, "too many frames")
        self.assertIn("too many frames", str(found[0]))
        self.follower()
        self.wire.close(3500)
        self.assertRaises(FollowError, Follower, None, "feed", print)


class WireTests(SynchronousTestCase):
    """A connection of Twisted."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.receiver = RecordingReceiver()
        self.loop = client_twisted._Loop(self.reactor, Address.of("http://127.0.0.1:80/feed"), None)

    def connect(self) -> Any:
        wire = self.loop.connect(self.receiver)
        self.reactor.advance(0)
        return wire

    def protocol(self) -> Any:
        """Gives the protocol of a connection that has been accepted."""
        factory: Any = self.reactor.tcpClients[-1][2]
        return factory.buildProtocol(None)

    def test_other_endpoint(self) -> None:
        """A connection to another place than the URL's."""
        self.loop.address = Address.of("http://h/feed", connect="127.0.0.1:8080")
        self.connect()
        self.assertEqual(self.reactor.tcpClients[0][:2], ("127.0.0.1", 8080))

    def test_bytes(self) -> None:
        """Bytes come and go, and the end is told once."""
        wire = self.connect()
        (host, port, *_) = self.reactor.tcpClients[0]
        self.assertEqual((host, port), ("127.0.0.1", 80))
        protocol = self.protocol()
        transport = StringTransport()
        protocol.makeConnection(transport)
        wire.write(b"ping")
        self.assertEqual(transport.value(), b"ping")
        protocol.dataReceived(b"pong")
        protocol.connectionLost(Failure(errors.ConnectionDone()))
        protocol.connectionLost(Failure(errors.ConnectionDone()))
        self.assertEqual(self.receiver.events, ["connected", b"pong", type(None)])

    def over_tls(self, authority: trustme.CA, *, is_trusted: bool) -> tuple[Any, TlsPeer]:
        """Gives a connection with TLS after the handshake, and its server."""
        context = ssl.create_default_context()
        if is_trusted:
            authority.configure_trust(context)
        self.loop.tls = context
        wire, server, transport = self.connect(), TlsPeer(authority, "127.0.0.1"), StringTransport()
        self.protocol().makeConnection(transport)
        for _ in range(10):
            server.receive(transport.value())
            transport.clear()
            wire.dataReceived(server.to_send())
            if server.is_ready or transport.disconnecting:
                break
        return wire, server

    def test_tls(self) -> None:
        """Bytes come and go by TLS, once the server's certificate is found to be good."""
        wire, server = self.over_tls(trustme.CA(), is_trusted=True)
        self.assertEqual(self.receiver.events, ["connected"])
        wire.write(b"ping")
        self.assertEqual(server.receive(wire.transport.value()), b"ping")
        server.send(b"pong")
        wire.dataReceived(server.to_send())
        self.assertEqual(self.receiver.events, ["connected", b"pong"])

    def test_untrusted_certificate(self) -> None:
        """A certificate that is not trusted ends the connection, with the reason."""
        wire, _ = self.over_tls(trustme.CA(), is_trusted=False)
        self.assertEqual(self.receiver.events, [ssl.SSLCertVerificationError])
        self.assertTrue(wire.transport.disconnecting)

    def test_dropped(self) -> None:
        """Nothing is told about a connection that was dropped, whenever that is."""
        wire = self.loop.connect(self.receiver)
        wire.drop()
        self.reactor.advance(0)
        self.assertEqual(self.reactor.tcpClients, [])
        wire = self.connect()
        wire.drop()
        wire = self.connect()
        protocol = self.protocol()
        transport = StringTransport()
        protocol.makeConnection(transport)
        wire.drop()
        self.assertTrue(transport.disconnecting)
        protocol.dataReceived(b"late")
        self.assertEqual(self.receiver.events, ["connected"])

    def test_failures(self) -> None:
        """The errors of Twisted become those of Python, which explain themselves."""
        for error, kind in (
            (errors.ConnectionRefusedError(), ConnectionRefusedError),
            (errors.TCPTimedOutError(), TimeoutError),
            (errors.NoRouteError(), ConnectionError),
        ):
            self.setUp()
            self.connect()
            factory: Any = self.reactor.tcpClients[0][2]
            factory.clientConnectionFailed(None, Failure(error))
            self.reactor.advance(1)
            self.assertEqual(self.receiver.events, [kind])

    def test_threads(self) -> None:
        """Requests are made in threads of their own; a machine that has none left is a failure."""

        def none_left(*_: Any) -> Any:
            raise OSError(11, "Resource temporarily unavailable")

        self.patch(client_twisted, "defer_to_new_thread", none_left)
        results: list[Any] = []
        self.loop.in_thread(lambda: None, results.append)  # type: ignore[arg-type, return-value]
        self.reactor.advance(0)
        self.assertIn("no thread", results[0].why)
