"""One connection to a server of Redis: its commands, its end, its TLS and its login."""

from __future__ import annotations

from typing import Any

import txredisapi
from OpenSSL import SSL
from trustme import CA
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.error import ConnectionRefusedError as RefusedConnectionError
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import Certificate, PrivateCertificate
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.protocols import tls as tls_module
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.test.iosim import IOPump, connect, makeFakeClient, makeFakeServer
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from livefeed.exceptions import SourceError
from livefeed.sources.names import Names
from livefeed.sources.redis.connection import (
    SMALL_REPLY,
    TLS,
    Connection,
    Login,
    RefusedError,
    Server,
    UnixServer,
    too_slow,
)
from livefeed.sources.redis.replies import ErrorReply
from tests.sources.redis.peer import OK, PASSWORD, Peer, array, bulk

SERVER = Server("host", 6379)


class ServerTests(SynchronousTestCase):
    """Server and UnixServer."""

    def test_text(self) -> None:
        """Addresses of IPv6 are in brackets."""
        self.assertEqual(str(Server("host", 6379)), "host:6379")
        self.assertEqual(str(Server("::1", 6379)), "[::1]:6379")

    def test_path(self) -> None:
        """It may have bytes that are not UTF-8, which can be logged all the same."""
        self.assertEqual(str(UnixServer("/run/redis é")), "/run/redis é")
        self.assertEqual(str(UnixServer("/run/\udcff")), "/run/\\xff")


class ConnectionTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.peer = Peer(Factory.forProtocol(lambda: Connection((PASSWORD, "s3cret"))))
        self.connection: Connection = self.peer.protocol

    def ask(self, *command: object, allowance: int = SMALL_REPLY) -> Deferred[Any]:
        return Deferred.fromCoroutine(self.connection.ask(*command or ("PING",), allowance=allowance))

    def failed(self, asking: Deferred[Any]) -> str:
        """Gives the message of the error with which a command failed."""
        return str(self.failureResultOf(asking, SourceError).value)


