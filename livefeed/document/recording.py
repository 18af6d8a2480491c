"""The records of a recording: the versions of a document one after another, each with the time since the one before.

A record is a line, the bytes of its payload, and a line feed. The line is the hash of the line before and the head
together, a space, and the head: one line of JSON. Each hash covers the one before, so a record that was changed, moved
or left out breaks the chain. A head names the hash of its payload, and the version of the document.

Every :data:`WHOLE_EVERY` versions, and wherever that is smaller, the payload is the whole document; otherwise it is the
splices from the version before (:mod:`livefeed.document.splices`). A payload may be one zstd frame.

Rules: functions take the place behind the last record, and give the place behind the next one, so that a write that
fails changes nothing. No document is returned unless its hash is its version. Members of a head that a reader does not
know are passed over; a reader refuses a greater format than its own. In every format, a head begins with the version,
and has the number among its first bytes, as that of :mod:`livefeed.document.stored_version`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import Literal

import msgspec
import zstandard

from livefeed.document.codings import ZSTD_LEVEL
from livefeed.document.exact_json import DeltaError
from livefeed.document.signature import Signed
from livefeed.document.snapshot import VERSION_DIGITS, Sequence, version_of
from livefeed.document.splices import apply_splices, make_verified_splices
from livefeed.document.stored_version import DamagedRecordError, check_format

FORMAT = 2
"""The number of the format that is written. The formats 0 and 1 are those of earlier files of versions, without a
chain: :mod:`livefeed.document.stored_version`."""

WHOLE_EVERY = 60
"""Versions from one whole document to the next, at most. A reader that seeks applies as many splices."""

MAX_LINE_BYTES = 8192
"""The longest line, in bytes, with its line feed. It bounds the search for the end of a line in a damaged file."""

MAX_TEXT, MAX_NAME = 300, 64
"""Characters of the longest text in a head, such as a reason, and of the longest name: escaped, each takes 6 bytes."""

MAX_SIGNED_BYTES = 1024
"""Size in bytes of the largest signed statement in a head. Those of livefeed have 430."""

MAX_DOCUMENT_BYTES = 256 * 1024 * 1024
"""Size in bytes of the largest document that is read. No feed can have a larger one."""

MAX_SPLICES_BYTES = 16 * 1024 * 1024
"""Size in bytes of the largest splices. Parsed, they take up to ten times the memory."""

MAX_AFTER_S = 366 * 86_400.0
"""The longest time in seconds from one record to the next: a year."""

MAX_AT = 253_402_300_800.0
"""The end of the year 9999, in seconds since 1970: later times have no text."""

MIN_CODED_BYTES = 128
"""The size in bytes of the smallest payload that is compressed."""

WORTH = 0.75
"""Splices are written if they have less than this part of the document's bytes."""

_BEGINNING = b'%b {"version":"' % (b"0" * VERSION_DIGITS)
_BEGINS = re.compile(rb'[0-9a-f]{32} \{"version":"')

Kind = Literal["beginning", "whole", "splices", "state", "end"]

