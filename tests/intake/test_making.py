"""Snapshots of documents, with threads and without."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.codings import CODINGS, SMALL_BYTES
from livefeed.document.history import DeltaForm
from livefeed.exceptions import SourceError
from livefeed.feed.demand import ASKED_S, Demand
from livefeed.feed.feed import Feed
from livefeed.intake.making import MAX_S, Made, Maker
from livefeed.testing import publish

SMALL = b'"%b"' % (b"x" * 999)
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
        self.assertEqual((made.snapshot.data, made.lacks, self.calls), (b"1", (), []))
        self.assertEqual(made.snapshot.sequence, self.feed.next_sequence())
        self.successResultOf(Deferred.fromCoroutine(self.maker.complete(made)))
        self.assertEqual(self.calls, [])

    def test_large(self) -> None:
        """A thread makes the snapshot, the deltas that are used, and later the slow codings."""
        publish(self.feed, LARGE + b" ")
        self.feed.history.in_thread = self.in_thread
        self.feed.history.want(DeltaForm.SPLICES)
        made = self.successResultOf(self.make(LARGE))
        self.assertEqual((made.lacks, [*made.deltas]), (("zstd", "br"), [DeltaForm.SPLICES]))
        self.feed.publish(made.snapshot, deltas=made.deltas)
        self.successResultOf(Deferred.fromCoroutine(self.maker.complete(made)))
        self.assertIn("br", made.snapshot.representations)

    def test_codings_on_demand(self) -> None:
        """Only those are made that clients have asked for lately. None is left to a thread that nobody asked for."""
        self.feed.demand = Demand(self.clock.seconds())
        everything = self.successResultOf(self.make(SMALL)).snapshot
        self.assertEqual(everything.work.left_out, set())
        self.feed.publish(everything)
        self.clock.advance(2 * ASKED_S)
        self.assertEqual([*self.successResultOf(self.make(SMALL + b" ")).snapshot.representations], ["identity"])
        for coding, lacks in (("gzip", ()), ("br", ("br",)), ("identity", ())):
            self.clock.advance(2 * ASKED_S)
            self.demand_for(coding)
            made = self.successResultOf(self.make(LARGE))
            self.assertEqual((made.lacks, made.snapshot.deflated is None), (lacks, coding != "gzip"))
            self.assertEqual(made.snapshot.work.left_out, {*CODINGS} - {coding})
            self.calls.clear()
            self.successResultOf(Deferred.fromCoroutine(self.maker.complete(made)))
            self.assertEqual(len(self.calls), len(lacks))
            self.assertEqual({*made.snapshot.representations}, {coding, "identity"})

    def demand_for(self, coding: str) -> None:
        assert self.feed.demand is not None
        assert self.feed.snapshot is not None
        self.feed.demand.note(self.feed.snapshot, coding)

    def test_without_threads(self) -> None:
        """The snapshot is made here, and has the codings that there are."""

        def no_thread(*_: object) -> Deferred[Any]:
            raise OSError

        made = self.successResultOf(self.make(LARGE, no_thread))
        self.assertEqual(made.lacks, ())

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
