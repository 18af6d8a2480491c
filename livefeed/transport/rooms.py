"""Connections whose requests wait for the same answer: it is rendered once, and written to all of them in a row.

Rules: this file has no opinion about HTTP. A room is for requests that differ in nothing that their answers depend on,
as :mod:`livefeed.web.replay` tells. The first of them its protocol keeps waiting; those that come later wait
here, and have neither a protocol nor a request of their own. Nothing that a client sends meanwhile is lost or handled
out of turn.
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
"""The requests that are answered in one turn of the reactor at most: 4 ms of work."""

SLICE_S = 0.01
"""Seconds after which the turn ends all the same."""

BATCH = 32
"""Connections that are written to without a look at the clock."""

GRAIN_S = 0.25
"""Seconds from one answer by time in a room to the next, at least: each has to be rendered.

A request is answered so much later than its time at most. The longest wait must leave room for it (``MAX_WAIT_S`` of
:mod:`livefeed.delivery.long_polls`).
"""

MAX_PENDING_BYTES = 16_384
"""Once a client has sent so many bytes while it waits, no more is read from it, as twisted.web has it. The last read
can make it nearly two times as many."""

_log = Logger()


@dataclass(slots=True, eq=False)
class Room:
    """Connections that wait for the same.

    :ivar key: that of the first request, which was sent as this head.
    :ivar other_keys: those of others that were let in (a dict, since a set has no order).
    :ivar place: what the replay finds the room by for further keys; ``None`` if it does not.
    :ivar members: these, and when their time is over. All wait equally long, so the first to come is the first to go.
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
    _pending: dict[RoomMember, bytearray] = field(default_factory=dict)  # what was sent meanwhile
    _due: float = -inf  # those whose time is over by then are to be answered
    _timer: IDelayedCall | None = None
    _answer: Answer | None = None
    _generation: int = -1  # the answers' age, as the replay counts it

    def join(self, connection: RoomMember) -> bool:
        """Takes a connection that was sent this room's request, and tells whether it did."""
        if not self.host.admit():
            return False
        self.members[connection] = self.pool.reactor.seconds() + self.host.wait_s
        connection._room = self
        connection._at_boundary = False
        if self._timer is None:
            self._timer = self.pool.reactor.callLater(self.host.wait_s, self._expire)
        return True

    def leave(self, connection: RoomMember) -> bytes:
        """Lets a connection go, and gives what its client has sent since its request."""
        connection._room = None
        self.members.pop(connection, None)
        self.host.let_go(1)
        self.close_if_over()
        return bytes(self._pending.pop(connection, b""))

    def keep(self, connection: RoomMember, data: bytes) -> None:
        """Keeps what a client sends while it waits, and reads no more of it once that is much."""
        pending = self._pending.setdefault(connection, bytearray())
        pending += data
        if len(pending) >= MAX_PENDING_BYTES:
            connection.pauseProducing()

    def answer_all(self) -> None:
        """Has all be answered that wait now, a slice of them at once, and the others in the next turns."""
        self._due = inf
        self.pool.turns.add(self)

    def answer_at_once(self) -> None:
        """Answers all that wait now, with an answer of their own, since their host is at its end."""
        self._due = inf
        self._answer = None
        while self.answer_some(BATCH):
            pass

    def abort_all(self) -> None:
        """Ends the connections of all that wait now, without an answer."""
        for connection in tuple(self.members):
            connection.abortConnection()

    def answer_some(self, most: int) -> int:
        """Answers some of those that are to be answered, and tells how many; 0 if there are none left."""
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
            # The protocol, if there is one, is where it was before the request.
            connection._at_boundary = True
            connection._active_at = now
        try:
            self._answer_batch(batch)
        except Exception:
            # Who has been answered is not known, and nobody else would answer the others.
            _log.failure("answering requests that waited broke: their connections are ended")
            for connection in batch:
                connection.abortConnection()
        return len(batch)

    def _answer_batch(self, batch: list[RoomMember]) -> None:
        """Answers some that have left the room."""
        self.host.let_go(len(batch))
        answer = self._rendered()
        said = self._said(batch) if self._pending else ()
        if answer is None:
            for connection in batch:
                connection.abortConnection()
        else:
            self.replay.count(answer.label, len(batch))
            self._write(batch, answer)
        for connection, data in said:
            if not connection.disconnecting:
                connection._deliver(data, None)

    def _rendered(self) -> Answer | None:
        """Gives the answer, which is rendered anew when there is another version or state, or a moment has passed."""
        if self._answer is None or self._generation != self.replay.generation:
            self._generation = self.replay.generation
            self._answer = self.host.render(self.head)
        return self._answer

    def _said(self, batch: list[RoomMember]) -> list[tuple[RoomMember, bytes]]:
        """Gives what clients have sent while they waited, and reads on before they are answered.

        Then a client that does not take the answer is not read from.
        """
        said = [(each, bytes(self._pending.pop(each))) for each in batch if each in self._pending]
        for connection, _ in said:
            connection.resumeProducing()
        return said

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
        """Takes note that somebody's time is over."""
        self._timer = None
        self._due = max(self._due, self.pool.reactor.seconds())
        self.pool.turns.add(self)

    def _rest(self) -> None:
        """Takes note that all have been answered that were to be."""
        self._answer = None
        self._due = -inf
        if self.members and self._timer is None:
            # It is never early, and a crowd that came one after the other is not rendered one by one.
            left_s = next(iter(self.members.values())) - self.pool.reactor.seconds()
            self._timer = self.pool.reactor.callLater(max(left_s, GRAIN_S), self._expire)
        self.close_if_over()

    def close_if_over(self) -> None:
        """Lets nobody join any more, unless somebody waits."""
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
    """Answers whole rooms, a slice at a time, so that everybody else is served in between.

    :param reactor: calls later.
    """

    # required parameters
    reactor: TimedReactor

    # internal state
    _rooms: deque[WaitingRoom] = field(default_factory=deque)
    _call: IDelayedCall | None = None
    _in_turn: bool = False

    def add(self, room: WaitingRoom) -> None:
        """Has a room's turn come."""
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
                _log.failure("answering requests that waited broke")
                # A room with nobody in it has no other turn: what broke would break again, for ever.
                count = 1 if room.members else 0
            if not count:
                self._rooms.popleft()
            left -= max(count, 1)
            if self.reactor.seconds() > end:
                break
        self._in_turn = False
        if self._rooms:
            self._call = self.reactor.callLater(0, self._go_on)
