"""Changes that inotify reports, and the file source without these reports."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

from twisted.internet import inotify
from twisted.logger import capturedLogs, eventAsText
from twisted.python import _inotify

from livefeed.exceptions import SourceError
from livefeed.sources.file import source as source_module
from livefeed.sources.file.source import ATTEMPTS, SETTLE_S
from livefeed.sources.file.watch import FileWatch, is_still_at, places_of
from tests.helpers.file_source import FileTestCase

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IReactorFDSet


def open_files() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


class WatchTestCase(FileTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.told = 0
        self.path.write_bytes(b"1")
        self.addCleanup(self.end)

    def end(self) -> None:
        self.source.close()
        self.reactor.advance(0)
        self.assertEqual(self.reactor.getReaders(), [])

    def begin(self) -> None:
        """Begins to look out, as the first pull does."""
        self.source.watch(self.changed)
        self.fetch().addErrback(lambda failure: failure.trap(SourceError))
        self.assertEqual(self.changes(), 0)

    def changed(self) -> None:
        self.told += 1

    def changes(self) -> int:
        """Gives how often a change was told of since it was last asked."""
        for reader in self.reactor.getReaders():
            reader.doRead()
        told, self.told = self.told, 0
        return told

    def replace(self, path: Path, content: bytes) -> None:
        scratch = path.with_name("scratch")
        scratch.write_bytes(content)
        scratch.replace(path)


class ChangeTests(WatchTestCase):
    """The changes that are reported."""

    def test_written_and_replaced(self) -> None:
        """A writer that closes the file, and one that renames another over it."""
        self.begin()
        self.path.write_bytes(b"2")
        self.assertEqual(self.changes(), 1)
        self.replace(self.path, b"3")
        self.assertEqual(self.changes(), 1)

    def test_other_files(self) -> None:
        """Changes of other files are not reported, and neither are reads or the removal of the file."""
        self.begin()
        self.replace(self.directory / "other.json", b"2")
        (self.directory / "results.json.tmp").write_bytes(b"2")
        self.path.read_bytes()
        self.path.unlink()
        self.assertEqual(self.changes(), 0)

    def test_file_that_was_not_there(self) -> None:
        """A directory is looked out in before the file is there."""
        self.path.unlink()
        self.begin()
        self.path.write_bytes(b"2")
        self.assertEqual(self.changes(), 1)

    def test_one_watch_for_all_pulls(self) -> None:
        """All pulls share one watch while nothing moves."""
        self.begin()
        before = self.reactor.getReaders()
        for _ in range(3):
            self.fetched()
        self.assertEqual(self.reactor.getReaders(), before)

    def test_links(self) -> None:
        """A link that is replaced, one that it leads over, as in a ConfigMap, and the file it leads to."""
        volume = self.directory / "volume"
        for name in ("..1", "..2"):
            (volume / name).mkdir(parents=True)
            (volume / name / "results.json").write_bytes(name.encode())
        (volume / "..data").symlink_to("..1")
        (volume / "results.json").symlink_to("..data/results.json")
        self.source.path = str(volume / "results.json")
        self.begin()
        self.assertEqual(self.fetched(), b"..1")
        (volume / "..new").symlink_to("..2")
        (volume / "..new").replace(volume / "..data")
        self.assertGreaterEqual(self.changes(), 1)
        self.assertEqual(self.fetched(), b"..2")
        self.replace(volume / "..2" / "results.json", b"3")
        self.assertEqual(self.changes(), 1)

    def test_events_that_were_lost(self) -> None:
        """An overflow of the kernel's queue counts as a change, because an event of the file may have been lost."""
        self.begin()
        (reader,) = self.reactor.getReaders()
        with patch.object(
            os, "read", return_value=b"\xff\xff\xff\xff" + inotify.IN_Q_OVERFLOW.to_bytes(4, "little") + bytes(8)
        ):
            reader.doRead()
        self.assertEqual(self.changes(), 1)


class DirectoryTests(WatchTestCase):
    """Directories that come and go."""

    def test_directory_that_is_not_there(self) -> None:
        """It is looked for at each tick."""
        shutil.rmtree(self.directory)
        self.begin()
        self.assertEqual(self.reactor.getReaders(), [])
        self.directory.mkdir()
        self.assertEqual(self.failed(), "cannot be read: No such file or directory")
        self.path.write_bytes(b"2")
        self.assertEqual(self.changes(), 1)

    def test_directory_that_is_replaced(self) -> None:
        """The next tick watches again if the directory was removed or renamed, or a parent of it was renamed."""
        inner = self.directory / "a" / "b"
        self.source.path = str(inner / "results.json")
        inner.mkdir(parents=True)
        self.begin()
        for remove in (
            lambda: shutil.rmtree(inner),
            lambda: inner.rename(self.directory / "old"),
            lambda: inner.parent.rename(self.directory / "older"),
        ):
            remove()
            inner.mkdir(parents=True)
            self.changes()
            self.assertEqual(self.failed(), "cannot be read: No such file or directory")
            self.reactor.advance(0)
            self.assertEqual(len(self.reactor.getReaders()), 1)
            (inner / "results.json").write_bytes(b"2")
            self.assertEqual(self.changes(), 1)

    def test_nothing_stays_open(self) -> None:
        """No descriptor is left open by a watch that is set up repeatedly."""
        self.begin()
        before = open_files()
        for _ in range(5):
            shutil.rmtree(self.directory)
            self.directory.mkdir()
            self.changes()
            self.fetch().addErrback(lambda failure: failure.trap(SourceError))
            self.reactor.advance(0)
        self.assertEqual(open_files(), before)


