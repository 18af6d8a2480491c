"""Connections that are written the same data, again and again."""
# ruff: noqa: SLF001 - a group and its connections are one thing.

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.transport.interfaces import DirectlyWritable, Writable


W = TypeVar("W", bound="Writable")
D = TypeVar("D", bound="DirectlyWritable")


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


class DirectGroup(ConnectionGroup[D]):
    """A group that writes to connections that can send without a look at any of them. A fan-out consists of this.

    With thousands of connections, none of their memory is in a cache. So the group keeps the handles by which the
    kernel or OpenSSL is called. A connection that cannot send any more calls :meth:`take_aside`, and is written to by
    its own methods until it can send again.

    :param pack: joins many handles, see :class:`livefeed.tls.openssl.TLSCalls`.
    :param write_all: writes to joined handles, see there.
    """

    __slots__ = ("_direct", "_handles", "_pack", "_write_all")

    def __init__(self, pack: Callable[[list[Any]], Any], write_all: Callable[[Any, bytes, int], list[int]]) -> None:
        super().__init__()
        self._pack = pack
        self._write_all = write_all
        self._direct: list[D] = []
        self._handles: Any = None  # the joined handles of _direct; None while they have to be joined anew

    def discard(self, connection: D) -> None:
        """Removes a connection that was added."""
        if connection._writing_group is self:
            self.take_aside(connection)
        super().discard(connection)

    def take_aside(self, connection: D) -> None:
        """Has a connection written to by its own methods from now on, instead of by its handle."""
        self._direct.remove(connection)
        self._handles = None
        connection._writing_group = None
        self._singly.append(connection)

    def write(self, data: bytes) -> None:
        """Writes to each as its ``write`` would."""
        # A connection that is taken aside below has been written to, and is not in this copy.
        singly = tuple(self._singly)
        if self._direct and data:
            if self._handles is None:
                self._handles = self._pack([each._handle for each in self._direct])
            try:
                counts = self._write_all(self._handles, data, len(data))
            except Exception:
                # It is not known which connections have been written to.
                counts = []
                for connection in tuple(self._direct):
                    connection._protocol_failed("write")
            if counts:
                for connection, sent in zip(tuple(self._direct), counts, strict=True):
                    if sent != len(data):
                        # A socket that has taken nothing is full or broken: another write tells which.
                        connection.write_or_end(data, sent)
        for connection in singly:
            connection.write_or_end(data)
            if connection._can_send and connection._writing_group is None:
                self._singly.remove(connection)
                self._direct.append(connection)
                self._handles = None
                connection._writing_group = self
