"""The signer of statements."""

from __future__ import annotations

import tempfile
from pathlib import Path

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from livefeed.config.settings import Settings
from livefeed.document.public_keys import read_key_set
from livefeed.document.signature import verified
from livefeed.document.snapshot import Sequence, Snapshot
from livefeed.exceptions import ConfigurationError
from livefeed.process.reload import Change, Reload
from livefeed.process.signing import ReloadedSigning, Signing, read_signing_keys
from livefeed.process.signing_keys import make_keys


class SigningTests(SynchronousTestCase):
    """Statements of a process."""

    def test_sign(self) -> None:
        """A statement has the digest of the document, and holds for three ticks and five seconds."""
        keys = make_keys()
        signing = Signing(keys, lambda: 1_764_000_000.9)
        snapshot = Snapshot.of(b'{"a": 1}', Sequence(5, 7))
        signed = signing.sign("results", snapshot, "live", 1_764_000_000.5, 0.5)
        assert signed is not None
        found = verified(signed, {keys.key_id: keys.signing.public_key().verify})
        self.assertEqual(found.statement.digest.hex()[:32], snapshot.version)
        self.assertEqual((found.created, found.expires), (1_764_000_000, 1_764_000_007))
        self.assertEqual(
            (found.statement.feed, found.statement.sequence, found.statement.state, found.statement.at),
            ("results", (5, 7), "live", "2025-11-24T16:00:00.500Z"),
        )
        self.assertEqual(signing.signed, 1)

    def test_without_keys(self) -> None:
        """Without keys nothing is signed and published."""
        signing = Signing()
        self.assertIsNone(signing.sign("results", Snapshot.of(b"{}", Sequence(5, 7)), "live", 0, 1))
        self.assertEqual((signing.key_set(), signing.signed), (b"", 0))
        with capturedLogs() as events:
            signing.log_key()
        self.assertEqual(events, [])


class ReloadTests(SynchronousTestCase):
    """Other keys."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "signing.pem"
        self.keys = make_keys()
        self.keys.write(self.path, is_new=True)
        self.settings = Settings(signing_key=self.path)
        self.shown: list[bytes] = []
        self.signing = Signing(read_signing_keys(self.settings))
        self.part = ReloadedSigning(self.signing, self.shown.append)

    def test_rotation(self) -> None:
        """A file that has changed is read, although the setting is the same."""
        after = self.keys.rotated()
        after.write(self.path)
        reload = Reload(self.settings, [self.part])
        self.part.look(self.settings)
        with capturedLogs() as events:
            report = reload.apply(self.settings)
        self.assertEqual([formatEvent(each) for each in events], [f"versions are signed by the key {after.key_id}"])
        self.assertEqual(report.changed, (Change("the key that signs", self.keys.key_id, after.key_id),))
        self.assertEqual(self.signing.keys and self.signing.keys.key_id, after.key_id)
        self.assertEqual([*read_key_set(self.shown[-1])], [after.key_id, self.keys.key_id])
        self.assertEqual(reload.apply(self.settings).changed, ())

    def test_end(self) -> None:
        """Without the setting nothing is signed any more."""
        report = Reload(self.settings, [self.part]).apply(Settings())
        self.assertEqual([each.setting for each in report.changed], ["signing_key", "the key that signs"])
        self.assertEqual((self.signing.keys, self.shown), (None, [b""]))

    def test_refusal(self) -> None:
        """Keys that cannot be used are refused, and those before go on signing; the place is named."""
        self.path.write_bytes(b"")
        settings = Settings(signing_key=self.path, places={"signing_key": "livefeed.toml:3: signing_key"})
        error = self.assertRaises(ConfigurationError, Reload(self.settings, [self.part]).apply, settings)
        self.assertTrue(str(error).startswith(f"livefeed.toml:3: signing_key: {self.path}: "), str(error))
        self.assertRaises(ConfigurationError, self.part.look, settings)
        self.assertEqual(self.signing.keys and self.signing.keys.key_id, self.signing.key_id)

    def test_other_settings_than_looked_at(self) -> None:
        """Keys that were read for other settings do not count."""
        self.part.look(Settings())
        self.part.prepare(self.settings, self.settings).abandon()
        self.part.prepare(self.settings, self.settings).commit()
        self.assertEqual(self.signing.key_id, self.keys.key_id)
