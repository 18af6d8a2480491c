"""The wiring of an upgrade: the parts of a parent that it hands over, and those that it takes over."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from livefeed import __version__
from livefeed.admin.totals import received
from livefeed.exceptions import CommandError, ConfigurationError, LinkError, StartError, first_line
from livefeed.process.adopting import AdoptingReactor
from livefeed.process.drain import DrainedServices
from livefeed.process.signals import share_logs
from livefeed.tls.tickets import TicketKeys
from livefeed.workers.feed_events import sequence_facts
from livefeed.workers.following import Following
from livefeed.workers.inherited_sockets import inherited_description
from livefeed.workers.messages import LeftWorker, Message, message_of
from livefeed.workers.succeeding import Succession, text_of_lacking
from livefeed.workers.succession import COMMIT, OFFER, PROTOCOL, CommitFacts, Offer, OfferedSockets
from livefeed.workers.upgrade import Result, Upgrade

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence

    from livefeed.admin.samples import Sample
    from livefeed.feed_service import PulledFeedService
    from livefeed.feed_set import FeedsService
    from livefeed.operating import Operating
    from livefeed.process.drain import Drain
    from livefeed.process.instance import Instance
    from livefeed.process.listener import Listener
    from livefeed.process.notify import Notify
    from livefeed.process.program import Program
    from livefeed.process.reload import Reloading
    from livefeed.tls.tickets import SessionTickets
    from livefeed.workers.bound_sockets import SocketGroup
    from livefeed.workers.broadcast import Broadcast
    from livefeed.workers.channel import Inheritance
    from livefeed.workers.link import Link
    from livefeed.workers.parent import Parent, ParentReactor

_UNDER_WAY = "an upgrade runs; `livefeed ctl workers` shows the processes"
_log = Logger()


class OperatorsPort(Protocol):
    """An endpoint of the operator's port."""

    def descriptor(self) -> int | None:
        """Gives the descriptor of its socket; ``None`` if nothing listens."""

    def rest(self) -> None:
        """Accepts nothing for a time."""

    def resume(self) -> None:
        """Accepts again."""


class Left(msgspec.Struct, frozen=True):
    """The payload of ``commit``: the counts, and the workers that run on."""

    counts: list[Any]
    workers: list[LeftWorker]


@dataclass(eq=False)
class ParentHoldings:
    """Everything of a parent that its successor takes over.

    :param ports: the endpoints of the operator's port, by their descriptions; that of the Unix socket by an empty one.
    :ivar program: how the process was started; set once.
    """

    # required parameters
    parent: Parent
    feeds: FeedsService[PulledFeedService]
    broadcast: Broadcast
    operating: Operating
    reloading: Reloading
    drain: Drain
    notify: Notify
    tickets: SessionTickets
    ports: Sequence[tuple[str, OperatorsPort]]
    services: DrainedServices
    program: Program | None

    # internal state
    _has_let_go: bool = False

    def obstacle(self) -> str:
        """Holdings API."""
        if self.drain.is_draining:
            return f"livefeed is being drained: {self.drain.phase.value}"
        if self.reloading.is_under_way:
            return "a reload runs; wait for its end"
        if not self.parent.has_begun or any(not each.group.sockets for each in self.parent.endpoints):
            return "livefeed has not started completely; wait until it is ready"
        if not self.operating.instance.directory.is_ours:
            return "another livefeed has the runtime directory"
        return ""

    def can_be_followed(self) -> bool:
        """Holdings API."""
        return self.notify.manager is not None

    def environment(self) -> Mapping[str, str]:
        """Holdings API."""
        return {} if self.notify.manager is None else self.notify.manager.environment()

    def offer(self) -> Message:
        """Holdings API."""
        fds: list[int] = []
        listen, admin = [], []
        for group in (each.group for each in self.parent.endpoints):
            indexes = sorted(group.sockets)
            listen.append(OfferedSockets(group.description, indexes, group.is_shared))
            fds += [group.sockets[index].fileno() for index in indexes]
        for description, port in self.ports:
            fd = port.descriptor()
            if fd is not None:
                admin.append(OfferedSockets(description, [0]))
                fds.append(fd)
        assert self.program is not None
        offer = Offer(
            PROTOCOL,
            __version__,
            os.getpid(),
            self.parent.generation + 1,
            str(self.operating.instance.path),
            listen,
            admin,
            [*self.feeds.feeds],
            self.program.is_daemon,
            None if self.program.pidfile is None else str(self.program.pidfile),
        )
        return message_of(OFFER, offer, [self.tickets.keys.data], fds)

    def begin(self) -> None:
        """Holdings API."""
        self.operating.commands.refusal = self.reloading.refusal = _UNDER_WAY
        share_logs()

    def follow(self, link: Link) -> None:
        """Holdings API."""
        self.broadcast.add_follower(link)

    def receive(self, link: Link, message: Message) -> bool:
        """Holdings API."""
        return self.broadcast.receive(link, message)

    async def let_go(self, link: Link) -> Message:
        """Holdings API."""
        why = self.obstacle()
        if why:
            raise CommandError(why)
        self._has_let_go = True
        for _, port in self.ports:
            port.rest()
        self._keep_pidfile(is_ours=False)
        self.parent.resign()
        for writing in [maybeDeferred(service.pause) for service in self.feeds.feeds.values()]:
            await writing
        # Behind it nothing changes: the last states and sequences.
        self.broadcast.show_all(link)
        snapshots = {name: service.feed.snapshot for name, service in self.feeds.feeds.items()}
        facts = CommitFacts(
            {name: sequence_facts(each.sequence) for name, each in snapshots.items() if each is not None}
        )
        left = Left([_sent(each) for each in self.operating.handover()], self.parent.workers_to_leave())
        return message_of(COMMIT, facts, [msgspec.json.encode(left)], [self.operating.instance.directory.lock])

    def take_back(self, link: Link | None) -> None:
        """Holdings API."""
        if link is not None:
            self.broadcast.remove(link)
        self.operating.commands.refusal = self.reloading.refusal = ""
        if not self._has_let_go:
            return
        self._has_let_go = False
        self.parent.resume()
        try:
            self.operating.instance.directory.sign()
        except OSError as error:
            # Only messages read it.
            _log.warn("the lock of the runtime directory names another process: {why}", why=error.strerror)
        for service in self.feeds.feeds.values():
            service.resume()
        for _, port in self.ports:
            port.resume()
        self._keep_pidfile(is_ours=True)
        if self.program is not None and self.program.pidfile is not None:
            write_pidfile(self.program.pidfile)

    def hand_over(self, pid: int) -> None:
        """Holdings API."""
        self.notify.hand_over(pid)
        self.services.are_handed_over = True
        for endpoint in self.parent.endpoints:
            endpoint.group.hand_over()

    def _keep_pidfile(self, *, is_ours: bool) -> None:
        if self.program is not None:
            self.program.keep_pidfile(is_ours=is_ours)


