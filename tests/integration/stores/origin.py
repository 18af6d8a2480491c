"""An HTTP origin: nginx, with a file of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.harness import HOST
from tests.integration.origin_store import OriginStore
from tests.integration.store import InFile, registered

if TYPE_CHECKING:
    from pathlib import Path


@registered("http")
class HttpStore(InFile):
    """A file, as nginx answers with it."""

    has_middle = True
    says_missing = "the origin answers 404"
    flood = b"HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, directory / "origin" / "www" / "document.json")
        self._origin = OriginStore(directory)

    @property
    def servers(self) -> list[OriginStore]:
        """Store API."""
        return [self._origin]

    def source(self, port: int | None) -> str:
        """Store API."""
        return f"http://{HOST}:{port}/document.json"
