"""Writes a recording to a file. A record that cannot be written as a whole is taken back.

Rules: each record is written at once, with one call, and nothing waits in a buffer: what was written survives the end
of the process. :meth:`Recorder.sync` makes it survive a loss of power. Calls may block.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from livefeed.document.recording import (
    MAX_NAME,
    Place,
    encode_beginning,
    encode_end,
    encode_state,
    encode_version,
)
from livefeed.document.snapshot import version_of
from livefeed.exceptions import RecordingError, shown
from livefeed.storage.files import SystemFiles
from livefeed.storage.record_file import Ending
from livefeed.storage.recording import Recording

if TYPE_CHECKING:
    from pathlib import Path

    from livefeed.document.recording import Facts
    from livefeed.storage.files import Files

_REMEDY = "give another name, or --append to go on with it"


@dataclass(eq=False)
class Recorder:
    """A recording that is being written. Only one process may write a file at a time.

    :ivar path: the file.
    :ivar files: the calls of the system.
    :ivar size: the size in bytes of everything that is written.
    :ivar place: the place behind it.
    :ivar feed: the feed that is recorded, as the first record names it.
    :ivar version: the hash of the last version; empty if there is none.
    """

    # required parameters
    path: Path
    files: Files = field(default_factory=SystemFiles)

    # internal state
    size: int = 0
    place: Place = field(default_factory=Place)
    feed: str = ""
    version: str = ""
    _fd: int | None = None

    def begin(self, at: float, *, feed: str = "", source: str = "", by: str = "") -> None:
        """Makes the file. Its arguments are those of :func:`.recording.encode_beginning`.

        :raises RecordingError: if there is a file already, or it cannot be made.
        """
        self.check()
        record, place = encode_beginning(at, feed=feed, source=source, by=by)
        self.feed = feed
        try:
            self._open()
            self._write(record, place)
            self.sync()
            self.files.sync_folder(self.path.parent)
        except OSError as error:
            self.close()
            raise self._error(error) from None

    def check(self) -> None:
        """Returns if a file can be made, as far as that is known before.

        :raises RecordingError: if there is a file already, or its folder is none in which a file can be made.
        """
        if os.path.lexists(self.path):
            raise RecordingError(f"{self.path}: there is a file already; {_REMEDY}")
        if not self.path.parent.is_dir():
            raise self._error(OSError(errno.ENOENT, os.strerror(errno.ENOENT)))
        if not os.access(self.path.parent, os.W_OK | os.X_OK):
            raise self._error(OSError(errno.EACCES, os.strerror(errno.EACCES)))

    def resume(self, feed: str) -> Ending:
        """Opens a file to go on with it. An incomplete record at its end, and the record of the end, are removed.

        :param feed: the feed that is to be recorded.
        :returns: how the file has ended.
        :raises RecordingError: if it is a recording of another feed, it is damaged, another process writes it, or it
            cannot be read or written. It stays as it is then.
        """
        try:
            self._open()
        except OSError as error:
            raise self._error(error) from None
        try:
            ending = self._find_end(feed)
            self.files.truncate(self._descriptor, self.size)
        except OSError as error:
            self.close()
            raise self._error(error) from None
        except RecordingError:
            self.close()
            raise
        return ending

    @property
    def is_open(self) -> bool:
        """Whether the file is open."""
        return self._fd is not None

    def append(self, data: bytes, after_s: float, facts: Facts | None = None) -> None:
        """Writes a version.

        :param data: the document's bytes.
        :param after_s: seconds since the record before.
        :raises OSError: if it cannot be written, as on a full disk. Everything before is still there then, and the next
            version follows that.
        """
        self._write(*encode_version(self.place, data, after_s, facts))
        self.version = version_of(data)

    def note_state(self, state: str, after_s: float, why: str = "") -> None:
        """Writes a state that the feed has from here on; see :meth:`append`."""
        self._write(*encode_state(self.place, state, after_s, why))

    def end(self, after_s: float) -> None:
        """Writes the record of the end, has everything survive a loss of power, and closes the file.

        :raises OSError: if that fails. The file is closed in any case.
        """
        try:
            self._write(*encode_end(self.place, after_s))
            self.sync()
        finally:
            self.close()

    def sync(self) -> None:
        """Returns once everything that was written survives a loss of power.

        :raises OSError: if that fails.
        """
        self.files.sync(self._descriptor)

    def close(self) -> None:
        """Closes the file as it is. It may be called again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    @property
    def _descriptor(self) -> int:
        if self._fd is None:
            raise OSError(0, "is closed", str(self.path))
        return self._fd

    def _open(self) -> None:
        self._fd = self.files.open(self.path)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise RecordingError(f"{self.path}: another process writes it") from None

    def _find_end(self, feed: str) -> Ending:
        with Recording(self.path) as recording:
            while (entry := recording.next(passes_over=True)) is not None:
                if entry.head.kind != "end":
                    self.size, self.place = recording.position
                    self.version = entry.head.version or self.version
                    self.feed = self.feed or entry.head.feed
            if not self.size:
                raise RecordingError(f"{self.path}: its first record is incomplete; give another name", 0)
            if self.feed != feed[:MAX_NAME]:
                raise RecordingError(f"{self.path}: is a recording of {shown(self.feed)}, and not of {shown(feed)}")
            return recording.ending or Ending.OPEN

    def _write(self, record: bytes, place: Place) -> None:
        try:
            self.files.write(self._descriptor, (record,), self.size)
        except OSError:
            # A reader would take a part of the record for the end of the file, so this is only for tidiness.
            with suppress(OSError):
                self.files.truncate(self._descriptor, self.size)
            raise
        self.size += len(record)
        self.place = place

    def _error(self, error: OSError) -> RecordingError:
        return RecordingError(f"{self.path}: cannot be written: {error.strerror or error}")
