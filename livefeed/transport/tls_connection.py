"""A connection with TLS, by pyOpenSSL on the socket itself."""
# ruff: noqa: SLF001 - a group looks into its connections.

from __future__ import annotations

import errno
from contextlib import suppress
from select import EPOLLIN, EPOLLOUT
from socket import IPPROTO_TCP, TCP_CORK
from typing import TYPE_CHECKING, Any, Final, cast

from OpenSSL import SSL
from twisted.internet.interfaces import IHandshakeListener, INegotiated
from zope.interface import implementer

from livefeed.tls.openssl import RECORD_BYTES, WANTS_READ, choose_calls
from livefeed.transport.connection import Connection
from livefeed.transport.connection_state import LOST, READY
from livefeed.transport.groups import ConnectionGroup, DirectGroup
from livefeed.transport.interfaces import IPlainListener

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from twisted.internet.interfaces import IProtocolFactory
    from twisted.python.failure import Failure

    from livefeed.transport.interfaces import ConnectionPool

TLS_CALLS = choose_calls()
"""The calls that read and write TLS."""

HANDSHAKING: Final = 1
"""The handshake is not done: there is no protocol yet."""

CROSSED: Final = 2
"""Reading waits until the socket can be written, or writing until it can be read."""

FAILED: Final = 3
"""The handshake has failed. Data that still arrives is thrown away."""

_PLAIN_BYTES: Final = 4096
"""The bytes that are read of a request without TLS."""

_UNFINISHED = (HANDSHAKING, FAILED)

_GONE = {errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT, errno.ENOTCONN, errno.ECONNABORTED, errno.EHOSTUNREACH}


