"""Keeps a fixed number of workers running: starts them, replaces dead ones, and kills those that hang.

Rules: this file decides and does nothing by itself: processes, links and canaries are behind the protocols below. All
decisions are made in :meth:`Supervisor.sweep` and in the methods that take an event. One worker may accept on the
sockets of another, so that no client waits for a dead or hung one.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from livefeed.document.timestamps import length_of
from livefeed.exceptions import LinkError, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from twisted.internet.interfaces import IReactorTime

SWEEP_S = 0.1
"""Seconds between two looks at all workers."""

HEARTBEAT_S = 0.5
"""Seconds between two heartbeats of a worker."""

LATE_S = 2.0
"""A worker whose heartbeat is late by this many seconds hangs, and is killed. A tick takes milliseconds."""

SUSPECT_S = 0.5
"""A worker whose heartbeat is late by this many seconds may hang: another one accepts on its sockets as well. Clients
would otherwise wait until it is killed and its successor is ready, which is longer than two seconds."""

LEND_S = 1.0
"""Seconds after which another worker accepts on the sockets of one that is not ready."""

START_S = 120.0
"""Seconds that a worker may take from its start until it is ready. Python and its libraries take one to three, and more
than thirty on a machine that is busy with ten other processes. Meanwhile other workers accept on its sockets."""

PAUSES_S = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds from a death to the next start, by the number of deaths in a row before it."""

HEALTHY_S = 60.0
"""A worker that has lived for so many seconds has not died in a row with those before it."""

KILL_S = 5.0
"""Seconds that a worker has to end after its connections had their time to do so."""

_log = Logger()


class State(StrEnum):
    """The life of a worker."""

    STARTING = "starting"
    """Its process runs, and its canary has not been served yet."""
    READY = "ready"
    """It accepts, and has served the newest version."""
    DRAINING = "draining"
    """It was told to end."""
    DEAD = "dead"
    """It has no process."""


class Processes(Protocol):
    """The processes of the workers."""

    def spawn(self, index: int) -> int:
        """Starts a worker, and gives its process id.

        :raises OSError: if the system refuses.
        """

    def kill(self, pid: int, number: signal.Signals) -> None:
        """Sends a signal to the process of a worker. One that has ended is ignored."""


class Lending(Protocol):
    """Sockets that a worker serves for another one."""

    def lend(self, owner: int, to: int) -> bool:
        """Has a worker, which is the borrower already, accept on the sockets of another one as well.

        :returns: whether it could be told so; without a link it cannot.
        :raises LinkError: if the message could not be sent.
        """

    def take_back(self, owner: int, borrower: int) -> None:
        """Has a worker accept on the sockets of another one no more."""


