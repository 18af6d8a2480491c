"""One connection of the fast transport: what a Twisted protocol writes to. ``tls`` has what TLS adds.

Rules: what a protocol writes goes to the socket at once, and only what the socket does not take is kept; but what it
writes while it is given data goes in one piece. Nothing here calls back into a protocol while that protocol is
calling: ends are put off until the pool has handled a batch of events.

How a connection ends: ``loseConnection`` makes it ``disconnecting``; when all is sent, ``_end_orderly`` ends the
server's side and lingers for the client's. ``loseWriteConnection`` ends the server's side alone. All that fails, and
every end at last, comes to ``_end``, which keeps the reason and puts the connection on the pool's list; from there
``finish`` closes the socket and tells the protocol.
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from contextlib import suppress
from itertools import islice
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IPushProducer,
    ITCPTransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from livefeed.transport.answer import MAX_ANSWER_BYTES, in_pieces
from livefeed.transport.interfaces import IDeadlineListener, IReplayed
from livefeed.transport.rooms import Room
from livefeed.transport.sockets import StreamSocket

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from twisted.internet.interfaces import IProducer, IProtocolFactory

    from livefeed.transport.answer import Answer
    from livefeed.transport.interfaces import AnswerStore, ConnectionPool, ReplayedProtocol, WaitingRoom, Writable

READ_BYTES = 16_384
WRITE_BYTES = 65_536
LINGER_S = 2.0
"""How long a client may take to end its side, once the server has ended its own. Closing with unread data would be a
reset, which can reach the client before the answer does (RFC 9112, 9.6)."""

SEND_TIMEOUT_S = 300.0
"""How long a client may take to read what is still to be sent before the end."""

_BROKEN = EPOLLERR | EPOLLHUP
_RESET = struct.pack("ii", 1, 0)


W = TypeVar("W", bound="Writable")


class ConnectionGroup(Generic[W]):
    """Connections of one class that are written the same, again and again; what breaks one ends that one alone."""

    __slots__ = ("_singly",)

    def __init__(self) -> None:
        self._singly: list[W] = []  # those that are written to by their own methods

    def add(self, connection: W) -> None:
        """Lets a connection join."""
        self._singly.append(connection)

    def discard(self, connection: W) -> None:
        """Lets a connection go that has joined."""
        self._singly.remove(connection)

    def write(self, data: bytes) -> None:
        """Writes to each as its ``write`` would.

        What is called meanwhile, such as a producer that is to pause, may do so to its own connection alone.
        """
        for connection in tuple(self._singly):
            connection.write_or_end(data)


@implementer(ITCPTransport, IConsumer, IPushProducer)
class Connection(StreamSocket):
    """A stream socket without TLS. It provides Twisted's ``ITCPTransport``, ``IConsumer`` and ``IPushProducer``.

    :param pool: what holds the connection.
    :param sock: accepted, and not blocking.
    :param factory: makes the protocol, once there is something for it to do. If it has ``replays``, then its
        protocols wait for the client to speak, and none is made for a request that is answered by replay.
    :ivar over_capacity: whether there were too many connections already, so that the client is to be told to come
        back.
    :ivar protocol: what is told of what happens here. Another can take its place at any time. If it has ``replays``,
        the :class:`livefeed.web.replay.Replay` without TLS (``False``) and with it (``True``), then it has
        ``at_boundary``, ``replayable``, ``waits`` and ``loseConnection``, too.
    """

    secure = False

    # Python puts them one behind the other in the order of the alphabet, and the hot path needs nothing behind _handle.
    # With thousands of connections none of this is in a cache: each line of memory that is touched costs like a call.
    __slots__ = (
        "__weakref__",
        "_active_at",
        "_answers",
        "_at_boundary",
        "_clear",
        "_cork_bytes",
        "_corked",
        "_factory",
        "_handle",
        "_lingering",
        "_mask",
        "_offset",
        "_out",
        "_producer",
        "_producer_paused",
        "_protocol",
        "_read_ended",
        "_reason",
        "_room",
        "_streaming",
        "_unusual",
        "_write_ended",
        "_write_ending",
        "connected",
        "disconnecting",
        "fd",
        "over_capacity",
        "pool",
    )

    def __init__(self, pool: ConnectionPool, sock: socket.socket, factory: IProtocolFactory) -> None:
        self.pool = pool
        self.over_capacity = False
        self._factory: IProtocolFactory | None = factory
        self.sock = sock
        self.fd = sock.fileno()
        self.connected = True
        self.disconnecting = False
        # Only the methods of IProtocol may be called on it while _answers is None.
        self._protocol: ReplayedProtocol | None = None
        self._answers: AnswerStore | None = None  # what may be given again
        self._active_at = float("-inf")  # when an answer was last given again
        self._out: deque[bytes] | tuple[()] = ()  # a deque only while there is something in it: it takes 600 bytes
        self._offset = 0  # how much of the first of _out is sent
        self._corked = False
        # Whether what is written goes straight to the socket. It may be false where it could be true, and never the
        # other way round. After the start it is set to false by _set_unclear alone, which tells others that rely on it.
        self._clear = False
        self._handle: Any = sock  # what _send writes to
        self._mask = EPOLLIN
        self._producer: Any = None
        self._streaming = False
        self._producer_paused = False
        self._cork_bytes = 0  # how much may still be written while it is corked
        self._lingering = False
        self._read_ended = False
        self._write_ending = False
        self._write_ended = False
        self._at_boundary = False  # whether the next byte begins a request, for all that is known without asking
        self._unusual = False  # what epoll says is not simply to be read or written
        self._reason: Failure | None = None
        self._room: WaitingRoom | None = None  # in which its request waits

    # What the protocol calls: ITransport and its kin

    @property
    def protocol(self) -> Any:
        """The protocol that is told of events; ``None`` before it is made and after the end."""
        return self._protocol

    @protocol.setter
    def protocol(self, protocol: Any) -> None:
        self._protocol = protocol
        self._answers = self._store_of(protocol)
        self._at_boundary = False

    @property
    def unsent_bytes(self) -> int:
        """How much of what was written the socket has not taken."""
        return sum(map(len, self._out)) - self._offset

    def write(self, data: bytes) -> None:
        """ITransport API."""
        if not self._clear:
            self._write_later(data)
        elif data:
            sent = self._send(data)
            if sent != len(data):
                self._keep(data, sent)

    @staticmethod
    def make_multicast() -> ConnectionGroup[Any]:
        """Gives a group of connections of this class, with nobody in it yet."""
        return ConnectionGroup()

    @staticmethod
    def write_to_all(connections: Sequence[Any], data: bytes) -> None:
        """Writes to connections of this class as :meth:`write_or_end` does to each."""
        for connection in connections:
            connection.write_or_end(data)

    def write_or_end(self, data: bytes, sent: int = 0) -> None:
        """Writes as one of many: what breaks ends this connection, and is not raised.

        :param sent: how much of it the socket has taken already.
        """
        try:
            if sent > 0:
                self._keep(data, sent)
            else:
                self.write(data)
        except Exception:
            self._broke("write")

    def write_large_or_end(self, head: bytes, body: bytes) -> None:
        """Writes a head and a large body as :meth:`write_or_end` does, and copies nothing of what it has to keep."""
        try:
            if self._clear:
                self._transmit_large(head, body)
            else:
                self.write(head)
                self.write(body)
        except Exception:
            self._broke("write")

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """ITransport API."""
        self.write(b"".join(iovec))

    def loseConnection(self) -> None:
        """ITransport API. All data written before is sent first."""
        if self.connected and not self.disconnecting:
            self.disconnecting = True
            if self._room is not None:
                self._room.leave(self)
            self._set_unclear()
            self._answers = None
            self.set_deadline(SEND_TIMEOUT_S)
            self._go_on_ending()

    def loseWriteConnection(self) -> None:
        """ITCPTransport API."""
        if self.connected and not self._write_ending and not self.disconnecting:
            self._write_ending = True
            self._set_unclear()
            self._answers = None
            self._go_on_ending()

    def abortConnection(self) -> None:
        """ITCPTransport API. The client is sent a reset, and nothing that was not sent yet."""
        if self.connected and self._reason is None:
            self.disconnecting = True
            self._out = ()
            with suppress(OSError):  # it may be gone already
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._end(Failure(ConnectionAborted()))

    def set_deadline(self, seconds: float | None) -> None:
        """Sets when the protocol's ``timeoutConnection`` is called, or the connection aborted where there is none.

        :param seconds: from the pool's last sweep, with its grain; ``None`` for never.
        """
        if seconds is None:
            self.pool.deadlines.pop(self, None)
        elif self.connected:
            self.pool.deadlines[self] = self.pool.now + seconds

    def getHandle(self) -> object:
        """ISystemHandle API."""
        return self.sock

    # IPushProducer: what comes in

    def pauseProducing(self) -> None:
        """IPushProducer API."""
        self._watch(self._mask & ~EPOLLIN)

    def resumeProducing(self) -> None:
        """IPushProducer API."""
        if self.connected and not self._read_ended:
            self._watch(self._mask | EPOLLIN)

    def stopProducing(self) -> None:
        """IPushProducer API."""
        self.loseConnection()

    # IConsumer: what goes out

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """IConsumer API."""
        if self._producer is not None:
            raise RuntimeError(f"{producer} cannot be registered: {self._producer} still is")
        if not self.connected or self._reason is not None:
            producer.stopProducing()
            return
        self._producer = producer
        self._streaming = streaming
        self._producer_paused = False
        if not streaming:
            # It is asked for more each time that the socket can take more, from the pool.
            self._watch(self._mask | EPOLLOUT)
        elif self._out and not self._corked:
            self._full()

    def unregisterProducer(self) -> None:
        """IConsumer API."""
        self._producer = None
        if not self._out:
            self._watch(self._mask & ~EPOLLOUT)
        if self.disconnecting or self._write_ending:
            self._go_on_ending()

    # What the pool calls

    def start(self) -> None:
        """Begins: makes the protocol, unless it can wait until the client has spoken."""
        self._answers = self._store_of(self._factory)
        if self._answers is None:
            self._make_protocol()
        else:
            self._at_boundary = True
            self._set_clear()
            self.set_deadline(self.pool.limits.idle_s)

    def handle(self, events: int) -> None:
        """Takes what epoll says of the socket."""
        if events != EPOLLIN or self._unusual:
            self._handle_others(events)
            return
        data = self._receive()
        if data is None:
            return
        if self._room is not None:
            self._room.keep(self, data)
            return
        replay = self._answers
        missed = None
        # After a replayed answer the protocol is where it was: it need not be asked, which takes 0.2 µs.
        if replay is not None and not self._out and (self._at_boundary or self._protocol.at_boundary()):  # type: ignore[union-attr]
            answer = replay.find(data)
            if answer is not None:
                self._at_boundary = True
                self._active_at = self.pool.now
                if answer.at_once:
                    self._transmit(answer.data)
                    return
                self._give(answer)
                return
            missed = replay.missed
        if not self.disconnecting:
            self._deliver(data, missed)

    def end_if_idle(self) -> None:
        """Ends a connection on which nothing is under way that a protocol would know of."""
        if self._protocol is None and self._room is None and not self.disconnecting:
            self.loseConnection()

    def writable(self) -> None:
        """Sends what is still to be sent."""
        if not self._drain():
            return
        self._set_clear()
        if self._producer is None or self._streaming:
            self._watch(self._mask & ~EPOLLOUT)
        if self._producer is not None and (self._producer_paused or not self._streaming):
            self._producer_paused = False
            self.pool.did_more = True
            try:
                self._producer.resumeProducing()
            except Exception:
                self._broke("resumeProducing")
        elif self.disconnecting or self._write_ending:
            self._go_on_ending()

    def expire(self) -> None:
        """Takes note that the deadline has passed."""
        idle_until = self._active_at + self.pool.limits.idle_s
        if self._at_boundary and idle_until > self.pool.now and not self.disconnecting:
            self.pool.deadlines[self] = idle_until
            return
        if self._room is not None:
            # Waiting is no idleness. To set the deadline when it begins and ends would cost each more than this.
            self.set_deadline(self.pool.limits.idle_s)
            return
        self.set_deadline(None)
        if self._lingering:
            # Orderly: the kernel goes on sending what it has, which a reset would discard.
            self._end(Failure(ConnectionDone()))
            return
        if self._protocol is None and self._at_boundary and not self.disconnecting:
            self.loseConnection()
            return
        if self.disconnecting or not IDeadlineListener.providedBy(self._protocol):
            self.abortConnection()
            return
        try:
            cast("IDeadlineListener", self._protocol).timeoutConnection()
        except Exception:
            self._broke("timeoutConnection")

    def finish(self) -> None:
        """Ends the connection, and tells the protocol why."""
        reason, self._reason = self._reason, None
        if not self.connected or reason is None:
            return
        self.connected = False
        self._answers = None
        self._out = ()
        self.sock.close()
        self._stop_producer()
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            try:
                protocol.connectionLost(reason)
            except Exception:
                self.pool.log_failure("connectionLost", protocol)

    # What subclasses have of their own

    def _receive(self) -> bytes | None:
        """Gives what there is to be read; ``None`` if there is nothing, and what that means has been seen to."""
        try:
            data = self.sock.recv(READ_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            self._failed(error)
            return None
        if not data:
            self._read_end()
            return None
        return data

    def _send(self, data: bytes) -> int:
        """Sends some of the data, and tells how much; all of it if the connection is lost, which is then seen to."""
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._failed(error)
            return len(data)

    def _handle_others(self, events: int) -> None:
        """Takes what epoll says where it is not simply that there is something to read."""
        if events & EPOLLIN:
            self.handle(EPOLLIN)
        elif events & _BROKEN:
            # Reading is paused, or has ended: the error is all that there is to know.
            self._end(Failure(ConnectionLost()))
            return
        if events & EPOLLOUT and self._reason is None:
            self.writable()

    def _send_both(self, head: bytes, body: bytes) -> int:
        """Sends as :meth:`_send` does of two pieces, and tells how much of both."""
        try:
            return self.sock.sendmsg((head, body))
        except BlockingIOError:
            return 0
        except OSError as error:
            self._failed(error)
            return 0

    def _end_orderly(self) -> None:
        """Ends both sides, after all has been sent: says the last word, and waits a while for the client's."""
        self._end_writing()
        if self._read_ended:
            self._end(Failure(ConnectionDone()))
        elif self._reason is None and not self._lingering:
            self._lingering = True
            self.set_deadline(LINGER_S)
            self._watch(self._mask | EPOLLIN)

    def _end_writing(self) -> None:
        """Ends the server's side, after all has been sent."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._failed(error)

    # Inside

    def _store_of(self, owner: object) -> AnswerStore | None:
        """Gives the store of the answers of a factory or a protocol; ``None`` if they must not be repeated here."""
        if self.over_capacity or not IReplayed.providedBy(owner):
            return None
        return owner.replays[self.secure]

    def _make_protocol(self) -> None:
        """Makes the protocol, and tells it of the connection."""
        try:
            factory, self._factory = self._factory, None
            assert factory is not None
            protocol = factory.buildProtocol(self.getPeer())
            if protocol is None:
                self.abortConnection()
                return
            self.protocol = protocol
            self.set_deadline(None)
            self._set_clear()
            protocol.makeConnection(self)
        except Exception:
            self._broke("connectionMade")

    def _give(self, answer: Answer) -> None:
        """Gives an answer again that is large, or the last, where there is nothing else to be sent."""
        if answer.body:
            self._transmit_large(answer.data, answer.body)
        else:
            self._transmit(answer.data)
        if answer.last:
            self._end_after_answer()

    def _end_after_answer(self) -> None:
        """Ends the connection after an answer that was repeated, as the protocol would have."""
        if self._protocol is None:
            self.loseConnection()
            return
        try:
            self._protocol.loseConnection()
        except Exception:
            self._broke("loseConnection")

    def _deliver(self, data: bytes, key: bytes | None) -> None:
        """Hands data to the protocol, and sends what it writes in one piece; stores that for replay under a key."""
        self.pool.did_more = True
        replay = self._answers
        if key is not None and replay is not None and replay.join(key, self):
            return
        if self._protocol is None:
            self._make_protocol()
            if self._reason is not None:
                return
        protocol, replay = self._protocol, self._answers
        assert protocol is not None
        self._at_boundary = False
        self._set_unclear()
        self._corked = not self._out
        # One question is answered in one piece, which can be kept; of several the client has to read the answers first.
        self._cork_bytes = WRITE_BYTES if key is None else MAX_ANSWER_BYTES
        try:
            protocol.dataReceived(data)
        except Exception:
            self._corked = False
            self._broke("dataReceived")
            return
        if self._corked:
            self._corked = False
            # Nothing but the answer has ended the connection, if it has.
            if key is not None and replay is not None and (replay is self._answers or self.disconnecting):
                self._note(protocol, replay, key, data)
            self._flush_corked()
        self._set_clear()
        if (self.disconnecting or self._write_ending) and self._reason is None:
            self._go_on_ending()

    def _note(self, protocol: ReplayedProtocol, replay: AnswerStore, key: bytes, head: bytes) -> None:
        """Stores the answer to a request, if it may be given again, or lets others wait for it."""
        if self._out:
            repeatable = protocol.replayable()
            if repeatable is not None:
                data, body = in_pieces(self._out)
                replay.store(key, data, repeatable, body=body, last=self.disconnecting)
        elif not self.disconnecting:
            host = protocol.waits()
            if host is not None:
                host.room = Room(self.pool, replay, key, head, host)
                replay.open_room(host.room)

    def _leave_room(self) -> None:
        """Has the protocol handle the request that waits with others, and what was sent after it, as if by itself."""
        room, self._room = self._room, None
        if room is not None:
            pending = room.leave(self)
            self._deliver(room.head, None)
            if pending and self._reason is None:
                self._deliver(pending, None)

    def _set_clear(self) -> None:
        """Finds out whether what is written may go straight to the socket."""
        waits = self._corked or self._out
        ends = self._write_ending or self.disconnecting or self._reason is not None or not self.connected
        if waits or ends:
            self._set_unclear()
        else:
            self._clear = True

    def _set_unclear(self) -> None:
        """Sees to it that nothing goes straight to the socket."""
        self._clear = False

    def _write_later(self, data: bytes) -> None:
        """Takes what is written while it is not clear that it can go to the socket."""
        if self._write_ending or self._reason is not None or not self.connected or not data:
            return
        if self.disconnecting and self._producer is None:
            return
        if not self._corked and not self._out:
            self._transmit(data)
            return
        self._put(data)
        self._cork_bytes -= len(data)
        if not self._corked:
            self._full()
        elif self._cork_bytes < 0:
            self._corked = False
            self._flush_corked()

    def _flush_corked(self) -> None:
        """Sends what was written while the protocol was called."""
        if self._out and not self._drain() and self._reason is None:
            self._full()

    def _transmit(self, data: bytes) -> None:
        """Sends data, before which there is nothing to be sent."""
        sent = self._send(data)
        if sent != len(data):
            self._keep(data, sent)

    def _keep(self, data: bytes, sent: int, body: bytes = b"") -> None:
        """Keeps what the socket has not taken of data, before which there is nothing to be sent, and a body behind."""
        self._set_unclear()
        self._put(data)
        if body:
            self._put(body)
        self._offset = sent
        # OpenSSL takes one record at a time: more of it may be taken.
        if sent and self._drain():
            self._set_clear()
        elif self._reason is None:
            self._full()

    def _transmit_large(self, head: bytes, body: bytes) -> None:
        """Sends a head and a large body, before which there is nothing to be sent.

        What a slow reader has kept for it is the body that all have: it is never joined with the head.
        """
        sent = self._send_both(head, body)
        if sent == len(head) + len(body) or self._reason is not None:
            return
        if sent < len(head):
            self._keep(head, sent, body)
        else:
            self._keep(body, sent - len(head))

    def _put(self, data: bytes) -> None:
        """Puts data behind what is kept already."""
        if isinstance(self._out, tuple):
            self._out = deque()
        self._out.append(data)

    def _drain(self) -> bool:
        """Sends what was kept, and tells whether that was all."""
        out = self._out
        while out:
            data = out[0][self._offset : self._offset + WRITE_BYTES]
            if len(data) < READ_BYTES and len(out) > 1:
                data = self._record(data)
            sent = self._send(data)
            if not sent or self._reason is not None:
                return False
            self._offset += sent
            while out and self._offset >= len(out[0]):
                self._offset -= len(out.popleft())
        self._out = ()
        return True

    def _record(self, data: bytes) -> bytes:
        """Gives as much of what was kept as goes into one record, from its first part on.

        The parts stay as they are: what is large is everybody's, and a slow reader is to have no copy of it.
        """
        parts, room = [data], READ_BYTES - len(data)
        for part in islice(self._out, 1, None):
            parts.append(part[:room])
            room -= len(parts[-1])
            if not room:
                break
        return b"".join(parts)

    def _full(self) -> None:
        """Waits for the socket to take more, and asks the producer to wait, too."""
        self._watch(self._mask | EPOLLOUT)
        if self._producer is not None and self._streaming and not self._producer_paused:
            self._producer_paused = True
            self._producer.pauseProducing()

    def _go_on_ending(self) -> None:
        """Ends what is to be ended, if all has been sent; after the end its descriptor may be another connection's."""
        if self._corked or self._out or self._producer is not None or self._reason is not None or not self.connected:
            return
        if self.disconnecting:
            self._end_orderly()
        elif self._write_ending and not self._write_ended:
            self._write_ended = True
            self._end_writing()
            if IHalfCloseableProtocol.providedBy(self._protocol):
                self._protocol.writeConnectionLost()

    def _read_end(self) -> None:
        """Takes note that the client sends no more."""
        if self._room is not None:
            # Whether a client that sends no more is still answered is the protocol's to say.
            self._leave_room()
            if self._reason is not None:
                return
        self._read_ended = True
        self._watch(self._mask & ~EPOLLIN)
        if IHalfCloseableProtocol.providedBy(self._protocol) and not self.disconnecting:
            try:
                self._protocol.readConnectionLost()
            except Exception:
                self._broke("readConnectionLost")
        elif self._out:
            # A client that only listens is still sent the data written before, and nothing more.
            self.disconnecting = True
            self._set_unclear()
            self.set_deadline(SEND_TIMEOUT_S)
            self._stop_producer()
        elif self._protocol is None:
            self.loseConnection()
        else:
            self._end(Failure(ConnectionDone()))

    def _stop_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                producer.stopProducing()
            except Exception:
                self.pool.log_failure("stopProducing", producer)

    def _failed(self, error: OSError) -> None:
        self._end(Failure(ConnectionLost(error.strerror) if error.strerror else ConnectionLost()))

    def _broke(self, where: str) -> None:
        """Takes note of an exception of the protocol's: it is logged, and the connection is ended."""
        failure = Failure()
        self.pool.log_failure(where, self._protocol)
        self._end(failure)

    def _end(self, reason: Failure) -> None:
        """Puts the connection on the pool's list of those that end."""
        if self.connected and self._reason is None:
            self._reason = reason
            if self._room is not None:
                self._room.leave(self)
            self._set_unclear()
            self.pool.end(self)

    def _watch(self, mask: int) -> None:
        if mask != self._mask and self.connected and self._reason is None:
            self._mask = mask
            self.pool.watch(self.fd, mask)
