"""The parent of workers: connects their processes, links, sockets, accounts and canaries, and the feeds.

A parent of an upgrade begins without the sockets: its workers prove themselves, while the parent before it goes on.
Once it takes over, it gives them the sockets, and has the workers of earlier generations send their watchers away.

Rules: everything here can be made anew from the messages of the workers, because a parent may be killed at any time.
The feeds are pulled only after the workers of an earlier parent have said which versions they have, so that sequences
never go back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.logger import Logger

from livefeed.exceptions import LinkError, RuntimeDirError, StartError, first_line
from livefeed.process.drain import LONGEST_STOP_S
from livefeed.workers.accounts import Accounts
from livefeed.workers.adoption import Adoption
from livefeed.workers.bound_sockets import is_unix
from livefeed.workers.canary import Canary, Way
from livefeed.workers.connected import ConnectedWorkers
from livefeed.workers.leaving import LeavingWorkers
from livefeed.workers.link import REFUSED
from livefeed.workers.locks import RunningWorker, remove_left_over
from livefeed.workers.messages import LeftWorker, Message
from livefeed.workers.reception import Reception
from livefeed.workers.releasing import WorkersRelease
from livefeed.workers.sharing import Sharing
from livefeed.workers.supervisor import Supervisor
from livefeed.workers.worker_link import WorkerLink

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from twisted.internet.interfaces import IReactorCore

    from livefeed.process.runtime_dir import RuntimeDir
    from livefeed.workers.accounts import Figures
    from livefeed.workers.bound_sockets import GroupEndpoint
    from livefeed.workers.canary import CanaryReactor, Question
    from livefeed.workers.earlier import EarlierWorkers
    from livefeed.workers.link import Link
    from livefeed.workers.messages import Hello
    from livefeed.workers.processes import WorkerProcesses
    from livefeed.workers.reception import Feeds

    class ParentReactor(IReactorCore, CanaryReactor):
        """The parts of a reactor that a parent uses."""


_log = Logger()


class Server(Protocol):
    """Accepts the links: livefeed's ``LinkServer``."""

    def startService(self) -> None:
        """IService API."""

    def stopService(self) -> Any:
        """IService API."""

    def publish(self) -> None:
        """Has workers of earlier generations find this server, instead of that of the parent before.

        :raises OSError: if that fails.
        """


