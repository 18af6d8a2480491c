"""A subscriber's WebSocket: it is sent each version of a feed, by the subprotocol that its handshake has agreed on.

Rule: documents do not pass through Autobahn (:mod:`livefeed.delivery.websocket.outlets`), which only reads the frames
of clients that have something to say (:mod:`livefeed.delivery.websocket.framed`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from livefeed.delivery.framing import compressed_document_frame, document_frame
from livefeed.delivery.heartbeats import Heartbeats
from livefeed.delivery.items import Items, Visit
from livefeed.delivery.messages import UNREADABLE, MessageAudience, MessageOutlet
from livefeed.delivery.transports import group_maker
from livefeed.delivery.websocket.close_codes import (
    COME_BACK,
    GOING_AWAY,
    close_code,
    delay_ms,
    random_slot,
    told,
    withdrawal_delay_ms,
)
from livefeed.delivery.websocket.framed import FramedSubscriber
from livefeed.delivery.websocket.handshake import DELTA
from livefeed.delivery.websocket.outlets import (
    FrameAudience,
    FrameOutlet,
    compressed_item_frame,
    compressed_message_frame,
    message_frame,
)
from livefeed.document.snapshot import MAX_NAMED_LENGTH
from livefeed.feed.state import State
from livefeed.feed.subscription import Subscription
from livefeed.web import problems

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from livefeed.delivery.delivery import Delivery
    from livefeed.delivery.messages import Wrap
    from livefeed.delivery.websocket.agreement import Agreement
    from livefeed.delivery.websocket.connection import WebSocketConnectionFactory
    from livefeed.feed.fanout import Audience
    from livefeed.web.interfaces import Admission, Permit
    from livefeed.web.reconnect_slots import ReconnectSlots

PING_INTERVAL_S = 25
"""Seconds between two pings. The strictest mobile networks forget a silent connection after 30 s."""

PINGS_UNANSWERED = 2
"""Number of consecutive pings without a sign of life before the connection is dropped: 50 s, enough for a ping that
waits behind a document."""

PINGS_SPARED = 3
"""Number of consecutive pings that are skipped while documents or heartbeats are pushed: these keep a connection alive
as well. With 10,000 subscribers, a ping every 25 s and its pong took 2 of the 18 µs that each push takes."""

PUSHED_S = 4
"""Seconds after the last push for which pings are skipped: the next ping then comes within 30 s of that push."""

# A ping with four bytes (RFC 6455, 5.5.2).
_PING = b"\x89\x04live"


class _Have(msgspec.Struct):
    """A client's message: the version that it has; ``None`` if it asks for the whole document."""

    have: Annotated[str, msgspec.Meta(max_length=MAX_NAMED_LENGTH)] | None


