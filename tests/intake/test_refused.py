"""Refused documents reach the file once each, and nothing waits for the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, eventAsText
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.comparisons import NeverFalls
from livefeed.document.rules import Rules, RuleSpec
from livefeed.document.selectors import parse_selector
from livefeed.feed.feed import Feed
from livefeed.intake.puller import Puller
from livefeed.intake.refused import GATE, MAX_QUEUED, RefusedDocuments
from livefeed.testing import MemorySource
from tests.helpers.desks import desk_of

if TYPE_CHECKING:
    from livefeed.storage.ring import Kept


class FakeFile:
    def __init__(self) -> None:
        self.kept: list[Kept] = []
        self.closed = 0
        self.error: OSError | None = None

    def append(self, document: Kept) -> None:
        if self.error is not None:
            raise self.error
        self.kept.append(document)

    def close(self) -> None:
        self.closed += 1


class RefusedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.file = FakeFile()
        self.in_thread: Any = maybeDeferred
        self.refused = RefusedDocuments("results", self.file, self.call_thread, lambda: 1000.0)

    def call_thread(self, *call: Any) -> Any:
        return self.in_thread(*call)

    def documents(self) -> list[tuple[str, bytes]]:
        return [(each.facts.rule, each.data) for each in self.file.kept]

    def test_once_each(self) -> None:
        """A document that is pulled again is no other one; another rule is another reason. An empty one is none."""
        for data, rule in ((b"1", "a"), (b"1", "a"), (b"1", "b"), (b"2", "b"), (b"1", "b"), (b"", GATE), (b"", GATE)):
            self.refused.note(data, rule, "/p", "why")
        self.assertEqual(self.documents(), [("a", b"1"), ("b", b"1"), ("b", b"2"), ("b", b"1")])
        facts = self.file.kept[0].facts
        self.assertEqual((facts.at, facts.pointer, facts.why), (1000.0, "/p", "why"))

    def test_slow_disk(self) -> None:
        """One write is under way at a time, and the oldest of the others are left out. The file is closed behind it."""
        calls: list[tuple[Deferred[None], Any]] = []

        def slow(call: Any, document: Kept) -> Deferred[None]:
            calls.append((Deferred(), document))
            return calls[-1][0]

        self.in_thread = slow
        for number in range(10):
            self.refused.note(b"%d" % number, "a", "", "")
        self.refused.close()
        self.assertEqual((len(calls), self.file.closed), (1, 0))
        for number in range(1 + MAX_QUEUED):
            calls[number][0].callback(None)
        self.assertEqual([document.data for _, document in calls], [b"0", b"6", b"7", b"8", b"9"])
        self.assertEqual(self.file.closed, 1)
        self.refused.close()
        self.assertEqual(self.file.closed, 2)

    def test_full_disk(self) -> None:
        """It is logged once, until it works again."""
        with capturedLogs() as logged:
            self.file.error = OSError(28, "No space left on device")
            self.refused.note(b"1", "a", "", "")
            self.refused.note(b"2", "a", "", "")
            self.file.error = None
            self.refused.note(b"3", "a", "", "")
            self.file.error = OSError("broken")
            self.refused.note(b"4", "a", "", "")
        text = 'feed "results": refused documents cannot be kept: '
        self.assertEqual(
            [eventAsText(each, includeTimestamp=False, includeSystem=False) for each in logged],
            [
                f"{text}No space left on device",
                f"{text}broken",
            ],
        )
        self.assertEqual(self.documents(), [("a", b"3")])

    def test_pulls(self) -> None:
        """Documents that the gate or a rule refuses are kept; those that are too large are cut, and are not."""
        clock = Clock()
        clock.advance(1000)
        feed = Feed("results", clock=clock)
        rule = RuleSpec("votes", NeverFalls((parse_selector("/votes"),)))
        desk = desk_of(feed, rules=Rules.compile([rule]))
        desk.refused = self.refused
        source = MemorySource()
        puller = Puller(feed, source, clock=clock, max_bytes=20, desk=desk)
        for data in (b'{"votes": 2}', b"{", b'{"votes": 1}', b'{"votes": 1}', b" " * 21, b'{"votes": 3}'):
            source.answers.append(data)
            clock.advance(1)
            self.successResultOf(Deferred.fromCoroutine(puller.tick()))
        self.assertEqual(self.documents(), [(GATE, b"{"), ("votes", b'{"votes": 1}')])
        self.assertEqual(self.file.kept[1].facts.why, "/votes falls from 2 to 1")
