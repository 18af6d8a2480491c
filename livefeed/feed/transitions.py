"""The changes of a feed's state that need no new version, and the notices of them.

Ticks, failed pulls and decisions change the state, and so does time: a feed that nothing confirms becomes stale, and
then expired, without any other event. A decision of the operator lies above that, and only the operator changes it:
pulls go on below.

Rule: each change of the state is told to observers before anything is pushed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING

from twisted.logger import Logger

from livefeed.feed.fanout import Fanout
from livefeed.feed.freshness import Freshness
from livefeed.feed.notice import RULE, Notice, Told
from livefeed.feed.signer import Stated
from livefeed.feed.state import DECISIONS, GONE, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall

    from livefeed.clocks import Moment
    from livefeed.document.signature import Signed
    from livefeed.feed.signer import Signer
    from livefeed.feed.subscription import Subscription

DUE_S = 0.001
"""A change of state that is due within this many seconds is due now: sums of floats are not exact."""

_log = Logger()


@dataclass(frozen=True, slots=True)
class LastError:
    """The reason why the last pull that failed did.

    :ivar why: the reason, without credentials.
    :ivar at: when it failed, for display: in seconds since 1970.
    :ivar recovered_at_s: when the next pull was good, by the feed's clock; ``None`` if none has been.
    """

    why: str
    at: float
    recovered_at_s: float | None = None


@dataclass(slots=True, eq=False)
class Transitions(Freshness):
    """The part of a feed that changes its state, and tells observers and subscribers.

    :ivar is_replica: whether this feed follows the same feed of another process, which logs its changes of state.
    :ivar signer: signs that the newest version is the newest one; ``None`` for a part, and in a worker.
    :ivar stated: the newest statement; ``None`` for none. A worker is sent it.
    :ivar is_missing: whether this is a part that the whole does not have any more. The snapshot is then the last one.
    :ivar last_error: the reason why the last pull that failed did; ``None`` if none has failed since the start.
    :ivar fanout: the subscriptions, and the pushes to them.
    :ivar subscriptions: all subscriptions, which the fan-out adds and removes.
    """

    # required parameters
    is_replica: bool = False
    signer: Signer | None = None

    # internal state
    stated: Stated | None = None
    _is_unsigned: bool = False  # whether the last version could not be signed, which was logged
    is_missing: bool = False
    last_error: LastError | None = None
    fanout: Fanout = field(init=False)
    subscriptions: dict[Subscription, None] = field(init=False)  # no property: requests that wait count them
    _observers: list[Callable[[], object]] = field(default_factory=list)
    _watch_call: IDelayedCall | None = None

    def __post_init__(self) -> None:
        self.fanout = Fanout(self.name, self.clock)
        self.subscriptions = self.fanout.subscriptions

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
            # A document that is held back may be too old all the same.
            self._change_freshness_if_due()
            self._announce_state(before)
        elif self._is_heartbeat_due():
            self.fanout.push_state(to_all=False)

    def mark_stale(self, why: str = "") -> None:
        """Takes note of a pull that failed or was refused. The snapshot stays, and no document is pushed.

        :param why: the reason for the log, in case the feed becomes stale some time later.
        """
        was_failing = self._failing is not None
        if not was_failing:
            self._failing_at = self._heard_at if self._lapsed else self.clock.seconds()
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
        self._retell()
        if self.told is not before[2]:
            self._announce_state(before)
        elif vanishes:
            self._notify_observers()
            self.fanout.push_state(to_all=False)

    def _note_good_pull(self) -> None:
        """Takes note that the source works."""
        self._lapsed = False
        if self._failing is None:
            return
        self._failing = None
        if self.last_error is not None:
            self.last_error = replace(self.last_error, recovered_at_s=self.clock.seconds())

    # States

    def decide(self, decision: State | None) -> None:
        """Takes a decision without a reason; see :meth:`heed`.

        :param decision: held, ended or withdrawn; ``None`` for no decision.
        :raises ValueError: if the state is none of these.
        """
        self.heed(Notice(decision))

    def heed(self, notice: Notice) -> None:
        """Takes the notice of the desk, which holds until the next one, whatever pulls give.

        Its state is above the freshness: withdrawn, then ended, expired, held, stale and live. So an ended document
        does not expire, and one that is held does. The parts follow their whole.

        :raises ValueError: if its state follows from pulls.
        """
        decision = notice.state
        if decision is not None and decision not in DECISIONS:
            raise ValueError(f"{decision} follows from pulls, and cannot be decided")
        assert self.whole is None
        self._decided_at = self.clock.seconds()
        if notice == self._notice:
            return
        before, earlier, self._notice = self._standing, self._notice, notice
        self._enter(self.freshness)
        self._change_freshness_if_due()  # an ended document may be too old by now
        if RULE not in (notice.kind, earlier.kind):
            self._log_decision(earlier)
        self._announce_state(before)

    def _log_decision(self, earlier: Notice) -> None:
        """Logs a decision, unless the state stays. Of rules, the desk logs more than is known here."""
        notice = self._notice
        if notice.state is not None and notice.state is not earlier.state:
            why = notice.why or DECISIONS[notice.state]
            _log.info('feed "{feed}" is {state}: {why}', feed=self.name, state=notice.state.value, why=why)
        elif notice.state is None and earlier.state is not None:
            text = 'feed "{feed}" is {state} again, and not {earlier} any more'
            _log.info(text, feed=self.name, state=self.state.value, earlier=earlier.state.value)

    def tell_reasons(self, *, are_public: bool) -> None:
        """Has watchers told why there is no new document, or not any more."""
        if are_public != self.reasons_are_public:
            before, self.reasons_are_public = self._standing, are_public
            self._announce_state(before, is_sign_of_life=False)

    def note_held(self, at_s: float | None = None, *, is_tick: bool = True) -> None:
        """Takes note of a good pull whose document is held back.

        The source works, so a feed that was stale is not stale any more. The pull confirms nothing of the document
        that is shown, which expires by its age.

        :param at_s: when that was, by the clock; ``None`` for now.
        :param is_tick: whether the pull was that of a tick.
        """
        before = self._standing
        self._heard_at = self.clock.seconds() if at_s is None else at_s
        self._note_good_pull()
        if self.freshness is State.STALE and self.snapshot is not None:
            self._enter(State.LIVE)
        self._change_freshness_if_due()
        self._announce_state(before, is_sign_of_life=is_tick)

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

    def _retell(self) -> None:
        """Works out anew what watchers are told."""
        told = Told(self.state, self.public_reason(), self.notice.waiting is not None, self._overlay())
        if told != self.told:
            self.told, once = told, self.once_told
            self.once_told = Told(
                told.state, told.reason or once.reason, told.is_waiting or once.is_waiting, told.overlay or once.overlay
            )

    @property
    def _standing(self) -> tuple[State, State, Told]:
        """The freshness, the state, and what watchers are told."""
        return self.freshness, self.state, self.told

    def _announce_state(self, before: tuple[State, State, Told], *, is_sign_of_life: bool = True) -> None:
        """Tells observers and subscribers the state.

        :param before: freshness, state and what was told before, which may be the same.
        :param is_sign_of_life: whether subscribers are told it even if nothing has changed, once a heartbeat is due.
        """
        self._retell()
        changes = self.state is not before[1]
        if changes and self.state is State.EXPIRED and self.whole is None and not self.is_replica:
            text = (
                'feed "{feed}" is expired: its document was last confirmed {age:.0f} s ago, and is not shown any more'
            )
            _log.warn(text, feed=self.name, age=self.age_s())
        self._notify_observers()
        if self._standing != before:
            self._watch()
        if self.told is not before[2] or (is_sign_of_life and self._is_heartbeat_due()):
            self.fanout.push_state(to_all=changes and (before[1] in GONE or self.is_gone()))

    def _is_heartbeat_due(self) -> bool:
        """Tells whether this tick is a sign of life for subscribers that send the state. Parts have that of the whole.

        Half an interval is left for ticks that come early or late.
        """
        if self.push == "tick" or self.whole is not None:
            return self.push == "tick"
        return self.clock.seconds() - self.fanout.sent_at >= self.heartbeat_s() - self.interval_s / 2

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
        # The age of a document that is held back counts, whatever is heard of the source.
        self._lapsed = self._lapsed or (before is State.LIVE and self._failing is None and not self._is_held_back)
        if self.freshness is State.STALE and not self.is_replica:
            if self.state in DECISIONS:
                text = 'feed "{feed}" is {decided}, and would be stale: {why}'
            else:
                text = 'feed "{feed}" is stale: {why}'
            _log.warn(text, feed=self.name, decided=self.state.value, why=self.why_not_live())

    def _expire_if_due(self) -> None:
        if self.whole is None and self.snapshot is not None and self.expires_in_s() <= DUE_S:
            self._enter(State.EXPIRED)

    # Statements

    def signed(self) -> Signed | None:
        """Gives the statement about the document that is shown; ``None`` for none."""
        stated, snapshot = self.stated, self.snapshot
        if stated is None or snapshot is None or self.is_gone() or not stated.is_about(snapshot):
            return None
        return stated.signed

    def _sign(self, signer: Signer) -> None:
        """Has the statement be one of now. The document is served without one if that fails."""
        snapshot, self.stated = self.snapshot, None
        if snapshot is None or self.is_gone():
            return
        try:
            signed = signer.sign(self.name, snapshot, self.state.value, self.confirmed_at, self.interval_s)
        except Exception:
            if not self._is_unsigned:
                _log.failure('feed "{feed}": its version could not be signed, and is served unsigned', feed=self.name)
            self._is_unsigned = True
            return
        self._is_unsigned = False
        if signed is not None:
            self.stated = Stated(snapshot.version, snapshot.sequence, signed)

    # Observers

    def observe(self, callback: Callable[[], object]) -> None:
        """Has a function called at each tick, when the answers of the feed change, and before anything is pushed."""
        self._observers.append(callback)

    def unobserve(self, callback: Callable[[], object]) -> None:
        """Has a function that :meth:`observe` was given called no more.

        :raises ValueError: if it was not given.
        """
        self._observers.remove(callback)

    def _notify_observers(self) -> None:
        if self.signer is not None and not self.is_replica:
            self._sign(self.signer)
        for callback in tuple(self._observers):
            try:
                callback()
            except Exception:
                _log.failure('feed "{feed}": an observer broke', feed=self.name)
