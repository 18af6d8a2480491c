"""``file:PATH``, a document in a file that somebody else rewrites."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote

from twisted.internet.threads import deferToThreadPool

from livefeed.exceptions import ConfigurationError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable
    from urllib.parse import SplitResult

    from twisted.internet.interfaces import IReactorThreads, IReactorTime


@dataclass(slots=True)
class FileSource:
    """Reads a file from its beginning each time, by its path, so that a file put in its place by rename is seen.

    Reading happens in a thread, since a file system may be a network's. A writer that does not rename can be caught
    with half of its work done: what changed while it was read is refused here, what is half a document by the gate.

    :ivar path: the file.
    :ivar max_bytes: how much is read at most.
    """

    # required parameters
    path: str
    reactor: IReactorThreads
    max_bytes: int

    # internal state
    _reading: bool = False

    @classmethod
    def from_url(cls, parts: SplitResult, *, reactor: IReactorTime, max_bytes: int) -> FileSource:
        """Makes the source of ``file:PATH`` (relative or absolute, percent-encoded) or ``file:///PATH``.

        :raises ConfigurationError: if there is no path, or more than a path.
        """
        if not parts.path or parts.query or parts.fragment or parts.netloc not in ("", "localhost"):
            raise ConfigurationError("file: takes a path, as in file:/srv/results.json; write ? as %3F", "source")
        path = unquote(parts.path, errors="surrogateescape")
        if "\0" in path:
            raise ConfigurationError("file: takes a path, and no path has %00 in it", "source")
        # Absolute at once: a daemon changes its directory.
        return cls(os.path.abspath(path), cast("IReactorThreads", reactor), max_bytes)

    def __str__(self) -> str:
        return f"file:{self.path}"

    def watch(self, changed: Callable[[], None]) -> None:
        """Source API."""

    async def fetch(self) -> bytes:
        """Source API."""
        if self._reading:
            raise SourceError("an earlier read still hangs")
        self._reading = True
        data: bytes = await deferToThreadPool(self.reactor, self.reactor.getThreadPool(), self._read)
        return data

    def close(self) -> None:
        """Source API."""

    def _read(self) -> bytes:
        try:
            return _read_whole(self.path, self.max_bytes + 1)
        except OSError as error:
            raise SourceError(f"cannot be read: {error.strerror or error}") from None
        finally:
            self._reading = False


def _read_whole(path: str, limit: int) -> bytes:
    # Non-blocking, since opening a named pipe would wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise SourceError("is not a regular file")
        chunks = []
        while limit > 0 and (chunk := os.read(descriptor, limit)):
            chunks.append(chunk)
            limit -= len(chunk)
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
        raise SourceError("was being written while it was read")
    return b"".join(chunks)
