"""A parent's feed and the same feed of a worker in memory, with a link that the test moves on."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock

from livefeed.config.settings import FeedSettings
from livefeed.delivery.websocket.protocol import SubscriberFactory
from livefeed.document.history import History
from livefeed.feed_service import Shared
from livefeed.workers.broadcast import Broadcast, BroadcastFeed
from livefeed.workers.feed_events import EVENT, PATCH, SNAPSHOT, FeedEvent, PatchFacts, SnapshotQuestion
from livefeed.workers.feeds import LinkedFeedService
from livefeed.workers.messages import Decoder, Message, encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.feed.feed import Feed


@dataclass(eq=False)
class MemoryLink:
    """One direction of a link, as bytes that wait until the test delivers them."""

    queue: deque[bytes] = field(default_factory=deque)
    sent: list[Message] = field(default_factory=list)
    is_full: bool = False

    def send(self, message: Message) -> None:
        self.sent.append(message)
        self.queue.append(encode(message))

    def deliver(self, receive: Callable[[Message], object]) -> bool:
        """Delivers one message, and tells whether there was one."""
        if not self.queue:
            return False
        for message in Decoder().feed(self.queue.popleft()):
            receive(message)
        return True


@dataclass(eq=False)
class Served:
    """A service of a feed, as a broadcast needs it."""

    feed: Feed


@dataclass(eq=False)
class WorkerTwin:
    """A worker with one feed, and its link."""

    parent: ParentTwin
    to_worker: MemoryLink = field(default_factory=MemoryLink)
    to_parent: MemoryLink = field(default_factory=MemoryLink)
    service: LinkedFeedService = field(init=False)

    def __post_init__(self) -> None:
        clock = self.parent.clock
        shared = Shared(clock, maybeDeferred, SubscriberFactory(reactor=clock))
        self.service = LinkedFeedService(FeedSettings(), shared, self.send)
        # The time that is displayed is that of the clock, as in the parent.
        self.feed.wall = None

    @property
    def feed(self) -> Feed:
        return self.service.feed

    def send(self, message: Message) -> None:
        """Sends a message on the link of now."""
        self.to_parent.send(message)

    def connect(self) -> None:
        """Says hello on a new link. What was under way on the old one is lost."""
        self.parent.broadcast.remove(self.to_worker)
        self.to_worker, self.to_parent = MemoryLink(), MemoryLink()
        held = self.service.held()
        self.parent.broadcast.add(self.to_worker, {} if held is None else {self.feed.name: held})

    def receive(self, message: Message) -> None:
        if message.type == EVENT:
            self.service.receive(message, message.read(FeedEvent))
        elif message.type == PATCH:
            self.service.receive_patch(message, message.read(PatchFacts))
        elif message.type == SNAPSHOT:
            self.service.tell(message.read(SnapshotQuestion))

    def read(self) -> bool:
        """Reads one message of the parent."""
        return self.to_worker.deliver(self.receive)

    def answer(self) -> bool:
        """Has the parent read one message."""
        link = self.to_worker
        return self.to_parent.deliver(lambda message: self.parent.broadcast.receive(link, message))

    def settle(self) -> None:
        """Delivers everything in both directions."""
        while self.read() or self.answer():
            pass

    def close(self) -> None:
        self.feed.stop_watching()


@dataclass(eq=False)
class ParentTwin:
    """A parent with one feed, which the test publishes."""

    clock: Clock = field(default_factory=Clock)
    in_thread: Callable[..., object] | None = None
    services: dict[str, Served] = field(default_factory=dict)
    broadcast: Broadcast = field(init=False)
    feed: BroadcastFeed = field(init=False)

    def __post_init__(self) -> None:
        self.broadcast = Broadcast(self.services)
        self.feed = self.broadcast.make_feed("feed", clock=self.clock, history=History(in_thread=self.in_thread))
        self.services["feed"] = Served(self.feed)

    def worker(self) -> WorkerTwin:
        """Gives a new worker, connected, and up to date."""
        worker = WorkerTwin(self)
        worker.connect()
        worker.settle()
        return worker

    def close(self) -> None:
        self.feed.stop_watching()
