"""Desks of feeds, for tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import maybeDeferred

from livefeed.intake.desk import Desk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from livefeed.feed.feed import Feed


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
