"""Snapshots of documents, with threads and without."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.codings import SMALL_BYTES
from livefeed.document.history import DeltaForm
from livefeed.exceptions import SourceError
from livefeed.feed.feed import Feed
from livefeed.intake.making import MAX_S, Made, Maker
from livefeed.testing import publish

LARGE = b'"%b"' % (b"x" * SMALL_BYTES)


class MakerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.feed = Feed("results", clock=self.clock)
        self.calls: list[str] = []

    def in_thread(self, work: Any, *arguments: object) -> Deferred[Any]:
        self.calls.append(getattr(work, "__name__", "preparation"))
        return maybeDeferred(work, *arguments)

    def make(self, data: bytes, in_thread: Any = None) -> Deferred[Made]:
        self.maker = Maker(self.feed, self.clock, in_thread or self.in_thread)
        return Deferred.fromCoroutine(self.maker.make(data))

    def test_small(self) -> None:
        """No thread is worth it."""
        made = self.successResultOf(self.make(b"1"))
        self.assertEqual((made.snapshot.data, made.lacks_codings, self.calls), (b"1", False, []))
        self.assertEqual(made.snapshot.sequence, self.feed.next_sequence())
        self.successResultOf(Deferred.fromCoroutine(self.maker.complete(made)))
        self.assertEqual(self.calls, [])

    def test_large(self) -> None:
        """A thread makes the snapshot, the deltas that are used, and later the slow codings."""
        publish(self.feed, LARGE + b" ")
        self.feed.history.in_thread = self.in_thread
        self.feed.history.want(DeltaForm.SPLICES)
        made = self.successResultOf(self.make(LARGE))
        self.assertEqual((made.lacks_codings, [*made.deltas]), (True, [DeltaForm.SPLICES]))
        self.feed.publish(made.snapshot, deltas=made.deltas)
        self.successResultOf(Deferred.fromCoroutine(self.maker.complete(made)))
        self.assertIn("br", made.snapshot.representations)

    def test_without_threads(self) -> None:
        """The snapshot is made here, and has the codings that there are."""

        def no_thread(*_: object) -> Deferred[Any]:
            raise OSError

        made = self.successResultOf(self.make(LARGE, no_thread))
        self.assertFalse(made.lacks_codings)

    def test_thread_that_hangs(self) -> None:
        """The document is not shown; slow codings are left out."""
        making = self.make(LARGE, lambda *_: Deferred())
        self.clock.advance(MAX_S)
        self.failureResultOf(making, SourceError)
        made = self.successResultOf(self.make(LARGE))
        maker = Maker(self.feed, self.clock, lambda *_: Deferred())
        completing = Deferred.fromCoroutine(maker.complete(made))
        self.clock.advance(MAX_S)
        self.successResultOf(completing)
