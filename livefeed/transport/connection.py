"""One connection of the fast transport: what a Twisted protocol writes to. ``tls_connection`` has what TLS adds.

Rule: nothing here calls back into a protocol while that protocol is calling. Ends are put off until the pool has
handled a batch of events.
"""

from __future__ import annotations

from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from livefeed.transport.answer import MAX_ANSWER_BYTES, in_pieces
from livefeed.transport.connection_state import DRAINING, LOST, OPEN, WRITE_BYTES
from livefeed.transport.groups import ConnectionGroup, DirectGroup
from livefeed.transport.interfaces import IReplayed, IUpgrading
from livefeed.transport.reading import Reading
from livefeed.transport.rooms import Room
from livefeed.transport.sockets import send_to_all

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from livefeed.transport.answer import Answer
    from livefeed.transport.interfaces import AnswerStore, ReplayedProtocol

_BROKEN = EPOLLERR | EPOLLHUP


@implementer(ITCPTransport, IConsumer, IPushProducer)
class Connection(Reading):
    """A stream socket without TLS. It provides Twisted's ``ITCPTransport``, ``IConsumer`` and ``IPushProducer``.

    :param pool: holds the connection.
    :param sock: accepted, and not blocking.
    :param peer: the name of the other end, as ``socket.accept`` gives it.
    :param factory: makes the protocol, once there is something for it to do. If it is ``IReplayed``, then its protocols
        wait for the client to speak, and none is made for a request that is answered by replay.
    :ivar over_capacity: whether there were too many connections already, so that the client is to be told to come
        back.
    """

    secure = False

    __slots__ = ()

    @property
    def protocol(self) -> Any:
        """The protocol that is told of events; ``None`` before it is made and after the end. It can be replaced."""
        return self._protocol

    @protocol.setter
    def protocol(self, protocol: Any) -> None:
        self._protocol = protocol
        self._answers = self._store_of(protocol)
        self._at_boundary = False

    def getHandle(self) -> object:
        """ISystemHandle API."""
        return self.sock

    @staticmethod
    def make_group() -> ConnectionGroup[Any]:
        """Gives an empty group of connections of this class."""
        return DirectGroup(list, send_to_all)

    @staticmethod
    def write_to_all(connections: Sequence[Any], data: bytes) -> None:
        """Writes to connections of this class as :meth:`write_or_end` does to each."""
        for connection in connections:
            connection.write_or_end(data)

    # For the pool

    def start(self) -> None:
        """Begins: makes the protocol, unless it can wait until the client has spoken."""
        self._answers = self._store_of(self._factory)
        if self._answers is None:
            self._make_protocol()
        else:
            self._at_boundary = True
            self._update_can_send()
            self.set_deadline(self.pool.limits.idle_s)

    def retire(self) -> None:
        """Ends the connection with its next answer, which announces it. A request that waits is answered now.

        The protocol alone can announce it, so one is made, and nothing is repeated any more.
        """
        if self._state != OPEN or self._answers is None:
            return
        if self._room is not None:
            self._leave_room()
        if self._protocol is None:
            self._make_protocol()
        protocol = self._protocol
        if self._state != OPEN or protocol is None:
            return
        self._at_boundary = False
        self.set_deadline(self.pool.limits.idle_s)
        try:
            protocol.retire()
        except Exception:
            self._protocol_failed("retire")

    def renew_answers(self) -> None:
        """Looks its store of answers up again, which its factory has replaced."""
        if self._answers is not None:
            self._answers = self._store_of(self._factory if self._protocol is None else self._protocol)

    def is_active(self, since: float) -> bool:
        """Tells whether an answer was repeated to it since a time by the clock of the pool."""
        return self._active_at >= since

    def handle(self, events: int) -> None:
        """Handles events of epoll."""
        if events != EPOLLIN or self._tls_state:
            self._handle_other_events(events)
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
        if replay is not None and not self._unsent and (self._at_boundary or self._protocol.at_boundary()):  # type: ignore[union-attr]
            answer = replay.find(data)
            if answer is not None:
                self._at_boundary = True
                self._active_at = self.pool.now
                if answer.at_once:
                    self._send_or_keep(answer.data)
                    return
                self._send_answer(answer)
                return
            missed = replay.missed
            if missed is not None and self._state < DRAINING and replay.join(missed, self):
                return
        if self._state < DRAINING:
            self._deliver(data, missed)

    def _handle_other_events(self, events: int) -> None:
        """Handles events of epoll other than that data can be read."""
        if events & EPOLLIN:
            self.handle(EPOLLIN)
        elif events & _BROKEN:
            # Reading is paused, or has ended: the error is all that there is to know.
            self._connection_lost(Failure(ConnectionLost()))
            return
        if events & EPOLLOUT and self._state < LOST:
            self.writable()

    # Replay

    def _store_of(self, owner: object) -> AnswerStore | None:
        """Gives the store of the answers of a factory or a protocol; ``None`` if they must not be repeated here."""
        if self.over_capacity or not IReplayed.providedBy(owner):
            return None
        return owner.replays[self.secure]

    def _send_answer(self, answer: Answer) -> None:
        """Repeats an answer that is large, or the last, where there is nothing else to be sent."""
        if answer.body:
            self._send_or_keep_large(answer.data, answer.body)
        else:
            self._send_or_keep(answer.data)
        if answer.last:
            self._lose_connection_after_answer()

    def _lose_connection_after_answer(self) -> None:
        """Ends the connection after an answer that was repeated, as the protocol would have."""
        if self._protocol is None:
            self.loseConnection()
            return
        try:
            self._protocol.loseConnection()
        except Exception:
            self._protocol_failed("loseConnection")

    # The protocol

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
            self._update_can_send()
            protocol.makeConnection(self)
        except Exception:
            self._protocol_failed("connectionMade")

    def _deliver(self, data: bytes, key: bytes | None) -> None:
        """Hands data to the protocol, and sends the bytes that it writes meanwhile in one piece.

        :param data: received from the client.
        :param key: stores the answer for replay; ``None`` if it must not be stored.
        """
        self.pool.did_more = True
        begin = None
        if self._protocol is None:
            if key is None:
                begin = self._upgrade(data)
            if begin is None and self._state < LOST:
                self._make_protocol()
            if self._state >= LOST:
                return
        protocol, replay = self._protocol, self._answers
        assert protocol is not None
        self._at_boundary = False
        self._clear_can_send()
        self._corked = not self._unsent
        # One question is answered in one piece, which can be kept; of several the client has to read the answers first.
        self._cork_bytes = WRITE_BYTES if key is None else MAX_ANSWER_BYTES
        try:
            (begin or protocol.dataReceived)(data)
        except Exception:
            self._corked = False
            self._protocol_failed("dataReceived")
            return
        if self._corked:
            self._corked = False
            # If the connection ends, nothing but the answer has ended it.
            if key is not None and replay is not None and (replay is self._answers or self._state == DRAINING):
                self._store_or_open_room(protocol, replay, key, data)
            self._send_corked()
        self._update_can_send()
        if self._state != OPEN:
            self._shutdown_if_drained()

    def _upgrade(self, data: bytes) -> Callable[[bytes], object] | None:
        """Takes another protocol in place of the factory's; gives the function that begins it, or ``None`` for none."""
        # There is no protocol yet, so the data begins a request, and the connection is within the limit.
        if not IUpgrading.providedBy(self._factory):
            return None
        try:
            found = cast("IUpgrading", self._factory).upgrade(data, self.secure)
            if found is None:
                return None
            self._factory = None
            self.protocol, begin = found
            self.set_deadline(None)
            self.protocol.makeConnection(self)
        except Exception:
            self._protocol_failed("upgrade")
            return None
        return begin

    def _store_or_open_room(self, protocol: ReplayedProtocol, replay: AnswerStore, key: bytes, head: bytes) -> None:
        """Stores the answer to a request, if it may be repeated, or opens a room if the request waits."""
        if self._unsent:
            repeatable = protocol.replayable()
            if repeatable is not None:
                data, body = in_pieces(self._unsent)
                replay.store(key, data, repeatable, body=body, last=self._state == DRAINING)
        elif self._state < DRAINING:
            host = protocol.waits()
            if host is not None:
                host.room = Room(self.pool, replay, key, head, host)
                replay.open_room(host.room)

    def _leave_room(self) -> None:
        """Has the protocol handle the request that waits with others, and the data behind it, as if it were alone."""
        room, self._room = self._room, None
        if room is not None:
            pending = room.leave(self)
            self._deliver(room.head, None)
            if pending and self._state < LOST:
                self._deliver(pending, None)
