"""One connection of the fast transport: what a Twisted protocol writes to, TLS or not.

Rules: what a protocol writes goes to the socket at once, and only what the socket does not take is kept. Nothing
here calls
back into a protocol while that protocol is calling: ends are put off to the pool's next turn.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections import deque
from contextlib import suppress
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT
from typing import TYPE_CHECKING, Any

from OpenSSL import SSL
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IHandshakeListener,
    INegotiated,
    IPushProducer,
    ITCPTransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from livefeed.transport import openssl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twisted.internet.interfaces import IAddress, IProducer, IProtocolFactory

    from livefeed.transport.pool import Pool

READ_BYTES = 16_384
WRITE_BYTES = 65_536
LINGER_S = 2.0
"""How long a client may take to end its side, once the server has ended its own. Closing with unread data would be a
reset, which can reach the client before the answer does (RFC 9112, 9.6)."""

SEND_TIMEOUT_S = 300.0
"""How long a client may take to read what is still to be sent before the end."""

_BROKEN = EPOLLERR | EPOLLHUP
_RESET = struct.pack("ii", 1, 0)
_GONE = {errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT, errno.ENOTCONN, errno.ECONNABORTED, errno.EHOSTUNREACH}


@implementer(ITCPTransport, IConsumer, IPushProducer)
class Connection:
    """A stream socket without TLS. It provides Twisted's ``ITCPTransport``, ``IConsumer`` and ``IPushProducer``.

    :param pool: what holds the connection.
    :param sock: accepted, and not blocking.
    :param factory: makes the protocol, once there is something for it to do.
    :ivar over_capacity: whether there were too many connections already, so that the client is to be told to come
    back.
    :ivar protocol: what is told of what happens here. Another can take its place at any time.
    :ivar deadline: when the pool's sweep ends the connection, or asks the protocol to, by the pool's clock.
    """

    __slots__ = (
        "__weakref__",
        "_corked",
        "_corked_bytes",
        "_factory",
        "_lingering",
        "_mask",
        "_offset",
        "_out",
        "_producer",
        "_producer_paused",
        "_protocol",
        "_read_ended",
        "_reason",
        "_replay",
        "_replayed",
        "_streaming",
        "_write_ended",
        "_write_ending",
        "connected",
        "deadline",
        "disconnecting",
        "fd",
        "over_capacity",
        "pool",
        "sock",
    )

    def __init__(self, pool: Pool, sock: socket.socket, factory: IProtocolFactory) -> None:
        self.pool = pool
        self.over_capacity = False
        self._factory: IProtocolFactory | None = factory
        self.sock = sock
        self.fd = sock.fileno()
        self.connected = True
        self.disconnecting = False
        self.deadline = pool.now + pool.limits.handshake_s
        self._protocol: Any = None
        self._replay: Any = None
        self._out: deque[bytes] = deque()
        self._offset = 0  # how much of the first of _out is sent
        self._corked = False
        self._mask = EPOLLIN
        self._producer: Any = None
        self._streaming = False
        self._producer_paused = False
        self._corked_bytes = 0
        self._lingering = False
        self._read_ended = False
        self._write_ending = False
        self._write_ended = False
        self._replayed = False
        self._reason: Failure | None = None

    # What the protocol calls: ITransport and its kin

    @property
    def protocol(self) -> Any:
        """What is told of what happens here; ``None`` before it is made and after the end."""
        return self._protocol

    @protocol.setter
    def protocol(self, protocol: Any) -> None:
        self._protocol = protocol
        self._replay = None if self.over_capacity else getattr(protocol, "replay", None)

    def write(self, data: bytes) -> None:
        """ITransport API."""
        if not self.connected or self._reason is not None or self._write_ending:
            return
        if self.disconnecting and self._producer is None:
            return
        if self._corked or self._out:
            if data:
                self._out.append(data)
                self._corked_bytes += len(data)
                if not self._corked:
                    self._full()
                elif self._corked_bytes > WRITE_BYTES:
                    # More than one answer: the client has to read before there are more.
                    self._corked = False
                    self._flush_corked()
        elif data:
            self._transmit(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """ITransport API."""
        self.write(b"".join(iovec))

    def loseConnection(self) -> None:
        """ITransport API. What was written is sent first."""
        if self.connected and not self.disconnecting:
            self.disconnecting = True
            self._replay = None
            self.set_deadline(SEND_TIMEOUT_S)
            self._go_on_ending()

    def loseWriteConnection(self) -> None:
        """ITCPTransport API."""
        if self.connected and not self._write_ending and not self.disconnecting:
            self._write_ending = True
            self._replay = None
            self._go_on_ending()

    def abortConnection(self) -> None:
        """ITCPTransport API. The client is sent a reset, and nothing that was not sent yet."""
        if self.connected and self._reason is None:
            self.disconnecting = True
            self._out.clear()
            with suppress(OSError):  # it may be gone already
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._end(Failure(ConnectionAborted()))

    def set_deadline(self, seconds: float | None) -> None:
        """Sets when the protocol's ``timeoutConnection`` is called, or the connection aborted where there is none.

        :param seconds: from now, with the grain of the pool's sweep; ``None`` for never.
        """
        self.deadline = self.pool.now + seconds if seconds is not None else float("inf")

    def getPeer(self) -> Any:
        """ITransport API."""
        return _address(self.sock, "getpeername")

    def getHost(self) -> Any:
        """ITransport API."""
        return _address(self.sock, "getsockname")

    def getHandle(self) -> object:
        """ISystemHandle API."""
        return self.sock

    def getTcpNoDelay(self) -> bool:
        """ITCPTransport API."""
        return bool(self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def setTcpNoDelay(self, enabled: bool) -> None:
        """ITCPTransport API. It is on from the start, and so is left alone where nothing changes."""
        if not enabled or self.sock.family == socket.AF_UNIX:
            self._set_option(socket.IPPROTO_TCP, socket.TCP_NODELAY, enabled)

    def getTcpKeepAlive(self) -> bool:
        """ITCPTransport API."""
        return bool(self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """ITCPTransport API."""
        self._set_option(socket.SOL_SOCKET, socket.SO_KEEPALIVE, enabled)

    def _set_option(self, level: int, option: int, enabled: bool) -> None:
        if self.sock.family != socket.AF_UNIX:
            self.sock.setsockopt(level, option, int(enabled))

    # IPushProducer: what comes in

    def pauseProducing(self) -> None:
        """IPushProducer API."""
        self._watch(self._mask & ~EPOLLIN)

    def resumeProducing(self) -> None:
        """IPushProducer API."""
        if self.connected and not self._read_ended:
            self._watch(self._mask | EPOLLIN)

    def stopProducing(self) -> None:
        """IPushProducer API."""
        self.loseConnection()

    # IConsumer: what goes out

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """IConsumer API."""
        if self._producer is not None:
            raise RuntimeError(f"{producer} cannot be registered: {self._producer} still is")
        if not self.connected or self._reason is not None:
            producer.stopProducing()
            return
        self._producer = producer
        self._streaming = streaming
        self._producer_paused = False
        if not streaming:
            # It is asked for more each time that the socket can take more, from the pool.
            self._watch(self._mask | EPOLLOUT)
        elif self._out and not self._corked:
            self._full()

    def unregisterProducer(self) -> None:
        """IConsumer API."""
        self._producer = None
        if not self._out:
            self._watch(self._mask & ~EPOLLOUT)
        if self.disconnecting or self._write_ending:
            self._go_on_ending()

    # What the pool calls

    def start(self) -> None:
        """Makes the protocol, and tells it of the connection."""
        try:
            factory, self._factory = self._factory, None
            assert factory is not None
            protocol = factory.buildProtocol(self.getPeer())
            if protocol is None:
                self.abortConnection()
                return
            self.protocol = protocol
            self.deadline = float("inf")
            protocol.makeConnection(self)
        except Exception:
            self._broke("connectionMade")

    def handle(self, events: int) -> None:
        """Takes what epoll says of the socket."""
        if events == EPOLLIN:
            self.readable()
            return
        if events & EPOLLIN:
            self.readable()
        elif events & _BROKEN:
            # Reading is paused, or has ended: the error is all that there is to know.
            self._end(Failure(ConnectionLost()))
            return
        if events & EPOLLOUT and self._reason is None:
            self.writable()

    def readable(self) -> None:
        """Reads once, and answers or hands on what was read."""
        try:
            data = self._receive()
        except BlockingIOError:
            return
        except OSError as error:
            self._failed(error)
            return
        if not data:
            self._read_end()
            return
        if self.disconnecting:
            return
        replay = self._replay
        missed = None
        # After a replayed answer the protocol is where it was: it need not be asked, which takes 0.2 µs.
        if replay is not None and not self._out and (self._replayed or self._protocol.at_boundary()):
            answer = replay.find(data)
            if answer is not None:
                self._replayed = True
                self.deadline = self.pool.idle_deadline
                self._transmit(answer.data)
                return
            missed = replay.missed
        self._deliver(data, missed)

    def writable(self) -> None:
        """Sends what is still to be sent."""
        if not self._drain():
            return
        if self._producer is None or self._streaming:
            self._watch(self._mask & ~EPOLLOUT)
        if self._producer is not None and (self._producer_paused or not self._streaming):
            self._producer_paused = False
            try:
                self._producer.resumeProducing()
            except Exception:
                self._broke("resumeProducing")
        elif self.disconnecting or self._write_ending:
            self._go_on_ending()

    def expire(self) -> None:
        """Takes note that the deadline has passed."""
        self.deadline = float("inf")
        timed_out = getattr(self._protocol, "timeoutConnection", None)
        if self._lingering:
            # Orderly: the kernel goes on sending what it has, which a reset would discard.
            self._end(Failure(ConnectionDone()))
            return
        if timed_out is None or self.disconnecting:
            self.abortConnection()
            return
        try:
            timed_out()
        except Exception:
            self._broke("timeoutConnection")

    def finish(self) -> None:
        """Ends the connection, and tells the protocol why."""
        reason, self._reason = self._reason, None
        if not self.connected or reason is None:
            return
        self.connected = False
        self._replay = None
        self._out.clear()
        self.sock.close()
        producer, self._producer = self._producer, None
        protocol, self._protocol = self._protocol, None
        if producer is not None:
            try:
                producer.stopProducing()
            except Exception:
                self.pool.log_failure("stopProducing", producer)
        if protocol is not None:
            try:
                protocol.connectionLost(reason)
            except Exception:
                self.pool.log_failure("connectionLost", protocol)

    # What subclasses have of their own

    def _receive(self) -> bytes:
        """Gives what there is to be read, and nothing at the orderly end.

        :raises BlockingIOError: if there is nothing now.
        :raises OSError: if there never will be.
        """
        return self.sock.recv(READ_BYTES)

    def _send(self, data: bytes) -> int:
        """Sends some of the data, and tells how much; it raises like :meth:`_receive`."""
        return self.sock.send(data)

    def _end_orderly(self) -> None:
        """Ends both sides, after all has been sent: says the last word, and waits a while for the client's."""
        self._end_writing()
        if self._read_ended:
            self._end(Failure(ConnectionDone()))
        elif self._reason is None and not self._lingering:
            self._lingering = True
            self.set_deadline(LINGER_S)
            self._watch(self._mask | EPOLLIN)

    def _end_writing(self) -> None:
        """Ends the server's side, after all has been sent."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._failed(error)

    # Inside

    def _deliver(self, data: bytes, key: Any) -> None:
        """Hands data to the protocol, and sends what it writes in one piece; stores that for replay under a key."""
        replay = self._replay
        self._replayed = False
        self._corked = not self._out
        self._corked_bytes = 0
        try:
            self._protocol.dataReceived(data)
        except Exception:
            self._corked = False
            self._broke("dataReceived")
            return
        if self._corked:
            self._corked = False
            if key is not None and self._out and replay is self._replay:
                label = self._protocol.replayable()
                if label is not None:
                    replay.store(key, b"".join(self._out), label)
            self._flush_corked()
        if (self.disconnecting or self._write_ending) and self._reason is None:
            self._go_on_ending()

    def _flush_corked(self) -> None:
        """Sends in one piece what was written while the protocol was called."""
        if self._out:
            data = self._out.popleft() if len(self._out) == 1 else b"".join(self._out)
            self._out.clear()
            self._transmit(data)

    def _transmit(self, data: bytes) -> None:
        """Sends data, before which there is nothing to be sent, and keeps what the socket does not take."""
        try:
            sent = self._send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._failed(error)
            return
        if sent < len(data):
            self._out.append(data)
            self._offset = sent
            # OpenSSL takes one record at a time.
            if not self._drain():
                self._full()

    def _drain(self) -> bool:
        """Sends what was kept, and tells whether that was all."""
        out = self._out
        while out:
            data = out[0]
            if len(out) > 1 and len(data) - self._offset < READ_BYTES:
                data = b"".join((data[self._offset :], *list(out)[1:]))
                out.clear()
                out.append(data)
                self._offset = 0
            try:
                sent = self._send(data[self._offset : self._offset + WRITE_BYTES])
            except BlockingIOError:
                return False
            except OSError as error:
                self._failed(error)
                return False
            self._offset += sent
            if self._offset == len(data):
                out.popleft()
                self._offset = 0
        return True

    def _full(self) -> None:
        """Waits for the socket to take more, and asks the producer to wait, too."""
        self._watch(self._mask | EPOLLOUT)
        if self._producer is not None and self._streaming and not self._producer_paused:
            self._producer_paused = True
            self._producer.pauseProducing()

    def _go_on_ending(self) -> None:
        """Ends what is to be ended, if all has been sent."""
        if self._corked or self._out or self._producer is not None or self._reason is not None:
            return
        if self.disconnecting:
            self._end_orderly()
        elif self._write_ending and not self._write_ended:
            self._write_ended = True
            self._end_writing()
            if IHalfCloseableProtocol.providedBy(self._protocol):
                self._protocol.writeConnectionLost()

    def _read_end(self) -> None:
        """Takes note that the client sends no more."""
        self._read_ended = True
        self._watch(self._mask & ~EPOLLIN)
        if IHalfCloseableProtocol.providedBy(self._protocol) and not self.disconnecting:
            try:
                self._protocol.readConnectionLost()
            except Exception:
                self._broke("readConnectionLost")
        elif self._out:
            # What was written before is still sent to a client that only listens.
            self.disconnecting = True
            self.set_deadline(SEND_TIMEOUT_S)
        else:
            self._end(Failure(ConnectionDone()))

    def _failed(self, error: OSError) -> None:
        self._end(Failure(ConnectionLost(error.strerror) if error.strerror else ConnectionLost()))

    def _broke(self, where: str) -> None:
        """Takes note of an exception of the protocol's: it is logged, and the connection is ended."""
        failure = Failure()
        self.pool.log_failure(where, self._protocol)
        self._end(failure)

    def _end(self, reason: Failure) -> None:
        """Puts the connection on the pool's list of those that end."""
        if self.connected and self._reason is None:
            self._reason = reason
            self.pool.end(self)

    def _watch(self, mask: int) -> None:
        if mask != self._mask and self.connected and self._reason is None:
            self._mask = mask
            self.pool.watch(self.fd, mask)


