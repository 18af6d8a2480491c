"""Who is asked for the document: what there is in common, and one server that is always the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from livefeed.sources.redis.connection import SMALL_REPLY, Connection, Login, Server, UnixServer

if TYPE_CHECKING:
    from livefeed.sources.redis.replies import Reply


class Servers(Protocol):
    """Servers of which one has the key.

    One connection is kept. Whoever asks calls :meth:`close` after any trouble: the next question finds the server anew.
    """

    @property
    def server(self) -> Server | UnixServer | None:
        """The server that was found to have the key, last."""

    async def ask(self, *command: object, allowance: int = SMALL_REPLY) -> Reply:
        """Gives the reply of the server that has the key.

        :raises SourceError: if there is none.
        """

    def close(self) -> None:
        """Ends the connection, if there is one."""


@dataclass(slots=True)
class OneServer:
    """A server that is always the same."""

    # required parameters
    server: Server | UnixServer
    login: Login

    # internal state
    _connection: Connection | None = None

    async def ask(self, *command: object, allowance: int = SMALL_REPLY) -> Reply:
        """Servers API."""
        if self._connection is None or not self._connection.connected:
            self._connection = await self.login.connect(self.server, Connection)
        return await self._connection.ask(*command, allowance=allowance)

    def close(self) -> None:
        """Servers API."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
