"""The files of one feed: the order in which they are opened, and what an error leaves."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, eventAsText
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.snapshot import version_of
from livefeed.exceptions import StartError
from livefeed.feed.embargo_effects import EmbargoEffects
from livefeed.feed.embargo_keeping import EmbargoKeeping
from livefeed.feed.embargoes import Embargoes
from livefeed.feed.feed import Feed
from livefeed.feed.persistence import JournalService
from livefeed.feed.state import State
from livefeed.feed_storage import FeedStorage
from livefeed.storage.desk_file import DeskFile
from livefeed.storage.embargo_file import EmbargoFile
from livefeed.storage.journal import Journal
from livefeed.storage.shared_writes import SharedWrites
from livefeed.storage.store import Store
from livefeed.testing import publish
from tests.helpers.desks import desk_of
from tests.helpers.folders import new_folder


class FeedStorageTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.folder = new_folder(self)
        self.storage = self.make()

    def make(self) -> FeedStorage:
        self.feed = Feed("results", clock=self.clock)
        journal = Journal(self.folder / "results.versions", 1000)
        service = JournalService(self.feed, journal, self.clock, "--state-dir", maybeDeferred)
        self.desk = desk_of(self.feed, file=DeskFile(self.folder / "results.desk"), place="--state-dir")
        self.addCleanup(lambda: service.running and service.stopService())
        self.embargoes = self.make_embargoes(EmbargoFile(self.folder / "results.embargoes"))
        return FeedStorage("--state-dir", self.desk, service, self.make_store(), self.embargoes)

    def make_embargoes(self, file: EmbargoFile | None) -> Embargoes:
        keeping = EmbargoKeeping("results", maybeDeferred, self.clock.seconds, file)
        target: Any = None  # none of them ends
        return Embargoes(self.feed, keeping, self.clock, EmbargoEffects(self.feed, self.clock, target))

    def make_store(self) -> SharedWrites:
        store = Store(self.folder / "results.store", lambda: 1.0)
        self.addCleanup(store.close)
        return SharedWrites(store, "results", self.clock, maybeDeferred)

    def close(self) -> None:
        assert self.storage.journal is not None
        self.successResultOf(self.storage.close())
        self.storage.journal.stopService()

    def run_command(self, command: Any) -> None:
        self.successResultOf(Deferred.fromCoroutine(command))

    def test_restored(self) -> None:
        """Versions come first, and then the decisions about them; once."""
        self.storage.open()
        for data in (b"1", b"2"):
            publish(self.feed, data)
        assert self.feed.snapshot is not None
        self.desk.archive.note(self.feed.snapshot)
        self.run_command(self.desk.withdraw(by="ana"))
        self.close()
        self.storage = self.make()
        self.storage.open()
        self.storage.open()
        self.assertIs(self.feed.state, State.WITHDRAWN)
        self.assertEqual([each.version for each in self.desk.archive.recent()], [version_of(b"2"), version_of(b"1")])

    def test_start_that_fails(self) -> None:
        """Nothing stays open, and the message says where the folder was set."""
        self.folder.mkdir()
        for name in ("results.store", "results.versions", "results.desk", "results.embargoes"):
            path = self.folder / name
            path.mkdir()
            with self.assertRaises(StartError) as caught:
                self.storage.open()
            self.assertIn("--state-dir", str(caught.exception))
            path.rmdir()
            assert self.storage.store is not None
            assert self.storage.journal is not None
            self.assertFalse(self.storage.store.store.is_open)
            self.assertFalse(self.storage.journal.running)
        self.storage.open()

    def test_pause(self) -> None:
        """Another process may use the files until the end of the pause."""
        self.storage.open()
        self.successResultOf(self.storage.pause())
        other = self.make()
        other.open()
        other.abandon()
        self.storage.resume()
        assert self.storage.store is not None
        self.assertTrue(self.storage.store.is_open)

    def test_store_that_is_lost(self) -> None:
        """The log says so after a pause."""
        self.storage.open()
        self.successResultOf(self.storage.pause())
        path = self.folder / "results.store"
        path.unlink(missing_ok=True)
        path.mkdir()
        with capturedLogs() as events:
            self.storage.resume()
        self.assertTrue(any("its store cannot be used" in eventAsText(each) for each in events))

    def test_embargoes_that_are_lost(self) -> None:
        """The log says so after a pause."""
        self.storage.open()
        self.successResultOf(self.storage.pause())
        (self.folder / "results.embargoes").mkdir()
        with capturedLogs() as events:
            self.storage.resume()
        self.assertTrue(any("its embargoes cannot be used" in eventAsText(each) for each in events))

    def test_other_store(self) -> None:
        """The one before is closed."""
        self.storage.open()
        before = self.storage.store
        assert before is not None
        self.storage.replace_store(before)
        self.assertTrue(before.is_open)
        self.storage.replace_store(None)
        self.assertFalse(before.is_open)
        self.storage.replace_store(self.make_store())

    def test_nothing_kept(self) -> None:
        """Without a folder there is nothing to open."""
        feed = Feed("results", clock=self.clock)
        storage = FeedStorage("", desk_of(feed), None, None, self.make_embargoes(None))
        storage.open()
        self.successResultOf(storage.pause())
        storage.resume()
        self.successResultOf(storage.close())
        storage.abandon()
