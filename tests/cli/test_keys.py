"""The subcommand keys."""

from __future__ import annotations

import io
import stat
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli.main import main
from livefeed.document.public_keys import read_key_set
from livefeed.process.signing_keys import read_keys


class KeysTests(SynchronousTestCase):
    """livefeed keys."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.path = self.folder / "signing.pem"

    def keys(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        output, errors = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", output)
        self.patch(sys, "stderr", errors)
        self.assertEqual(main(["keys", *arguments]), code)
        return output.getvalue(), errors.getvalue()

    def test_create(self) -> None:
        """A file is made once, and its private key is shown nowhere."""
        output, _ = self.keys("create", str(self.path))
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertIn(read_keys(self.path).key_id, output)
        secret = self.path.read_text("ascii").splitlines()[1]
        _, errors = self.keys("create", str(self.path), code=1)
        self.assertIn("is there already; livefeed keys rotate", errors)
        for arguments in (("list",), ("publish",), ("rotate", "--announce"), ("rotate",)):
            self.assertNotIn(secret, "".join(self.keys(*arguments, str(self.path))))

    def test_rotation(self) -> None:
        """A key is announced, signs, and is forgotten; each step lists the keys."""
        self.keys("create", str(self.path))
        first = read_keys(self.path).key_id
        output, hint = self.keys("rotate", "--announce", str(self.path))
        self.assertEqual([line.split()[1] for line in output.splitlines()], ["signs", "is"])
        self.assertIn("livefeed ctl reload", hint)
        output, _ = self.keys("rotate", str(self.path))
        self.assertIn(f"{first}  has signed, and stays published\n", output)
        self.assertEqual(self.keys("list", str(self.path))[0], output)
        output, _ = self.keys("forget", str(self.path), first)
        self.assertEqual(output, f"{read_keys(self.path).key_id}  signs the statements\n")
        self.assertIn("is in use", self.keys("forget", str(self.path), read_keys(self.path).key_id, code=1)[1])

    def test_publish(self) -> None:
        """The set is printed, or written to a file."""
        self.keys("create", str(self.path))
        output, _ = self.keys("publish", str(self.path))
        self.assertEqual([*read_key_set(output.encode())], [read_keys(self.path).key_id])
        target = self.folder / "keys.json"
        self.assertEqual(self.keys("publish", str(self.path), "--output", str(target))[0], "")
        self.assertEqual(target.read_text("ascii"), output)
        self.assertIn("Is a directory", self.keys("publish", str(self.path), "--output", str(self.folder), code=1)[1])

    def test_no_file(self) -> None:
        """The message names the command that makes the file, and no setting."""
        _, errors = self.keys("list", str(self.path), code=1)
        self.assertEqual(
            errors, f"livefeed: {self.path}: there is no such file; `livefeed keys create {self.path}` makes it\n"
        )
