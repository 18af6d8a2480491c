"""The command trace."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.admin.tracing import MAX_MATCHES, Tracing, sent_deliveries
from livefeed.exceptions import CommandError
from livefeed.feed.trace import VERSIONS, PullSteps
from livefeed.testing import RecordingSubscriber, make_site, publish

NOW = 1_700_000_000.0


class TracingTests(SynchronousTestCase):
    """Reports about two feeds."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        made = make_site("a", "b", clock=self.clock)
        self.feeds = [published.feed for published in made.published]
        feeds: Any = [SimpleNamespace(published=published) for published in made.published]
        self.tracing = Tracing(feeds)

    def run_it(self, version: str) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(self.tracing.run({"version": version})))

    def refusal(self, arguments: dict[str, Any]) -> str:
        failure = self.failureResultOf(Deferred.fromCoroutine(self.tracing.run(arguments)), CommandError)
        return str(failure.value)

    def test_report(self) -> None:
        """Milliseconds from the beginning of the pull, of the process that serves everything."""
        feed = self.feeds[0]
        feed.subscribe(RecordingSubscriber())
        publish(feed, b"1")
        (times,) = feed.trace.find("newest")
        steps = PullSteps(NOW - 0.5, NOW - 0.25, NOW - 0.125)
        times.asked_s, times.pulled_s, times.checked_s = steps.asked_s, steps.pulled_s, steps.checked_s
        (report,) = self.run_it(times.version)
        self.assertEqual(
            report,
            {
                "feed": "a",
                "version": times.version,
                "sequence": times.sequence,
                "published_at": "2023-11-14T22:13:20.000Z",
                "asked_ms": 0.0,
                "pulled_ms": 250.0,
                "checked_ms": 375.0,
                "published_ms": 500.0,
                "deliveries": [
                    {"process": f"process {os.getpid()}", "first_ms": 500.0, "last_ms": 500.0, "subscribers": 1}
                ],
            },
        )

    def test_workers(self) -> None:
        """Their deliveries take the place of those of the parent, which has no subscribers; the last word counts."""
        publish(self.feeds[1], b"1")
        (times,) = self.feeds[1].trace.find("newest")
        self.tracing.report(1, "worker 1", [["b", times.version, NOW, None, 0], ["a", "other", NOW, None, 0]])
        self.tracing.report(0, "worker 0", [["b", times.version, NOW + 0.5, None, 0]])
        self.tracing.report(1, "worker 1", [["b", times.version, NOW, NOW + 0.25, 5]])
        (report,) = self.run_it("newest")
        self.assertEqual(
            report["deliveries"],
            [
                {"process": "worker 0", "first_ms": 500.0, "last_ms": None, "subscribers": 0},
                {"process": "worker 1", "first_ms": 0.0, "last_ms": 250.0, "subscribers": 5},
            ],
        )

    def test_longest_delay(self) -> None:
        """From the pull to the last delivery of any process, among the versions of a span of time."""
        one, other = self.feeds
        one.subscribe(RecordingSubscriber())
        publish(one, b"1")
        publish(other, b"2")
        (times,) = one.trace.find("newest")
        times.asked_s = NOW - 0.5
        # The other feed has no subscribers, so nothing of it was delivered.
        self.assertEqual(self.tracing.longest_delay_s(NOW - 1, NOW), 0.5)
        (version,) = other.trace.find("newest")
        self.tracing.report(0, "worker 0", [["b", version.version, NOW, NOW + 0.75, 2]])
        self.tracing.report(1, "worker 1", [["b", version.version, NOW, NOW + 9.0, 0]])
        self.assertEqual(self.tracing.longest_delay_s(NOW - 1, NOW), 0.75)
        for after_s, until_s in ((NOW, NOW + 1), (NOW - 2, NOW - 1)):
            self.assertIsNone(self.tracing.longest_delay_s(after_s, until_s))

    def test_sent_by_a_worker(self) -> None:
        """Its deliveries survive the way through JSON."""
        feed = self.feeds[0]
        publish(feed, b"1")
        (times,) = feed.trace.find("newest")
        message = json.loads(json.dumps(sent_deliveries(self.tracing.feeds, NOW)))
        self.assertEqual(message, [["a", times.version, NOW, NOW, 0]])
        self.assertEqual(sent_deliveries(self.tracing.feeds, NOW + 1), [])
        self.tracing.report(3, "worker 3", message)
        (report,) = self.run_it("newest")
        self.assertEqual([each["process"] for each in report["deliveries"]], ["worker 3"])

    def test_kept(self) -> None:
        """Those of the last versions of each feed are kept, and none of a feed that was removed or never was."""
        for number in range(VERSIONS + 1):
            self.tracing.report(0, "worker 0", [["a", str(number), NOW, NOW, 0], ["c", str(number), NOW, NOW, 0]])
        kept = self.tracing._of_workers
        self.assertEqual({feed: len(versions) for feed, versions in kept.items()}, {"a": VERSIONS, "b": 0})
        self.assertEqual(next(iter(kept["a"])), "1")
        self.tracing.feeds = [*self.tracing.feeds][1:]
        self.tracing.report(0, "worker 0", [])
        self.assertEqual([*self.tracing._of_workers], ["b"])

    def test_several(self) -> None:
        """The same document in two feeds has the same version; their number is limited."""
        for feed in self.feeds:
            publish(feed, b"1")
        self.assertEqual([each["feed"] for each in self.run_it("newest")], ["a", "b"])
        for number in range(2000):
            publish(self.feeds[0], b"%d" % number)
        digit = self.feeds[0].trace.find("newest")[0].version[0]
        self.assertLessEqual(len(self.run_it(digit)), MAX_MATCHES)

    def test_refused(self) -> None:
        """A version must be named, and must be one of the last ones."""
        self.assertEqual(self.refusal({}), "name a version, its beginning, a sequence, or newest")
        self.assertEqual(self.refusal({"version": "1.2"}), "1.2 is not among the last 60 versions of any feed")
