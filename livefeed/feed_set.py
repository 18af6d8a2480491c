"""The set of feeds, which can change while the process runs.

Rule: adding, changing or removing a feed does not interrupt the others. If settings are impossible, nothing changes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from msgspec import structs
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred

from livefeed.feed_service import FeedService
from livefeed.process.reload import Change, differences
from livefeed.web.reconnect_slots import ReconnectSlots

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from livefeed.config.settings import FeedSettings, Settings
    from livefeed.delivery.published_feed import PublishedFeed
    from livefeed.feed_service import PreparedChange
    from livefeed.web.site import Site


class FeedRoot(Protocol):
    """The root of the site's resources, as far as feeds come and go."""

    def add(self, published: PublishedFeed) -> None:
        """Serves a feed at the paths of its name."""

    def remove(self, published: PublishedFeed, slots: ReconnectSlots | None = None) -> None:
        """Ends all subscribers of a feed, and serves it no longer."""

    def arrange(self, names: Sequence[str]) -> None:
        """Puts the feeds into an order."""

    def update(self) -> None:
        """Makes the resources anew, after the origins of a feed have changed."""


_F = TypeVar("_F", bound=FeedService)


MAX_SPREAD_S = 1.0
"""The first pulls of several feeds are spread over one interval, but over this many seconds at most."""


def spread_s(feeds: Sequence[FeedSettings]) -> list[float]:
    """Gives the delay of the first pull of each of several feeds in seconds.

    All clients wait while a document is checked and compressed, so the pulls do not begin together.
    """
    return [number / len(feeds) * min(feed.interval, MAX_SPREAD_S) for number, feed in enumerate(feeds)]


@dataclass(eq=False)
class FeedsTransaction(Generic[_F]):
    """Feeds that are to be added, changed and removed, all at once or not at all.

    :ivar feeds: the feeds of the process.
    :ivar order: the names of all feeds that are wanted, in their order.
    :ivar added: feeds that were made and have restored their versions; none of them has pulled.
    :ivar changed: checked settings of feeds that stay.
    :ivar removed: the names of the feeds that go.
    """

    # required parameters
    feeds: FeedsService[_F]
    order: list[str]

    # internal state
    added: list[_F] = field(default_factory=list)
    changed: list[PreparedChange] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    def changes(self) -> list[Change]:
        """Prepared API. The sources are named without credentials."""
        named = self.feeds.feeds
        changes = [Change(f"feeds.{each.settings.feed}", None, each.source_name) for each in self.added]
        for each in self.changed:
            prefix = f"feeds.{each.settings.feed}."
            before = each.service.settings
            if each.settings.source != before.source:
                one, other = each.service.source_name, each.source_name
                other = f"{other} (with other credentials or options)" if one == other else other
                changes.append(Change(f"{prefix}source", one, other))
            names = frozenset(before.__struct_fields__) - {"places", "feed", "source"}
            changes += differences(before, each.settings, names, prefix)
        return changes + [Change(f"feeds.{name}", named[name].source_name, None) for name in self.removed]

    def commit(self) -> Deferred[None]:
        """Swaps the feeds in. It cannot fail, and touches no feed that stays as it is.

        :returns: fires when the last versions of the removed feeds are written. Only then may their names be used
            again.
        """
        return self.feeds.commit(self)

    def abandon(self) -> None:
        """Closes everything that was made."""
        for change in self.changed:
            change.abandon()
        for service in self.added:
            service.abandon()


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

    def prepare(self, wanted: Sequence[FeedSettings]) -> FeedsTransaction[_F]:
        """Prepares the change from the feeds as they are to those that are wanted.

        The process has both open until the commit: sources of changed feeds, and journals of new ones.

        :param wanted: the settings of all feeds, with different names.
        :raises ConfigurationError: if the settings of a feed are impossible; nothing has changed then.
        :raises StartError: if the kept versions of a new feed cannot be read; nothing has changed then.
        """
        transaction = FeedsTransaction(self, [settings.feed for settings in wanted])
        transaction.removed += [name for name in self.feeds if name not in transaction.order]
        try:
            for settings in wanted:
                service = self.feeds.get(settings.feed)
                if service is None:
                    transaction.added.append(self.make_feed(settings))
                elif differ(service.settings, settings):
                    transaction.changed.append(service.prepare(settings))
            if self.running:
                # The last step that can fail is the only one that makes files.
                for service in transaction.added:
                    service.restore()
        except Exception:
            transaction.abandon()
            raise
        return transaction

    def commit(self, transaction: FeedsTransaction[_F]) -> Deferred[None]:
        """Swaps the feeds of a transaction in; see :meth:`FeedsTransaction.commit`."""
        slots = ReconnectSlots()
        removals = [self._remove(name, slots) for name in transaction.removed]
        pulled = [
            *(change.settings for change in transaction.changed if change.source is not None),
            *(service.settings for service in transaction.added),
        ]
        delays_s = iter(spread_s(pulled))
        has_new_origins = False
        for change in transaction.changed:
            has_new_origins |= change.service.published.origins != change.origins or change.is_protected_anew
            change.service.take(change, delay_s=0.0 if change.source is None else next(delays_s))
        for service in transaction.added:
            service.start_later(next(delays_s))
            self._serve(service)
            service.setServiceParent(self)
        ordered = {name: self.feeds[name] for name in transaction.order}
        if list(ordered) != list(self.feeds):
            # Others hold views of this dictionary.
            self.feeds.clear()
            self.feeds.update(ordered)
            self.root.arrange(transaction.order)
        elif has_new_origins:
            self.root.update()
        self.site.forget_answers()
        for change in transaction.changed:
            # No answer of theirs is repeated any more, and a client that comes back is judged.
            change.service.check_access()
        return DeferredList(removals).addCallback(lambda _: None)

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
            if self.running:
                service.restore()
        except Exception:
            service.abandon()
            raise
        self._serve(service)
        service.setServiceParent(self)
        self.site.forget_answers()
        return service

    def _serve(self, service: _F) -> None:
        """Serves a feed that was made. The site has to forget its answers afterwards."""
        self.feeds[service.settings.feed] = service
        # Behind the observers of the parts: once answers are forgotten, whole and parts have the newest version.
        # Answers of other feeds are forgotten as well: telling them apart would cost each request more than rendering
        # some of them again.
        service.feed.observe(self.site.forget_answers)
        self.root.add(service.published)

    def _remove(self, name: str, slots: ReconnectSlots) -> Deferred[None]:
        """Removes a feed. The site has to forget its answers afterwards."""
        service = self.feeds.pop(name)
        self.root.remove(service.published, slots)
        service.feed.unobserve(self.site.forget_answers)
        return maybeDeferred(service.disownServiceParent).addCallback(lambda _: service.release())


@dataclass(frozen=True, slots=True)
class ReloadedFeeds:
    """The feeds as a part of a reload: all of their settings can change.

    :ivar feeds: the feeds of the process.
    """

    feeds: FeedsService[Any]
    names: frozenset[str] = frozenset({"feeds"})

    def prepare(self, _before: Settings, after: Settings) -> FeedsTransaction[Any]:
        """Reloadable API."""
        return self.feeds.prepare(after.feeds)


def differ(one: FeedSettings, other: FeedSettings) -> bool:
    """Tells whether settings differ, wherever they were set."""
    return structs.replace(one, places={}) != structs.replace(other, places={})
