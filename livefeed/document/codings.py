"""The forms in which a document's bytes travel, each computed once per snapshot.

Rule: this file is pure. Bytes in, bytes out; no Twisted, no clock, no I/O.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import brotli
import zstandard

if TYPE_CHECKING:
    from collections.abc import Iterable

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

_QVALUE = re.compile(rb"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\Z")


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


def choose_coding(accept_encoding: bytes | None, available: Iterable[str]) -> str:
    """Gives the content coding to answer with (RFC 9110, 12.5.3).

    :param accept_encoding: the field's value, its lines joined with commas; ``None`` if it was not sent.
    :param available: the codings that exist besides ``identity``, the preferred one first.
    :returns: one of *available*, or ``"identity"``: also where the client accepts nothing that there is,
        since a document that it can probably read is worth more than a 406; and where the list has more than
        :data:`MAX_MEMBERS` members, since what is not looked at may exclude a coding.
    """
    if accept_encoding is None:
        return "identity"
    weights = _weights_of(accept_encoding)
    others = weights.get("*", 0.0)
    # Ties go to the coding named first in `available`, and to any of them before identity: max() keeps the
    # first of equals. Identity is acceptable unless excluded, but only wins where asked for more strongly.
    candidates = [(weights.get(coding, others), coding) for coding in available]
    weight, best = max(candidates, key=lambda candidate: candidate[0], default=(0.0, "identity"))
    return best if weight > 0 and weight >= weights.get("identity", 0.0) else "identity"


def coding_ranks(accept_encoding: bytes | None) -> tuple[int, ...]:
    """Gives all of a field that :func:`choose_coding` can depend on, whichever codings are available.

    :param accept_encoding: the field's value, its lines joined with commas; ``None`` if it was not sent.
    :returns: for each of :data:`CODINGS` 0 if it is never chosen, and otherwise the more, the more it is preferred.
    """
    weights = {} if accept_encoding is None else _weights_of(accept_encoding)
    others, least = weights.get("*", 0.0), weights.get("identity", 0.0)
    usable = [weight if weight >= least else 0.0 for weight in (weights.get(coding, others) for coding in CODINGS)]
    in_order = sorted({0.0, *usable})
    return tuple(in_order.index(weight) for weight in usable)


def _weights_of(accept_encoding: bytes) -> dict[str, float]:
    """Gives how much a client prefers which coding, by its name; nothing if there are too many members."""
    members = accept_encoding.split(b",", MAX_MEMBERS)
    if len(members) > MAX_MEMBERS:
        return {}
    weights: dict[str, float] = {}
    for member in members:
        coding, _, parameters = member.partition(b";")
        name = coding.strip(b" \t").decode("latin-1").lower()
        weights["gzip" if name == "x-gzip" else name] = weight_of(parameters)
    return weights


def members_of(listed: bytes) -> list[bytes]:
    """Gives the members of a list in a field, the first :data:`MAX_MEMBERS` of them (RFC 9110, 5.6.1)."""
    return listed.split(b",", MAX_MEMBERS)[:MAX_MEMBERS]


def weight_of(parameters: bytes) -> float:
    """Gives the weight of a member of a list (RFC 9110, 12.4.2).

    :param parameters: what stands behind the first semicolon of the member, which may be nothing.
    :returns: 0 if the weight is malformed, or there are more than :data:`MAX_PARAMETERS` parameters.
    """
    if not parameters:
        return 1.0
    separate = parameters.split(b";", MAX_PARAMETERS)
    if len(separate) > MAX_PARAMETERS:
        return 0.0
    for parameter in separate:
        name, _, value = parameter.strip(b" \t").partition(b"=")
        if name.lower() == b"q":
            return float(value) if _QVALUE.match(value) else 0.0
    return 1.0
