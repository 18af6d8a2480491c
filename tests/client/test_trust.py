"""The public keys that a user trusts."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

from cryptography.exceptions import InvalidSignature
from twisted.trial.unittest import SynchronousTestCase

from livefeed.client.address import Address
from livefeed.client.trust import chosen_trust, feed_of, read_trust, trust_of
from livefeed.client.verification import Trust
from livefeed.exceptions import FollowError
from tests.helpers.signers import KEY, KEYS, TRUSTED

ADDRESS = Address.of("https://h/live/results.json?x=1")


class TrustTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "keys.json"
        self.path.write_bytes(KEYS.key_set())

    def test_keys(self) -> None:
        """The keys of a set verify, and belong to the feed at the end of the URL."""
        trust = read_trust(self.path, ADDRESS)
        self.assertEqual(([*trust.keys], trust.feed, trust.tolerance_s), ([KEYS.key_id], "results", 60.0))
        trust.keys[KEYS.key_id](KEY.sign(b"x"), b"x")
        self.assertRaises(InvalidSignature, trust.keys[KEYS.key_id], KEY.sign(b"x"), b"y")
        self.assertEqual(trust_of(KEYS.key_set(), ADDRESS, "other", 5.0).feed, "other")

    def test_names(self) -> None:
        """The name of a feed is the end of its path."""
        for url, name in (("http://h/feed", "feed"), ("http://h/a/b/feed.sse", "feed"), ("http://h/", "")):
            self.assertEqual(feed_of(Address.of(url)), name)

    def test_choice(self) -> None:
        """A user chooses a file, other keys, or none; a part cannot be verified."""
        self.assertIsNone(chosen_trust(None, ADDRESS, is_part=True))
        trust = Trust(TRUSTED, "feed")
        self.assertIs(chosen_trust(trust, ADDRESS, is_part=False), trust)
        read = chosen_trust(str(self.path), ADDRESS, is_part=False)
        assert read is not None
        self.assertEqual([*read.keys], [KEYS.key_id])
        error = self.assertRaises(FollowError, chosen_trust, trust, ADDRESS, is_part=True)
        self.assertIn("a part of a document is not signed", str(error))

    def test_without_the_package(self) -> None:
        """The message names the package."""
        with patch.dict(sys.modules, {"cryptography.hazmat.primitives.asymmetric.ed25519": None}):
            error = self.assertRaises(FollowError, read_trust, self.path, ADDRESS)
        self.assertIn("pip install cryptography", str(error))

    def test_refusals(self) -> None:
        """A file that cannot be used is named."""
        for content, why in ((b"{}", "it is no set of keys"), (None, "No such file")):
            if content is None:
                self.path.unlink()
            else:
                self.path.write_bytes(content)
            error = self.assertRaises(FollowError, read_trust, self.path, ADDRESS)
            self.assertIn(f"{self.path}: {why}", str(error))
