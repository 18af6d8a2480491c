"""Embargoes: nothing happens early, nothing twice, and nothing is lost, whatever clocks, disks and kills do."""

from __future__ import annotations

import errno
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, eventAsText
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.embargo import Embargo
from livefeed.document.snapshot import version_of
from livefeed.exceptions import CommandError, SourceError, StoreError
from livefeed.feed import embargoes as module
from livefeed.feed.believed_clock import SETTLE_S
from livefeed.feed.embargo_effects import SHOWN_S, EmbargoEffects
from livefeed.feed.embargo_keeping import EmbargoKeeping
from livefeed.feed.embargoes import (
    LOOK_S,
    MAX_EMBARGOES,
    RETRY_S,
    STOP_S,
    Embargoes,
    TooManyEmbargoesError,
    UnknownEmbargoError,
    new_id,
)
from livefeed.feed.feed import Feed
from livefeed.feed.state import State
from livefeed.storage.embargo_file import EmbargoFile
from livefeed.storage.shared_writes import SPACING_S, SharedWrites
from livefeed.storage.store import Store
from tests.helpers.crashing_files import RefusingFiles
from tests.helpers.desks import RecordingAudit

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

MODULES = (
    "livefeed.feed.embargoes",
    "livefeed.feed.embargo_keeping",
    "livefeed.feed.embargo_effects",
    "livefeed.feed.believed_clock",
)
NOON = 1_800_000_000.0
"""The time at which the tests begin, by the wall clock."""


@dataclass
class Outcome:
    is_shown: bool = True
    why: str = ""


