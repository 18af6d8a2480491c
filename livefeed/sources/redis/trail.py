"""The host names on the way to a kept connection: the address of each, and whether it leads elsewhere by now."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twisted.internet.error import DNSLookupError

from livefeed.exceptions import SourceError, SpentErrors
from livefeed.sources.names import MAX_AGE_S, is_address
from livefeed.sources.redis.connection import Server, too_slow

if TYPE_CHECKING:
    from livefeed.sources.redis.connection import Connection, Login, UnixServer

LOOK_UP_TIMEOUT_S = 0.5
"""Seconds that a pull waits for names if it comes long after the last one. A pull may have only a second."""


@dataclass(slots=True)
class _Step:
    """One server on the way.

    :ivar address: the IP address to which its name led.
    :ivar checked_at: the time of the last look-up by the clock, in seconds.
    """

    server: Server
    address: str
    checked_at: float

    def has_moved(self, addresses: tuple[str, ...], now: float) -> bool:
        """Notes the current addresses of the name, and tells whether it leads elsewhere."""
        self.checked_at = now
        return self.address not in addresses


@dataclass(slots=True)
class Trail:
    """The servers on the way to a kept connection: its server, and the server that has named it, if there is one.

    An old server may answer for a long time after its name leads elsewhere. So each name is looked up again every
    ``MAX_AGE_S``, in the background, so that a silent name server delays nothing. Servers with an IP address or a
    socket do not move.

    :ivar login: resolves the names, and has the clock.
    """

    # required parameters
    login: Login

    # internal state
    _steps: list[_Step] = field(default_factory=list)
    _asked_at: float = 0.0
    _spent: SpentErrors = field(default_factory=SpentErrors)

    def begin(self) -> None:
        """Forgets all servers, at the beginning of another connection."""
        self._steps.clear()
        self._asked_at = self.login.reactor.seconds()

    def note(self, server: Server | UnixServer, connection: Connection) -> None:
        """Notes a server that has just been connected to."""
        if isinstance(server, Server) and not is_address(server.host):
            address = connection.transport.getPeer().host
            # A cluster may redirect any number of times. The first node and the last one are kept.
            del self._steps[1:]
            self._steps.append(_Step(server, address, self.login.reactor.seconds()))

    def moved(self) -> Server | None:
        """Gives a server whose name leads elsewhere; ``None`` if none is known to."""
        now = self._asked_at = self.login.reactor.seconds()
        for step in self._due(now):
            addresses = self.login.names.renewed(step.server.host)
            if addresses is not None and step.has_moved(addresses, now):
                return step.server
        return None

    async def moved_by_now(self) -> Server | None:
        """Does the same as :meth:`moved`, but waits for the names if the last check was long ago."""
        now = self.login.reactor.seconds()
        if now - self._asked_at < MAX_AGE_S:
            return self.moved()
        self._asked_at = now
        self._spent.forget()
        for step in self._due(now):
            try:
                self.login.names.forget(step.server.host)
                looking_up = self.login.names.resolve(step.server.host)
                addresses = await looking_up.addTimeout(LOOK_UP_TIMEOUT_S, self.login.reactor, too_slow)
            except (DNSLookupError, OSError, SourceError) as error:
                self._spent.add(error)
                return None
            if step.has_moved(addresses, now):
                return step.server
        return None

    def _due(self, now: float) -> list[_Step]:
        return [step for step in self._steps if now - step.checked_at >= MAX_AGE_S]
