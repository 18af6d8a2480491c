"""The ways in which a feed, or a part of one, is followed over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from livefeed.web.stream import EventStreams
from livefeed.web.waiting import LongPolls

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.feed import Feed


@dataclass(frozen=True, slots=True)
class Ways:
    """How a feed can be followed over HTTP.

    :ivar feed: the feed.
    :ivar upgrade: takes over a request that asks to become a WebSocket.
    :ivar streams: the server-sent events.
    :ivar polls: the requests that wait.
    """

    feed: Feed
    upgrade: Callable[..., int]
    streams: EventStreams
    polls: LongPolls

    @classmethod
    def of(cls, feed: Feed, upgrade: Callable[..., int]) -> Ways:
        """Makes all that a feed needs."""
        return cls(feed, upgrade, EventStreams(feed), LongPolls(feed))

    def let_go(self) -> None:
        """Answers and ends whatever is kept open."""
        self.streams.close()
        self.polls.release()
