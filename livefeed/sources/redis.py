"""``redis://[user:password@]host[:port]/db/key``, a document in a string of Redis or Valkey."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, unquote_to_bytes

import txredisapi
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Factory

from livefeed.exceptions import ConfigurationError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable
    from urllib.parse import SplitResult

    from twisted.internet.interfaces import IReactorTime

PORT = 6379
CONNECT_TIMEOUT_S = 5

# What a reply is made of besides the document: its length, line ends, and the answers to AUTH and SELECT.
_REPLY_OVERHEAD = 1024
_PATH = re.compile(r"/(?P<db>[0-9]{1,5})/(?P<key>.+)", re.DOTALL)
# The first line of a reply (RESP2): a status or an error, a number, or the length of what follows.
_REPLY = re.compile(r"[+-].*|:-?[0-9]{1,19}|[$*](?:-1|[0-9]{1,10})")
_FORM = "redis://[user:password@]host[:port]/db/key"


class _Redis(txredisapi.RedisProtocol):  # type: ignore[misc]
    """A connection to Redis that is closed rather than believed when its peer sends too much, or not Redis.

    :ivar allowance: the bytes that it may still receive.
    """

    allowance = 0

    def dataReceived(self, data: bytes, *args: Any) -> None:
        """IProtocol API."""
        self.allowance -= len(data)
        if self.allowance < 0:
            self.transport.abortConnection()
            return
        try:
            super().dataReceived(data, *args)
        except (ValueError, LookupError, txredisapi.RedisError):
            self.transport.abortConnection()

    def lineReceived(self, line: str) -> None:
        """LineReceiver API."""
        if line and not _REPLY.fullmatch(line):
            self.transport.abortConnection()
        else:
            super().lineReceived(line)


@dataclass(slots=True)
class RedisSource:
    """Reads a string with ``GETRANGE``, which lets no more come than may be served.

    One connection is kept. It is dropped at any trouble, and the next pull makes another: the tick is the retry.

    :ivar host: host name or address.
    :ivar database: the number to ``SELECT``.
    :ivar key: the key, as bytes.
    :ivar username: an ACL user; ``None`` for the default one.
    :ivar password: ``None`` if the server asks for none.
    :ivar max_bytes: how much is read at most.
    """

    # required parameters
    reactor: IReactorTime
    host: str
    port: int
    database: int
    key: bytes
    username: str | None = field(repr=False)
    password: str | None = field(repr=False)
    max_bytes: int

    # internal state
    _connection: _Redis | None = None

    @classmethod
    def from_url(cls, parts: SplitResult, *, reactor: IReactorTime, max_bytes: int) -> RedisSource:
        """Makes the source of a URL, in which user, password and key are percent-encoded.

        :raises ConfigurationError: if a part is missing or cannot be; the message repeats no part of it.
        """
        path = _PATH.fullmatch(parts.path)
        try:
            port = PORT if parts.port is None else parts.port
        except ValueError:
            port = 0
        if not port:
            raise ConfigurationError(f"the port is not a number from 1 to 65535 in {_FORM}", "source") from None
        if not parts.hostname:
            raise ConfigurationError(f"the host is missing in {_FORM}", "source")
        if path is None:
            raise ConfigurationError(f"the database, a number, or the key is missing in {_FORM}", "source")
        if parts.query or parts.fragment:
            raise ConfigurationError(f"nothing may follow the key in {_FORM}; write ? as %3F and # as %23", "source")
        return cls(
            reactor=reactor,
            host=parts.hostname,
            port=port,
            database=int(path["db"]),
            key=unquote_to_bytes(path["key"]),
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password is not None else None,
            max_bytes=max_bytes,
        )

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"redis://{host}:{self.port}/{self.database}/{self.key.decode('utf-8', 'backslashreplace')}"

    def watch(self, changed: Callable[[], None]) -> None:
        """Source API."""

    async def fetch(self) -> bytes:
        """Source API."""
        try:
            if self._connection is None or not self._connection.connected:
                await self._connect()
            data = await self._ask("GETRANGE", self.key, 0, self.max_bytes)
        except Exception as error:  # a cancelled pull, too, leaves a connection of which nothing is known
            self.close()
            if isinstance(error, txredisapi.ResponseError):
                raise SourceError(f"Redis says: {_first_line(error)}") from None
            if isinstance(error, txredisapi.RedisError):
                raise SourceError("the connection was lost") from None
            if isinstance(error, ConnectError | OSError):
                raise SourceError(f"cannot connect: {_first_line(error)}") from None
            raise
        if not isinstance(data, bytes):
            self.close()
            raise SourceError("the answer is not a string")
        if not data:
            raise SourceError("the key is missing, or holds an empty string")
        return data

    def close(self) -> None:
        """Source API."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.transport.abortConnection()

    async def _connect(self) -> None:
        # charset and convertNumbers: or the document would come back decoded, and 1.50 as the number 1.5.
        factory = Factory.forProtocol(lambda: _Redis(charset=None, convertNumbers=False))
        factory.noisy = False
        endpoint = HostnameEndpoint(cast("Any", self.reactor), self.host, self.port, timeout=CONNECT_TIMEOUT_S)
        self._connection = cast("_Redis", await endpoint.connect(factory))
        if self.password is not None:
            try:
                await self._ask("AUTH", *filter(None, (self.username,)), self.password)
            except txredisapi.ResponseError as error:
                # A server that does not know the command repeats it.
                said = _first_line(error).partition(", with args")[0].replace(self.password, "***")
                raise SourceError(f"Redis says: {said}") from None
        await self._ask("SELECT", self.database)

    async def _ask(self, *command: object) -> object:
        assert self._connection is not None
        self._connection.allowance = self.max_bytes + _REPLY_OVERHEAD
        return await self._connection.execute_command(*command)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]
