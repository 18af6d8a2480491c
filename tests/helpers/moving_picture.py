"""A moving picture in the format WebP, of pictures that a browser has taken."""

from __future__ import annotations

import struct

_ANIMATION = 0x02
_REPLACES = 0x02  # a frame takes the place of the one before, and is not blended with it


def moving(frames: list[bytes], frame_ms: int) -> bytes:
    """Gives the moving picture, which begins again at its end (WebP's container specification, RFC 9649).

    :param frames: pictures of one size, each a whole file in the format WebP.
    :param frame_ms: milliseconds for which each is shown.
    :raises ValueError: if a frame is no lossy picture, or has another size.
    """
    images = [_image_of(frame) for frame in frames]
    width, height = _size_of(images[0])
    if any(_size_of(image) != (width, height) for image in images):
        raise ValueError("the frames have different sizes")
    size = _short(width - 1) + _short(height - 1)
    parts = [_chunk(b"VP8X", struct.pack("<I", _ANIMATION) + size), _chunk(b"ANIM", struct.pack("<IH", 0xFFFFFFFF, 0))]
    place = _short(0) + _short(0)
    for image in images:
        shown = place + size + _short(frame_ms) + bytes([_REPLACES])
        parts.append(_chunk(b"ANMF", shown + _chunk(b"VP8 ", image)))
    content = b"WEBP" + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(content)) + content


def _short(number: int) -> bytes:
    return number.to_bytes(3, "little")


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _image_of(frame: bytes) -> bytes:
    """Gives the content of the chunk with the picture."""
    if frame[:4] != b"RIFF" or frame[8:12] != b"WEBP":
        raise ValueError("a frame is no file in the format WebP")
    at = 12
    while at + 8 <= len(frame):
        name, (length,) = frame[at : at + 4], struct.unpack_from("<I", frame, at + 4)
        if name == b"VP8 ":
            return frame[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
    raise ValueError("a frame has no lossy picture")


def _size_of(image: bytes) -> tuple[int, int]:
    # RFC 6386, 9.1: three bytes of the frame's tag, three of the start code, and two numbers of 14 bits.
    width, height = struct.unpack_from("<HH", image, 6)
    return width & 0x3FFF, height & 0x3FFF
