"""The capabilities that delivery requires of transports.

Besides the fast transport, Twisted's own transports carry subscribers. They lack two capabilities: they cannot be
written to as a group, and some do not tell how much they have not sent yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable

    MakeGroup = Callable[[], "TransportGroup"]


class Transport(Protocol):
    """One connection, or a group of connections."""

    def write(self, data: bytes, /) -> None:
        """ITransport API."""


class AbortableTransport(Transport, Protocol):
    """One connection."""

    def abortConnection(self) -> None:
        """ITCPTransport API."""


class TransportGroup(Transport, Protocol):
    """Transports that are written the same bytes; see :class:`livefeed.transport.groups.ConnectionGroup`."""

    def add(self, transport: Any, /) -> None:
        """Adds a transport."""

    def discard(self, transport: Any, /) -> None:
        """Removes a transport that is in the group."""


@runtime_checkable
class GroupableTransport(Protocol):
    """A transport whose class can be written to as a group."""

    @staticmethod
    def make_group() -> TransportGroup:
        """Makes an empty group for transports of this class."""


def group_maker(transport: object) -> MakeGroup | None:
    """Gives the function that makes groups for transports of the same class; ``None`` if they cannot be grouped.

    The class decides, and Python remembers the answer for each class. The attributes of the object would mislead: a
    wrapper such as Twisted's TLS passes on the attributes of the transport below it, and a group of those would bypass
    the wrapper.
    """
    kind = type(transport)
    return kind.make_group if issubclass(kind, GroupableTransport) else None


def unsent_bytes(transport: Any) -> int:
    """Gives the number of bytes that a transport has not passed to the kernel yet; 0 if it does not tell.

    Here the attributes of the object decide: Twisted's TLS passes the figure of the socket below it on.
    """
    unsent: int = getattr(transport, "unsent_bytes", 0)
    return unsent
