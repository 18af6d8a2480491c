"""The last versions of a document in a file, so that a restart loses neither them nor their order.

A second, small file says when a pull last gave the newest of them.

Rules: this file knows no feed. A version is written behind the others in one go, and what a killed process has left
half-done counts as not written. Nothing is given that is not what was kept, by its hash.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from livefeed.document.history import MAX_BYTES, VERSIONS
from livefeed.document.snapshot import Sequence, version_of
from livefeed.exceptions import JournalError

if TYPE_CHECKING:
    from pathlib import Path

MAX_HEAD_BYTES = 256
GROWTH = 2
"""The file is written anew when it is so many times as large as what is kept of it may be."""

MAX_CONFIRMATION_BYTES = 512
"""The longest record of a confirmation: a hash, a space and a head. A disk writes so much, one sector, as a whole."""

_FILE_MODE = 0o600
_HEAD_BEGIN = b'{"version"'


class _Head(msgspec.Struct, frozen=True):
    """The line in front of a version's bytes."""

    version: str
    epoch: int
    number: int
    at: float
    bytes: int
    boot: str = ""
    since_boot_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Kept:
    """A version as it is kept.

    :ivar data: the document's bytes.
    :ivar sequence: its place among the others.
    :ivar at: when a pull had last given it, as far as that was kept, in seconds since 1970.
    :ivar boot: the machine's start before that, by its id; empty where there is none.
    :ivar since_boot_s: so many seconds after that start it was.
    """

    data: bytes
    sequence: Sequence
    at: float
    boot: str = ""
    since_boot_s: float = 0.0


