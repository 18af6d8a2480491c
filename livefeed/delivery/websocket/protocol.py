"""Subscribers on a WebSocket (RFC 6455). The only file that imports Autobahn.

Rule: twisted.web has parsed the request and this file has judged it before Autobahn sees a handshake, so that a
refusal is an ordinary answer and Autobahn is only handed what it accepts.
"""

from __future__ import annotations

import base64
import binascii
import math
import random
import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import txaio
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.wamp.types import TransportDetails
from autobahn.websocket.compress import PerMessageDeflateOfferAccept
from autobahn.websocket.protocol import TrafficStats
from twisted.web.server import NOT_DONE_YET

from livefeed.delivery.flow_control import PausableSubscriber
from livefeed.delivery.heartbeats import Heartbeats
from livefeed.delivery.messages import MessageAudience, MessageOutlet, SnapshotMessage
from livefeed.document.codings import (
    MAX_PARAMETERS,
    deflate_around,
    deflate_message,
    is_large,
    members_of,
    websocket_text_frame,
)
from livefeed.document.snapshot import MAX_NAMED_LENGTH, named_version
from livefeed.web.answers import SERVER, refuse, refuse_expired, refuse_one_more
from livefeed.web.negotiation import field_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from livefeed.delivery.delivery import Delivery, Socket
    from livefeed.delivery.messages import MakeGroup, Messages
    from livefeed.document.snapshot import Snapshot
    from livefeed.feed.feed import Audience, Feed
    from livefeed.web.cors import Origins
    from livefeed.web.request import Request

DELTA = "livefeed.delta.v1"
"""The subprotocol of :mod:`livefeed.delivery.messages`."""

GOING_AWAY = 1001
POLICY_VIOLATION = 1008

COME_BACK = 3000
SLOTS = 500
SLOT_S = 0.02
"""The first of the 500 close codes that say 'come back' in livefeed's subprotocols, each a slot later than the last."""

DO_NOT_COME_BACK = 3500
"""The first of the close codes of livefeed's subprotocols to clients that have to be mended."""

AWAY_S = 1.0
"""Seconds after which the first may come back. A restart may take longer: a client that finds nobody comes again."""

RETURNS_PER_S = 1000
"""Clients that come back in a second, as far as there are slots: with TLS they take less than half of a core."""

PING_INTERVAL_S = 25
"""Below the 30 s after which the strictest mobile networks forget a silent connection."""

PINGS_UNANSWERED = 2
"""Pings in a row without a sign of life before the drop: 50 s, enough for a ping that waits behind a document."""

PINGS_SPARED = 3
"""Pings that are left out in a row while documents are pushed, which networks on the way notice as well. With 10,000
subscribers a ping each 25 s, and its pong, were 2 of the 18 µs that a delivery took."""

PUSHED_S = 4
"""Documents count as pushed for as many seconds after the last: a ping that is left out is due within 30 s of that."""

MAX_OFFERS_BYTES = 2048
"""Ten times what the longest offers of extensions take; 15 KB of them took 2 ms to be read."""

MAX_MESSAGE_BYTES = 4096
"""A subscriber has nothing to say; its messages are read up to this size, and ignored."""

FREE_FRAMES = 100
"""Frames, and one more each second, that a subscriber may send before it is shown out."""

CLOSE_TIMEOUT_S = 2
KEY_BYTES = 16

# A ping with four bytes (RFC 6455, 5.5.2), and how a pong with as many begins: masked, since a client sends it.
_PING = b"\x89\x04live"
_PONG_START, _PONG_BYTES = b"\x8a\x84", 10

_DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover%s\r\n"
_FULL_WINDOW = b"; server_max_window_bits=15"


