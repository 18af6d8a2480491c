"""An answer for many requests: twisted.web renders it once, for a connection that nobody has."""

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
    from collections.abc import Hashable, Iterable

    from livefeed.web.site import Site

_log = Logger()


@implementer(ITransport)
class PaperTransport:
    """Keeps what is written to it.

    :ivar written: that.
    :ivar answered: what an answer counts as, once there is one; such an answer is not counted by itself.
    :ivar disconnecting: whether the connection ends after it.
    """

    over_capacity = False

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.answered: Hashable = None
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
        """Nothing times out: one call does everything."""


def render_waited(site: Site, head: bytes, *, secure: bool, last: bool = False) -> Answer | None:
    """Gives what a request is answered that has waited, as of now; ``None`` if there is no answer.

    What breaks is logged.

    :param head: the whole request.
    :param secure: whether it came with TLS.
    :param last: whether the connection is to end after it in any case.
    """
    transport = PaperTransport()
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
    if transport.answered is None:
        return None
    data, body = in_pieces(transport.written)
    return Answer(data, transport.answered, transport.disconnecting, body)
