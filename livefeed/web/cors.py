"""The origins whose pages may read a feed: CORS (Fetch standard, 3.2), and a check for WebSocket handshakes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from livefeed.exceptions import ConfigurationError, shown

if TYPE_CHECKING:
    from collections.abc import Iterable

ANY = "*"
_HOST = re.compile(r"\[[0-9a-f:.]+\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origins:
    """The origins that are allowed.

    :ivar allowed: the origins as browsers send them; ``*`` alone for every origin.
    :ivar with_credentials: whether their pages may send cookies, and read the answers.
    """

    allowed: frozenset[bytes]
    with_credentials: bool = False

    @classmethod
    def parse(cls, values: Iterable[str], *, with_credentials: bool = False) -> Origins:
        """Parses the values of ``--allow-origin``.

        :param values: each ``*``, ``null`` or an origin such as ``https://example.org``.
        :param with_credentials: whether pages may send cookies; ``*`` is none of the values then.
        :raises ConfigurationError: if a value is none of these, or if ``*`` is combined with others.
        """
        allowed = frozenset(_normalise(value) for value in values)
        if ANY.encode() in allowed and len(allowed) > 1:
            raise ConfigurationError("* allows every origin: give it alone, or leave it out", "allow_origin")
        return cls(allowed, with_credentials)

    @classmethod
    def common(cls, policies: Iterable[Origins]) -> Origins:
        """Gives the origins that all of these policies allow."""
        limited = [policy.allowed for policy in policies if not policy.any_origin]
        return cls(frozenset.intersection(*limited) if limited else frozenset({ANY.encode()}))

    @property
    def any_origin(self) -> bool:
        """Whether every origin may read the feed."""
        return ANY.encode() in self.allowed

    def lists(self, origin: bytes) -> bool:
        """Tells whether pages of an origin may read the feed, without those of this server."""
        return self.any_origin or origin.lower() in self.allowed

    def response_headers(self, origin: bytes | None) -> list[tuple[bytes, bytes]]:
        """Gives the fields with which a browser lets a page of *origin* read an answer.

        :param origin: the field ``Origin`` of the request; ``None`` if it was not sent.
        """
        if self.any_origin:
            return [(b"Access-Control-Allow-Origin", b"*")]
        if origin is not None and self.lists(origin):
            allowed = (b"Access-Control-Allow-Origin", origin)
            return [allowed, (b"Access-Control-Allow-Credentials", b"true")] if self.with_credentials else [allowed]
        return []

    def allows_handshake(self, origin: bytes | None, host: bytes) -> bool:
        """Tells whether a WebSocket handshake is accepted (RFC 6455, 10.2).

        It accepts clients that are not browsers (they send no origin), the origins of this policy, and pages of this
        server. For the latter it compares host and port only, because the scheme differs behind a proxy that ends TLS.

        :param origin: the field ``Origin`` of the request; ``None`` if it was not sent.
        :param host: the field ``Host`` of the request.
        """
        if origin is None or self.lists(origin):
            return True
        scheme, _, authority = origin.lower().partition(b"://")
        return scheme in (b"https", b"http") and authority == host.lower()


def _normalise(value: str) -> bytes:
    """Gives an origin as a browser serialises it: in lower case, without a default port (RFC 6454, 6.2)."""
    if value in (ANY, "null"):
        return value.encode()
    try:
        parts = urlsplit(value.lower())
        host, port = parts.hostname or "", parts.port
        host = f"[{ip_address(host)}]" if ":" in host else host.encode("idna").decode()
    except ValueError:  # UnicodeError is one
        host = ""
    rest = "" if not host else parts.path.rstrip("/") + parts.query + parts.fragment
    if not _HOST.fullmatch(host) or parts.scheme not in _DEFAULT_PORTS or rest or "@" in parts.netloc:
        raise ConfigurationError(
            f"{shown(value)} is not an origin: give *, null, or one such as https://example.org:8443", "allow_origin"
        )
    suffix = "" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{host}{suffix}".encode()