@implementer(INegotiated)
class TLSConnection(Connection):
    """A connection with TLS, by pyOpenSSL on the socket itself: ``ISSLTransport`` and ``INegotiated``.

    The protocol is made after the handshake, so that a handshake that never ends costs little.
    """

    secure = True

    __slots__ = ("_close_notify_sent", "_ssl")

    def __init__(
        self, pool: ConnectionPool, sock: socket.socket, peer: object, factory: IProtocolFactory, context: SSL.Context
    ) -> None:
        super().__init__(pool, sock, peer, factory)
        self._tls_state = HANDSHAKING
        self._close_notify_sent = False
        self._ssl: Any = SSL.Connection(context, sock)
        self._handle = TLS_CALLS.handle(self._ssl)
        self._ssl.set_accept_state()
        # Twisted's contexts find the connection by this, to abort it.
        self._ssl.set_app_data(self)

    @staticmethod
    def make_group() -> ConnectionGroup[Any]:
        """Gives an empty group of connections of this class."""
        return ConnectionGroup() if TLS_CALLS.write_all is None else DirectGroup(TLS_CALLS.pack, TLS_CALLS.write_all)

    @staticmethod
    def write_to_all(connections: Sequence[Any], data: bytes) -> None:
        """Writes to connections of this class as :meth:`write_or_end` does to each."""
        clear = [each for each in connections if each._can_send]
        if TLS_CALLS.write_all is None or len(clear) < len(connections):
            Connection.write_to_all(connections, data)
            return
        handles = TLS_CALLS.pack([each._handle for each in clear])
        try:
            counts = TLS_CALLS.write_all(handles, data, len(data))
        except Exception:
            # As in DirectGroup.
            for connection in clear:
                connection._protocol_failed("write")
            return
        for connection, sent in zip(clear, counts, strict=bool(counts)):
            if sent != len(data):
                # As in DirectGroup.
                connection.write_or_end(data, sent)

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
        """Ends the connection. Twisted's contexts call this if they do not accept the client's certificate."""
        self._connection_lost(reason)

    def start(self) -> None:
        """Waits for the client, whose handshake comes first. Then the protocol is made, as without TLS."""

    def close(self) -> None:
        """Closes the socket, tells the protocol, and removes the reference of OpenSSL to the connection."""
        is_lost = self._state == LOST
        if is_lost and self._tls_state in _UNFINISHED:
            self.pool.failed_handshakes += self.fd not in self.pool.guests
        super().close()
        if is_lost:
            self._ssl.set_app_data(None)

    def handle(self, events: int) -> None:
        """Handles events of epoll. This is the hot path of pollers.

        If the connection can send and the answer is known, it does the same as :meth:`Connection.handle` with fewer
        conditions and calls.
        """
        if events != EPOLLIN or not self._at_boundary or not self._can_send:
            if self._tls_state == HANDSHAKING:
                self._handshake()
            else:
                super().handle(events)
            return
        calls = TLS_CALLS
        # To call an attribute that is no method takes 20 ns more than to look it up and call it.
        read, take, buffer, has_more = calls.read, calls.take, calls.buffer, calls.has_more
        try:
            count = read(self._handle, buffer, RECORD_BYTES)
            if count <= 0:
                calls.fail(self._ssl, count)
        except SSL.Error as error:
            self._not_received(error)
            return
        data = take(buffer, count)
        if has_more(self._handle):
            self.pool.handle_again(self)
        replay = self._answers
        answer = replay.find(data)  # type: ignore[union-attr] # there is a store at each boundary
        if answer is None:
            missed = replay.missed  # type: ignore[union-attr]
            if missed is None or not replay.join(missed, self):  # type: ignore[union-attr]
                self._deliver(data, missed)
            return
        self._active_at = self.pool.now
        if answer.at_once:
            sent = self._send(answer.data)
            if sent != len(answer.data):
                self._keep_unsent(answer.data, sent)
        else:
            self._send_answer(answer)

    def _handle_other_events(self, events: int) -> None:
        """Handles events after the handshake has failed, and where reading and writing have crossed."""
        if self._tls_state == FAILED and events & EPOLLIN:
            super()._receive()
        elif self._tls_state == CROSSED:
            self._tls_state = READY
            self.pool.watch(self.fd, self._mask)
            self.handle(EPOLLIN)
            if self._tls_state == READY and self._state < LOST:
                self.writable()
        else:
            super()._handle_other_events(events)

    def _handshake(self) -> None:
        self.pool.did_more = True
        try:
            result = TLS_CALLS.handshake(self._handle)
            if result <= 0 and result != WANTS_READ:
                TLS_CALLS.fail(self._ssl, result)
        except SSL.WantReadError:
            self._watch(EPOLLIN)
        except SSL.WantWriteError:
            self._watch(EPOLLOUT)
        except SSL.Error as error:
            if _is_plain_http(error):
                self._answer_plain()
            # No TLS, no version or cipher in common, or a client that left: none is worth a line in the log. An alert
            # has been sent, which a reset would overtake.
            self._tls_state = FAILED
            self._close_notify_sent = True
            self.loseConnection()
        except Exception:
            self._protocol_failed("the TLS handshake")
        else:
            if self._mask != EPOLLIN:
                self._watch(EPOLLIN)
            if result != WANTS_READ:
                self._begin()

    def _begin(self) -> None:
        """Begins as without TLS: the handshake has succeeded."""
        self._tls_state = READY
        # Not before: a client without TLS is answered by the bytes that OpenSSL has left in the socket.
        TLS_CALLS.read_ahead(self._handle)
        self.pool.handshakes += self.fd not in self.pool.guests
        super().start()
        if self._protocol is not None and IHandshakeListener.providedBy(self._protocol):
            self._protocol.handshakeCompleted()

    def _answer_plain(self) -> None:
        """Answers a client that speaks HTTP without TLS, if the factory has an answer. OpenSSL has sent no alert."""
        if not IPlainListener.providedBy(self._factory):
            return
        rest = b""
        with suppress(OSError):  # it has sent no more than OpenSSL has read, or is gone
            rest = self.sock.recv(_PLAIN_BYTES)
        with suppress(OSError):  # it is gone; the buffer of a new connection has room for the answer
            self.sock.send(cast("Any", self._factory).plain_answer(rest))

    def _receive(self) -> bytes | None:
        try:
            count = TLS_CALLS.read(self._handle, TLS_CALLS.buffer, RECORD_BYTES)
            if count > 0:
                data = TLS_CALLS.take(TLS_CALLS.buffer, count)
                if TLS_CALLS.has_more(self._handle):
                    self.pool.handle_again(self)
                return data
            TLS_CALLS.fail(self._ssl, count)
        except SSL.Error as error:
            self._not_received(error)
        return None

    def _not_received(self, error: SSL.Error) -> None:
        """Handles the reason for which nothing could be read."""
        if isinstance(error, SSL.WantWriteError):
            self._cross(EPOLLOUT)
        elif isinstance(error, SSL.ZeroReturnError):
            self._eof_received()
        elif not isinstance(error, SSL.WantReadError):
            self._socket_failed(_lost(error))
        elif not TLS_CALLS.was_blocked():
            self.pool.handle_again(self)

    def _send(self, data: bytes) -> int:
        write = TLS_CALLS.write
        try:
            count = write(self._handle, data, len(data))
            if count > 0:
                return count
            TLS_CALLS.fail(self._ssl, count)
        except SSL.WantWriteError:
            return 0
        except SSL.WantReadError:
            self._cross(EPOLLIN)
            return 0
        except SSL.Error as error:
            self._socket_failed(_lost(error))
        return len(data)

    def _send_from(self, data: bytes, offset: int) -> int:
        if len(data) - offset <= RECORD_BYTES:
            return self._send(data[offset:])
        self._hold(1)
        try:
            return self._send_records(data, offset)
        finally:
            self._hold(0)

    def _send_both(self, head: bytes, body: bytes) -> int:
        start = max(RECORD_BYTES - len(head), 0)
        first = b"".join((head, memoryview(body)[:start]))
        self._hold(1)
        try:
            sent = self._send(first)
            if sent == len(first) and self._state < LOST:
                sent += self._send_records(body, start)
        finally:
            self._hold(0)
        return sent

    def _send_records(self, data: bytes, offset: int) -> int:
        """Sends the data behind an offset, one record after the other, until the socket is full.

        OpenSSL takes one record at a time. One that it could not send must be repeated, with at least as many bytes.
        """
        view, write_from, handle, size = TLS_CALLS.view(data), TLS_CALLS.write_from, self._handle, len(data)
        at = offset
        try:
            while at < size:
                count = write_from(handle, view, at, size - at)
                if count <= 0:
                    TLS_CALLS.fail(self._ssl, count)
                at += count
        except SSL.WantWriteError:
            pass
        except SSL.WantReadError:
            self._cross(EPOLLIN)
        except SSL.Error as error:
            self._socket_failed(_lost(error))
            at = size
        return at - offset

    def _hold(self, held: int) -> None:
        """Has the kernel put the records that are written meanwhile into segments as large as possible.

        Each record would be a segment of its own, with its own way through the network stack: 100 KB took 41 µs of
        sending, and take 23.
        """
        with suppress(OSError):  # a Unix socket
            self.sock.setsockopt(IPPROTO_TCP, TCP_CORK, held)

    def _cross(self, event: int) -> None:
        """Waits for this event alone: the kernel would report any other again and again."""
        self._tls_state = CROSSED
        self._clear_can_send()
        self.pool.watch(self.fd, event)

    def _watch(self, mask: int) -> None:
        if self._tls_state == CROSSED:
            self._mask = mask
            return
        resumes = mask & ~self._mask & EPOLLIN
        super()._watch(mask)
        if resumes and self._state < LOST and TLS_CALLS.has_more(self._handle):
            self.pool.handle_again(self)

    def _shutdown_and_linger(self) -> None:
        if self._tls_state == HANDSHAKING:
            self._connection_done()
        else:
            super()._shutdown_and_linger()

    def _shutdown_write(self) -> None:
        self._send_close_notify()
        super()._shutdown_write()

    def _end_write(self) -> None:
        self._send_close_notify()

    def _send_close_notify(self) -> None:
        """Sends close_notify (RFC 8446, 6.1), as far as the socket takes it."""
        if not self._close_notify_sent:
            self._close_notify_sent = True
            try:  # noqa: SIM105 - suppress() takes 1 µs
                self._ssl.shutdown()
            except SSL.Error:
                pass  # in the middle of a handshake, or gone


def _is_plain_http(error: SSL.Error) -> bool:
    """Tells whether OpenSSL has found a request of HTTP in place of a ClientHello, by its first five bytes."""
    reasons = error.args[0] if error.args else ()
    return isinstance(reasons, list) and any("http request" in reason for reason in reasons)


def _lost(error: SSL.Error) -> OSError:
    """Gives the error of the socket that an error of pyOpenSSL stands for."""
    if not isinstance(error, SSL.SysCallError):
        return ConnectionResetError(errno.EPROTO, "TLS broke")
    code = error.args[0] if error.args else -1
    return ConnectionResetError(code if code in _GONE else errno.ECONNRESET, "")
