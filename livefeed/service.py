"""The only wiring: settings in, a tree of services out."""

from __future__ import annotations

import select
from functools import partial
from typing import TYPE_CHECKING

from twisted.application.service import MultiService
from twisted.logger import Logger

from livefeed import clocks
from livefeed.admin.metrics import Figures, metrics_root
from livefeed.config.settings import Settings
from livefeed.delivery.root import Root
from livefeed.delivery.websocket.protocol import SubscriberFactory
from livefeed.exceptions import ConfigurationError, JournalError, option_of
from livefeed.feed_service import FeedsService, Shared
from livefeed.process.certificates import CertificateChoice, CertificateWatch
from livefeed.process.drain import Drain
from livefeed.process.endpoints import make_endpoint
from livefeed.process.limits import FileLimit
from livefeed.process.listener import Announcement, Listener, describe_feeds
from livefeed.process.memory import Collector
from livefeed.process.signals import SignalHandlers
from livefeed.storage.journal import check_folder
from livefeed.threads import defer_to_new_thread
from livefeed.tls.options import ServedCertificates
from livefeed.web.site import Site

if TYPE_CHECKING:
    from twisted.internet.interfaces import (
        IReactorCore,
        IReactorFDSet,
        IReactorFromThreads,
        IReactorSSL,
        IReactorTCP,
        IReactorTime,
        IReactorUNIX,
        IStreamServerEndpoint,
    )

    from livefeed.process.endpoints import ListeningReactor
    from livefeed.transport.pool import Pool

    class ServiceReactor(
        IReactorCore, IReactorTime, IReactorFDSet, IReactorFromThreads, IReactorTCP, IReactorSSL, IReactorUNIX
    ):
        """The parts of a reactor that the services use."""


MAX_SPREAD_S = 1.0
"""The first pulls of several feeds are spread over one interval, but over this many seconds at most."""

_log = Logger()


def make_service(settings: Settings, reactor: ServiceReactor) -> MultiService:
    """Makes the tree of services that serves the feeds.

    :param settings: the operator's settings.
    :raises ConfigurationError: if a setting cannot work. Nothing has been started then.
    """
    if settings.state_dir is not None:
        try:
            check_folder(settings.state_dir)
        except JournalError as error:
            raise ConfigurationError(str(error), place=settings.place("state_dir")) from None
    subscribers = SubscriberFactory(reactor=reactor)
    root = Root()
    site = Site(
        root,
        reactor=reactor,
        head_timeout_s=settings.head_timeout,
        max_head_bytes=settings.max_head_bytes,
        idle_timeout_s=settings.idle_timeout,
    )
    in_thread = partial(defer_to_new_thread, reactor)
    shared = Shared(
        reactor, in_thread, subscribers, settings.state_dir, settings.place("state_dir"), clocks.Boot.current()
    )
    feeds = FeedsService(shared, root, site)
    for number, feed in enumerate(settings.feeds):
        # Spread, since all clients wait while a document is checked and compressed.
        feeds.add_feed(feed, delay_s=number / len(settings.feeds) * min(feed.interval, MAX_SPREAD_S))
    listening, pool, reserved_files = _transport(settings, reactor)
    drain = Drain(site, subscribers, feeds.feeds.values(), pool, reactor)
    collector = Collector(drain.count, reactor)
    certificates = ServedCertificates()
    figures = Figures(feeds.feeds.values(), site, pool, collector, certificates)
    certificate = CertificateChoice(settings.cert, settings.key, settings.place("cert"))
    endpoint_of = partial(make_endpoint, certificate=certificate, served=certificates)
    with settings.named():
        listeners = [_feed_listener(settings, each, endpoint_of(listening, each), site) for each in settings.listen]
        if settings.metrics is not None:
            # Listens apart from the connections of watchers, so that metrics can be read even if there are too many.
            endpoint = endpoint_of(reactor, settings.metrics, setting="metrics")
            metrics = Site(metrics_root(figures), reactor=reactor)
            listeners.append(_metrics_listener(settings, settings.metrics, endpoint, metrics))
        certificate.check_unused()
    # They begin to stop in the reverse order: no new connections, the end of the connections, the end of the ticks.
    # Twisted does not wait for one stop before it begins the next.
    services = MultiService()
    for service in (
        SignalHandlers(reactor),  # before anything that a supervisor could wait for, and then signal
        feeds,
        FileLimit(reserved_files),
        drain,
        collector,
        *listeners,
        Announcement(listeners),  # behind everything that can end the start
        CertificateWatch(certificates, reactor),
    ):
        service.setServiceParent(services)
    return services


def _feed_listener(settings: Settings, description: str, endpoint: IStreamServerEndpoint, site: Site) -> Listener:
    """Makes a listener of the feeds."""
    names = [feed.feed for feed in settings.feeds]
    return Listener(description, endpoint, site, settings.place("listen"), partial(describe_feeds, names))


def _metrics_listener(settings: Settings, description: str, endpoint: IStreamServerEndpoint, site: Site) -> Listener:
    """Makes the listener of the metrics."""
    return Listener(description, endpoint, site, settings.place("metrics"), lambda base: f"the metrics {base}/metrics")


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
    from livefeed.transport.pool import RESERVED_FILES, Limits, Pool

    limits = Limits(
        connections=settings.max_connections,
        accept_rate=settings.accept_rate,
        handshake_s=settings.handshake_timeout,
        idle_s=settings.idle_timeout,
    )
    pool = Pool(reactor, limits)
    return PoolReactor(pool), pool, RESERVED_FILES
