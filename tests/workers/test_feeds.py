"""The feeds of a worker: the same as those of the parent, whatever happens to the link, and no work is done twice."""

from __future__ import annotations

import hashlib
import json
from math import inf
from typing import TYPE_CHECKING, Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, eventAsText
from twisted.trial.unittest import SynchronousTestCase

from livefeed.clocks import Moment
from livefeed.config.settings import FeedSettings
from livefeed.document import history as history_module
from livefeed.document import snapshot as snapshot_module
from livefeed.document.history import DeltaForm
from livefeed.document.patch import apply_patch
from livefeed.document.snapshot import Sequence, Snapshot
from livefeed.document.splices import apply_splices
from livefeed.exceptions import LinkError
from livefeed.feed.notice import Notice
from livefeed.feed.state import State
from livefeed.testing import publish
from livefeed.workers.feed_events import EVENT, CodedFacts, FeedEvent, PatchFacts, SnapshotFacts
from livefeed.workers.messages import Message, message_of
from tests.helpers.links import ParentTwin, WorkerTwin
from tests.helpers.signers import make_signer

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.feed.feed import Feed

DOCUMENTS = [json.dumps({"n": number, "rest": "x" * 200}).encode() for number in range(4)]

DOCUMENT = b"x" * 200
"""Bytes that are in each message with a document, and in no other."""

EARLIER = Moment(5.0, 5.0)
notices = st.sampled_from(
    [
        Notice(),
        Notice(State.HELD, "a rule", EARLIER, "rule"),
        Notice(State.HELD, "a recount", None, "hold"),
        Notice(State.HELD, "", EARLIER, "pin", EARLIER),
        Notice(State.WITHDRAWN, "wrong", None, "withdraw"),
        Notice(State.ENDED, "", None, "end"),
    ]
)
transitions = st.one_of(
    st.tuples(st.just("heed"), notices),
    st.tuples(st.just("note_held"), st.just(None)),
    st.tuples(st.just("show"), st.integers(0, 3), notices),
    st.tuples(st.just("publish_noticed"), st.integers(0, 3), notices),
    st.tuples(st.just("publish"), st.integers(0, 3), st.booleans()),
    st.tuples(st.just("begin_tick")),
    st.tuples(st.just("skip_tick")),
    st.tuples(st.just("mark_stale"), st.text(max_size=3)),
    st.tuples(st.just("confirm")),
    st.tuples(st.just("add_codings")),
    st.tuples(st.just("advance"), st.sampled_from([0.1, 1.0, 2.5, 10.0, 60.0])),
    st.tuples(
        st.just("configure"),
        st.sampled_from(["tick", "change"]),
        st.sampled_from([0.0, 2.0, 15.0]),
        st.sampled_from([20.0, 40.0, inf]),
    ),
    st.tuples(st.just("start_watching"), st.sampled_from([3.0, 30.0])),
    st.tuples(st.just("decide"), st.sampled_from([None, State.HELD, State.ENDED, State.WITHDRAWN])),
)
of_the_link = st.one_of(
    st.tuples(st.just("read"), st.integers(1, 4)),
    st.tuples(st.just("answer"), st.integers(1, 4)),
    st.tuples(st.just("settle")),
    st.tuples(st.just("reconnect")),
    st.tuples(st.just("restart")),
)


class Watcher:
    """A subscriber that records the version and the state at each message."""

    def __init__(self, feed: Feed, **options: Any) -> None:
        self.feed = feed
        self.seen: list[tuple[str, Sequence, str]] = []
        self.expiries = 0
        feed.subscribe(self, expire=self.expire, **options)

    def send(self, snapshot: Snapshot) -> None:
        self.seen.append((snapshot.version, snapshot.sequence, self.feed.state.value))

    def expire(self) -> None:
        self.expiries += 1

    def drop(self) -> None:
        raise AssertionError


