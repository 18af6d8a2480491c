"""The wiring of a parent of workers: it pulls the feeds, binds the sockets, and takes the commands.

It accepts no connection of a client: workers do.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from livefeed import __version__
from livefeed.admin.samples import Sample
from livefeed.admin.totals import received, sent
from livefeed.auth.fetching import KeyFetching
from livefeed.exceptions import ConfigurationError
from livefeed.operating import Operating
from livefeed.process.access import ReloadedAccess
from livefeed.process.capacity import share
from livefeed.process.certificates import CertificateChoice, CertificateWatch, ReloadedCertificates
from livefeed.process.descriptions import PROXIED, split_description
from livefeed.process.endpoints import make_endpoint
from livefeed.process.listener import Announcement, Listener, describe_feeds
from livefeed.process.log_level import LogLevels
from livefeed.process.loop_lag import LoopLag
from livefeed.process.notify import Notify, NotifySocket, status_line
from livefeed.process.processors import usable_processors
from livefeed.process.reload import Reload, Reloading
from livefeed.process.renewal import CertificateRenewal
from livefeed.process.signals import SignalHandlers
from livefeed.process.tickets import TicketRotation
from livefeed.pulling import check_fixed, make_feeds, make_signing, offer_audit, offer_drain, reloaded_parts, stop_all
from livefeed.serving import Serving
from livefeed.tls.options import ServedCertificates
from livefeed.tls.reloading import PairSource
from livefeed.upgrading import ParentHoldings, Takeover
from livefeed.workers.bound_sockets import BindingReactor, GroupEndpoint, SocketGroup
from livefeed.workers.broadcast import Broadcast
from livefeed.workers.canary import Question
from livefeed.workers.configuration import settings_for_workers
from livefeed.workers.link_server import LinkServer
from livefeed.workers.messages import PROTOCOL, Message, Welcome, message_of
from livefeed.workers.parent import Parent
from livefeed.workers.processes import WorkerProcesses
from livefeed.workers.recall import Recall
from livefeed.workers.upgrade import Upgrade

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from twisted.application.service import MultiService

    from livefeed.admin.totals import Totals
    from livefeed.auth.material import Material
    from livefeed.config.settings import Settings
    from livefeed.feed_service import PulledFeedService
    from livefeed.feed_set import FeedsService
    from livefeed.process.drain import Drain
    from livefeed.process.program import Program
    from livefeed.process.reload import Change
    from livefeed.serving import ServiceReactor
    from livefeed.tls.tickets import SessionTickets, TicketKeys
    from livefeed.upgrading import OperatorsPort
    from livefeed.workers.channel import Inheritance
    from livefeed.workers.link import UNIXReactor
    from livefeed.workers.upgrade import UpgradeReactor

    class ParentServiceReactor(ServiceReactor, UpgradeReactor, UNIXReactor):
        """The parts of a reactor that a parent uses."""


LINK_SOCKET = "link.sock"
"""The name of the socket of the link in the runtime directory."""

FORGET_S = 10.0
"""Seconds after the removal of a feed at which its counts are forgotten: no worker reports them any more by then."""

_LIST = "-/feeds.json"
"""The path that canaries ask for if no feed is public."""

_DIVIDED = ("max_connections", "accept_rate", "address_rate", "network_rate")
"""Limits of which each worker has its part. The kernel spreads connections evenly, also those of one address."""


def make_parent(  # noqa: PLR0915 - the wiring of one process
    settings: Settings,
    reactor: ParentServiceReactor,
    read: Callable[[], Settings],
    program: Program | None = None,
    inheritance: Inheritance | None = None,
) -> MultiService:
    """Makes the tree of services of a parent.

    :param settings: the operator's settings, with workers.
    :param read: reads the settings again, for a reload.
    :param program: how this process was started, for an upgrade; ``None`` if that is not known.
    :param inheritance: everything that the parent before an upgrade offers; ``None`` if this is no upgrade.
    :raises ConfigurationError: if a setting cannot work. Nothing has been started then.
    """
    count = usable_processors() if settings.workers == "auto" else settings.workers
    adapt = partial(_with_absolute_folders, start=Path.cwd())  # twistd changes to --rundir later
    settings = adapt(settings)
    # Its pool listens on nothing: the resources of the feeds are there because the feeds come and go with them.
    serving = Serving(settings, reactor)
    if serving.pool is None:
        raise ConfigurationError("requires the fast transport, which this system does not have", "workers")
    broadcast = Broadcast({})
    signing = make_signing(serving)
    feeds = make_feeds(serving, broadcast.make_feed, signing.signing)
    broadcast.feeds = feeds.feeds
    drain = serving.drain(feeds.feeds.values())
    file_limit, collector = serving.process_services(drain)
    certificates = ServedCertificates()
    takeover = Takeover(inheritance)
    takeover.take_tickets(certificates.tickets)
    lag = LoopLag(reactor)
    figures = serving.figures(feeds.feeds.values(), feeds.feeds.values(), collector, lag, certificates)
    # Without connections: the workers count theirs.
    operating = Operating(
        settings, reactor, feeds.feeds.values(), replace(figures, pool=None), certificates, feeds.feeds
    )
    takeover.await_predecessor(operating.instance)
    certificate = CertificateChoice(settings.cert, settings.key, settings.place("cert"))
    endpoint_of = partial(make_endpoint, certificate=certificate, served=certificates)
    with settings.named():
        endpoints = [_group(takeover, reactor, each, count, endpoint_of) for each in settings.listen]
        listeners = [
            Listener(
                each.group.description,
                each,
                serving.site,
                settings.place("listen"),
                partial(describe_feeds, [feed.feed for feed in settings.feeds]),
                certificates.host_of(each.group.description),
            )
            for each in endpoints
        ]
        admin = operating.listeners(partial(takeover.operators_endpoint, reactor, endpoint_of))
        certificate.check_unused()
    operators_socket = operating.socket()
    operators_socket.inherited = takeover.operators_socket()
    reloaded_certificates = ReloadedCertificates(certificates)
    configuration = _Configuration(
        settings, reloaded_certificates, certificates.tickets, count, serving.material, signing.signing.key_set
    )
    parent = Parent(
        count,
        reactor,
        lambda: operating.instance.directory,
        endpoints,
        WorkerProcesses(reactor, partial(_arguments, operating.instance.path / LINK_SOCKET), os.environ),
        lambda path, on_hello, generation, is_published: LinkServer(
            path / LINK_SOCKET, reactor, on_hello, generation=generation, is_published=is_published
        ),
        broadcast,
        _Figures(operating.totals),
        partial(configuration.message, "welcome"),
        partial(_question, feeds.feeds),
        lambda: {name: service.published.max_subscribers for name, service in feeds.feeds.items()},
        serving.site,
        generation=takeover.generation,
        has_sockets=inheritance is None,
    )
    _offer(operating, parent, drain)
    offer_audit(operating, serving)
    # Before the workers: none of them is to be given a socket during a drain.
    drain.stop_listening = partial(stop_all, listeners)
    drain.others = parent.releasing

    def configure_workers() -> None:
        broadcast.send_each(lambda link: configuration.message("configuration", parent.index_of(link)))

    def forget_feeds(names: Iterable[str]) -> None:
        for name in names:
            if name not in feeds.feeds:
                operating.totals.forget_feed(name)

    def replace_key(keys: TicketKeys) -> None:
        certificates.tickets.replace(keys)
        configure_workers()

    def reopen() -> None:
        serving.reopen_logs()
        broadcast.send_all(Message("reopen"))

    def show_figures(content: bytes) -> None:
        broadcast.send_all(Message("figures", payloads=(content,)))

    curves = operating.curves(show_figures)
    notify = _make_notify(feeds, parent, reactor)
    log_levels = LogLevels(settings.log_level)
    access = ReloadedAccess(serving.material, feeds.feeds.values())

    take_keys = partial(_call, access.check, configure_workers)
    key_fetching = KeyFetching(serving.material, serving.in_thread, reactor, take_keys)
    parent.reception.want_keys = key_fetching.want
    parts = (
        access,
        *reloaded_parts(serving, drain, reloaded_certificates, log_levels, feeds),
        serving.reloaded_page(curves),
        signing,
        _ReloadedWorkers(
            configuration, configure_workers, lambda names: reactor.callLater(FORGET_S, forget_feeds, names)
        ),
    )
    reloading = Reloading(
        Reload(settings, parts),
        lambda: adapt(read()),
        (partial(check_fixed, serving), reloaded_certificates.look, signing.look, access.look),
        reopen,
        serving.in_thread,
        reactor,
        notify.begin_reload,
        notify.end_reload,
    )
    # These begin once the workers of an earlier parent are found.
    Recall(feeds, broadcast, reactor).setServiceParent(parent)
    curves.setServiceParent(parent)
    # The program twist binds no endpoint before services that stand behind this one start.
    Announcement([operators_socket, *admin, *listeners], reactor.callWhenRunning).setServiceParent(parent)
    operating.commands.register("reload", reloading.command)

    # The first phase of a drain is the parent's; the workers do the others when they are told to end.
    services = takeover.services(drain)
    program = takeover.program(program)
    ports: list[tuple[str, OperatorsPort]] = [("", operators_socket), *((each.description, each) for each in admin)]
    holdings = ParentHoldings(
        parent,
        feeds,
        broadcast,
        operating,
        reloading,
        drain,
        notify,
        certificates.tickets,
        ports,
        services,
        program,
    )
    upgrade = Upgrade(program, holdings, reactor)
    operating.commands.register("upgrade", upgrade.command)
    operating.others = lambda: [*upgrade.samples(), Sample("generation", (), parent.generation)]
    for service in (
        log_levels,
        SignalHandlers(reactor, reloading.hang_up, partial(_hurry, drain, parent), upgrade.signalled),
        operating.instance,
        takeover.later(operators_socket),  # the last to stop: it shows the drain
        file_limit,
        parent,
        collector,
        lag,
        *listeners,
        *map(takeover.later_if_adopted, admin),
        upgrade,
        CertificateWatch(certificates, reactor),
        takeover.later(CertificateRenewal(reloaded_certificates, serving.in_thread, reactor, configure_workers)),
        TicketRotation(replace_key, reactor),
        takeover.later(key_fetching),
        takeover.later(notify),
        *takeover.succession(holdings, upgrade, reactor),
    ):
        service.setServiceParent(services)
    return services


def _offer(operating: Operating, parent: Parent, drain: Drain) -> None:
    """Shows the workers on the operator's port, and offers the drain."""
    operating.status.workers = parent.report
    parent.accounts.deliveries = operating.tracing.report
    if operating.settings.ready_public:
        parent.reception.is_livefeed_ready = lambda: not operating.health.why_not_ready()
    operating.health.obstacles.append(parent.supervisor.obstacle)
    offer_drain(operating, drain)


