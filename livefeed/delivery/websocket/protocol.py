"""A subscriber's WebSocket (RFC 6455). The only module that imports Autobahn.

Rule: Autobahn only receives handshakes that are accepted (:mod:`livefeed.delivery.websocket.handshake`), and documents
do not pass through it (:mod:`livefeed.delivery.websocket.outlets`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import txaio
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.wamp.types import TransportDetails
from autobahn.websocket.compress import PerMessageDeflateOfferAccept
from autobahn.websocket.protocol import TrafficStats

from livefeed.delivery.flow_control import PausableSubscriber
from livefeed.delivery.framing import compressed_document_frame, document_frame
from livefeed.delivery.heartbeats import Heartbeats
from livefeed.delivery.items import Items, Visit
from livefeed.delivery.messages import MessageAudience, MessageOutlet
from livefeed.delivery.transports import group_maker
from livefeed.delivery.websocket.close_codes import (
    COME_BACK,
    DO_NOT_COME_BACK,
    GOING_AWAY,
    POLICY_VIOLATION,
    close_code,
    delay_ms,
    random_slot,
    withdrawal_delay_ms,
)
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
from livefeed.web.answers import SERVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IProtocol, IReactorTime
    from twisted.python.failure import Failure

    from livefeed.delivery.delivery import Delivery, Socket
    from livefeed.delivery.messages import Messages, Wrap
    from livefeed.feed.fanout import Audience
    from livefeed.feed.feed import Feed
    from livefeed.web.reconnect_slots import ReconnectSlots

PING_INTERVAL_S = 25
"""Seconds between two pings. The strictest mobile networks forget a silent connection after 30 s."""

PINGS_UNANSWERED = 2
"""Number of consecutive pings without a sign of life before the connection is dropped: 50 s, enough for a ping that
waits behind a document."""

PINGS_SPARED = 3
"""Number of consecutive pings that are skipped while documents are pushed, which keep a connection alive as well. With
10,000 subscribers, a ping every 25 s and its pong took 2 of the 18 µs that each push takes."""

PUSHED_S = 4
"""Seconds after the last push for which pings are skipped: the next ping then comes within 30 s of that push."""

MAX_MESSAGE_BYTES = 4096
"""Limit of a client's message in bytes, also after decompression. The only messages that count are a version."""

FREE_FRAMES = 100
"""Limit of the frames that a client may send, plus one per second since the connection was opened."""

CLOSE_TIMEOUT_S = 2

# A ping with four bytes (RFC 6455, 5.5.2), and the start of a pong with four bytes: it is masked, as a client sends it.
_PING = b"\x89\x04live"
_PONG_START, _PONG_BYTES = b"\x8a\x84", 10


class _Have(msgspec.Struct):
    """A client's message: the version that it has; ``None`` if it asks for the whole document."""

    have: Annotated[str, msgspec.Meta(max_length=MAX_NAMED_LENGTH)] | None


_HANDSHAKE_ATTRIBUTES = {
    "http_headers",
    "http_request_data",
    "http_request_host",
    "http_request_params",
    "http_request_path",
    "http_request_uri",
    "http_response_data",
    "http_status_line",
    "send_queue",
    "trafficStats",
    "websocket_extensions",
    "websocket_protocols",
    "_wskey",
}

_txaio: Any = txaio  # it gets its functions when Autobahn is imported
_NEVER_USED: deque[Any] = deque()
_DETAILS = TransportDetails(is_server=True, is_secure=False)


