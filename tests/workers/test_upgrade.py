"""The old parent of an upgrade: refusals, steps, and failures at each of them, after which it goes on."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import CommandError, LinkError
from livefeed.process.program import CHANNEL, Program
from livefeed.workers import upgrade
from livefeed.workers.messages import Message
from livefeed.workers.upgrade import COMMIT_S, END_S, LINGER_S, MAX_STEPS, READY_S, START_S, Upgrade

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

PROGRAM = Program(("/usr/bin/python3", "twistd", "livefeed"), Path("/srv"), {"HOME": "/root"})


class Reactor(Clock):
    """A reactor whose processes and connections are noted."""

    def __init__(self) -> None:
        super().__init__()
        self.spawned: list[tuple[Any, ...]] = []
        self.error: OSError | None = None
        self.triggers: list[Callable[[], object]] = []
        self.is_stopped = False
        self.transport = Transport()

    def spawnProcess(self, protocol: Any, *arguments: Any, **named: Any) -> Transport:
        if self.error is not None:
            raise self.error
        self.spawned.append((protocol, *arguments, named))
        protocol.transport = self.transport
        return self.transport

    def addSystemEventTrigger(self, phase: str, event: str, call: Callable[[], object]) -> None:
        self.triggers.append(call)

    def stop(self) -> None:
        self.is_stopped = True
        for call in self.triggers:
            call()


class Transport:
    """A process."""

    pid = 4711

    def __init__(self) -> None:
        self.signals: list[str] = []

    def signalProcess(self, number: str) -> None:
        self.signals.append(number)


class FakeLink:
    """The channel."""

    def __init__(self, receiver: Any) -> None:
        self.receiver = receiver
        self.sent: list[str] = []
        self.is_aborted = False

    def send(self, message: Message) -> None:
        self.sent.append(message.type)

    def abort(self) -> None:
        self.is_aborted = True

    def receive(self, kind: str, **facts: Any) -> None:
        self.receiver.receive(self, Message(kind, facts))


@dataclass
class FakeHoldings:
    """The parts of the process, which note what was done to them."""

    calls: list[str] = field(default_factory=list)
    why_not: str = ""
    is_followed: bool = True
    error: Exception | None = None

    def obstacle(self) -> str:
        return self.why_not

    def can_be_followed(self) -> bool:
        return self.is_followed

    def environment(self) -> Mapping[str, str]:
        return {"NOTIFY_SOCKET": "/run/notify"}

    def offer(self) -> Message:
        self.calls.append("offer")
        return Message("offer")

    def begin(self) -> None:
        self.calls.append("begin")

    def follow(self, link: Any) -> None:
        self.calls.append("follow")

    def receive(self, link: Any, message: Message) -> bool:
        return message.type == "seen"

    async def let_go(self, link: Any) -> Message:
        await succeed(None)
        if self.error is not None:
            raise self.error
        self.calls.append("let_go")
        return Message("commit")

    def take_back(self, link: Any) -> None:
        self.calls.append("take_back")

    def hand_over(self, pid: int) -> None:
        self.calls.append(f"hand_over {pid}")


class UpgradeTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor: Any = Reactor()
        self.holdings = FakeHoldings()
        self.links: list[FakeLink] = []
        self.patch(upgrade, "open_channel", self.open_channel)
        self.upgrade = Upgrade(PROGRAM, self.holdings, self.any_reactor())
        self.upgrade.startService()

    def any_reactor(self) -> Any:
        return self.reactor

    def open_channel(self, reactor: Any, sock: socket.socket, receiver: Any) -> FakeLink:
        sock.close()
        self.links.append(FakeLink(receiver))
        return self.links[-1]

    def begin(self, **arguments: Any) -> Deferred[dict[str, Any]]:
        """Begins an upgrade by the operator's command."""
        return Deferred.fromCoroutine(self.upgrade.command(arguments))

    def why_refused(self, **arguments: Any) -> str:
        return str(self.failureResultOf(self.begin(**arguments), CommandError).getErrorMessage())

    @property
    def link(self) -> FakeLink:
        return self.links[-1]

    def end_process(self, error: Exception | None = None) -> None:
        """Ends the process of the new program."""
        protocol = self.reactor.spawned[-1][0]
        protocol.processEnded(Failure(error or ProcessTerminated(exitCode=1)))

    def reach(self, *kinds: str) -> None:
        """Has the new program reach steps."""
        for kind in kinds:
            self.link.receive(kind, **({"text": "it works"} if kind == "step" else {}))

    def why_failed(self, command: Deferred[Any]) -> str:
        """Ends the process that was killed, and gives the reason for which the upgrade has failed."""
        if self.reactor.transport.signals:
            self.assertEqual(self.reactor.transport.signals, ["KILL"])
            self.end_process(ProcessTerminated(signal=9))
        why = str(self.failureResultOf(command, CommandError).getErrorMessage())
        prefix = "the upgrade has failed, and the old program goes on: "
        self.assertTrue(why.startswith(prefix), why)
        self.assertEqual(self.holdings.calls[-1], "take_back")
        self.assertFalse(self.upgrade.is_under_way)
        self.assertFalse(self.reactor.is_stopped)
        self.assertEqual(self.upgrade.counts["failed"], 1)
        return why.removeprefix(prefix)


