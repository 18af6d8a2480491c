"""Signed tokens, and attacks on their check."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from livefeed.auth import signed
from livefeed.auth.grants import Grant, TokenError
from livefeed.auth.keys import KeySet
from livefeed.auth.signed import LEEWAY_S, MAX_TRIES, SignedTokens
from livefeed.auth.tokens import MAX_TOKEN_BYTES
from tests.helpers.signed_tokens import (
    AUDIENCE,
    CLAIMS,
    ISSUER,
    NOW_S,
    jwk,
    jwks,
    private_key,
    public_pem,
    segment,
    sign,
)

ALGORITHMS = ("EdDSA", "ES256", "RS256")


class SignedTestCase(SynchronousTestCase):
    """Tokens with three kinds of keys."""

    def setUp(self) -> None:
        self.now_s = float(NOW_S)
        self.keys: KeySet | None = KeySet.parse(jwks(*(jwk(each, kid=each) for each in ALGORITHMS)), "f")
        self.wanted = 0
        self.may_come = False
        self.checked = self.make(ALGORITHMS)

    def make(self, algorithms: tuple[str, ...], feed: str = "results") -> SignedTokens:
        def want() -> bool:
            self.wanted += 1
            return self.may_come

        wall = lambda: self.now_s  # noqa: E731
        return SignedTokens(feed, lambda: self.keys, want, frozenset(algorithms), ISSUER, AUDIENCE, wall)

    def refusal(self, token: bytes, checked: SignedTokens | None = None) -> str:
        error = self.assertRaises(TokenError, (checked or self.checked).verify, token)
        self.assertNotIn(token.decode("latin-1") or "?", str(error))
        return str(error.reason)


class SignedTests(SignedTestCase):
    """Good tokens, and their claims."""

    def test_algorithms(self) -> None:
        """Each is checked with its keys, whether or not the token names the key."""
        for algorithm in ALGORITHMS:
            for headers in (None, {"kid": algorithm}):
                grant = self.checked.verify(sign(algorithm, headers=headers))
                self.assertEqual(grant.expires_at, NOW_S + 600 + LEEWAY_S)
            self.assertEqual(self.refusal(sign(algorithm), self.make(("none",))), "unknown")

    def test_time(self) -> None:
        """Both ends have a leeway, and a token that was good is refused once its time is over."""
        token = sign(nbf=NOW_S + LEEWAY_S)
        self.checked.verify(token)
        self.assertEqual(self.refusal(sign(nbf=NOW_S + LEEWAY_S + 1)), "expired")
        self.now_s += 600 + LEEWAY_S - 1
        self.checked.verify(token)
        self.now_s += 1
        self.assertEqual(self.refusal(token), "expired")
        self.assertEqual(self.refusal(sign()), "expired")

    def test_claims(self) -> None:
        """Issuer and audience are required, and so is an end."""
        self.checked.verify(sign(aud=["other", AUDIENCE]))
        for claims, reason in (
            ({"iss": "https://evil.example"}, "scope"),
            ({"aud": "other"}, "scope"),
            ({"aud": ["other"]}, "scope"),
            ({"aud": None}, "malformed"),
            ({"iss": None}, "malformed"),
            ({"exp": None}, "malformed"),
            ({"exp": "tomorrow"}, "malformed"),
            ({"exp": True}, "malformed"),
            ({"nbf": "now"}, "malformed"),
            ({"feeds": "results"}, "malformed"),
        ):
            self.assertEqual(self.refusal(sign(**claims) if claims.get("exp") is None else self.raw(claims)), reason)

    def raw(self, claims: dict[str, Any]) -> bytes:
        """Signs claims that the library would refuse to sign."""
        content = segment({"alg": "EdDSA"}) + b"." + segment({**CLAIMS, **claims})
        return content + b"." + segment(private_key("EdDSA").sign(content))

    def test_numbers(self) -> None:
        """No number makes a token good for ever, or breaks anything."""
        for number in ("1e999", "-1e999", "NaN", "1" * 400, "[]"):
            body = json.dumps(CLAIMS).replace(str(NOW_S + 600), number).encode()
            content = segment({"alg": "EdDSA"}) + b"." + segment(body)
            self.assertIn(
                self.refusal(content + b"." + segment(private_key("EdDSA").sign(content))), ("malformed", "expired")
            )

    def test_feeds(self) -> None:
        """A token may be limited to some feeds."""
        for feeds in (["results"], ["other", "results"], ["*"]):
            self.checked.verify(sign(feeds=feeds))
        for feeds in ([], ["other"], ["result"]):
            self.assertEqual(self.refusal(sign(feeds=feeds)), "scope")


class AttackTests(SignedTestCase):
    """Tokens that somebody made up."""

    def test_no_signature(self) -> None:
        """The algorithm none is no algorithm, in any writing."""
        for name in ("none", "None", "NONE", ""):
            token = segment({"alg": name, "typ": "JWT"}) + b"." + segment(CLAIMS) + b"."
            self.assertEqual(self.refusal(token), "malformed")
            self.assertEqual(self.refusal(token + segment(b"x")), "unknown")

    def test_public_key_as_a_secret(self) -> None:
        """HS256 with the public key, which everybody knows, is refused, whatever the operator allows."""
        for secret in (public_pem(private_key("RS256")), json.dumps(jwk("RS256")).encode()):
            content = segment({"alg": "HS256", "kid": "RS256"}) + b"." + segment(CLAIMS)
            token = content + b"." + segment(hmac.new(secret, content, hashlib.sha256).digest())
            self.assertEqual(self.refusal(token), "unknown")
            self.assertEqual(self.refusal(token, self.make(("HS256",))), "unknown")

    def test_keys_of_others(self) -> None:
        """A key in the header, or at an address in the header, is not used."""
        for headers in (
            {"jwk": jwk("EdDSA", 9)},
            {"jku": "http://127.0.0.1:9/jwks.json"},
            {"x5u": "http://127.0.0.1:9/cert"},
            {"kid": "EdDSA"},
            {},
        ):
            self.assertEqual(self.refusal(sign("EdDSA", 9, headers)), "unknown")
        self.assertEqual(self.refusal(sign("RS256", headers={"kid": "EdDSA"})), "unknown")

    def test_names_of_keys(self) -> None:
        """They are no paths, and no queries."""
        for kid in ("../../../../dev/null", "/etc/passwd", "x' OR '1'='1", "http://127.0.0.1/", "\x00"):
            self.assertEqual(self.refusal(sign(headers={"kid": kid})), "unknown")
        self.assertEqual(self.refusal(sign(headers={"kid": "a" * 257})), "malformed")
        content = segment({"alg": "EdDSA", "kid": ["EdDSA"]}) + b"." + segment(CLAIMS)
        self.assertEqual(self.refusal(content + b"." + segment(private_key("EdDSA").sign(content))), "malformed")

    def test_extensions(self) -> None:
        """A token that requires to be understood in another way is refused."""
        for more in ({"crit": ["exp"], "exp": 1}, {"b64": False, "crit": ["b64"]}, {"b64": True}):
            content = segment({"alg": "EdDSA", **more}) + b"." + segment(CLAIMS)
            self.assertEqual(self.refusal(content + b"." + segment(private_key("EdDSA").sign(content))), "malformed")

    def test_sizes_and_depths(self) -> None:
        """Huge and deep tokens are refused before anything is parsed, and deep claims afterwards."""
        self.assertEqual(self.refusal(sign(more="x" * MAX_TOKEN_BYTES)), "malformed")
        self.assertEqual(self.refusal(sign(headers={"more": "x" * 1024})), "malformed")
        deep = b'{"alg":' + b"[" * 700
        self.assertEqual(self.refusal(segment(deep) + b".a.a"), "malformed")
        content = segment({"alg": "EdDSA"}) + b"." + segment(b'{"exp":' + b"[" * 2500 + b"]" * 100 + b"}")
        self.assertEqual(self.refusal(content + b"." + segment(private_key("EdDSA").sign(content))), "malformed")

    def test_garbage(self) -> None:
        """Whatever it is, it is refused."""
        good = sign()
        head, body, signature = good.split(b".")
        for token in (b"", b"...", b"a.b", b"a.b.c", b"\xff.\xff.\xff", good + b".x", b" " + good, good + b"\n"):
            self.assertEqual(self.refusal(token), "malformed")
        for token in (segment(b"1") + b".a.a", segment(b"\xff") + b".a.a", b"a.a.a", segment({}) + b".a.a"):
            self.assertEqual(self.refusal(token), "malformed")
        changed = segment({**CLAIMS, "exp": NOW_S + 9999})
        for token in (b".".join((head, changed, signature)), b".".join((head, body, b"AAAA"))):
            self.assertEqual(self.refusal(token), "unknown")

    def test_many_keys_without_a_name(self) -> None:
        """Only some of them are tried."""
        self.keys = KeySet.parse(jwks(*(jwk("EdDSA", number, kid=str(number)) for number in range(1, 8))), "f")
        self.checked.verify(sign("EdDSA", MAX_TRIES))
        self.assertEqual(self.refusal(sign("EdDSA", MAX_TRIES + 1)), "unknown")
        self.checked.verify(sign("EdDSA", 7, {"kid": "7"}))


class RotationTests(SignedTestCase):
    """Keys that come and go."""

    def test_keys_that_have_not_come(self) -> None:
        """Until they do, nobody can tell whether a token is good."""
        self.keys = None
        self.assertEqual((self.refusal(sign()), self.wanted), ("keys", 1))

    def test_unknown_key(self) -> None:
        """The keys are asked for, and the client comes back if that may help."""
        token = sign("EdDSA", 5, {"kid": "5"})
        self.assertEqual((self.refusal(token), self.wanted), ("unknown", 1))
        self.may_come = True
        self.assertEqual((self.refusal(token), self.wanted), ("keys", 2))
        self.assertEqual((self.refusal(sign("EdDSA", 5, {"kid": "EdDSA"})), self.wanted), ("unknown", 2))

    def test_revoked_key(self) -> None:
        """Without its key a token is refused, and its grant is not renewed."""
        token = sign()
        grant = self.checked.verify(token)
        self.assertIs(self.checked.renew(grant), grant)
        self.assertIsNone(self.make(("ES256",)).renew(grant))
        self.assertIsNone(self.checked.renew(Grant(b"digest")))
        self.keys = KeySet.parse(jwks(jwk("ES256")), "f")
        self.assertIsNone(self.checked.renew(grant))
        self.assertEqual(self.refusal(token), "unknown")
        self.keys = None
        self.assertIsNone(self.checked.renew(grant))

    def test_remembered(self) -> None:
        """The signature is checked once for each token, as long as the keys are the same. Few are remembered."""
        self.patch(signed, "MAX_REMEMBERED", 2)
        checks = []
        check = self.checked._check

        def note(token: bytes, keys: KeySet, now: float) -> Grant:
            checks.append(token)
            return check(token, keys, now)

        self.checked._check = note  # type: ignore[method-assign]
        tokens = [sign(sub=str(number)) for number in range(3)]
        for token in (*tokens, tokens[2]):
            self.checked.verify(token)
        self.assertEqual((len(checks), len(self.checked._known)), (3, 1))
        assert self.keys is not None
        self.keys = KeySet(self.keys.keys)
        self.checked.verify(tokens[2])
        self.assertEqual(len(checks), 4)