class AskTests(ConnectionTestCase):
    """Connection.ask and Connection.begin."""

    def test_reply(self) -> None:
        """A command is sent as it is, and the reply of any type is given."""
        for data, reply in ((OK, "OK"), (bulk(b"\xff"), b"\xff"), (b":7\r\n", 7), (b"$-1\r\n", None)):
            asking = self.ask("GET", b"k\xff")
            self.assertEqual(self.peer.commands(), [[b"GET", b"k\xff"]])
            self.assertNoResult(asking)
            self.peer.says(data)
            self.assertEqual(self.successResultOf(asking), reply)

    def test_replies_in_order(self) -> None:
        """Each command has its own, in any pieces."""
        asked = [self.ask("GET", key) for key in "abc"]
        for byte in b"".join((bulk(b"1"), array(bulk(b"2"), b":3\r\n"), OK)):
            self.peer.says(bytes([byte]))
        self.assertEqual([self.successResultOf(each) for each in asked], [b"1", [b"2", 3], "OK"])

    def test_refused(self) -> None:
        """The server's error is an error of the source, and the connection stays."""
        asking = self.ask()
        self.peer.says(b"-NOPERM not yours\r\n")
        error = self.failureResultOf(asking, RefusedError).value
        self.assertEqual((str(error), error.text), ("Redis says: NOPERM not yours", "NOPERM not yours"))
        self.assertFalse(self.peer.closed)

    def test_refusal_has_no_secrets(self) -> None:
        """Each is replaced wherever it stands, also in the reply to a command that was begun."""
        begun, asking = self.connection.begin("AUTH", PASSWORD), self.ask()
        text = f"-ERR {PASSWORD}, {PASSWORD} and s3cret\r\n".encode()
        self.peer.says(text, text)
        self.assertEqual(self.successResultOf(begun), ErrorReply("***, *** and ***"))
        self.assertEqual(self.failed(asking), "Redis says: ***, *** and ***")

    def test_refusal_is_one_line(self) -> None:
        """Of limited length; a blank one is empty."""
        for text, said in (("x" * 500, "x" * 200), ("a\nb", "a"), (" ", "")):
            asking = self.ask()
            self.peer.says(f"-{text}\r\n".encode())
            self.assertEqual(self.failed(asking), f"Redis says: {said}")

    def test_begun_command(self) -> None:
        """It is sent at once, and its reply is given whatever it is."""
        begun, asking = self.connection.begin("INFO"), self.ask("GET", "k")
        self.assertEqual(self.peer.commands(), [[b"INFO"], [b"GET", b"k"]])
        self.peer.says(bulk(b"state"), bulk(b"1"))
        self.assertEqual((self.successResultOf(begun), self.successResultOf(asking)), (b"state", b"1"))

    def test_allowance(self) -> None:
        """It is inclusive, and begins anew with each command."""
        reply = bulk(b"x" * 90)
        for _ in range(3):
            asking = self.ask(allowance=len(reply))
            self.peer.says(reply)
            self.assertEqual(self.successResultOf(asking), b"x" * 90)
        asking = self.ask(allowance=len(reply) - 1)
        self.peer.says(reply)
        self.assertEqual(self.failed(asking), "the answer is larger than it may be (--max-bytes)")
        self.assertTrue(self.peer.closed)

    def test_allowance_of_small_replies(self) -> None:
        """A command that asks for no document has a small one, which counts before the reply is complete."""
        asking = self.ask()
        self.peer.says(b"$9000\r\n", b"x" * (SMALL_REPLY - 7))
        self.assertNoResult(asking)
        self.peer.says(b"x")
        self.assertIn("larger than it may be", self.failed(asking))

    def test_peer_that_is_not_redis(self) -> None:
        """The connection ends."""
        asking = self.ask()
        self.peer.says(b"HTTP/1.1 400 Bad Request\r\n")
        self.assertEqual(self.failed(asking), "what answers there is not Redis")
        self.assertTrue(self.peer.closed)

    def test_reply_without_a_command(self) -> None:
        """It must not be taken for the reply to the next command, so the connection ends."""
        self.peer.says(OK)
        self.assertTrue(self.peer.closed)
        self.assertEqual(self.failed(self.ask()), "Redis answered what it was not asked")


class EndTests(ConnectionTestCase):
    """The end of a connection."""

    def test_lost(self) -> None:
        """All commands without a reply fail, and so does each command afterwards."""
        begun, *asked = self.connection.begin("INFO"), self.ask(), self.ask()
        self.peer.is_lost()
        self.failureResultOf(begun, txredisapi.ConnectionError)
        for asking in (*asked, self.ask()):
            self.assertEqual(self.failed(asking), "the connection was lost")

    def test_abort(self) -> None:
        """The connection ends at once; a second call does nothing."""
        asking = self.ask()
        self.connection.abort()
        self.assertTrue(self.peer.closed)
        self.assertEqual(self.failed(asking), "the connection was lost")
        self.connection.abort()

    def test_was_ended(self) -> None:
        """Only by an end without a known reason."""
        self.assertFalse(self.connection.was_ended)
        self.peer.is_lost()
        self.assertTrue(self.connection.was_ended)
        self.setUp()
        self.peer.says(OK)
        self.assertTrue(self.peer.closed)
        self.assertFalse(self.connection.was_ended)

    def test_cancelled_command(self) -> None:
        """Its reply is not taken for that of the next command, and the end of the connection is no error in the log."""
        cancelled, asking = self.ask("GET", "a"), self.ask("GET", "b")
        cancelled.addErrback(lambda failure: failure.trap(CancelledError) and None)
        cancelled.cancel()
        self.peer.says(bulk(b"1"), bulk(b"2"))
        self.assertEqual(self.successResultOf(asking), b"2")
        cancelled = self.ask()
        cancelled.addErrback(lambda failure: failure.trap(CancelledError) and None)
        cancelled.cancel()
        self.peer.is_lost()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_errors_of_tls(self) -> None:
        """The last message of OpenSSL's stack is given; an end without a message is a lost connection."""
        for error, why in (
            (SSL.Error([("a", "", "first"), ("b", "", "last")]), "last"),
            (SSL.Error([]), "the connection was lost"),
            (SSL.Error(), "the connection was lost"),
            (SSL.SysCallError(-1, "Unexpected EOF"), "the connection was lost"),
        ):
            self.setUp()
            asking = self.ask()
            self.connection.connectionLost(Failure(error))
            self.assertEqual(self.failed(asking), f"cannot connect: TLS: {why}")
            self.assertFalse(self.connection.was_ended)


