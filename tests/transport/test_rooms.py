"""Rooms on their own: joining, the order and time of answers, versions during an answer, and closed rooms."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, eventAsText
from twisted.trial.unittest import SynchronousTestCase

from livefeed.transport.answer import Answer
from livefeed.transport.rooms import ANSWER_INTERVAL_S, BATCH, MAX_PENDING_BYTES, SLICE, SLICE_S, Room, Turns
from livefeed.web.replay import Replay

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from livefeed.transport.interfaces import WaitingRoom

KEY, HEAD = b"GET /feed", b"GET /feed HTTP/1.1\r\nHost: a\r\n\r\n"
WAIT_S = 10.0


@dataclass(eq=False)
class Waiting:
    """A fake resource that requests wait for: it records calls and answers with the number of the answer."""

    room: WaitingRoom | None = None
    wait_s: float = WAIT_S
    leads: bool = False
    admits: bool = True
    last: bool = False
    fails: bool = False
    body: bytes = b""
    heads: list[bytes] = field(default_factory=list)
    let_gone: list[int] = field(default_factory=list)
    closed: int = 0
    meanwhile: Callable[[], object] = lambda: None

    def select(self, fields: list[bytes | None], /) -> Hashable:
        return None

    def admit(self) -> bool:
        return self.admits

    def let_go(self, count: int, /) -> None:
        self.let_gone.append(count)

    def render(self, head: bytes, /) -> Answer | None:
        self.heads.append(head)
        self.meanwhile()
        return None if self.fails else Answer(b"answer %d" % len(self.heads), "label", self.last, self.body)

    def close(self) -> None:
        self.closed += 1


@dataclass(eq=False)
class Member:
    """The parts of a connection that a room needs; it records its events."""

    events: list[Any] = field(default_factory=list)
    breaks: bool = False
    writes: list[list[Member]] = field(default_factory=list)  # shared by all of a test
    disconnecting: bool = False
    _room: Room | None = None
    _at_boundary: bool = True
    _active_at: float = -1.0

    def pauseProducing(self) -> None:
        self.events.append("pause")

    def resumeProducing(self) -> None:
        self.events.append("resume")

    def abortConnection(self) -> None:
        self.events.append("abort")
        if self._room is not None:
            self._room.leave(self)  # type: ignore[arg-type]

    def write_to_all(self, batch: list[Member], data: bytes) -> None:
        self.writes.append(batch)
        for each in batch:
            each.events.append(data)
        if self.breaks:
            raise RuntimeError("it breaks")

    def write_large_or_end(self, head: bytes, body: bytes) -> None:
        self.events.append((head, body))

    def _deliver(self, data: bytes, rest: object) -> None:
        self.events.append(("deliver", data, rest))

    def _lose_connection_after_answer(self) -> None:
        self.events.append("end")
        self.disconnecting = True


class Pool:
    """The parts of a pool that a room needs."""

    def __init__(self, clock: Clock) -> None:
        self.reactor = clock
        self.turns = Turns(clock)
        self.now = 7.5


class RoomTestCase(SynchronousTestCase):
    """Has a room, and members for it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.pool: Any = Pool(self.clock)
        self.replay = Replay()
        self.writes: list[list[Member]] = []
        self.host, self.room = self.make_room()

    def make_room(self, key: bytes = KEY) -> tuple[Waiting, Room]:
        host = Waiting()
        room = self.replay.rooms[key] = Room(self.pool, self.replay, key, HEAD, host)
        return host, room

    def join(self, room: Room | None = None) -> Any:
        member: Any = Member(writes=self.writes)
        self.assertTrue((room or self.room).join(member))
        return member

    def assert_answered(self, members: list[Any], data: bytes = b"answer 1") -> None:
        for member in members:
            self.assertEqual(member.events, [data])
            self.assertNotIn(member, self.room.members)
            self.assertIsNone(member._room)
            self.assertTrue(member._at_boundary)
            self.assertEqual(member._active_at, 7.5)

    def assert_waits(self, *members: Any) -> None:
        for member in members:
            self.assertEqual(member.events, [])
            self.assertIs(member._room, self.room)
            self.assertFalse(member._at_boundary)


