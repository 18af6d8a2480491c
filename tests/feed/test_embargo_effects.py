"""The effects of embargoes, each of which happens once."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, eventAsText
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.embargo import Embargo
from livefeed.exceptions import CommandError, SourceError, StoreError
from livefeed.feed.embargo_effects import SHOWN_S, ConditionError, EmbargoEffects
from livefeed.feed.feed import Feed
from livefeed.feed.state import State
from livefeed.storage.shared_writes import SPACING_S, SharedWrites
from livefeed.storage.store import Store

DOCUMENT = Embargo("0a1b", 10.0, 0.0, "anna", "", b"[1]")
RELEASE = Embargo("2c3d", 10.0, 0.0, "anna")


class EmbargoEffectsTests(SynchronousTestCase):
    """A feed with a store."""

    def setUp(self) -> None:
        self.clock = Clock()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        store = Store(Path(directory.name) / "a.store", lambda: 1.0)
        self.store: SharedWrites | None = SharedWrites(store, "a", self.clock, maybeDeferred)
        self.store.open()
        self.addCleanup(store.close)
        self.feed = Feed("a", clock=self.clock)
        self.outcome: Deferred[Any] = succeed(SimpleNamespace(is_shown=True, why=""))
        self.released: list[Embargo] = []
        self.refusal: Exception | None = None
        self.effects = EmbargoEffects(self.feed, self.clock, self)

    def pull_soon(self) -> Deferred[Any]:
        return self.outcome

    async def end_hold(self, embargo: Embargo) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.released.append(embargo)

    def carry_out(self, embargo: Embargo) -> Deferred[None]:
        done = Deferred.fromCoroutine(self.effects.carry_out(embargo))
        self.clock.advance(SPACING_S)
        return done

    def writes(self) -> list[tuple[int, bytes | None, str]]:
        """Gives number, document and mark of the newest write."""
        assert self.store is not None
        newest = self.store.newest
        return [] if newest is None else [(newest.number, newest.data, newest.mark)]

    def test_stored_once(self) -> None:
        """The mark tells that it was, also below later writes."""
        with capturedLogs() as events:
            self.successResultOf(self.carry_out(DOCUMENT))
        self.assertEqual(self.writes(), [(1, b"[1]", "0a1b")])
        self.assertIn("is stored, and watchers are shown it", eventAsText(events[0]))
        assert self.store is not None
        self.store.edit(lambda _: b"[2]")
        self.clock.advance(SPACING_S)
        self.successResultOf(self.carry_out(DOCUMENT))
        self.assertEqual(self.writes(), [(2, b"[2]", "")])

    def test_conditions(self) -> None:
        """They hold for the document that is stored now."""
        self.failureResultOf(self.carry_out(Embargo("1", 1.0, 1.0, "", "", b"[1]", ("*",))), ConditionError)
        self.successResultOf(self.carry_out(DOCUMENT))
        self.failureResultOf(self.carry_out(Embargo("1", 1.0, 1.0, "", "", b"[2]", None, ("*",))), ConditionError)
        self.assertEqual(self.writes(), [(1, b"[1]", "0a1b")])

    def test_impossible(self) -> None:
        """A feed that has ended, or that has no store any more."""
        self.feed.decide(State.ENDED)
        self.assertIn("has ended", str(self.failureResultOf(self.carry_out(DOCUMENT), CommandError).value))
        self.store = None
        self.assertIn("not store:", str(self.failureResultOf(self.carry_out(DOCUMENT), CommandError).value))

    def test_closed_store(self) -> None:
        """The caller tries again."""
        assert self.store is not None
        self.store.close()
        self.failureResultOf(self.carry_out(DOCUMENT), StoreError)

    def test_not_shown(self) -> None:
        """The log says why."""
        for outcome, why in (
            (succeed(SimpleNamespace(is_shown=False, why="a rule")), "watchers are NOT shown it: a rule"),
            (Deferred[Any](), "no pull has ended within 15 s"),
        ):
            self.outcome = outcome
            with capturedLogs() as events:
                self.successResultOf(self.carry_out(Embargo(why[:4], 1.0, 1.0, "", "", b"[1]")))
                self.clock.advance(SHOWN_S)
            self.assertIn(why, eventAsText(events[-1]))

    def test_release(self) -> None:
        """The hold ends, or the reason why it does not is told."""
        self.successResultOf(self.carry_out(RELEASE))
        self.assertEqual(self.released, [RELEASE])
        for refusal in (CommandError("withdrawn"), SourceError("too slow")):
            self.refusal = refusal
            self.assertEqual(str(self.failureResultOf(self.carry_out(RELEASE), CommandError).value), str(refusal))

    def test_broken(self) -> None:
        """The log has the traceback."""
        self.refusal = KeyError("x")
        error = self.failureResultOf(self.carry_out(RELEASE), CommandError).value
        self.assertEqual(str(error), "it broke; the log has the reason")
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
