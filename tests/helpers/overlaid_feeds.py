"""A feed with a source in memory, a desk and its file, on which every operation ends at once."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from livefeed.document.rules import Rules
from livefeed.feed.feed import Feed
from livefeed.intake.overlaying import OverlayChange
from livefeed.intake.puller import Puller
from livefeed.storage.desk_file import DeskFile
from livefeed.testing import MemorySource
from tests.helpers.desks import RecordingAudit, desk_of

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from livefeed.intake.desk import Desk

MAX_BYTES = 100_000


@dataclass(eq=False)
class OverlaidFeed:
    """A feed whose overlay changes.

    :param rules: the rules of the feed.
    """

    # required parameters
    rules: Rules = field(default_factory=Rules)

    # internal state
    clock: Clock = field(default_factory=Clock)
    audit: RecordingAudit = field(default_factory=RecordingAudit)
    feed: Feed = field(init=False)
    desk: Desk = field(init=False)
    max_bytes: int = MAX_BYTES
    _folder: tempfile.TemporaryDirectory[str] = field(default_factory=tempfile.TemporaryDirectory)
    _source: MemorySource = field(init=False)
    _puller: Puller = field(init=False)

    def __post_init__(self) -> None:
        self.clock.advance(1000.0)
        self.start()

    def start(self) -> None:
        """Starts with nothing but the file of the process before."""
        self.feed = Feed("results", clock=self.clock)
        self._source = MemorySource()
        file = DeskFile(Path(self._folder.name) / "results.desk")
        self.desk = desk_of(self.feed, file=file, audit=self.audit, rules=self.rules)
        self._puller = Puller(self.feed, self._source, clock=self.clock, max_bytes=self.max_bytes, desk=self.desk)
        self.desk.open()
        self.desk.begin()

    def close(self) -> None:
        """Removes the file."""
        self._folder.cleanup()

    def pull(self, document: bytes) -> None:
        """Pulls a document."""
        self.clock.advance(1)
        self._source.answers.append(document)
        _result(self._puller.tick())

    def run(self, command: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
        """Runs a command, and gives its answer.

        :raises CommandError: if it failed.
        """
        answer: dict[str, Any] = _result(command)
        return answer

    def edit(self, action: str, *texts: str | None) -> dict[str, Any]:
        """Changes the overlay.

        :param texts: the pointer, the value and the expected value, as far as there are any.
        """
        return self.run(self.desk.edit_overlay(OverlayChange(action, *texts), by="ada"))  # type: ignore[arg-type]

    def take_rules(self, rules: Rules) -> None:
        """Takes other rules, as a reload does."""
        self.rules = rules
        _result(_awaited(self.desk.take_rules(rules)))

    @property
    def shown(self) -> bytes | None:
        """The document that watchers are shown."""
        return None if self.feed.snapshot is None or self.feed.is_gone() else self.feed.snapshot.data

    @property
    def waiting(self) -> bytes | None:
        """The document that waits."""
        return None if self.desk.waiting is None else self.desk.waiting.data

    @property
    def marks(self) -> tuple[str, ...]:
        """The pointers that watchers are told."""
        return self.feed.told.overlay


async def _awaited(deferred: Deferred[None]) -> None:
    await deferred


def _result(work: Coroutine[Any, Any, Any]) -> Any:
    results: list[Any] = []
    errors: list[Any] = []
    Deferred.fromCoroutine(work).addCallbacks(results.append, errors.append)
    if errors:
        errors[0].raiseException()
    (result,) = results
    return result
