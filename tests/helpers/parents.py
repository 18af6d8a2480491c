"""A parent of workers in memory: links that record, and processes that end when they are told to."""

from __future__ import annotations

import fcntl
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from livefeed.process.endpoints import make_endpoint
from livefeed.process.runtime_dir import RuntimeDir
from livefeed.workers import locks
from livefeed.workers.bound_sockets import BindingReactor, GroupEndpoint, SocketGroup
from livefeed.workers.canary import CanaryError, Question
from livefeed.workers.locks import lock_path
from livefeed.workers.messages import PROTOCOL, Hello, Message
from livefeed.workers.parent import Parent

if TYPE_CHECKING:
    import signal

LOCAL = "tcp:0:interface=127.0.0.1"
BEAT: dict[str, Any] = {
    "samples": [],
    "connections": 4,
    "capacity": 100,
    "watchers": {"feed": {"websocket": 3}},
}
"""The facts of a heartbeat."""


class Reactor(MemoryReactorClock):
    """A reactor that runs from the start."""

    stopped = False

    def callWhenRunning(self, callable: Any, *args: Any, **kwargs: Any) -> None:  # noqa: A002
        callable(*args, **kwargs)

    def stop(self) -> None:
        self.stopped = True


@dataclass
class FakeProcesses:
    """Processes in memory. Those in `alive` run."""

    ended: Any = None
    alive: dict[int, int] = field(default_factory=dict)
    signals: list[tuple[int, int]] = field(default_factory=list)
    held: list[int] = field(default_factory=list)
    ends_by_itself: bool = True
    count: int = 0

    def spawn(self, generation: int, index: int) -> int:
        self.count += 1
        self.alive[1000 + self.count] = index
        return 1000 + self.count

    def hold(self, pid: int) -> bool:
        self.held.append(pid)
        return pid in self.alive

    def kill(self, pid: int, number: signal.Signals) -> None:
        self.signals.append((pid, int(number)))
        if self.ends_by_itself:
            self.end(pid)

    def end(self, pid: int) -> None:
        if self.alive.pop(pid, None) is not None:
            self.ended(pid, "has ended")

    def let_go(self, *pids: int) -> None:
        self.held = [each for each in self.held if pids and each not in pids]


