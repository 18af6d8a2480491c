"""The choice of a certificate, and the watch for expiry."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from livefeed import clocks
from livefeed.exceptions import ConfigurationError
from livefeed.process import certificates
from livefeed.process.certificates import CertificateChoice, CertificateWatch
from livefeed.tls.options import Validity
from livefeed.tls.reloading import PairSource


class CertificateChoiceTests(SynchronousTestCase):
    """The certificate of endpoints that name none."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.patch(certificates, "default_directory", lambda: self.directory)

    def test_development_certificate(self) -> None:
        """It is made when it is first asked for, with a warning that has the fingerprint."""
        choice = CertificateChoice((), (), "--cert")
        choice.check_unused()
        self.assertEqual([*self.directory.iterdir()], [])
        with capturedLogs() as events:
            source = choice()
            choice()
        ((cert, key),) = source.pairs
        self.assertTrue(cert.is_file() and key.is_file() and source.is_development)
        (line,) = [str(formatEvent(event)) for event in events]
        self.assertIn(f"serving a development certificate, {cert}, of the CA ", line)

    def test_certificate_of_the_operator(self) -> None:
        """It is given as it was set, and once it is used there is no warning."""
        cert, key = self.directory / "cert.pem", self.directory / "key.pem"
        choice = CertificateChoice((cert,), (key,), "--cert")
        self.assertEqual(choice(), PairSource(((cert, key),)))
        with capturedLogs() as events:
            choice.check_unused()
        self.assertEqual(events, [])

    def test_unused_certificate_of_the_operator(self) -> None:
        """A missing file is refused, and a pair of files that no endpoint serves with has a warning."""
        cert, key = self.directory / "cert.pem", self.directory / "key.pem"
        choice = CertificateChoice((cert,), (key,), "LIVEFEED_CERT")
        for missing in (cert, key):
            error = self.assertRaises(ConfigurationError, choice.check_unused)
            self.assertEqual(error.why, f"{missing}: there is no such file")
            missing.touch()
        with capturedLogs() as events:
            choice.check_unused()
        (line,) = [str(formatEvent(event)) for event in events]
        self.assertTrue(line.startswith("LIVEFEED_CERT has no effect"), line)


class CertificateWatchTests(SynchronousTestCase):
    """A certificate that is about to expire."""

    def test_warns_at_the_start_and_daily(self) -> None:
        """The check runs at the start and daily by the wall clock, until it stops."""
        events: list[str] = []

        def record(event: Any) -> None:
            events.append(formatEvent(event))

        observer: Any = record
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        clock = Clock()
        self.patch(clocks, "wall", clock.seconds)
        watch = CertificateWatch([Validity(Path("a.pem"), 0, 86_400), Validity(Path("b.pem"), 0, 1e9)], clock)
        watch.startService()
        clock.advance(86_401)
        watch.stopService()
        clock.advance(86_401)
        first, second = events
        self.assertIn("a.pem expires on 1970-01-02", first)
        self.assertIn("a.pem has expired", second)