class SubscriberProtocol(FramedSubscriber):
    """A WebSocket that is sent each version of the feed, at the pace of its reader.

    The transport pauses it while its buffer is full. Nothing is written meanwhile, so a client that does not read
    cannot make the server's memory grow.

    :param factory: of all connections.
    :param delivery: the ways to follow the feed.
    :param agreement: the agreement of the handshake.
    :param have: the version that the client has already; ``None`` if it has none.
    :ivar visit: the facts about a client that follows by ``livefeed.delta.v2``; ``None`` for others.
    :ivar permit: the permission to follow a protected feed, until it is used.
    """

    is_event_stream = False
    permit: Permit | None = None
    visit: Visit | None = None
    _admission: Admission | None = None
    _outlet: FrameOutlet | MessageOutlet

    def __init__(self, factory: SubscriberFactory, delivery: Delivery, agreement: Agreement, have: str | None) -> None:
        super().__init__(factory, agreement)
        self.delivery = delivery
        self._have = have

    def ended(self) -> None:
        """FramedSubscriber API."""
        self._factory.protocols_open.discard(self)
        self.delivery.sockets.pop(self, None)
        if self._admission is not None:
            self._admission.leave()
        self._unsubscribe()

    # Following

    def open(self, answer: bytes) -> None:
        """Subscriber API."""
        transport = self.transport
        transport.write(answer)
        self._opened_at = self._factory.clock.seconds()
        self._factory.protocols_open.add(self)
        transport.registerProducer(self, True)
        deflated = bool(self._agreement.extension)
        if self.visit is not None:
            self._follow_items(self.visit, compressed_item_frame if deflated else message_frame)
            return
        self.delivery.sockets[self] = None
        if self.permit is not None:
            self._admission = self.permit.begin(self.lose_access)
            self.permit = None
        make_group = group_maker(transport)
        messages = self.delivery.messages
        audience: Audience | None = None
        by_delta = self._agreement.subprotocol == DELTA
        if by_delta:
            wrap = compressed_message_frame if deflated else message_frame
            self._outlet = MessageOutlet(transport, messages, wrap, self._have)
            if make_group is not None:
                audience = MessageAudience(make_group, messages, wrap)
        else:
            frame = compressed_document_frame if deflated else document_frame
            self._outlet = FrameOutlet(transport, frame)
            if make_group is not None:
                audience = FrameAudience(make_group, frame)
        expire = None if by_delta else self.expire
        subscription = self.delivery.feed.subscribe(self._outlet, with_state=by_delta, audience=audience, expire=expire)
        self._subscription = subscription
        # The first document may have filled the transport.
        if self._paused:
            subscription.pause()
        if not self.is_open:
            subscription.cancel()

    def _follow_items(self, visit: Visit, wrap: Wrap) -> None:
        items = Items(self, wrap, visit.visitor)
        self._subscription = items
        self.visit = None
        if self._paused:
            items.pause()
        items.begin(self.delivery, self._have, visit.wishes, None, visit.permit)
        if not self.is_open:
            items.cancel()

    def flooded(self) -> None:
        """FramedSubscriber API."""
        self.delivery.feed.tally.dropped["flood"] += 1

    def receive(self, payload: bytes) -> None:
        """FramedSubscriber API.

        Clients that follow by ``livefeed.delta.v1`` are answered ``{"have": VERSION}``. Other messages are ignored.
        """
        following = self._subscription
        if isinstance(following, Items):
            following.receive(payload)
            return
        if not isinstance(self._outlet, MessageOutlet) or not isinstance(following, Subscription):
            return
        try:
            have = msgspec.json.decode(payload, type=_Have).have
        except UNREADABLE:
            return
        # This comes first, because leaving the multicast sets the outlet's version to that of the multicast.
        following.leave_multicast()
        self._outlet.have = have
        if self.delivery.feed.snapshot is not None:
            following.deliver(self.delivery.feed.snapshot)

    def beat(self) -> None:
        """Member API. Sends a ping, or aborts the connection if the last pings were followed by no sign of life."""
        if self._paused:
            self._note_progress()
        elif -PINGS_SPARED < self._silent <= 0 and self._sent_at() > self._factory.clock.seconds() - PUSHED_S:
            self._silent -= 1
            return
        if self._silent >= PINGS_UNANSWERED:
            self.delivery.feed.tally.dropped["silent"] += 1
            self.transport.abortConnection()
            return
        self._silent = max(self._silent, 0) + 1
        # A client that does not read is sent no further ping.
        if self.is_open and not self._paused:
            self.transport.write(_PING)

    def _sent_at(self) -> float:
        """Gives when a push of something that the client follows began, or of a heartbeat about it."""
        following = self._subscription
        if isinstance(following, Items):
            return following.sent_at()
        feed = self.delivery.feed
        return feed.fanout.sent_at if isinstance(self._outlet, MessageOutlet) else feed.pushed_at

    def send_away(self, delay_ms: int) -> None:
        """Socket API. Begins the closing handshake (RFC 6455, 7.1.1). A client without an answer is aborted after 2 s.

        A client that follows by delta can read the delay from the close code, up to 9.98 s; every client can read it
        from the reason. A connection that is being closed already is left alone.
        """
        self._close_for(told(b"", delay_ms, problems.COME_BACK), delay_ms)

    def lose_access(self, delay_ms: int) -> None:
        """Begins the closing handshake as :meth:`send_away` does: the token has expired, or was revoked."""
        self._close_for(told(b"the token has ended; ", delay_ms, problems.TOKEN_EXPIRED), delay_ms)

    def _close_for(self, reason: bytes, delay_ms: int) -> None:
        if self.is_open:
            self.close(close_code(delay_ms) if self._agreement.subprotocol is not None else GOING_AWAY, reason)

    def expire(self) -> None:
        """Begins the closing handshake: a plain subscriber has no message for a document that must not be shown."""
        if self.delivery.feed.state is State.WITHDRAWN:
            delay = withdrawal_delay_ms()
            self.close(close_code(delay), told(b"the document is withdrawn; ", delay, problems.WITHDRAWN))
            return
        # The slots are random, because clients that come back are refused until there is a new document.
        slot = random_slot()
        self.close(COME_BACK + slot, told(b"the document has expired; ", delay_ms(slot), problems.EXPIRED))


class SubscriberFactory:
    """Makes a :class:`SubscriberProtocol` for each accepted handshake.

    :param reactor: the clock of all connections.
    :ivar protocols_open: the connections whose handshake is done and that are not closed. They are pinged by one timer.
    :ivar slots: the reconnect slots of clients whose handshakes are refused, since livefeed is being stopped; ``None``
        while handshakes are accepted.
    """

    slots: ReconnectSlots | None = None

    def __init__(self, *, reactor: IReactorTime) -> None:
        self.clock = reactor
        self._connections: WebSocketConnectionFactory | None = None
        self.protocols_open: Heartbeats[SubscriberProtocol] = Heartbeats(reactor, PING_INTERVAL_S)

    @property
    def connections(self) -> WebSocketConnectionFactory:
        """The factory of the connections of clients that send more than pongs.

        Autobahn is imported for the first of them, whose frame is answered 50 ms later: it takes 5.5 MB.
        """
        if self._connections is None:
            from livefeed.delivery.websocket.connection import WebSocketConnectionFactory  # noqa: PLC0415 - see above

            self._connections = WebSocketConnectionFactory(reactor=self.clock)
        return self._connections

    def build(
        self,
        delivery: Delivery,
        agreement: Agreement,
        have: str | None,
        visit: Visit | None = None,
        permit: Permit | None = None,
    ) -> SubscriberProtocol:
        """ConnectionFactory API."""
        protocol = SubscriberProtocol(self, delivery, agreement, have)
        if visit is not None:
            protocol.visit = visit
        elif permit is not None:
            protocol.permit = permit
        return protocol

    def let_go(self, slots: ReconnectSlots) -> None:
        """Refuses further handshakes, and closes all connections.

        :param slots: gives the times at which the clients come back.
        """
        self.slots = slots
        for subscriber in tuple(self.protocols_open):
            if subscriber.is_open:
                subscriber.send_away(slots.take_ms())
