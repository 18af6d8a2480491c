"""A connection that never blocks, with or without TLS.

TLS is that of the standard library on a socket, without ``MemoryBIO``: that would take three calls in place of one.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from livefeed.client.address import Address
from livefeed.client.failures import tls_context

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from livefeed.load.addresses import Target
    from livefeed.load.plan import Plan

READ_BYTES = 65_536
"""The bytes of one read. A larger answer takes several."""

WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

_IP_BIND_ADDRESS_NO_PORT = 24  # of <linux/in.h>: the port is chosen with the peer, so that each address has all ports
_IN_PROGRESS = (0, errno.EINPROGRESS)
_NAMES = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.ECONNABORTED: "reset",
    errno.ETIMEDOUT: "timed out",
    errno.EADDRNOTAVAIL: "no free port",
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTUNREACH: "unreachable",
    errno.EMFILE: "too many open files",
    errno.ENFILE: "too many open files",
}


@dataclass(slots=True, eq=False)
class Tls:
    """The TLS of all connections of a process.

    :param context: its settings.
    :param name: the name that the certificate must have.
    :param is_resumed: whether connections resume the session of an earlier one.
    """

    # required parameters
    context: ssl.SSLContext
    name: str
    is_resumed: bool

    # internal state
    _session: ssl.SSLSession | None = None

    @classmethod
    def of(cls, plan: Plan) -> Tls | None:
        """Makes the settings of a plan; ``None`` if the target is asked without TLS.

        :raises FollowError: if the file of authorities cannot be read.
        """
        context = context_of(plan.target, plan.cacert, checks_certificate=plan.checks_certificate)
        return None if context is None else cls(context, plan.target.name, plan.is_resumed)

    def wrap(self, sock: socket.socket) -> ssl.SSLSocket:
        """Puts TLS on a connected socket; the handshake is still to be done."""
        return self.context.wrap_socket(
            sock, do_handshake_on_connect=False, server_hostname=self.name, session=self._session
        )

    def remember(self, sock: ssl.SSLSocket) -> None:
        """Keeps the session of a connection: with TLS 1.3, there is one once something was read."""
        if self.is_resumed and self._session is None and sock.session is not None and sock.session.has_ticket:
            self._session = sock.session


def context_of(target: Target, cacert: str | Path | None, *, checks_certificate: bool) -> ssl.SSLContext | None:
    """Makes the settings of TLS: those of livefeed's clients, and HTTP/1.1 by ALPN.

    :raises FollowError: if the file of authorities cannot be read.
    """
    address = Address(target.is_secure, target.name, target.port, target.path)
    context = tls_context(address, cacert, verify=checks_certificate)
    if context is not None:
        context.set_alpn_protocols(["http/1.1"])
    return context


def open_socket(target: Target, source: str | None) -> socket.socket:
    """Begins a connection.

    :param source: the address of this machine; ``None`` for the system's choice.
    :raises OSError: if it fails at once.
    """
    sock = socket.socket(target.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source is not None:
            sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((source, 0))
        _begin(sock, (target.ip, target.port))
    except OSError:
        sock.close()
        raise
    return sock


def _begin(sock: socket.socket, place: tuple[str, int]) -> None:
    """Begins to connect.

    :raises OSError: if that fails at once.
    """
    code = sock.connect_ex(place)
    if code not in _IN_PROGRESS:
        raise OSError(code, os.strerror(code))


def receiver_of(sock: socket.socket) -> Callable[[bytearray], int]:
    """Gives the function that reads into a buffer of :data:`READ_BYTES`: the shortest way through the library."""
    return partial(sock.read, READ_BYTES) if isinstance(sock, ssl.SSLSocket) else sock.recv_into  # type: ignore[return-value]


def error_name(error: OSError) -> str:
    """Gives the kind of an error, by which it is counted."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused ({error.verify_message})"
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return "reset"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({(getattr(error, 'reason', None) or 'unknown').lower().replace('_', ' ')})"
    return _NAMES.get(error.errno or 0, (error.strerror or type(error).__name__).lower())
