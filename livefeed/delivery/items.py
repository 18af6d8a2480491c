"""The items that one connection follows by ``livefeed.delta.v2``: a feed's whole document, or a part of it, each.

Each item is a subscription of its own: it has a version of its own, shares its messages with all other connections, and
is owed at most its newest version. The connection has one buffer: while that is full, all of its items are paused.

Rule: this file knows no transport. Besides the messages of items it writes refusals, and their number is bounded.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import msgspec

from livefeed.delivery.directory import Directory, Followed, Refusal, Visitor
from livefeed.delivery.item_messages import PulseAudience, PulseOutlet
from livefeed.delivery.messages import UNREADABLE, MessageAudience, MessageOutlet
from livefeed.delivery.transports import group_maker
from livefeed.document.snapshot import MAX_NAMED_LENGTH
from livefeed.transport.addresses import peer_of
from livefeed.web.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import Iterable

    from livefeed.delivery.messages import Wrap
    from livefeed.feed.subscription import Subscription
    from livefeed.web.interfaces import Admission, Permit
    from livefeed.web.request import Request

MAX_ITEMS = 64
"""The largest number of items that one connection follows, with that of its URL."""

MAX_PATH_LENGTH = 1280
"""The largest number of characters in an item's path: a pointer of 1024 bytes, and the name of a feed."""

MAX_OWED_BYTES = 32_768
"""The largest size in bytes of the refusals that wait for a client that does not read: each repeats the client's path,
which may have 12 KB with its escapes."""

_FOREIGN = "Follow at most 64 items on one connection."

_Path = Annotated[str, msgspec.Meta(max_length=MAX_PATH_LENGTH)]
_Version = Annotated[str, msgspec.Meta(max_length=MAX_NAMED_LENGTH)]


class _Follow(msgspec.Struct):
    """A client's message: it follows an item, or asks for its newest version.

    :ivar have: the version of the item that it has; ``None`` for none.
    """

    follow: _Path
    have: _Version | None = None


class _Unfollow(msgspec.Struct):
    """A client's message: it follows an item no more."""

    unfollow: _Path


_decode_follow = msgspec.json.Decoder(_Follow).decode
_decode_unfollow = msgspec.json.Decoder(_Unfollow).decode

Wish = tuple[str, str | None]
"""The path of an item that a client asks for, and the version that it has; ``None`` for none."""


def wishes_of(values: Iterable[bytes]) -> list[Wish]:
    """Gives the items that a query asks for, each ``VERSION/NAME/POINTER`` or ``/NAME/POINTER``.

    :param values: the values of the parameter ``follow``. Malformed ones are left out.
    """
    wishes = []
    for value in values:
        try:
            version, slash, path = value.decode().partition("/")
        except UnicodeDecodeError:
            continue
        if slash and len(path) < MAX_PATH_LENGTH:
            wishes.append((slash + path, version if 0 < len(version) <= MAX_NAMED_LENGTH else None))
    return wishes


@dataclass(frozen=True, slots=True)
class Visit:
    """A client that may follow several items.

    :ivar visitor: the facts that decide what it may follow.
    :ivar wishes: the items that its query asks for.
    :ivar permit: the permission to follow the item of its URL; ``None`` if that is public.
    """

    visitor: Visitor
    wishes: list[Wish]
    permit: Permit | None = None

    @classmethod
    def of(cls, request: Request, cookies: Iterable[bytes] | None = None) -> Visit:
        """Reads the request of such a client.

        :param cookies: the names of cookies that may have a token; ``None`` if all feeds are public.
        """
        origin, host = request.fields.keyed.origin, request.getHeader(b"Host") or b""
        credentials = None if cookies is None else Credentials.of(request, cookies)
        visitor = Visitor(origin, host, peer_of(request.getClientAddress()), credentials)
        return cls(visitor, wishes_of(request.args.get(b"follow", ())), request.permit)


class Connection(Protocol):
    """The requirements on a connection that follows items.

    :ivar transport: where the messages go.
    """

    transport: Any

    def send_away(self, delay_ms: int) -> None:
        """Ends the connection.

        :param delay_ms: the time in milliseconds after which its client comes back.
        """


