"""A version as it is stored in a file, its confirmation, and the record that earlier releases stored it as.

A record is a head, one line of JSON, and the document's bytes with a line feed behind them. A confirmation is one line:
the hash of a head, a space, and the head. Versions are stored as records of :mod:`livefeed.document.recording` now.

Rules: a stored version is only returned if its bytes are those that were stored, by their hash. Each head has the
number of its format. Members of a head that a reader does not know are passed over, so that a new member needs no new
number; a reader refuses a greater number than its own. In every format, a head begins with the version, and has the
number among its first :data:`MAX_HEAD_BYTES` bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import msgspec

from livefeed.document.snapshot import Sequence, version_of

MAX_HEAD_BYTES = 256
"""The longest head, in bytes, with its line feed. It bounds the search for the end of a head in a damaged file."""

MAX_CONFIRMATION_BYTES = 512
"""The longest confirmation, in bytes. A disk writes a sector of this size as a whole."""

FORMAT = 1
"""The number of the format of confirmations, and of the last such records. Heads of the format 0 have no number."""

_HEAD_BEGIN = b'{"version"'
_NUMBERED = re.compile(rb'(?:[0-9a-f]{32} )?\{"version".*?"format": ?(\d{1,9})', re.DOTALL)


class DamagedRecordError(ValueError):
    """A record or a confirmation is not one that was written."""


class NewerFormatError(ValueError):
    """A record or a confirmation has a format that this livefeed does not know.

    :ivar format: the number of the format.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.format = number


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The line in front of a version's bytes.

    :ivar version: the hash of the document; see :func:`.snapshot.version_of`.
    :ivar format: the number of the format of the record.
    :ivar bytes: the number of the document's bytes.
    """

    version: str
    format: int = 0
    epoch: int
    number: int
    at: float
    bytes: int
    boot: str = ""
    since_boot_s: float = 0.0


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version in a file.

    :ivar data: the document's bytes.
    :ivar sequence: the version's place in the order of versions.
    :ivar at: when a pull last gave it, as far as that was stored, in seconds since 1970.
    :ivar boot: the id of the machine's boot in which that was; empty if there is none.
    :ivar since_boot_s: seconds from the start of the machine until then.
    """

    data: bytes
    sequence: Sequence
    at: float
    boot: str = ""
    since_boot_s: float = 0.0

    def confirmation(self) -> bytes:
        """Gives the line that says when a pull last gave the version."""
        head = self._head()
        return b"%b %b\n" % (version_of(head).encode(), head)

    def confirmed_by(self, line: bytes) -> StoredVersion:
        """Gives the version with the time of a confirmation, or as it is if that confirms another version.

        :param line: the line that :meth:`confirmation` gave.
        :raises DamagedRecordError: if it is no such line.
        :raises NewerFormatError: if it has a format that this livefeed does not know.
        """
        check_format(line)
        digest, _, head = line.removesuffix(b"\n").partition(b" ")
        said = parse_head(head)
        if digest != version_of(head).encode():
            raise DamagedRecordError
        if (said.version, said.epoch, said.number) != (
            version_of(self.data),
            self.sequence.epoch,
            self.sequence.number,
        ):
            return self
        return replace(self, at=said.at, boot=said.boot, since_boot_s=said.since_boot_s)

    def _head(self) -> bytes:
        """Gives the line in front of the version's bytes, without its line feed."""
        head = Head(
            version=version_of(self.data),
            format=FORMAT,
            epoch=self.sequence.epoch,
            number=self.sequence.number,
            at=self.at,
            bytes=len(self.data),
            boot=self.boot,
            since_boot_s=self.since_boot_s,
        )
        return msgspec.json.encode(head)


def check_format(line: bytes, known: int = FORMAT) -> None:
    """Checks the format of a head or a confirmation, complete or not.

    :param line: its first :data:`MAX_HEAD_BYTES` bytes are enough.
    :param known: the greatest number of a format that the caller knows.
    :raises NewerFormatError: if this livefeed does not know the format.
    """
    numbered = _NUMBERED.match(line)
    if numbered is not None and int(numbered[1]) > known:
        raise NewerFormatError(int(numbered[1]))


def parse_head(line: bytes) -> Head:
    """Reads a head, with or without its line feed.

    :raises DamagedRecordError: if it is none.
    :raises NewerFormatError: if it has a format that this livefeed does not know.
    """
    check_format(line)
    try:
        head = msgspec.json.decode(line, type=Head)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise DamagedRecordError from None
    if head.at < 0 or head.bytes <= 0:
        raise DamagedRecordError
    return head


def is_beginning_of_head(line: bytes) -> bool:
    """Tells whether bytes may be an incomplete head, which a killed process leaves. No bytes at all may be one."""
    return len(line) < MAX_HEAD_BYTES and _HEAD_BEGIN.startswith(line[: len(_HEAD_BEGIN)])


def stored_version(head: Head, data: bytes) -> StoredVersion:
    """Gives the version of a record.

    :param data: the document's bytes.
    :raises DamagedRecordError: if these are not the bytes that the head belongs to.
    """
    if version_of(data) != head.version:
        raise DamagedRecordError
    return StoredVersion(data, Sequence(head.epoch, head.number), head.at, head.boot, head.since_boot_s)
