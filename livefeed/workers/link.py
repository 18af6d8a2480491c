"""The link between the parent and a worker: a Unix socket, a server in the parent, a client in each worker.

Rules: the other end must be a process of the same user, which the kernel tells. A side that breaks the protocol, and a
handler that breaks, end the link and nothing else: the worker connects again, and is sent everything anew.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IFileDescriptorReceiver, IProtocol, IPullProducer
from twisted.internet.protocol import ClientFactory, ServerFactory
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.logger import Logger
from zope.interface import implementer

from livefeed import __version__
from livefeed.exceptions import LinkError, StartError, first_line
from livefeed.workers.messages import (
    MAX_PAYLOAD_BYTES,
    PROTOCOL,
    Decoder,
    Hello,
    Message,
    close_all,
    message_of,
    pieces_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime, IReactorUNIX
    from twisted.python.failure import Failure

    class UNIXReactor(IReactorTime, IReactorUNIX):
        """The parts of a reactor that the link uses."""


RECONNECT_S = 0.2
"""Seconds from the end of a link, or a failed attempt, to the next attempt of the worker."""

MAX_RECONNECT_S = 1.0
"""The same after links that ended soon, one after the other: each greeting costs the parent the newest picture of each
feed. A parent kills a worker from which it has heard nothing for two and a half seconds."""

SETTLED_S = 5.0
"""Seconds after which a link has not ended soon."""

HELLO_S = 5.0
"""Seconds in which a worker must say hello, and the parent must answer."""

FLUSH_S = 1.0
"""Seconds in which the last messages of a worker must be read."""

PAUSE_BYTES = 64 * 1024
"""The number of bytes that are not sent yet from which on a link is paused."""

FULL_BYTES = 16 * 1024 * 1024
"""The number of bytes that are not sent yet from which on the other end gets no answers to its questions."""

STUCK_S = 30.0
"""Seconds after which the parent ends a link that has been paused all the time: a worker that beats and does not read
would have everything queued that is sent to it. The largest documents take a second."""

MAX_STRANGERS = 1024
"""The number of connections to the parent that may wait to say hello: all workers at once. Further ones are closed."""

REFUSED = "refused"
"""The type of the message that refuses a worker, with the reason."""

_PEER = struct.Struct("iII")  # pid, uid, gid: struct ucred in unix(7)
_log = Logger()


class Receiver(Protocol):
    """The requirements of a link on its user."""

    def receive(self, link: Link, message: Message, /) -> None:
        """Takes a message, and the ownership of its descriptors. An exception ends the link.

        Descriptors that were not taken from the message before the exception are closed.
        """

    def flushed(self, link: Link, /) -> None:
        """Takes note that everything is sent: a link that was paused is not any more."""

    def lost(self, link: Link, /) -> None:
        """Takes note that the link has ended."""


@implementer(IProtocol, IFileDescriptorReceiver, IPullProducer)
@dataclass(eq=False)
class Link(TwistedProtocol):
    """One connection between the parent and a worker.

    :param receiver: receives the messages.
    :param max_payload_bytes: the largest size in bytes of all payloads of a message that is received.
    :param opening: gives the message that is sent first; ``None`` for none.
    :param clock: limits the time for which the other end may read nothing; ``None`` for no limit.
    :ivar pid: the process at the other end, by the kernel; 0 before the connection, and in tests without sockets.
    :ivar is_connected: whether messages can be sent.
    """

    # required parameters
    receiver: Receiver
    max_payload_bytes: int = MAX_PAYLOAD_BYTES
    opening: Callable[[], Message] | None = None
    clock: IReactorTime | None = None

    # internal state
    pid: int = 0
    is_connected: bool = False
    _decoder: Decoder = field(init=False)
    _unsent_bytes: int = 0  # an upper bound: it is 0 again once everything is sent
    _sending: list[int] = field(default_factory=list)  # copies of the descriptors that may not be sent yet
    _limit: IDelayedCall | None = None  # ends the link if nothing is read
    _limit_s: float = 0.0
    _due_s: float = 0.0  # when it does so, by the clock

    def __post_init__(self) -> None:
        self._decoder = Decoder(self.max_payload_bytes)

    @property
    def is_paused(self) -> bool:
        """Tells whether the other end reads too slowly: more than :data:`PAUSE_BYTES` are not sent yet."""
        return self._unsent_bytes > PAUSE_BYTES

    @property
    def is_full(self) -> bool:
        """Tells whether so much is not sent yet that questions of the other end must stay without an answer."""
        return self._unsent_bytes > FULL_BYTES

    def allow(self, max_payload_bytes: int) -> None:
        """Changes the largest size in bytes of all payloads of a message that is received."""
        self._decoder.max_payload_bytes = max_payload_bytes

    def send(self, message: Message) -> None:
        """Sends a message. Its descriptors stay open, and may be closed at once. Without a connection it is lost.

        :raises LinkError: if the message is too large, or its descriptors cannot be copied. Nothing is sent then.
        """
        if not self.is_connected:
            return
        pieces = pieces_of(message)
        # The transport keeps only the numbers until it has sent the descriptors.
        copies = _copies_of(message)
        transport: Any = self.transport
        for copy in copies:
            transport.sendFileDescriptor(copy)
        self._sending += copies
        self._unsent_bytes += sum(map(len, pieces))
        transport.writeSequence(pieces)
        if self._limit is None and self.is_paused:
            self._limit_silence(STUCK_S)

    def close(self) -> None:
        """Ends the link after everything is sent, or after :data:`FLUSH_S` with a clock."""
        if self.is_connected:
            assert self.transport is not None
            # A transport waits for its producer before it ends.
            transport: Any = self.transport
            transport.unregisterProducer()
            self._limit_silence(FLUSH_S)
            self.transport.loseConnection()

    def abort(self) -> None:
        """Ends the link at once."""
        if self.is_connected:
            transport: Any = self.transport
            transport.abortConnection()

    def _limit_silence(self, seconds: float) -> None:
        if self.clock is not None:
            self._stop_limit()
            self._limit_s = seconds
            self._due_s = self.clock.seconds() + seconds
            self._limit = self.clock.callLater(seconds, self._end_stuck)

    def _stop_limit(self) -> None:
        limit, self._limit = self._limit, None
        if limit is not None and limit.active():
            limit.cancel()

    def _end_stuck(self) -> None:
        assert self.clock is not None
        self._limit = None
        if self.clock.seconds() - self._due_s > FLUSH_S:
            # This process was suspended, and has not looked at the socket since.
            self._limit_silence(FLUSH_S)
            return
        if self.is_connected and self.is_paused:
            text = "the link to the process {pid} ends: it has not read all messages for {seconds:g} s"
            _log.warn(text, pid=self.pid, seconds=self._limit_s)
        transport: Any = self.transport
        transport.abortConnection()

    def connectionMade(self) -> None:
        """IProtocol API."""
        transport: Any = self.transport
        sock: socket.socket | None = transport.getHandle()
        if sock is not None:
            self.pid, uid, _ = _PEER.unpack(
                sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)  # type: ignore[attr-defined,unused-ignore]
            )
            ours = os.geteuid()
            if uid != ours:
                text = "the process {pid} of the user {uid} is refused on the link: it must be of the user {ours}"
                _log.warn(text, pid=self.pid, uid=uid, ours=ours)
                transport.abortConnection()
                return
        self.is_connected = True
        # A pull producer is called each time that everything is sent.
        transport.registerProducer(self, False)
        if self.opening is not None:
            self.send(self.opening())

    def dataReceived(self, data: bytes) -> None:
        """IProtocol API."""
        if not self.is_connected:
            return
        try:
            messages = self._decoder.feed(data)
        except LinkError as error:
            self._fail(error)
            return
        for message in messages:
            if not self.is_connected:
                # An exception at an earlier one may have ended the link.
                message.close_fds()
                continue
            try:
                self.receiver.receive(self, message)
            except LinkError as error:
                message.close_fds()
                self._fail(error)
            except Exception:
                message.close_fds()
                _log.failure("a message on the link to the process {pid} broke; the link ends", pid=self.pid)
                self._end_after_failure()

    def _fail(self, error: LinkError) -> None:
        if self.is_connected:
            _log.warn("the link to the process {pid} ends: {why}", pid=self.pid, why=first_line(error))
            self._end_after_failure()

    def _end_after_failure(self) -> None:
        # Not at once: the line of the log about it may go over the same link.
        self.close()
        self.is_connected = False

    def fileDescriptorReceived(self, descriptor: int) -> None:
        """IFileDescriptorReceiver API."""
        if not self.is_connected:
            os.close(descriptor)
            return
        # Python sets this on all descriptors that it makes, and the kernel does not on those that it passes on.
        os.set_inheritable(descriptor, False)
        try:
            self._decoder.take(descriptor)
        except LinkError as error:
            self._fail(error)

    def resumeProducing(self) -> None:
        """IPullProducer API."""
        self._unsent_bytes = 0
        self._stop_limit()
        self._close_sent()
        if self.is_connected:
            self.receiver.flushed(self)

    def stopProducing(self) -> None:
        """IPullProducer API."""

    def connectionLost(self, reason: Failure | None = None) -> None:
        """IProtocol API."""
        self.is_connected = False
        self._stop_limit()
        self._decoder.close()
        self._close_sent()
        self.receiver.lost(self)

    def _close_sent(self) -> None:
        sent, self._sending = self._sending, []
        close_all(sent)


def _copies_of(message: Message) -> list[int]:
    """Gives copies of the descriptors of a message.

    :raises LinkError: if the process has too many descriptors. None is left open then.
    """
    copies: list[int] = []
    try:
        for fd in message.fds:
            copies.append(os.dup(fd))  # noqa: PERF401 - those before an error are closed
    except OSError as error:
        close_all(copies)
        raise LinkError(f"the descriptors of a message {message.type} cannot be copied: {error.strerror}") from None
    return copies


@dataclass(eq=False)
class _Greeting:
    """The receiver of a link until its first message has arrived.

    :param first: the type of that message.
    :param greet: called with the link and that message. It gives the link another receiver.
    :param refused: called with the reason if the other end refuses this one instead; ``None`` if it cannot.
    :ivar timeout: ends the link if no message arrives.
    :ivar ended: called once, when the first message has arrived or the link has ended.
    """

    # required parameters
    first: str
    greet: Callable[[Link, Message], None]
    refused: Callable[[str], None] | None = None

    # internal state
    timeout: IDelayedCall | None = None
    ended: Callable[[], None] | None = None

    def receive(self, link: Link, message: Message) -> None:
        """Receiver API."""
        self._stop_waiting()
        if message.type == self.first:
            self.greet(link, message)
            return
        message.close_fds()
        if message.type != REFUSED or self.refused is None:
            raise LinkError(f"the first message is {message.type}, and not {self.first}")
        self.refused(first_line(message.facts.get("why", "")))
        link.abort()

    def flushed(self, link: Link) -> None:
        """Receiver API."""

    def lost(self, link: Link) -> None:
        """Receiver API."""
        self._stop_waiting()

    def _stop_waiting(self) -> None:
        if self.timeout is not None and self.timeout.active():
            self.timeout.cancel()
        ended, self.ended = self.ended, None
        if ended is not None:
            ended()


class _Nobody:
    """The receiver of a link that is about to end."""

    def receive(self, link: Link, message: Message) -> None:
        """Receiver API."""
        message.close_fds()

    def flushed(self, link: Link) -> None:
        """Receiver API."""

    def lost(self, link: Link) -> None:
        """Receiver API."""


@dataclass(eq=False)
class LinkServer(Service):
    """Listens for workers, in the parent.

    The socket has a name of its generation, and the workers of the generation find it by that. Once it is published,
    the workers of all generations find it by the common name, which is a symbolic link.

    :param path: the common name of the socket, in a folder that no other user can write to.
    :param on_hello: called with each worker that has said hello in the same protocol. It sets the receiver of the link
        and sends ``welcome``.
    :param max_payload_bytes: the largest size in bytes of all payloads of a message from a worker.
    """

    # required parameters
    path: Path
    reactor: UNIXReactor
    on_hello: Callable[[Link, Hello], None]
    max_payload_bytes: int = MAX_PAYLOAD_BYTES
    generation: int = 0
    is_published: bool = True

    # internal state
    _port: Any = None
    _strangers: int = 0  # connections that have not said hello
    _is_crowded: bool = False

    @property
    def own_path(self) -> Path:
        """The name of the socket for this generation."""
        return own_name(self.path, self.generation)

    def startService(self) -> None:
        """IService API.

        :raises StartError: if the socket cannot be made.
        """
        super().startService()
        factory = ServerFactory()
        factory.noisy = False
        factory.buildProtocol = self._build  # type: ignore[method-assign,assignment]
        try:
            if self.is_published:
                _remove_socket(self.path)
            _remove_socket(self.own_path)
            self._port = self.reactor.listenUNIX(str(self.own_path), factory, mode=0o600)
            if self.is_published:
                self.publish()
        except Exception as error:
            raise StartError(f"livefeed: {self.path}: the link to the workers: {first_line(error)}") from None

    def publish(self) -> None:
        """Has workers of all generations find this server from now on, instead of an earlier one.

        :raises OSError: if the name cannot be made.
        """
        new = self.path.with_name(f"{self.own_path.name}.new")
        new.unlink(missing_ok=True)
        new.symlink_to(self.own_path.name)
        new.rename(self.path)
        self.is_published = True

    def stopService(self) -> Any:
        """IService API. The links stay until their receivers close them, or the process ends."""
        super().stopService()
        with contextlib.suppress(OSError):
            # It may be that of the next parent.
            if self.path.readlink() == Path(self.own_path.name):
                self.path.unlink()
        port, self._port = self._port, None
        return None if port is None else port.stopListening()

    def _build(self, _: IAddress | None) -> Link | None:
        if self._strangers >= MAX_STRANGERS:
            if not self._is_crowded:
                self._is_crowded = True
                text = "{path}: {count} connections have not said hello; further ones are closed"
                _log.warn(text, path=str(self.path), count=self._strangers)
            return None
        self._strangers += 1
        greeting = _Greeting("hello", self._greet, ended=self._note_greeted)
        # A hello has no payloads.
        link = Link(greeting, 0, clock=self.reactor)
        greeting.timeout = self.reactor.callLater(HELLO_S, link.abort)
        return link

    def _note_greeted(self) -> None:
        self._strangers -= 1
        if not self._strangers:
            self._is_crowded = False

    def _greet(self, link: Link, message: Message) -> None:
        message.close_fds()
        name = message.facts.get("protocol")
        if name != PROTOCOL:
            why = f"it speaks {str(name)[:64]}, and livefeed {__version__} speaks {PROTOCOL}"
            link.receiver = _Nobody()
            link.send(Message(REFUSED, {"protocol": PROTOCOL, "livefeed": __version__, "why": why}))
            link.close()
            _log.warn("the process {pid} is refused on the link: {why}", pid=link.pid, why=why)
            return
        hello = message.read(Hello)
        link.allow(self.max_payload_bytes)
        self.on_hello(link, hello)


def _remove_socket(path: Path) -> None:
    """Removes the socket that a parent has left behind that was killed."""
    with contextlib.suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if not (stat.S_ISSOCK(mode) or stat.S_ISLNK(mode)):
            raise LinkError("there is a file that is no socket")
        path.unlink()


def own_name(path: Path, generation: int) -> Path:
    """Gives the name of a parent's socket for the workers of its generation.

    :param path: the common name.
    """
    return path.with_name(f"{path.stem}-{generation}{path.suffix}")


def link_paths(path: Path, generation: int) -> tuple[Path, Path]:
    """Gives the names by which a worker looks for a parent, in this order.

    Its own parent is there until the next one has taken its place.

    :param path: the common name.
    """
    return own_name(path, generation), path


@dataclass(eq=False)
class LinkClient(Service):
    """Connects to the parent, in a worker, and connects again for as long as the service runs.

    :param paths: the names of the socket, in the order in which they are tried.
    :param hello: gives the first message of a link.
    :param on_welcome: called with the link and the answer of the parent. It sets the receiver of the link.
    :param on_refused: called when the parent has refused the worker.
    :ivar link: the link, once it is welcome; ``None`` without one.
    """

    # required parameters
    paths: Sequence[Path]
    reactor: UNIXReactor
    hello: Callable[[], Hello]
    on_welcome: Callable[[Link, Message], None]
    on_refused: Callable[[], object] = lambda: None

    # internal state
    link: Link | None = None
    _attempt: Any = None  # the connector, for as long as it connects or is connected
    _opened: Link | None = None  # the protocol of the attempt, welcome or not
    _retry: IDelayedCall | None = None
    _stopped: Deferred[None] | None = None
    _limit: IDelayedCall | None = None
    _tried: int = 0  # the number of names that were tried without success since the last pause
    _refused: str = ""  # the last reason for which the parent refused, which is logged once
    _opened_s: float = 0.0  # when the link was opened, by the clock
    _short: int = 0  # number of links in a row that have ended soon

    def startService(self) -> None:
        """IService API."""
        super().startService()
        self._connect()

    def stopService(self) -> Deferred[None] | None:
        """IService API. The Deferred fires when everything is sent, or after :data:`FLUSH_S`."""
        super().stopService()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        opened = self._opened
        if opened is not None and opened.is_connected:
            self._limit = self.reactor.callLater(FLUSH_S, opened.abort)
            self._stopped = Deferred()
            stopped = self._stopped
            opened.close()
            return stopped
        if self._attempt is not None:
            self._attempt.disconnect()
        return None

    def _connect(self) -> None:
        self._retry = None
        path = self.paths[self._tried]
        self._attempt = self.reactor.connectUNIX(str(path), _ClientFactory(self), timeout=HELLO_S)

    def _build(self) -> Link:
        greeting = _Greeting("welcome", self._greet, self._note_refused)
        self._opened_s = self.reactor.seconds()
        link = self._opened = Link(greeting, opening=lambda: message_of("hello", self.hello()))
        greeting.timeout = self.reactor.callLater(HELLO_S, link.abort)
        return link

    def _note_refused(self, why: str) -> None:
        if why != self._refused:
            self._refused = why
            _log.warn("the parent refuses this worker: {why}", why=why)
        self.on_refused()

    def _greet(self, link: Link, message: Message) -> None:
        if message.facts.get("protocol") != PROTOCOL:
            raise LinkError(f"the parent speaks {str(message.facts.get('protocol'))[:64]}, and not {PROTOCOL}")
        self._refused = ""
        self._tried = -1
        self.link = link
        self.on_welcome(link, message)

    def _note_ended(self) -> None:
        if self._opened is None or self.reactor.seconds() - self._opened_s >= SETTLED_S:
            self._short = 0
        else:
            self._short += 1
        self.link = self._opened = self._attempt = None
        stopped, self._stopped = self._stopped, None
        if self._limit is not None and self._limit.active():
            self._limit.cancel()
        if stopped is not None:
            stopped.callback(None)
        if self.running and self._retry is None:
            self._tried = (self._tried + 1) % len(self.paths)
            # The first link that ends soon may have been that of a parent that was restarted.
            pause_s = min(RECONNECT_S * 2 ** min(max(self._short - 1, 0), 16), max(RECONNECT_S, MAX_RECONNECT_S))
            self._retry = self.reactor.callLater(0.0 if self._tried else pause_s, self._connect)


class _ClientFactory(ClientFactory):
    """Makes the protocol of one attempt."""

    noisy = False

    def __init__(self, client: LinkClient) -> None:
        self._client = client

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """IProtocolFactory API."""
        return self._client._build()  # noqa: SLF001 - one class in two

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        """ClientFactory API."""
        self._client._note_ended()  # noqa: SLF001

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        """ClientFactory API."""
        self._client._note_ended()  # noqa: SLF001
