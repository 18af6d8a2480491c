"""The operator's port of a process: its site, its sockets, and everything that other parts may add to it.

A process without workers has one of these, and so has the parent of workers.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from livefeed import clocks
from livefeed.admin.access import Access, hosts_of, read_token
from livefeed.admin.commands import METHODS, Commands
from livefeed.admin.contents import Contents
from livefeed.admin.curves import Counts, Curves
from livefeed.admin.desk import DeskCommands, DeskFeed, DesksResource
from livefeed.admin.desk_page import DeskPage
from livefeed.admin.embargoes import EmbargoCommands
from livefeed.admin.health import Health, LiveResource, ReadyResource
from livefeed.admin.metrics import MetricsResource, of_workers
from livefeed.admin.playback import PlaybackCommand, PlayingFeed
from livefeed.admin.publish import FeedsResource, StoredFeed, limit_of
from livefeed.admin.site import CommandResource, OperatorRoot, OperatorSite
from livefeed.admin.socket import OperatorSocket
from livefeed.admin.status import Status, StatusResource
from livefeed.admin.totals import Totals
from livefeed.admin.tracing import Tracing
from livefeed.process.instance import Instance, group_number
from livefeed.process.listener import Listener
from livefeed.process.runtime_dir import default_runtime_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from twisted.internet.interfaces import IStreamServerEndpoint

    from livefeed.admin.commands import Arguments
    from livefeed.admin.health import ServedFeed
    from livefeed.admin.metrics import Figures
    from livefeed.admin.samples import Sample
    from livefeed.config.settings import Settings
    from livefeed.serving import ServiceReactor
    from livefeed.tls.options import Validity


class OperatedFeed(StoredFeed, DeskFeed, PlayingFeed, Protocol):
    """A feed that this process pulls."""


@dataclass(eq=False)
class Operating:
    """The operator's port of a process.

    :param settings: the operator's settings.
    :param reactor: the reactor of the process.
    :param feeds: the feeds; read again at each request.
    :param figures: the samples of this process.
    :param certificates: the certificates in use; read again at each request.
    :param pulled: the feeds that this process pulls, by their names; read again at each request. Their documents may be
        in a store, and each has a desk.
    :ivar instance: claims the runtime directory. It is started before everything that makes sockets there.
    :ivar commands: the commands; other parts register theirs.
    :ivar health: decides whether livefeed is ready; other parts add their obstacles.
    :ivar totals: adds the samples of workers to those of this process.
    :ivar status: makes the report of ``/status``; other parts replace ``workers`` and ``is_draining``.
    :ivar access: decides on the requests to endpoints of ``--admin``; its token can be replaced.
    :ivar tracing: answers the command ``trace``; workers add their deliveries.
    :ivar others: gives further samples of this process; the owner may set it.
    :raises ConfigurationError: if a setting cannot work.
    """

    # required parameters
    settings: Settings
    reactor: ServiceReactor
    feeds: Iterable[ServedFeed]
    figures: Figures
    certificates: Iterable[Validity]
    pulled: Mapping[str, OperatedFeed] = field(default_factory=dict)

    # internal state
    instance: Instance = field(init=False)
    commands: Commands = field(default_factory=Commands)
    health: Health = field(init=False)
    totals: Totals = field(default_factory=Totals)
    status: Status = field(init=False)
    access: Access = field(init=False)
    tracing: Tracing = field(init=False)
    _contents: Contents = field(init=False)
    others: Callable[[], Iterable[Sample]] = field(default=tuple)

    def __post_init__(self) -> None:
        settings, reactor = self.settings, self.reactor
        self.health = Health(self.feeds)
        started_s = reactor.seconds()
        self.status = Status(
            settings.instance,
            self.feeds,
            self.health,
            self.samples,
            self.figures.started_at,
            lambda: reactor.seconds() - started_s,
            self.certificates,
            desks=self.pulled,
            certificate_refusals=self.figures.certificate_refusals,
            listen=settings.listen,
        )
        with settings.named():
            group = None if settings.admin_group is None else group_number(settings.admin_group)
            token = None if settings.admin_token is None else read_token(settings.admin_token)
        path = settings.runtime_dir or default_runtime_dir(os.environ, os.geteuid(), settings.instance)
        is_chosen = settings.runtime_dir is not None or settings.instance != type(settings)().instance
        place = settings.place("instance" if settings.runtime_dir is None else "runtime_dir") if is_chosen else ""
        self.instance = Instance(path, place, group)
        self.access = Access(reactor, hosts_of(settings.admin), token)
        self.tracing = Tracing(self.feeds)
        # One for all endpoints: they fill the same memory.
        self._contents = Contents(partial(limit_of, self.pulled))
        self.commands.offer("workers", self._report_workers)
        self.commands.register("trace", self.tracing.run)
        DeskCommands(self.pulled).register(self.commands)
        embargoes = EmbargoCommands(self.pulled)
        self.commands.register("embargo", embargoes.run)
        self.commands.register("playback", PlaybackCommand(self.pulled).run)
        self.commands.register("embargoes", embargoes.list)

    def samples(self) -> list[Sample]:
        """Gives the samples of all processes together."""
        return self.totals.combined(self._own())

    def handover(self) -> list[Sample]:
        """Gives the counts for the process that takes the place of this one."""
        return self.totals.handover(self._own())

    def _own(self) -> list[Sample]:
        return [*self.figures.samples(), *of_workers(self.status.workers()), *self.others()]

    async def _report_workers(self, _: Arguments) -> list[Any]:
        return self.status.workers()

    def curves(self, show: Callable[[bytes], object]) -> Curves:
        """Makes the service that samples the figures of the page, of all processes together.

        :param show: takes the document with the curves, once a second.
        """
        is_on = self.settings.page_figures
        return Curves(self.reactor, clocks.wall, self._counts, self.tracing.longest_delay_s, show, is_on)

    def _counts(self) -> Counts:
        """Gives watchers and deliveries, without the other samples: all of them would take milliseconds."""
        published = [each.published for each in self.feeds]
        watchers = sum(each.followers() for each in published) + self.totals.of_workers("subscribers")
        deliveries = sum(each.feed.tally.delivered for each in published) + self.totals.of_workers("deliveries_total")
        return Counts(int(watchers), deliveries)

    def socket(self) -> OperatorSocket:
        """Makes the service that serves the operator's port on the Unix socket of the instance."""
        return OperatorSocket(self.instance, self.reactor, self._site(Access(self.reactor)))

    def listeners(self, endpoint_of: Callable[[str], IStreamServerEndpoint]) -> list[Listener]:
        """Makes the listeners of ``--admin``.

        :param endpoint_of: makes the endpoint of a description. It listens apart from the connections of watchers, so
            that the port answers even if there are too many of them.
        """
        place = self.settings.place("admin")
        return [
            Listener(each, endpoint_of(each), self._site(self.access), place, _describe) for each in self.settings.admin
        ]

    def public_resources(self) -> dict[str, LiveResource | ReadyResource]:
        """Gives the resources that are also served to everybody, by their names below ``/-/``."""
        if not self.settings.ready_public:
            return {}
        return {"live": LiveResource(), "ready": ReadyResource(self.health, is_public=True)}

    def _site(self, access: Access) -> OperatorSite:
        commands = {f"-/{name}": CommandResource(name, self.commands) for name in METHODS}
        paths = {
            "metrics": MetricsResource(self.samples),
            "status": StatusResource(self.status),
            "-/live": LiveResource(),
            "-/ready": ReadyResource(self.health),
            "feeds": FeedsResource(self.pulled, self.reactor),
            "-/desk": DeskPage(DesksResource(self.pulled)),
            **commands,
        }
        return OperatorSite(OperatorRoot(access, paths), reactor=self.reactor, contents=self._contents)


def _describe(base: str) -> str:
    """Gives the announcement of a listener of the operator's port."""
    return f"the operator's port {base}/status"
