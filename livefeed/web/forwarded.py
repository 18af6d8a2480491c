"""The fields with which proxies name the address of a client: ``X-Forwarded-For``, and ``Forwarded`` (RFC 7239).

Rules: a field counts only on a connection from a trusted proxy, and only as far as trusted proxies have written it.
Each proxy adds the address that it sees at the end, so the client is the last address that is no trusted proxy. All
before it may be made up. Where the field says nothing that can be used, the last address that is certain counts.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from twisted.internet.address import IPv4Address, IPv6Address

from livefeed.transport.addresses import number_of
from livefeed.web.request import Request

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from twisted.internet.interfaces import IAddress

    from livefeed.transport.addresses import Networks

ForwardedField = Literal["x-forwarded-for", "forwarded"]

MAX_HOPS = 16
"""Upper limit of the addresses that are looked at, from the last one on."""

MAX_BYTES = 4096
"""Upper limit of the bytes of the field that are looked at, all its lines together, from the last one on. A longer
``Forwarded`` is malformed, since its elements can only be told apart from the first one on."""

# An address of IPv4, or one of IPv6, in brackets if there is a port. The kernel's parser checks the rest.
_NODE = re.compile(
    r"(?:(?P<ipv4>[0-9.]{7,15})|\[(?P<bracketed>[0-9A-Fa-f:.]{2,45})\])(?::[0-9]{1,5})?|(?P<ipv6>[0-9A-Fa-f:.]{2,45})"
)
_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PAIR = rf'(?P<name>{_WORD})=(?:(?P<token>{_WORD})|"(?P<quoted>(?:[^"\\]|\\.)*)")'
# A pair, or white space and the separators between pairs and between elements (RFC 7239, 4).
_PAIRS = re.compile(rf"[ \t]*(?:{_PAIR}[ \t]*(?=[;,]|\Z)|(?P<separator>[;,])|\Z)")


class MalformedFieldError(ValueError):
    """The value of a field does not have its grammar."""


@dataclass(frozen=True, slots=True)
class Forwarded:
    """The rule by which the client of a request is found.

    :ivar field: the field that the proxies set, in lower case. Any other is ignored, since clients can send it.
    :ivar trusted: the networks of the proxies.
    """

    field: ForwardedField
    trusted: Networks

    def client(self, peer: IAddress, values: Sequence[bytes]) -> IAddress:
        """Gives the address of the client of a request: *peer*, if no trusted proxy has named another.

        :param peer: the peer of the connection, as an address of Twisted's.
        :param values: the lines of the field.
        """
        if not values or not self.trusted.has_address(peer):
            return peer
        # Not as ASCII: one other byte of the client's own would hide all that proxies have added behind it.
        value = b",".join(values).decode("latin-1")
        if self.field == "forwarded":
            try:
                hops = _hops_of_forwarded(value)
            except MalformedFieldError:
                return peer
        else:
            hops = _hops_of_list(value)
        found = peer
        for hop in reversed(hops[-MAX_HOPS:]):
            host = _host_of(hop)
            if host is None:
                # Malformed, "unknown" or an obfuscated name (RFC 7239, 6.2 and 6.3).
                break
            found = (IPv6Address if ":" in host else IPv4Address)("TCP", host, 0)
            if not self.trusted.has(number_of(host)):
                break
        return found

    def request_class(self) -> type[Request]:
        """Gives the class of requests whose client is found by this rule."""
        return type("ForwardedRequest", (ForwardedRequest,), {"forwarded": self})


class ForwardedRequest(Request):
    """A request whose client a proxy may have named.

    :cvar forwarded: the rule by which it is found.
    """

    forwarded: ClassVar[Forwarded]

    def process(self) -> None:
        """http.Request API."""
        values = self.lines_of(self.forwarded.field.encode())
        client = self.forwarded.client(self.client, values)
        self.is_forwarded = client is not self.client
        self.client = client
        super().process()


def _host_of(node: str) -> str | None:
    """Gives the address of a hop without its port, one of IPv4 as such; ``None`` if there is none."""
    match = _NODE.fullmatch(node)
    if match is None:
        return None
    host = match["ipv4"] or match["bracketed"] or match["ipv6"]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        host = socket.inet_ntop(family, socket.inet_pton(family, host))
    except OSError:
        return None
    return host.removeprefix("::ffff:") if "." in host else host


def _hops_of_list(value: str) -> list[str]:
    """Gives the last hops of a list. Those before them may be anything, of any length."""
    return [hop.strip(" \t") for hop in value[-MAX_BYTES:].rsplit(",", MAX_HOPS)[-MAX_HOPS:]]


def _hops_of_forwarded(value: str) -> list[str]:
    """Gives the hops of ``Forwarded``; ``""`` for an element that names none.

    :raises MalformedFieldError: if the value is malformed, or longer than :data:`MAX_BYTES`.
    """
    if len(value) > MAX_BYTES:
        raise MalformedFieldError
    hops, names = [""], set[str]()
    for pair in _pairs(value):
        if pair["separator"] == ",":
            hops.append("")
            names.clear()
        elif pair["name"] is not None:
            name = pair["name"].lower()
            if name in names:  # each at most once (RFC 7239, 4)
                raise MalformedFieldError
            names.add(name)
            if name == "for":
                hops[-1] = pair["token"] if pair["quoted"] is None else re.sub(r"\\(.)", r"\1", pair["quoted"])
    return hops


def _pairs(value: str) -> Iterator[re.Match[str]]:
    position = 0
    while position < len(value):
        match = _PAIRS.match(value, position)
        if match is None or match.end() == position:
            raise MalformedFieldError
        yield match
        position = match.end()
