"""Certificates that are renewed while the process runs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from livefeed import clocks
from livefeed.config.settings import Settings
from livefeed.exceptions import ConfigurationError
from livefeed.process import renewal
from livefeed.process.certificates import ReloadedCertificates
from livefeed.process.reload import Reload
from livefeed.process.renewal import LOOK_S, CertificateRenewal
from livefeed.tls.files import GivenFiles, LocalFiles
from livefeed.tls.options import ServedCertificates
from livefeed.tls.reloading import Certificates, EndpointCertificates, FolderSource, PairSource
from tests.authority import Holder

if TYPE_CHECKING:
    from livefeed.tls.reloading import CertificateSource


class CertificatesTestCase(SynchronousTestCase):
    """Endpoints with certificates in a folder."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = Path(directory.name)
        self.ca = Holder("CA")
        self.served = ServedCertificates()
        self.part = ReloadedCertificates(self.served)
        self.cert, self.key = self.folder / "a.pem", self.folder / "a.key"
        self.write("a.test")
        self.lines: list[str] = []

        def record(event: Any) -> None:
            self.lines.append(formatEvent(event))

        observer: Any = record
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def write(self, name: str, days: int = 90) -> None:
        """Writes a certificate and its key."""
        holder = Holder(name)
        self.cert.write_bytes(self.ca.issue(holder, [name], days=days))
        self.key.write_bytes(holder.pem())

    def endpoint(self, source: CertificateSource | None = None, *, is_default: bool = True) -> EndpointCertificates:
        read = Certificates.load(source or PairSource(((self.cert, self.key),)), LocalFiles(), clocks.wall())
        return EndpointCertificates(read, self.served, is_default)

    def name(self, endpoint: EndpointCertificates) -> str:
        """Gives the name for which an endpoint has a certificate."""
        return endpoint.certificates.names()


class RenewalTests(CertificatesTestCase):
    """CertificateRenewal."""

    def start(self) -> None:
        self.clock = Clock()
        self.changes = 0
        self.works = 0
        self.hanging: Deferred[None] | None = None
        self.renewal = CertificateRenewal(self.part, self.in_thread, self.clock, self.note)
        self.renewal.startService()
        self.addCleanup(self.renewal.stopService)

    def in_thread(self, work: Any, *arguments: Any) -> Deferred[Any]:
        self.works += 1
        done = maybeDeferred(work, *arguments)
        return done if self.hanging is None else self.hanging.addCallback(lambda _: done)

    def note(self) -> None:
        self.changes += 1

    def look(self, times: int = 1) -> None:
        self.clock.pump([LOOK_S] * times)

    def test_files_that_change_are_served(self) -> None:
        """After two looks have found the same files, with one line for two endpoints, and the new expiry."""
        endpoints = self.endpoint(), self.endpoint()
        self.start()
        self.look(3)
        self.write("b.test", days=3)
        self.look()
        self.assertEqual((self.name(endpoints[0]), self.changes), ("a.test", 0))
        self.look()
        self.assertEqual(([self.name(each) for each in endpoints], self.changes), (["b.test"] * 2, 1))
        (line,) = self.lines
        self.assertIn(f"the certificate is renewed: {self.cert}, valid until 20", line)
        self.assertIn("expires on", str(next(iter(self.served)).complaint(clocks.wall())))
        self.look(3)
        self.assertEqual((len(self.lines), self.changes), (1, 1))

    def test_pair_that_is_half_written(self) -> None:
        """It is refused in one line however long it stays, and served once it is whole."""
        endpoint = self.endpoint()
        self.start()
        key = self.key.read_bytes()
        self.write("b.test")
        new, _ = self.key.read_bytes(), self.key.write_bytes(key)
        self.look(6)
        (line,) = self.lines
        self.assertIn(f"{self.key}: it is not the private key of {self.cert}; the certificates that were", line)
        self.assertEqual((self.name(endpoint), self.changes), ("a.test", 0))
        self.key.write_bytes(new)
        self.look(2)
        self.assertEqual((self.name(endpoint), self.changes, len(self.lines)), ("b.test", 1, 2))

    def test_missing_files(self) -> None:
        """What was read stays in use; a file that is back unchanged is no change."""
        endpoint = self.endpoint()
        self.start()
        data = self.cert.read_bytes()
        self.cert.unlink()
        self.look(4)
        (line,) = self.lines
        self.assertIn(f"{self.cert}: No such file or directory; the certificates", line)
        self.cert.write_bytes(data)
        self.look(3)
        self.assertEqual((len(self.lines), self.changes, self.name(endpoint)), (1, 0, "a.test"))

    def test_folder(self) -> None:
        """A file that is added is found; a mistake in it holds up no other endpoint."""
        folder = self.folder / "folder"
        folder.mkdir()
        (folder / "a.pem").write_bytes(self.cert.read_bytes() + self.key.read_bytes())
        endpoint, other = self.endpoint(FolderSource(folder, "listen"), is_default=False), self.endpoint()
        self.start()
        holder = Holder("c.test")
        (folder / "c.pem").write_bytes(self.ca.issue(holder, ["c.test"]) + holder.pem())
        self.look(2)
        self.assertEqual(self.name(endpoint), "a.test, c.test")
        (folder / "c.pem").write_bytes(self.ca.issue(self.ca))
        self.write("b.test")
        self.look(2)
        self.assertEqual((self.name(endpoint), self.name(other)), ("a.test, c.test", "b.test"))
        self.assertIn("a CA that has signed itself", self.lines[1])

    def test_disk_that_hangs(self) -> None:
        """No second thread is started, and the next look is a new one."""
        self.endpoint()
        self.start()
        hanging: Deferred[None] = Deferred()
        self.hanging = hanging
        self.look(5)
        self.assertEqual(self.works, 1)
        self.hanging = None
        hanging.callback(None)
        self.look()
        self.assertEqual(self.works, 2)

    def test_thread_that_cannot_start(self) -> None:
        """The log has the error, and the next look tries again."""
        endpoint = self.endpoint()
        self.start()
        self.patch(self.renewal, "in_thread", lambda *_: maybeDeferred(int, "x"))
        self.look()
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.patch(self.renewal, "in_thread", self.in_thread)
        self.write("b.test")
        self.look(2)
        self.assertEqual(self.name(endpoint), "b.test")

    def test_development_certificate(self) -> None:
        """It is made anew before it expires, and served."""
        endpoint = self.endpoint(PairSource(((self.cert, self.key),), is_development=True))
        made: list[Path] = []

        def make(folder: Path) -> None:
            if not made:
                self.write("b.test", days=400)
            made.append(folder)

        self.patch(renewal, "development_certificate", make)
        self.start()
        self.look(2)
        now = clocks.wall()
        self.patch(clocks, "wall", lambda: now + 84 * 86_400)
        self.look(3)
        self.assertEqual((set(made), self.name(endpoint)), ({self.folder}, "b.test"))

    def test_without_certificates(self) -> None:
        """Nothing is looked at."""
        self.start()
        self.assertEqual(self.clock.getDelayedCalls(), [])


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
