"""One connection to a Redis server: making it, logging in, and sending one command after the other."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

import txredisapi
from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.endpoints import UNIXClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Factory
from twisted.internet.ssl import Certificate, PrivateCertificate, trustRootFromCertificates
from twisted.python.failure import Failure

from livefeed.exceptions import SourceError, first_line
from livefeed.sources.connectors import FreeingReactor
from livefeed.sources.names import CONNECT_TIMEOUT_S, NamedEndpoint, Names, verified
from livefeed.sources.redis.replies import ErrorReply, NotRedisError, Reply, ReplyReader

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

    from livefeed.sources.connectors import ConnectingReactor

ResultT = TypeVar("ResultT")

SMALL_REPLY = 1024
"""Largest size in bytes of a reply that contains no document."""

_ENDED = "the connection was lost"
_SHOWN = 200  # characters of a server's message in an error


class RefusedError(SourceError):
    """The server answered with an error.

    :param text: the server's message, without credentials.
    """

    def __init__(self, text: str) -> None:
        super().__init__(f"Redis says: {text}")
        self.text = text


@dataclass(frozen=True, slots=True)
class Server:
    """A server at a TCP address. Its text is ``host:port``."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixServer:
    """A server at a Unix socket. Its text is the path."""

    path: str

    def __str__(self) -> str:
        return os.fsencode(self.path).decode("utf-8", "backslashreplace")


