"""The supervisor with workers in memory: each has a life of its own, and ends when it is killed."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import LinkError
from livefeed.workers.supervisor import (
    HEALTHY_S,
    HEARTBEAT_S,
    KILL_S,
    LATE_S,
    LEND_S,
    PAUSES_S,
    START_S,
    SUSPECT_S,
    SWEEP_S,
    State,
    Supervisor,
)

STEP_S = SWEEP_S / 2


@dataclass
class Process:
    """A worker's process in memory.

    :ivar hangs: whether it neither beats nor ends by SIGTERM.
    """

    index: int
    started_s: float
    hangs: bool = False
    said_ready: bool = False
    beat_s: float = 0.0


@dataclass
class Machine:
    """Processes that start, beat, hang and die, and the sockets that they lend each other.

    :ivar ready_after_s: seconds from the start of a process until its canary is served.
    :ivar dies_after_s: seconds from the start of a process, by the worker's index, after which it ends by itself.
    :ivar served: for each socket that is lent, the worker that serves it.
    :ivar unreachable: the workers that no message reaches, and why, unless they have no link.
    """

    clock: Clock
    supervisor: Supervisor = field(init=False)
    ready_after_s: float = 0.2
    dies_after_s: dict[int, float] = field(default_factory=dict)
    refused: int = 0
    processes: dict[int, Process] = field(default_factory=dict)
    spawned: list[tuple[float, int]] = field(default_factory=list)
    killed: list[tuple[int, signal.Signals]] = field(default_factory=list)
    served: dict[int, int] = field(default_factory=dict)
    immortal: bool = False
    unreachable: dict[int, Exception | None] = field(default_factory=dict)

    def spawn(self, index: int) -> int:
        """Processes API."""
        assert all(each.index != index for each in self.processes.values()), "two processes of one worker"
        if self.refused:
            self.refused -= 1
            raise OSError(11, "Resource temporarily unavailable")
        self.spawned.append((self.clock.seconds(), index))
        pid = 100 + len(self.spawned)
        self.processes[pid] = Process(index, self.clock.seconds())
        return pid

    def kill(self, pid: int, number: signal.Signals) -> None:
        """Processes API. The supervisor hears of the end later, as from the kernel."""
        self.killed.append((pid, number))
        process = self.processes.get(pid)
        if process is None or self.immortal or (process.hangs and number is not signal.SIGKILL):
            return
        self.clock.callLater(0, self.end, pid, f"was ended by signal {int(number)}")

    def lend(self, owner: int, to: int) -> bool:
        """Lending API."""
        assert owner not in self.served, "lent twice"
        assert self.supervisor.workers[to].state is State.READY
        if to in self.unreachable:
            error = self.unreachable[to]
            if error is not None:
                raise error
            return False
        self.served[owner] = to
        return True

    def take_back(self, owner: int, borrower: int) -> None:
        """Lending API."""
        assert self.served.pop(owner) == borrower

    def end(self, pid: int, why: str = "ended with exit code 1") -> None:
        """Ends a process."""
        process = self.processes.pop(pid, None)
        if process is not None:
            self.served = {owner: to for owner, to in self.served.items() if to != process.index}
            self.supervisor.ended(pid, why)

    def run(self, seconds: float) -> None:
        """Lets time pass, with the heartbeats of all processes."""
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end - STEP_S / 2:
            self.clock.advance(STEP_S)
            for pid, process in tuple(self.processes.items()):
                self.live(pid, process)

    def live(self, pid: int, process: Process) -> None:
        """Lets one process do what is due."""
        now = self.clock.seconds()
        age_s = now - process.started_s
        if process.hangs or not self.supervisor.is_known(process.index, pid):
            return
        if age_s >= self.dies_after_s.get(process.index, 1e9):
            self.end(pid)
            return
        if now - process.beat_s >= HEARTBEAT_S:
            process.beat_s = now
            self.supervisor.heard(process.index, {"connections": 7, "watchers": {"websocket": 3}})
        if age_s >= self.ready_after_s and not process.said_ready:
            process.said_ready = True
            self.supervisor.served(process.index, 0.01)

    def pid_of(self, index: int) -> int:
        """Gives the id of the process of a worker."""
        return next(pid for pid, each in self.processes.items() if each.index == index)


class SupervisorTestCase(SynchronousTestCase):
    count = 2

    def setUp(self) -> None:
        self.clock = Clock()
        self.machine = Machine(self.clock)
        self.supervisor = self.machine.supervisor = Supervisor(self.count, self.clock, self.machine, self.machine)
        self.logged: Any = self.enterContext(capturedLogs())

    def start(self) -> None:
        """Starts the workers, and waits until all are ready."""
        self.supervisor.start()
        self.machine.run(1.0)
        self.assertEqual(self.states(), ["ready"] * self.count)

    def states(self) -> list[str]:
        return [str(worker.state) for worker in self.supervisor.workers]

    def lines(self) -> list[str]:
        """Gives the lines of the log since the last call."""
        lines = [formatEvent(event) for event in self.logged]
        self.logged.clear()
        return lines


class StartTests(SupervisorTestCase):
    def test_all_are_started(self) -> None:
        """Each has one process, and is ready when its canary is served."""
        self.supervisor.start()
        self.assertEqual([index for _, index in self.machine.spawned], [0, 1])
        self.assertEqual(self.states(), ["starting", "starting"])
        self.machine.run(1.0)
        self.assertEqual(self.states(), ["ready", "ready"])
        self.assertEqual(self.lines(), ["worker 0 is ready (process 101)", "worker 1 is ready (process 102)"])

    def test_obstacle(self) -> None:
        """It names the workers that do not serve the newest version; during a drain none has to."""
        self.supervisor.start()
        self.assertEqual(self.supervisor.obstacle(), "workers do not serve their canaries: 0, 1")
        self.assertFalse(self.supervisor.is_ready(1))
        self.machine.run(1.0)
        self.assertIsNone(self.supervisor.obstacle())
        self.assertTrue(self.supervisor.is_ready(1))
        self.supervisor.unserved(1, "it is slow")
        self.assertEqual(self.supervisor.obstacle(), "workers do not serve their canaries: 1")
        self.supervisor.release()
        self.assertIsNone(self.supervisor.obstacle())

    def test_adopted(self) -> None:
        """A process of an earlier parent is not started again, and is ready when its canary is served here."""
        self.machine.processes[50] = Process(1, 0.0)
        self.supervisor.adopt(1, 50)
        self.start()
        self.assertEqual([index for _, index in self.machine.spawned], [0])
        self.assertEqual(self.supervisor.workers[1].pid, 50)
        self.machine.end(50)
        self.machine.run(1.0)
        self.assertEqual([index for _, index in self.machine.spawned], [0, 1])

    def test_start_that_takes_too_long(self) -> None:
        """It is killed: the next process may do better."""
        self.machine.ready_after_s = START_S * 2
        self.supervisor.start()
        self.machine.run(START_S + 1.0)
        self.assertIn("worker 0 (process 101) is killed: it was not ready after 120 s", self.lines())
        self.assertEqual(len(self.machine.spawned), 4)

    def test_system_that_refuses(self) -> None:
        """A process that cannot be started counts as a death."""
        self.machine.refused = 3
        self.supervisor.start()
        self.assertIn(
            "worker 0 (process none) could not be started: Resource temporarily unavailable; another one starts now",
            self.lines(),
        )
        self.machine.run(3.0)
        self.assertEqual(self.states(), ["ready", "ready"])

    def test_nothing_to_lend(self) -> None:
        """Without sockets no worker serves for another; with them, one does at the next look."""
        self.supervisor.can_lend = False
        self.start()
        self.machine.ready_after_s = START_S
        self.machine.end(101)
        self.machine.run(LEND_S + 1.0)
        self.assertEqual(self.machine.served, {})
        self.supervisor.can_lend = True
        self.machine.run(0.2)
        self.assertEqual(self.machine.served, {0: 1})


class ReleaseTests(SupervisorTestCase):
    """A drain: the workers send their watchers away, and run on."""

    def test_workers_run_on(self) -> None:
        """Nobody is killed or replaced because no canary is served, or lends its sockets."""
        self.start()
        self.supervisor.release()
        self.supervisor.unserved(0, "it accepts no more")
        self.machine.run(START_S + 5.0)
        self.assertEqual((self.machine.killed, self.machine.served, len(self.machine.spawned)), ([], {}, 2))
        self.assertEqual([each["state"] for each in self.supervisor.report()], ["draining"] * 2)
        self.assertFalse(any("canary" in line for line in self.lines()))

    def test_death(self) -> None:
        """A dead worker is not replaced, and its sockets are not lent."""
        self.start()
        self.supervisor.release()
        self.lines()
        self.machine.end(101)
        self.machine.run(LEND_S + 40.0)
        self.assertEqual((self.supervisor.alive(), len(self.machine.spawned), self.machine.served), ([1], 2, {}))
        self.assertEqual(
            self.lines(),
            ["worker 0 (process 101) ended with exit code 1; none takes its place during a drain"],
        )
        self.assertEqual(self.supervisor.report()[0]["state"], "dead")

    def test_hanging_worker(self) -> None:
        """It is killed all the same: its watchers wait for nothing."""
        self.start()
        self.supervisor.release()
        self.machine.processes[101].hangs = True
        self.machine.run(HEARTBEAT_S + LATE_S + 1.0)
        self.assertEqual(self.machine.killed, [(101, signal.SIGKILL)])

    def test_starting_worker(self) -> None:
        """One that beats runs on; one that says nothing is killed, as otherwise."""
        self.machine.ready_after_s = START_S * 2
        self.supervisor.start()
        self.machine.processes[101].hangs = True
        self.supervisor.release()
        self.machine.run(START_S + 1.0)
        self.assertEqual((self.machine.killed, self.supervisor.alive()), ([(101, signal.SIGKILL)], [1]))

    def test_stop(self) -> None:
        """It ends the workers as before a drain, and at once if it was hurried."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            self.setUp()
            self.start()
            self.supervisor.release()
            if number is signal.SIGKILL:
                self.machine.processes[101].hangs = self.machine.processes[102].hangs = True
                self.supervisor.hurry()
            stopped = self.supervisor.stop(3.0)
            self.machine.run(2 * SWEEP_S)
            self.successResultOf(stopped)
            self.assertEqual(self.machine.killed[-1][1], number)


