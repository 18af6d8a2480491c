"""The embedded store of one feed: a file of writes, each of which is durable before it is answered.

Rules: this file knows no feed, no thread and no reactor. A write is appended and synced, or the whole file is written
anew, synced, renamed and its folder synced. Bytes at the end of the file that no sync has followed may be torn, or
missing, or zeros: their record is then left out. After an error of a sync, nothing is appended to the file any more:
the system may have dropped the bytes that it could not write.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import pwd
import re
import shutil
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from livefeed.document.stored_version import DamagedRecordError, NewerFormatError, check_format
from livefeed.document.stored_write import BEGINNING, FORMAT, MAX_LINE_BYTES, ReadHead, StoredWrite
from livefeed.exceptions import JournalError, StoreError, newer_format
from livefeed.storage.files import Files, SystemFiles
from livefeed.storage.journal import check_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

MAX_WRITES = 256
"""The number of the last writes that are kept."""

MAX_KEPT_BYTES = 64 * 1024 * 1024
"""The size in bytes of the records that are kept besides the newest one."""

GROWTH = 2
"""The file is written anew when its size exceeds that of the kept records by this factor, and :data:`SLACK_BYTES`."""

SLACK_BYTES = 1024 * 1024

_BEGINS = re.compile(rb"[0-9a-f]{0,32}|[0-9a-f]{32} .*", re.DOTALL)
FULL = (errno.ENOSPC, errno.EDQUOT)
"""The errors of a disk, or of the part of it that the user may fill, that is full."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A write that is kept.

    :ivar number: the number of the write.
    :ivar at: when it was written, in seconds since 1970 by the wall clock.
    :ivar version: the hash of the document; empty if the document was deleted.
    :ivar bytes: the number of the document's bytes.
    :ivar offset: where its record begins in the file.
    :ivar size: the number of the record's bytes.
    :ivar mark: the name that the writer has given to the write; empty if it has given none.
    """

    number: int
    at: float
    version: str
    bytes: int
    offset: int
    size: int
    mark: str = ""


class Unchanged:
    """The result of an edit that writes nothing."""


UNCHANGED = Unchanged()


@dataclass(frozen=True, slots=True)
class Marked:
    """The result of an edit that finds its write again by a name.

    :ivar data: the new document.
    :ivar mark: the name.
    """

    data: bytes
    mark: str


Edited = bytes | Marked | Unchanged | None
"""The result of an edit: the new document, no change, or ``None`` to delete the document."""


@dataclass(slots=True)
class View:
    """The store as the edits of one commit see it, each after those before it.

    :ivar newest: the newest write; ``None`` before the first.
    :ivar read: reads the document of a kept write.
    """

    newest: StoredWrite | None
    read: Callable[[Kept], bytes]

    @property
    def document(self) -> bytes | None:
        """The newest document; ``None`` if there is none."""
        return None if self.newest is None else self.newest.data


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of an edit.

    :ivar before: the newest write before the edit; ``None`` before the first.
    :ivar after: the newest write after the edit.
    """

    before: StoredWrite | None
    after: StoredWrite | None


