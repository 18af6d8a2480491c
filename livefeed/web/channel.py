"""The connection of an HTTP client: twisted.web's, and stricter.

Rule: this file refuses and times out. The resources answer the requests that it accepts.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from twisted.internet import interfaces
from twisted.protocols.policies import ProtocolWrapper
from twisted.web.http import HTTPChannel, datetimeToString
from zope.interface import implementer

from livefeed.transport.answer import Repeatable
from livefeed.transport.interfaces import IDeadlineListener, IReplayed
from livefeed.web.answers import EVERY_ANSWER, problem
from livefeed.web.refusals import asks_for_events
from livefeed.web.replay import MAX_FIELDS
from livefeed.web.resources import field, lists

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twisted.internet.interfaces import IProtocol
    from twisted.python.failure import Failure

    from livefeed.transport.interfaces import Host
    from livefeed.web.replay import Replay
    from livefeed.web.site import Request, Site

MAX_HEAD_BYTES = 16 * 1024

HEAD_TIMEOUT_S = 10
"""Nothing sends a head for that long but an attacker, or a line so bad that 4 KB will not come through either."""

LINGER_S = 2
"""How long a connection that is being closed is still read from. Closing with unread data would be a reset, which
can reach the client before the answer does (RFC 9112, 9.6)."""

SEND_TIMEOUT_S = 300
"""How long an answer may take to be sent: 1 MiB at 3.5 KB/s."""

MAX_AT_ONCE = 16
"""Requests of one client that are answered in a row, where it sends many at once; then others get their turn."""

MAX_AT_FIRST = 4
"""How many requests are answered when they arrive; the others are answered where :meth:`Site.rest` keeps the time.

