"""The requirements of pool, connection, rooms and ``web`` on each other.

Each of these modules imports this one instead of the others, so that none has to be read before another.

The :class:`typing.Protocol` classes are used in annotations alone, and cost nothing at run time. Optional capabilities
of factories and protocols are interfaces of zope.interface, as Twisted's own are: to look for one takes 0.2 µs, and an
``isinstance`` of a protocol that is checked at run time took 20 µs on Python 3.11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Collection, Hashable, Mapping

    from twisted.internet.interfaces import IAddress, IDelayedCall, IReadDescriptor
    from twisted.python.failure import Failure

    from livefeed.transport.answer import Answer, Repeatable, Select


# Slices of Twisted's reactor


class TimedReactor(Protocol):
    """The part of a reactor that tells the time and calls later."""

    def seconds(self) -> float:
        """IReactorTime API."""

    def callLater(self, delay: float, callable: Callable[..., object], *args: Any, **kw: Any) -> IDelayedCall:  # noqa: A002
        """IReactorTime API."""


class ReadingReactor(TimedReactor, Protocol):
    """The part of a reactor that a pool needs: the time, and readers."""

    def addReader(self, reader: IReadDescriptor) -> None:
        """IReactorFDSet API."""

    def removeReader(self, reader: IReadDescriptor) -> None:
        """IReactorFDSet API."""


# Between pool and connection


class PooledConnection(Protocol):
    """A connection, as a pool requires it.

    :ivar fd: the descriptor of its socket.
    :ivar sock: the socket.
    :ivar over_capacity: whether there were too many connections already when it was accepted.
    """

    fd: int
    sock: socket.socket
    over_capacity: bool

    def start(self) -> None:
        """Begins. The pool has registered the connection for reading, and set the deadline of a handshake."""

    def handle(self, events: int) -> None:
        """Handles events of epoll."""

    def expire(self) -> None:
        """Handles that its deadline has passed."""

    @property
    def reads(self) -> bool:
        """Whether it waits for data of its client."""

    @property
    def polls(self) -> bool:
        """Whether its answers may be repeated: its client sends requests, and does not follow anything."""

    def retire(self) -> None:
        """Ends the connection with its next answer, which announces it. A request that waits is answered now."""

    def renew_answers(self) -> None:
        """Looks its store of answers up again, which its factory has replaced."""

    def is_active(self, since: float, /) -> bool:
        """Tells whether an answer was repeated to it since a time by the clock of the pool."""

    def close_if_idle(self) -> None:
        """Ends the connection if nothing is under way on it that a protocol would know of."""

    def abortConnection(self) -> None:
        """ITransport API."""

    def close(self) -> None:
        """Closes the socket and tells the protocol. Called for connections given to ``close_later``."""

    def set_deadline(self, seconds: float | None) -> None:
        """Sets the deadline, in seconds from the pool's last sweep; ``None`` for no deadline."""


class ConnectionLimits(Protocol):
    """The limits of a pool that its connections apply."""

    @property
    def idle_s(self) -> float:
        """Seconds that a connection may be idle before its first byte, and after a replayed answer."""


class ConnectionPool(Protocol):
    """A pool, as connections and rooms require it.

    :ivar deadlines: the time at which the deadline of a connection passes, by the pool's clock.
    :ivar did_more: set by a connection that did more than repeat an answer; the pool then looks at the clock.
    :ivar handshakes: number of TLS handshakes that succeeded.
    :ivar failed_handshakes: number of connections that ended before their TLS handshake succeeded.
    :ivar guests: the descriptors of open connections that count nowhere.
    """

    deadlines: dict[PooledConnection, float]
    did_more: bool
    handshakes: int
    failed_handshakes: int
    guests: set[int]

    @property
    def reactor(self) -> TimedReactor:
        """Tells the time, and calls later."""

    @property
    def limits(self) -> ConnectionLimits:
        """The limits that connections apply."""

    @property
    def now(self) -> float:
        """The reactor's time as of the last sweep."""

    @property
    def turns(self) -> RoomTurns:
        """Answers whole rooms."""

    def watch(self, fd: int, mask: int) -> None:
        """Changes the events of epoll that a connection waits for."""

    def handle_again(self, connection: PooledConnection) -> None:
        """Handles a connection once more, which has data that the kernel does not report."""

    def close_later(self, connection: PooledConnection) -> None:
        """Closes a connection that is lost after this turn."""

    def replace(self, connection: PooledConnection, successor: PooledConnection) -> None:
        """Puts a connection into the place of one that has read all that comes before it, on the same socket."""

    def log_failure(self, where: str, culprit: object) -> None:
        """Logs the exception that is being handled. It ends one connection and no more."""


