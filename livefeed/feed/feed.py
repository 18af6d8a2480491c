"""The state of a feed: its newest snapshot, how current that is, and when this changes without a pull.

Rules: this file knows no transport, and no source. All changes of a feed's state are methods of :class:`Feed`. A feed
that nothing confirms becomes stale, and then expired, without any other event. A decision of the operator lies above
that, and only the operator changes it: pulls go on below.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import TYPE_CHECKING

from twisted.logger import Logger

from livefeed.clocks import Moment
from livefeed.document.history import NO_DELTAS, History
from livefeed.document.snapshot import Sequence, Snapshot
from livefeed.document.timestamps import length_of
from livefeed.feed.fanout import Fanout
from livefeed.feed.tally import Tally
from livefeed.feed.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from livefeed.config.settings import Push
    from livefeed.document.history import Deltas
    from livefeed.document.snapshot import Representation
    from livefeed.document.stored_version import StoredVersion
    from livefeed.feed.fanout import Audience
    from livefeed.feed.subscription import Subscriber, Subscription

OVERDUE_S = 10.0
"""The longest time in seconds after which clients come back while a tick is overdue. A pull takes no longer."""

DUE_S = 0.001
"""A change of state that is due within this many seconds is due now: sums of floats are not exact."""

_log = Logger()


class State(StrEnum):
    """How current a feed is, or the operator's decision about its document."""

    LIVE = "live"
    """The last pull gave a document that may be served, or pulls have failed for less time than the operator allows."""
    STALE = "stale"
    """Pulls fail or are refused, or no pull has ended for long. The served document is older than it should be."""
    EXPIRED = "expired"
    """The document is too old to be shown."""
    HELD = "held"
    """A newer document exists and is held back. The served one is the last that passed."""
    ENDED = "ended"
    """No more versions will come. The document stays, whatever its age."""
    WITHDRAWN = "withdrawn"
    """The operator has withdrawn the document: it must not be shown, whatever its age."""


DECISIONS = {
    State.HELD: "newer versions are held back",
    State.ENDED: "no more versions will come",
    State.WITHDRAWN: "the document is withdrawn",
}
"""The states that follow from a decision and not from pulls, each with its meaning in the words of the log."""

