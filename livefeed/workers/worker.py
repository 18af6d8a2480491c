"""The process of a worker: it accepts and holds connections, and serves the feeds that the parent sends.

Rules: settings, sockets and documents come over the link; the process reads no settings and pulls nothing. It serves
for as long as it can: a link that ends changes nothing for its connections. It ends when it is told to, and if no
parent has come for long.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from livefeed import __version__
from livefeed.admin.totals import sent
from livefeed.admin.tracing import sent_deliveries
from livefeed.document.timestamps import length_of
from livefeed.exceptions import LivefeedError, StartError, first_line
from livefeed.process.drain import DrainedServices
from livefeed.tls.tickets import TicketKeys
from livefeed.workers.configuration import access_of, files_of, settings_of
from livefeed.workers.feed_events import SEEN, FeedEvent, PatchFacts, SeenFacts, SnapshotQuestion
from livefeed.workers.link_client import LinkClient
from livefeed.workers.locks import Activity
from livefeed.workers.messages import (
    PROTOCOL,
    DrainOrder,
    Heartbeat,
    Hello,
    Lease,
    Message,
    Readiness,
    Welcome,
    message_of,
)
from livefeed.workers.served import make_served

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from twisted.internet.interfaces import IDelayedCall

    from livefeed.process.drain import Drain
    from livefeed.serving import ServiceReactor
    from livefeed.workers.link import Link, UNIXReactor
    from livefeed.workers.locks import WorkerLock
    from livefeed.workers.served import Served
    from livefeed.workers.worker_log import WorkerLog

    class WorkerReactor(ServiceReactor, UNIXReactor):
        """The parts of a reactor that a worker uses."""


HEARTBEAT_S = 0.5
"""Seconds between two heartbeats."""

UNWELCOME_S = 20.0
"""Seconds after which a worker ends that no parent has welcomed. It has no clients, and a parent answers at once."""

ALONE_S = 2.0
"""Seconds without a parent after which the log says so. At an upgrade, the next one is found within some tenths."""

_log = Logger()


@dataclass(eq=False)
class Worker(MultiService):
    """The services of a worker.

    :param paths: the names of the socket of the link, in the order in which they are tried.
    :param index: the index of the worker among the others.
    :param reactor: the reactor of the process. Once it stops, the process ends.
    :param log: sends the log to the parent.
    :param lock: takes note of what the worker does, for the next parent.
    :param generation: the number of parents by upgrade before the one that has started it.
    :ivar served: everything that clients use; ``None`` before the first welcome.
    :ivar failed: whether the worker cannot serve with its settings.
    """

    # required parameters
    paths: Sequence[Path]
    index: int
    reactor: WorkerReactor
    log: WorkerLog
    lock: WorkerLock
    generation: int = 0

    # internal state
    served: Served | None = None
    failed: bool = False
    _client: LinkClient = field(init=False)
    _heart: LoopingCall = field(init=False)
    _due_s: float = 0.0
    _beat_s: float = 0.0  # when the last heartbeat was sent, by the clock
    _orphan_after_s: float = 0.0
    _orphan_call: IDelayedCall | None = None
    _alone_call: IDelayedCall | None = None  # tells that there is no parent
    _is_ending: bool = False
    _services: MultiService | None = None
    _has_accepted: bool = False  # whether it was ever given sockets

    def __post_init__(self) -> None:
        super().__init__()
        self._client = LinkClient(self.paths, self.reactor, self._hello, self._welcome, self._note_refused)
        self._heart = LoopingCall(self._beat)
        self._heart.clock = self.reactor

    def startService(self) -> None:
        """IService API."""
        super().startService()
        signal.signal(signal.SIGTERM, lambda *_: self.reactor.callFromThread(self.end, "it received SIGTERM"))
        # A parent that was killed meanwhile has not told the time for orphans.
        self._orphan_after_s = UNWELCOME_S
        self._orphan_call = self.reactor.callLater(self._orphan_after_s, self._end_as_orphan)
        self._client.startService()

    def stopService(self) -> Deferred[Any]:
        """IService API. The link stays until the connections have ended."""
        return maybeDeferred(super().stopService).addBoth(self._close)

    def _close(self, _: object) -> Deferred[None] | None:
        if self._heart.running:
            self._beat()
            self._heart.stop()
        self._end_waiting()
        return self._client.stopService()

    def end(self, why: str) -> None:
        """Ends the process, after the connections were ended in order; at once if it ends already."""
        if self._is_ending:
            if self.served is not None:
                self.served.drain.hurry()
            return
        self._is_ending = True
        self.lock.tell(Activity.DRAINING)
        _log.info("ends: {why}", why=why)
        self.reactor.stop()

    # The link

    def send(self, message: Message) -> None:
        """Sends a message to the parent, if there is one."""
        link = self._client.link
        if link is not None:
            link.send(message)

    def _hello(self) -> Hello:
        if self.served is None:
            return Hello(PROTOCOL, __version__, os.getpid(), self.index, generation=self.generation)
        drain, ports = self.served.drain, self.served.accepting.ports
        feeds = self.served.feeds.feeds
        held = {name: service.held() for name, service in feeds.items()}
        return Hello(
            PROTOCOL,
            __version__,
            os.getpid(),
            self.index,
            {name: each for name, each in held.items() if each is not None},
            {name: each.published.places for name, each in feeds.items() if each.published.places is not None},
            [len(port.ports) for port in ports],
            [*self.served.sockets.descriptions],
            [[*port.ports] for port in ports],
            self.generation,
            self._is_ending or drain.is_draining,
        )

    def _welcome(self, link: Link, message: Message) -> None:
        link.receiver = self
        welcome = message.read(Welcome)
        self._orphan_after_s = welcome.orphan_after_s
        self._end_waiting()
        self.log.connect(link)
        if self.served is not None:
            message.close_fds()
            self._configure(message)
            # They may have been renamed while nobody could say so.
            self.served.serving.reopen_logs()
        elif not self._can_serve(message, welcome):
            return
        if not self._heart.running:
            self._due_s = self.reactor.seconds()
            self._heart.start(HEARTBEAT_S, now=True)
        link.send(Message("ready"))

    def receive(self, link: Link, message: Message) -> None:
        """Receiver API."""
        served = self.served
        if served is None or self.failed:
            # It is about to end.
            message.close_fds()
            return
        match message.type:
            case "feed":
                self._apply(served, message, message.read(FeedEvent))
            case "patch" | "lease" | "snapshot":
                self._answer(served, message)
            case "configuration":
                self._configure(message)
            case "reopen":
                served.serving.reopen_logs()
            case "drain" | "let_go":
                self._drain(served.drain, successor=message.read(DrainOrder).successor, ends=message.type == "drain")
            case "figures":
                served.serving.root.board.show(message.payload(0))
            case "readiness":
                served.health.told = message.read(Readiness).ready
            case _:
                if not served.sockets.receive(link, message):
                    message.close_fds()
                self._note_sockets(served)

    def flushed(self, link: Link) -> None:
        """Receiver API."""
        self.log.flush()

    def lost(self, link: Link) -> None:
        """Receiver API."""
        self.log.disconnect()
        if self.served is not None:
            self.served.health.told = None
            # They would not change any more.
            self.served.serving.root.board.clear()
        if self._is_ending:
            return
        if not self._has_accepted:
            # An upgrade has failed. Another parent has no use for it.
            self.end("the parent has ended before it gave sockets")
            return
        if self.served is not None and self.served.drain.is_draining:
            # It accepts no more, and would be in the way of the workers of the next parent.
            self.end("the parent has ended during a drain")
            return
        if self._alone_call is None:
            self._alone_call = self.reactor.callLater(ALONE_S, self._tell_alone)
        if self._orphan_after_s and self._orphan_call is None:
            self._orphan_call = self.reactor.callLater(self._orphan_after_s, self._end_as_orphan)

    def _note_refused(self) -> None:
        """Ends a worker without clients that the parent does not want: it is of an upgrade that has failed."""
        if not self._has_accepted:
            self.end("the parent refuses it, and it has no clients")

    def _note_sockets(self, served: Served) -> None:
        if not self._has_accepted and any(port.ports for port in served.accepting.ports):
            self._has_accepted = True
            self.lock.tell(Activity.ACCEPTING)
            if served.watch is not None:
                served.watch.setServiceParent(self._services)

    def _drain(self, drain: Drain, *, successor: bool, ends: bool) -> None:
        """Sends the watchers away. A second order, after another link, changes nothing.

        :param ends: whether the process ends afterwards.
        """
        if ends and not self._is_ending:
            drain.successor = successor
            self.end("the parent says so")
        elif not ends and not drain.is_draining:
            self.lock.tell(Activity.DRAINING)
            draining = Deferred.fromCoroutine(drain.begin(successor=successor))
            draining.addErrback(lambda failure: _log.failure("the drain has failed", failure))

    def _end_waiting(self) -> None:
        """Takes note that there is a parent, or that none is waited for any more."""
        orphan_call, self._orphan_call = self._orphan_call, None
        alone_call, self._alone_call = self._alone_call, None
        for call in (orphan_call, alone_call):
            if call is not None:
                call.cancel()

    def _tell_alone(self) -> None:
        self._alone_call = None
        if not self._is_ending:
            _log.warn("the link to the parent is lost; connections stay, and feeds become stale without news")

    def _end_as_orphan(self) -> None:
        self._orphan_call = None
        self.end(f"there was no parent for {length_of(self._orphan_after_s)} s")

    def _apply(self, served: Served, message: Message, event: FeedEvent) -> None:
        service = served.feeds.feeds.get(event.feed)
        if service is None:
            # It was removed; the parent counts the events that are on their way.
            self.send(message_of(SEEN, SeenFacts(event.feed)))
        else:
            service.receive(message, event)

    @staticmethod
    def _answer(served: Served, message: Message) -> None:
        """Takes what the parent says about a patch or about places for subscribers, or asks about a newest version."""
        kinds: dict[str, type[PatchFacts | Lease | SnapshotQuestion]] = {"lease": Lease, "snapshot": SnapshotQuestion}
        facts = message.read(kinds.get(message.type, PatchFacts))
        service = served.feeds.feeds.get(facts.feed)
        if service is None:
            return
        if isinstance(facts, Lease):
            service.published.places = facts.places
        elif isinstance(facts, SnapshotQuestion):
            service.tell(facts)
        else:
            service.receive_patch(message, facts)

    def _configure(self, message: Message) -> None:
        """Takes the settings of the parent, which has checked them. If that fails, the old ones stay."""
        served = self.served
        assert served is not None
        welcome = message.read(Welcome)
        before = served.certificates.files
        try:
            served.certificates.files = files_of(message, welcome)
            served.access.given = access_of(message, welcome)
            served.reload.apply(settings_of(welcome))
        except (LivefeedError, StartError) as error:
            served.certificates.files = before
            _log.error("the settings of the parent cannot be used, and the old ones stay: {why}", why=first_line(error))
        except Exception:
            # The end of the link would help nothing: the same settings come with the next welcome.
            served.certificates.files = before
            _log.failure("the settings of the parent broke, and the old ones stay")
        served.serving.publish_keys(welcome.key_set.encode())
        # Feeds that were removed end by themselves.
        served.reload.ended()
        if welcome.ticket_key is not None:
            served.certificates.tickets.replace(TicketKeys(message.payload(welcome.ticket_key)))

    # Serving

    def _can_serve(self, message: Message, welcome: Welcome) -> bool:
        """Begins to serve. If that fails, the process ends, and the log and the exit code tell the parent."""
        try:
            self._serve(message, welcome)
        except (LivefeedError, StartError) as error:
            _log.error("cannot serve: {why}", why=first_line(error))
        except Exception:
            _log.failure("cannot serve")
        else:
            return True
        self.failed = True
        self.end("it cannot serve")
        return False

    def _serve(self, message: Message, welcome: Welcome) -> None:
        """Makes everything that clients use, by the first welcome, and starts it."""
        sockets = message.take_sockets()
        served = make_served(
            settings_of(welcome),
            files_of(message, welcome),
            welcome,
            sockets,
            index=self.index,
            reactor=self.reactor,
            send=self.send,
            access=access_of(message, welcome),
        )
        if welcome.ticket_key is not None:
            served.certificates.tickets.replace(TicketKeys(message.payload(welcome.ticket_key)))
        self.served = served
        services = self._services = DrainedServices(served.drain)
        for service in served.services:
            service.setServiceParent(services)
        services.setServiceParent(self)
        self._note_sockets(served)

    # Heartbeats

    def _beat(self) -> None:
        """Sends the figures of this process: its counts and how late it is."""
        served = self.served
        if served is None or self._client.link is None:
            self._due_s = self.reactor.seconds() + HEARTBEAT_S
            return
        now = self.reactor.seconds()
        lag_s, self._due_s = max(0.0, now - self._due_s), now + HEARTBEAT_S
        if self._client.link.is_paused:
            # The parent is suspended. It takes its own pause into account, and a backlog would fill the memory.
            return
        # Times that are told twice do no harm, and those of the moment itself must not be lost.
        before_s, self._beat_s = self._beat_s, now
        pool = served.serving.pool
        self.send(
            message_of(
                "heartbeat",
                Heartbeat(
                    sent(served.figures.samples()),
                    served.drain.count(),
                    0 if pool is None else pool.capacity,
                    {name: service.published.watchers() for name, service in served.feeds.feeds.items()},
                    lag_s,
                    sent_deliveries(served.feeds.feeds.values(), before_s),
                    served.drain.report(),
                ),
            )
        )