class EmbargoesTestCase(SynchronousTestCase):
    """A feed with a store, two clocks, and a disk that can refuse."""

    store: SharedWrites | None

    def setUp(self) -> None:
        self.clock = Clock()
        self.offset_s = NOON
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = Path(directory.name)
        logs = capturedLogs()
        self.events = logs.__enter__()
        self.addCleanup(logs.__exit__, None, None, None)
        self.files = RefusingFiles()
        self.audit = RecordingAudit()
        self.feed = Feed("a", clock=self.clock)
        self.released: list[str] = []
        self.refusal: Exception | None = None
        self.outcome: Callable[[], Deferred[Any]] = lambda: succeed(Outcome())
        self.start()

    @property
    def lines(self) -> list[str]:
        """The lines of the log of the modules."""
        return [eventAsText(each) for each in self.events if each.get("log_namespace") in MODULES]

    def start(self) -> None:
        """Starts the process."""
        self.store = SharedWrites(Store(self.folder / "a.store", self.wall), "a", self.clock, maybeDeferred)
        self.store.open()
        self.addCleanup(self.store.store.close)
        file = EmbargoFile(self.folder / "a.embargoes", self.files)
        self.embargoes = self.make(file)
        self.addCleanup(file.close)

    def make(self, file: EmbargoFile | None) -> Embargoes:
        """Makes the embargoes, which are open."""
        embargoes = Embargoes(
            self.feed,
            EmbargoKeeping("a", maybeDeferred, self.wall, file, self.audit),
            self.clock,
            EmbargoEffects(self.feed, self.clock, self),
        )
        embargoes.open()
        return embargoes

    def pull_soon(self) -> Deferred[Any]:
        return self.outcome()

    def restart(self, *, is_killed: bool = True) -> None:
        """Ends the process, and starts it again."""
        if is_killed:
            self.embargoes.keeping.close()
            self.embargoes._is_open = False
        else:
            self.successResultOf(self.embargoes.close())
        assert self.store is not None
        self.store.store.close()
        for call in self.clock.getDelayedCalls():
            call.cancel()
        self.start()
        self.go(0)

    async def end_hold(self, embargo: Embargo) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.released.append(embargo.by)

    def wall(self) -> float:
        return self.offset_s + self.clock.seconds()

    def go(self, seconds: float) -> None:
        """Lets time pass, in steps of half a second."""
        for _ in range(int(seconds * 2)):
            self.clock.advance(0.5)
        for _ in range(4):
            self.clock.advance(SPACING_S)

    def add(self, in_s: float, data: bytes | None, **more: Any) -> Embargo:
        """Adds an embargo that ends in some seconds."""
        embargo = Embargo(new_id(), self.wall() + in_s, self.wall(), "anna", "", data, **more)
        self.do(self.embargoes.add(embargo))
        return embargo

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Gives the result of a command."""
        deferred: Deferred[Any] = Deferred.fromCoroutine(work)
        self.go(0)
        return self.successResultOf(deferred)

    def refused(self, work: Coroutine[Any, Any, Any]) -> Exception:
        """Gives the error of a command."""
        deferred: Deferred[Any] = Deferred.fromCoroutine(work)
        self.go(0)
        error = self.failureResultOf(deferred).value
        assert isinstance(error, Exception)
        return error

    @property
    def stored(self) -> bytes | None:
        assert self.store is not None
        return self.store.document

    @property
    def writes(self) -> int:
        assert self.store is not None
        return 0 if self.store.newest is None else self.store.newest.number


class TimeTests(EmbargoesTestCase):
    """When it happens."""

    def test_at_its_time(self) -> None:
        """Nothing is stored a moment earlier, and the embargo is gone afterwards."""
        self.add(90.0, b"[1]")
        self.go(89.5)
        self.assertEqual((self.stored, self.writes), (None, 0))
        self.go(1)
        self.assertEqual((self.stored, self.embargoes.entries), (b"[1]", ()))
        self.assertEqual([*self.clock.getDelayedCalls()], [])
        self.assertIn("watchers are shown it", self.lines[-1])

    def test_log(self) -> None:
        """It tells neither the version nor the length of the document."""
        document = b'{"secret": "%b"}' % (b"x" * 54_307)
        one = self.add(1.0, document)
        self.go(3)
        text = "\n".join(self.lines).replace(one.id, "")
        self.assertEqual(len(self.lines), 2)
        for word in ("secret", str(len(document)), version_of(document)[:8]):
            self.assertNotIn(word, text)

    def test_order(self) -> None:
        """By the times, and by the order of the commands at the same time."""
        for in_s, data in ((20.0, b"3"), (10.0, b"1"), (20.0, b"4"), (15.0, b"2")):
            self.add(in_s, data)
            self.clock.advance(0.001)
            self.offset_s -= 0.001
        self.go(25)
        assert self.store is not None
        self.assertEqual(
            [each.version for each in self.store.store.kept], [version_of(b"%d" % n) for n in (1, 2, 3, 4)]
        )

    def test_passed_while_livefeed_was_down(self) -> None:
        """It happens at the start, in the order of the times."""
        self.add(20.0, b"2")
        self.add(10.0, b"1")
        self.add(500.0, b"3")
        self.restart(is_killed=False)
        self.assertEqual(self.stored, None)
        self.offset_s += 100.0  # the machine was off
        self.restart()
        self.assertEqual((self.stored, self.writes, len(self.embargoes.entries)), (b"2", 2, 1))

    def test_set_back(self) -> None:
        """A wall clock that is set back moves the time."""
        self.add(10.0, b"1")
        self.go(5)
        self.offset_s -= 60.0
        self.go(60)
        self.assertEqual(self.stored, None)
        self.assertIn("was set back by 60 s", self.lines[-1])
        self.go(6)
        self.assertEqual(self.stored, b"1")

    def test_set_forwards(self) -> None:
        """It is believed after a minute, in which the operator can cancel, or set it right."""
        self.add(100.0, b"1")
        self.add(10_000.0, b"2")
        self.go(5)
        self.offset_s += 3600.0
        self.go(SETTLE_S - 1)
        self.assertEqual(self.stored, None)
        self.assertEqual(sum("was set forwards by 3600 s" in line for line in self.lines), 1)
        self.assertIn(self.embargoes.entries[0].id, self.lines[-1])
        self.go(2)
        self.assertEqual(self.stored, b"1")

    def test_set_right(self) -> None:
        """A glitch publishes nothing."""
        self.add(300.0, b"1")
        self.go(5)
        self.offset_s += 3600.0
        self.go(30)
        self.offset_s -= 3600.0
        self.go(SETTLE_S + 30)
        self.assertEqual(self.stored, None)
        self.go(180)
        self.assertEqual(self.stored, b"1")

    def test_set_forwards_a_little(self) -> None:
        """Until it is believed, the clock counts as it was: nothing is late by a minute."""
        self.add(20.0, b"1")
        self.go(5)
        self.offset_s += 2.0
        self.go(14.5)
        self.assertEqual(self.stored, None)
        self.go(1.5)
        self.assertEqual(self.stored, b"1")

    def test_looks(self) -> None:
        """The wall clock is read again each second, however far the time is; without embargoes there is no call."""
        self.assertEqual([*self.clock.getDelayedCalls()], [])
        self.add(100_000.0, b"1")
        self.assertEqual(self.clock.getDelayedCalls()[0].getTime(), self.clock.seconds() + LOOK_S - 4 * SPACING_S)


class EffectTests(EmbargoesTestCase):
    """What happens."""

    def test_release(self) -> None:
        """The hold ends."""
        self.add(10.0, None)
        self.go(9)
        self.assertEqual(self.released, [])
        self.go(2)
        self.assertEqual((self.released, self.embargoes.entries), (["anna"], ()))
        self.assertIn("of anna has come: nothing is held back any more", self.lines[-1])

    def test_release_that_is_refused(self) -> None:
        """It is kept with the reason, also after a restart, and does not happen at another time by itself."""
        self.refusal = CommandError("the feed is withdrawn")
        self.add(10.0, None)
        self.go(11)
        self.refusal = None
        self.restart()
        self.go(11)
        self.assertEqual((self.released, self.embargoes.entries[0].failed), ([], "the feed is withdrawn"))
        self.assertIn("is NOT carried out: the feed is withdrawn; it is kept", "".join(self.lines))

    def test_rules_that_cannot_be_checked(self) -> None:
        """It is kept, as if it were refused."""
        self.refusal = SourceError("the check takes too long")
        self.add(10.0, None)
        self.go(11)
        self.assertEqual(self.embargoes.entries[0].failed, "the check takes too long")

    def test_release_that_breaks(self) -> None:
        """The log has the traceback, once."""
        self.refusal = KeyError("x")
        self.add(10.0, None)
        self.go(20)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual(self.embargoes.entries[0].failed, "it broke; the log has the reason")

    def test_conditions(self) -> None:
        """They are evaluated at the time. One that fails keeps the document, and the next ones happen all the same."""
        self.add(10.0, b"1", if_none_match=("*",))
        self.add(20.0, b"2", if_match=(version_of(b"1"),))
        lost = self.add(30.0, b"3", if_match=(version_of(b"1"),))
        self.add(40.0, b"4")
        self.go(45)
        self.assertEqual((self.stored, self.writes), (b"4", 3))
        self.assertEqual([each.id for each in self.embargoes.entries], [lost.id])
        self.assertIn("another version is stored", self.embargoes.entries[0].failed)
        self.assertEqual(self.embargoes.entries[0].data, b"3")

    def test_conditions_of_an_empty_store(self) -> None:
        """There is no version then."""
        self.add(10.0, b"1", if_match=("*",))
        self.go(11)
        self.assertIn("no document is stored", self.embargoes.entries[0].failed)

    def test_ended_feed(self) -> None:
        """Nothing is stored in it."""
        self.feed.decide(State.ENDED)
        self.add(10.0, b"1")
        self.go(11)
        self.assertEqual((self.stored, self.embargoes.entries[0].failed[:18]), (None, "the feed has ended"))

    def test_other_source(self) -> None:
        """A reload can take the store away. The document is kept."""
        self.add(10.0, b"1")
        store, self.store = self.store, None
        self.go(11)
        self.assertIn("not store: any more", self.embargoes.entries[0].failed)
        self.store = store

    def test_told_at_a_reload(self) -> None:
        """The log warns if documents wait."""
        self.embargoes.note_store(has_store=False)
        self.add(10.0, None)
        self.embargoes.note_store(has_store=False)
        self.add(10.0, b"1")
        self.embargoes.note_store(has_store=True)
        self.assertEqual(sum("not published unless" in line for line in self.lines), 0)
        self.embargoes.note_store(has_store=False)
        self.assertIn("1 documents under embargo wait, and are not published unless", self.lines[-1])

    def test_not_shown(self) -> None:
        """The log says so, with the reason."""
        self.outcome = lambda: succeed(Outcome(is_shown=False, why="a rule"))
        self.add(1.0, b"1")
        self.go(2)
        self.assertIn("watchers are NOT shown it: a rule", self.lines[-1])
        self.outcome = Deferred
        self.add(1.0, b"2")
        self.go(SHOWN_S + 2)
        self.assertIn("no pull has ended within 15 s", self.lines[-1])

    def test_same_document(self) -> None:
        """It is written again: a restart must find the sign that the embargo has ended."""
        self.add(10.0, b"1")
        self.add(20.0, b"1")
        self.go(25)
        self.assertEqual(self.writes, 2)


class CrashTests(EmbargoesTestCase):
    """Kills, and disks that refuse."""

    def test_killed_after_the_write(self) -> None:
        """A document that was stored, and replaced since, is not stored again."""
        self.add(10.0, b"1")
        self.files.refusals["sync"] = errno.ENOSPC
        self.go(11)
        self.assertEqual((self.stored, len(self.embargoes.entries), self.embargoes.listed()), (b"1", 1, ()))
        assert self.store is not None
        self.store.edit(lambda _: b"2")
        self.go(5)
        self.assertEqual((self.stored, self.writes), (b"2", 2))
        self.assertEqual(sum("is tried again each second" in line for line in self.lines), 1)
        self.files.refusals.clear()
        self.restart()
        self.assertEqual((self.stored, self.writes, self.embargoes.entries), (b"2", 2, ()))

    def test_removed_once_the_disk_recovers(self) -> None:
        """It is tried again each second, and not done again."""
        self.add(10.0, b"1")
        self.files.refusals["sync"] = errno.ENOSPC
        self.go(11)
        self.files.refusals.clear()
        self.go(RETRY_S + 1)
        self.assertEqual((self.writes, self.embargoes.entries), (1, ()))

    def test_store_that_refuses(self) -> None:
        """It is tried again until it succeeds."""
        self.add(10.0, b"1")
        assert self.store is not None
        files = RefusingFiles({"sync": errno.EIO, "open": errno.EIO})
        self.store.store.files = files
        self.go(15)
        self.assertEqual((self.stored, len(self.embargoes.entries)), (None, 1))
        files.refusals.clear()
        self.go(2)
        self.assertEqual((self.stored, self.embargoes.entries), (b"1", ()))

    def test_refused(self) -> None:
        """A command that the disk refuses has no effect."""
        self.files.refusals["write"] = errno.ENOSPC
        embargo = Embargo(new_id(), self.wall() + 10, self.wall(), "anna", "", b"1")
        refusal = self.refused(self.embargoes.add(embargo))
        self.assertIsInstance(refusal, StoreError)
        self.assertIn("it cannot be kept, and will not happen: ", str(refusal))
        self.files.refusals.clear()
        self.go(20)
        self.assertEqual(self.stored, None)
        one = self.add(10.0, b"1")
        self.files.refusals["write"] = errno.ENOSPC
        self.assertIsInstance(self.refused(self.embargoes.cancel(one.id, "anna")), StoreError)
        self.files.refusals.clear()
        self.go(20)
        self.assertEqual(self.stored, b"1")

    def test_audit(self) -> None:
        """It has a line for each command and for each end, and what it refuses does not happen."""
        one = self.add(10.0, b"1")
        self.refusal = CommandError("it is withdrawn")
        other = self.add(5.0, None)
        self.go(11)
        self.do(self.embargoes.cancel(other.id, "bert"))
        self.assertEqual(
            [(each["arguments"]["action"], each["arguments"]["id"], each["by"]) for each in self.audit.entries],
            [
                ("set aside", one.id, "anna"),
                ("set aside", other.id, "anna"),
                ("end", other.id, "anna"),
                ("end", one.id, "anna"),
                ("cancel", other.id, "bert"),
            ],
        )
        self.assertEqual(self.audit.entries[2]["outcome"], "failed: it is withdrawn")
        self.audit.fails = True
        embargo = Embargo(new_id(), self.wall() + 10, self.wall(), "anna", "", b"2")
        self.assertIsInstance(self.refused(self.embargoes.add(embargo)), StoreError)
        self.go(11)
        self.assertEqual(self.stored, b"1")

    def test_without_a_folder(self) -> None:
        """It works, and a restart forgets it."""
        self.embargoes = self.make(None)
        self.add(10.0, None)
        self.go(11)
        self.assertEqual(self.released, ["anna"])
        self.successResultOf(self.embargoes.close())

    def test_closed(self) -> None:
        """Another process takes over: nothing happens here any more, until it is opened again."""
        one = self.add(10.0, b"1")
        self.embargoes.open()  # it is open
        self.successResultOf(self.embargoes.close())
        self.go(20)
        self.assertEqual(self.stored, None)
        for work in (self.embargoes.add(one), self.embargoes.cancel(one.id, ""), self.embargoes.happen_now(one.id, "")):
            self.assertIn("handed over", str(self.refused(work)))
        self.embargoes.open()
        self.go(1)
        self.assertEqual(self.stored, b"1")

    def test_told_at_the_end_and_at_the_start(self) -> None:
        """So that nobody believes that they end while livefeed, or the feed, is away."""
        self.restart(is_killed=False)
        self.assertEqual(self.lines, [])
        self.add(10.0, b"1")
        self.restart(is_killed=False)
        *_, last, first = self.lines
        self.assertIn("1 embargoes do not end until livefeed has the feed again; they are in", last)
        self.assertIn("1 embargoes wait, of which the next one ends at 2027-01-15T08:00:10", first)

    def test_closed_during_a_write(self) -> None:
        """The end of the write is waited for, but not for ever."""
        for outcome in (None, Failure(StoreError("no"))):
            adding, writing = self.begin_to_write()
            closing = self.embargoes.close()
            self.assertNoResult(closing)
            writing.callback(outcome)
            self.successResultOf(closing)
            if outcome is None:
                self.successResultOf(adding)
            else:
                self.failureResultOf(adding, StoreError)
            self.embargoes.open()
        self.begin_to_write()
        closing = self.embargoes.close()
        self.go(STOP_S + 1)
        self.successResultOf(closing)

    def begin_to_write(self) -> tuple[Deferred[None], Deferred[Any]]:
        """Adds an embargo, whose write ends when the test says so."""
        writing: Deferred[Any] = Deferred()
        self.embargoes.keeping.in_thread = lambda *_: writing
        embargo = Embargo(new_id(), self.wall() + 99, 1.0, "anna")
        return Deferred.fromCoroutine(self.embargoes.add(embargo)), writing

    def test_closed_at_its_time(self) -> None:
        """The store is closed first. This is no error: the successor stores the document."""
        self.add(1.0, b"1")
        assert self.store is not None
        self.store.close()
        writing: Deferred[None] = Deferred()
        self.patch(self.store, "edit", lambda _: writing)
        self.go(2)
        closing = self.embargoes.close()
        writing.errback(StoreError("closed"))
        self.successResultOf(closing)
        self.assertEqual(sum("tried again" in line for line in self.lines), 0)


class CommandTests(EmbargoesTestCase):
    """Cancelling, and publishing by hand."""

    def test_cancel(self) -> None:
        """It never happens."""
        one = self.add(10.0, b"1")
        self.assertEqual(self.do(self.embargoes.cancel(one.id, "bert")), one)
        self.go(20)
        self.assertEqual((self.stored, self.embargoes.entries), (None, ()))
        self.assertIn(f"the embargo {one.id} was cancelled by bert", self.lines[-1])
        self.restart()
        self.assertEqual(self.embargoes.entries, ())

    def test_unknown(self) -> None:
        """One that has happened cannot be cancelled."""
        one = self.add(10.0, b"1")
        self.go(11)
        error = self.refused(self.embargoes.cancel(one.id, "bert"))
        self.assertIsInstance(error, UnknownEmbargoError)
        self.assertIn("it has happened, or was cancelled", str(error))

    def test_now(self) -> None:
        """It is stored at once, and not again at its time."""
        one = self.add(10.0, b"1")
        self.do(self.embargoes.happen_now(one.id, "bert"))
        self.assertEqual((self.stored, self.writes), (b"1", 1))
        self.go(20)
        self.assertEqual(self.writes, 1)

    def test_now_on_a_full_disk(self) -> None:
        """Its document is stored. It is removed as soon as that is possible, and does not happen again."""
        one = self.add(100.0, b"1")
        self.files.refusals["write"] = errno.ENOSPC
        self.do(self.embargoes.happen_now(one.id, "bert"))
        self.assertIsInstance(self.refused(self.embargoes.cancel(one.id, "bert")), UnknownEmbargoError)
        self.files.refusals.clear()
        self.go(3)
        self.assertEqual((self.writes, self.embargoes.entries), (1, ()))

    def test_failed_one(self) -> None:
        """One that has failed can be published by hand, with its conditions or without."""
        one = self.add(10.0, b"1", if_match=("*",))
        self.go(11)
        self.assertIn("no document is stored", str(self.refused(self.embargoes.happen_now(one.id, "bert"))))
        self.assertEqual(len(self.embargoes.entries), 1)
        self.assertEqual(self.audit.entries[-1]["arguments"]["action"], "publish now")
        self.assertIn("failed: no document is stored", self.audit.entries[-1]["outcome"])
        self.do(self.embargoes.happen_now(one.id, "bert", any_version=True))
        self.assertEqual((self.stored, self.embargoes.entries), (b"1", ()))

    def test_limits(self) -> None:
        """Number and bytes are bounded. One large document is accepted alone."""
        self.patch(module, "MAX_EMBARGO_BYTES", 10)
        self.add(10.0, b"1" * 20)
        large = Embargo(new_id(), self.wall() + 10, self.wall(), "anna", "", b"2")
        self.assertIn("21 bytes together", str(self.refused(self.embargoes.add(large))))
        self.patch(module, "MAX_EMBARGO_BYTES", 1000)
        for _ in range(MAX_EMBARGOES - 1):
            self.add(10.0, b"1")
        error = self.refused(self.embargoes.add(large))
        self.assertIsInstance(error, TooManyEmbargoesError)
        self.assertIn("32 embargoes", str(error))


STEPS = st.one_of(
    st.tuples(st.just("add"), st.integers(1, 40)),
    st.tuples(st.just("cancel"), st.integers(0, 5)),
    st.tuples(st.just("wait"), st.integers(1, 90)),
    st.tuples(st.just("set clock"), st.integers(-100, 100)),
    st.tuples(st.just("kill"), st.just(0)),
    st.tuples(st.just("disk"), st.integers(0, 1)),
)


class AnyOrderTests(EmbargoesTestCase):
    """Commands, clocks that are set, kills and full disks, in any order."""

    @settings(max_examples=60, deadline=None)
    @given(st.lists(STEPS, max_size=14))
    def test_each_document_is_stored_once_and_not_early(self, steps: list[tuple[str, int]]) -> None:
        """Each that was accepted and not cancelled is stored once in the end, and none before its time."""
        self.doCleanups()
        self.setUp()
        self.wanted: dict[str, float] = {}
        self.cancelled: set[str] = set()
        for number, (step, value) in enumerate(steps):
            if step == "add":
                self.try_to_add(number, value)
            elif step == "cancel":
                self.try_to_cancel(f"{value:08x}")
            elif step == "wait":
                self.go(value)
            elif step == "set clock":
                self.offset_s += value
            elif step == "kill":
                self.restart()
            else:
                self.files.refusals = {"sync": errno.ENOSPC} if value else {}
        self.files.refusals.clear()
        self.offset_s += 1000.0  # whatever clocks have done, all times pass
        self.go(SETTLE_S + 5)
        assert self.store is not None
        written = [(each.mark, each.at) for each in self.store.store.kept]
        self.assertEqual(sorted(mark for mark, _ in written), sorted(self.wanted.keys() - self.cancelled))
        for mark, at in written:
            self.assertGreaterEqual(at, self.wanted[mark])
        self.assertEqual(self.embargoes.entries, ())

    def try_to_add(self, number: int, in_s: int) -> None:
        embargo = Embargo(f"{number:08x}", self.wall() + in_s, self.wall(), "anna", "", b"[%d]" % number)
        if self.has_succeeded(Deferred.fromCoroutine(self.embargoes.add(embargo))):
            self.wanted[embargo.id] = embargo.at

    def try_to_cancel(self, name: str) -> None:
        if self.has_succeeded(Deferred.fromCoroutine(self.embargoes.cancel(name, "bert"))):
            self.cancelled.add(name)

    def has_succeeded(self, command: Deferred[Any]) -> bool:
        """Tells whether a command has succeeded; it ends at once."""
        outcomes: list[bool] = []
        command.addCallbacks(lambda _: outcomes.append(True), lambda _: outcomes.append(False))
        self.go(0)
        return outcomes[0]
