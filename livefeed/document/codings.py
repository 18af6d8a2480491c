"""The forms in which a document's bytes travel, each computed once per snapshot.

Rule: this file is pure. Bytes in, bytes out; no Twisted, no clock, no I/O.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import brotli
import zstandard

SMALL_BYTES = 65_536
"""Up to this size a document is compressed well within the tick, in 2 ms; a larger one is, in a thread."""

# 83 KB of a ranking become 23.0 KB in 3.5 ms at level 6, 29.0 KB in 0.9 ms at level 1; 1 MB of stations 164 KB in
# 23 ms, 208 KB in 7 ms. Level 9 takes 6 and 90 ms, for 2 and 4 % fewer bytes than 6. So a thread has time for 6, and
# what is large and must be compressed in the reactor's thread (after a restart, or without threads) is at 1.
GZIP_LEVEL, GZIP_LEVEL_OF_LARGE = 6, 1
# 0.5 ms and 2 ms for the same; brotli's 11 takes 190 ms.
ZSTD_LEVEL, BROTLI_LEVEL = 3, 5

CODINGS = ("gzip", "zstd", "br")
"""The names of all codings that a document may be had in, ``identity`` aside."""

MAX_MEMBERS = 64
"""Members of a list in a field, empty ones included, that are looked at (RFC 9110, 5.6.1.2: a reasonable number). The
longest that browsers send is Accept, with 8 to 12; the head has room for 16,000 commas, which took 14 ms to be read."""

MAX_PARAMETERS = 8
"""Parameters of a member that are looked at, empty ones included. No coding has any but the weight."""

# ID, CM = deflate, no flags, no time (so that equal documents stay equal), no extra flags, OS unknown (RFC 1952, 2.3).
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_EMPTY_BLOCK = b"\x00\x00\xff\xff"


@dataclass(frozen=True, slots=True)
class Compressed:
    """A document, compressed once, in the two forms that are made of it.

    :ivar gzip: one gzip member (RFC 1952).
    :ivar message: the payload of a compressed WebSocket message, which needs no other before it (RFC 7692, 7.2.1).
    """

    gzip: bytes
    message: bytes


def compress(data: bytes, level: int | None = None) -> Compressed:
    """Compresses a document.

    :param level: zlib's, 0 to 9; by default, one that takes no long time of the reactor's thread.

    Both forms hold the same DEFLATE blocks, the gzip one with an end behind them, so that the work is done once.
    """
    compressor = _compressor(data, level)
    blocks = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
    check = struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)
    return Compressed(
        gzip=b"".join((_GZIP_HEADER, blocks, compressor.flush(zlib.Z_FINISH), check)),
        message=blocks.removesuffix(_EMPTY_BLOCK),
    )


def deflate_message(data: bytes) -> bytes:
    """Gives the payload of a compressed WebSocket message, as :attr:`Compressed.message` is one."""
    compressor = _compressor(data)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(_EMPTY_BLOCK)


def deflate_around(start: bytes, deflated: bytes, end: bytes) -> bytes:
    """Gives the payload of a compressed WebSocket message whose middle is compressed already.

    The blocks of the middle refer to nothing before them, and what is empty behind each part ends at a whole byte.

    :param deflated: as :attr:`Compressed.message` is.
    """
    parts = (deflate_message(start), deflated, deflate_message(end))
    return _EMPTY_BLOCK.join(parts)


def is_large(data: bytes) -> bool:
    """Tells whether a document takes too long to be compressed well within the tick."""
    return len(data) > SMALL_BYTES


def _compressor(data: bytes, level: int | None = None) -> zlib._Compress:
    if level is None:
        level = GZIP_LEVEL_OF_LARGE if is_large(data) else GZIP_LEVEL
    return zlib.compressobj(level, zlib.DEFLATED, wbits=-zlib.MAX_WBITS)


def compress_well(data: bytes) -> dict[str, bytes]:
    """Gives a document in the codings that take longer, by their names: ``zstd`` (RFC 8878) and ``br`` (RFC 7932).

    It may be called in any thread. The same document gives the same bytes.
    """
    return {
        "zstd": zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(data),
        "br": brotli.compress(data, mode=brotli.MODE_TEXT, quality=BROTLI_LEVEL),
    }


def compress_in(coding: str, data: bytes) -> bytes:
    """Compresses in one coding, by its name, a document of which little is left: a patch."""
    match coding:
        case "gzip":
            return compress(data).gzip
        case "zstd":
            return zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(data)
        case "br":
            compressed: bytes = brotli.compress(data, mode=brotli.MODE_TEXT, quality=BROTLI_LEVEL)
            return compressed
    raise ValueError(f"{coding!r} is no coding")


def members_of(listed: bytes) -> list[bytes]:
    """Gives the members of a list in a field, the first :data:`MAX_MEMBERS` of them (RFC 9110, 5.6.1)."""
    return listed.split(b",", MAX_MEMBERS)[:MAX_MEMBERS]


def server_sent_event(data: bytes, version: str) -> bytes:
    """Gives a document as an event whose id is its version (the HTML standard, 9.2.5).

    Each line of the document is a line of the event, also an empty last one: the reader puts line feeds between them,
    and has the bytes that the version is the hash of. Lines end at a carriage return, too, which an event cannot hold:
    in JSON it can only stand between values, and the reader has a line feed in its place.
    """
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return b"id: %s\ndata: %s\n\n" % (version.encode(), data.replace(b"\n", b"\ndata: "))


def http_chunk(data: bytes) -> bytes:
    """Gives bytes as one chunk (RFC 9112, 7.1)."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def websocket_text_frame(payload: bytes, *, compressed: bool = False) -> bytes:
    """Gives a payload as one whole unmasked text frame, ready for every subscriber (RFC 6455, 5.2).

    :param payload: UTF-8, or :attr:`Compressed.message`.
    :param compressed: whether it is the latter, which the bit RSV1 tells (RFC 7692, 6).
    """
    first = 0xC1 if compressed else 0x81
    length = len(payload)
    if length <= 125:  # noqa: PLR2004
        header = struct.pack("!BB", first, length)
    elif length <= 0xFFFF:  # noqa: PLR2004
        header = struct.pack("!BBH", first, 126, length)
    else:
        header = struct.pack("!BBQ", first, 127, length)
    return header + payload


def websocket_payload(frame: bytes) -> bytes:
    """Gives the payload of a frame that :func:`websocket_text_frame` has made."""
    length = frame[1]
    return frame[{126: 4, 127: 10}.get(length, 2) :]
