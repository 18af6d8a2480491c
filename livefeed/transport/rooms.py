"""Connections whose requests wait for the same answer: it is rendered once, and written to all of them in a row.

Rules: this module has no opinion about HTTP. The requests of a room differ in nothing that their answers depend on, as
:mod:`livefeed.web.replay` decides. The first request waits in its protocol; later ones wait here, and have neither a
protocol nor a request of their own. Data that a client sends meanwhile is neither lost nor handled out of turn.
"""
# ruff: noqa: SLF001 - a room and its connections are one thing.

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from twisted.logger import Logger

if TYPE_CHECKING:
    from collections.abc import Hashable

    from twisted.internet.interfaces import IDelayedCall

    from livefeed.transport.answer import Answer
    from livefeed.transport.interfaces import (
        AnswerStore,
        ConnectionPool,
        Host,
        RoomMember,
        TimedReactor,
        WaitingRoom,
    )

SLICE = 256
"""Upper limit of the requests that one turn of the reactor answers: 4 ms of work."""

SLICE_S = 0.01
"""Seconds after which a turn ends even with fewer requests."""

BATCH = 32
"""Connections that are written to between two looks at the clock."""

ANSWER_INTERVAL_S = 0.25
"""Least number of seconds between two answers that a room gives since time is over: each has to be rendered.

It is also the longest delay of such an answer, so the longest wait must leave room for it (``MAX_WAIT_S`` of
:mod:`livefeed.web.negotiation`).
"""

MAX_PENDING_BYTES = 16_384
"""Bytes that a client may send while its request waits before reading pauses, as in twisted.web. The last read can
make it nearly twice as many."""

_log = Logger()


