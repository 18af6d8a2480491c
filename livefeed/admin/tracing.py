"""The command ``trace``: when a version was pulled, checked, published, and delivered by each process."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from livefeed.document.timestamps import timestamp
from livefeed.exceptions import CommandError
from livefeed.feed.trace import VERSIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from livefeed.admin.commands import Arguments
    from livefeed.delivery.published_feed import PublishedFeed
    from livefeed.feed.trace import VersionTimes

MAX_NAME = 100
"""Characters of the name of a version that an error shows."""

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


def sent_deliveries(feeds: Iterable[ServedFeed], since_s: float) -> list[Any]:
    """Gives the deliveries of a worker that have changed, as it sends them: lists, texts and numbers alone.

    :param feeds: the feeds that clients follow there.
    :param since_s: when the worker last sent them, by the clock.
    """
    return [
        [feed.name, times.version, times.first_s, times.last_s, times.subscribers]
        for feed in (each.published.feed for each in feeds)
        for times in feed.trace.changed_since(since_s)
    ]


@dataclass(slots=True)
class Tracing:
    """Answers the command.

    :ivar feeds: the feeds; read again at each request.
    """

    # required parameters
    feeds: Iterable[ServedFeed]

    # internal state
    _of_workers: dict[str, dict[str, dict[int, DeliveryTimes]]] = field(default_factory=dict)  # by feed and version

    def report(self, place: int, name: str, deliveries: Iterable[Any]) -> None:
        """Takes the deliveries of a worker, as :func:`sent_deliveries` gives them.

        Those of old versions, and of feeds that there are no more, are forgotten.

        :param place: a number that no other worker has at the time; reports are in this order.
        :param name: the name of the worker.
        """
        self._of_workers = {
            feed: self._of_workers.get(feed, {}) for feed in (each.published.feed.name for each in self.feeds)
        }
        for feed, version, first_s, last_s, subscribers in deliveries:
            of_feed = self._of_workers.get(str(feed))
            if of_feed is not None:
                of_version = of_feed.setdefault(str(version), {})
                of_version[place] = DeliveryTimes(name, first_s, last_s, int(subscribers))
                if len(of_feed) > VERSIONS:
                    del of_feed[next(iter(of_feed))]

    def _deliveries(self, feed: str, times: VersionTimes) -> list[DeliveryTimes]:
        of_version = self._of_workers.get(feed, {}).get(times.version)
        if of_version is None:
            return [DeliveryTimes(f"process {os.getpid()}", times.first_s, times.last_s, times.subscribers)]
        return [of_version[index] for index in sorted(of_version)]

    def longest_delay_s(self, after_s: float, until_s: float) -> float | None:
        """Gives the longest time from the beginning of a pull to the last delivery of its version.

        :param after_s: the versions count that were published after this, by the clock.
        :param until_s: those that were published later do not count.
        :returns: seconds; ``None`` if no version was delivered to anybody.
        """
        delays = [
            delivery.last_s - (times.published_s if times.asked_s is None else times.asked_s)
            for feed in (each.published.feed for each in self.feeds)
            for times in feed.trace.published_between(after_s, until_s)
            for delivery in self._deliveries(feed.name, times)
            if delivery.last_s is not None and delivery.subscribers
        ]
        return max(delays, default=None)

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
            raise CommandError(f"{name[:MAX_NAME]} is not among the last {VERSIONS} versions of any feed")
        return [_report(feed, times, self._deliveries(feed, times)) for feed, times in found[:MAX_MATCHES]]


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
