"""TLS without input and output, by the standard library: bytes in, bytes out.

Twisted has a TLS of its own, with other settings. With this module polls and WebSockets of a client trust the same
authorities, and give the same errors.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

_CHUNK_BYTES = 65_536


@dataclass(slots=True, eq=False)
class TlsChannel:
    """The client's side of one connection.

    :param context: the settings.
    :param host: the name or address that the server's certificate must have.
    """

    # required parameters
    context: ssl.SSLContext
    host: str

    # internal state
    is_ready: bool = False
    _incoming: ssl.MemoryBIO = field(default_factory=ssl.MemoryBIO)
    _outgoing: ssl.MemoryBIO = field(default_factory=ssl.MemoryBIO)
    _object: ssl.SSLObject = field(init=False)

    def __post_init__(self) -> None:
        self._object = self.context.wrap_bio(self._incoming, self._outgoing, server_hostname=self.host)

    def begin(self) -> None:
        """Begins the handshake."""
        self._shake()

    def receive(self, data: bytes) -> bytes:
        """Takes bytes of the server, and gives those that they mean. Afterwards there may be bytes to send.

        :param data: the bytes; empty at the end of the stream.
        :raises SSLError: if the server breaks TLS, or its certificate is not trusted.
        """
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        if not self.is_ready and not self._shake():
            return b""
        pieces: list[bytes] = []
        try:
            while piece := self._object.read(_CHUNK_BYTES):
                pieces.append(piece)
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError, ssl.SSLEOFError):
            pass
        return b"".join(pieces)

    def send(self, data: bytes) -> bytes:
        """Gives the bytes that carry *data*. The handshake must have ended."""
        self._object.write(data)
        return self.to_send()

    def to_send(self) -> bytes:
        """Gives the bytes that are to be sent now."""
        return self._outgoing.read()

    def _shake(self) -> bool:
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self.is_ready = True
        return True
