"""A file of the newest documents, to which further ones are appended, and which is written anew when it has grown.

Rules: a document is appended in one call, so that a killed process leaves it whole, incomplete or missing, and nothing
else. Documents are written as they are: to append one takes as long as its hash. The file survives the end of the
process, and not a loss of power. Calls may block. The format is that of recordings.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from livefeed import __version__
from livefeed.document.recording import Place, encode_beginning, encode_version
from livefeed.document.stored_version import DamagedRecordError
from livefeed.storage.record_file import Cursor

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from livefeed.document.recording import Facts

GROWTH = 2
"""The file is written anew when its size exceeds that of the documents that may be kept by this factor."""

_FILE_MODE = 0o600


@dataclass(frozen=True, slots=True)
class Kept:
    """A document that is kept, and the facts about it."""

    data: bytes
    facts: Facts


@dataclass(eq=False)
class Ring:
    """The newest documents in a file. Only one process may write it.

    :ivar path: the file.
    :ivar max_documents: the number of documents that are kept.
    :ivar max_bytes: the size in bytes of those that are kept besides the newest one.
    :ivar feed: the name of their feed.
    """

    # required parameters
    path: Path
    max_documents: int
    max_bytes: int
    feed: str = ""

    # internal state
    kept: deque[Kept] = field(default_factory=deque)
    _kept_bytes: int = 0
    _file: BinaryIO | None = None
    _size: int = 0
    _place: Place = field(default_factory=Place)
    _last: Kept | None = None  # the last document that is written

    @property
    def is_open(self) -> bool:
        """Whether documents can be appended."""
        return self._file is not None

    def read(self, max_document_bytes: int) -> tuple[list[Kept], bool]:
        """Gives the newest documents in the file, the oldest first, and whether it has no damage.

        An incomplete record at the end is no damage. Documents behind damage are not read.

        :param max_document_bytes: the size in bytes of the largest document that is read; larger ones are passed over.
        :raises NewerFormatError: if a newer livefeed has written the file.
        :raises OSError: if it cannot be read; a file that is missing has no documents.
        """
        found: deque[Kept] = deque(maxlen=self.max_documents)
        if not self.path.exists():
            return [], True
        with self.path.open("rb") as file:
            cursor = Cursor(file, max_document_bytes)
            try:
                while (entry := cursor.next()) is not None:
                    if entry.data is not None:
                        found.append(Kept(entry.data, entry.head.facts))
            except DamagedRecordError:
                return list(found), False
        return list(found), True

    def fill(self, documents: Iterable[Kept]) -> None:
        """Writes the file anew, and opens it.

        :param documents: the documents, the oldest first. Those beyond the limits are left out.
        :raises OSError: if it cannot be written; the file is as before then.
        """
        self.kept.clear()
        self._kept_bytes = 0
        for document in documents:
            self._keep(document)
        self._rewrite()

    def append(self, document: Kept) -> None:
        """Writes a document behind the others.

        :raises OSError: if it cannot be written, as on a full disk. It is written with the next one that can be.
        """
        if self._file is None:
            return
        self._keep(document)
        record, place = self._record(self._place, document, self._last)
        if self._size + len(record) > GROWTH * (self.max_bytes + len(record)):
            self._rewrite()
        elif self._file.write(record) == len(record):
            self._size += len(record)
            self._place, self._last = place, document
        else:
            # The disk is full, and nothing may follow half a record.
            self._file.truncate(self._size)
            self._file.seek(self._size)
            self._rewrite()

    def close(self) -> None:
        """Closes the file. It may be called again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _keep(self, document: Kept) -> None:
        """Takes a document as the newest one, and forgets those beyond the limits."""
        self.kept.append(document)
        self._kept_bytes += len(document.data)
        while len(self.kept) > self.max_documents or self._kept_bytes > self.max_bytes + len(document.data):
            self._kept_bytes -= len(self.kept.popleft().data)

    def _record(self, place: Place, document: Kept, before: Kept | None) -> tuple[bytes, Place]:
        """Gives the record of a document, with that of the beginning in front of it if there is none."""
        beginning = b""
        after_s = 0.0 if before is None else interval_s(before.facts, document.facts)
        if not place.chain:
            beginning, place = encode_beginning(document.facts.at, feed=self.feed, by=f"livefeed {__version__}")
            after_s = 0.0
        record, place = encode_version(place, document.data, after_s, document.facts, is_compact=False)
        return beginning + record, place

    def _rewrite(self) -> None:
        """Replaces the file by a new one with the documents that are kept."""
        new = self.path.with_name(f"{self.path.name}.new")
        place, size = Place(), 0
        before: Kept | None = None
        with _open(new) as file:
            file.truncate()
            for document in self.kept:
                record, place = self._record(place, document, before)
                if file.write(record) < len(record):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(new))
                size += len(record)
                before = document
        new.replace(self.path)
        if self._file is not None:
            self._file.close()
        self._file = _open(self.path)
        self._file.seek(size)
        self._size, self._place, self._last = size, place, before


def interval_s(before: Facts, after: Facts) -> float:
    """Gives the seconds from one document to the next; by the clock of the machine, if both were in the same boot."""
    if before.boot and before.boot == after.boot:
        return max(0.0, after.since_boot_s - before.since_boot_s)
    return max(0.0, after.at - before.at)


def _open(path: Path) -> BinaryIO:
    # Unbuffered: the system has the bytes immediately, even if the process is killed.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
    return os.fdopen(descriptor, "r+b", buffering=0)
