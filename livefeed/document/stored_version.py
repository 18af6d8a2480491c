"""A version as it is stored in a file, and the record that it is stored as.

A record is a head, one line of JSON, and the document's bytes with a line feed behind them. A confirmation is one line:
the hash of a head, a space, and the head.

Rule: a stored version is only returned if its bytes are those that were stored, by their hash.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec

from livefeed.document.snapshot import Sequence, version_of

MAX_HEAD_BYTES = 256
"""The longest head, in bytes, with its line feed. It bounds the search for the end of a head in a damaged file."""

MAX_CONFIRMATION_BYTES = 512
"""The longest confirmation, in bytes. A disk writes a sector of this size as a whole."""

_HEAD_BEGIN = b'{"version"'


class DamagedRecordError(ValueError):
    """A record or a confirmation is not one that was written."""


class Head(msgspec.Struct, frozen=True):
    """The line in front of a version's bytes.

    :ivar version: the hash of the document; see :func:`.snapshot.version_of`.
    :ivar bytes: the number of the document's bytes.
    """

    version: str
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

    def record(self) -> bytes:
        """Gives the record of the version."""
        return b"%b\n%b\n" % (self._head(), self.data)

    def confirmation(self) -> bytes:
        """Gives the line that says when a pull last gave the version."""
        head = self._head()
        return b"%b %b\n" % (version_of(head).encode(), head)

    def confirmed_by(self, line: bytes) -> StoredVersion:
        """Gives the version with the time of a confirmation, or as it is if that confirms another version.

        :param line: the line that :meth:`confirmation` gave.
        :raises DamagedRecordError: if it is no such line.
        """
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
        numbers = self.sequence.epoch, self.sequence.number
        head = Head(version_of(self.data), *numbers, self.at, len(self.data), self.boot, self.since_boot_s)
        return msgspec.json.encode(head)


def parse_head(line: bytes) -> Head:
    """Reads a head, with or without its line feed.

    :raises DamagedRecordError: if it is none.
    """
    try:
        head = msgspec.json.decode(line, type=Head)
    except (msgspec.DecodeError, UnicodeDecodeError):
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