_SPLICES: msgspec.json.Decoder[list[int | str]] = msgspec.json.Decoder(list[int | str])


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts about a version that are written beside it; see :class:`Head`."""

    sequence: Sequence = Sequence(0, 0)  # noqa: RUF009 - a frozen value
    at: float = 0.0
    boot: str = ""
    since_boot_s: float = 0.0
    state: str = ""
    rule: str = ""
    pointer: str = ""
    why: str = ""
    signed: Signed | None = None


class Head(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The head of a record. Members that have no meaning for a kind are left out.

    :ivar version: the hash of the document, see :func:`.snapshot.version_of`; empty for a record without a document.
    :ivar format: the number of the format.
    :ivar kind: ``beginning`` for the first record; ``whole`` and ``splices`` for a version; ``state`` for a state of
        the feed from here on; ``end`` for the last record.
    :ivar after_s: seconds since the record before, by a clock that is never set.
    :ivar bytes: the number of the payload's bytes.
    :ivar hash: the hash of the payload; empty if the payload is the document itself.
    :ivar coding: ``zstd``, if the payload is a zstd frame (RFC 8878).
    :ivar plain: the number of the payload's bytes without that coding; 0 without one.
    :ivar size: the number of the document's bytes; 0 if the payload is the document itself.
    :ivar epoch: the sequence of the version is ``epoch.number``.
    :ivar at: of the beginning, when that was; of a version, when a pull last gave it, as far as that was known. In
        seconds since 1970, by the wall clock.
    :ivar boot: the id of the machine's boot in which that was.
    :ivar since_boot_s: seconds from the start of the machine until then.
    :ivar state: the state of the feed from here on.
    :ivar rule: the rule that has refused the version.
    :ivar pointer: the place in the document that it has refused.
    :ivar why: the reason, for people.
    :ivar signed: the signed statement that came with the version, as the member of messages has it.
    :ivar feed: the feed that was recorded.
    :ivar source: where it was recorded from, without credentials.
    :ivar by: the program that has recorded it.
    :ivar versions: of the end, the number of versions before it.
    """

    version: str
    format: int
    kind: Kind
    after_s: float = 0.0
    bytes: int = 0
    hash: str = ""
    coding: Literal["", "zstd"] = ""
    plain: int = 0
    size: int = 0
    epoch: int = 0
    number: int = 0
    at: float = 0.0
    boot: str = ""
    since_boot_s: float = 0.0
    state: str = ""
    rule: str = ""
    pointer: str = ""
    why: str = ""
    signed: dict[str, str] | None = None
    feed: str = ""
    source: str = ""
    by: str = ""
    versions: int = 0

    @property
    def has_document(self) -> bool:
        """Whether the record is that of a version."""
        return self.kind in ("whole", "splices")

    @property
    def sequence(self) -> Sequence:
        """The sequence of the version."""
        return Sequence(self.epoch, self.number)

    @property
    def facts(self) -> Facts:
        """The facts about the version."""
        signed = Signed.of_member(self.signed)
        return Facts(
            self.sequence, self.at, self.boot, self.since_boot_s, self.state, self.rule, self.pointer, self.why, signed
        )


_HEAD = msgspec.json.Decoder(Head)


@dataclass(frozen=True, slots=True)
class Place:
    """A place between two records, on which the next one builds.

    :ivar chain: the hash in the line before; empty at the beginning of a file.
    :ivar document: the last document before; ``None`` if there is none, or if it was passed over.
    :ivar spliced: the number of records with splices since the last whole document.
    :ivar versions: the number of versions before.
    :ivar elapsed_s: seconds since the beginning.
    :ivar began_at: when the recording began, in seconds since 1970 by the wall clock.
    :ivar is_ended: whether the record before is the last one.
    """

    chain: bytes = b""
    document: bytes | None = None
    spliced: int = 0
    versions: int = 0
    elapsed_s: float = 0.0
    began_at: float = 0.0
    is_ended: bool = False

    @property
    def at(self) -> float:
        """The time of the last record, in seconds since 1970: that of the beginning, and the measured time since."""
        return self.began_at + self.elapsed_s


def encode_beginning(at: float, *, feed: str = "", source: str = "", by: str = "") -> tuple[bytes, Place]:
    """Gives the first record of a file, and the place behind it.

    :param at: when the recording begins, in seconds since 1970.
    :param feed: the feed.
    :param source: where it is recorded from, without credentials.
    :param by: the program that records it.
    """
    head = Head(
        version="",
        format=FORMAT,
        kind="beginning",
        at=at,
        feed=_short(feed, MAX_NAME),
        source=_short(source),
        by=_short(by, MAX_NAME),
    )
    return _record(Place(began_at=at), head, b"")


