"""The decisions about a feed in a file, so that a restart does not show what an operator has withdrawn.

The file is one line, and behind it the document that is shown, if the decision is about one. The line is the hash of a
JSON object, a space, and the object, which has the document's hash.

Rules: the file is replaced in one step, and a write returns once it survives a loss of power. A damaged file is never
taken for one without decisions. A file that a newer livefeed has written in another format is neither used nor changed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping  # noqa: TC003 - msgspec reads the annotation
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import msgspec

from livefeed.document.overlay import Edit  # noqa: TC001 - msgspec reads the annotation
from livefeed.document.snapshot import Sequence, version_of
from livefeed.document.stored_version import StoredVersion
from livefeed.exceptions import DeskError, newer_format
from livefeed.storage.files import Files, SystemFiles

if TYPE_CHECKING:
    from pathlib import Path

Kind = Literal["hold", "pin", "withdraw", "end"]
"""The kinds of decisions."""

FORMAT = 1
"""The number of the format that is written. A new member needs no new number: readers pass over those they do not know.
"""

MAX_LINE_BYTES = 4 * 1024 * 1024
"""The longest first line, in bytes. It has the texts of an operator."""

MAX_FILE_BYTES = MAX_LINE_BYTES + 256 * 1024 * 1024
"""The largest file, in bytes: the longest line, and the largest document that the settings allow."""

_NUMBERED = re.compile(rb'[0-9a-f]{32} \{"livefeed":"desk","format":(\d{1,9})')


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision of an operator about a feed, which holds until the next one.

    :ivar kind: ``hold``: the version that is shown stays; ``pin``: an earlier version is shown; ``withdraw``: nothing
        is shown; ``end``: the version that is shown is the last one.
    :ivar reason: the operator's text for watchers; may be empty.
    :ivar by: the name under which the operator had access.
    :ivar at: when it was made, in seconds since 1970.
    :ivar version: the version that a ``pin`` is about; ``None`` for the others.
    """

    kind: Kind
    reason: str
    by: str
    at: float
    version: str | None = None


@dataclass(frozen=True, slots=True)
class DeskRecord:
    """All that is kept of a desk.

    :ivar decision: the decision in force; ``None`` for none.
    :ivar released: for each rule that holds nothing for a time, when that ends, in seconds since 1970.
    :ivar shown: the version that is shown as long as the decision is in force; ``None`` if any may be, or none.
    :ivar overlay: the entries of the overlay.
    :ivar marks: pointers to the values of an editor in the version that is shown.
    """

    decision: Decision | None = None
    released: Mapping[str, float] = field(default_factory=dict)
    shown: StoredVersion | None = None
    overlay: tuple[Edit, ...] = ()
    marks: tuple[str, ...] = ()


class _Shown(msgspec.Struct, frozen=True, kw_only=True):
    """The version that is shown; see :class:`.StoredVersion`. Its document is behind the line."""

    version: str
    epoch: int
    number: int
    at: float
    boot: str = ""
    since_boot_s: float = 0.0


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    """The object on the first line. The first two members stay the first two in every format."""

    livefeed: Literal["desk"] = "desk"
    format: int = FORMAT
    decision: Decision | None = None
    released: dict[str, float] = {}
    shown: _Shown | None = None
    overlay: tuple[Edit, ...] = ()
    marks: tuple[str, ...] = ()


@dataclass(slots=True)
class DeskFile:
    """The file of one feed. The lock of the feed's journal guards it, too.

    :param path: the file. A new one is written beside it, whose name ends with ``.new`` in addition.
    :param files: the calls of the system.
    """

    # required parameters
    path: Path
    files: Files = field(default_factory=SystemFiles)

    def read(self) -> DeskRecord:
        """Reads the record; one without decisions if there is no file.

        :raises DeskError: if the file is damaged, has the format of a newer livefeed, or cannot be read.
        """
        try:
            if not self.path.exists():
                return DeskRecord()
            with self.path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise DeskError(f"{error.filename or self.path}: {error.strerror or error}") from None
        numbered = _NUMBERED.match(data)
        if numbered is not None and int(numbered[1]) > FORMAT:
            remedy = (
                f"move the file away; the feed then starts without decisions: what {self.path.name} withdraws is shown"
            )
            raise DeskError(newer_format(self.path, int(numbered[1]), FORMAT, remedy))
        record = _record_of(data)
        if record is None:
            raise DeskError(f"{self.path}: is damaged", is_damaged=True)
        return record

    def write(self, record: DeskRecord) -> None:
        """Replaces the file. It takes some milliseconds, or as long as the disk hangs.

        :raises OSError: if that fails, as on a full disk. The file is as it was then.
        """
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self.path.with_name(f"{self.path.name}.new")
        fd = self.files.open(new)
        try:
            self.files.truncate(fd, 0)
            self.files.write(fd, _pieces_of(record), 0)
            self.files.sync(fd)
        finally:
            os.close(fd)
        self.files.rename(new, self.path)
        self.files.sync_folder(self.path.parent)


def _pieces_of(record: DeskRecord) -> list[bytes]:
    shown = record.shown
    facts = None
    if shown is not None:
        facts = _Shown(
            version=version_of(shown.data),
            epoch=shown.sequence.epoch,
            number=shown.sequence.number,
            at=shown.at,
            boot=shown.boot,
            since_boot_s=shown.since_boot_s,
        )
    line = msgspec.json.encode(
        _Line(
            decision=record.decision,
            released=dict(record.released),
            shown=facts,
            overlay=record.overlay,
            marks=record.marks,
        )
    )
    first = b"%b %b\n" % (version_of(line).encode(), line)
    return [first] if shown is None else [first, shown.data]


def _record_of(data: bytes) -> DeskRecord | None:
    """Reads the bytes of a file.

    :returns: ``None`` if they are not those that were written.
    """
    first, end, document = data.partition(b"\n")
    digest, _, line = first.partition(b" ")
    if not end or digest != version_of(line).encode():
        return None
    try:
        read = msgspec.json.decode(line, type=_Line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    facts, shown = read.shown, None
    if (facts.version if facts else "") != (version_of(document) if document else ""):
        return None
    if facts is not None:
        sequence = Sequence(facts.epoch, facts.number)
        shown = StoredVersion(document, sequence, facts.at, facts.boot, facts.since_boot_s)
    return DeskRecord(read.decision, read.released, shown, read.overlay, read.marks)
