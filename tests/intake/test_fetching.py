"""The fetches of a source: their time, and those that go on after it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import SourceError, SpentErrors
from livefeed.intake.fetching import LATE_S, MAX_LEFT, Fetches
from livefeed.testing import MemorySource


class StubbornSource(MemorySource):
    """A source whose fetches wait, and ignore that they are cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Deferred[bytes]] = []

    async def fetch(self) -> bytes:
        answer: Deferred[bytes] = Deferred()
        self.waiting.append(answer)
        while True:
            try:
                return await answer
            except CancelledError:
                answer = Deferred()
                self.waiting.append(answer)


class FetchesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.source = MemorySource()
        self.fetches = Fetches(self.clock, SpentErrors())

    def fetch(self, source: MemorySource | None = None) -> Deferred[bytes]:
        return Deferred.fromCoroutine(self.fetches.fetch(source or self.source, 2.0))

    def test_unchanged(self) -> None:
        """The last document is given again; without one, that is an error."""
        unchanged: Any = None
        self.source.answers += [unchanged, b"1", unchanged]
        self.failureResultOf(self.fetch(), SourceError)
        self.assertEqual(self.successResultOf(self.fetch()), b"1")
        self.assertEqual(self.successResultOf(self.fetch()), b"1")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_time(self) -> None:
        """It ends after its time, with an error that says so; an answer that comes later is discarded."""
        answer: Deferred[bytes] = Deferred()
        self.source.answers.append(answer)
        fetching = self.fetch()
        self.clock.advance(1.9)
        self.assertNoResult(fetching)
        self.clock.advance(0.1)
        self.assertEqual(str(self.failureResultOf(fetching, SourceError).value), "no answer within 2 s")

    def test_livefeed_that_stood_still(self) -> None:
        """The fetch has once more the time by which livefeed is late: an answer may be there that was not read."""
        for late_s, more_s in ((2 * LATE_S, 2 * LATE_S), (30.0, 2.0)):
            answer: Deferred[bytes] = Deferred()
            self.source.answers.append(answer)
            fetching = self.fetch()
            self.clock.advance(2.0 + late_s)
            self.assertNoResult(fetching)
            self.clock.advance(more_s)
            self.failureResultOf(fetching, SourceError)

    def test_cancelled(self) -> None:
        """Without a fetch there is nothing to cancel."""
        self.fetches.cancel()
        answer: Deferred[bytes] = Deferred()
        self.source.answers.append(answer)
        fetching = self.fetch()
        self.fetches.cancel()
        self.failureResultOf(fetching, CancelledError)

    def test_fetches_that_never_end(self) -> None:
        """A source that ignores its cancellation is asked a few times, and again once one of them has ended."""
        source = StubbornSource()
        for _ in range(MAX_LEFT):
            fetching = self.fetch(source)
            self.clock.advance(2)
            self.failureResultOf(fetching, SourceError)
        self.assertIn("have neither ended", str(self.failureResultOf(self.fetch(source), SourceError).value))
        source.waiting[-1].callback(b"late")
        fetching = self.fetch(source)
        source.waiting[-1].callback(b"1")
        self.assertEqual(self.successResultOf(fetching), b"1")
