"""The newest versions of workers, which the next parent takes before it pulls."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.clocks import Moment
from livefeed.config.settings import FeedSettings
from livefeed.document.snapshot import Sequence, Snapshot
from livefeed.document.stored_version import StoredVersion
from livefeed.feed.state import State
from livefeed.testing import publish
from livefeed.workers.feed_events import (
    SNAPSHOT,
    FeedEvent,
    PictureFacts,
    SnapshotQuestion,
    picture_facts,
    snapshot_facts,
)
from livefeed.workers.messages import Message, message_of
from livefeed.workers.recall import ANSWER_S, RECALL_S, Recall
from tests.helpers.feeds import tell_state
from tests.helpers.links import ParentTwin, WorkerTwin

if TYPE_CHECKING:
    from livefeed.feed.feed import Feed


def facts_of(feed: Feed | None) -> PictureFacts | None:
    """Gives the picture of a feed as facts."""
    return None if feed is None else picture_facts(feed.picture(), [])


@dataclass(eq=False)
class Pulled:
    """The service of a feed, with a journal in memory."""

    feed: Feed
    settings: FeedSettings = field(default_factory=FeedSettings)
    stored: list[StoredVersion] = field(default_factory=list)

    def restore(self) -> None:
        stored, self.stored = self.stored, []
        if stored:
            self.feed.restore(stored)


@dataclass(eq=False)
class Feeds:
    """The feeds, which note when they are started and stopped."""

    feeds: dict[str, Any]
    calls: list[str] = field(default_factory=list)

    def privilegedStartService(self) -> None:
        self.calls.append("privileged")

    def startService(self) -> None:
        self.calls.append("start")

    def stopService(self) -> Deferred[None]:
        self.calls.append("stop")
        return succeed(None)


class RecallTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.old = ParentTwin(self.clock)
        self.old.feed.start_watching(4.0)
        self.workers = [self.old.worker(), self.old.worker()]
        for each in self.workers:
            self.addCleanup(each.close)
        self.parent = ParentTwin(self.clock)
        self.addCleanup(self.parent.close)
        self.service = Pulled(self.parent.feed)
        self.feeds = Feeds(cast("dict[str, Any]", self.parent.services))
        self.feeds.feeds["feed"] = self.service
        self.recall = Recall(self.feeds, self.parent.broadcast, self.clock)

    def publish(self, data: bytes, *workers: WorkerTwin) -> Snapshot:
        """Has the old parent publish, and workers receive it: all of them by default."""
        publish(self.old.feed, data)
        for each in workers or self.workers:
            each.settle()
        assert self.old.feed.snapshot is not None
        return self.old.feed.snapshot

    def replace_parent(self) -> None:
        """Has the workers say hello to the new parent, and starts it."""
        self.old.close()
        for each in self.workers:
            each.parent = self.parent
            each.connect()
        self.clock.advance(0.5)
        self.recall.startService()

    def settle(self) -> None:
        # An answer of one worker is news for the others.
        for each in (*self.workers, *self.workers):
            each.settle()

    def questions(self) -> list[int]:
        """Gives the number of questions that each worker was sent."""
        return [len([each for each in worker.to_worker.sent if each.type == SNAPSHOT]) for worker in self.workers]


class TakingTests(RecallTestCase):
    """The version, its sequence and the state continue."""

    def test_newest_version(self) -> None:
        """The parent has it before it pulls, from one worker, and clients of the workers are sent nothing."""
        published = self.publish(b"[1]")
        pushes = [each.feed.fanout.times.ended for each in self.workers]
        self.replace_parent()
        self.assertEqual((self.feeds.calls, self.questions()), ([], [1, 0]))
        self.settle()
        self.assertEqual(self.feeds.calls, ["start"])
        self.assertEqual((self.parent.feed.snapshot, self.parent.feed.versions), (published, 0))
        self.assertEqual(self.parent.feed.confirmed, self.old.feed.confirmed)
        self.assertIs(self.parent.feed.state, State.LIVE)
        for each, before in zip(self.workers, pushes, strict=True):
            self.assertEqual((each.feed.snapshot, each.feed.state), (published, State.LIVE))
            self.assertEqual(each.feed.fanout.times.ended, before)

    def test_equal_bytes_are_no_new_version(self) -> None:
        """The next version is later than all before, whatever the clock says."""
        published = self.publish(b"[1]")
        self.replace_parent()
        self.settle()
        publish(self.parent.feed, b"[1]")
        self.settle()
        for feed in (self.parent.feed, *(each.feed for each in self.workers)):
            self.assertEqual(feed.snapshot, published)
        publish(self.parent.feed, b"[2]")
        self.settle()
        for each in self.workers:
            self.assertEqual(each.feed.snapshot, self.parent.feed.snapshot)
            assert each.feed.snapshot is not None
            self.assertEqual(each.feed.snapshot.sequence, Sequence(published.sequence.epoch + 1, 1))

    def test_withdrawn_document_stays_withdrawn(self) -> None:
        """Neither the workers nor the new parent show it for a moment, though the parent knows of no decision first."""
        published = self.publish(b"[1]")
        self.old.feed.decide(State.WITHDRAWN)
        for each in self.workers:
            each.settle()
        told: list[State] = []
        for each in self.workers:
            each.feed.observe(partial(tell_state, each.feed, told))
        self.replace_parent()
        self.settle()
        for feed in (self.parent.feed, *(each.feed for each in self.workers)):
            self.assertEqual((feed.snapshot, feed.state), (published, State.WITHDRAWN))
        self.assertEqual({*told}, {State.WITHDRAWN})

    def test_source_that_is_away(self) -> None:
        """The document stays, as stale, with the reason."""
        published = self.publish(b"[1]")
        self.replace_parent()
        self.settle()
        self.parent.feed.start_watching(4.0)
        self.parent.feed.mark_stale("away")
        self.settle()
        for feed in (self.parent.feed, *(each.feed for each in self.workers)):
            self.assertEqual((feed.snapshot, feed.state, feed.reason), (published, State.STALE, "away"))

    def test_patience_goes_on(self) -> None:
        """Without a pull, the feed is stale when the workers would have had it so."""
        self.publish(b"[1]")
        self.replace_parent()
        self.settle()
        self.clock.advance(3.4)
        self.assertIs(self.parent.feed.state, State.LIVE)
        self.clock.advance(0.2)
        for feed in (self.parent.feed, *(each.feed for each in self.workers)):
            self.assertIs(feed.state, State.STALE)

    def test_newest_of_several(self) -> None:
        """Only the worker with the newest version is asked."""
        self.publish(b"[1]")
        published = self.publish(b"[2]", self.workers[1])
        self.replace_parent()
        self.assertEqual(self.questions(), [0, 1])
        self.settle()
        self.assertEqual(self.parent.feed.snapshot, published)
        self.assertEqual(self.workers[0].feed.snapshot, published)

    def test_no_workers(self) -> None:
        """Without workers that have a version, the feeds begin at once."""
        self.recall.privilegedStartService()
        self.replace_parent()
        self.assertEqual((self.feeds.calls, self.questions()), (["privileged", "start"], [0, 0]))
        self.successResultOf(self.recall.stopService())
        self.assertEqual(self.feeds.calls[2:], ["stop"])


class JournalTests(RecallTestCase):
    """With a journal, the newer sequence of both wins."""

    def store(self, data: bytes, sequence: Sequence) -> None:
        self.service.stored = [StoredVersion(data, sequence, 999.0)]

    def test_same_version(self) -> None:
        """No bytes are sent, and the state is that of the workers."""
        published = self.publish(b"[1]")
        self.store(b"[1]", published.sequence)
        self.replace_parent()
        self.settle()
        self.assertIs(self.parent.feed.state, State.LIVE)
        answers = [each for worker in self.workers for each in worker.to_parent.sent if each.type == SNAPSHOT]
        self.assertEqual([each.payloads for each in answers], [()])
        self.assertEqual([each.feed.fanout.times.ended for each in self.workers], [1, 1])

    def test_older_journal(self) -> None:
        """The version of the workers is taken."""
        published = self.publish(b"[1]")
        self.store(b"[0]", Sequence(published.sequence.epoch - 5, 7))
        self.replace_parent()
        self.settle()
        self.assertEqual(self.parent.feed.snapshot, published)
        self.assertEqual(len(self.parent.feed.history.versions()), 1)

    def test_newer_journal(self) -> None:
        """Nothing is asked, and the workers are sent the version of the journal."""
        published = self.publish(b"[1]")
        self.store(b"[2]", Sequence(published.sequence.epoch, 2))
        self.replace_parent()
        self.assertEqual((self.feeds.calls, self.questions()), (["start"], [0, 0]))
        self.settle()
        for each in self.workers:
            assert each.feed.snapshot is not None
            self.assertEqual((each.feed.snapshot.data, each.feed.state), (b"[2]", State.STALE))


class FailureTests(RecallTestCase):
    """Workers that do not answer, or answer with something else, are passed over."""

    def setUp(self) -> None:
        super().setUp()
        self.published = self.publish(b"[1]")
        self.replace_parent()

    def answer(self, worker: WorkerTwin, snapshot: Snapshot | None, picture: Feed | None = None) -> None:
        """Sends an answer with a snapshot."""
        payloads: list[bytes] = []
        facts = None if snapshot is None else snapshot_facts(snapshot, (), payloads)
        event = FeedEvent("feed", "picture", 0.0, facts, picture=facts_of(picture))
        message = message_of(SNAPSHOT, event, payloads)
        self.assertTrue(self.parent.broadcast.receive(worker.to_worker, message))

    def test_silent_workers(self) -> None:
        """The next one is asked, and then the feeds begin without an answer."""
        self.clock.advance(ANSWER_S)
        self.assertEqual((self.feeds.calls, self.questions()), ([], [1, 1]))
        self.clock.advance(ANSWER_S)
        self.assertEqual(self.feeds.calls, ["start"])
        self.settle()
        self.assertIsNone(self.parent.feed.snapshot)
        self.assertEqual(self.feeds.calls, ["start"])

    def test_whole_time(self) -> None:
        """However many workers there are, the feeds are not delayed for longer."""
        self.recall._questions["feed"].candidates *= 9
        self.clock.pump([0.5] * int(RECALL_S / 0.5))
        self.assertEqual(self.feeds.calls, ["start"])
        self.assertEqual(
            self.clock.getDelayedCalls(), [self.workers[0].feed._watch_call, self.workers[1].feed._watch_call]
        )

    def test_other_answers(self) -> None:
        """An answer counts if the worker was asked, its bytes are those of its version, and it is not older."""
        first, second = self.workers
        for data in (b"[1]", b"[2]"):
            self.answer(second, Snapshot.of(data, self.published.sequence), self.old.feed)
        self.assertIsNone(self.parent.feed.snapshot)
        forged = Snapshot.received("0" * 32, Sequence(10**15, 1), self.published.representations.values(), None)
        self.answer(first, forged, self.old.feed)
        self.assertEqual(self.questions(), [1, 1])
        self.answer(second, None, self.old.feed)
        self.assertEqual(self.feeds.calls, ["start"])
        self.assertIsNone(self.parent.feed.snapshot)
        self.answer(second, self.published, self.old.feed)
        self.assertIsNone(self.parent.feed.snapshot)

    def test_large_document(self) -> None:
        """A worker leaves a document out that the parent would refuse to pull."""
        question = SnapshotQuestion("feed", 2)
        self.workers[0].service.tell(question)
        message = self.workers[0].to_parent.sent[-1]
        self.assertEqual(("snapshot" in message.facts, message.payloads), (False, ()))
        self.service.settings = FeedSettings(max_bytes=2)
        self.answer(self.workers[0], self.published, self.old.feed)
        self.assertIsNone(self.parent.feed.snapshot)

    def test_stop(self) -> None:
        """A stop meanwhile starts and stops the feeds, which close their journals."""
        self.successResultOf(self.recall.stopService())
        self.assertEqual(self.feeds.calls, ["start", "stop"])
        self.assertEqual(self.parent.broadcast.receive(self.workers[0].to_worker, Message("other")), False)

    def test_feed_that_is_removed_meanwhile(self) -> None:
        """Nothing is waited for any more."""
        del self.parent.services["feed"]
        self.settle()
        self.clock.advance(ANSWER_S)
        self.assertEqual(self.feeds.calls, ["start"])


class MomentTests(RecallTestCase):
    """Times of another process."""

    def test_confirmation_of_a_restored_version(self) -> None:
        """An age that only the wall clock tells stays so."""
        self.old.feed.restore([StoredVersion(b"[1]", Sequence(5, 1), 900.0)])
        for each in self.workers:
            each.settle()
        self.replace_parent()
        self.settle()
        self.assertEqual(self.parent.feed.confirmed, Moment(900.0, 900.0, by_wall=True))
        self.assertIs(self.parent.feed.state, State.STALE)
