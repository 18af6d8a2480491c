"""A signer with a key that is always the same, and the reading of its statements."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from livefeed.document.signature import SignatureError, Signed, Statement, Verified, verified
from livefeed.process.signing import Signing
from livefeed.process.signing_keys import SigningKeys

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEYS = SigningKeys(KEY)
FIRST = (7, 1)
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


def statement_about(  # noqa: PLR0913 - all but the document have defaults
    content: bytes,
    *,
    feed: str = "feed",
    sequence: tuple[int, int] = FIRST,
    state: str = "live",
    created: int = 1_764_000_000,
    lasts_s: int = 8,
    key_id: str = KEYS.key_id,
    key: Ed25519PrivateKey = KEY,
) -> Signed:
    """Signs that a document is the newest version of a feed."""
    statement = Statement(feed, sequence, hashlib.sha256(content).digest(), state, "2026-11-23T20:15:07.004Z")
    return Signed.of(statement.text(), key_id, created, created + lasts_s, key.sign)


def member_of(signed: Signed) -> dict[str, Any]:
    """Gives a statement as the value of the member of a message."""
    member: dict[str, Any] = json.loads(b"{" + signed.member()[1:] + b"}")["signed"]
    return member
