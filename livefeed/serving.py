"""Everything of a process that holds connections: the site, the transport, and their orderly end.

A process without workers has one of these, and so does each worker. It knows no source.
"""

from __future__ import annotations

import select
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from livefeed.config.settings import Settings
from livefeed.delivery.root import Root
from livefeed.delivery.websocket.protocol import SubscriberFactory
from livefeed.exceptions import option_of
from livefeed.process.capacity import MemoryWatch
from livefeed.process.drain import Drain, DrainTimes
from livefeed.process.limits import FileLimit
from livefeed.process.memory import Collector
from livefeed.threads import defer_to_new_thread
from livefeed.web.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from twisted.application.service import IService
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import (
        IReactorCore,
        IReactorFDSet,
        IReactorFromThreads,
        IReactorSSL,
        IReactorTCP,
        IReactorTime,
        IReactorUNIX,
    )

    from livefeed.process.drain import DrainedFeed
    from livefeed.process.endpoints import ListeningReactor
    from livefeed.transport.pool import Pool

    class ServiceReactor(
        IReactorCore, IReactorTime, IReactorFDSet, IReactorFromThreads, IReactorTCP, IReactorSSL, IReactorUNIX
    ):
        """The parts of a reactor that the services use."""


_log = Logger()


@dataclass(eq=False)
class Serving:
    """The connections of a process.

    :param settings: the operator's settings.
    :param reactor: the reactor of the process.
    :ivar subscribers: makes the protocols of WebSockets, and has all that are open.
    :ivar root: the resources of all feeds.
    :ivar site: the connections of HTTP.
    :ivar listening: the reactor for endpoints: the pool's, or the reactor itself with Twisted's transport.
    :ivar pool: the connections of the fast transport; ``None`` with Twisted's transport.
    :ivar reserved_files: the number of open files that the pool sets aside for everything but connections; ``None``
        with Twisted's transport.
    :ivar in_thread: calls a function in a thread of its own.
    """

    # required parameters
    settings: Settings
    reactor: ServiceReactor

    # internal state
    subscribers: SubscriberFactory = field(init=False)
    root: Root = field(init=False)
    site: Site = field(init=False)
    listening: ListeningReactor = field(init=False)
    pool: Pool | None = field(init=False)
    reserved_files: int | None = field(init=False)
    in_thread: Callable[..., Deferred[Any]] = field(init=False)

    def __post_init__(self) -> None:
        settings, reactor = self.settings, self.reactor
        self.subscribers = SubscriberFactory(reactor=reactor)
        self.root = Root()
        self.site = Site(
            self.root,
            reactor=reactor,
            head_timeout_s=settings.head_timeout,
            max_head_bytes=settings.max_head_bytes,
            idle_timeout_s=settings.idle_timeout,
        )
        self.in_thread = partial(defer_to_new_thread, reactor)
        self.listening, self.pool, self.reserved_files = _transport(settings, reactor)

    def drain(self, feeds: Iterable[DrainedFeed], stop_listening: Callable[[], Any] = lambda: None) -> Drain:
        """Makes the service that ends the connections in order when the process stops.

        :param feeds: the feeds that are served; read again at each use.
        :param stop_listening: closes the listening sockets of watchers; it may give a Deferred.
        """
        settings = self.settings
        times = DrainTimes(settings.drain_delay, settings.drain, settings.return_after)
        return Drain(self.site, self.subscribers, feeds, self.pool, self.reactor, times, stop_listening)

    def memory_watch(self, workers: int = 1) -> MemoryWatch | None:
        """Makes the service that limits the connections by memory, to be started after the listeners.

        :param workers: the number of processes that share the memory.
        :returns: ``None`` with Twisted's transport, which has no such limit.
        """
        return None if self.pool is None else MemoryWatch(self.pool, self.reactor, workers=workers)

    def process_services(self, drain: Drain) -> tuple[IService, Collector]:
        """Makes the services for the limit of open files, and for the garbage collector."""
        return FileLimit(self.reserved_files), Collector(drain.count, self.reactor)


def _transport(settings: Settings, reactor: ServiceReactor) -> tuple[ListeningReactor, Pool | None, int | None]:
    """Makes the transport.

    :returns: the reactor for endpoints, the pool of connections, and the number of open files that the pool sets aside
        for everything but connections; the last two are ``None`` with Twisted's transport.
    """
    if settings.transport == "twisted":
        for name in ("max_connections", "accept_rate", "handshake_timeout"):
            if getattr(settings, name) != getattr(Settings(), name):
                _log.warn("{option} has no effect: only the fast transport has this limit", option=option_of(name))
        return reactor, None, None
    if not hasattr(select, "epoll"):
        _log.warn("there is no epoll on this system: Twisted's transport is used instead of the fast one")
        return reactor, None, None
    from livefeed.transport.endpoint import PoolReactor
    from livefeed.transport.pool import NO_LIMIT, RESERVED_FILES, Limits, Pool

    limits = Limits(
        connections=settings.max_connections,
        accept_rate=NO_LIMIT if settings.accept_rate == "none" else settings.accept_rate,
        handshake_s=settings.handshake_timeout,
        idle_s=settings.idle_timeout,
    )
    pool = Pool(reactor, limits)
    return PoolReactor(pool), pool, RESERVED_FILES
