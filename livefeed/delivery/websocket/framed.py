"""The frames between a subscriber's client and the server, and the closing handshake (RFC 6455, 5.5 and 7.1).

Most clients send nothing but pongs, and a close frame at the end. These are read here. Autobahn takes 3 KB and 0.15 ms
for a connection, so it reads the frames of a client from the first other one on
(:mod:`livefeed.delivery.websocket.connection`).

Rule: a read that is not one whole pong or close frame without an error is Autobahn's, and so is all that follows it.
"""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any, Protocol

from livefeed.delivery.flow_control import PausableSubscriber
from livefeed.delivery.websocket.close_codes import CLOSE_TIMEOUT_S

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from livefeed.delivery.websocket.agreement import Agreement
    from livefeed.delivery.websocket.connection import WebSocketConnection, WebSocketConnectionFactory

FREE_FRAMES = 100
"""Limit of the frames that a client may send, plus one per second since the connection was opened."""

# The start of a pong with four bytes, as a client sends it: it is masked (RFC 6455, 5.5.3).
_PONG_START, _PONG_BYTES = b"\x8a\x84", 10

# A close frame: its first byte, and the largest payload of a control frame (RFC 6455, 5.5).
_CLOSE, _MAX_PAYLOAD = 0x88, 125
_CLOSE_START = b"\x88"
_HEAD_BYTES = 6  # with the mask
_REPLY = b"\x88\x02\x03\xe8"  # 1000, whatever the client's code


class Connections(Protocol):
    """The requirements on the object that makes connections.

    :ivar clock: the clock of all connections.
    """

    clock: IReactorTime

    @property
    def connections(self) -> WebSocketConnectionFactory:
        """The factory of those whose frames Autobahn reads."""


class FramedSubscriber(PausableSubscriber):
    """A WebSocket whose handshake was answered; ``IProtocol``.

    :param factory: of all connections.
    :param agreement: the agreement of the handshake.
    :ivar connection: reads the frames; ``None`` while they are read here, and after the end.
    """

    connection: WebSocketConnection | None = None
    _received = 0
    _opened_at = 0.0
    _goodbye: tuple[int, bytes] | None = None  # the code and the reason of the close frame that was sent from here
    _is_over = False  # both sides have sent a close frame, or the connection has ended
    _abort_call: IDelayedCall | None = None

    def __init__(self, factory: Any, agreement: Agreement) -> None:
        self._factory = factory
        self._agreement = agreement

    def ended(self) -> None:
        """Handles the end of the connection."""
        raise NotImplementedError

    def flooded(self) -> None:
        """Handles that the connection is closed, since the client has sent too many frames."""
        raise NotImplementedError

    def receive(self, payload: bytes) -> None:
        """Handles a message of the client."""
        raise NotImplementedError

    # IProtocol

    def makeConnection(self, transport: Any) -> None:
        """IProtocol API."""
        self.transport = transport

    def dataReceived(self, data: bytes) -> None:
        """IProtocol API."""
        connection = self.connection
        # After it has failed a connection, Autobahn would continue to read, without limits.
        if self._is_over if connection is None else connection.failedByMe:
            return
        if not self._paused:
            self._silent = 0
        is_pong = len(data) == _PONG_BYTES and data.startswith(_PONG_START)
        if is_pong and (connection is None or connection.is_between_frames):
            # One whole pong, whose payload is not needed. Autobahn takes 50 µs for it, as long as for 3 documents.
            self.count_frame()
        elif connection is None and data.startswith(_CLOSE_START) and is_plain_close(data):
            self.count_frame()
            if self.connection is None:
                self._end()
        else:
            (connection or self._take_over()).dataReceived(data)

    def connectionLost(self, reason: Failure) -> None:
        """IProtocol API."""
        connection, self.connection = self.connection, None
        self._is_over = True
        self._cancel_abort()
        if connection is None:
            self.ended()
        else:
            connection.connectionLost(reason)
        self._leave_transport()

    def resumeProducing(self) -> None:
        """IPushProducer API."""
        if self.connection is not None:
            self._paused = False
            self.connection.answer_ping()
            if self._paused:
                return  # the pong has filled the transport
        super().resumeProducing()

    # The requirements of Autobahn's connection

    @property
    def is_full(self) -> bool:
        """Whether the transport can take nothing now."""
        return self._paused

    def count_frame(self) -> None:
        """Counts a frame of the client, and closes the connection if there were too many."""
        self._received += 1
        if self._received > FREE_FRAMES + self._factory.clock.seconds() - self._opened_at:
            connection = self.connection or self._take_over()
            if not connection.failedByMe:
                self.flooded()
            connection.refuse_flood()

    def unfollow(self) -> None:
        """Ends the subscription, since a close frame is about to be sent: nothing may follow it (RFC 6455, 5.5.1)."""
        self._unsubscribe()

    # Closing

    @property
    def is_open(self) -> bool:
        """Whether neither side has begun to close the connection."""
        if self.connection is not None:
            return self.connection.is_at_work
        return self._goodbye is None and not self._is_over

    def close(self, code: int, reason: bytes) -> None:
        """Begins the closing handshake, unless it has begun. A client without an answer is aborted after 2 s.

        :param reason: in UTF-8, at most 123 bytes.
        """
        if self.connection is not None:
            # Autobahn's sendClose does not accept 1001.
            self.connection.sendCloseFrame(code=code, reasonUtf8=reason)
        elif self.is_open:
            self.unfollow()
            self._goodbye = code, reason
            self.transport.write(bytes((_CLOSE, 2 + len(reason))) + code.to_bytes(2, "big") + reason)
            self._abort_later()

    def _end(self) -> None:
        """Ends the connection after the client's close frame (RFC 6455, 7.1.1)."""
        if self._goodbye is None:
            self.unfollow()
            self.transport.write(_REPLY)
        self._is_over = True
        self.transport.unregisterProducer()
        # In order, and aborted after a while: a client may never end its side of TLS.
        self._cancel_abort()
        self._abort_later()
        self.transport.loseConnection()

    def _abort_later(self) -> None:
        self._abort_call = self._factory.clock.callLater(CLOSE_TIMEOUT_S, self._abort)

    def _abort(self) -> None:
        self._abort_call = None
        self.transport.abortConnection()

    def _cancel_abort(self) -> None:
        call, self._abort_call = self._abort_call, None
        if call is not None:
            call.cancel()

    def _take_over(self) -> WebSocketConnection:
        """Has Autobahn read the frames from now on."""
        connection: WebSocketConnection
        connection = self._factory.connections.take_over(self, self._agreement, self._goodbye, self._abort_call)
        connection.transport = self.transport
        self._cancel_abort()
        self.connection = connection
        return connection


def is_plain_close(data: bytes) -> bool:
    """Tells whether data is one whole close frame of a client without an error (RFC 6455, 5.5.1).

    Codes that only an implementation of WebSocket sends, such as 1002, are none of these: Autobahn judges them.
    """
    size = len(data) - _HEAD_BYTES
    if not 0 <= size <= _MAX_PAYLOAD or data[0] != _CLOSE or data[1] != 0x80 | size:
        return False
    if not size:
        return True
    payload = bytes(map(int.__xor__, data[_HEAD_BYTES:], cycle(data[2:_HEAD_BYTES])))
    code = int.from_bytes(payload[:2], "big")
    if size == 1 or not (code in (1000, 1001) or 3000 <= code < 5000):
        return False
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        return False
    return True
