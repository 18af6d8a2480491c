"""The adoption of the workers that an ended parent has left: finds them, waits for them, and takes their sockets.

They are found by their locks at the start, before anything is bound. Those that accept pass their sockets on, and go
on serving; one that does not answer in time is killed.

Rules: the feeds begin only after the waiting has ended. Each descriptor that arrives is used or closed. Nobody waits
for ever: a worker that ends, or that is not wanted, is waited for no more, and the number of rounds is limited.
"""

from __future__ import annotations

import signal
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from twisted.logger import Logger

from livefeed.exceptions import LinkError
from livefeed.workers.bound_sockets import is_listening, is_unix
from livefeed.workers.locks import Activity, Holding, RunningWorker, generation_after, hold_worker, running_workers
from livefeed.workers.socket_messages import SocketsFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from livefeed.workers.bound_sockets import GroupEndpoint
    from livefeed.workers.messages import Message

ADOPT_S = 3.0
"""Seconds that workers of an earlier parent have to say hello and pass on their sockets. They look for a parent five
times a second. One that does not is killed, and another one takes its place."""

PAUSED_S = 0.5
"""Seconds by which the end of :data:`ADOPT_S` may be late. If it is later, this process did not run meanwhile, as on a
machine that is overloaded, and has not read what the workers have said."""

ROUNDS = 5
"""The number of times that workers of an earlier parent are given :data:`ADOPT_S` at most."""

_log = Logger()


class Processes(Holding, Protocol):
    """The processes of the workers."""

    def kill(self, pid: int, number: signal.Signals, /) -> None:
        """Sends a signal to a process that runs. One that has ended is ignored."""


