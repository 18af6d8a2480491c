"""All that is served of one feed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred

from livefeed.delivery.delivery import Delivery
from livefeed.delivery.document import DocumentResource, Form
from livefeed.delivery.feed_resource import Access
from livefeed.delivery.websocket.resource import WebSocketResource
from livefeed.feed.parts import Parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from twisted.web.resource import IResource

    from livefeed.delivery.delivery import AnswerHandshake
    from livefeed.delivery.events import EventStream
    from livefeed.feed.feed import Feed
    from livefeed.web.cors import Origins
    from livefeed.web.reconnect_slots import ReconnectSlots

_FORMS: dict[str, Form] = {"": "either", ".json": "document", ".sse": "events"}


@dataclass(eq=False)
class PublishedFeed:
    """A feed, and how it and its parts are followed.

    :ivar feed: the feed.
    :ivar origins: who may read it from another site.
    :ivar answer_handshake: answers a request that asks to become a WebSocket.
    :ivar max_subscribers: so many may follow it and its parts at a time; 0 for no limit.
    :ivar access_fields: the names of the request fields that decide on access, such as ``Authorization``; empty for a
        public feed.
    :ivar in_thread: calls a function in a thread.
    :ivar delivery: how the whole can be followed.
    :ivar parts: the parts of its document that are.
    """

    # required parameters
    feed: Feed
    origins: Origins
    answer_handshake: AnswerHandshake
    max_subscribers: int = 0
    in_thread: Callable[..., Deferred[Any]] = maybeDeferred
    access_fields: tuple[bytes, ...] = ()

    # internal state
    delivery: Delivery = field(init=False)
    parts: Parts = field(init=False)

    def __post_init__(self) -> None:
        self.delivery = Delivery.of(self.feed, self.answer_handshake, self.full)
        self.parts = Parts(self.delivery, self.in_thread)

    def __iter__(self) -> Iterator[Delivery]:
        yield self.delivery
        yield from self.parts

    def full(self) -> bool:
        """Tells whether as many follow the feed and its parts as may: by WebSocket, by events, or waiting."""
        return 0 < self.max_subscribers <= sum(delivery.followers() for delivery in self)

    def resources(self) -> dict[str, IResource]:
        """Gives what is at the site's paths, by their first parts."""
        access = Access(self.origins, self.access_fields)
        resources: dict[str, IResource] = {
            f"{self.feed.name}{suffix}": DocumentResource(self.delivery, access, form, self.parts)
            for suffix, form in _FORMS.items()
        }
        resources[f"{self.feed.name}.ws"] = WebSocketResource(self.delivery, access, self.parts)
        return resources

    def streams(self) -> list[EventStream]:
        """Gives the streams of events that there are."""
        return [stream for delivery in self for stream in delivery.streams.open]

    def let_go(self, slots: ReconnectSlots) -> None:
        """Answers and ends whatever is kept open, but for WebSockets.

        :param slots: gives the times at which the clients come back.
        """
        for delivery in self:
            delivery.let_go(slots)