class FakeLink:
    """A link to a worker, with a descriptor of its own for each that is sent."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.receiver: Any = None
        self.sent: list[Message] = []
        self.is_closed = False

    def send(self, message: Message) -> None:
        for fd in message.fds:
            os.fstat(fd)  # it must be open
        self.sent.append(message)

    def close(self) -> None:
        self.is_closed = True

    def kinds(self) -> list[str]:
        return [message.type for message in self.sent]

    def receive(self, kind: str, facts: dict[str, Any] | None = None, fds: tuple[int, ...] = ()) -> None:
        self.receiver.receive(self, Message(kind, facts or {}, (), fds))


@dataclass
class FakeServer:
    """The server of the links."""

    generation: int
    is_published: bool

    def startService(self) -> None:
        pass

    def stopService(self) -> None:
        pass

    def publish(self) -> None:
        self.is_published = True


class FakeCanary:
    """A canary that is served, or not."""

    def __init__(self, parent: ParentTestCase) -> None:
        self._case = parent

    async def check_all(self) -> float:
        return await self.check(0)

    async def check(self, endpoint: int) -> float:
        self._case.canaries += 1
        if self._case.why_not:
            raise CanaryError(self._case.why_not)
        return 0.02


@dataclass
class FakeFeeds:
    """The feeds that are sent to workers."""

    links: list[Any] = field(default_factory=list)
    held: list[Any] = field(default_factory=list)

    def add(self, link: Any, held: Any) -> None:
        self.links.append(link)
        self.held.append(held)

    def remove(self, link: Any) -> None:
        if link in self.links:
            self.links.remove(link)

    def receive(self, link: Any, message: Message) -> bool:
        return message.type == "seen"


@dataclass
class FakeFigures:
    """The figures of the workers, in the order in which they came."""

    calls: list[tuple[str, int, int]] = field(default_factory=list)
    samples: dict[int, list[Any]] = field(default_factory=dict)

    def report(self, index: int, incarnation: int, samples: list[Any]) -> None:
        self.calls.append(("report", index, incarnation))
        self.samples[index] = samples

    def end(self, index: int, incarnation: int) -> None:
        self.calls.append(("end", index, incarnation))

    def last(self, index: int) -> list[Any]:
        return self.samples.get(index, [])


class ParentTestCase(SynchronousTestCase):
    """Has a parent, whose workers the test plays.

    :ivar listen: the descriptions of its endpoints; tests may change them before :meth:`start`.
    """

    count = 2

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.directory = RuntimeDir(Path(folder.name), is_ours=True)
        self.reactor: Any = Reactor()
        self.processes = FakeProcesses()
        self.feeds, self.figures = FakeFeeds(), FakeFigures()
        self.canaries, self.why_not = 0, ""
        self.limits: dict[str, int] = {}
        self.greet: Any = None
        self.pulling = Service()
        self.logged: Any = self.enterContext(capturedLogs())
        self.listen = [LOCAL]
        self.patch(locks, "_start_of", lambda pid: pid)

    def make(self, **upgrade: Any) -> Parent:
        """Makes a parent, with the endpoints of `listen`."""
        self.factory = Factory()
        endpoints = [self.endpoint(each) for each in self.listen]
        self.parent = Parent(
            self.count,
            self.reactor,
            lambda: self.directory,
            endpoints,
            self.processes,  # type: ignore[arg-type]
            self.make_server,
            self.feeds,
            self.figures,
            lambda index: Message("welcome", {"protocol": PROTOCOL, "index": index}),
            lambda: Question("feed", "v"),
            lambda: self.limits,
            self.factory,
            **upgrade,
        )
        self.parent.canary_of = lambda worker: FakeCanary(self)  # type: ignore[method-assign, assignment, return-value]
        self.pulling.setServiceParent(self.parent)
        return self.parent

    def endpoint(self, description: str) -> GroupEndpoint:
        group = SocketGroup(description, self.count)
        self.addCleanup(group.stopListening)
        made = make_endpoint(BindingReactor(self.reactor, group), description, None)  # type: ignore[arg-type]
        return GroupEndpoint(made, group)

    def make_server(self, path: Path, on_hello: Any, generation: int, is_published: bool) -> FakeServer:
        self.greet = on_hello
        self.server = FakeServer(generation, is_published)
        return self.server

    def start(self) -> Parent:
        """Starts a parent as the services of the process do: first it, and then its listeners."""
        parent = self.make()
        parent.privilegedStartService()
        for endpoint in parent.endpoints:
            self.successResultOf(endpoint.listen(self.factory))
        parent.startService()
        self.addCleanup(self.stop, parent)
        return parent

    def stop(self, parent: Parent) -> None:
        if parent.running:
            self.processes.ends_by_itself = True
            parent.stopService()

    def hello(
        self, index: int, pid: int, sockets: list[int] | None = None, listen: list[str] | None = None, **others: Any
    ) -> FakeLink:
        """Has a worker say hello. One that accepts has the endpoints of the parent, unless others are given."""
        link = FakeLink(pid)
        endpoints = listen or (self.listen if sockets else [])
        self.greet(link, Hello(PROTOCOL, "1", pid, index, sockets=sockets or [], listen=[*endpoints], **others))
        return link

    def orphan(self, index: int, pid: int, generation: int = 0, activity: str = "accepting") -> None:
        """Has a worker run, with its lock."""
        self.processes.alive[pid] = index
        fd = os.open(lock_path(self.directory.path, generation, index), os.O_RDWR | os.O_CREAT, 0o600)
        os.write(fd, f"{pid} {pid} {activity}\n".encode())
        fcntl.flock(fd, fcntl.LOCK_EX)
        self.addCleanup(os.close, fd)

    def pid_of(self, index: int) -> int:
        return self.parent.supervisor.workers[index].pid

    def bring_up(self) -> list[FakeLink]:
        """Starts a parent, and brings all workers up."""
        self.start()
        links = [self.hello(index, self.pid_of(index)) for index in range(self.count)]
        for link in links:
            link.receive("ready")
        self.assertTrue(self.parent.is_ready())
        return links

    def run_for(self, seconds: float, *beating: FakeLink) -> None:
        """Lets time pass, with the heartbeats of some workers."""
        end = self.reactor.seconds() + seconds
        while self.reactor.seconds() < end:
            self.reactor.advance(0.1)
            for link in beating:
                link.receive("heartbeat", BEAT)

    def lines(self) -> list[str]:
        return [formatEvent(event) for event in self.logged]