@dataclass(slots=True, eq=False)
class Worker:
    """One worker, through all its processes.

    :ivar index: its number, from 0.
    :ivar pid: the id of its process; 0 if there is none.
    :ivar since_s: when its process was started or adopted, by the clock.
    :ivar heard_s: when its last message came, by the clock; infinite until the first one of a process.
    :ivar down_s: when it was last seen to be ready, by the clock; infinite while it is.
    :ivar next_s: when a dead one is started again, by the clock.
    :ivar deaths: number of deaths in a row.
    :ivar restarts: number of times that a process took the place of another one.
    :ivar borrower: the index of the worker that accepts on its sockets as well.
    :ivar canary_s: the seconds that its last canary took; ``None`` if that was not served.
    :ivar figures: what its last heartbeat said, by name.
    """

    index: int
    state: State = State.DEAD
    pid: int = 0
    since_s: float = 0.0
    heard_s: float = inf
    down_s: float = 0.0
    next_s: float = 0.0
    deaths: int = 0
    restarts: int = 0
    borrower: int | None = None
    canary_s: float | None = None
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class Supervisor:
    """The workers of a parent.

    :param count: number of workers.
    :param clock: schedules and measures.
    :param processes: starts and kills.
    :param lending: has workers serve the sockets of others.
    :ivar workers: all workers, by index.
    :ivar is_stopping: whether all workers were told to end.
    :ivar can_lend: whether there are sockets; without them the workers prove themselves for an upgrade.
    :ivar has_resigned: whether the next parent takes over: nothing is started, killed or lent.
    :ivar is_releasing: whether the workers send their watchers away: they accept no more, and none is replaced.
    """

    # required parameters
    count: int
    clock: IReactorTime
    processes: Processes
    lending: Lending

    # internal state
    workers: list[Worker] = field(init=False)
    is_stopping: bool = False
    is_releasing: bool = False
    can_lend: bool = True
    has_resigned: bool = False
    _is_hurried: bool = False
    _retired: dict[int, float] = field(
        default_factory=dict
    )  # processes that were told to end, and when they are killed
    _unlent: set[int] = field(default_factory=set)  # workers whose sockets no other one could be given
    _deadline_s: float = inf
    _was_killed: bool = False
    _swept_s: float = 0.0
    _stopped: Deferred[None] | None = None

    def __post_init__(self) -> None:
        self.workers = [Worker(index) for index in range(self.count)]
        self._sweeping = LoopingCall(self._sweep_and_go_on)
        self._sweeping.clock = self.clock

    # What the parent calls

    def start(self) -> None:
        """Starts all workers that have no process, and looks after them from now on."""
        now = self._swept_s = self.clock.seconds()
        for worker in self.workers:
            if not worker.pid:
                worker.down_s = worker.next_s = now
        self._sweeping.start(SWEEP_S, now=True)

    def stop(self, drain_s: float) -> Deferred[None]:
        """Tells all workers to end.

        :param drain_s: seconds that their connections may take to end. Workers that run for longer are killed.
        :returns: fires when all processes have ended.
        """
        self.is_stopping = True
        now = self.clock.seconds()
        self._deadline_s = now if self._is_hurried else now + drain_s + KILL_S
        if self._is_hurried:
            self._hurry_retired(now)
        for worker in self._alive():
            worker.state = State.DRAINING
            self.processes.kill(worker.pid, signal.SIGTERM)
        self._stopped = Deferred()
        if not self._sweeping.running:
            self._swept_s = now
            self._sweeping.start(SWEEP_S, now=False)
        stopped = self._stopped
        self._end_if_stopped()
        return stopped

    def hurry(self) -> None:
        """Kills the workers once they have been told to end, instead of waiting for their connections."""
        self._is_hurried = True
        if self.is_stopping:
            now = self._deadline_s = self.clock.seconds()
            self._hurry_retired(now)

    def _hurry_retired(self, now: float) -> None:
        # Those that were killed have an infinite time.
        self._retired = {pid: each if each == inf else min(each, now) for pid, each in self._retired.items()}

    def release(self) -> None:
        """Takes note that the workers are told to send their watchers away, and run on until :meth:`stop`."""
        self.is_releasing = True

    def alive(self) -> list[int]:
        """Gives the indexes of the workers whose processes run."""
        return [each.index for each in self._alive()]

    def retire(self, pid: int, drain_s: float) -> None:
        """Tells a process to end that is none of the workers, such as one of an earlier parent with more of them."""
        self._retired[pid] = self.clock.seconds() + drain_s + KILL_S
        self.processes.kill(pid, signal.SIGTERM)

    def lent_to(self, index: int) -> list[int]:
        """Gives the indexes of the workers whose sockets another one accepts on as well."""
        return [each.index for each in self.workers if each.borrower == index]

    def is_known(self, index: int, pid: int) -> bool:
        """Tells whether a process is that of a worker."""
        return 0 <= index < self.count and self.workers[index].pid == pid

    def is_ready(self, index: int) -> bool:
        """Tells whether a worker is ready."""
        return self.workers[index].state is State.READY

    def obstacle(self) -> str | None:
        """Gives the reason why not all workers serve the newest version; ``None`` if they do, or need not any more."""
        if self.is_releasing:
            return None
        missing = [str(each.index) for each in self.workers if each.state is not State.READY or each.canary_s is None]
        return f"workers do not serve their canaries: {', '.join(missing)}" if missing else None

    def adopt(self, index: int, pid: int) -> None:
        """Takes a running process of an earlier parent as a worker."""
        now = self.clock.seconds()
        worker = self.workers[index]
        worker.pid, worker.state, worker.since_s, worker.heard_s, worker.down_s = pid, State.STARTING, now, now, now
        _log.info("worker {index} runs already, as process {pid}", index=index, pid=pid)

    def heard(self, index: int, figures: dict[str, Any] | None = None) -> None:
        """Takes note that a message of a worker came.

        :param figures: the content of a heartbeat.
        """
        worker = self.workers[index]
        was_silent = worker.state is State.READY and self._silence_s(worker) > SUSPECT_S
        worker.heard_s = self.clock.seconds()
        if figures is not None:
            worker.figures = figures
        if was_silent:
            worker.down_s = inf
            self._take_back(worker)

    def served(self, index: int, delay_s: float) -> None:
        """Takes note that a worker has served the newest version to its canary.

        :param delay_s: the seconds that it took.
        """
        worker = self.workers[index]
        worker.canary_s = delay_s
        if worker.state is State.STARTING:
            worker.state, worker.down_s = State.READY, inf
            _log.info("worker {index} is ready (process {pid})", index=index, pid=worker.pid)
            self._take_back(worker)

    def unserved(self, index: int, why: str) -> None:
        """Takes note that a worker has not served its canary. A ready one stays so, since it beats: a report shows it.

        :param why: the reason for the log.
        """
        worker = self.workers[index]
        if worker.canary_s is not None and not self.is_releasing:
            worker.canary_s = None
            _log.warn("worker {index} does not serve its canary: {why}", index=index, why=why)

    def ended(self, pid: int, why: str) -> None:
        """Takes note that a process has ended.

        :param why: how it has ended, for the log, such as ``ended with exit code 1``.
        """
        self._retired.pop(pid, None)
        worker = next((each for each in self._alive() if each.pid == pid), None)
        if worker is not None:
            self._take_note_of_death(worker, why)
        self._end_if_stopped()

    def report(self) -> list[dict[str, Any]]:
        """Gives the facts about all workers, for display. Times are in seconds."""
        now = self.clock.seconds()
        return [
            {
                "index": each.index,
                "pid": each.pid or None,
                "state": str(State.DRAINING if self.is_releasing and each.pid else each.state),
                "age_s": now - each.since_s if each.pid else None,
                "connections": each.figures.get("connections", 0),
                "watchers": each.figures.get("watchers", {}),
                "heartbeat_age_s": now - each.heard_s if each.heard_s < inf else None,
                "canary_s": each.canary_s,
                "restarts": each.restarts,
                "serves_for": self.lent_to(each.index),
            }
            for each in self.workers
        ]

    # Inside

    def sweep(self) -> None:
        """Looks at all workers: starts, kills and lends what is due."""
        now = self.clock.seconds()
        # While this process did not run, it read no heartbeats either.
        paused_s = max(0.0, now - self._swept_s - 2 * SWEEP_S)
        self._swept_s = now
        if self.has_resigned:
            return
        for worker in self.workers:
            worker.heard_s += paused_s
            if worker.state is State.DEAD:
                if now >= worker.next_s and not (self.is_stopping or self.is_releasing):
                    self._spawn(worker)
            elif worker.state is not State.DRAINING:
                self._kill_if_hung(worker, now)
        if not (self.is_stopping or self.is_releasing):
            self._lend_what_is_down(now)
        self._kill_what_is_overdue(now)

    def _kill_what_is_overdue(self, now: float) -> None:
        for pid, deadline_s in tuple(self._retired.items()):
            if now >= deadline_s:
                self._retired[pid] = inf
                self.processes.kill(pid, signal.SIGKILL)
        if now >= self._deadline_s:
            self._deadline_s = now + KILL_S
            if self._was_killed:
                self._end()  # the kernel cannot end them, such as during a write to a disk that hangs
            self._was_killed = True
            for worker in self._alive():
                self._kill(worker, "it has not ended in time")

    def _alive(self) -> Iterator[Worker]:
        return (each for each in self.workers if each.pid)

    def _silence_s(self, worker: Worker) -> float:
        """Gives the seconds by which the heartbeat of a worker is late; negative if it is not due."""
        return self.clock.seconds() - worker.heard_s - HEARTBEAT_S

    def _spawn(self, worker: Worker) -> None:
        now = self.clock.seconds()
        worker.since_s, worker.heard_s, worker.figures = now, inf, {}
        try:
            worker.pid = self.processes.spawn(worker.index)
        except OSError as error:
            self._take_note_of_death(worker, f"could not be started: {error.strerror or error}")
            return
        worker.state = State.STARTING

    def _kill_if_hung(self, worker: Worker, now: float) -> None:
        late_s = self._silence_s(worker)
        if late_s >= LATE_S:
            self._kill(worker, f"its heartbeat is {length_of(late_s)} s late")
        elif (
            worker.state is State.STARTING
            and now - worker.since_s >= START_S
            # No canary is served during a drain. One that has said nothing yet is waited for in vain.
            and (worker.heard_s == inf or not self.is_releasing)
        ):
            self._kill(worker, f"it was not ready after {length_of(START_S)} s")

    def _kill(self, worker: Worker, why: str) -> None:
        if worker.state is not State.DRAINING or self.is_stopping:
            text = "worker {index} (process {pid}) is killed: {why}"
            _log.warn(text, index=worker.index, pid=worker.pid, why=why)
        # Its end is waited for: its lock is free only then.
        worker.state = State.DRAINING
        worker.down_s = min(worker.down_s, self.clock.seconds())
        self.processes.kill(worker.pid, signal.SIGKILL)

    def _take_note_of_death(self, worker: Worker, why: str) -> None:
        now = self.clock.seconds()
        if now - worker.since_s >= HEALTHY_S:
            worker.deaths = 0
        pause_s = PAUSES_S[min(worker.deaths, len(PAUSES_S) - 1)]
        worker.deaths += 1
        worker.down_s = min(worker.down_s, now)
        pid, worker.pid, worker.state, worker.canary_s = worker.pid, 0, State.DEAD, None
        worker.heard_s, worker.figures, worker.next_s = inf, {}, now + pause_s
        for each in self.workers:
            if each.borrower == worker.index:
                each.borrower = None  # lent to another one by the next sweep
        if self.is_stopping:
            return
        if self.is_releasing:
            text = "worker {index} (process {pid}) {why}; none takes its place during a drain"
            _log.warn(text, index=worker.index, pid=pid or "none", why=why)
            return
        worker.restarts += 1
        if self.has_resigned:
            return
        when = f"in {length_of(pause_s)} s" if pause_s else "now"
        text = "worker {index} (process {pid}) {why}; another one starts {when}"
        _log.warn(text, index=worker.index, pid=pid or "none", why=why, when=when)
        if not pause_s:
            self._spawn(worker)

    def _lend_what_is_down(self, now: float) -> None:
        for worker in self.workers:
            if worker.state is State.READY and self._silence_s(worker) > SUSPECT_S:
                worker.down_s = min(worker.down_s, worker.heard_s)
            if worker.borrower is not None and not self._can_borrow(self.workers[worker.borrower]):
                self._take_back(worker)
            if worker.borrower is None and now - worker.down_s >= LEND_S and self.can_lend:
                self._lend(worker)

    def _can_borrow(self, worker: Worker) -> bool:
        return worker.state is State.READY and self._silence_s(worker) <= SUSPECT_S

    def _lend(self, owner: Worker) -> None:
        # To the one that serves the fewest: several may be down.
        able = [each for each in self.workers if each is not owner and self._can_borrow(each)]
        lent = [each.borrower for each in self.workers]
        for borrower in sorted(able, key=lambda each: lent.count(each.index)):
            if self._lend_to(owner, borrower):
                text = "worker {index} also accepts on the sockets of worker {owner} until that is ready"
                _log.info(text, index=borrower.index, owner=owner.index)
                return

    def _lend_to(self, owner: Worker, borrower: Worker) -> bool:
        owner.borrower = borrower.index
        try:
            if self.lending.lend(owner.index, borrower.index):
                self._unlent.discard(owner.index)
                return True
        except LinkError as error:
            # The next sweep tries again, and the log has it once.
            if owner.index not in self._unlent:
                self._unlent.add(owner.index)
                text = "the sockets of worker {owner} cannot be given to worker {index}: {why}"
                _log.warn(text, owner=owner.index, index=borrower.index, why=first_line(error))
        owner.borrower = None
        return False

    def _take_back(self, owner: Worker) -> None:
        borrower, owner.borrower = owner.borrower, None
        if borrower is not None and self.workers[borrower].pid:
            self.lending.take_back(owner.index, borrower)

    def _end_if_stopped(self) -> None:
        if self.is_stopping and not self._retired and not any(self._alive()):
            self._end()

    def _end(self) -> None:
        stopped, self._stopped = self._stopped, None
        if self._sweeping.running:
            self._sweeping.stop()
        if stopped is not None:
            stopped.callback(None)

    def _sweep_and_go_on(self) -> None:
        try:
            self.sweep()
        except Exception:
            _log.failure("the look at the workers raised an exception; the next one follows")
