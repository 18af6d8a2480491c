"""The check of a signed token: a JWT (RFC 7519) with a signature of EdDSA, ES256 or RS256, by the rules of RFC 8725.

Rules: the operator names the algorithms, and a key has one of them, so a token chooses neither. Nothing of a token is
parsed further than its header before its signature is right, and no member of the header is ever fetched, opened or
used as a path: ``kid`` is looked up in the set, and ``jwk``, ``jku``, ``x5c`` and ``x5u`` are not read.
"""

from __future__ import annotations

import math
import re
from base64 import urlsafe_b64decode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
from jwt.api_jws import PyJWS
from jwt.exceptions import PyJWTError

from livefeed.auth.grants import Grant, TokenError
from livefeed.auth.keys import MAX_KID_CHARACTERS
from livefeed.auth.tokens import MAX_TOKEN_BYTES, digest_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.auth.keys import Key, KeySet

LEEWAY_S = 30.0
"""Seconds by which the clocks of livefeed and of the issuer may differ (RFC 7519, 4.1.4)."""

MAX_HEADER_BYTES = 1024
"""Size of the largest header of a token, in base64url. One with the name of a key has 100 bytes."""

MAX_TRIES = 4
"""Keys that are tried for a token that names none. Each takes a tenth of a millisecond."""

MAX_REMEMBERED = 4096
"""Tokens whose signature is not checked again: a check takes 90 to 130 µs, and a look-up 3 µs. Each takes 300 bytes."""

MAX_LISTED = 256
"""Members of the lists in claims that are looked at."""

_COMPACT = re.compile(rb"([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class _Header(msgspec.Struct):
    """The members of a header that decide. Any other one is ignored, except for ``crit`` and ``b64``."""

    alg: str
    kid: str | None = None
    crit: Any = None
    b64: Any = None


class _Claims(msgspec.Struct):
    """The claims that decide (RFC 7519, 4.1)."""

    exp: float
    iss: str
    aud: str | list[str]
    nbf: float | None = None
    feeds: list[str] | None = None


_decode_header = msgspec.json.Decoder(_Header).decode
_decode_claims = msgspec.json.Decoder(_Claims).decode


@dataclass(eq=False)
class SignedTokens:
    """Checks the signed tokens of one feed.

    :ivar feed: the name of the feed.
    :ivar keys: gives the keys in use; ``None`` while they have not been fetched.
    :ivar want: has the keys fetched again, as for a key that is not known, and tells whether they may come soon.
    :ivar algorithms: the names of the algorithms that are allowed.
    :ivar issuer: the issuer of the tokens.
    :ivar audience: the audience that tokens must name.
    :ivar wall: the wall clock, in seconds since 1970.
    """

    # required parameters
    feed: str
    keys: Callable[[], KeySet | None]
    want: Callable[[], bool]
    algorithms: frozenset[str]
    issuer: str
    audience: str
    wall: Callable[[], float]

    # internal state
    _known: dict[bytes, tuple[KeySet, Grant]] = field(default_factory=dict)
    _jws: PyJWS = field(default_factory=PyJWS)

    def verify(self, token: bytes) -> Grant:
        """Verifier API."""
        keys, now = self.keys(), self.wall()
        digest = digest_of(token)
        known, grant = self._known.get(digest, (None, None))
        if grant is None or known is not keys:
            if keys is None:
                self.want()
                raise TokenError("keys", "The keys of tokens have not been fetched yet. Come back later.")
            grant = self._check(token, keys, now)
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            self._known[digest] = keys, grant
        if grant.expires_at is not None and now >= grant.expires_at:
            raise TokenError("expired", "The token has expired.")
        return grant

    def renew(self, grant: Grant) -> Grant | None:
        """Verifier API."""
        keys, key = self.keys(), grant.key
        if not isinstance(key, tuple) or key[1:] != self._rules(key[1]) or keys is None:
            return None
        return grant if keys.has(key[0]) else None

    def _rules(self, algorithm: object) -> tuple[object, ...]:
        """Gives the rules that a token of an algorithm was checked by, as a grant keeps them."""
        return (algorithm if algorithm in self.algorithms else None, self.issuer, self.audience)

    def _check(self, token: bytes, keys: KeySet, now: float) -> Grant:
        header = self._header(token)
        key, payload = self._signed_by(token, header, keys)
        try:
            claims = _decode_claims(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            why = "The token lacks one of the claims exp, iss and aud, or has one of another type."
            raise TokenError("malformed", why) from None
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud[:MAX_LISTED]
        if claims.iss != self.issuer or self.audience not in audiences:
            raise TokenError("scope", "The token is of another issuer, or for another audience.")
        if claims.feeds is not None and not {self.feed, "*"} & set(claims.feeds[:MAX_LISTED]):
            raise TokenError("scope", "The token is for other feeds.")
        if not math.isfinite(claims.exp) or not math.isfinite(claims.nbf or 0.0):
            raise _unreadable()
        if claims.nbf is not None and now < claims.nbf - LEEWAY_S:
            raise TokenError("expired", "The token is not good yet.")
        return Grant((key.thumbprint, *self._rules(key.algorithm)), claims.exp + LEEWAY_S)

    def _header(self, token: bytes) -> _Header:
        """Gives the header of a token that may be good."""
        match = _COMPACT.fullmatch(token) if len(token) <= MAX_TOKEN_BYTES else None
        if match is None or len(match[1]) > MAX_HEADER_BYTES:
            raise _unreadable()
        try:
            header = _decode_header(urlsafe_b64decode(match[1] + b"=" * (-len(match[1]) % 4)))
        except (ValueError, RecursionError):
            # msgspec.DecodeError, binascii.Error and UnicodeDecodeError are ValueErrors.
            raise _unreadable() from None
        if header.crit is not None or header.b64 is not None:
            raise TokenError("malformed", "The token requires an extension, and there is none.")
        if header.alg not in self.algorithms:
            raise TokenError("unknown", "The token is signed by another algorithm than the feed allows.")
        if header.kid is not None and len(header.kid) > MAX_KID_CHARACTERS:
            raise _unreadable()
        return header

    def _signed_by(self, token: bytes, header: _Header, keys: KeySet) -> tuple[Key, bytes]:
        """Gives the key that has signed a token, and its content."""
        candidates = keys.candidates(header.alg, header.kid)
        if not candidates and self.want():
            raise TokenError("keys", "The keys of tokens are being fetched. Come back later.")
        for key in candidates[:MAX_TRIES]:
            try:
                decoded = self._jws.decode_complete(token, key.public, algorithms=[key.algorithm])
            except (PyJWTError, ValueError, RecursionError):
                continue
            return key, decoded["payload"]
        raise TokenError("unknown", "The token is not signed by a key of this feed.")


def _unreadable() -> TokenError:
    return TokenError("malformed", "The token cannot be read.")