A client that polls waits for all connections that have something to be read. 16 each, of 100 clients that pipeline
without end, took 0.4 s."""

MAX_NAME_BYTES = 128
"""The longest name of a field. Twisted remembers the names that it has seen, however long they are."""

# CTL but for HTAB, which may stand between values (RFC 9110, 5.5).
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
# uri-host [ ":" port ] (RFC 9110, 7.2), without telling apart the kinds of host.
_AUTHORITY = rb"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._~%!$&'()*+,;=-]+)(?::[0-9]{0,5})?"
_HOST = re.compile(_AUTHORITY)
_LONGEST_LENGTH = 19
# origin-form, absolute-form or asterisk-form (RFC 9112, 3.2), in ASCII; what nobody serves needs no closer look.
_TARGET = re.compile(rb"(?:/|(?i:https?)://%s(?=[/?]|\Z)|\*\Z)[\x21-\x7e]*+\Z" % _AUTHORITY)


@implementer(interfaces.IHalfCloseableProtocol, IReplayed, IDeadlineListener)
class Channel(HTTPChannel):
    """An HTTP/1.1 connection on which twisted.web parses, and what it would let through is refused.

    That is: a missing, repeated or malformed ``Host``, control characters anywhere in a head, folded lines, a target
    that is not one, a head that is not whole after :data:`HEAD_TIMEOUT_S`. A request with content is answered at
    once, without reading it, and the connection is closed, since no resource takes any.

    :ivar site: the factory that made this channel.
    :ivar has_waited: whether its request is to be answered as one whose time to wait is over.
    """

    site: Site
    # HTTPChannel API. Apache, HAProxy and gunicorn take as many by default; browsers behind proxies send 40. Each takes
    # twisted.web 7 µs.
    maxHeaders = MAX_FIELDS
    has_waited = False
    transport: Any
    _networkProducer: Any

    def __init__(self) -> None:
        super().__init__()
        self._ate_line = False
        self._in_head = False
        self._method = b""
        self._repeatable: Repeatable | None = None
        self._upgraded: IProtocol | None = None
        self._may_answer = 0  # so many more, since something came in
        self._at_once = MAX_AT_FIRST
        self._closing = False
        self._hung_up = False
        self._last_request = False

    @property
    def totalHeadersSize(self) -> int:  # type: ignore[override]
        """HTTPChannel API."""
        return self.site.max_head_bytes

    MAX_LENGTH = totalHeadersSize  # what LineReceiver calls it

    # What comes in

    def connectionMade(self) -> None:
        """IProtocol API."""
        super().connectionMade()
        self.site.channels.add(self)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """IProtocol API."""
        self.site.channels.discard(self)
        super().connectionLost(reason)
        if not self._closing:
            # Twisted's TLS keeps its producer for ever, and that keeps it.
            self._networkProducer.unregisterProducer()

    def dataReceived(self, data: bytes) -> None:
        """IProtocol API."""
        if self._closing:
            return
        self._repeatable = None
        self._may_answer = self._at_once
        super().dataReceived(data)
        self._watch_head()

    def lineReceived(self, line: bytes) -> bool | None:
        """LineReceiver API."""
        self._note_method(line)
        if not self._closing and _CONTROL.search(line):
            self.refuse(400, "The head of the request has a control character in it.")
        elif not self._closing and line[:1] in (b" ", b"\t"):
            # obs-fold: a server either refuses or unfolds it (RFC 9112, 5.2).
            self.refuse(400, "The head of the request has a folded line in it.")
        # HTTPChannel lets one empty line pass in front of a request, and remembers it.
        self._ate_line = not line and not self.requests
        if not self._closing:
            super().lineReceived(line)
        return self._closing

    def lineLengthExceeded(self, line: bytes) -> bool:
        """LineReceiver API."""
        self._note_method(line)
        if not hasattr(self, "_command") and b" " in line[: self.MAX_LENGTH]:
            self.refuse(414, f"The target of the request is longer than {self.totalHeadersSize} bytes.")
        else:
            self.refuse(431, f"The head of the request is larger than {self.totalHeadersSize} bytes.")
        return True

    def _note_method(self, line: bytes) -> None:
        """Takes note of the method, also where the request line is malformed: HEAD is refused without content."""
        # HTTPChannel has a command while it reads the rest of a head.
        if not hasattr(self, "_command"):
            self._method = line.partition(b" ")[0]

    def rawDataReceived(self, data: bytes) -> None:
        """LineReceiver API."""
        if self._upgraded is not None:
            self._upgraded.dataReceived(data)
        elif not self._closing:
            super().rawDataReceived(data)

    def headerReceived(self, line: bytes) -> bool:
        """HTTPChannel API."""
        name, _, value = line.partition(b":")
        length = value.strip(b" \t")
        if len(name) > MAX_NAME_BYTES:
            self.refuse(431, f"The request has a field with a name of more than {MAX_NAME_BYTES} bytes.")
            return False
        if name.lower() == b"content-length" and length.isdigit() and len(length) > _LONGEST_LENGTH:
            self.refuse(413, "The content of the request is too large.")
            return False
        accepted: bool = super().headerReceived(line)
        return accepted

    def allHeadersReceived(self) -> None:
        """HTTPChannel API."""
        self._in_head = False
        request = self.requests[-1]
        hosts = request.requestHeaders.getRawHeaders(b"Host", [])
        if len(hosts) > 1 or (not hosts and self._version != b"HTTP/1.0"):
            self.refuse(400, "The request must have one Host field.")
        elif hosts and not _HOST.fullmatch(hosts[0]):
            self.refuse(400, "The Host field of the request is malformed.")
        elif not _TARGET.match(self._path):
            self.refuse(400, "The target of the request is malformed.")
        elif (field(request, b"Transfer-Encoding") or b"chunked").lower() != b"chunked":
            # Where the content ends cannot be known (RFC 9112, 6.3). The others are refused by HTTPChannel.
            self.refuse(400, "The Transfer-Encoding field of the request is not 'chunked'.")
        elif getattr(self.transport, "over_capacity", False):
            if asks_for_events(request, self._command, self._path):
                # An EventSource would not come back after a 503. Which pages may read the answer, a resource knows.
                request.over_capacity = True
                # The places of those who are told to come back are few: it does not keep its own.
                self._last_request = True
            else:
                self.refuse(503, "There are too many connections. Come back later.", [(b"Retry-After", b"5")])
        if self._closing:
            return
        if self.length != 0 or request.requestHeaders.hasHeader(b"Transfer-Encoding"):
            # Answered now, without the content, of which as much as still comes is thrown away.
            request.has_content = True
            self._last_request = True
            self.length = 0
            self._transferDecoder = None
        # Nobody is told to go on and send content, as twisted.web would by itself.
        request.requestHeaders.removeHeader(b"Expect")
        super().allHeadersReceived()

    def allContentReceived(self) -> None:
        """HTTPChannel API."""
        if not self._closing:
            self._method = b""
            super().allContentReceived()

    def checkPersistence(self, request: Request, version: bytes) -> bool:
        """HTTPChannel API. In HTTP/1.0 a connection lasts if the client asks for that (RFC 9112, 9.3)."""
        persistent: bool = super().checkPersistence(request, version)
        if version == b"HTTP/1.0" and lists(request, b"Connection", b"keep-alive"):
            # HTTPChannel ends these, since an answer without a length would have no end. All of livefeed's have one,
            # but for streams, which end the connection themselves.
            persistent = True
            request.responseHeaders.setRawHeaders(b"Connection", [b"keep-alive"])
        # HTTPChannel looks for "close" between blanks only, and in the first line (RFC 9112, 9.6).
        if persistent and (self._last_request or lists(request, b"Connection", b"close")):
            request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
            return False
        return persistent

    def requestDone(self, request: Request) -> None:
        """HTTPChannel API."""
        self._repeatable = None if request.select is None else Repeatable(request.label(), request.select)
        super().requestDone(request)
        self._may_answer -= 1
        if self._may_answer <= 0 and self._buffer and not self.paused and not self._closing:
            self.paused = True
            self._networkProducer.pauseProducing()
            self.site.rest(self)
        self._watch_head()

    # What goes out

    def refuse(self, status: int, detail: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Answers what is not worth being made a request of, and closes the connection."""
        self.site.count_refusal(status, is_secure=self.isSecure())
        fields_of_problem, body = problem(status, detail)
        fields = [
            *EVERY_ANSWER,
            (b"Date", datetimeToString()),
            *fields_of_problem,
            *headers,
            (b"Connection", b"close"),
            (b"Content-Length", b"%d" % len(body)),
        ]
        self.transport.writeSequence(
            [
                b"HTTP/1.1 %d %s\r\n" % (status, HTTPStatus(status).phrase.encode()),
                *(b"%s: %s\r\n" % field for field in fields),
                b"\r\n",
                b"" if self._method == b"HEAD" else body,
            ]
        )
        self.loseConnection()

    def _respondToBadRequestAndDisconnect(self) -> None:
        """HTTPChannel calls this wherever it finds a request malformed."""
        if self._closing:
            return
        if self._receivedHeaderSize > self.totalHeadersSize or self._receivedHeaderCount > self.maxHeaders:
            self.refuse(431, "The head of the request is too large.")
        else:
            self.refuse(400, "The request is malformed.")

    def loseConnection(self) -> None:
        """Sends what is still to be sent, tells the client that it was the last, and closes soon after."""
        if self._closing:
            return
        self._closing = True
        self._networkProducer.unregisterProducer()
        self._networkProducer.resumeProducing()
        if self._transport_keeps_time():
            # It does what follows by itself.
            self.transport.loseConnection()
            return
        self.setTimeout(LINGER_S)
        # TLS has an end of its own, close_notify, after which Twisted goes on reading until the client's.
        tls = interfaces.ISSLTransport.providedBy(self.transport)
        if not tls and hasattr(self.transport, "loseWriteConnection"):
            self.transport.loseWriteConnection()
        else:
            self.transport.loseConnection()

    def pauseProducing(self) -> None:
        """IPushProducer API. Nothing more is read or answered until the client has read the answers so far."""
        super().pauseProducing()
        self.paused = True
        # HTTPChannel reads on while it answers, and an answer is where a transport fills up: 20 clients that only sent
        # requests took 160 MB in 8 s, all of it requests that LineReceiver copied at each read.
        self._networkProducer.pauseProducing()
        self._set_timeout_for_now()

    def resumeProducing(self) -> None:
        """IPushProducer API."""
        self.paused = False
        super().resumeProducing()
        if self._handlingRequest and sum(map(len, self._dataBuffer)) <= self._optimisticEagerReadSize:
            # A request that waits is given up when its client leaves, which only reading tells.
            self._networkProducer.resumeProducing()
        self._set_timeout_for_now()
        if self._buffer and not self._closing and self._upgraded is None:
            # LineReceiver takes up what it left lying.
            self.dataReceived(b"")

    def go_on(self) -> None:
        """Takes up what others were let past; see :meth:`Site.rest`."""
        if not self._waitingForTransport and not self._closing and self in self.site.channels:
            self._at_once = MAX_AT_ONCE
            try:
                self.resumeProducing()
            finally:
                self._at_once = MAX_AT_FIRST

    def readConnectionLost(self) -> None:
        """IHalfCloseableProtocol API. A client that sends no more is still answered, but nothing is waited for."""
        if self._handlingRequest or self.paused:
            self.persistent = False
            self._last_request = True
            for request in tuple(self.requests):
                request.hurry()
        else:
            self.loseConnection()

    def writeConnectionLost(self) -> None:
        """IHalfCloseableProtocol API."""

    def forceAbortClient(self) -> None:
        """HTTPChannel API."""
        self.transport.abortConnection()

    def end_with_answer(self) -> None:
        """Has the connection end with the next answer, or with that to the request that waits; it says so."""
        self._last_request = True
        if self.requests:
            self.persistent = False
            fields = self.requests[0].responseHeaders
            others = [field for field in fields.getAllRawHeaders() if field[0] != b"Connection"]
            # In front, where it stands if it is known before the request is processed, as it is for those in a room.
            for name, _ in others:
                fields.removeHeader(name)
            fields.setRawHeaders(b"Connection", [b"close"])
            for name, values in others:
                fields.setRawHeaders(name, values)

    def drain(self) -> None:
        """Closes the connection as soon as no request is under way on it."""
        self._last_request = True
        if self._handlingRequest:
            self.persistent = False
        elif not self.requests and not self._buffer:
            self.loseConnection()

    def upgrade(self, protocol: IProtocol) -> None:
        """Hands the connection over to another protocol, and with it what the client has sent after the request.

        The request's resource has returned ``NOT_DONE_YET``, and the protocol writes the 101. From here on this
        channel and its timeouts are out of the way.

        :param protocol: not yet connected.
        """
        transport = self.transport
        # It is answered, and will not be finished.
        self.site.log(self.requests[-1])
        self.setTimeout(None)
        self.site.channels.discard(self)
        self._networkProducer.unregisterProducer()
        self._upgraded = protocol
        self.paused = False
        if isinstance(transport, ProtocolWrapper):
            transport.wrappedProtocol = protocol
        else:
            transport.protocol = protocol
        protocol.makeConnection(transport)
        self._networkProducer.resumeProducing()
        # The request is never finished. It and this channel are let go of here and now, not by the garbage collector.
        for request in self.requests:
            request.channel = None
        self.requests.clear()

    # What replay asks

    @property
    def replays(self) -> dict[bool, Replay]:
        """The answers that may be given again, without TLS and with it."""
        return self.site.replays

    def at_boundary(self) -> bool:
        """Tells whether what comes next is the beginning of a request, and nothing else is going on."""
        return not (self._closing or self._last_request) and self._is_idle()

    def replayable(self) -> Repeatable | None:
        """Gives what is known of the last answer, if it may be given again; ``None`` if it may not."""
        return self._repeatable if self._is_idle() else None

    def waits(self) -> Host | None:
        """Gives what the one request waits for that there is; ``None`` if others may not wait with it."""
        if len(self.requests) != 1 or self._buffer or self.paused or self._last_request:
            return None
        request: Request = self.requests[0]
        return request.waits_for

    def _is_idle(self) -> bool:
        return not (self.requests or self._buffer or self._ate_line or self.paused)

    # The time that things may take: one deadline at a time, for what the connection is doing now

    def setTimeout(self, period: float | None) -> float | None:
        """TimeoutMixin API. A transport that sweeps deadlines is left to it, which spares a timer each connection."""
        if self._transport_keeps_time():
            if period is not None and self.transport.over_capacity:
                # A client over the limit must ask at once: others wait to be told to come back, too.
                period = min(period, self.site.head_timeout_s)
            self.transport.set_deadline(period)
        else:
            super().setTimeout(period)
        # HTTPChannel takes this for the period before, and sets it again when a request is done.
        idle: float | None = self.site.timeOut
        return idle

    def _transport_keeps_time(self) -> bool:
        return hasattr(self.transport, "set_deadline")

    def _set_timeout_for_now(self) -> None:
        if self._closing or self._upgraded is not None:
            return
        if self.paused:
            self.setTimeout(SEND_TIMEOUT_S)
        elif self._handlingRequest:
            self.setTimeout(None)
        else:
            self.setTimeout(self.site.head_timeout_s if self._in_head else self.site.timeOut)

    def resetTimeout(self) -> None:
        """TimeoutMixin API. Receiving something puts nothing off: a slow head is late with its last byte."""

    def timeoutConnection(self) -> None:
        """TimeoutMixin API."""
        if self._hung_up or self.paused:
            self.forceAbortClient()
        elif self._closing:
            # Orderly, below TLS if there is any: the kernel goes on sending what it has, which a reset would discard.
            self._hung_up = True
            self.setTimeout(SEND_TIMEOUT_S)
            below: Any = self.transport
            if isinstance(below, ProtocolWrapper):
                below = below.transport
            below.loseConnection()
        elif self._in_head:
            self.refuse(408, "The head of the request took too long.")
        else:
            self.loseConnection()

    def _watch_head(self) -> None:
        under_way = bool(self._buffer or self.requests) and not self._handlingRequest
        if self._closing or self.paused:
            return
        if under_way and not self._in_head:
            self._in_head = True
            self._set_timeout_for_now()
