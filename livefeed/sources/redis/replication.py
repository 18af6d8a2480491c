"""Whether a server is a replica that has lost its master: such a server still answers, with old data.

The state is asked for before the document, in the same packet, so that a pull takes no further round trip. The document
is then at least as new as the state that vouches for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from twisted.logger import Logger

from livefeed.exceptions import SourceError
from livefeed.sources.redis.replies import ErrorReply

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from livefeed.sources.redis.connection import Connection, Server, UnixServer
    from livefeed.sources.redis.replies import Reply

CHECK_S = 0.5
"""Shortest time in seconds between two queries of the state while it is good. Announced changes may come every 20 ms,
and INFO takes 16 µs in Redis and 64 µs in livefeed. While the master is lost, each pull asks."""

RETRY_S = 300.0
"""Seconds until a server that refuses the query is asked again on the same connection, since its ACL LOG contains each
refusal."""

INFO_REPLY = 65_536
"""Largest size of the state in bytes. A master has a line of 100 bytes for each replica."""

_SHOWN = 100  # characters of a master's name, and of an error

_log = Logger()


class LostMasterError(SourceError):
    """The server is a replica without its master, and its document may be old. The connection is good."""


@dataclass(slots=True)
class Replication:
    """Asks one server for documents, and refuses them while the server is a replica that has lost its master.

    A server that does not tell its state is trusted, and the log says so once.

    :ivar server: the server, for the log.
    :ivar was_fatal: whether the query of the state may have ended the last connection. Some proxies end it after
        commands that they do not know.
    """

    # required parameters
    server: Server | UnixServer
    clock: IReactorTime

    # internal state
    was_fatal: bool = False
    _connection: Connection | None = field(default=None, repr=False)
    _due_at: float = -inf
    _has_answered: bool = False
    _why_lost: str = ""
    _why_unknown: str = ""

    async def ask(self, connection: Connection, *command: object, allowance: int) -> Reply:
        """Gives the reply to a command.

        :raises LostMasterError: if the server is a replica that has lost its master.
        :raises SourceError: as :meth:`Connection.ask` does.
        """
        self.was_fatal = False
        if connection is not self._connection:
            self._connection, self._due_at = connection, -inf
        now = self.clock.seconds()
        if now < self._due_at and not self._why_lost:
            return await connection.ask(*command, allowance=allowance)
        states: list[Reply] = []

        def note(state: Reply) -> None:
            states.append(state)
            # The document may not use the rest of the state's allowance.
            connection.allowance -= INFO_REPLY - (len(state) if isinstance(state, bytes) else 0)

        connection.begin("INFO", "replication").addCallbacks(note, lambda _: None)
        try:
            reply = await connection.ask(*command, allowance=allowance + INFO_REPLY)
        except SourceError:
            self.was_fatal = connection.was_ended and not (states or self._has_answered)
            raise
        self._note(states[0], now)
        if self._why_lost:
            raise LostMasterError(self._why_lost)
        return reply

    async def ask_without(self, connection: Connection, *command: object, allowance: int) -> Reply:
        """Gives the reply to a command on a new connection, without a query of the state, now or later."""
        reply = await connection.ask(*command, allowance=allowance)
        self._connection, self._due_at = connection, inf
        self._note_unknown("it ends the connection when it is asked")
        return reply

    def _note(self, state: Reply, now: float) -> None:
        self._has_answered, self._due_at = True, now + CHECK_S
        facts = _facts_of(state)
        match facts.get(b"role"), facts.get(b"master_link_status"):
            case ((b"slave" | b"replica"), b"down"):
                # The text stays the same while the master is lost. Otherwise each pull would log a line.
                self._why_lost = self._why_lost or _loss_of(facts)
                self._why_unknown = ""
            case ((b"slave" | b"replica"), b"up") | ((b"master" | b"active-replica"), _):
                self._why_lost = self._why_unknown = ""
            case _:
                self._why_lost, self._due_at = "", now + RETRY_S
                refusal = f"Redis says: {state.text}"[:_SHOWN] if isinstance(state, ErrorReply) else ""
                self._note_unknown(refusal or "its answer to INFO does not say so")

    def _note_unknown(self, why: str) -> None:
        if why != self._why_unknown:
            self._why_unknown = why
            text = "whether {server} is a replica that has lost its master cannot be known, and is ignored: {why}"
            _log.warn(text, server=self.server, why=why)


def _facts_of(state: Reply) -> dict[bytes, bytes]:
    if not isinstance(state, bytes):
        return {}
    pairs = (line.partition(b":") for line in state.splitlines())
    return {name: value for name, _, value in pairs}


def _loss_of(facts: dict[bytes, bytes]) -> str:
    host, port = (
        facts.get(name, b"?").decode("utf-8", "backslashreplace") for name in (b"master_host", b"master_port")
    )
    since = facts.get(b"master_link_down_since_seconds", b"")
    duration = f"for {int(since)} s" if since.isdigit() and len(since) < 10 else "and was never up"  # noqa: PLR2004
    return f"the replica has lost its master {f'{host}:{port}'[:_SHOWN]}: master_link_status is down, {duration}"
