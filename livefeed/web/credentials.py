"""The token of a request: in ``Authorization``, in a WebSocket's subprotocol, or in a cookie, and never in its URL.

A browser can set no field of a WebSocket's handshake but the names of subprotocols, so one of these may have the token:
``livefeed.bearer.`` and the token in base64url. The server never answers with this name.

Rule: nothing here decides whether a token is good.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from livefeed.document.codings import members_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from livefeed.web.request import Request

BEARER_SUBPROTOCOL = b"livefeed.bearer."
"""The beginning of the name of a subprotocol that has a token."""

IN_URL = frozenset(
    (b"access_token", b"token", b"id_token", b"auth", b"authorization", b"bearer", b"jwt", b"api_key", b"apikey")
)
"""Names of parameters, in lower case, that have a token. URLs stand in logs, histories and ``Referer``."""

MAX_COOKIES_BYTES = 8192
"""Size of the largest ``Cookie`` that is searched, all its lines together. Browsers keep 4 KB in each cookie."""

_BEARER = re.compile(rb"(?i:bearer)[ ]+([A-Za-z0-9._~+/-]+=*)[ \t]*")
_QUERY = re.compile(rb"\?.*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Credentials:
    """The parts of a request that decide on access.

    :ivar bearer: the token of ``Authorization`` or of a subprotocol; ``None`` for none.
    :ivar cookies: the values of the cookies that were looked for, by name.
    :ivar is_malformed: whether there is a token that cannot be read, or several of them.
    :ivar origin: the field ``Origin``; ``None`` if it was not sent.
    :ivar host: the field ``Host``.
    :ivar site: the field ``Sec-Fetch-Site``; ``None`` if it was not sent.
    """

    bearer: bytes | None = None
    cookies: tuple[tuple[bytes, bytes], ...] = ()
    is_malformed: bool = False
    origin: bytes | None = None
    host: bytes = b""
    site: bytes | None = None

    @classmethod
    def of(cls, request: Request, cookies: Iterable[bytes] = ()) -> Credentials:
        """Reads the credentials of a request.

        :param cookies: the names of cookies that may have a token.
        """
        given = request.lines_of(b"Authorization")
        bearers = [_bearer(line) for line in given]
        if request.fields.asks_for_websocket:
            offered = members_of(b", ".join(request.lines_of(b"Sec-WebSocket-Protocol")))
            names = (name.strip(b" \t") for name in offered)
            bearers += [_decoded(name) for name in names if name.startswith(BEARER_SUBPROTOCOL)]
        wanted = tuple(cookies)
        return cls(
            bearers[0] if bearers else None,
            tuple(_cookies(b"; ".join(request.lines_of(b"Cookie")), wanted)) if wanted else (),
            len(bearers) > 1 or None in bearers,
            request.fields.keyed.origin,
            (request.lines_of(b"Host") or (b"",))[-1],
            (request.lines_of(b"Sec-Fetch-Site") or (None,))[-1],
        )

    def cookie(self, name: bytes) -> list[bytes]:
        """Gives the values of the cookies with a name: of several paths or domains there may be several."""
        return [value for each, value in self.cookies if each == name]


def hide_token_in_url(request: Request) -> bool:
    """Tells whether the URL of a request has a token, and then removes its query, so that no log can have it."""
    args = request.args
    if not args or not any(name.lower() in IN_URL for name in args):
        return False
    request.uri = _QUERY.sub(b"?(hidden)", request.uri)
    return True


def _bearer(line: bytes) -> bytes | None:
    """Gives the token of a line of ``Authorization``; ``None`` if there is none, as in any other scheme."""
    match = _BEARER.fullmatch(line.strip(b" \t"))
    return None if match is None else match[1]


def _decoded(name: bytes) -> bytes | None:
    """Gives the token in the name of a subprotocol; ``None`` if it cannot be read."""
    text = name.removeprefix(BEARER_SUBPROTOCOL)
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True) or None
    except binascii.Error:
        return None


def _cookies(value: bytes, names: tuple[bytes, ...]) -> Iterable[tuple[bytes, bytes]]:
    """Gives the cookies by some names, in their order (RFC 6265, 4.2.1)."""
    if len(value) > MAX_COOKIES_BYTES:
        return
    for pair in value.split(b";"):
        name, _, content = pair.strip(b" \t").partition(b"=")
        if name in names:
            yield name, content.strip(b'"')
