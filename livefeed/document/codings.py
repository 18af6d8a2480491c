"""Content codings, frames and events: the forms in which a document is sent, each computed once per snapshot."""

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

_QVALUE = re.compile(rb"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\Z")


# ID, CM = deflate, no flags, no time (so that equal documents stay equal), no extra flags, OS unknown (RFC 1952, 2.3).
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
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
    return zlib.compressobj(level, zlib.DEFLATED, wbits=-zlib.MAX_WBITS)


def compress_well(data: bytes) -> dict[str, bytes]:
    """Compresses a document in the slower codings: ``zstd`` (RFC 8878) and ``br`` (RFC 7932).

    It may be called in any thread. The same document gives the same bytes.

    :returns: the compressed bytes, by the names of the codings.
    """
    return {
        "zstd": zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(data),
        "br": brotli.compress(data, mode=brotli.MODE_TEXT, quality=BROTLI_LEVEL),
    }


def compress_in(coding: str, data: bytes) -> bytes:
    """Compresses a short text, such as a patch, in one coding.

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


def choose_coding(accept_encoding: bytes | None, available: Iterable[str]) -> str:
    """Gives the content coding to answer with (RFC 9110, 12.5.3).

    :param accept_encoding: the field's value, its lines joined with commas; ``None`` if it was not sent.
    :param available: the codings that exist besides ``identity``, the preferred one first.
    :returns: one of *available*, or ``"identity"``. It is also ``"identity"`` if the client accepts none of them, since
        a document that it can probably read is worth more than a 406; and if the list has more than
        :data:`MAX_MEMBERS` members, since the unread ones may exclude a coding.
    """
    if accept_encoding is None:
        return "identity"
    weights = _weights_of(accept_encoding)
    others = weights.get("*", 0.0)
    # max() keeps the first of equals: a tie goes to the coding that comes first in `available`, and to any of them
    # before identity. Identity is acceptable unless it is excluded, but is chosen only if its weight is larger.
    candidates = [(weights.get(coding, others), coding) for coding in available]
    weight, best = max(candidates, key=lambda candidate: candidate[0], default=(0.0, "identity"))
    return best if weight > 0 and weight >= weights.get("identity", 0.0) else "identity"


def coding_ranks(accept_encoding: bytes | None) -> tuple[int, ...]:
    """Gives everything in a field that :func:`choose_coding` can depend on, whichever codings are available.

    :param accept_encoding: the field's value, its lines joined with commas; ``None`` if it was not sent.
    :returns: for each of :data:`CODINGS` its rank: 0 if it is never chosen, and higher the more it is preferred.
    """
    weights = {} if accept_encoding is None else _weights_of(accept_encoding)
    others, least = weights.get("*", 0.0), weights.get("identity", 0.0)
    usable = [weight if weight >= least else 0.0 for weight in (weights.get(coding, others) for coding in CODINGS)]
    in_order = sorted({0.0, *usable})
    return tuple(in_order.index(weight) for weight in usable)


def _weights_of(accept_encoding: bytes) -> dict[str, float]:
    """Gives the weights of the codings, by their names; empty if the list has too many members."""
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
    """Gives the first :data:`MAX_MEMBERS` members of a list in a field (RFC 9110, 5.6.1)."""
    return listed.split(b",", MAX_MEMBERS)[:MAX_MEMBERS]


def weight_of(parameters: bytes) -> float:
    """Gives the weight of a list member (RFC 9110, 12.4.2).

    :param parameters: the text after the first semicolon of the member; may be empty.
    :returns: 0 to 1; 1 if there is no weight, and 0 if the weight is malformed, or there are more than
        :data:`MAX_PARAMETERS` parameters.
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


def server_sent_event(data: bytes, version: str) -> bytes:
    """Gives a document as a server-sent event whose id is its version (the HTML standard, 9.2.5).

    Each line of the document becomes a ``data`` line, including an empty last one. The reader joins them with line
    feeds, and so gets the bytes that the version is the hash of. An event cannot contain a carriage return, which ends
    a line: in JSON it stands only between values, and the reader gets a line feed in its place.
    """
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return b"id: %s\ndata: %s\n\n" % (version.encode(), data.replace(b"\n", b"\ndata: "))


def http_chunk(data: bytes) -> bytes:
    """Gives bytes as one chunk of a chunked body (RFC 9112, 7.1)."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def websocket_text_frame(payload: bytes, *, compressed: bool = False) -> bytes:
    """Gives a payload as one unfragmented, unmasked text frame, which all subscribers can be sent (RFC 6455, 5.2).

    :param payload: text in UTF-8, or :attr:`Compressed.message`.
    :param compressed: whether the payload is compressed, which the bit RSV1 says (RFC 7692, 6).
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
    """Gives the payload of a frame that was made by :func:`websocket_text_frame`."""
    length = frame[1]
    return frame[{126: 4, 127: 10}.get(length, 2) :]
