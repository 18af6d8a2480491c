"""Everything of a process that holds connections: the site, the transport, and their orderly end.

A process without workers has one of these, and so does each worker. It knows no source.
"""

from __future__ import annotations

import select
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.application.service import MultiService
from twisted.logger import Logger

from livefeed import clocks
from livefeed.admin.metrics import Figures
from livefeed.auth.material import Material
from livefeed.config.settings import Settings
from livefeed.delivery.pages import PageOptions
from livefeed.delivery.root import Root
from livefeed.delivery.websocket.protocol import SubscriberFactory
from livefeed.exceptions import option_of
from livefeed.process.capacity import MemoryWatch
from livefeed.process.descriptions import PROXIED
from livefeed.process.drain import Drain, DrainTimes
from livefeed.process.limits import FileLimit
from livefeed.process.memory import Collector
from livefeed.process.reload import SimplePart
from livefeed.process.signals import reopen_logs
from livefeed.threads import defer_to_new_thread
from livefeed.transport.address_limits import AddressLimits, Refusals
from livefeed.transport.addresses import Networks
from livefeed.web.failures import Failures
from livefeed.web.forwarded import Forwarded
from livefeed.web.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from twisted.application.service import IService
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import (
        IReactorFDSet,
        IReactorSSL,
        IReactorTCP,
        IReactorTime,
        IReactorUNIX,
    )

    from livefeed.admin.curves import Curves
    from livefeed.admin.metrics import PulledFeed, ServedFeed
    from livefeed.process.drain import DrainedFeed
    from livefeed.process.endpoints import ListeningReactor
    from livefeed.process.line_writer import LineWriter, WriterReactor
    from livefeed.process.loop_lag import LoopLag
    from livefeed.tls.options import ServedCertificates
    from livefeed.transport.limits import Limits
    from livefeed.transport.pool import Pool

    class ServiceReactor(WriterReactor, IReactorTime, IReactorFDSet, IReactorTCP, IReactorSSL, IReactorUNIX):
        """The parts of a reactor that the services use."""


_OF_THE_POOL = ("max_connections", "accept_rate", "handshake_timeout", "address_rate", "network_rate")
"""The settings of limits that only the fast transport has."""

_log = Logger()


