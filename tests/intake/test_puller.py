"""The tick: it keeps its interval, and no source can stop it."""

from __future__ import annotations

import contextlib
import errno
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, eventAsText
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.codings import GZIP_LEVEL, SMALL_BYTES, compress, compress_well
from livefeed.document.history import DeltaForm
from livefeed.document.patch import apply_patch
from livefeed.document.snapshot import Sequence, make_large, version_of
from livefeed.document.stored_version import StoredVersion
from livefeed.exceptions import EndedError, NotDueError, SourceError
from livefeed.feed.feed import Feed
from livefeed.feed.state import DECISIONS, State
from livefeed.intake.fetching import MAX_LEFT
from livefeed.intake.making import Maker
from livefeed.intake.puller import MAX_NEW_REASONS, MAX_TIMEOUT_S, MIN_SPACING_S, Puller, PullOutcome
from livefeed.intake.refused import GATE
from livefeed.testing import RecordingSubscriber
from tests.helpers.desks import desk_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from twisted.logger import LogEvent

    from livefeed.document.snapshot import Snapshot

PASSWORD = "correct-horse"


class ProgrammingError(Exception):
    """A defect in a source or subscriber raises it."""


@dataclass(eq=False)
class ScriptedSource:
    """Calls a function of the test at each fetch, and counts the fetches that are under way."""

    answer: Callable[[], Awaitable[bytes | None]]
    password: str = field(default=PASSWORD, repr=False)
    fetches: int = 0
    under_way: int = 0
    most_under_way: int = 0
    closed: int = 0

    def __str__(self) -> str:
        return "scripted://host/0/key"

    def watch(self, changed: Callable[[], None]) -> None:
        self.changed = changed

    async def fetch(self) -> bytes | None:
        self.fetches += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return await self.answer()
        finally:
            self.under_way -= 1

    def close(self) -> None:
        self.closed += 1

    def gives(self, data: bytes | None) -> None:
        async def answer() -> bytes | None:
            return data

        self.answer = answer

    def fails(self, error: BaseException) -> None:
        async def answer() -> bytes:
            raise error

        self.answer = answer

    def hangs(self) -> list[Deferred[bytes]]:
        """Has each fetch wait; gives the list to which the Deferreds of the fetches are added."""
        waiting: list[Deferred[bytes]] = []

        def answer() -> Deferred[bytes]:
            waiting.append(Deferred())
            return waiting[-1]

        self.answer = answer
        return waiting


class PollerTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.source = ScriptedSource(lambda: succeed(b"{}"))
        self.feed = Feed("results", clock=self.clock)

    def start(self, interval_s: float = 1.0, max_bytes: int = 100, delay_s: float = 0.0) -> Puller:
        self.feed.interval_s = interval_s
        puller = Puller(
            self.feed,
            self.source,
            clock=self.clock,
            max_bytes=max_bytes,
            desk=desk_of(self.feed),
            delay_s=delay_s,
        )
        puller.startService()
        return puller

    def document(self) -> bytes | None:
        return None if self.feed.snapshot is None else self.feed.snapshot.data


