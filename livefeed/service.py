"""The only wiring: settings in, a tree of services out."""

from __future__ import annotations

import errno
import resource
import select
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.application.service import MultiService, Service
from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger, globalLogPublisher
from twisted.python.logfile import LogFile

from livefeed import clocks
from livefeed.admin.metrics import Figures, metrics_root
from livefeed.config.settings import Settings
from livefeed.delivery.pages import Root
from livefeed.delivery.published_feed import PublishedFeed
from livefeed.delivery.websocket.protocol import Handshakes, SubscriberFactory
from livefeed.document.history import History
from livefeed.exceptions import ConfigurationError, StartError, option_of
from livefeed.feed.feed import Feed
from livefeed.feed.persistence import JournalService
from livefeed.intake.puller import Puller
from livefeed.process.endpoints import CertificateFiles, make_endpoint, port_of
from livefeed.process.memory import Collector
from livefeed.sources import make_source
from livefeed.storage.journal import Journal
from livefeed.threads import defer_to_new_thread
from livefeed.tls.development import default_directory, development_certificate
from livefeed.tls.options import ServedCertificates
from livefeed.transport.sockets import NOTSENT_LOWAT_BYTES, limit_unsent
from livefeed.web.cors import Origins
from livefeed.web.reconnect_slots import ReconnectSlots
from livefeed.web.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from twisted.internet.interfaces import IListeningPort, IReactorTime, IStreamServerEndpoint
    from twisted.python.failure import Failure

    from livefeed.config.settings import FeedSettings
    from livefeed.delivery.events import EventStream
    from livefeed.tls.options import Validity
    from livefeed.transport.pool import Pool

DRAIN_S = 3.0
"""How long requests under way and closing handshakes may take once livefeed is told to stop."""

MAX_SPREAD_S = 1.0
"""The first pulls of several feeds are spread over one interval, but over so long at most: nobody waits an hour."""

_DAY_S = 86_400.0
_DRAIN_POLL_S = 0.05
_REMEDIES = {
    errno.EACCES: "; ports below 1024 take CAP_NET_BIND_SERVICE (AmbientCapabilities= in the unit), or start livefeed "
    "as root, with --uid of twistd; or take a port above 1023",
    errno.EADDRINUSE: "; another process listens there: `ss -ltnp` names it",
    errno.EADDRNOTAVAIL: "; no interface of this machine has this address",
}
_ABOUT_SIGHUP = "received SIGHUP: {what}; a new certificate is read at the next start"
_ABOUT_SIGUSR1 = "received SIGUSR1, which changes nothing: there is no log file (--logfile of twistd) to rotate"

_log = Logger()