def make_with_notice(feed: Feed, name: str, number: int, notice: Notice) -> None:
    """Makes a transition to a version and a notice in one step."""
    snapshot = Snapshot.of(DOCUMENTS[number], feed.next_sequence())
    if feed.snapshot is not None and feed.snapshot.version == snapshot.version:
        snapshot = feed.snapshot
    if name == "show":
        feed.show(snapshot, notice, confirmed=EARLIER)
    else:
        feed.publish(snapshot, notice=notice)


def make(parent: ParentTwin, name: str, arguments: tuple[Any, ...]) -> None:
    """Makes a transition of the parent's feed."""
    feed = parent.feed
    if name == "publish":
        publish(feed, DOCUMENTS[arguments[0]], is_tick=arguments[1])
    elif name in ("show", "publish_noticed"):
        make_with_notice(feed, name, *arguments)
    elif name == "confirm":
        # As the puller does: any other pull is published, or skipped.
        if feed.freshness is State.LIVE:
            feed.confirm(parent.clock.seconds())
    elif name == "add_codings":
        if feed.snapshot is not None:
            feed.add_codings(feed.snapshot, {"slow": b"small"})
    elif name == "advance":
        parent.clock.advance(*arguments)
    elif name == "configure":
        push, stale_s, gone_s = arguments
        feed.configure(interval_s=1.0, push=push, stale_after_s=stale_s, gone_after_s=gone_s, max_delta_bytes=99_999)
    else:
        getattr(feed, name)(*arguments)


class DifferentialTests(SynchronousTestCase):
    def assert_same(self, worker: WorkerTwin, parent: ParentTwin) -> None:
        ours, theirs = worker.feed, parent.feed
        self.assertEqual((ours.picture(), ours.told), (theirs.picture(), theirs.told))
        self.assertEqual(ours.snapshot is None, theirs.snapshot is None)
        if ours.snapshot is not None and theirs.snapshot is not None:
            mine, others = ours.snapshot, theirs.snapshot
            self.assertEqual((mine.version, mine.sequence), (others.version, others.sequence))
            # If it has changed and changed back, a worker may still have a slow coding of the same bytes.
            self.assertEqual(mine.representations | others.representations, mine.representations)
        self.assertEqual((ours.age_s(), ours.next_tick_s()), (theirs.age_s(), theirs.next_tick_s()))
        self.assertEqual(ours.fanout.is_withheld, theirs.fanout.is_withheld)
        self.assertEqual({*ours.history.versions()}, {*theirs.history.versions()})
        self.assertEqual((ours.hashes_made, ours.codings_made, ours.history.made), (0, 0, 0))

    @given(st.lists(transitions, max_size=30))
    @settings(max_examples=80, deadline=None)
    def test_subscribers_of_a_worker_that_keeps_up(self, steps: list[tuple[Any, ...]]) -> None:
        """They are sent exactly what subscribers in the parent would be sent: repeats, states and expiries, too."""
        parent = ParentTwin()
        worker = parent.worker()
        options: list[dict[str, Any]] = [{}, {"repeats": False}, {"with_state": True}]
        theirs, ours = ([Watcher(feed, **each) for each in options] for feed in (parent.feed, worker.feed))
        for name, *arguments in steps:
            make(parent, name, tuple(arguments))
            worker.settle()
            # The settings of a feed and decisions are sent as a picture, which repeats the state.
            if name in ("configure", "start_watching", "decide", "heed", "show", "publish_noticed"):
                for a, b in zip(theirs, ours, strict=True):
                    a.seen = [*b.seen]
            for a, b in zip(theirs, ours, strict=True):
                self.assertEqual(b.seen, a.seen)
                self.assertEqual(b.expiries, a.expiries)
            self.assert_same(worker, parent)
        worker.close()
        parent.close()

    @example([("publish", 1, False), ("publish", 0, False), ("publish", 1, False), ("configure", "change", 0.0, 20.0)])
    @given(st.lists(transitions | of_the_link, max_size=40))
    @settings(max_examples=150, deadline=None)
    def test_any_link(self, steps: list[tuple[Any, ...]]) -> None:
        """Slow, cut and new links lose no last version, and no subscriber is sent an older one after a newer one."""
        parent = ParentTwin()
        worker = parent.worker()
        watcher = Watcher(worker.feed, with_state=True)
        for name, *arguments in steps:
            if name in ("read", "answer"):
                for _ in range(arguments[0]):
                    getattr(worker, name)()
            elif name == "settle":
                worker.settle()
            elif name == "reconnect":
                worker.connect()
            elif name == "restart":
                worker.close()
                worker = parent.worker()
                watcher = Watcher(worker.feed, with_state=True)
            else:
                make(parent, name, tuple(arguments))
            self.assertLessEqual(len(worker.to_worker.queue), 20)
            # A version on its way, and then its slower codings.
            self.assertLessEqual(sum(DOCUMENT in each for each in worker.to_worker.queue), 1)
            sequences = [sequence for _, sequence, _ in watcher.seen]
            self.assertEqual(sequences, sorted(sequences))
        worker.settle()
        # A change of state that was due while the event was on its way is made in the next turn of the reactor.
        parent.clock.advance(0)
        self.assert_same(worker, parent)
        if watcher.seen and worker.feed.snapshot is not None:
            self.assertEqual(watcher.seen[-1][1], worker.feed.snapshot.sequence)
        worker.close()
        parent.close()


class TwinTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.parent = ParentTwin()
        self.addCleanup(self.parent.close)
        self.clock, self.theirs = self.parent.clock, self.parent.feed
        self.worker = self.connect()

    def connect(self) -> WorkerTwin:
        worker = self.parent.worker()
        self.addCleanup(worker.close)
        return worker

    def publish(self, number: int) -> None:
        publish(self.theirs, DOCUMENTS[number])

    def version_of(self, number: int) -> str:
        return Snapshot.bare(DOCUMENTS[number], Sequence(1, 1)).version


class WorkTests(TwinTestCase):
    def test_nothing_is_computed_twice(self) -> None:
        """A version reaches a worker without a hash, a compression or a comparison; so does its patch."""
        self.publish(0)
        self.worker.settle()
        self.worker.feed.history.delta(DeltaForm.PATCH, self.version_of(0))
        self.worker.settle()
        computed: list[str] = []
        self.publish(1)
        self.theirs.add_codings(self.theirs.snapshot or self.fail(), {"slow": b"small"})
        for module, name in ((hashlib, "sha256"), (snapshot_module, "compress"), (snapshot_module, "compress_well")):
            self.patch(module, name, lambda *_, name=name: computed.append(name))
        self.patch(history_module, "diff", lambda *_: computed.append("diff"))
        self.worker.settle()
        self.assertEqual(computed, [])
        assert self.worker.feed.snapshot is not None
        self.assertEqual(self.worker.feed.snapshot, self.theirs.snapshot)
        self.assertIn("slow", self.worker.feed.snapshot.representations)
        self.assertEqual((self.theirs.codings_made, self.theirs.hashes_made > 0), (7, True))

    def test_a_repeated_version_has_no_payload(self) -> None:
        """A tick without a change costs the link some hundred bytes; so does a reconnect."""
        self.publish(0)
        self.worker.settle()
        sent = self.parent.broadcast.payload_bytes
        self.publish(0)
        self.worker.settle()
        self.worker.connect()
        self.worker.settle()
        self.assertEqual(self.parent.broadcast.payload_bytes, sent)
        self.assertGreater(sent, len(DOCUMENTS[0]))

    def test_messages_are_made_once(self) -> None:
        """All workers that have the same are sent the same message."""
        others = [self.connect() for _ in range(3)]
        self.publish(0)
        messages = {id(worker.to_worker.sent[-1]) for worker in (self.worker, *others)}
        self.assertEqual(len(messages), 1)


