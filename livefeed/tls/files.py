"""PEM files: read from disk, or given as bytes by another process that may read them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from livefeed.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_FILES = 1024
"""Upper limit of the ``.pem`` files in a folder and those below it. A folder with more was given by mistake."""

MAX_FILE_BYTES = 1024 * 1024
"""Upper limit of the bytes in a file. A file of certificates has some kilobytes."""


class PemFiles(Protocol):
    """The files of certificates and private keys, as far as they are read."""

    def read(self, path: Path) -> bytes:
        """Reads a file.

        :raises ConfigurationError: if it cannot be read or is too large; the message names the file.
        """

    def list(self, folder: Path) -> list[Path]:
        """Gives the ``.pem`` files in a folder and in those below it, in order.

        :raises ConfigurationError: if a folder cannot be read, or there are too many.
        """

    def is_folder(self, path: Path) -> bool:
        """Tells whether a path is that of a folder."""

    def stamp(self, path: Path) -> object:
        """Gives a value that differs after a file was changed or replaced.

        :raises ConfigurationError: if the file cannot be looked at.
        """


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """The files of this machine."""

    def read(self, path: Path) -> bytes:
        """PemFiles API."""
        try:
            with path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror}") from None
        if len(data) > MAX_FILE_BYTES:
            raise ConfigurationError(f"{path}: is larger than {MAX_FILE_BYTES} bytes")
        return data

    def list(self, folder: Path) -> list[Path]:
        """PemFiles API."""
        found: list[Path] = []
        entered: set[str] = set()
        for parent, folders, names in os.walk(folder, onerror=_unreadable, followlinks=True):
            entered.add(os.path.realpath(parent))
            # Kubernetes puts the files of a secret into a folder "..TIME" and links to it; a link may lead upwards.
            folders[:] = [
                name
                for name in folders
                if not name.startswith("..") and os.path.realpath(Path(parent, name)) not in entered
            ]
            found += [Path(parent, name) for name in names if name.endswith(".pem")]
            if len(found) > MAX_FILES or len(entered) > MAX_FILES:
                raise ConfigurationError(f"{folder}: there are more than {MAX_FILES} .pem files or folders in it")
        return sorted(found)

    def is_folder(self, path: Path) -> bool:
        """PemFiles API."""
        return path.is_dir()

    def stamp(self, path: Path) -> object:
        """PemFiles API."""
        try:
            status = path.stat()
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror}") from None
        # The time of the last change of mode and owner, too: a file may become readable.
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@dataclass(frozen=True, slots=True)
class GivenFiles:
    """Files that another process has read.

    :ivar contents: their bytes, by absolute path.
    """

    contents: Mapping[Path, bytes]

    def read(self, path: Path) -> bytes:
        """PemFiles API."""
        if path not in self.contents:
            raise ConfigurationError(f"{path}: was not passed on")
        return self.contents[path]

    def list(self, folder: Path) -> list[Path]:
        """PemFiles API."""
        return sorted(path for path in self.contents if folder in path.parents and path.suffix == ".pem")

    def is_folder(self, path: Path) -> bool:
        """PemFiles API."""
        return any(path in each.parents for each in self.contents)

    def stamp(self, path: Path) -> object:
        """PemFiles API."""
        return self.read(path)


def _unreadable(error: OSError) -> None:
    raise ConfigurationError(f"{error.filename}: {error.strerror}") from None
