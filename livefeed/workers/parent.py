"""The parent of workers: finds those of an earlier parent, connects processes, links, sockets and canaries.

A parent of an upgrade begins without the sockets: its workers prove themselves, while the parent before it goes on.
Once it takes over, it gives them the sockets, and has the workers of earlier generations send their watchers away.

Rules: everything here can be made anew from the messages of the workers, because a parent may be killed at any time.
The feeds are pulled only after the workers of an earlier parent have said which versions they have, so that sequences
never go back.
"""

from __future__ import annotations

import signal
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count as counting
from typing import TYPE_CHECKING, Any, Protocol

from twisted.application.service import MultiService, Service
from twisted.internet.defer import CancelledError, Deferred, gatherResults, maybeDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger, LogLevel

from livefeed.exceptions import LinkError, RuntimeDirError, StartError, first_line
from livefeed.process.drain import LONGEST_STOP_S
from livefeed.workers.allowance import Allowance
from livefeed.workers.canary import Canary, CanaryError, Way
from livefeed.workers.earlier import EarlierWorkers
from livefeed.workers.leases import Leases
from livefeed.workers.link import REFUSED
from livefeed.workers.locks import (
    Activity,
    RunningWorker,
    generation_after,
    holder_of,
    lock_path,
    remove_left_over,
    running_workers,
)
from livefeed.workers.messages import Heartbeat, Lease, LeftWorker, Line, Message, Readiness, message_of
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
    from livefeed.workers.earlier import EarlierWorker
    from livefeed.workers.link import Link
    from livefeed.workers.messages import Held, Hello
    from livefeed.workers.processes import WorkerProcesses
    from livefeed.workers.sockets import GroupEndpoint

    class ParentReactor(IReactorCore, CanaryReactor):
        """The parts of a reactor that a parent uses."""


ADOPT_S = 3.0
"""Seconds that workers of an earlier parent have to say hello and pass on their sockets. They look for a parent five
times a second. One that does not is killed, and another one takes its place."""

CANARY_S = 2.0
"""Seconds between two canaries of a worker that is ready. Its heartbeats tell sooner that it hangs."""

CANARIES_PER_S = 2.0
"""The largest number of canaries of all workers together per second. With TLS, one takes 2 ms of the parent and 1 ms of
the worker, and 10,000 deliveries take 150 ms: one per second, of two workers, is 2 % of them."""

PAUSED_S = 0.5
"""Seconds by which the end of :data:`ADOPT_S` may be late. If it is later, this process did not run meanwhile, as on a
machine that is overloaded, and has not read what the workers have said."""