class PatchTests(TwinTestCase):
    def test_patches_come_with_the_version(self) -> None:
        """Once a client of any worker uses patches, the next version brings one, and no worker has to ask."""
        self.publish(0)
        self.worker.settle()
        self.publish(1)
        self.worker.settle()
        history = self.worker.feed.history
        # The first is asked for, and the client is sent the document meanwhile.
        self.assertIsNone(history.delta(DeltaForm.PATCH, self.version_of(0)))
        self.assertIsNone(history.delta(DeltaForm.PATCH, self.version_of(0)))
        questions = [each for each in self.worker.to_parent.sent if each.type == "patch"]
        self.assertEqual(len(questions), 1)
        self.worker.settle()
        patch = history.delta(DeltaForm.PATCH, self.version_of(0))
        assert patch is not None
        self.assertEqual(json.loads(apply_patch(DOCUMENTS[0], patch)), json.loads(DOCUMENTS[1]))
        for number in (2, 3):
            self.publish(number)
            self.worker.settle()
            patch = history.delta(DeltaForm.PATCH, self.version_of(number - 1))
            assert patch is not None
            self.assertEqual(json.loads(apply_patch(DOCUMENTS[number - 1], patch)), json.loads(DOCUMENTS[number]))
            self.worker.settle()
        questions = [each for each in self.worker.to_parent.sent if each.type == "patch"]
        self.assertEqual((len(questions), history.made, self.theirs.history.made), (1, 0, 3))

    def test_splices_come_with_the_version(self) -> None:
        """They travel beside the patch, and no worker makes any: each form is asked for, and wanted, by itself."""
        self.publish(0)
        self.worker.settle()
        self.publish(1)
        self.worker.settle()
        history = self.worker.feed.history
        for form in DeltaForm:
            self.assertIsNone(history.delta(form, self.version_of(0)))
        self.worker.settle()
        for number in (1, 2, 3):
            old, new = DOCUMENTS[number - 1], DOCUMENTS[number]
            patch, splices = (history.delta(form, self.version_of(number - 1)) for form in DeltaForm)
            assert patch is not None
            assert splices is not None
            self.assertEqual(json.loads(apply_patch(old, patch)), json.loads(new))
            self.assertEqual(apply_splices(old, json.loads(splices), len(new)), new)
            self.worker.settle()
            if number < 3:
                self.publish(number + 1)
                self.worker.settle()
        questions = [each for each in self.worker.to_parent.sent if each.type == "patch"]
        self.assertEqual((len(questions), history.made, self.theirs.history.made), (2, 0, 6))
        # Splices alone come alone.
        self.publish(0)
        self.worker.settle()
        history.want(DeltaForm.SPLICES)
        self.worker.settle()
        self.publish(1)
        self.worker.settle()
        self.assertEqual([form for form, _ in history._deltas], [DeltaForm.SPLICES])

    def test_first_patch_comes_with_the_version(self) -> None:
        """The parent is told as soon as a client has the version before, and once for each version."""
        self.publish(0)
        self.worker.settle()
        history = self.worker.feed.history
        for _ in range(2):
            history.want(DeltaForm.PATCH)
        self.assertEqual([each.type for each in self.worker.to_parent.sent].count("wanted"), 1)
        self.worker.settle()
        self.publish(1)
        self.worker.settle()
        self.assertIsNotNone(history.delta(DeltaForm.PATCH, self.version_of(0)))
        self.assertEqual([each.type for each in self.worker.to_parent.sent].count("patch"), 0)

    def test_patches_that_nobody_uses(self) -> None:
        """They are not made, from the second version on that nobody has used one to."""
        self.publish(0)
        self.publish(1)
        self.worker.settle()
        self.worker.feed.history.delta(DeltaForm.PATCH, self.version_of(0))
        self.worker.settle()
        for number in (2, 3, 0, 1):
            self.publish(number)
            self.worker.settle()
        self.assertEqual(self.theirs.history.made, 2)

    def test_patches_that_the_parent_does_not_have(self) -> None:
        """A worker asks once, and its clients are sent documents."""
        self.publish(0)
        self.publish(1)
        self.worker.settle()
        history = self.worker.feed.history
        self.theirs.history.max_document_bytes = 10
        for _ in range(3):
            self.assertIsNone(history.delta(DeltaForm.PATCH, self.version_of(0)))
            self.worker.settle()
        self.assertEqual(self.worker.to_worker.sent[-1].facts["found"], False)
        self.assertIsNone(history.delta(DeltaForm.PATCH, "f" * 32))
        self.assertIsNone(history.delta(DeltaForm.PATCH, None))
        self.assertEqual(len([each for each in self.worker.to_parent.sent if each.type == "patch"]), 1)

    def test_answers_that_come_late(self) -> None:
        """A patch to an older version is not kept, and a question about one is not answered."""
        self.publish(0)
        self.publish(1)
        self.worker.settle()
        self.worker.feed.history.delta(DeltaForm.PATCH, self.version_of(0))
        self.publish(2)
        while self.worker.answer():
            pass
        self.worker.settle()
        self.assertEqual([each for each in self.worker.to_worker.sent if each.type == "patch"], [])
        late = PatchFacts("feed", self.version_of(0), self.version_of(1), found=True)
        self.worker.service.receive_patch(message_of("patch", late, (b"[]",)), late)
        self.assertIsNone(self.worker.feed.history.delta(DeltaForm.PATCH, self.version_of(0)))

    def test_large_patches_are_made_in_a_thread(self) -> None:
        """The workers that ask meanwhile are answered when it is ready, one patch after the other."""
        waiting: list[Deferred[bytes]] = []
        work: list[Callable[[], bytes]] = []

        def in_thread(make: Callable[..., bytes], *arguments: bytes) -> Deferred[bytes]:
            work.append(lambda: make(*arguments))
            waiting.append(Deferred())
            return waiting[-1]

        parent = ParentTwin(self.clock, in_thread=in_thread)
        self.addCleanup(parent.close)
        workers = [parent.worker() for _ in range(2)]
        documents = [json.dumps([number, "x" * 70_000]).encode() for number in range(3)]
        versions = []
        for document in documents:
            publish(parent.feed, document)
            versions.append(parent.feed.snapshot.version if parent.feed.snapshot else "")
            for worker in workers:
                worker.settle()
        for worker in workers:
            worker.feed.history.delta(DeltaForm.PATCH, versions[1])
            worker.feed.history.delta(DeltaForm.PATCH, versions[0])
            worker.settle()
        self.assertEqual(len(waiting), 1)
        for number in range(2):
            waiting[number].callback(work[number]())
        self.assertEqual(len(waiting), 2)
        for worker in workers:
            worker.settle()
            for version, document in zip(versions, documents[:2], strict=False):
                patch = worker.feed.history.delta(DeltaForm.PATCH, version)
                assert patch is not None
                self.assertEqual(json.loads(apply_patch(document, patch)), json.loads(documents[2]))
            worker.close()

    def test_a_patch_that_fails(self) -> None:
        """The question is answered, too."""
        failed: Deferred[bytes] = Deferred()
        parent = ParentTwin(self.clock, in_thread=lambda *_: failed)
        self.addCleanup(parent.close)
        worker = parent.worker()
        documents = [json.dumps([number, "x" * 70_000]).encode() for number in range(2)]
        for document in documents:
            publish(parent.feed, document)
            worker.settle()
        worker.feed.history.delta(DeltaForm.PATCH, worker.feed.history.versions()[0])
        worker.settle()
        failed.errback(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 0)
        self.assertEqual(worker.to_worker.sent[-1].facts["found"], False)
        worker.close()
        failed.addErrback(lambda _: None)