@dataclass(eq=False)
class Serving:
    """The connections of a process.

    :param settings: the operator's settings.
    :param reactor: the reactor of the process.
    :param is_worker: whether a parent has the same log files, and tells that they are opened again.
    :ivar subscribers: makes the protocols of WebSockets, and has all that are open.
    :ivar root: the resources of all feeds.
    :ivar site: the connections of HTTP.
    :ivar listening: the reactor for endpoints: the pool's, or the reactor itself with Twisted's transport.
    :ivar proxied: the reactor for endpoints whose connections begin with a PROXY header; ``None`` with Twisted's
        transport.
    :ivar trusted: the networks of the proxies that may name the address of a client.
    :ivar refusals: counts the connections that are refused before TLS.
    :ivar address_limits: the rates of new connections; ``None`` with Twisted's transport.
    :ivar lines: writes the access log; ``None`` if there is none.
    :ivar pool: the connections of the fast transport; ``None`` with Twisted's transport.
    :ivar reserved_files: the number of open files that the pool sets aside for everything but connections; ``None``
        with Twisted's transport.
    :ivar in_thread: calls a function in a thread of its own.
    :ivar material: the tokens and keys of protected feeds.
    :ivar failures: counts the wrong tokens of each address.
    """

    # required parameters
    settings: Settings
    reactor: ServiceReactor
    is_worker: bool = False

    # internal state
    subscribers: SubscriberFactory = field(init=False)
    root: Root = field(init=False)
    site: Site = field(init=False)
    listening: ListeningReactor = field(init=False)
    proxied: ListeningReactor | None = field(init=False)
    trusted: Networks = field(init=False)
    refusals: Refusals = field(init=False)
    address_limits: AddressLimits | None = field(init=False, default=None)
    lines: LineWriter | None = field(init=False)
    pool: Pool | None = field(init=False)
    reserved_files: int | None = field(init=False)
    in_thread: Callable[..., Deferred[Any]] = field(init=False)
    material: Material = field(default_factory=Material)
    failures: Failures = field(init=False)

    def __post_init__(self) -> None:
        settings, reactor = self.settings, self.reactor
        self.subscribers = SubscriberFactory(reactor=reactor)
        self.failures = Failures(reactor)
        self.root = Root()
        self._show(settings)
        self.trusted = trusted_networks(settings)
        self._make_site()
        self.in_thread = partial(defer_to_new_thread, reactor)
        self.refusals = Refusals(reactor)
        self._make_transport()

    def listens_on(self, description: str) -> tuple[ListeningReactor, str]:
        """Gives the reactor that listens on an endpoint, and the description that the reactor makes the endpoint of.

        :param description: such as ``tls:8443``, or ``haproxy:tls:8443`` if proxies send the PROXY header there.
        """
        if self.proxied is not None and description.startswith(PROXIED):
            return self.proxied, description.removeprefix(PROXIED)
        return self.listening, description

    def reloaded(self) -> SimplePart:
        """Gives the part of a reload that changes the limits of connections."""
        return SimplePart(frozenset({*_OF_THE_POOL, "head_timeout", "max_head_bytes", "idle_timeout"}), self._take)

    def reloaded_page(self, curves: Curves | None = None) -> SimplePart:
        """Gives the part of a reload that changes the facts which pages show.

        :param curves: samples the figures; ``None`` in a worker, which receives them.
        """

        def take(settings: Settings) -> None:
            self._show(settings)
            self.site.forget_answers()
            if curves is not None:
                curves.turn(is_on=settings.page_figures)

        return SimplePart(frozenset({"page_figures", "public_reasons"}), take)

    def publish_keys(self, content: bytes) -> None:
        """Publishes the set of keys by which statements are verified; nothing to publish none."""
        self.root.show_keys(content)
        self.site.forget_answers()

    def _show(self, settings: Settings) -> None:
        self.root.show(PageOptions(settings.page_figures, settings.public_reasons))

    def _take(self, settings: Settings) -> None:
        self.site.configure(
            head_timeout_s=settings.head_timeout,
            max_head_bytes=settings.max_head_bytes,
            idle_timeout_s=settings.idle_timeout,
        )
        if self.pool is None or self.address_limits is None:
            _warn_of_limits(settings)
            return
        self.pool.configure(_limits(settings))
        self.address_limits.configure(settings.address_rate, settings.network_rate)

    def drain(self, feeds: Iterable[DrainedFeed], stop_listening: Callable[[], Any] = lambda: None) -> Drain:
        """Makes the service that ends the connections in order when the process stops.

        :param feeds: the feeds that are served; read again at each use.
        :param stop_listening: closes the listening sockets of watchers; it may give a Deferred.
        """
        times = _drain_times(self.settings)
        return Drain(self.site, self.subscribers, feeds, self.pool, self.reactor, times, stop_listening)

    def reloaded_drain(self, drain: Drain) -> SimplePart:
        """Gives the part of a reload that changes the times of a drain; one that has begun goes on."""

        def take(settings: Settings) -> None:
            drain.times = _drain_times(settings)

        return SimplePart(frozenset({"drain_delay", "drain", "return_after"}), take)

    def memory_watch(self, workers: int = 1) -> MemoryWatch | None:
        """Makes the service that limits the connections by memory, to be started after the listeners.

        :param workers: the number of processes that share the memory.
        :returns: ``None`` with Twisted's transport, which has no such limit.
        """
        return None if self.pool is None else MemoryWatch(self.pool, self.reactor, workers=workers)

    def reopen_logs(self) -> None:
        """Opens the log file and the access log again, after logrotate has renamed them."""
        reopen_logs()
        if self.lines is not None:
            self.lines.reopen()

    def figures(
        self,
        served: Iterable[ServedFeed],
        pulled: Iterable[PulledFeed],
        collector: Collector,
        lag: LoopLag,
        certificates: ServedCertificates,
    ) -> Figures:
        """Makes the samples of this process.

        :param served: the feeds that clients follow here; read again at each request.
        :param pulled: the feeds that this process pulls; empty in a worker.
        """
        return Figures(
            served,
            pulled,
            self.site,
            self.pool,
            collector,
            lag,
            lambda: self.refusals.counts,
            certificates,
            certificates.tickets.is_shared,
            clocks.wall(),
            self.lines,
            lambda: certificates.refusals,
        )

    def process_services(self, drain: Drain) -> tuple[IService, Collector]:
        """Makes the services for the limit of open files, with the access log, and for the garbage collector."""
        files: IService = FileLimit(self.reserved_files)
        if self.lines is not None:
            both = MultiService()
            for service in (files, self.lines):
                service.setServiceParent(both)
            files = both
        return files, Collector(drain.count, self.reactor)

    def _make_site(self) -> None:
        settings, make_site = self.settings, Site
        field_name = settings.forwarded_header
        forwarded = None if field_name == "none" else Forwarded(field_name, self.trusted)
        self.lines = None
        if settings.access_log is not None:
            # Imported only here, and the connections, too: without it there is nothing of it.
            from livefeed.process.line_writer import LineWriter
            from livefeed.web.access_log import AccessLog, Format, LoggedSite

            def write(data: bytes, count: int) -> None:
                lines.write(data, count)

            log = AccessLog(Format(settings.access_log_format), write, clocks.wall)
            lines = LineWriter(settings.access_log, settings.place("access_log"), self.reactor, log.flush)
            lines.tells_reopening = not self.is_worker
            self.lines, make_site = lines, partial(LoggedSite, log, forwarded)  # type: ignore[assignment]
        self.site = make_site(
            self.root,
            reactor=self.reactor,
            head_timeout_s=settings.head_timeout,
            max_head_bytes=settings.max_head_bytes,
            idle_timeout_s=settings.idle_timeout,
        )
        if forwarded is not None:
            self.site.requestFactory = forwarded.request_class()

    def _make_transport(self) -> None:
        self.listening, self.proxied, self.pool, self.reserved_files = self.reactor, None, None, None
        settings = self.settings
        if settings.transport == "twisted":
            _warn_of_limits(settings)
        elif not hasattr(select, "epoll"):
            _log.warn("there is no epoll on this system: Twisted's transport is used instead of the fast one")
        else:
            self._make_pool()
        if self.pool is None and any(each.startswith(PROXIED) for each in settings.listen):
            _log.warn("{kind} takes the PROXY header of every peer: only the fast transport checks", kind=PROXIED)

    def _make_pool(self) -> None:
        from livefeed.transport.endpoint import KINDS, PoolReactor
        from livefeed.transport.limits import RESERVED_FILES
        from livefeed.transport.logged import LOGGED
        from livefeed.transport.pool import Pool
        from livefeed.transport.proxy_header import ProxyHeaders

        settings = self.settings
        self.pool, self.reserved_files = Pool(self.reactor, _limits(settings)), RESERVED_FILES
        self.address_limits = AddressLimits(
            settings.address_rate, settings.network_rate, self.trusted, self.refusals, self.reactor
        )
        admits = self.address_limits.admits
        headers = ProxyHeaders(self.trusted, self.refusals, admits)
        kinds = KINDS if self.lines is None else LOGGED
        self.listening = PoolReactor(self.pool, admits, kinds=kinds)
        self.proxied = PoolReactor(self.pool, headers.admits, headers.before, kinds=kinds)


def trusted_networks(settings: Settings) -> Networks:
    """Gives the networks of the proxies that may name the address of a client.

    :raises ConfigurationError: if the setting is impossible.
    """
    with settings.named():
        return Networks.parse(settings.trusted_proxy, "trusted_proxy")


def _drain_times(settings: Settings) -> DrainTimes:
    return DrainTimes(settings.drain_delay, settings.drain, settings.return_after)


def _limits(settings: Settings) -> Limits:
    from livefeed.transport.limits import NO_LIMIT, Limits

    return Limits(
        connections=settings.max_connections,
        accept_rate=NO_LIMIT if settings.accept_rate == "none" else settings.accept_rate,
        handshake_s=settings.handshake_timeout,
        idle_s=settings.idle_timeout,
    )


def _warn_of_limits(settings: Settings) -> None:
    """Warns of limits that Twisted's transport does not have."""
    for name in _OF_THE_POOL:
        if getattr(settings, name) != getattr(Settings(), name):
            _log.warn("{option} has no effect: only the fast transport has this limit", option=option_of(name))
