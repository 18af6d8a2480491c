"""The server's side of a TLS connection, in memory, by the standard library."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import trustme


class TlsPeer:
    """A server that a test moves by hand.

    :param authority: issues its certificate.
    :param host: the name or address of the certificate.
    """

    def __init__(self, authority: trustme.CA, host: str) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(host).configure_cert(context)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.is_ready = False

    def receive(self, data: bytes) -> bytes:
        """Takes bytes of the client, and gives those that they mean once the handshake has ended."""
        self._incoming.write(data)
        try:
            if not self.is_ready:
                self._object.do_handshake()
                self.is_ready = True
            return self._object.read()
        except ssl.SSLWantReadError:
            return b""

    def send(self, data: bytes) -> None:
        """Sends bytes."""
        self._object.write(data)

    def to_send(self) -> bytes:
        """Gives the bytes for the client."""
        return self._outgoing.read()