def _sent(sample: Sample) -> list[Any]:
    return [sample.name, [list(label) for label in sample.labels], sample.value]


@dataclass(eq=False)
class Later(Service):
    """A service that begins when this process has taken over.

    :param service: the service.
    """

    # required parameters
    service: Service

    # internal state
    _has_begun: bool = False

    def begin(self) -> None:
        """Starts the service."""
        self._has_begun = True
        self.service.privilegedStartService()
        self.service.startService()

    def stopService(self) -> Any:
        """IService API."""
        super().stopService()
        return self.service.stopService() if self._has_begun else None


@dataclass(eq=False)
class ParentEstate:
    """The parts of a new parent that take over.

    :param inheritance: the offer of the old parent.
    :param own: the parts of this process.
    :param later: the services that begin then, in their order.
    """

    # required parameters
    inheritance: Inheritance
    own: ParentHoldings
    following: Following
    upgrade: Upgrade
    later: Sequence[Later]

    def receive(self, link: Link, message: Message) -> bool:
        """Estate API."""
        return self.following.receive(link, message)

    def lacking(self) -> str:
        """Estate API."""
        feeds = {*self.inheritance.offer.feeds} & self.own.feeds.feeds.keys() - self.following.pictured
        return text_of_lacking(self.own.parent.supervisor.report(), feeds)

    def take(self, message: Message) -> None:
        """Estate API."""
        facts, left = message.read(CommitFacts), _left_of(message)
        known = self.following.sequences()
        for name, sequence in facts.sequences.items():
            if name in self.own.feeds.feeds and known.get(name) != tuple(sequence):
                raise LinkError(f'the newest version of the feed "{name}" has not arrived')
        self.following.end()
        try:
            for service in self.own.feeds.feeds.values():
                service.restore()
            self.own.operating.instance.take_over(os.dup(message.fds[0]))
            self.own.parent.take_over(left.workers)
        except (OSError, CannotListenError) as error:
            raise LinkError(first_line(error)) from None
        self.own.operating.totals.take_over(received(left.counts))
        self.upgrade.counts[Result.DONE] += 1

    def begin(self) -> None:
        """Estate API."""
        for endpoint in self.own.parent.endpoints:
            endpoint.group.take_over()
        self.inheritance.close_rest()
        self.own.operating.commands.refusal = self.own.reloading.refusal = ""
        for each in self.later:
            try:
                each.begin()
            except (Exception, StartError):
                # The others are worth more: this process is the only parent.
                _log.failure("a part of livefeed did not begin after the upgrade")
        if self.own.program is not None and self.own.program.pidfile is not None:
            self.own.program.keep_pidfile(is_ours=True)
            write_pidfile(self.own.program.pidfile)


def _left_of(message: Message) -> Left:
    try:
        return msgspec.json.decode(message.payload(0), type=Left)
    except msgspec.DecodeError as error:
        raise LinkError(f"the payload of commit cannot be read: {error}") from None


