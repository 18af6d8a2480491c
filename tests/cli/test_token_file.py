"""The file has the token, and perhaps a line feed."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli.token_file import token_in
from livefeed.client.token import MAX_TOKEN_LENGTH
from livefeed.exceptions import FollowError


class TokenFileTests(SynchronousTestCase):
    def test_files(self) -> None:
        """A file that is too large gives too long a token, which is refused as such."""
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        path = folder / "token"
        with self.assertRaisesRegex(FollowError, "token: No such file"):
            token_in(path)
        for data, token in ((b"abc\n", "abc"), (b"", ""), (b"\xff", "\ufffd")):
            path.write_bytes(data)
            self.assertEqual(token_in(path), token)
        path.write_bytes(b"x" * 10_000)
        self.assertEqual(len(token_in(path)), MAX_TOKEN_LENGTH + 2)
