"""Public keys with which signed tokens are checked: PEM, a JWK, or a set of JWKs (RFC 7517).

Rule: a set has public keys alone, each for one algorithm. A secret key never gets in, so no token can be signed with a
key that everybody knows.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from livefeed.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_KEYS = 32
"""Largest number of keys in a file or a set. Providers publish two to five."""

MAX_KID_CHARACTERS = 256
"""Characters of the longest name of a key. Names of providers have 64 at most."""

MIN_RSA_BITS, MAX_RSA_BITS = 2048, 8192
"""Bits of the shortest key of RSA (RFC 7518, 3.3), and of the longest one. With 16,384, each wrong token would take 10
ms of the reactor's thread."""

_PEM_BEGIN, _PEM_END = b"-----BEGIN ", b"-----END PUBLIC KEY-----"
_FAMILIES: dict[str, Any] = {"OKP": OKPAlgorithm, "EC": ECAlgorithm, "RSA": RSAAlgorithm}
_PRIVATE = frozenset(("d", "p", "q", "k"))


@dataclass(frozen=True, slots=True)
class Key:
    """One public key.

    :ivar kid: its name in a set; ``None`` if it has none, as in PEM.
    :ivar algorithm: the one algorithm that it is used with: ``EdDSA``, ``ES256`` or ``RS256``.
    :ivar public: the key of the library.
    :ivar thumbprint: tells it from all others.
    """

    kid: str | None
    algorithm: str
    public: Any
    thumbprint: bytes


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys of one file or URL.

    :ivar keys: the keys, in their order.
    :ivar data: the bytes that they were parsed from, for workers.
    """

    keys: tuple[Key, ...] = ()
    data: bytes = field(default=b"", repr=False, compare=False)

    @classmethod
    def parse(cls, data: bytes, name: str) -> KeySet:
        """Parses PEM, a JWK, or a set of JWKs. Of a set, keys of other kinds and uses are left out.

        :param name: the file or URL, for messages.
        :raises ConfigurationError: if there is no key that can be used.
        """
        text = data.strip()
        keys = tuple(_of_json(text, name) if text.startswith(b"{") else _of_pem(text, name))
        if not keys:
            what = "a public key of Ed25519, of P-256, or of RSA with 2048 to 8192 bits"
            raise ConfigurationError(f"{name}: has no key that can be used: {what}", "auth_keys")
        if len(keys) > MAX_KEYS:
            raise ConfigurationError(f"{name}: has more than {MAX_KEYS} keys", "auth_keys")
        return cls(keys, data)

    def candidates(self, algorithm: str, kid: str | None) -> list[Key]:
        """Gives the keys that may have signed a token.

        :param algorithm: the algorithm in its header.
        :param kid: the name of the key in its header; ``None`` if there is none. A key without a name may have any.
        """
        named = [key for key in self.keys if key.algorithm == algorithm]
        if kid is None:
            return named
        return [key for key in named if key.kid == kid] or [key for key in named if key.kid is None]

    def has(self, thumbprint: bytes) -> bool:
        """Tells whether a key is in the set."""
        return any(key.thumbprint == thumbprint for key in self.keys)

    def __len__(self) -> int:
        return len(self.keys)


def _of_pem(text: bytes, name: str) -> Iterator[Key]:
    if b"PRIVATE KEY" in text:
        why = "has a private key, which signs tokens: livefeed needs the public one alone"
        raise ConfigurationError(f"{name}: {why}; `openssl pkey -pubout` makes it", "auth_keys")
    for block in text.split(_PEM_END)[:-1]:
        begin = block.rfind(_PEM_BEGIN)
        try:
            public = load_pem_public_key(block[max(begin, 0) :] + _PEM_END)
        except Exception:  # the library raises errors of its own and of others
            raise ConfigurationError(f"{name}: has a public key that cannot be read", "auth_keys") from None
        key = _key(public, None)
        if key is not None:
            yield key


def _of_json(text: bytes, name: str) -> Iterator[Key]:
    try:
        document = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ConfigurationError(f"{name}: is neither PEM nor a JSON object with keys", "auth_keys") from None
    listed = document.get("keys", [document])
    if not isinstance(listed, list):
        raise ConfigurationError(f"{name}: its member 'keys' is not a list", "auth_keys")
    return _of_jwks(listed[: MAX_KEYS + 1])


def _of_jwks(listed: Iterable[Any]) -> Iterator[Key]:
    for jwk in listed:
        try:
            key = _of_jwk(jwk)
        except Exception:  # noqa: S112 - whatever is wrong with it: it cannot be used
            continue
        if key is not None:
            yield key


def _of_jwk(jwk: dict[str, Any]) -> Key | None:
    kid = jwk.get("kid")
    is_named = kid is None or (isinstance(kid, str) and len(kid) <= MAX_KID_CHARACTERS)
    is_for_signatures = jwk.get("use", "sig") == "sig" and "verify" in jwk.get("key_ops", ["verify"])
    if not is_named or not is_for_signatures or not _PRIVATE.isdisjoint(jwk):
        return None
    key = _key(_FAMILIES[jwk["kty"]].from_jwk(jwk), kid)
    return key if key is not None and jwk.get("alg", key.algorithm) in (key.algorithm, "Ed25519") else None


def _key(public: Any, kid: str | None) -> Key | None:
    """Gives a key for its one algorithm; ``None`` if it cannot be used."""
    if isinstance(public, Ed25519PublicKey):
        algorithm = "EdDSA"
    elif isinstance(public, EllipticCurvePublicKey) and isinstance(public.curve, SECP256R1):
        algorithm = "ES256"
    elif isinstance(public, RSAPublicKey) and MIN_RSA_BITS <= public.key_size <= MAX_RSA_BITS:
        algorithm = "RS256"
    else:
        return None
    data = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Key(kid, algorithm, public, hashlib.sha256(data).digest())
