"""Everything that clients use in a worker: made once, by the settings and sockets of the first welcome.

This file connects the objects, as ``service.py`` does for a process without workers. ``worker`` starts and stops them,
and passes on to them the messages of the parent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service

from livefeed.admin.health import Health, LiveResource, ReadyResource
from livefeed.auth.material import Content
from livefeed.feed_service import Shared
from livefeed.feed_set import FeedsService, ReloadedFeeds
from livefeed.process.access import ReloadedAccess
from livefeed.process.certificates import CertificateChoice, ReloadedCertificates
from livefeed.process.endpoints import make_endpoint
from livefeed.process.log_level import LogLevels
from livefeed.process.loop_lag import LoopLag
from livefeed.process.reload import Reload, SimplePart
from livefeed.serving import Serving
from livefeed.tls.options import ServedCertificates
from livefeed.web.uncounted import UncountedSite
from livefeed.workers.configuration import with_memory_files
from livefeed.workers.feeds import LinkedFeedService
from livefeed.workers.inherited_sockets import InheritedPort, InheritedReactor, inherited_description
from livefeed.workers.key_requests import KeyRequests
from livefeed.workers.worker_sockets import WorkerSockets

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IStreamServerEndpoint

    from livefeed.admin.metrics import Figures
    from livefeed.config.settings import Settings
    from livefeed.process.capacity import MemoryWatch
    from livefeed.process.drain import Drain
    from livefeed.serving import ServiceReactor
    from livefeed.tls.files import GivenFiles
    from livefeed.web.site import Site
    from livefeed.workers.messages import Message, Welcome


NOTHING: Mapping[str, bytes] = {}
"""The tokens and keys where all feeds are public."""


@dataclass(eq=False)
class Accepting(Service):
    """Accepts connections on the sockets that the parent has bound.

    :ivar endpoints: make the ports of the sockets.
    :ivar ports: the ports, in the order of ``--listen``.
    """

    # required parameters
    endpoints: Sequence[IStreamServerEndpoint]
    site: Site

    # internal state
    ports: list[InheritedPort] = field(default_factory=list)

    def startService(self) -> None:
        """IService API."""
        super().startService()
        for endpoint in self.endpoints:
            listening: Deferred[Any] = endpoint.listen(self.site)
            listening.addCallback(self.ports.append)

    def stopService(self) -> None:
        """IService API."""
        super().stopService()
        self.stop_listening()

    def stop_listening(self) -> None:
        """Accepts no more. Connections in the queues wait for another worker: the parent has the sockets open."""
        for port in self.ports:
            port.stopListening()


@dataclass(slots=True)
class WorkerHealth(Health):
    """Decides whether livefeed is ready, as the parent says, or by the feeds of this process while there is none.

    :ivar told: what the parent has said last; ``None`` if nothing, or if the link is lost.
    """

    told: bool | None = None

    def why_not_ready(self) -> list[str]:
        """Health API. Only the operator's port of the parent gives its reasons."""
        if self.told is None:
            return Health.why_not_ready(self)
        return [] if self.told else ["the parent is not ready"]


@dataclass(eq=False)
class Served:
    """Everything that a worker has from its first welcome on.

    :ivar services: all services, which begin to stop in the reverse order, as those of a process without workers.
    :ivar watch: limits the connections by memory, once there are sockets: the capacity depends on the endpoints.
    """

    settings: Settings
    serving: Serving
    feeds: FeedsService[LinkedFeedService]
    accepting: Accepting
    sockets: WorkerSockets
    certificates: ServedCertificates
    figures: Figures
    drain: Drain
    health: WorkerHealth
    reload: Reload
    access: ReloadedAccess
    services: Sequence[Any]
    watch: MemoryWatch | None


def make_served(  # noqa: PLR0913 - all of it comes from the worker or with the welcome
    settings: Settings,
    files: GivenFiles,
    welcome: Welcome,
    sockets: Sequence[socket.socket],
    *,
    index: int,
    reactor: ServiceReactor,
    send: Callable[[Message], None],
    access: Mapping[str, bytes] = NOTHING,
) -> Served:
    """Makes everything that clients use, by the first welcome. The services are not started yet.

    :param sockets: the sockets of the welcome, which listen.
    :param index: the index of the worker among the others.
    :param send: sends a message to the parent, if there is one.
    :param access: the tokens and keys of protected feeds.
    :raises LivefeedError: if the settings are impossible.
    :raises StartError: if they cannot be used now.
    """
    serving = Serving(settings, reactor, is_worker=True)
    serving.publish_keys(welcome.key_set.encode())
    material = serving.material
    material.take(Content.received(settings.feeds, access))
    material.want_keys = KeyRequests(reactor, send).want
    shared = Shared(reactor, serving.in_thread, serving.subscribers, material=material, failures=serving.failures)
    feeds = FeedsService(serving.root, serving.site, lambda feed: LinkedFeedService(feed, shared, send))
    for feed in settings.feeds:
        feeds.add_feed(feed)
    certificates = ServedCertificates(files=files)
    certificate = CertificateChoice(settings.cert, settings.key, settings.place("cert"))
    endpoint_of = partial(make_endpoint, certificate=certificate, served=certificates)
    endpoints = []
    numbers = welcome.numbers or [index] * len(sockets)
    given = [*zip(welcome.listen, numbers, sockets, strict=True)]
    with settings.named():
        for endpoint, description in enumerate(settings.listen):
            listening, inner = serving.listens_on(with_memory_files(description, files))
            own = {number: sock for of, number, sock in given if of == endpoint}
            inherited: Any = InheritedReactor(listening, own)  # type: ignore[arg-type]
            endpoints.append(endpoint_of(inherited, inherited_description(inner)))
    accepting = Accepting(endpoints, serving.site)
    drain = serving.drain(feeds.feeds.values(), accepting.stop_listening)
    health = WorkerHealth(feeds.feeds.values(), [drain.obstacle])
    if settings.ready_public:
        serving.root.add_assets({"live": LiveResource(), "ready": ReadyResource(health, is_public=True)})
    file_limit, collector = serving.process_services(drain)
    lag = LoopLag(reactor)
    figures = serving.figures(feeds.feeds.values(), (), collector, lag, certificates)
    watch = serving.memory_watch(max(1, settings.workers) if isinstance(settings.workers, int) else 1)
    log_levels = LogLevels(settings.log_level)
    levels = SimplePart(frozenset({"log_level"}), lambda changed: log_levels.set(changed.log_level))
    reloaded_access = ReloadedAccess(material, feeds.feeds.values(), access)
    reload = Reload(
        settings,
        (
            reloaded_access,
            serving.reloaded(),
            serving.reloaded_page(),
            serving.reloaded_drain(drain),
            ReloadedCertificates(certificates),
            levels,
            ReloadedFeeds(feeds),
        ),
    )
    return Served(
        settings,
        serving,
        feeds,
        accepting,
        WorkerSockets(index, settings.listen, accepting.ports, UncountedSite(serving.site)),
        certificates,
        figures,
        drain,
        health,
        reload,
        reloaded_access,
        (log_levels, feeds, file_limit, drain, collector, lag, accepting),
        watch,
    )
