"""A signer with a key that is always the same, and the reading of its statements."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from livefeed.document.signature import SignatureError, Signed, Verified, verified
from livefeed.process.signing import Signing
from livefeed.process.signing_keys import SigningKeys

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEYS = SigningKeys(KEY)
TRUSTED = {KEYS.key_id: KEY.public_key().verify}


def make_signer(wall: Callable[[], float]) -> Signing:
    """Makes a signer of the process that pulls."""
    return Signing(KEYS, wall)


def of_fields(fields: Mapping[str, str]) -> Verified:
    """Verifies the statement in the fields of an answer, by their names in lower case."""
    return _verified(Signed.of_fields(fields))


def of_member(message: dict[str, Any]) -> Verified:
    """Verifies the statement in a message."""
    return _verified(Signed.of_member(message.get("signed")))


def _verified(signed: Signed | None) -> Verified:
    if signed is None:
        raise SignatureError("there is no statement")
    return verified(signed, TRUSTED)


@dataclass
class BrokenSigner:
    """Cannot sign."""

    tries: list[str] = field(default_factory=list)

    def sign(self, feed: str, *_: object) -> Signed:
        """Signer API."""
        self.tries.append(feed)
        raise ValueError("no key")
