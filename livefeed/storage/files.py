"""The calls of the system that decide whether a write survives a crash, in one place so that a test can record them."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_FILE_MODE = 0o600


class Files(Protocol):
    """The calls. All of them raise ``OSError``."""

    def open(self, path: Path) -> int:
        """Opens a file for reading and writing, makes it if there is none, and gives its descriptor."""

    def write(self, fd: int, pieces: Iterable[bytes], offset: int) -> int:
        """Writes pieces of bytes one after another from an offset on, all of them, and gives their number of bytes."""

    def truncate(self, fd: int, size: int) -> None:
        """Cuts a file to a size in bytes."""

    def sync(self, fd: int) -> None:
        """Returns once the bytes of a file, and its size, survive a loss of power."""

    def rename(self, old: Path, new: Path) -> None:
        """Puts a file in the place of another one, in one step."""

    def sync_folder(self, path: Path) -> None:
        """Returns once the names in a folder survive a loss of power."""


class SystemFiles:
    """The calls of the operating system."""

    def open(self, path: Path) -> int:
        """Files API."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _FILE_MODE)

    def write(self, fd: int, pieces: Iterable[bytes], offset: int) -> int:
        """Files API."""
        start = offset
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                # A disk with little space takes a part, and the next call says why.
                written = os.pwrite(fd, rest, offset)
                if not written:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                offset += written
                rest = rest[written:]
        return offset - start

    def truncate(self, fd: int, size: int) -> None:
        """Files API."""
        os.ftruncate(fd, size)

    def sync(self, fd: int) -> None:
        """Files API."""
        os.fsync(fd)

    def rename(self, old: Path, new: Path) -> None:
        """Files API."""
        old.replace(new)

    def sync_folder(self, path: Path) -> None:
        """Files API."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