class StraightPathTests(UpgradeTestCase):
    def test_steps(self) -> None:
        """The feeds follow the first step, the commit follows readiness, and this process ends after the last one."""
        command = self.begin()
        self.assertEqual((self.holdings.calls, self.link.sent), (["begin", "offer"], ["offer"]))
        self.reach("step")
        self.assertEqual(self.holdings.calls[2:], ["follow"])
        self.reach("seen", "ready")
        self.assertEqual((self.holdings.calls[3:], self.link.sent), (["let_go"], ["offer", "commit"]))
        self.reactor.advance(1.5)
        self.reach("committed")
        self.assertEqual(self.holdings.calls[4:], ["hand_over 4711"])
        report = self.successResultOf(command)
        self.assertEqual(report, {"pid": 4711, "took_s": 1.5, "steps": ["it works"]})
        self.assertFalse(self.reactor.is_stopped)
        self.reactor.advance(LINGER_S)
        self.assertTrue(self.reactor.is_stopped)
        self.assertEqual(self.holdings.calls[-1], "hand_over 4711")
        self.assertEqual(self.reactor.transport.signals, [])

    def test_program(self) -> None:
        """It gets the variables and the directory of the start, the service manager's socket, and the channel."""
        self.begin()
        ((_, executable, command, environment, directory, named),) = self.reactor.spawned
        self.assertEqual((executable, command, directory), ("/usr/bin/python3", PROGRAM.command, "/srv"))
        self.assertEqual(environment, {"HOME": "/root", "NOTIFY_SOCKET": "/run/notify", CHANNEL: "3"})
        self.assertEqual({*named["childFDs"]}, {0, 1, 2, 3})

    def test_end_of_the_channel_after_the_last_step(self) -> None:
        """The new parent closes the channel when it has taken over."""
        command = self.begin()
        self.reach("step", "ready", "committed")
        self.link.receiver.lost(self.link)
        self.reactor.advance(5)
        self.successResultOf(command)
        self.assertNotIn("take_back", self.holdings.calls)

    def test_signal(self) -> None:
        """SIGUSR2 does the same, and the log has the outcome."""
        self.upgrade.signalled()
        self.assertTrue(self.upgrade.is_under_way)
        self.link.receive("failed", why="it does not want to")
        with capturedLogs() as logs:
            self.end_process()
        self.assertIn("it does not want to", formatEvent(logs[-1]) or "")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_metrics(self) -> None:
        """Upgrades are counted by their result."""
        self.holdings.why_not = "a reload runs"
        self.why_refused()
        samples = {dict(each.labels)["result"]: each.value for each in self.upgrade.samples()}
        self.assertEqual(samples, {"done": 0, "failed": 0, "refused": 1})