@dataclass(eq=False)
class Parent(MultiService):
    """The workers, and the services that begin when the workers of an earlier parent are found.

    :param count: number of workers.
    :param reactor: the reactor of the process.
    :param directory: gives the runtime directory.
    :param endpoints: the endpoints of ``--listen``.
    :param processes: starts workers and signals them.
    :param make_server: makes the service that accepts links, from the runtime directory, a function that is called with
        each link that has said hello, the generation, and whether workers of earlier generations may find it.
    :param feeds: sends the feeds to the workers.
    :param figures: takes the figures of the workers.
    :param welcome: gives the answer to the hello of a worker, without sockets.
    :param question: gives the request of canaries.
    :param limits: gives the number of subscribers that each feed may have, by name; 0 for no limit.
    :param factory: the factory that the endpoints are given.
    :param generation: the number of parents by upgrade before this one. A parent that is no upgrade finds it itself.
    :param has_sockets: whether the workers may accept from the start, and not after :meth:`take_over`.
    :ivar accounts: the figures and the places of the workers.
    :ivar has_begun: whether the feeds have begun: before, no version is the newest one.
    :ivar earlier: the workers of earlier generations.
    :ivar supervisor: decides about the workers.
    :ivar reception: takes the messages that workers of all generations send alike.
    :ivar releasing: has the workers send their watchers away.
    """

    # required parameters
    count: int
    reactor: ParentReactor
    directory: Callable[[], RuntimeDir]
    endpoints: Sequence[GroupEndpoint]
    processes: WorkerProcesses
    make_server: Callable[[Path, Callable[[Link, Hello], None], int, bool], Server]
    feeds: Feeds
    figures: Figures
    welcome: Callable[[int], Message]
    question: Callable[[], Question]
    limits: Callable[[], Mapping[str, int]]
    factory: object
    generation: int = 0
    has_sockets: bool = True

    # internal state
    accounts: Accounts = field(init=False)
    reception: Reception = field(init=False)
    supervisor: Supervisor = field(init=False)
    earlier: EarlierWorkers = field(init=False)
    releasing: WorkersRelease = field(init=False)
    _adoption: Adoption = field(init=False)
    _connected: ConnectedWorkers = field(init=False)
    _leaving: LeavingWorkers = field(init=False)
    _server: Server | None = None
    has_begun: bool = False
    _is_prepared: bool = False  # whether the workers of an earlier parent were looked for

    def __post_init__(self) -> None:
        super().__init__()
        groups = [each.group for each in self.endpoints]
        self._ways = [Way.of(group.description) for group in groups]
        sharing = Sharing(groups, lambda of: self.supervisor.lent_to(of), self.has_sockets)  # noqa: PLW0108 - made later
        self._connected = ConnectedWorkers(sharing, self._may_share)
        self.supervisor = Supervisor(self.count, self.reactor, self, self._connected)
        self.supervisor.can_lend = self.has_sockets
        self.releasing = WorkersRelease(self.supervisor, self._connected.send_all)
        self.accounts = Accounts(self.figures, self.limits, self._connected.send_lease)
        self.reception = Reception(self.feeds, self.accounts)
        self._leaving = LeavingWorkers(
            self.reactor,
            self.processes,
            self.accounts,
            self.feeds,
            self.reception.take,
            lambda index: self.welcome(index % self.count),
            self._path,
            self._note_heard,
        )
        self.earlier = self._leaving.workers
        self._adoption = Adoption(
            self.reactor, self.processes, self._path, self.endpoints, self.earlier.unheard, self._note_adopted
        )
        self.processes.ended = self._note_ended

    # Start and stop

    def _path(self) -> Path:
        return self.directory().path

    def _may_share(self) -> bool:
        return not (self.supervisor.has_resigned or self.supervisor.is_releasing)

    def privilegedStartService(self) -> None:
        """IService API. Looks for workers of an earlier parent, before anything is bound.

        :raises StartError: if another process uses the runtime directory, or workers of a newer livefeed do.
        """
        Service.privilegedStartService(self)
        if self._is_prepared:
            return
        self._is_prepared = True
        if self.has_sockets:
            directory = self.directory()
            if not directory.is_ours:
                raise StartError(f"livefeed: --workers: {directory.why_not}; set another --instance or --runtime-dir")
            try:
                self.generation = self._adoption.look()
            except RuntimeDirError as error:
                raise StartError(f"livefeed: --workers: {error}") from None
        for endpoint in self.endpoints:
            group = endpoint.group
            # Nothing listens before somebody accepts. A Unix socket cannot be bound without listening.
            is_new = not self.has_sockets and not group.sockets and not is_unix(group.description)
            group.is_deferred = self._adoption.has_found() or is_new
        for service in self:
            service.privilegedStartService()

    def startService(self) -> None:
        """IService API. The services in this one begin now, or when the workers of an earlier parent are found.

        Without sockets they begin after :meth:`take_over`.
        """
        self.privilegedStartService()
        Service.startService(self)
        path = self._path()
        self._server = self.make_server(path, self._greet, self.generation, self.has_sockets)
        self._server.startService()
        if not self.has_sockets:
            self.has_begun = True
            self.reactor.callWhenRunning(self._start_workers)
            return
        self._adoption.find(self.generation, self._leaving.expect)
        remove_left_over(path, self.generation)
        if self._adoption.has_to_wait():
            self._adoption.wait()
        elif any(endpoint.group.is_deferred for endpoint in self.endpoints):
            self.reactor.callWhenRunning(self._adoption.go_on)
        else:
            self._begin()

    def _begin(self) -> None:
        """Starts the services in this one, and the workers once the reactor runs: it notices then when they end."""
        self.has_begun = True
        for service in self:
            service.startService()
        self._grant_places()
        self.reactor.callWhenRunning(self._start_workers)

    def _start_workers(self) -> None:
        if self.running:
            self.supervisor.start()

    def stopService(self) -> Deferred[Any]:
        """IService API. Fires when all workers have ended, after the time to drain and some seconds at the latest."""
        Service.stopService(self)
        for each in self._adoption.stop():
            if not self.supervisor.is_known(each.index, each.pid):
                self.supervisor.retire(each.pid, LONGEST_STOP_S)
        stopping = [maybeDeferred(service.stopService) for service in reversed(self.services) if service.running]
        if not self.supervisor.has_resigned:
            stopping += self.supervisor.stop(LONGEST_STOP_S), self.earlier.stop()
        return gatherResults(stopping).addBoth(self._close)

    def _close(self, result: Any) -> Any:
        self._connected.close()
        self.earlier.leave()
        self.processes.let_go()
        self._adoption.close()
        server, self._server = self._server, None
        return result if server is None else maybeDeferred(server.stopService).addCallback(lambda _: result)

    def hurry(self) -> None:
        """Kills all workers once they have been told to end, instead of waiting for their connections."""
        self.supervisor.hurry()
        self.earlier.hurry()

    # Upgrades

    def resign(self) -> None:
        """Starts, kills and lends nothing from now on: the next parent takes over."""
        self.supervisor.has_resigned = True

    def resume(self) -> None:
        """Goes on after :meth:`resign`: the next parent has failed.

        It may have taken over, and not have told it: workers find this parent again, and its own ones are sent away.
        """
        self.supervisor.has_resigned = False
        if self._server is not None:
            try:
                self._server.publish()
            except OSError as error:
                _log.error("workers of other generations do not find the link: {why}", why=first_line(error))
        self._connected.share_out_all()

    def workers_to_leave(self) -> list[LeftWorker]:
        """Gives the workers that run, for the next parent: with their counts and their places of limited feeds."""
        own = [
            (RunningWorker(self.generation, index, self.supervisor.workers[index].pid), index)
            for index in self.supervisor.alive()
        ]
        return [
            LeftWorker(of.generation, of.index, of.pid, *self.accounts.left(place))
            for of, place in [*own, *((each.of, each.place) for each in self.earlier)]
        ]

    def take_over(self, left: Iterable[LeftWorker] = ()) -> None:
        """Takes the place of the parent before this one, and begins: sockets, workers of earlier generations, feeds.

        :param left: the workers of that parent, as far as it has told; all others are found by their locks.
        :raises OSError: if the name of the link's socket cannot be made. Nothing was done then.
        :raises CannotListenError: if an endpoint that is new cannot be listened on. Nothing was done then.
        """
        assert self._server is not None
        for endpoint in self.endpoints:
            if endpoint.group.is_deferred:
                endpoint.group.settle({})
        self._server.publish()
        self._leaving.expect_before(self.generation, left)
        remove_left_over(self._path(), self.generation)
        self.has_sockets = self._connected.sharing.has_sockets = self.supervisor.can_lend = True
        self._connected.share_out_all()
        for service in self:
            service.startService()
        self._grant_places()

    def _note_heard(self) -> None:
        """Goes on if no worker of an earlier generation is left that has not said hello."""
        if self._adoption.is_waiting:
            self._adoption.go_on_if_complete()
        else:
            self._grant_places()

    # Workers of an earlier parent

    def _note_adopted(self) -> None:
        """Goes on without the workers of an earlier parent that have not said hello."""
        if self.running:
            self.earlier.kill_unheard()
            Deferred.fromCoroutine(self._settle()).addErrback(self._give_up)

    async def _settle(self) -> None:
        await self._adoption.settle(self.factory)
        if not self.running:
            return
        self._begin()
        for worker in self._connected:
            self._connected.share_out(worker)
            worker.watch()

    def _give_up(self, failure: Any) -> None:
        """Ends the process: the start has failed after its usual place."""
        _log.critical("livefeed: the start fails: {why}", why=first_line(failure.value))
        self.reactor.stop()

    # Links

    def _greet(self, link: Link, hello: Hello) -> None:
        """Takes a worker that has said hello, or refuses a process that is none."""
        index, pid = hello.index, link.pid
        if self.supervisor.is_stopping or self.supervisor.has_resigned:
            self._refuse(link, index)
            return
        if self._greet_other(link, hello):
            return
        is_awaited = self._adoption.is_awaited(pid) and bool(hello.sockets)
        if is_awaited and self._can_continue(index, hello):
            self.supervisor.adopt(index, pid)
            self.accounts.begin(index)
        elif not self.supervisor.is_known(index, pid):
            self._refuse(link, index)
            return
        worker = WorkerLink(self, self.supervisor, self.reactor, index, link, hello.places, len(self.endpoints))
        self._connected.add(worker)
        link.receiver = worker
        self.supervisor.heard(index)
        self._connected.sharing.welcome(worker, hello, self.welcome(index))
        self.feeds.add(link, hello.feeds)
        self.accounts.connect(index, hello.places)
        if is_awaited:
            worker.is_asked = True
            link.send(Message("sockets"))
        elif self.has_begun:
            self._connected.share_out(worker)
        if self.releasing.order is not None:
            link.send(self.releasing.order)

    def _greet_other(self, link: Link, hello: Hello) -> bool:
        """Takes a worker of another generation, and tells whether it is one that this parent sends away."""
        if hello.generation > self.generation and hello.sockets:
            # It is of an upgrade that has failed, and got sockets in its last moment.
            self._leaving.expect(RunningWorker(hello.generation, hello.index, link.pid))
        return self.earlier.greet(link, hello)

    def _grant_places(self) -> None:
        """Divides the places of limited feeds, once all workers have said which ones they have."""
        if not (self.accounts.are_places_granted or self.earlier.untold()) and self.has_sockets:
            self.accounts.grant((worker.index, worker.places) for worker in self._connected)

    def _can_continue(self, index: int, hello: Hello) -> bool:
        """Tells whether a worker of an earlier parent has the endpoints and the place of a worker of this one."""
        listen = [each.group.description for each in self.endpoints]
        return index < self.count and hello.listen == listen and not self.supervisor.workers[index].pid

    def _refuse(self, link: Link, index: int) -> None:
        why = "there is no place for it: this parent has other workers or endpoints"
        link.send(Message(REFUSED, {"why": why}))
        link.close()
        if self._adoption.is_awaited(link.pid):
            _log.info("worker {index} of an earlier parent (process {pid}) ends", index=index, pid=link.pid)
            self.supervisor.retire(link.pid, LONGEST_STOP_S)
            self._adoption.leave_out(link.pid)

    def note_lost(self, worker: WorkerLink) -> None:
        """Owner API."""
        self.feeds.remove(worker.link)
        self._connected.remove(worker)

    def receive(self, worker: WorkerLink, message: Message) -> None:
        """Owner API."""
        if message.type != "sockets":
            message.close_fds()
        if not worker.allowance.take(message.type):
            return
        match message.type:
            case "ready":
                worker.is_accepting = True
                worker.watch()
            case "sockets":
                self._take_sockets(worker, message)
            case _:
                index = worker.index
                beat = self.reception.take(worker, index, f"worker {index}", message)
                if beat is not None:
                    figures = {"connections": beat.connections, "capacity": beat.capacity, "lag_s": beat.lag_s}
                    self.supervisor.heard(index, {**figures, "watchers": beat.watchers})
                    self.releasing.take(index, beat.drain)

    def _take_sockets(self, worker: WorkerLink, message: Message) -> None:
        if not worker.is_asked:
            raise LinkError("a message sockets has come that was not asked for")
        worker.is_asked = False
        worker.sockets = self._adoption.take(message)
        self._adoption.leave_out(worker.link.pid)
        worker.is_accepting = True
        worker.watch()

    def index_of(self, link: object) -> int:
        """Gives the index of the worker with a link, among those of this parent; 0 if it has ended."""
        earlier = self.earlier.of_link(link)
        return earlier.of.index % self.count if earlier is not None else self._connected.index_of(link) or 0

    # Processes, for the supervisor

    def spawn(self, index: int) -> int:
        """Processes API."""
        self.accounts.begin(index)
        return self.processes.spawn(self.generation, index)

    def kill(self, pid: int, number: signal.Signals) -> None:
        """Processes API."""
        self.processes.kill(pid, number)

    def _note_ended(self, pid: int, why: str) -> None:
        if self.earlier.ended(pid):
            return
        ended = [index for index in range(self.count) if self.supervisor.is_known(index, pid)]
        for index in ended:
            self.accounts.end(index)
            self._connected.lose(index)  # a canary on its link would be taken for one of the next process
        self._adoption.leave_out(pid)
        self.supervisor.ended(pid, why)
        for index in ended:
            self.releasing.end(index)

    def canary_of(self, worker: WorkerLink) -> Canary:
        """Owner API."""
        return Canary(self.reactor, worker.give_canary, self._ways, self.question)

    # Reports

    def report(self) -> list[dict[str, Any]]:
        """Gives the facts about all workers, for the operator."""
        own = [{**each, "generation": self.generation} for each in self.supervisor.report()]
        return own + self.earlier.report()

    def is_ready(self) -> bool:
        """Tells whether all workers are ready."""
        return all(map(self.supervisor.is_ready, range(self.count)))
