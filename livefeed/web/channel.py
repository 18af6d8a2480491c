"""One HTTP connection: twisted.web's channel, with stricter checks, time limits and back-pressure.

Rule: this file refuses requests and closes connections. Resources answer the requests that it accepts.
"""

from __future__ import annotations

import re
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet import interfaces
from twisted.protocols.policies import ProtocolWrapper
from twisted.web.http import HTTPChannel
from zope.interface import implementer

from livefeed.transport.answer import Repeatable
from livefeed.transport.interfaces import IDeadlineListener, IReplayed
from livefeed.web.answers import EVERY_ANSWER, http_date, problem, retry_after
from livefeed.web.deadline import Deadline
from livefeed.web.interfaces import (
    HalfClosingTransport,
    PeeredTransport,
    RequestSite,
    SweepingTransport,
    TimedTransport,
)
from livefeed.web.negotiation import RequestFields, asks_for_events, field_of
from livefeed.web.replay import MAX_FIELDS
from livefeed.web.whole_heads import read_whole_head

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from twisted.internet.interfaces import IProtocol, IReactorTime
    from twisted.python.failure import Failure

    from livefeed.transport.interfaces import Host
    from livefeed.web.request import Request

MAX_HEAD_BYTES = 16 * 1024

HEAD_TIMEOUT_S = 10
"""Seconds that a head may take. Only an attacker is slower, or a line that would not carry 4 KB of answer either."""

LINGER_S = 2
"""Seconds for which a closed connection is still read. Closing with unread data would send a reset, which can reach the
client before the answer (RFC 9112, 9.6)."""

SEND_TIMEOUT_S = 300
"""Seconds that a client may take to read an answer: 1 MiB at 3.5 KB/s."""

OVER_CAPACITY_RETRY_S = 5
"""``Retry-After`` in seconds on a connection beyond the limit: ten sweeps of the fast transport, which close idle
connections. Each attempt takes one of the few places for refusals, so a shorter time would refuse others abruptly."""

MAX_AT_ONCE = 16
"""Limit of the pipelined requests of one client that are answered in a row when its turn has come."""

MAX_AT_FIRST = 4
"""Limit of the pipelined requests that are answered on arrival. :meth:`ChannelSite.rest` continues with the others, and
limits the time.

A client that polls waits for all connections that have something to read. 16 requests each, of 100 clients that
pipeline without end, took 0.4 s."""

MAX_FIELD_NAME_BYTES = 128
"""Limit of the name of a field in bytes. Twisted remembers the names that it has seen, at any length."""

# CTL except HTAB, which may separate values (RFC 9110, 5.5).
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
# uri-host [ ":" port ] (RFC 9110, 7.2). The kinds of host are not distinguished.
_AUTHORITY = rb"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._~%!$&'()*+,;=-]+)(?::[0-9]{0,5})?"
_HOST = re.compile(_AUTHORITY)
_MAX_LENGTH_DIGITS = 19  # of Content-Length: a 64-bit number. Python refuses to convert more than 4,300 digits.
# origin-form, absolute-form or asterisk-form (RFC 9112, 3.2), in ASCII.
_CLOSE = ((b"Connection", b"close"),)
_KEEP_ALIVE = ((b"Connection", b"keep-alive"),)
_TARGET = re.compile(rb"(?:/|(?i:https?)://%s(?=[/?]|\Z)|\*\Z)[\x21-\x7e]*+\Z" % _AUTHORITY)


