"""A WebSocket connection (RFC 6455) with limits, by Autobahn. The only module that imports Autobahn.

Rules: a connection that has failed or is closed reads nothing more, and sends nothing more. Each frame counts, of
whatever kind, and a client cannot write to the log. Autobahn only receives handshakes that are accepted
(:mod:`livefeed.delivery.websocket.handshake`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import txaio
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.wamp.types import TransportDetails
from autobahn.websocket.compress import PerMessageDeflateOfferAccept
from autobahn.websocket.protocol import TrafficStats

from livefeed.delivery.flow_control import PausableSubscriber
from livefeed.delivery.websocket.close_codes import DO_NOT_COME_BACK, GOING_AWAY, POLICY_VIOLATION
from livefeed.web.answers import SERVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from livefeed.feed.feed import Feed

MAX_MESSAGE_BYTES = 4096
"""Limit of a client's message in bytes, also after decompression. The only messages that count are a version."""

FREE_FRAMES = 100
"""Limit of the frames that a client may send, plus one per second since the connection was opened."""

CLOSE_TIMEOUT_S = 2

# The start of a pong with four bytes, as a client sends it: it is masked (RFC 6455, 5.5.3).
_PONG_START, _PONG_BYTES = b"\x8a\x84", 10

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


class WebSocketConnection(PausableSubscriber, WebSocketServerProtocol):  # type: ignore[misc] # Autobahn's bases disagree
    """A WebSocket that limits its client, and reads and writes at the pace of its transport.

    Nothing is written while the transport is full. Of the pings that arrive meanwhile, only the last is answered, later
    (RFC 6455, 5.5.3).

    :ivar feed: counts the clients that are disconnected for a reason.
    """

    # Shared by all connections: the queue stays empty, since writes are never chopped, and the statistics are not read.
    send_queue = _NEVER_USED
    trafficStats = TrafficStats()

    # Autobahn logs single connections, so a client could write any number of lines.
    log = _txaio.make_logger(level="critical")

    feed: Feed
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

    def onConnect(self, request: Any) -> str | None:
        """WebSocketServerProtocol API. Chooses the subprotocol."""
        # The handshake has chosen it; no other one is among those that Autobahn reads.
        return next(iter(request.protocols), None)

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

    def processData(self) -> bool:
        """WebSocketProtocol API."""
        # The rest of a read whose frame was refused is not parsed either: 2,700 frames took 20 ms.
        if self.failedByMe:
            self._read_no_more()
            return False
        goes_on: bool = super().processData()
        return goes_on

    def sendCloseFrame(self, *arguments: Any, **named: Any) -> None:
        """WebSocketProtocol API. Nothing is sent after a close frame (RFC 6455, 5.5.1)."""
        self._unsubscribe()
        super().sendCloseFrame(*arguments, **named)

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

    # Inside

    def _abort(self) -> None:
        self._abort_call = None
        self.transport.abortConnection()

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

    def _read_no_more(self) -> bool:
        self.data = b""
        return True

    def _forget_handshake(self) -> None:
        """Frees what an open connection does not need: 3.5 KB of the 8 KB that Autobahn keeps for each connection."""
        kept = {name: value for name, value in self.__dict__.items() if name not in _HANDSHAKE_ATTRIBUTES}
        self.__dict__ = kept


@dataclass(frozen=True, slots=True)
class _Timer:
    """Replaces Autobahn's batched timer, which uses the global reactor."""

    reactor: IReactorTime

    def call_later(self, delay_s: float, call: Callable[[], object]) -> IDelayedCall:
        """IBatchedTimer API."""
        return self.reactor.callLater(delay_s, call)


class WebSocketConnectionFactory(WebSocketServerFactory):
    """Makes a connection for each accepted handshake.

    :param protocol: the class of the connections.
    :param reactor: the clock of all connections.
    """

    def __init__(self, protocol: type[WebSocketConnection], *, reactor: IReactorTime) -> None:
        super().__init__(server=SERVER.decode(), reactor=reactor)
        self._batched_timer = _Timer(reactor)
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
        options = {name: getattr(self, name) for name in protocol.CONFIG_ATTRS}
        options["perMessageCompressionAccept"] = staticmethod(_accept_deflate)
        self.protocol: Any = type(protocol.__name__, (protocol,), options)


def _accept_deflate(offers: list[Any]) -> PerMessageDeflateOfferAccept:
    """Autobahn's API. The one offer is accepted: neither side keeps a context from message to message."""
    return PerMessageDeflateOfferAccept(
        offers[0], request_no_context_takeover=True, no_context_takeover=True, max_message_size=MAX_MESSAGE_BYTES
    )
