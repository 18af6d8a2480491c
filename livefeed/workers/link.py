"""The link between the parent and a worker: one connection over a Unix socket, as both ends use it.

Rules: the other end must be a process of the same user, which the kernel tells. A side that breaks the protocol, and a
handler that breaks, end the link and nothing else: the worker connects again, and is sent everything anew.
"""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.interfaces import IFileDescriptorReceiver, IProtocol, IPullProducer
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.logger import Logger
from zope.interface import implementer

from livefeed.exceptions import LinkError, first_line
from livefeed.workers.messages import MAX_PAYLOAD_BYTES, Decoder, Message, close_all, pieces_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from twisted.internet.interfaces import IDelayedCall, IReactorTime, IReactorUNIX
    from twisted.python.failure import Failure

    class UNIXReactor(IReactorTime, IReactorUNIX):
        """The parts of a reactor that the ends of a link use."""


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
class Greeting:
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


def own_name(path: Path, generation: int) -> Path:
    """Gives the name of a parent's socket for the workers of its generation.

    :param path: the common name.
    """
    return path.with_name(f"{path.stem}-{generation}{path.suffix}")
