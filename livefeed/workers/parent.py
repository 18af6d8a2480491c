"""The parent of workers: finds those of an earlier parent, connects processes, links, sockets and canaries.

Rules: everything here can be made anew from the messages of the workers, because a parent may be killed at any time.
The feeds are pulled only after the workers of an earlier parent have said which versions they have, so that sequences
never go back.
"""

from __future__ import annotations

import signal
import socket
from dataclasses import dataclass, field
from itertools import count as counting
from typing import TYPE_CHECKING, Any, Protocol

from twisted.application.service import MultiService, Service
from twisted.internet.defer import CancelledError, Deferred, gatherResults, maybeDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger, LogLevel

from livefeed.exceptions import LinkError, StartError, first_line
from livefeed.process.drain import DRAIN_S
from livefeed.workers.allowance import Allowance
from livefeed.workers.canary import Canary, CanaryError, Way
from livefeed.workers.leases import Leases
from livefeed.workers.link import REFUSED
from livefeed.workers.messages import Heartbeat, Lease, Line, Message, Readiness, message_of
from livefeed.workers.processes import running_workers
from livefeed.workers.releasing import WorkersRelease
from livefeed.workers.sockets import AdoptFacts, CanaryFacts, OwnerFacts, SocketsFacts, is_listening, is_unix
from livefeed.workers.supervisor import State, Supervisor
from livefeed.workers.worker_log import MAX_CHARACTERS, MAX_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from twisted.internet.interfaces import IReactorCore

    from livefeed.process.runtime_dir import RuntimeDir
    from livefeed.workers.canary import CanaryReactor, Question
    from livefeed.workers.link import Link
    from livefeed.workers.messages import Held, Hello
    from livefeed.workers.processes import WorkerProcesses
    from livefeed.workers.sockets import GroupEndpoint

    class ParentReactor(IReactorCore, CanaryReactor):
        """The parts of a reactor that a parent uses."""


ADOPT_S = 3.0
"""Seconds that workers of an earlier parent have to say hello and pass on their sockets. They look for a parent five
times a second. One that does not is killed, and another one takes its place."""

CANARY_S = 1.0
"""Seconds between two canaries of a worker that is ready."""

CANARIES_PER_S = 4.0
"""The largest number of canaries of all workers together per second. One takes 2 ms of the parent with TLS."""

RETRY_S = 0.1
"""Seconds between two canaries of a worker that is not ready."""

_LEVELS = {level.name: level for level in LogLevel.iterconstants()}
_log = Logger()


class Feeds(Protocol):
    """The feeds of the parent, as they are sent to the workers."""

    def add(self, link: Link, held: Mapping[str, Held], /) -> None:
        """Sends everything to a worker from now on."""

    def remove(self, link: Link, /) -> None:
        """Sends a worker nothing more."""

    def receive(self, link: Link, message: Message, /) -> bool:
        """Takes a message of a worker, and tells whether it was about feeds."""


class Figures(Protocol):
    """Takes the figures of the workers."""

    def report(self, index: int, incarnation: int, samples: list[Any], /) -> None:
        """Takes the samples of a process.

        :param incarnation: the number of the process among those with the same index.
        """

    def end(self, index: int, incarnation: int, /) -> None:
        """Takes note that a process has ended."""


