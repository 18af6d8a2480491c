"""The decisions of a desk on their way to the disk, each with its line in the audit.

Rules: a decision takes effect only once it is durable. If the disk refuses it, nothing has changed, there neither.
If the disk does not answer in time, the command has failed; a write that succeeds after that is taken back.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred, TimeoutError  # noqa: A004
from twisted.logger import Logger
from twisted.python.failure import Failure

from livefeed.exceptions import CommandError
from livefeed.storage.desk_file import DeskRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from twisted.internet.interfaces import IReactorTime

WRITE_S = 3.0
"""Seconds that the disk has for a command. Pulls wait meanwhile; a feed becomes stale after four at the earliest."""

MAX_NOTES = 16
"""The number of lines about failed commands that wait for the disk. Further ones are only logged."""

_log = Logger()


class Records(Protocol):
    """The file of a desk."""

    @property
    def path(self) -> Path:
        """The file."""

    def read(self) -> DeskRecord:
        """Reads the record.

        :raises DeskError: if that fails.
        """

    def write(self, record: DeskRecord) -> None:
        """Replaces the record.

        :raises OSError: if that fails; the record is the one before then.
        """


class Audit(Protocol):
    """The audit of all commands."""

    def append(self, entry: Mapping[str, Any]) -> None:
        """Appends an entry.

        :raises OSError: if that fails.
        """


@dataclass(slots=True, eq=False)
class Keeping:
    """Keeps the decisions of one feed.

    :param feed: the name of the feed, for the log.
    :param in_thread: calls a function in a thread.
    :param file: the file; ``None`` if a restart forgets the decisions.
    :param audit: the audit; ``None`` for none.
    :ivar record: the record on the disk.
    """

    # required parameters
    feed: str
    clock: IReactorTime
    in_thread: Callable[..., Deferred[Any]]
    file: Records | None = None
    audit: Audit | None = None

    # internal state
    record: DeskRecord = field(default_factory=DeskRecord)
    _is_late: bool = False  # whether a write has not ended in time, and is to be taken back
    _notes: int = 0

    async def store(self, record: DeskRecord, entry: Mapping[str, Any]) -> None:
        """Writes a record, and the line of the command that it follows from.

        :raises CommandError: if that fails. The record is the one before then.
        """
        if self._is_late:
            raise CommandError("the disk has still not answered an earlier command; nothing has changed")
        outcome: Deferred[None] = Deferred()
        try:
            writing = self.in_thread(self._write, self.record, record, entry)
        except OSError as error:
            raise CommandError(f"the command cannot be kept, and has no effect: {error.strerror or error}") from None
        writing.addBoth(self._note_end, outcome, self.record)
        try:
            await outcome.addTimeout(WRITE_S, self.clock)
        except TimeoutError:
            self._is_late = True
            why = f"the disk has not answered for {WRITE_S:g} s: the command has no effect, now or after a restart"
            raise CommandError(why) from None
        except OSError as error:
            why = f"{error.filename or self._place}: {error.strerror or error}"
            raise CommandError(f"the command cannot be kept, and has no effect: {why}") from None
        self.record = record

    def note(self, entry: Mapping[str, Any]) -> None:
        """Writes the line of a command that has failed, some time later. If that fails, the log has it."""
        if self.audit is None or self._notes >= MAX_NOTES:
            return
        self._notes += 1

        def end(result: object) -> None:
            self._notes -= 1
            if isinstance(result, Failure):
                _log.warn('feed "{feed}": the audit lacks a command that has failed', feed=self.feed)

        try:
            self.in_thread(self.audit.append, entry).addBoth(end)
        except OSError:
            end(Failure())

    @property
    def _place(self) -> str:
        return "the audit" if self.file is None else str(self.file.path)

    def _write(self, before: DeskRecord, record: DeskRecord, entry: Mapping[str, Any]) -> None:
        """Runs in a thread."""
        try:
            if self.file is not None:
                self.file.write(record)
            if self.audit is not None:
                self.audit.append(entry)
        except OSError:
            # The new file may be in its place, and would take effect at the next start.
            if self.file is not None:
                with suppress(OSError):
                    self.file.write(before)
            raise

    def _note_end(self, result: Any, outcome: Deferred[None], before: DeskRecord) -> None:
        if not outcome.called:
            outcome.callback(result)
        elif isinstance(result, Failure) or self.file is None:
            self._is_late = False
        else:
            self._take_back(before)

    def _take_back(self, before: DeskRecord) -> None:
        """Writes the record of before a command that has failed, because its own was written after all."""
        assert self.file is not None

        def end(result: object) -> None:
            if isinstance(result, Failure):
                text = 'feed "{feed}": {path} has a command that has failed, and a restart would obey it: {why}'
                _log.error(text, feed=self.feed, path=self._place, why=result.getErrorMessage())
            self._is_late = False

        try:
            self.in_thread(self.file.write, before).addBoth(end)
        except OSError:
            end(Failure())