def make_service(settings: Settings, reactor: Any) -> MultiService:
    """Gives the services that serve the feeds.

    :param settings: what the operator set.
    :param reactor: what everything runs on.
    :raises ConfigurationError: if a setting cannot work; nothing has been started then.
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
    certificate = _Certificate(settings)
    listening, pool = _transport(settings, reactor)
    connections = _Connections(site, subscribers, served, pool, reactor)
    collector = Collector(connections.count, reactor)
    shown = [feed.feed for feed in settings.feeds]
    certificates = ServedCertificates()
    with settings.named():
        listeners = [
            _Listener(
                description,
                make_endpoint(listening, description, certificate, served=certificates),
                site,
                settings.place("listen"),
                partial(_describe, shown),
            )
            for description in settings.listen
        ]
        if settings.metrics is not None:
            figures = Figures([(one.poller, one.served) for one in followed], site, pool, collector, certificates)
            listeners.append(
                _Listener(
                    settings.metrics,
                    # Not among the watchers, so that there is something to see when there are too many of them.
                    make_endpoint(reactor, settings.metrics, certificate, "metrics", certificates),
                    Site(metrics_root(figures), reactor=reactor),
                    settings.place("metrics"),
                    lambda base: f"the metrics {base}/metrics",
                )
            )
        certificate.look_if_unused()
    # Stopped in the reverse order: nobody new is let in, then those who are there are let go, then the ticks end.
    services = MultiService()
    for service in (
        _Termination(reactor),  # before there is anything that a supervisor could wait for, and then signal
        *keepers,
        *(one.poller for one in followed),
        connections,
        collector,
        *listeners,
        _Announcement(listeners),  # behind all that can end the start
        _CertificateWatch(certificates, reactor),
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
        reactor: Any,
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
        upgrade = Handshakes(subscribers, origins).answer
        return cls(poller, PublishedFeed(feed, origins, upgrade, settings.max_subscribers, in_thread))


def _transport(settings: Settings, reactor: Any) -> tuple[Any, Pool | None]:
    """Gives what endpoints listen with, and what holds the connections; ``None`` if that is the reactor itself."""
    if settings.transport == "twisted":
        for name in ("max_connections", "accept_rate", "handshake_timeout"):
            if getattr(settings, name) != getattr(Settings(), name):
                _log.warn("{option} is the fast transport's, and has no effect here", option=option_of(name))
        return reactor, None
    if not hasattr(select, "epoll"):
        _log.warn("there is no epoll on this system: Twisted's transport is used instead of the fast one")
        return reactor, None
    from livefeed.transport.endpoint import PoolReactor
    from livefeed.transport.pool import Limits, Pool

    limits = Limits(
        connections=settings.max_connections,
        accept_rate=settings.accept_rate,
        handshake_s=settings.handshake_timeout,
        idle_s=settings.idle_timeout,
    )
    pool = Pool(reactor, limits)
    return PoolReactor(pool), pool


@dataclass(slots=True)
class _Certificate:
    """Gives the operator's certificate, or a development one, which is made when it is first asked for."""

    # required parameters
    settings: Settings

    # internal state
    _is_used: bool = False

    def __call__(self) -> CertificateFiles:
        self._is_used = True
        if self.settings.cert is not None and self.settings.key is not None:
            return CertificateFiles(self.settings.cert, self.settings.key)
        made = development_certificate(default_directory())
        _log.warn(
            "serving a development certificate, {cert}, of the CA {ca}; its SHA-256 fingerprint is {fingerprint}",
            cert=made.cert,
            ca=made.ca,
            fingerprint=made.fingerprint,
        )
        return CertificateFiles(made.cert, made.key)

    def look_if_unused(self) -> None:
        """Warns of an operator's certificate that no endpoint has asked for.

        :raises ConfigurationError: if there is no such file.
        """
        if self._is_used or self.settings.cert is None or self.settings.key is None:
            return
        for name, file in (("cert", self.settings.cert), ("key", self.settings.key)):
            if not file.is_file():
                raise ConfigurationError(f"{file}: there is no such file", name)
        _log.warn(
            "{place} has no effect: no endpoint serves with it; one of the kind tls: would",
            place=self.settings.place("cert"),
        )


@dataclass(eq=False)
class _CertificateWatch(Service):
    """Warns of certificates that clients refuse, or soon will: at the start, and then once a day."""

    # required parameters
    certificates: Iterable[Validity]
    clock: IReactorTime

    # internal state
    _loop: LoopingCall = field(init=False)

    def __post_init__(self) -> None:
        self._loop = LoopingCall(self._look)
        self._loop.clock = self.clock

    def startService(self) -> None:
        """IService API."""
        super().startService()
        self._loop.start(_DAY_S)

    def stopService(self) -> None:
        """IService API."""
        super().stopService()
        self._loop.stop()

    def _look(self) -> None:
        for complaint in (validity.complaint(clocks.wall()) for validity in self.certificates):
            if complaint is not None:
                _log.warn("{complaint}", complaint=complaint)


