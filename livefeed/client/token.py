"""The token with which a client asks for a protected feed.

Rule: a token is sent in a field of the request alone, by TLS unless the server is on this machine, and is never shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from livefeed.exceptions import FollowError, first_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.client.address import Address

    Given = str | Callable[[], str]

MAX_TOKEN_LENGTH = 4096
"""The largest number of characters of a token. A server looks at no longer one."""

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")  # b64token (RFC 6750, 2.1)
_LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Token:
    """A token, or a function that gives the present one.

    :ivar given: the token; or the function, which is called in the event loop before each connection and each poll.
    """

    given: Given = field(repr=False)

    @classmethod
    def of(cls, given: Given | None, address: Address) -> Token | None:
        """Checks a token that a user gives; ``None`` without one.

        :raises FollowError: if it can be none, or if it would be sent without TLS to another machine.
        """
        if given is None:
            return None
        if not address.is_secure and address.endpoint[0] not in _LOCAL:
            raise FollowError("a token is sent by TLS alone, since everybody on the way could read it: use https://")
        token = cls(given)
        if isinstance(given, str):
            token.fields()
        return token

    def fields(self) -> dict[str, str]:
        """Gives the field of the next request.

        :raises FollowError: if the function fails, or gives something else.
        """
        try:
            token = self.given if isinstance(self.given, str) else self.given()
        except Exception as error:
            raise FollowError(f"there is no token: {first_line(error)}") from error
        if not isinstance(token, str) or len(token) > MAX_TOKEN_LENGTH or not _TOKEN.fullmatch(token):
            why = "has other characters than letters, digits and . _ ~ + / = -, or more than 4096, or none"
            raise FollowError(f"the token {why}")
        return {"Authorization": f"Bearer {token}"}