class MakeConnection(Protocol):
    """The factory of the connections of one listener."""

    def __call__(self, pool: ConnectionPool, sock: socket.socket, peer: object, /) -> PooledConnection:
        """Makes the connection of a socket that was accepted and does not block, and of its peer's name."""


# Between connections, rooms and the store of answers


class RoomMember(Protocol):
    """A connection, as a room requires it. Its attributes are set, not called: there may be 10,000 in a room."""

    _room: WaitingRoom | None
    _at_boundary: bool
    _active_at: float
    _peer: int | IAddress

    @property
    def disconnecting(self) -> bool:
        """Whether the connection ends or has ended."""

    def getPeer(self) -> Any:
        """ITransport API."""

    def pauseProducing(self) -> None:
        """IPushProducer API."""

    def resumeProducing(self) -> None:
        """IPushProducer API."""

    def abortConnection(self) -> None:
        """ITransport API."""

    @staticmethod
    def write_to_all(connections: list[Any], data: bytes, /) -> None:
        """Writes the same data to connections of one class. An exception ends the connection that raised it."""

    def write_large_or_end(self, head: bytes, body: bytes, /) -> None:
        """Writes a head and a large body. An exception ends the connection."""

    def _deliver(self, data: bytes, key: bytes | None, /) -> None: ...

    def _lose_connection_after_answer(self) -> None: ...


class WaitingRoom(Protocol):
    """A room of requests that wait for the same answer, as connections, hosts and the store of answers require it.

    :ivar other_keys: the keys of further requests that the store lets in.
    :ivar place: set by the store: the place where it finds the room for further keys.
    """

    other_keys: dict[bytes, None]
    place: tuple[bytes, Hashable] | None

    @property
    def key(self) -> bytes:
        """The key of the first request."""

    @property
    def head(self) -> bytes:
        """The head of the first request, as it was sent."""

    @property
    def host(self) -> Host:
        """The object that the requests wait for."""

    @property
    def members(self) -> Mapping[Any, float]:
        """The connections whose requests wait, and the time at which each has waited long enough."""

    def join(self, connection: RoomMember, /) -> bool:
        """Takes a connection whose client sent this room's request. Returns whether it did."""

    def leave(self, connection: RoomMember, /) -> bytes:
        """Lets a connection go, and gives the bytes that its client sent after its request."""

    def keep(self, connection: RoomMember, data: bytes, /) -> None:
        """Keeps bytes that a client sends while its request waits."""

    def answer_all(self) -> None:
        """Answers all requests that wait now, in this turn and the next ones."""

    def answer_at_once(self) -> None:
        """Answers all requests that wait now, in this turn."""

    def abort_all(self) -> None:
        """Aborts the connections of all requests that wait now."""

    def answer_some(self, most: int, /) -> int:
        """Answers some of the requests that are due. Returns their number; 0 if none is due."""

    def close_if_over(self) -> None:
        """Closes the room if no request waits any more."""


class RoomTurns(Protocol):
    """The turns in which a pool answers rooms."""

    def add(self, room: WaitingRoom) -> None:
        """Queues a room."""


class Host(Protocol):
    """The object that the requests in a room wait for.

    :ivar room: the room. It is set when the room is opened.
    """

    room: WaitingRoom | None

    @property
    def select(self) -> Select:
        """Tells the variant of a request; requests of one variant wait together. ``None`` keeps a request out."""

    @property
    def wait_s(self) -> float:
        """The longest time in seconds that a request waits."""

    @property
    def leads(self) -> bool:
        """Whether the first request still waits: then others may join, even if the room is empty."""

    def admit(self) -> bool:
        """Counts one more request, unless it would not be kept waiting if it came alone now."""

    def let_go(self, count: int, /) -> None:
        """Handles that this number of requests do not wait any more."""

    def render(self, head: bytes, /) -> Answer | None:
        """Gives the answer, as of now, to a request that has waited; ``None`` if that fails."""

    def close(self) -> None:
        """Handles that no request can join any more."""