class TooSlowTests(SynchronousTestCase):
    """too_slow."""

    def test_timeout(self) -> None:
        """The error has the time, and no cause but the cancellation."""
        clock = Clock()
        waiting: Deferred[object] = Deferred()
        waiting.addTimeout(1.5, clock, too_slow)
        clock.advance(1.5)
        error = self.failureResultOf(waiting, SourceError).value
        self.assertEqual(str(error), "no answer within 1.5 s")
        self.assertIsInstance(error.__cause__, CancelledError)

    def test_result(self) -> None:
        """A result that came all the same is given."""
        self.assertEqual(too_slow(b"1", 2.0), b"1")


class LoginTestCase(SynchronousTestCase):
    """A login, and the names that it resolves.

    :ivar leads: the addresses of each name.
    """

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.leads = {"host": ("10.0.0.1",), "localhost": ("127.0.0.1",)}
        self.names = Names(maybeDeferred, self.look_up)

    def look_up(self, host: str) -> tuple[str, ...]:
        if host not in self.leads:
            raise DNSLookupError(f"no address for {host}")
        return self.leads[host]

    def connect(self, server: Server | UnixServer = SERVER, **options: Any) -> Deferred[Connection]:
        return Deferred.fromCoroutine(Login(self.reactor, self.names, **options).connect(server, Connection))

    def accept(self) -> Peer:
        """Lets the connection attempt succeed."""
        (host, port, factory, _, _) = self.reactor.tcpClients.pop()
        return Peer(factory, host, port)

    def failed(self, connecting: Deferred[Connection]) -> str:
        """Gives the message of the error with which a login failed."""
        return str(self.failureResultOf(connecting, SourceError).value)


