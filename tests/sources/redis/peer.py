"""A Redis server in memory that the test controls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectionLost
from twisted.internet.error import ConnectionRefusedError as RefusedError
from twisted.internet.testing import MemoryReactorClock, StringTransportWithDisconnection
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import SourceError
from livefeed.sources.redis import RedisSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.logger import ILogObserver

MAX_BYTES = 5000
PASSWORD = "correct-horse"
OK = b"+OK\r\n"


def bulk(data: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(data), data)


def array(*replies: bytes) -> bytes:
    return b"*%d\r\n%b" % (len(replies), b"".join(replies))


def strings(*items: bytes) -> bytes:
    return array(*map(bulk, items))


MASTER = array(bulk(b"master"), b":77\r\n", b"*0\r\n")
REPLICA = array(bulk(b"slave"), bulk(b"127.0.0.1"), b":6379\r\n", bulk(b"connected"), b":77\r\n")


ASKED_FOR_STATE = b"*2\r\n$4\r\nINFO\r\n$11\r\nreplication\r\n"
MASTER_STATE = bulk(b"# Replication\r\nrole:master\r\nconnected_slaves:0\r\n")


class _Transport(StringTransportWithDisconnection):
    """Keeps the question about the state of replication apart, which goes with every pull from one server."""

    asked_for_state = 0

    def write(self, data: bytes) -> None:
        if data == ASKED_FOR_STATE:
            self.asked_for_state += 1
        else:
            super().write(data)


class Peer:
    """The server's end of one connection.

    :ivar state: its reply to a query of its replication state, in front of the next reply; ``None`` for none.
    """

    def __init__(self, factory: Any, host: str = "127.0.0.1", port: int = 6379) -> None:
        address = IPv4Address("TCP", host, port)
        self.state: bytes | None = MASTER_STATE
        self._states_told = 0
        self.transport = _Transport(peerAddress=address)
        self.protocol = factory.buildProtocol(address)
        self.transport.protocol = self.protocol
        self.protocol.makeConnection(self.transport)

    @property
    def closed(self) -> bool:
        """Whether the source has cut the connection."""
        return not self.transport.connected

    def commands(self) -> list[list[bytes]]:
        """Gives the commands that were sent since the last call, each as its arguments."""
        data = self.transport.value()
        self.transport.clear()
        found = []
        while data:
            count, _, data = data.partition(b"\r\n")
            assert count.startswith(b"*")
            command = []
            for _ in range(int(count[1:])):
                length, _, data = data.partition(b"\r\n")
                assert length.startswith(b"$")
                size = int(length[1:])
                command.append(data[:size])
                assert data[size : size + 2] == b"\r\n"
                data = data[size + 2 :]
            found.append(command)
        return found

    def says(self, *replies: bytes) -> None:
        for reply in replies:
            if self.state is not None and self._states_told < self.transport.asked_for_state:
                self._states_told += 1
                self.protocol.dataReceived(self.state)
            self.protocol.dataReceived(reply)

    @property
    def asked_for_state(self) -> int:
        """How often it was asked for the state of its replication."""
        return self.transport.asked_for_state

    def is_lost(self) -> None:
        self.transport.connected = False
        self.protocol.connectionLost(Failure(ConnectionLost()))


class RedisTestCase(SynchronousTestCase):
    """A source, its servers, and its log.

    :ivar lines: the lines that the source has logged.
    """

    url = "redis://host/5/key"

    def setUp(self) -> None:
        self.lines: list[str] = []
        note = cast("ILogObserver", self._note_line)
        globalLogPublisher.addObserver(note)
        self.addCleanup(globalLogPublisher.removeObserver, note)
        self.reactor = MemoryReactorClock()
        self.source = self.make_source(self.url)
        self.addCleanup(self.source.close)

    def _note_line(self, event: dict[str, Any]) -> None:
        if event["log_namespace"].startswith("livefeed.sources.redis"):
            self.lines.append(event["log_format"].format(**event))

    def make_source(self, url: str) -> RedisSource:
        """Gives a source whose names resolve to themselves, so that a test sees which one was meant."""
        source = RedisSource.from_url(urlsplit(url), reactor=self.reactor, max_bytes=MAX_BYTES)
        source.login.names.in_thread = maybeDeferred
        source.login.names.look_up = lambda host: (host,)
        return source

    def fetch(self) -> Deferred[bytes]:
        return Deferred.fromCoroutine(self.source.fetch())

    def failed(self, fetching: Deferred[bytes]) -> str:
        return str(self.failureResultOf(fetching, SourceError).value)

    def attempts(self) -> Sequence[tuple[str, int]]:
        """Gives where connections are being made to."""
        return [(host, port) for host, port, *_ in self.reactor.tcpClients]

    def accept(self) -> Peer:
        """Lets the newest connection attempt succeed."""
        host, port, factory, _, _ = self.reactor.tcpClients.pop()
        return Peer(factory, host, port)

    def refuse(self) -> None:
        """Lets the newest connection attempt fail."""
        _, _, factory, _, _ = self.reactor.tcpClients.pop()
        factory.clientConnectionFailed(self.reactor.connectors[-1], Failure(RefusedError()))

    def connected(self) -> Peer:
        """Gives a peer whose first answer has been read."""
        fetching = self.fetch()
        peer = self.accept()
        peer.says(OK, bulk(b"1"))
        self.assertEqual(self.successResultOf(fetching), b"1")
        peer.commands()
        return peer

    def assert_recovers(self) -> None:
        """Finds that the next pull makes a new connection, and reads the document."""
        self.assertEqual(self.reactor.tcpClients, [])
        self.connected()
