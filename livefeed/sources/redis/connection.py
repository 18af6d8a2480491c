"""One connection to a server of Redis: how it is made, and how one question after the other is asked on it."""

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

ResultT = TypeVar("ResultT")

SMALL_REPLY = 1024
"""So many bytes a reply may have in which there is no document."""

_ENDED = "the connection was lost"
_SHOWN = 200  # characters of what a server says


class RefusedError(SourceError):
    """The server answered with an error.

    :param said: what it said, without credentials.
    """

    def __init__(self, said: str) -> None:
        super().__init__(f"Redis says: {said}")
        self.said = said


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is reached by TCP. Its text is ``host:port``."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixServer:
    """A server that is reached by a socket in the file system."""

    path: str

    def __str__(self) -> str:
        return os.fsencode(self.path).decode("utf-8", "backslashreplace")


class Connection(txredisapi.RedisProtocol):  # type: ignore[misc]
    """A connection that is ended rather than believed when its peer sends too much, or what is not Redis.

    Commands and their queue are txredisapi's. Reading is not: there, each element of a list takes a turn of the
    global reactor and a copy of all that is left.

    :param secrets: what is kept out of all messages.
    :ivar allowance: the bytes that it may still receive.
    """

    allowance = SMALL_REPLY

    def __init__(self, secrets: tuple[str, ...] = ()) -> None:
        super().__init__(charset=None, convertNumbers=False)
        self._secrets = secrets
        self._replies = ReplyReader()
        self._why_lost = _ENDED

    @property
    def was_ended(self) -> bool:
        """Whether it has ended, and not for anything that the server said."""
        return not self.connected and self._why_lost == _ENDED

    async def ask(self, *command: object, allowance: int = SMALL_REPLY) -> Reply:
        """Sends a command, and gives the reply.

        :param allowance: the bytes that the reply may have.
        :raises RefusedError: if the reply is an error.
        :raises SourceError: if the connection ends before it is there.
        """
        self.allowance = allowance
        try:
            reply: Reply = await self.execute_command(*command)
        except txredisapi.ConnectionError:
            raise SourceError(self._why_lost) from None
        if isinstance(reply, ErrorReply):
            raise RefusedError(self._shown(reply.said))
        return reply

    def begin(self, *command: object) -> Deferred[Reply]:
        """Sends a command in front of one that is asked at once, whose allowance holds for both replies.

        It gives the reply, which may be an error, and fails if the connection ends.
        """
        begun: Deferred[Reply] = self.execute_command(*command)
        return begun.addCallback(self._without_secrets)

    def abort(self) -> None:
        """Ends the connection at once, if it has not ended. Whatever waits for a reply fails."""
        if self.connected:
            # Twisted's TLS cannot be told so once more.
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
            # To keep it would take it for the answer to the next question.
            self._give_up("Redis answered what it was not asked")

    def connectionLost(self, why: Failure) -> None:
        """IProtocol API."""
        if why.check(VerificationError):
            self._why_lost = "cannot connect: the certificate is not one for this host"
        elif why.check(SSL.Error):
            self._why_lost = f"cannot connect: TLS: {_reason_of(why.value)}"
        # There each one is told by raising in its callbacks, and what was not waited for any more stays in a cycle.
        waiting, self.replyQueue.waiting = self.replyQueue.waiting, []
        super().connectionLost(why)
        for reply in waiting:
            reply.addErrback(lambda _: None)
            reply.errback(txredisapi.ConnectionError("Lost connection"))

    def _without_secrets(self, reply: Reply) -> Reply:
        return ErrorReply(self._shown(reply.said)) if isinstance(reply, ErrorReply) else reply

    def _give_up(self, why: str) -> None:
        self._why_lost = why
        self.abort()

    def _shown(self, said: str) -> str:
        for secret in self._secrets:
            said = said.replace(secret, "***")
        return first_line(said)[:_SHOWN] if said.strip() else ""


def too_slow(result: ResultT | Failure, timeout_s: float) -> ResultT:
    """Takes the place of whatever comes of being cancelled, as the callback of a Deferred's timeout.

    :raises SourceError: if there was no result; its cause is the cancellation, which has frames to be forgotten.
    """
    if isinstance(result, Failure):
        raise SourceError(f"no answer within {timeout_s:g} s") from result.value
    return result


ConnectionT = TypeVar("ConnectionT", bound=Connection)


@dataclass(frozen=True, slots=True)
class TLS:
    """What the peer's certificate is verified with, and what this side shows.

    :ivar authorities: the CAs that are trusted; none for those of the system.
    :ivar own: a certificate to show, with its key.
    """

    authorities: tuple[Certificate, ...] = ()
    own: PrivateCertificate | None = field(default=None, repr=False)

    def wrap(self, endpoint: IStreamClientEndpoint, host: str) -> IStreamClientEndpoint:
        """Gives an endpoint that connects with TLS, names the host, and verifies that it is that one.

        :raises SourceError: if no certificate can be for such a host.
        """
        trust = trustRootFromCertificates(self.authorities) if self.authorities else None
        options = verified(host, trustRoot=trust, clientCertificate=self.own)
        return wrapClientTLS(options, endpoint)


@dataclass(frozen=True, slots=True)
class Login:
    """How a server is connected to, and as whom.

    :ivar names: what resolves the host.
    :ivar username: an ACL user; ``None`` for the default one.
    :ivar password: ``None`` if the server asks for none.
    :ivar database: the number to ``SELECT``; ``None`` where there is but one.
    :ivar tls: ``None`` for none.
    """

    reactor: IReactorTime
    names: Names
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    database: int | None = None
    tls: TLS | None = None

    async def connect(self, server: Server | UnixServer, kind: type[ConnectionT]) -> ConnectionT:
        """Gives a connection on which questions may be asked.

        :raises SourceError: if there is none; nothing is left open then.
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
            # A connection begins with 0, and proxies without SELECT have no other.
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
            # A server that does not know the command repeats it.
            raise RefusedError(error.said.partition(", with args")[0]) from None

    def _endpoint(self, server: Server | UnixServer) -> IStreamClientEndpoint:
        if isinstance(server, UnixServer):
            freeing = cast("Any", FreeingReactor(self.reactor))
            return UNIXClientEndpoint(freeing, server.path, timeout=CONNECT_TIMEOUT_S)
        # It may have been found one tick ago, and a tick may be an hour.
        self.names.forget(server.host)
        endpoint: IStreamClientEndpoint = NamedEndpoint(self.reactor, self.names, server.host, server.port)
        return endpoint if self.tls is None else self.tls.wrap(endpoint, server.host)


def _reason_of(error: Any) -> str:
    """Gives what OpenSSL says, of which the last is what it came to."""
    stack = error.args[0] if error.args else ()
    return str(stack[-1][-1]) if stack and isinstance(stack, list | tuple) else "the connection was lost"
