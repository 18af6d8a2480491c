"""A parent in the test, and real processes of workers: without supervision, so that the test decides about links."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import deferLater

from livefeed import __version__, clocks
from livefeed.config.settings import FeedSettings, Settings
from livefeed.delivery.websocket.protocol import SubscriberFactory
from livefeed.feed_service import PulledFeedService, Shared
from livefeed.testing import MemorySource
from livefeed.workers.broadcast import Broadcast
from livefeed.workers.configuration import settings_for_workers
from livefeed.workers.link_server import LinkServer
from livefeed.workers.messages import PROTOCOL, Hello, Message, Welcome, message_of

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable

    from livefeed.sources import Source
    from livefeed.workers.link import Link

reactor: Any = global_reactor
WAIT_S = 60.0


async def until(found: Callable[[], object], timeout_s: float = WAIT_S) -> None:
    """Returns as soon as a function gives something true.

    :raises AssertionError: after a time.
    """
    end = clocks.monotonic() + timeout_s
    while not found():
        assert clocks.monotonic() < end, "it did not happen in time"
        await deferLater(reactor, 0.01)


class MonotonicReactor:
    """The reactor of the test, with the clock that the workers have, too."""

    seconds = staticmethod(clocks.monotonic)

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)


class MemoryFeedService(PulledFeedService):
    """A feed that is pulled from a source in memory, when the test says so."""

    def _source_of(self, settings: FeedSettings, _store: object = None) -> Source:
        self.memory = MemorySource()
        return self.memory

    async def pull(self, document: bytes | BaseException) -> None:
        """Pulls a document, or fails, in a tick."""
        self.memory.answers.append(document)
        await self.puller.tick()


@dataclass(eq=False)
class WorkerProcess:
    """The process of a worker."""

    popen: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self.popen.pid

    def signal(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    async def end(self) -> int:
        """Waits for the end, and gives the exit code."""
        await until(lambda: self.popen.poll() is not None)
        self._reader.join(WAIT_S)
        assert self.popen.stdout is not None
        self.popen.stdout.close()
        return self.popen.returncode

    def _read(self) -> None:
        assert self.popen.stdout is not None
        self.lines += self.popen.stdout


@dataclass(eq=False)
class RealParent:
    """A parent with a link, one feed or several, and one listening socket for each of its workers.

    :param settings: the settings, without those of endpoints.
    """

    settings: Settings = field(default_factory=lambda: Settings(feeds=(FeedSettings(interval=3600.0),)))
    patience_s: float | None = None

    # internal state
    services: dict[str, MemoryFeedService] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    hellos: list[Hello] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    processes: list[WorkerProcess] = field(default_factory=list)
    lost_links: int = 0
    welcome_facts: dict[str, Any] = field(default_factory=dict)
    listens: list[int] = field(default_factory=lambda: [0])

    def __post_init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.path = Path(self._folder.name) / "link.sock"
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = self.socket.getsockname()[1]
        self.listen = f"tcp:{self.port}"
        self.url = f"http://127.0.0.1:{self.port}"
        self.begin()

    def begin(self) -> None:
        """Begins a parent, or another one after :meth:`die`."""
        self.broadcast = Broadcast(self.services)
        clock: Any = MonotonicReactor()
        self.shared = Shared(clock, maybeDeferred, SubscriberFactory(reactor=clock), make_feed=self.broadcast.make_feed)
        self.services.clear()
        for feed in self.settings.feeds:
            self.add(feed)
        self.server = LinkServer(self.path, reactor, self._greet)
        self.server.startService()

    def add(self, settings: FeedSettings) -> MemoryFeedService:
        service = self.services[settings.feed] = MemoryFeedService(settings, self.shared)
        return service

    @property
    def feed(self) -> MemoryFeedService:
        return next(iter(self.services.values()))

    @property
    def link(self) -> Link:
        return self.links[-1]

    def welcome(self) -> Welcome:
        listen = [] if self.hellos and self.hellos[-1].sockets else self.listens
        settings = settings_for_workers(self.settings)
        settings["listen"] = [self.listen]
        return Welcome(PROTOCOL, __version__, os.getpid(), settings, listen=listen, **self.welcome_facts)

    def _greet(self, link: Link, hello: Hello) -> None:
        self.hellos.append(hello)
        self.links.append(link)
        link.receiver = self
        welcome = self.welcome()
        link.send(message_of("welcome", welcome, (), [self.socket.fileno()] * len(welcome.listen)))
        self.broadcast.add(link, hello.feeds)

    def receive(self, link: Link, message: Message) -> None:
        """Receiver API."""
        self.messages.append(message)
        if not self.broadcast.receive(link, message):
            message.close_fds()

    def flushed(self, link: Link) -> None:
        """Receiver API."""

    def lost(self, link: Link) -> None:
        """Receiver API."""
        self.lost_links += 1
        self.broadcast.remove(link)

    def of_type(self, kind: str) -> list[Message]:
        """Gives the messages of a type that have come."""
        return [message for message in self.messages if message.type == kind]

    def samples(self) -> dict[str, float]:
        """Gives the sums of the newest samples, by name."""
        sums: dict[str, float] = {}
        for name, _, value in self.of_type("heartbeat")[-1].facts["samples"]:
            sums[name] = sums.get(name, 0.0) + value
        return sums

    def spawn(self, index: int = 0) -> WorkerProcess:
        """Starts a worker."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LIVEFEED_")}
        command = [sys.executable, "-m", "livefeed.workers", "--link", str(self.path), "--index", str(index)]
        process = WorkerProcess(
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=environment,
                cwd=Path(__file__).parents[2],
            )
        )
        self.processes.append(process)
        return process

    async def start_worker(self, index: int = 0) -> WorkerProcess:
        """Starts a worker, and waits until it accepts."""
        ready = len(self.of_type("ready"))
        process = self.spawn(index)
        await until(lambda: len(self.of_type("ready")) > ready or process.popen.poll() is not None)
        assert process.popen.poll() is None, process.lines
        return process

    async def die(self) -> None:
        """Ends the parent, as if it were killed. The workers stay."""
        await maybeDeferred(self.server.stopService)
        for link in self.links:
            link.abort()
        await until(lambda: self.lost_links == len(self.links))
        for service in self.services.values():
            service.feed.stop_watching()

    def close(self) -> Deferred[None]:
        """Ends everything."""
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        for process in self.processes:
            if process.popen.poll() is None:
                process.popen.kill()
            await process.end()
        await until(lambda: not any(link.is_connected for link in self.links))
        if self.server.running:
            await maybeDeferred(self.server.stopService)
        for service in self.services.values():
            service.feed.stop_watching()
        self.socket.close()
        self._folder.cleanup()
