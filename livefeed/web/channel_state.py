"""The state of a channel, declared in one place for the modules that add its behaviour.

``time_limits`` adds the deadline of a connection, ``closing`` its ends, ``head_checks`` the refusals of heads,
``pipelining`` the turns of its requests, ``handing_over`` its way to another protocol, and ``channel`` the data that
comes in and the requirements of the transport. Each inherits from the one before: one class on one chain, since helper
objects would cost each connection memory and each request look-ups. No method is overridden twice on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.web.http import HTTPChannel

if TYPE_CHECKING:
    from collections.abc import Hashable

    from twisted.internet.interfaces import IProtocol

    from livefeed.transport.answer import Repeatable
    from livefeed.web.deadline import Deadline
    from livefeed.web.interfaces import ChannelSite, TimedTransport

MAX_AT_ONCE = 16
"""Limit of the pipelined requests of one client that are answered in a row when its turn has come."""

MAX_AT_FIRST = 4
"""Limit of the pipelined requests that are answered on arrival. :meth:`ChannelSite.rest` continues with the others, and
limits the time.

A client that polls waits for all connections that have something to read. 16 requests each, of 100 clients that
pipeline without end, took 0.4 s."""


class ChannelState(HTTPChannel):
    """The state of one HTTP connection.

    :ivar site: the factory of the channel.
    :ivar has_waited: whether the request is answered as one whose time to wait is over.
    :ivar answered: the label of the answer to a request that has waited; ``None`` before the answer.
    """

    site: ChannelSite
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

    def _is_idle(self) -> bool:
        return not (self.requests or self._buffer or self._ate_line or self.paused)
