"""The ways in which a feed, or a part of one, is followed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from livefeed.envelopes import Envelopes
from livefeed.web.stream import EventStreams
from livefeed.web.waiting import LongPolls

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.feed import Feed
    from livefeed.web.site import Request

    Upgrade = Callable[[Request, "Ways"], int]


@dataclass(frozen=True, slots=True)
class Ways:
    """How a feed can be followed.

    :ivar feed: the feed.
    :ivar upgrade: takes over a request that asks to become a WebSocket, of which this is what it will follow.
    :ivar full: tells whether as many follow the feed as may.
    :ivar envelopes: the messages of those who follow by delta, whatever carries them.
    :ivar streams: the server-sent events.
    :ivar polls: the requests that wait.
    """

    feed: Feed
    upgrade: Upgrade
    full: Callable[[], bool]
    envelopes: Envelopes
    streams: EventStreams
    polls: LongPolls

    @classmethod
    def of(cls, feed: Feed, upgrade: Upgrade, full: Callable[[], bool]) -> Ways:
        """Makes all that a feed needs."""
        envelopes = Envelopes(feed)
        return cls(feed, upgrade, full, envelopes, EventStreams(feed, envelopes), LongPolls(feed))

    def followers(self) -> int:
        """Gives how many follow, in whatever way."""
        # Those that wait for the same have one subscription, and nobody else has one of several.
        return len(self.feed.subscriptions) - len(self.polls.shared) + self.polls.sharing

    def let_go(self) -> None:
        """Answers and ends whatever is kept open."""
        self.streams.close()
        self.polls.release()
