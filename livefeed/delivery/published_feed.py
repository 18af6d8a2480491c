"""Everything that is served of one feed: the whole document, and its parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred

from livefeed.delivery.delivery import Delivery
from livefeed.delivery.directory import Directory
from livefeed.delivery.document import DocumentResource
from livefeed.delivery.feed_resource import Access
from livefeed.delivery.refused_origins import RefusedOrigins
from livefeed.delivery.websocket.resource import WebSocketResource
from livefeed.feed.parts import Parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from twisted.web.resource import IResource

    from livefeed.delivery.delivery import AnswerHandshake
    from livefeed.delivery.document_fields import Form
    from livefeed.delivery.events import EventStream
    from livefeed.delivery.guard import Guard
    from livefeed.feed.feed import Feed
    from livefeed.web.cors import Origins
    from livefeed.web.reconnect_slots import ReconnectSlots

_FORMS: dict[str, Form] = {"": "either", ".json": "document", ".sse": "events"}


@dataclass(eq=False)
class PublishedFeed:
    """A feed, and the ways in which it and its parts are followed.

    :ivar feed: the feed.
    :ivar origins: the origins whose pages may read the feed.
    :ivar answer_handshake: answers a request that asks to become a WebSocket.
    :ivar max_subscribers: limit of the subscribers of the feed and its parts together; 0 for none.
    :ivar places: the part of this limit that a worker may use; ``None`` if the whole limit counts.
    :ivar guard: decides which clients may have the feed; ``None`` for a public one. The root has to be updated after a
        change.
    :ivar in_thread: calls a function in a thread.
    :ivar delivery: the ways in which the whole document is followed.
    :ivar parts: the parts of the document that are followed.
    :ivar directory: the feeds of the site, which connections to this feed may follow as well; set by the root.
    :ivar slots: the reconnect slots since the subscribers were let go; ``None`` before.
    """

    # required parameters
    feed: Feed
    origins: Origins
    answer_handshake: AnswerHandshake
    max_subscribers: int = 0
    in_thread: Callable[..., Deferred[Any]] = maybeDeferred
    guard: Guard | None = None

    # internal state
    places: int | None = None
    directory: Directory = field(default_factory=Directory)
    delivery: Delivery = field(init=False)
    parts: Parts[Delivery] = field(init=False)
    slots: ReconnectSlots | None = None
    _refused: RefusedOrigins = field(init=False)

    def __post_init__(self) -> None:
        self.delivery = self._deliver(self.feed)
        self.parts = Parts(self.feed, self._deliver, self.in_thread)
        self._refused = RefusedOrigins(self.feed.name, self.feed.clock)

    def __iter__(self) -> Iterator[Delivery]:
        yield self.delivery
        yield from self.parts

    def _deliver(self, feed: Feed) -> Delivery:
        """Makes the delivery of the whole, or of a part."""
        whole = None if feed.whole is None else self.delivery
        return Delivery.of(feed, self.answer_handshake, self.full, self.slots, directory=self._directory, whole=whole)

    def _directory(self) -> Directory:
        """Gives the items of the site; they are known later than this feed."""
        return self.directory

    def full(self) -> bool:
        """Tells whether the limit of subscribers is reached: WebSockets, streams and waiting requests together."""
        if self.places is not None:
            return self.followers() >= self.places
        return 0 < self.max_subscribers <= self.followers()

    def followers(self) -> int:
        """Gives the number of subscribers of the feed and its parts."""
        return sum(delivery.followers() for delivery in self)

    def watchers(self) -> dict[str, int]:
        """Gives the numbers of subscribers of the feed and its parts, by the way in which they follow.

        Of a connection that follows several items, each counts, for its feed.
        """
        streams = sum(delivery.event_streams() for delivery in self)
        waiting = self.waiting()
        # A stream that was dropped leaves its feed before its connection ends.
        return {"websocket": max(0, self.followers() - streams - waiting), "events": streams, "waiting": waiting}

    def waiting(self) -> int:
        """Gives the number of requests that wait for a version of the feed or of a part."""
        return sum(delivery.polls.count() for delivery in self)

    def resources(self) -> dict[str, IResource]:
        """Gives the resources of the feed, by the first segments of their paths."""
        access = Access(self.origins, () if self.guard is None else self.guard.fields, self.guard, self._refused)
        resources: dict[str, IResource] = {
            f"{self.feed.name}{suffix}": DocumentResource(self.delivery, access, form, self.parts)
            for suffix, form in _FORMS.items()
        }
        resources[f"{self.feed.name}.ws"] = WebSocketResource(self.delivery, access, self.parts)
        return resources

    def streams(self) -> list[EventStream]:
        """Gives the open event streams."""
        return [stream for delivery in self for stream in delivery.streams.open]

    def let_go(self, slots: ReconnectSlots) -> None:
        """Answers all waiting requests and ends all streams, but no WebSockets; no more of them are accepted.

        :param slots: gives the times at which the clients come back.
        """
        # Also of parts that are first asked for later.
        self.slots = slots
        for delivery in self:
            delivery.let_go(slots)

    def send_all_away(self, slots: ReconnectSlots) -> None:
        """Ends all subscribers, WebSockets too, and accepts others: the feed is protected from now on.

        The root has to be updated before.

        :param slots: gives the times at which the clients come back.
        """
        for delivery in self:
            delivery.send_all_away(slots)

    def close(self, slots: ReconnectSlots) -> None:
        """Ends all subscribers, WebSockets too, and forgets the parts: the feed is not served any more.

        :param slots: gives the times at which the clients come back.
        """
        for delivery in self:
            delivery.close(slots)
        self.parts.close()