class WriterTests(WatchTestCase):
    """Writers that do not rename."""

    def test_writer_is_waited_for(self) -> None:
        """While a writer has the file open, a tick waits until it is closed."""
        self.begin()
        with self.path.open("wb", buffering=0) as written:
            written.write(b"[1")
            self.assertEqual(self.changes(), 0)
            fetching = self.fetch()
            self.reactor.advance(SETTLE_S)
            self.assertNoResult(fetching)
            written.write(b", 2]")
        self.assertEqual(self.changes(), 1)
        self.reactor.advance(SETTLE_S)
        self.assertEqual(self.successResultOf(fetching), b"[1, 2]")

    def test_writer_that_comes_while_the_file_is_read(self) -> None:
        """The first read may have got half of the write, also if the writer has closed the file: it is repeated."""
        self.begin()
        self.threads.immediate = False
        for content in (b"[1, 2]", b"[3, 4]"):
            fetching = self.fetch()
            with self.path.open("wb", buffering=0) as written:
                written.write(content[:2])
                self.threads.run()
                written.write(content[2:])
            self.threads.immediate = True
            self.reactor.advance(SETTLE_S)
            self.assertEqual(self.successResultOf(fetching), content)
            self.threads.immediate = False

    def test_writer_that_never_closes(self) -> None:
        """It is waited for in one pull, and then no more until it writes again."""
        self.begin()
        with self.path.open("wb", buffering=0) as written:
            written.write(b"[1")
            self.changes()
            fetching = self.fetch()
            self.reactor.pump([SETTLE_S] * (ATTEMPTS - 1))
            self.assertEqual(self.successResultOf(fetching), b"[1")
            self.assertEqual(self.fetched(), b"[1")


class NoInotifyTests(WatchTestCase):
    """A kernel without inotify."""

    def assert_read_and_told_once(self) -> None:
        with capturedLogs() as events:
            self.source.watch(self.changed)
            for content in (b"1", b"2"):
                self.path.write_bytes(content)
                self.assertEqual(self.fetched(), content)
        lines = [eventAsText(event) for event in events]
        self.assertEqual(len(lines), 1)
        self.assertIn("changes are seen at ticks alone", lines[0])

    def test_no_more_room(self) -> None:
        """Its limits may be reached by others: the ticks go on."""
        with patch.object(_inotify, "init", side_effect=inotify.INotifyError("no room")):
            self.assert_read_and_told_once()

    def test_directory_that_cannot_be_watched(self) -> None:
        """The descriptor is closed then."""
        before = open_files()
        with patch.object(_inotify, "add", side_effect=inotify.INotifyError("not here")):
            self.assert_read_and_told_once()
        self.assertEqual(open_files(), before)

    def test_another_system(self) -> None:
        """Elsewhere there is none."""
        with patch.object(source_module, "inotify", None):
            self.assert_read_and_told_once()


class ThreadTests(WatchTestCase):
    """Pulls that are given up."""

    def test_watch_of_a_pull_that_was_given_up(self) -> None:
        """The watch that its thread has made is used by the next pull, or closed at the end."""
        self.source.watch(self.changed)
        self.threads.immediate = False
        hanging: Deferred[bytes] = self.fetch()
        hanging.cancel()
        hanging.addErrback(lambda _: None)
        self.threads.run()
        self.threads.immediate = True
        self.assertEqual(self.fetched(), b"1")
        self.assertEqual(len(self.reactor.getReaders()), 1)

    def test_places(self) -> None:
        """A file has one directory, a link to elsewhere two."""
        self.assertEqual([place.name for place in places_of(str(self.path))], ["results.json"])
        (self.directory / "sub").mkdir()
        link = self.directory / "sub" / "link"
        link.symlink_to(self.path)
        self.assertEqual([place.name for place in places_of(str(link))], ["link", "results.json"])
        self.assertEqual([place.has_link for place in places_of(str(link))], [True, False])
        (self.directory / "beside").symlink_to("results.json")
        (place,) = places_of(str(self.directory / "beside"))
        self.assertEqual((place.name, place.has_link), ("results.json", True))
        self.assertEqual(places_of(str(self.directory / "missing" / "x")), ())

    def test_places_that_stay(self) -> None:
        """Only a file that is no link, in the directory that was found, is known to be where it was."""
        path = str(self.path)
        places = places_of(path)
        self.assertTrue(is_still_at(places, path))
        self.path.unlink()
        self.assertTrue(is_still_at(places, path))
        self.path.symlink_to("elsewhere")
        self.assertFalse(is_still_at(places, path))
        self.assertFalse(is_still_at(places_of(path), path))
        self.path.unlink()
        self.assertFalse(is_still_at(places, str(self.directory / "other")))
        self.assertFalse(is_still_at((), path))
        self.assertFalse(is_still_at(places, f"{path}{'x' * 300}/results.json"))
        # The old one stays, so that the new one has another number.
        self.directory.rename(self.directory.with_suffix(".old"))
        self.addCleanup(shutil.rmtree, self.directory.with_suffix(".old"))
        self.assertFalse(is_still_at(places, path))
        self.directory.mkdir()
        self.assertFalse(is_still_at(places, path))

    def test_watch_that_cannot_be_opened_whole(self) -> None:
        """Of a link to another directory, neither directory is watched if one cannot be."""
        (self.directory / "sub").mkdir()
        link = self.directory / "sub" / "link"
        link.symlink_to(self.path)
        before, add, made = open_files(), _inotify.add, []

        def fail_at_second(*arguments: Any) -> int:
            made.append(arguments)
            if len(made) > 1:
                raise inotify.INotifyError("no room")
            return add(*arguments)

        with patch.object(_inotify, "add", fail_at_second):
            watch = FileWatch(cast("IReactorFDSet", self.reactor), places_of(str(link)), self.changed)
            self.assertRaises(inotify.INotifyError, watch.open)
        self.assertEqual(open_files(), before)
