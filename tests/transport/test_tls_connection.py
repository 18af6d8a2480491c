"""A connection with TLS, from end to end of a real socket; everything with the direct and with the public calls."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHandshakeListener, INegotiated, IProtocolNegotiationFactory, ISSLTransport
from twisted.internet.ssl import Certificate, CertificateOptions
from zope.interface import directlyProvides, implementer
from zope.interface.verify import verifyObject

from livefeed.tls import openssl
from livefeed.tls.options import server_options
from livefeed.transport import pool, tls_connection
from livefeed.transport.closing import LINGER_S
from livefeed.transport.connection_state import READ_BYTES
from livefeed.transport.interfaces import IPlainListener
from livefeed.transport.pool import SWEEP_S
from livefeed.transport.tls_connection import TLSConnection
from tests.helpers.connection_contracts import ConnectionContract
from tests.helpers.connections import LARGE, ConnectionTestCase, HalfCloseableRecorder, Pusher, Recorder
from tests.helpers.driven import Client, record_handled
from tests.helpers.tls import CertificateTestCase, TLSClient

if TYPE_CHECKING:
    from livefeed.transport.connection import Connection

HANDSHAKE_S = 10
ALERT = 21


HANDSHAKE, DATA = 22, 23


class RecordLayer:
    """Writes records of TLS 1.3 as a client, among them such as OpenSSL would not write (RFC 8446, 5.2, 7.1 to 7.3).

    :param secret: the client's first secret for records after the handshake, of TLS_AES_128_GCM_SHA256.
    """

    def __init__(self, secret: bytes) -> None:
        self._take(secret)

    def record(self, kind: int, data: bytes) -> bytes:
        """Gives a record."""
        head = b"\x17\3\3" + (len(data) + 17).to_bytes(2)
        nonce = (int.from_bytes(self._iv) ^ self._count).to_bytes(12)
        self._count += 1
        return head + self._cipher.encrypt(nonce, data + bytes([kind]), head)

    def update(self, *, requested: bool = False) -> bytes:
        """Gives one that says that the next are written with another key, as the server's are to be if requested."""
        record = self.record(HANDSHAKE, b"\x18\0\0\1" + bytes([requested]))
        self._take(self._derive(b"traffic upd", 32))
        return record

    def _take(self, secret: bytes) -> None:
        self._secret = secret
        self._count = 0
        self._cipher, self._iv = AESGCM(self._derive(b"key", 16)), self._derive(b"iv", 12)

    def _derive(self, name: bytes, length: int) -> bytes:
        info = length.to_bytes(2) + bytes([6 + len(name)]) + b"tls13 " + name + b"\0"
        return HKDFExpand(SHA256(), length, info).derive(self._secret)


@implementer(IHandshakeListener)
class Listener(Recorder):
    """A protocol that wants to know when the handshake is done."""

    def handshakeCompleted(self) -> None:
        self.events.append("handshake")


class TLSTestCase(CertificateTestCase, ConnectionTestCase):
    """A server with the certificate that livefeed makes, and clients that trust it."""

    connection_class: type[Connection] = TLSConnection
    version = SSL.TLS1_3_VERSION
    direct = False

    def setUp(self) -> None:
        calls = openssl.direct_calls() if self.direct else openssl.public_calls()
        assert calls is not None
        self.patch(tls_connection, "TLS_CALLS", calls)
        self.options = self.server_options()
        self.context = self.client_context()
        super().setUp()

    def client_context(self, version: int | None = None, ciphers: bytes = b"") -> SSL.Context:
        """Gives the context of a client that trusts the certificate; a context must not change once it is used."""
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_max_proto_version(self.version if version is None else version)
        context.load_verify_locations(str(self.made.ca))
        context.set_verify(SSL.VERIFY_PEER)
        if ciphers:
            context.set_cipher_list(ciphers)
        return context

    def server_options(self) -> CertificateOptions:
        return server_options(self.made.cert, self.made.key)

    def listen(self) -> Any:
        return self.listening.listenSSL(0, self.factory, self.options, interface="127.0.0.1")

    def open(self, receive_buffer: int = 65_536) -> Client:
        client = super().open(receive_buffer)
        self.clients[-1] = TLSClient(client.sock, self.context)
        return self.clients[-1]

    def open_by_name(self, name: bytes) -> TLSClient:
        """Gives a client that has told the server's name, if any, and done the handshake."""
        client = self.open()
        assert isinstance(client, TLSClient)
        if name:
            client.tls.set_tlsext_host_name(name)
        count = len(self.protocols)
        self.turn_until(lambda: len(self.protocols) > count, client)
        return client

    def end_side(self, client: Client) -> None:
        assert isinstance(client, TLSClient)
        client.tls.shutdown()
        super().end_side(client)

    def open_plain(self) -> Client:
        """Gives a client that does not speak TLS by itself."""
        return super().open()

    @property
    def tls(self) -> SSL.Connection:
        assert isinstance(self.client, TLSClient)
        return self.client.tls