class RefusalTests(UpgradeTestCase):
    def test_arguments(self) -> None:
        """Unknown ones, and values that are no truth values, change nothing."""
        self.assertIn("upgrade has no argument 'force'", self.why_refused(force=True))
        self.assertIn("neither true nor false", self.why_refused(unsupervised="yes"))
        self.assertEqual(self.reactor.spawned, [])

    def test_obstacle(self) -> None:
        """The parts of the process may have a reason."""
        self.holdings.why_not = "a reload runs; wait for its end"
        self.assertEqual(self.why_refused(), "the upgrade is refused: a reload runs; wait for its end")
        self.assertEqual(self.holdings.calls, [])

    def test_supervisor_that_cannot_follow(self) -> None:
        """The operator must say that nothing waits for the process; a daemon needs no such word."""
        self.holdings.is_followed = False
        self.assertIn("cannot be told another process id", self.why_refused())
        self.begin(unsupervised=True)
        self.assertTrue(self.upgrade.is_under_way)
        self.upgrade = Upgrade(PROGRAM.succeeding(is_daemon=True, pidfile=None), self.holdings, self.reactor)
        self.begin()
        self.assertTrue(self.upgrade.is_under_way)

    def test_process_1(self) -> None:
        """A container ends with it."""
        self.patch(os, "getpid", lambda: 1)
        self.assertIn("process 1", self.why_refused(unsupervised=True))

    def test_unknown_program(self) -> None:
        """Without the command line of the start there is no other one."""
        self.upgrade.program = None
        self.assertIn("not known how this livefeed was started", self.why_refused())
        self.upgrade.program = Program((), Path(), {}, obstacle="it was started with --chroot of twistd")
        self.assertIn("--chroot", self.why_refused())

    def test_second_upgrade(self) -> None:
        """It waits for the end of the first one."""
        self.begin()
        self.assertIn("an upgrade runs already", self.why_refused())

    def test_process_that_ends(self) -> None:
        """It has no successor."""
        self.reactor.stop()
        self.assertIn("livefeed was told to end", self.why_refused())