class ChannelSite(RequestSite, Protocol):
    """The site of a channel, as the channel requires it.

    :ivar channels: the connections that speak HTTP now.
    :ivar head_timeout_s: the time in seconds that a head may take.
    :ivar max_head_bytes: the limit of a head in bytes.
    :ivar replays: the answers that may be repeated, without TLS (``False``) and with TLS (``True``).
    :ivar timeOut: the time in seconds that a connection may be idle; ``None`` for no limit.
    :ivar reactor: schedules the ends of connections on transports that sweep no deadlines.
    """

    channels: set[Channel]
    head_timeout_s: float
    max_head_bytes: int
    replays: dict[bool, Any]
    timeOut: Any
    reactor: IReactorTime

    def log(self, request: Request, /) -> None:
        """Counts the answer to a request."""

    def handed_over(self, request: Request, /) -> Callable[[], object] | None:
        """Counts the answer to a request whose connection is handed over to another protocol.

        :returns: a function to call when the connection has ended; ``None`` for none.
        """

    def count_refusal(self, channel: Channel, status: int, size: int, /) -> None:
        """Counts the refusal of bytes of which no request was made.

        :param size: the bytes of the content that is sent.
        """

    def rest(self, channel: Channel, /) -> None:
        """Calls :meth:`Channel.go_on` after all other connections had a turn."""


