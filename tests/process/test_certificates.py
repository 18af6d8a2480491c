"""The choice of a certificate, and the watch for expiry."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from livefeed import clocks
from livefeed.config.settings import Settings
from livefeed.exceptions import ConfigurationError
from livefeed.process import certificates
from livefeed.process.certificates import CertificateChoice, CertificateWatch
from livefeed.process.reload import Reload
from livefeed.tls.files import GivenFiles
from livefeed.tls.options import Validity
from livefeed.tls.reloading import PairSource
from tests.authority import Holder
from tests.helpers.certificates import CertificatesTestCase


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

    def test_development_certificate_that_cannot_be_made(self) -> None:
        """The message has the settings that make it unnecessary."""
        self.directory.joinpath("file").touch()
        self.patch(certificates, "default_directory", lambda: self.directory / "file" / "certs")
        error = self.assertRaises(ConfigurationError, CertificateChoice((), (), "--cert"))
        self.assertIn("no development certificate can be made there; or give --cert and --key", str(error))

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


class ReloadedCertificatesTests(CertificatesTestCase):
    """ReloadedCertificates."""

    def reload(self, **settings: Any) -> Reload:
        return Reload(Settings(cert=(self.cert,), key=(self.key,)), [self.part])

    def test_files_are_read_again(self) -> None:
        """Without a wait for their settling; those that are the same stay, with their contexts."""
        endpoint = self.endpoint()
        reload = self.reload()
        before = endpoint.certificates
        self.assertEqual(reload.apply(reload.settings).changed, ())
        self.assertIs(endpoint.certificates, before)
        self.write("b.test")
        (change,) = reload.apply(reload.settings).changed
        self.assertEqual(change.setting, f"certificate {self.cert}")
        self.assertTrue(change.before.startswith("valid until 20"), change)
        self.assertEqual(self.name(endpoint), "b.test")

    def test_other_files(self) -> None:
        """Endpoints without files of their own serve with those of the settings; the others stay."""
        own = PairSource(((self.cert, self.key),), "listen")
        default, other = self.endpoint(), self.endpoint(own, is_default=False)
        reload = self.reload()
        cert, key = self.cert, self.key
        self.cert, self.key = self.folder / "b.pem", self.folder / "b.key"
        self.write("b.test")
        report = reload.apply(Settings(cert=(cert, self.cert), key=(key, self.key)))
        self.assertEqual((self.name(default), self.name(other)), ("a.test, b.test", "a.test"))
        self.assertEqual([each.setting for each in report.changed], [f"certificate {self.cert}"])

    def test_refused(self) -> None:
        """The message has the place of the setting, and nothing changes."""
        endpoint = self.endpoint()
        reload = self.reload()
        self.key.write_bytes(Holder("other").pem())
        read = Settings(cert=(self.cert,), key=(self.key,), places={"key": "x.toml:3: key"})
        error = self.assertRaises(ConfigurationError, reload.apply, read)
        self.assertTrue(str(error).startswith(f"x.toml:3: key: {self.key}: it is not the private key"), error)
        self.assertEqual(self.name(endpoint), "a.test")

    def test_read_in_a_thread_before(self) -> None:
        """What was read there is used, for the same files."""
        endpoint = self.endpoint()
        reload = self.reload()
        self.write("b.test")
        self.part.look(reload.settings)
        self.write("c.test")
        reload.apply(reload.settings)
        self.assertEqual(self.name(endpoint), "b.test")
        reload.apply(reload.settings)
        self.assertEqual(self.name(endpoint), "c.test")

    def test_worker(self) -> None:
        """It is given the bytes of all files."""
        endpoint = self.endpoint()
        self.write("b.test")
        self.part.served.files = GivenFiles({path: path.read_bytes() for path in (self.cert, self.key)})
        self.assertNotIn(self.cert.read_bytes(), self.part.contents().values())
        self.cert.unlink()
        self.reload().apply(self.reload().settings)
        self.assertEqual(self.name(endpoint), "b.test")
        self.assertEqual(set(self.part.contents()), {self.cert, self.key})
