"""The state of a connection, declared in one place for the modules that read, write and close.

``closing`` adds the ends of a connection, ``writing`` the data that goes out, ``reading`` the data that comes in, and
``connection`` the protocol and the answers that are repeated in its place. Each inherits from the one before: one class
on one chain, since helper objects would cost each connection memory and each request look-ups.
"""

from __future__ import annotations

from select import EPOLLIN
from typing import TYPE_CHECKING, Any, Final

from livefeed.transport.peer import pack_peer, unpack_peer
from livefeed.transport.sockets import StreamSocket

if TYPE_CHECKING:
    import socket
    from collections import deque
    from collections.abc import Sequence

    from twisted.internet.interfaces import IAddress, IProtocolFactory
    from twisted.python.failure import Failure

    from livefeed.transport.interfaces import AnswerStore, ConnectionPool, ReplayedProtocol, WaitingRoom, WritingGroup

READ_BYTES = 16_384
"""Upper limit of the bytes of one read, and of small pieces that are joined for one write: the size of a TLS record."""

WRITE_BYTES = 65_536
"""Upper limit of the bytes that are kept back while a protocol is called."""

# The states of the server's side, in the order in which they can follow each other. Reading ends independently of them.
# They are plain integers: a comparison with a member of an enumeration takes four times as long.

OPEN: Final = 0
HALF_CLOSING: Final = 1
"""``loseWriteConnection`` was called. The data written before is sent first; new data is ignored."""

HALF_CLOSED: Final = 2
"""The FIN is sent (TCP calls this FIN-WAIT), and the protocol goes on reading."""

DRAINING: Final = 3
"""``loseConnection`` was called. All data is sent first, also what a registered producer still writes."""

DRAINING_HALF: Final = 4
"""``loseConnection`` was called while half-closing. The data written before is sent first; new data is still ignored,
also that of a registered producer, since data before it was ignored."""

LINGERING: Final = 5
"""The FIN is sent, and data is read and thrown away until the client's FIN arrives."""

LOST: Final = 6
"""The connection is over, for a reason that is known. The pool closes it after this turn."""

CLOSED: Final = 7
"""The socket is closed, and the protocol was told."""

# The states of a producer that is registered.

PULLED: Final = 0
"""It is asked for each piece (``IPullProducer``)."""

PUSHING: Final = 1
"""It writes by itself (``IPushProducer``)."""

PAUSED: Final = 2
"""It would write by itself, but the socket is full."""

READY: Final = 0
"""The state of TLS in which it only passes bytes; ``tls_connection`` has the others. Without TLS it is always this."""


class ConnectionState(StreamSocket):
    """The state of one connection.

    :param pool: holds the connection.
    :param sock: accepted, and not blocking.
    :param peer: the name of the other end, as ``socket.accept`` gives it.
    :param factory: makes the protocol.
    """

    # Python puts slots into memory in the order of the alphabet, and the hot path needs few behind _handle. With
    # thousands of connections none of this is in a cache: each line of memory that is touched costs like a call.
    __slots__ = (
        "__weakref__",
        "_active_at",
        "_answers",
        "_at_boundary",
        "_can_send",
        "_cork_bytes",
        "_corked",
        "_factory",
        "_handle",
        "_mask",
        "_peer",
        "_producer",
        "_producer_state",
        "_protocol",
        "_read_ended",
        "_reason",
        "_room",
        "_state",
        "_tls_state",
        "_unsent",
        "_unsent_offset",
        "_writing_group",
        "fd",
        "over_capacity",
        "pool",
    )

    def __init__(self, pool: ConnectionPool, sock: socket.socket, peer: object, factory: IProtocolFactory) -> None:
        self.pool = pool
        self.over_capacity = False
        self._factory: IProtocolFactory | None = factory
        self.sock = sock
        self.fd = sock.fileno()
        self._peer: int | IAddress = pack_peer(peer)
        self._state: int = OPEN
        self._tls_state: int = READY
        # Only the methods of IProtocol may be called on it while _answers is None.
        self._protocol: ReplayedProtocol | None = None
        self._answers: AnswerStore | None = None  # the answers that may be repeated
        self._active_at = float("-inf")  # the time at which an answer was last repeated
        self._unsent: deque[bytes] | tuple[()] = ()  # a deque only while it holds something: it takes 600 bytes
        self._unsent_offset = 0  # the bytes of the first of _unsent that are sent
        self._corked = False  # whether writes are kept back, to be sent in one piece
        self._cork_bytes = 0  # the bytes that may still be written while it is corked
        # Whether writes go straight to the socket. It may be false where it could be true, and never the other way
        # round. After the start _clear_can_send alone sets it to false, and tells the group that relies on it.
        self._can_send = False
        self._writing_group: WritingGroup | None = None  # the group that writes to the handle, only while it can send
        self._handle: Any = sock  # the argument of the calls that read and write
        self._mask = EPOLLIN
        self._producer: Any = None
        self._producer_state: int = PULLED
        self._read_ended = False  # whether the client's FIN has arrived
        self._at_boundary = False  # whether the next byte is known to begin a request, without asking the protocol
        self._reason: Failure | None = None  # of the end
        self._room: WaitingRoom | None = None  # in which its request waits

    if TYPE_CHECKING:
        # Methods of the later modules, which the earlier ones or the requirements of pool and rooms name.

        def start(self) -> None: ...

        def handle(self, events: int) -> None: ...

        def expire(self) -> None: ...

        def retire(self) -> None: ...

        def renew_answers(self) -> None: ...

        def is_active(self, since: float) -> bool: ...

        def close_if_idle(self) -> None: ...

        def close(self) -> None: ...

        def set_deadline(self, seconds: float | None) -> None: ...

        def abortConnection(self) -> None: ...

        def pauseProducing(self) -> None: ...

        def resumeProducing(self) -> None: ...

        def write_large_or_end(self, head: bytes, body: bytes) -> None: ...

        @staticmethod
        def write_to_all(connections: Sequence[Any], data: bytes) -> None: ...

        def _deliver(self, data: bytes, key: bytes | None) -> None: ...

        def _leave_room(self) -> None: ...

        def _lose_connection_after_answer(self) -> None: ...

    def getPeer(self) -> Any:
        """ITransport API. The address is known also after the end."""
        return unpack_peer(self._peer)

    def set_peer(self, address: IAddress) -> None:
        """Has :meth:`getPeer` give another address: that of a client whose proxy has named it."""
        self._peer = address

    @property
    def connected(self) -> bool:
        """Whether the socket is not closed yet."""
        return self._state != CLOSED

    @property
    def disconnecting(self) -> bool:
        """Whether the connection ends or has ended, as Twisted's transports call it."""
        return self._state >= DRAINING

    @property
    def reads(self) -> bool:
        """Whether it waits for data of its client."""
        return bool(self._mask & EPOLLIN)

    @property
    def polls(self) -> bool:
        """Whether its answers may be repeated: its client sends requests, and does not follow anything."""
        return self._answers is not None

    def _clear_can_send(self) -> None:
        """Makes sure that no write goes straight to the socket."""
        self._can_send = False
        if self._writing_group is not None:
            self._writing_group.take_aside(self)

    def _watch(self, mask: int) -> None:
        """Waits for these events of epoll."""
        if mask != self._mask and self._state < LOST:
            self._mask = mask
            self.pool.watch(self.fd, mask)
