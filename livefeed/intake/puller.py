"""The tick: in each interval, a document is fetched, overlaid, checked by the gate, judged by the desk, and published.

Rule: a tick never raises. A LoopingCall stops for ever at its first error, and the feed would stop with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from weakref import WeakMethod

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from livefeed.document.gate import check_document
from livefeed.document.history import NO_DELTAS
from livefeed.document.timestamps import length_of
from livefeed.exceptions import DocumentError, EndedError, NotDueError, PullError, SpentErrors
from livefeed.feed.notice import SOURCE, Notice
from livefeed.feed.state import DECISIONS, State
from livefeed.feed.trace import PullSteps
from livefeed.intake.fetching import Fetches
from livefeed.intake.refused import GATE

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from livefeed.document.history import Deltas
    from livefeed.document.rules import Violation
    from livefeed.document.snapshot import Snapshot
    from livefeed.feed.feed import Feed
    from livefeed.intake.desk import Desk
    from livefeed.intake.making import Made
    from livefeed.sources import Source

MIN_TIMEOUT_S = 1.0
MAX_TIMEOUT_S = 10.0
"""The limits of the time of a pull in seconds, otherwise one interval."""

MISSED_TICKS = 3
"""The number of intervals without the end of a pull, in addition to the time of one pull, until the feed is stale."""

MIN_SPACING_S = 0.02
"""The shortest time in seconds from one pull to the next, however often a source reports changes."""

MAX_NEW_REASONS = 10
"""The number of reasons within a minute that are logged at once. Each may be a new one, such as one with a time."""

REMIND_S = 10.0
"""Seconds after the last line until a reason is logged that is not new, or that is one too many."""

_REASONS_S = 60.0
"""Seconds for which a reason is not new after it was logged."""

ENDED_BY_SOURCE = Notice(State.ENDED, kind=SOURCE)
"""The notice of a feed whose source has no more versions. It is no decision, and holds until there is one more."""

_log = Logger()


@dataclass(slots=True)
class PullTimes:
    """The times of ticks and pulls since the start.

    :ivar ticks: the number of ticks.
    :ivar late_s: total seconds that ticks began later than they were due.
    :ivar latest_s: seconds of the largest lateness.
    :ivar pulls_s: total seconds of the pulls that were good or failed, with the check of the document.
    :ivar longest_s: seconds of the longest one.
    :ivar not_due: the number of pulls at which the source was not asked, because its last answer still held.
    """

    ticks: int = 0
    late_s: float = 0.0
    latest_s: float = 0.0
    pulls_s: float = 0.0
    longest_s: float = 0.0
    not_due: int = 0

    def note_tick(self, late_s: float) -> None:
        """Counts a tick that began *late_s* seconds after it was due."""
        self.ticks += 1
        self.late_s += late_s
        self.latest_s = max(self.latest_s, late_s)

    def note_pull(self, took_s: float) -> None:
        """Counts a pull that took *took_s* seconds."""
        self.pulls_s += took_s
        self.longest_s = max(self.longest_s, took_s)


@dataclass(frozen=True, slots=True)
class PullOutcome:
    """The outcome of a pull that somebody waits for.

    :ivar is_shown: whether watchers are shown the document that the pull gave.
    :ivar why: why they are not; empty if they are.
    :ivar violation: why a rule holds the document back; ``None`` if none does.
    """

    is_shown: bool
    why: str = ""
    violation: Violation | None = None


@dataclass(slots=True)
class RecentReasons:
    """The reasons why pulls have failed that were logged within the last minute.

    An operator who has removed one reason is told the next one at once, and reasons that alternate do not flood the
    log.
    """

    _last: str = ""
    _last_at: float = float("-inf")
    _logged_at: dict[str, float] = field(default_factory=dict)

    def is_due(self, why: str, now: float) -> bool:
        """Tells whether the log must say that the reason is another one."""
        if why == self._last:
            return False
        recent = [each for each, at in self._logged_at.items() if now - at < _REASONS_S]
        is_new = why not in recent and len(recent) < MAX_NEW_REASONS
        return is_new or now - self._last_at >= REMIND_S

    def note(self, why: str, now: float) -> None:
        """Takes note that the log has the reason."""
        self._last, self._last_at = why, now
        self._logged_at = {each: at for each, at in self._logged_at.items() if now - at < _REASONS_S} | {why: now}


def _call_weakly(method: Callable[[], None]) -> Callable[[], None]:
    """Gives a function that calls a method without keeping its object.

    A source keeps the function, and the puller keeps the source: reference counting would never free the two.
    """
    reference = WeakMethod(method)

    def call() -> None:
        target = reference()
        if target is not None:
            target()

    return call


def _tell(awaiting: list[Deferred[PullOutcome]], outcome: PullOutcome) -> None:
    """Gives an outcome to all that have waited for it, and still do."""
    for each in awaiting:
        if not each.called:
            each.callback(outcome)


def close_source(source: Source) -> None:
    """Closes a source. One of another package may break: that must not hold up a stop, or half of a reload."""
    try:
        source.close()
    except Exception:
        _log.failure("closing the source {source} broke", source=str(source))


@dataclass(eq=False)
class Puller(Service):
    """The service that pulls a feed's document from its source.

    A pull may take one interval, but at least 1 s and at most 10 s. If livefeed itself stood still when this time was
    over, the pull has once more the time by which livefeed is late, because an answer may be there that was not read.
    The next tick waits for it, so that pulls overlap only if one continues after it was cancelled. Each change between
    good and failing pulls is logged once. While the service runs, the feed becomes stale without any other event once
    nothing was heard of the source for three intervals and the time that a pull may take.

    :param max_bytes: the size in bytes of the largest document that is served.
    :param delay_s: seconds from the start to the first pull.
    :param desk: decides which documents are shown.
    :ivar timeout_s: seconds that a pull may take.
    :ivar good: the number of pulls since the start that gave a document.
    :ivar failed: the number of pulls since the start that failed, or gave a document that must not be served.
    :ivar times: how long they took.
    """

    # required parameters
    feed: Feed
    source: Source
    clock: IReactorTime
    max_bytes: int
    desk: Desk
    delay_s: float = 0.0

    # internal state
    timeout_s: float = field(init=False)
    good: int = 0
    failed: int = 0
    times: PullTimes = field(default_factory=PullTimes)
    _due_at: float = 0.0  # when the next tick is due, by the clock
    _loop: LoopingCall | None = None  # none before the start and after the stop: the two refer to each other
    _reasons: RecentReasons = field(default_factory=RecentReasons)
    _start_call: IDelayedCall | None = None
    _change_call: IDelayedCall | None = None
    _pulling: bool = False
    _pulled_at: float = float("-inf")
    _stopped: bool = False
    _is_watching: bool = False  # whether the source was asked to report changes
    _spent: SpentErrors = field(default_factory=SpentErrors)
    _fetches: Fetches = field(init=False)
    _outcome: Literal["none yet", "good", "failed"] = "none yet"
    _awaiting: list[Deferred[PullOutcome]] = field(default_factory=list)  # all that wait for the next pull

    def __post_init__(self) -> None:
        self.timeout_s = min(max(self.feed.interval_s, MIN_TIMEOUT_S), MAX_TIMEOUT_S)
        self._fetches = Fetches(self.clock, self._spent)

    def startService(self) -> None:
        """IService API."""
        super().startService()
        self._go_on(self.delay_s)

    def _go_on(self, delay_s: float) -> None:
        self._stopped = False
        self.feed.start_watching(MISSED_TICKS * self.feed.interval_s + self.timeout_s)
        if delay_s:
            self._start_call = self.clock.callLater(delay_s, self._begin)
        else:
            self._begin()

    def _begin(self) -> None:
        if not self._is_watching:
            self._is_watching = True
            try:
                self.source.watch(_call_weakly(self._note_change))
            except Exception:
                _log.failure('feed "{feed}": looking out for changes broke: there are the ticks', feed=self.feed.name)
        self._loop = LoopingCall(lambda: Deferred.fromCoroutine(self.tick()))
        self._loop.clock = self.clock
        self._due_at = self.clock.seconds()
        self._loop.start(self.feed.interval_s, now=True)

    def _note_change(self) -> None:
        """Schedules a pull for a change that the source reports: now, or :data:`MIN_SPACING_S` after the last pull."""
        if self._stopped or self._change_call is not None:
            return
        wait_s = max(0.0, self._pulled_at + MIN_SPACING_S - self.clock.seconds())
        self._change_call = self.clock.callLater(wait_s, self._pull_change)

    def _pull_change(self) -> None:
        self._change_call = None
        if self._pulling:
            # The pull that is under way may have read the document before it changed.
            self._change_call = self.clock.callLater(MIN_SPACING_S, self._pull_change)
        else:
            Deferred.fromCoroutine(self._pull_once(is_tick=False))

    def stopService(self) -> None:
        """IService API."""
        super().stopService()
        self.pause()
        close_source(self.source)
        self._spent.forget()
        self._is_watching = False

    def pause(self) -> None:
        """Pulls no more until :meth:`resume`. The result of a pull that is under way is discarded."""
        self._stopped = True
        if self._start_call is not None and self._start_call.active():
            self._start_call.cancel()
        if self._change_call is not None:
            self._change_call.cancel()
            self._change_call = None
        loop, self._loop = self._loop, None
        if loop is not None and loop.running:
            loop.stop()
        self._fetches.cancel()
        self.feed.stop_watching()

        awaiting, self._awaiting = self._awaiting, []
        _tell(awaiting, PullOutcome(is_shown=False, why="livefeed does not pull the feed now"))

    def pull_soon(self) -> Deferred[PullOutcome]:
        """Pulls as soon as that may be, as after a change that the source reports.

        :returns: fires at the end of the first pull that began after this call. It may be cancelled.
        """
        outcome: Deferred[PullOutcome] = Deferred()
        if self._stopped or not self.running:
            outcome.callback(PullOutcome(is_shown=False, why="livefeed does not pull the feed now"))
        else:
            self._awaiting.append(outcome)
            self._note_change()
        return outcome

    def resume(self) -> None:
        """Pulls again after :meth:`pause`, at once. The source stayed open."""
        if self.running and self._stopped:
            self._go_on(0.0)

    async def tick(self) -> None:
        """Pulls once, and publishes the document or marks the feed stale."""
        self._note_tick()
        self.feed.begin_tick()
        # A pull for a reported change may be under way.
        if not self._pulling:
            await self._pull_once()

    def _note_tick(self) -> None:
        # Ticks are due at multiples of the interval, and a tick that waits for a pull leaves those in between out.
        now, interval_s = self.clock.seconds(), self.feed.interval_s
        late_s = max(0.0, now - self._due_at)
        self.times.note_tick(late_s)
        # It comes early if a version was announced while this tick's codings were made.
        self._due_at = min(self._due_at, now) + (late_s // interval_s + 1) * interval_s

    async def _pull_once(self, *, is_tick: bool = True) -> None:
        self._pulled_at = self.clock.seconds()
        self._spent.forget()
        awaiting, self._awaiting = self._awaiting, []
        outcome = PullOutcome(is_shown=False, why="livefeed does not pull the feed now")
        try:
            made, outcome = await self._pull(outcome, is_tick=is_tick)
            # Before the codings: they take long.
            _tell(awaiting, outcome)
            if made is not None:
                await self.desk.maker.complete(made)
        except NotDueError as error:
            # The pull is neither good nor failed, and confirms nothing.
            self.times.not_due += 1
            outcome = PullOutcome(is_shown=False, why="the source was not asked")
            if is_tick and not self._stopped:
                was = self.feed.freshness
                self.feed.skip_tick()
                if self.feed.freshness is not was:
                    # The source was not asked, so the log must not say that it has answered.
                    text = 'feed "{feed}" is live: what was pulled from {source} still holds by its word'
                    _log.info(text, feed=self.feed.name, source=self.source)
                if isinstance(error, EndedError):
                    self._note_ended()
        except PullError as error:
            outcome = PullOutcome(is_shown=False, why=str(error))
            self._note_failed(str(error))
            self._spent.add(error)
        except Exception as error:
            outcome = PullOutcome(is_shown=False, why="an error inside livefeed; its log has the reason")
            if self._outcome != "failed" and not self._stopped:
                _log.failure('feed "{feed}": a tick broke', feed=self.feed.name)
            self._note_failed("an error inside livefeed")
            self._spent.add(error)
        _tell(awaiting, outcome)

    async def _pull(self, outcome: PullOutcome, *, is_tick: bool) -> tuple[Made | None, PullOutcome]:
        """Fetches the document, and has the desk decide about it, which then shows it or lets it wait.

        :param outcome: the outcome if the puller is stopped meanwhile.
        :returns: a new snapshot that is shown, and the outcome.
        """
        self._pulling = True
        desk = self.desk
        try:
            source = await self._fetches.fetch(self.source, self.timeout_s)
            pulled_s = self.clock.seconds()
            await desk.turn.acquire()
            try:
                data = await desk.overlaid(source)
                newest = self.feed.snapshot
                is_newest = newest is not None and data == newest.data
                if not is_newest and (desk.waiting is None or data != desk.waiting.data):
                    self._check(data)
                desk.note_source(source, self.max_bytes)
                checked_s = self.clock.seconds()
                is_shown, violation = await desk.judge(data)
                if not is_shown:
                    return None, self._hold_back(data, violation, outcome, is_tick=is_tick)
                if newest is not None and is_newest:
                    return None, self._repeat(newest, outcome, is_tick=is_tick)
                made = await desk.maker.make(data)
                self.times.note_pull(self.clock.seconds() - self._pulled_at)
                if self._stopped:
                    return None, outcome
                self.feed.trace.note_pulled(made.snapshot, PullSteps(self._pulled_at, pulled_s, checked_s))
                if not is_tick:
                    self._begin_interval()
                self._show(made.snapshot, made.deltas, is_tick=True)
                return made, PullOutcome(is_shown=True)
            finally:
                desk.turn.release()
        finally:
            self._pulling = False

    def _begin_interval(self) -> None:
        """Has a new version that the source announced stand for the tick: the next one comes an interval later.

        Where each version is announced, ticks in between would read the same document again: with a version each second
        and 100 subscribers, that took a quarter of the process's time.
        """
        if self._loop is not None and self._loop.running:
            self._loop.reset()
        self._due_at = self.clock.seconds() + self.feed.interval_s
        self.feed.begin_tick()

    def _check(self, data: bytes) -> None:
        """Asks the gate.

        :raises DocumentError: if it refuses the document, which is kept for the operator.
        """
        try:
            check_document(data, max_bytes=self.max_bytes)
        except DocumentError as error:
            # Of a larger document, the source has given the beginning alone.
            if self.desk.refused is not None and len(data) <= self.max_bytes:
                self.desk.refused.note(data, GATE, "", str(error))
            raise

    def _show(self, snapshot: Snapshot, deltas: Deltas, *, is_tick: bool) -> None:
        self._note_recovery()
        self.feed.publish(snapshot, is_tick=is_tick, deltas=deltas, notice=self.desk.notice_shown(snapshot))
        self.desk.note_shown(snapshot)
        self._note_good()

    def _repeat(self, newest: Snapshot, outcome: PullOutcome, *, is_tick: bool) -> PullOutcome:
        """Takes note of a pull that gave the document that is shown."""
        self.times.note_pull(self.clock.seconds() - self._pulled_at)
        is_quiet = self.feed.freshness is State.LIVE and self.feed.notice == self.desk.notice_shown(newest)
        if is_quiet and not is_tick and self._outcome != "failed":
            # The next tick sends the sign of life.
            self.feed.confirm(self._pulled_at)
        elif self._stopped:
            return outcome
        else:
            self.feed.trace.note_pulled(newest, None)
            self._show(newest, NO_DELTAS, is_tick=is_tick)
        if self.feed.decision is State.WITHDRAWN:
            return PullOutcome(is_shown=False, why=DECISIONS[State.WITHDRAWN])
        return PullOutcome(is_shown=True)

    def _hold_back(
        self, data: bytes, violation: Violation | None, outcome: PullOutcome, *, is_tick: bool
    ) -> PullOutcome:
        """Takes note of a pull whose document is not shown. The source works."""
        self.times.note_pull(self.clock.seconds() - self._pulled_at)
        if self._stopped:
            return outcome
        if self.feed.freshness is State.STALE and self.feed.snapshot is not None:
            # Without a document, or with one that is too old, the feed does not become live.
            self._note_recovery()
        self.desk.hold_back(data, violation, is_tick=is_tick)
        self._note_good()
        why = self.desk.why_held() if violation is None else violation.why
        return PullOutcome(is_shown=False, why=why, violation=violation)

    def _note_ended(self) -> None:
        """Takes note that the source has no more versions. One that comes later ends that."""
        if self.feed.decision is None and self.feed.snapshot is not None:
            self.feed.heed(ENDED_BY_SOURCE)

    def _note_recovery(self) -> None:
        """Has the log say that the feed is live again, even if it became stale without a failed pull."""
        if self.feed.freshness is not State.LIVE:
            self._outcome = "none yet"

    def _note_good(self) -> None:
        self.good += 1
        if self._outcome != "good":
            self._outcome = "good"
            state = self.feed.state
            text = "pulled from" if state is State.LIVE else "the source works, and newer documents may wait:"
            _log.info(
                'feed "{feed}" is {state}: {text} {source}',
                feed=self.feed.name,
                state=state.value,
                text=text,
                source=self.source,
            )

    def _note_failed(self, why: str) -> None:
        if self._stopped:
            return
        self.times.note_pull(self.clock.seconds() - self._pulled_at)
        self.failed += 1
        before = self.feed.freshness
        # The name of the demo source ends with a colon.
        place = str(self.source).removesuffix(":")
        self.feed.mark_stale(f"{place}: {why}")
        state = self.feed.freshness
        now = self.clock.seconds()
        changes = before is State.LIVE and state is not State.LIVE
        if changes or self._outcome != "failed":
            still = ""
        elif self._reasons.is_due(why, now):
            still = "still "
        else:
            return
        self._outcome = "failed"
        self._reasons.note(why, now)
        if state is State.LIVE:
            text = 'pulls of feed "{feed}" {still}fail: {place}: {why}; it will be stale in {left} s'
        elif self.feed.state is state:
            text = 'feed "{feed}" is {still}{state}: {place}: {why}'
        else:
            text = 'feed "{feed}" is {decided}, and would {still}be {state}: {place}: {why}'
        _log.warn(
            text,
            feed=self.feed.name,
            still=still,
            state=state.value,
            decided=self.feed.state.value,
            place=place,
            why=why,
            left=length_of(self.feed.stale_in_s()),
        )
