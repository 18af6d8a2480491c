"""The command ``trace``: when a version was pulled, checked, published, and delivered by each process."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from livefeed.document.timestamps import timestamp
from livefeed.exceptions import CommandError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from livefeed.admin.commands import Arguments
    from livefeed.delivery.published_feed import PublishedFeed
    from livefeed.feed.trace import VersionTimes

MAX_MATCHES = 60
"""Versions in one report. A beginning of a few characters can match many."""


class ServedFeed(Protocol):
    """A feed that clients follow."""

    @property
    def published(self) -> PublishedFeed:
        """The feed, and all ways to follow it."""


@dataclass(frozen=True, slots=True)
class DeliveryTimes:
    """When one process has delivered a version.

    :ivar process: the name of the process, such as ``worker 3``.
    :ivar first_s: when the push to its first subscriber began, in seconds by the monotonic clock; ``None`` if it has
        not begun.
    :ivar last_s: when the push to its last subscriber had ended; ``None`` if it has not.
    :ivar subscribers: the number of subscribers then.
    """

    process: str
    first_s: float | None
    last_s: float | None
    subscribers: int


@dataclass(slots=True)
class Tracing:
    """Answers the command.

    :ivar feeds: the feeds; read again at each request.
    :ivar of_workers: gives the deliveries of all workers, for the name of a feed and a version; ``None`` without
        workers.
    """

    feeds: Iterable[ServedFeed]
    of_workers: Callable[[str, str], Awaitable[Iterable[DeliveryTimes]]] | None = field(default=None)

    async def run(self, arguments: Arguments) -> list[dict[str, Any]]:
        """Runs the command.

        :param arguments: ``version``: a version or its beginning, a sequence, or ``newest``.
        :raises CommandError: if no version is named, or none of the last ones has the name.
        """
        name = str(arguments.get("version", ""))
        if not name:
            raise CommandError("name a version, its beginning, a sequence, or newest")
        feeds = [each.published.feed for each in self.feeds]
        found = [(feed.name, times) for feed in feeds for times in feed.trace.find(name)]
        if not found:
            raise CommandError("none of the last 60 versions of a feed has this name")
        reports = []
        for feed_name, times in found[:MAX_MATCHES]:
            deliveries = [DeliveryTimes(f"process {os.getpid()}", times.first_s, times.last_s, times.subscribers)]
            if self.of_workers is not None:
                deliveries = [*await self.of_workers(feed_name, times.version)]
            reports.append(_report(feed_name, times, deliveries))
        return reports


def _report(feed: str, times: VersionTimes, deliveries: list[DeliveryTimes]) -> dict[str, Any]:
    """Gives the report about one version. Its milliseconds count from the beginning of the pull."""
    start_s = times.published_s if times.asked_s is None else times.asked_s

    def ms(at_s: float | None) -> float | None:
        return None if at_s is None else round(1000 * (at_s - start_s), 3)

    return {
        "feed": feed,
        "version": times.version,
        "sequence": times.sequence,
        "published_at": timestamp(times.published_at),
        "asked_ms": ms(times.asked_s),
        "pulled_ms": ms(times.pulled_s),
        "checked_ms": ms(times.checked_s),
        "published_ms": ms(times.published_s),
        "deliveries": [
            {
                "process": each.process,
                "first_ms": ms(each.first_s),
                "last_ms": ms(each.last_s),
                "subscribers": each.subscribers,
            }
            for each in deliveries
        ],
    }
