"""The addresses of a transport's socket, and the options that are set on it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress

NOTSENT_LOWAT_BYTES = 16_384
"""How much the kernel takes of what it cannot send yet. Beyond it a subscriber counts as full, and is sent the
newest version later instead of older ones from the kernel's buffer, which can be megabytes."""


def limit_unsent(sock: socket.socket) -> None:
    """Has the kernel take little of what it cannot send yet, of a socket and of those that are accepted by it."""
    if sock.family != socket.AF_UNIX and hasattr(socket, "TCP_NOTSENT_LOWAT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOTSENT_LOWAT_BYTES)


class StreamSocket:
    """The part of ``ITCPTransport`` that is the socket's alone.

    :ivar sock: connected; over TCP or a Unix socket.
    """

    __slots__ = ("sock",)

    sock: socket.socket

    def getPeer(self) -> Any:
        """ITransport API."""
        return _address(self.sock, "getpeername")

    def getHost(self) -> Any:
        """ITransport API."""
        return _address(self.sock, "getsockname")

    def getTcpNoDelay(self) -> bool:
        """ITCPTransport API."""
        return self._get_option(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    def setTcpNoDelay(self, enabled: bool) -> None:
        """ITCPTransport API. It is on from the start, and so is left alone where nothing changes."""
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


def _address(sock: socket.socket, method: str) -> IAddress:
    try:
        name = getattr(sock, method)()
    except OSError:
        name = ("", 0)
    if sock.family == socket.AF_UNIX:
        return UNIXAddress(name if isinstance(name, str | bytes) else "")
    make = IPv6Address if sock.family == socket.AF_INET6 else IPv4Address
    return make("TCP", *name[:2])
