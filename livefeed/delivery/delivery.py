"""The ways in which a feed, or a part of one, is followed."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any, Protocol

from livefeed.delivery.events import EventStreams
from livefeed.delivery.long_polls import LongPolls
from livefeed.delivery.messages import Messages
from livefeed.web.reconnect_slots import ReconnectSlots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from livefeed.feed.feed import Feed
    from livefeed.web.request import Request

    AnswerHandshake = Callable[[Request, "Delivery"], int]


class Socket(Protocol):
    """A WebSocket on which a feed is followed."""

    transport: Any

    def evict(self) -> None:
        """Ends it, to make room for others."""


def peer_of(address: Any) -> str:
    """Gives the text under which the clients at one address count together.

    :param address: an address of Twisted's. Of IPv6 the first 64 bits count, since a client has all addresses below
        these. Clients of a Unix socket count as one.
    """
    host: str = getattr(address, "host", None) or ""
    if ":" not in host:
        return host
    number = IPv6Address(host.partition("%")[0])
    return str(number.ipv4_mapped or f"{int(number) >> 64:x}::/64")


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a feed can be followed.

    :ivar feed: the feed.
    :ivar answer_handshake: answers a request that asks to become a WebSocket, given the delivery that it will follow.
    :ivar full: tells whether as many follow the feed as may.
    :ivar messages: the messages of those who follow by delta, whatever carries them.
    :ivar streams: the server-sent events.
    :ivar polls: the requests that wait.
    :ivar sockets: the WebSockets that are open (a dict, since a set has no order).
    """

    feed: Feed
    answer_handshake: AnswerHandshake
    full: Callable[[], bool]
    messages: Messages
    streams: EventStreams
    polls: LongPolls
    sockets: dict[Socket, None] = field(default_factory=dict)

    @classmethod
    def of(cls, feed: Feed, answer_handshake: AnswerHandshake, full: Callable[[], bool]) -> Delivery:
        """Makes all that a feed needs."""
        messages = Messages(feed)
        return cls(feed, answer_handshake, full, messages, EventStreams(feed, messages), LongPolls(feed))

    def peers(self) -> Iterator[str]:
        """Gives of each client that follows by any of these ways under which address it counts."""
        for connected in (*self.sockets, *self.streams.open):
            yield peer_of(connected.transport.getPeer())
        for address in self.polls.addresses():
            yield peer_of(address)

    def evict(self) -> None:
        """Ends whatever is kept open, WebSockets too, to make room for others."""
        for socket in tuple(self.sockets):
            socket.evict()
        self.let_go(ReconnectSlots())

    def followers(self) -> int:
        """Gives how many follow, in whatever way."""
        # Those that wait for the same have one subscription, and nobody else has one of several.
        return len(self.feed.subscriptions) - len(self.polls.shared) + self.polls.sharing

    def let_go(self, slots: ReconnectSlots) -> None:
        """Answers and ends whatever is kept open, but for WebSockets.

        :param slots: gives the times at which the clients come back.
        """
        self.streams.close(slots)
        self.polls.release(slots)
