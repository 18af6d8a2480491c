"""The file with the embargoes of a feed: documents that are published at a time, and holds that end at a time.

Rules: this file knows no feed, no thread and no reactor. The whole file is written anew, synced, renamed and its folder
synced, so that a crash leaves the one or the other as a whole. Only its user may read it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from livefeed.document.embargo import FORMAT, Embargo, read_records
from livefeed.document.stored_version import NewerFormatError
from livefeed.exceptions import JournalError, StoreError, newer_format
from livefeed.storage.files import Files, SystemFiles
from livefeed.storage.journal import check_folder
from livefeed.storage.store import FULL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(eq=False)
class EmbargoFile:
    """The file, which only one process may use at a time. Only one thread at a time may call its methods.

    It is made by the first write, and so is its lock: most feeds have no embargo.

    :param path: the file. Beside it is a file whose name ends with ``.lock`` in addition.
    :param files: the calls of the system.
    :ivar damaged: where a copy of the file is, if it was damaged when it was opened; ``None`` if not. A crash leaves no
        damage.
    """

    # required parameters
    path: Path
    files: Files = field(default_factory=SystemFiles)

    # internal state
    damaged: Path | None = field(default=None, init=False)
    _written: tuple[Embargo, ...] = ()
    _is_open: bool = False
    _lock: int | None = None

    def open(self) -> tuple[Embargo, ...]:
        """Locks the file and reads it.

        :returns: its contents, in the order in which they were written.
        :raises StoreError: if another process uses the file, it has the format of a newer livefeed, or it cannot be
            read.
        """
        self._is_open, self._written = True, ()
        if not self.path.exists():
            return ()
        try:
            self._hold_lock()
            self._written = self._read()
        except (OSError, StoreError) as error:
            self.close()
            if isinstance(error, StoreError):
                raise
            raise self._error(error) from None
        return self._written

    def _hold_lock(self) -> None:
        """Holds the lock, unless it is held already.

        :raises OSError: if that fails.
        :raises StoreError: if another process holds it, or a file is in the place of the folder.
        """
        if self._lock is not None:
            return
        try:
            check_folder(self.path.parent)
        except JournalError as error:
            raise StoreError(str(error)) from None
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = self.files.open(self.path.with_name(f"{self.path.name}.lock"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise StoreError(f"{self.path}: another process uses this file") from None
        self._lock = lock

    def inspect(self) -> None:
        """Checks that the file can be read, without locking or changing anything. It need not exist.

        :raises StoreError: if it has the format of a newer livefeed, or cannot be read.
        """
        try:
            self._records()
        except OSError as error:
            raise self._error(error) from None

    def close(self) -> None:
        """Releases the lock. The file is not written from now on."""
        self._is_open = False
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def write(self, embargoes: Sequence[Embargo]) -> None:
        """Writes the contents anew, and returns once they are durable.

        :raises StoreError: if the disk refuses them. The file has its former contents then.
        """
        if not self._is_open:
            raise StoreError(f"{self.path}: the file is closed, or handed over to another process")
        try:
            self._hold_lock()
            self._replace(embargoes)
        except (OSError, MemoryError) as error:
            # The new name may be there already, and must not come true after a failure was answered.
            with suppress(OSError, MemoryError):
                self._replace(self._written)
            raise self._error(error) from None
        self._written = tuple(embargoes)

    def _replace(self, embargoes: Sequence[Embargo]) -> None:
        new = self.path.with_name(f"{self.path.name}.new")
        fd = self.files.open(new)
        try:
            self.files.truncate(fd, 0)
            self.files.write(fd, (each.record() for each in embargoes), 0)
            self.files.sync(fd)
            self.files.rename(new, self.path)
        finally:
            os.close(fd)
        self.files.sync_folder(self.path.parent)

    def _read(self) -> tuple[Embargo, ...]:
        self.damaged = None
        found, is_damaged = self._records()
        if is_damaged:
            # There is at most one such file. It is for the operator, and nothing reads it again.
            self.damaged = self.path.with_name(f"{self.path.name}.damaged")
            shutil.copyfile(self.path, self.damaged)
            self.damaged.chmod(0o600)
        return tuple(found)

    def _records(self) -> tuple[list[Embargo], bool]:
        try:
            return read_records(self.path.read_bytes())
        except FileNotFoundError:
            return [], False
        except NewerFormatError as error:
            remedy = "move the file away to start without what is in it, or give another --state-dir"
            raise StoreError(newer_format(self.path, error.format, FORMAT, remedy)) from None

    def _error(self, error: BaseException) -> StoreError:
        if isinstance(error, OSError):
            why = f"{error.filename or self.path}: {error.strerror or error}"
            return StoreError(why, is_full=error.errno in FULL)
        return StoreError(f"{self.path}: no memory is left")
