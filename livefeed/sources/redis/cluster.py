"""The node of a Redis Cluster that has the key. Any node is asked, and redirects to the node that has it."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from livefeed.exceptions import SourceError, SpentErrors
from livefeed.sources.redis.connection import SMALL_REPLY, Connection, Login, RefusedError, Server, too_slow
from livefeed.sources.redis.trail import Trail

if TYPE_CHECKING:
    from livefeed.sources.redis.connection import UnixServer
    from livefeed.sources.redis.replies import Reply

SEED_TIMEOUT_S = 0.5
"""Seconds that connecting to one node may take before the next node is asked."""

MAX_REDIRECTIONS = 5

_REDIRECTION = re.compile(r"(?P<kind>MOVED|ASK) [0-9]{1,5} (?P<host>[^ ]*):(?P<port>[0-9]{1,5})", re.ASCII)


@dataclass(slots=True)
class Cluster:
    """A cluster, of which some nodes are known.

    There is only one key, so no map of slots is needed: a node answers, or redirects. After an error, the known nodes
    are asked in turn, and then the node that had the key last.

    :ivar seeds: the known nodes.
    :ivar login: connects to nodes.
    """

    # required parameters
    seeds: tuple[Server, ...]
    login: Login

    # internal state
    server: Server | UnixServer | None = None
    _order: deque[Server] = field(init=False)
    _connection: Connection | None = None
    _connected_to: Server | None = None
    _trail: Trail = field(init=False)
    _spent: SpentErrors = field(default_factory=SpentErrors)

    def __post_init__(self) -> None:
        self._order = deque(self.seeds)
        self._trail = Trail(self.login)

    async def ask(self, *command: object, allowance: int = SMALL_REPLY) -> Reply:
        """Servers API."""
        if self._connection is None or not self._connection.connected:
            await self._connect_to_any()
        for _ in range(MAX_REDIRECTIONS):
            assert self._connection is not None
            try:
                reply = await self._connection.ask(*command, allowance=allowance)
            except RefusedError as error:
                kind, server = self._redirection(error)
            else:
                self.server = self._connected_to
                return reply
            if kind == "ASK":
                # The key is being migrated to that node. The slot, and later commands, still belong to this node.
                return await self._ask_once(server, command, allowance)
            self.close()
            await self._connect(server)
        raise SourceError(f"the nodes have sent the question on {MAX_REDIRECTIONS} times")

    async def moved(self) -> Server | None:
        """Servers API."""
        if self._connection is None or not self._connection.connected:
            return None
        return await self._trail.moved_by_now()

    def anew(self, first: Server) -> Cluster:
        """Servers API."""
        # Otherwise in the current order.
        return Cluster(tuple(sorted(self._order, key=lambda seed: seed != first)), self.login, self.server)

    def close(self) -> None:
        """Servers API."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

    async def _connect_to_any(self) -> None:
        self._spent.forget()
        why = SourceError("there are no nodes")
        last = (self.server,) if isinstance(self.server, Server) and self.server not in self.seeds else ()
        for server in (*self._order, *last):
            # Before connecting: if the attempt is cancelled, the next one begins with another node.
            if server is self._order[0]:
                self._order.rotate(-1)
            self._trail.begin()
            try:
                connecting = Deferred.fromCoroutine(self._connect(server))
                await connecting.addTimeout(SEED_TIMEOUT_S, self.login.reactor, too_slow)
            except SourceError as error:
                self._spent.add(error)
                why = SourceError(f"the node {server}: {error}")
            else:
                return
        raise why

    async def _connect(self, server: Server) -> None:
        self._connection, self._connected_to = await self.login.connect(server, Connection), server
        self._trail.note(server, self._connection)

    async def _ask_once(self, server: Server, command: tuple[object, ...], allowance: int) -> Reply:
        connection = await self.login.connect(server, Connection)
        try:
            await connection.ask("ASKING")
            return await connection.ask(*command, allowance=allowance)
        finally:
            connection.abort()

    def _redirection(self, error: RefusedError) -> tuple[str, Server]:
        """Gives the kind and the target of a redirection.

        :raises RefusedError: the error itself, if it is not a redirection.
        """
        match = _REDIRECTION.fullmatch(error.text)
        if match is None or match["host"] == "?" or not 0 < int(match["port"]) <= 0xFFFF:  # noqa: PLR2004
            raise error
        assert self._connected_to is not None
        # Without a host, the target is on the host of the node that was asked.
        return match["kind"], Server(match["host"] or self._connected_to.host, int(match["port"]))