class FailureTests(UpgradeTestCase):
    """Whatever fails, the new program is killed, and everything is taken back."""

    def test_start(self) -> None:
        """The system refuses to start the program."""
        self.reactor.error = FileNotFoundError(2, "No such file or directory")
        self.assertEqual(self.why_failed(self.begin()), "the new program cannot be started: No such file or directory")
        self.assertTrue(self.link.is_aborted)

    def test_end_of_the_program(self) -> None:
        """It ends by itself, such as for a module that cannot be imported."""
        command = self.begin()
        self.end_process(ProcessTerminated(exitCode=1))
        self.assertIn("(process 4711) has ended with exit code 1", self.why_failed(command))
        for error, how in ((ProcessTerminated(signal=11), "signal 11"), (ProcessDone(0), "exit code 0")):
            self.upgrade.counts["failed"] = 0
            command = self.begin()
            self.end_process(error)
            self.assertIn(how, self.why_failed(command))

    def test_reason_of_the_program(self) -> None:
        """It tells the reason, such as a wrong setting, before it ends; that is the one that counts."""
        command = self.begin()
        self.link.receive("failed", why="livefeed.toml:3: intervall: there is no such setting")
        self.assertIn("livefeed.toml:3: intervall", self.why_failed(command))

    def test_time_of_each_step(self) -> None:
        """Each has a limit, and the reason says in words what is late."""
        for kinds, limit_s, late in (
            ((), START_S, "the new program has not checked its configuration within 60 s"),
            (("step",), READY_S, "the workers of the new program have not served the newest versions within 180 s"),
        ):
            command = self.begin()
            self.reach(*kinds)
            self.reactor.advance(limit_s)
            self.assertIn(late, self.why_failed(command))
            self.upgrade.counts["failed"] = 0
            self.reactor.transport.signals.clear()

    def test_time_of_the_commit(self) -> None:
        """What was let go is taken back."""
        command = self.begin()
        self.reach("step", "ready")
        self.reactor.advance(COMMIT_S)
        self.assertIn("the new program has not taken over within 20 s", self.why_failed(command))
        self.assertIn("let_go", self.holdings.calls)

    def test_failure_of_the_commit(self) -> None:
        """The new program cannot take over, or the old one cannot let go."""
        command = self.begin()
        self.reach("step", "ready")
        self.link.receive("failed", why="another process keeps its versions there")
        self.assertIn("another process keeps its versions there", self.why_failed(command))
        self.upgrade.counts["failed"] = 0
        self.reactor.transport.signals.clear()
        self.holdings.error = CommandError("livefeed is being drained")
        command = self.begin()
        self.reach("step", "ready")
        self.assertEqual(self.why_failed(command), "livefeed is being drained")

    def test_error_inside(self) -> None:
        """It is logged, and the upgrade has failed."""
        self.holdings.error = ValueError("unexpected")
        command = self.begin()
        self.reach("step", "ready")
        self.assertIn("the log has it", self.why_failed(command))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_lost_channel(self) -> None:
        """The end of the process, which soon follows, says more; otherwise this is the reason."""
        command = self.begin()
        self.link.receiver.lost(self.link)
        self.assertNoResult(command)
        self.reactor.advance(2)
        self.assertEqual(
            self.why_failed(command), "the channel to the new program has ended; the log may have the reason"
        )

    def test_process_that_does_not_end(self) -> None:
        """It is waited for some seconds."""
        command = self.begin()
        self.link.receive("failed", why="it hangs")
        self.assertEqual(self.reactor.transport.signals, ["KILL"])
        self.reactor.advance(END_S)
        self.failureResultOf(command, CommandError)
        self.assertEqual(self.holdings.calls[-1], "take_back")

    def test_end_of_livefeed(self) -> None:
        """SIGTERM ends the new program, and this process stops as usual."""
        for kinds in ((), ("step",), ("step", "ready")):
            self.reactor.is_stopped = False
            self.upgrade = Upgrade(PROGRAM, self.holdings, self.reactor)
            self.upgrade.startService()
            command = self.begin()
            self.reach(*kinds)
            for call in self.reactor.triggers[-1:]:
                call()
            self.assertEqual(self.why_failed(command), "livefeed was told to end")
            self.reactor.transport.signals.clear()

    def test_unexpected_message(self) -> None:
        """It ends the channel, as the link does."""
        self.begin()
        self.assertRaises(LinkError, self.link.receive, "welcome")

    def test_steps_before_their_time(self) -> None:
        """A program that claims everything at once does not get it: nothing was handed over yet."""
        command = self.begin()
        self.assertRaises(LinkError, self.link.receive, "committed")
        self.assertRaises(LinkError, self.link.receive, "ready")
        self.reach("step")
        self.assertRaises(LinkError, self.link.receive, "committed")
        self.reach("ready")
        self.assertRaises(LinkError, self.link.receive, "ready")
        self.assertNoResult(command)
        self.reach("committed")
        self.successResultOf(command)

    def test_failure_while_it_lets_go(self) -> None:
        """A program that has failed meanwhile is not told to take over."""
        command = self.begin()
        self.reach("step")
        waiting: Deferred[None] = Deferred()
        let_go = self.holdings.let_go

        async def wait(link: Any) -> Message:
            await waiting
            return await let_go(link)

        self.patch(self.holdings, "let_go", wait)
        self.reach("ready")
        self.link.receive("failed", why="a worker has died")
        waiting.callback(None)
        self.assertEqual(self.why_failed(command), "a worker has died")
        self.assertEqual(self.link.sent, ["offer"])

    def test_bounded_steps(self) -> None:
        """A program that tells steps without an end fills neither memory nor log."""
        self.begin()
        for _ in range(MAX_STEPS + 10):
            self.link.receive("step", text="x" * 10_000)
        steps = self.link.receiver.steps
        self.assertEqual((len(steps), max(map(len, steps))), (MAX_STEPS, upgrade.MAX_TEXT))