class LoginTests(LoginTestCase):
    """Login.connect."""

    def test_nothing_to_log_in_with(self) -> None:
        """The connection is ready at once, also for the first database, which some proxies alone have."""
        for database in (None, 0):
            connecting = self.connect(database=database)
            self.assertEqual(self.reactor.tcpClients[-1][:2], ("10.0.0.1", 6379))
            peer = self.accept()
            self.assertIs(self.successResultOf(connecting).transport, peer.transport)
            self.assertEqual(peer.commands(), [])

    def test_kind(self) -> None:
        """The connection is of the kind that the caller wants."""

        class Special(Connection):
            pass

        connecting = Deferred.fromCoroutine(Login(self.reactor, self.names).connect(SERVER, Special))
        self.accept()
        self.assertIsInstance(self.successResultOf(connecting), Special)

    def test_user_password_and_database(self) -> None:
        """One after the other, each after the reply to the one before."""
        connecting = self.connect(username="me", password=PASSWORD, database=5)
        peer = self.accept()
        self.assertEqual(peer.commands(), [[b"AUTH", b"me", PASSWORD.encode()]])
        peer.says(OK)
        self.assertEqual(peer.commands(), [[b"SELECT", b"5"]])
        self.assertNoResult(connecting)
        peer.says(OK)
        self.assertIs(self.successResultOf(connecting).transport, peer.transport)

    def test_password_alone(self) -> None:
        """It is that of the default user, and may be empty."""
        for password in (PASSWORD, ""):
            self.connect(password=password)
            self.assertEqual(self.accept().commands(), [[b"AUTH", password.encode()]])

    def test_refused_login(self) -> None:
        """The connection is not left open, and neither the password nor the arguments are in the message."""
        for reply, said in (
            ("-WRONGPASS invalid username-password pair", "WRONGPASS invalid username-password pair"),
            (f"-ERR unknown command 'AUTH', with args beginning with: 'me' '{PASSWORD}'", "unknown command 'AUTH'"),
            (f"-ERR no {PASSWORD}", "no ***"),
        ):
            connecting = self.connect(username="me", password=PASSWORD)
            peer = self.accept()
            peer.says(f"{reply}\r\n".encode())
            self.assertEqual(self.failed(connecting), f"Redis says: {said}")
            self.assertTrue(peer.closed)

    def test_refused_database(self) -> None:
        """The connection is not left open."""
        connecting = self.connect(database=99)
        peer = self.accept()
        peer.says(b"-ERR DB index is out of range\r\n")
        self.assertEqual(self.failed(connecting), "Redis says: DB index is out of range")
        self.assertTrue(peer.closed)

    def test_cancelled(self) -> None:
        """During the login, the connection is not left open."""
        connecting = self.connect(password=PASSWORD)
        peer = self.accept()
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.assertTrue(peer.closed)

    def test_server_that_refuses_connections(self) -> None:
        """The reason is given on one line."""
        connecting = self.connect()
        (_, _, factory, _, _) = self.reactor.tcpClients.pop()
        factory.clientConnectionFailed(self.reactor.connectors[-1], Failure(RefusedConnectionError()))
        message = self.failed(connecting)
        self.assertTrue(message.startswith("cannot connect: Connection was refused"), message)
        self.assertTrue(message.isprintable(), message)

    def test_unknown_name(self) -> None:
        """The same."""
        message = self.failed(self.connect(Server("nowhere", 6379)))
        self.assertTrue(message.startswith("cannot connect: ") and "no address for nowhere" in message, message)

    def test_name_is_looked_up_again(self) -> None:
        """Addresses that were found in the background may be old."""
        self.assertFalse(self.names.renew("host"))
        self.leads["host"] = ("10.0.0.2",)
        self.connect()
        self.assertEqual([client[0] for client in self.reactor.tcpClients], ["10.0.0.2"])

    def test_unix_socket(self) -> None:
        """No name is resolved, and TLS is not used."""
        connecting = self.connect(UnixServer("/run/redis"), tls=TLS())
        ((path, factory, *_),) = self.reactor.unixClients
        self.assertEqual((path, self.reactor.tcpClients), ("/run/redis", []))
        peer = Peer(factory)
        self.assertIs(self.successResultOf(connecting).transport, peer.transport)

    def test_text_has_no_credentials(self) -> None:
        """Neither that of the login nor that of its TLS."""
        own = PrivateCertificate.loadPEM(CA().issue_cert("me.test").private_key_and_cert_chain_pem.bytes())
        login = Login(self.reactor, self.names, "somebody", PASSWORD, 5, TLS(own=own))
        for secret in ("somebody", PASSWORD, "PrivateCertificate"):
            self.assertNotIn(secret, repr(login))


class RedisOverTLS(Protocol):
    """The server's end of a connection with TLS: it says OK to all that it is sent, and records it."""

    def __init__(self) -> None:
        self.received = b""

    def dataReceived(self, data: bytes) -> None:
        """IProtocol API."""
        self.received += data
        assert self.transport is not None
        self.transport.write(OK)


@implementer(IOpenSSLServerConnectionCreator)
class ServerCreator:
    """Makes the server's ends of TLS."""

    def __init__(self, context: SSL.Context) -> None:
        self.context = context

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:
        """IOpenSSLServerConnectionCreator API."""
        return SSL.Connection(self.context, None)


