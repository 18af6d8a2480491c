"""Doubles of protocols and producers that record their calls, and a connection with both of its ends."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.internet.interfaces import IHalfCloseableProtocol, IPullProducer, IPushProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from livefeed.transport.answer import Answer, Repeatable
from livefeed.transport.closing import SEND_TIMEOUT_S
from livefeed.transport.connection import Connection
from livefeed.transport.interfaces import IDeadlineListener, IReplayed
from livefeed.transport.pool import SWEEP_S
from tests.helpers.driven import Client, DrivenReactor, make_pool, settle, turn_until

if TYPE_CHECKING:
    from collections.abc import Hashable

    from twisted.python.failure import Failure

    from livefeed.transport.groups import ConnectionGroup
    from livefeed.transport.interfaces import WaitingRoom
    from livefeed.web.replay import Replay

LARGE = bytes(range(256)) * 8192
"""Two MiB: more than the kernel takes at once."""

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OTHER = b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n"
CLOSING = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


class Recorder(Protocol):
    """A protocol that records its calls, and can be told to answer or to raise.

    :ivar received: the bytes that came in.
    :ivar lost: the reason for its end; ``None`` before that.
    :ivar answer: the pieces that it writes for all data that it receives.
    """

    transport: Any

    def __init__(self) -> None:
        self.received = b""
        self.times = 0
        self.lost: Failure | None = None
        self.timeouts = 0
        self.answer: list[bytes] = []
        self.broken = ""
        self.events: list[str] = []

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self.times += 1
        for piece in self.answer:
            self.transport.write(piece)
        self.break_if("dataReceived")

    def connectionLost(self, reason: Failure | None = None) -> None:
        assert self.lost is None
        self.lost = reason
        self.break_if("connectionLost")

    def break_if(self, place: str) -> None:
        if self.broken == place:
            raise RuntimeError(place)


class Echoing(Recorder):
    """A protocol that sends back the data that it receives."""

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.transport.write(data)


@implementer(IDeadlineListener)
class ReluctantRecorder(Recorder):
    """A protocol that decides itself when its deadline passes."""

    def timeoutConnection(self) -> None:
        self.timeouts += 1
        self.break_if("timeoutConnection")


class One:
    """One of many connections that are written the same data.

    :ivar expected: the bytes that its client must receive after all steps until now.
    """

    def __init__(
        self, test: ConnectionTestCase, group: ConnectionGroup[Any], client: Client, protocol: Recorder
    ) -> None:
        self.test, self.group, self.client, self.protocol = test, group, client, protocol
        self.connection = protocol.transport
        self.expected = b""
        self.joined = self.ended = False

    def expect_of_all(self, data: bytes) -> None:
        if self.joined and not self.ended:
            self.expected += data

    def has_all(self) -> bool:
        return len(self.client.received) >= len(self.expected)

    def join(self) -> None:
        if not self.joined:
            self.group.add(self.connection)
            self.joined = True

    def leave(self) -> None:
        if self.joined:
            self.group.discard(self.connection)
            self.joined = False

    def write(self) -> None:
        """Writes data to this connection alone."""
        self.connection.write(b"<one>")
        self.expected += b"" if self.ended else b"<one>"

    def ask(self) -> None:
        """Sends data from its client, which the protocol sends back."""
        if not self.ended:
            count = len(self.protocol.received)
            self.client.send(b"<question>")
            self.test.turn_until(lambda: len(self.protocol.received) > count, self.client)
            self.expected += self.protocol.received[count:]

    def read(self) -> None:
        settle(self.test.reactor, self.client)

    def end(self) -> None:
        self.connection.loseConnection()
        self.ended = True


@implementer(IHalfCloseableProtocol)
class HalfCloseableRecorder(Recorder):
    """A protocol that is told of the end of each side."""

    def readConnectionLost(self) -> None:
        self.events.append("read")
        self.break_if("readConnectionLost")

    def writeConnectionLost(self) -> None:
        self.events.append("write")


@implementer(IReplayed)
class Answering(Recorder):
    """A protocol whose answers are numbered, may be repeated, and are the last if the client asks for that.

    :cvar answers: the answers of all instances.
    :cvar body: the bytes behind the number of each answer.
    :ivar retires: whether its next answer is the last.
    """

    retires = False
    answers: ClassVar[list[bytes]]
    body: ClassVar[bytes]
    replays: ClassVar[dict[bool, Replay]]

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.answers.append(b"answer %d" % (len(self.answers) + 1) + self.body)
        self.transport.write(self.answers[-1])
        if self.retires or b"Connection: close" in data:
            self.loseConnection()

    def loseConnection(self) -> None:
        self.transport.loseConnection()

    def retire(self) -> None:
        self.retires = True
        self.break_if("retire")

    def at_boundary(self) -> bool:
        return not self.retires

    def replayable(self) -> Repeatable:
        return Repeatable("label")


class SharingAnswering(Answering):
    """A protocol that writes the body as a separate piece, as twisted.web does."""

    def dataReceived(self, data: bytes) -> None:
        Recorder.dataReceived(self, data)
        self.answers.append(b"answer %d" % (len(self.answers) + 1))
        self.transport.write(self.answers[-1])
        self.transport.write(self.body)
        if b"Connection: close" in data:
            self.loseConnection()


@implementer(IPushProducer)
class ProducingAnswering(Answering):
    """A protocol that is its transport's producer until it ends the connection, as twisted.web's channel is."""

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, True)

    def loseConnection(self) -> None:
        self.transport.unregisterProducer()
        super().loseConnection()

    def pauseProducing(self) -> None:
        pass

    def resumeProducing(self) -> None:
        pass

    def stopProducing(self) -> None:
        pass


@implementer(IPushProducer)
class Pusher:
    """A streaming producer that only records its calls."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


