"""The source of ``file:PATH``: a document in a file that another program rewrites."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, unquote

from twisted.internet.task import deferLater
from twisted.logger import Logger

from livefeed.exceptions import ConfigurationError, SourceError
from livefeed.threads import defer_to_new_thread

try:
    from twisted.internet import inotify

    from livefeed.sources.file.watch import FileWatch, is_still_at, places_of
except ImportError:  # not on Linux
    inotify = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable
    from urllib.parse import SplitResult

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IReactorFDSet, IReactorFromThreads, IReactorTime


SETTLE_S = 0.01
"""Seconds until a file that is being written is read again."""

ATTEMPTS = 25
"""Number of attempts in one pull. After the last one, the pull fails, or the file is taken as it is."""

_log = Logger()


@dataclass(slots=True)
class FileSource:
    """Opens the file by its path at each pull, so that a file that was put in its place by rename is seen.

    The file is read in a thread, since it may be on a network file system. A program that writes without a rename may
    have written only half of the document. So the read is repeated a moment later while the kernel reports that the
    file is being written, and if the file has changed during the read. The gate refuses half a document that gets
    through.

    :ivar path: the path of the file.
    :ivar max_bytes: size of the largest document.
    :ivar in_thread: calls a function in a thread of its own, which may hang.
    """

    # required parameters
    path: str
    reactor: IReactorTime
    max_bytes: int
    in_thread: Callable[..., Deferred[Any]]

    # internal state
    _reading: bool = False
    _changed: Callable[[], None] | None = None
    _watch: FileWatch | None = None
    _new_watch: FileWatch | None = None
    _why_unwatched: str = ""
    _is_warned: bool = False
    _closed: bool = False

    @classmethod
    def from_url(cls, parts: SplitResult, *, reactor: IReactorTime, max_bytes: int) -> FileSource:
        """Makes the source of ``file:PATH`` (relative or absolute, percent-encoded) or ``file:///PATH``.

        :raises ConfigurationError: if there is no path, or more than a path.
        """
        wrong = (("?", parts.query), ("#", parts.fragment))
        written = " and ".join(f"{character} as {quote(character)}" for character, rest in wrong if rest)
        if not parts.path or written or parts.netloc not in ("", "localhost"):
            hint = f"; in the name of a file, write {written}" if written else ""
            raise ConfigurationError(f"file: takes a path, as in file:/srv/results.json{hint}", "source")
        path = unquote(parts.path, errors="surrogateescape")
        if "\0" in path:
            raise ConfigurationError("file: takes a path, and no path has %00 in it", "source")
        # Absolute, since a daemon changes its working directory.
        threads = cast("IReactorFromThreads", reactor)
        return cls(os.path.abspath(path), reactor, max_bytes, partial(defer_to_new_thread, threads))

    def __str__(self) -> str:
        return f"file:{self.path}"

    def watch(self, changed: Callable[[], None]) -> None:
        """Source API."""
        self._changed = changed

    async def fetch(self) -> bytes:
        """Source API."""
        data = None
        for attempt in range(ATTEMPTS):
            if attempt:
                await deferLater(self.reactor, SETTLE_S)
            if self._is_being_written() and attempt < ATTEMPTS - 1:
                continue
            watch, writes = self._watch, 0 if self._watch is None else self._watch.writes
            data = await self._read_in_thread()
            is_written = self._is_being_written()
            if self._watch is not None:
                # A new watch was made before the file was read.
                is_written |= self._watch.writes != (writes if self._watch is watch else 0)
            if data and not is_written:
                return data
            # An empty file is read again: a program truncates it before it writes, and the kernel reports that later.
        if self._watch is not None:
            # A program that keeps the file open is waited for once, not at each tick.
            self._watch.is_writing = False
        if data is None:
            raise SourceError("was being written while it was read")
        return data

    def _is_being_written(self) -> bool:
        if self._watch is None:
            return False
        self._watch.look()
        return self._watch.is_writing

    async def _read_in_thread(self) -> bytes | None:
        if self._reading:
            raise SourceError("an earlier read still hangs")
        self._reading = True
        try:
            data: bytes | None = await self.in_thread(self._read)
        except OSError as error:
            # No thread was started, which would have reset this and raised its own error.
            self._reading = False
            raise SourceError(f"cannot be read: {error.strerror}") from None
        finally:
            self._take_watch()
        return data

    def close(self) -> None:
        """Source API."""
        self._closed = True
        self._take_watch()
        if self._watch is not None:
            self._watch.close()

    def _read(self) -> bytes | None:
        """Reads the file, in a thread; ``None`` if it has changed during the read."""
        try:
            self._look_out()
            return _read_whole(self.path, self.max_bytes + 1)
        except OSError as error:
            raise SourceError(f"cannot be read: {error.strerror or error}") from None
        finally:
            self._reading = False

    def _look_out(self) -> None:
        """Makes a watch, in a thread, unless there is one for the current directories of the path.

        It starts before the file is read: earlier writes are read, and later ones are reported.
        """
        if inotify is None:
            self._why_unwatched = "there is no inotify"
        if inotify is None or self._changed is None or self._new_watch is not None:
            return
        watch = None if self._watch is None or self._watch.is_over else self._watch
        if watch is not None and is_still_at(watch.places, self.path):
            return
        places = places_of(self.path)
        if watch is not None and watch.places == places:
            return
        watch = FileWatch(cast("IReactorFDSet", self.reactor), places, self._changed)
        try:
            watch.open()
        except inotify.INotifyError:
            # The directory has just been removed, or the kernel has no more watches.
            self._why_unwatched = "inotify has no room, or cannot watch there" if places == places_of(self.path) else ""
            return
        self._new_watch = watch

    def _take_watch(self) -> None:
        """Replaces the watch by the one that was made in a thread."""
        watch, self._new_watch = self._new_watch, None
        if watch is not None:
            if self._watch is not None:
                self._watch.close()
            self._watch = watch
            if self._closed:
                watch.close()
            else:
                watch.start()
        if self._why_unwatched and not self._is_warned:
            self._is_warned = True
            _log.warn("{source}: changes are seen at ticks alone: {why}", source=self, why=self._why_unwatched)


def _read_whole(path: str, limit: int) -> bytes | None:
    # Non-blocking, since opening a named pipe would block until a program writes to it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise SourceError("is not a regular file")
        chunks = []
        while limit > 0 and (chunk := os.read(descriptor, limit)):
            chunks.append(chunk)
            limit -= len(chunk)
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
        return None
    return b"".join(chunks)
