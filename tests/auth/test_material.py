"""Tokens and keys in use."""

from __future__ import annotations

import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from livefeed.auth.material import Content, Material, is_url, keys_of
from livefeed.auth.tokens import Tokens, digest_of
from livefeed.config.settings import FeedSettings
from livefeed.exceptions import ConfigurationError
from tests.helpers.missing import missing
from tests.helpers.signed_tokens import jwk, jwks, private_key, public_pem

TOKEN = b"q0Ywz3nOScE8uWq3Yc0dT1p4"
URL = "https://id.example/jwks.json"


class ContentTestCase(SynchronousTestCase):
    """Files in a folder."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = Path(directory.name)
        self.tokens, self.keys = self.folder / "tokens.txt", self.folder / "keys.pem"
        self.tokens.touch(0o600)
        self.tokens.write_bytes(b"a " + TOKEN)
        self.keys.write_bytes(public_pem(private_key("EdDSA")))
        self.feeds = [
            FeedSettings(feed="a", auth_tokens=self.tokens),
            FeedSettings(feed="b", auth_tokens=self.tokens, auth_keys=str(self.keys)),
            FeedSettings(feed="c", auth_keys=str(self.keys)),
            FeedSettings(feed="d", auth_keys=URL),
            FeedSettings(feed="e"),
        ]


class ContentTests(ContentTestCase):
    """Reading."""

    def test_read(self) -> None:
        """Each file is read once; a URL is fetched later."""
        content = Content.read(self.feeds)
        self.assertEqual(content.tokens, {str(self.tokens): Tokens({digest_of(TOKEN): None})})
        self.assertEqual([*content.keys], [str(self.keys)])
        self.assertEqual(content.urls, {URL})

    def test_errors_name_the_place(self) -> None:
        """A file that cannot be used is named, with the place where it was set."""
        self.tokens.write_bytes(b"a")
        places = {"auth_tokens": "livefeed.toml:3: feeds.a.auth_tokens", "auth_keys": "livefeed.toml:4: auth_keys"}
        feed = FeedSettings(auth_tokens=self.tokens, places=places)
        why = str(self.assertRaises(ConfigurationError, Content.read, [feed]))
        self.assertTrue(why.startswith(f"livefeed.toml:3: feeds.a.auth_tokens: {self.tokens}:1: has 1 columns"), why)
        for data, reason in ((None, "No such file"), (b"x" * (1024 * 1024 + 1), "is larger than"), (b"x", "no key")):
            self.keys.unlink() if data is None else self.keys.write_bytes(data)
            feed = FeedSettings(auth_keys=str(self.keys), places=places)
            why = str(self.assertRaises(ConfigurationError, Content.read, [feed]))
            self.assertTrue(why.startswith(f"livefeed.toml:4: auth_keys: {self.keys}: "), why)
            self.assertIn(reason, why)

    def test_missing_package(self) -> None:
        """The message says what to install, also if the keys come later."""
        with missing("jwt", "livefeed.auth.keys"):
            for feed in self.feeds[2:4]:
                why = str(self.assertRaises(ConfigurationError, Content.read, [feed]))
                self.assertRegex(why, r"^--auth-keys: a feed with signed tokens needs .*livefeed\[auth\]")

    def test_urls(self) -> None:
        """A path is none."""
        self.assertEqual(
            [is_url(each) for each in (URL, "http://localhost/k", "/k.pem", None)], [True, True, False, False]
        )
        self.assertIsNone(keys_of(None, URL))


class MaterialTests(ContentTestCase):
    """Exchanging."""

    def test_workers_get_hashes(self) -> None:
        """A worker has the same, without a token, and without the right to read a file."""
        parent, worker = Material(), Material()
        parent.take(Content.read(self.feeds))
        payloads = parent.payloads()
        self.assertNotIn(TOKEN, b"".join(payloads.values()))
        worker.take(Content.received(self.feeds, payloads))
        self.assertEqual(worker.content, parent.content)
        a, b, c, d, e = self.feeds
        self.assertEqual([len(worker.tokens_of(each)) for each in (a, b, c)], [1, 1, 0])
        self.assertEqual([worker.keys_of(each) is None for each in (b, c, d, e)], [False, False, True, True])

    def test_fetched_keys_stay(self) -> None:
        """They stay while their URL is named, and the same keys stay the same object."""
        material = Material()
        content = Content.read(self.feeds)
        keys = keys_of(jwks(jwk("ES256")), URL)
        assert keys is not None
        self.assertFalse(material.take_keys(URL, keys))
        material.take(content)
        before = material.keys_of(self.feeds[2])
        self.assertEqual([material.take_keys(URL, keys) for _ in range(2)], [True, False])
        material.take(Content.read(self.feeds))
        self.assertIs(material.keys_of(self.feeds[3]), keys)
        self.assertIs(material.keys_of(self.feeds[2]), before)
        material.take(Content.read(self.feeds[:1]))
        self.assertIsNone(material.keys_of(self.feeds[3]))

    def test_nothing_fetches(self) -> None:
        """Without anything that fetches keys, none are expected."""
        self.assertFalse(Material().want_keys(URL))