class SlowWorkerTests(TwinTestCase):
    def test_only_the_newest(self) -> None:
        """While a worker does not read, one version is on its way; then it is sent the newest, and nothing between."""
        watcher = Watcher(self.worker.feed, repeats=False)
        sent = self.parent.broadcast.payload_bytes
        for number in range(100):
            self.theirs.begin_tick()
            publish(self.theirs, b"[%d]" % number)
            self.clock.advance(1)
        self.assertLess(self.parent.broadcast.payload_bytes - sent, 100)
        self.assertLess(len(self.worker.to_worker.queue), 5)
        self.worker.settle()
        assert self.theirs.snapshot is not None
        self.assertEqual([sequence.number for _, sequence, _ in watcher.seen], [1, 100])
        self.assertEqual(watcher.seen[-1][0], self.theirs.snapshot.version)

    def test_failing_ticks_do_not_queue(self) -> None:
        """Events without a version are bounded as well."""
        for _ in range(100):
            self.theirs.begin_tick()
            self.theirs.mark_stale("away")
        self.assertLess(len(self.worker.to_worker.queue), 10)
        self.worker.settle()
        self.assertEqual(self.worker.feed.picture(), self.theirs.picture())

    def test_a_worker_that_was_suspended(self) -> None:
        """What it reads late counts from the time at which it happened."""
        self.theirs.start_watching(3.0)
        self.worker.settle()
        self.publish(0)
        self.clock.advance(2.5)
        self.worker.settle()
        self.assertIs(self.worker.feed.state, State.LIVE)
        self.clock.advance(0.6)
        self.assertIs(self.worker.feed.state, State.STALE)


