"""The requirements of channels and requests on the objects around them.

Rule: this file has interfaces alone, so that the modules of this folder need not import each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from twisted.internet.interfaces import IAddress, IProtocol, IReactorTime

    from livefeed.web.upgrades import Upgrades


@runtime_checkable
class SweepingTransport(Protocol):
    """A transport that sweeps deadlines, and that lingers by itself after ``loseConnection``.

    The fast transport is one. With other transports, a channel has a timer of its own.
    """

    def set_deadline(self, seconds: float | None, /) -> None:
        """Sets the time after which the transport calls ``timeoutConnection`` of its protocol.

        :param seconds: the delay from now; ``None`` for never.
        """


class TimedTransport(SweepingTransport, Protocol):
    """A transport that sweeps deadlines, and has a limit of connections.

    :ivar over_capacity: whether the connection exceeds the limit, so that the client must be told to come back later.
    """

    over_capacity: bool


@runtime_checkable
class PeeredTransport(Protocol):
    """A transport whose peer can be replaced by the address that a proxy has named. The fast transport is one."""

    def set_peer(self, address: IAddress, /) -> None:
        """Has ``getPeer`` give this address from now on."""


@runtime_checkable
class HalfClosingTransport(Protocol):
    """A transport whose sending side can be closed alone."""

    def loseWriteConnection(self) -> None:
        """ITCPTransport API."""


class RefusalSlots(Protocol):
    """The reconnect slots of clients whose event streams are refused."""

    def next_retry_ms(self) -> int:
        """Gives the delay in milliseconds after which the client that is refused now comes back."""


class Permit(Protocol):
    """The permission to follow a protected feed, which the token of a request has given."""

    def begin(self, end: Callable[[int], object], /) -> Admission:
        """Takes note of a subscription, which is ended with its token.

        :param end: ends it; it is given the milliseconds after which the client comes back.
        """


class Admission(Protocol):
    """A subscription that a token has opened."""

    def leave(self) -> None:
        """Takes note that the subscription has ended. A second call has no effect."""


class AnsweredRequest(Protocol):
    """A request, as the functions that answer it require it.

    :ivar clientproto: the version of the protocol.
    :ivar coding: the content coding of the answer.
    """

    clientproto: bytes
    coding: str

    def opening(self) -> list[tuple[bytes, bytes]]:
        """Gives the fields with which the answer begins."""

    def reply(self, status: int, head: bytes, body: bytes, /) -> None:
        """Answers completely.

        :param head: the head of the answer.
        :param body: the content, which is left out if the method is ``HEAD``.
        """


class PreparedStore(Protocol):
    """The prepared answers of a site; see :mod:`livefeed.web.prepared`."""

    def find(self, key: Hashable, basis: tuple[object, ...], /) -> Any:
        """Gives the answer with a key, if it was made from the same objects; ``None`` if there is none.

        :param key: what the answer depends on, besides the basis and the time.
        """

    def keep(self, key: Hashable, answer: Any, /) -> None:
        """Keeps an answer, unless that would exceed a limit."""


class RequestSite(Protocol):
    """The site of a request, as the request and its resources require it."""

    @property
    def upgrades(self) -> Upgrades | None:
        """The paths at which handshakes of WebSockets are accepted without a channel; ``None`` where none is."""

    @property
    def refusal_slots(self) -> RefusalSlots:
        """The reconnect slots of clients whose event streams are refused."""

    @property
    def prepared(self) -> PreparedStore:
        """The prepared answers."""

    @property
    def resource(self) -> Any:
        """The root of the resources."""

    def log(self, request: Any, /) -> None:
        """HTTPFactory API. Counts the answer to a request."""

    def buildProtocol(self, addr: None, /) -> Any:
        """IProtocolFactory API. Makes a channel."""

    def forget_answers(self) -> None:
        """Forgets all answers that may be repeated."""


class ChannelSite(RequestSite, Protocol):
    """The site of a channel, as the channel requires it.

    :ivar channels: the connections that speak HTTP now.
    :ivar head_timeout_s: the time in seconds that a head may take.
    :ivar max_head_bytes: the limit of a head in bytes.
    :ivar replays: the answers that may be repeated, without TLS (``False``) and with TLS (``True``).
    :ivar timeOut: the time in seconds that a connection may be idle; ``None`` for no limit.
    :ivar reactor: schedules the ends of connections on transports that sweep no deadlines.
    """

    channels: set[Any]
    head_timeout_s: float
    max_head_bytes: int
    replays: dict[bool, Any]
    timeOut: Any
    reactor: IReactorTime

    def log(self, request: Any, /) -> None:
        """Counts the answer to a request."""

    def handed_over(self, request: Any, /) -> Callable[[], object] | None:
        """Counts the answer to a request whose connection is handed over to another protocol.

        :returns: a function to call when the connection has ended; ``None`` for none.
        """

    def count_refusal(self, channel: Any, status: int, size: int, /) -> None:
        """Counts the refusal of bytes of which no request was made.

        :param size: the bytes of the content that is sent.
        """

    def rest(self, channel: Any, /) -> None:
        """Calls ``go_on`` of the channel after all other connections had a turn."""


class RequestChannel(Protocol):
    """The channel of a request, as the request and its resources require it.

    :ivar has_waited: whether the request is answered as one whose time to wait is over.
    :ivar answered: the label of the answer to a request that has waited; ``None`` before the answer.
    :ivar transport: the transport that answers are written to.
    :ivar persistent: whether the connection is kept after the answer.
    """

    transport: Any
    has_waited: bool
    answered: Hashable
    persistent: Any

    @property
    def site(self) -> RequestSite:
        """The factory of the channel."""

    def isSecure(self) -> bool:
        """HTTPChannel API. Tells whether the connection has TLS."""

    def requestDone(self, request: Any, /) -> None:
        """HTTPChannel API. Goes on after the answer to a request."""

    def forceAbortClient(self) -> None:
        """HTTPChannel API. Resets the connection."""

    def end_with_answer(self) -> None:
        """Closes the connection after the next answer, and announces that in the answer."""

    def hand_over(self, protocol: IProtocol, /) -> None:
        """Hands the connection over to another protocol.

        :param protocol: not yet connected.
        """
