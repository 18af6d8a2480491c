"""Content codings, their negotiation, and WebSocket framing."""

from __future__ import annotations

import gzip
import re
import zlib

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from livefeed.document.codings import (
    compress,
    deflate_around,
    deflate_message,
    websocket_payload,
    websocket_text_frame,
)


def decode_frame(data: bytes) -> Frame:
    """Reads one unmasked frame with another implementation, and finds that nothing is left over."""
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    parsing = Frame.parse(reader.read_exact, mask=False, max_size=None)
    try:
        next(parsing)
    except StopIteration as stop:
        frame = stop.value
    else:
        raise AssertionError("the frame is cut short")
    assert isinstance(frame, Frame)
    assert not reader.buffer
    return frame


class CompressTests(SynchronousTestCase):
    """compress."""

    @settings(deadline=None)
    @given(st.binary(max_size=4096))
    def test_gzip_round_trip(self, data: bytes) -> None:
        """Any gzip reader gives back the document's bytes."""
        self.assertEqual(gzip.decompress(compress(data).gzip), data)

    @settings(deadline=None)
    @given(st.binary(max_size=4096))
    def test_message_round_trip(self, data: bytes) -> None:
        """A message is read without any before it, once the bytes are put back that are left out (RFC 7692, 7.2.2)."""
        message = compress(data).message
        self.assertEqual(zlib.decompressobj(-15).decompress(message + b"\x00\x00\xff\xff"), data)

    def test_gzip_has_no_time_stamp(self) -> None:
        """Equal documents have equal encodings on every worker, so the header's MTIME is zero (RFC 1952, 2.3.1)."""
        self.assertEqual(compress(b"{}" * 100).gzip[4:8], bytes(4))

    def test_both_forms_are_small(self) -> None:
        """What repeats itself is compressed, not only wrapped."""
        compressed = compress(b'{"votes": 0}' * 100)
        self.assertLess(len(compressed.gzip), 100)
        self.assertLess(len(compressed.message), 100)


class FrameTests(SynchronousTestCase):
    """websocket_text_frame."""

    @settings(deadline=None)
    @given(st.text(max_size=400))
    def test_frame_round_trip(self, text: str) -> None:
        """Another implementation reads one whole text frame with the payload unchanged."""
        frame = decode_frame(websocket_text_frame(text.encode()))
        self.assertEqual(frame.opcode, Opcode.TEXT)
        self.assertEqual(bytes(frame.data), text.encode())
        self.assertTrue(frame.fin)
        self.assertFalse(frame.rsv1 or frame.rsv2 or frame.rsv3)

    @settings(deadline=None)
    @given(st.binary(max_size=4096))
    def test_compressed_frame(self, data: bytes) -> None:
        """One whole text frame with RSV1 alone, whose payload is the message (RFC 7692, 6.1)."""
        message = compress(data).message
        frame = websocket_text_frame(message, compressed=True)
        self.assertEqual(frame[0], 0b1100_0001)
        self.assertEqual(bytes(decode_frame(b"\x81" + frame[1:]).data), message)

    @settings(deadline=None)
    @given(st.binary(max_size=4096))
    def test_end_of_a_message_is_left_out(self, data: bytes) -> None:
        """The empty block behind it, which the reader puts there again (RFC 7692, 7.2.1)."""
        for message in (compress(data).message, deflate_message(data)):
            self.assertFalse(message.endswith(b"\x00\x00\xff\xff"))
            reader = zlib.decompressobj(-15)
            self.assertEqual(reader.decompress(message), data)
            self.assertEqual(reader.decompress(b"\x00\x00\xff\xff"), b"")

    def test_length_forms(self) -> None:
        """The length is in the shortest of its three forms, at both sides of each limit (RFC 6455, 5.2)."""
        for length, header in (
            (0, b"\x81\x00"),
            (125, b"\x81\x7d"),
            (126, b"\x81\x7e\x00\x7e"),
            (65535, b"\x81\x7e\xff\xff"),
            (65536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
        ):
            payload = b"x" * length
            frame = websocket_text_frame(payload)
            self.assertTrue(re.match(re.escape(header) + b"(x|$)", frame), length)
            self.assertEqual(bytes(decode_frame(frame).data), payload)


class AroundTests(SynchronousTestCase):
    """Messages whose middle is compressed already."""

    @given(st.binary(max_size=300), st.binary(max_size=2000), st.binary(max_size=300))
    def test_inflated_it_is_the_three_one_after_the_other(self, start: bytes, middle: bytes, end: bytes) -> None:
        """Whatever they are."""
        payload = deflate_around(start, compress(middle).message, end)
        inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(payload + b"\x00\x00\xff\xff")
        self.assertEqual(inflated, start + middle + end)

    def test_payload_of_a_frame(self) -> None:
        """Of each kind of length."""
        for size in (0, 125, 126, 0xFFFF, 0x10000):
            self.assertEqual(websocket_payload(websocket_text_frame(b"x" * size)), b"x" * size)
