"""The result of checking a token: a grant, or the reason why there is none.

Rule: neither a grant nor an error has the token in it, so that no log and no message can show it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from livefeed.exceptions import LivefeedError

if TYPE_CHECKING:
    from collections.abc import Hashable

DenialReason = Literal["missing", "malformed", "unknown", "expired", "scope", "origin", "query", "rate", "keys"]
"""Why a request for a protected feed was denied, as metrics name it: it had no token; one that cannot be read; one that
is wrong; one whose time is over or has not come; one for other feeds; a cookie that a page of another site has sent; a
token in its URL; too many wrong tokens of its address before; or a token of a key that is being fetched."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A token that is good for a feed.

    :ivar key: names the token, or the key that has signed it, for :meth:`Verifier.renew`.
    :ivar expires_at: the time at which it ends, in seconds since 1970; ``None`` for never.
    """

    key: Hashable
    expires_at: float | None = None


class TokenError(LivefeedError):
    """A token is not good for a feed.

    :param reason: the reason, as metrics name it.
    :param why: one sentence for a human reader, in ASCII, without quotes and backslashes, and with nothing of the
        token.
    """

    def __init__(self, reason: DenialReason, why: str) -> None:
        super().__init__(why)
        self.reason: DenialReason = reason
        self.why = why


class Verifier(Protocol):
    """The check of the tokens of one feed."""

    def verify(self, token: bytes, /) -> Grant:
        """Checks a token.

        :raises TokenError: if it is not good for the feed now.
        """

    def renew(self, grant: Grant, /) -> Grant | None:
        """Checks a grant again, after tokens or keys have changed.

        :returns: the grant as it is now; ``None`` if it has been revoked.
        """