def encode_version(
    place: Place, data: bytes, after_s: float, facts: Facts | None = None, *, is_compact: bool = True
) -> tuple[bytes, Place]:
    """Gives the record of a version, and the place behind it.

    :param data: the document's bytes.
    :param after_s: seconds since the record before.
    :param is_compact: whether splices and compression make the record smaller. It takes 1 ms for 100 KB of rows, and
        without that as long as hashing the document.
    """
    facts = facts or Facts()
    kind: Kind = "whole"
    payload, coding, plain = data, "", 0
    if is_compact:
        splices = _splices(place, data)
        if splices is not None:
            kind, payload = "splices", splices
        coded = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(payload) if len(payload) >= MIN_CODED_BYTES else b""
        if 0 < len(coded) < len(payload):
            coding, plain, payload = "zstd", len(payload), coded
    is_bare = payload is data
    head = Head(
        version=version_of(data),
        format=FORMAT,
        kind=kind,
        after_s=_interval(after_s),
        bytes=len(payload),
        hash="" if is_bare else version_of(payload),
        coding="zstd" if coding else "",
        plain=plain,
        size=0 if is_bare else len(data),
        epoch=facts.sequence.epoch,
        number=facts.sequence.number,
        at=facts.at,
        boot=_short(facts.boot, MAX_NAME),
        since_boot_s=facts.since_boot_s,
        state=_short(facts.state, MAX_NAME),
        rule=_short(facts.rule, MAX_NAME),
        pointer=_short(facts.pointer),
        why=_short(facts.why),
        signed=_signed(facts.signed),
    )
    return _record(place, head, payload, data)


def _signed(signed: Signed | None) -> dict[str, str] | None:
    """Gives a statement for a head; ``None`` if it is too large for a line, as no livefeed makes it."""
    return None if signed is None or len(signed.member()) > MAX_SIGNED_BYTES else signed.value()


def encode_state(place: Place, state: str, after_s: float, why: str = "") -> tuple[bytes, Place]:
    """Gives the record of a state that the feed has from here on, and the place behind it."""
    head = Head(
        version="",
        format=FORMAT,
        kind="state",
        after_s=_interval(after_s),
        state=_short(state, MAX_NAME),
        why=_short(why),
    )
    return _record(place, head, b"")


def encode_end(place: Place, after_s: float) -> tuple[bytes, Place]:
    """Gives the last record, and the place behind it. Without one, a reader cannot tell a cut from an interruption."""
    head = Head(version="", format=FORMAT, kind="end", after_s=_interval(after_s), versions=place.versions)
    return _record(place, head, b"")


@dataclass(frozen=True, slots=True)
class Line:
    """The line of a record, as it was read.

    :ivar head: the head in it.
    :ivar chain: the hash in it.
    """

    head: Head
    chain: bytes


def read_line(place: Place, line: bytes) -> Line:
    """Reads the line of the record that follows a place, with its line feed.

    :raises DamagedRecordError: if it is not the line that was written there.
    :raises NewerFormatError: if it has a format that this livefeed does not know.
    """
    if not place.chain:
        check_format(line, FORMAT)
    digest, _, text = line.removesuffix(b"\n").partition(b" ")
    if not line.endswith(b"\n") or digest != _chained(place.chain, text):
        raise DamagedRecordError
    try:
        head = _HEAD.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise DamagedRecordError from None
    if not _is_possible(place, head):
        raise DamagedRecordError
    return Line(head, digest)


def pass_over(place: Place, line: Line) -> Place:
    """Gives the place behind a record whose payload is not read. Splices cannot be applied there."""
    return _behind(place, line.head, line.chain, None)


def read_document(place: Place, line: Line, payload: bytes, max_bytes: int = MAX_DOCUMENT_BYTES) -> tuple[bytes, Place]:
    """Gives the document of a record, and the place behind it.

    :param place: the place before the record.
    :param line: the line of a record with a document.
    :param payload: its payload, without the line feed behind it.
    :param max_bytes: the size in bytes of the largest document that is given.
    :raises DamagedRecordError: if it is not the document that was recorded.
    :raises TooLargeError: if it is larger than that.
    """
    head = line.head
    size = head.size or head.bytes
    if size > max_bytes:
        raise TooLargeError(size)
    if len(payload) != head.bytes or (head.hash and head.hash != version_of(payload)):
        raise DamagedRecordError
    data = payload
    if head.coding:
        data = _decompressed(data, head.plain)
    if head.kind == "splices":
        if place.document is None:
            raise DamagedRecordError
        try:
            data = apply_splices(place.document, _SPLICES.decode(data), size)
        except (msgspec.DecodeError, UnicodeDecodeError, DeltaError):
            raise DamagedRecordError from None
    if len(data) != size or version_of(data) != head.version:
        raise DamagedRecordError
    return data, _behind(place, head, line.chain, data)


