"""The subcommand certs."""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli.main import main
from livefeed.tls.development import NAMES, development_certificate


class CertsTests(SynchronousTestCase):
    """livefeed certs."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.stdout, self.stderr = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", self.stdout)
        self.patch(sys, "stderr", self.stderr)

    def certs(self, *arguments: str) -> int:
        return main(["certs", "--directory", str(self.directory / "certs"), *arguments])

    def test_made_then_kept(self) -> None:
        """The first run makes the files, the second keeps them; both show the fingerprint."""
        self.assertEqual(self.certs(), 0)
        first = self.stdout.getvalue()
        self.assertTrue(first.startswith(f"made {self.directory / 'certs' / 'cert.pem'}"))
        self.assertIn(str(self.directory / "certs" / "ca.pem"), first)
        self.assertEqual(self.certs(), 0)
        second = self.stdout.getvalue()[len(first) :]
        self.assertTrue(second.startswith("kept "))
        certificate = development_certificate(self.directory / "certs", NAMES)
        self.assertFalse(certificate.made)
        for output in (first, second):
            self.assertIn(f"SHA-256 fingerprint {certificate.fingerprint}\n", output)

    def test_names(self) -> None:
        """--name is repeatable and replaces the default names."""
        self.assertEqual(self.certs("--name", "feed.test", "--name", "10.0.0.1"), 0)
        self.assertFalse(development_certificate(self.directory / "certs", ("feed.test", "10.0.0.1")).made)

    def test_force(self) -> None:
        """--force makes the files anew."""
        self.certs()
        before = (self.directory / "certs" / "ca.pem").read_bytes()
        self.assertEqual(self.certs("--force"), 0)
        self.assertNotEqual((self.directory / "certs" / "ca.pem").read_bytes(), before)
        self.assertEqual(self.stdout.getvalue().count("made "), 2)

    def test_failure_is_one_line(self) -> None:
        """A failure exits with 1 and a message on standard error, without a traceback."""
        (self.directory / "certs").write_text("a file")
        self.assertEqual(self.certs(), 1)
        self.assertEqual(self.stdout.getvalue(), "")
        message = self.stderr.getvalue()
        self.assertTrue(message.startswith("livefeed: "))
        self.assertEqual(message.count("\n"), 1)

    def test_name_that_cannot_be(self) -> None:
        """A name of which no certificate can be made is a mistake of the command line."""
        self.assertEqual(self.assertRaises(SystemExit, self.certs, "--name", "").code, 2)
        self.assertIn("argument --name: '' is neither a host name nor an IP address", self.stderr.getvalue())
