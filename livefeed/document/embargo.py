"""An embargo of a feed: a document that is published at a time, or a hold that ends at a time.

Its record has the form of :mod:`livefeed.document.stored_write`: one line, the hash of a head, a space and the head,
and the document's bytes with a line feed behind them.

Rules: nothing in a record depends on the clock of its reader. Members of a head that a reader does not know are passed
over.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import msgspec

from livefeed.document.snapshot import version_of
from livefeed.document.stored_version import DamagedRecordError, check_format
from livefeed.document.stored_write import BEGINNING, record_hash

FORMAT = 1
"""The number of the format that is written."""

MAX_LINE_BYTES = 16 * 1024
"""The longest line in front of a document, in bytes: 64 tags of conditions, and texts of a few hundred characters."""

MAX_TEXT = 300
"""Characters of a user, a reason and a failure that are kept."""


class Kind(StrEnum):
    """The effect of an embargo."""

    PUBLISH = "publish"
    """Its document is stored, and published."""
    RELEASE = "release"
    """The hold of the feed ends."""


@dataclass(frozen=True, slots=True)
class Embargo:
    """One embargo.

    :ivar id: its name, which is chosen by chance: it tells nothing about the document.
    :ivar at: when it ends and has its effect, in seconds since 1970 by the wall clock.
    :ivar asked_at: when it was asked for, in seconds since 1970 by the wall clock.
    :ivar by: the user who has asked for it.
    :ivar reason: the user's reason; empty if there is none.
    :ivar data: the document's bytes; ``None`` for a release.
    :ivar if_match: the versions of which one must be stored at that time, or ``*`` for any; ``None`` for no condition.
        Of a release: the version that a rule held back when the operator has asked; ``None`` if no rule held one.
    :ivar if_none_match: the versions of which none may be stored at that time, or ``*`` for any; ``None`` for no
        condition.
    :ivar failed: why it had no effect at its time, and is kept for the operator; empty while it waits.
    """

    id: str
    at: float
    asked_at: float
    by: str
    reason: str = ""
    data: bytes | None = None
    if_match: tuple[str, ...] | None = None
    if_none_match: tuple[str, ...] | None = None
    failed: str = ""

    @property
    def kind(self) -> Kind:
        """The effect."""
        return Kind.RELEASE if self.data is None else Kind.PUBLISH

    @property
    def size(self) -> int:
        """The size of the document in bytes."""
        return len(self.data or b"")

    def refusal(self, stored: str) -> str:
        """Gives the reason why the conditions do not hold; empty if they do.

        :param stored: the version of the stored document; empty if there is none.
        """
        if self.if_match is not None and not _names(self.if_match, stored):
            there = "no document is stored" if not stored else "another version is stored"
            return f"{there} than the condition names (If-Match)" if stored else f"{there} (If-Match)"
        if self.if_none_match is not None and _names(self.if_none_match, stored):
            return "a document is stored that the condition excludes (If-None-Match)"
        return ""

    def fail(self, why: str) -> Embargo:
        """Gives the same with the reason why it has not happened."""
        return replace(self, failed=why[:MAX_TEXT])

    def record(self) -> bytes:
        """Gives the record."""
        data = self.data or b""
        head = _Head(
            version="" if self.data is None else version_of(self.data),
            id=self.id,
            at=self.at,
            asked_at=self.asked_at,
            by=self.by[:MAX_TEXT],
            reason=self.reason[:MAX_TEXT],
            if_match=self.if_match,
            if_none_match=self.if_none_match,
            failed=self.failed,
            bytes=len(data),
        )
        line = msgspec.json.encode(head)
        return b"%b %b\n%b\n" % (record_hash(line, data), line, data)


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    """The head of a record; the members are those of :class:`Embargo`."""

    version: str
    format: int = FORMAT
    id: str
    at: float
    asked_at: float
    by: str
    reason: str
    if_match: tuple[str, ...] | None
    if_none_match: tuple[str, ...] | None
    failed: str
    bytes: int


def read_records(data: bytes) -> tuple[list[Embargo], bool]:
    """Reads records one behind another.

    :returns: those that are whole, and whether one is damaged.
    :raises NewerFormatError: if one has a format that this livefeed does not know.
    """
    found: list[Embargo] = []
    is_damaged = False
    for beginning in BEGINNING.finditer(data):
        try:
            embargo, end = _record_at(data, beginning.start())
        except DamagedRecordError:
            is_damaged = True
        else:
            found.append(embargo)
            is_damaged |= end < len(data) and BEGINNING.match(data, end) is None
    return found, is_damaged or (bool(data) and BEGINNING.match(data) is None)


def _record_at(data: bytes, position: int) -> tuple[Embargo, int]:
    """Reads the record at a position, and gives the position behind it."""
    line = data[position : position + MAX_LINE_BYTES].partition(b"\n")[0]
    check_format(line, FORMAT)
    digest, _, text = line.partition(b" ")
    try:
        head = msgspec.json.decode(text, type=_Head)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise DamagedRecordError from None
    begin = position + len(line) + 1
    end = begin + head.bytes
    document = data[begin:end]
    if head.bytes < 0 or len(document) != head.bytes or data[end : end + 1] != b"\n":
        raise DamagedRecordError
    if record_hash(text, document) != digest or bool(head.version) is not bool(document):
        raise DamagedRecordError
    embargo = Embargo(
        head.id,
        head.at,
        head.asked_at,
        head.by,
        head.reason,
        document if head.version else None,
        head.if_match,
        head.if_none_match,
        head.failed,
    )
    return embargo, end + 1


def _names(tags: tuple[str, ...], stored: str) -> bool:
    return bool(stored) and ("*" in tags or stored in tags)
