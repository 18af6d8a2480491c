"""Heads of requests that ask to become a WebSocket."""

from __future__ import annotations

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
FIELDS = {
    b"Host": b"example.org:8443",
    b"Upgrade": b"websocket",
    b"Connection": b"Upgrade",
    b"Sec-WebSocket-Version": b"13",
    b"Sec-WebSocket-Key": KEY,
}


def head(*more: bytes, line: bytes = b"GET /feed.ws HTTP/1.1", **changed: bytes) -> bytes:
    """Gives the head of a handshake.

    :param more: further lines.
    :param changed: other values of fields, by the last word of their names; empty to leave one out.
    """
    fields = {name: changed.get(name.rpartition(b"-")[2].lower().decode(), value) for name, value in FIELDS.items()}
    lines = [line, *(b"%s: %s" % field for field in fields.items() if field[1]), *more]
    return b"".join(b"%s\r\n" % each for each in lines) + b"\r\n"
