"""Sources that hang leave nothing behind that only the collector would find."""

from __future__ import annotations

import gc
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock, StringTransportWithDisconnection
from twisted.trial.unittest import SynchronousTestCase

from livefeed.feed.feed import Feed
from livefeed.intake.puller import Puller
from livefeed.sources import make_source
from livefeed.sources.file import source as file_module
from livefeed.sources.mongo import source as mongo_module
from livefeed.sources.names import Names
from tests.helpers.desks import desk_of

REDIS = (
    "redis://127.0.0.1/0/key",
    "redis://:hush@127.0.0.1/7/key",
    "redis+sentinel://127.0.0.1,127.0.0.2/main/0/key",
    "redis+cluster://127.0.0.1,127.0.0.2/key",
)
TICKS = 4


class Transport(StringTransportWithDisconnection):
    """A transport that lets go of its protocol when it ends, as those of the reactor do."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def pauseProducing(self) -> None:
        pass

    def resumeProducing(self) -> None:
        pass

    def loseConnection(self) -> None:
        protocol: Any = self.protocol
        super().loseConnection()
        if protocol is not None:
            self.protocol = None  # type: ignore[assignment]
            # A class that provides an interface by itself is one of zope's cycles, which real transports have not.
            protocol.transport = None


def hang(*_: object, **__: object) -> Deferred[Any]:
    """Stands in for a thread that hangs."""
    return Deferred()


class HangingTests(SynchronousTestCase):
    """A pull that takes too long, with all that it had made already in the oldest generation."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        gc.disable()
        self.addCleanup(gc.enable)
        # Existing objects are excluded from collections, which would otherwise take seconds.
        gc.freeze()
        self.addCleanup(gc.unfreeze)

    def follow(self, url: str) -> Puller:
        source = make_source(url, reactor=self.reactor, max_bytes=1000)
        self.addCleanup(source.close)
        feed = Feed("feed", clock=self.reactor, interval_s=1)
        return Puller(feed, source, clock=self.reactor, max_bytes=1000, desk=desk_of(feed))

    def answer(self, said: bytes) -> None:
        """Takes the connections that are being made, and says something on each."""
        while self.reactor.tcpClients:
            _, _, factory, _, _ = self.reactor.tcpClients.pop()
            protocol: Any = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 80))
            transport = Transport()
            transport.protocol = protocol
            protocol.makeConnection(transport)
            protocol.dataReceived(said)

    def pull(self, poller: Puller, said: bytes | None) -> None:
        Deferred.fromCoroutine(poller.tick())
        for _ in range(12):
            if said is not None:
                self.answer(said)
            gc.collect()
            self.reactor.advance(0.125)
        self.reactor.tcpClients.clear()
        self.reactor.connectors.clear()

    def assert_clean(self, url: str, said: bytes | None) -> None:
        """Finds that each pull fails, and that all it leaves is freed when the next one begins."""
        poller = self.follow(url)
        self.pull(poller, said)
        gc.collect()
        gc.set_debug(gc.DEBUG_SAVEALL)
        self.addCleanup(gc.set_debug, 0)
        try:
            for _ in range(TICKS):
                self.pull(poller, said)
            gc.collect()
            found = sorted({type(each).__qualname__ for each in gc.garbage})
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
        self.assertEqual(found, [], url)
        self.assertEqual(poller.failed, TICKS + 1)

    def test_origin(self) -> None:
        """It does not take the connection, or does not answer, or only the half."""
        for said in (None, b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n["):
            self.assert_clean("http://127.0.0.1/results", said)

    def test_redis(self) -> None:
        """The same, of one server, with sentinels, and in a cluster."""
        for url in REDIS:
            for said in (None, b"", b"$9\r\n12"):
                self.assert_clean(url, said)

    def test_name(self) -> None:
        """A name server does not answer."""
        self.patch(Names, "of", classmethod(lambda cls, _: cls(hang)))
        for url in ("http://silent.test/", "redis://silent.test/0/key", "redis+cluster://silent.test/key"):
            self.assert_clean(url, None)

    def test_threads(self) -> None:
        """A disk, and MongoDB: each pull after the first says that the one before still hangs."""
        self.patch(file_module, "defer_to_new_thread", hang)
        self.patch(mongo_module, "defer_to_new_thread", hang)
        for url in ("file:/nowhere", "mongodb://127.0.0.1/db/collection"):
            self.assert_clean(url, None)
