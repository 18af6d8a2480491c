"""The check of a token of one feed."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from livefeed.auth.grants import Grant, TokenError
from livefeed.auth.material import Content, Material, keys_of
from livefeed.auth.tokens import Tokens
from livefeed.auth.verifiers import FeedVerifier, verifier_of
from livefeed.config.settings import FeedSettings
from tests.helpers.signed_tokens import AUDIENCE, ISSUER, NOW_S, jwk, jwks, sign

TOKEN, OLD = b"q0Ywz3nOScE8uWq3Yc0dT1p4", b"q0Ywz3nOScE8uWq3Yc0dT1p5"
LINES = b"a %s\nb %s 2026-01-01T00:00:00Z" % (TOKEN, OLD)
BOTH = FeedSettings(
    auth_tokens=Path("/t"),
    auth_keys="https://id.example/",
    auth_algorithm=("EdDSA",),
    auth_issuer=ISSUER,
    auth_audience=AUDIENCE,
)


class VerifierTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.material = Material()
        keys = keys_of(jwks(jwk("EdDSA", kid="a")), "f")
        assert keys is not None
        self.asked: list[str] = []
        self.material.want_keys = self.want
        content = Content({"/t": Tokens.parse(LINES, "f")}, {"https://id.example/": keys})
        self.material.take(content)

    def want(self, url: str) -> bool:
        self.asked.append(url)
        return False

    def make(self, settings: FeedSettings) -> FeedVerifier:
        made = verifier_of(settings, self.material, lambda: NOW_S)
        assert made is not None
        return made

    def refusal(self, settings: FeedSettings, token: bytes) -> str:
        return str(self.assertRaises(TokenError, self.make(settings).verify, token).reason)

    def test_public(self) -> None:
        """Without tokens and keys there is nothing to check."""
        self.assertIsNone(verifier_of(FeedSettings(), self.material, lambda: NOW_S))

    def test_tokens(self) -> None:
        """A token of the file, until its end."""
        settings = FeedSettings(auth_tokens=Path("/t"))
        grant = self.make(settings).verify(TOKEN)
        self.assertEqual(self.make(settings).renew(grant), grant)
        self.assertIsNone(self.make(settings).renew(Grant(("key",))))
        for token, reason in ((OLD, "expired"), (sign(), "unknown"), (b"x" * 5000, "malformed")):
            self.assertEqual(self.refusal(settings, token), reason)
        self.material.take(Content())
        self.assertIsNone(self.make(settings).renew(grant))

    def test_both(self) -> None:
        """A token of the file, or a signed one."""
        verifier = self.make(BOTH)
        self.assertIsInstance(verifier.verify(TOKEN).key, bytes)
        grant = verifier.verify(sign())
        self.assertEqual(verifier.renew(grant), grant)
        self.assertEqual(self.refusal(BOTH, b"q" * 20), "malformed")
        self.assertEqual(self.refusal(BOTH, sign("EdDSA", 3, {"kid": "3"})), "unknown")
        self.assertEqual(self.asked, ["https://id.example/"])