class HandshakeTests(TLSTestCase):
    """Handshakes that succeed, and the way other connections end."""

    def test_interfaces(self) -> None:
        verifyObject(ISSLTransport, self.connection)
        verifyObject(INegotiated, self.connection)

    def test_versions(self) -> None:
        """TLS 1.3 with today's clients, 1.2 with older ones, and nothing else."""
        for version, name in ((SSL.TLS1_3_VERSION, "TLSv1.3"), (SSL.TLS1_2_VERSION, "TLSv1.2")):
            self.context = self.client_context(version)
            self.connect()
            self.assertEqual(self.tls.get_protocol_version_name(), name)
        self.context = self.client_context(SSL.TLS1_1_VERSION, b"ALL:@SECLEVEL=0")
        count = len(self.protocols)
        client = self.open()
        self.turn_until(lambda: client.ended, client)
        self.assertEqual(len(self.protocols), count)

    def test_protocol_is_made_after_the_handshake(self) -> None:
        """One that is never done costs no protocol."""
        client = self.open_plain()
        self.reactor.settle()
        self.assertEqual((len(self.protocols), len(self.pool.connections)), (1, 2))
        client.close()
        self.turn_until(lambda: len(self.pool.connections) == 1)
        self.assertEqual(len(self.protocols), 1)

    def test_handshake_in_small_pieces(self) -> None:
        """The handshake succeeds even if the network delivers it byte by byte."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = ssl.create_default_context(cafile=self.made.ca).wrap_bio(incoming, outgoing, server_hostname="localhost")
        client = self.open_plain()
        read = 0
        for _ in range(10):
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.do_handshake()
            for byte in outgoing.read():
                client.send(bytes([byte]))
                self.reactor.settle()
            client.read()
            incoming.write(client.received[read:])
            read = len(client.received)
        tls.do_handshake()
        self.assertEqual(len(self.protocols), 2)

    def test_listener_is_told_of_the_handshake(self) -> None:
        """IHandshakeListener says so."""
        self.protocol_class = Listener
        self.connect()
        self.assertEqual(self.protocol.events, ["handshake"])

    def test_handshake_is_no_work_that_a_stop_waits_for(self) -> None:
        """The connection ends at once, and was not announced to a factory."""
        count = len(self.protocols)
        client = self.open()
        self.turn_until(lambda: len(self.pool.connections) == 2)
        self.pool.end_idle()
        self.turn_until(lambda: client.ended, client)
        self.turn_until(lambda: len(self.pool.connections) == 1)
        self.assertEqual((len(self.protocols), client.received), (count, b""))
        self.send(b"the other connection goes on")

    def test_handshake_has_ten_seconds(self) -> None:
        """Whether nothing comes, or a byte now and then."""
        silent, dripping = self.open_plain(), self.open_plain()
        self.reactor.settle()
        for byte in b"\x16\x03\x01\x02\0\x01\0\x01\xfc":
            dripping.send(bytes([byte]))
            self.reactor.advance(1)
        self.assertEqual(len(self.pool.connections), 3)
        self.reactor.advance(HANDSHAKE_S - 9 + SWEEP_S)
        self.assertEqual(len(self.pool.connections), 1)
        self.turn_until(lambda: silent.ended and dripping.ended, silent, dripping)
        self.assertEqual((self.pool.handshakes, self.pool.failed_handshakes), (1, 2))
        self.send(b"others do not notice")

    def test_garbage_gets_an_alert(self) -> None:
        """The alert arrives before the orderly end of the connection."""
        for garbage in (
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\x16\x03\x01\0\x05hello",
            bytes(1000),
            b"\xff" * 20_000,
        ):
            client = self.open_plain()
            client.send(garbage)
            self.turn_until(lambda client=client: client.ended, client)
            self.assertIsNone(client.error)
            if garbage.startswith(b"\x16"):
                self.assertEqual(client.received[:1], bytes([ALERT]))
            self.assertEqual(len(self.pool.connections), 2)
            client.close()
            self.turn_until(lambda: len(self.pool.connections) == 1)
        self.assertEqual(len(self.protocols), 1)
        self.assertEqual((self.pool.handshakes, self.pool.failed_handshakes), (1, 4))

    def test_http_without_tls_is_answered(self) -> None:
        """A factory with an answer is given the request behind what OpenSSL has read; then the connection ends."""
        asked: list[bytes] = []

        def answer(rest: bytes) -> bytes:
            asked.append(rest)
            return b"use TLS"

        self.factory.plain_answer = answer
        directlyProvides(self.factory, IPlainListener)
        for request, rest in (
            (b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", b"a HTTP/1.1\r\nHost: a\r\n\r\n"),
            (b"HEAD /a HTTP/1.1\r\n\r\n", b"/a HTTP/1.1\r\n\r\n"),
            (b"GET /", b""),
        ):
            client = self.open_plain()
            client.send(request)
            self.turn_until(lambda client=client: client.ended, client)
            self.assertEqual((client.received, client.error, asked.pop()), (b"use TLS", None, rest))
            client.close()
            self.turn_until(lambda: len(self.pool.connections) == 1)
        client = self.open_plain()
        client.send(b"GET " + b"/" * 9_000)
        self.turn_until(lambda: client.ended, client)
        self.assertLessEqual(len(asked.pop()), 4096)

    def test_garbage_without_an_end(self) -> None:
        """The bytes are discarded for two seconds, and then the connection is gone."""
        client = self.open_plain()
        client.send(b"\x16\x03\x01\0\x05hello")
        self.turn_until(lambda: client.ended, client)
        client.send(b"x" * 10_000)
        self.reactor.settle()
        self.assertEqual(len(self.pool.connections), 2)
        self.reactor.advance(LINGER_S + SWEEP_S)
        self.assertEqual(len(self.pool.connections), 1)

    def test_no_cipher_in_common(self) -> None:
        """The client gets an alert."""
        self.context = self.client_context(SSL.TLS1_2_VERSION, b"ECDHE-ECDSA-AES128-SHA256")
        client = self.open()
        self.turn_until(lambda: client.ended, client)
        self.assertIn("alert handshake failure", str(client.error))

    def test_client_that_distrusts_the_certificate(self) -> None:
        """Says so in an alert, and is forgotten."""
        self.context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        self.context.set_verify(SSL.VERIFY_PEER)
        client = self.open()
        self.turn_until(lambda: client.ended, client)
        client.close()
        self.turn_until(lambda: len(self.pool.connections) == 1)

    def test_reset_within_the_handshake(self) -> None:
        """Leaves nothing behind."""
        client = self.open_plain()
        client.send(b"\x16\x03\x01")
        self.reactor.settle()
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        self.turn_until(lambda: len(self.pool.connections) == 1)

    def test_protocol_is_negotiated(self) -> None:
        """The first of the factory's that the client offers; without one in common, none (RFC 7301)."""
        self.assertIsNone(self.connection.negotiatedProtocol)
        self.port.stopListening()
        self.factory.acceptableProtocols = lambda: [b"http/1.1", b"x"]
        directlyProvides(self.factory, IProtocolNegotiationFactory)
        self.options = self.server_options()
        self.port = self.listen()
        for offered, chosen in (
            ([b"h2", b"x", b"http/1.1"], b"http/1.1"),
            ([b"x"], b"x"),
            ([b"h2"], None),
        ):
            self.context = self.client_context()
            self.context.set_alpn_protos(offered)
            self.connect()
            self.assertEqual(self.connection.negotiatedProtocol, chosen)
            self.assertEqual(self.tls.get_alpn_proto_negotiated(), chosen or b"")

    def test_name_is_not_needed(self) -> None:
        """The handshake succeeds with any name in SNI, and without SNI."""
        for name in (b"", b"localhost", b"other.example"):
            self.open_by_name(name)
            self.assertEqual(self.protocols[-1].transport.getHandle().get_servername(), name or None)

    def test_many_at_once(self) -> None:
        """Each has its own state."""
        clients = [self.open() for _ in range(50)]
        self.turn_until(lambda: len(self.protocols) == 51, *clients)
        for number, protocol in enumerate(self.protocols[1:]):
            protocol.transport.write(b"%d" % number)
        for client in clients:
            client.send(b"x")
        self.turn_until(lambda: all(protocol.received for protocol in self.protocols[1:]), *clients)
        self.turn_until(lambda: all(client.received for client in clients), *clients)
        self.assertEqual({client.received for client in clients}, {b"%d" % number for number in range(50)})