@implementer(interfaces.IHalfCloseableProtocol, IReplayed, IDeadlineListener)
class Channel(HTTPChannel):
    """An HTTP/1.1 connection: twisted.web parses, and the channel refuses what twisted.web would accept by mistake.

    It refuses a missing, repeated or malformed ``Host``, control characters anywhere in a head, folded lines, malformed
    targets, and a head that is incomplete after :data:`HEAD_TIMEOUT_S`. A request with content is answered at once, the
    content is not read, and the connection is closed, unless a subclass takes content.

    :cvar reads_whole_heads: whether plain heads that arrive whole are read in one pass.
    :ivar site: the factory of the channel.
    :ivar has_waited: whether the request is answered as one whose time to wait is over.
    :ivar answered: the label of the answer to a request that has waited; ``None`` before the answer.
    """

    site: ChannelSite
    reads_whole_heads = True
    # HTTPChannel API. Apache, HAProxy and gunicorn accept as many fields by default; browsers behind proxies send 40.
    # Each field takes twisted.web 7 µs.
    maxHeaders = MAX_FIELDS
    has_waited = False
    answered: Hashable = None
    transport: Any
    _networkProducer: Any
    # HTTPChannel has the attribute only between a request line and the end of its content.
    _command: bytes | None = None  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self._ate_line = False
        self._in_head = False
        self._method = b""
        self._repeatable: Repeatable | None = None
        self._successor: IProtocol | None = None
        self._may_answer = 0  # requests that may still be answered since data came in
        self._at_once = MAX_AT_FIRST
        self._closing = False
        self._hung_up = False
        self._last_request = False
        self._timed: TimedTransport | None = None
        self._deadline: Deadline | None = None  # of a transport that sweeps none
        self._is_secure = False
        self._can_half_close = False

    @property
    def totalHeadersSize(self) -> int:  # type: ignore[override]
        """HTTPChannel API."""
        return self.site.max_head_bytes

    MAX_LENGTH = totalHeadersSize  # the same limit under the name of LineReceiver

    # Reading

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

    def lineReceived(self, line: bytes) -> bool | None:
        """LineReceiver API."""
        self._note_method(line)
        if not self._closing and _CONTROL.search(line):
            self.refuse(400, "The head of the request has a control character in it.")
        elif not self._closing and line[:1] in (b" ", b"\t"):
            # obs-fold: a server either refuses or unfolds it (RFC 9112, 5.2).
            self.refuse(400, "The head of the request has a folded line in it.")
        # HTTPChannel accepts one empty line in front of a request, and remembers it.
        self._ate_line = not line and not self.requests
        if not self._closing:
            super().lineReceived(line)
        return self._closing

    def lineLengthExceeded(self, line: bytes) -> bool:
        """LineReceiver API."""
        self._note_method(line)
        if self._command is None and b" " in line[: self.MAX_LENGTH]:
            self.refuse(414, f"The target of the request is longer than {self.totalHeadersSize} bytes.")
        else:
            self.refuse(431, f"The head of the request is larger than {self.totalHeadersSize} bytes.")
        return True

    def _note_method(self, line: bytes) -> None:
        """Remembers the method, also of a malformed request line: the refusal of HEAD has no content."""
        if self._command is None:
            self._method = line.partition(b" ")[0]

    def rawDataReceived(self, data: bytes) -> None:
        """LineReceiver API."""
        if self._successor is not None:
            self._successor.dataReceived(data)
        elif not self._closing:
            super().rawDataReceived(data)

    def headerReceived(self, line: bytes) -> bool:
        """HTTPChannel API."""
        name, _, value = line.partition(b":")
        length = value.strip(b" \t")
        if len(name) > MAX_FIELD_NAME_BYTES:
            self.refuse(431, f"The request has a field with a name of more than {MAX_FIELD_NAME_BYTES} bytes.")
            return False
        if name.lower() == b"content-length" and length.isdigit() and len(length) > _MAX_LENGTH_DIGITS:
            self.refuse(413, "The content of the request is too large.")
            return False
        accepted: bool = super().headerReceived(line)
        return accepted

    def allHeadersReceived(self) -> None:
        """HTTPChannel API."""
        self._in_head = False
        request = self.requests[-1]
        headers, command = request.requestHeaders, self._command or b""
        hosts = headers.getRawHeaders(b"Host", [])
        # twisted.web asks for the persistence of the connection before it tells the request its method and version.
        request.fields = RequestFields.of(headers, command, self._version)
        if len(hosts) > 1 or (not hosts and self._version != b"HTTP/1.0"):
            self.refuse(400, "The request must have one Host field.")
        elif hosts and not _HOST.fullmatch(hosts[0]):
            self.refuse(400, "The Host field of the request is malformed.")
        elif not _TARGET.match(self._path):
            self.refuse(400, "The target of the request is malformed.")
        elif (field_of(headers, b"Transfer-Encoding") or b"chunked").lower() != b"chunked":
            # The end of the content cannot be found (RFC 9112, 6.3). HTTPChannel refuses the other cases.
            self.refuse(400, "The Transfer-Encoding field of the request is not 'chunked'.")
        elif self._timed is not None and self._timed.over_capacity:
            if asks_for_events(request.fields, command, self._path):
                # An EventSource would not come back after a 503. The resource refuses it, because the resource knows
                # the pages that may read the answer.
                request.over_capacity = True
                # Few connections beyond the limit are accepted, to be refused: it must not keep its place.
                self._last_request = True
            else:
                retry = [retry_after(OVER_CAPACITY_RETRY_S)]
                self.refuse(503, "There are too many connections. Come back later.", retry)
        if self._closing:
            return
        if (self.length != 0 or headers.hasHeader(b"Transfer-Encoding")) and not self.takes_content():
            # Answered now. Content that still arrives is discarded.
            request.has_content = True
            self._last_request = True
            self.length = 0
            self._transferDecoder = None
        # twisted.web would answer 100, which asks the client to send its content.
        headers.removeHeader(b"Expect")
        super().allHeadersReceived()

    def isSecure(self) -> bool:
        """HTTPChannel API."""
        return self._is_secure

    def takes_content(self) -> bool:
        """Tells whether the content of the present request is read. No resource of a feed takes content."""
        return False

    def allContentReceived(self) -> None:
        """HTTPChannel API."""
        if not self._closing:
            self._method = b""
            super().allContentReceived()

    def checkPersistence(self, request: Request, version: bytes) -> bool:
        """HTTPChannel API. In HTTP/1.0 a connection persists if the client asks for it (RFC 9112, 9.3)."""
        fields = request.fields
        is_kept_alive = version == b"HTTP/1.0" and b"keep-alive" in fields.connection_options
        if is_kept_alive:
            # HTTPChannel closes these, because an answer without a length would have no end. All answers of livefeed
            # have a length, except streams, which close the connection themselves.
            request.first_fields = _KEEP_ALIVE
        elif version != b"HTTP/1.1":
            return False
        if self._last_request or fields.asks_to_close:
            request.first_fields = _CLOSE
            return False
        return True

    def announce_return(self, take_s: Callable[[], int]) -> None:
        """Ends the connection with the answer to its next request, which says when the client comes back.

        A request in progress is the last, and its answer does not say it.

        :param take_s: gives the delay of the next client in whole seconds, for ``Retry-After``.
        """
        if self._handlingRequest:
            self.drain()
        # The function is replaced, so that no request is asked for it before.
        self.checkPersistence = partial(_persist_no_longer, take_s)  # type: ignore[method-assign]

    def requestDone(self, request: Request) -> None:
        """HTTPChannel API."""
        may_repeat = request.select is not None and not request.access_fields
        self._repeatable = Repeatable(request.label(), request.select) if may_repeat else None
        if request is not self.requests[0]:
            raise TypeError
        del self.requests[0]
        if self._dataBuffer and not self._waitingForTransport:
            # Reading may be paused, since there was much to wait for.
            self._networkProducer.resumeProducing()
        if self.persistent:
            self._handlingRequest = False
            if self._savedTimeOut:
                self.setTimeout(self._savedTimeOut)
            data, self._dataBuffer = b"".join(self._dataBuffer), []
            self.setLineMode(data)
        else:
            self.loseConnection()
        self._may_answer -= 1
        if self._may_answer <= 0 and self._buffer and not self.paused and not self._closing:
            self.paused = True
            self._networkProducer.pauseProducing()
            self.site.rest(self)
        self._watch_head()

    # Writing and closing

    @property
    def request_line(self) -> tuple[bytes, bytes, bytes] | None:
        """The method, the target and the version of the request that is read; ``None`` if none is known."""
        return None if self._command is None else (self._command, self._path, self._version)

    def refuse(self, status: int, detail: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Answers bytes of which no request is made, and closes the connection."""
        fields_of_problem, body = problem(status, detail)
        content = b"" if self._method == b"HEAD" else body
        self.site.count_refusal(self, status, len(content))
        fields = [
            *EVERY_ANSWER,
            (b"Date", http_date()),
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
                content,
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
        """Sends the data that was written before, ends the sending side, and closes the connection soon after."""
        if self._closing:
            return
        self._closing = True
        self._networkProducer.unregisterProducer()
        self._networkProducer.resumeProducing()
        if self._timed is not None:
            # It lingers by itself.
            self.transport.loseConnection()
            return
        self.setTimeout(LINGER_S)
        if self._can_half_close:
            self.transport.loseWriteConnection()
        else:
            self.transport.loseConnection()

    def pauseProducing(self) -> None:
        """IPushProducer API. The channel reads and answers nothing until the client has read the answers so far."""
        super().pauseProducing()
        self.paused = True
        # HTTPChannel reads on while it answers, and answers fill the transport: 20 clients that sent requests and read
        # nothing took 160 MB in 8 s, all of it requests that LineReceiver copied at each read.
        self._networkProducer.pauseProducing()
        self._set_timeout_for_now()

    def resumeProducing(self) -> None:
        """IPushProducer API."""
        self.paused = False
        super().resumeProducing()
        if self._handlingRequest and sum(map(len, self._dataBuffer)) <= self._optimisticEagerReadSize:
            # A request that waits is dropped when its client leaves, and only reading detects that.
            self._networkProducer.resumeProducing()
        self._set_timeout_for_now()
        if self._buffer and not self._closing and self._successor is None:
            # LineReceiver continues with the data in its buffer.
            self.dataReceived(b"")

    def go_on(self) -> None:
        """Continues with the pipelined requests; see :meth:`ChannelSite.rest`."""
        if not self._waitingForTransport and not self._closing and self in self.site.channels:
            self._at_once = MAX_AT_ONCE
            try:
                self.resumeProducing()
            finally:
                self._at_once = MAX_AT_FIRST

    def readConnectionLost(self) -> None:
        """IHalfCloseableProtocol API. A client that sends no more is still answered, without any wait."""
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
        """Closes the connection after the next answer, or after the answer to the request that waits.

        The answer announces it.
        """
        self._last_request = True
        if self.requests:
            self.persistent = False
            request = self.requests[0]
            others = [field for field in request.first_fields if field[0] != b"Connection"]
            request.first_fields = (*_CLOSE, *others)

    def retire(self) -> None:
        """Closes the connection with its next answer, which announces it. A request that waits is answered now."""
        self.end_with_answer()
        for request in tuple(self.requests):
            request.hurry()

    def drain(self) -> None:
        """Closes the connection once no request is in progress."""
        self._last_request = True
        if self._handlingRequest:
            self.persistent = False
        elif not self.requests and not self._buffer:
            self.loseConnection()

    def hand_over(self, protocol: IProtocol) -> None:
        """Hands the connection over to another protocol, with the data that the client has sent after the request.

        The resource of the request returns ``NOT_DONE_YET``, and the protocol writes the rest of the answer. The
        channel and its timeouts have no effect any more.

        :param protocol: not yet connected.
        """
        transport = self.transport
        # It counts as answered, because it is never finished.
        request = self.requests[-1]
        if request.is_forwarded and isinstance(transport, PeeredTransport):
            # From now on the connection is this client's alone.
            transport.set_peer(request.getClientAddress())
        ended = self.site.handed_over(request)
        if ended is not None:
            _call_at_end(protocol, ended)
        self.setTimeout(None)
        self._forget_deadline()
        self.site.channels.discard(self)
        self._networkProducer.unregisterProducer()
        self._successor = protocol
        self.paused = False
        if isinstance(transport, ProtocolWrapper):
            transport.wrappedProtocol = protocol
        else:
            transport.protocol = protocol
        protocol.makeConnection(transport)
        self._networkProducer.resumeProducing()
        # The request is never finished. Without these references, neither it nor the channel needs the garbage
        # collector.
        for request in self.requests:
            request.channel = None
        self.requests.clear()

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

    def _is_idle(self) -> bool:
        return not (self.requests or self._buffer or self._ate_line or self.paused)

    # Time limits: one deadline at a time, for the present activity of the connection

    def setTimeout(self, period: float | None) -> float | None:
        """TimeoutMixin API. A transport that sweeps deadlines keeps the time, which saves a timer per connection."""
        timed = self._timed
        if timed is not None:
            if period is not None and timed.over_capacity:
                # A client beyond the limit must send its request at once, because others wait for their refusals.
                period = min(period, self.site.head_timeout_s)
            timed.set_deadline(period)
        elif self._deadline is not None:
            self._deadline.set(period)
        # HTTPChannel takes the result for the previous period, and restores that when a request is done.
        idle: float | None = self.site.timeOut
        return idle

    def _forget_deadline(self) -> None:
        """Ends all time limits, since nothing of the connection is left to this channel."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _set_timeout_for_now(self) -> None:
        if self._closing or self._successor is not None:
            return
        if self.paused:
            self.setTimeout(SEND_TIMEOUT_S)
        elif self._handlingRequest:
            self.setTimeout(None)
        else:
            self.setTimeout(self.site.head_timeout_s if self._in_head else self.site.timeOut)

    def resetTimeout(self) -> None:
        """TimeoutMixin API. Received data postpones nothing: the deadline of a head is for its last byte."""

    def timeoutConnection(self) -> None:
        """TimeoutMixin API."""
        if self._hung_up or self.paused:
            self.forceAbortClient()
        elif self._closing:
            # Orderly, and below TLS if there is any: the kernel still sends its buffer, which a reset would discard.
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


def _persist_no_longer(take_s: Callable[[], int], request: Request, _version: bytes) -> bool:
    """Takes the place of :meth:`Channel.checkPersistence`."""
    request.first_fields = (*_CLOSE, (b"Retry-After", b"%d" % take_s()))
    return False


def _call_at_end(protocol: Any, ended: Callable[[], object]) -> None:
    """Has a function called when the connection of a protocol has ended."""
    lose = protocol.connectionLost

    def lose_and_call(reason: Failure) -> None:
        # It refers to the protocol, which refers to it: without this line only the garbage collector would free them.
        del protocol.connectionLost
        lose(reason)
        ended()

    protocol.connectionLost = lose_and_call
