"""The check of a token of one feed, by its settings: a token of its file, or a signed one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from livefeed.auth.grants import Grant, TokenError, Verifier
from livefeed.auth.tokens import MAX_TOKEN_BYTES, Tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.auth.material import Material
    from livefeed.config.settings import FeedSettings


def verifier_of(settings: FeedSettings, material: Material, wall: Callable[[], float]) -> FeedVerifier | None:
    """Makes the check of the tokens of a feed.

    :param material: has the tokens and keys, which may change.
    :param wall: the wall clock, in seconds since 1970.
    :returns: ``None`` for a public feed.
    """
    url = settings.auth_keys
    if settings.auth_tokens is None and url is None:
        return None
    signed: Verifier | None = None
    if url is not None:
        from livefeed.auth.signed import SignedTokens  # noqa: PLC0415 - an extra, which other feeds do not need

        signed = SignedTokens(
            settings.feed,
            partial(material.keys_of, settings),
            lambda: material.want_keys(url),
            frozenset(settings.auth_algorithm),
            settings.auth_issuer or "",
            settings.auth_audience or "",
            wall,
        )
    return FeedVerifier(partial(material.tokens_of, settings), signed, wall)


@dataclass(frozen=True, slots=True)
class FeedVerifier:
    """Checks the tokens of one feed.

    :ivar tokens: gives the tokens of its file.
    :ivar signed: checks signed tokens; ``None`` if there are none.
    :ivar wall: the wall clock, in seconds since 1970.
    """

    tokens: Callable[[], Tokens]
    signed: Verifier | None
    wall: Callable[[], float]

    def verify(self, token: bytes) -> Grant:
        """Verifier API."""
        if len(token) > MAX_TOKEN_BYTES:
            raise TokenError("malformed", "The token is too long.")
        grant = self.tokens().find(token)
        if grant is None and self.signed is not None:
            return self.signed.verify(token)
        if grant is None:
            raise TokenError("unknown", "The token is wrong.")
        if grant.expires_at is not None and self.wall() >= grant.expires_at:
            raise TokenError("expired", "The token has expired.")
        return grant

    def renew(self, grant: Grant) -> Grant | None:
        """Verifier API."""
        if isinstance(grant.key, bytes):
            return self.tokens().renew(grant)
        return None if self.signed is None else self.signed.renew(grant)
