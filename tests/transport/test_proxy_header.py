"""The PROXY header in front of a connection: the parser, and the connection that reads it."""

from __future__ import annotations

import socket
import struct
from math import inf
from select import EPOLLIN
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.protocol import Factory
from twisted.logger import capturedLogs

from livefeed.tls.options import server_options
from livefeed.transport.address_limits import (
    ADDRESS_RATE,
    BURST_S,
    MALFORMED_HEADER,
    SLOW_HEADER,
    UNTRUSTED_PROXY,
    AddressLimits,
    Refusals,
)
from livefeed.transport.addresses import Networks
from livefeed.transport.endpoint import PoolReactor
from livefeed.transport.pool import SWEEP_S
from livefeed.transport.proxy_header import (
    V1_BYTES,
    V2_BYTES,
    Header,
    MalformedHeaderError,
    ProxyHeaders,
    parse_header,
)
from tests.helpers.connections import Recorder
from tests.helpers.driven import Client, DrivenReactor, connections_of, make_pool, settle, turn_until
from tests.helpers.tls import CertificateTestCase, TLSClient

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V1 = b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"
LOCAL = SIGNATURE + b"\x20\x00\x00\x00"


def v2(
    source: str = "192.0.2.1", port: int = 56324, *, command: int = 1, kind: int | None = None, more: bytes = b""
) -> bytes:
    """Gives a header of version 2."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    packed = socket.inet_pton(family, source)
    addresses = packed + bytes(len(packed)) + struct.pack("!HH", port, 443) + more
    kind = (0x21 if ":" in source else 0x11) if kind is None else kind
    return SIGNATURE + bytes([0x20 | command, kind]) + struct.pack("!H", len(addresses)) + addresses


V2 = v2()
V2_WITH_FIELDS = v2("2001:db8::7", 9, more=b"\x05\x00\x04name\x03\x00\x04\x00\x00\x00\x01")
WHOLE = (
    (V1, ("192.0.2.1", 56324)),
    (b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", ("2001:db8::1", 1)),
    (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 0 0\r\n", ("::ffff:192.0.2.1", 0)),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff::1 ffff::1 65535 65535\r\n", None),
    (V2, ("192.0.2.1", 56324)),
    (V2_WITH_FIELDS, ("2001:db8::7", 9)),
    (LOCAL, None),
    (v2(command=0), None),
    (v2(kind=0x12), None),
    (v2(kind=0x00), None),
    (SIGNATURE + b"\x21\x31\x00\xd8" + bytes(216), None),
    (v2(more=bytes(V2_BYTES - 28)), ("192.0.2.1", 56324)),
)
MALFORMED = (
    b"GET / HTTP/1.1\r\n",
    b"\x16\x03\x01\x02\x00",
    b"PROXY TCP4 192.0.2.1 198.51.100.7 56324\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 65536\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.7 056324 443\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443 \r\n",
    b"PROXY TCP4  192.0.2.1 198.51.100.7 56324 443\r\n",
    b"PROXY TCP4 192.0.2.256 198.51.100.7 56324 443\r\n",
    b"PROXY TCP4 192.0.2.1 ::1 56324 443\r\n",
    b"PROXY TCP4 ::1 ::1 56324 443\r\n",
    b"PROXY TCP6 192.0.2.1 ::1 56324 443\r\n",
    b"PROXY UDP4 192.0.2.1 192.0.2.1 56324 443\r\n",
    b"PROXY TCP4 192.0.2.1\n198.51.100.7 56324 443\r\n",
    b"PROXY UNKNOWNx\r\n",
    b"PROXY UNKNOWN " + b"x" * V1_BYTES,
    b"proxy TCP4 192.0.2.1 198.51.100.7 56324 443\r\n",
    SIGNATURE + b"\x11\x11\x00\x0c" + bytes(12),
    SIGNATURE + b"\x22\x11\x00\x0c" + bytes(12),
    SIGNATURE + b"\x21\x41\x00\x0c" + bytes(12),
    SIGNATURE + b"\x21\x13\x00\x0c" + bytes(12),
    SIGNATURE + b"\x21\x11\x00\x0b" + bytes(11),
    SIGNATURE + b"\x21\x21\x00\x23" + bytes(35),
    SIGNATURE + b"\x21\x11\xff\xff",
)


def first_result(data: bytes) -> Header | None:
    """Gives the result for the shortest beginning of the data that has one; ``None`` if the whole has none."""
    for end in range(1, len(data) + 1):
        header = parse_header(data[:end])
        if header is not None:
            return header
    return None


class ParserTests(CertificateTestCase):
    """Bytes to a header."""

    def test_whole(self) -> None:
        """The length and the client are those of the header, whatever comes behind."""
        for data, client in WHOLE:
            for behind in (b"", b"\x16\x03\x01", V1):
                self.assertEqual(parse_header(data + behind), Header(len(data), client), data)

    def test_beginnings(self) -> None:
        """Without its last byte no header is whole, and none is malformed."""
        for data, client in WHOLE:
            self.assertEqual(first_result(data), Header(len(data), client), data)

    def test_malformed(self) -> None:
        """Nothing is guessed."""
        for data in MALFORMED:
            self.assertRaises(MalformedHeaderError, parse_header, data)

    def test_limits(self) -> None:
        """A header of the largest size is taken, and one byte more is not."""
        line = b"PROXY UNKNOWN " + b"x" * (V1_BYTES - 16) + b"\r\n"
        self.assertEqual(parse_header(line), Header(V1_BYTES, None))
        self.assertRaises(MalformedHeaderError, parse_header, b"PROXY UNKNOWN x" + line[14:])
        self.assertRaises(MalformedHeaderError, parse_header, v2(more=bytes(V2_BYTES - 27)))

    @given(st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", V1[:-2], SIGNATURE, SIGNATURE + b"\x21\x11"]), st.binary())
    def test_garbage(self, beginning: bytes, data: bytes) -> None:
        """Any bytes are a header, the beginning of one, or malformed; and the result comes within the limit."""
        try:
            header = parse_header(beginning + data)
        except MalformedHeaderError:
            return
        if header is None:
            self.assertLess(len(beginning + data), V2_BYTES)
        else:
            self.assertLessEqual(header.length, len(beginning + data))


class HeaderTestCase(CertificateTestCase):
    def setUp(self) -> None:
        self.reactor = DrivenReactor()
        self.addCleanup(self.reactor.close)
        self.protocols: list[Recorder] = []
        factory: Any = Factory()
        factory.noisy = False
        factory.buildProtocol = self.build
        self.factory = factory
        self.refusals = Refusals(self.reactor)
        self.pool = make_pool(self.reactor, handshake_s=5.0).pool

    def build(self, address: object) -> Recorder:
        self.protocols.append(Recorder())
        return self.protocols[-1]

    def listen(self, *trusted: str, tls: bool = False, rate: int = 0) -> int:
        """Listens for connections with a header from these networks; gives the port."""
        networks = Networks.parse(trusted, "trusted_proxy")
        limits = AddressLimits(rate, 0, networks, self.refusals, self.reactor)
        rules = ProxyHeaders(networks, self.refusals, limits.admits)
        listening = PoolReactor(self.pool, rules.admits, rules.before)
        if tls:
            options: Any = server_options(self.made.cert, self.made.key)
            port = listening.listenSSL(0, self.factory, options, interface="127.0.0.1")
        else:
            port = listening.listenTCP(0, self.factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        host: Any = port.getHost()
        number: int = host.port
        return number

    def connect(self, port: int) -> Client:
        sock = socket.create_connection(("127.0.0.1", port))
        self.addCleanup(sock.close)
        return Client(sock)

    def wait_for_end(self, client: Client) -> None:
        turn_until(self.reactor, lambda: client.ended or client.error is not None, client)

    def peer(self) -> Any:
        return self.protocols[-1].transport.getPeer()


class ConnectionTests(HeaderTestCase):
    """A connection in front of another."""

    def test_peer(self) -> None:
        """The protocol finds the client's address, and gets all bytes behind the header, and no other."""
        port = self.listen("127.0.0.0/8")
        for header, client in WHOLE:
            it = self.connect(port)
            it.send(header + b"question")
            turn_until(self.reactor, lambda: bool(self.protocols) and self.protocols[-1].received == b"question")
            if client is not None:
                kind = IPv6Address if ":" in client[0] else IPv4Address
                self.assertEqual(self.peer(), kind("TCP", *client))
            else:
                self.assertEqual(self.peer(), IPv4Address("TCP", *it.sock.getsockname()))
            self.protocols[-1].transport.abortConnection()
            settle(self.reactor)
            self.protocols.clear()
        self.assertEqual(self.pool.connections, {})
        self.assertEqual(self.refusals.counts.total(), 0)

    def test_pieces(self) -> None:
        """A header may come byte by byte, with long pauses that are within its time."""
        port = self.listen("127.0.0.1")
        for header, client in WHOLE[:8]:
            it = self.connect(port)
            settle(self.reactor)
            for byte in header[:-1]:
                it.send(bytes([byte]))
                settle(self.reactor)
            self.assertEqual(self.protocols, [])
            it.send(header[-1:] + b"x")
            turn_until(self.reactor, lambda: bool(self.protocols) and self.protocols[-1].received == b"x")
            self.assertEqual(self.peer().host, client[0] if client else "127.0.0.1")
            self.protocols.clear()

    def test_malformed(self) -> None:
        """The connection is reset, counted, and told in the log once."""
        port = self.listen("127.0.0.1")
        with capturedLogs() as logs:
            for data in MALFORMED:
                it = self.connect(port)
                it.send(data)
                self.wait_for_end(it)
        self.assertEqual(self.protocols, [])
        self.assertEqual(self.refusals.counts[MALFORMED_HEADER], len(MALFORMED))
        self.assertEqual(len(logs), 1)
        self.assertEqual(self.pool.connections, {})

    def test_untrusted(self) -> None:
        """A peer that no network has is reset at once, before it has said anything."""
        it = self.connect(self.listen("192.0.2.0/24"))
        self.wait_for_end(it)
        self.assertIsInstance(it.error, ConnectionResetError)
        self.assertEqual(self.refusals.counts[UNTRUSTED_PROXY], 1)
        self.assertEqual(self.pool.accepted, 0)

    def test_slow(self) -> None:
        """A header that is not whole within the time of a handshake ends the connection."""
        it = self.connect(self.listen("127.0.0.1"))
        it.send(V1[:20])
        settle(self.reactor)
        self.reactor.advance(5.0 - 2 * SWEEP_S)
        self.assertEqual(len(self.pool.connections), 1)
        self.reactor.advance(3 * SWEEP_S)
        self.assertEqual(self.pool.connections, {})
        self.assertEqual(self.refusals.counts[SLOW_HEADER], 1)

    def test_deadline_begins_again(self) -> None:
        """The connection behind the header has the times of every connection."""
        it = self.connect(self.listen("127.0.0.1", tls=True))
        it.send(V1)
        settle(self.reactor)
        (connection,) = self.pool.connections.values()
        self.assertEqual(dict(self.pool.deadlines), {connection: 5.0})
        self.reactor.advance(5.0 + 2 * SWEEP_S)
        self.assertEqual((self.pool.connections, self.refusals.counts.total()), ({}, 0))

    def test_probe(self) -> None:
        """A balancer that only connects is no refusal."""
        port = self.listen("127.0.0.1")
        for end in (Client.close, Client.reset):
            it = self.connect(port)
            settle(self.reactor)
            end(it)
            turn_until(self.reactor, lambda: not self.pool.connections)
        self.assertEqual((self.protocols, self.refusals.counts.total()), ([], 0))

    def test_idle(self) -> None:
        """When the process stops, a connection without its header has nothing under way."""
        it = self.connect(self.listen("127.0.0.1"))
        settle(self.reactor)
        self.pool.end_idle()
        turn_until(self.reactor, lambda: it.ended, it)
        self.assertEqual((self.pool.connections, self.pool.deadlines), ({}, {}))

    def test_gradual_stop(self) -> None:
        """A connection without its header has asked nothing: it is no poller, and ends at once where polls go on."""
        it = self.connect(self.listen("127.0.0.1"))
        settle(self.reactor)
        (connection,) = connections_of(self.pool)
        self.pool.renew_answers()
        self.assertEqual((self.pool.pollers(), connection.is_active(-inf)), ([], False))
        it.send(V1)
        connection.retire()
        connection.handle(EPOLLIN)  # what the kernel has reported in the same turn
        self.wait_for_end(it)
        self.assertEqual((self.pool.connections, self.pool.deadlines, self.protocols), ({}, {}, []))

    def test_event_without_data(self) -> None:
        """The connection waits on."""
        it = self.connect(self.listen("127.0.0.1"))
        settle(self.reactor)
        (connection,) = connections_of(self.pool)
        connection.handle(EPOLLIN)
        it.send(V1 + b"question")
        turn_until(self.reactor, lambda: bool(self.protocols) and self.protocols[-1].received == b"question")
        self.assertEqual(self.peer(), IPv4Address("TCP", "192.0.2.1", 56324))

    def test_without_a_deadline(self) -> None:
        """The header may take any time then."""
        it = self.connect(self.listen("127.0.0.1"))
        settle(self.reactor)
        (connection,) = connections_of(self.pool)
        for _ in range(2):
            connection.set_deadline(None)
        self.reactor.advance(5.0 + 2 * SWEEP_S)
        self.assertEqual((connections_of(self.pool), self.refusals.counts.total()), ([connection], 0))
        it.close()
        turn_until(self.reactor, lambda: not self.pool.connections)

    def test_capacity(self) -> None:
        """A client over the limit of connections is told so by the protocol behind the header."""
        self.pool = make_pool(self.reactor, connections=1).pool
        port = self.listen("127.0.0.1")
        for _ in range(2):
            self.connect(port).send(V1)
        turn_until(self.reactor, lambda: len(self.protocols) == 2)
        self.assertEqual([each.transport.over_capacity for each in self.protocols], [False, True])
        for each in self.protocols:
            each.transport.abortConnection()
        settle(self.reactor)
        self.assertEqual(self.pool._over, 0)

    def test_limits(self) -> None:
        """The rates count the address of the header; the proxy has none."""
        port = self.listen("127.0.0.1", rate=1)
        clients = [self.connect(port) for _ in range(BURST_S + 3)]
        for it in clients:
            it.send(V2)
        settle(self.reactor, *clients)
        self.assertEqual(len(self.protocols), BURST_S)
        self.assertEqual(self.refusals.counts[ADDRESS_RATE], 3)
        it = self.connect(port)
        it.send(v2("192.0.2.2"))
        turn_until(self.reactor, lambda: len(self.protocols) == BURST_S + 1)

    def test_failing_factory(self) -> None:
        """A connection that cannot be made ends alone."""

        def fail(*arguments: object) -> Any:
            raise MemoryError

        port = self.listen("127.0.0.1")
        (listener,) = self.pool._listeners._by_fd.values()
        rules = ProxyHeaders(Networks(), self.refusals, lambda name: True)
        listener.make_connection = rules.before(fail)
        it = self.connect(port)
        it.send(V1)
        self.wait_for_end(it)
        self.assertEqual(self.pool.connections, {})
        self.assertEqual(len(self.flushLoggedErrors(MemoryError)), 1)

    @given(st.data())
    def test_any_pieces(self, data: st.DataObject) -> None:
        """Any split of the bytes gives the same result, and takes the same bytes."""
        header, client = data.draw(st.sampled_from(WHOLE))
        behind = data.draw(st.binary(min_size=1, max_size=40))
        said = header + behind
        cuts = sorted(data.draw(st.lists(st.integers(0, len(said)), max_size=8)))
        port = self.listen("127.0.0.1")
        it = self.connect(port)
        for start, end in zip([0, *cuts], [*cuts, len(said)], strict=True):
            if end > start:
                it.send(said[start:end])
            settle(self.reactor)
        turn_until(self.reactor, lambda: bool(self.protocols) and self.protocols[-1].received == behind)
        self.assertEqual(self.peer().host, client[0] if client else "127.0.0.1")
        self.protocols.clear()

    @given(st.lists(st.binary(min_size=1), max_size=5))
    def test_any_garbage(self, pieces: list[bytes]) -> None:
        """Garbage never raises, and the connection always ends."""
        it = self.connect(self.listen("127.0.0.1"))
        for piece in pieces:
            it.send(piece)
            settle(self.reactor, it)
        self.reactor.advance(5.0 + 2 * SWEEP_S)
        self.assertEqual((self.pool.connections, self.protocols), ({}, []))


