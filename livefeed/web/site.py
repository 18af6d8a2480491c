"""The factory of HTTP connections, and the request as it is seen by livefeed's resources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger
from twisted.web import server

from livefeed.web.answers import refuse
from livefeed.web.channel import HEAD_TIMEOUT_S, Channel

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure
    from twisted.web.resource import IResource

IDLE_TIMEOUT_S = 75
"""As nginx has it; longer than browsers and balancers keep a connection, so that they close it first."""

_log = Logger()


class Request(server.Request):
    """A request, answered in JSON also where something went wrong.

    :ivar has_content: whether it came with content, which nobody has read.
    """

    has_content = False
    channel: Channel

    def process(self) -> None:
        """http.Request API."""
        # absolute-form (RFC 9112, 3.2.2): what Host says then does not count, and here it does not matter.
        scheme, separator, rest = self.uri.partition(b"://")
        if separator and scheme.lower() in (b"http", b"https"):
            slash, path = rest.find(b"/"), self.path.partition(b"://")[2]
            self.uri = rest[slash:] if slash >= 0 else b"/"
            self.path = b"/" + path.partition(b"/")[2]
        super().process()

    def processingFailed(self, reason: Failure) -> Failure:
        """server.Request API."""
        _log.failure("answering a request broke", failure=reason)
        if self.startedWriting:
            self.channel.forceAbortClient()
        else:
            refuse(self, 500, "The server failed to answer. It has written down why.")
        return reason


class Site(server.Site):
    """Makes a :class:`Channel` of each connection, and keeps count of them.

    :ivar channels: the connections that speak HTTP now; those that were upgraded have left.
    :ivar head_timeout_s: how long the head of a request may take.
    """

    protocol = Channel  # type: ignore[assignment]
    requestFactory = Request
    noisy = False

    def __init__(
        self,
        resource: IResource,
        *,
        reactor: IReactorTime,
        head_timeout_s: float = HEAD_TIMEOUT_S,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
    ) -> None:
        super().__init__(resource, reactor=reactor, timeout=idle_timeout_s, parsePOSTFormSubmission=False)
        self.channels: set[Channel] = set()
        self.head_timeout_s = head_timeout_s

    def startFactory(self) -> None:
        """Factory API. Opens no access log: a log line is for a change of state."""

    def stopFactory(self) -> None:
        """Factory API."""

    def log(self, request: Any) -> None:
        """HTTPFactory API."""

    def acceptableProtocols(self) -> list[bytes]:
        """IProtocolNegotiationFactory API. No HTTP/2: in Twisted it takes three times the CPU."""
        return [b"http/1.1"]
