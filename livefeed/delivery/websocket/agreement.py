"""The agreement of an opening handshake (RFC 6455, 4.2), and the answer to it."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha1

from livefeed.web.answers import SERVER

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3

_BEGIN = b"HTTP/1.1 101 Switching Protocols\r\nServer: %s\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n" % SERVER

DEFLATE = b"permessage-deflate; server_no_context_takeover; client_no_context_takeover"
FULL_WINDOW = b"; server_max_window_bits=15"
"""An offer that livefeed accepts, and what some clients add to it."""

# The parameters in the order in which Autobahn has written them since the first release.
_GRANTED = {
    DEFLATE: DEFLATE,
    DEFLATE + FULL_WINDOW: (
        b"permessage-deflate; server_no_context_takeover; server_max_window_bits=15; client_no_context_takeover"
    ),
}


@dataclass(frozen=True, slots=True)
class Agreement:
    """The subprotocol and the extension that both sides of a connection use.

    :ivar subprotocol: the subprotocol that is spoken; ``None`` for none.
    :ivar extension: the extension that is used, written as an offer; empty for none.
    """

    subprotocol: str | None = None
    extension: bytes = b""

    def answer(self, key: bytes) -> bytes:
        """Gives the answer that accepts a handshake (RFC 6455, 4.2.2).

        :param key: the value of ``Sec-WebSocket-Key``.
        """
        name = b"Sec-WebSocket-Protocol: %s\r\n" % self.subprotocol.encode() if self.subprotocol else b""
        granted = b"Sec-WebSocket-Extensions: %s\r\n" % _GRANTED[self.extension] if self.extension else b""
        return b"%s%sSec-WebSocket-Accept: %s\r\n%s\r\n" % (_BEGIN, name, accept_of(key), granted)


PLAIN = Agreement()
"""The agreement with a client that offers nothing."""


def accept_of(key: bytes) -> bytes:
    """Gives the value of ``Sec-WebSocket-Accept`` for a key (RFC 6455, 4.2.2)."""
    # For this purpose SHA-1 need not be secure (RFC 6455, 10.8).
    return b64encode(sha1(key + _GUID, usedforsecurity=False).digest())