class OrphanTests(TwinTestCase):
    def test_a_worker_without_a_parent(self) -> None:
        """Its feed becomes stale by its own patience and then expires, and keeps its document; the log has no line."""
        self.theirs.configure(interval_s=1.0, push="tick", stale_after_s=0, gone_after_s=60.0, max_delta_bytes=9)
        self.theirs.start_watching(4.0)
        self.publish(0)
        self.worker.settle()
        watcher = Watcher(self.worker.feed, with_state=True)
        self.parent.close()
        with capturedLogs() as events:
            self.clock.advance(4.1)
            self.assertIs(self.worker.feed.state, State.STALE)
            self.clock.advance(60)
            self.assertIs(self.worker.feed.state, State.EXPIRED)
        self.assertEqual(events, [])
        self.assertEqual([state for *_, state in watcher.seen], ["live", "stale", "expired"])
        self.assertIsNotNone(self.worker.feed.snapshot)

    def test_a_picture_of_a_lapsed_feed(self) -> None:
        """A worker that starts while the feed is stale by silence knows that, and is live again with its parent."""
        self.theirs.start_watching(4.0)
        self.publish(0)
        self.clock.advance(5)
        worker = self.connect()
        self.assertIs(worker.feed.state, State.STALE)
        self.assertEqual(worker.feed.picture(), self.theirs.picture())
        self.theirs.skip_tick()
        worker.settle()
        self.assertIs(worker.feed.state, State.LIVE)

    def test_a_new_parent_that_has_pulled_nothing(self) -> None:
        """The worker keeps its document, and its state until that lapses."""
        self.theirs.start_watching(4.0)
        self.publish(1)
        self.worker.settle()
        newest = self.worker.feed.snapshot
        parent = ParentTwin(self.clock)
        self.addCleanup(parent.close)
        self.worker.parent = parent
        self.worker.connect()
        self.worker.settle()
        self.assertIs(self.worker.feed.snapshot, newest)
        self.assertIs(self.worker.feed.state, State.LIVE)
        parent.feed.mark_stale("away")
        self.worker.settle()
        self.assertIs(self.worker.feed.state, State.STALE)
        # Its versions are later than those of the old parent, although the clock stands still.
        publish(parent.feed, DOCUMENTS[2])
        self.worker.settle()
        self.assertEqual(self.worker.feed.snapshot, parent.feed.snapshot)
        assert newest is not None
        assert parent.feed.snapshot is not None
        self.assertGreater(parent.feed.snapshot.sequence, newest.sequence)

    def test_a_new_parent_with_the_same_version(self) -> None:
        """The sequence is that of the parent: it is the same on all workers."""
        self.publish(1)
        self.worker.settle()
        self.clock.advance(1)
        parent = ParentTwin(self.clock)
        self.addCleanup(parent.close)
        publish(parent.feed, DOCUMENTS[1])
        self.worker.parent = parent
        self.worker.connect()
        self.worker.settle()
        self.assertEqual(self.worker.feed.snapshot, parent.feed.snapshot)
        self.assertEqual(parent.broadcast.payload_bytes, 0)

    def test_a_new_parent_that_pulls_the_same_version(self) -> None:
        """The same holds if the worker comes before the pull: no client sees that the sequence goes back."""
        self.publish(1)
        self.worker.settle()
        self.clock.advance(1)
        parent = ParentTwin(self.clock)
        self.addCleanup(parent.close)
        self.worker.parent = parent
        self.worker.connect()
        self.worker.settle()
        publish(parent.feed, DOCUMENTS[1])
        self.worker.settle()
        self.assertEqual(self.worker.feed.snapshot, parent.feed.snapshot)
        self.assertEqual(self.worker.feed.fanout.newest, parent.feed.snapshot)
        self.assertEqual(parent.broadcast.payload_bytes, 0)

    def test_a_patch_after_an_older_version(self) -> None:
        """It leads from the version that was ignored, and is not sent to clients with the newer one."""
        parent = ParentTwin(self.clock)
        self.addCleanup(parent.close)
        publish(parent.feed, DOCUMENTS[0])
        other = parent.worker()
        self.addCleanup(other.close)
        self.clock.advance(1)
        self.publish(1)
        self.worker.settle()
        newer = Snapshot.bare(DOCUMENTS[1], Sequence(1, 1)).version
        self.worker.parent = parent
        self.worker.connect()
        self.worker.settle()
        other.service.history.use(DeltaForm.PATCH, self.version_of(0))
        other.settle()
        publish(parent.feed, DOCUMENTS[2])
        self.worker.settle()
        assert self.worker.feed.snapshot is not None
        self.assertEqual(self.worker.feed.snapshot.data, DOCUMENTS[2])
        self.assertIsNone(self.worker.feed.history.delta(DeltaForm.PATCH, newer))

    def test_an_older_version(self) -> None:
        """It never replaces a newer one, and the log says so once. The next version of that parent does."""
        parent = ParentTwin(self.clock)
        self.addCleanup(parent.close)
        publish(parent.feed, DOCUMENTS[0])
        self.clock.advance(1)
        late = ParentTwin(self.clock)
        self.addCleanup(late.close)
        publish(late.feed, DOCUMENTS[1])
        worker = late.worker()
        self.addCleanup(worker.close)
        worker.parent = parent
        with capturedLogs() as events:
            for _ in range(2):
                worker.connect()
                worker.settle()
                publish(parent.feed, DOCUMENTS[0])
                worker.settle()
        lines = [eventAsText(each) for each in events if "the parent has an older version" in eventAsText(each)]
        self.assertEqual(len(lines), 1)
        assert worker.feed.snapshot is not None
        self.assertEqual(worker.feed.snapshot.data, DOCUMENTS[1])
        publish(parent.feed, DOCUMENTS[2])
        worker.settle()
        self.assertEqual(worker.feed.snapshot.data, DOCUMENTS[2])


