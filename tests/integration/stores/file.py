"""A file, and whoever writes it: there is no server that could die, but there are writers who do."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.integration.harness import replace_file
from tests.integration.store import EXACT, LARGE, Store, registered

if TYPE_CHECKING:
    from io import FileIO
    from pathlib import Path


@registered("file")
class FileStore(Store):
    """A file that is replaced by rename, when all is well."""

    says_hanging = "the document is not JSON"
    says_dead = says_missing = "cannot be read: No such file or directory"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._file = directory / "data" / "document.json"
        self._written = b""
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
        self._writer = self._file.open("wb", buffering=0)
        self._writer.write(self._written[: len(self._written) // 2])

    def resume(self) -> None:
        """Ends what was begun."""
        assert self._writer is not None
        self._writer.write(self._written[len(self._written) // 2 :])
        self.close()

    def close(self) -> None:
        """Store API."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def document(self, number: int) -> bytes:
        """Store API."""
        return EXACT % number

    def put(self, number: int) -> None:
        """Store API."""
        self._written = self.document(number)
        replace_file(self._file, self._written)

    def put_large(self) -> None:
        """Store API."""
        replace_file(self._file, LARGE)

    def remove(self) -> None:
        """Store API."""
        self._file.unlink()
