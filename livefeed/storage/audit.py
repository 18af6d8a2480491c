"""The audit: one line of JSON for each command of an operator, in a file that only grows.

Rules: a line is appended in one write, and an append returns once the line survives a loss of power. A line that a
killed process left incomplete is ended before the next one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

import msgspec

from livefeed.storage.files import Files, SystemFiles

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAX_FILE_BYTES = 64 * 1024 * 1024
"""The size in bytes from which on a new file begins: some 200,000 commands. The one before is kept beside it."""

MAX_LINE_BYTES = 64 * 1024
"""The longest line in bytes, without its end. The content of a command is not longer."""


@dataclass(slots=True, eq=False)
class AuditLog:
    """The file. Threads may append at the same time.

    :param path: the file. The one before is beside it, whose name ends with ``.1`` in addition.
    :param files: the calls of the system.
    """

    # required parameters
    path: Path
    files: Files = field(default_factory=SystemFiles)

    # internal state
    _lock: Lock = field(default_factory=Lock)

    def append(self, entry: Mapping[str, Any]) -> None:
        """Appends a line. It takes some milliseconds, or as long as the disk hangs.

        :param entry: the members of the object.
        :raises OSError: if that fails, as on a full disk.
        """
        line = msgspec.json.encode(entry)
        if len(line) > MAX_LINE_BYTES:
            brief = {key: value for key, value in entry.items() if key != "arguments"}
            line = msgspec.json.encode({**brief, "arguments": "too long to be kept"})
        with self._lock:
            self._append(line + b"\n")

    def _append(self, line: bytes) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = self.files.open(self.path)
        try:
            size = os.lseek(fd, 0, os.SEEK_END)
            if size >= MAX_FILE_BYTES:
                self.files.rename(self.path, self.path.with_name(f"{self.path.name}.1"))
                os.close(fd)
                fd = self.files.open(self.path)
                size = 0
            is_torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
            self.files.write(fd, (b"\n", line) if is_torn else (line,), size)
            self.files.sync(fd)
        finally:
            os.close(fd)
        if not size:
            self.files.sync_folder(self.path.parent)
