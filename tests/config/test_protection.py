"""The settings that protect a feed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from livefeed.config.protection import check_protection
from livefeed.config.settings import FeedSettings, Settings
from livefeed.exceptions import ConfigurationError

URL = "https://id.example/jwks.json"
SIGNED: dict[str, Any] = {"auth_algorithm": ("EdDSA",), "auth_issuer": "i", "auth_audience": "a"}


class ProtectionTests(SynchronousTestCase):
    def refusal(self, **settings: Any) -> str:
        return str(self.assertRaises(ConfigurationError, check_protection, FeedSettings(**settings)))

    def test_what_works(self) -> None:
        """A public feed, tokens, keys of a file and of a URL, and cookies for listed origins."""
        for settings in (
            {},
            {"auth_tokens": Path("/t")},
            {"auth_keys": "/k.pem", **SIGNED},
            {"auth_keys": URL, **SIGNED},
            {"auth_keys": "http://127.0.0.1:8000/jwks", **SIGNED},
            {"auth_tokens": Path("/t"), "auth_cookie": "__Host-a", "allow_origin": ("https://a.example",)},
        ):
            check_protection(FeedSettings(**settings))

    def test_signed_tokens(self) -> None:
        """The operator names algorithms, issuer and audience."""
        for name, value in SIGNED.items():
            less = {key: each for key, each in SIGNED.items() if key != name}
            self.assertIn(f"--auth-keys: requires {name}, too", self.refusal(auth_keys="/k.pem", **less))
            option = name.replace("_", "-")
            self.assertIn(f"--{option}: has no effect without auth_keys", self.refusal(**{name: value}))

    def test_urls(self) -> None:
        """Keys come with TLS, and no password stands in the settings."""
        for url in (
            "https://user:password@id.example/",
            "https://",
            "https://id.example/#a",
            "https://id.example/a b",
            "https://[::1/",
            "https://id.example:99999/",
            "https://id.example/\n",
        ):
            why = self.refusal(auth_keys=url, **SIGNED)
            self.assertIn("is not the URL of a set of keys", why)
            self.assertNotIn("password@", why)
        for url in ("http://id.example/", "ftp://id.example/"):
            self.assertIn("use https://", self.refusal(auth_keys=url, **SIGNED))

    def test_cookies(self) -> None:
        """A cookie that every page could use is refused."""
        settings: dict[str, Any] = {"auth_cookie": "__Secure-a", "allow_origin": ("https://a.example",)}
        self.assertIn("has no effect without auth_tokens", self.refusal(**settings))
        settings["auth_tokens"] = Path("/t")
        self.assertIn("begins with __Secure- or __Host-", self.refusal(**{**settings, "auth_cookie": "a"}))
        for origins in (("*",), ("https://a.example", "null")):
            why = self.refusal(**{**settings, "allow_origin": origins})
            self.assertIn(f"with a cookie, {origins[-1]} would let pages of any site read the feed", why)
            self.assertTrue(why.startswith("--auth-cookie: "), why)

    def test_places(self) -> None:
        """The message names file and line."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = Path(directory.name) / "livefeed.toml"
        path.write_text(
            '[feeds.a]\nsource = "demo:"\nauth_tokens = "t"\nauth_cookie = "__Secure-a"\nallow_origin = ["*"]\n'
        )
        why = str(self.assertRaises(ConfigurationError, Settings.read, {"config": str(path)}, {}))
        self.assertTrue(why.startswith(f"{path}:5: feeds.a.allow_origin: with a cookie, * would"), why)
        path.write_text('[feeds.a]\nsource = "demo:"\nauth_tokens = "t"\n')
        feed = Settings.read({"config": str(path)}, {}).feeds[0]
        self.assertEqual(feed.auth_tokens, path.parent / "t")
