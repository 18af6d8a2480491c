"""One feed as a tree of services, and the set of feeds, which can change while the process runs.

Rule: adding, changing or removing a feed does not interrupt the others. If settings are impossible, nothing changes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, maybeDeferred

from livefeed import clocks
from livefeed.delivery.published_feed import PublishedFeed
from livefeed.delivery.websocket.handshake import Handshakes
from livefeed.document.history import History
from livefeed.feed.feed import Feed
from livefeed.feed.persistence import JournalService
from livefeed.intake.puller import Puller
from livefeed.sources import make_source
from livefeed.storage.journal import Journal
from livefeed.web.cors import Origins
from livefeed.web.reconnect_slots import ReconnectSlots

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from twisted.internet.interfaces import IReactorTime

    from livefeed.config.settings import FeedSettings
    from livefeed.delivery.events import EventStream
    from livefeed.delivery.websocket.protocol import SubscriberFactory
    from livefeed.sources import Source
    from livefeed.web.site import Site


class FeedRoot(Protocol):
    """The root of the site's resources, as far as feeds come and go."""

    def add(self, published: PublishedFeed) -> None:
        """Serves a feed at the paths of its name."""

    def remove(self, published: PublishedFeed) -> None:
        """Ends all subscribers of a feed, and serves it no longer."""

    def update(self) -> None:
        """Makes the resources anew, after the origins of a feed have changed."""


@dataclass(frozen=True, slots=True)
class Shared:
    """The objects that all feeds of a process share.

    :ivar reactor: the clock, and the connections of sources.
    :ivar in_thread: calls a function in a thread of its own.
    :ivar subscribers: makes the protocols of WebSockets.
    :ivar state_dir: the folder in which the last versions are kept; ``None`` to keep none.
    :ivar state_place: where that folder was set; messages about it begin with this.
    :ivar boot: measures the age of versions for the next process; ``None`` if the system does not.
    :ivar make_feed: makes a feed, with the arguments of ``Feed``: another class if workers follow it.
    """

    reactor: IReactorTime
    in_thread: Callable[..., Deferred[Any]]
    subscribers: SubscriberFactory
    state_dir: Path | None = None
    state_place: str = ""
    boot: clocks.Boot | None = None
    make_feed: Callable[..., Feed] = Feed


class FeedService(MultiService):
    """One feed, and all ways to follow it. Nothing here pulls: the feed is published by a subclass.

    :param settings: the feed's settings.
    :param shared: what the feed shares with the others.
    :ivar settings: the settings in use.
    :ivar published: the feed and all ways to follow it.
    :raises ConfigurationError: if the settings are impossible.
    """

    def __init__(self, settings: FeedSettings, shared: Shared) -> None:
        super().__init__()
        self.setName(settings.feed)
        self.settings = settings
        self._shared = shared
        origins = self._origins_of(settings)
        feed = self._make_feed(
            settings.feed,
            clock=shared.reactor,
            interval_s=settings.interval,
            push=settings.push,
            stale_after_s=settings.stale_after,
            gone_after_s=settings.gone_after or inf,
            wall=clocks.wall,
            history=self._make_history(max_document_bytes=settings.max_delta_bytes, in_thread=shared.in_thread),
        )
        self._handshakes = Handshakes(shared.subscribers, origins)
        self.published = PublishedFeed(
            feed, origins, self._handshakes.answer, settings.max_subscribers, shared.in_thread
        )

    def _make_feed(self, name: str, **arguments: Any) -> Feed:
        """Makes the feed. A subclass may make one of another class."""
        return self._shared.make_feed(name, **arguments)

    def _make_history(self, **arguments: Any) -> History:
        """Makes the history of the feed. A subclass may make one of another class."""
        return History(**arguments)

    @property
    def feed(self) -> Feed:
        """The feed itself."""
        return self.published.feed

    def restore(self) -> None:
        """Restores the versions of an earlier process, if they are kept and were not restored since the start.

        :raises StartError: if the kept versions cannot be read.
        """

    def change(self, settings: FeedSettings) -> None:
        """Takes other settings for the same feed. Its document, its versions and all connections stay.

        :param settings: the new settings, with the same name.
        :raises ConfigurationError: if the settings are impossible. The old ones then stay in use.
        """
        self._take(settings, self._origins_of(settings))

    def _take(self, settings: FeedSettings, origins: Origins) -> None:
        """Takes settings that were checked."""
        self.feed.configure(
            interval_s=settings.interval,
            push=settings.push,
            stale_after_s=settings.stale_after,
            gone_after_s=settings.gone_after or inf,
            max_delta_bytes=settings.max_delta_bytes,
        )
        self._handshakes.origins = origins
        self.published.origins = origins
        self.published.max_subscribers = settings.max_subscribers
        self.settings = settings

    @staticmethod
    def _origins_of(settings: FeedSettings) -> Origins:
        with settings.named():
            return Origins.parse(settings.allow_origin)

    def streams(self) -> list[EventStream]:
        """Gives the open event streams."""
        return self.published.streams()

    def let_go(self, slots: ReconnectSlots) -> None:
        """Ends the event streams and answers the waiting requests. WebSockets stay.

        :param slots: gives the times at which the clients reconnect.
        """
        self.published.let_go(slots)

    def abandon(self) -> None:
        """Frees the resources of a feed that could not be started."""
        self.published.close(ReconnectSlots())
        self.release()

    def release(self) -> None:
        """Separates the services of a removed feed, so that reference counting frees the feed with its versions."""
        for service in tuple(self):
            service.disownServiceParent()