@dataclass(eq=False)
class Store:
    """The file, which only one process may use at a time. Only one thread at a time may call its methods.

    :param path: the file. Beside it is a file whose name ends with ``.lock`` in addition.
    :param wall: the wall clock, in seconds since 1970.
    :param files: the calls of the system.
    :ivar newest: the newest write; ``None`` before the first.
    :ivar kept: the last writes, the oldest first.
    :ivar damaged: where a copy of the file is, if a record in it was damaged when it was opened; ``None`` if not. An
        incomplete record at the end is no damage: a crash leaves that, and no answer was given for it.
    """

    # required parameters
    path: Path
    wall: Callable[[], float]
    files: Files = field(default_factory=SystemFiles)

    # internal state
    newest: StoredWrite | None = field(default=None, init=False)
    kept: tuple[Kept, ...] = field(default=(), init=False)
    damaged: Path | None = field(default=None, init=False)
    _fd: int | None = None
    _lock: int | None = None
    _size: int = 0
    _is_suspect: bool = False  # whether the file may have other bytes than were written

    @property
    def is_open(self) -> bool:
        """Whether this process uses the file."""
        return self._fd is not None

    def open(self) -> None:
        """Locks the file and reads it.

        :raises StoreError: if another process uses the file, it has the format of a newer livefeed, or it cannot be
            read or written.
        """
        try:
            check_folder(self.path.parent)
            self._make_folder()
            self._lock = self.files.open(self.path.with_name(f"{self.path.name}.lock"))
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._fd = self.files.open(self.path)
            self._read()
        except BlockingIOError:
            self.close()
            raise StoreError(f"{self.path}: another process uses this store") from None
        except JournalError as error:
            self.close()
            raise StoreError(str(error)) from None
        except OSError as error:
            self.close()
            raise self._error(error) from None
        except StoreError:
            self.close()
            raise

    def _make_folder(self) -> None:
        folder = self.path.parent
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for each in missing:
            self.files.sync_folder(each.parent)

    def inspect(self) -> None:
        """Checks that the file can be read and written, without locking or changing anything. It need not exist.

        :raises StoreError: if it has the format of a newer livefeed, or cannot be read or written.
        """
        try:
            with self.path.open("r+b") as file:
                check_format(file.readline(MAX_LINE_BYTES), FORMAT)
        except FileNotFoundError:
            return
        except NewerFormatError as error:
            raise self._refusal(error) from None
        except OSError as error:
            raise self._error(error) from None

    def close(self) -> None:
        """Closes the file and releases the lock."""
        for fd in (self._fd, self._lock):
            if fd is not None:
                os.close(fd)
        self._fd = self._lock = None

    def commit(self, edits: Sequence[Callable[[View], Edited]]) -> list[Outcome | Exception]:
        """Makes all edits, one after another, and makes their writes durable together.

        :param edits: each gives the new document, ``None`` to delete it, or ``UNCHANGED``. One that raises writes
            nothing.
        :returns: for each edit its outcome, or the exception that it raised. If the disk refuses the writes, nothing
            has changed, and the outcome of each edit that wrote something, or that saw such a write, is a
            :class:`.StoreError`.
        """
        view = View(self.newest, self._read_document)
        writes: list[StoredWrite] = []
        outcomes: list[Outcome | Exception] = []
        for edit in edits:
            before = view.newest
            try:
                changed = edit(view)
            except Exception as error:
                outcomes.append(error)
                continue
            if not isinstance(changed, Unchanged):
                number = 1 if before is None else before.number + 1
                data, mark = (changed.data, changed.mark) if isinstance(changed, Marked) else (changed, "")
                view.newest = StoredWrite.of(data, number, self.wall(), mark)
                writes.append(view.newest)
            outcomes.append(Outcome(before, view.newest))
        if not writes:
            return outcomes
        try:
            self._write(writes)
        except (OSError, MemoryError) as error:
            why = self._error(error) if isinstance(error, OSError) else StoreError(f"{self.path}: no memory is left")
            newest = self.newest
            return [each if isinstance(each, Exception) or each.after is newest else why for each in outcomes]
        self.newest = writes[-1]
        return outcomes

    # Writing

    def _write(self, writes: Sequence[StoredWrite]) -> None:
        if self._fd is None:
            raise OSError(errno.EBADF, "the store is closed")
        records = [write.record() for write in writes]
        kept_bytes = sum(each.size for each in self.kept) + sum(map(len, records))
        size = self._size + sum(map(len, records))
        if self._is_suspect or size > GROWTH * kept_bytes + SLACK_BYTES:
            self._rewrite(writes, records)
            return
        try:
            self.files.write(self._fd, records, self._size)
            try:
                self.files.sync(self._fd)
            except OSError:
                self._is_suspect = True
                raise
        except OSError:
            try:
                self.files.truncate(self._fd, self._size)
            except OSError:
                self._is_suspect = True
            raise
        self._add(writes, records)

    def _rewrite(self, writes: Sequence[StoredWrite], records: Sequence[bytes]) -> None:
        """Writes the kept records and new ones into a new file, and puts it in the place of the old one."""
        new = self.path.with_name(f"{self.path.name}.new")
        old, kept = self._fd, self._within_limits(self.kept)
        assert old is not None
        fd = self.files.open(new)
        try:
            self.files.truncate(fd, 0)
            size = self.files.write(fd, (os.pread(old, each.size, each.offset) for each in kept), 0)
            self.files.write(fd, records, size)
            self.files.sync(fd)
            self.files.rename(new, self.path)
        except BaseException:
            os.close(fd)
            raise
        os.close(old)
        offset, moved = 0, []
        for each in kept:
            moved.append(replace(each, offset=offset))
            offset += each.size
        self._fd, self._size, self.kept = fd, size, tuple(moved)
        # Until its name is durable, the new file may not be the one that a crash leaves.
        self._is_suspect = True
        try:
            self.files.sync_folder(self.path.parent)
        except OSError:
            self.files.truncate(fd, size)
            raise
        self._is_suspect = False
        self._add(writes, records)

    def _add(self, writes: Sequence[StoredWrite], records: Sequence[bytes]) -> None:
        """Takes note of records that were written at the end."""
        added = list(self.kept)
        for write, record in zip(writes, records, strict=True):
            length = len(write.data or b"")
            added.append(Kept(write.number, write.at, write.version, length, self._size, len(record), write.mark))
            self._size += len(record)
        self.kept = self._within_limits(added)

    @staticmethod
    def _within_limits(writes: Iterable[Kept]) -> tuple[Kept, ...]:
        """Gives the last writes, without those beyond the limits."""
        kept = deque(writes, maxlen=MAX_WRITES)
        total = sum(each.size for each in kept)
        while len(kept) > 1 and total - kept[-1].size > MAX_KEPT_BYTES:
            total -= kept.popleft().size
        return tuple(kept)

    # Reading

    def _read_document(self, write: Kept) -> bytes:
        """Reads the document of a kept write.

        :raises StoreError: if its record is damaged, or cannot be read.
        """
        try:
            assert self._fd is not None
            line, _, rest = os.pread(self._fd, write.size, write.offset).partition(b"\n")
            return ReadHead.parse(line).write(rest[:-1]).data or b""
        except OSError as error:
            raise self._error(error) from None
        except (DamagedRecordError, NewerFormatError):
            raise StoreError(f"{self.path}: the write {write.number} is damaged") from None

    def _read(self) -> None:
        """Reads the file, and has it end with its last record.

        :raises StoreError: if it has the format of a newer livefeed.
        """
        assert self._fd is not None
        self.newest, self.kept, self.damaged, self._is_suspect = None, (), None, False
        kept: deque[Kept] = deque(maxlen=MAX_WRITES)
        size = os.fstat(self._fd).st_size
        end, is_damaged = 0, False
        if size:
            with mmap.mmap(self._fd, size, access=mmap.ACCESS_READ) as data:
                end, is_damaged = self._find(data, kept)
        if is_damaged:
            # There is at most one such file. It is for the operator, and nothing reads it again.
            self.damaged = self.path.with_name(f"{self.path.name}.damaged")
            shutil.copyfile(self.path, self.damaged)
            self.damaged.chmod(0o600)
            self._is_suspect = True  # the next write leaves the damaged bytes out
        if end < size:
            self.files.truncate(self._fd, end)
        self._size, self.kept = end, self._within_limits(kept)
        # A process that was killed may not have synced them, and from now on they are shown.
        self.files.sync(self._fd)
        self.files.sync_folder(self.path.parent)
        if self.kept:
            last = self.kept[-1]
            data_of_last = self._read_document(last) if last.version else None
            self.newest = StoredWrite(last.number, last.at, data_of_last, last.version, last.mark)

    def _find(self, data: mmap.mmap, kept: deque[Kept]) -> tuple[int, bool]:
        """Finds the records in the file.

        :param kept: gets the records.
        :returns: the end of the last one, and whether a record was damaged otherwise than by a crash.
        """
        end = position = 0
        is_damaged = False
        try:
            while position < len(data):
                try:
                    write, size = _record_at(data, position, kept[-1].number if kept else 0)
                except DamagedRecordError:
                    following = BEGINNING.search(data, position + 1)
                    if following is None:
                        return end, is_damaged or not _is_torn(data, position)
                    # A crash leaves zeros if it has kept a later write and not this one; no document has any.
                    is_damaged |= data.find(b"\0", position, following.start()) < 0
                    position = following.start()
                    continue
                length = len(write.data or b"")
                kept.append(Kept(write.number, write.at, write.version, length, position, size, write.mark))
                end = position = position + size
        except NewerFormatError as error:
            raise self._refusal(error) from None
        return end, is_damaged

    # Errors

    def _refusal(self, error: NewerFormatError) -> StoreError:
        remedy = "move the file away to start without its documents, or give another --state-dir"
        return StoreError(newer_format(self.path, error.format, FORMAT, remedy))

    def _error(self, error: OSError) -> StoreError:
        path = error.filename or self.path
        why = error.strerror or str(error)
        if error.errno in (errno.EACCES, errno.EPERM):
            with suppress(OSError, KeyError, TypeError):
                owner, user = (pwd.getpwuid(uid).pw_name for uid in (Path(path).stat().st_uid, os.geteuid()))
                if owner != user:
                    why += f"; it belongs to {owner}, and livefeed runs as {user}"
        return StoreError(f"{path}: {why}", is_full=error.errno in FULL)


