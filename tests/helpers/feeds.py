"""A feed in memory, and doubles of subscribers, audiences and multicasts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.feed.feed import Feed
from livefeed.feed.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.config.settings import Push
    from livefeed.document.snapshot import Snapshot
    from livefeed.feed.state import State
    from livefeed.feed.subscription import Subscription


NOW = 1_700_000_000.25


@dataclass(eq=False)
class RecordingSubscriber:
    """Records the snapshots that it is sent, and calls a function after each."""

    sent: list[Snapshot] = field(default_factory=list)
    then: Callable[[], object] = lambda: None
    dropped: int = 0

    def send(self, snapshot: Snapshot) -> None:
        self.sent.append(snapshot)
        self.then()

    def drop(self) -> None:
        self.dropped += 1

    @property
    def documents(self) -> list[bytes]:
        return [snapshot.data for snapshot in self.sent]


@dataclass(eq=False)
class RecordingAudience:
    """Makes multicasts, and records them."""

    multicasts: list[RecordingMulticast] = field(default_factory=list)

    def make_multicast(self) -> RecordingMulticast:
        self.multicasts.append(RecordingMulticast())
        return self.multicasts[-1]

    @property
    def sizes(self) -> list[int]:
        """The number of subscribers of each multicast message."""
        return [size for multicast in self.multicasts for size in multicast.sizes]


@dataclass(eq=False)
class RecordingMulticast:
    """Sends to each of its subscribers, and records their number."""

    subscribers: list[RecordingSubscriber] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    first: Callable[[], object] = lambda: None
    added: Callable[[], object] = lambda: None

    def add(self, subscriber: RecordingSubscriber) -> None:
        assert subscriber not in self.subscribers
        self.added()
        self.subscribers.append(subscriber)

    def discard(self, subscriber: RecordingSubscriber) -> None:
        self.subscribers.remove(subscriber)

    def send(self, snapshot: Snapshot) -> None:
        self.first()
        self.sizes.append(len(self.subscribers))
        for subscriber in tuple(self.subscribers):
            subscriber.send(snapshot)


class BrokenSubscriberError(Exception):
    """A broken subscriber raises it."""


def break_down() -> None:
    raise BrokenSubscriberError


def iter_of(*calls: Callable[[], object]) -> Callable[[], object]:
    """Gives a function that calls the first of these when it is called first, and so on."""
    left = iter(calls)

    def call() -> None:
        next(left)()

    return call


def tell_state(feed: Feed, told: list[State]) -> None:
    told.append(feed.state)


class FeedTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)

    def feed(self, push: Push = "tick", interval_s: float = 1.0) -> Feed:
        return Feed("feed", clock=self.clock, interval_s=interval_s, push=push)

    def follow(self, feed: Feed, audience: RecordingAudience | None = None) -> tuple[RecordingSubscriber, Subscription]:
        subscriber = RecordingSubscriber()
        return subscriber, feed.subscribe(subscriber, audience=audience)
