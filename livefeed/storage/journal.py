"""The last versions of a document in a file, so that a restart loses neither them nor their order.

A second, small file says when a pull last gave the newest of them.

Rules: this file knows no feed. A version is appended in one write, and a record that a killed process left incomplete
counts as not written. The format of the file is that of recordings; one of an earlier release is read once, and written
anew. A file that a newer livefeed has written in another format is neither read nor changed.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from livefeed.document.history import MAX_BYTES, VERSIONS
from livefeed.document.recording import FORMAT, Facts
from livefeed.document.stored_version import FORMAT as CONFIRMATION_FORMAT
from livefeed.document.stored_version import (
    MAX_CONFIRMATION_BYTES,
    DamagedRecordError,
    NewerFormatError,
    StoredVersion,
)
from livefeed.exceptions import JournalError, newer_format
from livefeed.storage.earlier_journal import is_earlier, read_earlier
from livefeed.storage.ring import Kept, Ring

if TYPE_CHECKING:
    from pathlib import Path

_FILE_MODE = 0o600


@dataclass(eq=False)
class Journal:
    """A file of versions, which only one process may use at a time.

    :param path: the file. Beside it are a file whose name ends with ``.lock`` in addition, and one that ends with
        ``.confirmed`` instead.
    :param max_version_bytes: the size in bytes of the largest version that is read; larger ones are skipped.
    :ivar damaged: where the file was moved when it was opened, if it was damaged; ``None`` if it was not. An incomplete
        version at the end is no damage: a killed process leaves that.
    :ivar unconfirmed: the file of the last confirmation, if it was damaged when the journal was opened, so that the
        newest version has the time at which it was written; ``None`` if it was not.
    """

    # required parameters
    path: Path
    max_version_bytes: int

    damaged: Path | None = field(default=None, init=False)
    unconfirmed: Path | None = field(default=None, init=False)

    # internal state
    _ring: Ring = field(init=False)
    _lock: BinaryIO | None = None

    def __post_init__(self) -> None:
        self._ring = Ring(self.path, VERSIONS + 1, MAX_BYTES, self.path.stem)

    @property
    def is_open(self) -> bool:
        """Whether this process uses the file."""
        return self._ring.is_open

    def open(self) -> list[StoredVersion]:
        """Locks the file and reads it.

        :returns: its versions, the oldest first. The newest has the time of its last confirmation, if that was written.
        :raises JournalError: if another process uses the file, it has the format of a newer livefeed, or it cannot be
            read or written.
        """
        check_folder(self.path.parent)
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = self._open(self.path.with_name(f"{self.path.name}.lock"))
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found, is_whole = self._read()
            if found:
                found[-1] = self._confirmed(found[-1])
            if not is_whole:
                # There is at most one such file. It is for the operator, and nothing reads it again.
                self.damaged = self.path.replace(self.path.with_name(f"{self.path.name}.damaged"))
            # This removes an incomplete version at the end, and the versions beyond the limits.
            self._ring.fill(map(_kept, found))
        except BlockingIOError:
            self.close()
            raise JournalError(f"{self.path}: another process keeps its versions there") from None
        except JournalError:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise JournalError(f"{error.filename or self.path}: {error.strerror or error}") from None
        return [*map(_version, self._ring.kept)]

    def inspect(self) -> None:
        """Checks that the file can be read, without locking or changing anything. It need not exist.

        :raises JournalError: if it has the format of a newer livefeed, or cannot be read.
        """
        try:
            found, _ = self._read()
            if found:
                self._confirmed(found[-1])
        except OSError as error:
            raise JournalError(f"{error.filename or self.path}: {error.strerror or error}") from None

    def append(self, version: StoredVersion) -> None:
        """Writes a version after the others. It survives the end of the process, but not a crash of the machine.

        :raises OSError: if it cannot be written, as on a full disk. The other versions are still there then.
        """
        self._ring.append(_kept(version))

    def confirm(self, version: StoredVersion) -> None:
        """Writes when a pull last gave a version that was appended, in the place of the last confirmation.

        It takes 20 µs. After the first time it needs no space on a full disk, since the file keeps its size.

        :raises OSError: if it cannot be written.
        """
        if not self.is_open:
            return
        line = version.confirmation()
        with self._open(self._confirmation) as file:
            # Written over the old line. The end of a longer one stays, but is no longer on the first line.
            if file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._confirmation))

    def close(self) -> None:
        """Closes the file and releases the lock."""
        self._ring.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def _confirmation(self) -> Path:
        return self.path.with_suffix(".confirmed")

    def _confirmed(self, newest: StoredVersion) -> StoredVersion:
        """Gives the newest version with the time of its last confirmation, if that was written."""
        self.unconfirmed = None
        try:
            with self._confirmation.open("rb") as file:
                line = file.readline(MAX_CONFIRMATION_BYTES)
        except FileNotFoundError:
            return newest
        try:
            # It confirms another version if the process was killed before it wrote a confirmation of this one.
            return newest.confirmed_by(line)
        except NewerFormatError as error:
            raise _refusal(self._confirmation, error, CONFIRMATION_FORMAT) from None
        except DamagedRecordError:
            # A process that is killed before it writes leaves an empty file.
            self.unconfirmed = self._confirmation if line else None
            return newest

    def _read(self) -> tuple[list[StoredVersion], bool]:
        """Gives the versions before the first damage, and whether there is no damage."""
        try:
            if is_earlier(self.path):
                return read_earlier(self.path, self.max_version_bytes)
            kept, is_whole = self._ring.read(self.max_version_bytes)
        except NewerFormatError as error:
            raise _refusal(self.path, error, FORMAT) from None
        return [*map(_version, kept)], is_whole

    @staticmethod
    def _open(path: Path) -> BinaryIO:
        # Unbuffered: the system has the bytes immediately, even if the process is killed.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        return os.fdopen(descriptor, "r+b", buffering=0)


def _kept(version: StoredVersion) -> Kept:
    return Kept(version.data, Facts(version.sequence, version.at, version.boot, version.since_boot_s))


def _version(kept: Kept) -> StoredVersion:
    facts = kept.facts
    return StoredVersion(kept.data, facts.sequence, facts.at, facts.boot, facts.since_boot_s)


def _refusal(path: Path, error: NewerFormatError, known: int) -> JournalError:
    remedy = "move the file away to start without its versions, or give another --state-dir"
    return JournalError(newer_format(path, error.format, known, remedy))


def check_folder(folder: Path) -> None:
    """Checks that no file is in the place of a folder for journals. The folder itself may be missing.

    :raises JournalError: if the folder, or the nearest of its parents that exists, is a file.
    """
    for path in (folder, *folder.parents):
        if os.path.lexists(path):
            with suppress(OSError):  # such as for a link into a folder that may not be searched
                if not path.is_dir():
                    raise JournalError(f"{folder}: there is a file where a folder should be")
            return
