"""The figures: each has the current value, for any number of requests, and a request changes no figure."""

from __future__ import annotations

import platform
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactor, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from livefeed import __version__
from livefeed.admin.metrics import Figures, MetricsResource, of_workers
from livefeed.admin.reports import NO_ORIGIN
from livefeed.admin.samples import FAMILIES, Sample, total_of
from livefeed.document.requirements import Required
from livefeed.document.rules import Rules, RuleSpec
from livefeed.document.selectors import parse_selector
from livefeed.document.snapshot import Sequence
from livefeed.document.stored_version import StoredVersion
from livefeed.exceptions import SourceError
from livefeed.feed.state import State
from livefeed.process.line_writer import LineWriter
from livefeed.process.loop_lag import LoopLag
from livefeed.process.memory import Collector
from livefeed.testing import MemorySource, RecordingSubscriber, Response, make_site, request
from livefeed.tls.options import Validity
from livefeed.transport.pool import Pool
from livefeed.web.resources import Node
from livefeed.web.site import Site
from tests.helpers.guarded import protect

NOW = 1_700_000_000.0
DOCUMENT = b'{"rows": [%s]}' % b", ".join([b"1.50"] * 40)
OTHER = b'{"rows": [%s]}' % b", ".join([b"2.50"] * 40)
HANDSHAKE = (
    b"Upgrade: websocket",
    b"Connection: Upgrade",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


WORKERS = [
    {"index": 0, "generation": 1, "state": "ready", "restarts": 2, "canary_s": 0.5},
    {"index": 1, "generation": 1, "state": "ready", "restarts": 0, "canary_s": None},
    {"index": 2, "generation": 1, "state": "dead", "restarts": 1, "canary_s": None},
    {"index": 0, "generation": 0, "state": "draining", "restarts": 0, "canary_s": None},
]
"""Reports of workers, as ``/status`` has them."""


class MetricsTestCase(SynchronousTestCase):
    """A site with two feeds, of which the first is pulled."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.source = MemorySource()
        made = make_site("feed", "other", clock=self.clock, sources={"feed": self.source, "other": self.source})
        self.site = made.site
        self.served, self.other = made.published
        self.other.max_subscribers = 7
        self.puller, other_puller = made.pullers.values()
        reactor: Any = self.clock
        self.pool = Pool(reactor)
        self.addCleanup(self.pool._epoll.close)
        feeds: Any = [
            SimpleNamespace(puller=puller, published=published)
            for puller, published in ((self.puller, self.served), (other_puller, self.other))
        ]
        self.garbage = Collector(lambda: 0, self.clock)
        self.figures = Figures(feeds, feeds, self.site, self.pool, self.garbage, started_at=NOW)
        self.metrics = self.site_of(self.figures)

    def site_of(self, figures: Figures) -> Site:
        """Makes a site that serves the metrics."""
        root = Node(NO_ORIGIN)
        root.putChild(b"metrics", MetricsResource(figures.samples))
        return Site(root, reactor=self.clock)

    def pull(self, answer: bytes | Exception) -> None:
        self.source.answers.append(answer)
        self.successResultOf(Deferred.fromCoroutine(self.puller.tick()))

    def figure(self, name: str, **labels: str) -> float | None:
        """Gives a figure as Prometheus reads it; ``None`` if there is none."""
        answer = request(self.metrics, b"GET /metrics HTTP/1.1")
        self.assertEqual(answer.status, 200)
        values = [
            sample.value
            for family in text_string_to_metric_families(answer.body.decode())
            for sample in family.samples
            if sample.name == f"livefeed_{name}" and sample.labels == labels
        ]
        self.assertLessEqual(len(values), 1)
        return values[0] if values else None

    def of_feed(self, *names: str) -> list[float | None]:
        return [self.figure(name, feed="feed") for name in names]

    def open(self, path: bytes, *fields: bytes) -> None:
        """Begins to follow."""
        channel: Any = self.site.buildProtocol(None)
        channel.makeConnection(StringTransport())
        channel.dataReceived(b"\r\n".join([b"GET " + path + b" HTTP/1.1", b"Host: localhost", *fields, b"", b""]))


class FeedFigureTests(MetricsTestCase):
    """The figures of one feed."""

    def test_labels_are_those_of_the_table(self) -> None:
        """The table of families, of which the reference is made, has them in the same order."""
        self.pull(b"[1]")
        names = set()
        for sample in (*self.figures.samples(), *of_workers(WORKERS)):
            self.assertEqual(FAMILIES[sample.name].labels, tuple(name for name, _ in sample.labels), sample)
            names.add(sample.name)
        self.assertGreater(len(names), 40)

    def test_before_the_first_document(self) -> None:
        """A feed without a document has no time and no age, and 0 bytes and versions."""
        self.assertEqual(
            self.of_feed("confirmed_timestamp_seconds", "age_seconds", "document_bytes", "versions_total"),
            [None, None, 0, 0],
        )
        self.assertEqual(self.figure("state", feed="feed", state="stale"), 1)
        self.assertEqual(self.figure("max_subscribers", feed="other"), 7)

    def test_versions_after_a_restart(self) -> None:
        """Versions of the earlier process do not count, so that the counter never decreases."""
        self.served.feed.restore([StoredVersion(b"[]", Sequence(1, 500), NOW - 1.0)])
        counted = [self.figure("versions_total", feed="feed")]
        for document in (b"[1]", b"[1]", b"[2]"):
            self.pull(document)
            counted.append(self.figure("versions_total", feed="feed"))
        self.assertEqual(counted, [0, 1, 1, 2])

    def test_pulls(self) -> None:
        """Good ones and failed ones are counted, and the state and the time follow."""
        self.pull(DOCUMENT)
        self.clock.advance(1)
        self.pull(DOCUMENT)
        self.pull(SourceError("away"))
        self.pull(b"no document")
        self.clock.advance(2)
        self.assertEqual(self.of_feed("good_pulls_total", "failed_pulls_total", "versions_total"), [2, 2, 1])
        self.assertEqual(
            self.of_feed("confirmed_timestamp_seconds", "age_seconds", "document_bytes"), [NOW + 1, 2, len(DOCUMENT)]
        )
        self.assertEqual([self.figure("state", feed="feed", state=state) for state in ("live", "stale")], [0, 1])
        self.assertEqual(self.figure("good_pulls_total", feed="other"), 0)

    def test_wall_clock_is_set(self) -> None:
        """The age is measured, and the time is displayed."""
        wall = Clock()
        wall.advance(7000)
        self.served.feed.wall = wall.seconds
        self.pull(DOCUMENT)
        self.clock.advance(2)
        wall.advance(2 + 86400)
        self.assertEqual(self.of_feed("age_seconds", "confirmed_timestamp_seconds"), [2, 7000 + 86400])

    def test_work_is_that_of_versions(self) -> None:
        """Compressing, comparing and wrapping are counted: with more subscribers there is no more of it."""
        done = []
        for _ in range(3):
            before = self.of_feed("codings_made_total", "patches_made_total", "messages_made_total")
            self.pull(DOCUMENT)
            have = self.served.feed.snapshot.version.encode() if self.served.feed.snapshot else b""
            self.pull(OTHER)
            for _ in range(5):
                self.open(b"/feed.sse?delta=1&last-event-id=" + have)
                self.open(b"/feed.ws", *HANDSHAKE)
            after = self.of_feed("codings_made_total", "patches_made_total", "messages_made_total")
            done.append(
                [new - old for old, new in zip(before, after, strict=True) if new is not None and old is not None]
            )
        self.assertEqual(done[0][1], 1)
        self.assertEqual(done[1], done[2])
        self.assertTrue(all(done[2]))

    def test_watchers(self) -> None:
        """Dropped and refused ones by reason, which all have a value from the start; pushes, and skipped versions."""
        self.assertEqual(self.figure("dropped_subscribers_total", feed="feed", reason="error"), 0)
        self.served.feed.tally.dropped["silent"] = 2
        self.served.feed.tally.refused["origin"] = 3
        self.served.feed.fanout.skipped = 4
        self.pull(DOCUMENT)
        self.assertEqual(self.figure("dropped_subscribers_total", feed="feed", reason="silent"), 2)
        self.assertEqual(self.figure("dropped_subscribers_total", feed="feed", reason="flood"), 0)
        self.assertEqual(self.figure("refusals_total", feed="feed", reason="origin"), 3)
        self.assertEqual(self.of_feed("skipped_versions_total", "pushes_total", "push_seconds_total"), [4, 1, 0])

    def test_desk(self) -> None:
        """For how long a document waits, and how many violated a rule, from 0 on."""
        self.puller.desk.rules = Rules.compile((RuleSpec("votes", Required((parse_selector("/votes"),))),))
        of_rule = {"feed": "feed", "rule": "votes", "action": "hold"}
        for document, waiting_s, violations in ((b'{"votes": 1}', 0, 0), (b"{}", 3, 1)):
            self.pull(document)
            self.clock.advance(3)
            self.assertEqual(self.figure("waiting_seconds", feed="feed"), waiting_s)
            self.assertEqual(self.figure("rule_violations_total", **of_rule), violations)

    def test_source_that_fails(self) -> None:
        """The seconds since the first pull failed, whatever was decided; a good pull ends that."""
        self.pull(DOCUMENT)
        self.assertEqual(self.figure("source_failing_seconds", feed="feed"), 0)
        self.served.feed.decide(State.HELD)
        for _ in range(2):
            self.served.feed.mark_stale("redis: away")
            self.clock.advance(3)
        self.assertEqual(self.figure("source_failing_seconds", feed="feed"), 6)
        self.pull(DOCUMENT)
        self.assertEqual(self.figure("source_failing_seconds", feed="feed"), 0)

    def test_ticks(self) -> None:
        """They are counted, with their lateness and the time of their pulls."""
        self.puller.times.note_tick(0.5)
        self.puller.times.note_pull(0.25)
        names = ("ticks_total", "tick_lateness_seconds_total", "tick_lateness_longest_seconds")
        self.assertEqual(self.of_feed(*names), [1, 0.5, 0.5])
        self.assertEqual(self.of_feed("pull_seconds_total", "pull_longest_seconds"), [0.25, 0.25])
        self.assertEqual(self.of_feed("not_due_pulls_total"), [0])

    def test_subscribers(self) -> None:
        """Each transport has its own figure, and subscribers of parts count."""
        self.pull(DOCUMENT)
        etag = request(self.site, b"GET /feed HTTP/1.1").headers["etag"].encode()
        self.open(b"/feed.ws", *HANDSHAKE)
        self.open(b"/feed", *HANDSHAKE)
        self.open(b"/feed.sse")
        self.open(b"/feed.sse/rows")
        self.open(b"/feed.sse/rows/1")
        self.open(b"/feed", b"Prefer: wait=20", b"If-None-Match: " + etag)
        by = {way: self.figure("subscribers", feed="feed", by=way) for way in ("websocket", "events", "waiting")}
        self.assertEqual(by, {"websocket": 2, "events": 3, "waiting": 1})
        self.assertEqual(self.of_feed("parts"), [2])
        self.assertEqual(self.figure("subscribers", feed="other", by="events"), 0)


class ProcessFigureTests(MetricsTestCase):
    """The figures of all feeds together."""

    def test_answers(self) -> None:
        """Answers count by status, scheme and content coding."""
        self.pull(DOCUMENT)
        request(self.site, b"GET /feed HTTP/1.1")
        for _ in range(2):
            request(self.site, b"GET /feed HTTP/1.1\r\nAccept-Encoding: gzip")
        request(self.site, b"GET /nothing HTTP/1.1")
        found = {
            (status, coding): self.figure("answers_total", status=status, scheme="http", coding=coding)
            for status, coding in (("200", "identity"), ("200", "gzip"), ("404", "identity"), ("304", "identity"))
        }
        expected = {("200", "identity"): 1, ("200", "gzip"): 2, ("404", "identity"): 1, ("304", "identity"): None}
        self.assertEqual(found, expected)

    def test_what_is_followed_is_answered_when_it_begins(self) -> None:
        """A stream counts as answered at its beginning, as it may never end."""
        self.pull(DOCUMENT)
        self.open(b"/feed.ws", *HANDSHAKE)
        self.open(b"/feed.sse")
        found = [self.figure("answers_total", status=code, scheme="http", coding="identity") for code in ("101", "200")]
        self.assertEqual(found, [1, 1])

    def test_connections(self) -> None:
        """The figures are those of the pool; Twisted's own transport does not count connections."""
        self.pool.accepted, self.pool.refused, self.pool.capacity = 5, 2, 7
        names = ("connections", "max_connections", "connections_accepted_total", "connections_refused_total")
        self.assertEqual([self.figure(name) for name in names], [0, 7, 5, 2])
        self.metrics = self.site_of(Figures(self.figures.served, self.figures.pulled, self.site, None))
        self.assertEqual([self.figure(name) for name in names], [None] * 4)

    def test_traffic(self) -> None:
        """The bytes of all connections."""
        self.pool.traffic.sent, self.pool.traffic.received = 7, 3
        self.assertEqual([self.figure(f"{name}_bytes_total") for name in ("sent", "received")], [7, 3])

    def test_handshakes(self) -> None:
        """The figures of the pool, and the connections that were refused for their address."""
        self.pool.handshakes, self.pool.failed_handshakes = 5, 2
        self.assertEqual([self.figure(f"{name}handshakes_total") for name in ("", "failed_")], [5, 2])
        figures = Figures((), (), self.site, None, address_refusals=lambda: {"address_rate": 7})
        self.metrics = self.site_of(figures)
        self.assertEqual(self.figure("address_refusals_total", reason="address_rate"), 7)

    def test_access_log(self) -> None:
        """The lines that were dropped; nothing without an access log."""
        self.assertIsNone(self.figure("access_log_dropped_lines_total"))
        reactor: Any = MemoryReactor()
        lines = LineWriter("-", "", reactor, bool)
        lines._not_taken = 3
        self.metrics = self.site_of(Figures((), (), self.site, None, lines=lines))
        self.assertEqual(self.figure("access_log_dropped_lines_total"), 3)

    def test_workers(self) -> None:
        """By state; a canary that was not served has no time. Those of earlier generations have no figures beside."""
        samples = [*of_workers(WORKERS)]
        self.assertEqual(total_of(samples, "workers", state="ready"), 2)
        self.assertEqual(total_of(samples, "workers", state="dead"), 1)
        self.assertEqual(total_of(samples, "workers", state="draining"), 1)
        self.assertEqual([each.value for each in samples if each.name == "worker_restarts_total"], [2, 0, 1])
        self.assertEqual(
            [each for each in samples if each.name == "canary_seconds"],
            [Sample("canary_seconds", (("index", "0"),), 0.5)],
        )

    def test_lag(self) -> None:
        """How late a timer was."""
        lag = LoopLag(self.clock)
        lag.measured, lag.late_s, lag.latest_s = 3, 0.75, 0.5
        self.metrics = self.site_of(Figures((), (), self.site, None, lag=lag))
        names = ("measurements_total", "seconds_total", "longest_seconds")
        self.assertEqual([self.figure(f"loop_lag_{name}") for name in names], [3, 0.75, 0.5])

    def test_pauses_of_the_garbage_collector(self) -> None:
        """How many there were, how long all took, and the longest."""
        self.garbage.full, self.garbage.paused_s, self.garbage.longest_s = 3, 0.75, 0.5
        names = ("full_collections_total", "full_collection_seconds_total", "full_collection_longest_seconds")
        self.assertEqual([self.figure(name) for name in names], [3, 0.75, 0.5])

    def test_build_and_start(self) -> None:
        """The versions of the program, and when it was started."""
        versions = {"version": __version__, "python": platform.python_version()}
        (sample,) = [sample for sample in self.figures.samples() if sample.name == "build_info"]
        self.assertEqual(dict(sample.labels) | versions, dict(sample.labels))
        self.assertRegex(dict(sample.labels)["openssl"], r"[0-9.]+")
        self.assertEqual(self.figure("start_time_seconds"), NOW)

    def test_asking_changes_nothing(self) -> None:
        """A request for the figures subscribes to no feed, and causes no rendering, compression or count."""
        self.pull(DOCUMENT)
        self.served.feed.subscribe(RecordingSubscriber())
        first, second = (self.ask_all() for _ in range(2))
        self.assertEqual(first, second)

    def ask_all(self) -> list[str]:
        lines = request(self.metrics, b"GET /metrics HTTP/1.1").body.decode().splitlines()
        return [line for line in lines if line.startswith("livefeed_")]


class MetricsResourceTests(MetricsTestCase):
    """How it is asked for."""

    def ask(self, head: bytes) -> Response:
        return request(self.metrics, head)

    def test_type(self) -> None:
        """Prometheus gets the type that it expects, and caches may not keep the answer."""
        headers = self.ask(b"GET /metrics HTTP/1.1").headers
        self.assertTrue(headers["content-type"].startswith("text/plain; version="))
        self.assertEqual(headers["cache-control"], "no-store")
        self.assertNotIn("access-control-allow-origin", headers)

    def test_denials(self) -> None:
        """Only protected feeds have the figure, with each reason from the start."""
        name = "denied_total"
        self.assertIsNone(self.figure(name, feed="feed", why="missing"))
        protect(self.served, self.site)
        self.assertEqual(request(self.site, b"GET /feed HTTP/1.1").status, 401)
        figures = [self.figure(name, feed="feed", why=why) for why in ("missing", "rate")]
        self.assertEqual((figures, self.figure(name, feed="other", why="missing")), ([1, 0], None))

    def test_session_tickets(self) -> None:
        """Without TLS there is no figure; otherwise it says whether the key is shared."""
        self.assertIsNone(self.figure("session_tickets_shared"))
        for is_shared in (True, False):
            self.metrics = self.site_of(Figures((), (), self.site, None, tickets_shared=lambda each=is_shared: each))  # type: ignore[misc]
            self.assertEqual(self.figure("session_tickets_shared"), is_shared)

    def test_certificates(self) -> None:
        """Each says when it expires, and their number that cannot be used is there."""
        served = [Validity(Path("/a.pem"), 0, NOW)]
        refusals = ["/a.pem: it is no certificate"]
        figures = Figures((), (), self.site, None, certificates=served, certificate_refusals=lambda: refusals)
        body = request(self.site_of(figures), b"GET /metrics HTTP/1.1").body
        self.assertIn(b'livefeed_certificate_not_after_timestamp_seconds{file="/a.pem"} 1.7e+09', body)
        self.assertIn(b"livefeed_certificates_refused 1.0", body)

    def test_other_paths_and_methods(self) -> None:
        """There is nothing else, the feed least of all."""
        self.assertEqual([self.ask(b"GET " + path + b" HTTP/1.1").status for path in (b"/", b"/feed")], [404, 404])
        self.assertEqual(self.ask(b"DELETE /metrics HTTP/1.1").status, 405)
        probe = self.ask(b"OPTIONS /metrics HTTP/1.1")
        self.assertEqual((probe.status, probe.headers["allow"], probe.body), (204, "GET, HEAD, OPTIONS", b""))
        head = self.ask(b"HEAD /metrics HTTP/1.1")
        self.assertEqual((head.status, head.body), (200, b""))
