"""The peer of a connection: the client's address, which is known when the connection is accepted.

It is kept as one integer of 32 bytes, since an address of Twisted's takes 200 and there are tens of thousands of
connections. The kernel is not asked again, so the address of a client that has left is still known.

A proxy in front of livefeed knows a better one: the code that reads its header sets ``_peer`` of the connection to an
address of Twisted's, and ``getPeer`` gives that one to all callers.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress

_PORT_BITS = 16
_IPV4_BITS = 32
_IPV6_BITS = 128
_IS_IPV6 = 1 << (_IPV6_BITS + _PORT_BITS)  # tells an address that begins with zeros from one of IPv4
_UNNAMED = UNIXAddress("")  # of nearly all clients of a Unix socket


def pack_peer(name: object) -> int | IAddress:
    """Gives the value to keep for a peer.

    :param name: as ``socket.accept`` gives it: a tuple that begins with host and port, or the path of a Unix socket.
    :returns: an integer for TCP. An address with a scope, or the name of a Unix socket, is kept as an address.
    """
    if not isinstance(name, tuple):
        return UNIXAddress(name) if name and isinstance(name, str | bytes) else _UNNAMED
    host: str
    port: int
    host, port = name[:2]
    if ":" not in host:
        return int.from_bytes(socket.inet_pton(socket.AF_INET, host)) << _PORT_BITS | port
    if "%" in host:
        return IPv6Address("TCP", host, port)
    return _IS_IPV6 | int.from_bytes(socket.inet_pton(socket.AF_INET6, host)) << _PORT_BITS | port


def unpack_peer(peer: int | IAddress) -> IAddress:
    """Gives the address of a peer, from the value that is kept for it."""
    if not isinstance(peer, int):
        return peer
    port = peer & ((1 << _PORT_BITS) - 1)
    host = peer >> _PORT_BITS
    if host >> _IPV4_BITS:
        packed = (host & ((1 << _IPV6_BITS) - 1)).to_bytes(_IPV6_BITS // 8)
        return IPv6Address("TCP", socket.inet_ntop(socket.AF_INET6, packed), port)
    return IPv4Address("TCP", socket.inet_ntop(socket.AF_INET, host.to_bytes(_IPV4_BITS // 8)), port)