class AnswerStore(Protocol):
    """The answers that may be repeated, and the rooms of requests that wait, as connections and rooms require them.

    :ivar peer: the peer that asks, as connections with an access log set it before :meth:`find`.
    """

    peer: int | IAddress

    @property
    def missed(self) -> bytes | None:
        """The key of the request that :meth:`find` found no answer for; ``None`` if replay must not answer it."""

    @property
    def generation(self) -> int:
        """How often all answers were forgotten."""

    def find(self, head: bytes, /) -> Answer | None:
        """Gives the answer to a request, and counts it as given."""

    def store(
        self, key: bytes, data: bytes, repeatable: Repeatable, /, *, body: bytes = b"", last: bool = False
    ) -> None:
        """Stores the answer to a request."""

    def join(self, key: bytes, connection: Any, /) -> bool:
        """Lets a connection join the room of requests like its own. Returns whether there is one."""

    def open_room(self, room: WaitingRoom, /) -> None:
        """Lets requests into a room."""

    def close_room(self, room: WaitingRoom, /) -> None:
        """Lets no more requests into a room."""

    def answered(self, answer: Answer, head: bytes, connections: Collection[Any], /) -> None:
        """Counts an answer that is written to several requests at once.

        :param head: the head of one of the requests.
        """


# Optional capabilities of factories and protocols


class IReplayed(Interface):
    """A factory or a protocol whose answers may be repeated.

    The protocols of such a factory wait for the client to speak, so none is made for a request that is answered by
    replay. A protocol with this interface is a :class:`ReplayedProtocol`.
    """

    replays: Mapping[bool, AnswerStore] = Attribute("the stores of answers, without TLS (False) and with it (True)")


class IUpgrading(Interface):
    """A factory that may have another protocol than its own for the first request that replay does not answer."""

    def upgrade(head: bytes, secure: bool) -> tuple[Any, Callable[[bytes], object]] | None:  # noqa: N805
        """Gives the protocol, and the function that is given the data once the protocol is connected; or ``None``.

        :param head: all data that has come since the last answer.
        :param secure: whether the connection has TLS.
        """


class IDeadlineListener(Interface):
    """A protocol that decides what happens when the deadline of its connection passes."""

    def timeoutConnection() -> None:
        """Handles that the deadline has passed."""


class IPlainListener(Interface):
    """A factory that has an answer for clients that do not speak TLS on a port with TLS."""

    def plain_answer(rest: bytes) -> bytes:  # noqa: N805 - an interface of zope has no self
        """Gives the answer, after which the connection ends.

        :param rest: the data of the client behind its first five bytes, as far as it has come, at most 4096 bytes.
        """


class ReplayedProtocol(Protocol):
    """A protocol whose answers may be repeated. The methods of others are those of ``IProtocol`` alone."""

    def makeConnection(self, transport: Any, /) -> None:
        """IProtocol API."""

    def dataReceived(self, data: bytes, /) -> None:
        """IProtocol API."""

    def connectionLost(self, reason: Failure, /) -> None:
        """IProtocol API."""

    def loseConnection(self) -> None:
        """Ends the connection after the last answer."""

    def retire(self) -> None:
        """Ends the connection with its next answer, which announces it. A request that waits is answered now."""

    def at_boundary(self) -> bool:
        """Tells whether the next byte begins a request, and nothing else is going on."""

    def replayable(self) -> Repeatable | None:
        """Gives the facts about the last answer; ``None`` if it must not be repeated."""

    def waits(self) -> Host | None:
        """Gives the object that the one request waits for; ``None`` if others must not wait with it."""


class Writable(Protocol):
    """A connection of a group that is written to by its own methods."""

    def write_or_end(self, data: bytes, sent: int = 0, /) -> None:
        """Writes data. An exception ends the connection, and is not raised."""


class WritingGroup(Protocol):
    """A group that writes to the handles of connections that can send."""

    def take_aside(self, connection: Any, /) -> None:
        """Has a connection written to by its own methods from now on, instead of by its handle."""


class DirectlyWritable(Writable, Protocol):
    """A connection of a group that writes to its handle while it can send."""

    _handle: Any
    _can_send: bool
    _writing_group: WritingGroup | None

    def _protocol_failed(self, where: str, /) -> None:
        """Handles the current exception: it is logged, and the connection is lost."""
