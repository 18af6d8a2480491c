"""The WebSocket subscribers of a process, before and after the first of them.

Autobahn is imported with the first handshake that is accepted: it keeps 5.5 MB, and takes 50 ms of a start. That
handshake takes as much longer, once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol, IReactorTime

    from livefeed.delivery.heartbeats import Heartbeats
    from livefeed.delivery.websocket.protocol import SubscriberFactory, SubscriberProtocol
    from livefeed.web.reconnect_slots import ReconnectSlots


@dataclass(slots=True, eq=False)
class Subscribers:
    """Makes the connection of each accepted handshake, and has all that are open.

    :param reactor: the clock of all connections.
    :ivar slots: the reconnect slots of clients whose handshakes are refused, since livefeed is being stopped; ``None``
        while handshakes are accepted.
    """

    # required parameters
    reactor: IReactorTime

    # internal state
    slots: ReconnectSlots | None = None
    _factory: SubscriberFactory | None = field(default=None, init=False)

    @property
    def factory(self) -> SubscriberFactory:
        """The factory of the connections; it is made when it is first needed."""
        if self._factory is None:
            from livefeed.delivery.websocket.protocol import SubscriberFactory  # noqa: PLC0415 - see above

            self._factory = SubscriberFactory(reactor=self.reactor)
            self._factory.slots = self.slots
        return self._factory

    @property
    def protocols_open(self) -> tuple[()] | Heartbeats[SubscriberProtocol]:
        """The connections whose handshake is done and that are not closed."""
        return () if self._factory is None else self._factory.protocols_open

    def build(self, *arguments: Any) -> IProtocol:
        """ConnectionFactory API."""
        return self.factory.build(*arguments)

    def let_go(self, slots: ReconnectSlots) -> None:
        """Refuses further handshakes, and closes all connections.

        :param slots: gives the times at which the clients come back.
        """
        self.slots = slots
        if self._factory is not None:
            self._factory.let_go(slots)
