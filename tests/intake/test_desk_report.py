"""The reports about a desk."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.requirements import Required
from livefeed.document.rules import Rules, RuleSpec
from livefeed.document.selectors import parse_selector
from livefeed.document.snapshot import version_of
from livefeed.feed.feed import Feed
from livefeed.intake.desk_report import NOT_KEPT, answer_of, report_of
from livefeed.intake.puller import Puller
from livefeed.testing import MemorySource
from tests.helpers.desks import desk_of


class ReportTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.feed = Feed("results", clock=self.clock)
        rule = RuleSpec("complete", Required((parse_selector("/votes"),)), release_pulls=3, release_after_s=10.0)
        alarm = RuleSpec("dated", Required((parse_selector("/at"),)), action="alarm")
        self.desk = desk_of(self.feed, rules=Rules.compile((rule, alarm)))
        self.source = MemorySource()
        self.puller = Puller(self.feed, self.source, clock=self.clock, max_bytes=100, desk=self.desk)

    def pull(self, *documents: bytes) -> None:
        for each in documents:
            self.clock.advance(1)
            self.source.answers.append(each)
            self.successResultOf(Deferred.fromCoroutine(self.puller.tick()))

    def test_nothing_yet(self) -> None:
        """All members are there."""
        expected = {
            "feed": "results",
            "state": "stale",
            "decision": None,
            "version": None,
            "sequence": None,
            "waiting": None,
            "failing": None,
            "warning": NOT_KEPT,
        }
        self.assertEqual(answer_of(self.desk), expected)
        rest = {
            "reason": "nothing was pulled yet",
            "shown": None,
            "rules": [
                {"name": "complete", "kind": "required", "action": "hold", "released_until": None},
                {"name": "dated", "kind": "required", "action": "alarm", "released_until": None},
            ],
            "alarms": [],
            "overlay": [],
            "rollback_to": None,
            "versions": [],
        }
        self.assertEqual(report_of(self.desk), expected | rest)

    def test_everything(self) -> None:
        """The waiting document has its rule also while a decision holds, which nothing ends by itself."""
        self.pull(b'{"votes": 1}', b"[]", b"[]")
        waiting = report_of(self.desk)["waiting"]
        self.assertEqual((waiting["releases_in_s"], waiting["releases_after_pulls"]), (9.0, 1))
        self.successResultOf(Deferred.fromCoroutine(self.desk.hold(by="ana", reason="a recount")))
        report = report_of(self.desk)
        self.assertEqual(
            report["decision"],
            {"kind": "hold", "reason": "a recount", "by": "ana", "at": "1970-01-01T00:16:43.000Z", "version": None},
        )
        self.assertEqual(
            report["waiting"],
            {
                "version": version_of(b"[]"),
                "bytes": 2,
                "since": "1970-01-01T00:16:42.000Z",
                "for_s": 1.0,
                "rule": "complete",
                "pointer": "/votes",
                "why": "/votes is missing",
                "pulls": 2,
                "held_also": None,
                "releases_in_s": None,
                "releases_after_pulls": None,
            },
        )
        shown = report["shown"]
        self.assertEqual((shown["version"], shown["bytes"], shown["age_s"]), (version_of(b'{"votes": 1}'), 12, 2.0))
        self.assertEqual([each["rule"] for each in report["alarms"]], ["dated"])
        (version,) = report["versions"]
        self.assertEqual((version["version"], version["at"]), (shown["version"], "1970-01-01T00:16:41.000Z"))