class ResumptionTests(TLSTestCase):
    """A client that comes back with its session, in TLS 1.3."""

    def read_something(self) -> None:
        """In TLS 1.3 the ticket comes after the handshake: once later data has arrived, the ticket has, too."""
        self.connection.write(b"something")
        self.receive(9)

    def come_back(self, session: SSL.Session | None) -> None:
        """Connects, and shows a session if there is one."""
        count = len(self.protocols)
        self.client = self.open()
        if session is not None:
            self.tls.set_session(session)
        self.turn_until(lambda: len(self.protocols) > count, self.client)
        self.protocol = self.protocols[-1]
        self.connection = self.protocol.transport
        self.read_something()

    def is_resumed(self) -> bool:
        lib: Any = SSL._lib  # type: ignore[attr-defined]
        connection: Any = self.tls
        return bool(lib.SSL_session_reused(connection._ssl))

    def test_session_is_resumed(self) -> None:
        """Each resumption uses the newest ticket and gives another one; data passes in both directions."""
        self.read_something()
        self.assertFalse(self.is_resumed())
        for _ in range(3):
            self.come_back(self.tls.get_session())
            self.assertTrue(self.is_resumed())
            self.assertEqual(self.tls.get_protocol_version(), self.version)
            self.send(b"question")

    def test_client_without_a_session_is_as_welcome(self) -> None:
        """It does the whole handshake, also while others come back."""
        self.read_something()
        session = self.tls.get_session()
        for shown in (None, session, None):
            self.come_back(shown)
            self.assertEqual(self.is_resumed(), shown is not None)

    def test_session_outlives_its_connection(self) -> None:
        """The session of a connection that was reset is resumed, too: a client that lost its network returns."""
        self.read_something()
        session = self.tls.get_session()
        self.connection.abortConnection()
        self.assert_lost(ConnectionAborted)
        self.come_back(session)
        self.assertTrue(self.is_resumed())

    def test_session_of_another_process_is_not_resumed(self) -> None:
        """The key of the tickets is the process's own; the client gets through by a whole handshake."""
        self.read_something()
        session = self.tls.get_session()
        self.port.stopListening()
        self.options = self.server_options()
        self.port = self.listen()
        self.come_back(session)
        self.assertFalse(self.is_resumed())