ROUNDS = 5
"""The number of times that workers of an earlier parent are given :data:`ADOPT_S` at most."""

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

    def last(self, index: int, /) -> list[Any]:
        """Gives the last samples of the process with an index, as :meth:`report` takes them."""


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
    :ivar earlier: the workers of earlier generations.
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
    supervisor: Supervisor = field(init=False)
    earlier: EarlierWorkers = field(init=False)
    releasing: WorkersRelease = field(init=False)
    is_livefeed_ready: Callable[[], bool] | None = None
    deliveries: Callable[[int, str, list[Any]], object] = field(default=lambda place, name, deliveries: None)  # noqa: ARG005
    _leases: Leases = field(init=False)
    _has_leases: bool = False
    _server: Server | None = None
    _links: dict[int, _WorkerLink] = field(default_factory=dict)
    _running: list[RunningWorker] | None = None  # those of earlier parents, as the start has found them
    _awaited: dict[int, RunningWorker] = field(
        default_factory=dict
    )  # those of this generation that have not passed on their sockets, by process
    _adopted: dict[str, dict[int, socket.socket]] = field(default_factory=dict)
    _incarnations: dict[int, int] = field(default_factory=dict)
    _waiting: Any = None
    _has_begun: bool = False

    def __post_init__(self) -> None:
        super().__init__()
        self.supervisor = Supervisor(self.count, self.reactor, self, self)
        self.supervisor.can_lend = self.has_sockets
        self.earlier = EarlierWorkers(self.reactor, self.processes, self)
        self.releasing = WorkersRelease(self.supervisor, self._send_all)
        self.processes.ended = self._note_ended
        self._leases = Leases(self.limits, self._send_lease)
        self._numbers = counting(1)
        self._ways = [Way.of(each.group.description) for each in self.endpoints]

    # Start and stop

    def privilegedStartService(self) -> None:
        """IService API. Looks for workers of an earlier parent, before anything is bound.

        :raises StartError: if another process uses the runtime directory, or workers of a newer livefeed do.
        """
        Service.privilegedStartService(self)
        if self._running is not None:
            return
        self._running = []
        if self.has_sockets:
            directory = self.directory()
            if not directory.is_ours:
                raise StartError(f"livefeed: --workers: {directory.why_not}; set another --instance or --runtime-dir")
            try:
                self._running = running_workers(directory.path)
            except RuntimeDirError as error:
                raise StartError(f"livefeed: --workers: {error}") from None
            self.generation = generation_after(self._running)
        for endpoint in self.endpoints:
            group = endpoint.group
            # Nothing listens before somebody accepts. A Unix socket cannot be bound without listening.
            is_new = not self.has_sockets and not group.sockets and not is_unix(group.description)
            group.is_deferred = bool(self._running) or is_new
        for service in self:
            service.privilegedStartService()

    def startService(self) -> None:
        """IService API. The services in this one begin now, or when the workers of an earlier parent are found.

        Without sockets they begin after :meth:`take_over`.
        """
        self.privilegedStartService()
        Service.startService(self)
        path = self.directory().path
        self._server = self.make_server(path, self._greet, self.generation, self.has_sockets)
        self._server.startService()
        if not self.has_sockets:
            self._has_begun = True
            self.reactor.callWhenRunning(self._start_workers)
            return
        self._find_workers()
        remove_left_over(path, self.generation)
        if self._awaited or self.earlier.unheard():
            self._wait(ROUNDS)
        elif self._is_deferred():
            self.reactor.callWhenRunning(self._end_waiting)
        else:
            self._begin()

    def _find_workers(self) -> None:
        """Has the workers that run wait for this parent, according to their generation and activity."""
        for each in self._running or ():
            if each.activity is Activity.WAITING:
                # It has no clients, and is in the way of a worker of this parent.
                if self._hold(each):
                    self.processes.kill(each.pid, signal.SIGKILL)
            elif each.generation == self.generation and each.activity is Activity.ACCEPTING:
                if self._hold(each):
                    self._awaited[each.pid] = each
            else:
                self._expect(each)
        if self._awaited:
            indexes = _listed(each.index for each in self._awaited.values())
            _log.info("workers of an earlier parent run: {indexes}", indexes=indexes)

    def _hold(self, worker: RunningWorker) -> bool:
        """Watches a worker of an earlier parent. From then on, its id cannot pass to another process unnoticed."""
        if not self.processes.hold(worker.pid):
            return False
        if holder_of(lock_path(self.directory().path, worker.generation, worker.index)) == worker.pid:
            return True
        # It has ended before it was held, and the process that is held may be another one.
        self.processes.let_go(worker.pid)
        return False

    def _is_deferred(self) -> bool:
        return any(endpoint.group.is_deferred for endpoint in self.endpoints)

    def _begin(self) -> None:
        """Starts the services in this one, and the workers once the reactor runs: it notices then when they end."""
        self._has_begun = True
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
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()
        silent, self._awaited = self._awaited, {}
        for each in silent.values():
            if not self.supervisor.is_known(each.index, each.pid):
                self.supervisor.retire(each.pid, LONGEST_STOP_S)
        stopping = [maybeDeferred(service.stopService) for service in reversed(self.services) if service.running]
        if not self.supervisor.has_resigned:
            stopping += self.supervisor.stop(LONGEST_STOP_S), self.earlier.stop()
        return gatherResults(stopping).addBoth(self._close)

    def _close(self, result: Any) -> Any:
        for link in tuple(self._links.values()):
            link.link.close()
        self.earlier.leave()
        self.processes.let_go()
        _close_all(self._adopted)
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
        for worker in self._links.values():
            self._share_out(worker)

    def workers_to_leave(self) -> list[LeftWorker]:
        """Gives the workers that run, for the next parent: with their counts and their places of limited feeds."""
        own = [
            (RunningWorker(self.generation, index, self.supervisor.workers[index].pid), index)
            for index in self.supervisor.alive()
        ]
        return [
            LeftWorker(of.generation, of.index, of.pid, self._leases.places_of(place), self.figures.last(place))
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
        path = self.directory().path
        self._server.publish()
        told = {each.pid: each for each in left}
        for running in running_workers(path):
            if running.generation < self.generation and running.activity is not Activity.WAITING:
                self._expect(running, told.get(running.pid))
        remove_left_over(path, self.generation)
        self.has_sockets = self.supervisor.can_lend = True
        for worker in self._links.values():
            self._share_out(worker)
        for service in self:
            service.startService()
        self._grant_places()

    def _expect(self, of: RunningWorker, left: LeftWorker | None = None) -> None:
        """Has a worker of an earlier generation send its watchers away as soon as it says hello."""
        if not self._hold(of):
            return
        worker = self.earlier.expect(of, None if left is None else left.places)
        if worker is None:
            return
        self._incarnations[worker.place] = next(self._numbers)
        if left is not None:
            self._leases.connect(worker.place, left.places, is_leaving=True)
            self.figures.report(worker.place, self._incarnations[worker.place], left.samples)

    def welcome_earlier(self, worker: EarlierWorker, hello: Hello) -> None:
        """Owner API."""
        assert worker.link is not None
        # It keeps its sockets until it has read the order to drain.
        worker.link.send(self.welcome(hello.index % self.count))
        self.feeds.add(worker.link, hello.feeds)
        self._leases.connect(worker.place, hello.places, is_leaving=True)

    def take_message(self, worker: EarlierWorker, message: Message) -> None:
        """Owner API."""
        match message.type:
            case "heartbeat":
                beat = message.read(Heartbeat)
                self._take_figures(worker.place, worker.name, beat)
                if self.is_livefeed_ready is not None and worker.link is not None:
                    worker.told = _tell_readiness(worker.link, worker.told, ready=self.is_livefeed_ready())
            case "log":
                _log_line(worker.name, message.read(Line), worker.allowance)
            case _:
                if worker.link is not None:
                    self.feeds.receive(worker.link, message)

    def part_from(self, link: Link) -> None:
        """Owner API."""
        self.feeds.remove(link)

    def note_heard(self) -> None:
        """Owner API."""
        if self._waiting is not None:
            self._end_waiting_if_complete()
        else:
            self._grant_places()

    def forget(self, worker: EarlierWorker) -> None:
        """Owner API."""
        self.figures.end(worker.place, self._incarnations.pop(worker.place, 0))
        self._leases.disconnect(worker.place)
        with suppress(OSError):
            lock_path(self.directory().path, worker.of.generation, worker.of.index).unlink()

    # Workers of an earlier parent

    def _wait(self, rounds: int) -> None:
        """Waits for the workers of an earlier parent.

        :param rounds: how often at most.
        """
        due_s = self.reactor.seconds() + ADOPT_S
        self._waiting = self.reactor.callLater(ADOPT_S, self._end_round, due_s, rounds - 1)

    def _end_round(self, due_s: float, rounds: int) -> None:
        if rounds and self.reactor.seconds() - due_s > PAUSED_S:
            self._wait(rounds)
        else:
            self._end_waiting()

    def _end_waiting_if_complete(self) -> None:
        if not self._awaited and not self.earlier.unheard() and self._waiting is not None:
            self._waiting.cancel()
            self._end_waiting()

    def _end_waiting(self) -> None:
        """Goes on without the workers of an earlier parent that have not said hello."""
        self._waiting = None
        if not self.running:
            return
        silent, self._awaited = self._awaited, {}
        for each in silent.values():
            text = "worker {index} of an earlier parent (process {pid}) does not answer, and is killed"
            _log.warn(text, index=each.index, pid=each.pid)
            self.processes.kill(each.pid, signal.SIGKILL)
        self.earlier.kill_unheard()
        Deferred.fromCoroutine(self._settle()).addErrback(self._give_up)

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
            self._share_out(link)
            link.watch()

    def _give_up(self, failure: Any) -> None:
        """Ends the process: the start has failed after its usual place."""
        _log.critical("livefeed: the start fails: {why}", why=first_line(failure.value))
        self.reactor.stop()

    def _take_sockets(self, worker: _WorkerLink, message: Message) -> None:
        facts = message.read(SocketsFacts)
        if len(message.fds) != len(facts.listen):
            raise LinkError("a message sockets does not name each of its sockets")
        sockets = message.take_sockets()
        known = {each.group.description: number for number, each in enumerate(self.endpoints)}
        worker.sockets = {(known[description], owner) for description, owner in facts.listen if description in known}
        for (description, owner), sock in zip(facts.listen, sockets, strict=True):
            of_endpoint = self._adopted.setdefault(description, {})
            owner_here = 0 if is_unix(description) or sock.family == socket.AF_UNIX else owner
            is_wanted = description in known and owner_here not in of_endpoint and is_listening(sock)
            if self._has_begun or not is_wanted:
                sock.close()
            else:
                of_endpoint[owner_here] = sock
        if self._awaited.pop(worker.link.pid, None) is not None:
            self._end_waiting_if_complete()

    # Links

    def _greet(self, link: Link, hello: Hello) -> None:
        """Takes a worker that has said hello, or refuses a process that is none."""
        index, pid = hello.index, link.pid
        if self.supervisor.is_stopping or self.supervisor.has_resigned:
            self._refuse(link, index)
            return
        if self._greet_other(link, hello):
            return
        is_awaited = pid in self._awaited and bool(hello.sockets)
        if is_awaited and self._can_continue(index, hello):
            self.supervisor.adopt(index, pid)
            self._incarnations[index] = next(self._numbers)
        elif not self.supervisor.is_known(index, pid):
            self._refuse(link, index)
            return
        before = self._links.pop(index, None)
        if before is not None:
            before.lose()
        worker = self._links[index] = _WorkerLink(self, index, link, hello.places)
        link.receiver = worker
        self.supervisor.heard(index)
        self._welcome(worker, hello)
        self.feeds.add(link, hello.feeds)
        if self._has_leases:
            self._leases.connect(index, hello.places)
        if is_awaited:
            worker.is_asked = True
            link.send(Message("sockets"))
        elif self._has_begun:
            self._share_out(worker)
        if self.releasing.order is not None:
            link.send(self.releasing.order)

    def _greet_other(self, link: Link, hello: Hello) -> bool:
        """Takes a worker of another generation, and tells whether it is one that this parent sends away."""
        if hello.generation > self.generation and hello.sockets:
            # It is of an upgrade that has failed, and got sockets in its last moment.
            self._expect(RunningWorker(hello.generation, hello.index, link.pid))
        return self.earlier.greet(link, hello)

    def _grant_places(self) -> None:
        """Divides the places of limited feeds, once all workers have said which ones they have."""
        if self._has_leases or not self.has_sockets or self.earlier.untold():
            return
        self._has_leases = True
        for worker in self._links.values():
            self._leases.connect(worker.index, worker.places)

    def _can_continue(self, index: int, hello: Hello) -> bool:
        """Tells whether a worker of an earlier parent has the endpoints and the place of a worker of this one."""
        listen = [each.group.description for each in self.endpoints]
        return index < self.count and hello.listen == listen and not self.supervisor.workers[index].pid

    def _refuse(self, link: Link, index: int) -> None:
        why = "there is no place for it: this parent has other workers or endpoints"
        link.send(Message(REFUSED, {"why": why}))
        link.close()
        if self._awaited.pop(link.pid, None) is not None:
            _log.info("worker {index} of an earlier parent (process {pid}) ends", index=index, pid=link.pid)
            self.supervisor.retire(link.pid, LONGEST_STOP_S)
            self._end_waiting_if_complete()

    def _welcome(self, worker: _WorkerLink, hello: Hello) -> None:
        message = self.welcome(worker.index)
        wanted = {} if hello.sockets else self._sockets_for(worker.index)
        listen, numbers = [endpoint for endpoint, _ in wanted], [number for _, number in wanted]
        fds = tuple(sock.fileno() for sock in wanted.values())
        facts = {**message.facts, "listen": listen, "numbers": numbers}
        worker.link.send(Message(message.type, facts, message.payloads, fds))
        numbers_of = hello.numbers or [[worker.index][:count] for count in hello.sockets]
        has = {(endpoint, number) for endpoint, numbers in enumerate(numbers_of) for number in numbers}
        worker.sockets = has or {*wanted}

    def _sockets_for(self, index: int) -> dict[tuple[int, int], socket.socket]:
        """Gives the sockets that a worker is to accept on: its own, and those of the workers that it serves for.

        :returns: the sockets, by the index of the endpoint and the number by which the worker knows the socket. That of
            a shared socket is the index of the worker; only its own are shared with it already.
        """
        if not self.has_sockets:
            return {}
        return {
            (number, index if endpoint.group.is_shared else of): sock
            for number, endpoint in enumerate(self.endpoints)
            for owner in (index, *self.supervisor.lent_to(index))
            for of, sock in endpoint.group.sockets_of(owner)
        }

    def _share_out(self, worker: _WorkerLink) -> None:
        """Gives a worker the sockets that it is to accept on, and takes the others from it."""
        if self.supervisor.has_resigned or self.supervisor.is_releasing:
            return
        wanted = self._sockets_for(worker.index)
        missing = [each for each in wanted if each not in worker.sockets]
        for number in sorted({number for _, number in missing}):
            listen = [endpoint for endpoint, of in missing if of == number]
            fds = [wanted[endpoint, number].fileno() for endpoint in listen]
            worker.link.send(message_of("adopt", AdoptFacts(number, listen), (), fds))
        for number in sorted({number for _, number in worker.sockets} - {number for _, number in wanted}):
            worker.link.send(message_of("release", OwnerFacts(number)))
        worker.sockets = {*wanted}

    def note_lost(self, worker: _WorkerLink) -> None:
        """Takes note that a link has ended."""
        self.feeds.remove(worker.link)
        if self._links.get(worker.index) is worker:
            del self._links[worker.index]

    def receive(self, worker: _WorkerLink, message: Message) -> None:
        """Takes a message of a worker."""
        index = worker.index
        if message.type != "sockets":
            message.close_fds()
        if not worker.allowance.take(message.type):
            return
        match message.type:
            case "heartbeat":
                beat = message.read(Heartbeat)
                figures = {"connections": beat.connections, "capacity": beat.capacity, "lag_s": beat.lag_s}
                self.supervisor.heard(index, {**figures, "watchers": beat.watchers})
                self._take_figures(index, f"worker {index}", beat)
                self.releasing.take(index, beat.drain)
                if self.is_livefeed_ready is not None:
                    worker.told = _tell_readiness(worker.link, worker.told, ready=self.is_livefeed_ready())
            case "ready":
                worker.is_accepting = True
                worker.watch()
            case "log":
                _log_line(f"worker {index}", message.read(Line), worker.allowance)
            case "sockets":
                if not worker.is_asked:
                    raise LinkError("a message sockets has come that was not asked for")
                worker.is_asked = False
                self._take_sockets(worker, message)
                worker.is_accepting = True
                worker.watch()
            case _:
                self.feeds.receive(worker.link, message)

    def _take_figures(self, place: int, name: str, beat: Heartbeat) -> None:
        self.figures.report(place, self._incarnations.get(place, 0), beat.samples)
        self.deliveries(place, name, beat.deliveries)
        if self._has_leases:
            self._leases.report(place, {name: sum(ways.values()) for name, ways in beat.watchers.items()})

    def index_of(self, link: object) -> int:
        """Gives the index of the worker with a link, among those of this parent; 0 if it has ended."""
        earlier = self.earlier.of_link(link)
        if earlier is not None:
            return earlier.of.index % self.count
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
        return self.processes.spawn(self.generation, index)

    def kill(self, pid: int, number: signal.Signals) -> None:
        """Processes API."""
        self.processes.kill(pid, number)

    def lend(self, owner: int, to: int) -> bool:
        """Lending API. Shared sockets are not lent: the worker accepts on them already."""
        worker = self._links.get(to)
        if worker is None:
            return False
        self._share_out(worker)
        return True

    def take_back(self, owner: int, borrower: int) -> None:
        """Lending API."""
        worker = self._links.get(borrower)
        if worker is not None:
            self._share_out(worker)

    def _note_ended(self, pid: int, why: str) -> None:
        if self.earlier.ended(pid):
            return
        ended = [index for index in range(self.count) if self.supervisor.is_known(index, pid)]
        for index in ended:
            self.figures.end(index, self._incarnations.get(index, 0))
            self._leases.disconnect(index)
            link = self._links.get(index)
            if link is not None:
                link.lose()  # a canary on it would be taken for one of the next process
        if self._awaited.pop(pid, None) is not None:
            self._end_waiting_if_complete()
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
        own = [{**each, "generation": self.generation} for each in self.supervisor.report()]
        return own + self.earlier.report()

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

    :ivar places: the places of limited feeds that the worker had by an earlier lease.
    :ivar allowance: limits the number of its messages.
    :ivar is_accepting: whether the worker accepts on the sockets that it was given.
    :ivar is_asked: whether it was asked for its sockets, and has not answered.
    :ivar sockets: these sockets, by the index of the endpoint and the number by which the worker knows the socket.
    """

    # required parameters
    parent: Parent
    index: int
    link: Link
    places: Mapping[str, int]

    # internal state
    allowance: Allowance = field(init=False)
    is_accepting: bool = False
    is_asked: bool = False
    sockets: set[tuple[int, int]] = field(default_factory=set)
    told: bool | None = None  # whether the worker was told last that livefeed is ready
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


def _tell_readiness(link: Link, told: bool | None, *, ready: bool) -> bool:
    """Tells a worker whether livefeed is ready, if it was not told so before, and gives it."""
    if ready is not told:
        link.send(message_of("readiness", Readiness(ready)))
    return ready


def _log_line(name: str, line: Line, allowance: Allowance) -> None:
    """Writes a line of a worker's log into that of the parent."""
    level = _LEVELS.get(line.level, LogLevel.info)
    logger = Logger(line.namespace[:MAX_NAMESPACE])
    left_out, allowance.left_out = allowance.left_out, 0
    if left_out:
        _log.warn("{name}: {count} lines of its log are left out: there were too many", name=name, count=left_out)
    logger.emit(level, "{name}: {text}", name=name, text=line.text[:MAX_CHARACTERS])


def _close_all(adopted: dict[str, dict[int, socket.socket]]) -> None:
    """Closes sockets of an earlier parent that are not used."""
    for sockets in adopted.values():
        for sock in sockets.values():
            sock.close()
    adopted.clear()


def _listed(indexes: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(indexes)))
