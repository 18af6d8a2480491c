"""Signed tokens for tests, and the keys that sign them."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER, AUDIENCE = "https://id.example", "livefeed"
NOW_S = 1_800_000_000
"""The time of the tests."""

CLAIMS: dict[str, Any] = {"iss": ISSUER, "aud": AUDIENCE, "exp": NOW_S + 600}


def private_key(algorithm: str, number: int = 0) -> Any:
    """Gives a private key, the same at each call.

    :param number: tells it from others of the same algorithm.
    """
    return _made(algorithm, number)


@cache
def _made(algorithm: str, _number: int) -> Any:
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm == "RS256":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP384R1() if algorithm == "ES384" else ec.SECP256R1())


def public_pem(private: Any) -> bytes:
    """Gives the public key of a private one as PEM."""
    pem: bytes = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def private_pem(private: Any) -> bytes:
    """Gives a private key as PEM."""
    pem: bytes = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


def jwk(algorithm: str, number: int = 0, **members: Any) -> dict[str, Any]:
    """Gives the public key as a JWK."""
    kinds: dict[str, Any] = {"EdDSA": OKPAlgorithm, "RS256": RSAAlgorithm}
    made = kinds.get(algorithm, ECAlgorithm).to_jwk(private_key(algorithm, number).public_key())
    return {**json.loads(made), **members}


def jwks(*keys: Any) -> bytes:
    """Gives a set of JWKs."""
    return json.dumps({"keys": keys}).encode()


def sign(algorithm: str = "EdDSA", number: int = 0, headers: Any = None, **claims: Any) -> bytes:
    """Gives a signed token; a claim that is ``None`` is left out."""
    content = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    return jwt.encode(content, private_key(algorithm, number), algorithm, headers).encode()


def segment(value: object) -> bytes:
    """Gives a part of a token: JSON, or bytes, in base64url."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(data).rstrip(b"=")
