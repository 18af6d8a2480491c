"""Certificates that are renewed while the process runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock

from livefeed import clocks
from livefeed.exceptions import ConfigurationError
from livefeed.process import renewal
from livefeed.process.renewal import LOOK_S, CertificateRenewal
from livefeed.tls.reloading import Certificates, FolderSource, PairSource
from tests.authority import Holder
from tests.helpers.certificates import CertificatesTestCase

if TYPE_CHECKING:
    from pathlib import Path


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
        self.assertEqual([*self.served.refusals], [f"{self.key}: it is not the private key of {self.cert}"])
        self.key.write_bytes(new)
        self.look(2)
        self.assertEqual((self.name(endpoint), self.changes, len(self.lines)), ("b.test", 1, 2))
        self.assertEqual([*self.served.refusals], [])

    def test_refused_files_that_a_reload_has_read(self) -> None:
        """Their refusal is over, although the files are the same: they may have become readable, or valid."""
        endpoint = self.endpoint()
        self.start()
        self.look()
        why = ConfigurationError(f"{self.key}: Permission denied")
        load = self.renewal._load
        self.patch(self.renewal, "_load", lambda endpoints: [why])
        self.write("b.test")
        self.look(2)
        self.assertEqual([*self.served.refusals], [str(why)])
        (found,) = load([endpoint])
        assert isinstance(found, Certificates)
        endpoint.take(found)
        self.look()
        self.assertEqual([*self.served.refusals], [])

    def test_files_that_become_readable(self) -> None:
        """A change of their mode is a change."""
        before = self.part.served.files.stamp(self.key)
        self.key.chmod(0o600 if self.key.stat().st_mode & 0o077 else 0o640)
        self.assertNotEqual(self.part.served.files.stamp(self.key), before)

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
