"""The records of ``watchers/``: 20 bytes for each event. ``watchers/record.go`` has the same numbers."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_RECORD = struct.Struct("<QIIHH")
_CHUNK_BYTES = _RECORD.size * 50_000


class Event(IntEnum):
    """The kind of a record."""

    CONNECTING = 1
    CONNECTED = 2
    RECEIVED = 3
    ANSWERED = 4
    CLOSED = 5
    SLOT = 6
    CONNECT_FAILED = 7
    REQUEST_FAILED = 8
    REFUSED = 9
    REVERTED = 10
    RETRIED = 11


CAUSES = ("other", "refused", "reset", "end", "timeout", "protocol", "close frame", "status")
"""The names of the causes of an end, by their numbers."""


class Record(NamedTuple):
    """One event.

    :ivar time_us: of CLOCK_MONOTONIC, in microseconds.
    :ivar watcher: the number of the watcher.
    :ivar detail: depends on the event: microseconds, milliseconds, the number of a document or of a cause.
    :ivar event: its kind, one of :class:`Event`.
    :ivar status: of HTTP, or the code of a close frame.
    """

    time_us: int
    watcher: int
    detail: int
    event: int
    status: int

    def pack(self) -> bytes:
        """Gives the bytes of the record."""
        return _RECORD.pack(*self)


def read(path: Path) -> Iterator[tuple[int, int, int, int, int]]:
    """Reads the records of a file, which are in the order of their times, as plain tuples: there are millions.

    The last record may be torn, if the process that wrote it was killed; it is left out.
    """
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield from _RECORD.iter_unpack(chunk[: len(chunk) // _RECORD.size * _RECORD.size])