class TLSTests(HeaderTestCase):
    """The header comes before TLS."""

    def test_in_one_segment(self) -> None:
        """A proxy may send the header and the client's first message together."""
        port = self.listen("127.0.0.1", tls=True)
        for header, client in ((V1, "192.0.2.1"), (V2_WITH_FIELDS, "2001:db8::7"), (LOCAL, "127.0.0.1")):
            tls = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
            tls.set_connect_state()
            self.assertRaises(SSL.WantReadError, tls.do_handshake)
            it = self.connect(port)
            it.send(header + tls.bio_read(65536))
            settle(self.reactor, it)
            # ServerHello
            self.assertEqual(it.received[:2], b"\x16\x03")
            (connection,) = connections_of(self.pool)
            self.assertEqual(connection.getPeer().host, client)
            it.reset()
            turn_until(self.reactor, lambda: not self.pool.connections)

    def test_served(self) -> None:
        """TLS works as without the header."""
        port = self.listen("127.0.0.1", tls=True)
        sock = socket.create_connection(("127.0.0.1", port))
        self.addCleanup(sock.close)
        sock.sendall(V2)
        it = TLSClient(sock, SSL.Context(SSL.TLS_METHOD))

        def protocol_is_made() -> bool:
            it.read()
            return bool(self.protocols)

        turn_until(self.reactor, protocol_is_made)
        it.send(b"question")
        turn_until(self.reactor, lambda: self.protocols[-1].received == b"question", it)
        self.protocols[-1].transport.write(b"answer")
        turn_until(self.reactor, lambda: it.received == b"answer", it)
        self.assertEqual(self.peer(), IPv4Address("TCP", "192.0.2.1", 56324))

    def test_no_header(self) -> None:
        """A client that begins with TLS is refused: the endpoint does not guess."""
        port = self.listen("127.0.0.1", tls=True)
        sock = socket.create_connection(("127.0.0.1", port))
        self.addCleanup(sock.close)
        it = TLSClient(sock, SSL.Context(SSL.TLS_METHOD))
        self.wait_for_end(it)
        self.assertEqual(self.refusals.counts[MALFORMED_HEADER], 1)
