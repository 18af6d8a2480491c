"""Files with secrets."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import MissingSecretError, SecretFileError
from livefeed.secret_files import read_secret


class SecretFileTests(SynchronousTestCase):
    """A file of the test's own."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "token"
        self.path.write_bytes(b"secret")
        self.path.chmod(0o640)

    def test_read(self) -> None:
        """One byte more than possible shows that a file is too large."""
        self.assertEqual(read_secret(self.path, 6), b"secret")
        self.assertEqual(read_secret(self.path, 3), b"secr")

    def test_open_to_everybody(self) -> None:
        """The message names the remedy, and nothing of the secret."""
        for mode in (0o644, 0o602, 0o601):
            self.path.chmod(mode)
            why = str(self.assertRaises(SecretFileError, read_secret, self.path, 6))
            self.assertEqual(why, f"{self.path}: every user may read it; `chmod o= {self.path}` forbids it")

    def test_unreadable(self) -> None:
        """A file that is missing is told apart."""
        self.assertRaises(MissingSecretError, read_secret, self.path.with_name("other"), 6)
        error = self.assertRaises(SecretFileError, read_secret, self.path.parent, 6)
        self.assertEqual((str(error), type(error)), (f"{self.path.parent}: Is a directory", SecretFileError))
