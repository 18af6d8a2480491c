"""The file with the keys that sign."""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.public_keys import MAX_KEYS, read_key_set
from livefeed.exceptions import ConfigurationError
from livefeed.process import signing_keys
from livefeed.process.signing_keys import MAX_FILE_BYTES, SigningKeys, make_keys, read_keys


class SigningKeysTests(SynchronousTestCase):
    """Keys in a file."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.path = self.folder / "signing.pem"

    def parts(self, keys: SigningKeys) -> list[str]:
        return [part for part, _ in keys.published().values()]

    def refused(self, data: bytes, mode: int = 0o600) -> str:
        self.path.write_bytes(data)
        self.path.chmod(mode)
        error = self.assertRaises(ConfigurationError, read_keys, self.path)
        self.assertEqual(error.setting, "signing_key")
        self.assertTrue(error.why.startswith(f"{self.path}: "), error.why)
        return str(error.why)

    def test_ids_are_arguments(self) -> None:
        """None begins with a hyphen: `livefeed keys forget FILE ID` would take it for an option."""
        ids = iter(("-a", "-b", "c"))
        self.patch(signing_keys, "key_id", lambda _: next(ids))
        make_keys()
        self.assertRaises(StopIteration, next, ids)

    def test_ids_that_are_never_arguments(self) -> None:
        """The search ends: such a key signs as well as any."""
        made: list[bytes] = []

        def hyphened(public: bytes) -> str:
            made.append(public)
            return f"-{len(made)}"

        self.patch(signing_keys, "key_id", hyphened)
        keys = make_keys()
        self.assertEqual(len(made), signing_keys.MAX_TRIES)
        self.assertEqual(keys.signing.public_key().public_bytes_raw(), made[-1])

    def test_create(self) -> None:
        """A file is readable by its owner alone, and is not replaced."""
        keys = make_keys()
        keys.write(self.path, is_new=True)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual(read_keys(self.path).key_id, keys.key_id)
        error = self.assertRaises(ConfigurationError, make_keys().write, self.path, is_new=True)
        self.assertIn("is there already", str(error))
        self.assertEqual(read_keys(self.path).key_id, keys.key_id)
        self.assertEqual([each.name for each in self.folder.iterdir()], ["signing.pem"])

    def test_rotation(self) -> None:
        """A rotation makes a key that signs, and the one before stays published."""
        first = make_keys()
        first.write(self.path, is_new=True)
        self.path.chmod(0o640)
        second = first.rotated()
        second.write(self.path)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o640)
        found = read_keys(self.path)
        self.assertNotEqual(found.key_id, first.key_id)
        self.assertEqual([*found.published()], [second.key_id, first.key_id])
        self.assertEqual(self.parts(found), ["signs", "earlier"])
        self.assertNotIn(first._text().splitlines()[1], self.path.read_bytes())

    def test_announced_rotation(self) -> None:
        """A key that was announced is published, and signs after the next rotation."""
        first = make_keys().announced()
        first.write(self.path, is_new=True)
        found = read_keys(self.path)
        self.assertEqual((found.key_id, self.parts(found)), (first.key_id, ["signs", "next"]))
        self.assertRaises(ConfigurationError, found.announced)
        rotated = found.rotated()
        self.assertEqual(rotated.key_id, [*found.published()][1])
        self.assertEqual(self.parts(rotated), ["signs", "earlier"])

    def test_published(self) -> None:
        """The set has the public keys, and nothing private; neither has the text of the keys."""
        keys = make_keys().announced().rotated()
        self.assertEqual([*read_key_set(keys.key_set())], [*keys.published()])
        self.assertNotIn("PrivateKey", repr(keys))

    def test_forget(self) -> None:
        """An earlier key can be taken away, and no other one."""
        first = make_keys()
        second = first.rotated().announced()
        self.assertEqual(self.parts(second.without(first.key_id)), ["signs", "next"])
        self.assertIn("is in use", str(self.assertRaises(ConfigurationError, second.without, second.key_id)))
        self.assertIn("is not in the file", str(self.assertRaises(ConfigurationError, second.without, "x")))

    def test_limit(self) -> None:
        """A file has a limited number of keys."""
        keys = make_keys()
        for _ in range(MAX_KEYS - 1):
            keys = keys.rotated()
        self.assertIn("16 keys at most", str(self.assertRaises(ConfigurationError, keys.rotated)))
        self.assertIn("16 keys at most", str(self.assertRaises(ConfigurationError, keys.announced)))
        one = keys._text()
        self.assertIn("more than 16", self.refused(one + one[one.index(b"-----BEGIN PUBLIC") :]))

    def test_refusals(self) -> None:
        """A file that cannot be used is refused with the reason, which quotes nothing of it."""
        text = make_keys()._text()
        other = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.assertIn("every user may read it", self.refused(text, 0o604))
        for data, why in (
            (b"", "no private key"),
            (text * 3, "more than two"),
            (other, "of another kind"),
            (text.replace(b"PRIVATE", b"ENCRYPTED PRIVATE"), "unencrypted PEM"),
            (text.replace(b"MC4C", b"AAAA"), "a damaged key"),
            (text + b" " * MAX_FILE_BYTES, "larger than"),
        ):
            message = self.refused(data)
            self.assertIn(why, message)
            self.assertNotIn(text.splitlines()[1].decode(), message)
        self.path.unlink()
        missing = self.assertRaises(ConfigurationError, read_keys, self.path)
        self.assertIn(f"`livefeed keys create {self.path}` makes it", str(missing))
        self.assertIn("Is a directory", str(self.assertRaises(ConfigurationError, read_keys, self.folder)))

    def test_folder_that_cannot_be_written(self) -> None:
        """A file that cannot be written is left as it was."""
        error = self.assertRaises(ConfigurationError, make_keys().write, self.folder / "a" / "b", is_new=True)
        self.assertIn("No such file", str(error))
