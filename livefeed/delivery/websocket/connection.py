"""The frames of a WebSocket's client (RFC 6455) within limits, read by Autobahn. The only module that imports Autobahn.

Rules: a connection that has failed or is closed reads nothing more, and sends nothing more. Each frame counts, of
whatever kind, and a client cannot write to the log. Autobahn takes a connection over after the opening handshake, which
:mod:`livefeed.delivery.websocket.handshake` has answered; it is shown a request that leads to the same agreement.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import txaio
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.wamp.types import TransportDetails
from autobahn.websocket.compress import PerMessageDeflateOfferAccept
from autobahn.websocket.protocol import TrafficStats

from livefeed.delivery.websocket.close_codes import CLOSE_TIMEOUT_S, DO_NOT_COME_BACK, GOING_AWAY, POLICY_VIOLATION
from livefeed.web import problems
from livefeed.web.answers import SERVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from livefeed.delivery.websocket.agreement import Agreement

MAX_MESSAGE_BYTES = 4096
"""Limit of a client's message in bytes, also after decompression. The only messages that count are a version."""

# A handshake as Autobahn reads it. The key is that of RFC 6455, 1.3: nobody reads the answer.
_REQUEST = (
    b"GET / HTTP/1.1\r\nHost: livefeed\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)

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
_FLOOD = f"too many frames; see {problems.TOO_MANY_FRAMES.path}"
_NEVER_USED: deque[Any] = deque()
_DETAILS = TransportDetails(is_server=True, is_secure=False)


class FrameListener(Protocol):
    """The requirements on the subscriber whose client's frames are read."""

    @property
    def is_full(self) -> bool:
        """Whether the transport can take nothing now."""

    def count_frame(self) -> None:
        """Counts a frame of the client."""

    def receive(self, payload: bytes) -> None:
        """Handles a message of the client."""

    def unfollow(self) -> None:
        """Ends the subscription: a close frame is about to be sent."""

    def ended(self) -> None:
        """Handles the end of the connection."""


class _Mute:
    """Takes the place of the transport while Autobahn answers its handshake: the client's has been answered."""

    def write(self, data: bytes) -> None:
        """ITransport API."""


class WebSocketConnection(WebSocketServerProtocol):
    """Reads the frames of one client, answers pings and close frames, and refuses errors.

    Nothing is written while the transport is full. Of the pings that arrive meanwhile, only the last is answered, later
    (RFC 6455, 5.5.3).

    :ivar subscriber: is told of messages, and of the end.
    """

    # Shared by all connections: the queue stays empty, since writes are never chopped, and the statistics are not read.
    send_queue = _NEVER_USED
    trafficStats = TrafficStats()

    # Autobahn logs single connections, so a client could write any number of lines.
    log = _txaio.make_logger(level="critical")

    subscriber: FrameListener
    transport: Any
    _abort_call: IDelayedCall | None = None
    _ping: bytes | None = None  # the payload of the last ping that was not answered

    def connectionMade(self) -> None:
        """IProtocol API."""
        # Autobahn's method asks Twisted's TLS for a channel id, which other transports lack and livefeed does not use.
        self._transport_details = _DETAILS
        self.peer = ""
        self._connectionMade()

    @property
    def is_between_frames(self) -> bool:
        """Whether the next byte from the client begins a frame."""
        return not self.data and self.current_frame is None

    @property
    def is_at_work(self) -> bool:
        """Whether neither side has begun to close the connection."""
        is_open: bool = self.state == self.STATE_OPEN
        return is_open

    # Autobahn's API

    def onConnect(self, request: Any) -> str | None:
        """WebSocketServerProtocol API. Chooses the subprotocol."""
        # The handshake has chosen it; no other one is among those that Autobahn reads.
        return next(iter(request.protocols), None)

    def onOpen(self) -> None:
        """WebSocketServerProtocol API."""
        self._forget_handshake()

    def onFrameBegin(self) -> None:
        """WebSocketProtocol API. Frames of all kinds are counted."""
        self.subscriber.count_frame()
        super().onFrameBegin()

    def onPing(self, payload: bytes) -> None:
        """WebSocketServerProtocol API."""
        if self.subscriber.is_full:
            self._ping = payload
        else:
            super().onPing(payload)

    def answer_ping(self) -> None:
        """Answers the last ping that arrived while the transport was full, if there is one."""
        if self._ping is not None:
            ping, self._ping = self._ping, None
            super().onPing(ping)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """WebSocketServerProtocol API."""
        self.subscriber.receive(payload)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """WebSocketServerProtocol API."""
        self.subscriber.ended()

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
        self.subscriber.unfollow()
        super().sendCloseFrame(*arguments, **named)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """IProtocol API."""
        if self._abort_call is not None:
            self._abort_call.cancel()
            self._abort_call = None
        super().connectionLost(reason)
        # The result of this Deferred is the protocol. Without the cycle, reference counts free both.
        self.is_closed = None

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

    def refuse_flood(self) -> None:
        """Fails the connection of a client that has sent too many frames."""
        by_delta = self.websocket_protocol_in_use is not None
        self._fail_connection(DO_NOT_COME_BACK if by_delta else POLICY_VIOLATION, _FLOOD)

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
    """Makes the connections.

    :param reactor: the clock of all connections.
    """

    def __init__(self, *, reactor: IReactorTime) -> None:
        super().__init__(server=SERVER.decode(), reactor=reactor)
        self._batched_timer = _Timer(reactor)
        self.setProtocolOptions(
            versions=[13],
            webStatus=False,
            maxFramePayloadSize=MAX_MESSAGE_BYTES,
            maxMessagePayloadSize=MAX_MESSAGE_BYTES,
            failByDrop=False,
            openHandshakeTimeout=0,
            closeHandshakeTimeout=CLOSE_TIMEOUT_S,
            tcpNoDelay=True,
            # One timer pings all connections instead. Autobahn's took 100 µs for each ping and its pong, and 1 KB.
            autoPingInterval=0,
            utf8validateIncoming=True,
            requireMaskedClientFrames=True,
            perMessageCompressionAccept=_accept_deflate,
        )
        # Autobahn copies its options into each protocol, except for those that the protocol has from its class.
        options = {name: getattr(self, name) for name in WebSocketConnection.CONFIG_ATTRS}
        options["perMessageCompressionAccept"] = staticmethod(_accept_deflate)
        self.protocol: Any = type("WebSocketConnection", (WebSocketConnection,), options)

    def take_over(
        self,
        subscriber: FrameListener,
        agreement: Agreement,
        goodbye: tuple[int, bytes] | None,
        abort_call: IDelayedCall | None,
    ) -> WebSocketConnection:
        """Makes the connection of a client whose handshake was answered. Its transport is still to be set.

        :param goodbye: the code and the reason of the close frame that was sent; ``None`` if none was.
        :param abort_call: ends the time that the client has to answer this frame.
        """
        connection: Any = self.buildProtocol(None)
        connection.subscriber = subscriber
        connection.makeConnection(_Mute())
        offer, name = agreement.extension, agreement.subprotocol
        connection.dataReceived(
            b"%s%s%s\r\n"
            % (
                _REQUEST,
                b"Sec-WebSocket-Extensions: %s\r\n" % offer if offer else b"",
                b"Sec-WebSocket-Protocol: %s\r\n" % name.encode() if name else b"",
            )
        )
        if goodbye is not None:
            code, reason = goodbye
            connection.sendCloseFrame(code=code, reasonUtf8=reason)
            if abort_call is not None:
                connection.closeHandshakeTimeoutCall.reset(max(abort_call.getTime() - self.reactor.seconds(), 0.0))
        made: WebSocketConnection = connection
        return made


def _accept_deflate(offers: list[Any]) -> PerMessageDeflateOfferAccept:
    """Autobahn's API. The one offer is accepted: neither side keeps a context from message to message."""
    return PerMessageDeflateOfferAccept(
        offers[0], request_no_context_takeover=True, no_context_takeover=True, max_message_size=MAX_MESSAGE_BYTES
    )