def _record_at(data: mmap.mmap, position: int, after: int) -> tuple[StoredWrite, int]:
    """Reads the record at a position, and gives its write and its number of bytes.

    :param after: the number of the write before it.
    :raises DamagedRecordError: if it is damaged.
    :raises NewerFormatError: if it has a format that this livefeed does not know.
    """
    line = data[position : position + MAX_LINE_BYTES].partition(b"\n")[0]
    read = ReadHead.parse(line)
    begin = position + len(line) + 1
    end = begin + read.head.bytes
    write = read.write(data[begin:end])
    if data[end : end + 1] != b"\n" or write.number <= after:
        raise DamagedRecordError
    return write, end + 1 - position


def _is_torn(data: mmap.mmap, position: int) -> bool:
    """Tells whether the end of the file, from a position on, is what a crash leaves of writes that were not synced.

    That is a part of a record, or a record in which some bytes are zeros: no document that is JSON has any.
    """
    if data.find(b"\0", position) >= 0:
        return True
    line_end = data.find(b"\n", position, position + MAX_LINE_BYTES) + 1
    if not line_end:
        rest = data[position : position + MAX_LINE_BYTES]
        return len(rest) < MAX_LINE_BYTES and _BEGINS.fullmatch(rest[:44]) is not None
    try:
        read = ReadHead.parse(data[position:line_end])
    except DamagedRecordError:
        return False
    return line_end + read.head.bytes >= len(data)