@dataclass(slots=True, eq=False)
class Item:
    """One item of a connection. It counts as one subscriber of its feed.

    :ivar is_event_stream: whether the connection is an event stream.
    """

    _items: Items
    delivery: Followed
    outlet: MessageOutlet
    is_event_stream: bool
    subscription: Subscription | None = None
    admission: Admission | None = None

    @property
    def transport(self) -> Any:
        """Socket API."""
        return self.outlet.transport

    def send_away(self, delay_ms: int) -> None:
        """Socket API. Ends this item alone; the last item of a connection ends the connection."""
        self._items.part_from(self, delay_ms)

    def expire(self, delay_ms: int) -> None:
        """Ends the connection, whose token has ended: another token comes with another request."""
        self._items.expire(delay_ms)


@dataclass(slots=True, eq=False)
class Items:
    """The items of one connection.

    :ivar visitor: the client.
    :ivar is_event_stream: whether the connection is an event stream.
    """

    # required parameters
    _connection: Connection
    _wrap: Wrap
    visitor: Visitor
    is_event_stream: bool = False

    # internal state
    _items: dict[str, Item] = field(default_factory=dict)  # by their paths
    _pulses: dict[Followed, Subscription] = field(default_factory=dict)  # by the whole of which only parts are followed
    _order: dict[Subscription, None] = field(default_factory=dict)  # all subscriptions, the next to be resumed first
    _refusals: dict[str, bytes] = field(default_factory=dict)  # by their paths, those that are owed while paused
    _directory: Directory | None = None
    _is_paused: bool = False
    _is_closed: bool = False
    _is_beginning: bool = (
        False  # whether more items follow, so that it is not known of which feeds there are only parts
    )

    def begin(
        self,
        delivery: Followed,
        have: str | None,
        wishes: Iterable[Wish],
        wrap: Wrap | None = None,
        permit: Permit | None = None,
    ) -> None:
        """Begins to follow the item of the connection's URL, and those that its query asks for.

        :param have: the version of the first that the client has; ``None`` for none.
        :param wrap: makes the bytes on the wire of its messages; ``None`` if they are like those of other items.
        :param permit: the permission to follow the first; ``None`` if it is public.
        """
        # Not that of the delivery: the connection may go on after this item has ended.
        self._directory = delivery.directory()
        self._is_beginning = True
        self._begin(delivery, have, wrap or self._wrap, permit)
        for path, version in wishes:
            self.follow(path, version)
        self._is_beginning = False
        for whole in dict.fromkeys(item.delivery.whole or item.delivery for item in self._items.values()):
            self._update_pulse(whole)

    def receive(self, payload: bytes) -> None:
        """Takes a client's message. Anything but its two kinds is ignored."""
        try:
            wish = _decode_follow(payload)
        except UNREADABLE:
            try:
                self.unfollow(_decode_unfollow(payload).unfollow)
            except UNREADABLE:
                return
        else:
            self.follow(wish.follow, wish.have)

    def follow(self, path: str, have: str | None) -> None:
        """Begins to follow an item, or brings it to the newest version.

        :param have: the version that the client has; ``None`` for none.
        """
        if self._is_closed or self._directory is None:
            return
        item = self._items.get(path)
        if item is not None:
            self._bring(item, have)
            return
        if len(self._items) >= MAX_ITEMS:
            self._refuse(path, Refusal(429, _FOREIGN, None))
            return
        permit = self._directory.permit(path, self.visitor)
        found = permit if isinstance(permit, Refusal) else self._directory.find(path, self.visitor)
        if isinstance(found, Refusal):
            self._refuse(path, found)
        elif found.feed.path not in self._items and not isinstance(permit, Refusal):
            self._begin(found, have, self._wrap, permit)

    def unfollow(self, path: str) -> None:
        """Follows an item no more. Nothing happens if it is not followed."""
        item = self._items.get(path)
        if item is not None:
            self._end(item)

    def expire(self, delay_ms: int) -> None:
        """Ends the connection.

        :param delay_ms: the time in milliseconds after which the client comes back.
        """
        self._connection.send_away(delay_ms)

    def part_from(self, item: Item, delay_ms: int) -> None:
        """Follows an item no more that has to make room, or whose feed is removed.

        :param delay_ms: the time in milliseconds after which the client may ask for it again.
        """
        path = item.delivery.feed.path
        if self._items.get(path) is not item:
            return
        if len(self._items) == 1:
            self._connection.send_away(delay_ms)
            return
        self._end(item)
        self._refuse(path, Refusal(503, "There is no place for this any more.", delay_ms))

    def sent_at(self) -> float:
        """Gives when the last push of an item, or of heartbeats, began, by the clock; minus infinity before."""
        sources = (*(item.delivery for item in self._items.values()), *self._pulses)
        return max((each.feed.fanout.sent_at for each in sources), default=-inf)

    # Following API

    def pause(self) -> None:
        """Takes note that the transport is full."""
        self._is_paused = True
        for subscription in self._order:
            subscription.pause()

    def resume(self) -> None:
        """Takes note that the transport is no longer full, and sends what is owed until it is full again."""
        self._is_paused = False
        refusals, self._refusals = self._refusals, {}
        for path, message in refusals.items():
            self._write_refusal(path, message)
        for subscription in tuple(self._order):
            if self._is_paused:
                return
            if subscription in self._order:
                # To the end: an item whose versions fill the transport each time lets the others have their turn.
                del self._order[subscription]
                self._order[subscription] = None
                subscription.resume()

    def cancel(self) -> None:
        """Ends all subscriptions. A second call has no effect."""
        self._is_closed = True
        for item in tuple(self._items.values()):
            self._end(item)
        self._refusals.clear()

    # Internals

    def _begin(self, delivery: Followed, have: str | None, wrap: Wrap, permit: Permit | None) -> None:
        transport, messages = self._connection.transport, delivery.item_messages
        make_group = group_maker(transport)
        audience = None if make_group is None else MessageAudience(make_group, messages, wrap)
        outlet = MessageOutlet(transport, messages, wrap, have)
        item = self._items[delivery.feed.path] = Item(self, delivery, outlet, self.is_event_stream)
        delivery.sockets[item] = None
        if permit is not None:
            item.admission = permit.begin(item.expire)
        subscription = delivery.feed.subscribe(outlet, with_state=True, audience=audience, is_paused=self._is_paused)
        self._adopt(subscription)
        item.subscription = subscription
        self._update_pulse(delivery.whole or delivery)

    def _adopt(self, subscription: Subscription) -> None:
        """Adds a subscription that has begun. Its first message may have filled the transport, or ended all."""
        self._order[subscription] = None
        if self._is_paused:
            subscription.pause()
        if self._is_closed:
            self._drop(subscription)

    def _bring(self, item: Item, have: str | None) -> None:
        subscription, snapshot = item.subscription, item.delivery.feed.snapshot
        if subscription is None:
            return
        # This comes first, because leaving the multicast sets the outlet's version to that of the multicast.
        subscription.leave_multicast()
        item.outlet.have = have
        if snapshot is not None:
            subscription.deliver(snapshot)

    def _end(self, item: Item) -> None:
        delivery = item.delivery
        self._items.pop(delivery.feed.path, None)
        delivery.sockets.pop(item, None)
        if item.admission is not None:
            item.admission.leave()
        if item.subscription is not None:
            self._drop(item.subscription)
        self._update_pulse(delivery.whole or delivery)

    def _drop(self, subscription: Subscription) -> None:
        self._order.pop(subscription, None)
        subscription.cancel()

    def _update_pulse(self, whole: Followed) -> None:
        """Begins or ends the heartbeats of a feed, which a connection receives that follows only parts of it."""
        if self._is_beginning:
            return
        followed = {item.delivery for item in self._items.values()}
        is_wanted = whole not in followed and any(each.whole is whole for each in followed)
        if is_wanted and whole not in self._pulses and not self._is_closed:
            transport, messages, wrap = self._connection.transport, whole.item_messages, self._wrap
            make_group = group_maker(transport)
            audience = None if make_group is None else PulseAudience(make_group, messages, wrap)
            whole.pulses += 1
            pulse = whole.feed.subscribe(
                PulseOutlet(transport, messages, wrap), with_state=True, audience=audience, is_paused=self._is_paused
            )
            self._pulses[whole] = pulse
            self._adopt(pulse)
        elif not is_wanted and whole in self._pulses:
            whole.pulses -= 1
            self._drop(self._pulses.pop(whole))

    def _refuse(self, path: str, refusal: Refusal) -> None:
        facts = {
            "type": "refused",
            "path": path,
            "status": refusal.status,
            "detail": refusal.detail,
            "retry": refusal.retry_ms,
        }
        self._write_refusal(path, json.dumps(facts, separators=(",", ":")).encode())

    def _write_refusal(self, path: str, message: bytes) -> None:
        if not self._is_paused:
            self._connection.transport.write(self._wrap(message, None))
            return
        owed = self._refusals
        size = sum(map(len, owed.values())) - len(owed.get(path, b"")) + len(message)
        if (len(owed) < MAX_ITEMS or path in owed) and size <= MAX_OWED_BYTES:
            # A client that asks and does not read is told of so many, and asks again if it hears nothing.
            owed[path] = message
