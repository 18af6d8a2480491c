"""The only wiring: settings in, a tree of services out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred

from livefeed import clocks
from livefeed.admin.metrics import Figures, metrics_root
from livefeed.exceptions import ConfigurationError, JournalError
from livefeed.feed_service import FeedsService, PulledFeedService, Shared
from livefeed.process.certificates import CertificateChoice, CertificateWatch
from livefeed.process.drain import DrainedServices
from livefeed.process.endpoints import make_endpoint
from livefeed.process.listener import Announcement, Listener, describe_feeds
from livefeed.process.signals import SignalHandlers
from livefeed.serving import Serving
from livefeed.storage.journal import check_folder
from livefeed.tls.options import ServedCertificates
from livefeed.web.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.application.service import MultiService
    from twisted.internet.interfaces import IStreamServerEndpoint

    from livefeed.config.settings import Settings
    from livefeed.serving import ServiceReactor


MAX_SPREAD_S = 1.0
"""The first pulls of several feeds are spread over one interval, but over this many seconds at most."""


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
    serving = Serving(settings, reactor)
    shared = Shared(
        reactor,
        serving.in_thread,
        serving.subscribers,
        settings.state_dir,
        settings.place("state_dir"),
        clocks.Boot.current(),
    )
    # Spread, since all clients wait while a document is checked and compressed. Feeds that are added later do not wait.
    delays_s = {
        feed.feed: number / len(settings.feeds) * min(feed.interval, MAX_SPREAD_S)
        for number, feed in enumerate(settings.feeds)
    }
    feeds = FeedsService(
        serving.root,
        serving.site,
        lambda feed: PulledFeedService(feed, shared, delay_s=delays_s.pop(feed.feed, 0.0)),
    )
    for feed in settings.feeds:
        feeds.add_feed(feed)
    watched: list[Listener] = []
    drain = serving.drain(feeds.feeds.values(), partial(_stop_all, watched))
    file_limit, collector = serving.process_services(drain)
    certificates = ServedCertificates()
    figures = Figures(feeds.feeds.values(), serving.site, serving.pool, collector, certificates)
    certificate = CertificateChoice(settings.cert, settings.key, settings.place("cert"))
    endpoint_of = partial(make_endpoint, certificate=certificate, served=certificates)
    with settings.named():
        watched += (
            _feed_listener(settings, each, endpoint_of(serving.listening, each), serving.site)
            for each in settings.listen
        )
        listeners = [*watched]
        if settings.metrics is not None:
            # Listens apart from the connections of watchers, so that metrics can be read even if there are too many.
            endpoint = endpoint_of(reactor, settings.metrics, setting="metrics")
            metrics = Site(metrics_root(figures), reactor=reactor)
            listeners.append(_metrics_listener(settings, settings.metrics, endpoint, metrics))
        certificate.check_unused()
    # After the first phases of the drain they begin to stop in the reverse order: no new connections, the end of the
    # connections, the end of the ticks. Twisted does not wait for one stop before it begins the next.
    services = DrainedServices(drain)
    memory_watch = serving.memory_watch()
    for service in (
        SignalHandlers(reactor, drain.hurry),  # before anything that a supervisor could wait for, and then signal
        feeds,
        file_limit,
        drain,
        collector,
        *listeners,
        *(() if memory_watch is None else (memory_watch,)),
        Announcement(listeners),  # behind everything that can end the start
        CertificateWatch(certificates, reactor),
    ):
        service.setServiceParent(services)
    return services


def _stop_all(listeners: Sequence[Listener]) -> Deferred[Any]:
    """Closes the sockets of listeners, which are stopped again at the end."""
    stops: list[Callable[[], Any]] = [each.stopService for each in listeners]
    return gatherResults([maybeDeferred(stop) for stop in stops])


def _feed_listener(settings: Settings, description: str, endpoint: IStreamServerEndpoint, site: Site) -> Listener:
    """Makes a listener of the feeds."""
    names = [feed.feed for feed in settings.feeds]
    return Listener(description, endpoint, site, settings.place("listen"), partial(describe_feeds, names))


def _metrics_listener(settings: Settings, description: str, endpoint: IStreamServerEndpoint, site: Site) -> Listener:
    """Makes the listener of the metrics."""
    return Listener(description, endpoint, site, settings.place("metrics"), lambda base: f"the metrics {base}/metrics")
