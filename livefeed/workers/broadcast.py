"""The parent's feeds, for the workers: each change of a feed is sent over all links.

Rules: a message is made once for all links. A worker that does not confirm what it was sent is owed at most one thing
for each feed, the newest picture: no queue grows, and it never receives a backlog. A delta is made once, in the parent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Protocol

from msgspec import structs

from livefeed.document.history import NO_DELTAS, DeltaForm
from livefeed.document.snapshot import Sequence
from livefeed.feed.feed import Feed
from livefeed.workers.feed_events import (
    EVENT,
    PATCH,
    SEEN,
    SNAPSHOT,
    STATING,
    WANTED,
    FeedEvent,
    Happening,
    PatchFacts,
    SeenFacts,
    WantedFacts,
    moment_facts,
    picture_facts,
    snapshot_facts,
    statement_facts,
)
from livefeed.workers.messages import message_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from livefeed.clocks import Moment
    from livefeed.config.settings import Push
    from livefeed.document.history import Deltas
    from livefeed.document.snapshot import Representation, Snapshot
    from livefeed.document.stored_version import StoredVersion
    from livefeed.feed.notice import Notice
    from livefeed.feed.picture import Picture
    from livefeed.workers.messages import Held, Message

WINDOW = 8
"""The number of events of one feed that a worker may have been sent and not confirmed: two ticks have four."""

MAX_QUESTIONS = 64
"""The number of deltas to one version that workers may wait for. There are 16 of each form to a version at most."""


class HasFeed(Protocol):
    """A service of a feed."""

    @property
    def feed(self) -> Feed:
        """The feed."""


class Recipient(Protocol):
    """A link to a worker."""

    @property
    def is_full(self) -> bool:
        """Tells whether so much is not sent yet that questions must stay without an answer."""

    def send(self, message: Message, /) -> None:
        """Sends a message."""


class BroadcastFeed(Feed):
    """A feed of the parent. All its changes are sent to the workers.

    A change that the feed makes by itself, because time has passed, is not sent: the feeds of the workers make it by
    themselves, too.
    """

    broadcast: Broadcast

    def begin_tick(self, at_s: float | None = None) -> None:
        """Feed API."""
        super().begin_tick(at_s)
        self._tell("begin_tick", at_s=self.tick_at)

    def publish(  # noqa: PLR0913 - as in Feed
        self,
        snapshot: Snapshot,
        *,
        is_tick: bool = True,
        deltas: Deltas = NO_DELTAS,
        confirmed: Moment | None = None,
        at_s: float | None = None,
        notice: Notice | None = None,
    ) -> None:
        """Feed API."""
        before, noticed = self.snapshot, self.notice
        super().publish(snapshot, is_tick=is_tick, deltas=deltas, confirmed=confirmed, at_s=at_s, notice=notice)
        if self.notice != noticed:
            # In one step, as here.
            self.broadcast.show(self)
            return
        if self.snapshot is not before and before is not None:
            deltas = {**self.broadcast.deltas_to_next(self, before.version), **deltas}
        self.broadcast.tell(
            self, partial(self._publication, is_tick), None if before is None else before.version, deltas
        )

    def _publication(self, is_tick: bool, has: set[str], deltas: Deltas) -> Message:
        payloads: list[bytes] = []
        assert self.snapshot is not None
        snapshot = snapshot_facts(self.snapshot, has, payloads)
        indices = dict(zip(deltas, count(len(payloads)), strict=False))
        payloads += deltas.values()
        facts = FeedEvent(
            self.name,
            "publish",
            at_s=self._heard_at,
            snapshot=snapshot,
            is_tick=is_tick,
            confirmed=moment_facts(self.confirmed),
            patch=indices.get(DeltaForm.PATCH),
            splices=indices.get(DeltaForm.SPLICES),
            statement=statement_facts(self.stated),
        )
        return message_of(EVENT, facts, payloads)

    def add_codings(self, snapshot: Snapshot, codings: dict[str, bytes]) -> None:
        """Feed API."""
        super().add_codings(snapshot, codings)
        if snapshot is self.snapshot:
            self.broadcast.tell(self, self._codings)

    def _codings(self, has: set[str], _: Deltas) -> Message:
        payloads: list[bytes] = []
        assert self.snapshot is not None
        facts = snapshot_facts(self.snapshot, has, payloads)
        return message_of(EVENT, FeedEvent(self.name, "codings", at_s=self.clock.seconds(), snapshot=facts), payloads)

    def confirm(self, at_s: float) -> None:
        """Feed API."""
        super().confirm(at_s)
        self._tell("confirm", at_s=self._heard_at, confirmed=self.confirmed)

    def note_confirmed(self, confirmed: Moment, at_s: float) -> None:
        """Feed API. The feed follows that of an earlier parent."""
        super().note_confirmed(confirmed, at_s)
        self._tell("confirm", at_s=at_s, confirmed=confirmed)

    def include(self, representations: Iterable[Representation]) -> None:
        """Feed API. The feed follows that of an earlier parent."""
        super().include(representations)
        self.broadcast.tell(self, self._codings)

    def skip_tick(self, at_s: float | None = None) -> None:
        """Feed API."""
        super().skip_tick(at_s)
        self._tell("skip_tick", at_s=self._heard_at)

    def mark_stale(self, why: str = "") -> None:
        """Feed API."""
        super().mark_stale(why)
        self._tell("mark_stale", at_s=self.clock.seconds(), why=why)

    def note_held(self, at_s: float | None = None, *, is_tick: bool = True) -> None:
        """Feed API."""
        super().note_held(at_s, is_tick=is_tick)
        self._tell("note_held", at_s=self._heard_at, is_tick=is_tick)

    def heed(self, notice: Notice) -> None:
        """Feed API."""
        super().heed(notice)
        self.broadcast.show(self)

    def show(self, snapshot: Snapshot, notice: Notice, *, confirmed: Moment, deltas: Deltas = NO_DELTAS) -> None:
        """Feed API."""
        super().show(snapshot, notice, confirmed=confirmed, deltas=deltas)
        self.broadcast.show(self)

    def restore(self, versions: Iterable[StoredVersion], *, age_s: float | None = None) -> None:
        """Feed API."""
        super().restore(versions, age_s=age_s)
        self.broadcast.show(self)

    def configure(
        self, *, interval_s: float, push: Push, stale_after_s: float, gone_after_s: float, max_delta_bytes: int
    ) -> None:
        """Feed API."""
        super().configure(
            interval_s=interval_s,
            push=push,
            stale_after_s=stale_after_s,
            gone_after_s=gone_after_s,
            max_delta_bytes=max_delta_bytes,
        )
        self.broadcast.show(self)

    def start_watching(self, patience_s: float) -> None:
        """Feed API. That it stops is not sent: without a parent, the feeds of the workers become stale."""
        super().start_watching(patience_s)
        self.broadcast.show(self)

    def resume(self, picture: Picture, snapshot: Snapshot) -> None:
        """Feed API."""
        super().resume(picture, snapshot)
        self.broadcast.show(self)

    def continue_after(self, sequence: Sequence) -> None:
        """Has the next version be later than one that a worker has of an earlier parent, whatever the clock says."""
        if sequence > self._sequence:
            self._sequence = Sequence(sequence.epoch + 1, 0)

    def _tell(
        self, event: Happening, *, at_s: float, why: str = "", confirmed: Moment | None = None, is_tick: bool = True
    ) -> None:
        facts = FeedEvent(
            self.name,
            event,
            at_s=at_s,
            why=why,
            confirmed=moment_facts(confirmed),
            is_tick=is_tick,
            statement=statement_facts(self.stated if event in STATING else None),
        )
        message = message_of(EVENT, facts)
        self.broadcast.tell(self, lambda *_: message, brings_snapshot=False)


@dataclass(slots=True)
class _Progress:
    """One feed on one link.

    :ivar said: the sequence of the version that the worker had when it said hello; ``None`` for none.
    :ivar version: the version that the worker has, or will have when it has read everything; ``None`` for none.
    :ivar codings: the codings that it has it in.
    :ivar unseen: the number of events that it has not confirmed.
    :ivar is_loaded: whether an unconfirmed event brings a version.
    :ivar is_due: whether events were left out, so that a picture is owed.
    """

    said: Sequence | None = None
    version: str | None = None
    codings: set[str] = field(default_factory=set)
    unseen: int = 0
    is_loaded: bool = False
    is_due: bool = False

    def has(self, snapshot: Snapshot | None) -> set[str]:
        """Gives the codings in which the worker has a snapshot; empty if it does not have it."""
        return self.codings if snapshot is not None and snapshot.version == self.version else set()


@dataclass(eq=False)
class Broadcast:
    """Sends the feeds of the parent to the workers.

    :param feeds: the services of the feeds, by name; read again at each use.
    :param make_feed: has the arguments of ``Feed``, and makes a feed that is sent to the workers.
    :ivar recall: takes the answers of workers about their newest versions; set by the owner.
    :ivar payload_bytes: the number of bytes of documents, codings and deltas that were sent since the start.
    """

    # required parameters
    feeds: Mapping[str, HasFeed]

    # internal state
    recall: Callable[[Recipient, Message], object] = field(default=lambda link, message: None)  # noqa: ARG005
    payload_bytes: int = 0
    _links: dict[Recipient, dict[str, _Progress]] = field(default_factory=dict)
    _followers: set[Recipient] = field(default_factory=set)  # the links that are no workers
    # By feed and form, the version to which deltas are used.
    _demanded: dict[str, dict[DeltaForm, str]] = field(default_factory=dict)
    _questions: dict[str, dict[PatchFacts, dict[Recipient, None]]] = field(default_factory=dict)

    def make_feed(self, *arguments: object, **named: object) -> BroadcastFeed:
        """Makes a feed. The arguments are those of ``Feed``."""
        feed = BroadcastFeed(*arguments, **named)  # type: ignore[arg-type]
        feed.broadcast = self
        feed.history.ready = partial(self._answer_first, feed)
        return feed

    # Links

    def add(self, link: Recipient, held: Mapping[str, Held]) -> None:
        """Adds a worker that was sent ``welcome``, and sends it the picture of each feed.

        :param held: the versions that it has, as it said in ``hello``.
        """
        progress = {
            name: _Progress(Sequence(*each.sequence), each.version, set(each.codings)) for name, each in held.items()
        }
        self._links[link] = progress
        for name, service in self.feeds.items():
            if name in held and isinstance(service.feed, BroadcastFeed):
                service.feed.continue_after(Sequence(*held[name].sequence))
            self._send_picture(link, service.feed)

    def add_follower(self, link: Recipient) -> None:
        """Adds a link that is sent the feeds alone: that to the next parent, which ends at any other message."""
        self._followers.add(link)
        self.add(link, {})

    def show_all(self, link: Recipient) -> None:
        """Sends the picture of each feed on a link, whatever is not confirmed yet: nothing follows it."""
        for service in tuple(self.feeds.values()):
            self._send_picture(link, service.feed)

    def holders(self, name: str) -> list[tuple[Sequence, Recipient]]:
        """Gives the workers that had a version of a feed when they said hello, and its sequence; the newest first."""
        found = [(each[name].said, link) for link, each in self._links.items() if name in each]
        return sorted(
            ((said, link) for said, link in found if said is not None), key=lambda each: each[0], reverse=True
        )

    def remove(self, link: Recipient) -> None:
        """Sends a worker nothing more."""
        self._links.pop(link, None)
        self._followers.discard(link)
        for questions in self._questions.values():
            for askers in questions.values():
                askers.pop(link, None)

    def send_all(self, message: Message) -> None:
        """Sends the same message to all workers, and the pictures of feeds that are new to them."""
        self.send_each(lambda _: message)

    def send_each(self, make: Callable[[Recipient], Message]) -> None:
        """Sends each worker a message of its own, such as ``configuration``, and the pictures of feeds new to it."""
        for link, progress in self._links.items():
            if link not in self._followers:
                link.send(make(link))
            for name in progress.keys() - self.feeds.keys():
                del progress[name]
            for name, service in self.feeds.items():
                if name not in progress:
                    self._send_picture(link, service.feed)

    def receive(self, link: Recipient, message: Message) -> bool:
        """Takes a message of a worker.

        :returns: whether the message is about feeds; any other one is for the caller.
        :raises LinkError: if it cannot be read.
        """
        if message.type == SEEN:
            self._note_seen(link, message.read(SeenFacts).feed)
        elif message.type == WANTED:
            wanted = message.read(WantedFacts)
            self._note_demand(wanted.feed, wanted.to, wanted.form)
        elif message.type == PATCH:
            self._note_question(link, message.read(PatchFacts))
        elif message.type == SNAPSHOT:
            self.recall(link, message)
        else:
            return False
        return True

    # Feeds

    def show(self, feed: Feed) -> None:
        """Sends the picture of a feed to all workers."""
        self.tell(feed, None)

    def tell(
        self,
        feed: Feed,
        make: Callable[[set[str], Deltas], Message] | None,
        before: str | None = None,
        deltas: Deltas = NO_DELTAS,
        *,
        brings_snapshot: bool = True,
    ) -> None:
        """Sends an event of a feed to all workers; a picture to a worker that is behind, as soon as it is not.

        :param make: makes the message for workers that have the snapshot in some codings, with deltas or without;
            ``None`` for a picture.
        :param before: the version from which the deltas lead.
        :param brings_snapshot: whether the message depends on the version that the worker has.
        """
        service = self.feeds.get(feed.name)
        if service is None or service.feed is not feed:
            # It is not served yet. Workers are sent its picture once they know of it.
            return
        made: dict[tuple[frozenset[str], bool], Message] = {}
        for link, by_name in self._links.items():
            progress = by_name.get(feed.name)
            if progress is None:
                continue
            has = progress.has(feed.snapshot) if brings_snapshot else set()
            lacks = brings_snapshot and feed.snapshot is not None and not feed.snapshot.representations.keys() <= has
            if progress.is_due or progress.unseen >= WINDOW or (lacks and progress.is_loaded):
                progress.is_due = True
                continue
            if make is None:
                self._send_picture(link, feed)
                continue
            takes_deltas = not has and progress.version == before
            key = frozenset(has), takes_deltas
            message = made.get(key)
            if message is None:
                message = made[key] = make(has, deltas if takes_deltas else NO_DELTAS)
            self._send(link, progress, feed, message)

    def _send(self, link: Recipient, progress: _Progress, feed: Feed, message: Message) -> None:
        if message.payloads:
            progress.is_loaded = True
            self.payload_bytes += sum(map(len, message.payloads))
            if feed.snapshot is not None:
                progress.version = feed.snapshot.version
                progress.codings = {*feed.snapshot.representations}
        progress.unseen += 1
        link.send(message)

    def _send_picture(self, link: Recipient, feed: Feed) -> None:
        progress = self._links[link].setdefault(feed.name, _Progress())
        payloads: list[bytes] = []
        snapshot = feed.snapshot
        facts = FeedEvent(
            feed.name,
            "picture",
            at_s=feed.clock.seconds(),
            snapshot=None if snapshot is None else snapshot_facts(snapshot, progress.has(snapshot), payloads),
            picture=picture_facts(feed.picture(), feed.history.versions()),
            statement=statement_facts(feed.stated),
        )
        self._send(link, progress, feed, message_of(EVENT, facts, payloads))

    def _note_seen(self, link: Recipient, name: str) -> None:
        progress = self._links.get(link, {}).get(name)
        if progress is None or not progress.unseen:
            return
        progress.unseen -= 1
        if progress.unseen:
            return
        progress.is_loaded = False
        service = self.feeds.get(name)
        if progress.is_due and service is not None:
            progress.is_due = False
            self._send_picture(link, service.feed)

    # Deltas

    def deltas_to_next(self, feed: Feed, before: str) -> dict[DeltaForm, bytes]:
        """Gives the deltas from the version before to the newest one, in the forms that workers use of this feed.

        :param before: the version before.
        """
        self._questions.pop(feed.name, None)
        demanded = self._demanded.pop(feed.name, {})
        deltas = {form: feed.history.delta(form, before) for form in sorted(demanded) if demanded[form] == before}
        return {form: delta for form, delta in deltas.items() if delta is not None}

    def _note_demand(self, name: str, version: str, form: DeltaForm) -> Feed | None:
        """Takes note that deltas to a version are used; gives the feed if that is the newest version."""
        service = self.feeds.get(name)
        if service is None or service.feed.snapshot is None or service.feed.snapshot.version != version:
            return None
        self._demanded.setdefault(name, {})[form] = version
        service.feed.history.want(form)
        return service.feed

    def _note_question(self, link: Recipient, question: PatchFacts) -> None:
        feed = self._note_demand(question.feed, question.to, question.form)
        if feed is None:
            # The worker forgets its question when it receives the next version.
            return
        delta = feed.history.delta(question.form, question.base)
        waiting = self._questions.setdefault(question.feed, {})
        if delta is None and feed.history.is_awaited(question.base) and len(waiting) < MAX_QUESTIONS:
            waiting.setdefault(question, {})[link] = None
        else:
            self._answer([link], question, delta)

    def _answer_first(self, feed: Feed) -> None:
        """Answers the oldest question of a feed, after a thread has made a delta, and has it make the next one."""
        waiting = self._questions.get(feed.name, {})
        for question in tuple(waiting):
            links = waiting.pop(question)
            is_newest = feed.snapshot is not None and feed.snapshot.version == question.to
            delta = feed.history.delta(question.form, question.base) if is_newest else None
            self._answer(links, question, delta)
            following = next(iter(waiting), None)
            if following is None or feed.history.delta(following.form, following.base) is None:
                return

    def _answer(self, links: Collection[Recipient], question: PatchFacts, delta: bytes | None) -> None:
        answer = structs.replace(question, found=delta is not None)
        payloads = () if delta is None else (delta,)
        for link in links:
            # A worker that asks and does not read would have everything queued. It sends its clients the document.
            if not link.is_full:
                self.payload_bytes += sum(map(len, payloads))
                link.send(message_of(PATCH, answer, payloads))