class TLS12ResumptionTests(ResumptionTests):
    """The same in TLS 1.2, where the ticket is a part of the handshake."""

    version = SSL.TLS1_2_VERSION


class ClientCertificateTests(TLSTestCase):
    """A context that asks for the client's certificate."""

    def setUp(self) -> None:
        self.given = True
        super().setUp()

    def server_options(self) -> CertificateOptions:
        made = server_options(self.made.cert, self.made.key)
        authority = trustme.CA()
        self.mine = authority.issue_cert("watcher.example")
        trusted = Certificate.loadPEM(authority.cert_pem.bytes())
        return CertificateOptions(
            privateKey=made.privateKey, certificate=made.certificate, verify=True, caCerts=[trusted.original]
        )

    def client_context(self, version: int | None = None, ciphers: bytes = b"") -> SSL.Context:
        context = super().client_context(version, ciphers)
        if self.given:
            pem = self.mine.private_key_and_cert_chain_pem.bytes()
            context.use_certificate(x509.load_pem_x509_certificate(pem))
            key: Any = load_pem_private_key(pem, None)
            context.use_privatekey(key)
        return context

    def test_certificate_is_known(self) -> None:
        """The transport returns the client's certificate."""
        known = self.connection.getPeerCertificate()
        sent = x509.load_pem_x509_certificate(self.mine.private_key_and_cert_chain_pem.bytes())
        self.assertEqual(known.to_cryptography(), sent)

    def test_client_without_one_is_refused(self) -> None:
        """The client gets an alert, and no protocol is made."""
        self.given = False
        self.context = self.client_context()
        client = self.open()
        self.turn_until(lambda: client.ended, client)
        self.assertIn("alert", str(client.error))
        self.assertEqual(len(self.protocols), 1)