@implementer(IPullProducer)
class Puller:
    """A producer that writes a piece at each call, and unregisters after the last."""

    def __init__(self, transport: Any, pieces: list[bytes], *, leave: bool = True) -> None:
        self.transport = transport
        self.pieces = pieces
        self.leave = leave
        self.stopped = False

    def resumeProducing(self) -> None:
        self.transport.write(self.pieces.pop(0))
        if not self.pieces and self.leave:
            self.transport.unregisterProducer()

    def stopProducing(self) -> None:
        self.stopped = True


class Host:
    """The object that requests wait for: the Host API of the transport's rooms."""

    room: WaitingRoom | None = None
    wait_s = 1000.0
    leads = True

    def select(self, fields: list[bytes | None], /) -> Hashable:
        return tuple(fields)

    def admit(self) -> bool:
        return True

    def let_go(self, count: int, /) -> None:
        pass

    def render(self, head: bytes, /) -> Answer:
        return Answer(b"answer", "label", last=False)

    def close(self) -> None:
        self.room = None


@implementer(IReplayed)
class Waiting(Recorder):
    """A protocol whose requests wait.

    :cvar host: the object that they wait for.
    :ivar leaves: whether it ends the connection instead.
    """

    host: ClassVar[Host]
    replays: ClassVar[dict[bool, Replay]]
    leaves = False

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if self.leaves:
            self.transport.loseConnection()

    def retire(self) -> None:
        self.transport.write(b"answer now")
        self.transport.loseConnection()

    def at_boundary(self) -> bool:
        return not self.received

    def replayable(self) -> None:
        return None

    def waits(self) -> Host:
        return self.host


class ConnectionTestCase(SynchronousTestCase):
    """Has a pool, its reactor, and a connection with both of its ends.

    :ivar protocol: the server's protocol.
    :ivar connection: its transport.
    :ivar client: the client's end.
    """

    protocol_class: type[Recorder] = Recorder
    connection_class: type[Connection] = Connection

    def setUp(self) -> None:
        self.reactor = DrivenReactor()
        self.listening = make_pool(self.reactor, handshake_s=10)
        self.pool = self.listening.pool
        self.protocols: list[Recorder] = []
        self.clients: list[Client] = []
        factory: Any = Factory()
        factory.noisy = False
        factory.buildProtocol = self.build
        self.factory = factory
        self.port = self.listen()
        self.addCleanup(self.reactor.close)
        self.addCleanup(self.end)
        self.connect()

    def end(self) -> None:
        for client in self.clients:
            client.close()
        self.port.stopListening()
        self.reactor.settle()
        self.reactor.advance(SEND_TIMEOUT_S + SWEEP_S)

    def listen(self) -> Any:
        return self.listening.listenTCP(0, self.factory, interface="127.0.0.1")

    def build(self, address: object) -> Recorder:
        self.protocols.append(self.protocol_class())
        return self.protocols[-1]

    def open(self, receive_buffer: int = 65_536) -> Client:
        """Gives a client that is connected, but perhaps not accepted yet. Its buffer does not grow."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect(("127.0.0.1", self.port.getHost().port))
        self.clients.append(Client(sock))
        return self.clients[-1]

    def connect(self, receive_buffer: int = 65_536) -> None:
        count = len(self.protocols)
        self.client = self.open(receive_buffer)
        self.turn_until(lambda: len(self.protocols) > count and self.protocols[-1].transport is not None, self.client)
        self.protocol = self.protocols[-1]
        self.connection = self.protocol.transport

    def turn_until(self, condition: Any, *readers: Client) -> None:
        """Takes turns until a condition holds; these clients read meanwhile."""
        turn_until(self.reactor, condition, *readers)

    def receive(self, count: int) -> None:
        """Takes turns until the client has this number of bytes."""
        self.turn_until(lambda: len(self.client.received) >= count, self.client)

    def send(self, data: bytes) -> None:
        """Sends from the client, and takes turns until the protocol has all of it."""
        before = len(self.protocol.received)
        self.client.send(data)
        self.turn_until(lambda: len(self.protocol.received) >= before + len(data))

    def settle(self) -> None:
        settle(self.reactor, self.client)

    def end_side(self, client: Client) -> None:
        """Shuts down a client's side, and leaves the server's open."""
        client.sock.shutdown(socket.SHUT_WR)

    def assert_ended_orderly(self, client: Client, received: bytes) -> None:
        """Checks that a client receives these bytes and then an end, not a reset, and that nothing is kept of it."""
        self.turn_until(lambda: client.ended, client)
        self.assertEqual(client.received, received)
        self.assertIsNone(client.error)
        self.assertTrue(getattr(client, "notified", True))
        count = len(self.pool.connections)
        client.close()
        self.turn_until(lambda: len(self.pool.connections) < count)

    def fill(self) -> bytes:
        """Writes more bytes than the socket takes; gives them."""
        self.connection.write(LARGE)
        self.reactor.settle()
        self.assertTrue(self.connection._unsent)
        return LARGE

    def assert_lost(self, *kinds: type[Exception]) -> None:
        self.turn_until(lambda: self.protocol.lost is not None, self.client)
        assert self.protocol.lost is not None
        self.assertIsNotNone(self.protocol.lost.check(*kinds), self.protocol.lost)
        self.assertNotIn(self.connection, self.pool.connections.values())

    def watch_sending(self) -> list[bytes]:
        """Records each piece that is handed to the socket; gives the list of them."""
        sent: list[bytes] = []
        original = self.connection_class._send

        def send(connection: Connection, data: bytes) -> int:
            count = original(connection, data)
            sent.append(data[:count])
            return count

        self.patch(self.connection_class, "_send", send)
        return sent
