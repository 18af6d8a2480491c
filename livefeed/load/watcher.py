"""What all watchers do: connect, fail, come back. The kinds differ in what they do on a connection."""

from __future__ import annotations

import socket
import ssl
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from livefeed.load.line import READ_BYTES, WOULD_BLOCK, error_name, open_socket, receiver_of
from livefeed.load.loop import READABLE, WRITABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.load.documents import Documents
    from livefeed.load.figures import Figures
    from livefeed.load.frames import Inflater
    from livefeed.load.kinds import Kind
    from livefeed.load.layout import Layout
    from livefeed.load.line import Tls
    from livefeed.load.loop import Loop
    from livefeed.load.messages import MessageReader
    from livefeed.load.plan import Plan
    from livefeed.load.requests import Requests

RETRY_NS = 1_000_000_000
"""The pause in nanoseconds after a failure: a server that refuses must not be asked without end."""

ENDLESS = 1 << 62
"""The number of requests of a run that ends by its time."""


@dataclass(slots=True, eq=False)
class Shared:
    """What the watchers of a process share.

    :ivar plan: the task of the process.
    :ivar buffer: into which each read goes.
    :ivar layouts: the last answers by their sizes.
    :ivar inflater: decompresses messages of which each is compressed on its own.
    :ivar left: the number of requests that may still be sent.
    :ivar due: the number of answers and deliveries until the end.
    :ivar arrived: the watchers that were served once, or have failed.
    :ivar open: the connections that are open.
    :ivar late_ns: the longest time by which a request was sent too late although its connection was free.
    :ivar is_measuring: whether all watchers of all processes have arrived.
    """

    # required parameters
    plan: Plan
    loop: Loop
    tls: Tls | None
    requests: Requests
    documents: Documents
    messages: MessageReader

    # internal state
    buffer: bytearray = field(default_factory=lambda: bytearray(READ_BYTES))
    layouts: dict[int, Layout] = field(default_factory=dict)
    inflater: Inflater | None = None
    left: int = ENDLESS
    due: int = ENDLESS
    arrived: int = 0
    open: int = 0
    late_ns: int = 0
    is_measuring: bool = False

    def counted(self) -> None:
        """Is told of an answer, a delivery or a failure: the last one that was asked for ends the run."""
        if self.is_measuring:
            self.due -= 1
            if self.due <= 0:
                self.loop.stop()


