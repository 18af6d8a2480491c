"""An HTTP origin: nginx, with a file of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.harness import HOST, replace_file
from tests.integration.origin_store import OriginStore
from tests.integration.store import Store, registered

if TYPE_CHECKING:
    from pathlib import Path


@registered("http")
class HttpStore(Store):
    """A file, as nginx answers with it."""

    has_middle = True
    flood = b"HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._origin = OriginStore(directory)
        self._file = directory / "origin" / "www" / "document.json"

    @property
    def port(self) -> int:
        """Store API."""
        return self._origin.port

    def source(self, port: int | None) -> str:
        """Store API."""
        return f"http://{HOST}:{port}/document.json"

    def start(self) -> None:
        """Store API."""
        self._origin.start()

    def kill(self) -> None:
        """Store API."""
        self._origin.kill()

    def pause(self) -> None:
        """Store API."""
        self._origin.pause()

    def resume(self) -> None:
        """Store API."""
        self._origin.resume()

    def close(self) -> None:
        """Store API."""
        self._origin.__exit__()

    def document(self, number: int) -> bytes:
        """Store API."""
        return b'\t{"n": %d,\r\n "a" : 1.50, "b":12345678901234567890, "c":"\xc3\xbc\\u00fc"} \n' % number

    def put(self, number: int) -> None:
        """Store API."""
        replace_file(self._file, self.document(number))

    def put_large(self) -> None:
        """Store API."""
        replace_file(self._file, b"[" + b"1," * 5_000_000 + b"1]")

    def remove(self) -> None:
        """Store API."""
        self._file.unlink()
