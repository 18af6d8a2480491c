"""The newest snapshot of a document, its state, and the subscribers that follow it.

Rules: this file knows no transport: a subscriber is an object with two verbs, and those who are all sent the same have
a group that sends it. No queue grows here: a subscription owes at most one thing, the newest version, which its
subscriber has not been sent. A subscription that ends because something broke ends the subscriber's connection, too:
nobody stays connected who is sent nothing any more.
"""
# ruff: noqa: SLF001 - a feed, its batches and their subscriptions are one thing.

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import inf
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from twisted.logger import Logger

from livefeed.clocks import Moment
from livefeed.document.history import History
from livefeed.document.snapshot import Sequence, Snapshot
from livefeed.document.timestamps import length_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from livefeed.storage.journal import Kept

Push = Literal["tick", "change"]

SLICE = 256
"""The subscribers that are pushed to in one turn of the reactor at most: 4 ms of work."""

SLICE_S = 0.01
"""Seconds after which the turn ends all the same: some messages are rendered for each subscriber."""

BATCH = 32
"""The largest number of subscribers in one batch, which takes half a millisecond."""

OVERDUE_S = 10.0
"""The longest time in seconds after which clients come back where a tick is overdue. A pull takes no longer."""

DUE_S = 0.001
"""A change of state that is due so soon is due now: sums of floats are not exact."""

_log = Logger()


class State(StrEnum):
    """How honest a feed is now."""

    LIVE = "live"
    """The last pull gave a document that may be served, or pulls fail for no longer than the operator has patience."""
    STALE = "stale"
    """Pulls fail or are refused, or none has ended for long; what is served is older than it should be."""
    EXPIRED = "expired"
    """The document is too old to be shown."""


class Subscriber(Protocol):
    """A client that is sent each new version, by whatever transport."""

    def send(self, snapshot: Snapshot, /) -> None:
        """Takes the newest snapshot. It is called only while the subscription is not paused.

        A subscriber that is told of the state is also sent the snapshot of an expired feed, and must not show it then.
        """

    def drop(self) -> None:
        """Ends the connection, whose subscription has ended after an error, so that its client can come back."""


class Multicast(Protocol):
    """Sends to some subscribers as one, without a look at each."""

    def add(self, subscriber: Any, /) -> None:
        """Takes one whose last version is that of all in it."""

    def discard(self, subscriber: Any, /) -> None:
        """Lets one go who is in it."""

    def send(self, snapshot: Snapshot, /) -> None:
        """Sends the snapshot, as each one's ``send`` would. It raises only where nobody has been sent anything."""


class Audience(Protocol):
    """The kind of subscribers that are sent the same bytes.

    It can be hashed, and two that are equal are one crowd: each subscription may bring its own.
    """

    def make_multicast(self) -> Multicast:
        """Gives a group for some of them, with nobody in it yet."""


