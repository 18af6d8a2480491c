"""The workers of earlier generations: they send their watchers away after an upgrade, and are fed until they end.

Rules: they are given no sockets and no canaries, and none of them is started again. One that is not heard of is killed:
it may hang, and its lock and its watchers would stay.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from livefeed.document.timestamps import length_of
from livefeed.process.drain import Phase
from livefeed.workers.allowance import Allowance
from livefeed.workers.messages import DrainOrder, Heartbeat, message_of
from livefeed.workers.supervisor import HEARTBEAT_S, KILL_S, LATE_S, State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from twisted.internet.interfaces import IReactorTime

    from livefeed.workers.link import Link
    from livefeed.workers.locks import RunningWorker
    from livefeed.workers.messages import Hello, Message

SWEEP_S = 0.5
"""Seconds between two looks at these workers."""

UNHEARD_S = 30.0
"""Seconds that a worker has to say hello after its parent has ended. It looks for a parent five times a second; its
parent ends within a second, and later on a machine that is busy."""

END_S = 15.0
"""Seconds in which a worker must end after the last heartbeat that it has announced as such. Python takes some tenths,
and longer on a machine that is busy."""

LONGEST_S = 2 * 3600.0 + 60.0
"""Seconds after its hello at which a worker is killed whatever it says. ``--drain-delay`` and ``--drain`` take an hour
each at most."""

_log = Logger()


class Processes(Protocol):
    """The processes of the workers."""

    def hold(self, pid: int, /) -> bool:
        """Watches a process that this one has not started, and tells whether it runs."""

    def kill(self, pid: int, number: signal.Signals, /) -> None:
        """Sends a signal to a process that runs. One that has ended is ignored."""


class Owner(Protocol):
    """The parent."""

    def welcome_earlier(self, worker: EarlierWorker, hello: Hello, /) -> None:
        """Sends a worker the settings, and the feeds from then on."""

    def take_message(self, worker: EarlierWorker, message: Message, /) -> None:
        """Takes a message of a worker, without descriptors."""

    def part_from(self, link: Link, /) -> None:
        """Sends nothing more over a link."""

    def note_heard(self) -> None:
        """Takes note that there is one worker less that has not said hello."""

    def forget(self, worker: EarlierWorker, /) -> None:
        """Takes note that a worker has ended."""


@dataclass(eq=False)
class EarlierWorker:
    """A worker of an earlier generation. It is the receiver of its link.

    :ivar of: its generation, index and process.
    :ivar place: a number below 0 that no other one of them has, beside the indexes of the workers of this parent.
    :ivar allowance: limits the number of its messages.
    :ivar link: its link; ``None`` while it has none.
    :ivar places: the places of subscribers that it had by its lease; ``None`` if nobody has told.
    """

    # required parameters
    of: RunningWorker
    place: int
    owner: Owner
    clock: IReactorTime
    deadline_s: float

    # internal state
    allowance: Allowance = field(init=False)
    link: Link | None = None
    places: Mapping[str, int] | None = None
    is_known: bool = False
    is_killed: bool = False
    has_finished: bool = False  # whether all its connections have ended, and only its process is left
    told: bool | None = None  # whether it was told last that livefeed is ready
    _since_s: float = 0.0
    _heard_s: float = 0.0
    _figures: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.allowance = Allowance(self.clock.seconds)
        self._since_s = self._heard_s = self.clock.seconds()

    @property
    def name(self) -> str:
        """Its name in the log and in reports."""
        return f"worker {self.of.index} of generation {self.of.generation}"

    def connect(self, link: Link) -> None:
        """Takes a link that has said hello."""
        before, self.link = self.link, link
        self.told = None
        self._heard_s = self.clock.seconds()
        link.receiver = self
        if before is not None:
            self.owner.part_from(before)
            before.close()

    def shift(self, seconds: float) -> None:
        """Takes note that this process did not run, and read no heartbeats."""
        self._heard_s += seconds
        self.deadline_s += seconds

    def silence_s(self) -> float:
        """Gives the seconds by which its heartbeat is late; negative if it is not due, or not said hello yet."""
        return self.clock.seconds() - self._heard_s - HEARTBEAT_S if self.is_known else -inf

    def receive(self, link: Link, message: Message) -> None:
        """Receiver API."""
        # It passes on none: its sockets are those of this parent already.
        message.close_fds()
        if not self.allowance.take(message.type):
            return
        self._heard_s = self.clock.seconds()
        if message.type == "heartbeat":
            beat = message.read(Heartbeat)
            self._figures = {"connections": beat.connections, "watchers": beat.watchers}
            self.has_finished = beat.drain.phase == Phase.STOPPED.value and not beat.connections
        self.owner.take_message(self, message)

    def flushed(self, link: Link) -> None:
        """Receiver API."""

    def lost(self, link: Link) -> None:
        """Receiver API."""
        if self.link is link:
            self.link = None
            self.owner.part_from(link)

    def report(self) -> dict[str, Any]:
        """Gives the facts about it, as those of the other workers are given. Times are in seconds."""
        now = self.clock.seconds()
        return {
            "index": self.of.index,
            "generation": self.of.generation,
            "pid": self.of.pid,
            "state": str(State.DRAINING),
            "age_s": now - self._since_s,
            "connections": self._figures.get("connections", 0),
            "watchers": self._figures.get("watchers", {}),
            "heartbeat_age_s": now - self._heard_s if self.is_known else None,
            "canary_s": None,
            "restarts": 0,
            "serves_for": [],
        }


@dataclass(eq=False)
class EarlierWorkers:
    """All workers of earlier generations.

    :param clock: schedules and measures.
    :param processes: watches and kills.
    :param owner: feeds them, and takes their messages.
    """

    # required parameters
    clock: IReactorTime
    processes: Processes
    owner: Owner

    # internal state
    _workers: dict[int, EarlierWorker] = field(default_factory=dict)  # by process
    _swept_s: float = 0.0
    _stopped: Deferred[None] | None = None

    def __post_init__(self) -> None:
        self._sweeping = LoopingCall(self._sweep_and_go_on)
        self._sweeping.clock = self.clock

    def __iter__(self) -> Iterator[EarlierWorker]:
        return iter(self._workers.values())

    def expect(self, of: RunningWorker, places: Mapping[str, int] | None = None) -> EarlierWorker | None:
        """Watches a worker, which is to say hello within :data:`UNHEARD_S`.

        :param places: the places of subscribers that it has, by the names of the feeds; ``None`` if nobody has told.
        :returns: the worker; ``None`` if it has ended, or is watched already.
        """
        if of.pid in self._workers or not self.processes.hold(of.pid):
            return None
        used = {each.place for each in self._workers.values()}
        place = next(-number for number in range(1, len(used) + 2) if -number not in used)
        now = self.clock.seconds()
        worker = self._workers[of.pid] = EarlierWorker(of, place, self.owner, self.clock, now + UNHEARD_S)
        worker.places = places
        if not self._sweeping.running:
            self._swept_s = now
            self._sweeping.start(SWEEP_S, now=False)
        _log.info("{name} runs (process {pid}), and is sent away", name=worker.name, pid=of.pid)
        return worker

    def greet(self, link: Link, hello: Hello) -> bool:
        """Takes a worker that has said hello, feeds it, and has it send its watchers away.

        :returns: whether it is one of these workers.
        """
        worker = self._workers.get(link.pid)
        if worker is None:
            return False
        worker.connect(link)
        self.owner.welcome_earlier(worker, hello)
        if not hello.is_draining:
            link.send(message_of("drain", DrainOrder(successor=True)))
        if not worker.is_known:
            worker.is_known = True
            worker.deadline_s = self.clock.seconds() + LONGEST_S
            self.owner.note_heard()
        return True

    def unheard(self) -> list[EarlierWorker]:
        """Gives the workers that have not said hello."""
        return [each for each in self._workers.values() if not each.is_known]

    def untold(self) -> bool:
        """Tells whether there are workers whose places of limited feeds are not known."""
        return any(each.places is None for each in self.unheard())

    def of_link(self, link: object) -> EarlierWorker | None:
        """Gives the worker with a link."""
        return next((each for each in self._workers.values() if each.link is link), None)

    def kill_unheard(self) -> None:
        """Kills the workers that have not said hello."""
        for worker in self.unheard():
            self._kill(worker, "it does not answer")

    def ended(self, pid: int) -> bool:
        """Takes note that a process has ended.

        :returns: whether it was that of one of these workers.
        """
        worker = self._workers.pop(pid, None)
        if worker is None:
            return False
        _log.info("{name} (process {pid}) has ended", name=worker.name, pid=pid)
        link, worker.link = worker.link, None
        if link is not None:
            self.owner.part_from(link)
            link.close()
        self.owner.forget(worker)
        if not worker.is_known:
            self.owner.note_heard()
        self._end_if_none()
        return True

    def stop(self) -> Deferred[None]:
        """Has all end soon: watchers that are left are sent away at once. Those that do not end are killed.

        :returns: fires when all have ended.
        """
        now = self.clock.seconds()
        for pid, worker in tuple(self._workers.items()):
            worker.deadline_s = min(worker.deadline_s, now + 2 * KILL_S)
            self.processes.kill(pid, signal.SIGTERM)
        stopped = self._stopped = Deferred()
        self._end_if_none()
        return stopped

    def hurry(self) -> None:
        """Kills all that are left once they have been told to end."""
        if self._stopped is not None:
            for worker in tuple(self):
                self._kill(worker, "it has not ended yet")

    def leave(self) -> None:
        """Watches them no more: the next parent does."""
        if self._sweeping.running:
            self._sweeping.stop()
        for worker in self._workers.values():
            if worker.link is not None:
                worker.link.close()
        self._workers.clear()

    def report(self) -> list[dict[str, Any]]:
        """Gives the facts about them, for display; the latest generation first."""
        workers = sorted(self._workers.values(), key=lambda each: (-each.of.generation, each.of.index))
        return [each.report() for each in workers]

    # Inside

    def sweep(self) -> None:
        """Kills the workers that hang."""
        now = self.clock.seconds()
        paused_s = max(0.0, now - self._swept_s - 2 * SWEEP_S)
        self._swept_s = now
        for worker in tuple(self):
            worker.shift(paused_s)
            late_s = worker.silence_s()
            if late_s >= (END_S if worker.has_finished else LATE_S):
                self._kill(worker, f"its heartbeat is {length_of(late_s)} s late")
            elif now >= worker.deadline_s:
                self._kill(worker, "it has not ended in time" if worker.is_known else "it does not answer")

    def _kill(self, worker: EarlierWorker, why: str) -> None:
        if not worker.is_killed:
            worker.is_killed = True
            _log.warn("{name} (process {pid}) is killed: {why}", name=worker.name, pid=worker.of.pid, why=why)
            self.processes.kill(worker.of.pid, signal.SIGKILL)

    def _end_if_none(self) -> None:
        if not self._workers:
            if self._sweeping.running:
                self._sweeping.stop()
            stopped, self._stopped = self._stopped, None
            if stopped is not None:
                stopped.callback(None)

    def _sweep_and_go_on(self) -> None:
        try:
            self.sweep()
        except Exception:
            _log.failure("the look at the workers of earlier generations raised an exception; the next one follows")