@dataclass(eq=False)
class _Listener(Service):
    """Listens on one endpoint, or ends the start with a message that says why not."""

    # required parameters
    description: str
    endpoint: IStreamServerEndpoint
    site: Site
    place: str
    describe: Callable[[str], str]

    # internal state
    _port: IListeningPort | None = None

    def privilegedStartService(self) -> None:
        """IService API. Ports below 1024 are bound before privileges are given up."""
        super().privilegedStartService()
        failures: list[Failure] = []
        self.endpoint.listen(self.site).addCallbacks(self._listening, failures.append)
        # Raised here, outside of the Deferred, so that the start ends with it.
        for failure in failures:
            error = failure.value
            why = error.socketError if isinstance(error, CannotListenError) else error
            remedy = _REMEDIES.get(getattr(why, "errno", None) or 0, "") if port_of(self.description) else ""
            why = getattr(why, "strerror", None) or why
            raise StartError(f"livefeed: {self.place}: {self.description}: {why}{remedy}")

    def startService(self) -> None:
        """IService API."""
        super().startService()
        if self._port is None:
            self.privilegedStartService()

    def stopService(self) -> Any:
        """IService API."""
        super().stopService()
        port, self._port = self._port, None
        return None if port is None else port.stopListening()

    def _listening(self, port: IListeningPort) -> None:
        self._port = port
        if isinstance(port, tcp.Port):
            _limit_unsent(port)

    def announce(self) -> None:
        """Logs where it listens, and what is there."""
        shown = port_of(self.description)
        if shown is None or self._port is None:
            _log.info("listening on {description}", description=self.description)
            return
        scheme, _ = shown
        address: Any = self._port.getHost()
        _log.info(
            "listening on {description}: {what}",
            description=self.description,
            what=self.describe(f"{scheme}://localhost:{address.port}"),
        )


@dataclass(eq=False)
class _Announcement(Service):
    """Logs where livefeed listens, once that is true: every endpoint is bound, and every feed has its versions back.

    What comes in before that waits in the kernel until the reactor runs.
    """

    # required parameters
    listeners: Sequence[_Listener]

    def startService(self) -> None:
        """IService API."""
        super().startService()
        for listener in self.listeners:
            listener.announce()


def _limit_unsent(port: Any) -> None:
    """Has Twisted's own transport keep little of what a slow reader does not take, as the fast transport does.

    It would be megabytes in the kernel, and 64 KiB besides: old versions, and the newest behind them.
    """
    members = {"bufferSize": NOTSENT_LOWAT_BYTES, "unsent_bytes": property(_unsent_bytes)}
    port.transport = type("Server", (port.transport,), members)
    limit_unsent(port.socket)


def _unsent_bytes(transport: Any) -> int:
    """Gives what the fast transport's ``unsent_bytes`` gives. Twisted's TLS hands on what it does not have itself."""
    return len(transport.dataBuffer) - int(transport.offset) + int(transport._tempDataLen)  # noqa: SLF001


def _describe(feeds: Sequence[str], base: str) -> str:
    """Gives what an operator finds at an endpoint.

    :param base: the beginning of its URLs.
    """
    text = f"the page is {base}/, "
    if len(feeds) > 1:
        return text + f"the list of the {len(feeds)} feeds {base}/-/feeds.json"
    return text + f"the document {base}/{feeds[0]}, the WebSocket ws{base.removeprefix('http')}/{feeds[0]}.ws"


