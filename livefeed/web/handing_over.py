"""The way of a connection from HTTP to another protocol, such as that of a WebSocket.

Rule: afterwards the channel has no effect, and nothing refers to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.protocols.policies import ProtocolWrapper

from livefeed.web.interfaces import PeeredTransport
from livefeed.web.pipelining import Pipelining

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IProtocol
    from twisted.python.failure import Failure


class HandingOver(Pipelining):
    """The part of a channel that hands the connection over."""

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

    def rawDataReceived(self, data: bytes) -> None:
        """LineReceiver API."""
        if self._successor is not None:
            self._successor.dataReceived(data)
        elif not self._closing:
            super().rawDataReceived(data)


def _call_at_end(protocol: Any, ended: Callable[[], object]) -> None:
    """Has a function called when the connection of a protocol has ended."""
    lose = protocol.connectionLost

    def lose_and_call(reason: Failure) -> None:
        # It refers to the protocol, which refers to it: without this line only the garbage collector would free them.
        del protocol.connectionLost
        lose(reason)
        ended()

    protocol.connectionLost = lose_and_call