@implementer(INegotiated)
class TLSConnection(Connection):
    """A connection with TLS, by pyOpenSSL on the socket itself: ``ISSLTransport`` and ``INegotiated``.

    The protocol is made when the handshake is done, so that one that never is costs little.

    :ivar receive: what reads TLS; see :mod:`livefeed.transport.openssl`.
    :ivar send: what writes it.
    """

    __slots__ = ("_crossed", "_handshaking", "_notified", "_raw", "_ssl", "_usual")

    receive = staticmethod(openssl.receive)
    send = staticmethod(openssl.send)

    def __init__(self, pool: Pool, sock: socket.socket, factory: IProtocolFactory, context: SSL.Context) -> None:
        super().__init__(pool, sock, factory)
        self._usual = False  # neither in the handshake nor crossed
        self._handshaking = True
        self._crossed = False  # reading waits for writing, or writing for reading
        self._notified = False  # close_notify is sent
        self._raw = False  # TLS has failed, and what still comes is thrown away
        self._ssl: Any = SSL.Connection(context, sock)
        self._ssl.set_accept_state()
        # Twisted's contexts find the connection by it, to abort it.
        self._ssl.set_app_data(self)

    def getHandle(self) -> object:
        """ISystemHandle API."""
        return self._ssl

    def getPeerCertificate(self) -> object:
        """ISSLTransport API."""
        return self._ssl.get_peer_certificate()

    @property
    def negotiatedProtocol(self) -> bytes | None:
        """INegotiated API."""
        return self._ssl.get_alpn_proto_negotiated() or None

    def failVerification(self, reason: Failure) -> None:
        """What Twisted's contexts call where the client's certificate is not accepted."""
        self._end(reason)

    def handle(self, events: int) -> None:
        """Takes what epoll says of the socket."""
        if self._usual and events == EPOLLIN:
            self.readable()
        elif self._handshaking:
            self._handshake()
        elif self._crossed:
            self._crossed = False
            self._usual = True
            self.readable()
            if self._reason is None:
                self.writable()
        else:
            super().handle(events)

    def finish(self) -> None:
        """Ends the connection, and lets go of what refers to it."""
        ending = self.connected and self._reason is not None
        super().finish()
        if ending:
            self._ssl.set_app_data(None)

    def _handshake(self) -> None:
        try:
            self._ssl.do_handshake()
        except SSL.WantReadError:
            self._watch(EPOLLIN)
        except SSL.WantWriteError:
            self._watch(EPOLLOUT)
        except SSL.Error:
            # No TLS, no version or cipher in common, or gone: each is the client's affair, and none worth a log
            # line. It
            # has been sent an alert, which a reset would overtake.
            self._raw = True
            self._handshaking = False
            self._notified = True
            self.loseConnection()
        except Exception:
            self._broke("the TLS handshake")
        else:
            self._handshaking = False
            self._usual = True
            self._watch(EPOLLIN)
            self.start()
            if IHandshakeListener.providedBy(self._protocol):
                self._protocol.handshakeCompleted()

    def _receive(self) -> bytes:
        if self._raw:
            return super()._receive()
        try:
            return self.receive(self._ssl)
        except SSL.WantReadError:
            raise BlockingIOError from None
        except SSL.WantWriteError:
            self._cross(EPOLLOUT)
            raise BlockingIOError from None
        except SSL.ZeroReturnError:
            return b""
        except SSL.SysCallError as error:
            raise _lost(error) from None
        except SSL.Error:
            raise ConnectionResetError(errno.EPROTO, "TLS broke") from None

    def _send(self, data: bytes) -> int:
        try:
            return self.send(self._ssl, data)
        except SSL.WantWriteError:
            raise BlockingIOError from None
        except SSL.WantReadError:
            self._cross(EPOLLIN)
            raise BlockingIOError from None
        except SSL.SysCallError as error:
            raise _lost(error) from None
        except SSL.Error:
            raise ConnectionResetError(errno.EPROTO, "TLS broke") from None

    def _cross(self, event: int) -> None:
        self._crossed = True
        self._usual = False
        self._watch(self._mask | event)

    def _end_orderly(self) -> None:
        if self._handshaking:
            self._end(Failure(ConnectionDone()))
        else:
            super()._end_orderly()

    def _end_writing(self) -> None:
        self._notify()
        super()._end_writing()

    def _notify(self) -> None:
        """Sends close_notify (RFC 8446, 6.1), as far as the socket takes it."""
        if not self._notified:
            self._notified = True
            with suppress(SSL.Error):  # in the middle of a handshake, or gone
                self._ssl.shutdown()


def _lost(error: SSL.SysCallError) -> OSError:
    code = error.args[0] if error.args else -1
    return ConnectionResetError(code, "") if code in _GONE else ConnectionResetError(errno.ECONNRESET, "")


def _address(sock: socket.socket, method: str) -> IAddress:
    try:
        name = getattr(sock, method)()
    except OSError:
        name = ("", 0)
    if sock.family == socket.AF_UNIX:
        return UNIXAddress(name if isinstance(name, str | bytes) else "")
    make = IPv6Address if sock.family == socket.AF_INET6 else IPv4Address
    return make("TCP", *name[:2])
