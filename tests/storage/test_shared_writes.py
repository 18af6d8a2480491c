"""The queue in front of a store: which edits share a commit, and the errors that their publishers get."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from livefeed.exceptions import StoreError
from livefeed.storage.shared_writes import (
    MAX_WAITING,
    SPACING_S,
    STOP_S,
    BusyStoreError,
    ClosedStoreError,
    SharedWrites,
)
from livefeed.storage.store import UNCHANGED, Outcome, Store
from tests.helpers.crashing_files import RefusingFiles

if TYPE_CHECKING:
    from collections.abc import Callable


class Threads:
    """Calls functions when the test says so."""

    def __init__(self) -> None:
        self.calls: list[tuple[Deferred[Any], Callable[[], Any]]] = []

    def __call__(self, work: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        outcome: Deferred[Any] = Deferred()
        self.calls.append((outcome, lambda: work(*arguments)))
        return outcome

    def run(self) -> None:
        """Runs the call that waits."""
        outcome, work = self.calls.pop(0)
        maybeDeferred(work).chainDeferred(outcome)


class SharedWritesTests(SynchronousTestCase):
    """A queue whose commits end when the test says so."""

    def setUp(self) -> None:
        self.clock, self.threads, self.files = Clock(), Threads(), RefusingFiles()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.store = Store(Path(directory.name) / "feed.store", lambda: 1.0, self.files)
        self.writes = SharedWrites(self.store, "feed", self.clock, self.threads)
        self.writes.open()
        self.addCleanup(self.store.close)
        self.changes: list[bytes | None] = []
        self.writes.observe(lambda: self.changes.append(self.writes.document))

    def put(self, data: bytes | None) -> Deferred[Outcome]:
        """Stores a document."""
        return self.writes.edit(lambda _: data)

    def test_one_commit_for_all_that_arrive_meanwhile(self) -> None:
        """The first edit does not wait; those that arrive during its commit share the next one."""
        first = self.put(b"1")
        others = [self.put(b"%d" % number) for number in range(2, 10)]
        self.assertEqual(len(self.threads.calls), 1)
        self.assertNoResult(first)
        self.threads.run()
        self.assertEqual(self.successResultOf(first).after, self.writes.newest)
        self.assertNoResult(others[0])
        self.clock.advance(SPACING_S)
        self.threads.run()
        self.assertEqual([self.successResultOf(each).after.data for each in others][-1], b"9")  # type: ignore[union-attr]
        self.assertEqual((self.writes.commits, self.changes), (2, [b"1", b"9"]))

    def test_spacing(self) -> None:
        """Edits that arrive within a few milliseconds share a commit, also on a disk that is faster than that."""
        self.put(b"1")
        self.threads.run()
        self.put(b"2")
        self.clock.advance(SPACING_S / 2)
        third = self.put(b"3")
        self.assertEqual(self.threads.calls, [])
        self.clock.advance(SPACING_S / 2)
        self.threads.run()
        self.successResultOf(third)
        self.assertEqual(self.writes.commits, 2)
        self.clock.advance(SPACING_S)
        self.put(b"4")
        self.assertEqual(len(self.threads.calls), 1)

    def test_nothing_is_reported_before_it_is_durable(self) -> None:
        """The source gives the document only then."""
        self.put(b"1")
        self.assertIsNone(self.writes.document)
        self.threads.run()
        self.assertEqual(self.writes.document, b"1")
        unchanged = self.writes.edit(lambda _: UNCHANGED)
        self.clock.advance(SPACING_S)
        self.threads.run()
        self.successResultOf(unchanged)
        self.assertEqual(self.changes, [b"1"])

    def test_disk_that_refuses(self) -> None:
        """The publisher gets the reason, and the log tells it once, and when it is over."""
        messages = self.capture_logs()
        self.files.refusals["sync"] = errno.ENOSPC
        for _ in range(2):
            refused = self.put(b"1")
            self.clock.advance(SPACING_S)
            self.threads.run()
            self.failureResultOf(refused, StoreError)
        self.files.refusals.clear()
        stored = self.put(b"2")
        self.clock.advance(SPACING_S)
        self.threads.run()
        self.successResultOf(stored)
        self.assertEqual(next(message for message in messages if "store" in message).count("No space left"), 1)
        self.assertEqual(len(messages), 2)

    def capture_logs(self) -> list[str]:
        """Gives the list of the lines that are logged from now on."""
        lines: list[str] = []

        @implementer(ILogObserver)
        def observe(event: LogEvent) -> None:
            lines.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        return lines

    def test_no_thread(self) -> None:
        """Without a thread nothing is written, and the next edit is tried again."""

        def refuse(*_: Any) -> Any:
            raise OSError(errno.EAGAIN, "no more threads")

        self.writes.in_thread = refuse
        self.failureResultOf(self.put(b"1"), StoreError)
        self.writes.in_thread = self.threads
        again = self.put(b"2")
        self.clock.advance(SPACING_S)
        self.threads.run()
        self.successResultOf(again)

    def test_limit(self) -> None:
        """Only so many edits wait for a slow disk; those that wait are not lost."""
        self.put(b"0")
        waiting = [self.put(b"1") for _ in range(MAX_WAITING)]
        self.failureResultOf(self.put(b"2"), BusyStoreError)
        self.threads.run()
        self.clock.advance(SPACING_S)
        self.threads.run()
        self.successResultOf(waiting[-1])

    def test_close(self) -> None:
        """What was accepted becomes durable before the lock is released, and nothing is accepted any more."""
        first, second = self.put(b"1"), self.put(b"2")
        closing = self.writes.close()
        assert closing is not None
        self.failureResultOf(self.put(b"3"), ClosedStoreError)
        self.threads.run()
        self.successResultOf(first)
        self.assertNoResult(closing)
        self.clock.advance(SPACING_S)
        self.threads.run()
        self.successResultOf(second)
        self.successResultOf(closing)
        self.assertFalse(self.store.is_open)
        self.writes.open()
        self.assertEqual(self.writes.document, b"2")
        self.assertIsNone(self.writes.close())

    def test_close_on_a_disk_that_hangs(self) -> None:
        """A stop does not wait for ever. The file stays locked for as long as its thread may write."""
        self.put(b"1")
        closing = self.writes.close()
        assert closing is not None
        self.clock.advance(STOP_S)
        self.successResultOf(closing)
        self.assertTrue(self.store.is_open)
        self.threads.run()
        self.assertFalse(self.store.is_open)

    def test_damaged_file(self) -> None:
        """The log says how much is left, and where a copy is; edits go on behind the writes that are whole."""
        self.put(b'"a"')
        self.threads.run()
        self.store.close()
        path = self.writes.path
        data = path.read_bytes()
        path.write_bytes(data + data[:-5].replace(b'"a"', b'"b"') + data[-5:])
        logged = self.capture_logs()
        self.writes.open()
        self.assertTrue(self.writes.is_open)
        self.assertEqual(len(logged), 1)
        self.assertIn("is damaged; the writes that are whole count (1)", logged[0])
        self.assertEqual(self.writes.document, b'"a"')

    def test_defect(self) -> None:
        """All edits of the commit fail by it, and the log has it; later ones are accepted."""
        outcome = self.put(b"1")
        (thread, _) = self.threads.calls.pop()
        thread.errback(ZeroDivisionError())
        self.failureResultOf(outcome, ZeroDivisionError)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        later = self.put(b"2")
        self.clock.advance(SPACING_S)
        self.threads.run()
        self.successResultOf(later)

    def test_versions(self) -> None:
        """The last writes can be listed and read."""
        self.put(b"1")
        self.put(b"2")
        self.threads.run()
        self.clock.advance(SPACING_S)
        self.threads.run()
        listing = Deferred.fromCoroutine(self.writes.versions())
        self.clock.advance(SPACING_S)
        self.threads.run()
        kept = self.successResultOf(listing)
        self.assertEqual([each.number for each in kept], [1, 2])
        reading = Deferred.fromCoroutine(self.writes.read(lambda found: found[0]))
        self.clock.advance(SPACING_S)
        self.threads.run()
        self.assertEqual(self.successResultOf(reading), (kept[0], b"1"))
