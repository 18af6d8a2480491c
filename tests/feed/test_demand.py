"""The content codings that clients ask for: noted, learned by size, and made once."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred

from livefeed.document.codings import CODINGS, SMALL_BYTES
from livefeed.document.snapshot import IDENTITY, Snapshot
from livefeed.feed.demand import ASKED_S, Demand
from tests.helpers.feeds import FeedTestCase

if TYPE_CHECKING:
    from collections.abc import Collection

SMALL = json.dumps([number * 7 for number in range(300)]).encode()
LARGE = json.dumps(["x" * SMALL_BYTES]).encode()
NOISE = json.dumps(random.Random(1).randbytes(8).hex()).encode()


class DemandTests(FeedTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.whole = self.feed()
        self.demand = self.whole.demand = Demand(self.clock.seconds())
        self.calls: list[tuple[str, ...]] = []

    def publish(self, data: bytes, codings: Collection[str] = ()) -> Snapshot:
        snapshot = Snapshot.of(data, self.whole.next_sequence(), codings=codings)
        self.whole.publish(snapshot)
        return snapshot

    def wanted(self) -> set[str]:
        return {*self.demand.wanted(self.whole.snapshot, self.clock.seconds())}

    def in_thread(self, work: Any, data: bytes, codings: tuple[str, ...]) -> Deferred[Any]:
        self.calls.append(codings)
        return maybeDeferred(work, data, codings)

    def test_a_minute(self) -> None:
        """All codings are made at first, and then those that were asked for."""
        self.clock.advance(ASKED_S)
        self.assertEqual(self.wanted(), {*CODINGS})
        snapshot = self.publish(SMALL, CODINGS)
        self.assertFalse(self.demand.note(snapshot, "br"))
        self.assertFalse(self.demand.note(snapshot, IDENTITY))
        self.clock.advance(1)
        self.assertEqual(self.wanted(), {"br"})
        self.clock.advance(ASKED_S)
        self.assertEqual(self.wanted(), {"br"})
        self.clock.advance(0.5)
        self.assertEqual(self.wanted(), set())

    def test_asked_before_a_version_that_lasted(self) -> None:
        """What was asked for since the last version counts, so that no look at the clock is needed."""
        snapshot = self.publish(SMALL, CODINGS)
        self.demand.note(snapshot, "zstd")
        self.clock.advance(10 * ASKED_S)
        self.assertEqual(self.wanted(), {"zstd"})

    def test_small(self) -> None:
        """What was left out is made at once, and once."""
        observed: list[str] = []
        self.whole.observe(lambda: observed.append("changed"))
        snapshot = self.publish(SMALL, ("zstd",))
        observed.clear()
        self.assertEqual([*snapshot.representations], ["zstd", IDENTITY])
        for coding in ("br", "gzip"):
            self.assertTrue(self.demand.note(snapshot, coding))
            self.demand.make(self.whole, snapshot, coding)
            self.assertFalse(self.demand.note(snapshot, coding))
        self.assertEqual({*snapshot.representations}, {IDENTITY, *CODINGS})
        self.assertEqual(
            {coding: each.data for coding, each in snapshot.representations.items()},
            {coding: each.data for coding, each in Snapshot.of(SMALL, snapshot.sequence).representations.items()},
        )
        self.assertEqual((self.whole.codings_made, len(observed)), (3, 2))

    def test_large(self) -> None:
        """A thread makes it. It is begun once, also while the thread works."""
        self.whole.history.in_thread = self.in_thread
        snapshot = self.publish(LARGE)
        self.assertIsNone(snapshot.deflated)
        held: Deferred[Any] = Deferred()
        self.whole.history.in_thread = lambda *_: held
        self.assertTrue(self.demand.note(snapshot, "gzip"))
        self.demand.make(self.whole, snapshot, "gzip")
        self.assertFalse(self.demand.note(snapshot, "gzip"))
        self.assertEqual([*snapshot.representations], [IDENTITY])
        held.callback({"gzip": b"finished"})
        self.assertEqual(snapshot.representations["gzip"].data, b"finished")
        self.whole.history.in_thread = self.in_thread
        self.demand.make(self.whole, snapshot, "br")
        self.assertEqual((self.calls, "br" in snapshot.representations), ([("br",)], True))

    def test_thread_that_fails(self) -> None:
        """Clients are sent what there is. The next version has the coding."""

        def no_thread(*_: object) -> Deferred[Any]:
            raise OSError

        for number, in_thread in enumerate((no_thread, lambda *_: maybeDeferred(lambda: 1 / 0))):
            snapshot = self.publish(LARGE + b" " * number)
            self.whole.history.in_thread = in_thread
            self.clock.advance(2 * ASKED_S)
            self.demand.note(snapshot, "br")
            self.demand.make(self.whole, snapshot, "br")
            self.assertEqual([*snapshot.representations], [IDENTITY])
            self.assertEqual(self.wanted(), {"br"})
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_order(self) -> None:
        """It follows the sizes of the last version that had a coding; one that was not smaller comes last."""
        self.publish(SMALL, CODINGS)
        self.wanted()
        assert self.whole.snapshot is not None
        smallest_first = [*self.whole.snapshot.representations][:-1]
        self.assertEqual([*self.demand.order], smallest_first)
        self.publish(NOISE, ("gzip",))
        self.wanted()
        self.assertEqual(self.demand.order[-1], "gzip")

    def test_compressed_messages(self) -> None:
        """The compressed message is made with gzip, and its clients ask for that."""
        snapshot = self.publish(SMALL)
        snapshot.work.wants_message = True
        self.clock.advance(2 * ASKED_S)
        self.assertEqual(self.wanted(), {"gzip"})
