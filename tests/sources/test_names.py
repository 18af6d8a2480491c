"""Names: one look-up at a time, in a thread, and connections to the addresses."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from OpenSSL.crypto import X509
from service_identity import VerificationError
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.error import ConnectionRefusedError as RefusedError
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.test.iosim import connect, makeFakeClient, makeFakeServer
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from livefeed.exceptions import SourceError
from livefeed.sources.names import (
    CONNECT_TIMEOUT_S,
    MAX_ADDRESSES,
    MAX_RENEWED,
    NEXT_ADDRESS_S,
    NamedEndpoint,
    Names,
    is_address,
    look_up,
    verified,
)

if TYPE_CHECKING:
    from collections.abc import Callable


class Threads:
    """Threads that end when the test says so."""

    def __init__(self) -> None:
        self.running: list[tuple[str, Deferred[tuple[str, ...]]]] = []

    def __call__(self, work: Callable[[str], tuple[str, ...]], host: str) -> Deferred[tuple[str, ...]]:
        outcome: Deferred[tuple[str, ...]] = Deferred()
        self.running.append((host, outcome))
        return outcome

    def end(self, result: object) -> None:
        """Lets the one lookup that runs come to something."""
        ((_, outcome),) = self.running
        self.running.clear()
        outcome.callback(result)  # type: ignore[arg-type]

    @property
    def names(self) -> list[str]:
        """The host names of the look-ups that are running."""
        return [host for host, _ in self.running]


class LookUpTests(SynchronousTestCase):
    """look_up."""

    def answer(self, *addresses: tuple[int, str]) -> None:
        found = [(family, socket.SOCK_STREAM, 6, "", (address, 0)) for family, address in addresses]
        self.patch(socket, "getaddrinfo", lambda *_, **__: found)

    def test_families_take_turns(self) -> None:
        """Families alternate, otherwise in the system's order, without repeats and up to MAX_ADDRESSES."""
        v4, v6 = socket.AF_INET, socket.AF_INET6
        self.answer((v6, "::1"), (v6, "::2"), (v4, "10.0.0.1"), (v6, "::1"), (socket.AF_UNIX, "x"))
        self.assertEqual(look_up("name"), ("::1", "10.0.0.1", "::2"))
        self.answer(*((v4, f"10.0.0.{number}") for number in range(99)))
        self.assertEqual(len(look_up("name")), MAX_ADDRESSES)

    def test_no_address(self) -> None:
        """Any failure becomes one DNSLookupError that contains the name."""
        self.answer()
        self.assertIn("'name'", str(self.assertRaises(DNSLookupError, look_up, "name")))
        self.patch(socket, "getaddrinfo", self.refuse)
        self.assertIn("unknown: 'a_b'", str(self.assertRaises(DNSLookupError, look_up, "a_b")))

    @staticmethod
    def refuse(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    def test_what_can_be_no_name(self) -> None:
        """The system is not even asked, and does not break."""
        for name in ("a\0b", "x" * 64 + ".ü", "ü..test"):
            self.assertRaises(DNSLookupError, look_up, name)


class NamesTests(SynchronousTestCase):
    """Names."""

    def setUp(self) -> None:
        self.threads = Threads()
        self.names = Names(self.threads)

    def test_addresses_are_not_looked_up(self) -> None:
        """IPv4 and IPv6."""
        for address in ("127.0.0.1", "::1"):
            self.assertEqual(self.successResultOf(self.names.resolve(address)), (address,))
            self.assertTrue(self.names.renew(address))
        self.assertEqual(self.threads.names, [])

    def test_one_lookup_at_a_time(self) -> None:
        """The same name is waited for together; another one waits for its turn."""
        first, other, again = (self.names.resolve(name) for name in ("a_b", "other", "a_b"))
        self.assertEqual(self.threads.names, ["a_b"])
        self.threads.end(("10.0.0.1",))
        self.assertEqual(self.successResultOf(first), ("10.0.0.1",))
        self.assertEqual(self.successResultOf(again), ("10.0.0.1",))
        self.assertEqual(self.threads.names, ["other"])
        self.threads.end(Failure(DNSLookupError()))
        self.failureResultOf(other, DNSLookupError)
        self.names.resolve("a_b")
        self.assertEqual(self.threads.names, ["a_b"])

    def test_cancelled(self) -> None:
        """A hanging look-up is shared by later callers; a caller that has cancelled gets no result."""
        for _ in range(5):
            waiting = self.names.resolve("silent")
            waiting.cancel()
            self.failureResultOf(waiting, CancelledError)
        self.assertEqual(self.threads.names, ["silent"])
        self.assertLessEqual(len(self.names._waiting), 1)
        last = self.names.resolve("silent")
        self.threads.end(("10.0.0.1",))
        self.assertEqual(self.successResultOf(last), ("10.0.0.1",))
        self.assertEqual(self.threads.names, [])

    def test_no_thread(self) -> None:
        """It is an error like any other, and the next attempt is made."""
        self.names.in_thread = self.no_thread
        self.failureResultOf(self.names.resolve("a"), OSError)
        self.assertFalse(self.names.renew("a"))
        self.names.in_thread = self.threads
        self.names.resolve("a")
        self.assertEqual(self.threads.names, ["a"])

    @staticmethod
    def no_thread(*_: object) -> Deferred[tuple[str, ...]]:
        raise OSError("no thread")

    def test_renewed(self) -> None:
        """A name is looked up once in the background, and the answer is used once."""
        self.assertFalse(self.names.renew("name"))
        self.assertFalse(self.names.renew("name"))
        self.threads.end(("10.0.0.1",))
        self.assertTrue(self.names.renew("name"))
        self.assertEqual(self.successResultOf(self.names.resolve("name")), ("10.0.0.1",))
        self.assertEqual(self.threads.names, [])
        self.assertFalse(self.names.renew("name"))
        self.threads.end(Failure(DNSLookupError()))
        self.assertFalse(self.names.renew("name"))

    def test_what_was_renewed(self) -> None:
        """A renewed answer is given once and can be forgotten; an address needs no look-up and is there at once."""
        self.assertIsNone(self.names.renewed("name"))
        self.threads.end(("10.0.0.1",))
        self.assertEqual(self.names.renewed("name"), ("10.0.0.1",))
        self.assertIsNone(self.names.renewed("name"))
        self.threads.end(("10.0.0.2",))
        self.names.forget("name")
        self.names.forget("name")
        self.assertIsNone(self.names.renewed("name"))
        self.assertEqual(self.threads.names, ["name"])
        self.assertEqual(self.names.renewed("::1"), ("::1",))

    def test_renewed_names_are_few(self) -> None:
        """At most MAX_RENEWED answers are kept, for any number of names."""
        for number in range(3 * MAX_RENEWED):
            self.names.renew(f"name-{number}")
            self.threads.end(("10.0.0.1",))
        self.assertLessEqual(len(self.names._renewed), MAX_RENEWED)


class EndpointTests(SynchronousTestCase):
    """NamedEndpoint."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.addresses: tuple[str, ...] = ("10.0.0.1", "::1", "10.0.0.2")
        names = Names(maybeDeferred, lambda _: self.addresses)
        self.endpoint = NamedEndpoint(self.reactor, names, "a_b---c.test", 80)

    def tearDown(self) -> None:
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def connect(self) -> Deferred[Any]:
        return self.endpoint.connect(Factory.forProtocol(Protocol))

    def tried(self) -> list[str]:
        return [host for host, *_ in self.reactor.tcpClients]

    def refuse(self, number: int) -> None:
        _, _, factory, _, _ = self.reactor.tcpClients[number]
        factory.clientConnectionFailed(self.reactor.connectors[number], Failure(RefusedError()))

    def succeed(self, number: int) -> Any:
        _, _, factory, _, _ = self.reactor.tcpClients[number]
        protocol: Any = factory.buildProtocol(IPv4Address("TCP", "10.0.0.1", 80))
        protocol.makeConnection(StringTransport())
        return protocol

    def test_first_one(self) -> None:
        """No other address is tried if the first one takes the connection."""
        connecting = self.connect()
        self.succeed(0)
        self.assertIsInstance(self.successResultOf(connecting), Protocol)
        self.assertEqual(self.tried(), ["10.0.0.1"])
        self.assertEqual(self.reactor.tcpClients[0][3], CONNECT_TIMEOUT_S)

    def test_silent_one(self) -> None:
        """The next address is tried beside it soon, and the rest is given up once one is connected."""
        connecting = self.connect()
        self.reactor.advance(NEXT_ADDRESS_S)
        self.assertEqual(self.tried(), ["10.0.0.1", "::1"])
        self.succeed(1)
        self.successResultOf(connecting)
        self.assertTrue(self.reactor.connectors[0].stoppedConnecting)

    def test_refused(self) -> None:
        """The next one is tried at once, and the last one's reason is told when there are no more."""
        connecting = self.connect()
        for number in range(3):
            self.assertEqual(len(self.tried()), number + 1)
            self.refuse(number)
        self.failureResultOf(connecting, RefusedError)

    def test_last_one_is_waited_for(self) -> None:
        """The attempt ends with the last of the addresses that are being tried."""
        connecting = self.connect()
        self.reactor.advance(NEXT_ADDRESS_S)
        self.reactor.advance(NEXT_ADDRESS_S)
        self.reactor.advance(NEXT_ADDRESS_S)
        self.refuse(2)
        self.refuse(0)
        self.assertNoResult(connecting)
        self.refuse(1)
        self.failureResultOf(connecting, ConnectError)

    def test_cancelled(self) -> None:
        """All attempts end with it."""
        connecting = self.connect()
        self.reactor.advance(NEXT_ADDRESS_S)
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.assertTrue(all(connector.stoppedConnecting for connector in self.reactor.connectors))


def certificate_for(name: str) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Gives a certificate that vouches for itself, and its key: trustme makes none for a name with an underscore."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "livefeed's tests")])
    names: list[x509.GeneralName] = [x509.IPAddress(ip_address(name)) if is_address(name) else x509.DNSName(name)]
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return made.sign(key, hashes.SHA256()), key


@implementer(IOpenSSLServerConnectionCreator)
class ServerCreator:
    """A server with one certificate, that remembers the name it was asked for."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.context = SSL.Context(SSL.TLS_METHOD)
        self.context.use_certificate(certificate)
        self.context.use_privatekey(key)
        self.connection: SSL.Connection | None = None

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:
        """IOpenSSLServerConnectionCreator API."""
        self.connection = SSL.Connection(self.context, None)
        return self.connection


class Recorder(Protocol):
    """Remembers why it ended."""

    reason: Any = None

    def connectionLost(self, reason: Failure = Failure(RefusedError())) -> None:  # noqa: B008
        """IProtocol API."""
        self.reason = reason.value


class VerifiedTests(SynchronousTestCase):
    """verified."""

    def shake_hands(self, name: str, certified: str) -> tuple[Recorder, bytes | None]:
        """Gives the client after the handshake, and the name that the server was told."""
        certificate, key = certificate_for(certified)
        root = trustRootFromCertificates([Certificate(X509.from_cryptography(certificate))])
        creator = ServerCreator(certificate, key)
        server = TLSMemoryBIOFactory(creator, False, Factory.forProtocol(Protocol)).buildProtocol(None)
        recorder = Recorder()
        factory = Factory.forProtocol(lambda: recorder)
        client = TLSMemoryBIOFactory(verified(name, trustRoot=root), True, factory).buildProtocol(None)
        pump = connect(server, makeFakeServer(server), client, makeFakeClient(client))
        pump.flush()
        assert creator.connection is not None
        return recorder, creator.connection.get_servername()

    def test_every_name(self) -> None:
        """It is told to the server, and its certificate must be for it."""
        for name in ("localhost", "stack_redis", "r3---sn.test", "127.0.0.1"):
            client, told = self.shake_hands(name, name)
            self.assertIsNone(client.reason, name)
            self.assertEqual(told, None if name == "127.0.0.1" else name.encode())

    def test_another_name(self) -> None:
        """A certificate for another name is refused."""
        for name in ("stack_redis", "r3---sn.test", "localhost"):
            client, _ = self.shake_hands(name, "another_redis")
            self.assertIsInstance(client.reason, VerificationError, name)

    def test_impossible_name(self) -> None:
        """No certificate can be for it: that is said."""
        for name in ("a b", "a~b", "a%b", ""):
            self.assertIn("no certificate can be for the name", str(self.assertRaises(SourceError, verified, name)))

    def test_endpoint(self) -> None:
        """Twisted's wrapper accepts the endpoint."""
        names = Names(maybeDeferred)
        wrapClientTLS(verified("stack_redis"), NamedEndpoint(MemoryReactorClock(), names, "stack_redis", 443))
