"""The times of the last versions."""

from __future__ import annotations

from livefeed.document.snapshot import Sequence, Snapshot
from livefeed.feed.fanout import SLICE
from livefeed.feed.feed import Feed
from livefeed.feed.trace import VERSIONS, PullSteps, Trace
from livefeed.testing import publish
from tests.helpers.feeds import FeedTestCase, RecordingSubscriber


class TraceTests(FeedTestCase):
    """What is remembered of versions."""

    def test_found_by_version_and_sequence(self) -> None:
        """A beginning is enough; the name is not a pattern."""
        trace = Trace()
        snapshots = [Snapshot.of(b"%d" % number, Sequence(7, number)) for number in range(3)]
        for number, snapshot in enumerate(snapshots):
            trace.note_published(snapshot, float(number), 100.0 + number)
        one = snapshots[1]
        for name in (one.version, one.version[:6], "7.1"):
            self.assertEqual([each.version for each in trace.find(name)], [one.version])
        self.assertEqual([each.sequence for each in trace.find("newest")], ["7.2"])
        for name in ("", "7", "7.", "7.11", "x"):
            self.assertEqual([each for each in trace.find(name) if each.sequence == name], [])
        self.assertEqual((trace.find(""), Trace().find("newest")), ([], []))

    def test_only_the_last_are_kept(self) -> None:
        """Their number is limited."""
        trace = Trace()
        for number in range(VERSIONS + 1):
            trace.note_published(Snapshot.of(b"%d" % number, Sequence(7, number)), 0.0, 0.0)
        self.assertEqual((trace.find("7.0"), len(trace.find("7.1"))), ([], 1))

    def test_published_between(self) -> None:
        """The end of one span is the beginning of the next, and no version is in both."""
        trace = Trace()
        for number in range(3):
            trace.note_published(Snapshot.of(b"%d" % number, Sequence(7, number)), float(number), 0.0)
        found = [[each.sequence for each in trace.published_between(*span)] for span in ((-1.0, 0.0), (0.0, 2.0))]
        self.assertEqual(found, [["7.0"], ["7.1", "7.2"]])

    def test_steps(self) -> None:
        """Those of the pull belong to the snapshot that was pulled, and to no other."""
        trace = Trace()
        pulled, other = (Snapshot.of(data, Sequence(7, 1)) for data in (b"1", b"2"))
        trace.note_pulled(pulled, PullSteps(1.0, 2.0, 3.0))
        times = trace.note_published(pulled, 4.0, 100.0)
        self.assertEqual((times.asked_s, times.pulled_s, times.checked_s, times.published_s), (1.0, 2.0, 3.0, 4.0))
        trace.note_pulled(pulled, PullSteps(1.0, 2.0, 3.0))
        self.assertIsNone(trace.note_published(other, 4.0, 100.0).asked_s)
        trace.note_pulled(other, None)
        self.assertIsNone(trace.note_published(other, 4.0, 100.0).asked_s)

    def test_push(self) -> None:
        """From the first to the last subscriber; a repetition changes nothing, and one that is overtaken never ends."""
        feed = self.feed()
        for _ in range(SLICE + 1):
            feed.subscribe(RecordingSubscriber())
        publish(feed, b"1")
        (one,) = feed.trace.find("newest")
        now = self.clock.seconds()
        self.assertEqual((one.published_s, one.first_s, one.last_s), (now, now, None))
        self.clock.advance(0.25)
        self.assertEqual((one.last_s, one.subscribers), (now + 0.25, SLICE + 1))
        publish(feed, b"1")
        self.clock.advance(1)
        self.assertEqual((one.first_s, one.last_s), (now, now + 0.25))
        publish(feed, b"2")
        (two,) = feed.trace.find("newest")
        publish(feed, b"3")
        self.clock.advance(1)
        (three,) = feed.trace.find("newest")
        self.assertEqual((two.last_s, three.last_s is not None), (None, True))

    def test_changes(self) -> None:
        """A process tells another one of what has changed since it last told."""
        feed = self.feed()
        for _ in range(SLICE + 1):
            feed.subscribe(RecordingSubscriber())
        publish(feed, b"1")
        self.clock.advance(1)
        now = self.clock.seconds()
        publish(feed, b"2")
        found = {at: [each.sequence[-1] for each in feed.trace.changed_since(now + at)] for at in (-1, 0, 1)}
        self.assertEqual(found, {-1: ["1", "2"], 0: ["1", "2"], 1: []})
        self.clock.advance(1)
        self.assertEqual([each.sequence[-1] for each in feed.trace.changed_since(now + 1)], ["2"])

    def test_parts_have_none(self) -> None:
        """There can be many, and their whole has the times."""
        part = Feed("feed/a", clock=self.clock, whole=self.feed())
        publish(part, b"1")
        self.assertEqual(part.trace.find("newest"), [])