class PulledFeedService(FeedService):
    """A feed that this process pulls from its source, with its journal if versions are kept.

    :param settings: the feed's settings.
    :param shared: what the feed shares with the others.
    :param delay_s: seconds from the start to the first pull.
    :ivar puller: keeps the feed up to date; another one after :meth:`change`.
    :raises ConfigurationError: if the settings are impossible.
    """

    def __init__(self, settings: FeedSettings, shared: Shared, *, delay_s: float = 0.0) -> None:
        super().__init__(settings, shared)
        source = self._source_of(settings)
        self._journal: JournalService | None = None
        if shared.state_dir is not None:
            # Before the puller: it restores the versions before the first pull, and stops after the last one.
            journal = Journal(shared.state_dir / f"{settings.feed}.versions", settings.max_bytes)
            self._journal = JournalService(
                self.feed, journal, shared.reactor, shared.state_place, shared.in_thread, shared.boot
            )
            self._journal.setServiceParent(self)
        self.puller = Puller(
            self.feed,
            source,
            clock=shared.reactor,
            max_bytes=settings.max_bytes,
            delay_s=delay_s,
            in_thread=shared.in_thread,
        )
        self.puller.setServiceParent(self)

    @property
    def was_tried(self) -> bool:
        """Whether the feed has a document, or its first pull has ended without one."""
        return self.feed.snapshot is not None or self.puller.good + self.puller.failed > 0

    def startService(self) -> None:
        """IService API.

        :raises StartError: if the kept versions cannot be read; nothing is pulled then.
        """
        self.restore()
        Service.startService(self)
        self.puller.startService()

    def restore(self) -> None:
        """FeedService API."""
        if self._journal is not None and not self._journal.running:
            self._journal.startService()

    def change(self, settings: FeedSettings) -> None:
        """FeedService API. The source is made anew and pulled at once."""
        origins, source = self._origins_of(settings), self._source_of(settings)
        old = self.puller
        # Its stop is immediate: it has nothing to wait for.
        old.disownServiceParent()
        self._take(settings, origins)
        self.puller = Puller(
            self.feed,
            source,
            clock=self._shared.reactor,
            max_bytes=settings.max_bytes,
            in_thread=self._shared.in_thread,
            # Counters of the metrics never decrease.
            good=old.good,
            failed=old.failed,
        )
        self.puller.setServiceParent(self)

    def _source_of(self, settings: FeedSettings) -> Source:
        with settings.named():
            return make_source(settings.source, reactor=self._shared.reactor, max_bytes=settings.max_bytes)

    def abandon(self) -> None:
        """FeedService API."""
        self.puller.source.close()
        super().abandon()


_F = TypeVar("_F", bound=FeedService)


@dataclass(eq=False)
class FeedsService(MultiService, Generic[_F]):
    """The feeds of the process.

    :ivar root: serves the feeds.
    :ivar site: gives prepared answers, which it must forget when a feed changes.
    :ivar make_feed: makes the service of a feed from its settings.
    :ivar feeds: the services of the feeds, by name.
    """

    # required parameters
    root: FeedRoot
    site: Site
    make_feed: Callable[[FeedSettings], _F]

    # internal state
    feeds: dict[str, _F] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    def startService(self) -> None:
        """IService API. All feeds restore their versions before one is pulled: a start that fails has pulled nothing.

        :raises StartError: if the kept versions of a feed cannot be read.
        """
        for feed in self.feeds.values():
            feed.restore()
        super().startService()

    def add_feed(self, settings: FeedSettings) -> _F:
        """Adds a feed, and starts it if this service runs.

        :raises ValueError: if there is a feed by this name.
        :raises ConfigurationError: if the settings are impossible.
        :raises StartError: if the kept versions cannot be read.
        """
        if settings.feed in self.feeds:
            raise ValueError(f"there is a feed {settings.feed} already")
        service = self.make_feed(settings)
        try:
            service.setServiceParent(self)
        except Exception:
            # The journal starts first: if it fails, it has closed its file, and the puller has not started.
            self.services.remove(service)
            del self.namedServices[settings.feed]
            service.abandon()
            raise
        self.feeds[settings.feed] = service
        # Behind the observers of the parts: once answers are forgotten, whole and parts have the newest version.
        # Answers of other feeds are forgotten as well: telling them apart would cost each request more than rendering
        # some of them again.
        service.feed.observe(self.site.forget_answers)
        self.root.add(service.published)
        self.site.forget_answers()
        return service

    def change_feed(self, settings: FeedSettings) -> _F:
        """Changes the settings of the feed that they name. Its connections stay.

        :raises KeyError: if there is no feed by this name.
        :raises ConfigurationError: if the settings are impossible. The old ones then stay in use.
        """
        service = self.feeds[settings.feed]
        origins = service.published.origins
        service.change(settings)
        if service.published.origins != origins:
            self.root.update()
        self.site.forget_answers()
        return service

    def remove_feed(self, name: str) -> Deferred[None]:
        """Removes a feed, and sends its subscribers away.

        :param name: the feed's name.
        :returns: fires when the last versions are written. Only then may the name be used again.
        :raises KeyError: if there is no feed by this name.
        """
        service = self.feeds.pop(name)
        self.root.remove(service.published)
        service.feed.unobserve(self.site.forget_answers)
        self.site.forget_answers()
        return maybeDeferred(service.disownServiceParent).addCallback(lambda _: service.release())
