"""The access to the operator's port: the token, the host that a request names, and the origin of its page.

A page of any site can have a browser send requests to addresses that the browser reaches, also to loopback. Browsers
name the origin of such a page. With DNS rebinding, the page's own host name leads to this machine, and the browser
takes the request for one of the same origin: only its ``Host`` tells.

So the page of the desk has access like any other client: its origin is that of the host that the request names, which
is one of ours, and each of its requests has the token. No cookie gives access, so no other page can borrow it.
"""

from __future__ import annotations

import hmac
import re
import socket
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING

from livefeed.exceptions import ConfigurationError, SecretFileError
from livefeed.process.descriptions import split_description
from livefeed.secret_files import read_secret
from livefeed.transport.addresses import peer_of
from livefeed.web import operator_problems as problems
from livefeed.web.failures import Failures
from livefeed.web.problems import TOO_MANY_WRONG_TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from twisted.internet.interfaces import IReactorTime

    from livefeed.web.problem_type import ProblemType
    from livefeed.web.request import Request

MIN_TOKEN_CHARACTERS = 16
"""Characters of the shortest token. With 64 possible characters, they have 96 bits."""

MAX_TOKEN_BYTES = 4096
"""Size of the largest file of a token. A larger file was named by mistake."""

_TOKEN = re.compile(rb"[!-~]+")
_SAME_PAGE = (None, b"same-origin", b"none")
"""Values of ``Sec-Fetch-Site`` of requests that no other site has caused (Fetch Metadata, 2.3)."""


def read_token(path: Path) -> bytes:
    """Reads the token that requests must carry.

    :raises ConfigurationError: if the file cannot be read, can be read by every user, or has no possible token.
    """
    try:
        data = read_secret(path, MAX_TOKEN_BYTES)
    except SecretFileError as error:
        raise ConfigurationError(str(error), "admin_token") from None
    if len(data) > MAX_TOKEN_BYTES:
        raise ConfigurationError(f"{path}: is larger than {MAX_TOKEN_BYTES} bytes", "admin_token")
    token = data.strip()
    if not _TOKEN.fullmatch(token):
        why = "has no token: a line of visible ASCII characters, without blanks"
        raise ConfigurationError(f"{path}: {why}", "admin_token")
    if len(token) < MIN_TOKEN_CHARACTERS:
        why = f"the token has {len(token)} characters, and {MIN_TOKEN_CHARACTERS} are the fewest"
        raise ConfigurationError(f"{path}: {why}; `openssl rand -base64 32` makes one", "admin_token")
    return token


def hosts_of(descriptions: Iterable[str]) -> frozenset[bytes]:
    """Gives the host names under which the endpoints of the operator's port can be asked, besides IP addresses.

    These are the names of their interfaces, and the name of this machine.
    """
    named = {
        part.removeprefix("interface=")
        for description in descriptions
        for part in split_description(description)
        if part.startswith("interface=")
    }
    return frozenset(name.lower().encode() for name in (*named, socket.gethostname()) if name)


@dataclass(frozen=True, slots=True)
class Denial:
    """The refusal of a request.

    :ivar kind: the type of the answer, with its status.
    :ivar why: one sentence for a human reader.
    :ivar fields: the fields of the answer.
    """

    kind: ProblemType
    why: str
    fields: tuple[tuple[bytes, bytes], ...] = ()


_WRONG_HOST = Denial(
    problems.WRONG_HOST,
    "The Host of the request is neither localhost, nor an IP address, nor the interface= of the endpoint.",
)
_FROM_A_PAGE = Denial(problems.FOREIGN_PAGE, "The request comes from a web page of another origin.")
_WRONG_TOKEN = Denial(
    problems.OPERATOR_TOKEN_REQUIRED,
    "The request needs the field 'Authorization: Bearer TOKEN', with the token of --admin-token.",
    ((b"WWW-Authenticate", b'Bearer realm="livefeed"'),),
)
_TOO_MANY = Denial(
    TOO_MANY_WRONG_TOKENS, "There were too many wrong tokens. Come back later.", ((b"Retry-After", b"1"),)
)


@dataclass(slots=True)
class Access:
    """Decides which requests to the operator's port are answered.

    :ivar clock: measures the rate of wrong tokens.
    :ivar hosts: the names, besides ``localhost`` and IP addresses, that ``Host`` may have.
    :ivar token: the token that requests must carry; ``None`` on a Unix socket, which the system protects.
    """

    # required parameters
    clock: IReactorTime
    hosts: frozenset[bytes] = frozenset()
    token: bytes | None = None

    # internal state
    _failures: Failures = field(init=False)

    def __post_init__(self) -> None:
        self._failures = Failures(self.clock)

    def denial(self, request: Request) -> Denial | None:
        """Gives the reason to refuse a request; ``None`` if it may be answered."""
        if not _is_of_same_origin(request) or _first(request, b"Sec-Fetch-Site") not in _SAME_PAGE:
            return _FROM_A_PAGE
        return self.denial_of_file(request) or (
            None if self.token is None else self._without_token(request, self.token)
        )

    def denial_of_file(self, request: Request) -> Denial | None:
        """Gives the reason to refuse a request for a file of the page, which says nothing; ``None`` if there is none.

        A page of another site may lead to it, and cannot read it.
        """
        return None if self._is_host_of_ours(_first(request, b"Host") or b"") else _WRONG_HOST

    def _is_host_of_ours(self, authority: bytes) -> bool:
        host = authority.lower()
        host = host[1:].partition(b"]")[0] if host.startswith(b"[") else host.partition(b":")[0]
        host = host.removesuffix(b".")
        if host == b"localhost" or host in self.hosts:
            return True
        try:
            ip_address(host.decode("ascii", "replace"))
        except ValueError:
            return False
        return True

    def _without_token(self, request: Request, token: bytes) -> Denial | None:
        scheme, _, given = (_first(request, b"Authorization") or b"").partition(b" ")
        if scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), token):
            return None
        return _TOO_MANY if self._failures.is_one_too_many(peer_of(request.getClientAddress())) else _WRONG_TOKEN


def _is_of_same_origin(request: Request) -> bool:
    """Tells whether no page has sent the request, or one whose origin has the host and port that the request names.

    The scheme is not compared: the port belongs to one scheme, and a proxy in between may take off TLS.
    """
    host = (_first(request, b"Host") or b"").lower()
    origins = request.requestHeaders.getRawHeaders(b"Origin", [])
    return all(each.lower() in (b"http://" + host, b"https://" + host) for each in origins)


def _first(request: Request, name: bytes) -> bytes | None:
    values = request.requestHeaders.getRawHeaders(name)
    return values[0] if values else None
