"""Content codings: the compressed forms of a document, and the limits of lists in fields."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import brotli
import zstandard

if TYPE_CHECKING:
    from collections.abc import Iterable

SMALL_BYTES = 65_536
"""The largest document that the reactor's thread compresses well, in 2 ms. Larger ones are compressed in a thread."""

# 83 KB of a ranking become 23.0 KB in 3.5 ms at level 6, and 29.0 KB in 0.9 ms at level 1; 1 MB of stations become 164
# KB in 23 ms and 208 KB in 7 ms. Level 9 takes 6 and 90 ms, for 2 and 4 % fewer bytes than level 6. So a thread uses
# level 6. The reactor's thread compresses large documents at level 1 (after a restart, or if there are no threads).
GZIP_LEVEL, GZIP_LEVEL_OF_LARGE = 6, 1
# They take 0.5 ms and 2 ms for the same ranking; Brotli's level 11 takes 190 ms.
ZSTD_LEVEL, BROTLI_LEVEL = 3, 5

CODINGS = ("gzip", "zstd", "br")
"""The names of all codings in which a document is available, except ``identity``."""

MAX_MEMBERS = 64
"""The largest number of list members, including empty ones, that are read in a field (RFC 9110, 5.6.1.2: a reasonable
number). The longest list that browsers send is Accept, with 8 to 12 members. A head has room for 16,000 commas, and
reading them took 14 ms."""

MAX_PARAMETERS = 8
"""The largest number of parameters, with empty ones, that are read in a list member. Codings have a weight only."""

# ID, CM = deflate, no flags, no time (so that equal documents stay equal), no extra flags, OS unknown (RFC 1952, 2.3).
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_LOOKAHEAD_BYTES, _MIN_WINDOW_BITS = 262, 9  # zlib's MIN_LOOKAHEAD, and the smallest window that it makes
_EMPTY_BLOCK = b"\x00\x00\xff\xff"


@dataclass(frozen=True, slots=True)
class Compressed:
    """A document that was compressed once, in the two forms that are made from that.

    :ivar gzip: one gzip member (RFC 1952).
    :ivar message: the payload of a compressed WebSocket message that depends on no other message (RFC 7692, 7.2.1).
    """

    gzip: bytes
    message: bytes


def compress(data: bytes, level: int | None = None) -> Compressed:
    """Compresses a document.

    Both forms hold the same DEFLATE blocks, so that the work is done once; the gzip form ends with a trailer.

    :param level: zlib's level, 0 to 9; by default, one that is fast enough for the reactor's thread.
    """
    compressor = _compressor(data, level)
    blocks = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
    check = struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)
    return Compressed(
        gzip=b"".join((_GZIP_HEADER, blocks, compressor.flush(zlib.Z_FINISH), check)),
        message=blocks.removesuffix(_EMPTY_BLOCK),
    )


def deflate_message(data: bytes) -> bytes:
    """Gives the payload of a compressed WebSocket message, like :attr:`Compressed.message`."""
    compressor = _compressor(data)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(_EMPTY_BLOCK)


def deflate_around(start: bytes, deflated: bytes, end: bytes) -> bytes:
    """Gives the payload of a compressed WebSocket message whose middle is compressed already.

    The blocks of the middle refer to nothing before them, and the empty block after each part ends at a whole byte.

    :param start: the message before the middle, not compressed.
    :param deflated: the middle, like :attr:`Compressed.message`.
    :param end: the message after the middle, not compressed.
    """
    parts = (deflate_message(start), deflated, deflate_message(end))
    return _EMPTY_BLOCK.join(parts)


def is_large(data: bytes) -> bool:
    """Tells whether a document takes too long to be compressed well in the reactor's thread."""
    return len(data) > SMALL_BYTES


def _compressor(data: bytes, level: int | None = None) -> zlib._Compress:
    if level is None:
        level = GZIP_LEVEL_OF_LARGE if is_large(data) else GZIP_LEVEL
    return zlib.compressobj(level, zlib.DEFLATED, wbits=-_window_bits(len(data)))


def _window_bits(size: int) -> int:
    """Gives the smallest window in which matches reach as far as in the largest one, so that the bytes are the same.

    zlib clears its window, and memory in proportion to it, for each document: that is 0.03 ms of the 0.1 ms that 4 KB
    take.

    :param size: of the whole data, in bytes.
    """
    return min(max((size + _LOOKAHEAD_BYTES).bit_length(), _MIN_WINDOW_BITS), zlib.MAX_WBITS)


SLOW_CODINGS = ("zstd", "br")
"""The codings that are made after a large document was published."""


def compress_well(data: bytes, codings: Iterable[str] = SLOW_CODINGS) -> dict[str, bytes]:
    """Compresses a document in slower codings: ``zstd`` (RFC 8878) and ``br`` (RFC 7932).

    It may be called in any thread. The same document gives the same bytes.

    :param codings: those that are to be made. Others than these two are passed over.
    :returns: the compressed bytes, by the names of the codings.
    """
    return {coding: compress_in(coding, data) for coding in codings if coding in SLOW_CODINGS}


def compress_better(data: bytes, codings: Iterable[str]) -> dict[str, bytes]:
    """Compresses a document in any codings, gzip at :data:`GZIP_LEVEL` whatever the size, like :func:`compress_well`.

    :raises ValueError: if there is no such coding.
    """
    return {
        coding: compress(data, GZIP_LEVEL).gzip if coding == "gzip" else compress_in(coding, data) for coding in codings
    }


def compress_in(coding: str, data: bytes) -> bytes:
    """Compresses a text, such as a patch, in one coding.

    :param coding: one of :data:`CODINGS`.
    :raises ValueError: if there is no such coding.
    """
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
    """Gives the first :data:`MAX_MEMBERS` members of a list in a field (RFC 9110, 5.6.1)."""
    return listed.split(b",", MAX_MEMBERS)[:MAX_MEMBERS]
