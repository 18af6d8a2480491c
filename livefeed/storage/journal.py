"""The last versions of a document in a file, so that a restart loses neither them nor their order.

A second, small file says when a pull last gave the newest of them.

Rules: this file knows no feed. A version is appended in one write, and a record that a killed process left incomplete
counts as not written. The format of the records is that of :mod:`livefeed.document.stored_version`. A file that a newer
livefeed has written in another format is neither read nor changed.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from livefeed.document.history import MAX_BYTES, VERSIONS
from livefeed.document.stored_version import (
    FORMAT,
    MAX_CONFIRMATION_BYTES,
    MAX_HEAD_BYTES,
    DamagedRecordError,
    NewerFormatError,
    check_format,
    is_beginning_of_head,
    parse_head,
    stored_version,
)
from livefeed.exceptions import JournalError, newer_format

if TYPE_CHECKING:
    from pathlib import Path

    from livefeed.document.stored_version import StoredVersion

GROWTH = 2
"""The file is rewritten when its size exceeds that of the versions that may be kept by this factor."""

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
    _versions: deque[StoredVersion] = field(default_factory=deque)
    _versions_bytes: int = 0
    _file: BinaryIO | None = None
    _lock: BinaryIO | None = None
    _size: int = 0

    @property
    def is_open(self) -> bool:
        """Whether this process uses the file."""
        return self._file is not None

    def versions(self) -> list[StoredVersion]:
        """Gives the versions that are kept, the oldest first."""
        return list(self._versions)

    def open(self) -> list[StoredVersion]:
        """Locks the file and reads it.

        :returns: its versions, the oldest first. The newest has the time of its last confirmation, if that was written.
        :raises JournalError: if another process uses the file, it has the format of a newer livefeed, or it cannot be
            read or written.
        """
        check_folder(self.path.parent)
        self._versions.clear()
        self._versions_bytes = 0
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = self._open(self.path.with_name(f"{self.path.name}.lock"))
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found, is_whole = self._read()
            if found:
                found[-1] = self._confirmed(found[-1])
            for version in found:
                self._keep(version)
            if not is_whole:
                # There is at most one such file. It is for the operator, and nothing reads it again.
                self.damaged = self.path.replace(self.path.with_name(f"{self.path.name}.damaged"))
            # This removes an incomplete version at the end, and the versions beyond the limits.
            self._rewrite()
        except BlockingIOError:
            self.close()
            raise JournalError(f"{self.path}: another process keeps its versions there") from None
        except JournalError:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise JournalError(f"{error.filename or self.path}: {error.strerror or error}") from None
        return list(self._versions)

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
        if self._file is None:
            return
        self._keep(version)
        record = version.record()
        if self._size + len(record) > GROWTH * (MAX_BYTES + len(record)):
            self._rewrite()
            return
        written = self._file.write(record)
        self._size += written
        if written < len(record):
            # The disk is full, and the next record must begin on a new line.
            self._rewrite()

    def confirm(self, version: StoredVersion) -> None:
        """Writes when a pull last gave a version that was appended, in the place of the last confirmation.

        It takes 20 µs. After the first time it needs no space on a full disk, since the file keeps its size.

        :raises OSError: if it cannot be written.
        """
        if self._file is None:
            return
        line = version.confirmation()
        with self._open(self._confirmation) as file:
            # Written over the old line. The end of a longer one stays, but is no longer on the first line.
            if file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._confirmation))

    def close(self) -> None:
        """Closes the file and releases the lock."""
        for file in (self._file, self._lock):
            if file is not None:
                file.close()
        self._file = self._lock = None

    def _keep(self, version: StoredVersion) -> None:
        """Takes a version as the newest one, and forgets the versions beyond the limits."""
        self._versions.append(version)
        self._versions_bytes += len(version.data)
        while len(self._versions) > VERSIONS + 1 or self._versions_bytes > MAX_BYTES + len(version.data):
            self._versions_bytes -= len(self._versions.popleft().data)

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
            raise self._refusal(self._confirmation, error) from None
        except DamagedRecordError:
            # A process that is killed before it writes leaves an empty file.
            self.unconfirmed = self._confirmation if line else None
            return newest

    def _read(self) -> tuple[list[StoredVersion], bool]:
        """Gives the versions before the first damage, and whether there is no damage."""
        found: deque[StoredVersion] = deque(maxlen=VERSIONS + 1)
        if not self.path.exists():
            return [], True
        with self.path.open("rb") as file:
            try:
                while (line := file.readline(MAX_HEAD_BYTES)).endswith(b"\n"):
                    head = parse_head(line)
                    if head.bytes > GROWTH * MAX_BYTES + self.max_version_bytes:
                        return list(found), False
                    data, end = file.read(head.bytes), file.read(1)
                    if not end:
                        # The process was killed while it wrote this version.
                        return list(found), True
                    version = stored_version(head, data)
                    if end != b"\n":
                        return list(found), False
                    if len(data) <= self.max_version_bytes:
                        found.append(version)
                # The heads of another format may be longer.
                check_format(line)
            except NewerFormatError as error:
                raise self._refusal(self.path, error) from None
            except DamagedRecordError:
                return list(found), False
        # Or while it wrote this line, which is then the beginning of a head.
        return list(found), is_beginning_of_head(line)

    @staticmethod
    def _refusal(path: Path, error: NewerFormatError) -> JournalError:
        remedy = "move the file away to start without its versions, or give another --state-dir"
        return JournalError(newer_format(path, error.format, FORMAT, remedy))

    def _rewrite(self) -> None:
        """Replaces the file by a new one with the versions that are kept."""
        new = self.path.with_name(f"{self.path.name}.new")
        with self._open(new) as file:
            file.truncate()
            for version in self._versions:
                record = version.record()
                if file.write(record) < len(record):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(new))
        new.replace(self.path)
        if self._file is not None:
            self._file.close()
        self._file = self._open(self.path)
        self._size = self._file.seek(0, os.SEEK_END)

    @staticmethod
    def _open(path: Path) -> BinaryIO:
        # Unbuffered: the system has the bytes immediately, even if the process is killed.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        return os.fdopen(descriptor, "r+b", buffering=0)


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
