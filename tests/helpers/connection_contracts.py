"""The behaviour of every connection, with TLS and without it: test classes that both kinds inherit."""

from __future__ import annotations

import socket
import struct
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar
from unittest import mock

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPushProducer, ITCPTransport
from twisted.python.failure import Failure
from zope.interface import alsoProvides, directlyProvides, implementer
from zope.interface.verify import verifyObject

from livefeed.transport.answer import Repeatable
from livefeed.transport.closing import LINGER_S, SEND_TIMEOUT_S
from livefeed.transport.connection_state import READ_BYTES, WRITE_BYTES
from livefeed.transport.interfaces import IReplayed, IUpgrading
from livefeed.transport.pool import SWEEP_S
from livefeed.web.replay import Replay
from tests.helpers.connections import (
    CLOSING,
    GET,
    LARGE,
    OTHER,
    Answering,
    ConnectionTestCase,
    Echoing,
    Host,
    One,
    ProducingAnswering,
    Puller,
    Pusher,
    Recorder,
    SharingAnswering,
    Waiting,
)
from tests.helpers.driven import Client, connections_of, make_pool, settle

if TYPE_CHECKING:
    from collections.abc import Callable

_CALLED_AFTER_THE_END = (
    "abortConnection",
    "close_if_idle",
    "expire",
    "close",
    "getHandle",
    "getHost",
    "getPeer",
    "getTcpKeepAlive",
    "getTcpNoDelay",
    "loseConnection",
    "loseWriteConnection",
    "pauseProducing",
    "resumeProducing",
    "stopProducing",
    "unregisterProducer",
)


def _calls_after_the_end(connection: Any, producer: Pusher) -> list[tuple[str, Callable[[], object]]]:
    failure = Failure(ConnectionLost())
    return [
        *((name, getattr(connection, name)) for name in _CALLED_AFTER_THE_END),
        ("write", lambda: connection.write(b"late")),
        ("write_or_end", lambda: connection.write_or_end(b"late")),
        ("writeSequence", lambda: connection.writeSequence([b"late"])),
        ("registerProducer", lambda: connection.registerProducer(producer, False)),
        ("setTcpNoDelay", lambda: connection.setTcpNoDelay(False)),
        ("setTcpKeepAlive", lambda: connection.setTcpKeepAlive(True)),
        ("set_deadline", lambda: connection.set_deadline(1.0)),
        ("negotiatedProtocol", lambda: getattr(connection, "negotiatedProtocol", None)),
        ("getPeerCertificate", getattr(connection, "getPeerCertificate", bool)),
        ("failVerification", lambda: getattr(connection, "failVerification", bool)(failure)),
    ]


UPGRADE = GET.replace(b"\r\n\r\n", b"\r\nUpgrade: other\r\n\r\n")
"""A request that replay leaves alone."""


class GroupContract(ConnectionTestCase):
    """Connections that are written the same."""

    __test__ = False

    def test_writing_to_many(self) -> None:
        """All connections get the same bytes, later where the socket is full; one that is gone affects no other."""
        names = ("first", "slow", "full", "gone", "last")
        clients, connections = {}, {}
        for name in names:
            self.connect(receive_buffer=4096 if name == "slow" else 65_536)
            clients[name], connections[name] = self.client, self.connection
            self.connection.registerProducer(Pusher(), True)
        self.connection, self.client = connections["full"], clients["full"]
        before = self.fill()
        clients["gone"].reset()
        group = self.connection_class.make_group()
        for connection in connections.values():
            group.add(connection)
        expected = b""
        for number in range(200):
            piece = b"%d" % number * 1000
            group.write(piece)
            expected += piece
            self.client = clients["last"]
            self.receive(len(expected))
            if connections["slow"].unsent_bytes > 100_000:
                break
        self.assertGreater(connections["slow"].unsent_bytes, 100_000)
        producers = {name: connection._producer for name, connection in connections.items()}
        self.assertEqual(producers["slow"].told, ["pause"])
        self.assertIsNone(producers["gone"])
        for name in ("first", "slow", "last"):
            client = clients[name]
            self.turn_until(lambda client=client: len(client.received) >= len(expected), client)
            self.assertEqual(client.received, expected, name)
        self.turn_until(lambda: len(clients["full"].received) >= len(before + expected), clients["full"])
        self.assertEqual(clients["full"].received, before + expected)
        lost = [protocol.lost for protocol in self.protocols if protocol.lost is not None]
        self.assertEqual([reason.type for reason in lost], [ConnectionLost])

    def test_writing_to_a_list(self) -> None:
        """As to a group, with a full one among them and without: each gets all bytes, in order."""
        for fills in (False, True):
            clients, connections, expected = [], [], []
            for number in range(3):
                self.connect()
                clients.append(self.client)
                connections.append(self.connection)
                expected.append(self.fill() if fills and number == 1 else b"")
            # More than a socket takes, so that a part of it is left to be sent later.
            for data in (b"first", LARGE, b"last"):
                self.connection_class.write_to_all(connections, data)
                expected = [each + data for each in expected]
            for client, each in zip(clients, expected, strict=True):
                self.turn_until(lambda client=client, each=each: len(client.received) >= len(each), client)
                self.assertEqual(client.received, each)

    def test_writing_to_many_at_random(self) -> None:
        """Connections join, leave, get answers, fill up or end: each gets all of its own bytes, in order."""
        self.protocol_class = Echoing
        group = self.connection_class.make_group()
        for _ in range(5):
            self.connect()
        many = [One(self, group, *each) for each in zip(self.clients[1:], self.protocols[1:], strict=True)]
        random = Random(5)
        for number in range(400):
            if random.random() < 0.3:
                data = b"<all %d>" % number * random.choice([1, 1, 500, 5000])
                group.write(data)
                for one in many:
                    one.expect_of_all(data)
            else:
                one = random.choice(many)
                steps = [one.join, one.leave, one.write, one.ask, one.read, self.reactor.settle]
                random.choices([*steps, one.end], [*[1] * len(steps), 0.05])[0]()
        for one in many:
            self.turn_until(one.has_all, one.client)
            one.read()
            self.assertEqual(one.client.received, one.expected)
        self.assertEqual({(True, False), (False, True)} - {(one.joined, one.ended) for one in many}, set())

    def test_what_many_are_sent_while_one_is_given_data(self) -> None:
        """The bytes of the group come behind the earlier bytes of this connection."""
        group = self.connection_class.make_group()
        group.add(self.connection)
        for piece in (b"1", b"2"):
            group.write(piece)

        def answer(_: bytes) -> None:
            self.connection.write(b"<answer>")
            group.write(b"<all>")

        self.patch(self.protocol, "dataReceived", answer)
        self.client.send(b"question")
        self.receive(15)
        group.write(b"<all again>")
        self.receive(26)
        self.assertEqual(self.client.received, b"12<answer><all><all again>")

    def test_one_of_many_that_has_ended(self) -> None:
        """A connection that has reused the descriptor gets no bytes of the group."""
        group = self.connection_class.make_group()
        group.add(self.connection)
        for piece in (b"1", b"2"):
            group.write(piece)
        descriptor, gone = self.connection.fd, self.client
        self.connection.abortConnection()
        self.assert_lost(ConnectionAborted)
        gone.close()
        self.connect()
        self.assertEqual(self.connection.fd, descriptor)
        group.write(b"3")
        self.connection.write(b"4")
        self.receive(1)
        self.assertEqual(self.client.received, b"4")

    def test_writing_to_many_of_whom_one_breaks(self) -> None:
        """It is ended, with a line in the log; the others are sent everything."""
        self.connect()
        breaking, pusher = self.connection, Pusher()
        self.patch(pusher, "pauseProducing", lambda: pusher.told[0])
        breaking.registerProducer(pusher, True)
        self.connect()
        group = self.connection_class.make_group()
        group.add(breaking)
        group.add(self.connection)
        group.write(LARGE)
        self.receive(len(LARGE))
        self.assertEqual(self.client.received, LARGE)
        self.assertEqual(len(self.flushLoggedErrors(IndexError)), 1)
        self.assertNotIn(breaking, connections_of(self.pool))


