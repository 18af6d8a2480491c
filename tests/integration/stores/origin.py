"""An HTTP origin: nginx, with a file of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.harness import HOST, replace_file
from tests.integration.origin_store import OriginStore
from tests.integration.store import EXACT, LARGE, Store, registered

if TYPE_CHECKING:
    from pathlib import Path


@registered("http")
class HttpStore(Store):
    """A file, as nginx answers with it."""

    has_middle = True
    says_missing = "the origin answers 404"
    flood = b"HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._origin = OriginStore(directory)
        self._file = directory / "origin" / "www" / "document.json"

    @property
    def servers(self) -> list[OriginStore]:
        """Store API."""
        return [self._origin]

    def source(self, port: int | None) -> str:
        """Store API."""
        return f"http://{HOST}:{port}/document.json"

    def document(self, number: int) -> bytes:
        """Store API."""
        return EXACT % number

    def put(self, number: int) -> None:
        """Store API."""
        replace_file(self._file, self.document(number))

    def put_large(self) -> None:
        """Store API."""
        replace_file(self._file, LARGE)

    def remove(self) -> None:
        """Store API."""
        self._file.unlink()
