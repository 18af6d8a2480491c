"""The bytes around a document or a message on the wire: events, chunks and WebSocket frames.

Rule: this file is pure. The functions that take a snapshot are called through
:meth:`livefeed.document.snapshot.Snapshot.form`, so each result is made once and shared by all subscribers.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from livefeed.document.codings import GZIP_LEVEL, compress
from livefeed.document.exact_json import encode

if TYPE_CHECKING:
    from livefeed.document.snapshot import Snapshot


def server_sent_event(data: bytes, version: str) -> bytes:
    """Gives a document as an event whose id is its version (the HTML standard, 9.2.5).

    Each line of the document is one ``data`` line of the event, and so is an empty last line. The reader joins the
    lines with line feeds and gets the bytes that the version is the hash of. A carriage return also ends a line, so an
    event cannot contain one. In JSON it can only stand between values, and the reader gets a line feed instead.
    """
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return b"id: %s\ndata: %s\n\n" % (version.encode(), data.replace(b"\n", b"\ndata: "))


def http_chunk(data: bytes) -> bytes:
    """Gives bytes as one chunk (RFC 9112, 7.1)."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def websocket_text_frame(payload: bytes, *, compressed: bool = False) -> bytes:
    """Gives a payload as one whole unmasked text frame, which can be sent to every subscriber (RFC 6455, 5.2).

    :param payload: UTF-8, or the compressed form of it; see :attr:`livefeed.document.codings.Compressed.message`.
    :param compressed: whether the payload is compressed, which the bit RSV1 says (RFC 7692, 6).
    """
    first = 0xC1 if compressed else 0x81
    length = len(payload)
    if length <= 125:
        header = struct.pack("!BB", first, length)
    elif length <= 0xFFFF:
        header = struct.pack("!BBH", first, 126, length)
    else:
        header = struct.pack("!BBQ", first, 127, length)
    return header + payload


def document_frame(snapshot: Snapshot) -> bytes:
    """Gives the document as one WebSocket text frame."""
    return websocket_text_frame(snapshot.data)


def compressed_document_frame(snapshot: Snapshot) -> bytes:
    """Gives the document as one text frame for clients that use permessage-deflate without context takeover.

    A document that was not compressed is sent in a plain frame, which these clients accept as well (RFC 7692, 6). The
    next version is compressed again.
    """
    snapshot.work.wants_message = True
    if snapshot.deflated is None:
        return snapshot.form(document_frame)
    return websocket_text_frame(snapshot.deflated, compressed=True)


def document_text(snapshot: Snapshot) -> bytes:
    """Gives the document as a JSON string, whose text is the document in UTF-8, byte for byte."""
    return encode(snapshot.data.decode())


def deflated_text(snapshot: Snapshot) -> bytes:
    """Gives that string compressed; see :attr:`livefeed.document.codings.Compressed.message`. It may take 23 ms."""
    return compress(snapshot.form(document_text), GZIP_LEVEL).message


def document_event(snapshot: Snapshot) -> bytes:
    """Gives the document as a server-sent event."""
    return server_sent_event(snapshot.data, snapshot.version)


def chunked_document_event(snapshot: Snapshot) -> bytes:
    """Gives the document as a server-sent event in one chunk."""
    return http_chunk(snapshot.form(document_event))
