"""The file source: whole files, read in a thread."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import ConfigurationError, SourceError
from livefeed.sources.file.source import ATTEMPTS, SETTLE_S, FileSource
from tests.helpers.file_source import MAX_BYTES, FileTestCase

if TYPE_CHECKING:
    from collections.abc import Callable


class UrlTests(SynchronousTestCase):
    """FileSource.from_url."""

    def source_of(self, url: str) -> FileSource:
        return FileSource.from_url(urlsplit(url), reactor=MemoryReactorClock(), max_bytes=MAX_BYTES)

    def test_paths(self) -> None:
        """They are percent-encoded, and become absolute: a daemon changes its working directory."""
        for url, path in (
            ("file:x.json", str(Path.cwd() / "x.json")),
            ("file:/srv/x.json", "/srv/x.json"),
            ("file:///srv/x.json", "/srv/x.json"),
            ("file://localhost/srv/x.json", "/srv/x.json"),
            ("file:/srv/a%20b%3Fc%23d.json", "/srv/a b?c#d.json"),
            ("file:/srv/%FF.json", "/srv/\udcff.json"),
        ):
            source = self.source_of(url)
            self.assertEqual((source.path, source.max_bytes, str(source)), (path, MAX_BYTES, f"file:{path}"))

    def test_refused(self) -> None:
        """The refusal says how to write a character that ends a path."""
        for url, hint in (
            ("file:", "takes a path, as in file:/srv/results.json"),
            ("file://other/x.json", "takes a path, as in file:/srv/results.json"),
            ("file:a?b", "; in the name of a file, write ? as %3F"),
            ("file:a#b", "; in the name of a file, write # as %23"),
            ("file:a?b#c", "; in the name of a file, write ? as %3F and # as %23"),
            ("file:a%00b", "no path has %00 in it"),
        ):
            self.assertIn(hint, str(self.assertRaises(ConfigurationError, self.source_of, url)))


class ReadTests(FileTestCase):
    """The bytes that a read gives."""

    def test_bytes_are_as_they_are(self) -> None:
        """Nothing is decoded, stripped or converted."""
        self.path.write_bytes(b'\xef\xbb\xbf{"a": 1.50}\r\n\x00')
        self.assertEqual(self.fetched(), b'\xef\xbb\xbf{"a": 1.50}\r\n\x00')

    def test_each_pull_reads_anew(self) -> None:
        """A file that was written again, or put in the place of another, is seen."""
        self.path.write_bytes(b"1")
        self.assertEqual(self.fetched(), b"1")
        self.path.write_bytes(b"22")
        self.assertEqual(self.fetched(), b"22")
        other = self.directory / "new.json"
        other.write_bytes(b"333")
        other.replace(self.path)
        self.assertEqual(self.fetched(), b"333")

    def test_empty_file(self) -> None:
        """A file that stays empty is no failure of the source: the gate decides about an empty document."""
        self.path.write_bytes(b"")
        fetching = self.fetch()
        self.assertNoResult(fetching)
        self.reactor.pump([SETTLE_S] * (ATTEMPTS - 1))
        self.assertEqual(self.successResultOf(fetching), b"")

    def test_writer_that_truncates(self) -> None:
        """An empty file is read again, because its writer may only have truncated it."""
        self.path.write_bytes(b"")
        fetching = self.fetch()
        self.reactor.advance(SETTLE_S)
        self.path.write_bytes(b"1")
        self.reactor.advance(SETTLE_S)
        self.assertEqual(self.successResultOf(fetching), b"1")

    def test_no_more_is_read_than_shows_that_it_is_too_large(self) -> None:
        """One byte beyond the limit is enough for the gate to refuse it."""
        self.path.write_bytes(b"x" * MAX_BYTES)
        self.assertEqual(len(self.fetched()), MAX_BYTES)
        self.path.write_bytes(b"x" * MAX_BYTES * 50)
        self.assertEqual(len(self.fetched()), MAX_BYTES + 1)

    def test_symbolic_link_is_followed(self) -> None:
        """Publishing by moving a link is as good as by renaming a file."""
        self.path.symlink_to("one.json")
        (self.directory / "one.json").write_bytes(b"1")
        self.assertEqual(self.fetched(), b"1")

    def test_descriptors_are_closed(self) -> None:
        """No descriptor is left open after any read: at one pull a second a leak ends the process within hours."""
        self.path.write_bytes(b"1")
        os.mkfifo(self.directory / "pipe")
        for path in (self.path, self.directory, self.directory / "pipe", self.directory / "missing"):
            self.source.path = str(path)
            before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
            for _ in range(5):
                self.fetch().addErrback(lambda failure: failure.trap(SourceError))
            self.assertEqual(len(os.listdir("/proc/self/fd")), before, path)  # noqa: PTH208


class FailureTests(FileTestCase):
    """The messages of reads that fail."""

    def test_missing_file(self) -> None:
        """It says so; and once the file is there, it is read."""
        self.assertEqual(self.failed(), "cannot be read: No such file or directory")
        self.path.write_bytes(b"1")
        self.assertEqual(self.fetched(), b"1")

    def test_directory(self) -> None:
        """A directory is refused."""
        self.path.mkdir()
        self.assertRegex(self.failed(), "[Ii]s a directory|not a regular file")

    def test_named_pipe_does_not_hang(self) -> None:
        """A pipe without a writer is refused at once."""
        os.mkfifo(self.path)
        self.assertEqual(self.failed(), "is not a regular file")

    def test_written_while_it_is_read(self) -> None:
        """A file that grows, or is cut, or changes in place during the read is read again: half of it may be old.

        Where that does not end, the pull fails.
        """
        read = os.fstat

        def changing(content: bytes, changes: int) -> Callable[[int], os.stat_result]:
            calls = 0

            def fstat(descriptor: int) -> os.stat_result:
                nonlocal calls
                calls += 1
                if calls % 2 == 0 and calls <= 2 * changes:
                    self.path.write_bytes(content)
                    os.utime(self.path, ns=(0, calls))
                return read(descriptor)

            return fstat

        for content in (b"[1, 2, 3]", b"[", b"[9, 8]"):
            for changes in (ATTEMPTS - 1, ATTEMPTS):
                self.path.write_bytes(b"[1, 2]")
                self.patch(os, "fstat", changing(content, changes))
                fetching = self.fetch()
                for _ in range(ATTEMPTS - 1):
                    self.assertNoResult(fetching)
                    self.reactor.advance(SETTLE_S)
                if changes < ATTEMPTS:
                    self.assertEqual(self.successResultOf(fetching), content)
                else:
                    failure = self.failureResultOf(fetching, SourceError)
                    self.assertEqual(str(failure.value), "was being written while it was read")


class ThreadTests(FileTestCase):
    """Reads that take their time."""

    def test_reading_is_the_threads_business(self) -> None:
        """Nothing is read in the reactor's thread."""
        self.threads.immediate = False
        self.path.write_bytes(b"1")
        fetching = self.fetch()
        self.assertNoResult(fetching)
        self.path.write_bytes(b"2")
        self.threads.run()
        self.assertEqual(self.successResultOf(fetching), b"2")

    def test_no_thread(self) -> None:
        """It is tried again at the next pull, as if nothing had been read."""
        self.path.write_bytes(b"1")
        self.source.in_thread = self.no_thread
        self.assertEqual(self.failed(), "cannot be read: no more threads")
        self.source.in_thread = self.threads
        self.assertEqual(self.fetched(), b"1")

    @staticmethod
    def no_thread(work: Callable[..., Any]) -> Deferred[Any]:
        raise OSError(errno.EAGAIN, "no more threads")

    def test_hanging_read_is_not_joined_by_others(self) -> None:
        """No other thread starts while a read that was given up still hangs."""
        self.threads.immediate = False
        self.path.write_bytes(b"1")
        hanging = self.fetch()
        hanging.cancel()
        self.failureResultOf(hanging, CancelledError)
        for _ in range(3):
            self.assertEqual(self.failed(), "an earlier read still hangs")
        self.assertEqual(len(self.threads.queue), 1)

    def test_reads_go_on_after_a_hang(self) -> None:
        """The next pull reads once the hanging read has ended, well or not."""
        for present in (True, False):
            self.threads.immediate = False
            if present:
                self.path.write_bytes(b"1")
            else:
                self.path.unlink()
            hanging = self.fetch()
            hanging.cancel()
            self.failureResultOf(hanging, CancelledError)
            self.threads.run()
            self.threads.immediate = True
            self.path.write_bytes(b"2")
            self.assertEqual(self.fetched(), b"2")

    def test_closing_is_harmless(self) -> None:
        """There is nothing to let go of, so closing may come at any time."""
        self.path.write_bytes(b"1")
        self.source.close()
        self.assertEqual(self.fetched(), b"1")
