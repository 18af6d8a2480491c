"""The notifications that all file sources of a process share."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from unittest.mock import patch

from twisted.internet import inotify
from twisted.internet.testing import MemoryReactorClock
from twisted.python import _inotify
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from livefeed.sources.file.notifications import GONE, INotifyError, Notifications


class Heard:
    """Takes note of what it is told."""

    def __init__(self) -> None:
        self.masks: list[tuple[int, bool]] = []
        self.losses = 0

    def happened(self, mask: int, *, is_it: bool) -> None:
        self.masks.append((mask, is_it))

    def lost(self) -> None:
        self.losses += 1

    def take(self) -> list[tuple[int, bool]]:
        masks, self.masks = self.masks, []
        return masks


class NotificationsTests(SynchronousTestCase):
    """One descriptor for all directories."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.reactor = MemoryReactorClock()
        self.notifications = Notifications.of(self.reactor)

    def watch(self, name: str, directory: Path | None = None, *, wants_others: bool = False) -> Heard:
        heard = Heard()
        path = str(directory or self.directory)
        interest = self.notifications.add(path, name, heard, wants_others=wants_others)
        self.notifications.read_or_not()
        self.addCleanup(self.end, interest)
        return heard

    def end(self, interest: object) -> None:
        self.notifications.discard(interest)  # type: ignore[arg-type]
        self.notifications.read_or_not()

    def write(self, name: str) -> None:
        (self.directory / name).write_bytes(b"1")

    def test_one_for_each_reactor(self) -> None:
        """All that have the same reactor share a descriptor, and others have another."""
        self.assertIs(Notifications.of(self.reactor), self.notifications)
        self.assertIsNot(Notifications.of(MemoryReactorClock()), self.notifications)
        self.watch("a")
        self.watch("b")
        self.assertEqual(self.reactor.getReaders(), [self.notifications])
        self.assertEqual(self.notifications.logPrefix(), "files")

    def test_only_the_name_is_told(self) -> None:
        """A listener is told of its own name alone, and two of the same name both are."""
        one, other, same = self.watch("a"), self.watch("b"), self.watch("a")
        self.write("a")
        self.write("c")
        self.notifications.doRead()
        masks = one.take()
        self.assertIn((inotify.IN_CLOSE_WRITE, True), masks)
        self.assertEqual(same.take(), masks)
        self.assertEqual(other.take(), [])

    def test_others(self) -> None:
        """A listener that wants others is told of files that are put in their place by rename, and not of writes."""
        heard = self.watch("link", wants_others=True)
        self.write("scratch")
        (self.directory / "scratch").rename(self.directory / "..data")
        self.write("link")
        (self.directory / "link").rename(self.directory / "old")
        (self.directory / "old").rename(self.directory / "link")
        self.notifications.doRead()
        moved = [is_it for mask, is_it in heard.take() if mask & inotify.IN_MOVED_TO]
        self.assertEqual(moved, [False, False, True])

    def test_end_of_one_of_two(self) -> None:
        """The watch of a directory stays while another listener needs it, and the descriptor is closed after all."""
        first, second = Heard(), Heard()
        one = self.notifications.add(str(self.directory), "a", first, wants_others=True)
        other = self.notifications.add(str(self.directory), "a", second, wants_others=False)
        self.notifications.read_or_not()
        descriptor = self.notifications.fileno()
        self.end(one)
        self.end(one)
        self.write("a")
        self.notifications.doRead()
        self.assertEqual(first.take(), [])
        self.assertNotEqual(second.take(), [])
        self.end(other)
        self.assertEqual(self.reactor.getReaders(), [])
        self.assertRaises(OSError, os.fstat, descriptor)
        self.notifications.doRead()

    def test_end_while_another_begins(self) -> None:
        """The kernel gives the same number for a directory again, so it is not removed while a thread adds it."""
        old = self.notifications.add(str(self.directory), "a", Heard(), wants_others=False)
        add = _inotify.add

        def ended_meanwhile(*arguments: object) -> int:
            number: int = add(*arguments)  # type: ignore[arg-type]
            self.end(old)
            return number

        with patch.object(_inotify, "add", ended_meanwhile):
            heard = self.watch("a")
        self.write("a")
        self.notifications.doRead()
        self.assertNotEqual(heard.take(), [])

    def test_directory_that_is_removed(self) -> None:
        """All of its listeners are told, and those of other directories are not."""
        inner = self.directory / "inner"
        inner.mkdir()
        gone, stays = self.watch("a", inner), self.watch("a")
        shutil.rmtree(inner)
        self.notifications.doRead()
        self.assertTrue(gone.masks)
        self.assertTrue(all(mask & GONE and not is_it for mask, is_it in gone.take()))
        self.assertEqual(stays.take(), [])

    def test_lost_events(self) -> None:
        """All listeners are told, because the events may have been for any of them."""
        inner = self.directory / "inner"
        inner.mkdir()
        both = self.watch("a"), self.watch("a", inner)
        overflow = b"\xff\xff\xff\xff" + inotify.IN_Q_OVERFLOW.to_bytes(4, "little") + bytes(8)
        with patch.object(os, "read", return_value=overflow):
            self.notifications.doRead()
        self.assertEqual([each.losses for each in both], [1, 1])

    def test_directory_that_cannot_be_watched(self) -> None:
        """The descriptor is closed if there is nothing else, and stays otherwise."""
        self.assertRaises(INotifyError, self.watch, "a", self.directory / "missing")
        self.assertEqual(self.notifications.fileno(), -1)
        heard = self.watch("a")
        self.assertRaises(INotifyError, self.watch, "a", self.directory / "missing")
        self.write("a")
        self.notifications.doRead()
        self.assertNotEqual(heard.take(), [])

    def test_no_descriptor(self) -> None:
        """A limit of the kernel may be reached. The next attempt is a new one."""
        with patch.object(_inotify, "init", side_effect=INotifyError("no room")):
            self.assertRaises(INotifyError, self.watch, "a")
        self.watch("a")

    def test_end_of_the_reactor(self) -> None:
        """The descriptor is closed, and ends of watches that come later are harmless."""
        self.watch("a")
        descriptor = self.notifications.fileno()
        self.notifications.connectionLost(Failure(Exception()))
        self.assertRaises(OSError, os.fstat, descriptor)

    def test_reactor_that_is_gone(self) -> None:
        """The notifications do not keep a reactor."""
        reactor = MemoryReactorClock()
        notifications = Notifications.of(reactor)
        del reactor
        notifications.read_or_not()
        self.assertEqual(notifications.fileno(), -1)
