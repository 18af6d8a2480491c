"""Tokens and keys as a part of a reload."""

from __future__ import annotations

import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from livefeed.auth.material import Material
from livefeed.config.settings import FeedSettings, Settings
from livefeed.exceptions import ConfigurationError
from livefeed.process.access import ReloadedAccess


class FakeFeed:
    """Counts its checks."""

    checks = 0

    def check_access(self) -> None:
        self.checks += 1


class AccessTests(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "tokens.txt"
        self.path.touch(0o600)
        self.write(b"a")
        self.settings = Settings(feeds=(FeedSettings(auth_tokens=self.path),))
        self.feed = FakeFeed()
        self.part = ReloadedAccess(Material(), [self.feed])

    def write(self, *ends: bytes) -> None:
        self.path.write_bytes(b"".join(b"a q0Ywz3nOScE8uWq3Yc0dT1p4%b\n" % end for end in ends))

    def tokens(self) -> int:
        return len(self.part.material.tokens_of(self.settings.feeds[0]))

    def test_reload(self) -> None:
        """The files are read in a thread, and taken at the commit."""
        self.part.look(self.settings)
        self.write(b"a", b"b")
        prepared = self.part.prepare(self.settings, self.settings)
        self.assertEqual((self.tokens(), prepared.changes()), (0, []))
        prepared.commit()
        self.assertEqual((self.tokens(), self.feed.checks), (1, 1))
        # Without a look, they are read now.
        prepared = self.part.prepare(self.settings, self.settings)
        self.assertEqual(
            [str(each) for each in prepared.changes()], [f"tokens of {self.path}: '1 tokens' -> '2 tokens'"]
        )
        prepared.commit()
        self.assertEqual(self.tokens(), 2)

    def test_wrong_file(self) -> None:
        """Those in use stay."""
        self.part.prepare(self.settings, self.settings).commit()
        self.path.write_bytes(b"a")
        self.assertRaises(ConfigurationError, self.part.look, self.settings)
        self.assertRaises(ConfigurationError, self.part.prepare, self.settings, self.settings)
        self.part.look(Settings())
        self.write(b"b", b"c")
        prepared = self.part.prepare(self.settings, self.settings)
        prepared.abandon()
        self.assertEqual(self.tokens(), 1)

    def test_worker(self) -> None:
        """A worker takes what its parent sends, and reads no file."""
        self.part.prepare(self.settings, self.settings).commit()
        worker = ReloadedAccess(Material(), [self.feed], self.part.material.payloads())
        self.path.unlink()
        worker.prepare(self.settings, self.settings).commit()
        self.assertEqual(len(worker.material.tokens_of(self.settings.feeds[0])), 1)
