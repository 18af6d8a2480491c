"""Connections that are counted, and bodies that stop growing."""

from __future__ import annotations

import gzip
import itertools
import socket
import tracemalloc
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import tcp
from twisted.internet.defer import CancelledError, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransportWithDisconnection
from twisted.logger import globalLogPublisher
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web._newclient import HTTP11ClientProtocol, Request
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers

from livefeed.exceptions import SourceError
from livefeed.sources.http.limits import (
    HEAD_BYTES,
    MAX_INTERIM,
    MAX_MEMBERS,
    READ_BYTES,
    Body,
    Connections,
    GuardedEndpoint,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LIMIT = 100


class Aborted(Connections):
    """Remembers whether it was cut."""

    __slots__ = ("aborted",)

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True


class BodyTests(SynchronousTestCase):
    """Body."""

    def body(self, chunks: Iterable[bytes], *, is_gzip: bool = False, end: Exception | None = None) -> Body:
        self.connections = Aborted()
        body = Body(LIMIT, self.connections, is_gzip=is_gzip)
        for chunk in chunks:
            body.dataReceived(chunk)
        body.connectionLost(Failure(end or ResponseDone()))
        return body

    def failed(self, body: Body) -> str:
        return str(self.failureResultOf(body.whole, SourceError).value)

    @settings(deadline=None)
    @given(st.binary(max_size=300), st.lists(st.integers(1, 400), max_size=6), st.sampled_from((0, 1, 2)))
    def test_any_cuts(self, document: bytes, cuts: list[int], members: int) -> None:
        """No more bytes come than the limit, for any cuts, plain or in gzip of one member or two."""
        halves = (document[:50], document[50:])
        sent = (document, gzip.compress(document), b"".join(map(gzip.compress, halves)))[members]
        edges = [0, *sorted(cut for cut in set(cuts) if cut < len(sent)), len(sent)]
        chunks = [sent[start:end] for start, end in itertools.pairwise(edges)]
        body = self.body(chunks, is_gzip=members > 0)
        self.assertEqual(self.successResultOf(body.whole), document[:LIMIT])
        self.assertEqual(self.connections.aborted, len(document) >= LIMIT)

    def test_bomb(self) -> None:
        """No more is decoded than is kept, and the connection is cut."""
        bomb = gzip.compress(b" " * 50_000_000)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        body = self.body([bomb], is_gzip=True)
        _, most = tracemalloc.get_traced_memory()
        self.assertLess(most, 1_000_000)
        self.assertEqual(self.successResultOf(body.whole), b" " * LIMIT)
        self.assertTrue(self.connections.aborted)

    def test_what_is_no_gzip(self) -> None:
        """Nothing, a part, something else, something after it, and empty members without end."""
        whole = gzip.compress(b"[1]")
        for sent in (b"", whole[:-1], whole[:5], b"[1]", whole + b"[2]", gzip.compress(b"") * (MAX_MEMBERS + 1)):
            self.assertIn("is not gzip", self.failed(self.body([sent], is_gzip=True)))

    def test_ends(self) -> None:
        """An end without a length is one if the connection was closed in order; a cut is none."""
        self.assertEqual(self.successResultOf(self.body([b"[1]"], end=PotentialDataLoss()).whole), b"[1]")
        self.assertIn("in the middle", self.failed(self.body([b"[1]"], end=ConnectionLost())))
        for attribute, words in (("cut", "in the middle"), ("overrun", "far more")):
            connections = Connections()
            body = Body(LIMIT, connections, is_gzip=False)
            setattr(connections, attribute, True)
            body.connectionLost(Failure(PotentialDataLoss()))
            self.assertIn(words, self.failed(body))
        cut = gzip.compress(b"[1]")[:-1]
        self.assertIn("in the middle", self.failed(self.body([cut], is_gzip=True, end=PotentialDataLoss())))

    def test_cancelled(self) -> None:
        """Cancelling cuts the connection, and later events of the connection are no error."""
        connections = Aborted()
        body = Body(LIMIT, connections, is_gzip=False)
        body.whole.cancel()
        self.failureResultOf(body.whole, CancelledError)
        self.assertTrue(connections.aborted)
        body.connectionLost(Failure(ConnectionLost()))


class GuardedEndpointTests(SynchronousTestCase):
    """GuardedEndpoint."""

    def test_too_much_is_cut(self) -> None:
        """Bytes beyond the allowance do not reach the protocol, and the connection is closed at once."""
        received: list[bytes] = []

        class Receiving(Protocol):
            def dataReceived(self, data: bytes) -> None:
                received.append(data)

        transport = StringTransportWithDisconnection()

        class Endpoint:
            def connect(self, factory: Any) -> Any:
                self.protocol = factory.buildProtocol(None)
                transport.protocol = self.protocol
                self.protocol.makeConnection(transport)
                return succeed(self.protocol)

        connections, endpoint = Connections(), Endpoint()
        guarded = GuardedEndpoint(endpoint, connections)  # type: ignore[arg-type]
        protocol = self.successResultOf(guarded.connect(Factory.forProtocol(Receiving)))
        self.assertIsInstance(protocol, Receiving)
        self.assertEqual(len(connections.open), 1)
        endpoint.protocol.dataReceived(b"x" * HEAD_BYTES)
        self.assertTrue(transport.connected)
        endpoint.protocol.dataReceived(b"y")
        self.assertFalse(transport.connected)
        self.assertTrue(connections.overrun)
        self.assertEqual(len(b"".join(received)), HEAD_BYTES)
        self.assertEqual(connections.open, set())
        connections.begin()
        self.assertEqual((connections.allowance, connections.overrun), (HEAD_BYTES, False))

    def test_little_is_read_at_a_time(self) -> None:
        """Others get their turn before the next piece: also with TLS, which is a wrapper around the connection."""
        for wrap in (lambda protocol: protocol, lambda protocol: ProtocolWrapper(WrappingFactory(Factory()), protocol)):
            ours, theirs = socket.socketpair()
            self.addCleanup(ours.close)
            self.addCleanup(theirs.close)
            received: list[bytes] = []

            class Endpoint:
                def __init__(self, sock: socket.socket, wrap: Callable[[Any], Any]) -> None:
                    self.sock, self.wrap = sock, wrap

                def connect(self, factory: Any) -> Any:
                    guarded = factory.buildProtocol(None)
                    outermost = self.wrap(guarded)
                    self.connection = tcp.Connection(self.sock, outermost, MemoryReactorClock())
                    outermost.makeConnection(self.connection)
                    return succeed(guarded)

            endpoint: Any = Endpoint(ours, wrap)
            protocol: Any = self.successResultOf(
                GuardedEndpoint(endpoint, Connections()).connect(Factory.forProtocol(Protocol)),
            )
            protocol.dataReceived = received.append
            theirs.send(b"x" * 2 * READ_BYTES)
            endpoint.connection.doRead()
            self.assertEqual([len(piece) for piece in received], [READ_BYTES])

    def test_interim_answers(self) -> None:
        """Interim answers are counted over all connections of a pull, and not logged; too many cut the connection."""
        connections = Connections()
        events: list[object] = []
        observer: Any = events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

        def ask(interim: int) -> StringTransportWithDisconnection:
            transport = StringTransportWithDisconnection()

            class Endpoint:
                def connect(self, factory: Any) -> Any:
                    transport.protocol = factory.buildProtocol(None)
                    transport.protocol.makeConnection(transport)
                    return succeed(transport.protocol)

            factory: Any = Factory.forProtocol(HTTP11ClientProtocol)
            factory.noisy = True
            endpoint: Any = Endpoint()
            protocol: Any = self.successResultOf(GuardedEndpoint(endpoint, connections).connect(factory))
            self.assertFalse(factory.noisy)
            answered = protocol.request(Request(b"GET", b"/", Headers({b"Host": [b"h"]}), None))
            answered.addErrback(lambda _: None)
            for _ in range(interim):
                transport.protocol.dataReceived(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            return transport

        self.assertTrue(ask(MAX_INTERIM - 1).connected)
        self.assertTrue(ask(1).connected)
        self.assertFalse(ask(1).connected)
        self.assertEqual(connections.interim, MAX_INTERIM + 1)
        connections.begin()
        self.assertTrue(ask(MAX_INTERIM).connected)
        self.assertEqual(events, [])