@dataclass(eq=False)
class SucceedingServices(DrainedServices):
    """The services of a new parent. A start that fails is told to the old one."""

    def __init__(self, drain: Drain, inheritance: Inheritance) -> None:
        super().__init__(drain)
        self._inheritance = inheritance

    def privilegedStartService(self) -> None:
        """IService API.

        :raises StartError: if a service cannot start.
        """
        share_logs()
        try:
            super().privilegedStartService()
        except StartError as error:
            self._inheritance.fail(first_line(error).removeprefix("livefeed: "))
            raise

    def startService(self) -> None:
        """IService API.

        :raises StartError: if a service cannot start.
        """
        try:
            super().startService()
        except StartError as error:
            self._inheritance.fail(first_line(error).removeprefix("livefeed: "))
            raise


@dataclass(eq=False)
class Takeover:
    """The differences that an upgrade makes to the start of a parent; none without an inheritance.

    :param inheritance: everything that the parent before offers; ``None`` if this is no upgrade.
    """

    # required parameters
    inheritance: Inheritance | None

    # internal state
    _later: list[Later] = field(default_factory=list)
    _adopted: set[str] = field(default_factory=set)

    @property
    def generation(self) -> int:
        """The number of parents by upgrade before this one."""
        return 0 if self.inheritance is None else self.inheritance.offer.generation

    def program(self, program: Program | None) -> Program | None:
        """Gives the program of this process, with the place among the processes that the parent before had."""
        if self.inheritance is None or program is None:
            return program
        offer = self.inheritance.offer
        pidfile = None if offer.pidfile is None else Path(offer.pidfile)
        return program.succeeding(is_daemon=offer.is_daemon, pidfile=pidfile)

    def take_tickets(self, tickets: SessionTickets) -> None:
        """Takes the key of session tickets, so that clients resume the sessions of the workers before."""
        if self.inheritance is not None and self.inheritance.ticket_key:
            tickets.replace(TicketKeys(self.inheritance.ticket_key))

    def inherit(self, group: SocketGroup) -> str:
        """Gives a group the sockets of the parent before, if that has some of the same description.

        :returns: the description by which the endpoint is made. That of inherited sockets names no file and no
            variable of the environment any more.
        """
        found = None if self.inheritance is None else self.inheritance.listening(group.description)
        if found is None:
            return group.description
        offered, sockets = found
        group.inherit(sockets, is_shared=offered.is_shared)
        return inherited_description(group.description)

    def operators_endpoint(self, reactor: Any, endpoint_of: Callable[..., Any], description: str) -> Any:
        """Makes an endpoint of the operator's port. If the parent before listens on it, so does this one.

        :param endpoint_of: makes the endpoint of a reactor and a description.
        """
        sock = None if self.inheritance is None else self.inheritance.operating(description)
        if sock is None:
            return endpoint_of(reactor, description, setting="admin")
        self._adopted.add(description)
        return endpoint_of(AdoptingReactor(reactor, sock), inherited_description(description), setting="admin")

    def operators_socket(self) -> socket.socket | None:
        """Gives the operator's Unix socket of the parent before; ``None`` if there is none."""
        return None if self.inheritance is None else self.inheritance.operating("")

    def await_predecessor(self, instance: Instance) -> None:
        """Has the instance claim nothing until the parent before hands over.

        :raises ConfigurationError: if it has another runtime directory.
        """
        if self.inheritance is None:
            return
        before, path = self.inheritance.offer.runtime_dir, instance.path
        if Path(before) != path:
            why = f"the runtime directory is {before}, and would be {path}: that needs a restart"
            raise ConfigurationError(why, "runtime_dir")
        instance.await_predecessor()

    def later(self, service: Service) -> Service:
        """Has a service begin when the parent before has handed over."""
        if self.inheritance is None:
            return service
        later = Later(service)
        self._later.append(later)
        return later

    def later_if_adopted(self, listener: Listener) -> Service:
        """The same for a listener, if its socket is that of the parent before. Another one is bound at the start."""
        return self.later(listener) if listener.description in self._adopted else listener

    def services(self, drain: Drain) -> DrainedServices:
        """Makes the services of the process."""
        return DrainedServices(drain) if self.inheritance is None else SucceedingServices(drain, self.inheritance)

    def succession(self, holdings: ParentHoldings, upgrade: Upgrade, reactor: ParentReactor) -> tuple[Succession, ...]:
        """Makes the service that takes over; none without an inheritance.

        :param holdings: the parts of this process.
        """
        if self.inheritance is None:
            return ()
        following = Following(holdings.feeds.feeds, holdings.broadcast)
        following.begin()
        holdings.operating.commands.refusal = holdings.reloading.refusal = "this process has not taken over yet"
        estate = ParentEstate(self.inheritance, holdings, following, upgrade, self._later)
        return (Succession(self.inheritance, estate, reactor),)


def write_pidfile(path: Path) -> None:
    """Puts the id of this process into a file, in one step. If that fails, the log says so."""
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_bytes(b"%d" % os.getpid())
        new.replace(path)
    except OSError as error:
        _log.warn("{path} has the id of the process before: {why}", path=str(path), why=error.strerror)