@dataclass(slots=True, eq=False)
class Room:
    """Connections whose requests wait for the same answer.

    :param pool: holds the connections.
    :param replay: the store of answers, which lets requests in.
    :param key: the key of the first request.
    :param head: the head of the first request, as it was sent.
    :param host: the object that the requests wait for.
    :ivar other_keys: the keys of further requests that the store lets in (a dict, since a set has no order).
    :ivar place: the place where the store finds the room for further keys; ``None`` if it does not.
    :ivar members: the connections, and the reactor's time at which each has waited long enough. All wait equally long,
        so they are in the order of these times.
    """

    # required parameters
    pool: ConnectionPool
    replay: AnswerStore
    key: bytes
    head: bytes
    host: Host

    # internal state
    other_keys: dict[bytes, None] = field(default_factory=dict)
    place: tuple[bytes, Hashable] | None = None
    members: dict[RoomMember, float] = field(default_factory=dict)
    _pending: dict[RoomMember, bytearray] = field(default_factory=dict)  # data that clients sent meanwhile
    _due: float = -inf  # members whose time is over by then are to be answered
    _timer: IDelayedCall | None = None
    _answer: Answer | None = None
    _generation: int = -1  # of the store when the answer was rendered

    def join(self, connection: RoomMember) -> bool:
        """Takes a connection whose client sent this room's request. Returns whether it did."""
        if not self.host.admit():
            return False
        self.members[connection] = self.pool.reactor.seconds() + self.host.wait_s
        connection._room = self
        connection._at_boundary = False
        if self._timer is None:
            self._timer = self.pool.reactor.callLater(self.host.wait_s, self._expire)
        return True

    def leave(self, connection: RoomMember) -> bytes:
        """Lets a connection go, and gives the data that its client sent after its request."""
        connection._room = None
        self.members.pop(connection, None)
        self.host.let_go(1)
        self.close_if_over()
        return bytes(self._pending.pop(connection, b""))

    def keep(self, connection: RoomMember, data: bytes) -> None:
        """Keeps data that a client sends while its request waits, and pauses reading at :data:`MAX_PENDING_BYTES`."""
        pending = self._pending.setdefault(connection, bytearray())
        pending += data
        if len(pending) >= MAX_PENDING_BYTES:
            connection.pauseProducing()

    def answer_all(self) -> None:
        """Answers all requests that wait now: a slice of them at once, and the others in the next turns."""
        self._due = inf
        self.pool.turns.add(self)

    def answer_at_once(self) -> None:
        """Answers all requests that wait now in this turn, with a new answer, since their host ends."""
        self._due = inf
        self._answer = None
        while self.answer_some(BATCH):
            pass

    def abort_all(self) -> None:
        """Aborts the connections of all requests that wait now, without an answer."""
        for connection in tuple(self.members):
            connection.abortConnection()

    def answer_some(self, most: int) -> int:
        """Answers some of the requests that are due. Returns their number; 0 if none is due."""
        batch: list[RoomMember] = []
        for connection, end in self.members.items():
            if end > self._due or len(batch) == most:
                break
            batch.append(connection)
        if not batch:
            self._rest()
            return 0
        now = self.pool.now
        for connection in batch:
            del self.members[connection]
            connection._room = None
            # The protocol, if there is one, has not seen the request.
            connection._at_boundary = True
            connection._active_at = now
        try:
            self._answer_batch(batch)
        except Exception:
            # It is not known which requests were answered, and nothing would answer the others later.
            _log.failure("requests that waited could not be answered: their connections are aborted")
            for connection in batch:
                connection.abortConnection()
        return len(batch)

    def _answer_batch(self, batch: list[RoomMember]) -> None:
        """Answers requests of connections that have left the room."""
        self.host.let_go(len(batch))
        answer = self._rendered()
        pending = self._pending_data(batch) if self._pending else ()
        if answer is None:
            for connection in batch:
                connection.abortConnection()
        else:
            self.replay.answered(answer, self.head, batch)
            self._write(batch, answer)
        for connection, data in pending:
            if not connection.disconnecting:
                connection._deliver(data, None)

    def _rendered(self) -> Answer | None:
        """Gives the answer. It is rendered anew after each time that the store has forgotten its answers."""
        if self._answer is None or self._generation != self.replay.generation:
            self._generation = self.replay.generation
            self._answer = self.host.render(self.head)
        return self._answer

    def _pending_data(self, batch: list[RoomMember]) -> list[tuple[RoomMember, bytes]]:
        """Gives the data that clients sent while their requests waited, and resumes reading before they are answered.

        In this order, a client that does not take the answer is not read from afterwards.
        """
        pending = [(each, bytes(self._pending.pop(each))) for each in batch if each in self._pending]
        for connection, _ in pending:
            connection.resumeProducing()
        return pending

    @staticmethod
    def _write(batch: list[RoomMember], answer: Answer) -> None:
        if answer.body:
            for connection in batch:
                connection.write_large_or_end(answer.data, answer.body)
        else:
            batch[0].write_to_all(batch, answer.data)
        if answer.last:
            for connection in batch:
                connection._lose_connection_after_answer()

    def _expire(self) -> None:
        """Handles that the time of the first request is over."""
        self._timer = None
        self._due = max(self._due, self.pool.reactor.seconds())
        self.pool.turns.add(self)

    def _rest(self) -> None:
        """Handles that no request is due any more."""
        self._answer = None
        self._due = -inf
        if self.members and self._timer is None:
            # It is never early, and one answer serves requests that arrived shortly after each other.
            left_s = next(iter(self.members.values())) - self.pool.reactor.seconds()
            self._timer = self.pool.reactor.callLater(max(left_s, ANSWER_INTERVAL_S), self._expire)
        self.close_if_over()

    def close_if_over(self) -> None:
        """Closes the room if it is empty and its first request does not wait any more."""
        if self.members:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.host.leads:
            self.replay.close_room(self)
            self.host.close()


@dataclass(slots=True, eq=False)
class Turns:
    """Answers whole rooms, a slice at a time, so that other connections are served in between.

    :param reactor: tells the time, and calls later.
    """

    # required parameters
    reactor: TimedReactor

    # internal state
    _rooms: deque[WaitingRoom] = field(default_factory=deque)
    _call: IDelayedCall | None = None
    _in_turn: bool = False

    def add(self, room: WaitingRoom) -> None:
        """Queues a room, unless it is queued already."""
        if room not in self._rooms:
            self._rooms.append(room)
        if self._call is None and not self._in_turn:
            self._go_on()

    def _go_on(self) -> None:
        self._call = None
        self._in_turn = True
        left, end = SLICE, self.reactor.seconds() + SLICE_S
        while self._rooms and left > 0:
            room = self._rooms[0]
            try:
                count = room.answer_some(min(left, BATCH))
            except Exception:
                _log.failure("requests that waited could not be answered")
                # An empty room gets no other turn: the same exception would be raised again, for ever.
                count = 1 if room.members else 0
            if not count:
                self._rooms.popleft()
            left -= max(count, 1)
            if self.reactor.seconds() > end:
                break
        self._in_turn = False
        if self._rooms:
            self._call = self.reactor.callLater(0, self._go_on)