class WritingContract(ConnectionTestCase):
    """Data that is written, and its producers."""

    __test__ = False

    def test_writing_more_than_a_record(self) -> None:
        """If the socket takes it at once, then nothing is in the way of the next write."""
        for size in (1, 3 * READ_BYTES):
            before = len(self.client.received)
            self.connection.write(b"x" * size)
            self.assertTrue(self.connection._can_send, size)
            self.receive(before + size)

    def test_bytes_come_through_in_both_directions(self) -> None:
        """All bytes arrive at once, in order and whole."""
        self.send(b"question")
        self.assertEqual(self.protocol.received, b"question")
        self.connection.write(b"one ")
        self.connection.writeSequence([b"two ", b"three"])
        self.receive(13)
        self.assertEqual(self.client.received, b"one two three")

    def test_large_writes_arrive_whole(self) -> None:
        """Bytes that the socket does not take are sent later, piece by piece and in order."""
        pieces = [b"%07d" % number * 50 for number in range(2000)]
        sent = self.fill() + b"".join(pieces)
        for piece in pieces:
            self.connection.write(piece)
        self.assertEqual(self.connection._mask & 4, 4)
        self.receive(len(sent))
        self.assertEqual(self.client.received, sent)
        self.settle()
        self.assertEqual(self.connection._mask & 4, 0)
        self.connection.write(b"more")
        self.receive(len(sent) + 4)

    def test_answer_is_sent_in_one_piece(self) -> None:
        """All writes of a protocol during one dataReceived cost one system call, and arrive in order."""
        sent = self.watch_sending()
        self.protocol.answer = [b"head: x\r\n", b"", b"\r\n", b"body"]
        self.send(b"x")
        self.assertEqual(sent, [b"head: x\r\n\r\nbody"])

    def test_large_answers_are_not_put_off(self) -> None:
        """Above 64 KiB the client is sent the data so far, and a producer is asked to wait."""
        pusher = Pusher()
        self.connection.registerProducer(pusher, True)
        paused_after: list[int] = []
        original = pusher.pauseProducing

        def pause() -> None:
            original()
            paused_after.append(len(written))

        pusher.pauseProducing = pause  # type: ignore[method-assign]
        written: list[int] = []

        def answer(data: bytes) -> None:
            for number in range(1000):
                written.append(number)
                self.connection.write(b"%4d" % number * 1000)

        self.protocol.dataReceived = answer  # type: ignore[method-assign]
        self.client.send(b"x")
        self.turn_until(lambda: bool(written))
        self.assertEqual(pusher.told, ["pause"])
        self.assertGreater(paused_after[0] * 4000, WRITE_BYTES)
        self.assertLess(paused_after[0], 1000)
        self.receive(4_000_000)
        self.assertEqual(self.client.received, b"".join(b"%4d" % number * 1000 for number in range(1000)))
        self.settle()
        self.assertEqual(pusher.told, ["pause", "resume"])

    def test_nothing_large_is_copied_for_a_slow_reader(self) -> None:
        """Unsent large data is kept as the object that all others are sent, too, after any earlier writes."""
        small = [b"%07d" % number * 1000 for number in range(3)]
        self.protocol.answer = [b"head: x\r\n\r\n", *small, LARGE]
        self.client.send(b"x")
        self.turn_until(lambda: bool(self.protocol.received))
        self.assertTrue(any(part is LARGE for part in self.connection._unsent))
        self.connection.write(b"more")
        whole = b"".join([*self.protocol.answer, b"more"])
        self.receive(len(whole))
        self.assertEqual(self.client.received, whole)

    def test_streaming_producer_waits_while_the_socket_is_full(self) -> None:
        """It is told once, and once that it may go on."""
        pusher = Pusher()
        self.connection.registerProducer(pusher, True)
        self.reactor.settle()
        self.assertEqual(pusher.told, [])
        self.fill()
        self.assertEqual(pusher.told, ["pause"])
        self.connection.write(b"anyway")
        self.assertEqual(pusher.told, ["pause"])
        self.receive(len(LARGE) + 6)
        self.settle()
        self.assertEqual(pusher.told, ["pause", "resume"])
        self.connection.unregisterProducer()
        self.fill()
        self.assertEqual(pusher.told, ["pause", "resume"])

    def test_streaming_producer_that_comes_late(self) -> None:
        """The socket may be full already."""
        self.fill()
        pusher = Pusher()
        self.connection.registerProducer(pusher, True)
        self.assertEqual(pusher.told, ["pause"])

    def test_pulled_producer_is_asked_until_it_leaves(self) -> None:
        """Each time that the socket can take more, and never while it is told of something else."""
        pieces = [b"%06d" % number * 5000 for number in range(100)]
        puller = Puller(self.connection, [*pieces])
        self.connection.registerProducer(puller, False)
        self.assertEqual(len(puller.pieces), 100)
        self.reactor.settle()
        self.assertTrue(0 < len(puller.pieces) < 100, len(puller.pieces))
        self.receive(3_000_000)
        self.assertEqual(self.client.received, b"".join(pieces))
        self.settle()
        self.assertEqual(self.connection._mask & 4, 0)

    def test_only_one_producer(self) -> None:
        """IConsumer says so."""
        self.connection.registerProducer(Pusher(), True)
        self.assertRaises(RuntimeError, self.connection.registerProducer, Pusher(), True)

    def test_producer_of_a_lost_connection_is_stopped(self) -> None:
        """One that is there, and one that comes too late."""
        pusher, late = Pusher(), Pusher()
        self.connection.registerProducer(pusher, True)
        self.connection.abortConnection()
        self.assert_lost(ConnectionAborted)
        self.connection.registerProducer(late, True)
        self.assertEqual((pusher.told, late.told), (["stop"], ["stop"]))
        self.connect()
        self.connection.abortConnection()
        self.connection.registerProducer(late, True)
        self.assertEqual(late.told, ["stop", "stop"])

    def test_producer_that_breaks_when_it_is_stopped(self) -> None:
        """The protocol is told of the end all the same."""
        pusher = Pusher()
        pusher.stopProducing = lambda: 1 / 0  # type: ignore[method-assign, assignment]
        self.connection.registerProducer(pusher, True)
        self.connection.abortConnection()
        self.assert_lost(ConnectionAborted)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_producer_that_breaks_ends_its_connection(self) -> None:
        """The error is logged, and the connection ends."""
        puller = Puller(self.connection, [])
        self.connection.registerProducer(puller, False)
        self.assert_lost(IndexError)
        self.assertTrue(puller.stopped)
        self.assertEqual(len(self.flushLoggedErrors(IndexError)), 1)

    def test_large_answer_is_whole_wherever_the_socket_is_full(self) -> None:
        """Within the head, behind it, and in the body."""
        head, whole = b"head" * 10, b""
        send = self.connection._send
        for count in (0, 3, len(head), len(head) + 5):
            with mock.patch.object(
                self.connection_class,
                "_send_both",
                lambda _, head, body, count=count: send((head + body)[:count]) if count else 0,
            ):
                self.connection.write_large_or_end(head, LARGE)
            whole += head + LARGE
            self.receive(len(whole))
            self.settle()
            self.assertEqual(self.client.received, whole)
            self.assertTrue(self.connection._can_send)

    def test_large_answer_waits_for_what_was_written_before(self) -> None:
        """The large answer is not copied then, either."""
        before = self.fill()
        self.connection.write_large_or_end(b"head", body := bytes(WRITE_BYTES))
        self.assertEqual([part is body for part in self.connection._unsent], [False, False, True])
        self.receive(len(before) + 4 + len(body))
        self.assertEqual(self.client.received, before + b"head" + body)

    def test_large_answer_that_breaks_ends_the_connection(self) -> None:
        """It is one of many, and the others go on."""
        self.connection.write_large_or_end(b"head", None)
        self.turn_until(lambda: self.client.ended, self.client)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        self.connect()
        self.client.reset()
        self.reactor.settle()
        self.connection.write_large_or_end(b"head", LARGE)
        self.turn_until(lambda: self.protocol.lost is not None)


