"""The report of /status."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed import __version__
from livefeed.admin.health import Health
from livefeed.admin.reports import NO_ORIGIN
from livefeed.admin.samples import Sample
from livefeed.admin.status import Status, StatusResource
from livefeed.testing import make_site, publish, request
from livefeed.tls.options import Validity
from livefeed.web.resources import Node
from livefeed.web.site import Site
from tests.helpers.desks import desk_of

NOW = 1_700_000_000.0


class StatusTests(SynchronousTestCase):
    """A report about one feed."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        made = make_site("scores", clock=self.clock)
        (self.published,) = made.published
        feeds: Any = [SimpleNamespace(published=self.published)]
        self.samples: list[Sample] = []
        self.status = Status(
            "green",
            feeds,
            Health(feeds),
            lambda: self.samples,
            NOW - 5,
            lambda: 5.04,
            [Validity(Path("/a.pem"), 0, NOW)],
            listen=("tcp:8080",),
        )

    def report(self) -> dict[str, Any]:
        """Gives the report as a client reads it."""
        root = Node(NO_ORIGIN)
        root.putChild(b"status", StatusResource(self.status))
        report: dict[str, Any] = json.loads(request(Site(root, reactor=self.clock), b"GET /status HTTP/1.1").body)
        return report

    def test_process(self) -> None:
        """Version, instance, process, times, and what the samples of all processes say."""
        self.samples += [
            Sample("connections", (), 3.0),
            Sample("max_connections", (), 100.0),
            Sample("answers_total", (("status", "200"),), 5.0),
            Sample("answers_total", (("status", "503"),), 2.0),
        ]
        report = self.report()
        self.assertEqual((report["livefeed"], report["instance"], report["pid"]), (__version__, "green", os.getpid()))
        self.assertEqual((report["started_at"], report["uptime_s"]), ("2023-11-14T22:13:15.000Z", 5.0))
        self.assertEqual(report["connections"], {"open": 3, "most": 100, "refused": None})
        self.assertEqual((report["answers"], report["listen"]), (7, ["tcp:8080"]))
        self.assertEqual(report["certificates"], [{"file": "/a.pem", "expires_at": "2023-11-14T22:13:20.000Z"}])
        self.assertEqual((report["ready"], report["draining"], report["workers"]), (False, False, []))

    def test_other_parts(self) -> None:
        """The reports of workers, and the beginning of a drain."""
        self.status.workers = lambda: [{"pid": 1}]
        self.status.is_draining = lambda: True
        report = self.report()
        self.assertEqual((report["workers"], report["draining"]), ([{"pid": 1}], True))

    def test_certificates_that_are_refused(self) -> None:
        """The reasons, as of now."""
        self.assertEqual(self.report()["certificate_refusals"], [])
        self.status.certificate_refusals = lambda: ["/k.pem: it is no key"]
        self.assertEqual(self.report()["certificate_refusals"], ["/k.pem: it is no key"])

    def test_feed_before_the_first_document(self) -> None:
        """It has no version and no age, and a reason."""
        (feed,) = self.report()["feeds"]
        self.assertEqual((feed["name"], feed["state"], feed["reason"]), ("scores", "stale", "nothing was pulled yet"))
        self.assertEqual([feed[name] for name in ("version", "sequence", "age_s", "confirmed_at", "bytes")], [None] * 5)

    def test_live_feed(self) -> None:
        """It has a version, and no reason."""
        publish(self.published.feed, b"[1]")
        self.clock.advance(1.5)
        self.samples += [
            Sample("subscribers", (("feed", "scores"), ("by", "events")), 2.0),
            Sample("subscribers", (("feed", "other"), ("by", "events")), 4.0),
        ]
        report = self.report()
        (feed,) = report["feeds"]
        self.assertTrue(report["ready"])
        self.assertEqual((feed["state"], feed["reason"], feed["age_s"], feed["bytes"]), ("live", None, 1.5, 3))
        self.assertEqual(feed["sequence"], "1700000000000.1")
        self.assertEqual(feed["watchers"], {"websocket": 0, "events": 2, "waiting": 0})
        self.assertIsNone(feed["last_error"])

    def test_feed_that_fails(self) -> None:
        """The reason is that of the log, and the last error stays with its time when the feed is live again."""
        publish(self.published.feed, b"[1]")
        self.published.feed.mark_stale("redis: connection refused")
        (feed,) = self.report()["feeds"]
        self.assertEqual((feed["state"], feed["reason"]), ("stale", "redis: connection refused"))
        self.assertIsNone(feed["last_error"]["recovered_since_s"])
        self.clock.advance(1)
        publish(self.published.feed, b"[1]")
        self.clock.advance(2.5)
        publish(self.published.feed, b"[2]")
        (feed,) = self.report()["feeds"]
        self.assertEqual((feed["state"], feed["reason"]), ("live", None))
        error = {"why": "redis: connection refused", "at": "2023-11-14T22:13:20.000Z", "recovered_since_s": 2.5}
        self.assertEqual(feed["last_error"], error)

    def test_desk(self) -> None:
        """The decision, the document that waits and the alarms of a feed that is pulled here."""
        (feed,) = self.report()["feeds"]
        self.assertEqual((feed["decision"], feed["waiting"], feed["alarms"]), (None, None, []))
        desk = desk_of(self.published.feed)
        self.status.desks = {"scores": SimpleNamespace(desk=desk, source_name="demo:")}
        self.successResultOf(Deferred.fromCoroutine(desk.hold(by="ana", reason="a recount")))
        desk.keep(b"[2]", None, "a recount")
        (feed,) = self.report()["feeds"]
        self.assertEqual((feed["state"], feed["decision"]["by"], feed["alarms"]), ("held", "ana", []))
        self.assertEqual(feed["source"], "demo:")
        self.assertEqual((feed["waiting"]["bytes"], feed["waiting"]["rule"]), (3, None))
        self.assertIsNone(feed["failing"])

    def test_source_that_fails_below_a_decision(self) -> None:
        """The reason is that of the decision, and the trouble of the source stands beside it."""
        publish(self.published.feed, b"[1]")
        desk = desk_of(self.published.feed)
        self.status.desks = {"scores": SimpleNamespace(desk=desk, source_name="demo:")}
        self.successResultOf(Deferred.fromCoroutine(desk.hold(by="ana", reason="a recount")))
        self.published.feed.mark_stale("redis: connection refused")
        self.clock.advance(4.25)
        report = self.report()
        (feed,) = report["feeds"]
        self.assertEqual((feed["state"], feed["reason"]), ("held", "a recount"))
        self.assertEqual(feed["failing"], {"why": "redis: connection refused", "for_s": 4.25})
        reason = 'feed "scores" is held, and would be stale: redis: connection refused'
        self.assertEqual((report["ready"], report["not_ready_because"]), (False, [reason]))
        answer = self.successResultOf(Deferred.fromCoroutine(desk.end(by="ana")))
        self.assertEqual((answer["failing"], self.report()["feeds"][0]["failing"]), (None, None))
