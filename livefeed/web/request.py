"""A request as livefeed's resources see it: within limits, and answered in JSON even if its resource fails."""

from __future__ import annotations

import re
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes as unquote

from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.http import parse_qs
from twisted.web.http_headers import Headers
from twisted.web.resource import getChildForRequest

from livefeed.document import pointer
from livefeed.document.snapshot import IDENTITY
from livefeed.transport.answer import LARGE_BYTES
from livefeed.web import problems
from livefeed.web.answers import answer, line_of, opening_fields, refuse
from livefeed.web.whole_heads import headers_of, values_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from twisted.internet.interfaces import IAddress

    from livefeed.transport.answer import Select
    from livefeed.transport.interfaces import Host
    from livefeed.web.interfaces import Permit, RequestChannel
    from livefeed.web.negotiation import RequestFields
    from livefeed.web.prepared import Prepared

MAX_PARAMETERS = 64
"""Limit of the parameters of a query that are parsed. livefeed has three; caches and pages add their own."""

MAX_QUERY_BYTES = 2048
"""Limit of the query in bytes. It has room for all parameters of livefeed, with a version of 64 bytes."""

MAX_SEGMENTS = pointer.MAX_TOKENS + 8
"""Limit of the segments of a target that are parsed: those of the longest path to a part, one for the feed, and the
scheme and authority of absolute-form. No resource has a longer path."""

MAX_PATH_BYTES = 3 * (pointer.MAX_PATH_BYTES + 256)
"""Limit of the path in bytes: the longest path to a part and the longest name of a feed, all percent-encoded. No
resource has a longer path."""

_SHORT_BYTES = min(MAX_PARAMETERS, MAX_SEGMENTS)  # no target of this length can exceed a limit
_MANY_PARAMETERS = re.compile(rb"(?>[^&;]*+[&;]){%d}" % MAX_PARAMETERS)
_END_OF_AUTHORITY = re.compile(rb"[/?]")

_log = Logger()


