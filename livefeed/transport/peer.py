"""The peer of a connection: the client's address, which is known when the connection is accepted.

It is kept in a few bytes, since an address of Twisted's takes 200 and there are tens of thousands of connections. The
kernel is not asked again, so the address of a client that has left is still known.

A proxy in front of livefeed knows a better one: whoever reads its header sets ``_peer`` of the connection to an address
of Twisted's, and all that ask ``getPeer`` are told that one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress

_UNNAMED = UNIXAddress("")  # of nearly all clients of a Unix socket


def pack_peer(name: object) -> bytes | IAddress:
    """Gives the value to keep for a peer.

    :param name: as ``socket.accept`` gives it: a tuple that begins with host and port, or the path of a Unix socket.
    :returns: for TCP port and host as text, of 48 bytes in memory for IPv4.
    """
    if isinstance(name, tuple):
        return f"{name[1]} {name[0]}".encode("ascii")
    return UNIXAddress(name) if name and isinstance(name, str | bytes) else _UNNAMED


def unpack_peer(peer: bytes | IAddress) -> IAddress:
    """Gives the address of a peer, from the value that is kept for it."""
    if not isinstance(peer, bytes):
        return peer
    port, _, host = peer.decode("ascii").partition(" ")
    make = IPv6Address if ":" in host else IPv4Address
    return make("TCP", host, int(port))