class DeathTests(SupervisorTestCase):
    def test_dead_worker_is_replaced_at_once(self) -> None:
        """The others go on, and the log has one line for the end and one for the next worker."""
        self.start()
        self.lines()
        self.machine.end(101, "was ended by signal 9")
        self.assertEqual(self.states(), ["starting", "ready"])
        self.machine.run(0.5)
        self.assertEqual(self.states(), ["ready", "ready"])
        self.assertEqual(
            self.lines(),
            [
                "worker 0 (process 101) was ended by signal 9; another one starts now",
                "worker 0 is ready (process 103)",
            ],
        )
        self.assertEqual(self.machine.killed, [])
        self.assertEqual([each.restarts for each in self.supervisor.workers], [1, 0])

    def test_crash_loop(self) -> None:
        """The pauses grow up to half a minute. A live worker serves the socket."""
        self.machine.dies_after_s[0] = 0.0
        self.supervisor.start()
        self.machine.run(150.0)
        starts = [at for at, index in self.machine.spawned if index == 0]
        pauses = [later - earlier for earlier, later in pairwise(starts)]
        for pause_s, wanted_s in zip(pauses, (*PAUSES_S, 30.0, 30.0), strict=False):
            self.assertTrue(wanted_s <= pause_s <= wanted_s + 3 * SWEEP_S, pauses)
        self.assertGreaterEqual(len(pauses), len(PAUSES_S) + 1)
        self.assertEqual(self.machine.served, {0: 1})
        self.assertEqual(len([line for line in self.lines() if "another one starts" in line]), len(starts))

    def test_long_life_ends_the_row(self) -> None:
        """A worker that dies once an hour is replaced at once each time."""
        self.start()
        for _ in range(3):
            self.machine.run(HEALTHY_S + 1.0)
            self.machine.end(self.machine.pid_of(0))
            self.assertEqual(self.states()[0], "starting")

    def test_unknown_process(self) -> None:
        """The end of a process that was replaced long ago changes nothing."""
        self.start()
        self.supervisor.ended(7, "ended")
        self.assertEqual(self.states(), ["ready", "ready"])