class RecordTests(TLSTestCase):
    """Records that hold no data, of which a client may send as many as it likes."""

    direct = True

    def setUp(self) -> None:
        self.secrets: list[bytes] = []
        super().setUp()

    def connect(self, receive_buffer: int = 65_536) -> None:
        super().connect(receive_buffer)
        lines = (line.split() for line in self.secrets)
        *_, secret = (secret for label, _, secret in lines if label == b"CLIENT_TRAFFIC_SECRET_0")
        self.records = RecordLayer(bytes.fromhex(secret.decode()))

    def client_context(self, version: int | None = None, ciphers: bytes = b"") -> SSL.Context:
        context = super().client_context(version, ciphers)
        context.set_keylog_callback(lambda _, line: self.secrets.append(line))
        return context

    def test_one_is_read_at_a_time(self) -> None:
        """Others have their turns in between."""
        handled = record_handled(self, TLSConnection)
        updates = b"".join(self.records.update() for _ in range(100))
        self.client.sock.sendall(updates + self.records.record(DATA, b"x"))
        self.turn_until(lambda: self.protocol.received == b"x")
        self.assertGreater(len(handled), 100)

    def test_keys_change_between_records_that_come_at_once(self) -> None:
        """The data behind each change arrives, although neither the kernel nor OpenSSL reports it."""
        parts = [self.records.record(DATA, b"%d" % number) + self.records.update() for number in range(10)]
        self.client.sock.sendall(b"".join(parts))
        self.turn_until(lambda: self.protocol.received == b"0123456789")

    def test_record_that_comes_in_two_parts(self) -> None:
        """The first part comes with the record before it. Nothing is handled until the rest is there."""
        both = self.records.record(DATA, b"first") + self.records.record(DATA, b"second")
        self.client.sock.sendall(both[:-9])
        self.turn_until(lambda: self.protocol.received == b"first")
        handled = record_handled(self, TLSConnection)
        self.reactor.settle()
        self.assertLess(len(handled), 3)
        self.client.sock.sendall(both[-9:])
        self.turn_until(lambda: self.protocol.received == b"firstsecond")

    @staticmethod
    def note(order: list[str], name: str, _: bytes) -> None:
        """Notes that a protocol has received data."""
        order.append(name)

    def test_small_records_take_no_turn_of_others(self) -> None:
        """The kernel is asked for other events after each of them."""
        other, order = self.client, list[str]()
        self.connect()
        for name, protocol in zip(("other", "many"), self.protocols[-2:], strict=True):
            protocol.dataReceived = partial(self.note, order, name)  # type: ignore[method-assign]
        self.client.sock.sendall(b"".join(self.records.record(DATA, b"x") for _ in range(500)))
        other.send(b"y")
        self.turn_until(lambda: len(order) == 501)
        self.assertLess(order.index("other"), 3)

    def test_rest_is_read_in_another_turn(self) -> None:
        """A turn of the reactor has a limit, and nothing but livefeed itself begins the next one."""
        self.patch(pool, "EVENTS", 2)
        self.client.sock.sendall(b"".join(self.records.record(DATA, b"x") for _ in range(20)))
        self.turn_until(lambda: len(self.protocol.received) == 20)

    def test_goodbye_behind_data(self) -> None:
        """It arrives with the data in one piece."""
        self.client.sock.sendall(self.records.record(DATA, b"x") + self.records.record(ALERT, b"\1\0"))
        self.assert_lost(ConnectionDone)
        self.assertEqual(self.protocol.received, b"x")

    def test_reading_goes_on_outside_of_a_turn(self) -> None:
        """The data that OpenSSL has is handled, although the kernel reports nothing."""
        self.connection.pauseProducing()
        self.client.sock.sendall(self.records.record(DATA, b"x") + self.records.record(DATA, b"y"))
        self.connection.resumeProducing()
        received = self.protocol.dataReceived

        def pause(data: bytes) -> None:
            received(data)
            self.connection.pauseProducing()

        self.protocol.dataReceived = pause  # type: ignore[method-assign]
        self.turn_until(lambda: self.protocol.received == b"x")
        self.reactor.settle()
        self.assertEqual(self.protocol.received, b"x")
        self.connection.resumeProducing()
        self.turn_until(lambda: self.protocol.received == b"xy")

    def test_client_that_reads_no_answers(self) -> None:
        """It asks for more than the socket takes: nothing is done until it reads."""
        self.connect(2048)
        for _ in range(50):
            self.client.sock.sendall(b"".join(self.records.update(requested=True) for _ in range(100)))
            self.reactor.settle()
        self.assertTrue(self.connection.sock.recv(1, socket.MSG_PEEK))
        self.connection.write(b"y")
        self.client.sock.sendall(self.records.record(DATA, b"x"))
        self.reactor.settle()
        self.assertEqual(self.protocol.received, b"")
        self.turn_until(lambda: self.protocol.received == b"x", self.client)
        self.turn_until(lambda: self.client.received == b"y", self.client)