class MemberTests(RoomTestCase):
    def test_one_who_is_admitted_waits(self) -> None:
        member = self.join()
        self.assert_waits(member)
        self.assertEqual(self.room.members, {member: WAIT_S})

    def test_one_who_is_not_admitted_stays_as_it_was(self) -> None:
        self.host.admits = False
        member: Any = Member()
        self.assertFalse(self.room.join(member))
        self.assertEqual((member._room, member._at_boundary, self.room.members), (None, True, {}))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_several_have_one_timer(self) -> None:
        self.join()
        self.join()
        self.assertEqual([call.getTime() for call in self.clock.getDelayedCalls()], [WAIT_S])

    def test_one_who_leaves_is_not_answered(self) -> None:
        member, other = self.join(), self.join()
        self.assertEqual(self.room.leave(member), b"")
        self.assertIsNone(member._room)
        self.assertEqual(self.host.let_gone, [1])
        self.room.answer_all()
        self.assertEqual(member.events, [])
        self.assert_answered([other])

    def test_the_last_to_leave_closes_the_room(self) -> None:
        member, other = self.join(), self.join()
        self.room.leave(member)
        self.assertEqual((self.host.closed, self.replay.rooms), (0, {KEY: self.room}))
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.room.leave(other)
        self.assertEqual((self.host.closed, self.replay.rooms), (1, {}))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_room_whose_first_request_waits_stays_open(self) -> None:
        self.host.leads = True
        self.room.leave(self.join())
        self.assertEqual((self.host.closed, self.replay.rooms), (0, {KEY: self.room}))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        later = self.join()
        self.clock.advance(WAIT_S)
        self.assert_answered([later])

    def test_a_room_that_has_taken_its_place_stays(self) -> None:
        member = self.join()
        _, other = self.make_room()
        self.room.leave(member)
        self.assertEqual((self.host.closed, self.replay.rooms), (1, {KEY: other}))

    def test_all_can_be_aborted(self) -> None:
        members = [self.join() for _ in range(3)]
        self.room.abort_all()
        self.assertEqual([member.events for member in members], [["abort"]] * 3)
        self.assertEqual((self.room.members, self.host.closed), ({}, 1))


class TimeTests(RoomTestCase):
    def test_one_whose_time_is_over_is_answered_and_the_others_wait(self) -> None:
        first = self.join()
        self.clock.advance(1)
        second = self.join()
        self.clock.advance(WAIT_S - 1.001)
        self.assert_waits(first, second)
        self.clock.advance(0.001)
        self.assert_answered([first])
        self.assert_waits(second)
        self.clock.advance(0.999)
        self.assert_waits(second)
        self.clock.advance(0.001)
        self.assert_answered([second], b"answer 2")
        self.assertEqual((self.host.let_gone, self.host.closed), ([1, 1], 1))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_those_who_came_in_a_moment_are_answered_together(self) -> None:
        first = self.join()
        others = []
        for _ in range(4):
            self.clock.advance(ANSWER_INTERVAL_S / 8)
            others.append(self.join())
        self.clock.advance(WAIT_S - ANSWER_INTERVAL_S / 2)
        self.assert_answered([first])
        self.clock.advance(ANSWER_INTERVAL_S * 0.99)
        self.assert_waits(*others)
        self.clock.advance(ANSWER_INTERVAL_S * 0.01)
        self.assert_answered(others, b"answer 2")
        self.assertEqual(self.writes, [[first], others])

    def test_all_are_answered_though_the_time_of_the_first_comes_in_between(self) -> None:
        members = [self.join() for _ in range(SLICE + 1)]
        self.clock.advance(WAIT_S - 1)
        members += [self.join() for _ in range(BATCH)]
        self.room.answer_all()
        # The timer ends before the turn of the others. The last members must still be answered.
        self.room._expire()
        self.clock.advance(0)
        self.assert_answered(members)

    def test_who_comes_while_the_timer_runs_needs_no_other(self) -> None:
        self.join()
        self.room.answer_all()
        self.host.leads = True
        self.assertEqual(self.clock.getDelayedCalls(), [])
        late = self.join()
        timer = self.room._timer
        # A turn without members, such as one that was scheduled before all members left.
        self.assertEqual(self.room.answer_some(BATCH), 0)
        self.assertIs(self.room._timer, timer)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.assert_waits(late)