@dataclass(eq=False)
class _Connections(Service):
    """Lets everybody go when livefeed stops: requests are answered, subscribers told, nobody is waited for long."""

    # required parameters
    site: Site
    subscribers: SubscriberFactory
    served: Sequence[PublishedFeed]
    pool: Pool | None
    reactor: IReactorTime

    def count(self) -> int:
        """Gives how many there are."""
        if self.pool is not None:
            return len(self.pool.connections)
        return len(self.subscribers.protocols_open) + len(self.streams()) + len(self.site.channels)

    def streams(self) -> list[EventStream]:
        """Gives the streams of events that there are."""
        return [stream for one in self.served for stream in one.streams()]

    def privilegedStartService(self) -> None:
        """IService API. This comes before the listeners, which take what they may hold from the limit."""
        super().privilegedStartService()
        _raise_file_limit()
        if self.pool is not None:
            _warn_of_few_files()

    def stopService(self) -> Deferred[None]:
        """IService API."""
        super().stopService()
        return Deferred.fromCoroutine(self._let_go())

    async def _let_go(self) -> None:
        self.subscribers.let_go()
        # One for all feeds, or each would have its first clients come back at the same moment.
        slots = ReconnectSlots()
        for one in self.served:
            one.let_go(slots)
        for channel in tuple(self.site.channels):
            channel.drain()
        if self.pool is not None:
            self.pool.end_idle()
        deadline = self.reactor.seconds() + DRAIN_S
        while self.count() and self.reactor.seconds() < deadline:
            await deferLater(self.reactor, _DRAIN_POLL_S)
        left: list[Any] = [*self.subscribers.protocols_open, *self.streams(), *self.site.channels]
        for protocol in left:
            protocol.transport.abortConnection()


@dataclass(eq=False)
class _Termination(Service):
    """Makes SIGTERM an orderly end, with exit code 0.

    Twisted stops on SIGTERM too, but twistd then ends itself by that signal, which supervisors take for a failure.
    """

    # required parameters
    reactor: Any

    # internal state
    _stopping: bool = False

    def startService(self) -> None:
        """IService API."""
        super().startService()
        signal.signal(signal.SIGTERM, self._terminate)
        self._take_others()
        # Again, since the reactor installs its own handlers when it begins to run.
        self.reactor.callWhenRunning(signal.signal, signal.SIGTERM, self._terminate)

    def privilegedStartService(self) -> None:
        """IService API."""
        super().privilegedStartService()
        self._take_others()

    def _take_others(self) -> None:
        # Both would end the process at once. With a log file, twistd itself rotates it on SIGUSR1.
        signal.signal(signal.SIGHUP, lambda *_: self.reactor.callFromThread(_reopen_logs))
        if signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL:
            signal.signal(signal.SIGUSR1, lambda *_: self.reactor.callFromThread(_log.warn, _ABOUT_SIGUSR1))

    def _terminate(self, number: int, frame: object) -> None:
        if not self._stopping:
            self._stopping = True
            _log.info("Received SIGTERM, shutting down.")
            later = self.reactor.callFromThread if self.reactor.running else self.reactor.callWhenRunning
            later(self.reactor.stop)


def _reopen_logs() -> None:
    """Goes on in a new log file by the same name, once logrotate has renamed the old one."""
    # twistd keeps its file to itself; only the observer that writes to it leads there.
    outputs = [getattr(observer, "_outFile", None) for observer in globalLogPublisher._observers]  # noqa: SLF001
    files = [output for output in outputs if isinstance(output, LogFile)]
    what = "there is no log file to open again"
    for file in files:
        try:
            # First, since the old one would be closed by then: --uid may not make a file in this folder.
            with Path(file.path).open("ab"):
                pass
            file.reopen()
            what = f"{file.path} is opened again"
        except OSError as error:
            what = f"{file.path} cannot be opened again: {error.strerror}"
    _log.warn(_ABOUT_SIGHUP, what=what)


def _warn_of_few_files() -> None:
    """Tells that the fast transport has next to no room, where more files are set aside than it leaves for watchers."""
    from livefeed.transport.pool import RESERVED_FILES

    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit < 2 * RESERVED_FILES:
        _log.warn(
            "there may be {limit} open files, of which {reserved} are not for connections: raise the limit "
            "(LimitNOFILE= in the unit, ulimit -n in a shell)",
            limit=limit,
            reserved=RESERVED_FILES,
        )


def _raise_file_limit() -> None:
    """Takes as many open files as may be had: each watcher is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError) as error:  # such as by a filter of system calls
            _log.warn("the limit of open files stays {soft}: {error}", soft=soft, error=error)
            return
        _log.info("the limit of open files is raised from {soft} to {hard}", soft=soft, hard=hard)
