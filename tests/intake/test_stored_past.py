"""Stored documents as earlier versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.clocks import Moment
from livefeed.document.snapshot import version_of
from livefeed.intake.stored_past import StoredPast
from livefeed.storage.shared_writes import SPACING_S, SharedWrites
from livefeed.storage.store import Store
from tests.helpers.folders import new_folder

if TYPE_CHECKING:
    from livefeed.intake.archive import Found


class StoredPastTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.store: SharedWrites | None = SharedWrites(
            Store(new_folder(self) / "results.store", lambda: 990.0), "results", self.clock, maybeDeferred
        )
        self.store.open()
        self.addCleanup(self.store.store.close)
        self.past = StoredPast(lambda: Moment(self.clock.seconds(), 1000.0), self.store)

    def put(self, data: bytes) -> None:
        assert self.store is not None
        stored = self.store.edit(lambda _: data)
        self.clock.advance(SPACING_S)
        self.successResultOf(stored)

    def find(self, name: str) -> list[Found]:
        finding = Deferred.fromCoroutine(self.past.find(name))
        for _ in range(4):
            self.clock.advance(SPACING_S)
        return [*self.successResultOf(finding)]

    def test_find(self) -> None:
        """A version that was stored several times is found once, with its time."""
        for data in (b"1", b"2", b"1"):
            self.put(data)
        (found,) = self.find(version_of(b"1")[:8])
        self.assertEqual((found.data, found.at.wall_s, found.at.by_wall), (b"1", 990.0, True))
        self.assertEqual(self.find("0" * 32), [])

    def test_no_store(self) -> None:
        """One that is closed, or another source, has none."""
        self.put(b"1")
        assert self.store is not None
        self.store.close()
        self.assertEqual(self.find(version_of(b"1")), [])
        self.past.store = None
        self.assertEqual(self.find(version_of(b"1")), [])