class _Have(msgspec.Struct):
    """The version that a client says it has; ``None`` if it wants the whole document."""

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
# The parameters of an offer that is accepted (RFC 7692, 7.1). A value may stand in quotes. A window of 15 bits for the
# server is no limit, and some clients ask for it by themselves.
_DEFLATE_PARAMETER = re.compile(
    rb"(?:client|server)_no_context_takeover"
    rb'|client_max_window_bits(?:[ \t]*=[ \t]*"?(?:[89]|1[0-5])"?)?'
    rb'|server_max_window_bits[ \t]*=[ \t]*"?15"?'
)
# extension-list (RFC 6455, 9.1); empty members are allowed, and a value in quotes is a token, too.
_CHARACTER = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_TOKEN = _CHARACTER + rb"++"
_VALUE = rb'[ \t]*+=[ \t]*+(?:%s|"(?>\\?+%s)++")' % (_TOKEN, _CHARACTER)
# Before 3.11.5, Python loses its place where what is repeated possessively fails half-way, unless that is atomic.
_EXTENSION = rb"%s(?>[ \t]*+;[ \t]*+%s(?>%s)?+)*+" % (_TOKEN, _TOKEN, _VALUE)
_EXTENSIONS = re.compile(rb"[ \t,]*+%s(?>[ \t]*+,[ \t,]*+%s)*+[ \t,]*+" % (_EXTENSION, _EXTENSION))


_txaio: Any = txaio  # whose functions are put there when Autobahn is imported
_NEVER_USED: deque[Any] = deque()
_DETAILS = TransportDetails(is_server=True, is_secure=False)


@dataclass(slots=True, eq=False)
class _Outlet:
    """Where a subscriber's snapshots go: straight to the transport.

    It writes what Autobahn's ``sendPreparedMessage`` would. Neither that nor the protocol is touched: with 10,000
    subscribers their memory is in no cache, and each would take as long as everything else in Python does.
    """

    transport: Any
    _deflated: bool

    def send(self, snapshot: Snapshot) -> None:
        """Subscriber API."""
        self.transport.write(snapshot.compressed_frame if self._deflated else snapshot.frame)

    def drop(self) -> None:
        """Subscriber API. A close frame would be one more thing that can fail; 1006 has clients come back, too."""
        self.transport.abortConnection()


class _MulticastOutlet(_Outlet):
    """Where the snapshots of many go: its transport is a group of theirs."""

    __slots__ = ()

    def add(self, outlet: _Outlet) -> None:
        """Multicast API."""
        self.transport.add(outlet.transport)

    def discard(self, outlet: _Outlet) -> None:
        """Multicast API."""
        self.transport.discard(outlet.transport)


@dataclass(frozen=True, slots=True)  # two that are equal are one, and are made for each subscriber
class _FrameAudience:
    """The subscribers on one kind of transport that are sent the same frames."""

    _make_transports: MakeGroup
    _deflated: bool

    def make_multicast(self) -> _MulticastOutlet:
        """Audience API."""
        return _MulticastOutlet(self._make_transports(), self._deflated)


def _frame(message: bytes, _: str) -> bytes:
    return websocket_text_frame(message)


def _compressed_frame(message: bytes, _: str) -> bytes:
    if isinstance(message, SnapshotMessage) and is_large(message) and not message.snapshot.is_bare():
        # The document was compressed before it was published, and better than there would be time for here.
        end = message.start + len(message.snapshot.data)
        payload = deflate_around(message[: message.start], message.snapshot.deflated, message[end:])
    else:
        payload = deflate_message(message)
    return websocket_text_frame(payload, compressed=True)


