"""The second connection, on which Redis announces changes (``SUBSCRIBE``)."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from livefeed.exceptions import SourceError, SpentErrors
from livefeed.sources.redis.connection import SMALL_REPLY, Connection, Login, Server, UnixServer, too_slow
from livefeed.sources.redis.trail import Trail

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

    from livefeed.sources.redis.replies import Reply

FIRST_RETRY_S = 0.25
LAST_RETRY_S = 8.0
"""Seconds from one attempt to connect to the next. They double from the first value to the last one, and a random part
of up to a half is subtracted."""

ATTEMPT_S = 5.0
"""Seconds that an attempt may take."""

CHECK_S = 15.0
"""Seconds between two checks of the connection, by another ``SUBSCRIBE``. Without an answer until the next check, the
connection is ended."""

_log = Logger()


class _Listener(Connection):
    """A connection that receives messages.

    :ivar heard: called with each message.
    :ivar lost: called once with the reason, when the connection has ended.
    """

    message_bytes = SMALL_REPLY
    is_alive = True
    heard: Callable[[bytes], None]
    lost: Callable[[str], None] | None = None

    def replyReceived(self, reply: Reply | Exception) -> None:
        """RedisProtocol API."""
        self.is_alive = True
        match reply:
            case [b"message", bytes(), bytes(message)]:
                self.allowance = self.message_bytes
                self.heard(message)
            case [b"subscribe", *_] if not self.replyQueue.waiting:
                self.allowance = self.message_bytes
            case _:
                super().replyReceived(reply)

    def check(self, channel: bytes) -> None:
        """Checks whether the server still answers, by a command that needs no further permission."""
        if not self.is_alive:
            self.abort()
            return
        self.is_alive = False
        self.transport.write(self._build_command("SUBSCRIBE", channel))

    def connectionLost(self, why: Failure) -> None:
        """IProtocol API."""
        super().connectionLost(why)
        lost, self.lost = self.lost, None
        if lost is not None:
            lost(self._why_lost)


@dataclass(slots=True)
class Announcements:
    """Receives the messages of one channel.

    It reconnects by itself, also if the server's name leads elsewhere by then, and is independent of the source's other
    connection. Each change between receiving and not receiving is logged once.

    :ivar heard: called with each message, and with ``b""`` after connecting, since messages may have been missed.
    :ivar max_bytes: size of the largest message; a larger one ends the connection.
    :ivar event_class: the letter of ``notify-keyspace-events`` that a channel of keyspace events needs; ``""`` for
        other channels.
    """

    # required parameters
    login: Login
    channel: bytes
    heard: Callable[[bytes], None]
    max_bytes: int
    event_class: str = ""

    # internal state
    _server: Server | UnixServer | None = None
    _attempt: Deferred[None] | None = None
    _connection: _Listener | None = None
    _next_call: IDelayedCall | None = None
    _failures: int = 0
    _is_heard: bool | None = None
    _are_events_checked: bool = False
    _is_silent: bool = False
    _trail: Trail = field(init=False)
    _spent: SpentErrors = field(default_factory=SpentErrors)

    def __post_init__(self) -> None:
        self._trail = Trail(self.login)

    def follow(self, server: Server | UnixServer) -> None:
        """Listens to a server from now on. Nothing changes if it is the current one."""
        if server != self._server:
            self.close()
            self._server = server
            self._begin()

    def hurry(self) -> None:
        """Makes a delayed attempt now, since the server is back."""
        if self._server is not None and self._connection is None and self._next_call is not None:
            self._next_call.cancel()
            self._begin()

    def close(self) -> None:
        """Stops listening, until the next call of :meth:`follow`."""
        self._server = None
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.cancel()
        self._leave_connection()

    def _leave_connection(self) -> None:
        if self._next_call is not None:
            self._next_call.cancel()
            self._next_call = None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.lost = None
            connection.abort()

    def _begin(self) -> None:
        self._next_call = None
        self._attempt_to_connect()

    def _attempt_to_connect(self) -> None:
        assert self._server is not None
        self._spent.forget()
        attempt = Deferred.fromCoroutine(self._connect(self._server))
        attempt.addTimeout(ATTEMPT_S, self.login.reactor, too_slow)
        if not attempt.called:
            self._attempt = attempt
        attempt.addErrback(self._note_failed, attempt)

    async def _connect(self, server: Server | UnixServer) -> None:
        connection = await self.login.connect(server, _Listener)
        try:
            connection.heard = self.heard
            await self._check_events(connection)
            await connection.ask("SUBSCRIBE", self.channel)
        except Exception:
            connection.abort()
            raise
        connection.message_bytes = connection.allowance = self.max_bytes + len(self.channel) + SMALL_REPLY
        connection.lost = self._note_lost
        self._leave_connection()
        self._attempt, self._connection = None, connection
        self._trail.begin()
        self._trail.note(server, connection)
        self._next_call = self.login.reactor.callLater(CHECK_S, self._check)
        if not self._is_heard:
            self._is_heard = True
            text = "changes are announced by {server} on {channel}"
            if self._is_silent:
                text = "listening to {server} on {channel}, in case notify-keyspace-events is set later"
            _log.info(text, server=server, channel=self._name)
        self.heard(b"")

    async def _check_events(self, connection: Connection) -> None:
        """Warns once if the server does not announce changes, or if that cannot be found out."""
        if not self.event_class or self._are_events_checked:
            return
        try:
            reply = await connection.ask("CONFIG", "GET", "notify-keyspace-events")
        except SourceError as error:
            if not connection.connected:
                raise
            _log.warn("whether {server} announces changes cannot be known: {why}", server=self._server, why=str(error))
        else:
            match reply:
                case [_, bytes(flags)] if b"K" in flags and (b"A" in flags or self.event_class.encode() in flags):
                    pass
                case _:
                    self._is_silent = True
                    _log.warn(
                        "{server} does not announce changes of the key: notify-keyspace-events must have K and {letter}"
                        " in it, or KA; changes are seen at ticks alone",
                        server=self._server,
                        letter=self.event_class,
                    )
        self._are_events_checked = True

    def _check(self) -> None:
        # Not earlier: a connection that is lost again and again must not be made at once each time.
        self._failures = 0
        self._next_call = self.login.reactor.callLater(CHECK_S, self._check)
        assert self._connection is not None
        self._connection.check(self.channel)
        if self._connection is not None and self._attempt is None and self._trail.moved() is not None:
            # In parallel to the old connection, which is kept if the attempt fails.
            self._attempt_to_connect()

    def _note_lost(self, why: str) -> None:
        self._connection = None
        if self._next_call is not None:
            self._next_call.cancel()
            self._next_call = None
        if self._attempt is None:
            self._retry(why)

    def _note_failed(self, failure: Failure, attempt: Deferred[None]) -> None:
        if self._attempt is not attempt and self._attempt is not None:
            return
        self._attempt = None
        self._spent.add(failure.value)
        if self._server is None:
            return
        why = str(failure.value)
        if not failure.check(SourceError):
            _log.failure("listening for announced changes broke", failure)
            why = "an error inside livefeed"
        if self._connection is None:
            # There is no other connection that continues.
            self._retry(why)

    def _retry(self, why: str) -> None:
        if self._is_heard is not False:
            self._is_heard = False
            text = "changes are not announced by {server} on {channel}: {why}; they are seen at ticks alone"
            _log.warn(text, server=self._server, channel=self._name, why=why)
        wait_s = min(FIRST_RETRY_S * 2**self._failures, LAST_RETRY_S)
        self._failures = min(self._failures + 1, 16)
        # Random, so that processes that have lost the same server do not reconnect at the same moment.
        wait_s *= random.uniform(0.5, 1)  # noqa: S311 - no secret
        self._next_call = cast("Any", self.login.reactor).callLater(wait_s, self._begin)

    @property
    def _name(self) -> str:
        return self.channel.decode("utf-8", "backslashreplace")