class AnswerTests(RoomTestCase):
    def test_large_body_is_everybodys(self) -> None:
        for last in (False, True):
            host, room = self.make_room()
            host.body, host.last = bytes(100_000), last
            members = [self.join(room) for _ in range(BATCH + 1)]
            room.answer_all()
            for member in members:
                self.assertEqual(member.events, [(b"answer 1", host.body), *(["end"] if last else [])])
                self.assertIs(member.events[0][1], host.body)

    def test_all_are_answered_in_batches_in_the_order_in_which_they_came(self) -> None:
        members = [self.join() for _ in range(2 * BATCH + 1)]
        self.room.answer_all()
        self.assert_answered(members)
        self.assertEqual(self.writes, [members[:BATCH], members[BATCH : 2 * BATCH], members[2 * BATCH :]])
        self.assertEqual((self.host.heads, self.host.let_gone), ([HEAD], [BATCH, BATCH, 1]))
        self.assertEqual(self.replay.counts(), {"label": 2 * BATCH + 1})
        self.assertEqual((self.host.closed, self.replay.rooms), (1, {}))

    def test_more_than_a_slice_are_answered_in_the_next_turn(self) -> None:
        members = [self.join() for _ in range(SLICE + 2)]
        self.room.answer_all()
        self.assert_answered(members[:SLICE])
        self.assert_waits(*members[SLICE:])
        self.clock.advance(0)
        self.assert_answered(members)

    def test_all_can_be_answered_at_once(self) -> None:
        members = [self.join() for _ in range(SLICE + 2)]
        self.room.answer_at_once()
        self.assert_answered(members)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_an_answer_is_rendered_anew_after_the_answers_were_forgotten(self) -> None:
        members = [self.join() for _ in range(SLICE + 1)]
        self.room.answer_all()
        self.replay.clear()
        self.clock.advance(0)
        self.assert_answered(members[:SLICE])
        self.assert_answered(members[SLICE:], b"answer 2")

    def test_an_answer_is_rendered_anew_for_those_who_come_later(self) -> None:
        self.host.leads = True
        first = self.join()
        self.room.answer_all()
        second = self.join()
        self.assert_waits(second)
        self.room.answer_all()
        self.assert_answered([first])
        self.assert_answered([second], b"answer 2")

    def test_connections_are_ended_without_an_answer_if_there_is_none(self) -> None:
        self.host.fails = True
        members = [self.join() for _ in range(3)]
        self.room.answer_all()
        self.assertEqual([member.events for member in members], [["abort"]] * 3)
        self.assertEqual((self.host.let_gone, self.replay.counts()), ([3], {}))

    def test_connections_are_ended_after_an_answer_that_is_their_last(self) -> None:
        self.host.last = True
        members = [self.join() for _ in range(2)]
        self.room.answer_all()
        self.assertEqual([member.events for member in members], [[b"answer 1", "end"]] * 2)


class MeanwhileTests(RoomTestCase):
    def test_what_a_client_has_sent_is_delivered_after_its_answer(self) -> None:
        silent, member = self.join(), self.join()
        self.room.keep(member, b"one, ")
        self.room.keep(member, b"two")
        self.assert_waits(member)
        self.room.answer_all()
        # It is read from again before the answer, which may have it paused.
        self.assertEqual(member.events, ["resume", b"answer 1", ("deliver", b"one, two", None)])
        self.assertEqual(silent.events, [b"answer 1"])

    def test_what_a_client_has_sent_is_delivered_once(self) -> None:
        self.host.leads = True
        member = self.join()
        self.room.keep(member, b"one")
        self.room.answer_all()
        del member.events[:]
        self.assertTrue(self.room.join(member))
        self.room.answer_all()
        self.assertEqual(member.events, [b"answer 2"])

    def test_one_who_leaves_takes_along_what_it_has_sent(self) -> None:
        member = self.join()
        self.room.keep(member, b"one, ")
        self.room.keep(member, b"two")
        self.assertEqual(self.room.leave(member), b"one, two")
        self.assertTrue(self.room.join(member))
        self.assertEqual(self.room.leave(member), b"")

    def test_no_more_is_read_once_it_is_much(self) -> None:
        member = self.join()
        self.room.keep(member, bytes(MAX_PENDING_BYTES - 1))
        self.assertEqual(member.events, [])
        self.room.keep(member, b"x")
        self.assertEqual(member.events, ["pause"])

    def test_nothing_is_delivered_to_a_connection_that_has_ended(self) -> None:
        member = self.join()
        self.room.keep(member, b"one")
        member.disconnecting = True
        self.room.answer_all()
        self.assertEqual(member.events[0], "resume")
        self.assertEqual(len(member.events), 2)

    def test_nothing_is_delivered_after_the_last_answer(self) -> None:
        self.host.last = True
        member = self.join()
        self.room.keep(member, b"one")
        self.room.answer_all()
        self.assertEqual(member.events, ["resume", b"answer 1", "end"])


