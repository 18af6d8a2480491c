"""One HTTP connection: twisted.web's channel, with stricter checks, time limits and back-pressure.

Rule: this file takes the data that comes in. The layers below it, which ``channel_state`` lists, refuse and close.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet import interfaces
from twisted.protocols.policies import ProtocolWrapper
from zope.interface import implementer

from livefeed.transport.interfaces import IDeadlineListener, IReplayed
from livefeed.web.deadline import Deadline
from livefeed.web.handing_over import HandingOver
from livefeed.web.interfaces import HalfClosingTransport, SweepingTransport
from livefeed.web.whole_heads import read_whole_head

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from livefeed.transport.answer import Repeatable
    from livefeed.transport.interfaces import Host
    from livefeed.web.negotiation import RequestFields
    from livefeed.web.request import Request


TLS_HANDSHAKE = b"\x16"
"""The first byte of a client that speaks TLS (RFC 8446, 5.1). No request begins with it."""


@implementer(interfaces.IHalfCloseableProtocol, IReplayed, IDeadlineListener)
class Channel(HandingOver):
    """An HTTP/1.1 connection: twisted.web parses, and the channel refuses what twisted.web would accept by mistake.

    :cvar reads_whole_heads: whether plain heads that arrive whole are read in one pass.
    """

    reads_whole_heads = True

    def connectionMade(self) -> None:
        """IProtocol API."""
        self._is_secure = interfaces.ISSLTransport.providedBy(self.transport)
        # A wrapper, such as Twisted's TLS, forwards the methods of the transport below it.
        innermost: Any = self.transport
        while isinstance(innermost, ProtocolWrapper):
            innermost = innermost.transport
        # The class is asked and not the object: Python remembers the answer, and finding it took 9 µs each time.
        kind = type(innermost)
        if issubclass(kind, SweepingTransport):
            self._timed = self.transport
        else:
            self._deadline = Deadline(self.site.reactor, self.timeoutConnection)
        # TLS has an end of its own, close_notify, after which Twisted goes on reading until the client's.
        self._can_half_close = not self._is_secure and issubclass(kind, HalfClosingTransport)
        super().connectionMade()
        self.site.channels.add(self)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """IProtocol API."""
        self.site.channels.discard(self)
        super().connectionLost(reason)
        self._forget_deadline()
        if not self._closing:
            # Twisted's TLS and its producer refer to each other until the producer is unregistered.
            self._networkProducer.unregisterProducer()

    def dataReceived(self, data: bytes) -> None:
        """IProtocol API."""
        if self._closing:
            return
        self._repeatable = None
        self._may_answer = self._at_once
        if self._takes_whole_head():
            head = read_whole_head(data)
            if head is not None and len(data) <= self.site.max_head_bytes:
                self._process_whole_head(data, *head)
                return
            if data.startswith(TLS_HANDSHAKE):
                # At once: a client that speaks TLS waits for an answer before it sends the end of a line.
                self.refuse_control_character()
                return
        super().dataReceived(data)
        self._watch_head()

    def _takes_whole_head(self) -> bool:
        """Tells whether a plain head that comes next means the same as if it were read line by line."""
        if not self.reads_whole_heads or self.requests or self._buffer or self._ate_line or self.paused:
            return False
        # A connection that was handed over is not in the mode of lines.
        return bool(self.line_mode and self.persistent) and not (self._timed is not None and self._timed.over_capacity)

    def _process_whole_head(self, head: bytes, method: bytes, target: bytes, fields: RequestFields) -> None:
        """Processes a request as HTTPChannel does after its last line."""
        request: Any = self.requestFactory(self)
        request.head, request.fields = head, fields
        self.requests.append(request)
        self.persistent = self.checkPersistence(request, b"HTTP/1.1")
        self._savedTimeOut = self.site.timeOut
        self._handlingRequest, self.line_mode = True, 0
        request.begin(method, target)
        if self.requests:
            # It is answered later.
            self._set_timeout_for_now()

    def isSecure(self) -> bool:
        """HTTPChannel API."""
        return self._is_secure

    # The requirements of the fast transport, for replay and for rooms

    @property
    def replays(self) -> dict[bool, Any]:
        """The answers that may be repeated, without TLS (``False``) and with TLS (``True``)."""
        return self.site.replays

    def at_boundary(self) -> bool:
        """Tells whether the next byte begins a request, and nothing else is in progress."""
        return not (self._closing or self._last_request) and self._is_idle()

    def replayable(self) -> Repeatable | None:
        """Gives the facts of the last answer if it may be repeated; ``None`` if not."""
        return self._repeatable if self._is_idle() else None

    def waits(self) -> Host | None:
        """Gives the host for requests that are equal to the one that waits; ``None`` if none may wait with it."""
        if len(self.requests) != 1 or self._buffer or self.paused or self._last_request:
            return None
        request: Request = self.requests[0]
        return None if request.access_fields else request.waits_for
