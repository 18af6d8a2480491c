"""The master of a group that sentinels monitor: found by the group's name, and verified to be a master."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from livefeed.exceptions import SourceError, SpentErrors
from livefeed.sources.redis.connection import SMALL_REPLY, Connection, Login, Server, too_slow
from livefeed.sources.redis.trail import Trail

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.sources.redis.connection import UnixServer
    from livefeed.sources.redis.replies import Reply

SENTINEL_TIMEOUT_S = 0.5
"""Seconds that one sentinel may take. A pull has one second, in which a hanging sentinel must leave time for others."""

ROLE_REPLY = 16384
"""Largest size of the reply to ``ROLE`` in bytes. A master lists all its replicas."""

_PORTS = range(1, 0x10000)


@dataclass(slots=True)
class Sentinels:
    """The master of a group of servers, which sentinels name.

    Each pull asks the server for its role first, so that an old master that has become a replica is left at once. The
    sentinel with the right answer is asked first the next time, and one that hangs last.

    :ivar name: the group's name.
    :ivar sentinels: the sentinels.
    :ivar sentinel_login: connects to sentinels.
    :ivar login: connects to the master.
    :ivar found: called with the sentinel each time that one has named the right master.
    """

    # required parameters
    name: str
    sentinels: tuple[Server, ...]
    sentinel_login: Login
    login: Login
    found: Callable[[Server], None] = field(default=lambda _sentinel: None, repr=False)

    # internal state
    server: Server | UnixServer | None = None
    _order: deque[Server] = field(init=False)
    _connection: Connection | None = None
    _trail: Trail = field(init=False)
    _spent: SpentErrors = field(default_factory=SpentErrors)

    def __post_init__(self) -> None:
        self._order = deque(self.sentinels)
        self._trail = Trail(self.login)

    async def ask(self, *command: object, allowance: int = SMALL_REPLY) -> Reply:
        """Servers API."""
        if self._connection is None or not self._connection.connected:
            await self._find()
        elif not await _is_master(self._connection):
            self.close()
            await self._find()
        assert self._connection is not None
        return await self._connection.ask(*command, allowance=allowance)

    async def moved(self) -> Server | None:
        """Servers API."""
        if self._connection is None or not self._connection.connected:
            return None
        return await self._trail.moved_by_now()

    def anew(self, first: Server) -> Sentinels:
        """Servers API."""
        sentinels = sorted(self._order, key=lambda sentinel: sentinel != first)
        return Sentinels(self.name, tuple(sentinels), self.sentinel_login, self.login, self.found)

    def close(self) -> None:
        """Servers API."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

    async def _find(self) -> None:
        self._spent.forget()
        why = SourceError("there are no sentinels")
        for sentinel in tuple(self._order):
            # Before connecting: if the attempt is cancelled, the next one begins with another sentinel.
            self._order.rotate(-1)
            self._trail.begin()
            try:
                server = await self._ask_sentinel(sentinel)
            except SourceError as error:
                self._spent.add(error)
                why = SourceError(f"the sentinel {sentinel}: {error}")
                continue
            try:
                connection = await self.login.connect(server, Connection)
                if not await _is_master_or_end(connection):
                    raise SourceError("it is not a master")  # noqa: TRY301
            except SourceError as error:
                self._spent.add(error)
                why = SourceError(f"the master {server}, says {sentinel}: {error}")
                continue
            self._connection, self.server = connection, server
            self._trail.note(server, connection)
            self._order.rotate(1)
            self.found(sentinel)
            return
        raise why

    async def _ask_sentinel(self, sentinel: Server) -> Server:
        asking = Deferred.fromCoroutine(self._master_by(sentinel))
        reply = await asking.addTimeout(SENTINEL_TIMEOUT_S, self.login.reactor, too_slow)
        if reply is None:
            raise SourceError("it knows no master of this name")
        server = _server_of(reply)
        if server is None:
            raise SourceError("the answer is not an address")
        return server

    async def _master_by(self, sentinel: Server) -> Reply:
        connection = await self.sentinel_login.connect(sentinel, Connection)
        self._trail.note(sentinel, connection)
        try:
            return await connection.ask("SENTINEL", "get-master-addr-by-name", self.name)
        finally:
            connection.abort()


def _server_of(reply: Reply) -> Server | None:
    match reply:
        case [bytes(host), bytes(port)] if host and port.isdigit() and len(port) <= 5 and int(port) in _PORTS:  # noqa: PLR2004
            return Server(host.decode("utf-8", "backslashreplace"), int(port))
        case _:
            return None


async def _is_master(connection: Connection) -> bool:
    match await connection.ask("ROLE", allowance=ROLE_REPLY):
        case [b"master", *_]:
            return True
        case _:
            return False


async def _is_master_or_end(connection: Connection) -> bool:
    """Tells whether the server is a master. If it is not, or if the query fails, its connection is ended."""
    is_master = False
    try:
        is_master = await _is_master(connection)
    finally:
        if not is_master:
            connection.abort()
    return is_master