class Connection(txredisapi.RedisProtocol):  # type: ignore[misc]
    """A connection that ends if its peer sends too much, or something else than Redis's protocol.

    txredisapi sends commands and keeps their queue. Replies are read here: in txredisapi, each element of a list takes
    a turn of the global reactor and a copy of all remaining data.

    :param secrets: texts that are removed from all messages.
    :ivar allowance: number of bytes that the connection may still receive.
    """

    allowance = SMALL_REPLY

    def __init__(self, secrets: tuple[str, ...] = ()) -> None:
        super().__init__(charset=None, convertNumbers=False)
        self._secrets = secrets
        self._replies = ReplyReader()
        self._why_lost = _ENDED

    @property
    def was_ended(self) -> bool:
        """Whether the connection has ended for no reason that is known here."""
        return not self.connected and self._why_lost == _ENDED

    async def ask(self, *command: object, allowance: int = SMALL_REPLY) -> Reply:
        """Sends a command, and gives the reply.

        :param allowance: largest size of the reply in bytes.
        :raises RefusedError: if the reply is an error.
        :raises SourceError: if the connection ends before the reply has come.
        """
        self.allowance = allowance
        try:
            reply: Reply = await self.execute_command(*command)
        except txredisapi.ConnectionError:
            raise SourceError(self._why_lost) from None
        if isinstance(reply, ErrorReply):
            raise RefusedError(self._shown(reply.text))
        return reply

    def begin(self, *command: object) -> Deferred[Reply]:
        """Sends a command whose successor is sent at once by :meth:`ask`, with an allowance for both replies.

        The Deferred fires with the reply, which may be an error, and fails if the connection ends.
        """
        begun: Deferred[Reply] = self.execute_command(*command)
        return begun.addCallback(self._without_secrets)

    def abort(self) -> None:
        """Ends the connection at once, if it has not ended. Commands without a reply fail."""
        if self.connected:
            # Twisted's TLS does not allow a second call.
            self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        """IProtocol API."""
        self.allowance -= len(data)
        if self.allowance < 0:
            self._give_up("the answer is larger than it may be (--max-bytes)")
            return
        try:
            for reply in self._replies.feed(data):
                self.replyReceived(reply)
        except NotRedisError:
            self._give_up("what answers there is not Redis")

    def replyReceived(self, reply: Reply | Exception) -> None:
        """RedisProtocol API."""
        if self.replyQueue.waiting:
            super().replyReceived(reply)
        elif not isinstance(reply, Exception):
            # If it were kept, it would be taken for the reply to the next command.
            self._give_up("Redis answered what it was not asked")

    def connectionLost(self, why: Failure) -> None:
        """IProtocol API."""
        if why.check(VerificationError):
            self._why_lost = "cannot connect: the certificate is not one for this host"
        elif why.check(SSL.Error):
            self._why_lost = f"cannot connect: TLS: {_reason_of(why.value)}"
        # txredisapi would raise in the callbacks of each one, and leave a cycle for each that is no longer waited for.
        waiting, self.replyQueue.waiting = self.replyQueue.waiting, []
        super().connectionLost(why)
        for reply in waiting:
            reply.addErrback(lambda _: None)
            reply.errback(txredisapi.ConnectionError("Lost connection"))

    def _without_secrets(self, reply: Reply) -> Reply:
        return ErrorReply(self._shown(reply.text)) if isinstance(reply, ErrorReply) else reply

    def _give_up(self, why: str) -> None:
        self._why_lost = why
        self.abort()

    def _shown(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return first_line(text)[:_SHOWN] if text.strip() else ""


def too_slow(result: ResultT | Failure, timeout_s: float) -> ResultT:
    """Replaces the result of a cancelled Deferred, as the callback of its timeout.

    :raises SourceError: if there is no result. Its cause is the cancellation, whose frames must be forgotten.
    """
    if isinstance(result, Failure):
        raise SourceError(f"no answer within {timeout_s:g} s") from result.value
    return result


ConnectionT = TypeVar("ConnectionT", bound=Connection)


@dataclass(frozen=True, slots=True)
class TLS:
    """The TLS configuration of connections to Redis.

    :ivar authorities: the trusted CAs; empty for those of the system.
    :ivar own: the client certificate with its key; ``None`` for none.
    """

    authorities: tuple[Certificate, ...] = ()
    own: PrivateCertificate | None = field(default=None, repr=False)

    def wrap(self, endpoint: IStreamClientEndpoint, host: str) -> IStreamClientEndpoint:
        """Makes an endpoint that connects with TLS and verifies the server's certificate for the host.

        :raises SourceError: if no certificate can be for such a host.
        """
        trust = trustRootFromCertificates(self.authorities) if self.authorities else None
        options = verified(host, trustRoot=trust, clientCertificate=self.own)
        return wrapClientTLS(options, endpoint)


@dataclass(frozen=True, slots=True)
class Login:
    """Connects to servers, with the user, the password and the database.

    :ivar names: resolves the host.
    :ivar username: the ACL user; ``None`` for the default user.
    :ivar password: the password; ``None`` if the server needs none.
    :ivar database: the number for ``SELECT``; ``None`` if there is only one database.
    :ivar tls: the TLS configuration; ``None`` for connections without TLS.
    """

    reactor: IReactorTime
    names: Names
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    database: int | None = None
    tls: TLS | None = None

    async def connect(self, server: Server | UnixServer, kind: type[ConnectionT]) -> ConnectionT:
        """Makes a connection that is ready for commands.

        :raises SourceError: if it cannot be made. Nothing is left open then.
        """
        secrets = () if not self.password else (self.password,)
        factory = Factory.forProtocol(lambda: kind(secrets))
        factory.noisy = False
        try:
            connection = cast("ConnectionT", await self._endpoint(server).connect(factory))
        except (ConnectError, OSError) as error:
            raise SourceError(f"cannot connect: {first_line(error)[:_SHOWN]}") from None
        try:
            if self.password is not None:
                await self._authenticate(connection, self.password)
            # A connection begins with database 0, the only one of proxies that do not know SELECT.
            if self.database:
                await connection.ask("SELECT", self.database)
        except Exception:
            connection.abort()
            raise
        return connection

    async def _authenticate(self, connection: Connection, password: str) -> None:
        try:
            await connection.ask("AUTH", *filter(None, (self.username,)), password)
        except RefusedError as error:
            # A server that does not know the command repeats its arguments, among them the password.
            raise RefusedError(error.text.partition(", with args")[0]) from None

    def _endpoint(self, server: Server | UnixServer) -> IStreamClientEndpoint:
        if isinstance(server, UnixServer):
            freeing = cast("Any", FreeingReactor(cast("ConnectingReactor", self.reactor)))
            return UNIXClientEndpoint(freeing, server.path, timeout=CONNECT_TIMEOUT_S)
        # The addresses may have been found one tick ago, and a tick may be an hour.
        self.names.forget(server.host)
        endpoint: IStreamClientEndpoint = NamedEndpoint(self.reactor, self.names, server.host, server.port)
        return endpoint if self.tls is None else self.tls.wrap(endpoint, server.host)


def _reason_of(error: Any) -> str:
    """Gives the last message of OpenSSL's error stack."""
    stack = error.args[0] if error.args else ()
    return str(stack[-1][-1]) if stack and isinstance(stack, list | tuple) else "the connection was lost"
