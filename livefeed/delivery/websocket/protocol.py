"""A subscriber's WebSocket: it is sent each version of a feed, by the subprotocol that its handshake has agreed on.

Rule: documents do not pass through Autobahn (:mod:`livefeed.delivery.websocket.outlets`), which
:mod:`livefeed.delivery.websocket.connection` uses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

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
    withdrawal_delay_ms,
)
from livefeed.delivery.websocket.connection import WebSocketConnection, WebSocketConnectionFactory
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

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol, IReactorTime

    from livefeed.delivery.delivery import Delivery, Socket
    from livefeed.delivery.messages import Messages, Wrap
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


class SubscriberProtocol(WebSocketConnection):
    """A WebSocket that is sent each version of the feed, at the pace of its reader.

    The transport pauses it while its buffer is full. Nothing is written meanwhile, so a client that does not read
    cannot make the server's memory grow.
    """

    factory: SubscriberFactory
    messages: Messages
    sockets: dict[Socket, None]
    have: str | None = None
    is_event_stream = False
    # Only those of protected feeds have these two.
    permit: Permit | None = None
    admission: Admission | None = None
    # Only those that follow by livefeed.delta.v2 have these two.
    visit: Visit | None = None
    delivery: Delivery
    _outlet: FrameOutlet | MessageOutlet

    def onOpen(self) -> None:
        """WebSocketServerProtocol API."""
        self._forget_handshake()
        self._opened_at = self._now()
        self.factory.protocols_open.add(self)
        self.registerProducer(self, True)
        deflated = self._perMessageCompress is not None
        if self.visit is not None:
            self._follow_items(self.visit, compressed_item_frame if deflated else message_frame)
            return
        self.sockets[self] = None
        if self.permit is not None:
            self.admission = self.permit.begin(self.lose_access)
            self.permit = None
        make_group = group_maker(self.transport)
        audience: Audience | None = None
        by_delta = self.websocket_protocol_in_use == DELTA
        if by_delta:
            wrap = compressed_message_frame if deflated else message_frame
            self._outlet = MessageOutlet(self.transport, self.messages, wrap, self.have)
            if make_group is not None:
                audience = MessageAudience(make_group, self.messages, wrap)
        else:
            frame = compressed_document_frame if deflated else document_frame
            self._outlet = FrameOutlet(self.transport, frame)
            if make_group is not None:
                audience = FrameAudience(make_group, frame)
        expire = None if by_delta else self.expire
        subscription = self.feed.subscribe(self._outlet, with_state=by_delta, audience=audience, expire=expire)
        self._subscription = subscription
        # The first document may have filled the transport.
        if self._paused:
            subscription.pause()
        if self.state != self.STATE_OPEN:
            subscription.cancel()

    def _follow_items(self, visit: Visit, wrap: Wrap) -> None:
        items = Items(self, wrap, visit.visitor)
        self._subscription = items
        self.visit = None
        if self._paused:
            items.pause()
        items.begin(self.delivery, self.have, visit.wishes, None, visit.permit)
        if self.state != self.STATE_OPEN:
            items.cancel()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """WebSocketServerProtocol API.

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
        if self.feed.snapshot is not None:
            following.deliver(self.feed.snapshot)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """WebSocketServerProtocol API."""
        self.factory.protocols_open.discard(self)
        self.sockets.pop(self, None)
        if self.admission is not None:
            self.admission.leave()
        self._unsubscribe()

    def beat(self) -> None:
        """Member API. Sends a ping, or aborts the connection if the last pings were followed by no sign of life."""
        if self._paused:
            self._note_progress()
        elif -PINGS_SPARED < self._silent <= 0 and self._sent_at() > self._now() - PUSHED_S:
            self._silent -= 1
            return
        if self._silent >= PINGS_UNANSWERED:
            self.feed.tally.dropped["silent"] += 1
            self.dropConnection(abort=True)
            return
        self._silent = max(self._silent, 0) + 1
        # A client that does not read is sent no further ping.
        if self.state == self.STATE_OPEN and not self._paused:
            self.transport.write(_PING)

    def _sent_at(self) -> float:
        """Gives when a push of something that the client follows began, or of a heartbeat about it."""
        following = self._subscription
        if isinstance(following, Items):
            return following.sent_at()
        return self.feed.fanout.sent_at if isinstance(self._outlet, MessageOutlet) else self.feed.pushed_at

    def send_away(self, delay_ms: int) -> None:
        """Socket API. Begins the closing handshake (RFC 6455, 7.1.1). A client without an answer is aborted after 2 s.

        A client that follows by delta can read the delay from the close code, up to 9.98 s; every client can read it
        from the reason. A connection that is being closed already is left alone.
        """
        self._close_for(b"come back in %d ms" % delay_ms, delay_ms)

    def lose_access(self, delay_ms: int) -> None:
        """Begins the closing handshake as :meth:`send_away` does: the token has expired, or was revoked."""
        self._close_for(b"the token has ended; come back in %d ms" % delay_ms, delay_ms)

    def _close_for(self, reason: bytes, delay_ms: int) -> None:
        if self.state != self.STATE_OPEN:
            return
        code = close_code(delay_ms) if self.websocket_protocol_in_use is not None else GOING_AWAY
        # Autobahn's sendClose does not accept 1001.
        self.sendCloseFrame(code=code, reasonUtf8=reason)

    def expire(self) -> None:
        """Begins the closing handshake: a plain subscriber has no message for a document that must not be shown."""
        if self.feed.state is State.WITHDRAWN:
            delay = withdrawal_delay_ms()
            reason = b"the document is withdrawn; come back in %d ms" % delay
            self.sendCloseFrame(code=close_code(delay), reasonUtf8=reason)
            return
        # The slots are random, because clients that come back are refused until there is a new document.
        slot = random_slot()
        reason = b"the document has expired; come back in %d ms" % delay_ms(slot)
        self.sendCloseFrame(code=COME_BACK + slot, reasonUtf8=reason)


class SubscriberFactory(WebSocketConnectionFactory):
    """Makes a :class:`SubscriberProtocol` for each accepted handshake.

    :param reactor: the clock of all connections.
    :ivar protocols_open: the connections whose handshake is done and that are not closed. They are pinged by one timer.
    :ivar slots: the reconnect slots of clients whose handshakes are refused, since livefeed is being stopped; ``None``
        while handshakes are accepted.
    """

    slots: ReconnectSlots | None = None

    def __init__(self, *, reactor: IReactorTime) -> None:
        super().__init__(SubscriberProtocol, reactor=reactor)
        self.protocols_open: Heartbeats[SubscriberProtocol] = Heartbeats(reactor, PING_INTERVAL_S)

    def build(
        self,
        address: Any,
        delivery: Delivery,
        have: str | None,
        visit: Visit | None = None,
        permit: Permit | None = None,
    ) -> IProtocol:
        """ConnectionFactory API."""
        protocol: Any = self.buildProtocol(address)
        protocol.feed = delivery.feed
        protocol.messages = delivery.messages
        protocol.sockets = delivery.sockets
        protocol.have = have
        if visit is not None:
            protocol.visit, protocol.delivery = visit, delivery
        elif permit is not None:
            protocol.permit = permit
        connection: IProtocol = protocol
        return connection

    def let_go(self, slots: ReconnectSlots) -> None:
        """Refuses further handshakes, and closes all connections.

        :param slots: gives the times at which the clients come back.
        """
        self.slots = slots
        for subscriber in tuple(self.protocols_open):
            if subscriber.state == subscriber.STATE_OPEN:
                subscriber.send_away(slots.take_ms())