class CertificateByNameTests(TLSTestCase):
    """A context that gives the certificate of the name that the client wants (RFC 6066, 3)."""

    def server_options(self) -> CertificateOptions:
        made = super().server_options()
        self.other = trustme.CA()
        pem = self.other.issue_cert("other.example").private_key_and_cert_chain_pem.bytes()
        other = SSL.Context(SSL.TLS_METHOD)
        other.use_certificate(x509.load_pem_x509_certificate(pem))
        key: Any = load_pem_private_key(pem, None)
        other.use_privatekey(key)

        def choose(connection: SSL.Connection) -> None:
            if connection.get_servername() == b"other.example":
                connection.set_context(other)

        made.getContext().set_tlsext_servername_callback(choose)
        return made

    def test_name_decides(self) -> None:
        """On one port, and without a name the first certificate is given."""
        names = []
        for name in (b"other.example", b"localhost", b""):
            self.context = self.client_context()
            authority: Any = self.context.get_cert_store()
            assert authority is not None
            authority.add_cert(X509.from_cryptography(x509.load_pem_x509_certificate(self.other.cert_pem.bytes())))
            sent = self.open_by_name(name).tls.get_peer_certificate()
            assert sent is not None
            names.append(sent.to_cryptography().issuer.rfc4514_string() == self.issuer())
        self.assertEqual(names, [True, False, False])

    def issuer(self) -> str:
        return x509.load_pem_x509_certificate(self.other.cert_pem.bytes()).subject.rfc4514_string()


