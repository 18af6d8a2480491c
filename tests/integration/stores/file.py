"""A file and its writer: no server can die here, but a writer can."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.integration.store import InFile, registered

if TYPE_CHECKING:
    from io import FileIO
    from pathlib import Path


@registered("file")
class FileStore(InFile):
    """The file itself."""

    says_hanging = "the document is not JSON"
    says_dead = says_missing = "cannot be read: No such file or directory"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, directory / "data" / "document.json")
        self._rest = b""  # the bytes that are not yet written
        self._writer: FileIO | None = None

    def source(self, port: int | None) -> str:
        """Store API."""
        return f"file:{self._file}"

    def start(self) -> None:
        """Makes the folder of the file."""
        self._file.parent.mkdir()

    def kill(self) -> None:
        """Takes the folder away, as when a disk is unmounted."""
        shutil.rmtree(self._file.parent)

    def pause(self) -> None:
        """Begins to write the file in place, and does not go on."""
        written = self._file.read_bytes()
        half = len(written) // 2
        self._rest = written[half:]
        self._writer = self._file.open("wb", buffering=0)
        self._writer.write(written[:half])

    def resume(self) -> None:
        """Writes the rest."""
        assert self._writer is not None
        self._writer.write(self._rest)
        self.close()

    def close(self) -> None:
        """Store API."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