class SubscriberProtocol(PausableSubscriber, WebSocketServerProtocol):  # type: ignore[misc] # Autobahn's bases disagree
    """A WebSocket that is sent each version of the feed, at the pace of its reader.

    The transport pauses it while its buffer is full. Nothing is written meanwhile, so a client that does not read
    cannot make the server's memory grow. Of the pings that arrive meanwhile, only the last is answered, later
    (RFC 6455, 5.5.3).
    """

    factory: SubscriberFactory

    # Shared by all connections: the queue stays empty, since writes are never chopped, and the statistics are not read.
    send_queue = _NEVER_USED
    trafficStats = TrafficStats()

    feed: Feed
    messages: Messages
    sockets: dict[Socket, None]
    have: str | None = None
    is_event_stream = False
    # Only those that follow by livefeed.delta.v2 have these two.
    visit: Visit | None = None
    delivery: Delivery
    _outlet: FrameOutlet | MessageOutlet
    _received = 0
    _opened_at = 0.0
    _abort_call: IDelayedCall | None = None
    _ping: bytes | None = None  # the payload of the last ping that was not answered

    def connectionMade(self) -> None:
        """IProtocol API."""
        # Autobahn's method asks Twisted's TLS for a channel id, which other transports lack and livefeed does not use.
        self._transport_details = _DETAILS
        self.peer = ""
        self._connectionMade()

    # Autobahn's API

    # Autobahn logs single connections, so a client could write any number of lines.
    log = _txaio.make_logger(level="critical")

    def onConnect(self, request: Any) -> str | None:
        """WebSocketServerProtocol API. Chooses the subprotocol."""
        # The handshake has chosen it; no other one is among those that Autobahn reads.
        return next(iter(request.protocols), None)

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
        items.begin(self.delivery, self.have, visit.wishes)
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
        except msgspec.DecodeError:
            return
        # This comes first, because leaving the multicast sets the outlet's version to that of the multicast.
        following.leave_multicast()
        self._outlet.have = have
        if self.feed.snapshot is not None:
            following.deliver(self.feed.snapshot)

    def onFrameBegin(self) -> None:
        """WebSocketProtocol API. Frames of all kinds are counted."""
        self._count_frame()
        super().onFrameBegin()

    def onPing(self, payload: bytes) -> None:
        """WebSocketServerProtocol API."""
        if self._paused:
            self._ping = payload
        else:
            super().onPing(payload)

    def resumeProducing(self) -> None:
        """IPushProducer API."""
        if self._ping is not None:
            ping, self._ping = self._ping, None
            self._paused = False
            super().onPing(ping)
            if self._paused:
                return  # the pong has filled the transport
        super().resumeProducing()

    def dataReceived(self, data: bytes) -> None:
        """IProtocol API."""
        # After it has failed a connection, Autobahn would continue to read, without limits.
        if self.failedByMe:
            return
        if not self._paused:
            self._silent = 0
        if len(data) == _PONG_BYTES and data.startswith(_PONG_START) and not self.data and self.current_frame is None:
            # One whole pong, whose payload is not needed. Autobahn takes 50 µs for it, as long as for 3 documents.
            self._count_frame()
        else:
            super().dataReceived(data)

    def beat(self) -> None:
        """Member API. Sends a ping, or aborts the connection if the last pings were followed by no sign of life."""
        if self._paused:
            self._note_progress()
        elif -PINGS_SPARED < self._silent <= 0 and self._pushed_at() > self._now() - PUSHED_S:
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

    def _pushed_at(self) -> float:
        """Gives when a push of something that the client follows began."""
        following = self._subscription
        return following.pushed_at() if isinstance(following, Items) else self.feed.pushed_at

    def _now(self) -> float:
        seconds: float = self.factory.reactor.seconds()
        return seconds

    def _count_frame(self) -> None:
        self._received += 1
        if self._received > FREE_FRAMES + self._now() - self._opened_at:
            by_delta = self.websocket_protocol_in_use is not None
            if not self.failedByMe:
                self.feed.tally.dropped["flood"] += 1
            self._fail_connection(DO_NOT_COME_BACK if by_delta else POLICY_VIOLATION, "too many frames")

    def _fail_connection(self, code: int = GOING_AWAY, reason: str = "") -> None:
        if not self.failedByMe:
            super()._fail_connection(code, reason)

    def _protocol_violation(self, reason: str) -> bool:
        super()._protocol_violation(reason)
        return self._read_no_more()

    def _invalid_payload(self, reason: str) -> bool:
        super()._invalid_payload(reason)
        return self._read_no_more()

    def _forget_handshake(self) -> None:
        """Frees what an open connection does not need: 3.5 KB of the 8 KB that Autobahn keeps for each connection."""
        kept = {name: value for name, value in self.__dict__.items() if name not in _HANDSHAKE_ATTRIBUTES}
        self.__dict__ = kept

    def processData(self) -> bool:
        """WebSocketProtocol API."""
        # The rest of a read whose frame was refused is not parsed either: 2,700 frames took 20 ms.
        if self.failedByMe:
            self._read_no_more()
            return False
        goes_on: bool = super().processData()
        return goes_on

    def _read_no_more(self) -> bool:
        self.data = b""
        return True

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """WebSocketServerProtocol API."""
        self.factory.protocols_open.discard(self)
        self.sockets.pop(self, None)
        self._unsubscribe()

    def sendCloseFrame(self, *arguments: Any, **named: Any) -> None:
        """WebSocketProtocol API. Nothing is sent after a close frame (RFC 6455, 5.5.1)."""
        self._unsubscribe()
        super().sendCloseFrame(*arguments, **named)

    def send_away(self, delay_ms: int) -> None:
        """Socket API. Begins the closing handshake (RFC 6455, 7.1.1). A client without an answer is aborted after 2 s.

        A client that follows by delta can read the delay from the close code, up to 9.98 s; every client can read it
        from the reason. A connection that is being closed already is left alone.
        """
        if self.state != self.STATE_OPEN:
            return
        code = close_code(delay_ms) if self.websocket_protocol_in_use is not None else GOING_AWAY
        # Autobahn's sendClose does not accept 1001.
        self.sendCloseFrame(code=code, reasonUtf8=b"come back in %d ms" % delay_ms)

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

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """IProtocol API."""
        if self._abort_call is not None:
            self._abort_call.cancel()
            self._abort_call = None
        super().connectionLost(reason)
        # The result of this Deferred is the protocol. Without the cycle, reference counts free both.
        self.is_closed = None
        self._leave_transport()

    def _closeConnection(self, abort: bool = False) -> None:
        # Autobahn resets the connection after the closing handshake, or after it has failed the connection. Here it is
        # ended in order instead, and aborted after a while: a client may never end its side of TLS.
        abort = abort and not self.wasClean and not self.failedByMe
        if not abort and self._abort_call is None:
            self._abort_call = self.factory.reactor.callLater(CLOSE_TIMEOUT_S, self._abort)
        super()._closeConnection(abort)

    def _abort(self) -> None:
        self._abort_call = None
        self.transport.abortConnection()