class ReadingContract(ConnectionTestCase):
    """Data that is received."""

    __test__ = False

    def test_large_reads_arrive_whole(self) -> None:
        """The data arrives intact, however the network cuts it."""
        data = LARGE[: 40 * READ_BYTES]
        for start in range(0, len(data), 10_000):
            self.send(data[start : start + 10_000])
        self.assertEqual(self.protocol.received, data)

    def test_reading_pauses(self) -> None:
        """Data that arrives during the pause waits, and is not lost."""
        self.connection.pauseProducing()
        self.client.send(b"waits")
        self.reactor.settle()
        self.assertEqual(self.protocol.received, b"")
        self.connection.write(b"writing goes on")
        self.receive(15)
        self.assertEqual(self.protocol.received, b"")
        self.connection.resumeProducing()
        self.turn_until(lambda: self.protocol.received == b"waits")

    def test_end_by_the_client_after_the_connection_is_lost(self) -> None:
        """Does not bring the connection back: it is closed, although data is left that was not sent."""
        pusher = Pusher()
        self.patch(pusher, "pauseProducing", lambda: pusher.told[0])
        self.connection.registerProducer(pusher, True)
        self.connection.write_or_end(LARGE)
        self.assertTrue(self.connection.unsent_bytes)
        self.end_side(self.client)
        # The pool may read before the call that closes the connection.
        self.pool.doRead()
        self.assert_lost(IndexError)
        self.assertFalse(self.connection.connected)
        self.assertEqual(len(self.flushLoggedErrors(IndexError)), 1)

    def test_end_by_a_client_that_has_polled(self) -> None:
        """It needs no protocol: it is answered by replay, leaves in order, and is closed in the same turn."""
        replay = Replay()
        self.factory.replays = {False: replay, True: replay}
        directlyProvides(self.factory, IReplayed)
        self.addCleanup(directlyProvides, self.factory)
        count = len(self.protocols)
        for polls in (True, False):
            client = self.client = self.open()
            self.turn_until(lambda: any(each.polls for each in self.pool.connections.values()), client)
            self.settle()
            if polls:
                replay.find(GET)
                assert replay.missed is not None
                replay.store(replay.missed, b"answer", Repeatable("label"))
                client.send(GET)
                self.receive(6)
            self.end_side(client)
            self.turn_until(lambda client=client: client.ended, client)
            self.assertEqual((client.received, client.error), (b"answer" * polls, None))
            self.assertTrue(getattr(client, "notified", True))
            self.assertEqual((len(self.pool.connections), len(self.pool.deadlines)), (1, 0))
        self.assertEqual(len(self.protocols), count)


