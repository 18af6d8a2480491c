"""One write of the embedded store, and the record that it is stored as.

A record is one line, the hash of a head, a space and the head, and the document's bytes with a line feed behind them.
The hash is that of the head and the document together, so that a damaged record never passes for another one.

Rules: each head has the number of its format, in the form of :mod:`livefeed.document.stored_version`. Members of a head
that a reader does not know are passed over. No document that is JSON contains the beginning of a record, so that the
next record is found behind a damaged one.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import msgspec

from livefeed.document.snapshot import VERSION_DIGITS, version_of
from livefeed.document.stored_version import DamagedRecordError, check_format

MAX_LINE_BYTES = 512
"""The longest line in front of a document, in bytes, with its line feed."""

FORMAT = 1
"""The number of the format that is written."""

MAX_MARK = 32
"""Characters of the longest mark: a line has room for it."""

BEGINNING = re.compile(rb'^[0-9a-f]{32} \{"version"', re.MULTILINE)
"""The beginning of a record, at the beginning of a line."""


class WriteHead(msgspec.Struct, frozen=True, kw_only=True):
    """The head of a record.

    :ivar version: the hash of the document, see :func:`.snapshot.version_of`; empty if the document was deleted.
    :ivar format: the number of the format of the record.
    :ivar number: the number of the write, from 1.
    :ivar at: when it was written, in seconds since 1970 by the wall clock.
    :ivar bytes: the number of the document's bytes; 0 if the document was deleted.
    :ivar mark: the name that the writer has given to the write, so that it finds out whether it has written; absent if
        it has given none.
    """

    version: str
    format: int = FORMAT
    number: int
    at: float
    bytes: int
    mark: str | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class StoredWrite:
    """One write.

    :ivar number: the number of the write; later writes have greater ones.
    :ivar at: when it was written, in seconds since 1970 by the wall clock.
    :ivar data: the document's bytes; ``None`` if the document was deleted.
    :ivar version: the hash of the document; empty if the document was deleted.
    :ivar mark: the name that the writer has given to the write, of :data:`MAX_MARK` characters at most; empty if it has
        given none.
    """

    number: int
    at: float
    data: bytes | None
    version: str
    mark: str = ""

    @classmethod
    def of(cls, data: bytes | None, number: int, at: float, mark: str = "") -> StoredWrite:
        """Makes a write of a document, or of its deletion."""
        return cls(number, at, data, "" if data is None else version_of(data), mark)

    def record(self) -> bytes:
        """Gives the record of the write."""
        data = self.data or b""
        mark = self.mark or msgspec.UNSET
        head = WriteHead(version=self.version, number=self.number, at=self.at, bytes=len(data), mark=mark)
        line = msgspec.json.encode(head)
        return b"%b %b\n%b\n" % (record_hash(line, data), line, data)


@dataclass(frozen=True, slots=True)
class ReadHead:
    """The line in front of a document, as it was read.

    :ivar head: the head.
    :ivar line: its bytes.
    :ivar hash: the hash of the record.
    """

    head: WriteHead
    line: bytes
    hash: bytes

    @classmethod
    def parse(cls, line: bytes) -> ReadHead:
        """Reads a line, with or without its line feed.

        :raises DamagedRecordError: if it is none.
        :raises NewerFormatError: if it has a format that this livefeed does not know.
        """
        check_format(line, FORMAT)
        digest, _, text = line.removesuffix(b"\n").partition(b" ")
        try:
            head = msgspec.json.decode(text, type=WriteHead)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise DamagedRecordError from None
        if head.number < 1 or head.bytes < 0 or bool(head.version) is (head.bytes == 0):
            raise DamagedRecordError
        return cls(head, text, digest)

    def write(self, data: bytes) -> StoredWrite:
        """Gives the write.

        :param data: the document's bytes behind the line.
        :raises DamagedRecordError: if these are not the bytes that belong to it.
        """
        if len(data) != self.head.bytes or record_hash(self.line, data) != self.hash:
            raise DamagedRecordError
        mark = "" if isinstance(self.head.mark, msgspec.UnsetType) else self.head.mark
        return StoredWrite(self.head.number, self.head.at, data if self.head.version else None, self.head.version, mark)


def record_hash(line: bytes, data: bytes) -> bytes:
    """Gives the hash of a head and a document together."""
    made = hashlib.sha256(line)
    made.update(b"\n")
    made.update(data)
    return made.hexdigest()[:VERSION_DIGITS].encode()
