"""Both ends of a link over a real Unix socket, with receivers that record."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from livefeed.workers.link_client import LinkClient, link_paths
from livefeed.workers.link_server import LinkServer
from livefeed.workers.messages import PROTOCOL, Hello, Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.workers.link import Link

reactor: Any = global_reactor


class Recorder:
    """A receiver that records, and calls functions that wait."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.flushes = 0
        self.ended = 0
        self.broken: Exception | None = None
        self.taken: list[int] = []
        self.takes = False

    def receive(self, link: Link, message: Message) -> None:
        self.messages.append(message)
        if self.takes:
            self.taken += message.take_fds()
        if self.broken is not None:
            raise self.broken
        message.close_fds()

    def flushed(self, link: Link) -> None:
        self.flushes += 1

    def lost(self, link: Link) -> None:
        self.ended += 1


async def until(found: Callable[[], object]) -> None:
    """Returns as soon as a function gives something true; trial's timeout ends it otherwise."""
    while not found():
        await deferLater(reactor, 0.005)


class LinkTestCase(TestCase):
    timeout = 20

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "link.sock"
        self.hellos: list[Hello] = []
        self.parent = Recorder()
        self.worker = Recorder()
        self.parent_link: Link | None = None
        self.welcomes = 0
        self.refusals: list[object] = []
        self.others: list[Hello] = []
        self.other_links: list[Link] = []
        self.welcome = Message("welcome", {"protocol": PROTOCOL})

    def serve(self, **upgrade: Any) -> LinkServer:
        server = LinkServer(self.path, reactor, self.on_hello, **upgrade)
        server.startService()
        self.addCleanup(self.stop, server)
        return server

    def connect(self, protocol: str = PROTOCOL, generation: int = 0) -> LinkClient:
        hello = Hello(protocol, "1", os.getpid(), 3, generation=generation)
        paths = link_paths(self.path, generation)
        client = LinkClient(paths, reactor, lambda: hello, self.on_welcome, lambda: self.refusals.append(None))
        client.startService()
        self.addCleanup(self.leave, client)
        return client

    def stop(self, server: LinkServer) -> Any:
        return server.stopService() if server.running else None

    async def _leave(self, client: LinkClient) -> None:
        client.stopService()
        await until(lambda: client._attempt is None)
        if self.parent_link is not None:
            self.parent_link.abort()
            await until(lambda: not self.parent_link or not self.parent_link.is_connected)

    def leave(self, client: LinkClient) -> Deferred[None]:
        return Deferred.fromCoroutine(self._leave(client))

    def has_ended(self, times: int) -> bool:
        return self.parent.ended == times

    def on_hello(self, link: Link, hello: Hello) -> None:
        self.hellos.append(hello)
        self.parent_link, link.receiver = link, self.parent
        link.send(self.welcome)

    def on_welcome(self, link: Link, message: Message) -> None:
        self.welcomes += 1
        link.receiver = self.worker
