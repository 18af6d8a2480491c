"""The embargoes of a feed on their way to the disk, each change with its line in the audit.

Rule: if the disk refuses a change, nothing has changed, on the disk neither.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from twisted.logger import Logger

from livefeed.document.timestamps import timestamp
from livefeed.exceptions import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from twisted.internet.defer import Deferred

    from livefeed.document.embargo import Embargo
    from livefeed.storage.embargo_file import EmbargoFile

_log = Logger()


class Audit(Protocol):
    """The audit of all commands."""

    def append(self, entry: Mapping[str, Any]) -> None:
        """Appends an entry.

        :raises OSError: if that fails.
        """


@dataclass(eq=False)
class EmbargoKeeping:
    """Keeps the embargoes of one feed.

    :param feed: the name of the feed.
    :param in_thread: calls a function in a thread.
    :param wall: the wall clock, in seconds since 1970.
    :param file: the file; ``None`` if there is no state directory, so that a restart forgets them.
    :param audit: the audit; ``None`` for none.
    """

    feed: str
    in_thread: Callable[..., Deferred[Any]]
    wall: Callable[[], float]
    file: EmbargoFile | None = None
    audit: Audit | None = None

    def open(self) -> tuple[Embargo, ...]:
        """Gives the embargoes that are kept.

        :raises StoreError: if the file cannot be used.
        """
        if self.file is None:
            return ()
        found = self.file.open()
        if self.file.damaged is not None:
            text = (
                'feed "{feed}": {path} is damaged; {count} embargoes in it are whole and count, the others are LOST; a '
                "copy of the file is kept as {damaged}"
            )
            path, damaged = str(self.file.path), str(self.file.damaged)
            _log.error(text, feed=self.feed, path=path, count=len(found), damaged=damaged)
        return found

    def close(self) -> None:
        """Leaves the file to another process."""
        if self.file is not None:
            self.file.close()

    def line(self, embargo: Embargo, action: str, by: str, outcome: str = "done") -> dict[str, Any]:
        """Gives the line of the audit about a change."""
        arguments = {"action": action, "id": embargo.id, "kind": embargo.kind.value, "at": timestamp(embargo.at)}
        if embargo.reason:
            arguments["reason"] = embargo.reason
        return {
            "at": timestamp(self.wall()),
            "by": by,
            "command": "embargo",
            "feed": self.feed,
            "arguments": arguments,
            "outcome": outcome,
        }

    async def write(self, before: Sequence[Embargo], after: Sequence[Embargo], line: Mapping[str, Any]) -> None:
        """Keeps embargoes in the place of those before, with the line about the change.

        :raises StoreError: if the disk refuses it; nothing has changed then.
        """
        if self.file is None and self.audit is None:
            return
        try:
            await self.in_thread(self._write, before, after, line)
        except OSError as error:
            # The audit refuses it, or no thread could be started.
            raise StoreError(f"{error.filename or 'the embargoes'}: {error.strerror or error}") from None

    def _write(self, before: Sequence[Embargo], after: Sequence[Embargo], line: Mapping[str, Any]) -> None:
        """Runs in a thread."""
        if self.file is not None:
            self.file.write(after)
        if self.audit is None:
            return
        try:
            self.audit.append(line)
        except OSError:
            if self.file is not None:
                with suppress(StoreError):
                    self.file.write(before)
            raise
