"""One answer for many requests: twisted.web renders it once, on a transport in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.address import UNIXAddress
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ITransport
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from livefeed.transport.answer import Answer, in_pieces

if TYPE_CHECKING:
    from collections.abc import Iterable

    from livefeed.web.interfaces import RequestSite

_log = Logger()


@implementer(ITransport)
class MemoryTransport:
    """A transport that keeps the bytes that are written to it, and needs no time limits.

    :ivar written: these bytes.
    :ivar disconnecting: whether the connection ends after the answer.
    """

    over_capacity = False

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.disconnecting = False

    def write(self, data: bytes) -> None:
        """ITransport API."""
        self.written.append(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """ITransport API."""
        self.written += iovec

    def loseConnection(self) -> None:
        """ITransport API."""
        self.disconnecting = True

    abortConnection = loseConnection

    def getPeer(self) -> UNIXAddress:
        """ITransport API."""
        return UNIXAddress("")

    def getHost(self) -> UNIXAddress:
        """ITransport API."""
        return UNIXAddress("")

    def set_deadline(self, seconds: float | None) -> None:
        """TimedTransport API. Nothing can time out, because one call does everything."""


def render_waited(site: RequestSite, head: bytes, *, secure: bool, last: bool = False) -> Answer | None:
    """Renders the answer, as of now, to a request that has waited.

    An exception is logged.

    :param site: the site of the request.
    :param head: the whole request.
    :param secure: whether the request came with TLS.
    :param last: whether the connection must end after the answer.
    :returns: the answer; ``None`` if there is none.
    """
    transport = MemoryTransport()
    channel: Any = site.buildProtocol(None)
    channel.isSecure = lambda: secure
    channel.has_waited = True
    try:
        channel.makeConnection(transport)
        if last:
            channel.end_with_answer()
        channel.dataReceived(head)
    except Exception:
        _log.failure("rendering an answer for several requests broke")
    finally:
        channel.connectionLost(Failure(ConnectionDone()))
    if channel.answered is None:
        return None
    data, body = in_pieces(transport.written)
    return Answer(data, channel.answered, transport.disconnecting, body)
