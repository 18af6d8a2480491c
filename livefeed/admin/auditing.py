"""The command ``audit``: the last commands of all operators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from livefeed.exceptions import CommandError, shown
from livefeed.storage.audit_reading import MAX_ENTRIES, last_entries

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from twisted.internet.defer import Deferred

    from livefeed.admin.commands import Arguments

ENTRIES = 20
"""The number of entries that are given if the request names none."""


@dataclass(frozen=True, slots=True)
class Auditing:
    """Reads the audit.

    :ivar path: the file; ``None`` if there is no state directory.
    :ivar in_thread: calls a function in a thread.
    """

    path: Path | None
    in_thread: Callable[..., Deferred[Any]]

    async def run(self, arguments: Arguments) -> list[dict[str, Any]]:
        """Gives the last entries, the newest first.

        :param arguments: the rest of the path, ``version``, is their number.
        :raises CommandError: if there is no audit, or it cannot be read.
        """
        text = str(arguments.get("version", ENTRIES))
        count = int(text) if text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_ENTRIES)) else 0
        if not 1 <= count <= MAX_ENTRIES:
            raise CommandError(f"{shown(text)} is not a number of entries from 1 to {MAX_ENTRIES}")
        if self.path is None:
            raise CommandError("there is no audit: without --state-dir, commands are only in the log")
        try:
            found: list[dict[str, Any]] = await self.in_thread(last_entries, self.path, count)
        except OSError as error:
            raise CommandError(f"{error.filename or self.path}: {error.strerror or error}") from None
        return found
