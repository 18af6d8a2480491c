"""How current a feed's document is, how long it stays so, and why.

This file declares the state that decides about this, and works out ages and times from it. ``transitions`` adds the
changes of this state, and ``feed`` the versions of the document and the subscriptions. Each inherits from the one
before: requests read the state from one object, since a helper object would cost each of them a look-up.

Rule: this file changes nothing, and tells nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import floor, inf
from typing import TYPE_CHECKING, Self

from livefeed.clocks import Moment
from livefeed.document.timestamps import length_of
from livefeed.feed.notice import MAX_REASON_CHARACTERS, NO_NOTICE, Notice, Told
from livefeed.feed.state import DECISIONS, GONE, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

    from livefeed.config.settings import Push
    from livefeed.document.snapshot import Snapshot

HEARTBEAT_S = 3.0
"""The longest time in seconds from one heartbeat to the next where an unchanged document is not pushed. If a tick is
longer, each has one. One takes almost as much work as a document, and clients leave a dead line after two."""

BEATS_IN_A_LIFE = 3
"""The number of heartbeats that come before a document expires of which they are the only news."""

OVERDUE_S = 10.0
"""The longest time in seconds after which clients come back while a tick is overdue. A pull takes no longer."""


@dataclass(slots=True, eq=False)
class Freshness:
    """The part of a feed that knows how current its document is.

    :ivar name: the name of the feed.
    :ivar clock: schedules and measures.
    :ivar interval_s: seconds from one tick to the next.
    :ivar stale_after_s: the age of the document in seconds at which the feed becomes stale while pulls fail.
    :ivar gone_after_s: the age of the document in seconds at which the feed expires. While pulls are good this is at
        least two intervals, or a feed with a long interval would expire before each tick.
    :ivar push: ``tick`` sends the document at each good pull, as a sign of life; ``change`` only when it changed, and
        heartbeats in between to subscribers that send the state.
    :ivar wall: gives the time that is displayed, in seconds since 1970; ``None`` for that of :attr:`clock`.
    :ivar whole: the feed of which this one is a part, and whose state it takes over; ``None`` if it is no part.
    :ivar patience_s: seconds without news of the source after which the feed becomes stale.
    :ivar snapshot: the newest version; ``None`` before the first good pull.
    :ivar freshness: how current the feed is: live, stale or expired.
    :ivar state: the state that clients are told: the freshness, or the decision above it.
    :ivar confirmed: when a pull last gave the snapshot's document; ``None`` before the first.
    :ivar tick_at: when the last tick began, by the clock; minus infinity before the first.
    :ivar reasons_are_public: whether watchers are told why there is no new document.
    :ivar told: all that watchers are told about the state, besides times; another object after each change.
    :ivar once_told: the last reason and overlay that watchers were told, and whether they were told that a document
        waits, since the feed began: a cache may have an answer that says so.
    """

    # required parameters
    name: str
    clock: IReactorTime
    interval_s: float = 1.0
    stale_after_s: float = 0.0
    gone_after_s: float = inf
    push: Push = "tick"
    wall: Callable[[], float] | None = None
    whole: Self | None = None

    # internal state
    patience_s: float = inf
    snapshot: Snapshot | None = None
    freshness: State = State.STALE
    state: State = State.STALE
    confirmed: Moment | None = None
    tick_at: float = -inf
    reasons_are_public: bool = False
    told: Told = field(default_factory=lambda: Told(State.STALE))
    once_told: Told = field(default_factory=lambda: Told(State.STALE))
    _notice: Notice = NO_NOTICE  # that of the whole counts for a part
    _failing: str | None = None  # why the last pull failed; None if it did not
    _failing_at: float = -inf  # when the first of the failed pulls failed
    _heard_at: float = -inf  # when a pull last confirmed the document, or the source said that it still holds
    _lapsed: bool = False  # whether the feed is stale because nothing was heard of the source: no pull has failed since
    _decided_at: float = -inf

    @property
    def has_heard(self) -> bool:
        """Whether something was heard of the source, by this process or by one whose feed this one follows."""
        return self._heard_at > -inf

    @property
    def decision(self) -> State | None:
        """The operator's decision about the document; ``None`` for none. That of the whole holds for its parts."""
        return self.notice.state

    @property
    def notice(self) -> Notice:
        """All that the desk has watchers told. That of the whole holds for its parts."""
        return self._notice if self.whole is None else self.whole.notice

    @property
    def reason(self) -> str:
        """Why the feed is in its state, in the words of the log; ``""`` if the last pull was good.

        After a decision this is the reason of the decision alone: see :meth:`why_failing`.
        """
        return self._why_decided() or self.why_not_live()

    def why_failing(self) -> str:
        """Gives the reason why pulls give nothing now, whatever was decided, without times; ``""`` if they are good.

        Of an ended feed, pulls do not matter any more.
        """
        if self.decision is State.ENDED:
            return ""
        return self._failing or ("nothing was heard of the source" if self._lapsed else "")

    def failing_s(self) -> float:
        """Gives the seconds for which pulls have given nothing; 0 if :meth:`why_failing` has no reason."""
        if not self.why_failing():
            return 0.0
        return max(0.0, self.clock.seconds() - (self._heard_at if self._lapsed else self._failing_at))

    def public_reason(self) -> str:
        """Gives the reason that watchers may be told; ``""`` if they are to be told none. It has no times in it."""
        if self.whole is not None:
            return self.whole.public_reason()
        if not self.reasons_are_public:
            return ""
        why = self.notice.why if self.state in DECISIONS else self.why_failing()  # the state says its own meaning
        return why if len(why) <= MAX_REASON_CHARACTERS else f"{why[: MAX_REASON_CHARACTERS - 3]}..."

    def waiting_s(self) -> float | None:
        """Gives the seconds for which a newer document has been held back; ``None`` if none is."""
        waiting = self.notice.waiting
        return None if waiting is None else waiting.age_s(self._now())

    def _overlay(self) -> tuple[str, ...]:
        """Gives the pointers to values of an editor; of a part, as pointers in that part. A subclass has them."""
        raise NotImplementedError

    def _why_decided(self) -> str:
        meaning = DECISIONS.get(self.state, "")
        return meaning and (self.notice.why or meaning)

    def why_not_live(self) -> str:
        """Gives the reason why the feed is not live, or soon will not be, whatever was decided; ``""`` for none."""
        if self._failing:
            return self._failing
        if self.freshness is State.LIVE:
            return ""
        if self._lapsed:
            return f"no pull has ended for {length_of(self.clock.seconds() - self._heard_at)} s"
        if self.snapshot is None:
            return "nothing was pulled yet"
        return f"its document was last confirmed {self.age_s():.0f} s ago"

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
        if self.snapshot is None or self._notice.state is State.ENDED:
            return inf
        since_s, most_s = self.age_s(), self.gone_after_s
        if self._notice.chosen is not None:
            since_s = min(since_s, self._notice.chosen.age_s(self._now()))
        elif not self._is_held_back and (self.freshness is State.LIVE or self._lapsed):
            since_s = min(since_s, self.clock.seconds() - self._heard_at)
        if self.freshness is State.LIVE:
            most_s = max(most_s, 2 * self.interval_s)
        return max(0.0, most_s - since_s)

    @property
    def _is_held_back(self) -> bool:
        """Whether a newer document waits, or an earlier one was chosen, so that pulls confirm nothing that is shown."""
        return self._notice.waiting is not None or self._notice.chosen is not None

    def is_gone(self) -> bool:
        """Tells whether the document must not be shown: it is too old, or withdrawn."""
        return self.state in GONE

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

    def heartbeat_s(self) -> float:
        """Gives the seconds within which subscribers that send the state are sent something: a number of intervals.

        Where :attr:`push` is ``tick`` this is one interval.
        """
        pulled = self if self.whole is None else self.whole
        if pulled.push == "tick":
            return pulled.interval_s
        longest_s = min(HEARTBEAT_S, pulled.gone_after_s / BEATS_IN_A_LIFE)
        return pulled.interval_s * max(1, floor(longest_s / pulled.interval_s))

    def _moment_of(self, at_s: float) -> Moment:
        """Gives a point in time of the clock that is not long ago, by both clocks."""
        now = self._now()
        return Moment(at_s, now.wall_s - (now.measured_s - at_s))

    def _now(self) -> Moment:
        measured_s = self.clock.seconds()
        return Moment(measured_s, measured_s if self.wall is None else self.wall())
