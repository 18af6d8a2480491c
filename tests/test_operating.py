"""The wiring of the operator's port."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.admin.metrics import Figures
from livefeed.admin.samples import Sample
from livefeed.config.settings import Settings
from livefeed.operating import Operating
from livefeed.testing import RecordingSubscriber, Response, make_site, publish, request


class OperatingTests(SynchronousTestCase):
    """The port that settings make."""

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.figures = Figures((), (), make_site(clock=self.reactor).site, None, started_at=7.0)

    def make(self, **options: Any) -> Operating:
        return Operating(Settings.read(options, {}), self.reactor, (), self.figures, ())

    def ask(self, operating: Operating, line: str) -> Response:
        site: Any = operating.socket().factory
        return request(site, line.encode())

    def test_runtime_directory(self) -> None:
        """The default one of the instance; a chosen one or a chosen instance ends the start if it cannot be had."""
        self.patch(os, "environ", {"RUNTIME_DIRECTORY": "/run/x"})
        for options, path, place in (
            ({}, "/run/x/default", ""),
            ({"instance": "green"}, "/run/x/green", "--instance"),
            ({"runtime_dir": "/srv/run"}, "/srv/run", "--runtime-dir"),
        ):
            instance = self.make(**options).instance
            self.assertEqual((instance.path, instance.place), (Path(path), place))

    def test_every_path(self) -> None:
        """All that the port serves is there, on a Unix socket without a token."""
        operating = self.make()
        for line, status in (
            ("GET /metrics", 200),
            ("GET /status", 200),
            ("GET /-/live", 200),
            ("GET /-/ready", 200),
            ("GET /-/workers", 200),
            ("GET /-/trace/1", 409),
            ("GET /-/reload", 405),
            ("GET /-/drain", 405),
            ("GET /-/upgrade", 405),
            ("GET /", 404),
            ("GET /-/bogus", 404),
        ):
            self.assertEqual(self.ask(operating, f"{line} HTTP/1.1").status, status, line)

    def test_samples_of_workers(self) -> None:
        """They are added to those of the process."""
        operating = self.make()
        operating.totals.report(0, 1, [Sample("connections", (), 5.0)])
        self.assertIn(b"livefeed_connections 5.0", self.ask(operating, "GET /metrics HTTP/1.1").body)
        self.assertIn(b'"open": 5', self.ask(operating, "GET /status HTTP/1.1").body)

    def test_counts_of_a_successor(self) -> None:
        """It is handed those that only grow, and nothing that is true of this process alone."""
        operating = self.make()
        request(self.figures.site, b"GET / HTTP/1.1")
        handed = {sample.name for sample in operating.handover()}
        self.assertTrue(handed)
        own = {"build_info", "start_time_seconds", "certificates_refused"}
        self.assertEqual({sample.name for sample in operating.samples()} - handed, own)

    def test_curves(self) -> None:
        """They have the watchers and deliveries of this process and of the workers, if the operator shows them."""
        made = make_site("a", clock=self.reactor)
        feed = made.published[0].feed
        feed.subscribe(RecordingSubscriber())
        publish(feed, b"1")
        options = Settings.read({"page_figures": "true"}, {})
        operating = Operating(options, self.reactor, [SimpleNamespace(published=made.published[0])], self.figures, ())
        labels = (("feed", "a"),)
        samples = [Sample("subscribers", labels, 5.0), Sample("deliveries_total", labels, 50.0)]
        operating.totals.report(0, 1, samples)
        curves = operating.curves(lambda _: None)
        self.assertTrue(curves.is_on)
        self.assertEqual(curves.counts(), (6, 51.0))
        self.assertFalse(self.make().curves(lambda _: None).is_on)

    def test_workers(self) -> None:
        """The command gives the report of the status."""
        operating = self.make()
        self.assertEqual(self.ask(operating, "GET /-/workers HTTP/1.1").body, b"[]\n")
        operating.status.workers = lambda: [{"pid": 7}]
        self.assertIn(b'"pid": 7', self.ask(operating, "GET /-/workers HTTP/1.1").body)

    def test_token(self) -> None:
        """The endpoints of TCP share the access, whose token can be replaced while they listen."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = Path(directory.name) / "token"
        path.write_text("0123456789abcdef")
        path.chmod(0o600)
        operating = self.make(admin=["tcp:1", "tcp:2"], admin_token=str(path))
        listeners = operating.listeners(lambda description: description)  # type: ignore[arg-type,return-value]
        self.assertEqual([each.description for each in listeners], ["tcp:1", "tcp:2"])
        operating.access.token = b"another"
        site: Any = listeners[1].factory
        for token, status in (("0123456789abcdef", 401), ("another", 200)):
            answer = request(site, f"GET /status HTTP/1.1\nAuthorization: Bearer {token}".encode())
            self.assertEqual(answer.status, status)

    def test_public(self) -> None:
        """Nothing of it is public unless the operator wants it."""
        self.assertEqual(self.make().public_resources(), {})
        self.assertEqual([*self.make(ready_public="true").public_resources()], ["live", "ready"])
