"""The ways in which one feed, or one part of a document, is followed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from livefeed.delivery.directory import Directory
from livefeed.delivery.events import EventStreams
from livefeed.delivery.item_messages import ItemMessages
from livefeed.delivery.long_polls import LongPolls
from livefeed.delivery.messages import Messages
from livefeed.transport.addresses import peer_of
from livefeed.web.reconnect_slots import ReconnectSlots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from livefeed.feed.feed import Feed
    from livefeed.web.request import Request

    AnswerHandshake = Callable[[Request, "Delivery"], int]
    FindDirectory = Callable[[], Directory]


EVICTED_S = 9.98
"""Seconds after which the first client of a part comes back that has made room for another: as late as a close code can
say."""


class Socket(Protocol):
    """A WebSocket on which a feed is followed, or one of the items that a connection follows.

    :ivar is_event_stream: whether it is an item of an event stream.
    """

    @property
    def transport(self) -> Any:
        """The transport of the connection."""

    is_event_stream: bool

    def send_away(self, delay_ms: int) -> None:
        """Closes the WebSocket, or ends the item.

        :param delay_ms: the time in milliseconds after which its client comes back.
        """


def _is_closed() -> bool:
    """Takes the place of :attr:`Delivery.full`."""
    return True


def no_directory() -> Directory:
    """Takes the place of :attr:`Delivery.directory` where there are no other items."""
    return Directory()


@dataclass(slots=True, eq=False)
class Delivery:
    """The ways in which a feed is followed.

    :ivar feed: the feed.
    :ivar answer_handshake: answers a request that asks to become a WebSocket, which then follows this feed.
    :ivar full: tells whether the limit of subscribers is reached; it always is after :meth:`close`.
    :ivar messages: the messages for clients that follow by ``livefeed.delta.v1``, on every transport.
    :ivar item_messages: the messages for clients that follow by ``livefeed.delta.v2``, on every transport.
    :ivar streams: the streams of server-sent events.
    :ivar polls: the requests that wait for the next version.
    :ivar directory: gives the items of the site, for connections that follow several.
    :ivar whole: the delivery of the whole document if this is that of a part.
    :ivar sockets: the open WebSockets, and the items of connections that follow several (a dict, since a set has no
        order).
    :ivar pulses: the number of subscriptions that only receive heartbeats, and do not count as subscribers.
    """

    feed: Feed
    answer_handshake: AnswerHandshake
    full: Callable[[], bool]
    messages: Messages
    item_messages: ItemMessages
    streams: EventStreams
    polls: LongPolls
    directory: FindDirectory = no_directory
    whole: Delivery | None = None
    sockets: dict[Socket, None] = field(default_factory=dict)
    pulses: int = 0

    @classmethod
    def of(  # noqa: PLR0913 - each is a collaborator
        cls,
        feed: Feed,
        answer_handshake: AnswerHandshake,
        full: Callable[[], bool],
        slots: ReconnectSlots | None = None,
        *,
        directory: FindDirectory = no_directory,
        whole: Delivery | None = None,
    ) -> Delivery:
        """Makes all ways in which a feed is followed.

        :param slots: the reconnect slots if subscribers were let go already, so that no more of them are accepted.
        :param directory: gives the items of the site.
        :param whole: the delivery of the whole document if this is that of a part.
        """
        messages = Messages(feed)
        polls = LongPolls(feed, slots=slots)
        streams = EventStreams(feed, messages)
        return cls(feed, answer_handshake, full, messages, ItemMessages(feed), streams, polls, directory, whole)

    def peers(self) -> Iterator[str]:
        """Gives for each subscriber the text under which its address is counted, by ``transport/addresses.py``."""
        for socket in self.sockets:
            yield peer_of(socket.transport.getPeer())
        for stream in self.streams.open:
            if not stream.follows_items:
                yield peer_of(stream.transport.getPeer())
        for address in self.polls.addresses():
            yield peer_of(address)

    def evict(self) -> None:
        """Ends all subscribers, WebSockets too, to make room for others. They come back late."""
        self.close(ReconnectSlots(EVICTED_S))

    def close(self, slots: ReconnectSlots) -> None:
        """Ends all subscribers, WebSockets too, and accepts no more of them.

        :param slots: gives the times at which the clients come back.
        """
        self._send_sockets_away(slots)
        self.let_go(slots)
        # The functions refer to the object that has this one.
        self.full, self.directory = _is_closed, no_directory

    def send_all_away(self, slots: ReconnectSlots) -> None:
        """Ends all subscribers, WebSockets too, and accepts others.

        :param slots: gives the times at which the clients come back.
        """
        self._send_sockets_away(slots)
        self.streams.close(slots)
        self.polls.answer_all()

    def _send_sockets_away(self, slots: ReconnectSlots) -> None:
        for socket in tuple(self.sockets):
            socket.send_away(slots.take_ms())

    @property
    def slots(self) -> ReconnectSlots | None:
        """The reconnect slots since the subscribers were let go; ``None`` before.

        With slots, no event stream begins and no request waits: livefeed is being stopped, the feed is removed, or this
        part of a document makes room for another.
        """
        return self.polls.slots

    def followers(self) -> int:
        """Gives the number of subscribers, in all ways."""
        # Requests that wait for the same answer share one subscription. Every other subscriber has its own.
        return len(self.feed.subscriptions) - self.pulses - len(self.polls.shared) + self.polls.sharing

    def event_streams(self) -> int:
        """Gives the number of event streams, and of the items of those that follow several."""
        return self.streams.followers() + sum(socket.is_event_stream for socket in self.sockets)

    def let_go(self, slots: ReconnectSlots) -> None:
        """Answers all waiting requests and ends all streams, but no WebSockets; no more of them are accepted.

        :param slots: gives the times at which the clients come back.
        """
        self.streams.close(slots)
        self.polls.release(slots)
