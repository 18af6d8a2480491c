"""The distribution of a feed's versions: which subscribers are sent to, in which order, and how many in one turn.

Subscribers that receive the same bytes form an audience. A batch holds some subscriptions of one audience and sends to
them by one multicast. A push sends the newest version to all subscribers: one slice in each turn of the reactor.

Rules: this file knows no transport, and nothing of the feed's source. Each push begins with the subscribers that the
last one did not reach.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from twisted.logger import Logger

from livefeed.feed.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from livefeed.document.snapshot import Snapshot
    from livefeed.feed.subscription import Subscriber
    from livefeed.feed.trace import VersionTimes

SLICE = 256
"""The largest number of subscribers that are sent to in one turn of the reactor: 4 ms of work."""

SLICE_S = 0.01
"""Seconds after which a turn ends even if its slice is not complete: some messages are rendered for each subscriber."""

BATCH = 32
"""The largest number of subscribers in one batch, which takes half a millisecond."""

_log = Logger()


class Multicast(Protocol):
    """Sends to several subscribers as one, without a look at each."""

    def add(self, subscriber: Any, /) -> None:
        """Adds a subscriber. Its last version is the version that all others in the multicast were sent last."""

    def discard(self, subscriber: Any, /) -> None:
        """Removes a subscriber that was added."""

    def send(self, snapshot: Snapshot, /) -> None:
        """Sends the snapshot, as the ``send`` of each subscriber would. It raises only if no subscriber was sent it."""


class Audience(Protocol):
    """The subscribers that receive the same bytes.

    Audiences are hashable, and two that are equal are one audience: each subscription may bring an object of its own.
    """

    def make_multicast(self) -> Multicast:
        """Makes an empty multicast for some of these subscribers."""


class _BatchKey(NamedTuple):
    """The properties that all subscriptions of a batch share."""

    audience: Audience
    repeats: bool
    with_state: bool


@dataclass(slots=True, eq=False)
class Batch:
    """Some subscriptions of one audience, which are offered a snapshot as one.

    With 10,000 subscribers, none of their objects is in a cache of the processor, and a look at each would take a tenth
    of the fan-out. So a member that has taken a version joins the multicast. Nothing looks at it again until it is
    paused, is delivered something of its own, or leaves.

    :ivar key: the properties that the members share.
    :ivar members: the members.
    """

    # required parameters
    _fanout: Fanout
    _multicast: Multicast
    key: _BatchKey

    # internal state
    members: list[Subscription] = field(default_factory=list)
    _separate: list[Subscription] = field(default_factory=list)  # the members that are not in the multicast
    _sent: str | None = None  # the version that the multicast sent last

    @property
    def size(self) -> int:
        """The number of subscribers."""
        return len(self.members)

    @property
    def with_state(self) -> bool:
        """Whether the subscribers send the state along with the snapshot."""
        return self.key.with_state

    def add(self, subscription: Subscription) -> None:
        """Adds a subscription that is in no batch."""
        subscription.note_batch(self)
        self.members.append(subscription)
        self._separate.append(subscription)

    def remove(self, subscription: Subscription) -> None:
        """Membership API. A batch whose last member leaves is closed."""
        subscription.leave_multicast()
        subscription.note_batch(None)
        self.members.remove(subscription)
        self._separate.remove(subscription)
        if not self.members:
            self._fanout.close(self)

    def separate(self, subscription: Subscription) -> None:
        """Membership API."""
        subscription.note_separated(self._sent)
        self._multicast.discard(subscription.subscriber)
        self._separate.append(subscription)

    def offer(self, snapshot: Snapshot) -> None:
        """Offers the snapshot to all members, with the effect of calling ``offer`` of each."""
        if self._fanout.is_withheld and not self.with_state:
            for each in tuple(self.members):
                each.expire()
            return
        separate = tuple(self._separate)
        # Set before the multicast sends: a member that leaves the multicast meanwhile takes this version along.
        before, self._sent = self._sent, snapshot.version
        wanted = before != snapshot.version or self.key.repeats or self.with_state
        if wanted and len(separate) < len(self.members):
            try:
                self._multicast.send(snapshot)
            except Exception:
                # No member was sent anything. Each is tried by itself, and only members that raise again are dropped:
                # if all were, all would reconnect at once, and each would be sent a whole document.
                self._fanout.log_broken("a message to several; it is tried with each")
                self._separate_all(before)
                separate = tuple(self._separate)
        for each in separate:
            if each.in_multicast or each.batch is not self:
                continue
            each.offer(snapshot)
            if each.sent == self._sent and each.batch is self and not (each.is_paused or each.in_multicast):
                self._join(each)

    def _join(self, subscription: Subscription) -> None:
        """Has a member join the multicast, after it has taken the version that the multicast sent last."""
        try:
            self._multicast.add(subscription.subscriber)
        except Exception:
            # It is unknown whether the multicast would send to it.
            self._fanout.drop(subscription)
        else:
            self._separate.remove(subscription)
            subscription.note_joined()

    def _separate_all(self, sent: str | None) -> None:
        """Takes all members out of the multicast.

        :param sent: the version that they have.
        """
        sent, self._sent = self._sent, sent
        for each in self.members:
            if each.in_multicast:
                self.separate(each)
        self._sent = sent


@dataclass(slots=True)
class PushTimes:
    """The times of the pushes of the document that have ended.

    :ivar ended: their number.
    :ivar spread_s: total seconds from the first to the last subscriber.
    :ivar longest_s: seconds from the first to the last subscriber of the longest push.
    :ivar work_s: total seconds of their work, with that of pushes of the state, and without the turns of other clients.
    """

    ended: int = 0
    spread_s: float = 0.0
    longest_s: float = 0.0
    work_s: float = 0.0


@dataclass(slots=True, eq=False)
class Fanout:
    """The subscriptions of one feed, and the pushes to them.

    It refers to no feed: a feed that is forgotten, as that of a part, is then freed without the garbage collector.

    :ivar name: the feed's name, for the log.
    :ivar clock: schedules the slices and measures them.
    :ivar newest: the snapshot that subscribers are sent; ``None`` before the first.
    :ivar is_withheld: whether the document must not be shown. Only subscribers that send the state receive it then.
    :ivar is_unpushed: whether no push of the newest version has begun.
    :ivar taken_s: when the newest version was taken, by the clock; minus infinity if none was.
    :ivar pushes: the number of pushes of the document since the start.
    :ivar sent_at: when the last push began, of the document or of the state: by it, all subscribers that send the state
        were sent something. By the clock; minus infinity before the first.
    :ivar dropped: the number of subscribers that were disconnected after an error.
    :ivar skipped: the number of versions that slow subscribers were not sent: each was replaced by a newer one.
    :ivar times: how long pushes took.
    :ivar traced: takes the times of the push of the newest version; ``None`` if nothing does.
    :ivar subscriptions: all subscriptions (a dict, since a set has no order).
    """

    # required parameters
    name: str
    clock: IReactorTime

    # internal state
    newest: Snapshot | None = None
    is_withheld: bool = False
    is_unpushed: bool = False
    taken_s: float = -inf
    pushes: int = 0
    sent_at: float = -inf
    dropped: int = 0
    skipped: int = 0
    times: PushTimes = field(default_factory=PushTimes)
    traced: VersionTimes | None = None
    subscriptions: dict[Subscription, None] = field(default_factory=dict)
    _unbatched: dict[Subscription, None] = field(default_factory=dict)  # the subscriptions that are in no batch
    _batches: dict[Batch, None] = field(default_factory=dict)
    _open: dict[_BatchKey, Batch] = field(default_factory=dict)  # the batches that new subscriptions may join
    _waiting: list[Subscription | Batch] = field(default_factory=list)  # for their turn of the push; the last is next
    _turn: int = 0  # the number of units that had their turn; the next push begins there
    _slice_call: IDelayedCall | None = None
    _began_s: float | None = None  # when the push that is under way began; None if none is
    _logged: object = None  # the type of the subscriber's exception that was logged last, in this tick and push

    def add(
        self,
        subscriber: Subscriber,
        *,
        repeats: bool,
        with_state: bool,
        audience: Audience | None,
        expire: Callable[[], object] | None,
    ) -> Subscription:
        """Adds a subscription. The parameters are those of :meth:`.feed.Feed.subscribe`."""
        subscription = Subscription(self, subscriber, repeats, with_state, expire)
        self.subscriptions[subscription] = None
        if audience is None:
            self._unbatched[subscription] = None
        else:
            self._open_batch(_BatchKey(audience, repeats, with_state)).add(subscription)
        return subscription

    def take(self, snapshot: Snapshot) -> None:
        """Takes a new version, which the next push sends."""
        self.newest = snapshot
        self.is_unpushed = True
        self.taken_s = self.clock.seconds()

    def push(self) -> int:
        """Begins a push of the newest version to all subscribers.

        :returns: the number of its subscribers, without those that the push before has not reached.
        """
        self.pushes += 1
        # They are counted before they are sent to: requests that wait leave at once.
        count = len(self.subscriptions) - sum(each.size for each in self._waiting)
        self._began_s = self.sent_at = now = self.clock.seconds()
        if self.traced is not None and self.traced.first_s is None:
            self.traced.first_s = now
        self._begin()
        return count

    def push_state(self, *, to_all: bool) -> None:
        """Begins to send the state, with the newest snapshot.

        :param to_all: whether subscribers that do not send the state are told, too: the document must not be shown any
            more, or may be shown again.
        """
        if self.newest is not None:
            self.sent_at = self.clock.seconds()
        if to_all:
            self._begin()
        elif self.newest is not None:
            # Subscribers that the last push has not reached will be sent the state by that push, before the others.
            if not self._waiting:
                self._merge()
            waiting = set(self._waiting)
            self._waiting[:0] = [each for each in self._units() if each.with_state and each not in waiting]
            self._open.clear()  # as in _begin
            self._push_slice()

    def _begin(self) -> None:
        # New subscribers receive this version immediately, so they must not join a batch that is still queued for it.
        self._open.clear()
        self._merge()
        # The push begins where the last one has stopped, or a third further on if that reached all: otherwise the same
        # subscribers would always be the last ones.
        units = self._units()
        start = self._turn % max(len(units), 1)
        self._waiting = units[start:] + units[:start]
        self._waiting.reverse()
        self.is_unpushed = False
        self._push_slice()

    def _push_slice(self) -> None:
        """Offers the newest snapshot to some subscribers, and leaves the others to the next turns of the reactor.

        Other clients are served in between: a push to 10,000 takes 0.16 s.
        """
        if self._slice_call is not None and self._slice_call.active():
            self._slice_call.cancel()
        self._slice_call = None
        if self.newest is None:
            # The feed is that of a part, of which no version could be made.
            self._waiting.clear()
            return
        left, began = SLICE, self.clock.seconds()
        end = began + SLICE_S
        while self._waiting and self._waiting[-1].size <= left:
            unit = self._waiting.pop()
            self._turn += 1
            left -= unit.size
            unit.offer(self.newest)
            if self.clock.seconds() > end:
                break
        now = self.clock.seconds()
        self.times.work_s += now - began
        if self._waiting:
            self._slice_call = self.clock.callLater(0, self._push_slice)
        else:
            self._note_end(now)
            # A complete push leaves the start where it was: it is moved on by a third.
            self._turn += len(self._units()) // 3 + 1

    def _note_end(self, now: float) -> None:
        if self._began_s is not None:
            spread_s, self._began_s = now - self._began_s, None
            times = self.times
            times.ended += 1
            times.spread_s += spread_s
            times.longest_s = max(times.longest_s, spread_s)
            traced = self.traced
            if traced is not None and traced.last_s is None and traced.first_s is not None:
                traced.last_s, traced.subscribers = now, len(self.subscriptions)

    def _units(self) -> list[Subscription | Batch]:
        """Gives the batches, and the subscriptions that are in none."""
        return [*self._unbatched, *self._batches]

    def begin_tick(self) -> None:
        """Takes note of a tick: exceptions of subscribers are logged again."""
        self._logged = None

    def drop(self, subscription: Subscription) -> None:
        """Distributor API."""
        self.log_broken("it is disconnected")
        self.dropped += 1
        try:
            subscription.cancel()
        finally:
            try:
                subscription.subscriber.drop()
            except Exception:
                _log.failure('feed "{feed}": a subscriber that broke could not be disconnected', feed=self.name)

    def log_broken(self, consequence: str) -> None:
        """Logs the exception of a subscriber that is being handled, and its consequence.

        Thousands of subscribers may raise the same type at once: only the first of each tick and push is logged.
        """
        logged = self.pushes, sys.exc_info()[0]
        if self._logged != logged:
            self._logged = logged
            _log.failure('feed "{feed}": a subscriber broke: {what}', feed=self.name, what=consequence)

    def forget(self, subscription: Subscription) -> None:
        """Distributor API."""
        self.subscriptions.pop(subscription, None)
        self._unbatched.pop(subscription, None)
        if subscription.batch is not None:
            subscription.batch.remove(subscription)

    def close(self, batch: Batch) -> None:
        """Removes a batch that has no members any more."""
        del self._batches[batch]
        if self._open.get(batch.key) is batch:
            del self._open[batch.key]

    def _open_batch(self, key: _BatchKey) -> Batch:
        """Gives a batch that a new subscription may join: one that is not queued for a push."""
        batch = self._open.get(key)
        if batch is None or batch.size >= BATCH:
            batch = self._open[key] = Batch(self, key.audience.make_multicast(), key)
            self._batches[batch] = None
        return batch

    def _merge(self) -> None:
        """Joins batches that are at most half full, two at a time: subscribers come and go."""
        halves: dict[_BatchKey, Batch] = {}
        for batch in [each for each in self._batches if each.size <= BATCH // 2]:
            into = halves.setdefault(batch.key, batch)
            if into is batch:
                continue
            for each in tuple(batch.members):
                batch.remove(each)
                into.add(each)
            if into.size > BATCH // 2:
                del halves[batch.key]