class TurnTests(RoomTestCase):
    def test_rooms_have_their_turns_one_after_the_other(self) -> None:
        _, other = self.make_room(b"other")
        members = [self.join() for _ in range(SLICE)]
        more = [self.join(other) for _ in range(2)]
        self.room.answer_all()
        other.answer_all()
        self.assertEqual(self.writes[-1], members[-BATCH:])
        self.assertEqual([each.events for each in more], [[], []])
        self.clock.advance(0)
        self.assertEqual(self.writes[-1], more)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_slice_is_for_all_rooms_together(self) -> None:
        _, other = self.make_room(b"other")
        for _ in range(SLICE + 1):
            self.join()
        self.room.answer_all()
        more = [self.join(other) for _ in range(SLICE)]
        other.answer_all()
        after_turn: list[int] = []
        self.clock.callLater(0, lambda: after_turn.extend(len(each.events) for each in more))
        self.clock.advance(0)
        # One of the first room, and once it has none left.
        self.assertEqual(after_turn, [1] * (SLICE - 2) + [0] * 2)
        self.assertEqual([len(each.events) for each in more], [1] * SLICE)

    def test_a_room_is_answered_once_however_often_it_is_asked(self) -> None:
        for _ in range(SLICE + 1):
            self.join()
        for _ in range(3):
            self.room.answer_all()
        self.assertEqual(len(self.room.members), 1)
        self.assertEqual(len(self.pool.turns._rooms), 1)
        self.clock.advance(0)
        self.assertEqual(self.room.members, {})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_turn_ends_when_it_has_taken_long(self) -> None:
        members = [self.join() for _ in range(4 * BATCH)]
        took_s = iter((SLICE_S / 2, SLICE_S))

        def take() -> None:
            self.replay.clear()  # it is rendered for each batch
            self.clock.rightNow += next(took_s, 0.0)

        self.host.meanwhile = take
        self.room.answer_all()
        self.assertEqual(self.writes, [members[:BATCH], members[BATCH : 2 * BATCH]])
        self.clock.advance(0)
        self.assertEqual([*chain.from_iterable(self.writes)], members)

    def test_a_turn_that_has_taken_all_of_its_time_goes_on(self) -> None:
        members = [self.join() for _ in range(2 * BATCH)]
        times = iter((SLICE_S,))
        self.host.meanwhile = lambda: self.clock.advance(next(times, 0.0))
        self.room.answer_all()
        self.assert_answered(members)

    def test_a_room_that_is_added_during_a_turn_has_its_own_after_it(self) -> None:
        host, other = self.make_room(b"other")
        members = [self.join() for _ in range(2)]
        late = self.join(other)

        def add() -> None:
            other.answer_all()
            self.assertEqual(late.events, [])

        self.host.meanwhile = add
        self.room.answer_all()
        self.assertEqual(self.writes, [members, [late]])
        self.assertEqual(host.closed, 1)

    def test_what_breaks_is_logged_and_the_others_are_answered(self) -> None:
        members = [self.join() for _ in range(BATCH + 1)]
        _, other = self.make_room(b"other")
        last = self.join(other)
        members[0].breaks = True
        with capturedLogs() as events:
            self.room.answer_all()
            other.answer_all()
        self.assertEqual(self.writes, [members[:BATCH], members[BATCH:], [last]])
        self.assertEqual(len(events), 1)
        self.assertIn("requests that waited could not be answered", eventAsText(events[0]))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_room_whose_end_breaks_has_no_other_turn(self) -> None:
        """Such a room is empty, and another turn would fail again forever."""
        member = self.join()
        _, other = self.make_room(b"other")
        last = self.join(other)
        del self.replay.rooms  # which breaks the cleanup of a room
        self.room.answer_all()
        other.answer_all()
        self.assertEqual(self.writes, [[member], [last]])
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_breaks_takes_its_share_of_the_turn(self) -> None:
        rooms = [self.make_room(b"%d" % number)[1] for number in range(SLICE + 1)]
        for room in rooms:
            self.join(room).breaks = True
        with capturedLogs():
            for room in rooms:
                # As a turn of the reactor would begin with all of them.
                room._due = float("inf")
            self.pool.turns._rooms.extend(rooms[1:])
            self.pool.turns.add(rooms[0])
        # Each room has one turn in which it raises, and one in which it is empty.
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), SLICE // 2)
        self.assertEqual(len(self.pool.turns._rooms), SLICE // 2 + 1)
