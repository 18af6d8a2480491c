"""The newest versions on their way from the workers of an earlier parent to the next one, before its first pull.

Rules: the next parent has a document even if its source is away, and watchers notice nothing: the version and its
sequence stay, and a pull that gives the same bytes gives no new version. One worker is asked for each feed, the one
with the newest version; one that does not answer in time, or answers with something else, is passed over. The journal
of the feed wins if its version is newer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger

from livefeed.document.snapshot import version_of
from livefeed.workers.feed_events import SNAPSHOT, FeedEvent, SnapshotQuestion, picture_of, snapshot_of
from livefeed.workers.messages import message_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from livefeed.config.settings import FeedSettings
    from livefeed.feed.feed import Feed
    from livefeed.workers.broadcast import Broadcast, Recipient
    from livefeed.workers.messages import Message

    class RecalledFeed(Protocol):
        """A feed that is pulled later."""

        @property
        def settings(self) -> FeedSettings:
            """Its settings."""

        @property
        def feed(self) -> Feed:
            """The feed."""

        def restore(self) -> None:
            """Restores the versions of the journal, if there is one."""


class RecalledFeeds(Protocol):
    """The feeds of a parent."""

    @property
    def feeds(self) -> Mapping[str, RecalledFeed]:
        """The services of the feeds, by name."""

    def privilegedStartService(self) -> None:
        """IService API."""

    def startService(self) -> None:
        """IService API. Begins to pull."""

    def stopService(self) -> Any:
        """IService API."""


ANSWER_S = 1.0
"""Seconds that a worker has to answer. A document of 1 MiB takes some milliseconds."""

RECALL_S = 3.0
"""Seconds from the start until the feeds are pulled, however many workers have not answered."""

_log = Logger()


@dataclass(slots=True)
class _Question:
    """The question for the newest version of a feed.

    :ivar candidates: the workers that are asked next, the best one last.
    :ivar asked: the worker that was asked last.
    :ivar timeout: asks the next one.
    """

    candidates: list[Recipient]
    asked: Recipient | None = None
    timeout: IDelayedCall | None = None


@dataclass(eq=False)
class Recall(Service):
    """Starts the feeds of a parent, after the newest versions have come from the workers that run already.

    :param feeds: the feeds; this service starts and stops them.
    :param broadcast: has the links to the workers.
    """

    # required parameters
    feeds: RecalledFeeds
    broadcast: Broadcast
    clock: IReactorTime

    # internal state
    _questions: dict[str, _Question] = field(default_factory=dict)
    _limit: IDelayedCall | None = None
    _has_begun: bool = False

    def privilegedStartService(self) -> None:
        """IService API."""
        super().privilegedStartService()
        self.feeds.privilegedStartService()

    def startService(self) -> None:
        """IService API.

        :raises StartError: if the kept versions of a feed cannot be read; nothing is pulled then.
        """
        super().startService()
        self._has_begun = False
        for name, service in self.feeds.feeds.items():
            service.restore()
            newest = service.feed.snapshot
            holders = self.broadcast.holders(name)
            candidates = [link for said, link in holders if newest is None or said >= newest.sequence]
            if candidates and not service.feed.has_heard:
                self._questions[name] = _Question(candidates[::-1])
        if not self._questions:
            self._begin()
            return
        self.broadcast.recall = self._take
        self._limit = self.clock.callLater(RECALL_S, self._end)
        for name in tuple(self._questions):
            self._ask(name)

    def stopService(self) -> Deferred[Any]:
        """IService API."""
        super().stopService()
        # Their journals may be open, and the services of the feeds close them.
        self._end()
        return maybeDeferred(self.feeds.stopService)

    def _ask(self, name: str) -> None:
        """Asks the next worker for the newest version of a feed, if there is one."""
        question, service = self._questions[name], self.feeds.feeds.get(name)
        if question.timeout is not None and question.timeout.active():
            question.timeout.cancel()
        if service is None or not question.candidates:
            self._settle(name)
            return
        question.asked = question.candidates.pop()
        question.timeout = self.clock.callLater(ANSWER_S, self._ask, name)
        newest = service.feed.snapshot
        facts = SnapshotQuestion(
            name,
            service.settings.max_bytes,
            "" if newest is None else newest.version,
            [] if newest is None else [*newest.representations],
        )
        question.asked.send(message_of(SNAPSHOT, facts))

    def _take(self, link: Recipient, message: Message) -> None:
        """Takes the answer of a worker. One that comes too late, or from another worker, is ignored.

        :raises LinkError: if it cannot be read.
        """
        event = message.read(FeedEvent)
        question, service = self._questions.get(event.feed), self.feeds.feeds.get(event.feed)
        if question is None or question.asked is not link or service is None:
            return
        feed, facts = service.feed, event.snapshot
        if facts is None or event.picture is None:
            self._ask(event.feed)
            return
        snapshot = snapshot_of(message, facts, feed.snapshot)
        is_whole = snapshot is feed.snapshot or version_of(snapshot.data) == snapshot.version
        is_older = feed.snapshot is not None and snapshot.sequence < feed.snapshot.sequence
        if not is_whole or is_older or len(snapshot.data) > service.settings.max_bytes:
            self._ask(event.feed)
            return
        feed.resume(picture_of(event.picture), snapshot)
        text = 'feed "{feed}" has its newest version back from a worker; it is from {sequence}'
        _log.info(text, feed=feed.name, sequence=str(snapshot.sequence))
        self._settle(event.feed)

    def _settle(self, name: str) -> None:
        """Ends the question about a feed, and begins to pull all feeds after the last one."""
        question = self._questions.pop(name)
        if question.timeout is not None and question.timeout.active():
            question.timeout.cancel()
        if not self._questions:
            self._begin()

    def _end(self) -> None:
        """Ends all questions."""
        for name in tuple(self._questions):
            self._settle(name)

    def _begin(self) -> None:
        if self._limit is not None and self._limit.active():
            self._limit.cancel()
        self._limit = None
        if not self._has_begun:
            self._has_begun = True
            self.feeds.startService()
