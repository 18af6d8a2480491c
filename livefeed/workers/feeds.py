"""The feeds of a worker: each follows the feed of the same name in the parent.

Rules: nothing of the whole document is hashed, compressed or compared here; the parent has done that. Without a parent,
a feed becomes stale by its own patience, and keeps its document. A newer version is never replaced by an older one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from livefeed.document.history import MAX_DELTAS, History
from livefeed.document.snapshot import Sequence
from livefeed.exceptions import LinkError
from livefeed.feed.feed import Feed
from livefeed.feed_service import FeedService
from livefeed.workers.feed_events import (
    PATCH,
    SEEN,
    SNAPSHOT,
    WANTED,
    FeedEvent,
    PatchFacts,
    SeenFacts,
    SnapshotQuestion,
    WantedFacts,
    apply_plain,
    deltas_of,
    moment_of,
    picture_facts,
    picture_of,
    sequence_facts,
    snapshot_facts,
    snapshot_of,
    take_statement,
)
from livefeed.workers.messages import Held, Message, message_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from livefeed.config.settings import FeedSettings
    from livefeed.document.history import DeltaForm, Deltas
    from livefeed.document.snapshot import Snapshot
    from livefeed.feed_service import PreparedChange, Shared
    from livefeed.workers.feed_events import SnapshotFacts

_log = Logger()


class LinkedHistory(History):
    """The names of the last versions, whose documents the parent has, and the deltas that the parent has made.

    :ivar ask: asks the parent for the delta of a form from a version to the newest one. The answer goes to
        :meth:`take`.
    :ivar use: tells the parent that deltas of a form to the newest version are used.
    """

    ask: Callable[[DeltaForm, str, str], object]
    use: Callable[[DeltaForm, str], object]
    _asked: set[tuple[DeltaForm, str]]
    _used: set[DeltaForm]
    _came: tuple[str, str, Deltas] | None

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._asked, self._used, self._came = set(), set(), None

    def add(self, snapshot: Snapshot) -> None:
        """History API."""
        newest = self._newest
        super().add(snapshot)
        self._asked.clear()
        self._used.clear()
        came, self._came = self._came, None
        if came is not None and newest is not None and came[:2] == (newest.version, snapshot.version):
            self._deltas.update(((form, newest.version), delta) for form, delta in came[2].items())

    def _keep(self, version: str, data: bytes) -> None:
        """History API. The parent keeps the documents."""
        super()._keep(version, b"")

    def recall_names(self, versions: Iterable[str]) -> None:
        """Replaces the versions before the newest one.

        :param versions: the oldest first.
        """
        self._versions.clear()
        for version in versions:
            self._keep(version, b"")

    def delta(self, form: DeltaForm, version: str | None) -> bytes | None:
        """History API. If the parent did not send the delta, it is asked for it, and clients are sent the document."""
        if version is None or self._newest is None or version not in self._versions:
            return None
        self.want(form)
        key = form, version
        delta = self._deltas.get(key)
        if delta is None and key not in self._asked and sum(one is form for one, _ in self._asked) < MAX_DELTAS:
            self._asked.add(key)
            self.ask(form, version, self._newest.version)
        return delta

    def want(self, form: DeltaForm) -> None:
        """History API. The parent is told once for each version, so that the delta to the next one comes with it."""
        if self._newest is not None and form not in self._used:
            self._used.add(form)
            self.use(form, self._newest.version)

    def ask_again(self) -> None:
        """Has deltas asked for again: the parent has forgotten the questions."""
        self._asked.clear()
        self._used.clear()

    def take(self, answer: PatchFacts, delta: bytes) -> None:
        """Takes a delta that the parent was asked for. It is ignored if its version is not the newest one any more."""
        if self._newest is not None and self._newest.version == answer.to:
            self._deltas[answer.form, answer.base] = delta

    def prepare(self, snapshot: Snapshot, deltas: Deltas) -> None:
        """History API. The deltas came with the next version."""
        if self._newest is not None:
            self._came = self._newest.version, snapshot.version, deltas

    def preparation(self, data: bytes) -> None:
        """History API. No deltas are made here."""


class LinkedFeedService(FeedService):
    """A feed that follows the feed of the same name in the parent.

    :param settings: the feed's settings.
    :param shared: what the feed shares with the others.
    :param send: sends a message to the parent; nothing happens without a link.
    :raises ConfigurationError: if the settings are impossible.
    """

    def __init__(self, settings: FeedSettings, shared: Shared, send: Callable[[Message], None]) -> None:
        self._send = send
        super().__init__(settings, shared)
        self._ignored: str | None = None
        # Until the parent has granted places, a limited feed has none.
        self.published.places = 0 if settings.max_subscribers else None

    def _make_feed(self, name: str, **arguments: Any) -> Feed:
        """FeedService API."""
        return Feed(name, is_replica=True, **arguments)

    def _make_history(self, **arguments: Any) -> History:
        """FeedService API."""
        self.history = LinkedHistory(**arguments)
        self.history.ask = self._ask
        self.history.use = self._use
        return self.history

    def take(self, change: PreparedChange, *, delay_s: float = 0.0) -> None:
        """FeedService API."""
        super().take(change, delay_s=delay_s)
        settings = change.settings
        if not settings.max_subscribers:
            self.published.places = None
        elif self.published.places is None:
            self.published.places = 0

    def held(self) -> Held | None:
        """Gives the version that this worker has; ``None`` for none."""
        snapshot = self.feed.snapshot
        if snapshot is None:
            return None
        return Held(snapshot.version, sequence_facts(snapshot.sequence), [*snapshot.representations])

    def receive(self, message: Message, event: FeedEvent) -> None:
        """Makes the change that the parent has made to its feed, and confirms it.

        :param message: the message with the payloads of the event.
        :raises LinkError: if the event is impossible; the link must be made anew then.
        """
        self._apply(message, event)
        self._send(message_of(SEEN, SeenFacts(event.feed)))

    def tell(self, question: SnapshotQuestion) -> None:
        """Sends a new parent the newest version, without the bytes that it has, and everything that decides about it.

        A version that is too large for the parent is left out.
        """
        feed = self.feed
        snapshot, facts = feed.snapshot, None
        payloads: list[bytes] = []
        if snapshot is not None and len(snapshot.data) <= question.max_bytes:
            has = question.codings if snapshot.version == question.version else ()
            facts = snapshot_facts(snapshot, has, payloads)
        answer = FeedEvent(
            feed.name, "picture", at_s=feed.clock.seconds(), snapshot=facts, picture=picture_facts(feed.picture(), [])
        )
        self._send(message_of(SNAPSHOT, answer, payloads))

    def receive_patch(self, message: Message, answer: PatchFacts) -> None:
        """Takes the answer to a question for a delta."""
        if answer.found:
            self.history.take(answer, message.payload(0))

    def _apply(self, message: Message, event: FeedEvent) -> None:
        take_statement(self.feed, event)
        if apply_plain(self.feed, message, event):
            return
        if event.event == "publish":
            self._publish(message, event)
        else:
            self._follow(message, event)

    def _publish(self, message: Message, event: FeedEvent) -> None:
        if event.snapshot is None:
            raise LinkError("a version came without its snapshot")
        if self._is_old(event.snapshot):
            return
        newest = self.feed.snapshot
        snapshot = snapshot_of(message, event.snapshot, newest)
        # A delta after a version that was ignored leads from that one, and not from the newest one here.
        deltas = {} if self._ignored is not None else deltas_of(message, event)
        if newest is not None and newest.version == snapshot.version and newest is not snapshot:
            # A new parent counts anew, and its sequence is that of all workers.
            self.feed.complete(snapshot)
        elif newest is None or newest.version != snapshot.version:
            self._ignored = None
        self.feed.publish(
            snapshot, is_tick=event.is_tick, deltas=deltas, confirmed=moment_of(event.confirmed), at_s=event.at_s
        )

    def _follow(self, message: Message, event: FeedEvent) -> None:
        if event.picture is None:
            raise LinkError("a picture came without its facts")
        snapshot, facts = None, event.snapshot
        if facts is not None and not self._is_old(facts):
            snapshot = snapshot_of(message, facts, self.feed.snapshot)
            # Before the push, which asks for deltas.
            self.history.recall_names(event.picture.versions)
        self.history.ask_again()
        self.feed.follow(picture_of(event.picture), snapshot)

    def _is_old(self, facts: SnapshotFacts) -> bool:
        """Tells whether a version is older than the newest one of this worker, which then stays."""
        newest = self.feed.snapshot
        if newest is None or facts.version == newest.version or Sequence(*facts.sequence) > newest.sequence:
            return False
        if self._ignored != facts.version:
            self._ignored = facts.version
            text = 'feed "{feed}": the parent has an older version, {theirs}; {ours} stays until there is a newer one'
            theirs = Sequence(*facts.sequence)
            _log.warn(text, feed=self.feed.name, theirs=str(theirs), ours=str(newest.sequence))
        return True

    def _ask(self, form: DeltaForm, base: str, to: str) -> None:
        self._send(message_of(PATCH, PatchFacts(self.feed.name, base, to, form=form)))

    def _use(self, form: DeltaForm, to: str) -> None:
        self._send(message_of(WANTED, WantedFacts(self.feed.name, to, form)))