def may_begin(line: bytes) -> bool:
    """Tells whether bytes may be the beginning of a line, of any number of bytes."""
    return _BEGINS.match(line + _BEGINNING[len(line) :]) is not None


class TooLargeError(ValueError):
    """A document is larger than the reader takes.

    :ivar size: its number of bytes.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


def _is_possible(place: Place, head: Head) -> bool:
    """Tells whether a head can follow a place. Only a program that is no livefeed writes others."""
    numbers = (head.bytes, head.plain, head.size, head.epoch, head.number, head.versions)
    most = MAX_SPLICES_BYTES if head.kind == "splices" else MAX_DOCUMENT_BYTES
    return (
        not place.is_ended
        and head.format == FORMAT
        and (head.kind == "beginning") is (not place.chain)
        and (head.bytes > 0) is head.has_document
        and (head.plain > 0) is bool(head.coding)
        and (head.kind != "end" or head.versions == place.versions)
        and min(numbers) >= 0
        and max(head.bytes, head.plain) <= most
        # So a reader that limits documents also limits what it decompresses and parses to get one.
        and (head.plain or head.bytes) <= (head.size or head.bytes)
        and 0 <= head.after_s <= MAX_AFTER_S
        and 0 <= head.at < MAX_AT
    )


def _record(place: Place, head: Head, payload: bytes, document: bytes | None = None) -> tuple[bytes, Place]:
    text = msgspec.json.encode(head)
    chain = _chained(place.chain, text)
    return b"%b %b\n%b\n" % (chain, text, payload), _behind(place, head, chain, document)


def _behind(place: Place, head: Head, chain: bytes, document: bytes | None) -> Place:
    if not place.chain:
        return Place(chain, began_at=head.at)
    elapsed_s = place.elapsed_s + head.after_s
    if not head.has_document:
        return replace(place, chain=chain, elapsed_s=elapsed_s, is_ended=head.kind == "end")
    spliced = place.spliced + 1 if head.kind == "splices" else 0
    return Place(chain, document, spliced, place.versions + 1, elapsed_s, place.began_at)


def _chained(chain: bytes, text: bytes) -> bytes:
    """Gives the hash of a line, which stands at its beginning."""
    return hashlib.sha256(chain + text).hexdigest()[:VERSION_DIGITS].encode()


def _splices(place: Place, data: bytes) -> bytes | None:
    """Gives the splices from the last document; ``None`` if the whole document is to be written."""
    if place.document is None or place.spliced + 1 >= WHOLE_EVERY:
        return None
    try:
        splices = make_verified_splices(place.document, data)
    except (DeltaError, UnicodeDecodeError):
        return None
    return splices if len(splices) < min(WORTH * len(data), MAX_SPLICES_BYTES) else None


def _decompressed(payload: bytes, size: int) -> bytes:
    """Gives the content of one zstd frame, of a known size.

    :raises DamagedRecordError: if it is none.
    """
    try:
        # The frame itself decides how much memory the library takes.
        if zstandard.get_frame_parameters(payload).content_size != size:
            raise DamagedRecordError
        data: bytes = zstandard.ZstdDecompressor().decompress(payload, max_output_size=size, allow_extra_data=False)
    except (zstandard.ZstdError, MemoryError):
        raise DamagedRecordError from None
    return data


def _interval(after_s: float) -> float:
    return round(min(max(after_s, 0.0), MAX_AFTER_S), 6)


def _short(text: str, length: int = MAX_TEXT) -> str:
    if len(text) <= length and text.isascii():
        return text
    # Half of a surrogate pair, as in names of files, cannot be written.
    return text[:length].encode("utf-8", "replace").decode()
