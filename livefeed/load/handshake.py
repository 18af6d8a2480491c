"""The handshake of a WebSocket (RFC 6455, 4), from the client's side."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from livefeed.load.answers import AnswerError
from livefeed.load.kinds import Kind

if TYPE_CHECKING:
    from livefeed.load.answers import Head

SUBPROTOCOLS = {Kind.WS_DELTA1: "livefeed.delta.v1", Kind.WS_DELTA2: "livefeed.delta.v2"}
"""The subprotocol that each kind offers."""

# It need not differ: it shows that the server knows the protocol, and protects from nothing else (RFC 6455, 10.8).
_KEY = base64.b64encode(b"livefeed-loadtst").decode()
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_ACCEPT = base64.b64encode(hashlib.sha1(f"{_KEY}{_GUID}".encode(), usedforsecurity=False).digest())

_OFFER = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"
_NO_TAKEOVER = re.compile(r";\s*server_no_context_takeover\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Agreed:
    """The result of a handshake.

    :ivar is_deflated: whether messages may be compressed.
    :ivar is_stateless: whether each message is compressed on its own, so that equal messages have equal bytes.
    """

    is_deflated: bool = False
    is_stateless: bool = True


def fields_for(kind: Kind) -> dict[str, str]:
    """Gives the fields of a handshake."""
    fields = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": _KEY,
    }
    if kind is Kind.WS_DEFLATE:
        fields["Sec-WebSocket-Extensions"] = _OFFER
    if kind in SUBPROTOCOLS:
        fields["Sec-WebSocket-Protocol"] = SUBPROTOCOLS[kind]
    return fields


def agreed(head: Head, kind: Kind) -> Agreed:
    """Reads the answer 101 to a handshake.

    :raises AnswerError: if it does not answer this handshake, or the server lacks what the kind is about.
    """
    if head.field(b"sec-websocket-accept") != _ACCEPT:
        raise AnswerError("a handshake with a wrong answer")
    extension = head.text(b"sec-websocket-extensions") or ""
    is_deflated = extension.strip().lower().startswith("permessage-deflate")
    if (extension and not is_deflated) or (is_deflated and kind is not Kind.WS_DEFLATE):
        raise AnswerError("an extension that was not offered")
    if kind is Kind.WS_DEFLATE and not is_deflated:
        raise AnswerError("a server without permessage-deflate")
    if kind in SUBPROTOCOLS and head.text(b"sec-websocket-protocol") != SUBPROTOCOLS[kind]:
        raise AnswerError(f"a server without {SUBPROTOCOLS[kind]}")
    return Agreed(is_deflated, not is_deflated or _NO_TAKEOVER.search(extension) is not None)
