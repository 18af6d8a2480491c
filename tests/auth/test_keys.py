"""Public keys from PEM and JWKs."""

from __future__ import annotations

import base64
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from twisted.trial.unittest import SynchronousTestCase

from livefeed.auth.keys import MAX_KEYS, KeySet
from livefeed.exceptions import ConfigurationError
from tests.helpers.signed_tokens import jwk, jwks, private_key, private_pem, public_pem

ALGORITHMS = ("EdDSA", "ES256", "RS256")


class KeySetTests(SynchronousTestCase):
    def refusal(self, data: bytes) -> str:
        return str(self.assertRaises(ConfigurationError, KeySet.parse, data, "keys.pem"))

    def test_pem(self) -> None:
        """A file has one key or several, without names."""
        pems = [public_pem(private_key(each)) for each in ALGORITHMS]
        parsed = KeySet.parse(b"# comment\n" + b"\n".join(pems), "f")
        self.assertEqual([(key.algorithm, key.kid) for key in parsed.keys], [(each, None) for each in ALGORITHMS])
        self.assertEqual(len(parsed), 3)
        self.assertEqual(len({key.thumbprint for key in parsed.keys}), 3)
        self.assertTrue(parsed.has(parsed.keys[0].thumbprint))
        self.assertFalse(parsed.has(b""))

    def test_private_keys_are_refused(self) -> None:
        """A file with one would let every reader of it sign tokens."""
        self.assertIn("livefeed needs the public one alone", self.refusal(private_pem(private_key("EdDSA"))))
        secret = {"kty": "OKP", "crv": "Ed25519", "d": "AAAA", "x": jwk("EdDSA")["x"]}
        self.assertIn("has no key that can be used", self.refusal(json.dumps(secret).encode()))

    def test_keys_that_cannot_be_used(self) -> None:
        """Other curves, short keys, long ones that take long, and no keys at all."""
        short = rsa.generate_private_key(65537, 1024)
        long = {"kty": "RSA", "n": base64.urlsafe_b64encode(b"\xff" * 1025).decode().rstrip("="), "e": "AQAB"}
        self.assertIn("has no key that can be used", self.refusal(json.dumps(long).encode()))
        for data in (b"", b"abc", public_pem(short), public_pem(private_key("ES384")), b'{"keys": []}', b"{}"):
            self.assertIn("has no key that can be used", self.refusal(data))
        self.assertIn("cannot be read", self.refusal(b"-----BEGIN PUBLIC KEY-----\nAA\n-----END PUBLIC KEY-----\n"))
        self.assertIn("cannot be read", self.refusal(b"x-----END PUBLIC KEY-----\n"))
        self.assertIn("neither PEM nor a JSON object", self.refusal(b"{"))
        self.assertIn("neither PEM nor a JSON object", self.refusal(b'{"keys":' + b"[" * 100_000))
        self.assertIn("is not a list", self.refusal(b'{"keys": 1}'))

    def test_jwk(self) -> None:
        """One key alone."""
        parsed = KeySet.parse(json.dumps(jwk("ES256", kid="a")).encode(), "f")
        self.assertEqual([(key.algorithm, key.kid) for key in parsed.keys], [("ES256", "a")])

    def test_sets_leave_out_other_keys(self) -> None:
        """Secret ones, those for other uses, and those that are malformed do no harm."""
        others: list[Any] = [
            {"kty": "oct", "k": "c2VjcmV0", "kid": "a", "alg": "HS256"},
            jwk("RS256", kid="a", use="enc"),
            jwk("RS256", kid="a", alg="RS512"),
            jwk("RS256", kid="a", key_ops=["encrypt"]),
            jwk("RS256", kid="a", key_ops=1),
            jwk("RS256", kid="a" * 257),
            jwk("RS256", kid=1),
            {"kty": [], "kid": "a"},
            {"kty": "EC", "kid": "a"},
            1,
        ]
        parsed = KeySet.parse(jwks(*others, jwk("EdDSA", kid="a", alg="EdDSA", use="sig"), jwk("ES256")), "f")
        self.assertEqual([(key.algorithm, key.kid) for key in parsed.keys], [("EdDSA", "a"), ("ES256", None)])

    def test_number(self) -> None:
        """It is limited, also that of keys which are left out."""
        self.assertIn("has more than", self.refusal(jwks(*[jwk("EdDSA")] * (MAX_KEYS + 1))))
        useless = [{"kty": "oct"}] * (MAX_KEYS + 1)
        self.assertIn("has no key", self.refusal(jwks(*useless, jwk("EdDSA"))))

    def test_candidates(self) -> None:
        """A name chooses among the keys of an algorithm; a key without a name may have any."""
        parsed = KeySet.parse(jwks(jwk("EdDSA", 1, kid="1"), jwk("EdDSA", 2, kid="2"), jwk("ES256")), "f")
        one, two, unnamed = parsed.keys
        self.assertEqual(parsed.candidates("EdDSA", "2"), [two])
        self.assertEqual(parsed.candidates("EdDSA", None), [one, two])
        self.assertEqual(parsed.candidates("EdDSA", "../../keys/2"), [])
        self.assertEqual(parsed.candidates("ES256", "2"), [unnamed])
        self.assertEqual(parsed.candidates("HS256", None), [])
