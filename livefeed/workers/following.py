"""The feeds of a new parent before it pulls: they follow those of the old one, and are sent on to its workers.

Rules: the settings of the feeds are those of the new configuration. Sequences and confirmations are those of the old
parent, so that the versions go on after them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from livefeed.exceptions import LinkError
from livefeed.workers.feed_events import (
    EVENT,
    SEEN,
    FeedEvent,
    SeenFacts,
    apply_plain,
    deltas_of,
    moment_of,
    picture_of,
    sequence_facts,
    snapshot_of,
    take_statement,
)
from livefeed.workers.messages import message_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from livefeed.config.settings import FeedSettings
    from livefeed.feed.feed import Feed
    from livefeed.workers.broadcast import Broadcast, Recipient
    from livefeed.workers.messages import Message


class FollowingService(Protocol):
    """A service of a feed, as far as it follows."""

    @property
    def feed(self) -> Feed:
        """The feed, which is a :class:`.broadcast.BroadcastFeed`."""

    @property
    def settings(self) -> FeedSettings:
        """The settings of the feed, by the new configuration."""


@dataclass(eq=False)
class Following:
    """Makes the changes that the old parent makes to its feeds.

    :param feeds: the services of the feeds, by name.
    :param broadcast: sends the feeds to the workers.
    :ivar pictured: the names of the feeds whose state is that of the old parent.
    """

    # required parameters
    feeds: Mapping[str, FollowingService]
    broadcast: Broadcast

    # internal state
    pictured: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """Has the feeds follow. Their changes of state are logged by the old parent."""
        for service in self.feeds.values():
            service.feed.is_replica = True

    def end(self) -> None:
        """Has the feeds follow no more. The versions until now were counted by the old parent."""
        for service in self.feeds.values():
            service.feed.is_replica = False
            service.feed.versions = 0

    def receive(self, link: Recipient, message: Message) -> bool:
        """Takes an event of a feed, and confirms it.

        :returns: whether it was one.
        :raises LinkError: if the event is impossible.
        """
        if message.type != EVENT:
            return False
        event = message.read(FeedEvent)
        service = self.feeds.get(event.feed)
        # The new configuration may lack the feed.
        if service is not None:
            self._apply(service, message, event)
        link.send(message_of(SEEN, SeenFacts(event.feed)))
        return True

    def sequences(self) -> dict[str, tuple[int, int]]:
        """Gives epoch and number of the newest version of each feed that has one."""
        snapshots = {name: service.feed.snapshot for name, service in self.feeds.items()}
        return {name: sequence_facts(each.sequence) for name, each in snapshots.items() if each is not None}

    def _apply(self, service: FollowingService, message: Message, event: FeedEvent) -> None:
        take_statement(service.feed, event)
        if apply_plain(service.feed, message, event):
            return
        if event.event == "publish":
            self._publish(service.feed, message, event)
        else:
            self._follow(service, message, event)

    @staticmethod
    def _publish(feed: Feed, message: Message, event: FeedEvent) -> None:
        if event.snapshot is None:
            raise LinkError("a version came without its snapshot")
        newest = feed.snapshot
        snapshot = snapshot_of(message, event.snapshot, newest)
        if newest is not None and newest.version == snapshot.version and newest is not snapshot:
            feed.complete(snapshot)
        deltas = deltas_of(message, event)
        feed.publish(
            snapshot, is_tick=event.is_tick, deltas=deltas, confirmed=moment_of(event.confirmed), at_s=event.at_s
        )

    def _follow(self, service: FollowingService, message: Message, event: FeedEvent) -> None:
        if event.picture is None:
            raise LinkError("a picture came without its facts")
        feed, settings = service.feed, service.settings
        snapshot = None if event.snapshot is None else snapshot_of(message, event.snapshot, feed.snapshot)
        picture = replace(
            picture_of(event.picture),
            interval_s=settings.interval,
            push=settings.push,
            stale_after_s=settings.stale_after,
            gone_after_s=settings.gone_after or float("inf"),
            max_delta_bytes=settings.max_delta_bytes,
        )
        feed.follow(picture, snapshot)
        self.pictured.add(event.feed)
        self.broadcast.show(feed)