@dataclass(eq=False)
class Parent(MultiService):
    """The workers, and the services that begin when the workers of an earlier parent are found.

    :param count: number of workers.
    :param reactor: the reactor of the process.
    :param directory: gives the runtime directory.
    :param endpoints: the endpoints of ``--listen``.
    :param processes: starts workers and signals them.
    :param make_server: makes the service that accepts links, from the runtime directory and a function that is called
        with each link that has said hello.
    :param feeds: sends the feeds to the workers.
    :param figures: takes the figures of the workers.
    :param welcome: gives the answer to the hello of a worker, without sockets.
    :param question: gives the request of canaries.
    :param limits: gives the number of subscribers that each feed may have, by name; 0 for no limit.
    :param factory: the factory that the endpoints are given.
    :ivar supervisor: decides about the workers.
    :ivar releasing: has the workers send their watchers away.
    :ivar is_livefeed_ready: tells whether clients may be sent here, for the public port; the owner may set it. Without
        it, nothing is sent.
    :ivar deliveries: takes the deliveries of a worker, for the trace; the owner may set it.
    """

    # required parameters
    count: int
    reactor: ParentReactor
    directory: Callable[[], RuntimeDir]
    endpoints: Sequence[GroupEndpoint]
    processes: WorkerProcesses
    make_server: Callable[[Path, Callable[[Link, Hello], None]], Service]
    feeds: Feeds
    figures: Figures
    welcome: Callable[[int], Message]
    question: Callable[[], Question]
    limits: Callable[[], Mapping[str, int]]
    factory: object

    # internal state
    supervisor: Supervisor = field(init=False)
    releasing: WorkersRelease = field(init=False)
    is_livefeed_ready: Callable[[], bool] | None = None
    deliveries: Callable[[int, list[Any]], object] = field(default=lambda index, deliveries: None)  # noqa: ARG005
    _leases: Leases = field(init=False)
    _server: Service | None = None
    _links: dict[int, _WorkerLink] = field(default_factory=dict)
    _awaited: dict[int, int] | None = (
        None  # workers of an earlier parent that have not passed on their sockets, by index
    )
    _adopted: dict[str, dict[int, socket.socket]] = field(default_factory=dict)
    _incarnations: dict[int, int] = field(default_factory=dict)
    _waiting: Any = None
    _has_begun: bool = False

    def __post_init__(self) -> None:
        super().__init__()
        self.supervisor = Supervisor(self.count, self.reactor, self, self)
        self.releasing = WorkersRelease(self.supervisor, self._send_all)
        self.processes.ended = self._note_ended
        self._leases = Leases(self.limits, self._send_lease)
        self._numbers = counting(1)
        self._ways = [Way.of(each.group.description) for each in self.endpoints]

    # Start and stop

    def privilegedStartService(self) -> None:
        """IService API. Looks for workers of an earlier parent, before anything is bound.

        :raises StartError: if another process uses the runtime directory.
        """
        Service.privilegedStartService(self)
        if self._awaited is not None:
            return
        directory = self.directory()
        if not directory.is_ours:
            raise StartError(f"livefeed: --workers: {directory.why_not}; set another --instance or --runtime-dir")
        self._awaited = running_workers(directory.path)
        for endpoint in self.endpoints:
            endpoint.group.is_deferred = bool(self._awaited)
        for service in self:
            service.privilegedStartService()

    def startService(self) -> None:
        """IService API. The services in this one begin now, or when the workers of an earlier parent are found."""
        self.privilegedStartService()
        Service.startService(self)
        self._server = self.make_server(self.directory().path, self._greet)
        self._server.startService()
        self._hold_awaited()
        if self._awaited:
            _log.info("workers of an earlier parent run: {indexes}", indexes=_listed(self._awaited))
            self._waiting = self.reactor.callLater(ADOPT_S, self._end_waiting)
        elif self._is_deferred():
            self.reactor.callWhenRunning(self._end_waiting)
        else:
            self._begin()

    def _hold_awaited(self) -> None:
        """Holds the workers of an earlier parent. From then on, their ids cannot pass to other processes unnoticed."""
        awaited = self._awaited or {}
        for index, pid in tuple(awaited.items()):
            if not self.processes.hold(pid):
                del awaited[index]
        running = running_workers(self.directory().path) if awaited else {}
        for index, pid in tuple(awaited.items()):
            if running.get(index) != pid:
                # It has ended before it was held, which may be another process.
                del awaited[index]
                self.processes.let_go(pid)

    def _is_deferred(self) -> bool:
        return any(endpoint.group.is_deferred for endpoint in self.endpoints)

    def _begin(self) -> None:
        """Starts the services in this one, and the workers once the reactor runs: it notices then when they end."""
        self._has_begun = True
        for service in self:
            service.startService()
        self.reactor.callWhenRunning(self._start_workers)

    def _start_workers(self) -> None:
        if self.running:
            self.supervisor.start()

    def stopService(self) -> Deferred[Any]:
        """IService API. Fires when all workers have ended, after the time to drain and some seconds at the latest."""
        Service.stopService(self)
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()
        awaited, self._awaited = self._awaited or {}, {}
        for index, pid in awaited.items():
            if not self.supervisor.is_known(index, pid):
                self.supervisor.retire(pid, DRAIN_S)
        stopping = [maybeDeferred(service.stopService) for service in reversed(self.services) if service.running]
        stopping.append(self.supervisor.stop(DRAIN_S))
        return gatherResults(stopping).addBoth(self._close)

    def _close(self, result: Any) -> Any:
        for link in tuple(self._links.values()):
            link.link.close()
        self.processes.let_go()
        _close_all(self._adopted)
        server, self._server = self._server, None
        return result if server is None else maybeDeferred(server.stopService).addCallback(lambda _: result)

    # Workers of an earlier parent

    def _end_waiting(self) -> None:
        """Goes on without the workers of an earlier parent that have not said hello."""
        self._waiting = None
        if not self.running:
            return
        silent, self._awaited = self._awaited or {}, {}
        for index, pid in silent.items():
            text = "worker {index} of an earlier parent (process {pid}) does not answer, and is killed"
            _log.warn(text, index=index, pid=pid)
            self.processes.kill(pid, signal.SIGKILL)
        Deferred.fromCoroutine(self._settle()).addErrback(self._give_up)

    def _await_no_more(self, index: int) -> None:
        """Waits no more for a worker of an earlier parent, and goes on if it was the last one."""
        awaited = self._awaited
        if awaited and awaited.pop(index, None) is not None and not awaited and self._waiting is not None:
            self._waiting.cancel()
            self._end_waiting()

    async def _settle(self) -> None:
        adopted, self._adopted = self._adopted, {}
        for endpoint in self.endpoints:
            found = adopted.pop(endpoint.group.description, {})
            await endpoint.settle(found, self.factory)
        _close_all(adopted)
        if not self.running:
            return
        self._begin()
        for link in self._links.values():
            link.watch()

    def _give_up(self, failure: Any) -> None:
        """Ends the process: the start has failed after its usual place."""
        _log.critical("livefeed: the start fails: {why}", why=first_line(failure.value))
        self.reactor.stop()

    def _take_sockets(self, index: int, link: Link, message: Message) -> None:
        facts = message.read(SocketsFacts)
        if len(message.fds) != len(facts.listen):
            raise LinkError("a message sockets does not name each of its sockets")
        sockets = message.take_sockets()
        known = {each.group.description for each in self.endpoints}
        for (description, owner), sock in zip(facts.listen, sockets, strict=True):
            of_endpoint = self._adopted.setdefault(description, {})
            owner_here = 0 if is_unix(description) or sock.family == socket.AF_UNIX else owner
            is_wanted = description in known and owner_here not in of_endpoint and is_listening(sock)
            if self._has_begun or not is_wanted:
                sock.close()
            else:
                of_endpoint[owner_here] = sock
            if owner != index and self.running:
                link.send(message_of("release", OwnerFacts(owner)))
        self._await_no_more(index)

    # Links

    def _greet(self, link: Link, hello: Hello) -> None:
        """Takes a worker that has said hello, or refuses a process that is none."""
        index, pid = hello.index, link.pid
        is_awaited = self._awaited is not None and self._awaited.get(index) == pid and bool(hello.sockets)
        if is_awaited and self._can_continue(index, hello):
            self.supervisor.adopt(index, pid)
        elif not self.supervisor.is_known(index, pid) or self.supervisor.is_stopping:
            self._refuse(link, index)
            return
        before = self._links.pop(index, None)
        if before is not None:
            before.lose()
        worker = self._links[index] = _WorkerLink(self, index, link)
        link.receiver = worker
        self.supervisor.heard(index)
        self._welcome(index, link, hello)
        self.feeds.add(link, hello.feeds)
        self._leases.connect(index, hello.places)
        if is_awaited:
            worker.is_asked = True
            link.send(Message("sockets"))
        elif sum(hello.sockets) > 0:
            self._repeat_loans(index, link, hello)
        if self.releasing.order is not None:
            link.send(self.releasing.order)

    def _can_continue(self, index: int, hello: Hello) -> bool:
        """Tells whether a worker of an earlier parent has the endpoints and the place of a worker of this one."""
        listen = [each.group.description for each in self.endpoints]
        return index < self.count and hello.listen == listen and not self.supervisor.workers[index].pid

    def _refuse(self, link: Link, index: int) -> None:
        why = "there is no place for it: this parent has other workers or endpoints"
        link.send(Message(REFUSED, {"why": why}))
        link.close()
        if self._awaited is not None and self._awaited.get(index) == link.pid:
            _log.info("worker {index} of an earlier parent (process {pid}) ends", index=index, pid=link.pid)
            self.supervisor.retire(link.pid, DRAIN_S)
            self._await_no_more(index)

    def _welcome(self, index: int, link: Link, hello: Hello) -> None:
        message = self.welcome(index)
        listen: list[int] = []
        fds: list[int] = []
        if not hello.sockets:
            listen, fds = self._listen_of(index, also_shared=True)
        link.send(Message(message.type, {**message.facts, "listen": listen}, message.payloads, tuple(fds)))

    def _listen_of(self, index: int, *, also_shared: bool) -> tuple[list[int], list[int]]:
        """Gives the endpoints and the descriptors of the sockets that are meant for a worker."""
        found = [
            (number, sock.fileno())
            for number, endpoint in enumerate(self.endpoints)
            if also_shared or not endpoint.group.is_shared
            for _, sock in endpoint.group.sockets_of(index)
        ]
        return [number for number, _ in found], [fd for _, fd in found]

    def note_lost(self, worker: _WorkerLink) -> None:
        """Takes note that a link has ended."""
        self.feeds.remove(worker.link)
        if self._links.get(worker.index) is worker:
            del self._links[worker.index]

    def receive(self, worker: _WorkerLink, message: Message) -> None:
        """Takes a message of a worker."""
        index = worker.index
        if not worker.allowance.take(message.type):
            return
        match message.type:
            case "heartbeat":
                beat = message.read(Heartbeat)
                figures = {"connections": beat.connections, "capacity": beat.capacity, "lag_s": beat.lag_s}
                self.supervisor.heard(index, {**figures, "watchers": beat.watchers})
                self.figures.report(index, self._incarnations.get(index, 0), beat.samples)
                self.deliveries(index, beat.deliveries)
                self.releasing.take(index, beat.drain)
                if self.is_livefeed_ready is not None:
                    worker.tell_readiness(ready=self.is_livefeed_ready())
                self._leases.report(index, {name: sum(ways.values()) for name, ways in beat.watchers.items()})
            case "ready":
                worker.is_accepting = True
                worker.watch()
            case "log":
                _log_line(index, message.read(Line), worker.allowance)
            case "sockets":
                if not worker.is_asked:
                    raise LinkError("a message sockets has come that was not asked for")
                worker.is_asked = False
                self._take_sockets(index, worker.link, message)
                worker.is_accepting = True
                worker.watch()
            case _:
                self.feeds.receive(worker.link, message)

    def index_of(self, link: object) -> int:
        """Gives the index of the worker with a link; 0 if it has ended."""
        return next((index for index, worker in self._links.items() if worker.link is link), 0)

    def _send_all(self, message: Message) -> None:
        for worker in tuple(self._links.values()):
            worker.link.send(message)

    def _send_lease(self, index: int, name: str, places: int | None) -> None:
        worker = self._links.get(index)
        if worker is not None:
            worker.link.send(message_of("lease", Lease(name, places)))

    # Processes and lending, for the supervisor

    def spawn(self, index: int) -> int:
        """Processes API."""
        self._incarnations[index] = next(self._numbers)
        return self.processes.spawn(index)

    def kill(self, pid: int, number: signal.Signals) -> None:
        """Processes API."""
        self.processes.kill(pid, number)

    def lend(self, owner: int, to: int) -> bool:
        """Lending API. Shared sockets are not lent: the worker accepts on them already."""
        worker = self._links.get(to)
        if worker is None:
            return False
        self._lend_on(worker.link, owner)
        return True

    def _lend_on(self, link: Link, owner: int) -> None:
        listen, fds = self._listen_of(owner, also_shared=False)
        if listen:
            link.send(message_of("adopt", AdoptFacts(owner, listen), (), fds))

    def _repeat_loans(self, index: int, link: Link, hello: Hello) -> None:
        """Tells a worker for which others it is to accept: messages about it may have been lost with its last link."""
        lent = self.supervisor.lent_to(index)
        if sum(hello.sockets) > len(self._listen_of(index, also_shared=True)[0]):
            for owner in range(self.count):
                if owner != index and owner not in lent:
                    link.send(message_of("release", OwnerFacts(owner)))
        for owner in lent:
            self._lend_on(link, owner)

    def take_back(self, owner: int, borrower: int) -> None:
        """Lending API."""
        worker = self._links.get(borrower)
        if worker is not None:
            worker.link.send(message_of("release", OwnerFacts(owner)))

    def _note_ended(self, pid: int, why: str) -> None:
        ended = [index for index in range(self.count) if self.supervisor.is_known(index, pid)]
        for index in ended:
            self.figures.end(index, self._incarnations.get(index, 0))
            self._leases.disconnect(index)
            link = self._links.get(index)
            if link is not None:
                link.lose()  # a canary on it would be taken for one of the next process
        for index in [each for each, other in (self._awaited or {}).items() if other == pid]:
            self._await_no_more(index)
        self.supervisor.ended(pid, why)
        for index in ended:
            self.releasing.end(index)

    # Canaries

    def canary_of(self, link: Link) -> Canary:
        """Makes the canary of a worker."""

        def give(endpoint: int, fd: int) -> None:
            link.send(message_of("canary", CanaryFacts(endpoint), (), (fd,)))

        return Canary(self.reactor, give, self._ways, self.question)

    @property
    def has_begun(self) -> bool:
        """Whether the feeds have begun: before, no version is the newest one."""
        return self._has_begun

    # Reports

    def report(self) -> list[dict[str, Any]]:
        """Gives the facts about all workers, for the operator."""
        return self.supervisor.report()

    def is_ready(self) -> bool:
        """Tells whether all workers are ready."""
        return all(each.state is State.READY for each in self.supervisor.workers)

    def obstacle(self) -> str | None:
        """Gives the reason why not all workers serve the newest version; ``None`` if they do, or need not any more."""
        if self.supervisor.is_releasing:
            return None
        missing = [
            each.index for each in self.supervisor.workers if each.state is not State.READY or each.canary_s is None
        ]
        return f"workers do not serve their canaries: {_listed(missing)}" if missing else None