def _call(*functions: Callable[[], object]) -> None:
    """Calls functions, one after the other."""
    for function in functions:
        function()


def _hurry(drain: Drain, parent: Parent) -> None:
    """Ends the process at once, with its workers."""
    drain.hurry()
    parent.hurry()


def _make_notify(feeds: FeedsService[PulledFeedService], parent: Parent, reactor: ServiceReactor) -> Notify:
    """Makes the service that tells the service manager how livefeed is."""

    def status() -> str:
        states = [(each.feed.name, each.feed.state.value) for each in feeds.feeds.values()]
        report = parent.report()
        watchers = sum(sum(by_way.values()) for each in report for by_way in each["watchers"].values())
        return status_line(states, watchers, sum(each["connections"] for each in report))

    def is_ready() -> bool:
        return parent.is_ready() and all(feed.was_tried for feed in feeds.feeds.values())

    return Notify(NotifySocket.take(os.environ), is_ready, status, reactor)


def _group(
    takeover: Takeover, reactor: ServiceReactor, description: str, count: int, endpoint_of: Callable[..., Any]
) -> GroupEndpoint:
    """Makes the endpoint of a description. Its sockets are bound, and nothing is accepted on them here."""
    group = SocketGroup(description, count)
    inner = takeover.inherit(group).removeprefix(PROXIED)
    return GroupEndpoint(endpoint_of(BindingReactor(reactor, group), inner), group)