class PlacesTests(TwinTestCase):
    def take(self, settings: FeedSettings) -> None:
        service = self.worker.service
        service.take(service.prepare(settings))

    def test_places(self) -> None:
        """A limited feed has no places until the parent has granted some."""
        service = self.worker.service
        self.assertFalse(service.published.full())
        self.take(FeedSettings(max_subscribers=2))
        self.assertTrue(service.published.full())
        service.published.places = 1
        self.assertFalse(service.published.full())
        Watcher(self.worker.feed)
        self.assertTrue(service.published.full())
        self.take(FeedSettings(max_subscribers=3))
        self.assertEqual(service.published.places, 1)
        self.take(FeedSettings())
        self.assertFalse(service.published.full())


class ImpossibleEventTests(TwinTestCase):
    def test_impossible_events(self) -> None:
        """They end the link, and the feed stays as it was."""
        for event in (
            FeedEvent("feed", "publish", 0.0),
            FeedEvent("feed", "picture", 0.0),
            FeedEvent("feed", "publish", 0.0, snapshot=SnapshotFacts("aa", (2, 1))),
            FeedEvent("feed", "publish", 0.0, snapshot=SnapshotFacts("aa", (2, 1), [CodedFacts("identity", "", 3)])),
        ):
            with self.assertRaises(LinkError):
                self.worker.service.receive(Message(EVENT), event)
        self.assertIsNone(self.worker.feed.snapshot)
        with self.assertRaisesRegex(LinkError, "a message feed cannot be read"):
            Message(EVENT, {"feed": "feed", "event": "explode", "at_s": 1.0}).read(FeedEvent)


