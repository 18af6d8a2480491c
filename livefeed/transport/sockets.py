"""The server's address of a socket, and the options that are set on it."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

if TYPE_CHECKING:
    from collections.abc import Iterable

NOTSENT_LOWAT_BYTES = 16_384
"""Bytes that the kernel takes although it cannot send them yet. Beyond it a subscriber counts as full, and is sent the
newest version later instead of older ones from the kernel's buffer, which can be megabytes."""


def limit_unsent(sock: socket.socket) -> None:
    """Limits the unsent bytes that the kernel takes, for a socket and for the connections that it accepts."""
    if sock.family != socket.AF_UNIX and hasattr(socket, "TCP_NOTSENT_LOWAT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOTSENT_LOWAT_BYTES)


_NO_LINGER = struct.pack("ii", 1, 0)

_send = socket.socket.send  # to look it up for each socket of many would take 20 ns


def reset_when_closed(sock: socket.socket) -> None:
    """Has a socket end with a reset when it is closed. The kernel then keeps nothing of it, not even TIME_WAIT."""
    with suppress(OSError):  # it may be gone already
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)


def send_to_all(socks: Iterable[socket.socket], data: bytes, _: int) -> list[int]:
    """Sends the same data on many sockets. Gives the number of bytes that each has taken; 0 where it is full or broken.

    It has the signature of ``write_all`` of :class:`livefeed.tls.openssl.TLSCalls`.
    """
    counts: list[int] = []
    add = counts.append
    for sock in socks:
        try:
            add(_send(sock, data))
        except OSError:
            add(0)
    return counts


class StreamSocket:
    """The part of ``ITCPTransport`` that is the socket's alone.

    :ivar sock: connected; over TCP or a Unix socket.
    """

    __slots__ = ("sock",)

    sock: socket.socket

    def getHost(self) -> Any:
        """ITransport API."""
        try:
            name = self.sock.getsockname()
        except OSError:
            name = ("", 0)
        return address_of(self.sock.family, name)

    def getTcpNoDelay(self) -> bool:
        """ITCPTransport API."""
        return self._get_option(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    def setTcpNoDelay(self, enabled: bool) -> None:
        """ITCPTransport API. It is on from the start, so a call that changes nothing costs no system call."""
        if not enabled or self.sock.family == socket.AF_UNIX:
            self._set_option(socket.IPPROTO_TCP, socket.TCP_NODELAY, enabled)

    def getTcpKeepAlive(self) -> bool:
        """ITCPTransport API."""
        return self._get_option(socket.SOL_SOCKET, socket.SO_KEEPALIVE)

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """ITCPTransport API."""
        self._set_option(socket.SOL_SOCKET, socket.SO_KEEPALIVE, enabled)

    def _get_option(self, level: int, option: int) -> bool:
        return self.sock.fileno() >= 0 and bool(self.sock.getsockopt(level, option))

    def _set_option(self, level: int, option: int, enabled: bool) -> None:
        # After the end there is no socket to set it on.
        if self.sock.family != socket.AF_UNIX and self.sock.fileno() >= 0:
            self.sock.setsockopt(level, option, int(enabled))


def address_of(family: int, name: Any) -> IPv4Address | IPv6Address | UNIXAddress:
    """Gives Twisted's address for a name that a socket of this family has."""
    if family == socket.AF_UNIX:
        return UNIXAddress(name if isinstance(name, str | bytes) else "")
    make = IPv6Address if family == socket.AF_INET6 else IPv4Address
    return make("TCP", *name[:2])