class TLSTests(LoginTestCase):
    """TLS, with both ends in memory."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(tls_module, "_get_default_clock", lambda: self.reactor)
        self.authority = CA()
        self.server = RedisOverTLS()

    def certified(self, name: str, authority: CA | None = None) -> SSL.Context:
        """Gives the context of a server with a certificate of the authority."""
        context = SSL.Context(SSL.TLS_METHOD)
        (authority or self.authority).issue_cert(name).configure_cert(context)
        return context

    def shake_hands(self, tls: TLS, context: SSL.Context) -> Deferred[Connection]:
        """Connects to localhost with a password, and lets the two ends talk."""
        connecting = self.connect(Server("localhost", 6379), password=PASSWORD, tls=tls)
        (host, port, factory, _, _) = self.reactor.tcpClients.pop()
        client = factory.buildProtocol(IPv4Address("TCP", host, port))
        creator = ServerCreator(context)
        server = TLSMemoryBIOFactory(creator, False, Factory.forProtocol(lambda: self.server)).buildProtocol(None)
        pump: IOPump = connect(server, makeFakeServer(server), client, makeFakeClient(client))
        pump.flush()
        for _ in range(4):
            # Twisted puts small writes together until the next turn: of the login, and of its reply.
            self.reactor.advance(0)
            pump.flush()
        return connecting

    @property
    def trusting(self) -> TLS:
        """Trusts the authority."""
        return TLS((Certificate.loadPEM(self.authority.cert_pem.bytes()),))

    def test_login(self) -> None:
        """A server whose certificate is for its name is sent the password."""
        connecting = self.shake_hands(self.trusting, self.certified("localhost"))
        self.assertTrue(self.successResultOf(connecting).connected)
        self.assertIn(PASSWORD.encode(), self.server.received)

    def test_client_certificate(self) -> None:
        """A server that asks for one gets it, and refuses clients without one."""
        context = self.certified("localhost")
        self.authority.configure_trust(context)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
        own = PrivateCertificate.loadPEM(self.authority.issue_cert("me.test").private_key_and_cert_chain_pem.bytes())
        connecting = self.shake_hands(TLS(self.trusting.authorities, own), context)
        self.assertTrue(self.successResultOf(connecting).connected)
        # Twisted passes pyOpenSSL's own objects to pyOpenSSL, which discourages it.
        self.assertEqual({each["category"] for each in self.flushWarnings()}, {DeprecationWarning})
        refused = self.failed(self.shake_hands(self.trusting, context))
        self.assertTrue(refused.startswith("cannot connect: TLS: ") and "certificate required" in refused, refused)

    def test_certificate_for_another_name(self) -> None:
        """The server is sent nothing."""
        connecting = self.shake_hands(self.trusting, self.certified("another.test"))
        self.assertEqual(self.failed(connecting), "cannot connect: the certificate is not one for this host")
        self.assertEqual(self.server.received, b"")

    def test_certificate_of_another_authority(self) -> None:
        """Neither a server whose authority is not trusted, whether the trusted ones are named or the system's."""
        for tls in (self.trusting, TLS()):
            connecting = self.shake_hands(tls, self.certified("localhost", CA()))
            self.assertEqual(self.failed(connecting), "cannot connect: TLS: certificate verify failed")
            self.assertEqual(self.server.received, b"")

    def test_server_without_tls(self) -> None:
        """It is told from one that cannot be reached."""
        connecting = self.connect(password=PASSWORD, tls=self.trusting)
        self.accept().transport.protocol.dataReceived(b"-ERR Protocol error\r\n")
        self.assertTrue(self.failed(connecting).startswith("cannot connect: TLS: "), connecting)

    def test_impossible_name(self) -> None:
        """No certificate can be for it, so no connection is tried."""
        self.assertIn("no certificate can be for the name", self.failed(self.connect(Server("a b", 1), tls=TLS())))
        self.assertEqual(self.reactor.tcpClients, [])
