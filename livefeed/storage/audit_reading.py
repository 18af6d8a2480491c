"""Reads the last lines of the audit, without the rest of the file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec

from livefeed.storage.audit import MAX_LINE_BYTES

if TYPE_CHECKING:
    from pathlib import Path

MAX_ENTRIES = 1000
"""The number of entries that can be read. An operator reads the last dozens."""

MAX_READ_BYTES = 8 * 1024 * 1024
"""The number of bytes that are read of each file. 1000 entries have 0.3 MB; the longest ones are passed over then."""


def last_entries(path: Path, count: int) -> list[dict[str, Any]]:
    """Gives the last entries of the audit, the newest first. Lines that are damaged are passed over.

    :param path: the file. The one before is beside it, whose name ends with ``.1`` in addition.
    :param count: their number, at most :data:`MAX_ENTRIES`.
    :raises OSError: if a file is there and cannot be read.
    """
    count = max(0, min(count, MAX_ENTRIES))
    found: list[dict[str, Any]] = []
    for each in (path, path.with_name(f"{path.name}.1")):
        for line in reversed(_last_lines(each)):
            if len(found) == count:
                return found
            try:
                found.append(msgspec.json.decode(line, type=dict[str, Any]))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
    return found


def _last_lines(path: Path) -> list[bytes]:
    """Gives the last lines that are complete."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            begin = max(0, size - MAX_READ_BYTES)
            file.seek(begin)
            lines = file.read(MAX_READ_BYTES).split(b"\n")
    except FileNotFoundError:
        return []
    # The first one may be a part, and behind the last end of a line there is an incomplete one, or nothing.
    return [each for each in lines[1 if begin else 0 : -1] if len(each) <= MAX_LINE_BYTES]