@dataclass(slots=True, eq=False)
class Subscription:
    """The link between a feed and one subscriber: it owes at most the newest version.

    A transport that is full calls :meth:`pause`, and :meth:`resume` when it has drained. Versions in between are
    skipped: the subscriber gets the newest one when it can take it, never a backlog.
    """

    # required parameters
    _feed: Feed
    _subscriber: Subscriber
    _repeats: bool = True
    informed: bool = False
    _expire: Callable[[], object] | None = None  # let go of when it was called, and with the subscription

    # internal state
    _sent: str | None = None  # the version: a snapshot would be kept for the slowest of its subscribers
    _paused: bool = False
    _owed: bool = False
    _cancelled: bool = False
    _round: int = 0  # the feed's, in which it was last sent something by itself
    _batch: _Batch | None = None
    _grouped: bool = False  # whether the batch's group sends to it, and knows what it was sent

    @property
    def size(self) -> int:
        """How many subscribers it is."""
        return 1

    def push(self, snapshot: Snapshot) -> None:
        """Sends the snapshot to one who is in no group, or owes it; who raises is dropped."""
        if self._may_not_see():
            self.expire()
            return
        # One that was sent the version while it waited to be pushed to needs no sign of life.
        repeats = self._repeats and self._round != self._feed.rounds
        if self._cancelled or (snapshot.version == self._sent and not repeats and not self.informed):
            return
        if not self._paused:
            self._deliver(snapshot)
        elif snapshot.version != self._sent or self.informed:
            self._owed = True

    def send(self, snapshot: Snapshot) -> None:
        """Sends the snapshot, or owes it, whether it was sent before or not; who raises is dropped."""
        self.leave_group()
        if self._cancelled:
            return
        if self._paused or self._may_not_see():
            self._owed = True
        else:
            self._round = self._feed.rounds
            self._deliver(snapshot)

    def _deliver(self, snapshot: Snapshot) -> None:
        self._sent = snapshot.version
        self._owed = False
        try:
            self._subscriber.send(snapshot)
        except Exception:
            self._feed._drop(self)

    def skip(self, snapshot: Snapshot) -> None:
        """Counts the snapshot as sent."""
        self._sent = snapshot.version

    def pause(self) -> None:
        """The subscriber can take no more for now."""
        self.leave_group()
        self._paused = True

    def resume(self) -> None:
        """The subscriber can take more: it is sent the newest snapshot, if one is owed."""
        self._paused = False
        if not self._owed or self._may_not_see():
            return
        self._owed = False
        snapshot = self._feed.snapshot
        if snapshot is None:
            return  # It is a part of which no version could be made: when there is one, it is pushed.
        if snapshot.version == self._sent and not self.informed:
            # The document has gone back to what the subscriber has.
            self.skip(snapshot)
        else:
            self.send(snapshot)

    def expire(self) -> None:
        """Tells a subscriber once that the document has expired, unless it hears of states; drops one that raises."""
        expire, self._expire = self._expire, None
        if expire is not None:
            try:
                expire()
            except Exception:
                self._feed._drop(self)

    def _may_not_see(self) -> bool:
        """Tells whether the subscriber would take for a document that may be shown what is too old for that."""
        return self._feed.state is State.EXPIRED and not self.informed

    def leave_group(self) -> None:
        """Has the subscriber looked at, and sent to, by itself. Once it has taken a version it may join again."""
        if self._grouped and self._batch is not None:
            self._batch.ungroup(self)

    def cancel(self) -> None:
        """Ends the subscription. Doing so twice is no error."""
        self._cancelled = True
        self._expire = None
        self._feed._forget(self)


class _BatchKey(NamedTuple):
    """The properties that all subscriptions of a batch share."""

    crowd: Audience
    repeats: bool
    informed: bool


@dataclass(slots=True, eq=False)
class _Batch:
    """Some subscriptions of one crowd, which are pushed to as one.

    With 10,000 subscribers nothing of theirs is in a cache, and to look at each would be a tenth of their fan-out. So
    one who was sent a version, and has taken it, joins the group, and is not looked at again until it is paused, is
    sent something of its own, or leaves.
    """

    # required parameters
    _feed: Feed
    _group: Multicast
    kind: _BatchKey

    # internal state
    members: list[Subscription] = field(default_factory=list)
    _ungrouped: list[Subscription] = field(default_factory=list)  # those of them that are not in the group
    _sent: str | None = None  # what the group was sent last

    @property
    def size(self) -> int:
        """How many subscribers it is."""
        return len(self.members)

    @property
    def informed(self) -> bool:
        """Whether they are told of the state."""
        return self.kind.informed

    def add(self, subscription: Subscription) -> None:
        """Takes a subscription that is in no batch."""
        subscription._batch = self
        self.members.append(subscription)
        self._ungrouped.append(subscription)

    def remove(self, subscription: Subscription) -> None:
        """Lets a member go."""
        subscription.leave_group()
        subscription._batch = None
        self.members.remove(subscription)
        self._ungrouped.remove(subscription)

    def ungroup(self, subscription: Subscription) -> None:
        """Has a member leave the group."""
        subscription._grouped = False
        subscription._sent = self._sent
        self._group.discard(subscription._subscriber)
        self._ungrouped.append(subscription)

    def push(self, snapshot: Snapshot) -> None:
        """Does for each what its ``push`` would."""
        if self._feed.state is State.EXPIRED and not self.informed:
            for each in tuple(self.members):
                each.expire()
            return
        ungrouped = tuple(self._ungrouped)
        # Before it is sent: who leaves the group meanwhile takes this along.
        before, self._sent = self._sent, snapshot.version
        wanted = before != snapshot.version or self.kind.repeats or self.informed
        if wanted and len(ungrouped) < len(self.members):
            try:
                self._group.send(snapshot)
            except Exception:
                # Nobody was sent anything. Each is tried by itself, so that only those are dropped who raise again: all
                # who are connected would come back at once, and be sent a whole document each.
                self._feed._log_broken("a message to several; it is tried with each")
                self._dissolve(before)
                ungrouped = tuple(self._ungrouped)
        for each in ungrouped:
            if each._grouped or each._batch is not self:
                continue
            each.push(snapshot)
            if each._sent == self._sent and each._batch is self and not (each._paused or each._grouped):
                self._group_again(each)

    def _group_again(self, subscription: Subscription) -> None:
        """Has a member join the group, which has taken what the group was sent."""
        try:
            self._group.add(subscription._subscriber)
        except Exception:
            # Whether it is in the group is not known.
            self._feed._drop(subscription)
        else:
            self._ungrouped.remove(subscription)
            subscription._grouped = True

    def _dissolve(self, sent: str | None) -> None:
        """Has all members leave the group, which was sent this version last."""
        sent, self._sent = self._sent, sent
        for each in self.members:
            if each._grouped:
                self.ungroup(each)
        self._sent = sent