class ClosingContract(ConnectionTestCase):
    """The ends of a connection, and its deadlines."""

    __test__ = False

    def test_whatever_is_called_after_the_end(self) -> None:
        """In any order, after any end: nothing happens to the connection that has its descriptor by then."""
        for seed in range(8):
            choice = Random(seed)
            self.connect()
            connection, producer = self.connection, Pusher()
            if choice.random() < 0.7:
                connection.registerProducer(producer, choice.random() < 0.7)
            for _ in range(choice.randrange(3)):
                choice.choice([partial(connection.write, b"x" * 100), connection.loseWriteConnection])()
            ends: list[Any] = [connection.loseConnection, connection.abortConnection, self.client.reset]
            ends = [ends[2]] if seed % 4 == 0 else choice.sample(ends, choice.randrange(1, 4))
            for end in ends:
                end()
            self.reactor.advance(2 * SEND_TIMEOUT_S)
            self.assertFalse(connection.connected)
            # The kernel gives the lowest number that is free.
            pairs = [socket.socketpair() for _ in range(8)]
            [(taken, theirs)] = [
                pair if pair[0].fileno() == connection.fd else pair[::-1]
                for pair in pairs
                if connection.fd in (pair[0].fileno(), pair[1].fileno())
            ]
            theirs.setblocking(False)
            watch = mock.Mock()
            calls = _calls_after_the_end(connection, producer)
            for _ in range(60):
                name, call = choice.choice(calls)
                with mock.patch.object(self.pool, "watch", watch):
                    call()
                with self.assertRaises(BlockingIOError, msg=f"{name} {seed}"):
                    theirs.recv(100)
            self.assertEqual((connection.unsent_bytes, self.pool.deadlines.get(connection)), (0, None))
            watch.assert_not_called()
            theirs.send(b"still there")
            self.assertEqual(taken.recv(100), b"still there")
            for each in (sock for pair in pairs for sock in pair):
                each.close()

    def test_without_a_reason_there_is_no_end(self) -> None:
        """A connection that is looked at again, though it goes on, goes on."""
        self.connection.close()
        self.client.send(b"goes on")
        self.settle()
        self.assertEqual((self.protocol.received, self.protocol.lost), (b"goes on", None))

    def test_stop_producing_is_the_end(self) -> None:
        """IPushProducer says so."""
        self.connection.stopProducing()
        self.settle()
        self.assertTrue(self.client.ended)

    def test_lose_connection_sends_everything_first(self) -> None:
        """All earlier data is sent, however slowly the client reads; later writes are ignored."""
        self.fill()
        self.connection.write(b"last")
        self.connection.loseConnection()
        self.assertTrue(self.connection.disconnecting)
        self.connection.write(b"too late")
        self.reactor.settle()
        self.assertIsNone(self.protocol.lost)
        self.turn_until(lambda: self.client.ended, self.client)
        self.assertEqual(self.client.received, LARGE + b"last")
        self.assertIsNone(self.client.error)
        self.client.close()
        self.assert_lost(ConnectionDone, ConnectionLost)

    def test_lose_connection_waits_for_the_producer(self) -> None:
        """The producer's remaining data is sent, and then the connection ends."""
        pieces = [b"x" * 1000 for _ in range(10)]
        self.connection.registerProducer(Puller(self.connection, pieces), False)
        self.connection.loseConnection()
        self.turn_until(lambda: self.client.ended, self.client)
        self.assertEqual(self.client.received, b"x" * 10_000)

    def test_lose_connection_within_an_answer(self) -> None:
        """The answer is sent; later writes are not."""

        def answer(data: bytes) -> None:
            self.connection.write(b"goodbye")
            self.connection.loseConnection()
            self.connection.write(b"not this")

        self.protocol.dataReceived = answer  # type: ignore[method-assign]
        self.client.send(b"x")
        self.turn_until(lambda: self.client.ended, self.client)
        self.assertEqual(self.client.received, b"goodbye")

    def test_client_has_time_to_end_its_side(self) -> None:
        """The client may send for two more seconds, and its data is discarded; a reset might overtake the answer."""
        self.connection.write(b"answer")
        self.connection.loseConnection()
        self.turn_until(lambda: self.client.ended, self.client)
        for _ in range(10):
            self.client.send(b"x" * 1000)
            self.reactor.settle()
        self.assertEqual(self.protocol.received, b"")
        self.reactor.advance(LINGER_S - SWEEP_S)
        self.assertIsNone(self.protocol.lost)
        self.reactor.advance(2 * SWEEP_S)
        self.assert_lost(ConnectionDone)
        self.assertIsNone(self.client.error)
        self.assertEqual(self.client.received, b"answer")

    def test_client_that_reads_nothing_is_cut_off_at_last(self) -> None:
        """Five minutes after the end was decided."""
        self.fill()
        self.connection.loseConnection()
        self.reactor.advance(SEND_TIMEOUT_S - SWEEP_S)
        self.assertIsNone(self.protocol.lost)
        self.reactor.advance(2 * SWEEP_S)
        self.assert_lost(ConnectionAborted)

    def test_abort_is_a_reset(self) -> None:
        """Unsent bytes are dropped, and the protocol is notified after abortConnection has returned."""
        self.fill()
        self.connection.abortConnection()
        self.assertIsNone(self.protocol.lost)
        self.assert_lost(ConnectionAborted)
        self.turn_until(lambda: self.client.ended, self.client)
        self.assertIsInstance(self.client.error, ConnectionResetError)

    def test_writing_after_the_end_is_ignored(self) -> None:
        """Protocols do it; and ending twice is no error."""
        self.connection.abortConnection()
        for _ in range(2):
            self.connection.write(b"x")
            self.connection.writeSequence([b"x"])
            self.connection.loseConnection()
            self.connection.loseWriteConnection()
            self.connection.abortConnection()
            self.connection.pauseProducing()
            self.connection.resumeProducing()
            self.connection.unregisterProducer()
            self.assert_lost(ConnectionAborted)
        self.assertEqual(self.connection.getHost().host, "")

    def test_peer_is_known_after_the_end(self) -> None:
        """A line of a log may name it."""
        peer = self.connection.getPeer()
        self.assertEqual((peer.host, peer.port), self.client.sock.getsockname())
        self.connection.abortConnection()
        self.assert_lost(ConnectionAborted)
        self.assertEqual(self.connection.getPeer(), peer)

    def test_reset_by_the_client(self) -> None:
        """A reset is no orderly end, whether the server was reading, writing or neither."""
        for prepare in (lambda: None, self.connection.pauseProducing, lambda: self.connection.write(LARGE)):
            self.connect()
            prepare()
            self.client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.client.close()
            self.turn_until(lambda: self.protocol.lost is not None)
            self.assertIsNotNone(self.protocol.lost and self.protocol.lost.check(ConnectionLost))

    def test_protocols_that_break_end_alone(self) -> None:
        """The exception is logged, once; the connection ends, and others do not notice."""
        others = self.protocol, self.connection, self.client
        for place in ("dataReceived", "connectionLost"):
            self.connect()
            self.protocol.broken = place
            self.client.send(b"x")
            if place == "connectionLost":
                self.connection.abortConnection()
            self.turn_until(lambda: self.protocol.lost is not None, self.client)
            self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1, place)
        self.protocol, self.connection, self.client = others
        self.send(b"still here")
        self.assertEqual(len(self.pool.connections), 1)

    def test_nothing_ends_by_itself(self) -> None:
        """A connection without a deadline may be idle forever."""
        self.reactor.advance(1000)
        self.send(b"still here")

    def test_deadline_of_a_protocol_that_cannot_be_asked(self) -> None:
        """It is ended."""
        self.connection.set_deadline(5)
        self.reactor.advance(5 - SWEEP_S)
        self.assertIsNone(self.protocol.lost)
        self.connection.set_deadline(5)
        self.reactor.advance(5 - SWEEP_S)
        self.assertIsNone(self.protocol.lost)
        self.connection.set_deadline(None)
        self.reactor.advance(100)
        self.assertIsNone(self.protocol.lost)
        self.connection.set_deadline(1)
        self.reactor.advance(1 + SWEEP_S)
        self.assert_lost(ConnectionAborted)


