"""The guard of a protected feed: it decides which requests, and which items of connections, may have it.

Rule: each request and each item is judged by its own token, before anything else is said about the feed. A feed without
a guard is public, and nothing here is called for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from livefeed.auth.grants import TokenError
from livefeed.delivery.admissions import Admissions
from livefeed.transport.addresses import peer_of
from livefeed.web import problems
from livefeed.web.answers import refuse
from livefeed.web.credentials import Credentials, hide_token_in_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from twisted.internet.interfaces import IReactorTime

    from livefeed.auth.grants import DenialReason, Grant, Verifier
    from livefeed.delivery.admissions import Admission, End
    from livefeed.feed.tally import Tally
    from livefeed.web.cors import Origins
    from livefeed.web.failures import Failures
    from livefeed.web.problem_type import ProblemType
    from livefeed.web.request import Request

REALM = b'Bearer realm="livefeed"'
"""The challenge of each 401 (RFC 6750, 3)."""

_GUESSES = ("malformed", "unknown")
"""The reasons of denials that an address may not have often. The owner of a token that has expired has guessed nothing.
"""

_TYPES: dict[DenialReason, ProblemType] = {
    "missing": problems.TOKEN_MISSING,
    "malformed": problems.TOKEN_MALFORMED,
    "unknown": problems.TOKEN_UNKNOWN,
    "expired": problems.TOKEN_EXPIRED,
    "scope": problems.TOKEN_SCOPE,
    "origin": problems.COOKIE_ORIGIN,
    "query": problems.TOKEN_IN_URL,
    "rate": problems.TOO_MANY_WRONG_TOKENS,
    "keys": problems.KEYS_UNAVAILABLE,
}
_ERRORS: dict[DenialReason, bytes] = {
    "malformed": b"invalid_token",
    "unknown": b"invalid_token",
    "expired": b"invalid_token",
    "scope": b"insufficient_scope",
    "query": b"invalid_request",
}
_SAME_PAGE = (None, b"same-origin", b"none")


@dataclass(frozen=True, slots=True)
class Denial:
    """The reason why a request may not have a feed.

    :ivar reason: the reason, as metrics name it.
    :ivar why: one sentence for a human reader, in ASCII.
    """

    reason: DenialReason
    why: str

    @property
    def kind(self) -> ProblemType:
        """The type of the answer, with its status."""
        return _TYPES[self.reason]

    @property
    def retry_ms(self) -> int | None:
        """The milliseconds after which the client may ask again with the same token; ``None`` for never."""
        return 1000 if self.reason in ("rate", "keys") else None

    def fields(self) -> list[tuple[bytes, bytes]]:
        """Gives the fields of the answer."""
        if self.retry_ms is not None:
            return [(b"Retry-After", b"1")]
        if self.reason == "origin":
            return []
        error = _ERRORS.get(self.reason)
        about = b"" if error is None else b', error="%s", error_description="%s"' % (error, self.why.encode())
        return [(b"WWW-Authenticate", REALM + about)]


_MISSING = Denial("missing", "This feed requires a token, in the field Authorization: Bearer TOKEN.")
_SEVERAL = Denial("malformed", "The request has a token that cannot be read, or several tokens.")
_IN_URL = Denial(
    "query", "A token must not stand in a URL, which logs and histories keep: send it as Authorization: Bearer TOKEN."
)
_FOREIGN = Denial("origin", "Pages of this origin may not use the cookie.")
_TOO_MANY = Denial("rate", "There were too many wrong tokens. Come back later.")


def refuse_denied(request: Request, denial: Denial, headers: Iterable[tuple[bytes, bytes]] = ()) -> int:
    """Answers a request that is denied.

    :param headers: the fields with which pages may read the answer.
    """
    fields = [*headers, *denial.fields(), (b"Cache-Control", b"private, no-store")]
    return refuse(request, denial.kind, denial.why, fields)


@dataclass(frozen=True, slots=True)
class Permit:
    """The permission to follow a feed.

    :ivar grant: the grant of the token.
    """

    grant: Grant
    _admissions: Admissions

    def begin(self, end: End) -> Admission:
        """Takes note of a subscription, which is ended with its token.

        :param end: ends it; it is given the milliseconds after which the client comes back.
        """
        return self._admissions.add(self.grant, end)


@dataclass(eq=False)
class Guard:
    """The guard of a feed.

    :ivar verifier: checks tokens; it can be replaced at any time, before :meth:`check`.
    :ivar origins: the origins whose pages may use the cookie.
    :ivar cookie: the name of the cookie that may have a token; ``None`` for none.
    :ivar failures: counts wrong tokens by their addresses.
    :ivar tally: counts denials.
    :ivar clock: measures the time of tokens.
    :ivar wall: the wall clock, in seconds since 1970.
    :ivar admissions: the subscriptions of the feed and its parts.
    """

    # required parameters
    verifier: Verifier
    origins: Origins
    cookie: bytes | None
    failures: Failures
    tally: Tally
    clock: IReactorTime
    wall: Callable[[], float]

    # internal state
    admissions: Admissions = field(init=False)

    def __post_init__(self) -> None:
        self.admissions = Admissions(self.clock, self.wall)

    @property
    def fields(self) -> tuple[bytes, ...]:
        """The names of the request fields that decide on access."""
        return (b"Authorization",) if self.cookie is None else (b"Authorization", b"Cookie")

    def denial(self, request: Request) -> Denial | None:
        """Gives the reason to refuse a request; ``None`` if it may be answered, and then it has a permit."""
        if request.permit is not None:
            return None
        if hide_token_in_url(request):
            found: Permit | Denial = self._count(_IN_URL)
        else:
            credentials = Credentials.of(request, () if self.cookie is None else (self.cookie,))
            found = self._judge(credentials)
            if isinstance(found, Denial):
                found = self._refuse(found, peer_of(request.getClientAddress()))
        if isinstance(found, Denial):
            return found
        request.permit = found
        return None

    def judge(self, credentials: Credentials, address: str) -> Permit | Denial:
        """Decides whether a client may have the feed.

        :param address: the address of the client, as :func:`livefeed.transport.addresses.peer_of` gives it.
        """
        found = self._judge(credentials)
        return self._refuse(found, address) if isinstance(found, Denial) else found

    def _refuse(self, denial: Denial, address: str) -> Denial:
        """Counts a denial, and gives the one that the client is told: another one where it guesses tokens."""
        if denial.reason in _GUESSES and self.failures.is_one_too_many(address):
            denial = _TOO_MANY
        return self._count(denial)

    def check(self) -> None:
        """Ends the subscriptions whose tokens are revoked, after tokens or keys have changed."""
        self.admissions.check(self.verifier.renew)

    def _judge(self, credentials: Credentials) -> Permit | Denial:
        if credentials.is_malformed:
            return _SEVERAL
        tokens = [] if credentials.bearer is None else [credentials.bearer]
        if not tokens and self.cookie is not None:
            tokens = credentials.cookie(self.cookie)
            if tokens and not self._may_use_cookie(credentials):
                return _FOREIGN
        if not tokens:
            return _MISSING
        if len(tokens) > 1:
            return _SEVERAL
        try:
            return Permit(self.verifier.verify(tokens[0]), self.admissions)
        except TokenError as error:
            return Denial(error.reason, error.why)

    def _may_use_cookie(self, credentials: Credentials) -> bool:
        """Tells whether no page of another site has caused a request with a cookie."""
        origin = credentials.origin
        if origin is None:
            return credentials.site in _SAME_PAGE
        # A page that came without TLS may be anybody's.
        own = b"https://" + credentials.host.lower()
        return origin.lower() in self.origins.allowed or origin.lower() == own

    def _count(self, denial: Denial) -> Denial:
        self.tally.denied[denial.reason] += 1
        return denial
