"""The ways in which one feed, or one part of a document, is followed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from livefeed.delivery.events import EventStreams
from livefeed.delivery.long_polls import LongPolls
from livefeed.delivery.messages import Messages
from livefeed.transport.addresses import peer_of
from livefeed.web.reconnect_slots import ReconnectSlots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from livefeed.feed.feed import Feed
    from livefeed.web.request import Request

    AnswerHandshake = Callable[[Request, "Delivery"], int]


EVICTED_S = 9.98
"""Seconds after which the first client of a part comes back that has made room for another: as late as a close code can
say."""


class Socket(Protocol):
    """A WebSocket on which a feed is followed."""

    transport: Any

    def send_away(self, delay_ms: int) -> None:
        """Closes the WebSocket.

        :param delay_ms: the time in milliseconds after which its client comes back.
        """


def _is_closed() -> bool:
    """Takes the place of :attr:`Delivery.full`."""
    return True


@dataclass(slots=True, eq=False)
class Delivery:
    """The ways in which a feed is followed.

    :ivar feed: the feed.
    :ivar answer_handshake: answers a request that asks to become a WebSocket, which then follows this feed.
    :ivar full: tells whether the limit of subscribers is reached; it always is after :meth:`close`.
    :ivar messages: the messages for clients that follow by delta, on every transport.
    :ivar streams: the streams of server-sent events.
    :ivar polls: the requests that wait for the next version.
    :ivar sockets: the open WebSockets (a dict, since a set has no order).
    """

    feed: Feed
    answer_handshake: AnswerHandshake
    full: Callable[[], bool]
    messages: Messages
    streams: EventStreams
    polls: LongPolls
    sockets: dict[Socket, None] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        feed: Feed,
        answer_handshake: AnswerHandshake,
        full: Callable[[], bool],
        slots: ReconnectSlots | None = None,
    ) -> Delivery:
        """Makes all ways in which a feed is followed.

        :param slots: the reconnect slots if subscribers were let go already, so that no more of them are accepted.
        """
        messages = Messages(feed)
        polls = LongPolls(feed, slots=slots)
        return cls(feed, answer_handshake, full, messages, EventStreams(feed, messages), polls)

    def peers(self) -> Iterator[str]:
        """Gives for each subscriber the text under which its address is counted, by ``transport/addresses.py``."""
        for connected in (*self.sockets, *self.streams.open):
            yield peer_of(connected.transport.getPeer())
        for address in self.polls.addresses():
            yield peer_of(address)

    def evict(self) -> None:
        """Ends all subscribers, WebSockets too, to make room for others. They come back late."""
        self.close(ReconnectSlots(EVICTED_S))

    def close(self, slots: ReconnectSlots) -> None:
        """Ends all subscribers, WebSockets too, and accepts no more of them.

        :param slots: gives the times at which the clients come back.
        """
        for socket in tuple(self.sockets):
            socket.send_away(slots.take_ms())
        self.let_go(slots)
        # The function refers to the object that has this one.
        self.full = _is_closed

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
        return len(self.feed.subscriptions) - len(self.polls.shared) + self.polls.sharing

    def let_go(self, slots: ReconnectSlots) -> None:
        """Answers all waiting requests and ends all streams, but no WebSockets; no more of them are accepted.

        :param slots: gives the times at which the clients come back.
        """
        self.streams.close(slots)
        self.polls.release(slots)