class ReplayContract(ConnectionTestCase):
    """The protocol of a connection, and the answers that are repeated in its place."""

    __test__ = False

    def test_interfaces(self) -> None:
        """The transport provides the interfaces that Twisted's protocols expect."""
        verifyObject(ITCPTransport, self.connection)
        verifyObject(IPushProducer, self.connection)

    def test_protocol_that_breaks_when_it_is_connected(self) -> None:
        """The error is logged, and the connection ends."""

        def connection_made(protocol: Recorder) -> None:
            raise RuntimeError

        self.patch(Recorder, "connectionMade", connection_made)
        self.connect()
        self.assert_lost(RuntimeError)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_factory_that_makes_no_protocol(self) -> None:
        """The client is not wanted."""
        self.factory.buildProtocol = lambda address: None
        client = self.open()
        self.turn_until(lambda: client.ended, client)
        self.assertEqual(len(self.pool.connections), 1)

    def replaying(self) -> list[bytes]:
        """Installs a protocol whose answers are replayed; gives the list of the data that the protocol gets itself."""
        told: list[bytes] = []
        replay = self.replay = Replay()

        @implementer(IReplayed)
        class Replaying(Recorder):
            replays: ClassVar[dict[bool, Replay]] = {False: replay, True: replay}
            label: str | None = "label"
            boundary = True

            def dataReceived(self, data: bytes) -> None:
                told.append(data)
                self.transport.writeSequence([b"answer ", b"%d" % len(told)])

            def at_boundary(self) -> bool:
                return self.boundary

            def replayable(self) -> Repeatable | None:
                return None if self.label is None else Repeatable(self.label)

        self.protocol_class = Replaying
        self.connect()
        return told

    def test_answers_are_repeated(self) -> None:
        """Stored answers bypass the protocol while it allows it; an answer that may not be repeated is not stored."""
        told = self.replaying()
        protocol: Any = self.protocol
        expected = b""
        for data, label, boundary, number in (
            (GET, None, True, 1),
            (GET, "label", True, 2),
            (GET, "label", True, 2),
            (GET[:-1], "label", True, 3),
            (GET, "label", False, 4),
            (GET + GET, "label", True, 5),
            (GET, None, True, 2),
            (GET.replace(b"Host", b"Accept: x\r\nHost"), "label", True, 6),
        ):
            protocol.label, protocol.boundary = label, boundary
            self.client.send(data)
            expected += b"answer %d" % number
            self.receive(len(expected))
            self.assertEqual(self.client.received, expected)
        self.assertEqual(len(told), 6)

    def upgrade(self, answer: Callable[[bytes, bool], Any]) -> Client:
        """Connects a client to a factory that may have another protocol, and gives the client, which has sent GET.

        :param answer: the factory's ``upgrade``.
        """
        replay = Replay()
        self.factory.replays = {False: replay, True: replay}
        self.factory.upgrade = answer
        directlyProvides(self.factory, IReplayed, IUpgrading)
        self.addCleanup(directlyProvides, self.factory)
        return self.open_and_send(UPGRADE)

    def open_and_send(self, data: bytes) -> Client:
        """Connects a client that sends data."""
        client = self.client = self.open()
        # With TLS it cannot send before.
        self.turn_until(lambda: any(each.polls for each in self.pool.connections.values()), client)
        self.settle()
        client.send(data)
        return client

    def test_another_protocol_than_that_of_the_factory(self) -> None:
        """It is begun with the data, and writes its answer in one piece; all that follows is its own."""
        asked: list[tuple[bytes, bool]] = []
        other = Recorder()

        def begin(data: bytes) -> None:
            self.assertEqual((data, other.transport.fd in self.pool.connections), (UPGRADE, True))
            other.transport.write(b"an")
            other.transport.write(b"swer")
            self.assertEqual(other.transport.unsent_bytes, 6)

        def upgrade(head: bytes, secure: bool) -> Any:
            asked.append((head, secure))
            return other, begin

        count = len(self.protocols)
        client = self.upgrade(upgrade)
        self.receive(6)
        self.assertEqual((client.received, other.received), (b"answer", b""))
        client.send(GET)
        self.turn_until(lambda: other.received == GET, client)
        self.assertEqual((asked, len(self.protocols)), ([(UPGRADE, other.transport.secure)], count))
        self.assertFalse(other.transport.polls)
        self.assertNotIn(other.transport, self.pool.deadlines)
        other.transport.loseConnection()
        self.turn_until(lambda: client.ended, client)

    def test_request_that_the_factory_leaves_to_its_protocol(self) -> None:
        """It is asked about requests that replay does not know, and that are no question that may be stored."""
        asked: list[bytes] = []

        def upgrade(head: bytes, secure: bool) -> None:
            asked.append(head)

        count = len(self.protocols)
        self.upgrade(upgrade)
        self.turn_until(lambda: len(self.protocols) > count and self.protocols[-1].received == UPGRADE, self.client)
        self.open_and_send(GET)
        self.turn_until(lambda: self.protocols[-1].received == GET, self.client)
        self.assertEqual(asked, [UPGRADE])

    def test_another_protocol_that_breaks(self) -> None:
        """The connection ends, and the others go on."""
        other = Recorder()
        other.broken = "begin"
        for begin in (None, lambda _: other.break_if("begin")):

            def upgrade(head: bytes, secure: bool, begin: Any = begin) -> Any:
                if begin is None:
                    raise RuntimeError
                return other, begin

            client = self.upgrade(upgrade)
            self.turn_until(lambda client=client: client.ended, client)
            self.assertEqual(client.received, b"")
        assert other.lost is not None
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)
        self.assertEqual(len(self.pool.connections), 1)

    def wait(self, *, leaves: bool = False) -> Host:
        """Connects a client that waits, or leaves, and one with the same request; gives the host that they wait for."""
        host = Waiting.host = Host()
        replay = Replay()
        Waiting.replays = {False: replay, True: replay}
        self.protocol_class = Waiting
        for leave in (leaves, False):
            self.connect()
            protocol: Any = self.protocol
            protocol.leaves = leave
            self.client.send(GET)
            if leave:
                self.turn_until(partial(getattr, self.client, "ended"), self.client)
            else:
                self.settle()
        self.assertEqual(list(replay.rooms), [] if host.room is None else [host.room.key])
        return host

    def test_requests_wait_together(self) -> None:
        """Only the first request reaches its protocol; data that others send meanwhile reaches theirs afterwards."""
        room = self.wait().room
        assert room is not None
        self.assertEqual([protocol.received for protocol in self.protocols[-2:]], [GET, b""])
        self.assertEqual(list(room.members), [self.connection])
        self.client.send(OTHER)
        self.settle()
        self.assertEqual(self.protocol.received, b"")
        room.answer_all()
        self.receive(6)
        self.turn_until(lambda: self.protocol.received == OTHER)
        self.assertEqual((self.client.received, self.clients[-2].received), (b"answer", b""))

    def test_nobody_waits_with_a_request_that_ends_its_connection(self) -> None:
        """The next that is equal waits by itself, and others with it."""
        host = self.wait(leaves=True)
        self.assertEqual([protocol.received for protocol in self.protocols[-2:]], [GET, GET])
        self.assertIsNotNone(host.room)

    def test_replayed_answer_may_be_large(self) -> None:
        """Bytes that the socket does not take are sent later; the request behind waits for its turn."""
        self.replaying()
        self.store(GET, LARGE, self.replay)
        self.client.send(GET)
        self.reactor.settle()
        self.client.send(GET)
        self.receive(len(LARGE) + 8)
        self.assertEqual(self.client.received, LARGE + b"answer 1")

    def test_replay_puts_the_end_off(self) -> None:
        """A connection on which an answer was repeated is not idle."""
        told = self.replaying()
        self.client.send(GET)
        self.receive(8)
        self.protocol.transport.set_deadline(self.pool.limits.idle_s)
        self.reactor.advance(20 * SWEEP_S)
        self.client.send(GET)
        self.receive(16)
        self.assertEqual(len(told), 1)
        self.reactor.advance(self.pool.limits.idle_s - SWEEP_S)
        self.assertIsNone(self.protocol.lost)
        self.reactor.advance(2 * SWEEP_S)
        self.assert_lost(ConnectionAborted)

    def serve_replays(self, protocol_class: type[Answering] = Answering, *, body: bytes = b"") -> None:
        """From here on protocols are only made for requests that replay cannot answer."""
        answers: list[bytes] = []
        replays = {False: Replay(), True: Replay()}
        attributes = {"answers": answers, "body": body, "replays": replays}
        self.answers, self.replays = answers, replays
        self.protocol_class = type("Answering", (protocol_class,), attributes)
        self.factory.replays = replays
        alsoProvides(self.factory, IReplayed)
        self.made_before = len(self.protocols)

    def store(self, question: bytes, answer: bytes, replay: Replay | None = None, *, last: bool = False) -> None:
        """Stores an answer that no protocol has written, for connections of this kind if nothing else is said."""
        replay = replay or self.replays[self.connection.secure]
        replay.find(question)
        assert replay.missed is not None
        replay.store(replay.missed, answer, Repeatable("label"), last=last)

    def open_waiting(self) -> Client:
        """Gives a client that the server waits for to ask something."""
        there = set(connections_of(self.pool))
        client = self.open()
        self.turn_until(
            lambda: any(each._at_boundary for each in connections_of(self.pool) if each not in there), client
        )
        return client

    def ask(self, client: Client, question: bytes) -> bytes:
        """Sends a question, and gives the answer, which is a short one."""
        before = len(client.received)
        client.send(question)
        self.turn_until(lambda: len(client.received) > before, client)
        settle(self.reactor, client)
        return client.received[before:]

    def assert_made(self, count: int) -> None:
        """Fails unless `count` protocols were made since answers are replayed."""
        self.assertEqual(len(self.protocols) - self.made_before, count)

    def test_protocol_is_made_for_what_replay_cannot_answer(self) -> None:
        """Requests that replay can answer need no protocol, on the same connection or on others."""
        self.serve_replays()
        first, second = self.open_waiting(), self.open_waiting()
        self.assert_made(0)
        self.assertEqual(self.ask(first, GET), b"answer 1")
        self.assert_made(1)
        for _ in range(3):
            self.assertEqual(self.ask(second, GET), b"answer 1")
        self.assert_made(1)
        self.assertEqual(self.ask(second, OTHER), b"answer 2")
        self.assert_made(2)
        self.assertEqual(self.protocols[-1].received, OTHER)
        self.assertEqual(self.ask(second, GET), b"answer 1")
        for question in (GET, OTHER, GET):
            self.ask(self.open_waiting(), question)
        self.assert_made(2)
        self.assertEqual(len(self.answers), 2)

    def test_protocol_is_made_for_what_is_no_whole_question(self) -> None:
        """Even one byte of a request gets a protocol, because the request needs a timeout."""
        self.serve_replays()
        self.open_waiting().send(GET[:1])
        self.turn_until(lambda: len(self.protocols) > self.made_before)
        self.assert_made(1)
        self.assertEqual(self.protocols[-1].received, GET[:1])

    def test_idle_connection_without_a_protocol(self) -> None:
        """The connection ends in order, after an idle time from its last answer, or from its beginning."""
        self.serve_replays()
        self.ask(self.open_waiting(), GET)
        silent, asking = self.open_waiting(), self.open_waiting()
        self.ask(asking, GET)
        self.reactor.advance(self.pool.limits.idle_s - 10)
        self.ask(asking, GET)
        self.reactor.advance(10 - SWEEP_S)
        settle(self.reactor, silent, asking)
        self.assertEqual((silent.ended, asking.ended), (False, False))
        self.reactor.advance(2 * SWEEP_S)
        self.assert_ended_orderly(silent, b"")
        self.reactor.advance(self.pool.limits.idle_s - 10 - 2 * SWEEP_S)
        settle(self.reactor, asking)
        self.assertFalse(asking.ended)
        self.reactor.advance(2 * SWEEP_S)
        self.assert_ended_orderly(asking, b"answer 1" * 2)
        self.assert_made(1)

    def test_client_that_ends_its_side_unasked(self) -> None:
        """Such a connection ends at once, without a protocol."""
        self.serve_replays()
        client = self.open_waiting()
        self.end_side(client)
        count = len(self.pool.connections)
        self.turn_until(lambda: client.ended, client)
        self.assertEqual((client.received, client.error), (b"", None))
        self.assertTrue(getattr(client, "notified", True))
        self.turn_until(lambda: len(self.pool.connections) < count)
        self.assert_made(0)

    def test_client_that_ends_its_side_behind_a_question(self) -> None:
        """The stored answer is sent completely before the end, however large it is."""
        self.serve_replays()
        self.store(GET, LARGE)
        client = self.open_waiting()
        client.send(GET)
        self.end_side(client)
        self.turn_until(lambda: client.ended, client)
        self.assertEqual((client.received, client.error), (LARGE, None))
        self.assert_made(0)

    def test_large_body_is_copied_for_nobody(self) -> None:
        """Clients that do not read keep the one object that all are sent, whichever answer they have had, and when."""
        self.serve_replays(SharingAnswering, body=LARGE)
        there = set(connections_of(self.pool))
        sent: list[tuple[Client, bytes]] = []
        for _ in range(2):
            for question in (GET, OTHER, CLOSING):
                for _ in range(3):
                    client = self.open_waiting()
                    client.send(question)
                    connection = connections_of(self.pool)[-1]
                    self.turn_until(lambda connection=connection: bool(connection._unsent))
                    sent.append((client, self.answers[-1] + LARGE))
            self.replays[self.connection.secure].clear()
        self.assert_made(6)
        kept = [part for each in connections_of(self.pool) if each not in there for part in each._unsent]
        self.assertEqual(len(kept), len(sent))
        self.assertTrue(all(part is LARGE for part in kept))
        for client, answer in sent:
            self.turn_until(lambda client=client, answer=answer: len(client.received) >= len(answer), client)
            self.assertEqual(client.received, answer)

    def test_idle_connections_are_ended_on_demand(self) -> None:
        """Connections without a protocol end once all data is sent; the others are left to their protocols."""
        self.serve_replays()
        told = self.open_waiting()
        self.ask(told, GET)
        self.store(OTHER, LARGE)
        silent, replayed, reading = self.open_waiting(), self.open_waiting(), self.open_waiting()
        self.ask(replayed, GET)
        reading.send(OTHER)
        self.reactor.settle()
        self.pool.end_idle()
        for client, received in ((silent, b""), (replayed, b"answer 1"), (reading, LARGE)):
            self.assert_ended_orderly(client, received)
        self.assert_made(1)
        self.assertEqual(self.ask(told, GET.replace(b"/", b"/more", 1)), b"answer 2")
        self.send(b"as does the one that was there before")

    def test_retired_connections_end_with_their_next_answer(self) -> None:
        """The protocol alone can announce the end, so one is made where there is none; other connections go on."""
        self.serve_replays()
        told, replayed, other = self.open_waiting(), self.open_waiting(), self.open_waiting()
        for client in (told, replayed):
            self.assertEqual(self.ask(client, GET), b"answer 1")
        self.assert_made(1)
        for connection in connections_of(self.pool)[-3:-1]:
            connection.retire()
        self.assert_made(2)
        settle(self.reactor, told, replayed)
        self.assertEqual((told.ended, replayed.ended), (False, False))
        for number, client in ((2, told), (3, replayed)):
            client.send(GET)
            self.assert_ended_orderly(client, b"answer 1answer %d" % number)
        self.assertEqual(self.ask(other, GET), b"answer 1")
        self.assert_made(2)

    def test_retired_connection_that_asks_nothing(self) -> None:
        """It ends after an idle time, although its protocol has set no time of its own."""
        self.serve_replays()
        client = self.open_waiting()
        connections_of(self.pool)[-1].retire()
        self.reactor.advance(self.pool.limits.idle_s - SWEEP_S)
        settle(self.reactor, client)
        self.assertFalse(client.ended)
        self.reactor.advance(2 * SWEEP_S)
        self.turn_until(lambda: client.ended, client)
        self.assertEqual(client.received, b"")

    def test_retired_connection_that_waits_with_others(self) -> None:
        """Its protocol is given the request and the data behind it, and answers now. The others wait on."""
        room = self.wait().room
        assert room is not None
        self.client.send(OTHER)
        self.settle()
        self.connection.retire()
        self.assertEqual((self.protocol.received, room.members), (GET + OTHER, {}))
        self.assert_ended_orderly(self.client, b"answer now")
        settle(self.reactor, self.clients[-2])
        self.assertEqual((self.clients[-2].received, self.clients[-2].ended), (b"", False))

    def test_protocol_that_breaks_when_it_is_retired(self) -> None:
        """The error is logged, and its connection ends alone."""
        self.serve_replays()
        client = self.open_waiting()
        self.ask(client, GET)
        self.protocols[-1].broken = "retire"
        connections_of(self.pool)[-1].retire()
        self.turn_until(lambda: client.ended, client)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(len(self.pool.connections), 1)

    def test_retired_connection_that_cannot_have_a_protocol(self) -> None:
        """It ends at once."""
        self.serve_replays()
        client = self.open_waiting()
        self.factory.buildProtocol = lambda address: None
        connections_of(self.pool)[-1].retire()
        self.turn_until(lambda: client.ended, client)
        self.assertEqual(len(self.pool.connections), 1)

    def test_nothing_else_is_retired(self) -> None:
        """A connection whose answers are not repeated is its protocol's own; one that ends needs no other end."""
        self.connection.retire()
        self.send(b"it goes on")
        self.serve_replays()
        client = self.open_waiting()
        connection = connections_of(self.pool)[-1]
        connection.loseConnection()
        connection.retire()
        self.turn_until(lambda: client.ended, client)
        self.assert_made(0)

    def test_answers_of_another_store(self) -> None:
        """Connections with a protocol and without one repeat those of the new store once they have looked it up."""
        self.serve_replays()
        told, silent = self.open_waiting(), self.open_waiting()
        self.ask(told, GET)
        fresh = {False: Replay(), True: Replay()}
        self.protocol_class.replays = self.factory.replays = fresh  # type: ignore[attr-defined]
        self.assertEqual(self.ask(silent, GET), b"answer 1")
        self.replays = fresh
        self.store(GET, b"of the new store")
        self.pool.renew_answers()
        for client in (told, silent):
            self.assertEqual(self.ask(client, GET), b"of the new store")
        self.assert_made(1)
        self.assertFalse(self.connection.polls)

    def test_activity(self) -> None:
        """A connection is active from the time at which an answer was repeated to it."""
        self.serve_replays()
        client = self.open_waiting()
        connection = connections_of(self.pool)[-1]
        self.ask(client, GET)
        self.assertFalse(connection.is_active(0))
        self.reactor.advance(SWEEP_S)
        self.ask(client, GET)
        at = self.pool.now
        self.assertEqual((connection.is_active(at), connection.is_active(at + 1)), (True, False))

    def assert_last_answer_is_repeated(self, body: bytes) -> None:
        self.serve_replays(body=body)
        self.assert_ended_orderly(self.ask_for_the_last(self.open_waiting()), b"answer 1" + body)
        (answer,) = self.replays[self.connection.secure]._answers.values()
        self.assertTrue(answer.last)
        for _ in range(2):
            client = self.ask_for_the_last(self.open_waiting())
            self.reactor.settle()
            self.assert_ended_orderly(client, b"answer 1" + body)
        self.assert_made(1)
        # Without 'Connection: close' it is another question, and no last one.
        kept = self.open_waiting()
        kept.send(GET)
        self.turn_until(lambda: len(kept.received) == len(b"answer 2" + body), kept)
        settle(self.reactor, kept)
        self.assertFalse(kept.ended)

    def ask_for_the_last(self, client: Client) -> Client:
        client.send(CLOSING)
        return client

    def test_last_answer_is_repeated_with_the_end_behind_it(self) -> None:
        """Replay ends the connection behind the answer, as the protocol did behind the first."""
        self.assert_last_answer_is_repeated(b"")

    def test_last_answer_may_be_large(self) -> None:
        """The connection ends after the client has read the rest that the socket did not take at once."""
        self.serve_replays()
        self.store(CLOSING, LARGE, last=True)
        client = self.ask_for_the_last(self.open_waiting())
        self.reactor.settle()
        self.assertTrue(connections_of(self.pool)[-1]._unsent)
        self.assert_ended_orderly(client, LARGE)
        self.assert_made(0)

    def test_last_answer_in_several_records_is_repeated(self) -> None:
        """This is the largest answer that is stored from a protocol's writes: more is not held back as one piece."""
        self.assert_last_answer_is_repeated(LARGE[: WRITE_BYTES - 100])

    def test_nothing_is_read_behind_the_last_answer(self) -> None:
        """Neither replay nor a protocol reads further requests."""
        self.serve_replays()
        self.assert_ended_orderly(self.ask_for_the_last(self.open_waiting()), b"answer 1")
        client = self.ask_for_the_last(self.open_waiting())
        self.turn_until(lambda: client.ended, client)
        for question in (CLOSING, OTHER):
            client.send(question)
            self.reactor.settle()
        self.assert_ended_orderly(client, b"answer 1")
        self.assert_made(1)

    def test_last_answer_is_repeated_on_a_connection_with_a_protocol(self) -> None:
        """The protocol ends the connection then; also one that is a producer, which would otherwise keep it."""
        for protocol_class in (Answering, ProducingAnswering):
            self.serve_replays(protocol_class)
            self.assert_ended_orderly(self.ask_for_the_last(self.open_waiting()), b"answer 1")
            client = self.open_waiting()
            self.ask(client, GET)
            self.assert_ended_orderly(self.ask_for_the_last(client), b"answer 2answer 1")
            self.assert_made(2)
            lost = self.protocols[-1].lost
            assert lost is not None
            self.assertIsNotNone(lost.check(ConnectionDone, ConnectionLost))

    def test_large_last_answer_on_a_connection_with_a_protocol(self) -> None:
        """The end comes behind all of it there, too."""
        for protocol_class in (Answering, ProducingAnswering):
            self.serve_replays(protocol_class)
            self.store(CLOSING, LARGE, last=True)
            client = self.open_waiting()
            self.ask(client, GET)
            self.ask_for_the_last(client)
            self.reactor.settle()
            self.assert_ended_orderly(client, b"answer 1" + LARGE)

    def test_protocol_that_breaks_when_it_is_to_end(self) -> None:
        """The error is logged, and the connection ends."""
        self.serve_replays()
        self.store(CLOSING, b"last", last=True)
        client = self.open_waiting()
        self.ask(client, GET)
        protocol: Any = self.protocols[-1]
        protocol.loseConnection = lambda: 1 / 0
        self.ask_for_the_last(client)
        self.turn_until(lambda: client.ended, client)
        self.assertEqual(client.received, b"answer 1last")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_answers_with_tls_and_without_are_kept_apart(self) -> None:
        """An answer that is stored for one is not given over the other, and stays there."""
        self.serve_replays()
        here, there = self.replays[self.connection.secure], self.replays[not self.connection.secure]
        self.store(GET, b"not for you", there)
        for _ in range(2):
            self.assertEqual(self.ask(self.open_waiting(), GET), b"answer 1")
        self.assertEqual(self.ask(self.open_waiting(), OTHER), b"answer 2")
        self.assert_made(2)
        self.assertEqual([answer.data for answer in here._answers.values()], [b"answer 1", b"answer 2"])
        self.assertEqual([answer.data for answer in there._answers.values()], [b"not for you"])

    def test_connection_over_capacity_is_not_answered_by_replay(self) -> None:
        """Its protocol is there from the start, and has to say that there are too many."""
        self.port.stopListening()
        self.listening = make_pool(self.reactor, connections=1)
        self.pool = self.listening.pool
        self.port = self.listen()
        self.serve_replays()
        inside = self.open_waiting()
        for _ in range(2):
            self.assertEqual(self.ask(inside, GET), b"answer 1")
        self.assert_made(1)
        self.connect()
        self.assert_made(2)
        self.assertTrue(self.connection.over_capacity)
        for number in (2, 3):
            self.assertEqual(self.ask(self.client, GET), b"answer %d" % number)
        self.assertEqual(self.protocol.received, GET * 2)
        self.assertEqual(self.ask(inside, GET), b"answer 1")


class ConnectionContract(GroupContract, WritingContract, ReadingContract, ClosingContract, ReplayContract):
    """All of it."""

    __test__ = False
