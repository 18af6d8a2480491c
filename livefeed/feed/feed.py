"""A feed: the versions of its document, and the subscriptions to them.

Rules: this file knows no transport, and no source. All changes of a feed's versions are methods of :class:`Feed`;
``transitions`` has the changes of its state without a version, and ``freshness`` the ages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from livefeed.clocks import Moment
from livefeed.document.history import NO_DELTAS, History
from livefeed.document.overlaid_pointers import listed_below
from livefeed.document.snapshot import Sequence, Snapshot
from livefeed.feed.picture import Picture
from livefeed.feed.state import GONE, State
from livefeed.feed.tally import Tally
from livefeed.feed.trace import Trace
from livefeed.feed.transitions import Transitions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from livefeed.config.settings import Push
    from livefeed.document.history import Deltas
    from livefeed.document.snapshot import Representation
    from livefeed.document.stored_version import StoredVersion
    from livefeed.feed.demand import Demand
    from livefeed.feed.fanout import Audience
    from livefeed.feed.notice import Notice
    from livefeed.feed.subscription import Subscriber, Subscription


@dataclass(slots=True, eq=False)
class Feed(Transitions):
    """A named JSON document that clients follow at ``/name``.

    :ivar pointer: the JSON Pointer of this part in the whole (RFC 6901); empty if it is no part.
    :ivar demand: the content codings that clients ask for; ``None`` if each version is made in all of them.
    :ivar pushed_at: when the last push of the document began, by the clock; minus infinity before the first.
    :ivar versions: the number of versions that were published since the start; restored ones do not count.
    :ivar codings_made: the number of representations that this process has compressed since the start.
    :ivar hashes_made: the number of hashes that this process has computed for snapshots since the start.
    :ivar tally: counts what happened to the watchers, with those of the parts.
    :ivar trace: the times of the last versions; those of a part are not kept.
    :ivar history: the versions before the newest one, and the deltas from them.
    """

    # required parameters
    pointer: str = ""
    demand: Demand | None = None

    # internal state
    pushed_at: float = -inf
    versions: int = 0
    codings_made: int = 0
    hashes_made: int = 0
    tally: Tally = field(default_factory=Tally)
    trace: Trace = field(default_factory=Trace)
    history: History = field(default_factory=History)
    _sequence: Sequence = field(init=False)

    def __post_init__(self) -> None:
        # super() would refer to the class before its slots were added.
        Transitions.__post_init__(self)
        if self.whole is not None:
            self.tally = self.whole.tally
        self._sequence = Sequence(int(self._now().wall_s * 1000), 0)

    @property
    def path(self) -> str:
        """The path of the feed or part, without percent-encoding: its only one."""
        return f"/{self.name if self.whole is None else self.whole.name}{self.pointer}"

    def _overlay(self) -> tuple[str, ...]:
        """Freshness API."""
        overlay = self.notice.overlay
        return listed_below(overlay, self.pointer) if overlay else ()

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
        if self.signer is not None:
            self._sign(self.signer)

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
        self._take_failure(picture)
        self.patience_s = picture.patience_s
        self._take_decision(picture)
        self._enter(picture.state)
        self._change_state_if_due()
        self._retell()
        self._notify_observers()

    def next_sequence(self) -> Sequence:
        """Gives the sequence for the next version."""
        return self._sequence.next()

    def publish(  # noqa: PLR0913 - each caller knows something else
        self,
        snapshot: Snapshot,
        *,
        is_tick: bool = True,
        deltas: Deltas = NO_DELTAS,
        confirmed: Moment | None = None,
        at_s: float | None = None,
        notice: Notice | None = None,
    ) -> None:
        """Takes the snapshot of a good pull: makes it the newest version unless it is that already, and pushes it.

        :param snapshot: the snapshot of a document that has passed the gate, with the sequence that it is to have; or
            the newest snapshot.
        :param is_tick: whether the pull was that of a tick, or stands for one, as each announced version does. The
            unchanged document is a sign of life then.
        :param deltas: the deltas from the newest version to this one that were made already.
        :param confirmed: when the pull gave the document; ``None`` for now.
        :param at_s: when the pull ended, by the clock; ``None`` for now.
        :param notice: the notice of the desk from now on; ``None`` if it stays.
        """
        # A part that is back is sent again, even if its bytes are the same as before.
        is_new = self.is_missing or self.snapshot is None or snapshot.version != self.snapshot.version
        if is_new:
            self._take(snapshot, deltas)
        before, is_watched, was_gone = self.told, self.freshness is State.LIVE, self.is_gone()
        if notice is not None and notice != self._notice:
            # In the same step: a document that the notice withholds is not shown for a moment.
            self._notice, self._decided_at = notice, self.clock.seconds()
            is_watched = False
        self._enter(State.LIVE)
        now_s = self.clock.seconds()
        self._heard_at = now_s if at_s is None else at_s
        self.confirmed = self._moment_of(now_s) if confirmed is None else confirmed
        self._note_good_pull()
        if not is_watched:
            self._watch()
        self._retell()
        self._notify_observers()
        repeats = self.push == "tick" and is_tick
        # If the last publish raised half-way, the version is there, and no subscriber was sent it.
        if self.fanout.is_unpushed or repeats or (was_gone and not self.is_gone()):
            self.pushed_at = now_s
            self.tally.delivered += self.fanout.push()
        elif self.told is not before or (is_tick and self.push == "change" and self._is_heartbeat_due()):
            self.fanout.push_state(to_all=self.state is not before.state and self.is_gone())

    def show(self, snapshot: Snapshot, notice: Notice, *, confirmed: Moment, deltas: Deltas = NO_DELTAS) -> None:
        """Takes a version that the operator has chosen, and the notice of the desk, in one step.

        :param snapshot: the version, with the sequence that it is to have.
        :param confirmed: when a pull last gave its document.
        :param deltas: the deltas from the newest version to this one that were made already.
        """
        before = self.told
        if self.snapshot is None or snapshot.version != self.snapshot.version:
            self._take(snapshot, deltas)
        self._notice, self._decided_at, self.confirmed = notice, self.clock.seconds(), confirmed
        self._enter(State.STALE if self._lapsed or self._failing is not None else State.LIVE)
        self._change_freshness_if_due()
        self._watch()
        self._retell()
        self._notify_observers()
        if self.fanout.is_unpushed or (before.state in GONE and not self.is_gone()):
            self.pushed_at = self.clock.seconds()
            self.tally.delivered += self.fanout.push()
        else:
            self.fanout.push_state(to_all=self.state is not before.state and self.is_gone())

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
            patience_s=self.patience_s,
            interval_s=self.interval_s,
            push=self.push,
            stale_after_s=self.stale_after_s,
            gone_after_s=self.gone_after_s,
            max_delta_bytes=self.history.max_document_bytes,
            notice=self._notice,
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
            self._retell()
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
            self._take_failure(picture)
            self._enter(picture.state)
            self._watch()
        self._retell()
        self._notify_observers()
        changes = self.state is not before[1]
        is_shown_again = was_gone and not self.is_gone()
        repeats = is_later and self._is_heartbeat_due()
        is_repeated = repeats and self.push == "tick" and self.freshness is State.LIVE
        if self.fanout.is_unpushed or is_shown_again or is_repeated:
            self.pushed_at = self.clock.seconds()
            self.tally.delivered += self.fanout.push()
        elif self.told is not before[2] or repeats:
            self.fanout.push_state(to_all=changes and self.is_gone())

    def _take_failure(self, picture: Picture) -> None:
        """Takes over whether pulls fail: since the last word of the source, as the picture has no other time."""
        if picture.failing is not None and self._failing is None:
            self._failing_at = picture.heard_at_s if picture.heard_at_s > -inf else self.clock.seconds()
        self._failing, self._lapsed = picture.failing, picture.has_lapsed

    def _take_decision(self, picture: Picture) -> None:
        """Takes the notice of another process, unless the one of this feed is later.

        A parent that has just started knows of no decision, and its workers do: what is withdrawn stays withdrawn.
        """
        if picture.decided_at_s >= self._decided_at:
            self._notice, self._decided_at = picture.notice, picture.decided_at_s

    # Subscribers

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
            changes, and as a sign of life each :meth:`heartbeat_s`.
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
