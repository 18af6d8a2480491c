"""A request as livefeed's resources see it: within limits, and answered in JSON even if its resource fails."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from twisted.logger import Logger
from twisted.web import server
from twisted.web.http import datetimeToString

from livefeed.document import pointer
from livefeed.web.answers import answer, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

    from livefeed.transport.answer import Select
    from livefeed.transport.interfaces import Host
    from livefeed.web.interfaces import Permit, RequestChannel
    from livefeed.web.negotiation import RequestFields

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
    select: Select | None = None
    access_fields: tuple[bytes, ...] = ()
    permit: Permit | None = None
    waits_for: Host | None = None
    over_capacity = False
    counts_as: int | None = None
    is_forwarded = False
    hurry: Callable[[], object] = staticmethod(lambda: None)
    channel: RequestChannel  # type: ignore[assignment] # twisted.web names its own class

    def label(self) -> tuple[int, str, str]:
        """Gives the label under which the answer is counted: its status, scheme and content coding."""
        coding = self.responseHeaders.getRawHeaders(b"Content-Encoding", [b"identity"])[0]
        return label(self.counts_as or self.code, coding.decode(), is_secure=self.isSecure())

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """http.Request API. It would unquote all segments and parameters: 15 KB of them took 4 ms."""
        if len(path) > _SHORT_BYTES:
            path = within_limits(path)
        super().requestReceived(command, path, version)

    def parseCookies(self) -> None:
        """http.Request API. No resource reads cookies, and 15 KB of them took 1 ms."""

    def process(self) -> None:
        """http.Request API."""
        # absolute-form (RFC 9112, 3.2.2): its authority replaces the Host field.
        scheme, separator, rest = self.uri.partition(b"://")
        if separator and scheme.lower() in (b"http", b"https"):
            self.requestHeaders.setRawHeaders(b"Host", [_END_OF_AUTHORITY.split(rest, 1)[0]])
            slash, path = rest.find(b"/"), self.path.partition(b"://")[2]
            self.uri = rest[slash:] if slash >= 0 else b"/"
            self.path = b"/" + path.partition(b"/")[2]
        if self.path == b"*":
            # asterisk-form is for OPTIONS alone (RFC 9112, 3.2.4).
            self.setHeader(b"Date", datetimeToString())
            if self.method == b"OPTIONS":
                answer(self, 204, [(b"Allow", b"GET, HEAD, OPTIONS")], None)
            else:
                refuse(self, 400, "The target * is for OPTIONS alone.")
            return
        super().process()

    def processingFailed(self, reason: Failure) -> Failure:
        """server.Request API."""
        _log.failure("answering a request broke", failure=reason)
        self.select = None
        if self.startedWriting:
            self.channel.forceAbortClient()
        else:
            refuse(self, 500, "The server failed to answer. It has written down why.")
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
