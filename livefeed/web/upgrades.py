"""Handshakes of WebSockets (RFC 6455, 4.1) that are accepted without twisted.web, which takes 0.15 ms for each.

Rules: this module has no opinion about a handshake. It recognises heads so plain that only the fields in
:class:`Handshake` can matter, and leaves all others to twisted.web. A path is learned from a handshake that its
resource has accepted, and forgotten together with the answers that may be repeated, so this way never serves what the
other one would not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from livefeed.document.snapshot import MAX_NAMED_LENGTH
from livefeed.web.replay import FIELD_VALUE, MAX_FIELDS, MAX_NAME_BYTES, PLAIN_HOST, TOKEN_CHARACTER

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IProtocol

    Begun = tuple[IProtocol, Callable[[bytes], object]]

MAX_PATHS = 64
"""Upper limit of the paths that are known, so that spellings of one path do not fill the memory. Each takes 300 bytes.
The paths of more feeds than these are learned in turn."""

# Sent once. The others of this kind have one value each, in any case: the rest of a handshake is in the grammar.
_NAMED = (b"host", b"origin", b"sec-websocket-key", b"sec-websocket-protocol", b"sec-websocket-extensions")
_FIXED = {
    b"upgrade": frozenset({b"websocket"}),
    b"connection": frozenset({b"upgrade", b"keep-alive, upgrade", b"keep-alive,upgrade"}),
    b"sec-websocket-version": frozenset({b"13"}),
}
# With one of these, the request has content, or names another client or another condition.
_FORBIDDEN = (b"content-length", b"transfer-encoding", b"expect", b"trailer", b"x-forwarded-for", b"forwarded")

_NAME = rb"%s{1,%d}+" % (TOKEN_CHARACTER, MAX_NAME_BYTES)
_match_head = re.compile(
    rb"GET (/[!->@-~]*+)(?:\?have=([0-9A-Za-z_\-]{1,%d}+))? HTTP/1\.1\r\n((?>%s:%s\r\n){1,%d}+)\r\n\Z"
    % (MAX_NAMED_LENGTH, _NAME, FIELD_VALUE, MAX_FIELDS)
).match
_find_fields = re.compile(
    rb"^((?i:%s)):[ \t]*+([^\r\n]*+)" % b"|".join((*_NAMED, *_FIXED, *_FORBIDDEN)), re.MULTILINE
).findall
_match_host = re.compile(PLAIN_HOST + rb"\Z").match
# 16 bytes in the one spelling that encoders give.
_match_key = re.compile(rb"[0-9A-Za-z+/]{21}[AQgw]==\Z").match


class Handshake(NamedTuple):
    """The parts of a handshake that matter.

    :ivar path: of the target.
    :ivar have: the version that the client has, by the query; ``None`` without a query.
    :ivar key: the value of ``Sec-WebSocket-Key``, which is well-formed.
    :ivar host: the field ``Host``.
    :ivar origin: the field ``Origin``; ``None`` if it was not sent.
    :ivar subprotocols: the field ``Sec-WebSocket-Protocol``; ``None`` if it was not sent.
    :ivar extensions: the field ``Sec-WebSocket-Extensions``; ``None`` if it was not sent.
    """

    path: bytes
    have: str | None
    key: bytes
    host: bytes
    origin: bytes | None
    subprotocols: bytes | None
    extensions: bytes | None

    @classmethod
    def read(cls, head: bytes) -> Handshake | None:
        """Reads a head; gives ``None`` for any that is not so plain.

        :param head: all received bytes. Nothing came before or after them on the connection.
        """
        match = _match_head(head)
        if match is None:
            return None
        path, have, lines = match.groups()
        found = _find_fields(lines)
        fields = {name.lower(): value.rstrip(b" \t") for name, value in found}
        if len(fields) != len(found):
            return None  # a field was sent twice
        for name, values in _FIXED.items():
            if fields.pop(name, b"").lower() not in values:
                return None
        host, key = fields.pop(b"host", b""), fields.pop(b"sec-websocket-key", b"")
        origin, subprotocols = fields.pop(b"origin", None), fields.pop(b"sec-websocket-protocol", None)
        extensions = fields.pop(b"sec-websocket-extensions", None)
        if fields or not _match_host(host) or not _match_key(key):
            return None
        return cls(path, have.decode() if have else None, key, host, origin, subprotocols, extensions)


class KnownPath(Protocol):
    """The decision about the handshakes of one path, whose resource has accepted one."""

    def accept(self, handshake: Handshake, /) -> Begun | None:
        """Accepts a handshake as the resource would.

        :returns: the protocol of the connection, which is not connected yet, and a function that begins it: it is given
            the head, and has the protocol write the answer. ``None`` if the resource has to decide.
        """


@dataclass(slots=True, eq=False)
class Upgrades:
    """The paths at which handshakes are accepted now."""

    _known: dict[bytes, KnownPath] = field(default_factory=dict)

    def learn(self, path: bytes, known: KnownPath) -> None:
        """Takes note of a path whose resource has accepted a handshake."""
        if len(self._known) < MAX_PATHS:
            self._known[path] = known

    def clear(self) -> None:
        """Forgets all paths."""
        self._known.clear()

    def accept(self, head: bytes) -> Begun | None:
        """Accepts a handshake; gives ``None`` for what is none, or is left to twisted.web."""
        if not self._known:
            return None
        handshake = Handshake.read(head)
        if handshake is None:
            return None
        known = self._known.get(handshake.path)
        return None if known is None else known.accept(handshake)
