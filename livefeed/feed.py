"""The newest snapshot of a document, its state, and the subscribers that follow it.

Rules: this file knows no transport: a subscriber is an object with one verb. No queue grows here: a subscription
owes at most one thing, the newest version, which its subscriber has not been sent.
"""
# ruff: noqa: SLF001 - who pushes to many looks into each, in place of a call.

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import TYPE_CHECKING, Any, Literal, Protocol

from twisted.logger import Logger

from livefeed.history import History
from livefeed.snapshot import Sequence, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from livefeed.encodings import Compressed
    from livefeed.journal import Kept

Push = Literal["tick", "change"]

SLICE = 256
"""So many subscribers are pushed to in one turn: 4 ms of work."""

SLICE_S = 0.01
"""Fewer, where that takes longer: what some are sent is rendered for each."""

BATCH = 32
"""So many are pushed to without a look at the clock, and in one go if they are all sent the same."""

_log = Logger()


class State(StrEnum):
    """How honest a feed is now."""

    LIVE = "live"
    """The last pull gave a document that may be served."""
    STALE = "stale"
    """The last pull failed or was refused; what is served is older than it should be."""


class Subscriber(Protocol):
    """Whoever is sent each new version, whatever carries it there."""

    def send(self, snapshot: Snapshot, /) -> None:
        """Takes the newest snapshot. It is called only while the subscription is not paused."""


class Crowd(Protocol):
    """What subscribers have in common that are all sent the same bytes, so that they can be sent them in one go."""

    def send_all(self, subscribers: list[Any], snapshot: Snapshot, /) -> None:
        """Sends the snapshot to some of them, as each one's ``send`` would. It raises only where all of these would."""


@dataclass(slots=True, eq=False)
class Subscription:
    """What a feed owes one subscriber.

    A transport that is full calls :meth:`pause`, and :meth:`resume` when it has drained. Versions in between are
    skipped: the subscriber gets the newest one when it can take it, never a backlog.
    """

    # required parameters
    _feed: Feed
    _subscriber: Subscriber
    _repeats: bool = True
    informed: bool = False
    _crowd: Crowd | None = None

    # internal state
    _sent: str | None = None  # the version: a snapshot would be kept for the slowest of its subscribers
    _paused: bool = False
    _owed: bool = False
    _cancelled: bool = False

    def push(self, snapshot: Snapshot) -> None:
        """Sends the snapshot, or remembers that a newer one than was sent is owed."""
        if self._cancelled or (snapshot.version == self._sent and not self._repeats and not self.informed):
            return
        if not self._paused:
            self._sent = snapshot.version
            self._subscriber.send(snapshot)
        elif snapshot.version != self._sent or self.informed:
            self._owed = True

    def send(self, snapshot: Snapshot) -> None:
        """Sends the snapshot, or owes it, whether it was sent before or not."""
        if self._cancelled:
            return
        if self._paused:
            self._owed = True
        else:
            self._sent = snapshot.version
            self._subscriber.send(snapshot)

    def skip(self, snapshot: Snapshot) -> None:
        """Counts the snapshot as sent."""
        self._sent = snapshot.version

    def pause(self) -> None:
        """The subscriber can take no more for now."""
        self._paused = True

    def resume(self) -> None:
        """The subscriber can take more: it is sent the newest snapshot, if one is owed."""
        self._paused = False
        owed, self._owed = self._owed, False
        snapshot = self._feed.snapshot
        if not owed or snapshot is None:
            return
        if snapshot.version == self._sent and not self.informed:
            # The document has gone back to what the subscriber has.
            self.skip(snapshot)
        else:
            self.send(snapshot)

    def cancel(self) -> None:
        """Ends the subscription. Doing so twice is no error."""
        self._cancelled = True
        self._crowd = None
        self._feed.subscriptions.pop(self, None)


