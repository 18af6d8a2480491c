"""The name of the operator behind a request: the user of the Unix socket, or the address from which the token came."""

from __future__ import annotations

import pwd
import socket
import struct
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address

if TYPE_CHECKING:
    from livefeed.web.request import Request

_CREDENTIALS = struct.Struct("3i")
"""Process, user and group (unix(7), ``SO_PEERCRED``)."""


def caller_of(request: Request) -> str:
    """Gives the name of the operator behind a request: ``ana``, ``uid 1001`` or ``token@192.0.2.7``.

    The kernel says which user has opened a connection to the Unix socket. A token says nothing about its bearer.
    """
    peer = request.getClientAddress()
    if isinstance(peer, IPv4Address | IPv6Address):
        return f"token@{peer.host}"
    channel: Any = request.channel
    return user_of(channel.transport.getHandle())


def user_of(connection: socket.socket) -> str:
    """Gives the user who has opened the other end of a connection to a Unix socket."""
    try:
        data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except (AttributeError, OSError):
        # Systems other than Linux.
        return "a user of the operator's socket"
    _, uid, _ = _CREDENTIALS.unpack(data)
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
