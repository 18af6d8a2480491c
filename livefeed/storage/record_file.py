"""Reads a file of records one after another, forwards, and tells how it ends.

Rules: this file knows no feed, and no difference between a recording and a journal. At most one document and its
payload are in memory. A record that is not there as a whole, at the end of the file, is not damage: a process that is
killed leaves that, and so does one that is still writing.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, BinaryIO

from livefeed.document.recording import (
    FORMAT,
    MAX_DOCUMENT_BYTES,
    MAX_LINE_BYTES,
    Place,
    TooLargeError,
    may_begin,
    pass_over,
    read_document,
    read_line,
)
from livefeed.document.stored_version import DamagedRecordError, check_format

if TYPE_CHECKING:
    from pathlib import Path

    from livefeed.document.recording import Head

BUFFER_BYTES = 4096
"""The bytes that are read ahead, as Python before 3.14 did: with more, damage to a file that is open is noticed
later."""


class Ending(StrEnum):
    """How a file of records ends, where a reader has found no damage."""

    COMPLETE = "complete"
    """With the record of the end."""
    OPEN = "open"
    """Behind a whole record: it is still being written, its writer has ended without notice, or it was cut there."""
    TORN = "torn"
    """In the middle of a record."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record that was read.

    :ivar head: its head.
    :ivar data: the document; ``None`` if the record has none, or it was passed over.
    :ivar number: the number of the version in the file, from 1; of a record without a version, that of the last one.
    :ivar elapsed_s: seconds since the beginning.
    :ivar at: the time by the wall clock of the beginning, in seconds since 1970.
    :ivar offset: where the record begins, in bytes from the beginning of the file.
    """

    head: Head
    data: bytes | None
    number: int
    elapsed_s: float
    at: float
    offset: int


@dataclass(slots=True)
class Cursor:
    """A place in a file of records, and the reader that moves it forwards.

    :ivar file: the file, open for reading.
    :ivar max_bytes: the size in bytes of the largest document that is read.
    :ivar offset: the place in bytes from the beginning of the file; behind a record, or at its beginning.
    :ivar place: the same place as the next record needs it.
    :ivar ending: how the file ends; ``None`` while that was not reached.
    """

    # required parameters
    file: BinaryIO
    max_bytes: int = MAX_DOCUMENT_BYTES
    offset: int = 0
    place: Place = field(default_factory=Place)

    # internal state
    ending: Ending | None = None

    def next(self, *, passes_over: bool = False, refuses_large: bool = False) -> Entry | None:
        """Reads the record at the place, and moves behind it.

        After a record that was not there as a whole, the call may be repeated: a file that is being written grows.

        :param passes_over: whether documents are left unread, which is as fast as reading the lines.
        :param refuses_large: whether a document that is too large is an error; otherwise it is passed over.
        :returns: the record; ``None`` at the end of the file.
        :raises DamagedRecordError: if the file has something else there than was written.
        :raises NewerFormatError: if the record has a format that this livefeed does not know.
        :raises TooLargeError: if its document is larger than may be read.
        """
        self.file.seek(self.offset)
        line = self.file.readline(MAX_LINE_BYTES)
        if not line.endswith(b"\n"):
            self._end(line)
            return None
        try:
            return self._read(line, passes_over=passes_over, refuses_large=refuses_large)
        except DamagedRecordError:
            if self._ends_with_zeros():
                self.ending = Ending.TORN
                return None
            raise

    def _read(self, line: bytes, *, passes_over: bool, refuses_large: bool) -> Entry | None:
        read = read_line(self.place, line)
        head, data, place = read.head, None, self.place
        is_large = (head.size or head.bytes) > self.max_bytes
        if is_large and refuses_large:
            raise TooLargeError(head.size or head.bytes)
        if passes_over or is_large or not head.has_document:
            self.file.seek(head.bytes, os.SEEK_CUR)
            end = self.file.read(1)
            place = pass_over(self.place, read)
        else:
            payload, end = self.file.read(head.bytes), self.file.read(1)
            if end:
                data, place = read_document(self.place, read, payload, self.max_bytes)
        if not end:
            self.ending = Ending.TORN
            return None
        if end != b"\n":
            raise DamagedRecordError
        entry = Entry(head, data, place.versions, place.elapsed_s, place.at, self.offset)
        self.offset += len(line) + head.bytes + 1
        self.place = place
        return entry

    def _end(self, line: bytes) -> None:
        """Takes note of the end of the file, or of what is in its place.

        :param line: the rest of the file, or the first bytes of a line that is too long.
        """
        if not self.offset:
            check_format(line, FORMAT)
        if not line:
            self.ending = Ending.COMPLETE if self.place.is_ended else Ending.OPEN
        elif self._ends_with_zeros() or (len(line) < MAX_LINE_BYTES and not self.place.is_ended and may_begin(line)):
            self.ending = Ending.TORN
        else:
            raise DamagedRecordError

    def _ends_with_zeros(self) -> bool:
        """Tells whether the file ends with a zero byte, as after a loss of power. No record does."""
        size = self.file.seek(0, os.SEEK_END)
        if size <= self.offset or self.place.is_ended:
            return False
        self.file.seek(size - 1)
        return self.file.read(1) == b"\0"


def open_regular(path: Path) -> BinaryIO:
    """Opens a file for reading. A pipe or a device would block for ever.

    :raises OSError: if it cannot be opened, or is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "is not a regular file", str(path))
    return os.fdopen(descriptor, "rb", BUFFER_BYTES)