class IntervalTests(PollerTestCase):
    """The times at which the source is asked."""

    def test_first_pull_is_at_once(self) -> None:
        """The first document is pulled immediately."""
        self.start(interval_s=60)
        self.assertEqual(self.document(), b"{}")
        self.assertIs(self.feed.state, State.LIVE)

    def test_first_pull_can_be_later(self) -> None:
        """The others follow it, so that feeds that start together do not pull together."""
        self.start(delay_s=0.25)
        for advance_s, fetches in ((0.2, 0), (0.1, 1), (0.8, 1), (0.2, 2)):
            self.clock.advance(advance_s)
            self.assertEqual(self.source.fetches, fetches)

    def test_stopped_before_its_first_pull(self) -> None:
        """There is no pull then, and the service can be started again."""
        puller = self.start(delay_s=0.25)
        puller.stopService()
        self.clock.advance(1)
        self.assertEqual((self.source.fetches, self.clock.getDelayedCalls()), (0, []))
        puller.startService()
        self.clock.advance(0.25)
        self.assertEqual(self.source.fetches, 1)

    def test_one_pull_each_interval(self) -> None:
        """The source is asked at the interval, neither earlier nor more often."""
        self.start(interval_s=2.5)
        self.clock.advance(2.4)
        self.assertEqual(self.source.fetches, 1)
        self.clock.advance(0.1)
        self.assertEqual(self.source.fetches, 2)
        self.clock.pump([0.5] * 10)
        self.assertEqual(self.source.fetches, 4)

    def test_tick_is_noted(self) -> None:
        """The feed knows when the last tick began, even if pulls fail, and so when the next one is due."""
        self.start(interval_s=2)
        self.clock.advance(2)
        self.assertEqual(self.feed.tick_at, 1002)
        self.source.fails(SourceError("is away"))
        self.clock.advance(2)
        self.assertEqual(self.feed.tick_at, 1004)

    def test_slow_pull_delays_the_next(self) -> None:
        """While a pull is under way no other begins; the next comes at its usual time afterwards."""
        waiting = self.source.hangs()
        self.start(interval_s=1)
        self.clock.pump([0.1] * 9)
        self.assertEqual(self.source.fetches, 1)
        waiting[0].callback(b"1")
        self.clock.advance(0.2)
        self.assertEqual(self.source.fetches, 2)
        self.assertEqual(self.document(), b"1")

    def test_times(self) -> None:
        """Ticks, by how much they are late, and how long pulls take, are measured; a tick that was left out is none."""
        waiting = self.source.hangs()
        puller = self.start(interval_s=1)
        self.clock.pump([0.25] * 3)
        waiting[0].callback(b"1")
        self.assertEqual((puller.times.ticks, puller.times.pulls_s, puller.times.longest_s), (1, 0.75, 0.75))
        self.source.gives(b"1")
        self.clock.advance(2.75)  # the ticks are due after 0.25 and 1.25 s, and the reactor is late
        times = puller.times
        self.assertEqual((times.ticks, times.late_s, times.latest_s, times.pulls_s), (2, 2.5, 2.5, 0.75))
        self.clock.advance(0.5)
        self.assertEqual((times.ticks, times.late_s), (3, 2.5))
        waiting = self.source.hangs()
        self.clock.advance(1)
        self.clock.advance(0.5)
        waiting[0].errback(SourceError("is away"))
        self.assertEqual((puller.failed, times.pulls_s, times.longest_s), (1, 1.25, 0.75))

    def test_pulls_never_overlap(self) -> None:
        """A source that always takes longer than the interval is asked by one pull at a time."""
        waiting = self.source.hangs()
        self.start(interval_s=0.1)
        for turn in range(5):
            self.clock.pump([0.1] * 6)
            self.assertEqual(len(waiting), turn + 1)
            waiting[-1].callback(b"%d" % turn)
            self.clock.advance(0.1)
        self.assertEqual(self.source.most_under_way, 1)
        self.assertEqual(self.source.fetches, 6)

    def test_time_limit_follows_the_interval(self) -> None:
        """A pull may take an interval, but at least 1 s and at most 10 s."""
        for interval_s, timeout_s in ((0.05, 1.0), (1.0, 1.0), (4.0, 4.0), (3600.0, 10.0)):
            self.feed.interval_s = interval_s
            puller = Puller(self.feed, self.source, clock=self.clock, max_bytes=100, desk=desk_of(self.feed))
            self.assertEqual(puller.timeout_s, timeout_s)

    def test_stopping_ends_the_pulls(self) -> None:
        """After stopService the source is closed and is not asked again, and nothing is left on the clock."""
        puller = self.start()
        puller.stopService()
        self.clock.pump([1] * 5)
        self.assertEqual(self.source.fetches, 1)
        self.assertEqual(self.source.closed, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_starting_again(self) -> None:
        """A service that was stopped can be started anew, and does all that it did before."""
        puller = self.start()
        puller.stopService()
        self.source.gives(b"2")
        puller.startService()
        self.assertEqual(self.document(), b"2")
        self.clock.advance(1)
        self.assertEqual(self.source.fetches, 3)
        self.source.fails(SourceError("is away"))
        self.clock.advance(1)
        self.assertIs(self.feed.state, State.STALE)


class PauseTests(PollerTestCase):
    """Pulls that rest while another process may take over."""

    def test_pause(self) -> None:
        """Neither ticks nor changes pull, the source stays open, and the next pull is at once."""
        puller = self.start(interval_s=1)
        puller.pause()
        self.source.changed()
        self.clock.advance(5)
        self.assertEqual((self.source.fetches, self.source.closed), (1, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        first = self.source.changed
        puller.resume()
        self.assertEqual(self.source.fetches, 2)
        self.clock.advance(1)
        self.assertEqual(self.source.fetches, 3)
        # The source was asked once to report changes.
        self.assertIs(self.source.changed, first)
        self.source.changed()
        self.clock.advance(MIN_SPACING_S)
        self.assertEqual(self.source.fetches, 4)
        puller.stopService()
        self.assertEqual((self.source.closed, self.clock.getDelayedCalls()), (1, []))

    def test_pull_under_way(self) -> None:
        """Its result is discarded, and it is no failure."""
        waiting = self.source.hangs()
        puller = self.start()
        puller.pause()
        self.assertEqual((len(waiting), self.document(), puller.failed), (1, None, 0))
        puller.stopService()

    def test_pause_before_the_first_pull(self) -> None:
        """The source is asked to report changes afterwards."""
        puller = self.start(delay_s=3)
        puller.pause()
        self.clock.advance(3)
        self.assertEqual(self.source.fetches, 0)
        puller.resume()
        self.assertEqual(self.source.fetches, 1)
        self.assertTrue(callable(self.source.changed))
        puller.resume()
        self.assertEqual(self.source.fetches, 1)
        puller.stopService()


class ChangeTests(PollerTestCase):
    """Changes that a source reports."""

    def test_change_is_pulled_at_once(self) -> None:
        """It stands for the tick: the next one comes an interval later, on time."""
        puller = self.start()
        self.clock.advance(0.5)
        self.source.gives(b"1")
        self.source.changed()
        self.clock.advance(0)
        self.assertEqual((self.document(), self.source.fetches), (b"1", 2))
        self.assertEqual(self.feed.next_tick_s(), 1.0)
        self.clock.advance(0.75)
        self.assertEqual(self.source.fetches, 2)
        self.clock.advance(0.25)
        self.assertEqual((self.source.fetches, self.feed.next_tick_s()), (3, 1.0))
        self.assertEqual(puller.times.late_s, 0.0)
        self.clock.advance(0.5)
        self.assertEqual(self.source.fetches, 3)

    def test_change_is_the_sign_of_life(self) -> None:
        """The document is sent again an interval after the announced version."""
        self.start()
        subscriber = RecordingSubscriber()
        self.feed.subscribe(subscriber)
        self.clock.advance(0.5)
        self.source.gives(b"1")
        self.source.changed()
        self.clock.pump([0, 0.75])
        self.assertEqual([each.data for each in subscriber.snapshots[1:]], [b"1"])
        self.clock.advance(0.25)
        self.assertEqual([each.data for each in subscriber.snapshots[1:]], [b"1", b"1"])

    def test_version_that_is_announced_while_a_tick_ends(self) -> None:
        """The tick's codings are still made, and the ticks go on at their interval, on time."""
        puller = self.start()
        codings: Deferred[None] = Deferred()
        patcher = self.patch(Maker, "complete", lambda maker, made: codings)
        self.source.gives(b"1")
        self.clock.advance(1)
        patcher.restore()
        self.source.gives(b"2")
        self.clock.advance(0.5)
        self.source.changed()
        self.clock.advance(0)
        self.assertEqual((self.document(), self.source.fetches), (b"2", 3))
        codings.callback(None)
        for _ in range(3):
            self.clock.advance(0.5)
        self.assertEqual((self.source.fetches, puller.times.late_s), (5, 0.0))

    def test_many_changes_are_few_pulls(self) -> None:
        """Pulls are spaced for any number of changes, and the last change is pulled."""
        self.start()
        self.clock.advance(0.5)
        for number in range(100):
            self.source.gives(b"%d" % number)
            self.source.changed()
            self.clock.advance(0.001)
        self.clock.advance(MIN_SPACING_S)
        self.assertEqual(self.document(), b"99")
        self.assertLessEqual(self.source.fetches, 1 + 0.1 / MIN_SPACING_S + 2)

    def test_change_during_a_pull(self) -> None:
        """A pull that is under way may read the old document, so another one follows; never two at a time."""
        self.start()
        waiting = self.source.hangs()
        self.clock.advance(1)
        self.source.changed()
        self.clock.advance(0.1)
        waiting[0].callback(b"1")
        self.clock.advance(0.1)
        waiting[1].callback(b"2")
        self.assertEqual((self.document(), self.source.most_under_way), (b"2", 1))

    def test_tick_during_the_pull_of_a_change(self) -> None:
        """It begins no second pull."""
        self.start()
        waiting = self.source.hangs()
        self.clock.advance(0.9)
        self.source.changed()
        self.clock.advance(0)
        self.clock.advance(0.1)
        self.assertEqual(len(waiting), 1)
        waiting[0].callback(b"1")
        self.clock.advance(1)
        self.assertEqual((self.document(), len(waiting)), (b"1", 2))

    def test_nothing_is_pushed_where_nothing_changed(self) -> None:
        """A tick sends the document again, as a sign of life; a false alarm does not."""
        self.start()
        subscriber = RecordingSubscriber()
        self.feed.subscribe(subscriber)
        self.clock.advance(0.5)
        self.source.changed()
        self.clock.advance(0)
        self.assertEqual((self.source.fetches, len(subscriber.snapshots)), (2, 1))
        self.assertEqual(self.feed.confirmed_at, 1000.5)

    def test_change_ends_a_failure(self) -> None:
        """A stale feed is live immediately."""
        self.start()
        self.source.fails(SourceError("away"))
        self.clock.advance(1)
        self.source.gives(b"{}")
        self.source.changed()
        self.clock.advance(MIN_SPACING_S)
        self.assertIs(self.feed.state, State.LIVE)

    def test_failing_pull_of_a_change(self) -> None:
        """It counts like any other failure."""
        self.start()
        self.clock.advance(0.5)
        self.source.fails(SourceError("away"))
        self.source.changed()
        self.clock.advance(0)
        self.assertIs(self.feed.state, State.STALE)

    def test_end_of_the_source(self) -> None:
        """The feed has ended, without ageing, until the source gives one more version. A decision counts more."""
        self.start()
        self.source.fails(EndedError("there is no more"))
        self.clock.advance(1)
        self.assertIs(self.feed.state, State.ENDED)
        self.clock.pump([1.0] * 30)
        self.assertEqual((self.feed.state, self.feed.freshness), (State.ENDED, State.LIVE))
        self.source.gives(b"[1]")
        self.source.changed()
        self.clock.advance(0.5)
        self.assertEqual((self.feed.state, self.document()), (State.LIVE, b"[1]"))
        self.feed.decide(State.WITHDRAWN)
        self.source.fails(EndedError("there is no more"))
        self.clock.advance(1)
        self.assertIs(self.feed.state, State.WITHDRAWN)

    def test_end_before_the_first_document(self) -> None:
        """Nothing was there that could be the last version."""
        self.source.fails(EndedError("there is no more"))
        self.start()
        self.assertIsNot(self.feed.state, State.ENDED)

    def test_change_of_which_the_source_says_that_it_is_none(self) -> None:
        """This is no tick, and no subscriber is told anything. Nor is anything logged after the end."""
        puller = self.start()
        informed = RecordingSubscriber()
        self.feed.subscribe(informed, with_state=True)
        self.clock.advance(0.5)
        self.source.fails(NotDueError("it is fresh"))
        self.source.changed()
        self.clock.advance(0)
        self.assertEqual((self.source.fetches, len(informed.snapshots)), (2, 1))
        self.source.answer = lambda: Deferred(lambda fetch: fetch.errback(NotDueError("it is fresh")))
        self.clock.advance(0.5)
        puller.stopService()
        self.assertEqual((self.source.under_way, len(informed.snapshots)), (0, 1))

    def test_change_that_is_none_is_a_word_of_the_source(self) -> None:
        """The feed may go without another pull from then on."""
        self.start().timeout_s = 1e9
        self.clock.advance(0.75)
        self.source.changed()
        self.clock.advance(0)
        self.source.hangs()
        self.clock.advance(0.25)
        self.clock.advance(3.5)
        self.assertIs(self.feed.state, State.LIVE)
        self.clock.advance(0.25)
        self.assertIs(self.feed.state, State.STALE)

    def test_change_after_the_end(self) -> None:
        """Nothing is pulled, and no call is scheduled."""
        puller = self.start()
        self.source.changed()
        puller.stopService()
        self.source.changed()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_source_that_cannot_look_out(self) -> None:
        """The ticks go on."""
        self.patch(self.source, "watch", [].__getitem__)
        self.start()
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        self.clock.advance(1)
        self.assertEqual(self.source.fetches, 2)


class PullSoonTests(PollerTestCase):
    """Puller.pull_soon."""

    def test_outcome_of_a_pull_that_began_later(self) -> None:
        """The pull that is under way does not count: it may have read the document before it changed."""
        puller = self.start(interval_s=60)
        waiting = self.source.hangs()
        self.clock.advance(60)
        outcome = puller.pull_soon()
        self.source.gives(b"[2]")
        waiting[0].callback(b"[1]")
        self.assertNoResult(outcome)
        self.clock.advance(MIN_SPACING_S)
        self.assertEqual((self.successResultOf(outcome), self.document()), (PullOutcome(is_shown=True), b"[2]"))

    def test_shared(self) -> None:
        """All that ask until a pull begins get its outcome; it comes at once if no pull was shortly before."""
        puller = self.start(interval_s=60)
        self.clock.advance(1)
        outcomes = [puller.pull_soon() for _ in range(3)]
        outcomes[1].cancel()
        self.failureResultOf(outcomes[1])
        self.clock.advance(0)
        self.assertTrue(self.successResultOf(outcomes[0]).is_shown)
        self.assertTrue(self.successResultOf(outcomes[2]).is_shown)
        self.assertEqual(self.source.fetches, 2)

    def test_not_shown(self) -> None:
        """The outcome has the reason: the pull fails, the gate refuses the document, or the operator has decided."""
        puller = self.start(interval_s=60)
        for answer, decision, why in (
            (SourceError("is away"), None, "is away"),
            (b"{", None, "not JSON"),
            (b"[1]", puller.desk.hold, "held back"),
            (b"[2]", puller.desk.withdraw, "withdrawn"),
            (b"{}", None, "withdrawn"),
        ):
            self.clock.advance(1)
            if isinstance(answer, bytes):
                self.source.gives(answer)
            else:
                self.source.fails(answer)
            if decision is not None:
                self.successResultOf(Deferred.fromCoroutine(decision(by="me")))
            outcome = puller.pull_soon()
            self.clock.advance(0)
            found = self.successResultOf(outcome)
            self.assertFalse(found.is_shown)
            self.assertIn(why, found.why)

    def test_pause(self) -> None:
        """A puller that is paused or stopped keeps nobody waiting."""
        puller = self.start(interval_s=60)
        before = puller.pull_soon()
        puller.pause()
        for outcome in (before, puller.pull_soon()):
            self.assertFalse(self.successResultOf(outcome).is_shown)


class UnchangedTests(PollerTestCase):
    """Sources that can say that nothing has changed."""

    def test_unchanged_is_a_good_pull(self) -> None:
        """The document is confirmed, and pushed as usual."""
        puller = self.start()
        subscriber = RecordingSubscriber()
        self.feed.subscribe(subscriber)
        self.source.gives(None)
        self.clock.advance(1)
        self.assertEqual((self.feed.confirmed_at, len(subscriber.snapshots), puller.good), (1001, 2, 2))

    def test_not_asked_is_neither_good_nor_failed(self) -> None:
        """A source that was not asked confirms nothing, and the feed stays as it is. It is asked at the next tick."""
        puller = self.start()
        subscriber = RecordingSubscriber()
        self.feed.subscribe(subscriber)
        informed = RecordingSubscriber()
        self.feed.subscribe(informed, with_state=True)
        at, sent = self.feed.confirmed_at, len(subscriber.snapshots)
        self.source.fails(NotDueError("it is fresh"))
        self.clock.pump([1.0] * 3)
        self.assertEqual((self.source.fetches, puller.good, puller.failed, puller.times.not_due), (4, 1, 0, 3))
        self.assertIs(self.feed.state, State.LIVE)
        self.assertEqual((self.feed.confirmed_at, len(subscriber.snapshots)), (at, sent))
        self.assertEqual(self.feed.tick_at, self.clock.seconds())
        # Subscribers with the state are sent a sign of life at each tick.
        self.assertEqual(len(informed.snapshots), sent + 3)
        self.source.gives(b"[1]")
        self.clock.advance(1)
        self.assertEqual((self.document(), self.feed.confirmed_at), (b"[1]", at + 4))

    def test_unchanged_after_a_failure(self) -> None:
        """The last pulled document is still the document."""
        self.start()
        self.source.fails(SourceError("away"))
        self.clock.advance(1)
        self.source.gives(None)
        self.clock.advance(1)
        self.assertIs(self.feed.state, State.LIVE)

    def test_what_was_refused_stays_refused(self) -> None:
        """An unchanged document that was refused is refused again."""
        self.start()
        self.source.gives(b"no document")
        self.clock.advance(1)
        self.source.gives(None)
        self.clock.advance(1)
        self.assertEqual((self.feed.state, self.document()), (State.STALE, b"{}"))

    def test_unchanged_from_the_start(self) -> None:
        """The pull fails."""
        self.source.gives(None)
        self.start()
        self.assertEqual((self.feed.state, self.document()), (State.STALE, None))


class StopDuringPullTests(PollerTestCase):
    """Stopping while a pull is under way."""

    def test_nothing_is_left_on_the_clock(self) -> None:
        """The time limit of the pull is cancelled, too."""
        self.source.hangs()
        puller = self.start()
        puller.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopping_is_no_failure(self) -> None:
        """A pull that is ended by closing its source is not logged as the feed's going stale."""
        waiting = self.source.hangs()
        puller = self.start()
        with capturedLogs() as events:
            puller.stopService()
            for fetch in waiting:
                if not fetch.called:
                    fetch.errback(SourceError("the connection was lost"))
        self.assertEqual([eventAsText(event) for event in events], [])

    def test_nothing_is_published_afterwards(self) -> None:
        """A document that comes after the end is not pushed to subscribers that are being let go."""
        waiting = self.source.hangs()
        puller = self.start()
        puller.stopService()
        for fetch in waiting:
            if not fetch.called:
                fetch.callback(b"1")
        self.assertIsNone(self.feed.snapshot)


class FailureTests(PollerTestCase):
    """The effect of a failed pull."""

    def test_failed_pull_keeps_the_last_good_snapshot(self) -> None:
        """The document stays, and is marked stale; its age grows."""
        self.start()
        snapshot = self.feed.snapshot
        self.source.fails(SourceError("is away"))
        self.clock.pump([1] * 5)
        self.assertIs(self.feed.snapshot, snapshot)
        self.assertIs(self.feed.state, State.STALE)
        self.assertEqual(self.feed.age_s(), 5)
        self.assertEqual(self.source.fetches, 6)

    def test_feed_recovers(self) -> None:
        """The first good pull after failures makes the feed live, with the current document."""
        self.source.fails(SourceError("is away"))
        self.start()
        self.assertIs(self.feed.state, State.STALE)
        self.assertIsNone(self.feed.snapshot)
        self.source.gives(b"2")
        self.clock.advance(1)
        self.assertIs(self.feed.state, State.LIVE)
        self.assertEqual(self.document(), b"2")

    def test_refused_document_keeps_the_last_good_snapshot(self) -> None:
        """A refused document is never served, for any reason of the refusal."""
        self.start()
        snapshot = self.feed.snapshot
        for refused in (b"", b'{"half": ', b'{"a": 1, "a": 2}', b"NaN", b"\xff", b"[" + b" " * 100 + b"]"):
            self.source.gives(b"{}")
            self.clock.advance(1)
            self.assertIs(self.feed.state, State.LIVE)
            self.source.gives(refused)
            self.clock.advance(1)
            self.assertIs(self.feed.state, State.STALE, refused)
            self.assertIs(self.feed.snapshot, snapshot)

    def test_refused_document_is_kept_for_the_operator(self) -> None:
        """With the reason; the beginning of one that is too large is not."""
        puller = self.start()
        noted: list[Any] = []
        refused: Any = SimpleNamespace(note=lambda *facts: noted.append(facts))
        puller.desk.refused = refused
        for given in (b'{"half": ', b"[" + b" " * 100 + b"]"):
            self.source.gives(given)
            self.clock.advance(1)
        ((data, rule, pointer, why),) = noted
        self.assertEqual((data, rule, pointer), (b'{"half": ', GATE, ""))
        self.assertIn("not JSON", why)

    def test_withdrawn_feed(self) -> None:
        """A publisher whose document is the withdrawn one learns that watchers do not see it."""
        puller = self.start()
        self.source.gives(b"{}")
        self.clock.advance(1)
        Deferred.fromCoroutine(puller.desk.withdraw(by="ana"))
        outcome = puller.pull_soon()
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(outcome), PullOutcome(is_shown=False, why=DECISIONS[State.WITHDRAWN]))

    def test_source_that_cannot_be_closed(self) -> None:
        """It may be of another package: the stop goes on, and the log has the reason."""
        puller = self.start()

        def close() -> None:
            raise ProgrammingError

        self.patch(self.source, "close", close)
        puller.stopService()
        self.assertEqual(len(self.flushLoggedErrors(ProgrammingError)), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_unchanged_document_is_not_checked_again(self) -> None:
        """The served document has passed the gate: a lower limit since then does not make the feed stale."""
        puller = self.start()
        puller.max_bytes = 1
        self.clock.advance(1)
        self.assertIs(self.feed.state, State.LIVE)
        self.source.gives(b"[]")
        self.clock.advance(1)
        self.assertIs(self.feed.state, State.STALE)

    def test_pull_that_takes_too_long(self) -> None:
        """After its time limit a pull is cancelled, the feed is stale, and the next pull is made."""
        self.start()
        cancelled: list[Deferred[bytes]] = []
        self.source.answer = lambda: Deferred(cancelled.append)
        self.clock.advance(1)
        self.clock.advance(0.9)
        self.assertIs(self.feed.state, State.LIVE)
        self.clock.advance(0.1)
        self.assertIs(self.feed.state, State.STALE)
        self.assertEqual(len(cancelled), 1)
        self.assertEqual(self.document(), b"{}")
        self.source.gives(b"2")
        self.clock.advance(1)
        self.assertEqual(self.document(), b"2")
        self.assertEqual(self.source.most_under_way, 1)

    def test_document_that_comes_too_late(self) -> None:
        """The answer to a pull that was given up is not published."""
        waiting = self.source.hangs()
        self.start()
        self.clock.advance(1)
        waiting[0].callback(b"late")
        self.assertIsNone(self.feed.snapshot)
        self.assertIs(self.feed.state, State.STALE)

    def test_fetch_that_cannot_be_cancelled(self) -> None:
        """It is ignored, and the next tick asks again; its result is discarded."""
        ends: list[Deferred[bytes]] = []

        async def stubborn() -> bytes:
            while True:
                ends.append(Deferred())
                with contextlib.suppress(CancelledError):
                    return await ends[-1]

        puller = self.start()
        self.source.answer = stubborn
        self.clock.pump([1] * 2)
        self.assertEqual((self.feed.state, puller.failed), (State.STALE, 1))
        self.source.gives(b"2")
        self.clock.advance(1)
        self.assertEqual((self.feed.state, self.document()), (State.LIVE, b"2"))
        # Their number is limited.
        self.source.answer = stubborn
        with capturedLogs() as events:
            self.clock.pump([1] * 30)
        self.assertEqual((self.source.under_way, puller.failed > 10), (MAX_LEFT, True))
        self.assertIn("3 pulls have neither ended nor obeyed", eventAsText(events[-1]))
        for end in ends:
            if not end.called:
                end.callback(b"3")
        self.assertEqual((self.source.under_way, self.document()), (0, b"2"))
        self.source.gives(b"4")
        self.clock.advance(1)
        self.assertEqual((self.feed.state, self.document()), (State.LIVE, b"4"))
        self.source.answer = stubborn
        self.clock.advance(1)
        puller.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_ticks_that_never_end(self) -> None:
        """The feed becomes stale after some intervals without a tick, for any reason, and the log has both changes."""
        puller = self.start(interval_s=2)
        puller.timeout_s = 1e9
        waiting = self.source.hangs()
        with capturedLogs() as events:
            self.clock.pump([0.5] * 15)
            self.assertIs(self.feed.state, State.LIVE)
            self.clock.advance(0.5)
            self.assertIs(self.feed.state, State.STALE)
            waiting[0].callback(b"2")
        self.assertEqual((self.feed.state, self.document()), (State.LIVE, b"2"))
        texts = [eventAsText(event) for event in events]
        self.assertEqual(len(texts), 2)
        self.assertIn('feed "results" is stale: no pull has ended for 8 s', texts[0])
        self.assertIn('feed "results" is live: pulled from', texts[1])

    def test_feed_that_was_late_is_live_at_a_word(self) -> None:
        """This also holds for a source that need not be asked."""
        self.start().timeout_s = 1e9
        waiting = self.source.hangs()
        with capturedLogs() as events:
            self.clock.pump([1] * 5)
            self.assertIs(self.feed.state, State.STALE)
            waiting[0].errback(NotDueError("it is fresh"))
        self.assertIs(self.feed.state, State.LIVE)
        self.assertIn(
            'feed "results" is live: what was pulled from scripted://host/0/key still holds', eventAsText(events[-1])
        )

    def test_error_inside_a_source(self) -> None:
        """An exception that no source should raise makes the feed stale; the pulls go on."""
        self.start()
        self.source.fails(ProgrammingError("oops"))
        self.clock.advance(1)
        self.assertGreaterEqual(len(self.flushLoggedErrors(ProgrammingError)), 1)
        self.assertIs(self.feed.state, State.STALE)
        self.source.gives(b"2")
        self.clock.advance(1)
        self.assertEqual(self.document(), b"2")

    def test_fetch_that_raises_instead_of_awaiting(self) -> None:
        """A fetch that is no coroutine at all, and raises when it is called, does not stop the pulls either."""
        puller = self.start()

        class Broken(ScriptedSource):
            def fetch(self) -> Any:
                raise ProgrammingError("oops")

        puller.source = Broken(lambda: succeed(b""))
        self.clock.advance(1)
        self.assertGreaterEqual(len(self.flushLoggedErrors(ProgrammingError)), 1)
        puller.source = self.source
        self.source.gives(b"2")
        self.clock.advance(1)
        self.assertEqual(self.document(), b"2")

    def test_errors_keep_no_frames(self) -> None:
        """They are freed once the next pull has begun: otherwise their variables would stay until a full collection."""
        self.start()
        for error in (SourceError("is away"), ProgrammingError("oops"), ProgrammingError("when it was cancelled")):
            if "cancelled" in str(error):

                async def answer(error: BaseException = error) -> bytes:
                    try:
                        return await Deferred[bytes]()
                    except CancelledError:
                        raise error from None

                self.source.answer = answer
                self.clock.advance(1)
            else:
                self.source.fails(error)
            self.clock.advance(1)
            self.assertIsNotNone(error.__traceback__)
            self.source.gives(b"{}")
            self.clock.advance(1)
            self.assertIsNone(error.__traceback__)
        self.flushLoggedErrors(ProgrammingError)

    def test_cancelled_fetch(self) -> None:
        """A fetch that is cancelled from elsewhere is a failed pull; the pulls go on."""
        self.source.fails(CancelledError())
        self.start()
        self.flushLoggedErrors(CancelledError)
        self.assertIs(self.feed.state, State.STALE)
        self.source.gives(b"2")
        self.clock.advance(1)
        self.assertEqual(self.document(), b"2")

    def test_error_inside_a_subscriber(self) -> None:
        """A subscriber that raises neither stops the pulls nor makes the feed stale."""

        class Broken:
            def send(self, snapshot: Snapshot) -> None:
                raise ProgrammingError("oops")

            def drop(self) -> None:
                pass

        self.feed.subscribe(Broken())
        self.start()
        self.assertEqual(len(self.flushLoggedErrors(ProgrammingError)), 1)
        self.assertIs(self.feed.state, State.LIVE)
        self.clock.advance(1)
        self.assertEqual(self.source.fetches, 2)
        self.assertIs(self.feed.state, State.LIVE)

    def test_error_inside_an_observer(self) -> None:
        """An observer of the feed that raises at each change, good or bad, does not stop the pulls."""

        def break_down() -> None:
            raise ProgrammingError("oops")

        self.start()
        self.feed.observe(break_down)
        self.source.gives(b"2")
        self.clock.advance(1)
        self.source.fails(SourceError("is away"))
        self.clock.advance(1)
        self.feed.unobserve(break_down)
        self.source.gives(b"3")
        self.clock.advance(1)
        self.assertGreaterEqual(len(self.flushLoggedErrors(ProgrammingError)), 1)
        self.assertEqual(self.document(), b"3")
        self.assertEqual(self.source.fetches, 4)


class LogTests(PollerTestCase):
    """A line for each change of state, and none for each tick."""

    def run_pulls(self, *outcomes: bytes | BaseException) -> list[str]:
        with capturedLogs() as events:
            puller: Puller | None = None
            for outcome in outcomes:
                if isinstance(outcome, bytes):
                    self.source.gives(outcome)
                else:
                    self.source.fails(outcome)
                if puller is None:
                    puller = self.start()
                else:
                    self.clock.advance(1)
        return [f"{event['log_level'].name}: {eventAsText(event, includeTimestamp=False)}" for event in events]

    def test_good_pulls_are_logged_once(self) -> None:
        """One line says that the feed is live and where it is pulled from, though the document changes."""
        lines = self.run_pulls(b"1", b"1", b"2", b"3")
        self.assertEqual(len(lines), 1)
        self.assertIn("info", lines[0])
        self.assertIn('feed "results" is live: pulled from scripted://host/0/key', lines[0])

    def test_failing_pulls_are_logged_once(self) -> None:
        """One line says that the feed is stale, and why, however long that lasts."""
        lines = self.run_pulls(b"1", *[SourceError("is away")] * 12)
        self.assertEqual(len(lines), 2)
        self.assertIn("warn", lines[1])
        self.assertIn('feed "results" is stale: scripted://host/0/key: is away', lines[1])

    def test_failing_pulls_below_a_decision(self) -> None:
        """The log has the state that clients are told, and the one that the decision hides."""
        self.source.gives(b"1")
        puller = self.start()
        self.feed.decide(State.HELD)
        away = "scripted://host/0/key: is away"
        with capturedLogs() as events:
            self.source.fails(SourceError("is away"))
            self.clock.pump([1] * 3)
        puller.stopService()
        self.assertEqual(self.lines(events), [f'feed "results" is held, and would be stale: {away}'])

    def test_new_reasons_are_logged_at_once(self) -> None:
        """Somebody who repairs one fault after the other finds each reason in the log, and each once."""
        lines = self.run_pulls(b"1", b"{", b"{", b"", SourceError("no such file"), SourceError("no such file"), b"2")
        self.assertEqual(
            [line.partition("host/0/key: ")[2].partition(":")[0] for line in lines[1:-1]],
            ["the document is not JSON", "the document is empty", "no such file"],
        )
        self.assertIn('feed "results" is still stale: scripted://host/0/key: no such file', lines[3])

    def test_reasons_that_alternate_are_logged_seldom(self) -> None:
        """A reason that comes again is logged 10 s after the last line."""
        lines = self.run_pulls(b"1", *[SourceError(f"reason {number % 2}") for number in range(58)])
        self.assertEqual(
            [line.rpartition(" ")[2] for line in lines[1:]],
            ["0", "1", "0", "1", "0", "1", "0"],
        )

    def test_many_new_reasons_are_logged_seldom(self) -> None:
        """Ten new reasons in a minute are logged at once, and then one each 10 s, until the minute is over."""
        lines = self.run_pulls(b"1", *[SourceError(f"reason {number}") for number in range(58)])
        self.assertEqual(
            [int(line.rpartition(" ")[2]) for line in lines[1:]], [*range(MAX_NEW_REASONS), 19, 29, 39, 49]
        )

    def test_each_change_is_logged(self) -> None:
        """Going stale and coming back are a line each, every time."""
        away = SourceError("is away")
        lines = self.run_pulls(away, away, b"1", b"1", away, away, b"1")
        self.assertEqual(
            ["stale" if "is stale" in line else "live" for line in lines], ["stale", "live", "stale", "live"]
        )

    def lines(self, events: Iterable[LogEvent]) -> list[str]:
        """Gives the logged lines, without the time and the module."""
        return [eventAsText(event, includeTimestamp=False, includeSystem=False) for event in events]

    def test_grace(self) -> None:
        """Until the feed is stale, the log says once that pulls fail, and when it will be; then once why."""
        away = "scripted://host/0/key: is away"
        for interval_s, stale_after_s in ((1, 8), (1, 2.5), (20, 30)):
            self.feed = Feed("results", clock=self.clock, stale_after_s=stale_after_s)
            self.source.gives(b"{}")
            puller = self.start(interval_s)
            left_s = stale_after_s - interval_s
            lines = [f'pulls of feed "results" fail: {away}; it will be stale in {left_s:g} s']
            with capturedLogs() as events:
                self.source.fails(SourceError("is away"))
                self.clock.advance(interval_s)
                self.clock.pump([0.25] * int(4 * left_s - 1))
                self.assertEqual((self.feed.state, self.lines(events)), (State.LIVE, lines))
                self.clock.advance(0.25)
                lines.append(f'feed "results" is stale: {away}')
                self.assertEqual((self.feed.state, self.lines(events)), (State.STALE, lines))
                self.clock.pump([interval_s] * 20)
                self.assertEqual(self.lines(events), lines)
                self.source.gives(b"{}")
                self.clock.advance(interval_s)
            lines.append('feed "results" is live: pulled from scripted://host/0/key')
            self.assertEqual((self.feed.state, self.lines(events)), (State.LIVE, lines))
            puller.stopService()

    def test_grace_that_is_enough(self) -> None:
        """A failure and its end are one line each, and the feed is live all the time, whichever pull is good again."""
        for is_told in (False, True):
            self.feed = Feed("results", clock=self.clock, stale_after_s=8)
            self.source.gives(b"{}")
            puller = self.start()
            with capturedLogs() as events:
                self.source.fails(SourceError("is away"))
                self.clock.advance(1)
                self.source.gives(b"{}")
                if is_told:
                    self.source.changed()
                    self.clock.advance(0.5)
                    self.assertEqual(len(events), 2)
                self.clock.pump([1] * 20)
            self.assertIn('feed "results" is live: pulled from', self.lines(events)[1])
            self.assertEqual((self.feed.state, len(events)), (State.LIVE, 2))
            puller.stopService()

    def test_other_reasons_meanwhile(self) -> None:
        """A new reason is logged at once, with a note that the feed is not stale yet."""
        self.feed.stale_after_s = 100
        lines = self.run_pulls(b"1", SourceError("reason 0"), SourceError("reason 1"), SourceError("reason 1"))
        self.assertEqual(len(lines), 3)
        text = 'pulls of feed "results" still fail: scripted://host/0/key: reason 1; it will be stale in 98 s'
        self.assertIn(text, lines[2])

    def test_source_that_hangs_after_it_failed(self) -> None:
        """The last pull has failed: this is the reason, and not that no pull has ended."""
        self.feed.stale_after_s = 8
        puller = self.start(interval_s=2)
        puller.timeout_s = 1e9
        self.source.fails(SourceError("is away"))
        self.clock.advance(2)
        self.source.hangs()
        with capturedLogs() as events:
            self.clock.pump([0.5] * 13)
        self.assertIs(self.feed.state, State.STALE)
        self.assertEqual(self.lines(events), ['feed "results" is stale: scripted://host/0/key: is away'])

    def test_source_whose_name_ends_with_a_colon(self) -> None:
        """One is enough, in the line and when the feed becomes stale later."""
        self.patch(ScriptedSource, "__str__", lambda source: "demo:")
        for stale_after_s, text in ((0, 'feed "results" is stale: '), (3, 'pulls of feed "results" fail: ')):
            self.feed = Feed("results", clock=self.clock, stale_after_s=stale_after_s)
            self.source.gives(b"{}")
            puller = self.start()
            self.source.fails(SourceError("is away"))
            with capturedLogs() as events:
                self.clock.pump([1] * 4)
            self.assertTrue(self.lines(events)[0].startswith(f"{text}demo: is away"))
            self.assertEqual(self.lines(events)[-1].partition(";")[0], 'feed "results" is stale: demo: is away')
            puller.stopService()

    def test_expired_from_the_start(self) -> None:
        """The log calls the state by its name."""
        self.feed.gone_after_s = 10
        self.feed.restore([StoredVersion(b"1", Sequence(1, 1), 0.0)], age_s=20)
        (line,) = self.run_pulls(SourceError("is away"))
        self.assertIn('feed "results" is expired: scripted://host/0/key: is away', line)

    def test_long_time_is_readable(self) -> None:
        """It is given in seconds."""
        self.start(interval_s=3600).timeout_s = 1e9
        self.source.hangs()
        with capturedLogs() as events:
            self.clock.pump([3600] * 4)
        self.assertEqual(self.lines(events), ['feed "results" is stale: no pull has ended for 14400 s'])

    def test_refusal_is_explained(self) -> None:
        """The line of a refused document has the gate's words."""
        lines = self.run_pulls(b'{"a": ')
        self.assertEqual(len(lines), 1)
        self.assertIn("the document is not JSON", lines[0])

    def test_time_limit_is_explained(self) -> None:
        """The line of a pull that took too long says how long it might have taken."""
        self.source.hangs()
        with capturedLogs() as events:
            self.start(interval_s=3600)
            self.clock.advance(10)
        self.assertEqual(len(events), 1)
        self.assertIn("no answer within 10 s", eventAsText(events[0]))

    def test_answer_that_came_while_livefeed_stood_still(self) -> None:
        """A pull has as much time more as livefeed was late at its end: an answer may be there that was not read."""
        waiting = self.source.hangs()
        self.start()
        self.clock.advance(1.6)
        self.assertEqual((self.source.under_way, self.feed.state), (1, State.STALE))
        waiting[0].callback(b"[1]")
        self.assertEqual((self.document(), self.feed.state), (b"[1]", State.LIVE))

    def test_time_is_extended_once(self) -> None:
        """A source that does not answer fails, even if livefeed stands still again and again."""
        self.source.hangs()
        with capturedLogs() as events:
            self.start()
            self.clock.advance(1.6)
            self.assertEqual(len(events), 0)
            self.clock.advance(5)
        self.assertIn("no answer within 1 s", eventAsText(events[0]))

    def test_extension_ends_with_the_pull(self) -> None:
        """Nothing is left to be called when the answer comes in the time that was added, or the puller stops."""
        for is_answered in (True, False):
            waiting = self.source.hangs()
            puller = self.start()
            self.clock.advance(1.6)
            if is_answered:
                waiting[0].callback(b"[1]")
            puller.stopService()
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_source_that_fails_in_its_own_way_when_cancelled(self) -> None:
        """The message names the time limit for any exception of a cancelled library, and no error inside livefeed."""

        def cancel(deferred: Deferred[bytes]) -> None:
            deferred.errback(ProgrammingError("cancelled while connecting"))

        self.source.answer = lambda: Deferred(cancel)
        with capturedLogs() as events:
            self.start()
            self.clock.advance(1)
        self.flushLoggedErrors(ProgrammingError)
        self.assertEqual([event["log_level"] for event in events], [LogLevel.warn])
        self.assertIn("no answer within 1 s", eventAsText(events[0]))

    def test_error_inside_a_source_is_logged_once(self) -> None:
        """A defect has its traceback in the log, once and not at each tick."""
        lines = self.run_pulls(b"1", *[ProgrammingError("oops") for _ in range(5)])
        self.assertEqual(len(self.flushLoggedErrors(ProgrammingError)), 1)
        self.assertEqual(len([line for line in lines if "is stale" in line]), 1)

    def test_no_line_has_the_password(self) -> None:
        """Neither the text of a line nor the fields of its event contain secrets."""
        with capturedLogs() as events:
            self.start()
            self.source.fails(SourceError("is away"))
            self.clock.advance(1)
            self.source.gives(b"2")
            self.clock.advance(1)
        self.assertEqual(len(events), 3)
        for event in events:
            self.assertNotIn(PASSWORD, eventAsText(event))
            self.assertNotIn(PASSWORD, str(event))


class LargeDocumentTests(PollerTestCase):
    """Documents that are too large to be compressed in the reactor's thread."""

    LARGE = b'["%b"]' % (b"x" * SMALL_BYTES)

    def setUp(self) -> None:
        super().setUp()
        self.work: list[tuple[partial[object], Deferred[Any]]] = []
        self.source.gives(self.LARGE)
        self.feed.interval_s = 1.0
        self.puller = Puller(
            self.feed,
            self.source,
            self.clock,
            max_bytes=2 * SMALL_BYTES,
            desk=desk_of(self.feed, in_thread=self.in_thread),
        )
        self.puller.startService()

    def in_thread(self, work: Callable[..., object], *arguments: Any) -> Deferred[Any]:
        self.assertIn(arguments[:1], ((), (self.LARGE,)))
        self.work.append((partial(work, *arguments), Deferred()))
        return self.work[-1][1]

    def finish(self) -> Callable[..., object]:
        """Has the thread end its work, and gives the function."""
        work, outcome = self.work.pop(0)
        outcome.callback(work())
        return work.func

    def codings(self) -> set[str]:
        return set() if self.feed.snapshot is None else set(self.feed.snapshot.representations)

    def test_compressed_in_a_thread(self) -> None:
        """It is published with the fast coding, and the slow ones come later."""
        self.assertIsNone(self.feed.snapshot)
        self.assertIs(self.finish(), make_large)
        self.assertEqual(self.codings(), {"identity", "gzip"})
        assert self.feed.snapshot is not None
        self.assertEqual(self.feed.snapshot.sequence.number, 1)
        self.assertEqual(self.feed.snapshot.representations["gzip"].data, compress(self.LARGE, GZIP_LEVEL).gzip)
        self.assertIs(self.finish(), compress_well)
        self.assertEqual(self.codings(), {"identity", "gzip", "zstd", "br"})
        self.assertEqual(self.feed.codings_made, 3)

    def test_patch_is_made_before_it_is_pushed(self) -> None:
        """It is made in a thread if a client has requested a patch to the version before."""
        patches: list[bytes | None] = []
        self.finish()
        self.finish()
        first, second, third = self.LARGE, self.LARGE.replace(b"x", b"y", 1), self.LARGE.replace(b"x", b"z", 1)
        self.feed.observe(lambda: patches.append(self.feed.history.delta(DeltaForm.PATCH, version_of(first))))
        self.feed.observe(lambda: patches.append(self.feed.history.delta(DeltaForm.PATCH, version_of(second))))
        self.feed.history.in_thread = self.refuse_thread
        for document in (second, third):
            self.LARGE = document
            self.source.gives(document)
            self.clock.advance(1)
            while self.work:
                self.finish()
        self.assertEqual(self.document(), third)
        self.assertEqual(patches[:2], [None, None])
        patch = patches[-1]
        assert patch is not None
        self.assertEqual(apply_patch(second, patch), third)

    @staticmethod
    def refuse_thread(work: Callable[..., object], *arguments: bytes) -> Deferred[Any]:
        raise OSError(errno.EAGAIN, "can't start new thread")

    def test_once_for_each_version(self) -> None:
        """A document that stays the same is not compressed again."""
        self.finish()
        self.finish()
        self.clock.advance(1)
        self.assertEqual((self.source.fetches, self.work), (2, []))

    def test_nothing_is_pulled_meanwhile(self) -> None:
        """No tick and no reported change starts a pull; the change is pulled afterwards."""
        self.source.changed()
        self.clock.pump([MIN_SPACING_S] * 100)
        self.assertEqual(self.source.fetches, 1)
        self.finish()
        self.clock.advance(MIN_SPACING_S)
        self.assertEqual(self.source.fetches, 2)

    def test_slow_codings_hold_up_nothing(self) -> None:
        """The next change is pulled while they are made."""
        self.finish()
        self.source.gives(b"{}")
        self.source.changed()
        self.clock.advance(MIN_SPACING_S)
        self.assertEqual(self.document(), b"{}")
        self.finish()
        self.assertEqual(self.codings(), {"identity"})

    def test_stopped_meanwhile(self) -> None:
        """Nothing is published after the end."""
        self.puller.stopService()
        self.finish()
        self.assertIsNone(self.feed.snapshot)
        self.assertEqual((self.work, self.clock.getDelayedCalls()), ([], []))

    def test_no_thread(self) -> None:
        """It is published without the slow codings."""
        self.puller = Puller(
            self.feed,
            self.source,
            self.clock,
            max_bytes=2 * SMALL_BYTES,
            desk=desk_of(self.feed, in_thread=self.no_thread),
        )
        self.puller.startService()
        self.assertEqual(self.codings(), {"identity", "gzip"})
        self.assertIs(self.feed.state, State.LIVE)

    @staticmethod
    def no_thread(work: Callable[..., object], *arguments: Any) -> Deferred[Any]:
        raise OSError(errno.EAGAIN, "can't start new thread")

    def test_slow_thread(self) -> None:
        """The wait is limited, for the fast coding and for the slow ones."""
        self.clock.advance(MAX_TIMEOUT_S)
        self.assertEqual((self.puller.failed, self.feed.state), (1, State.STALE))
        self.clock.advance(1)
        self.work.pop(0)
        self.finish()
        self.assertIs(self.feed.state, State.LIVE)
        self.clock.advance(MAX_TIMEOUT_S)
        self.assertEqual(self.codings(), {"identity", "gzip"})
        self.clock.advance(1)
        self.assertEqual((self.puller.failed, self.source.fetches), (1, 3))

    def test_thread_breaks(self) -> None:
        """The feed is stale, and the next tick tries again."""
        self.work.pop()[1].errback(ProgrammingError())
        self.assertEqual(len(self.flushLoggedErrors(ProgrammingError)), 1)
        self.assertEqual(self.puller.failed, 1)
        self.clock.advance(1)
        self.finish()
        self.assertIs(self.feed.state, State.LIVE)
