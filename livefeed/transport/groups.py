"""Connections that are written the same data, again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from livefeed.transport.interfaces import Writable


W = TypeVar("W", bound="Writable")


class ConnectionGroup(Generic[W]):
    """Connections of one class that are written the same data. An exception ends the connection that raised it."""

    __slots__ = ("_singly",)

    def __init__(self) -> None:
        self._singly: list[W] = []  # the connections that are written to by their own methods

    def add(self, connection: W) -> None:
        """Adds a connection."""
        self._singly.append(connection)

    def discard(self, connection: W) -> None:
        """Removes a connection that was added."""
        self._singly.remove(connection)

    def write(self, data: bytes) -> None:
        """Writes to each as its ``write`` would.

        A callback meanwhile, such as a producer that is to pause, may change its own connection's membership alone.
        """
        for connection in tuple(self._singly):
            connection.write_or_end(data)
