"""The servers that are asked for the document: their interface, and the simplest kind, one fixed server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from livefeed.exceptions import SourceError, SpentErrors
from livefeed.sources.redis.connection import SMALL_REPLY, Connection, Login, Server, UnixServer
from livefeed.sources.redis.replication import Replication
from livefeed.sources.redis.trail import Trail

if TYPE_CHECKING:
    from livefeed.sources.redis.replies import Reply


class Servers(Protocol):
    """Servers of which one has the key.

    One connection is kept. The caller calls :meth:`close` after an error, so that the next command finds the server
    anew.
    """

    @property
    def server(self) -> Server | UnixServer | None:
        """The server that had the key last; ``None`` before it is known."""

    async def ask(self, *command: object, allowance: int = SMALL_REPLY) -> Reply:
        """Gives the reply of the server that has the key.

        :raises SourceError: if no server replies.
        """

    async def moved(self) -> Server | None:
        """Gives a server on the way to the connection whose name leads elsewhere by now; ``None`` if there is none."""

    def anew(self, first: Server) -> Servers:
        """Makes an object for the same servers, without connections.

        :param first: the server to ask first, if the servers are asked in turn.
        """

    def close(self) -> None:
        """Ends the connection, if there is one."""


@dataclass(slots=True)
class OneServer:
    """One fixed server."""

    # required parameters
    server: Server | UnixServer
    login: Login

    # internal state
    _connection: Connection | None = None
    _trail: Trail = field(init=False)
    _replication: Replication = field(init=False)
    _spent: SpentErrors = field(default_factory=SpentErrors)

    def __post_init__(self) -> None:
        self._trail = Trail(self.login)
        self._replication = Replication(self.server, self.login.reactor)

    async def ask(self, *command: object, allowance: int = SMALL_REPLY) -> Reply:
        """Servers API."""
        self._spent.forget()
        connection = await self._connected()
        try:
            return await self._replication.ask(connection, *command, allowance=allowance)
        except SourceError as error:
            if not self._replication.was_fatal or connection is not self._connection:
                raise
            self._spent.add(error)
        return await self._replication.ask_without(await self._connected(), *command, allowance=allowance)

    async def _connected(self) -> Connection:
        if self._connection is None or not self._connection.connected:
            self._connection = await self.login.connect(self.server, Connection)
            self._trail.begin()
            self._trail.note(self.server, self._connection)
        return self._connection

    async def moved(self) -> Server | None:
        """Servers API."""
        if self._connection is None or not self._connection.connected:
            return None
        return await self._trail.moved_by_now()

    def anew(self, first: Server) -> OneServer:
        """Servers API."""
        return OneServer(self.server, self.login)

    def close(self) -> None:
        """Servers API."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
