"""The factory of HTTP connections, and the request as it is seen by livefeed's resources."""

from __future__ import annotations

import re
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger
from twisted.web import server
from twisted.web.http import datetimeToString
from zope.interface import implementer

from livefeed.document import pointer
from livefeed.tls.options import PROTOCOLS
from livefeed.transport.interfaces import IReplayed
from livefeed.web.answers import answer, refuse
from livefeed.web.channel import HEAD_TIMEOUT_S, MAX_HEAD_BYTES, Channel
from livefeed.web.refusals import Refusals
from livefeed.web.replay import Replay

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure
    from twisted.web.resource import IResource

    from livefeed.transport.answer import Select
    from livefeed.transport.interfaces import Host

IDLE_TIMEOUT_S = 75
"""As nginx has it; longer than browsers and balancers keep a connection, so that they close it first."""

TURN_S = 0.01
"""Seconds for which clients with many requests at once are answered, before everything else gets its turn."""

FORGET_S = 0.25
"""How long an answer may be given again. So much can Livefeed-Next be too large. A second is a multiple of it."""

MAX_PARAMETERS = 64
"""Parameters of a query that are looked at, of which livefeed has three; caches and pages add their own."""

MAX_QUERY_BYTES = 2048
"""Bytes of a query that are looked at: more than the parameters of one that a version of 64 bytes stands in."""

MAX_SEGMENTS = pointer.MAX_TOKENS + 8
"""Segments of a target that are looked at. There is nothing below so many: those of the longest path to a part, one for
the feed, and the scheme and authority of absolute-form."""

MAX_PATH_BYTES = 3 * (pointer.MAX_PATH_BYTES + 256)
"""Bytes of a path that are looked at. There is nothing below so many: those of the longest path to a part and of a
feed's name, all of them percent-encoded."""

_SHORT_BYTES = min(MAX_PARAMETERS, MAX_SEGMENTS)  # which no target of this length can exceed
_MANY_PARAMETERS = re.compile(rb"(?>[^&;]*+[&;]){%d}" % MAX_PARAMETERS)
_END_OF_AUTHORITY = re.compile(rb"[/?]")

_log = Logger()


class Request(server.Request):
    """A request, answered in JSON also where something went wrong.

    :ivar has_content: whether it came with content, which nobody has read.
    :ivar select: set where its answer depends on nothing but the method, the path and the fields that
        :mod:`livefeed.web.replay` keys by, and may be given again: tells what of these it depends on.
    :ivar waits_for: what others may wait for with it; ``None`` if it does not wait, or is alone in it.
    :ivar over_capacity: whether it came on a connection that is one too many, and asks for events: these are refused.
    :ivar counts_as: the status that its answer counts as in the metrics, where that is not the one that was sent.
    :ivar hurry: has a request that waits for something be answered without it.
    """

    has_content = False
    select: Select | None = None
    waits_for: Host | None = None
    over_capacity = False
    counts_as: int | None = None
    hurry: Callable[[], object] = staticmethod(lambda: None)
    channel: Channel

    def label(self) -> tuple[int, str, str]:
        """Gives what the answer counts as: its status, the scheme it goes over, and its content coding."""
        coding = self.responseHeaders.getRawHeaders(b"Content-Encoding", [b"identity"])[0]
        return _label(self.counts_as or self.code, coding.decode(), is_secure=self.isSecure())

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """http.Request API. It would unquote all segments and parameters: 15 KB of them took 4 ms."""
        if len(path) > _SHORT_BYTES:
            path = _within_limits(path)
        super().requestReceived(command, path, version)

    def parseCookies(self) -> None:
        """http.Request API. There are none that livefeed looks at, and 15 KB of them took 1 ms."""

    def process(self) -> None:
        """http.Request API."""
        # absolute-form (RFC 9112, 3.2.2): what Host says then does not count.
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


