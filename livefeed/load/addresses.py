"""The target, and the addresses of this machine that connections leave from."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from livefeed.client.address import Address
from livefeed.client.failures import reason_of
from livefeed.exceptions import FollowError

PORTS_PER_ADDRESS = 20_000
"""The connections from one loopback address to one port. Linux gives 28,232 ports by itself, less those in use."""

MAX_ADDRESSES = 250
"""The largest number of loopback addresses: 127.0.0.1 to 127.0.0.250."""


@dataclass(frozen=True, slots=True)
class Target:
    """The server, as every process asks it.

    :ivar family: the address family, such as ``AF_INET``.
    :ivar ip: the address.
    :ivar port: the port that connections are made to.
    :ivar name: the name in the URL, for TLS.
    :ivar authority: the value of ``Host``.
    :ivar path: path and query.
    """

    family: int
    ip: str
    port: int
    is_secure: bool
    name: str
    authority: str
    path: str

    @property
    def url(self) -> str:
        """The URL of the document."""
        return f"{'https' if self.is_secure else 'http'}://{self.authority}{self.path}"

    @property
    def is_loopback(self) -> bool:
        """Whether the server is on this machine for sure."""
        return ipaddress.ip_address(self.ip).is_loopback


def address_of(url: str, connect: str | None = None) -> Address:
    """Reads a URL. Its path is kept as it is: other servers have paths that end in ``.json`` as well.

    :param connect: ``HOST:PORT`` to connect to, in place of those of the URL.
    :raises FollowError: if it is none.
    """
    address = Address.of(url, connect=connect)
    parts = urlsplit(url)
    if parts.fragment or not parts.path:
        return address
    return replace(address, target=f"{parts.path}?{parts.query}" if parts.query else parts.path)


def resolved(address: Address) -> Target:
    """Looks up the name, once for all processes, so that all of them load one machine. May block.

    :raises FollowError: if there is no such host.
    """
    try:
        host, port = address.endpoint
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise FollowError(reason_of(error, address)) from None
    # The name localhost has both, and many servers listen at the older one alone.
    family, _, _, _, place = min(found, key=lambda each: each[0] != socket.AF_INET)
    return Target(int(family), str(place[0]), port, address.is_secure, address.host, address.authority, address.target)


def sources_for(target: Target, connections: int) -> list[str]:
    """Gives the addresses of this machine from which connections are made, in turn; empty for the system's choice.

    :param connections: all that are open at a time.
    :raises FollowError: if there are not enough ports for them.
    """
    if connections <= PORTS_PER_ADDRESS:
        return []
    if target.family != socket.AF_INET or not target.is_loopback:
        raise FollowError(
            f"{connections:,} connections to one port need more than the {PORTS_PER_ADDRESS:,} ports that an address "
            "of this machine has: run the rest from another machine, or, for a server on this one, name it by 127.0.0.1"
        )
    count = -(-connections // PORTS_PER_ADDRESS)
    if count > MAX_ADDRESSES:
        raise FollowError(f"at most {PORTS_PER_ADDRESS * MAX_ADDRESSES:,} connections are possible")
    return [f"127.0.0.{number}" for number in range(1, count + 1)]
