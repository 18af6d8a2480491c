"""Data that goes out, and its producers.

Writes go to the socket at once, and only the bytes that the socket does not take are kept. But the writes of a protocol
while it is given data go out in one piece.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from select import EPOLLOUT
from typing import TYPE_CHECKING

from livefeed.transport.closing import Closing
from livefeed.transport.connection_state import (
    DRAINING,
    LOST,
    OPEN,
    PAUSED,
    PULLED,
    PUSHING,
    READ_BYTES,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twisted.internet.interfaces import IProducer


class Writing(Closing):
    """The part of a connection that sends."""

    __slots__ = ()

    @property
    def unsent_bytes(self) -> int:
        """The bytes written that the socket has not taken."""
        return sum(map(len, self._unsent)) - self._unsent_offset

    # ITransport

    def write(self, data: bytes) -> None:
        """ITransport API."""
        if not self._can_send:
            self._write_later(data)
        elif data:
            sent = self._send(data)
            if sent != len(data):
                self._keep_unsent(data, sent)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """ITransport API."""
        self.write(b"".join(iovec))

    # For groups and rooms

    def write_or_end(self, data: bytes, sent: int = 0) -> None:
        """Writes as one of many: an exception ends this connection, and is not raised.

        :param sent: the bytes of the data that the socket has taken already.
        """
        try:
            if sent > 0:
                self._keep_unsent(data, sent)
            else:
                self.write(data)
        except Exception:
            self._protocol_failed("write")

    def write_large_or_end(self, head: bytes, body: bytes) -> None:
        """Writes a head and a large body as :meth:`write_or_end` does, and copies none of the bytes that it keeps."""
        try:
            if self._can_send:
                self._send_or_keep_large(head, body)
            else:
                self.write(head)
                self.write(body)
        except Exception:
            self._protocol_failed("write")

    # IConsumer

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """IConsumer API."""
        if self._producer is not None:
            raise RuntimeError(f"{producer} cannot be registered: {self._producer} still is")
        if self._state >= LOST:
            producer.stopProducing()
            return
        self._producer = producer
        self._producer_state = PUSHING if streaming else PULLED
        if not streaming:
            # It is asked for more each time that the socket can take more, from the pool.
            self._watch(self._mask | EPOLLOUT)
        elif self._unsent and not self._corked:
            self._wait_until_writable()

    def unregisterProducer(self) -> None:
        """IConsumer API."""
        self._producer = None
        if not self._unsent:
            self._watch(self._mask & ~EPOLLOUT)
        if self._state != OPEN:
            self._shutdown_if_drained()

    # For the pool

    def writable(self) -> None:
        """Sends the data that was kept, and asks the producer for more."""
        if not self._send_unsent():
            return
        self._update_can_send()
        if self._producer is None or self._producer_state != PULLED:
            self._watch(self._mask & ~EPOLLOUT)
        if self._producer is not None and self._producer_state != PUSHING:
            if self._producer_state == PAUSED:
                self._producer_state = PUSHING
            self.pool.did_more = True
            try:
                self._producer.resumeProducing()
            except Exception:
                self._protocol_failed("resumeProducing")
        elif self._state != OPEN:
            self._shutdown_if_drained()

    # The calls to the socket, which TLS replaces

    def _send(self, data: bytes) -> int:
        """Sends some of the data. Returns the number of bytes; all of them if the connection is lost."""
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._socket_failed(error)
            return len(data)

    def _send_from(self, data: bytes, offset: int) -> int:
        """Sends some of the data behind an offset as :meth:`_send` does, and copies none of it."""
        return self._send(memoryview(data)[offset:])  # type: ignore[arg-type] # a socket takes both

    def _send_both(self, head: bytes, body: bytes) -> int:
        """Sends two pieces as :meth:`_send` does one. Returns the number of bytes of both."""
        try:
            return self.sock.sendmsg((head, body))
        except BlockingIOError:
            return 0
        except OSError as error:
            self._socket_failed(error)
            return 0

    # Inside

    def _update_can_send(self) -> None:
        """Finds out whether writes may go straight to the socket."""
        if self._corked or self._unsent or self._state != OPEN:
            self._clear_can_send()
        else:
            self._can_send = True

    def _write_later(self, data: bytes) -> None:
        """Takes data for which it is not certain that it can go straight to the socket."""
        if not data or (self._state != OPEN and (self._state != DRAINING or self._producer is None)):
            return
        if not self._corked and not self._unsent:
            self._send_or_keep(data)
            return
        self._append_unsent(data)
        self._cork_bytes -= len(data)
        if not self._corked:
            self._wait_until_writable()
        elif self._cork_bytes < 0:
            self._corked = False
            self._send_corked()

    def _send_corked(self) -> None:
        """Sends the data that was written while the protocol was called."""
        if self._unsent and not self._send_unsent() and self._state < LOST:
            self._wait_until_writable()

    def _send_or_keep(self, data: bytes) -> None:
        """Sends data, before which there is nothing to be sent."""
        sent = self._send(data)
        if sent != len(data):
            self._keep_unsent(data, sent)

    def _send_or_keep_large(self, head: bytes, body: bytes) -> None:
        """Sends a head and a large body, before which there is nothing to be sent.

        The body that is kept for a slow reader is the object that all connections share: it is never joined with the
        head.
        """
        sent = self._send_both(head, body)
        if sent == len(head) + len(body) or self._state >= LOST:
            return
        if sent < len(head):
            self._keep_unsent(head, sent, body)
        else:
            self._keep_unsent(body, sent - len(head))

    def _keep_unsent(self, data: bytes, sent: int, body: bytes = b"") -> None:
        """Keeps the bytes that the socket has not taken.

        :param data: the data, before which there is nothing to be sent.
        :param sent: the bytes of it that are sent.
        :param body: further data behind it.
        """
        self._clear_can_send()
        self._append_unsent(data)
        if body:
            self._append_unsent(body)
        self._unsent_offset = sent
        # OpenSSL takes one record at a time: more of it may be taken.
        if sent and self._send_unsent():
            self._update_can_send()
        elif self._state < LOST:
            self._wait_until_writable()

    def _append_unsent(self, data: bytes) -> None:
        """Puts data behind the data that is kept already."""
        if isinstance(self._unsent, tuple):
            self._unsent = deque()
        self._unsent.append(data)

    def _send_unsent(self) -> bool:
        """Sends the data that was kept. Returns whether that was all."""
        unsent = self._unsent
        while unsent:
            data, offset = unsent[0], self._unsent_offset
            if len(data) - offset < READ_BYTES and len(unsent) > 1:
                sent = self._send(self._fill_record(data[offset:]))
            else:
                sent = self._send_from(data, offset)
            if not sent or self._state >= LOST:
                return False
            self._unsent_offset += sent
            while unsent and self._unsent_offset >= len(unsent[0]):
                self._unsent_offset -= len(unsent.popleft())
        self._unsent = ()
        return True

    def _fill_record(self, data: bytes) -> bytes:
        """Gives a piece of one record's size: the rest of the first part that is kept, and the parts behind it.

        The parts stay as they are: a large one is shared by all connections, and a slow reader must not copy it.
        """
        parts, room = [data], READ_BYTES - len(data)
        for part in islice(self._unsent, 1, None):
            parts.append(part[:room])
            room -= len(parts[-1])
            if not room:
                break
        return b"".join(parts)

    def _wait_until_writable(self) -> None:
        """Waits until the socket takes more, and pauses the producer."""
        self._watch(self._mask | EPOLLOUT)
        if self._producer is not None and self._producer_state == PUSHING:
            self._producer_state = PAUSED
            self._producer.pauseProducing()
