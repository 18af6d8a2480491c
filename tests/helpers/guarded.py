"""Protected feeds in memory: a guard with a check of tokens that knows two of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from livefeed.auth.grants import DenialReason, Grant, TokenError
from livefeed.delivery.guard import Guard
from livefeed.web.cors import Origins
from livefeed.web.failures import Failures

if TYPE_CHECKING:
    from livefeed.delivery.published_feed import PublishedFeed

TOKEN, SHORT = b"right-token", b"short-token"
SHORT_S = 10.0
"""The end of the second token, by the clock of the tests."""

AUTHORIZATION, SHORT_AUTHORIZATION = (b"Authorization: Bearer " + token for token in (TOKEN, SHORT))
"""The fields with the tokens."""


class FakeVerifier:
    """Knows two tokens.

    :ivar revoked: the keys of grants that are not renewed.
    :ivar error: why other tokens are refused.
    """

    def __init__(self) -> None:
        self.revoked: set[object] = set()
        self.error: DenialReason = "unknown"

    def verify(self, token: bytes) -> Grant:
        """Verifier API."""
        if token in (TOKEN, SHORT) and token not in self.revoked:
            return Grant(token, SHORT_S if token == SHORT else None)
        raise TokenError(self.error, "The token is wrong.")

    def renew(self, grant: Grant) -> Grant | None:
        """Verifier API."""
        return None if grant.key in self.revoked else grant


def protect(published: PublishedFeed, site: Any = None, *origins: str, cookie: bytes | None = None) -> Guard:
    """Puts a guard before a feed, whose clock is also the wall clock.

    :param site: the site of the feed, whose resources are made anew.
    :param origins: the origins whose pages may read the feed.
    :param cookie: the name of the cookie that may have a token.
    """
    allowed = Origins.parse(origins or ("*",), with_credentials=cookie is not None)
    clock, tally = published.feed.clock, published.feed.tally
    guard = Guard(FakeVerifier(), allowed, cookie, Failures(clock), tally, clock, clock.seconds)
    published.guard, published.origins = guard, allowed
    if site is not None:
        site.resource.update()
        site.forget_answers()
    return guard
