"""Reads the files of versions of earlier releases, in the formats of :mod:`livefeed.document.stored_version`.

Rule: nothing is written in these formats. The journal reads such a file once, and writes it anew.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from livefeed.document.history import MAX_BYTES, VERSIONS
from livefeed.document.recording import FORMAT
from livefeed.document.stored_version import (
    MAX_HEAD_BYTES,
    DamagedRecordError,
    NewerFormatError,
    check_format,
    is_beginning_of_head,
    parse_head,
    stored_version,
)

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from livefeed.document.stored_version import StoredVersion

_LARGEST_FILES = 2
"""An earlier release let a file grow to as many times the size of the versions that it kept."""


def is_earlier(path: Path) -> bool:
    """Tells whether a file has one of these formats: its first line is a head without a hash in front.

    :raises OSError: if it cannot be read. A file that is missing has none of them.
    """
    try:
        with path.open("rb") as file:
            return file.read(1) == b"{"
    except FileNotFoundError:
        return False


def read_earlier(path: Path, max_version_bytes: int) -> tuple[list[StoredVersion], bool]:
    """Gives the versions before the first damage, and whether there is no damage.

    :param max_version_bytes: the size in bytes of the largest version that is read; larger ones are passed over.
    :raises NewerFormatError: if a record has a format of neither kind.
    :raises OSError: if the file cannot be read.
    """
    found: deque[StoredVersion] = deque(maxlen=VERSIONS + 1)
    with path.open("rb") as file:
        try:
            is_whole = _read(file, found, max_version_bytes)
        except DamagedRecordError:
            is_whole = False
        except NewerFormatError as error:
            # The records of this release have a hash in front.
            if error.format > FORMAT:
                raise
            is_whole = False
    return list(found), is_whole


def _read(file: BinaryIO, found: deque[StoredVersion], max_version_bytes: int) -> bool:
    while (line := file.readline(MAX_HEAD_BYTES)).endswith(b"\n"):
        head = parse_head(line)
        if head.bytes > _LARGEST_FILES * MAX_BYTES + max_version_bytes:
            return False
        data, end = file.read(head.bytes), file.read(1)
        if not end:
            # The process was killed while it wrote this version.
            return True
        version = stored_version(head, data)
        if end != b"\n":
            return False
        if len(data) <= max_version_bytes:
            found.append(version)
    # The heads of another format may be longer.
    check_format(line)
    # Or while it wrote this line, which is then the beginning of a head.
    return is_beginning_of_head(line)
