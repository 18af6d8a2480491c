"""Public keys of Ed25519 as JSON: a set of JSON Web Keys (RFC 7517, 8037), and the ids of keys (RFC 7638).

Rule: only public keys are here, and a set that names a private one is refused.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

KEY_BYTES = 32
"""The size of a public key of Ed25519."""

MAX_KEYS = 16
"""The largest number of keys in a set: one that signs, one that is next, and those of the last rotations."""

MAX_SET_BYTES = 65_536
"""The largest size of a set in bytes. A key has about 200; those of other services may stand beside them."""


class KeySetError(ValueError):
    """A set of keys cannot be used. The message says why."""


def key_id(public: bytes) -> str:
    """Gives the id of a key: its thumbprint (RFC 7638), of 43 characters.

    :param public: the 32 bytes of the key.
    """
    canonical = f'{{"crv":"Ed25519","kty":"OKP","x":"{_base64url(public)}"}}'
    return _base64url(hashlib.sha256(canonical.encode("ascii")).digest())


def key_set(keys: Iterable[bytes]) -> bytes:
    """Gives the set of keys as JSON (RFC 7517, 5), the one that signs first."""
    members = [
        {"kty": "OKP", "crv": "Ed25519", "kid": key_id(key), "use": "sig", "alg": "EdDSA", "x": _base64url(key)}
        for key in keys
    ]
    return json.dumps({"keys": members}, indent=1).encode("ascii") + b"\n"


def read_key_set(content: bytes) -> dict[str, bytes]:
    """Gives the keys of Ed25519 in a set, by their ids. Other keys are left out.

    The ids are computed: a set cannot give a key the id of another one.

    :raises KeySetError: if it is no set, has a private key, too many keys, or none of Ed25519.
    """
    if len(content) > MAX_SET_BYTES:
        raise KeySetError(f"it has more than {MAX_SET_BYTES} bytes")
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        raise KeySetError("it is no JSON") from None
    members = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(members, list):
        raise KeySetError('it is no set of keys: it has no list "keys" (RFC 7517, 5)')
    if len(members) > MAX_KEYS:
        raise KeySetError(f"it has more than {MAX_KEYS} keys")
    keys = {}
    for each in members:
        if not isinstance(each, dict):
            raise KeySetError("one of its keys is no object")
        if "d" in each:
            raise KeySetError("it has a private key, which must not be published: make a new key with livefeed keys")
        if (each.get("kty"), each.get("crv")) != ("OKP", "Ed25519"):
            continue
        public = _bytes_of(each.get("x"))
        keys[key_id(public)] = public
    if not keys:
        raise KeySetError("it has no key of Ed25519")
    return keys


def _bytes_of(text: object) -> bytes:
    padded = text + "=" * (-len(text) % 4) if isinstance(text, str) else "!"
    try:
        public = base64.b64decode(padded, altchars=b"-_", validate=True)
    except ValueError:  # of which that of base64 is one
        raise KeySetError("one of its keys is not base64url") from None
    if len(public) != KEY_BYTES:
        raise KeySetError(f"one of its keys does not have {KEY_BYTES} bytes")
    return public


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
