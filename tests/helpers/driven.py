"""Twisted's reactor on real sockets, driven one turn at a time and with a clock of its own. Nothing sleeps."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Any

from twisted.internet.pollreactor import PollReactor

from livefeed.transport.endpoint import PoolReactor
from livefeed.transport.limits import NO_LIMIT, Limits
from livefeed.transport.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.trial.unittest import SynchronousTestCase

    from livefeed.transport.connection import Connection

MAX_TURNS = 5000
"""Upper limit of the turns that a test waits for anything."""


class DrivenReactor(PollReactor):
    """A reactor that is not installed and never runs: a test takes its turns.

    :ivar now: its time, in seconds.
    :ivar pools: those that listen on it.
    """

    now = 0.0

    def __init__(self) -> None:
        self._busy = False
        self.pools: list[Pool] = []
        super().__init__()

    def seconds(self) -> float:
        """IReactorTime API."""
        return self.now

    def _doReadOrWrite(self, selectable: Any, fd: int, event: int) -> None:
        self._busy = True
        super()._doReadOrWrite(selectable, fd, event)

    def turn(self) -> bool:
        """Takes one turn. Returns whether any descriptor was ready."""
        self._busy = False
        self.iterate(0)
        return self._busy

    def settle(self) -> None:
        """Takes turns until no descriptor is ready at this time."""
        idle = 0
        for _ in range(MAX_TURNS):
            idle = 0 if self.turn() else idle + 1
            if idle == 2:  # the second turn runs calls that the first has scheduled
                return
        raise AssertionError(f"still busy after {MAX_TURNS} turns")

    def advance(self, seconds: float) -> None:
        """Lets time pass, in steps of half a second at most."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + 0.5, end)
            self.settle()

    def close(self) -> None:
        """Closes everything, as a reactor does when it stops."""
        self.disconnectAll()
        self.settle()
        for call in self.getDelayedCalls():
            call.cancel()
        self._internalReaders.discard(self.waker)
        self.removeReader(self.waker)
        self.waker.connectionLost(None)
        for pool in self.pools:
            pool._epoll.close()


class Client:
    """The client's end of a connection. It reads only when a test says so.

    :param sock: connected.
    :ivar received: the bytes that it has read.
    :ivar ended: whether the server has ended its side, or the whole connection.
    :ivar error: the error of the socket, if there was one.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.received = b""
        self.ended = False
        self.error: OSError | None = None

    def send(self, data: bytes) -> None:
        """Sends data, unless the connection is broken."""
        try:
            sent = self.sock.send(data)
        except OSError as error:
            self.error = error
        else:
            assert sent == len(data)

    def read(self) -> bool:
        """Reads the data that has arrived. Returns whether there was any, or the end."""
        try:
            data = self.sock.recv(1 << 20)
        except BlockingIOError:
            return False
        except OSError as error:
            self.error = error
            data = b""
        self.received += data
        news = bool(data) or not self.ended
        self.ended = not data
        return news

    def close(self) -> None:
        """Closes the socket."""
        self.sock.close()

    def reset(self) -> None:
        """Closes the socket with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def record_handled(case: SynchronousTestCase, kind: type[Connection]) -> list[int]:
    """Records the events that connections of a class handle during one test; gives the list of them."""
    handled: list[int] = []
    handle = kind.handle

    def record(connection: Any, events: int) -> None:
        handled.append(events)
        handle(connection, events)

    case.patch(kind, "handle", record)
    return handled


def settle(reactor: DrivenReactor, *clients: Client) -> None:
    """Takes turns and lets the clients read, until neither reactor nor clients have anything to do."""
    for _ in range(MAX_TURNS):
        reactor.settle()
        if not sum(client.read() for client in clients):
            return
    raise AssertionError("the clients are still busy")


def turn_until(reactor: DrivenReactor, condition: Callable[[], bool], *readers: Client) -> None:
    """Takes turns until a condition holds; these clients read meanwhile."""
    for _ in range(MAX_TURNS):
        busy = reactor.turn()
        read = sum(reader.read() for reader in readers)
        if condition():
            return
        if not busy and not read:
            reactor.iterate(0.001)  # the kernel may be a moment late
    raise AssertionError("it never came to that")


def connections_of(pool: Pool) -> list[Any]:
    """Gives the open connections of a pool, in the order in which they were accepted."""
    return [*pool.connections.values()]


def make_pool(reactor: DrivenReactor, **limits: float) -> PoolReactor:
    """Gives a reactor that listens in a new pool with these limits; by default without a limit of the accept rate."""
    pool = Pool(reactor, Limits(**{"accept_rate": NO_LIMIT} | limits))  # type: ignore[arg-type]
    reactor.pools.append(pool)
    return PoolReactor(pool)