@implementer(IReplayed)
class Site(server.Site):
    """Makes a :class:`Channel` of each connection, and keeps count of them.

    :ivar channels: the connections that speak HTTP now; those that were upgraded have left.
    :ivar head_timeout_s: how long the head of a request may take.
    :ivar max_head_bytes: how large it may be. It is no less than what one read of a connection gives: replay does not
        ask.
    :ivar refusals: when those come back whose streams of events are refused.
    :ivar replays: the answers that may be given again, without TLS and with it.
    :ivar wall: gives the time that ``Date`` tells, in seconds since 1970.
    """

    protocol = Channel  # type: ignore[assignment]
    requestFactory = Request
    noisy = False
    wall: Callable[[], float] = staticmethod(time.time)

    def __init__(
        self,
        resource: IResource,
        *,
        reactor: IReactorTime,
        head_timeout_s: float = HEAD_TIMEOUT_S,
        max_head_bytes: int = MAX_HEAD_BYTES,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
    ) -> None:
        super().__init__(resource, reactor=reactor, timeout=idle_timeout_s, parsePOSTFormSubmission=False)
        self.channels: set[Channel] = set()
        self.head_timeout_s = head_timeout_s
        self.max_head_bytes = max_head_bytes
        self.refusals = Refusals(reactor)
        self.replays = {False: Replay(), True: Replay()}
        self._counts: Counter[Any] = Counter()
        self._resting: deque[Channel] = deque()
        self._clearing: IDelayedCall | None = None

    def startFactory(self) -> None:
        """Factory API. Opens no access log: a log line is for a change of state."""
        self._clear_later()

    def stopFactory(self) -> None:
        """Factory API."""
        if self._clearing is not None:
            self._clearing.cancel()
            self._clearing = None

    def rest(self, channel: Channel) -> None:
        """Has a channel go on with what its client has sent when everybody else has had a turn."""
        self._resting.append(channel)
        if len(self._resting) == 1:
            self.reactor.callLater(0, self._go_on)

    def _go_on(self) -> None:
        end = self.reactor.seconds() + TURN_S
        for _ in range(len(self._resting)):
            # It is still the first while it goes on, so that nothing is scheduled twice.
            channel = self._resting[0]
            try:
                channel.go_on()
            except Exception:
                _log.failure("going on with requests broke")
                channel.forceAbortClient()
            self._resting.popleft()
            if self.reactor.seconds() > end:
                break
        if self._resting:
            self.reactor.callLater(0, self._go_on)

    def log(self, request: Request) -> None:  # type: ignore[override]
        """HTTPFactory API. Counts an answer."""
        if request.channel.has_waited:
            # Counted as often as it is given.
            request.channel.transport.answered = request.label()
            return
        self._counts[request.label()] += 1

    def count_refusal(self, status: int, *, is_secure: bool) -> None:
        """Counts an answer to what was not worth being made a request of."""
        self._counts[_label(status, is_secure=is_secure)] += 1

    def _clear_later(self) -> None:
        # With each full second, since an answer's Date has no finer grain, and in between for Livefeed-Next. The wall
        # clock is asked each time, since it may have been set.
        self._clearing = self.reactor.callLater(FORGET_S - self.wall() % FORGET_S, self._clear)

    def _clear(self) -> None:
        self._clear_later()
        self.forget_answers()

    def forget_answers(self) -> None:
        """Has all answers rendered anew: there is a new version, or another state, or :data:`FORGET_S` have passed."""
        for replay in self.replays.values():
            replay.clear()

    def counts(self) -> Counter[tuple[int, str, str]]:
        """Gives how many requests were answered, replayed or not, by status, scheme and content coding."""
        counts: Counter[Any] = self._counts + self.replays[False].counts() + self.replays[True].counts()
        return counts

    def acceptableProtocols(self) -> list[bytes]:
        """IProtocolNegotiationFactory API."""
        return [*PROTOCOLS]


def _within_limits(target: bytes) -> bytes:
    """Gives a target without what is not looked at. One that leads nowhere still does."""
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
        # No part of a parameter is taken for the whole.
        query = query[:MAX_QUERY_BYTES].rpartition(b"&")[0]
    return path + mark + query


def _label(status: int, coding: str = "identity", *, is_secure: bool) -> tuple[int, str, str]:
    return status, "https" if is_secure else "http", coding