class PublicCallsTests(TLSTestCase, ConnectionContract):
    """TLS 1.3 by pyOpenSSL's public methods."""

    __test__ = True

    def test_goodbye_is_said(self) -> None:
        """The close_notify alert tells the client that it has all data (RFC 8446, 6.1)."""
        self.connection.write(b"all")
        self.connection.loseConnection()
        self.turn_until(lambda: self.client.ended, self.client)
        assert isinstance(self.client, TLSClient)
        self.assertEqual((self.client.received, self.client.notified), (b"all", True))
        self.tls.shutdown()
        self.assert_lost(ConnectionDone)

    def test_goodbye_of_the_client(self) -> None:
        """A close_notify from the client is an orderly end."""
        self.tls.shutdown()
        self.assert_lost(ConnectionDone)

    def test_goodbye_of_the_client_while_there_is_something_to_send(self) -> None:
        """It is sent before the end."""
        self.fill()
        self.tls.shutdown()
        self.client.sock.shutdown(socket.SHUT_WR)
        self.turn_until(lambda: len(self.client.received) == len(LARGE) or self.client.ended, self.client)
        self.assert_lost(ConnectionDone)

    def test_end_without_goodbye(self) -> None:
        """An end of stream without close_notify is an error: an attacker may have cut off the rest."""
        self.client.sock.shutdown(socket.SHUT_WR)
        self.assert_lost(ConnectionLost)

    def test_broken_record(self) -> None:
        """Ends the connection."""
        self.client.sock.send(b"\x17\x03\x03\0\x20" + bytes(32))
        self.assert_lost(ConnectionLost)

    def test_records_of_all_sizes(self) -> None:
        """Empty to largest records arrive, and several that come at once."""
        sizes = (1, 2, READ_BYTES - 1, READ_BYTES, 1, 5000, READ_BYTES, 7)
        data = b"".join(bytes([number]) * size for number, size in enumerate(sizes))
        position = 0
        for size in sizes:
            self.client.send(data[position : position + size])
            position += size
        self.turn_until(lambda: len(self.protocol.received) >= len(data))
        self.assertEqual(self.protocol.received, data)
        self.assertEqual(self.protocol.times, len(sizes))

    def test_reading_pauses_between_records(self) -> None:
        """Decrypted data is kept during the pause, and resuming delivers it without new data from the network."""
        seen: list[bytes] = []

        def pause(data: bytes) -> None:
            seen.append(data)
            self.connection.pauseProducing()

        self.protocol.dataReceived = pause  # type: ignore[method-assign]
        for number in range(5):
            self.client.send(b"%d" % number * 9000)
        for number in range(5):
            self.turn_until(lambda: bool(seen))
            self.reactor.settle()
            self.assertEqual(seen, [b"%d" % number * 9000])
            seen.clear()
            self.connection.resumeProducing()

    def test_large_answer_goes_out_at_once(self) -> None:
        """All records are written by one call, and nothing is held back after it."""
        body = LARGE[:100_000]
        self.assertEqual(self.connection._send_both(b"head", body), 4 + len(body))
        self.assertEqual(self.connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK), 0)
        self.receive(4 + len(body))
        self.assertEqual(self.client.received, b"head" + body)

    def test_head_of_more_than_a_record(self) -> None:
        """The records are in order."""
        head, body = b"h" * (READ_BYTES + 9), LARGE[:100_000]
        self.connection.write_large_or_end(head, body)
        self.receive(len(head) + len(body))
        self.assertEqual(self.client.received, head + body)

    def test_large_answer_to_a_socket_that_holds_nothing_back(self) -> None:
        """Such as a Unix socket: the option is none of its options."""
        self.patch(tls_connection, "TCP_CORK", 9999)
        self.connection.write_large_or_end(b"head", LARGE)
        self.receive(4 + len(LARGE))
        self.assertEqual(self.client.received, b"head" + LARGE)

    def test_large_answer_is_not_held_back_when_its_writing_breaks(self) -> None:
        """The connection that breaks is ended, and what it has written goes out."""

        def fail(*_: object) -> int:
            raise MemoryError

        self.patch(tls_connection, "TLS_CALLS", replace(tls_connection.TLS_CALLS, write_from=fail))
        with self.assertRaises(MemoryError):
            self.connection._send_both(b"head", LARGE)
        self.assertEqual(self.connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK), 0)
        with self.assertRaises(MemoryError):
            self.connection._send_from(LARGE, 1)
        self.assertEqual(self.connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK), 0)

    def test_large_answer_to_a_client_that_is_gone(self) -> None:
        """The connection is lost between two records."""

        def lose(*_: object) -> int:
            raise SSL.SysCallError(32, "EPIPE")

        self.patch(tls_connection, "TLS_CALLS", replace(tls_connection.TLS_CALLS, write_from=lose))
        self.connection.write_large_or_end(b"head", LARGE)
        self.assert_lost(ConnectionLost)

    def test_large_answer_waits_until_something_can_be_read(self) -> None:
        """The rest is sent after that."""
        calls = tls_connection.TLS_CALLS

        def cross(*_: object) -> int:
            raise SSL.WantReadError

        self.patch(tls_connection, "TLS_CALLS", replace(calls, write_from=cross))
        self.connection.write_large_or_end(b"head", LARGE)
        self.patch(tls_connection, "TLS_CALLS", calls)
        self.client.send(b"x")
        self.receive(4 + len(LARGE))
        self.assertEqual(self.client.received, b"head" + LARGE)

    def test_half_closed(self) -> None:
        """The server ends its side with a goodbye, and goes on reading."""
        self.protocol_class = HalfCloseableRecorder
        self.connect()
        self.connection.write(b"last")
        self.connection.loseWriteConnection()
        self.turn_until(lambda: self.client.ended, self.client)
        assert isinstance(self.client, TLSClient)
        self.assertEqual((self.client.received, self.client.notified), (b"last", True))
        self.send(b"still reading")
        self.tls.shutdown()
        self.turn_until(lambda: "read" in self.protocol.events)
        self.assertEqual(self.protocol.events, ["write", "read"])

    def test_goodbye_does_not_fit(self) -> None:
        """A client that reads nothing does not keep the server."""
        pusher = Pusher()
        self.connection.registerProducer(pusher, True)
        self.fill()
        self.connection.unregisterProducer()
        self.connection.abortConnection()
        self.assert_lost(ConnectionAborted)
        self.assertEqual(pusher.told, ["pause"])