class SubscriberProtocol(PausableSubscriber, WebSocketServerProtocol):  # type: ignore[misc] # Autobahn's bases disagree
    """A WebSocket that is sent each version of the feed, as far as its reader keeps up.

    The transport pauses it while its buffer is full. Nothing is written meanwhile, so that a client that does not read
    cannot make the server's memory grow; of the pings that came in, the last is answered then (RFC 6455, 5.5.3).
    """

    factory: SubscriberFactory

    # Shared by all: nothing is ever put into the one, since writes are never chopped, nor read out of the other.
    send_queue = _NEVER_USED
    trafficStats = TrafficStats()

    feed: Feed
    messages: Messages
    sockets: dict[Socket, None]
    have: str | None = None
    _outlet: _Outlet | MessageOutlet
    _received = 0
    _opened_at = 0.0
    _abort_call: IDelayedCall | None = None
    _ping: bytes | None = None  # the last that was not answered

    def connectionMade(self) -> None:
        """IProtocol API."""
        # Autobahn's own asks Twisted's TLS for a channel id, which no other transport has and nobody here wants.
        self._transport_details = _DETAILS
        self.peer = ""
        self._connectionMade()

    # Autobahn's API

    # Autobahn's lines about single connections are for nobody: there can be as many as a client wants.
    log = _txaio.make_logger(level="critical")

    def onConnect(self, request: Any) -> str | None:
        """WebSocketServerProtocol API. Chooses the subprotocol."""
        return DELTA if DELTA in request.protocols else None

    def onOpen(self) -> None:
        """WebSocketServerProtocol API."""
        self._forget_handshake()
        self._opened_at = self._now()
        self.factory.protocols_open.add(self)
        self.sockets[self] = None
        self.registerProducer(self, True)
        deflated = self._perMessageCompress is not None
        # Of the class: what wraps a transport, as Twisted's TLS does, hands on what it lacks. It must not be passed by.
        make_multicast = getattr(type(self.transport), "make_group", None)
        crowd: Audience | None = None
        by_delta = self.websocket_protocol_in_use == DELTA
        if by_delta:
            wrap = _compressed_frame if deflated else _frame
            self._outlet = MessageOutlet(self.transport, self.messages, wrap, self.have)
            if make_multicast is not None:
                crowd = MessageAudience(make_multicast, self.messages, wrap)
        else:
            self._outlet = _Outlet(self.transport, deflated)
            if make_multicast is not None:
                crowd = _FrameAudience(make_multicast, deflated)
        expire = None if by_delta else self.expire
        self._subscription = self.feed.subscribe(self._outlet, informed=by_delta, crowd=crowd, expire=expire)
        # The first document may have been more than the transport takes, or the last that it took.
        if self._paused:
            self._subscription.pause()
        if self.state != self.STATE_OPEN:
            self._subscription.cancel()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """WebSocketServerProtocol API. ``{"have": VERSION}`` is answered; anything else is ignored."""
        if not isinstance(self._outlet, MessageOutlet) or self._subscription is None:
            return
        try:
            have = msgspec.json.decode(payload, type=_Have).have
        except msgspec.DecodeError:
            return
        # First, since to leave the group writes into the outlet what the group has.
        self._subscription.leave_group()
        self._outlet.have = have
        if self.feed.snapshot is not None:
            self._subscription.send(self.feed.snapshot)

    def onFrameBegin(self) -> None:
        """WebSocketProtocol API. Every frame is counted, whatever is in it."""
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
                return  # that was as much as the transport takes
        super().resumeProducing()

    def dataReceived(self, data: bytes) -> None:
        """IProtocol API."""
        # Autobahn would go on reading, without limits, what it has refused already.
        if self.failedByMe:
            return
        if not self._paused:
            self._silent = 0
        if len(data) == _PONG_BYTES and data.startswith(_PONG_START) and not self.data and self.current_frame is None:
            # One whole pong, and nobody waits for what is in it. Autobahn takes 50 µs for it, as long as 3 documents.
            self._count_frame()
        else:
            super().dataReceived(data)

    def beat(self) -> None:
        """Member API. Sends a ping, or ends the connection if the last ones were followed by no sign of life."""
        if self._paused:
            self._note_progress()
        elif -PINGS_SPARED < self._silent <= 0 and self.feed.pushed_at > self._now() - PUSHED_S:
            self._silent -= 1
            return
        if self._silent >= PINGS_UNANSWERED:
            self.dropConnection(abort=True)
            return
        self._silent = max(self._silent, 0) + 1
        # A client that does not take what it was sent already is sent no ping behind it.
        if self.state == self.STATE_OPEN and not self._paused:
            self.transport.write(_PING)

    def _now(self) -> float:
        seconds: float = self.factory.reactor.seconds()
        return seconds

    def _count_frame(self) -> None:
        self._received += 1
        if self._received > FREE_FRAMES + self._now() - self._opened_at:
            by_delta = self.websocket_protocol_in_use == DELTA
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
        """Lets go of what is of no use to an open connection: 3.5 KB of the 8 KB that Autobahn keeps for each."""
        kept = {name: value for name, value in self.__dict__.items() if name not in _HANDSHAKE_ATTRIBUTES}
        self.__dict__ = kept

    def processData(self) -> bool:
        """WebSocketProtocol API."""
        # Nor is what came in one piece with what was refused: 2,700 frames took 20 ms.
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
        """WebSocketProtocol API. After a close frame nothing is sent (RFC 6455, 5.5.1)."""
        self._unsubscribe()
        super().sendCloseFrame(*arguments, **named)

    def send_away(self, slot: int) -> None:
        """Begins the closing handshake; a client that does not answer it is cut off (RFC 6455, 7.1.1).

        :param slot: how many times 20 ms from now it is to come back, 0 to 499. A client that follows by delta reads it
            from the code, another at most from the reason.
        """
        code = COME_BACK + slot if self.websocket_protocol_in_use == DELTA else GOING_AWAY
        # Autobahn's sendClose keeps 1001 to itself.
        self.sendCloseFrame(code=code, reasonUtf8=b"come back in %d ms" % (slot * SLOT_S * 1000))

    def evict(self) -> None:
        """Socket API. It is to come back as late as a code can say."""
        self.send_away(SLOTS - 1)

    def expire(self) -> None:
        """Begins the closing handshake, since the document may not be shown any more, and no message can say so."""
        # Not all together: they come back to be refused, for as long as there is nothing to show.
        slot = random.randrange(round(AWAY_S / SLOT_S), SLOTS)  # noqa: S311
        reason = b"the document has expired; come back in %d ms" % (slot * SLOT_S * 1000)
        self.sendCloseFrame(code=COME_BACK + slot, reasonUtf8=reason)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """IProtocol API."""
        if self._abort_call is not None:
            self._abort_call.cancel()
            self._abort_call = None
        super().connectionLost(reason)
        # Its result is this protocol: without it, nothing but reference counts is needed to free both.
        self.is_closed = None
        self._leave_transport()

    def _closeConnection(self, abort: bool = False) -> None:
        # Autobahn resets the connection where the client has answered the closing handshake, or was shown out. It waits
        # for ever for a client to end its side of TLS.
        abort = abort and not self.wasClean and not self.failedByMe
        if not abort and self._abort_call is None:
            self._abort_call = self.factory.reactor.callLater(CLOSE_TIMEOUT_S, self._abort)
        super()._closeConnection(abort)

    def _abort(self) -> None:
        self._abort_call = None
        self.transport.abortConnection()