_GONE = (State.EXPIRED, State.WITHDRAWN)


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything that decides about a feed besides its snapshot, for a feed in another process that follows it.

    :ivar state: how current the feed is, without the decision.
    :ivar confirmed: when a pull last gave the snapshot's document; ``None`` before the first.
    :ivar heard_at_s: when something was last heard of the source, by the clock.
    :ivar tick_at_s: when the last tick began, by the clock.
    :ivar failing: why the last pull failed; ``None`` if it did not.
    :ivar has_lapsed: whether the feed is stale because nothing was heard of the source.
    :ivar is_between_ticks: whether the last new version came between two ticks.
    :ivar patience_s: seconds without news of the source after which the feed becomes stale.
    :ivar interval_s: this and the five that follow are the settings of the feed.
    :ivar decision: the operator's decision; ``None`` for none.
    :ivar decided_at_s: when it was made, by the clock; minus infinity for never.
    """

    state: State
    confirmed: Moment | None
    heard_at_s: float
    tick_at_s: float
    failing: str | None
    has_lapsed: bool
    is_between_ticks: bool
    patience_s: float
    interval_s: float
    push: Push
    stale_after_s: float
    gone_after_s: float
    max_delta_bytes: int
    decision: State | None = None
    decided_at_s: float = -inf


@dataclass(frozen=True, slots=True)
class LastError:
    """The reason why the last pull that failed did.

    :ivar why: the reason, without credentials.
    :ivar at: when it failed, for display: in seconds since 1970.
    """

    why: str
    at: float


@dataclass(slots=True, eq=False)
class Feed:
    """A named JSON document that clients follow.

    :ivar name: the document is served at ``/name``.
    :ivar clock: schedules and measures.
    :ivar interval_s: seconds from one tick to the next.
    :ivar push: ``tick`` sends the document at each good pull, as a sign of life; ``change`` only when it changed.
    :ivar stale_after_s: the age of the document in seconds at which the feed becomes stale while pulls fail.
    :ivar gone_after_s: the age of the document in seconds at which the feed expires. While pulls are good this is at
        least two intervals, or a feed with a long interval would expire before each tick.
    :ivar wall: gives the time that is displayed, in seconds since 1970; ``None`` for that of :attr:`clock`.
    :ivar whole: the feed of which this one is a part, and whose state it takes over; ``None`` if it is no part.
    :ivar pointer: the JSON Pointer of this part in the whole (RFC 6901); empty if it is no part.
    :ivar is_replica: whether this feed follows the same feed of another process, which logs its changes of state.
    :ivar patience_s: seconds without news of the source after which the feed becomes stale.
    :ivar snapshot: the newest version; ``None`` before the first good pull.
    :ivar freshness: how current the feed is: live, stale or expired.
    :ivar state: the state that clients are told: the freshness, or the decision above it; see :meth:`decide`.
    :ivar is_missing: whether this is a part that the whole does not have any more. The snapshot is then the last one.
    :ivar confirmed: when a pull last gave the snapshot's document; ``None`` before the first.
    :ivar tick_at: when the last tick began, by the clock; minus infinity before the first.
    :ivar pushed_at: when the last push of the document began, by the clock; minus infinity before the first.
    :ivar versions: the number of versions that were published since the start; restored ones do not count.
    :ivar last_error: the reason why the last pull that failed did; ``None`` if none has failed since the start.
    :ivar codings_made: the number of representations that this process has compressed since the start.
    :ivar hashes_made: the number of hashes that this process has computed for snapshots since the start.
    :ivar tally: counts what happened to the watchers, with those of the parts.
    :ivar trace: the times of the last versions; those of a part are not kept.
    :ivar history: the versions before the newest one, and the deltas from them.
    :ivar fanout: the subscriptions, and the pushes to them.
    :ivar subscriptions: all subscriptions, which the fan-out adds and removes.
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
    pointer: str = ""
    is_replica: bool = False

    # internal state
    patience_s: float = inf
    snapshot: Snapshot | None = None
    freshness: State = State.STALE
    state: State = State.STALE
    is_missing: bool = False
    confirmed: Moment | None = None
    tick_at: float = -inf
    pushed_at: float = -inf
    versions: int = 0
    codings_made: int = 0
    hashes_made: int = 0
    last_error: LastError | None = None
    tally: Tally = field(default_factory=Tally)
    trace: Trace = field(default_factory=Trace)
    history: History = field(default_factory=History)
    fanout: Fanout = field(init=False)
    subscriptions: dict[Subscription, None] = field(init=False)  # no property: requests that wait count them
    _observers: list[Callable[[], object]] = field(default_factory=list)
    _sequence: Sequence = field(init=False)
    _pushed_in_between: bool = False  # whether the last publish was a new version between two ticks
    _failing: str | None = None  # why the last pull failed; None if it did not
    _heard_at: float = -inf  # when a pull last confirmed the document, or the source said that it still holds
    _lapsed: bool = False  # whether the feed is stale because nothing was heard of the source: no pull has failed since
    _watch_call: IDelayedCall | None = None
    _decision: State | None = None  # that of the whole counts for a part
    _decided_at: float = -inf

    def __post_init__(self) -> None:
        self.fanout = Fanout(self.name, self.clock)
        self.subscriptions = self.fanout.subscriptions
        if self.whole is not None:
            self.tally = self.whole.tally
        self._sequence = Sequence(int(self._now().wall_s * 1000), 0)

    @property
    def path(self) -> str:
        """The path of the feed or part, without percent-encoding: its only one."""
        return f"/{self.name if self.whole is None else self.whole.name}{self.pointer}"

    # Versions

    def restore(self, versions: Iterable[StoredVersion], *, age_s: float | None = None) -> None:
        """Takes the versions of an earlier process, before anything is published. The last one is served as stale.

        The versions that follow belong to a new epoch, which is later whatever the clock says.

        :param versions: one or more, the oldest first.
        :param age_s: the age of the last version in seconds; ``None`` if only the wall clock tells it. If that puts the
            version in the future, its age counts from now.
        """
        *older, newest = versions
        # The older ones are not served again. To compress 60 of 56 KB would take 0.3 s of the start.
        for version in older:
            self.history.recall(version.data)
        self.snapshot = self.fanout.newest = Snapshot.of(newest.data, newest.sequence)
        self.history.add(self.snapshot)
        now = self._now()
        before_s = max(0.0, now.wall_s - newest.at) if age_s is None else age_s
        self.confirmed = Moment(now.measured_s - before_s, newest.at, by_wall=age_s is None)
        epoch = max(version.sequence.epoch for version in (*older, newest))
        self._sequence = Sequence(max(self._sequence.epoch, epoch + 1), 0)
        self._change_state_if_due()

    def recall(self, versions: Iterable[StoredVersion]) -> None:
        """Takes versions before the newest one, from which deltas can be made: those of an earlier process.

        :param versions: the oldest first. The newest one of this feed may be among them.
        """
        self.history.recall_before(version.data for version in versions)

    def resume(self, picture: Picture, snapshot: Snapshot) -> None:
        """Takes the newest version and the state of an earlier process from one that has followed it.

        This comes before anything is published, and after :meth:`restore`. The settings of this feed stay. The versions
        that follow belong to a later epoch.

        :param picture: the feed of the other process, whose clock is the same.
        :param snapshot: its newest version, which is not older than the one of this feed; the snapshot of this feed if
            that is the same.
        """
        if snapshot is not self.snapshot:
            self.snapshot = self.fanout.newest = snapshot
            self.history.add(snapshot)
        if snapshot.sequence >= self._sequence:
            self._sequence = Sequence(snapshot.sequence.epoch + 1, 0)
        self.tick_at = picture.tick_at_s
        self.confirmed, self._heard_at = picture.confirmed, picture.heard_at_s
        self._failing, self._lapsed = picture.failing, picture.has_lapsed
        self.patience_s = picture.patience_s
        self._take_decision(picture)
        self._enter(picture.state)
        self._change_state_if_due()
        self._notify_observers()

    @property
    def has_heard(self) -> bool:
        """Whether something was heard of the source, by this process or by one whose feed this one follows."""
        return self._heard_at > -inf

    def next_sequence(self) -> Sequence:
        """Gives the sequence for the next version."""
        return self._sequence.next()

    def publish(
        self,
        snapshot: Snapshot,
        *,
        is_tick: bool = True,
        deltas: Deltas = NO_DELTAS,
        confirmed: Moment | None = None,
        at_s: float | None = None,
    ) -> None:
        """Takes the snapshot of a good pull: makes it the newest version unless it is that already, and pushes it.

        :param snapshot: the snapshot of a document that has passed the gate, with the sequence that it is to have; or
            the newest snapshot.
        :param is_tick: whether the pull was that of a tick, and not one between ticks after the source told of a
            change.
        :param deltas: the deltas from the newest version to this one that were made already.
        :param confirmed: when the pull gave the document; ``None`` for now.
        :param at_s: when the pull ended, by the clock; ``None`` for now.
        """
        # A part that is back is sent again, even if its bytes are the same as before.
        is_new = self.is_missing or self.snapshot is None or snapshot.version != self.snapshot.version
        if is_new:
            self._take(snapshot, deltas)
        before, was_live, was_gone = self.state, self.freshness is State.LIVE, self.is_gone()
        self._enter(State.LIVE)
        now_s = self.clock.seconds()
        self._heard_at = now_s if at_s is None else at_s
        self.confirmed = self._moment_of(now_s) if confirmed is None else confirmed
        self._lapsed, self._failing = False, None
        if not was_live:
            self._watch()
        self._notify_observers()
        # A version between two ticks was the sign of life already.
        repeats = self.push == "tick" and is_tick and not self._pushed_in_between
        self._pushed_in_between = is_new and not is_tick
        # If the last publish raised half-way, the version is there, and no subscriber was sent it.
        if self.fanout.is_unpushed or repeats or (was_gone and not self.is_gone()):
            self.pushed_at = now_s
            self.tally.delivered += self.fanout.push()
        elif self.state is not before:
            self.fanout.push_state(to_all=self.is_gone())

    def _take(self, snapshot: Snapshot, deltas: Deltas) -> None:
        """Makes a snapshot the newest one. A push of it is still to be begun."""
        self._sequence = snapshot.sequence
        self.snapshot = snapshot
        self.fanout.take(snapshot)
        self.versions += 1
        self.codings_made += snapshot.work.codings
        self.hashes_made += snapshot.work.hashes
        if deltas:
            self.history.prepare(snapshot, deltas)
        self.history.add(snapshot)
        self.is_missing = False
        if self.whole is None:
            now = self._now()
            self.fanout.traced = self.trace.note_published(snapshot, now.measured_s, now.wall_s)

    def add_codings(self, snapshot: Snapshot, codings: dict[str, bytes]) -> None:
        """Adds codings that were compressed meanwhile; see :meth:`livefeed.document.snapshot.Snapshot.add`."""
        before = snapshot.work.hashes
        snapshot.add(codings)
        self.codings_made += len(codings)
        self.hashes_made += snapshot.work.hashes - before
        if snapshot is self.snapshot:
            self._notify_observers()

    def include(self, representations: Iterable[Representation]) -> None:
        """Adds representations of the newest snapshot that another process has made."""
        assert self.snapshot is not None
        self.snapshot.include(representations)
        self._notify_observers()

    def complete(self, snapshot: Snapshot) -> None:
        """Replaces the newest snapshot by one of the same version that has more codings. An older one is ignored."""
        if self.snapshot is not None and self.snapshot.version == snapshot.version:
            self.codings_made += len(snapshot.representations) - len(self.snapshot.representations)
            self.hashes_made += snapshot.work.hashes
            self.snapshot = self.fanout.newest = snapshot
            self._notify_observers()

    # Ticks

    def begin_tick(self, at_s: float | None = None) -> None:
        """Takes note that a tick begins. A part takes over the interval of its whole, which may have changed.

        :param at_s: when it has begun, by the clock; ``None`` for now.
        """
        self.tick_at = self.clock.seconds() if at_s is None else at_s
        if self.whole is not None:
            self.interval_s = self.whole.interval_s
        self.fanout.begin_tick()

    def confirm(self, at_s: float) -> None:
        """Takes note of a pull that gave the snapshot's document.

        :param at_s: when the pull gave it, by the clock.
        """
        self.confirmed = self._moment_of(at_s)
        self._heard_at = self.clock.seconds()

    def note_confirmed(self, confirmed: Moment, at_s: float) -> None:
        """Takes note that another process has confirmed the snapshot's document.

        :param confirmed: when a pull gave it.
        :param at_s: when that was noted, by the clock.
        """
        self.confirmed, self._heard_at = confirmed, at_s

    def confirm_as_whole(self) -> None:
        """Takes over the time at which the document was confirmed that this part belongs to."""
        assert self.whole is not None
        self.confirmed = self.whole.confirmed

    def skip_tick(self, at_s: float | None = None) -> None:
        """Takes note of a tick at which the source was not asked, because it has said that its last answer still holds.

        This confirms nothing, and no document is pushed. A feed that was stale only because nothing was heard is live.

        :param at_s: when that was, by the clock; ``None`` for now.
        """
        before = self._standing
        self._heard_at = self.clock.seconds() if at_s is None else at_s
        if self._lapsed:
            self._lapsed = False
            self._enter(State.LIVE)
            self._announce_state(before)
        elif self.push == "tick":
            self.fanout.push_state(to_all=False)

    def mark_stale(self, why: str = "") -> None:
        """Takes note of a pull that failed or was refused. The snapshot stays, and no document is pushed.

        :param why: the reason for the log, in case the feed becomes stale some time later.
        """
        was_failing = self._failing is not None
        self._lapsed, self._failing = False, why
        if why:
            self.last_error = LastError(why, self._now().wall_s)
        before = self._standing
        if self.whole is not None:
            # While the whole is live, only this part could not be made.
            self._enter(State.STALE if self.whole.freshness is State.LIVE else self.whole.freshness)
        elif self.freshness is State.LIVE and self.age_s() >= self.stale_after_s:
            self._enter(State.STALE)
        self._expire_if_due()
        if self.freshness is State.LIVE and not was_failing:
            self._watch()  # it becomes stale sooner than if nothing were heard
        self._announce_state(before)

    def mark_missing(self) -> None:
        """Takes note that the whole does not have this part now.

        Its subscribers keep it, and those that send the state are called once when it vanishes.

        Its time stays that of its last confirmation. Once it has expired it stays so until it is back: if it became
        live with the whole, a value that no longer exists would be shown again. The same holds if the document is
        withdrawn meanwhile.
        """
        assert self.whole is not None
        vanishes, self.is_missing = not self.is_missing, True
        before = self._standing
        stays_hidden = self.freshness is State.EXPIRED or self.whole.is_gone()
        self._enter(State.EXPIRED if stays_hidden else self.whole.freshness)
        if self.state is not before[1]:
            self._announce_state(before)
        elif vanishes:
            self._notify_observers()
            self.fanout.push_state(to_all=False)

    # States

    def decide(self, decision: State | None) -> None:
        """Takes an operator's decision about the document, which holds until the next one, whatever pulls give.

        The decision is above the freshness: withdrawn, then ended, expired, held, stale and live. So an ended document
        does not expire, and one that is held does. The parts follow their whole.

        :param decision: held, ended or withdrawn; ``None`` for no decision.
        :raises ValueError: if the state is none of these.
        """
        if decision is not None and decision not in DECISIONS:
            raise ValueError(f"{decision} follows from pulls, and cannot be decided")
        assert self.whole is None
        self._decided_at = self.clock.seconds()
        if decision is self._decision:
            return
        before, earlier, self._decision = self._standing, self._decision, decision
        self._enter(self.freshness)
        self._change_freshness_if_due()  # an ended document may be too old by now
        if decision is not None:
            _log.info('feed "{feed}" is {state}: {why}', feed=self.name, state=decision.value, why=DECISIONS[decision])
        elif earlier is not None:
            text = 'feed "{feed}" is {state} again, and not {earlier} any more'
            _log.info(text, feed=self.name, state=self.state.value, earlier=earlier.value)
        self._announce_state(before)

    def _take_decision(self, picture: Picture) -> None:
        """Takes the decision of another process, unless the one of this feed is later.

        A parent that has just started knows of no decision, and its workers do: what is withdrawn stays withdrawn.
        """
        if picture.decided_at_s >= self._decided_at:
            self._decision, self._decided_at = picture.decision, picture.decided_at_s

    @property
    def decision(self) -> State | None:
        """The operator's decision about the document; ``None`` for none. That of the whole holds for its parts."""
        return self._decision if self.whole is None else self.whole.decision

    def configure(
        self, *, interval_s: float, push: Push, stale_after_s: float, gone_after_s: float, max_delta_bytes: int
    ) -> None:
        """Changes settings while clients follow the feed, and its state if it is due then. Parts follow their whole.

        :param max_delta_bytes: the size in bytes of the largest document of which deltas are made.
        """
        self.interval_s, self.push = interval_s, push
        self.stale_after_s, self.gone_after_s = stale_after_s, gone_after_s
        self.history.max_document_bytes = max_delta_bytes
        self._change_state_if_due()

    def start_watching(self, patience_s: float) -> None:
        """Has the feed become stale without any other event.

        :param patience_s: seconds after which that happens if nothing is heard of the source.
        """
        self.patience_s = patience_s
        self._watch()

    def stop_watching(self) -> None:
        """Has the state change no more without another event: nothing is pulled from now on."""
        self.patience_s = inf
        if self._watch_call is not None:
            self._watch_call.cancel()
            self._watch_call = None

    # Replicas

    def picture(self) -> Picture:
        """Gives everything that decides about the feed, besides its snapshot."""
        return Picture(
            state=self.freshness,
            confirmed=self.confirmed,
            heard_at_s=self._heard_at,
            tick_at_s=self.tick_at,
            failing=self._failing,
            has_lapsed=self._lapsed,
            is_between_ticks=self._pushed_in_between,
            patience_s=self.patience_s,
            interval_s=self.interval_s,
            push=self.push,
            stale_after_s=self.stale_after_s,
            gone_after_s=self.gone_after_s,
            max_delta_bytes=self.history.max_document_bytes,
            decision=self._decision,
            decided_at_s=self._decided_at,
        )

    def follow(self, picture: Picture, snapshot: Snapshot | None) -> None:
        """Becomes like the same feed of another process, after an unknown number of its transitions.

        Subscribers are sent the newest version if they do not have it, and otherwise the state. Only news are a sign of
        life: a new parent shows a feed before it has heard anything of its source.

        :param picture: that feed. While the document of this one is newer, only its settings and patience count.
        :param snapshot: the newest snapshot of that feed, which may be the newest one of this feed; ``None`` if it has
            none, or an older one.
        """
        before, was_gone = self._standing, self.is_gone()
        is_later = picture.tick_at_s > self.tick_at or picture.heard_at_s > self._heard_at
        is_same = snapshot is not None and self.snapshot is not None and self.snapshot.version == snapshot.version
        knows_less = is_same and picture.heard_at_s < self._heard_at and picture.failing is None
        self.interval_s, self.push = picture.interval_s, picture.push
        self.stale_after_s, self.gone_after_s = picture.stale_after_s, picture.gone_after_s
        self.history.max_document_bytes = picture.max_delta_bytes
        # A process that has not begun to pull has no patience yet.
        self.patience_s = picture.patience_s if picture.patience_s < inf else self.patience_s
        self.tick_at = max(self.tick_at, picture.tick_at_s)
        self._take_decision(picture)
        if snapshot is None and self.snapshot is not None:
            self._enter(self.freshness)
            self._change_freshness_if_due()
            if self._standing != before:
                self._announce_state(before)
            return
        if snapshot is not None and not is_same:
            self._take(snapshot, NO_DELTAS)
        elif snapshot is not None:
            if self.snapshot is not None and self.snapshot.sequence != snapshot.sequence:
                # It has changed and changed back: like subscribers who were too slow for that, all are sent it again.
                self.fanout.take(snapshot)
            self.snapshot = self.fanout.newest = snapshot
        if knows_less:
            self._enter(self.freshness)
            self._change_state_if_due()
        else:
            self.confirmed, self._heard_at = picture.confirmed, picture.heard_at_s
            self._failing, self._lapsed = picture.failing, picture.has_lapsed
            self._pushed_in_between = picture.is_between_ticks
            self._enter(picture.state)
            self._watch()
        self._notify_observers()
        changes = self.state is not before[1]
        is_shown_again = was_gone and not self.is_gone()
        repeats = self.push == "tick" and is_later
        if self.fanout.is_unpushed or is_shown_again or (repeats and self.freshness is State.LIVE):
            self.pushed_at = self.clock.seconds()
            self.tally.delivered += self.fanout.push()
        elif changes or repeats:
            self.fanout.push_state(to_all=changes and self.is_gone())

    def _enter(self, freshness: State) -> None:
        """Takes the freshness, and works out the state from it and the decision."""
        self.freshness = self.state = freshness
        decision = self.decision
        if decision is not None:
            # The value of a missing part that has expired must not come back because the whole has ended.
            is_hidden = freshness is State.EXPIRED and (decision is State.HELD or self.is_missing)
            if decision is State.WITHDRAWN or not is_hidden:
                self.state = decision
        self.fanout.is_withheld = self.is_gone()

    @property
    def _standing(self) -> tuple[State, State]:
        """The freshness, and the state."""
        return self.freshness, self.state

    def _announce_state(self, before: tuple[State, State]) -> None:
        """Tells observers and subscribers the state.

        :param before: freshness and state before, which may be the same.
        """
        changes = self.state is not before[1]
        if changes and self.state is State.EXPIRED and self.whole is None and not self.is_replica:
            text = (
                'feed "{feed}" is expired: its document was last confirmed {age:.0f} s ago, and is not shown any more'
            )
            _log.warn(text, feed=self.name, age=self.age_s())
        self._notify_observers()
        if self._standing != before:
            self._watch()
        if changes or self.push == "tick":
            self.fanout.push_state(to_all=changes and (before[1] in _GONE or self.is_gone()))

    def _watch(self) -> None:
        """Schedules the next change of state that needs no other event.

        One call stands for all of them. It is scheduled anew when the state changes or when the call came too early,
        and not at each tick.
        """
        if self._watch_call is not None:
            self._watch_call.cancel()
            self._watch_call = None
        due_s = self.expires_in_s() if self.freshness is not State.EXPIRED else inf
        if self.freshness is State.LIVE:
            due_s = min(due_s, self._lapses_in_s())
        if due_s < inf and self.whole is None:
            # A message of another process may be older than the patience.
            self._watch_call = self.clock.callLater(max(0.0, due_s), self._end_watch)

    def _end_watch(self) -> None:
        self._watch_call = None
        self._change_state_if_due()

    def _change_state_if_due(self) -> None:
        before = self._standing
        self._change_freshness_if_due()
        if self._standing == before:
            self._watch()
        else:
            self._announce_state(before)

    def _change_freshness_if_due(self) -> None:
        before = self.freshness
        if before is State.LIVE and self._lapses_in_s() <= DUE_S:
            self._enter(State.STALE)
            self._lapsed = self._failing is None
        self._expire_if_due()
        if self.freshness is before:
            return
        self._lapsed = self._lapsed or (before is State.LIVE and self._failing is None)
        if self.freshness is State.STALE and not self.is_replica:
            _log.warn('feed "{feed}" is stale: {why}', feed=self.name, why=self._why_not_live())

    def _expire_if_due(self) -> None:
        if self.whole is None and self.snapshot is not None and self.expires_in_s() <= DUE_S:
            self._enter(State.EXPIRED)

    @property
    def reason(self) -> str:
        """Why the feed is in its state, in the words of the log; ``""`` if the last pull was good."""
        decided = DECISIONS.get(self.state, "")
        return "; ".join(filter(None, (decided, self._why_not_live())))

    def _why_not_live(self) -> str:
        if self._failing:
            return self._failing
        if self.freshness is State.LIVE:
            return ""
        if self._lapsed:
            return f"no pull has ended for {length_of(self.clock.seconds() - self._heard_at)} s"
        if self.snapshot is None:
            return "nothing was pulled yet"
        return f"its document was last confirmed {self.age_s():.0f} s ago"

    # Times

    def _lapses_in_s(self) -> float:
        """Gives the seconds until a live feed becomes stale if no pull is good, and nothing is heard of the source."""
        if self._failing is not None:
            return self.stale_in_s()
        return self._heard_at + max(self.patience_s, self.stale_after_s) - self.clock.seconds()

    def stale_in_s(self) -> float:
        """Gives the seconds until the feed becomes stale if all pulls fail."""
        return max(0.0, self.stale_after_s - self.age_s())

    def expires_in_s(self) -> float:
        """Gives the seconds until the document is too old to be shown if nothing confirms it; may be infinite."""
        if self.whole is not None:
            return self.whole.expires_in_s()
        if self.snapshot is None or self._decision is State.ENDED:
            return inf
        since_s, most_s = self.age_s(), self.gone_after_s
        if self.freshness is State.LIVE or self._lapsed:
            since_s = min(since_s, self.clock.seconds() - self._heard_at)
        if self.freshness is State.LIVE:
            most_s = max(most_s, 2 * self.interval_s)
        return max(0.0, most_s - since_s)

    def is_gone(self) -> bool:
        """Tells whether the document must not be shown: it is too old, or withdrawn."""
        return self.state in _GONE

    @property
    def confirmed_at(self) -> float:
        """When a pull last gave the snapshot's document, for display: in seconds since 1970; 0 before the first."""
        return 0.0 if self.confirmed is None else self.confirmed.displayed(self._now())

    def age_s(self) -> float:
        """Gives the seconds since a pull last confirmed the snapshot; 0 before the first, and never negative."""
        return 0.0 if self.confirmed is None else self.confirmed.age_s(self._now())

    def next_tick_s(self) -> float:
        """Gives the seconds until the next tick is due, at most one interval.

        While it is overdue, this is the interval or :data:`OVERDUE_S`, whichever is shorter, and not 0: while a source
        hangs, its clients would ask again and again.
        """
        pulled = self if self.whole is None else self.whole
        left_s = pulled.tick_at + pulled.interval_s - self.clock.seconds()
        return min(left_s if left_s > 0.0 else OVERDUE_S, pulled.interval_s)

    def _moment_of(self, at_s: float) -> Moment:
        """Gives a point in time of the clock that is not long ago, by both clocks."""
        now = self._now()
        return Moment(at_s, now.wall_s - (now.measured_s - at_s))

    def _now(self) -> Moment:
        measured_s = self.clock.seconds()
        return Moment(measured_s, measured_s if self.wall is None else self.wall())

    # Observers and subscribers

    def observe(self, callback: Callable[[], object]) -> None:
        """Has a function called at each tick, when the answers of the feed change, and before anything is pushed."""
        self._observers.append(callback)

    def unobserve(self, callback: Callable[[], object]) -> None:
        """Has a function that :meth:`observe` was given called no more.

        :raises ValueError: if it was not given.
        """
        self._observers.remove(callback)

    def _notify_observers(self) -> None:
        for callback in tuple(self._observers):
            try:
                callback()
            except Exception:
                _log.failure('feed "{feed}": an observer broke', feed=self.name)

    def subscribe(  # noqa: PLR0913 - each transport wants something else
        self,
        subscriber: Subscriber,
        *,
        repeats: bool = True,
        with_state: bool = False,
        have: str | None = None,
        audience: Audience | None = None,
        expire: Callable[[], object] | None = None,
        is_paused: bool = False,
    ) -> Subscription:
        """Begins a subscription, and sends the newest snapshot immediately if there is one.

        :param repeats: whether the subscriber is also sent an unchanged snapshot at each tick, where :attr:`push` is
            ``tick``.
        :param with_state: whether the subscriber sends the state along: the snapshot is sent again when the state
            changes, and at each tick where :attr:`push` is ``tick``.
        :param have: the version that the subscriber has already, which is not sent immediately.
        :param audience: the subscribers that receive the same bytes; ``None`` if this one is sent bytes of its own.
        :param expire: called once the document must not be shown any more. It is the only notice to a subscriber
            without the state, which is sent nothing until the document may be shown again.
        :param is_paused: whether the subscriber can take nothing now: it is owed the snapshot.
        :returns: the subscription, which has ended already if the subscriber raised and was dropped.
        """
        subscription = self.fanout.add(
            subscriber, repeats=repeats, with_state=with_state, audience=audience, expire=expire
        )
        if is_paused:
            subscription.pause()
        if self.snapshot is None or self.is_missing:
            # A part that is missing is back, otherwise it could not be subscribed to, and is being made.
            return subscription
        if self.snapshot.version == have:
            subscription.skip(self.snapshot)
        else:
            subscription.deliver(self.snapshot)
        return subscription

    @property
    def dropped(self) -> int:
        """The number of subscribers that were disconnected after an error."""
        return self.fanout.dropped