@dataclass(eq=False)
class Journal:
    """A file of versions, which one process has to itself.

    :param path: the file; beside it stands one with ``.lock`` behind its name, and one that ends in ``.confirmed``.
    :param max_version_bytes: larger versions are passed over when the file is read.
    :ivar damaged: where the file was put when it was opened, if it had damage in it; ``None`` if it had none. Half of a
        version at the end is none: a killed process leaves that.
    :ivar unconfirmed: the file of the last confirmation, if there was damage in it when the journal was opened, so that
        the newest version has the time at which it was kept; ``None`` if there was none.
    """

    # required parameters
    path: Path
    max_version_bytes: int

    damaged: Path | None = field(default=None, init=False)
    unconfirmed: Path | None = field(default=None, init=False)

    # internal state
    _kept: deque[Kept] = field(default_factory=deque)
    _kept_bytes: int = 0
    _file: BinaryIO | None = None
    _lock: BinaryIO | None = None
    _size: int = 0

    def open(self) -> list[Kept]:
        """Takes possession of the file, and gives what is in it, the oldest first.

        The newest has the time of its last confirmation, if that was kept.

        :raises JournalError: if another process has it, or it cannot be read or written.
        """
        check_folder(self.path.parent)
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = self._open(self.path.with_name(f"{self.path.name}.lock"))
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found, is_whole = self._read()
            if found:
                found[-1] = self._confirmed(found[-1])
            for kept in found:
                self._keep(kept)
            if not is_whole:
                # One such file at most: it is for a look at it, and nothing reads it again.
                self.damaged = self.path.replace(self.path.with_name(f"{self.path.name}.damaged"))
            # Half a version at its end, or too many at its beginning, are gone after this.
            self._write_anew()
        except BlockingIOError:
            self.close()
            raise JournalError(f"{self.path}: another process keeps its versions there") from None
        except OSError as error:
            self.close()
            raise JournalError(f"{error.filename or self.path}: {error.strerror or error}") from None
        return list(self._kept)

    def append(self, kept: Kept) -> None:
        """Writes a version behind the others. It survives the end of the process, though not that of the machine.

        :raises OSError: if that cannot be done, as on a full disk; the others are still there then.
        """
        if self._file is None:
            return
        self._keep(kept)
        record = _record(kept)
        if self._size + len(record) > GROWTH * (MAX_BYTES + len(record)):
            self._write_anew()
            return
        written = self._file.write(record)
        self._size += written
        if written < len(record):
            # A full disk: what comes next is to begin on a new line.
            self._write_anew()

    def confirm(self, kept: Kept) -> None:
        """Writes when a pull last gave a version that is kept, in the place of what was written before.

        It takes 20 µs, and no room of a full disk once it was done: the file stays as large as it is.

        :raises OSError: if that cannot be done.
        """
        if self._file is None:
            return
        head = _head(kept)
        record = b"%b %b\n" % (version_of(head).encode(), head)
        with self._open(self._confirmation) as file:
            # Over the old one. A longer one leaves its end behind, which is no longer on the first line.
            if file.write(record) < len(record):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._confirmation))

    def close(self) -> None:
        """Lets go of the file."""
        for file in (self._file, self._lock):
            if file is not None:
                file.close()
        self._file = self._lock = None

    def _keep(self, kept: Kept) -> None:
        self._kept.append(kept)
        self._kept_bytes += len(kept.data)
        while len(self._kept) > VERSIONS + 1 or self._kept_bytes > MAX_BYTES + len(kept.data):
            self._kept_bytes -= len(self._kept.popleft().data)

    @property
    def _confirmation(self) -> Path:
        return self.path.with_suffix(".confirmed")

    def _confirmed(self, newest: Kept) -> Kept:
        """Gives the newest version with the time of its last confirmation, if that was kept."""
        self.unconfirmed = None
        try:
            with self._confirmation.open("rb") as file:
                line = file.readline(MAX_CONFIRMATION_BYTES)
        except FileNotFoundError:
            return newest
        digest, _, head = line.removesuffix(b"\n").partition(b" ")
        try:
            said = msgspec.json.decode(head, type=_Head)
        except (msgspec.DecodeError, UnicodeDecodeError):
            said = None
        if said is None or digest != version_of(head).encode():
            # An empty one was made by a process that was killed before it wrote.
            self.unconfirmed = self._confirmation if line else None
            return newest
        sequence = newest.sequence
        if (said.version, said.epoch, said.number) != (version_of(newest.data), sequence.epoch, sequence.number):
            # The version was kept, and the process killed, before there was another confirmation.
            return newest
        return replace(newest, at=said.at, boot=said.boot, since_boot_s=said.since_boot_s)

    def _read(self) -> tuple[list[Kept], bool]:
        """Gives the versions up to the first damage, and whether there is none."""
        found: deque[Kept] = deque(maxlen=VERSIONS + 1)
        if not self.path.exists():
            return [], True
        with self.path.open("rb") as file:
            while (line := file.readline(MAX_HEAD_BYTES)).endswith(b"\n"):
                try:
                    head = msgspec.json.decode(line, type=_Head)
                except (msgspec.DecodeError, UnicodeDecodeError):
                    return list(found), False
                if head.at < 0 or not 0 < head.bytes <= GROWTH * MAX_BYTES + self.max_version_bytes:
                    return list(found), False
                data = file.read(head.bytes)
                end = file.read(1)
                if not end:
                    # The process was killed while it wrote this version.
                    return list(found), True
                if end != b"\n" or version_of(data) != head.version:
                    return list(found), False
                if len(data) <= self.max_version_bytes:
                    sequence = Sequence(head.epoch, head.number)
                    found.append(Kept(data, sequence, head.at, head.boot, head.since_boot_s))
        # Or this line: then it is the beginning of one.
        return list(found), len(line) < MAX_HEAD_BYTES and _HEAD_BEGIN.startswith(line[: len(_HEAD_BEGIN)])

    def _write_anew(self) -> None:
        """Puts a file in the place of the old one that holds what is kept."""
        new = self.path.with_name(f"{self.path.name}.new")
        with self._open(new) as file:
            file.truncate()
            for kept in self._kept:
                record = _record(kept)
                if file.write(record) < len(record):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(new))
        new.replace(self.path)
        if self._file is not None:
            self._file.close()
        self._file = self._open(self.path)
        self._size = self._file.seek(0, os.SEEK_END)

    @staticmethod
    def _open(path: Path) -> BinaryIO:
        # Unbuffered: what is written is the system's at once, whatever becomes of the process.
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


def _record(kept: Kept) -> bytes:
    return b"%b\n%b\n" % (_head(kept), kept.data)


def _head(kept: Kept) -> bytes:
    """Gives the line in front of a version's bytes, without its end."""
    numbers = kept.sequence.epoch, kept.sequence.number
    head = _Head(version_of(kept.data), *numbers, kept.at, len(kept.data), kept.boot, kept.since_boot_s)
    return msgspec.json.encode(head)
