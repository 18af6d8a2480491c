"""A file source in a directory of its own, whose work in threads is done when a test says so."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import SourceError
from livefeed.sources.file import FileSource

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BYTES = 100
"""The size in bytes of the largest document of the source."""


class QueuedCalls:
    """Takes the place of threads: runs their work in the calling thread, at once or when a test says so.

    :ivar immediate: whether work is done at once.
    :ivar queue: the work that has not been done yet.
    """

    def __init__(self) -> None:
        self.queue: list[Callable[[], object]] = []
        self.immediate = True

    def __call__(self, work: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        outcome: Deferred[Any] = Deferred()
        self.queue.append(lambda: maybeDeferred(work, *arguments).chainDeferred(outcome))
        if self.immediate:
            self.run()
        return outcome

    def run(self) -> None:
        while self.queue:
            self.queue.pop(0)()


class FileTestCase(SynchronousTestCase):
    """Has a source of the file ``results.json``, which does not exist yet."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.path = self.directory / "results.json"
        self.reactor = MemoryReactorClock()
        self.threads = QueuedCalls()
        self.source = FileSource(str(self.path), self.reactor, MAX_BYTES, self.threads)

    def fetch(self) -> Deferred[bytes]:
        return Deferred.fromCoroutine(self.source.fetch())

    def fetched(self) -> bytes:
        return self.successResultOf(self.fetch())

    def failed(self) -> str:
        return str(self.failureResultOf(self.fetch(), SourceError).value)