class HangTests(SupervisorTestCase):
    def test_silent_worker_is_killed_and_replaced(self) -> None:
        """Its socket is served by another worker soon after its last heartbeat, until the next process is ready."""
        self.start()
        self.machine.processes[101].hangs = True
        self.machine.ready_after_s = 0.5
        self.machine.run(HEARTBEAT_S + SUSPECT_S + 3 * SWEEP_S)
        self.assertEqual((self.machine.served, self.machine.killed), ({0: 1}, []))
        self.machine.run(LATE_S - SUSPECT_S - 3 * SWEEP_S)
        self.assertEqual(self.machine.killed, [(101, signal.SIGKILL)])
        self.assertEqual(self.machine.served, {0: 1})
        self.machine.run(0.8)
        self.assertEqual((self.states(), self.machine.served), (["ready", "ready"], {}))
        self.assertIn("worker 0 (process 101) is killed: its heartbeat is 2.1 s late", self.lines())

    def test_worker_that_goes_on(self) -> None:
        """A short pause has no consequence but that another worker helped out."""
        self.start()
        self.machine.processes[101].hangs = True
        self.machine.run(HEARTBEAT_S + SUSPECT_S + 3 * SWEEP_S)
        self.machine.processes[101].hangs = False
        self.machine.run(LATE_S)
        self.assertEqual((self.states(), self.machine.served, self.machine.killed), (["ready", "ready"], {}, []))

    def test_pause_of_the_parent(self) -> None:
        """A parent that was stopped has read no heartbeats, and blames no worker for that."""
        self.start()
        self.clock.advance(60.0)
        self.machine.run(1.0)
        self.assertEqual((self.machine.killed, self.states()), ([], ["ready", "ready"]))

    def test_canary_that_is_not_served(self) -> None:
        """A worker that beats is not killed; the log has one line for the change."""
        self.start()
        self.lines()
        for _ in range(3):
            self.supervisor.unserved(0, "timeout")
        self.assertEqual(self.lines(), ["worker 0 does not serve its canary: timeout"])
        self.assertIsNone(self.supervisor.report()[0]["canary_s"])
        self.supervisor.served(0, 0.5)
        self.assertEqual(self.supervisor.report()[0]["canary_s"], 0.5)

    def test_error_in_a_sweep(self) -> None:
        """It is logged, and the next sweep follows."""
        self.start()
        self.patch(self.supervisor, "_lend_what_is_down", lambda now: 1 / 0)
        self.machine.run(SWEEP_S * 3)
        self.assertGreater(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class LendingTests(SupervisorTestCase):
    count = 3

    def test_slow_replacement(self) -> None:
        """A socket is lent when its worker has been down for a second, and given back when it is ready."""
        self.start()
        self.machine.ready_after_s = 3.0
        self.machine.end(102)
        self.machine.run(LEND_S - 2 * SWEEP_S)
        self.assertEqual(self.machine.served, {})
        self.machine.run(4 * SWEEP_S)
        self.assertEqual(self.machine.served, {1: 0})
        self.assertEqual([each["serves_for"] for each in self.supervisor.report()], [[1], [], []])
        self.machine.run(3.0)
        self.assertEqual((self.machine.served, self.states()), ({}, ["ready"] * 3))

    def test_death_of_the_borrower(self) -> None:
        """The sockets of both are lent to the worker that is left."""
        self.start()
        self.machine.ready_after_s = 10.0
        self.machine.end(102)
        self.machine.run(LEND_S + 2 * SWEEP_S)
        self.machine.end(101)
        self.machine.run(LEND_S + 2 * SWEEP_S)
        self.assertEqual(self.machine.served, {1: 2, 0: 2})

    def test_borrower_that_hangs(self) -> None:
        """The sockets are lent to another one."""
        self.start()
        self.machine.ready_after_s = 10.0
        self.machine.end(102)
        self.machine.run(LEND_S + 2 * SWEEP_S)
        self.machine.processes[101].hangs = True
        self.machine.run(HEARTBEAT_S + SUSPECT_S + 3 * SWEEP_S)
        self.assertEqual(self.machine.served, {1: 2, 0: 2})

    def test_several(self) -> None:
        """They are spread over the workers that are left."""
        self.start()
        self.machine.ready_after_s = 10.0
        self.machine.end(101)
        self.machine.run(LEND_S + 2 * SWEEP_S)
        self.assertEqual(self.machine.served, {0: 1})
        self.supervisor.workers[0].borrower = 1
        self.supervisor._lend(self.supervisor.workers[2])
        self.assertEqual(self.machine.served, {0: 1, 2: 1})

    def test_worker_without_a_link(self) -> None:
        """Another one accepts instead; if there is none, it is tried again until the link is back."""
        self.start()
        self.machine.ready_after_s = 10.0
        self.machine.unreachable = {1: None}
        self.machine.end(101)
        self.machine.run(LEND_S + 2 * SWEEP_S)
        self.assertEqual(self.machine.served, {0: 2})
        self.machine.unreachable = {1: None, 2: None}
        self.machine.end(103)
        self.machine.run(LEND_S + 2 * SWEEP_S)
        self.assertEqual((self.machine.served, self.supervisor.lent_to(1)), ({}, []))
        self.machine.unreachable = {2: None}
        self.machine.run(2 * SWEEP_S)
        self.assertEqual((self.machine.served, self.supervisor.lent_to(1)), ({0: 1, 2: 1}, [0, 2]))

    def test_message_that_cannot_be_sent(self) -> None:
        """It is tried again at each sweep, and logged once."""
        self.start()
        self.lines()
        self.machine.ready_after_s = 10.0
        self.machine.unreachable = dict.fromkeys((1, 2), LinkError("Too many open files"))
        self.machine.end(101)
        self.machine.run(LEND_S + 5 * SWEEP_S)
        failure = "the sockets of worker 0 cannot be given to worker 1: Too many open files"
        self.assertEqual(self.lines()[1:], [failure])
        self.machine.unreachable = {}
        self.machine.run(2 * SWEEP_S)
        self.assertEqual(self.machine.served, {0: 1})

    def test_nobody_is_ready(self) -> None:
        """Nothing is lent while all start."""
        self.machine.ready_after_s = 5.0
        self.supervisor.start()
        self.machine.run(3.0)
        self.assertEqual(self.machine.served, {})


class StopTests(SupervisorTestCase):
    def test_all_are_told_to_end(self) -> None:
        """The stop has ended when all processes have."""
        self.start()
        stopped = self.supervisor.stop(3.0)
        self.assertEqual(self.machine.killed, [(101, signal.SIGTERM), (102, signal.SIGTERM)])
        self.assertNoResult(stopped)
        self.machine.run(SWEEP_S)
        self.successResultOf(stopped)
        self.machine.run(5.0)
        self.assertEqual((len(self.machine.spawned), self.clock.getDelayedCalls()), (2, []))

    def test_slow_end(self) -> None:
        """A worker that does not end in time is killed."""
        self.start()
        self.machine.processes[101].hangs = True
        stopped = self.supervisor.stop(3.0)
        self.machine.run(3.0 + KILL_S - SWEEP_S)
        self.assertNotIn((101, signal.SIGKILL), self.machine.killed)
        self.machine.run(3 * SWEEP_S)
        self.assertIn((101, signal.SIGKILL), self.machine.killed)
        self.successResultOf(stopped)

    def test_hurry(self) -> None:
        """Workers are killed at once if the operator asks twice, and not before they were told to end."""
        self.start()
        self.supervisor.hurry()
        self.machine.run(2 * SWEEP_S)
        self.assertEqual(self.machine.killed, [])
        for process in self.machine.processes.values():
            process.hangs = True
        stopped = self.supervisor.stop(3.0)
        self.supervisor.hurry()
        self.machine.run(3 * SWEEP_S)
        self.successResultOf(stopped)

    def test_hurry_of_retired_processes(self) -> None:
        """They are killed at once as well, before the stop and after it."""
        for order in (("hurry", "stop"), ("stop", "hurry")):
            self.setUp()
            self.start()
            self.machine.processes[60] = Process(5, 0.0, hangs=True)
            self.supervisor.retire(60, 30.0)
            for each in order:
                getattr(self.supervisor, each)(*([3.0] if each == "stop" else []))
            self.machine.run(3 * SWEEP_S)
            self.assertIn((60, signal.SIGKILL), self.machine.killed)
            self.assertEqual(self.machine.processes, {})

    def test_end_that_never_comes(self) -> None:
        """The parent ends although the kernel cannot end a worker."""
        self.start()
        self.machine.immortal = True
        stopped = self.supervisor.stop(3.0)
        self.machine.run(3.0 + 2 * KILL_S + 3 * SWEEP_S)
        self.successResultOf(stopped)

    def test_before_the_start(self) -> None:
        """Without workers there is nothing to wait for."""
        self.successResultOf(self.supervisor.stop(3.0))

    def test_death_before_the_stop(self) -> None:
        """A worker that waits for its next start is not started any more."""
        self.machine.dies_after_s[0] = 0.0
        self.supervisor.start()
        self.machine.run(1.0)
        stopped = self.supervisor.stop(3.0)
        count = len(self.machine.spawned)
        self.machine.run(2.0)
        self.successResultOf(stopped)
        self.assertEqual(len(self.machine.spawned), count)

    def test_retired(self) -> None:
        """A process that is none of the workers is told to end, and killed if it does not; the stop waits for it."""
        self.start()
        self.machine.processes[60] = Process(5, 0.0, hangs=True)
        self.supervisor.retire(60, 3.0)
        stopped = self.supervisor.stop(3.0)
        self.machine.run(1.0)
        self.assertNoResult(stopped)
        self.machine.run(3.0 + KILL_S)
        self.assertEqual(self.machine.killed[-1], (60, signal.SIGKILL))
        self.successResultOf(stopped)


class ReportTests(SupervisorTestCase):
    def test_report(self) -> None:
        """It has one entry for each worker, with the figures of its last heartbeat."""
        self.start()
        self.machine.dies_after_s[1] = 0.0
        self.machine.run(0.2)
        first, second = self.supervisor.report()
        self.assertEqual(
            (first["index"], first["pid"], first["state"], first["connections"], first["watchers"], first["canary_s"]),
            (0, 101, "ready", 7, {"websocket": 3}, 0.01),
        )
        self.assertAlmostEqual(first["age_s"], 1.2)
        self.assertLessEqual(first["heartbeat_age_s"], HEARTBEAT_S + STEP_S)
        self.assertEqual(
            (second["pid"], second["state"], second["age_s"], second["heartbeat_age_s"], second["canary_s"]),
            (None, "dead", None, None, None),
        )
        self.assertEqual(second["restarts"], 2)
