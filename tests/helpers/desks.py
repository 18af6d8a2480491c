"""Desks of feeds, for tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import CommandError
from livefeed.feed.feed import Feed
from livefeed.intake.desk import Desk
from livefeed.intake.puller import Puller
from livefeed.storage.desk_file import DeskFile
from livefeed.testing import MemorySource

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

NOW = 1000.0


def desk_of(feed: Feed, *, in_thread: Any = maybeDeferred, **more: Any) -> Desk:
    """Makes the desk of a feed, by whose clock everything is measured.

    :param more: further arguments of ``Desk.of``.
    """
    return Desk.of(feed, feed.clock, in_thread, feed.clock.seconds, **more)


@dataclass(slots=True)
class RecordingAudit:
    """An audit in memory.

    :ivar fails: whether the disk refuses the next lines.
    """

    entries: list[Mapping[str, Any]] = field(default_factory=list)
    fails: bool = False

    def append(self, entry: Mapping[str, Any]) -> None:
        """Audit API."""
        if self.fails:
            raise OSError(28, "No space left on device")
        self.entries.append(entry)


class DeskTestCase(SynchronousTestCase):
    """A feed that a puller pulls from a list of documents, and its desk."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        directory = TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = Path(directory.name)
        self.audit = RecordingAudit()
        self.in_thread: Any = maybeDeferred
        self.start()

    def start(self, **more: Any) -> None:
        """Starts a feed with nothing but the files of the one before."""
        self.feed = Feed("results", clock=self.clock)
        self.source = MemorySource()
        file = DeskFile(self.folder / "results.desk")
        self.desk = desk_of(self.feed, file=file, audit=self.audit, in_thread=self.call_in_thread, **more)
        self.puller = Puller(self.feed, self.source, clock=self.clock, max_bytes=1000, desk=self.desk)
        self.desk.open()
        self.desk.begin()

    def call_in_thread(self, *work: Any) -> Deferred[Any]:
        result: Deferred[Any] = self.in_thread(*work)
        return result

    def pull(self, *documents: bytes) -> None:
        """Pulls documents, one in each second."""
        for each in documents:
            self.clock.advance(1)
            self.source.answers.append(each)
            self.successResultOf(Deferred.fromCoroutine(self.puller.tick()))

    def run_command(self, command: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
        return self.successResultOf(Deferred.fromCoroutine(command))

    def refused(self, command: Coroutine[Any, Any, dict[str, Any]]) -> str:
        return str(self.failureResultOf(Deferred.fromCoroutine(command), CommandError).value)

    def shown(self) -> bytes | None:
        """Gives the document that watchers are shown; ``None`` for none."""
        return None if self.feed.snapshot is None or self.feed.is_gone() else self.feed.snapshot.data