@dataclass(frozen=True, slots=True)
class _Timer:
    """Takes the place of Autobahn's batched timer, which is bound to the global reactor."""

    reactor: IReactorTime

    def call_later(self, delay_s: float, call: Callable[[], object]) -> IDelayedCall:
        """IBatchedTimer API."""
        return self.reactor.callLater(delay_s, call)


class SubscriberFactory(WebSocketServerFactory):
    """Makes a :class:`SubscriberProtocol` of each accepted handshake.

    :param reactor: keeps their time.
    :ivar protocols_open: those whose handshake is done and that are not closed. They are pinged in rounds.
    :ivar going_away: whether livefeed is being stopped, so that handshakes are refused.
    """

    going_away = False

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
            # One timer for all of them does instead: Autobahn's took 100 µs for each ping and its pong, and 1 KB.
            autoPingInterval=0,
            utf8validateIncoming=True,
            requireMaskedClientFrames=True,
            perMessageCompressionAccept=_accept_deflate,
        )
        # Autobahn copies its options into each protocol, but for those that it has already: here, from its class.
        options = {name: getattr(self, name) for name in SubscriberProtocol.CONFIG_ATTRS}
        options["perMessageCompressionAccept"] = staticmethod(_accept_deflate)
        self.protocol: Any = type("SubscriberProtocol", (SubscriberProtocol,), options)

    def let_go(self) -> None:
        """Accepts nobody more, and sends everybody away, to come back one after the other."""
        self.going_away = True
        subscribers = tuple(self.protocols_open)
        first = round(AWAY_S / SLOT_S)
        slots = min(SLOTS - first, math.ceil(len(subscribers) / (RETURNS_PER_S * SLOT_S)))
        for number, subscriber in enumerate(subscribers):
            subscriber.send_away(first + number * slots // len(subscribers))


@dataclass(frozen=True, slots=True)
class Handshakes:
    """Judges handshakes, and hands the connection over to the factory's protocol.

    :ivar factory: what makes the protocol.
    :ivar origins: the origins whose pages may subscribe.
    """

    factory: SubscriberFactory
    origins: Origins

    def answer(self, request: Request, delivery: Delivery) -> int:
        """Answers a handshake (RFC 6455, 4.2): the connection becomes a WebSocket, or the request is refused.

        :param delivery: how what is asked for is followed.
        """
        if request.method != b"GET" or request.clientproto != b"HTTP/1.1":
            return refuse(request, 400, "A WebSocket handshake is a GET request of HTTP/1.1.")
        if b"upgrade" not in request.fields.connection_options:
            return refuse(request, 400, "The Connection field lacks the option Upgrade.")
        if field_of(request.requestHeaders, b"Sec-WebSocket-Version") != b"13":
            headers = [
                (b"Sec-WebSocket-Version", b"13"),
                (b"Upgrade", b"websocket"),
                (b"Connection", b"Upgrade"),
            ]
            return refuse(request, 426, "The server speaks version 13 of WebSocket.", headers)
        keys = request.requestHeaders.getRawHeaders(b"Sec-WebSocket-Key", [])
        if len(keys) != 1 or not _is_key(keys[0]):
            return refuse(request, 400, "The Sec-WebSocket-Key field is not 16 bytes in Base64.")
        extensions = field_of(request.requestHeaders, b"Sec-WebSocket-Extensions")
        # An empty field has no place in the grammar, but a widespread client sends one where it offers nothing.
        if extensions and (len(extensions) > MAX_OFFERS_BYTES or not _EXTENSIONS.fullmatch(extensions)):
            return refuse(request, 400, "The Sec-WebSocket-Extensions field is malformed or too long.")
        if not self.origins.allows_handshake(request.fields.keyed.origin, request.getHeader(b"Host") or b""):
            return refuse(request, 403, "Pages of this origin may not subscribe.")
        if self.factory.going_away:
            return refuse(request, 503, "The server is being stopped.", [(b"Retry-After", b"1")])
        offered = [
            name.strip() for name in members_of(field_of(request.requestHeaders, b"Sec-WebSocket-Protocol") or b"")
        ]
        if delivery.feed.is_gone() and DELTA.encode() not in offered:
            # The others are told what state the feed is in.
            state = (b"Livefeed-State", delivery.feed.state.value.encode())
            return refuse_expired(request, delivery.feed.next_tick_s(), [state])
        if delivery.full():
            return refuse_one_more(request)
        protocol: Any = self.factory.buildProtocol(request.getClientAddress())
        protocol.feed = delivery.feed
        protocol.messages = delivery.messages
        protocol.sockets = delivery.sockets
        protocol.have = named_version(request.args.get(b"have"))
        request.setResponseCode(101)
        request.channel.hand_over(protocol)
        # The handshake as Autobahn wants it: nothing of the client's is in it but the key.
        protocol.dataReceived(
            b"GET / HTTP/1.1\r\nHost: livefeed\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n%s%s\r\n"
            % (
                keys[0],
                accepted_deflate(extensions),
                b"Sec-WebSocket-Protocol: %s\r\n" % DELTA.encode() if DELTA.encode() in offered else b"",
            )
        )
        return NOT_DONE_YET


def accepted_deflate(extensions: bytes | None) -> bytes:
    """Gives the line of the handshake that takes up a client's offer of permessage-deflate (RFC 7692, 7.1).

    :param extensions: the field's value, well-formed; ``None`` if it was not sent. An offer that limits the server's
        window is passed over, since one frame is made for all, and so is one with more parameters than are looked at.
    :returns: ``b""`` if there is no offer that can be accepted. A window of 15 bits that was asked for is granted by
        name (7.1.2.1).
    """
    for offer in members_of((extensions or b"").lower().replace(b"\\", b"")):
        name, *parameters = (part.strip() for part in offer.split(b";", MAX_PARAMETERS))
        names = [parameter.partition(b"=")[0].strip() for parameter in parameters]
        known = all(map(_DEFLATE_PARAMETER.fullmatch, parameters))
        if name == b"permessage-deflate" and known and len(set(names)) == len(names):
            return _DEFLATE % (_FULL_WINDOW if b"server_max_window_bits" in names else b"")
    return b""


def _accept_deflate(offers: list[Any]) -> PerMessageDeflateOfferAccept:
    """Autobahn's API. The one offer is :data:`_DEFLATE`: neither side keeps a context from message to message."""
    return PerMessageDeflateOfferAccept(
        offers[0], request_no_context_takeover=True, no_context_takeover=True, max_message_size=MAX_MESSAGE_BYTES
    )


def _is_key(value: bytes) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) == KEY_BYTES
    except binascii.Error:
        return False