@dataclass(slots=True, eq=False)
class Watcher(ABC):
    """A client of the server.

    :param number: its index, by which its address is chosen.
    :param is_reference: whether it only tells the times of versions, and counts nowhere.
    """

    # required parameters
    shared: Shared
    kind: Kind
    figures: Figures
    number: int
    is_reference: bool = False

    # internal state
    sock: socket.socket | None = None
    descriptor: int = -1
    receive: Callable[[bytearray], int] = field(init=False)
    send: Callable[[bytes], int] = field(init=False)
    awaited_ns: int = 0  # since when the server owes something; 0 for never
    began_ns: int = 0  # when the connection was begun
    has_arrived: bool = False
    is_open: bool = False
    is_pausing: bool = False

    def connect(self) -> None:
        """Begins a connection."""
        plan = self.shared.plan
        self.began_ns = self.awaited_ns = time.monotonic_ns()
        sources = plan.sources
        try:
            self.sock = open_socket(plan.target, sources[self.number % len(sources)] if sources else None)
        except OSError as error:
            self.lost(error_name(error))
            return
        self.descriptor = self.sock.fileno()
        self.shared.loop.add(self.descriptor, WRITABLE, self._on_connected)

    @abstractmethod
    def opened(self) -> None:
        """Is told that the connection is there, with TLS if there is any."""

    @abstractmethod
    def on_readable(self, events: int) -> None:
        """Is told that there are bytes, or the end of them. The hot path."""

    @property
    def patience_s(self) -> float:
        """The longest time in seconds for which the watcher waits for what the server owes."""
        return self.shared.plan.timeout_s

    def established(self) -> None:
        """Is told by the kind that the server has accepted the watcher."""
        self.is_open = True
        self.shared.open += not self.is_reference
        self.figures.connects += 1
        self.figures.connect.add(time.monotonic_ns() - self.began_ns)

    def lost(self, error: str) -> None:
        """Closes the connection after an error, and comes back after a pause.

        :param error: the kind of the error.
        """
        self.close()
        self.figures.failed(error)
        self.counted()
        self.arrive()
        self.pause(RETRY_NS)

    def counted(self) -> None:
        """Has a delivery or a failure count towards the end of the run."""
        if not self.is_reference:
            self.shared.counted()

    def pause(self, for_ns: int) -> None:
        """Comes back after a time, and not before."""
        self.is_pausing = True
        self.shared.loop.at(time.monotonic_ns() + for_ns, self._end_pause)

    def come_back(self) -> None:
        """Connects, unless there is a connection, or the watcher pauses."""
        if self.sock is None and not self.is_pausing:
            self.connect()

    def close(self) -> None:
        """Closes the connection, if there is one."""
        sock, self.sock = self.sock, None
        self.awaited_ns = 0
        if self.is_open:
            self.is_open = False
            self.shared.open -= not self.is_reference
        if sock is not None:
            # Not by the socket, which has lost its descriptor if TLS failed to begin on it.
            self.shared.loop.remove(self.descriptor)
            sock.close()

    def check(self, now_ns: int) -> None:
        """Gives up on a server that owes something for too long."""
        if self.awaited_ns and now_ns - self.awaited_ns > self.patience_s * 1e9:
            self.lost("timed out")

    def write(self, data: bytes) -> bool:
        """Sends bytes, and tells whether that went well. They are few, so a full buffer is an error."""
        try:
            is_sent = self.send(data) == len(data)
        except WOULD_BLOCK:
            is_sent = False
        except OSError as error:
            self.lost(error_name(error))
            return False
        if not is_sent:
            self.lost("no room to send")
        return is_sent

    def read(self) -> int | None:
        """Reads into the buffer, and gives the number of bytes, 0 at the end; ``None`` if there is nothing to do."""
        try:
            return self.receive(self.shared.buffer)
        except WOULD_BLOCK:
            return None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return 0
        except OSError as error:
            self.lost(error_name(error))
            return None

    def arrive(self) -> None:
        """Is told by the kind that the server has served the watcher, or that it has failed to."""
        if not (self.has_arrived or self.is_reference):
            self.has_arrived = True
            self.shared.arrived += 1

    def _end_pause(self) -> None:
        self.is_pausing = False
        self.come_back()

    def _on_connected(self, events: int) -> None:
        sock = self.sock
        assert sock is not None
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self.lost(error_name(OSError(code, "")))
            return
        tls = self.shared.tls
        if tls is None:
            self._ready(sock)
            return
        try:
            self.sock = tls.wrap(sock)
        except OSError as error:
            self.lost(error_name(error))
            return
        self.shared.loop.handlers[self.descriptor] = self._on_handshake
        self._on_handshake(events)

    def _on_handshake(self, events: int) -> None:
        sock = self.sock
        assert isinstance(sock, ssl.SSLSocket)
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            self.shared.loop.change(self.descriptor, READABLE)
        except ssl.SSLWantWriteError:
            self.shared.loop.change(self.descriptor, WRITABLE)
        except OSError as error:
            self.lost(error_name(error))
        else:
            self.figures.resumed += bool(sock.session_reused)
            self._ready(sock)

    def _ready(self, sock: socket.socket) -> None:
        self.receive = receiver_of(sock)
        self.send = sock.write if isinstance(sock, ssl.SSLSocket) else sock.send
        loop = self.shared.loop
        loop.handlers[self.descriptor] = self.on_readable
        loop.change(self.descriptor, READABLE)
        self.opened()