def _arguments(link: Path, generation: int, index: int) -> list[str]:
    """Gives the arguments of the Python program of a worker."""
    return ["-m", "livefeed.workers", "--link", str(link), "--generation", str(generation), "--index", str(index)]


def _question(feeds: Mapping[str, PulledFeedService]) -> Question:
    """Gives the request of canaries: the first public feed that has a document which may be shown, or a list.

    A canary has no token.
    """
    public = [service.feed for service in feeds.values() if service.published.guard is None]
    for feed in public:
        if feed.snapshot is not None and not feed.is_gone():
            return Question(feed.name, feed.snapshot.version)
    return Question(public[0].name if public else _LIST, "")


@dataclass(slots=True)
class _Configuration:
    """The message with settings and certificates that workers get at their welcome, and after a reload.

    :ivar settings: the settings of the parent.
    :ivar certificates: the certificates and keys in use.
    :ivar tickets: has the key of session tickets.
    :ivar count: the number of workers, by which limits are divided.
    :ivar material: the tokens and keys of protected feeds.
    :ivar key_set: gives the set of keys that is published.
    """

    # required parameters
    settings: Settings
    certificates: ReloadedCertificates
    tickets: SessionTickets
    count: int
    material: Material
    key_set: Callable[[], bytes] = bytes

    # internal state
    _read: dict[str, bytes] = field(init=False)

    def __post_init__(self) -> None:
        # Before privileges are given up: workers need no rights on the files.
        self._read = self._read_files()

    def message(self, kind: str, index: int) -> Message:
        """Gives ``welcome``, without sockets, or ``configuration``, for the worker with an index."""
        files = {
            **self._read,
            **{str(path): data for path, data in self.certificates.contents().items()},
        }
        access = self.material.payloads()
        payloads = [*files.values(), self.tickets.keys.data, *access.values()]
        facts = Welcome(
            PROTOCOL,
            __version__,
            os.getpid(),
            settings_for_workers(self._own()),
            certificates={path: number for number, path in enumerate(files)},
            ticket_key=len(files),
            access={name: len(files) + 1 + number for number, name in enumerate(access)},
            limits=self._limits(index),
            orphan_after_s=self.settings.orphan_after,
            key_set=self.key_set().decode("ascii"),
        )
        return message_of(kind, facts, payloads)

    def _own(self) -> Settings:
        """Gives the settings with the number of workers, and the files of the development certificate if one is used.

        Workers make none.
        """
        settings = structs.replace(self.settings, workers=self.count)
        sources = [each.certificates.source for each in self.certificates.endpoints() if each.is_default]
        if settings.cert or not sources or not isinstance(sources[0], PairSource):
            return settings
        certs, keys = zip(*sources[0].pairs, strict=True)
        return structs.replace(settings, cert=certs, key=keys)

    def _limits(self, index: int) -> dict[str, int]:
        """Gives the part of each limit that a worker may use. 0 stays what it means."""
        values = {name: getattr(self.settings, name) for name in _DIVIDED}
        parts = {
            name: share(value, self.count, index) for name, value in values.items() if isinstance(value, int) and value
        }
        # The parent waits before it tells the workers to end.
        return {**parts, "drain_delay": 0}

    def _named(self) -> list[str]:
        """Gives the values in the settings that may be paths of certificates and keys, as they are written there."""
        settings = self._own()
        paths = [str(path) for path in (*settings.cert, *settings.key)]
        for description in settings.listen:
            kind, *parts = split_description(description.removeprefix(PROXIED))
            if kind in ("tls", "ssl"):
                paths += [part.partition("=")[2] if "=" in part else part for part in parts]
        return paths

    def _read_files(self) -> dict[str, bytes]:
        """Reads the certificates and keys that the settings name.

        :raises ConfigurationError: if one cannot be read.
        """
        files: dict[str, bytes] = {}
        for path in (each for each in self._named() if Path(each).is_file()):
            try:
                files[path] = Path(path).read_bytes()
            except OSError as error:
                raise ConfigurationError(f"{path}: {error.strerror}") from None
        return files