@dataclass(eq=False)
class _WorkerLink:
    """The link to a worker that was welcome.

    :ivar allowance: limits the number of its messages.
    :ivar is_accepting: whether the worker accepts on its sockets.
    :ivar is_asked: whether it was asked for its sockets, and has not answered.
    """

    # required parameters
    parent: Parent
    index: int
    link: Link

    # internal state
    allowance: Allowance = field(init=False)
    is_accepting: bool = False
    is_asked: bool = False
    _told: bool | None = None  # whether the worker was told last that livefeed is ready
    _watching: Deferred[None] | None = None
    _is_lost: bool = False

    def __post_init__(self) -> None:
        self.allowance = Allowance(self.parent.reactor.seconds)

    def receive(self, link: Link, message: Message) -> None:
        """Receiver API."""
        self.parent.receive(self, message)

    def flushed(self, link: Link) -> None:
        """Receiver API."""

    def lost(self, link: Link) -> None:
        """Receiver API."""
        self.lose()

    def lose(self) -> None:
        """Takes note that this link is used no more."""
        if not self._is_lost:
            self._is_lost = True
            if self._watching is not None:
                self._watching.cancel()
            self.parent.note_lost(self)
            self.link.close()

    def tell_readiness(self, *, ready: bool) -> None:
        """Tells the worker whether livefeed is ready, if it was not told so before."""
        if ready is not self._told:
            self._told = ready
            self.link.send(message_of("readiness", Readiness(ready)))

    def watch(self) -> None:
        """Sends canaries as long as the link lasts, once the worker accepts and the feeds have begun."""
        if self.is_accepting and self.parent.has_begun and self._watching is None and not self._is_lost:
            self._watching = Deferred.fromCoroutine(self._watch())
            self._watching.addErrback(lambda failure: failure.trap(CancelledError) and None)

    async def _watch(self) -> None:
        parent, supervisor = self.parent, self.parent.supervisor
        canary = parent.canary_of(self.link)
        every_s = max(CANARY_S, parent.count / CANARIES_PER_S)
        turn = 0
        # During a drain nothing new is accepted, not even a canary.
        while not supervisor.is_releasing:
            is_ready = supervisor.workers[self.index].state is State.READY
            try:
                if is_ready:
                    turn = (turn + 1) % len(parent.endpoints)
                    delay_s = await canary.check(turn)
                else:
                    delay_s = await canary.check_all()
            except (CanaryError, LinkError) as error:
                supervisor.unserved(self.index, first_line(error))
            else:
                supervisor.served(self.index, delay_s)
            await deferLater(parent.reactor, every_s if is_ready else RETRY_S)


def _log_line(index: int, line: Line, allowance: Allowance) -> None:
    """Writes a line of a worker's log into that of the parent."""
    level = _LEVELS.get(line.level, LogLevel.info)
    logger = Logger(line.namespace[:MAX_NAMESPACE])
    left_out, allowance.left_out = allowance.left_out, 0
    if left_out:
        text = "worker {index}: {count} lines of its log are left out: there were too many"
        _log.warn(text, index=index, count=left_out)
    logger.emit(level, "worker {index}: {text}", index=index, text=line.text[:MAX_CHARACTERS])


def _close_all(adopted: dict[str, dict[int, socket.socket]]) -> None:
    """Closes sockets of an earlier parent that are not used."""
    for sockets in adopted.values():
        for sock in sockets.values():
            sock.close()
    adopted.clear()


def _listed(indexes: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(indexes)))
