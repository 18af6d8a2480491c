"""A feed has its versions again after a restart, and never waits for the disk."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import Mock

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, eventAsText
from twisted.trial.unittest import SynchronousTestCase

from livefeed.clocks import Boot
from livefeed.document.history import DeltaForm
from livefeed.document.snapshot import Sequence, version_of
from livefeed.document.stored_version import StoredVersion
from livefeed.feed.feed import Feed
from livefeed.feed.persistence import CONFIRM_S, STOP_S, JournalService
from livefeed.feed.state import State
from livefeed.storage.journal import Journal
from livefeed.testing import publish

NOW = 1_700_000_000


class PersistenceTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(100)
        self.wall = Clock()
        self.wall.advance(NOW)
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def advance(self, seconds: float) -> None:
        for clock in (self.clock, self.wall):
            clock.advance(seconds)

    def start(self, in_thread: Any = maybeDeferred, boot: Boot | None = None) -> tuple[Feed, JournalService]:
        feed = Feed("feed", clock=self.clock, wall=self.wall.seconds, gone_after_s=600.0)
        journal = Journal(self.folder / "feed.versions", 1000)
        service = JournalService(feed, journal, self.clock, "--state-dir", in_thread, boot)
        self.addCleanup(journal.close)
        service.startService()
        return feed, service


class RestartTests(PersistenceTestCase):
    def test_nothing_was_kept(self) -> None:
        """The feed begins as it would without a journal."""
        feed, _ = self.start()
        self.assertEqual((feed.snapshot, feed.confirmed_at), (None, 0))

    def test_versions_are_back(self) -> None:
        """The newest version is served as stale, with its own sequence and time; there are patches from others."""
        feed, service = self.start()
        for number in range(3):
            self.advance(1)
            publish(feed, b'{"n": %d, "rest": "%s"}' % (number, b"." * 200))
        before = feed.snapshot
        assert before is not None
        service.stopService()
        self.advance(60)
        feed, _ = self.start()
        after = feed.snapshot
        assert after is not None
        self.assertEqual((after.version, after.sequence), (before.version, before.sequence))
        self.assertEqual((feed.state, feed.confirmed_at, feed.age_s()), (State.STALE, NOW + 3, 60))
        patch = feed.history.delta(DeltaForm.PATCH, version_of(b'{"n": 0, "rest": "%s"}' % (b"." * 200)))
        self.assertEqual(patch, b'[{"op":"replace","path":"/n","value":2}]')

    def test_next_version_is_later(self) -> None:
        """They belong to a new epoch, even if the clock was set back; an unchanged document keeps its version."""
        feed, service = self.start()
        publish(feed, b"1")
        service.stopService()
        assert feed.snapshot is not None
        before = feed.snapshot.sequence
        self.wall.rightNow -= 1000
        feed, _ = self.start()
        assert feed.snapshot is not None
        publish(feed, b"1")
        self.assertEqual((feed.snapshot.sequence, feed.state), (before, State.LIVE))
        publish(feed, b"2")
        self.assertGreater(feed.snapshot.sequence, before)
        self.assertEqual(feed.snapshot.sequence.number, 1)

    def test_what_was_given_back_is_not_written_again(self) -> None:
        """Only new versions are written."""
        feed, service = self.start()
        publish(feed, b"1")
        service.stopService()
        size = (self.folder / "feed.versions").stat().st_size
        feed, _ = self.start()
        feed.mark_stale()
        publish(feed, b"1")
        self.assertEqual((self.folder / "feed.versions").stat().st_size, size)

    def test_damaged_file_is_told(self) -> None:
        """The versions before the damage are restored, and the file is kept for the operator."""
        feed, service = self.start()
        for data in (b"1", b"2"):
            publish(feed, data)
        service.stopService()
        path = self.folder / "feed.versions"
        damaged = path.read_bytes()[:-2] + b"3\n"
        path.write_bytes(damaged)
        with capturedLogs() as events:
            feed, service = self.start()
        assert feed.snapshot is not None
        self.assertEqual(feed.snapshot.data, b"1")
        aside = self.folder / "feed.versions.damaged"
        self.assertEqual(aside.read_bytes(), damaged)
        told = [eventAsText(event, includeTimestamp=False, includeSystem=False) for event in events]
        why = f"the versions before the damage count (1), and the file is kept as {aside}"
        self.assertEqual(told[0], f'feed "feed": {path} is damaged; {why}')
        service.stopService()
        with capturedLogs() as events:
            self.start()
        self.assertEqual(len(events), 1)

    def test_file_of_another_process(self) -> None:
        """The start fails with a message."""
        self.start()
        error = self.assertRaises(SystemExit, self.start)
        self.assertRegex(str(error), "^livefeed: --state-dir: .*another process")


class SuccessionTests(PersistenceTestCase):
    """A journal that goes from one process to another while both run."""

    def documents(self, count: int) -> list[bytes]:
        return [b'{"n": %d, "rest": "%s"}' % (number, b"." * 200) for number in range(count)]

    def test_followed_feed(self) -> None:
        """Its newest version and sequence stay, and the older versions are there for patches."""
        before, service = self.start()
        for data in self.documents(3):
            publish(before, data)
        service.pause()
        snapshot = before.snapshot
        assert snapshot is not None
        feed = Feed("feed", clock=self.clock, wall=self.wall.seconds)
        publish(feed, self.documents(3)[1])
        feed.publish(snapshot)
        after = JournalService(feed, Journal(self.folder / "feed.versions", 1000), self.clock, "", maybeDeferred)
        self.addCleanup(after.journal.close)
        after.startService()
        self.assertIs(feed.snapshot, snapshot)
        self.assertEqual(feed.next_sequence(), snapshot.sequence.next())
        self.assertEqual(feed.history.versions(), [version_of(data) for data in self.documents(3)[:2]])
        self.assertIsNotNone(feed.history.delta(DeltaForm.PATCH, version_of(self.documents(3)[0])))
        after.stopService()

    def test_version_that_was_not_written(self) -> None:
        """A followed version that the journal lacks is written at the next tick."""
        feed = Feed("feed", clock=self.clock, wall=self.wall.seconds)
        publish(feed, b"[1]")
        service = JournalService(feed, Journal(self.folder / "feed.versions", 1000), self.clock, "", maybeDeferred)
        service.startService()
        snapshot = feed.snapshot
        assert snapshot is not None
        feed.publish(snapshot)
        service.stopService()
        restored, _ = self.start()
        assert restored.snapshot is not None
        self.assertEqual((restored.snapshot.data, restored.snapshot.sequence), (b"[1]", snapshot.sequence))

    def test_pause(self) -> None:
        """Another process may open the file meanwhile; afterwards this one goes on, and repeats nothing."""
        feed, service = self.start()
        publish(feed, b"[1]")
        service.pause()
        other = Journal(self.folder / "feed.versions", 1000)
        self.assertEqual([each.data for each in other.open()], [b"[1]"])
        other.close()
        service.resume()
        service.resume()
        publish(feed, b"[2]")
        service.stopService()
        service.resume()
        self.assertEqual([each.data for each in other.open()], [b"[1]", b"[2]"])
        other.close()

    def test_pause_and_stop(self) -> None:
        """A process that is told to end meanwhile writes nothing more."""
        feed, service = self.start()
        service.pause()
        publish(feed, b"[1]")
        self.assertIsNone(service.stopService())
        self.assertIsNone(self.start()[0].snapshot)

    def test_journal_that_another_process_keeps(self) -> None:
        """The log says that versions are not kept; nothing raises."""
        feed, service = self.start()
        service.pause()
        other = Journal(self.folder / "feed.versions", 1000)
        other.open()
        with capturedLogs() as logs:
            service.resume()
        self.assertIn("cannot be kept", eventAsText(logs[0]))
        publish(feed, b"[1]")
        other.close()
        service.stopService()


class AgeTests(PersistenceTestCase):
    """The age of a version that an earlier process has pulled."""

    def restart(self, *, wall_s: float, boots: bool = False, named: bool = True) -> Feed:
        """Publishes a version, and restarts 60 s later.

        :param wall_s: the seconds by which the wall clock is set meanwhile.
        :param boots: whether the machine restarts as well.
        :param named: whether the system names its starts.
        """
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        feed, service = self.start(boot=Boot("first", self.clock.seconds) if named else None)
        publish(feed, b"1")
        service.stopService()
        self.advance(60)
        self.wall.rightNow += wall_s
        if boots:
            self.clock.rightNow = 5.0
        feed, service = self.start(boot=Boot("second" if boots else "first", self.clock.seconds) if named else None)
        self.assertIs(feed.state, State.STALE)
        self.addCleanup(service.stopService)
        self.assertLessEqual(feed.confirmed_at, self.wall.seconds())
        return feed

    def test_same_boot(self) -> None:
        """The age ignores the wall clock; the displayed time matches the age, and is not in the future."""
        for wall_s in (-86400, -3600, -30, 0, 3600, 86400):
            feed = self.restart(wall_s=wall_s)
            self.assertEqual((feed.age_s(), feed.confirmed_at), (60, self.wall.seconds() - 60))
            self.advance(600)
            self.assertTrue(feed.is_gone())

    def test_another_boot(self) -> None:
        """Only the wall clock tells the age."""
        feed = self.restart(wall_s=40, boots=True)
        self.assertEqual((feed.age_s(), feed.confirmed_at), (100, NOW))

    def test_version_from_the_future(self) -> None:
        """Its age counts from the start then: it expires some time, although not at the right time."""
        for named in (True, False):
            feed = self.restart(wall_s=-86400, boots=True, named=named)
            started = self.wall.seconds()
            self.assertEqual((feed.age_s(), feed.confirmed_at), (0, started))
            self.advance(599)
            self.assertEqual((feed.age_s(), feed.confirmed_at, feed.is_gone()), (599, started, False))
            self.advance(1)
            self.assertTrue(feed.is_gone())

    def test_wall_clock_is_set_right_after_the_start(self) -> None:
        """A machine without a clock of its own asks for the time after its start: the age is right then."""
        feed = self.restart(wall_s=-86400, boots=True)
        self.wall.rightNow += 86400
        self.assertEqual((feed.age_s(), feed.confirmed_at), (60, NOW))

    def test_wall_clock_is_set_back_after_the_start(self) -> None:
        """No document becomes younger by that."""
        feed = self.restart(wall_s=0, boots=True)
        self.advance(5)
        self.wall.rightNow -= 3600
        self.assertEqual((feed.age_s(), feed.confirmed_at), (65, self.wall.seconds() - 65))

    def test_impossible_record(self) -> None:
        """A time in the future, or before the start of the machine, is ignored."""
        for since_boot_s in (-1.0, 1e9):
            journal = Journal(self.folder / "feed.versions", 1000)
            journal.open()
            journal.append(StoredVersion(b"1", Sequence(1, 1), NOW - 7, "first", since_boot_s))
            journal.close()
            feed, service = self.start(boot=Boot("first", self.clock.seconds))
            self.assertEqual(feed.age_s(), 7)
            service.stopService()

    def test_age_is_that_of_the_pull(self) -> None:
        """It is not that of the moment in which the version is written."""
        feed, service = self.start(boot=Boot("first", self.clock.seconds))
        feed._observers.insert(0, lambda: self.advance(3))  # before the service
        publish(feed, b"1")
        service.stopService()
        feed, _ = self.start(boot=Boot("first", self.clock.seconds))
        self.assertEqual((feed.age_s(), feed.confirmed_at), (3, NOW))


class ConfirmationTests(PersistenceTestCase):
    """After a restart, a document that has not changed for long is as old as its last confirmation."""

    def boot(self) -> Boot:
        """Gives the boot of the machine in which the test runs."""
        return Boot("first", self.clock.seconds)

    def run_for(self, feed: Feed, seconds: int) -> None:
        """Has a pull confirm the document each second."""
        for _ in range(seconds):
            self.advance(1)
            publish(feed, b"1")

    def kill(self, service: JournalService) -> None:
        """Ends a process as SIGKILL does."""
        service.feed.unobserve(service._note)
        assert service._loop is not None
        service._loop.stop()
        service.journal.close()

    def test_stop(self) -> None:
        """The written confirmation is exact, by either clock: the document does not expire."""
        for named in (True, False):
            feed, service = self.start(boot=self.boot() if named else None)
            self.run_for(feed, 3601)
            service.stopService()
            self.advance(6)
            with capturedLogs() as events:
                feed, service = self.start(boot=self.boot() if named else None)
            self.assertEqual((feed.state, feed.age_s()), (State.STALE, 6))
            self.assertEqual(feed.confirmed_at, self.wall.seconds() - 6)
            self.assertNotIn("expired", " ".join(eventAsText(event) for event in events))
            service.stopService()

    def test_kill(self) -> None:
        """The document seems a few seconds older than it is at most, and never younger."""
        for seconds in range(1, 3 * int(CONFIRM_S)):
            self.folder = Path(tempfile.mkdtemp(dir=self.folder))
            feed, service = self.start(boot=self.boot())
            self.run_for(feed, 3600 + seconds)
            self.kill(service)
            self.advance(6)
            feed, service = self.start(boot=self.boot())
            self.assertGreaterEqual(feed.age_s(), 6)
            self.assertLessEqual(feed.age_s(), 6 + CONFIRM_S)
            service.stopService()

    def test_killed_before_the_first_round(self) -> None:
        """Each process writes its first confirmation immediately, even if it is killed after 2 s."""
        feed, service = self.start(boot=self.boot())
        self.run_for(feed, 2)
        for _ in range(500):
            self.kill(service)
            feed, service = self.start(boot=self.boot())
            self.run_for(feed, 2)
        self.kill(service)
        feed, _ = self.start(boot=self.boot())
        self.assertEqual(feed.age_s(), 1)

    def test_not_at_each_tick(self) -> None:
        """One is written every few seconds, and none while nothing is confirmed."""
        feed, service = self.start(boot=self.boot())
        written = []
        confirm = service.journal.confirm

        def note(kept: StoredVersion) -> None:
            written.append(kept.since_boot_s)
            confirm(kept)

        self.patch(service.journal, "confirm", note)
        self.run_for(feed, 100)
        self.assertLessEqual(len(written), 1 + 100 / CONFIRM_S)
        before = len(written)
        self.advance(CONFIRM_S)
        self.advance(CONFIRM_S)
        self.assertLessEqual(len(written), before + 1)
        self.assertEqual(written[-1], self.clock.seconds() - 2 * CONFIRM_S)
        service.stopService()

    def test_pull_in_between(self) -> None:
        """A confirmation counts even if no observer is called."""
        feed, service = self.start(boot=self.boot())
        publish(feed, b"1")
        self.advance(60)
        feed.confirm(self.clock.seconds())
        self.advance(CONFIRM_S)
        self.kill(service)
        feed, _ = self.start(boot=self.boot())
        self.assertEqual(feed.age_s(), CONFIRM_S)

    def test_next_version(self) -> None:
        """A confirmation of the version before is ignored, even if an earlier version had the same bytes."""
        feed, service = self.start(boot=self.boot())
        self.run_for(feed, 10)
        for data in (b"2", b"1"):
            self.advance(1)
            publish(feed, data)
        self.advance(3)
        self.kill(service)
        feed, _ = self.start(boot=self.boot())
        assert feed.snapshot is not None
        self.assertEqual((feed.snapshot.data, feed.age_s()), (b"1", 3))

    def test_restart_confirms_nothing(self) -> None:
        """Without a pull the document is as old as before, however often livefeed starts; nor is an unknown age known
        by then.
        """
        feed, service = self.start(boot=self.boot())
        self.run_for(feed, 60)
        service.stopService()
        for number in range(1, 5):
            self.advance(100)
            feed, service = self.start(boot=self.boot())
            self.assertEqual(feed.age_s(), 100 * number)
            self.advance(2 * CONFIRM_S)
            feed.mark_stale()
            service.stopService()
            self.advance(-2 * CONFIRM_S)
        self.wall.rightNow = NOW - 86400
        for _ in range(2):
            feed, service = self.start(boot=Boot("second", self.clock.seconds))
            self.assertEqual(feed.age_s(), 0)
            self.advance(2 * CONFIRM_S)
            feed.mark_stale()
            self.assertEqual(feed.age_s(), 2 * CONFIRM_S)
            service.stopService()

    def test_damaged_confirmation(self) -> None:
        """One line says so, and the document is as old as its first pull; the next confirmation repairs the file."""
        feed, service = self.start(boot=self.boot())
        self.run_for(feed, 60)
        service.stopService()
        path = self.folder / "feed.confirmed"
        path.write_bytes(path.read_bytes().replace(b"17000", b"17001"))
        with capturedLogs() as events:
            feed, service = self.start(boot=self.boot())
        self.assertEqual(feed.age_s(), 59)
        text = 'feed "feed": {path} is damaged, and passed over: the document may seem older than it is'
        told = [eventAsText(event, includeTimestamp=False, includeSystem=False) for event in events]
        self.assertEqual([line for line in told if "damaged" in line], [text.format(path=path)])
        self.run_for(feed, 10)
        service.stopService()
        with capturedLogs() as events:
            feed, service = self.start(boot=self.boot())
        self.assertEqual((feed.age_s(), [event for event in events if "damaged" in eventAsText(event)]), (0, []))

    def test_trouble_of_each_kind_is_told(self) -> None:
        """The two kinds of writes are logged independently: a full disk has room for a confirmation."""
        feed, service = self.start(boot=self.boot())
        broken = OSError(28, "No space left on device")
        self.patch(service.journal, "confirm", Mock(side_effect=broken))
        with capturedLogs() as events:
            self.run_for(feed, 20)
            publish(feed, b"2")
            self.run_for(feed, 20)
        told = [eventAsText(event, includeTimestamp=False, includeSystem=False) for event in events]
        why = "cannot be kept, and a restart will have it older: No space left on device"
        self.assertEqual(told, [f'feed "feed": when its document was last confirmed {why}'])
        self.patch(service.journal, "confirm", Mock())
        self.patch(service.journal, "append", Mock(side_effect=broken))
        with capturedLogs() as events:
            publish(feed, b"3")
            self.run_for(feed, 20)
            publish(feed, b"4")
        told = [eventAsText(event, includeTimestamp=False, includeSystem=False) for event in events]
        lost = 'feed "feed": its versions cannot be kept, and a restart will lose them: No space left on device'
        self.assertEqual(told, [lost, 'feed "feed": when its document was last confirmed is kept again'])
        service.stopService()


class SlowDiskTests(PersistenceTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.calls: list[tuple[Deferred[None], Any]] = []

    def later(self, function: Any, *arguments: Any) -> Deferred[None]:
        self.calls.append((Deferred(), lambda: function(*arguments)))
        return self.calls[-1][0]

    def work(self) -> None:
        """Has the disk complete the last write."""
        done, call = self.calls[-1]
        done.callback(call())

    def test_one_at_a_time(self) -> None:
        """The feed continues meanwhile, and no version is lost."""
        feed, service = self.start(self.later)
        for number in range(5):
            publish(feed, b"%d" % number)
        for count in range(1, 6):
            self.assertEqual(len(self.calls), count)
            self.work()
        service.stopService()
        journal = Journal(self.folder / "feed.versions", 99)
        self.addCleanup(journal.close)
        self.assertEqual([kept.data for kept in journal.open()], [b"0", b"1", b"2", b"3", b"4"])

    def test_pause_again(self) -> None:
        """Each pause waits for its own writes, and closes the file, also after one that a hanging disk has ended."""
        feed, service = self.start(self.later)
        for number, hangs in enumerate((False, True, False)):
            publish(feed, b"[%d]" % number)
            paused = service.pause()
            assert paused is not None
            self.assertNoResult(paused)
            if hangs:
                self.clock.advance(STOP_S)
            else:
                self.work_on()
            self.successResultOf(paused)
            self.assertEqual(service.journal.is_open, hangs)
            service.resume()
            publish(feed, b"[%d, 0]" % number)
            self.work_on()
        service.stopService()
        self.assertEqual(self.flushLoggedErrors(), [])

    def work_on(self) -> None:
        """Has the disk complete all writes."""
        while not self.calls[-1][0].called:
            self.work()

    def test_stop_waits_a_while(self) -> None:
        """It waits for a write, but not for a disk that hangs."""
        for hangs in (False, True):
            feed, service = self.start(self.later)
            publish(feed, b"[%d]" % hangs)
            stopped = service.stopService()
            assert stopped is not None
            self.assertNoResult(stopped)
            if hangs:
                self.clock.advance(STOP_S)
                service.journal.close()
            else:
                self.work()
            self.successResultOf(stopped)

    def test_trouble_is_told_once(self) -> None:
        """The end of the failure is logged, too."""
        feed, service = self.start(self.later)
        with capturedLogs() as log:
            for number in range(6):
                publish(feed, b"%d" % number)
                done, call = self.calls[-1]
                if number in (1, 2, 3):
                    done.errback(OSError(28, "No space left on device"))
                else:
                    done.callback(call())
        told = [eventAsText(event, includeTimestamp=False, includeSystem=False) for event in log]
        self.assertEqual(
            [("cannot be kept" in line, "kept again" in line) for line in told], [(True, False), (False, True)]
        )
        self.assertIn("No space left", told[0])
        service.stopService()