@dataclass(frozen=True, slots=True)
class _ReloadedWorkers:
    """The workers as a part of a reload: they are sent all settings once the other parts have taken them.

    :ivar configuration: makes the message.
    :ivar send: sends it to all workers.
    :ivar remove: is given the names of the feeds that were removed.
    """

    configuration: _Configuration
    send: Callable[[], object]
    remove: Callable[[Iterable[str]], object]
    names: frozenset[str] = frozenset()

    def prepare(self, before: Settings, after: Settings) -> _PreparedWorkers:
        """Reloadable API."""
        removed = {each.feed for each in before.feeds} - {each.feed for each in after.feeds}
        return _PreparedWorkers(self, after, frozenset(removed))


@dataclass(frozen=True, slots=True)
class _PreparedWorkers:
    """Settings that are to be sent to the workers."""

    part: _ReloadedWorkers
    after: Settings
    removed: frozenset[str]

    def changes(self) -> tuple[Change, ...]:
        """Prepared API. The other parts report the changes."""
        return ()

    def commit(self) -> None:
        """Prepared API."""
        self.part.configuration.settings = self.after
        self.part.send()
        if self.removed:
            self.part.remove(self.removed)

    def abandon(self) -> None:
        """Prepared API."""


def _with_absolute_folders(settings: Settings, start: Path) -> Settings:
    listen = (with_absolute_folder(each, start) for each in settings.listen)
    return structs.replace(settings, listen=tuple(listen))


def with_absolute_folder(description: str, start: Path) -> str:
    """Makes the folder of ``tls:FOLDER`` absolute: workers may have another working directory.

    :param start: the working directory at the start.
    """
    prefix = PROXIED if description.startswith(PROXIED) else ""
    kind, *parts = split_description(description.removeprefix(PROXIED))
    if kind != "tls" or not parts or Path(parts[0]).is_absolute() or not (start / parts[0]).is_dir():
        return description
    absolute = [str(start / parts[0]), *parts[1:]]
    return f"{prefix}tls:" + ":".join(part.replace("\\", "\\\\").replace(":", "\\:") for part in absolute)


@dataclass(frozen=True, slots=True)
class _Figures:
    """Adds up the figures of the workers."""

    totals: Totals

    def report(self, index: int, incarnation: int, samples: list[Any]) -> None:
        """Figures API."""
        self.totals.report(index, incarnation, received(samples))

    def end(self, index: int, incarnation: int) -> None:
        """Figures API."""
        self.totals.end(index, incarnation)

    def last(self, index: int) -> list[Any]:
        """Figures API."""
        return sent(self.totals.of_worker(index))
