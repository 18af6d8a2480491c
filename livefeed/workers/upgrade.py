"""The upgrade of a parent: it starts the program on disk, and hands over to it once that serves.

Rules: this file decides, and the parts of the process are behind :class:`Holdings`. Until the new parent has said that
it has taken over, a failure at any step leaves this one as it was: the new one is killed, and the log and the operator
are told the reason. Each step has a time limit.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred, TimeoutError  # noqa: A004
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger

from livefeed.admin.samples import Sample
from livefeed.document.timestamps import length_of
from livefeed.exceptions import CommandError, LinkError, first_line
from livefeed.process.program import CHANNEL
from livefeed.workers.channel import open_channel
from livefeed.workers.succession import COMMITTED, READY, STEP, FailedFacts, StepFacts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

    from livefeed.process.program import Program
    from livefeed.workers.link import Link
    from livefeed.workers.messages import Message
    from livefeed.workers.parent import ParentReactor
    from livefeed.workers.processes import ProcessReactor

    class UpgradeReactor(ParentReactor, ProcessReactor):
        """The parts of a reactor that an upgrade uses."""


START_S = 60.0
"""Seconds from the start of the new program until it has checked its configuration. It takes one to three, and longer
on a busy machine."""

READY_S = 180.0
"""Seconds from then until its workers serve. One of them may take 120 s on a busy machine."""

COMMIT_S = 20.0
"""Seconds from the commit until the new parent has taken over. Nothing is pulled meanwhile. It takes less than one
second, also on a busy machine; a disk that hangs takes more."""

LINGER_S = 0.2
"""Seconds after which this process ends, once the new parent has taken over: the operator is answered before."""

END_S = 5.0
"""Seconds that a killed process may take to end. The kernel cannot end it at once while a disk hangs."""

MAX_STEPS = 64
"""The largest number of steps in a report."""

MAX_TEXT = 500
"""The largest number of characters of a step or a reason."""

_PROCESS_1 = (
    "this is process 1, with which its container ends; start another container, and `livefeed ctl drain` this one"
)
_NOT_FOLLOWED = (
    "the process that has started livefeed may wait for this one, and cannot be told another process id (there is no "
    "NOTIFY_SOCKET); run livefeed under systemd with Type=notify, or without --nodaemon of twistd; if nothing waits "
    "for it, `livefeed ctl upgrade --unsupervised`"
)
_LATE = {
    STEP: "the new program has not checked its configuration",
    READY: "the workers of the new program have not served the newest versions",
    COMMITTED: "the new program has not taken over",
}
_LOST_S = 1.0  # seconds from the end of the channel to that of the process, whose exit code says more
_CHANNEL_FD = 3
_log = Logger()


class Result(StrEnum):
    """How upgrades have ended, in the metrics."""

    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"


class Holdings(Protocol):
    """Everything of this process that the new parent takes over."""

    def obstacle(self) -> str:
        """Gives the reason why nothing can be handed over now; ``""`` if everything can."""

    def can_be_followed(self) -> bool:
        """Tells whether the service manager can be told the id of another process."""

    def environment(self) -> Mapping[str, str]:
        """Gives the variables by which the new process speaks to the service manager."""

    def offer(self) -> Message:
        """Gives the offer, with descriptors that stay open."""

    def begin(self) -> None:
        """Takes no other command until :meth:`take_back`."""

    def follow(self, link: Link) -> None:
        """Sends the feeds to the new parent from now on."""

    def receive(self, link: Link, message: Message) -> bool:
        """Takes a message about feeds, and tells whether it was one."""

    async def let_go(self, link: Link) -> Message:
        """Stops to pull and to accept, writes what is to be written, and gives ``commit``."""

    def take_back(self, link: Link | None) -> None:
        """Goes on as before :meth:`begin`. It never fails."""

    def hand_over(self, pid: int) -> None:
        """Leaves everything to the new parent: the end of this process ends nothing of it."""


@dataclass(eq=False)
class NewProgram(ProcessProtocol):
    """The process of the new parent, and the channel to it.

    :ivar pid: its process id; 0 before the start.
    :ivar steps: the steps that it has told, for the report.
    """

    # required parameters
    reactor: UpgradeReactor
    holdings: Holdings

    # internal state
    pid: int = 0
    steps: list[str] = field(default_factory=list)
    _link: Link | None = None
    _failure: str = ""
    _reached: set[str] = field(default_factory=set)
    _awaited: str = ""
    _waiting: Deferred[None] | None = None
    _ended: list[Deferred[None]] = field(default_factory=list)
    _has_ended: bool = False
    _lost_call: IDelayedCall | None = None

    @property
    def link(self) -> Link | None:
        """The channel; ``None`` before the start."""
        return self._link

    def start(self, program: Program, offer: Message, environment: Mapping[str, str]) -> None:
        """Starts the program, and sends it the offer.

        :raises OSError: if the system refuses.
        :raises LinkError: if the offer is too large.
        """
        ours, theirs = socket.socketpair()
        try:
            self._link = open_channel(self.reactor, ours, self)
            self._link.send(offer)
            transport: Any = self.reactor.spawnProcess(
                self,
                program.command[0],
                program.command,
                {**program.environment, **environment, CHANNEL: str(_CHANNEL_FD)},
                os.fspath(program.directory),
                childFDs={0: 0, 1: 1, 2: 2, _CHANNEL_FD: theirs.fileno()},
            )
        finally:
            theirs.close()
        self.pid = transport.pid

    def check(self) -> None:
        """Checks that the new parent can still take over.

        :raises CommandError: if it cannot, with the reason.
        """
        if self._failure:
            raise CommandError(self._failure)

    async def until(self, kind: str, limit_s: float) -> None:
        """Waits for a message of the new parent.

        :param kind: its type, one of ``STEP``, ``READY`` and ``COMMITTED``.
        :param limit_s: seconds that it may take.
        :raises CommandError: if it does not come, with the reason.
        """
        self.check()
        if kind in self._reached:
            return
        self._awaited, self._waiting = kind, Deferred()
        try:
            await self._waiting.addTimeout(limit_s, self.reactor)
        except TimeoutError:
            raise CommandError(f"{_LATE[kind]} within {length_of(limit_s)} s") from None
        finally:
            self._waiting = None

    async def kill(self) -> None:
        """Kills the process if it runs, and waits for its end."""
        if self._link is not None:
            self._link.abort()
        if self._has_ended or not self.pid:
            return
        transport: Any = self.transport
        transport.signalProcess("KILL")
        ended: Deferred[None] = Deferred()
        self._ended.append(ended)
        try:
            await ended.addTimeout(END_S, self.reactor)
        except TimeoutError:
            _log.warn("the new program (process {pid}) does not end although it was killed", pid=self.pid)

    def fail(self, why: str) -> None:
        """Takes note that the new parent cannot take over. Only the first reason counts."""
        if self._failure:
            return
        self._failure = why
        if self._waiting is not None and not self._waiting.called:
            self._waiting.errback(CommandError(why))

    def processEnded(self, reason: Failure) -> None:
        """IProcessProtocol API."""
        self._has_ended = True
        status: Any = reason.value
        how = f"was ended by signal {status.signal}" if status.signal else f"has ended with exit code {status.exitCode}"
        self.fail(f"the new program (process {self.pid}) {how}; its output, in the log, has the reason")
        ended, self._ended = self._ended, []
        for each in ended:
            if not each.called:
                each.callback(None)

    # The channel

    def receive(self, link: Link, message: Message) -> None:
        """Receiver API."""
        message.close_fds()
        match message.type:
            case "step":
                self._note_step(message.read(StepFacts).text)
                self._reach(STEP)
            case "failed":
                self.fail(first_line(message.read(FailedFacts).why)[:MAX_TEXT])
            case "ready" | "committed" if message.type == self._awaited and self._waiting is not None:
                self._reach(message.type)
            case _:
                if not self.holdings.receive(link, message):
                    raise LinkError(f"the new program has sent a message {message.type[:64]}, which is not expected")

    def _reach(self, kind: str) -> None:
        self._reached.add(kind)
        if kind == self._awaited and self._waiting is not None and not self._waiting.called:
            self._waiting.callback(None)

    def _note_step(self, text: str) -> None:
        if len(self.steps) < MAX_STEPS:
            text = first_line(text)[:MAX_TEXT]
            self.steps.append(text)
            _log.info("upgrade: {text}", text=text)

    def flushed(self, link: Link) -> None:
        """Receiver API."""

    def lost(self, link: Link) -> None:
        """Receiver API."""
        if not self._has_ended:
            self._lost_call = self.reactor.callLater(
                _LOST_S, self.fail, "the channel to the new program has ended; the log may have the reason"
            )


@dataclass(eq=False)
class Upgrade(Service):
    """Upgrades this process at SIGUSR2, and at the operator's command.

    :param program: how this process was started; ``None`` if that is not known.
    :param holdings: everything that is handed over.
    :param reactor: starts the program, and ends this one.
    :ivar counts: the number of upgrades by their result.
    :ivar is_done: whether another process has taken over.
    """

    # required parameters
    program: Program | None
    holdings: Holdings
    reactor: UpgradeReactor

    # internal state
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(map(str, Result), 0))
    is_done: bool = False
    _new: NewProgram | None = None
    _is_stopping: bool = False

    @property
    def is_under_way(self) -> bool:
        """Whether an upgrade runs."""
        return self._new is not None

    def samples(self) -> list[Sample]:
        """Gives the samples of the metrics."""
        return [Sample("upgrades_total", (("result", result),), count) for result, count in self.counts.items()]

    def startService(self) -> None:
        """IService API."""
        super().startService()
        self.reactor.addSystemEventTrigger("before", "shutdown", self._give_up)

    def _give_up(self) -> None:
        """Ends an upgrade because this process is told to end."""
        self._is_stopping = True
        if self._new is not None and not self.is_done:
            self._new.fail("livefeed was told to end")

    def signalled(self) -> None:
        """Upgrades after SIGUSR2. The log has the outcome."""
        Deferred.fromCoroutine(self.command({})).addErrback(lambda failure: failure.trap(CommandError) and None)

    async def command(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Upgrades at the operator's command.

        :param arguments: ``unsupervised``: whether the operator says that nothing waits for this process.
        :returns: the report as JSON.
        :raises CommandError: if this process goes on, with the reason.
        """
        for name, value in arguments.items():
            if name != "unsupervised":
                raise CommandError(f"upgrade has no argument {name!r}: there is unsupervised")
            if not isinstance(value, bool):
                raise CommandError("the argument unsupervised of upgrade is neither true nor false")
        why = self._refusal(is_unsupervised=arguments.get("unsupervised", False))
        if why:
            self.counts[Result.REFUSED] += 1
            _log.warn("the upgrade is refused: {why}", why=why)
            raise CommandError(f"the upgrade is refused: {why}")
        assert self.program is not None
        begun_s = self.reactor.seconds()
        new = self._new = NewProgram(self.reactor, self.holdings)
        try:
            await self._hand_over(new, self.program)
        except CommandError as error:
            why = str(error)
        except (OSError, LinkError) as error:
            why = f"the new program cannot be started: {getattr(error, 'strerror', None) or first_line(error)}"
        except Exception:
            _log.failure("the upgrade broke")
            why = "an error inside livefeed; the log has it"
        else:
            return self._report(new, begun_s)
        new.fail(why)
        await new.kill()
        self.holdings.take_back(new.link)
        self._new = None
        self.counts[Result.FAILED] += 1
        _log.error("the upgrade has failed, and this process goes on: {why}", why=why)
        raise CommandError(f"the upgrade has failed, and the old program goes on: {why}")

    def _refusal(self, *, is_unsupervised: bool) -> str:
        """Gives the reason why no upgrade can begin; ``""`` if one can."""
        if self.program is None:
            return "it is not known how this livefeed was started"
        if self._is_stopping or self.is_under_way:
            return "livefeed was told to end" if self._is_stopping else "an upgrade runs already"
        if os.getpid() == 1:
            return _PROCESS_1
        if not (is_unsupervised or self.program.is_daemon or self.holdings.can_be_followed()):
            return _NOT_FOLLOWED
        return self.program.obstacle or self.holdings.obstacle()

    async def _hand_over(self, new: NewProgram, program: Program) -> None:
        """Does all steps.

        :raises CommandError: if one of them fails.
        """
        self.holdings.begin()
        new.start(program, self.holdings.offer(), self.holdings.environment())
        link = new.link
        assert link is not None
        _log.info("upgrade: the new program runs as process {pid}", pid=new.pid)
        # Before that it reads nothing but the offer.
        await new.until(STEP, START_S)
        self.holdings.follow(link)
        await new.until(READY, READY_S)
        if self._is_stopping:
            raise CommandError("livefeed was told to end")
        commit = await self.holdings.let_go(link)
        # A program that must not take over any more is not told to.
        new.check()
        link.send(commit)
        await new.until(COMMITTED, COMMIT_S)
        self.is_done = True
        self.holdings.hand_over(new.pid)

    def _report(self, new: NewProgram, begun_s: float) -> dict[str, Any]:
        took_s = self.reactor.seconds() - begun_s
        text = "upgraded in {took} s: process {pid} has taken over, and this one ends"
        _log.info(text, took=length_of(took_s), pid=new.pid)
        self.counts[Result.DONE] += 1
        self.reactor.callLater(LINGER_S, self._end)
        return {"pid": new.pid, "took_s": round(took_s, 3), "steps": new.steps}

    def _end(self) -> None:
        if not self._is_stopping:
            self.reactor.stop()
