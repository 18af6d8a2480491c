"""One feed as a tree of services, and the change of its settings while it is followed.

Rule: if settings are impossible, nothing changes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any
from weakref import proxy

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger

from livefeed import clocks
from livefeed.auth.material import Material
from livefeed.auth.verifiers import verifier_of
from livefeed.delivery.guard import Guard
from livefeed.delivery.published_feed import PublishedFeed
from livefeed.delivery.websocket.handshake import Handshakes
from livefeed.document.history import History
from livefeed.document.rules import Rules
from livefeed.exceptions import ConfigurationError, StoreError
from livefeed.feed.embargo_effects import EmbargoEffects
from livefeed.feed.embargo_keeping import EmbargoKeeping
from livefeed.feed.embargoes import Embargoes
from livefeed.feed.feed import Feed
from livefeed.feed.persistence import JournalService
from livefeed.feed_storage import FeedStorage, all_of
from livefeed.intake.desk import Desk
from livefeed.intake.puller import Puller, PullOutcome, close_source
from livefeed.intake.refused import RefusedDocuments
from livefeed.intake.timed_release import Foresight, end_hold, foresee_document, foresee_release
from livefeed.sources import is_recording, is_store, make_source, needs_state_dir
from livefeed.storage.desk_file import DeskFile
from livefeed.storage.embargo_file import EmbargoFile
from livefeed.storage.journal import Journal
from livefeed.storage.refused import RefusedFile
from livefeed.storage.shared_writes import SharedWrites
from livefeed.storage.store import Store
from livefeed.web.cors import Origins
from livefeed.web.failures import Failures
from livefeed.web.reconnect_slots import ReconnectSlots

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from twisted.internet.interfaces import IReactorTime

    from livefeed.config.settings import FeedSettings
    from livefeed.delivery.events import EventStream
    from livefeed.delivery.websocket.handshake import ConnectionFactory
    from livefeed.document.embargo import Embargo
    from livefeed.feed.signer import Signer
    from livefeed.sources import Source
    from livefeed.sources.recording import RecordingSource
    from livefeed.storage.audit import AuditLog

_log = Logger()


@dataclass(frozen=True, slots=True)
class Shared:
    """The objects that all feeds of a process share.

    :ivar reactor: the clock, and the connections of sources.
    :ivar in_thread: calls a function in a thread of its own.
    :ivar subscribers: makes the protocols of WebSockets.
    :ivar state_dir: the folder in which the last versions are kept; ``None`` to keep none.
    :ivar state_place: where that folder was set; messages about it begin with this.
    :ivar boot: measures the age of versions for the next process; ``None`` if the system does not.
    :ivar wall: the wall clock, in seconds since 1970.
    :ivar material: the tokens and keys of protected feeds.
    :ivar failures: counts the wrong tokens of each address, for all feeds together; ``None`` for a count of its own.
    :ivar audit: has a line for each command of an operator; ``None`` for none.
    :ivar signer: signs statements about the newest versions; ``None`` in a worker, which passes on those of its parent.
    :ivar make_feed: makes a feed, with the arguments of ``Feed``: another class if workers follow it.
    """

    reactor: IReactorTime
    in_thread: Callable[..., Deferred[Any]]
    subscribers: ConnectionFactory
    state_dir: Path | None = None
    state_place: str = ""
    boot: clocks.Boot | None = None
    wall: Callable[[], float] = clocks.wall
    audit: AuditLog | None = None
    make_feed: Callable[..., Feed] = Feed
    signer: Signer | None = None
    material: Material = field(default_factory=Material)
    failures: Failures | None = None


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
            signer=shared.signer,
            history=self._make_history(max_document_bytes=settings.max_delta_bytes, in_thread=shared.in_thread),
        )
        self._handshakes = Handshakes(shared.subscribers, origins)
        self.published = PublishedFeed(
            feed, origins, self._handshakes.answer, settings.max_subscribers, shared.in_thread
        )
        self._protect(settings, origins)
        self._was_public = False

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

    def prepare(self, settings: FeedSettings) -> PreparedChange:
        """Prepares other settings for the same feed. Its document, its versions and all connections stay.

        :param settings: the new settings, with the same name.
        :raises ConfigurationError: if the settings are impossible.
        """
        return PreparedChange(self, settings, self._origins_of(settings))

    def take(self, change: PreparedChange, *, delay_s: float = 0.0) -> None:
        """Takes settings that were prepared. It cannot fail.

        :param delay_s: seconds until the first pull from another source.
        """
        self._take(change.settings, change.origins)

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
        self._protect(settings, origins)
        self.published.max_subscribers = settings.max_subscribers
        self.settings = settings

    def _protect(self, settings: FeedSettings, origins: Origins) -> None:
        """Puts a guard before the feed, or changes or removes it. The root has to be updated afterwards."""
        shared, published = self._shared, self.published
        verifier = verifier_of(settings, shared.material, shared.wall)
        guard, published.guard = published.guard, None
        self._was_public = guard is None and verifier is not None
        if verifier is None:
            if guard is not None:
                guard.admissions.clear()
            return
        cookie = None if settings.auth_cookie is None else settings.auth_cookie.encode()
        if guard is None:
            failures = shared.failures or Failures(shared.reactor)
            tally = published.feed.tally
            guard = Guard(verifier, origins, cookie, failures, tally, shared.reactor, shared.wall)
        published.guard = guard
        guard.verifier, guard.origins, guard.cookie = verifier, origins, cookie
        guard.check()

    def check_access(self) -> None:
        """Ends the subscriptions whose tokens are revoked, and those of a feed that was public until now."""
        if self._was_public:
            self._was_public = False
            self.published.send_all_away(ReconnectSlots())
        elif self.published.guard is not None:
            self.published.guard.check()

    @staticmethod
    def _origins_of(settings: FeedSettings) -> Origins:
        with settings.named():
            return Origins.parse(settings.allow_origin, with_credentials=bool(settings.auth_cookie))

    @property
    def source_name(self) -> str:
        """The name of the source, without credentials; empty if this process does not pull."""
        return ""

    def streams(self) -> list[EventStream]:
        """Gives the open event streams."""
        return self.published.streams()

    def waiting(self) -> int:
        """Gives the number of requests that wait for a version."""
        return self.published.waiting()

    def let_go(self, slots: ReconnectSlots) -> None:
        """Ends the event streams and answers the waiting requests. WebSockets stay.

        :param slots: gives the times at which the clients reconnect.
        """
        self.published.let_go(slots)

    def start_later(self, delay_s: float) -> None:
        """Delays the first pull of a feed that has not started, by seconds."""

    def abandon(self) -> None:
        """Frees the resources of a feed that was not added after all."""
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
    :ivar desk: decides which documents are shown.
    :ivar puller: keeps the feed up to date; another one after :meth:`take` if the source changes.
    :raises ConfigurationError: if the settings are impossible.
    """

    def __init__(self, settings: FeedSettings, shared: Shared, *, delay_s: float = 0.0) -> None:
        super().__init__(settings, shared)
        store = self._make_store(settings)
        source = self._source_of(settings, store)
        journal, file, refused = None, None, None
        if shared.state_dir is not None:
            # Before the puller: it restores the versions before the first pull, and stops after the last one.
            versions = Journal(shared.state_dir / f"{settings.feed}.versions", settings.max_bytes)
            journal = JournalService(
                self.feed, versions, shared.reactor, shared.state_place, shared.in_thread, shared.boot
            )
            journal.setServiceParent(self)
            file = DeskFile(shared.state_dir / f"{settings.feed}.desk")
            refused = RefusedFile(shared.state_dir / f"{settings.feed}.refused", settings.feed)
        self.desk = Desk.of(
            self.feed,
            shared.reactor,
            shared.in_thread,
            shared.wall,
            rules=Rules.compile(settings.rules),
            file=file,
            audit=shared.audit,
            place=shared.state_place,
            boot=shared.boot,
        )
        if refused is not None:
            self.desk.refused = RefusedDocuments(settings.feed, refused, shared.in_thread, shared.wall)
        embargoes = Embargoes(
            self.feed,
            EmbargoKeeping(
                settings.feed,
                shared.in_thread,
                shared.wall,
                None if shared.state_dir is None else EmbargoFile(shared.state_dir / f"{settings.feed}.embargoes"),
                shared.audit,
            ),
            shared.reactor,
            # A proxy: reference counting would never free the two.
            EmbargoEffects(self.feed, shared.reactor, proxy(self)),
        )
        self._storage = FeedStorage(shared.state_place, self.desk, journal, store, embargoes)
        self.puller = Puller(
            self.feed,
            source,
            clock=shared.reactor,
            max_bytes=settings.max_bytes,
            desk=self.desk,
            delay_s=delay_s,
        )
        self.puller.setServiceParent(self)

    @property
    def embargoes(self) -> Embargoes:
        """The documents that are published, and the holds that end, at a time."""
        return self._storage.embargoes

    async def foresee(self, data: bytes | None) -> Foresight:
        """Foresees the publication of a document; without one, the end of the hold."""
        return await (foresee_release(self.desk) if data is None else foresee_document(self.desk, data))

    async def end_hold(self, embargo: Embargo) -> None:
        """Ends the hold of the feed for an embargo.

        :raises CommandError: if that is not possible.
        """
        await end_hold(self.desk, embargo)

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
        self.desk.begin()
        self.puller.startService()

    @property
    def store(self) -> SharedWrites | None:
        """The store of the feed; ``None`` if its document comes from another source."""
        return self._storage.store

    def stopService(self) -> Deferred[None]:
        """IService API. The store is closed once everything is durable that was accepted."""
        return all_of([self._storage.close(), maybeDeferred(super().stopService)])

    def restore(self) -> None:
        """FeedService API."""
        self._storage.open()

    def pause(self) -> Deferred[None]:
        """Pulls no more, and leaves everything that is kept to another process, until :meth:`resume`.

        :returns: fires when everything is written.
        """
        self.puller.pause()
        return self._storage.pause()

    def resume(self) -> None:
        """Goes on after :meth:`pause`."""
        self._storage.resume()
        self.puller.resume()

    def prepare(self, settings: FeedSettings) -> PreparedChange:
        """FeedService API. A source is made only if another one is needed."""
        before = self.settings
        is_same = all(getattr(settings, name) == getattr(before, name) for name in ("source", "interval", "max_bytes"))
        origins = self._origins_of(settings)
        if is_same:
            return PreparedChange(self, settings, origins)
        store = self.store if is_store(settings.source) else None
        opened = None
        if store is None and is_store(settings.source):
            store = opened = self._make_store(settings)
        source = self._source_of(settings, store)
        if opened is not None and self.running:
            try:
                opened.open()
            except StoreError as error:
                raise ConfigurationError(str(error), "source", settings.place("source")) from None
        return PreparedChange(self, settings, origins, source, store, opened)

    def take(self, change: PreparedChange, *, delay_s: float = 0.0) -> None:
        """FeedService API. Another source is pulled at once, or after the delay."""
        old, source, settings = self.puller, change.source, change.settings
        if source is not None:
            # Its stop is immediate: it has nothing to wait for.
            old.disownServiceParent()
        if settings.rules != self.settings.rules:
            # A document of the old source is not shown any more.
            self.desk.take_rules(Rules.compile(settings.rules), judges=source is None)
        self._take(settings, change.origins)
        if source is None:
            return
        self._storage.replace_store(change.store)
        if self._storage.journal is not None:
            self._storage.journal.journal.max_version_bytes = settings.max_bytes
        self.puller = Puller(
            self.feed,
            source,
            clock=self._shared.reactor,
            max_bytes=settings.max_bytes,
            desk=self.desk,
            delay_s=delay_s,
            # Counters of the metrics never decrease.
            good=old.good,
            failed=old.failed,
            times=old.times,
        )
        self.puller.setServiceParent(self)

    def _make_store(self, settings: FeedSettings) -> SharedWrites | None:
        """Makes the store of the feed, if its source is one. It is not opened yet.

        :raises ConfigurationError: if there is no state directory.
        """
        if not is_store(settings.source):
            return None
        state_dir = self._shared.state_dir
        if state_dir is None:
            with settings.named():
                raise needs_state_dir()
        store = Store(state_dir / f"{settings.feed}.store", self._shared.wall)
        return SharedWrites(store, settings.feed, self._shared.reactor, self._shared.in_thread)

    def _source_of(self, settings: FeedSettings, store: SharedWrites | None) -> Source:
        with settings.named():
            return make_source(settings.source, reactor=self._shared.reactor, max_bytes=settings.max_bytes, store=store)

    @property
    def playback(self) -> RecordingSource | None:
        """The recording that the feed plays; ``None`` if it has another source."""
        if not is_recording(self.settings.source):
            return None
        from livefeed.sources.recording import RecordingSource  # noqa: PLC0415 - other sources do not need it

        source = self.puller.source
        return source if isinstance(source, RecordingSource) else None

    @property
    def source_name(self) -> str:
        """FeedService API."""
        return str(self.puller.source)

    @property
    def max_bytes(self) -> int:
        """The size in bytes of the largest document."""
        return self.settings.max_bytes

    def pull_soon(self) -> Deferred[PullOutcome]:
        """Pulls, and gives the outcome of a pull that began after the call."""
        return self.puller.pull_soon()

    def start_later(self, delay_s: float) -> None:
        """FeedService API."""
        self.puller.delay_s = delay_s

    def abandon(self) -> None:
        """FeedService API."""
        close_source(self.puller.source)
        self._storage.abandon()
        super().abandon()


@dataclass(frozen=True, slots=True)
class PreparedChange:
    """Other settings of a feed, which were checked.

    :ivar service: the feed.
    :ivar settings: its new settings.
    :ivar origins: the origins in them.
    :ivar source: the source to pull from; ``None`` if that does not change.
    :ivar store: the store that belongs to it; ``None`` for none.
    :ivar opened: that store, if it was opened for this change.
    """

    service: FeedService
    settings: FeedSettings
    origins: Origins
    source: Source | None = None
    store: SharedWrites | None = None
    opened: SharedWrites | None = None

    @property
    def is_protected_anew(self) -> bool:
        """Whether the feed gets a guard, loses it, or has another cookie from now on."""
        names = ("auth_tokens", "auth_keys", "auth_cookie")
        return any(getattr(self.settings, name) != getattr(self.service.settings, name) for name in names)

    @property
    def source_name(self) -> str:
        """The name of the source, without credentials."""
        return self.service.source_name if self.source is None else str(self.source)

    def abandon(self) -> None:
        """Frees the source, and a store that was opened for it."""
        if self.source is not None:
            close_source(self.source)
        if self.opened is not None:
            self.opened.close()