@dataclass(slots=True, eq=False)
class Feed:
    """A named JSON document that is followed.

    :ivar name: the document is served at ``/name``.
    :ivar interval_s: seconds from one tick to the next.
    :ivar stale_after_s: while pulls fail, the feed is stale once its document was last confirmed so many seconds ago.
    :ivar gone_after_s: once it was last confirmed so many seconds ago, it is not to be shown any more, and expired.
        As long as all is well it has two intervals at least, or a long interval would have it expire before each tick.
    :ivar whole: the feed of which this one is a part, and whose state is its own; ``None`` if it is none.
    :ivar patience_s: once nothing was heard of the source for so many seconds, the feed is stale by itself.
    :ivar push: ``tick`` sends the document at each good pull, as a sign of life; ``change`` only when it changed.
    :ivar snapshot: the newest version; ``None`` before the first good pull.
    :ivar state: how honest the feed is now.
    :ivar is_missing: whether this is a part that the whole has lost. The snapshot is then what it was last.
    :ivar clock: what schedules and measures.
    :ivar wall: gives the time that is displayed, in seconds since 1970; ``None`` if the other clock does.
    :ivar confirmed: when a pull last gave the snapshot's document; ``None`` before the first.
    :ivar tick_at: when the last tick began, by the clock; minus infinity before the first.
    :ivar pushed_at: when a document was last sent to all who can take it, by the clock; minus infinity before the
        first.
    :ivar changed: called at each tick, when what the feed would answer has changed, and before anything is pushed.
    :ivar versions: how many were published since the start. Those of an earlier process do not count.
    :ivar codings_made: how often a version was compressed since the start, in one coding each.
    :ivar rounds: how often pushing to everybody has begun.
    :ivar dropped: how many subscribers were disconnected since they broke.
    :ivar history: the versions before, and the patches from them.
    :ivar subscriptions: all that there are (a dict, since a set has no order).
    """

    # required parameters
    name: str
    clock: IReactorTime
    interval_s: float = 1.0
    push: Push = "tick"
    stale_after_s: float = 0.0
    gone_after_s: float = inf
    wall: Callable[[], float] | None = None
    whole: Feed | None = None

    # internal state
    patience_s: float = inf
    snapshot: Snapshot | None = None
    state: State = State.STALE
    is_missing: bool = False
    confirmed: Moment | None = None
    tick_at: float = -inf
    pushed_at: float = -inf
    changed: list[Callable[[], None]] = field(default_factory=list)
    subscriptions: dict[Subscription, None] = field(default_factory=dict)
    versions: int = 0
    codings_made: int = 0
    rounds: int = 0
    dropped: int = 0
    history: History = field(default_factory=History)
    _sequence: Sequence = field(init=False)
    _alone: dict[Subscription, None] = field(default_factory=dict)  # those that are in no batch
    _batches: dict[_Batch, None] = field(default_factory=dict)
    _open: dict[_BatchKey, _Batch] = field(default_factory=dict)  # those that may still be joined
    _to_push: list[Subscription | _Batch] = field(default_factory=list)
    _turn: int = 0  # how many of the units were pushed to; pushing begins there
    _unpushed: bool = False  # whether nobody was sent the newest version yet
    _pushed_in_between: bool = False
    _slice_call: IDelayedCall | None = None
    _logged: object = None  # when an exception of a subscriber was logged last, and of which kind it was
    _failing: str | None = None  # why the last pull failed; None if it did not
    _vouched_at: float = -inf  # when a pull last confirmed the document, or the source said that it still holds
    _lapsed: bool = False  # whether the last change of state came by itself: no pull has failed since
    _watch_call: IDelayedCall | None = None

    def __post_init__(self) -> None:
        self._sequence = Sequence(int(self._now().wall_s * 1000), 0)

    def restore(self, versions: Iterable[Kept], *, age_s: float | None = None) -> None:
        """Takes the versions of an earlier process, before anything is published: the last is served, and is stale.

        Those to come are of a new epoch, which is later, whatever the clock says.

        :param versions: one or more, the oldest first.
        :param age_s: how old the last is. ``None`` if nothing but the wall clock tells; if that says that the version
            is from the future, its age counts from now.
        """
        *older, newest = versions
        # Nobody is served the older ones again. Compressed, 60 of 56 KB would take 0.3 s of the start.
        for kept in older:
            self.history.recall(kept.data)
        self.snapshot = Snapshot.of(newest.data, newest.sequence)
        self.history.add(self.snapshot)
        now = self._now()
        before_s = max(0.0, now.wall_s - newest.at) if age_s is None else age_s
        self.confirmed = Moment(now.measured_s - before_s, newest.at, by_wall=age_s is None)
        epoch = max(kept.sequence.epoch for kept in (*older, newest))
        self._sequence = Sequence(max(self._sequence.epoch, epoch + 1), 0)
        self._look_at_time()

    def publish(
        self,
        data: bytes,
        sequence: Sequence | None = None,
        *,
        is_tick: bool = True,
        made: Snapshot | None = None,
        confirmed: Moment | None = None,
    ) -> None:
        """Takes the document of a good pull: makes it the newest version if it changed, and pushes it.

        :param data: a document that has passed the gate, or the newest snapshot's own bytes.
        :param sequence: the version's place among the others, if it is new; ``None`` for the one after the last.
        :param is_tick: whether the pull was that of a tick, and not one in between, for a change that was told of.
        :param made: the snapshot of the document, if it was made already. Its sequence does not count.
        :param confirmed: when the pull gave the document; ``None`` for now.
        """
        # A part that is back is sent again, also if it is the same as before.
        new = self.is_missing or self.snapshot is None or data != self.snapshot.data
        if new:
            self._unpushed = True
            self._sequence = sequence or self._sequence.next()
            if made is None:
                self.snapshot = Snapshot.of(data, self._sequence)
            else:
                self.snapshot = replace(made, sequence=self._sequence)
            self.versions += 1
            self.codings_made += len(self.snapshot.representations) - 1
            self.history.add(self.snapshot)
            self.is_missing = False
        assert self.snapshot is not None
        recovers, returns = self.state is not State.LIVE, self.state is State.EXPIRED
        self.state = State.LIVE
        now_s = self.clock.seconds()
        if confirmed is None:
            self.confirm(now_s)
        else:
            self.confirmed = confirmed
        self.vouch()
        self._lapsed, self._failing = False, None
        if recovers:
            self._watch()
        self._tell()
        # A version that came in between was the sign of life already.
        repeats = self.push == "tick" and is_tick and not self._pushed_in_between
        self._pushed_in_between = new and not is_tick
        # Where the last publish broke half-way, the version is there, and nobody was sent it.
        if self._unpushed or repeats or returns:
            self.pushed_at = now_s
            self.rounds += 1
            self._push_to_all()
        elif recovers:
            self._inform()

    def _push_to_all(self) -> None:
        """Begins to push to everybody."""
        # A newcomer is sent this version at once, and must not join a batch that still waits for it.
        self._open.clear()
        self._merge()
        # Beginning where the last one has not come to, or a third further on, so that nobody is always last.
        everybody = self._units()
        start = self._turn % max(len(everybody), 1)
        self._to_push = everybody[start:] + everybody[:start]
        self._to_push.reverse()
        self._unpushed = False
        self._push_slice()

    def _inform(self) -> None:
        """Sends those who are told of the state what they are to know of it."""
        if self.snapshot is not None:
            # Those that the last one has not come to will be told by that, and before the others.
            if not self._to_push:
                self._merge()
            waiting = set(self._to_push)
            self._to_push[:0] = [each for each in self._units() if each.informed and each not in waiting]
            self._open.clear()  # as in publish
            self._push_slice()

    def _push_slice(self) -> None:
        """Pushes to some of the subscribers, and leaves the others to the next turns of the reactor.

        In between it serves those who poll: to push to 10,000 takes 0.16 s.
        """
        if self._slice_call is not None and self._slice_call.active():
            self._slice_call.cancel()
        self._slice_call = None
        if self.snapshot is None:
            # It is a part of a document, and no version of it could be made.
            self._to_push.clear()
            return
        left, end = SLICE, self.clock.seconds() + SLICE_S
        while self._to_push and self._to_push[-1].size <= left:
            unit = self._to_push.pop()
            self._turn += 1
            left -= unit.size
            unit.push(self.snapshot)
            if self.clock.seconds() > end:
                break
        if self._to_push:
            self._slice_call = self.clock.callLater(0, self._push_slice)
        else:
            # A whole round leaves the start where it was: it is moved on by a third.
            self._turn += len(self._units()) // 3 + 1

    def _units(self) -> list[Subscription | _Batch]:
        """Gives the batches, and those who are in none."""
        return [*self._alone, *self._batches]

    def _drop(self, subscription: Subscription) -> None:
        """Logs the exception that is being handled, and ends the subscription that it came from, and its connection."""
        self._log_broken("it is disconnected")
        self.dropped += 1
        try:
            subscription.cancel()
        finally:
            try:
                subscription._subscriber.drop()
            except Exception:
                _log.failure('feed "{feed}": a subscriber that broke could not be disconnected', feed=self.name)

    def _log_broken(self, what: str) -> None:
        """Logs the exception that is being handled; of a kind that thousands may raise at once, the first each tick."""
        kind = sys.exc_info()[0]
        if self._logged != (self.tick_at, self.rounds, kind):
            self._logged = self.tick_at, self.rounds, kind
            _log.failure('feed "{feed}": a subscriber broke: {what}', feed=self.name, what=what)

    def mark_stale(self, why: str = "") -> None:
        """Takes note of a pull that failed or was refused. The snapshot stays, and no document is pushed.

        :param why: what the log says if the feed is stale by that some time later.
        """
        was_failing = self._failing is not None
        self._lapsed, self._failing = False, why
        before = self.state
        if self.whole is not None:
            # While the whole is live, it is the part alone that could not be made.
            self.state = State.STALE if self.whole.state is State.LIVE else self.whole.state
        elif before is State.LIVE and self.age_s() >= self.stale_after_s:
            self.state = State.STALE
        self._expire_if_due()
        if self.state is State.LIVE and not was_failing:
            self._watch()  # it is stale sooner than if nothing were heard
        self._note_state(before)

    def miss(self) -> None:
        """Takes note that the whole does not have this part now. Followers keep it as it was, and hear of its state.

        Its time stays that at which it was there last. Once it has expired it stays so until it is back: if it were
        live with the whole, a value that no longer exists would be shown again.
        """
        assert self.whole is not None
        self.is_missing = True
        before = self.state
        if before not in (State.EXPIRED, self.whole.state):
            self.state = self.whole.state
            self._note_state(before)

    def skip_tick(self) -> None:
        """Takes note of a tick at which the source was not asked, since what it gave last still holds by its word.

        Nothing is confirmed, and no document is pushed. A feed that has only waited for a word of the source is live.
        """
        before = self.state
        self.vouch()
        if self._lapsed:
            self._lapsed = False
            self.state = State.LIVE
            self._note_state(before)
        elif self.push == "tick":
            self._inform()

    def vouch(self) -> None:
        """Takes note that the source has just been heard of."""
        self._vouched_at = self.clock.seconds()

    def stop_watching(self) -> None:
        """Has the state not change by itself any more: nothing is pulled from now on."""
        self.patience_s = inf
        if self._watch_call is not None:
            self._watch_call.cancel()
            self._watch_call = None

    def _note_state(self, before: State) -> None:
        """Tells of the state, which may be another than before."""
        changes = self.state is not before
        if changes and self.state is State.EXPIRED and self.whole is None:
            text = (
                'feed "{feed}" is expired: its document was last confirmed {age:.0f} s ago, and is not shown any more'
            )
            _log.warn(text, feed=self.name, age=self.age_s())
        self._tell()
        if changes:
            self._watch()
        if changes and State.EXPIRED in (before, self.state):
            # Those as well who cannot be told of it: they are let go, or have their document again.
            self._push_to_all()
        elif changes or self.push == "tick":
            self._inform()

    def _watch(self) -> None:
        """Sees to it that the state changes by itself when the time has come.

        One call stands for all that may come: it is made anew when the state changes or when it has come too early, not
        at each tick.
        """
        if self._watch_call is not None:
            self._watch_call.cancel()
            self._watch_call = None
        due_s = self.expires_in_s() if self.state is not State.EXPIRED else inf
        if self.state is State.LIVE:
            due_s = min(due_s, self._lapses_in_s())
        if due_s < inf and self.whole is None:
            self._watch_call = self.clock.callLater(due_s, self._come_to_watch)

    def _come_to_watch(self) -> None:
        self._watch_call = None
        self._look_at_time()

    def _look_at_time(self) -> None:
        """Changes the state if it is time for that."""
        before = self.state
        if before is State.LIVE and self._lapses_in_s() <= DUE_S:
            self.state = State.STALE
            self._lapsed = self._failing is None
        self._expire_if_due()
        if self.state is before:
            self._watch()
            return
        self._lapsed = self._lapsed or (before is State.LIVE and self._failing is None)
        if self.state is State.STALE:
            why = self._failing
            if why is None:
                why = f"no pull has ended for {length_of(self.clock.seconds() - self._vouched_at)} s"
            _log.warn('feed "{feed}" is stale: {why}', feed=self.name, why=why)
        self._note_state(before)

    def _lapses_in_s(self) -> float:
        """Gives the seconds until a live feed is stale if no pull is good, and nothing is heard of the source."""
        if self._failing is not None:
            return self.stale_in_s()
        return self._vouched_at + max(self.patience_s, self.stale_after_s) - self.clock.seconds()

    def stale_in_s(self) -> float:
        """Gives the seconds until the feed is stale if all pulls fail."""
        return max(0.0, self.stale_after_s - self.age_s())

    def _expire_if_due(self) -> None:
        if self.whole is None and self.snapshot is not None and self.expires_in_s() <= DUE_S:
            self.state = State.EXPIRED

    def expires_in_s(self) -> float:
        """Gives the seconds until the document is too old to be shown if nothing confirms it; may be inf."""
        if self.whole is not None:
            return self.whole.expires_in_s()
        if self.snapshot is None:
            return inf
        since_s, most_s = self.age_s(), self.gone_after_s
        if self.state is State.LIVE or self._lapsed:
            since_s = min(since_s, self.clock.seconds() - self._vouched_at)
        if self.state is State.LIVE:
            most_s = max(most_s, 2 * self.interval_s)
        return max(0.0, most_s - since_s)

    def add_codings(self, snapshot: Snapshot, codings: dict[str, bytes]) -> None:
        """Takes what was compressed meanwhile; see :meth:`livefeed.document.snapshot.Snapshot.add`."""
        snapshot.add(codings)
        self.codings_made += len(codings)
        if snapshot is self.snapshot:
            self._tell()

    def complete(self, snapshot: Snapshot) -> None:
        """Takes the newest version with what it was still lacking, unless there is a newer one by now."""
        if self.snapshot is not None and self.snapshot.version == snapshot.version:
            self.codings_made += len(snapshot.representations) - len(self.snapshot.representations)
            self.snapshot = snapshot
            self._tell()

    def _tell(self) -> None:
        for observer in self.changed:
            try:
                observer()
            except Exception:
                _log.failure('feed "{feed}": an observer broke', feed=self.name)

    def subscribe(  # noqa: PLR0913 - a subscriber is many kinds of things
        self,
        subscriber: Subscriber,
        *,
        repeats: bool = True,
        informed: bool = False,
        have: str | None = None,
        crowd: Audience | None = None,
        expire: Callable[[], object] | None = None,
    ) -> Subscription:
        """Begins a subscription, and sends the newest snapshot at once if there is one.

        :param repeats: whether it is also sent at ticks at which it has not changed, where :attr:`push` is ``tick``.
        :param informed: whether the snapshot is sent again when the state changes, and at each tick where :attr:`push`
            is ``tick``; to somebody who is sent the state with it.
        :param have: the version that the subscriber has already: it is not sent that at once.
        :param crowd: what sends snapshots to this subscriber and others; ``None`` if each is sent its own.
        :param expire: called once the feed has expired, of which a subscriber who is not told of the state hears in no
            other way: nothing is sent to such a one until the feed is live again.
        :returns: the subscription, which has ended already if the subscriber broke and was dropped.
        """
        subscription = Subscription(self, subscriber, repeats, informed, expire)
        self.subscriptions[subscription] = None
        if crowd is None:
            self._alone[subscription] = None
        else:
            self._open_batch(_BatchKey(crowd, repeats, informed)).add(subscription)
        if self.snapshot is None or self.is_missing:
            return subscription  # A part that is missing is back, or nobody would begin, and is being made.
        if self.snapshot.version == have:
            subscription.skip(self.snapshot)
        else:
            subscription.send(self.snapshot)
        return subscription

    def _forget(self, subscription: Subscription) -> None:
        """Takes note that a subscription has ended."""
        self.subscriptions.pop(subscription, None)
        self._alone.pop(subscription, None)
        batch = subscription._batch
        if batch is not None:
            batch.remove(subscription)
            if not batch.members:
                self._close(batch)

    def _open_batch(self, kind: _BatchKey) -> _Batch:
        """Gives a batch that a newcomer may join: none that waits to be pushed to."""
        batch = self._open.get(kind)
        if batch is None or batch.size >= BATCH:
            batch = self._open[kind] = _Batch(self, kind.crowd.make_multicast(), kind)
            self._batches[batch] = None
        return batch

    def _close(self, batch: _Batch) -> None:
        del self._batches[batch]
        if self._open.get(batch.kind) is batch:
            del self._open[batch.kind]

    def _merge(self) -> None:
        """Makes one of two batches that are at most half full: subscribers come and go."""
        halves: dict[_BatchKey, _Batch] = {}
        for batch in [each for each in self._batches if each.size <= BATCH // 2]:
            into = halves.setdefault(batch.kind, batch)
            if into is batch:
                continue
            for each in tuple(batch.members):
                batch.remove(each)
                into.add(each)
            self._close(batch)
            if into.size > BATCH // 2:
                del halves[batch.kind]

    def is_gone(self) -> bool:
        """Tells whether the document is too old to be shown."""
        return self.state is State.EXPIRED

    def confirm(self, at_s: float) -> None:
        """Takes note of a pull that gave the snapshot's document.

        :param at_s: when, by the clock.
        """
        now = self._now()
        self.confirmed = Moment(at_s, now.wall_s - (now.measured_s - at_s))

    @property
    def confirmed_at(self) -> float:
        """When a pull last gave the snapshot's document, for display: in seconds since 1970; 0 before the first."""
        return 0.0 if self.confirmed is None else self.confirmed.displayed(self._now())

    def age_s(self) -> float:
        """Gives the seconds since a pull last confirmed the snapshot; 0 before the first, and never negative."""
        return 0.0 if self.confirmed is None else self.confirmed.age_s(self._now())

    def _now(self) -> Moment:
        measured_s = self.clock.seconds()
        return Moment(measured_s, measured_s if self.wall is None else self.wall())

    def next_tick_s(self) -> float:
        """Gives the seconds until the next tick is due, an interval at most.

        If it is overdue, these are an interval and :data:`OVERDUE_S` at most, and not 0: while a source hangs, its
        clients would ask again and again.
        """
        tick_at = self.tick_at if self.whole is None else self.whole.tick_at
        left_s = tick_at + self.interval_s - self.clock.seconds()
        return min(left_s if left_s > 0.0 else OVERDUE_S, self.interval_s)