@dataclass(slots=True, eq=False)
class Feed:
    """A named JSON document that is followed.

    :ivar name: the document is served at ``/name``.
    :ivar interval_s: seconds from one tick to the next.
    :ivar stale_after_s: while pulls fail, the feed is stale once its document was last confirmed so many seconds ago.
    :ivar gone_after_s: once it was last confirmed so many seconds ago, it is not to be shown any more.
    :ivar push: ``tick`` sends the document at each good pull, as a sign of life; ``change`` only when it changed.
    :ivar snapshot: the newest version; ``None`` before the first good pull.
    :ivar state: how honest the feed is now.
    :ivar confirmed_at: when a pull last gave the snapshot's document, in seconds since 1970; 0 before the first.
    :ivar tick_at: when the last tick began, in seconds since 1970.
    :ivar pushed_at: when a document was last sent to all who can take it, in seconds since 1970; 0 before the first.
    :ivar changed: called at each tick, when what the feed would answer has changed, and before anything is pushed.
    :ivar codings_made: how often a version was compressed since the start, in one coding each.
    :ivar history: the versions before, and the patches from them.
    :ivar subscriptions: those to push to, in the order in which they came (a dict, since a set has none).
    """

    # required parameters
    name: str
    clock: IReactorTime
    interval_s: float = 1.0
    push: Push = "tick"
    stale_after_s: float = 0.0
    gone_after_s: float = inf

    # internal state
    snapshot: Snapshot | None = None
    state: State = State.STALE
    confirmed_at: float = 0.0
    tick_at: float = 0.0
    pushed_at: float = 0.0
    changed: list[Callable[[], None]] = field(default_factory=list)
    subscriptions: dict[Subscription, None] = field(default_factory=dict)
    codings_made: int = 0
    history: History = field(default_factory=History)
    _sequence: Sequence = field(init=False)
    _to_push: list[Subscription] = field(default_factory=list)
    _turn: int = 0
    _pushed_in_between: bool = False
    _slice_call: IDelayedCall | None = None

    def __post_init__(self) -> None:
        self._sequence = Sequence(int(self.clock.seconds() * 1000), 0)

    def restore(self, versions: Iterable[Kept]) -> None:
        """Takes the versions of an earlier process, before anything is published: the last is served, and is stale.

        Those to come are of a new epoch, which is later, whatever the clock says.

        :param versions: the oldest first.
        """
        for kept in versions:
            self.snapshot = Snapshot.of(kept.data, kept.sequence)
            self.history.add(self.snapshot)
            self.confirmed_at = kept.at
            self._sequence = Sequence(max(self._sequence.epoch, kept.sequence.epoch + 1), 0)

    def publish(
        self,
        data: bytes,
        sequence: Sequence | None = None,
        *,
        is_tick: bool = True,
        compressed: Compressed | None = None,
    ) -> None:
        """Takes the document of a good pull: makes it the newest version if it changed, and pushes it.

        :param data: a document that has passed the gate, or the newest snapshot's own bytes.
        :param sequence: the version's place among the others, if it is new; ``None`` for the one after the last.
        :param is_tick: whether the pull was that of a tick, and not one in between, for a change that was told of.
        :param compressed: the document, if it was compressed already.
        """
        new = self.snapshot is None or data != self.snapshot.data
        if new:
            self._sequence = sequence or self._sequence.next()
            self.snapshot = Snapshot.of(data, self._sequence, compressed)
            self.codings_made += len(self.snapshot.representations) - 1
            self.history.add(self.snapshot)
        assert self.snapshot is not None
        recovers = self.state is not State.LIVE
        self.state = State.LIVE
        self.confirmed_at = self.clock.seconds()
        self._tell()
        # A version that came in between was the sign of life already.
        repeats = self.push == "tick" and is_tick and not self._pushed_in_between
        self._pushed_in_between = new and not is_tick
        if new or repeats:
            self.pushed_at = self.confirmed_at
            # Beginning where the last one has not come to, or a third further on, so that nobody is always last.
            everybody = list(self.subscriptions)
            start = self._turn % max(len(everybody), 1)
            self._to_push = everybody[start:] + everybody[:start]
            self._to_push.reverse()
            self._push_slice()
        elif recovers:
            self._inform()

    def _inform(self) -> None:
        """Sends those who are told of the state what they are to know of it."""
        if self.snapshot is not None:
            # Those that the last one has not come to will be told by that, and before the others.
            waiting = set(self._to_push)
            self._to_push[:0] = [each for each in self.subscriptions if each.informed and each not in waiting]
            self._push_slice()

    def _push_slice(self) -> None:
        """Pushes to some of the subscribers, and leaves the others to the next turns of the reactor.

        In between it serves those who poll: to push to 10,000 takes 0.1 s.
        """
        if self._slice_call is not None and self._slice_call.active():
            self._slice_call.cancel()
        self._slice_call = None
        if self.snapshot is None:
            # It is a part of a document, and is gone from it.
            self._to_push.clear()
            return
        end = self.clock.seconds() + SLICE_S
        for _ in range(SLICE // BATCH):
            batch = self._to_push[: -BATCH - 1 : -1]
            del self._to_push[-BATCH:]
            self._turn += len(batch)
            self._push_batch(batch, self.snapshot)
            if not self._to_push or self.clock.seconds() > end:
                break
        if self._to_push:
            self._slice_call = self.clock.callLater(0, self._push_slice)
        else:
            # All were pushed to, and who was the first is the first again, unless somebody else is made to be.
            self._turn += len(self.subscriptions) // 3 + 1

    def _push_batch(self, batch: list[Subscription], snapshot: Snapshot) -> None:
        """Pushes to some of the subscribers.

        Who is one of a crowd, and can take it, is only looked at here: with 10,000 subscribers a call of ``push`` for
        each, and what follows from it, was a tenth of their fan-out.
        """
        version = snapshot.version
        together = []
        for each in batch:
            if each._crowd is not None and not each._paused:
                together.append(each)
                continue
            try:
                each.push(snapshot)
            except Exception:
                self._drop(each)
        crowds: dict[Crowd, list[Subscription]] = {}
        for each in together:
            crowd = each._crowd
            # It may have left meanwhile.
            if crowd is not None and (each._repeats or each._sent != version):
                each._sent = version
                crowds.setdefault(crowd, []).append(each)
        for crowd, members in crowds.items():
            try:
                crowd.send_all([each._subscriber for each in members], snapshot)
            except Exception:
                self._drop(*members)

    def _drop(self, *broken: Subscription) -> None:
        """Logs the exception that is being handled, and ends the subscriptions that it came from."""
        _log.failure("feed {feed}: a subscriber broke and is dropped", feed=self.name)
        for subscription in broken:
            subscription.cancel()

    def mark_stale(self) -> None:
        """Takes note of a pull that failed or was refused. The snapshot stays, and no document is pushed."""
        falls = self.state is State.LIVE and self.age_s() >= self.stale_after_s
        if falls:
            self.state = State.STALE
        self._tell()
        if falls or self.push == "tick":
            self._inform()

    def skip_tick(self) -> None:
        """Takes note of a tick at which the source was not asked. Nothing is confirmed, and no document is pushed."""
        if self.push == "tick":
            self._inform()

    def add_codings(self, snapshot: Snapshot, codings: dict[str, bytes]) -> None:
        """Takes what was compressed meanwhile; see :meth:`livefeed.snapshot.Snapshot.add`."""
        snapshot.add(codings)
        self.codings_made += len(codings)
        if snapshot is self.snapshot:
            self._tell()

    def _tell(self) -> None:
        for observer in self.changed:
            try:
                observer()
            except Exception:
                _log.failure("feed {feed}: an observer broke", feed=self.name)

    def subscribe(
        self,
        subscriber: Subscriber,
        *,
        repeats: bool = True,
        informed: bool = False,
        have: str | None = None,
        crowd: Crowd | None = None,
    ) -> Subscription:
        """Begins a subscription, and sends the newest snapshot at once if there is one.

        :param repeats: whether it is also sent at ticks at which it has not changed, where :attr:`push` is ``tick``.
        :param informed: whether the snapshot is sent again when the state changes, and at each tick where :attr:`push`
            is ``tick``; to somebody who is sent the state with it.
        :param have: the version that the subscriber has already: it is not sent that at once.
        :param crowd: what sends snapshots to this subscriber and others; ``None`` if each is sent its own.
        """
        subscription = Subscription(self, subscriber, repeats, informed, crowd)
        self.subscriptions[subscription] = None
        if self.snapshot is not None and self.snapshot.version == have:
            subscription.skip(self.snapshot)
        elif self.snapshot is not None:
            try:
                subscription.push(self.snapshot)
            except BaseException:
                subscription.cancel()
                raise
        return subscription

    def is_gone(self) -> bool:
        """Tells whether the document is too old to be shown."""
        return self.state is not State.LIVE and self.age_s() >= self.gone_after_s

    def age_s(self) -> float:
        """Gives the seconds since a pull last confirmed the snapshot; never negative, though clocks are set back."""
        return max(0.0, self.clock.seconds() - self.confirmed_at)

    def next_tick_s(self) -> float:
        """Gives the seconds until the next tick is due; 0 if it is overdue, and an interval at most."""
        return min(max(0.0, self.tick_at + self.interval_s - self.clock.seconds()), self.interval_s)