class StatementTests(TwinTestCase):
    """The statements that the parent signs."""

    def setUp(self) -> None:
        super().setUp()
        self.signer = self.theirs.signer = make_signer(self.clock.seconds)

    def assert_same(self, worker: WorkerTwin) -> None:
        worker.settle()
        self.assertEqual(worker.feed.signed(), self.theirs.signed())

    def test_passed_on(self) -> None:
        """Workers show the statement of each tick and decision, byte for byte, and sign nothing."""
        self.publish(0)
        self.assert_same(self.worker)
        self.assertIsNotNone(self.worker.feed.signed())
        for change in (
            lambda: self.publish(0),
            lambda: self.publish(1),
            lambda: self.theirs.mark_stale("away"),
            self.theirs.skip_tick,
            self.theirs.note_held,
            lambda: self.theirs.decide(State.HELD),
            lambda: self.theirs.decide(State.WITHDRAWN),
            lambda: self.theirs.decide(None),
            lambda: self.theirs.confirm(self.clock.seconds()),
        ):
            self.clock.advance(1.0)
            change()
            self.assert_same(self.worker)
        late = self.connect()
        self.assert_same(late)
        self.assertIsNone(late.feed.signer)

    def test_before_the_push(self) -> None:
        """A subscriber of a worker is sent a version with its own statement."""
        seen: list[bool] = []
        feed = self.worker.feed

        class Reader(Watcher):
            def send(self, snapshot: Snapshot) -> None:
                seen.append(feed.signed() is not None and f"{snapshot.sequence}" in feed.signed().statement)  # type: ignore[union-attr]

        Reader(feed)
        for number in (0, 1, 0):
            self.publish(number)
            self.worker.settle()
        self.assertEqual(seen, [True] * 3)

    def test_no_more(self) -> None:
        """Without keys workers show no statement any more."""
        self.publish(0)
        self.assert_same(self.worker)
        self.signer.take(None)
        self.publish(0)
        self.assert_same(self.worker)
        self.assertIsNone(self.worker.feed.signed())

    def test_a_worker_that_knows_better(self) -> None:
        """A worker whose feed becomes stale by itself says so beside the last statement."""
        self.theirs.start_watching(3.0)
        self.publish(0)
        self.worker.settle()
        self.clock.advance(10)
        signed = self.worker.feed.signed()
        assert signed is not None
        self.assertEqual(self.worker.feed.state, State.STALE)
        self.assertIn("state=live", signed.statement)