@dataclass(frozen=True, slots=True)
class _Timer:
    """Replaces Autobahn's batched timer, which uses the global reactor."""

    reactor: IReactorTime

    def call_later(self, delay_s: float, call: Callable[[], object]) -> IDelayedCall:
        """IBatchedTimer API."""
        return self.reactor.callLater(delay_s, call)


class SubscriberFactory(WebSocketServerFactory):
    """Makes a :class:`SubscriberProtocol` for each accepted handshake.

    :param reactor: the clock of all connections.
    :ivar protocols_open: the connections whose handshake is done and that are not closed. They are pinged by one timer.
    :ivar slots: the reconnect slots of clients whose handshakes are refused, since livefeed is being stopped; ``None``
        while handshakes are accepted.
    """

    slots: ReconnectSlots | None = None

    def __init__(self, *, reactor: IReactorTime) -> None:
        super().__init__(server=SERVER.decode(), reactor=reactor)
        self._batched_timer = _Timer(reactor)
        self.protocols_open: Heartbeats[SubscriberProtocol] = Heartbeats(reactor, PING_INTERVAL_S)
        self.setProtocolOptions(
            versions=[13],
            webStatus=False,
            maxFramePayloadSize=MAX_MESSAGE_BYTES,
            maxMessagePayloadSize=MAX_MESSAGE_BYTES,
            failByDrop=False,
            openHandshakeTimeout=CLOSE_TIMEOUT_S,
            closeHandshakeTimeout=CLOSE_TIMEOUT_S,
            tcpNoDelay=True,
            # One timer pings all connections instead. Autobahn's took 100 µs for each ping and its pong, and 1 KB.
            autoPingInterval=0,
            utf8validateIncoming=True,
            requireMaskedClientFrames=True,
            perMessageCompressionAccept=_accept_deflate,
        )
        # Autobahn copies its options into each protocol, except for those that the protocol has from its class.
        options = {name: getattr(self, name) for name in SubscriberProtocol.CONFIG_ATTRS}
        options["perMessageCompressionAccept"] = staticmethod(_accept_deflate)
        self.protocol: Any = type("SubscriberProtocol", (SubscriberProtocol,), options)

    def build(self, address: Any, delivery: Delivery, have: str | None, visit: Visit | None = None) -> IProtocol:
        """ConnectionFactory API."""
        protocol: Any = self.buildProtocol(address)
        protocol.feed = delivery.feed
        protocol.messages = delivery.messages
        protocol.sockets = delivery.sockets
        protocol.have = have
        if visit is not None:
            protocol.visit, protocol.delivery = visit, delivery
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


def _accept_deflate(offers: list[Any]) -> PerMessageDeflateOfferAccept:
    """Autobahn's API. The one offer is accepted: neither side keeps a context from message to message."""
    return PerMessageDeflateOfferAccept(
        offers[0], request_no_context_takeover=True, no_context_takeover=True, max_message_size=MAX_MESSAGE_BYTES
    )