class Request(server.Request):
    """A request, answered in JSON also if its resource fails.

    :ivar fields: the parsed fields, set by the channel before anything else uses the request.
    :ivar has_content: whether the request came with content, which is never read.
    :ivar is_plain: whether its head arrived whole and was plain (:mod:`livefeed.web.whole_heads`), so that its answer
        depends on nothing but the path, the method and the fields in the key of :mod:`livefeed.web.replay`.
    :ivar head: the head, if it is plain.
    :ivar first_fields: the first fields of the answer, set by the channel: they announce the end of the connection.
    :ivar coding: the content coding of the answer.
    :ivar select: set if the answer may be repeated. The answer then depends on nothing but the method, the path and the
        fields in the key of :mod:`livefeed.web.replay`; the function gives the parts of these that matter.
    :ivar access_fields: the names of the fields that decide on access, set by the resource. If there are any, the
        answer is neither stored nor shared, whatever else the resource sets.
    :ivar permit: the permission to follow a protected feed, set by its guard; ``None`` without one.
    :ivar waits_for: the host that equal requests may wait for together with this one; ``None`` if this request does not
        wait, or must wait alone.
    :ivar over_capacity: whether the connection exceeds the limit and the request asks for events, which are refused.
    :ivar counts_as: the status under which the metrics count the answer; ``None`` for the status that was sent.
    :ivar is_forwarded: whether its client is not the peer of the connection, but an address that a proxy has named.
    :ivar hurry: answers a request that waits, without the event that it waits for.
    """

    fields: RequestFields
    has_content = False
    is_plain = False
    head = b""
    first_fields: Sequence[tuple[bytes, bytes]] = ()
    coding = IDENTITY
    select: Select | None = None
    access_fields: tuple[bytes, ...] = ()
    permit: Permit | None = None
    waits_for: Host | None = None
    over_capacity = False
    counts_as: int | None = None
    is_forwarded = False
    hurry: Callable[[], object] = staticmethod(lambda: None)
    channel: RequestChannel  # type: ignore[assignment] # twisted.web names its own class
    transport: Any
    # http.Request API. No resource reads or sets cookies, and no content of a form is parsed.
    received_cookies: Mapping[bytes, bytes] = MappingProxyType({})  # type: ignore[assignment]
    cookies: Sequence[bytes] = ()  # type: ignore[assignment]
    queued = False
    _parsePOSTFormSubmission = False

    def __init__(self, channel: Any, _queued: object = None) -> None:
        # Not that of the base, whose state is four times as large: it took 5 µs, 3 of them for addresses.
        self.channel = channel
        self.transport = channel.transport
        self.notifications = []

    @cached_property
    def requestHeaders(self) -> Headers:  # type: ignore[override]
        """http.Request API. Few requests read other fields than :attr:`fields`, and a browser sends fifteen."""
        return headers_of(self.head)

    def lines_of(self, name: bytes) -> Sequence[bytes]:
        """Gives the values of the lines with the name of a field."""
        if self.is_plain and "requestHeaders" not in self.__dict__:
            return values_in(self.head, name)
        return self.requestHeaders.getRawHeaders(name, ())

    @cached_property
    def responseHeaders(self) -> Headers:  # type: ignore[override]
        """http.Request API. Only streams use these: :meth:`reply`, which writes all other answers, leaves them out."""
        headers = Headers()
        for name, value in self.opening():
            headers.setRawHeaders(name, [value])
        return headers

    @cached_property
    def client(self) -> IAddress:
        """http.Request API."""
        address: IAddress = self.transport.getPeer()
        return address

    @cached_property
    def host(self) -> IAddress:
        """http.Request API."""
        address: IAddress = self.transport.getHost()
        return address

    def isSecure(self) -> bool:
        """http.Request API."""
        return self.channel.isSecure()

    def label(self) -> tuple[int, str, str]:
        """Gives the label under which the answer is counted: its status, scheme and content coding."""
        return label(self.counts_as or self.code, self.coding, is_secure=self.channel.isSecure())

    def opening(self) -> list[tuple[bytes, bytes]]:
        """Gives the fields with which an answer begins."""
        return [*self.first_fields, *opening_fields()]

    def reply(self, status: int, head: bytes, body: bytes = b"") -> None:
        """Answers completely, in as few writes as possible.

        :param head: the head of the answer.
        :param body: the content, which is left out if the method is ``HEAD``.
        """
        if self._disconnected:
            raise RuntimeError("the client of this request has left")
        channel, self.code, self.startedWriting = self.channel, status, 1
        if not body or self.method == b"HEAD":
            self.transport.write(head)
        else:
            self.sentLength = len(body)
            if len(body) > LARGE_BYTES:
                # Not copied: many clients may be sent the same.
                self.transport.write(head)
                self.transport.write(body)
            else:
                self.transport.writeSequence((head, body))
        channel.site.log(self)
        self.finished = 1
        self._cleanup()

    def repeat(self, prepared: Prepared) -> None:
        """Answers with a prepared answer."""
        self.coding, self.select = prepared.coding, prepared.select
        head = prepared.head
        if self.first_fields:
            head = prepared.head_with(b"".join(map(line_of, self.first_fields)))
        self.reply(prepared.status, head, prepared.body)

    def begin(self, method: bytes, target: bytes) -> None:
        """Processes the request of a plain head, without content."""
        if len(target) > _SHORT_BYTES:
            target = within_limits(target)
        self.is_plain = True
        self.method, self.uri, self.clientproto = method, target, b"HTTP/1.1"
        self.path, mark, query = target.partition(b"?")
        self.args = parse_qs(query, True) if mark else {}
        self.process()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """http.Request API. It would unquote all segments and parameters: 15 KB of them took 4 ms."""
        if len(path) > _SHORT_BYTES:
            path = within_limits(path)
        super().requestReceived(command, path, version)

    def parseCookies(self) -> None:
        """http.Request API. No resource reads cookies, and 15 KB of them took 1 ms."""

    def process(self) -> None:
        """http.Request API."""
        if self.path[:1] != b"/":
            if self.path == b"*":
                self._answer_asterisk()
                return
            self._take_absolute_form()
        segments = self.path[1:].split(b"/")
        self.prepath, self.postpath = [], [*map(unquote, segments)] if b"%" in self.path else segments
        try:
            self.render(getChildForRequest(self.channel.site.resource, self))
        except BaseException:
            self.processingFailed(Failure())

    def _take_absolute_form(self) -> None:
        """Takes the path and the authority of a target in absolute-form (RFC 9112, 3.2.2), which replaces Host."""
        rest = self.uri.partition(b"://")[2]
        self.requestHeaders.setRawHeaders(b"Host", [_END_OF_AUTHORITY.split(rest, 1)[0]])
        slash, path = rest.find(b"/"), self.path.partition(b"://")[2]
        self.uri = rest[slash:] if slash >= 0 else b"/"
        self.path = b"/" + path.partition(b"/")[2]

    def _answer_asterisk(self) -> None:
        """Answers a target in asterisk-form, which is for ``OPTIONS`` alone (RFC 9112, 3.2.4)."""
        if self.method == b"OPTIONS":
            answer(self, 204, [(b"Allow", b"GET, HEAD, OPTIONS")], None)
        else:
            refuse(self, problems.MALFORMED_REQUEST, "The target * is for OPTIONS alone.")

    def processingFailed(self, reason: Failure) -> Failure:
        """server.Request API."""
        _log.failure("answering a request broke", failure=reason)
        self.select = None
        if self.startedWriting:
            self.channel.forceAbortClient()
        else:
            refuse(self, problems.INTERNAL_ERROR, "The server failed to answer. It has written down why.")
        return reason


def within_limits(target: bytes) -> bytes:
    """Gives a target without the segments, bytes and parameters beyond the limits.

    A path beyond the limits leads to no resource, neither in full nor cut.
    """
    path, mark, query = target.partition(b"?")
    if path.count(b"/") > MAX_SEGMENTS:
        path = b"/".join(path.split(b"/", MAX_SEGMENTS + 1)[:-1])
    if path.startswith(b"/"):
        # In absolute-form, the authority may be as long as the head.
        path = path[:MAX_PATH_BYTES]
    first = _MANY_PARAMETERS.match(query)
    if first is not None:
        query = first[0][:-1]
    if len(query) > MAX_QUERY_BYTES:
        # A parameter that exceeds the limit is removed, not cut.
        query = query[:MAX_QUERY_BYTES].rpartition(b"&")[0]
    return path + mark + query


def label(status: int, coding: str = "identity", *, is_secure: bool) -> tuple[int, str, str]:
    """Gives the label under which an answer is counted: its status, scheme and content coding."""
    return status, "https" if is_secure else "http", coding