class DirectCallsTests(PublicCallsTests):
    """TLS 1.3 by the cffi library."""

    direct = True

    def test_direct_calls_are_used(self) -> None:
        """The functions are not the public ones."""
        self.assertIsNot(tls_connection.TLS_CALLS.read, SSL.Connection.recv_into)

    def test_writing_to_many_breaks_in_the_middle(self) -> None:
        """Which have been written to is not known: all are ended, and none stays that is sent nothing any more."""

        def write_some(handles: Any, data: bytes, size: int) -> list[int]:
            tls_connection.TLS_CALLS.write(handles[0], data, size)
            raise MemoryError

        self.patch(tls_connection, "TLS_CALLS", replace(tls_connection.TLS_CALLS, write_all=write_some))
        for by_group in (True, False):
            connections, clients = [], []
            for _ in range(3):
                self.connect()
                connections.append(self.connection)
                clients.append(self.client)
            if by_group:
                group = self.connection_class.make_group()
                for connection in connections:
                    group.add(connection)
                group.write(b"1")
                group.write(b"2")
            else:
                self.connection_class.write_to_all(connections, b"2")
            for client in clients:
                self.turn_until(lambda client=client: client.ended, client)
            self.assertEqual([client.received[-1:] for client in clients], [b"2", *[b"1" * by_group] * 2])
            self.assertEqual(len(self.flushLoggedErrors(MemoryError)), 3)
            for connection in connections:
                self.assertNotIn(connection, self.pool.connections.values())

    def test_writing_to_many_that_cannot_be_packed(self) -> None:
        """No connection has been written to, and the caller gets the MemoryError."""

        def fail(handles: list[Any]) -> None:
            raise MemoryError

        self.patch(tls_connection, "TLS_CALLS", replace(tls_connection.TLS_CALLS, pack=fail))
        self.connect()
        group = self.connection_class.make_group()
        group.add(self.connection)
        group.write(b"1")
        with self.assertRaises(MemoryError):
            group.write(b"2")
        with self.assertRaises(MemoryError):
            self.connection_class.write_to_all([self.connection], b"2")
        self.receive(1)
        self.assertEqual(self.client.received, b"1")


class TLS12PublicCallsTests(PublicCallsTests):
    """TLS 1.2 by the public methods."""

    version = SSL.TLS1_2_VERSION

    def test_renegotiation(self) -> None:
        """The connection continues or ends, whether renegotiation is refused or performed; it never hangs."""
        self.tls.renegotiate()
        with contextlib.suppress(SSL.WantReadError):
            self.tls.do_handshake()
        self.connection.write(b"x")
        self.turn_until(lambda: self.client.received == b"x" or self.client.ended, self.client)
        self.reactor.settle()


class TLS12DirectCallsTests(TLS12PublicCallsTests):
    """TLS 1.2 by the cffi library."""

    direct = True
