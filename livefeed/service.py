"""The only wiring: settings in, a tree of services out."""

from __future__ import annotations

import select
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

from twisted.application.service import MultiService
from twisted.logger import Logger

from livefeed import clocks
from livefeed.admin.metrics import Figures, metrics_root
from livefeed.config.settings import Settings
from livefeed.delivery.pages import Root
from livefeed.delivery.published_feed import PublishedFeed
from livefeed.delivery.websocket.protocol import Handshakes, SubscriberFactory
from livefeed.document.history import History
from livefeed.exceptions import ConfigurationError, option_of
from livefeed.feed.feed import Feed
from livefeed.feed.persistence import JournalService
from livefeed.intake.puller import Puller
from livefeed.process.certificates import CertificateChoice, CertificateWatch
from livefeed.process.drain import Drain
from livefeed.process.endpoints import make_endpoint
from livefeed.process.limits import FileLimit
from livefeed.process.listener import Announcement, Listener, describe_feeds
from livefeed.process.memory import Collector
from livefeed.process.signals import SignalHandlers
from livefeed.sources import make_source
from livefeed.storage.journal import Journal
from livefeed.threads import defer_to_new_thread
from livefeed.tls.options import ServedCertificates
from livefeed.web.cors import Origins
from livefeed.web.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import (
        IReactorCore,
        IReactorFromThreads,
        IReactorSSL,
        IReactorTCP,
        IReactorTime,
        IReactorUNIX,
    )

    from livefeed.config.settings import FeedSettings
    from livefeed.process.endpoints import ListeningReactor
    from livefeed.transport.pool import Pool

    class ServiceReactor(IReactorCore, IReactorTime, IReactorFromThreads, IReactorTCP, IReactorSSL, IReactorUNIX):
        """The parts of a reactor that the services use."""


MAX_SPREAD_S = 1.0
"""The first pulls of several feeds are spread over one interval, but over so long at most: nobody waits an hour."""

_log = Logger()


def make_service(settings: Settings, reactor: ServiceReactor) -> MultiService:
    """Makes the tree of services that serves the feeds.

    :param settings: the operator's settings.
    :raises ConfigurationError: if a setting cannot work. Nothing has been started then.
    """
    _check_state_dir(settings)
    subscribers = SubscriberFactory(reactor=reactor)
    followed = []
    keepers = []
    in_thread = partial(defer_to_new_thread, reactor)
    boot = clocks.Boot.current()
    for number, feed in enumerate(settings.feeds):
        # Not all at once, or everybody would wait until all documents are checked and compressed.
        delay_s = number / len(settings.feeds) * min(feed.interval, MAX_SPREAD_S)
        with feed.named():
            followed.append(_Followed.of(feed, subscribers, reactor, in_thread, delay_s=delay_s))
        if settings.state_dir is not None:
            journal = Journal(settings.state_dir / f"{feed.feed}.versions", feed.max_bytes)
            place = settings.place("state_dir")
            keepers.append(JournalService(followed[-1].served.feed, journal, reactor, place, in_thread, boot))
    served = [one.served for one in followed]
    site = Site(
        Root(served),
        reactor=reactor,
        head_timeout_s=settings.head_timeout,
        max_head_bytes=settings.max_head_bytes,
        idle_timeout_s=settings.idle_timeout,
    )
    for one in served:
        # Behind the parts, which hang on the whole as well: once answers are forgotten, all have what is newest. Those
        # of other feeds are forgotten, too: telling them apart would cost each request more than rendering some again.
        one.feed.changed.append(site.forget_answers)
    certificate = CertificateChoice(settings.cert, settings.key, settings.place("cert"))
    listening, pool, reserved_files = _transport(settings, reactor)
    drain = Drain(site, subscribers, served, pool, reactor)
    collector = Collector(drain.count, reactor)
    names = [feed.feed for feed in settings.feeds]
    certificates = ServedCertificates()
    with settings.named():
        listeners = [
            Listener(
                description,
                make_endpoint(listening, description, certificate, served=certificates),
                site,
                settings.place("listen"),
                partial(describe_feeds, names),
            )
            for description in settings.listen
        ]
        if settings.metrics is not None:
            figures = Figures([(one.poller, one.served) for one in followed], site, pool, collector, certificates)
            listeners.append(
                Listener(
                    settings.metrics,
                    # Not among the watchers, so that there is something to see when there are too many of them.
                    make_endpoint(reactor, settings.metrics, certificate, "metrics", certificates),
                    Site(metrics_root(figures), reactor=reactor),
                    settings.place("metrics"),
                    lambda base: f"the metrics {base}/metrics",
                )
            )
        certificate.check_unused()
    # Stopped in the reverse order: nobody new is let in, then those who are there are let go, then the ticks end.
    services = MultiService()
    for service in (
        SignalHandlers(reactor),  # before there is anything that a supervisor could wait for, and then signal
        *keepers,
        *(one.poller for one in followed),
        FileLimit(reserved_files),
        drain,
        collector,
        *listeners,
        Announcement(listeners),  # behind all that can end the start
        CertificateWatch(certificates, reactor),
    ):
        service.setServiceParent(services)
    return services


def _check_state_dir(settings: Settings) -> None:
    """Finds what is no folder; that is said of a file that is in the way, when versions are to be read, as 'exists'."""
    path = settings.state_dir
    with suppress(OSError):  # such as of a folder that may not be looked into
        if path is not None and path.exists() and not path.is_dir():
            raise ConfigurationError(
                f"{path}: there is a file where a folder should be", place=settings.place("state_dir")
            )


@dataclass(frozen=True, slots=True)
class _Followed:
    """One feed: what pulls it, and what is served of it."""

    poller: Puller
    served: PublishedFeed

    @classmethod
    def of(
        cls,
        settings: FeedSettings,
        subscribers: SubscriberFactory,
        reactor: ServiceReactor,
        in_thread: Callable[..., Deferred[Any]],
        *,
        delay_s: float,
    ) -> _Followed:
        """Makes all that one feed has to itself.

        :param subscribers: what makes the protocols of all feeds' WebSockets.
        :param in_thread: calls a function in a thread.
        :param delay_s: so long after the start is the first pull.
        """
        origins = Origins.parse(settings.allow_origin)
        source = make_source(settings.source, reactor=reactor, max_bytes=settings.max_bytes)
        feed = Feed(
            settings.feed,
            clock=reactor,
            interval_s=settings.interval,
            push=settings.push,
            stale_after_s=settings.stale_after,
            gone_after_s=settings.gone_after or inf,
            wall=clocks.wall,
            history=History(max_document_bytes=settings.max_delta_bytes, in_thread=in_thread),
        )
        poller = Puller(
            feed,
            source,
            clock=reactor,
            max_bytes=settings.max_bytes,
            delay_s=delay_s,
            in_thread=in_thread,
        )
        upgrade = Handshakes(subscribers, origins).upgrade
        return cls(poller, PublishedFeed(feed, origins, upgrade, settings.max_subscribers, in_thread))


def _transport(settings: Settings, reactor: ServiceReactor) -> tuple[ListeningReactor, Pool | None, int | None]:
    """Makes the transport.

    :returns: the reactor for endpoints, the pool of connections, and the number of open files that the pool sets aside
        for everything but connections; the last two are ``None`` with Twisted's transport.
    """
    if settings.transport == "twisted":
        for name in ("max_connections", "accept_rate", "handshake_timeout"):
            if getattr(settings, name) != getattr(Settings(), name):
                _log.warn("{option} is the fast transport's, and has no effect here", option=option_of(name))
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
