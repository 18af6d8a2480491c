"""OpenSSL, the transport, and certificates."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from cryptography import x509
from twisted.trial.unittest import SynchronousTestCase

from livefeed.doctor.finding import Finding
from livefeed.doctor.tls import OpenSSL, check_certificates, check_openssl, check_transport
from livefeed.tls.files import LocalFiles
from livefeed.tls.options import KeyPair, read_pair
from tests.authority import Holder


class TransportTests(SynchronousTestCase):
    def test_transport(self) -> None:
        """The fast one is in order where it works."""
        self.assertEqual(check_transport("fast", has_epoll=True).level, "ok")
        self.assertEqual(check_transport("fast", has_epoll=False).level, "warning")
        self.assertEqual(check_transport("twisted", has_epoll=True).mend, "--transport fast")


class OpenSSLTests(SynchronousTestCase):
    def test_abilities(self) -> None:
        """Each one that is missing has its level."""
        self.assertEqual(check_openssl(OpenSSL("OpenSSL 4.0.3")), Finding("openssl", "ok", "OpenSSL 4.0.3"))
        self.assertEqual(check_openssl(OpenSSL("x", has_callbacks=False)).level, "problem")
        self.assertEqual(check_openssl(OpenSSL("x", is_direct=False)).level, "warning")
        found = check_openssl(OpenSSL("x", shares_tickets="it has no name"))
        self.assertEqual((found.level, found.text[-16:]), ("note", ": it has no name"))


class CertificateTests(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = Path(directory.name)
        self.root, self.middle, self.leaf = Holder("Root"), Holder("Middle"), Holder("Leaf")
        self.roots = x509.load_pem_x509_certificates(self.root.issue(self.root))

    def pair(self, *chain: bytes) -> KeyPair:
        cert, key = self.folder / "c.pem", self.folder / "c.key"
        cert.write_bytes(b"".join(chain))
        key.write_bytes(self.leaf.pem())
        return read_pair(cert, key, LocalFiles())

    def check(self, pair: KeyPair, roots: list[x509.Certificate] | None = None) -> list[Finding]:
        return list(check_certificates([pair], self.roots if roots is None else roots, time.time()))

    def test_whole_chain(self) -> None:
        """A CA of this machine has issued the last one."""
        leaf = self.middle.issue(self.leaf, ["a.test", "b.test"], days=91)
        (found,) = self.check(self.pair(leaf, self.root.issue(self.middle)))
        self.assertEqual(found.level, "ok")
        self.assertIn("a.test, b.test: valid for 91 days, until 2", found.text)

    def test_chain_with_its_root(self) -> None:
        """Nothing is missing, although this machine does not know the CA."""
        other = Holder("Other")
        pair = self.pair(other.issue(self.leaf, ["a.test"]), other.issue(other))
        self.assertEqual([each.level for each in self.check(pair)], ["ok"])

    def test_certificate_in_between_is_missing(self) -> None:
        """Browsers may know it, and other programs do not."""
        (found,) = self.check(self.pair(self.middle.issue(self.leaf, ["a.test"])))
        self.assertEqual(found.level, "warning")
        self.assertIn("fullchain.pem", found.mend)

    def test_unknown_roots(self) -> None:
        """Nothing is claimed about the chain."""
        self.assertEqual(self.check(self.pair(self.middle.issue(self.leaf, ["a.test"])), [])[0].level, "ok")

    def test_no_name(self) -> None:
        """Browsers ignore the subject."""
        (found,) = self.check(self.pair(self.root.issue(self.leaf)))
        self.assertEqual(found.level, "warning")
        self.assertIn("has no name of a host", found.text)

    def test_end(self) -> None:
        """A certificate that ends soon has a line of the checks of a start, and no second one."""
        self.assertEqual(self.check(self.pair(self.root.issue(self.leaf, ["a.test"], days=10))), [])