@dataclass(eq=False)
class Adoption:
    """The workers of an earlier parent, until each of them has passed on its sockets or is given up.

    :param clock: schedules and measures.
    :param processes: watches and kills.
    :param directory: gives the folder of the locks.
    :param endpoints: the endpoints of ``--listen``.
    :param unheard: gives the workers of other generations that have not said hello: they are waited for as well.
    :param done: called when the waiting has ended, once for each call of :meth:`wait` or :meth:`go_on`.
    """

    # required parameters
    clock: IReactorTime
    processes: Processes
    directory: Callable[[], Path]
    endpoints: Sequence[GroupEndpoint]
    unheard: Callable[[], Sequence[object]]
    done: Callable[[], None]

    # internal state
    _running: Sequence[RunningWorker] = ()  # those of earlier parents, as the start has found them
    _awaited: dict[int, RunningWorker] = field(default_factory=dict)  # have not passed on their sockets, by process
    _adopted: dict[str, dict[int, socket.socket]] = field(default_factory=dict)  # by description and owner
    _is_settled: bool = False  # whether sockets that arrive come too late
    _waiting: IDelayedCall | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether workers are waited for."""
        return self._waiting is not None

    # Finding

    def look(self) -> int:
        """Looks for workers that run, and gives the generation of this parent: that of those which accept.

        :raises RuntimeDirError: if workers of a newer livefeed run, or the folder cannot be read.
        """
        self._running = running_workers(self.directory())
        return generation_after(self._running)

    def has_found(self) -> bool:
        """Tells whether :meth:`look` has found workers."""
        return bool(self._running)

    def find(self, generation: int, expect: Callable[[RunningWorker], object]) -> None:
        """Has the workers that run wait for this parent, according to their generation and activity.

        :param generation: the generation of this parent.
        :param expect: takes those which send their watchers away.
        """
        for each in self._running:
            if each.activity is Activity.WAITING:
                # It has no clients, and is in the way of a worker of this parent.
                if hold_worker(self.processes, self.directory(), each):
                    self.processes.kill(each.pid, signal.SIGKILL)
            elif each.generation == generation and each.activity is Activity.ACCEPTING:
                if hold_worker(self.processes, self.directory(), each):
                    self._awaited[each.pid] = each
            else:
                expect(each)
        if self._awaited:
            indexes = ", ".join(map(str, sorted(each.index for each in self._awaited.values())))
            _log.info("workers of an earlier parent run: {indexes}", indexes=indexes)

    # Waiting

    def is_awaited(self, pid: int) -> bool:
        """Tells whether a process is a worker that is to pass on its sockets."""
        return pid in self._awaited

    def has_to_wait(self) -> bool:
        """Tells whether there are workers to wait for."""
        return bool(self._awaited or self.unheard())

    def wait(self, rounds: int = ROUNDS) -> None:
        """Waits for the workers.

        :param rounds: how often at most.
        """
        due_s = self.clock.seconds() + ADOPT_S
        self._waiting = self.clock.callLater(ADOPT_S, self._end_round, due_s, rounds - 1)

    def leave_out(self, pid: int) -> bool:
        """Waits no more for a worker, and tells whether it was waited for. The last one ends the waiting."""
        was_awaited = self._awaited.pop(pid, None) is not None
        if was_awaited:
            self.go_on_if_complete()
        return was_awaited

    def go_on_if_complete(self) -> None:
        """Ends the waiting if there is nobody left to wait for."""
        if self._waiting is not None and not self.has_to_wait():
            self._waiting.cancel()
            self.go_on()

    def go_on(self) -> None:
        """Ends the waiting, and kills the workers that have not passed on their sockets."""
        self._waiting = None
        silent, self._awaited = self._awaited, {}
        for each in silent.values():
            text = "worker {index} of an earlier parent (process {pid}) does not answer, and is killed"
            _log.warn(text, index=each.index, pid=each.pid)
            self.processes.kill(each.pid, signal.SIGKILL)
        self.done()

    def stop(self) -> Iterable[RunningWorker]:
        """Waits no more, and gives the workers that were waited for, which run on."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()
        silent, self._awaited = self._awaited, {}
        return silent.values()

    def _end_round(self, due_s: float, rounds: int) -> None:
        if rounds and self.clock.seconds() - due_s > PAUSED_S:
            self.wait(rounds)
        else:
            self.go_on()

    # Sockets

    def take(self, message: Message) -> set[tuple[int, int]]:
        """Takes the sockets of a worker. Those that are not needed are closed.

        :returns: the sockets that the worker has, by the index of the endpoint and the number by which it knows them.
        :raises LinkError: if the message does not name each of its sockets.
        """
        facts = message.read(SocketsFacts)
        if len(message.fds) != len(facts.listen):
            raise LinkError("a message sockets does not name each of its sockets")
        known = {each.group.description: number for number, each in enumerate(self.endpoints)}
        for (description, owner), sock in zip(facts.listen, message.take_sockets(), strict=True):
            of_endpoint = self._adopted.setdefault(description, {}) if description in known else {}
            owner_here = 0 if is_unix(description) or sock.family == socket.AF_UNIX else owner
            is_wanted = description in known and owner_here not in of_endpoint and is_listening(sock)
            if self._is_settled or not is_wanted:
                sock.close()
            else:
                of_endpoint[owner_here] = sock
        return {(known[description], owner) for description, owner in facts.listen if description in known}

    async def settle(self, factory: Any) -> None:
        """Begins to listen, with the sockets that have arrived. Later ones are closed.

        :param factory: the factory that the endpoints are given.
        :raises CannotListenError: if a socket that is missing cannot be bound.
        """
        self._is_settled = True
        adopted, self._adopted = self._adopted, {}
        try:
            for endpoint in self.endpoints:
                await endpoint.settle(adopted.pop(endpoint.group.description, {}), factory)
        finally:
            _close_all(adopted)

    def close(self) -> None:
        """Closes the sockets that have arrived, and are not used."""
        _close_all(self._adopted)


def _close_all(adopted: dict[str, dict[int, socket.socket]]) -> None:
    for sockets in adopted.values():
        for sock in sockets.values():
            sock.close()
    adopted.clear()
