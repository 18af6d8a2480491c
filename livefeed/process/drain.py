"""The orderly end of all connections when the process stops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from livefeed.web.reconnect_slots import ReconnectSlots

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence, Sized

    from twisted.internet.interfaces import IReactorTime

DRAIN_S = 3.0
"""Seconds that requests in progress and closing handshakes may take after livefeed was told to stop."""

_POLL_S = 0.05
"""Seconds between two checks whether all connections have ended."""


class Draining(Protocol):
    """A connection of HTTP that can end in order."""

    def drain(self) -> Any:
        """Ends the connection after the request in progress, at once if there is none."""


class Channels(Protocol):
    """The connections of HTTP; livefeed's ``Site``."""

    @property
    def channels(self) -> Collection[Draining]:
        """The open connections."""


class OpenSockets(Protocol):
    """The WebSockets that are open."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


class Subscribers(Protocol):
    """The WebSockets of all feeds; livefeed's ``SubscriberFactory``."""

    @property
    def protocols_open(self) -> OpenSockets:
        """The open WebSockets."""

    def let_go(self) -> None:
        """Sends all WebSockets away, each to a time slot of its own, and accepts no more."""


class DrainedFeed(Protocol):
    """A feed, as far as its connections must be ended."""

    def streams(self) -> Sequence[Any]:
        """Gives the open event streams."""

    def let_go(self, slots: ReconnectSlots) -> None:
        """Ends the event streams and answers the waiting requests."""


class Connections(Protocol):
    """The connections of the fast transport; livefeed's ``Pool``."""

    @property
    def connections(self) -> Sized:
        """The open connections."""

    def end_idle(self) -> None:
        """Closes the connections without a request."""


@dataclass(eq=False)
class Drain(Service):
    """Ends all connections when livefeed stops: answers requests, sends subscribers away, then cuts the others off.

    Subscribers are told slots at which they reconnect, so that they do not all reconnect at once.

    :ivar feeds: the feeds; read again at each use.
    :ivar pool: the connections of the fast transport; ``None`` with Twisted's transport.
    """

    # required parameters
    site: Channels
    subscribers: Subscribers
    feeds: Iterable[DrainedFeed]
    pool: Connections | None
    clock: IReactorTime

    def count(self) -> int:
        """Gives the number of open connections."""
        if self.pool is not None:
            return len(self.pool.connections)
        return len(self.subscribers.protocols_open) + len(self._streams()) + len(self.site.channels)

    def stopService(self) -> Deferred[None]:
        """IService API. The Deferred fires when all connections have ended, after :data:`DRAIN_S` at the latest."""
        super().stopService()
        return Deferred.fromCoroutine(self._drain())

    async def _drain(self) -> None:
        self.subscribers.let_go()
        # One for all feeds. With one for each feed, the first clients of all feeds would reconnect at the same moment.
        slots = ReconnectSlots()
        for feed in self.feeds:
            feed.let_go(slots)
        for channel in tuple(self.site.channels):
            channel.drain()
        if self.pool is not None:
            self.pool.end_idle()
        deadline = self.clock.seconds() + DRAIN_S
        while self.count() and self.clock.seconds() < deadline:
            await deferLater(self.clock, _POLL_S)
        left: list[Any] = [*self.subscribers.protocols_open, *self._streams(), *self.site.channels]
        for protocol in left:
            protocol.transport.abortConnection()

    def _streams(self) -> list[Any]:
        return [stream for feed in self.feeds for stream in feed.streams()]
