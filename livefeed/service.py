"""The only wiring: settings in, a tree of services out."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, NoReturn, cast

from livefeed.auth.fetching import KeyFetching
from livefeed.exceptions import CommandError, ConfigurationError
from livefeed.operating import Operating
from livefeed.process.access import ReloadedAccess
from livefeed.process.certificates import CertificateChoice, CertificateWatch, ReloadedCertificates
from livefeed.process.drain import DrainedServices
from livefeed.process.endpoints import make_endpoint
from livefeed.process.listener import Announcement, Listener, describe_feeds
from livefeed.process.log_level import LogLevels
from livefeed.process.loop_lag import LoopLag
from livefeed.process.notify import Notify, NotifySocket, status_line
from livefeed.process.reload import Reload, Reloading
from livefeed.process.renewal import CertificateRenewal
from livefeed.process.signals import SignalHandlers
from livefeed.process.tickets import TicketRotation
from livefeed.pulling import (
    check_fixed,
    check_state_dir,
    feed_on_demand,
    make_feeds,
    make_signing,
    offer_audit,
    offer_drain,
    reloaded_parts,
    stop_all,
)
from livefeed.serving import Serving
from livefeed.tls.options import ServedCertificates
from livefeed.workers.left_over import LeftOverWorkers

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.application.service import MultiService
    from twisted.internet.interfaces import IStreamServerEndpoint

    from livefeed.config.settings import Settings
    from livefeed.feed_service import PulledFeedService
    from livefeed.feed_set import FeedsService
    from livefeed.parent_service import ParentServiceReactor
    from livefeed.process.drain import Drain
    from livefeed.process.program import Program
    from livefeed.serving import ServiceReactor
    from livefeed.web.site import Site
    from livefeed.workers.channel import Inheritance


def make_service(
    settings: Settings,
    reactor: ServiceReactor,
    read: Callable[[], Settings] | None = None,
    program: Program | None = None,
    inheritance: Inheritance | None = None,
) -> MultiService:
    """Makes the tree of services that serves the feeds.

    :param settings: the operator's settings.
    :param read: reads the settings again, for a reload; by default, they stay the same.
    :param program: how this process was started, for an upgrade; ``None`` if that is not known.
    :param inheritance: everything that the parent before an upgrade offers; ``None`` if this is no upgrade.
    :raises ConfigurationError: if a setting cannot work. Nothing has been started then.
    """
    check_state_dir(settings)
    if settings.workers:
        from livefeed.parent_service import make_parent  # noqa: PLC0415 - any other process needs none of it

        parent_reactor = cast("ParentServiceReactor", reactor)
        return make_parent(settings, parent_reactor, read or (lambda: settings), program, inheritance)
    if inheritance is not None:
        raise ConfigurationError("an upgrade needs workers: 1 at least. Without them, a restart is needed", "workers")
    serving = Serving(settings, reactor)
    signing = make_signing(serving)
    feeds = make_feeds(serving, feed_on_demand, signing.signing)
    watched: list[Listener] = []
    drain = serving.drain(feeds.feeds.values(), partial(stop_all, watched))
    file_limit, collector = serving.process_services(drain)
    certificates = ServedCertificates()
    lag = LoopLag(reactor)
    figures = serving.figures(feeds.feeds.values(), feeds.feeds.values(), collector, lag, certificates)
    operating = Operating(settings, reactor, feeds.feeds.values(), figures, certificates, feeds.feeds)
    serving.root.add_assets(operating.public_resources())
    curves = operating.curves(serving.root.board.show)
    certificate = CertificateChoice(settings.cert, settings.key, settings.place("cert"))
    endpoint_of = partial(make_endpoint, certificate=certificate, served=certificates)
    with settings.named():
        watched += (
            _feed_listener(settings, each, endpoint_of(*serving.listens_on(each)), serving.site, certificates)
            for each in settings.listen
        )
        listeners = [*watched, *operating.listeners(partial(endpoint_of, reactor, setting="admin"))]
        certificate.check_unused()
    operators_socket = operating.socket()
    log_levels = LogLevels(settings.log_level)
    reloaded_certificates = ReloadedCertificates(certificates)
    access = ReloadedAccess(serving.material, feeds.feeds.values())
    parts = (
        access,
        *reloaded_parts(serving, drain, reloaded_certificates, log_levels, feeds),
        serving.reloaded_page(curves),
        signing,
    )
    notify = _make_notify(feeds, drain, reactor)
    reloading = Reloading(
        Reload(settings, parts),
        read or (lambda: settings),
        (partial(check_fixed, serving), reloaded_certificates.look, signing.look, access.look),
        serving.reopen_logs,
        serving.in_thread,
        reactor,
        notify.begin_reload,
        notify.end_reload,
    )
    operating.commands.register("reload", reloading.command)
    operating.commands.register("upgrade", refuse_upgrade)
    offer_drain(operating, drain)
    offer_audit(operating, serving)
    # After the first phases of the drain they begin to stop in the reverse order: no new connections, the end of the
    # connections, the end of the ticks. Twisted does not wait for one stop before it begins the next.
    services = DrainedServices(drain)
    memory_watch = serving.memory_watch()
    for service in (
        log_levels,
        # Before anything that a supervisor could wait for, and then signal.
        SignalHandlers(reactor, reloading.hang_up, drain.hurry),
        operating.instance,
        LeftOverWorkers(lambda: operating.instance.directory),
        operators_socket,
        feeds,
        file_limit,
        drain,
        collector,
        lag,
        curves,
        *listeners,
        *(() if memory_watch is None else (memory_watch,)),
        Announcement([operators_socket, *listeners]),  # behind everything that can end the start
        CertificateWatch(certificates, reactor),
        CertificateRenewal(reloaded_certificates, serving.in_thread, reactor),
        TicketRotation(certificates.tickets.replace, reactor),
        KeyFetching(serving.material, serving.in_thread, reactor, access.check),
        notify,  # the first to stop
    ):
        service.setServiceParent(services)
    return services


async def refuse_upgrade(_arguments: object) -> NoReturn:
    """Runs the command ``upgrade`` of a process without workers.

    :raises CommandError: always.
    """
    raise CommandError(
        "the upgrade is refused: livefeed runs without workers, and its connections would end with this process; "
        "restart it, or run it with --workers 1"
    )


def _make_notify(feeds: FeedsService[PulledFeedService], drain: Drain, reactor: ServiceReactor) -> Notify:
    """Makes the service that tells the service manager how livefeed is."""

    def status() -> str:
        published = [feed.published for feed in feeds.feeds.values()]
        states = [(each.feed.name, each.feed.state.value) for each in published]
        watchers = sum(delivery.followers() for each in published for delivery in each)
        return status_line(states, watchers, drain.count())

    def is_ready() -> bool:
        return all(feed.was_tried for feed in feeds.feeds.values())

    return Notify(NotifySocket.take(os.environ), is_ready, status, reactor)


def _feed_listener(
    settings: Settings, description: str, endpoint: IStreamServerEndpoint, site: Site, certificates: ServedCertificates
) -> Listener:
    """Makes a listener of the feeds."""
    names = [feed.feed for feed in settings.feeds]
    host = certificates.host_of(description)
    return Listener(description, endpoint, site, settings.place("listen"), partial(describe_feeds, names), host)
